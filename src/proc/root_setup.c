/*
 * From the configuration to folders, sockets and the list of children. Everything that can be wrong
 * about the machine (a port in use, a folder that belongs to somebody else, a user who does not
 * exist) is found here, before anything runs, and said with what to do about it.
 */
#include "base/history.h"
#include "mailbox/template.h"
#include "net/listener.h"
#include "proc/find_user.h"
#include "proc/root_private.h"
#include "text/dsn_template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sched.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define QUOTA_FOLDER        "guard"
#define QUOTA_FILE          "quotas"
#define WORKERS_MAX         64
#define LOG_FILE_MODE       0640
#define STATE_FILE_MODE     0600
#define CONTROL_FOLDER_MODE 0750
#define FOLDER_MAX          1024 /* octets of a path to a file in it */

static int __attribute__((format(printf, 3, 4)))
problem(const struct root *root, int exit_code, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", root->options->conf_file);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return exit_code;
}

static char *
text_of(struct root *root, struct slice slice)
{
	return arena_text(&root->arena, slice);
}

/* The user who shall own a folder: nobody in particular unless we are root. */
static int
find_owner(struct root *root, struct slice name, struct user *ret_user)
{
	struct env *env = root->env;
	char *text = text_of(root, name);

	*ret_user = (struct user){.uid = geteuid(), .gid = getegid()};
	if (!root->as_root || name.len == 0)
		return EX_OK;
	if (!text || find_user_offloaded(env, text, ret_user, USER_LOOKUP_US) != OK)
		return problem(root, EX_CONFIG,
			"there is no user \"%.*s\": make one (adduser --system --group %.*s) or "
			"name another",
			SLICE_ARGS(name), SLICE_ARGS(name));
	if (ret_user->uid == 0)
		return problem(root, EX_CONFIG,
			"the user \"%.*s\" is root under another name: nothing of this server runs "
			"so",
			SLICE_ARGS(name));
	return EX_OK;
}

static int
give_away(struct root *root, int fd, const struct user *owner, mode_t mode)
{
	struct env *env = root->env;
	int result = root->as_root ? env->disk->fchown(env->world, fd, owner->uid, owner->gid) : 0;

	return result < 0 ? result : env->disk->fchmod(env->world, fd, mode);
}

/* Opens a folder, made now if only its last component is missing. */
static int
open_folder(struct root *root, const char *path, const struct user *owner, mode_t mode, int *ret_fd)
{
	struct env *env = root->env;
	struct stat stat;

	int result = env->disk->mkdirat(env->world, AT_FDCWD, path, mode);
	bool made = result == 0;
	if (!made && result != -EEXIST)
		return problem(root, EX_CANTCREAT, "can't make the folder %s: %s", path,
			strerror(-result));
	int fd = env->disk->openat(env->world, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return problem(
			root, EX_NOPERM, "can't open the folder %s: %s", path, strerror(-fd));
	/* Root's mask is tight: what is meant for others' use is said so. */
	result = made ? give_away(root, fd, owner, mode) : 0;
	if (result < 0) {
		env->disk->close(env->world, fd);
		return problem(root, EX_NOPERM, "can't give the folder %s to its user: %s", path,
			strerror(-result));
	}
	result = env->disk->fstat(env->world, fd, &stat);
	if (result < 0) {
		env->disk->close(env->world, fd);
		return problem(
			root, EX_OSERR, "can't look at the folder %s: %s", path, strerror(-result));
	}
	if (root->as_root && stat.st_uid != owner->uid) {
		env->disk->close(env->world, fd);
		return problem(root, EX_NOPERM,
			"the folder %s belongs to user %u, not to user %u: chown it, or change the "
			"configuration",
			path, stat.st_uid, owner->uid);
	}
	*ret_fd = fd;
	return EX_OK;
}

static void
add_folder(struct root *root, enum role role, struct slice name, struct slice path, int fd)
{
	struct root_folder *folder = memory_get(root->env->memory, sizeof *folder);

	*folder = (struct root_folder){.role = role, .name = name, .path = path, .fd = fd};
	list_append(&root->folders, &folder->link);
}

static int
set_up_folder(struct root *root, enum role role, struct slice name, struct slice path,
	struct slice owner_name, mode_t mode)
{
	struct user owner;
	char *text = text_of(root, path);
	int fd;

	list_for_each (link, &root->folders) {
		struct root_folder *folder = list_entry(link, struct root_folder, link);
		if (folder->role == role && slice_equal(folder->name, name) &&
			slice_equal(folder->path, path))
			return EX_OK;
	}
	int code = find_owner(root, owner_name, &owner);
	if (code == EX_OK)
		code = text ? open_folder(root, text, &owner, mode, &fd) : EX_OSERR;
	if (code == EX_OK)
		add_folder(root, role, name, path, fd);
	return code;
}

static struct slice
parent_of(struct slice path)
{
	size_t len = path.len;

	while (len > 1 && path.ptr[len - 1] != '/')
		len--;
	return slice_sub(path, 0, len > 1 ? len - 1 : 1);
}

/* The deliverer for an owner of virtual mailboxes, with the folder that the template starts with.
 */
static int
set_up_owner(struct root *root, struct slice owner, struct slice template)
{
	const char *what;

	if (mailbox_template_check(template, &what) != OK)
		return problem(root, EX_CONFIG, "the mailbox template \"%.*s\" can't be used: %s",
			SLICE_ARGS(template), what);
	if (!root_find_child(root, ROLE_DELIVER, owner))
		root_add_child(root, ROLE_DELIVER, root_new_deliverer_number(root), owner,
			root->as_root ? owner : slice_of(NULL, 0), true);
	return set_up_folder(
		root, ROLE_DELIVER, owner, mailbox_template_root(template), owner, 0750);
}

static int
set_up_mailboxes(struct root *root)
{
	const struct conf *conf = root->conf;
	int code = EX_OK;

	for (size_t i = 0; code == EX_OK && i < conf->domain_count; i++)
		if (conf->domains[i].owner == CONF_OWNER_USER)
			code = set_up_owner(root, conf->domains[i].owner_user,
				conf->domains[i].mailbox_template);
	for (size_t i = 0; code == EX_OK && i < conf->route_count; i++)
		if (conf->routes[i].to == CONF_TO_MAILDIR)
			code = set_up_owner(
				root, conf->routes[i].owner_user, conf->routes[i].target);
	return code;
}

/* Root opens it, so that it may lie in a folder where the log process can make nothing, /var/log
 * for one. */
static int
open_log_file(struct root *root, int *ret_fd)
{
	struct env *env = root->env;
	struct slice path = root->conf->log.file;
	char *text = text_of(root, path);
	struct user owner;
	int code = find_owner(root, root->conf->user, &owner);

	if (code != EX_OK)
		return code;
	int flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NOCTTY |
		    O_NONBLOCK; /* a FIFO there must not stop the start */
	int fd = text ? env->disk->openat(
				env->world, AT_FDCWD, text, flags | O_CREAT | O_EXCL, LOG_FILE_MODE)
		      : -ENOMEM;
	bool made = fd >= 0;
	if (fd == -EEXIST)
		fd = env->disk->openat(env->world, AT_FDCWD, text, flags, 0);
	if (fd < 0)
		return problem(root, EX_CANTCREAT, "can't open the log file %.*s: %s",
			SLICE_ARGS(path), strerror(-fd));
	/* Only what was made here is given away: an older file may be somebody's, and root's
	 * descriptor writes to it anyway. */
	int result = made ? give_away(root, fd, &owner, LOG_FILE_MODE) : 0;
	if (result < 0) {
		env->disk->close(env->world, fd);
		return problem(root, EX_NOPERM, "can't give the log file %.*s to its user: %s",
			SLICE_ARGS(path), strerror(-result));
	}
	struct stat stat;
	if (env->disk->fstat(env->world, fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
		env->disk->close(env->world, fd);
		return problem(root, EX_CANTCREAT, "the log file %.*s is no regular file",
			SLICE_ARGS(path));
	}
	*ret_fd = fd;
	return EX_OK;
}

static int
set_up_log_file(struct root *root)
{
	int fd;
	int code = open_log_file(root, &fd);

	if (code == EX_OK)
		add_folder(root, ROLE_LOG, slice_of(NULL, 0), root->conf->log.file, fd);
	return code;
}

/* The old descriptor's file may have been renamed, or be somebody's copy by now; nothing is written
 * to it once `log` has the new one. */
void
root_reopen_log(struct root *root)
{
	struct env *env = root->env;
	struct root_child *log = root_find_child(root, ROLE_LOG, SLICE(""));
	enum error error = OK;
	int fd;

	if (root->conf->log.to != CONF_LOG_FILE)
		return;
	if (open_log_file(root, &fd) != EX_OK) {
		log_event(env, LOG_ERROR, "log_not_reopened",
			LOG_SLICE("file", root->conf->log.file),
			LOG_STRING("effect", "the old file stays in use"));
		return;
	}
	list_for_each (link, &root->folders) {
		struct root_folder *folder = list_entry(link, struct root_folder, link);
		if (folder->role != ROLE_LOG || !slice_equal(folder->path, root->conf->log.file))
			continue;
		env->disk->close(env->world, folder->fd);
		folder->fd = fd;
	}
	if (log && log->connected)
		error = root_send_log_file(root, log);
	log_event(env, error == OK ? LOG_INFO : LOG_ERROR, "log_reopened",
		LOG_SLICE("file", root->conf->log.file), LOG_STRING("result", error_text(error)));
}

/* The folder is its user's, who may have put another name of somebody's file there: only what was
 * made here is given away, and an older file must be a plain one of that user. */
static int
make_state_file(struct root *root, int fd, bool made, const struct user *owner)
{
	struct env *env = root->env;
	struct stat stat;

	int result = made ? give_away(root, fd, owner, STATE_FILE_MODE) : 0;
	if (result >= 0)
		result = env->disk->fstat(env->world, fd, &stat);
	if (result < 0)
		return result;
	if (!S_ISREG(stat.st_mode) || stat.st_nlink != 1)
		return -EINVAL;
	return root->as_root && stat.st_uid != owner->uid ? -EPERM : 0;
}

/* A file that root opens for a role that opens none itself; -errno. */
static int
open_state_file(
	struct root *root, int folder_fd, const char *file, int access, const struct user *owner)
{
	struct env *env = root->env;
	int flags = access | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;

	int fd = env->disk->openat(
		env->world, folder_fd, file, flags | O_CREAT | O_EXCL, STATE_FILE_MODE);
	bool made = fd >= 0;
	if (fd == -EEXIST)
		fd = env->disk->openat(env->world, folder_fd, file, flags, 0);
	int result = fd < 0 ? fd : make_state_file(root, fd, made, owner);
	if (result < 0 && fd >= 0)
		env->disk->close(env->world, fd);
	return result < 0 ? result : fd;
}

/* A file of the history: `log` may read and empty it, and opens none itself. */
static int
open_history_file(struct root *root, int folder_fd, struct slice name, const struct user *owner)
{
	const char *file = text_of(root, slice_from(name, sizeof HISTORY_FOLDER));
	int fd = file ? open_state_file(root, folder_fd, file, O_RDWR | O_APPEND, owner) : -ENOMEM;

	if (fd < 0)
		return problem(root, EX_CANTCREAT, "can't use the file %.*s in the spool: %s",
			SLICE_ARGS(name), strerror(-fd));
	add_folder(root, ROLE_LOG, slice_of(NULL, 0), name, fd);
	return EX_OK;
}

static int
open_history_files(struct root *root, int folder_fd, const struct user *owner)
{
	struct buffer text;
	struct slice name;
	int code = EX_OK;

	buffer_init(&text, root->env->memory, 64);
	for (int i = 0; code == EX_OK && i < HISTORY_KINDS * HISTORY_FILES; i++) {
		buffer_clear(&text);
		buffer_printf(&text, HISTORY_FOLDER "/%s-%d",
			history_kind_name((enum history_kind)(i / HISTORY_FILES)),
			i % HISTORY_FILES);
		code = arena_copy(&root->arena, buffer_slice(&text), &name)
			       ? open_history_file(root, folder_fd, name, owner)
			       : EX_OSERR;
	}
	buffer_done(&text);
	return code;
}

/* A folder in the spool's, with files of a role that opens none itself. */
static int
open_state_folder(struct root *root, const char *name, struct user *ret_owner, int *ret_fd)
{
	const struct conf *conf = root->conf;
	struct buffer path;
	int code = find_owner(root, conf->user, ret_owner);

	if (code != EX_OK)
		return code;
	buffer_init(&path, root->env->memory, IPC_PATH_MAX);
	buffer_append(&path, conf->spool);
	buffer_append_octet(&path, '/');
	buffer_append_text(&path, name);
	code = buffer_error(&path) == OK
		       ? open_folder(root, buffer_text(&path), ret_owner, 0700, ret_fd)
		       : EX_OSERR;
	buffer_done(&path);
	return code;
}

static int
set_up_history(struct root *root)
{
	struct user owner;
	int folder_fd;

	if (root->conf->history.size == 0)
		return EX_OK;
	int code = open_state_folder(root, HISTORY_FOLDER, &owner, &folder_fd);
	if (code != EX_OK)
		return code;
	code = open_history_files(root, folder_fd, &owner);
	root->env->disk->close(root->env->world, folder_fd);
	return code;
}

static int
set_up_quotas(struct root *root)
{
	struct env *env = root->env;
	struct user owner;
	int folder_fd;

	if (root->conf->passwords.len == 0)
		return EX_OK; /* nobody logs in */
	int code = open_state_folder(root, QUOTA_FOLDER, &owner, &folder_fd);
	if (code != EX_OK)
		return code;
	int fd = open_state_file(root, folder_fd, QUOTA_FILE, O_RDWR, &owner);
	env->disk->close(env->world, folder_fd);
	if (fd < 0)
		return problem(root, EX_CANTCREAT,
			"can't use the file " QUOTA_FOLDER "/" QUOTA_FILE " in the spool: %s",
			strerror(-fd));
	add_folder(root, ROLE_GUARD, slice_of(NULL, 0), SLICE(QUOTA_FOLDER "/" QUOTA_FILE), fd);
	return EX_OK;
}

static int
set_up_state(struct root *root)
{
	const struct conf *conf = root->conf;
	int code =
		set_up_folder(root, ROLE_QUEUE, slice_of(NULL, 0), conf->spool, conf->user, 0700);

	if (code == EX_OK)
		code = set_up_quotas(root);
	if (code == EX_OK)
		code = set_up_history(root);
	return code == EX_OK && conf->log.to == CONF_LOG_FILE ? set_up_log_file(root) : code;
}

/* A file that is not there is a text of ours. */
static int
open_template(struct root *root, int folder_fd, const char *name, struct slice path)
{
	struct env *env = root->env;
	struct stat stat;
	int fd =
		env->disk->openat(env->world, folder_fd, name, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);

	if (fd == -ENOENT)
		return EX_OK;
	int result = fd < 0 ? fd : env->disk->fstat(env->world, fd, &stat);
	if (result == 0 && !S_ISREG(stat.st_mode))
		result = -EINVAL;
	if (result == 0) {
		add_folder(root, ROLE_QUEUE, slice_of(NULL, 0), path, fd);
		return EX_OK;
	}
	if (fd >= 0)
		env->disk->close(env->world, fd);
	return problem(root, EX_NOINPUT, "can't open the template %.*s: %s", SLICE_ARGS(path),
		result == -EINVAL ? "it is no regular file" : strerror(-result));
}

static int
open_templates(struct root *root, int folder_fd)
{
	int code = EX_OK;

	for (unsigned i = 0; code == EX_OK && i < DSN_TEMPLATES * DSN_LANGUAGES; i++) {
		struct slice folder = root->conf->report_templates;
		char storage[FOLDER_MAX];
		struct buffer path;

		buffer_init_fixed(&path, storage, sizeof storage);
		buffer_append(&path, folder);
		buffer_append_octet(&path, '/');
		dsn_template_append_name(
			&path, i / DSN_LANGUAGES, (enum dsn_language)(i % DSN_LANGUAGES));
		const char *text = text_of(root, buffer_slice(&path));
		if (!text || buffer_error(&path) != OK)
			return problem(
				root, EX_CONFIG, "the path %.*s is too long", SLICE_ARGS(folder));
		code = open_template(root, folder_fd, text + folder.len + 1, slice_text(text));
	}
	return code;
}

static int
set_up_templates(struct root *root)
{
	struct env *env = root->env;
	struct slice folder = root->conf->report_templates;
	const char *text = text_of(root, folder);

	if (folder.len == 0)
		return EX_OK;
	int fd = text ? env->disk->openat(env->world, AT_FDCWD, text, O_RDONLY | O_DIRECTORY, 0)
		      : -ENOMEM;
	if (fd < 0)
		return problem(root, EX_NOINPUT, "can't open the folder %.*s: %s",
			SLICE_ARGS(folder), strerror(-fd));
	int code = open_templates(root, fd);
	env->disk->close(env->world, fd);
	return code;
}

/* Of a Unix socket: so that at the end no successor's is removed. */
static void
remember_file(struct env *env, struct root_listener *listener, const struct endpoint *endpoint)
{
	const struct sockaddr_un *address = (const struct sockaddr_un *)&endpoint->address;
	struct stat stat;

	if (address->sun_family != AF_UNIX ||
		env->disk->fstatat(
			env->world, AT_FDCWD, address->sun_path, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	memcpy(listener->path, address->sun_path, sizeof address->sun_path);
	listener->device = stat.st_dev;
	listener->inode = stat.st_ino;
}

static void
remove_file(struct env *env, const struct root_listener *listener)
{
	struct stat stat;

	if (*listener->path &&
		env->disk->fstatat(
			env->world, AT_FDCWD, listener->path, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
		stat.st_dev == listener->device && stat.st_ino == listener->inode)
		env->disk->unlinkat(env->world, AT_FDCWD, listener->path, 0);
}

static int
bind_listener(struct root *root, enum role role, struct slice name, struct slice address, int type)
{
	struct endpoint endpoint;
	int fd, why = 0;

	if (endpoint_parse(address, &endpoint) != OK)
		return problem(root, EX_CONFIG, "\"%.*s\" is no address to listen on",
			SLICE_ARGS(address));
	if (listener_bind(root->env, &endpoint, type, &fd, &why) != OK)
		return problem(root, why == EACCES || why == EPERM ? EX_NOPERM : EX_UNAVAILABLE,
			"can't listen on %.*s: %s%s", SLICE_ARGS(address), strerror(why),
			why == EADDRINUSE ? " (another server runs there; ss -ltnp tells which)"
			: why == EACCES   ? " (ports below 1024 need root)"
					  : "");
	struct root_listener *listener = memory_get(root->env->memory, sizeof *listener);
	*listener = (struct root_listener){
		.role = role, .name = name, .type = type, .endpoint = endpoint, .fd = fd};
	if (endpoint.address.ss_family != AF_UNIX &&
		listener_endpoint(root->env, fd, &listener->endpoint) != OK)
		listener->endpoint = endpoint;
	remember_file(root->env, listener, &endpoint);
	list_append(&root->listeners, &listener->link);
	return EX_OK;
}

enum error
root_revive_listener(struct root *root, struct root_listener *listener)
{
	struct env *env = root->env;
	int fd, why = 0;

	if (env->net->is_listening(env->world, listener->fd) != 0)
		return OK;
	enum error error = listener_bind(env, &listener->endpoint, listener->type, &fd, &why);
	log_event(env, LOG_ERROR, "listener_ended", LOG_SLICE("name", listener->name),
		LOG_STRING("effect", "a process has shut it; it is bound anew"),
		LOG_STRING("result", error_text(error)));
	if (error != OK)
		return error;
	env->net->close(env->world, listener->fd);
	listener->fd = fd;
	return OK;
}

static int
set_up_listeners(struct root *root)
{
	const struct conf *conf = root->conf;
	int code = EX_OK;

	for (size_t i = 0; i < conf->listener_count; i++)
		for (size_t j = 0; code == EX_OK && j < conf->listeners[i].address_count; j++)
			code = bind_listener(root, ROLE_SESSION, conf->listeners[i].name,
				conf->listeners[i].addresses[j], SOCK_STREAM);
	return code;
}

/* Makes the folder unless it is there. */
static int
make_control_folder(struct root *root, const char *path)
{
	struct env *env = root->env;

	int result = env->disk->mkdirat(env->world, AT_FDCWD, path, CONTROL_FOLDER_MODE);

	if (result < 0)
		return result == -EEXIST ? EX_OK
					 : problem(root, EX_CANTCREAT,
						   "can't make the folder %s for the control "
						   "socket: %s",
						   path, strerror(-result));
	int fd = env->disk->openat(
		env->world, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	int code = EX_OK;
	result = fd < 0 ? fd : env->disk->fchmod(env->world, fd, CONTROL_FOLDER_MODE);
	if (result < 0)
		code = problem(root, EX_CANTCREAT, "can't set the mode of the folder %s: %s", path,
			strerror(-result));
	if (fd >= 0)
		env->disk->close(env->world, fd);
	return code;
}

/* In a folder that only its users enter: the socket's own mode is no protection everywhere. */
static int
set_up_control(struct root *root)
{
	struct slice path = root->conf->control;
	struct buffer address;
	char *parent = text_of(root, parent_of(path));
	int code = parent ? make_control_folder(root, parent) : EX_OSERR;

	if (code != EX_OK)
		return code;
	buffer_init(&address, root->env->memory, 4096);
	buffer_append_text(&address, "unix:");
	buffer_append(&address, path);
	code = bind_listener(
		root, ROLE_ADMIN, SLICE("control"), buffer_slice(&address), SOCK_SEQPACKET);
	buffer_done(&address);
	return code;
}

static uint32_t
count_cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1;
	int count = CPU_COUNT(&set);
	return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : (uint32_t)count;
}

/* The children of a row, but deliverers: those come with their folders. */
static void
add_children(struct root *root, const struct process_rights *row)
{
	struct slice none = slice_of(NULL, 0), user = root->as_root ? root->conf->user : none;
	uint32_t count = row->how_many == ONE_A_CORE ? root->workers : 1;

	if (row->role == ROLE_ROOT || row->how_many == ONE_AN_OWNER ||
		(row->is_used && !row->is_used(root->conf)))
		return;
	for (uint32_t worker = 0; worker < count; worker++)
		root_add_child(root, row->role, worker, none, user, true);
}

int
root_set_up(struct root *root)
{
	const struct process_rights *row;
	struct user ignored;
	int code = find_owner(root, root->conf->user, &ignored);

	root->workers = root->options->workers ? root->options->workers : count_cores();
	for (size_t i = 0; (row = process_rights_at(i)); i++)
		add_children(root, row);
	if (code == EX_OK)
		code = set_up_mailboxes(root);
	if (code == EX_OK)
		code = set_up_state(root);
	if (code == EX_OK)
		code = set_up_templates(root);
	if (code == EX_OK)
		root_set_up_certificates(root);
	if (code == EX_OK)
		code = set_up_listeners(root);
	if (code == EX_OK)
		code = set_up_control(root);
	return code;
}

void
root_take_down(struct root *root)
{
	struct env *env = root->env;

	list_for_each_safe (link, next, &root->folders) {
		struct root_folder *folder = list_entry(link, struct root_folder, link);
		if (folder->fd >= 0)
			env->disk->close(env->world, folder->fd);
		memory_put(env->memory, folder);
	}
	list_for_each_safe (link, next, &root->listeners) {
		struct root_listener *listener = list_entry(link, struct root_listener, link);
		remove_file(env, listener);
		env->net->close(env->world, listener->fd);
		memory_put(env->memory, listener);
	}
	list_for_each_safe (link, next, &root->children)
		root_free_child(list_entry(link, struct root_child, link));
}
