/*
 * Rows are found by a hash over all that makes two messages alike, with a key that strangers do not
 * know. The policy of a report is the newest that was seen: it may change within a day.
 */
#include "aggregate/collect.h"

#include <stdlib.h>

#define BUCKETS 65536

/* Fields of a record in which two messages of one row are the same. */
static const char *const alike[] = {"client", "author", "disposition", "dkim", "spf", "override",
	"rule", "spf_scope", "spf_result", "spf_domain", "signatures"};
enum { CLIENT, AUTHOR, DISPOSITION, DKIM, SPF, OVERRIDE, RULE, SCOPE, RESULT, SENDER, SIGNATURES };
#define ALIKE (sizeof alike / sizeof *alike)

struct collected_row {
	struct collected_row *next; /* of this bucket */
	struct collected *of;
	struct slice same; /* all of it, encoded */
	struct aggregate_row row;
};

enum error
collection_init(struct collection *collection, struct arena *arena, const struct siphash_key *key)
{
	*collection = (struct collection){.arena = arena, .key = *key};
	collection->rows = arena_take(arena, BUCKETS * sizeof *collection->rows);
	collection->index = arena_take(arena, BUCKETS * sizeof *collection->index);
	return collection->rows && collection->index ? OK : ERROR_NO_MEMORY;
}

/* Empty where there is none. */
static struct slice
text_of(struct slice record, const char *key)
{
	struct slice text;

	return log_record_text(record, key, &text) == OK ? text : slice_of(NULL, 0);
}

/* Of a domain in any case of its letters. */
static struct collected **
bucket_of(const struct collection *collection, struct slice domain, uint64_t begin)
{
	uint8_t storage[LOG_RECORD_TEXT_MAX + 8];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_append_u64(&text, begin);
	for (size_t i = 0; i < domain.len; i++)
		buffer_append_octet(&text, ascii_lower(domain.ptr[i]));
	return &collection->index[siphash(&collection->key, buffer_slice(&text)) % BUCKETS];
}

static struct collected *
report_of(struct collection *collection, struct slice domain, uint64_t begin)
{
	struct collected **bucket = bucket_of(collection, domain, begin);

	for (struct collected *c = *bucket; c; c = c->alike)
		if (c->report.begin == begin && slice_equal_nocase(c->report.domain, domain))
			return c;
	struct collected *c = collection->count < COLLECT_REPORTS_MAX
				      ? arena_take(collection->arena, sizeof *c)
				      : NULL;
	if (!c || !arena_copy(collection->arena, domain, &c->report.domain))
		return NULL;
	c->report.begin = begin;
	c->report.end = begin + COLLECT_DAY_S - 1;
	c->next = collection->reports;
	collection->reports = c;
	c->alike = *bucket;
	*bucket = c;
	collection->count++;
	return c;
}

/* "p=reject sp=none ...": the value of a tag. */
static struct slice
tag_of(struct slice policy, const char *name)
{
	size_t at = 0;
	struct slice wanted = slice_text(name);

	while (at < policy.len) {
		ssize_t end = slice_find(policy, at, ' ');
		size_t len = (end < 0 ? policy.len : (size_t)end) - at;
		struct slice tag = slice_sub(policy, at, len);
		if (slice_has_prefix(tag, wanted))
			return slice_from(tag, wanted.len);
		at += len + 1;
	}
	return slice_of(NULL, 0);
}

static void
take_policy(struct collection *collection, struct collected *c, struct slice record)
{
	struct aggregate_report *report = &c->report;
	wall_us time = log_record_time(record);
	struct slice policy, uris;

	if (time < c->newest || !arena_copy(collection->arena, text_of(record, "policy"), &policy))
		return;
	if (slice_equal(text_of(record, "rua"), c->uris))
		uris = c->uris;
	else if (!arena_copy(collection->arena, text_of(record, "rua"), &uris))
		return;
	c->newest = time;
	c->uris = uris;
	report->policy = tag_of(policy, "p=");
	report->subdomains = tag_of(policy, "sp=");
	report->absent = tag_of(policy, "np=");
	report->dkim_mode = tag_of(policy, "adkim=");
	report->spf_mode = tag_of(policy, "aspf=");
	report->testing = tag_of(policy, "t=");
	report->discovery = SLICE("treewalk");
}

static bool
add_result(struct arena *arena, struct aggregate_row *row, struct aggregate_result result)
{
	struct aggregate_result **end = &row->results;
	struct aggregate_result *copy = arena_take(arena, sizeof *copy);

	if (!copy)
		return false;
	while (*end)
		end = &(*end)->next;
	*copy = result;
	*end = copy;
	row->result_count++;
	return true;
}

/* "example.org s2026 pass,..." */
static bool
add_signatures(struct arena *arena, struct aggregate_row *row, struct slice texts)
{
	while (texts.len > 0) {
		ssize_t end = slice_find(texts, 0, ',');
		struct slice text = slice_sub(texts, 0, end < 0 ? texts.len : (size_t)end);
		ssize_t first = slice_find(text, 0, ' ');
		ssize_t second = first < 0 ? -1 : slice_find(text, (size_t)first + 1, ' ');
		texts = slice_from(texts, text.len + 1);
		if (second < 0)
			continue;
		struct aggregate_result result = {.is_dkim = true,
			.domain = slice_sub(text, 0, (size_t)first),
			.selector =
				slice_sub(text, (size_t)first + 1, (size_t)(second - first) - 1),
			.result = slice_from(text, (size_t)second + 1)};
		if (!add_result(arena, row, result))
			return false;
	}
	return true;
}

static bool
fill_row(struct arena *arena, struct aggregate_row *row, const struct slice fields[ALIKE])
{
	bool is_mail_from = slice_equal(fields[SCOPE], SLICE("mfrom"));
	struct aggregate_result spf = {.domain = fields[SENDER], .result = fields[RESULT]};

	/* RFC 9990 knows of no other; where there was no sender it was HELO's name. */
	if (is_mail_from)
		spf.scope = fields[SCOPE];

	row->source_ip = fields[CLIENT];
	row->disposition = fields[DISPOSITION];
	row->dkim = fields[DKIM];
	row->spf = fields[SPF];
	row->reason = fields[OVERRIDE];
	row->reason_comment = fields[RULE];
	row->header_from = fields[AUTHOR];
	row->envelope_from = is_mail_from ? fields[SENDER] : slice_of(NULL, 0);
	return add_signatures(arena, row, fields[SIGNATURES]) &&
	       (spf.domain.len == 0 || add_result(arena, row, spf));
}

static struct collected_row *
row_new(struct collection *collection, struct collected *c, struct slice same)
{
	struct arena *arena = collection->arena;
	struct collected_row *found = arena_take(arena, sizeof *found);
	struct slice fields[ALIKE];

	if (!found || c->report.row_count >= AGGREGATE_ROWS_MAX ||
		!arena_copy(arena, same, &found->same))
		return NULL;
	struct cursor cursor = cursor_of(found->same);
	for (size_t i = 0; i < ALIKE; i++)
		fields[i] = cursor_take(&cursor, cursor_take_u16(&cursor));
	if (!fill_row(arena, &found->row, fields))
		return NULL;
	found->of = c;
	found->row.next = c->report.rows;
	c->report.rows = &found->row;
	c->report.row_count++;
	return found;
}

static struct aggregate_row *
row_of(struct collection *collection, struct collected *c, struct slice same)
{
	struct collected_row **bucket =
		&collection->rows[siphash(&collection->key, same) % BUCKETS];

	for (struct collected_row *found = *bucket; found; found = found->next)
		if (found->of == c && slice_equal(found->same, same))
			return &found->row;
	struct collected_row *row = row_new(collection, c, same);
	if (!row)
		return NULL;
	row->next = *bucket;
	*bucket = row;
	return &row->row;
}

static void
count_in(struct collection *collection, struct collected *c, struct slice record)
{
	struct buffer same;

	buffer_init_fixed(&same, collection->same, sizeof collection->same);
	for (size_t i = 0; i < ALIKE; i++) {
		struct slice text = text_of(record, alike[i]);
		buffer_append_u16(&same, (uint16_t)text.len);
		buffer_append(&same, text);
	}
	struct aggregate_row *row =
		buffer_error(&same) == OK ? row_of(collection, c, buffer_slice(&same)) : NULL;
	if (!row) {
		c->left_out++;
		return;
	}
	row->count++;
	c->report.messages++;
	c->report.passed += aggregate_row_passes(row);
	take_policy(collection, c, record);
}

void
collection_take(
	struct collection *collection, struct slice record, uint64_t day, struct slice domain)
{
	uint64_t seconds = (uint64_t)(log_record_time(record) / US_PER_S);
	uint64_t begin = seconds - seconds % COLLECT_DAY_S;
	struct slice of = text_of(record, "domain");

	if (!log_record_is(record, "dmarc_seen") || of.len == 0 || (day != 0 && day != begin) ||
		(domain.len > 0 && !slice_equal_nocase(of, domain)))
		return;
	struct collected *c = report_of(collection, of, begin);
	if (c)
		count_in(collection, c, record);
	else
		collection->left_out++;
}

static int
compare(const void *left, const void *right)
{
	const struct collected *a = *(struct collected *const *)left;
	const struct collected *b = *(struct collected *const *)right;
	int order = slice_compare(a->report.domain, b->report.domain);

	return order != 0
		       ? order
		       : (a->report.begin > b->report.begin) - (a->report.begin < b->report.begin);
}

enum error
collection_sort(struct collection *collection, struct memory *memory)
{
	struct collected **list = memory_try(memory, (collection->count + 1) * sizeof *list);
	size_t count = 0;

	if (!list)
		return ERROR_NO_MEMORY;
	for (struct collected *c = collection->reports; c; c = c->next)
		list[count++] = c;
	if (count > 1)
		qsort(list, count, sizeof *list, compare);
	collection->reports = count > 0 ? list[0] : NULL;
	for (size_t i = 0; i < count; i++)
		list[i]->next = i + 1 < count ? list[i + 1] : NULL;
	memory_put(memory, list);
	return OK;
}
