/* Rows of `feedback` and `reputation`, and the end of those that have nothing to say any more. */
#include <stdlib.h>
#include <string.h>

#include "core/report/counters_inner.h"

static struct rstr *replies_text(const struct category *k)
{
	struct rstr *text;
	struct buf b;

	if (!k->nsaid)
		return NULL;
	buf_init(&b);
	for (int i = 0; i < k->nsaid; i++) {
		const struct said *s = &k->said[i];

		buf_addf(&b, "%s%llux %s (%s)", i ? "\n" : "", (unsigned long long)s->n,
			 *s->text ? s->text : "no words", s->recipient);
	}
	text = rstr_new(buf_str(&b));
	buf_free(&b);
	return text;
}

static void fill_category(const struct category *k, struct row *r)
{
	r->name = rstr_newf("%s %s", k->of->name, k->name);
	r->feedback = (struct row_feedback){
		.hour = window_hour(&k->w),
		.day = window_day(&k->w),
		.total = k->w.total,
		.last_at = k->last,
		.provider = rstr_new(str_of(k->of->name)),
		.category = rstr_new(str_of(k->name)),
		.replies = replies_text(k),
	};
}

static void fill_party(const struct party *p, struct row *r)
{
	struct row_reputation *x = &r->reputation;
	struct row_standing *spans[] = { &x->hour, &x->day };
	struct buf b;

	buf_init(&b);
	party_target(p, &b);
	r->name = rstr_new(buf_str(&b));
	buf_free(&b);
	x->what = (uint8_t)p->kind;
	x->of = rstr_new(str_of(p->name));
	for (int i = 0; i < 2; i++) {
		uint64_t (*count)(const struct window *w) = i ? window_day : window_hour;

		*spans[i] = (struct row_standing){ .delivered = count(&p->w[DELIVERED]),
						   .failed = count(&p->w[FAILED]),
						   .harmful = count(&p->w[HARMFUL]),
						   .complaints = count(&p->w[COMPLAINTS]) };
	}
}

static void fill(struct item *i, struct row *r)
{
	*r = (struct row){ .id = i->id, .kind = i->kind, .state = STATE_IDLE };
	if (i->kind == ROW_FEEDBACK)
		fill_category((struct category *)(void *)i, r);
	else
		fill_party((struct party *)(void *)i, r);
	r->state = STATE_OK;
}

/* The windows moved on: what they show is less, though nothing happened. */
static void next_minute(struct counters *c, int64_t minute)
{
	if (minute == c->shown_minute)
		return;
	c->shown_minute = minute;
	for (int k = 0; k < REPUTATION_KINDS; k++)
		for (struct party *p = c->first[k]; p; p = p->next) {
			party_advance(p, minute);
			item_dirty(c, &p->item);
			for (struct category *x = p->categories; x; x = x->next)
				item_dirty(c, &x->item);
		}
}

static bool category_empty(const struct category *k)
{
	return !window_day(&k->w) && !window_hour(&k->w);
}

static bool party_empty(const struct party *p)
{
	for (int i = 0; i < WHATS; i++)
		if (window_day(&p->w[i]) || window_hour(&p->w[i]))
			return false;
	return true;
}

static void forget_key(struct counters *c, const struct party *p)
{
	struct forgotten *f;
	struct buf b;

	buf_init(&b);
	party_key(p, &b);
	f = malloc(sizeof *f + b.n + 1);
	if (f) {
		memcpy(f->key, b.p, b.n);
		f->key[b.n] = '\0';
		f->next = c->forgotten;
		c->forgotten = f;
	}
	buf_free(&b);
}

static void drop_category(struct party *p, struct category *k)
{
	struct category **at = &p->categories;

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	p->ncategories--;
	free(k->name);
	free(k->said);
	free(k);
}

static void drop_party(struct counters *c, struct party *p)
{
	struct party **at = &c->first[p->kind];

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	c->n[p->kind]--;
	strmap_del(&c->by_name[p->kind], p->key);
	forget_key(c, p);
	party_free(p);
}

/* True: it has nothing in its windows and is freed. A party goes after its categories. */
static bool drop_if_empty(struct counters *c, struct item *i)
{
	if (i->kind == ROW_FEEDBACK) {
		struct category *k = (struct category *)(void *)i;

		if (!category_empty(k))
			return false;
		drop_category(k->of, k);
		return true;
	}
	struct party *p = (struct party *)(void *)i;

	if (p->categories || p->judged[RATE_BOUNCE].raised || p->judged[RATE_COMPLAINT].raised ||
	    !party_empty(p))
		return false;
	drop_party(c, p);
	return true;
}

int counters_rows(struct counters *c, us_t now, int max, void (*fn)(void *arg, struct row *r),
		  void *arg)
{
	int n = 0;

	OBJ_CHECK(c, COUNTERS_MAGIC);
	next_minute(c, now / US_PER_MIN);
	for (; c->dirty && n < max; n++) {
		struct item *i = c->dirty;
		struct row r = { .id = i->id, .kind = i->kind, .deleted = true };

		c->dirty = i->next_dirty;
		if (!c->dirty)
			c->dirty_tail = &c->dirty;
		i->dirty = false;
		if (!drop_if_empty(c, i))
			fill(i, &r);
		fn(arg, &r);
	}
	return n;
}
