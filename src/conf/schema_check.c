/* What the directives of the file itself must be together, and what follows from those that are
 * there. */
#include "conf/schema_private.h"
#include "text/dsn.h"

/* A day is reported in the day after it, and what one day more costs is a bad weekend. */
#define DMARC_KEPT_US (3 * 24 * 3600 * US_PER_S)

static bool
are_languages(const struct slice *codes, size_t count)
{
	enum dsn_language language;

	for (size_t i = 0; i < count; i++) {
		if (!dsn_language_parse(codes[i], &language) || language == DSN_ENGLISH)
			return false;
		for (size_t j = 0; j < i; j++)
			if (slice_equal(codes[i], codes[j]))
				return false;
	}
	return true;
}

const char *
schema_check_root(const void *item, const char *ret_words[SCHEMA_BLAMED])
{
	const struct conf *conf = item;

	if (conf->spool_segment % MIB(1) != 0) {
		ret_words[0] = "spool_segment";
		return "\"spool_segment\" must be a multiple of 1M";
	}
	if (conf->certificate_count > CONF_CERTIFICATES_MAX) {
		ret_words[0] = "certificate";
		return "there may be 64 certificates";
	}
	if (conf->dkim_count > CONF_DKIM_MAX) {
		ret_words[0] = "dkim";
		return "there may be 4096 keys for DKIM";
	}
	for (size_t i = 0; i < conf->listener_count; i++) {
		const struct conf_listener *listener = &conf->listeners[i];
		if (listener->role != CONF_ROLE_SUBMISSION)
			continue;
		ret_words[0] = "listen";
		if (listener->tls == CONF_TLS_OFF || conf->certificate_count == 0)
			return "\"role submission\" needs TLS with a certificate: a password in "
			       "the "
			       "clear is everybody's";
		if (conf->passwords.len == 0)
			return "\"role submission\" needs logins: passwords FILE";
	}
	if (!schema_srs_is_sound(conf)) {
		ret_words[0] = "srs";
		return "the domain of \"srs\" must have a \"domain\" block: bounces come to it";
	}
	if (conf->dmarc_report_from.len > 0 &&
		(conf->history.size == 0 || conf->history.keep_us < DMARC_KEPT_US)) {
		ret_words[0] = "dmarc_report_from";
		ret_words[1] = "history";
		return "what \"dmarc_report_from\" sends lies in the history: keep 3d at least, "
		       "with a size";
	}
	if (!are_languages(conf->report_languages, conf->report_language_count)) {
		ret_words[0] = "report_languages";
		return "\"report_languages\" takes de, fr, es and ru, each once";
	}
	return NULL;
}

void
schema_fill_defaults(struct conf *conf)
{
	bool has_resolver = conf->dns.server_count > 0;
	for (size_t i = 0; i < conf->route_count; i++)
		has_resolver |= conf->routes[i].to >= CONF_TO_MX;
	if (conf->authentication == 0)
		conf->authentication =
			has_resolver ? CONF_AUTHENTICATION_ON : CONF_AUTHENTICATION_OFF;
	bool is_on = conf->authentication == CONF_AUTHENTICATION_ON;
	if (conf->sender_domain == 0)
		conf->sender_domain = is_on ? CONF_SENDER_DOMAIN_CHECK : CONF_SENDER_DOMAIN_OFF;
	if (conf->client_names == 0)
		conf->client_names = is_on ? CONF_CLIENT_NAMES_ON : CONF_CLIENT_NAMES_OFF;
	for (size_t i = 0; i < conf->domain_count; i++) {
		struct conf_domain *domain = &conf->domains[i];
		if (domain->owner != 0)
			continue;
		domain->owner = CONF_OWNER_USER;
		domain->owner_user = conf->user;
	}
	for (size_t i = 0; i < conf->route_count; i++) {
		struct conf_route *route = &conf->routes[i];
		if (route->to == CONF_TO_MAILDIR && route->owner_user.len == 0)
			route->owner_user = conf->user;
	}
}

bool
conf_sessions_ask_dns(const struct conf *conf)
{
	return conf->authentication == CONF_AUTHENTICATION_ON ||
	       conf->sender_domain != CONF_SENDER_DOMAIN_OFF ||
	       conf->client_names == CONF_CLIENT_NAMES_ON;
}

struct slice
conf_postmaster_domain(const struct conf *conf)
{
	if (conf->domain_count > 0)
		return conf->domains[0].name;
	for (size_t i = 0; i < conf->route_count; i++)
		if (slice_equal_nocase(conf->routes[i].name, conf->hostname))
			return conf->hostname;
	return slice_of(NULL, 0);
}
