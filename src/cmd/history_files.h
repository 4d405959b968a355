/* The history's files, read by people's commands (base/history.h). */
#ifndef CMD_HISTORY_FILES_H
#define CMD_HISTORY_FILES_H

#include "base/history.h"

typedef void history_each(void *arg, struct slice record);

struct history_scan {
	struct env *env;
	const char *command; /* in whose name is complained */
	struct slice spool;
	enum history_kind first, last;
	history_each *each;
	void *arg;
	wall_us oldest;   /* when the oldest of the files begins; 0: all are empty */
	unsigned started; /* files that are not empty */
};

/*
 * Each record of all files of these kinds, file by file; the server may write to them, or empty
 * one, meanwhile. An exit code; what is wrong has been said. EX_NOPERM: not said, they may not be
 * read.
 */
int history_scan(struct history_scan *scan);

#endif
