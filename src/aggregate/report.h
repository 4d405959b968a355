/*
 * DMARC aggregate reports (RFC 9990; RFC 7489 appendix C): what a receiver saw of a domain's mail
 * in a day. XML in, a struct out. No document type is taken, so there are no entities, of our files
 * or of anybody's; depth, lengths and rows have limits.
 */
#ifndef AGGREGATE_REPORT_H
#define AGGREGATE_REPORT_H

#include "base/arena.h"
#include "base/error.h"

#define AGGREGATE_ARENA_BYTES (256u << 20)
#define AGGREGATE_DEPTH_MAX   16
#define AGGREGATE_TEXT_MAX    4096 /* octets of one element's text */
#define AGGREGATE_ROWS_MAX    100000
#define AGGREGATE_RESULTS_MAX 100 /* of DKIM and SPF, of a row */
#define AGGREGATE_COUNT_MAX   UINT32_MAX

/* Texts are a stranger's. Those that were not there are empty. */
struct aggregate_result {
	struct aggregate_result *next;
	bool is_dkim;
	struct slice domain, selector, scope, result;
};

struct aggregate_row {
	struct aggregate_row *next;
	struct slice source_ip;
	uint64_t count;
	struct slice disposition, dkim, spf; /* as DMARC took them: "pass", "fail" */
	struct slice reason, reason_comment; /* the first one why the policy was overridden */
	struct slice header_from, envelope_from;
	struct aggregate_result *results;
	unsigned result_count;
};

struct aggregate_report {
	struct slice organization, email, id, error;
	uint64_t begin, end; /* seconds since 1970 */
	struct slice domain, policy, subdomains, absent, dkim_mode, spf_mode, testing, discovery;
	struct aggregate_row *rows;
	size_t row_count;
	uint64_t messages, passed; /* sums of the rows' counts */
};

/* Whether DMARC passed: one of both did, aligned. Here, so that who asks needs no parser of XML. */
static inline bool
aggregate_row_passes(const struct aggregate_row *row)
{
	return slice_equal_nocase(row->dkim, SLICE("pass")) ||
	       slice_equal_nocase(row->spf, SLICE("pass"));
}

/*
 * The texts live in the arena. ERROR_FORMAT: it is no such report; ERROR_LIMIT; ERROR_NO_MEMORY.
 * `ret_why` is half a sentence, `ret_line` where (0: as a whole).
 */
MUST_CHECK enum error aggregate_parse(struct slice xml, struct arena *arena,
	struct aggregate_report *ret_report, const char **ret_why, uint64_t *ret_line);

#endif
