/* Each line is read once into the arena; a sort by login finds doubles and serves the search. */
#include "auth/passwords.h"
#include "auth/scram.h"

#include "text/address.h"

#include <stdlib.h>

bool
passwords_login_is_valid(struct slice login)
{
	struct address address;

	return login.len <= SASL_LOGIN_MAX && slice_find(login, 0, ':') < 0 &&
	       address_parse(login, &address) == ADDRESS_OK && !address.is_quoted &&
	       !address.is_literal;
}

static bool
sender_is_valid(struct slice sender)
{
	if (slice_has_prefix(sender, SLICE("*@")))
		return domain_is_valid(slice_from(sender, 2));
	return passwords_login_is_valid(sender);
}

bool
passwords_senders_are_valid(struct slice senders)
{
	size_t at = 0;

	while (at < senders.len) {
		ssize_t comma = slice_find(senders, at, ',');
		size_t end = comma < 0 ? senders.len : (size_t)comma;
		if (!sender_is_valid(slice_sub(senders, at, end - at)))
			return false;
		if (end + 1 == senders.len)
			return false; /* nothing behind the last comma */
		at = end + 1;
	}
	return senders.len <= PASSWORDS_SENDERS_MAX;
}

struct slice
passwords_lower(struct slice login, uint8_t *to)
{
	for (size_t i = 0; i < login.len; i++)
		to[i] = ascii_lower(login.ptr[i]);
	return slice_of(to, login.len);
}

static bool
hash_is_valid(struct slice hash)
{
	for (size_t i = 0; i < hash.len; i++)
		if (hash.ptr[i] <= ' ' || hash.ptr[i] > '~')
			return false;
	return hash.len > 0 && hash.len <= PASSWORDS_HASH_MAX;
}

/* Up to the next colon, which is passed over. */
static struct slice
take_field(struct slice *rest)
{
	ssize_t colon = slice_find(*rest, 0, ':');
	struct slice field = colon < 0 ? *rest : slice_sub(*rest, 0, (size_t)colon);

	*rest = colon < 0 ? slice_of(NULL, 0) : slice_from(*rest, (size_t)colon + 1);
	return field;
}

/* hash [SP verifier] */
static void
split_secrets(struct slice secrets, struct password_entry *entry)
{
	ssize_t space = slice_find(secrets, 0, ' ');

	entry->hash = space < 0 ? secrets : slice_sub(secrets, 0, (size_t)space);
	entry->scram = space < 0 ? slice_of(NULL, 0) : slice_from(secrets, (size_t)space + 1);
}

static bool
verifier_is_valid(struct slice text)
{
	struct scram_verifier verifier;
	bool is_valid = text.ptr == NULL || scram_verifier_parse(text, &verifier) == OK;

	memory_wipe(&verifier, sizeof verifier);
	return is_valid;
}

/* What is wrong with a line, or NULL. */
static const char *
parse_line(struct slice line, struct password_entry *entry)
{
	entry->login = take_field(&line);
	split_secrets(take_field(&line), entry);
	entry->senders = take_field(&line);
	entry->is_disabled = slice_has_prefix(entry->hash, SLICE("!"));
	if (entry->is_disabled)
		entry->hash = slice_from(entry->hash, 1);
	if (!passwords_login_is_valid(entry->login))
		return "the login is no address";
	if (!hash_is_valid(entry->hash))
		return "the hash is malformed";
	if (!verifier_is_valid(entry->scram))
		return "what follows the hash is no verifier of SCRAM";
	if (!passwords_senders_are_valid(entry->senders))
		return "the senders are no addresses";
	return line.len > 0 ? "there are too many fields" : NULL;
}

static struct slice
take_line(struct slice *text)
{
	ssize_t end = slice_find(*text, 0, '\n');
	struct slice line = end < 0 ? *text : slice_sub(*text, 0, (size_t)end);

	*text = end < 0 ? slice_of(NULL, 0) : slice_from(*text, (size_t)end + 1);
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return slice_trim(line);
}

static bool
is_comment(struct slice line)
{
	return line.len == 0 || line.ptr[0] == '#';
}

static size_t
count_entries(struct slice text)
{
	size_t count = 0;

	while (text.len > 0)
		count += !is_comment(take_line(&text));
	return count;
}

static int
compare(const void *a, const void *b)
{
	return slice_compare(((const struct password_entry *)a)->login,
		((const struct password_entry *)b)->login);
}

static bool
keep(struct arena *arena, struct password_entry *entry)
{
	uint8_t *login = arena_take(arena, entry->login.len);

	if (!login)
		return false;
	entry->login = passwords_lower(entry->login, login);
	return arena_copy(arena, entry->hash, &entry->hash) &&
	       arena_copy(arena, entry->scram, &entry->scram) &&
	       arena_copy(arena, entry->senders, &entry->senders);
}

static size_t
count_without_scram(const struct password_entry *entries, size_t count)
{
	size_t without = 0;

	for (size_t i = 0; i < count; i++)
		without += !entries[i].is_disabled && entries[i].scram.len == 0;
	return without;
}

static bool
has_doubles(const struct password_entry *entries, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (slice_equal(entries[i - 1].login, entries[i].login))
			return true;
	return false;
}

enum error
passwords_parse(struct slice text, struct arena *arena, struct passwords *ret_passwords,
	struct passwords_fault *ret_fault)
{
	size_t room = count_entries(text), count = 0;
	struct password_entry *entries = arena_take(arena, (room + 1) * sizeof *entries);

	if (!entries)
		return ERROR_NO_MEMORY;
	for (size_t line = 1; text.len > 0; line++) {
		struct slice next = take_line(&text);
		if (is_comment(next))
			continue;
		const char *why = parse_line(next, &entries[count]);
		if (why) {
			*ret_fault = (struct passwords_fault){line, why};
			return ERROR_FORMAT;
		}
		if (!keep(arena, &entries[count++]))
			return ERROR_NO_MEMORY;
	}
	qsort(entries, count, sizeof *entries, compare);
	if (has_doubles(entries, count)) {
		*ret_fault = (struct passwords_fault){0, "a login stands twice"};
		return ERROR_FORMAT;
	}
	*ret_passwords = (struct passwords){entries, count, count_without_scram(entries, count)};
	return OK;
}

const struct password_entry *
passwords_find(const struct passwords *passwords, struct slice login)
{
	struct password_entry key = {.login = login};

	if (passwords->count == 0)
		return NULL;
	return bsearch(&key, passwords->entries, passwords->count, sizeof key, compare);
}
