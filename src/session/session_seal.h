/*
 * The seal (ARC) on what an alias sends abroad: what was found about a message here, signed with
 * the key of the domain that answers for forwarded mail, so that others can see what we saw.
 */
#ifndef SESSION_SESSION_SEAL_H
#define SESSION_SESSION_SEAL_H

#include "conf/conf.h"
#include "ipc/caller.h"
#include "mailauth/arc.h"

struct seal_work {
	struct env *env;
	const struct conf *conf;
	struct caller *keys;
	const struct content *content;
	const struct arc *arc; /* as it was checked */
	unsigned hash;         /* of seal_begin */
	struct slice results;  /* of our Authentication-Results, from the first ";" on */
};

/* In the content's header_done. False: there is no room for another hash. */
MUST_CHECK bool seal_begin(struct content *content, unsigned *ret_hash);

/* May wait. The three fields; nothing where there is no key or the chain has ended, or where it
 * fails, which the log says. */
void seal_append(const struct seal_work *work, struct buffer *fields);

#endif
