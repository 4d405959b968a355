/*
 * The table of routes: pointers to the configured entries, sorted by domain, searched by halves.
 * Domains are compared without regard to the case of ASCII letters (RFC 1035 section 2.3.3); names
 * in other scripts are compared as A-labels, and are configured so. Nothing is copied.
 *
 * An address is split at its last "@": a local part may hold one in quotes, a domain never.
 */
#include "route/route.h"
#include "text/address.h"
#include "text/international.h"

#include <stdlib.h>

/* Order by octets in lower case, shorter first on a common prefix. */
static int
domain_compare(struct slice a, struct slice b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++) {
		int difference = ascii_lower(a.ptr[i]) - ascii_lower(b.ptr[i]);
		if (difference != 0)
			return difference;
	}
	return (a.len > b.len) - (a.len < b.len);
}

/* Entries of the same name in the order given, so that the later one is reported. */
static int
entry_compare(const void *a, const void *b)
{
	const struct route_entry *const *first = a, *const *second = b;
	int difference = domain_compare((*first)->domain, (*second)->domain);

	return difference != 0 ? difference : (*first > *second) - (*first < *second);
}

/* Sorts the entries in, and finds what stands there twice. */
static enum error
table_fill(struct route_table *table, size_t count, size_t *ret_bad)
{
	for (size_t i = 0; i < count; i++) {
		const struct route_entry *entry = &table->entries[i];
		*ret_bad = i;
		if (entry->domain.len == 0 || slice_find(entry->domain, 0, '@') >= 0)
			return ERROR_FORMAT;
		if (!slice_equal(entry->domain, ROUTE_ANY)) {
			table->sorted[table->sorted_count++] = entry;
			continue;
		}
		if (table->any)
			return ERROR_EXISTS;
		table->any = entry;
	}
	qsort(table->sorted, table->sorted_count, sizeof *table->sorted, entry_compare);
	for (size_t i = 1; i < table->sorted_count; i++) {
		*ret_bad = (size_t)(table->sorted[i] - table->entries);
		if (domain_compare(table->sorted[i - 1]->domain, table->sorted[i]->domain) == 0)
			return ERROR_EXISTS;
	}
	return OK;
}

enum error
route_table_init(struct route_table *table, struct memory *memory,
	const struct route_entry *entries, size_t count, struct slice default_domain,
	size_t *ret_bad)
{
	size_t bad = 0;

	if (count > ROUTE_ENTRIES_MAX) {
		*ret_bad = ROUTE_ENTRIES_MAX;
		return ERROR_LIMIT;
	}
	*table = (struct route_table){
		.memory = memory, .entries = entries, .default_domain = default_domain};
	table->sorted = memory_try(memory, (count + 1) * sizeof *table->sorted);
	if (!table->sorted)
		return ERROR_NO_MEMORY;
	enum error error = table_fill(table, count, &bad);
	if (error != OK) {
		*ret_bad = bad;
		route_table_done(table);
	}
	return error;
}

void
route_table_done(struct route_table *table)
{
	if (table->sorted)
		memory_put(table->memory, table->sorted);
	*table = (struct route_table){0};
}

static const struct route_entry *
entry_find(const struct route_table *table, struct slice domain)
{
	size_t low = 0, high = table->sorted_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int difference = domain_compare(domain, table->sorted[middle]->domain);
		if (difference == 0)
			return table->sorted[middle];
		if (difference < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

struct route_decision
route_decide_domain(const struct route_table *table, struct slice domain)
{
	char storage[ADDRESS_DOMAIN_MAX];
	struct buffer ascii;
	const struct route_entry *entry = NULL;

	buffer_init_fixed(&ascii, storage, sizeof storage);
	if (text_is_ascii(domain))
		entry = entry_find(table, domain);
	else if (domain_append_ascii(&ascii, domain) == OK)
		entry = entry_find(table, buffer_slice(&ascii));
	if (!entry)
		entry = table->any;
	if (!entry)
		return (struct route_decision){.kind = ROUTE_NONE, .index = SIZE_MAX};
	return (struct route_decision){
		.kind = entry->kind,
		.template = entry->template,
		.owner = entry->owner,
		.to = entry->to,
		.index = (size_t)(entry - table->entries),
	};
}

struct route_decision
route_decide(const struct route_table *table, struct slice address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return route_decide_domain(table, at > 0 ? slice_from(address, at) : table->default_domain);
}

/* The owner of the mailbox: as configured, else the login that the address names. */
static enum error
maildir_lane(const struct route_decision *decision, struct slice address,
	enum transport *ret_transport, struct buffer *name)
{
	struct address parsed;

	*ret_transport = decision->owner.len > 0 ? TRANSPORT_MAILDIR : TRANSPORT_SYSTEM;
	if (decision->owner.len > 0) {
		buffer_append(name, decision->owner);
		return buffer_error(name);
	}
	if (address_parse_international(address, &parsed) != ADDRESS_OK)
		return ERROR_FORMAT;
	address_append_account(name, &parsed);
	return buffer_error(name);
}

static enum error
domain_lane(struct slice address, struct buffer *name)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	if (at == 0 || at == address.len)
		return ERROR_FORMAT;
	enum error error = domain_append_ascii(name, slice_from(address, at));
	return error == OK ? buffer_error(name) : error;
}

enum error
route_lane(const struct route_decision *decision, struct slice address,
	enum transport *ret_transport, struct buffer *name)
{
	switch (decision->kind) {
	case ROUTE_MAILDIR:
		return maildir_lane(decision, address, ret_transport, name);
	case ROUTE_MX:
		*ret_transport = TRANSPORT_MX;
		return domain_lane(address, name);
	case ROUTE_HOST:
		*ret_transport = TRANSPORT_HOST;
		break;
	case ROUTE_LMTP:
		*ret_transport = TRANSPORT_LMTP;
		break;
	case ROUTE_PIPE:
		*ret_transport = TRANSPORT_PIPE;
		break;
	default:
		return ERROR_NOT_FOUND;
	}
	buffer_append(name, decision->to);
	return buffer_error(name);
}
