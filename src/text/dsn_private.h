/* What the files of the delivery report share: lines built word by word, and the part for people.
 */
#ifndef TEXT_DSN_PRIVATE_H
#define TEXT_DSN_PRIVATE_H

#include "text/dsn.h"

#define DSN_COLUMNS 76 /* lines are folded here where a space allows it */

/* Lines on their way into a report. A line never holds more than DSN_LINE_MAX octets: one that
 * would is an error of `out`. */
struct dsn_lines {
	struct buffer *out;
	const char *indent; /* starts each line that a fold makes */
	bool is_utf8;       /* characters over U+007F as they are */
	bool is_quoted_printable;
	size_t start; /* octets of the line that are indent */
	struct buffer line;
	uint8_t storage[DSN_LINE_MAX];
};

void dsn_lines_init(struct dsn_lines *lines, struct buffer *out, const char *indent);

/* Our own text, on the present line. */
void dsn_line_text(struct dsn_lines *lines, const char *text);

/* An outside text as words, the first with a space before it unless the line is empty so far. */
void dsn_line_words(struct dsn_lines *lines, struct slice text, size_t max);

/* An address in one piece, without a space before it. is_xtext: what RFC 6533's utf-8-addr-xtext
 * does not allow is escaped. */
void dsn_line_address(struct dsn_lines *lines, struct slice address, bool is_xtext);

/* Ends the line, even if it is empty. */
void dsn_line_end(struct dsn_lines *lines);

/* The address for a header field, as UTF-8. */
void dsn_append_address(struct buffer *buffer, struct slice address);

/* Whether this character may be written at all. */
bool dsn_character_is_visible(struct slice character);

static inline bool
dsn_is_ascii(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] > 127)
			return false;
	return true;
}

/* How many recipients there are of each kind, and what their texts ask for. */
struct dsn_tally {
	size_t of[DSN_ACTIONS];
	enum dsn_action main; /* the most important action that occurs */
	size_t main_index;    /* the first recipient with it */
	bool has_utf8_address;
	bool has_utf8_text; /* among the recipients that are spelled out */
};

/* The status as it is reported. */
struct enhanced_status dsn_status_of(const struct dsn_recipient *recipient);

/* The body of the text/plain part. */
MUST_CHECK enum error
dsn_append_words(struct buffer *buffer, const struct dsn *dsn, const struct dsn_tally *tally);

/* The first DSN_SPELLED_OUT_MAX of them, an empty line before each. */
MUST_CHECK enum error dsn_put_recipients(struct dsn_lines *lines,
	const struct dsn_recipients *recipients, enum dsn_language language);

/* The operator's text for a report about this; empty: there is none. */
struct slice
dsn_template_of(const struct dsn *dsn, enum dsn_language language, enum dsn_action action);

MUST_CHECK enum error dsn_put_template(struct dsn_lines *lines, const struct dsn *dsn,
	const struct dsn_tally *tally, struct slice template, enum dsn_language language);

#endif
