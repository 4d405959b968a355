/* The running server, asked over its control socket: for `veredus queue` and `veredus why`. */
#ifndef CMD_CONTROL_H
#define CMD_CONTROL_H

#include "conf/conf.h"
#include "ipc/channel.h"

/* In whose name, and whom. */
struct control {
	struct env *env;
	const char *command;
	struct slice path; /* of the socket */
	struct channel channel;
};

/* Functions that give an exit code have said what is wrong, unless it is EX_OK. */

/*
 * Reads the configuration (NULL: VEREDUS_CONF) and sets the path, if it has none yet. A person who
 * may not read the default one may still be one who may ask: then `ret_conf`, unless it is NULL, is
 * zeroed.
 */
int
control_find(struct control *control, struct arena *arena, const char *file, struct conf *ret_conf);

/* May wait. */
int control_connect(struct control *control);
void control_close(struct control *control);

/* Says that there was none. */
int control_no_answer(const struct control *control, const char *why);

/* Says what the server said of a request that it can't serve. */
int control_refused(const struct control *control, struct slice reason);

/* The path is a person's: shown as it is. */
int control_fail(const struct control *control, int code, const char *what);

#endif
