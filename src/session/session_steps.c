/*
 * A session by its steps: what the SMTP server asks of the worker (who is this recipient, is this
 * the password, may it go on) and what it tells it, which goes to the log and to the counts of the
 * client.
 */
#include "session/session_private.h"
#include "base/log_record.h"
#include "session/session_names.h"
#include "session/session_quota.h"

#define REFUSED_FIELDS      10
#define HELO_SHOWN          128             /* octets of it in the log */
#define SENDER_DOMAIN_US    (10 * US_PER_S) /* for the questions about it */
#define SENDER_DOMAIN_ARENA (256u << 10)
#define SLOW_US             US_PER_S /* before the next name that is tried out is answered */

/* "2-17": the seventeenth session of worker 2, for the log. */
static struct log_field
session_field(const struct session *session, char storage[32])
{
	struct buffer text;

	buffer_init_fixed(&text, storage, 32);
	buffer_append_number(&text, session->worker->number);
	buffer_append_octet(&text, '-');
	buffer_append_number(&text, session->number);
	return LOG_SLICE("session", buffer_slice(&text));
}

/* May wait: whoever tries out names is slowed before he is refused. */
static void
note_unknown(const struct session *session)
{
	struct session_worker *worker = session->worker;
	struct loop *loop = worker->env->loop;

	if (session->server.login.len > 0)
		return;
	session_guest_did(worker->limits, &session->guest, CONF_LIMIT_UNKNOWN);
	if (session_guest_is_slowed(worker->limits, &session->guest, CONF_LIMIT_UNKNOWN) &&
		task_sleep(loop, loop_deadline(loop, SLOW_US)) != OK)
		return; /* told to end: the next wait says so too */
}

static struct smtp_reply
reply_to_answer(const struct session *session, enum directory_answer answer)
{
	switch (answer) {
	case DIRECTORY_KNOWN:
		return SMTP_REPLY(250, 2, 1, 5, "recipient ok");
	case DIRECTORY_UNKNOWN_USER:
		note_unknown(session);
		return SMTP_REPLY(550, 5, 1, 1, "no such mailbox here");
	case DIRECTORY_REJECTED:
		return SMTP_REPLY(550, 5, 7, 1, "mail for this domain is refused");
	case DIRECTORY_FOREIGN:
		return SMTP_REPLY(550, 5, 7, 1, "relaying denied: not a domain of this server");
	default:
		return SMTP_REPLY(451, 4, 3, 0, "the table of recipients is not available now");
	}
}

/* May wait. */
static enum directory_answer
ask_directory(const struct session *session, const struct address *address, bool is_trusted,
	mono_us deadline)
{
	struct session_worker *worker = session->worker;
	enum directory_answer answer;

	if (deadline > worker->tables_by)
		deadline = worker->tables_by;
	while ((answer = directory_ask(worker->directory, address, is_trusted)) ==
		DIRECTORY_UNAVAILABLE)
		if (task_event_wait(worker->env->loop, &worker->table_came, deadline) != OK)
			break;
	return answer;
}

/* A return path that is not good any more, or never was: its author may be guessing. */
static struct smtp_reply
refuse_return_path(const struct session *session, enum error error)
{
	switch (error) {
	case ERROR_DENIED:
		note_unknown(session);
		return SMTP_REPLY(550, 5, 1, 1, "this return path was not made here");
	case ERROR_TIMEOUT:
		return SMTP_REPLY(550, 5, 1, 1, "this return path is too old");
	default:
		return SMTP_REPLY(451, 4, 3, 0, "return paths cannot be read now, try later");
	}
}

/*
 * May wait. What bounced goes home to whoever sent it, wherever that is: we took it from there.
 * Nothing but what bounced, or whoever had a message forwarded could send anything as anybody.
 */
static struct smtp_reply
check_return_path(struct session *session, const struct smtp_server *server,
	const struct address *address, mono_us deadline)
{
	struct address home;
	struct slice sender;

	if (smtp_server_sender(server, &sender) && sender.len > 0)
		return SMTP_REPLY(550, 5, 7, 1, "this address is for what bounces, from <>");
	if (!session->home)
		session->home = memory_try(session->worker->env->memory, sizeof *session->home);
	if (!session->home)
		return SMTP_REPLY(452, 4, 3, 1, "out of memory, try later");
	enum error error =
		forward_home(session_tls_keys(session->worker->tls), address, session->home);
	if (error == OK && address_parse_international(
				   forward_address_slice(session->home), &home) != ADDRESS_OK)
		error = ERROR_DENIED;
	if (error != OK)
		return refuse_return_path(session, error);
	session->goes_home = true;
	return reply_to_answer(session, ask_directory(session, &home, true, deadline));
}

/* Trusted clients are ours: what they send is not judged. */
static bool
is_stranger(const struct session *session)
{
	return session->listener->conf->role != CONF_ROLE_LMTP && !session->is_trusted &&
	       session->server.login.len == 0 && session->guest.ip_len > 0;
}

static struct smtp_reply
session_check_sender(
	void *arg, const struct smtp_server *server, struct slice sender, mono_us deadline)
{
	struct session *session = arg;
	struct session_worker *worker = session->worker;
	enum conf_sender_domain mode = worker->conf->sender_domain;
	mono_us own_deadline = loop_deadline(worker->env->loop, SENDER_DOMAIN_US);
	size_t at = sender.len;
	struct arena arena;
	char id[32];

	while (at > 0 && sender.ptr[at - 1] != '@')
		at--;
	struct address domain = {.domain = slice_from(sender, at)};
	/* What is ours needs no DNS to be. */
	if (mode == CONF_SENDER_DOMAIN_OFF || !is_stranger(session) ||
		directory_is_account(worker->directory, &domain))
		return (struct smtp_reply){.code = 0};
	arena_init(&arena, worker->env->memory, SENDER_DOMAIN_ARENA);
	struct smtp_reply reply = sender_domain_ask(session_auth_dns(worker->auth), domain.domain,
		&arena, deadline < own_deadline ? deadline : own_deadline);
	arena_done(&arena);
	if (reply.code == 0 || mode == CONF_SENDER_DOMAIN_CHECK)
		return reply;
	log_event(worker->env, LOG_INFO, "sender_domain", session_field(session, id),
		LOG_SLICE("client", server->client_address), LOG_SLICE("from", sender),
		LOG_NUMBER("code", reply.code), LOG_SLICE("reply", reply.text));
	return (struct smtp_reply){.code = 0};
}

static struct smtp_reply
session_check_recipient(void *arg, const struct smtp_server *server, const struct address *address,
	mono_us deadline)
{
	struct session *session = arg;
	struct session_worker *worker = session->worker;
	bool is_login = server->login.len > 0;
	bool is_trusted = session->is_trusted || is_login;

	session->goes_home = false;
	if (!is_login) {
		struct smtp_reply refusal =
			session_guest_may(worker->limits, &session->guest, CONF_LIMIT_UNKNOWN);
		if (refusal.code != 0)
			return refusal;
	}
	if (forward_is_return_path(worker->conf, address))
		return check_return_path(session, server, address, deadline);
	struct smtp_reply reply =
		reply_to_answer(session, ask_directory(session, address, is_trusted, deadline));
	struct smtp_reply refusal = {.code = 0};
	if (is_login && smtp_reply_is_positive(&reply))
		refusal = session_quota_recipient(session, address);
	return refusal.code != 0 ? refusal : reply;
}

static enum error
session_expand(void *arg, const struct address *address, struct slice mailbox, struct arena *arena,
	struct slice **ret_targets, size_t *ret_count)
{
	const struct session *session = arg;
	struct address home;

	if (session->goes_home) { /* as session_check_recipient has just found */
		mailbox = forward_address_slice(session->home);
		if (address_parse_international(mailbox, &home) == ADDRESS_OK)
			address = &home;
	}
	enum error error = directory_expand(
		session->worker->directory, address, mailbox, arena, ret_targets, ret_count);

	if (error != OK)
		log_event(session->worker->env, LOG_WARNING, "alias_unusable",
			LOG_SLICE("address", mailbox), LOG_STRING("error", error_text(error)));
	return error;
}

static bool
session_leads_abroad(void *arg, const struct address *address)
{
	const struct session *session = arg;

	return !session->goes_home && directory_leads_abroad(session->worker->directory, address);
}

static bool
session_is_account(void *arg, const struct address *address)
{
	return directory_is_account(((struct session *)arg)->worker->directory, address);
}

static void
session_connected(void *arg, const struct smtp_server *server)
{
	struct session *session = arg;
	char id[32];

	log_event(session->worker->env, LOG_INFO, "connected", session_field(session, id),
		LOG_SLICE("listener", server->settings->listener),
		LOG_SLICE("client", server->client_address),
		LOG_NUMBER("port", server->client_port));
}

static void
session_refused(void *arg, const struct smtp_server *server, struct slice line,
	const struct smtp_reply *reply)
{
	struct session *session = arg;
	struct slice summary = judgement_summary(session->judgement);
	struct log_field fields[REFUSED_FIELDS];
	uint8_t storage[ENVELOPE_SOME_BYTES];
	struct slice sender;
	struct buffer to;
	size_t count = 0;
	char id[32];

	fields[count++] = session_field(session, id);
	fields[count++] = LOG_SLICE("client", server->client_address);
	fields[count++] = LOG_NUMBER("code", reply->code);
	fields[count++] = LOG_SLICE("reply", reply->text);
	fields[count++] = LOG_SLICE("command", line);
	if (summary.len > 0)
		fields[count++] = LOG_SLICE("authentication", summary);
	if (smtp_server_sender(server, &sender))
		fields[count++] = LOG_SLICE("from", sender);
	buffer_init_fixed(&to, storage, sizeof storage);
	if (server->offered) {
		envelope_append_some(server->offered, &to);
		fields[count++] = LOG_SLICE("to", buffer_slice(&to));
		if (server->offered->message_id.len > 0)
			fields[count++] = LOG_SLICE("message_id", server->offered->message_id);
	}
	fields[count++] = LOG_SLICE("listener", server->settings->listener);
	log_write(session->worker->env, LOG_INFO, "refused", fields, count);
}

static void
session_talked_early(void *arg, const struct smtp_server *server)
{
	struct session *session = arg;
	char id[32];

	log_event(session->worker->env, LOG_INFO, "talked_early", session_field(session, id),
		LOG_SLICE("client", server->client_address),
		LOG_STRING("before", server->commands > 0 ? "a reply" : "the greeting"));
}

static void
session_received(void *arg, const struct smtp_server *server, const struct envelope *envelope)
{
	struct session *session = arg;
	struct slice summary = judgement_summary(session->judgement);
	char session_id[32], queue_id[QUEUE_ID_DIGITS + 1];
	uint8_t storage[ENVELOPE_SOME_BYTES];
	struct buffer to;

	buffer_init_fixed(&to, storage, sizeof storage);
	envelope_append_some(envelope, &to);
	if (server->login.len == 0)
		session_guest_did(session->worker->limits, &session->guest, CONF_LIMIT_MESSAGES);
	queue_id_print(envelope->id, queue_id);
	log_event(session->worker->env, LOG_INFO, "received", LOG_STRING("id", queue_id),
		session_field(session, session_id), LOG_SLICE("client", server->client_address),
		LOG_SLICE("from", envelope->reverse_path),
		LOG_NUMBER("recipients", envelope->recipient_count),
		LOG_NUMBER("size", envelope->content_size),
		LOG_SLICE("tls", server->tls.len > 0 ? server->tls : SLICE("none")),
		LOG_SLICE("authentication", summary.len > 0 ? summary : SLICE("none")),
		LOG_SLICE("login", server->login.len > 0 ? server->login : SLICE("none")),
		LOG_SLICE("message_id",
			envelope->message_id.len > 0 ? envelope->message_id : SLICE("none")),
		LOG_SLICE("listener", server->settings->listener),
		LOG_SLICE("client_name",
			server->client_name.len > 0 ? server->client_name : SLICE("none")),
		LOG_SLICE("helo", slice_sub(server->helo, 0, HELO_SHOWN)),
		LOG_SLICE("to", buffer_slice(&to)));
}

static bool
session_is_judged(const struct session *session)
{
	return session->worker->conf->authentication == CONF_AUTHENTICATION_ON &&
	       is_stranger(session);
}

static void
session_content_over(void *arg)
{
	struct session *session = arg;

	session_guest_content_over(session->worker->limits, &session->guest);
	submission_free(&session->submission);
	judgement_free(&session->judgement);
	signing_free(&session->signing);
}

static bool
session_content_begins(void *arg, const struct smtp_server *server)
{
	struct session *session = arg;
	struct session_worker *worker = session->worker;
	bool is_login = server->login.len > 0;
	bool is_signed = (is_login || session->is_trusted) && worker->conf->dkim_count > 0;

	session_guest_content(worker->limits, &session->guest);
	if (is_login)
		session->submission = submission_new(worker->env);
	if (is_signed)
		session->signing =
			signing_new(worker->env, worker->conf, session_tls_keys(worker->tls));
	if (session_is_judged(session))
		session->judgement = judgement_new(worker->auth, server->forwards);
	if ((!is_login || session->submission) && (!is_signed || session->signing) &&
		(!session_is_judged(session) || session->judgement))
		return true;
	session_content_over(session);
	return false;
}

static void
session_content_piece(void *arg, struct slice octets)
{
	struct session *session = arg;

	if (session->submission)
		submission_feed(session->submission, octets);
	if (session->judgement)
		judgement_feed(session->judgement, octets);
	if (session->signing)
		signing_feed(session->signing, octets);
}

/* May wait. */
static void
session_content_ends(void *arg, const struct smtp_server *server, const struct envelope *envelope,
	struct smtp_verdict *ret_verdict)
{
	struct session *session = arg;

	struct session_worker *worker = session->worker;

	if (session->submission)
		submission_end(session->submission, session->login, ret_verdict);
	if (ret_verdict->refusal.code != 0)
		return;
	if (session->signing &&
		signing_end(session->signing, ret_verdict->added, &ret_verdict->fields) != OK)
		ret_verdict->refusal = SMTP_REPLY(452, 4, 3, 1, "out of memory, try later");
	if (session->judgement && judgement_end(session->judgement,
					  slice_of(session->guest.ip, session->guest.ip_len),
					  envelope, ret_verdict) != OK)
		ret_verdict->refusal = SMTP_REPLY(452, 4, 3, 1, "out of memory, try later");
	if (server->login.len > 0 && ret_verdict->refusal.code == 0)
		ret_verdict->refusal = session_quota_content(session, envelope->content_size);
	if (server->forwards && ret_verdict->refusal.code == 0)
		ret_verdict->forward_path = forward_path(session_tls_keys(worker->tls),
			worker->conf, envelope, &session->server.arena);
}

static bool
session_can_start_tls(void *arg)
{
	return session_tls_is_ready(((struct session *)arg)->worker->tls);
}

enum error
session_start_tls(void *arg, struct smtp_server *server, mono_us deadline)
{
	struct session *session = arg;
	struct session_worker *worker = session->worker;
	char id[32], why[TLS_PROBLEM_BYTES];
	enum error error = session_tls_start(worker->tls, session->listener->conf,
		&session->socket.stream, deadline, &session->crypto, why);

	if (error != OK) {
		log_event(worker->env, LOG_INFO, "tls_failed", session_field(session, id),
			LOG_SLICE("listener", session->listener->name),
			LOG_SLICE("client", server->client_address), LOG_STRING("reason", why));
		return error;
	}
	server->tls = slice_of(session->crypto->text, session->crypto->text_len);
	server->stream = &session->crypto->stream.stream;
	line_reader_init(&session->reader, worker->lines, server->stream);
	log_event(worker->env, LOG_INFO, "tls_started", session_field(session, id),
		LOG_SLICE("client", server->client_address), LOG_SLICE("tls", server->tls));
	return OK;
}

static void
session_closed(void *arg, const struct smtp_server *server, enum smtp_end end)
{
	struct session *session = arg;
	char id[32];

	log_event(session->worker->env, LOG_INFO, "closed", session_field(session, id),
		LOG_STRING("end", smtp_end_text(end)), LOG_NUMBER("messages", server->messages));
}

/* What auth said of a guest who logs in: its login, or one more failure. */
static void
note_login(struct session *session, struct smtp_server *server, enum error error,
	struct slice login, struct session_login *known)
{
	struct session_limits *limits = session->worker->limits;

	if (error == ERROR_DENIED)
		session_guest_failed_login(limits, &session->guest, login);
	if (error != OK)
		return;
	session_guest_logged_in(limits, &session->guest, login);
	session_login_free(session->worker->logins, &session->login);
	session->login = known;
	server->login = known->login;
}

/* May wait. */
static enum error
session_authenticate(void *arg, struct smtp_server *server, struct slice login,
	struct secret password, mono_us deadline)
{
	struct session *session = arg;
	struct session_login *known = NULL;

	if (!session_guest_may_log_in(session->worker->limits, &session->guest, login))
		return ERROR_LIMIT;
	enum error error = session_logins_ask(
		session->worker->logins, login, password, server->client_address, deadline, &known);
	note_login(session, server, error, login, known);
	return error;
}

/* May wait. */
static bool
session_offers_scram(void *arg, mono_us deadline)
{
	const struct session *session = arg;

	return session_logins_offer_scram(session->worker->logins, deadline);
}

/* May wait. */
static enum error
session_scram_challenge(void *arg, struct slice login, struct slice nonce, mono_us deadline,
	struct buffer *ret_text)
{
	const struct session *session = arg;

	return session_logins_challenge(session->worker->logins, login, nonce, deadline, ret_text);
}

/* May wait. */
static enum error
session_scram_prove(void *arg, struct smtp_server *server, const struct smtp_scram_proof *proof,
	mono_us deadline, uint8_t ret_signature[SMTP_SCRAM_SIGNATURE])
{
	struct session *session = arg;
	struct session_login *known = NULL;

	if (!session_guest_may_log_in(session->worker->limits, &session->guest, proof->login))
		return ERROR_LIMIT;
	enum error error = session_logins_prove(session->worker->logins, proof,
		server->client_address, deadline, ret_signature, &known);
	note_login(session, server, error, proof->login, known);
	return error;
}

static enum error
session_channel_binding(void *arg, struct slice name, struct buffer *ret_octets)
{
	const struct session *session = arg;
	uint8_t octets[TLS_BINDING_BYTES_MAX];
	size_t len;

	if (!session->crypto)
		return ERROR_UNSUPPORTED;
	enum error error = tls_stream_binding(&session->crypto->stream, name, octets, &len);
	if (error == OK)
		buffer_append(ret_octets, slice_of(octets, len));
	return error;
}

static bool
session_may_send_as(void *arg, const struct smtp_server *server, struct slice sender)
{
	const struct session *session = arg;

	(void)server;
	return session_login_may_send_as(session->login, sender);
}

static struct smtp_reply
session_may_begin(void *arg, const struct smtp_server *server)
{
	struct session *session = arg;

	if (server->login.len > 0)
		return session_quota_mail(session);
	return session_guest_may(session->worker->limits, &session->guest, CONF_LIMIT_MESSAGES);
}

static struct smtp_reply
session_may_bring(void *arg, const struct smtp_server *server)
{
	struct session *session = arg;

	if (server->login.len > 0)
		return (struct smtp_reply){.code = 0};
	return session_guest_may(session->worker->limits, &session->guest, CONF_LIMIT_CONTENTS);
}

static void
session_faulted(void *arg, const struct smtp_server *server)
{
	struct session *session = arg;

	(void)server;
	session_guest_did(session->worker->limits, &session->guest, CONF_LIMIT_ERRORS);
}

const struct smtp_server_ops session_ops = {
	.check_sender = session_check_sender,
	.set_client = session_set_client,
	.may_begin = session_may_begin,
	.may_bring = session_may_bring,
	.faulted = session_faulted,
	.check_recipient = session_check_recipient,
	.expand = session_expand,
	.leads_abroad = session_leads_abroad,
	.is_account = session_is_account,
	.content_begins = session_content_begins,
	.content_piece = session_content_piece,
	.content_ends = session_content_ends,
	.content_over = session_content_over,
	.can_start_tls = session_can_start_tls,
	.start_tls = session_start_tls,
	.authenticate = session_authenticate,
	.offers_scram = session_offers_scram,
	.scram_challenge = session_scram_challenge,
	.scram_prove = session_scram_prove,
	.channel_binding = session_channel_binding,
	.may_send_as = session_may_send_as,
	.connected = session_connected,
	.refused = session_refused,
	.talked_early = session_talked_early,
	.received = session_received,
	.closed = session_closed,
};
