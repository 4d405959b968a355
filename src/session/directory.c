/*
 * One route table over domains and routes; entry i of the table is domain i, then the routes. Known
 * accounts of a domain come from its snapshot; postmaster is always known (RFC 5321 section 4.5.1).
 */
#include "session/directory.h"
#include "base/log_record.h"
#include "net/endpoint.h"
#include "route/route.h"

struct directory {
	struct env *env;
	const struct conf *conf;
	struct route_entry *entries;
	struct route_table table;
	struct snapshot *snapshots; /* one a domain */
};

struct directory *
directory_new(struct env *env, const struct conf *conf)
{
	struct directory *directory = memory_get(env->memory, sizeof *directory);
	size_t count = conf->domain_count + conf->route_count, bad;

	directory->env = env;
	directory->conf = conf;
	directory->entries = memory_get(env->memory, (count + 1) * sizeof *directory->entries);
	directory->snapshots =
		memory_get(env->memory, (conf->domain_count + 1) * sizeof *directory->snapshots);
	for (size_t i = 0; i < count; i++) {
		struct slice name = i < conf->domain_count
					    ? conf->domains[i].name
					    : conf->routes[i - conf->domain_count].name;
		/* Where it goes is the queue's business; here only that it is ours counts. */
		directory->entries[i] = (struct route_entry){.domain = name, .kind = ROUTE_HOLD};
	}
	enum error error = route_table_init(
		&directory->table, env->memory, directory->entries, count, slice_of(NULL, 0), &bad);
	if (error != OK) /* the configuration was checked: nobody is known, nothing is taken */
		log_event(
			env, LOG_ERROR, "routes_unusable", LOG_STRING("error", error_text(error)));
	return directory;
}

void
directory_free(struct directory **directory_pointer)
{
	struct directory *directory = *directory_pointer;

	if (!directory)
		return;
	for (size_t i = 0; i < directory->conf->domain_count; i++)
		snapshot_close(&directory->snapshots[i]);
	route_table_done(&directory->table);
	memory_put(directory->env->memory, directory->snapshots);
	memory_put(directory->env->memory, directory->entries);
	memory_put(directory->env->memory, directory);
	*directory_pointer = NULL;
}

enum error
directory_set_snapshot(struct directory *directory, struct slice domain, int snapshot_fd)
{
	struct route_decision decision = route_decide_domain(&directory->table, domain);
	struct snapshot snapshot;

	if (decision.kind == ROUTE_NONE || decision.index >= directory->conf->domain_count)
		return ERROR_NOT_FOUND;
	enum error error = snapshot_open(&snapshot, directory->env, snapshot_fd);
	if (error != OK)
		return error;
	snapshot_close(&directory->snapshots[decision.index]);
	directory->snapshots[decision.index] = snapshot;
	return OK;
}

static enum directory_answer
ask_accounts(const struct directory *directory, size_t domain, const struct address *address)
{
	const struct snapshot *snapshot = &directory->snapshots[domain];
	uint8_t storage[ADDRESS_LOCAL_PART_MAX];
	struct buffer account;

	if (directory->conf->domains[domain].accounts == CONF_ACCOUNTS_ANY)
		return DIRECTORY_KNOWN;
	buffer_init_fixed(&account, storage, sizeof storage);
	address_append_account(&account, address);
	if (buffer_error(&account) != OK)
		return DIRECTORY_UNKNOWN_USER;
	if (slice_equal(buffer_slice(&account), SLICE("postmaster")))
		return DIRECTORY_KNOWN;
	if (!snapshot->bytes)
		return DIRECTORY_UNAVAILABLE;
	return snapshot_contains(snapshot, buffer_slice(&account)) ? DIRECTORY_KNOWN
								   : DIRECTORY_UNKNOWN_USER;
}

/* A route takes every local part, but not from everybody. */
static enum directory_answer
ask_route(const struct conf_route *route, bool is_trusted)
{
	if (!is_trusted && !conf_route_is_public(route))
		return DIRECTORY_FOREIGN;
	return route->to == CONF_TO_REJECT ? DIRECTORY_REJECTED : DIRECTORY_KNOWN;
}

enum directory_answer
directory_ask(const struct directory *directory, const struct address *address, bool is_trusted)
{
	struct route_decision decision = route_decide_domain(&directory->table, address->domain);
	size_t domains = directory->conf->domain_count;

	if (decision.kind == ROUTE_NONE)
		return DIRECTORY_FOREIGN;
	if (decision.index >= domains)
		return ask_route(&directory->conf->routes[decision.index - domains], is_trusted);
	return ask_accounts(directory, decision.index, address);
}

bool
directory_is_account(const struct directory *directory, const struct address *address)
{
	struct route_decision decision = route_decide_domain(&directory->table, address->domain);

	return decision.kind != ROUTE_NONE && decision.index < directory->conf->domain_count;
}

bool
directory_trusts(const struct directory *directory, const struct endpoint *client)
{
	const struct conf *conf = directory->conf;
	struct network network;

	for (size_t i = 0; i < conf->relay_from_count; i++)
		if (network_parse(conf->relay_from[i], &network) == OK &&
			network_contains(&network, client))
			return true;
	return false;
}
