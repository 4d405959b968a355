/*
 * Told in order: the idle connections of the destination, then its hosts by preference. A recipient
 * is *open* until it is delivered or failed for good; what is said of an open one is kept, and is
 * its result if nothing better comes.
 */
#include "relay/attempt.h"
#include "base/hash.h"

struct reading {
	struct relay_attempt *attempt;
	uint64_t at; /* in trace and content, one behind the other */
	uint32_t sum;
};

struct run {
	struct relay_attempt *attempt;
	bool is_open[DELIVERY_RECIPIENTS_MAX];
	size_t open;
	unsigned refusing, silent; /* hosts */
	bool has_tried;            /* some host could have taken it: no fault of the way is final */
	bool is_cancelled;
	bool reports;          /* the server in use was told what its sender wants to know */
	enum delivery_tls tls; /* of the connection in use */
	mono_us begun_at;      /* the try */
	mono_us sending_at;    /* the transaction under way; 0: none */
};

static uint32_t
ms_between(mono_us from, mono_us to)
{
	int64_t ms = (to - from) / US_PER_MS;

	return ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

/* How long this try took, for logs: whether it was the way to the host or the host. */
static void
note_times(const struct run *run, struct delivery_result *result)
{
	mono_us now = env_monotonic(run->attempt->env);

	result->connecting_ms =
		ms_between(run->begun_at, run->sending_at != 0 ? run->sending_at : now);
	result->sending_ms = run->sending_at != 0 ? ms_between(run->sending_at, now) : 0;
}

static void
settle(struct run *run, size_t i, enum deliver_outcome outcome, struct enhanced_status status,
	struct slice text, struct slice remote)
{
	struct relay_attempt *attempt = run->attempt;
	struct delivery_result *result = &attempt->results[i];

	result->outcome = outcome;
	result->tls = run->tls;
	result->status = status;
	note_times(run, result);
	/* Both may lie in a connection that ends before the result is sent. */
	if (!arena_copy(attempt->arena, text, &result->text))
		result->text = SLICE("");
	if (!arena_copy(attempt->arena, remote, &result->remote))
		result->remote = SLICE("");
	if (outcome == DELIVER_TEMPORARY)
		return;
	run->open -= run->is_open[i];
	run->is_open[i] = false;
}

static void
settle_open(struct run *run, enum deliver_outcome outcome, struct enhanced_status status,
	struct slice text, struct slice remote)
{
	for (size_t i = 0; i < run->attempt->count; i++)
		if (run->is_open[i])
			settle(run, i, outcome, status, text, remote);
}

/* A host's fault: the status says "network" (RFC 3463 section 3.5), the text what it said. */
static void
note_host(struct run *run, uint16_t detail, struct slice text, struct slice remote)
{
	settle_open(run, DELIVER_TEMPORARY, STATUS(4, 4, detail), text, remote);
}

/* Puts "connecting: timed out" together. */
static struct slice
phrase(struct run *run, const char *what, enum error error)
{
	uint8_t *storage = arena_take(run->attempt->arena, 128);
	struct buffer text;

	if (!storage)
		return slice_text(what);
	buffer_init_fixed(&text, storage, 128);
	buffer_printf(&text, "%s: %s", what, error_text(error));
	return buffer_slice(&text);
}

/* May block on the disk. The trace fields, then the content; its end only if its sum is right. */
static enum error
read_content(void *arg, void *bytes, size_t len, size_t *ret_len)
{
	struct reading *reading = arg;
	struct relay_attempt *attempt = reading->attempt;
	const struct relay_content *content = &attempt->content;
	struct slice trace = slice_from(attempt->trace, (size_t)reading->at);

	*ret_len = 0;
	if (reading->at < attempt->trace.len) {
		*ret_len = trace.len < len ? trace.len : len;
		memcpy(bytes, trace.ptr, *ret_len);
		reading->at += *ret_len;
		return OK;
	}
	uint64_t at = reading->at - attempt->trace.len;
	if (at == content->size)
		return reading->sum == content->sum ? OK : ERROR_DAMAGED;
	if (len > content->size - at)
		len = (size_t)(content->size - at);
	ssize_t got = attempt->env->disk->pread(
		attempt->env->world, content->fd, bytes, len, (off_t)(content->offset + at));
	if (got <= 0)
		return got < 0 ? error_from_errno((int)-got) : ERROR_DAMAGED;
	reading->sum = crc32c(reading->sum, slice_of(bytes, (size_t)got));
	reading->at += (uint64_t)got;
	*ret_len = (size_t)got;
	return OK;
}

/* Where the peer gave no enhanced code it is X.0.0 (RFC 3463 section 2). */
static struct enhanced_status
status_of(const struct smtp_reply *reply)
{
	uint16_t class = (uint16_t)(reply->code / 100);

	if (reply->enhanced[0] == class)
		return STATUS(class, reply->enhanced[1], reply->enhanced[2]);
	return STATUS(class, 0, 0);
}

/* "Too many recipients" is for the next transaction (RFC 5321 section 4.5.3.1.10: 552 is 452,
 * unless it says that a mailbox is full or the message too large). */
static bool
is_for_next_transaction(const struct smtp_client_recipient *recipient)
{
	const struct smtp_reply *reply = &recipient->reply;
	bool is_full = reply->enhanced[0] == 5 &&
		       ((reply->enhanced[1] == 2 && reply->enhanced[2] == 2) ||
			       (reply->enhanced[1] == 3 && reply->enhanced[2] == 4));

	return recipient->stage == SMTP_STAGE_RCPT &&
	       (reply->code == 452 || (reply->code == 552 && !is_full));
}

/* What an error of the connection means. The server may have taken the message if only its last
 * word is missing (RFC 1047). */
static void
note_error(struct run *run, size_t i, enum error error, enum smtp_client_stage stage,
	struct slice remote)
{
	if (error == ERROR_DAMAGED)
		settle(run, i, DELIVER_PERMANENT, STATUS(5, 3, 0),
			SLICE("the stored message is damaged"), remote);
	else if (error == ERROR_IO)
		settle(run, i, DELIVER_TEMPORARY, STATUS(4, 3, 0),
			SLICE("the stored message could not be read"), remote);
	else if (stage == SMTP_STAGE_FINAL)
		settle(run, i, DELIVER_TEMPORARY, STATUS(4, 4, 2),
			phrase(run, "the message was sent, its reply did not come", error), remote);
	else
		settle(run, i, DELIVER_TEMPORARY, STATUS(4, 4, 2),
			phrase(run, smtp_client_stage_text(stage), error), remote);
}

static void
take_reply(struct run *run, size_t i, const struct smtp_client_recipient *recipient,
	struct slice remote)
{
	const struct smtp_reply *reply = &recipient->reply;
	unsigned class = reply->code / 100;

	if (recipient->stage == SMTP_STAGE_FINAL && class == 2) {
		settle(run, i, DELIVER_DELIVERED, status_of(reply), reply->text, remote);
		run->attempt->results[i].is_passed_on = run->reports;
	} else if (reply->code == 421)
		settle(run, i, DELIVER_TEMPORARY, STATUS(4, 4, 2), reply->text, remote);
	else if (class == 5 && !is_for_next_transaction(recipient))
		settle(run, i, DELIVER_PERMANENT, status_of(reply), reply->text,
			recipient->is_ours ? SLICE("") : remote);
	else
		settle(run, i, DELIVER_TEMPORARY, class == 4 ? status_of(reply) : STATUS(4, 5, 3),
			reply->text, remote);
}

enum progress {
	PROGRESS_NONE,    /* nobody more than before has a final result */
	PROGRESS_SOME,    /* and others are for the next transaction */
	PROGRESS_STALE,   /* a connection that was idle is gone: no try at all */
	PROGRESS_REFUSED, /* the host said "not now" of the message or of a recipient */
};

/* RFC 5321 leaves it to the server when to close an idle connection; who notices only now has not
 * tried. */
static bool
is_stale(const struct relay_connection *connection, enum error error,
	const struct smtp_client_recipient *first)
{
	enum smtp_client_stage stage = connection->client.stage;
	bool before_mail = stage == SMTP_STAGE_RESET || stage == SMTP_STAGE_MAIL;

	if (!connection->is_reused)
		return false;
	return (error != OK && before_mail) ||
	       (first->reply.code == 421 && first->stage <= SMTP_STAGE_MAIL);
}

static enum progress
take_replies(struct run *run, struct relay_connection *connection, enum error error,
	const struct smtp_client_recipient *sent, const size_t *of, size_t count)
{
	size_t open = run->open;
	bool is_next = count < open; /* more than the server takes at a time */

	if (is_stale(connection, error, &sent[0]))
		return PROGRESS_STALE;
	for (size_t i = 0; i < count; i++) {
		if (sent[i].reply.code == 0)
			note_error(run, of[i], error, connection->client.stage, connection->remote);
		else
			take_reply(run, of[i], &sent[i], connection->remote);
		is_next |= sent[i].reply.code != 0 && is_for_next_transaction(&sent[i]);
	}
	connection->is_reused = false;
	if (run->open == 0 || (run->open < open && is_next && !connection->client.is_over))
		return PROGRESS_SOME;
	return error == OK ? PROGRESS_REFUSED : PROGRESS_NONE;
}

/* May wait. The open recipients in one transaction. */
static enum progress
send_once(struct run *run, struct relay_connection *connection)
{
	struct relay_attempt *attempt = run->attempt;
	size_t of[DELIVERY_RECIPIENTS_MAX], count = 0;
	struct reading reading = {.attempt = attempt};
	struct smtp_client_message message = {.reverse_path = attempt->reverse_path,
		.size = attempt->trace.len + attempt->content.size,
		.is_8bit = attempt->content.is_8bit,
		.is_smtputf8 = attempt->content.is_smtputf8,
		.returns = attempt->returns,
		.envelope_id = attempt->envelope_id,
		.read = read_content,
		.read_arg = &reading};
	struct smtp_client_recipient *sent = arena_take(attempt->arena, run->open * sizeof *sent);
	uint64_t limit = connection->client.recipients_max;
	size_t most = limit > 0 && limit < run->open ? (size_t)limit : run->open;

	if (!sent) {
		settle_open(
			run, DELIVER_TEMPORARY, STATUS(4, 3, 0), SLICE("out of memory"), SLICE(""));
		return PROGRESS_NONE;
	}
	for (size_t i = 0; i < attempt->count && count < most; i++) {
		if (!run->is_open[i])
			continue;
		sent[count].address = attempt->recipients[i].address;
		sent[count].notify = attempt->wishes[i].notify;
		sent[count].original = attempt->wishes[i].original;
		of[count++] = i;
	}
	run->reports = connection->client.extensions & SMTP_OFFERS_DSN;
	run->sending_at = env_monotonic(attempt->env);
	enum error error =
		smtp_client_send(&connection->client, &message, sent, count, attempt->arena);
	connection->messages++;
	run->is_cancelled |= error == ERROR_CANCELLED;
	enum progress progress = take_replies(run, connection, error, sent, of, count);
	run->sending_at = 0;
	return progress;
}

/* May wait. As many transactions as it takes while each brings some further. */
static enum progress
send_all(struct run *run, struct relay_connection *connection)
{
	enum progress progress = PROGRESS_SOME;

	while (run->open > 0 && progress == PROGRESS_SOME)
		progress = send_once(run, connection);
	return progress;
}

/* Whether a connection has what the route wants, and its login: a key has one route, and this is
 * the last look. */
static bool
is_protected(const struct run *run, const struct relay_connection *connection)
{
	enum relay_tls tls = run->attempt->tls;

	if (!slice_equal(connection->login, run->attempt->login.name))
		return false;
	return tls == RELAY_TLS_VERIFIED   ? connection->tls_level == TLS_VERIFIED
	       : tls == RELAY_TLS_REQUIRED ? connection->tls_level != TLS_NONE
					   : true;
}

/* May wait. Over connections that lie idle, until one of them is alive. True: there was one. */
static bool
use_idle(struct run *run)
{
	struct relay_attempt *attempt = run->attempt;
	struct relay_connection *connection;
	enum progress progress = PROGRESS_STALE;

	while (progress == PROGRESS_STALE && !run->is_cancelled &&
		(connection = relay_pool_take(attempt->pool, attempt->key)) != NULL) {
		if (!is_protected(run, connection)) {
			connection->client.is_open = false;
			relay_connection_release(&connection);
			continue;
		}
		run->tls = connection->tls_level;
		progress = send_all(run, connection);
		relay_connection_release(&connection);
		run->tls = TLS_NONE;
	}
	run->refusing += progress == PROGRESS_REFUSED;
	run->has_tried |= progress != PROGRESS_STALE;
	return progress != PROGRESS_STALE;
}

/* May wait. The banner and EHLO. False: this host is not to be used now. */
static bool
greet(struct run *run, struct relay_connection *connection)
{
	struct smtp_reply reply = {0};
	enum error error = smtp_client_open(&connection->client, &reply);

	if (error == OK && connection->client.is_open)
		return true;
	run->is_cancelled |= error == ERROR_CANCELLED;
	run->silent++;
	if (error != OK)
		note_host(run, 2,
			phrase(run, smtp_client_stage_text(connection->client.stage), error),
			connection->remote);
	else
		note_host(run, 1, reply.text, connection->remote);
	return false;
}

static bool
must_encrypt(const struct run *run)
{
	return run->attempt->tls == RELAY_TLS_REQUIRED || run->attempt->tls == RELAY_TLS_VERIFIED;
}

/* No downgrade where the route forbids it: the host is not to be used now, with a reason (RFC 3463
 * section 3.8: X.7.0). */
static void
note_no_tls(struct run *run, const char *what, struct slice why, struct slice remote)
{
	size_t room = TLS_PROBLEM_BYTES + 256;
	uint8_t *storage = arena_take(run->attempt->arena, room);
	struct slice reason = slice_text(what);
	struct buffer text;

	if (storage) {
		buffer_init_fixed(&text, storage, room);
		buffer_append_text(&text, "TLS is required, but ");
		buffer_append_text(&text, what);
		buffer_append(&text, slice_sub(why, 0, TLS_PROBLEM_BYTES));
		reason = buffer_slice(&text);
	}
	run->silent++;
	settle_open(run, DELIVER_TEMPORARY, STATUS(4, 7, 0), reason, remote);
}

/* A name that the DNS gave without proof proves nothing: with MX the domain itself must be shown.
 */
static enum relay_proof
proof_of(const struct relay_attempt *attempt)
{
	if (attempt->tls != RELAY_TLS_VERIFIED)
		return RELAY_PROOF_NONE;
	return attempt->way.transport == TRANSPORT_MX ? RELAY_PROOF_DOMAIN : RELAY_PROOF_HOST;
}

enum encryption {
	ENCRYPTION_SETTLED, /* as far as the route wants it: the message may be sent */
	ENCRYPTION_BROKEN,  /* this connection is lost; one in the clear may do */
	ENCRYPTION_MISSING, /* the host is not to be used now; noted */
};

static enum encryption
without_tls(struct run *run, const char *what, struct slice why, struct slice remote)
{
	if (!must_encrypt(run))
		return ENCRYPTION_SETTLED;
	note_no_tls(run, what, why, remote);
	return ENCRYPTION_MISSING;
}

/* A failed handshake. */
static enum encryption
give_tls_up(struct run *run, const struct relay_connection *connection, enum error error)
{
	const char *problem = connection->tls.problem;
	struct slice why = slice_text(*problem ? problem : error_text(error));

	run->is_cancelled |= error == ERROR_CANCELLED;
	if (!must_encrypt(run))
		return ENCRYPTION_BROKEN;
	note_no_tls(run, "failed: ", why, connection->remote);
	return ENCRYPTION_MISSING;
}

/* May wait: implicit TLS on a connection that is not greeted yet, if the route wants that. */
static bool
begin_tls(struct run *run, struct relay_connection *connection, const struct way_host *host)
{
	struct relay_attempt *attempt = run->attempt;

	if (!attempt->is_implicit)
		return true;
	if (!relay_pool_has_tls(attempt->pool)) {
		note_no_tls(run, "there is none here", SLICE(""), connection->remote);
		return false;
	}
	enum error error = relay_connection_begin_tls(
		connection, host->name, proof_of(attempt), attempt->way.name);
	if (error != OK)
		(void)give_tls_up(run, connection, error);
	else
		run->tls = connection->tls_level;
	return error == OK;
}

/* May wait: on a greeted connection, as the route wants it. */
static enum encryption
encrypt(struct run *run, struct relay_connection *connection, const struct way_host *host)
{
	struct relay_attempt *attempt = run->attempt;
	struct smtp_client *client = &connection->client;
	struct smtp_reply reply = {0};
	bool started = false;

	if (!(client->extensions & SMTP_OFFERS_STARTTLS) || !relay_pool_has_tls(attempt->pool))
		return without_tls(run, "not offered", SLICE(""), connection->remote);
	enum error error = relay_connection_start_tls(
		connection, host->name, proof_of(attempt), attempt->way.name, &started, &reply);
	if (error != OK)
		return give_tls_up(run, connection, error);
	if (!started)
		return client->is_over
			       ? give_tls_up(run, connection, ERROR_CLOSED)
			       : without_tls(run, "refused: ", reply.text, connection->remote);
	if (client->is_open)
		return ENCRYPTION_SETTLED;
	run->silent++;
	note_host(run, 1, reply.text, connection->remote);
	return ENCRYPTION_MISSING;
}

/* May wait: as the route wants it. No word of a server about a login is one about a message: the
 * host is not to be used now (RFC 3463 section 3.8: X.7.8), whatever its reply. */
static bool
log_in(struct run *run, struct relay_connection *connection)
{
	struct relay_attempt *attempt = run->attempt;
	struct slice reason;
	enum error error = relay_log_in(connection, &attempt->login, attempt->arena, &reason);

	if (error == OK && reason.len == 0)
		return true;
	run->is_cancelled |= error == ERROR_CANCELLED;
	run->silent++;
	settle_open(run, DELIVER_TEMPORARY, STATUS(4, 7, 8), reason, connection->remote);
	connection->client.is_open = false;
	return false;
}

/* May wait. True: TLS has failed, and where the route does not mind, a connection in the clear is
 * to be tried. */
static bool
use_connection(struct run *run, struct relay_connection **connection, const struct way_host *host,
	bool in_clear)
{
	enum encryption encryption = ENCRYPTION_SETTLED;
	bool is_own = run->attempt->way.transport == TRANSPORT_MX &&
		      !run->attempt->way.allows_private && relay_connection_is_own(*connection);

	if (is_own)
		settle_open(run, DELIVER_PERMANENT, STATUS(5, 4, 6),
			SLICE("mail loop: the way leads back to this server"),
			(*connection)->remote);
	else if (begin_tls(run, *connection, host) && greet(run, *connection)) {
		if (!in_clear && !run->attempt->is_implicit)
			encryption = encrypt(run, *connection, host);
		run->tls = (*connection)->tls_level;
		/* One without the TLS that the route wants is nobody's next connection. */
		if (encryption != ENCRYPTION_SETTLED)
			(*connection)->client.is_open = false;
		else if (log_in(run, *connection))
			run->refusing += send_all(run, *connection) == PROGRESS_REFUSED;
	}
	relay_connection_release(connection);
	run->tls = TLS_NONE;
	return encryption == ENCRYPTION_BROKEN && !run->is_cancelled;
}

static void
note_fault(struct run *run, const struct way_fault *fault)
{
	settle_open(run, DELIVER_TEMPORARY, fault->status, fault->text, SLICE(""));
}

/* May wait. False: the host has no address that may be used, for good; *ret_fault says why. */
static bool
try_host(struct run *run, const struct way_host *host, struct way_fault *ret_fault)
{
	struct relay_attempt *attempt = run->attempt;
	struct endpoint *addresses =
		arena_take(attempt->arena, WAY_ADDRESSES_MAX * sizeof *addresses);
	struct relay_connection *connection;
	size_t count;

	if (!addresses) {
		*ret_fault = (struct way_fault){
			DELIVER_TEMPORARY, STATUS(4, 3, 0), SLICE("out of memory")};
		return false;
	}
	if (!way_find_addresses(&attempt->way, host, attempt->arena, addresses, &count, ret_fault))
		return false;
	run->has_tried = true;
	bool in_clear = attempt->tls == RELAY_TLS_OFF, again;
	enum error error;
	do {
		error = relay_connection_open(attempt->pool, attempt->key, host->name, addresses,
			count, attempt->way.transport == TRANSPORT_LMTP, &connection);
		again = error == OK && use_connection(run, &connection, host, in_clear);
		in_clear = true;
	} while (again);
	if (error == OK)
		return true;
	run->is_cancelled |= error == ERROR_CANCELLED;
	run->silent++;
	note_host(run, 1, phrase(run, "the host can't be connected to", error), host->name);
	return true;
}

static bool
may_go_on(const struct run *run)
{
	return run->open > 0 && !run->is_cancelled && run->refusing < RELAY_HOSTS_REFUSING_MAX &&
	       run->silent < RELAY_HOSTS_SILENT_MAX;
}

/* May wait. */
static void
try_hosts(struct run *run)
{
	struct relay_attempt *attempt = run->attempt;
	struct way_host *hosts = arena_take(attempt->arena, WAY_HOSTS_MAX * sizeof *hosts);
	struct way_fault fault = {DELIVER_TEMPORARY, STATUS(4, 3, 0), SLICE("out of memory")};
	bool may_be_final = true;
	size_t count = 0;

	if (!hosts || !way_find_hosts(&attempt->way, attempt->arena, hosts, &count, &fault)) {
		settle_open(run, fault.outcome, fault.status, fault.text, SLICE(""));
		return;
	}
	for (size_t i = 0; i < count && may_go_on(run); i++) {
		if (try_host(run, &hosts[i], &fault))
			continue;
		may_be_final &= fault.outcome == DELIVER_PERMANENT;
		if (!run->has_tried)
			note_fault(run, &fault);
	}
	if (!run->has_tried && may_be_final)
		settle_open(run, fault.outcome, fault.status, fault.text, SLICE(""));
}

void
relay_attempt_run(struct relay_attempt *attempt)
{
	struct run *run = arena_take(attempt->arena, sizeof *run);

	for (size_t i = 0; i < attempt->count; i++) {
		attempt->results[i].outcome = DELIVER_TEMPORARY;
		attempt->results[i].status = STATUS(4, 3, 0);
		attempt->results[i].text = run ? SLICE("not tried") : SLICE("out of memory");
	}
	if (!run)
		return;
	run->attempt = attempt;
	run->begun_at = env_monotonic(attempt->env);
	run->open = attempt->count;
	for (size_t i = 0; i < attempt->count; i++)
		run->is_open[i] = true;
	env_random(attempt->env, &attempt->way.seed, sizeof attempt->way.seed);
	use_idle(run);
	if (may_go_on(run))
		try_hosts(run);
}
