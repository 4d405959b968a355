/*
 * Adding a set (RFC 8617 section 5.1). Tags stand in the order of their names with one space
 * between them in relaxed form, as sealers commonly write them. A seal over a chain that failed
 * covers its own set alone (section 5.1.2).
 */
#include "mailauth/arc.h"
#include "mailauth/auth_results.h"
#include "text/base64.h"
#include "mailauth/dkim_sign.h"

#define FIELD_MAX      (64u << 10)
#define LINE_NAMES_MAX 700 /* octets of h= that stay on one line */

bool
arc_seal_begin(struct arc_sealing *sealing, struct content *content)
{
	return content_want_hash(content, CANON_RELAXED, CONTENT_NO_LIMIT, &sealing->hash);
}

/* Runs of white space, folds among them, as one space. */
static void
append_unfolded(struct buffer *buffer, struct slice text)
{
	bool has_space = false;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		if (octet == ' ' || octet == '\t' || octet == '\r' || octet == '\n') {
			has_space = true;
			continue;
		}
		if (has_space)
			buffer_append_octet(buffer, ' ');
		has_space = false;
		buffer_append_octet(buffer, octet);
	}
}

static void
note_status(const struct auth_result *result, bool *has_status, enum arc_status *status)
{
	enum arc_status found = ARC_FAIL;

	if (!slice_equal_nocase(result->method, SLICE("arc")))
		return;
	if (slice_equal_nocase(result->result, SLICE("none")))
		found = ARC_NONE;
	else if (slice_equal_nocase(result->result, SLICE("pass")))
		found = ARC_PASS;
	/* Two of them: whoever wrote the second is not to be believed. */
	*status = *has_status ? ARC_FAIL : found;
	*has_status = true;
}

bool
arc_collect_results(const struct content *content, struct slice authserv_id, struct buffer *buffer,
	bool *ret_has_status, enum arc_status *ret_status)
{
	struct content_group group = content_find(content, SLICE("Authentication-Results"));
	struct auth_results results;
	struct auth_result result;
	bool is_first = true;

	*ret_has_status = false;
	for (size_t i = 0; i < group.count; i++) {
		struct slice value = group.fields[i].field.value;
		if (!auth_results_claims(value, authserv_id) || !auth_results_open(value, &results))
			continue;
		while (auth_results_next(&results, &result)) {
			if (result.whole.len == 0)
				continue;
			note_status(&result, ret_has_status, ret_status);
			buffer_append_text(buffer, is_first ? "" : ";\r\n  ");
			append_unfolded(buffer, result.whole);
			is_first = false;
		}
	}
	return !is_first;
}

static void
append_results(struct buffer *text, const struct arc_sealing *sealing, unsigned instance)
{
	buffer_printf(text, "ARC-Authentication-Results: i=%u; ", instance);
	buffer_append(text, sealing->authserv_id);
	buffer_append_text(text, "; ");
	buffer_append(text, sealing->results.len > 0 ? sealing->results : SLICE("none"));
	buffer_append_text(text, "\r\n");
}

/* "d=...; " and the like. */
static void
append_tag(struct buffer *text, const char *name, struct slice value)
{
	buffer_printf(text, " %s=", name);
	buffer_append(text, value);
	buffer_append_octet(text, ';');
}

static void
append_end(struct buffer *text, const struct arc_sealing *sealing, unsigned instance)
{
	buffer_printf(text, "\r\n i=%u;", instance);
	append_tag(text, "s", sealing->selector);
	buffer_printf(text, " t=%lld", (long long)(sealing->now / US_PER_S));
}

/* No fold where most sealers have none; more than a line may have is folded behind a colon. */
static void
append_names(struct buffer *text, struct slice names)
{
	size_t column = 0;

	buffer_append_text(text, "\r\n h=");
	for (size_t i = 0; i < names.len; i++) {
		buffer_append_octet(text, names.ptr[i]);
		if (++column < LINE_NAMES_MAX || names.ptr[i] != ':' || i + 1 == names.len)
			continue;
		buffer_append_text(text, "\r\n ");
		column = 0;
	}
	buffer_append_octet(text, ';');
}

/* What a set under construction has. */
struct seal_work {
	const struct arc_sealing *sealing;
	const struct arc *arc;
	const struct content *content;
	unsigned instance;
	struct dkim_signer signer;
	struct buffer results, message, seal, names, text, scratch;
};

static void
field_of(const struct buffer *buffer, struct header_field *ret_field)
{
	struct header_scanner scanner = header_scanner_of(buffer_slice(buffer));

	*ret_field = (struct header_field){0};
	if (!header_next(&scanner, ret_field))
		*ret_field = (struct header_field){0};
}

static void
choose_names(struct seal_work *work)
{
	const struct content *content = work->content;
	size_t signatures = content_find(content, SLICE("DKIM-Signature")).count;

	if (work->sealing->names.len > 0) {
		buffer_append(&work->names, work->sealing->names);
		return;
	}
	dkim_append_names(&work->names, content, false);
	for (size_t i = 0; i < signatures && i < 8; i++)
		buffer_append_text(&work->names, ":dkim-signature");
}

static enum error
make_message(struct seal_work *work)
{
	const struct arc_sealing *sealing = work->sealing;
	struct buffer *text = &work->text;
	struct header_field above;
	struct sha256 sha256;

	field_of(&work->results, &above);
	choose_names(work);
	buffer_printf(text,
		"ARC-Message-Signature: a=%s;\r\n b=", signature_algorithm_text(work->signer.type));
	size_t hole = text->len;
	buffer_append_text(text, ";\r\n bh=");
	base64_append(text, slice_of(content_hash(work->content, sealing->hash), SHA256_OCTETS));
	buffer_append_text(text, "; c=relaxed/relaxed;");
	append_tag(text, "d", sealing->domain);
	append_names(text, buffer_slice(&work->names));
	append_end(text, sealing, work->instance);
	sha256_init(&sha256);
	signature_feed_names(buffer_slice(&work->names), CANON_RELAXED, work->content, &above,
		&sha256, &work->scratch);
	struct unsigned_field field = {buffer_slice(text), hole, CANON_RELAXED, false};

	return signature_append(&work->message, &field, &work->signer, &sha256, &work->scratch);
}

static enum error
make_seal(struct seal_work *work)
{
	const struct arc_sealing *sealing = work->sealing;
	struct buffer *text = &work->text;
	struct header_field results, message;
	struct slice none = {0};
	struct sha256 sha256;

	buffer_clear(text);
	buffer_printf(text, "ARC-Seal: a=%s;\r\n b=", signature_algorithm_text(work->signer.type));
	size_t hole = text->len;
	buffer_printf(text, ";\r\n cv=%s;", arc_status_text(sealing->cv));
	append_tag(text, "d", sealing->domain);
	append_end(text, sealing, work->instance);
	field_of(&work->results, &results);
	field_of(&work->message, &message);
	sha256_init(&sha256);
	if (sealing->cv == ARC_PASS)
		arc_feed_sets(work->arc, work->arc->count, &sha256, &work->scratch);
	signature_feed_field(&sha256, &work->scratch, CANON_RELAXED, &results, none, true);
	signature_feed_field(&sha256, &work->scratch, CANON_RELAXED, &message, none, true);
	struct unsigned_field field = {buffer_slice(text), hole, CANON_RELAXED, false};

	return signature_append(&work->seal, &field, &work->signer, &sha256, &work->scratch);
}

static enum error
make_set(struct seal_work *work, struct buffer *buffer)
{
	append_results(&work->results, work->sealing, work->instance);
	enum error error = buffer_error(&work->results);
	if (error == OK)
		error = make_message(work);
	if (error == OK)
		error = make_seal(work);
	if (error != OK)
		return error;
	buffer_append(buffer, buffer_slice(&work->seal));
	buffer_append(buffer, buffer_slice(&work->message));
	buffer_append(buffer, buffer_slice(&work->results));
	return buffer_error(buffer);
}

static bool
has_ended(const struct arc *arc)
{
	const struct arc_set *newest = arc->count > 0 ? &arc->sets[arc->count - 1] : NULL;

	return arc->count == ARC_SETS_MAX || (newest && newest->has_seal && newest->cv == ARC_FAIL);
}

static bool
is_sealable(const struct arc_sealing *sealing, const struct arc *arc, const struct content *content)
{
	bool fits = arc->count == 0 ? sealing->cv == ARC_NONE : sealing->cv != ARC_NONE;

	return fits && !content_fault(content) && domain_is_signable(sealing->domain) &&
	       domain_is_signable(sealing->selector) &&
	       (sealing->cv != ARC_PASS || arc->status == ARC_PASS);
}

enum error
arc_seal_append(const struct arc_sealing *sealing, const struct arc *arc,
	const struct content *content, struct memory *memory, struct buffer *buffer)
{
	struct seal_work work = {.sealing = sealing, .arc = arc, .content = content};
	struct buffer *const buffers[] = {
		&work.results, &work.message, &work.seal, &work.names, &work.text};

	if (has_ended(arc))
		return ERROR_EXISTS;
	if (!is_sealable(sealing, arc, content))
		return ERROR_FORMAT;
	work.instance = (unsigned)arc->count + 1;
	work.signer = sealing->elsewhere ? *sealing->elsewhere : dkim_signer_of(sealing->key);
	for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
		buffer_init(buffers[i], memory, FIELD_MAX);
	buffer_init(&work.scratch, memory, 2 * CONTENT_HEADER_MAX);
	enum error error = make_set(&work, buffer);
	for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
		buffer_done(buffers[i]);
	buffer_done(&work.scratch);
	return error;
}
