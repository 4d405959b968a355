/* What the two halves of recovery share: journals (recover_journal.c) and segments (recover.c). */
#ifndef SPOOL_RECOVER_PRIVATE_H
#define SPOOL_RECOVER_PRIVATE_H

#include "spool/reader.h"
#include "spool/spool_private.h"

struct number_list {
	uint32_t *numbers; /* ascending once listed */
	size_t count;
	size_t capacity;
};

struct recovery {
	struct spool *spool;
	const struct spool_visitor *visitor;
	struct number_list segments; /* files that are there */
	struct number_list journals;
	uint32_t next_number[2];  /* by enum logfile_kind: above all names, whatever bears them */
	struct number_list freed; /* segments that the journal calls free */
	bool journal_found;
	bool state_lost; /* parts of the state are missing: every segment is read from its start */
	bool keep_journals; /* damage was found in them or because of them */
	bool records_lost;  /* parts behind the state are missing: unknown segments are taken for
			       open */
	bool unread; /* a file could not be read: none goes but those that a journal freed (R1) */
};

MUST_CHECK enum error
number_list_add(struct recovery *recovery, struct number_list *list, uint32_t number);
bool number_list_has(const struct number_list *list, uint32_t number);

void recovery_damage(struct recovery *recovery, enum logfile_kind kind, uint32_t number,
	uint64_t offset, const char *what);

/* The same for a segment of which something could not be read: no damage, and no end of it (R1). */
void recovery_unread(struct recovery *recovery, uint32_t number, uint64_t offset, const char *what);

/* Whether this error, met while opening a segment, is about more than that file. */
bool recovery_must_end(enum error error);

/* reader_open; a file of another version of the format is reported. */
MUST_CHECK enum error recovery_open(
	struct recovery *recovery, enum logfile_kind kind, uint32_t number, struct reader *reader);

/* Finds the newest whole journal and fills index and segments from it. */
MUST_CHECK enum error recover_journal(struct recovery *recovery);

/* Takes over a journal that was pre-written and never used, if there is one. */
void recover_journal_spare(struct recovery *recovery);

/* Numbers of entries in the order of two keys. */
struct ordered_entry {
	uint64_t major;
	uint64_t minor;
	uint32_t number;
};
enum recovery_order { BY_PLACE, BY_QUEUE_ID };
/* All entries but stubs and dead ones; *ret_entries is the caller's to give back, NULL when none.
 */
MUST_CHECK enum error recovery_order_entries(struct recovery *recovery, enum recovery_order order,
	struct ordered_entry **ret_entries, size_t *ret_count);

/* Reads the segments that may hold messages the journal does not know. */
MUST_CHECK enum error recover_segments(struct recovery *recovery);

#endif
