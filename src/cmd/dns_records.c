/* What should be published, from a configuration: a list in the order in which it is printed. */
#include "cmd/dns_records.h"
#include "cmd/dkim_tool.h"
#include "cmd/tool.h"
#include "cmd/tool_message.h"
#include "net/endpoint.h"
#include "tls/context.h"

#include <sysexits.h>

#define TXT_STRING_MAX 255
#define RECORD_MAX     2048
#define OTHERS_MAX     8 /* wishes besides those of keys, certificates and listeners */

static struct wish *
add(struct wishes *wishes, enum wish_kind kind, enum dns_type type, struct slice name)
{
	struct wish *wish = &wishes->items[wishes->count++];

	*wish = (struct wish){.kind = kind, .type = type, .name = name};
	return wish;
}

static int
no_memory(const struct wishes *wishes)
{
	return tool_fail(wishes->command, EX_OSERR, "%s", error_text(ERROR_NO_MEMORY));
}

/* Joined into the arena. */
static bool
join(struct wishes *wishes, struct slice *ret_text, const char *before, struct slice middle,
	const char *after)
{
	struct buffer text;

	buffer_init(&text, wishes->env->memory, RECORD_MAX);
	buffer_append_text(&text, before);
	buffer_append(&text, middle);
	buffer_append_text(&text, after);
	bool is_done = text.error == OK && arena_copy(wishes->arena, buffer_slice(&text), ret_text);
	buffer_done(&text);
	return is_done;
}

static int
read_key(struct wishes *wishes, const struct conf_dkim *dkim, struct slice *ret_record)
{
	struct key *key = NULL;
	struct buffer record;
	char *path = arena_text(wishes->arena, dkim->key);

	if (!path)
		return no_memory(wishes);
	int code = tool_key_read(wishes->command, wishes->env->memory, path, &key);
	if (code != EX_OK)
		return code;
	buffer_init(&record, wishes->env->memory, RECORD_MAX);
	key_record_append(&record, key, wishes->env->memory);
	if (record.error != OK || !arena_copy(wishes->arena, buffer_slice(&record), ret_record))
		code = no_memory(wishes);
	buffer_done(&record);
	key_free(&key);
	return code;
}

static bool
key_name(struct wishes *wishes, const struct conf_dkim *dkim, struct slice *ret_name)
{
	struct slice below;

	return join(wishes, &below, "._domainkey.", dkim->domain, "") &&
	       join(wishes, ret_name, "", dkim->selector, arena_text(wishes->arena, below));
}

static int
add_keys(struct wishes *wishes, struct slice domain)
{
	const struct conf *conf = wishes->conf;
	int code = EX_OK;

	for (size_t i = 0; code == EX_OK && i < conf->dkim_count; i++) {
		const struct conf_dkim *dkim = &conf->dkims[i];
		if (domain.len > 0 && !slice_equal_nocase(domain, dkim->domain))
			continue;
		struct wish *wish = add(wishes, WISH_DKIM, DNS_TXT, dkim->selector);
		wish->dkim = dkim;
		code = key_name(wishes, dkim, &wish->name) ? read_key(wishes, dkim, &wish->text)
							   : no_memory(wishes);
	}
	return code;
}

static int
add_certificate(struct wishes *wishes, const struct conf_certificate *certificate)
{
	struct tls_key_id id;
	struct buffer chain;
	char *path = arena_text(wishes->arena, certificate->chain);

	if (!path)
		return no_memory(wishes);
	buffer_init(&chain, wishes->env->memory, TLS_CHAIN_BYTES_MAX);
	int code = tool_file_read(wishes->command, path, &chain);
	const char *why = code == EX_OK ? tls_chain_key_id(buffer_slice(&chain), &id) : NULL;
	buffer_done(&chain);
	if (why)
		return tool_fail(wishes->command, EX_DATAERR, "%s: %s", path, why);
	if (code != EX_OK)
		return code;
	struct wish *wish = add(wishes, WISH_TLSA, DNS_TLSA, SLICE(""));
	bool is_done = join(wishes, &wish->name, "_25._tcp.", wishes->conf->hostname, "") &&
		       arena_copy(wishes->arena, tls_key_id_slice(&id), &wish->text);
	return is_done ? EX_OK : no_memory(wishes);
}

static bool
has_mx_with_tls(const struct conf *conf)
{
	for (size_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].role == CONF_ROLE_MX &&
			conf->listeners[i].tls == CONF_TLS_STARTTLS)
			return true;
	return false;
}

static int
add_certificates(struct wishes *wishes)
{
	const struct conf *conf = wishes->conf;
	int code = EX_OK;

	for (size_t i = 0; code == EX_OK && has_mx_with_tls(conf) && i < conf->certificate_count;
		i++)
		if (!slice_equal(conf->certificates[i].name, SLICE(CONF_SELF_SIGNED)))
			code = add_certificate(wishes, &conf->certificates[i]);
	return code;
}

/* Where people's programs find the way to send (RFC 6186, RFC 8314 section 5.1). */
static int
add_listener(struct wishes *wishes, const struct conf_listener *listener)
{
	struct endpoint endpoint;
	bool is_implicit = listener->tls == CONF_TLS_IMPLICIT;

	if (listener->role != CONF_ROLE_SUBMISSION || listener->tls == CONF_TLS_OFF ||
		listener->address_count == 0 ||
		endpoint_parse(listener->addresses[0], &endpoint) != OK)
		return EX_OK;
	struct wish *wish = add(wishes, WISH_SRV, DNS_SRV, SLICE(""));
	wish->port = endpoint_port(&endpoint);
	wish->target = wishes->conf->hostname;
	return join(wishes, &wish->name, is_implicit ? "_submissions._tcp." : "_submission._tcp.",
		       wishes->domain, "")
		       ? EX_OK
		       : no_memory(wishes);
}

static int
add_mail(struct wishes *wishes)
{
	struct slice host = wishes->conf->hostname, domain = wishes->domain;
	struct wish *wish;

	add(wishes, WISH_ADDRESS, DNS_A, host);
	add(wishes, WISH_MX, DNS_MX, domain)->target = host;
	wish = add(wishes, WISH_SPF, DNS_TXT, domain);
	if (!join(wishes, &wish->text, "v=spf1 a:", host, " -all"))
		return no_memory(wishes);
	/* Reports have no sender: then the name in EHLO is judged (RFC 7208 section 2.4). */
	if (!slice_equal_nocase(host, domain))
		add(wishes, WISH_SPF, DNS_TXT, host)->text = SLICE("v=spf1 a -all");
	int code = add_keys(wishes, domain);
	if (code != EX_OK)
		return code;
	wish = add(wishes, WISH_DMARC, DNS_TXT, domain);
	bool is_done =
		join(wishes, &wish->name, "_dmarc.", domain, "") &&
		join(wishes, &wish->text, "v=DMARC1; p=none; rua=mailto:postmaster@", domain, "");
	return is_done ? EX_OK : no_memory(wishes);
}

static bool
make_room(struct wishes *wishes)
{
	const struct conf *conf = wishes->conf;
	size_t room =
		OTHERS_MAX + conf->dkim_count + conf->certificate_count + conf->listener_count;

	wishes->items = arena_take(wishes->arena, room * sizeof *wishes->items);
	return wishes->items != NULL;
}

/* As the configuration writes it; false: it is none of ours. */
static bool
find_domain(const struct conf *conf, struct slice name, struct slice *ret_domain)
{
	for (size_t i = 0; i < conf->domain_count; i++)
		if (slice_equal_nocase(conf->domains[i].name, name)) {
			*ret_domain = conf->domains[i].name;
			return true;
		}
	for (size_t i = 0; i < conf->route_count; i++)
		if (slice_equal_nocase(conf->routes[i].name, name) &&
			conf_route_is_public(&conf->routes[i])) {
			*ret_domain = conf->routes[i].name;
			return true;
		}
	return false;
}

int
wishes_collect(struct wishes *wishes, struct slice domain)
{
	const struct conf *conf = wishes->conf;

	if (!find_domain(conf, domain, &wishes->domain))
		return tool_fail(wishes->command, EX_DATAERR,
			"%.*s is neither a \"domain\" nor a \"route\" of the configuration that "
			"mail comes in for",
			SLICE_ARGS(domain));
	int code = make_room(wishes) ? add_mail(wishes) : no_memory(wishes);
	if (code == EX_OK)
		code = add_certificates(wishes);
	for (size_t i = 0; code == EX_OK && i < conf->listener_count; i++)
		code = add_listener(wishes, &conf->listeners[i]);
	return code;
}

int
wishes_collect_keys(struct wishes *wishes, struct slice domain)
{
	return make_room(wishes) ? add_keys(wishes, domain) : no_memory(wishes);
}

static void
append_strings(struct buffer *text, struct slice value)
{
	bool is_long = value.len > TXT_STRING_MAX;

	buffer_append_text(text, is_long ? "(" : "");
	for (size_t at = 0; at < value.len; at += TXT_STRING_MAX) {
		buffer_append_text(text, is_long ? " \"" : "\"");
		buffer_append(text, slice_sub(value, at, TXT_STRING_MAX));
		buffer_append_octet(text, '"');
	}
	buffer_append_text(text, is_long ? " )" : "");
}

void
wish_append_record(struct buffer *text, const struct wish *wish)
{
	buffer_append(text, wish->name);
	buffer_printf(text, ". IN %s ", dns_type_name(wish->type));
	switch (wish->type) {
	case DNS_MX:
		buffer_printf(text, "%d ", DNS_MX_PREFERENCE);
		break;
	case DNS_SRV:
		buffer_printf(text, "0 1 %u ", wish->port);
		break;
	case DNS_TLSA:
		buffer_append_text(text, "3 1 1 ");
		for (size_t i = 0; i < wish->text.len; i++)
			buffer_printf(text, "%02x", wish->text.ptr[i]);
		return;
	default:
		append_strings(text, wish->text);
		return;
	}
	buffer_append(text, wish->target);
	buffer_append_octet(text, '.');
}
