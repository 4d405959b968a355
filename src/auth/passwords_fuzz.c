/* Files of any bytes: what comes out is sorted, each login once, and found again in any case. */
#include "auth/passwords.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_entry(const struct passwords *passwords, size_t i)
{
	const struct password_entry *entry = &passwords->entries[i];

	require(i == 0 || slice_compare(entry[-1].login, entry->login) < 0);
	require(passwords_find(passwords, entry->login) == entry);
	require(entry->hash.len > 0 && entry->hash.len <= PASSWORDS_HASH_MAX);
	require(passwords_login_is_valid(entry->login));
	require(passwords_senders_are_valid(entry->senders));
	require(slice_find(entry->hash, 0, ':') < 0 && slice_find(entry->hash, 0, '\n') < 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory *memory = memory_new(0);
	struct arena arena;
	struct passwords passwords;
	struct passwords_fault fault = {0, NULL};

	arena_init(&arena, memory, PASSWORDS_FILE_MAX);
	enum error error = passwords_parse(slice_of(data, size), &arena, &passwords, &fault);
	require(error == OK || (error == ERROR_FORMAT && fault.why));
	for (size_t i = 0; error == OK && i < passwords.count; i++)
		check_entry(&passwords, i);
	arena_done(&arena);
	memory_free(&memory);
	return 0;
}
