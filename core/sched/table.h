/* An intrusive hash table that grows one bucket at an insertion (linear hashing): a table of a
 * million messages never pauses for a resize, and an entry costs its link and one bucket.
 * Scheduler's thread. */
#ifndef STOKER_SCHED_TABLE_H
#define STOKER_SCHED_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_link {
	struct table_link *next;
};

struct table {
	uint64_t (*hash)(
	    const struct table_link *l); /* of an entry; must not change while it is inside */
	struct table_link ***segments;
	size_t nsegments, cap_segments;
	size_t buckets; /* in use */
	size_t used;	/* entries */
	uint64_t round; /* a power of two: buckets of the last full round */
};

#define TABLE_OF(l, type) ((type *)(void *)((char *)(l)-offsetof(type, link)))

/* Spreads an integer key. */
static inline uint64_t table_mix(uint64_t k)
{
	k = (k ^ (k >> 33)) * 0xFF51AFD7ED558CCDu;
	k = (k ^ (k >> 33)) * 0xC4CEB9FE1A85EC53u;
	return k ^ (k >> 33);
}

void table_init(struct table *t, uint64_t (*hash)(const struct table_link *l));
void table_free(struct table *t); /* the entries are the caller's */
/* First entry of the hash's bucket: the caller walks ->next and compares. */
struct table_link *table_bucket(const struct table *t, uint64_t hash);
/* False without memory. The entry must not be there yet. */
bool table_add(struct table *t, struct table_link *l);
void table_del(struct table *t, struct table_link *l);
/* Entries of bucket i, for walks in steps: 0 <= i < buckets. An entry can only move to a later
 * bucket. */
struct table_link *table_at(const struct table *t, size_t i);
size_t table_bytes(const struct table *t);

#endif
