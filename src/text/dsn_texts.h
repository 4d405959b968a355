/* The sentences of the part for people. In templates {host}, {date}, {id} and {count} are words, or
 * words with a point or a comma behind them. */
#ifndef TEXT_DSN_TEXTS_H
#define TEXT_DSN_TEXTS_H

#include "text/dsn.h"

/* By what failed (RFC 3463 sections 3.2 to 3.8). */
enum dsn_advice {
	ADVICE_SENDER,
	ADVICE_NO_MAIL,
	ADVICE_NO_DOMAIN,
	ADVICE_ADDRESS,
	ADVICE_FULL,
	ADVICE_LARGE_FOR_MAILBOX,
	ADVICE_MAILBOX,
	ADVICE_LARGE,
	ADVICE_SYSTEM,
	ADVICE_LOOP,
	ADVICE_NETWORK,
	ADVICE_PROTOCOL,
	ADVICE_MEDIA,
	ADVICE_POLICY,
	ADVICE_GENERAL,
	DSN_ADVICES
};

struct dsn_texts {
	const char *head, *head_with_id; /* templates with host, date; the second with id too */
	const char *mixed;
	const char *summaries[DSN_ACTIONS];
	const char *outcomes[DSN_ACTIONS];
	const char *sent_to;
	const char *reason, *answered, *other_answered; /* answered: with host */
	const char *next_try, *until;                   /* with date */
	const char *more_one, *more_many;               /* the second with count */
	const char *for_programs, *with_message, *with_header, *with_beginning;
	const char *advice[DSN_ADVICES];
};

const struct dsn_texts *dsn_texts_of(enum dsn_language language);

#endif
