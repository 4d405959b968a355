/*
 * RSA is what sealers are verified by; another key seals only where there is none. A chain that
 * could not be checked now (no answer of the DNS) gets no seal: one that says `fail` would end it.
 */
#include "session/session_seal.h"
#include "base/log_record.h"
#include "sign/key_ask.h"

bool
seal_begin(struct content *content, unsigned *ret_hash)
{
	struct arc_sealing sealing = {.key = NULL};
	bool has_room = arc_seal_begin(&sealing, content);

	*ret_hash = sealing.hash;
	return has_room;
}

/* May wait. NULL: the domain has no key, or `keys` none of them. */
static const struct conf_dkim *
choose_key(const struct seal_work *work, struct key_of_keys *which, struct dkim_signer *ret_signer)
{
	struct slice domain = conf_forward_domain(work->conf);
	const struct conf_dkim *chosen = NULL;

	for (size_t i = 0; i < work->conf->dkim_count; i++) {
		const struct conf_dkim *key = &work->conf->dkims[i];
		struct key_of_keys other = {work->keys, (uint32_t)i};
		struct dkim_signer signer;
		if (!slice_equal_nocase(key->domain, domain) || key_signer(&other, &signer) != OK ||
			(chosen && signer.type != KEY_RSA))
			continue;
		*which = other;
		*ret_signer = signer;
		ret_signer->arg = which;
		chosen = key;
		if (signer.type == KEY_RSA)
			break;
	}
	return chosen;
}

/* "; a=b;\r\n\tc=d\r\n" without what stands around it. */
static struct slice
trim_results(struct slice results)
{
	while (results.len > 0 && (results.ptr[0] == ';' || results.ptr[0] <= ' '))
		results = slice_from(results, 1);
	while (results.len > 0 && results.ptr[results.len - 1] <= ' ')
		results.len--;
	return results;
}

void
seal_append(const struct seal_work *work, struct buffer *fields)
{
	struct key_of_keys which;
	struct dkim_signer signer;

	if (work->arc->is_temporary || content_fault(work->content))
		return;
	const struct conf_dkim *key = choose_key(work, &which, &signer);
	if (!key)
		return;
	struct arc_sealing sealing = {.elsewhere = &signer,
		.domain = key->domain,
		.selector = key->selector,
		.authserv_id = work->conf->hostname,
		.results = trim_results(work->results),
		.cv = work->arc->status,
		.now = env_wall(work->env),
		.hash = work->hash};
	enum error error =
		arc_seal_append(&sealing, work->arc, work->content, work->env->memory, fields);
	if (error == OK)
		return;
	buffer_clear(fields);
	if (error != ERROR_EXISTS)
		log_event(work->env, LOG_ERROR, "arc_not_sealed", LOG_SLICE("key", key->name),
			LOG_STRING("error", error_text(error)));
}
