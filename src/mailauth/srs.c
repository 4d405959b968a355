/*
 * What is hashed is lower case, and hashes and dates are compared without regard to case: servers
 * on the way may change that of a local part. The hash is short, since a local part has room for 64
 * octets; whoever guesses is a client that names unknown recipients, and limited as such.
 *
 * The separator may be "=", "+" or "-" behind the tag, and is "=" elsewhere.
 */
#include "mailauth/srs.h"
#include "mailauth/crypto.h"
#include "text/base64.h"

#define DAY_US      (86400 * US_PER_S)
#define DAYS_CYCLE  1024 /* two letters of 32 */
#define HASHED_MAX  1024
#define TAG_LEN     4
#define FIRST       SLICE("SRS0")
#define SECOND      SLICE("SRS1")
#define DIGEST_TEXT 32 /* base64 of SHA-1 has 28 */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static bool
has_tag(struct slice local_part, struct slice tag)
{
	if (local_part.len <= TAG_LEN ||
		!slice_equal_nocase(slice_sub(local_part, 0, TAG_LEN), tag))
		return false;
	uint8_t separator = local_part.ptr[TAG_LEN];
	return separator == '=' || separator == '+' || separator == '-';
}

bool
srs_is_one(struct slice local_part)
{
	return has_tag(local_part, FIRST) || has_tag(local_part, SECOND);
}

static struct slice
trim(struct slice line)
{
	while (line.len > 0 && (line.ptr[line.len - 1] == ' ' || line.ptr[line.len - 1] == '\t' ||
				       line.ptr[line.len - 1] == '\r'))
		line.len--;
	while (line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
		line = slice_from(line, 1);
	return line;
}

enum error
srs_secrets_read(struct secret text, struct srs_secrets *ret_secrets)
{
	struct slice rest = secret_reveal(text);
	struct srs_secrets secrets = {.count = 0};

	while (rest.len > 0) {
		ssize_t end = slice_find(rest, 0, '\n');
		struct slice line = end < 0 ? rest : slice_sub(rest, 0, (size_t)end);
		rest = slice_from(rest, line.len + 1);
		line = trim(line);
		if (line.len == 0 || line.ptr[0] == '#')
			continue;
		if (secrets.count == SRS_SECRETS_MAX || line.len < SRS_SECRET_BYTES_MIN)
			return ERROR_LIMIT;
		secrets.list[secrets.count++] = secret_of(line);
	}
	*ret_secrets = secrets;
	return secrets.count > 0 ? OK : ERROR_NOT_FOUND;
}

/* The first letters of the hash of these, one behind the other. */
static enum error
append_hash(struct buffer *buffer, struct secret secret, const struct slice *parts, size_t count)
{
	uint8_t hashed[HASHED_MAX], digest[SHA1_OCTETS], printed[DIGEST_TEXT];
	struct buffer text, letters;

	buffer_init_fixed(&text, hashed, sizeof hashed);
	for (size_t i = 0; i < count; i++)
		buffer_append(&text, parts[i]);
	for (size_t i = 0; i < text.len; i++)
		hashed[i] = ascii_lower(hashed[i]);
	if (buffer_error(&text) != OK)
		return ERROR_LIMIT;
	if (!hmac_sha1(secret, buffer_slice(&text), digest))
		return ERROR_NO_MEMORY;
	buffer_init_fixed(&letters, printed, sizeof printed);
	base64_append(&letters, slice_of(digest, sizeof digest));
	buffer_append(buffer, slice_sub(buffer_slice(&letters), 0, SRS_HASH_CHARS));
	return buffer_error(buffer);
}

static bool
is_by(struct secret secret, struct slice hash, const struct slice *parts, size_t count)
{
	uint8_t storage[SRS_HASH_CHARS], differs = 0;
	struct buffer expected;

	buffer_init_fixed(&expected, storage, sizeof storage);
	if (hash.len != SRS_HASH_CHARS || append_hash(&expected, secret, parts, count) != OK)
		return false;
	for (size_t i = 0; i < SRS_HASH_CHARS; i++)
		differs |= ascii_lower(hash.ptr[i]) ^ ascii_lower(storage[i]);
	return differs == 0;
}

static bool
is_ours(const struct srs_secrets *secrets, struct slice hash, const struct slice *parts,
	size_t count)
{
	bool found = false;

	for (size_t i = 0; i < secrets->count; i++)
		found |= is_by(secrets->list[i], hash, parts, count);
	return found;
}

/* Up to the next "=", which is passed over. False: there is none, or nothing in front of it. */
static bool
take_part(struct slice *rest, struct slice *ret_part)
{
	ssize_t end = slice_find(*rest, 0, '=');

	if (end <= 0)
		return false;
	*ret_part = slice_sub(*rest, 0, (size_t)end);
	*rest = slice_from(*rest, (size_t)end + 1);
	return true;
}

/* What may stand in a local part without quotes, and in the domain of one. */
static bool
is_plain(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		bool is_letter = (ascii_lower(octet) >= 'a' && ascii_lower(octet) <= 'z') ||
				 (octet >= '0' && octet <= '9');
		if (!is_letter && (octet == 0 || !memchr("!#$%&'*+-/=?^_`{|}~.", octet, 20)))
			return false;
	}
	return text.len > 0 && text.ptr[0] != '.' && text.ptr[text.len - 1] != '.';
}

static bool
is_domain(struct slice text)
{
	return is_plain(text) && slice_find(text, 0, '=') < 0;
}

static int
digit_of(uint8_t octet)
{
	for (int i = 0; i < 32; i++)
		if (ascii_lower(octet) == ascii_lower((uint8_t)digits[i]))
			return i;
	return -1;
}

static void
append_date(struct buffer *buffer, wall_us now)
{
	uint64_t day = (uint64_t)(now / DAY_US) % DAYS_CYCLE;

	buffer_append_octet(buffer, (uint8_t)digits[day / 32]);
	buffer_append_octet(buffer, (uint8_t)digits[day % 32]);
}

static enum error
check_date(struct slice date, wall_us now)
{
	uint64_t day = (uint64_t)(now / DAY_US) % DAYS_CYCLE;

	if (date.len != 2 || digit_of(date.ptr[0]) < 0 || digit_of(date.ptr[1]) < 0)
		return ERROR_DENIED;
	uint64_t then = (uint64_t)digit_of(date.ptr[0]) * 32 + (uint64_t)digit_of(date.ptr[1]);
	/* Clocks differ: one that is a day ahead made it, perhaps. */
	uint64_t age = (day + 1 + DAYS_CYCLE - then) % DAYS_CYCLE;
	return age <= SRS_DAYS + 1 ? OK : ERROR_TIMEOUT;
}

/* Of an address that was rewritten before: by whom, and the rest, from its separator on. */
static enum error
append_second(const struct srs_secrets *secrets, struct slice host, struct slice rest,
	struct buffer *local_part)
{
	struct slice parts[] = {host, rest};

	buffer_append_text(local_part, "SRS1=");
	enum error error = append_hash(local_part, secrets->list[0], parts, 2);
	buffer_append_octet(local_part, '=');
	buffer_append(local_part, host);
	buffer_append_octet(local_part, '=');
	buffer_append(local_part, rest);
	return error;
}

static enum error
append_first(const struct srs_secrets *secrets, struct slice user, struct slice host, wall_us now,
	struct buffer *local_part)
{
	uint8_t storage[2];
	struct buffer date;

	buffer_init_fixed(&date, storage, sizeof storage);
	append_date(&date, now);
	struct slice parts[] = {buffer_slice(&date), host, user};
	buffer_append_text(local_part, "SRS0=");
	enum error error = append_hash(local_part, secrets->list[0], parts, 3);
	for (size_t i = 0; i < 3; i++) {
		buffer_append_octet(local_part, '=');
		buffer_append(local_part, parts[i]);
	}
	return error;
}

/* One that was rewritten twice keeps whom it goes back to, and gets our hash. */
static enum error
append_again(const struct srs_secrets *secrets, struct slice user, struct slice host,
	struct buffer *local_part)
{
	struct slice rest = slice_from(user, TAG_LEN + 1), hash, first_host;

	if (has_tag(user, FIRST))
		return append_second(secrets, host, slice_from(user, TAG_LEN), local_part);
	if (!take_part(&rest, &hash) || !take_part(&rest, &first_host) || !is_domain(first_host) ||
		!is_plain(rest))
		return ERROR_UNSUPPORTED;
	return append_second(secrets, first_host, rest, local_part);
}

enum error
srs_append_forward(const struct srs_secrets *secrets, struct slice sender, wall_us now,
	struct buffer *local_part)
{
	size_t before = local_part->len, at = sender.len;

	while (at > 0 && sender.ptr[at - 1] != '@')
		at--;
	if (at < 2 || secrets->count == 0)
		return ERROR_UNSUPPORTED;
	struct slice user = slice_sub(sender, 0, at - 1), host = slice_from(sender, at);
	if (!is_plain(user) || !is_domain(host))
		return ERROR_UNSUPPORTED;
	enum error error = srs_is_one(user) ? append_again(secrets, user, host, local_part)
					    : append_first(secrets, user, host, now, local_part);
	if (error == OK)
		error = buffer_error(local_part);
	if (error == OK && local_part->len - before > SRS_LOCAL_PART_MAX)
		error = ERROR_LIMIT;
	if (error != OK)
		local_part->len = before;
	return error;
}

static enum error
reverse_first(
	const struct srs_secrets *secrets, struct slice rest, wall_us now, struct buffer *address)
{
	struct slice hash, parts[3];

	if (!take_part(&rest, &hash) || !take_part(&rest, &parts[0]) ||
		!take_part(&rest, &parts[1]) || !is_domain(parts[1]) || !is_plain(rest))
		return ERROR_FORMAT;
	parts[2] = rest;
	if (!is_ours(secrets, hash, parts, 3))
		return ERROR_DENIED;
	enum error error = check_date(parts[0], now);
	if (error != OK)
		return error;
	buffer_append(address, rest);
	buffer_append_octet(address, '@');
	buffer_append(address, parts[1]);
	return buffer_error(address);
}

/* Its date is in what the other server made, which looks at it. */
static enum error
reverse_second(const struct srs_secrets *secrets, struct slice rest, struct buffer *address)
{
	struct slice hash, parts[2];

	if (!take_part(&rest, &hash) || !take_part(&rest, &parts[0]) || !is_domain(parts[0]) ||
		!is_plain(rest))
		return ERROR_FORMAT;
	parts[1] = rest;
	if (!is_ours(secrets, hash, parts, 2))
		return ERROR_DENIED;
	buffer_append_text(address, "SRS0");
	buffer_append(address, rest);
	buffer_append_octet(address, '@');
	buffer_append(address, parts[0]);
	return buffer_error(address);
}

enum error
srs_append_reverse(const struct srs_secrets *secrets, struct slice local_part, wall_us now,
	struct buffer *address)
{
	struct slice rest = slice_from(local_part, TAG_LEN + 1);

	if (has_tag(local_part, FIRST))
		return reverse_first(secrets, rest, now, address);
	return has_tag(local_part, SECOND) ? reverse_second(secrets, rest, address) : ERROR_FORMAT;
}
