/*
 * tool.h: what the two measuring programs share: arguments, addresses, the clock.
 * Neither is part of the product: they use libc directly and may end the process on a wrong
 * argument.
 */
#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv4 or IPv6 socket address of loopback. */
struct tool_address {
	struct sockaddr_storage storage;
	socklen_t length;
};

/* Prints `NAME: text` and ends the process with exit code 64 (usage) or 71 (the system failed). */
_Noreturn void tool_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void tool_fail(const char *what);

/* A whole decimal number from minimum to maximum, or the process ends naming `option`. */
uint64_t tool_number(const char *option, const char *text, uint64_t minimum, uint64_t maximum);

/* ADDR:PORT or [ADDR]:PORT. Anything but loopback is refused: these programs are never pointed at
 * strangers. */
struct tool_address tool_address(const char *text);

/* ADDR:PORT as text into `text`. */
void tool_address_format(const struct tool_address *address, char *text, size_t size);

/* Seconds: of a clock that never jumps, and since 1970. */
double tool_now(void);
double tool_wall_clock(void);

/* As many descriptors as the system lets this process have. */
void tool_raise_descriptor_limit(void);

#endif
