/* Two forms of one report: for eyes, and one object. */
#include "cmd/dmarc_show.h"
#include "base/civil.h"
#include "base/log_record.h"
#include "cmd/tool.h"

#define ADDRESS_WIDTH 39 /* of IPv6 */

static void
append_time(struct buffer *text, uint64_t seconds)
{
	struct civil_time time = civil_time_of((wall_us)seconds * US_PER_S);

	buffer_printf(text, "%04d-%02d-%02d %02d:%02d", time.year, time.month, time.day, time.hour,
		time.minute);
}

/* Padded to a width. */
static void
append_cell(struct buffer *text, struct slice value, size_t width)
{
	size_t from = text->len;

	tool_append_harmless(text, value.len > 0 ? value : SLICE("-"));
	while (text->len - from < width && text->error == OK)
		buffer_append_octet(text, ' ');
	buffer_append_octet(text, ' ');
}

static void
append_said(struct buffer *text, const char *label, struct slice value)
{
	if (value.len == 0)
		return;
	buffer_append_text(text, label);
	tool_append_harmless(text, value);
}

/* "dkim example.org s1 pass, spf example.org pass" */
static void
append_results(struct buffer *text, const struct aggregate_row *row)
{
	const char *between = "";

	for (const struct aggregate_result *r = row->results; r; r = r->next) {
		buffer_printf(text, "%s%s", between, r->is_dkim ? "dkim" : "spf");
		append_said(text, " ", r->domain);
		append_said(text, " ", r->selector);
		append_said(text, " ", r->result);
		between = ", ";
	}
}

static void
append_row(struct buffer *text, const struct aggregate_row *row)
{
	buffer_printf(text, "%8llu  %-5s  ", (unsigned long long)row->count,
		aggregate_row_passes(row) ? "pass" : "fail");
	append_cell(text, row->spf, 5);
	append_cell(text, row->dkim, 5);
	append_cell(text, row->disposition, 11);
	append_cell(text, row->source_ip, ADDRESS_WIDTH);
	tool_append_harmless(text, row->header_from);
	append_said(text, ", sender ", row->envelope_from);
	append_said(text, "; overridden: ", row->reason);
	append_said(text, ", ", row->reason_comment);
	buffer_append_octet(text, '\n');
	if (row->results) {
		buffer_printf(text, "%8s  ", "");
		append_results(text, row);
		buffer_append_octet(text, '\n');
	}
}

void
dmarc_report_print(struct buffer *text, const struct aggregate_report *report)
{
	tool_append_harmless(text, report->domain);
	buffer_printf(text, ": %llu messages, %llu passed, %llu failed\nfrom ",
		(unsigned long long)report->messages, (unsigned long long)report->passed,
		(unsigned long long)(report->messages - report->passed));
	append_time(text, report->begin);
	buffer_append_text(text, " to ");
	append_time(text, report->end);
	append_said(text, " UTC, by ", report->organization);
	append_said(text, ", ", report->email);
	append_said(text, ", report ", report->id);
	buffer_append_text(text, "\npolicy:");
	append_said(text, " p=", report->policy);
	append_said(text, " sp=", report->subdomains);
	append_said(text, " np=", report->absent);
	append_said(text, " adkim=", report->dkim_mode);
	append_said(text, " aspf=", report->spf_mode);
	append_said(text, " t=", report->testing);
	append_said(text, "\nits maker says: ", report->error);
	buffer_printf(text, "\n\nmessages  dmarc  spf   dkim  done        %-*s from\n",
		ADDRESS_WIDTH, "source");
	for (const struct aggregate_row *row = report->rows; row; row = row->next)
		append_row(text, row);
	buffer_append_octet(text, '\n');
}

static void
json_pair(struct buffer *text, const char *name, struct slice value)
{
	buffer_printf(text, "\"%s\":", name);
	json_append_string(text, value);
	buffer_append_octet(text, ',');
}

static void
json_results(struct buffer *text, const struct aggregate_row *row)
{
	for (const struct aggregate_result *r = row->results; r; r = r->next) {
		buffer_append_text(text, r == row->results ? "{" : ",{");
		json_pair(text, "method", r->is_dkim ? SLICE("dkim") : SLICE("spf"));
		json_pair(text, "domain", r->domain);
		json_pair(text, "selector", r->selector);
		buffer_append_text(text, "\"result\":");
		json_append_string(text, r->result);
		buffer_append_octet(text, '}');
	}
}

static void
json_row(struct buffer *text, const struct aggregate_row *row)
{
	buffer_printf(text, "{\"count\":%llu,\"dmarc\":\"%s\",", (unsigned long long)row->count,
		aggregate_row_passes(row) ? "pass" : "fail");
	json_pair(text, "source_ip", row->source_ip);
	json_pair(text, "disposition", row->disposition);
	json_pair(text, "spf", row->spf);
	json_pair(text, "dkim", row->dkim);
	json_pair(text, "header_from", row->header_from);
	json_pair(text, "envelope_from", row->envelope_from);
	json_pair(text, "reason", row->reason);
	json_pair(text, "reason_comment", row->reason_comment);
	buffer_append_text(text, "\"results\":[");
	json_results(text, row);
	buffer_append_text(text, "]}");
}

void
dmarc_report_json(struct buffer *text, const char *path, const struct aggregate_report *report)
{
	buffer_append_octet(text, '{');
	json_pair(text, "file", slice_text(path));
	json_pair(text, "organization", report->organization);
	json_pair(text, "email", report->email);
	json_pair(text, "report_id", report->id);
	json_pair(text, "error", report->error);
	json_pair(text, "domain", report->domain);
	json_pair(text, "policy", report->policy);
	json_pair(text, "subdomain_policy", report->subdomains);
	json_pair(text, "absent_policy", report->absent);
	json_pair(text, "adkim", report->dkim_mode);
	json_pair(text, "aspf", report->spf_mode);
	json_pair(text, "testing", report->testing);
	buffer_printf(text,
		"\"begin\":%llu,\"end\":%llu,\"messages\":%llu,\"passed\":%llu,\"records\":[",
		(unsigned long long)report->begin, (unsigned long long)report->end,
		(unsigned long long)report->messages, (unsigned long long)report->passed);
	for (const struct aggregate_row *row = report->rows; row; row = row->next) {
		buffer_append_text(text, row == report->rows ? "" : ",");
		json_row(text, row);
	}
	buffer_append_text(text, "]}");
}
