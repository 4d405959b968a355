/* Queue ids as text: base 32 in the alphabet of RFC 4648 section 7 (base32hex), lower case, most
 * significant digit first. */
#include "ipc/queue_id.h"

static const char digits[] = "0123456789abcdefghijklmnopqrstuv";

void
queue_id_print(uint64_t id, char ret_text[QUEUE_ID_DIGITS + 1])
{
	for (int i = QUEUE_ID_DIGITS - 1; i >= 0; i--) {
		ret_text[i] = digits[id & 31];
		id >>= 5;
	}
	ret_text[QUEUE_ID_DIGITS] = 0;
}

enum error
queue_id_parse(struct slice text, uint64_t *ret_id)
{
	uint64_t id = 0;

	if (text.len != QUEUE_ID_DIGITS)
		return ERROR_FORMAT;
	for (size_t i = 0; i < text.len; i++) {
		const char *digit = memchr(digits, text.ptr[i], sizeof digits - 1);
		if (!digit || id >> 59 != 0)
			return ERROR_FORMAT;
		id = id << 5 | (uint64_t)(digit - digits);
	}
	*ret_id = id;
	return OK;
}
