/* Encrypt, then authenticate, as RFC 5077 section 4 advises. OpenSSL calls `ticket_key` with the
 * contexts of both; the octets in between are its own. */
#include "tls/tickets.h"
#include "tls/context_private.h"

#include <openssl/core_names.h>

#define NAME_BYTES   16
#define CIPHER_BYTES 32
#define MAC_BYTES    32

struct ticket_key {
	uint8_t name[NAME_BYTES], cipher[CIPHER_BYTES], mac[MAC_BYTES];
};
_Static_assert(sizeof(struct ticket_key) == TLS_TICKET_KEY_BYTES, "a key has no holes");

struct tls_tickets {
	struct env *env;
	size_t count; /* never 0 */
	struct ticket_key keys[TLS_TICKET_KEYS_MAX];
};

struct tls_tickets *
tls_tickets_new(struct env *env)
{
	struct tls_tickets *tickets = memory_get(env->memory, sizeof *tickets);

	*tickets = (struct tls_tickets){.env = env, .count = 1};
	env_random(env, &tickets->keys[0], sizeof tickets->keys[0]);
	return tickets;
}

enum error
tls_tickets_set(struct tls_tickets *tickets, struct secret keys)
{
	struct slice octets = secret_reveal(keys);

	if (octets.len == 0 || octets.len % TLS_TICKET_KEY_BYTES != 0 ||
		octets.len > sizeof tickets->keys)
		return ERROR_FORMAT;
	memory_wipe(tickets->keys, sizeof tickets->keys);
	memcpy(tickets->keys, octets.ptr, octets.len);
	tickets->count = octets.len / TLS_TICKET_KEY_BYTES;
	return OK;
}

static const struct ticket_key *
find_key(const struct tls_tickets *tickets, const unsigned char *name)
{
	for (size_t i = 0; i < tickets->count; i++)
		if (memcmp(tickets->keys[i].name, name, NAME_BYTES) == 0)
			return &tickets->keys[i];
	return NULL;
}

static bool
set_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
	uint8_t octets[MAC_BYTES];
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, octets, sizeof octets),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end()};

	memcpy(octets, key->mac, sizeof octets);
	bool is_set = EVP_MAC_CTX_set_params(mac, params) == 1;
	memory_wipe(octets, sizeof octets);
	return is_set;
}

/* 1: goes on with this key; 2: so, and a newer ticket is made; 0: no key of ours; -1: a failure. */
static int
ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int is_making)
{
	const struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct tls_tickets *tickets = context->tickets;
	const struct ticket_key *key = is_making ? &tickets->keys[0] : find_key(tickets, name);

	if (!key)
		return 0;
	if (is_making) {
		memcpy(name, key->name, NAME_BYTES);
		env_random(tickets->env, iv, (size_t)EVP_CIPHER_get_iv_length(EVP_aes_256_cbc()));
	}
	if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, is_making) != 1 ||
		!set_mac(mac, key))
		return -1;
	return is_making || key == &tickets->keys[0] ? 1 : 2;
}

bool
tls_tickets_use(struct tls_context *context, struct tls_tickets *tickets, struct slice rules)
{
	context->tickets = tickets;
	SSL_CTX_set_app_data(context->ctx, context);
	SSL_CTX_set_timeout(context->ctx, TLS_TICKET_LIFE_S);
	return SSL_CTX_set_session_id_context(context->ctx, rules.ptr, (unsigned)rules.len) == 1 &&
	       SSL_CTX_set_tlsext_ticket_key_evp_cb(context->ctx, ticket_key) == 1;
}

void
tls_tickets_free(struct tls_tickets **pointer)
{
	struct tls_tickets *tickets = *pointer;

	*pointer = NULL;
	if (!tickets)
		return;
	struct env *env = tickets->env;
	memory_wipe(tickets, sizeof *tickets);
	memory_put(env->memory, tickets);
}
