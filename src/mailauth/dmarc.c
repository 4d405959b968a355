/*
 * The walk and the verdict (RFC 9989 sections 4.10, 5.3). Each domain that matters is walked once
 * at most: the author's, then those that passed and lie in the author's organization, since no
 * other can be aligned. At most DMARC_WALK_MAX questions a walk.
 */
#include "mailauth/dmarc.h"

#include "text/international.h"

const char *
dmarc_policy_text(enum dmarc_policy policy)
{
	static const char *const texts[] = {[DMARC_POLICY_NONE] = "none",
		[DMARC_POLICY_QUARANTINE] = "quarantine",
		[DMARC_POLICY_REJECT] = "reject"};

	return texts[policy];
}

const char *
dmarc_result_text(enum dmarc_result result)
{
	static const char *const texts[] = {[DMARC_NONE] = "none",
		[DMARC_PASS] = "pass",
		[DMARC_FAIL] = "fail",
		[DMARC_TEMPERROR] = "temperror",
		[DMARC_PERMERROR] = "permerror"};

	return texts[result];
}

/* What one walk found. */
struct walk {
	bool is_failed; /* the DNS did not answer */
	bool has_own;   /* a record of the domain itself */
	struct dmarc_record own;
	bool has_organization;     /* a record anywhere decides it */
	struct slice organization; /* else the domain itself */
	bool has_policy;           /* of the organization, or of the public suffix above it */
	struct slice policy_domain;
	struct dmarc_record policy;
};

enum found { FOUND_NOTHING, FOUND_RECORD, FOUND_FAILURE };

/* May wait. Several records are none (section 4.10). */
static enum found
ask_record(
	const struct dmarc_request *request, struct slice domain, struct dmarc_record *ret_record)
{
	uint8_t storage[DNS_NAME_MAX + 8];
	struct buffer name;
	struct dns_answer answer;
	size_t count = 0;

	buffer_init_fixed(&name, storage, sizeof storage);
	buffer_append_text(&name, "_dmarc.");
	buffer_append(&name, domain);
	if (!dns_name_is_askable(buffer_slice(&name)))
		return FOUND_NOTHING;
	dns_ask(request->dns, buffer_slice(&name), DNS_TXT, request->arena, request->deadline,
		&answer);
	if (answer.outcome == DNS_FAILED)
		return FOUND_FAILURE;
	for (size_t i = 0; answer.outcome == DNS_FOUND && i < answer.count; i++)
		count += dmarc_record_parse(answer.records[i].data, ret_record);
	return count == 1 ? FOUND_RECORD : FOUND_NOTHING;
}

static size_t
count_labels(struct slice domain)
{
	size_t count = domain.len > 0;

	for (size_t i = 0; i < domain.len; i++)
		count += domain.ptr[i] == '.';
	return count;
}

static struct slice
without_label(struct slice domain)
{
	ssize_t dot = slice_find(domain, 0, '.');

	return dot < 0 ? slice_of(NULL, 0) : slice_from(domain, (size_t)dot + 1);
}

/* The next name of a walk: one label less, and seven at most, so that long names cost no more. */
static struct slice
step_up(struct slice domain)
{
	do {
		domain = without_label(domain);
	} while (count_labels(domain) >= DMARC_WALK_MAX);
	return domain;
}

/* A record on the way. True: the walk ends here. `below` is the name one step before. */
static bool
note_record(
	struct walk *walk, struct slice start, struct slice at, const struct dmarc_record *record)
{
	bool is_start = at.len == start.len;

	walk->has_organization = true;
	walk->has_policy = true;
	walk->policy_domain = at;
	walk->policy = *record;
	walk->organization = at;
	if (record->psd == DMARC_PSD_YES && !is_start) {
		/* One label below the public suffix, on the way to the start. */
		struct slice below = start;
		while (count_labels(below) > count_labels(at) + 1)
			below = without_label(below);
		walk->organization = below;
	}
	return record->psd != DMARC_PSD_UNKNOWN;
}

/*
 * May wait. From the domain up. The record nearest the root decides, unless one says psd= before
 * (section 4.10.2). For a public suffix above, its record holds where the organization's own is not
 * there; a record of the organization that was passed on the way is preferred.
 */
static void
walk_up(const struct dmarc_request *request, struct slice domain, struct walk *walk)
{
	struct slice at = domain;

	*walk = (struct walk){.organization = domain};
	for (size_t i = 0; i < DMARC_WALK_MAX && at.len > 0; i++, at = step_up(at)) {
		struct dmarc_record record;
		struct walk before = *walk;
		enum found found = ask_record(request, at, &record);
		if (found == FOUND_FAILURE) {
			walk->is_failed = true;
			return;
		}
		if (found != FOUND_RECORD)
			continue;
		if (i == 0) {
			walk->has_own = true;
			walk->own = record;
		}
		bool is_end = note_record(walk, domain, at, &record);
		if (before.has_policy && record.psd == DMARC_PSD_YES &&
			slice_equal_nocase(before.policy_domain, walk->organization)) {
			walk->policy_domain = before.policy_domain;
			walk->policy = before.policy;
		}
		if (is_end)
			return;
	}
}

/* May wait. The author's domain does not exist (RFC 8020's sense). */
static bool
is_absent(const struct dmarc_request *request)
{
	struct dns_answer answer;

	if (!dns_name_is_askable(request->author))
		return true;
	dns_ask(request->dns, request->author, DNS_A, request->arena, request->deadline, &answer);
	return answer.outcome == DNS_NO_NAME;
}

/* Whose record holds, and what it says about this author. */
static void
choose_policy(
	const struct dmarc_request *request, const struct walk *walk, struct dmarc_verdict *verdict)
{
	verdict->record = walk->has_own ? walk->own : walk->policy;
	verdict->policy_domain = walk->has_own ? request->author : walk->policy_domain;
	verdict->policy = verdict->record.policy;
	if (!walk->has_own) {
		verdict->is_absent = is_absent(request);
		verdict->policy =
			verdict->is_absent ? verdict->record.absent : verdict->record.subdomains;
	}
	verdict->requested = verdict->policy;
	if (verdict->record.is_testing && verdict->requested > DMARC_POLICY_NONE)
		verdict->requested--;
}

/* May wait. */
static bool
is_aligned(const struct dmarc_request *request, const struct dmarc_verdict *verdict,
	struct slice domain, bool is_strict, bool *is_failed)
{
	struct walk walk;

	if (slice_equal_nocase(domain, request->author))
		return true;
	if (is_strict || !domain_is_within(domain, verdict->organization))
		return false;
	walk_up(request, domain, &walk);
	*is_failed |= walk.is_failed;
	return !walk.is_failed && slice_equal_nocase(walk.organization, verdict->organization);
}

/* May wait. A signature over a part of the body is no word on the whole. */
static void
check_dkim(const struct dmarc_request *request, struct dmarc_verdict *verdict, bool *is_failed)
{
	const struct dkim *dkim = request->dkim;

	for (size_t i = 0; dkim && i < dkim->count && verdict->dkim_domain.len == 0; i++) {
		const struct signature *signature = &dkim->signatures[i];
		if (signature->result == DKIM_TEMPERROR)
			*is_failed = true;
		if (signature->result == DKIM_PASS && !signature->is_partial &&
			is_aligned(request, verdict, signature->domain,
				verdict->record.is_dkim_strict, is_failed))
			verdict->dkim_domain = signature->domain;
	}
}

/* May wait. */
static void
check_spf(const struct dmarc_request *request, struct dmarc_verdict *verdict, bool *is_failed)
{
	const struct spf_verdict *spf = request->spf;

	if (spf && spf->result == SPF_TEMPERROR)
		*is_failed = true;
	if (spf && spf->result == SPF_PASS)
		verdict->is_spf_aligned = is_aligned(
			request, verdict, spf->domain, verdict->record.is_spf_strict, is_failed);
}

static void
set_result(struct dmarc_verdict *verdict, enum dmarc_result result, const char *reason)
{
	verdict->result = result;
	verdict->reason = reason;
}

static void
check_author(const struct dmarc_request *request, struct dmarc_verdict *verdict)
{
	struct walk walk;
	bool is_failed = false;

	walk_up(request, request->author, &walk);
	verdict->organization = walk.organization;
	if (walk.is_failed) {
		set_result(verdict, DMARC_TEMPERROR, "the DNS could not be asked for the policy");
		return;
	}
	if (!walk.has_own && !walk.has_policy) {
		set_result(verdict, DMARC_NONE, "the domain has no policy");
		return;
	}
	choose_policy(request, &walk, verdict);
	check_dkim(request, verdict, &is_failed);
	check_spf(request, verdict, &is_failed);
	if (verdict->dkim_domain.len > 0 || verdict->is_spf_aligned)
		set_result(verdict, DMARC_PASS, NULL);
	else if (is_failed)
		set_result(verdict, DMARC_TEMPERROR, "SPF or DKIM could not be judged");
	else
		set_result(
			verdict, DMARC_FAIL, "neither SPF nor DKIM vouches for the domain in From");
}

void
dmarc_check(const struct dmarc_request *request, struct dmarc_verdict *ret_verdict)
{
	struct dmarc_request ascii = *request;

	*ret_verdict = (struct dmarc_verdict){0};
	/* RFC 8616: the author's U-labels are looked for as A-labels. */
	if (domain_to_ascii(request->arena, request->author, &ascii.author) != OK)
		set_result(ret_verdict, DMARC_TEMPERROR, "the author's domain could not be read");
	else
		check_author(&ascii, ret_verdict);
}
