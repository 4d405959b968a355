/* What `veredus send` says at the end, for people or for programs, and its exit code. */
#include "cmd/send.h"
#include "cmd/tool.h"
#include "base/log_record.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

enum outcome {
	OUTCOME_ACCEPTED,
	OUTCOME_DELAYED, /* refused for now */
	OUTCOME_REFUSED, /* refused for good */
	OUTCOME_FAILED,  /* no reply: nothing was sent for this recipient */
	OUTCOME_UNKNOWN, /* no reply to the whole message: it may have been taken */
};

static const char *const outcome_words[] = {
	[OUTCOME_ACCEPTED] = "accepted",
	[OUTCOME_DELAYED] = "delayed",
	[OUTCOME_REFUSED] = "refused",
	[OUTCOME_FAILED] = "failed",
	[OUTCOME_UNKNOWN] = "unknown",
};

/* For programs; people get smtp_client_stage_text. */
static const char *const stage_words[SMTP_STAGES] = {
	[SMTP_STAGE_BANNER] = "banner",
	[SMTP_STAGE_HELLO] = "ehlo",
	[SMTP_STAGE_TLS] = "starttls",
	[SMTP_STAGE_AUTH] = "auth",
	[SMTP_STAGE_RESET] = "rset",
	[SMTP_STAGE_MAIL] = "mail",
	[SMTP_STAGE_RCPT] = "rcpt",
	[SMTP_STAGE_DATA] = "data",
	[SMTP_STAGE_CONTENT] = "content",
	[SMTP_STAGE_FINAL] = "final",
	[SMTP_STAGE_QUIT] = "quit",
};

static enum outcome
outcome_of(const struct send *send, const struct smtp_client_recipient *recipient)
{
	switch (recipient->reply.code / 100) {
	case 2:
		return OUTCOME_ACCEPTED;
	case 4:
		return OUTCOME_DELAYED;
	case 5:
		return OUTCOME_REFUSED;
	default:
		return send->stage == SMTP_STAGE_FINAL ? OUTCOME_UNKNOWN : OUTCOME_FAILED;
	}
}

/* On one line: what the server wrote on several stands behind each other. */
static void
append_reply(struct buffer *line, const struct smtp_client_recipient *recipient)
{
	const struct smtp_reply *reply = &recipient->reply;

	buffer_append_number(line, reply->code);
	if (recipient->is_ours)
		buffer_printf(line, " %u.%u.%u", reply->enhanced[0], reply->enhanced[1],
			reply->enhanced[2]);
	if (reply->text.len > 0)
		buffer_append_octet(line, ' ');
	for (size_t i = 0; i < reply->text.len; i++) {
		struct slice octet = slice_sub(reply->text, i, 1);
		tool_append_harmless(line, octet.ptr[0] == '\n' ? SLICE(" ") : octet);
	}
	if (recipient->is_ours)
		buffer_append_text(line, " (by its reply to EHLO)");
	else if (reply->code >= 400)
		buffer_printf(line, " (reply to %s)", smtp_client_stage_text(recipient->stage));
}

static void
append_line(
	const struct send *send, const struct smtp_client_recipient *recipient, struct buffer *line)
{
	enum outcome outcome = outcome_of(send, recipient);

	tool_append_harmless(line, recipient->address);
	buffer_append_text(line, ": ");
	buffer_append_text(
		line, outcome == OUTCOME_DELAYED ? "refused for now" : outcome_words[outcome]);
	buffer_append_text(line, ": ");
	if (recipient->reply.code > 0)
		append_reply(line, recipient);
	else if (outcome == OUTCOME_UNKNOWN)
		buffer_append_text(line, "the server has it all but did not answer; it may arrive");
	else
		buffer_append_text(line, "not sent");
}

/* An object a recipient. What is not known is null. */
static void
append_json(
	const struct send *send, const struct smtp_client_recipient *recipient, struct buffer *line)
{
	const struct smtp_reply *reply = &recipient->reply;

	buffer_append_text(line, "{\"recipient\":");
	json_append_string(line, recipient->address);
	buffer_printf(line, ",\"outcome\":\"%s\",", outcome_words[outcome_of(send, recipient)]);
	if (reply->code == 0) {
		buffer_printf(line,
			"\"stage\":\"%s\",\"code\":null,\"enhanced\":null,\"text\":null}",
			send->is_connected ? stage_words[send->stage] : "connect");
		return;
	}
	buffer_printf(line,
		"\"stage\":\"%s\",\"code\":%u,\"enhanced\":", stage_words[recipient->stage],
		reply->code);
	if (reply->enhanced[0] > 0)
		buffer_printf(line, "\"%u.%u.%u\"", reply->enhanced[0], reply->enhanced[1],
			reply->enhanced[2]);
	else
		buffer_append_text(line, "null");
	buffer_append_text(line, ",\"text\":");
	json_append_string(line, reply->text);
	buffer_append_octet(line, '}');
}

static void
print_recipients(const struct send *send)
{
	struct buffer line;

	buffer_init(&line, send->env.memory, TOOL_LINE_MAX);
	for (size_t i = 0; i < send->count; i++) {
		buffer_clear(&line);
		if (send->is_json)
			append_json(send, &send->recipients[i], &line);
		else
			append_line(send, &send->recipients[i], &line);
		tool_print(buffer_slice(&line));
	}
	buffer_done(&line);
}

static const char *
connect_advice(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "connection refused; is a server running there?";
	case ENOENT:
		return "there is no such socket; is a server running?";
	case ENETUNREACH:
	case EHOSTUNREACH:
		return "no route to it; is the address right?";
	case ETIMEDOUT:
		return "no answer; is the address right, or does a firewall drop the packets?";
	case EACCES:
	case EPERM:
		return "not permitted; may this user connect there?";
	case EADDRNOTAVAIL:
	case EINVAL:
		return "nothing can be connected to at that address; is the port right?";
	default:
		return strerror(error);
	}
}

/* Why the session broke off, and what to do. */
static int
explain_error(const struct send *send)
{
	const char *where = smtp_client_stage_text(send->stage);

	if (!send->is_connected)
		return tool_fail(SEND_NAME, EX_UNAVAILABLE, "could not connect to %s: %s",
			send->server, connect_advice(send->connect_errno));
	if (send->is_our_fault || send->error == ERROR_NO_MEMORY)
		return tool_fail(SEND_NAME, EX_OSERR, "the message can't be made: %s",
			error_text(send->error));
	if (send->tls_fault)
		return tool_fail(SEND_NAME, EX_UNAVAILABLE, "no TLS with %s: %s", send->server,
			send->tls_fault);
	if (send->login_fault)
		return tool_fail(SEND_NAME, EX_UNAVAILABLE, "no login at %s: %s", send->server,
			send->login_fault);
	if (send->error == ERROR_FORMAT || send->error == ERROR_LIMIT)
		return tool_fail(SEND_NAME, EX_PROTOCOL,
			"%s does not speak SMTP (at %s); is it the right port? -v shows what it "
			"says",
			send->server, where);
	if (send->error == ERROR_TIMEOUT)
		return tool_fail(SEND_NAME, EX_UNAVAILABLE, "%s did not answer in time (at %s)",
			send->server, where);
	return tool_fail(SEND_NAME, EX_UNAVAILABLE,
		"the connection to %s was lost (at %s): %s; -v shows the dialogue", send->server,
		where, error_text(send->error));
}

int
send_report(const struct send *send)
{
	bool is_refused = false, is_delayed = false;

	if (send->is_connected || send->is_json)
		print_recipients(send);
	if (!send->is_connected || send->error != OK)
		return tool_finish(SEND_NAME, explain_error(send));
	for (size_t i = 0; i < send->count; i++) {
		is_refused |= outcome_of(send, &send->recipients[i]) == OUTCOME_REFUSED;
		is_delayed |= outcome_of(send, &send->recipients[i]) == OUTCOME_DELAYED;
	}
	return tool_finish(SEND_NAME, is_refused ? EX_NOPERM : is_delayed ? EX_TEMPFAIL : EX_OK);
}
