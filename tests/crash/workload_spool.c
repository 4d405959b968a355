/*
 * What the spool is made to do: messages of many sizes, alone and in batches, with results beside
 * them; deliveries, deferrals, holds, ends; background filling; restarts of the process. The bodies
 * are hostile: copies of whole blocks of the spool's own files, and batches that are right in
 * everything but the key. Each answer goes into the ledger.
 *
 * To add something the spool can do: a function here that does it and notes what was promised, a
 * line in run_step, and where there is a new promise a comparison in spool_ledger.c.
 */
#include "spool_ledger.h"

#include "spool/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS          20
#define LIVE_MAX       8
#define PAYLOAD_MAX    90
#define CONTENT_ROOM   30000
#define FORGED_ID      UINT64_C(4711)
#define BODY_HEAD_SIZE (BATCH_HEAD_BYTES + RECORD_HEAD_BYTES)

struct spool_work {
	struct crash_run *run;
	struct model_disk *disk;
	struct env env;
	int dir_fd;
	struct spool *spool;
	struct ledger *ledger;
	uint64_t batch_end; /* where the last message of the last batch ended */
	uint64_t sequence;  /* batches so far */
	uint32_t first;     /* letter of the present batch */
	bool results_wait;
	bool unread[LETTERS_MAX]; /* the spool started without the segments that hold them */
};

static uint64_t
below(struct spool_work *work, uint64_t bound)
{
	return crash_random(work->run, bound);
}

static size_t
draw_size(struct spool_work *work)
{
	switch (below(work, 8)) {
	case 0:
		return 0;
	case 1:
	case 2:
		return below(work, 300);
	case 3:
	case 4:
		return 3700 + below(work, 700);
	case 5:
		return below(work, 10000);
	case 6:
		return below(work, 2000);
	default:
		return below(work, 24) == 0 ? 20000 + below(work, 10000) : below(work, 4000);
	}
}

/* A page of one of the spool's own files that is not all zeros, where there is one. */
static bool
copy_real_page(struct spool_work *work, uint8_t *page)
{
	const struct entries *entries = work->disk->inodes[MODEL_ROOT].entries;

	for (int tries = 0; tries < 12 && entries->count > 0; tries++) {
		const struct folder_entry *entry = &entries->list[below(work, entries->count)];
		if (model_read(work->disk, entry->inode, page, PAGE_BYTES,
			    below(work, 6) * PAGE_BYTES) == PAGE_BYTES &&
			page[0] != 0)
			return true;
	}
	return false;
}

/* A batch with a message of nobody's, for this place of the file and a key that is known. */
static void
forge_page(struct spool_work *work, uint8_t *page, uint64_t offset, const struct siphash_key *key)
{
	struct record content = {RECORD_CONTENT, 0, FORGED_ID, 0, 0};
	struct record message = {RECORD_MESSAGE, 0, FORGED_ID, 32 + 8, 0};
	struct batch_head head = {
		2, work->sequence + 1, BATCH_HEAD_BYTES + 2 * RECORD_HEAD_BYTES + 40};
	uint8_t *payload = page + BATCH_HEAD_BYTES + 2 * RECORD_HEAD_BYTES;
	uint32_t segment = work->ledger->count
				   ? work->ledger->letters[work->ledger->count - 1].message.segment
				   : 0;
	uint64_t place = offset + BATCH_HEAD_BYTES + RECORD_HEAD_BYTES;
	const uint32_t generation = 1;

	memset(page, 0, PAGE_BYTES);
	memcpy(payload, &segment, 4);
	memcpy(payload + 4, &generation, 4);
	memcpy(payload + 8, &place, 8);
	message.crc = crc32c(0, slice_of(payload, 40));
	batch_head_encode(&head, key, offset, page);
	record_head_encode(&content, key, offset + BATCH_HEAD_BYTES, page + BATCH_HEAD_BYTES);
	record_head_encode(&message, key, offset + BATCH_HEAD_BYTES + RECORD_HEAD_BYTES,
		page + BATCH_HEAD_BYTES + RECORD_HEAD_BYTES);
}

/* Pages that look like the spool's own, where the next batch will have its second and third block.
 */
static void
make_hostile(struct spool_work *work, uint8_t *bytes, size_t size)
{
	uint64_t block = logfile_round_up(work->batch_end, PAGE_BYTES);
	struct siphash_key key = {{0}};

	for (size_t at = PAGE_BYTES - BODY_HEAD_SIZE; at + PAGE_BYTES <= size; at += PAGE_BYTES) {
		block += PAGE_BYTES;
		if (below(work, 2) || !copy_real_page(work, bytes + at))
			forge_page(work, bytes + at, block, &key);
	}
}

static void
make_bytes(struct spool_work *work, struct letter *letter)
{
	uint64_t word = 0;

	letter->bytes = memory_get(work->env.memory, letter->content_len + letter->payload_len + 1);
	for (size_t i = 0; i < letter->content_len + letter->payload_len; i++) {
		if (i % 8 == 0)
			word = mix64(letter->queue_id * 1000 + i);
		letter->bytes[i] = (uint8_t)('!' + (word >> i % 8 * 8) % 90);
	}
	make_hostile(work, letter->bytes, letter->content_len);
}

/* Some messages settle a recipient of an older one that lives, or tell of its delay, in all ways
 * but with memory that goes before the commit. */
static struct slice
choose_settled(struct spool_work *work, struct letter *letter)
{
	struct ledger *ledger = work->ledger;
	struct buffer settles;

	if (ledger->count == 0 || below(work, 3) > 0)
		return (struct slice){0};
	uint32_t chosen = (uint32_t)below(work, ledger->count);
	struct letter *other = &ledger->letters[chosen];
	if (other->state != LETTER_LIVE || work->unread[chosen] || other->asked.finished ||
		other->settled == SETTLED_MAX)
		return (struct slice){0};
	letter->settles = chosen + 1;
	buffer_init_fixed(&settles, letter->settling, sizeof letter->settling);
	if (!other->delay_offered && below(work, 3) == 0) {
		other->delay_offered = true;
		letter->settled_bit = SETTLED_DELAY;
		spool_settle_append(&settles, SPOOL_DELAY_TOLD, &other->message, NULL, 0);
		return buffer_slice(&settles);
	}
	uint32_t recipient = SETTLED_FIRST + other->settled;
	letter->settled_bit = 1u << other->settled++;
	spool_settle_append(&settles, SPOOL_RECIPIENT_ENDED, &other->message, &recipient, 1);
	return buffer_slice(&settles);
}

/* The content in a file of its own, the end before the beginning; some are never named. */
static enum error
add_apart(struct spool_work *work, struct letter *letter, struct iovec pieces[2])
{
	struct env *env = &work->env;
	struct spool_apart apart;

	enum error error = spool_apart_begin(work->spool, &apart);
	if (error == OK)
		error = spool_apart_create(env, work->dir_fd, &apart);
	if (error != OK)
		return error;
	uint64_t first = pieces[0].iov_len;
	error = spool_apart_write(env, &apart, &pieces[1], 1, first);
	if (error == OK)
		error = spool_apart_write(env, &apart, &pieces[0], 1, 0);
	if (error == OK)
		error = spool_apart_finish(env, work->dir_fd, &apart, letter->queue_id, 0);
	if (error == OK && below(work, 8) == 0)
		error = ERROR_CANCELLED;
	if (error == OK)
		error = spool_add_apart(work->spool, &apart, letter_payload(letter),
			&letter->message, &letter->content);
	if (error != OK)
		spool_apart_drop(env, work->dir_fd, &apart);
	spool_apart_close(env, &apart);
	return error;
}

static void
add_message(struct spool_work *work, size_t size)
{
	struct ledger *ledger = work->ledger;
	struct letter *letter = &ledger->letters[ledger->count];

	if (ledger->count + 2 >= LETTERS_MAX)
		return;
	*letter = (struct letter){.queue_id = spool_next_id(work->spool),
		.content_len = size,
		.payload_len = 1 + below(work, PAYLOAD_MAX)};
	make_bytes(work, letter);
	struct slice settles = choose_settled(work, letter);
	ledger->count++;
	size_t third = letter->content_len / 3;
	struct iovec pieces[2] = {
		{letter->bytes, third}, {letter->bytes + third, letter->content_len - third}};
	struct iovec apart_pieces[2] = {pieces[0], pieces[1]};
	bool is_apart = settles.len == 0 && letter->content_len > 0 && below(work, 3) == 0;
	enum error error = is_apart ? add_apart(work, letter, apart_pieces) : ERROR_CANCELLED;
	if (error == ERROR_CANCELLED)
		error = spool_add_settling(work->spool, letter->queue_id, pieces, 2, 0,
			letter_payload(letter), settles, &letter->message, &letter->content);
	if (error != OK)
		letter->state = LETTER_REFUSED;
}

static void
ask(struct letter *letter, enum spool_result_kind kind, uint32_t recipient)
{
	struct standing *asked = &letter->asked;

	switch (kind) {
	case SPOOL_RECIPIENT_DELIVERED:
	case SPOOL_RECIPIENT_FAILED:
		asked->done |= 1u << recipient;
		asked->failed |= kind == SPOOL_RECIPIENT_FAILED;
		break;
	case SPOOL_DEFERRED:
		asked->attempts++;
		break;
	case SPOOL_HELD:
	case SPOOL_RELEASED:
		asked->held = kind == SPOOL_HELD;
		letter->held_any = true;
		break;
	case SPOOL_DONE:
		asked->finished = true;
		break;
	case SPOOL_RECIPIENT_ENDED:
	case SPOOL_DELAY_TOLD:
		break; /* only as what a message settles */
	}
}

static void
add_result(struct spool_work *work, struct letter *letter, enum spool_result_kind kind)
{
	uint32_t recipient = (uint32_t)below(work, RECIPIENTS_MAX);
	struct letter before = *letter;
	char text[LETTER_REASON_BYTES];
	letter_reason(letter->asked.attempts + (kind == SPOOL_DEFERRED), text);
	struct spool_result result = {.kind = kind,
		.message = letter->message,
		.recipient = kind <= SPOOL_RECIPIENT_FAILED ? recipient : 0,
		.attempts = kind == SPOOL_DEFERRED ? letter->asked.attempts + 1 : 0,
		.next_attempt_at = kind == SPOOL_DEFERRED ? (letter->asked.attempts + 1) * 1000 : 0,
		.text = slice_text(text)};

	ask(letter, kind, recipient);
	if (spool_add_result(work->spool, &result) == OK)
		work->results_wait = true;
	else
		*letter = before;
}

static void
add_results(struct spool_work *work)
{
	struct ledger *ledger = work->ledger;
	uint32_t live = 0;

	for (uint32_t i = 0; i < ledger->count; i++)
		live += ledger->letters[i].state == LETTER_LIVE &&
			!ledger->letters[i].asked.finished;
	for (uint32_t i = 0; i < ledger->count; i++) {
		struct letter *letter = &ledger->letters[i];
		if (letter->state != LETTER_LIVE || letter->asked.finished)
			continue;
		if (live > LIVE_MAX || below(work, 8) == 0) {
			add_result(work, letter, SPOOL_DONE);
			live--;
		} else if (below(work, 4) == 0) {
			add_result(work, letter, (enum spool_result_kind)(1 + below(work, 5)));
		}
	}
}

static void
results_durable(struct ledger *ledger)
{
	for (uint32_t i = 0; i < ledger->count; i++) {
		struct letter *letter = &ledger->letters[i];
		letter->durable = letter->asked;
		letter->held_any = false;
		if (letter->asked.finished)
			letter->state = LETTER_GONE;
	}
}

/* Durable with the message itself, whatever becomes of the journal. */
static void
note_settled(struct ledger *ledger, const struct letter *letter)
{
	if (letter->settles == 0)
		return;
	struct letter *other = &ledger->letters[letter->settles - 1];
	other->durable.settled |= letter->settled_bit;
	other->asked.settled |= letter->settled_bit;
}

/* The index answers for the new places from here on; some letters are still asked for by the old
 * ones, as by a schedule that has not heard of it. */
static void
note_moves(struct spool_work *work)
{
	const struct spool_move *move;

	for (uint32_t n = 0; (move = spool_moved(work->spool, n)) != NULL; n++) {
		for (uint32_t i = 0; i < work->ledger->count; i++) {
			struct letter *letter = &work->ledger->letters[i];
			if (letter->queue_id != move->message.queue_id || below(work, 4) == 0)
				continue;
			letter->message = move->message;
			letter->content = move->content;
		}
	}
}

static void
commit(struct spool_work *work)
{
	struct ledger *ledger = work->ledger;
	struct spool_commit answer = spool_commit(work->spool);

	note_moves(work);

	for (uint32_t i = work->first; i < ledger->count; i++) {
		struct letter *letter = &ledger->letters[i];
		if (letter->state != LETTER_OPEN)
			continue;
		if (answer.messages == OK) {
			letter->state = LETTER_LIVE;
			note_settled(ledger, letter);
			work->batch_end = letter->message.offset + letter->message.size;
		} else if (answer.messages == ERROR_IO || answer.messages == ERROR_NO_SPACE) {
			letter->state = LETTER_REFUSED;
		} else if (answer.messages == ERROR_UNKNOWN) {
			letter->unsure = true;
		} else {
			crash_fail(work->run, "commit says %s", error_text(answer.messages));
		}
	}
	work->sequence += answer.messages == OK && ledger->count > work->first;
	work->first = ledger->count;
	if (answer.results == OK) {
		results_durable(ledger);
		work->results_wait = false;
	}
	if ((answer.messages != OK || answer.results != OK) && !work->disk->fault_hit)
		crash_fail(work->run, "commit fails on a disk that is well: %s, %s",
			error_text(answer.messages), error_text(answer.results));
	crash_answered(work->run, work->disk);
}

static void
add_batch(struct spool_work *work)
{
	uint64_t count = 1 + below(work, 3) * below(work, 2);

	for (uint64_t i = 0; i < count; i++) {
		size_t size = draw_size(work);
		if (work->first < work->ledger->count &&
			!spool_has_room(work->spool, size, PAYLOAD_MAX + 1))
			commit(work);
		add_message(work, size);
	}
}

/* After a clean restart the spool's word is the latest one. */
static void
take_over(struct spool_work *work, const struct spool_finding *finding)
{
	struct ledger *ledger = work->ledger;

	for (uint32_t i = 0; i < ledger->count; i++) {
		struct letter *letter = &ledger->letters[i];
		if (!finding->found[i]) {
			if (letter->state == LETTER_LIVE)
				letter->state = LETTER_GONE;
			else if (letter->state == LETTER_OPEN)
				letter->state = LETTER_REFUSED;
			continue;
		}
		letter->message = finding->message[i];
		letter->content = finding->content[i];
		letter->durable = letter->asked = finding->standing[i];
		letter->held_any = false;
	}
	work->results_wait = false;
	memset(work->unread, 0, sizeof work->unread);
}

/* After a start that the disk disturbed: nobody knows of these until the next one. */
static void
note_unread(struct spool_work *work, const struct spool_finding *finding)
{
	for (uint32_t i = 0; i < work->ledger->count; i++)
		work->unread[i] = !finding->found[i];
}

/* The process ends without a word and starts again. False: it can't be opened. */
static bool
restart(struct spool_work *work)
{
	struct spool_finding finding;
	struct model_disk *disk = work->disk;

	spool_close(&work->spool);
	work->ledger->diverged = work->ledger->diverged || model_diverged(disk);
	/* What was not answered stays open until it is known what became of it. */
	for (uint32_t i = work->first; i < work->ledger->count; i++)
		work->ledger->letters[i].unsure = true;
	work->first = work->ledger->count;
	for (int tries = 0; tries < 6; tries++) {
		bool was_hit = disk->fault_hit;
		uint64_t call = disk->calls;
		enum error error =
			finding_open(&finding, work->run, &work->env, work->dir_fd, &work->spool);
		bool disturbed =
			disk->fault_hit && (!was_hit || call < disk->fault_at + disk->fault_count);
		if (error != OK && !disturbed)
			crash_fail(work->run, "the spool can't be opened again: %s",
				error_text(error));
		if (error != OK)
			continue;
		if (!disturbed) {
			/* What the judge reads does not fail. */
			disk->fault = FAULT_NONE;
			finding_judge(&finding);
			disk->fault = work->run->at.fault;
			take_over(work, &finding);
			crash_answered(work->run, disk);
			return true;
		}
		if (below(work, 2) == 0) {
			note_unread(work, &finding);
			return true;
		}
		spool_close(&work->spool);
	}
	return work->spool != NULL;
}

/* Also such as are on their way to another place. */
static void
end_some(struct spool_work *work)
{
	for (uint32_t i = 0; i < work->ledger->count; i++) {
		struct letter *letter = &work->ledger->letters[i];
		if (letter->state == LETTER_LIVE && !letter->asked.finished && below(work, 2))
			add_result(work, letter, SPOOL_DONE);
	}
}

/* Alone, or beside new mail. */
static void
forward(struct spool_work *work)
{
	bool more;

	if (spool_moves_are_known(work->spool) && below(work, 2))
		commit(work);
	if (below(work, 2))
		add_batch(work);
	spool_forward(work->spool, 1 + (uint32_t)below(work, 4), below(work, 4) > 0, &more);
	if (below(work, 3) == 0)
		end_some(work);
	commit(work);
	if (below(work, 2))
		spool_moves_are_known(work->spool);
}

static void
run_step(struct spool_work *work)
{
	switch (below(work, 12)) {
	case 10:
	case 11:
		forward(work);
		return;
	case 0:
		while (below(work, 4) && spool_prepare(work->spool))
			;
		return;
	case 1:
		if (below(work, 2)) {
			restart(work);
			return;
		}
		/* fallthrough */
	case 2:
	case 3:
		add_results(work);
		if (work->results_wait)
			commit(work);
		return;
	case 4:
	case 5:
		add_results(work);
		/* fallthrough */
	default:
		add_batch(work);
		commit(work);
	}
}

/* When the disk is well again, so is the spool, without a restart and after one. */
static void
run_end(struct spool_work *work)
{
	struct ledger *ledger = work->ledger;

	work->disk->fault_count = 0;
	work->disk->ticks += 60 * US_PER_S;
	for (int i = 0; i < 2 && work->spool; i++) {
		uint32_t count = ledger->count;
		add_message(work, 500);
		commit(work);
		if (i == 1 && ledger->letters[count].state != LETTER_LIVE)
			crash_fail(work->run, "no mail is taken after the disk is well again");
	}
	restart(work);
	/* Twice: the first may have been one that tells what the one before could not read. */
	restart(work);
}

static void
spool_run(struct crash_run *run, struct model_disk *disk)
{
	struct spool_work work = {.run = run, .disk = disk};

	model_env_init(&work.env, disk);
	work.ledger = memory_get(work.env.memory, sizeof *work.ledger);
	run->ledger = work.ledger;
	work.ledger->options = (struct spool_options){
		LOGFILE_SLICE_BYTES, 65536, 0, 1 + (uint32_t)below(&work, 2)};
	work.batch_end = PAGE_BYTES;
	work.dir_fd = model_root_open(disk);
	bool open = restart(&work);
	for (int i = 0; i < STEPS && work.spool && open; i++)
		run_step(&work);
	run_end(&work);
	disk->before_call = NULL;
	spool_close(&work.spool);
	run->ledger = NULL;
	model_env_done(&work.env);
}

const struct workload workload_spool = {"spool", spool_run, spool_check};
