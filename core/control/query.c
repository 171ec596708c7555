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
	p->around = q->around;
	p->serial = q->serial;
	return p;
}

enum asking_phase { FINDING, SEEKING, RANKING, SELECTING, SUMMING, COPYING, READY };

struct asking {
	struct query q;
	struct hits hits;
	enum asking_phase phase;
	size_t at; /* of the phase */
	struct hit cursor;
	size_t before; /* matches before the cursor's row */
	size_t lo, hi;
	uint64_t recipients; /* up to hi */
	struct selection selection;
	struct page *page;
};

enum { HITS_A_STEP = 16384, TEXTS_A_STEP = 2048, ROWS_A_STEP = 256 };

static void enter(struct asking *k, enum asking_phase phase)
{
	k->phase = phase;
	k->at = 0;
}

/* The window [lo, hi), moved so that it ends with the matches at the latest and holds the match
 * number `rank`, if there is one. */
static void window(struct asking *k, size_t rank)
{
	size_t n = k->hits.n, limit = k->q.limit > 0 ? (size_t)k->q.limit : n;
	size_t lo = k->q.offset > 0 ? (size_t)k->q.offset : 0;

	if (lo > n)
		lo = n;
	if (rank < n && rank < lo)
		lo = rank;
	else if (rank < n && limit && rank >= lo + limit)
		lo = rank - limit + 1;
	k->lo = lo;
	k->hi = n - lo < limit ? n : lo + limit;
	selection_begin(&k->selection, n, k->lo, k->hi);
	enter(k, SELECTING);
}

static size_t end_of_step(const struct asking *k, size_t most)
{
	return k->hits.n - k->at < most ? k->hits.n : k->at + most;
}

static void seek(struct asking *k)
{
	size_t end = end_of_step(k, HITS_A_STEP);

	for (; k->at < end; k->at++)
		if (k->hits.v[k->at].id == k->q.around) {
			k->cursor = k->hits.v[k->at];
			enter(k, RANKING);
			return;
		}
	if (k->at == k->hits.n)
		window(k, k->hits.n);
}

static void rank(struct asking *k)
{
	size_t end = end_of_step(k, k->hits.order.by_text ? TEXTS_A_STEP : HITS_A_STEP);

	for (; k->at < end; k->at++)
		k->before += hit_before(&k->hits.v[k->at], &k->cursor, &k->hits.order);
	if (k->at == k->hits.n)
		window(k, k->before);
}

static void sum(struct asking *k)
{
	size_t end = end_of_step(k, HITS_A_STEP);

	for (; k->at < end && k->at < k->hi; k->at++)
		k->recipients += k->hits.v[k->at].queued;
	if (k->at == k->hi)
		enter(k, COPYING);
}

static bool page_begin(struct asking *k)
{
	const struct hits *h = &k->hits;
	struct page *p = page_new(&k->q, h->order.now, k->hi - k->lo);

	k->page = p;
	if (!p)
		return false;
	p->total = (int64_t)h->n;
	p->all = (int64_t)mirror_count(h->mirror, h->order.kind);
	p->offset = (int)k->lo;
	p->rest_rows = (int64_t)(h->n - k->hi);
	p->rest_recipients = (int64_t)(h->recipients - k->recipients);
	k->at = k->lo;
	return true;
}

static void copy(struct asking *k)
{
	size_t end;

	if (!k->page && !page_begin(k)) {
		enter(k, READY);
		return;
	}
	end = end_of_step(k, ROWS_A_STEP);
	for (; k->at < end && k->at < k->hi; k->at++) {
		const struct row *r =
		    mirror_find(k->hits.mirror, k->hits.order.kind, k->hits.v[k->at].id);

		if (!r) /* it went meanwhile */
			continue;
		k->page->rows[k->page->nrows] = *r;
		row_retain(&k->page->rows[k->page->nrows++]);
	}
	if (k->at == k->hi)
		enter(k, READY);
}

static void fail(struct asking *k, const struct errbuf *e)
{
	k->page = page_new(&k->q, k->hits.order.now, 0);
	if (k->page)
		snprintf(k->page->error, sizeof k->page->error, "%.*s",
			 (int)sizeof k->page->error - 1, e->text);
	enter(k, READY);
}

static void find(struct asking *k)
{
	struct errbuf e = { "" };

	switch (hits_step(&k->hits, &e)) {
	case HITS_MORE:
		break;
	case HITS_FOUND:
		if (k->q.around)
			enter(k, SEEKING);
		else
			window(k, k->hits.n);
		break;
	case HITS_FAILED:
		fail(k, &e);
		break;
	}
}

struct asking *asking_new(struct mirror *m, const struct query *q, us_t now)
{
	struct asking *k = calloc(1, sizeof *k);
	struct errbuf e = { "" };

	if (!k)
		return NULL;
	k->q = *q;
	if (!hits_begin(m, &k->q, now, &k->hits, &e))
		fail(k, &e);
	return k;
}

bool asking_step(struct asking *k)
{
	switch (k->phase) {
	case FINDING:
		find(k);
		break;
	case SEEKING:
		seek(k);
		break;
	case RANKING:
		rank(k);
		break;
	case SELECTING:
		if (selection_step(&k->selection, k->hits.v, &k->hits.order))
			enter(k, SUMMING);
		break;
	case SUMMING:
		sum(k);
		break;
	case COPYING:
		copy(k);
		break;
	case READY:
		break;
	}
	return k->phase == READY;
}

struct page *asking_page(struct asking *k)
{
	struct page *p = k->page;

	k->page = NULL;
	return p;
}

void asking_free(struct asking *k)
{
	if (!k)
		return;
	hits_end(&k->hits);
	page_free(k->page);
	free(k);
}

struct page *query_run(struct mirror *m, const struct query *q, us_t now)
{
	struct asking *k = asking_new(m, q, now);
	struct page *p;

	if (!k)
		return NULL;
	while (!asking_step(k))
		;
	p = asking_page(k);
	asking_free(k);
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
