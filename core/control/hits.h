/* The matches of a query in its order, for query.c (pages) and lister.c (whole lists in steps). */
#ifndef STOKER_CONTROL_HITS_H
#define STOKER_CONTROL_HITS_H

#include "core/control/mirror_rows.h"
#include "core/control/query.h"

struct order {			   /* how hits are compared */
	const struct field *field; /* NULL: the key says all */
	const struct mirror *mirror;
	enum row_kind kind;
	us_t now;
	bool by_text; /* keys are equal: the field's text decides */
	bool inverted;
};
/* Brings hits [lo, hi) to their places in the order, sorted; what lies outside is only on the right
 * side of them. */
void hits_select(struct hit *v, size_t n, size_t lo, size_t hi, const struct order *o);
/* True if a comes before b. */
bool hit_before(const struct hit *a, const struct hit *b, const struct order *o);

/* Finds the matches (unordered) in the mirror's scratch. False with a sentence. */
struct hits {
	struct hit *v;
	size_t n;
	struct rows rows;
	uint64_t recipients; /* of all matches */
	struct order order;
};
bool hits_find(struct mirror *m, const struct query *q, us_t now, struct hits *out,
	       struct errbuf *e);

#endif
