/*
 * Tag lists (RFC 6376 section 3.2). One pass; the same tag twice spoils the list, since two readers
 * could take each another one of them.
 *
 *   tag-list  =  tag-spec *( ";" tag-spec ) [ ";" ]
 *   tag-spec  =  [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]
 *   tag-name  =  ALPHA *ALNUMPUNC
 *   tag-value =  [ tval *( 1*(WSP / FWS) tval ) ]
 */
#include "mailauth/tag_list.h"

static bool
is_space(uint8_t octet)
{
	return octet == ' ' || octet == '\t' || octet == '\r' || octet == '\n';
}

struct slice
tag_trim(struct slice text)
{
	size_t start = 0, end = text.len;

	while (start < end && is_space(text.ptr[start]))
		start++;
	while (end > start && is_space(text.ptr[end - 1]))
		end--;
	return slice_sub(text, start, end - start);
}

static bool
name_is_valid(struct slice name)
{
	if (name.len == 0 || !ascii_is_alpha(name.ptr[0]))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '_')
			return false;
	return true;
}

/* Octets over 127 are UTF-8 (RFC 8616); controls, NUL first of all, make readers disagree. */
static bool
value_is_valid(struct slice value)
{
	for (size_t i = 0; i < value.len; i++)
		if ((value.ptr[i] < 0x20 && !is_space(value.ptr[i])) || value.ptr[i] == 0x7f)
			return false;
	return true;
}

static bool
tag_parse(struct slice text, struct tag *ret_tag)
{
	ssize_t equals = slice_find(text, 0, '=');

	if (equals < 0)
		return false;
	ret_tag->name = tag_trim(slice_sub(text, 0, (size_t)equals));
	ret_tag->whole = slice_from(text, (size_t)equals + 1);
	ret_tag->value = tag_trim(ret_tag->whole);
	return name_is_valid(ret_tag->name) && value_is_valid(ret_tag->value);
}

static bool
has_name(const struct tag_list *list, struct slice name)
{
	for (size_t i = 0; i < list->count; i++)
		if (slice_equal(list->tags[i].name, name))
			return true;
	return false;
}

enum error
tag_list_parse(struct slice text, struct tag_list *ret_list)
{
	size_t at = 0;

	ret_list->count = 0;
	while (at < text.len) {
		ssize_t semicolon = slice_find(text, at, ';');
		size_t end = semicolon < 0 ? text.len : (size_t)semicolon;
		struct slice spec = slice_sub(text, at, end - at);
		struct tag tag;
		at = end + 1;
		if (semicolon < 0 && tag_trim(spec).len == 0)
			break;
		if (!tag_parse(spec, &tag) || has_name(ret_list, tag.name))
			return ERROR_FORMAT;
		if (ret_list->count == TAG_LIST_MAX)
			return ERROR_LIMIT;
		ret_list->tags[ret_list->count++] = tag;
	}
	return ret_list->count > 0 ? OK : ERROR_FORMAT;
}

const struct tag *
tag_list_find(const struct tag_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (slice_equal(list->tags[i].name, slice_text(name)))
			return &list->tags[i];
	return NULL;
}

struct slice
tag_list_value(const struct tag_list *list, const char *name)
{
	const struct tag *tag = tag_list_find(list, name);

	return tag ? tag->value : slice_of(NULL, 0);
}

bool
tag_next_item(struct slice *rest, struct slice *ret_item)
{
	if (rest->len == 0)
		return false;
	ssize_t colon = slice_find(*rest, 0, ':');
	size_t end = colon < 0 ? rest->len : (size_t)colon;
	*ret_item = tag_trim(slice_sub(*rest, 0, end));
	*rest = slice_from(*rest, end + 1);
	return true;
}

bool
tag_has_item(struct slice value, const char *word)
{
	struct slice item;

	while (tag_next_item(&value, &item))
		if (slice_equal_nocase(item, slice_text(word)))
			return true;
	return false;
}
