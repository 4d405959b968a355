/*
 * Nothing is made or changed; what only root may see is no fault when somebody else checks. An
 * address that is taken is one of the running server itself, perhaps, and so a warning.
 */
#include "cmd/check_surroundings.h"
#include "net/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct look {
	struct env *env;
	const struct conf *conf;
	struct arena arena;
	bool is_good;
};

static void
fault(struct look *look, const char *what, struct slice of, struct slice value, const char *why)
{
	fprintf(stderr, "veredus check: %s%s%.*s: \"%.*s\" %s\n", what, of.len > 0 ? " of " : "",
		SLICE_ARGS(of), SLICE_ARGS(value), why);
	look->is_good = false;
}

static void
warn(const char *what, struct slice value, const char *why)
{
	fprintf(stderr, "veredus check: warning: %s \"%.*s\" %s\n", what, SLICE_ARGS(value), why);
}

static void
look_at_user(struct look *look, const char *what, struct slice of, struct slice name)
{
	const char *text = arena_text(&look->arena, name);
	struct user user;

	if (!text || look->env->users->find(look->env->world, text, &user) == -ENOENT)
		fault(look, what, of, name,
			"is no account of this system; make it (useradd --system), or name "
			"another");
}

/* One that cannot be read now is read as soon as it can be, but until then nobody is known. */
static void
look_at_file(struct look *look, const char *what, struct slice of, struct slice path)
{
	const struct disk_ops *disk = look->env->disk;
	const char *text = arena_text(&look->arena, path);
	struct stat found;
	int fd = text ? disk->openat(look->env->world, AT_FDCWD, text, O_RDONLY | O_NONBLOCK, 0)
		      : -ENOMEM;

	if (fd == -EACCES && geteuid() != 0) {
		warn(what, path, "is not for you to read: not checked");
		return;
	}
	if (fd < 0) {
		fault(look, what, of, path, error_text(error_from_errno(-fd)));
		return;
	}
	int result = disk->fstat(look->env->world, fd, &found);
	disk->close(look->env->world, fd);
	if (result < 0 || !S_ISREG(found.st_mode))
		fault(look, what, of, path, "is no file");
}

/* The length of the path above it; 0: there is none. */
static size_t
parent_len(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] != '/')
		len--;
	while (len > 1 && path[len - 1] == '/')
		len--;
	return len;
}

/* It is there, or can be made in the first folder above that is. */
static void
look_at_folder(struct look *look, const char *what, struct slice path)
{
	char *text = arena_text(&look->arena, path);
	struct stat found;
	int result = -ENOMEM;

	while (text &&
		(result = look->env->disk->fstatat(look->env->world, AT_FDCWD, text, &found, 0)) ==
			-ENOENT &&
		strlen(text) > 1)
		text[parent_len(text)] = 0;
	if (result < 0)
		fault(look, what, SLICE(""), path, error_text(error_from_errno(-result)));
	else if (!S_ISDIR(found.st_mode))
		fault(look, what, SLICE(""), path, "cannot be a folder: a file stands in the way");
	else if (access(text, W_OK) != 0 && (geteuid() == 0 || errno != EACCES))
		fault(look, what, SLICE(""), path, "cannot be written");
}

static void
look_at_domain(struct look *look, const struct conf_domain *domain)
{
	if (domain->accounts == CONF_ACCOUNTS_FILE)
		look_at_file(look, "accounts", domain->name, domain->accounts_file);
	if (domain->aliases == CONF_ALIASES_FILE)
		look_at_file(look, "aliases", domain->name, domain->aliases_file);
	if (domain->owner == CONF_OWNER_USER && geteuid() == 0)
		look_at_user(look, "owner", domain->name, domain->owner_user);
}

static bool has_domain_in(struct slice template)
{
	static const struct slice word = SLICE_INIT("{domain}");

	return memmem(template.ptr, template.len, word.ptr, word.len) != NULL;
}

/* Two people of one name would read each other's mail. */
static void
look_at_shared_mailboxes(const struct conf *conf, size_t i)
{
	const struct conf_domain *domain = &conf->domains[i];

	if (domain->owner == CONF_OWNER_SYSTEM || has_domain_in(domain->mailbox_template))
		return;
	for (size_t j = 0; j < i; j++) {
		if (!slice_equal(domain->mailbox_template, conf->domains[j].mailbox_template))
			continue;
		fprintf(stderr,
			"veredus check: warning: %.*s and %.*s put the mail of one name into one "
			"mailbox, %.*s; {domain} in it would tell them apart\n",
			SLICE_ARGS(conf->domains[j].name), SLICE_ARGS(domain->name),
			SLICE_ARGS(domain->mailbox_template));
		return;
	}
}

static void
look_at_address(struct look *look, const struct conf_listener *listener, struct slice address)
{
	struct endpoint endpoint;

	if (endpoint_parse(address, &endpoint) != OK || endpoint_port(&endpoint) == 0)
		return;
	int fd = look->env->net->listen(look->env->world, (struct sockaddr *)&endpoint.address,
		endpoint.len, SOCK_STREAM, 1);
	if (fd >= 0)
		look->env->net->close(look->env->world, fd);
	else if (fd == -EADDRINUSE)
		warn("address", address,
			"is in use now: by this server, if it runs, or by another");
	else if (fd != -EACCES || geteuid() == 0)
		fault(look, "address", listener->name, address, strerror(-fd));
}

static void
look_around(struct look *look)
{
	const struct conf *conf = look->conf;

	if (conf->listener_count == 0)
		fprintf(stderr,
			"veredus check: warning: there is no \"listen\": nobody can bring mail\n");
	if (geteuid() == 0)
		look_at_user(look, "user", SLICE(""), conf->user);
	look_at_folder(look, "spool", conf->spool);
	for (size_t i = 0; i < conf->domain_count; i++) {
		look_at_domain(look, &conf->domains[i]);
		look_at_shared_mailboxes(conf, i);
	}
	for (size_t i = 0; i < conf->route_count; i++)
		if (conf->routes[i].to == CONF_TO_MAILDIR && geteuid() == 0)
			look_at_user(
				look, "owner", conf->routes[i].name, conf->routes[i].owner_user);
	for (size_t i = 0; i < conf->listener_count; i++)
		for (size_t j = 0; j < conf->listeners[i].address_count; j++)
			look_at_address(look, &conf->listeners[i], conf->listeners[i].addresses[j]);
}

bool
check_surroundings(struct env *env, const struct conf *conf)
{
	struct look look = {.env = env, .conf = conf, .is_good = true};

	arena_init(&look.arena, env->memory, CONF_ARENA_MAX);
	look_around(&look);
	arena_done(&look.arena);
	return look.is_good;
}
