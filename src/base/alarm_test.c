/* The alarm of Linux, and signals that only look like it. */
#include "base/env.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 2000

static void
count_ring(void *arg)
{
	++*(volatile unsigned *)arg;
}

/* As rt_sigqueueinfo of another process of the same user would do. */
static void
send_forged(int code, void *value)
{
	siginfo_t info = {.si_signo = SIGURG, .si_code = code};

	info.si_value.sival_ptr = value;
	ck_assert_int_eq(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGURG, &info), 0);
}

static void
send_garbage(void)
{
	static const int codes[] = {SI_TIMER, SI_QUEUE, SI_USER, SI_TKILL, SI_MESGQ};
	struct alarm other = {.ring = NULL};

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		send_forged(codes[i], NULL);
		send_forged(codes[i], &other);
		send_forged(codes[i], (void *)(uintptr_t)0x4141414141414141);
	}
}

START_TEST(forged_signals_ring_nothing)
{
	volatile unsigned rings = 0;
	struct alarm alarm;
	struct env env;

	env_init_linux(&env);
	ck_assert_int_eq(env.alarm->open(NULL, &alarm, count_ring, (void *)(uintptr_t)&rings), 0);
	send_garbage();
	send_forged(SI_QUEUE, &alarm);
	ck_assert_uint_eq(rings, 0);
	env.alarm->set(NULL, &alarm, US_PER_MS);
	for (int i = 0; i < WAIT_MS && rings == 0; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	ck_assert_uint_eq(rings, 1);
	env.alarm->close(NULL, &alarm);
	send_forged(SI_TIMER, &alarm); /* as one that was on its way */
	send_garbage();
	ck_assert_uint_eq(rings, 1);
	env_done(&env);
}
END_TEST

START_TEST(a_thread_has_one_alarm)
{
	volatile unsigned rings = 0;
	void *arg = (void *)(uintptr_t)&rings;
	struct alarm alarm, second;
	struct env env;

	env_init_linux(&env);
	ck_assert_int_eq(env.alarm->open(NULL, &alarm, count_ring, arg), 0);
	ck_assert_int_eq(env.alarm->open(NULL, &second, count_ring, arg), -EBUSY);
	env.alarm->close(NULL, &alarm);
	ck_assert_int_eq(env.alarm->open(NULL, &second, count_ring, arg), 0);
	env.alarm->close(NULL, &second);
	env_done(&env);
}
END_TEST

UNIT_MAIN("base/alarm", forged_signals_ring_nothing, a_thread_has_one_alarm)
