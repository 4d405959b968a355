/*
 * Lines that begin otherwise are passed over as a whole, so that a long header costs little. The
 * header ends at an empty line.
 */
#include "text/message_id.h"

#define NAME SLICE("message-id")

static bool
is_blank(uint8_t octet)
{
	return octet == ' ' || octet == '\t';
}

static void
begin_line(struct message_id *id, uint8_t octet)
{
	id->matched = 0;
	if (octet == '\r' || octet == '\n')
		id->state = MESSAGE_ID_OVER;
	else if (ascii_lower(octet) == NAME.ptr[0])
		id->state = MESSAGE_ID_NAME;
	else
		id->state = MESSAGE_ID_SKIP;
	id->matched = id->state == MESSAGE_ID_NAME;
}

static void
take_name(struct message_id *id, uint8_t octet)
{
	if (id->matched < NAME.len && ascii_lower(octet) == NAME.ptr[id->matched])
		id->matched++;
	else if (id->matched == NAME.len && (octet == ':' || is_blank(octet)))
		id->state = octet == ':' ? MESSAGE_ID_VALUE : MESSAGE_ID_COLON;
	else
		id->state = octet == '\n' ? MESSAGE_ID_LINE : MESSAGE_ID_SKIP;
}

static void
take_text(struct message_id *id, uint8_t octet)
{
	bool fits = octet > ' ' && octet != 0x7f && octet != '<' && id->len < MESSAGE_ID_MAX;

	if (fits) {
		id->text[id->len++] = octet;
		id->is_whole = octet == '>';
	}
	if (id->is_whole)
		id->state = MESSAGE_ID_OVER;
	else if (!fits)
		id->state = octet == '\n' ? MESSAGE_ID_LINE : MESSAGE_ID_SKIP;
}

static void
take_value(struct message_id *id, uint8_t octet)
{
	if (octet == '\n') {
		id->state = MESSAGE_ID_FOLD;
	} else if (octet == '<') {
		id->state = MESSAGE_ID_TEXT;
		id->text[0] = octet;
		id->len = 1;
	}
}

static void
take_octet(struct message_id *id, uint8_t octet)
{
	switch (id->state) {
	case MESSAGE_ID_LINE:
		begin_line(id, octet);
		return;
	case MESSAGE_ID_NAME:
		take_name(id, octet);
		return;
	case MESSAGE_ID_COLON:
		if (!is_blank(octet))
			id->state = octet == ':'    ? MESSAGE_ID_VALUE
				    : octet == '\n' ? MESSAGE_ID_LINE
						    : MESSAGE_ID_SKIP;
		return;
	case MESSAGE_ID_VALUE:
		take_value(id, octet);
		return;
	case MESSAGE_ID_FOLD:
		if (is_blank(octet))
			id->state = MESSAGE_ID_VALUE;
		else
			begin_line(id, octet);
		return;
	case MESSAGE_ID_TEXT:
		take_text(id, octet);
		return;
	case MESSAGE_ID_SKIP:
	case MESSAGE_ID_OVER:
		return;
	}
}

void
message_id_feed(struct message_id *id, struct slice octets)
{
	size_t at = 0;

	while (at < octets.len && id->state != MESSAGE_ID_OVER) {
		if (id->state != MESSAGE_ID_SKIP) {
			take_octet(id, octets.ptr[at++]);
			continue;
		}
		ssize_t end = slice_find(octets, at, '\n');
		if (end < 0)
			return;
		at = (size_t)end + 1;
		id->state = MESSAGE_ID_LINE;
	}
}

struct slice
message_id_text(const struct message_id *id)
{
	return id->is_whole ? slice_of(id->text, id->len) : slice_of(NULL, 0);
}

bool
message_id_is_valid(struct slice text)
{
	if (text.len < 2 || text.len > MESSAGE_ID_MAX || text.ptr[0] != '<' ||
		slice_find(text, 0, '>') != (ssize_t)text.len - 1)
		return false;
	for (size_t i = 1; i < text.len; i++)
		if (text.ptr[i] <= ' ' || text.ptr[i] == 0x7f || text.ptr[i] == '<')
			return false;
	return true;
}
