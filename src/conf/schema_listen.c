/* The directives of `listen`, `certificate` and `dkim`: where clients come in, how TLS is had
 * there, and the keys that sign. */
#include "conf/schema_private.h"

static const struct schema_choice roles[] = {
	{"mx", CONF_ROLE_MX, SCHEMA_NONE,
		"Mail from other servers, for our own domains and routes only."},
	{"submission", CONF_ROLE_SUBMISSION, SCHEMA_NONE,
		"Mail from people's own programs, as ports 587 and 465 have it: whoever logs in "
		"with a login of \"passwords\" may send to every domain that has a route, as that "
		"login alone. Nobody else may send, but for the networks of \"relay_from\". A "
		"password is taken under TLS alone."},
	{"lmtp", CONF_ROLE_LMTP, SCHEMA_NONE,
		"Mail from another mail server that hands it over by LMTP (RFC 2033), for our own "
		"domains and routes: a reply for each recipient, and what it brings is not judged "
		"once more. Let nobody else reach it: an address of loopback, or a Unix socket."},
};

static const struct schema_choice tls_modes[] = {
	{"off", CONF_TLS_OFF, SCHEMA_NONE, "Everything travels in clear text."},
	{"starttls", CONF_TLS_STARTTLS, SCHEMA_NONE,
		"Clients may ask for TLS with the command STARTTLS. Those that do not send in the "
		"clear."},
	{"implicit", CONF_TLS_IMPLICIT, SCHEMA_NONE,
		"TLS from the first octet on, as port 465 has it."},
};

static const struct schema_choice tls_versions[] = {
	{"1.0", CONF_TLS_1_0, SCHEMA_NONE,
		"Broken since 2014: for a printer on a listener of its own, nothing else."},
	{"1.1", CONF_TLS_1_1, SCHEMA_NONE, "As weak as 1.0."},
	{"1.2", CONF_TLS_1_2, SCHEMA_NONE, "With forward secrecy always."},
	{"1.3", CONF_TLS_1_3, SCHEMA_NONE,
		"Some mail servers can't: on port 25 they send in the clear."},
};

static const struct schema_choice newlines[] = {
	{"normalize", CONF_NEWLINES_NORMALIZE, SCHEMA_NONE,
		"Each becomes the end of a line, before anything is counted, stored or signed; "
		"none of them can end the content."},
	{"refuse", CONF_NEWLINES_REFUSE, SCHEMA_NONE, "The message, or the command, is refused."},
};

static const struct schema_choice answers[] = {
	{"yes", CONF_YES, SCHEMA_NONE, "Yes."},
	{"no", CONF_NO, SCHEMA_NONE, "No."},
};

static const struct schema_key listen_keys[] = {
	{
		.word = "address",
		.type = SCHEMA_ENDPOINT,
		.flags = SCHEMA_REQUIRED | SCHEMA_REPEATED,
		.readers = ALWAYS | SESSION | ADMIN,
		.space = SCHEMA_SPACE_ADDRESSES,
		.offset = offsetof(struct conf_listener, addresses),
		.count_offset = offsetof(struct conf_listener, address_count),
		.noun = "an address",
		.help = "Where to listen: an IPv4 address, an IPv6 address in brackets, or * for "
			"every address, with a "
			"port behind a colon; or a Unix socket. Port 0 lets the kernel choose; the "
			"port it chose is printed "
			"and logged.",
		.example = "address [2001:db8::25]:25",
	},
	{
		.word = "role",
		.type = SCHEMA_CHOICE,
		.flags = SCHEMA_REQUIRED,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_listener, role),
		CHOICES(roles),
		.noun = "a role",
		.help = "What the clients of this listener are, and so what they may do.",
		.example = "role mx",
	},
	{
		.word = "tls",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_listener, tls),
		CHOICES(tls_modes),
		.fallback = "starttls",
		.help = "How clients get TLS. The certificates are those of the \"certificate\" "
			"blocks: which one is shown depends on the name that a client asks for, "
			"and on the kinds of keys that it knows. Without any, each start makes one "
			"that signs itself: other servers' mail is encrypted with it, but people's "
			"programs will rightly complain.",
		.example = "tls implicit",
	},
	{
		.word = "tls_minimum",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_listener, tls_minimum),
		CHOICES(tls_versions),
		.fallback = "1.2",
		.help = "The oldest version of TLS that is spoken.",
		.example = "tls_minimum 1.3",
	},
	{
		.word = "bare_newlines",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_listener, bare_newlines),
		CHOICES(newlines),
		.fallback = "normalize",
		.help = "What to make of CR and LF that stand alone. SMTP forbids them; many "
			"programs send them.",
		.example = "bare_newlines refuse",
	},
	{
		.word = "strict_paths",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_listener, strict_paths),
		CHOICES(answers),
		.fallback = "no",
		.help = "Whether addresses in MAIL and RCPT must stand in < and >, and senders be "
			"well-formed addresses.",
		.example = "strict_paths yes",
	},
	{
		.word = "proxy_from",
		.type = SCHEMA_NETWORK,
		.flags = SCHEMA_REPEATED,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_listener, proxy_from),
		.count_offset = offsetof(struct conf_listener, proxy_from_count),
		.fallback_note = "none",
		.help = "Networks of proxies. Each connection from there must begin with a header "
			"of "
			"the PROXY protocol (version 1 or 2), before TLS too, and the client is "
			"who "
			"it names: limits, \"relay_from\" and the log are about that one.",
		.example = "proxy_from 10.0.0.5",
	},
	{
		.word = "xclient_from",
		.type = SCHEMA_NETWORK,
		.flags = SCHEMA_REPEATED,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_listener, xclient_from),
		.count_offset = offsetof(struct conf_listener, xclient_from_count),
		.fallback_note = "none",
		.help = "Networks of proxies that speak SMTP themselves and say with XCLIENT "
			"(ADDR, "
			"NAME, PORT) who their client is: limits, \"relay_from\" and the log are "
			"about that one from then on, and the proxy itself has no limits.",
		.example = "xclient_from 10.0.0.5",
	},
};

const struct schema_block schema_listen = {
	.keys = listen_keys,
	.key_count = COUNT(listen_keys),
	.item_size = sizeof(struct conf_listener),
	.name_type = SCHEMA_LABEL,
	.name_offset = offsetof(struct conf_listener, name),
};

static const struct schema_key certificate_keys[] = {
	{
		.word = "chain",
		.type = SCHEMA_PATH,
		.flags = SCHEMA_REQUIRED,
		.readers = ALWAYS | KEYS,
		.offset = offsetof(struct conf_certificate, chain),
		.noun = "a chain",
		.help = "The certificate in PEM, and behind it those that sign it, each signed by "
			"the "
			"next; what certbot calls fullchain.pem. A file that is replaced counts "
			"within half a minute.",
		.example = "chain /etc/veredus/tls/fullchain.pem",
	},
	{
		.word = "key",
		.type = SCHEMA_PATH,
		.flags = SCHEMA_REQUIRED,
		.readers = ALWAYS | KEYS,
		.offset = offsetof(struct conf_certificate, key),
		.noun = "a key",
		.help = "Its private key in PEM, RSA of at least 2048 bits or ECDSA, without a "
			"passphrase. Root opens it; only the process \"keys\" reads it.",
		.example = "key /etc/veredus/tls/privkey.pem",
	},
};

const struct schema_block schema_certificate = {
	.keys = certificate_keys,
	.key_count = COUNT(certificate_keys),
	.item_size = sizeof(struct conf_certificate),
	.name_type = SCHEMA_LABEL,
	.name_offset = offsetof(struct conf_certificate, name),
};

static const struct schema_key dkim_keys[] = {
	{
		.word = "domain",
		.type = SCHEMA_DOMAIN,
		.flags = SCHEMA_REQUIRED,
		.readers = ALWAYS | SESSION | RELAY,
		.offset = offsetof(struct conf_dkim, domain),
		.noun = "a domain",
		.help = "Whose mail it signs: the domain in From, exactly.",
		.example = "domain example.org",
	},
	{
		.word = "selector",
		.type = SCHEMA_DOMAIN,
		.flags = SCHEMA_REQUIRED,
		.readers = ALWAYS | SESSION | RELAY,
		.offset = offsetof(struct conf_dkim, selector),
		.noun = "a selector",
		.help = "The name of the key in the DNS, where its public half must stand before "
			"it "
			"signs: SELECTOR._domainkey.DOMAIN. \"veredus dkim key new\" prints that "
			"record.",
		.example = "selector s2026",
	},
	{
		.word = "key",
		.type = SCHEMA_PATH,
		.flags = SCHEMA_REQUIRED,
		.readers = ALWAYS | KEYS,
		.offset = offsetof(struct conf_dkim, key),
		.noun = "a key",
		.help = "The private key in PEM, RSA of 2048 to 4096 bits or Ed25519, without a "
			"passphrase. Root opens it; only the process \"keys\" reads it. A file "
			"that "
			"is replaced counts within half a minute.",
		.example = "key /etc/veredus/dkim/s2026.pem",
	},
};

const struct schema_block schema_dkim = {
	.keys = dkim_keys,
	.key_count = COUNT(dkim_keys),
	.item_size = sizeof(struct conf_dkim),
	.name_type = SCHEMA_LABEL,
	.name_offset = offsetof(struct conf_dkim, name),
};
