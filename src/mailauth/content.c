/*
 * The header is gathered line by line until it ends (as text/header.h sees it), then its fields are
 * sorted by name, so that h= with many names and a header with many fields stay n log n. The body
 * goes through at most two canonical forms, each feeding the hashes that want it.
 */
#include "mailauth/content.h"

#include <stdlib.h>

struct body_hash {
	enum canon canon;
	uint64_t limit, fed;
	struct sha256 sha256;
	uint8_t digest[SHA256_OCTETS];
};

struct content {
	struct memory *memory;
	struct arena arena;
	struct buffer header;
	size_t line_start; /* in the header, of the line under way */
	bool is_header_done, is_out_of_memory;
	const char *fault;
	void (*header_done)(void *arg, struct content *content);
	void *arg;
	struct content_field *fields, *sorted;
	size_t count;
	struct body_hash hashes[CONTENT_HASHES_MAX];
	unsigned hash_count;
	struct canon_body bodies[CANON_COUNT];
	bool is_wanted[CANON_COUNT];
};

static void emit_simple(void *arg, struct slice octets);
static void emit_relaxed(void *arg, struct slice octets);

struct content *
content_new(
	struct memory *memory, void (*header_done)(void *arg, struct content *content), void *arg)
{
	struct content *content = memory_try(memory, sizeof *content);

	if (!content)
		return NULL;
	content->memory = memory;
	content->header_done = header_done;
	content->arg = arg;
	arena_init(&content->arena, memory, CONTENT_ARENA_BYTES);
	buffer_init(&content->header, memory, CONTENT_HEADER_MAX);
	canon_body_init(&content->bodies[CANON_SIMPLE], CANON_SIMPLE, emit_simple, content);
	canon_body_init(&content->bodies[CANON_RELAXED], CANON_RELAXED, emit_relaxed, content);
	return content;
}

void
content_free(struct content **content)
{
	struct content *c = *content;

	if (!c)
		return;
	for (unsigned i = 0; i < c->hash_count; i++)
		sha256_done(&c->hashes[i].sha256);
	buffer_done(&c->header);
	arena_done(&c->arena);
	memory_put(c->memory, c);
	*content = NULL;
}

static void
feed_hashes(struct content *content, enum canon canon, struct slice octets)
{
	for (unsigned i = 0; i < content->hash_count; i++) {
		struct body_hash *hash = &content->hashes[i];
		if (hash->canon != canon || hash->fed >= hash->limit)
			continue;
		uint64_t left = hash->limit - hash->fed;
		struct slice part = slice_sub(octets, 0, left > SIZE_MAX ? SIZE_MAX : (size_t)left);
		sha256_feed(&hash->sha256, part);
		hash->fed += part.len;
	}
}

static void
emit_simple(void *arg, struct slice octets)
{
	feed_hashes(arg, CANON_SIMPLE, octets);
}

static void
emit_relaxed(void *arg, struct slice octets)
{
	feed_hashes(arg, CANON_RELAXED, octets);
}

static void
fail(struct content *content, const char *fault, bool is_out_of_memory)
{
	if (content->fault)
		return;
	content->fault = fault;
	content->is_out_of_memory = is_out_of_memory;
}

static int
compare_nocase(struct slice a, struct slice b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++) {
		int difference = ascii_lower(a.ptr[i]) - ascii_lower(b.ptr[i]);
		if (difference != 0)
			return difference;
	}
	return (a.len > b.len) - (a.len < b.len);
}

static int
compare_fields(const void *a, const void *b)
{
	const struct content_field *x = a, *y = b;
	int order = compare_nocase(x->field.name, y->field.name);

	return order != 0 ? order : (x->position > y->position) - (x->position < y->position);
}

static size_t
count_fields(struct slice header)
{
	struct header_scanner scanner = header_scanner_of(header);
	struct header_field field;
	size_t count = 0;

	while (header_next(&scanner, &field))
		count++;
	return count;
}

/* In front of those that are there. */
static enum error
index_fields(struct content *content, struct slice header)
{
	struct header_scanner scanner = header_scanner_of(header);
	size_t count = count_fields(header), all = count + content->count;
	size_t octets = (all + 1) * sizeof *content->fields;

	if (all > CONTENT_FIELDS_MAX)
		return ERROR_LIMIT;
	struct content_field *fields = arena_take(&content->arena, octets);
	struct content_field *sorted = arena_take(&content->arena, octets);
	if (!fields || !sorted)
		return ERROR_NO_MEMORY;
	for (size_t i = 0; i < count && header_next(&scanner, &fields[i].field);)
		i++;
	if (content->count > 0)
		memcpy(fields + count, content->fields, content->count * sizeof *fields);
	for (size_t i = 0; i < all; i++)
		fields[i].position = (uint32_t)i;
	memcpy(sorted, fields, all * sizeof *fields);
	qsort(sorted, all, sizeof *sorted, compare_fields);
	content->fields = fields;
	content->sorted = sorted;
	content->count = all;
	return OK;
}

static void
index_header(struct content *content)
{
	enum error error = index_fields(content, buffer_slice(&content->header));

	if (error == ERROR_LIMIT)
		fail(content, "the header has more than 10000 fields", false);
	else if (error != OK)
		fail(content, "the memory is used up", true);
}

enum error
content_add_on_top(struct content *content, struct slice fields)
{
	struct slice copy;

	if (!arena_copy(&content->arena, fields, &copy))
		return ERROR_NO_MEMORY;
	return index_fields(content, copy);
}

static void
end_header(struct content *content)
{
	content->is_header_done = true;
	if (!content->fault)
		index_header(content);
	if (!content->fault)
		content->header_done(content->arg, content);
}

/* Whether a line belongs to the header: a field's first one, or a continuation. The scanner decides
 * about the former, so that nobody sees another header than it does. */
static bool
is_header_line(struct slice line, bool is_first)
{
	struct header_scanner scanner = header_scanner_of(line);
	struct header_field field;

	if (!is_first && line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
		return true;
	return header_next(&scanner, &field);
}

/* The line under way is whole. A header that ends in anything but an empty line is read in two
 * ways: some readers take the line for a part of the body, some look for more fields behind it. */
static void
end_line(struct content *content)
{
	struct slice line = slice_from(buffer_slice(&content->header), content->line_start);

	if (is_header_line(line, content->line_start == 0)) {
		content->line_start = content->header.len;
		return;
	}
	if (!slice_equal(line, SLICE("\r\n")) && !slice_equal(line, SLICE("\n")))
		fail(content, "the header does not end in an empty line", false);
	content->header.len = content->line_start;
	end_header(content);
}

static void
feed_body(struct content *content, struct slice octets)
{
	for (unsigned i = 0; i < CANON_COUNT; i++)
		if (content->is_wanted[i])
			canon_body_feed(&content->bodies[i], octets);
}

/* One line or a piece of one; behind it. */
static size_t
feed_header(struct content *content, struct slice octets, size_t at)
{
	ssize_t line_feed = slice_find(octets, at, '\n');
	size_t end = line_feed < 0 ? octets.len : (size_t)line_feed + 1;

	buffer_append(&content->header, slice_sub(octets, at, end - at));
	if (content->header.error != OK) {
		bool is_limit = content->header.error == ERROR_LIMIT;
		fail(content,
			is_limit ? "the header is larger than 1 MiB" : "the memory is used up",
			!is_limit);
	} else if (line_feed >= 0) {
		end_line(content);
	}
	return end;
}

void
content_feed(struct content *content, struct slice octets)
{
	size_t at = 0;

	while (at < octets.len && !content->is_header_done && !content->fault)
		at = feed_header(content, octets, at);
	if (!content->fault)
		feed_body(content, slice_from(octets, at));
}

void
content_end(struct content *content)
{
	if (!content->is_header_done && !content->fault &&
		content->header.len > content->line_start)
		end_line(content);
	if (!content->is_header_done)
		end_header(content);
	for (unsigned i = 0; i < CANON_COUNT; i++)
		canon_body_finish(&content->bodies[i]);
	for (unsigned i = 0; i < content->hash_count; i++)
		if (sha256_finish(&content->hashes[i].sha256, content->hashes[i].digest) != OK)
			fail(content, "the memory is used up", true);
}

const char *
content_fault(const struct content *content)
{
	return content->fault;
}

bool
content_is_out_of_memory(const struct content *content)
{
	return content->is_out_of_memory;
}

struct content_group
content_fields(const struct content *content)
{
	return (struct content_group){content->fields, content->count};
}

/* The first of the sorted fields whose name does not come before this one, or comes behind it. */
static size_t
bound(const struct content *content, struct slice name, bool is_upper)
{
	size_t low = 0, high = content->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_nocase(content->sorted[middle].field.name, name);
		if (order < 0 || (is_upper && order == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct content_group
content_find(const struct content *content, struct slice name)
{
	size_t start = bound(content, name, false), end = bound(content, name, true);

	return (struct content_group){content->sorted + start, end - start};
}

bool
content_want_hash(struct content *content, enum canon canon, uint64_t limit, unsigned *ret_hash)
{
	for (unsigned i = 0; i < content->hash_count; i++) {
		if (content->hashes[i].canon == canon && content->hashes[i].limit == limit) {
			*ret_hash = i;
			return true;
		}
	}
	if (content->hash_count == CONTENT_HASHES_MAX)
		return false;
	struct body_hash *hash = &content->hashes[content->hash_count];
	*hash = (struct body_hash){.canon = canon, .limit = limit};
	sha256_init(&hash->sha256);
	content->is_wanted[canon] = true;
	*ret_hash = content->hash_count++;
	return true;
}

const uint8_t *
content_hash(const struct content *content, unsigned hash)
{
	return content->hashes[hash].digest;
}

uint64_t
content_body_length(const struct content *content, enum canon canon)
{
	return content->bodies[canon].emitted;
}

struct arena *
content_arena(struct content *content)
{
	return &content->arena;
}

uint64_t
content_offset(const struct content *content, struct slice view)
{
	return (uint64_t)(view.ptr - content->header.ptr);
}
