/*
 * Recovery of a journal and two segments made of the input. The input is a list of batches: one
 * octet says for which file and what is put right, two say how long, then come the batch's octets
 * from its head on. Magic numbers, lengths, sequences and payloads are the fuzzer's; checks and
 * sums are put right (unless the octet says no), so that it gets behind them.
 *
 * Whatever the files say: opening succeeds, what is reported can be read, a second opening reports
 * the same, and the spool then takes a message and keeps it.
 */
#include "base/cursor.h"
#include "spool/spool_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES          3 /* the journal, then segments 1 and 2 */
#define FILE_BYTES     LOGFILE_SLICE_BYTES
#define MESSAGES_MAX   4096
#define CONTENT_CRC_AT 24 /* in the payload of a message record */
#define LEAVE_CHECKS   4
#define LEAVE_SUMS     8

#define require(condition)                                                      \
	do {                                                                    \
		if (!(condition)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			abort();                                                \
		}                                                               \
	} while (0)

struct made_file {
	uint8_t *bytes;
	uint64_t end;
};

static const struct siphash_key key = {"0123456789abcdef"};

/* Little-endian fields of our own making. */
static void
put_u32(uint8_t *bytes, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

static bool
mend_record(struct made_file *file, uint64_t at, uint64_t end, uint8_t how, uint32_t *content_crc)
{
	uint8_t *head = file->bytes + at;
	struct cursor cursor = cursor_of(slice_of(head, RECORD_HEAD_BYTES));
	struct record record;

	if (!slice_equal(cursor_take(&cursor, 4), SLICE("VREC")))
		return false;
	record.type = cursor_take_u32(&cursor);
	record.queue_id = cursor_take_u64(&cursor);
	record.size = cursor_take_u64(&cursor);
	record.crc = cursor_take_u32(&cursor);
	record.flags = cursor_take_u32(&cursor);
	if (record.size > end - at - RECORD_HEAD_BYTES)
		return false;
	uint8_t *payload = head + RECORD_HEAD_BYTES;
	if (!(how & LEAVE_SUMS)) {
		if (record_is_message(&record) && record.size >= MESSAGE_PREFIX_BYTES)
			put_u32(payload + CONTENT_CRC_AT, *content_crc);
		record.crc = crc32c(0, slice_of(payload, (size_t)record.size));
	}
	if (record.type == RECORD_CONTENT)
		*content_crc = record.crc;
	record_head_encode(&record, &key, at, head);
	return true;
}

static void
mend_batch(struct made_file *file, uint64_t start, uint64_t end, uint8_t how)
{
	uint8_t *bytes = file->bytes + start;
	struct cursor cursor = cursor_of(slice_of(bytes, BATCH_HEAD_BYTES));
	uint32_t content_crc = 0;
	struct batch_head head;

	if (end - start < BATCH_HEAD_BYTES || !slice_equal(cursor_take(&cursor, 4), SLICE("VBAT")))
		return;
	head.count = cursor_take_u32(&cursor);
	head.sequence = cursor_take_u64(&cursor);
	head.bytes = cursor_take_u64(&cursor);
	batch_head_encode(&head, &key, start, bytes);
	for (uint64_t at = start + BATCH_HEAD_BYTES; at + RECORD_HEAD_BYTES <= end;
		at += RECORD_ALIGN)
		mend_record(file, at, end, how, &content_crc);
}

static void
take_batches(struct made_file files[FILES], struct slice input)
{
	struct cursor cursor = cursor_of(input);

	while (cursor_left(&cursor) > 3) {
		uint8_t how = cursor_take_u8(&cursor);
		size_t len = cursor_take_u16(&cursor);
		struct slice bytes = slice_sub(cursor_rest(&cursor), 0, len);
		struct made_file *file = &files[(how & 3) % FILES];
		cursor_take(&cursor, bytes.len);
		if (file->end + bytes.len + LOGFILE_BLOCK > FILE_BYTES)
			continue;
		if (bytes.len > 0)
			memcpy(file->bytes + file->end, bytes.ptr, bytes.len);
		if (!(how & LEAVE_CHECKS))
			mend_batch(file, file->end, file->end + bytes.len, how);
		file->end = logfile_round_up(file->end + bytes.len, LOGFILE_BLOCK);
	}
}

static void
write_file(struct env *env, int dir_fd, enum logfile_kind kind, uint32_t number,
	const struct made_file *file)
{
	struct logfile_header header = {
		kind, false, number, SPOOL_GENERATION, LOGFILE_BLOCK, FILE_BYTES, 7, key};
	struct iovec piece = {file->bytes + LOGFILE_BLOCK, file->end - LOGFILE_BLOCK};
	int fd;

	require(logfile_create(env, dir_fd, kind, number, &fd) == OK);
	require(logfile_write_header(env, fd, &header) == OK);
	require(logfile_write(env, fd, &piece, 1, LOGFILE_BLOCK) == OK);
	close(fd);
}

struct seen {
	struct env *env;
	int dir_fd;
	uint64_t ids[MESSAGES_MAX];
	struct spool_reference first;
	size_t count;
};

static void
read_one(const struct seen *seen, const struct spool_reference *reference, bool must)
{
	struct buffer bytes;
	int fd;

	require(spool_open_segment(seen->env, seen->dir_fd, reference->segment, &fd) == OK);
	buffer_init(&bytes, seen->env->memory, FILE_BYTES);
	enum error error = spool_read_record(seen->env, fd, reference, &bytes);
	require(error == OK || (error == ERROR_DAMAGED && !must));
	buffer_done(&bytes);
	close(fd);
}

static enum error
see_message(void *arg, const struct spool_message *message)
{
	struct seen *seen = arg;

	if (message->damaged)
		return OK;
	require(seen->count < MESSAGES_MAX);
	require(seen->count == 0 || seen->ids[seen->count - 1] < message->message.queue_id);
	if (seen->count == 0)
		seen->first = message->message;
	seen->ids[seen->count++] = message->message.queue_id;
	read_one(seen, &message->message, true);
	read_one(seen, &message->content, false);
	for (uint32_t i = 1; i < message->done_count; i++)
		require(message->done_recipients[i - 1] < message->done_recipients[i]);
	return OK;
}

static void
see_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	(void)arg;
	(void)offset;
	require(file[0] != 0 && what[0] != 0);
}

static struct spool *
open_spool(struct env *env, int dir_fd, struct seen *seen)
{
	static const struct spool_options options = {FILE_BYTES, 65536, 0, 1};
	struct spool_visitor visitor = {see_message, see_damage, seen};
	struct spool *spool = NULL;

	*seen = (struct seen){.env = env, .dir_fd = dir_fd};
	require(spool_open(env, dir_fd, &options, &visitor, &spool) == OK);
	return spool;
}

static void
use_spool(struct spool *spool, const struct seen *seen, uint64_t *ret_id)
{
	struct iovec content = {(void *)(uintptr_t) "hello", 5};
	struct spool_reference message, where;
	struct spool_result result = {.kind = SPOOL_DONE, .message = seen->first};

	*ret_id = spool_next_id(spool);
	require(seen->count == 0 || *ret_id > seen->ids[seen->count - 1]);
	require(spool_add_message(
			spool, *ret_id, &content, 1, 0, SLICE("envelope"), &message, &where) == OK);
	if (seen->count > 0)
		require(spool_add_result(spool, &result) == OK);
	struct spool_commit answer = spool_commit(spool);
	require(answer.messages == OK && answer.results == OK);
}

static void
run(struct env *env, int dir_fd, struct seen *seen, struct seen *again)
{
	uint64_t id;

	struct spool *spool = open_spool(env, dir_fd, seen);
	spool_close(&spool);
	spool = open_spool(env, dir_fd, again);
	require(seen->count == again->count);
	require(memcmp(seen->ids, again->ids, sizeof seen->ids) == 0);
	use_spool(spool, seen, &id);
	spool_close(&spool);
	spool = open_spool(env, dir_fd, again);
	require(again->count == (seen->count ? seen->count : 1));
	require(again->ids[again->count - 1] == id);
	spool_close(&spool);
}

static bool
remove_one(void *arg, const struct disk_entry *entry)
{
	return unlinkat(*(int *)arg, entry->name, 0) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/dev/shm/spool-fuzz-XXXXXX";
	struct made_file files[FILES];
	struct env env;

	env_init_linux(&env);
	require(mkdtemp(path) != NULL);
	int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(dir_fd >= 0);
	for (int i = 0; i < FILES; i++)
		files[i] = (struct made_file){memory_get(env.memory, FILE_BYTES), LOGFILE_BLOCK};
	take_batches(files, slice_of(data, size));
	write_file(&env, dir_fd, LOGFILE_JOURNAL, 1, &files[0]);
	write_file(&env, dir_fd, LOGFILE_SEGMENT, 1, &files[1]);
	write_file(&env, dir_fd, LOGFILE_SEGMENT, 2, &files[2]);
	for (int i = 0; i < FILES; i++)
		memory_put(env.memory, files[i].bytes);
	struct seen *seen = memory_get(env.memory, 2 * sizeof *seen);
	run(&env, dir_fd, &seen[0], &seen[1]);
	memory_put(env.memory, seen);
	require(memory_used(env.memory) == 0);
	env.disk->list(env.world, dir_fd, remove_one, &dir_fd);
	close(dir_fd);
	rmdir(path);
	env_done(&env);
	return 0;
}
