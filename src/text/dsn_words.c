/*
 * The part of a delivery report that people read: what became of the message, for each of the first
 * DSN_SPELLED_OUT_MAX recipients, what the other server said about it, and what to do now.
 *
 * Plain ASCII where all texts are; else UTF-8 as quoted-printable, so that it passes any server.
 * Lines that hold outside text from their start on are indented: none can look like a delimiter.
 * The advice follows the subject and detail of the status (RFC 3463 sections 3.2 to 3.8).
 */
#include "text/dsn_private.h"
#include "text/date.h"

#define ANY           UINT16_MAX
#define PARAGRAPH_MAX 1024 /* octets of a sentence of ours */

static const struct {
	uint16_t subject, detail;
	const char *text;
} advice[] = {
	{1, 7,
		"Your own address as the sender was not accepted. Please check it in the settings "
		"of "
		"your mail program."},
	{1, 8,
		"Your own address as the sender was not accepted. Please check it in the settings "
		"of "
		"your mail program."},
	{1, 10,
		"The domain of this address takes no mail at all. Please check the address for "
		"mistakes."},
	{1, 2,
		"The domain of this address does not exist or has no mail server. Please check the "
		"part "
		"behind the @ for mistakes."},
	{1, ANY,
		"Please check the address for mistakes, or ask the person for the present "
		"address."},
	{2, 2, "The mailbox is full. Please try again later, or tell the person in another way."},
	{2, 3,
		"The message is too large for this mailbox. Please send a smaller one, or share "
		"large "
		"files in another way."},
	{2, ANY, "The mailbox takes no mail now. Please tell the person in another way."},
	{3, 4,
		"The message is too large. Please send a smaller one, or share large files in "
		"another "
		"way."},
	{3, ANY, "The other mail system has a problem. Please try again later."},
	{4, 6,
		"The mail systems hand messages for this address back and forth. Please show this "
		"report to the people who run the mail system of that domain."},
	{4, ANY,
		"The other mail system could not be reached. If the address is right, please try "
		"again "
		"later."},
	{5, ANY,
		"The two mail systems did not understand each other. Please show this report to "
		"your "
		"mail administrator."},
	{6, ANY,
		"The other mail system can't take a message of this kind. Please send it in a "
		"simpler "
		"form."},
	{7, ANY,
		"The other mail system's rules do not permit this message. Please tell the person "
		"in "
		"another way, and show this report to your mail administrator."},
};

static const char general_advice[] = "Please check the address, and try again later. If it fails "
				     "again, show this report to your "
				     "mail administrator.";

static const char *const outcomes[DSN_ACTIONS] = {
	[DSN_FAILED] = "not delivered",
	[DSN_DELAYED] = "not delivered yet",
	[DSN_RELAYED] = "passed on",
	[DSN_EXPANDED] = "passed on to a list of addresses",
	[DSN_DELIVERED] = "delivered",
};

static const char *const summaries[DSN_ACTIONS] = {
	[DSN_FAILED] = "It could not be delivered as shown below, and will not be tried again.",
	[DSN_DELAYED] =
		"It could not be delivered yet, as shown below. Delivery will be tried again; "
		"there is no need to send the message a second time.",
	[DSN_RELAYED] =
		"It was passed on to mail systems that do not confirm delivery. There may be "
		"no further report.",
	[DSN_EXPANDED] =
		"It was passed on to more than one address. There may be no further report.",
	[DSN_DELIVERED] = "It was delivered.",
};

static const char *
advice_for(struct enhanced_status status)
{
	for (size_t i = 0; i < sizeof advice / sizeof *advice; i++)
		if (advice[i].subject == status.subject &&
			(advice[i].detail == status.detail || advice[i].detail == ANY))
			return advice[i].text;
	return general_advice;
}

/* A paragraph, folded. */
static void
put_paragraph(struct dsn_lines *lines, const char *indent, const char *text)
{
	lines->indent = indent;
	dsn_line_text(lines, indent);
	lines->start = lines->line.len;
	dsn_line_words(lines, slice_text(text), PARAGRAPH_MAX);
	dsn_line_end(lines);
}

static void
put_summary(struct dsn_lines *lines, const struct dsn *dsn, const struct dsn_tally *tally)
{
	uint8_t date_storage[DATE_MAX + 1];
	struct buffer date;
	bool is_mixed = tally->of[tally->main] < dsn->recipients.count;

	buffer_init_fixed(&date, date_storage, sizeof date_storage);
	date_append(&date, dsn->arrived_at);
	lines->indent = "";
	dsn_line_words(lines, SLICE("This is the mail system at"), PARAGRAPH_MAX);
	dsn_line_words(lines, dsn->hostname, DSN_NAME_MAX);
	dsn_line_words(lines, SLICE("with news of a message that came from your address on"),
		PARAGRAPH_MAX);
	dsn_line_words(lines, buffer_slice(&date), DATE_MAX);
	if (dsn->queue_id.len > 0) {
		dsn_line_words(lines, SLICE("and has the queue id"), PARAGRAPH_MAX);
		dsn_line_words(lines, dsn->queue_id, DSN_NAME_MAX);
	}
	dsn_line_text(lines, ".");
	dsn_line_end(lines);
	dsn_line_end(lines);
	put_paragraph(lines, "", is_mixed ? "This is what became of it." : summaries[tally->main]);
}

static void
put_name(struct dsn_lines *lines, const struct dsn_recipient *recipient,
	const struct enhanced_status *status)
{
	dsn_line_text(lines, "<");
	dsn_line_address(lines, recipient->address, false);
	dsn_line_text(lines, ">: ");
	dsn_line_text(lines, outcomes[recipient->action]);
	buffer_printf(&lines->line, " (%u.%u.%u)", status->class, status->subject, status->detail);
	dsn_line_end(lines);
	if (recipient->original_address.len == 0 ||
		slice_equal(recipient->original_address, recipient->address))
		return;
	dsn_line_text(lines, "    (sent to <");
	dsn_line_address(lines, recipient->original_address, false);
	dsn_line_text(lines, ">)");
	dsn_line_end(lines);
}

static void
put_reason(struct dsn_lines *lines, const struct dsn_recipient *recipient)
{
	if (recipient->diagnostic == DSN_DIAGNOSTIC_NONE || recipient->text.len == 0)
		return;
	lines->indent = "    ";
	dsn_line_text(lines, "   ");
	if (recipient->diagnostic == DSN_DIAGNOSTIC_LOCAL) {
		dsn_line_text(lines, " The reason:");
	} else if (recipient->remote_mta.len > 0) {
		dsn_line_words(lines, recipient->remote_mta, DSN_NAME_MAX);
		dsn_line_text(lines, " answered:");
	} else {
		dsn_line_text(lines, " The other server answered:");
	}
	dsn_line_end(lines);
	lines->indent = "        ";
	dsn_line_text(lines, lines->indent);
	lines->start = lines->line.len;
	dsn_line_words(lines, recipient->text, DSN_DIAGNOSTIC_MAX);
	dsn_line_end(lines);
}

static void
put_next_step(struct dsn_lines *lines, const struct dsn_recipient *recipient,
	const struct enhanced_status *status)
{
	if (recipient->action == DSN_FAILED)
		put_paragraph(lines, "    ", advice_for(*status));
	if (recipient->action == DSN_DELAYED && recipient->next_attempt_at != 0) {
		dsn_line_text(lines, "    The next try is at ");
		date_append(&lines->line, recipient->next_attempt_at);
		dsn_line_text(lines, ".");
		dsn_line_end(lines);
	}
	if (recipient->action != DSN_DELAYED || recipient->will_retry_until == 0)
		return;
	dsn_line_text(lines, "    Delivery will be tried until ");
	date_append(&lines->line, recipient->will_retry_until);
	dsn_line_text(lines, ".");
	dsn_line_end(lines);
}

static enum error
put_recipients(struct dsn_lines *lines, const struct dsn_recipients *recipients)
{
	for (size_t i = 0; i < recipients->count && i < DSN_SPELLED_OUT_MAX; i++) {
		struct dsn_recipient recipient = {0};
		enum error error = recipients->get(recipients->context, i, &recipient);
		if (error != OK)
			return error;
		struct enhanced_status status = dsn_status_of(&recipient);
		dsn_line_end(lines);
		put_name(lines, &recipient, &status);
		put_reason(lines, &recipient);
		put_next_step(lines, &recipient, &status);
	}
	if (recipients->count > DSN_SPELLED_OUT_MAX) {
		size_t more = recipients->count - DSN_SPELLED_OUT_MAX;
		dsn_line_end(lines);
		buffer_printf(&lines->line,
			"and %zu more %s. The next part of this report has all of them.", more,
			more == 1 ? "recipient" : "recipients");
		dsn_line_end(lines);
	}
	return OK;
}

static const char *
closing_text(const struct dsn *dsn)
{
	if (dsn->returns == DSN_RETURN_FULL)
		return "The next part of this report is for programs. Behind it is your message.";
	if (dsn->header.len == 0)
		return "The next part of this report is for programs.";
	if (dsn->header_is_cut)
		return "The next part of this report is for programs. Behind it is the beginning "
		       "of "
		       "your message's header.";
	return "The next part of this report is for programs. Behind it is the header of your "
	       "message.";
}

enum error
dsn_append_words(struct buffer *buffer, const struct dsn *dsn, const struct dsn_tally *tally)
{
	struct dsn_lines lines;

	dsn_lines_init(&lines, buffer, "");
	lines.is_utf8 = tally->has_utf8_text;
	lines.is_quoted_printable = tally->has_utf8_text;
	put_summary(&lines, dsn, tally);
	enum error error = put_recipients(&lines, &dsn->recipients);
	if (error != OK)
		return error;
	dsn_line_end(&lines);
	put_paragraph(&lines, "", closing_text(dsn));
	return buffer_error(buffer);
}
