/*
 * A lookup belongs to its session and to its task; whoever of them ends last gives it back.
 */
#include "session/client_lookup.h"

#include "session/session_names.h"
#include "text/address.h"

#define ARENA_BYTES (64u << 10)

struct client_lookup {
	struct client_lookups *lookups;
	struct slice *name; /* the session's; NULL: it has ended */
	bool is_running;
	uint8_t ip[16];
	size_t ip_len;
	uint8_t text[ADDRESS_DOMAIN_MAX];
};

void
client_lookups_init(struct client_lookups *lookups, struct env *env, const struct dns_source *dns)
{
	*lookups = (struct client_lookups){.env = env, .dns = dns};
	task_group_init(&lookups->tasks, env->loop);
}

void
client_lookups_stop(struct client_lookups *lookups)
{
	task_group_cancel(&lookups->tasks);
	task_group_wait(&lookups->tasks);
}

static void
lookup_run(void *arg)
{
	struct client_lookup *lookup = arg;
	struct client_lookups *lookups = lookup->lookups;
	struct env *env = lookups->env;
	struct arena arena;

	arena_init(&arena, env->memory, ARENA_BYTES);
	struct slice name = client_name_ask(lookups->dns, slice_of(lookup->ip, lookup->ip_len),
		&arena, loop_deadline(env->loop, CLIENT_LOOKUP_US));
	if (lookup->name && name.len > 0 && name.len <= sizeof lookup->text) {
		memcpy(lookup->text, name.ptr, name.len);
		*lookup->name = slice_of(lookup->text, name.len);
	}
	arena_done(&arena);
	lookups->count--;
	lookup->is_running = false;
	if (!lookup->name)
		memory_put(env->memory, lookup);
}

struct client_lookup *
client_lookup_begin(struct client_lookups *lookups, struct slice ip, struct slice *name)
{
	if (lookups->count >= CLIENT_LOOKUPS_MAX)
		return NULL;
	struct client_lookup *lookup = memory_try(lookups->env->memory, sizeof *lookup);
	if (!lookup)
		return NULL;
	*lookup = (struct client_lookup){
		.lookups = lookups, .name = name, .is_running = true, .ip_len = ip.len};
	memcpy(lookup->ip, ip.ptr, ip.len);
	if (task_start(&lookups->tasks, "client name", lookup_run, lookup) != OK) {
		memory_put(lookups->env->memory, lookup);
		return NULL;
	}
	lookups->count++;
	return lookup;
}

void
client_lookup_end(struct client_lookup **pointer)
{
	struct client_lookup *lookup = *pointer;

	*pointer = NULL;
	if (!lookup)
		return;
	lookup->name = NULL;
	if (!lookup->is_running)
		memory_put(lookup->lookups->env->memory, lookup);
}
