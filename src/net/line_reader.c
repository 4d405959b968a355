/*
 * Lines out of a stream (RFC 5321 section 2.3.8: only CRLF ends one; a bare LF is reported so that
 * the caller can refuse it without waiting for a CRLF that may never come). A line that is too long
 * is read to its end and dropped, so that the next one starts at its start. Buffers go back to the
 * pool as soon as they are empty and a wait is due.
 */
#include "net/line_reader.h"

#include "base/list.h"

#define POOL_KEEPS 64 /* free buffers kept; more go back to the account */

struct free_buffer {
	struct list link;
};

struct line_pool {
	struct env *env;
	struct list free;
	size_t count;
};

struct line_pool *
line_pool_new(struct env *env)
{
	struct line_pool *pool = memory_get(env->memory, sizeof *pool);

	pool->env = env;
	list_init(&pool->free);
	return pool;
}

void
line_pool_free(struct line_pool **pool)
{
	struct list *link;

	if (!*pool)
		return;
	while ((link = list_take(&(*pool)->free)) != NULL)
		memory_put((*pool)->env->memory, list_entry(link, struct free_buffer, link));
	memory_put((*pool)->env->memory, *pool);
	*pool = NULL;
}

static uint8_t *
pool_take(struct line_pool *pool)
{
	struct list *link = list_take(&pool->free);

	if (!link)
		return memory_try(pool->env->memory, LINE_BUFFER_BYTES);
	pool->count--;
	return (uint8_t *)list_entry(link, struct free_buffer, link);
}

static void
pool_put(struct line_pool *pool, uint8_t *buffer)
{
	if (pool->count == POOL_KEEPS) {
		memory_put(pool->env->memory, buffer);
		return;
	}
	struct free_buffer *free_buffer = (struct free_buffer *)(void *)buffer;
	list_prepend(&pool->free, &free_buffer->link);
	pool->count++;
}

void
line_reader_init(struct line_reader *reader, struct line_pool *pool, struct stream *stream)
{
	*reader = (struct line_reader){.stream = stream, .pool = pool};
}

void
line_reader_done(struct line_reader *reader)
{
	line_reader_drop(reader);
}

static struct slice
line_reader_input(const struct line_reader *reader)
{
	if (!reader->buffer)
		return slice_of(NULL, 0);
	return slice_of(reader->buffer + reader->start, reader->end - reader->start);
}

bool
line_reader_has_input(const struct line_reader *reader)
{
	return reader->end > reader->start;
}

void
line_reader_drop(struct line_reader *reader)
{
	if (reader->buffer)
		pool_put(reader->pool, reader->buffer);
	reader->buffer = NULL;
	reader->start = 0;
	reader->end = 0;
}

/* May wait: more octets behind those that are buffered; there is room. */
static enum error
line_reader_fill(struct line_reader *reader, mono_us deadline)
{
	size_t got;

	if (!line_reader_has_input(reader)) {
		/* Nothing is kept while waiting for the first octet of a line: the wait happens
		 * without a buffer. */
		line_reader_drop(reader);
		for (;;) {
			reader->buffer = pool_take(reader->pool);
			if (!reader->buffer)
				return ERROR_NO_MEMORY;
			ssize_t now = reader->stream->ops->read(
				reader->stream, reader->buffer, LINE_BUFFER_BYTES);
			if (now > 0) {
				reader->end = (size_t)now;
				return OK;
			}
			line_reader_drop(reader);
			if (now == 0)
				return ERROR_CLOSED;
			if (error_from_errno((int)-now) != ERROR_AGAIN)
				return error_from_errno((int)-now);
			enum error error =
				reader->stream->ops->wait(reader->stream, POLL_READABLE, deadline);
			if (error != OK)
				return error;
		}
	}
	if (reader->start > 0) {
		memmove(reader->buffer, reader->buffer + reader->start,
			reader->end - reader->start);
		reader->end -= reader->start;
		reader->start = 0;
	}
	enum error error = stream_read(reader->stream, reader->buffer + reader->end,
		LINE_BUFFER_BYTES - reader->end, deadline, &got);
	if (error == OK)
		reader->end += got;
	return error;
}

/* The line of `len` octets and its LF at the start of the buffer is the answer. */
static void
line_reader_hand_out(struct line_reader *reader, size_t len, size_t max_len, struct line *ret_line)
{
	const uint8_t *text = reader->buffer + reader->start;

	*ret_line = (struct line){.ending = LINE_BARE_LF};
	if (len > 0 && text[len - 1] == '\r') {
		ret_line->ending = LINE_CRLF;
		ret_line->text = slice_of(text, len - 1);
	} else {
		ret_line->text = slice_of(text, len);
	}
	if (ret_line->text.len > max_len) {
		ret_line->text.len = max_len;
		ret_line->too_long = true;
	}
	reader->start += len + 1;
}

/* May wait: the buffer starts with more than max_len octets without LF. Keeps the first of them,
 * drops the rest of the line. */
static enum error
line_reader_skip_long(
	struct line_reader *reader, size_t max_len, mono_us deadline, struct line *ret_line)
{
	for (;;) {
		uint8_t last = reader->buffer[reader->end - 1];
		/* Drops what lies behind the kept part but for its last octet, which may be the CR
		 * of the line end. */
		reader->buffer[reader->start + max_len] = last;
		reader->end = reader->start + max_len + 1;
		size_t searched = reader->end - reader->start;
		enum error error = line_reader_fill(reader, deadline);
		if (error != OK)
			return error;
		ssize_t lf = slice_find(line_reader_input(reader), searched, '\n');
		if (lf < 0)
			continue;
		bool crlf = reader->buffer[reader->start + (size_t)lf - 1] == '\r';
		*ret_line = (struct line){
			.text = slice_of(reader->buffer + reader->start, max_len),
			.ending = crlf ? LINE_CRLF : LINE_BARE_LF,
			.too_long = true,
		};
		reader->start += (size_t)lf + 1;
		return OK;
	}
}

enum error
line_read(struct line_reader *reader, size_t max_len, mono_us deadline, struct line *ret_line)
{
	size_t searched = 0;

	for (;;) {
		struct slice input = line_reader_input(reader);
		ssize_t lf = slice_find(input, searched, '\n');
		if (lf >= 0) {
			line_reader_hand_out(reader, (size_t)lf, max_len, ret_line);
			return OK;
		}
		if (input.len > max_len + 1)
			return line_reader_skip_long(reader, max_len, deadline, ret_line);
		searched = input.len;
		enum error error = line_reader_fill(reader, deadline);
		if (error != OK)
			return error;
	}
}

size_t
line_reader_take(struct line_reader *reader, void *bytes, size_t len)
{
	size_t taken = reader->end - reader->start;

	if (taken > len)
		taken = len;
	if (taken > 0)
		memcpy(bytes, reader->buffer + reader->start, taken);
	reader->start += taken;
	if (!line_reader_has_input(reader))
		line_reader_drop(reader);
	return taken;
}

enum error
line_reader_put_back(struct line_reader *reader, struct slice bytes)
{
	line_reader_drop(reader);
	if (bytes.len == 0)
		return OK;
	if (bytes.len > LINE_BUFFER_BYTES)
		return ERROR_LIMIT;
	reader->buffer = pool_take(reader->pool);
	if (!reader->buffer)
		return ERROR_NO_MEMORY;
	memcpy(reader->buffer, bytes.ptr, bytes.len);
	reader->end = bytes.len;
	return OK;
}
