/*
 * Any bytes as a configuration. What parses prints, parses again and prints the same, for all
 * readers and for each of them; what does not parse has at least one message and no more than the
 * maximum, in printable ASCII.
 */
#include "conf/conf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PRINT_MAX (16u << 20)

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
check_problems(struct env *env, const struct conf_problems *problems)
{
	struct buffer text;

	buffer_init(&text, env->memory, PRINT_MAX);
	conf_problems_format(problems, &text);
	must(buffer_error(&text) == OK && problems->count > 0 &&
		problems->count <= CONF_PROBLEMS_MAX);
	for (size_t i = 0; i < text.len; i++)
		must(text.ptr[i] == '\n' || (text.ptr[i] >= 0x20 && text.ptr[i] < 0x7f));
	for (size_t i = 1; i < problems->count; i++)
		must(problems->items[i - 1].place.line <= problems->items[i].place.line);
}

/* The text of one reader, parsed and printed once more. */
static void
check_round(struct env *env, struct arena *arena, const struct conf *conf, unsigned readers,
	struct conf_problems *problems)
{
	struct buffer first, second;
	struct conf again;

	buffer_init(&first, env->memory, PRINT_MAX);
	buffer_init(&second, env->memory, PRINT_MAX);
	conf_print(conf, readers, &first);
	must(buffer_error(&first) == OK);
	if (readers == CONF_READERS_ALL)
		must(conf_parse(env, arena, SLICE("again"), buffer_slice(&first), &again,
			     problems) == OK);
	else
		must(conf_parse_view(env, arena, readers, buffer_slice(&first), &again, problems) ==
			OK);
	conf_print(&again, readers, &second);
	must(slice_equal(buffer_slice(&first), buffer_slice(&second)));
	buffer_done(&first);
	buffer_done(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct env env;
	struct arena arena;
	struct conf conf;
	struct conf_problems problems;

	env_init_linux(&env);
	arena_init(&arena, env.memory, CONF_ARENA_MAX);
	conf_problems_init(&problems, env.memory);
	enum error error =
		conf_parse(&env, &arena, SLICE("x"), slice_of(data, size), &conf, &problems);
	must(error == OK || error == ERROR_FORMAT);
	if (error == ERROR_FORMAT)
		check_problems(&env, &problems);
	if (error == OK) {
		must(problems.count == 0);
		check_round(&env, &arena, &conf, CONF_READERS_ALL, &problems);
		for (unsigned i = 0; i < CONF_READERS; i++)
			check_round(&env, &arena, &conf, 1u << i, &problems);
	}
	env_done(&env);
	return 0;
}
