/*
 * Attributes stand in the order that the grammar has, so that a message has one reading; what
 * extensions may follow is passed over, as RFC 5802 section 5.1 wants.
 */
#include "text/scram.h"

/* Up to the next comma, which is passed over. False: nothing is left. */
static bool
take_field(struct slice *rest, struct slice *ret_field)
{
	if (!rest->ptr)
		return false;
	ssize_t comma = slice_find(*rest, 0, ',');
	*ret_field = comma < 0 ? *rest : slice_sub(*rest, 0, (size_t)comma);
	*rest = comma < 0 ? slice_of(NULL, 0) : slice_from(*rest, (size_t)comma + 1);
	return true;
}

/* The value of the next attribute, which must have this letter. */
static bool
take_value(struct slice *rest, char letter, struct slice *ret_value)
{
	struct slice field;

	if (!take_field(rest, &field) || field.len < 2 || field.ptr[0] != letter ||
		field.ptr[1] != '=')
		return false;
	*ret_value = slice_from(field, 2);
	return ret_value->len > 0;
}

/* printable = %x21-2B / %x2D-7E */
static bool
is_printable(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
			return false;
	return true;
}

/* attr-val = ALPHA "=" value: extensions, whatever they say, but no NUL. */
static bool
are_extensions(struct slice rest)
{
	struct slice field;

	while (take_field(&rest, &field))
		if (field.len < 3 || !ascii_is_alpha(field.ptr[0]) || field.ptr[1] != '=' ||
			slice_find(field, 0, 0) >= 0)
			return false;
	return true;
}

/* gs2-cbind-flag = ("p=" cb-name) / "n" / "y" ; cb-name = 1*(ALPHA / DIGIT / "." / "-") */
static bool
parse_flag(struct slice flag, struct scram_first *first)
{
	if (slice_equal(flag, SLICE("n")) || slice_equal(flag, SLICE("y"))) {
		first->binding = flag.ptr[0] == 'n' ? SCRAM_BINDING_NONE : SCRAM_BINDING_UNUSED;
		return true;
	}
	first->binding = SCRAM_BINDING_USED;
	first->binding_name = slice_from(flag, 2);
	return slice_has_prefix(flag, SLICE("p=")) && first->binding_name.len > 0 &&
	       is_printable(first->binding_name);
}

/* gs2-header = gs2-cbind-flag "," [ "a=" saslname ] "," */
static bool
parse_gs2(struct slice *rest, struct scram_first *first)
{
	struct slice flag, authorization;

	if (!take_field(rest, &flag) || !parse_flag(flag, first) ||
		!take_field(rest, &authorization) || !rest->ptr)
		return false;
	if (authorization.len > 0 && !slice_has_prefix(authorization, SLICE("a=")))
		return false;
	first->authorization = slice_from(authorization, authorization.len > 0 ? 2 : 0);
	first->gs2 = slice_of(flag.ptr, (size_t)(rest->ptr - flag.ptr));
	return true;
}

/* client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions] */
enum error
scram_first_parse(struct slice message, struct scram_first *ret_first)
{
	struct scram_first first = {0};
	struct slice rest = message;

	if (message.len == 0 || message.len > SCRAM_MESSAGE_MAX || !parse_gs2(&rest, &first))
		return ERROR_FORMAT;
	first.bare = rest;
	if (!take_value(&rest, 'n', &first.login) || !take_value(&rest, 'r', &first.nonce) ||
		first.nonce.len > SCRAM_NONCE_MAX || !is_printable(first.nonce) ||
		!are_extensions(rest))
		return ERROR_FORMAT;
	*ret_first = first;
	return OK;
}

/*
 * client-final-message = channel-binding "," nonce ["," extensions] "," proof
 * The proof is the last.
 */
enum error
scram_final_parse(struct slice message, struct scram_final *ret_final)
{
	struct scram_final final = {0};
	struct slice rest;
	size_t at = message.len;

	if (message.len == 0 || message.len > SCRAM_MESSAGE_MAX)
		return ERROR_FORMAT;
	while (at > 0 && message.ptr[at - 1] != ',')
		at--;
	struct slice proof = slice_from(message, at);
	if (!take_value(&proof, 'p', &final.proof) || at == 0)
		return ERROR_FORMAT;
	final.without_proof = rest = slice_sub(message, 0, at - 1);
	if (!take_value(&rest, 'c', &final.binding) || !take_value(&rest, 'r', &final.nonce) ||
		!is_printable(final.nonce) || !are_extensions(rest))
		return ERROR_FORMAT;
	*ret_final = final;
	return OK;
}

/* saslname = 1*(value-safe-char / "=2C" / "=3D") */
enum error
scram_name_decode(struct slice escaped, struct buffer *ret_name)
{
	for (size_t i = 0; i < escaped.len; i++) {
		struct slice rest = slice_from(escaped, i);
		uint8_t octet = escaped.ptr[i];
		if (slice_has_prefix(rest, SLICE("=2C")) || slice_has_prefix(rest, SLICE("=3D"))) {
			octet = rest.ptr[2] == 'C' ? ',' : '=';
			i += 2;
		} else if (octet == '=' || octet == ',' || octet == 0) {
			return ERROR_FORMAT;
		}
		buffer_append_octet(ret_name, octet);
	}
	return buffer_error(ret_name);
}

void
scram_name_append(struct buffer *escaped, struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] == 0)
			escaped->error = ERROR_FORMAT;
		else if (name.ptr[i] == ',')
			buffer_append_text(escaped, "=2C");
		else if (name.ptr[i] == '=')
			buffer_append_text(escaped, "=3D");
		else
			buffer_append_octet(escaped, name.ptr[i]);
}

/*
 * server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]
 * iteration-count      = "i=" posit-number
 */
enum error
scram_challenge_parse(struct slice message, struct scram_challenge *ret_challenge)
{
	struct scram_challenge challenge = {0};
	struct slice rest = message, count;
	uint64_t iterations;

	if (message.len == 0 || message.len > SCRAM_MESSAGE_MAX ||
		!take_value(&rest, 'r', &challenge.nonce) || !is_printable(challenge.nonce) ||
		!take_value(&rest, 's', &challenge.salt) || !take_value(&rest, 'i', &count) ||
		!slice_number(count, UINT32_MAX, &iterations) || !are_extensions(rest))
		return ERROR_FORMAT;
	challenge.iterations = (uint32_t)iterations;
	*ret_challenge = challenge;
	return OK;
}

/* server-final-message = (server-error / verifier) ["," extensions] ; "e=" value, "v=" base64 */
enum error
scram_verdict_parse(struct slice message, struct scram_verdict *ret_verdict)
{
	struct scram_verdict verdict = {0};
	struct slice rest = message;
	bool is_fault = slice_has_prefix(message, SLICE("e="));

	if (message.len == 0 || message.len > SCRAM_MESSAGE_MAX ||
		!take_value(&rest, is_fault ? 'e' : 'v',
			is_fault ? &verdict.fault : &verdict.signature) ||
		!are_extensions(rest))
		return ERROR_FORMAT;
	*ret_verdict = verdict;
	return OK;
}
