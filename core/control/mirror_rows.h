/* What query.c sees of the mirror: the rows of a kind side by side, and beside each the few bytes
 * by which the default order is decided, so that sorting 100,000 queues by trouble reads 3 MB and
 * not 30. They lie in parts of some KB, which stay where they are: an array that doubles is copied
 * or moved as a whole, and that of 65,536 rows cost a loop pass of 12 ms. */
#ifndef STOKER_CONTROL_MIRROR_ROWS_H
#define STOKER_CONTROL_MIRROR_ROWS_H

#include "core/base/hash.h"
#include "core/control/mirror.h"
#include "core/control/sift.h"

struct mark {
	uint64_t trouble; /* smaller comes first */
	uint64_t queued;  /* recipients */
	uint64_t id;
};
struct hit {	      /* a match, while a query is answered */
	uint64_t key; /* smaller comes first */
	uint64_t id;
	uint64_t queued;
};
enum { PART_BITS = 8, PART_ROWS = 1 << PART_BITS };
struct shelf_part {
	struct row rows[PART_ROWS];
	struct mark marks[PART_ROWS];
};
struct rows {
	struct shelf_part *const *parts;
	size_t n;
};
static inline const struct row *rows_at(const struct rows *r, size_t i)
{
	return &r->parts[i >> PART_BITS]->rows[i & (PART_ROWS - 1)];
}
static inline const struct mark *rows_mark(const struct rows *r, size_t i)
{
	return &r->parts[i >> PART_BITS]->marks[i & (PART_ROWS - 1)];
}
/* Standing filters of a kind. */
struct sifts *mirror_sifts(struct mirror *m, enum row_kind k);
struct rows mirror_rows(const struct mirror *m, enum row_kind k);
/* Room for n hits: what the last query gave back, if it is not lent; NULL without memory. */
struct hit *mirror_lend(struct mirror *m, size_t n);
void mirror_give_back(struct mirror *m, struct hit *v, size_t n);

/* A walk over the rows of a kind in steps, while rows come, change and go: each row that is there
 * from begin to end is met once. */
struct row_walk {
	struct row_walk *next, **at;
	size_t left;	  /* rows [0, left) are still to be met */
	struct idmap met; /* rows that were met and have moved to below `left` since */
	bool failed;	  /* no memory for that: it would meet rows twice */
};
void mirror_walk_begin(struct mirror *m, enum row_kind k, struct row_walk *w);
/* Index of the next row; false at the end. */
bool mirror_walk_next(struct mirror *m, enum row_kind k, struct row_walk *w, size_t *i);
void mirror_walk_end(struct row_walk *w);
/* The default order (DESIGN.md, CONSOLE.md): rank of the state, then recipients. */
uint64_t mirror_trouble(const struct row *r);

#endif
