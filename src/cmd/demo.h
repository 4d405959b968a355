/* The part of `veredus sandbox --demo` around the server. */
#ifndef CMD_DEMO_H
#define CMD_DEMO_H

/* Runs the server with this configuration as a child and shows what happens, until it ends; its
 * exit code. */
int demo_run(const char *conf_file);

#endif
