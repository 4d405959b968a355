/*
 * The configuration: a text file of words and blocks, read into one typed struct. What may be
 * written, with types, ranges, defaults, help and the roles that may see it, stands once, in the
 * table of schema.c; the parser, the canonical printer, `veredus check` and the manual page
 * veredus.conf(5) are driven by it.
 *
 * Pure but for conf_load, conf_load_or_say and conf_problems_say: text in, struct out. Slices of a
 * struct conf lie in the arena that was given; the struct owns nothing.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/env.h"
#include "base/error.h"

#define CONF_TEXT_MAX     (16u << 20) /* octets of a file: 100,000 domains take about 7 MB */
#define CONF_TOKEN_MAX    4096        /* octets of one word or string */
#define CONF_BLOCKS_MAX   200000
#define CONF_PROBLEMS_MAX 20 /* errors reported in one run */
#define CONF_ARENA_MAX \
	(256u << 20) /* what the largest file may need; an ordinary one needs a few KB */

/* Who reads a configuration: each process is given the part that is meant for it. Bits of a mask.
 */
enum conf_reader {
	CONF_READER_ROOT = 1u << 0,
	CONF_READER_SESSION = 1u << 1,
	CONF_READER_QUEUE = 1u << 2,
	CONF_READER_DELIVER = 1u << 3,
	CONF_READER_LOOKUP = 1u << 4,
	CONF_READER_ADMIN = 1u << 5,
	CONF_READER_LOG = 1u << 6,
	CONF_READER_TOOL = 1u << 7, /* the commands that people run */
	CONF_READER_RELAY = 1u << 8,
	CONF_READER_RESOLVER = 1u << 9,
	CONF_READER_KEYS = 1u << 10,
	CONF_READER_AUTH = 1u << 11,
	CONF_READER_GUARD = 1u << 12,
};
#define CONF_READERS     13
#define CONF_READERS_ALL ((1u << CONF_READERS) - 1)

/* In all enums of choices 0 stands for "not given": only views (conf_parse_view) hold it. */
enum conf_role { CONF_ROLE_MX = 1, CONF_ROLE_SUBMISSION, CONF_ROLE_LMTP };
enum conf_tls { CONF_TLS_OFF = 1, CONF_TLS_STARTTLS, CONF_TLS_IMPLICIT };
enum conf_tls_version { CONF_TLS_1_0 = 1, CONF_TLS_1_1, CONF_TLS_1_2, CONF_TLS_1_3 };
enum conf_accounts { CONF_ACCOUNTS_FILE = 1, CONF_ACCOUNTS_SYSTEM, CONF_ACCOUNTS_ANY };
enum conf_aliases { CONF_ALIASES_FILE = 1 };
/* What stands between an account and the detail behind it (RFC 5233). */
enum conf_detail { CONF_DETAIL_PLUS = 1, CONF_DETAIL_HYPHEN, CONF_DETAIL_OFF };
enum conf_mailbox { CONF_MAILBOX_MAILDIR = 1 };
enum conf_owner { CONF_OWNER_USER = 1, CONF_OWNER_SYSTEM };
enum conf_to {
	CONF_TO_MAILDIR = 1,
	CONF_TO_DISCARD,
	CONF_TO_HOLD,
	CONF_TO_REJECT,
	CONF_TO_MX,
	CONF_TO_HOST,
	CONF_TO_LMTP
};
enum conf_route_tls {
	CONF_ROUTE_TLS_IF_OFFERED = 1,
	CONF_ROUTE_TLS_OFF,
	CONF_ROUTE_TLS_REQUIRED,
	CONF_ROUTE_TLS_VERIFIED
};
enum conf_tls_start { CONF_TLS_START_STARTTLS = 1, CONF_TLS_START_IMPLICIT };
enum conf_allow { CONF_ALLOW_PRIVATE = 1 };
enum conf_family { CONF_FAMILY_ANY = 1, CONF_FAMILY_IPV4, CONF_FAMILY_IPV6 };
enum conf_newlines { CONF_NEWLINES_NORMALIZE = 1, CONF_NEWLINES_REFUSE };
enum conf_answer { CONF_YES = 1, CONF_NO };
enum conf_authentication { CONF_AUTHENTICATION_ON = 1, CONF_AUTHENTICATION_OFF };
enum conf_sender_domain {
	CONF_SENDER_DOMAIN_CHECK = 1,
	CONF_SENDER_DOMAIN_LOG,
	CONF_SENDER_DOMAIN_OFF
};
enum conf_client_names { CONF_CLIENT_NAMES_ON = 1, CONF_CLIENT_NAMES_OFF };
enum conf_dmarc { CONF_DMARC_EVIDENT = 1, CONF_DMARC_STRICT, CONF_DMARC_LOG };
enum conf_early { CONF_EARLY_REFUSE = 1, CONF_EARLY_LOG, CONF_EARLY_IGNORE };
enum conf_log_format { CONF_LOG_LINE = 1, CONF_LOG_JSON };
enum conf_log_to { CONF_LOG_STDERR = 1, CONF_LOG_FILE };

struct conf_listener {
	struct slice name;
	struct slice *addresses; /* each in the form of endpoint_parse */
	size_t address_count;
	enum conf_role role;
	enum conf_tls tls;
	enum conf_tls_version tls_minimum;
	enum conf_newlines bare_newlines;
	enum conf_answer strict_paths;
	struct slice *proxy_from; /* networks, each in the form of network_parse */
	size_t proxy_from_count;
	struct slice *xclient_from; /* likewise */
	size_t xclient_from_count;
};

/* For TLS: files in PEM. */
struct conf_certificate {
	struct slice name;
	struct slice chain;
	struct slice key;
};
#define CONF_CERTIFICATES_MAX 64
#define CONF_SELF_SIGNED      "self-signed" /* the name of the one that is made */

/* A key that signs what a domain of ours sends (DKIM). */
struct conf_dkim {
	struct slice name;
	struct slice domain;
	struct slice selector;
	struct slice key; /* a file in PEM */
};
#define CONF_DKIM_MAX 4096

/* Domain names are lower case. Templates hold {domain}, {user} and, with CONF_OWNER_SYSTEM only and
 * in front, {home}. */
struct conf_domain {
	struct slice name;
	enum conf_accounts accounts;
	struct slice accounts_file;
	enum conf_aliases aliases;
	struct slice aliases_file;
	enum conf_detail detail;
	enum conf_mailbox mailbox;
	struct slice mailbox_template;
	enum conf_owner owner;
	struct slice owner_user; /* CONF_OWNER_USER */
};

#define CONF_PORT_SMTP        25
#define CONF_PORT_LMTP        24
#define CONF_PORT_SUBMISSIONS 465

/* Mail for a domain ("*": for every other one) that goes one way. */
struct conf_route {
	struct slice name;
	enum conf_to to;
	struct slice target; /* MAILDIR: the template; HOST: the host; LMTP: a host, or a path */
	struct slice owner_user; /* MAILDIR */
	uint64_t port;           /* MX, HOST, LMTP; 0: the protocol's own (conf_route_port) */
	struct slice *fallbacks; /* HOST, LMTP: further hosts */
	size_t fallback_count;
	enum conf_allow allow; /* MX */
	enum conf_route_tls
		tls; /* MX, HOST, LMTP; 0: if offered, or required if tls_start is implicit */
	enum conf_tls_start tls_start; /* HOST, LMTP; 0: by STARTTLS */
	struct slice login;            /* HOST, LMTP with TLS_VERIFIED; empty: none */
	struct slice password_file;    /* of `login` */
	enum conf_family family;
};

static inline uint16_t
conf_route_port(const struct conf_route *route)
{
	if (route->port != 0)
		return (uint16_t)route->port;
	if (route->to == CONF_TO_LMTP)
		return CONF_PORT_LMTP;
	return route->tls_start == CONF_TLS_START_IMPLICIT ? CONF_PORT_SUBMISSIONS : CONF_PORT_SMTP;
}

/* Where mail of strangers may be taken for: what ends with us, or at a host that we were told. Mail
 * by MX is for trusted clients only. */
static inline bool
conf_route_is_public(const struct conf_route *route)
{
	return route->to != CONF_TO_MX && !slice_equal(route->name, SLICE("*"));
}

/* To a server that may be somebody else's. */
static inline bool
conf_route_is_abroad(const struct conf_route *route)
{
	return route->to == CONF_TO_MX || route->to == CONF_TO_HOST;
}

struct conf_dns {
	struct slice *servers; /* none: those of /etc/resolv.conf */
	size_t server_count;
	struct slice trust_anchor; /* empty: no DNSSEC */
};

/* Mail that an alias sends abroad (`srs`). */
enum conf_rewrite { CONF_REWRITE_ON = 1, CONF_REWRITE_OFF };

struct conf_srs {
	enum conf_rewrite rewrite;
	struct slice domain;  /* empty: that of the first `domain` */
	struct slice secrets; /* a file; empty: CONF_SRS_SECRETS in the spool */
};
#define CONF_SRS_SECRETS "srs.secrets"

/* What a stranger may use (`limits`); 0: as much as he likes. */
enum conf_limit {
	CONF_LIMIT_CONNECTIONS, /* at once */
	CONF_LIMIT_CONTENTS,    /* on their way at once */
	CONF_LIMIT_CONNECTS,    /* a minute */
	CONF_LIMIT_MESSAGES,    /* a minute */
	CONF_LIMIT_ERRORS,      /* in ten minutes, as are the following */
	CONF_LIMIT_UNKNOWN,     /* recipients */
	CONF_LIMIT_LOGINS,      /* that failed */
	CONF_LIMITS
};
/* Of a login: each quota of an hour is followed by that of a day. */
enum conf_login_limit {
	CONF_LOGIN_RECIPIENTS_HOUR,
	CONF_LOGIN_RECIPIENTS_DAY,
	CONF_LOGIN_NEW_HOUR, /* recipients that it has not written to before */
	CONF_LOGIN_NEW_DAY,
	CONF_LOGIN_MESSAGES_HOUR,
	CONF_LOGIN_MESSAGES_DAY,
	CONF_LOGIN_BYTES_HOUR,
	CONF_LOGIN_BYTES_DAY,
	CONF_LOGIN_SESSIONS, /* at once */
	CONF_LOGIN_LIMITS
};
#define CONF_LOGIN_QUOTAS CONF_LOGIN_SESSIONS
enum conf_loopback { CONF_LOOPBACK_EXEMPT = 1, CONF_LOOPBACK_LIMITED };

struct conf_limits {
	uint64_t address[CONF_LIMITS]; /* IPv4 addresses, IPv6 networks of 64 bits */
	uint64_t network[CONF_LIMITS]; /* of 24 and of 48 bits */
	uint64_t account_failures;     /* in ten minutes */
	uint64_t login[CONF_LOGIN_LIMITS];
	enum conf_loopback loopback;
	struct slice *exempt; /* networks */
	size_t exempt_count;
	int64_t scarce_timeout_us;
};

struct conf_retry {
	int64_t first_us;
	int64_t max_us;
	int64_t expire_us;
};

/* What `veredus why` answers from. */
struct conf_history {
	int64_t keep_us;
	uint64_t size; /* octets; 0: there is none */
};

struct conf_log {
	enum conf_log_format format;
	enum conf_log_to to;
	struct slice file; /* CONF_LOG_FILE */
};

struct conf {
	struct slice hostname;
	struct slice user;
	struct slice spool;
	struct slice control;
	struct conf_listener *listeners;
	size_t listener_count;
	struct conf_certificate *certificates;
	size_t certificate_count;
	struct conf_dkim *dkims;
	size_t dkim_count;
	struct conf_domain *domains;
	size_t domain_count;
	struct conf_route *routes;
	size_t route_count;
	struct slice passwords;   /* a file; empty: nobody logs in */
	struct slice tls_ca;      /* a file; empty: the system's */
	struct slice *relay_from; /* networks, each in the form of network_parse */
	size_t relay_from_count;
	struct conf_dns dns;
	struct conf_srs srs;
	enum conf_authentication authentication;
	enum conf_sender_domain sender_domain;
	enum conf_client_names client_names;
	enum conf_dmarc dmarc;
	struct slice dmarc_report_from; /* an address; empty: no reports */
	struct slice *arc_trust;        /* domains of sealers, lower case */
	size_t arc_trust_count;
	uint64_t message_size_limit; /* octets */
	uint64_t recipients_limit;
	uint64_t content_line_limit; /* octets */
	uint64_t hops_limit;
	uint64_t session_errors_limit;
	uint64_t session_refusals_limit;
	uint64_t session_commands_limit;
	uint64_t command_line_limit; /* octets */
	uint64_t sessions_limit;
	struct conf_limits limits;
	int64_t timeout_command_us;
	int64_t timeout_data_us;
	int64_t timeout_begin_us;
	int64_t timeout_commit_us;
	int64_t timeout_farewell_us;
	int64_t timeout_tls_us;
	uint64_t content_rate_min;     /* octets a second */
	uint64_t content_excess_limit; /* octets */
	enum conf_early early_talkers;
	int64_t greeting_wait_us;
	struct conf_retry retry;
	uint64_t reports_limit;  /* an hour */
	int64_t report_delay_us; /* 0: nobody is told */
	uint64_t report_original_limit;
	enum conf_answer report_targets;
	struct slice report_templates;  /* folder; empty: there are none */
	struct slice *report_languages; /* codes; English, which is always last, left out */
	size_t report_language_count;
	uint64_t spool_segment; /* octets; a multiple of 1 MiB */
	uint64_t spool_reserve; /* octets */
	struct conf_history history;
	struct conf_log log;
};

/* Where something stands in the text: both count from 1, columns in characters. */
struct conf_place {
	uint32_t line;
	uint32_t column;
};

struct conf_problem {
	struct conf_place place; /* line 0: the file as a whole */
	struct slice text;       /* one line of printable ASCII */
};

/* What is wrong with a file, in the order of the text. One list for one parse. */
struct conf_problems {
	struct arena arena;
	struct slice file;
	struct conf_problem items[CONF_PROBLEMS_MAX];
	size_t count;
	bool more; /* there were more than fit */
};

/* How many certificates clients may be shown: one is made where none is configured. */
static inline size_t
conf_shown_certificates(const struct conf *conf)
{
	return conf->certificate_count > 0 ? conf->certificate_count : 1;
}

/* Whether any client gets TLS. */
static inline bool
conf_has_tls(const struct conf *conf)
{
	for (size_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].tls > CONF_TLS_OFF)
			return true;
	return false;
}

/* Whether an alias may send mail to somebody else's server. */
bool conf_forwards(const struct conf *conf);

/* The domain that answers for such mail; empty: there is none. */
struct slice conf_forward_domain(const struct conf *conf);
/* The domain of the return paths of such mail; empty: they stay as they are. */
struct slice conf_srs_domain(const struct conf *conf);

void conf_problems_init(struct conf_problems *problems, struct memory *memory);
void conf_problems_done(struct conf_problems *problems);

/* A line each: `mail.conf:7:3: unknown directive "hostnme" (did you mean "hostname"?)`. */
void conf_problems_format(const struct conf_problems *problems, struct buffer *buffer);

/*
 * Reads a whole configuration; `file_name` is for the messages. ERROR_FORMAT: the problems say what
 * is wrong. ERROR_NO_MEMORY: the arena's maximum or the account. The text may go afterwards.
 */
MUST_CHECK enum error conf_parse(struct env *env, struct arena *arena, struct slice file_name,
	struct slice text, struct conf *ret_conf, struct conf_problems *problems);

/*
 * Reads what conf_print made for these readers. Keys that they may not see need not be there, and
 * stay zero or empty instead of taking their defaults.
 */
MUST_CHECK enum error conf_parse_view(struct env *env, struct arena *arena, unsigned readers,
	struct slice text, struct conf *ret_conf, struct conf_problems *problems);

/*
 * Reads the file and parses it. Errors of reading are returned as they are, with a problem that
 * says which; ERROR_LIMIT: over CONF_TEXT_MAX. Blocks.
 */
MUST_CHECK enum error conf_load(struct env *env, struct arena *arena, int dir_fd, const char *path,
	struct conf *ret_conf, struct conf_problems *problems);

/* What is wrong, on standard error; without problems (no memory for them) the error itself. */
void conf_problems_say(
	struct env *env, const char *path, const struct conf_problems *problems, enum error error);

/* For a program that can't go on without its configuration: conf_load, and what is wrong is said.
 */
MUST_CHECK enum error
conf_load_or_say(struct env *env, struct arena *arena, const char *path, struct conf *ret_conf);

/*
 * The configuration as canonical text, every key written out that one of the readers (bits of enum
 * conf_reader) may see. It parses again to the same struct. The error is the buffer's.
 */
void conf_print(const struct conf *conf, unsigned readers, struct buffer *buffer);

/*
 * Where mail for <postmaster> without a domain goes (RFC 5321 section 4.5.1): the first domain,
 * else the hostname if there is a route for it; empty: nobody gets it.
 */
struct slice conf_postmaster_domain(const struct conf *conf);

/* Whether sessions ask the DNS about strangers. */
bool conf_sessions_ask_dns(const struct conf *conf);

/* The reference of all keys as mdoc(7) source, for veredus.conf(5). The error is the buffer's. */
void conf_print_manual(struct buffer *buffer);

#endif
