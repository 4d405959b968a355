/*
 * Our own signatures (DKIM): what trusted clients send, signed with the keys of its author's
 * domain; and our own reports. The keys are in `keys`; here are their names, and hashes.
 */
#ifndef SIGN_SIGNING_H
#define SIGN_SIGNING_H

#include "conf/conf.h"
#include "ipc/caller.h"

/* One message on its way to be signed. NULL: no memory. */
struct signing;
struct signing *signing_new(struct env *env, const struct conf *conf, struct caller *keys);
/* It was made here: where its author's domain has no key, those of the nearest domain above sign.
 */
void signing_of_own(struct signing *signing);
void signing_free(struct signing **signing);
void signing_feed(struct signing *signing, struct slice octets);

/*
 * May wait. The content is whole: a DKIM-Signature for each key of its author's domain, in lines
 * with CRLF, which live as long as the signing. `added` are fields that will stand on top. A key
 * that cannot sign is told to the log and left out. ERROR_NO_MEMORY: there is no room.
 */
MUST_CHECK enum error
signing_end(struct signing *signing, struct slice added, struct slice *ret_fields);

#endif
