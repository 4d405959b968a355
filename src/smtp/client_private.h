/* What the files of the client share: commands out, replies in. */
#ifndef SMTP_CLIENT_PRIVATE_H
#define SMTP_CLIENT_PRIVATE_H

#include "smtp/client.h"

/* Appends one command's line to the output, without CRLF, then smtp_client_command_end. */
void smtp_client_command_end(struct smtp_client *client, size_t start);

/*
 * May wait: sends the output. When the server does not take it the error is kept, and OK returned,
 * since the server may have said why before it went: the reads that follow look for that.
 */
MUST_CHECK enum error smtp_client_flush(struct smtp_client *client, int64_t timeout_us);

/* May wait: the next reply into client->reply. */
MUST_CHECK enum error smtp_client_read(struct smtp_client *client, int64_t timeout_us);

/*
 * May wait. Nothing may have come that was not asked for: a reply too many would be taken for the
 * answer to the next command. Only a farewell (421) may; *ret_over tells that there was one, which
 * is now in client->reply.
 */
MUST_CHECK enum error smtp_client_check_step(struct smtp_client *client, bool *ret_over);

/* May wait: one command that stands alone in the output, and its reply (or the farewell that came
 * instead). */
MUST_CHECK enum error smtp_client_exchange(struct smtp_client *client, int64_t timeout_us);

/* Marks the connection as of no use; the error back. */
enum error smtp_client_break(struct smtp_client *client, enum error error);

/* 2, 4 or 5: the reply's class; 3 only where `may_go_on`; ERROR_FORMAT for other classes. */
MUST_CHECK enum error
smtp_client_class(const struct smtp_client *client, bool may_go_on, unsigned *ret_class);

void smtp_client_show(struct smtp_client *client, enum smtp_client_line kind, struct slice line);

#endif
