/*
 * A session counts among those of its login from its first MAIL on. Each question that concerns
 * them says how many there are in this worker, so that a new guard knows it, and no message that
 * gets lost makes the count wrong for long.
 */
#include "session/session_quota.h"
#include "ipc/caller.h"
#include "ipc/quota.h"

#define ANSWER_US        (10 * US_PER_S)
#define LEAVE_US         US_PER_S
#define QUOTA_TEXT_BYTES 128
#define SESSIONS_SAID    65535u

static const struct limit_text {
	const char *what, *unit;
} texts[CONF_LOGIN_LIMITS] = {
	[CONF_LOGIN_RECIPIENTS_HOUR] = {"too many recipients", "an hour"},
	[CONF_LOGIN_RECIPIENTS_DAY] = {"too many recipients", "a day"},
	[CONF_LOGIN_NEW_HOUR] = {"too many recipients to whom you have not written before",
		"an hour"},
	[CONF_LOGIN_NEW_DAY] = {"too many recipients to whom you have not written before", "a day"},
	[CONF_LOGIN_MESSAGES_HOUR] = {"too many messages", "an hour"},
	[CONF_LOGIN_MESSAGES_DAY] = {"too many messages", "a day"},
	[CONF_LOGIN_BYTES_HOUR] = {"too many octets of mail", "an hour"},
	[CONF_LOGIN_BYTES_DAY] = {"too many octets of mail", "a day"},
	[CONF_LOGIN_SESSIONS] = {"too many connections that send mail", "at once"},
};

static struct smtp_reply
refusal_of(struct session *session, enum conf_login_limit limit, uint64_t most)
{
	struct memory *memory = session->worker->env->memory;
	struct buffer text;

	if (!session->quota_text)
		session->quota_text = memory_try(memory, QUOTA_TEXT_BYTES);
	if (!session->quota_text)
		return SMTP_REPLY(450, 4, 7, 1, "too much mail from this login, try later");
	buffer_init_fixed(&text, session->quota_text, QUOTA_TEXT_BYTES);
	buffer_printf(&text, "%s: a login may have %llu %s, try later", texts[limit].what,
		(unsigned long long)most, texts[limit].unit);
	return (struct smtp_reply){450, {4, 7, 1}, buffer_slice(&text)};
}

static uint32_t
sessions_of_login(const struct session *session)
{
	uint32_t count = 0;

	list_for_each (link, &session->worker->open) {
		const struct session *other = list_entry(link, struct session, link);
		count += other->is_counted && count < SESSIONS_SAID &&
			 slice_equal_nocase(other->server.login, session->server.login);
	}
	return count;
}

/* May wait. */
static struct smtp_reply
ask_guard(struct session *session, struct ipc_quota_ask *ask, int64_t timeout_us)
{
	struct session_worker *worker = session->worker;
	struct smtp_reply reply = {.code = 0};
	struct call_answer answer;

	ask->login = session->server.login;
	struct ipc_message question = {.kind = IPC_QUOTA_ASK, .quota_ask = *ask};
	enum error error = call_ask(session_limits_caller(worker->limits), &question,
		IPC_QUOTA_ANSWER, loop_deadline(worker->env->loop, timeout_us), &answer);
	uint32_t limit = error == OK ? answer.message.quota_answer.limit : 0;
	if (error != OK || limit > CONF_LOGIN_LIMITS)
		reply = SMTP_REPLY(451, 4, 3, 0, "what you send cannot be counted now, try later");
	else if (limit > 0)
		reply = refusal_of(session, (enum conf_login_limit)(limit - 1),
			answer.message.quota_answer.most);
	call_answer_done(&answer, worker->env);
	return reply;
}

struct smtp_reply
session_quota_mail(struct session *session)
{
	bool was_counted = session->is_counted;

	session->is_counted = true;
	struct smtp_reply reply = ask_guard(session,
		&(struct ipc_quota_ask){.step = QUOTA_MAIL, .sessions = sessions_of_login(session)},
		ANSWER_US);
	if (reply.code != 0)
		session->is_counted = was_counted;
	return reply;
}

struct smtp_reply
session_quota_recipient(struct session *session, const struct address *address)
{
	uint8_t storage[ADDRESS_MAX];
	struct buffer recipient;

	buffer_init_fixed(&recipient, storage, sizeof storage);
	address_append_canonical(&recipient, address);
	return ask_guard(session,
		&(struct ipc_quota_ask){
			.step = QUOTA_RECIPIENT, .recipient = buffer_slice(&recipient)},
		ANSWER_US);
}

struct smtp_reply
session_quota_content(struct session *session, uint64_t octets)
{
	return ask_guard(session, &(struct ipc_quota_ask){.step = QUOTA_CONTENT, .octets = octets},
		ANSWER_US);
}

void
session_quota_leave(struct session *session)
{
	if (!session->is_counted)
		return;
	session->is_counted = false;
	/* Without a guard there is nobody who would have to know. */
	(void)ask_guard(session,
		&(struct ipc_quota_ask){
			.step = QUOTA_LEAVE, .sessions = sessions_of_login(session)},
		LEAVE_US);
}
