/*
 * The Message-ID of a message (RFC 5322 section 3.6.4), noted while its content streams by in
 * pieces: the first field of that name that has an identifier in angle brackets. It is there to
 * find the message again by what its sender calls it, and says nothing for sure.
 */
#ifndef TEXT_MESSAGE_ID_H
#define TEXT_MESSAGE_ID_H

#include "base/slice.h"

#define MESSAGE_ID_MAX 250 /* octets, with the brackets; longer ones are left out */

enum message_id_state {
	MESSAGE_ID_LINE, /* at the start of a line */
	MESSAGE_ID_NAME,
	MESSAGE_ID_SKIP,  /* the rest of the line is of no interest */
	MESSAGE_ID_COLON, /* white space in front of it */
	MESSAGE_ID_VALUE, /* in front of the bracket */
	MESSAGE_ID_FOLD,  /* the value's line has ended; it may go on */
	MESSAGE_ID_TEXT,  /* between the brackets */
	MESSAGE_ID_OVER
};

/* Zeroed at first. */
struct message_id {
	enum message_id_state state;
	uint8_t matched; /* octets of the field's name */
	uint8_t len;
	bool is_whole;
	uint8_t text[MESSAGE_ID_MAX];
};

void message_id_feed(struct message_id *id, struct slice octets);

/* "<a@b>"; empty: none was seen so far. Printable, without space; points into `id`. */
struct slice message_id_text(const struct message_id *id);

/* Whether a text could be one that message_id_text gives. */
bool message_id_is_valid(struct slice text);

#endif
