/* What the mechanisms of AUTH share. All of it may wait but where it says otherwise. */
#ifndef SMTP_AUTH_PRIVATE_H
#define SMTP_AUTH_PRIVATE_H

#include "smtp/server_private.h"
#include "text/sasl.h"

/* Where a line lies, in the reader's buffer, which nobody else uses until the next line. */
static inline uint8_t *
smtp_auth_octets(struct slice line)
{
	return (uint8_t *)(uintptr_t)line.ptr;
}

static inline mono_us
smtp_auth_deadline(const struct smtp_server *server)
{
	return smtp_server_deadline(server, server->settings->auth_timeout_us);
}

/* Replies that this is no response. */
void smtp_auth_malformed(struct smtp_server *server);

/* A response, decoded in place; false with the reply given. Does not wait. */
bool smtp_auth_decode(struct smtp_server *server, struct slice line, struct slice *ret_response);

/* Challenge and response; false with the reply given. `challenge` is base64. */
bool smtp_auth_ask(struct smtp_server *server, struct slice challenge, struct slice *ret_response);

/* Replies to what the question came to. */
void smtp_auth_conclude(struct smtp_server *server, enum error error);

/* Mechanisms: with the initial response, in base64. */
void smtp_auth_scram(struct smtp_server *server, struct slice initial, bool has_initial);
void smtp_auth_scram_plus(struct smtp_server *server, struct slice initial, bool has_initial);

#endif
