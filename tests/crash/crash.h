/*
 * A program, a disk that is cut off at each of its calls, and what is checked of each state that
 * may be left. A workload drives the program (workload_spool.c, workload_maildir.c) and keeps a
 * ledger of what it was promised; crash_states.c makes the states and has the workload check them.
 *
 * Everything follows from a seed. A state has the address
 *
 *	WORKLOAD:SEED:FAULT:CALL:COUNT:CUT:STATE
 *
 * which is printed when it breaks a promise, and makes that state again (--replay).
 */
#ifndef CRASH_CRASH_H
#define CRASH_CRASH_H

#include "model_disk.h"

struct crash_run;

struct workload {
	const char *name;
	/* Drives the program from its start to its end; sets run->ledger first. */
	void (*run)(struct crash_run *run, struct model_disk *disk);
	/*
	 * Recovers on this disk and compares with the ledger; crash_fail if it breaks a promise.
	 * The ledger is as it was when the power was cut.
	 */
	void (*check)(struct crash_run *run, struct model_disk *disk, uint64_t seed);
};

extern const struct workload workload_spool;
extern const struct workload workload_maildir;

struct crash_address {
	uint64_t seed;
	enum fault_kind fault;
	uint64_t call; /* number of the one that fails */
	uint64_t count;
	uint64_t cut;
	uint64_t state;
};

struct crash_totals {
	uint64_t runs;
	uint64_t cuts;
	uint64_t made;       /* states, with those that had been seen */
	uint64_t states;     /* different ones, each checked */
	uint64_t recoveries; /* with those after a crash in a recovery */
};

/* Of hashes of states that were checked. */
struct seen_states {
	uint64_t *slots;
	size_t count;
	size_t capacity;
};

struct crash_run {
	const struct workload *workload;
	struct crash_address at;
	const struct crash_address *replay; /* only this state is checked; NULL: all */
	struct crash_totals *totals;
	struct seen_states seen;
	uint64_t random;
	void *ledger;
	uint64_t promises; /* counts answers: the same disk after another answer is another state */
	bool quiet;        /* no state is made: calls and cuts are counted */
	uint64_t last_changes;
	uint64_t last_promises;
	unsigned depth;   /* 1: checks a state, 2: a state left by the recovery from a state */
	const char *step; /* what the innermost check does */
};

/* One whole run; the fault is that of run->at. `op_log` as in struct model_disk. False: the call
 * that should fail was not reached. */
bool
crash_run_all(struct crash_run *run, uint8_t *op_log, uint64_t op_log_size, uint64_t *ret_calls);
void crash_run_done(struct crash_run *run);

/* For the workload: an answer was given. */
void crash_answered(struct crash_run *run, struct model_disk *disk);

/* Says what is wrong and how to see it again; ends the process. */
__attribute__((noreturn, format(printf, 2, 3))) void
crash_fail(struct crash_run *run, const char *format, ...);

/* Crashes the recovery that runs on this disk at calls that the seed chooses. */
struct inner_crash {
	struct crash_run *run;
	uint64_t seed;
};
void crash_watch(
	struct crash_run *run, struct model_disk *disk, struct inner_crash *inner, uint64_t seed);
/* The disk with everything (or nothing) that is not flushed, checked. */
void crash_check_now(struct crash_run *run, struct model_disk *disk, bool keep, uint64_t seed);

/* Below `bound`. */
uint64_t crash_random(struct crash_run *run, uint64_t bound);

#endif
