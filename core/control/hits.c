#include "core/control/hits.h"

#include "core/base/log.h"

/* ---- keys: every value as a number that sorts like it; smaller comes first ---- */

static const uint64_t key_none = UINT64_MAX; /* what has no value comes last */

/* Order-preserving for all doubles. */
static uint64_t key_double(double d)
{
	const uint64_t sign = UINT64_C(1) << 63;
	uint64_t bits;

	memcpy(&bits, &d, sizeof bits);
	return bits & sign ? ~bits : bits | sign;
}

static unsigned char fold(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? (unsigned char)(u | 0x20) : u;
}

/* The first eight bytes; where they agree the texts are compared. */
static uint64_t key_text(struct str s)
{
	uint64_t key = 0;

	for (size_t i = 0; i < 8; i++)
		key = key << 8 | (i < s.n ? fold(s.p[i]) : 0);
	return key;
}

static uint64_t key_of(const struct value *v)
{
	const uint64_t sign = UINT64_C(1) << 63;

	switch (v->type) {
	case V_NONE:
		return key_none;
	case V_INT: /* largest first */
	case V_SPAN:
	case V_BYTES:
	case V_BOOL:
		return ~((uint64_t)v->i ^ sign);
	case V_REAL:
	case V_PER_S:
	case V_PERCENT:
	case V_SHARE:
		return ~key_double(v->d);
	case V_TIME: /* soonest first */
		return (uint64_t)v->i ^ sign;
	case V_TEXT:
		return key_text(v->s);
	case V_TREND:
		return ~(uint64_t)v->trend[TREND_STEPS - 1];
	}
	return key_none;
}

static uint64_t field_key(const struct field *f, const struct row *r, us_t now, bool inverted)
{
	struct value v = { .type = V_NONE };
	uint64_t key;

	f->get(r, now, &v);
	key = key_of(&v);
	if (v.type == V_NONE)
		return key_none;
	if (inverted)
		key = ~key;
	return key == key_none ? key_none - 1 : key;
}

/* ---- order ---- */

static int text_order(const struct hit *a, const struct hit *b, const struct order *o)
{
	struct value x = { .type = V_NONE }, y = { .type = V_NONE };
	const struct row *p = mirror_find(o->mirror, o->kind, a->id);
	const struct row *q = mirror_find(o->mirror, o->kind, b->id);
	size_t n;

	if (!p || !q) /* it has gone since it was found */
		return 0;
	o->field->get(p, o->now, &x);
	o->field->get(q, o->now, &y);
	if (x.type != V_TEXT || y.type != V_TEXT)
		return 0;
	n = x.s.n < y.s.n ? x.s.n : y.s.n;
	for (size_t i = 0; i < n; i++)
		if (fold(x.s.p[i]) != fold(y.s.p[i]))
			return fold(x.s.p[i]) < fold(y.s.p[i]) ? -1 : 1;
	return x.s.n < y.s.n ? -1 : x.s.n > y.s.n;
}

bool hit_before(const struct hit *a, const struct hit *b, const struct order *o)
{
	if (a->key != b->key)
		return a->key < b->key;
	if (o->by_text) {
		int c = text_order(a, b, o);

		if (c)
			return o->inverted ? c > 0 : c < 0;
	}
	return a->id < b->id;
}

static void swap(struct hit *a, struct hit *b)
{
	struct hit t = *a;

	*a = *b;
	*b = t;
}

static void sort_few(struct hit *v, size_t n, const struct order *o)
{
	for (size_t i = 1; i < n; i++) {
		struct hit x = v[i];
		size_t j = i;

		for (; j > 0 && hit_before(&x, &v[j - 1], o); j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
}

static void sift(struct hit *v, size_t n, size_t i, const struct order *o)
{
	for (size_t child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && hit_before(&v[child], &v[child + 1], o))
			child++;
		if (!hit_before(&v[i], &v[child], o))
			return;
		swap(&v[i], &v[child]);
	}
}

/* When the pivots were bad for too long: never more than n log n. */
static void sort_heap(struct hit *v, size_t n, const struct order *o)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(v, n, i, o);
	while (n > 1) {
		swap(&v[0], &v[--n]);
		sift(v, n, 0, o);
	}
}

/* So many comparisons of numbers are a step; one of texts looks for two rows. */
enum { COMPARED_A_STEP = 8192, TEXT_COSTS = 8 };

static uint64_t selection_random(struct selection *s)
{
	s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return s->random >> 33;
}

/* The median of three, taken anywhere (rows come in patterns, which would make the parts uneven),
 * becomes the pivot of Hoare's partition; both parts are shorter than n. */
static void divide(struct selection *s, struct hit *v, const struct order *o)
{
	size_t n = s->at.n;
	struct hit *first = v + s->at.from, *mid = first + n / 2, *last = first + n - 1;

	swap(first, first + selection_random(s) % n);
	swap(mid, first + selection_random(s) % n);
	swap(last, first + selection_random(s) % n);
	if (hit_before(mid, first, o))
		swap(mid, first);
	if (hit_before(last, mid, o))
		swap(last, mid);
	if (hit_before(mid, first, o))
		swap(mid, first);
	s->pivot = *mid;
	s->i = 0;
	s->j = n - 1;
}

/* False when the budget is used up. The ends are looked at as well as the pivot: texts may have
 * changed since the last step. */
static bool divide_more(struct selection *s, struct hit *all, const struct order *o, int *budget)
{
	struct hit *v = all + s->at.from;

	while (*budget > 0) {
		for (; s->i < s->at.n - 1 && hit_before(&v[s->i], &s->pivot, o); s->i++)
			if (--*budget <= 0)
				return false;
		for (; s->j > 0 && hit_before(&s->pivot, &v[s->j], o); s->j--)
			if (--*budget <= 0)
				return false;
		if (s->i >= s->j) {
			size_t left = s->j + 1 < s->at.n ? s->j + 1 : s->at.n - 1;
			int depth = s->at.depth + 1;

			s->stack[s->top++] = (struct part){ s->at.from, left, depth };
			s->stack[s->top++] =
			    (struct part){ s->at.from + left, s->at.n - left, depth };
			s->at.n = 0;
			return true;
		}
		swap(&v[s->i++], &v[s->j--]);
		*budget -= 2;
	}
	return false;
}

void selection_begin(struct selection *s, size_t n, size_t lo, size_t hi)
{
	s->random = n;
	s->top = 0;
	s->stack[s->top++] = (struct part){ 0, n, 0 };
	s->at.n = 0;
	s->lo = lo;
	s->hi = hi;
}

bool selection_step(struct selection *s, struct hit *v, const struct order *o)
{
	enum { FEW = 16 };
	int budget = o->by_text ? COMPARED_A_STEP / TEXT_COSTS : COMPARED_A_STEP;

	while (budget > 0) {
		if (s->at.n) {
			if (!divide_more(s, v, o, &budget))
				return false;
			continue;
		}
		if (!s->top)
			return true;
		struct part p = s->stack[--s->top];

		if (p.n < 2 || p.from >= s->hi || p.from + p.n <= s->lo)
			continue;
		if (p.n <= FEW) {
			sort_few(v + p.from, p.n, o);
			budget -= (int)p.n * 2;
		} else if (p.depth >= SELECT_DEPTH) {
			sort_heap(v + p.from, p.n, o);
		} else {
			s->at = p;
			divide(s, v, o);
		}
	}
	return false;
}

/* ---- matches ---- */

static bool of_site(const struct row *r, uint64_t site)
{
	if (r->kind == ROW_QUEUE)
		return r->queue.site == site;
	return r->kind == ROW_LANE && r->lane.site == site;
}

static bool of_source(const struct row *r, struct str vmta)
{
	return r->kind == ROW_LANE && str_eq(rstr_str(r->lane.vmta), vmta);
}

static bool order_parse(const struct query *q, us_t now, struct order *o, struct errbuf *e)
{
	struct str sort = str_trim(q->sort);

	*o = (struct order){ .now = now };
	if (sort.n && sort.p[0] == '-') {
		o->inverted = true;
		sort.p++;
		sort.n--;
	}
	if (!sort.n || str_ieqz(sort, list_def(q->list)->default_sort))
		return true;
	o->field = field_find(q->list, sort);
	if (!o->field) {
		errbuf_set(e, "%s can't be sorted by \"%.*s\": there is no such field",
			   list_def(q->list)->name, (int)sort.n, sort.p);
		return false;
	}
	o->by_text = o->field->type == V_TEXT;
	return true;
}

/* NULL, and no words, without a filter. */
static struct sift *sift_of(struct mirror *m, const struct query *q, us_t now, struct errbuf *e)
{
	enum row_kind kind = list_def(q->list)->kind;
	struct str text = str_trim(q->filter);

	if (!text.n)
		return NULL;
	return sift_for(mirror_sifts(m, kind), q->list, text, mirror_count(m, kind), now, e);
}

bool hits_begin(struct mirror *m, const struct query *q, us_t now, struct hits *h, struct errbuf *e)
{
	enum row_kind kind = list_def(q->list)->kind;
	size_t n = mirror_count(m, kind);

	*h = (struct hits){ .mirror = m, .q = q };
	if (!order_parse(q, now, &h->order, e))
		return false;
	h->order.mirror = m;
	h->order.kind = kind;
	if (!sift_of(m, q, now, e) && str_trim(q->filter).n)
		return false;
	h->v = mirror_lend(m, n);
	if (!h->v) {
		errbuf_set(e, "no memory for %zu rows", n);
		return false;
	}
	h->cap = n;
	mirror_walk_begin(m, kind, &h->walk);
	return true;
}

/* So much is looked at in a step: a row by its mark, its content, or with a filter. */
enum { LOOKED_A_STEP = 8192, MARK_COSTS = 1, ROW_COSTS = 4, FILTER_COSTS = 16 };

enum hits_result hits_step(struct hits *h, struct errbuf *e)
{
	const struct query *q = h->q;
	const struct order *o = &h->order;
	const struct row *source = q->vmta ? mirror_find(h->mirror, ROW_SOURCE, q->vmta) : NULL;
	struct str vmta = source ? rstr_str(source->name) : STR_LIT("");
	struct sift *sift = sift_of(h->mirror, q, o->now, e);
	struct rows rows = mirror_rows(h->mirror, o->kind);
	int budget = LOOKED_A_STEP;
	size_t i;

	if ((!sift && str_trim(q->filter).n) || h->walk.failed) {
		if (h->walk.failed)
			errbuf_set(e, "no memory for the rows that move");
		return HITS_FAILED;
	}
	while (budget > 0) {
		const struct mark *mark;
		const struct row *row;
		uint64_t key;

		if (!mirror_walk_next(h->mirror, o->kind, &h->walk, &i)) {
			mirror_walk_end(&h->walk);
			return HITS_FOUND;
		}
		row = rows_at(&rows, i);
		budget -= MARK_COSTS;
		if (sift && sift->verdict[i] == VERDICT_UNKNOWN)
			budget -= FILTER_COSTS;
		if (sift && !sift_one(sift, row, i, o->now))
			continue;
		if ((q->site && !of_site(row, q->site)) || (q->vmta && !of_source(row, vmta))) {
			budget -= ROW_COSTS;
			continue;
		}
		mark = rows_mark(&rows, i);
		key = o->inverted ? ~mark->trouble : mark->trouble;
		if (o->field) {
			key = field_key(o->field, row, o->now, o->inverted);
			budget -= ROW_COSTS;
		}
		h->v[h->n++] = (struct hit){ key, mark->id, mark->queued };
		h->recipients += mark->queued;
	}
	return HITS_MORE;
}

void hits_end(struct hits *h)
{
	mirror_walk_end(&h->walk);
	mirror_give_back(h->mirror, h->v, h->cap);
	h->v = NULL;
}
