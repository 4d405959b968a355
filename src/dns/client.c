/*
 * The cache holds messages as they came, by name (in any case) and type; each use parses its own
 * copy into the asker's arena. It is bounded in entries and octets: what was used longest ago goes
 * first.
 */
#include "dns/client.h"
#include "base/hash.h"

#define BUCKETS       1024
#define QUESTIONS_MAX 4096

struct dns_entry {
	struct list used;
	struct dns_entry *next; /* in its bucket */
	mono_us expires_at;
	enum dns_type type;
	bool is_secure;
	size_t name_len;   /* the name lies behind the struct, */
	size_t packet_len; /* the message behind it; 0: a failure */
	const char *failure;
};

static struct slice
entry_name(const struct dns_entry *entry)
{
	return slice_of(entry + 1, entry->name_len);
}

static struct slice
entry_packet(const struct dns_entry *entry)
{
	return slice_of((const uint8_t *)(entry + 1) + entry->name_len, entry->packet_len);
}

static size_t
entry_bytes(const struct dns_entry *entry)
{
	return sizeof *entry + entry->name_len + entry->packet_len;
}

static size_t
bucket_of(const struct dns_client *client, struct slice name, enum dns_type type)
{
	uint8_t lowered[DNS_NAME_MAX + 2];
	size_t len = 0;

	for (; len < name.len && len < DNS_NAME_MAX; len++)
		lowered[len] = ascii_lower(name.ptr[len]);
	lowered[len++] = (uint8_t)type;
	return siphash(&client->key, slice_of(lowered, len)) % BUCKETS;
}

static struct dns_entry **
find_entry(struct dns_client *client, struct slice name, enum dns_type type)
{
	struct dns_entry **place = &client->buckets[bucket_of(client, name, type)];

	while (*place && ((*place)->type != type || !slice_equal_nocase(entry_name(*place), name)))
		place = &(*place)->next;
	return place;
}

static void
drop_entry(struct dns_client *client, struct dns_entry **place)
{
	struct dns_entry *entry = *place;

	*place = entry->next;
	list_remove(&entry->used);
	client->count--;
	client->bytes -= entry_bytes(entry);
	memory_put(client->env->memory, entry);
}

static void
drop_oldest(struct dns_client *client)
{
	struct dns_entry *oldest = list_entry(client->used.next, struct dns_entry, used);

	drop_entry(client, find_entry(client, entry_name(oldest), oldest->type));
}

static void
keep(struct dns_client *client, struct slice name, enum dns_type type, struct slice packet,
	bool is_secure, uint32_t ttl_s)
{
	size_t bytes = sizeof(struct dns_entry) + name.len + packet.len;
	struct dns_entry **place = find_entry(client, name, type);

	if (*place)
		drop_entry(client, place);
	if (ttl_s == 0 || bytes > DNS_CACHE_BYTES / 16)
		return;
	while (client->count > 0 &&
		(client->count >= DNS_CACHE_ENTRIES || client->bytes + bytes > DNS_CACHE_BYTES))
		drop_oldest(client);
	struct dns_entry *entry = memory_try(client->env->memory, bytes);
	if (!entry)
		return;
	*entry = (struct dns_entry){.type = type,
		.is_secure = is_secure,
		.name_len = name.len,
		.packet_len = packet.len,
		.expires_at = loop_deadline(client->env->loop,
			(int64_t)(ttl_s < DNS_CACHE_TTL_MAX ? ttl_s : DNS_CACHE_TTL_MAX) *
				US_PER_S)};
	/* UNSAFE: both lie behind the struct, in memory of this size. */
	memcpy(entry + 1, name.ptr ? name.ptr : (const uint8_t *)"", name.len);
	memcpy((uint8_t *)(entry + 1) + name.len, packet.ptr ? packet.ptr : (const uint8_t *)"",
		packet.len);
	place = find_entry(client, name, type);
	*place = entry;
	list_append(&client->used, &entry->used);
	client->count++;
	client->bytes += bytes;
}

static void
fail(struct dns_answer *ret_answer, const char *reason)
{
	*ret_answer = (struct dns_answer){.outcome = DNS_FAILED, .reason = reason};
}

/* The message as values; its number is the resolver's business. */
static void
parse(struct slice packet, bool is_secure, struct slice name, enum dns_type type,
	struct arena *arena, struct dns_answer *ret_answer)
{
	uint16_t id = packet.len >= 2 ? (uint16_t)(packet.ptr[0] << 8 | packet.ptr[1]) : 0;

	switch (dns_answer_parse(packet, id, name, type, arena, ret_answer)) {
	case OK:
		ret_answer->is_secure = is_secure;
		return;
	case ERROR_NO_MEMORY:
		fail(ret_answer, "the DNS answer is too large");
		return;
	default:
		fail(ret_answer, "the DNS answer is malformed");
	}
}

static bool
answer_from_cache(struct dns_client *client, struct slice name, enum dns_type type,
	struct arena *arena, struct dns_answer *ret_answer)
{
	struct dns_entry **place = find_entry(client, name, type);
	struct dns_entry *entry = *place;

	if (entry && entry->expires_at <= loop_now(client->env->loop)) {
		drop_entry(client, place);
		entry = NULL;
	}
	client->hits += entry != NULL;
	client->misses += entry == NULL;
	if (!entry)
		return false;
	list_remove(&entry->used);
	list_append(&client->used, &entry->used);
	if (entry->packet_len == 0)
		fail(ret_answer, "the DNS could not answer a moment ago");
	else
		parse(entry_packet(entry), entry->is_secure, name, type, arena, ret_answer);
	return true;
}

/* The reason lives in the arena, as the answer does. */
static void
take_failure(struct slice failure, struct arena *arena, struct dns_answer *ret_answer)
{
	char *text = arena_text(arena, failure);

	fail(ret_answer, text ? text : "the DNS servers gave no answer");
}

static void
take_answer(struct dns_client *client, const struct ipc_dns_answer *message, struct slice name,
	enum dns_type type, struct arena *arena, struct dns_answer *ret_answer)
{
	if (message->packet.len == 0)
		take_failure(message->failure, arena, ret_answer);
	else
		parse(message->packet, message->secure != 0, name, type, arena, ret_answer);
	if (ret_answer->outcome == DNS_FAILED)
		keep(client, name, type, (struct slice){0}, false, DNS_FAILURE_TTL);
	else
		keep(client, name, type, message->packet, message->secure != 0, ret_answer->ttl_s);
}

static const char *
reason_of(enum error error)
{
	return error == ERROR_TIMEOUT ? "no DNS server answered in time"
				      : "the resolver could not be asked";
}

static void
client_ask(void *arg, struct slice name, enum dns_type type, struct arena *arena, mono_us deadline,
	struct dns_answer *ret_answer)
{
	struct dns_client *client = arg;
	struct ipc_message question = {
		.kind = IPC_DNS_ASK, .dns_ask = {.name = name, .type = type}};
	struct call_answer answer;

	if (slice_has_suffix(name, SLICE(".")))
		name.len--;
	if (!dns_name_is_askable(name)) {
		*ret_answer = (struct dns_answer){.outcome = DNS_NO_NAME};
		return;
	}
	question.dns_ask.name = name;
	if (answer_from_cache(client, name, type, arena, ret_answer))
		return;
	enum error error = call_ask(&client->caller, &question, IPC_DNS_ANSWER, deadline, &answer);
	if (error == OK)
		take_answer(client, &answer.message.dns_answer, name, type, arena, ret_answer);
	else
		fail(ret_answer, reason_of(error));
	call_answer_done(&answer, client->env);
}

void
dns_client_init(struct dns_client *client, struct env *env, enum role self,
	const struct caller_ops *ops, void *arg)
{
	*client = (struct dns_client){.env = env};
	list_init(&client->used);
	client->buckets = memory_get(env->memory, BUCKETS * sizeof *client->buckets);
	env_random(env, &client->key, sizeof client->key);
	caller_init(&client->caller, env, self, ROLE_RESOLVER, QUESTIONS_MAX, ops, arg);
}

void
dns_client_done(struct dns_client *client)
{
	caller_done(&client->caller);
	while (client->count > 0)
		drop_oldest(client);
	memory_put(client->env->memory, client->buckets);
	client->buckets = NULL;
}

enum error
dns_client_connect(struct dns_client *client, int fd, uint32_t instance)
{
	return caller_connect(&client->caller, fd, instance);
}

struct dns_source
dns_client_source(struct dns_client *client)
{
	return (struct dns_source){client_ask, client};
}
