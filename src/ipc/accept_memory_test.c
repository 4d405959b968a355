#include "ipc/accept_memory.h"

#include "unit.h"

struct fixture {
	struct memory *memory;
	struct accept_memory store;
	const struct accept_store_ops *ops;
	struct acceptance *acceptance;
	struct envelope_recipient recipient;
	struct envelope envelope;
};

static void
fixture_init(struct fixture *fixture)
{
	*fixture = (struct fixture){.memory = memory_new(0)};
	accept_memory_init(&fixture->store, fixture->memory, 10);
	fixture->ops = fixture->store.store.ops;
	fixture->recipient.address = SLICE("user@here.test");
	fixture->envelope = (struct envelope){
		.reverse_path = SLICE("a@b.test"),
		.recipients = &fixture->recipient,
		.recipient_count = 1,
		.trace = SLICE("X: 0000000000000\r\n"),
		.trace_id_at = 3,
	};
}

static void
fixture_done(struct fixture *fixture)
{
	ck_assert_uint_eq(fixture->store.open, 0);
	accept_memory_done(&fixture->store);
	ck_assert_uint_eq(memory_used(fixture->memory), 0);
	memory_free(&fixture->memory);
}

static void
begin(struct fixture *fixture)
{
	ck_assert_ok(fixture->ops->begin(&fixture->store.store, 0, &fixture->acceptance));
}

static enum error
add(struct fixture *fixture, struct slice bytes)
{
	uint8_t *room;
	size_t len;
	enum error error = fixture->ops->room(fixture->acceptance, 0, &room, &len);

	if (error != OK)
		return error;
	ck_assert_uint_ge(len, bytes.len);
	memcpy(room, bytes.ptr, bytes.len);
	fixture->ops->fill(fixture->acceptance, bytes.len);
	return OK;
}

START_TEST(messages_are_kept)
{
	struct fixture fixture;
	uint64_t id = 0;

	fixture_init(&fixture);
	begin(&fixture);
	ck_assert_ok(add(&fixture, SLICE("one")));
	ck_assert_ok(add(&fixture, SLICE("")));
	ck_assert_ok(add(&fixture, SLICE("two")));
	ck_assert_int_eq(
		fixture.ops->commit(fixture.acceptance, &fixture.envelope, 0, &id), ACCEPT_DURABLE);
	const struct accept_memory_message *message = accept_memory_message(&fixture.store, 0);
	ck_assert_uint_eq(message->envelope.id, id);
	ck_assert_slice_eq(buffer_slice(&message->content), "onetwo");
	ck_assert_slice_eq(message->envelope.trace, "X: 0000000000001\r\n");
	ck_assert_slice_eq(message->envelope.recipients[0].address, "user@here.test");
	ck_assert_ptr_ne(
		message->envelope.recipients[0].address.ptr, fixture.recipient.address.ptr);
	ck_assert_ptr_null(accept_memory_message(&fixture.store, 1));
	fixture_done(&fixture);
}
END_TEST

START_TEST(aborted_messages_are_gone)
{
	struct fixture fixture;

	fixture_init(&fixture);
	fixture.ops->abort(NULL);
	begin(&fixture);
	ck_assert_ok(add(&fixture, SLICE("one")));
	fixture.ops->abort(fixture.acceptance);
	ck_assert_ptr_null(accept_memory_message(&fixture.store, 0));
	ck_assert_uint_eq(fixture.store.aborts, 1);
	fixture_done(&fixture);
}
END_TEST

START_TEST(space_runs_out)
{
	struct fixture fixture;
	uint64_t id = 77;

	fixture_init(&fixture);
	begin(&fixture);
	ck_assert_ok(add(&fixture, SLICE("0123456789")));
	ck_assert_ok(add(&fixture, SLICE("x")));
	ck_assert_int_eq(add(&fixture, SLICE("y")), ERROR_NO_SPACE);
	ck_assert_int_eq(fixture.ops->commit(fixture.acceptance, &fixture.envelope, 0, &id),
		ACCEPT_NO_SPACE);
	ck_assert_uint_eq(id, 77);
	fixture_done(&fixture);
}
END_TEST

START_TEST(faults_come_where_ordered)
{
	struct fixture fixture;
	uint64_t id = 77;

	fixture_init(&fixture);
	fixture.store.faults = (struct accept_memory_faults){.begin_at = 2,
		.begin_error = ERROR_CLOSED,
		.room_at = 2,
		.room_error = ERROR_TIMEOUT,
		.commit_at = 1,
		.commit_outcome = ACCEPT_UNKNOWN,
		.room_bytes = 1};
	begin(&fixture);
	ck_assert_ok(add(&fixture, SLICE("a")));
	ck_assert_int_eq(add(&fixture, SLICE("b")), ERROR_TIMEOUT);
	ck_assert_ok(add(&fixture, SLICE("c")));
	ck_assert_int_eq(
		fixture.ops->commit(fixture.acceptance, &fixture.envelope, 0, &id), ACCEPT_UNKNOWN);
	ck_assert_uint_eq(id, 77);
	ck_assert_slice_eq(buffer_slice(&accept_memory_message(&fixture.store, 0)->content), "ac");
	ck_assert_int_eq(
		fixture.ops->begin(&fixture.store.store, 0, &fixture.acceptance), ERROR_CLOSED);
	fixture_done(&fixture);
}
END_TEST

UNIT_MAIN("ipc/accept_memory", messages_are_kept, aborted_messages_are_gone, space_runs_out,
	faults_come_where_ordered)
