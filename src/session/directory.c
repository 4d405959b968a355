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
	struct snapshot *aliases;   /* likewise */
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
	directory->aliases =
		memory_get(env->memory, (conf->domain_count + 1) * sizeof *directory->aliases);
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
	for (size_t i = 0; i < directory->conf->domain_count; i++) {
		snapshot_close(&directory->snapshots[i]);
		snapshot_close(&directory->aliases[i]);
	}
	route_table_done(&directory->table);
	memory_put(directory->env->memory, directory->aliases);
	memory_put(directory->env->memory, directory->snapshots);
	memory_put(directory->env->memory, directory->entries);
	memory_put(directory->env->memory, directory);
	*directory_pointer = NULL;
}

enum error
directory_set_snapshot(
	struct directory *directory, struct slice domain, bool is_aliases, int snapshot_fd)
{
	struct route_decision decision = route_decide_domain(&directory->table, domain);
	struct snapshot snapshot;

	if (decision.kind == ROUTE_NONE || decision.index >= directory->conf->domain_count)
		return ERROR_NOT_FOUND;
	enum error error = snapshot_open(&snapshot, directory->env, snapshot_fd);
	if (error != OK)
		return error;
	struct snapshot *place = is_aliases ? &directory->aliases[decision.index]
					    : &directory->snapshots[decision.index];
	snapshot_close(place);
	*place = snapshot;
	return OK;
}

/* The targets of an alias, with LF between them; `account` is a name in lower case, or "*". */
static bool
find_alias(const struct directory *directory, size_t domain, struct slice account,
	struct slice *ret_targets)
{
	uint8_t storage[ADDRESS_LOCAL_PART_MAX + 1];
	struct buffer key;

	buffer_init_fixed(&key, storage, sizeof storage);
	buffer_append(&key, account);
	buffer_append_octet(&key, 0);
	return buffer_error(&key) == OK &&
	       snapshot_find(&directory->aliases[domain], buffer_slice(&key), ret_targets);
}

static bool
is_known_account(const struct directory *directory, size_t domain, struct slice account)
{
	return directory->conf->domains[domain].accounts == CONF_ACCOUNTS_ANY ||
	       snapshot_contains(&directory->snapshots[domain], account);
}

/* What stands in front of the detail; empty: there is none. */
static struct slice
without_detail(const struct directory *directory, size_t domain, struct slice account)
{
	enum conf_detail detail = directory->conf->domains[domain].detail;
	ssize_t at = -1;

	if (account.len > 0 && account.ptr[0] == '"')
		return slice_of(NULL, 0);
	if (detail == CONF_DETAIL_PLUS || detail == CONF_DETAIL_HYPHEN)
		at = slice_find(account, 0, detail == CONF_DETAIL_PLUS ? '+' : '-');
	return slice_sub(account, 0, at > 0 ? (size_t)at : 0);
}

static bool
is_known_name(const struct directory *directory, size_t domain, struct slice name)
{
	struct slice targets;

	return find_alias(directory, domain, name, &targets) ||
	       is_known_account(directory, domain, name);
}

static enum directory_answer
ask_accounts(const struct directory *directory, size_t domain, const struct address *address)
{
	const struct conf_domain *conf = &directory->conf->domains[domain];
	uint8_t storage[ADDRESS_LOCAL_PART_MAX];
	struct buffer account;
	struct slice targets;

	buffer_init_fixed(&account, storage, sizeof storage);
	address_append_account(&account, address);
	if (conf->aliases != 0 && !directory->aliases[domain].bytes)
		return DIRECTORY_UNAVAILABLE;
	if (find_alias(directory, domain, SLICE("*"), &targets) ||
		is_known_name(directory, domain, buffer_slice(&account)))
		return DIRECTORY_KNOWN;
	if (buffer_error(&account) != OK)
		return DIRECTORY_UNKNOWN_USER;
	if (slice_equal(buffer_slice(&account), SLICE("postmaster")))
		return DIRECTORY_KNOWN;
	struct slice stem = without_detail(directory, domain, buffer_slice(&account));
	if (stem.len > 0 && is_known_name(directory, domain, stem))
		return DIRECTORY_KNOWN;
	return directory->snapshots[domain].bytes ? DIRECTORY_UNKNOWN_USER : DIRECTORY_UNAVAILABLE;
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

struct expansion {
	const struct directory *directory;
	struct arena *arena;
	struct slice *targets;
	size_t count, capacity;
	enum error error;
	unsigned depth;
	unsigned steps; /* names looked at */
};

static void
expand(struct expansion *expansion, const struct address *address, struct slice mailbox);

static bool
has_target(const struct expansion *expansion, struct slice mailbox)
{
	for (size_t i = 0; i < expansion->count; i++)
		if (slice_equal_nocase(expansion->targets[i], mailbox))
			return true;
	return false;
}

static bool
grow(struct expansion *expansion)
{
	size_t capacity = expansion->capacity ? expansion->capacity * 2 : 16;
	struct slice *larger = arena_take(expansion->arena, capacity * sizeof *larger);

	if (!larger)
		return false;
	if (expansion->count > 0)
		memcpy(larger, expansion->targets, expansion->count * sizeof *larger);
	expansion->targets = larger;
	expansion->capacity = capacity;
	return true;
}

/* The end of a chain, if it has a way at all. */
static void
add_target(struct expansion *expansion, const struct address *address, struct slice mailbox)
{
	struct slice copy;

	if (has_target(expansion, mailbox))
		return;
	if (route_decide_domain(&expansion->directory->table, address->domain).kind == ROUTE_NONE)
		return;
	if (expansion->count == DIRECTORY_TARGETS_MAX) {
		expansion->error = ERROR_LIMIT;
		return;
	}
	if ((expansion->count == expansion->capacity && !grow(expansion)) ||
		!arena_copy(expansion->arena, mailbox, &copy))
		expansion->error = ERROR_NO_MEMORY;
	else
		expansion->targets[expansion->count++] = copy;
}

/* "local" as "local@domain", in the arena. */
static struct slice
with_domain(struct expansion *expansion, struct slice local, struct slice domain)
{
	size_t size = local.len + 1 + domain.len;
	uint8_t *storage = arena_take(expansion->arena, size);
	struct buffer text;

	if (!storage) {
		expansion->error = ERROR_NO_MEMORY;
		return (struct slice){0};
	}
	buffer_init_fixed(&text, storage, size);
	buffer_append(&text, local);
	buffer_append_octet(&text, '@');
	buffer_append(&text, domain);
	return buffer_slice(&text);
}

/* Whether it is this name of this domain, written in whatever way. */
static bool
names_account(const struct expansion *expansion, const struct address *address,
	struct slice account, struct slice domain)
{
	const struct route_table *table = &expansion->directory->table;
	uint8_t storage[ADDRESS_LOCAL_PART_MAX];
	struct buffer name;

	if (address->domain.len > 0 && route_decide_domain(table, address->domain).index !=
					       route_decide_domain(table, domain).index)
		return false;
	buffer_init_fixed(&name, storage, sizeof storage);
	address_append_account(&name, address);
	return buffer_error(&name) == OK && slice_equal(buffer_slice(&name), account);
}

/* A target that names the alias itself is the mailbox of that name, as is one behind a backslash.
 */
static void
take_target(
	struct expansion *expansion, struct slice target, struct slice account, struct slice domain)
{
	bool is_final = target.len > 0 && target.ptr[0] == '\\';
	struct slice mailbox = slice_from(target, is_final);
	struct address address;

	enum address_fault fault = address_parse_international(mailbox, &address);
	if (fault == ADDRESS_OK || fault == ADDRESS_NO_DOMAIN)
		is_final |= names_account(expansion, &address, account, domain);
	if (fault == ADDRESS_NO_DOMAIN)
		mailbox = with_domain(expansion, mailbox, domain);
	if (expansion->error != OK || address_parse_international(mailbox, &address) != ADDRESS_OK)
		return;
	if (is_final)
		add_target(expansion, &address, mailbox);
	else
		expand(expansion, &address, mailbox);
}

static void
take_targets(struct expansion *expansion, struct slice targets, struct slice account,
	struct slice domain)
{
	if (++expansion->depth > DIRECTORY_ALIASES_DEEP)
		expansion->error = ERROR_LIMIT;
	while (targets.len > 0 && expansion->error == OK) {
		ssize_t end = slice_find(targets, 0, '\n');
		struct slice target = end < 0 ? targets : slice_sub(targets, 0, (size_t)end);
		targets = slice_from(targets, target.len + 1);
		take_target(expansion, target, account, domain);
	}
	expansion->depth--;
}

/* The account or alias that stands in front of the detail. */
static void
expand_stem(struct expansion *expansion, struct slice stem, struct slice domain)
{
	struct slice mailbox = with_domain(expansion, stem, domain);
	struct address address;

	if (expansion->error == OK && address_parse_international(mailbox, &address) == ADDRESS_OK)
		expand(expansion, &address, mailbox);
}

/* In one of our domains: aliases come first, then accounts, then both without the detail, then the
 * alias of everything else. */
static void
expand_account(struct expansion *expansion, size_t domain, const struct address *address,
	struct slice mailbox)
{
	const struct directory *directory = expansion->directory;
	uint8_t storage[ADDRESS_LOCAL_PART_MAX];
	struct buffer account;
	struct slice targets;

	buffer_init_fixed(&account, storage, sizeof storage);
	address_append_account(&account, address);
	struct slice name = buffer_slice(&account);
	struct slice stem = without_detail(directory, domain, name);
	if (find_alias(directory, domain, name, &targets))
		take_targets(expansion, targets, name, address->domain);
	else if (is_known_account(directory, domain, name))
		add_target(expansion, address, mailbox);
	else if (stem.len > 0 && is_known_name(directory, domain, stem))
		expand_stem(expansion, stem, address->domain);
	else if (find_alias(directory, domain, SLICE("*"), &targets))
		take_targets(expansion, targets, name, address->domain);
	else
		add_target(expansion, address, mailbox);
}

static void
expand(struct expansion *expansion, const struct address *address, struct slice mailbox)
{
	const struct directory *directory = expansion->directory;
	struct route_decision decision = route_decide_domain(&directory->table, address->domain);

	if (++expansion->steps > DIRECTORY_STEPS_MAX)
		expansion->error = ERROR_LIMIT;
	else if (decision.kind == ROUTE_NONE || decision.index >= directory->conf->domain_count)
		add_target(expansion, address, mailbox);
	else
		expand_account(expansion, decision.index, address, mailbox);
}

enum error
directory_expand(const struct directory *directory, const struct address *address,
	struct slice mailbox, struct arena *arena, struct slice **ret_targets, size_t *ret_count)
{
	struct expansion expansion = {.directory = directory, .arena = arena};

	expand(&expansion, address, mailbox);
	if (expansion.error == OK && expansion.count == 0)
		expansion.error = ERROR_NOT_FOUND;
	*ret_targets = expansion.targets;
	*ret_count = expansion.count;
	return expansion.error;
}

bool
directory_is_account(const struct directory *directory, const struct address *address)
{
	struct route_decision decision = route_decide_domain(&directory->table, address->domain);

	return decision.kind != ROUTE_NONE && decision.index < directory->conf->domain_count;
}

bool
directory_leads_abroad(const struct directory *directory, const struct address *address)
{
	struct route_decision decision = route_decide_domain(&directory->table, address->domain);
	size_t domains = directory->conf->domain_count;

	return decision.kind != ROUTE_NONE && decision.index >= domains &&
	       conf_route_is_abroad(&directory->conf->routes[decision.index - domains]);
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
