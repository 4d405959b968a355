/*
 * Passwords come as open files from root, one a path. They are kept by path, since routes may share
 * one; a login in progress has a copy of its own, since the file may change meanwhile.
 */
#include "relay/login.h"
#include "base/log_record.h"
#include "smtp/client_auth.h"
#include "text/sasl.h"

#define FILE_MAX   (SASL_PASSWORD_MAX + 3) /* with its line's end, and an octet too many */
#define REASON_MAX 1024
#define WHY_MAX    512 /* octets of it for what the server said */

struct password {
	struct list link;
	struct slice path;
	size_t len;
	uint8_t octets[SASL_PASSWORD_MAX];
	uint8_t path_octets[];
};

struct relay_logins {
	struct env *env;
	struct list passwords;
};

struct relay_logins *
relay_logins_new(struct env *env)
{
	struct relay_logins *logins = memory_get(env->memory, sizeof *logins);

	logins->env = env;
	list_init(&logins->passwords);
	return logins;
}

static void
forget(struct relay_logins *logins, struct password *password)
{
	list_remove(&password->link);
	memory_wipe(password, sizeof *password);
	memory_put(logins->env->memory, password);
}

void
relay_logins_free(struct relay_logins **logins_pointer)
{
	struct relay_logins *logins = *logins_pointer;

	if (!logins)
		return;
	list_for_each_safe (link, next, &logins->passwords)
		forget(logins, list_entry(link, struct password, link));
	memory_put(logins->env->memory, logins);
	*logins_pointer = NULL;
}

static struct password *
find_password(const struct relay_logins *logins, struct slice path)
{
	list_for_each (link, &logins->passwords) {
		struct password *password = list_entry(link, struct password, link);
		if (slice_equal(password->path, path))
			return password;
	}
	return NULL;
}

static void
keep(struct relay_logins *logins, struct slice path, struct secret secret)
{
	struct slice octets = secret_reveal(secret);
	struct password *password = memory_get(logins->env->memory, sizeof *password + path.len);

	memcpy(password->path_octets, path.ptr, path.len);
	password->path = slice_of(password->path_octets, path.len);
	memcpy(password->octets, octets.ptr, octets.len);
	password->len = octets.len;
	list_append(&logins->passwords, &password->link);
}

void
relay_logins_set(struct relay_logins *logins, struct slice path, int fd)
{
	struct env *env = logins->env;
	struct password *old = find_password(logins, path);
	uint8_t text[FILE_MAX];
	struct secret secret;

	ssize_t got = env->disk->pread(env->world, fd, text, sizeof text, 0);
	env->disk->close(env->world, fd);
	const char *why = got < 0 ? error_text(error_from_errno((int)-got))
				  : sasl_password_of_file(slice_of(text, (size_t)got), &secret);
	if (old)
		forget(logins, old);
	if (!why)
		keep(logins, path, secret);
	memory_wipe(text, sizeof text);
	if (why)
		log_event(env, LOG_ERROR, "route_password_unusable", LOG_SLICE("file", path),
			LOG_STRING("error", why));
}

/* "the server does not accept the login NAME: 535 5.7.8 no" */
static void
put_reason(struct arena *arena, const char *what, struct slice name, struct slice why,
	struct slice *ret_reason)
{
	uint8_t *storage = arena_take(arena, REASON_MAX);
	struct buffer text;

	*ret_reason = slice_text(what);
	if (!storage)
		return;
	buffer_init_fixed(&text, storage, REASON_MAX);
	buffer_append_text(&text, what);
	buffer_append_text(&text, " ");
	buffer_append(&text, name);
	buffer_append_text(&text, why.len > 0 ? ": " : "");
	buffer_append(&text, why);
	*ret_reason = buffer_slice(&text);
}

static void
put_refusal(struct arena *arena, struct slice name, const struct smtp_reply *reply,
	struct slice *ret_reason)
{
	uint8_t storage[WHY_MAX];
	struct buffer why;

	buffer_init_fixed(&why, storage, sizeof storage);
	buffer_append_number(&why, reply->code);
	buffer_append_text(&why, " ");
	buffer_append(&why, slice_sub(reply->text, 0, sizeof storage - 8));
	put_reason(arena, "the server does not accept the login", name, buffer_slice(&why),
		ret_reason);
}

static void
explain(const struct smtp_client_auth_result *result, struct slice name, struct arena *arena,
	struct slice *ret_reason)
{
	switch (result->outcome) {
	case SMTP_AUTH_DONE:
		return;
	case SMTP_AUTH_NOT_OFFERED:
		return put_reason(arena, "the server offers no AUTH, for the login", name,
			SLICE(""), ret_reason);
	case SMTP_AUTH_NO_MECHANISM:
		return put_reason(arena,
			"the server offers none of SCRAM-SHA-256, PLAIN and LOGIN, for the login",
			name, SLICE(""), ret_reason);
	case SMTP_AUTH_REFUSED:
		return put_refusal(arena, name, &result->reply, ret_reason);
	case SMTP_AUTH_UNPROVEN:
		return put_reason(
			arena, "unproven login", name, slice_text(result->problem), ret_reason);
	}
}

/* May wait: with a copy of the password. */
static enum error
log_in(struct relay_connection *connection, struct slice name, const struct password *password,
	struct smtp_client_auth_result *ret_result)
{
	uint8_t octets[SASL_PASSWORD_MAX];
	size_t len = password->len;

	memcpy(octets, password->octets, len);
	struct smtp_client_login login = {name, secret_of(slice_of(octets, len))};
	enum error error = smtp_client_login(&connection->client, &login, ret_result);
	memory_wipe(octets, sizeof octets);
	return error;
}

enum error
relay_log_in(struct relay_connection *connection, const struct relay_login *login,
	struct arena *arena, struct slice *ret_reason)
{
	struct smtp_client_auth_result result;
	const struct password *password;

	*ret_reason = SLICE("");
	if (login->name.len == 0)
		return OK;
	password = find_password(login->logins, login->file);
	/* The configuration sees to that; this is the last look. */
	if (connection->tls_level != TLS_VERIFIED || !password) {
		put_reason(arena,
			password ? "TLS is not verified, for the login"
				 : "the log says why there is no password of the login",
			login->name, SLICE(""), ret_reason);
		return OK;
	}
	enum error error = log_in(connection, login->name, password, &result);
	if (error != OK)
		put_reason(arena, "AUTH broke off, with the login", login->name,
			slice_text(error_text(error)), ret_reason);
	else if (result.outcome == SMTP_AUTH_DONE)
		connection->login = login->name;
	else
		explain(&result, login->name, arena, ret_reason);
	return error;
}
