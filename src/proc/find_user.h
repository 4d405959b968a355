/* The system's users, asked from a task: NSS plug-ins may block, and need more than a task's stack.
 */
#ifndef PROC_FIND_USER_H
#define PROC_FIND_USER_H

#include "base/env.h"
#include "base/error.h"

#define USER_LOOKUP_US (10 * US_PER_S)

/* May wait (in a task): ERROR_NOT_FOUND when there is no such user. */
MUST_CHECK enum error
find_user_offloaded(struct env *env, const char *name, struct user *ret_user, int64_t timeout_us);

/* May wait (in a task): makes libc load the libraries behind the list of users, so that no code is
 * mapped later. */
MUST_CHECK enum error load_user_sources(struct env *env, int64_t timeout_us);

#endif
