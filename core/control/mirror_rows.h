/* What query.c sees of the mirror: the rows of a kind side by side, and beside each the few bytes
 * by which the default order is decided, so that sorting 100,000 queues by trouble reads 3 MB and
 * not 30. */
#ifndef STOKER_CONTROL_MIRROR_ROWS_H
#define STOKER_CONTROL_MIRROR_ROWS_H

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
	uint32_t index; /* of the row, as long as no row comes or goes */
};
struct rows {
	const struct row *v;
	const struct mark *marks;
	size_t n;
};
/* Standing filters of a kind. */
struct sifts *mirror_sifts(struct mirror *m, enum row_kind k);
struct rows mirror_rows(const struct mirror *m, enum row_kind k);
/* Scratch for n hits, kept from query to query; NULL without memory. */
struct hit *mirror_scratch(struct mirror *m, size_t n);
/* The default order (DESIGN.md, CONSOLE.md): rank of the state, then recipients. */
uint64_t mirror_trouble(const struct row *r);

#endif
