/*
 * RCPT (RFC 5321 section 4.1.1.3): one recipient more, if it is one of ours. A recipient that was
 * named before is accepted again and stored once.
 */
#include "smtp/server_private.h"

#include "base/hash.h"

#define FIRST_CAPACITY 8

struct canonical {
	struct buffer text;
	uint8_t bytes[ADDRESS_MAX];
};

static void
canonical_init(struct canonical *canonical, const struct address *address)
{
	buffer_init_fixed(&canonical->text, canonical->bytes, sizeof canonical->bytes);
	address_append_canonical(&canonical->text, address);
}

/* Whether the transaction has this recipient, in another spelling perhaps. */
static bool
is_known(
	const struct smtp_transaction *transaction, const struct canonical *canonical, uint32_t sum)
{
	for (uint32_t i = 0; i < transaction->recipient_count; i++) {
		struct address address;
		struct canonical other;
		if (transaction->sums[i] != sum)
			continue;
		if (address_parse(transaction->recipients[i].address, &address) != ADDRESS_OK)
			continue;
		canonical_init(&other, &address);
		if (slice_equal(buffer_slice(&other.text), buffer_slice(&canonical->text)))
			return true;
	}
	return false;
}

/* Room for one recipient more; the arena keeps the smaller tables until the transaction's end,
 * which at most doubles their memory. */
static bool
grow(struct smtp_transaction *transaction, struct arena *arena)
{
	if (transaction->recipient_count < transaction->recipient_capacity)
		return true;
	uint32_t capacity = transaction->recipient_capacity ? transaction->recipient_capacity * 2
							    : FIRST_CAPACITY;
	struct envelope_recipient *recipients = arena_take(arena, capacity * sizeof *recipients);
	uint32_t *sums = arena_take(arena, capacity * sizeof *sums);
	if (!recipients || !sums)
		return false;
	if (transaction->recipient_count > 0) {
		memcpy(recipients, transaction->recipients,
			transaction->recipient_count * sizeof *recipients);
		memcpy(sums, transaction->sums, transaction->recipient_count * sizeof *sums);
	}
	transaction->recipients = recipients;
	transaction->sums = sums;
	transaction->recipient_capacity = capacity;
	return true;
}

static bool
add_recipient(struct smtp_server *server, struct slice mailbox, uint32_t sum)
{
	struct smtp_transaction *transaction = server->transaction;
	struct slice copy;

	if (!grow(transaction, &server->arena) || !arena_copy(&server->arena, mailbox, &copy))
		return false;
	transaction->recipients[transaction->recipient_count] =
		(struct envelope_recipient){.address = copy};
	transaction->sums[transaction->recipient_count] = sum;
	transaction->recipient_count++;
	return true;
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
	struct canonical canonical;

	canonical_init(&canonical, address);
	uint32_t sum = crc32c(0, buffer_slice(&canonical.text));
	if (is_known(server->transaction, &canonical, sum)) {
		smtp_server_reply(server, &SMTP_REPLY(250, 2, 1, 5, "recipient ok"));
		return;
	}
	if (server->transaction->recipient_count >= server->settings->max_recipients) {
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
	if (!add_recipient(server, mailbox, sum))
		reply = SMTP_REPLY(452, 4, 5, 3,
			"no memory for more recipients, send the rest in another transaction");
	smtp_server_reply(server, &reply);
}

/* <postmaster> as an address with a domain. */
static void
take_postmaster(struct smtp_server *server, struct slice local_part)
{
	const struct smtp_server_settings *settings = server->settings;
	char storage[ADDRESS_MAX];
	struct buffer mailbox;
	struct address address;

	buffer_init_fixed(&mailbox, storage, sizeof storage);
	buffer_append(&mailbox, local_part);
	buffer_append_octet(&mailbox, '@');
	buffer_append(&mailbox, settings->postmaster_domain.len > 0 ? settings->postmaster_domain
								    : settings->hostname);
	if (address_parse(buffer_slice(&mailbox), &address) != ADDRESS_OK) {
		smtp_server_reply(
			server, &SMTP_REPLY(451, 4, 3, 5, "there is no domain for the postmaster"));
		return;
	}
	take_recipient(server, buffer_slice(&mailbox), &address);
}

void
smtp_cmd_rcpt(struct smtp_server *server, const struct smtp_command *command)
{
	if (command->address.domain.len == 0)
		take_postmaster(server, command->mailbox);
	else
		take_recipient(server, command->mailbox, &command->address);
}
