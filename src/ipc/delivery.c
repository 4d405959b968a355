/* The lists of DELIVER and RESULT: octets and back. Decoders take any octets. */
#include "ipc/delivery.h"

#define RESULT_FIXED_BYTES 32    /* with the three lengths */
#define IS_PASSED_ON       0x80u /* beside enum delivery_tls */

const char *
transport_name(enum transport transport)
{
	static const char *const names[] = {
		[TRANSPORT_MAILDIR] = "maildir",
		[TRANSPORT_SYSTEM] = "system",
		[TRANSPORT_MX] = "mx",
		[TRANSPORT_HOST] = "host",
		[TRANSPORT_LMTP] = "lmtp",
		[TRANSPORT_PIPE] = "pipe",
	};

	return (unsigned)transport < TRANSPORT_COUNT ? names[transport] : "unknown";
}

static void
append_text(struct buffer *list, struct slice text)
{
	buffer_append_u16(list, (uint16_t)text.len);
	buffer_append(list, text);
}

static struct slice
take_text(struct cursor *cursor, size_t max)
{
	uint16_t len = cursor_take_u16(cursor);

	if (len > max)
		cursor->error = ERROR_FORMAT;
	return cursor_take(cursor, len);
}

enum error
delivery_recipient_append(struct buffer *list, const struct delivery_recipient *recipient,
	const struct delivery_wish *wish)
{
	size_t bytes = delivery_recipient_bytes(recipient->address, wish->original);

	if (recipient->address.len > DELIVERY_ADDRESS_MAX ||
		wish->original.len > DSN_ORIGINAL_MAX || bytes > DELIVERY_LIST_BYTES ||
		list->len > DELIVERY_LIST_BYTES - bytes)
		return ERROR_LIMIT;
	buffer_append_u32(list, recipient->number);
	buffer_append_u32(list, (uint32_t)recipient->address.len);
	buffer_append(list, recipient->address);
	buffer_append_octet(list, (uint8_t)wish->notify);
	append_text(list, wish->original);
	return buffer_error(list);
}

static bool
take_recipient(struct cursor *cursor, struct delivery_recipient *recipient)
{
	recipient->number = cursor_take_u32(cursor);
	recipient->address = cursor_take(cursor, cursor_take_u32(cursor));
	return recipient->number < DELIVERY_RECIPIENT_NUMBER &&
	       recipient->address.len <= DELIVERY_ADDRESS_MAX;
}

static bool
take_wish(struct cursor *cursor, struct delivery_wish *wish)
{
	wish->notify = cursor_take_u8(cursor);
	wish->original = take_text(cursor, DSN_ORIGINAL_MAX);
	return dsn_notify_is_valid(wish->notify) &&
	       (wish->original.len == 0 || dsn_original_is_valid(wish->original));
}

enum error
delivery_recipients_decode(struct slice list,
	struct delivery_recipient ret_recipients[DELIVERY_RECIPIENTS_MAX], uint32_t *ret_count)
{
	struct cursor cursor = cursor_of(list);
	struct delivery_wish wish;
	uint32_t count = 0;

	if (list.len > DELIVERY_LIST_BYTES)
		return ERROR_FORMAT;
	for (; cursor_left(&cursor) > 0 && cursor.error == OK; count++) {
		if (count == DELIVERY_RECIPIENTS_MAX)
			return ERROR_FORMAT;
		struct delivery_recipient *recipient = &ret_recipients[count];
		if (!take_recipient(&cursor, recipient) || !take_wish(&cursor, &wish) ||
			(count > 0 && recipient->number <= recipient[-1].number))
			return ERROR_FORMAT;
	}
	if (cursor.error != OK || count == 0)
		return ERROR_FORMAT;
	*ret_count = count;
	return OK;
}

enum error
delivery_wishes_decode(struct slice list, struct delivery_wish ret_wishes[DELIVERY_RECIPIENTS_MAX])
{
	struct cursor cursor = cursor_of(list);
	struct delivery_recipient recipient;

	for (uint32_t i = 0; cursor_left(&cursor) > 0; i++)
		if (i == DELIVERY_RECIPIENTS_MAX || !take_recipient(&cursor, &recipient) ||
			!take_wish(&cursor, &ret_wishes[i]) || cursor.error != OK)
			return ERROR_FORMAT;
	return OK;
}

enum error
delivery_result_append(struct buffer *list, const struct delivery_result *result)
{
	struct slice text = slice_sub(result->text, 0, DELIVERY_TEXT_MAX);
	struct slice remote = slice_sub(result->remote, 0, DELIVERY_REMOTE_MAX);
	struct slice path = slice_sub(result->path, 0, DELIVERY_PATH_MAX);
	size_t bytes = RESULT_FIXED_BYTES + text.len + remote.len + path.len;

	if (list->len > DELIVERY_RESULTS_BYTES - bytes)
		return ERROR_LIMIT;
	buffer_append_u64(list, result->attempt);
	buffer_append_u32(list, result->recipient);
	buffer_append_octet(list, (uint8_t)result->outcome);
	buffer_append_octet(
		list, (uint8_t)(result->tls | (result->is_passed_on ? IS_PASSED_ON : 0)));
	buffer_append_u32(list, enhanced_status_number(result->status));
	buffer_append_u32(list, result->connecting_ms);
	buffer_append_u32(list, result->sending_ms);
	append_text(list, text);
	append_text(list, remote);
	append_text(list, path);
	return buffer_error(list);
}

enum error
delivery_result_take(struct cursor *list, struct delivery_result *ret_result)
{
	struct delivery_result result = {.attempt = cursor_take_u64(list)};

	result.recipient = cursor_take_u32(list);
	uint8_t outcome = cursor_take_u8(list), tls = cursor_take_u8(list);
	result.is_passed_on = tls & IS_PASSED_ON;
	tls &= (uint8_t)~IS_PASSED_ON;
	uint32_t status = cursor_take_u32(list);
	result.connecting_ms = cursor_take_u32(list);
	result.sending_ms = cursor_take_u32(list);
	result.text = take_text(list, DELIVERY_TEXT_MAX);
	result.remote = take_text(list, DELIVERY_REMOTE_MAX);
	result.path = take_text(list, DELIVERY_PATH_MAX);
	result.status = enhanced_status_of(status);
	if (list->error != OK || outcome >= DELIVER_OUTCOMES || tls >= TLS_STATES ||
		status > ENHANCED_NUMBER_MAX || enhanced_status_number(result.status) != status ||
		(result.recipient >= DELIVERY_RECIPIENT_NUMBER && result.recipient != DELIVERY_ALL))
		return ERROR_FORMAT;
	result.outcome = (enum deliver_outcome)outcome;
	result.tls = (enum delivery_tls)tls;
	*ret_result = result;
	return OK;
}
