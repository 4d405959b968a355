/*
 * By expat, in one piece: fed in many, a token that never ends costs time quadratic in its length
 * (CVE-2023-52425). An element is known by its path; prefixes of namespaces are passed over, as
 * reporters write them as they like.
 */
#include "aggregate/report.h"

#include <expat.h>
#include <stdlib.h>

#define PATH_BYTES 256

struct reader {
	XML_Parser parser;
	struct arena *arena;
	struct aggregate_report *report;
	struct aggregate_row *row; /* under way */
	struct aggregate_row *last;
	struct aggregate_result *result; /* under way */
	struct aggregate_result *last_result;
	char path[PATH_BYTES];
	size_t path_len;
	unsigned depth;
	uint8_t text[AGGREGATE_TEXT_MAX];
	size_t text_len;
	enum error error;
	const char *why;
};

/* Where a text goes. */
enum place { OF_REPORT, OF_ROW, OF_RESULT };
struct known {
	const char *path;
	enum place place;
	size_t offset;
};

#define REPORT(path, member)                                                            \
	{                                                                               \
		"/feedback/" path, OF_REPORT, offsetof(struct aggregate_report, member) \
	}
#define ROW(path, member)                                                                \
	{                                                                                \
		"/feedback/record/" path, OF_ROW, offsetof(struct aggregate_row, member) \
	}
#define RESULT(path, member)                                      \
	{                                                         \
		"/feedback/record/auth_results/" path, OF_RESULT, \
			offsetof(struct aggregate_result, member) \
	}

static const struct known knowns[] = {
	REPORT("report_metadata/org_name", organization),
	REPORT("report_metadata/email", email),
	REPORT("report_metadata/report_id", id),
	REPORT("report_metadata/error", error),
	REPORT("policy_published/domain", domain),
	REPORT("policy_published/p", policy),
	REPORT("policy_published/sp", subdomains),
	REPORT("policy_published/np", absent),
	REPORT("policy_published/adkim", dkim_mode),
	REPORT("policy_published/aspf", spf_mode),
	REPORT("policy_published/testing", testing),
	REPORT("policy_published/discovery_method", discovery),
	ROW("row/source_ip", source_ip),
	ROW("row/policy_evaluated/disposition", disposition),
	ROW("row/policy_evaluated/dkim", dkim),
	ROW("row/policy_evaluated/spf", spf),
	ROW("row/policy_evaluated/reason/type", reason),
	ROW("row/policy_evaluated/reason/comment", reason_comment),
	ROW("identifiers/header_from", header_from),
	ROW("identifiers/envelope_from", envelope_from),
	RESULT("dkim/domain", domain),
	RESULT("dkim/selector", selector),
	RESULT("dkim/result", result),
	RESULT("spf/domain", domain),
	RESULT("spf/scope", scope),
	RESULT("spf/result", result),
};

static void
stop(struct reader *reader, enum error error, const char *why)
{
	if (reader->error != OK)
		return;
	reader->error = error;
	reader->why = why;
	XML_StopParser(reader->parser, XML_FALSE);
}

static bool
path_is(const struct reader *reader, const char *path)
{
	return slice_equal(slice_of(reader->path, reader->path_len), slice_text(path));
}

static struct slice
without_prefix(const char *name)
{
	struct slice text = slice_text(name);
	ssize_t colon = slice_find(text, 0, ':');

	return colon < 0 ? text : slice_from(text, (size_t)colon + 1);
}

static void
begin_row(struct reader *reader)
{
	if (reader->report->row_count >= AGGREGATE_ROWS_MAX) {
		stop(reader, ERROR_LIMIT, "it has more than 100000 records");
		return;
	}
	reader->row = arena_take(reader->arena, sizeof *reader->row);
	if (!reader->row) {
		stop(reader, ERROR_NO_MEMORY, "there is no memory for it");
		return;
	}
	reader->report->row_count++;
	*(reader->last ? &reader->last->next : &reader->report->rows) = reader->row;
	reader->last = reader->row;
	reader->last_result = NULL;
}

static void
begin_result(struct reader *reader, bool is_dkim)
{
	struct aggregate_row *row = reader->row;

	if (row->result_count >= AGGREGATE_RESULTS_MAX) {
		stop(reader, ERROR_LIMIT, "a record has more than 100 results");
		return;
	}
	reader->result = arena_take(reader->arena, sizeof *reader->result);
	if (!reader->result) {
		stop(reader, ERROR_NO_MEMORY, "there is no memory for it");
		return;
	}
	row->result_count++;
	reader->result->is_dkim = is_dkim;
	*(reader->last_result ? &reader->last_result->next : &row->results) = reader->result;
	reader->last_result = reader->result;
}

static void XMLCALL
element_begins(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct reader *reader = arg;
	struct slice local = without_prefix(name);

	(void)attributes;
	if (reader->error != OK)
		return;
	reader->text_len = 0;
	if (++reader->depth > AGGREGATE_DEPTH_MAX ||
		reader->path_len + 1 + local.len > sizeof reader->path) {
		stop(reader, ERROR_LIMIT, "its elements are nested too deeply, or have long names");
		return;
	}
	reader->path[reader->path_len++] = '/';
	memcpy(reader->path + reader->path_len, local.ptr, local.len);
	reader->path_len += local.len;
	if (reader->depth == 1 && !path_is(reader, "/feedback"))
		stop(reader, ERROR_FORMAT, "it is XML, and no DMARC aggregate report");
	else if (path_is(reader, "/feedback/record"))
		begin_row(reader);
	else if (path_is(reader, "/feedback/record/auth_results/dkim"))
		begin_result(reader, true);
	else if (path_is(reader, "/feedback/record/auth_results/spf"))
		begin_result(reader, false);
}

static void XMLCALL
text_comes(void *arg, const XML_Char *text, int len)
{
	struct reader *reader = arg;

	if (reader->error != OK)
		return;
	if ((size_t)len > sizeof reader->text - reader->text_len) {
		stop(reader, ERROR_LIMIT, "a text in it is longer than 4096 octets");
		return;
	}
	memcpy(reader->text + reader->text_len, text, (size_t)len);
	reader->text_len += (size_t)len;
}

static struct slice
trimmed_text(const struct reader *reader)
{
	size_t start = 0, end = reader->text_len;

	while (start < end && reader->text[start] <= ' ')
		start++;
	while (end > start && reader->text[end - 1] <= ' ')
		end--;
	return slice_of(reader->text + start, end - start);
}

/* What comes twice counts once: the first. */
static void
keep_text(struct reader *reader, const struct known *known)
{
	uint8_t *const owners[] = {[OF_REPORT] = (uint8_t *)reader->report,
		[OF_ROW] = (uint8_t *)reader->row,
		[OF_RESULT] = (uint8_t *)reader->result};
	struct slice *kept = (struct slice *)(void *)(owners[known->place] + known->offset);

	if (kept->len == 0 && !arena_copy(reader->arena, trimmed_text(reader), kept))
		stop(reader, ERROR_NO_MEMORY, "there is no memory for it");
}

static void
keep_number(struct reader *reader, uint64_t max, uint64_t *ret_number)
{
	if (!slice_number(trimmed_text(reader), max, ret_number))
		stop(reader, ERROR_FORMAT, "a number in it is none");
}

static void
end_row(struct reader *reader)
{
	struct aggregate_row *row = reader->row;

	reader->report->messages += row->count;
	reader->report->passed += aggregate_row_passes(row) ? row->count : 0;
	if (row->source_ip.len == 0)
		stop(reader, ERROR_FORMAT, "a record in it has no source_ip");
	reader->row = NULL;
}

static void
take_text(struct reader *reader)
{
	if (path_is(reader, "/feedback/record/row/count"))
		keep_number(reader, AGGREGATE_COUNT_MAX, &reader->row->count);
	else if (path_is(reader, "/feedback/report_metadata/date_range/begin"))
		keep_number(reader, UINT32_MAX, &reader->report->begin);
	else if (path_is(reader, "/feedback/report_metadata/date_range/end"))
		keep_number(reader, UINT32_MAX, &reader->report->end);
	for (size_t i = 0; i < sizeof knowns / sizeof *knowns; i++)
		if (path_is(reader, knowns[i].path)) {
			keep_text(reader, &knowns[i]);
			return;
		}
}

static void XMLCALL
element_ends(void *arg, const XML_Char *name)
{
	struct reader *reader = arg;
	struct slice local = without_prefix(name);

	if (reader->error != OK)
		return;
	take_text(reader);
	if (reader->error == OK && path_is(reader, "/feedback/record"))
		end_row(reader);
	reader->text_len = 0;
	reader->depth--;
	reader->path_len -= 1 + local.len;
}

/* A report has no need of one, and everything evil in XML begins with it. */
static void XMLCALL
doctype_begins(void *arg, const XML_Char *name, const XML_Char *system, const XML_Char *public,
	int has_internal_subset)
{
	(void)name;
	(void)system;
	(void)public;
	(void)has_internal_subset;
	stop(arg, ERROR_FORMAT, "it has a document type (DOCTYPE), which no report has");
}

/* Newer versions of expat have another one of more bits, which older ones have not. */
static uint64_t
current_line(XML_Parser parser)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	return XML_GetCurrentLineNumber(parser);
#pragma GCC diagnostic pop
}

static void
run(struct reader *reader, struct slice xml, uint64_t *ret_line)
{
	XML_SetUserData(reader->parser, reader);
	XML_SetElementHandler(reader->parser, element_begins, element_ends);
	XML_SetCharacterDataHandler(reader->parser, text_comes);
	XML_SetStartDoctypeDeclHandler(reader->parser, doctype_begins);
	enum XML_Status status =
		XML_Parse(reader->parser, (const char *)xml.ptr, (int)xml.len, XML_TRUE);
	*ret_line = current_line(reader->parser);
	if (status != XML_STATUS_OK && reader->error == OK) {
		reader->error = ERROR_FORMAT;
		reader->why = XML_ErrorString(XML_GetErrorCode(reader->parser));
	}
}

enum error
aggregate_parse(struct slice xml, struct arena *arena, struct aggregate_report *ret_report,
	const char **ret_why, uint64_t *ret_line)
{
	struct aggregate_report report = {0};
	struct reader *reader = arena_take(arena, sizeof *reader);

	*ret_line = 0;
	*ret_why = "there is no memory for it";
	XML_Parser parser = reader ? XML_ParserCreate(NULL) : NULL;
	if (!parser)
		return ERROR_NO_MEMORY;
	reader->parser = parser;
	reader->arena = arena;
	reader->report = &report;
	*ret_why = "it is larger than a report is";
	if (xml.len > INT32_MAX / 2)
		reader->error = ERROR_LIMIT;
	else
		run(reader, xml, ret_line);
	XML_ParserFree(parser);
	if (reader->error == OK && (report.domain.len == 0 || report.organization.len == 0)) {
		*ret_line = 0;
		*ret_why = "it does not say whom it is about (policy_published/domain), or who "
			   "made it (report_metadata/org_name)";
		return ERROR_FORMAT;
	}
	if (reader->error == OK)
		*ret_report = report;
	else if (reader->why)
		*ret_why = reader->why;
	return reader->error;
}
