/* AUTH in whole dialogues: who is known, who is not, who cannot be judged, and what stands in the
 * log of it. alice@here.test has the password "secret". */
#include "smtp_dialogue.h"

#define ALICE  "AGFsaWNlQGhlcmUudGVzdABzZWNyZXQ=" /* NUL alice@here.test NUL secret */
#define WRONG  "AGFsaWNlQGhlcmUudGVzdAB3cm9uZw=="
#define BROKEN "AGJyb2tlbkBoZXJlLnRlc3QAc2VjcmV0" /* broken@here.test */
#define KNOWN  S("235 2.7.0 you are known\r\n")
#define DENIED S("535 5.7.8 this login does not have this password\r\n")
#define EHLO                                                                                   \
	BANNER, C("EHLO c.test\r\n"),                                                          \
		S("250-mx.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n"     \
		  "250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250-" \
		  "LIMITS RCPTMAX=1000\r\n250-"                                                \
		  "AUTH PLAIN "                                                                \
		  "LOGIN\r\n250 HELP\r\n")
#define MALFORMED S("501 5.5.2 that is no response to AUTH\r\n")

static void
connected_with_tls(void *arg, const struct smtp_server *server)
{
	struct dialogue *dialogue = arg;

	(void)server;
	dialogue->connected++;
	dialogue->server.tls = SLICE("TLSv1.3 TLS_AES_256_GCM_SHA384");
}

static enum error
authenticate(void *arg, struct smtp_server *server, struct slice login, struct secret password,
	mono_us deadline)
{
	(void)arg;
	ck_assert(deadline != MONO_NEVER);
	if (slice_has_prefix(login, SLICE("broken")))
		return ERROR_TIMEOUT;
	if (!slice_equal(login, SLICE("alice@here.test")) ||
		!slice_equal(secret_reveal(password), SLICE("secret")))
		return ERROR_DENIED;
	server->login = SLICE("alice@here.test");
	return OK;
}

static bool
may_send_as(void *arg, const struct smtp_server *server, struct slice sender)
{
	(void)arg;
	return slice_equal(server->login, sender);
}

static void
play(const struct step *steps, bool has_tls, uint32_t messages)
{
	static const size_t pieces[] = {0, 1, 7};
	struct smtp_server_ops ops = dialogue_ops;

	ops.authenticate = authenticate;
	ops.may_send_as = may_send_as;
	if (has_tls)
		ops.connected = connected_with_tls;
	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue.piece = pieces[i];
		dialogue.ops = &ops;
		dialogue.settings.extensions |= SMTP_EXTENSION_AUTH;
		dialogue.settings.needs_login = true;
		dialogue.settings.auth_wait_us = 0;
		dialogue_run(&dialogue, steps);
		ck_assert_uint_eq(dialogue.received, messages);
		dialogue_done(&dialogue);
	}
}

START_TEST(who_is_known_sends)
{
	static const struct step steps[] = {EHLO, C("MAIL FROM:<alice@here.test>\r\n"),
		S("530 5.7.0 log in first\r\n"), C("AUTH PLAIN " ALICE "\r\n"), KNOWN,
		C("AUTH PLAIN " ALICE "\r\n"), S("503 5.5.1 you are known already\r\n"),
		C("MAIL FROM:<bob@here.test>\r\n"), S("553 5.7.1 this sender is not yours\r\n"),
		C("MAIL FROM:<alice@here.test> AUTH=<>\r\n"), S("250 2.1.0 sender ok\r\n"), RCPT,
		DATA, C("x: y\r\n.\r\n"), QUEUED_1, C("MAIL FROM:<>\r\n"),
		S("250 2.1.0 sender ok\r\n"), QUIT};

	play(steps, true, 1);
}
END_TEST

START_TEST(each_way_of_saying_it)
{
	static const struct step plain[] = {
		EHLO, C("auth plain\r\n"), S("334 \r\n"), C(ALICE "\r\n"), KNOWN, QUIT};
	static const struct step login[] = {EHLO, C("AUTH LOGIN\r\n"), S("334 VXNlcm5hbWU6\r\n"),
		C("YWxpY2VAaGVyZS50ZXN0\r\n"), S("334 UGFzc3dvcmQ6\r\n"), C("c2VjcmV0\r\n"), KNOWN,
		QUIT};
	static const struct step initial[] = {EHLO, C("AUTH LOGIN YWxpY2VAaGVyZS50ZXN0\r\n"),
		S("334 UGFzc3dvcmQ6\r\n"), C("c2VjcmV0\r\n"), KNOWN, QUIT};

	play(plain, true, 0);
	play(login, true, 0);
	play(initial, true, 0);
}
END_TEST

START_TEST(each_way_of_failing)
{
	static const struct step steps[] = {EHLO, C("AUTH PLAIN " WRONG "\r\n"), DENIED,
		C("AUTH PLAIN " BROKEN "\r\n"),
		S("454 4.7.0 passwords can't be checked now, try later\r\n"), C("AUTH PLAIN\r\n"),
		S("334 \r\n"), C("*\r\n"), S("501 5.7.0 AUTH cancelled\r\n"), C("AUTH PLAIN =\r\n"),
		MALFORMED, C("AUTH PLAIN x\r\n"), MALFORMED, C("AUTH LOGIN =\r\n"), MALFORMED,
		C("AUTH LOGIN\r\n"), S("334 VXNlcm5hbWU6\r\n"), C("YQ==\r\n"),
		S("334 UGFzc3dvcmQ6\r\n"), C("\r\n"), MALFORMED, C("AUTH PLAIN Yg" ALICE "\r\n"),
		MALFORMED, C("AUTH NTLM\r\n"), S("504 5.5.4 this mechanism is not known here\r\n"),
		C("AUTH PLAIN Ym9iAGFsaWNlQGhlcmUudGVzdABzZWNyZXQ=\r\n"),
		S("535 5.7.8 nobody may log in on behalf of another\r\n"),
		C("AUTH PLAIN " ALICE "\r\n"), KNOWN, QUIT};

	play(steps, true, 0);
}
END_TEST

START_TEST(guessing_has_an_end)
{
	static const struct step steps[] = {EHLO, C("AUTH PLAIN " WRONG "\r\n"), DENIED,
		C("AUTH PLAIN " WRONG "\r\n"), DENIED, C("AUTH PLAIN " WRONG "\r\n"), DENIED, END};

	play(steps, true, 0);
}
END_TEST

START_TEST(nothing_in_the_clear)
{
	static const struct step steps[] = {BANNER, C("EHLO c.test\r\n"),
		S("250-mx.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n"
		  "250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250-"
		  "LIMITS RCPTMAX=1000\r\n250 "
		  "HELP\r\n"),
		C("AUTH PLAIN " ALICE "\r\n"),
		S("538 5.7.11 say STARTTLS first: passwords go under TLS\r\n"),
		C("MAIL FROM:<alice@here.test>\r\n"), S("530 5.7.0 log in first\r\n"), QUIT};

	play(steps, false, 0);
}
END_TEST

START_TEST(exchanges_end_with_their_connection)
{
	static const struct step lost[] = {EHLO, C("AUTH PLAIN\r\n"), S("334 \r\n"), END};
	static const struct step silent[] = {EHLO, C("AUTH LOGIN\r\n"), S("334 VXNlcm5hbWU6\r\n"),
		SILENCE, S("421 4.4.2 nothing came for too long, goodbye\r\n"), END};
	static const struct step stopped[] = {EHLO, C("AUTH LOGIN\r\n"), S("334 VXNlcm5hbWU6\r\n"),
		C("YQ==\r\n"), S("334 UGFzc3dvcmQ6\r\n"), CANCEL,
		S("421 4.3.2 shutting down, come back later\r\n"), END};

	play(lost, true, 0);
	play(silent, true, 0);
	play(stopped, true, 0);
}
END_TEST

/* Neither AUTH nor what may be half of an exchange. */
START_TEST(no_secret_is_logged)
{
	static const struct {
		struct step line;
		const char *logged;
	} cases[] = {{C("AUTH PLAIN x\r\n"), "AUTH"}, {C("auth NTLM " ALICE "\r\n"), "AUTH"},
		{C(ALICE "\r\n"), ""}, {C("EXPN list\r\n"), "EXPN list"}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct step steps[] = {BANNER, C("EHLO c.test\r\n"), cases[i].line, END};
		struct smtp_server_ops ops = dialogue_ops;
		struct dialogue dialogue;
		ops.connected = connected_with_tls;
		dialogue_init(&dialogue, 0);
		dialogue.ops = &ops;
		dialogue.ignores_replies = true;
		dialogue.settings.extensions |= SMTP_EXTENSION_AUTH;
		dialogue_run(&dialogue, steps);
		ck_assert_uint_eq(dialogue.refused, 1);
		ck_assert_slice_eq(dialogue.last_line, cases[i].logged);
		dialogue_done(&dialogue);
	}
}
END_TEST

UNIT_MAIN("smtp/server_auth", who_is_known_sends, each_way_of_saying_it, each_way_of_failing,
	guessing_has_an_end, nothing_in_the_clear, exchanges_end_with_their_connection,
	no_secret_is_logged)
