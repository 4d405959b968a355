/* A log that keeps its records in memory: what a test asks it is how often an event was told, and
 * the last line of it. */
#ifndef TESTS_LOG_MEMORY_H
#define TESTS_LOG_MEMORY_H

#include "base/log_record.h"
#include "unit.h"

#define LOG_MEMORY_BYTES (4u << 20)

struct log_memory {
	struct log_sink sink;
	struct buffer lines; /* short forms, a line each */
};

static inline void
log_memory_write(struct log_sink *sink, struct slice record)
{
	struct log_memory *log = (struct log_memory *)sink;

	ck_assert_ok(log_record_short(record, &log->lines));
	buffer_append_octet(&log->lines, '\n');
}

/* Becomes the log of the environment. */
static inline void
log_memory_init(struct log_memory *log, struct env *env)
{
	log->sink.write = log_memory_write;
	buffer_init(&log->lines, env->memory, LOG_MEMORY_BYTES);
	env->log = &log->sink;
}

static inline void
log_memory_done(struct log_memory *log)
{
	buffer_done(&log->lines);
}

/* The last line of this event, without its end; empty when there is none. */
static inline struct slice
log_memory_last(const struct log_memory *log, const char *event, unsigned *ret_count)
{
	struct slice rest = buffer_slice(&log->lines), last = slice_of(NULL, 0),
		     name = slice_text(event);

	*ret_count = 0;
	while (rest.len > 0) {
		size_t end = (size_t)slice_find(rest, 0, '\n');
		struct slice line = slice_sub(rest, 0, end);
		rest = slice_from(rest, end + 1);
		if (!slice_has_prefix(line, name) ||
			(line.len > name.len && line.ptr[name.len] != ' '))
			continue;
		last = line;
		++*ret_count;
	}
	return last;
}

static inline unsigned
log_memory_count(const struct log_memory *log, const char *event)
{
	unsigned count;

	log_memory_last(log, event, &count);
	return count;
}

#endif
