#include "core/base/heap.h"

#include <stdlib.h>

enum { ARITY = 4, FIRST_CAP = 64 };

void heap_init(struct heap *h)
{
	*h = (struct heap){ 0 };
}

void heap_free(struct heap *h)
{
	for (size_t i = 0; i < h->n; i++)
		h->nodes[i]->pos = 0;
	free(h->nodes);
	heap_init(h);
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
	return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void place(struct heap *h, struct heap_node *n, size_t i)
{
	h->nodes[i] = n;
	n->pos = (uint32_t)(i + 1);
}

static void sift_up(struct heap *h, struct heap_node *n, size_t i)
{
	while (i > 0) {
		size_t parent = (i - 1) / ARITY;

		if (!before(n, h->nodes[parent]))
			break;
		place(h, h->nodes[parent], i);
		i = parent;
	}
	place(h, n, i);
}

static void sift_down(struct heap *h, struct heap_node *n, size_t i)
{
	for (;;) {
		size_t first = i * ARITY + 1, least = first;
		size_t end = first + ARITY < h->n ? first + ARITY : h->n;

		for (size_t c = first + 1; c < end; c++)
			if (before(h->nodes[c], h->nodes[least]))
				least = c;
		if (first >= h->n || !before(h->nodes[least], n))
			break;
		place(h, h->nodes[least], i);
		i = least;
	}
	place(h, n, i);
}

/* Puts n, which belongs at or near index i, where it belongs. */
static void settle(struct heap *h, struct heap_node *n, size_t i)
{
	if (i > 0 && before(n, h->nodes[(i - 1) / ARITY]))
		sift_up(h, n, i);
	else
		sift_down(h, n, i);
}

static bool grow(struct heap *h)
{
	size_t cap = h->cap ? h->cap * 2 : FIRST_CAP;
	struct heap_node **nodes;

	if (h->n < h->cap)
		return true;
	if (cap >= UINT32_MAX)
		return false;
	nodes = realloc(h->nodes, cap * sizeof *nodes);
	if (!nodes)
		return false;
	h->nodes = nodes;
	h->cap = cap;
	return true;
}

bool heap_set(struct heap *h, struct heap_node *n, us_t key)
{
	if (n->pos) {
		if (n->key == key)
			return true;
		n->key = key;
		n->order = h->next_order++;
		settle(h, n, n->pos - 1);
		return true;
	}
	if (!grow(h))
		return false;
	n->key = key;
	n->order = h->next_order++;
	sift_up(h, n, h->n++);
	return true;
}

void heap_del(struct heap *h, struct heap_node *n)
{
	size_t i = n->pos;
	struct heap_node *last;

	if (!i)
		return;
	n->pos = 0;
	last = h->nodes[--h->n];
	if (last != n)
		settle(h, last, i - 1);
}
