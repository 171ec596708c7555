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

/* Hoare's partition around the median of three; both parts are shorter than n. */
static size_t partition(struct hit *v, size_t n, const struct order *o)
{
	struct hit *first = v, *mid = v + n / 2, *last = v + n - 1;
	struct hit pivot;
	size_t i = 0, j = n - 1;

	if (hit_before(mid, first, o))
		swap(mid, first);
	if (hit_before(last, mid, o))
		swap(last, mid);
	if (hit_before(mid, first, o))
		swap(mid, first);
	pivot = *mid;
	for (;;) {
		while (hit_before(&v[i], &pivot, o))
			i++;
		while (hit_before(&pivot, &v[j], o))
			j--;
		if (i >= j)
			return j + 1;
		swap(&v[i++], &v[j--]);
	}
}

struct part {
	size_t from, n;
	int depth;
};

void hits_select(struct hit *v, size_t n, size_t lo, size_t hi, const struct order *o)
{
	enum { FEW = 16, MAX_DEPTH = 64 };
	struct part stack[MAX_DEPTH + 2];
	int top = 0;

	stack[top++] = (struct part){ 0, n, 0 };
	while (top) {
		struct part p = stack[--top];

		if (p.n < 2 || p.from >= hi || p.from + p.n <= lo)
			continue;
		if (p.n <= FEW) {
			sort_few(v + p.from, p.n, o);
			continue;
		}
		if (p.depth >= MAX_DEPTH) {
			sort_heap(v + p.from, p.n, o);
			continue;
		}
		size_t left = partition(v + p.from, p.n, o);

		stack[top++] = (struct part){ p.from, left, p.depth + 1 };
		stack[top++] = (struct part){ p.from + left, p.n - left, p.depth + 1 };
	}
}

/* ---- matches ---- */

struct finding {
	const struct query *q;
	const struct sift *sift; /* its verdicts are all known; NULL: everything matches */
	struct str vmta;	 /* of lanes */
	us_t now;
};

static bool of_site(const struct row *r, uint64_t site)
{
	if (r->kind == ROW_QUEUE)
		return r->queue.site == site;
	return r->kind == ROW_LANE && r->lane.site == site;
}

static bool matches(const struct finding *f, const struct row *r, size_t i)
{
	if (f->sift && f->sift->verdict[i] != VERDICT_YES)
		return false;
	if (f->q->site && !of_site(r, f->q->site))
		return false;
	if (f->q->vmta && !(r->kind == ROW_LANE && str_eq(rstr_str(r->lane.vmta), f->vmta)))
		return false;
	return true;
}

static void collect(const struct finding *f, struct hits *h)
{
	bool all = !f->q->site && !f->q->vmta && !f->sift;
	const struct order *o = &h->order;

	for (size_t i = 0; i < h->rows.n; i++) {
		const struct mark *mark = &h->rows.marks[i];
		uint64_t key = o->inverted ? ~mark->trouble : mark->trouble;

		if (!all && !matches(f, &h->rows.v[i], i))
			continue;
		if (o->field)
			key = field_key(o->field, &h->rows.v[i], f->now, o->inverted);
		h->v[h->n++] = (struct hit){ key, mark->id, mark->queued, (uint32_t)i };
		h->recipients += mark->queued;
	}
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

bool query_prepare(struct mirror *m, const struct query *q, us_t now, size_t rows)
{
	struct sift *sift = sift_of(m, q, now, NULL);

	/* A filter that can't be read is found out soon enough. */
	return !sift || sift_step(sift, mirror_rows(m, list_def(q->list)->kind).v, now, rows);
}

bool hits_find(struct mirror *m, const struct query *q, us_t now, struct hits *out,
	       struct errbuf *e)
{
	const struct row *source = q->vmta ? mirror_find(m, ROW_SOURCE, q->vmta) : NULL;
	struct finding f = { .q = q, .now = now };
	struct sift *sift;

	*out = (struct hits){ .rows = mirror_rows(m, list_def(q->list)->kind) };
	if (!order_parse(q, now, &out->order, e))
		return false;
	out->order.mirror = m;
	out->order.kind = list_def(q->list)->kind;
	sift = sift_of(m, q, now, e);
	if (!sift && str_trim(q->filter).n)
		return false;
	if (sift)
		sift_step(sift, out->rows.v, now, SIZE_MAX);
	f.sift = sift;
	f.vmta = source ? rstr_str(source->name) : STR_LIT("");
	out->v = mirror_scratch(m, out->rows.n);
	if (!out->v && out->rows.n) {
		errbuf_set(e, "no memory for %zu rows", out->rows.n);
		return false;
	}
	collect(&f, out);
	return true;
}
