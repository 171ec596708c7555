#include "core/control/sift.h"

#include <stdlib.h>

/* How stale a verdict about ages and times may be. */
static const us_t timed_for = US_PER_S;

static void sift_free(struct sift *f)
{
	if (!f)
		return;
	rstr_unref(f->text);
	filter_free(f->filter);
	free(f->verdict);
	free(f);
}

void sifts_free(struct sifts *s)
{
	for (int i = 0; i < s->n; i++)
		sift_free(s->v[i]);
	s->n = 0;
}

static void forget(struct sifts *s, int i)
{
	sift_free(s->v[i]);
	s->v[i] = s->v[--s->n];
}

static bool resize(struct sift *f, size_t n)
{
	uint8_t *p;
	size_t cap = 64;

	/* Doubling: realloc sees a new size only at powers of two. */
	while (cap < n)
		cap *= 2;
	p = realloc(f->verdict, cap);
	if (!p)
		return false;
	f->verdict = p;
	return true;
}

void sifts_append(struct sifts *s, size_t n)
{
	for (int i = 0; i < s->n; i++) {
		struct sift *f = s->v[i];

		if (!resize(f, n)) {
			forget(s, i--);
			continue;
		}
		f->verdict[f->n++] = VERDICT_UNKNOWN;
		f->unknown++;
	}
}

void sifts_dirty(struct sifts *s, size_t i)
{
	for (int k = 0; k < s->n; k++) {
		struct sift *f = s->v[k];

		f->unknown += f->verdict[i] != VERDICT_UNKNOWN;
		f->verdict[i] = VERDICT_UNKNOWN;
	}
}

void sifts_remove(struct sifts *s, size_t i, size_t n)
{
	for (int k = 0; k < s->n; k++) {
		struct sift *f = s->v[k];

		f->unknown -= f->verdict[i] == VERDICT_UNKNOWN;
		f->verdict[i] = f->verdict[n];
		f->n = n;
	}
}

static void ask_anew(struct sift *f, us_t now)
{
	memset(f->verdict, VERDICT_UNKNOWN, f->n);
	f->unknown = f->n;
	f->since = now;
}

static struct sift *sift_new(enum list_id l, struct str text, size_t nrows, us_t now,
			     struct errbuf *e)
{
	struct sift *f = calloc(1, sizeof *f);

	if (!f || !(f->text = rstr_new(text)) || !resize(f, nrows)) {
		errbuf_set(e, "no memory for the filter");
		sift_free(f);
		return NULL;
	}
	f->filter = filter_parse(l, text, e);
	if (!f->filter) {
		sift_free(f);
		return NULL;
	}
	f->n = nrows;
	ask_anew(f, now);
	return f;
}

static void make_room(struct sifts *s)
{
	int oldest = 0;

	if (s->n < SIFTS_MAX)
		return;
	for (int i = 1; i < s->n; i++)
		if (s->v[i]->used < s->v[oldest]->used)
			oldest = i;
	forget(s, oldest);
}

struct sift *sift_for(struct sifts *s, enum list_id l, struct str text, size_t nrows, us_t now,
		      struct errbuf *e)
{
	struct sift *f = NULL;

	for (int i = 0; i < s->n && !f; i++)
		if (str_eq(rstr_str(s->v[i]->text), text))
			f = s->v[i];
	if (!f) {
		f = sift_new(l, text, nrows, now, e);
		if (!f)
			return NULL;
		make_room(s);
		s->v[s->n++] = f;
	} else if (filter_timed(f->filter) && now - f->since > timed_for && !f->unknown) {
		ask_anew(f, now);
	}
	f->used = now;
	return f;
}

bool sift_one(struct sift *f, const struct row *r, size_t i, us_t now)
{
	if (f->verdict[i] == VERDICT_UNKNOWN) {
		f->verdict[i] = filter_match(f->filter, r, now) ? VERDICT_YES : VERDICT_NO;
		f->unknown--;
	}
	return f->verdict[i] == VERDICT_YES;
}
