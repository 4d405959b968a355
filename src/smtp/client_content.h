/*
 * The content behind DATA as a client sends it (RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2): a pure
 * state machine over blocks of octets, the counterpart of the content reader. Every line end that
 * leaves here is CRLF, whatever the content had, and lines that start with a dot are stuffed.
 */
#ifndef SMTP_CLIENT_CONTENT_H
#define SMTP_CLIENT_CONTENT_H

#include "base/buffer.h"
#include "base/slice.h"

struct smtp_content_writer {
	bool in_line;  /* octets stand on the present line */
	bool after_cr; /* a CR came last: what it means depends on the next octet */
};

/* What so many octets of content can become at most, with what is held back and the end. */
#define SMTP_CONTENT_WRITTEN_MAX(len) (2 * (len) + 8)

/* The next block, as it goes to the server. Start with a zeroed writer. The error is the buffer's.
 */
void
smtp_content_write(struct smtp_content_writer *writer, struct slice block, struct buffer *output);

/* The end: a line end if the last line has none, then the line with the single dot. */
void smtp_content_write_end(struct smtp_content_writer *writer, struct buffer *output);

/* Octets of the content as SIZE counts them: with CRLF line ends, without stuffing and end (RFC
 * 1870 section 3). */
uint64_t smtp_content_size(struct slice content);

#endif
