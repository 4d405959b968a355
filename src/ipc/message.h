/*
 * The internal messages: one schema from which structs, encoder, decoder and the check of "who may
 * say this to whom" come. Never trusted: every length, maximum, number of descriptors and sender is
 * checked on receipt, and what does not fit is ERROR_FORMAT, on which the receiver closes that
 * peer.
 *
 * A message is a SOCK_SEQPACKET datagram of at most IPC_MESSAGE_MAX octets: u16 kind, then the
 * fields in order, integers little-endian, slices as u32 length and octets. Slices of a decoded
 * message point into the received bytes.
 */
#ifndef IPC_MESSAGE_H
#define IPC_MESSAGE_H

#include "base/buffer.h"
#include "base/cursor.h"
#include "base/secret.h"
#include "ipc/delivery.h"
#include "ipc/role.h"
#include "text/message_id.h"

#define IPC_MESSAGE_MAX 65536
#define IPC_FDS_MAX     4
#define IPC_TEXT_MAX    1024
#define IPC_BUNDLE_MAX  61440 /* octets of messages within one */
#define IPC_PATH_MAX    4096
#define IPC_TRACE_MAX   16384

/*
 * F(message, type, name, maximum): types u32, u64, slice, secret; the maximum counts octets of a
 * slice or secret, or is the largest number. A secret (base/secret.h) is wiped wherever a channel
 * or a call kept a copy of it.
 *
 * A first field `u32 request` makes a message a question or an answer of ipc/caller.h.
 */

/*
 * Who you are: the number among the workers of the role, the user to become (empty: stay who you
 * are), the name of a deliverer. With it come the configuration as the role may see it, its log
 * ring, the log's wake-up, and a wake-up of its own.
 */
#define IPC_FIELDS_start(F, m) \
	F(m, u32, worker, 4096) F(m, slice, run_as, 64) F(m, slice, name, 320)
/* A channel to another process. */
#define IPC_FIELDS_peer(F, m)           \
	F(m, u32, role, ROLE_COUNT - 1) \
	F(m, u32, worker, 4096) F(m, u32, instance, UINT32_MAX) F(m, slice, name, 320)
/* A ring between a session worker and the queue: memory, the other side's wake-up. */
#define IPC_FIELDS_ring(F, m) F(m, u32, worker, 4096)
/* A process' log ring, for `log`. */
#define IPC_FIELDS_log_ring(F, m) F(m, u32, role, ROLE_COUNT - 1) F(m, u32, worker, 4096)
/* Of this process nothing more will come: what its ring still holds is written, then it goes. */
#define IPC_FIELDS_log_ring_gone(F, m) F(m, u32, role, ROLE_COUNT - 1) F(m, u32, worker, 4096)
/* A bound socket: the name of its `listen` block. */
#define IPC_FIELDS_listener(F, m) F(m, slice, name, 64)
/* An open folder (spool, mailbox root); for `queue` also a text of reports, for `log` the log file,
 * for `keys` a file of a certificate and for `auth` that of passwords, at any time another one. */
#define IPC_FIELDS_folder(F, m) F(m, slice, path, IPC_PATH_MAX)
/* All that root had for you has come. / I have begun to work. */
#define IPC_FIELDS_go(F, m)    F(m, u32, workers, 4096)
#define IPC_FIELDS_ready(F, m) F(m, u32, worker, 4096)
/* Finish what is under way and end. */
#define IPC_FIELDS_stop(F, m) F(m, u32, grace_ms, UINT32_MAX)
/* The queue needs a deliverer that runs as this system user. */
#define IPC_FIELDS_need_deliver(F, m) F(m, slice, user, 320)
/* This instance of a process (from its PEER message) broke the rules, or does not answer: it is to
 * be ended, and another started. */
#define IPC_FIELDS_broken(F, m) F(m, u32, instance, UINT32_MAX)
/* The sender has lost something that it needs: it is to be stopped in good order, and another
 * started. */
#define IPC_FIELDS_unable(F, m) F(m, u32, worker, 4096)
/* There is none: no such user, or it can't be started now. */
#define IPC_FIELDS_no_deliver(F, m) F(m, slice, user, 320) F(m, slice, reason, IPC_TEXT_MAX)
/* A table (ipc/snapshot.h) for one domain: of its known addresses, or of its aliases. */
#define IPC_FIELDS_snapshot(F, m) F(m, slice, domain, 256) F(m, u32, aliases, 1)
/* A segment that deliveries will refer to, read-only; and: none will any more. */
#define IPC_FIELDS_segment(F, m) F(m, u32, segment, UINT32_MAX) F(m, u32, generation, UINT32_MAX)
#define IPC_FIELDS_segment_gone(F, m) \
	F(m, u32, segment, UINT32_MAX) F(m, u32, generation, UINT32_MAX)
/*
 * An attempt: the content to these recipients (ipc/delivery.h), which all go to one destination.
 * The content lies in a segment that the carrier has, or in sealed memory that comes along (for
 * processes of system users, who never hold a descriptor of the spool); its CRC-32C is checked
 * while it is read, before anything is published.
 */
#define IPC_FIELDS_deliver(F, m)                      \
	F(m, u64, attempt, UINT64_MAX)                \
	F(m, u64, queue_id, UINT64_MAX)               \
	F(m, u32, transport, TRANSPORT_COUNT - 1)     \
	F(m, slice, name, 320)                        \
	F(m, slice, template, IPC_PATH_MAX)           \
	F(m, slice, recipients, DELIVERY_LIST_BYTES)  \
	F(m, slice, reverse_path, IPC_TEXT_MAX)       \
	F(m, slice, trace, IPC_TRACE_MAX)             \
	F(m, u32, first_attempt, 1)                   \
	F(m, u64, received_at, INT64_MAX)             \
	F(m, u32, body, 2)                            \
	F(m, u32, content_flags, UINT32_MAX)          \
	F(m, u32, is_junk, 1)                         \
	F(m, u32, is_own, 1) /* made here */          \
	F(m, u32, returns, 2)                         \
	F(m, slice, envelope_id, DSN_ENVELOPE_ID_MAX) \
	F(m, u32, source, SOURCE_COUNT - 1)           \
	F(m, u32, segment, UINT32_MAX)                \
	F(m, u32, generation, UINT32_MAX)             \
	F(m, u64, offset, INT64_MAX)                  \
	F(m, u64, size, INT64_MAX)                    \
	F(m, u32, sum, UINT32_MAX)
/* What became of attempts: a list of results (ipc/delivery.h), of as many attempts as it likes. */
#define IPC_FIELDS_result(F, m) F(m, slice, results, DELIVERY_RESULTS_BYTES)
/*
 * The operator's questions: at most `max` messages of the queue are looked at, from this id on, or
 * this one alone; with each that matches `action` is done (enum queue_action). An item for each,
 * with its recipients before it if they are wanted, then the end with the id to go on from (0: no
 * more). states: a bit for each state, 0 for all. Patterns: queue/glob.h; empty for all; a
 * Message-ID is no pattern.
 * received_before: 0 for all. bundled: items and recipients may come in QUEUE_BUNDLE. Answers carry
 * the request's number, so that one that comes late is known as such.
 */
#define IPC_FIELDS_queue_list(F, m)           \
	F(m, u32, request, UINT32_MAX)        \
	F(m, u64, from_id, UINT64_MAX)        \
	F(m, u32, max, 10000)                 \
	F(m, u32, action, 7)                  \
	F(m, u32, only, 1)                    \
	F(m, u32, with_recipients, 1)         \
	F(m, u32, bundled, 1)                 \
	F(m, u32, states, 31)                 \
	F(m, u64, received_before, INT64_MAX) \
	F(m, slice, sender, IPC_TEXT_MAX)     \
	F(m, slice, recipient, IPC_TEXT_MAX)  \
	F(m, slice, lane, IPC_TEXT_MAX)       \
	F(m, slice, message_id, MESSAGE_ID_MAX)
#define IPC_FIELDS_queue_item(F, m)                \
	F(m, u32, request, UINT32_MAX)             \
	F(m, u64, queue_id, UINT64_MAX)            \
	F(m, u64, received_at, INT64_MAX)          \
	F(m, u64, size, INT64_MAX)                 \
	F(m, u32, state, 4)                        \
	F(m, u32, done, 1)                         \
	F(m, u32, attempts, UINT32_MAX)            \
	F(m, u64, next_attempt_at, INT64_MAX)      \
	F(m, u32, recipients, UINT32_MAX)          \
	F(m, u32, recipients_left, UINT32_MAX)     \
	F(m, slice, reverse_path, IPC_TEXT_MAX)    \
	F(m, slice, first_recipient, IPC_TEXT_MAX) \
	F(m, slice, lane, IPC_TEXT_MAX)            \
	F(m, slice, client, IPC_TEXT_MAX)          \
	F(m, slice, last_reply, IPC_TEXT_MAX)
/* state: enum recipient_state; next_attempt_at: 0 when it does not wait. */
#define IPC_FIELDS_queue_recipient(F, m)      \
	F(m, u32, request, UINT32_MAX)        \
	F(m, u64, queue_id, UINT64_MAX)       \
	F(m, u32, number, UINT32_MAX)         \
	F(m, u32, state, 4)                   \
	F(m, u32, attempts, UINT32_MAX)       \
	F(m, u64, next_attempt_at, INT64_MAX) \
	F(m, slice, address, IPC_TEXT_MAX)    \
	F(m, slice, reply, IPC_TEXT_MAX)
#define IPC_FIELDS_queue_end(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, u64, next_id, UINT64_MAX) F(m, u64, total, UINT64_MAX)
/* Items and recipients in their order, each as u32 length and its own encoding: a long list in few
 * packets. */
#define IPC_FIELDS_queue_bundle(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, slice, messages, IPC_BUNDLE_MAX)
/* A pattern of lanes that are paused. */
#define IPC_FIELDS_queue_paused(F, m) F(m, u32, request, UINT32_MAX) F(m, slice, lane, IPC_TEXT_MAX)
/* The answer to a request that can't be served. */
#define IPC_FIELDS_refused(F, m) F(m, u32, request, UINT32_MAX) F(m, slice, reason, IPC_TEXT_MAX)

/* A question of the DNS, and its answer: the whole message as it came, or why there is none. Type:
 * the number of RFC 1035 section 3.2.2. */
#define IPC_FIELDS_dns_ask(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, u32, type, 65535) F(m, slice, name, 255)
#define IPC_FIELDS_dns_answer(F, m)    \
	F(m, u32, request, UINT32_MAX) \
	F(m, u32, secure, 1) F(m, slice, failure, IPC_TEXT_MAX) F(m, slice, packet, 61440)
/*
 * The chain of a certificate of the configuration, by its place there, in PEM: empty when it is the
 * one that the asker knows (its version), or when there is none (version 0).
 */
#define IPC_FIELDS_tls_chain_ask(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, u32, certificate, 4096) F(m, u64, known, UINT64_MAX)
#define IPC_FIELDS_tls_chain(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, u64, version, UINT64_MAX) F(m, slice, chain, 49152)
/* What a handshake needs signed, with which key (tls/key.h). */
#define IPC_FIELDS_tls_sign(F, m)      \
	F(m, u32, request, UINT32_MAX) \
	F(m, slice, key, 32) F(m, u32, how, 3) F(m, slice, input, 1024)
#define IPC_FIELDS_tls_signature(F, m) F(m, u32, request, UINT32_MAX) F(m, slice, signature, 1024)
/* The keys of session tickets (tls/tickets.h), the newest first: empty when it is those that the
 * asker knows. */
#define IPC_FIELDS_ticket_keys_ask(F, m) F(m, u32, request, UINT32_MAX) F(m, u64, known, UINT64_MAX)
#define IPC_FIELDS_ticket_keys(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, u64, version, UINT64_MAX) F(m, secret, keys, 160)
/* A key for DKIM, by its place in the configuration: of which kind it is, and what is to be signed
 * with it, a SHA-256 hash. */
#define IPC_FIELDS_dkim_key_ask(F, m) F(m, u32, request, UINT32_MAX) F(m, u32, number, 4096)
#define IPC_FIELDS_dkim_key(F, m)     F(m, u32, request, UINT32_MAX) F(m, u32, is_ed25519, 1)
#define IPC_FIELDS_dkim_sign(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, u32, number, 4096) F(m, slice, digest, 32)
#define IPC_FIELDS_dkim_signature(F, m) F(m, u32, request, UINT32_MAX) F(m, slice, signature, 512)
/* A return path of forwarded mail: the local part for a sender, or (is_back) the sender of a local
 * part. outcome: enum srs_outcome of mailauth/srs.h. */
#define IPC_FIELDS_srs_ask(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, u32, is_back, 1) F(m, slice, text, IPC_TEXT_MAX)
#define IPC_FIELDS_srs_answer(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, u32, outcome, 4) F(m, slice, text, IPC_TEXT_MAX)

/*
 * Whether this is the password of that login, asked for a client at this address; and: whether it
 * is, as whom it counts, and which further senders it may use (auth/passwords.h). What can't be
 * judged now is refused.
 */
#define IPC_FIELDS_auth_ask(F, m)      \
	F(m, u32, request, UINT32_MAX) \
	F(m, slice, login, 254) F(m, secret, password, 511) F(m, slice, client, 64)
#define IPC_FIELDS_auth_answer(F, m)   \
	F(m, u32, request, UINT32_MAX) \
	F(m, u32, granted, 1)          \
	F(m, slice, login, 254) F(m, slice, senders, 1024) F(m, slice, signature, 32)
/* SCRAM: which mechanisms have a verifier for each login; then an exchange of two questions. */
#define IPC_FIELDS_auth_offers_ask(F, m) F(m, u32, request, UINT32_MAX)
#define IPC_FIELDS_auth_offers(F, m)     F(m, u32, request, UINT32_MAX) F(m, u32, scram, 1)
#define IPC_FIELDS_scram_ask(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, slice, login, 254) F(m, slice, nonce, 128)
#define IPC_FIELDS_scram_challenge(F, m) F(m, u32, request, UINT32_MAX) F(m, slice, text, 512)
#define IPC_FIELDS_scram_prove(F, m)   \
	F(m, u32, request, UINT32_MAX) \
	F(m, slice, login, 254)        \
	F(m, slice, nonce, 256)        \
	F(m, slice, message, 2816) F(m, secret, proof, 32) F(m, slice, client, 64)

/*
 * What a worker has counted of strangers and not yet reported: records of ipc/tally.h, the first of
 * its life with is_first; and: what all others have of the same keys. With both goes the key that
 * hashes logins there: guard's, or that of a worker that had it from guard's predecessor.
 */
#define IPC_FIELDS_guard_report(F, m)  \
	F(m, u32, request, UINT32_MAX) \
	F(m, u32, is_first, 1) F(m, slice, hash_key, 16) F(m, slice, records, 61440)
#define IPC_FIELDS_guard_word(F, m)    \
	F(m, u32, request, UINT32_MAX) \
	F(m, slice, hash_key, 16) F(m, slice, records, 61440)

/*
 * May this login do this (enum quota_step of ipc/quota.h)? `sessions` are those of the login in
 * this worker, the asking one included. The answer: limit 0, it may, and it is counted; or one more
 * than the enum conf_login_limit that it is over.
 */
#define IPC_FIELDS_quota_ask(F, m)     \
	F(m, u32, request, UINT32_MAX) \
	F(m, u32, step, 3)             \
	F(m, u32, sessions, 65535)     \
	F(m, u64, octets, INT64_MAX) F(m, slice, login, 254) F(m, slice, recipient, 512)
#define IPC_FIELDS_quota_answer(F, m)  \
	F(m, u32, request, UINT32_MAX) \
	F(m, u32, limit, 64) F(m, u64, most, INT64_MAX)

/* M(KIND, name, senders, receivers, number of descriptors, which may be IPC_FDS_OPTIONAL: that many
 * or none) */
#define IPC_FDS_OPTIONAL 0x80u
#define IPC_CHILDREN     ROLES_CHILDREN
#define IPC_CARRIERS     (ROLE_BIT(ROLE_DELIVER) | ROLE_BIT(ROLE_RELAY))
#define IPC_ASKERS       (ROLE_BIT(ROLE_ADMIN) | ROLE_BIT(ROLE_TOOL))
#define IPC_ANSWERERS    (ROLE_BIT(ROLE_QUEUE) | ROLE_BIT(ROLE_ADMIN))
#define IPC_DNS_ASKERS   (ROLE_BIT(ROLE_RELAY) | ROLE_BIT(ROLE_SESSION))
#define IPC_SIGNERS      (ROLE_BIT(ROLE_RELAY) | ROLE_BIT(ROLE_SESSION)) /* by keys of DKIM */
#define IPC_MESSAGES(M)                                                                           \
	M(START, start, ROLE_BIT(ROLE_ROOT), IPC_CHILDREN, 4)                                     \
	M(PEER, peer, ROLE_BIT(ROLE_ROOT), IPC_CHILDREN, 1)                                       \
	M(RING, ring, ROLE_BIT(ROLE_ROOT), ROLE_BIT(ROLE_SESSION) | ROLE_BIT(ROLE_QUEUE), 2)      \
	M(LOG_RING, log_ring, ROLE_BIT(ROLE_ROOT), ROLE_BIT(ROLE_LOG), 1)                         \
	M(LISTENER, listener, ROLE_BIT(ROLE_ROOT), ROLE_BIT(ROLE_SESSION) | ROLE_BIT(ROLE_ADMIN), \
		1)                                                                                \
	M(FOLDER, folder, ROLE_BIT(ROLE_ROOT),                                                    \
		ROLE_BIT(ROLE_QUEUE) | ROLE_BIT(ROLE_DELIVER) | ROLE_BIT(ROLE_LOG) |              \
			ROLE_BIT(ROLE_KEYS) | ROLE_BIT(ROLE_AUTH) | ROLE_BIT(ROLE_RELAY) |        \
			ROLE_BIT(ROLE_GUARD),                                                     \
		1)                                                                                \
	M(GO, go, ROLE_BIT(ROLE_ROOT), IPC_CHILDREN, 0)                                           \
	M(READY, ready, IPC_CHILDREN, ROLE_BIT(ROLE_ROOT), 0)                                     \
	M(STOP, stop, ROLE_BIT(ROLE_ROOT), IPC_CHILDREN, 0)                                       \
	M(NEED_DELIVER, need_deliver, ROLE_BIT(ROLE_QUEUE), ROLE_BIT(ROLE_ROOT), 0)               \
	M(BROKEN, broken,                                                                         \
		ROLE_BIT(ROLE_QUEUE) | ROLE_BIT(ROLE_LOOKUP) | ROLE_BIT(ROLE_RESOLVER) |          \
			ROLE_BIT(ROLE_RELAY) | ROLE_BIT(ROLE_KEYS) | ROLE_BIT(ROLE_AUTH) |        \
			ROLE_BIT(ROLE_GUARD),                                                     \
		ROLE_BIT(ROLE_ROOT), 0)                                                           \
	M(NO_DELIVER, no_deliver, ROLE_BIT(ROLE_ROOT), ROLE_BIT(ROLE_QUEUE), 0)                   \
	M(SNAPSHOT, snapshot, ROLE_BIT(ROLE_LOOKUP), ROLE_BIT(ROLE_SESSION), 1)                   \
	M(SEGMENT, segment, ROLE_BIT(ROLE_QUEUE), IPC_CARRIERS, 1)                                \
	M(SEGMENT_GONE, segment_gone, ROLE_BIT(ROLE_QUEUE), IPC_CARRIERS, 0)                      \
	M(DELIVER, deliver, ROLE_BIT(ROLE_QUEUE), IPC_CARRIERS, 1 | IPC_FDS_OPTIONAL)             \
	M(RESULT, result, IPC_CARRIERS, ROLE_BIT(ROLE_QUEUE), 0)                                  \
	M(QUEUE_LIST, queue_list, IPC_ASKERS, IPC_ANSWERERS, 0)                                   \
	M(QUEUE_ITEM, queue_item, IPC_ANSWERERS, IPC_ASKERS, 0)                                   \
	M(QUEUE_RECIPIENT, queue_recipient, IPC_ANSWERERS, IPC_ASKERS, 0)                         \
	M(QUEUE_END, queue_end, IPC_ANSWERERS, IPC_ASKERS, 0)                                     \
	M(REFUSED, refused,                                                                       \
		IPC_ANSWERERS | ROLE_BIT(ROLE_RESOLVER) | ROLE_BIT(ROLE_KEYS) |                   \
			ROLE_BIT(ROLE_AUTH) | ROLE_BIT(ROLE_GUARD),                               \
		IPC_ASKERS | ROLE_BIT(ROLE_RELAY) | ROLE_BIT(ROLE_SESSION), 0)                    \
	M(DNS_ASK, dns_ask, IPC_DNS_ASKERS, ROLE_BIT(ROLE_RESOLVER), 0)                           \
	M(DNS_ANSWER, dns_answer, ROLE_BIT(ROLE_RESOLVER), IPC_DNS_ASKERS, 0)                     \
	M(TLS_CHAIN_ASK, tls_chain_ask, ROLE_BIT(ROLE_SESSION), ROLE_BIT(ROLE_KEYS), 0)           \
	M(TLS_CHAIN, tls_chain, ROLE_BIT(ROLE_KEYS), ROLE_BIT(ROLE_SESSION), 0)                   \
	M(TLS_SIGN, tls_sign, ROLE_BIT(ROLE_SESSION), ROLE_BIT(ROLE_KEYS), 0)                     \
	M(TLS_SIGNATURE, tls_signature, ROLE_BIT(ROLE_KEYS), ROLE_BIT(ROLE_SESSION), 0)           \
	M(DKIM_KEY_ASK, dkim_key_ask, IPC_SIGNERS, ROLE_BIT(ROLE_KEYS), 0)                        \
	M(DKIM_KEY, dkim_key, ROLE_BIT(ROLE_KEYS), IPC_SIGNERS, 0)                                \
	M(DKIM_SIGN, dkim_sign, IPC_SIGNERS, ROLE_BIT(ROLE_KEYS), 0)                              \
	M(DKIM_SIGNATURE, dkim_signature, ROLE_BIT(ROLE_KEYS), IPC_SIGNERS, 0)                    \
	M(AUTH_ASK, auth_ask, ROLE_BIT(ROLE_SESSION), ROLE_BIT(ROLE_AUTH), 0)                     \
	M(AUTH_ANSWER, auth_answer, ROLE_BIT(ROLE_AUTH), ROLE_BIT(ROLE_SESSION), 0)               \
	M(GUARD_REPORT, guard_report, ROLE_BIT(ROLE_SESSION), ROLE_BIT(ROLE_GUARD), 0)            \
	M(GUARD_WORD, guard_word, ROLE_BIT(ROLE_GUARD), ROLE_BIT(ROLE_SESSION), 0)                \
	M(AUTH_OFFERS_ASK, auth_offers_ask, ROLE_BIT(ROLE_SESSION), ROLE_BIT(ROLE_AUTH), 0)       \
	M(AUTH_OFFERS, auth_offers, ROLE_BIT(ROLE_AUTH), ROLE_BIT(ROLE_SESSION), 0)               \
	M(SCRAM_ASK, scram_ask, ROLE_BIT(ROLE_SESSION), ROLE_BIT(ROLE_AUTH), 0)                   \
	M(SCRAM_CHALLENGE, scram_challenge, ROLE_BIT(ROLE_AUTH), ROLE_BIT(ROLE_SESSION), 0)       \
	M(SCRAM_PROVE, scram_prove, ROLE_BIT(ROLE_SESSION), ROLE_BIT(ROLE_AUTH), 0)               \
	M(LOG_RING_GONE, log_ring_gone, ROLE_BIT(ROLE_ROOT), ROLE_BIT(ROLE_LOG), 0)               \
	M(UNABLE, unable, ROLE_BIT(ROLE_SESSION) | ROLE_BIT(ROLE_ADMIN), ROLE_BIT(ROLE_ROOT), 0)  \
	M(SRS_ASK, srs_ask, ROLE_BIT(ROLE_SESSION), ROLE_BIT(ROLE_KEYS), 0)                       \
	M(SRS_ANSWER, srs_answer, ROLE_BIT(ROLE_KEYS), ROLE_BIT(ROLE_SESSION), 0)                 \
	M(QUEUE_PAUSED, queue_paused, IPC_ANSWERERS, IPC_ASKERS, 0)                               \
	M(TICKET_KEYS_ASK, ticket_keys_ask, ROLE_BIT(ROLE_SESSION), ROLE_BIT(ROLE_KEYS), 0)       \
	M(TICKET_KEYS, ticket_keys, ROLE_BIT(ROLE_KEYS), ROLE_BIT(ROLE_SESSION), 0)               \
	M(QUEUE_BUNDLE, queue_bundle, IPC_ANSWERERS, IPC_ASKERS, 0)                               \
	M(QUOTA_ASK, quota_ask, ROLE_BIT(ROLE_SESSION), ROLE_BIT(ROLE_GUARD), 0)                  \
	M(QUOTA_ANSWER, quota_answer, ROLE_BIT(ROLE_GUARD), ROLE_BIT(ROLE_SESSION), 0)

/* A test that needs kinds which no role has yet defines rows of its own before it includes this. */
#ifndef IPC_TEST_MESSAGES
#define IPC_TEST_MESSAGES(M)
#endif

#define IPC_KIND(KIND, name, senders, receivers, fds) IPC_##KIND,
enum ipc_kind { IPC_MESSAGES(IPC_KIND) IPC_TEST_MESSAGES(IPC_KIND) IPC_KINDS };
#undef IPC_KIND

#define IPC_TYPE_u32                   uint32_t
#define IPC_TYPE_u64                   uint64_t
#define IPC_TYPE_slice                 struct slice
#define IPC_TYPE_secret                struct secret
#define IPC_MEMBER(m, type, name, max) IPC_TYPE_##type name;
#define IPC_STRUCT(KIND, name, senders, receivers, fds) \
	struct ipc_##name {                             \
		IPC_FIELDS_##name(IPC_MEMBER, name)     \
	};
IPC_MESSAGES(IPC_STRUCT)
IPC_TEST_MESSAGES(IPC_STRUCT)
#undef IPC_STRUCT
#undef IPC_MEMBER

enum queue_state { QUEUE_WAITING, QUEUE_ACTIVE, QUEUE_HELD, QUEUE_DEFERRED, QUEUE_DAMAGED };

/* A failed recipient is one whose sender was not told yet. */
enum recipient_state {
	RECIPIENT_WAITING,
	RECIPIENT_ACTIVE,
	RECIPIENT_HELD,
	RECIPIENT_FAILED,
	RECIPIENT_DONE
};

/* What an operator has done with messages. */
enum queue_action {
	QUEUE_SHOW,
	QUEUE_RETRY,
	QUEUE_HOLD,
	QUEUE_RELEASE,
	QUEUE_DELETE,
	/* Of lanes: the pattern is `lane`; QUEUE_PAUSED for each that is paused then. */
	QUEUE_PAUSE,
	QUEUE_RESUME,
	QUEUE_PAUSES
};

struct ipc_message {
	enum ipc_kind kind;
	union {
#define IPC_UNION_MEMBER(KIND, name, senders, receivers, fds) struct ipc_##name name;
		IPC_MESSAGES(IPC_UNION_MEMBER)
		IPC_TEST_MESSAGES(IPC_UNION_MEMBER)
#undef IPC_UNION_MEMBER
	};
	int fds[IPC_FDS_MAX];
	unsigned fd_count; /* sending: borrowed; received: the receiver's to close */
};

/* Whether a message of this kind may carry so many descriptors. */
bool ipc_fds_fit(enum ipc_kind kind, unsigned count);
bool ipc_may_send(enum ipc_kind kind, enum role sender, enum role receiver);

/* Whether a field of it is a secret. */
bool ipc_kind_is_secret(enum ipc_kind kind);

/* The number of a question or an answer; NULL for every other kind. Points into the message. */
uint32_t *ipc_request(struct ipc_message *message);

/* What ipc_encode appends. */
size_t ipc_encoded_size(const struct ipc_message *message);

/* ERROR_LIMIT when a field is over its maximum: our own bug or an input that should have been
 * bounded before. */
MUST_CHECK enum error ipc_encode(const struct ipc_message *message, struct buffer *buffer);

/* Leaves fds alone. */
MUST_CHECK enum error ipc_decode(struct slice bytes, struct ipc_message *ret_message);

#endif
