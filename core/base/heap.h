/* Intrusive 4-ary min-heap ordered by a us_t key, then by insertion order. A node is in at most one
 * heap. One thread owns a heap. */
#ifndef STOKER_BASE_HEAP_H
#define STOKER_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/clock.h"

struct heap_node {
	us_t key;
	uint64_t order;
	uint32_t pos; /* index + 1; 0 = not in a heap */
};
struct heap {
	struct heap_node **nodes;
	size_t n, cap;
	uint64_t next_order;
};
void heap_init(struct heap *h);
void heap_free(struct heap *h);
/* Inserts, or moves a node that is in the heap to its new key. False without memory. */
bool heap_set(struct heap *h, struct heap_node *n, us_t key);
void heap_del(struct heap *h, struct heap_node *n); /* not in the heap: nothing */
static inline struct heap_node *heap_top(const struct heap *h)
{
	return h->n ? h->nodes[0] : NULL;
}
static inline bool heap_has(const struct heap_node *n)
{
	return n->pos != 0;
}
/* container_of */
#define HEAP_OF(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

#endif
