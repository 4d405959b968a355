/*
 * XCLIENT, as Postfix defines it: a proxy that has spoken SMTP with a client says who that is.
 * Taken from listed networks alone; afterwards the session begins anew, with a greeting, as if the
 * client had come itself.
 *
 *   xclient   = "XCLIENT" 1*( SP attribute "=" xtext )
 *   attribute = "NAME" / "ADDR" / "PORT"
 */
#include "smtp/server_private.h"

#include "text/dsn_request.h"

#define VALUE_MAX 255

struct claim {
	char address[VALUE_MAX], name[VALUE_MAX];
	struct buffer address_text, name_text;
	uint64_t port;
};

/* "[UNAVAILABLE]" and "[TEMPUNAVAIL]" stand for what the proxy does not know. */
static bool
take_text(struct slice value, struct buffer *text)
{
	buffer_clear(text);
	if (!xtext_is_valid(value) || value.len == 0)
		return false;
	if (value.ptr[0] != '[')
		xtext_append_decoded(text, value);
	return buffer_error(text) == OK;
}

static bool
take_attribute(struct slice word, struct claim *claim)
{
	ssize_t equals = slice_find(word, 0, '=');
	struct slice name = slice_sub(word, 0, equals < 0 ? 0 : (size_t)equals);
	struct slice value = slice_from(word, name.len + 1);

	if (slice_equal_nocase(name, SLICE("ADDR")))
		return take_text(value, &claim->address_text);
	if (slice_equal_nocase(name, SLICE("NAME")))
		return take_text(value, &claim->name_text);
	if (slice_equal_nocase(name, SLICE("PORT")))
		return slice_has_prefix(value, SLICE("[")) ||
		       slice_number(value, UINT16_MAX, &claim->port);
	return false;
}

static bool
take_attributes(struct slice text, struct claim *claim)
{
	while (text.len > 0) {
		ssize_t space = slice_find(text, 0, ' ');
		struct slice word = space < 0 ? text : slice_sub(text, 0, (size_t)space);
		if (word.len > 0 && !take_attribute(word, claim))
			return false;
		text = slice_from(text, word.len + 1);
	}
	return true;
}

void
smtp_cmd_xclient(struct smtp_server *server, const struct smtp_command *command)
{
	struct claim claim = {.port = 0};

	buffer_init_fixed(&claim.address_text, claim.address, sizeof claim.address);
	buffer_init_fixed(&claim.name_text, claim.name, sizeof claim.name);
	if (!server->takes_xclient) {
		smtp_server_fault(server, &SMTP_REPLY(550, 5, 7, 1, "XCLIENT is not for you"));
		return;
	}
	if (!take_attributes(command->argument, &claim)) {
		smtp_server_fault(server,
			&SMTP_REPLY(501, 5, 5, 4, "XCLIENT takes ADDR, NAME and PORT, in xtext"));
		return;
	}
	struct smtp_reply refusal =
		server->ops->set_client(server->arg, buffer_slice(&claim.address_text),
			(uint16_t)claim.port, buffer_slice(&claim.name_text));
	if (refusal.code == 501) {
		smtp_server_fault(server, &refusal);
		return;
	}
	if (refusal.code != 0) {
		smtp_server_leave(server, SMTP_END_ERRORS, &refusal);
		return;
	}
	smtp_server_forget(server);
	smtp_server_greet(server);
}
