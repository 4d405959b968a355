/*
 * An acceptor task a listener and a task a session. A worker over its limit of sessions stops
 * accepting and leaves the connections to the others; without descriptors it rests a moment instead
 * of spinning on a listener that stays readable. Each session is one allocation: stream, line
 * reader and SMTP server together.
 */
#include "session/session_private.h"
#include "session/session_quota.h"
#include "base/log_record.h"
#include "net/endpoint.h"
#include "net/proxy_header.h"

#include <errno.h>

#define ACCEPTS_A_TURN 8
#define ACCEPT_REST_US (100 * US_PER_MS)
#define TABLES_WAIT_US (5 * US_PER_S)
#define HURRY_EVERY_US US_PER_S

/*
 * What a worker holds beside its listeners and a descriptor a session: standard descriptors,
 * poller, channels and rings, the old ones still there when the new ones come, and what one message
 * brings. A message that does not fit would be lost, and with it a table or a ring.
 */
#define DESCRIPTORS_RESERVED 32

#define PROXY_HEADER_US (10 * US_PER_S) /* for a proxy to say who the client is */

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
note_client(struct session *session, const struct endpoint *endpoint)
{
	struct buffer text;

	buffer_init_fixed(&text, session->client, sizeof session->client);
	endpoint_append_address(&text, endpoint);
	session->client_len = (uint8_t)text.len;
	session->client_port = endpoint_port(endpoint);
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

/* A client over a limit is told so, where it can read it, and costs nothing more. */
static void
tell_refusal(const struct session_listener *listener, int fd, const struct smtp_reply *reply)
{
	struct env *env = listener->worker->env;
	char storage[256];
	struct buffer line;

	buffer_init_fixed(&line, storage, sizeof storage);
	smtp_reply_append(&line, reply);
	if (listener->conf->tls != CONF_TLS_IMPLICIT)
		env->net->send(env->world, fd, line.ptr, line.len);
}

static bool
places_are_scarce(const struct session_worker *worker)
{
	return worker->session_count * 4 > worker->sessions_max * 3;
}

static bool
is_in(const struct slice *networks, size_t count, const struct endpoint *endpoint)
{
	struct network network;

	for (size_t i = 0; i < count; i++)
		if (network_parse(networks[i], &network) == OK &&
			network_contains(&network, endpoint))
			return true;
	return false;
}

/* May wait. Not an octet more than the header has: what follows may be TLS. */
static enum error
read_proxy_header(struct session *session, struct proxy_header *ret_header)
{
	struct stream *stream = &session->socket.stream;
	mono_us deadline = loop_deadline(stream->loop, PROXY_HEADER_US);
	uint8_t storage[PROXY_HEADER_MAX];
	size_t len = 0, need, got;
	enum error error;

	while ((error = proxy_header_need(slice_of(storage, len), &need)) == OK && need > len) {
		error = stream_read(stream, storage + len, need - len, deadline, &got);
		if (error != OK)
			return error;
		len += got;
	}
	return error == OK ? proxy_header_parse(slice_of(storage, len), ret_header) : error;
}

/* Whom the proxy has named comes in as any other client. Code 0: it may. */
static struct smtp_reply
admit_client(struct session *session, const struct endpoint *client)
{
	struct session_worker *worker = session->worker;
	const struct conf_listener *listener = session->listener->conf;

	session->is_trusted = directory_trusts(worker->directory, client);
	note_client(session, client);
	session->server.client_address = slice_of(session->client, session->client_len);
	session->server.client_port = session->client_port;
	session->server.may_send = session->is_trusted;
	session->server.takes_xclient =
		is_in(listener->xclient_from, listener->xclient_from_count, client);
	struct session_guest guest = session_guest_of(worker->limits, client, session->is_trusted);
	struct smtp_reply refusal = session_guest_enter(
		worker->limits, &guest, worker->sessions_max - worker->session_count);
	if (refusal.code == 0) {
		session_guest_leave(worker->limits, &session->guest);
		session->guest = guest;
	}
	return refusal;
}

/* May wait. False: the connection is of no use. */
static bool
take_proxy_header(struct session *session)
{
	struct proxy_header header;

	if (!session->is_proxied)
		return true;
	enum error error = read_proxy_header(session, &header);
	if (error == OK && !header.has_client)
		return true;
	if (error == OK) {
		struct smtp_reply refusal = admit_client(session, &header.client);
		if (refusal.code != 0)
			tell_refusal(session->listener, session->socket.watch.fd, &refusal);
		return refusal.code == 0;
	}
	log_event(session->worker->env, LOG_WARNING, "proxy_refused",
		LOG_SLICE("listener", session->listener->name),
		LOG_SLICE("client", session->server.client_address),
		LOG_STRING("error", error_text(error)),
		LOG_STRING("expected", "a header of the PROXY protocol"));
	return false;
}

static void
begin_lookup(struct session *session)
{
	struct session_worker *worker = session->worker;

	if (worker->conf->client_names == CONF_CLIENT_NAMES_ON && session->guest.ip_len > 0)
		session->lookup = client_lookup_begin(&worker->lookups,
			slice_of(session->guest.ip, session->guest.ip_len),
			&session->server.client_name);
}

/* "192.0.2.1", "IPV6:2001:db8::1": neither a path nor every address. */
static enum error
parse_client(struct slice address, uint16_t port, struct endpoint *ret_client)
{
	char storage[ADDRESS_TEXT_BYTES];
	struct buffer text;
	uint8_t ip[16];

	if (slice_has_prefix_nocase(address, SLICE("IPV6:")))
		address = slice_from(address, 5);
	bool is_ipv6 = slice_find(address, 0, ':') >= 0;
	if (address.len == 0 || address.ptr[0] == '*')
		return ERROR_FORMAT;
	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_append_text(&text, is_ipv6 ? "[" : "");
	buffer_append(&text, address);
	buffer_append_text(&text, is_ipv6 ? "]:" : ":");
	buffer_append_number(&text, port);
	enum error error = buffer_error(&text);
	if (error == OK)
		error = endpoint_parse(buffer_slice(&text), ret_client);
	return error == OK && endpoint_ip(ret_client, ip) == 0 ? ERROR_FORMAT : error;
}

struct smtp_reply
session_set_client(void *arg, struct slice address, uint16_t port, struct slice name)
{
	struct session *session = arg;
	struct endpoint client;
	struct buffer claimed;

	if (parse_client(address, port, &client) != OK ||
		(name.len > 0 && !domain_is_valid_helo(name)))
		return SMTP_REPLY(
			501, 5, 5, 4, "XCLIENT needs ADDR, an IP address, and no odd NAME");
	struct smtp_reply refusal = admit_client(session, &client);
	if (refusal.code != 0)
		return refusal;
	client_lookup_end(&session->lookup);
	buffer_init_fixed(&claimed, session->claimed_name, sizeof session->claimed_name);
	buffer_append(&claimed, name);
	session->server.client_name = buffer_slice(&claimed);
	if (name.len == 0)
		begin_lookup(session);
	return refusal;
}

static bool
may_begin(struct session *session)
{
	if (!take_proxy_header(session))
		return false;
	begin_lookup(session);
	return begin_with_tls(session);
}

static void
session_run(void *arg)
{
	struct session *session = arg;
	struct session_worker *worker = session->worker;

	session->task = task_self(worker->env->loop);
	if (may_begin(session))
		smtp_server_run(&session->server);
	else
		stream_close(&session->socket.stream);
	client_lookup_end(&session->lookup);
	session_quota_leave(session);
	session_crypto_free(worker->tls, &session->crypto);
	session_login_free(worker->logins, &session->login);
	line_reader_done(&session->reader);
	list_remove(&session->link);
	session_guest_leave(worker->limits, &session->guest);
	memory_put(worker->env->memory, session->home);
	memory_put(worker->env->memory, session->quota_text);
	memory_put(worker->env->memory, session);
	worker->session_count--;
	task_event_signal(&worker->session_ended);
}

static void
session_start(struct session_listener *listener, int fd, const struct sockaddr_storage *peer)
{
	struct session_worker *worker = listener->worker;
	struct env *env = worker->env;
	struct endpoint endpoint = {.address = *peer, .len = sizeof *peer};
	bool is_proxied =
		is_in(listener->conf->proxy_from, listener->conf->proxy_from_count, &endpoint);
	bool takes_xclient =
		is_in(listener->conf->xclient_from, listener->conf->xclient_from_count, &endpoint);
	bool is_trusted = !is_proxied && directory_trusts(worker->directory, &endpoint);
	/* A proxy brings the clients of many: the limits are for those. */
	struct session_guest guest = session_guest_of(
		worker->limits, &endpoint, is_trusted || is_proxied || takes_xclient);
	struct smtp_reply refusal = session_guest_enter(
		worker->limits, &guest, worker->sessions_max - worker->session_count);

	if (refusal.code != 0) {
		tell_refusal(listener, fd, &refusal);
		env->net->close(env->world, fd);
		return;
	}
	struct session *session = memory_try(env->memory, sizeof *session);
	if (!session) {
		turn_away(listener, fd, ERROR_NO_MEMORY);
		env->net->close(env->world, fd);
		session_guest_leave(worker->limits, &guest);
		return;
	}
	session->worker = worker;
	session->number = ++worker->next_session;
	session->listener = listener;
	session->guest = guest;
	session->is_trusted = is_trusted;
	session->is_proxied = is_proxied;
	note_client(session, &endpoint);
	enum error error = socket_stream_open(&session->socket, env->loop, fd);
	if (error != OK) {
		turn_away(listener, -1, error); /* it is closed already */
		session_guest_leave(worker->limits, &guest);
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
		.takes_xclient = takes_xclient,
	};
	error = task_start(&worker->sessions, "session", session_run, session);
	if (error != OK) {
		turn_away(listener, fd, error);
		stream_close(&session->socket.stream);
		session_guest_leave(worker->limits, &guest);
		memory_put(env->memory, session);
		return;
	}
	list_append(&worker->open, &session->link);
	worker->session_count++;
	if (places_are_scarce(worker))
		task_event_signal(&worker->places_scarce);
}

/* Who says nothing, is nobody that we know, and has a place that others wait for. */
static bool
is_to_be_hurried(const struct session *session, mono_us now)
{
	const struct smtp_server *server = &session->server;

	int64_t timeout_us = session->worker->conf->limits.scarce_timeout_us;

	return timeout_us > 0 && session->task && !session->is_trusted && server->login.len == 0 &&
	       server->waits_since > 0 && now - server->waits_since > timeout_us;
}

/* While most places are taken, strangers who say nothing keep theirs for a shorter time. */
static void
hurry_run(void *arg)
{
	struct session_worker *worker = arg;
	struct loop *loop = worker->env->loop;
	enum error error = OK;

	while (error == OK) {
		if (!places_are_scarce(worker)) {
			error = task_event_wait(loop, &worker->places_scarce, MONO_NEVER);
			continue;
		}
		list_for_each (link, &worker->open) {
			struct session *session = list_entry(link, struct session, link);
			if (!is_to_be_hurried(session, loop_now(loop)))
				continue;
			session->server.is_hurried = true;
			task_cancel(session->task);
		}
		error = task_sleep(loop, loop_deadline(loop, HURRY_EVERY_US));
	}
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

static void
guard_unable(void *arg, enum error error)
{
	worker_unable(arg, "the channel to guard", error);
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
	worker->auth =
		session_auth_new(env, conf, session_tls_keys(worker->tls), resolver_unable, worker);
	client_lookups_init(&worker->lookups, env, session_auth_dns(worker->auth));
	worker->logins = session_logins_new(env, auth_unable, worker);
	worker->limits = session_limits_new(env, conf, guard_unable, worker);
	list_init(&worker->listeners);
	list_init(&worker->open);
	task_group_init(&worker->acceptors, env->loop);
	task_group_init(&worker->peers, env->loop);
	task_group_init(&worker->sessions, env->loop);
	task_event_init(&worker->session_ended);
	task_event_init(&worker->places_scarce);
	task_event_init(&worker->table_came);
	worker->tables_by = loop_deadline(env->loop, TABLES_WAIT_US);
	return worker;
}

/* A message with its envelope lies in one segment of the spool, behind its heads; a content that is
 * larger than RING_WHOLE_MAX does not. */
static uint64_t
envelope_bytes_max(const struct conf *conf)
{
	uint64_t content = conf->message_size_limit < RING_WHOLE_MAX ? conf->message_size_limit
								     : RING_WHOLE_MAX;
	uint64_t beside = conf->spool_segment - content - ENVELOPE_OTHER_BYTES;
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
	settings->is_lmtp = listener->conf->role == CONF_ROLE_LMTP;
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
session_worker_set_guard(struct session_worker *worker, int channel_fd, uint32_t instance)
{
	session_limits_connect(worker->limits, channel_fd, instance);
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
	enum error limits_error = session_limits_go(worker->limits);
	if (limits_error == OK)
		limits_error = task_start(&worker->acceptors, "hurry", hurry_run, worker);
	if (limits_error != OK)
		return limits_error;
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
	client_lookups_stop(&worker->lookups);
	session_tls_stop(worker->tls);
	session_auth_stop(worker->auth);
	session_logins_stop(worker->logins);
	session_limits_stop(worker->limits);
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
	session_limits_free(&worker->limits);
	memory_put(env->memory, worker);
	*worker_pointer = NULL;
}
