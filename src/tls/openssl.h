/* OpenSSL as the files of this folder see it: with the calls that 3.0 deprecates, since methods of
 * one's own for keys (remote_key.c) have no other in it short of a provider. */
#ifndef TLS_OPENSSL_H
#define TLS_OPENSSL_H

#define OPENSSL_SUPPRESS_DEPRECATED

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "tls/key.h"

/* The reason, in ERR_LIB_USER, of a signature that did not come. */
#define REMOTE_KEY_FAILED 1

/* private_key.c */
MUST_CHECK enum error tls_key_id_of(EVP_PKEY *key, struct tls_key_id *ret_id);

#endif
