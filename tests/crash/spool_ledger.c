/*
 * The judge of the spool: each message that got OK is there once and whole, as far as its delivery
 * was at least; nothing else but whole messages that were offered; the spool takes mail again, with
 * ids that were never used; and a crash of all this at any call leaves the same.
 */
#include "spool_ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MORE_DIVISOR 8 /* of untracked recoveries, so many go on with new mail */
#define CLOCK_BACK   INT64_C(900000000000000)
#define NEW_CONTENT  700

struct slice
letter_content(const struct letter *letter)
{
	return slice_of(letter->bytes, letter->content_len);
}

struct slice
letter_payload(const struct letter *letter)
{
	return slice_of(letter->bytes + letter->content_len, letter->payload_len);
}

void
letter_reason(uint32_t attempts, char ret_text[LETTER_REASON_BYTES])
{
	snprintf(ret_text, LETTER_REASON_BYTES, "451 4.2.0 later %u", attempts);
}

static struct standing
standing_of(const struct spool_message *message)
{
	struct standing standing = {
		.attempts = message->attempts, .held = message->held, .failed = message->failed};

	for (uint32_t i = 0; i < message->done_count; i++) {
		uint32_t recipient = message->done_recipients[i];
		if (recipient < RECIPIENTS_MAX)
			standing.done |= 1u << recipient;
		else if (recipient >= SETTLED_FIRST)
			standing.settled |= 1u << (recipient - SETTLED_FIRST);
	}
	if (message->delay_told)
		standing.settled |= SETTLED_DELAY;
	return standing;
}

/* As it was given with the last deferral. */
static bool
reason_is_right(const struct spool_message *message)
{
	char text[LETTER_REASON_BYTES];

	letter_reason(message->attempts, text);
	return slice_equal(message->reason, slice_text(text));
}

static enum error
found_message(void *arg, const struct spool_message *message)
{
	struct spool_finding *finding = arg;
	struct ledger *ledger = finding->ledger;
	uint64_t id = message->message.queue_id;

	if (id <= finding->last_id)
		crash_fail(finding->run, "message %" PRIu64 " is there twice", id);
	finding->last_id = id;
	if (message->damaged)
		return OK;
	for (uint32_t i = 0; i < ledger->count; i++) {
		if (ledger->letters[i].queue_id != id)
			continue;
		finding->found[i] = true;
		finding->standing[i] = standing_of(message);
		finding->message[i] = message->message;
		finding->content[i] = message->content;
		if (message->reason.len > 0 && !reason_is_right(message))
			crash_fail(finding->run,
				"message %" PRIu64 ": attempt %u with the reason \"%.*s\"", id,
				message->attempts, SLICE_ARGS(message->reason));
		if (message->next_attempt_at != (wall_us)message->attempts * 1000)
			crash_fail(finding->run,
				"message %" PRIu64 ": attempt %u with another's time", id,
				message->attempts);
		return OK;
	}
	crash_fail(finding->run, "message %" PRIu64 " is there and was never offered", id);
}

static void
found_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	struct spool_finding *finding = arg;

	if (finding->damage++ == 0)
		snprintf(finding->what, sizeof finding->what, "%s at %" PRIu64 ": %s", file, offset,
			what);
}

enum error
finding_open(struct spool_finding *finding, struct crash_run *run, struct env *env, int dir_fd,
	struct spool **ret_spool)
{
	*finding = (struct spool_finding){
		.run = run, .ledger = run->ledger, .env = env, .dir_fd = dir_fd};
	struct spool_visitor visitor = {found_message, found_damage, finding};

	return spool_open(env, dir_fd, &finding->ledger->options, &visitor, ret_spool);
}

static void
judge_record(struct spool_finding *finding, const struct letter *letter,
	const struct spool_reference *reference, struct slice want, const char *what)
{
	struct buffer bytes;
	int fd;

	enum error error =
		spool_open_segment(finding->env, finding->dir_fd, reference->segment, &fd);
	if (error != OK)
		crash_fail(finding->run, "message %" PRIu64 ": no segment %u (%s)",
			letter->queue_id, reference->segment, error_text(error));
	buffer_init(&bytes, finding->env->memory, SIZE_MAX);
	error = spool_read_record(finding->env, fd, reference, &bytes);
	if (error != OK)
		crash_fail(finding->run, "message %" PRIu64 ": its %s can't be read (%s)",
			letter->queue_id, what, error_text(error));
	if (!slice_equal(buffer_slice(&bytes), want))
		crash_fail(finding->run, "message %" PRIu64 ": its %s is not what was stored",
			letter->queue_id, what);
	buffer_done(&bytes);
	finding->env->disk->close(finding->env->world, fd);
}

static void
judge_standing(struct spool_finding *finding, uint32_t i)
{
	const struct letter *letter = &finding->ledger->letters[i];
	const struct standing *now = &finding->standing[i];
	struct crash_run *run = finding->run;

	if (now->attempts < letter->durable.attempts || now->attempts > letter->asked.attempts)
		crash_fail(run, "message %" PRIu64 ": %u attempts, of %u known and %u asked for",
			letter->queue_id, now->attempts, letter->durable.attempts,
			letter->asked.attempts);
	if (letter->durable.settled & ~now->settled)
		crash_fail(run, "message %" PRIu64 ": that recipients %x are settled is forgotten",
			letter->queue_id, letter->durable.settled & ~now->settled);
	if (letter->durable.done & ~now->done)
		crash_fail(run, "message %" PRIu64 ": recipients %x are forgotten",
			letter->queue_id, letter->durable.done & ~now->done);
	if (now->done & ~letter->asked.done)
		crash_fail(run, "message %" PRIu64 ": recipients %x were never finished",
			letter->queue_id, now->done & ~letter->asked.done);
	if ((letter->durable.failed && !now->failed) || (now->failed && !letter->asked.failed))
		crash_fail(run, "message %" PRIu64 ": that a recipient %s", letter->queue_id,
			now->failed ? "failed is not true" : "failed is forgotten");
	if (!letter->held_any && now->held != letter->durable.held &&
		now->held != letter->asked.held)
		crash_fail(run, "message %" PRIu64 " is %s", letter->queue_id,
			now->held ? "held" : "not held");
}

/* A report is there, or was delivered, if and only if what it reports is settled. */
static void
judge_settling(struct spool_finding *finding, uint32_t i)
{
	const struct letter *letter = &finding->ledger->letters[i];
	uint32_t other = letter->settles - 1;

	if (letter->settles == 0 || !finding->found[other])
		return;
	/* A process that started after a failed flush saw what the disk may not have. */
	if (letter->unsure && finding->ledger->diverged)
		return;
	bool was_stored = finding->found[i] || letter->asked.finished;
	bool is_settled = finding->standing[other].settled & letter->settled_bit;
	if (was_stored != is_settled)
		crash_fail(finding->run, "message %" PRIu64 " is %s, and what it settles is %s",
			letter->queue_id, was_stored ? "there" : "not there",
			is_settled ? "settled" : "not settled");
}

static void
judge_letter(struct spool_finding *finding, uint32_t i)
{
	const struct letter *letter = &finding->ledger->letters[i];
	struct crash_run *run = finding->run;

	if (finding->found[i] && letter->state == LETTER_REFUSED)
		crash_fail(run, "message %" PRIu64 " was refused and is there", letter->queue_id);
	if (finding->found[i] && letter->state == LETTER_GONE)
		crash_fail(run, "message %" PRIu64 " was done and is there%s%s", letter->queue_id,
			finding->damage ? "; " : "", finding->what);
	if (!finding->found[i] && letter->state == LETTER_LIVE && !letter->asked.finished)
		crash_fail(run, "message %" PRIu64 " got OK and is lost%s%s", letter->queue_id,
			finding->damage ? "; " : "", finding->what);
	if (!finding->found[i])
		return;
	judge_standing(finding, i);
	/* A process that starts after a failed flush reads what the disk may not have; nobody got
	 * OK for it. */
	if (letter->unsure && letter->state == LETTER_OPEN && finding->ledger->diverged)
		return;
	judge_record(finding, letter, &finding->content[i], letter_content(letter), "content");
	judge_record(finding, letter, &finding->message[i], letter_payload(letter), "envelope");
}

void
finding_judge(struct spool_finding *finding)
{
	for (uint32_t i = 0; i < finding->ledger->count; i++)
		judge_letter(finding, i);
	for (uint32_t i = 0; i < finding->ledger->count; i++)
		judge_settling(finding, i);
	if (finding->damage > 0 && !finding->ledger->diverged)
		crash_fail(finding->run, "damage is reported: %s", finding->what);
}

/* What recovery reported is acted upon: it must not vanish with the next power cut. */
static void
judge_against_last(struct crash_run *run, const struct spool_finding *finding)
{
	struct ledger *ledger = run->ledger;

	for (uint32_t i = 0; i < ledger->count; i++) {
		if (ledger->found[i] && !finding->found[i])
			crash_fail(run,
				"message %" PRIu64 " was reported by a recovery and is lost",
				ledger->letters[i].queue_id);
	}
}

static void
check_id(struct crash_run *run, uint64_t id)
{
	const struct ledger *ledger = run->ledger;

	for (uint32_t i = 0; i < ledger->count; i++) {
		const struct letter *letter = &ledger->letters[i];
		if (letter->queue_id >= id &&
			(letter->state == LETTER_LIVE || letter->state == LETTER_GONE))
			crash_fail(run, "new id %" PRIu64 " is not above %" PRIu64, id,
				letter->queue_id);
	}
}

/* One more message, which is in the ledger until the check is over, and an end for an older one. */
static void
add_more(struct crash_run *run, struct spool *spool, struct spool_finding *finding)
{
	static uint8_t bytes[NEW_CONTENT + 20];
	struct ledger *ledger = run->ledger;
	struct letter *letter = &ledger->letters[ledger->count];
	struct iovec piece = {bytes, NEW_CONTENT};

	memset(bytes, 'n', sizeof bytes);
	*letter = (struct letter){.queue_id = spool_next_id(spool),
		.bytes = bytes,
		.content_len = NEW_CONTENT,
		.payload_len = 20};
	check_id(run, letter->queue_id);
	enum error error = spool_add_message(spool, letter->queue_id, &piece, 1, 0,
		letter_payload(letter), &letter->message, &letter->content);
	if (error != OK)
		crash_fail(run, "no new mail after the recovery: %s", error_text(error));
	ledger->found[ledger->count++] = false;
	struct spool_commit answer = spool_commit(spool);
	if (answer.messages != OK || answer.results != OK)
		crash_fail(run, "no commit after the recovery: %s, %s", error_text(answer.messages),
			error_text(answer.results));
	run->promises++;
	letter->state = LETTER_LIVE;
	finding->found[ledger->count - 1] = true;
}

static void
go_on(struct crash_run *run, struct model_disk *disk, struct spool_finding *finding,
	struct spool **spool, uint64_t seed)
{
	struct ledger *ledger = run->ledger;
	uint32_t count = ledger->count;
	bool found[LETTERS_MAX];

	memcpy(found, ledger->found, sizeof found);
	/* Not with a fault: what a failed flush lost may vanish even after it was seen. */
	if (disk->tracks && run->at.fault == FAULT_NONE)
		memcpy(ledger->found, finding->found, sizeof found);
	if (disk->tracks)
		crash_check_now(run, disk, false, seed);
	if (ledger->count < LETTERS_MAX && (disk->tracks || seed % MORE_DIVISOR == 0)) {
		run->step = "new mail after the recovery";
		add_more(run, *spool, finding);
		if (disk->tracks) {
			crash_check_now(run, disk, false, seed);
			crash_check_now(run, disk, true, seed);
		}
	}
	memcpy(ledger->found, found, sizeof found);
	ledger->count = count;
}

void
spool_check(struct crash_run *run, struct model_disk *disk, uint64_t seed)
{
	struct spool_finding finding;
	struct inner_crash inner;
	struct spool *spool;
	struct env env;

	disk->random = seed;
	disk->wall_offset = seed & 1 ? -CLOCK_BACK : 0;
	model_env_init(&env, disk);
	int dir_fd = model_root_open(disk);
	if (disk->tracks)
		crash_watch(run, disk, &inner, seed);
	enum error error = finding_open(&finding, run, &env, dir_fd, &spool);
	run->step = NULL;
	if (error != OK)
		crash_fail(run, "the spool can't be opened: %s", error_text(error));
	finding_judge(&finding);
	if (run->depth > 1)
		judge_against_last(run, &finding);
	if (run->depth == 1)
		go_on(run, disk, &finding, &spool, seed);
	disk->before_call = NULL;
	spool_close(&spool);
	model_env_done(&env);
}
