/* The one way in which small state files are written. */
#ifndef BASE_FILE_REPLACE_H
#define BASE_FILE_REPLACE_H

#include "base/buffer.h"
#include "base/env.h"

/*
 * Gives `name` in the folder these bytes: a new file, flushed, renamed over the old one, folder
 * flushed. After a crash the file has the old bytes or the new ones, nothing between. Blocks.
 */
MUST_CHECK enum error
file_replace(struct env *env, int dir_fd, const char *name, struct slice bytes, mode_t mode);

/* The whole file, at most `buffer`'s maximum (ERROR_LIMIT beyond). Blocks. */
MUST_CHECK enum error
file_read(struct env *env, int dir_fd, const char *name, struct buffer *ret_bytes);

#endif
