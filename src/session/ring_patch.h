/* Octets of a streamed content that are to be put over what the queue has: a list, in the order in
 * which they count. */
#ifndef SESSION_RING_PATCH_H
#define SESSION_RING_PATCH_H

#include "base/memory.h"
#include "base/slice.h"

#include <string.h>

struct ring_patch {
	struct ring_patch *next;
	uint64_t at; /* in the content */
	size_t len;
	uint8_t octets[];
};

/* False: no memory. `last`: of the list, where it is not empty. */
static inline bool
ring_patch_append(struct memory *memory, struct ring_patch **list, struct ring_patch **last,
	uint64_t at, struct slice octets)
{
	struct ring_patch *patch = memory_try(memory, sizeof *patch + octets.len);

	if (!patch)
		return false;
	patch->next = NULL;
	patch->at = at;
	patch->len = octets.len;
	/* UNSAFE: room was made for them above. */
	memcpy(patch->octets, octets.ptr, octets.len);
	if (*list)
		(*last)->next = patch;
	else
		*list = patch;
	*last = patch;
	return true;
}

static inline void
ring_patches_free(struct memory *memory, struct ring_patch **list)
{
	for (struct ring_patch *patch = *list, *next; patch; patch = next) {
		next = patch->next;
		memory_put(memory, patch);
	}
	*list = NULL;
}

#endif
