/*
 * Dialogues of the client with servers, right ones and wrong ones, over the stream in memory of the
 * server's tests: there the program's peer is a client, here it is a server, so C() is called P()
 * (the peer says) and S() W() (we must have written).
 */
#include "smtp/client.h"
#include "smtp_dialogue.h"

#define P(text) C(text)
#define W(text) S(text)

#define RECIPIENTS_MAX 3

struct play {
	struct dialogue dialogue; /* the first: its stream leads here */
	struct stream_ops ops;
	struct smtp_client_settings settings;
	struct smtp_client client;
	struct smtp_client_message message;
	struct smtp_client_recipient recipients[RECIPIENTS_MAX];
	size_t count;
	struct arena arena;
	struct slice content;
	size_t content_at;
	size_t content_piece;     /* octets that a read of the content gives at most; 0: all */
	enum error content_error; /* what the second read says */
	struct buffer transcript;
	mono_us deadlines[16];
	unsigned waits;

	/* what came out */
	struct smtp_reply greeting;
	enum error open, send, quit;
};

static struct play *
play_of(struct stream *stream)
{
	return (struct play *)dialogue_of(stream);
}

static enum error
play_wait(struct stream *stream, uint32_t what, mono_us deadline)
{
	struct play *play = play_of(stream);

	if (play->waits < sizeof play->deadlines / sizeof *play->deadlines)
		play->deadlines[play->waits] = deadline - loop_now(stream->loop);
	play->waits++;
	return dialogue_wait(stream, what, deadline);
}

static enum error
play_content(void *arg, void *bytes, size_t len, size_t *ret_len)
{
	struct play *play = arg;
	struct slice left = slice_from(play->content, play->content_at);

	if (play->content_at > 0 && play->content_error != OK)
		return play->content_error;
	if (left.len > len)
		left.len = len;
	if (play->content_piece > 0 && left.len > play->content_piece)
		left.len = play->content_piece;
	if (left.len > 0)
		memcpy(bytes, left.ptr, left.len);
	play->content_at += left.len;
	*ret_len = left.len;
	return OK;
}

static void
play_transcript(void *arg, enum smtp_client_line kind, struct slice line)
{
	struct play *play = arg;

	buffer_append_octet(&play->transcript, (uint8_t) "><="[kind]);
	buffer_append(&play->transcript, line);
	buffer_append_octet(&play->transcript, '\n');
}

static void
play_init(struct play *play, size_t memory_limit)
{
	*play = (struct play){.count = 1};
	dialogue_init(&play->dialogue, memory_limit);
	play->ops = dialogue_stream_ops;
	play->ops.wait = play_wait;
	play->dialogue.stream.ops = &play->ops;
	smtp_client_settings_init(&play->settings, SLICE("me.test"));
	arena_init(&play->arena, play->dialogue.world, 65536);
	buffer_init(&play->transcript, play->dialogue.world, 65536);
	play->content = SLICE("Subject: x\n\n.hello\n");
	play->client = (struct smtp_client){.stream = &play->dialogue.stream,
		.reader = &play->dialogue.reader,
		.settings = &play->settings,
		.transcript = play_transcript,
		.transcript_arg = play};
	play->message = (struct smtp_client_message){.reverse_path = SLICE("a@me.test"),
		.size = 22,
		.read = play_content,
		.read_arg = play};
	play->recipients[0].address = SLICE("one@b.test");
	play->recipients[1].address = SLICE("two@b.test");
	play->recipients[2].address = SLICE("three@b.test");
}

/* A whole session: what is open is sent to, and left with QUIT. */
static void
play_run(struct play *play, const struct step *steps)
{
	play->dialogue.step = steps;
	play->open = smtp_client_open(&play->client, &play->greeting);
	play->send = ERROR_AGAIN; /* not tried */
	if (play->open == OK && play->client.is_open)
		play->send = smtp_client_send(
			&play->client, &play->message, play->recipients, play->count, &play->arena);
	play->quit = smtp_client_quit(&play->client);
}

/* All that the dialogue expects was written and read. */
static void
play_finish(struct play *play)
{
	struct dialogue *dialogue = &play->dialogue;

	if (dialogue->step->kind == STEP_CLIENT && dialogue->at == dialogue->step->bytes.len)
		dialogue->step++;
	if (dialogue->fail_write_at == 0)
		dialogue_compare(dialogue);
	ck_assert_int_eq(dialogue->step->kind, STEP_END);
}

static void
play_done(struct play *play)
{
	smtp_client_done(&play->client);
	arena_done(&play->arena);
	buffer_done(&play->transcript);
	dialogue_done(&play->dialogue);
}

#define GREETING P("220 b.test ESMTP\r\n"), W("EHLO me.test\r\n"), P("250 b.test\r\n")
#define GREETING_PIPELINING                               \
	P("220 b.test ESMTP\r\n"), W("EHLO me.test\r\n"), \
		P("250-b.test hello\r\n250-pipelining\r\n250-SIZE 1000\r\n250 8BITMIME\r\n")
#define SENT_MAIL W("MAIL FROM:<a@me.test>\r\n"), P("250 ok\r\n")
#define SENT_RCPT W("RCPT TO:<one@b.test>\r\n"), P("250 2.1.5 fine\r\n")
#define SENT_DATA W("DATA\r\n"), P("354 go\r\n")
#define WIRE      "Subject: x\r\n\r\n..hello\r\n.\r\n"
#define FINE      P("250 ok\r\n")
#define SENT_QUIT W("QUIT\r\n"), P("221 bye\r\n"), END
#define THE_GROUP                                                                    \
	W("MAIL FROM:<a@me.test> SIZE=22\r\nRCPT TO:<one@b.test>\r\nRCPT TO:<two@b." \
	  "test>\r\nRCPT TO:<three@b.test>\r\nDATA\r\n")

START_TEST(one_message)
{
	static const struct step steps[] = {GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, W(WIRE),
		P("250 2.0.0 queued as 1\r\n"), SENT_QUIT};
	static const size_t pieces[] = {0, 1, 7};

	for (size_t i = 0; i < 3; i++) {
		struct play play;
		play_init(&play, 0);
		play.dialogue.piece = play.content_piece = play.dialogue.write_piece = pieces[i];
		play_run(&play, steps);
		ck_assert_ok(play.open);
		ck_assert_ok(play.send);
		ck_assert_ok(play.quit);
		ck_assert_int_eq(play.recipients[0].stage, SMTP_STAGE_FINAL);
		ck_assert_uint_eq(play.recipients[0].reply.code, 250);
		ck_assert_uint_eq(play.recipients[0].reply.enhanced[0], 2);
		ck_assert_slice_eq(play.recipients[0].reply.text, "2.0.0 queued as 1");
		ck_assert(play.recipients[0].is_accepted && !play.recipients[0].is_ours);
		ck_assert_slice_eq(buffer_slice(&play.transcript),
			"<220 b.test ESMTP\n>EHLO me.test\n<250 b.test\n>MAIL FROM:<a@me.test>\n"
			"<250 ok\n>RCPT TO:<one@b.test>\n<250 2.1.5 fine\n>DATA\n<354 go\n"
			"=19 octets of content\n<250 2.0.0 queued as 1\n>QUIT\n<221 bye\n");
		play_finish(&play);
		play_done(&play);
	}
}
END_TEST

/* A short end in a packet of its own would wait for the acknowledgement of the content. */
START_TEST(content_and_end_together)
{
	static const struct step steps[] = {GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, W(WIRE),
		P("250 2.0.0 queued as 1\r\n"), SENT_QUIT};
	struct play play;

	play_init(&play, 0);
	play.content_piece = 7;
	play_run(&play, steps);
	ck_assert_ok(play.send);
	ck_assert_uint_eq(play.dialogue.writes, 6); /* EHLO, MAIL, RCPT, DATA, content, QUIT */
	play_finish(&play);
	play_done(&play);
}
END_TEST

START_TEST(one_group_with_all_extensions)
{
	static const struct step steps[] = {GREETING_PIPELINING,
		W("MAIL FROM:<a@me.test> SIZE=22 BODY=8BITMIME\r\nRCPT TO:<one@b.test>\r\n"
		  "RCPT TO:<two@b.test>\r\nRCPT TO:<three@b.test>\r\nDATA\r\n"),
		P("250 ok\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n452 4.2.2\r\n"),
		P("354 go\r\n"), W(WIRE), P("250 ok\r\n"), SENT_QUIT};
	struct play play;

	play_init(&play, 0);
	play.count = 3;
	play.message.is_8bit = true;
	play_run(&play, steps);
	ck_assert_ok(play.send);
	ck_assert_uint_eq(play.client.size_max, 1000);
	ck_assert_uint_eq(play.recipients[0].reply.code, 250);
	ck_assert_int_eq(play.recipients[0].stage, SMTP_STAGE_FINAL);
	ck_assert_uint_eq(play.recipients[1].reply.code, 550);
	ck_assert_uint_eq(play.recipients[1].reply.enhanced[2], 1);
	ck_assert_slice_eq(play.recipients[1].reply.text, "5.1.1 no\n5.1.1 such user");
	ck_assert_int_eq(play.recipients[1].stage, SMTP_STAGE_RCPT);
	ck_assert_uint_eq(play.recipients[2].reply.code, 452);
	ck_assert(!play.recipients[1].is_accepted && !play.recipients[2].is_accepted);
	play_finish(&play);
	play_done(&play);
}
END_TEST

/* RFC 3461: what a server that offers DSN is told, and none of it to another. */
START_TEST(wishes_are_told_to_who_knows_them)
{
	static const struct step offered[] = {P("220 b.test ESMTP\r\n"), W("EHLO me.test\r\n"),
		P("250-b.test\r\n250 DSN\r\n"), W("MAIL FROM:<a@me.test> RET=HDRS ENVID=x+20y\r\n"),
		FINE, W("RCPT TO:<one@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c\r\n"), FINE,
		SENT_DATA, W(WIRE), FINE, SENT_QUIT};
	static const struct step plain[] = {
		GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, W(WIRE), FINE, SENT_QUIT};
	static const char *const bad[] = {"rfc822;a b", "rfc822;a NOTIFY=NEVER", "a"};

	for (size_t i = 0; i < 2 + sizeof bad / sizeof *bad; i++) {
		struct play play;
		play_init(&play, 0);
		play.message.returns = SLICE("HDRS");
		play.message.envelope_id = SLICE("x+20y");
		play.recipients[0].notify = DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY;
		play.recipients[0].original =
			i < 2 ? SLICE("rfc822;a+2Bb@c") : slice_text(bad[i - 2]);
		if (i < 2) {
			play_run(&play, i == 0 ? offered : plain);
			ck_assert_ok(play.send);
			play_finish(&play);
		} else {
			static const struct step none[] = {GREETING, SENT_QUIT};
			play_run(&play, none);
			ck_assert_int_eq(play.send, ERROR_FORMAT);
		}
		play_done(&play);
	}
}
END_TEST

/* RFC 2920 section 3.1: 354 although all recipients were refused. */
START_TEST(nobody_accepted)
{
	static const struct step steps[] = {GREETING_PIPELINING, THE_GROUP,
		P("250 ok\r\n550 a\r\n450 b\r\n551 c\r\n354 go\r\n"), W(".\r\n"),
		P("554 no recipients\r\n"), SENT_QUIT};
	static const struct step refused[] = {GREETING_PIPELINING, THE_GROUP,
		P("250 ok\r\n550 a\r\n450 b\r\n551 c\r\n503 no recipients\r\n"), SENT_QUIT};
	static const struct step *const both[] = {steps, refused};

	for (size_t i = 0; i < 2; i++) {
		struct play play;
		play_init(&play, 0);
		play.count = 3;
		play_run(&play, both[i]);
		ck_assert_ok(play.send);
		ck_assert_uint_eq(play.recipients[0].reply.code, 550);
		ck_assert_uint_eq(play.recipients[1].reply.code, 450);
		ck_assert_slice_eq(play.recipients[2].reply.text, "c");
		ck_assert_uint_eq(play.content_at, 0);
		ck_assert_int_eq(play.client.needs_reset, i == 1);
		play_finish(&play);
		play_done(&play);
	}
}
END_TEST

START_TEST(no_data_for_nobody)
{
	static const struct step steps[] = {
		GREETING, SENT_MAIL, W("RCPT TO:<one@b.test>\r\n"), P("550\r\n"), SENT_QUIT};
	struct play play;

	play_init(&play, 0);
	play_run(&play, steps);
	ck_assert_ok(play.send);
	ck_assert_uint_eq(play.recipients[0].reply.code, 550);
	ck_assert_uint_eq(play.recipients[0].reply.text.len, 0);
	play_finish(&play);
	play_done(&play);
}
END_TEST

/* What MAIL or DATA says counts for all; replies to the RCPTs of the same group change nothing. */
START_TEST(refused_as_a_whole)
{
	static const struct {
		struct step steps[10];
		uint16_t code;
		enum smtp_client_stage stage;
	} cases[] = {
		{{GREETING_PIPELINING, THE_GROUP,
			 P("553 not you\r\n503 a\r\n250 b\r\n503 c\r\n503 d\r\n"), SENT_QUIT},
			553, SMTP_STAGE_MAIL},
		{{GREETING_PIPELINING, THE_GROUP,
			 P("451 later\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n"), W(".\r\n"),
			 P("250 what?\r\n"), SENT_QUIT},
			451, SMTP_STAGE_MAIL},
		{{GREETING_PIPELINING, THE_GROUP,
			 P("250 ok\r\n250 a\r\n250 b\r\n250 c\r\n554 d\r\n"), SENT_QUIT},
			554, SMTP_STAGE_DATA},
		{{GREETING_PIPELINING, THE_GROUP,
			 P("250 ok\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n"), W(WIRE),
			 P("550 spam\r\n"), SENT_QUIT},
			550, SMTP_STAGE_FINAL},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct play play;
		play_init(&play, 0);
		play.count = 3;
		play_run(&play, cases[i].steps);
		ck_assert_ok(play.send);
		for (size_t r = 0; r < 3; r++) {
			ck_assert_uint_eq(play.recipients[r].reply.code, cases[i].code);
			ck_assert_int_eq(play.recipients[r].stage, cases[i].stage);
		}
		play_finish(&play);
		play_done(&play);
	}
}
END_TEST

/* RFC 5321 section 3.8: the session is over, nothing more is said, not even QUIT. */
START_TEST(farewell_anywhere)
{
	static const struct {
		struct step steps[12];
		enum smtp_client_stage stage;
	} cases[] = {
		{{GREETING, W("MAIL FROM:<a@me.test>\r\n"), P("421 4.3.2 down\r\n"), END},
			SMTP_STAGE_MAIL},
		{{GREETING, SENT_MAIL, W("RCPT TO:<one@b.test>\r\n"), P("421 4.3.2 down\r\n"), END},
			SMTP_STAGE_RCPT},
		{{GREETING, SENT_MAIL, SENT_RCPT, W("DATA\r\n"), P("421 4.3.2 down\r\n"), END},
			SMTP_STAGE_DATA},
		{{GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, W(WIRE), P("421 4.3.2 down\r\n"), END},
			SMTP_STAGE_FINAL},
		/* unasked, together with the last reply */
		{{P("220 b.test\r\n"), W("EHLO me.test\r\n"), P("250 b.test\r\n421 4.3.2 down\r\n"),
			 END},
			SMTP_STAGE_MAIL},
		{{GREETING, SENT_MAIL, SENT_RCPT, W("DATA\r\n"), P("354 go\r\n421 4.3.2 down\r\n"),
			 END},
			SMTP_STAGE_DATA},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct play play;
		play_init(&play, 0);
		play_run(&play, cases[i].steps);
		ck_assert_ok(play.open);
		ck_assert_ok(play.send);
		ck_assert_ok(play.quit);
		ck_assert_uint_eq(play.recipients[0].reply.code, 421);
		ck_assert_int_eq(play.recipients[0].stage, cases[i].stage);
		ck_assert(play.client.is_over);
		play_finish(&play);
		play_done(&play);
	}
}
END_TEST

/* In a group the farewell decides for all that have no reply yet, accepted or not. */
START_TEST(farewell_in_a_group)
{
	static const struct step steps[] = {
		GREETING_PIPELINING, THE_GROUP, P("250 ok\r\n250 a\r\n550 b\r\n421 c\r\n"), END};
	struct play play;

	play_init(&play, 0);
	play.count = 3;
	play_run(&play, steps);
	ck_assert_ok(play.send);
	ck_assert_uint_eq(play.recipients[0].reply.code, 421);
	ck_assert_uint_eq(play.recipients[1].reply.code, 550);
	ck_assert_uint_eq(play.recipients[2].reply.code, 421);
	play_finish(&play);
	play_done(&play);
}
END_TEST

START_TEST(greetings)
{
	static const struct {
		struct step steps[8];
		bool is_open;
		uint16_t code;
	} cases[] = {
		{{P("554 no\r\n"), SENT_QUIT}, false, 554},
		{{P("421 busy\r\n"), END}, false, 421},
		{{P("220\r\n"), W("EHLO me.test\r\n"), P("502 what?\r\n"), W("HELO me.test\r\n"),
			 P("550 no\r\n"), SENT_QUIT},
			false, 550},
		{{P("220\r\n"), W("EHLO me.test\r\n"), P("450 later\r\n"), SENT_QUIT}, false, 450},
		{{P("220\r\n"), W("EHLO me.test\r\n"), P("421 busy\r\n"), END}, false, 421},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct play play;
		play_init(&play, 0);
		play_run(&play, cases[i].steps);
		ck_assert_ok(play.open);
		ck_assert(play.client.is_open == cases[i].is_open);
		ck_assert_uint_eq(play.greeting.code, cases[i].code);
		ck_assert_int_eq(play.send, ERROR_AGAIN);
		play_finish(&play);
		play_done(&play);
	}
}
END_TEST

START_TEST(old_server)
{
	static const struct step steps[] = {P("220-b.test\r\n220 hello\r\n"), W("EHLO me.test\r\n"),
		P("500 what?\r\n"), W("HELO me.test\r\n"), P("250 b.test\r\n"), SENT_MAIL,
		SENT_RCPT, SENT_DATA, W(WIRE), P("250\r\n"), SENT_QUIT};
	struct play play;

	play_init(&play, 0);
	play_run(&play, steps);
	ck_assert_ok(play.send);
	ck_assert_uint_eq(play.recipients[0].reply.code, 250);
	play_finish(&play);
	play_done(&play);
}
END_TEST

/* What EHLO said is believed without asking; what follows on the connection is another message. */
START_TEST(refused_by_hello)
{
	static const struct step steps[] = {P("220 b.test\r\n"), W("EHLO me.test\r\n"),
		P("250-b.test\r\n250-SIZEABLE 5\r\n250 SIZE 21\r\n"), SENT_QUIT};
	struct play play;

	play_init(&play, 0);
	play_run(&play, steps);
	ck_assert_ok(play.send);
	ck_assert_uint_eq(play.recipients[0].reply.code, 552);
	ck_assert(play.recipients[0].is_ours);
	play_finish(&play);
	play_done(&play);

	static const struct step plain[] = {GREETING, SENT_QUIT};
	play_init(&play, 0);
	play.message.is_8bit = true;
	play_run(&play, plain);
	ck_assert_ok(play.send);
	ck_assert_uint_eq(play.recipients[0].reply.code, 554);
	ck_assert_uint_eq(play.recipients[0].reply.enhanced[1], 6);
	ck_assert(play.recipients[0].is_ours);
	play_finish(&play);
	play_done(&play);
}
END_TEST

START_TEST(several_messages)
{
	static const struct step steps[] = {GREETING, SENT_MAIL, W("RCPT TO:<one@b.test>\r\n"),
		P("550 no\r\n"), W("RSET\r\n"), P("250 ok\r\n"), SENT_MAIL, SENT_RCPT, SENT_DATA,
		W(WIRE), P("250 ok\r\n"), SENT_MAIL, SENT_RCPT, SENT_DATA, W(".\r\n"),
		P("250 ok\r\n"), SENT_QUIT};
	struct play play;

	play_init(&play, 0);
	play.dialogue.step = steps;
	ck_assert_ok(smtp_client_open(&play.client, &play.greeting));
	for (int i = 0; i < 3; i++) {
		ck_assert_ok(smtp_client_send(
			&play.client, &play.message, play.recipients, 1, &play.arena));
		ck_assert_uint_eq(play.recipients[0].reply.code, i == 0 ? 550 : 250);
	}
	ck_assert_ok(smtp_client_quit(&play.client));
	play_finish(&play);
	play_done(&play);
}
END_TEST

/* No RSET, no MAIL: the refusal of RSET counts for the message. */
START_TEST(refused_reset)
{
	static const struct step steps[] = {GREETING, SENT_MAIL, W("RCPT TO:<one@b.test>\r\n"),
		P("550 no\r\n"), W("RSET\r\n"), P("451 stuck\r\n"), SENT_QUIT};
	struct play play;

	play_init(&play, 0);
	play.dialogue.step = steps;
	ck_assert_ok(smtp_client_open(&play.client, &play.greeting));
	for (int i = 0; i < 2; i++)
		ck_assert_ok(smtp_client_send(
			&play.client, &play.message, play.recipients, 1, &play.arena));
	ck_assert_uint_eq(play.recipients[0].reply.code, 451);
	ck_assert_int_eq(play.recipients[0].stage, SMTP_STAGE_RESET);
	ck_assert_ok(smtp_client_quit(&play.client));
	play_finish(&play);
	play_done(&play);
}
END_TEST

/* Servers that do not speak SMTP, or lie. */
START_TEST(wrong_servers)
{
	static const struct {
		struct step steps[12];
		enum error open, send;
	} cases[] = {
		{{P("HTTP/1.1 400 Bad Request\r\n"), END}, ERROR_FORMAT, ERROR_AGAIN},
		{{P("\r\n"), END}, ERROR_FORMAT, ERROR_AGAIN},
		{{P("\0\1\2\377\r\n"), END}, ERROR_FORMAT, ERROR_AGAIN},
		{{P("150 wait\r\n"), END}, ERROR_FORMAT, ERROR_AGAIN},
		{{P("354 go\r\n"), END}, ERROR_FORMAT, ERROR_AGAIN},
		{{P("22\r\n"), END}, ERROR_FORMAT, ERROR_AGAIN},
		{{P("2200 x\r\n"), END}, ERROR_FORMAT, ERROR_AGAIN},
		{{P("220-a\r\n250 b\r\n"), END}, ERROR_FORMAT, ERROR_AGAIN},
		{{P("220 a\r\n250 too much\r\n"), END}, ERROR_FORMAT, ERROR_AGAIN},
		{{P("220-a\r\n"), END}, ERROR_CLOSED, ERROR_AGAIN},
		{{P("220 a"), END}, ERROR_CLOSED, ERROR_AGAIN},
		{{P("220-a\r\n"), SILENCE, END}, ERROR_TIMEOUT, ERROR_AGAIN},
		{{CANCEL, END}, ERROR_CANCELLED, ERROR_AGAIN},
		{{RESET}, ERROR_CLOSED, ERROR_AGAIN},
		{{P("220 a\r\n"), W("EHLO me.test\r\n"), P("250-a\r\n251 b\r\n"), END},
			ERROR_FORMAT, ERROR_AGAIN},
		{{GREETING, W("MAIL FROM:<a@me.test>\r\n"), P("354 go\r\n"), END}, OK,
			ERROR_FORMAT},
		{{GREETING, SENT_MAIL, W("RCPT TO:<one@b.test>\r\n"), P("354 go\r\n"), END}, OK,
			ERROR_FORMAT},
		{{GREETING, SENT_MAIL, SENT_RCPT, W("DATA\r\n"), P("250 taken\r\n"), END}, OK,
			ERROR_FORMAT},
		{{GREETING, SENT_MAIL, SENT_RCPT, W("DATA\r\n"), P("354 go\r\n250 taken\r\n"), END},
			OK, ERROR_FORMAT},
		{{GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, W(WIRE), P("354 more\r\n"), END}, OK,
			ERROR_FORMAT},
		{{GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, W(WIRE), P("250-half\r\n"), END}, OK,
			ERROR_CLOSED},
		{{GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, W(WIRE), SILENCE, END}, OK,
			ERROR_TIMEOUT},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct play play;
		play_init(&play, 0);
		play_run(&play, cases[i].steps);
		ck_assert_msg(play.open == cases[i].open && play.send == cases[i].send,
			"case %zu: %s, %s", i, error_text(play.open), error_text(play.send));
		ck_assert_ok(play.quit);
		ck_assert(play.client.is_over);
		ck_assert_uint_eq(play.recipients[0].reply.code, 0);
		play_done(&play);
	}
}
END_TEST

/* Closed at each octet of the server's part: never a positive outcome, and where it happened is
 * known. */
START_TEST(closed_anywhere)
{
	static const struct step steps[] = {GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, W(WIRE),
		P("250-queued\r\n250 as 1\r\n"), END};
	size_t total = 0;

	for (const struct step *step = steps; step->kind != STEP_END; step++)
		total += step->kind == STEP_CLIENT ? step->bytes.len : 0;
	for (size_t limit = 0; limit < total; limit++) {
		struct play play;
		play_init(&play, 0);
		play.dialogue.client_limit = limit;
		play_run(&play, steps);
		enum error error = play.open != OK ? play.open : play.send;
		ck_assert_int_eq(error, ERROR_CLOSED);
		ck_assert_uint_eq(play.recipients[0].reply.code, 0);
		ck_assert_int_eq(play.client.stage == SMTP_STAGE_FINAL, limit >= total - 22);
		play_done(&play);
	}
}
END_TEST

/* Lines without end are cut, replies without end are an error; neither takes memory. */
START_TEST(endless_replies)
{
	struct buffer many;
	struct play play;

	play_init(&play, 65536);
	buffer_init(&many, play.dialogue.world, 1u << 20);
	for (int i = 0; i < SMTP_REPLY_READ_LINES_MAX + 1; i++)
		buffer_append_text(&many, "220-again and again\r\n");
	const struct step lines[] = {{STEP_CLIENT, buffer_slice(&many)}, END};
	play_run(&play, lines);
	ck_assert_int_eq(play.open, ERROR_LIMIT);
	buffer_done(&many);
	play_done(&play);

	play_init(&play, 65536);
	buffer_init(&many, play.dialogue.world, 1u << 20);
	buffer_append_text(&many, "550 ");
	for (int i = 0; i < 100000; i++)
		buffer_append_octet(&many, 'x');
	buffer_append_text(&many, "\r\n");
	const struct step line[] = {GREETING, W("MAIL FROM:<a@me.test>\r\n"),
		{STEP_CLIENT, buffer_slice(&many)}, SENT_QUIT};
	play.count = 2;
	play_run(&play, line);
	ck_assert_ok(play.send);
	ck_assert_uint_eq(play.recipients[1].reply.code, 550);
	ck_assert_uint_eq(play.recipients[1].reply.text.len, SMTP_CLIENT_TEXT_MAX);
	play_finish(&play);
	buffer_done(&many);
	play_done(&play);
}
END_TEST

/* A server's text can't carry a line end or an escape sequence out of here. */
START_TEST(harmless_text)
{
	static const struct step steps[] = {
		GREETING, W("MAIL FROM:<a@me.test>\r\n"), P("550 a\rb\0c\033[2J\n"), SENT_QUIT};
	struct play play;

	play_init(&play, 0);
	play_run(&play, steps);
	ck_assert_ok(play.send);
	ck_assert_slice_eq(play.recipients[0].reply.text, "a?b?c?[2J");
	play_finish(&play);
	play_done(&play);
}
END_TEST

/* Each wait has the time that RFC 5321 section 4.5.3.2 gives it. */
START_TEST(deadlines)
{
	static const struct {
		struct step steps[12];
		int seconds;
	} cases[] = {
		{{SILENCE, END}, 300},
		{{P("220 b\r\n"), W("EHLO me.test\r\n"), SILENCE, END}, 300},
		{{GREETING, W("MAIL FROM:<a@me.test>\r\n"), SILENCE, END}, 300},
		{{GREETING, SENT_MAIL, W("RCPT TO:<one@b.test>\r\n"), SILENCE, END}, 300},
		{{GREETING, SENT_MAIL, SENT_RCPT, W("DATA\r\n"), SILENCE, END}, 120},
		{{GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, W(WIRE), SILENCE, END}, 600},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct play play;
		play_init(&play, 0);
		play_run(&play, cases[i].steps);
		ck_assert_int_eq(play.open != OK ? play.open : play.send, ERROR_TIMEOUT);
		ck_assert_uint_eq(play.waits, 1);
		ck_assert_int_eq(play.deadlines[0], cases[i].seconds * US_PER_S);
		play_finish(&play);
		play_done(&play);
	}
}
END_TEST

/* The connection breaks at the n-th write; what the server said before it went still counts, if it
 * is a refusal. */
START_TEST(writes_fail)
{
	static const struct {
		struct step steps[12];
		unsigned fail_at;
		enum error send;
		uint16_t code;
		enum smtp_client_stage stage;
	} cases[] = {
		{{GREETING, P("554 go away\r\n"), END}, 2, OK, 554, SMTP_STAGE_MAIL},
		{{GREETING, END}, 2, ERROR_CLOSED, 0, SMTP_STAGE_MAIL},
		{{GREETING, P("250 ok\r\n"), END}, 2, ERROR_CLOSED, 0, SMTP_STAGE_MAIL},
		{{GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, P("552 too much\r\n"), END}, 5, OK,
			552, SMTP_STAGE_CONTENT},
		{{GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, P("250 taken\r\n"), END}, 5,
			ERROR_CLOSED, 0, SMTP_STAGE_CONTENT},
		{{GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, P("250 taken\r\n"), END}, 6,
			ERROR_CLOSED, 0, SMTP_STAGE_CONTENT},
		{{GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, END}, 6, ERROR_CLOSED, 0,
			SMTP_STAGE_CONTENT},
	};

	static uint8_t content[20000]; /* of two writes */
	memset(content, 'x', sizeof content);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct play play;
		play_init(&play, 0);
		play.content = slice_of(content, sizeof content);
		play.dialogue.ignores_replies = true;
		play.dialogue.fail_write_at = cases[i].fail_at;
		play_run(&play, cases[i].steps);
		ck_assert_ok(play.open);
		ck_assert_msg(play.send == cases[i].send, "case %zu: %s", i, error_text(play.send));
		ck_assert_uint_eq(play.recipients[0].reply.code, cases[i].code);
		ck_assert_int_eq(play.client.stage, cases[i].stage);
		ck_assert_ok(play.quit);
		ck_assert(play.client.is_over);
		play_done(&play);
	}
}
END_TEST

/* Content that can't be read to its end: no final dot, so the server throws it away. */
START_TEST(content_breaks_off)
{
	static const struct step steps[] = {GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, END};
	struct play play;

	play_init(&play, 0);
	play.content_piece = 3;
	play.content_error = ERROR_DAMAGED;
	play_run(&play, steps);
	ck_assert_int_eq(play.send, ERROR_DAMAGED);
	ck_assert_int_eq(play.client.stage, SMTP_STAGE_CONTENT);
	ck_assert_uint_eq(play.recipients[0].reply.code, 0);
	ck_assert(play.client.is_over);
	play_finish(&play);
	play_done(&play);
}
END_TEST

/* Only who offers SMTPUTF8 gets what is beyond ASCII. */
START_TEST(international_mail_needs_the_extension)
{
	static const struct step takes[] = {P("220 b.test\r\n"), W("EHLO me.test\r\n"),
		P("250-b.test\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"),
		W("MAIL FROM:<a@me.test> SMTPUTF8\r\n"), P("550 no\r\n"), SENT_QUIT};
	static const struct step does_not[] = {GREETING, SENT_QUIT};

	for (int i = 0; i < 4; i++) {
		struct play play;
		play_init(&play, 0);
		if (i % 2)
			play.recipients[0].address = SLICE("caf\xc3\xa9@b.test");
		else
			play.message.is_smtputf8 = true;
		play_run(&play, i / 2 ? takes : does_not);
		ck_assert_ok(play.send);
		ck_assert_uint_eq(play.recipients[0].reply.code, 550);
		ck_assert_uint_eq(play.recipients[0].reply.enhanced[1], i / 2 ? 0 : 6);
		ck_assert_int_eq(play.recipients[0].is_ours, i < 2);
		play_finish(&play);
		play_done(&play);
	}
}
END_TEST

/* An address never makes a second command. */
START_TEST(addresses_are_checked)
{
	static const struct slice bad[] = {SLICE_INIT("a@b>\r\nDATA\r\n"), SLICE_INIT("a\n@b"),
		SLICE_INIT("a\0@b"), SLICE_INIT("caf\xc3@b"), SLICE_INIT("a\177@b")};

	for (size_t i = 0; i < 2 * sizeof bad / sizeof *bad; i++) {
		static const struct step steps[] = {GREETING, SENT_QUIT};
		struct play play;
		play_init(&play, 0);
		play.count = 2;
		*(i % 2 ? &play.recipients[1].address : &play.message.reverse_path) = bad[i / 2];
		play_run(&play, steps);
		ck_assert_int_eq(play.send, ERROR_FORMAT);
		ck_assert_ok(play.quit);
		play_finish(&play);
		play_done(&play);
	}
}
END_TEST

/* More commands than a group holds: the next group waits for the replies to the first. */
START_TEST(many_recipients)
{
	enum { COUNT = 5 };
	struct smtp_client_recipient recipients[COUNT] = {0};
	struct buffer first, second;
	struct play play;

	play_init(&play, 0);
	buffer_init(&first, play.dialogue.world, 65536);
	buffer_init(&second, play.dialogue.world, 65536);
	buffer_append_text(&first, "MAIL FROM:<a@me.test>\r\n");
	for (int i = 0; i < COUNT; i++) {
		uint8_t *name = arena_take(&play.arena, 1000);
		memset(name, 'a' + i, 1000);
		recipients[i].address = slice_of(name, 1000);
		struct buffer *group = i < 4 ? &first : &second;
		buffer_append_text(group, "RCPT TO:<");
		buffer_append(group, recipients[i].address);
		buffer_append_text(group, ">\r\n");
	}
	buffer_append_text(&second, "DATA\r\n");
	ck_assert_uint_le(first.len, SMTP_CLIENT_GROUP_MAX);
	ck_assert_uint_gt(first.len + 1013, SMTP_CLIENT_GROUP_MAX);
	const struct step steps[] = {P("220 b\r\n"), W("EHLO me.test\r\n"),
		P("250-b\r\n250 PIPELINING\r\n"), {STEP_SERVER, buffer_slice(&first)}, FINE, FINE,
		FINE, FINE, FINE, {STEP_SERVER, buffer_slice(&second)}, P("250 ok\r\n354 go\r\n"),
		W(WIRE), FINE, SENT_QUIT};
	play.dialogue.step = steps;
	ck_assert_ok(smtp_client_open(&play.client, &play.greeting));
	ck_assert_ok(smtp_client_send(&play.client, &play.message, recipients, COUNT, &play.arena));
	for (int i = 0; i < COUNT; i++)
		ck_assert_uint_eq(recipients[i].reply.code, 250);
	ck_assert_ok(smtp_client_quit(&play.client));
	buffer_done(&first);
	buffer_done(&second);
	play_finish(&play);
	play_done(&play);
}
END_TEST

/* With less and less memory: an error, never a wrong outcome, and nothing left behind (play_done
 * looks). */
START_TEST(out_of_memory)
{
	static const struct step steps[] = {
		GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, W(WIRE), P("250 ok\r\n"), SENT_QUIT};
	bool was_sent = false, was_not_opened = false, was_not_sent = false;

	for (size_t limit = 64; !was_sent && limit < 1u << 20; limit += 997) {
		struct play play;
		play_init(&play, limit);
		play.dialogue.ignores_replies = true;
		play_run(&play, steps);
		was_sent = play.send == OK;
		was_not_opened |= play.open == ERROR_NO_MEMORY;
		was_not_sent |= play.send == ERROR_NO_MEMORY;
		ck_assert(play.open == OK || play.open == ERROR_NO_MEMORY);
		ck_assert(was_sent || play.send == ERROR_NO_MEMORY || play.send == ERROR_AGAIN);
		ck_assert_uint_eq(play.recipients[0].reply.code, was_sent ? 250 : 0);
		play_done(&play);
	}
	ck_assert(was_sent && was_not_opened && was_not_sent);
}
END_TEST

/* An arena without room costs texts, not outcomes. */
START_TEST(texts_without_room)
{
	static const struct step steps[] = {GREETING, SENT_MAIL, SENT_RCPT, SENT_DATA, W(WIRE),
		P("250 2.0.0 queued\r\n"), SENT_QUIT};
	struct play play;

	play_init(&play, 0);
	arena_init(&play.arena, play.dialogue.world, 1);
	play_run(&play, steps);
	ck_assert_ok(play.send);
	ck_assert_uint_eq(play.recipients[0].reply.code, 250);
	ck_assert_uint_eq(play.recipients[0].reply.enhanced[0], 2);
	ck_assert_uint_eq(play.recipients[0].reply.text.len, 0);
	play_finish(&play);
	play_done(&play);
}
END_TEST

UNIT_MAIN("smtp/client", one_message, content_and_end_together, one_group_with_all_extensions,
	wishes_are_told_to_who_knows_them, nobody_accepted, no_data_for_nobody, refused_as_a_whole,
	farewell_anywhere, farewell_in_a_group, greetings, old_server, refused_by_hello,
	several_messages, refused_reset, wrong_servers, closed_anywhere, endless_replies,
	harmless_text, deadlines, writes_fail, content_breaks_off, addresses_are_checked,
	international_mail_needs_the_extension, many_recipients, out_of_memory, texts_without_room)
