/* Any octets as an answer: no crash, and what is taken obeys its bounds. The answer's number and
 * question are made to fit, so that the fuzzer reaches the records. */
#include "dns/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_answer(const struct dns_answer *answer, enum dns_type type)
{
	require((answer->outcome == DNS_FOUND) == (answer->count > 0));
	require((answer->outcome == DNS_FAILED) == (answer->reason != NULL));
	require(answer->name.len <= DNS_NAME_MAX);
	for (size_t i = 0; i < answer->count; i++) {
		const struct dns_record *record = &answer->records[i];
		require(record->name.len <= DNS_NAME_MAX);
		require(slice_find(record->name, 0, 0) < 0);
		require(type != DNS_A || record->data.len == 4);
		require(type != DNS_AAAA || record->data.len == 16);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = {
		DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_PTR, DNS_TLSA, DNS_CNAME, DNS_NS, DNS_SRV};
	static const struct slice name = SLICE_INIT("a.example");
	uint8_t head[64];
	struct buffer question, message;
	struct arena arena;
	struct dns_answer answer;

	if (size < 7)
		return 0;
	struct memory *memory = memory_new(0);
	enum dns_type type = types[data[0] % (sizeof types / sizeof *types)];
	buffer_init_fixed(&question, head, sizeof head);
	require(dns_question_append(&question, 0x4142, name, type) == OK);
	buffer_init(&message, memory, DNS_MESSAGE_MAX + 1);
	buffer_append_octet(&message, 0x41);
	buffer_append_octet(&message, 0x42);
	buffer_append_octet(&message, 0x80);
	buffer_append(&message, slice_of(data + 1, 1));
	buffer_append(&message, slice_of("\0\1", 2));
	buffer_append(&message, slice_of(data + 2, 4));
	buffer_append(&message, slice_of("\0\0", 2));
	buffer_append(&message, slice_sub(buffer_slice(&question), 12, name.len + 2 + 4));
	buffer_append(&message, slice_of(data + 6, size - 6));
	arena_init(&arena, memory, 4u << 20);
	if (buffer_error(&message) == OK &&
		dns_answer_parse(buffer_slice(&message), 0x4142, name, type, &arena, &answer) == OK)
		check_answer(&answer, type);
	arena_done(&arena);
	buffer_done(&message);
	memory_free(&memory);
	return 0;
}
