/*
 * Giving rights up: empty root folder, user, Landlock, seccomp, in this order, once and for ever.
 * On by default; what the kernel lacks is reported by sandbox_probe, once at the start.
 */
#ifndef PROC_SANDBOX_H
#define PROC_SANDBOX_H

#include "base/env.h"
#include "proc/rights.h"

#define SANDBOX_FOLDERS_MAX 64

struct sandbox {
	const struct process_rights *rights;
	bool becomes_user;
	struct user user;
	bool chroot; /* the row says so and we are root */
	struct {
		int fd; /* stays open, and the role's */
		enum folder_access access;
	} folders[SANDBOX_FOLDERS_MAX];
	size_t folder_count;
	bool folders_cut; /* more folders than fit: Landlock is left off rather than breaking
			     deliveries */
};

struct sandbox_support {
	int landlock; /* its version; 0: none */
	bool seccomp;
};

struct sandbox_support sandbox_probe(void);

void sandbox_allow_folder(struct sandbox *sandbox, int fd, enum folder_access access);

/* First the user and the root folder, ... */
MUST_CHECK enum error sandbox_become_user(const struct sandbox *sandbox, const char **ret_what);
/* ... then the filters. What failed is a phrase for the log; the process must not go on then. */
MUST_CHECK enum error sandbox_close(const struct sandbox *sandbox, const char **ret_what);

#endif
