/*
 * The lines that final delivery puts in front of a message: Return-Path (RFC 5321 section 4.4) and
 * Delivered-To (RFC 9228), and the question whether the same mailbox had this message before. Pure.
 */
#ifndef MAILBOX_HEAD_H
#define MAILBOX_HEAD_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

#define MAILBOX_LINE_MAX 998 /* octets of a line without its CRLF, RFC 5322 section 2.1.1 */

/*
 * Appends `Return-Path: <reverse_path>` (empty: <>), `Delivered-To: recipient` and then the trace
 * lines as they are, all with CRLF. ERROR_FORMAT: an address holds a control octet (it could start
 * a line of its own) or the recipient is empty, or the trace does not end a line. ERROR_LIMIT: a
 * line would be too long. Nothing is appended then.
 */
MUST_CHECK enum error mailbox_head_build(
	struct slice reverse_path, struct slice recipient, struct slice trace, struct buffer *head);

/*
 * Whether this header tells that the mailbox had the message before: a Delivered-To field names the
 * recipient, compared without regard to the case of ASCII letters, and a Received field says that
 * it came by our host. One alone anybody may have written who never saw this server. `header` is a
 * message's beginning: reading stops at the empty line, or where the bytes end (the caller bounds
 * them). Takes any bytes.
 */
bool mailbox_head_is_loop(struct slice header, struct slice recipient, struct slice hostname);

#endif
