/* Base64 with white space. Bits left over at the end must be zero, so that octets have one form. */
#include "text/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
value_of(uint8_t octet)
{
	if (octet >= 'A' && octet <= 'Z')
		return octet - 'A';
	if (octet >= 'a' && octet <= 'z')
		return octet - 'a' + 26;
	if (ascii_is_digit(octet))
		return octet - '0' + 52;
	return octet == '+' ? 62 : octet == '/' ? 63 : -1;
}

static bool
is_space(uint8_t octet)
{
	return octet == ' ' || octet == '\t' || octet == '\r' || octet == '\n';
}

struct decoder {
	uint8_t *out;
	size_t len;
	uint32_t bits;
	unsigned digits, padding; /* of the present group of four */
};

static bool
take(struct decoder *decoder, uint8_t octet)
{
	int value = value_of(octet);

	if (octet == '=') {
		decoder->padding++;
		return decoder->digits >= 2 && decoder->digits + decoder->padding <= 4;
	}
	if (value < 0 || decoder->padding > 0)
		return false;
	decoder->bits = decoder->bits << 6 | (uint32_t)value;
	if (++decoder->digits < 4)
		return true;
	for (int shift = 16; shift >= 0; shift -= 8)
		decoder->out[decoder->len++] = (uint8_t)(decoder->bits >> shift);
	decoder->digits = 0;
	decoder->bits = 0;
	return true;
}

/* Two digits are one octet and four bits of zero, three are two octets and two bits. */
static bool
finish(struct decoder *decoder)
{
	if (decoder->digits == 0)
		return true;
	if (decoder->digits + decoder->padding != 4)
		return false;
	unsigned spare = decoder->digits == 2 ? 4 : 2;
	if ((decoder->bits & ((1u << spare) - 1)) != 0)
		return false;
	decoder->bits >>= spare;
	if (decoder->digits == 3)
		decoder->out[decoder->len++] = (uint8_t)(decoder->bits >> 8);
	decoder->out[decoder->len++] = (uint8_t)decoder->bits;
	return true;
}

enum error
base64_decode(struct slice text, struct arena *arena, struct slice *ret_octets)
{
	struct decoder decoder = {.out = arena_take(arena, text.len / 4 * 3 + 3)};

	if (!decoder.out)
		return ERROR_NO_MEMORY;
	for (size_t i = 0; i < text.len; i++)
		if (!is_space(text.ptr[i]) && !take(&decoder, text.ptr[i]))
			return ERROR_FORMAT;
	if (!finish(&decoder))
		return ERROR_FORMAT;
	*ret_octets = slice_of(decoder.out, decoder.len);
	return OK;
}

void
base64_append(struct buffer *buffer, struct slice octets)
{
	for (size_t i = 0; i < octets.len; i += 3) {
		size_t left = octets.len - i;
		uint32_t bits = (uint32_t)octets.ptr[i] << 16;
		bits |= left > 1 ? (uint32_t)octets.ptr[i + 1] << 8 : 0;
		bits |= left > 2 ? octets.ptr[i + 2] : 0;
		buffer_append_octet(buffer, (uint8_t)alphabet[bits >> 18]);
		buffer_append_octet(buffer, (uint8_t)alphabet[bits >> 12 & 63]);
		buffer_append_octet(buffer, left > 1 ? (uint8_t)alphabet[bits >> 6 & 63] : '=');
		buffer_append_octet(buffer, left > 2 ? (uint8_t)alphabet[bits & 63] : '=');
	}
}
