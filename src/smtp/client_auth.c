/*
 * The dialogue of AUTH. What is secret goes through one line of memory that is wiped behind each
 * step, as is the client's output; a transcript shows "*" in its place.
 *
 * SCRAM proves both sides: what a server says at the end is checked, and a server that accepts us
 * without its proof, or asks for so few iterations that its answer gives the password away (RFC
 * 7677 section 4), or for so many that it only wants our time, is not believed.
 */
#include "smtp/client_auth.h"
#include "smtp/client_private.h"
#include "text/base64.h"
#include "text/sasl.h"
#include "text/scram.h"
#include "tls/scram_keys.h"

#define LINE_MAX                                                                         \
	3072 /* the longest is the client's last message of SCRAM, or PLAIN's, in base64 \
	      */
#define MESSAGE_MAX 2048
#define NONCE_BYTES 18

struct exchange {
	struct smtp_client *client;
	const struct smtp_client_login *login;
	struct smtp_client_auth_result *result;
	struct buffer line;    /* what is sent */
	struct buffer message; /* the same before base64; what the server sent, behind it */
	/* SCRAM */
	struct buffer auth_message;
	struct scram_derived keys;
	struct scram_challenge challenge;
	uint8_t storage[LINE_MAX];
	uint8_t message_storage[MESSAGE_MAX];
	uint8_t auth_storage[3 * SCRAM_MESSAGE_MAX];
	uint8_t server_storage[LINE_MAX];
};

/* May wait: a line whose start is shown, and its reply. */
static enum error
say(struct exchange *x, const char *shown)
{
	struct smtp_client *client = x->client;

	buffer_append_text(&x->line, "\r\n");
	enum error error = buffer_error(&x->line);
	smtp_client_show(client, SMTP_LINE_SENT, slice_text(shown));
	/* In one piece: memory that grows leaves no copies behind. */
	buffer_append(&client->output, buffer_slice(&x->line));
	if (error == OK)
		error = smtp_client_exchange(client, client->settings->command_timeout_us);
	memory_wipe(client->output.ptr, client->output.capacity);
	buffer_clear(&x->line);
	buffer_clear(&x->message);
	return error;
}

/* May wait: what x->message has, as base64 behind `verb`. */
static enum error
say_message(struct exchange *x, const char *verb, const char *shown)
{
	buffer_append_text(&x->line, verb);
	if (buffer_error(&x->message) != OK)
		x->line.error = buffer_error(&x->message);
	base64_append(&x->line, buffer_slice(&x->message));
	return say(x, shown);
}

static bool
goes_on(const struct exchange *x)
{
	return x->client->reply.code == 334 && !x->client->is_over;
}

/* 235, or no: the reply counts. */
static enum error
conclude(struct exchange *x)
{
	uint16_t code = x->client->reply.code;

	x->result->reply = smtp_reply_reader_reply(&x->client->reply);
	x->result->outcome = code / 100 == 2 ? SMTP_AUTH_DONE : SMTP_AUTH_REFUSED;
	return code / 100 == 3 ? ERROR_FORMAT : OK;
}

/* message = [authzid] UTF8NUL authcid UTF8NUL passwd ; RFC 4616 */
static enum error
log_in_plain(struct exchange *x)
{
	buffer_append_octet(&x->message, 0);
	buffer_append(&x->message, x->login->name);
	buffer_append_octet(&x->message, 0);
	buffer_append(&x->message, secret_reveal(x->login->password));
	enum error error = say_message(x, "AUTH PLAIN ", "AUTH PLAIN *");
	return error == OK ? conclude(x) : error;
}

/* draft-murchison-sasl-login: name and password, whatever the questions are called. */
static enum error
log_in_login(struct exchange *x)
{
	buffer_append_text(&x->line, "AUTH LOGIN");
	enum error error = say(x, "AUTH LOGIN");
	if (error == OK && goes_on(x)) {
		buffer_append(&x->message, x->login->name);
		error = say_message(x, "", "*");
		if (error == OK && goes_on(x)) {
			buffer_append(&x->message, secret_reveal(x->login->password));
			error = say_message(x, "", "*");
		}
	}
	return error == OK ? conclude(x) : error;
}

/* -- SCRAM */

/* Nothing more is said to it. */
static enum error
doubt(struct exchange *x, const char *problem)
{
	x->result->outcome = SMTP_AUTH_UNPROVEN;
	x->result->problem = problem;
	x->client->is_over = true;
	return OK;
}

/* The text of a 334: base64. False: it is none. */
static bool
take_message(struct exchange *x, struct slice *ret_message)
{
	struct slice text = smtp_reply_reader_reply(&x->client->reply).text;

	if (text.len > sizeof x->server_storage)
		return false;
	if (text.len > 0)
		memcpy(x->server_storage, text.ptr, text.len);
	return sasl_decode(x->server_storage, text.len, ret_message) == OK;
}

/* client-first-message: gs2-header client-first-message-bare; the latter begins AuthMessage. */
static enum error
say_first(struct exchange *x, struct slice *ret_nonce)
{
	struct env *env = loop_env(x->client->stream->loop);
	uint8_t nonce[NONCE_BYTES];

	env_random(env, nonce, sizeof nonce);
	buffer_append_text(&x->auth_message, "n=");
	scram_name_append(&x->auth_message, x->login->name);
	buffer_append_text(&x->auth_message, ",r=");
	size_t start = x->auth_message.len;
	base64_append(&x->auth_message, slice_of(nonce, sizeof nonce));
	*ret_nonce = slice_from(buffer_slice(&x->auth_message), start);
	buffer_append_text(&x->message, "n,,");
	buffer_append(&x->message, buffer_slice(&x->auth_message));
	return say_message(x, "AUTH SCRAM-SHA-256 ", "AUTH SCRAM-SHA-256 *");
}

/* May wait. NULL: the challenge is one to answer, and the keys are there. */
static enum error
take_challenge(struct exchange *x, struct slice nonce, const char **ret_problem)
{
	struct scram_challenge *challenge = &x->challenge;
	struct slice message, salt;
	uint8_t octets[SCRAM_MESSAGE_MAX];

	*ret_problem = "the server's challenge is none";
	if (!take_message(x, &message) || scram_challenge_parse(message, challenge) != OK)
		return OK;
	if (challenge->nonce.len <= nonce.len || !slice_has_prefix(challenge->nonce, nonce)) {
		*ret_problem = "the server's challenge is not for this session";
		return OK;
	}
	memcpy(octets, challenge->salt.ptr, challenge->salt.len);
	if (sasl_decode(octets, challenge->salt.len, &salt) != OK)
		return OK;
	*ret_problem = "the server wants too few or too many iterations";
	if (challenge->iterations < SCRAM_ITERATIONS_MIN ||
		challenge->iterations > SCRAM_ITERATIONS_MAX)
		return OK;
	*ret_problem = NULL;
	buffer_append_text(&x->auth_message, ",");
	buffer_append(&x->auth_message, message);
	return scram_keys_make(
		x->client->stream->loop, x->login->password, salt, challenge->iterations, &x->keys);
}

/* ClientProof := ClientKey XOR HMAC(StoredKey, AuthMessage) */
static bool
make_proof(struct exchange *x, uint8_t proof[SCRAM_DIGEST_BYTES])
{
	if (buffer_error(&x->auth_message) != OK ||
		!scram_hmac(slice_of(x->keys.stored, SCRAM_DIGEST_BYTES),
			buffer_slice(&x->auth_message), proof))
		return false;
	for (size_t i = 0; i < SCRAM_DIGEST_BYTES; i++)
		proof[i] ^= x->keys.client[i];
	return true;
}

/* client-final-message = "c=biws,r=" nonce ",p=" proof ; what stands before the proof ends
 * AuthMessage. */
static enum error
say_final(struct exchange *x)
{
	uint8_t proof[SCRAM_DIGEST_BYTES];

	buffer_append_text(&x->message, "c=biws,r=");
	buffer_append(&x->message, x->challenge.nonce);
	buffer_append_text(&x->auth_message, ",");
	buffer_append(&x->auth_message, buffer_slice(&x->message));
	if (!make_proof(x, proof))
		return ERROR_LIMIT;
	buffer_append_text(&x->message, ",p=");
	base64_append(&x->message, slice_of(proof, sizeof proof));
	memory_wipe(proof, sizeof proof);
	return say_message(x, "", "*");
}

/* NULL: the server knows the login. */
static const char *
check_verdict(struct exchange *x)
{
	uint8_t octets[SCRAM_MESSAGE_MAX], right[SCRAM_DIGEST_BYTES];
	struct scram_verdict verdict;
	struct slice message, signature;

	if (!take_message(x, &message) || scram_verdict_parse(message, &verdict) != OK)
		return "the server's last message is none";
	if (verdict.signature.len == 0)
		return "the server refuses, and does not say so in a reply";
	memcpy(octets, verdict.signature.ptr, verdict.signature.len);
	if (sasl_decode(octets, verdict.signature.len, &signature) != OK ||
		!scram_hmac(slice_of(x->keys.server, SCRAM_DIGEST_BYTES),
			buffer_slice(&x->auth_message), right) ||
		!slice_equal(signature, slice_of(right, sizeof right)))
		return "the server's signature is wrong";
	return NULL;
}

/* May wait: behind our proof. Its own comes in a challenge that is answered with nothing. */
static enum error
take_verdict(struct exchange *x)
{
	const char *problem = NULL;

	if (x->client->reply.code / 100 == 2)
		return doubt(x, "the server did not prove that it knows the password");
	if (!goes_on(x))
		return conclude(x);
	problem = check_verdict(x);
	if (problem)
		return doubt(x, problem);
	enum error error = say(x, "");
	return error == OK ? conclude(x) : error;
}

static enum error
log_in_scram(struct exchange *x)
{
	const char *problem = NULL;
	struct slice nonce;
	enum error error = say_first(x, &nonce);

	if (error != OK || !goes_on(x))
		return error != OK ? error
		       : x->client->reply.code / 100 == 2
			       ? doubt(x, "the server took a login unproven")
			       : conclude(x);
	error = take_challenge(x, nonce, &problem);
	if (error == OK && problem)
		return doubt(x, problem);
	if (error == OK)
		error = say_final(x);
	return error == OK ? take_verdict(x) : error;
}

/* The strongest first. */
static const struct {
	enum smtp_client_mechanism mechanism;
	enum error (*log_in)(struct exchange *x);
} mechanisms[] = {{SMTP_MECHANISM_SCRAM_SHA_256, log_in_scram},
	{SMTP_MECHANISM_PLAIN, log_in_plain}, {SMTP_MECHANISM_LOGIN, log_in_login}};

/* A password that clients prepare differently is for mechanisms that send it as it is. */
static bool
may_use(const struct exchange *x, enum smtp_client_mechanism mechanism)
{
	return (x->client->mechanisms & mechanism) &&
	       (mechanism != SMTP_MECHANISM_SCRAM_SHA_256 ||
		       scram_password_is_plain(x->login->password));
}

static enum error
log_in(struct exchange *x)
{
	enum error error = OK;
	bool is_unknown = true;

	x->result->outcome = SMTP_AUTH_NO_MECHANISM;
	for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++) {
		if (error != OK || !is_unknown || !may_use(x, mechanisms[i].mechanism))
			continue;
		error = mechanisms[i].log_in(x);
		is_unknown = x->result->outcome == SMTP_AUTH_REFUSED && !x->client->is_over &&
			     x->result->reply.code == 504;
	}
	return error;
}

static bool
is_login(const struct smtp_client_login *login)
{
	struct slice password = secret_reveal(login->password);

	return login->name.len > 0 && login->name.len <= SASL_LOGIN_MAX &&
	       slice_find(login->name, 0, 0) < 0 && password.len > 0 &&
	       password.len <= SASL_PASSWORD_MAX && slice_find(password, 0, 0) < 0;
}

enum error
smtp_client_login(struct smtp_client *client, const struct smtp_client_login *login,
	struct smtp_client_auth_result *ret_result)
{
	struct memory *memory = loop_env(client->stream->loop)->memory;
	struct exchange *x;
	enum error error = ERROR_LIMIT;

	*ret_result = (struct smtp_client_auth_result){.outcome = SMTP_AUTH_NOT_OFFERED};
	if (!(client->extensions & SMTP_OFFERS_AUTH))
		return OK;
	client->stage = SMTP_STAGE_AUTH;
	x = memory_try(memory, sizeof *x);
	if (!x)
		return smtp_client_break(client, ERROR_NO_MEMORY);
	x->client = client;
	x->login = login;
	x->result = ret_result;
	buffer_init_fixed(&x->line, x->storage, sizeof x->storage);
	buffer_init_fixed(&x->message, x->message_storage, sizeof x->message_storage);
	buffer_init_fixed(&x->auth_message, x->auth_storage, sizeof x->auth_storage);
	if (is_login(login))
		error = log_in(x);
	memory_wipe(x, sizeof *x);
	memory_put(memory, x);
	return error == OK ? OK : smtp_client_break(client, error);
}
