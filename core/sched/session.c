/* Sessions: which are up, what they carry, what they count in. told.c has what io threads tell. */
#include "core/sched/inner.h"

#include <stdlib.h>

enum { AHEAD_CONNECTIONS = 50, MAKE_ROOM_LOOK = 64 };

/* ---- bundles ---- */

static uint64_t bundle_key(const struct lane *a, uint64_t hosts, uint64_t settings)
{
	return table_mix(a->row.id * 0x9E3779B97F4A7C15u ^ hosts ^ table_mix(settings));
}

uint64_t bundle_hash(const struct table_link *l)
{
	const struct bundle *b = (const struct bundle *)(const void *)l;

	return bundle_key(b->lane, b->hosts, b->settings);
}

struct bundle *bundle_find(struct sched *s, const struct lane *a, uint64_t hosts, uint64_t settings)
{
	struct table_link *l = table_bucket(&s->bundles, bundle_key(a, hosts, settings));

	for (; l; l = l->next) {
		struct bundle *b = TABLE_OF(l, struct bundle);

		if (b->lane == a && b->hosts == hosts && b->settings == settings)
			return b;
	}
	return NULL;
}

static struct bundle *bundle_get(struct sched *s, struct lane *a, uint64_t hosts, uint64_t settings)
{
	struct bundle *b = bundle_find(s, a, hosts, settings);

	if (b)
		return b;
	b = pool_get(&s->bundle_pool);
	if (!b)
		return NULL;
	b->lane = a;
	b->hosts = hosts;
	b->settings = settings;
	list_init(&b->idle);
	list_init(&b->busy);
	if (table_add(&s->bundles, &b->link))
		return b;
	pool_put(&s->bundle_pool, b);
	return NULL;
}

static void bundle_put(struct sched *s, struct bundle *b)
{
	if (--b->sessions)
		return;
	table_del(&s->bundles, &b->link);
	pool_put(&s->bundle_pool, b);
}

/* The one used last, so that the others can end by idle-timeout. */
struct session *session_idle(struct bundle *b)
{
	return list_empty(&b->idle) ? NULL : LIST_OF(b->idle.prev, struct session, in_bundle);
}

/* A busy one that can hold a transaction ahead. */
struct session *session_ahead(struct bundle *b)
{
	if (b->lane->conn->used > AHEAD_CONNECTIONS || list_empty(&b->busy))
		return NULL;
	return LIST_OF(b->busy.next, struct session, in_bundle);
}

static void offer(struct sched *s, const struct session *e);

void session_sort(struct sched *s, struct session *e)
{
	list_del(&e->in_bundle);
	if (list_in(&e->idle)) {
		list_del(&e->idle);
		s->nidle--;
	}
	if (e->state != SESSION_UP)
		return;
	if (!e->flights[0]) {
		list_add(&e->bundle->idle, &e->in_bundle);
		list_add(&s->idle, &e->idle);
		s->nidle++;
		offer(s, e);
	} else if (!e->flights[1] && e->pipelining && !e->flights[0]->ncharged) {
		list_add(&e->bundle->busy, &e->in_bundle);
	}
}

/* ---- what connections count in ---- */

static bool is_base(const struct sched *s, const struct session *e, const struct counter *c)
{
	return c == s->total || c == e->lane->conn || c == e->lane->source->conn ||
	       c == e->lane->site->conn;
}

static bool is_charged(const struct session *e, const struct counter *c)
{
	for (uint8_t i = 0; i < e->ncharged; i++)
		if (e->charged[i] == c)
			return true;
	return false;
}

bool session_counts_in(const struct sched *s, const struct session *e, const struct counter *c)
{
	return is_base(s, e, c) || is_charged(e, c);
}

static void charge_base(struct sched *s, struct session *e, bool on)
{
	struct counter *v[] = { s->total, e->lane->conn, e->lane->source->conn,
				e->lane->site->conn };

	for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
		if (on)
			counter_use(v[i]);
		else
			counter_unuse(s, v[i]);
}

static void count_closing(struct sched *s, struct session *e, int n)
{
	s->total->closing += n;
	e->lane->conn->closing += n;
	e->lane->source->conn->closing += n;
	e->lane->site->conn->closing += n;
	for (uint8_t i = 0; i < e->ncharged; i++)
		e->charged[i]->closing += n;
}

static void uncharge(struct sched *s, struct session *e)
{
	for (uint8_t i = 0; i < e->ncharged; i++) {
		counter_unuse(s, e->charged[i]);
		counter_unref(s, e->charged[i]);
	}
	e->ncharged = 0;
}

/* From now on the session counts as this queue's. */
static void charge(struct sched *s, struct session *e, const struct limits *l)
{
	struct counter *old[LIMITS_MAX];
	uint8_t nold = e->ncharged;

	memcpy(old, e->charged, sizeof old);
	e->ncharged = 0;
	for (uint8_t i = 0; i < l->nconn; i++)
		if (!is_base(s, e, l->conn[i])) {
			e->charged[e->ncharged++] = l->conn[i];
			l->conn[i]->refs++;
			counter_use(l->conn[i]);
		}
	for (uint8_t i = 0; i < nold; i++) {
		counter_unuse(s, old[i]);
		counter_unref(s, old[i]);
	}
}

/* May this idle session take the queue's mail, as far as the queue's own limits go? c->full: the
 * one that has no room. */
bool session_moves(struct sched *s, const struct session *e, const struct path *p,
		   const struct limits *own, struct choice *c)
{
	if (e->flow == p->flow->id && e->epoch == s->epoch && !e->own_limits && !own->nconn)
		return true;
	for (uint8_t i = 0; i < own->nconn; i++)
		if (!is_charged(e, own->conn[i]) && counter_room(own->conn[i], s->now) < 1)
			c->full = own->conn[i];
	for (uint8_t i = 0; i < p->limits.nconn; i++)
		if (!is_base(s, e, p->limits.conn[i]) && !is_charged(e, p->limits.conn[i]) &&
		    counter_room(p->limits.conn[i], s->now) < 1)
			c->full = p->limits.conn[i];
	return !c->full;
}

/* A counter that is new starts with the connections there are. */
void sessions_recount(struct sched *s, struct counter *c)
{
	(void)s;
	c->used = 0;
}

/* ---- opening ---- */

int64_t slots_free(const struct sched *s)
{
	int64_t n = 0;

	for (int i = 0; i < s->opts.io_threads; i++)
		n += s->io[i].slots;
	return n;
}

static uint32_t freest_io(const struct sched *s)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < (uint32_t)s->opts.io_threads; i++)
		if (s->io[i].slots > s->io[best].slots)
			best = i;
	return best;
}

struct session *session_open(struct sched *s, struct path *p, struct queue *q,
			     struct session_spec **spec)
{
	struct session *e = pool_get(&s->session_pool);

	if (!e)
		return NULL;
	e->id = ++s->next_id;
	e->lane = p->lane;
	*spec = spec_make(s, e, p, q);
	e->bundle = *spec ? bundle_get(s, p->lane, q->hosts->mx->key, p->set->session_key) : NULL;
	if (!e->bundle || !idmap_put(&s->by_session, e->id, e)) {
		session_spec_free(*spec);
		*spec = NULL;
		pool_put(&s->session_pool, e);
		return NULL;
	}
	e->bundle->sessions++;
	e->rest_key = keyrest_key(q->hosts->mx, p->set);
	e->patterns = patterns_ref((*spec)->patterns);
	e->io = freest_io(s);
	s->io[e->io].slots--;
	s->nsessions++;
	list_add(&s->sessions, &e->all);
	list_add(&p->lane->sessions, &e->on_lane);
	list_add(&p->source->sessions, &e->on_source);
	charge_base(s, e, true);
	for (uint8_t i = 0; i < p->limits.nconnect; i++)
		counter_take(s, p->limits.connect[i], 1);
	p->lane->opening++;
	if (p->lane->rest_kind != REST_NONE)
		p->lane->probe = e->id;
	keyrest_opened(s, e);
	handover_opened(e);
	row_dirty(s, &p->lane->row);
	return e;
}

void session_free(struct sched *s, struct session *e)
{
	struct lane *a = e->lane;

	if (a->probe == e->id)
		lane_probe_ended(s, a);
	keyrest_gone(s, e);
	handover_gone(s, e);
	if (e->state == SESSION_CLOSING)
		count_closing(s, e, -1);
	if (s->rebind == &e->all)
		s->rebind = e->all.next;
	if (!e->was_up)
		a->opening--;
	e->state = SESSION_CLOSING;
	session_sort(s, e);
	uncharge(s, e);
	charge_base(s, e, false);
	if (e->queue)
		e->queue->sessions--;
	list_del(&e->ask);
	list_del(&e->all);
	list_del(&e->on_lane);
	list_del(&e->on_source);
	bundle_put(s, e->bundle);
	idmap_del(&s->by_session, e->id);
	patterns_unref(e->patterns);
	s->nsessions--;
	pool_put(&s->session_pool, e);
	row_dirty(s, &a->row);
	lane_settle(s, a);
}

/* Without memory for the rest: as if it had never been. */
void session_unopen(struct sched *s, struct session *e, struct session_spec *spec)
{
	session_spec_free(spec);
	s->io[e->io].slots++;
	session_free(s, e);
}

/* The session carries one more transaction. */
void session_take(struct sched *s, struct session *e, struct flight *f, struct path *p,
		  struct queue *q, const struct limits *all)
{
	bool own = all->nconn > p->limits.nconn;

	if (e->flow != p->flow->id || e->epoch != s->epoch || own || e->own_limits)
		charge(s, e, all);
	if (e->own_limits && e->queue != q)
		queue_domain_wake(s, e->queue);
	e->own_limits = own;
	e->flow = p->flow->id;
	e->epoch = s->epoch;
	if (e->queue)
		e->queue->sessions--;
	e->queue = q;
	q->sessions++;
	f->session = e;
	e->flights[e->flights[0] ? 1 : 0] = f;
	e->lane->in_flight += f->n;
	row_dirty(s, &e->lane->row);
	session_sort(s, e);
}

/* ---- closing ---- */

void session_close(struct sched *s, struct session *e)
{
	if (e->state == SESSION_CLOSING)
		return;
	count_closing(s, e, 1);
	e->state = SESSION_CLOSING;
	session_sort(s, e);
	action_to_io(s, e->io, &(struct to_io){ .type = TO_IO_CLOSE, .session = e->id });
}

static struct session *idle_in(struct sched *s, const struct counter *c)
{
	int look = MAKE_ROOM_LOOK;

	for (struct link *l = s->idle.next; l != &s->idle && look--; l = l->next)
		if (session_counts_in(s, LIST_OF(l, struct session, idle), c))
			return LIST_OF(l, struct session, idle);
	return NULL;
}

/* Mail waits for a connection that somebody else's idle session holds: ends the one idle for
 * longest. False: none is idle. */
bool session_make_room(struct sched *s, struct counter *c)
{
	struct session *e = idle_in(s, c);

	if (!e)
		return false;
	session_close(s, e);
	return true;
}

/* A session has become idle: whoever waits for one of its counters may have its place. */
static void offer(struct sched *s, const struct session *e)
{
	struct counter *v[] = { s->total, e->lane->conn, e->lane->source->conn,
				e->lane->site->conn };

	for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
		if (!list_empty(&v[i]->gate.waiters))
			gate_squeeze(s, &v[i]->gate);
	for (uint8_t i = 0; i < e->ncharged; i++)
		if (!list_empty(&e->charged[i]->gate.waiters))
			gate_squeeze(s, &e->charged[i]->gate);
}

/* ---- after a change of limits ---- */

/* Each session counts in what its queue's limits are now; then those that are too many are closed.
 * Until that is done nothing is handed out: a limit that is new must not start from nought. */
void sessions_rebind_start(struct sched *s)
{
	s->rebind = s->sessions.next;
	s->rebind_enforce = false;
}

static struct path *path_of(struct sched *s, const struct session *e)
{
	struct queue *q = e->queue;

	if (!q || !q->site || q->site != e->lane->site || !flow_for(s, q) ||
	    !flow_open(s, q->flow, q))
		return NULL;
	for (uint8_t i = 0; i < q->flow->npaths; i++)
		if (q->flow->paths[i].lane == e->lane && q->flow->paths[i].set)
			return &q->flow->paths[i];
	return NULL;
}

static void rebind(struct sched *s, struct session *e)
{
	struct limits_room all;
	struct path *p;

	if (e->state == SESSION_CLOSING)
		return;
	if (e->queue && e->queue->epoch != s->epoch)
		queue_place(s, e->queue);
	p = path_of(s, e);
	if (!p)
		return;
	limits_begin(&all);
	limits_copy(&all, &p->limits);
	queue_own_limits(s, p, e->queue, NULL, &all);
	charge(s, e, &all.l);
	e->flow = p->flow->id;
	e->epoch = s->epoch;
	e->own_limits = all.l.nconn > p->limits.nconn;
	limits_clear(s, &all.l);
}

static bool too_many(const struct counter *c)
{
	return c->limited && c->used - c->closing > c->limit;
}

static void enforce(struct sched *s, struct session *e)
{
	struct path *p = e->state == SESSION_CLOSING ? NULL : path_of(s, e);
	bool over = false;

	for (uint8_t i = 0; p && i < p->limits.nconn; i++)
		over |= too_many(p->limits.conn[i]);
	for (uint8_t i = 0; i < e->ncharged; i++)
		over |= too_many(e->charged[i]);
	if (over)
		session_close(s, e);
}

/* The limits of one lane have changed: its sessions, at once. */
void sessions_rebind_lane(struct sched *s, struct lane *a)
{
	for (struct link *l = a->sessions.next; l != &a->sessions; l = l->next)
		rebind(s, LIST_OF(l, struct session, on_lane));
	for (struct link *l = a->sessions.next; l != &a->sessions; l = l->next)
		enforce(s, LIST_OF(l, struct session, on_lane));
}

bool sessions_rebind(struct sched *s)
{
	while (s->rebind && s->budget > 0) {
		struct link *l = s->rebind;

		if (l == &s->sessions) {
			s->rebind = s->rebind_enforce ? NULL : s->sessions.next;
			s->rebind_enforce = true;
			continue;
		}
		s->rebind = l->next;
		s->budget--;
		if (s->rebind_enforce)
			enforce(s, LIST_OF(l, struct session, all));
		else
			rebind(s, LIST_OF(l, struct session, all));
	}
	return !s->rebind;
}
