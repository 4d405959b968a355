/*
 * `veredus dkim key list` and `veredus dkim key rotate`: the keys of a configuration, whether the
 * DNS knows them, and the next ones. Nothing that is in use is changed: a new key stands in a file
 * beside the old one until the configuration names it.
 */
#include "base/log_record.h"
#include "cmd/dkim_tool.h"
#include "cmd/dns_records.h"
#include "cmd/tool.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>

#define NAME       DKIM_COMMAND
#define PATH_BYTES 4096
#define KEPT_DAYS  7 /* an old record stays at least so long: verifiers may be late */

struct listing {
	struct env *env;
	struct arena arena;
	struct conf conf;
	struct dns_stub stub;
	struct wishes wishes;
	struct finding *findings;
	size_t count;
};

static int
listing_open(struct listing *l, const struct dkim_options *o, struct slice domain)
{
	*l = (struct listing){.env = o->env};
	arena_init(&l->arena, o->env->memory, CONF_ARENA_MAX + DNS_RECORDS_ARENA_BYTES);
	if (conf_load_or_say(o->env, &l->arena, o->conf_file, &l->conf) != OK)
		return EX_CONFIG;
	l->wishes = (struct wishes){
		.env = o->env, .arena = &l->arena, .conf = &l->conf, .command = NAME};
	return wishes_collect_keys(&l->wishes, domain);
}

static void
ask_run(void *arg)
{
	struct listing *l = arg;

	l->stub.loop = l->env->loop;
	struct dns_source source = dns_stub_source(&l->stub);
	while (l->count < l->wishes.count && finding_make(&l->wishes, &l->wishes.items[l->count],
						     &source, l->env->loop, &l->findings[l->count]))
		l->count++;
}

static void
append_pair(struct buffer *text, const char *name, struct slice value)
{
	buffer_printf(text, "\"%s\":", name);
	json_append_string(text, value);
	buffer_append_octet(text, ',');
}

static void
append_json(struct buffer *text, const struct finding *finding)
{
	const struct conf_dkim *dkim = finding->wish->dkim;

	buffer_append_octet(text, '{');
	append_pair(text, "name", dkim->name);
	append_pair(text, "domain", dkim->domain);
	append_pair(text, "selector", dkim->selector);
	append_pair(text, "key", dkim->key);
	append_pair(text, "state", slice_text(finding_state_text(finding->state)));
	append_pair(text, "record", finding->wish->text);
	buffer_append_text(text, "\"advice\":");
	json_append_string(text, finding->advice);
	buffer_append_text(text, "}\n");
}

static void
append_line(struct buffer *text, const struct finding *finding)
{
	const struct conf_dkim *dkim = finding->wish->dkim;

	buffer_printf(text, "%-8s %.*s: domain %.*s, selector %.*s, key ",
		finding_state_text(finding->state), SLICE_ARGS(dkim->name),
		SLICE_ARGS(dkim->domain), SLICE_ARGS(dkim->selector));
	tool_append_harmless(text, dkim->key);
	buffer_append_text(text, "\n         record: ");
	wish_append_record(text, finding->wish);
	buffer_append_octet(text, '\n');
	if (finding->state == FINDING_GOOD)
		return;
	buffer_append_text(text, "         to do: ");
	tool_append_harmless(text, finding->advice);
	buffer_append_octet(text, '\n');
}

static int
list(struct listing *l, bool is_json)
{
	struct buffer text;

	l->findings = arena_take(&l->arena, (l->wishes.count + 1) * sizeof *l->findings);
	enum error error = l->findings ? tool_run(l->env, NAME, ask_run, l) : ERROR_NO_MEMORY;
	if (error == OK && l->count < l->wishes.count)
		error = ERROR_NO_MEMORY;
	if (error != OK)
		return tool_fail(NAME, EX_OSERR, "%s", error_text(error));
	buffer_init(&text, l->env->memory, SIZE_MAX);
	for (size_t i = 0; i < l->count; i++)
		(is_json ? append_json : append_line)(&text, &l->findings[i]);
	error = buffer_error(&text);
	fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	if (l->count == 0)
		fputs("veredus dkim: the configuration has no \"dkim\": nothing is signed\n",
			stderr);
	return error == OK ? tool_finish(NAME, EX_OK)
			   : tool_fail(NAME, EX_OSERR, "%s", error_text(error));
}

int
dkim_keys_list(const struct dkim_options *options)
{
	struct listing l;
	struct dns_stub stub;

	int code = tool_dns_open(NAME, options->dns, &stub);
	if (code != EX_OK)
		return code;
	code = listing_open(&l, options, SLICE(""));
	l.stub = stub;
	if (code == EX_OK)
		code = list(&l, options->is_json);
	arena_done(&l.arena);
	return code;
}

struct rotation {
	char selector[DNS_NAME_MAX + 1];
	char path[PATH_BYTES];
	struct buffer record;
};

/* "s20261130", or "s20261130-2" for the second key of a domain: the place is that of the old one
 * among the domain's keys. */
static void
name_selector(const struct dkim_options *options, size_t place, struct rotation *rotation)
{
	time_t now = (time_t)(options->now / US_PER_S);
	struct tm tm;
	char day[16] = "";

	if (gmtime_r(&now, &tm))
		(void)strftime(day, sizeof day, "s%Y%m%d", &tm);
	const char *base = options->selector ? options->selector : day;
	if (place == 0)
		snprintf(rotation->selector, sizeof rotation->selector, "%s", base);
	else
		snprintf(rotation->selector, sizeof rotation->selector, "%s-%zu", base, place + 1);
}

/* In the old key's folder. */
static bool
name_file(const struct conf_dkim *dkim, struct rotation *rotation)
{
	size_t folder = dkim->key.len;

	while (folder > 0 && dkim->key.ptr[folder - 1] != '/')
		folder--;
	int len = snprintf(rotation->path, sizeof rotation->path, "%.*s%s.%.*s.pem", (int)folder,
		(const char *)dkim->key.ptr, rotation->selector, SLICE_ARGS(dkim->domain));
	return len > 0 && (size_t)len < sizeof rotation->path;
}

static bool
is_taken(const struct conf *conf, struct slice domain, const char *selector)
{
	for (size_t i = 0; i < conf->dkim_count; i++)
		if (slice_equal_nocase(conf->dkims[i].domain, domain) &&
			slice_equal_nocase(conf->dkims[i].selector, slice_text(selector)))
			return true;
	return false;
}

/* A new key of the old one's kind, for whoever owns the old one. */
static int
make_key(struct listing *l, const struct wish *wish, struct rotation *rotation)
{
	struct key *old = NULL, *key = NULL;
	char *path = arena_text(&l->arena, wish->dkim->key);

	if (!path)
		return tool_fail(NAME, EX_OSERR, "%s", error_text(ERROR_NO_MEMORY));
	int code = tool_key_read(NAME, l->env->memory, path, &old);
	if (code != EX_OK)
		return code;
	unsigned bits = key_bits(old) < DKIM_RSA_BITS_MIN ? DKIM_RSA_BITS_MIN : key_bits(old);
	if (key_generate(key_type(old), bits, &key) != OK)
		code = tool_fail(NAME, EX_SOFTWARE, "no key could be made");
	if (code == EX_OK)
		code = tool_key_write(rotation->path, path, key);
	if (code == EX_OK)
		key_record_append(&rotation->record, key, l->env->memory);
	key_free(&old);
	key_free(&key);
	return code;
}

static void
print_plan_head(struct slice domain)
{
	printf("New keys for %.*s are made; nothing uses them yet.\n\n"
	       "1. Publish:\n\n",
		SLICE_ARGS(domain));
}

static void
print_plan_tail(const struct listing *l, struct slice domain)
{
	int64_t days = l->conf.retry.expire_us / US_PER_S / 86400 + KEPT_DAYS;

	printf("\n3. Restart the server. `veredus dkim key list` must say \"good\" of each key.\n"
	       "4. Keep the old records for %lld days more: what waits in the queue, and what "
	       "lies\n"
	       "   at its receivers unread, is verified by them. Then take them off the DNS, and\n"
	       "   delete the old files:\n\n",
		(long long)days);
	for (size_t i = 0; i < l->wishes.count; i++) {
		const struct conf_dkim *dkim = l->wishes.items[i].dkim;
		printf("    %.*s._domainkey.%.*s.  %.*s\n", SLICE_ARGS(dkim->selector),
			SLICE_ARGS(domain), SLICE_ARGS(dkim->key));
	}
}

static void
print_record(const struct listing *l, const struct wish *old, const struct rotation *rotation)
{
	struct buffer text, name;
	struct wish wish = {.kind = WISH_DKIM, .type = DNS_TXT};

	buffer_init(&text, l->env->memory, SIZE_MAX);
	buffer_init(&name, l->env->memory, SIZE_MAX);
	buffer_printf(
		&name, "%s._domainkey.%.*s", rotation->selector, SLICE_ARGS(old->dkim->domain));
	wish.name = buffer_slice(&name);
	wish.text = buffer_slice(&rotation->record);
	wish_append_record(&text, &wish);
	printf("    %.*s\n", SLICE_ARGS(buffer_slice(&text)));
	buffer_done(&name);
	buffer_done(&text);
}

static void
print_blocks(const struct listing *l, const struct rotation *rotations)
{
	puts("\n2. When the DNS has them everywhere (wait for the time to live of the zone), put "
	     "these\n   blocks into the configuration in place of the old ones of the same "
	     "name:\n");
	for (size_t i = 0; i < l->wishes.count; i++) {
		const struct conf_dkim *dkim = l->wishes.items[i].dkim;
		printf("    dkim %.*s { domain %.*s selector %s key %s }\n", SLICE_ARGS(dkim->name),
			SLICE_ARGS(dkim->domain), rotations[i].selector, rotations[i].path);
	}
}

static int
name_all(struct listing *l, const struct dkim_options *options, struct rotation *rotations)
{
	for (size_t i = 0; i < l->wishes.count; i++) {
		const struct conf_dkim *dkim = l->wishes.items[i].dkim;
		name_selector(options, i, &rotations[i]);
		if (!domain_is_signable(slice_text(rotations[i].selector)))
			return tool_misused(
				NAME, "--selector %s is no selector", rotations[i].selector);
		if (is_taken(&l->conf, dkim->domain, rotations[i].selector))
			return tool_misused(NAME,
				"the configuration uses the selector %s already: give another one "
				"by --selector",
				rotations[i].selector);
		if (!name_file(dkim, &rotations[i]))
			return tool_fail(NAME, EX_DATAERR, "the path of the key %.*s is too long",
				SLICE_ARGS(dkim->name));
	}
	return EX_OK;
}

static int
rotate(struct listing *l, const struct dkim_options *options)
{
	struct rotation *rotations = arena_take(&l->arena, l->wishes.count * sizeof *rotations);
	struct slice domain = l->wishes.items[0].dkim->domain;

	if (!rotations)
		return tool_fail(NAME, EX_OSERR, "%s", error_text(ERROR_NO_MEMORY));
	int code = name_all(l, options, rotations);
	for (size_t i = 0; i < l->wishes.count; i++)
		buffer_init(&rotations[i].record, l->env->memory, KEY_FILE_MAX);
	for (size_t i = 0; code == EX_OK && i < l->wishes.count; i++)
		code = make_key(l, &l->wishes.items[i], &rotations[i]);
	if (code == EX_OK) {
		print_plan_head(domain);
		for (size_t i = 0; i < l->wishes.count; i++)
			print_record(l, &l->wishes.items[i], &rotations[i]);
		print_blocks(l, rotations);
		print_plan_tail(l, domain);
	}
	for (size_t i = 0; i < l->wishes.count; i++)
		buffer_done(&rotations[i].record);
	return code == EX_OK ? tool_finish(NAME, EX_OK) : code;
}

int
dkim_keys_rotate(const struct dkim_options *options, const char *domain)
{
	struct listing l;

	int code = listing_open(&l, options, slice_text(domain));
	if (code == EX_OK && l.wishes.count == 0)
		code = tool_fail(NAME, EX_DATAERR,
			"the configuration has no \"dkim\" for %s; make its first key with key new",
			domain);
	if (code == EX_OK)
		code = rotate(&l, options);
	arena_done(&l.arena);
	return code;
}
