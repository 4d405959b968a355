/*
 * Sending content: what a client must never do is to send a lone CR or LF, because some server
 * takes "LF . LF" or "CR . CR" for the end, and what follows for commands (CVE-2023-51764 and its
 * kin). So bare CR and bare LF become CRLF here, before dots are looked at: a dot behind any of
 * them starts a line, and is stuffed.
 *
 * Promises: in what leaves, CR stands before LF only and LF behind CR only; CRLF "." CRLF comes
 * once, at the end; cutting the content into other blocks changes nothing.
 */
#include "smtp/client_content.h"

static void
end_line(struct smtp_content_writer *writer, struct buffer *output)
{
	buffer_append(output, SLICE("\r\n"));
	writer->in_line = false;
	writer->after_cr = false;
}

/* Octets without CR and LF. */
static void
write_text(struct smtp_content_writer *writer, struct slice text, struct buffer *output)
{
	if (text.len == 0)
		return;
	if (!writer->in_line && text.ptr[0] == '.')
		buffer_append_octet(output, '.');
	buffer_append(output, text);
	writer->in_line = true;
}

static size_t
text_len(struct slice block, size_t start)
{
	size_t at = start;

	while (at < block.len && block.ptr[at] != '\r' && block.ptr[at] != '\n')
		at++;
	return at - start;
}

void
smtp_content_write(struct smtp_content_writer *writer, struct slice block, struct buffer *output)
{
	size_t at = 0;

	while (at < block.len) {
		uint8_t octet = block.ptr[at];
		if (writer->after_cr || octet == '\n') {
			/* CRLF, a bare LF, or a CR that turns out to be bare. */
			end_line(writer, output);
			at += octet == '\n';
			continue;
		}
		if (octet == '\r') {
			writer->after_cr = true;
			at++;
			continue;
		}
		size_t len = text_len(block, at);
		write_text(writer, slice_sub(block, at, len), output);
		at += len;
	}
}

void
smtp_content_write_end(struct smtp_content_writer *writer, struct buffer *output)
{
	if (writer->in_line || writer->after_cr)
		end_line(writer, output);
	buffer_append(output, SLICE(".\r\n"));
}

uint64_t
smtp_content_size(struct slice content)
{
	uint64_t size = 0;
	size_t at = 0;

	while (at < content.len) {
		size_t len = text_len(content, at);
		at += len;
		if (at < content.len && content.ptr[at] == '\r')
			at += at + 1 < content.len && content.ptr[at + 1] == '\n' ? 2 : 1;
		else if (at < content.len)
			at++;
		size += len + 2;
	}
	return size;
}
