/*
 * Texts that an operator has in place of ours (dsn_texts.h) in the part of a report for people: one
 * for each kind of report and language, UTF-8, a line of the report a line. In them stand
 *
 *   {recipients}  each with what became of it and why, as ours has it; alone on its line
 *   {sender}      whom the report goes to
 *   {hostname}    this server
 *   {id}          of the message in the queue
 *   {date}        when the message came
 *   {reason}      what was said about the first of the recipients
 *   {next_try}    when it is tried again, and
 *   {expires}     until when; both in reports of delay only
 *
 * A line with one of which nothing is known is left out. What a placeholder stands for is written
 * by the rules of dsn.h: it can't start a line of its own, nor hold a control.
 */
#ifndef TEXT_DSN_TEMPLATE_H
#define TEXT_DSN_TEMPLATE_H

#include "text/dsn.h"

#define DSN_TEMPLATE_MAX      16384 /* octets */
#define DSN_TEMPLATE_LINE_MAX 400   /* octets of a line of it */
#define DSN_TEMPLATE_PLACES   16    /* placeholders at most, and on a line: */
#define DSN_TEMPLATE_IN_LINE  3

enum dsn_template { DSN_TEMPLATE_FAILURE, DSN_TEMPLATE_DELAY, DSN_TEMPLATE_SUCCESS, DSN_TEMPLATES };

/* Each has passed dsn_template_check, or is empty: ours. */
struct dsn_templates {
	struct slice texts[DSN_TEMPLATES][DSN_LANGUAGES];
};

/* The name of its file, "failure.en". */
void dsn_template_append_name(
	struct buffer *buffer, enum dsn_template template, enum dsn_language language);
bool dsn_template_parse_name(
	struct slice name, enum dsn_template *ret_template, enum dsn_language *ret_language);

struct dsn_template_fault {
	uint32_t line; /* from 1 */
	const char *what;
};

/* Whether it can be used. */
bool dsn_template_check(struct slice text, struct dsn_template_fault *ret_fault);

#endif
