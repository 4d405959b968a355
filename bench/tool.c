/*
 * tool.c: arguments, addresses and clocks for the load generator and the null server.
 *
 * Everything here runs once at the start; a wrong argument or a failing system call ends the
 * process with a message, since a measurement with half its options is worse than none.
 */
#include "tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>

#define HOST_MAX 64

void
tool_usage(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	exit(EX_USAGE);
}

void
tool_fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(EX_OSERR);
}

uint64_t
tool_number(const char *option, const char *text, uint64_t minimum, uint64_t maximum)
{
	uint64_t value = 0;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '9' || value > maximum)
			tool_usage("%s wants a number, not '%s'", option, text);
		value = value * 10 + (uint64_t)(*p - '0');
	}
	if (*text == '\0' || value < minimum || value > maximum)
		tool_usage("%s wants a number from %ju to %ju", option, (uintmax_t)minimum,
			(uintmax_t)maximum);
	return value;
}

static struct tool_address
address_ipv4(struct in_addr ip, uint16_t port)
{
	struct tool_address address = {.length = sizeof(struct sockaddr_in)};
	struct sockaddr_in *in = (struct sockaddr_in *)&address.storage;

	if (ntohl(ip.s_addr) >> 24 != 127)
		tool_usage("only loopback addresses are allowed");
	in->sin_family = AF_INET;
	in->sin_addr = ip;
	in->sin_port = htons(port);
	return address;
}

static struct tool_address
address_ipv6(struct in6_addr ip, uint16_t port)
{
	struct tool_address address = {.length = sizeof(struct sockaddr_in6)};
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address.storage;

	if (!IN6_IS_ADDR_LOOPBACK(&ip))
		tool_usage("only loopback addresses are allowed");
	in6->sin6_family = AF_INET6;
	in6->sin6_addr = ip;
	in6->sin6_port = htons(port);
	return address;
}

struct tool_address
tool_address(const char *text)
{
	char host[HOST_MAX];
	struct in_addr ip4;
	struct in6_addr ip6;
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;

	if (!colon || length == 0 || length >= sizeof(host))
		tool_usage("'%s' is not ADDR:PORT", text);
	if (text[0] == '[' && text[length - 1] == ']' && length > 2) {
		text++;
		length -= 2;
	}
	memcpy(host, text, length);
	host[length] = '\0';
	uint16_t port = (uint16_t)tool_number("the port", colon + 1, 0, 65535);
	if (inet_pton(AF_INET, host, &ip4) == 1)
		return address_ipv4(ip4, port);
	if (inet_pton(AF_INET6, host, &ip6) == 1)
		return address_ipv6(ip6, port);
	tool_usage("'%s' is not an address", host);
}

void
tool_address_format(const struct tool_address *address, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN];

	if (address->storage.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&address->storage;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, ntohs(in->sin_port));
	} else {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->storage;
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(text, size, "[%s]:%u", host, ntohs(in6->sin6_port));
	}
}

static double
clock_seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double
tool_now(void)
{
	return clock_seconds(CLOCK_MONOTONIC);
}

double
tool_wall_clock(void)
{
	return clock_seconds(CLOCK_REALTIME);
}

void
tool_raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		tool_fail("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		tool_fail("setrlimit");
}
