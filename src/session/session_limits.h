/*
 * What strangers may use of this worker and of all workers together (`limits` of the
 * configuration). Each worker counts for itself, reports to `guard` what changed, and hears what
 * the others have (ipc/tally.h). It decides at once, by its own count and what it heard last: no
 * client ever waits for guard, and without one the worker limits alone.
 *
 * So a limit is exact when clients come one after another, and in a burst over several workers may
 * be passed by what comes within REPORT_EVERY_US; never is a worker's own count over it.
 */
#ifndef SESSION_SESSION_LIMITS_H
#define SESSION_SESSION_LIMITS_H

#include "base/env.h"
#include "conf/conf.h"
#include "net/endpoint.h"
#include "smtp/reply.h"

struct caller;
struct session_limits;

/* How much of a client is counted. */
enum guest_counting {
	GUEST_FREE,   /* nothing: it is trusted, or has no address */
	GUEST_PLACES, /* the places that it holds in this worker */
	GUEST_ALL
};

/* A client, as long as its session. */
struct session_guest {
	uint8_t ip[16];
	uint8_t ip_len; /* 0: it came through a Unix socket */
	uint8_t counting;
	bool has_content; /* on its way */
};

/* `unable`: what guard says can't be taken; the worker is to be replaced. */
struct session_limits *session_limits_new(struct env *env, const struct conf *conf,
	void (*unable)(void *arg, enum error error), void *arg);

/* Begins to report. */
MUST_CHECK enum error session_limits_go(struct session_limits *limits);

/* The channel to guard; owned from here on. */
void session_limits_connect(struct session_limits *limits, int channel_fd, uint32_t instance);

/* For further questions to guard. */
struct caller *session_limits_caller(struct session_limits *limits);

/* May wait. */
void session_limits_stop(struct session_limits *limits);
void session_limits_free(struct session_limits **limits);

struct session_guest session_guest_of(
	const struct session_limits *limits, const struct endpoint *endpoint, bool is_trusted);

/*
 * A connection: counted, or refused with the reply that says why (code 0: it is taken). `free`: the
 * places that this worker has left. Nobody may hold more than three times as many.
 */
struct smtp_reply session_guest_enter(
	struct session_limits *limits, const struct session_guest *guest, uint64_t free);
void session_guest_leave(struct session_limits *limits, const struct session_guest *guest);

/* Why it may do this no more; code 0: it may. */
struct smtp_reply session_guest_may(
	struct session_limits *limits, const struct session_guest *guest, enum conf_limit limit);

/* It did, once more. Not for what is counted at once. */
void session_guest_did(
	struct session_limits *limits, const struct session_guest *guest, enum conf_limit limit);

/* Whether half of what it may do is done. */
bool session_guest_is_slowed(const struct session_limits *limits, const struct session_guest *guest,
	enum conf_limit limit);

/*
 * Logins. Whoever guesses is limited by his address and network, and all who guess together by the
 * login; but he whose login it is keeps getting in from networks where he did before. May wait
 * shortly: for guard to say whether this is one. The failures of a login in known networks do not
 * count against it.
 */
bool session_guest_may_log_in(
	struct session_limits *limits, const struct session_guest *guest, struct slice login);
void session_guest_logged_in(
	struct session_limits *limits, const struct session_guest *guest, struct slice login);
void session_guest_failed_login(
	struct session_limits *limits, const struct session_guest *guest, struct slice login);

/* Its content is on its way; is over (or never was). */
void session_guest_content(struct session_limits *limits, struct session_guest *guest);
void session_guest_content_over(struct session_limits *limits, struct session_guest *guest);

#endif
