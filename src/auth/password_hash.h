/*
 * Hashes of passwords as crypt(5) has them: yescrypt for new ones, and whatever libcrypt knows
 * (bcrypt, sha512-crypt) for those that exist. Takes a tenth of a second and 16 MiB by intent: for
 * threads and for people's commands, never for a task. Blocks.
 */
#ifndef AUTH_PASSWORD_HASH_H
#define AUTH_PASSWORD_HASH_H

#include "base/env.h"
#include "base/secret.h"

#define PASSWORD_HASH_BYTES 384 /* libcrypt's own maximum, with its NUL */

/* ERROR_FORMAT: the setting is none that libcrypt knows. Both texts end in NUL. */
MUST_CHECK enum error password_hash_check(
	struct memory *memory, const char *password, const char *setting, bool *ret_is_right);

/* The hash with a salt of its own. */
MUST_CHECK enum error
password_hash_make(struct env *env, const char *password, char ret_hash[PASSWORD_HASH_BYTES]);

/* A setting of the costs that new hashes have, whose hash nobody knows. */
MUST_CHECK enum error password_hash_setting(struct env *env, char ret_setting[PASSWORD_HASH_BYTES]);

#endif
