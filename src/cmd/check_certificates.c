/* Reads the files as the server will; one that only root may read is no fault when somebody else
 * checks. */
#include "cmd/check_certificates.h"
#include "mailauth/dkim_sign.h"
#include "text/sasl.h"
#include "tls/context.h"
#include "tls/private_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define FILE_MAX 65536

/* Whose file it is: the block of the configuration. */
struct thing {
	const char *what;
	struct slice name;
};

static struct thing
thing_of(const struct conf_certificate *certificate)
{
	return (struct thing){"certificate", certificate->name};
}

static void
say(struct thing thing, struct slice path, const char *kind, const char *why)
{
	fprintf(stderr, "veredus check: %s%s %.*s: %.*s: %s\n", kind, thing.what,
		SLICE_ARGS(thing.name), SLICE_ARGS(path), why);
}

/* ERROR_DENIED: it is there, and for others. */
static enum error
read_file(struct env *env, struct thing thing, struct slice path, struct buffer *text)
{
	uint8_t piece[1024];
	ssize_t got;
	struct arena arena;

	arena_init(&arena, env->memory, 8192);
	char *name = arena_text(&arena, path);
	int fd = name ? env->disk->openat(env->world, AT_FDCWD, name, O_RDONLY | O_NONBLOCK, 0)
		      : -ENOMEM;
	arena_done(&arena);
	if (fd < 0) {
		enum error why = error_from_errno(-fd);
		say(thing, path, why == ERROR_DENIED ? "warning: " : "",
			why == ERROR_DENIED ? "not checked: you may not read it" : error_text(why));
		return why;
	}
	while ((got = env->disk->pread(env->world, fd, piece, sizeof piece, (off_t)text->len)) >
			0 &&
		buffer_error(text) == OK)
		buffer_append(text, slice_of(piece, (size_t)got));
	memory_wipe(piece, sizeof piece);
	env->disk->close(env->world, fd);
	enum error error = got < 0 ? error_from_errno((int)-got) : buffer_error(text);
	if (error != OK)
		say(thing, path, "", error_text(error));
	return error;
}

static bool
check_chain(
	struct env *env, const struct conf_certificate *certificate, const struct tls_key_id *key)
{
	struct buffer text;

	buffer_init(&text, env->memory, FILE_MAX);
	enum error error = read_file(env, thing_of(certificate), certificate->chain, &text);
	const char *why = error == OK ? tls_chain_check(buffer_slice(&text), key) : NULL;
	buffer_done(&text);
	if (why)
		say(thing_of(certificate), certificate->chain, "", why);
	return !why && (error == OK || error == ERROR_DENIED);
}

static bool
check_one(struct env *env, const struct conf_certificate *certificate)
{
	struct tls_private_key *key = NULL;
	const char *why = NULL;
	struct buffer text;

	buffer_init(&text, env->memory, FILE_MAX);
	enum error error = read_file(env, thing_of(certificate), certificate->key, &text);
	if (error == OK && tls_private_key_load(secret_of(buffer_slice(&text)), &key, &why) != OK)
		say(thing_of(certificate), certificate->key, "", why);
	memory_wipe(text.ptr, text.capacity);
	buffer_done(&text);
	bool is_good = key || error == ERROR_DENIED;
	is_good &= check_chain(env, certificate, key ? tls_private_key_id(key) : NULL);
	tls_private_key_free(&key);
	return is_good;
}

static bool
check_dkim(struct env *env, const struct conf_dkim *dkim)
{
	struct thing thing = {"dkim", dkim->name};
	struct key *key = NULL;
	const char *why = NULL;
	struct buffer text;

	buffer_init(&text, env->memory, FILE_MAX);
	enum error error = read_file(env, thing, dkim->key, &text);
	if (error == OK && dkim_key_load(secret_of(buffer_slice(&text)), &key, &why) != OK)
		say(thing, dkim->key, "", why);
	memory_wipe(text.ptr, text.capacity);
	buffer_done(&text);
	bool is_good = key || error == ERROR_DENIED;
	key_free(&key);
	return is_good;
}

static bool
is_private(struct env *env, struct thing thing, struct slice path)
{
	struct arena arena;
	struct stat stat;

	arena_init(&arena, env->memory, 8192);
	char *name = arena_text(&arena, path);
	int result = name ? env->disk->fstatat(env->world, AT_FDCWD, name, &stat, 0) : -ENOMEM;
	arena_done(&arena);
	if (result < 0 || (stat.st_mode & (S_IRWXG | S_IRWXO)) == 0)
		return true;
	say(thing, path, "", "others than its owner may read the password: chmod 600");
	return false;
}

static bool
check_password(struct env *env, const struct conf_route *route)
{
	struct thing thing = {"route", route->name};
	const char *why = NULL;
	struct secret password;
	struct buffer text;

	if (route->login.len == 0)
		return true;
	buffer_init(&text, env->memory, FILE_MAX);
	enum error error = read_file(env, thing, route->password_file, &text);
	if (error == OK)
		why = sasl_password_of_file(buffer_slice(&text), &password);
	if (why)
		say(thing, route->password_file, "", why);
	memory_wipe(text.ptr, text.capacity);
	buffer_done(&text);
	return is_private(env, thing, route->password_file) && !why &&
	       (error == OK || error == ERROR_DENIED);
}

static void
warn_of_old_versions(const struct conf *conf)
{
	for (size_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].tls != CONF_TLS_OFF &&
			conf->listeners[i].tls_minimum < CONF_TLS_1_2)
			fprintf(stderr,
				"veredus check: warning: listen %.*s speaks versions of TLS that "
				"are broken: who listens in can read along\n",
				SLICE_ARGS(conf->listeners[i].name));
}

bool
check_certificates(struct env *env, const struct conf *conf)
{
	bool is_good = true;

	warn_of_old_versions(conf);
	for (size_t i = 0; i < conf->certificate_count; i++)
		is_good &= check_one(env, &conf->certificates[i]);
	for (size_t i = 0; i < conf->dkim_count; i++)
		is_good &= check_dkim(env, &conf->dkims[i]);
	for (size_t i = 0; i < conf->route_count; i++)
		is_good &= check_password(env, &conf->routes[i]);
	return is_good;
}
