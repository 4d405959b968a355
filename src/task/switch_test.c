/* The ucontext fallback of the stack switch, on machines whose own switch is in assembly; the same
 * cases for the native one run in task_test.c. */
#define SWITCH_UCONTEXT
#include "task/switch.c"

#include "unit.h"

struct ping {
	struct switch_context thread, other;
	int count;
	int rounds;
};

static void
pong(void *arg)
{
	struct ping *ping = arg;

	switch_entered(&ping->other);
	for (int i = 0; i < ping->rounds; i++) {
		ping->count++;
		switch_to(&ping->other, &ping->thread);
	}
	switch_leave(&ping->other, &ping->thread);
}

START_TEST(fallback_switches_and_keeps_locals)
{
	struct ping ping = {.rounds = 1000};
	void *stack = malloc(256 * 1024);
	double kept = 1.5;

	switch_init_thread(&ping.thread);
	switch_init(&ping.other, stack, 256 * 1024, pong, &ping);
	for (int i = 0; i < ping.rounds; i++) {
		switch_to(&ping.thread, &ping.other);
		ck_assert_int_eq(ping.count, i + 1);
		kept += 1;
	}
	switch_to(&ping.thread, &ping.other); /* lets it end */
	ck_assert_double_eq(kept, 1001.5);
	switch_done(&ping.other);
	free(stack);
}
END_TEST

UNIT_MAIN("task/switch", fallback_switches_and_keeps_locals)
