/* Dates of mail headers (RFC 5322 section 3.3). */
#ifndef TEXT_DATE_H
#define TEXT_DATE_H

#include "base/buffer.h"
#include "base/clock.h"

#define DATE_MAX 40 /* octets of a date */

/* "Mon, 23 Nov 2026 17:33:55 +0000": always UTC, so that nothing depends on the machine's time
 * zone. */
void date_append(struct buffer *buffer, wall_us time);

#endif
