/*
 * Verifying a chain (RFC 8617 section 5.2). Its form first, whole: instances from 1 without a gap,
 * each with one field of each kind, and cv= as it must be. Then the newest message signature, then
 * every seal from the newest to the oldest. Whatever is wrong makes the chain fail; a chain is
 * never passed in part.
 */
#include "mailauth/arc.h"

#define SEAL   SLICE("ARC-Seal")
#define SIGNED SLICE("ARC-Message-Signature")
#define KNOWN  SLICE("ARC-Authentication-Results")

const char *
arc_status_text(enum arc_status status)
{
	static const char *const texts[] = {
		[ARC_NONE] = "none", [ARC_PASS] = "pass", [ARC_FAIL] = "fail"};

	return texts[status];
}

static void
fail(struct arc *arc, unsigned instance, const char *reason)
{
	if (arc->status == ARC_FAIL)
		return;
	arc->status = ARC_FAIL;
	arc->instance = instance;
	arc->reason = reason;
}

/* The set of this number, in digits; NULL (and the chain fails) when it is none. */
static struct arc_set *
find_set(struct arc *arc, struct slice digits)
{
	uint64_t number;

	if (!slice_number(digits, ARC_SETS_MAX, &number) || number == 0) {
		fail(arc, 0, "an instance is not a number from 1 to 50");
		return NULL;
	}
	if (number > arc->count)
		arc->count = (size_t)number;
	return &arc->sets[number - 1];
}

static bool
read_cv(struct slice text, enum arc_status *ret_cv)
{
	for (enum arc_status cv = ARC_NONE; cv <= ARC_FAIL; cv++) {
		if (slice_equal_nocase(text, slice_text(arc_status_text(cv)))) {
			*ret_cv = cv;
			return true;
		}
	}
	return false;
}

static void
add_seal(struct arc *arc, const struct header_field *field, struct arena *arena)
{
	struct signature seal;

	signature_parse(SIGNATURE_ARC_SEAL, field, arena, &seal);
	struct arc_set *set = find_set(arc, tag_list_value(&seal.tags, "i"));
	if (!set)
		return;
	unsigned number = (unsigned)(set - arc->sets) + 1;
	if (set->has_seal)
		fail(arc, number, "there are two seals");
	if (tag_list_find(&seal.tags, "h"))
		fail(arc, number, "the seal has h=");
	if (!read_cv(tag_list_value(&seal.tags, "cv"), &set->cv))
		fail(arc, number, "cv= is none of none, pass, fail");
	set->seal = seal;
	set->has_seal = true;
}

static void
add_message(struct arc *arc, const struct header_field *field, struct arena *arena)
{
	struct signature message;

	signature_parse(SIGNATURE_ARC_MESSAGE, field, arena, &message);
	struct arc_set *set = find_set(arc, tag_list_value(&message.tags, "i"));
	if (!set)
		return;
	if (set->has_message)
		fail(arc, (unsigned)(set - arc->sets) + 1, "there are two message signatures");
	set->message = message;
	set->has_message = true;
}

/* i= comes first: arc-info = instance [CFWS] ";" authres-payload */
static struct slice
results_instance(struct slice value)
{
	ssize_t end = slice_find(value, 0, ';'), equals = slice_find(value, 0, '=');
	bool is_good =
		end > 0 && equals > 0 && equals < end &&
		slice_equal_nocase(tag_trim(slice_sub(value, 0, (size_t)equals)), SLICE("i"));

	if (!is_good)
		return (struct slice){0};
	return tag_trim(slice_sub(value, (size_t)equals + 1, (size_t)(end - equals) - 1));
}

static void
add_results(struct arc *arc, const struct header_field *field)
{
	struct arc_set *set = find_set(arc, results_instance(field->value));

	if (!set)
		return;
	if (set->results)
		fail(arc, (unsigned)(set - arc->sets) + 1, "there are two sets of results");
	set->results = field;
}

static void
add_fields(struct arc *arc, struct content *content)
{
	struct content_group seals = content_find(content, SEAL);
	struct content_group messages = content_find(content, SIGNED);
	struct content_group results = content_find(content, KNOWN);
	struct arena *arena = content_arena(content);

	if (seals.count > ARC_SETS_MAX || messages.count > ARC_SETS_MAX ||
		results.count > ARC_SETS_MAX) {
		arc->count = ARC_SETS_MAX;
		fail(arc, 0, "the chain has more than 50 sets");
		return;
	}
	for (size_t i = 0; i < seals.count; i++)
		add_seal(arc, &seals.fields[i].field, arena);
	for (size_t i = 0; i < messages.count; i++)
		add_message(arc, &messages.fields[i].field, arena);
	for (size_t i = 0; i < results.count; i++)
		add_results(arc, &results.fields[i].field);
}

static void
check_form(struct arc *arc)
{
	for (size_t i = 0; i < arc->count; i++) {
		const struct arc_set *set = &arc->sets[i];
		unsigned number = (unsigned)i + 1;
		if (!set->results || !set->has_message || !set->has_seal)
			fail(arc, number, "the set is not whole");
		else if (set->seal.result != DKIM_NONE)
			fail(arc, number, set->seal.reason);
		else if (set->cv == ARC_FAIL)
			fail(arc, number, "the seal says that the chain failed before");
		else if (set->cv != (i == 0 ? ARC_NONE : ARC_PASS))
			fail(arc, number, "cv= is not what it must be there");
	}
}

void
arc_begin(struct arc *ret_arc, struct content *content)
{
	struct arc *arc = ret_arc;

	*arc = (struct arc){
		.sets = arena_take(content_arena(content), ARC_SETS_MAX * sizeof *arc->sets)};
	if (!arc->sets) {
		fail(arc, 0, "the memory is used up");
		arc->is_temporary = true;
		return;
	}
	add_fields(arc, content);
	check_form(arc);
	if (arc->count == 0 || arc->status == ARC_FAIL)
		return;
	struct signature *newest = &arc->sets[arc->count - 1].message;
	signature_want_body(newest, content);
	if (newest->result != DKIM_NONE)
		fail(arc, (unsigned)arc->count, newest->reason);
}

void
arc_feed_sets(const struct arc *arc, size_t count, struct sha256 *sha256, struct buffer *scratch)
{
	struct slice none = {0};

	for (size_t i = 0; i < count; i++) {
		const struct arc_set *set = &arc->sets[i];
		signature_feed_field(sha256, scratch, CANON_RELAXED, set->results, none, true);
		signature_feed_field(
			sha256, scratch, CANON_RELAXED, &set->message.field, none, true);
		signature_feed_field(sha256, scratch, CANON_RELAXED, &set->seal.field, none, true);
	}
}

static void
note_result(struct arc *arc, unsigned instance, const struct signature *signature)
{
	if (signature->result == DKIM_PASS)
		return;
	fail(arc, instance, signature->reason);
	arc->is_temporary = signature->result == DKIM_TEMPERROR;
}

static void
check_message(struct arc *arc, const struct content *content,
	const struct signature_request *request, struct buffer *scratch)
{
	struct signature *message = &arc->sets[arc->count - 1].message;
	struct sha256 sha256;

	if (signature_check_body(message, content, request->now) &&
		signature_check_once(message, content)) {
		sha256_init(&sha256);
		signature_feed_header(message, content, &sha256, scratch);
		signature_check_key(message, request, &sha256);
	}
	note_result(arc, (unsigned)arc->count, message);
}

static void
check_seal(struct arc *arc, size_t index, const struct signature_request *request,
	struct buffer *scratch)
{
	struct arc_set *set = &arc->sets[index];
	struct slice none = {0};
	struct sha256 sha256;

	sha256_init(&sha256);
	arc_feed_sets(arc, index, &sha256, scratch);
	signature_feed_field(&sha256, scratch, CANON_RELAXED, set->results, none, true);
	signature_feed_field(&sha256, scratch, CANON_RELAXED, &set->message.field, none, true);
	signature_feed_field(
		&sha256, scratch, CANON_RELAXED, &set->seal.field, set->seal.hole, false);
	signature_check_key(&set->seal, request, &sha256);
	note_result(arc, (unsigned)index + 1, &set->seal);
}

void
arc_check(struct arc *arc, const struct content *content, const struct signature_request *request,
	struct memory *memory)
{
	struct buffer scratch;

	if (content_fault(content)) {
		fail(arc, 0, content_fault(content));
		arc->is_temporary = content_is_out_of_memory(content);
	}
	if (arc->count == 0 || arc->status == ARC_FAIL)
		return;
	buffer_init(&scratch, memory, 2 * CONTENT_HEADER_MAX);
	check_message(arc, content, request, &scratch);
	for (size_t i = arc->count; i > 0 && arc->status != ARC_FAIL; i--)
		check_seal(arc, i - 1, request, &scratch);
	if (arc->status != ARC_FAIL)
		arc->status = ARC_PASS;
	buffer_done(&scratch);
}
