/* The messages of RFC 7677 section 3, and what is none. */
#include "text/scram.h"
#include "unit.h"

#define NONCE  "rOprNGfwEbeRWgbNEkqO"
#define SERVER "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

START_TEST(messages_of_the_rfc)
{
	struct scram_first first;
	struct scram_final final;

	ck_assert_ok(scram_first_parse(SLICE("n,,n=user,r=" NONCE), &first));
	ck_assert_slice_eq(first.gs2, "n,,");
	ck_assert_slice_eq(first.bare, "n=user,r=" NONCE);
	ck_assert_slice_eq(first.login, "user");
	ck_assert_slice_eq(first.nonce, NONCE);
	ck_assert_int_eq(first.binding, SCRAM_BINDING_NONE);
	ck_assert_ok(scram_final_parse(SLICE("c=biws,r=" NONCE SERVER ",p=dHzb="), &final));
	ck_assert_slice_eq(final.without_proof, "c=biws,r=" NONCE SERVER);
	ck_assert_slice_eq(final.binding, "biws");
	ck_assert_slice_eq(final.nonce, NONCE SERVER);
	ck_assert_slice_eq(final.proof, "dHzb=");
}
END_TEST

START_TEST(headers_and_extensions)
{
	struct scram_first first;
	struct scram_final final;

	ck_assert_ok(scram_first_parse(SLICE("p=tls-exporter,a=bob,n=al,r=x,e=1,f=2"), &first));
	ck_assert_int_eq(first.binding, SCRAM_BINDING_USED);
	ck_assert_slice_eq(first.binding_name, "tls-exporter");
	ck_assert_slice_eq(first.authorization, "bob");
	ck_assert_slice_eq(first.gs2, "p=tls-exporter,a=bob,");
	ck_assert_slice_eq(first.bare, "n=al,r=x,e=1,f=2");
	ck_assert_ok(scram_first_parse(SLICE("y,,n=al,r=x"), &first));
	ck_assert_int_eq(first.binding, SCRAM_BINDING_UNUSED);
	ck_assert_ok(scram_final_parse(SLICE("c=biws,r=x,e=1,p=a"), &final));
	ck_assert_slice_eq(final.without_proof, "c=biws,r=x,e=1");
}
END_TEST

START_TEST(what_is_no_message)
{
	static const struct slice firsts[] = {SLICE_INIT(""), SLICE_INIT("n"), SLICE_INIT("n,"),
		SLICE_INIT("n,,"), SLICE_INIT("n,n=a,r=b"), SLICE_INIT("x,,n=a,r=b"),
		SLICE_INIT("p=,,n=a,r=b"), SLICE_INIT("n,b=c,n=a,r=b"), SLICE_INIT("n,,r=b,n=a"),
		SLICE_INIT("n,,n=,r=b"), SLICE_INIT("n,,n=a,r="), SLICE_INIT("n,,m=x,n=a,r=b"),
		SLICE_INIT("n,,n=a,r=b "), SLICE_INIT("n,,n=a,r=b,"), SLICE_INIT("n,,n=a,r=b,1=x"),
		SLICE_INIT("n,,n=a,r=b,x=\0")};
	static const struct slice finals[] = {SLICE_INIT(""), SLICE_INIT("p=x"),
		SLICE_INIT("c=biws,p=x"), SLICE_INIT("r=x,c=biws,p=x"), SLICE_INIT("c=biws,r=x"),
		SLICE_INIT("c=biws,r=x,p="), SLICE_INIT("c=biws,r=x,p=y,e=1"),
		SLICE_INIT("c=,r=x,p=y"), SLICE_INIT("c=biws,r=x,,p=y")};
	uint8_t longest[SCRAM_MESSAGE_MAX + 1];
	struct scram_first first;
	struct scram_final final;

	for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
		ck_assert_int_eq(scram_first_parse(firsts[i], &first), ERROR_FORMAT);
	for (size_t i = 0; i < sizeof finals / sizeof *finals; i++)
		ck_assert_int_eq(scram_final_parse(finals[i], &final), ERROR_FORMAT);
	memset(longest, 'x', sizeof longest);
	memcpy(longest, "n,,n=", 5);
	ck_assert_int_eq(
		scram_first_parse(slice_of(longest, sizeof longest), &first), ERROR_FORMAT);
}
END_TEST

START_TEST(names)
{
	static const struct {
		struct slice escaped;
		const char *name; /* NULL: none */
	} cases[] = {{SLICE_INIT("a@b.test"), "a@b.test"}, {SLICE_INIT("a=2Cb=3Dc"), "a,b=c"},
		{SLICE_INIT("a=2c"), NULL}, {SLICE_INIT("a="), NULL}, {SLICE_INIT("a=2"), NULL},
		{SLICE_INIT("a\0"), NULL}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t storage[64];
		struct buffer name;
		buffer_init_fixed(&name, storage, sizeof storage);
		enum error error = scram_name_decode(cases[i].escaped, &name);
		ck_assert_int_eq(error, cases[i].name ? OK : ERROR_FORMAT);
		if (cases[i].name)
			ck_assert_slice_eq(buffer_slice(&name), cases[i].name);
	}
}
END_TEST

START_TEST(messages_of_a_server)
{
	static const struct slice challenges[] = {SLICE_INIT(""), SLICE_INIT("r=x"),
		SLICE_INIT("r=x,s=y"), SLICE_INIT("r=x,s=y,i="), SLICE_INIT("r=x,s=y,i=1x"),
		SLICE_INIT("r=x,s=y,i=-1"), SLICE_INIT("r=x,s=y,i=4294967296"),
		SLICE_INIT("r=x,s=,i=1"), SLICE_INIT("r=,s=y,i=1"), SLICE_INIT("s=y,r=x,i=1"),
		SLICE_INIT("m=1,r=x,s=y,i=1"), SLICE_INIT("r=x y,s=y,i=1"),
		SLICE_INIT("r=x,s=y,i=1,"), SLICE_INIT("r=x,s=y,i=1,z")};
	static const struct slice verdicts[] = {SLICE_INIT(""), SLICE_INIT("v="), SLICE_INIT("e="),
		SLICE_INIT("x=y"), SLICE_INIT("v"), SLICE_INIT("v=a,"), SLICE_INIT("z=1,v=a")};
	struct scram_challenge challenge;
	struct scram_verdict verdict;

	ck_assert_ok(scram_challenge_parse(
		SLICE("r=" NONCE SERVER ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,x=y"), &challenge));
	ck_assert_slice_eq(challenge.nonce, NONCE SERVER);
	ck_assert_slice_eq(challenge.salt, "W22ZaJ0SNY7soEsUEjb6gQ==");
	ck_assert_uint_eq(challenge.iterations, 4096);
	for (size_t i = 0; i < sizeof challenges / sizeof *challenges; i++)
		ck_assert_int_eq(scram_challenge_parse(challenges[i], &challenge), ERROR_FORMAT);
	ck_assert_ok(scram_verdict_parse(SLICE("v=6rri,x=y"), &verdict));
	ck_assert_slice_eq(verdict.signature, "6rri");
	ck_assert(verdict.fault.len == 0);
	ck_assert_ok(scram_verdict_parse(SLICE("e=invalid-proof"), &verdict));
	ck_assert_slice_eq(verdict.fault, "invalid-proof");
	ck_assert(verdict.signature.len == 0);
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
		ck_assert_int_eq(scram_verdict_parse(verdicts[i], &verdict), ERROR_FORMAT);
}
END_TEST

UNIT_MAIN("text/scram", messages_of_the_rfc, headers_and_extensions, what_is_no_message, names,
	messages_of_a_server)
