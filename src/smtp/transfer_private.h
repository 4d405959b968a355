/* A content on its way in: what DATA and BDAT share. */
#ifndef SMTP_TRANSFER_PRIVATE_H
#define SMTP_TRANSFER_PRIVATE_H

#include "smtp/server_private.h"

/*
 * May wait: all that can be asked before content is sent. `transfer` of the transaction is set, or
 * false: refused, or with code 0 the session is at its end and all is said. Where another try would
 * find the same there is no transaction any more, but of chunks.
 */
MUST_CHECK bool
transfer_begin(struct smtp_server *server, bool is_chunked, struct smtp_reply *ret_refusal);

/* May wait: behind 354, to the end, with the reply. */
void transfer_receive(struct smtp_server *server, struct transfer *transfer);

/* May wait: a chunk, with the reply. The transfer may not be kept any more afterwards. */
void transfer_receive_chunk(
	struct smtp_server *server, struct transfer *transfer, uint64_t octets, bool is_last);

/* False: no chunk may follow, the content was refused. */
bool transfer_is_kept(const struct smtp_server *server, const struct transfer *transfer);

/* May wait: a chunk that belongs to nothing. No reply but the last one, if the session ends. */
void transfer_discard_chunk(struct smtp_server *server, uint64_t octets);

/* By when the content must go on, whatever else is said between its chunks: it holds a place in the
 * store. MONO_NEVER: it holds none. */
mono_us transfer_deadline(const struct smtp_server *server, const struct transfer *transfer);

/* With the transaction: nothing is kept that is not durable by now. */
void transfer_end(struct smtp_server *server, struct transfer *transfer);

#endif
