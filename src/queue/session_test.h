/* A session of the test's: the producing end of a ring, for the tests of the writer and of the
 * queue. */
#ifndef QUEUE_SESSION_TEST_H
#define QUEUE_SESSION_TEST_H

#include "ipc/ring.h"
#include "unit.h"

#define SESSION_BLOCKS  64
#define SESSION_WAIT_MS 5000

struct session {
	struct ring_producer ring;
	int wake_fd;
	uint32_t worker;
};

static inline uint8_t
octet(uint64_t seed, uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) * 17 + seed);
}

static inline void
append(struct session *session, uint32_t *last, uint64_t *at, struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++, (*at)++) {
		if (*at > 0 && *at % RING_BLOCK_BYTES == 0) {
			uint32_t next;
			ck_assert_ok(ring_block_take(&session->ring, &next));
			ring_block_link(&session->ring, *last, next);
			*last = next;
		}
		ring_block_ptr(&session->ring, *last)[*at % RING_BLOCK_BYTES] = bytes.ptr[i];
	}
}

/* Queues a message with these bytes as its envelope, to be published. Blocks are never given back:
 * a test has enough. */
static inline void
submit_raw(struct session *session, uint32_t token, uint64_t content_bytes, struct slice envelope)
{
	struct ring_submission submission = {.token = token, .content_bytes = content_bytes};
	uint64_t at = 0;
	uint32_t last;

	ck_assert_ok(ring_block_take(&session->ring, &last));
	submission.first_block = last;
	while (at < content_bytes) {
		uint8_t next = octet(token, at);
		append(session, &last, &at, slice_of(&next, 1));
	}
	while (at % 8 != 0)
		append(session, &last, &at, SLICE("\0"));
	append(session, &last, &at, envelope);
	submission.envelope_bytes = (uint32_t)envelope.len;
	ring_submit(&session->ring, &submission);
}

/* The next answer; waits for it asleep, as a session does. */
static inline struct ring_completion
answer_of(struct session *session)
{
	struct ring_completion answer;

	for (int i = 0; i < SESSION_WAIT_MS / 10; i++) {
		enum error error = ring_take_completion(&session->ring, &answer);
		if (error == OK)
			return answer;
		ck_assert_int_eq(error, ERROR_AGAIN);
		if (ring_producer_may_sleep(&session->ring))
			session->ring.env->poll->wake_wait(NULL, session->wake_fd, 10 * US_PER_MS);
		ring_producer_woke(&session->ring);
	}
	ck_abort_msg("no answer");
}

#endif
