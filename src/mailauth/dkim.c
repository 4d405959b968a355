/*
 * The signatures of one message (RFC 6376 section 6). Each is judged by itself; what costs a
 * question of the DNS comes last.
 */
#include "mailauth/dkim.h"

void
dkim_begin(struct dkim *ret_dkim, struct content *content)
{
	struct content_group group = content_find(content, SLICE("DKIM-Signature"));
	size_t count = group.count < DKIM_SIGNATURES_MAX ? group.count : DKIM_SIGNATURES_MAX;
	struct arena *arena = content_arena(content);

	*ret_dkim = (struct dkim){.ignored = group.count - count};
	ret_dkim->signatures = arena_take(arena, (count + 1) * sizeof *ret_dkim->signatures);
	if (!ret_dkim->signatures) {
		ret_dkim->result = DKIM_TEMPERROR;
		ret_dkim->reason = "the memory is used up";
		return;
	}
	ret_dkim->count = count;
	for (size_t i = 0; i < count; i++) {
		struct signature *signature = &ret_dkim->signatures[i];
		signature_parse(SIGNATURE_DKIM, &group.fields[i].field, arena, signature);
		signature_want_body(signature, content);
	}
}

static void
check_signature(struct signature *signature, const struct content *content,
	const struct signature_request *request, struct buffer *scratch)
{
	struct sha256 sha256;

	if (!signature_check_body(signature, content, request->now) ||
		!signature_check_once(signature, content))
		return;
	sha256_init(&sha256);
	signature_feed_header(signature, content, &sha256, scratch);
	signature_check_key(signature, request, &sha256);
}

/* The better the more it says: a pass, what may pass later, what does not. */
static unsigned
rank(enum dkim_result result)
{
	static const unsigned ranks[] = {[DKIM_NONE] = 0,
		[DKIM_PERMERROR] = 1,
		[DKIM_NEUTRAL] = 2,
		[DKIM_POLICY] = 3,
		[DKIM_FAIL] = 4,
		[DKIM_TEMPERROR] = 5,
		[DKIM_PASS] = 6};

	return ranks[result];
}

void
dkim_check(struct dkim *dkim, const struct content *content,
	const struct signature_request *request, struct memory *memory)
{
	struct buffer scratch;

	if (content_fault(content)) {
		dkim->result = content_is_out_of_memory(content) ? DKIM_TEMPERROR : DKIM_PERMERROR;
		dkim->reason = content_fault(content);
		dkim->count = 0;
		return;
	}
	buffer_init(&scratch, memory, 2 * CONTENT_HEADER_MAX);
	for (size_t i = 0; i < dkim->count; i++) {
		struct signature *signature = &dkim->signatures[i];
		check_signature(signature, content, request, &scratch);
		if (rank(signature->result) > rank(dkim->result))
			dkim->result = signature->result;
	}
	buffer_done(&scratch);
}
