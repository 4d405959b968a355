/* Parsing of account files. Pure: text in, sorted names out. */
#include "lookup/accounts.h"
#include "text/address.h"

#include <stdlib.h>

void
accounts_init(struct accounts *accounts, struct memory *memory, size_t max_bytes)
{
	*accounts = (struct accounts){.memory = memory};
	arena_init(&accounts->arena, memory, max_bytes);
}

void
accounts_done(struct accounts *accounts)
{
	arena_done(&accounts->arena);
	memory_put(accounts->memory, accounts->names);
	accounts->names = NULL;
	accounts->count = accounts->capacity = 0;
}

static enum error
accounts_grow(struct accounts *accounts)
{
	size_t capacity = accounts->capacity ? accounts->capacity * 2 : 64;
	struct slice *names =
		memory_resize(accounts->memory, accounts->names, capacity * sizeof *names);

	if (!names)
		return ERROR_NO_MEMORY;
	accounts->names = names;
	accounts->capacity = capacity;
	return OK;
}

enum error
accounts_append(struct accounts *accounts, struct slice row)
{
	struct slice copy;
	enum error error = accounts->count == accounts->capacity ? accounts_grow(accounts) : OK;

	if (error == OK && !arena_copy(&accounts->arena, row, &copy))
		error = ERROR_LIMIT;
	if (error == OK)
		accounts->names[accounts->count++] = copy;
	return error;
}

enum error
accounts_add(struct accounts *accounts, struct slice name)
{
	uint8_t storage[ADDRESS_LOCAL_PART_MAX];
	struct buffer key;
	struct address address;

	/* Without a domain the parser reports just that; anything else is a name no address can
	 * have. */
	if (address_parse_international(name, &address) != ADDRESS_NO_DOMAIN)
		return ERROR_FORMAT;
	buffer_init_fixed(&key, storage, sizeof storage);
	address_append_account(&key, &address);
	enum error error = buffer_error(&key);
	return error == OK ? accounts_append(accounts, buffer_slice(&key)) : error;
}

/* The login of a line: `name` or `name@domain` with the domain of the file. */
static enum error
accounts_add_login(struct accounts *accounts, struct slice domain, struct slice login)
{
	struct slice own =
		slice_from(login, login.len > domain.len ? login.len - domain.len : login.len);

	if (login.len > domain.len + 1 && slice_equal_nocase(own, domain) &&
		login.ptr[login.len - domain.len - 1] == '@')
		login = slice_sub(login, 0, login.len - domain.len - 1);
	return accounts_add(accounts, login);
}

enum error
accounts_parse(struct accounts *accounts, struct slice domain, struct slice text,
	void (*bad_line)(void *arg, uint32_t line, struct slice text), void *arg)
{
	uint32_t number = 0;

	/* Editors of other systems put a byte order mark in front: it is no part of a name. */
	if (slice_has_prefix(text, SLICE("\xef\xbb\xbf")))
		text = slice_from(text, 3);
	while (text.len > 0) {
		ssize_t lf = slice_find(text, 0, '\n');
		struct slice line = slice_sub(text, 0, lf < 0 ? text.len : (size_t)lf);
		text = slice_from(text, line.len + 1);
		number++;
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		ssize_t comment = slice_find(line, 0, '#');
		if (comment >= 0)
			line.len = (size_t)comment;
		line = slice_trim(line);
		if (line.len == 0)
			continue;
		enum error error = accounts_add_login(accounts, domain, line);
		if (error == ERROR_FORMAT)
			bad_line(arg, number, line);
		else if (error != OK)
			return error;
	}
	return OK;
}

static int
compare_names(const void *a, const void *b)
{
	return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

void
accounts_finish(struct accounts *accounts)
{
	size_t kept = 0;

	if (accounts->count > 0)
		qsort(accounts->names, accounts->count, sizeof *accounts->names, compare_names);
	for (size_t i = 0; i < accounts->count; i++)
		if (kept == 0 || !slice_equal(accounts->names[kept - 1], accounts->names[i]))
			accounts->names[kept++] = accounts->names[i];
	accounts->count = kept;
}
