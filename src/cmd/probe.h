/* What the files of `veredus probe` share: a session with a server in which every command is ours
 * to choose, also those that no client says. */
#ifndef CMD_PROBE_H
#define CMD_PROBE_H

#include "net/endpoint.h"
#include "net/line_reader.h"
#include "smtp/reply.h"

#define PROBE_NAME       "probe"
#define PROBE_CONNECT_US (15 * US_PER_S)
#define PROBE_REPLY_US   (30 * US_PER_S)

struct probe_session {
	struct env *env;
	struct socket_stream socket;
	struct line_pool *pool;
	struct line_reader reader;
	struct smtp_reply_reader reply;
	bool is_open; /* the server may be asked something */
};

/* HOST, HOST:PORT, [ADDRESS]:PORT; looks the name up. False: that has been said on stderr, and
 * *ret_code is the exit code. */
bool probe_find_host(const char *text, const char *port, struct endpoint *ret_peer, int *ret_code);

void probe_session_init(struct probe_session *session, struct env *env);

/* May wait: a connection, and its banner in session->reply. */
MUST_CHECK enum error probe_open(struct probe_session *session, const struct endpoint *peer);

/* May wait: a line and the reply to it. 421 ends the session, as any error does. */
MUST_CHECK enum error probe_ask(struct probe_session *session, struct slice line);

/* May wait: QUIT, if there is anybody to say it to. */
void probe_close(struct probe_session *session);
void probe_session_done(struct probe_session *session);

#endif
