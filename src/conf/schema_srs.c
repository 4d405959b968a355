/* What the `srs` block may say, and what follows from it. */
#include "conf/schema_private.h"

static const struct schema_choice rewrites[] = {
	{"on", CONF_REWRITE_ON, SCHEMA_NONE,
		"Mail that an alias sends to another server leaves with a return path of this "
		"server (SRS), so that SPF does not fail there. What bounces is sent to the first "
		"sender. Senders of own domains, and the empty one, stay as they are."},
	{"off", CONF_REWRITE_OFF, SCHEMA_NONE, "Return paths stay as they are."},
};

static const struct schema_key srs_keys[] = {
	{
		.word = "rewrite",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_srs, rewrite),
		CHOICES(rewrites),
		.fallback = "on",
		.help = "Whether return paths are rewritten.",
		.example = "rewrite on",
	},
	{
		.word = "domain",
		.type = SCHEMA_DOMAIN,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_srs, domain),
		.fallback_note = "the first \"domain\"",
		.help = "The domain of these return paths, one that has a \"domain\" block. Its "
			"SPF record must name this server, and its key for DKIM, if there is one, "
			"seals what is forwarded (ARC).",
		.example = "domain example.org",
	},
	{
		.word = "secrets",
		.type = SCHEMA_PATH,
		.readers = ALWAYS | KEYS,
		.offset = offsetof(struct conf_srs, secrets),
		.fallback_note = "srs.secrets in the spool, made at the first start",
		.help = "The secrets that prove that a return path was made here, one a line, each "
			"of 16 octets or more: the first makes new ones, the others (up to seven) "
			"are still good. To change the secret put a new line in front, and take "
			"the old one away after 21 days. Root opens the file; only the process "
			"\"keys\" reads it. A file that is replaced counts within ten seconds.",
		.example = "secrets /etc/veredus/srs.secrets",
	},
};

const struct schema_block schema_srs = {
	.keys = srs_keys,
	.key_count = COUNT(srs_keys),
	.item_size = sizeof(struct conf_srs),
};

static bool
has_domain(const struct conf *conf, struct slice name)
{
	bool has = false;

	for (size_t i = 0; i < conf->domain_count; i++)
		has |= slice_equal_nocase(conf->domains[i].name, name);
	return has;
}

bool
schema_srs_is_sound(const struct conf *conf)
{
	return conf->srs.domain.len == 0 || conf->domain_count == 0 ||
	       has_domain(conf, conf->srs.domain);
}

bool
conf_forwards(const struct conf *conf)
{
	bool has_aliases = false, leads_abroad = false;

	for (size_t i = 0; i < conf->domain_count; i++)
		has_aliases |= conf->domains[i].aliases != 0;
	for (size_t i = 0; i < conf->route_count; i++)
		leads_abroad |= conf_route_is_abroad(&conf->routes[i]);
	return has_aliases && leads_abroad;
}

struct slice
conf_forward_domain(const struct conf *conf)
{
	if (!conf_forwards(conf))
		return slice_of(NULL, 0);
	return conf->srs.domain.len > 0 ? conf->srs.domain : conf->domains[0].name;
}

struct slice
conf_srs_domain(const struct conf *conf)
{
	return conf->srs.rewrite == CONF_REWRITE_ON ? conf_forward_domain(conf) : slice_of(NULL, 0);
}
