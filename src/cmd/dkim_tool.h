/* What the files of `veredus dkim` share: the options, and the actions behind the first word. */
#ifndef CMD_DKIM_TOOL_H
#define CMD_DKIM_TOOL_H

#include "base/env.h"
#include "mailauth/dkim_sign.h"

#define DKIM_COMMAND "dkim"
#define KEY_FILE_MAX (16u << 10)

struct dkim_options {
	struct env *env;
	const char *dns, *path, *conf_file;
	const char *key, *domain, *selector, *names, *canon, *out;
	wall_us now;
	unsigned rsa_bits;
	bool is_ed25519, is_json, wants_help;
};

/* Exit codes. */
int dkim_tool_sign(const struct dkim_options *options);
int dkim_tool_new_key(const struct dkim_options *options);
int dkim_keys_list(const struct dkim_options *options);
int dkim_keys_rotate(const struct dkim_options *options, const char *domain);

/* A new file for a private key, for its owner alone; with `like`, for the owner of that file. */
int tool_key_write(const char *path, const char *like, const struct key *key);

/* A private key in PEM out of a file. An exit code; what is wrong has been said. */
int
tool_key_read(const char *command, struct memory *memory, const char *path, struct key **ret_key);

#endif
