/* Both questions are jobs of task/offload; a name that is too long for one has no user. */
#include "proc/find_user.h"
#include "task/offload.h"

#include <errno.h>

#define LOGIN_BYTES 512

struct find_job {
	char name[LOGIN_BYTES];
	struct user user;
	int result;
};

static void
find_body(struct env *env, void *data)
{
	struct find_job *find = data;

	find->result = env->users->find(env->world, find->name, &find->user);
}

enum error
find_user_offloaded(struct env *env, const char *name, struct user *ret_user, int64_t timeout_us)
{
	struct slice text = slice_text(name);

	if (text.len >= LOGIN_BYTES)
		return ERROR_NOT_FOUND;
	struct offload *job = offload_new(env, find_body, sizeof(struct find_job));
	struct find_job *find = offload_data(job);
	memcpy(find->name, name, text.len + 1);
	enum error error = offload_run(job, loop_deadline(env->loop, timeout_us));
	if (error == OK)
		error = error_from_errno(-find->result);
	if (error == OK)
		*ret_user = find->user;
	offload_free(&job);
	return error;
}

static bool
stop_listing(void *arg, const char *name, uid_t uid)
{
	(void)arg;
	(void)name;
	(void)uid;
	return false;
}

/* What the list says is no matter here: the table that needs it asks again, and reports. */
static void
load_body(struct env *env, void *data)
{
	(void)data;
	env->users->list(env->world, stop_listing, NULL);
}

enum error
load_user_sources(struct env *env, int64_t timeout_us)
{
	struct offload *job = offload_new(env, load_body, 1);
	enum error error = offload_run(job, loop_deadline(env->loop, timeout_us));

	offload_free(&job);
	return error;
}
