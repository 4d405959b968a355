/*
 * Lines from a stream. What a read brought beyond one line stays buffered; while nothing is
 * buffered, no buffer is held (idle sessions cost no line memory). Buffers of LINE_BUFFER_BYTES
 * come from a pool that the process shares.
 */
#ifndef NET_LINE_READER_H
#define NET_LINE_READER_H

#include "net/stream.h"

#define LINE_BUFFER_BYTES 16384

struct line_pool;

struct line_pool *line_pool_new(struct env *env);
void line_pool_free(struct line_pool **pool);

struct line_reader {
	struct stream *stream;
	struct line_pool *pool;
	uint8_t *buffer; /* NULL while nothing is buffered */
	size_t start;
	size_t end;
};

enum line_ending {
	LINE_CRLF,
	LINE_BARE_LF, /* ended by LF without CR before it: not a line of SMTP */
};

struct line {
	struct slice text; /* without its line end; holds until the next call on the reader; may
			      contain NUL or CR */
	enum line_ending ending;
	bool too_long; /* it went over max_len: text is its first max_len octets, the rest was read
			  and dropped */
};

void line_reader_init(struct line_reader *reader, struct line_pool *pool, struct stream *stream);
void line_reader_done(struct line_reader *reader);

/*
 * May wait: the next line, of at most max_len octets without its end (max_len < LINE_BUFFER_BYTES).
 * ERROR_CLOSED when the stream ends, also in mid-line.
 */
MUST_CHECK enum error
line_read(struct line_reader *reader, size_t max_len, mono_us deadline, struct line *ret_line);

/* Whether octets are buffered that nobody has read yet (pipelined commands, or an early talker). */
bool line_reader_has_input(const struct line_reader *reader);

/* Moves up to `len` buffered octets out, without waiting; the number moved. */
size_t line_reader_take(struct line_reader *reader, void *bytes, size_t len);

/* Puts octets back in front, at most LINE_BUFFER_BYTES; nothing may be buffered. ERROR_NO_MEMORY.
 */
MUST_CHECK enum error line_reader_put_back(struct line_reader *reader, struct slice bytes);

/* Drops what is buffered (STARTTLS; RFC 3207 section 4.2). */
void line_reader_drop(struct line_reader *reader);

#endif
