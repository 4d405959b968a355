/*
 * The `log` role: the only writer of logs. It drains the rings of all other processes, writes each
 * record to the configured log, and announces on standard output what scripts and people wait for:
 * `received ID`, `delivered PATH`, `deferred ID`, `failed ID`, a line each.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "base/env.h"
#include "conf/conf.h"
#include "ipc/role.h"

struct log_service;

/* `wake_fd` is what the rings' writers signal; the service owns it from here on. */
struct log_service *log_service_new(struct env *env, const struct conf *conf, int wake_fd);

/* A file of the history by its name (base/history.h), open for reading and appending; owned from
 * here on. False: it has no such name, and the descriptor is the caller's. */
bool log_service_add_history(struct log_service *service, struct slice name, int file_fd);

/* The log file, open for appending; owned from here on. Needed only when the configuration names a
 * file. A later one takes its place: what was taken before goes to the old one. */
void log_service_set_file(struct log_service *service, int file_fd);

/* A process' ring; owned from here on. One that it replaces is drained first. */
void
log_service_add_ring(struct log_service *service, uint32_t role, uint32_t worker, int memory_fd);

/* The process is gone, and its place with it: what its ring still holds is written, then it is
 * closed. */
void log_service_drop_ring(struct log_service *service, uint32_t role, uint32_t worker);

/* Starts draining. */
MUST_CHECK enum error log_service_go(struct log_service *service);

/* May wait: writes what the rings still hold and ends. */
void log_service_stop(struct log_service *service);
void log_service_free(struct log_service **service);

#endif
