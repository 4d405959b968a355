/*
 * `keys` writes and reads the local part of such an address, so that no process that talks to
 * strangers could forge one once it is somebody else's.
 *
 * Mail that can't get a new return path goes with its own: it may fail SPF where it arrives, but
 * mail that is not sent reaches nobody.
 */
#include "session/session_forward.h"
#include "base/log_record.h"
#include "mailauth/srs.h"
#include "sign/key_ask.h"

static bool
is_own_domain(const struct conf *conf, struct slice domain)
{
	bool is_own = false;

	for (size_t i = 0; i < conf->domain_count; i++)
		is_own |= slice_equal_nocase(conf->domains[i].name, domain);
	return is_own;
}

bool
forward_is_return_path(const struct conf *conf, const struct address *address)
{
	return conf_srs_domain(conf).len > 0 && srs_is_one(address->local_part) &&
	       is_own_domain(conf, address->domain);
}

/* May wait. */
static enum error
ask(struct caller *keys, bool is_back, struct slice text, struct buffer *answer_text,
	uint32_t *ret_outcome)
{
	struct ipc_message question = {
		.kind = IPC_SRS_ASK, .srs_ask = {.is_back = is_back, .text = text}};
	struct call_answer answer;
	enum error error = key_ask(keys, &question, IPC_SRS_ANSWER, &answer);

	if (error == OK) {
		buffer_append(answer_text, answer.message.srs_answer.text);
		*ret_outcome = answer.message.srs_answer.outcome;
		error = buffer_error(answer_text);
	}
	call_answer_done(&answer, keys->env);
	return error;
}

enum error
forward_home(struct caller *keys, const struct address *address, struct forward_address *ret_home)
{
	struct buffer text;
	uint32_t outcome;

	buffer_init_fixed(&text, ret_home->octets, sizeof ret_home->octets);
	enum error error = ask(keys, true, address->local_part, &text, &outcome);
	if (error != OK)
		return error == ERROR_DENIED || error == ERROR_TIMEOUT ? ERROR_CLOSED : error;
	ret_home->len = (uint16_t)text.len;
	switch (outcome) {
	case SRS_OUTCOME_MADE:
		return OK;
	case SRS_OUTCOME_EXPIRED:
		return ERROR_TIMEOUT;
	case SRS_OUTCOME_NO_SECRET:
		return ERROR_NOT_FOUND;
	default:
		return ERROR_DENIED;
	}
}

static void
say_kept(struct env *env, const struct envelope *envelope, const char *why)
{
	log_event(env, LOG_WARNING, "return_path_kept", LOG_SLICE("from", envelope->reverse_path),
		LOG_STRING("reason", why));
}

static const char *
reason_of(enum error error, uint32_t outcome)
{
	if (error != OK)
		return error_text(error);
	return outcome == SRS_OUTCOME_UNFIT ? "the local part would be no good, or too long"
					    : "there is no secret for SRS";
}

struct slice
forward_path(struct caller *keys, const struct conf *conf, const struct envelope *envelope,
	struct arena *arena)
{
	struct slice domain = conf_srs_domain(conf);
	uint8_t storage[ADDRESS_LOCAL_PART_MAX + 1 + ADDRESS_DOMAIN_MAX];
	struct address sender;
	struct slice path = {0};
	struct buffer text;
	uint32_t outcome = SRS_OUTCOME_UNFIT;

	if (domain.len == 0 || envelope->reverse_path.len == 0)
		return path;
	enum error error = OK;
	buffer_init_fixed(&text, storage, sizeof storage);
	if (address_parse_international(envelope->reverse_path, &sender) == ADDRESS_OK) {
		if (is_own_domain(conf, sender.domain))
			return path;
		error = ask(keys, false, envelope->reverse_path, &text, &outcome);
	}
	buffer_append_octet(&text, '@');
	buffer_append(&text, domain);
	if (error == OK)
		error = buffer_error(&text);
	if (error == OK && outcome == SRS_OUTCOME_MADE &&
		!arena_copy(arena, buffer_slice(&text), &path))
		error = ERROR_NO_MEMORY;
	if (error != OK || outcome != SRS_OUTCOME_MADE)
		say_kept(keys->env, envelope, reason_of(error, outcome));
	return path;
}
