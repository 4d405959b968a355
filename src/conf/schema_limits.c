/* The directives of `limits`: what strangers may use, each for an address and for the network
 * around it. */
#include "conf/schema_private.h"

static const struct schema_choice loopbacks[] = {
	{"exempt", CONF_LOOPBACK_EXEMPT, SCHEMA_NONE,
		"No limit holds for clients of this machine. Behind a proxy all strangers look "
		"like one of them."},
	{"limited", CONF_LOOPBACK_LIMITED, SCHEMA_NONE,
		"They are clients like any other; a login on this machine is a stranger too."},
};

/* A limit for an address, and the same for its network. */
#define LIMIT(name, which, address_most, network_most, what)                                      \
	{                                                                                         \
		.word = name,                                                                     \
		.type = SCHEMA_NUMBER,                                                            \
		.readers = ALWAYS | SESSION,                                                      \
		.offset = offsetof(struct conf_limits, address[which]),                           \
		.min = 0,                                                                         \
		.max = 1000000,                                                                   \
		.fallback = address_most,                                                         \
		.help = what " Of one IPv4 address, or one IPv6 network of 64 bits.",             \
		.example = name " " address_most,                                                 \
	},                                                                                        \
	{                                                                                         \
		.word = "network_" name, .type = SCHEMA_NUMBER, .readers = ALWAYS | SESSION,      \
		.offset = offsetof(struct conf_limits, network[which]), .min = 0, .max = 1000000, \
		.fallback = network_most,                                                         \
		.help = "The same for an IPv4 network of 24 bits, or an IPv6 network of 48.",     \
		.example = "network_" name " " network_most,                                      \
	}

/* What a login may use, wherever it comes from. */
#define LOGIN_LIMIT(name, which, kind, highest, most, what)                                     \
	{                                                                                       \
		.word = name, .type = kind, .readers = ALWAYS | GUARD,                          \
		.offset = offsetof(struct conf_limits, login[which]), .min = 0, .max = highest, \
		.fallback = most, .help = what, .example = name " " most,                       \
	}
#define LOGIN_NUMBER(name, which, most, what) \
	LOGIN_LIMIT(name, which, SCHEMA_NUMBER, 100000000, most, what)
#define LOGIN_BYTES(name, which, what) LOGIN_LIMIT(name, which, SCHEMA_SIZE, GIB(1024), "0", what)

static const struct schema_key limits_keys[] = {
	LIMIT("connections", CONF_LIMIT_CONNECTIONS, "50", "200", "Connections at once."),
	LIMIT("connection_rate", CONF_LIMIT_CONNECTS, "60", "600", "New connections a minute."),
	LIMIT("contents", CONF_LIMIT_CONTENTS, "30", "100",
		"Messages whose content is on its way at once."),
	LIMIT("message_rate", CONF_LIMIT_MESSAGES, "3000", "12000", "Messages a minute."),
	LIMIT("error_rate", CONF_LIMIT_ERRORS, "100", "400",
		"Faults of the protocol in ten minutes."),
	LIMIT("unknown_rate", CONF_LIMIT_UNKNOWN, "100", "400",
		"Unknown recipients in ten minutes. From half of it on each answer waits a "
		"second."),
	LIMIT("login_failures", CONF_LIMIT_LOGINS, "20", "100", "Failed logins in ten minutes."),
	{
		.word = "account_failures",
		.type = SCHEMA_NUMBER,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_limits, account_failures),
		.min = 0,
		.max = 1000000,
		.fallback = "50",
		.help = "Failed logins as the same user in ten minutes, from wherever. Then he can "
			"log "
			"in only from networks where he did so before since the server was "
			"started, "
			"so that strangers who guess do not shut him out there.",
		.example = "account_failures 50",
	},
	LOGIN_NUMBER("login_recipients_hour", CONF_LOGIN_RECIPIENTS_HOUR, "300",
		"Recipients that one login may name in an hour, on all its connections together. "
		"This limit and all that begin with \"login_\" hold wherever the client comes "
		"from, for \"exempt\" networks too: a password may be stolen anywhere. Whoever is "
		"over it gets 450 4.7.1 and may go on later; the log says login_over_quota once an "
		"hour. What was counted survives a restart. 0: no limit."),
	LOGIN_NUMBER(
		"login_recipients_day", CONF_LOGIN_RECIPIENTS_DAY, "2000", "The same in a day."),
	LOGIN_NUMBER("login_new_recipients_hour", CONF_LOGIN_NEW_HOUR, "100",
		"Recipients in an hour that a login has not written to before, as far as this "
		"server remembers: who writes to many strangers at once is hardly a person."),
	LOGIN_NUMBER("login_new_recipients_day", CONF_LOGIN_NEW_DAY, "0",
		"The same in a day. 0: no limit."),
	LOGIN_NUMBER("login_messages_hour", CONF_LOGIN_MESSAGES_HOUR, "0",
		"Messages of a login in an hour. 0: no limit."),
	LOGIN_NUMBER("login_messages_day", CONF_LOGIN_MESSAGES_DAY, "0",
		"The same in a day. 0: no limit."),
	LOGIN_BYTES("login_bytes_hour", CONF_LOGIN_BYTES_HOUR,
		"Octets of all messages of a login in an hour; a message that is larger never "
		"gets through. 0: no limit."),
	LOGIN_BYTES("login_bytes_day", CONF_LOGIN_BYTES_DAY, "The same in a day. 0: no limit."),
	LOGIN_NUMBER("login_sessions", CONF_LOGIN_SESSIONS, "20",
		"Connections of a login that send mail at once; each counts from its first MAIL "
		"on. 0: no limit."),
	{
		.word = "loopback",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_limits, loopback),
		CHOICES(loopbacks),
		.fallback = "exempt",
		.help = "Whether clients of this machine itself (127.0.0.0/8, ::1) have limits.",
		.example = "loopback limited",
	},
	{
		.word = "exempt",
		.type = SCHEMA_NETWORK,
		.flags = SCHEMA_REPEATED | SCHEMA_LIST,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_limits, exempt),
		.count_offset = offsetof(struct conf_limits, exempt_count),
		.fallback_note = "none",
		.help = "Further networks without limits: an own secondary mail server, a probe.",
		.example = "exempt 192.0.2.7 [2001:db8::]/48",
	},
	{
		.word = "scarce_timeout",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_limits, scarce_timeout_us),
		.min = 1,
		.max = HOURS(1),
		.fallback = "20s",
		.help = "How long a client may say nothing while three quarters of the places of "
			"\"sessions_limit\" are taken; else \"timeout_command\" holds.",
		.example = "scarce_timeout 20s",
	},
};

const struct schema_block schema_limits = {
	.keys = limits_keys,
	.key_count = COUNT(limits_keys),
	.item_size = sizeof(struct conf_limits),
};
