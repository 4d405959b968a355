/*
 * What a sender asks for with the parameters of RFC 3461: about which outcomes a recipient's report
 * shall come (NOTIFY), under which name (ENVID), with which address (ORCPT). Texts stay as they
 * were said, in xtext, until they stand in a report.
 *
 *   notify-esmtp-value = "NEVER" / notify-list-element *( "," notify-list-element )
 *   envid-parameter    = xtext, 100 octets at most
 *   orcpt-parameter    = addr-type ";" xtext, 500 octets at most; addr-type = atom
 *   xtext              = *( xchar / hexchar ); hexchar = "+" 2(DIGIT / %x41-46)
 */
#ifndef TEXT_DSN_REQUEST_H
#define TEXT_DSN_REQUEST_H

#include "base/buffer.h"
#include "base/slice.h"

#define DSN_ENVELOPE_ID_MAX 100
#define DSN_ORIGINAL_MAX    500

/* Bits; none: nothing was asked for, which means a report of failure. */
enum dsn_notify {
	DSN_NOTIFY_NEVER = 1u << 0, /* stands alone */
	DSN_NOTIFY_SUCCESS = 1u << 1,
	DSN_NOTIFY_FAILURE = 1u << 2,
	DSN_NOTIFY_DELAY = 1u << 3,
};

bool dsn_notify_is_valid(uint32_t notify);
/* In any case of letters; a word that stands twice counts once. */
bool dsn_notify_parse(struct slice value, uint32_t *ret_notify);
/* "SUCCESS,DELAY" */
void dsn_notify_append(struct buffer *buffer, uint32_t notify);
/* Both for one recipient: what either asks for. */
uint32_t dsn_notify_join(uint32_t one, uint32_t other);
/* For the targets of an address with several: that it was expanded is the report of success. */
uint32_t dsn_notify_without_success(uint32_t notify);

bool xtext_is_valid(struct slice text);
void xtext_append(struct buffer *buffer, struct slice text);
void xtext_append_decoded(struct buffer *buffer, struct slice xtext);

/* Not empty, of the right form and length, and nothing but printable ASCII behind it. */
bool dsn_envelope_id_is_valid(struct slice xtext);
bool dsn_original_is_valid(struct slice original);

/* An address as ORCPT has it: "rfc822;" and xtext, or "utf-8;" where it is beyond ASCII (RFC 6533
 * section 3). */
void dsn_original_append(struct buffer *buffer, struct slice address);

/* The address type, and the address as it was before it was written into a parameter: xtext, and
 * \x{...} where the type is utf-8 (RFC 6533 section 3). `original` is valid. */
struct slice dsn_original_type(struct slice original);
void dsn_original_append_address(struct buffer *buffer, struct slice original);

#endif
