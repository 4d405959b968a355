/* Records added up: what is one row, what is another, which policy a report has, and limits. */
#include "aggregate/collect.h"

#include "virtual_env.h"

static const struct siphash_key hash_key = {{1, 2, 3}};

struct world {
	struct virtual_env *v;
	struct log_sink sink;
	struct arena arena;
	struct collection collection;
};

static struct world *world_of_test; /* for the sink: a test is a process of its own */

static void
sink_write(struct log_sink *sink, struct slice record)
{
	(void)sink;
	collection_take(&world_of_test->collection, record, 0, SLICE(""));
}

static void
world_new(struct world *w, size_t arena_bytes)
{
	w->v = virtual_env_new(0);
	w->sink = (struct log_sink){.write = sink_write};
	w->v->env.log = &w->sink;
	arena_init(&w->arena, w->v->env.memory, arena_bytes);
	ck_assert_ok(collection_init(&w->collection, &w->arena, &hash_key));
	world_of_test = w;
}

static void
world_end(struct world *w)
{
	w->v->env.log = NULL;
	arena_done(&w->arena);
	virtual_env_free(w->v);
}

static void
see(struct world *w, const char *domain, const char *client, const char *policy)
{
	log_event(&w->v->env, LOG_INFO, "dmarc_seen", LOG_STRING("domain", domain),
		LOG_STRING("author", domain), LOG_STRING("client", client),
		LOG_STRING("disposition", "none"), LOG_STRING("dkim", "pass"),
		LOG_STRING("spf", "fail"), LOG_STRING("policy", policy),
		LOG_STRING("spf_scope", "mfrom"), LOG_STRING("spf_result", "softfail"),
		LOG_STRING("spf_domain", "bounce.test"), LOG_STRING("rua", "mailto:a@b.test"),
		LOG_STRING("signatures", "b.test s1 pass,c.test s2 fail"));
}

START_TEST(alike_is_one_row)
{
	struct world w;

	world_new(&w, COLLECT_ARENA_BYTES);
	see(&w, "b.test", "192.0.2.1", "p=none sp=none np=none adkim=r aspf=r t=n");
	see(&w, "B.test", "192.0.2.1", "p=none sp=none np=none adkim=r aspf=r t=n");
	see(&w, "b.test", "192.0.2.1", "p=none sp=none np=none adkim=r aspf=r t=n");
	see(&w, "b.test", "192.0.2.2", "p=reject sp=none np=none adkim=s aspf=r t=y");
	see(&w, "a.test", "192.0.2.2", "p=none sp=none np=none adkim=r aspf=r t=n");
	ck_assert_ok(collection_sort(&w.collection, w.v->env.memory));
	struct collected *first = w.collection.reports, *second = first->next;
	ck_assert_slice_eq(first->report.domain, "a.test");
	ck_assert_uint_eq(first->report.messages, 1);
	ck_assert_ptr_null(second->next);
	ck_assert_uint_eq(second->report.messages, 4);
	ck_assert_uint_eq(second->report.passed, 4);
	ck_assert_uint_eq(second->report.row_count, 3); /* of two authors, as they are written */
	ck_assert_slice_eq(second->report.policy, "reject");
	ck_assert_slice_eq(second->report.absent, "none");
	ck_assert_slice_eq(second->report.dkim_mode, "s");
	ck_assert_slice_eq(second->report.testing, "y");
	ck_assert_slice_eq(second->uris, "mailto:a@b.test");
	ck_assert_uint_eq(second->report.end, second->report.begin + COLLECT_DAY_S - 1);
	world_end(&w);
}
END_TEST

START_TEST(a_row_has_all_results)
{
	struct world w;

	world_new(&w, COLLECT_ARENA_BYTES);
	see(&w, "b.test", "192.0.2.1", "p=none");
	const struct aggregate_row *row = w.collection.reports->report.rows;
	const struct aggregate_result *result = row->results;
	ck_assert_uint_eq(row->result_count, 3);
	ck_assert_slice_eq(row->envelope_from, "bounce.test");
	ck_assert_slice_eq(result->domain, "b.test");
	ck_assert_slice_eq(result->selector, "s1");
	ck_assert_slice_eq(result->result, "pass");
	ck_assert_slice_eq(result->next->domain, "c.test");
	ck_assert(!result->next->next->is_dkim);
	ck_assert_slice_eq(result->next->next->scope, "mfrom");
	ck_assert_slice_eq(result->next->next->result, "softfail");
	world_end(&w);
}
END_TEST

/* What has no room is counted, and what had it stays. */
START_TEST(no_room_is_counted)
{
	struct world w;
	char name[32];
	uint64_t messages = 0, left_out = 0;

	world_new(&w, 1500000);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof name, "d%d.test", i);
		see(&w, name, "192.0.2.1", "p=none");
	}
	for (struct collected *c = w.collection.reports; c; c = c->next) {
		messages += c->report.messages;
		left_out += c->left_out;
	}
	ck_assert_uint_gt(messages, 100);
	ck_assert_uint_gt(w.collection.left_out, 100);
	ck_assert_uint_eq(messages + left_out + w.collection.left_out, 3000);
	world_end(&w);
}
END_TEST

UNIT_MAIN("aggregate/collect", alike_is_one_row, a_row_has_all_results, no_room_is_counted)
