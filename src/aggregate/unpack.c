/*
 * A stranger sends these files: nothing of what they say about their own size is believed. The
 * output is bounded in octets, and by the octets that it came from.
 */
#include "aggregate/unpack.h"

#include "text/base64.h"
#include "text/header.h"

#include <zlib.h>

#define PIECE_BYTES      1024
#define GZIP_WINDOW      (MAX_WBITS + 16)
#define ZIP_HEADER_BYTES 30
#define ZIP_ENCRYPTED    0x0001u
#define ZIP_SIZES_BEHIND 0x0008u
#define ZIP_STORED       0u
#define ZIP_DEFLATED     8u
#define ARENA_BYTES      (2 * UNPACK_INPUT_MAX)
#define BOUNDARY_MAX     70 /* RFC 2046 section 5.1.1 */

struct unpacking {
	struct arena arena; /* what parts were decoded to */
	struct buffer *xml;
	const char *why;
	unsigned parts;
};

static enum error
fail(struct unpacking *u, enum error error, const char *why)
{
	u->why = why;
	return error;
}

static enum error
take(struct unpacking *u, struct slice octets, size_t input_len)
{
	size_t len = u->xml->len + octets.len;

	if (len > UNPACK_XML_MAX || (len > UNPACK_FREE_BYTES && len / UNPACK_RATIO_MAX > input_len))
		return fail(u, ERROR_LIMIT, "what comes out of it is far larger than a report is");
	buffer_append(u->xml, octets);
	return buffer_error(u->xml) == OK ? OK
					  : fail(u, ERROR_NO_MEMORY, "there is no memory for it");
}

/* Until the stream's own end. What lies behind it: `ret_rest`. */
static enum error
inflate_all(struct unpacking *u, struct slice input, int window, struct slice *ret_rest)
{
	uint8_t piece[PIECE_BYTES];
	z_stream stream = {
		.next_in = (z_const Bytef *)(uintptr_t)input.ptr, .avail_in = (uInt)input.len};
	enum error error = OK;
	int code = Z_OK;

	if (inflateInit2(&stream, window) != Z_OK)
		return fail(u, ERROR_NO_MEMORY, "there is no memory for it");
	while (error == OK && code == Z_OK) {
		stream.next_out = piece;
		stream.avail_out = sizeof piece;
		code = inflate(&stream, Z_NO_FLUSH);
		if (code == Z_OK || code == Z_STREAM_END)
			error = take(
				u, slice_of(piece, sizeof piece - stream.avail_out), input.len);
	}
	*ret_rest = slice_from(input, input.len - stream.avail_in);
	inflateEnd(&stream);
	if (error == OK && code != Z_STREAM_END)
		return fail(u, ERROR_FORMAT, "its compressed octets are damaged or cut short");
	return error;
}

static uint32_t
little(struct slice input, size_t at, unsigned octets)
{
	uint32_t value = 0;

	for (unsigned i = octets; i-- > 0;)
		value = value << 8 | input.ptr[at + i];
	return value;
}

static bool
is_gzip(struct slice input)
{
	return slice_has_prefix(input, SLICE("\x1f\x8b"));
}

static bool
is_zip(struct slice input)
{
	return slice_has_prefix(input, SLICE("PK\3\4"));
}

static struct slice
skip_space(struct slice input)
{
	size_t at = slice_has_prefix(input, SLICE("\xef\xbb\xbf")) ? 3 : 0;

	while (at < input.len &&
		(input.ptr[at] == ' ' || (input.ptr[at] >= 9 && input.ptr[at] <= 13)))
		at++;
	return slice_from(input, at);
}

/* By UTF-8 or UTF-16. */
static bool
is_xml(struct slice input)
{
	return slice_has_prefix(skip_space(input), SLICE("<")) ||
	       slice_has_prefix(input, SLICE("\xff\xfe<")) ||
	       slice_has_prefix(input, SLICE("\xfe\xff\0<"));
}

static enum error
store_member(struct unpacking *u, struct slice data, uint32_t size, struct slice *ret_rest)
{
	if (size > data.len)
		return fail(u, ERROR_FORMAT, "the zip file is cut short");
	*ret_rest = slice_from(data, size);
	return take(u, slice_sub(data, 0, size), data.len);
}

/* The first file of it, which must be the only one: who reads another one than we do would see
 * another report. */
static enum error
unzip(struct unpacking *u, struct slice input)
{
	struct slice rest;
	size_t from = u->xml->len;

	if (input.len < ZIP_HEADER_BYTES)
		return fail(u, ERROR_FORMAT, "the zip file is cut short");
	uint32_t flags = little(input, 6, 2), method = little(input, 8, 2);
	uint32_t crc = little(input, 14, 4);
	size_t skipped = ZIP_HEADER_BYTES + little(input, 26, 2) + (size_t)little(input, 28, 2);
	bool is_stored = method == ZIP_STORED && !(flags & ZIP_SIZES_BEHIND);
	if (flags & ZIP_ENCRYPTED)
		return fail(u, ERROR_FORMAT, "the zip file has a password");
	if (!is_stored && method != ZIP_DEFLATED)
		return fail(u, ERROR_FORMAT, "the zip file is compressed in an unknown way");
	struct slice data = slice_from(input, skipped);
	enum error error = is_stored ? store_member(u, data, little(input, 18, 4), &rest)
				     : inflate_all(u, data, -MAX_WBITS, &rest);
	if (error != OK)
		return error;
	if (flags & ZIP_SIZES_BEHIND) {
		rest = slice_from(rest, slice_has_prefix(rest, SLICE("PK\7\10")) ? 4 : 0);
		if (rest.len < 12)
			return fail(u, ERROR_FORMAT, "the zip file is cut short");
		crc = little(rest, 0, 4);
		rest = slice_from(rest, 12);
	}
	struct slice made = slice_from(buffer_slice(u->xml), from);
	if (crc32(0, made.ptr, (uInt)made.len) != crc)
		return fail(u, ERROR_FORMAT, "the zip file is damaged");
	if (is_zip(rest))
		return fail(u, ERROR_FORMAT, "the zip file has more than one file in it");
	return OK;
}

static bool
is_plain_kind(struct slice input)
{
	return is_gzip(input) || is_zip(input) || is_xml(input);
}

static enum error
take_kind(struct unpacking *u, struct slice input)
{
	struct slice rest;

	if (is_gzip(input))
		return inflate_all(u, input, GZIP_WINDOW, &rest);
	return is_zip(input) ? unzip(u, input) : take(u, input, input.len);
}

static int
hex_value(uint8_t octet)
{
	if (ascii_is_digit(octet))
		return octet - '0';
	uint8_t lower = ascii_lower(octet);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* RFC 2045 section 6.7; what is no escape stands for itself. False: no memory. */
static bool
decode_quoted(struct arena *arena, struct slice text, struct slice *ret_octets)
{
	uint8_t *out = arena_take(arena, text.len + 1);
	size_t len = 0;

	for (size_t i = 0; out && i < text.len; i++) {
		struct slice here = slice_from(text, i);
		int high = here.len > 2 ? hex_value(here.ptr[1]) : -1;
		int low = here.len > 2 ? hex_value(here.ptr[2]) : -1;
		if (text.ptr[i] != '=')
			out[len++] = text.ptr[i];
		else if (slice_has_prefix(here, SLICE("=\r\n")))
			i += 2;
		else if (slice_has_prefix(here, SLICE("=\n")))
			i += 1;
		else if (high >= 0 && low >= 0) {
			out[len++] = (uint8_t)(high << 4 | low);
			i += 2;
		} else
			out[len++] = '=';
	}
	*ret_octets = slice_of(out, len);
	return out != NULL;
}

/* A body that has no parts. ERROR_NOT_FOUND: it is something else. */
static enum error
take_leaf(struct unpacking *u, struct slice encoding, struct slice body)
{
	struct slice octets = body;

	encoding = slice_trim(encoding);
	if (slice_equal_nocase(encoding, SLICE("base64"))) {
		enum error error = base64_decode(body, &u->arena, &octets);
		if (error == ERROR_FORMAT)
			return ERROR_NOT_FOUND;
		if (error != OK)
			return fail(u, error, "there is no memory for it");
	} else if (slice_equal_nocase(encoding, SLICE("quoted-printable")) &&
		   !decode_quoted(&u->arena, body, &octets)) {
		return fail(u, ERROR_NO_MEMORY, "there is no memory for it");
	}
	return is_plain_kind(octets) ? take_kind(u, octets) : ERROR_NOT_FOUND;
}

/* Of a Content-Type; empty: it has no parts. */
static struct slice
boundary_of(struct slice type)
{
	static const struct slice tag = SLICE_INIT("boundary=");

	if (!slice_has_prefix_nocase(slice_trim(type), SLICE("multipart/")))
		return SLICE("");
	for (size_t at = 0; at + tag.len < type.len; at++) {
		if (!slice_has_prefix_nocase(slice_from(type, at), tag))
			continue;
		struct slice value = slice_from(type, at + tag.len);
		bool is_quoted = value.ptr[0] == '"';
		size_t len = 0;
		value = slice_from(value, is_quoted);
		while (len < value.len &&
			(is_quoted ? value.ptr[len] != '"'
				   : value.ptr[len] > ' ' && value.ptr[len] != ';'))
			len++;
		return len <= BOUNDARY_MAX ? slice_sub(value, 0, len) : SLICE("");
	}
	return SLICE("");
}

/* Where the next line "--boundary" begins, at a line start; the end if there is none. */
static size_t
find_boundary(struct slice body, size_t at, struct slice boundary)
{
	while (at < body.len) {
		struct slice line = slice_from(body, at);
		if (slice_has_prefix(line, SLICE("--")) &&
			slice_has_prefix(slice_from(line, 2), boundary))
			return at;
		ssize_t end = slice_find(body, at, '\n');
		at = end < 0 ? body.len : (size_t)end + 1;
	}
	return body.len;
}

static enum error take_entity(struct unpacking *u, struct slice entity, unsigned depth);

static enum error
take_parts(struct unpacking *u, struct slice body, struct slice boundary, unsigned depth)
{
	size_t at = find_boundary(body, 0, boundary);

	while (at < body.len) {
		ssize_t end = slice_find(body, at, '\n');
		size_t start = end < 0 ? body.len : (size_t)end + 1;
		size_t next = find_boundary(body, start, boundary);
		enum error error = take_entity(u, slice_sub(body, start, next - start), depth + 1);
		if (error != ERROR_NOT_FOUND)
			return error;
		at = next;
	}
	return ERROR_NOT_FOUND;
}

/* A message, or a part of one. The first part that may be a report is it. */
static enum error
take_entity(struct unpacking *u, struct slice entity, unsigned depth)
{
	struct header_scanner scanner = header_scanner_of(entity);
	struct header_field field;
	struct slice type = {0}, encoding = {0};

	if (u->parts++ >= UNPACK_PARTS_MAX || depth > UNPACK_PARTS_DEPTH)
		return fail(u, ERROR_LIMIT, "the message has too many parts");
	while (header_next(&scanner, &field)) {
		if (slice_equal_nocase(field.name, SLICE("Content-Type")))
			type = field.value;
		else if (slice_equal_nocase(field.name, SLICE("Content-Transfer-Encoding")))
			encoding = field.value;
	}
	struct slice body = slice_from(entity, header_body_start(&scanner));
	struct slice boundary = boundary_of(type);
	return boundary.len > 0 ? take_parts(u, body, boundary, depth)
				: take_leaf(u, encoding, body);
}

enum error
unpack_report(struct slice input, struct memory *memory, struct buffer *xml, const char **ret_why)
{
	struct unpacking u = {.xml = xml};

	if (input.len > UNPACK_INPUT_MAX) {
		*ret_why = "it is larger than 16 MiB";
		return ERROR_LIMIT;
	}
	arena_init(&u.arena, memory, ARENA_BYTES);
	enum error error = is_plain_kind(input) ? take_kind(&u, input) : take_entity(&u, input, 0);
	arena_done(&u.arena);
	if (error == ERROR_NOT_FOUND)
		error = fail(&u, ERROR_FORMAT,
			"it is neither XML, gzip nor zip, nor a message that has one attached");
	*ret_why = u.why;
	return error;
}
