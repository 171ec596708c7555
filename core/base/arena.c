#include "core/base/arena.h"

#include <stdio.h>
#include <stdlib.h>

enum { ALIGN = 16, MIN_BLOCK_BYTES = 256, MAX_BLOCK_BYTES = 256 * 1024 };

struct arena_block {
	struct arena_block *older;
	size_t used, size; /* of data, bytes */
	_Alignas(ALIGN) char data[];
};

void arena_init(struct arena *a, size_t first_block_bytes)
{
	size_t n = first_block_bytes < MIN_BLOCK_BYTES ? MIN_BLOCK_BYTES : first_block_bytes;

	*a = (struct arena){ .block_bytes = n };
}

static void free_newer_than(struct arena *a, const struct arena_block *keep)
{
	while (a->head != keep) {
		struct arena_block *b = a->head;

		a->head = b->older;
		a->total_bytes -= sizeof *b + b->size;
		free(b);
	}
}

void arena_free(struct arena *a)
{
	free_newer_than(a, NULL);
}

void arena_reset(struct arena *a)
{
	struct arena_block *first = a->head;

	if (!first)
		return;
	while (first->older)
		first = first->older;
	free_newer_than(a, first);
	first->used = 0;
	a->block_bytes = first->size;
}

static bool add_block(struct arena *a, size_t need)
{
	size_t size = need > a->block_bytes ? need : a->block_bytes;
	struct arena_block *b;

	if (size > SIZE_MAX - sizeof *b)
		return false;
	b = malloc(sizeof *b + size);
	if (!b)
		return false;
	b->older = a->head;
	b->used = 0;
	b->size = size;
	a->head = b;
	a->total_bytes += sizeof *b + size;
	if (a->block_bytes < MAX_BLOCK_BYTES)
		a->block_bytes *= 2;
	return true;
}

/* Not zeroed: for callers that fill it themselves. */
static void *take(struct arena *a, size_t n)
{
	struct arena_block *b = a->head;
	void *p;

	if (n > SIZE_MAX / 2)
		return NULL;
	n = n ? (n + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
	if (!b || b->size - b->used < n) {
		if (!add_block(a, n))
			return NULL;
		b = a->head;
	}
	p = b->data + b->used;
	b->used += n;
	return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
	void *p = take(a, n);

	return p ? memset(p, 0, n) : NULL;
}

struct str arena_str(struct arena *a, struct str s)
{
	char *p = s.n < SIZE_MAX / 2 ? take(a, s.n + 1) : NULL;

	if (!p)
		return (struct str){ NULL, 0 };
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (struct str){ p, s.n };
}

char *arena_fmt(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	p = take(a, (size_t)n + 1);
	if (!p)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}
