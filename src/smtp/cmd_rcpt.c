/*
 * RCPT (RFC 5321 section 4.1.1.3): one recipient more, if it is one of ours, with NOTIFY and ORCPT
 * (RFC 3461). A recipient that was named before is accepted again and stored once, with what was
 * asked for either time.
 *
 * Two addresses are the same if they reach the same place: domains without regard to case always,
 * local parts too where they are accounts of ours. What another system makes of the case of its
 * local parts is its own affair (RFC 5321 section 2.4).
 */
#include "smtp/server_private.h"

#define EXPANSION_BYTES_MAX (1u << 20) /* of one alias, while it is looked at */

static const struct smtp_reply no_memory = {452, {4, 5, 3},
	SLICE_INIT("no memory for more recipients, send the rest in another transaction")};

/* A recipient as it is asked for. */
struct asked {
	struct slice address;
	struct envelope_wish wish;
};

struct canonical {
	struct buffer text;
	uint8_t bytes[ADDRESS_MAX];
};

static void
canonical_init(const struct smtp_server *server, struct canonical *canonical,
	const struct address *address)
{
	buffer_init_fixed(&canonical->text, canonical->bytes, sizeof canonical->bytes);
	address_append_canonical(&canonical->text, address);
	if (!server->ops->is_account(server->arg, address))
		return;
	for (size_t i = 0; i < canonical->text.len; i++)
		canonical->bytes[i] = ascii_lower(canonical->bytes[i]);
}

/* The transaction's recipient that is this one, in another spelling perhaps; NULL: there is none.
 */
static const struct envelope_recipient *
find_known(const struct smtp_server *server, const struct canonical *canonical, uint64_t sum)
{
	const struct smtp_recipients *recipients = &server->transaction->recipients;
	const struct envelope_recipient *recipient;
	uint32_t probes = 0;

	while ((recipient = smtp_recipients_next(recipients, sum, &probes)) != NULL) {
		struct address address;
		struct canonical other;
		if (smtp_recipients_wish(recipients, recipient).is_expanded ||
			address_parse_international(recipient->address, &address) != ADDRESS_OK)
			continue;
		canonical_init(server, &other, &address);
		if (slice_equal(buffer_slice(&other.text), buffer_slice(&canonical->text)))
			return recipient;
	}
	return NULL;
}

static uint64_t
bytes_of(const struct asked *asked)
{
	bool has_wish =
		asked->wish.notify != 0 || asked->wish.original.len > 0 || asked->wish.is_target;

	return ENVELOPE_RECIPIENT_BYTES(asked->address.len) +
	       (has_wish ? ENVELOPE_WISH_BYTES(asked->wish.original.len) : 0) +
	       (asked->wish.is_forwarded ? ENVELOPE_FORWARD_BYTES : 0);
}

/* The encoded envelope has a maximum, so that the message can be stored at all. */
static bool
has_room(const struct smtp_server *server, const struct asked *asked)
{
	const struct smtp_recipients *recipients = &server->transaction->recipients;

	return recipients->count < server->settings->max_recipients &&
	       recipients->envelope_bytes + bytes_of(asked) <= server->settings->envelope_bytes_max;
}

/* Its ORCPT holds as long as the transaction, the address need not. */
static bool
add_recipient(struct smtp_server *server, const struct asked *asked, uint64_t sum)
{
	struct memory *memory = loop_env(server->stream->loop)->memory;
	struct slice address;

	return arena_copy(&server->arena, asked->address, &address) &&
	       smtp_recipients_add(
		       &server->transaction->recipients, memory, sum, address, &asked->wish);
}

static bool
join_recipient(struct smtp_server *server, const struct envelope_recipient *known, uint32_t notify)
{
	return smtp_recipients_join(&server->transaction->recipients,
		loop_env(server->stream->loop)->memory, known, notify);
}

static bool
leads_abroad(const struct smtp_server *server, const struct address *address)
{
	return server->ops->leads_abroad && server->ops->leads_abroad(server->arg, address);
}

/* One target of an alias (is_forwarded: perhaps), or the address itself; it may be a recipient
 * already. */
static bool
add_target(struct smtp_server *server, const struct asked *asked)
{
	struct asked target = *asked;
	struct canonical canonical;
	struct address address;

	if (address_parse_international(target.address, &address) != ADDRESS_OK)
		return false;
	canonical_init(server, &canonical, &address);
	uint64_t sum = siphash(&server->settings->hash_key, buffer_slice(&canonical.text));
	const struct envelope_recipient *known = find_known(server, &canonical, sum);
	if (known)
		return join_recipient(server, known, target.wish.notify);
	if (target.wish.is_forwarded)
		target.wish.is_forwarded = leads_abroad(server, &address);
	server->forwards |= target.wish.is_forwarded;
	return add_recipient(server, &target, sum);
}

static bool
targets_fit(const struct smtp_server *server, const struct asked *like, const struct slice *targets,
	size_t count)
{
	const struct smtp_recipients *recipients = &server->transaction->recipients;
	struct asked target = *like;
	/* An address that is expanded may be a recipient of its own. */
	uint64_t bytes = recipients->envelope_bytes + (count > 1 ? bytes_of(like) : 0);

	for (size_t i = 0; i < count; i++) {
		target.address = targets[i];
		bytes += bytes_of(&target);
	}
	return count + (count > 1) <= server->settings->max_recipients - recipients->count &&
	       bytes <= server->settings->envelope_bytes_max;
}

/* The sender knows this address, not those that it leads to (RFC 3461 section 5.2.7). Without room
 * for it, it is left out. */
static void
make_original(struct arena *arena, struct asked *asked)
{
	uint8_t storage[DSN_ORIGINAL_MAX];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	dsn_original_append(&text, asked->address);
	if (buffer_error(&text) != OK ||
		!arena_copy(arena, buffer_slice(&text), &asked->wish.original))
		asked->wish.original = SLICE("");
}

/*
 * RFC 3461 section 5.2.7: one target has the same wishes as the address; with several, that it was
 * expanded is all the success that its sender hears of.
 */
static bool
add_targets(struct smtp_server *server, const struct asked *asked, const struct slice *targets,
	size_t count)
{
	struct asked target = *asked;
	bool added = true;

	if (count > 1 && (asked->wish.notify & DSN_NOTIFY_SUCCESS)) {
		struct asked expanded = *asked;
		expanded.wish.is_forwarded = false;
		expanded.wish.is_target = false;
		expanded.wish.is_expanded = true;
		expanded.wish.notify = DSN_NOTIFY_SUCCESS;
		added = add_recipient(server, &expanded, 0);
	}
	if (count > 1)
		target.wish.notify = (uint8_t)dsn_notify_without_success(asked->wish.notify);
	for (size_t i = 0; i < count && added; i++) {
		target.address = targets[i];
		added = add_target(server, &target);
	}
	return added;
}

/* The recipient, or all that its alias leads to: all of them or none. */
static struct smtp_reply
add_expanded(struct smtp_server *server, struct asked *asked, const struct address *address,
	struct arena *arena)
{
	struct slice *targets;
	size_t count;

	enum error error =
		server->ops->expand(server->arg, address, asked->address, arena, &targets, &count);
	if (error == ERROR_NO_MEMORY)
		return no_memory;
	if (error != OK)
		return SMTP_REPLY(451, 4, 3, 5, "the alias of this address cannot be used now");
	bool is_alias = count > 1 || !slice_equal(targets[0], asked->address);
	asked->wish.is_forwarded = is_alias;
	asked->wish.is_target = is_alias;
	if (!targets_fit(server, asked, targets, count))
		return SMTP_REPLY(
			452, 4, 5, 3, "too many recipients, send the rest in another transaction");
	if (is_alias && asked->wish.original.len == 0)
		make_original(&server->arena, asked);
	return add_targets(server, asked, targets, count) ? SMTP_REPLY(250, 2, 1, 5, "recipient ok")
							  : no_memory;
}

static void
refuse_recipient(struct smtp_server *server, const struct smtp_reply *reply)
{
	smtp_server_reply(server, reply);
	if (reply->code >= 500 && ++server->refusals >= server->settings->refusals_max)
		smtp_server_leave(server, SMTP_END_ERRORS,
			&SMTP_REPLY(421, 4, 7, 0, "too many unknown recipients, goodbye"));
}

/* A client that names more than one transaction takes before it reads does nothing wrong. */
static void
put_off(struct smtp_server *server)
{
	if (server->excess_recipients < ENVELOPE_RECIPIENTS_MAX) {
		server->excess_recipients++;
		server->commands--;
	}
	smtp_server_reply(
		server, &SMTP_REPLY(452, 4, 5, 3,
				"too many recipients, send the rest in another transaction"));
}

/* What it asks for is kept with the transaction, its address as long as this lasts. */
static struct smtp_reply
add_asked(struct smtp_server *server, struct asked *asked, const struct address *address)
{
	struct arena arena;

	if (!arena_copy(&server->arena, asked->wish.original, &asked->wish.original))
		return SMTP_REPLY(452, 4, 3, 1, "out of memory, try later");
	/* The transaction's own has room for the recipients once. */
	arena_init(&arena, loop_env(server->stream->loop)->memory, EXPANSION_BYTES_MAX);
	struct smtp_reply reply = add_expanded(server, asked, address, &arena);
	arena_done(&arena);
	return reply;
}

static void
reply_to_recipient(struct smtp_server *server, const struct smtp_reply *reply)
{
	server->transaction->accepted += smtp_reply_is_positive(reply);
	smtp_server_reply(server, reply);
}

static void
take_recipient(struct smtp_server *server, struct asked *asked, const struct address *address)
{
	struct canonical canonical;

	canonical_init(server, &canonical, address);
	uint64_t sum = siphash(&server->settings->hash_key, buffer_slice(&canonical.text));
	const struct envelope_recipient *known = find_known(server, &canonical, sum);
	if (known) {
		reply_to_recipient(server, join_recipient(server, known, asked->wish.notify)
						   ? &SMTP_REPLY(250, 2, 1, 5, "recipient ok")
						   : &no_memory);
		return;
	}
	if (!has_room(server, asked)) {
		put_off(server);
		return;
	}
	mono_us deadline = smtp_server_deadline(server, server->settings->begin_timeout_us);
	struct smtp_reply reply =
		server->ops->check_recipient(server->arg, server, address, deadline);
	if (!smtp_reply_is_positive(&reply)) {
		refuse_recipient(server, &reply);
		return;
	}
	reply = add_asked(server, asked, address);
	reply_to_recipient(server, &reply);
}

/* <postmaster> as an address with a domain. */
static void
take_postmaster(struct smtp_server *server, struct asked *asked, struct slice local_part)
{
	struct slice domain = server->settings->postmaster_domain;
	char storage[ADDRESS_MAX];
	struct buffer mailbox;
	struct address address;

	if (domain.len == 0) {
		refuse_recipient(server,
			&SMTP_REPLY(550, 5, 1, 1,
				"this server has no domain of its own, so nobody here is its "
				"postmaster"));
		return;
	}
	buffer_init_fixed(&mailbox, storage, sizeof storage);
	buffer_append(&mailbox, local_part);
	buffer_append_octet(&mailbox, '@');
	buffer_append(&mailbox, domain);
	if (address_parse_international(buffer_slice(&mailbox), &address) != ADDRESS_OK) {
		smtp_server_reply(
			server, &SMTP_REPLY(451, 4, 3, 5, "the postmaster's domain is malformed"));
		return;
	}
	asked->address = buffer_slice(&mailbox);
	take_recipient(server, asked, &address);
}

/* <postmaster@HOSTNAME> reaches somebody also where the hostname has no mailboxes of its own (RFC
 * 5321 section 4.5.1). */
static bool
is_own_postmaster(const struct smtp_server *server, const struct address *address)
{
	return slice_equal_nocase(address->local_part, SLICE("postmaster")) &&
	       slice_equal_nocase(address->domain, server->settings->hostname) &&
	       !server->ops->is_account(server->arg, address);
}

void
smtp_cmd_rcpt(struct smtp_server *server, const struct smtp_command *command)
{
	struct asked asked = {.address = command->mailbox,
		.wish = {.notify = (uint8_t)command->notify, .original = command->original}};

	if (command->address.is_international && !server->transaction->is_smtputf8)
		refuse_recipient(
			server, &SMTP_REPLY(553, 5, 6, 7,
					"an address beyond ASCII needs SMTPUTF8 behind MAIL"));
	else if (is_own_postmaster(server, &command->address))
		take_postmaster(server, &asked, command->address.local_part);
	else if (command->address.domain.len == 0)
		take_postmaster(server, &asked, command->mailbox);
	else
		take_recipient(server, &asked, &command->address);
}
