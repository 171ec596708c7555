/* One arena per transaction or parse, freed by one call. Memory is zeroed. Not thread-safe. */
#ifndef STOKER_BASE_ARENA_H
#define STOKER_BASE_ARENA_H

#include "core/base/str.h"

struct arena {
	struct arena_block *head;
	size_t block_bytes; /* size of the next block */
	size_t total_bytes; /* allocated from malloc */
};

void arena_init(struct arena *a, size_t first_block_bytes);
void arena_free(struct arena *a);
/* Keeps the first block for reuse. */
void arena_reset(struct arena *a);
/* 16-byte aligned, zeroed; NULL without memory. */
void *arena_alloc(struct arena *a, size_t n);
/* NUL-terminated copy. p is NULL without memory. */
struct str arena_str(struct arena *a, struct str s);
char *arena_fmt(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
