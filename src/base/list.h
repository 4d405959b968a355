/* A doubly linked ring whose links lie inside the things listed. The head is a link of its own.
 * Nothing is owned. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

#define list_entry(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))
#define list_for_each(link, head) \
	for (struct list *link = (head)->next; link != (head); link = link->next)
/* The current link may be removed or freed in the body. */
#define list_for_each_safe(link, after, head)                                       \
	for (struct list *link = (head)->next, *after = link->next; link != (head); \
		link = after, after = link->next)

static inline void
list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool
list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline void
list_append(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

static inline void
list_prepend(struct list *head, struct list *link)
{
	list_append(head->next, link);
}

/* Afterwards the link is a ring of its own: removing it once more is harmless. */
static inline void
list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* First link, taken off; NULL when the list is empty. */
static inline struct list *
list_take(struct list *head)
{
	if (list_is_empty(head))
		return NULL;
	struct list *first = head->next;
	list_remove(first);
	return first;
}

#endif
