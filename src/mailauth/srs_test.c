/* Addresses of the Sender Rewriting Scheme: those of libsrs2's making, forged and old ones, case.
 */
#include "mailauth/srs.h"
#include "unit.h"

#define DAY_US (86400 * US_PER_S)
#define NOW    (20000 * DAY_US + 3600 * US_PER_S)

static const struct srs_secrets ours = {
	.list = {{SLICE_INIT("tops3cret-of-the-house")}}, .count = 1};
static const struct srs_secrets later = {
	.list = {{SLICE_INIT("another-secret-of-today")}, {SLICE_INIT("tops3cret-of-the-house")}},
	.count = 2};

#define ALICE "SRS0=hGWY=RA=Other.example=Al.ice"
#define TWICE "SRS1=xPsG=second.example==AAAA=BB=first.example=bob"

static void
check_forward(const char *sender, enum error error, const char *expected)
{
	uint8_t storage[1024];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	ck_assert_int_eq(srs_append_forward(&ours, slice_text(sender), NOW, &text), error);
	ck_assert_slice_eq(buffer_slice(&text), expected);
}

static void
check_reverse(const struct srs_secrets *secrets, const char *local_part, wall_us now,
	enum error error, const char *expected)
{
	uint8_t storage[1024];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	ck_assert_int_eq(srs_append_reverse(secrets, slice_text(local_part), now, &text), error);
	ck_assert_slice_eq(buffer_slice(&text), expected);
}

START_TEST(senders_are_rewritten)
{
	check_forward("Al.ice@Other.example", OK, ALICE);
	check_forward("SRS0=AAAA=BB=first.example=bob@second.example", OK, TWICE);
	check_forward(
		"SRS1=XXXX=second.example==AAAA=BB=first.example=bob@third.example", OK, TWICE);
	check_forward("SRS1=XXXX@third.example", ERROR_UNSUPPORTED, "");
	/* What could not be read back. */
	check_forward("SRS1=XXXX=.==AAAA=BB=x=y@third.example", ERROR_UNSUPPORTED, "");
	check_forward("SRS1=XXXX=x.example=.y@third.example", ERROR_UNSUPPORTED, "");
	check_forward("", ERROR_UNSUPPORTED, "");
	check_forward("nobody", ERROR_UNSUPPORTED, "");
	check_forward("@x.example", ERROR_UNSUPPORTED, "");
	check_forward("\"a b\"@x.example", ERROR_UNSUPPORTED, "");
	check_forward("a@[192.0.2.1]", ERROR_UNSUPPORTED, "");
	check_forward("a@x=y.example", ERROR_UNSUPPORTED, "");
}
END_TEST

START_TEST(the_local_part_has_a_limit)
{
	/* 14 octets are ours; 64 in all. */
	check_forward("01234567890123456789012345678901234567@twelve.exam.p", ERROR_LIMIT, "");
	uint8_t storage[128];
	struct buffer text;
	buffer_init_fixed(&text, storage, sizeof storage);
	ck_assert_ok(srs_append_forward(
		&ours, SLICE("0123456789012345678901234567890123456@twelve.exam.p"), NOW, &text));
	ck_assert_uint_eq(text.len, SRS_LOCAL_PART_MAX);
}
END_TEST

START_TEST(bounces_come_home)
{
	check_reverse(&ours, ALICE, NOW, OK, "Al.ice@Other.example");
	check_reverse(&later, ALICE, NOW, OK, "Al.ice@Other.example");
	check_reverse(&ours, TWICE, NOW, OK, "SRS0=AAAA=BB=first.example=bob@second.example");
	char other_case[] = ALICE;
	for (size_t i = 0; i < sizeof other_case; i++)
		other_case[i] = (char)ascii_lower((uint8_t)other_case[i]);
	check_reverse(&ours, other_case, NOW, OK, "al.ice@other.example");
}
END_TEST

START_TEST(forged_ones_do_not)
{
	for (size_t i = 5; i < sizeof ALICE - 1; i++) {
		char changed[] = ALICE;
		if (changed[i] == '=')
			continue;
		changed[i] = changed[i] == 'q' ? 'z' : 'q';
		uint8_t storage[128];
		struct buffer text;
		buffer_init_fixed(&text, storage, sizeof storage);
		ck_assert_int_eq(
			srs_append_reverse(&ours, slice_text(changed), NOW, &text), ERROR_DENIED);
	}
	struct srs_secrets other = {.list = {later.list[0]}, .count = 1};
	check_reverse(&other, ALICE, NOW, ERROR_DENIED, "");
	check_reverse(&ours, "SRS0=AA=BB=x.example=y", NOW, ERROR_DENIED, "");
	check_reverse(&ours, "SRS0=", NOW, ERROR_FORMAT, "");
	check_reverse(&ours, "SRS0==BB=x.example=y", NOW, ERROR_FORMAT, "");
	check_reverse(&ours, "SRS0=AAAA=BB=x.example=", NOW, ERROR_FORMAT, "");
	check_reverse(&ours, "SRS0=AAAA=BB=x.example", NOW, ERROR_FORMAT, "");
	check_reverse(&ours, "SRS2=AAAA=BB=x.example=y", NOW, ERROR_FORMAT, "");
}
END_TEST

START_TEST(old_ones_do_not_either)
{
	check_reverse(&ours, ALICE, NOW + SRS_DAYS * DAY_US, OK, "Al.ice@Other.example");
	check_reverse(&ours, ALICE, NOW + (SRS_DAYS + 1) * DAY_US, ERROR_TIMEOUT, "");
	check_reverse(&ours, ALICE, NOW - DAY_US, OK, "Al.ice@Other.example");
	check_reverse(&ours, ALICE, NOW - 2 * DAY_US, ERROR_TIMEOUT, "");
}
END_TEST

START_TEST(secrets_are_read)
{
	struct srs_secrets secrets;
	struct slice text = SLICE("# of June\r\n 0123456789abcdef \r\n\n#x\nfedcba9876543210");

	ck_assert_ok(srs_secrets_read(secret_of(text), &secrets));
	ck_assert_uint_eq(secrets.count, 2);
	ck_assert_slice_eq(secret_reveal(secrets.list[0]), "0123456789abcdef");
	ck_assert_slice_eq(secret_reveal(secrets.list[1]), "fedcba9876543210");
	ck_assert_int_eq(srs_secrets_read(secret_of(SLICE("# none\n")), &secrets), ERROR_NOT_FOUND);
	ck_assert_int_eq(srs_secrets_read(secret_of(SLICE("short\n")), &secrets), ERROR_LIMIT);
}
END_TEST

UNIT_MAIN("mailauth/srs", senders_are_rewritten, the_local_part_has_a_limit, bounces_come_home,
	forged_ones_do_not, old_ones_do_not_either, secrets_are_read)
