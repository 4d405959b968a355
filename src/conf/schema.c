/*
 * The schema: every directive of the configuration, once. Parser, printer and manual read these
 * tables and know no key by name; what keys must be together stands in the check functions below. A
 * key whose feature does not exist yet is not here, so that nobody believes in a setting that does
 * nothing.
 *
 * `route *` says where mail for all other domains goes, and opens no door: who is not trusted
 * (`relay_from`) cannot use it, nor any route `to mx` (conf_route_is_public), or the server would
 * be an open relay.
 */
#include "conf/schema_private.h"

static const struct schema_choice sender_domains[] = {
	{"check", CONF_SENDER_DOMAIN_CHECK, SCHEMA_NONE,
		"550 5.1.8 where it does not exist, 550 5.7.27 where it takes no mail, 451 4.4.3 "
		"where the DNS does not answer."},
	{"log", CONF_SENDER_DOMAIN_LOG, SCHEMA_NONE, "The log says what would be refused."},
	{"off", CONF_SENDER_DOMAIN_OFF, SCHEMA_NONE, "It is not looked at."},
};

static const struct schema_choice client_names[] = {
	{"on", CONF_CLIENT_NAMES_ON, SCHEMA_NONE,
		"The name that the DNS has for its address, and that leads back to it, stands in "
		"Received and in the log. Nobody waits for it."},
	{"off", CONF_CLIENT_NAMES_OFF, SCHEMA_NONE, "Its address alone."},
};

static const struct schema_choice authentications[] = {
	{"on", CONF_AUTHENTICATION_ON, SCHEMA_NONE,
		"SPF, DKIM, ARC and DMARC are checked, and an Authentication-Results field says "
		"what came of it. Clients of \"relay_from\" and of Unix sockets are not asked."},
	{"off", CONF_AUTHENTICATION_OFF, SCHEMA_NONE, "Anybody may write any sender."},
};

static const struct schema_choice dmarc_modes[] = {
	{"evident", CONF_DMARC_EVIDENT, SCHEMA_NONE,
		"Refuses what is surely forged; what a list may have changed goes to Junk."},
	{"strict", CONF_DMARC_STRICT, SCHEMA_NONE,
		"Refuses all that p=reject is for, mail of lists and forwarders with it. RFC 9989 "
		"advises against it."},
	{"log", CONF_DMARC_LOG, SCHEMA_NONE, "What the domain wants is written down and not done."},
};

static const struct schema_choice answers[] = {
	{"yes", CONF_YES, SCHEMA_NONE, "Yes."},
	{"no", CONF_NO, SCHEMA_NONE, "No."},
};

static const struct schema_key dns_keys[] = {
	{
		.word = "server",
		.type = SCHEMA_ENDPOINT,
		.flags = SCHEMA_REPEATED | SCHEMA_LIST,
		.readers = ALWAYS | RESOLVER,
		.offset = offsetof(struct conf_dns, servers),
		.count_offset = offsetof(struct conf_dns, server_count),
		.fallback_note = "those of /etc/resolv.conf",
		.help = "A recursive server, with its port. Without any those of /etc/resolv.conf "
			"are asked.",
		.example = "server 127.0.0.1:53",
	},
	{
		.word = "trust_anchor",
		.type = SCHEMA_PATH,
		.readers = ALWAYS | RESOLVER,
		.offset = offsetof(struct conf_dns, trust_anchor),
		.fallback_note = "none",
		.help = "The file with the keys of the DNS root (or of another zone) by which "
			"signed answers are checked. Without it no answer counts as secure.",
		.example = "trust_anchor /usr/share/dns/root.key",
	},
};

static const struct schema_block dns_block = {
	.keys = dns_keys,
	.key_count = COUNT(dns_keys),
	.item_size = sizeof(struct conf_dns),
};

static const struct schema_key retry_keys[] = {
	{
		.word = "first",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | QUEUE,
		.offset = offsetof(struct conf_retry, first_us),
		.min = 1,
		.max = DAYS(1),
		.fallback = "5m",
		.help = "The wait after the first failed attempt. Each further wait is twice as "
			"long.",
		.example = "first 5m",
	},
	{
		.word = "max",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | QUEUE,
		.offset = offsetof(struct conf_retry, max_us),
		.min = 1,
		.max = DAYS(7),
		.fallback = "4h",
		.help = "No wait is longer than this.",
		.example = "max 4h",
	},
	{
		.word = "expire",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | QUEUE,
		.offset = offsetof(struct conf_retry, expire_us),
		.min = 1,
		.max = DAYS(30),
		.fallback = "5d",
		.help = "How long after its arrival a message is given up.",
		.example = "expire 5d",
	},
};

static const char *
check_retry(const void *item, const char *ret_words[SCHEMA_BLAMED])
{
	const struct conf_retry *retry = item;

	if (retry->first_us > retry->max_us) {
		ret_words[0] = "first";
		ret_words[1] = "max";
		return "\"first\" must not be longer than \"max\"";
	}
	if (retry->max_us > retry->expire_us) {
		ret_words[0] = "max";
		ret_words[1] = "expire";
		return "\"max\" must not be longer than \"expire\"";
	}
	return NULL;
}

static const struct schema_block retry_block = {
	.keys = retry_keys,
	.key_count = COUNT(retry_keys),
	.item_size = sizeof(struct conf_retry),
	.check = check_retry,
};

static const struct schema_choice log_formats[] = {
	{"line", CONF_LOG_LINE, SCHEMA_NONE, "event key=value ..."},
	{"json", CONF_LOG_JSON, SCHEMA_NONE, "One JSON object a line."},
};

static const struct schema_choice log_destinations[] = {
	{"stderr", CONF_LOG_STDERR, SCHEMA_NONE,
		"The standard error of veredus serve, which a service manager keeps."},
	{"file", CONF_LOG_FILE, SCHEMA_PATH, "Appended to this file."},
};

static const struct schema_key log_keys[] = {
	{
		.word = "format",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | LOG,
		.offset = offsetof(struct conf_log, format),
		CHOICES(log_formats),
		.fallback = "line",
		.help = "How a log line looks.",
		.example = "format json",
	},
	{
		.word = "to",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | LOG,
		.offset = offsetof(struct conf_log, to),
		.argument_offset = offsetof(struct conf_log, file),
		CHOICES(log_destinations),
		.fallback = "stderr",
		.help = "Where log lines go.",
		.example = "to file /var/log/veredus.log",
	},
};

static const struct schema_block log_block = {
	.keys = log_keys,
	.key_count = COUNT(log_keys),
	.item_size = sizeof(struct conf_log),
};

static const struct schema_key history_keys[] = {
	{
		.word = "keep",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | LOG,
		.offset = offsetof(struct conf_history, keep_us),
		.min = DAYS(1),
		.max = DAYS(366),
		.fallback = "7d",
		.help = "For how long it is kept, and at most a quarter longer.",
		.example = "keep 7d",
	},
	{
		.word = "size",
		.type = SCHEMA_SIZE,
		.readers = ALWAYS | LOG,
		.offset = offsetof(struct conf_history, size),
		.min = 0,
		.max = GIB(1024),
		.fallback = "256M",
		.help = "The most that it takes of the disk, from 4M on. Half of it is for what "
			"arrived or failed, a quarter each for tries that brought no end and for "
			"what was refused; the oldest goes when there is more. 0: no history is "
			"kept.",
		.example = "size 256M",
	},
};

static const char *
check_history(const void *item, const char *ret_words[SCHEMA_BLAMED])
{
	const struct conf_history *history = item;

	if (history->size > 0 && history->size < MIB(4)) {
		ret_words[0] = "size";
		return "\"size\" must be 0, or 4M at least";
	}
	return NULL;
}

static const struct schema_block history_block = {
	.keys = history_keys,
	.key_count = COUNT(history_keys),
	.item_size = sizeof(struct conf_history),
	.check = check_history,
};

static const struct schema_choice early_talkers[] = {
	{"refuse", CONF_EARLY_REFUSE, SCHEMA_NONE, "It gets 554 instead of a greeting."},
	{"log", CONF_EARLY_LOG, SCHEMA_NONE, "It is greeted, and the log says what it did."},
	{"ignore", CONF_EARLY_IGNORE, SCHEMA_NONE, "It is greeted like any other."},
};

static const struct schema_key root_keys[] = {
	{
		.word = "hostname",
		.type = SCHEMA_HOST,
		.flags = SCHEMA_REQUIRED,
		.readers = CONF_READERS_ALL & ~(unsigned)LOG,
		.offset = offsetof(struct conf, hostname),
		.noun = "hostname",
		.help = "The full name of this machine: in greetings, in Received, in the names of "
			"Maildir files. It should "
			"be the name that the machine's address has in the DNS.",
		.example = "hostname mail.example.org",
	},
	{
		.word = "user",
		.type = SCHEMA_USER,
		.readers = ALWAYS,
		.offset = offsetof(struct conf, user),
		.fallback = "veredus",
		.help = "The account that the unprivileged processes run as when started as root. "
			"Not used otherwise: then "
			"all run as the caller.",
		.example = "user veredus",
	},
	{
		.word = "spool",
		.type = SCHEMA_PATH,
		.readers = ALWAYS | QUEUE,
		.offset = offsetof(struct conf, spool),
		.fallback = "/var/spool/veredus",
		.help = "The folder of the queue. Only one running server may use it.",
		.example = "spool /var/spool/veredus",
	},
	{
		.word = "control",
		.type = SCHEMA_SOCKET,
		.readers = ALWAYS | ADMIN,
		.offset = offsetof(struct conf, control),
		.fallback = "/run/veredus/control",
		.help = "The Unix socket by which veredus queue and the other commands ask the "
			"running server.",
		.example = "control /run/veredus/control",
	},
	{
		.word = "listen",
		.type = SCHEMA_BLOCK,
		.flags = SCHEMA_REPEATED,
		.readers = ALWAYS | SESSION | ADMIN,
		.space = SCHEMA_SPACE_LISTENERS,
		.offset = offsetof(struct conf, listeners),
		.count_offset = offsetof(struct conf, listener_count),
		.block = &schema_listen,
		.help = "A place to take mail in by SMTP. The name is yours and appears in the "
			"log.",
		.example = "listen mx { address *:25 role mx }",
	},
	{
		.word = "certificate",
		.type = SCHEMA_BLOCK,
		.flags = SCHEMA_REPEATED,
		.readers = ALWAYS | SESSION | KEYS,
		.space = SCHEMA_SPACE_CERTIFICATES,
		.offset = offsetof(struct conf, certificates),
		.count_offset = offsetof(struct conf, certificate_count),
		.block = &schema_certificate,
		.help = "A certificate for TLS. The name is yours and appears in the log; whom the "
			"certificate is for stands in it. Without a name, or with one that none is "
			"for, clients get the first. RSA and ECDSA may stand side by side.",
		.example = "certificate mail { chain /etc/fullchain.pem key /etc/privkey.pem }",
	},
	{
		.word = "dkim",
		.type = SCHEMA_BLOCK,
		.flags = SCHEMA_REPEATED,
		.readers = ALWAYS | SESSION | RELAY | KEYS,
		.space = SCHEMA_SPACE_DKIM,
		.offset = offsetof(struct conf, dkims),
		.count_offset = offsetof(struct conf, dkim_count),
		.block = &schema_dkim,
		.help = "A key that signs mail (DKIM). What clients of \"relay_from\" send from an "
			"author of its domain gets a signature of each key of that domain: an RSA "
			"and an Ed25519 key side by side reach every verifier. Reports of this "
			"server, from MAILER-DAEMON at its hostname, get those of the hostname, "
			"or of the nearest domain above it that has keys. Mail of strangers is "
			"never signed. The name is yours and appears in the log.",
		.example = "dkim main { domain example.org selector s1 key /etc/veredus/s1.pem }",
	},
	{
		.word = "domain",
		.type = SCHEMA_BLOCK,
		.flags = SCHEMA_REPEATED,
		.readers = ALWAYS | SESSION | QUEUE | DELIVER | LOOKUP,
		.space = SCHEMA_SPACE_DOMAINS,
		.offset = offsetof(struct conf, domains),
		.count_offset = offsetof(struct conf, domain_count),
		.block = &schema_domain,
		.help = "A domain whose mail ends here, in the mailboxes of its accounts. The case "
			"of letters does not matter.",
		.example = "domain example.org { accounts any mailbox maildir /srv/mail/{user} }",
	},
	{
		.word = "route",
		.type = SCHEMA_BLOCK,
		.flags = SCHEMA_REPEATED,
		.readers = ALWAYS | SESSION | QUEUE | DELIVER | LOOKUP | RELAY,
		.space = SCHEMA_SPACE_DOMAINS,
		.offset = offsetof(struct conf, routes),
		.count_offset = offsetof(struct conf, route_count),
		.block = &schema_route,
		.help = "Where mail for a domain goes that has no mailboxes here; \"*\" is every "
			"domain that is not named. A name is either a \"domain\" or a \"route\". "
			"From everybody mail is taken for named routes that end here or at a given "
			"host; for \"*\" and \"to mx\" only from trusted clients (\"relay_from\").",
		.example = "route * { to mx }",
	},
	{
		.word = "tls_ca",
		.type = SCHEMA_PATH,
		.readers = ALWAYS | RELAY,
		.offset = offsetof(struct conf, tls_ca),
		.fallback_note = "those of the system, /etc/ssl/certs/ca-certificates.crt",
		.help = "The certificates, in PEM, of those who sign other servers': for routes "
			"with "
			"\"tls verified\". Read at the start.",
		.example = "tls_ca /etc/veredus/tls/ca.pem",
	},
	{
		.word = "passwords",
		.type = SCHEMA_PATH,
		.readers = ALWAYS | AUTH,
		.offset = offsetof(struct conf, passwords),
		.fallback_note = "none: nobody logs in",
		.help = "The logins of \"role submission\" and the hashes of their passwords, as "
			"veredus-user(8) writes them. Root opens the file; only the process "
			"\"auth\" reads it. A file that is replaced counts within ten seconds.",
		.example = "passwords /etc/veredus/passwords",
	},
	{
		.word = "relay_from",
		.type = SCHEMA_NETWORK,
		.flags = SCHEMA_REPEATED | SCHEMA_LIST,
		.readers = ALWAYS | SESSION | QUEUE,
		.offset = offsetof(struct conf, relay_from),
		.count_offset = offsetof(struct conf, relay_from_count),
		.fallback_note = "none",
		.help = "Networks whose clients may send to any domain that has a route. None by "
			"default: behind NAT or a proxy a stranger can look like a neighbour.",
		.example = "relay_from 127.0.0.0/8 [::1]/128",
	},
	{
		.word = "dns",
		.type = SCHEMA_BLOCK,
		.readers = ALWAYS | RESOLVER,
		.offset = offsetof(struct conf, dns),
		.block = &dns_block,
		.help = "How names are looked up.",
		.example = "dns { server 127.0.0.1:53 }",
	},
	{
		.word = "srs",
		.type = SCHEMA_BLOCK,
		.readers = ALWAYS | SESSION | KEYS,
		.offset = offsetof(struct conf, srs),
		.block = &schema_srs,
		.help = "The return path of mail that an alias sends to another server.",
		.example = "srs { secrets /etc/veredus/srs.secrets }",
	},
	{
		.word = "authentication",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, authentication),
		CHOICES(authentications),
		.fallback_note =
			"on if a route leads to another server or \"dns\" names one, else off",
		.help = "Whether it is found out who sent what strangers bring.",
		.example = "authentication on",
	},
	{
		.word = "sender_domain",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, sender_domain),
		CHOICES(sender_domains),
		.fallback_note = "check if \"authentication\" is on, else off",
		.help = "Whether the domain of a stranger's sender must be one that mail can be "
			"sent "
			"to. Clients of \"relay_from\" and who has logged in are not asked, nor is "
			"the sender <>.",
		.example = "sender_domain log",
	},
	{
		.word = "client_names",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, client_names),
		CHOICES(client_names),
		.fallback_note = "on if \"authentication\" is on, else off",
		.help = "Whether the DNS is asked for the names of clients.",
		.example = "client_names off",
	},
	{
		.word = "dmarc",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, dmarc),
		CHOICES(dmarc_modes),
		.fallback = "evident",
		.help = "What becomes of a stranger's message, when \"authentication\" is on. The "
			"first of these rules that holds decides: more than one From field: "
			"refused "
			"(550 5.6.0). No From, or no single domain in it: Junk. DMARC fails, and a "
			"sealer of \"arc_trust\" vouches: delivered. DMARC fails and "
			"the "
			"author's domain wants that refused (p=reject), SPF fails too, no "
			"signature, "
			"be it broken, is by the author's domain, and there is no List-Id: refused "
			"(550 5.7.1). DMARC fails, and the domain wants refusal or quarantine: "
			"Junk. "
			"Else it is delivered. Junk is the folder .Junk of the Maildir; what goes "
			"to "
			"another server gets the field X-Veredus-Junk. Trouble with the DNS "
			"refuses "
			"nothing.",
		.example = "dmarc evident",
	},
	{
		.word = "dmarc_report_from",
		.type = SCHEMA_MAILBOX,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, dmarc_report_from),
		.fallback_note = "nobody is told anything",
		.help = "Turns on aggregate reports (RFC 9990): what came in the name of a domain "
			"that asks for them (rua=), from which addresses, and what SPF, DKIM and "
			"DMARC said of it, is collected for a day of UTC. The address is that of "
			"the reports' author; what is sent to it is not counted. \"veredus dmarc "
			"report --pending\" shows what has been collected, \"veredus dmarc send\", "
			"which a "
			"timer runs once a day, sends it. It lies in the history, "
			"and takes an eighth of its \"size\" besides; the history must keep 3d "
			"at least.",
		.example = "dmarc_report_from dmarc-reports@example.org",
	},
	{
		.word = "arc_trust",
		.type = SCHEMA_DOMAIN,
		.flags = SCHEMA_REPEATED | SCHEMA_LIST,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, arc_trust),
		.count_offset = offsetof(struct conf, arc_trust_count),
		.fallback_note = "none",
		.help = "Domains (d=) of forwarders and lists whose ARC seals are believed. When "
			"DMARC fails, the chain holds, and such a sealer says that DMARC passed "
			"for the same author (header.from) when the message came to it, the "
			"message is delivered whatever the author's domain wants. A set counts if "
			"all newer ones are by domains of this list too. Who is named here can let "
			"through mail in anybody's name.",
		.example = "arc_trust lists.example.net",
	},
	{
		.word = "message_size_limit",
		.type = SCHEMA_SIZE,
		.readers = ALWAYS | SESSION | QUEUE,
		.offset = offsetof(struct conf, message_size_limit),
		.min = KIB(64),
		.max = MIB(1024),
		.fallback = "25M",
		.help = "The largest message that is accepted; SIZE announces it.",
		.example = "message_size_limit 25M",
	},
	{
		.word = "recipients_limit",
		.type = SCHEMA_NUMBER,
		.readers = ALWAYS | SESSION | QUEUE,
		.offset = offsetof(struct conf, recipients_limit),
		.min = 100,
		.max = 100000,
		.fallback = "1000",
		.help = "Recipients of one message. RFC 5321 asks for 100 at least; clients send "
			"the rest again. So they do where the addresses together take more than "
			"32M, or "
			"more than \"spool_segment\" has beside 512K.",
		.example = "recipients_limit 1000",
	},
	{
		.word = "content_line_limit",
		.type = SCHEMA_SIZE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, content_line_limit),
		.min = 1000,
		.max = MIB(1),
		.fallback = "16K",
		.help = "The longest line that the content of a message may have. RFC 5321 allows "
			"1000 octets; many senders "
			"write longer ones.",
		.example = "content_line_limit 16K",
	},
	{
		.word = "hops_limit",
		.type = SCHEMA_NUMBER,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, hops_limit),
		.min = 1,
		.max = 1000,
		.fallback = "100",
		.help = "A message with more Received fields than this is taken for a loop and "
			"refused.",
		.example = "hops_limit 100",
	},
	{
		.word = "session_errors_limit",
		.type = SCHEMA_NUMBER,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, session_errors_limit),
		.min = 1,
		.max = 1000,
		.fallback = "10",
		.help = "A client that made this many errors is sent away with 421.",
		.example = "session_errors_limit 10",
	},
	{
		.word = "session_refusals_limit",
		.type = SCHEMA_NUMBER,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, session_refusals_limit),
		.min = 1,
		.max = 100000,
		.fallback = "100",
		.help = "A client that named this many recipients who were refused, since its last "
			"message that "
			"was accepted, is sent away with 421: it tries out names.",
		.example = "session_refusals_limit 100",
	},
	{
		.word = "session_commands_limit",
		.type = SCHEMA_NUMBER,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, session_commands_limit),
		.min = 10,
		.max = 1000000,
		.fallback = "1000",
		.help = "A client that sent this many commands, and \"recipients_limit\" more, "
			"since its last "
			"message that was accepted, is sent away with 421.",
		.example = "session_commands_limit 1000",
	},
	{
		.word = "command_line_limit",
		.type = SCHEMA_SIZE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, command_line_limit),
		.min = 1000,
		.max = KIB(8),
		.fallback = "2K",
		.help = "The longest command line. RFC 5321 asks for 512 octets, and more for "
			"extensions.",
		.example = "command_line_limit 2K",
	},
	{
		.word = "sessions_limit",
		.type = SCHEMA_NUMBER,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, sessions_limit),
		.min = 1,
		.max = 100000,
		.fallback = "1000",
		.help = "Clients that one session process serves at a time. Others wait to be "
			"accepted. Each needs an open file; where the system allows too few of "
			"them, fewer are served.",
		.example = "sessions_limit 1000",
	},
	{
		.word = "limits",
		.type = SCHEMA_BLOCK,
		.readers = ALWAYS | SESSION | GUARD,
		.offset = offsetof(struct conf, limits),
		.block = &schema_limits,
		.help = "What one client and one network may use of all session processes "
			"together. Not meant are Unix sockets, clients of \"relay_from\" and of "
			"\"exempt\", and the messages of those who have logged in: what a login "
			"may "
			"send has limits of its own (\"login_...\"). 0 is no limit. Whoever is "
			"over a "
			"limit is told to come later (421, 450, 454), and the log says so once a "
			"minute.",
		.example = "limits { connections 20  message_rate 100 }",
	},
	{
		.word = "timeout_command",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, timeout_command_us),
		.min = 1,
		.max = HOURS(1),
		.fallback = "5m",
		.help = "How long to wait for the next command. RFC 5321 asks for 5 minutes.",
		.example = "timeout_command 5m",
	},
	{
		.word = "timeout_data",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, timeout_data_us),
		.min = 1,
		.max = HOURS(1),
		.fallback = "3m",
		.help = "How long to wait for the next piece of a message's content.",
		.example = "timeout_data 3m",
	},
	{
		.word = "timeout_begin",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, timeout_begin_us),
		.min = 1,
		.max = HOURS(1),
		.fallback = "1m",
		.help = "How long to wait for the queue to take a message on, or a piece of it, "
			"before the client "
			"is put off. Clients wait 2 minutes for the reply to DATA.",
		.example = "timeout_begin 1m",
	},
	{
		.word = "timeout_commit",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, timeout_commit_us),
		.min = 1,
		.max = HOURS(1),
		.fallback = "5m",
		.help = "How long to wait for a message to be stored before the client is put off. "
			"Clients wait "
			"10 minutes for the reply to the content.",
		.example = "timeout_commit 5m",
	},
	{
		.word = "timeout_tls",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, timeout_tls_us),
		.min = 1,
		.max = HOURS(1),
		.fallback = "30s",
		.help = "How long a client may take for the handshake of TLS.",
		.example = "timeout_tls 30s",
	},
	{
		.word = "timeout_farewell",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, timeout_farewell_us),
		.min = 1,
		.max = HOURS(1),
		.fallback = "10s",
		.help = "How long to wait for the last reply of a session to be taken.",
		.example = "timeout_farewell 10s",
	},
	{
		.word = "content_rate_min",
		.type = SCHEMA_NUMBER,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, content_rate_min),
		.min = 0,
		.max = 1000000,
		.fallback = "64",
		.help = "Octets a second that the content of a message must bring: over each "
			"\"timeout_data\" but the first, or the session ends. With 0 any rate will "
			"do.",
		.example = "content_rate_min 64",
	},
	{
		.word = "content_excess_limit",
		.type = SCHEMA_SIZE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, content_excess_limit),
		.min = 0,
		.max = GIB(1),
		.fallback = "32M",
		.help = "How much content beyond \"message_size_limit\" is read, and thrown away, "
			"so that the "
			"client can be told at its end; then the connection is cut.",
		.example = "content_excess_limit 32M",
	},
	{
		.word = "early_talkers",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, early_talkers),
		CHOICES(early_talkers),
		.fallback = "refuse",
		.help = "What to do with a client that speaks before it was greeted, as no mail "
			"server does.",
		.example = "early_talkers refuse",
	},
	{
		.word = "greeting_wait",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf, greeting_wait_us),
		.min = 0,
		.max = 60,
		.fallback = "0s",
		.help = "How long the greeting is held back to see who speaks before it; 0s looks "
			"only at what "
			"is there already. It delays every client.",
		.example = "greeting_wait 0s",
	},
	{
		.word = "retry",
		.type = SCHEMA_BLOCK,
		.readers = ALWAYS | QUEUE,
		.offset = offsetof(struct conf, retry),
		.block = &retry_block,
		.help = "When a delivery that failed for now is tried again.",
		.example = "retry { first 5m max 4h expire 5d }",
	},
	{
		.word = "reports_limit",
		.type = SCHEMA_NUMBER,
		.readers = ALWAYS | QUEUE,
		.offset = offsetof(struct conf, reports_limit),
		.min = 0,
		.max = 1000000,
		.fallback = "60",
		.help = "How many reports an hour go to senders of mail that strangers brought and "
			"that could not be delivered: their addresses may be forged. What is over "
			"the limit waits for a day, is then suppressed, and is told to the "
			"postmaster where a domain of this server was the reason. Clients of "
			"\"relay_from\" have no limit.",
		.example = "reports_limit 60",
	},
	{
		.word = "report_delay",
		.type = SCHEMA_DURATION,
		.readers = ALWAYS | QUEUE,
		.offset = offsetof(struct conf, report_delay_us),
		.min = 0,
		.max = 30 * 86400,
		.fallback = "4h",
		.help = "How long a message waits before its sender hears, once, that it is late; "
			"0s: he does not. Senders that strangers name hear only what they asked "
			"for "
			"(NOTIFY=DELAY).",
		.example = "report_delay 4h",
	},
	{
		.word = "report_original_limit",
		.type = SCHEMA_SIZE,
		.readers = ALWAYS | QUEUE,
		.offset = offsetof(struct conf, report_original_limit),
		.min = 0,
		.max = MIB(16),
		.fallback = "64K",
		.help = "Up to which size a message is returned whole with the report that it "
			"could "
			"not be delivered, if its sender asked for that (RET=FULL) and is no "
			"stranger. Else the report has the message's header.",
		.example = "report_original_limit 64K",
	},
	{
		.word = "report_targets",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | QUEUE,
		.offset = offsetof(struct conf, report_targets),
		CHOICES(answers),
		.fallback = "no",
		.help = "Whether reports name the addresses that an alias leads to. With \"no\" "
			"such a recipient is the address that the sender wrote, and what other "
			"servers said of it, and their names, are left out. \"veredus why\" and "
			"\"veredus queue show\" have all of it.",
		.example = "report_targets no",
	},
	{
		.word = "report_languages",
		.type = SCHEMA_LABEL,
		.flags = SCHEMA_REPEATED | SCHEMA_LIST,
		.readers = ALWAYS | QUEUE,
		.offset = offsetof(struct conf, report_languages),
		.count_offset = offsetof(struct conf, report_language_count),
		.fallback_note = "English alone",
		.help = "The languages of reports, in this order: de, fr, es, ru. English stands "
			"behind them by itself.",
		.example = "report_languages de fr",
	},
	{
		.word = "report_templates",
		.type = SCHEMA_PATH,
		.readers = ALWAYS,
		.offset = offsetof(struct conf, report_templates),
		.fallback_note = "the texts that come with the server",
		.help = "A folder with texts of reports: failure.en, delay.en, success.en, and "
			"others with de, fr, es and ru. A file that is not there is a text that "
			"comes with the server; which languages are used says "
			"\"report_languages\". UTF-8, lines of 400 octets at most, 16K in all. "
			"{recipients}, alone on its line, is each recipient with what became of "
			"it and why; {sender}, {hostname}, {id} of the message, {date} of its "
			"arrival; {reason} is what was said about the first recipient; in reports "
			"of delay {next_try} and {expires}. A line with one of which nothing is "
			"known is left out. They are read at the start.",
		.example = "report_templates /etc/veredus/reports",
	},
	{
		.word = "spool_segment",
		.type = SCHEMA_SIZE,
		.readers = ALWAYS | SESSION | QUEUE,
		.offset = offsetof(struct conf, spool_segment),
		.min = MIB(1),
		.max = GIB(1),
		.fallback = "64M",
		.help = "The size of one file of the spool, a multiple of 1M. Space is taken and "
			"reused in such pieces.",
		.example = "spool_segment 64M",
	},
	{
		.word = "spool_reserve",
		.type = SCHEMA_SIZE,
		.readers = ALWAYS | QUEUE | LOG,
		.offset = offsetof(struct conf, spool_reserve),
		.min = 0,
		.max = GIB(1024),
		.fallback = "32M",
		.help = "While the file system of the spool has less space than this, new mail is "
			"put off with "
			"452; what is in the queue is still delivered.",
		.example = "spool_reserve 32M",
	},
	{
		.word = "history",
		.type = SCHEMA_BLOCK,
		.readers = ALWAYS | LOG,
		.offset = offsetof(struct conf, history),
		.block = &history_block,
		.help = "What became of mail, also of mail that was refused, in the folder "
			"\"history\" of the spool: veredus why answers from it. It has "
			"addresses, names of servers and their replies, nothing of the content "
			"but the Message-ID.",
		.example = "history { keep 7d size 256M }",
	},
	{
		.word = "log",
		.type = SCHEMA_BLOCK,
		.readers = ALWAYS | LOG,
		.offset = offsetof(struct conf, log),
		.block = &log_block,
		.help = "What is logged where. SIGHUP opens the file again after it was renamed.",
		.example = "log { format json to file /var/log/veredus.log }",
	},
};

static const struct schema_block root_block = {
	.keys = root_keys,
	.key_count = COUNT(root_keys),
	.item_size = sizeof(struct conf),
	.check = schema_check_root,
};

_Static_assert(COUNT(root_keys) <= SCHEMA_KEYS_MAX,
	"places of directives are kept in arrays of this size, and masks of so many bits");

const struct schema_block *
schema_root(void)
{
	return &root_block;
}

const struct schema_key *
schema_find(const struct schema_block *block, struct slice word)
{
	for (size_t i = 0; i < block->key_count; i++) {
		if (slice_equal(slice_text(block->keys[i].word), word))
			return &block->keys[i];
	}
	return NULL;
}

const struct schema_choice *
schema_choice_of(const struct schema_key *key, unsigned value)
{
	for (size_t i = 0; i < key->choice_count; i++) {
		if (key->choices[i].value == value)
			return &key->choices[i];
	}
	return NULL;
}
