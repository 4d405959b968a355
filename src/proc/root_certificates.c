/*
 * The files of certificates, and that of passwords: only root may read them, so root opens them and
 * `keys` or `auth` gets the descriptors. When a file is another one, or has changed and is left
 * alone for a moment, both files of its certificate are opened again; `keys` decides whether they
 * belong together. A file that can't be opened stops nobody's start: the other certificates still
 * work. Keys for DKIM go the same way, and so do the secrets of return paths (SRS), which are made
 * here when there are none and the configuration names no file. The passwords of routes go to all
 * relays.
 */
#include "base/file_replace.h"
#include "base/log_record.h"
#include "proc/root_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define LOOK_EACH_US (5 * US_PER_S)
#define SETTLED_US   (2 * US_PER_S)

static int64_t
changed_at(const struct stat *stat)
{
	return stat->st_mtim.tv_sec * US_PER_S + stat->st_mtim.tv_nsec / 1000;
}

static void
remember(struct root_folder *file, const struct stat *stat)
{
	file->device = stat->st_dev;
	file->inode = stat->st_ino;
	file->size = stat->st_size;
	file->changed_at = changed_at(stat);
}

/* The password of a route is nobody's but its owner's to read. */
static bool
may_be_used(const struct root_folder *file, const struct stat *stat)
{
	return file->role != ROLE_RELAY || (stat->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

/* Replaces the descriptor; -errno, and then there is none. */
static int
open_file(struct root *root, struct root_folder *file)
{
	struct env *env = root->env;
	struct arena arena;
	struct stat stat;

	arena_init(&arena, env->memory, 8192);
	char *path = arena_text(&arena, file->path);
	if (file->fd >= 0)
		env->disk->close(env->world, file->fd);
	/* A FIFO there must not stop the start. */
	file->fd = path ? env->disk->openat(
				  env->world, AT_FDCWD, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0)
			: -ENOMEM;
	arena_done(&arena);
	if (file->fd < 0)
		return file->fd;
	int result = env->disk->fstat(env->world, file->fd, &stat);
	if (result == 0 && !S_ISREG(stat.st_mode))
		result = -EINVAL;
	else if (result == 0 && !may_be_used(file, &stat))
		result = -EPERM;
	if (result == 0) {
		remember(file, &stat);
		return 0;
	}
	env->disk->close(env->world, file->fd);
	file->fd = -1;
	return result;
}

static const char *
fault_text(int result)
{
	return result == -EINVAL  ? "it is no regular file"
	       : result == -EPERM ? "others than its owner may read it"
				  : strerror(-result);
}

static void
open_or_say(struct root *root, struct root_folder *file)
{
	int result = open_file(root, file);

	if (result < 0 && file->role == ROLE_RELAY)
		log_event(root->env, LOG_ERROR, "route_password_unreadable",
			LOG_SLICE("file", file->path), LOG_STRING("error", fault_text(result)));
	else if (result < 0)
		log_event(root->env, LOG_ERROR,
			file->role == ROLE_AUTH ? "passwords_unreadable" : "certificate_unreadable",
			LOG_SLICE("certificate", file->certificate), LOG_SLICE("file", file->path),
			LOG_STRING("error", fault_text(result)));
}

static void
add_file(struct root *root, enum role role, struct slice name, struct slice path)
{
	struct root_folder *file = memory_get(root->env->memory, sizeof *file);

	*file = (struct root_folder){.role = role, .certificate = name, .path = path, .fd = -1};
	open_or_say(root, file);
	list_append(&root->folders, &file->link);
}

#define SRS_SECRET_OCTETS 24

static struct root_folder *
find_spool(struct root *root)
{
	list_for_each (link, &root->folders) {
		struct root_folder *folder = list_entry(link, struct root_folder, link);
		if (folder->role == ROLE_QUEUE && slice_equal(folder->path, root->conf->spool))
			return folder;
	}
	return NULL;
}

/* Once, and kept: what was sent with it comes back for weeks. */
static enum error
make_srs_secrets(struct root *root)
{
	struct env *env = root->env;
	const struct root_folder *spool = find_spool(root);
	uint8_t random[SRS_SECRET_OCTETS], storage[256];
	struct buffer text;
	struct stat stat;

	if (!spool)
		return ERROR_NOT_FOUND;
	int result = env->disk->fstatat(
		env->world, spool->fd, CONF_SRS_SECRETS, &stat, AT_SYMLINK_NOFOLLOW);
	if (result != -ENOENT)
		return result < 0 ? error_from_errno(-result) : OK;
	env_random(env, random, sizeof random);
	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_append_text(&text,
		"# Proves that a return path was made here. See \"srs\" in veredus.conf(5).\n");
	for (size_t i = 0; i < sizeof random; i++)
		buffer_printf(&text, "%02x", random[i]);
	buffer_append_text(&text, "\n");
	enum error error = buffer_error(&text);
	if (error == OK)
		error = file_replace(env, spool->fd, CONF_SRS_SECRETS, buffer_slice(&text), 0600);
	memory_wipe(random, sizeof random);
	memory_wipe(storage, sizeof storage);
	return error;
}

static void
set_up_srs(struct root *root)
{
	const struct conf *conf = root->conf;
	struct slice path = conf->srs.secrets;

	if (conf_srs_domain(conf).len == 0)
		return;
	if (path.len == 0) {
		size_t size = conf->spool.len + sizeof "/" CONF_SRS_SECRETS;
		void *storage = arena_take(&root->arena, size);
		struct buffer text;
		enum error error = storage ? make_srs_secrets(root) : ERROR_NO_MEMORY;
		if (error != OK)
			log_event(root->env, LOG_ERROR, "srs_secrets_not_made",
				LOG_STRING("error", error_text(error)));
		if (!storage)
			return;
		buffer_init_fixed(&text, storage, size);
		buffer_append(&text, conf->spool);
		buffer_append_text(&text, "/" CONF_SRS_SECRETS);
		path = buffer_slice(&text);
	}
	for (int half = 0; half < 2; half++)
		add_file(root, ROLE_KEYS, SLICE("srs"), path);
}

bool
root_has_watched_files(const struct conf *conf)
{
	bool has_login = false;

	for (size_t i = 0; i < conf->route_count; i++)
		has_login |= conf->routes[i].login.len > 0;
	return has_login || conf->certificate_count > 0 || conf->passwords.len > 0 ||
	       conf->dkim_count > 0 || conf_srs_domain(conf).len > 0;
}

/* One file may be that of several routes. */
static void
set_up_routes(struct root *root)
{
	const struct conf *conf = root->conf;

	for (size_t i = 0; i < conf->route_count; i++) {
		struct slice path = conf->routes[i].password_file;
		bool is_known = path.len == 0;
		list_for_each (link, &root->folders) {
			const struct root_folder *file = list_entry(link, struct root_folder, link);
			is_known |= file->role == ROLE_RELAY && slice_equal(file->path, path);
		}
		if (!is_known)
			add_file(root, ROLE_RELAY, slice_of(NULL, 0), path);
	}
}

void
root_set_up_certificates(struct root *root)
{
	const struct conf *conf = root->conf;

	for (size_t i = 0; i < conf->certificate_count; i++) {
		add_file(root, ROLE_KEYS, conf->certificates[i].name, conf->certificates[i].chain);
		add_file(root, ROLE_KEYS, conf->certificates[i].name, conf->certificates[i].key);
	}
	/* Files come in pairs here; a key for DKIM is a pair with itself. */
	for (size_t i = 0; i < conf->dkim_count; i++)
		for (int half = 0; half < 2; half++)
			add_file(root, ROLE_KEYS, conf->dkims[i].name, conf->dkims[i].key);
	set_up_srs(root);
	if (conf->passwords.len > 0)
		add_file(root, ROLE_AUTH, slice_of(NULL, 0), conf->passwords);
	set_up_routes(root);
}

/* Whether it is another one, or has become readable. One that was written to a moment ago may be
 * half of what it will be. */
static bool
has_changed(struct root *root, const struct root_folder *file)
{
	struct env *env = root->env;
	struct arena arena;
	struct stat stat;

	arena_init(&arena, env->memory, 8192);
	char *path = arena_text(&arena, file->path);
	int result = path ? env->disk->fstatat(env->world, AT_FDCWD, path, &stat, 0) : -ENOMEM;
	arena_done(&arena);
	if (result < 0 || !S_ISREG(stat.st_mode) || !may_be_used(file, &stat))
		return false;
	if (file->fd >= 0 && file->device == stat.st_dev && file->inode == stat.st_ino &&
		file->size == stat.st_size && file->changed_at == changed_at(&stat))
		return false;
	return env_wall(env) - changed_at(&stat) >= SETTLED_US;
}

/* For `auth`, or for all relays. */
static void
renew_passwords(struct root *root, struct root_folder *file)
{
	open_or_say(root, file);
	list_for_each (link, &root->children) {
		struct root_child *child = list_entry(link, struct root_child, link);
		if (child->role != file->role || !child->connected || file->fd < 0)
			continue;
		enum error error = root_send_folder(child, file);
		if (error != OK)
			log_event(root->env, LOG_ERROR, "passwords_not_renewed",
				LOG_SLICE("file", file->path),
				LOG_STRING("error", error_text(error)));
	}
}

/* Both files of a certificate, which lie behind each other. */
static void
renew(struct root *root, struct root_folder *chain, struct root_folder *key)
{
	struct root_child *keys = root_find_child(root, ROLE_KEYS, SLICE(""));
	enum error error = OK;

	open_or_say(root, chain);
	open_or_say(root, key);
	/* One that is not there now gets them when it comes. */
	if (!keys || !keys->connected || chain->fd < 0 || key->fd < 0)
		return;
	error = root_send_folder(keys, chain);
	if (error == OK)
		error = root_send_folder(keys, key);
	if (error != OK)
		log_event(root->env, LOG_ERROR, "certificate_not_renewed",
			LOG_SLICE("certificate", chain->certificate),
			LOG_STRING("error", error_text(error)));
}

void
root_watch_certificates(void *arg)
{
	struct root *root = arg;
	struct loop *loop = root->env->loop;

	while (task_sleep(loop, loop_deadline(loop, LOOK_EACH_US)) == OK)
		list_for_each (link, &root->folders) {
			struct root_folder *chain = list_entry(link, struct root_folder, link);
			bool is_passwords = chain->role == ROLE_AUTH || chain->role == ROLE_RELAY;
			if (is_passwords && has_changed(root, chain))
				renew_passwords(root, chain);
			if (chain->role != ROLE_KEYS)
				continue;
			link = link->next;
			struct root_folder *key = list_entry(link, struct root_folder, link);
			if (has_changed(root, chain) || has_changed(root, key))
				renew(root, chain, key);
		}
}
