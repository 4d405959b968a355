/*
 * RCPT (RFC 5321 section 4.1.1.3): one recipient more, if it is one of ours. A recipient that was
 * named before is accepted again and stored once.
 *
 * Two addresses are the same if they reach the same place: domains without regard to case always,
 * local parts too where they are accounts of ours. What another system makes of the case of its
 * local parts is its own affair (RFC 5321 section 2.4).
 */
#include "smtp/server_private.h"

#define EXPANSION_BYTES_MAX (1u << 20) /* of one alias, while it is looked at */

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

/* Whether the transaction has this recipient, in another spelling perhaps. */
static bool
is_known(const struct smtp_server *server, const struct canonical *canonical, uint64_t sum)
{
	const struct smtp_recipients *recipients = &server->transaction->recipients;
	const struct envelope_recipient *recipient;
	uint32_t probes = 0;

	while ((recipient = smtp_recipients_next(recipients, sum, &probes)) != NULL) {
		struct address address;
		struct canonical other;
		if (address_parse(recipient->address, &address) != ADDRESS_OK)
			continue;
		canonical_init(server, &other, &address);
		if (slice_equal(buffer_slice(&other.text), buffer_slice(&canonical->text)))
			return true;
	}
	return false;
}

/* The encoded envelope has a maximum, so that the message can be stored at all. */
static bool
has_room(const struct smtp_server *server, struct slice mailbox)
{
	const struct smtp_recipients *recipients = &server->transaction->recipients;

	return recipients->count < server->settings->max_recipients &&
	       recipients->envelope_bytes + ENVELOPE_RECIPIENT_BYTES(mailbox.len) <=
		       server->settings->envelope_bytes_max;
}

static bool
add_recipient(struct smtp_server *server, struct slice mailbox, uint64_t sum)
{
	struct memory *memory = loop_env(server->stream->loop)->memory;
	struct slice copy;

	return arena_copy(&server->arena, mailbox, &copy) &&
	       smtp_recipients_add(&server->transaction->recipients, memory, sum, copy);
}

/* One target of an alias; it may be a recipient already. */
static bool
add_target(struct smtp_server *server, struct slice mailbox)
{
	struct canonical canonical;
	struct address address;

	if (address_parse(mailbox, &address) != ADDRESS_OK)
		return false;
	canonical_init(server, &canonical, &address);
	uint64_t sum = siphash(&server->settings->hash_key, buffer_slice(&canonical.text));
	return is_known(server, &canonical, sum) || add_recipient(server, mailbox, sum);
}

static bool
targets_fit(const struct smtp_server *server, const struct slice *targets, size_t count)
{
	const struct smtp_recipients *recipients = &server->transaction->recipients;
	uint64_t bytes = recipients->envelope_bytes;

	for (size_t i = 0; i < count; i++)
		bytes += ENVELOPE_RECIPIENT_BYTES(targets[i].len);
	return count <= server->settings->max_recipients - recipients->count &&
	       bytes <= server->settings->envelope_bytes_max;
}

/* The recipient, or all that its alias leads to: all of them or none. */
static struct smtp_reply
add_expanded(struct smtp_server *server, struct slice mailbox, const struct address *address,
	struct arena *arena)
{
	static const struct smtp_reply no_memory = {452, {4, 5, 3},
		SLICE_INIT("no memory for more recipients, send the rest in another transaction")};
	struct slice *targets;
	size_t count;
	bool added = true;

	enum error error =
		server->ops->expand(server->arg, address, mailbox, arena, &targets, &count);
	if (error == ERROR_NO_MEMORY)
		return no_memory;
	if (error != OK)
		return SMTP_REPLY(451, 4, 3, 5, "the alias of this address cannot be used now");
	if (!targets_fit(server, targets, count))
		return SMTP_REPLY(
			452, 4, 5, 3, "too many recipients, send the rest in another transaction");
	for (size_t i = 0; i < count && added; i++)
		added = add_target(server, targets[i]);
	return added ? SMTP_REPLY(250, 2, 1, 5, "recipient ok") : no_memory;
}

static void
refuse_recipient(struct smtp_server *server, const struct smtp_reply *reply)
{
	smtp_server_reply(server, reply);
	if (reply->code >= 500 && ++server->refusals >= server->settings->refusals_max)
		smtp_server_leave(server, SMTP_END_ERRORS,
			&SMTP_REPLY(421, 4, 7, 0, "too many unknown recipients, goodbye"));
}

static void
take_recipient(struct smtp_server *server, struct slice mailbox, const struct address *address)
{
	struct arena arena;
	struct canonical canonical;

	canonical_init(server, &canonical, address);
	uint64_t sum = siphash(&server->settings->hash_key, buffer_slice(&canonical.text));
	if (is_known(server, &canonical, sum)) {
		smtp_server_reply(server, &SMTP_REPLY(250, 2, 1, 5, "recipient ok"));
		return;
	}
	if (!has_room(server, mailbox)) {
		/* A client that names them all before it reads does nothing wrong. */
		if (server->excess_recipients < ENVELOPE_RECIPIENTS_MAX) {
			server->excess_recipients++;
			server->commands--;
		}
		smtp_server_reply(server,
			&SMTP_REPLY(452, 4, 5, 3,
				"too many recipients, send the rest in another transaction"));
		return;
	}
	mono_us deadline = smtp_server_deadline(server, server->settings->begin_timeout_us);
	struct smtp_reply reply =
		server->ops->check_recipient(server->arg, server, address, deadline);
	if (!smtp_reply_is_positive(&reply)) {
		refuse_recipient(server, &reply);
		return;
	}
	/* The transaction's own has room for the recipients once. */
	arena_init(&arena, loop_env(server->stream->loop)->memory, EXPANSION_BYTES_MAX);
	reply = add_expanded(server, mailbox, address, &arena);
	arena_done(&arena);
	smtp_server_reply(server, &reply);
}

/* <postmaster> as an address with a domain. */
static void
take_postmaster(struct smtp_server *server, struct slice local_part)
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
	if (address_parse(buffer_slice(&mailbox), &address) != ADDRESS_OK) {
		smtp_server_reply(
			server, &SMTP_REPLY(451, 4, 3, 5, "the postmaster's domain is malformed"));
		return;
	}
	take_recipient(server, buffer_slice(&mailbox), &address);
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
	if (is_own_postmaster(server, &command->address))
		take_postmaster(server, command->address.local_part);
	else if (command->address.domain.len == 0)
		take_postmaster(server, command->mailbox);
	else
		take_recipient(server, command->mailbox, &command->address);
}
