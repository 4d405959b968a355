/* A point in time as year, month and day in UTC: without libc, whose time functions open the time
 * zone file wherever they run. */
#ifndef BASE_CIVIL_H
#define BASE_CIVIL_H

#include "base/clock.h"

struct civil_time {
	int year;
	int month;   /* 1 to 12 */
	int day;     /* 1 to 31 */
	int weekday; /* 0: Sunday */
	int hour;
	int minute;
	int second;
	int microsecond;
};

/* In the proleptic Gregorian calendar. Years 0 to 9999; times outside are moved to the nearest of
 * these. */
struct civil_time civil_time_of(wall_us time);

#endif
