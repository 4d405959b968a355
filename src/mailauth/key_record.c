/*
 * Key records (RFC 6376 section 3.6.1). Each tag but p= has a default, and v= must come first where
 * it stands. What cannot be used is told apart, since a domain's owner wants to know.
 */
#include "mailauth/key_record.h"
#include "text/base64.h"

const char *
key_fault_text(enum key_fault fault)
{
	static const char *const texts[KEY_FAULTS] = {[KEY_OK] = "it is a key",
		[KEY_NOT_ONE] = "the record is no DKIM key",
		[KEY_SYNTAX] = "the key record is malformed",
		[KEY_REVOKED] = "the key is revoked",
		[KEY_NO_SHA256] = "the key is not for sha256",
		[KEY_NOT_FOR_MAIL] = "the key is not for mail",
		[KEY_OTHER_TYPE] = "the key is of an unknown type",
		[KEY_BROKEN] = "p= holds no key of that type"};

	return texts[fault];
}

static bool
allows(const struct tag_list *tags, const char *name, const char *word, const char *other)
{
	const struct tag *tag = tag_list_find(tags, name);

	return !tag || tag_has_item(tag->value, word) || (other && tag_has_item(tag->value, other));
}

static bool
read_type(struct slice value, bool is_there, enum key_type *ret_type)
{
	bool is_rsa = !is_there || slice_equal_nocase(value, SLICE("rsa"));

	*ret_type = is_rsa ? KEY_RSA : KEY_ED25519;
	return is_rsa || slice_equal_nocase(value, SLICE("ed25519"));
}

static enum key_fault
check_tags(const struct tag_list *tags, struct key_record *record)
{
	const struct tag *type = tag_list_find(tags, "k");

	if (!tag_list_find(tags, "p"))
		return KEY_NOT_ONE;
	if (tag_list_value(tags, "p").len == 0)
		return KEY_REVOKED;
	if (!read_type(type ? type->value : (struct slice){0}, type, &record->type))
		return KEY_OTHER_TYPE;
	if (!allows(tags, "h", "sha256", NULL))
		return KEY_NO_SHA256;
	if (!allows(tags, "s", "email", "*"))
		return KEY_NOT_FOR_MAIL;
	return KEY_OK;
}

enum key_fault
key_record_parse(struct slice text, struct arena *arena, struct key_record *ret_record)
{
	struct tag_list tags;
	enum error error = tag_list_parse(text, &tags);

	*ret_record = (struct key_record){0};
	const struct tag *version = error == OK ? tag_list_find(&tags, "v") : NULL;

	if (error != OK)
		return slice_has_prefix(text, SLICE("v=DKIM1")) ? KEY_SYNTAX : KEY_NOT_ONE;
	if (version && (version != tags.tags || !slice_equal(version->value, SLICE("DKIM1"))))
		return KEY_NOT_ONE;
	enum key_fault fault = check_tags(&tags, ret_record);
	if (fault != KEY_OK)
		return fault;
	if (base64_decode(tag_list_value(&tags, "p"), arena, &ret_record->octets) != OK)
		return KEY_BROKEN;
	ret_record->is_testing = tag_has_item(tag_list_value(&tags, "t"), "y");
	ret_record->is_strict = tag_has_item(tag_list_value(&tags, "t"), "s");
	return KEY_OK;
}
