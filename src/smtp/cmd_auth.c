/*
 * AUTH (RFC 4954) with PLAIN (RFC 4616) and LOGIN, which old programs of people know alone; SCRAM
 * is cmd_scram.c's.
 *
 *   auth-command     = "AUTH" SP auth-type [SP initial-response] *(CRLF [base64])
 *                      [CRLF cancel-response]
 *   initial-response = base64 / "="
 *   cancel-response  = "*"
 *
 * A password lies in one place, the line that it came in: decoded there, asked about, and wiped
 * before anything else is read. No line of an exchange is logged. Each failure costs the client a
 * wait that doubles, so that guessing on one connection is slow.
 */
#include "smtp/auth_private.h"

#define FAILURES_MAX 3 /* then the connection ends */

void
smtp_auth_malformed(struct smtp_server *server)
{
	smtp_server_fault(server, &SMTP_REPLY(501, 5, 5, 2, "that is no response to AUTH"));
}

bool
smtp_auth_decode(struct smtp_server *server, struct slice line, struct slice *ret_response)
{
	if (sasl_decode(smtp_auth_octets(line), line.len, ret_response) == OK)
		return true;
	memory_wipe(smtp_auth_octets(line), line.len);
	smtp_auth_malformed(server);
	return false;
}

bool
smtp_auth_ask(struct smtp_server *server, struct slice challenge, struct slice *ret_response)
{
	struct line line;

	smtp_server_reply(server, &(struct smtp_reply){.code = 334, .text = challenge});
	smtp_server_flush(server);
	if (server->end != SMTP_END_NONE)
		return false;
	enum error error = line_read(server->reader, SASL_LINE_MAX,
		smtp_server_deadline(server, server->settings->command_timeout_us), &line);
	if (error != OK) {
		smtp_server_break_off(server, error);
		return false;
	}
	bool is_ended = line.ending == LINE_CRLF || server->settings->normalises_newlines;
	if (!line.too_long && is_ended && !slice_equal(line.text, SLICE("*")))
		return smtp_auth_decode(server, line.text, ret_response);
	memory_wipe(smtp_auth_octets(line.text), line.text.len);
	if (line.too_long)
		smtp_server_fault(server, &SMTP_REPLY(500, 5, 5, 6, "the line is too long"));
	else if (!is_ended)
		smtp_auth_malformed(server);
	else
		smtp_server_reply(server, &SMTP_REPLY(501, 5, 7, 0, "AUTH cancelled"));
	return false;
}

/* May wait. */
static void
deny(struct smtp_server *server)
{
	struct loop *loop = server->stream->loop;
	int64_t wait_us = server->settings->auth_wait_us << server->auth_failures++;

	if (wait_us > 0) {
		enum error error = task_sleep(loop, loop_deadline(loop, wait_us));
		if (error == ERROR_CANCELLED) {
			smtp_server_break_off(server, error);
			return;
		}
	}
	struct smtp_reply reply =
		SMTP_REPLY(535, 5, 7, 8, "this login does not have this password");
	if (server->auth_failures < FAILURES_MAX)
		smtp_server_reply(server, &reply);
	else
		smtp_server_leave(server, SMTP_END_ERRORS, &reply);
}

void
smtp_auth_conclude(struct smtp_server *server, enum error error)
{
	if (error == OK)
		smtp_server_reply(server, &SMTP_REPLY(235, 2, 7, 0, "you are known"));
	else if (error == ERROR_DENIED)
		deny(server);
	else if (error == ERROR_CANCELLED)
		smtp_server_break_off(server, error);
	else if (error == ERROR_LIMIT)
		smtp_server_reply(server,
			&SMTP_REPLY(454, 4, 7, 0, "too many failed logins, come back later"));
	else
		smtp_server_reply(server,
			&SMTP_REPLY(454, 4, 7, 0, "passwords can't be checked now, try later"));
}

/* May wait: for somebody who knows. */
static void
judge(struct smtp_server *server, struct slice login, struct slice password)
{
	enum error error = server->ops->authenticate(
		server->arg, server, login, secret_of(password), smtp_auth_deadline(server));

	memory_wipe(smtp_auth_octets(password), password.len);
	smtp_auth_conclude(server, error);
}

/* May wait. Nobody acts for another here. */
static void
plain(struct smtp_server *server, struct slice initial, bool has_initial)
{
	struct slice message;
	struct sasl_plain parts;

	if (!(has_initial ? smtp_auth_decode(server, initial, &message)
			  : smtp_auth_ask(server, SLICE(""), &message)))
		return;
	if (sasl_plain_parse(message, &parts) != OK)
		smtp_auth_malformed(server);
	else if (parts.authorization.len > 0 &&
		 !slice_equal_nocase(parts.authorization, parts.login))
		smtp_server_reply(server,
			&SMTP_REPLY(535, 5, 7, 8, "nobody may log in on behalf of another"));
	else
		judge(server, parts.login, secret_reveal(parts.password));
	memory_wipe(smtp_auth_octets(message), message.len);
}

/* May wait: "Username:" and "Password:", as draft-murchison-sasl-login has them. */
static void
login(struct smtp_server *server, struct slice initial, bool has_initial)
{
	uint8_t name[SASL_LOGIN_MAX];
	struct slice response;

	if (!(has_initial ? smtp_auth_decode(server, initial, &response)
			  : smtp_auth_ask(server, SLICE("VXNlcm5hbWU6"), &response)))
		return;
	if (response.len == 0 || response.len > sizeof name) {
		smtp_auth_malformed(server);
		return;
	}
	size_t len = response.len;
	memcpy(name, response.ptr, len);
	if (!smtp_auth_ask(server, SLICE("UGFzc3dvcmQ6"), &response))
		return;
	if (response.len == 0 || response.len > SASL_PASSWORD_MAX ||
		slice_find(response, 0, 0) >= 0) {
		memory_wipe(smtp_auth_octets(response), response.len);
		smtp_auth_malformed(server);
		return;
	}
	judge(server, slice_of(name, len), response);
}

/* Why nobody may say AUTH here and now; code 0: he may. */
static struct smtp_reply
refusal(const struct smtp_server *server)
{
	if (!(server->settings->extensions & SMTP_EXTENSION_AUTH))
		return SMTP_REPLY(502, 5, 5, 1, "command not implemented");
	if (server->login.len > 0)
		return SMTP_REPLY(503, 5, 5, 1, "you are known already");
	if (server->tls.len == 0)
		return SMTP_REPLY(538, 5, 7, 11, "say STARTTLS first: passwords go under TLS");
	return (struct smtp_reply){.code = 0};
}

void
smtp_cmd_auth(struct smtp_server *server, const struct smtp_command *command)
{
	static const struct {
		struct slice name;
		void (*run)(struct smtp_server *server, struct slice initial, bool has_initial);
	} mechanisms[] = {{SLICE_INIT("PLAIN"), plain}, {SLICE_INIT("LOGIN"), login},
		{SLICE_INIT("SCRAM-SHA-256"), smtp_auth_scram},
		{SLICE_INIT("SCRAM-SHA-256-PLUS"), smtp_auth_scram_plus}};
	struct smtp_reply reply = refusal(server);
	ssize_t space = slice_find(command->argument, 0, ' ');
	struct slice name =
		space < 0 ? command->argument : slice_sub(command->argument, 0, (size_t)space);
	struct slice initial =
		space < 0 ? SLICE("") : slice_from(command->argument, (size_t)space + 1);

	if (reply.code != 0) {
		memory_wipe(smtp_auth_octets(initial), initial.len);
		smtp_server_fault(server, &reply);
		return;
	}
	/* RFC 4954 section 4: "=" is an initial response without octets. */
	bool is_empty = slice_equal(initial, SLICE("="));
	for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
		if (slice_equal_nocase(mechanisms[i].name, name)) {
			mechanisms[i].run(server, is_empty ? SLICE("") : initial, space >= 0);
			return;
		}
	memory_wipe(smtp_auth_octets(initial), initial.len);
	smtp_server_fault(server, &SMTP_REPLY(504, 5, 5, 4, "this mechanism is not known here"));
}
