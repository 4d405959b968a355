/*
 * Whose message it is stands in its header; from then on the body is hashed as it passes. Behind
 * the content's end each key is asked for: first of which kind it is, since that stands in what is
 * signed, then for its signature of a hash.
 *
 * Only the one domain of the one From field counts, and only exactly: a message of two authors, or
 * of none, is signed by nobody.
 */
#include "sign/signing.h"
#include "base/log_record.h"
#include "mailauth/author.h"
#include "sign/key_ask.h"
#include "text/address.h"
#include "text/international.h"

#define FIELDS_MAX 12288

struct signing {
	struct env *env;
	const struct conf *conf;
	struct caller *keys;
	struct content *content;
	struct slice author; /* in A-labels; empty: none that could be signed for */
	char author_storage[ADDRESS_DOMAIN_MAX];
	bool is_own, is_hashed;
	unsigned hash; /* of the body */
	struct buffer fields;
};

static bool
is_key_of(const struct signing *signing, const struct conf_dkim *key)
{
	return slice_equal_nocase(key->domain, signing->author);
}

static bool
has_key(const struct signing *signing)
{
	for (size_t i = 0; i < signing->conf->dkim_count; i++)
		if (is_key_of(signing, &signing->conf->dkims[i]))
			return true;
	return false;
}

/* Its author is a name of a host: what is above it is the organization's (RFC 9989, relaxed
 * alignment). */
static void
find_domain_above(struct signing *signing)
{
	while (signing->author.len > 0 && !has_key(signing)) {
		size_t dot = 0;
		while (dot < signing->author.len && signing->author.ptr[dot] != '.')
			dot++;
		signing->author = dot < signing->author.len ? slice_from(signing->author, dot + 1)
							    : SLICE("");
	}
}

/* Without From the body is hashed too: it may be added. */
static void
header_done(void *arg, struct content *content)
{
	struct signing *signing = arg;
	struct dkim_signing any = {.body_canon = CANON_RELAXED};
	struct slice author;
	enum author_fault fault = author_of_content(content, &author);

	if (fault != AUTHOR_OK && fault != AUTHOR_NO_FROM)
		return;
	signing->is_hashed = dkim_sign_begin(&any, content);
	signing->hash = any.hash;
}

static void
set_author(struct signing *signing, struct slice author)
{
	struct buffer ascii;

	buffer_init_fixed(&ascii, signing->author_storage, sizeof signing->author_storage);
	if (domain_append_ascii(&ascii, author) == OK && buffer_error(&ascii) == OK)
		signing->author = buffer_slice(&ascii);
}

static enum error
complete(struct signing *signing, struct slice added)
{
	struct slice author;

	if (!signing->is_hashed || content_fault(signing->content))
		return OK;
	enum error error = added.len > 0 ? content_add_on_top(signing->content, added) : OK;
	if (error == ERROR_LIMIT)
		return OK; /* what nobody would read is not signed */
	if (error == OK && author_of_content(signing->content, &author) == AUTHOR_OK)
		set_author(signing, author);
	if (signing->is_own)
		find_domain_above(signing);
	return error;
}

struct signing *
signing_new(struct env *env, const struct conf *conf, struct caller *keys)
{
	struct signing *signing = memory_try(env->memory, sizeof *signing);

	if (!signing)
		return NULL;
	*signing = (struct signing){.env = env, .conf = conf, .keys = keys};
	buffer_init(&signing->fields, env->memory, FIELDS_MAX);
	signing->content = content_new(env->memory, header_done, signing);
	if (!signing->content)
		signing_free(&signing);
	return signing;
}

void
signing_of_own(struct signing *signing)
{
	signing->is_own = true;
}

void
signing_free(struct signing **pointer)
{
	struct signing *signing = *pointer;

	if (!signing)
		return;
	content_free(&signing->content);
	buffer_done(&signing->fields);
	memory_put(signing->env->memory, signing);
	*pointer = NULL;
}

void
signing_feed(struct signing *signing, struct slice octets)
{
	content_feed(signing->content, octets);
}

/* May wait. */
static enum error
append_signature(struct signing *signing, const struct conf_dkim *key)
{
	struct key_of_keys which = {signing->keys, (uint32_t)(key - signing->conf->dkims)};
	struct dkim_signer signer;
	enum error error = key_signer(&which, &signer);
	struct dkim_signing how = {.elsewhere = &signer,
		.domain = key->domain,
		.selector = key->selector,
		.header_canon = CANON_RELAXED,
		.body_canon = CANON_RELAXED,
		.now = env_wall(signing->env),
		.hash = signing->hash};

	if (error != OK)
		return error;
	return dkim_sign_append(&how, signing->content, signing->env->memory, &signing->fields);
}

/* Mail without a signature may be refused elsewhere, mail that is not sent reaches nobody: it goes,
 * and the log says what is missing. */
static void
say_unsigned(struct signing *signing, const struct conf_dkim *key, enum error error)
{
	log_event(signing->env, LOG_ERROR, "dkim_not_signed", LOG_SLICE("key", key->name),
		LOG_SLICE("domain", key->domain), LOG_SLICE("selector", key->selector),
		LOG_STRING("error", error_text(error)));
}

enum error
signing_end(struct signing *signing, struct slice added, struct slice *ret_fields)
{
	const struct conf *conf = signing->conf;

	content_end(signing->content);
	if (content_is_out_of_memory(signing->content) || complete(signing, added) != OK)
		return ERROR_NO_MEMORY;
	for (size_t i = 0; i < conf->dkim_count && signing->author.len > 0; i++) {
		size_t before = signing->fields.len;
		if (!is_key_of(signing, &conf->dkims[i]))
			continue;
		enum error error = append_signature(signing, &conf->dkims[i]);
		if (error == OK)
			continue;
		signing->fields.len = before;
		if (error == ERROR_NO_MEMORY || error == ERROR_CANCELLED)
			return error;
		say_unsigned(signing, &conf->dkims[i], error);
	}
	*ret_fields = buffer_slice(&signing->fields);
	return buffer_error(&signing->fields);
}
