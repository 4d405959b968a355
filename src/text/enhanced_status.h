/*
 * Enhanced status codes (RFC 3463 section 2): class 2 (success), 4 (temporary) or 5 (permanent),
 * subject and detail of up to three digits each. One value type for everybody who names one; in
 * messages and on disk it is one number.
 */
#ifndef TEXT_ENHANCED_STATUS_H
#define TEXT_ENHANCED_STATUS_H

#include "base/buffer.h"

#define ENHANCED_STATUS_BYTES 16 /* room for the text of any */
#define ENHANCED_NUMBER_MAX   5999999u

struct enhanced_status {
	uint16_t class; /* 0: none is known */
	uint16_t subject;
	uint16_t detail;
};

#define STATUS(class, subject, detail) ((struct enhanced_status){(class), (subject), (detail)})

/* 5001001 for 5.1.1; 0 for none. */
static inline uint32_t
enhanced_status_number(struct enhanced_status status)
{
	return status.class * UINT32_C(1000000) + status.subject * UINT32_C(1000) + status.detail;
}

/* Any number: what is no code of the classes 2, 4 and 5 is none. */
static inline struct enhanced_status
enhanced_status_of(uint32_t number)
{
	uint32_t class = number / 1000000;

	if (class != 2 && class != 4 && class != 5)
		return (struct enhanced_status){0};
	return STATUS(
		(uint16_t) class, (uint16_t)(number / 1000 % 1000), (uint16_t)(number % 1000));
}

static inline bool
enhanced_status_equal(struct enhanced_status a, struct enhanced_status b)
{
	return enhanced_status_number(a) == enhanced_status_number(b);
}

/* "5.1.1" into the storage. */
static inline struct slice
enhanced_status_print(struct enhanced_status status, char storage[ENHANCED_STATUS_BYTES])
{
	struct buffer text;

	buffer_init_fixed(&text, storage, ENHANCED_STATUS_BYTES);
	buffer_printf(&text, "%u.%u.%u", status.class, status.subject, status.detail);
	return buffer_slice(&text);
}

#endif
