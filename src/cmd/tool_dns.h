/* Which DNS servers a command asks: those of --dns, else those of /etc/resolv.conf. */
#ifndef CMD_TOOL_DNS_H
#define CMD_TOOL_DNS_H

#include "dns/stub.h"

#define TOOL_DNS_HELP \
	"      --dns ADDRESS:PORT   ask this DNS server; default: those of /etc/resolv.conf\n"

/* `option` is the value of --dns or NULL. An exit code; what is wrong has been said. */
int tool_dns_open(const char *command, const char *option, struct dns_stub *ret_stub);

#endif
