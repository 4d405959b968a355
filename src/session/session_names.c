/*
 * Both are asked only for strangers. A sender whose domain does not exist can be told nothing, so a
 * message of his that cannot be delivered would be lost without a word, or told to somebody else.
 */
#include "session/session_names.h"

#include "text/address.h"
#include "text/international.h"

static bool
is_null_mx(const struct dns_answer *answer)
{
	return answer->count == 1 && answer->records[0].name.len == 0;
}

static struct smtp_reply
unanswered(void)
{
	return SMTP_REPLY(451, 4, 4, 3, "the sender's domain cannot be looked up now, try later");
}

/* May wait. Without MX the domain itself is the host (RFC 5321 section 5.1). */
static struct smtp_reply
ask_host(const struct dns_source *dns, struct slice domain, struct arena *arena, mono_us deadline)
{
	static const enum dns_type types[] = {DNS_A, DNS_AAAA};
	struct dns_answer answer;
	bool is_failed = false;

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		dns_ask(dns, domain, types[i], arena, deadline, &answer);
		if (answer.outcome == DNS_FOUND)
			return (struct smtp_reply){.code = 0};
		is_failed |= answer.outcome == DNS_FAILED;
	}
	if (is_failed)
		return unanswered();
	return SMTP_REPLY(550, 5, 1, 8, "the sender's domain has no mail server and no address");
}

struct smtp_reply
sender_domain_ask(
	const struct dns_source *dns, struct slice domain, struct arena *arena, mono_us deadline)
{
	struct dns_answer answer;

	if (domain.len == 0 || domain.ptr[0] == '[' ||
		domain_to_ascii(arena, domain, &domain) != OK || !dns_name_is_askable(domain))
		return (struct smtp_reply){.code = 0};
	dns_ask(dns, domain, DNS_MX, arena, deadline, &answer);
	switch (answer.outcome) {
	case DNS_FOUND:
		if (is_null_mx(&answer))
			return SMTP_REPLY(
				550, 5, 7, 27, "the sender's domain says that it takes no mail");
		return (struct smtp_reply){.code = 0};
	case DNS_NO_DATA:
		return ask_host(dns, domain, arena, deadline);
	case DNS_NO_NAME:
		return SMTP_REPLY(550, 5, 1, 8, "the sender's domain does not exist");
	case DNS_FAILED:
		break;
	}
	return unanswered();
}

/* May wait. */
static bool
leads_back(const struct dns_source *dns, struct slice name, struct slice ip, struct arena *arena,
	mono_us deadline)
{
	struct dns_answer answer;

	dns_ask(dns, name, ip.len == 4 ? DNS_A : DNS_AAAA, arena, deadline, &answer);
	for (size_t i = 0; i < answer.count; i++)
		if (slice_equal(answer.records[i].data, ip))
			return true;
	return false;
}

struct slice
client_name_ask(
	const struct dns_source *dns, struct slice ip, struct arena *arena, mono_us deadline)
{
	uint8_t storage[80];
	struct buffer reverse;
	struct dns_answer answer;

	buffer_init_fixed(&reverse, storage, sizeof storage);
	dns_reverse_name_append(&reverse, ip);
	dns_ask(dns, buffer_slice(&reverse), DNS_PTR, arena, deadline, &answer);
	for (size_t i = 0; i < answer.count && i < CLIENT_NAMES_MAX; i++) {
		struct slice name = answer.records[i].name;
		if (domain_is_valid_helo(name) && leads_back(dns, name, ip, arena, deadline))
			return name;
	}
	return slice_of(NULL, 0);
}
