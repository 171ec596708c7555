/* Intrusive circular lists with a head. No thread safety: a list is one thread's. */
#ifndef STOKER_BASE_LIST_H
#define STOKER_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
	struct link *next, *prev; /* NULL: in no list (a head is never NULL once initialised) */
};

#define LIST_OF(l, type, member) ((type *)(void *)((char *)(l)-offsetof(type, member)))

static inline void list_init(struct link *head)
{
	head->next = head->prev = head;
}
static inline bool list_empty(const struct link *head)
{
	return head->next == head;
}
static inline bool list_in(const struct link *l)
{
	return l->next != NULL;
}
static inline void list_add(struct link *head, struct link *l)
{
	l->next = head;
	l->prev = head->prev;
	head->prev->next = l;
	head->prev = l;
}
static inline void list_del(struct link *l)
{
	if (!l->next)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->next = l->prev = NULL;
}
static inline struct link *list_first(struct link *head)
{
	return head->next == head ? NULL : head->next;
}
static inline struct link *list_pop(struct link *head)
{
	struct link *l = list_first(head);

	if (l)
		list_del(l);
	return l;
}

#endif
