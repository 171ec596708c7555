/* Stacked limits: one counter for each thing that a limit counts, and the gates at which mail waits
 * for room. */
#include "core/sched/inner.h"
#include "core/sched/warmup.h"

#include <stdlib.h>

/* Waiters are looked at again after this while room and waiters are both left: the woken ones may
 * have gone elsewhere. */
#define GATE_AGAIN_US US_PER_MS

enum { SQUEEZE_MOST = 16 };

/* ---- gates ---- */

void gate_init(struct gate *g, enum gate_type type)
{
	*g = (struct gate){ .type = (uint8_t)type };
	list_init(&g->waiters);
	list_init(&g->asks);
}

static bool gate_wanted(const struct gate *g)
{
	return !list_empty(&g->waiters) || !list_empty(&g->asks);
}

void gate_open(struct sched *s, struct gate *g)
{
	if (gate_wanted(g) && !list_in(&g->opened))
		list_add(&s->opened, &g->opened);
}

static void gate_at(struct sched *s, struct gate *g, us_t when)
{
	if (heap_has(&g->timer) && g->timer.key <= when)
		return;
	if (!heap_set(&s->gates, &g->timer, when))
		gate_open(s, g);
}

void gate_timer(struct sched *s, struct gate *g, us_t when)
{
	gate_at(s, g, when);
}

/* When the counter of this gate may have room again, as far as that is known. */
static void gate_arm(struct sched *s, struct gate *g)
{
	struct counter *c;
	int64_t want;

	if (g->type != GATE_COUNTER)
		return;
	c = HEAP_OF(g, struct counter, gate);
	if (c->kind == LIMIT_CONNECTIONS)
		return;
	want = list_empty(&g->asks) ? c->pending + 1 : 1;
	if (want == 1 || want * c->bucket.step_ns <= c->bucket.cap_ns)
		gate_at(s, g, bucket_when(&c->bucket, s->now, want));
}

void gate_wait(struct sched *s, struct gate *g, struct waiter *w)
{
	gate_leave(w);
	list_add(&g->waiters, &w->link);
	w->at = g;
	gate_arm(s, g);
}

/* All connections that this gate's counter may have are there, and mail waits: after this tick's
 * hand-outs, idle ones make room. */
void gate_squeeze(struct sched *s, struct gate *g)
{
	if (!list_in(&g->squeeze))
		list_add(&s->squeeze, &g->squeeze);
}

static void squeeze(struct sched *s, struct gate *g)
{
	struct counter *c = HEAP_OF(g, struct counter, gate);
	int want = -c->closing, most = SQUEEZE_MOST;

	for (const struct link *l = g->waiters.next; l != &g->waiters && most--; l = l->next)
		want++;
	want -= c->limit - c->used;
	while (want-- > 0 && session_make_room(s, c))
		s->budget--;
}

void gates_squeeze(struct sched *s)
{
	struct link *l;

	while (s->budget > 0 && (l = list_pop(&s->squeeze)))
		squeeze(s, HEAP_OF(l, struct gate, squeeze));
}

void gate_leave(struct waiter *w)
{
	list_del(&w->link);
	w->at = NULL;
}

void gate_ask(struct sched *s, struct gate *g, struct session *session)
{
	list_del(&session->ask);
	list_add(&g->asks, &session->ask);
	gate_arm(s, g);
}

us_t gate_when(const struct gate *g, us_t now)
{
	const struct counter *c = HEAP_OF(g, const struct counter, gate);

	if (g->type != GATE_COUNTER || c->kind == LIMIT_CONNECTIONS)
		return now;
	return bucket_when(&c->bucket, now, 1);
}

bool gate_is_connections(const struct gate *g)
{
	if (!g || g->type == GATE_REST || g->type == GATE_KEY_REST)
		return false;
	return g->type == GATE_SLOTS ||
	       HEAP_OF(g, const struct counter, gate)->kind == LIMIT_CONNECTIONS;
}

static void wake(struct sched *s, struct waiter *w)
{
	gate_leave(w);
	if (w->type == WAIT_PATH)
		path_woken(s, HEAP_OF(w, struct path, wait));
	else if (w->type == WAIT_FLOW)
		flow_woken(s, HEAP_OF(w, struct flow, wait));
	else
		queue_woken(s, HEAP_OF(w, struct queue_more, wait)->queue);
}

/* Limits over many sites wake only as many as there is room for: a hundred thousand may wait. */
static bool is_wide(const struct gate *g)
{
	const struct counter *c;

	if (g->type == GATE_SLOTS || g->type == GATE_KEY_REST)
		return true;
	if (g->type == GATE_REST)
		return false;
	c = HEAP_OF(g, const struct counter, gate);
	return c->scope == SCOPE_TOTAL || c->scope == SCOPE_VMTA || c->flavour == COUNT_OVERRIDE;
}

static int64_t gate_room(const struct sched *s, const struct gate *g)
{
	const struct counter *c;

	if (g->type == GATE_SLOTS)
		return slots_free(s);
	if (g->type == GATE_REST)
		return 1;
	if (g->type == GATE_KEY_REST)
		return keyrest_room(HEAP_OF(g, const struct key_rest, gate), s->now);
	c = HEAP_OF(g, const struct counter, gate);
	return counter_room(c, s->now);
}

static void serve_asks(struct sched *s, struct gate *g)
{
	struct link *l;

	while ((l = list_first(&g->asks))) {
		struct session *session = LIST_OF(l, struct session, ask);

		list_del(l);
		/* It waits here again (at the end, but then nothing is left for those behind it
		 * either) or elsewhere, or has got some. */
		if (!session_serve(s, session) && g->asks.prev == l) {
			list_del(l);
			l->next = g->asks.next;
			l->prev = &g->asks;
			g->asks.next->prev = l;
			g->asks.next = l;
			return;
		}
	}
}

static void gate_serve(struct sched *s, struct gate *g)
{
	struct link last = { 0 };
	int64_t room;

	if (!list_empty(&g->asks))
		serve_asks(s, g);
	room = list_empty(&g->asks) ? gate_room(s, g) : 0;
	if (room > 0 && !is_wide(g))
		room = INT64_MAX;
	/* Those that come back at once stand behind this mark. */
	list_add(&g->waiters, &last);
	for (; room > 0 && g->waiters.next != &last; room--) {
		wake(s, HEAP_OF(g->waiters.next, struct waiter, link));
		s->budget--;
	}
	list_del(&last);
	if (!gate_wanted(g))
		return;
	if (gate_room(s, g) > 0 && g->type != GATE_REST)
		gate_at(s, g, s->now + GATE_AGAIN_US);
	else
		gate_arm(s, g);
}

void gates_tick(struct sched *s)
{
	struct heap_node *n;
	struct link *l;

	while ((n = heap_top(&s->gates)) && n->key <= s->now) {
		struct gate *g = HEAP_OF(n, struct gate, timer);

		heap_del(&s->gates, n);
		if (g->type == GATE_KEY_REST && !keyrest_over(s, HEAP_OF(g, struct key_rest, gate)))
			continue;
		if (g->type == GATE_REST)
			lane_rest_over(s, HEAP_OF(g, struct lane, rest));
		gate_open(s, g);
	}
	while (s->budget > 0 && (l = list_pop(&s->opened)))
		gate_serve(s, HEAP_OF(l, struct gate, opened));
}

void gate_free(struct sched *s, struct gate *g)
{
	while (!list_empty(&g->waiters))
		wake(s, HEAP_OF(g->waiters.next, struct waiter, link));
	list_del(&g->opened);
	list_del(&g->squeeze);
	heap_del(&s->gates, &g->timer);
}

/* ---- counters ---- */

static uint64_t counter_key(uint8_t kind, uint8_t scope, uint8_t flavour, uint64_t a, uint64_t b,
			    uint64_t c)
{
	uint64_t k = (uint64_t)kind | (uint64_t)scope << 8 | (uint64_t)flavour << 16;

	k = table_mix(k ^ a * 0x9E3779B97F4A7C15u);
	k = table_mix(k ^ b * 0xC2B2AE3D27D4EB4Fu);
	return table_mix(k ^ c * 0x165667B19E3779F9u);
}

uint64_t counter_hash(const struct table_link *l)
{
	const struct counter *c = (const struct counter *)(const void *)l;

	return counter_key(c->kind, c->scope, c->flavour, c->a, c->b, c->c);
}

struct counter *counter_find(struct sched *s, const struct counter_id *id)
{
	uint64_t h = counter_key(id->kind, id->scope, id->flavour, id->a, id->b, id->c);

	for (struct table_link *l = table_bucket(&s->counters, h); l; l = l->next) {
		struct counter *c = TABLE_OF(l, struct counter);

		if (c->kind == id->kind && c->scope == id->scope && c->flavour == id->flavour &&
		    c->a == id->a && c->b == id->b && c->c == id->c)
			return c;
	}
	return NULL;
}

/* Most counters count connections, and need no bucket. */
static struct pool *pool_of(struct sched *s, uint8_t kind)
{
	return kind == LIMIT_CONNECTIONS ? &s->counter_pool : &s->rate_pool;
}

struct counter *counter_get(struct sched *s, const struct counter_id *id)
{
	struct counter *c = counter_find(s, id);

	if (!c) {
		c = pool_get(pool_of(s, id->kind));
		if (!c)
			return NULL;
		c->kind = id->kind;
		c->scope = id->scope;
		c->flavour = id->flavour;
		c->a = id->a;
		c->b = id->b;
		c->c = id->c;
		gate_init(&c->gate, GATE_COUNTER);
		if (!table_add(&s->counters, &c->link)) {
			pool_put(pool_of(s, id->kind), c);
			return NULL;
		}
		if (c->kind == LIMIT_CONNECTIONS && c->flavour != COUNT_ALL)
			sessions_recount(s, c);
	}
	c->refs++;
	return c;
}

static void counter_free(struct sched *s, struct counter *c)
{
	gate_free(s, &c->gate);
	table_del(&s->counters, &c->link);
	rstr_unref(c->label);
	name_put(s, c->origin);
	pool_put(pool_of(s, c->kind), c);
}

/* What a rate has given lately is remembered until it no longer matters. */
bool counter_sweep(struct sched *s, struct counter *c)
{
	if (c->refs || gate_wanted(&c->gate))
		return false;
	if (c->kind != LIMIT_CONNECTIONS && !bucket_idle(&c->bucket, s->now))
		return false;
	counter_free(s, c);
	return true;
}

void counter_unref(struct sched *s, struct counter *c)
{
	if (!c)
		return;
	c->refs--;
	counter_sweep(s, c);
}

/* Kept as text of its own: the snapshot that it comes from may go. */
static void set_origin(struct sched *s, struct counter *c, const struct origin *o)
{
	struct buf b;

	if (!o || !o->file) {
		name_put(s, c->origin);
		c->origin = NULL;
		c->origin_section = NULL;
		return;
	}
	if (c->origin && c->origin_section == o->section && c->origin_line == o->line &&
	    c->origin_conf == (uint32_t)s->conf_gen)
		return;
	buf_init(&b);
	buf_addf(&b, "%s:%d %s", o->file, o->line, o->section ? o->section : "");
	name_put(s, c->origin);
	c->origin = name_get(s, buf_str(&b));
	c->origin_section = o->section;
	c->origin_line = o->line;
	c->origin_conf = (uint32_t)s->conf_gen;
	buf_free(&b);
}

void counter_limit(struct sched *s, struct counter *c, int n, struct rate rate,
		   const struct origin *origin, uint64_t by)
{
	c->limited = true;
	set_origin(s, c, origin);
	c->by = by;
	if (c->kind == LIMIT_CONNECTIONS) {
		if (c->limit != n)
			gate_open(s, &c->gate);
		c->limit = n;
		return;
	}
	if (c->bucket.rate.n == rate.n && c->bucket.rate.per == rate.per)
		return;
	bucket_set(&c->bucket, rate, s->now);
	state_rate_restore(s, c);
	heap_del(&s->gates, &c->gate.timer);
	gate_open(s, &c->gate);
}

int64_t counter_room(const struct counter *c, us_t now)
{
	if (!c->limited)
		return INT64_MAX;
	if (c->kind == LIMIT_CONNECTIONS)
		return c->limit - c->used;
	return bucket_tokens(&c->bucket, now) - c->pending;
}

void counter_use(struct counter *c)
{
	c->used++;
}

void counter_unuse(struct sched *s, struct counter *c)
{
	c->used--;
	if (c->used < c->limit)
		gate_open(s, &c->gate);
}

void counter_pending(struct sched *s, struct counter *c, int64_t n)
{
	c->pending += n;
	if (n < 0)
		gate_open(s, &c->gate);
}

void counter_take(struct sched *s, struct counter *c, int64_t n)
{
	bucket_take(&c->bucket, s->now, n);
	if (c->warm)
		warm_took(s, c->warm, n);
	else if (c->bucket.step_ns >= RATE_SLOW_US * 1000)
		state_rate_save(s, c);
}

void counter_give_back(struct sched *s, struct counter *c, us_t taken, int64_t n)
{
	bucket_give_back(&c->bucket, s->now, taken, n);
	if (c->warm)
		warm_gave_back(s, c->warm, taken, n);
	heap_del(&s->gates, &c->gate.timer);
	if (gate_wanted(&c->gate))
		gate_arm(s, &c->gate);
}

/* ---- sets of limits ---- */

void limits_begin(struct limits_room *r)
{
	r->l = (struct limits){ .conn = r->v[LIMIT_CONNECTIONS],
				.rate = r->v[LIMIT_MSG_RATE],
				.connect = r->v[LIMIT_CONNECT_RATE] };
}

static bool looser(const struct counter *a, const struct counter *b)
{
	if (a->kind == LIMIT_CONNECTIONS)
		return a->limit > b->limit;
	return a->bucket.step_ns < b->bucket.step_ns;
}

/* Twelve of a kind are more than the configuration can stack; of more overrides than that the
 * tightest bind. Returns what is left over: c or one that it displaces, or NULL. */
static struct counter *set_add(struct counter **v, uint8_t *n, struct counter *c)
{
	uint8_t loosest = 0;

	for (uint8_t i = 0; i < *n; i++) {
		if (v[i] == c)
			return c;
		if (looser(v[i], v[loosest]))
			loosest = i;
	}
	if (*n < LIMITS_MAX) {
		v[(*n)++] = c;
		return NULL;
	}
	if (looser(v[loosest], c)) {
		struct counter *out = v[loosest];

		v[loosest] = c;
		return out;
	}
	return c;
}

/* Takes over the caller's reference. */
void limits_add(struct sched *s, struct limits_room *r, struct counter *c)
{
	struct counter *over;

	if (c->kind == LIMIT_CONNECTIONS)
		over = set_add(r->l.conn, &r->l.nconn, c);
	else if (c->kind == LIMIT_MSG_RATE)
		over = set_add(r->l.rate, &r->l.nrate, c);
	else
		over = set_add(r->l.connect, &r->l.nconnect, c);
	counter_unref(s, over);
}

void limits_clear(struct sched *s, struct limits *l)
{
	for (uint8_t i = 0; i < l->nconn; i++)
		counter_unref(s, l->conn[i]);
	for (uint8_t i = 0; i < l->nrate; i++)
		counter_unref(s, l->rate[i]);
	for (uint8_t i = 0; i < l->nconnect; i++)
		counter_unref(s, l->connect[i]);
	l->nconn = l->nrate = l->nconnect = 0;
}

static void copy(struct counter **to, struct counter *const *from, uint8_t n)
{
	for (uint8_t i = 0; i < n; i++) {
		to[i] = from[i];
		to[i]->refs++;
	}
}

void limits_copy(struct limits_room *to, const struct limits *from)
{
	copy(to->l.conn, from->conn, to->l.nconn = from->nconn);
	copy(to->l.rate, from->rate, to->l.nrate = from->nrate);
	copy(to->l.connect, from->connect, to->l.nconnect = from->nconnect);
}

/* Moves what was collected into memory of its own size. False without memory: nothing has moved. */
bool limits_freeze(struct sched *s, struct limits_room *r, struct limits *out)
{
	size_t n = (size_t)r->l.nconn + r->l.nrate + r->l.nconnect;
	struct counter **v = malloc((n ? n : 1) * sizeof *v);

	if (!v)
		return false;
	s->other_bytes += n * sizeof *v;
	*out = r->l;
	out->conn = memcpy(v, r->l.conn, r->l.nconn * sizeof *v);
	out->rate = memcpy(v + r->l.nconn, r->l.rate, r->l.nrate * sizeof *v);
	out->connect = memcpy(v + r->l.nconn + r->l.nrate, r->l.connect, r->l.nconnect * sizeof *v);
	out->frozen = (uint8_t)n;
	return true;
}

void limits_thaw(struct sched *s, struct limits *l)
{
	s->other_bytes -= l->frozen * sizeof *l->conn;
	free(l->conn);
	*l = (struct limits){ 0 };
}

/* The first without room for one more; NULL: all have. */
struct counter *limits_full(struct counter *const *v, uint8_t n, us_t now)
{
	for (uint8_t i = 0; i < n; i++)
		if (counter_room(v[i], now) < 1)
			return v[i];
	return NULL;
}
