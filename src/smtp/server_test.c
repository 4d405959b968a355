#include "smtp_dialogue.h"

START_TEST(message_is_taken)
{
	static const struct step steps[] = {BANNER, C("EHLO client.test\r\n"),
		S("250-mx.test\r\n250-PIPELINING\r\n250-SIZE "
		  "52428800\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250-"
		  "CHUNKING\r\n250-DSN\r\n250-LIMITS RCPTMAX=1000\r\n250 HELP\r\n"),
		C("MAIL FROM:<Sender@B.test> SIZE=100 BODY=8BITMIME\r\n"),
		S("250 2.1.0 sender ok\r\n"), C("RCPT TO:<user.Name@Here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), DATA,
		C("Subject: x\r\n\r\n..dot\r\ncaf\xc3\xa9\r\n.\r\n"), QUEUED_1, QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(dialogue.received, 1);
	ck_assert_uint_eq(dialogue.refused, 0);
	ck_assert_int_eq(dialogue.end, SMTP_END_QUIT);
	ck_assert(!dialogue.server.talked_early);
	const struct accept_memory_message *message = accept_memory_message(&dialogue.store, 0);
	ck_assert_ptr_nonnull(message);
	ck_assert_slice_eq(
		buffer_slice(&message->content), "Subject: x\r\n\r\n.dot\r\ncaf\xc3\xa9\r\n");
	const struct envelope *envelope = &message->envelope;
	ck_assert_slice_eq(envelope->reverse_path, "Sender@B.test");
	ck_assert_uint_eq(envelope->recipient_count, 1);
	ck_assert_slice_eq(envelope->recipients[0].address, "user.Name@Here.test");
	ck_assert_int_eq(envelope->body, BODY_8BITMIME);
	ck_assert_int_eq(envelope->protocol, PROTOCOL_ESMTP);
	ck_assert_slice_eq(envelope->helo, "client.test");
	ck_assert_slice_eq(envelope->client_address, "192.0.2.7");
	ck_assert_uint_eq(envelope->client_port, 4711);
	ck_assert_slice_eq(envelope->listener, "mx");
	ck_assert_uint_eq(envelope->content_flags, CONTENT_8BIT | CONTENT_DOT_LINE);
	ck_assert_uint_eq(envelope->content_size, message->content.len);
	ck_assert_int_eq(envelope->received_at, INT64_C(1795455235) * US_PER_S);
	ck_assert_slice_eq(envelope->trace,
		"Received: from client.test ([192.0.2.7])\r\n"
		"\tby mx.test with ESMTP id 0000000000001\r\n"
		"\tfor <user.Name@Here.test>; Mon, 23 Nov 2026 17:33:55 +0000\r\n");
	dialogue_done(&dialogue);
}
END_TEST

/* What the session makes of odd but proper addresses is what the others read. */
START_TEST(envelope_travels)
{
	static const struct step steps[] = {BANNER, C("HELO [IPv6:2001:db8::1]\r\n"),
		S("250 mx.test\r\n"), C("MAIL FROM:<\"a b\"@[192.0.2.1]>\r\n"),
		S("250 2.1.0 sender ok\r\n"), C("RCPT TO:<\"user @ x\"@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<postmaster>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), DATA, C(".\r\n"), QUEUED_1, QUIT};
	struct dialogue dialogue;
	struct buffer encoded;
	struct arena arena;
	struct envelope decoded;

	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	const struct envelope *envelope = &accept_memory_message(&dialogue.store, 0)->envelope;
	buffer_init(&encoded, dialogue.world, 65536);
	arena_init(&arena, dialogue.world, 65536);
	envelope_encode(envelope, &encoded);
	ck_assert_ok(buffer_error(&encoded));
	ck_assert_ok(envelope_decode(buffer_slice(&encoded), &arena, &decoded));
	ck_assert_slice_eq(decoded.reverse_path, "\"a b\"@[192.0.2.1]");
	ck_assert_slice_eq(decoded.helo, "[IPv6:2001:db8::1]");
	ck_assert_uint_eq(decoded.recipient_count, 2);
	ck_assert_slice_eq(decoded.recipients[0].address, "\"user @ x\"@here.test");
	ck_assert_slice_eq(decoded.recipients[1].address, "postmaster@here.test");
	ck_assert(slice_equal(decoded.trace, envelope->trace) &&
		  decoded.trace_id_at == envelope->trace_id_at);
	arena_done(&arena);
	buffer_done(&encoded);
	dialogue_done(&dialogue);
}
END_TEST

START_TEST(plain_smtp_and_two_messages)
{
	static const struct step steps[] = {HELO, C("mail from: <> size=0\r\n"),
		S("250 2.1.0 sender ok\r\n"), C("rcpt to: <@relay.test:user1@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("rcpt to:<user2@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), DATA, C(".\r\n"), QUEUED_1, MAIL, RCPT, DATA,
		C("x\r\n.\r\n"), S("250 2.0.0 queued as 0000000000002\r\n"), QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	const struct accept_memory_message *message = accept_memory_message(&dialogue.store, 0);
	ck_assert_uint_eq(message->content.len, 0);
	ck_assert_uint_eq(message->envelope.reverse_path.len, 0);
	ck_assert_uint_eq(message->envelope.recipient_count, 2);
	ck_assert_slice_eq(message->envelope.recipients[0].address, "user1@here.test");
	ck_assert_int_eq(message->envelope.protocol, PROTOCOL_SMTP);
	ck_assert_slice_eq(message->envelope.trace,
		"Received: from client.test ([192.0.2.7])\r\n"
		"\tby mx.test with SMTP id 0000000000001; Mon, 23 Nov 2026 17:33:55 +0000\r\n\r\n");
	ck_assert_slice_eq(
		buffer_slice(&accept_memory_message(&dialogue.store, 1)->content), "x\r\n");
	dialogue_done(&dialogue);
	dialogue_play(steps, 2);
}
END_TEST

START_TEST(commands_out_of_order)
{
	static const struct step steps[] = {BANNER, C("MAIL FROM:<a@b>\r\n"),
		S("503 5.5.1 say EHLO first\r\n"), C("DATA\r\n"), S("503 5.5.1 say EHLO first\r\n"),
		C("NOOP\r\n"), S("250 2.0.0 ok\r\n"), C("RSET\r\n"), S("250 2.0.0 forgotten\r\n"),
		C("HELO client.test\r\n"), S("250 mx.test\r\n"), C("RCPT TO:<user@here.test>\r\n"),
		S("503 5.5.1 say MAIL first\r\n"), C("DATA\r\n"), S("503 5.5.1 say MAIL first\r\n"),
		MAIL, C("MAIL FROM:<a@b>\r\n"), S("503 5.5.1 a transaction is open already\r\n"),
		C("DATA\r\n"), S("554 5.5.1 there are no recipients\r\n"),
		C("RCPT TO:<nobody@here.test>\r\n"), S("550 5.1.1 no such user\r\n"), C("DATA\r\n"),
		S("554 5.5.1 there are no recipients\r\n"), RCPT, C("RSET\r\n"),
		S("250 2.0.0 forgotten\r\n"), C("RCPT TO:<user@here.test>\r\n"),
		S("503 5.5.1 say MAIL first\r\n"), MAIL, RCPT, C("EHLO [192.0.2.1]\r\n"),
		S("250-mx.test\r\n250-PIPELINING\r\n250-SIZE "
		  "52428800\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250-"
		  "CHUNKING\r\n250-DSN\r\n250-LIMITS RCPTMAX=1000\r\n250 HELP\r\n"),
		C("DATA\r\n"), S("503 5.5.1 say MAIL first\r\n"), QUIT};

	dialogue_play(steps, 0);
}
END_TEST

START_TEST(commands_that_only_talk)
{
	static const struct step steps[] = {HELO, C("NOOP whatever <this> is\r\n"),
		S("250 2.0.0 ok\r\n"), C("VRFY user\r\n"),
		S("252 2.1.5 addresses are checked when mail is sent to them\r\n"), C("VRFY\r\n"),
		S("501 5.5.4 VRFY must be followed by a name\r\n"), C("STARTTLS\r\n"),
		S("502 5.5.1 command not implemented\r\n"), C("burl x last\r\n"),
		S("502 5.5.1 command not implemented\r\n"), C("XYZZY\r\n"),
		S("500 5.5.2 command not recognized\r\n"), C("\r\n"),
		S("500 5.5.2 command not recognized\r\n"), C("DATA now\r\n"),
		S("503 5.5.1 say MAIL first\r\n"), C("QUIT now\r\n"),
		S("501 5.5.4 this command takes no argument\r\n"), C("quit \r\n"),
		S("221 2.0.0 goodbye\r\n"), END};

	dialogue_play(steps, 0);
}
END_TEST

START_TEST(help_helps)
{
	static const struct step steps[] = {BANNER, C("HELP me\r\nQUIT\r\n"), END};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.ignores_replies = true;
	dialogue_run(&dialogue, steps);
	ck_assert_int_eq(dialogue.end, SMTP_END_QUIT);
	ck_assert_uint_eq(dialogue.refused, 0);
	dialogue_done(&dialogue);
}
END_TEST

START_TEST(syntax_is_checked)
{
	static const struct step steps[] = {BANNER, C("EHLO\r\n"),
		S("501 5.5.4 your name must be a domain or an address literal\r\n"),
		C("HELO a b\r\n"),
		S("501 5.5.4 your name must be a domain or an address literal\r\n"),
		C("HELO MY_PC\r\n"), S("250 mx.test\r\n"), C("MAIL FROM:a@b\r\n"),
		S("501 5.5.4 the address must stand in \"<\" and \">\"\r\n"),
		C("MAIL FROM:<a>\r\n"), S("501 5.1.7 the domain is missing\r\n"),
		C("MAIL FROM:<a@b> FOO=1\r\n"), S("555 5.5.4 a parameter is not known here\r\n"),
		C("MAIL FROM:<a@b> SIZE=99999999999\r\n"),
		S("552 5.3.4 the message is larger than this server takes\r\n"), MAIL,
		C("RCPT TO:<>\r\n"), S("501 5.1.3 the local part is missing\r\n"),
		C("RCPT TO:<\xc3\xbc@here.test>\r\n"),
		S("553 5.6.7 an address beyond ASCII needs SMTPUTF8 behind MAIL\r\n"),
		C("RCPT TO:<u@other.test>\r\n"), S("550 5.7.1 relaying denied\r\n"),
		C("RCPT TO:<slow@here.test>\r\n"), S("451 4.3.0 ask again later\r\n"), RCPT, QUIT};

	dialogue_play(steps, 0);
}
END_TEST

START_TEST(lines_that_are_none)
{
	static const struct step steps[] = {BANNER, C("NOOP\n"),
		S("500 5.5.2 lines must end with CR LF, not with a bare LF\r\n"), C("NO\0OP\r\n"),
		S("500 5.5.2 a control character has no place in a command\r\n"),
		C("NOOP\rNOOP\r\n"),
		S("500 5.5.2 a control character has no place in a command\r\n"),
		C("\x16\x03\x01\r\n"),
		S("500 5.5.2 a control character has no place in a command\r\n"), C("HELO\tx\r\n"),
		S("250 mx.test\r\n"), QUIT};

	dialogue_play(steps, 0);
}
END_TEST

/* The longest line that is read, and one octet more: refused, and the next line is read from its
 * start. */
START_TEST(long_lines_resync)
{
	static char longest[2048 + 2], longer[2048 + 3], huge[40000 + 2];
	struct step steps[] = {BANNER, {STEP_CLIENT, slice_of(longest, sizeof longest)},
		S("250 2.0.0 ok\r\n"), {STEP_CLIENT, slice_of(longer, sizeof longer)},
		S("500 5.5.2 the line is too long\r\n"), {STEP_CLIENT, slice_of(huge, sizeof huge)},
		S("500 5.5.2 the line is too long\r\n"), QUIT};

	memset(longest, 'x', sizeof longest);
	memset(longer, 'x', sizeof longer);
	memset(huge, 'x', sizeof huge);
	memcpy(longest, "NOOP ", 5);
	memcpy(longer, "NOOP ", 5);
	memcpy(longest + sizeof longest - 2, "\r\n", 2);
	memcpy(longer + sizeof longer - 2, "\r\n", 2);
	memcpy(huge + sizeof huge - 2, "\r\n", 2);
	dialogue_play(steps, 0);
}
END_TEST

START_TEST(http_is_shown_the_door)
{
	static const struct step steps[] = {BANNER, C("POST / HTTP/1.1\r\nMAIL FROM:<a@b>\r\n"),
		S("554 5.5.1 this is a mail server\r\n"), END};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	ck_assert_int_eq(dialogue.end, SMTP_END_HTTP);
	ck_assert_slice_eq(dialogue.last_line, "POST / HTTP/1.1");
	dialogue_done(&dialogue);
}
END_TEST

START_TEST(pipelined_replies_go_out_together)
{
	static const struct step steps[] = {HELO,
		C("MAIL FROM:<a@b.test>\r\nRCPT TO:<user1@here.test>\r\nRCPT "
		  "TO:<no@here.test>\r\nRCPT TO:<user2@here.test>\r\nDATA\r\n"),
		S("250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n550 5.1.1 no such user\r\n250 "
		  "2.1.5 recipient ok\r\n"
		  "354 send the message, end with a single dot on a line\r\n"),
		C("x\r\n.\r\nMAIL FROM:<a@b.test>\r\nRSET\r\nQUIT\r\n"),
		S("250 2.0.0 queued as 0000000000001\r\n250 2.1.0 sender ok\r\n250 2.0.0 "
		  "forgotten\r\n221 2.0.0 goodbye\r\n"),
		END};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(dialogue.writes, 4); /* banner, HELO, group, end */
	ck_assert_uint_eq(dialogue.received, 1);
	ck_assert_uint_eq(accept_memory_message(&dialogue.store, 0)->envelope.recipient_count, 2);
	ck_assert(!dialogue.server.talked_early);
	dialogue_done(&dialogue);
	dialogue_play(steps, 1);
}
END_TEST

/* Half a command behind a whole one: the reply to the first must not wait for the rest of the
 * second. */
START_TEST(replies_do_not_wait_for_half_a_line)
{
	static const struct step steps[] = {HELO, C("NOOP\r\nNO"), S("250 2.0.0 ok\r\n"),
		C("OP\r\n"), S("250 2.0.0 ok\r\n"), QUIT};

	dialogue_play(steps, 0);
}
END_TEST

START_TEST(many_replies_are_written_in_parts)
{
	static char commands[200 * 6];
	struct step many[] = {HELO, {STEP_CLIENT, slice_of(commands, sizeof commands)}, QUIT};
	struct dialogue dialogue;

	for (size_t i = 0; i < 200; i++)
		memcpy(commands + 6 * i, "NOOP\r\n", 6);
	dialogue_init(&dialogue, 0);
	dialogue.ignores_replies = true;
	dialogue.write_piece = 100;
	dialogue_run(&dialogue, many);
	ck_assert_uint_eq(dialogue.refused, 0);
	ck_assert_int_eq(dialogue.end, SMTP_END_QUIT);
	dialogue_done(&dialogue);
}
END_TEST

#define EHLO_REPLY                                                                          \
	"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n"            \
	"250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250-LIMITS " \
	"RCPTMAX=1000\r\n250 HELP\r\n"

/* Before the greeting: refused, reported or taken, by the settings; not a command is run for those
 * who are refused. */
START_TEST(early_talkers_are_judged)
{
	static const struct step refused[] = {C("EHLO a.test\r\nMAIL FROM:<a@b.test>\r\n"),
		S("554 5.5.0 you spoke before you were greeted, goodbye\r\n"), END};
	static const struct step taken[] = {C("EHLO a.test\r\n"), BANNER, S(EHLO_REPLY),
		C("MAIL FROM:<a@b.test>\r\n"), S("250 2.1.0 sender ok\r\n"), QUIT};
	static const int64_t waits[] = {0, 5 * US_PER_S};

	for (size_t i = 0; i < 6; i++) {
		struct dialogue dialogue;
		enum smtp_early early = (enum smtp_early)(i / 2);
		dialogue_init(&dialogue, 0);
		dialogue.settings.early = early;
		dialogue.settings.greeting_wait_us = waits[i % 2];
		dialogue.ignores_replies = early == SMTP_EARLY_IGNORE; /* they come in any order */
		dialogue_run(&dialogue, early == SMTP_EARLY_REFUSE ? refused : taken);
		ck_assert(dialogue.server.talked_early || early == SMTP_EARLY_IGNORE);
		ck_assert_uint_eq(dialogue.early, early == SMTP_EARLY_IGNORE ? 0 : 1);
		ck_assert_int_eq(
			dialogue.end, early == SMTP_EARLY_REFUSE ? SMTP_END_EARLY : SMTP_END_QUIT);
		if (early == SMTP_EARLY_REFUSE)
			ck_assert_slice_eq(
				dialogue.last_line, "EHLO a.test\r\nMAIL FROM:<a@b.test>\r\n");
		dialogue_done(&dialogue);
	}
}
END_TEST

START_TEST(who_waits_is_greeted_after_the_wait)
{
	static const struct step steps[] = {BANNER, QUIT};
	static const int64_t waits[] = {0, 7 * US_PER_S};

	for (size_t i = 0; i < 2; i++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue.settings.greeting_wait_us = waits[i];
		dialogue_run(&dialogue, steps);
		ck_assert_int_eq(dialogue.waited_to, i ? 1007 * US_PER_S : 0);
		ck_assert(!dialogue.server.talked_early);
		ck_assert_int_eq(dialogue.end, SMTP_END_QUIT);
		dialogue_done(&dialogue);
	}
}
END_TEST

/* Input behind a command whose reply must be awaited: told once, and answered. */
START_TEST(hasty_talkers_are_noted)
{
	static const struct step steps[] = {BANNER, C("EHLO a.test\r\nNOOP\r\nNOOP\r\n"),
		S(EHLO_REPLY "250 2.0.0 ok\r\n250 2.0.0 ok\r\n"), QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	ck_assert(dialogue.server.talked_early);
	ck_assert_uint_eq(dialogue.early, 1);
	dialogue_done(&dialogue);
}
END_TEST

/* Commands that lead to no message are counted; a message that is taken starts them anew. */
START_TEST(commands_have_a_limit)
{
	static const struct step steps[] = {HELO, C("NOOP\r\n"), S("250 2.0.0 ok\r\n"), MAIL, RCPT,
		DATA, C(".\r\n"), QUEUED_1, C("NOOP\r\nNOOP\r\nRSET\r\nNOOP\r\n"),
		S("250 2.0.0 ok\r\n250 2.0.0 ok\r\n250 2.0.0 forgotten\r\n250 2.0.0 ok\r\n"), MAIL,
		C("RCPT TO:<user@here.test>\r\nRCPT TO:<user@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"
		  "421 4.7.0 too many commands without a message, goodbye\r\n"),
		END};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.settings.commands_max = 4;
	dialogue.settings.max_recipients = 2;
	dialogue_run(&dialogue, steps);
	ck_assert_int_eq(dialogue.end, SMTP_END_COMMANDS);
	ck_assert_uint_eq(dialogue.received, 1);
	dialogue_done(&dialogue);
}
END_TEST

START_TEST(recipients_are_stored_once)
{
	static const struct step steps[] = {HELO, MAIL, RCPT, C("RCPT TO:<user@HERE.TEST>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<\"user\"@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<User@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<\"user x\"@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<\"user\\ x\"@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), DATA, C(".\r\n"), QUEUED_1, QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	const struct envelope *envelope = &accept_memory_message(&dialogue.store, 0)->envelope;
	ck_assert_uint_eq(envelope->recipient_count, 2);
	ck_assert_slice_eq(envelope->recipients[0].address, "user@here.test");
	ck_assert_slice_eq(envelope->recipients[1].address, "\"user x\"@here.test");
	ck_assert_uint_eq(dialogue.checks, 2);
	dialogue_done(&dialogue);
}
END_TEST

/* Where local parts are not accounts of ours their case is kept apart; that of domains never is. */
START_TEST(recipients_are_compared_as_their_destination_does)
{
	static const struct step steps[] = {HELO, MAIL, C("RCPT TO:<u@folded.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<U@Folded.Test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<\"U\"@FOLDED.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<u@route.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<U@ROUTE.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<U@route.TEST>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), DATA, C(".\r\n"), QUEUED_1, QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	const struct envelope *envelope = &accept_memory_message(&dialogue.store, 0)->envelope;
	ck_assert_uint_eq(envelope->recipient_count, 3);
	ck_assert_slice_eq(envelope->recipients[0].address, "u@folded.test");
	ck_assert_slice_eq(envelope->recipients[1].address, "u@route.test");
	ck_assert_slice_eq(envelope->recipients[2].address, "U@ROUTE.test");
	dialogue_done(&dialogue);
}
END_TEST

START_TEST(postmaster_needs_no_domain)
{
	static const struct step steps[] = {HELO, MAIL, C("RCPT TO:<PostMaster>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<postmaster@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<root>\r\n"),
		S("501 5.1.3 the domain is missing\r\n"), DATA, C(".\r\n"), QUEUED_1, QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	const struct envelope *envelope = &accept_memory_message(&dialogue.store, 0)->envelope;
	ck_assert_slice_eq(envelope->recipients[0].address, "PostMaster@here.test");
	dialogue_done(&dialogue);
}
END_TEST

START_TEST(postmaster_may_be_nobody)
{
	static const struct step steps[] = {HELO, MAIL, C("RCPT TO:<postmaster>\r\n"),
		S("550 5.1.1 this server has no domain of its own, so nobody here is its "
		  "postmaster\r\n"),
		C("RCPT TO:<postmaster@here.test>\r\n"), S("250 2.1.5 recipient ok\r\n"), QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.settings.postmaster_domain = SLICE("");
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(dialogue.server.refusals, 1);
	dialogue_done(&dialogue);
}
END_TEST

/* An alias is its targets, each of them once. */
START_TEST(aliases_are_their_targets)
{
	static const struct step steps[] = {HELO, MAIL, C("RCPT TO:<user2@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<user-all@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"), C("RCPT TO:<user-gone@here.test>\r\n"),
		S("451 4.3.5 the alias of this address cannot be used now\r\n"), DATA,
		C("x: y\r\n.\r\n"), QUEUED_1, QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	const struct envelope *envelope = &accept_memory_message(&dialogue.store, 0)->envelope;
	ck_assert_uint_eq(envelope->recipient_count, 2);
	ck_assert_slice_eq(envelope->recipients[0].address, "user2@here.test");
	ck_assert_slice_eq(envelope->recipients[1].address, "user1@here.test");
	ck_assert(!envelope_wish(envelope, 0).is_target);
	ck_assert(envelope_wish(envelope, 1).is_target);
	ck_assert_slice_eq(envelope_wish(envelope, 1).original, "rfc822;user-all@here.test");
	dialogue_done(&dialogue);
}
END_TEST

START_TEST(recipients_have_a_limit)
{
	static const struct step steps[] = {HELO, MAIL,
		C("RCPT TO:<user1@here.test>\r\nRCPT TO:<user2@here.test>\r\nRCPT "
		  "TO:<user3@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n250 2.1.5 recipient ok\r\n452 4.5.3 too many "
		  "recipients, send the rest in another transaction\r\n"),
		DATA, C(".\r\n"), QUEUED_1, QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.settings.max_recipients = 2;
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(accept_memory_message(&dialogue.store, 0)->envelope.recipient_count, 2);
	ck_assert_uint_eq(dialogue.last_refusal, 452);
	dialogue_done(&dialogue);
}
END_TEST

/* A thousand recipients, each kept, in order. */
START_TEST(many_recipients)
{
	struct dialogue dialogue;
	struct buffer commands;

	dialogue_init(&dialogue, 0);
	buffer_init(&commands, dialogue.world, 1u << 20);
	for (int i = 0; i < 1000; i++)
		buffer_printf(&commands, "RCPT TO:<user%d@here.test>\r\n", i);
	struct step steps[] = {HELO, MAIL, {STEP_CLIENT, buffer_slice(&commands)}, DATA, C(".\r\n"),
		QUEUED_1, QUIT};
	dialogue.ignores_replies = true;
	dialogue_run(&dialogue, steps);
	const struct envelope *envelope = &accept_memory_message(&dialogue.store, 0)->envelope;
	ck_assert_uint_eq(envelope->recipient_count, 1000);
	ck_assert_slice_eq(envelope->recipients[0].address, "user0@here.test");
	ck_assert_slice_eq(envelope->recipients[999].address, "user999@here.test");
	buffer_done(&commands);
	dialogue_done(&dialogue);
}
END_TEST

/* The envelope's octets have a maximum, by the octet; known recipients are welcome beyond it. */
START_TEST(envelopes_have_a_limit)
{
	static const struct step steps[] = {HELO, MAIL,
		C("RCPT TO:<user1@here.test>\r\nRCPT TO:<user22@here.test>\r\nRCPT "
		  "TO:<user2@here.test>\r\nRCPT TO:<user3@here.test>\r\nRCPT "
		  "TO:<user2@here.test>\r\n"),
		S("250 2.1.5 recipient ok\r\n"
		  "452 4.5.3 too many recipients, send the rest in another transaction\r\n"
		  "250 2.1.5 recipient ok\r\n"
		  "452 4.5.3 too many recipients, send the rest in another transaction\r\n"
		  "250 2.1.5 recipient ok\r\n"),
		DATA, C(".\r\n"), QUEUED_1, QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.settings.envelope_bytes_max =
		2 * ENVELOPE_RECIPIENT_BYTES(sizeof "user1@here.test" - 1);
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(accept_memory_message(&dialogue.store, 0)->envelope.recipient_count, 2);
	dialogue_done(&dialogue);
}
END_TEST

/* Without memory for one more the rest is put off. */
START_TEST(recipients_without_memory_are_put_off)
{
	struct dialogue dialogue;
	struct buffer commands;

	dialogue_init(&dialogue, LINE_BUFFER_BYTES + 16384);
	buffer_init(&commands, dialogue.world, 1u << 20);
	for (int i = 0; i < 1000; i++)
		buffer_printf(&commands, "RCPT TO:<user%d@here.test>\r\n", i);
	struct step steps[] = {HELO, MAIL, {STEP_CLIENT, buffer_slice(&commands)}, QUIT};
	dialogue.ignores_replies = true;
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(dialogue.last_refusal, 452);
	ck_assert_uint_gt(dialogue.refused, 100);
	ck_assert_uint_lt(dialogue.refused, 900);
	ck_assert_int_eq(dialogue.end, SMTP_END_QUIT);
	buffer_done(&commands);
	dialogue_done(&dialogue);
}
END_TEST

START_TEST(errors_have_a_limit)
{
	static const struct step steps[] = {HELO, C("A\r\nB\r\n"),
		S("500 5.5.2 command not recognized\r\n500 5.5.2 command not recognized\r\n"), MAIL,
		RCPT, DATA, C(".\r\n"), QUEUED_1, C("A\r\nB\r\nC\r\nD\r\n"),
		S("500 5.5.2 command not recognized\r\n500 5.5.2 command not recognized\r\n500 "
		  "5.5.2 command not recognized\r\n"
		  "421 4.7.0 too many errors, goodbye\r\n"),
		END};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.settings.errors_max = 3;
	dialogue_run(&dialogue, steps);
	ck_assert_int_eq(dialogue.end, SMTP_END_ERRORS);
	ck_assert_uint_eq(dialogue.refused, 6);
	dialogue_done(&dialogue);
}
END_TEST

START_TEST(guessing_has_a_limit)
{
	static const struct step steps[] = {HELO, MAIL,
		C("RCPT TO:<a@here.test>\r\nRCPT TO:<slow@here.test>\r\nRCPT "
		  "TO:<b@here.test>\r\nNOOP\r\n"),
		S("550 5.1.1 no such user\r\n451 4.3.0 ask again later\r\n550 5.1.1 no such "
		  "user\r\n"
		  "421 4.7.0 too many unknown recipients, goodbye\r\n"),
		END};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.settings.refusals_max = 2;
	dialogue_run(&dialogue, steps);
	ck_assert_int_eq(dialogue.end, SMTP_END_ERRORS);
	dialogue_done(&dialogue);
}
END_TEST

START_TEST(silence_ends_a_session)
{
	static const struct step steps[] = {HELO, MAIL, C("RCPT TO:<us"), SILENCE,
		S("421 4.4.2 nothing came for too long, goodbye\r\n"), END};
	static const struct step cancelled[] = {
		HELO, CANCEL, S("421 4.3.2 shutting down, come back later\r\n"), END};
	static const struct step reset[] = {HELO, MAIL, RESET};
	static const struct step closed[] = {HELO, MAIL, C("RCPT"), END};
	static const struct {
		const struct step *steps;
		enum smtp_end end;
	} cases[] = {{steps, SMTP_END_TIMEOUT}, {cancelled, SMTP_END_CANCELLED},
		{reset, SMTP_END_LOST}, {closed, SMTP_END_LOST}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue_run(&dialogue, cases[i].steps);
		ck_assert_int_eq(dialogue.end, cases[i].end);
		dialogue_done(&dialogue);
	}
	for (int i = 0; i <= SMTP_ENDS; i++)
		ck_assert_ptr_nonnull(smtp_end_text((enum smtp_end)i));
}
END_TEST

/* A server that stops lets content under way come to its reply, and takes no command more, not even
 * one that is here already. */
START_TEST(a_stop_waits_for_content_alone)
{
	static const struct step steps[] = {HELO, MAIL, RCPT, DATA,
		C("x\r\n.\r\nMAIL FROM:<b@client.test>\r\n"), QUEUED_1,
		S("421 4.3.2 shutting down, come back later\r\n"), END};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.stops_at_received = true;
	dialogue_run(&dialogue, steps);
	ck_assert_int_eq(dialogue.end, SMTP_END_CANCELLED);
	ck_assert_uint_eq(dialogue.received, 1);
	ck_assert(!dialogue.server.in_content);
	dialogue_done(&dialogue);
}
END_TEST

/* The n-th write fails: the session ends there, with nothing left behind and no message that was
 * not committed. */
START_TEST(writes_fail)
{
	static const struct step steps[] = {
		HELO, MAIL, RCPT, DATA, C("x\r\n.\r\n"), QUEUED_1, QUIT};

	for (uint32_t n = 1; n <= 8; n++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue.fail_write_at = n;
		dialogue.ignores_replies = true;
		dialogue_run(&dialogue, steps);
		ck_assert_int_eq(dialogue.end, n <= 6 ? SMTP_END_LOST : SMTP_END_QUIT);
		ck_assert_uint_eq(dialogue.received, n <= 5 ? 0 : 1);
		dialogue_done(&dialogue);
	}
}
END_TEST

/* Whatever memory there is, the session answers or ends, and never crashes. */
START_TEST(memory_runs_out)
{
	static const struct step steps[] = {
		HELO, MAIL, RCPT, DATA, C("x\r\n.\r\n"), QUEUED_1, QUIT};
	uint32_t taken = 0;

	for (size_t limit = 1;
		limit<40000; limit += limit> LINE_BUFFER_BYTES && limit < LINE_BUFFER_BYTES + 32
			? 1
			: 97) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, limit);
		dialogue.ignores_replies = true;
		dialogue_run(&dialogue, steps);
		taken += dialogue.received;
		if (limit < LINE_BUFFER_BYTES)
			ck_assert_int_eq(dialogue.end, SMTP_END_NO_MEMORY);
		dialogue_done(&dialogue);
	}
	ck_assert_uint_gt(taken, 0);
}
END_TEST

/* What an idle session costs beside its stack, at most 3 KB. */
START_TEST(idle_sessions_are_small)
{
	static const struct step steps[] = {HELO, MAIL, RCPT, C("RSET\r\n"),
		S("250 2.0.0 forgotten\r\n"), SILENCE,
		S("421 4.4.2 nothing came for too long, goodbye\r\n"), END};
	struct dialogue dialogue;

	ck_assert_uint_le(sizeof(struct smtp_server) + sizeof(struct line_reader), 1536);
	dialogue_init(&dialogue, 1u << 20);
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(dialogue.server.helo.len, 0);
	ck_assert_ptr_null(dialogue.server.transaction);
	/* One free line buffer lies in the pool that all sessions share. */
	ck_assert_uint_lt(dialogue.idle_bytes - LINE_BUFFER_BYTES, 256);
	dialogue_done(&dialogue);
}
END_TEST

/* RFC 6531: only who says SMTPUTF8 may name somebody so; then he is found in either form. */
START_TEST(addresses_beyond_ascii)
{
	static const struct step steps[] = {HELO, C("MAIL FROM:<\xc3\xa4@b.test>\r\n"),
		S("553 5.6.7 an address beyond ASCII needs SMTPUTF8\r\n"), MAIL,
		C("RCPT TO:<\xc3\xa4@here.test>\r\n"),
		S("553 5.6.7 an address beyond ASCII needs SMTPUTF8 behind MAIL\r\n"),
		C("RSET\r\n"), S("250 2.0.0 forgotten\r\n"),
		C("MAIL FROM:<\xc3\xa4@b\xc3\xbc.test> SMTPUTF8 BODY=8BITMIME\r\n"),
		S("250 2.1.0 sender ok\r\n"), RCPT, DATA, C("Subject: \xc3\xa4\r\n\r\nx\r\n.\r\n"),
		QUEUED_1, QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	const struct accept_memory_message *message = accept_memory_message(&dialogue.store, 0);
	ck_assert_slice_eq(message->envelope.reverse_path, "\xc3\xa4@b\xc3\xbc.test");
	ck_assert_uint_eq(message->envelope.content_flags,
		CONTENT_8BIT | CONTENT_8BIT_HEADER | CONTENT_SMTPUTF8);
	ck_assert(memmem(message->envelope.trace.ptr, message->envelope.trace.len, "with UTF8SMTP",
			  13) != NULL);
	dialogue_done(&dialogue);
}
END_TEST

UNIT_MAIN("smtp/server", addresses_beyond_ascii, message_is_taken, envelope_travels,
	plain_smtp_and_two_messages, commands_out_of_order, commands_that_only_talk, help_helps,
	syntax_is_checked, lines_that_are_none, long_lines_resync, http_is_shown_the_door,
	pipelined_replies_go_out_together, replies_do_not_wait_for_half_a_line,
	many_replies_are_written_in_parts, early_talkers_are_judged,
	who_waits_is_greeted_after_the_wait, hasty_talkers_are_noted, commands_have_a_limit,
	recipients_are_stored_once, recipients_are_compared_as_their_destination_does,
	postmaster_may_be_nobody, postmaster_needs_no_domain, aliases_are_their_targets,
	recipients_have_a_limit, many_recipients, envelopes_have_a_limit,
	recipients_without_memory_are_put_off, errors_have_a_limit, guessing_has_a_limit,
	silence_ends_a_session, a_stop_waits_for_content_alone, writes_fail, memory_runs_out,
	idle_sessions_are_small)
