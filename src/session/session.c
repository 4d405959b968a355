/*
 * An acceptor task a listener and a task a session. A worker over its limit of sessions stops
 * accepting and leaves the connections to the others; without descriptors it rests a moment instead
 * of spinning on a listener that stays readable. Each session is one allocation: stream, line
 * reader and SMTP server together.
 */
#include "session/session.h"
#include "base/log_record.h"
#include "ipc/channel.h"
#include "net/endpoint.h"
#include "session/directory.h"
#include "session/ring_store.h"
#include "session/session_auth.h"
#include "session/session_login.h"
#include "session/session_sign.h"
#include "session/session_tls.h"
#include "session/submission.h"
#include "smtp/server.h"

#include <errno.h>

#define ACCEPTS_A_TURN     8
#define ACCEPT_REST_US     (100 * US_PER_MS)
#define TABLES_WAIT_US     (5 * US_PER_S)
#define ADDRESS_TEXT_BYTES 64

/*
 * What a worker holds beside its listeners and a descriptor a session: standard descriptors,
 * poller, channels and rings, the old ones still there when the new ones come, and what one message
 * brings. A message that does not fit would be lost, and with it a table or a ring.
 */
#define DESCRIPTORS_RESERVED 32

struct session_listener {
	struct list link;
	struct session_worker *worker;
	struct watch watch;
	int fd;
	struct slice name;
	const struct conf_listener *conf;
	struct smtp_server_settings settings;
	bool exhausted; /* descriptors ran out; said once until an accept succeeds */
};

struct session_worker {
	struct env *env;
	const struct conf *conf;
	const struct session_root_ops *root;
	void *root_arg;
	uint32_t number;
	uint64_t descriptors_max;
	uint64_t sessions_max;
	bool unable; /* root was asked to end this worker */
	struct directory *directory;
	struct ring_store *store;
	struct line_pool *lines;
	struct session_tls *tls;
	struct session_auth *auth;
	struct session_logins *logins;
	struct list listeners;
	struct task_group acceptors;
	struct task_group peers;
	struct task_group sessions;
	struct list open; /* the sessions */
	struct task_event session_ended;
	uint64_t session_count;
	uint64_t next_session;
	struct session_peer *queue; /* the present one; NULL while there is none */
	struct task_event table_came;
	mono_us tables_by; /* until then a missing table is on its way; afterwards it is unreadable
			    */
};

/* A channel with the task that reads it and ends it. */
struct session_peer {
	struct session_worker *worker;
	struct channel channel;
};

struct session {
	struct list link;
	struct session_worker *worker;
	struct task *task; /* NULL until it runs */
	uint64_t number;
	const struct session_listener *listener;
	struct socket_stream socket;
	struct session_crypto *crypto; /* NULL: in the clear */
	struct session_login *login;   /* NULL: nobody has logged in */
	struct line_reader reader;
	struct smtp_server server;
	bool is_trusted;               /* by its address: it may send to other servers */
	struct judgement *judgement;   /* of the content under way; NULL: none */
	struct submission *submission; /* likewise, where somebody has logged in */
	struct signing *signing;       /* likewise */
	uint8_t ip[16];
	uint8_t ip_len; /* 0: it came through a Unix socket */
	uint16_t client_port;
	uint8_t client_len;
	char client[ADDRESS_TEXT_BYTES];
};

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

static struct smtp_reply
session_check_recipient(void *arg, const struct smtp_server *server, const struct address *address,
	mono_us deadline)
{
	const struct session *session = arg;
	struct session_worker *worker = session->worker;
	enum directory_answer answer;
	bool is_trusted = session->is_trusted || server->login.len > 0;

	if (deadline > worker->tables_by)
		deadline = worker->tables_by;
	while ((answer = directory_ask(worker->directory, address, is_trusted)) ==
		DIRECTORY_UNAVAILABLE)
		if (task_event_wait(worker->env->loop, &worker->table_came, deadline) != OK)
			break;
	switch (answer) {
	case DIRECTORY_KNOWN:
		return SMTP_REPLY(250, 2, 1, 5, "recipient ok");
	case DIRECTORY_UNKNOWN_USER:
		return SMTP_REPLY(550, 5, 1, 1, "no such mailbox here");
	case DIRECTORY_REJECTED:
		return SMTP_REPLY(550, 5, 7, 1, "mail for this domain is refused");
	case DIRECTORY_FOREIGN:
		return SMTP_REPLY(550, 5, 7, 1, "relaying denied: not a domain of this server");
	default:
		return SMTP_REPLY(451, 4, 3, 0, "the table of recipients is not available now");
	}
}

static enum error
session_expand(void *arg, const struct address *address, struct slice mailbox, struct arena *arena,
	struct slice **ret_targets, size_t *ret_count)
{
	const struct session *session = arg;
	enum error error = directory_expand(
		session->worker->directory, address, mailbox, arena, ret_targets, ret_count);

	if (error != OK)
		log_event(session->worker->env, LOG_WARNING, "alias_unusable",
			LOG_SLICE("address", mailbox), LOG_STRING("error", error_text(error)));
	return error;
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
	char id[32];

	if (summary.len > 0)
		log_event(session->worker->env, LOG_INFO, "refused", session_field(session, id),
			LOG_SLICE("client", server->client_address),
			LOG_NUMBER("code", reply->code), LOG_SLICE("reply", reply->text),
			LOG_SLICE("command", line), LOG_SLICE("authentication", summary));
	else
		log_event(session->worker->env, LOG_INFO, "refused", session_field(session, id),
			LOG_SLICE("client", server->client_address),
			LOG_NUMBER("code", reply->code), LOG_SLICE("reply", reply->text),
			LOG_SLICE("command", line));
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

	queue_id_print(envelope->id, queue_id);
	log_event(session->worker->env, LOG_INFO, "received", LOG_STRING("id", queue_id),
		session_field(session, session_id), LOG_SLICE("client", server->client_address),
		LOG_SLICE("from", envelope->reverse_path),
		LOG_NUMBER("recipients", envelope->recipient_count),
		LOG_NUMBER("size", envelope->content_size),
		LOG_SLICE("tls", server->tls.len > 0 ? server->tls : SLICE("none")),
		LOG_SLICE("authentication", summary.len > 0 ? summary : SLICE("none")),
		LOG_SLICE("login", server->login.len > 0 ? server->login : SLICE("none")));
}

/* Trusted clients are ours: nothing that they send claims more than that. */
static bool
session_is_judged(const struct session *session)
{
	return session->worker->conf->authentication == CONF_AUTHENTICATION_ON &&
	       !session->is_trusted && session->server.login.len == 0 && session->ip_len > 0;
}

static void
session_content_over(void *arg)
{
	struct session *session = arg;

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

	if (is_login)
		session->submission = submission_new(worker->env);
	if (is_signed)
		session->signing =
			signing_new(worker->env, worker->conf, session_tls_keys(worker->tls));
	if (session_is_judged(session))
		session->judgement = judgement_new(worker->auth);
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
	struct policy_decision decision;

	(void)server;
	if (session->submission)
		ret_verdict->refusal =
			submission_end(session->submission, session->login, &ret_verdict->added);
	if (ret_verdict->refusal.code != 0)
		return;
	/* A signature says which fields a message does not have: one over it as it came would be
	 * wrong with those that were added. */
	if (session->signing && ret_verdict->added.len == 0 &&
		signing_end(session->signing, &ret_verdict->fields) != OK)
		ret_verdict->refusal = SMTP_REPLY(452, 4, 3, 1, "out of memory, try later");
	if (!session->judgement)
		return;
	if (judgement_end(session->judgement, slice_of(session->ip, session->ip_len), envelope,
		    &decision, &ret_verdict->fields) != OK) {
		ret_verdict->refusal = SMTP_REPLY(452, 4, 3, 1, "out of memory, try later");
		return;
	}
	ret_verdict->is_junk = decision.action == POLICY_JUNK;
	if (decision.action == POLICY_REFUSE)
		ret_verdict->refusal = (struct smtp_reply){decision.code,
			{decision.status.class, decision.status.subject, decision.status.detail},
			slice_text(decision.text)};
}

static bool
session_can_start_tls(void *arg)
{
	return session_tls_is_ready(((struct session *)arg)->worker->tls);
}

/* May wait. */
static enum error
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

/* May wait. */
static enum error
session_authenticate(void *arg, struct smtp_server *server, struct slice login,
	struct secret password, mono_us deadline)
{
	struct session *session = arg;
	struct session_logins *logins = session->worker->logins;
	struct session_login *known;
	enum error error = session_logins_ask(
		logins, login, password, server->client_address, deadline, &known);

	if (error != OK)
		return error;
	session_login_free(logins, &session->login);
	session->login = known;
	server->login = known->login;
	return OK;
}

static bool
session_may_send_as(void *arg, const struct smtp_server *server, struct slice sender)
{
	const struct session *session = arg;

	(void)server;
	return session_login_may_send_as(session->login, sender);
}

static const struct smtp_server_ops session_ops = {
	.check_recipient = session_check_recipient,
	.expand = session_expand,
	.is_account = session_is_account,
	.content_begins = session_content_begins,
	.content_piece = session_content_piece,
	.content_ends = session_content_ends,
	.content_over = session_content_over,
	.can_start_tls = session_can_start_tls,
	.start_tls = session_start_tls,
	.authenticate = session_authenticate,
	.may_send_as = session_may_send_as,
	.connected = session_connected,
	.refused = session_refused,
	.talked_early = session_talked_early,
	.received = session_received,
	.closed = session_closed,
};

/* May wait. A client that has not shown that it can TLS is told nothing. */
static bool
begin_with_tls(struct session *session)
{
	const struct session_listener *listener = session->listener;

	if (listener->conf->tls != CONF_TLS_IMPLICIT)
		return true;
	return session_start_tls(session, &session->server,
		       loop_deadline(session->worker->env->loop,
			       listener->settings.handshake_timeout_us)) == OK;
}

static void
session_run(void *arg)
{
	struct session *session = arg;
	struct session_worker *worker = session->worker;

	session->task = task_self(worker->env->loop);
	if (begin_with_tls(session))
		smtp_server_run(&session->server);
	else
		stream_close(&session->socket.stream);
	session_crypto_free(worker->tls, &session->crypto);
	session_login_free(worker->logins, &session->login);
	line_reader_done(&session->reader);
	list_remove(&session->link);
	memory_put(worker->env->memory, session);
	worker->session_count--;
	task_event_signal(&worker->session_ended);
}

static void
session_set_client(struct session *session, const struct sockaddr_storage *peer)
{
	struct endpoint endpoint = {.address = *peer, .len = sizeof *peer};
	struct buffer text;

	buffer_init_fixed(&text, session->client, sizeof session->client);
	endpoint_append_address(&text, &endpoint);
	session->client_len = (uint8_t)text.len;
	session->client_port = endpoint_port(&endpoint);
	session->ip_len = (uint8_t)endpoint_ip(&endpoint, session->ip);
	session->is_trusted = directory_trusts(session->worker->directory, &endpoint);
}

/* A client for whom there is no session learns that it may come again, if the socket takes it. */
static void
turn_away(struct session_listener *listener, int fd, enum error error)
{
	static const char reply[] =
		"421 4.3.2 no resources for another session, come back later\r\n";
	struct session_worker *worker = listener->worker;
	struct env *env = worker->env;

	if (fd >= 0)
		env->net->send(env->world, fd, reply, sizeof reply - 1);
	log_event(env, LOG_ERROR, "session_not_started", LOG_SLICE("listener", listener->name),
		LOG_STRING("error", error_text(error)),
		LOG_NUMBER("sessions", worker->session_count));
}

static void
session_start(struct session_listener *listener, int fd, const struct sockaddr_storage *peer)
{
	struct session_worker *worker = listener->worker;
	struct env *env = worker->env;
	struct session *session = memory_try(env->memory, sizeof *session);

	if (!session) {
		turn_away(listener, fd, ERROR_NO_MEMORY);
		env->net->close(env->world, fd);
		return;
	}
	session->worker = worker;
	session->number = ++worker->next_session;
	session->listener = listener;
	session_set_client(session, peer);
	enum error error = socket_stream_open(&session->socket, env->loop, fd);
	if (error != OK) {
		turn_away(listener, -1, error); /* it is closed already */
		memory_put(env->memory, session);
		return;
	}
	line_reader_init(&session->reader, worker->lines, &session->socket.stream);
	session->server = (struct smtp_server){
		.stream = &session->socket.stream,
		.reader = &session->reader,
		.store = ring_store_accept(worker->store),
		.settings = &listener->settings,
		.ops = &session_ops,
		.arg = session,
		.client_address = slice_of(session->client, session->client_len),
		.client_port = session->client_port,
		.may_send = session->is_trusted,
	};
	error = task_start(&worker->sessions, "session", session_run, session);
	if (error != OK) {
		turn_away(listener, fd, error);
		stream_close(&session->socket.stream);
		memory_put(env->memory, session);
		return;
	}
	list_append(&worker->open, &session->link);
	worker->session_count++;
}

/* May wait: off the poller, since a listener that nobody accepts from stays readable and would spin
 * the loop. */
static enum error
listener_rest(struct session_listener *listener, struct task_event *until, int64_t rest_us)
{
	struct loop *loop = listener->worker->env->loop;
	mono_us deadline = rest_us > 0 ? loop_deadline(loop, rest_us) : MONO_NEVER;

	watch_close(&listener->watch);
	enum error error =
		until ? task_event_wait(loop, until, deadline) : task_sleep(loop, deadline);
	if (error != OK)
		return error;
	return watch_open(&listener->watch, loop, listener->fd, POLL_EXCLUSIVE);
}

static void worker_unable(struct session_worker *worker, const char *what, enum error error);

/* May wait. A client that went away before it was served is no reason to rest. */
static enum error
listener_failed(struct session_listener *listener, int accept_errno)
{
	if (accept_errno == ECONNABORTED || accept_errno == EPROTO)
		return OK;
	if (accept_errno == EAGAIN)
		return watch_wait(&listener->watch, POLL_READABLE, MONO_NEVER);
	if (accept_errno == EINVAL) {
		/* It listens no more: a worker has shut it for all. Root sees that, binds anew, and
		 * gives it to the next process. */
		worker_unable(listener->worker, "a listener", ERROR_CLOSED);
		return ERROR_CLOSED;
	}
	if (!listener->exhausted)
		log_event(listener->worker->env, LOG_ERROR, "accept_failed",
			LOG_SLICE("listener", listener->name),
			LOG_STRING("error", error_text(error_from_errno(accept_errno))),
			LOG_NUMBER("sessions", listener->worker->session_count));
	listener->exhausted = true;
	return listener_rest(listener, NULL, ACCEPT_REST_US);
}

static void
listener_run(void *arg)
{
	struct session_listener *listener = arg;
	struct session_worker *worker = listener->worker;
	struct env *env = worker->env;
	struct sockaddr_storage peer;
	enum error error = OK;
	unsigned accepted = 0;

	while (error == OK) {
		if (worker->session_count >= worker->sessions_max) {
			error = listener_rest(listener, &worker->session_ended, 0);
			continue;
		}
		int fd = env->net->accept(env->world, listener->fd, &peer);
		if (fd < 0) {
			error = listener_failed(listener, -fd);
			continue;
		}
		listener->exhausted = false;
		session_start(listener, fd, &peer);
		if (++accepted % ACCEPTS_A_TURN == 0)
			task_yield(env->loop);
	}
}

/*
 * Half of what a worker needs is worse than nothing: new accounts would be unknown, or no mail
 * taken, for as long as it lives. Root ends it in good order and starts one that gets everything.
 */
static void
worker_unable(struct session_worker *worker, const char *what, enum error error)
{
	if (worker->unable)
		return;
	worker->unable = true;
	log_event(worker->env, LOG_ERROR, "worker_unable", LOG_STRING("lost", what),
		LOG_STRING("error", error_text(error)),
		LOG_STRING("effect", "this worker ends, another takes its place"));
	worker->root->unable(worker->root_arg);
}

static void
ring_broken(void *arg)
{
	worker_unable(arg, "the ring to the queue", ERROR_DAMAGED);
}

/* A counterpart that died comes again, and root brings a new channel; that is not asked for when
 * this side can't read what comes. */
static bool
peer_is_gone(enum error error)
{
	return error == ERROR_CLOSED || error == ERROR_CANCELLED;
}

static void
peer_free(struct session_peer *peer)
{
	channel_close(&peer->channel);
	memory_put(peer->worker->env->memory, peer);
}

/* Nothing comes through this channel; its end is the message. */
static void
queue_watch_run(void *arg)
{
	struct session_peer *peer = arg;
	struct session_worker *worker = peer->worker;
	struct ipc_message message;
	enum error error;

	while ((error = channel_receive(&peer->channel, MONO_NEVER, &message)) == OK)
		ipc_close_fds(worker->env, &message);
	if (!peer_is_gone(error))
		worker_unable(worker, "the channel to the queue", error);
	if (worker->queue == peer) {
		ring_store_disconnect(worker->store);
		worker->queue = NULL;
	}
	peer_free(peer);
}

static void
lookup_run(void *arg)
{
	struct session_peer *peer = arg;
	struct session_worker *worker = peer->worker;
	struct env *env = worker->env;
	struct ipc_message message;
	enum error error;

	while ((error = channel_receive(&peer->channel, MONO_NEVER, &message)) == OK) {
		enum error taken = directory_set_snapshot(worker->directory,
			message.snapshot.domain, message.snapshot.aliases != 0, message.fds[0]);
		task_event_signal(&worker->table_came);
		if (taken != OK)
			log_event(env, LOG_ERROR, "snapshot_refused",
				LOG_SLICE("domain", message.snapshot.domain),
				LOG_STRING("error", error_text(taken)));
		if (taken != OK && taken != ERROR_FORMAT) /* no memory: a new process has its own */
			worker_unable(worker, "a table of recipients", taken);
		ipc_close_fds(env, &message);
		channel_relax(&peer->channel);
	}
	if (!peer_is_gone(error))
		worker_unable(worker, "the channel to lookup", error);
	peer_free(peer);
}

/* NULL when the channel can't be served; it is closed then. */
static struct session_peer *
peer_start(struct session_worker *worker, enum role role, int channel_fd, const char *name,
	task_body *body)
{
	struct env *env = worker->env;
	struct session_peer *peer = memory_get(env->memory, sizeof *peer);

	peer->worker = worker;
	enum error error = channel_open(&peer->channel, env->loop, channel_fd, ROLE_SESSION, role);
	if (error == OK)
		error = task_start(&worker->peers, name, body, peer);
	if (error == OK)
		return peer;
	worker_unable(worker, name, error);
	peer_free(peer);
	return NULL;
}

static void
tls_unable(void *arg, enum error error)
{
	worker_unable(arg, "the channel to keys", error);
}

static void
resolver_unable(void *arg, enum error error)
{
	worker_unable(arg, "the channel to the resolver", error);
}

static void
auth_unable(void *arg, enum error error)
{
	worker_unable(arg, "the channel to auth", error);
}

struct session_worker *
session_worker_new(struct env *env, const struct conf *conf, uint32_t number, int wake_fd,
	const struct session_root_ops *root, void *root_arg)
{
	struct session_worker *worker = memory_get(env->memory, sizeof *worker);

	worker->env = env;
	worker->conf = conf;
	worker->root = root;
	worker->root_arg = root_arg;
	worker->number = number;
	worker->descriptors_max = UINT64_MAX;
	worker->directory = directory_new(env, conf);
	worker->store = ring_store_new(env, wake_fd);
	ring_store_on_broken(worker->store, ring_broken, worker);
	worker->lines = line_pool_new(env);
	worker->tls = session_tls_new(env, conf, tls_unable, worker);
	worker->auth = session_auth_new(env, conf, resolver_unable, worker);
	worker->logins = session_logins_new(env, auth_unable, worker);
	list_init(&worker->listeners);
	list_init(&worker->open);
	task_group_init(&worker->acceptors, env->loop);
	task_group_init(&worker->peers, env->loop);
	task_group_init(&worker->sessions, env->loop);
	task_event_init(&worker->session_ended);
	task_event_init(&worker->table_came);
	worker->tables_by = loop_deadline(env->loop, TABLES_WAIT_US);
	return worker;
}

/* A message with its envelope lies in one segment of the spool, behind its heads. */
static uint64_t
envelope_bytes_max(const struct conf *conf)
{
	uint64_t beside = conf->spool_segment - conf->message_size_limit - ENVELOPE_OTHER_BYTES;
	uint64_t max = ENVELOPE_BYTES_MAX - ENVELOPE_OTHER_BYTES;

	return beside < max ? beside : max;
}

static void
listener_set_up(struct session_listener *listener, struct slice name)
{
	static const enum smtp_early early[] = {[CONF_EARLY_REFUSE] = SMTP_EARLY_REFUSE,
		[CONF_EARLY_LOG] = SMTP_EARLY_REPORT,
		[CONF_EARLY_IGNORE] = SMTP_EARLY_IGNORE};
	static const struct conf_listener unnamed = {.tls = CONF_TLS_OFF};
	const struct session_worker *worker = listener->worker;
	const struct conf *conf = worker->conf;
	struct smtp_server_settings *settings = &listener->settings;

	listener->conf = &unnamed; /* root names none but those of the configuration */
	for (size_t i = 0; i < conf->listener_count; i++)
		if (slice_equal(conf->listeners[i].name, name))
			listener->conf = &conf->listeners[i];
	listener->name = listener->conf->name;
	smtp_server_settings_init(settings, conf->hostname);
	settings->normalises_newlines = listener->conf->bare_newlines == CONF_NEWLINES_NORMALIZE;
	settings->takes_odd_paths = listener->conf->strict_paths == CONF_NO;
	settings->listener = listener->name;
	settings->postmaster_domain = conf_postmaster_domain(conf);
	settings->max_message_bytes = conf->message_size_limit;
	settings->content_excess_max = conf->content_excess_limit;
	settings->envelope_bytes_max = envelope_bytes_max(conf);
	env_random(worker->env, &settings->hash_key, sizeof settings->hash_key);
	settings->max_recipients = (uint32_t)conf->recipients_limit;
	settings->content_line_limit = (uint32_t)conf->content_line_limit;
	settings->hops_max = (uint32_t)conf->hops_limit;
	settings->errors_max = (uint32_t)conf->session_errors_limit;
	settings->refusals_max = (uint32_t)conf->session_refusals_limit;
	settings->commands_max = (uint32_t)conf->session_commands_limit;
	settings->command_line_max = (uint32_t)conf->command_line_limit;
	settings->command_timeout_us = conf->timeout_command_us;
	settings->content_timeout_us = conf->timeout_data_us;
	settings->content_rate_min = (uint32_t)conf->content_rate_min;
	settings->begin_timeout_us = conf->timeout_begin_us;
	settings->commit_timeout_us = conf->timeout_commit_us;
	settings->farewell_timeout_us = conf->timeout_farewell_us;
	settings->handshake_timeout_us = conf->timeout_tls_us;
	if (listener->conf->tls == CONF_TLS_STARTTLS)
		settings->extensions |= SMTP_EXTENSION_STARTTLS;
	if (listener->conf->role == CONF_ROLE_SUBMISSION) {
		settings->extensions |= SMTP_EXTENSION_AUTH;
		settings->needs_login = true;
	}
	settings->early = early[conf->early_talkers];
	settings->greeting_wait_us = conf->greeting_wait_us;
}

void
session_worker_add_listener(struct session_worker *worker, struct slice name, int listener_fd)
{
	struct session_listener *listener = memory_get(worker->env->memory, sizeof *listener);

	listener->worker = worker;
	listener->fd = listener_fd;
	listener_set_up(listener, name);
	list_append(&worker->listeners, &listener->link);
}

void
session_worker_set_ring(struct session_worker *worker, int memory_fd, int queue_wake_fd)
{
	enum error error = ring_store_connect(worker->store, memory_fd, queue_wake_fd);

	if (error != OK)
		worker_unable(worker, "a ring to the queue", error);
}

void
session_worker_set_queue(struct session_worker *worker, int channel_fd)
{
	worker->queue = peer_start(worker, ROLE_QUEUE, channel_fd, "queue watch", queue_watch_run);
}

void
session_worker_set_keys(struct session_worker *worker, int channel_fd, uint32_t instance)
{
	session_tls_connect(worker->tls, channel_fd, instance);
}

void
session_worker_set_resolver(struct session_worker *worker, int channel_fd, uint32_t instance)
{
	session_auth_connect(worker->auth, channel_fd, instance);
}

void
session_worker_set_auth(struct session_worker *worker, int channel_fd, uint32_t instance)
{
	session_logins_connect(worker->logins, channel_fd, instance);
}

void
session_worker_set_lookup(struct session_worker *worker, int channel_fd)
{
	peer_start(worker, ROLE_LOOKUP, channel_fd, "lookup", lookup_run);
}

void
session_worker_set_descriptors(struct session_worker *worker, uint64_t max)
{
	worker->descriptors_max = max;
}

/* Never so many sessions that there is no descriptor left for what the other processes send. */
static void
worker_limit_sessions(struct session_worker *worker)
{
	uint64_t others = DESCRIPTORS_RESERVED;

	list_for_each (link, &worker->listeners)
		others++;
	uint64_t most = worker->descriptors_max > others ? worker->descriptors_max - others : 1;
	worker->sessions_max = worker->conf->sessions_limit;
	if (worker->sessions_max <= most)
		return;
	worker->sessions_max = most;
	log_event(worker->env, LOG_WARNING, "sessions_limited", LOG_NUMBER("sessions", most),
		LOG_NUMBER("sessions_limit", worker->conf->sessions_limit),
		LOG_NUMBER("open_files", worker->descriptors_max));
}

enum error
session_worker_go(struct session_worker *worker, uint32_t workers)
{
	(void)workers;
	worker_limit_sessions(worker);
	enum error tls_error = session_tls_go(worker->tls);
	if (tls_error != OK)
		return tls_error;
	list_for_each (link, &worker->listeners) {
		struct session_listener *listener = list_entry(link, struct session_listener, link);
		enum error error = watch_open(
			&listener->watch, worker->env->loop, listener->fd, POLL_EXCLUSIVE);
		if (error == OK)
			error = task_start(&worker->acceptors, "acceptor", listener_run, listener);
		if (error != OK)
			return error;
	}
	return OK;
}

/* Sessions whose client sends content, or waits to hear that it is safe, have until the grace is
 * over: cut short, the whole message would come again. */
static void
end_idle_sessions(struct session_worker *worker)
{
	list_for_each (link, &worker->open) {
		struct session *session = list_entry(link, struct session, link);
		session->server.stopping = true;
		if (session->task && !session->server.in_content)
			task_cancel(session->task);
	}
}

void
session_worker_stop(struct session_worker *worker, int64_t grace_us)
{
	struct loop *loop = worker->env->loop;
	mono_us deadline = loop_deadline(loop, grace_us);

	task_group_cancel(&worker->acceptors);
	task_group_wait(&worker->acceptors);
	end_idle_sessions(worker);
	while (worker->session_count > 0)
		if (task_event_wait(loop, &worker->session_ended, deadline) != OK)
			break;
	task_group_cancel(&worker->sessions);
	task_group_wait(&worker->sessions);
	session_tls_stop(worker->tls);
	session_auth_stop(worker->auth);
	session_logins_stop(worker->logins);
	task_group_cancel(&worker->peers);
	task_group_wait(&worker->peers);
}

void
session_worker_free(struct session_worker **worker_pointer)
{
	struct session_worker *worker = *worker_pointer;

	if (!worker)
		return;
	struct env *env = worker->env;
	list_for_each_safe (link, next, &worker->listeners) {
		struct session_listener *listener = list_entry(link, struct session_listener, link);
		watch_close(&listener->watch);
		env->net->close(env->world, listener->fd);
		list_remove(link);
		memory_put(env->memory, listener);
	}
	ring_store_free(&worker->store);
	directory_free(&worker->directory);
	line_pool_free(&worker->lines);
	session_tls_free(&worker->tls);
	session_auth_free(&worker->auth);
	session_logins_free(&worker->logins);
	memory_put(env->memory, worker);
	*worker_pointer = NULL;
}
