/*
 * A point in time as RFC 5322 writes it, from the proleptic Gregorian calendar in whole days,
 * without libc's time zones and locales. Years 0 to 9999 print as four digits; times outside are
 * moved to the nearest that can be written.
 */
#include "text/date.h"

#define SECONDS_PER_DAY INT64_C(86400)
#define DAYS_PER_ERA    INT64_C(146097)       /* 400 years */
#define DAYS_TO_EPOCH   INT64_C(719468)       /* from 0000-03-01 to 1970-01-01 */
#define FIRST_SECOND    INT64_C(-62167219200) /* 0000-01-01 00:00:00 */
#define LAST_SECOND     INT64_C(253402300799) /* 9999-12-31 23:59:59 */

static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct civil_day {
	int year;
	int month; /* 0 to 11 */
	int day;   /* 1 to 31 */
};

static int64_t
floor_divide(int64_t number, int64_t by)
{
	return number / by - (number % by < 0);
}

/* Years start in March here, so that the leap day is the last of its year; 306 days lie before
 * January. */
static struct civil_day
civil_day_of(int64_t days_since_epoch)
{
	int64_t days = days_since_epoch + DAYS_TO_EPOCH;
	int64_t era = floor_divide(days, DAYS_PER_ERA);
	int64_t day_of_era = days - era * DAYS_PER_ERA;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month_from_march = (5 * day_of_year + 2) / 153;

	return (struct civil_day){
		.year = (int)(era * 400 + year_of_era + (month_from_march >= 10)),
		.month = (int)((month_from_march + 2) % 12),
		.day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
	};
}

void
date_append(struct buffer *buffer, wall_us time)
{
	int64_t seconds = floor_divide(time, US_PER_S);

	if (seconds < FIRST_SECOND)
		seconds = FIRST_SECOND;
	if (seconds > LAST_SECOND)
		seconds = LAST_SECOND;
	int64_t days = floor_divide(seconds, SECONDS_PER_DAY);
	int second_of_day = (int)(seconds - days * SECONDS_PER_DAY);
	int weekday = (int)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
	struct civil_day civil = civil_day_of(days);
	buffer_printf(buffer, "%s, %d %s %04d %02d:%02d:%02d +0000", weekdays[weekday], civil.day,
		months[civil.month], civil.year, second_of_day / 3600, second_of_day / 60 % 60,
		second_of_day % 60);
}
