/*
 * What the DNS says of names that strangers bring: whether anybody could be reached at a sender's
 * domain, and by which name the client itself is known. Pure over a source of the DNS.
 */
#ifndef SESSION_SESSION_NAMES_H
#define SESSION_SESSION_NAMES_H

#include "dns/source.h"
#include "smtp/reply.h"

/*
 * May wait. Why a sender of this domain is refused: it does not exist, or says that it takes no
 * mail (RFC 7505 section 4.2), or nobody can tell now. Code 0: he is not. U-labels are asked for as
 * A-labels; a domain in brackets, or one that the DNS cannot have, is nobody's business here.
 */
struct smtp_reply sender_domain_ask(
	const struct dns_source *dns, struct slice domain, struct arena *arena, mono_us deadline);

#define CLIENT_NAMES_MAX 4 /* of an address that are looked at */

/*
 * May wait. The name of an address of 4 or 16 octets that leads back to it (RFC 8601
 * section 2.7.3), in the arena; empty: there is none, or nobody can tell.
 */
struct slice client_name_ask(
	const struct dns_source *dns, struct slice ip, struct arena *arena, mono_us deadline);

#endif
