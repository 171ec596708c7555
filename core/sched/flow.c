/* Flows and their paths: which queue's turn it is, and through which virtual MTA it goes. */
#include "core/sched/inner.h"

#include <stdlib.h>

enum { LOWER_EVERY = 20, SKIP_MOST = 32, STOPPED_MOST = 1024, STOPPED_COST = 64, RUN_BATCH = 16 };
/* How long a recipient waits for the virtual MTA that it was deferred at (DESIGN.md). */
#define PREFER_US	 (5 * US_PER_MIN)
#define CONNECT_AHEAD_US (US_PER_S / 10)

/* ---- flows ---- */

static uint64_t flow_mix(const struct site *t, const struct route *r, uint64_t key)
{
	return table_mix(t->row.id ^ r->id * 0x9E3779B97F4A7C15u ^ key);
}

uint64_t flow_hash(const struct table_link *l)
{
	const struct flow *f = (const struct flow *)(const void *)l;

	return flow_mix(f->site, f->route, f->key);
}

static const struct settings *settings_at(struct sched *s, const struct queue *q,
					  const struct member *m)
{
	return settings_get(s->cache, rstr_str(q->domain->name), q->site->provider, q->route->pool,
			    m->source->vmta);
}

/* Equal for queues of a route and site that have the same settings at each of its virtual MTAs. */
static uint64_t settings_key(struct sched *s, const struct queue *q)
{
	uint64_t key = s->conf_gen;

	for (int i = 0; i < q->route->nmembers; i++)
		key =
		    table_mix(key ^ (uint64_t)(uintptr_t)settings_at(s, q, &q->route->members[i]));
	return key;
}

static struct flow *flow_new(struct sched *s, struct queue *q, uint64_t key)
{
	struct flow *f = pool_get(&s->flow_pool);

	if (!f)
		return NULL;
	f->id = ++s->next_id;
	f->site = q->site;
	f->route = q->route;
	f->key = key;
	f->conf = s->conf_gen;
	f->priority = (uint8_t)q->set->queue_priority;
	f->wait.type = WAIT_FLOW;
	if (!table_add(&s->flows, &f->link)) {
		pool_put(&s->flow_pool, f);
		return NULL;
	}
	list_add(&q->site->flows, &f->on_site);
	return f;
}

bool flow_for(struct sched *s, struct queue *q)
{
	uint64_t key;
	struct table_link *l;

	if (q->flow)
		return true;
	key = settings_key(s, q);
	l = table_bucket(&s->flows, flow_mix(q->site, q->route, key));
	for (; l && !q->flow; l = l->next) {
		struct flow *f = TABLE_OF(l, struct flow);

		if (f->site == q->site && f->route == q->route && f->key == key)
			q->flow = f;
	}
	if (!q->flow)
		q->flow = flow_new(s, q, key);
	if (q->flow)
		q->flow->users++;
	return q->flow != NULL;
}

static void close_paths(struct sched *s, struct flow *f)
{
	struct path *paths = f->paths;
	uint8_t n = f->npaths;

	f->paths = NULL;
	f->npaths = 0;
	for (uint8_t i = 0; i < n; i++) {
		struct path *p = &paths[i];

		gate_leave(&p->wait);
		list_del(&p->on_lane);
		limits_clear(s, &p->limits);
		limits_thaw(s, &p->limits);
		if (p->lane)
			lane_settle(s, p->lane);
	}
	s->other_bytes -= n * sizeof *paths;
	free(paths);
}

void flow_put(struct sched *s, struct queue *q)
{
	struct flow *f = q->flow;
	struct site *t;

	q->flow = NULL;
	if (!f || --f->users)
		return;
	t = f->site;
	t->busy++;
	gate_leave(&f->wait);
	list_del(&f->later);
	close_paths(s, f);
	list_del(&f->on_site);
	table_del(&s->flows, &f->link);
	pool_put(&s->flow_pool, f);
	t->busy--;
	site_settle(s, t);
}

/* No queue of it has ready mail: it no longer stands in anybody's way at a gate. */
void flow_idle(struct sched *s, struct flow *f)
{
	gate_leave(&f->wait);
	for (uint8_t i = 0; i < f->npaths; i++)
		if (f->paths[i].wait.at && f->paths[i].wait.at->type != GATE_REST) {
			gate_open(s, f->paths[i].wait.at);
			gate_leave(&f->paths[i].wait);
		}
}

static bool path_is_open(const struct path *p)
{
	return !p->wait.at && !p->shut && !p->connecting;
}

void flow_ready(struct sched *s, struct flow *f)
{
	if (f->wait.at)
		return;
	for (uint8_t i = 0; i < f->npaths; i++)
		if (path_is_open(&f->paths[i]))
			f->runnable = true;
	if (!f->paths || f->epoch != s->epoch)
		f->runnable = true;
	if (f->runnable)
		site_run_later(s, f->site);
}

void flow_look_again(struct sched *s, struct flow *f)
{
	if (!list_in(&f->later))
		list_add(&s->later, &f->later);
}

void flow_woken(struct sched *s, struct flow *f)
{
	flow_ready(s, f);
}

void path_woken(struct sched *s, struct path *p)
{
	if (p->flow->nring)
		flow_ready(s, p->flow);
}

/* ---- paths ---- */

static bool path_init(struct sched *s, struct path *p, const struct queue *q,
		      const struct member *m)
{
	p->source = m->source;
	p->weight = m->weight;
	p->cold = m->cold;
	p->wait.type = WAIT_PATH;
	if (!source_usable(m->source)) {
		p->shut = WHY_NO_SOURCE;
		return true;
	}
	p->set = settings_at(s, q, m);
	p->lane = p->set ? lane_get(s, q->site, m->source) : NULL;
	if (!p->lane)
		return false;
	list_add(&p->lane->paths, &p->on_lane);
	p->stop = override_stop_of_path(s, p);
	if (p->stop)
		p->shut = WHY_PAUSED;
	return path_limits(s, p);
}

/* Paths are made when there is something to send and the total has room: a hundred thousand flows
 * that wait for the total cost little memory. False: later. */
bool flow_open(struct sched *s, struct flow *f, const struct queue *q)
{
	int n = f->route->nmembers;
	struct path *paths;

	if (f->paths && f->epoch == s->epoch)
		return true;
	close_paths(s, f);
	paths = n ? calloc((size_t)n, sizeof *paths) : NULL;
	if (!paths)
		return false;
	f->paths = paths;
	f->npaths = (uint8_t)n;
	s->other_bytes += (size_t)n * sizeof *paths;
	f->epoch = s->epoch;
	for (int i = 0; i < n; i++) {
		paths[i].flow = f;
		if (!path_init(s, &paths[i], q, &f->route->members[i]))
			paths[i].shut = WHY_MEMORY;
	}
	return true;
}

static bool path_wait(struct sched *s, struct path *p, struct gate *g)
{
	gate_wait(s, g, &p->wait);
	return false;
}

/* A lane that rests takes nothing; when the rest is over, one session tries. */
static bool rest_allows(struct sched *s, struct path *p)
{
	const struct lane *a = p->lane;

	if (a->rest_kind == REST_NONE)
		return true;
	return s->now >= a->resting_until && !a->probe;
}

/* Has the path itself room for one more recipient? If not it waits where there is none. */
static bool path_open(struct sched *s, struct path *p)
{
	struct counter *full;

	if (!path_is_open(p))
		return false;
	if (!rest_allows(s, p))
		return path_wait(s, p, &p->lane->rest);
	full = limits_full(p->limits.rate, p->limits.nrate, s->now);
	return full ? path_wait(s, p, &full->gate) : true;
}

/* Can a recipient that prefers this path wait for it? */
bool path_soon(const struct sched *s, const struct path *p, uint32_t since_s)
{
	const struct gate *g = p->wait.at;

	if (p->shut || s->now - (us_t)since_s * US_PER_S > PREFER_US)
		return false;
	if (p->lane->rest_kind != REST_NONE)
		return p->lane->resting_until <= s->now + PREFER_US;
	if (!g || g->type != GATE_COUNTER)
		return true;
	return gate_when(g, s->now) <= s->now + PREFER_US;
}

/* Under a rate a new connection must wait for its permit when it is up. So many connect at once as
 * the rate has tokens in a tenth of a second: enough to reach the rate soon, and never a crowd that
 * waits. */
static bool may_connect(struct path *p, const struct limits *own)
{
	const struct limits *sets[] = { &p->limits, own };

	for (size_t k = 0; k < 2; k++)
		for (uint8_t i = 0; i < sets[k]->nrate; i++) {
			int64_t step = sets[k]->rate[i]->bucket.step_ns;
			int64_t most = step ? CONNECT_AHEAD_US * 1000 / step : 1;

			if (p->lane->opening >= (uint64_t)(most < 1 ? 1 : most)) {
				p->connecting = true;
				return false;
			}
		}
	return true;
}

/* The lane's next connection may be promised to mail that has none. */
static bool is_free(struct sched *s, struct path *p, const struct queue *q)
{
	struct gate *g = p->limits.nconn ? &p->limits.conn[0]->gate : NULL;
	us_t until;

	if (!g ||
	    !handover_promised(p->lane, q->hosts->mx->key, p->set->session_key, s->now, &until))
		return true;
	path_wait(s, p, g);
	if (until != US_NEVER)
		gate_timer(s, g, until);
	return false;
}

/* A session for this queue through this path: an idle one, a new one, or one that can hold a second
 * transaction. */
static bool find_session(struct sched *s, struct path *p, struct queue *q, const struct limits *own,
			 struct choice *c)
{
	struct bundle *b = bundle_find(s, p->lane, q->hosts->mx->key, p->set->session_key);
	struct counter *full;

	c->session = b ? session_idle(b) : NULL;
	if (c->session)
		return session_moves(s, c->session, p, own, c);
	if (!may_connect(p, own) || !is_free(s, p, q))
		return false;
	full = limits_full(p->limits.connect, p->limits.nconnect, s->now);
	if (!full)
		full = limits_full(p->limits.conn, p->limits.nconn, s->now);
	if (full || !slots_free(s)) {
		c->session = b && !p->limits.nrate && !own->nrate ? session_ahead(b) : NULL;
		if (c->session)
			return true;
		if (full && full->kind == LIMIT_CONNECTIONS)
			gate_squeeze(s, &full->gate);
		return path_wait(s, p, full ? &full->gate : &s->slots);
	}
	full = limits_full(own->connect, own->nconnect, s->now);
	if (!full)
		full = limits_full(own->conn, own->nconn, s->now);
	if (!full)
		return true;
	c->session = b && !p->limits.nrate && !own->nrate ? session_ahead(b) : NULL;
	if (!c->session)
		c->full = full;
	return c->session != NULL;
}

static void hold(struct choice *c, struct key_rest *r)
{
	if (r && (!c->held || r->until < c->held->until))
		c->held = r;
}

/* Everything that this queue and job need through this path. c->full: the queue's own limit that
 * has no room. */
static bool path_takes(struct sched *s, struct path *p, struct queue *q, const struct job *j,
		       struct choice *c)
{
	struct limits_room own;
	struct key_rest *held;
	bool ok = false;

	if (!path_open(s, p))
		return false;
	held = keyrest_holds(s, p->lane, q, p->set);
	if (held) {
		hold(c, held);
		return false;
	}
	limits_begin(&own);
	queue_own_limits(s, p, q, j, &own);
	c->full = limits_full(own.l.rate, own.l.nrate, s->now);
	if (!c->full)
		ok = find_session(s, p, q, &own.l, c);
	limits_clear(s, &own.l);
	c->path = p;
	return ok;
}

static bool warm_connecting(const struct flow *f)
{
	for (uint8_t i = 0; i < f->npaths; i++)
		if (!f->paths[i].cold && f->paths[i].connecting)
			return true;
	return false;
}

/* Smooth weighted round robin over the paths that have room; cold ones only when no other has. */
static bool pick_by_weight(struct sched *s, struct flow *f, struct queue *q, const struct job *j,
			   struct choice *c)
{
	struct choice best = { 0 };
	int total = 0;

	for (int cold = 0; cold <= 1 && !best.path; cold++) {
		/* What is just connecting has room: it only has to come up. */
		if (cold && warm_connecting(f))
			return false;
		for (uint8_t i = 0; i < f->npaths; i++) {
			struct path *p = &f->paths[i];
			struct choice one = { 0 };

			if (p->cold != cold)
				continue;
			if (!path_takes(s, p, q, j, &one)) {
				if (one.full)
					c->full = one.full;
				hold(c, one.held);
				continue;
			}
			p->current += p->weight;
			total += p->weight;
			if (!best.path || p->current > best.path->current)
				best = one;
		}
	}
	if (!best.path)
		return false;
	best.path->current -= total;
	c->path = best.path;
	c->session = best.session;
	c->full = NULL;
	return true;
}

static struct path *preferred(struct sched *s, struct flow *f, uint16_t prefer)
{
	for (uint8_t i = 0; i < f->npaths; i++)
		if (f->paths[i].source == s->sources[prefer - 1])
			return &f->paths[i];
	return NULL;
}

static bool pick_path(struct sched *s, struct flow *f, struct queue *q, struct sub *u,
		      struct choice *c)
{
	const struct job *j = u->band->job;
	struct path *p = u->prefer ? preferred(s, f, u->prefer) : NULL;

	if (p && path_takes(s, p, q, j, c))
		return true;
	if (p && !c->full && path_soon(s, p, u->since_s)) {
		c->later = true;
		return false;
	}
	return pick_by_weight(s, f, q, j, c);
}

static bool pick_in_band(struct sched *s, struct flow *f, struct queue *q, struct band *b,
			 struct choice *c)
{
	for (struct sub *u = &b->sub; u; u = u->next) {
		c->sub = u;
		if (u->n && pick_path(s, f, q, u, c))
			return true;
	}
	return false;
}

/* Jobs that are stopped don't use up the tries of those that could go. Where there are too many of
 * them for one look, the next one begins behind them. */
static bool pick_in_level(struct sched *s, struct flow *f, struct queue *q, struct band *level,
			  int *tries, struct choice *c)
{
	struct band *b = level;
	int stopped = 0;
	bool found = false;

	do {
		if (job_stopped(s, b->job)) {
			if (++stopped > STOPPED_MOST) {
				band_turn(q, b);
				break;
			}
		} else {
			if ((*tries)-- <= 0)
				break;
			found = pick_in_band(s, f, q, b, c);
		}
		b = b->next;
	} while (!found && b != level && !flow_shut(f));
	s->budget -= stopped / STOPPED_COST;
	return found;
}

/* The band whose turn it is, or the next that can go. */
static bool pick(struct sched *s, struct flow *f, struct queue *q, struct choice *c)
{
	struct band *turn = band_level(q);
	int tries = SKIP_MOST;

	if (turn && pick_in_level(s, f, q, turn, &tries, c))
		return true;
	for (struct band *level = q->bands; level && tries > 0; level = level->lower)
		if (level->priority != turn->priority && pick_in_level(s, f, q, level, &tries, c))
			return true;
	return false;
}

/* No path is open any more: nothing of this flow can move. */
bool flow_shut(const struct flow *f)
{
	for (uint8_t i = 0; i < f->npaths; i++)
		if (path_is_open(&f->paths[i]))
			return false;
	return true;
}

static void next_queue(struct flow *f, struct queue *q)
{
	if (f->ring == q)
		f->ring = q->ring_next;
}

/* Is it held at each of its virtual MTAs? Then no gate but these can let it go. */
static bool held_everywhere(struct sched *s, const struct flow *f, const struct queue *q)
{
	for (uint8_t i = 0; i < f->npaths; i++)
		if (!f->paths[i].shut && !keyrest_holds(s, f->paths[i].lane, q, f->paths[i].set))
			return false;
	return true;
}

/* A queue that can't move though some path is open: it waits at its own limit, or is passed over.
 */
static void pass_over(struct sched *s, struct flow *f, struct queue *q, const struct choice *c)
{
	if (c->full && !c->later) {
		queue_wait(s, q, &c->full->gate);
		return;
	}
	if (c->held && held_everywhere(s, f, q)) {
		queue_wait(s, q, &c->held->gate);
		return;
	}
	if (queue_all_stopped(s, q)) {
		queue_stop(s, q, STOP_JOBS);
		return;
	}
	next_queue(f, q);
	if (++f->passed >= f->nring) {
		f->runnable = false;
		f->passed = 0;
		flow_look_again(s, f);
	}
}

/* One transaction of the flow, if it can: true. */
static bool flow_step(struct sched *s, struct flow *f)
{
	struct queue *q = f->ring;
	struct choice c = { 0 };

	s->budget--;
	if (q->epoch != s->epoch) {
		queue_place(s, q);
		return false;
	}
	if (!f->paths && counter_room(s->total, s->now) < 1) {
		f->runnable = false;
		gate_squeeze(s, &s->total->gate);
		gate_wait(s, &s->total->gate, &f->wait);
		return false;
	}
	if (!flow_open(s, f, q)) {
		f->runnable = false;
		flow_look_again(s, f);
		return false;
	}
	if (pick(s, f, q, &c)) {
		f->passed = 0;
		next_queue(f, q);
		band_picked(q, c.sub->band);
		hand_out(s, q, &c);
		return true;
	}
	if (flow_shut(f))
		f->runnable = false;
	else
		pass_over(s, f, q, &c);
	return false;
}

/* ---- sites ---- */

static bool flow_may_run(const struct flow *f)
{
	return f->runnable && f->nring;
}

static int top_priority(const struct site *t, int below)
{
	int top = -1;

	for (const struct link *l = t->flows.next; l != &t->flows; l = l->next) {
		const struct flow *f = LIST_OF(l, const struct flow, on_site);

		if (flow_may_run(f) && f->priority < below && f->priority > top)
			top = f->priority;
	}
	return top;
}

/* Highest queue-priority first; one pick in 20 goes to the lower ones, which share it in turn. */
static int pick_priority(const struct site *t)
{
	int top = top_priority(t, INT32_MAX), lower;

	if (t->picks % LOWER_EVERY != LOWER_EVERY - 1)
		return top;
	lower = top_priority(t, t->lower_than > 0 && t->lower_than < top ? t->lower_than : top);
	if (lower < 0)
		lower = top_priority(t, top);
	return lower < 0 ? top : lower;
}

/* Among flows of one priority: in turn, by the number of their queues, so that each queue has its
 * turn. */
static struct flow *pick_flow(struct site *t, int64_t *total)
{
	int priority = pick_priority(t);
	struct flow *best = NULL;

	*total = 0;
	for (struct link *l = t->flows.next; l != &t->flows; l = l->next) {
		struct flow *f = LIST_OF(l, struct flow, on_site);

		if (!flow_may_run(f) || f->priority != priority)
			continue;
		*total += f->nring;
		if (!best || f->current + f->nring > best->current + best->nring)
			best = f;
	}
	return best;
}

/* A turn counts only when something was handed out: a flow that found no token left keeps its place
 * for the next one. */
static void turn_taken(struct site *t, struct flow *took, int64_t total)
{
	for (struct link *l = t->flows.next; l != &t->flows; l = l->next) {
		struct flow *f = LIST_OF(l, struct flow, on_site);

		if (f->nring && f->priority == took->priority)
			f->current += f->nring;
		else if (!f->nring)
			f->current = 0;
	}
	took->current -= total;
	if (t->picks++ % LOWER_EVERY == LOWER_EVERY - 1)
		t->lower_than = took->priority;
}

/* Hands out for one site until nothing moves or others should have their turn. */
static bool site_run(struct sched *s, struct site *t)
{
	for (int i = 0; i < RUN_BATCH && s->budget > 0; i++) {
		int64_t total;
		struct flow *f = pick_flow(t, &total);

		if (!f)
			return false;
		if (flow_step(s, f))
			turn_taken(t, f, total);
	}
	return true;
}

void sites_run(struct sched *s)
{
	struct link *l;

	while (s->budget > 0 && (l = list_pop(&s->run))) {
		struct site *t = LIST_OF(l, struct site, run);
		bool more;

		t->busy++;
		more = site_run(s, t);
		t->busy--;
		if (more)
			site_run_later(s, t);
		else
			site_settle(s, t);
	}
}
