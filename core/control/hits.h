/* The matches of a query in its order, found step by step, for query.c (pages) and lister.c (whole
 * lists). Rows may come, change and go between two steps. A step is some tenths of a ms, whatever
 * the list holds. */
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
/* True if a comes before b. */
bool hit_before(const struct hit *a, const struct hit *b, const struct order *o);

/* Brings hits [lo, hi) to their places in the order, sorted; what lies outside is only on the right
 * side of them. */
enum { SELECT_DEPTH = 64 };
struct part {
	size_t from, n;
	int depth;
};
struct selection {
	struct part stack[SELECT_DEPTH + 2];
	int top;
	size_t lo, hi;
	uint64_t random;
	struct part at; /* being divided, if n */
	struct hit pivot;
	size_t i, j; /* the hits before i and behind j are on their side */
};
void selection_begin(struct selection *s, size_t n, size_t lo, size_t hi);
/* True when it is done. */
bool selection_step(struct selection *s, struct hit *v, const struct order *o);

/* Finds all matches, unordered. */
struct hits {
	struct mirror *mirror;
	const struct query *q; /* the caller's, as long as it searches */
	struct row_walk walk;
	struct hit *v;
	size_t n, cap;
	uint64_t recipients; /* of all matches */
	struct order order;
};
/* False with a sentence. */
bool hits_begin(struct mirror *m, const struct query *q, us_t now, struct hits *h,
		struct errbuf *e);
enum hits_result { HITS_MORE, HITS_FOUND, HITS_FAILED /* with a sentence */ };
enum hits_result hits_step(struct hits *h, struct errbuf *e);
void hits_end(struct hits *h);

#endif
