/*
 * The client logs in, to servers right and wrong at each step: P() is what the server says, W()
 * what we must have written. The nonce is of zeros, so that each octet of SCRAM is known; its texts
 * were computed by Python.
 */
#include "smtp/client_auth.h"
#include "smtp_dialogue.h"

#define P(text) C(text)
#define W(text) S(text)

/* user, pencil */
#define FIRST "biwsbj11c2VyLHI9QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"
#define CHALLENGE \
	"cj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFzcnYscz1XMjJaYUowU05ZN3NvRXNVRWpiNmdRPT0saT00MDk2"
#define FINAL                                                                                      \
	"Yz1iaXdzLHI9QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBc3J2LHA9M00va21BMkpYYitubU9kcnlaZ2YxZWNtbUcv" \
	"Y2pGMXgwblZzRng3OU82ST0="
#define VERDICT "dj1PV2czNXN6Qk1ib2hsSVBqMmlWTWlmL0owazI2dTUwRGNHb1djRVYrSUI4PQ=="
#define FORGED  "dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBPQ=="
#define SHORT   "dj1PV2czNXN6Qk1ib2hsSVBqMmlWTWlRPT0="
#define FAULT   "ZT1pbnZhbGlkLXByb29m"
#define FOREIGN                                                                                    \
	"cj1BQUFCQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBc3J2LHM9VzIyWmFKMFNOWTdzb0VzVUVqYjZnUT09LGk9NDA5" \
	"Ng=="
#define SAME "cj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUEscz1XMjJaYUowU05ZN3NvRXNVRWpiNmdRPT0saT00MDk2"
#define FEW  "cj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFzcnYscz1XMjJaYUowU05ZN3NvRXNVRWpiNmdRPT0saT00MDk1"
#define MANY \
	"cj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFzcnYscz1XMjJaYUowU05ZN3NvRXNVRWpiNmdRPT0saT0xMDAwMDAx"
#define SALT "cj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFzcnYscz14LGk9NDA5Ng=="
#define MEXT                                                                                       \
	"bT0xLHI9QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBc3J2LHM9VzIyWmFKMFNOWTdzb0VzVUVqYjZnUT09LGk9NDA5" \
	"Ng=="
#define PLAIN "AHVzZXIAcGVuY2ls"

#define GREETING(mechanisms) \
	P("220 b.test\r\n"), W("EHLO me.test\r\n"), P("250-b.test\r\n250 AUTH " mechanisms "\r\n")
#define FIRST_SENT GREETING("SCRAM-SHA-256"), W("AUTH SCRAM-SHA-256 " FIRST "\r\n")
#define FINAL_SENT FIRST_SENT, P("334 " CHALLENGE "\r\n"), W(FINAL "\r\n")
#define SENT_QUIT  W("QUIT\r\n"), P("221 bye\r\n"), END

struct play {
	struct dialogue dialogue; /* the first: its stream leads here */
	struct random_ops random;
	struct smtp_client_settings settings;
	struct smtp_client client;
	struct smtp_client_login login;
	struct smtp_client_auth_result result;
	struct buffer transcript;
	enum error error;
};

static void
fill_zeros(void *world, void *bytes, size_t len)
{
	(void)world;
	memset(bytes, 0, len);
}

static void
keep_transcript(void *arg, enum smtp_client_line kind, struct slice line)
{
	struct play *play = arg;

	if (kind == SMTP_LINE_SENT) {
		buffer_append(&play->transcript, line);
		buffer_append_octet(&play->transcript, '\n');
	}
}

static void
play_init(struct play *play)
{
	*play = (struct play){
		.random = {fill_zeros}, .login = {SLICE("user"), secret_of(SLICE("pencil"))}};
	dialogue_init(&play->dialogue, 0);
	play->dialogue.env.random = &play->random;
	smtp_client_settings_init(&play->settings, SLICE("me.test"));
	buffer_init(&play->transcript, play->dialogue.world, 65536);
	play->client = (struct smtp_client){.stream = &play->dialogue.stream,
		.reader = &play->dialogue.reader,
		.settings = &play->settings,
		.transcript = keep_transcript,
		.transcript_arg = play};
}

static void
check_secret(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		ck_assert(!slice_has_prefix(slice_from(text, i), SLICE("cGVuY2ls")) &&
			  !slice_has_prefix(slice_from(text, i), SLICE("AHVz")));
}

/* What is sent leaves nothing in memory. */
static void
play_run(struct play *play, const struct step *steps)
{
	struct smtp_reply greeting;

	play->dialogue.step = steps;
	ck_assert_ok(smtp_client_open(&play->client, &greeting));
	play->error = smtp_client_login(&play->client, &play->login, &play->result);
	check_secret(slice_of(play->client.output.ptr, play->client.output.capacity));
}

/* All that the dialogue expects was written and read; nothing secret is in a transcript. */
static void
play_done(struct play *play)
{
	struct dialogue *dialogue = &play->dialogue;
	enum error error = smtp_client_quit(&play->client);

	if (dialogue->step->kind == STEP_CLIENT && dialogue->at == dialogue->step->bytes.len)
		dialogue->step++;
	dialogue_compare(dialogue);
	ck_assert(error == OK || play->error != OK);
	ck_assert_int_eq(dialogue->step->kind, STEP_END);
	check_secret(buffer_slice(&play->transcript));
	smtp_client_done(&play->client);
	buffer_done(&play->transcript);
	dialogue_done(dialogue);
}

static void
logs_in(const struct step *steps)
{
	static const size_t pieces[] = {0, 1, 7};

	for (size_t i = 0; i < 3; i++) {
		struct play play;
		play_init(&play);
		play.dialogue.piece = play.dialogue.write_piece = pieces[i];
		play_run(&play, steps);
		ck_assert_ok(play.error);
		ck_assert_int_eq(play.result.outcome, SMTP_AUTH_DONE);
		ck_assert_uint_eq(play.result.reply.code, 235);
		ck_assert(play.client.is_open && !play.client.is_over);
		play_done(&play);
	}
}

START_TEST(each_mechanism)
{
	static const struct step plain[] = {GREETING("PLAIN"), W("AUTH PLAIN " PLAIN "\r\n"),
		P("235 2.7.0 fine\r\n"), SENT_QUIT};
	static const struct step login[] = {GREETING("LOGIN"), W("AUTH LOGIN\r\n"),
		P("334 VXNlcm5hbWU6\r\n"), W("dXNlcg==\r\n"), P("334 UGFzc3dvcmQ6\r\n"),
		W("cGVuY2ls\r\n"), P("235 2.7.0 fine\r\n"), SENT_QUIT};
	static const struct step scram[] = {FINAL_SENT, P("334 " VERDICT "\r\n"), W("\r\n"),
		P("235 2.7.0 fine\r\n"), SENT_QUIT};

	logs_in(plain);
	logs_in(login);
	logs_in(scram);
}
END_TEST

/* The next is tried only where the server says that it does not know one. */
START_TEST(strongest_first)
{
	static const struct step plain[] = {GREETING("CRAM-MD5 LOGIN plain XOAUTH2"),
		W("AUTH PLAIN " PLAIN "\r\n"), P("235 fine\r\n"), SENT_QUIT};
	static const struct step scram[] = {
		GREETING("LOGIN PLAIN SCRAM-SHA-256-PLUS SCRAM-SHA-256"),
		W("AUTH SCRAM-SHA-256 " FIRST "\r\n"), P("334 " CHALLENGE "\r\n"), W(FINAL "\r\n"),
		P("334 " VERDICT "\r\n"), W("\r\n"), P("235 fine\r\n"), SENT_QUIT};
	static const struct step unknown[] = {GREETING("LOGIN PLAIN SCRAM-SHA-256"),
		W("AUTH SCRAM-SHA-256 " FIRST "\r\n"), P("504 5.5.4 what?\r\n"),
		W("AUTH PLAIN " PLAIN "\r\n"), P("235 fine\r\n"), SENT_QUIT};

	logs_in(plain);
	logs_in(scram);
	logs_in(unknown);
}
END_TEST

struct refusal {
	const struct step *steps;
	enum error error;
	enum smtp_client_auth outcome;
	uint16_t code;
	const char *problem;
};

static void
fails(const struct refusal *refusal)
{
	struct play play;

	play_init(&play);
	play_run(&play, refusal->steps);
	ck_assert_int_eq(play.error, refusal->error);
	if (refusal->error == OK) {
		ck_assert_int_eq(play.result.outcome, refusal->outcome);
		ck_assert_uint_eq(play.result.reply.code, refusal->code);
	}
	if (refusal->problem)
		ck_assert_str_eq(play.result.problem, refusal->problem);
	ck_assert(play.client.is_over ==
		  (refusal->error != OK || refusal->outcome == SMTP_AUTH_UNPROVEN ||
			  refusal->code == 421));
	play_done(&play);
}

START_TEST(servers_that_refuse)
{
	static const struct step none[] = {
		P("220 b.test\r\n"), W("EHLO me.test\r\n"), P("250 b.test\r\n"), SENT_QUIT};
	static const struct step other[] = {GREETING("CRAM-MD5 PLAINER"), SENT_QUIT};
	static const struct step empty[] = {GREETING(""), SENT_QUIT};
	static const struct step wrong[] = {GREETING("PLAIN LOGIN"), W("AUTH PLAIN " PLAIN "\r\n"),
		P("535 5.7.8 no\r\n"), SENT_QUIT};
	static const struct step later[] = {GREETING("PLAIN"), W("AUTH PLAIN " PLAIN "\r\n"),
		P("454 4.7.0 later\r\n"), SENT_QUIT};
	static const struct step farewell[] = {
		GREETING("PLAIN"), W("AUTH PLAIN " PLAIN "\r\n"), P("421 bye\r\n"), END};
	static const struct step unknown[] = {GREETING("PLAIN LOGIN"),
		W("AUTH PLAIN " PLAIN "\r\n"), P("504 what?\r\n"), W("AUTH LOGIN\r\n"),
		P("504 what?\r\n"), SENT_QUIT};
	static const struct step login[] = {GREETING("LOGIN"), W("AUTH LOGIN\r\n"),
		P("334 VXNlcm5hbWU6\r\n"), W("dXNlcg==\r\n"), P("535 5.7.8 no\r\n"), SENT_QUIT};
	static const struct step first[] = {FIRST_SENT, P("535 5.7.8 no\r\n"), SENT_QUIT};
	static const struct step final[] = {FINAL_SENT, P("535 5.7.8 no\r\n"), SENT_QUIT};
	static const struct step last[] = {
		FINAL_SENT, P("334 " VERDICT "\r\n"), W("\r\n"), P("535 5.7.8 no\r\n"), SENT_QUIT};
	static const struct refusal refusals[] = {{none, OK, SMTP_AUTH_NOT_OFFERED, 0, NULL},
		{other, OK, SMTP_AUTH_NO_MECHANISM, 0, NULL},
		{empty, OK, SMTP_AUTH_NO_MECHANISM, 0, NULL},
		{wrong, OK, SMTP_AUTH_REFUSED, 535, NULL},
		{later, OK, SMTP_AUTH_REFUSED, 454, NULL},
		{farewell, OK, SMTP_AUTH_REFUSED, 421, NULL},
		{unknown, OK, SMTP_AUTH_REFUSED, 504, NULL},
		{login, OK, SMTP_AUTH_REFUSED, 535, NULL},
		{first, OK, SMTP_AUTH_REFUSED, 535, NULL},
		{final, OK, SMTP_AUTH_REFUSED, 535, NULL},
		{last, OK, SMTP_AUTH_REFUSED, 535, NULL}};

	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
		fails(&refusals[i]);
}
END_TEST

#define NO_CHALLENGE "the server's challenge is none"
#define NO_SESSION   "the server's challenge is not for this session"
#define NO_COUNT     "the server wants too few or too many iterations"
#define NO_VERDICT   "the server's last message is none"
#define NO_SIGNATURE "the server's signature is wrong"

/* Whoever says this is not, or not surely, the server that has our login. */
START_TEST(servers_that_prove_nothing)
{
	static const struct {
		const char *challenge; /* of 334 */
		const char *problem;
	} challenges[] = {{"", NO_CHALLENGE}, {"!", NO_CHALLENGE}, {"VXNlcm5hbWU6", NO_CHALLENGE},
		{SALT, NO_CHALLENGE}, {MEXT, NO_CHALLENGE}, {FOREIGN, NO_SESSION},
		{SAME, NO_SESSION}, {FEW, NO_COUNT}, {MANY, NO_COUNT}};
	static const struct {
		const char *reply;
		const char *problem;
	} verdicts[] = {{"334 \r\n", NO_VERDICT}, {"334 !\r\n", NO_VERDICT},
		{"334 " CHALLENGE "\r\n", NO_VERDICT}, {"334 " FORGED "\r\n", NO_SIGNATURE},
		{"334 " SHORT "\r\n", NO_SIGNATURE},
		{"334 " FAULT "\r\n", "the server refuses, and does not say so in a reply"},
		{"235 fine\r\n", "the server did not prove that it knows the password"}};
	static const struct step early[] = {FIRST_SENT, P("235 fine\r\n"), END};
	struct refusal refusal = {NULL, OK, SMTP_AUTH_UNPROVEN, 0, NULL};
	char text[1024];

	for (size_t i = 0; i < sizeof challenges / sizeof *challenges; i++) {
		snprintf(text, sizeof text, "334 %s\r\n", challenges[i].challenge);
		const struct step steps[] = {FIRST_SENT, {STEP_CLIENT, slice_text(text)}, END};
		refusal.steps = steps;
		refusal.problem = challenges[i].problem;
		fails(&refusal);
	}
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		const struct step steps[] = {
			FINAL_SENT, {STEP_CLIENT, slice_text(verdicts[i].reply)}, END};
		refusal.steps = steps;
		refusal.problem = verdicts[i].problem;
		fails(&refusal);
	}
	refusal.steps = early;
	refusal.problem = "the server took a login unproven";
	fails(&refusal);
}
END_TEST

START_TEST(sessions_that_break)
{
	static const struct step cut[] = {FIRST_SENT, END};
	static const struct step cut_later[] = {FINAL_SENT, END};
	static const struct step cut_plain[] = {
		GREETING("PLAIN"), W("AUTH PLAIN " PLAIN "\r\n"), END};
	static const struct step garbage[] = {FIRST_SENT, P("hello\r\n"), END};
	static const struct step silent[] = {FINAL_SENT, SILENCE, END};
	static const struct step endless[] = {
		GREETING("PLAIN"), W("AUTH PLAIN " PLAIN "\r\n"), P("334 \r\n"), END};
	static const struct refusal refusals[] = {{cut, ERROR_CLOSED, 0, 0, NULL},
		{cut_later, ERROR_CLOSED, 0, 0, NULL}, {cut_plain, ERROR_CLOSED, 0, 0, NULL},
		{garbage, ERROR_FORMAT, 0, 0, NULL}, {silent, ERROR_TIMEOUT, 0, 0, NULL},
		{endless, ERROR_FORMAT, 0, 0, NULL}};

	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
		fails(&refusals[i]);
}
END_TEST

/* SASLprep is not done: what it could change goes as it is, or not at all. */
START_TEST(logins_of_all_kinds)
{
	static const struct step foreign[] = {GREETING("PLAIN SCRAM-SHA-256"),
		W("AUTH PLAIN AHUAw6k=\r\n"), P("235 fine\r\n"), SENT_QUIT};
	static const struct step none[] = {GREETING("SCRAM-SHA-256"), SENT_QUIT};
	static const struct step bad[] = {GREETING("PLAIN"), END};
	static const struct slice names[] = {SLICE_INIT(""), SLICE_INIT("a\0b")};
	struct play play;

	for (int i = 0; i < 2; i++) {
		play_init(&play);
		play.login = (struct smtp_client_login){SLICE("u"), secret_of(SLICE("\xc3\xa9"))};
		play_run(&play, i == 0 ? foreign : none);
		ck_assert_ok(play.error);
		ck_assert_int_eq(
			play.result.outcome, i == 0 ? SMTP_AUTH_DONE : SMTP_AUTH_NO_MECHANISM);
		play_done(&play);
	}
	for (int i = 0; i < 4; i++) {
		play_init(&play);
		if (i < 2)
			play.login.name = names[i];
		else
			play.login.password = secret_of(names[i - 2]);
		play_run(&play, bad);
		ck_assert_int_eq(play.error, ERROR_LIMIT);
		play_done(&play);
	}
}
END_TEST

UNIT_MAIN("smtp/client_auth", each_mechanism, strongest_first, servers_that_refuse,
	servers_that_prove_nothing, sessions_that_break, logins_of_all_kinds)
