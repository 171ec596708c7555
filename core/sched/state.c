/* What outlives a restart, in the state table "lanes": last attempts of slow rates, rests and modes
 * of lanes, and warm-ups; and in "moves": recipients that an operator has moved to another route.
 * Overrides keep themselves (override.c). */
#include "core/sched/override.h"
#include "core/sched/warmup.h"

#include <stdlib.h>

enum { STATE_FORMAT = 1, RATE_PREFIX = 5, REST_PREFIX = 5, MOVE_KEY_BYTES = 12, KEY_DIGITS = 16 };

static const char lanes_table[] = "lanes", moves_table[] = "moves", warm_prefix[] = "warm ",
		  key_prefix[] = "key ";

struct restored { /* a row read at start, until it is used */
	struct table_link link;
	struct rstr *key, *value;
};

uint64_t restored_hash(const struct table_link *l)
{
	const struct rstr *k = ((const struct restored *)(const void *)l)->key;

	return hash_bytes(k->text, k->len);
}

static struct restored *restored_find(struct sched *s, struct str key)
{
	struct table_link *l = table_bucket(&s->restored, hash_bytes(key.p, key.n));

	while (l && !str_eq(rstr_str(TABLE_OF(l, struct restored)->key), key))
		l = l->next;
	return l ? TABLE_OF(l, struct restored) : NULL;
}

static void restored_free(struct sched *s, struct restored *x)
{
	table_del(&s->restored, &x->link);
	rstr_unref(x->key);
	rstr_unref(x->value);
	free(x);
}

static bool restored_add(struct sched *s, struct str key, struct str value)
{
	struct restored *x = calloc(1, sizeof *x);

	if (!x)
		return false;
	x->key = rstr_new(key);
	x->value = rstr_new(value);
	if (x->key && x->value && table_add(&s->restored, &x->link))
		return true;
	rstr_unref(x->key);
	rstr_unref(x->value);
	free(x);
	return false;
}

void restored_free_all(struct sched *s)
{
	for (size_t i = 0; i < s->restored.buckets; i++)
		while (table_at(&s->restored, i))
			restored_free(s, TABLE_OF(table_at(&s->restored, i), struct restored));
}

/* "key gmail.com@vmta1 0123456789abcdef" */
static bool keyrest_row(struct sched *s, struct str key, struct str value)
{
	struct reader r = { .p = (const uint8_t *)value.p + 1, .n = value.n - 1 };
	struct key_rest was = { 0 };
	struct str lane = str_mem(key.p + sizeof key_prefix - 1, key.n - (sizeof key_prefix - 1));
	uint64_t number;
	bool ok;

	if (lane.n <= KEY_DIGITS)
		return false;
	number = strtoull(lane.p + lane.n - KEY_DIGITS, NULL, 16);
	lane.n -= KEY_DIGITS + 1;
	was.kind = reader_u8(&r);
	was.step = reader_u32(&r);
	was.since = (us_t)reader_u64(&r);
	was.until = (us_t)reader_u64(&r);
	was.reason = rstr_new(reader_str(&r));
	ok = !r.bad && was.kind <= REST_TLS && keyrest_restore(s, lane, number, &was);
	rstr_unref(was.reason);
	return ok;
}

bool sched_restore(struct sched *s, us_t now, struct str table, struct str key, struct str value)
{
	OBJ_CHECK(s, SCHED_MAGIC);
	s->now = now;
	if (str_eqz(table, "overrides"))
		return override_restore_row(s, key, value);
	if (!str_eqz(table, lanes_table) && !str_eqz(table, moves_table))
		return false;
	if (!value.n || (uint8_t)value.p[0] != STATE_FORMAT)
		return false;
	if (str_eqz(table, lanes_table) && str_istarts(key, warm_prefix))
		return warm_restore(
		    s, str_mem(key.p + sizeof warm_prefix - 1, key.n - (sizeof warm_prefix - 1)),
		    value);
	if (str_eqz(table, lanes_table) && str_istarts(key, key_prefix))
		return keyrest_row(s, key, value);
	return restored_add(s, key, value);
}

static struct reader reader_of(const struct restored *x)
{
	struct reader r = { .p = (const uint8_t *)x->value->text, .n = x->value->len };

	reader_u8(&r); /* the format, checked when it was read */
	return r;
}

/* ---- slow rates ---- */

void state_rate_save(struct sched *s, struct counter *c)
{
	struct buf k, v;

	if (!c->label)
		return;
	buf_init(&k);
	buf_init(&v);
	buf_addf(&k, "rate %s", c->label->text);
	buf_put_u8(&v, STATE_FORMAT);
	buf_put_u64(&v, (uint64_t)c->bucket.last);
	if (!buf_failed(&k) && !buf_failed(&v))
		action_state_put(s, lanes_table, buf_str(&k), buf_str(&v));
	buf_free(&k);
	buf_free(&v);
}

void state_rate_restore(struct sched *s, struct counter *c)
{
	struct restored *x;
	struct buf k;

	if (!c->label || !s->restored.used)
		return;
	buf_init(&k);
	buf_addf(&k, "rate %s", c->label->text);
	x = restored_find(s, buf_str(&k));
	if (x) {
		struct reader r = reader_of(x);
		us_t last = (us_t)reader_u64(&r);

		if (!r.bad && last <= s->now)
			bucket_restore(&c->bucket, last);
		restored_free(s, x);
	}
	buf_free(&k);
}

/* ---- rests ---- */

void state_lane_save(struct sched *s, struct lane *a)
{
	struct buf k, v;
	struct str value = { 0 };

	buf_init(&k);
	buf_init(&v);
	buf_addf(&k, "rest %s", a->name->text);
	if (a->rest_step) {
		buf_put_u8(&v, STATE_FORMAT);
		buf_put_u8(&v, a->rest_kind);
		buf_put_u32(&v, a->rest_step);
		buf_put_u64(&v, (uint64_t)a->resting_since);
		buf_put_u64(&v, (uint64_t)a->resting_until);
		buf_put_str(&v, rstr_str(a->rest_reason));
		value = buf_str(&v);
	}
	if (!buf_failed(&k) && !buf_failed(&v))
		action_state_put(s, lanes_table, buf_str(&k), value);
	buf_free(&k);
	buf_free(&v);
}

void state_keyrest_save(struct sched *s, const struct key_rest *r)
{
	struct buf k, v;
	struct str value = { 0 };

	buf_init(&k);
	buf_init(&v);
	buf_addf(&k, "%s%s %016llx", key_prefix, r->lane->text, (unsigned long long)r->key);
	if (r->step) {
		buf_put_u8(&v, STATE_FORMAT);
		buf_put_u8(&v, r->kind);
		buf_put_u32(&v, r->step);
		buf_put_u64(&v, (uint64_t)r->since);
		buf_put_u64(&v, (uint64_t)r->until);
		buf_put_str(&v, rstr_str(r->reason));
		value = buf_str(&v);
	}
	if (!buf_failed(&k) && !buf_failed(&v))
		action_state_put(s, lanes_table, buf_str(&k), value);
	buf_free(&k);
	buf_free(&v);
}

void state_lane_restore(struct sched *s, struct lane *a)
{
	struct restored *x;
	struct reader r;
	struct buf k;

	if (!s->restored.used)
		return;
	buf_init(&k);
	buf_addf(&k, "rest %s", a->name->text);
	x = restored_find(s, buf_str(&k));
	buf_free(&k);
	if (!x)
		return;
	r = reader_of(x);
	a->rest_kind = reader_u8(&r);
	a->rest_step = reader_u32(&r);
	a->resting_since = (us_t)reader_u64(&r);
	a->resting_until = (us_t)reader_u64(&r);
	a->rest_reason = rstr_new(reader_str(&r));
	if (r.bad || a->rest_kind > REST_REPLIES) {
		a->rest_kind = REST_NONE;
		a->rest_step = 0;
	}
	if (a->rest_kind != REST_NONE)
		gate_timer(s, &a->rest, a->resting_until);
	restored_free(s, x);
}

/* ---- modes ---- */

/* In millionths. */
static void learned_encode(struct buf *v, const struct learned *x)
{
	buf_put_u64(v, (uint64_t)(x->value * 1e6));
	buf_put_u64(v, (uint64_t)(x->ceiling * 1e6));
	buf_put_u64(v, (uint64_t)x->ceiling_at);
}

static void learned_decode(struct reader *r, struct learned *x)
{
	x->value = (double)reader_u64(r) / 1e6;
	x->ceiling = (double)reader_u64(r) / 1e6;
	x->ceiling_at = (us_t)reader_u64(r);
}

static void mode_encode(struct buf *v, const struct mode *m)
{
	buf_put_u8(v, STATE_FORMAT);
	buf_put_u64(v, (uint64_t)m->since);
	buf_put_u64(v, (uint64_t)m->until);
	buf_put_u64(v, (uint64_t)m->last);
	buf_put_u32(v, m->step);
	buf_put_str(v, rstr_str(m->rule));
	buf_put_str(v, rstr_str(m->reply));
	learned_encode(v, &m->rate);
	learned_encode(v, &m->conns);
	buf_put_u64(v, (uint64_t)m->lowered_at);
}

void state_mode_save(struct sched *s, struct lane *a)
{
	struct buf k, v;
	struct str value = { 0 };

	buf_init(&k);
	buf_init(&v);
	buf_addf(&k, "mode %s", a->name->text);
	if (a->mode) {
		mode_encode(&v, a->mode);
		value = buf_str(&v);
	}
	if (!buf_failed(&k) && !buf_failed(&v))
		action_state_put(s, lanes_table, buf_str(&k), value);
	buf_free(&k);
	buf_free(&v);
}

static void mode_decode(struct reader *r, struct mode *m)
{
	m->since = (us_t)reader_u64(r);
	m->until = (us_t)reader_u64(r);
	m->last = (us_t)reader_u64(r);
	m->step = reader_u32(r);
	m->rule = rstr_new(reader_str(r));
	m->reply = rstr_new(reader_str(r));
	learned_decode(r, &m->rate);
	learned_decode(r, &m->conns);
	m->lowered_at = (us_t)reader_u64(r);
}

void state_mode_restore(struct sched *s, struct lane *a)
{
	struct restored *x;
	struct reader r;
	struct buf k;

	if (!s->restored.used)
		return;
	buf_init(&k);
	buf_addf(&k, "mode %s", a->name->text);
	x = restored_find(s, buf_str(&k));
	buf_free(&k);
	if (!x || !mode_get(s, a))
		return;
	r = reader_of(x);
	mode_decode(&r, a->mode);
	if (r.bad)
		mode_free(s, a);
	else
		mode_restored(s, a);
	restored_free(s, x);
}

/* ---- warm-ups ---- */

static void warm_put(struct sched *s, const struct warm *w, struct str value)
{
	struct buf k;

	buf_init(&k);
	buf_addf(&k, "%s%s", warm_prefix, w->key->text);
	if (!buf_failed(&k))
		action_state_put(s, lanes_table, buf_str(&k), value);
	buf_free(&k);
}

void state_warm_save(struct sched *s, const struct warm *w)
{
	struct buf v;

	buf_init(&v);
	buf_put_u8(&v, STATE_FORMAT);
	buf_put_str(&v, rstr_str(w->provider));
	buf_put_str(&v, rstr_str(w->vmta));
	buf_put_u32(&v, w->step);
	buf_put_u64(&v, (uint64_t)w->cap);
	buf_put_u64(&v, (uint64_t)w->since);
	buf_put_u64(&v, w->sample);
	buf_put_u64(&v, w->bad);
	buf_put_u32(&v, w->peak);
	buf_put_u64(&v, (uint64_t)w->lowered_until);
	buf_put_u64(&v, (uint64_t)w->tried_at);
	buf_put_u64(&v, (uint64_t)w->counter->bucket.full_ns);
	buf_put_u64(&v, (uint64_t)w->minute);
	for (int i = 0; i < WARM_MINUTES; i++)
		buf_put_u32(&v, w->tries[i]);
	if (!buf_failed(&v))
		warm_put(s, w, buf_str(&v));
	buf_free(&v);
}

void state_warm_delete(struct sched *s, const struct warm *w)
{
	warm_put(s, w, (struct str){ 0 });
}

bool state_warm_decode(struct str value, struct warm *w, int64_t *full_ns)
{
	struct reader r = { .p = (const uint8_t *)value.p, .n = value.n };

	reader_u8(&r); /* the format, checked when it was read */
	w->provider = rstr_new(reader_str(&r));
	w->vmta = rstr_new(reader_str(&r));
	w->step = reader_u32(&r);
	w->cap = (int64_t)reader_u64(&r);
	w->since = (us_t)reader_u64(&r);
	w->sample = reader_u64(&r);
	w->bad = reader_u64(&r);
	w->peak = reader_u32(&r);
	w->lowered_until = (us_t)reader_u64(&r);
	w->tried_at = (us_t)reader_u64(&r);
	*full_ns = (int64_t)reader_u64(&r);
	w->minute = (int64_t)reader_u64(&r);
	for (int i = 0; i < WARM_MINUTES; i++)
		w->tries[i] = reader_u32(&r);
	return !r.bad && w->provider && w->vmta && w->cap >= 0 && w->minute >= 0;
}

/* ---- moves ---- */

static struct str move_key(const struct rcpt *r, struct buf *b)
{
	buf_put_u64(b, rcpt_msg(r)->id);
	buf_put_u32(b, r->index);
	return buf_str(b);
}

void state_move_save(struct sched *s, struct rcpt *r)
{
	struct buf k, v;

	buf_init(&k);
	buf_init(&v);
	r->flags |= RF_MOVED;
	buf_put_u8(&v, STATE_FORMAT);
	buf_put_str(&v, rstr_str(r->queue->route->name));
	if (move_key(r, &k).n == MOVE_KEY_BYTES && !buf_failed(&v))
		action_state_put(s, moves_table, buf_str(&k), buf_str(&v));
	buf_free(&k);
	buf_free(&v);
}

void state_move_forget(struct sched *s, const struct rcpt *r)
{
	struct buf k;

	buf_init(&k);
	if (move_key(r, &k).n == MOVE_KEY_BYTES)
		action_state_put(s, moves_table, buf_str(&k), (struct str){ 0 });
	buf_free(&k);
}

/* The route that a loaded recipient was moved to; NULL: none. */
struct route *state_moved_to(struct sched *s, const struct rcpt *r)
{
	struct route *route = NULL;
	struct restored *x;
	struct buf k;

	if (!s->restored.used)
		return NULL;
	buf_init(&k);
	x = restored_find(s, move_key(r, &k));
	buf_free(&k);
	if (x) {
		struct reader in = reader_of(x);
		struct str name = reader_str(&in);

		route = in.bad ? NULL : route_get(s, name);
		restored_free(s, x);
	}
	return route;
}
