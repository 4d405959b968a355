/*
 * From a disk with changes that are not flushed to the states that a power cut may leave:
 *
 * - nothing of it, all of it; octets without names or sizes, names and sizes without octets;
 * - each change missing alone and there alone, the same by pages of 4,096 octets;
 * - each prefix; every subset where there are few, random ones where there are many;
 * - a page that was being written, as zeros or noise as a whole.
 *
 * States that were seen with the same promises are not checked again.
 */
#include "crash.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXHAUSTIVE_PIECES 8
#define SINGLES_MAX       96 /* of each kind; of more, a random choice */
#define PREFIXES_MAX      48
#define GARBLED_MAX       8
#define SUBSETS           48
#define FIRST_SLOTS       4096
#define FULL_DIVISOR      24 /* one state in so many has its recovery crashed as well */
#define INNER_DIVISOR     16 /* at one in so many of its calls */
#define KILL_DIVISOR      4

uint64_t
crash_random(struct crash_run *run, uint64_t bound)
{
	run->random += UINT64_C(0x9e3779b97f4a7c15);
	return mix64(run->random) % bound;
}

void
crash_fail(struct crash_run *run, const char *format, ...)
{
	const struct crash_address *at = &run->at;
	va_list list;

	printf("FAILED: ");
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	printf("%s%s%s\n--replay %s:%" PRIu64 ":%d:%" PRIu64 ":%" PRIu64 ":%" PRIu64 ":%" PRIu64
	       "\n",
		run->depth > 1 ? " (after a crash in the recovery)" : "", run->step ? ", " : "",
		run->step ? run->step : "", run->workload->name, at->seed, (int)at->fault, at->call,
		at->count, at->cut, run->depth > 0 ? at->state : 0);
	fflush(stdout);
	_Exit(1);
}

static bool
seen_put(struct seen_states *seen, uint64_t hash)
{
	size_t at = hash & (seen->capacity - 1);

	while (seen->slots[at] != 0 && seen->slots[at] != hash)
		at = (at + 1) & (seen->capacity - 1);
	if (seen->slots[at] == hash)
		return false;
	seen->slots[at] = hash;
	seen->count++;
	return true;
}

/* False: it was there. */
static bool
seen_add(struct seen_states *seen, uint64_t hash)
{
	if (seen->count * 2 >= seen->capacity) {
		struct seen_states grown = {.capacity = seen->capacity * 2 + FIRST_SLOTS};
		while (grown.capacity & (grown.capacity - 1))
			grown.capacity &= grown.capacity - 1;
		grown.slots = calloc(grown.capacity, sizeof *grown.slots);
		if (!grown.slots)
			abort();
		for (size_t i = 0; i < seen->capacity; i++) {
			if (seen->slots[i])
				seen_put(&grown, seen->slots[i]);
		}
		free(seen->slots);
		*seen = grown;
	}
	return seen_put(seen, hash | 1);
}

static void
check(struct crash_run *run, struct model_disk *disk, uint64_t seed)
{
	uint64_t promises = run->promises;

	run->depth++;
	if (run->replay)
		printf("  state %" PRIu64 " of cut %" PRIu64 ", depth %u\n", run->at.state,
			run->at.cut, run->depth);
	run->totals->recoveries++;
	run->step = NULL;
	run->workload->check(run, disk, seed);
	run->depth--;
	run->promises = promises;
	run->step = NULL;
}

struct making {
	struct crash_run *run;
	const struct model_disk *disk;
	uint8_t *kept;
	struct crash_choice choice;
};

static void
emit(struct making *making)
{
	struct crash_run *run = making->run;

	run->at.state++;
	if (run->replay && run->replay->state != run->at.state)
		return;
	run->totals->made++;
	making->choice.kept = making->kept;
	struct model_disk *cut = model_disk_crash(making->disk, &making->choice, false);
	uint64_t hash = mix64(model_disk_hash(cut) + run->promises * 7 + run->at.seed);
	/* What the ledger asks for may differ with a fault, and states of many runs share this. */
	hash = mix64(hash ^ mix64(run->at.call * 16 + run->at.fault));
	if (run->replay || seen_add(&run->seen, hash)) {
		cut->tracks = hash % FULL_DIVISOR == 0;
		run->totals->states++;
		check(run, cut, hash);
	}
	model_disk_free(&cut);
}

static void
keep_all(struct making *making, bool sectors, bool sizes, bool entries)
{
	for (uint32_t i = 0; i < making->disk->piece_count; i++) {
		enum piece_kind kind = making->disk->pieces[i].kind;
		making->kept[i] = kind == PIECE_SECTOR ? sectors
				  : kind == PIECE_SIZE ? sizes
						       : entries;
	}
}

static void
emit_kinds(struct making *making)
{
	for (unsigned kinds = 0; kinds < 8; kinds++) {
		keep_all(making, kinds & 1, kinds & 2, kinds & 4);
		emit(making);
	}
}

static bool
is_chosen(struct making *making, uint32_t count, uint32_t max)
{
	return count <= max || crash_random(making->run, count) < max;
}

/* Each one missing; each one there, alone but for names and sizes, and alone altogether. */
static void
emit_singles(struct making *making)
{
	uint32_t count = making->disk->piece_count;

	for (uint32_t i = 0; i < count; i++) {
		if (!is_chosen(making, count, SINGLES_MAX))
			continue;
		keep_all(making, true, true, true);
		making->kept[i] = 0;
		emit(making);
		keep_all(making, false, true, true);
		making->kept[i] = 1;
		emit(making);
		if (making->disk->pieces[i].kind == PIECE_SECTOR)
			continue;
		memset(making->kept, 0, count);
		making->kept[i] = 1;
		emit(making);
	}
}

static bool
same_page(const struct piece *a, const struct piece *b)
{
	return a->kind == PIECE_SECTOR && b->kind == PIECE_SECTOR && a->inode == b->inode &&
	       a->value / PAGE_SECTORS == b->value / PAGE_SECTORS;
}

static void
keep_page(struct making *making, uint32_t first, bool kept)
{
	const struct piece *pieces = making->disk->pieces;

	for (uint32_t i = 0; i < making->disk->piece_count; i++) {
		if (same_page(&pieces[i], &pieces[first]))
			making->kept[i] = kept;
	}
}

static void
emit_garbled(struct making *making, uint32_t piece)
{
	making->choice.garble_inode = making->disk->pieces[piece].inode;
	making->choice.garble_page = making->disk->pieces[piece].value / PAGE_SECTORS;
	for (enum garble garble = GARBLE_ZEROS; garble <= GARBLE_NOISE; garble++) {
		making->choice.garble = garble;
		keep_all(making, true, true, true);
		emit(making);
		keep_all(making, false, true, true);
		emit(making);
	}
	making->choice.garble = GARBLE_NONE;
}

static void
emit_pages(struct making *making)
{
	const struct piece *pieces = making->disk->pieces;
	uint32_t count = making->disk->piece_count, pages = 0;

	for (uint32_t i = 0; i < count; i++)
		pages += pieces[i].kind == PIECE_SECTOR &&
			 (i == 0 || !same_page(&pieces[i], &pieces[i - 1]));
	for (uint32_t i = 0; i < count; i++) {
		if (pieces[i].kind != PIECE_SECTOR ||
			(i > 0 && same_page(&pieces[i], &pieces[i - 1])))
			continue;
		if (is_chosen(making, pages, GARBLED_MAX))
			emit_garbled(making, i);
		if (!is_chosen(making, pages, SINGLES_MAX))
			continue;
		keep_all(making, true, true, true);
		keep_page(making, i, false);
		emit(making);
		keep_all(making, false, true, true);
		keep_page(making, i, true);
		emit(making);
	}
}

static void
emit_prefixes(struct making *making)
{
	uint32_t count = making->disk->piece_count;

	for (uint32_t len = 1; len < count; len++) {
		if (!is_chosen(making, count, PREFIXES_MAX))
			continue;
		memset(making->kept, 0, count);
		memset(making->kept, 1, len);
		emit(making);
		keep_all(making, false, true, true);
		memset(making->kept, 1, len);
		emit(making);
	}
}

static void
emit_subsets(struct making *making, uint32_t subsets)
{
	uint32_t count = making->disk->piece_count;

	if (count <= EXHAUSTIVE_PIECES && subsets > 8) {
		for (uint32_t set = 0; set < 1u << count; set++) {
			for (uint32_t i = 0; i < count; i++)
				making->kept[i] = set >> i & 1;
			emit(making);
		}
		return;
	}
	for (uint32_t i = 0; i < subsets; i++) {
		uint64_t density = crash_random(making->run, 8) * 2 + 1;
		bool names = crash_random(making->run, 2);
		for (uint32_t k = 0; k < count; k++)
			making->kept[k] = crash_random(making->run, 16) < density ||
					  (names && making->disk->pieces[k].kind != PIECE_SECTOR);
		emit(making);
	}
}

/*
 * The process dies and the machine does not: what was written is there, flushed or not. Not after a
 * failed flush: there nobody can tell what was read from what is on the disk.
 */
static void
emit_kill(struct making *making)
{
	struct crash_run *run = making->run;

	run->at.state++;
	if (crash_random(run, KILL_DIVISOR) != 0)
		return;
	if (run->replay && run->replay->state != run->at.state)
		return;
	struct model_disk *copy = model_disk_copy(making->disk);
	run->totals->made++;
	run->totals->states++;
	check(run, copy, mix64(run->at.seed * 977 + run->at.cut));
	model_disk_free(&copy);
}

static void
make_states(struct crash_run *run, const struct model_disk *disk)
{
	struct making making = {.run = run, .disk = disk};
	bool all = run->at.fault == FAULT_NONE;
	uint64_t random = run->random;

	making.kept = calloc(disk->piece_count + 1, 1);
	if (!making.kept)
		abort();
	/* So that a replay, which makes no others, makes the same ones. */
	run->random = mix64(run->at.seed ^ mix64(run->at.cut));
	run->at.state = 0;
	if (!model_diverged(disk))
		emit_kill(&making);
	emit(&making);
	if (disk->piece_count > 0) {
		keep_all(&making, true, true, true);
		emit(&making);
		emit_subsets(&making, all ? SUBSETS : 3);
		if (all) {
			emit_kinds(&making);
			emit_singles(&making);
			emit_pages(&making);
			emit_prefixes(&making);
		}
	}
	run->random = random;
	free(making.kept);
}

static void
cut(struct crash_run *run, struct model_disk *disk)
{
	if (disk->changes == run->last_changes && run->promises == run->last_promises)
		return;
	/* With a fault, what counts is what was said after it: the rest was looked at without. */
	if (run->at.fault != FAULT_NONE &&
		(!disk->fault_hit || run->promises == run->last_promises))
		return;
	run->last_changes = disk->changes;
	run->last_promises = run->promises;
	run->at.cut++;
	if (run->quiet || (run->replay && run->replay->cut != run->at.cut))
		return;
	run->totals->cuts++;
	make_states(run, disk);
}

static void
before_call(void *arg, struct model_disk *disk)
{
	cut(arg, disk);
}

void
crash_answered(struct crash_run *run, struct model_disk *disk)
{
	run->promises++;
	cut(run, disk);
}

bool
crash_run_all(struct crash_run *run, uint8_t *op_log, uint64_t op_log_size, uint64_t *ret_calls)
{
	struct model_disk *disk = model_disk_new(run->at.seed, true);

	disk->before_call = before_call;
	disk->before_arg = run;
	disk->traces = run->replay != NULL;
	disk->op_log = op_log;
	disk->op_log_size = op_log_size;
	disk->fault = run->at.fault;
	disk->fault_at = run->at.call;
	disk->fault_count = run->at.count;
	run->random = mix64(run->at.seed + 77);
	run->promises = run->last_promises = run->last_changes = run->at.cut = run->at.state = 0;
	run->totals->runs++;
	run->workload->run(run, disk);
	bool hit = disk->fault_hit;
	*ret_calls = disk->calls;
	model_disk_free(&disk);
	return hit;
}

void
crash_run_done(struct crash_run *run)
{
	free(run->seen.slots);
	run->seen = (struct seen_states){0};
}

void
crash_check_now(struct crash_run *run, struct model_disk *disk, bool keep, uint64_t seed)
{
	uint8_t *kept = calloc(disk->piece_count + 1, 1);

	if (!kept)
		abort();
	memset(kept, keep, disk->piece_count);
	struct crash_choice choice = {.kept = kept};
	struct model_disk *left = model_disk_crash(disk, &choice, false);
	check(run, left, seed);
	model_disk_free(&left);
	free(kept);
}

static void
check_random(struct crash_run *run, struct model_disk *disk, uint64_t seed)
{
	uint8_t *kept = calloc(disk->piece_count + 1, 1);

	if (!kept)
		abort();
	for (uint32_t i = 0; i < disk->piece_count; i++)
		kept[i] = mix64(seed + i) & 1;
	struct crash_choice choice = {.kept = kept};
	struct model_disk *left = model_disk_crash(disk, &choice, false);
	check(run, left, seed);
	model_disk_free(&left);
	free(kept);
}

static void
before_inner_call(void *arg, struct model_disk *disk)
{
	struct inner_crash *inner = arg;
	uint64_t seed = mix64(inner->seed + disk->calls);

	if (seed % INNER_DIVISOR != 0)
		return;
	const char *step = inner->run->step;
	crash_check_now(inner->run, disk, false, seed);
	if (disk->piece_count > 0) {
		crash_check_now(inner->run, disk, true, seed);
		check_random(inner->run, disk, seed);
	}
	inner->run->step = step;
}

void
crash_watch(
	struct crash_run *run, struct model_disk *disk, struct inner_crash *inner, uint64_t seed)
{
	*inner = (struct inner_crash){run, seed};
	disk->before_call = before_inner_call;
	disk->before_arg = inner;
}
