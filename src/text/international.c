/*
 * ASCII, which is nearly all there is, never reaches the libraries.
 */
#include "text/international.h"

#include "text/address.h"
#include "text/encode.h"

#include <idn2.h>
#include <uninorm.h>

#define EXPANSION_MAX 3 /* octets that one may become in normalisation form C */

bool
text_is_ascii(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] > 127)
			return false;
	return true;
}

bool
utf8_is_visible(struct slice text)
{
	for (size_t at = 0; at < text.len;) {
		size_t len = utf8_character(slice_from(text, at));
		bool is_c1 = len == 2 && text.ptr[at] == 0xc2 && text.ptr[at + 1] < 0xa0;
		if (len == 0 || is_c1 || text.ptr[at] < 32 || text.ptr[at] == 127)
			return false;
		at += len;
	}
	return true;
}

/* libidn2 takes what has no place in a name out, or leaves it in, by its version. */
static bool
has_only_name_octets(struct slice domain)
{
	for (size_t i = 0; i < domain.len; i++) {
		uint8_t octet = domain.ptr[i];
		if (octet <= 127 && !ascii_is_alnum(octet) && octet != '-' && octet != '.')
			return false;
	}
	return true;
}

static void
append_lower(struct buffer *buffer, struct slice domain)
{
	for (size_t i = 0; i < domain.len; i++)
		buffer_append_octet(buffer, (uint8_t)ascii_lower(domain.ptr[i]));
}

enum error
domain_append_ascii(struct buffer *buffer, struct slice domain)
{
	char text[ADDRESS_DOMAIN_MAX + 1];
	uint8_t *ascii = NULL;

	if (text_is_ascii(domain)) {
		append_lower(buffer, domain);
		return OK;
	}
	if (domain.len > ADDRESS_DOMAIN_MAX || !utf8_is_visible(domain) ||
		!has_only_name_octets(domain))
		return ERROR_FORMAT;
	memcpy(text, domain.ptr, domain.len); /* UNSAFE: it fits, see above */
	text[domain.len] = 0;
	int result = idn2_lookup_u8(
		(const uint8_t *)text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	struct slice found =
		result == IDN2_OK ? slice_text((const char *)ascii) : slice_of(NULL, 0);
	bool is_domain = result == IDN2_OK && domain_is_valid(found);
	if (is_domain)
		append_lower(buffer, found);
	idn2_free(ascii);
	if (is_domain)
		return OK;
	return result == IDN2_MALLOC ? ERROR_NO_MEMORY : ERROR_FORMAT;
}

bool
domain_has_ascii(struct slice domain)
{
	char storage[ADDRESS_DOMAIN_MAX];
	struct buffer ascii;

	buffer_init_fixed(&ascii, storage, sizeof storage);
	return domain_append_ascii(&ascii, domain) == OK && buffer_error(&ascii) == OK;
}

enum error
domain_to_ascii(struct arena *arena, struct slice domain, struct slice *ret_ascii)
{
	char storage[ADDRESS_DOMAIN_MAX];
	struct buffer ascii;

	if (text_is_ascii(domain)) {
		*ret_ascii = domain;
		return OK;
	}
	buffer_init_fixed(&ascii, storage, sizeof storage);
	enum error error = domain_append_ascii(&ascii, domain);
	if (error == OK)
		error = buffer_error(&ascii);
	if (error != OK)
		return error;
	return arena_copy(arena, buffer_slice(&ascii), ret_ascii) ? OK : ERROR_NO_MEMORY;
}

enum error
utf8_append_normal(struct buffer *buffer, struct slice text)
{
	uint8_t room[EXPANSION_MAX * ADDRESS_MAX];
	size_t len = sizeof room;

	if (text_is_ascii(text)) {
		buffer_append(buffer, text);
		return OK;
	}
	if (text.len > ADDRESS_MAX || utf8_find_fault(text) >= 0)
		return ERROR_FORMAT;
	/* What fits the room is put there, and no memory is taken for it. */
	if (u8_normalize(UNINORM_NFC, text.ptr, text.len, room, &len) != room)
		return ERROR_NO_MEMORY;
	buffer_append(buffer, slice_of(room, len));
	return OK;
}
