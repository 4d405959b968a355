/*
 * `veredus`: one command with words behind it, and one executable under several names. The private
 * names are those under which processes of the server are executed; people use the first table.
 */
#include "cmd/command.h"
#include "cmd/tool.h"
#include "base/env.h"
#include "conf/suggest.h"
#include "proc/child.h"

#include <stdio.h>
#include <sysexits.h>

struct command {
	const char *name;
	const char *help;
	int (*run)(int argc, char **argv);
};

static int
run_role(int argc, char **argv)
{
	(void)argc;
	return child_main(argv[0]);
}

/* In the order in which help shows them. */
static const struct command commands[] = {
	{"serve", "run the mail server", cmd_serve},
	{"sandbox", "try it out: a server on loopback that shows what it does", cmd_sandbox},
	{"send", "send a message by SMTP", cmd_send},
	{"queue", "show what waits for delivery, and deal with it", cmd_queue},
	{"why", "what became of a message, and why", cmd_why},
	{"spool", "what lies on the disk of a server that does not run", cmd_spool},
	{"user", "who may log in to send mail", cmd_user},
	{"check", "check a configuration without starting anything", cmd_check},
	{"spf", "may this client send mail for that domain?", cmd_spf},
	{"dkim", "which domains vouch for a message? sign one, make a key", cmd_dkim},
	{"arc", "does the chain of those who forwarded a message hold?", cmd_arc},
	{"dns", "which records a domain needs, and whether the DNS has them", cmd_dns},
	{"dmarc", "does anybody vouch for the domain in From?", cmd_dmarc},
	{"probe", "does another server carry strangers' mail?", cmd_probe},
};
#define COMMANDS (sizeof commands / sizeof *commands)

/* What the executable is when called by another name; ends with an empty row. */
static const struct command private_names[] = {
	{"veredus-session", NULL, run_role},
	{"veredus-relay", NULL, run_role},
	{NULL, NULL, NULL},
};

static const struct command *
find_command(struct slice name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (slice_equal(slice_text(commands[i].name), name))
			return &commands[i];
	return NULL;
}

static void
print_help(FILE *file)
{
	fputs("usage: veredus COMMAND [ARGUMENT...]\n\n", file);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(file, "  %-10s %s\n", commands[i].name, commands[i].help);
	fprintf(file, "  %-10s %s\n\n", "help", "explain a command: veredus help COMMAND");
	fputs("`veredus --version` prints the version.\n", file);
}

static int
unknown_command(const char *name)
{
	struct suggestion suggestion = {.word = slice_text(name)};

	for (size_t i = 0; i < COMMANDS; i++)
		suggestion_offer(&suggestion, commands[i].name, NULL);
	suggestion_offer(&suggestion, "help", NULL);
	fprintf(stderr, "veredus: there is no command \"%s\"", name);
	if (suggestion.nearest)
		fprintf(stderr, "; did you mean \"%s\"?\n", suggestion.nearest);
	else
		fputs(".\n", stderr);
	fputs("`veredus help` lists all commands.\n", stderr);
	return EX_USAGE;
}

static int
help(int argc, char **argv)
{
	static char option[] = "--help";

	if (argc < 2) {
		print_help(stdout);
		return tool_finish("help", EX_OK);
	}
	const struct command *command = find_command(slice_text(argv[1]));
	if (!command)
		return unknown_command(argv[1]);
	return command->run(2, (char *[]){argv[1], option, NULL});
}

static const struct command *
find_private(const char *path)
{
	struct slice name = slice_text(path);
	size_t start = name.len;

	while (start > 0 && name.ptr[start - 1] != '/')
		start--;
	for (const struct command *row = private_names; row->name; row++)
		if (slice_equal(slice_text(row->name), slice_from(name, start)))
			return row;
	return NULL;
}

int
main(int argc, char **argv)
{
	const struct command *private = argc > 0 ? find_private(argv[0]) : NULL;

	env_hold_standard_descriptors();
	if (private)
		return private->run(argc, argv);
	if (argc < 2) {
		print_help(stderr);
		return EX_USAGE;
	}
	struct slice word = slice_text(argv[1]);
	if (slice_equal(word, SLICE("--version"))) {
		puts("Veredus " VEREDUS_VERSION);
		return tool_finish("--version", EX_OK);
	}
	if (slice_equal(word, SLICE("help")) || slice_equal(word, SLICE("--help")) ||
		slice_equal(word, SLICE("-h")))
		return help(argc - 1, argv + 1);
	const struct command *command = find_command(word);
	return command ? command->run(argc - 1, argv + 1) : unknown_command(argv[1]);
}
