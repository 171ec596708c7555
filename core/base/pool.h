/* Typed pools of fixed-size objects with counters (haproxy's idea): small objects that live by the
 * million, without malloc's header. One thread owns a pool. */
#ifndef STOKER_BASE_POOL_H
#define STOKER_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

struct pool {
	const char *name;
	size_t object_bytes;
	void *free_list;
	unsigned char *fresh; /* the newest chunk's next object that nobody has had yet */
	size_t fresh_left;
	struct pool_chunk *chunks;
	size_t bytes;	      /* of all chunks: asked four times a second */
	uint64_t used;	      /* objects handed out now */
	uint64_t allocated;   /* objects that exist */
	size_t chunk_objects; /* objects in the next chunk */
};

void pool_init(struct pool *p, const char *name, size_t object_bytes);
/* Zeroed object; NULL without memory. */
void *pool_get(struct pool *p);
void pool_put(struct pool *p, void *object);
/* Frees all chunks; objects still handed out die with them. */
void pool_free(struct pool *p);
size_t pool_bytes(const struct pool *p);

#endif
