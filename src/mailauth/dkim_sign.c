/*
 * Signing (RFC 6376 section 5). The field is built with an empty b=, read back by the same parser
 * and hashed by the same code as a verifier's, so that one canonical form is all there is.
 */
#include "mailauth/dkim_sign.h"
#include "text/base64.h"

#define FIELD_MAX  (64u << 10)
#define LINE_MAX_H 72 /* octets of a line of h= or b= */

/* What a reader is shown, or a reader's program acts upon. Those that a message has once come first
 * and are signed one time more; what lists add on their way is signed where it is there. */
static const struct {
	struct slice name;
	bool is_once;
} signed_fields[] = {
	{SLICE_INIT("from"), true},
	{SLICE_INIT("to"), true},
	{SLICE_INIT("cc"), true},
	{SLICE_INIT("subject"), true},
	{SLICE_INIT("date"), true},
	{SLICE_INIT("message-id"), true},
	{SLICE_INIT("reply-to"), true},
	{SLICE_INIT("in-reply-to"), true},
	{SLICE_INIT("references"), true},
	{SLICE_INIT("mime-version"), true},
	{SLICE_INIT("content-type"), true},
	{SLICE_INIT("content-transfer-encoding"), true},
	{SLICE_INIT("sender"), false},
	{SLICE_INIT("list-id"), false},
	{SLICE_INIT("list-unsubscribe"), false},
	{SLICE_INIT("list-unsubscribe-post"), false},
	{SLICE_INIT("resent-from"), false},
	{SLICE_INIT("resent-to"), false},
	{SLICE_INIT("resent-date"), false},
	{SLICE_INIT("tls-required"), false},
};

static void
append_name(struct buffer *buffer, struct slice name, bool *is_first)
{
	if (!*is_first)
		buffer_append_octet(buffer, ':');
	*is_first = false;
	buffer_append(buffer, name);
}

void
dkim_append_names(struct buffer *buffer, const struct content *content, bool oversigns)
{
	bool is_first = true;

	for (size_t i = 0; i < sizeof signed_fields / sizeof *signed_fields; i++) {
		struct slice name = signed_fields[i].name;
		size_t count = content_find(content, name).count;
		/* More would not fit into what verifiers take: then the topmost are free. */
		if (count > 8)
			count = 8;
		if (oversigns && signed_fields[i].is_once)
			count++;
		for (; count > 0; count--)
			append_name(buffer, name, &is_first);
	}
}

enum error
dkim_key_load(struct secret pem, struct key **ret_key, const char **ret_why)
{
	struct key *key = NULL;
	enum error error = key_from_pem(pem, &key);

	if (error == OK && key_type(key) == KEY_RSA && key_bits(key) < DKIM_RSA_BITS_MIN)
		error = ERROR_UNSUPPORTED;
	if (error == OK) {
		*ret_key = key;
		return OK;
	}
	key_free(&key);
	*ret_why = error == ERROR_UNSUPPORTED ? "it is neither RSA of 2048 to 4096 bits nor Ed25519"
		   : error == ERROR_FORMAT    ? "it is no private key in PEM without a passphrase"
					      : error_text(error);
	return error;
}

static enum error
sign_here(void *arg, const uint8_t digest[SHA256_OCTETS], uint8_t signature[SIGNATURE_OCTETS],
	size_t *ret_len)
{
	return key_sign(arg, digest, signature, ret_len);
}

struct dkim_signer
dkim_signer_of(const struct key *key)
{
	return (struct dkim_signer){key_type(key), sign_here, (void *)(uintptr_t)key};
}

const char *
signature_algorithm_text(enum key_type type)
{
	return type == KEY_RSA ? "rsa-sha256" : "ed25519-sha256";
}

bool
dkim_sign_begin(struct dkim_signing *signing, struct content *content)
{
	return content_want_hash(content, signing->body_canon, CONTENT_NO_LIMIT, &signing->hash);
}

/* In lines: white space between the items of h=, and anywhere in b=, is nothing. */
static void
append_folded(struct buffer *buffer, struct slice text, uint8_t stop)
{
	size_t column = 4;

	for (size_t i = 0; i < text.len; i++) {
		buffer_append_octet(buffer, text.ptr[i]);
		column++;
		bool may_break = stop == 0 || text.ptr[i] == stop;
		if (column < LINE_MAX_H || !may_break || i + 1 == text.len)
			continue;
		buffer_append_text(buffer, "\r\n ");
		column = 1;
	}
}

static enum error
append_value(struct buffer *buffer, const struct dkim_signer *signer, const uint8_t *digest,
	bool is_folded)
{
	uint8_t value[SIGNATURE_OCTETS], storage[SIGNATURE_OCTETS * 2];
	struct buffer text;
	size_t len;
	enum error error = signer->sign(signer->arg, digest, value, &len);

	if (error != OK)
		return error;
	buffer_init_fixed(&text, storage, sizeof storage);
	base64_append(&text, slice_of(value, len));
	if (is_folded)
		append_folded(buffer, buffer_slice(&text), 0);
	else
		buffer_append(buffer, buffer_slice(&text));
	return buffer_error(&text);
}

enum error
signature_append(struct buffer *buffer, const struct unsigned_field *field,
	const struct dkim_signer *signer, struct sha256 *sha256, struct buffer *scratch)
{
	struct header_scanner scanner = header_scanner_of(field->text);
	struct header_field read;
	uint8_t digest[SHA256_OCTETS];

	if (!header_next(&scanner, &read)) {
		sha256_done(sha256);
		return ERROR_FORMAT;
	}
	signature_feed_field(sha256, scratch, field->canon, &read, (struct slice){0}, false);
	enum error error = sha256_finish(sha256, digest);
	if (error != OK)
		return error;
	buffer_append(buffer, slice_sub(field->text, 0, field->hole));
	error = append_value(buffer, signer, digest, field->is_folded);
	buffer_append(buffer, slice_from(field->text, field->hole));
	buffer_append_text(buffer, "\r\n");
	return error != OK ? error : buffer_error(buffer);
}

/* All tags, b= last and empty. */
static void
append_tags(struct buffer *text, const struct dkim_signing *signing, enum key_type type,
	const struct content *content, struct slice names)
{
	buffer_printf(text,
		"DKIM-Signature: v=1; a=%s; c=%s/%s;\r\n d=", signature_algorithm_text(type),
		canon_text(signing->header_canon), canon_text(signing->body_canon));
	buffer_append(text, signing->domain);
	buffer_append_text(text, "; s=");
	buffer_append(text, signing->selector);
	buffer_printf(text, "; t=%lld;\r\n h=", (long long)(signing->now / US_PER_S));
	append_folded(text, names, ':');
	buffer_append_text(text, ";\r\n bh=");
	base64_append(text, slice_of(content_hash(content, signing->hash), SHA256_OCTETS));
	buffer_append_text(text, ";\r\n b=");
}

static enum error
append_signed(const struct dkim_signing *signing, const struct content *content,
	struct buffer *names, struct buffer *text, struct buffer *scratch, struct buffer *buffer)
{
	struct dkim_signer signer =
		signing->key ? dkim_signer_of(signing->key) : *signing->elsewhere;
	struct sha256 sha256;

	if (signing->names.len > 0)
		buffer_append(names, signing->names);
	else
		dkim_append_names(names, content, true);
	append_tags(text, signing, signer.type, content, buffer_slice(names));
	if (names->error != OK || text->error != OK)
		return ERROR_LIMIT;
	sha256_init(&sha256);
	signature_feed_names(
		buffer_slice(names), signing->header_canon, content, NULL, &sha256, scratch);
	struct unsigned_field field = {buffer_slice(text), text->len, signing->header_canon, true};
	return signature_append(buffer, &field, &signer, &sha256, scratch);
}

enum error
dkim_sign_append(const struct dkim_signing *signing, const struct content *content,
	struct memory *memory, struct buffer *buffer)
{
	struct buffer names, text, scratch;

	if (content_fault(content) || content_find(content, SLICE("From")).count != 1 ||
		!domain_is_signable(signing->domain) || !domain_is_signable(signing->selector))
		return ERROR_FORMAT;
	buffer_init(&names, memory, FIELD_MAX);
	buffer_init(&text, memory, FIELD_MAX);
	buffer_init(&scratch, memory, 2 * CONTENT_HEADER_MAX);
	enum error error = append_signed(signing, content, &names, &text, &scratch, buffer);
	buffer_done(&scratch);
	buffer_done(&text);
	buffer_done(&names);
	return error;
}

void
key_record_append(struct buffer *buffer, const struct key *key, struct memory *memory)
{
	struct buffer octets;

	buffer_init(&octets, memory, 2 * SIGNATURE_OCTETS);
	key_append_public(&octets, key);
	buffer_printf(buffer, "v=DKIM1; k=%s; p=", key_type(key) == KEY_RSA ? "rsa" : "ed25519");
	base64_append(buffer, buffer_slice(&octets));
	if (octets.error != OK && buffer->error == OK)
		buffer->error = octets.error;
	buffer_done(&octets);
}
