/* SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012) and CRC-32C
 * (Castagnoli, RFC 9260 appendix A). */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/slice.h"

#define SIPHASH_KEY_BYTES 16

struct siphash_key {
	uint8_t bytes[SIPHASH_KEY_BYTES];
};

/* A keyed 64-bit check: who does not know the key cannot make bytes that pass. */
uint64_t siphash(const struct siphash_key *key, struct slice bytes);

/* Continues a CRC-32C: start with 0, feed the pieces in order. Finds damage, not forgery. */
uint32_t crc32c(uint32_t crc, struct slice bytes);

#endif
