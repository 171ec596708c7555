#include "core/control/query.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/control/hits.h"

static struct page *page_new(const struct query *q, us_t at, size_t nrows)
{
	struct page *p = calloc(1, sizeof *p + nrows * sizeof p->rows[0]);

	if (!p)
		return NULL;
	p->list = q->list;
	p->at = at;
	return p;
}

/* How many matches come before the row; n if it is not among them. */
static size_t rank_of(const struct hits *h, uint64_t id)
{
	const struct hit *it = NULL;
	size_t before = 0;

	for (size_t i = 0; i < h->n && !it; i++)
		if (h->v[i].id == id)
			it = &h->v[i];
	if (!it)
		return h->n;
	for (size_t i = 0; i < h->n; i++)
		before += hit_before(&h->v[i], it, &h->order);
	return before;
}

/* The window [*lo, *lo + limit), moved so that it ends with the matches at the latest and holds the
 * cursor. */
static size_t window(const struct query *q, const struct hits *h, size_t *lo)
{
	size_t limit = q->limit > 0 ? (size_t)q->limit : h->n;
	size_t rank = q->around ? rank_of(h, q->around) : h->n;

	*lo = q->offset > 0 ? (size_t)q->offset : 0;
	if (*lo > h->n)
		*lo = h->n;
	if (rank < h->n && rank < *lo)
		*lo = rank;
	else if (rank < h->n && limit && rank >= *lo + limit)
		*lo = rank - limit + 1;
	return h->n - *lo < limit ? h->n : *lo + limit;
}

static uint64_t recipients_before(const struct hits *h, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += h->v[i].queued;
	return sum;
}

struct page *query_run(struct mirror *m, const struct query *q, us_t now)
{
	struct errbuf e = { "" };
	struct hits h;
	struct page *p;
	size_t lo, hi;

	if (!hits_find(m, q, now, &h, &e)) {
		p = page_new(q, now, 0);
		if (p)
			snprintf(p->error, sizeof p->error, "%.*s", (int)sizeof p->error - 1,
				 e.text);
		return p;
	}
	hi = window(q, &h, &lo);
	hits_select(h.v, h.n, lo, hi, &h.order);
	p = page_new(q, now, hi - lo);
	if (!p)
		return NULL;
	p->total = (int64_t)h.n;
	p->all = (int64_t)h.rows.n;
	p->offset = (int)lo;
	p->rest_rows = (int64_t)(h.n - hi);
	p->rest_recipients = (int64_t)(h.recipients - recipients_before(&h, hi));
	for (size_t i = lo; i < hi; i++) {
		struct row *r = &p->rows[p->nrows++];

		*r = h.rows.v[h.v[i].index];
		row_retain(r);
	}
	return p;
}

void page_free(struct page *p)
{
	if (!p)
		return;
	for (int i = 0; i < p->nrows; i++)
		row_release(&p->rows[i]);
	free(p);
}
