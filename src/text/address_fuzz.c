/* Any octets as an address, a domain and a literal; what is accepted must parse again from its
 * canonical form, unchanged. */
#include "text/address.h"
#include "text/international.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_canonical(const struct address *address)
{
	uint8_t first[ADDRESS_MAX], second[ADDRESS_MAX];
	struct buffer once, twice;
	struct address again;

	buffer_init_fixed(&once, first, sizeof first);
	buffer_init_fixed(&twice, second, sizeof second);
	address_append_canonical(&once, address);
	require(buffer_error(&once) == OK);
	require(address_parse_international(buffer_slice(&once), &again) == ADDRESS_OK);
	address_append_canonical(&twice, &again);
	require(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
}

/* What is taken in ASCII is taken here as the same; nothing taken can end a line or a path. */
static void
check_international(struct slice text, enum address_fault ascii_fault)
{
	struct address address;

	if (address_parse_international(text, &address) != ADDRESS_OK) {
		require(ascii_fault != ADDRESS_OK);
		return;
	}
	require(address.is_international == !text_is_ascii(text));
	require(address.is_international || ascii_fault == ADDRESS_OK);
	require(utf8_is_visible(text));
	check_canonical(&address);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	struct cursor cursor = cursor_of(text);
	struct address address, taken;
	enum address_fault fault = address_parse(text, &address);

	if (fault == ADDRESS_OK) {
		require(address.local_part.len + 1 + address.domain.len == size &&
			size <= ADDRESS_MAX);
		require(address.is_literal ? address_literal_is_valid(address.domain)
					   : domain_is_valid(address.domain));
		for (size_t i = 0; i < size; i++)
			require(data[i] >= 32 && data[i] < 127);
		check_canonical(&address);
	}
	check_international(text, fault);
	if (address_take(&cursor, &taken) == ADDRESS_OK)
		require(cursor.at == taken.local_part.len + 1 + taken.domain.len);
	else
		require(fault != ADDRESS_OK);
	require(cursor.at <= size);
	if (domain_is_valid(text))
		require(domain_is_valid_helo(text));
	(void)address_literal_is_valid(text);
	return 0;
}
