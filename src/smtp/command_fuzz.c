/* Any octets as a command line: what is well formed keeps its promises, and what is not says why in
 * a proper reply. */
#include "smtp/command.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static bool
lies_within(struct slice part, struct slice whole)
{
	return part.len == 0 ||
	       (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void
check_path(const struct smtp_command *command, struct slice line)
{
	struct address address;

	require(lies_within(command->mailbox, line));
	if (command->mailbox.len == 0) {
		require(command->verb == VERB_MAIL && command->address.domain.len == 0);
		return;
	}
	enum address_fault fault = address_parse_international(command->mailbox, &address);
	if (command->takes_odd_paths && command->verb == VERB_MAIL && fault != ADDRESS_OK) {
		require(command->address.domain.len == 0);
		for (size_t i = 0; i < command->mailbox.len; i++)
			require(command->mailbox.ptr[i] > 32 && command->mailbox.ptr[i] < 127 &&
				command->mailbox.ptr[i] != '<' && command->mailbox.ptr[i] != '>');
		return;
	}
	require(fault == ADDRESS_OK || (fault == ADDRESS_NO_DOMAIN && command->verb == VERB_RCPT));
	require(slice_equal(address.domain, command->address.domain));
	require(slice_equal(address.local_part, command->address.local_part));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice line = slice_of(data, size);
	struct smtp_command command;
	uint8_t bytes[SMTP_REPLY_BYTES_MAX];
	struct buffer reply;

	smtp_command_parse(line, size % 2 == 0, &command);
	require((unsigned)command.verb < VERB_COUNT);
	require(lies_within(command.argument, line));
	if (command.error.code != 0) {
		require(command.error.code >= 500 && command.error.code <= 555 &&
			command.error.enhanced[0] == 5);
		require(command.error.text.len > 0);
		buffer_init_fixed(&reply, bytes, sizeof bytes);
		smtp_reply_append(&reply, &command.error);
		require(buffer_error(&reply) == OK);
		return 0;
	}
	for (size_t i = 0; i < size; i++)
		require((data[i] >= 32 || data[i] == '\t') && data[i] != 127);
	if (command.verb == VERB_MAIL || command.verb == VERB_RCPT)
		check_path(&command, line);
	if (command.verb == VERB_HELO || command.verb == VERB_EHLO || command.verb == VERB_LHLO)
		require(command.argument.len > 0 && command.argument.len <= ADDRESS_DOMAIN_MAX);
	return 0;
}
