/* The subcommands of veredus: each is a main of its own, with argv[0] being its name. Exit codes are sysexits. */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

int cmd_serve(int argc, char **argv);
int cmd_sandbox(int argc, char **argv);

/* Becomes the server with this configuration; returns an exit code when that fails. */
int serve_exec(const char *conf_file);

#endif
