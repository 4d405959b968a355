/*
 * MX, A and AAAA. NXDOMAIN is final (5.1.2), a null MX too (5.1.10), a host list that leads back to
 * us (5.4.6); NODATA for MX goes on to the domain's own addresses, a DNS that cannot tell never
 * does: that is for later (4.4.3).
 */
#include "relay/way.h"

#include <netinet/in.h>

#define HOST_NAME_MAX_BYTES 256

static const struct {
	const char *network;
} special[] = {{"0.0.0.0/8"}, {"10.0.0.0/8"}, {"100.64.0.0/10"}, {"127.0.0.0/8"},
	{"169.254.0.0/16"}, {"172.16.0.0/12"}, {"192.0.0.0/24"}, {"192.168.0.0/16"},
	{"198.18.0.0/15"}, {"224.0.0.0/3"}, {"[::]/96"}, {"[fc00::]/7"}, {"[fe80::]/9"},
	{"[ff00::]/8"}, {"[64:ff9b:1::]/48"}};

bool
way_is_public(const struct endpoint *endpoint)
{
	struct network network;

	for (size_t i = 0; i < sizeof special / sizeof *special; i++)
		if (network_parse(slice_text(special[i].network), &network) == OK &&
			network_contains(&network, endpoint))
			return false;
	return true;
}

static bool
no_way(struct way_fault *ret_fault, enum deliver_outcome outcome, struct enhanced_status status,
	const char *text)
{
	*ret_fault = (struct way_fault){outcome, status, slice_text(text)};
	return false;
}

static bool
dns_failed(const struct dns_answer *answer, struct way_fault *ret_fault)
{
	return no_way(ret_fault, DELIVER_TEMPORARY, STATUS(4, 4, 3), answer->reason);
}

static void
endpoint_of(struct slice octets, uint16_t port, struct endpoint *ret_endpoint)
{
	*ret_endpoint = (struct endpoint){0};
	if (octets.len == 4) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&ret_endpoint->address;
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, octets.ptr, 4);
		ret_endpoint->len = sizeof *v4;
		return;
	}
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret_endpoint->address;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, octets.ptr, 16);
	ret_endpoint->len = sizeof *v6;
}

/* "192.0.2.1", "[192.0.2.1]", "[IPv6:2001:db8::1]", "2001:db8::1": a host that is an address. */
static bool
literal_parse(struct slice name, uint16_t port, struct endpoint *ret_endpoint)
{
	uint8_t storage[HOST_NAME_MAX_BYTES];
	struct buffer text;

	if (name.len > 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
		name = slice_sub(name, 1, name.len - 2);
	if (slice_has_prefix_nocase(name, SLICE("IPv6:")))
		name = slice_from(name, 5);
	bool is_v6 = slice_find(name, 0, ':') >= 0;
	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_append_text(&text, is_v6 ? "[" : "");
	buffer_append(&text, name);
	buffer_printf(&text, "%s:%u", is_v6 ? "]" : "", port);
	return name.len > 0 && buffer_error(&text) == OK &&
	       endpoint_parse(buffer_slice(&text), ret_endpoint) == OK;
}

static bool
names_are_equal(struct slice a, struct slice b)
{
	if (slice_has_suffix(a, SLICE(".")))
		a.len--;
	return slice_equal_nocase(a, b);
}

/* A number for the order among hosts of one preference: the same for the same seed and name. */
static uint64_t
rank_of(uint64_t seed, struct slice name)
{
	uint64_t rank = seed ^ UINT64_C(0x9e3779b97f4a7c15);

	for (size_t i = 0; i < name.len; i++)
		rank = (rank ^ ascii_lower(name.ptr[i])) * UINT64_C(0x100000001b3);
	return rank ^ rank >> 29;
}

static bool
comes_before(
	const struct way_request *request, const struct dns_record *a, const struct dns_record *b)
{
	if (a->preference != b->preference)
		return a->preference < b->preference;
	return rank_of(request->seed, a->name) < rank_of(request->seed, b->name);
}

/* The best WAY_HOSTS_MAX records, in order. */
static size_t
sort_records(const struct way_request *request, const struct dns_answer *answer,
	const struct dns_record *ret_sorted[WAY_HOSTS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < answer->count; i++) {
		const struct dns_record *record = &answer->records[i];
		size_t at = count;
		while (at > 0 && comes_before(request, record, ret_sorted[at - 1]))
			at--;
		if (at == WAY_HOSTS_MAX)
			continue;
		size_t moved = (count < WAY_HOSTS_MAX ? count : WAY_HOSTS_MAX - 1) - at;
		memmove(ret_sorted + at + 1, ret_sorted + at, moved * sizeof *ret_sorted);
		ret_sorted[at] = record;
		count += count < WAY_HOSTS_MAX;
	}
	return count;
}

/* RFC 5321 section 5.1: our own name and all that is no better than it would send the mail round in
 * circles. */
static size_t
cut_at_own_name(const struct way_request *request, const struct dns_record **sorted, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!names_are_equal(sorted[i]->name, request->own_name))
			continue;
		while (i > 0 && sorted[i - 1]->preference == sorted[i]->preference)
			i--;
		return i;
	}
	return count;
}

static bool
take_records(const struct way_request *request, const struct dns_answer *answer,
	struct way_host *ret_hosts, size_t *ret_count, struct way_fault *ret_fault)
{
	const struct dns_record *sorted[WAY_HOSTS_MAX];
	size_t count = sort_records(request, answer, sorted);

	if (answer->count == 1 && sorted[0]->name.len == 0)
		return no_way(ret_fault, DELIVER_PERMANENT, STATUS(5, 1, 10),
			"the domain takes no mail (null MX)");
	count = cut_at_own_name(request, sorted, count);
	if (count == 0)
		return no_way(ret_fault, DELIVER_PERMANENT, STATUS(5, 4, 6),
			"mail loop: the domain's MX records lead to this server, which does not "
			"take its mail");
	for (size_t i = 0; i < count; i++)
		ret_hosts[i] = (struct way_host){.name = sorted[i]->name,
			.preference = sorted[i]->preference,
			.port = request->port,
			.is_public_only = !request->allows_private};
	*ret_count = count;
	return true;
}

/* May wait. */
static bool
find_by_mx(const struct way_request *request, struct arena *arena, struct way_host *ret_hosts,
	size_t *ret_count, struct way_fault *ret_fault)
{
	struct endpoint literal;
	struct dns_answer answer = {.outcome = DNS_NO_DATA};

	if (!literal_parse(request->name, request->port, &literal))
		dns_ask(request->dns, request->name, DNS_MX, arena, request->deadline, &answer);
	switch (answer.outcome) {
	case DNS_FOUND:
		return take_records(request, &answer, ret_hosts, ret_count, ret_fault);
	case DNS_NO_NAME:
		return no_way(
			ret_fault, DELIVER_PERMANENT, STATUS(5, 1, 2), "the domain does not exist");
	case DNS_FAILED:
		return dns_failed(&answer, ret_fault);
	case DNS_NO_DATA:
		break;
	}
	if (names_are_equal(request->name, request->own_name))
		return no_way(ret_fault, DELIVER_PERMANENT, STATUS(5, 4, 6),
			"mail loop: the domain is this server's own name, which does not take its "
			"mail");
	ret_hosts[0] = (struct way_host){.name = request->name,
		.port = request->port,
		.is_public_only = !request->allows_private};
	*ret_count = 1;
	return true;
}

/* The next word of "HOST PORT HOST PORT". */
static struct slice
take_word(struct slice *text)
{
	ssize_t space = slice_find(*text, 0, ' ');
	struct slice word = space < 0 ? *text : slice_sub(*text, 0, (size_t)space);

	*text = slice_from(*text, word.len + 1);
	return word;
}

static bool
find_by_name(const struct way_request *request, struct way_host *ret_hosts, size_t *ret_count,
	struct way_fault *ret_fault)
{
	struct slice rest = request->name;
	size_t count = 0;

	if (request->transport == TRANSPORT_LMTP && slice_has_prefix(rest, SLICE("/"))) {
		ret_hosts[0] = (struct way_host){.name = rest};
		*ret_count = 1;
		return true;
	}
	while (rest.len > 0 && count < WAY_HOSTS_MAX) {
		uint64_t port;
		struct slice name = take_word(&rest);
		if (!slice_number(take_word(&rest), UINT16_MAX, &port))
			break;
		ret_hosts[count++] = (struct way_host){.name = name, .port = (uint16_t)port};
	}
	*ret_count = count;
	return count > 0 || no_way(ret_fault, DELIVER_TEMPORARY, STATUS(4, 3, 5),
				    "the route's host is malformed");
}

bool
way_find_hosts(const struct way_request *request, struct arena *arena,
	struct way_host ret_hosts[WAY_HOSTS_MAX], size_t *ret_count, struct way_fault *ret_fault)
{
	return request->transport == TRANSPORT_MX
		       ? find_by_mx(request, arena, ret_hosts, ret_count, ret_fault)
		       : find_by_name(request, ret_hosts, ret_count, ret_fault);
}

static bool
unix_endpoint(struct slice path, struct endpoint *ret_endpoint)
{
	uint8_t storage[HOST_NAME_MAX_BYTES];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_append_text(&text, "unix:");
	buffer_append(&text, path);
	return buffer_error(&text) == OK && endpoint_parse(buffer_slice(&text), ret_endpoint) == OK;
}

struct addresses {
	struct dns_answer v6, v4;
};

/* May wait. "localhost" is this machine, whatever a DNS says (RFC 6761 section 6.3). */
static void
ask_addresses(const struct way_request *request, struct slice name, struct arena *arena,
	struct addresses *ret_addresses)
{
	static const struct dns_record own_v4 = {.data = SLICE_INIT("\x7f\0\0\1")};
	static const struct dns_record own_v6 = {
		.data = SLICE_INIT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1")};
	struct addresses found = {{.outcome = DNS_NO_DATA}, {.outcome = DNS_NO_DATA}};
	bool is_own = names_are_equal(name, SLICE("localhost"));

	if (is_own) {
		found.v4 =
			(struct dns_answer){.outcome = DNS_FOUND, .records = &own_v4, .count = 1};
		found.v6 =
			(struct dns_answer){.outcome = DNS_FOUND, .records = &own_v6, .count = 1};
	}
	if (!is_own && request->family != WAY_IPV4)
		dns_ask(request->dns, name, DNS_AAAA, arena, request->deadline, &found.v6);
	if (!is_own && request->family != WAY_IPV6)
		dns_ask(request->dns, name, DNS_A, arena, request->deadline, &found.v4);
	*ret_addresses = found;
}

/* The n-th of both lists by turns. */
static const struct dns_record *
nth_address(const struct addresses *found, size_t n)
{
	size_t i = n / 2;
	const struct dns_answer *list = n % 2 == 0 ? &found->v6 : &found->v4;

	return i < list->count ? &list->records[i] : NULL;
}

static bool
take_addresses(const struct way_host *host, const struct addresses *found,
	struct endpoint *ret_addresses, size_t *ret_count, struct way_fault *ret_fault)
{
	size_t longest = found->v6.count > found->v4.count ? found->v6.count : found->v4.count;
	size_t count = 0;

	for (size_t n = 0; n < 2 * longest && count < WAY_ADDRESSES_MAX; n++) {
		const struct dns_record *record = nth_address(found, n);
		if (!record)
			continue;
		endpoint_of(record->data, host->port, &ret_addresses[count]);
		count += !host->is_public_only || way_is_public(&ret_addresses[count]);
	}
	*ret_count = count;
	return count > 0 || no_way(ret_fault, DELIVER_PERMANENT, STATUS(5, 4, 4),
				    "the domain's hosts have only addresses that are not of the "
				    "public internet");
}

bool
way_find_addresses(const struct way_request *request, const struct way_host *host,
	struct arena *arena, struct endpoint ret_addresses[WAY_ADDRESSES_MAX], size_t *ret_count,
	struct way_fault *ret_fault)
{
	struct addresses found;
	struct endpoint *first = &ret_addresses[0];
	bool is_path = slice_has_prefix(host->name, SLICE("/"));

	*ret_count = 1;
	if (is_path)
		return unix_endpoint(host->name, first) ||
		       no_way(ret_fault, DELIVER_TEMPORARY, STATUS(4, 3, 5),
			       "the path of the socket is malformed");
	if (literal_parse(host->name, host->port, first))
		return !host->is_public_only || way_is_public(first) ||
		       no_way(ret_fault, DELIVER_PERMANENT, STATUS(5, 4, 4),
			       "the address is not one of the public internet");
	ask_addresses(request, host->name, arena, &found);
	if (found.v6.count + found.v4.count > 0)
		return take_addresses(host, &found, ret_addresses, ret_count, ret_fault);
	if (found.v4.outcome == DNS_FAILED || found.v6.outcome == DNS_FAILED)
		return dns_failed(
			found.v4.outcome == DNS_FAILED ? &found.v4 : &found.v6, ret_fault);
	if (found.v4.outcome == DNS_NO_NAME && names_are_equal(host->name, request->name))
		return no_way(
			ret_fault, DELIVER_PERMANENT, STATUS(5, 1, 2), "the domain does not exist");
	return no_way(ret_fault, DELIVER_PERMANENT, STATUS(5, 4, 4),
		"none of the domain's hosts has an address");
}
