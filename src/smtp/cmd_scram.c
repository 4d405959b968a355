/*
 * SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677) behind AUTH: the client proves that it knows the
 * password, and the server that it has the verifier; no password comes here. The channel is judged
 * in this process, which has it; login and proof are judged by who keeps the verifiers.
 */
#include "base/buffer.h"
#include "smtp/auth_private.h"
#include "text/base64.h"
#include "text/scram.h"

#define CHALLENGE_MAX 512
#define PROOF_MAX     64 /* octets of base64; 44 are right */
#define BINDING_MAX   256

struct exchange {
	struct smtp_server *server;
	bool plus;
	struct scram_first first; /* of the octets below */
	uint8_t octets[SCRAM_MESSAGE_MAX];
	uint8_t login[SASL_LOGIN_MAX];
	size_t login_len;
	uint8_t binding[BINDING_MAX]; /* what c= must say */
	size_t binding_len;
	struct buffer challenge;
	struct buffer message;
	uint8_t challenge_octets[CHALLENGE_MAX];
	uint8_t message_octets[2 * SCRAM_MESSAGE_MAX + CHALLENGE_MAX + 2];
};

static bool
refuse(struct smtp_server *server, const struct smtp_reply *reply)
{
	smtp_server_reply(server, reply);
	return false;
}

/* The login in plain; nobody acts for another here. */
static bool
take_login(struct exchange *exchange)
{
	struct buffer login, other;
	uint8_t storage[SASL_LOGIN_MAX];

	buffer_init_fixed(&login, exchange->login, sizeof exchange->login);
	buffer_init_fixed(&other, storage, sizeof storage);
	if (scram_name_decode(exchange->first.login, &login) != OK ||
		scram_name_decode(exchange->first.authorization, &other) != OK) {
		smtp_auth_malformed(exchange->server);
		return false;
	}
	exchange->login_len = login.len;
	if (other.len > 0 && !slice_equal_nocase(buffer_slice(&other), buffer_slice(&login)))
		return refuse(exchange->server,
			&SMTP_REPLY(535, 5, 7, 8, "nobody may log in on behalf of another"));
	return true;
}

/*
 * What c= must be: the header again, and the binding's octets behind it. A client that could bind
 * and was led to think that this server can't is told no: somebody is in between (RFC 5802 section
 * 6).
 */
static bool
take_binding(struct exchange *exchange)
{
	const struct scram_first *first = &exchange->first;
	struct smtp_server *server = exchange->server;
	uint8_t storage[BINDING_MAX];
	struct buffer octets, text;

	buffer_init_fixed(&octets, storage, sizeof storage);
	buffer_append(&octets, first->gs2);
	if (exchange->plus != (first->binding == SCRAM_BINDING_USED)) {
		smtp_auth_malformed(server);
		return false;
	}
	if (first->binding == SCRAM_BINDING_UNUSED)
		return refuse(server,
			&SMTP_REPLY(535, 5, 7, 8, "SCRAM-SHA-256-PLUS was offered: who hid it?"));
	if (exchange->plus &&
		server->ops->channel_binding(server->arg, first->binding_name, &octets) != OK)
		return refuse(server, &SMTP_REPLY(501, 5, 5, 4, "no channel binding of this name"));
	buffer_init_fixed(&text, exchange->binding, sizeof exchange->binding);
	base64_append(&text, buffer_slice(&octets));
	exchange->binding_len = text.len;
	if (buffer_error(&octets) == OK && buffer_error(&text) == OK)
		return true;
	smtp_auth_malformed(server);
	return false;
}

/* The first message stays: the second one is read where it came. */
static bool
take_first(struct exchange *exchange, struct slice message)
{
	if (message.len <= sizeof exchange->octets && message.len > 0) {
		memcpy(exchange->octets, message.ptr, message.len);
		if (scram_first_parse(slice_of(exchange->octets, message.len), &exchange->first) ==
			OK)
			return take_login(exchange) && take_binding(exchange);
	}
	smtp_auth_malformed(exchange->server);
	return false;
}

/* "r=" nonce, as in the challenge. */
static bool
is_nonce_of(const struct exchange *exchange, struct slice nonce)
{
	struct slice challenge = slice_from(buffer_slice(&exchange->challenge), 2);
	ssize_t comma = slice_find(challenge, 0, ',');

	return comma >= 0 && slice_equal(slice_sub(challenge, 0, (size_t)comma), nonce);
}

/* May wait. */
static enum error
prove(struct exchange *exchange, const struct scram_final *final, struct slice proof,
	uint8_t signature[SMTP_SCRAM_SIGNATURE])
{
	struct smtp_server *server = exchange->server;
	struct buffer *message = &exchange->message;

	buffer_append(message, exchange->first.bare);
	buffer_append_octet(message, ',');
	buffer_append(message, buffer_slice(&exchange->challenge));
	buffer_append_octet(message, ',');
	buffer_append(message, final->without_proof);
	struct smtp_scram_proof said = {.login = slice_of(exchange->login, exchange->login_len),
		.nonce = final->nonce,
		.message = buffer_slice(message),
		.proof = secret_of(proof)};
	return buffer_error(message) == OK ? server->ops->scram_prove(server->arg, server, &said,
						     smtp_auth_deadline(server), signature)
					   : ERROR_FORMAT;
}

/* May wait: the server's proof. Whoever does not take it is not known. */
static void
prove_ourselves(struct smtp_server *server, const uint8_t signature[SMTP_SCRAM_SIGNATURE])
{
	uint8_t message_octets[64], text_octets[96];
	struct buffer message, text;
	struct slice response, login = server->login;

	buffer_init_fixed(&message, message_octets, sizeof message_octets);
	buffer_init_fixed(&text, text_octets, sizeof text_octets);
	buffer_append_text(&message, "v=");
	base64_append(&message, slice_of(signature, SMTP_SCRAM_SIGNATURE));
	base64_append(&text, buffer_slice(&message));
	server->login = SLICE("");
	if (!smtp_auth_ask(server, buffer_slice(&text), &response))
		return;
	if (response.len > 0) {
		smtp_auth_malformed(server);
		return;
	}
	server->login = login;
	smtp_auth_conclude(server, OK);
}

/* May wait: the second message. */
static void
end(struct exchange *exchange, struct slice message)
{
	struct smtp_server *server = exchange->server;
	uint8_t proof_octets[PROOF_MAX], signature[SMTP_SCRAM_SIGNATURE];
	struct scram_final final;
	struct slice proof;

	if (scram_final_parse(message, &final) != OK || final.proof.len > sizeof proof_octets ||
		!is_nonce_of(exchange, final.nonce)) {
		smtp_auth_malformed(server);
		return;
	}
	memcpy(proof_octets, final.proof.ptr, final.proof.len);
	if (sasl_decode(proof_octets, final.proof.len, &proof) != OK ||
		proof.len != SMTP_SCRAM_SIGNATURE) {
		smtp_auth_malformed(server);
		return;
	}
	enum error error = ERROR_DENIED; /* it is another connection's */
	if (slice_equal(final.binding, slice_of(exchange->binding, exchange->binding_len)))
		error = prove(exchange, &final, proof, signature);
	memory_wipe(proof_octets, sizeof proof_octets);
	if (error == OK)
		prove_ourselves(server, signature);
	else
		smtp_auth_conclude(server, error);
}

/* May wait. */
static void
run(struct exchange *exchange, struct slice initial, bool has_initial)
{
	struct smtp_server *server = exchange->server;
	uint8_t text_octets[CHALLENGE_MAX / 3 * 4 + 4];
	struct buffer text;
	struct slice message;

	if (!(has_initial ? smtp_auth_decode(server, initial, &message)
			  : smtp_auth_ask(server, SLICE(""), &message)) ||
		!take_first(exchange, message))
		return;
	buffer_init_fixed(&exchange->challenge, exchange->challenge_octets, CHALLENGE_MAX);
	buffer_init_fixed(
		&exchange->message, exchange->message_octets, sizeof exchange->message_octets);
	enum error error = server->ops->scram_challenge(server->arg,
		slice_of(exchange->login, exchange->login_len), exchange->first.nonce,
		smtp_auth_deadline(server), &exchange->challenge);
	if (error != OK) {
		smtp_auth_conclude(server, error);
		return;
	}
	buffer_init_fixed(&text, text_octets, sizeof text_octets);
	base64_append(&text, buffer_slice(&exchange->challenge));
	if (smtp_auth_ask(server, buffer_slice(&text), &message))
		end(exchange, message);
}

static void
begin(struct smtp_server *server, bool plus, struct slice initial, bool has_initial)
{
	struct memory *memory = loop_env(server->stream->loop)->memory;
	struct exchange *exchange = NULL;

	if (!server->ops->offers_scram) {
		smtp_server_fault(
			server, &SMTP_REPLY(504, 5, 5, 4, "this mechanism is not known here"));
		return;
	}
	exchange = memory_try(memory, sizeof *exchange);
	if (!exchange) {
		smtp_auth_conclude(server, ERROR_NO_MEMORY);
		return;
	}
	exchange->server = server;
	exchange->plus = plus;
	run(exchange, initial, has_initial);
	memory_wipe(exchange, sizeof *exchange);
	memory_put(memory, exchange);
}

void
smtp_auth_scram(struct smtp_server *server, struct slice initial, bool has_initial)
{
	begin(server, false, initial, has_initial);
}

void
smtp_auth_scram_plus(struct smtp_server *server, struct slice initial, bool has_initial)
{
	begin(server, true, initial, has_initial);
}
