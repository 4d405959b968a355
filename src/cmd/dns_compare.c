/*
 * What the DNS has of a wish. Records are judged by what they mean: an SPF record is good when it
 * lets this server send, in whatever words; a DMARC record when it is one.
 */
#include "cmd/dns_records.h"
#include "cmd/tool.h"
#include "mailauth/dmarc.h"
#include "mailauth/key_record.h"
#include "mailauth/spf.h"

#define ADVICE_MAX  4096
#define FOUND_MAX   (64u << 10)
#define DEADLINE_US (20 * US_PER_S)

struct look {
	const struct wishes *wishes;
	const struct wish *wish;
	const struct dns_source *dns;
	mono_us deadline;
	struct dns_answer answer;
	struct buffer found, advice;
};

const char *
finding_state_text(enum finding_state state)
{
	static const char *const texts[] = {"good", "advice", "unknown", "missing", "differs"};

	return texts[state];
}

static void
ask(struct look *look, struct slice name, enum dns_type type, struct dns_answer *ret_answer)
{
	dns_ask(look->dns, name, type, look->wishes->arena, look->deadline, ret_answer);
}

static enum finding_state
publish(struct look *look, const char *why)
{
	bool has_none = look->answer.count == 0;

	buffer_append_text(&look->advice, why);
	wish_append_record(&look->advice, look->wish);
	return has_none ? FINDING_MISSING : FINDING_DIFFERS;
}

static enum finding_state
unknown(struct look *look, const struct dns_answer *answer)
{
	buffer_printf(&look->advice, "ask again: %s", answer->reason);
	return FINDING_UNKNOWN;
}

static void
note_found(struct look *look, struct slice text)
{
	buffer_append_text(&look->found, look->found.len > 0 ? "; " : "");
	buffer_append(&look->found, text);
}

/* The texts that begin with a tag; how many, and the last one. */
static size_t
find_texts(struct look *look, struct slice tag, struct slice *ret_text)
{
	size_t count = 0;

	for (size_t i = 0; i < look->answer.count; i++) {
		struct slice text = look->answer.records[i].data;
		if (!slice_has_prefix_nocase(text, tag))
			continue;
		*ret_text = text;
		note_found(look, text);
		count++;
	}
	return count;
}

/* Whether the name that belongs to an address is the server's (RFC 1912 section 2.1): many refuse
 * mail of others. */
static bool
has_reverse(struct look *look, struct slice address)
{
	uint8_t storage[DNS_NAME_MAX];
	struct buffer name;
	struct dns_answer answer;

	buffer_init_fixed(&name, storage, sizeof storage);
	dns_reverse_name_append(&name, address);
	ask(look, buffer_slice(&name), DNS_PTR, &answer);
	for (size_t i = 0; i < answer.count; i++)
		if (slice_equal_nocase(answer.records[i].name, look->wish->name))
			return true;
	return answer.outcome == DNS_FAILED;
}

static enum finding_state
look_at_addresses(struct look *look, const struct dns_answer *answer)
{
	enum finding_state state = FINDING_GOOD;

	for (size_t i = 0; i < answer->count; i++)
		if (!has_reverse(look, answer->records[i].data))
			state = FINDING_DIFFERS;
	return state;
}

static enum finding_state
look_at_host(struct look *look)
{
	struct dns_answer six;
	struct slice host = look->wish->name;

	ask(look, host, DNS_AAAA, &six);
	if (six.outcome == DNS_FAILED)
		return unknown(look, &six);
	if (look->answer.count + six.count == 0) {
		buffer_printf(&look->advice,
			"publish the addresses of this server: %.*s. IN A ... and AAAA ...",
			SLICE_ARGS(host));
		return FINDING_MISSING;
	}
	if ((look->answer.count > 0 && !slice_equal_nocase(look->answer.name, host)) ||
		(six.count > 0 && !slice_equal_nocase(six.name, host))) {
		note_found(look, SLICE("a CNAME"));
		buffer_append_text(&look->advice,
			"publish its addresses themselves: the target of an MX may not be a CNAME");
		return FINDING_DIFFERS;
	}
	if (look_at_addresses(look, &look->answer) == FINDING_GOOD &&
		look_at_addresses(look, &six) == FINDING_GOOD)
		return FINDING_GOOD;
	buffer_printf(&look->advice,
		"have whoever gave you the address name it %.*s in the reverse DNS (PTR): many "
		"refuse mail else",
		SLICE_ARGS(host));
	return FINDING_DIFFERS;
}

static enum finding_state
look_at_mx(struct look *look)
{
	for (size_t i = 0; i < look->answer.count; i++) {
		note_found(look, look->answer.records[i].name);
		if (slice_equal_nocase(look->answer.records[i].name, look->wish->target))
			return FINDING_GOOD;
	}
	return publish(look, "no mail comes to this server; publish ");
}

/* Whether each address of the server may send. */
static enum finding_state
try_spf(struct look *look, enum dns_type type)
{
	const struct wishes *wishes = look->wishes;
	struct spf_request request = {.dns = look->dns,
		.arena = wishes->arena,
		.deadline = look->deadline,
		.helo = look->wish->name,
		.now = env_wall(wishes->env)};
	struct spf_verdict verdict;
	struct dns_answer hosts;

	ask(look, wishes->conf->hostname, type, &hosts);
	if (hosts.outcome == DNS_FAILED)
		return unknown(look, &hosts);
	for (size_t i = 0; i < hosts.count; i++) {
		request.ip = hosts.records[i].data;
		spf_check(&request, &verdict);
		if (verdict.result == SPF_PASS)
			continue;
		if (verdict.result == SPF_TEMPERROR) {
			buffer_append_text(&look->advice, "ask again: ");
			tool_append_harmless(&look->advice, verdict.reason);
			return FINDING_UNKNOWN;
		}
		buffer_printf(&look->advice, "SPF says \"%s\" of this server",
			spf_result_text(verdict.result));
		buffer_append_text(&look->advice, verdict.reason.len > 0 ? " (" : "");
		tool_append_harmless(&look->advice, verdict.reason);
		buffer_append_text(&look->advice, verdict.reason.len > 0 ? ")" : "");
		return publish(look, "; publish ");
	}
	return FINDING_GOOD;
}

static enum finding_state
look_at_spf(struct look *look)
{
	struct slice text;
	size_t count = find_texts(look, SLICE("v=spf1"), &text);

	if (count == 0) {
		look->answer.count = 0;
		return publish(look, "publish ");
	}
	if (count > 1)
		return publish(look, "there must be one SPF record only; take off the others of ");
	enum finding_state state = try_spf(look, DNS_A);
	return state == FINDING_GOOD ? try_spf(look, DNS_AAAA) : state;
}

static enum finding_state
look_at_dkim(struct look *look)
{
	struct key_record ours, theirs;
	struct arena *arena = look->wishes->arena;

	if (key_record_parse(look->wish->text, arena, &ours) != KEY_OK)
		return unknown(look, &(struct dns_answer){.reason = "there is no memory"});
	for (size_t i = 0; i < look->answer.count; i++)
		note_found(look, look->answer.records[i].data);
	if (look->answer.count > 1)
		return publish(look, "there must be one record only: ");
	if (look->answer.count == 0)
		return publish(look, "signatures of this key are worth nothing until you publish ");
	enum key_fault fault = key_record_parse(look->answer.records[0].data, arena, &theirs);
	if (fault != KEY_OK) {
		buffer_printf(&look->advice, "%s; ", key_fault_text(fault));
		return publish(look, "publish ");
	}
	if (theirs.type != ours.type || !slice_equal(theirs.octets, ours.octets))
		return publish(look, "it is another key than the one that signs; publish ");
	if (!theirs.is_testing)
		return FINDING_GOOD;
	buffer_append_text(&look->advice,
		"it says that you are testing (t=y): take that off when signatures hold");
	return FINDING_ADVICE;
}

static enum finding_state
look_at_dmarc(struct look *look)
{
	struct slice text = {0};
	struct dmarc_record record;
	size_t count = find_texts(look, SLICE("v=DMARC1"), &text);

	if (count == 0) {
		look->answer.count = 0;
		return publish(look, "publish ");
	}
	if (count > 1)
		return publish(look, "with several DMARC records there is none; leave one: ");
	if (!dmarc_record_parse(text, &record))
		return publish(look, "it means nothing to a receiver; publish ");
	if (record.policy != DMARC_POLICY_NONE)
		return FINDING_GOOD;
	buffer_append_text(&look->advice,
		"p=none asks for nothing: when the reports show that your mail passes, say "
		"p=quarantine, then p=reject");
	return FINDING_ADVICE;
}

static bool
is_our_certificate(const struct look *look, const struct dns_record *record)
{
	return record->usage == 3 && record->selector == 1 && record->matching == 1 &&
	       slice_equal(record->data, look->wish->text);
}

/* A record without ours among them keeps mail away: who verifies it refuses our certificate. */
static enum finding_state
look_at_tlsa(struct look *look)
{
	for (size_t i = 0; i < look->answer.count; i++) {
		if (!is_our_certificate(look, &look->answer.records[i]))
			continue;
		if (look->answer.is_secure)
			return FINDING_GOOD;
		buffer_append_text(&look->advice,
			"this DNS server does not vouch for it: without DNSSEC nobody looks at it");
		return FINDING_ADVICE;
	}
	bool has_none = look->answer.count == 0;
	if (!has_none)
		note_found(look, SLICE("records for other keys"));
	publish(look, has_none ? "where the zone has DNSSEC, publish "
			       : "senders that verify it cannot send to you; publish ");
	return has_none ? FINDING_ADVICE : FINDING_DIFFERS;
}

static enum finding_state
look_at_srv(struct look *look)
{
	const struct wish *wish = look->wish;

	for (size_t i = 0; i < look->answer.count; i++) {
		const struct dns_record *record = &look->answer.records[i];
		note_found(look, record->name);
		if (record->port == wish->port && slice_equal_nocase(record->name, wish->target))
			return FINDING_GOOD;
	}
	enum finding_state state = publish(look, "so that mail programs find the server, publish ");
	return state == FINDING_MISSING ? FINDING_ADVICE : state;
}

static enum finding_state
look_at(struct look *look)
{
	static enum finding_state (*const looks[])(struct look * look) = {
		[WISH_ADDRESS] = look_at_host,
		[WISH_MX] = look_at_mx,
		[WISH_SPF] = look_at_spf,
		[WISH_DKIM] = look_at_dkim,
		[WISH_DMARC] = look_at_dmarc,
		[WISH_TLSA] = look_at_tlsa,
		[WISH_SRV] = look_at_srv};

	ask(look, look->wish->name, look->wish->type, &look->answer);
	return look->answer.outcome == DNS_FAILED ? unknown(look, &look->answer)
						  : looks[look->wish->kind](look);
}

bool
finding_make(const struct wishes *wishes, const struct wish *wish, const struct dns_source *dns,
	struct loop *loop, struct finding *ret_finding)
{
	struct look look = {.wishes = wishes,
		.wish = wish,
		.dns = dns,
		.deadline = loop_deadline(loop, DEADLINE_US)};

	*ret_finding = (struct finding){.wish = wish};
	buffer_init(&look.found, wishes->env->memory, FOUND_MAX);
	buffer_init(&look.advice, wishes->env->memory, ADVICE_MAX + FOUND_MAX);
	ret_finding->state = look_at(&look);
	bool is_done = look.found.error == OK && look.advice.error == OK &&
		       arena_copy(wishes->arena, buffer_slice(&look.found), &ret_finding->found) &&
		       arena_copy(wishes->arena, buffer_slice(&look.advice), &ret_finding->advice);
	buffer_done(&look.found);
	buffer_done(&look.advice);
	return is_done;
}
