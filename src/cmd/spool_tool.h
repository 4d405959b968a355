/* What the words of `veredus spool` share: a spool that no server has open, read message by
 * message. */
#ifndef CMD_SPOOL_TOOL_H
#define CMD_SPOOL_TOOL_H

#include "cmd/tool.h"
#include "ipc/envelope.h"
#include "spool/spool.h"

#define SPOOL_TOOL "spool"

/* One message, whole and checked, or as much of it as there is. */
struct spool_mail {
	const struct spool_message *state;
	struct buffer payload; /* the encoded envelope */
	struct envelope envelope;
	struct buffer content;
	const char *fault; /* NULL: nothing is wrong with it; else what, for people */
	bool has_envelope, has_content;
	char id[QUEUE_ID_DIGITS + 1];
};

struct spool_walk {
	struct env *env;
	const char *path; /* of the folder */
	int dir_fd;
	/* Each message, in ascending order of id; what it holds lives during the call. An error
	 * ends the walk. */
	enum error (*mail)(void *arg, const struct spool_mail *mail);
	void (*damage)(void *arg, const char *file, uint64_t offset, const char *what);
	void *arg;

	/* its own */
	struct arena arena;
	struct spool_mail present;
	int segment_fd;
	uint32_t segment; /* whose descriptor that is */
};

/* Walks all of it, without changing anything. EX_OK, or a code after it was said on stderr what is
 * wrong: EX_TEMPFAIL where a server has it open. */
int spool_walk_run(struct spool_walk *walk);

/* Envelope and state as one object of JSON, without a line end. */
void spool_mail_append_json(struct buffer *line, const struct spool_mail *mail);

/* The words. */
struct spool_order {
	struct env *env;
	struct arena *arena;
	const char *path; /* of the folder */
	int dir_fd;
	uint64_t segment_bytes; /* as configured */
	const char *to;         /* a folder; NULL: not said */
	const char *const *ids; /* none: all */
	int id_count;
	bool is_json;
};
int spool_check(const struct spool_order *order);
int spool_export(const struct spool_order *order);
int spool_repair(const struct spool_order *order);

#endif
