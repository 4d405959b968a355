/*
 * A DMARC aggregate report of our own (RFC 9990): a struct in, XML out, then compressed, then in a
 * mail. Pure. What is read back by aggregate_parse is the same, but for octets that are no text.
 */
#ifndef AGGREGATE_WRITE_H
#define AGGREGATE_WRITE_H

#include "aggregate/report.h"
#include "base/buffer.h"
#include "base/clock.h"

/* The XML, in the order of elements that the schema of RFC 9990 has. What is no UTF-8, or no
 * character of XML, becomes "?". The error is the buffer's. */
void aggregate_write(struct buffer *xml, const struct aggregate_report *report);

/* By gzip. ERROR_NO_MEMORY, or the buffer's error. */
MUST_CHECK enum error aggregate_compress(struct slice xml, struct buffer *gzip);

struct aggregate_mail {
	const struct aggregate_report *report;
	struct slice submitter; /* our hostname */
	struct slice to;
	struct slice gzip;
	wall_us time;
};

/* The message that carries it, with CRLF, for one address. Names in it were checked: they are
 * domains and addresses. The error is the buffer's. */
void aggregate_mail_append(struct buffer *message, const struct aggregate_mail *mail);

/* One of rua=: "mailto:a@example.org!10m". */
struct aggregate_uri {
	struct slice address;
	struct slice domain; /* of the address */
	uint64_t size_max;   /* octets of the message; UINT64_MAX: not said */
};

/*
 * The next of the list, which is moved behind it. False: none is left. With an empty address: it is
 * none that can be used (another scheme than mailto, escaped octets, no address).
 */
bool aggregate_uri_next(struct slice *uris, struct aggregate_uri *ret_uri);

#endif
