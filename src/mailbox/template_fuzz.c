/*
 * Any two users of any two domains: their paths stay inside their components, decode to what went
 * in (but for the case of letters), and are the same only for the same user.
 */
#include "base/cursor.h"
#include "mailbox/template.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
hex_value(uint8_t octet)
{
	return octet >= 'A' ? octet - 'A' + 10 : octet - '0';
}

static void
check_decodes(struct slice encoded, struct slice value)
{
	size_t at = 0;

	for (size_t i = 0; i < value.len; i++) {
		uint8_t octet = encoded.ptr[at++];
		assert(octet != '/' && octet != 0 && octet != '@');
		if (octet == '%') {
			octet = (uint8_t)(hex_value(encoded.ptr[at]) << 4 |
					  hex_value(encoded.ptr[at + 1]));
			at += 2;
		}
		assert(octet == ascii_lower(value.ptr[i]));
	}
	assert(at == encoded.len);
}

/* Expands and takes the path apart again. */
static bool
expand_checked(struct slice local, struct slice domain, struct buffer *path)
{
	enum error error =
		mailbox_template_expand(SLICE("/var/{user}@{domain}/m"), local, domain, path);

	if (error != OK) {
		assert(error == ERROR_LIMIT || local.len == 0 || domain.len == 0);
		return false;
	}
	struct slice whole = buffer_slice(path);
	assert(whole.len > 2 && slice_has_suffix(whole, SLICE("/m")));
	struct slice component = slice_sub(whole, 0, whole.len - 2);
	assert(component.len <= MAILBOX_COMPONENT_MAX && component.ptr[0] != '.' &&
		component.ptr[0] != '-');
	ssize_t split = slice_find(component, 0, '@');
	assert(split > 0);
	check_decodes(slice_sub(component, 0, (size_t)split), local);
	check_decodes(slice_from(component, (size_t)split + 1), domain);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t first_path[8192], second_path[8192];
	struct buffer first, second;
	struct slice parts[4], rest = slice_of(data, size);
	const char *problem;
	bool usable;

	for (int i = 0; i < 4; i++) {
		ssize_t end = slice_find(rest, 0, '|');
		parts[i] = slice_sub(rest, 0, end < 0 ? SIZE_MAX : (size_t)end);
		rest = slice_from(rest, parts[i].len + 1);
	}
	buffer_init_fixed(&first, first_path, sizeof first_path);
	buffer_init_fixed(&second, second_path, sizeof second_path);
	usable = expand_checked(parts[0], parts[1], &first);
	usable = expand_checked(parts[2], parts[3], &second) && usable;
	if (usable && slice_equal(buffer_slice(&first), buffer_slice(&second)))
		assert(slice_equal_nocase(parts[0], parts[2]) &&
			slice_equal_nocase(parts[1], parts[3]));
	/* The rest as a template, with the first address in it. */
	buffer_clear(&first);
	if (mailbox_template_check(rest, &problem) == OK) {
		struct slice root = mailbox_template_root(rest);
		assert(root.len >= 1 && root.ptr[0] == '/' && slice_has_prefix(rest, root));
		if (mailbox_template_expand(rest, parts[0], parts[1], &first) == OK)
			assert(first.len > 0 && first.ptr[0] != '/');
	}
	return 0;
}
