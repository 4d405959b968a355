/*
 * The list of what is wrong with a configuration. It is bounded in number and in bytes: garbage may
 * be as large as a file can be, and words of it are shown on terminals, so nothing that could steer
 * one gets through.
 */
#include "conf/problem.h"

#define PROBLEM_WORD_MAX   60 /* octets of the file's words shown in a message */
#define PROBLEM_MEMORY_MAX 65536

void
conf_problems_init(struct conf_problems *problems, struct memory *memory)
{
	*problems = (struct conf_problems){0};
	arena_init(&problems->arena, memory, PROBLEM_MEMORY_MAX);
}

void
conf_problems_done(struct conf_problems *problems)
{
	arena_done(&problems->arena);
	*problems = (struct conf_problems){.arena = problems->arena};
}

static bool
place_is_after(struct conf_place a, struct conf_place b)
{
	return a.line != b.line ? a.line > b.line : a.column > b.column;
}

void
problem_add(struct conf_problems *problems, struct conf_place place, struct slice text)
{
	struct slice copy = SLICE("an error; no memory for its description");
	size_t at = problems->count;

	if (problems->count == CONF_PROBLEMS_MAX) {
		problems->more = true;
		return;
	}
	if (!arena_copy(&problems->arena, text, &copy))
		problems->more = true;
	for (; at > 0 && place_is_after(problems->items[at - 1].place, place); at--)
		problems->items[at] = problems->items[at - 1];
	problems->items[at] = (struct conf_problem){.place = place, .text = copy};
	problems->count++;
}

void
problem_append_word(struct buffer *buffer, struct slice word)
{
	struct slice shown = slice_sub(word, 0, PROBLEM_WORD_MAX);

	buffer_append_octet(buffer, '"');
	for (size_t i = 0; i < shown.len; i++) {
		if (shown.ptr[i] >= 0x20 && shown.ptr[i] < 0x7f)
			buffer_append_octet(buffer, shown.ptr[i]);
		else
			buffer_printf(buffer, "\\x%02x", shown.ptr[i]);
	}
	buffer_append_text(buffer, word.len > shown.len ? "...\"" : "\"");
}

void
problem_append_place(struct buffer *buffer, struct slice file, struct conf_place place)
{
	buffer_append(buffer, file);
	if (place.line > 0)
		buffer_printf(buffer, ":%u:%u", place.line, place.column);
}

void
conf_problems_format(const struct conf_problems *problems, struct buffer *buffer)
{
	for (size_t i = 0; i < problems->count; i++) {
		problem_append_place(buffer, problems->file, problems->items[i].place);
		buffer_append_text(buffer, ": ");
		buffer_append(buffer, problems->items[i].text);
		buffer_append_octet(buffer, '\n');
	}
	if (problems->more) {
		buffer_append(buffer, problems->file);
		buffer_append_text(buffer, ": there are more errors\n");
	}
}
