/*
 * The part of a delivery report that people read: what became of the message, for each of the first
 * DSN_SPELLED_OUT_MAX recipients, what the other server said about it, and what to do now.
 *
 * Plain ASCII where all texts are; else UTF-8 as quoted-printable, so that it passes any server.
 * Lines that hold outside text from their start on are indented: none can look like a delimiter.
 * The advice follows the subject and detail of the status (RFC 3463 sections 3.2 to 3.8).
 */
#include "text/date.h"
#include "text/dsn_private.h"
#include "text/dsn_texts.h"

#define ANY           UINT16_MAX
#define PARAGRAPH_MAX 1024 /* octets of a sentence of ours */

static const struct {
	uint16_t subject, detail;
	enum dsn_advice advice;
} advice[] = {
	{1, 7, ADVICE_SENDER},
	{1, 8, ADVICE_SENDER},
	{1, 10, ADVICE_NO_MAIL},
	{1, 2, ADVICE_NO_DOMAIN},
	{1, ANY, ADVICE_ADDRESS},
	{2, 2, ADVICE_FULL},
	{2, 3, ADVICE_LARGE_FOR_MAILBOX},
	{2, ANY, ADVICE_MAILBOX},
	{3, 4, ADVICE_LARGE},
	{3, ANY, ADVICE_SYSTEM},
	{4, 6, ADVICE_LOOP},
	{4, ANY, ADVICE_NETWORK},
	{5, ANY, ADVICE_PROTOCOL},
	{6, ANY, ADVICE_MEDIA},
	{7, ANY, ADVICE_POLICY},
};

static enum dsn_advice
advice_for(struct enhanced_status status)
{
	for (size_t i = 0; i < sizeof advice / sizeof *advice; i++)
		if (advice[i].subject == status.subject &&
			(advice[i].detail == status.detail || advice[i].detail == ANY))
			return advice[i].advice;
	return ADVICE_GENERAL;
}

/* What the placeholders of a template stand for. */
struct words {
	struct slice host, date, id, count;
};

/* The length of the placeholder at the start of a word, 0 if it is none. */
static size_t
placeholder(struct slice word, const struct words *words, struct slice *ret_value)
{
	const struct {
		struct slice name, value;
	} known[] = {{SLICE("{host}"), words->host}, {SLICE("{date}"), words->date},
		{SLICE("{id}"), words->id}, {SLICE("{count}"), words->count}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (slice_has_prefix(word, known[i].name)) {
			*ret_value = known[i].value;
			return known[i].name.len;
		}
	return 0;
}

/* Word by word, on the present line; what stands right behind a placeholder follows without a
 * space. */
static void
put_template(struct dsn_lines *lines, const char *template, const struct words *words)
{
	struct slice rest = slice_text(template);

	while (rest.len > 0) {
		ssize_t space = slice_find(rest, 0, ' ');
		struct slice word = space < 0 ? rest : slice_sub(rest, 0, (size_t)space), value;
		rest = space < 0 ? slice_of(NULL, 0) : slice_from(rest, (size_t)space + 1);
		size_t len = placeholder(word, words, &value);
		dsn_line_words(lines, len > 0 ? value : word, PARAGRAPH_MAX);
		if (len > 0 && word.len == len + 1)
			dsn_line_text(lines, word.ptr[len] == '.' ? "." : ",");
	}
}

static struct slice
date_words(wall_us at, uint8_t storage[DATE_MAX + 1])
{
	struct buffer date;

	buffer_init_fixed(&date, storage, DATE_MAX + 1);
	date_append(&date, at);
	return buffer_slice(&date);
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
put_summary(struct dsn_lines *lines, const struct dsn *dsn, const struct dsn_texts *texts,
	const struct dsn_tally *tally)
{
	uint8_t storage[DATE_MAX + 1];
	const struct words words = {.host = slice_sub(dsn->hostname, 0, DSN_NAME_MAX),
		.date = date_words(dsn->arrived_at, storage),
		.id = slice_sub(dsn->queue_id, 0, DSN_NAME_MAX)};
	bool is_mixed = tally->of[tally->main] < dsn->recipients.count;

	lines->indent = "";
	put_template(lines, words.id.len > 0 ? texts->head_with_id : texts->head, &words);
	dsn_line_end(lines);
	dsn_line_end(lines);
	put_paragraph(lines, "", is_mixed ? texts->mixed : texts->summaries[tally->main]);
}

static void
put_name(struct dsn_lines *lines, const struct dsn_recipient *recipient,
	const struct dsn_texts *texts, const struct enhanced_status *status)
{
	dsn_line_text(lines, "<");
	dsn_line_address(lines, recipient->address, false);
	dsn_line_text(lines, ">: ");
	dsn_line_text(lines, texts->outcomes[recipient->action]);
	buffer_printf(&lines->line, " (%u.%u.%u)", status->class, status->subject, status->detail);
	dsn_line_end(lines);
	if (recipient->original_address.len == 0 ||
		slice_equal(recipient->original_address, recipient->address))
		return;
	dsn_line_text(lines, "    (");
	dsn_line_text(lines, texts->sent_to);
	dsn_line_text(lines, " <");
	dsn_line_address(lines, recipient->original_address, false);
	dsn_line_text(lines, ">)");
	dsn_line_end(lines);
}

static void
put_reason(struct dsn_lines *lines, const struct dsn_recipient *recipient,
	const struct dsn_texts *texts)
{
	const struct words words = {.host = slice_sub(recipient->remote_mta, 0, DSN_NAME_MAX)};

	if (recipient->diagnostic == DSN_DIAGNOSTIC_NONE || recipient->text.len == 0)
		return;
	lines->indent = "    ";
	dsn_line_text(lines, "   ");
	if (recipient->diagnostic == DSN_DIAGNOSTIC_LOCAL)
		put_template(lines, texts->reason, &words);
	else if (recipient->remote_mta.len > 0)
		put_template(lines, texts->answered, &words);
	else
		put_template(lines, texts->other_answered, &words);
	dsn_line_end(lines);
	lines->indent = "        ";
	dsn_line_text(lines, lines->indent);
	lines->start = lines->line.len;
	dsn_line_words(lines, recipient->text, DSN_DIAGNOSTIC_MAX);
	dsn_line_end(lines);
}

static void
put_time(struct dsn_lines *lines, const char *template, wall_us at)
{
	uint8_t storage[DATE_MAX + 1];
	const struct words words = {.date = date_words(at, storage)};

	lines->indent = "    ";
	dsn_line_text(lines, "   ");
	put_template(lines, template, &words);
	dsn_line_end(lines);
}

static void
put_next_step(struct dsn_lines *lines, const struct dsn_recipient *recipient,
	const struct dsn_texts *texts, const struct enhanced_status *status)
{
	if (recipient->action == DSN_FAILED)
		put_paragraph(lines, "    ", texts->advice[advice_for(*status)]);
	if (recipient->action != DSN_DELAYED)
		return;
	if (recipient->next_attempt_at != 0)
		put_time(lines, texts->next_try, recipient->next_attempt_at);
	if (recipient->will_retry_until != 0)
		put_time(lines, texts->until, recipient->will_retry_until);
}

static void
put_how_many_more(struct dsn_lines *lines, const struct dsn_texts *texts, size_t more)
{
	uint8_t storage[24];
	struct buffer count;

	buffer_init_fixed(&count, storage, sizeof storage);
	buffer_append_number(&count, more);
	const struct words words = {.count = buffer_slice(&count)};
	lines->indent = "";
	dsn_line_end(lines);
	put_template(lines, more == 1 ? texts->more_one : texts->more_many, &words);
	dsn_line_end(lines);
}

enum error
dsn_put_recipients(struct dsn_lines *lines, const struct dsn_recipients *recipients,
	enum dsn_language language)
{
	const struct dsn_texts *texts = dsn_texts_of(language);

	for (size_t i = 0; i < recipients->count && i < DSN_SPELLED_OUT_MAX; i++) {
		struct dsn_recipient recipient = {0};
		enum error error = recipients->get(recipients->context, i, &recipient);
		if (error != OK)
			return error;
		struct enhanced_status status = dsn_status_of(&recipient);
		dsn_line_end(lines);
		put_name(lines, &recipient, texts, &status);
		put_reason(lines, &recipient, texts);
		put_next_step(lines, &recipient, texts, &status);
	}
	if (recipients->count > DSN_SPELLED_OUT_MAX)
		put_how_many_more(lines, texts, recipients->count - DSN_SPELLED_OUT_MAX);
	return OK;
}

static const char *
closing_text(const struct dsn *dsn, const struct dsn_texts *texts)
{
	if (dsn->returns == DSN_RETURN_FULL)
		return texts->with_message;
	if (dsn->header.len == 0)
		return texts->for_programs;
	return dsn->header_is_cut ? texts->with_beginning : texts->with_header;
}

static enum error
put_all(struct dsn_lines *lines, const struct dsn *dsn, enum dsn_language language,
	const struct dsn_tally *tally)
{
	const struct dsn_texts *texts = dsn_texts_of(language);
	struct slice template = dsn_template_of(dsn, language, tally->main);

	if (template.len > 0)
		return dsn_put_template(lines, dsn, tally, template, language);
	put_summary(lines, dsn, texts, tally);
	enum error error = dsn_put_recipients(lines, &dsn->recipients, language);
	if (error != OK)
		return error;
	dsn_line_end(lines);
	put_paragraph(lines, "", closing_text(dsn, texts));
	return OK;
}

enum error
dsn_append_words(struct buffer *buffer, const struct dsn *dsn, const struct dsn_tally *tally)
{
	struct dsn_lines lines;

	dsn_lines_init(&lines, buffer, "");
	lines.is_utf8 = tally->has_utf8_text;
	lines.is_quoted_printable = tally->has_utf8_text;
	for (size_t i = 0; i < dsn->language_count; i++) {
		enum error error = put_all(&lines, dsn, dsn->languages[i], tally);
		if (error != OK)
			return error;
		dsn_line_end(&lines);
		put_paragraph(&lines, "", "* * *");
		dsn_line_end(&lines);
	}
	enum error error = put_all(&lines, dsn, DSN_ENGLISH, tally);
	return error == OK ? buffer_error(buffer) : error;
}
