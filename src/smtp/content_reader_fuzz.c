/* The content reader over random cuts against the references; the first octet seeds the cuts. */
#include "smtp/content_reader.h"

#include "smtp/content_reference_test.h"

#include <stdlib.h>

#define LIMIT 1200 /* low, so that inputs of the fuzzer's size reach it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/* A piece's length: mostly small, sometimes large. */
static size_t
next_piece(uint32_t *seed, size_t left)
{
	*seed = *seed * 1664525u + 1013904223u;
	size_t len = *seed >> 30 == 0 ? *seed >> 16 & 1023 : *seed >> 16 & 15;
	return len < left ? len : left;
}

/* The rest of a piece that could not stay where it was, into rooms of random sizes. */
static size_t
copy_rest(struct content_reader *reader, struct slice rest, uint32_t *seed, uint8_t *content,
	size_t *produced)
{
	size_t at = 0;

	while ((at < rest.len || reader->pending_len > 0) && !content_reader_is_done(reader)) {
		size_t room_len = next_piece(seed, 64) + 1;
		uint8_t *room = malloc(room_len);
		require(room != NULL);
		struct content_step step =
			content_reader_copy(reader, rest.ptr + at, rest.len - at, room, room_len);
		require(step.produced <= room_len);
		memcpy(content + *produced, room, step.produced);
		*produced += step.produced;
		at += step.consumed;
		free(room);
	}
	return at;
}

static void
check_normalised(struct slice wire, uint32_t seed, bool is_counted)
{
	struct content_reader reader;
	struct reference reference;
	size_t at = 0, produced = 0;
	uint8_t *expected = malloc(3 * wire.len + 4), *content = malloc(2 * wire.len + 16);

	require(expected && content);
	reference_normalise(&reference, wire, LIMIT, expected, is_counted);
	content_reader_init(&reader, LIMIT, true);
	if (is_counted)
		content_reader_init_counted(&reader, LIMIT, true);
	while (at < wire.len && !content_reader_is_done(&reader)) {
		size_t len = next_piece(&seed, wire.len - at);
		uint8_t *block = malloc(len + 1);
		require(block != NULL);
		memcpy(block, wire.ptr + at, len);
		struct content_step step = content_reader_step(&reader, block, len);
		memcpy(content + produced, block, step.produced);
		produced += step.produced;
		at += step.consumed;
		if (!content_reader_is_done(&reader))
			at += copy_rest(&reader,
				slice_sub(slice_of(block, len), step.consumed, len), &seed, content,
				&produced);
		free(block);
	}
	if (is_counted) {
		content_reader_end(&reader);
		produced += content_reader_copy(
			&reader, NULL, 0, content + produced, 2 * wire.len + 16 - produced)
				    .produced;
	}
	require(content_reader_is_done(&reader) == reference.ended && at == reference.consumed);
	if (reference.ended) {
		require(reader.errors == reference.errors);
		require(reader.flags == reference.flags);
		require(slice_equal(slice_of(content, produced), buffer_slice(&reference.content)));
	}
	free(expected);
	free(content);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct content_reader reader;
	struct reference reference;
	size_t at = 0, produced = 0;

	if (size < 1)
		return 0;
	uint32_t seed = data[0];
	struct slice wire = slice_of(data + 1, size - 1);
	uint8_t *expected = malloc(size), *content = malloc(size);
	require(expected && content);
	reference_read(&reference, wire, LIMIT, expected);
	content_reader_init(&reader, LIMIT, false);
	while (at < wire.len && !content_reader_is_done(&reader)) {
		size_t len = next_piece(&seed, wire.len - at);
		uint8_t *block = malloc(len + 1); /* of its own, so that reads beyond it are seen */
		require(block != NULL);
		memcpy(block, wire.ptr + at, len);
		struct content_step step = content_reader_step(&reader, block, len);
		require(step.produced <= step.consumed &&
			(step.consumed == len || content_reader_is_done(&reader)));
		memcpy(content + produced, block, step.produced);
		produced += step.produced;
		at += step.consumed;
		free(block);
	}
	require(content_reader_is_done(&reader) == reference.ended && at == reference.consumed);
	if (reference.ended) {
		require(reader.errors == reference.errors);
		require(reader.errors != 0 || reader.flags == reference.flags);
		require(reader.errors != 0 ||
			slice_equal(slice_of(content, produced), buffer_slice(&reference.content)));
	}
	free(expected);
	free(content);
	check_normalised(wire, seed, false);
	check_normalised(wire, seed, true);
	return 0;
}
