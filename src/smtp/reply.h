/*
 * Replies of SMTP (RFC 5321 section 4.2) with their enhanced status codes (RFC 2034, 3463): as a
 * value, as octets to send, and read from a server line by line.
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/buffer.h"
#include "base/slice.h"

#define SMTP_REPLY_TEXT_MAX \
	480 /* octets of text that are sent; longer text is cut and ends in "..." */
#define SMTP_REPLY_LINES_MAX 16 /* lines of text that are sent */
#define SMTP_REPLY_BYTES_MAX \
	1024 /* what a reply takes at most: the text, and 4 + 12 + 2 octets a line */

struct smtp_reply {
	uint16_t code;        /* 0: no reply */
	uint16_t enhanced[3]; /* class, subject, detail; class 0: none (banner, EHLO, 354) */
	struct slice text;    /* lines with LF between them; may be empty */
};

/* SMTP_REPLY(550, 5, 1, 1, "no such user") */
#define SMTP_REPLY(code, class, subject, detail, literal) \
	((struct smtp_reply){(code), {(class), (subject), (detail)}, SLICE(literal)})

/*
 * The reply as lines with CRLF. What could break a line or a terminal (controls, octets over 127)
 * becomes "?", so that text that quotes a stranger is harmless.
 */
void smtp_reply_append(struct buffer *buffer, const struct smtp_reply *reply);

static inline bool
smtp_reply_is_positive(const struct smtp_reply *reply)
{
	return reply->code >= 200 && reply->code < 400;
}

/*
 * The client's side: the reply of a server, fed line by line. Unknown codes are fine (their first
 * digit tells the class), text and enhanced code are optional, a code that changes in mid-reply is
 * an error.
 */
#define SMTP_REPLY_READ_LINES_MAX \
	200 /* an error beyond; EHLO and HELP of real servers have under 60 */
#define SMTP_REPLY_READ_TEXT_MAX 4096

struct smtp_reply_reader {
	struct buffer text; /* lines with LF between them, controls replaced; what goes over the
			       maximum is dropped */
	uint16_t code;
	uint16_t enhanced[3]; /* of the first line, if its class fits the code; else class 0 */
	uint16_t lines;
	bool is_cut; /* text was dropped */
};

/* The text's memory comes from the account, a little at a time. */
void smtp_reply_reader_init(struct smtp_reply_reader *reader, struct memory *memory);
void smtp_reply_reader_done(struct smtp_reply_reader *reader);

/* Ready for the next reply. */
void smtp_reply_reader_clear(struct smtp_reply_reader *reader);

/*
 * One line without its CRLF; ret_last tells whether it ended the reply. ERROR_FORMAT: not a line of
 * this reply; ERROR_LIMIT: too many lines; ERROR_NO_MEMORY. After an error the connection is of no
 * use.
 */
MUST_CHECK enum error
smtp_reply_reader_line(struct smtp_reply_reader *reader, struct slice line, bool *ret_last);

/* What was read, as a value; the text (all of it, enhanced codes included) holds until the reader
 * is cleared. */
struct smtp_reply smtp_reply_reader_reply(const struct smtp_reply_reader *reader);

#endif
