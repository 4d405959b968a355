/*
 * Reading signatures and the hash over header fields (RFC 6376 sections 3.5, 3.7, 5.4.2, 6.1; RFC
 * 8617 section 4.1). The grammar is checked whole before anything is asked of the DNS. What readers
 * could take in two ways (a tag twice, a NUL, a dot too many in a name) is no signature.
 */
#include "mailauth/signature.h"
#include "text/base64.h"
#include "mailauth/key_record.h"
#include "text/address.h"

const char *
dkim_result_text(enum dkim_result result)
{
	static const char *const texts[] = {[DKIM_NONE] = "none",
		[DKIM_NEUTRAL] = "neutral",
		[DKIM_PASS] = "pass",
		[DKIM_FAIL] = "fail",
		[DKIM_POLICY] = "policy",
		[DKIM_TEMPERROR] = "temperror",
		[DKIM_PERMERROR] = "permerror"};

	return texts[result];
}

void
signature_reject(struct signature *signature, enum dkim_result result, const char *reason)
{
	if (signature->result != DKIM_NONE)
		return;
	signature->result = result;
	signature->reason = reason;
}

static bool
permerror(struct signature *signature, const char *reason)
{
	signature_reject(signature, DKIM_PERMERROR, reason);
	return false;
}

bool
domain_is_within(struct slice name, struct slice domain)
{
	if (slice_equal_nocase(name, domain))
		return true;
	return domain.len > 0 && name.len > domain.len &&
	       name.ptr[name.len - domain.len - 1] == '.' &&
	       slice_equal_nocase(slice_from(name, name.len - domain.len), domain);
}

bool
domain_is_signable(struct slice name)
{
	size_t label = 0;

	for (size_t i = 0; i < name.len; i++) {
		uint8_t octet = name.ptr[i];
		if (octet == '.' && label == 0)
			return false;
		if (octet != '.' && !ascii_is_alnum(octet) && octet != '-' && octet != '_')
			return false;
		label = octet == '.' ? 0 : label + 1;
		if (label > ADDRESS_LABEL_MAX)
			return false;
	}
	return label > 0 && name.len <= DNS_NAME_MAX;
}

static bool
read_algorithm(struct signature *s)
{
	s->algorithm = tag_list_value(&s->tags, "a");
	if (slice_equal_nocase(s->algorithm, SLICE("rsa-sha256"))) {
		s->key_type = KEY_RSA;
		return true;
	}
	if (slice_equal_nocase(s->algorithm, SLICE("ed25519-sha256"))) {
		s->key_type = KEY_ED25519;
		return true;
	}
	if (slice_equal_nocase(s->algorithm, SLICE("rsa-sha1"))) {
		signature_reject(s, DKIM_POLICY, "rsa-sha1 is not trusted any more (RFC 8301)");
		return false;
	}
	return permerror(
		s, s->algorithm.len > 0 ? "the algorithm in a= is unknown" : "a= is missing");
}

static bool
read_canon(struct slice word, enum canon *ret_canon)
{
	*ret_canon = slice_equal_nocase(word, SLICE("relaxed")) ? CANON_RELAXED : CANON_SIMPLE;
	return *ret_canon == CANON_RELAXED || slice_equal_nocase(word, SLICE("simple"));
}

/* c= HEADER ["/" BODY]; both are simple by default. */
static bool
read_canons(struct signature *s)
{
	struct slice value = tag_list_value(&s->tags, "c");
	ssize_t slash = slice_find(value, 0, '/');
	bool is_good = true;

	s->header_canon = s->body_canon = CANON_SIMPLE;
	if (!tag_list_find(&s->tags, "c"))
		return true;
	is_good = read_canon(
		slash < 0 ? value : slice_sub(value, 0, (size_t)slash), &s->header_canon);
	if (is_good && slash >= 0)
		is_good = read_canon(slice_from(value, (size_t)slash + 1), &s->body_canon);
	return is_good || permerror(s, "the canonical form in c= is unknown");
}

static bool
read_names(struct signature *s)
{
	s->domain = tag_list_value(&s->tags, "d");
	s->selector = tag_list_value(&s->tags, "s");
	if (!domain_is_signable(s->domain))
		return permerror(s, s->domain.len > 0 ? "d= is no domain" : "d= is missing");
	if (!domain_is_signable(s->selector))
		return permerror(s, s->selector.len > 0 ? "s= is no selector" : "s= is missing");
	return true;
}

/* i= [ local part ] "@" domain, quoted-printable; the domain must be d= or below it. */
static bool
read_identity(struct signature *s)
{
	struct slice value = tag_list_value(&s->tags, "i");
	size_t at = value.len;

	if (!tag_list_find(&s->tags, "i"))
		return true;
	while (at > 0 && value.ptr[at - 1] != '@')
		at--;
	struct slice domain = slice_from(value, at);
	if (at == 0 || !domain_is_signable(domain))
		return permerror(s, "i= is no identity");
	if (!domain_is_within(domain, s->domain))
		return permerror(s, "i= does not belong to the domain of d=");
	s->identity = value;
	return true;
}

/* The grammar allows 76 digits; more than 19 are larger than any message, or later than any time.
 */
static bool
read_number(struct signature *s, const char *name, uint64_t *ret_number)
{
	const struct tag *tag = tag_list_find(&s->tags, name);

	if (!tag || slice_number(tag->value, INT64_MAX, ret_number))
		return true;
	return permerror(s, "a number in t=, x= or l= is malformed");
}

static bool
read_numbers(struct signature *s)
{
	s->length = CONTENT_NO_LIMIT;
	if (!read_number(s, "t", &s->timestamp))
		return false;
	if (s->kind == SIGNATURE_ARC_SEAL)
		return true;
	if (!read_number(s, "x", &s->expires) || !read_number(s, "l", &s->length))
		return false;
	if (tag_list_find(&s->tags, "x") && s->expires <= s->timestamp)
		return permerror(s, "x= is not later than t=");
	return true;
}

static bool
name_is_field(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] <= ' ' || name.ptr[i] > '~')
			return false;
	return name.len > 0;
}

static bool
read_fields(struct signature *s)
{
	struct slice rest = tag_list_value(&s->tags, "h"), name;
	size_t count = 0;

	s->names = rest;
	while (tag_next_item(&rest, &name)) {
		if (!name_is_field(name))
			return permerror(s, "h= is malformed");
		if (++count > SIGNATURE_NAMES_MAX)
			return permerror(s, "h= names more than 512 fields");
	}
	if (count == 0)
		return permerror(s, "h= is missing");
	if (!tag_has_item(s->names, "from"))
		return permerror(s, "the From field is not signed");
	if (s->kind == SIGNATURE_ARC_MESSAGE && tag_has_item(s->names, "arc-seal"))
		return permerror(s, "h= names ARC-Seal");
	return true;
}

static bool
read_octets(struct signature *s, const char *name, struct arena *arena, struct slice *ret_octets)
{
	const struct tag *tag = tag_list_find(&s->tags, name);
	enum error error = tag ? base64_decode(tag->value, arena, ret_octets) : ERROR_NOT_FOUND;

	if (error == ERROR_NO_MEMORY)
		signature_reject(s, DKIM_TEMPERROR, "the memory is used up");
	if (error != OK)
		return permerror(s, error == ERROR_NOT_FOUND ? "b= or bh= is missing"
							     : "b= or bh= is no base64");
	return ret_octets->len > 0 || permerror(s, "b= or bh= is empty");
}

static bool
read_values(struct signature *s, struct arena *arena)
{
	if (!read_octets(s, "b", arena, &s->value))
		return false;
	s->hole = tag_list_find(&s->tags, "b")->whole;
	if (s->kind == SIGNATURE_ARC_SEAL)
		return true;
	if (!read_octets(s, "bh", arena, &s->body_hash))
		return false;
	return s->body_hash.len == SHA256_OCTETS ||
	       permerror(s, "bh= is no hash of this algorithm");
}

static bool
read_version(struct signature *s)
{
	const struct tag *query = tag_list_find(&s->tags, "q");

	if (s->kind == SIGNATURE_DKIM && !slice_equal(tag_list_value(&s->tags, "v"), SLICE("1")))
		return permerror(s, "v= is not 1");
	if (query && s->kind != SIGNATURE_ARC_SEAL && !tag_has_item(query->value, "dns/txt"))
		return permerror(s, "the way to the key in q= is unknown");
	return true;
}

void
signature_parse(enum signature_kind kind, const struct header_field *field, struct arena *arena,
	struct signature *ret_signature)
{
	struct signature *s = ret_signature;
	bool is_seal = kind == SIGNATURE_ARC_SEAL;

	*s = (struct signature){.kind = kind, .field = *field, .length = CONTENT_NO_LIMIT};
	s->header_canon = s->body_canon = CANON_RELAXED;
	if (tag_list_parse(field->value, &s->tags) != OK) {
		permerror(s, "the field is no list of tags, or has one twice");
		return;
	}
	if (read_version(s) && read_names(s) && read_algorithm(s) &&
		(kind != SIGNATURE_DKIM || read_identity(s)) && read_numbers(s) &&
		read_values(s, arena) && !is_seal && read_canons(s))
		read_fields(s);
}

void
signature_want_body(struct signature *s, struct content *content)
{
	if (s->result == DKIM_NONE &&
		!content_want_hash(content, s->body_canon, s->length, &s->hash))
		signature_reject(s, DKIM_PERMERROR, "too many different hashes are needed");
}

static bool
check_times(struct signature *s, wall_us now)
{
	int64_t now_s = now / US_PER_S;

	if (s->expires > 0 && (int64_t)s->expires < now_s)
		signature_reject(s, DKIM_FAIL, "the signature has expired");
	if ((int64_t)s->timestamp > now_s + SIGNATURE_FUTURE_MAX_S)
		signature_reject(s, DKIM_POLICY, "the signature is from the future");
	return s->result == DKIM_NONE;
}

bool
signature_check_body(struct signature *s, const struct content *content, wall_us now)
{
	uint64_t length = content_body_length(content, s->body_canon);

	if (s->result != DKIM_NONE || !check_times(s, now))
		return false;
	s->is_partial = s->length < length;
	if (s->length != CONTENT_NO_LIMIT && s->length > length)
		return permerror(s, "l= is more than there is");
	if (memcmp(content_hash(content, s->hash), s->body_hash.ptr, SHA256_OCTETS) != 0)
		signature_reject(s, DKIM_FAIL, "the body was changed");
	return s->result == DKIM_NONE;
}

void
signature_feed_field(struct sha256 *sha256, struct buffer *scratch, enum canon canon,
	const struct header_field *field, struct slice hole, bool has_line_end)
{
	buffer_clear(scratch);
	canon_append_field(scratch, canon, field, hole);
	struct slice text = buffer_slice(scratch);
	if (scratch->error != OK)
		sha256_done(sha256);
	else
		sha256_feed(sha256, has_line_end ? text : slice_sub(text, 0, text.len - 2));
}

/* How often h= names a field before `names` ends. */
static size_t
count_name(struct slice names, struct slice name, const uint8_t *end)
{
	struct slice item;
	size_t count = 0;

	while (tag_next_item(&names, &item) && item.ptr < end)
		count += slice_equal_nocase(item, name);
	return count;
}

/* Section 5.4.2: the same name again means the field above. A name that no field is left for signs
 * that there is none. h= is bounded, so looking back in it is too. */
void
signature_feed_names(struct slice names, enum canon canon, const struct content *content,
	const struct header_field *above, struct sha256 *sha256, struct buffer *scratch)
{
	struct slice rest = names, name, none = {0};

	while (tag_next_item(&rest, &name)) {
		struct content_group group = content_find(content, name);
		bool is_above = above && slice_equal_nocase(above->name, name);
		if (group.count == 0 && !is_above)
			continue;
		size_t before = count_name(names, name, name.ptr);
		const struct header_field *field = NULL;
		if (before < group.count)
			field = &group.fields[group.count - 1 - before].field;
		else if (before == group.count && is_above)
			field = above;
		if (field)
			signature_feed_field(sha256, scratch, canon, field, none, true);
	}
}

void
signature_feed_header(const struct signature *s, const struct content *content,
	struct sha256 *sha256, struct buffer *scratch)
{
	signature_feed_names(s->names, s->header_canon, content, NULL, sha256, scratch);
	signature_feed_field(sha256, scratch, s->header_canon, &s->field, s->hole, false);
}

/* RFC 5322 section 3.6, and what MIME reads the body by. */
static const struct slice only_once[] = {
	SLICE_INIT("from"),
	SLICE_INIT("sender"),
	SLICE_INIT("reply-to"),
	SLICE_INIT("to"),
	SLICE_INIT("cc"),
	SLICE_INIT("date"),
	SLICE_INIT("subject"),
	SLICE_INIT("message-id"),
	SLICE_INIT("mime-version"),
	SLICE_INIT("content-type"),
	SLICE_INIT("content-transfer-encoding"),
};

static size_t
count_signed(struct slice names, struct slice name)
{
	struct slice item;
	size_t count = 0;

	while (tag_next_item(&names, &item))
		count += slice_equal_nocase(item, name);
	return count;
}

bool
signature_check_once(struct signature *signature, const struct content *content)
{
	for (size_t i = 0; i < sizeof only_once / sizeof *only_once; i++) {
		size_t there = content_find(content, only_once[i]).count;
		size_t covered = there > 1 ? count_signed(signature->names, only_once[i]) : 0;
		if (covered > 0 && covered < there)
			signature_reject(signature, DKIM_POLICY,
				"a signed field stands there again, not signed");
	}
	return signature->result == DKIM_NONE;
}

/* The one record of the answer that is a key. What is none is passed over; two keys are none, since
 * readers would take each another one. */
static enum key_fault
choose_record(const struct dns_answer *answer, struct arena *arena, struct key_record *ret_record,
	bool *ret_is_ambiguous)
{
	enum key_fault fault = KEY_NOT_ONE;
	size_t count = 0;

	for (size_t i = 0; i < answer->count; i++) {
		struct key_record record;
		enum key_fault found = key_record_parse(answer->records[i].data, arena, &record);
		if (found == KEY_NOT_ONE)
			continue;
		count++;
		fault = found;
		*ret_record = record;
	}
	*ret_is_ambiguous = count > 1;
	return fault;
}

static bool
identity_is_domain(const struct signature *s)
{
	size_t at = s->identity.len;

	while (at > 0 && s->identity.ptr[at - 1] != '@')
		at--;
	return at == 0 || slice_equal_nocase(slice_from(s->identity, at), s->domain);
}

/* What the record and its key allow. */
static bool
use_record(struct signature *s, const struct key_record *record, struct key **ret_key)
{
	s->is_testing = record->is_testing;
	if (record->type != s->key_type)
		return permerror(s, "the key is of another type than a= says");
	if (record->is_strict && !identity_is_domain(s))
		return permerror(s, "the key is for the domain alone, i= is below it");
	if (key_from_public(record->type, record->octets, ret_key) != OK)
		return permerror(s, key_fault_text(KEY_BROKEN));
	s->key_bits = key_bits(*ret_key);
	if (record->type == KEY_RSA && s->key_bits < RSA_BITS_MIN)
		return permerror(s, "the key is shorter than 1024 bits");
	if (record->type == KEY_RSA && s->key_bits > RSA_BITS_MAX)
		return permerror(s, "the key is longer than 4096 bits");
	return true;
}

/* May wait. SELECTOR._domainkey.DOMAIN */
static void
ask_for_key(const struct signature *s, const struct signature_request *request,
	struct dns_answer *ret_answer)
{
	uint8_t storage[2 * DNS_NAME_MAX + 16];
	struct buffer name;

	buffer_init_fixed(&name, storage, sizeof storage);
	buffer_append(&name, s->selector);
	buffer_append_text(&name, "._domainkey.");
	buffer_append(&name, s->domain);
	*ret_answer = (struct dns_answer){.outcome = DNS_NO_NAME};
	if (dns_name_is_askable(buffer_slice(&name)))
		dns_ask(request->dns, buffer_slice(&name), DNS_TXT, request->arena,
			request->deadline, ret_answer);
}

static bool
find_key(struct signature *s, const struct signature_request *request, struct key **ret_key)
{
	struct dns_answer answer;
	struct key_record record = {0};
	bool is_ambiguous;

	ask_for_key(s, request, &answer);
	if (answer.outcome == DNS_FAILED) {
		signature_reject(s, DKIM_TEMPERROR, "the DNS could not be asked for the key");
		return false;
	}
	if (answer.outcome != DNS_FOUND)
		return permerror(s, "there is no key");
	enum key_fault fault = choose_record(&answer, request->arena, &record, &is_ambiguous);
	if (is_ambiguous)
		return permerror(s, "there are several keys under one name");
	if (fault != KEY_OK)
		return permerror(s, key_fault_text(fault));
	return use_record(s, &record, ret_key);
}

/* A domain that tests (t=y) wants its failures to be as no signature (section 3.6.1). */
static void
set_failed(struct signature *s)
{
	if (s->is_testing)
		signature_reject(s, DKIM_NEUTRAL, "the signature is wrong; the domain is testing");
	else
		signature_reject(
			s, DKIM_FAIL, "the signature is wrong: the header was changed, or the key");
}

void
signature_check_key(
	struct signature *s, const struct signature_request *request, struct sha256 *sha256)
{
	uint8_t digest[SHA256_OCTETS];
	struct key *key = NULL;
	enum error error = sha256_finish(sha256, digest);

	if (error != OK)
		signature_reject(s, DKIM_TEMPERROR, "the memory is used up");
	else if (!find_key(s, request, &key))
		;
	else if (key_verify(key, digest, s->value))
		signature_reject(s, DKIM_PASS, s->is_testing ? "the domain is testing" : NULL);
	else
		set_failed(s);
	key_free(&key);
}
