/*
 * crash-model [--workload NAME] [--states N] [--seconds N] [--seed S] [--part N] [--parts N]
 *             [--failing OP] [--replay ADDRESS]
 *
 * Runs workloads, each from a seed, first with every state of a power cut at each call, then with
 * every call failing in every way that it can, until so many states were checked or the time is
 * over: the processor's, so that as much is looked at while others use the machine. Several
 * processes share the work: each takes one part. With --failing (open, create, read, write, flush,
 * flush-folder, name; or none) calls of that kind alone fail, and states are made of runs in which
 * one does. Ends with 0 when every promise was kept.
 */
#include "crash.h"

#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CALLS_MAX     8192
#define DEAD_CALLS    4 /* in a row, where a disk fails for a while */
#define HEAP_KEEP     (64 * 1024 * 1024)
#define FAULT_SEEDS   2 /* seeds of which every call fails; of later ones, some do */
#define FAULT_DIVISOR 40

struct options {
	const struct workload *workload; /* NULL: both in turn */
	uint64_t states;
	uint64_t seconds;
	uint64_t seed;
	uint64_t part;
	uint64_t parts;
	bool chooses; /* whose calls fail: OP_NONE, nobody's */
	enum model_op failing;
	const char *replay;
};

static const struct workload *const workloads[] = {&workload_spool, &workload_maildir};

static const struct workload *
find_workload(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
		if (strlen(workloads[i]->name) == len &&
			strncmp(workloads[i]->name, name, len) == 0)
			return workloads[i];
	}
	fprintf(stderr, "crash-model: no workload %.*s\n", (int)len, name);
	exit(2);
}

static enum model_op
find_op(const char *name)
{
	static const char *const names[] = {[OP_NONE] = "none",
		[OP_OPEN] = "open",
		[OP_CREATE] = "create",
		[OP_READ] = "read",
		[OP_WRITE] = "write",
		[OP_FLUSH] = "flush",
		[OP_FLUSH_FOLDER] = "flush-folder",
		[OP_NAME] = "name"};

	for (size_t i = OP_NONE; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], name) == 0)
			return (enum model_op)i;
	fprintf(stderr, "crash-model: no kind of call: %s\n", name);
	exit(2);
}

static uint64_t
number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (*text == 0 || *end != 0) {
		fprintf(stderr, "crash-model: no number: %s\n", text);
		exit(2);
	}
	return value;
}

static struct options
parse_options(int argc, char **argv)
{
	static const struct option names[] = {{"workload", 1, NULL, 'w'}, {"states", 1, NULL, 'n'},
		{"seconds", 1, NULL, 't'}, {"seed", 1, NULL, 's'}, {"part", 1, NULL, 'p'},
		{"parts", 1, NULL, 'P'}, {"failing", 1, NULL, 'f'}, {"replay", 1, NULL, 'r'},
		{"strict", 0, NULL, 'R'}, {0}};
	struct options options = {.states = UINT64_MAX, .seconds = 60, .seed = 1, .parts = 1};

	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		switch (c) {
		case 'w':
			options.workload = find_workload(optarg, strlen(optarg));
			break;
		case 'n':
			options.states = number(optarg);
			break;
		case 't':
			options.seconds = number(optarg);
			break;
		case 's':
			options.seed = number(optarg);
			break;
		case 'p':
			options.part = number(optarg);
			break;
		case 'P':
			options.parts = number(optarg);
			break;
		case 'f':
			options.chooses = true;
			options.failing = find_op(optarg);
			break;
		case 'r':
			options.replay = optarg;
			break;
		case 'R': /* the only mode there is; kept for addresses that were written down */
			break;
		default:
			exit(2);
		}
	}
	return options;
}

static int
replay(const char *text)
{
	struct crash_totals totals = {0};
	struct crash_address at = {0};
	const char *colon = strchr(text, ':');
	uint64_t *parts[] = {&at.seed, NULL, &at.call, &at.count, &at.cut, &at.state}, calls;

	if (!colon) {
		fprintf(stderr, "crash-model: no address: %s\n", text);
		return 2;
	}
	struct crash_run run = {.workload = find_workload(text, (size_t)(colon - text)),
		.totals = &totals,
		.replay = &at};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		char *end;
		uint64_t value = colon ? strtoull(colon + 1, &end, 10) : 0;
		if (parts[i])
			*parts[i] = value;
		else
			at.fault = (enum fault_kind)value;
		colon = colon && *end == ':' ? end : NULL;
	}
	run.at = at;
	crash_run_all(&run, NULL, 0, &calls);
	printf("%" PRIu64 " states made, no promise broken\n", totals.states);
	return totals.states > 0 || at.state == 0 ? 0 : 2;
}

struct clock_limit {
	const struct options *options;
	const struct crash_totals *totals;
};

static bool
is_over(const struct clock_limit *limit)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return limit->totals->states >= limit->options->states ||
	       (uint64_t)now.tv_sec >= limit->options->seconds;
}

/* Calls that fail, of this run: the part's share of them. */
static void
run_faults(struct crash_run *run, const struct clock_limit *limit, const uint8_t *ops,
	uint64_t calls, uint64_t round)
{
	const struct options *options = limit->options;

	for (uint64_t call = 1; call <= calls && call < CALLS_MAX; call++) {
		if (round < FAULT_SEEDS ? call % options->parts != options->part
					: mix64(run->at.seed + call) % FAULT_DIVISOR != 0)
			continue;
		if (options->chooses && ops[call] != options->failing)
			continue;
		for (enum fault_kind kind = FAULT_NONE + 1; kind < FAULT_KINDS; kind++) {
			if (!model_op_may(ops[call], kind))
				continue;
			if (is_over(limit))
				return;
			run->at.fault = kind;
			run->at.call = call;
			run->at.count = kind >= FAULT_DEAD_EIO ? DEAD_CALLS : 1;
			crash_run_all(run, NULL, 0, &calls);
		}
	}
}

static void
run_seed(const struct workload *workload, uint64_t seed, uint64_t round,
	const struct clock_limit *limit, struct crash_totals *totals)
{
	static uint8_t ops[CALLS_MAX];
	struct crash_run run = {.workload = workload, .totals = totals, .at.seed = seed};
	bool one_must_fail = limit->options->chooses && limit->options->failing != OP_NONE;
	uint64_t calls;

	if (round < FAULT_SEEDS || one_must_fail) {
		/* Before the states of the others: these runs are the same ones for all parts. */
		run.quiet = true;
		crash_run_all(&run, ops, CALLS_MAX, &calls);
		run.quiet = false;
		if (limit->options->part == 0 && !one_must_fail) {
			crash_run_all(&run, NULL, 0, &calls);
		}
	} else {
		crash_run_all(&run, ops, CALLS_MAX, &calls);
	}
	run_faults(&run, limit, ops, calls, round);
	crash_run_done(&run);
}

int
main(int argc, char **argv)
{
	struct options options = parse_options(argc, argv);
	struct crash_totals totals = {0};
	struct clock_limit limit = {.options = &options, .totals = &totals};

	/* Recoveries ask for large blocks and give them back: the kernel need not know. */
	mallopt(M_MMAP_THRESHOLD, HEAP_KEEP);
	mallopt(M_TRIM_THRESHOLD, HEAP_KEEP);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (options.replay)
		return replay(options.replay);
	for (uint64_t round = 0; !is_over(&limit); round++) {
		/* The first seeds are everybody's, in shares; then each part has its own. */
		uint64_t seed = options.seed * 1000003 + round;
		if (round >= FAULT_SEEDS)
			seed += (options.part + 1) << 40;
		for (size_t i = 0; i < sizeof workloads / sizeof *workloads && !is_over(&limit);
			i++) {
			if (!options.workload || options.workload == workloads[i])
				run_seed(workloads[i], seed, round, &limit, &totals);
		}
	}
	printf("seed %" PRIu64 ", part %" PRIu64 " of %" PRIu64 ": %" PRIu64 " runs, %" PRIu64
	       " cut points, %" PRIu64 " states made, %" PRIu64 " different, %" PRIu64
	       " recoveries, no promise broken\n",
		options.seed, options.part, options.parts, totals.runs, totals.cuts, totals.made,
		totals.states, totals.recoveries);
	return 0;
}
