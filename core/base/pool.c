#include "core/base/pool.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)	  ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { FIRST_OBJECTS = 16, MAX_CHUNK_BYTES = 256 * 1024 };

struct pool_chunk {
	struct pool_chunk *older;
	size_t bytes; /* with this header */
	unsigned char objects[];
};

/* A free object's first bytes: the rest is poisoned under ASan, so that a use after pool_put shows.
 */
struct free_object {
	struct free_object *next;
};

void pool_init(struct pool *p, const char *name, size_t object_bytes)
{
	const size_t align = sizeof(struct free_object);
	size_t n = object_bytes < align ? align : (object_bytes + align - 1) / align * align;

	*p = (struct pool){ .name = name, .object_bytes = n, .chunk_objects = FIRST_OBJECTS };
}

static void give_back(struct pool *p, void *object)
{
	struct free_object *f = object;

	f->next = p->free_list;
	p->free_list = f;
	ASAN_POISON_MEMORY_REGION((char *)object + sizeof *f, p->object_bytes - sizeof *f);
}

/* Its pages are touched one after the other, as objects are asked for: threading a whole chunk on
 * the free list would cost 64 new pages in one call, and a loop pass of some ms. */
static bool add_chunk(struct pool *p)
{
	size_t bytes = sizeof(struct pool_chunk) + p->chunk_objects * p->object_bytes;
	struct pool_chunk *c = malloc(bytes);

	if (!c)
		return false;
	c->older = p->chunks;
	c->bytes = bytes;
	p->chunks = c;
	p->bytes += bytes;
	p->fresh = c->objects;
	p->fresh_left = p->chunk_objects;
	p->allocated += p->chunk_objects;
	ASAN_POISON_MEMORY_REGION(c->objects, p->chunk_objects * p->object_bytes);
	if (p->chunk_objects * p->object_bytes * 2 <= MAX_CHUNK_BYTES)
		p->chunk_objects *= 2;
	return true;
}

static void *take_used(struct pool *p)
{
	struct free_object *f = p->free_list;

	p->free_list = f->next;
	return f;
}

static void *take_fresh(struct pool *p)
{
	unsigned char *object = p->fresh;

	p->fresh += p->object_bytes;
	p->fresh_left--;
	return object;
}

void *pool_get(struct pool *p)
{
	void *object;

	if (!p->free_list && !p->fresh_left && !add_chunk(p))
		return NULL;
	object = p->free_list ? take_used(p) : take_fresh(p);
	p->used++;
	ASAN_UNPOISON_MEMORY_REGION(object, p->object_bytes);
	return memset(object, 0, p->object_bytes);
}

void pool_put(struct pool *p, void *object)
{
	if (!object)
		return;
	p->used--;
	give_back(p, object);
}

void pool_free(struct pool *p)
{
	while (p->chunks) {
		struct pool_chunk *c = p->chunks;

		p->chunks = c->older;
		ASAN_UNPOISON_MEMORY_REGION(c, c->bytes);
		free(c);
	}
	pool_init(p, p->name, p->object_bytes);
}

size_t pool_bytes(const struct pool *p)
{
	return p->bytes;
}
