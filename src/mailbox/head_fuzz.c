/*
 * Any reverse path, recipient and header: what is built has two lines of ours and no octet that
 * starts another; our own head is found again in front of any content.
 */
#include "mailbox/head.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t storage[4096];
	struct buffer head;
	struct slice all = slice_of(data, size);
	ssize_t first = slice_find(all, 0, '|');
	ssize_t second = first < 0 ? -1 : slice_find(all, (size_t)first + 1, '|');

	if (second < 0)
		return 0;
	struct slice reverse_path = slice_sub(all, 0, (size_t)first);
	struct slice recipient = slice_sub(all, (size_t)first + 1, (size_t)(second - first) - 1);
	struct slice content = slice_from(all, (size_t)second + 1);
	mailbox_head_is_loop(content, recipient, SLICE("mx.example.org"));
	buffer_init_fixed(&head, storage, sizeof storage);
	if (mailbox_head_build(reverse_path, recipient, SLICE(""), &head) != OK) {
		assert(head.len == 0);
		return 0;
	}
	struct slice lines = buffer_slice(&head);
	size_t ends = 0;
	for (size_t i = 0; i < lines.len; i++) {
		assert(lines.ptr[i] >= 0x20 || lines.ptr[i] == '\r' || lines.ptr[i] == '\n');
		ends += lines.ptr[i] == '\n';
	}
	assert(ends == 2 && slice_find(lines, 0, '\n') <= MAILBOX_LINE_MAX + 1);
	/* An address is never looked for with space around it. */
	buffer_append(&head, SLICE("Received: by mx.example.org; x\r\n"));
	if (slice_trim(recipient).len == recipient.len && buffer_error(&head) == OK)
		assert(mailbox_head_is_loop(
			buffer_slice(&head), recipient, SLICE("mx.example.org")));
	return 0;
}
