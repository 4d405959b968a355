/* Account files of any bytes: what comes out can become a snapshot, which then knows exactly these
 * names. */
#include "lookup/accounts.h"

#include "ipc/snapshot.h"

#include <stdlib.h>
#include <unistd.h>

#define TABLE_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reports {
	uint32_t last_line;
	uint32_t count;
};

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
bad_line(void *arg, uint32_t line, struct slice text)
{
	struct reports *reports = arg;

	require(line > reports->last_line && text.len > 0);
	reports->last_line = line;
	reports->count++;
}

static void
check_names(struct env *env, const struct accounts *accounts)
{
	struct snapshot snapshot;
	int fd;

	for (size_t i = 0; i < accounts->count; i++) {
		struct slice name = accounts->names[i];
		require(name.len > 0 && slice_find(name, 0, '\n') < 0 &&
			slice_find(name, 0, 0) < 0);
		require(i == 0 || slice_compare(accounts->names[i - 1], name) < 0);
		for (size_t k = 0; k < name.len; k++)
			require(ascii_lower(name.ptr[k]) == name.ptr[k]);
	}
	require(snapshot_new(env, accounts->names, accounts->count, &fd) == OK);
	require(snapshot_open(&snapshot, env, fd) == OK && snapshot.count == accounts->count);
	for (size_t i = 0; i < accounts->count; i++)
		require(snapshot_contains(&snapshot, accounts->names[i]));
	require(!snapshot_contains(&snapshot, SLICE("")));
	snapshot_close(&snapshot);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	struct reports reports = {0, 0};
	struct accounts accounts;
	struct env env;

	env_init_linux(&env);
	accounts_init(&accounts, env.memory, TABLE_MAX);
	require(accounts_parse(&accounts, SLICE("example.org"), text, bad_line, &reports) == OK);
	size_t lines = accounts.count + reports.count;
	require(lines <= size);
	accounts_finish(&accounts);
	check_names(&env, &accounts);
	accounts_done(&accounts);
	env_done(&env);
	return 0;
}
