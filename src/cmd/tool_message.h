/* A message file, or standard input, for the commands that judge one. */
#ifndef CMD_TOOL_MESSAGE_H
#define CMD_TOOL_MESSAGE_H

#include "mailauth/content.h"

/*
 * Feeds the whole message to the content, and ends it. `path` NULL or "-": standard input. A line
 * end without CR gets one, since that is how the file came to have it. An exit code; what is wrong
 * has been said.
 */
int tool_message_feed(const char *command, const char *path, struct content *content);

/* A file of at most `max` octets, for keys. An exit code. */
int tool_file_read(const char *command, const char *path, struct buffer *buffer);

#endif
