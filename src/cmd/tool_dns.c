#include "cmd/tool_dns.h"
#include "cmd/tool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define RESOLV_CONF     "/etc/resolv.conf"
#define RESOLV_CONF_MAX (64u << 10)

static int
read_resolv_conf(const char *command, struct dns_stub *stub)
{
	static char text[RESOLV_CONF_MAX];
	FILE *file = fopen(RESOLV_CONF, "re");

	if (!file)
		return tool_fail(command, EX_UNAVAILABLE,
			RESOLV_CONF " can't be read: %s; name a DNS server with --dns ADDRESS:PORT",
			strerror(errno));
	size_t len = fread(text, 1, sizeof text, file);
	fclose(file);
	dns_stub_read_conf(stub, slice_of(text, len));
	if (stub->server_count > 0)
		return EX_OK;
	return tool_fail(command, EX_UNAVAILABLE,
		RESOLV_CONF " names no DNS server; name one with --dns ADDRESS:PORT");
}

int
tool_dns_open(const char *command, const char *option, struct dns_stub *ret_stub)
{
	*ret_stub = (struct dns_stub){0};
	if (!option)
		return read_resolv_conf(command, ret_stub);
	if (endpoint_parse(slice_text(option), &ret_stub->servers[0]) != OK ||
		endpoint_port(&ret_stub->servers[0]) == 0)
		return tool_misused(command,
			"--dns %s: give it as 127.0.0.1:53 or [::1]:53; names are not looked up",
			option);
	ret_stub->server_count = 1;
	return EX_OK;
}
