/*
 * Points in time as plain values, in microseconds. Monotonic time orders deadlines inside one run;
 * wall time (since 1970, UTC) goes into records and headers. Who reads the clock is decided by
 * struct env; pure code gets the value as an argument.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

typedef int64_t mono_us; /* on CLOCK_MONOTONIC */
typedef int64_t wall_us; /* since the Unix epoch */

#define MONO_NEVER INT64_MAX
#define US_PER_MS  INT64_C(1000)
#define US_PER_S   INT64_C(1000000)

#endif
