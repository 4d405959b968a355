/* What the spool's tests share: a folder, options, and a visitor that remembers. */
#ifndef SPOOL_SPOOL_TEST_H
#define SPOOL_SPOOL_TEST_H

#include "unit.h"

#include "spool/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEN_MAX 4096

struct seen_message {
	struct spool_reference message, content;
	uint32_t attempts;
	wall_us next_attempt_at;
	bool held;
	bool failed;
	bool delay_told;
	char reason[40];
	uint32_t done[8];
	uint32_t done_count;
};

/* What a visitor was told. */
struct seen {
	struct seen_message messages[SEEN_MAX];
	size_t count;
	size_t damage;
	size_t damaged; /* messages */
	char what[80];
	char file[80];
	uint64_t offset;
};

static inline enum error
seen_message(void *arg, const struct spool_message *message)
{
	struct seen *seen = arg;
	struct seen_message *kept = &seen->messages[seen->count];

	if (message->damaged) {
		seen->damaged++;
		return OK;
	}
	ck_assert_uint_lt(seen->count, SEEN_MAX);
	if (seen->count > 0)
		ck_assert_uint_gt(message->message.queue_id, kept[-1].message.queue_id);
	*kept = (struct seen_message){message->message, message->content, message->attempts,
		message->next_attempt_at, message->held, message->failed, message->delay_told, {0},
		{0}, message->done_count};
	snprintf(kept->reason, sizeof kept->reason, "%.*s", SLICE_ARGS(message->reason));
	for (uint32_t i = 0; i < message->done_count && i < 8; i++)
		kept->done[i] = message->done_recipients[i];
	seen->count++;
	return OK;
}

static inline void
seen_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	struct seen *seen = arg;

	seen->damage++;
	if (seen->damage > 1)
		return;
	snprintf(seen->what, sizeof seen->what, "%s", what);
	snprintf(seen->file, sizeof seen->file, "%s", file);
	seen->offset = offset;
}

struct fixture {
	struct env env;
	char path[64];
	int dir_fd;
	struct spool_options options;
	struct spool *spool;
	struct seen *seen;
	struct memory *scratch; /* the test's own */
};

static inline void
fixture_init(struct fixture *f)
{
	*f = (struct fixture){.options = {LOGFILE_SLICE_BYTES, 65536, 0, 1}};
	env_init_linux(&f->env);
	snprintf(f->path, sizeof f->path, "/dev/shm/spool-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->path));
	f->dir_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(f->dir_fd, 0);
	f->scratch = memory_new(0);
	f->seen = memory_get(f->scratch, sizeof *f->seen);
}

static inline bool
remove_one(void *arg, const struct disk_entry *entry)
{
	struct fixture *f = arg;

	return unlinkat(f->dir_fd, entry->name, 0) == 0;
}

static inline void
fixture_done(struct fixture *f)
{
	struct env linux_env;

	spool_close(&f->spool);
	env_init_linux(&linux_env);
	linux_env.disk->list(NULL, f->dir_fd, remove_one, f);
	rmdir(f->path);
	close(f->dir_fd);
	memory_free(&f->scratch);
	ck_assert_uint_eq(memory_used(f->env.memory), 0);
	env_done(&linux_env);
	env_done(&f->env);
}

static inline enum error
fixture_try_open(struct fixture *f)
{
	struct spool_visitor visitor = {seen_message, seen_damage, f->seen};

	spool_close(&f->spool);
	f->seen->count = f->seen->damage = f->seen->damaged = 0;
	f->seen->what[0] = 0;
	return spool_open(&f->env, f->dir_fd, &f->options, &visitor, &f->spool);
}

/* Opens it, after closing without a word if it is open: what a crash of the process leaves. */
static inline void
fixture_open(struct fixture *f)
{
	ck_assert_ok(fixture_try_open(f));
}

/* Contents and envelopes are made from the queue id and the size, so that they can be checked. */
static inline void
make_bytes(uint8_t *bytes, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
}

#define ENVELOPE_BYTES 100

struct added {
	struct spool_reference message, content;
	uint8_t *bytes;
};

static inline enum error
try_add(struct fixture *f, uint64_t queue_id, size_t size, struct added *ret_added)
{
	uint8_t *bytes = memory_get(f->scratch, size + ENVELOPE_BYTES + 1);

	make_bytes(bytes, size, queue_id);
	make_bytes(bytes + size, ENVELOPE_BYTES, queue_id + 1);
	struct iovec pieces[2] = {{bytes, size / 3}, {bytes + size / 3, size - size / 3}};
	ret_added->bytes = bytes;
	return spool_add_message(f->spool, queue_id, pieces, 2, 5,
		slice_of(bytes + size, ENVELOPE_BYTES), &ret_added->message, &ret_added->content);
}

/* One message in a batch of its own. */
static inline struct spool_commit
add_and_commit(struct fixture *f, uint64_t queue_id, size_t size, struct added *ret_added)
{
	ck_assert_ok(try_add(f, queue_id, size, ret_added));
	struct spool_commit answer = spool_commit(f->spool);
	memory_put(f->scratch, ret_added->bytes);
	ret_added->bytes = NULL;
	return answer;
}

static inline struct added
put(struct fixture *f, uint64_t queue_id, size_t size)
{
	struct added added;
	struct spool_commit answer = add_and_commit(f, queue_id, size, &added);

	ck_assert_int_eq(answer.messages, OK);
	ck_assert_int_eq(answer.results, OK);
	return added;
}

static inline void
add_result(struct fixture *f, const struct spool_reference *message, enum spool_result_kind kind,
	uint32_t number, wall_us at)
{
	struct spool_result result = {.kind = kind,
		.message = *message,
		.recipient = kind <= SPOOL_RECIPIENT_FAILED ? number : 0,
		.attempts = kind == SPOOL_DEFERRED ? number : 0,
		.next_attempt_at = at,
		.text = SLICE("451 later")};

	ck_assert_ok(spool_add_result(f->spool, &result));
}

static inline void
commit_ok(struct fixture *f)
{
	struct spool_commit answer = spool_commit(f->spool);

	ck_assert_int_eq(answer.messages, OK);
	ck_assert_int_eq(answer.results, OK);
}

/* Whether content and envelope read back as they were made. */
static inline bool
message_is_whole(struct fixture *f, const struct seen_message *seen)
{
	struct buffer bytes;
	uint8_t *want = memory_get(f->scratch, seen->content.size + ENVELOPE_BYTES);
	uint64_t queue_id = seen->message.queue_id;
	int fd;

	make_bytes(want, seen->content.size, queue_id);
	make_bytes(want + seen->content.size, ENVELOPE_BYTES, queue_id + 1);
	buffer_init(&bytes, f->env.memory, SIZE_MAX);
	bool ok = spool_open_segment(&f->env, f->dir_fd, seen->content.segment, &fd) == OK;
	if (ok) {
		ok = spool_read_record(&f->env, fd, &seen->content, &bytes) == OK &&
		     bytes.len == seen->content.size &&
		     spool_read_record(&f->env, fd, &seen->message, &bytes) == OK &&
		     bytes.len == seen->content.size + ENVELOPE_BYTES &&
		     memcmp(want, bytes.ptr, bytes.len) == 0;
		close(fd);
	}
	buffer_done(&bytes);
	memory_put(f->scratch, want);
	return ok;
}

static inline const struct seen_message *
find_seen(const struct fixture *f, uint64_t queue_id)
{
	for (size_t i = 0; i < f->seen->count; i++) {
		if (f->seen->messages[i].message.queue_id == queue_id)
			return &f->seen->messages[i];
	}
	return NULL;
}

struct file_count {
	size_t segments, journals, others;
};

static inline bool
count_file(void *arg, const struct disk_entry *entry)
{
	struct file_count *count = arg;
	enum logfile_kind kind;
	uint32_t number;

	if (!logfile_parse_name(entry->name, &kind, &number))
		count->others++;
	else if (kind == LOGFILE_SEGMENT)
		count->segments++;
	else
		count->journals++;
	return true;
}

static inline struct file_count
count_files(const struct fixture *f)
{
	struct file_count count = {0};

	ck_assert_int_eq(f->env.disk->list(f->env.world, f->dir_fd, count_file, &count), 0);
	return count;
}

#endif
