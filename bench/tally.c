/*
 * tally.c: counts of a load run, latencies, and the JSON line that reports them.
 *
 * Every latency is kept (four bytes a message), so the percentiles are exact and not read from a
 * histogram.
 */
#include "tally.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define LATENCIES_FIRST 65536

void
tally_begin(struct tally *tally)
{
	tally->begin = tool_now();
	tally->begin_wall_clock = tool_wall_clock();
	tally->last_ok = tally->begin;
}

void
tally_add_ok(struct tally *tally, double sent_at)
{
	if (tally->ok == tally->latencies_capacity) {
		size_t capacity =
			tally->latencies_capacity ? tally->latencies_capacity * 2 : LATENCIES_FIRST;
		float *grown = realloc(tally->latencies_ms, capacity * sizeof(*grown));
		if (!grown)
			tool_fail("realloc");
		tally->latencies_ms = grown;
		tally->latencies_capacity = capacity;
	}
	tally->last_ok = tool_now();
	tally->latencies_ms[tally->ok++] = (float)((tally->last_ok - sent_at) * 1e3);
}

void
tally_remember(struct tally *tally, const char *reply, size_t length)
{
	if (tally->replies == TALLY_REPLIES)
		return;
	char *kept = tally->reply[tally->replies];
	size_t keep = length < TALLY_REPLY_LENGTH - 1 ? length : TALLY_REPLY_LENGTH - 1;
	memcpy(kept, reply, keep);
	kept[keep] = '\0';
	/* The same words a hundred times tell nothing more. */
	for (size_t i = 0; i < tally->replies; i++)
		if (strcmp(tally->reply[i], kept) == 0)
			return;
	tally->replies++;
}

static int
latency_compare(const void *a, const void *b)
{
	const float *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The value that `part` of all are not above; 0 without any. */
static double
tally_percentile(const struct tally *tally, double part)
{
	if (tally->ok == 0)
		return 0;
	size_t i = (size_t)(part * (double)tally->ok);
	return (double)tally->latencies_ms[i < tally->ok ? i : tally->ok - 1];
}

static void
print_string(const char *text)
{
	putchar('"');
	for (const char *p = text; *p != '\0'; p++) {
		unsigned char ch = (unsigned char)*p;
		if (ch == '"' || ch == '\\')
			printf("\\%c", ch);
		else if (ch < ' ' || ch > '~')
			printf("\\u%04x", ch);
		else
			putchar(ch);
	}
	putchar('"');
}

static void
print_replies(const struct tally *tally)
{
	printf("\"first_replies\": [");
	for (size_t i = 0; i < tally->replies; i++) {
		if (i > 0)
			printf(", ");
		print_string(tally->reply[i]);
	}
	printf("]");
}

/* How much processor time the generator itself took: near the length of the run, it is what is
 * being measured. */
static double
own_cpu_seconds(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) < 0)
		tool_fail("getrusage");
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void
tally_print(struct tally *tally)
{
	double seconds = tally->last_ok - tally->begin;

	if (tally->ok > 0)
		qsort(tally->latencies_ms, tally->ok, sizeof(*tally->latencies_ms),
			latency_compare);
	printf("{\"ok\": %ju, \"failed\": %ju, \"unfinished\": %ju, ", (uintmax_t)tally->ok,
		(uintmax_t)tally->failed, (uintmax_t)tally->unfinished);
	print_replies(tally);
	printf(", \"connects\": %ju, \"connects_failed\": %ju, ", (uintmax_t)tally->connects,
		(uintmax_t)tally->connects_failed);
	printf("\"seconds\": %.6f, \"rate\": %.3f, ", seconds,
		seconds > 0 ? (double)tally->ok / seconds : 0);
	printf("\"latency_p50_ms\": %.3f, \"latency_p99_ms\": %.3f, \"latency_max_ms\": %.3f, ",
		tally_percentile(tally, 0.50), tally_percentile(tally, 0.99),
		tally_percentile(tally, 1));
	printf("\"started_at\": %.6f, \"ended_at\": %.6f, \"cpu_seconds\": %.3f}\n",
		tally->begin_wall_clock, tally->begin_wall_clock + seconds, own_cpu_seconds());
	fflush(stdout);
}

void
tally_done(struct tally *tally)
{
	free(tally->latencies_ms);
	tally->latencies_ms = NULL;
}
