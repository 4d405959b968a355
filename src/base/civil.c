/* Whole days into a date by eras of 400 years; leap seconds do not exist in POSIX time. */
#include "base/civil.h"

#define SECONDS_PER_DAY INT64_C(86400)
#define DAYS_PER_ERA    INT64_C(146097)       /* 400 years */
#define DAYS_TO_EPOCH   INT64_C(719468)       /* from 0000-03-01 to 1970-01-01 */
#define FIRST_SECOND    INT64_C(-62167219200) /* 0000-01-01 00:00:00 */
#define LAST_SECOND     INT64_C(253402300799) /* 9999-12-31 23:59:59 */
#define EPOCH_WEEKDAY   4                     /* 1970-01-01 was a Thursday */

static int64_t
floor_divide(int64_t number, int64_t by)
{
	return number / by - (number % by < 0);
}

/* Years start in March here, so that the leap day is the last of its year; 306 days lie before
 * January. */
static void
set_date(struct civil_time *civil, int64_t days_since_epoch)
{
	int64_t days = days_since_epoch + DAYS_TO_EPOCH;
	int64_t era = floor_divide(days, DAYS_PER_ERA);
	int64_t day_of_era = days - era * DAYS_PER_ERA;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month_from_march = (5 * day_of_year + 2) / 153;
	int64_t weekday = (days_since_epoch + EPOCH_WEEKDAY) % 7;

	civil->year = (int)(era * 400 + year_of_era + (month_from_march >= 10));
	civil->month = (int)((month_from_march + 2) % 12) + 1;
	civil->day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
	civil->weekday = (int)(weekday < 0 ? weekday + 7 : weekday);
}

struct civil_time
civil_time_of(wall_us time)
{
	struct civil_time civil;
	int64_t seconds = floor_divide(time, US_PER_S);

	int64_t microsecond = time % US_PER_S;

	civil.microsecond = (int)(microsecond < 0 ? microsecond + US_PER_S : microsecond);
	if (seconds < FIRST_SECOND)
		seconds = FIRST_SECOND;
	if (seconds > LAST_SECOND)
		seconds = LAST_SECOND;
	int64_t days = floor_divide(seconds, SECONDS_PER_DAY);
	int64_t second_of_day = seconds - days * SECONDS_PER_DAY;
	set_date(&civil, days);
	civil.hour = (int)(second_of_day / 3600);
	civil.minute = (int)(second_of_day / 60 % 60);
	civil.second = (int)(second_of_day % 60);
	return civil;
}
