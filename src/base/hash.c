/*
 * SipHash-2-4 and CRC-32C. The CRC uses the processor's instruction where there is one (x86-64
 * SSE4.2, asked at run time; aarch64 when the build targets it), and half an octet a step by table
 * elsewhere.
 */
#include "base/hash.h"

#include <endian.h>

static inline uint64_t
rotate_left(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static inline uint64_t
load_u64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof value);
	return le64toh(value);
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate_left(v[1], 13) ^ v[0];
	v[0] = rotate_left(v[0], 32);
	v[2] += v[3];
	v[3] = rotate_left(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate_left(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate_left(v[1], 17) ^ v[2];
	v[2] = rotate_left(v[2], 32);
}

static inline void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

uint64_t
siphash(const struct siphash_key *key, struct slice bytes)
{
	uint64_t k0 = load_u64(key->bytes), k1 = load_u64(key->bytes + 8);
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
		k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
	uint8_t tail[8] = {0};
	size_t whole = bytes.len & ~(size_t)7;

	for (size_t at = 0; at < whole; at += 8)
		sip_word(v, load_u64(bytes.ptr + at));
	if (bytes.len > whole)
		memcpy(tail, bytes.ptr + whole, bytes.len - whole);
	tail[7] = (uint8_t)bytes.len;
	sip_word(v, load_u64(tail));
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The table of half an octet, made by the compiler: four shift steps of the reflected polynomial.
 */
#define CRC_POLYNOMIAL 0x82f63b78u
#define CRC_BIT(c)     ((c) >> 1 ^ (((c)&1) ? CRC_POLYNOMIAL : 0))
#define CRC_BIT2(c)    CRC_BIT(CRC_BIT(c))
#define CRC_NIBBLE(c)  CRC_BIT2(CRC_BIT2((uint32_t)(c)))

static const uint32_t crc_nibble[16] = {CRC_NIBBLE(0), CRC_NIBBLE(1), CRC_NIBBLE(2), CRC_NIBBLE(3),
	CRC_NIBBLE(4), CRC_NIBBLE(5), CRC_NIBBLE(6), CRC_NIBBLE(7), CRC_NIBBLE(8), CRC_NIBBLE(9),
	CRC_NIBBLE(10), CRC_NIBBLE(11), CRC_NIBBLE(12), CRC_NIBBLE(13), CRC_NIBBLE(14),
	CRC_NIBBLE(15)};

static uint32_t
crc32c_portable(uint32_t crc, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ crc_nibble[crc & 15];
		crc = crc >> 4 ^ crc_nibble[crc & 15];
	}
	return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t
crc32c_machine(uint32_t crc, const uint8_t *bytes, size_t len)
{
	uint64_t wide = crc;

	for (; len >= 8; bytes += 8, len -= 8)
		wide = _mm_crc32_u64(wide, load_u64(bytes));
	crc = (uint32_t)wide;
	for (; len > 0; bytes++, len--)
		crc = _mm_crc32_u8(crc, *bytes);
	return crc;
}

static bool
crc32c_has_machine(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>

static uint32_t
crc32c_machine(uint32_t crc, const uint8_t *bytes, size_t len)
{
	for (; len >= 8; bytes += 8, len -= 8)
		crc = __crc32cd(crc, load_u64(bytes));
	for (; len > 0; bytes++, len--)
		crc = __crc32cb(crc, *bytes);
	return crc;
}

static bool
crc32c_has_machine(void)
{
	return true;
}
#else
#define crc32c_machine crc32c_portable

static bool
crc32c_has_machine(void)
{
	return false;
}
#endif

uint32_t
crc32c(uint32_t crc, struct slice bytes)
{
	if (bytes.len == 0)
		return crc;
	if (crc32c_has_machine())
		return ~crc32c_machine(~crc, bytes.ptr, bytes.len);
	return ~crc32c_portable(~crc, bytes.ptr, bytes.len);
}
