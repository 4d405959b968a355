/* The directives of `route`: where mail for a domain without mailboxes here goes. */
#include "conf/schema_private.h"

static const struct schema_choice destinations[] = {
	{"maildir", CONF_TO_MAILDIR, SCHEMA_TEMPLATE,
		"Maildirs, as \"mailbox\" of a domain has them, but without {home}."},
	{"discard", CONF_TO_DISCARD, SCHEMA_NONE, "Mail is accepted, stored, logged and dropped."},
	{"hold", CONF_TO_HOLD, SCHEMA_NONE, "Mail stays in the queue and is not delivered."},
	{"reject", CONF_TO_REJECT, SCHEMA_NONE, "Mail is refused."},
	{"mx", CONF_TO_MX, SCHEMA_NONE,
		"To the mail servers that the DNS names for the domain. For trusted clients only "
		"(\"relay_from\")."},
	{"host", CONF_TO_HOST, SCHEMA_NEXT_HOST,
		"By SMTP to this host, whatever the DNS says of the domain."},
	{"lmtp", CONF_TO_LMTP, SCHEMA_LMTP,
		"By LMTP to this host, or to the Unix socket behind \"unix\": another mail store."},
};

static const struct schema_choice allowances[] = {
	{"private", CONF_ALLOW_PRIVATE, SCHEMA_NONE,
		"Addresses of loopback and of private networks too."},
};

static const struct schema_choice families[] = {
	{"any", CONF_FAMILY_ANY, SCHEMA_NONE, "Both."},
	{"ipv4", CONF_FAMILY_IPV4, SCHEMA_NONE, "IPv4 alone."},
	{"ipv6", CONF_FAMILY_IPV6, SCHEMA_NONE, "IPv6 alone."},
};

static const struct schema_choice route_tls[] = {
	{"if-offered", CONF_ROUTE_TLS_IF_OFFERED, SCHEMA_NONE,
		"Where the other server offers STARTTLS and it works, with whatever certificate; "
		"else in the clear. Who only listens learns nothing; who can change packets does."},
	{"off", CONF_ROUTE_TLS_OFF, SCHEMA_NONE, "In the clear."},
	{"required", CONF_ROUTE_TLS_REQUIRED, SCHEMA_NONE,
		"With whatever certificate; without TLS mail waits."},
	{"verified", CONF_ROUTE_TLS_VERIFIED, SCHEMA_NONE,
		"With a certificate for the host of \"to host\" and \"to lmtp\", with \"to mx\" "
		"for "
		"the domain or a name below it (the names of MX records are no proof of anything); "
		"else mail waits."},
};

static const struct schema_choice tls_starts[] = {
	{"starttls", CONF_TLS_START_STARTTLS, SCHEMA_NONE,
		"By STARTTLS, in a connection that begins in the clear."},
	{"implicit", CONF_TLS_START_IMPLICIT, SCHEMA_NONE,
		"The connection begins with the handshake, before the banner (RFC 8314), as port "
		"465 "
		"has it. Nothing is ever in the clear: \"tls required\" is implied, \"tls "
		"verified\" may be said."},
};

static const struct schema_key route_keys[] = {
	{
		.word = "to",
		.type = SCHEMA_CHOICE,
		.flags = SCHEMA_REQUIRED,
		.readers = ALWAYS | SESSION | QUEUE | DELIVER | LOOKUP | RELAY,
		.offset = offsetof(struct conf_route, to),
		.argument_offset = offsetof(struct conf_route, target),
		CHOICES(destinations),
		.noun = "a destination (\"to\")",
		.help = "Where mail for this domain goes.",
		.example = "to host mx.partner.example",
	},
	{
		.word = "port",
		.type = SCHEMA_NUMBER,
		.readers = ALWAYS | QUEUE | RELAY,
		.offset = offsetof(struct conf_route, port),
		.min = 1,
		.max = 65535,
		.fallback_note = "that of the protocol: 25, with \"tls_start implicit\" 465, with "
				 "\"to lmtp\" 24",
		.help = "The port of the other server.",
		.example = "port 2525",
	},
	{
		.word = "fallback",
		.type = SCHEMA_NEXT_HOST,
		.flags = SCHEMA_REPEATED | SCHEMA_LIST,
		.readers = ALWAYS | QUEUE | RELAY,
		.offset = offsetof(struct conf_route, fallbacks),
		.count_offset = offsetof(struct conf_route, fallback_count),
		.fallback_note = "none",
		.help = "Hosts to try, in this order, while that of \"to host\" or \"to lmtp\" "
			"does not answer.",
		.example = "fallback mx2.partner.example",
	},
	{
		.word = "allow",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | RELAY,
		.offset = offsetof(struct conf_route, allow),
		CHOICES(allowances),
		.fallback_note = "the public internet alone",
		.help = "What the DNS may lead to besides the public internet, with \"to mx\": for "
			"tests and closed networks. Whoever can write a DNS record of his own "
			"could else make this server talk to services that trust it.",
		.example = "allow private",
	},
	{
		.word = "tls",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | RELAY,
		.offset = offsetof(struct conf_route, tls),
		CHOICES(route_tls),
		.fallback_note = "if-offered",
		.help = "How mail is encrypted on its way to the other server.",
		.example = "tls required",
	},
	{
		.word = "tls_start",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | QUEUE | RELAY,
		.offset = offsetof(struct conf_route, tls_start),
		CHOICES(tls_starts),
		.fallback_note = "starttls",
		.help = "When TLS begins in a connection to \"to host\" or \"to lmtp\".",
		.example = "tls_start implicit",
	},
	{
		.word = "login",
		.type = SCHEMA_LOGIN,
		.readers = ALWAYS | RELAY,
		.offset = offsetof(struct conf_route, login),
		.fallback_note = "none: mail is sent without AUTH",
		.help = "As whom to log in to \"to host\" or \"to lmtp\", as a provider's smart "
			"host wants it: by SCRAM-SHA-256, PLAIN or LOGIN, the strongest that it "
			"offers, over \"tls verified\" alone. While the server does not accept it, "
			"mail waits and says why; nothing comes back to its sender for that.",
		.example = "login office@provider.example",
	},
	{
		.word = "password_file",
		.type = SCHEMA_PATH,
		.readers = ALWAYS | RELAY,
		.offset = offsetof(struct conf_route, password_file),
		.fallback_note = "none",
		.help = "The password of \"login\": one line. Nobody but the owner of the file may "
			"read it (chmod 600). Root opens it, and only relays read it; one that is "
			"replaced or changed counts within ten seconds.",
		.example = "password_file /etc/veredus/provider.password",
	},
	{
		.word = "family",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | RELAY,
		.offset = offsetof(struct conf_route, family),
		CHOICES(families),
		.fallback_note = "both",
		.help = "Which addresses of the other server are used.",
		.example = "family ipv4",
	},
	{
		.word = "owner",
		.type = SCHEMA_USER,
		.readers = ALWAYS | QUEUE | DELIVER | LOOKUP,
		.offset = offsetof(struct conf_route, owner_user),
		.fallback_note = "the account that \"user\" names",
		.help = "The account that owns the mailboxes of \"to maildir\".",
		.example = "owner vmail",
	},
};

static bool names_domain(struct slice template)
{
	static const struct slice word = SLICE_INIT("{domain}");

	for (size_t i = 0; i + word.len <= template.len; i++)
		if (slice_has_prefix(slice_from(template, i), word))
			return true;
	return false;
}

static const char *
check_tls_start(const struct conf_route *route)
{
	if (route->tls_start == 0)
		return NULL;
	if (route->to != CONF_TO_HOST && route->to != CONF_TO_LMTP)
		return "\"tls_start\" goes with \"to host\" and \"to lmtp\"";
	if (route->tls_start == CONF_TLS_START_STARTTLS)
		return NULL;
	if (route->tls == CONF_ROUTE_TLS_OFF || route->tls == CONF_ROUTE_TLS_IF_OFFERED)
		return "\"tls_start implicit\" is TLS always: it goes with \"tls required\" and "
		       "\"tls verified\"";
	return NULL;
}

/* A password goes to the host that was meant, or nowhere. */
static const char *
check_login(const struct conf_route *route)
{
	if (route->login.len == 0)
		return route->password_file.len == 0 ? NULL
						     : "\"password_file\" goes with \"login\"";
	if (route->to != CONF_TO_HOST && route->to != CONF_TO_LMTP)
		return "\"login\" goes with \"to host\" and \"to lmtp\"";
	if (route->tls != CONF_ROUTE_TLS_VERIFIED)
		return "\"login\" needs \"tls verified\": else the password goes to anybody who "
		       "says that he is the host";
	return route->password_file.len > 0 ? NULL : "\"login\" needs \"password_file FILE\"";
}

static const char *
check_route(const void *item, const char *ret_words[SCHEMA_BLAMED])
{
	const struct conf_route *route = item;

	if (route->owner_user.len > 0) {
		ret_words[0] = "owner";
		if (route->to != CONF_TO_MAILDIR)
			return "\"owner\" goes with \"to maildir\" only";
		if (slice_equal(route->owner_user, SLICE("system")))
			return "a route takes every local part: its owner is one account, not "
			       "\"system\"";
	}
	if (slice_equal(route->name, SLICE("*")) && route->to == CONF_TO_MAILDIR &&
		!names_domain(route->target)) {
		ret_words[0] = "to";
		return "mailboxes of all other domains need {domain} in their path";
	}
	if (route->port != 0 && route->to < CONF_TO_MX) {
		ret_words[0] = "port";
		return "\"port\" goes with \"to mx\", \"to host\" and \"to lmtp\"";
	}
	if (route->fallback_count > 0 && route->to != CONF_TO_HOST && route->to != CONF_TO_LMTP) {
		ret_words[0] = "fallback";
		return "\"fallback\" goes with \"to host\" and \"to lmtp\"";
	}
	if (route->allow != 0 && route->to != CONF_TO_MX) {
		ret_words[0] = "allow";
		return "\"allow\" goes with \"to mx\"; other destinations may be private anyway";
	}
	if (route->tls != 0 && route->to < CONF_TO_MX) {
		ret_words[0] = "tls";
		return "\"tls\" goes with \"to mx\", \"to host\" and \"to lmtp\"";
	}
	const char *problem = check_tls_start(route);
	if (problem) {
		ret_words[0] = "tls_start";
		return problem;
	}
	problem = check_login(route);
	if (problem) {
		ret_words[0] = route->login.len > 0 ? "login" : "password_file";
		return problem;
	}
	if (route->to == CONF_TO_MAILDIR && slice_has_prefix(route->target, SLICE("{home}"))) {
		ret_words[0] = "to";
		return "a route takes every local part: there is no {home}";
	}
	return NULL;
}

const struct schema_block schema_route = {
	.keys = route_keys,
	.key_count = COUNT(route_keys),
	.item_size = sizeof(struct conf_route),
	.name_type = SCHEMA_ROUTE,
	.name_offset = offsetof(struct conf_route, name),
	.check = check_route,
};
