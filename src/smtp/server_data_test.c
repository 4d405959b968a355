/* DATA in whole dialogues: smuggling, limits, faults of the store, lost connections. */
#include "smtp_dialogue.h"

#define BARE_LF S("550 5.6.0 the content has a bare LF in it: lines must end with CR LF\r\n")
#define BARE_CR S("550 5.6.0 the content has a bare CR in it: lines must end with CR LF\r\n")

/*
 * Each sequence that some server once took for the end of data, with a second message behind it:
 * nothing is stored, one reply comes, at the real end, and the smuggled commands are content.
 */
START_TEST(smuggling_fails)
{
	static const struct {
		struct slice sequence;
		bool is_carriage_return;
	} cases[] = {
		{SLICE_INIT("\n.\n"), false},
		{SLICE_INIT("\n.\r\n"), false},
		{SLICE_INIT("\r\n.\n"), false},
		{SLICE_INIT("\r.\r"), true},
		{SLICE_INIT("\r\n.\r"), true},
		{SLICE_INIT("\n.\r"), false},
		{SLICE_INIT("\r.\r\n"), true},
		{SLICE_INIT("\r.\n"), false},
		{SLICE_INIT("\n\r.\r\n"), false},
		{SLICE_INIT("\r\n.\r\r\n"), true},
		{SLICE_INIT("\r\n.\n\r\n"), false},
		{SLICE_INIT("\r\n\n.\r\n"), false},
		{SLICE_INIT("\r\r\n.\rx\r\n"), true},
	};
	static const struct slice smuggled = SLICE_INIT(
		"MAIL FROM:<x@b.test>\r\nRCPT TO:<user@here.test>\r\nDATA\r\ny\r\n.\r\n");

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t bytes[256];
		struct buffer content;
		buffer_init_fixed(&content, bytes, sizeof bytes);
		buffer_append_text(&content, "Subject: x\r\n\r\nbody");
		buffer_append(&content, cases[i].sequence);
		buffer_append(&content, smuggled);
		const struct step bare_lf[] = {HELO, MAIL, RCPT, DATA,
			{STEP_CLIENT, buffer_slice(&content)}, BARE_LF, QUIT};
		const struct step bare_cr[] = {HELO, MAIL, RCPT, DATA,
			{STEP_CLIENT, buffer_slice(&content)}, BARE_CR, QUIT};
		dialogue_play(cases[i].is_carriage_return ? bare_cr : bare_lf, 0);
	}
}
END_TEST

START_TEST(refused_content_spares_the_session)
{
	static const struct step steps[] = {HELO, MAIL, RCPT, DATA, C("a\0b\r\nc\nd\re\r\n.\r\n"),
		S("550 5.6.0 the content has NUL characters in it\r\n"), C("DATA\r\n"),
		S("503 5.5.1 say MAIL first\r\n"), MAIL, RCPT, DATA, C("good\r\n.\r\n"), QUEUED_1,
		QUIT};

	dialogue_play(steps, 1);
}
END_TEST

START_TEST(lines_of_content_have_a_limit)
{
	static uint8_t longest[16384 + 5], longer[16385 + 5];
	struct step steps[] = {HELO, MAIL, RCPT, DATA,
		{STEP_CLIENT, slice_of(longest, sizeof longest)}, QUEUED_1, MAIL, RCPT, DATA,
		{STEP_CLIENT, slice_of(longer, sizeof longer)},
		S("550 5.6.0 the content has a line that is too long\r\n"), QUIT};
	struct dialogue dialogue;

	memset(longest, 'x', sizeof longest);
	memset(longer, 'x', sizeof longer);
	memcpy(longest + 16384, "\r\n.\r\n", 5);
	memcpy(longer + 16385, "\r\n.\r\n", 5);
	dialogue_play(steps, 1);
	dialogue_init(&dialogue, 0);
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(accept_memory_message(&dialogue.store, 0)->envelope.content_flags,
		CONTENT_LONG_LINE);
	dialogue_done(&dialogue);
}
END_TEST

/* Ten octets are taken, eleven are not; the dots that stuffing added do not count. */
START_TEST(size_is_counted)
{
	static const struct step steps[] = {HELO, MAIL, RCPT, DATA, C("..234567\r\n\r\n.\r\n"),
		S("552 5.3.4 the message is larger than this server takes\r\n"),
		C("MAIL FROM:<a@b.test> SIZE=11\r\n"),
		S("552 5.3.4 the message is larger than this server takes\r\n"),
		C("MAIL FROM:<a@b.test> SIZE=10\r\n"), S("250 2.1.0 sender ok\r\n"), RCPT, DATA,
		C("..2345678\r\n.\r\n"), QUEUED_1, QUIT};
	static const size_t rooms[] = {0, 1, 3};

	for (size_t i = 0; i < 3; i++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue.settings.max_message_bytes = 10;
		dialogue.store.faults.room_bytes = rooms[i];
		dialogue_run(&dialogue, steps);
		ck_assert_uint_eq(dialogue.received, 1);
		ck_assert_uint_eq(dialogue.store.aborts, 1);
		ck_assert_slice_eq(
			buffer_slice(&accept_memory_message(&dialogue.store, 0)->content),
			".2345678\r\n");
		dialogue_done(&dialogue);
	}
}
END_TEST

START_TEST(loops_are_cut)
{
	static const struct step fits[] = {HELO, MAIL, RCPT, DATA,
		C("Received: a\r\nreceived: b\r\n\tc\r\nSubject: x\r\n\r\nReceived: "
		  "body\r\nReceived: body\r\n.\r\n"),
		QUEUED_1, QUIT};
	static const struct step loops[] = {HELO, MAIL, RCPT, DATA,
		C("Received: a\r\nRECEIVED: b\r\nReceived: c\r\n\r\nx\r\n.\r\n"),
		S("554 5.4.6 too many hops: the message runs in a loop\r\n"), QUIT};
	static const size_t rooms[] = {0, 1, 5};

	for (size_t i = 0; i < 6; i++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue.settings.hops_max = 2;
		dialogue.store.faults.room_bytes = rooms[i / 2];
		dialogue_run(&dialogue, i % 2 ? loops : fits);
		ck_assert_uint_eq(dialogue.received, i % 2 ? 0 : 1);
		dialogue_done(&dialogue);
	}
}
END_TEST

/* Content and commands in one piece with DATA, into rooms of any size: what is behind the end comes
 * back as commands. */
START_TEST(content_comes_with_commands)
{
	static const struct step steps[] = {HELO, MAIL, RCPT,
		C("DATA\r\none\r\n..two\r\n.\r\nMAIL FROM:<c@b.test>\r\nRCPT "
		  "TO:<user2@here.test>\r\nDATA\r\nthree\r\n.\r\nQUIT\r\n"),
		END};

	for (size_t room = 1; room < 120; room++) {
		for (size_t piece = 0; piece < 30; piece += 7) {
			struct dialogue dialogue;
			dialogue_init(&dialogue, 0);
			dialogue.ignores_replies = true;
			dialogue.store.faults.room_bytes = room;
			dialogue.piece = piece;
			dialogue_run(&dialogue, steps);
			ck_assert_uint_eq(dialogue.received, 2);
			ck_assert_uint_eq(dialogue.refused, 0);
			ck_assert_int_eq(dialogue.end, SMTP_END_QUIT);
			ck_assert_slice_eq(
				buffer_slice(&accept_memory_message(&dialogue.store, 0)->content),
				"one\r\n.two\r\n");
			ck_assert_slice_eq(
				buffer_slice(&accept_memory_message(&dialogue.store, 1)->content),
				"three\r\n");
			ck_assert_slice_eq(accept_memory_message(&dialogue.store, 1)
						   ->envelope.recipients[0]
						   .address,
				"user2@here.test");
			dialogue_done(&dialogue);
		}
	}
}
END_TEST

START_TEST(store_is_full_before)
{
	static const struct step steps[] = {HELO, MAIL, RCPT, C("DATA\r\n"),
		S("452 4.3.1 no space left, try later\r\n"), DATA, C("x\r\n.\r\n"), QUEUED_1, QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.store.faults =
		(struct accept_memory_faults){.begin_at = 1, .begin_error = ERROR_NO_SPACE};
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(dialogue.received, 1);
	dialogue_done(&dialogue);
}
END_TEST

START_TEST(store_is_away_before)
{
	static const struct step steps[] = {HELO, MAIL, RCPT, C("DATA\r\n"),
		S("421 4.3.2 the queue is not available, come back later\r\n"), END};
	static const struct step stopping[] = {HELO, MAIL, RCPT, C("DATA\r\n"),
		S("421 4.3.2 shutting down, come back later\r\n"), END};
	static const struct {
		enum error error;
		enum smtp_end end;
	} cases[] = {{ERROR_CLOSED, SMTP_END_UNAVAILABLE}, {ERROR_TIMEOUT, SMTP_END_UNAVAILABLE},
		{ERROR_CANCELLED, SMTP_END_CANCELLED}};

	for (size_t i = 0; i < 3; i++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue.store.faults =
			(struct accept_memory_faults){.begin_at = 1, .begin_error = cases[i].error};
		dialogue_run(&dialogue, cases[i].error == ERROR_CANCELLED ? stopping : steps);
		ck_assert_int_eq(dialogue.end, cases[i].end);
		dialogue_done(&dialogue);
	}
}
END_TEST

/* The n-th room fails while content streams in: the reply comes at the content's end, and nothing
 * is kept. */
START_TEST(store_fails_within)
{
	static const struct step full[] = {HELO, MAIL, RCPT, DATA, C("0123456789\r\n.\r\n"),
		S("452 4.3.1 no space left, try later\r\n"), QUIT};
	static const struct step slow[] = {HELO, MAIL, RCPT, DATA, C("0123456789\r\n.\r\n"),
		S("451 4.3.0 the message could not be stored, try later\r\n"), QUIT};
	static const struct step away[] = {HELO, MAIL, RCPT, DATA, C("0123456789\r\n.\r\nNOOP\r\n"),
		S("421 4.3.2 the queue is not available, come back later\r\n"), END};
	static const struct {
		enum error error;
		const struct step *steps;
	} cases[] = {{ERROR_NO_SPACE, full}, {ERROR_TIMEOUT, slow}, {ERROR_CLOSED, away}};

	for (uint32_t n = 1; n <= 5; n++) {
		for (size_t i = 0; i < 3; i++) {
			struct dialogue dialogue;
			dialogue_init(&dialogue, 0);
			dialogue.store.faults = (struct accept_memory_faults){
				.room_at = n, .room_error = cases[i].error, .room_bytes = 3};
			dialogue_run(&dialogue, cases[i].steps);
			ck_assert_uint_eq(dialogue.received, 0);
			ck_assert_uint_eq(dialogue.store.aborts, 1);
			ck_assert_ptr_null(accept_memory_message(&dialogue.store, 0));
			dialogue_done(&dialogue);
		}
	}
}
END_TEST

START_TEST(commit_decides_the_reply)
{
	static const struct step failed[] = {HELO, MAIL, RCPT, DATA, C("x\r\n.\r\n"),
		S("451 4.3.0 the message could not be stored, try later\r\n"), QUIT};
	static const struct step full[] = {HELO, MAIL, RCPT, DATA, C("x\r\n.\r\n"),
		S("452 4.3.1 no space left, try later\r\n"), QUIT};
	static const struct step unknown[] = {HELO, MAIL, RCPT, DATA, C("x\r\n.\r\n"),
		S("451 4.3.0 it is not known whether the message was stored, try again\r\n"), QUIT};
	static const struct step away[] = {HELO, MAIL, RCPT, DATA, C("x\r\n.\r\n"),
		S("421 4.3.2 the queue is not available, come back later\r\n"), END};
	static const struct {
		enum accept_outcome outcome;
		const struct step *steps;
	} cases[] = {{ACCEPT_FAILED, failed}, {ACCEPT_NO_SPACE, full}, {ACCEPT_UNKNOWN, unknown},
		{ACCEPT_UNAVAILABLE, away}};

	for (size_t i = 0; i < 4; i++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue.store.faults = (struct accept_memory_faults){
			.commit_at = 1, .commit_outcome = cases[i].outcome};
		dialogue_run(&dialogue, cases[i].steps);
		ck_assert_uint_eq(dialogue.received, 0);
		ck_assert_uint_eq(dialogue.refused, 1);
		ck_assert_slice_eq(dialogue.last_line, "DATA");
		dialogue_done(&dialogue);
	}
}
END_TEST

/* The client vanishes after its n-th octet: what it did not end is not kept, and what it ended is.
 */
START_TEST(connection_is_lost_anywhere)
{
	static const struct step steps[] = {
		HELO, MAIL, RCPT, DATA, C("one\r\n..two\r\n.\r\n"), QUEUED_1, QUIT};
	size_t all = 0, content = sizeof "HELO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT "
					 "TO:<user@here.test>\r\nDATA\r\none\r\n..two\r\n.\r\n" -
				  1;

	for (const struct step *step = steps; step->kind != STEP_END; step++)
		all += step->kind == STEP_CLIENT ? step->bytes.len : 0;
	for (size_t n = 0; n < all; n++) {
		for (size_t piece = 0; piece < 2; piece++) {
			struct dialogue dialogue;
			dialogue_init(&dialogue, 0);
			dialogue.client_limit = n;
			dialogue.piece = piece;
			dialogue_run(&dialogue, steps);
			ck_assert_int_eq(dialogue.end, SMTP_END_LOST);
			ck_assert_uint_eq(dialogue.received, n >= content ? 1 : 0);
			ck_assert_uint_eq(
				accept_memory_message(&dialogue.store, 0) != NULL, n >= content);
			dialogue_done(&dialogue);
		}
	}
}
END_TEST

START_TEST(content_stops_coming)
{
	static const struct step silent[] = {HELO, MAIL, RCPT, DATA, C("x\r\n."), SILENCE,
		S("421 4.4.2 nothing came for too long, goodbye\r\n"), END};
	static const struct step cancelled[] = {HELO, MAIL, RCPT, DATA, C("x\r\n"), CANCEL,
		S("421 4.3.2 shutting down, come back later\r\n"), END};
	static const struct step refused[] = {HELO, MAIL, RCPT, DATA, C("x\ny\r\n"), SILENCE,
		S("421 4.4.2 nothing came for too long, goodbye\r\n"), END};

	dialogue_play(silent, 0);
	dialogue_play(cancelled, 0);
	dialogue_play(refused, 0);
}
END_TEST

static enum smtp_end
run_rated(const struct step *steps, uint32_t rate, uint32_t received)
{
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.settings.content_rate_min = rate;
	dialogue_run_task(&dialogue, steps);
	enum smtp_end end = dialogue.end;
	ck_assert_uint_eq(dialogue.received, received);
	dialogue_done(&dialogue);
	return end;
}

#define TOO_SLOW S("421 4.4.2 nothing came for too long, goodbye\r\n"), END

/* A block within its time, again and again: content has to come at a rate in each window but the
 * first, or the session ends. */
START_TEST(dribbled_content_is_cut_off)
{
	static const struct step dribbled[] = {HELO, MAIL, RCPT, DATA, C("a"), PAUSE(150), C("b"),
		PAUSE(150), C("c"), PAUSE(150), TOO_SLOW};
	static const struct step all_ways[] = {HELO, MAIL, RCPT, DATA, C("a"), PAUSE(170), C("b"),
		PAUSE(170), C("c"), PAUSE(170), C("d"), PAUSE(170), C("\r\n.\r\n"), QUEUED_1, QUIT};

	ck_assert_int_eq(run_rated(dribbled, 64, 0), SMTP_END_TIMEOUT);
	ck_assert_int_eq(run_rated(all_ways, 0, 1), SMTP_END_QUIT);
}
END_TEST

static uint8_t window[64 * 180];

static void
fill_window(void)
{
	for (size_t at = 0; at < sizeof window; at += 80) {
		memset(window + at, 'x', 78);
		memcpy(window + at + 78, "\r\n", 2);
	}
}

#define WINDOW                                               \
	{                                                    \
		STEP_CLIENT, slice_of(window, sizeof window) \
	}

/* The first window may bring nothing; the others just what they must, wherever in them it comes. */
START_TEST(steady_content_is_taken)
{
	const struct step steady[] = {HELO, MAIL, RCPT, DATA, C("x"), PAUSE(179), C("y\r\n"),
		PAUSE(60), WINDOW, PAUSE(2), WINDOW, PAUSE(179), WINDOW, PAUSE(179), C("\r\n.\r\n"),
		QUEUED_1, QUIT};

	fill_window();
	ck_assert_int_eq(run_rated(steady, 64, 1), SMTP_END_QUIT);
}
END_TEST

/* What came fast at first is no credit for later; a silence shorter than the timeout is none. */
START_TEST(fast_start_is_no_credit)
{
	const struct step stalls[] = {HELO, MAIL, RCPT, DATA, WINDOW, WINDOW, WINDOW, WINDOW,
		WINDOW, WINDOW, WINDOW, WINDOW, PAUSE(120), C("a"), PAUSE(120), C("b"), PAUSE(119),
		C("c"), PAUSE(2), TOO_SLOW};
	const struct step silent[] = {
		HELO, MAIL, RCPT, DATA, WINDOW, WINDOW, WINDOW, PAUSE(181), TOO_SLOW};
	/* An octet that comes when its window is over changes nothing. */
	const struct step late[] = {HELO, MAIL, RCPT, DATA, WINDOW, PAUSE(179), C("a"), PAUSE(179),
		C("b"), PAUSE(3), TOO_SLOW};
	const struct step pauses[] = {HELO, MAIL, RCPT, DATA, WINDOW, PAUSE(58), C("a"), PAUSE(119),
		C("\r\n.\r\n"), QUEUED_1, QUIT};

	fill_window();
	ck_assert_int_eq(run_rated(stalls, 64, 0), SMTP_END_TIMEOUT);
	ck_assert_int_eq(run_rated(silent, 64, 0), SMTP_END_TIMEOUT);
	ck_assert_int_eq(run_rated(late, 64, 0), SMTP_END_TIMEOUT);
	ck_assert_int_eq(run_rated(pauses, 64, 1), SMTP_END_QUIT);
}
END_TEST

/* Refused content is read on to its end, but not for ever. */
START_TEST(refused_content_has_an_end)
{
	static uint8_t large[5000];
	const struct step ends[] = {HELO, MAIL, RCPT, DATA, {STEP_CLIENT, slice_of(large, 1100)},
		C("\r\n.\r\n"), S("552 5.3.4 the message is larger than this server takes\r\n"),
		QUIT};
	const struct step never[] = {HELO, MAIL, RCPT, DATA,
		{STEP_CLIENT, slice_of(large, sizeof large)},
		S("552 5.3.4 far more content than this server takes, goodbye\r\n"), END};

	memset(large, 'x', sizeof large);
	for (int i = 0; i < 2; i++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue.settings.max_message_bytes = 100;
		dialogue.settings.content_excess_max = 1002;
		dialogue_run(&dialogue, i ? never : ends);
		ck_assert_int_eq(dialogue.end, i ? SMTP_END_ERRORS : SMTP_END_QUIT);
		dialogue_done(&dialogue);
	}
}
END_TEST

/* No space: said to MAIL and, when it comes in between, to DATA; nothing is sent in vain, what was
 * pipelined behind is no fault, and the session goes on. */
START_TEST(no_space_is_said_early)
{
	static const struct step steps[] = {HELO,
		C("MAIL FROM:<a@b.test> SIZE=5\r\nRCPT TO:<user@here.test>\r\nDATA\r\n"),
		S("452 4.3.1 no space left, try later\r\n503 5.5.1 say MAIL first\r\n"
		  "503 5.5.1 say MAIL first\r\n"),
		C("MAIL FROM:<a@b.test>\r\n"), S("452 4.3.1 no space left, try later\r\n"), QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.store.faults.is_full = true;
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(dialogue.store.begins, 0);
	ck_assert_uint_eq(dialogue.server.errors, 0);
	ck_assert_uint_eq(dialogue.refused, 4);
	dialogue_done(&dialogue);
}
END_TEST

/* Content of many blocks arrives as it was sent. */
START_TEST(large_content_is_unchanged)
{
	struct dialogue dialogue;
	struct buffer sent, expected;

	dialogue_init(&dialogue, 0);
	buffer_init(&sent, dialogue.world, 8u << 20);
	buffer_init(&expected, dialogue.world, 8u << 20);
	for (unsigned i = 0; i < 40000; i++) {
		const char *dot = i % 7 == 0 ? "." : "";
		buffer_printf(&sent, "%s%sline %u %0*u\r\n", dot, dot, i, (int)(i % 90) + 1, i);
		buffer_printf(&expected, "%sline %u %0*u\r\n", dot, i, (int)(i % 90) + 1, i);
	}
	buffer_append_text(&sent, ".\r\n");
	const struct step steps[] = {
		HELO, MAIL, RCPT, DATA, {STEP_CLIENT, buffer_slice(&sent)}, QUEUED_1, QUIT};
	dialogue.piece = 10007;
	dialogue.store.faults.room_bytes = 4099;
	dialogue_run(&dialogue, steps);
	const struct accept_memory_message *message = accept_memory_message(&dialogue.store, 0);
	ck_assert(slice_equal(buffer_slice(&message->content), buffer_slice(&expected)));
	ck_assert_uint_eq(message->envelope.content_flags, CONTENT_DOT_LINE);
	buffer_done(&sent);
	buffer_done(&expected);
	dialogue_done(&dialogue);
}
END_TEST

/* A judge of contents: the dialogue comes first, so that both are at the same place. */
struct judged {
	struct dialogue dialogue;
	struct buffer heard;
	unsigned begun, ended, over;
};

static bool
judged_begins(void *arg, const struct smtp_server *server)
{
	struct judged *judged = arg;

	(void)server;
	buffer_clear(&judged->heard);
	return ++judged->begun != 3;
}

static void
judged_piece(void *arg, struct slice octets)
{
	buffer_append(&((struct judged *)arg)->heard, octets);
}

static void
judged_ends(void *arg, const struct smtp_server *server, const struct envelope *envelope,
	struct smtp_verdict *ret_verdict)
{
	struct judged *judged = arg;

	(void)server;
	judged->ended++;
	ck_assert_slice_eq(envelope->reverse_path, "a@b.test");
	ret_verdict->fields = SLICE("Verdict: good\r\n\tmore\r\n");
	ret_verdict->is_junk = judged->ended == 1;
	if (slice_has_prefix(buffer_slice(&judged->heard), SLICE("bad")))
		ret_verdict->refusal = SMTP_REPLY(550, 5, 7, 1, "bad");
}

static void
judged_over(void *arg)
{
	((struct judged *)arg)->over++;
}

START_TEST(a_judge_hears_all_and_decides)
{
	static const struct step steps[] = {HELO, MAIL, RCPT, DATA, C("S: x\r\n..y\r\n.\r\n"),
		QUEUED_1, MAIL, RCPT, DATA, C("bad\r\n.\r\n"), S("550 5.7.1 bad\r\n"), MAIL, RCPT,
		C("DATA\r\n"), S("452 4.3.1 out of memory, try later\r\n"), MAIL, RCPT, DATA,
		C("a\0b\r\n.\r\n"), S("550 5.6.0 the content has NUL characters in it\r\n"), QUIT};
	struct smtp_server_ops ops = dialogue_ops;

	ops.content_begins = judged_begins;
	ops.content_piece = judged_piece;
	ops.content_ends = judged_ends;
	ops.content_over = judged_over;
	for (size_t room = 0; room < 8; room++) {
		struct judged judged = {.begun = 0};
		dialogue_init(&judged.dialogue, 0);
		judged.dialogue.ops = &ops;
		judged.dialogue.store.faults.room_bytes = room;
		buffer_init(&judged.heard, judged.dialogue.world, 4096);
		dialogue_run(&judged.dialogue, steps);
		const struct accept_memory_message *message =
			accept_memory_message(&judged.dialogue.store, 0);
		ck_assert(message->envelope.is_junk);
		ck_assert(slice_has_prefix(message->envelope.trace,
			SLICE("Verdict: good\r\n\tmore\r\nReceived: from ")));
		ck_assert_slice_eq(
			slice_sub(message->envelope.trace, message->envelope.trace_id_at - 4, 4),
			" id ");
		ck_assert_slice_eq(buffer_slice(&message->content), "S: x\r\n.y\r\n");
		ck_assert_uint_eq(judged.dialogue.received, 1);
		ck_assert_uint_eq(judged.begun, 4);
		ck_assert_uint_eq(judged.ended, 2);
		ck_assert_uint_eq(judged.over, 3);
		buffer_done(&judged.heard);
		dialogue_done(&judged.dialogue);
	}
}
END_TEST

/* In rooms of every size, in one piece or many, the content is the same; the trace stands above. */
START_TEST(chunks_make_a_message)
{
	static const struct step steps[] = {HELO, MAIL, RCPT, C("BDAT 5\r\nA: b\r"),
		S("250 2.0.0 5 octets received\r\n"), C("BDAT 8\r\n\n.\r\n.\rc\n"),
		S("250 2.0.0 8 octets received\r\n"), C("BDAT 0 LAST\r\n"), QUEUED_1, QUIT};
	static const size_t rooms[] = {0, 1, 3};

	for (size_t i = 0; i < 3; i++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue.settings.normalises_newlines = true;
		dialogue.store.faults.room_bytes = rooms[i];
		dialogue_run(&dialogue, steps);
		ck_assert_uint_eq(dialogue.received, 1);
		ck_assert_uint_eq(dialogue.store.aborts, 0);
		ck_assert_slice_eq(
			buffer_slice(&accept_memory_message(&dialogue.store, 0)->content),
			"A: b\r\n.\r\n. c\r\n");
		ck_assert(accept_memory_message(&dialogue.store, 0)->envelope.content_flags &
			  CONTENT_DOT_LINE);
		dialogue_done(&dialogue);
	}
}
END_TEST

/* What has come of it is given back when it is forgotten, and when the client goes. */
START_TEST(chunks_that_are_given_up_are_not_kept)
{
	static const struct step resets[] = {HELO, MAIL, RCPT, C("BDAT 3\r\nabc"),
		S("250 2.0.0 3 octets received\r\n"), C("RSET\r\n"), S("250 2.0.0 forgotten\r\n"),
		QUIT};
	static const struct step greets[] = {HELO, MAIL, RCPT, C("BDAT 3\r\nabcHELO b.test\r\n"),
		S("250 2.0.0 3 octets received\r\n250 mx.test\r\n"), QUIT};
	static const struct step quits[] = {
		HELO, MAIL, RCPT, C("BDAT 3\r\nabc"), S("250 2.0.0 3 octets received\r\n"), QUIT};
	static const struct step *const scripts[] = {resets, greets, quits};

	for (size_t i = 0; i < 3; i++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue_run(&dialogue, scripts[i]);
		ck_assert_uint_eq(dialogue.received, 0);
		ck_assert_uint_eq(dialogue.store.aborts, 1);
		dialogue_done(&dialogue);
	}
}
END_TEST

/* The store says no at the first chunk: the rest is read, and makes no message. */
START_TEST(a_store_without_room_takes_no_chunk)
{
	static const struct step steps[] = {HELO, MAIL, RCPT,
		C("BDAT 3\r\nabcBDAT 6 LAST\r\nQUIT\r\n"),
		S("452 4.3.1 no space left, try later\r\n503 5.5.1 a chunk before was refused: say "
		  "RSET\r\n"),
		MAIL, QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.store.faults =
		(struct accept_memory_faults){.begin_at = 1, .begin_error = ERROR_NO_SPACE};
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(dialogue.received, 0);
	dialogue_done(&dialogue);
}
END_TEST

/* RFC 2033: who pipelines in LMTP waits for a reply for each recipient behind the last chunk. */
START_TEST(a_last_chunk_that_is_refused_is_answered_for_each)
{
	static const struct step steps[] = {S("220 mx.test LMTP Veredus\r\n"), C("LHLO b.test\r\n"),
		S("250-mx.test\r\n250 HELP\r\n"), MAIL, RCPT, RCPT,
		C("BDAT 2\r\na\0BDAT 6 LAST\r\nQUIT\r\n"),
		S("550 5.6.0 the content has NUL characters in it\r\n"
		  "503 5.5.1 a chunk before was refused: say RSET\r\n"
		  "503 5.5.1 a chunk before was refused: say RSET\r\n"),
		MAIL, RCPT, RCPT, C("BDAT 6 LAST\r\nQUIT\r\n"),
		S("452 4.3.1 no space left, try later\r\n452 4.3.1 no space left, try later\r\n"),
		C("BDAT 6 LAST\r\nQUIT\r\n"), S("503 5.5.1 say MAIL first\r\n"), QUIT};
	struct dialogue dialogue;

	dialogue_init(&dialogue, 0);
	dialogue.settings.is_lmtp = true;
	dialogue.settings.extensions = SMTP_EXTENSION_HELP;
	dialogue.store.faults =
		(struct accept_memory_faults){.begin_at = 2, .begin_error = ERROR_NO_SPACE};
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(dialogue.received, 0);
	dialogue_done(&dialogue);
}
END_TEST

static struct smtp_reply
dialogue_brings_too_much(void *arg, const struct smtp_server *server)
{
	(void)arg;
	(void)server;
	return SMTP_REPLY(450, 4, 7, 1, "not so many at once");
}

/* A client over its limit has pipelined all of its chunks: none of them is a fault. */
START_TEST(chunks_behind_a_refusal_are_excused)
{
	static const struct step steps[] = {HELO, MAIL, RCPT,
		C("BDAT 6\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n"),
		S("450 4.7.1 not so many at once\r\n"
		  "503 5.5.1 a chunk before was refused: say RSET\r\n"
		  "503 5.5.1 a chunk before was refused: say RSET\r\n"),
		MAIL, QUIT};
	struct smtp_server_ops ops = dialogue_ops;
	struct dialogue dialogue;

	ops.may_bring = dialogue_brings_too_much;
	dialogue_init(&dialogue, 0);
	dialogue.ops = &ops;
	dialogue_run(&dialogue, steps);
	ck_assert_uint_eq(dialogue.received, 0);
	ck_assert_uint_eq(dialogue.server.errors, 0);
	dialogue_done(&dialogue);
}
END_TEST

#define IDLE PAUSE(170), C("NOOP\r\n"), S("250 2.0.0 ok\r\n")

/* Between chunks other commands may stand, but they bring no content, for which a place is held. */
START_TEST(chunks_that_stop_coming_are_cut_off)
{
	static const struct step idle[] = {HELO, MAIL, RCPT, C("BDAT 3\r\nabc"),
		S("250 2.0.0 3 octets received\r\n"), IDLE, IDLE, PAUSE(170), TOO_SLOW};
	static const struct step empty[] = {HELO, MAIL, RCPT, C("BDAT 3\r\nabc"),
		S("250 2.0.0 3 octets received\r\n"), PAUSE(170), C("BDAT 0\r\n"),
		S("250 2.0.0 0 octets received\r\n"), PAUSE(170), C("BDAT 0\r\n"),
		S("250 2.0.0 0 octets received\r\n"), PAUSE(170), TOO_SLOW};
	static const struct step late[] = {HELO, MAIL, RCPT, C("BDAT 3\r\nabc"),
		S("250 2.0.0 3 octets received\r\n"), IDLE, IDLE, C("BDAT 2 LAST\r\n\r\n"),
		QUEUED_1, QUIT};
	static const struct step refused[] = {HELO, MAIL, RCPT, C("BDAT 2\r\na\0"),
		S("550 5.6.0 the content has NUL characters in it\r\n"), IDLE, IDLE, IDLE, QUIT};

	ck_assert_int_eq(run_rated(idle, 64, 0), SMTP_END_TIMEOUT);
	ck_assert_int_eq(run_rated(empty, 64, 0), SMTP_END_TIMEOUT);
	ck_assert_int_eq(run_rated(late, 64, 1), SMTP_END_QUIT);
	ck_assert_int_eq(run_rated(refused, 64, 0), SMTP_END_QUIT);
}
END_TEST

UNIT_MAIN("smtp/server_data", a_last_chunk_that_is_refused_is_answered_for_each,
	chunks_behind_a_refusal_are_excused, chunks_that_stop_coming_are_cut_off,
	chunks_make_a_message, chunks_that_are_given_up_are_not_kept,
	a_store_without_room_takes_no_chunk, smuggling_fails, refused_content_spares_the_session,
	lines_of_content_have_a_limit, size_is_counted, loops_are_cut, content_comes_with_commands,
	store_is_full_before, store_is_away_before, store_fails_within, commit_decides_the_reply,
	connection_is_lost_anywhere, content_stops_coming, dribbled_content_is_cut_off,
	steady_content_is_taken, fast_start_is_no_credit, refused_content_has_an_end,
	no_space_is_said_early, large_content_is_unchanged, a_judge_hears_all_and_decides)
