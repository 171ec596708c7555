/* Hash tables, open addressing, growing step by step: no single put of a table of any size takes
 * long (moving 100,000 entries at once took a loop pass of 12 ms). Keys: 64-bit ids, or byte
 * strings (SipHash with a process-random key, since peers choose the bytes). One thread owns a
 * table. */
#ifndef STOKER_BASE_HASH_H
#define STOKER_BASE_HASH_H

#include "core/base/str.h"

/* Sets the process's random key; call once at start. Tests may call it with a fixed seed. */
void hash_seed(uint64_t k0, uint64_t k1);
/* SipHash-1-3 under the process key. */
uint64_t hash_bytes(const void *p, size_t n);
/* The same with ASCII letters folded to lower case. */
uint64_t hash_ibytes(const void *p, size_t n);

/* id -> pointer. Key 0 is allowed; a NULL value is not. */
struct idmap {
	struct idmap_slot *slots,
	    *old;	     /* old: what was before the table grew; NULL: all is moved */
	size_t cap, old_cap; /* power of two, or 0 */
	size_t old_at;	     /* slots of old before this one are moved */
	size_t used;
};
void idmap_init(struct idmap *m);
void idmap_free(struct idmap *m);
void *idmap_get(const struct idmap *m, uint64_t key);
/* False without memory. Replaces. */
bool idmap_put(struct idmap *m, uint64_t key, void *value);
/* The removed value or NULL. */
void *idmap_del(struct idmap *m, uint64_t key);
/* Walks all entries: start with *pos = 0; false at the end. No put or del while walking. */
bool idmap_next(const struct idmap *m, size_t *pos, uint64_t *key, void **value);

/* name -> pointer. The table does not copy keys: the key's bytes belong to the value and live as
 * long as it. Comparison is exact (fold before if needed). */
struct strmap {
	struct strmap_slot *slots, *old;
	size_t cap, old_cap;
	size_t old_at;
	size_t used;
};
void strmap_init(struct strmap *m);
void strmap_free(struct strmap *m);
void *strmap_get(const struct strmap *m, struct str key);
bool strmap_put(struct strmap *m, struct str key, void *value);
void *strmap_del(struct strmap *m, struct str key);
bool strmap_next(const struct strmap *m, size_t *pos, struct str *key, void **value);

#endif
