/*
 * One log event as bytes: level, time, event name and typed fields. Made by whoever decides that
 * something is worth a line, carried by a bounded ring, turned into a line only by the `log`
 * process (or a tool, for its own terminal).
 *
 * Event names and keys are ours; text values may be a stranger's and are quoted by log_record_line
 * and log_record_json.
 */
#ifndef BASE_LOG_RECORD_H
#define BASE_LOG_RECORD_H

#include "base/buffer.h"
#include "base/env.h"

#define LOG_RECORD_MAX                                                                            \
	1792 /* bytes of a record; fields that do not fit are left out, and the line says `cut=1` \
	      */
#define LOG_RECORD_TEXT_MAX 1024 /* octets kept of one text value; what is cut ends in "..." */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_LEVELS };

enum log_field_type { LOG_FIELD_TEXT, LOG_FIELD_NUMBER };

struct log_field {
	const char *key;
	enum log_field_type type;
	struct slice text;
	int64_t number;
};

#define LOG_SLICE(key, value)  ((struct log_field){(key), LOG_FIELD_TEXT, (value), 0})
#define LOG_STRING(key, value) ((struct log_field){(key), LOG_FIELD_TEXT, slice_text(value), 0})
#define LOG_NUMBER(key, value) ((struct log_field){(key), LOG_FIELD_NUMBER, {0}, (int64_t)(value)})

struct log_sink {
	/* Takes a copy or drops it (and counts that); never waits. */
	void (*write)(struct log_sink *sink, struct slice record);
	/* `write` may run in a signal handler, if none of its own is under way: it takes no memory
	 * and no lock, and writes no file. */
	bool signal_safe;
};

/* log_event(env, LOG_INFO, "received", LOG_SLICE("from", from), ...); never waits, never fails. */
#define log_event(env, level, event, ...)                                           \
	log_write((env), (level), (event), (const struct log_field[]){__VA_ARGS__}, \
		sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

void log_write(struct env *env, enum log_level level, const char *event,
	const struct log_field *fields, size_t count);

/*
 * `origin` is who wrote it ("session/1"), by the knowledge of who asks, and stands last, as `by`: a
 * field of that name in a record makes it malformed. Empty: not said.
 *
 * A record as one line without its line end: `2026-11-23T17:33:55.123456Z event key=value ...`
 * (warnings and errors name their level behind the event), or as one JSON object. ERROR_FORMAT for
 * bytes that are no record.
 */
MUST_CHECK enum error
log_record_line(struct slice record, struct slice origin, struct buffer *line);
MUST_CHECK enum error
log_record_json(struct slice record, struct slice origin, struct buffer *line);

/* As log_record_line without time and level: what a terminal shows. */
MUST_CHECK enum error log_record_short(struct slice record, struct buffer *line);

enum log_level log_record_level(struct slice record);

/* When it was made; 0 for bytes that are no record. */
wall_us log_record_time(struct slice record);

bool log_record_is(struct slice record, const char *event);

/* Its event; empty for bytes that are no record. */
struct slice log_record_event(struct slice record);

/* What became of a message: such a record is never left out for the sake of others. */
bool log_record_is_of_mail(struct slice record);

/* A text field's value. ERROR_NOT_FOUND, ERROR_FORMAT. */
MUST_CHECK enum error
log_record_text(struct slice record, const char *key, struct slice *ret_value);

MUST_CHECK enum error log_record_number(struct slice record, const char *key, int64_t *ret_value);

/* The text as a JSON string with its quotes; octets that are no UTF-8 become U+FFFD. */
void json_append_string(struct buffer *buffer, struct slice text);

/* A time as RFC 3339 in UTC with microseconds. */
void time_append_rfc3339(struct buffer *buffer, wall_us time);

#endif
