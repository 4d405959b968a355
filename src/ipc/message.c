/* Encoding and decoding by the schema's own tables: for each kind the list of its fields with type,
 * place and maximum. */
#include "ipc/message.h"

enum field_type { FIELD_u32, FIELD_u64, FIELD_slice, FIELD_secret };

struct field {
	const char *name;
	enum field_type type;
	size_t offset; /* in struct ipc_message */
	uint64_t max;
};

#define FIELD_ENTRY(m, type, member, max) \
	{#member, FIELD_##type, offsetof(struct ipc_message, m.member), max},
#define FIELD_TABLE(KIND, name, senders, receivers, fds) \
	static const struct field fields_##name[] = {IPC_FIELDS_##name(FIELD_ENTRY, name)};
IPC_MESSAGES(FIELD_TABLE)
IPC_TEST_MESSAGES(FIELD_TABLE)

struct kind {
	const struct field *fields;
	size_t field_count;
	unsigned senders;
	unsigned receivers;
	unsigned fds;
};

#define KIND_ENTRY(KIND, name, senders, receivers, fds) \
	{fields_##name, sizeof fields_##name / sizeof *fields_##name, senders, receivers, fds},
static const struct kind kinds[IPC_KINDS] = {
	IPC_MESSAGES(KIND_ENTRY) IPC_TEST_MESSAGES(KIND_ENTRY)};

bool
ipc_fds_fit(enum ipc_kind kind, unsigned count)
{
	unsigned fds = kinds[kind].fds;

	return count == (fds & ~IPC_FDS_OPTIONAL) || (count == 0 && (fds & IPC_FDS_OPTIONAL));
}

bool
ipc_may_send(enum ipc_kind kind, enum role sender, enum role receiver)
{
	return (kinds[kind].senders & ROLE_BIT(sender)) &&
	       (kinds[kind].receivers & ROLE_BIT(receiver));
}

bool
ipc_kind_is_secret(enum ipc_kind kind)
{
	bool secret = false;

	for (size_t i = 0; i < kinds[kind].field_count; i++)
		secret |= kinds[kind].fields[i].type == FIELD_secret;
	return secret;
}

uint32_t *
ipc_request(struct ipc_message *message)
{
	const struct field *first = &kinds[message->kind].fields[0];

	if (first->type != FIELD_u32 || strcmp(first->name, "request") != 0)
		return NULL;
	/* UNSAFE: the member that the table names */
	return (uint32_t *)((uint8_t *)message + first->offset);
}

/* Of a slice or a secret, which is one under another name. */
static struct slice
field_slice(const struct field *field, const void *member)
{
	return field->type == FIELD_secret ? secret_reveal(*(const struct secret *)member)
					   : *(const struct slice *)member;
}

static size_t
field_size(const struct field *field, const uint8_t *base)
{
	switch (field->type) {
	case FIELD_u32:
		return sizeof(uint32_t);
	case FIELD_u64:
		return sizeof(uint64_t);
	default:
		/* UNSAFE: the member that the table names */
		return sizeof(uint32_t) + field_slice(field, base + field->offset).len;
	}
}

size_t
ipc_encoded_size(const struct ipc_message *message)
{
	const struct kind *kind = &kinds[message->kind];
	size_t size = sizeof(uint16_t);

	for (size_t i = 0; i < kind->field_count; i++)
		size += field_size(&kind->fields[i], (const uint8_t *)message);
	return size;
}

static enum error
encode_field(const struct field *field, const uint8_t *base, struct buffer *buffer)
{
	/* UNSAFE: the member that the table names */
	const void *member = base + field->offset;
	struct slice slice;
	uint64_t number;

	switch (field->type) {
	case FIELD_u32:
		number = *(const uint32_t *)member;
		buffer_append_u32(buffer, (uint32_t)number);
		return number > field->max ? ERROR_LIMIT : OK;
	case FIELD_u64:
		number = *(const uint64_t *)member;
		buffer_append_u64(buffer, number);
		return number > field->max ? ERROR_LIMIT : OK;
	default:
		slice = field_slice(field, member);
		if (slice.len > field->max)
			return ERROR_LIMIT;
		buffer_append_u32(buffer, (uint32_t)slice.len);
		buffer_append(buffer, slice);
		return OK;
	}
}

enum error
ipc_encode(const struct ipc_message *message, struct buffer *buffer)
{
	const struct kind *kind = &kinds[message->kind];

	buffer_append_u16(buffer, (uint16_t)message->kind);
	for (size_t i = 0; i < kind->field_count; i++) {
		enum error error = encode_field(&kind->fields[i], (const uint8_t *)message, buffer);
		if (error != OK)
			return error;
	}
	return buffer_error(buffer);
}

static void
decode_field(const struct field *field, struct cursor *cursor, uint8_t *base)
{
	/* UNSAFE: the member that the table names */
	void *member = base + field->offset;
	uint64_t number;

	switch (field->type) {
	case FIELD_u32:
		number = cursor_take_u32(cursor);
		*(uint32_t *)member = (uint32_t)number;
		break;
	case FIELD_u64:
		number = cursor_take_u64(cursor);
		*(uint64_t *)member = number;
		break;
	default:
		number = cursor_take_u32(cursor);
		if (number > field->max)
			break;
		if (field->type == FIELD_secret)
			*(struct secret *)member = secret_of(cursor_take(cursor, number));
		else
			*(struct slice *)member = cursor_take(cursor, number);
	}
	if (number > field->max && cursor->error == OK)
		cursor->error = ERROR_FORMAT;
}

enum error
ipc_decode(struct slice bytes, struct ipc_message *ret_message)
{
	struct cursor cursor = cursor_of(bytes);
	uint16_t number = cursor_take_u16(&cursor);

	if (cursor.error != OK || number >= IPC_KINDS)
		return ERROR_FORMAT;
	const struct kind *kind = &kinds[number];
	struct ipc_message message = {.kind = (enum ipc_kind)number};
	for (size_t i = 0; i < kind->field_count; i++)
		decode_field(&kind->fields[i], &cursor, (uint8_t *)&message);
	if (cursor.error != OK || cursor_left(&cursor) > 0)
		return ERROR_FORMAT;
	message.fd_count = ret_message->fd_count;
	memcpy(message.fds, ret_message->fds, sizeof message.fds);
	*ret_message = message;
	return OK;
}
