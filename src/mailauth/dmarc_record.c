/*
 * A policy record (RFC 9989 section 4.7, 4.8). Only the version is strict; whatever else is wrong
 * counts as if it were not there.
 */
#include "mailauth/dmarc.h"

static bool
read_policy(struct slice value, enum dmarc_policy *policy)
{
	for (enum dmarc_policy i = DMARC_POLICY_NONE; i <= DMARC_POLICY_REJECT; i++) {
		if (slice_equal_nocase(value, slice_text(dmarc_policy_text(i)))) {
			*policy = i;
			return true;
		}
	}
	return false;
}

static bool
is_word(struct slice value, const char *word)
{
	return slice_equal_nocase(value, slice_text(word));
}

static enum dmarc_psd
read_psd(struct slice value)
{
	if (is_word(value, "y"))
		return DMARC_PSD_YES;
	return is_word(value, "n") ? DMARC_PSD_NO : DMARC_PSD_UNKNOWN;
}

static bool
next_tag(struct slice *rest, struct slice *ret_name, struct slice *ret_value)
{
	if (rest->len == 0)
		return false;
	ssize_t semicolon = slice_find(*rest, 0, ';');
	struct slice spec = semicolon < 0 ? *rest : slice_sub(*rest, 0, (size_t)semicolon);
	*rest = slice_from(*rest, spec.len + 1);
	ssize_t equals = slice_find(spec, 0, '=');
	size_t end = equals < 0 ? spec.len : (size_t)equals;
	*ret_name = tag_trim(slice_sub(spec, 0, end));
	*ret_value = tag_trim(slice_from(spec, end + 1));
	return true;
}

/* The first of two tags of one name. */
static bool
find_tag(struct slice text, const char *wanted, struct slice *ret_value)
{
	struct slice name, value;

	while (next_tag(&text, &name, &value)) {
		if (is_word(name, wanted)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

/* False: one of the policies means nothing. */
static bool
read_policies(struct slice text, struct dmarc_record *record)
{
	struct slice value;
	bool is_good = true;

	if (find_tag(text, "p", &value))
		is_good = read_policy(value, &record->policy);
	record->subdomains = record->policy;
	if (find_tag(text, "sp", &value))
		is_good &= read_policy(value, &record->subdomains);
	record->absent = record->subdomains;
	if (find_tag(text, "np", &value))
		is_good &= read_policy(value, &record->absent);
	return is_good;
}

bool
dmarc_record_parse(struct slice text, struct dmarc_record *ret_record)
{
	struct slice rest = text, name, value;

	if (!next_tag(&rest, &name, &value) || !slice_equal(name, SLICE("v")) ||
		!slice_equal(value, SLICE("DMARC1")) || text.ptr[0] != 'v')
		return false;
	*ret_record = (struct dmarc_record){0};
	find_tag(rest, "rua", &ret_record->reports);
	if (!read_policies(rest, ret_record)) {
		if (ret_record->reports.len == 0)
			return false;
		ret_record->policy = ret_record->subdomains = ret_record->absent =
			DMARC_POLICY_NONE;
	}
	ret_record->psd = find_tag(rest, "psd", &value) ? read_psd(value) : DMARC_PSD_UNKNOWN;
	ret_record->is_dkim_strict = find_tag(rest, "adkim", &value) && is_word(value, "s");
	ret_record->is_spf_strict = find_tag(rest, "aspf", &value) && is_word(value, "s");
	ret_record->is_testing = find_tag(rest, "t", &value) && is_word(value, "y");
	return true;
}
