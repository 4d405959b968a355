/* What the spool's workload was told of each message, and how a recovered spool is judged by it. */
#ifndef CRASH_SPOOL_LEDGER_H
#define CRASH_SPOOL_LEDGER_H

#include "crash.h"

#include "spool/spool.h"

#define LETTERS_MAX    160
#define RECIPIENTS_MAX 8
#define SETTLED_FIRST  70 /* recipients that only a settling message finishes, a number for each */
#define SETTLED_MAX    20

enum letter_state {
	LETTER_OPEN,    /* offered, no answer, or the answer that the outcome is unknown */
	LETTER_LIVE,    /* got OK */
	LETTER_REFUSED, /* will never be taken up */
	LETTER_GONE,    /* its DONE is durable */
};

#define SETTLED_DELAY (1u << 31) /* not a recipient: its sender knows that it is late */

/* How far its delivery is. */
struct standing {
	uint32_t attempts;
	uint32_t done;    /* recipients, a bit each */
	uint32_t settled; /* by other messages, a bit each; with SETTLED_DELAY */
	bool held;
	bool failed;   /* one of the recipients */
	bool finished; /* DONE */
};

struct letter {
	uint64_t queue_id;
	enum letter_state state;
	bool unsure; /* may be open for ever: found by a recovery, but nobody got OK for it */
	uint8_t *bytes;
	size_t content_len;
	size_t payload_len;
	struct spool_reference message;
	struct spool_reference content;
	struct standing durable; /* answered with OK */
	struct standing asked;
	uint32_t settles; /* the letter of which it settles a recipient, and one more; 0: none */
	uint32_t settled; /* how many of its own recipients were offered to be settled */
	uint32_t settled_bit; /* of `settles`, the recipient; or SETTLED_DELAY */
	bool delay_offered;   /* that its delay was told */
	uint8_t settling[64]; /* the octets that say so */
	bool held_any;        /* held and released between two answers: either may be found */
};

struct ledger {
	struct letter letters[LETTERS_MAX];
	uint32_t count;
	bool diverged; /* a process started after a failed flush: what it read, the disk may not
			  have */
	struct spool_options options;
	bool found[LETTERS_MAX]; /* by the last recovery */
};

struct spool_finding {
	struct crash_run *run;
	struct ledger *ledger;
	struct env *env;
	int dir_fd;
	uint64_t last_id;
	bool found[LETTERS_MAX];
	struct standing standing[LETTERS_MAX];
	struct spool_reference message[LETTERS_MAX];
	struct spool_reference content[LETTERS_MAX];
	uint32_t damage;
	char what[128];
};

/* Opens the spool and keeps what it reports. */
MUST_CHECK enum error finding_open(struct spool_finding *finding, struct crash_run *run,
	struct env *env, int dir_fd, struct spool **ret_spool);
/* crash_fail if it breaks a promise; reads all that was found. */
void finding_judge(struct spool_finding *finding);

struct slice letter_content(const struct letter *letter);
struct slice letter_payload(const struct letter *letter);

/* The text of the result that defers a message for this time. */
#define LETTER_REASON_BYTES 32
void letter_reason(uint32_t attempts, char ret_text[LETTER_REASON_BYTES]);

void spool_check(struct crash_run *run, struct model_disk *disk, uint64_t seed);

#endif
