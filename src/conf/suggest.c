/*
 * Edit distance for "did you mean": the least number of octets inserted, removed, replaced or
 * swapped with their neighbour (optimal string alignment), letters of either case being the same.
 * Words are bounded, so the three rows of the table lie on the stack.
 */
#include "conf/suggest.h"

#define SUGGEST_WORD_MAX 32 /* longer words get no suggestion */

/* A third of the candidate may be wrong, rounded up: 1 of "to", 2 of "spool", 6 of
 * "message_size_limit". */
static size_t
distance_allowed(size_t candidate_len)
{
	return (candidate_len + 2) / 3;
}

static size_t
least(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

static size_t
distance_between(struct slice a, struct slice b)
{
	size_t rows[3][SUGGEST_WORD_MAX + 1] = {0};

	for (size_t j = 0; j <= b.len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i - 1) % 3];
		const size_t *two_above = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			uint8_t x = ascii_lower(a.ptr[i - 1]), y = ascii_lower(b.ptr[j - 1]);
			row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
			bool swapped = i > 1 && j > 1 && x == ascii_lower(b.ptr[j - 2]) &&
				       y == ascii_lower(a.ptr[i - 2]);
			if (swapped && two_above[j - 2] + 1 < row[j])
				row[j] = two_above[j - 2] + 1;
		}
	}
	return rows[a.len % 3][b.len];
}

/* Of two that are as near, the one that begins with what was written: "tl" is "tls", not "to". */
static bool
is_better(const struct suggestion *suggestion, struct slice text, size_t distance)
{
	if (distance != suggestion->distance)
		return distance < suggestion->distance;
	return slice_has_prefix_nocase(text, suggestion->word) &&
	       !slice_has_prefix_nocase(slice_text(suggestion->nearest), suggestion->word);
}

void
suggestion_offer(struct suggestion *suggestion, const char *candidate, const void *tag)
{
	struct slice text = slice_text(candidate);

	if (suggestion->word.len == 0 || suggestion->word.len > SUGGEST_WORD_MAX ||
		text.len > SUGGEST_WORD_MAX)
		return;
	size_t distance = distance_between(suggestion->word, text);
	if (distance > distance_allowed(text.len) || distance >= text.len)
		return;
	if (suggestion->nearest && !is_better(suggestion, text, distance))
		return;
	suggestion->nearest = candidate;
	suggestion->tag = tag;
	suggestion->distance = distance;
}
