/* The records of the DNS that a configuration wants published, and what the DNS has of them. */
#ifndef CMD_DNS_RECORDS_H
#define CMD_DNS_RECORDS_H

#include "cmd/tool_dns.h"
#include "conf/conf.h"
#include "dns/source.h"

#define DNS_RECORDS_ARENA_BYTES (64u << 20)
#define DNS_MX_PREFERENCE       10

enum wish_kind {
	WISH_ADDRESS, /* that the server's name has one; which one is not known */
	WISH_MX,
	WISH_SPF,
	WISH_DKIM,
	WISH_DMARC,
	WISH_TLSA,
	WISH_SRV
};

struct wish {
	enum wish_kind kind;
	struct slice name; /* of the record */
	enum dns_type type;
	uint16_t port;                /* SRV */
	struct slice target;          /* MX, SRV */
	struct slice text;            /* TXT as it should be; TLSA: the hash */
	const struct conf_dkim *dkim; /* WISH_DKIM; NULL: no key is configured */
};

struct wishes {
	struct env *env;
	struct arena *arena;
	const struct conf *conf;
	const char *command; /* for complaints */
	struct slice domain; /* empty: only keys were asked for */
	struct wish *items;
	size_t count;
};

/* Exit codes; what is wrong has been said. All for one domain, which must be of the configuration;
 * the keys of one domain, or of all of them (an empty slice). Reads certificates and keys. */
int wishes_collect(struct wishes *wishes, struct slice domain);
int wishes_collect_keys(struct wishes *wishes, struct slice domain);

/* A line of a zone file, without its end. */
void wish_append_record(struct buffer *text, const struct wish *wish);

enum finding_state {
	FINDING_GOOD,
	FINDING_ADVICE, /* it works without */
	FINDING_UNKNOWN,
	FINDING_MISSING,
	FINDING_DIFFERS
};

/* "missing" */
const char *finding_state_text(enum finding_state state);

struct finding {
	const struct wish *wish;
	enum finding_state state;
	struct slice found;  /* what the DNS says; a stranger's text; may be empty */
	struct slice advice; /* what to do; empty when good */
};

/* May wait: asks the DNS for one wish. False: no memory. */
bool finding_make(const struct wishes *wishes, const struct wish *wish,
	const struct dns_source *dns, struct loop *loop, struct finding *ret_finding);

#endif
