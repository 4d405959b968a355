/*
 * What a DMARC aggregate report comes in: XML as it is, compressed by gzip or zip, or a message
 * that has one of these attached. Octets in, XML out; with limits on everything.
 */
#ifndef AGGREGATE_UNPACK_H
#define AGGREGATE_UNPACK_H

#include "base/buffer.h"
#include "base/error.h"

#define UNPACK_INPUT_MAX   (16u << 20)
#define UNPACK_XML_MAX     (32u << 20)
#define UNPACK_FREE_BYTES  (1u << 20) /* below, no ratio is looked at */
#define UNPACK_RATIO_MAX   200        /* a table of rows that are alike comes near 100 */
#define UNPACK_PARTS_MAX   100        /* of a message */
#define UNPACK_PARTS_DEPTH 5

/*
 * Appends the XML. ERROR_FORMAT: there is none in it, or it is damaged; ERROR_LIMIT: it is larger
 * than it may be; ERROR_NO_MEMORY. `ret_why` says what is wrong as half a sentence.
 */
MUST_CHECK enum error
unpack_report(struct slice input, struct memory *memory, struct buffer *xml, const char **ret_why);

#endif
