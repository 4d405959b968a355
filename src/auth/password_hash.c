/* struct crypt_data has 32 KiB: it comes from memory, never from a stack. */
#include "auth/password_hash.h"

#include <crypt.h>

_Static_assert(PASSWORD_HASH_BYTES == CRYPT_OUTPUT_SIZE, "libcrypt writes so many octets");

#define NEW_PREFIX "$y$"
#define SALT_BYTES 16

/* As long as what is right, whatever stands where they differ. */
static bool
is_equal(const char *a, const char *b)
{
	size_t len = strlen(a);
	uint8_t difference = 0;

	if (strlen(b) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		difference |= (uint8_t)((uint8_t)a[i] ^ (uint8_t)b[i]);
	return difference == 0;
}

static enum error
hash(struct memory *memory, const char *password, const char *setting,
	char ret_hash[PASSWORD_HASH_BYTES])
{
	struct crypt_data *data = memory_try(memory, sizeof *data);

	if (!data)
		return ERROR_NO_MEMORY;
	const char *made = crypt_rn(password, setting, data, (int)sizeof *data);
	if (made)
		memcpy(ret_hash, made, strlen(made) + 1);
	memory_wipe(data, sizeof *data);
	memory_put(memory, data);
	return made ? OK : ERROR_FORMAT;
}

enum error
password_hash_check(
	struct memory *memory, const char *password, const char *setting, bool *ret_is_right)
{
	char made[PASSWORD_HASH_BYTES];
	enum error error = hash(memory, password, setting, made);

	if (error == OK)
		*ret_is_right = is_equal(made, setting);
	memory_wipe(made, sizeof made);
	return error;
}

enum error
password_hash_setting(struct env *env, char ret_setting[PASSWORD_HASH_BYTES])
{
	char salt[SALT_BYTES];

	env_random(env, salt, sizeof salt);
	return crypt_gensalt_rn(NEW_PREFIX, 0, salt, sizeof salt, ret_setting, PASSWORD_HASH_BYTES)
		       ? OK
		       : ERROR_UNSUPPORTED;
}

enum error
password_hash_make(struct env *env, const char *password, char ret_hash[PASSWORD_HASH_BYTES])
{
	char setting[PASSWORD_HASH_BYTES];
	enum error error = password_hash_setting(env, setting);

	return error == OK ? hash(env->memory, password, setting, ret_hash) : error;
}
