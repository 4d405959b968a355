#include "text/date.h"
#include "unit.h"

#include <time.h>

static const char *
date_of(wall_us time, char *storage, size_t size)
{
	struct buffer buffer;

	buffer_init_fixed(&buffer, storage, size);
	date_append(&buffer, time);
	ck_assert_ok(buffer_error(&buffer));
	return buffer_text(&buffer);
}

START_TEST(known_dates)
{
	char text[DATE_MAX];

	ck_assert_str_eq(date_of(0, text, sizeof text), "Thu, 1 Jan 1970 00:00:00 +0000");
	ck_assert_str_eq(date_of(INT64_C(1795455235) * US_PER_S + 999999, text, sizeof text),
		"Mon, 23 Nov 2026 17:33:55 +0000");
	ck_assert_str_eq(date_of(INT64_C(951782399) * US_PER_S, text, sizeof text),
		"Mon, 28 Feb 2000 23:59:59 +0000");
	ck_assert_str_eq(date_of(INT64_C(951782400) * US_PER_S, text, sizeof text),
		"Tue, 29 Feb 2000 00:00:00 +0000");
	ck_assert_str_eq(date_of(INT64_C(4107542400) * US_PER_S, text, sizeof text),
		"Mon, 1 Mar 2100 00:00:00 +0000");
	ck_assert_str_eq(date_of(-1, text, sizeof text), "Wed, 31 Dec 1969 23:59:59 +0000");
	ck_assert_str_eq(date_of(INT64_MAX, text, sizeof text), "Fri, 31 Dec 9999 23:59:59 +0000");
	ck_assert_str_eq(date_of(INT64_MIN, text, sizeof text), "Sat, 1 Jan 0000 00:00:00 +0000");
}
END_TEST

/* Against libc, a step of a day and some seconds through 700 years. */
START_TEST(dates_agree_with_libc)
{
	char text[DATE_MAX], expected[DATE_MAX];

	for (int64_t second = INT64_C(-8000000000); second < INT64_C(14000000000);
		second += 86400 + 3607) {
		time_t clock = (time_t)second;
		struct tm parts;
		ck_assert_ptr_nonnull(gmtime_r(&clock, &parts));
		size_t len =
			strftime(expected, sizeof expected, "%a, %e %b %Y %H:%M:%S +0000", &parts);
		if (expected[5] == ' ')
			memmove(expected + 5, expected + 6, len - 5);
		ck_assert_str_eq(date_of(second * US_PER_S, text, sizeof text), expected);
	}
}
END_TEST

UNIT_MAIN("text/date", known_dates, dates_agree_with_libc)
