/*
 * load_options.h: what a load run is asked to do.
 */
#ifndef BENCH_LOAD_OPTIONS_H
#define BENCH_LOAD_OPTIONS_H

#include "tool.h"

#define LOAD_SIZE_MINIMUM 512 /* of a content: leaves room for the header */

struct load_options {
	struct tool_address address;
	uint64_t connections, messages, seconds, per_connection, size, mailboxes;
	const char *recipient, *sender, *marker;
	bool pipelined, hold;
	char own_marker[40];
};

/* Reads the command line; a wrong one ends the process. Strings stay in argv (and in `options`). */
void load_options_parse(struct load_options *options, int argc, char **argv);

#endif
