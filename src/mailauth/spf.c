/*
 * check_host() (RFC 7208 section 4). The record is parsed whole, then its mechanisms are asked in
 * order; include and redirect come back here, no deeper than the limit of look-ups allows. What the
 * DNS cannot tell is a temperror, what breaks a limit a permerror; neither is ever a pass.
 */
#include "mailauth/spf_private.h"

#include "text/international.h"

#include <string.h>

/* What one term, or one record, comes to. */
struct outcome {
	enum spf_result result;
	struct slice term;
	struct slice exp;        /* domain-spec of the record that decided */
	struct slice exp_domain; /* that it belongs to */
	const char *reason;
};

enum match { MATCH_NO, MATCH_YES, MATCH_TEMPERROR, MATCH_PERMERROR };

struct evaluation {
	struct spf_check *check;
	struct slice domain;
	const struct spf_term *term;
	const char *reason; /* of an error */
};

static struct outcome evaluate(struct spf_check *check, struct slice domain);

const char *
spf_result_text(enum spf_result result)
{
	static const char *const texts[] = {[SPF_NONE] = "none",
		[SPF_NEUTRAL] = "neutral",
		[SPF_PASS] = "pass",
		[SPF_FAIL] = "fail",
		[SPF_SOFTFAIL] = "softfail",
		[SPF_TEMPERROR] = "temperror",
		[SPF_PERMERROR] = "permerror"};

	return texts[result];
}

static void
tell(struct spf_check *check, struct slice domain, struct slice term, const char *what,
	struct slice detail)
{
	const struct spf_request *request = check->request;
	struct spf_step step = {check->depth, domain, term, what, detail};

	if (request->step)
		request->step(request->step_arg, &step);
}

void
spf_ask(struct spf_check *check, struct slice name, enum dns_type type,
	struct dns_answer *ret_answer)
{
	const struct spf_request *request = check->request;

	dns_ask(request->dns, name, type, request->arena, request->deadline, ret_answer);
}

bool
spf_name_is_below(struct slice name, struct slice domain)
{
	if (slice_equal_nocase(name, domain))
		return true;
	return domain.len > 0 && name.len > domain.len &&
	       name.ptr[name.len - domain.len - 1] == '.' &&
	       slice_equal_nocase(slice_from(name, name.len - domain.len), domain);
}

static enum dns_type
address_type(const struct spf_check *check)
{
	return check->ip.len == 4 ? DNS_A : DNS_AAAA;
}

/* The first bits of both addresses, which are of one length, agree. */
static bool
prefix_matches(struct slice ip, const uint8_t *address, unsigned bits)
{
	if (bits > ip.len * 8)
		bits = (unsigned)ip.len * 8;
	if (memcmp(ip.ptr, address, bits / 8) != 0)
		return false;
	uint8_t mask = (uint8_t)(0xff00u >> bits % 8);
	return bits % 8 == 0 || ((ip.ptr[bits / 8] ^ address[bits / 8]) & mask) == 0;
}

static enum match
temperror(struct evaluation *e, const char *reason)
{
	e->reason = reason;
	return MATCH_TEMPERROR;
}

static enum match
permerror(struct evaluation *e, const char *reason)
{
	e->reason = reason;
	return MATCH_PERMERROR;
}

/* Section 4.6.4: each term that asks the DNS counts, and each question of one that finds nothing.
 */
static bool
count_lookup(struct spf_check *check)
{
	check->out_of_lookups |= ++check->lookups > SPF_LOOKUPS_MAX;
	return !check->out_of_lookups;
}

static bool
count_void(struct spf_check *check, const struct dns_answer *answer)
{
	if (answer->outcome == DNS_NO_DATA || answer->outcome == DNS_NO_NAME)
		check->out_of_void_lookups |= ++check->void_lookups > SPF_VOID_LOOKUPS_MAX;
	return !check->out_of_void_lookups;
}

static const char lookups_reason[] = "more than 10 terms ask the DNS";
static const char void_reason[] = "more than 2 look-ups found nothing";

/* May wait. The term's domain, expanded. */
static bool
target_of(struct evaluation *e, struct slice *ret_name)
{
	*ret_name = e->domain;
	return e->term->domain_spec.len == 0 || spf_macro_expand(e->check, e->term->domain_spec,
							e->domain, SPF_MACRO_DOMAIN, ret_name);
}

static const char memory_reason[] = "the answers are too large";

/* May wait. Does one of the name's addresses match? */
static enum match
match_addresses(struct evaluation *e, struct slice name, bool counts_void)
{
	struct spf_check *check = e->check;
	unsigned bits = check->ip.len == 4 ? e->term->cidr4 : e->term->cidr6;
	struct dns_answer answer;

	spf_ask(check, name, address_type(check), &answer);
	if (answer.outcome == DNS_FAILED)
		return temperror(e, answer.reason);
	if (counts_void && !count_void(check, &answer))
		return permerror(e, void_reason);
	for (size_t i = 0; i < answer.count; i++)
		if (prefix_matches(check->ip, answer.records[i].data.ptr, bits))
			return MATCH_YES;
	return MATCH_NO;
}

/* May wait. */
static enum match
match_mx(struct evaluation *e, struct slice name)
{
	struct dns_answer answer;
	enum match match = MATCH_NO;

	spf_ask(e->check, name, DNS_MX, &answer);
	if (answer.outcome == DNS_FAILED)
		return temperror(e, answer.reason);
	if (!count_void(e->check, &answer))
		return permerror(e, void_reason);
	if (answer.count > SPF_ADDRESSES_MAX)
		return permerror(e, "the domain has more than 10 MX records");
	for (size_t i = 0; match == MATCH_NO && i < answer.count; i++)
		match = match_addresses(e, answer.records[i].name, false);
	return match;
}

/* May wait. Whether the name leads back to the client's address. */
static bool
name_is_confirmed(struct spf_check *check, struct slice name)
{
	struct dns_answer answer;

	spf_ask(check, name, address_type(check), &answer);
	for (size_t i = 0; i < answer.count; i++)
		if (slice_equal(answer.records[i].data, check->ip))
			return true;
	return false;
}

void
spf_find_names(struct spf_check *check)
{
	uint8_t storage[80];
	struct buffer name;
	struct dns_answer answer;

	if (check->has_names)
		return;
	check->has_names = true;
	buffer_init_fixed(&name, storage, sizeof storage);
	dns_reverse_name_append(&name, check->ip);
	spf_ask(check, buffer_slice(&name), DNS_PTR, &answer);
	for (size_t i = 0; i < answer.count && i < SPF_ADDRESSES_MAX; i++)
		if (name_is_confirmed(check, answer.records[i].name))
			check->names[check->name_count++] = answer.records[i].name;
}

/* May wait. Errors are no match (section 5.5). */
static enum match
match_ptr(struct evaluation *e, struct slice domain)
{
	spf_find_names(e->check);
	for (size_t i = 0; i < e->check->name_count; i++)
		if (spf_name_is_below(e->check->names[i], domain))
			return MATCH_YES;
	return MATCH_NO;
}

/* May wait. */
static enum match
match_exists(struct evaluation *e, struct slice name)
{
	struct dns_answer answer;

	spf_ask(e->check, name, DNS_A, &answer);
	if (answer.outcome == DNS_FAILED)
		return temperror(e, answer.reason);
	if (!count_void(e->check, &answer))
		return permerror(e, void_reason);
	return answer.count > 0 ? MATCH_YES : MATCH_NO;
}

/* May wait. Section 5.2, with its table. */
static enum match
match_include(struct evaluation *e, struct slice domain)
{
	e->check->depth++;
	struct outcome outcome = evaluate(e->check, domain);
	e->check->depth--;
	switch (outcome.result) {
	case SPF_PASS:
		return MATCH_YES;
	case SPF_TEMPERROR:
		return temperror(e, outcome.reason);
	case SPF_PERMERROR:
		return permerror(e, outcome.reason);
	case SPF_NONE:
		return permerror(e, "the included domain has no SPF record");
	default:
		return MATCH_NO;
	}
}

/* May wait: what needs the DNS. */
static enum match
match_by_dns(struct evaluation *e)
{
	struct slice name;

	if (!count_lookup(e->check))
		return permerror(e, lookups_reason);
	if (!target_of(e, &name))
		return temperror(e, memory_reason);
	switch (e->term->mechanism) {
	case SPF_INCLUDE:
		return match_include(e, name);
	case SPF_A:
		return match_addresses(e, name, true);
	case SPF_MX:
		return match_mx(e, name);
	case SPF_PTR:
		return match_ptr(e, name);
	default:
		return match_exists(e, name);
	}
}

/* May wait. */
static enum match
match_term(struct evaluation *e)
{
	const struct spf_term *term = e->term;
	size_t ip_len = e->check->ip.len;

	switch (term->mechanism) {
	case SPF_ALL:
		return MATCH_YES;
	case SPF_IP4:
		return ip_len == 4 && prefix_matches(e->check->ip, term->address, term->cidr4)
			       ? MATCH_YES
			       : MATCH_NO;
	case SPF_IP6:
		return ip_len == 16 && prefix_matches(e->check->ip, term->address, term->cidr6)
			       ? MATCH_YES
			       : MATCH_NO;
	default:
		return match_by_dns(e);
	}
}

static struct outcome
failure(struct spf_check *check, struct slice domain, enum spf_result result, struct slice term,
	const char *reason)
{
	tell(check, domain, term, spf_result_text(result), slice_text(reason));
	return (struct outcome){.result = result, .term = term, .reason = reason};
}

/* May wait. */
static struct outcome
follow_redirect(struct spf_check *check, struct slice domain, const struct spf_record *record)
{
	struct slice target;

	if (!count_lookup(check))
		return failure(check, domain, SPF_PERMERROR, record->redirect, lookups_reason);
	if (!spf_macro_expand(check, record->redirect, domain, SPF_MACRO_DOMAIN, &target))
		return failure(check, domain, SPF_TEMPERROR, record->redirect, memory_reason);
	tell(check, domain, SLICE("redirect"), "leads to", target);
	check->depth++;
	struct outcome outcome = evaluate(check, target);
	check->depth--;
	if (outcome.result == SPF_NONE)
		return failure(check, domain, SPF_PERMERROR, record->redirect,
			"the domain of the redirect has no SPF record");
	return outcome;
}

/* May wait. */
static struct outcome
evaluate_record(struct spf_check *check, struct slice domain, const struct spf_record *record)
{
	for (size_t i = 0; i < record->count; i++) {
		struct evaluation e = {.check = check, .domain = domain, .term = &record->terms[i]};
		enum match match = match_term(&e);
		if (check->is_sick)
			return failure(check, domain, SPF_TEMPERROR, e.term->text, memory_reason);
		if (match == MATCH_TEMPERROR || match == MATCH_PERMERROR)
			return failure(check, domain,
				match == MATCH_TEMPERROR ? SPF_TEMPERROR : SPF_PERMERROR,
				e.term->text, e.reason);
		tell(check, domain, e.term->text, match == MATCH_YES ? "matches" : "does not match",
			(struct slice){0});
		if (match == MATCH_YES)
			return (struct outcome){.result = e.term->result,
				.term = e.term->text,
				.exp = record->exp,
				.exp_domain = domain};
	}
	if (record->redirect.len > 0)
		return follow_redirect(check, domain, record);
	return (struct outcome){.result = SPF_NEUTRAL};
}

/* May wait. The domain's one SPF record; a result other than SPF_PASS says that it has none to use.
 */
static struct outcome
find_record(struct spf_check *check, struct slice domain, struct slice *ret_text)
{
	struct dns_answer answer;
	size_t found = 0;

	spf_ask(check, domain, DNS_TXT, &answer);
	if (answer.outcome == DNS_FAILED)
		return failure(check, domain, SPF_TEMPERROR, (struct slice){0}, answer.reason);
	/* The first question, for the record of the domain itself, is no term's. */
	if (check->depth > 0 && !count_void(check, &answer))
		return failure(check, domain, SPF_PERMERROR, (struct slice){0}, void_reason);
	for (size_t i = 0; i < answer.count; i++) {
		if (!spf_is_record(answer.records[i].data))
			continue;
		found++;
		*ret_text = answer.records[i].data;
	}
	if (found > 1)
		return failure(check, domain, SPF_PERMERROR, (struct slice){0},
			"the domain has more than one SPF record");
	if (found == 0)
		return failure(check, domain, SPF_NONE, (struct slice){0},
			answer.outcome == DNS_NO_NAME ? "the domain does not exist"
						      : "the domain has no SPF record");
	tell(check, domain, *ret_text, "is the record", (struct slice){0});
	return (struct outcome){.result = SPF_PASS};
}

static bool
domain_is_sound(struct slice domain)
{
	return dns_name_is_askable(domain) && slice_find(domain, 0, '.') > 0;
}

/* May wait. check_host(): the record found, parsed, evaluated. */
static struct outcome
evaluate(struct spf_check *check, struct slice domain)
{
	struct spf_record record;
	struct slice text = {0}, bad = {0};

	if (slice_has_suffix(domain, SLICE(".")))
		domain.len--;
	if (!domain_is_sound(domain))
		return failure(check, domain, SPF_NONE, (struct slice){0},
			"the name is no domain of more than one label");
	struct outcome outcome = find_record(check, domain, &text);
	if (outcome.result != SPF_PASS)
		return outcome;
	switch (spf_record_parse(text, check->request->arena, &record, &bad)) {
	case OK:
		return evaluate_record(check, domain, &record);
	case ERROR_FORMAT:
		return failure(
			check, domain, SPF_PERMERROR, bad, "the term breaks the grammar of SPF");
	case ERROR_LIMIT:
		return failure(check, domain, SPF_PERMERROR, (struct slice){0},
			"the record has more than 1,000 terms");
	default:
		return failure(check, domain, SPF_TEMPERROR, (struct slice){0}, memory_reason);
	}
}

static bool
is_printable(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < 0x20 || text.ptr[i] > 0x7e)
			return false;
	return true;
}

/* May wait. Section 6.2: any trouble means that there is none. */
static struct slice
fetch_explanation(struct spf_check *check, const struct outcome *outcome)
{
	struct slice name, text;
	struct dns_answer answer;

	if (outcome->result != SPF_FAIL || outcome->exp.len == 0 ||
		!spf_macro_expand(
			check, outcome->exp, outcome->exp_domain, SPF_MACRO_DOMAIN, &name))
		return (struct slice){0};
	spf_ask(check, name, DNS_TXT, &answer);
	if (answer.count != 1 ||
		!spf_macro_is_valid(answer.records[0].data, SPF_MACRO_EXPLANATION) ||
		!spf_macro_expand(check, answer.records[0].data, outcome->exp_domain,
			SPF_MACRO_EXPLANATION, &text))
		return (struct slice){0};
	return is_printable(text) ? text : (struct slice){0};
}

/* An IPv4 address mapped into IPv6 is IPv4 (section 5). */
static struct slice
unmapped(struct slice ip)
{
	static const uint8_t mapped[12] = {[10] = 0xff, 0xff};

	return ip.len == 16 && memcmp(ip.ptr, mapped, sizeof mapped) == 0 ? slice_from(ip, 12) : ip;
}

/* The identity as "local-part@domain": a sender without one gets "postmaster" (section 4.3). */
static bool
take_identity(struct spf_check *check, struct slice sender)
{
	struct arena *arena = check->request->arena;
	size_t at = sender.len;
	struct buffer whole;

	while (at > 0 && sender.ptr[at - 1] != '@')
		at--;
	/* RFC 8616 section 4: as the DNS knows it. One that it cannot know is asked for as it is.
	 */
	check->sender_domain = slice_from(sender, at);
	if (domain_to_ascii(arena, check->sender_domain, &check->sender_domain) == ERROR_NO_MEMORY)
		return false;
	check->local_part = at > 1 ? slice_sub(sender, 0, at - 1) : SLICE("postmaster");
	size_t size = check->local_part.len + 1 + check->sender_domain.len;
	uint8_t *storage = arena_take(arena, size);
	if (!storage)
		return false;
	buffer_init_fixed(&whole, storage, size);
	buffer_append(&whole, check->local_part);
	buffer_append_octet(&whole, '@');
	buffer_append(&whole, check->sender_domain);
	check->sender = buffer_slice(&whole);
	return true;
}

/* May wait. */
static void
check_identity(
	const struct spf_request *request, struct slice sender, struct spf_verdict *ret_verdict)
{
	struct spf_check check = {.request = request, .ip = unmapped(request->ip)};
	struct outcome outcome = {.result = SPF_TEMPERROR, .reason = memory_reason};
	struct slice explanation = {0};

	if (take_identity(&check, sender)) {
		outcome = evaluate(&check, check.sender_domain);
		explanation = fetch_explanation(&check, &outcome);
	}
	*ret_verdict = (struct spf_verdict){.result = outcome.result,
		.domain = check.sender_domain,
		.term = outcome.term,
		.explanation = explanation,
		.reason = slice_text(outcome.reason),
		.lookups = check.lookups,
		.void_lookups = check.void_lookups};
}

void
spf_check(const struct spf_request *request, struct spf_verdict *ret_verdict)
{
	check_identity(
		request, request->sender.len > 0 ? request->sender : request->helo, ret_verdict);
}

void
spf_check_helo(const struct spf_request *request, struct spf_verdict *ret_verdict)
{
	check_identity(request, request->helo, ret_verdict);
}
