/*
 * The commands of `veredus`: each gets its own name in argv[0] and its arguments behind it, as main
 * does, and returns an exit code of sysexits.h. With --help each prints how it is used.
 */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

int cmd_serve(int argc, char **argv);
int cmd_sandbox(int argc, char **argv);
int cmd_send(int argc, char **argv);
int cmd_queue(int argc, char **argv);
int cmd_why(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_spf(int argc, char **argv);
int cmd_dkim(int argc, char **argv);
int cmd_arc(int argc, char **argv);
int cmd_dns(int argc, char **argv);
int cmd_dmarc(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_spool(int argc, char **argv);
int cmd_user(int argc, char **argv);

/* Becomes a program of ours that lies beside this one; an exit code when that fails. */
int private_exec(const char *name, char **argv);

/* Becomes the server with this configuration; returns an exit code when that fails. */
int serve_exec(const char *conf_file);

#endif
