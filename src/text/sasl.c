/*
 * Strict, since a lenient reader of a password is a second, shorter password: no white space in
 * base64, no octets behind the padding, no NUL in a password.
 */
#include "text/sasl.h"

#define NO_DIGIT 64

static unsigned
digit_of(uint8_t octet)
{
	if (octet >= 'A' && octet <= 'Z')
		return octet - 'A';
	if (octet >= 'a' && octet <= 'z')
		return octet - 'a' + 26u;
	if (ascii_is_digit(octet))
		return octet - '0' + 52u;
	return octet == '+' ? 62 : octet == '/' ? 63 : NO_DIGIT;
}

static size_t
padding_of(const uint8_t *text, size_t len)
{
	if (len < 4 || text[len - 1] != '=')
		return 0;
	return text[len - 2] == '=' ? 2 : 1;
}

enum error
sasl_decode(uint8_t *text, size_t len, struct slice *ret_octets)
{
	size_t padding = padding_of(text, len), written = 0;
	uint32_t bits = 0;
	unsigned held = 0;

	if (len % 4 != 0)
		return ERROR_FORMAT;
	/* UNSAFE: written <= i * 3 / 4 <= i < len */
	for (size_t i = 0; i < len - padding; i++) {
		unsigned digit = digit_of(text[i]);
		if (digit == NO_DIGIT)
			return ERROR_FORMAT;
		bits = (bits << 6 | digit) & 0xffff;
		held += 6;
		if (held >= 8) {
			held -= 8;
			text[written++] = (uint8_t)(bits >> held);
		}
	}
	if (bits & ((1u << held) - 1))
		return ERROR_FORMAT;
	/* Else the end of a password would stay there in base64. */
	memory_wipe(text + written, len - written);
	*ret_octets = slice_of(text, written);
	return OK;
}

/*
 * message  = [authzid] UTF8NUL authcid UTF8NUL passwd
 * authcid  = 1*SAFE ; MUST accept up to 255 octets
 * authzid  = 1*SAFE ; MUST accept up to 255 octets
 * passwd   = 1*SAFE ; MUST accept up to 255 octets
 */
enum error
sasl_plain_parse(struct slice message, struct sasl_plain *ret_plain)
{
	ssize_t first = slice_find(message, 0, 0);
	ssize_t second = first < 0 ? -1 : slice_find(message, (size_t)first + 1, 0);

	if (second < 0)
		return ERROR_FORMAT;
	struct slice password = slice_from(message, (size_t)second + 1);
	struct sasl_plain plain = {.authorization = slice_sub(message, 0, (size_t)first),
		.login = slice_sub(message, (size_t)first + 1, (size_t)(second - first - 1)),
		.password = secret_of(password)};
	if (plain.login.len == 0 || plain.login.len > SASL_LOGIN_MAX ||
		plain.authorization.len > SASL_LOGIN_MAX || password.len == 0 ||
		password.len > SASL_PASSWORD_MAX || slice_find(password, 0, 0) >= 0)
		return ERROR_FORMAT;
	*ret_plain = plain;
	return OK;
}

const char *
sasl_password_of_file(struct slice text, struct secret *ret_password)
{
	struct slice line = text;

	if (slice_has_suffix(line, SLICE("\n")))
		line.len--;
	if (slice_has_suffix(line, SLICE("\r")))
		line.len--;
	if (line.len == 0)
		return "it is empty: the password is its only line";
	if (slice_find(line, 0, '\n') >= 0 || slice_find(line, 0, '\r') >= 0)
		return "it has several lines: the password is its only one";
	if (slice_find(line, 0, 0) >= 0)
		return "a NUL is in it";
	if (line.len > SASL_PASSWORD_MAX)
		return "the password has more than 511 octets";
	*ret_password = secret_of(line);
	return NULL;
}
