/*
 * From names those who wrote it, and readers see no other sender: each address in it must be one
 * that the login may send as. Where somebody passes a message on (Resent-From), that field says who
 * sends, and From may be anybody (RFC 5322 section 3.6.6).
 */
#include "session/submission.h"
#include "mailauth/author.h"

#include "text/date.h"

#define FIELDS_MAX 1024
#define HIDDEN_MAX 16 /* fields of Bcc and Resent-Bcc; RFC 5322 allows one each */

struct submission {
	struct env *env;
	struct content *content;
	struct buffer fields;
	struct smtp_overwrite hidden[HIDDEN_MAX];
	size_t hidden_count;
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

/* Between the colon and the line end. */
static struct slice
body_of(const struct header_field *field)
{
	ssize_t colon = slice_find(field->whole, 0, ':');
	struct slice body = slice_from(field->whole, (size_t)colon + 1);

	while (body.len > 0 && (body.ptr[body.len - 1] == '\n' || body.ptr[body.len - 1] == '\r'))
		body.len--;
	return body;
}

/* Line ends, and the white space that makes a line go on, stay where they are. */
static bool
may_change(struct slice body, size_t at)
{
	uint8_t octet = body.ptr[at];

	return octet != '\r' && octet != '\n' && (at == 0 || body.ptr[at - 1] != '\n');
}

/* A comment as long as what it hides: a field without addresses (RFC 5322 section 3.6.3). */
static void
hide(struct slice body, uint8_t *copy)
{
	size_t first = body.len, last = 0;

	memcpy(copy, body.ptr, body.len);
	for (size_t i = 0; i < body.len; i++) {
		if (!may_change(body, i))
			continue;
		copy[i] = '.';
		first = first < i ? first : i;
		last = i;
	}
	if (first < last) {
		copy[first] = '(';
		copy[last] = ')';
	} else if (first == last) {
		copy[first] = ' ';
	}
}

/* ERROR_NO_MEMORY; ERROR_LIMIT: there are too many. */
static enum error
hide_fields(struct submission *submission, struct slice name, struct smtp_verdict *verdict)
{
	struct content_group group = content_find(submission->content, name);

	for (size_t i = 0; i < group.count; i++) {
		struct slice body = body_of(&group.fields[i].field);
		uint8_t *copy = arena_take(content_arena(submission->content), body.len + 1);
		if (!copy || submission->hidden_count == HIDDEN_MAX)
			return copy ? ERROR_LIMIT : ERROR_NO_MEMORY;
		if (body.len == 0)
			continue;
		hide(body, copy);
		submission->hidden[submission->hidden_count++] = (struct smtp_overwrite){
			content_offset(submission->content, body), slice_of(copy, body.len)};
	}
	verdict->overwrites = submission->hidden;
	verdict->overwrite_count = submission->hidden_count;
	return OK;
}

/* What may be sent gets what it lacks, and loses what nobody shall see. */
static enum error
complete(struct submission *submission, const struct session_login *login,
	struct smtp_verdict *ret_verdict)
{
	add_missing(submission, login);
	ret_verdict->added = buffer_slice(&submission->fields);
	enum error error = buffer_error(&submission->fields);
	if (error == OK)
		error = hide_fields(submission, SLICE("Bcc"), ret_verdict);
	if (error == OK)
		error = hide_fields(submission, SLICE("Resent-Bcc"), ret_verdict);
	return error;
}

void
submission_end(struct submission *submission, const struct session_login *login,
	struct smtp_verdict *ret_verdict)
{
	static const struct smtp_reply no_memory = {
		452, {4, 3, 1}, SLICE_INIT("out of memory, try later")};

	content_end(submission->content);
	const char *fault = content_fault(submission->content);
	if (content_is_out_of_memory(submission->content))
		ret_verdict->refusal = no_memory;
	else if (fault)
		ret_verdict->refusal = (struct smtp_reply){550, {5, 6, 0}, slice_text(fault)};
	else
		ret_verdict->refusal = judge_author(submission->content, login);
	if (ret_verdict->refusal.code != 0)
		return;
	enum error error = complete(submission, login, ret_verdict);
	if (error == ERROR_LIMIT)
		ret_verdict->refusal =
			SMTP_REPLY(550, 5, 6, 0, "there are more than 16 Bcc fields");
	else if (error != OK)
		ret_verdict->refusal = no_memory;
}
