/*
 * A mark begins each frame, so that a reader finds the next one behind octets that are none: the
 * tail of a frame that was cut off, or a hole. The sum tells a mark from octets of a stranger's
 * that look like one.
 */
#include "base/history.h"
#include "base/cursor.h"
#include "base/hash.h"

#define MAGIC   SLICE("VEREDUSH")
#define VERSION 1
#define MARK    UINT32_C(0x1d48f6c2)
#define MARK_0  0xc2 /* its first octet */

static const char *const names[HISTORY_KINDS] = {[HISTORY_MAIL] = "mail",
	[HISTORY_TRIES] = "tries",
	[HISTORY_REFUSED] = "refused",
	[HISTORY_DMARC] = "dmarc"};

const char *
history_kind_name(enum history_kind kind)
{
	return names[kind];
}

bool
history_file_parse(struct slice name, enum history_kind *ret_kind, uint32_t *ret_number)
{
	struct slice folder = SLICE(HISTORY_FOLDER "/");
	uint64_t number;

	if (!slice_has_prefix(name, folder))
		return false;
	name = slice_from(name, folder.len);
	for (int kind = 0; kind < HISTORY_KINDS; kind++) {
		struct slice word = slice_text(names[kind]);
		if (!slice_has_prefix(name, word) || slice_find(name, 0, '-') != (ssize_t)word.len)
			continue;
		*ret_kind = (enum history_kind)kind;
		if (!slice_number(slice_from(name, word.len + 1), HISTORY_FILES - 1, &number))
			return false;
		*ret_number = (uint32_t)number;
		return true;
	}
	return false;
}

uint64_t
history_file_size(enum history_kind kind, uint64_t all)
{
	/* What is collected for others comes on top of what is kept for us. */
	static const unsigned eighths[HISTORY_KINDS] = {[HISTORY_MAIL] = 4,
		[HISTORY_TRIES] = 2,
		[HISTORY_REFUSED] = 2,
		[HISTORY_DMARC] = 1};

	return all / 8 * eighths[kind] / HISTORY_FILES;
}

bool
history_keeps(struct slice record, enum history_kind *ret_kind)
{
	static const struct {
		struct slice event;
		enum history_kind kind;
	} kept[] = {{SLICE_INIT("received"), HISTORY_MAIL}, {SLICE_INIT("delivered"), HISTORY_MAIL},
		{SLICE_INIT("deferred"), HISTORY_TRIES}, {SLICE_INIT("relayed"), HISTORY_TRIES},
		{SLICE_INIT("failed"), HISTORY_MAIL}, {SLICE_INIT("expired"), HISTORY_MAIL},
		{SLICE_INIT("held"), HISTORY_MAIL}, {SLICE_INIT("discarded"), HISTORY_MAIL},
		{SLICE_INIT("released"), HISTORY_MAIL}, {SLICE_INIT("retried"), HISTORY_MAIL},
		{SLICE_INIT("deleted"), HISTORY_MAIL}, {SLICE_INIT("reported"), HISTORY_MAIL},
		{SLICE_INIT("suppressed"), HISTORY_MAIL},
		{SLICE_INIT("not_reported"), HISTORY_MAIL},
		{SLICE_INIT("refused"), HISTORY_REFUSED},
		{SLICE_INIT("dmarc_seen"), HISTORY_DMARC}};
	struct slice event = log_record_event(record);

	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (slice_equal(event, kept[i].event)) {
			*ret_kind = kept[i].kind;
			return true;
		}
	return false;
}

void
history_head_append(struct buffer *bytes, wall_us started_at)
{
	size_t at = bytes->len;

	buffer_append(bytes, MAGIC);
	buffer_append_u32(bytes, VERSION);
	buffer_append_u64(bytes, (uint64_t)started_at);
	if (buffer_error(bytes) == OK)
		buffer_append_u32(bytes, crc32c(0, slice_from(buffer_slice(bytes), at)));
}

void
history_frame_append(struct buffer *bytes, struct slice record)
{
	buffer_append_u32(bytes, MARK);
	buffer_append_u16(bytes, (uint16_t)record.len);
	buffer_append_u32(bytes, crc32c(0, record));
	buffer_append(bytes, record);
}

enum error
history_head_read(struct slice bytes, wall_us *ret_started_at)
{
	struct cursor cursor = cursor_of(bytes);
	struct slice magic = cursor_take(&cursor, MAGIC.len);
	uint32_t version = cursor_take_u32(&cursor);
	uint64_t started_at = cursor_take_u64(&cursor);
	struct slice summed = slice_sub(bytes, 0, cursor.at);
	uint32_t sum = cursor_take_u32(&cursor);

	if (cursor.error != OK || !slice_equal(magic, MAGIC) || version != VERSION ||
		sum != crc32c(0, summed) || started_at > INT64_MAX)
		return ERROR_FORMAT;
	*ret_started_at = (wall_us)started_at;
	return OK;
}

enum frame { FRAME_SOUND, FRAME_NONE, FRAME_GOES_ON };

static enum frame
read_frame(struct slice bytes, struct slice *ret_record)
{
	struct cursor cursor = cursor_of(bytes);

	if (cursor_left(&cursor) < HISTORY_FRAME_BYTES)
		return FRAME_GOES_ON;
	uint32_t mark = cursor_take_u32(&cursor);
	uint16_t len = cursor_take_u16(&cursor);
	uint32_t sum = cursor_take_u32(&cursor);
	if (mark != MARK || len == 0 || len > LOG_RECORD_MAX)
		return FRAME_NONE;
	if (cursor_left(&cursor) < len)
		return FRAME_GOES_ON;
	*ret_record = cursor_take(&cursor, len);
	return crc32c(0, *ret_record) == sum && log_record_time(*ret_record) != 0 ? FRAME_SOUND
										  : FRAME_NONE;
}

bool
history_next(struct slice bytes, bool are_last, size_t *at, struct slice *ret_record)
{
	for (;;) {
		ssize_t mark = slice_find(bytes, *at, MARK_0);
		if (mark < 0) {
			*at = bytes.len;
			return false;
		}
		*at = (size_t)mark;
		enum frame frame = read_frame(slice_from(bytes, *at), ret_record);
		if (frame == FRAME_SOUND) {
			*at += HISTORY_FRAME_BYTES + ret_record->len;
			return true;
		}
		if (frame == FRAME_GOES_ON && !are_last)
			return false;
		++*at;
	}
}
