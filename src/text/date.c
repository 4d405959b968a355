/* A point in time as RFC 5322 writes it, always in UTC, without libc's time zones and locales. */
#include "text/date.h"
#include "base/civil.h"

static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void
date_append(struct buffer *buffer, wall_us time)
{
	struct civil_time civil = civil_time_of(time);

	buffer_printf(buffer, "%s, %d %s %04d %02d:%02d:%02d +0000", weekdays[civil.weekday],
		civil.day, months[civil.month - 1], civil.year, civil.hour, civil.minute,
		civil.second);
}
