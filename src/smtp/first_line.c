/*
 *   field      = field-name *WSP ":" unstructured CRLF    ; the space is obsolete (section 4.5),
 * and common field-name = 1*ftext, ftext = %d33-57 / %d59-126
 */
#include "smtp/first_line.h"

static enum first_line_state
next_state(enum first_line_state state, uint8_t octet)
{
	bool is_name = octet > 32 && octet < 127 && octet != ':';
	bool is_space = octet == ' ' || octet == '\t';

	switch (state) {
	case FIRST_LINE_EMPTY:
		if (octet == '\r')
			return FIRST_LINE_CR;
		return is_name ? FIRST_LINE_NAME : FIRST_LINE_OTHER;
	case FIRST_LINE_NAME:
		if (is_name)
			return FIRST_LINE_NAME;
		if (octet == ':')
			return FIRST_LINE_FIELD;
		return is_space ? FIRST_LINE_SPACE : FIRST_LINE_OTHER;
	case FIRST_LINE_SPACE:
		if (octet == ':')
			return FIRST_LINE_FIELD;
		return is_space ? FIRST_LINE_SPACE : FIRST_LINE_OTHER;
	case FIRST_LINE_CR:
		return octet == '\n' ? FIRST_LINE_FIELD : FIRST_LINE_OTHER;
	default:
		return state;
	}
}

void
first_line_feed(struct first_line *line, struct slice octets)
{
	for (size_t i = 0; i < octets.len && line->state < FIRST_LINE_FIELD; i++)
		line->state = next_state(line->state, octets.ptr[i]);
}

bool
first_line_is_field(const struct first_line *line)
{
	return line->state == FIRST_LINE_FIELD;
}
