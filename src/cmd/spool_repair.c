/*
 * `veredus spool repair`. Nothing is mended in place: what can be read is written into a new spool
 * beside the old one, message by message, each durable before the next is begun; the new one is
 * read again, and takes the other's name only if all of it is there. The old one stays, whatever
 * it holds. A repair that is cut off leaves the old spool where it was.
 */
#include "cmd/spool_tool.h"
#include "spool/logfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define JOURNAL_BYTES (16u << 20)

struct repair {
	const struct spool_order *order;
	char new_path[PATH_MAX], old_path[PATH_MAX];
	int new_fd;
	struct stat owner; /* of the old folder */
	struct spool *spool;
	uint64_t kept, lost, damage;
	int code;
};

static int
fail(struct repair *repair, int code, const char *what, enum error error)
{
	repair->code = tool_fail(
		SPOOL_TOOL, code, "%s: %s: %s", repair->new_path, what, error_text(error));
	return repair->code;
}

static void
note_nothing(void *arg, const char *file, uint64_t offset, const char *what)
{
	(void)arg;
	(void)file;
	(void)offset;
	(void)what;
}

static void
note_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	struct repair *repair = arg;

	repair->damage++;
	printf("%s at %llu: %s\n", file, (unsigned long long)offset, what);
}

static enum error
no_message(void *arg, const struct spool_message *message)
{
	(void)arg;
	(void)message;
	return ERROR_EXISTS; /* the new folder was empty */
}

/* -- one message */

/* As far as it got: the state that comes back from these is the one they were made of. */
static enum error
add_state(struct spool *spool, const struct spool_message *state)
{
	struct spool_result result = {.message = state->message};
	enum error error = OK;

	for (uint32_t i = 0; error == OK && i < state->done_count; i++) {
		/* Whoever failed is not told apart from who has it; that one failed, and that its
		 * sender was not told, is one mark of the message. */
		result.kind = state->failed && i == 0 ? SPOOL_RECIPIENT_FAILED
						      : SPOOL_RECIPIENT_DELIVERED;
		result.recipient = state->done_recipients[i];
		error = spool_add_result(spool, &result);
		if (error == ERROR_LIMIT && spool_commit(spool).results == OK)
			error = spool_add_result(spool, &result);
	}
	result = (struct spool_result){.kind = SPOOL_DELAY_TOLD, .message = state->message};
	if (error == OK && state->delay_told)
		error = spool_add_result(spool, &result);
	result.kind = SPOOL_DEFERRED;
	result.attempts = state->attempts;
	result.next_attempt_at = state->next_attempt_at;
	result.text = state->reason;
	if (error == OK && (state->attempts > 0 || state->next_attempt_at > 0))
		error = spool_add_result(spool, &result);
	result = (struct spool_result){
		.kind = SPOOL_HELD, .message = state->message, .text = state->reason};
	if (error == OK && state->held)
		error = spool_add_result(spool, &result);
	return error;
}

static enum error
commit(struct spool *spool)
{
	struct spool_commit done = spool_commit(spool);

	return done.messages != OK ? done.messages : done.results;
}

/* As the server does with a content that is too large for a batch. */
static enum error
add_apart(struct repair *repair, const struct spool_mail *mail, struct spool_reference *ret_message)
{
	struct env *env = repair->order->env;
	struct slice content = buffer_slice(&mail->content);
	struct iovec piece = {(void *)(uintptr_t)content.ptr, content.len};
	struct spool_reference unused;
	struct spool_apart apart;

	enum error error = spool_apart_begin(repair->spool, &apart);
	if (error == OK)
		error = spool_apart_create(env, repair->new_fd, &apart);
	if (error != OK)
		return error;
	error = spool_apart_write(env, &apart, &piece, 1, 0);
	if (error == OK)
		error = spool_apart_finish(env, repair->new_fd, &apart,
			mail->state->message.queue_id, mail->envelope.content_flags);
	if (error == OK)
		error = spool_add_apart(
			repair->spool, &apart, buffer_slice(&mail->payload), ret_message, &unused);
	if (error != OK)
		spool_apart_drop(env, repair->new_fd, &apart);
	spool_apart_close(env, &apart);
	return error;
}

static enum error
copy_mail(struct repair *repair, const struct spool_mail *mail)
{
	struct spool *spool = repair->spool;
	struct slice content = buffer_slice(&mail->content);
	struct iovec piece = {(void *)(uintptr_t)content.ptr, content.len};
	struct spool_reference message, unused;

	enum error error = spool_has_room(spool, content.len, mail->payload.len)
				   ? spool_add_message(spool, mail->state->message.queue_id, &piece,
					     content.len > 0, mail->envelope.content_flags,
					     buffer_slice(&mail->payload), &message, &unused)
				   : add_apart(repair, mail, &message);
	if (error == OK)
		error = commit(spool);
	if (error == OK)
		error = add_state(spool, mail->state);
	return error == OK ? commit(spool) : error;
}

static enum error
keep_mail(void *arg, const struct spool_mail *mail)
{
	struct repair *repair = arg;

	if (mail->fault) {
		printf("message %s: %s: it stays in the old spool alone\n", mail->id, mail->fault);
		repair->lost++;
		return OK;
	}
	enum error error = copy_mail(repair, mail);
	if (error != OK) {
		fail(repair, EX_CANTCREAT, mail->id, error);
		return ERROR_CANCELLED;
	}
	repair->kept++;
	return OK;
}

/* -- folders */

/* "/var/spool/veredus/" is "/var/spool/veredus". */
static bool
set_paths(struct repair *repair)
{
	size_t len = strlen(repair->order->path);
	struct tm now;
	char when[32];
	time_t seconds = (time_t)(env_wall(repair->order->env) / US_PER_S);

	while (len > 1 && repair->order->path[len - 1] == '/')
		len--;
	gmtime_r(&seconds, &now);
	strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &now);
	return snprintf(repair->new_path, PATH_MAX, "%.*s.repaired", (int)len,
		       repair->order->path) < PATH_MAX &&
	       snprintf(repair->old_path, PATH_MAX, "%.*s.before-%s", (int)len, repair->order->path,
		       when) < PATH_MAX;
}

static bool
is_of_spool(const char *name)
{
	enum logfile_kind kind;
	uint32_t number;

	return logfile_parse_name(name, &kind, &number) || strcmp(name, "lock") == 0 ||
	       strcmp(name, "journal-ready") == 0 || strncmp(name, "damaged-", 8) == 0 ||
	       strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Calls `visit` for each name in the folder. */
static bool
each_name(int dir_fd, bool (*visit)(struct repair *repair, const char *name), struct repair *repair)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	bool is_done = dir != NULL;

	if (!dir && fd >= 0)
		close(fd);
	for (struct dirent *entry; is_done && (entry = readdir(dir)) != NULL;)
		is_done = visit(repair, entry->d_name);
	if (dir)
		closedir(dir);
	return is_done;
}

/* What else lies in the folder goes along, by a second name. */
static bool
take_along(struct repair *repair, const char *name)
{
	return is_of_spool(name) ||
	       linkat(repair->order->dir_fd, name, repair->new_fd, name, 0) == 0 ||
	       errno == EPERM; /* a folder: it stays in the old place */
}

static bool
remove_name(struct repair *repair, const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	       unlinkat(repair->new_fd, name, 0) == 0;
}

/* Root works for the owner of the spool. */
static bool
give_name(struct repair *repair, const char *name)
{
	return !is_of_spool(name) || name[0] == '.' || geteuid() != 0 ||
	       fchownat(repair->new_fd, name, repair->owner.st_uid, repair->owner.st_gid,
		       AT_SYMLINK_NOFOLLOW) == 0;
}

static int
make_folder(struct repair *repair)
{
	struct repair *r = repair;

	if (!set_paths(r) || fstat(r->order->dir_fd, &r->owner) < 0)
		return tool_fail(
			SPOOL_TOOL, EX_CANTCREAT, "%s: the path is too long", r->order->path);
	if (mkdir(r->new_path, 0700) < 0 && errno != EEXIST)
		return tool_fail(SPOOL_TOOL, EX_CANTCREAT, "%s: %s", r->new_path, strerror(errno));
	r->new_fd = open(r->new_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* What an earlier repair left when it was cut off. */
	if (r->new_fd < 0 || !each_name(r->new_fd, remove_name, r) ||
		fchmod(r->new_fd, r->owner.st_mode & 07777) < 0 ||
		(geteuid() == 0 && fchown(r->new_fd, r->owner.st_uid, r->owner.st_gid) < 0))
		return tool_fail(SPOOL_TOOL, EX_CANTCREAT, "%s: %s", r->new_path, strerror(errno));
	return EX_OK;
}

/* -- all of it */

static int
fill(struct repair *repair)
{
	const struct spool_visitor visitor = {no_message, note_nothing, NULL};
	const struct spool_options options = {.segment_bytes = repair->order->segment_bytes,
		.journal_bytes = JOURNAL_BYTES,
		.spare_segments = 1};
	struct spool_walk walk = {.env = repair->order->env,
		.path = repair->order->path,
		.dir_fd = repair->order->dir_fd,
		.mail = keep_mail,
		.damage = note_damage,
		.arg = repair};

	enum error error =
		spool_open(repair->order->env, repair->new_fd, &options, &visitor, &repair->spool);
	if (error != OK)
		return fail(repair, EX_CANTCREAT, "no spool can be made there", error);
	int code = spool_walk_run(&walk);
	spool_close(&repair->spool);
	return code != EX_OK ? code : repair->code;
}

struct proof {
	uint64_t messages, faults;
};

static enum error
prove_mail(void *arg, const struct spool_mail *mail)
{
	struct proof *proof = arg;

	proof->messages++;
	proof->faults += mail->fault != NULL;
	return OK;
}

static void
prove_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	(void)file;
	(void)offset;
	(void)what;
	((struct proof *)arg)->faults++;
}

static int
prove(struct repair *repair)
{
	struct proof proof = {0};
	struct spool_walk walk = {.env = repair->order->env,
		.path = repair->new_path,
		.dir_fd = repair->new_fd,
		.mail = prove_mail,
		.damage = prove_damage,
		.arg = &proof};
	int code = spool_walk_run(&walk);

	if (code == EX_OK && (proof.messages != repair->kept || proof.faults > 0))
		code = tool_fail(SPOOL_TOOL, EX_IOERR,
			"%s: what was just written does not read back: the old spool stays in "
			"place",
			repair->new_path);
	return code;
}

static bool
flush_parent(const char *path)
{
	char parent[PATH_MAX];

	snprintf(parent, sizeof parent, "%s/..", path);
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_flushed = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return is_flushed;
}

static int
put_in_place(struct repair *repair)
{
	struct repair *r = repair;

	if (!each_name(r->order->dir_fd, take_along, r) || !each_name(r->new_fd, give_name, r) ||
		fsync(r->new_fd) < 0)
		return tool_fail(SPOOL_TOOL, EX_CANTCREAT, "%s: %s", r->new_path, strerror(errno));
	if (rename(r->order->path, r->old_path) < 0)
		return tool_fail(SPOOL_TOOL, EX_CANTCREAT, "%s: %s: the new spool is %s",
			r->old_path, strerror(errno), r->new_path);
	if (rename(r->new_path, r->order->path) < 0)
		return tool_fail(SPOOL_TOOL, EX_CANTCREAT,
			"%s: %s: rename %s to it yourself; the old one is %s", r->order->path,
			strerror(errno), r->new_path, r->old_path);
	if (!flush_parent(r->order->path))
		return tool_fail(SPOOL_TOOL, EX_IOERR, "%s: its folder can't be flushed: %s",
			r->order->path, strerror(errno));
	return EX_OK;
}

int
spool_repair(const struct spool_order *order)
{
	struct repair repair = {.order = order, .new_fd = -1, .code = EX_OK};
	int code = make_folder(&repair);

	if (code == EX_OK)
		code = fill(&repair);
	if (code == EX_OK)
		code = prove(&repair);
	if (code == EX_OK)
		code = put_in_place(&repair);
	if (code == EX_OK)
		printf("%llu message%s kept, %llu not sound, damage at %llu places; %s is new, "
		       "the one before is %s\n",
			(unsigned long long)repair.kept, repair.kept == 1 ? "" : "s",
			(unsigned long long)repair.lost, (unsigned long long)repair.damage,
			order->path, repair.old_path);
	if (repair.new_fd >= 0)
		close(repair.new_fd);
	return code == EX_OK && repair.lost + repair.damage > 0 ? EX_DATAERR : code;
}
