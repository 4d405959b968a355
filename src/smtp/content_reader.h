/*
 * The content behind DATA (RFC 5321 sections 4.1.1.4 and 4.5.2), as a pure state machine over
 * blocks of octets as they arrive: it takes dot-stuffing off in place and finds the end. ONLY CRLF
 * "." CRLF ends content (or "." CRLF at its very start), wherever the blocks are cut.
 *
 * Or the content of BDAT (RFC 3030): no dot means anything there, and who counts the octets says
 * where the end is.
 *
 * What stands alone, CR or LF, is an error, or with `normalises` a line end of a sloppy client:
 * each becomes CRLF (a CR in the header section a space, for it could begin a field there), CR CR
 * LF is one line end, and a dot alone on a line that such an end begins or ends is content. That
 * takes room, so it is not done in place: a step stops before it, and content_reader_copy goes on.
 *
 * Content with an error in it is read on to its real end, so that the reply comes at the right
 * place and nothing of the content can be taken for a command.
 */
#ifndef SMTP_CONTENT_READER_H
#define SMTP_CONTENT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTENT_LINE_MAX \
	998 /* octets of a line by RFC 5322 section 2.1.1: longer ones set CONTENT_LONG_LINE */

#define CONTENT_PENDING_MAX 8

/* What makes content unacceptable. */
enum content_error {
	CONTENT_ERROR_BARE_LF = 1u << 0,
	CONTENT_ERROR_BARE_CR = 1u << 1,
	CONTENT_ERROR_NUL = 1u << 2,
	CONTENT_ERROR_LINE_TOO_LONG = 1u << 3,
};

struct content_reader {
	uint8_t state;
	uint8_t errors; /* enum content_error, all that were seen so far */
	uint16_t flags; /* enum content_flags (ipc/envelope.h), without CONTENT_NO_FINAL_CRLF: what
			   DATA brings has one */
	uint32_t
		line_limit; /* octets of a line without CRLF; longer: CONTENT_ERROR_LINE_TOO_LONG */
	size_t line_len;    /* of the present line, as unstuffed */
	bool normalises;
	bool is_counted; /* of BDAT */
	bool is_in_body; /* an empty line was seen */
	uint8_t pending_len;
	uint8_t pending[CONTENT_PENDING_MAX]; /* octets of content for which there was no room yet
					       */
};

struct content_step {
	size_t consumed; /* octets of the block that belong to the content and its end; the rest
			    came after the end */
	size_t produced; /* octets of content, now at the start of the block */
};

void content_reader_init(struct content_reader *reader, uint32_t line_limit, bool normalises);

/* For BDAT. */
void
content_reader_init_counted(struct content_reader *reader, uint32_t line_limit, bool normalises);

/* Nothing follows: what was held back becomes pending, and the last line gets its end if it has
 * none. Only for BDAT; once. */
void content_reader_end(struct content_reader *reader);

/* The next block. Until the end is seen all of it is consumed, but with `normalises` what
 * content_reader_copy is for. */
struct content_step content_reader_step(struct content_reader *reader, uint8_t *block, size_t len);

/* The same into other memory: as much as there is room for. */
struct content_step content_reader_copy(struct content_reader *reader, const uint8_t *octets,
	size_t len, uint8_t *room, size_t room_len);

/* Whether the end was seen; a further step consumes nothing. */
bool content_reader_is_done(const struct content_reader *reader);

#endif
