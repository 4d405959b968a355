/*
 * From names those who wrote it, and readers see no other sender: each address in it must be one
 * that the login may send as. Where somebody passes a message on (Resent-From), that field says who
 * sends, and From may be anybody (RFC 5322 section 3.6.6).
 */
#include "session/submission.h"
#include "mailauth/author.h"

#include "text/date.h"

#define FIELDS_MAX 1024

struct submission {
	struct env *env;
	struct content *content;
	struct buffer fields;
};

static void
header_done(void *arg, struct content *content)
{
	(void)arg; /* no hash is wanted */
	(void)content;
}

struct submission *
submission_new(struct env *env)
{
	struct submission *submission = memory_try(env->memory, sizeof *submission);

	if (!submission)
		return NULL;
	*submission = (struct submission){.env = env};
	buffer_init(&submission->fields, env->memory, FIELDS_MAX);
	submission->content = content_new(env->memory, header_done, submission);
	if (!submission->content)
		submission_free(&submission);
	return submission;
}

void
submission_free(struct submission **pointer)
{
	struct submission *submission = *pointer;

	if (!submission)
		return;
	content_free(&submission->content);
	buffer_done(&submission->fields);
	memory_put(submission->env->memory, submission);
	*pointer = NULL;
}

void
submission_feed(struct submission *submission, struct slice octets)
{
	content_feed(submission->content, octets);
}

static bool
is_his(void *arg, struct slice address)
{
	return session_login_may_send_as(arg, address);
}

/* Half a sentence, or NULL: he may send this. */
static const char *
judge_from(struct content_group from, const struct session_login *login, bool *ret_is_foreign)
{
	bool is_foreign = false;

	*ret_is_foreign = false;
	if (from.count > 1)
		return author_fault_text(AUTHOR_MANY_FROM);
	enum author_fault fault = author_addresses_of_field(
		from.fields[0].field.value, is_his, (void *)(uintptr_t)login, &is_foreign);
	*ret_is_foreign = is_foreign;
	return fault == AUTHOR_OK ? NULL : author_fault_text(fault);
}

static struct smtp_reply
judge_author(const struct content *content, const struct session_login *login)
{
	struct content_group from = content_find(content, SLICE("From"));
	struct content_group resent = content_find(content, SLICE("Resent-From"));
	bool is_foreign;

	if (resent.count > 0) /* that of the last who passed it on stands on top */
		from = (struct content_group){resent.fields, 1};
	if (from.count == 0)
		return (struct smtp_reply){.code = 0};
	const char *fault = judge_from(from, login, &is_foreign);
	if (fault)
		return (struct smtp_reply){550, {5, 6, 0}, slice_text(fault)};
	if (is_foreign)
		return SMTP_REPLY(550, 5, 7, 1, "the sender in From is not yours");
	return (struct smtp_reply){.code = 0};
}

static bool
lacks(const struct content *content, struct slice name)
{
	return content_find(content, name).count == 0;
}

static void
append_message_id(struct submission *submission, const struct session_login *login)
{
	struct slice domain = slice_from(login->login, (size_t)slice_find(login->login, 0, '@'));
	uint64_t random[2];

	env_random(submission->env, random, sizeof random);
	buffer_printf(&submission->fields, "Message-ID: <%016llx%016llx%.*s>\r\n",
		(unsigned long long)random[0], (unsigned long long)random[1], SLICE_ARGS(domain));
}

static void
add_missing(struct submission *submission, const struct session_login *login)
{
	const struct content *content = submission->content;
	struct buffer *fields = &submission->fields;

	if (lacks(content, SLICE("From")))
		buffer_printf(fields, "From: <%.*s>\r\n", SLICE_ARGS(login->login));
	if (lacks(content, SLICE("Date"))) {
		buffer_append_text(fields, "Date: ");
		date_append(fields, env_wall(submission->env));
		buffer_append_text(fields, "\r\n");
	}
	if (lacks(content, SLICE("Message-ID")))
		append_message_id(submission, login);
}

struct smtp_reply
submission_end(
	struct submission *submission, const struct session_login *login, struct slice *ret_fields)
{
	content_end(submission->content);
	if (content_is_out_of_memory(submission->content))
		return SMTP_REPLY(452, 4, 3, 1, "out of memory, try later");
	const char *fault = content_fault(submission->content);
	if (fault)
		return (struct smtp_reply){550, {5, 6, 0}, slice_text(fault)};
	struct smtp_reply refusal = judge_author(submission->content, login);
	if (refusal.code != 0)
		return refusal;
	add_missing(submission, login);
	*ret_fields = buffer_slice(&submission->fields);
	return buffer_error(&submission->fields) == OK
		       ? (struct smtp_reply){.code = 0}
		       : SMTP_REPLY(452, 4, 3, 1, "out of memory, try later");
}
