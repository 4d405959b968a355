/*
 * What each login has sent in this hour and this day, from all workers together, and whom it has
 * written to before: so that a stolen password sends no more than its owner would. Pure: the wall
 * clock comes as an argument, so that what was counted holds beyond a restart of the machine.
 *
 * All tables have a fixed size. Of logins those with the least to their name are displaced; of
 * recipients those that were written to longest ago, which are then new ones once more.
 */
#ifndef GUARD_QUOTAS_H
#define GUARD_QUOTAS_H

#include "base/buffer.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/env.h"
#include "base/hash.h"
#include "conf/conf.h"
#include "ipc/message.h"
#include "ipc/quota.h"

#define QUOTA_WORKERS     64
#define QUOTA_LOGINS      4096
#define QUOTA_RECIPIENTS  131072
#define QUOTA_LOGIN_BYTES (8 + 24 * CONF_LOGIN_QUOTAS) /* of one in a snapshot */
#define QUOTA_HEAD_BYTES  (SIPHASH_KEY_BYTES + 8)
#define QUOTA_BYTES_MAX   (QUOTA_HEAD_BYTES + QUOTA_LOGINS * QUOTA_LOGIN_BYTES + QUOTA_RECIPIENTS * 8)

struct quotas;

struct quotas *quotas_new(struct env *env, const struct conf_limits *limits);
void quotas_free(struct quotas **quotas);

struct quota_verdict {
	bool is_refused;
	enum conf_login_limit limit; /* that it would be over */
	uint64_t most;
	uint64_t figure;  /* what it would come to */
	bool is_due;      /* the line of the log, which comes once an hour a login and limit */
	uint32_t refused; /* since the last one, with this */
};

/* Counts what is granted. */
struct quota_verdict
quotas_judge(struct quotas *quotas, uint32_t worker, const struct ipc_quota_ask *ask, wall_us now);

/* This worker is a new one: its predecessor's sessions are gone. */
void quotas_forget_worker(struct quotas *quotas, uint32_t worker);

/* Whether something was counted since the last snapshot. */
bool quotas_are_changed(const struct quotas *quotas);

/*
 * A snapshot, at most QUOTA_BYTES_MAX: the key that names are hashed with, u32 count of logins and
 * their records, u32 count of recipients and their marks. Sessions are not in it: they end with
 * their worker, or are told again.
 */
void quotas_encode(struct quotas *quotas, struct buffer *snapshot);

/* ERROR_FORMAT: it is none; then nothing was counted yet. */
MUST_CHECK enum error quotas_decode(struct quotas *quotas, struct slice snapshot);

#endif
