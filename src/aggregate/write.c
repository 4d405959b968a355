/*
 * Strangers' texts stand in it (domains out of From and of signatures): all but the five characters
 * of markup goes through one function, which lets no octet out that XML does not have.
 */
#include "aggregate/write.h"
#include "text/encode.h"

#include <inttypes.h>

#define NAMESPACE "urn:ietf:params:xml:ns:dmarc-2.0"

static void
append_character(struct buffer *xml, struct slice character)
{
	uint8_t octet = character.ptr[0];
	bool is_control = octet < ' ' || octet == 0x7f;
	/* U+FFFE and U+FFFF are characters of UTF-8, and none of XML. */
	bool is_none = character.len == 3 && octet == 0xef && character.ptr[1] == 0xbf &&
		       character.ptr[2] >= 0xbe;

	if (octet == '&')
		buffer_append_text(xml, "&amp;");
	else if (octet == '<')
		buffer_append_text(xml, "&lt;");
	else if (octet == '>')
		buffer_append_text(xml, "&gt;");
	else if (is_control || is_none)
		buffer_append_octet(xml, '?');
	else
		buffer_append(xml, character);
}

static void
append_text(struct buffer *xml, struct slice text)
{
	while (text.len > 0) {
		size_t len = utf8_character(text);
		if (len == 0)
			buffer_append_octet(xml, '?');
		else
			append_character(xml, slice_sub(text, 0, len));
		text = slice_from(text, len > 0 ? len : 1);
	}
}

static void
element(struct buffer *xml, const char *name, struct slice text)
{
	buffer_printf(xml, "<%s>", name);
	append_text(xml, text);
	buffer_printf(xml, "</%s>\n", name);
}

static void
element_if(struct buffer *xml, const char *name, struct slice text)
{
	if (text.len > 0)
		element(xml, name, text);
}

static void
append_metadata(struct buffer *xml, const struct aggregate_report *report)
{
	buffer_append_text(xml, "<report_metadata>\n");
	element(xml, "org_name", report->organization);
	element(xml, "email", report->email);
	element(xml, "report_id", report->id);
	buffer_printf(xml,
		"<date_range><begin>%" PRIu64 "</begin><end>%" PRIu64 "</end></date_range>\n",
		report->begin, report->end);
	element_if(xml, "error", report->error);
	buffer_append_text(xml, "<generator>Veredus</generator>\n</report_metadata>\n");
}

static void
append_policy(struct buffer *xml, const struct aggregate_report *report)
{
	buffer_append_text(xml, "<policy_published>\n");
	element(xml, "domain", report->domain);
	element(xml, "p", report->policy);
	element_if(xml, "sp", report->subdomains);
	element_if(xml, "np", report->absent);
	element_if(xml, "adkim", report->dkim_mode);
	element_if(xml, "aspf", report->spf_mode);
	element_if(xml, "testing", report->testing);
	element_if(xml, "discovery_method", report->discovery);
	buffer_append_text(xml, "</policy_published>\n");
}

static void
append_result(struct buffer *xml, const struct aggregate_result *result)
{
	const char *name = result->is_dkim ? "dkim" : "spf";

	buffer_printf(xml, "<%s>\n", name);
	element(xml, "domain", result->domain);
	if (result->is_dkim)
		element(xml, "selector", result->selector);
	else
		element_if(xml, "scope", result->scope);
	element(xml, "result", result->result);
	buffer_printf(xml, "</%s>\n", name);
}

static void
append_row(struct buffer *xml, const struct aggregate_row *row)
{
	buffer_append_text(xml, "<record>\n<row>\n");
	element(xml, "source_ip", row->source_ip);
	buffer_printf(xml, "<count>%" PRIu64 "</count>\n<policy_evaluated>\n", row->count);
	element(xml, "disposition", row->disposition);
	element(xml, "dkim", row->dkim);
	element(xml, "spf", row->spf);
	if (row->reason.len > 0) {
		buffer_append_text(xml, "<reason>\n");
		element(xml, "type", row->reason);
		element_if(xml, "comment", row->reason_comment);
		buffer_append_text(xml, "</reason>\n");
	}
	buffer_append_text(xml, "</policy_evaluated>\n</row>\n<identifiers>\n");
	element_if(xml, "envelope_from", row->envelope_from);
	element(xml, "header_from", row->header_from);
	buffer_append_text(xml, "</identifiers>\n<auth_results>\n");
	for (const struct aggregate_result *r = row->results; r; r = r->next)
		append_result(xml, r);
	buffer_append_text(xml, "</auth_results>\n</record>\n");
}

void
aggregate_write(struct buffer *xml, const struct aggregate_report *report)
{
	buffer_append_text(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
				"<feedback xmlns=\"" NAMESPACE "\">\n<version>1.0</version>\n");
	append_metadata(xml, report);
	append_policy(xml, report);
	for (const struct aggregate_row *row = report->rows; row; row = row->next)
		append_row(xml, row);
	buffer_append_text(xml, "</feedback>\n");
}
