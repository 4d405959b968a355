/*
 * A record has room for LOG_RECORD_MAX octets; what a stranger makes longer than these maxima is
 * left out whole, never cut: half a name is another name. The results of signatures stand last, as
 * those that a full record loses.
 */
#include "session/session_dmarc.h"
#include "base/log_record.h"

#define RUA_MAX     400 /* octets of rua=; whole URIs of it are kept */
#define NAME_LENGTH 253
#define RESULTS_MAX 300
#define POLICY_MAX  80

static bool
is_for_our_reports(const struct envelope *envelope, const struct conf *conf)
{
	bool is = false;

	for (uint32_t i = 0; i < envelope->recipient_count; i++)
		is |= slice_equal_nocase(envelope->recipients[i].address, conf->dmarc_report_from);
	return is;
}

static struct slice
name_or_nothing(struct slice name)
{
	return name.len <= NAME_LENGTH ? name : slice_of(NULL, 0);
}

/* As many URIs as fit, from the first. */
static struct slice
fitting_uris(struct slice uris)
{
	size_t end = uris.len;

	if (uris.len <= RUA_MAX)
		return uris;
	for (end = RUA_MAX; end > 0 && uris.ptr[end] != ',';)
		end--;
	return slice_sub(uris, 0, end);
}

static void
append_policy(struct buffer *text, const struct dmarc_record *record)
{
	buffer_printf(text, "p=%s sp=%s np=%s adkim=%s aspf=%s t=%s",
		dmarc_policy_text(record->policy), dmarc_policy_text(record->subdomains),
		dmarc_policy_text(record->absent), record->is_dkim_strict ? "s" : "r",
		record->is_spf_strict ? "s" : "r", record->is_testing ? "y" : "n");
}

/* "example.org s2026 pass,lists.example s1 fail" */
static void
append_signatures(struct buffer *text, const struct dkim *dkim)
{
	for (size_t i = 0; i < dkim->count; i++) {
		const struct signature *s = &dkim->signatures[i];
		const char *result = dkim_result_text(s->result);
		size_t len = s->domain.len + s->selector.len + strlen(result) + 3;
		if (!domain_is_signable(s->domain) || !domain_is_signable(s->selector) ||
			text->len + len > RESULTS_MAX)
			continue;
		buffer_append_text(text, text->len > 0 ? "," : "");
		buffer_append(text, s->domain);
		buffer_append_octet(text, ' ');
		buffer_append(text, s->selector);
		buffer_printf(text, " %s", result);
	}
}

static const char *
disposition_of(const struct dmarc_seen *seen)
{
	static const char *const texts[] = {
		[POLICY_ACCEPT] = "none", [POLICY_JUNK] = "quarantine", [POLICY_REFUSE] = "reject"};

	return seen->dmarc->result == DMARC_PASS ? "pass" : texts[seen->decision->action];
}

/* Why less was done than the policy says (RFC 9990's PolicyOverrideType); NULL: it was done. */
static const char *
override_of(const struct dmarc_seen *seen)
{
	static const enum policy_action wished[] = {[DMARC_POLICY_NONE] = POLICY_ACCEPT,
		[DMARC_POLICY_QUARANTINE] = POLICY_JUNK,
		[DMARC_POLICY_REJECT] = POLICY_REFUSE};
	const struct dmarc_verdict *dmarc = seen->dmarc;

	if (dmarc->result == DMARC_PASS || seen->decision->action == wished[dmarc->policy])
		return NULL;
	if (slice_equal(slice_text(seen->decision->rule), SLICE("arc-trusted")))
		return "trusted_forwarder";
	return seen->decision->action == wished[dmarc->requested] ? "policy_test_mode"
								  : "local_policy";
}

void
session_dmarc_tell(struct env *env, const struct conf *conf, const struct dmarc_seen *seen)
{
	const struct dmarc_verdict *dmarc = seen->dmarc;
	bool has_sender = seen->envelope->reverse_path.len > 0;
	uint8_t policy_storage[POLICY_MAX], results_storage[RESULTS_MAX];
	struct buffer policy, results;

	if (conf->dmarc_report_from.len == 0 || dmarc->record.reports.len == 0 ||
		(dmarc->result != DMARC_PASS && dmarc->result != DMARC_FAIL) ||
		is_for_our_reports(seen->envelope, conf))
		return;
	const char *override = override_of(seen);
	buffer_init_fixed(&policy, policy_storage, sizeof policy_storage);
	append_policy(&policy, &dmarc->record);
	buffer_init_fixed(&results, results_storage, sizeof results_storage);
	append_signatures(&results, seen->dkim);
	log_event(env, LOG_INFO, "dmarc_seen",
		LOG_SLICE("domain", name_or_nothing(dmarc->policy_domain)),
		LOG_SLICE("author", name_or_nothing(seen->author)),
		LOG_SLICE("client", seen->envelope->client_address),
		LOG_STRING("disposition", disposition_of(seen)),
		LOG_STRING("dkim", dmarc->dkim_domain.len > 0 ? "pass" : "fail"),
		LOG_STRING("spf", dmarc->is_spf_aligned ? "pass" : "fail"),
		LOG_STRING("override", override),
		LOG_STRING("rule", override ? seen->decision->rule : NULL),
		LOG_SLICE("policy", buffer_slice(&policy)),
		LOG_STRING("spf_scope", has_sender ? "mfrom" : "helo"),
		LOG_STRING("spf_result", spf_result_text(seen->spf->result)),
		LOG_SLICE("spf_domain", name_or_nothing(seen->spf->domain)),
		LOG_SLICE("rua", fitting_uris(dmarc->record.reports)),
		LOG_SLICE("signatures", buffer_slice(&results)));
}
