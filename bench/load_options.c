/*
 * load_options.c: the command line of the load generator.
 *
 *	load [options] ADDR:PORT
 *	  --connections N	how many at the same time (1)
 *	  --messages N		end after that many (0: no such end)
 *	  --seconds S		start no message after S seconds (10)
 *	  --per-connection N	messages on a connection before QUIT and a new one (1)
 *	  --pipelined		MAIL, RCPT and DATA in one write
 *	  --size BYTES		of a message's content, line ends counted (4096)
 *	  --recipient PATTERN	%d becomes the mailbox number (u%d@discard.test)
 *	  --mailboxes N		mailboxes 0 to N-1 in turn (10)
 *	  --sender ADDRESS	reverse path (sender@load.test)
 *	  --marker TEXT		beginning of every Message-ID (made of time and process id)
 *	  --hold		only open connections and greet; print how many are ready; hold
 *				them until standard input ends
 */
#include "load_options.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

enum option_name {
	OPTION_CONNECTIONS,
	OPTION_MESSAGES,
	OPTION_SECONDS,
	OPTION_PER_CONNECTION,
	OPTION_PIPELINED,
	OPTION_SIZE,
	OPTION_RECIPIENT,
	OPTION_MAILBOXES,
	OPTION_SENDER,
	OPTION_MARKER,
	OPTION_HOLD,
};

static const struct option long_options[] = {
	{"connections", required_argument, NULL, OPTION_CONNECTIONS},
	{"messages", required_argument, NULL, OPTION_MESSAGES},
	{"seconds", required_argument, NULL, OPTION_SECONDS},
	{"per-connection", required_argument, NULL, OPTION_PER_CONNECTION},
	{"pipelined", no_argument, NULL, OPTION_PIPELINED},
	{"size", required_argument, NULL, OPTION_SIZE},
	{"recipient", required_argument, NULL, OPTION_RECIPIENT},
	{"mailboxes", required_argument, NULL, OPTION_MAILBOXES},
	{"sender", required_argument, NULL, OPTION_SENDER},
	{"marker", required_argument, NULL, OPTION_MARKER},
	{"hold", no_argument, NULL, OPTION_HOLD},
	{NULL, 0, NULL, 0},
};

static void
load_options_set(struct load_options *options, int option, const char *value)
{
	switch (option) {
	case OPTION_CONNECTIONS:
		options->connections = tool_number("--connections", value, 1, 100000);
		return;
	case OPTION_MESSAGES:
		options->messages = tool_number("--messages", value, 0, 100000000);
		return;
	case OPTION_SECONDS:
		options->seconds = tool_number("--seconds", value, 1, 86400);
		return;
	case OPTION_PER_CONNECTION:
		options->per_connection = tool_number("--per-connection", value, 1, 100000000);
		return;
	case OPTION_PIPELINED:
		options->pipelined = true;
		return;
	case OPTION_SIZE:
		options->size = tool_number("--size", value, LOAD_SIZE_MINIMUM, 1 << 30);
		return;
	case OPTION_RECIPIENT:
		options->recipient = value;
		return;
	case OPTION_MAILBOXES:
		options->mailboxes = tool_number("--mailboxes", value, 1, 1000000);
		return;
	case OPTION_SENDER:
		options->sender = value;
		return;
	case OPTION_MARKER:
		options->marker = value;
		return;
	case OPTION_HOLD:
		options->hold = true;
		return;
	default:
		tool_usage("usage: load [options] ADDR:PORT (the options are at the top of "
			   "bench/load_options.c)");
	}
}

void
load_options_parse(struct load_options *options, int argc, char **argv)
{
	int option;

	*options = (struct load_options){.connections = 1,
		.seconds = 10,
		.per_connection = 1,
		.size = 4096,
		.mailboxes = 10,
		.recipient = "u%d@discard.test",
		.sender = "sender@load.test"};
	snprintf(options->own_marker, sizeof(options->own_marker), "%.0f.%ld", tool_wall_clock(),
		(long)getpid());
	options->marker = options->own_marker;
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		load_options_set(options, option, optarg);
	if (optind + 1 != argc)
		tool_usage("one ADDR:PORT is needed");
	options->address = tool_address(argv[optind]);
}
