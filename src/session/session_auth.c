/*
 * One judgement is one content (mailauth/content.h), fed as the blocks arrive: nothing is read
 * twice. What needs the DNS waits until the content has ended, since a client that never ends it is
 * owed no questions. Answers live in an arena of the judgement.
 *
 * Trouble with the DNS or a deadline that is over gives temporary results, and those refuse
 * nothing.
 */
#include "session/session_auth.h"
#include "dns/client.h"
#include "mailauth/auth_results.h"
#include "session/session_dmarc.h"
#include "session/session_seal.h"

#define PROPERTY_MAX 320 /* octets: an address fits, and a line with three of them */
#define SUMMARY_MAX  160

struct session_auth {
	struct env *env;
	const struct conf *conf;
	struct caller *keys;
	void (*unable)(void *arg, enum error error);
	void *arg;
	struct dns_client dns;
	struct dns_source source;
};

struct judgement {
	struct session_auth *auth;
	struct content *content;
	struct arena arena;
	const struct envelope *envelope;
	struct spf_verdict helo, spf;
	struct dkim dkim;
	struct arc arc;
	enum author_fault author_fault;
	struct slice author;
	struct dmarc_verdict dmarc;
	struct policy_decision decision;
	struct buffer fields, seal;
	unsigned seal_hash;
	bool is_sealed; /* if it is taken */
	size_t summary_len;
	char summary[SUMMARY_MAX];
};

static void
resolver_broken(void *arg, uint32_t instance, enum error error)
{
	struct session_auth *auth = arg;

	(void)instance;
	auth->unable(auth->arg, error);
}

static const struct caller_ops caller_ops = {resolver_broken, NULL};

struct session_auth *
session_auth_new(struct env *env, const struct conf *conf, struct caller *keys,
	void (*unable)(void *, enum error), void *arg)
{
	struct session_auth *auth = memory_get(env->memory, sizeof *auth);

	auth->env = env;
	auth->conf = conf;
	auth->keys = keys;
	auth->unable = unable;
	auth->arg = arg;
	dns_client_init(&auth->dns, env, ROLE_SESSION, &caller_ops, auth);
	auth->source = dns_client_source(&auth->dns);
	return auth;
}

void
session_auth_connect(struct session_auth *auth, int channel_fd, uint32_t instance)
{
	enum error error = dns_client_connect(&auth->dns, channel_fd, instance);

	if (error != OK)
		auth->unable(auth->arg, error);
}

const struct dns_source *
session_auth_dns(const struct session_auth *auth)
{
	return &auth->source;
}

void
session_auth_stop(struct session_auth *auth)
{
	caller_done(&auth->dns.caller);
}

void
session_auth_free(struct session_auth **pointer)
{
	struct session_auth *auth = *pointer;

	if (!auth)
		return;
	dns_client_done(&auth->dns);
	memory_put(auth->env->memory, auth);
	*pointer = NULL;
}

static void
header_done(void *arg, struct content *content)
{
	struct judgement *j = arg;

	dkim_begin(&j->dkim, content);
	arc_begin(&j->arc, content);
	j->is_sealed = j->is_sealed && seal_begin(content, &j->seal_hash);
	j->author_fault = author_of_content(content, &j->author);
}

struct judgement *
judgement_new(struct session_auth *auth, bool is_forwarded)
{
	struct memory *memory = auth->env->memory;
	struct judgement *j = memory_try(memory, sizeof *j);

	if (!j)
		return NULL;
	*j = (struct judgement){.auth = auth, .is_sealed = is_forwarded};
	arena_init(&j->arena, memory, 2 * SPF_ARENA_BYTES + DKIM_ARENA_BYTES + DMARC_ARENA_BYTES);
	buffer_init(&j->fields, memory, SESSION_AUTH_FIELDS_MAX);
	buffer_init(&j->seal, memory, ENVELOPE_TRACE_MAX);
	j->content = content_new(memory, header_done, j);
	if (!j->content)
		judgement_free(&j);
	return j;
}

void
judgement_free(struct judgement **pointer)
{
	struct judgement *j = *pointer;

	if (!j)
		return;
	content_free(&j->content);
	arena_done(&j->arena);
	buffer_done(&j->fields);
	buffer_done(&j->seal);
	memory_put(j->auth->env->memory, j);
	*pointer = NULL;
}

void
judgement_feed(struct judgement *judgement, struct slice octets)
{
	content_feed(judgement->content, octets);
}

/* May wait. Who connected: by its name, and by the sender that it gave. */
static void
judge_client(struct judgement *j, struct slice ip, mono_us deadline)
{
	struct spf_request request = {.dns = &j->auth->source,
		.arena = &j->arena,
		.deadline = deadline,
		.ip = ip,
		.sender = j->envelope->reverse_path,
		.helo = j->envelope->helo,
		.receiver = j->auth->conf->hostname,
		.now = env_wall(j->auth->env)};

	/* An address in brackets is no name that could be asked for (RFC 7208 section 4.3). */
	if (slice_has_prefix(request.helo, SLICE("[")))
		j->helo = (struct spf_verdict){.result = SPF_NONE};
	else
		spf_check_helo(&request, &j->helo);
	spf_check(&request, &j->spf);
}

/* May wait. */
static void
judge_author(struct judgement *j, mono_us deadline)
{
	const char *fault = content_fault(j->content);
	struct dmarc_request request = {.dns = &j->auth->source,
		.arena = &j->arena,
		.deadline = deadline,
		.author = j->author,
		.spf = &j->spf,
		.dkim = &j->dkim};

	if (!fault && j->author_fault != AUTHOR_OK)
		fault = author_fault_text(j->author_fault);
	if (fault)
		j->dmarc = (struct dmarc_verdict){.result = DMARC_PERMERROR, .reason = fault};
	else
		dmarc_check(&request, &j->dmarc);
}

/* What a stranger made too long is left out: the result stands without it. */
static void
append_property(struct buffer *text, const char *name, struct slice value)
{
	if (value.len > 0 && value.len <= PROPERTY_MAX)
		auth_results_append_property(text, name, value);
}

static void
append_spf(struct buffer *text, const struct judgement *j)
{
	auth_results_append_result(text, "spf", spf_result_text(j->helo.result), NULL);
	append_property(text, "smtp.helo", j->envelope->helo);
	if (j->envelope->reverse_path.len == 0)
		return;
	auth_results_append_result(text, "spf", spf_result_text(j->spf.result), NULL);
	append_property(text, "smtp.mailfrom", j->envelope->reverse_path);
}

static void
append_dkim(struct buffer *text, const struct judgement *j)
{
	for (size_t i = 0; i < j->dkim.count; i++) {
		const struct signature *s = &j->dkim.signatures[i];
		auth_results_append_result(text, "dkim", dkim_result_text(s->result), s->reason);
		append_property(text, "header.d", s->domain);
		append_property(text, "header.s", s->selector);
		append_property(text, "header.a", s->algorithm);
	}
	if (j->dkim.count == 0)
		auth_results_append_result(
			text, "dkim", dkim_result_text(j->dkim.result), j->dkim.reason);
}

static void
append_fields(struct buffer *text, const struct judgement *j)
{
	buffer_append_text(text, "Authentication-Results: ");
	buffer_append(text, j->auth->conf->hostname);
	append_spf(text, j);
	append_dkim(text, j);
	auth_results_append_result(
		text, "dmarc", dmarc_result_text(j->dmarc.result), j->dmarc.reason);
	append_property(text, "header.from", j->author);
	if (j->dmarc.policy_domain.len > 0)
		append_property(
			text, "policy.dmarc", slice_text(dmarc_policy_text(j->dmarc.requested)));
	auth_results_append_result(text, "arc", arc_status_text(j->arc.status), j->arc.reason);
	buffer_append_text(text, "\r\n");
}

static void
summarize(struct judgement *j)
{
	struct buffer text;

	buffer_init_fixed(&text, j->summary, sizeof j->summary);
	buffer_printf(&text, "spf=%s dkim=%s arc=%s dmarc=%s", spf_result_text(j->spf.result),
		dkim_result_text(j->dkim.result), arc_status_text(j->arc.status),
		dmarc_result_text(j->dmarc.result));
	if (j->dmarc.policy_domain.len > 0)
		buffer_printf(&text, " policy=%s", dmarc_policy_text(j->dmarc.requested));
	buffer_printf(&text, " rule=%s", j->decision.rule);
	j->summary_len = text.len;
}

static bool
is_vouched_for(const struct judgement *j)
{
	const struct conf *conf = j->auth->conf;
	struct slice sealer;

	return arc_trusted_pass(
		&j->arc, conf->arc_trust, conf->arc_trust_count, j->author, &sealer);
}

static void
decide(struct judgement *j)
{
	static const enum policy_dmarc modes[] = {[CONF_DMARC_EVIDENT] = POLICY_DMARC_EVIDENT,
		[CONF_DMARC_STRICT] = POLICY_DMARC_STRICT,
		[CONF_DMARC_LOG] = POLICY_DMARC_LOG};
	const char *fault = content_fault(j->content);
	struct policy_evidence evidence = {.author = j->author_fault,
		.content_fault = fault,
		.spf = &j->spf,
		.dkim = &j->dkim,
		.dmarc = &j->dmarc,
		.is_list = !fault && content_find(j->content, SLICE("List-Id")).count > 0,
		.is_vouched = !fault && is_vouched_for(j),
		.mode = modes[j->auth->conf->dmarc]};

	j->decision = policy_decide(&evidence);
}

#define RESULTS      "Authentication-Results"
#define RESULTS_AWAY "X-Removed-Auth-Results"
_Static_assert(sizeof RESULTS == sizeof RESULTS_AWAY, "one takes the place of the other");

/* Who reads results trusts those with our name in them. */
static enum error
disown_forged(struct judgement *j, struct smtp_verdict *ret_verdict)
{
	if (content_fault(j->content))
		return OK; /* what has such a header goes to Junk (no-author) */
	struct content_group group = content_find(j->content, SLICE(RESULTS));
	struct smtp_overwrite *overwrites = arena_take(&j->arena, group.count * sizeof *overwrites);
	size_t count = 0;

	if (!overwrites && group.count > 0)
		return ERROR_NO_MEMORY;
	for (size_t i = 0; i < group.count; i++) {
		const struct header_field *field = &group.fields[i].field;
		if (auth_results_claims(field->value, j->auth->conf->hostname))
			overwrites[count++] = (struct smtp_overwrite){
				content_offset(j->content, field->name), SLICE(RESULTS_AWAY)};
	}
	ret_verdict->overwrites = overwrites;
	ret_verdict->overwrite_count = count;
	return OK;
}

/* May wait. What was found goes into the seal, behind the name of our field. */
static void
seal(struct judgement *j)
{
	struct slice hostname = j->auth->conf->hostname;
	struct seal_work work = {.env = j->auth->env,
		.conf = j->auth->conf,
		.keys = j->auth->keys,
		.content = j->content,
		.arc = &j->arc,
		.hash = j->seal_hash,
		.results = slice_from(
			buffer_slice(&j->fields), sizeof RESULTS ": " - 1 + hostname.len)};

	if (j->is_sealed && j->decision.action != POLICY_REFUSE && buffer_error(&j->fields) == OK)
		seal_append(&work, &j->seal);
}

static void
tell_reports(const struct judgement *j)
{
	struct dmarc_seen seen = {.envelope = j->envelope,
		.author = j->author,
		.spf = &j->spf,
		.dkim = &j->dkim,
		.dmarc = &j->dmarc,
		.decision = &j->decision};

	session_dmarc_tell(j->auth->env, j->auth->conf, &seen);
}

static void
set_verdict(struct judgement *j, struct smtp_verdict *verdict)
{
	const struct policy_decision *decision = &j->decision;

	verdict->fields = buffer_slice(&j->fields);
	verdict->seal = buffer_slice(&j->seal);
	verdict->is_junk = decision->action == POLICY_JUNK;
	if (decision->action == POLICY_REFUSE)
		verdict->refusal = (struct smtp_reply){decision->code,
			{decision->status.class, decision->status.subject, decision->status.detail},
			slice_text(decision->text)};
}

enum error
judgement_end(struct judgement *j, struct slice ip, const struct envelope *envelope,
	struct smtp_verdict *ret_verdict)
{
	struct env *env = j->auth->env;
	struct signature_request request = {.dns = &j->auth->source,
		.arena = &j->arena,
		.deadline = loop_deadline(env->loop, SESSION_AUTH_US),
		.now = env_wall(env)};

	j->envelope = envelope;
	content_end(j->content);
	if (content_is_out_of_memory(j->content))
		return ERROR_NO_MEMORY;
	judge_client(j, ip, request.deadline);
	dkim_check(&j->dkim, j->content, &request, env->memory);
	arc_check(&j->arc, j->content, &request, env->memory);
	judge_author(j, request.deadline);
	decide(j);
	summarize(j);
	tell_reports(j);
	append_fields(&j->fields, j);
	seal(j);
	set_verdict(j, ret_verdict);
	enum error error = disown_forged(j, ret_verdict);
	return error == OK ? buffer_error(&j->fields) : error;
}

struct slice
judgement_summary(const struct judgement *judgement)
{
	return judgement ? slice_of(judgement->summary, judgement->summary_len) : slice_of(NULL, 0);
}
