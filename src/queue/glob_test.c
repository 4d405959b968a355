/* Patterns of the operator. */
#include "queue/glob.h"
#include "unit.h"

START_TEST(patterns_match)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} cases[] = {{"", "a@b", true}, {"", "", true}, {"<>", "", true}, {"<>", "a@b", false},
		{"a@b", "A@B", true}, {"a@b", "a@bc", false}, {"b.test", "x@b.test", true},
		{"B.TEST", "\"x@y\"@b.test", true}, {"test", "x@b.test", false}, {"*", "", true},
		{"*", "anything", true}, {"*@b.test", "a@b.test", true}, {"a*", "a@b.test", true},
		{"b*", "a@b.test", false}, {"*b*", "a@b.test", true}, {"a*b*c", "aXbYbZc", true},
		{"a*b*c", "aXbYbZ", false}, {"**", "x", true}, {"mx b.test", "mx b.test", true},
		{"mx *", "mx b.test", true}, {"x", "", false}, {"*x", "", false},
		{"a?c", "abc", false}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (glob_matches(slice_text(cases[i].pattern), slice_text(cases[i].text)) !=
			cases[i].matches)
			ck_abort_msg("%s against %s", cases[i].pattern, cases[i].text);
}
END_TEST

/* What would take for ever with a search that goes back to each star. */
START_TEST(stars_take_bounded_time)
{
	char pattern[200], text[1000];

	for (size_t i = 0; i < sizeof pattern; i++)
		pattern[i] = i % 2 ? 'a' : '*';
	memset(text, 'a', sizeof text);
	pattern[sizeof pattern - 1] = 'b';
	ck_assert(!glob_matches(slice_of(pattern, sizeof pattern), slice_of(text, sizeof text)));
	text[sizeof text - 1] = 'b';
	ck_assert(glob_matches(slice_of(pattern, sizeof pattern), slice_of(text, sizeof text)));
}
END_TEST

UNIT_MAIN("queue/glob", patterns_match, stars_take_bounded_time)
