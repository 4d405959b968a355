/*
 * The keys of session tickets: random, a new one every few hours; the one before opens tickets for
 * as long again. On no disk: who steals one from here reads what was said in its hours, no more.
 * They turn when somebody asks; workers do every few seconds.
 */
#ifndef KEYS_TICKET_KEYS_H
#define KEYS_TICKET_KEYS_H

#include "base/env.h"
#include "base/secret.h"
#include "tls/key.h"

struct ticket_keys {
	uint64_t version; /* 0: there are none yet */
	mono_us made_at;
	size_t len;
	uint8_t octets[TLS_TICKET_KEYS_MAX * TLS_TICKET_KEY_BYTES]; /* the newest first */
};

/* Makes a new one when it is time, and forgets what is too old. */
void ticket_keys_turn(struct ticket_keys *keys, struct env *env);

/* A view. */
struct secret ticket_keys_all(const struct ticket_keys *keys);

#endif
