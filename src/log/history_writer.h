/*
 * The history's files (base/history.h), written by `log`: it sees what everybody says of mail, and
 * whatever happens to it, no mail waits. Of each kind there are HISTORY_FILES, opened by root, one
 * of which grows; when it has its size or its share of the time, the oldest is emptied and is next.
 */
#ifndef LOG_HISTORY_WRITER_H
#define LOG_HISTORY_WRITER_H

#include "base/history.h"
#include "conf/conf.h"

#define HISTORY_WRITE_BYTES 65536
#define HISTORY_LOOK_US     (3600 * US_PER_S) /* at least so often history_writer_flush is called */

struct history_files {
	int fds[HISTORY_FILES]; /* -1: not there */
	uint32_t current;
	bool is_open; /* the current one is known, and has a head */
	wall_us started_at;
	uint64_t size;
	struct buffer waiting;
};

struct history_writer {
	struct env *env;
	const struct conf *conf;
	struct history_files kinds[HISTORY_KINDS];
	uint64_t lost;   /* records that could not be written, not told yet */
	wall_us told_at; /* of the last word about them */
};

void history_writer_init(struct history_writer *writer, struct env *env, const struct conf *conf);
void history_writer_done(struct history_writer *writer);

/* One of the files, for reading and appending; owned from here on. False: this is no name of one,
 * and the descriptor the caller's. */
bool history_writer_add(struct history_writer *writer, struct slice name, int fd);

/* Keeps the record if it is one to keep; what finds no room is counted. */
void history_writer_take(struct history_writer *writer, struct slice record);

/* Writes what waits, and empties files whose time is over. May block on the disk. */
void history_writer_flush(struct history_writer *writer);

#endif
