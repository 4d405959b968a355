/*
 * Quotas are sliding windows, as in ipc/tally.h, of an hour and of a day: of the window before
 * counts the share that still lies in the period, rounded up, so that a quota is never passed by
 * what was rounded away. Names are kept as hashes with a key of our own: who sees the snapshot does
 * not learn whom anybody wrote to.
 */
#include "guard/quotas.h"
#include "base/hash.h"
#include "base/memory.h"

#define HOUR_US       (3600 * (wall_us)US_PER_S)
#define DAY_US        (24 * HOUR_US)
#define WAYS          8
#define NAME_BYTES    (254 + 1 + 512)
#define MARK_DAY_BITS 16

struct window {
	uint64_t number;
	uint64_t now;
	uint64_t before;
};

struct login {
	uint64_t name; /* its hash; 0: a free place */
	struct window windows[CONF_LOGIN_QUOTAS];
	uint16_t sessions[QUOTA_WORKERS];
	struct refusals {
		uint32_t count; /* since the last line of the log */
		bool was_told;
		wall_us told_at;
	} refusals[CONF_LOGIN_LIMITS];
};

struct quotas {
	struct env *env;
	const struct conf_limits *limits;
	struct siphash_key key;
	struct login *logins;
	uint64_t *marks; /* of a login and a recipient: 48 bits of their hash, 16 of the day; 0:
			    free */
	bool is_changed;
};

struct quotas *
quotas_new(struct env *env, const struct conf_limits *limits)
{
	struct quotas *quotas = memory_get(env->memory, sizeof *quotas);

	*quotas = (struct quotas){.env = env, .limits = limits};
	env_random(env, &quotas->key, sizeof quotas->key);
	quotas->logins = memory_get(env->memory, QUOTA_LOGINS * sizeof *quotas->logins);
	quotas->marks = memory_get(env->memory, QUOTA_RECIPIENTS * sizeof *quotas->marks);
	return quotas;
}

void
quotas_free(struct quotas **pointer)
{
	struct quotas *quotas = *pointer;

	if (!quotas)
		return;
	memory_put(quotas->env->memory, quotas->logins);
	memory_put(quotas->env->memory, quotas->marks);
	memory_put(quotas->env->memory, quotas);
	*pointer = NULL;
}

static wall_us
period_of(enum conf_login_limit limit)
{
	return limit % 2 == 0 ? HOUR_US : DAY_US;
}

/* The same events, seen now. A clock that was set back takes nothing away. */
static struct window
moved_to(struct window window, uint64_t number)
{
	if (window.number < number)
		window = (struct window){
			.before = window.number + 1 == number ? window.now : 0,
		};
	window.number = number;
	return window;
}

static uint64_t
number_at(enum conf_login_limit limit, wall_us now)
{
	return now > 0 ? (uint64_t)(now / period_of(limit)) : 0;
}

static uint64_t
sum_of(const struct login *login, enum conf_login_limit limit, wall_us now)
{
	uint64_t period = (uint64_t)(period_of(limit) / US_PER_S);
	uint64_t into = now > 0 ? (uint64_t)(now / US_PER_S) % period : 0;
	struct window window = moved_to(login->windows[limit], number_at(limit, now));
	uint64_t before = window.before < UINT64_MAX / (2 * period) ? window.before
								    : UINT64_MAX / (2 * period);

	before = (before * (period - into) + period - 1) / period;
	return window.now > UINT64_MAX - before ? UINT64_MAX : window.now + before;
}

static void
count(struct login *login, enum conf_login_limit hour, uint64_t amount, wall_us now)
{
	for (enum conf_login_limit limit = hour; limit <= hour + 1; limit++) {
		struct window *window = &login->windows[limit];
		*window = moved_to(*window, number_at(limit, now));
		window->now = amount > UINT64_MAX - window->now ? UINT64_MAX : window->now + amount;
	}
}

/* A login in any case of its letters, and a recipient likewise. */
static uint64_t
hash_of(const struct quotas *quotas, struct slice login, struct slice recipient)
{
	uint8_t storage[NAME_BYTES];
	struct buffer name;

	buffer_init_fixed(&name, storage, sizeof storage);
	buffer_append(&name, login);
	buffer_append_octet(&name, '\0'); /* no login has one */
	buffer_append(&name, recipient);
	for (size_t i = 0; i < name.len; i++)
		storage[i] = ascii_lower(storage[i]);
	return siphash(&quotas->key, buffer_slice(&name));
}

static uint64_t
sessions_of(const struct login *login)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < QUOTA_WORKERS; i++)
		sum += login->sessions[i];
	return sum;
}

static uint64_t
weight_of(const struct login *login, wall_us now)
{
	if (login->name == 0)
		return 0;
	return 1 + sessions_of(login) + sum_of(login, CONF_LOGIN_RECIPIENTS_DAY, now) / 2 +
	       sum_of(login, CONF_LOGIN_MESSAGES_DAY, now) / 2;
}

static struct login *
get_login(struct quotas *quotas, uint64_t name, wall_us now)
{
	struct login *bucket = &quotas->logins[name % (QUOTA_LOGINS / WAYS) * WAYS];
	struct login *lightest = bucket;

	for (size_t i = 0; i < WAYS; i++)
		if (bucket[i].name == name)
			return &bucket[i];
	for (size_t i = 1; i < WAYS; i++)
		if (weight_of(&bucket[i], now) < weight_of(lightest, now))
			lightest = &bucket[i];
	*lightest = (struct login){.name = name};
	return lightest;
}

/* Its place in the table: where it is, or where it would be, in that of the oldest. */
static uint64_t *
get_mark(struct quotas *quotas, uint64_t mark)
{
	uint64_t name = mark >> MARK_DAY_BITS;
	uint64_t *bucket = &quotas->marks[name % (QUOTA_RECIPIENTS / WAYS) * WAYS];
	uint64_t *oldest = bucket;

	for (size_t i = 0; i < WAYS; i++)
		if (bucket[i] != 0 && bucket[i] >> MARK_DAY_BITS == name)
			return &bucket[i];
	for (size_t i = 1; i < WAYS; i++)
		if ((uint16_t)bucket[i] < (uint16_t)*oldest)
			oldest = &bucket[i];
	return oldest;
}

/* Never 0, not even in its day alone: a free place is older than all. */
static uint64_t
make_mark(const struct quotas *quotas, const struct ipc_quota_ask *ask, wall_us now)
{
	uint64_t sum = hash_of(quotas, ask->login, ask->recipient) >> MARK_DAY_BITS;

	return sum << MARK_DAY_BITS | (uint16_t)(1 + (now > 0 ? now / DAY_US : 0) % UINT16_MAX);
}

/* So many more; a quota of the hour and of the day. */
static bool
fits(const struct quotas *quotas, const struct login *login, enum conf_login_limit hour,
	uint64_t amount, wall_us now, struct quota_verdict *verdict)
{
	for (enum conf_login_limit limit = hour; limit <= hour + 1; limit++) {
		uint64_t most = quotas->limits->login[limit], sum = sum_of(login, limit, now);
		if (most == 0 || (sum <= most && amount <= most - sum))
			continue;
		verdict->is_refused = true;
		verdict->limit = limit;
		verdict->most = most;
		verdict->figure = amount > UINT64_MAX - sum ? UINT64_MAX : sum + amount;
		return false;
	}
	return true;
}

/* A session that is counted already is never one too many. */
static bool
takes_sessions(const struct quotas *quotas, struct login *login, uint32_t worker, uint16_t sessions,
	struct quota_verdict *verdict)
{
	uint64_t most = quotas->limits->login[CONF_LOGIN_SESSIONS];
	uint64_t sum = sessions_of(login) - login->sessions[worker] + sessions;

	if (most > 0 && sum > most && sessions > login->sessions[worker]) {
		*verdict = (struct quota_verdict){.is_refused = true,
			.limit = CONF_LOGIN_SESSIONS,
			.most = most,
			.figure = sum};
		return false;
	}
	login->sessions[worker] = sessions;
	return true;
}

static void
judge_recipient(struct quotas *quotas, struct login *login, const struct ipc_quota_ask *ask,
	wall_us now, struct quota_verdict *verdict)
{
	uint64_t mark = make_mark(quotas, ask, now), *place = get_mark(quotas, mark);
	bool is_new = *place >> MARK_DAY_BITS != mark >> MARK_DAY_BITS || *place == 0;

	if (!fits(quotas, login, CONF_LOGIN_RECIPIENTS_HOUR, 1, now, verdict) ||
		(is_new && !fits(quotas, login, CONF_LOGIN_NEW_HOUR, 1, now, verdict)))
		return;
	count(login, CONF_LOGIN_RECIPIENTS_HOUR, 1, now);
	if (is_new)
		count(login, CONF_LOGIN_NEW_HOUR, 1, now);
	*place = mark;
}

static void
judge_content(struct quotas *quotas, struct login *login, uint64_t octets, wall_us now,
	struct quota_verdict *verdict)
{
	if (!fits(quotas, login, CONF_LOGIN_MESSAGES_HOUR, 1, now, verdict) ||
		!fits(quotas, login, CONF_LOGIN_BYTES_HOUR, octets, now, verdict))
		return;
	count(login, CONF_LOGIN_MESSAGES_HOUR, 1, now);
	count(login, CONF_LOGIN_BYTES_HOUR, octets, now);
}

static void
note_refusal(struct login *login, wall_us now, struct quota_verdict *verdict)
{
	struct refusals *refusals = &login->refusals[verdict->limit];

	verdict->refused = ++refusals->count;
	verdict->is_due = !refusals->was_told || now < refusals->told_at ||
			  now - refusals->told_at >= HOUR_US;
	if (verdict->is_due)
		*refusals = (struct refusals){.was_told = true, .told_at = now};
}

/* Kept, so that what a clock that was set back left in the future is over in time. */
static void
move_windows(struct login *login, wall_us now)
{
	for (enum conf_login_limit limit = 0; limit < CONF_LOGIN_QUOTAS; limit++)
		login->windows[limit] = moved_to(login->windows[limit], number_at(limit, now));
}

struct quota_verdict
quotas_judge(struct quotas *quotas, uint32_t worker, const struct ipc_quota_ask *ask, wall_us now)
{
	uint64_t name = hash_of(quotas, ask->login, SLICE(""));
	struct login *login = get_login(quotas, name > 0 ? name : 1, now);
	struct quota_verdict verdict = {.is_refused = false};

	move_windows(login, now);
	switch ((enum quota_step)ask->step) {
	case QUOTA_LEAVE:
		login->sessions[worker] = (uint16_t)ask->sessions;
		return verdict;
	case QUOTA_MAIL:
		if (takes_sessions(quotas, login, worker, (uint16_t)ask->sessions, &verdict) &&
			fits(quotas, login, CONF_LOGIN_MESSAGES_HOUR, 1, now, &verdict) &&
			fits(quotas, login, CONF_LOGIN_BYTES_HOUR, 1, now, &verdict))
			return verdict; /* counted when its content is there */
		break;
	case QUOTA_RECIPIENT:
		judge_recipient(quotas, login, ask, now, &verdict);
		break;
	case QUOTA_CONTENT:
		judge_content(quotas, login, ask->octets, now, &verdict);
		break;
	}
	if (verdict.is_refused)
		note_refusal(login, now, &verdict);
	else
		quotas->is_changed = true;
	return verdict;
}

void
quotas_forget_worker(struct quotas *quotas, uint32_t worker)
{
	for (size_t i = 0; i < QUOTA_LOGINS; i++)
		quotas->logins[i].sessions[worker] = 0;
}

bool
quotas_are_changed(const struct quotas *quotas)
{
	return quotas->is_changed;
}

static void
encode_login(struct buffer *snapshot, const struct login *login)
{
	buffer_append_u64(snapshot, login->name);
	for (size_t i = 0; i < CONF_LOGIN_QUOTAS; i++) {
		buffer_append_u64(snapshot, login->windows[i].number);
		buffer_append_u64(snapshot, login->windows[i].now);
		buffer_append_u64(snapshot, login->windows[i].before);
	}
}

void
quotas_encode(struct quotas *quotas, struct buffer *snapshot)
{
	uint32_t logins = 0, marks = 0;

	for (size_t i = 0; i < QUOTA_LOGINS; i++)
		logins += quotas->logins[i].name != 0;
	for (size_t i = 0; i < QUOTA_RECIPIENTS; i++)
		marks += quotas->marks[i] != 0;
	buffer_append(snapshot, slice_of(quotas->key.bytes, sizeof quotas->key.bytes));
	buffer_append_u32(snapshot, logins);
	for (size_t i = 0; i < QUOTA_LOGINS; i++)
		if (quotas->logins[i].name != 0)
			encode_login(snapshot, &quotas->logins[i]);
	buffer_append_u32(snapshot, marks);
	for (size_t i = 0; i < QUOTA_RECIPIENTS; i++)
		if (quotas->marks[i] != 0)
			buffer_append_u64(snapshot, quotas->marks[i]);
	quotas->is_changed = false;
}

static void
decode_login(struct quotas *quotas, struct cursor *cursor)
{
	struct login read = {.name = cursor_take_u64(cursor)};

	for (size_t i = 0; i < CONF_LOGIN_QUOTAS; i++) {
		read.windows[i].number = cursor_take_u64(cursor);
		read.windows[i].now = cursor_take_u64(cursor);
		read.windows[i].before = cursor_take_u64(cursor);
	}
	if (cursor->error == OK && read.name != 0)
		*get_login(quotas, read.name, env_wall(quotas->env)) = read;
}

static void
clear(struct quotas *quotas)
{
	memset(quotas->logins, 0, QUOTA_LOGINS * sizeof *quotas->logins);
	memset(quotas->marks, 0, QUOTA_RECIPIENTS * sizeof *quotas->marks);
}

enum error
quotas_decode(struct quotas *quotas, struct slice snapshot)
{
	struct cursor cursor = cursor_of(snapshot);
	struct slice key = cursor_take(&cursor, SIPHASH_KEY_BYTES);
	uint32_t logins = cursor_take_u32(&cursor), marks;

	clear(quotas);
	for (uint32_t i = 0; i < logins && cursor.error == OK; i++)
		decode_login(quotas, &cursor);
	marks = cursor_take_u32(&cursor);
	for (uint32_t i = 0; i < marks && cursor.error == OK; i++) {
		uint64_t mark = cursor_take_u64(&cursor);
		if (cursor.error == OK && mark != 0)
			*get_mark(quotas, mark) = mark;
	}
	if (cursor.error == OK && cursor_left(&cursor) == 0) {
		memcpy(quotas->key.bytes, key.ptr, sizeof quotas->key.bytes);
		return OK;
	}
	clear(quotas);
	return ERROR_FORMAT;
}
