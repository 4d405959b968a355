/* What the tests of this folder share: a configuration with all that parsing it needs. */
#ifndef CONF_CONF_TEST_H
#define CONF_CONF_TEST_H

#include "conf/conf.h"

#include <check.h>

/* The least that is accepted. */
#define HOST "hostname a.example\n"

struct fixture {
	struct env env;
	struct arena arena;
	struct conf conf;
	struct conf_problems problems;
	struct buffer out; /* messages, or canonical text */
};

static inline struct fixture *
fixture_new(void)
{
	struct env env;

	env_init_linux(&env);
	struct fixture *fixture = memory_get(env.memory, sizeof *fixture);
	fixture->env = env;
	arena_init(&fixture->arena, env.memory, CONF_ARENA_MAX);
	conf_problems_init(&fixture->problems, env.memory);
	buffer_init(&fixture->out, env.memory, 64u << 20);
	return fixture;
}

static inline void
fixture_free(struct fixture *fixture)
{
	struct env env = fixture->env;

	env_done(&env);
}

/* Parses as "mail.conf" and leaves the messages in `out`. */
static inline enum error
fixture_parse(struct fixture *fixture, struct slice text)
{
	enum error error = conf_parse(&fixture->env, &fixture->arena, SLICE("mail.conf"), text,
		&fixture->conf, &fixture->problems);

	buffer_clear(&fixture->out);
	conf_problems_format(&fixture->problems, &fixture->out);
	return error;
}

/* A text without fault. The caller frees the fixture. */
static inline struct fixture *
parse_fine(const char *text)
{
	struct fixture *fixture = fixture_new();
	enum error error = fixture_parse(fixture, slice_text(text));

	ck_assert_msg(error == OK, "%s\nis not fine: %s", text, buffer_text(&fixture->out));
	ck_assert_uint_eq(fixture->out.len, 0);
	return fixture;
}

/* A text with exactly these messages. */
static inline void
parse_wrong_bytes(struct slice text, const char *messages)
{
	struct fixture *fixture = fixture_new();

	ck_assert_int_eq(fixture_parse(fixture, text), ERROR_FORMAT);
	ck_assert_str_eq(buffer_text(&fixture->out), messages);
	fixture_free(fixture);
}

static inline void
parse_wrong(const char *text, const char *messages)
{
	parse_wrong_bytes(slice_text(text), messages);
}

#endif
