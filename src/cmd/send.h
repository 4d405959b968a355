/* What the files of `veredus send` share. */
#ifndef CMD_SEND_H
#define CMD_SEND_H

#include "cmd/compose.h"
#include "net/endpoint.h"
#include "smtp/client.h"

#define SEND_NAME "send"

struct send {
	struct env env;
	struct arena arena; /* of the command's life: recipients, texts of replies */

	/* what was asked for */
	const char *server;
	struct endpoint endpoint;
	struct slice reverse_path;
	struct address from;
	struct smtp_client_recipient *recipients;
	struct address *to; /* the same, split */
	size_t count;
	struct slice subject;
	struct slice hello; /* empty: our address as a literal */
	const char *file;   /* NULL: the standard input */
	bool is_raw;
	bool is_verbose;
	bool is_json;
	struct buffer body;

	/* what came of it */
	enum smtp_client_stage stage;
	enum error error; /* of the session; recipients without a reply share it */
	int connect_errno;
	bool is_connected;
	bool is_our_fault; /* the error: the message could not be made */
};

/* May wait: connects, sends, says goodbye. */
void send_run(void *arg);

/* Prints what became of it; the exit code. */
int send_report(const struct send *send);

#endif
