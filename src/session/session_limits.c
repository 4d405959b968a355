/*
 * One task reports, at most every REPORT_EVERY_US, what changed since the last time, and once a
 * second all whose clients are here: it hears of them what others have meanwhile. An answer that
 * does not come within a second means that guard is dead or slow: what the others had is forgotten,
 * and when guard is heard again it is told everything.
 */
#include "session/session_limits.h"
#include "base/log_record.h"
#include "ipc/caller.h"
#include "ipc/tally.h"

#define REPORT_EVERY_US   (10 * US_PER_MS)
#define ANSWER_US         US_PER_S
#define ASK_AGAIN_US      US_PER_S
#define LOG_EVERY_US      (60 * US_PER_S)
#define LOG_LOOK_US       (10 * US_PER_S)
#define RECORDS_MAX       (TALLY_BYTES_MAX / TALLY_RECORD)
#define CALLS_MAX         65536 /* most are about logins (session_quota.c) */
#define KNOWN_WAIT_US     (100 * US_PER_MS)
#define PLACES_SHARE      3  /* of a client, for each place that is free */
#define PLACES_SHARED_MIN 16 /* below it there is nothing to share out */

struct session_limits {
	struct env *env;
	const struct conf_limits *conf;
	void (*unable)(void *arg, enum error error);
	void *arg;
	struct network *exempt;
	struct caller caller;
	struct tally_table table;
	struct task_group tasks;
	struct task_event changed;
	uint16_t queue[TALLY_ENTRIES]; /* entries that changed, in order; each once */
	size_t queue_start, queue_len;
	struct siphash_key login_key; /* guard's, for all workers */
	bool has_login_key;
	bool says_hello; /* to a new guard, even without counts */
	bool has_reported;
	bool is_alone;       /* guard was not heard */
	size_t guests;       /* counted ones that are here */
	mono_us ask_at;      /* what the others have of them, also when nothing changed */
	bool has_unlogged;   /* refusals */
	mono_us look_log_at; /* at those */
};

_Static_assert(TALLY_ENTRIES <= UINT16_MAX + 1, "a place in the table has 16 bits");

/* A limit, where it is counted, and how its refusal reads. */
static const struct limit_row {
	const char *name;
	bool is_gauge;
	unsigned count; /* enum tally_gauge or tally_rate */
	uint16_t code;
	uint8_t detail; /* of 4.7 */
	const char *address, *network;
} rows[CONF_LIMITS] = {
#define REPLIES(what)                                           \
	"too many " what " from your address, come back later", \
		"too many " what " from your network, come back later"
	[CONF_LIMIT_CONNECTIONS] = {"connections", true, TALLY_CONNECTIONS, 421, 0,
		REPLIES("connections at once")},
	[CONF_LIMIT_CONTENTS] = {"contents", true, TALLY_CONTENTS, 450, 1,
		REPLIES("messages at once")},
	[CONF_LIMIT_CONNECTS] = {"connection_rate", false, TALLY_CONNECTS, 421, 0,
		REPLIES("connections in a minute")},
	[CONF_LIMIT_MESSAGES] = {"message_rate", false, TALLY_MESSAGES, 450, 1,
		REPLIES("messages in a minute")},
	[CONF_LIMIT_ERRORS] = {"error_rate", false, TALLY_ERRORS, 421, 0,
		REPLIES("protocol errors")},
	[CONF_LIMIT_UNKNOWN] = {"unknown_rate", false, TALLY_UNKNOWN, 450, 1,
		REPLIES("unknown recipients")},
	[CONF_LIMIT_LOGINS] = {"login_failures", false, TALLY_LOGINS, 454, 0,
		REPLIES("failed logins")},
#undef REPLIES
};

static void
guard_broken(void *arg, uint32_t instance, enum error error)
{
	struct session_limits *limits = arg;

	(void)instance;
	limits->unable(limits->arg, error);
}

static const struct caller_ops caller_ops = {guard_broken, NULL};

struct session_limits *
session_limits_new(struct env *env, const struct conf *conf,
	void (*unable)(void *arg, enum error error), void *arg)
{
	struct session_limits *limits = memory_get(env->memory, sizeof *limits);

	limits->env = env;
	limits->conf = &conf->limits;
	limits->unable = unable;
	limits->arg = arg;
	limits->exempt =
		memory_get(env->memory, (conf->limits.exempt_count + 1) * sizeof *limits->exempt);
	for (size_t i = 0; i < conf->limits.exempt_count; i++)
		if (network_parse(conf->limits.exempt[i], &limits->exempt[i]) != OK)
			limits->exempt[i] = (struct network){.bits = 128};
	tally_table_init(&limits->table, env);
	caller_init(&limits->caller, env, ROLE_SESSION, ROLE_GUARD, CALLS_MAX, &caller_ops, limits);
	task_group_init(&limits->tasks, env->loop);
	task_event_init(&limits->changed);
	return limits;
}

static void
mark(struct session_limits *limits, struct tally *tally)
{
	if (tally->is_changed)
		return;
	tally->is_changed = true;
	limits->queue[(limits->queue_start + limits->queue_len++) % TALLY_ENTRIES] =
		(uint16_t)(tally - limits->table.entries);
	task_event_signal(&limits->changed);
}

/* A guard that knows nothing is told everything. */
static void
mark_all(struct session_limits *limits)
{
	for (size_t i = 0; i < TALLY_ENTRIES; i++)
		if (limits->table.entries[i].key.octets[0] != 0)
			mark(limits, &limits->table.entries[i]);
}

void
session_limits_connect(struct session_limits *limits, int channel_fd, uint32_t instance)
{
	enum error error = caller_connect(&limits->caller, channel_fd, instance);

	if (error != OK)
		limits->unable(limits->arg, error);
	else if (limits->is_alone)
		mark_all(limits);
	limits->says_hello = error == OK;
	task_event_signal(&limits->changed);
}

struct caller *
session_limits_caller(struct session_limits *limits)
{
	return &limits->caller;
}

static void
encode_changed(struct session_limits *limits, struct buffer *records)
{
	for (size_t i = 0; i < RECORDS_MAX && limits->queue_len > 0; i++) {
		struct tally *tally = &limits->table.entries[limits->queue[limits->queue_start]];
		limits->queue_start = (limits->queue_start + 1) % TALLY_ENTRIES;
		limits->queue_len--;
		tally->is_changed = false;
		tally_encode(records, &tally->key, &tally->own);
	}
}

static enum error
take_word(struct session_limits *limits, const struct ipc_guard_word *word)
{
	struct cursor cursor = cursor_of(word->records);
	struct tally_key key;
	struct tally_counts others;

	if (word->hash_key.len != sizeof limits->login_key.bytes)
		return ERROR_FORMAT;
	memcpy(limits->login_key.bytes, word->hash_key.ptr, word->hash_key.len);
	limits->has_login_key = true;
	while (tally_decode(&cursor, &key, &others)) {
		struct tally *tally = tally_find(&limits->table, &key);
		if (tally)
			tally->others = others;
	}
	return cursor.error;
}

static void
go_on_alone(struct session_limits *limits, enum error error)
{
	for (size_t i = 0; i < TALLY_ENTRIES; i++)
		if (limits->table.entries[i].key.octets[0] != 0)
			limits->table.entries[i].others = (struct tally_counts){0};
	if (!limits->is_alone)
		log_event(limits->env, LOG_WARNING, "guard_silent",
			LOG_STRING("error", error_text(error)),
			LOG_STRING("effect", "this worker limits clients by what it sees itself"));
	limits->is_alone = true;
}

static void
go_on_together(struct session_limits *limits)
{
	limits->has_reported = true;
	if (!limits->is_alone)
		return;
	limits->is_alone = false;
	log_event(limits->env, LOG_INFO, "guard_heard",
		LOG_STRING("effect", "limits count for all workers together again"));
	mark_all(limits);
}

/* May wait: for guard's answer. */
static enum error
report(struct session_limits *limits)
{
	struct buffer records;
	struct call_answer answer;

	buffer_init(&records, limits->env->memory, TALLY_BYTES_MAX);
	limits->says_hello = false;
	encode_changed(limits, &records);
	struct ipc_message question = {.kind = IPC_GUARD_REPORT,
		.guard_report = {.is_first = !limits->has_reported,
			.hash_key = slice_of(limits->login_key.bytes,
				limits->has_login_key ? sizeof limits->login_key.bytes : 0),
			.records = buffer_slice(&records)}};
	enum error error = buffer_error(&records);
	if (error == OK) {
		error = call_ask(&limits->caller, &question, IPC_GUARD_WORD,
			loop_deadline(limits->env->loop, ANSWER_US), &answer);
		if (error == OK)
			error = take_word(limits, &answer.message.guard_word);
		call_answer_done(&answer, limits->env);
	}
	buffer_done(&records);
	if (error == OK)
		go_on_together(limits);
	else if (error != ERROR_CANCELLED)
		go_on_alone(limits, error);
	return error == ERROR_CANCELLED ? error : OK;
}

/* One line for a client and a time, however often it was refused. */
static void
log_refusals(struct session_limits *limits, struct tally *tally, mono_us now)
{
	const struct limit_row *row = &rows[tally->refused_for];
	bool is_network =
		tally->key.octets[0] == TALLY_IPV4_24 || tally->key.octets[0] == TALLY_IPV6_48;
	char storage[64];
	struct buffer client;

	buffer_init_fixed(&client, storage, sizeof storage);
	tally_key_append(&client, &tally->key);
	log_event(limits->env, LOG_WARNING, "limited", LOG_SLICE("client", buffer_slice(&client)),
		LOG_STRING("limit", row->name),
		LOG_NUMBER("most", is_network ? limits->conf->network[tally->refused_for]
					      : limits->conf->address[tally->refused_for]),
		LOG_NUMBER("refused", tally->refused));
	tally->refused = 0;
	tally->logged_at = now;
}

static void
note_refusal(struct session_limits *limits, struct tally *tally, enum conf_limit limit)
{
	mono_us now = loop_now(limits->env->loop);

	if (tally->refused > 0 && tally->refused_for != limit)
		log_refusals(limits, tally, now);
	tally->refused++;
	tally->refused_for = (uint8_t)limit;
	if (tally->logged_at == 0 || now - tally->logged_at >= LOG_EVERY_US) {
		log_refusals(limits, tally, now);
		return;
	}
	if (!limits->has_unlogged)
		task_event_signal(&limits->changed); /* its task looks at the log from now on */
	limits->has_unlogged = true;
}

static void
look_at_log(struct session_limits *limits, bool is_end)
{
	mono_us now = loop_now(limits->env->loop);
	bool is_left = false;

	if (!limits->has_unlogged || (!is_end && now < limits->look_log_at))
		return;
	limits->look_log_at = now + LOG_LOOK_US;
	for (size_t i = 0; i < TALLY_ENTRIES; i++) {
		struct tally *tally = &limits->table.entries[i];
		if (tally->key.octets[0] >= TALLY_ACCOUNT)
			continue; /* said with the login (refuse_login) */
		if (tally->refused > 0 && (is_end || now - tally->logged_at >= LOG_EVERY_US))
			log_refusals(limits, tally, now);
		is_left |= tally->refused > 0;
	}
	limits->has_unlogged = is_left;
}

static void
mark_guests(struct session_limits *limits)
{
	mono_us now = loop_now(limits->env->loop);

	if (limits->guests == 0 || now < limits->ask_at)
		return;
	limits->ask_at = now + ASK_AGAIN_US;
	for (size_t i = 0; i < TALLY_ENTRIES; i++)
		if (limits->table.entries[i].own.gauges[TALLY_CONNECTIONS] > 0 &&
			limits->table.entries[i].key.octets[0] < TALLY_ACCOUNT)
			mark(limits, &limits->table.entries[i]);
}

/* Until something happens that the task has not been told of. */
static mono_us
next_look(const struct session_limits *limits)
{
	mono_us until = limits->guests > 0 ? limits->ask_at : MONO_NEVER;
	mono_us look_at =
		limits->has_unlogged ? loop_deadline(limits->env->loop, LOG_LOOK_US) : MONO_NEVER;

	return until < look_at ? until : look_at;
}

static void
report_run(void *arg)
{
	struct session_limits *limits = arg;
	struct loop *loop = limits->env->loop;
	enum error error = OK;

	while (error == OK) {
		if (limits->queue_len > 0 || limits->says_hello) {
			error = report(limits);
			if (error == OK)
				error = task_sleep(loop, loop_deadline(loop, REPORT_EVERY_US));
		} else {
			error = task_event_wait(loop, &limits->changed, next_look(limits));
			error = error == ERROR_TIMEOUT ? OK : error;
		}
		look_at_log(limits, false);
		mark_guests(limits);
	}
	look_at_log(limits, true);
}

enum error
session_limits_go(struct session_limits *limits)
{
	return task_start(&limits->tasks, "guard reports", report_run, limits);
}

void
session_limits_stop(struct session_limits *limits)
{
	task_group_cancel(&limits->tasks);
	task_group_wait(&limits->tasks);
	caller_done(&limits->caller);
}

void
session_limits_free(struct session_limits **pointer)
{
	struct session_limits *limits = *pointer;

	if (!limits)
		return;
	tally_table_done(&limits->table);
	memory_put(limits->env->memory, limits->exempt);
	memory_put(limits->env->memory, limits);
	*pointer = NULL;
}

static bool
is_loopback(const struct endpoint *endpoint)
{
	static const struct network networks[] = {
		{.address = {[10] = 0xff, [11] = 0xff, [12] = 127}, .bits = 104},
		{.address = {[15] = 1}, .bits = 128},
	};

	return network_contains(&networks[0], endpoint) || network_contains(&networks[1], endpoint);
}

static bool
is_exempt(const struct session_limits *limits, const struct endpoint *endpoint)
{
	if (limits->conf->loopback != CONF_LOOPBACK_LIMITED && is_loopback(endpoint))
		return true;
	for (size_t i = 0; i < limits->conf->exempt_count; i++)
		if (network_contains(&limits->exempt[i], endpoint))
			return true;
	return false;
}

struct session_guest
session_guest_of(
	const struct session_limits *limits, const struct endpoint *endpoint, bool is_trusted)
{
	struct session_guest guest = {.counting = GUEST_FREE};

	guest.ip_len = (uint8_t)endpoint_ip(endpoint, guest.ip);
	if (guest.ip_len > 0 && !is_trusted)
		guest.counting = is_exempt(limits, endpoint) ? GUEST_PLACES : GUEST_ALL;
	return guest;
}

static struct slice
ip_of(const struct session_guest *guest)
{
	return slice_of(guest->ip, guest->ip_len);
}

static uint64_t
sum_of(const struct tally *tally, enum conf_limit limit, mono_us now)
{
	unsigned count = rows[limit].count;

	if (!tally)
		return 0;
	if (rows[limit].is_gauge)
		return (uint64_t)tally->own.gauges[count] + tally->others.gauges[count];
	return (uint64_t)tally_rate(&tally->own, count, now) +
	       tally_rate(&tally->others, count, now);
}

struct smtp_reply
session_guest_may(
	struct session_limits *limits, const struct session_guest *guest, enum conf_limit limit)
{
	const struct limit_row *row = &rows[limit];
	mono_us now = loop_now(limits->env->loop);

	if (guest->counting != GUEST_ALL)
		return (struct smtp_reply){.code = 0};
	for (unsigned i = 0; i < 2; i++) {
		struct tally_key key =
			i == 0 ? tally_key_address(ip_of(guest)) : tally_key_network(ip_of(guest));
		struct tally *tally = tally_find(&limits->table, &key);
		uint64_t most =
			i == 0 ? limits->conf->address[limit] : limits->conf->network[limit];
		if (!tally || most == 0 || sum_of(tally, limit, now) < most)
			continue;
		note_refusal(limits, tally, limit);
		return (struct smtp_reply){row->code, {4, 7, row->detail},
			slice_text(i == 0 ? row->address : row->network)};
	}
	return (struct smtp_reply){.code = 0};
}

bool
session_guest_is_slowed(const struct session_limits *limits, const struct session_guest *guest,
	enum conf_limit limit)
{
	mono_us now = loop_now(limits->env->loop);

	if (guest->counting != GUEST_ALL)
		return false;
	struct tally_key address = tally_key_address(ip_of(guest));
	struct tally_key network = tally_key_network(ip_of(guest));
	uint64_t most = limits->conf->address[limit], network_most = limits->conf->network[limit];
	return (most > 0 && sum_of(tally_find(&limits->table, &address), limit, now) * 2 > most) ||
	       (network_most > 0 &&
		       sum_of(tally_find(&limits->table, &network), limit, now) * 2 > network_most);
}

void
session_guest_did(
	struct session_limits *limits, const struct session_guest *guest, enum conf_limit limit)
{
	mono_us now = loop_now(limits->env->loop);

	if (guest->counting != GUEST_ALL)
		return;
	for (unsigned i = 0; i < 2; i++) {
		struct tally_key key =
			i == 0 ? tally_key_address(ip_of(guest)) : tally_key_network(ip_of(guest));
		struct tally *tally = tally_get(&limits->table, &key, now);
		tally_count(&tally->own, rows[limit].count, now);
		mark(limits, tally);
	}
}

/* One more, or one less, of what is counted at once. */
static void
step(struct session_limits *limits, const struct session_guest *guest, enum tally_gauge gauge,
	bool is_more)
{
	mono_us now = loop_now(limits->env->loop);
	unsigned keys = guest->counting == GUEST_ALL ? 2 : guest->counting == GUEST_PLACES ? 1 : 0;

	for (unsigned i = 0; i < keys; i++) {
		struct tally_key key =
			i == 0 ? tally_key_address(ip_of(guest)) : tally_key_network(ip_of(guest));
		struct tally *tally = is_more ? tally_get(&limits->table, &key, now)
					      : tally_find(&limits->table, &key);
		if (!tally || (!is_more && tally->own.gauges[gauge] == 0))
			continue; /* it was displaced meanwhile */
		tally->own.gauges[gauge] += is_more ? 1 : -1u;
		if (guest->counting == GUEST_ALL)
			mark(limits, tally);
	}
}

static bool
holds_too_much(
	const struct session_limits *limits, const struct session_guest *guest, uint64_t free)
{
	struct tally_key key = tally_key_address(ip_of(guest));
	const struct tally *tally = tally_find(&limits->table, &key);
	uint64_t own = tally ? tally->own.gauges[TALLY_CONNECTIONS] : 0;

	return own >= PLACES_SHARED_MIN && own > PLACES_SHARE * free;
}

struct smtp_reply
session_guest_enter(struct session_limits *limits, const struct session_guest *guest, uint64_t free)
{
	static const enum conf_limit asked[] = {
		CONF_LIMIT_ERRORS, CONF_LIMIT_CONNECTIONS, CONF_LIMIT_CONNECTS};

	if (guest->counting == GUEST_FREE)
		return (struct smtp_reply){.code = 0};
	for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
		struct smtp_reply refusal = session_guest_may(limits, guest, asked[i]);
		if (refusal.code != 0)
			return refusal;
	}
	if (holds_too_much(limits, guest, free)) {
		struct tally_key key = tally_key_address(ip_of(guest));
		note_refusal(limits, tally_find(&limits->table, &key), CONF_LIMIT_CONNECTIONS);
		return SMTP_REPLY(421, 4, 3, 2,
			"few places are left, and your address has many, come back later");
	}
	step(limits, guest, TALLY_CONNECTIONS, true);
	limits->guests += guest->counting == GUEST_ALL;
	session_guest_did(limits, guest, CONF_LIMIT_CONNECTS);
	return (struct smtp_reply){.code = 0};
}

void
session_guest_leave(struct session_limits *limits, const struct session_guest *guest)
{
	step(limits, guest, TALLY_CONNECTIONS, false);
	limits->guests -= guest->counting == GUEST_ALL && limits->guests > 0;
}

void
session_guest_content(struct session_limits *limits, struct session_guest *guest)
{
	guest->has_content = true;
	if (guest->counting == GUEST_ALL)
		step(limits, guest, TALLY_CONTENTS, true);
}

void
session_guest_content_over(struct session_limits *limits, struct session_guest *guest)
{
	if (guest->has_content && guest->counting == GUEST_ALL)
		step(limits, guest, TALLY_CONTENTS, false);
	guest->has_content = false;
}

/* Where this login had the right password; one that nobody asked about here is guard's to know. */
static struct tally *
known_of(struct session_limits *limits, const struct session_guest *guest, struct slice login)
{
	struct tally_key network = tally_key_network(ip_of(guest));
	struct tally_key key = tally_key_known(&limits->login_key, login, &network);

	return tally_get(&limits->table, &key, loop_now(limits->env->loop));
}

static bool
is_known(struct session_limits *limits, const struct session_guest *guest, struct slice login)
{
	const struct tally *known = known_of(limits, guest, login);

	return known->own.gauges[0] > 0 || known->others.gauges[0] > 0;
}

/* One line for a login and a time, with the last of its clients. */
static void
refuse_login(struct session_limits *limits, const struct session_guest *guest, struct slice login,
	struct tally *account)
{
	mono_us now = loop_now(limits->env->loop);
	struct tally_key address = tally_key_address(ip_of(guest));
	char storage[64];
	struct buffer client;

	account->refused++;
	if (account->logged_at > 0 && now - account->logged_at < LOG_EVERY_US)
		return;
	buffer_init_fixed(&client, storage, sizeof storage);
	tally_key_append(&client, &address);
	log_event(limits->env, LOG_WARNING, "login_limited", LOG_SLICE("login", login),
		LOG_SLICE("client", buffer_slice(&client)),
		LOG_NUMBER("most", limits->conf->account_failures),
		LOG_NUMBER("refused", account->refused));
	account->refused = 0;
	account->logged_at = now;
}

bool
session_guest_may_log_in(
	struct session_limits *limits, const struct session_guest *guest, struct slice login)
{
	struct loop *loop = limits->env->loop;
	uint64_t most = limits->conf->account_failures;

	if (session_guest_may(limits, guest, CONF_LIMIT_LOGINS).code != 0)
		return false;
	if (guest->counting != GUEST_ALL || most == 0 || !limits->has_login_key)
		return true;
	struct tally_key key = tally_key_account(&limits->login_key, login);
	if (sum_of(tally_find(&limits->table, &key), CONF_LIMIT_LOGINS, loop_now(loop)) < most ||
		is_known(limits, guest, login))
		return true;
	mark(limits, known_of(limits, guest, login));
	if (task_sleep(loop, loop_deadline(loop, KNOWN_WAIT_US)) != OK ||
		is_known(limits, guest, login))
		return true; /* whoever is told to end will not get far */
	refuse_login(limits, guest, login, tally_get(&limits->table, &key, loop_now(loop)));
	return false;
}

void
session_guest_logged_in(
	struct session_limits *limits, const struct session_guest *guest, struct slice login)
{
	if (guest->counting != GUEST_ALL || !limits->has_login_key)
		return;
	struct tally *known = known_of(limits, guest, login);
	known->own.gauges[0] = 1;
	mark(limits, known);
}

void
session_guest_failed_login(
	struct session_limits *limits, const struct session_guest *guest, struct slice login)
{
	mono_us now = loop_now(limits->env->loop);

	session_guest_did(limits, guest, CONF_LIMIT_LOGINS);
	if (guest->counting != GUEST_ALL || !limits->has_login_key ||
		is_known(limits, guest, login))
		return;
	struct tally_key key = tally_key_account(&limits->login_key, login);
	struct tally *account = tally_get(&limits->table, &key, now);
	tally_count(&account->own, TALLY_LOGINS, now);
	mark(limits, account);
}
