/* What this server has collected of others' mail, for DMARC aggregate reports (RFC 9990). */
#ifndef CMD_DMARC_PENDING_H
#define CMD_DMARC_PENDING_H

#include "aggregate/collect.h"
#include "cmd/control.h"

struct dmarc_pending {
	struct env env;
	struct conf conf;
	struct arena conf_arena, arena;
	struct collection collection;
	const char *config;    /* NULL: VEREDUS_CONF */
	struct slice domain;   /* empty: all */
	uint64_t day;          /* seconds of its begin; 0: all */
	wall_us complete_from; /* what came before was driven out by what came later; 0: nothing */
	bool is_json, wants_help;
};

/* "report --pending ..." */
bool dmarc_is_about_pending(int argc, char **argv);
int dmarc_pending(int argc, char **argv);

void dmarc_pending_init(struct dmarc_pending *pending);
void dmarc_pending_done(struct dmarc_pending *pending);

/* Reads the configuration and the history. An exit code; what is wrong has been said. */
int dmarc_pending_read(struct dmarc_pending *pending);

/* "mx.example.org!example.net!1764547200!1764633599": one name for a day of a domain, so that a
 * report that comes twice is known as such (RFC 9990 has it unique). */
void dmarc_report_id(struct buffer *text, const struct conf *conf, const struct collected *c);

#endif
