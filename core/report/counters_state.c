/* The state table "feedback": a row a party, "p google", "s vmta1", "j news". Value: format, last
 * event counted, newest minute, held, counts since it was held, its windows, then its categories by
 * name with theirs. A window is its total and the places that are not empty. The words of replies
 * are not kept: the log has them. */
#include <stdlib.h>
#include <string.h>

#include "core/report/counters_inner.h"

enum { FORMAT = 1 };

static void put_places(struct buf *b, const uint32_t *v, int n)
{
	uint8_t used = 0;

	for (int i = 0; i < n; i++)
		used = (uint8_t)(used + (v[i] != 0));
	buf_put_u8(b, used);
	for (int i = 0; i < n; i++)
		if (v[i]) {
			buf_put_u8(b, (uint8_t)i);
			buf_put_u32(b, v[i]);
		}
}

static void get_places(struct reader *r, uint32_t *v, int n)
{
	int used = reader_u8(r);

	for (int i = 0; i < used && !r->bad; i++) {
		uint8_t at = reader_u8(r);
		uint32_t count = reader_u32(r);

		if (at >= n)
			r->bad = true;
		else
			v[at] = count;
	}
}

static void put_window(struct buf *b, const struct window *w)
{
	buf_put_u64(b, w->total);
	put_places(b, w->minute, MINUTES);
	put_places(b, w->hour, HOURS);
}

static void get_window(struct reader *r, struct window *w)
{
	w->total = reader_u64(r);
	get_places(r, w->minute, MINUTES);
	get_places(r, w->hour, HOURS);
}

static void encode(const struct party *p, struct buf *b)
{
	buf_put_u8(b, FORMAT);
	buf_put_u64(b, p->through);
	buf_put_u64(b, (uint64_t)p->minute_at);
	buf_put_u8(b, p->held);
	for (int i = 0; i < WHATS; i++)
		buf_put_u64(b, p->fresh[i]);
	for (int i = 0; i < WHATS; i++)
		put_window(b, &p->w[i]);
	buf_put_u8(b, (uint8_t)p->ncategories);
	for (const struct category *k = p->categories; k; k = k->next) {
		buf_put_str(b, str_of(k->name));
		buf_put_u64(b, (uint64_t)k->last);
		put_window(b, &k->w);
	}
}

int counters_save(struct counters *c, int max,
		  void (*fn)(void *arg, struct str key, struct str value), void *arg)
{
	struct buf key, value;
	struct forgotten *f;
	int n = 0;

	OBJ_CHECK(c, COUNTERS_MAGIC);
	for (; n < max && (f = c->forgotten); n++) {
		struct str name = { f->key + 2, strlen(f->key) - 2 };
		int kind = f->key[0] == 'p'   ? REPUTATION_PROVIDER
			   : f->key[0] == 's' ? REPUTATION_SOURCE
					      : REPUTATION_JOB;

		c->forgotten = f->next;
		if (!strmap_get(&c->by_name[kind], name)) /* not back already */
			fn(arg, str_of(f->key), (struct str){ NULL, 0 });
		free(f);
	}
	buf_init(&key);
	buf_init(&value);
	for (int k = 0; k < REPUTATION_KINDS; k++)
		for (struct party *p = c->first[k]; p && n < max; p = p->next) {
			if (!p->unsaved)
				continue;
			buf_clear(&key);
			buf_clear(&value);
			party_key(p, &key);
			encode(p, &value);
			if (buf_failed(&key) || buf_failed(&value))
				break; /* the next round tries again */
			p->unsaved = false;
			fn(arg, buf_str(&key), buf_str(&value));
			n++;
		}
	buf_free(&key);
	buf_free(&value);
	return n;
}

static void decode(struct counters *c, struct reader *r, struct party *p)
{
	uint8_t n;

	p->through = reader_u64(r);
	p->minute_at = (int64_t)reader_u64(r);
	p->held = reader_u8(r) != 0;
	for (int i = 0; i < WHATS; i++)
		p->fresh[i] = reader_u64(r);
	for (int i = 0; i < WHATS; i++)
		get_window(r, &p->w[i]);
	n = reader_u8(r);
	for (uint8_t i = 0; i < n && !r->bad; i++) {
		struct str name = reader_str(r);
		us_t last = (us_t)reader_u64(r);
		struct category *k = r->bad ? NULL : category_get(c, p, name);
		struct window skipped = { 0 };

		get_window(r, k ? &k->w : &skipped);
		if (!k)
			continue;
		k->last = last;
		item_dirty(c, &k->item);
	}
}

bool counters_restore(struct counters *c, us_t now, struct str key, struct str value)
{
	static const char letters[] = "psj";
	struct reader r = { .p = (const uint8_t *)value.p, .n = value.n };
	const char *letter =
	    key.n > 2 && key.p[0] && key.p[1] == ' ' ? strchr(letters, key.p[0]) : NULL;
	struct party *p;

	OBJ_CHECK(c, COUNTERS_MAGIC);
	if (!letter || reader_u8(&r) != FORMAT)
		return false;
	p = party_get(c, (enum reputation_kind)(letter - letters), str_mem(key.p + 2, key.n - 2));
	if (!p)
		return false;
	decode(c, &r, p);
	item_dirty(c, &p->item);
	/* What can't be read, or was counted by a clock that was ahead, must not stay for ever. */
	if (!r.bad && p->minute_at >= 0 && p->minute_at <= now / US_PER_MIN + 60)
		return true;
	p->minute_at = now / US_PER_MIN;
	p->through = 0;
	memset(p->w, 0, sizeof p->w);
	for (struct category *k = p->categories; k; k = k->next)
		memset(&k->w, 0, sizeof k->w);
	return false;
}
