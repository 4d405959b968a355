/*
 * Layout of a record: u8 level, u64 time, u8 length + event, then a field each: u8 length + key, u8
 * type, and u64 number or u16 length + text. Text from strangers is quoted here, in one place, so
 * that a line break or an escape sequence in a mail address can forge neither a log line nor a
 * terminal command.
 */
#include "base/log_record.h"
#include "base/civil.h"
#include "base/cursor.h"

#define LOG_SHORTENED "..."
#define LOG_CUT       0x80 /* in the level's octet: fields were left out */

static void
record_append_name(struct buffer *record, const char *name)
{
	struct slice text = slice_sub(slice_text(name), 0, UINT8_MAX);

	buffer_append_octet(record, (uint8_t)text.len);
	buffer_append(record, text);
}

static void
record_append_field(struct buffer *record, const struct log_field *field)
{
	record_append_name(record, field->key);
	buffer_append_octet(record, (uint8_t)field->type);
	if (field->type == LOG_FIELD_NUMBER) {
		buffer_append_u64(record, (uint64_t)field->number);
		return;
	}
	bool cut = field->text.len > LOG_RECORD_TEXT_MAX;
	struct slice text = slice_sub(field->text, 0, LOG_RECORD_TEXT_MAX);
	buffer_append_u16(record, (uint16_t)(text.len + (cut ? sizeof LOG_SHORTENED - 1 : 0)));
	buffer_append(record, text);
	if (cut)
		buffer_append(record, SLICE(LOG_SHORTENED));
}

void
log_write(struct env *env, enum log_level level, const char *event, const struct log_field *fields,
	size_t count)
{
	uint8_t storage[LOG_RECORD_MAX];
	struct buffer record;

	if (!env->log)
		return;
	buffer_init_fixed(&record, storage, sizeof storage);
	buffer_append_octet(&record, (uint8_t)level);
	buffer_append_u64(&record, (uint64_t)env_wall(env));
	record_append_name(&record, event);
	for (size_t i = 0; i < count; i++) {
		size_t whole = record.len;
		record_append_field(&record, &fields[i]);
		if (buffer_error(&record) != OK) {
			record.len = whole; /* the fields before it still tell most */
			storage[0] |= LOG_CUT;
			break;
		}
	}
	env->logging = true;
	env->log->write(env->log, buffer_slice(&record));
	env->logging = false;
}

static bool
octet_is_plain(uint8_t octet)
{
	return octet > ' ' && octet < 0x7f && octet != '"' && octet != '\\' && octet != '=';
}

/*
 * Names of events and fields stand in the line as they are. They are ours, but the process that
 * wrote them may be somebody else's by now: one that could end a line or reach a terminal makes the
 * record malformed.
 */
static struct slice
record_take_name(struct cursor *cursor)
{
	struct slice name = cursor_take(cursor, cursor_take_u8(cursor));

	for (size_t i = 0; i < name.len; i++)
		if (!octet_is_plain(name.ptr[i]))
			cursor->error = ERROR_FORMAT;
	if (name.len == 0)
		cursor->error = ERROR_FORMAT;
	return name;
}

struct record_head {
	enum log_level level;
	bool cut;
	wall_us time;
	struct slice event;
};

static struct record_head
record_take_head(struct cursor *cursor)
{
	struct record_head head;

	uint8_t level = cursor_take_u8(cursor);
	head.cut = level & LOG_CUT;
	head.level = (enum log_level)(level & ~LOG_CUT);
	head.time = (wall_us)cursor_take_u64(cursor);
	head.event = record_take_name(cursor);
	if (head.level >= LOG_LEVELS)
		cursor->error = ERROR_FORMAT;
	return head;
}

struct record_field {
	struct slice key;
	enum log_field_type type;
	struct slice text;
	int64_t number;
};

static struct record_field
record_take_field(struct cursor *cursor)
{
	struct record_field field = {0};

	field.key = record_take_name(cursor);
	if (slice_equal(field.key, SLICE("by")))
		cursor->error = ERROR_FORMAT;
	field.type = (enum log_field_type)cursor_take_u8(cursor);
	if (field.type == LOG_FIELD_NUMBER)
		field.number = (int64_t)cursor_take_u64(cursor);
	else if (field.type == LOG_FIELD_TEXT)
		field.text = cursor_take(cursor, cursor_take_u16(cursor));
	else
		cursor->error = ERROR_FORMAT;
	return field;
}

static const char *const level_names[LOG_LEVELS] = {"debug", "info", "warning", "error"};

enum log_level
log_record_level(struct slice record)
{
	enum log_level level =
		record.len > 0 ? (enum log_level)(record.ptr[0] & ~LOG_CUT) : LOG_ERROR;

	return level < LOG_LEVELS ? level : LOG_ERROR;
}

wall_us
log_record_time(struct slice record)
{
	struct cursor cursor = cursor_of(record);
	struct record_head head = record_take_head(&cursor);

	return cursor.error == OK ? head.time : 0;
}

bool
log_record_is(struct slice record, const char *event)
{
	struct cursor cursor = cursor_of(record);
	struct record_head head = record_take_head(&cursor);

	return cursor.error == OK && slice_equal(head.event, slice_text(event));
}

struct slice
log_record_event(struct slice record)
{
	struct cursor cursor = cursor_of(record);
	struct record_head head = record_take_head(&cursor);

	return cursor.error == OK ? head.event : slice_of(NULL, 0);
}

bool
log_record_is_of_mail(struct slice record)
{
	static const struct slice events[] = {SLICE_INIT("received"), SLICE_INIT("delivered"),
		SLICE_INIT("deferred"), SLICE_INIT("failed"), SLICE_INIT("held"),
		SLICE_INIT("discarded"), SLICE_INIT("dmarc_seen")};
	struct slice event = log_record_event(record);
	bool is = false;

	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		is |= slice_equal(event, events[i]);
	return is;
}

enum error
log_record_text(struct slice record, const char *key, struct slice *ret_value)
{
	struct cursor cursor = cursor_of(record);

	record_take_head(&cursor);
	while (cursor.error == OK && cursor_left(&cursor) > 0) {
		struct record_field field = record_take_field(&cursor);
		if (cursor.error == OK && field.type == LOG_FIELD_TEXT &&
			slice_equal(field.key, slice_text(key))) {
			*ret_value = field.text;
			return OK;
		}
	}
	return cursor.error != OK ? cursor.error : ERROR_NOT_FOUND;
}

enum error
log_record_number(struct slice record, const char *key, int64_t *ret_value)
{
	struct cursor cursor = cursor_of(record);

	record_take_head(&cursor);
	while (cursor.error == OK && cursor_left(&cursor) > 0) {
		struct record_field field = record_take_field(&cursor);
		if (cursor.error == OK && field.type == LOG_FIELD_NUMBER &&
			slice_equal(field.key, slice_text(key))) {
			*ret_value = field.number;
			return OK;
		}
	}
	return cursor.error != OK ? cursor.error : ERROR_NOT_FOUND;
}

void
time_append_rfc3339(struct buffer *buffer, wall_us time)
{
	struct civil_time t = civil_time_of(time);

	buffer_printf(buffer, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", t.year, t.month, t.day, t.hour,
		t.minute, t.second, t.microsecond);
}

/* Plain words stand as they are; all else in double quotes with \", \\ and \xHH. */
static void
line_append_value(struct buffer *line, struct slice text)
{
	bool plain = text.len > 0;

	for (size_t i = 0; plain && i < text.len; i++)
		plain = octet_is_plain(text.ptr[i]);
	if (plain) {
		buffer_append(line, text);
		return;
	}
	buffer_append_octet(line, '"');
	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		if (octet == '"' || octet == '\\')
			buffer_printf(line, "\\%c", octet);
		else if (octet >= ' ' && octet < 0x7f)
			buffer_append_octet(line, octet);
		else
			buffer_printf(line, "\\x%02x", octet);
	}
	buffer_append_octet(line, '"');
}

static void
line_append_fields(const struct record_head *head, struct cursor *cursor, struct buffer *line)
{
	while (cursor->error == OK && cursor_left(cursor) > 0) {
		struct record_field field = record_take_field(cursor);
		buffer_append_octet(line, ' ');
		buffer_append(line, field.key);
		buffer_append_octet(line, '=');
		if (field.type == LOG_FIELD_NUMBER)
			buffer_printf(line, "%lld", (long long)field.number);
		else
			line_append_value(line, field.text);
	}
	if (head->cut)
		buffer_append_text(line, " cut=1");
}

enum error
log_record_short(struct slice record, struct buffer *line)
{
	struct cursor cursor = cursor_of(record);
	struct record_head head = record_take_head(&cursor);

	if (cursor.error != OK)
		return cursor.error;
	buffer_append(line, head.event);
	line_append_fields(&head, &cursor, line);
	return cursor.error != OK ? cursor.error : buffer_error(line);
}

enum error
log_record_line(struct slice record, struct slice origin, struct buffer *line)
{
	struct cursor cursor = cursor_of(record);
	struct record_head head = record_take_head(&cursor);

	if (cursor.error != OK)
		return cursor.error;
	time_append_rfc3339(line, head.time);
	buffer_append_octet(line, ' ');
	buffer_append(line, head.event);
	if (head.level >= LOG_WARNING)
		buffer_printf(line, " level=%s", level_names[head.level]);
	line_append_fields(&head, &cursor, line);
	if (origin.len > 0)
		buffer_append_text(line, " by=");
	buffer_append(line, origin);
	return cursor.error != OK ? cursor.error : buffer_error(line);
}

/* Length of the valid UTF-8 sequence at the start (RFC 3629), 0 if there is none. */
static size_t
utf8_sequence(struct slice text)
{
	uint8_t first = text.ptr[0];
	size_t len = first < 0x80   ? 1
		     : first < 0xc2 ? 0
		     : first < 0xe0 ? 2
		     : first < 0xf0 ? 3
		     : first < 0xf5 ? 4
				    : 0;

	if (len == 0 || text.len < len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((text.ptr[i] & 0xc0) != 0x80)
			return 0;
	if ((first == 0xe0 && text.ptr[1] < 0xa0) || (first == 0xed && text.ptr[1] > 0x9f) ||
		(first == 0xf0 && text.ptr[1] < 0x90) || (first == 0xf4 && text.ptr[1] > 0x8f))
		return 0;
	return len;
}

void
json_append_string(struct buffer *buffer, struct slice text)
{
	buffer_append_octet(buffer, '"');
	while (text.len > 0) {
		uint8_t octet = text.ptr[0];
		size_t len = utf8_sequence(text);
		if (octet == '"' || octet == '\\')
			buffer_printf(buffer, "\\%c", octet);
		else if (octet < ' ' || octet == 0x7f)
			buffer_printf(buffer, "\\u%04x", octet);
		else if (len == 0)
			buffer_append_text(buffer, "\\ufffd");
		else
			buffer_append(buffer, slice_sub(text, 0, len));
		text = slice_from(text, len ? len : 1);
	}
	buffer_append_octet(buffer, '"');
}

enum error
log_record_json(struct slice record, struct slice origin, struct buffer *line)
{
	struct cursor cursor = cursor_of(record);
	struct record_head head = record_take_head(&cursor);

	if (cursor.error != OK)
		return cursor.error;
	buffer_append_text(line, "{\"time\":\"");
	time_append_rfc3339(line, head.time);
	buffer_printf(line, "\",\"level\":\"%s\",\"event\":", level_names[head.level]);
	json_append_string(line, head.event);
	while (cursor.error == OK && cursor_left(&cursor) > 0) {
		struct record_field field = record_take_field(&cursor);
		buffer_append_octet(line, ',');
		json_append_string(line, field.key);
		buffer_append_octet(line, ':');
		if (field.type == LOG_FIELD_NUMBER)
			buffer_printf(line, "%lld", (long long)field.number);
		else
			json_append_string(line, field.text);
	}
	if (head.cut)
		buffer_append_text(line, ",\"cut\":1");
	if (origin.len > 0) {
		buffer_append_text(line, ",\"by\":");
		json_append_string(line, origin);
	}
	buffer_append_octet(line, '}');
	return cursor.error != OK ? cursor.error : buffer_error(line);
}
