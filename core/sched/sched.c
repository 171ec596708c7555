/* The scheduler as a whole: its life, its tick, its configuration, its totals. */
#include "core/sched/override.h"
#include "core/sched/warmup.h"

#include <stdlib.h>

/* What a tick does at most, in hand-outs or their like: about a millisecond. */
enum {
	TICK_BUDGET = 300,
	WALK_STEP = 96,
	UPKEEP_STEP = 64,
	TRAFFIC_A_SECOND = 20000,
	TRAFFIC_STEP = 500,
	SWEEP_STEP = 32
};
#define TIMER_TICK_US (10 * US_PER_MS)

static void init_tables(struct sched *s)
{
	table_init(&s->msgs, msg_hash);
	table_init(&s->queues, queue_hash);
	table_init(&s->domains, domain_hash);
	table_init(&s->sites, site_hash);
	table_init(&s->hosts, hosts_hash);
	table_init(&s->mxsets, mxset_hash);
	table_init(&s->flows, flow_hash);
	table_init(&s->lanes, lane_hash);
	table_init(&s->bundles, bundle_hash);
	table_init(&s->bands, band_hash);
	table_init(&s->counters, counter_hash);
	table_init(&s->names, name_hash);
	table_init(&s->jobs, job_hash);
	table_init(&s->reports, report_hash);
	table_init(&s->restored, restored_hash);
	table_init(&s->warms, warm_hash);
	table_init(&s->keyrests, keyrest_hash);
}

static void init_lists(struct sched *s)
{
	struct link *heads[] = { &s->kept,    &s->modes,       &s->overrides,	&s->live,
				 &s->alarms,  &s->commands,    &s->cursors,	&s->opened,
				 &s->squeeze, &s->run,	       &s->work,	&s->line,
				 &s->failed,  &s->host_routes, &s->later,	&s->sessions,
				 &s->idle,    &s->bodies,      &s->report_line, &s->active,
				 &s->dirty,   &s->gone };

	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
		list_init(heads[i]);
	idmap_init(&s->by_session);
	idmap_init(&s->by_flight);
	idmap_init(&s->by_lookup);
	heap_init(&s->gates);
	gate_init(&s->slots, GATE_SLOTS);
}

static void init_pools(struct sched *s)
{
	pool_init(&s->queue_pool, "queue", sizeof(struct queue));
	pool_init(&s->more_pool, "queue more", sizeof(struct queue_more));
	pool_init(&s->domain_pool, "domain", sizeof(struct domain));
	pool_init(&s->site_pool, "site", sizeof(struct site));
	pool_init(&s->hosts_pool, "hosts", sizeof(struct hosts));
	pool_init(&s->flow_pool, "flow", sizeof(struct flow));
	pool_init(&s->lane_pool, "lane", sizeof(struct lane));
	pool_init(&s->bundle_pool, "bundle", sizeof(struct bundle));
	pool_init(&s->band_pool, "band", sizeof(struct band));
	pool_init(&s->sub_pool, "sub-band", sizeof(struct sub));
	pool_init(&s->counter_pool, "counter", offsetof(struct counter, bucket));
	pool_init(&s->rate_pool, "rate", sizeof(struct counter));
	pool_init(&s->job_pool, "job", sizeof(struct job));
	pool_init(&s->session_pool, "session", sizeof(struct session));
	pool_init(&s->flight_pool, "flight", sizeof(struct flight));
	pool_init(&s->body_pool, "body", sizeof(struct held_body));
	pool_init(&s->traffic_pool, "traffic", traffic_bytes());
	pool_init(&s->tally_pool, "tally", sizeof(struct tally));
	pool_init(&s->gone_pool, "gone row", sizeof(struct gone_row));
	for (size_t i = 0; i < MSG_POOLS; i++)
		pool_init(&s->msg_pools[i], "message", i * MSG_POOL_STEP);
}

struct sched *sched_new(const struct sched_opts *o, us_t now)
{
	struct sched *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->magic = SCHED_MAGIC;
	s->opts = *o;
	s->now = now;
	s->epoch = 1;
	s->next_override = 1;
	rng_seed(&s->rng, o->seed);
	init_tables(s);
	init_lists(s);
	init_pools(s);
	wheel_init(&s->timers, TIMER_TICK_US, now);
	s->io = calloc((size_t)o->io_threads, sizeof *s->io);
	s->total = counter_get(
	    s, &(struct counter_id){ LIMIT_CONNECTIONS, SCOPE_TOTAL, COUNT_ALL, 0, 0, 0 });
	if (s->io && s->total)
		return s;
	sched_free(s);
	return NULL;
}

static void free_tables(struct sched *s)
{
	struct table *v[] = { &s->msgs,	    &s->queues,	 &s->domains, &s->sites,   &s->hosts,
			      &s->mxsets,   &s->flows,	 &s->lanes,   &s->bundles, &s->bands,
			      &s->counters, &s->names,	 &s->jobs,    &s->reports, &s->restored,
			      &s->warms,    &s->keyrests };

	for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
		table_free(v[i]);
}

static void free_pools(struct sched *s)
{
	struct pool *v[] = { &s->queue_pool,   &s->more_pool,	 &s->domain_pool,  &s->site_pool,
			     &s->hosts_pool,   &s->flow_pool,	 &s->lane_pool,	   &s->bundle_pool,
			     &s->band_pool,    &s->sub_pool,	 &s->counter_pool, &s->rate_pool,
			     &s->job_pool,     &s->session_pool, &s->flight_pool,  &s->body_pool,
			     &s->traffic_pool, &s->tally_pool,	 &s->gone_pool };

	for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
		pool_free(v[i]);
	for (size_t i = 0; i < MSG_POOLS; i++)
		pool_free(&s->msg_pools[i]);
}

void sched_free(struct sched *s)
{
	if (!s)
		return;
	OBJ_CHECK(s, SCHED_MAGIC);
	teardown(s);
	actions_free(s);
	heap_free(&s->gates);
	free_tables(s);
	free_pools(s);
	idmap_free(&s->by_session);
	idmap_free(&s->by_flight);
	idmap_free(&s->by_lookup);
	caches_free(s);
	free(s->bad);
	free(s->io);
	s->magic = 0;
	free(s);
}

/* ---- configuration ---- */

static void old_cache_keep(struct sched *s)
{
	struct settings_cache **more;

	if (!s->cache)
		return;
	more = realloc(s->old_caches, (size_t)(s->nold_caches + 1) * sizeof *more);
	if (!more)
		return; /* leaked rather than freed under those that point into it */
	s->old_caches = more;
	s->old_caches[s->nold_caches++] = s->cache;
}

/* Every queue and flow has been resolved anew: nothing points into older settings. */
static void old_caches_drop(struct sched *s)
{
	for (int i = 0; i < s->nold_caches; i++)
		settings_cache_free(s->old_caches[i]);
	free(s->old_caches);
	s->old_caches = NULL;
	s->nold_caches = 0;
}

void caches_free(struct sched *s)
{
	old_caches_drop(s);
	settings_cache_free(s->cache);
	conf_unref(s->conf);
}

void epoch_raise(struct sched *s)
{
	s->epoch++;
	s->walking = true;
	s->walk = 0;
}

void sched_conf(struct sched *s, us_t now, struct conf *c)
{
	struct settings_cache *cache = settings_cache_new(c);

	OBJ_CHECK(s, SCHED_MAGIC);
	s->now = now;
	if (!cache)
		return;
	old_cache_keep(s);
	conf_unref(s->conf);
	s->conf = conf_ref(c);
	s->cache = cache;
	s->conf_gen++;
	limits_of_total(s);
	sources_update(s);
	routes_update(s);
	warm_conf(s);
	epoch_raise(s);
	sessions_rebind_start(s);
	conf_recall(s);
}

/* What binds them may be another limit now. */
static void lanes_all_dirty(struct sched *s)
{
	for (size_t i = 0; i < s->lanes.buckets; i++)
		for (struct table_link *l = table_at(&s->lanes, i); l; l = l->next)
			row_dirty(s, &TABLE_OF(l, struct lane)->row);
}

/* ---- the walk over all queues after a change, and upkeep ---- */

static void walk(struct sched *s)
{
	int n = WALK_STEP;

	while (s->walking && n > 0 && s->budget > 0) {
		struct table_link *l = table_at(&s->queues, s->walk), *next;

		for (; l; l = next) {
			struct queue *q = TABLE_OF(l, struct queue);

			next = l->next;
			n--;
			if (q->epoch != s->epoch)
				queue_place(s, q);
			s->budget--;
		}
		if (++s->walk < s->queues.buckets)
			continue;
		s->walking = false;
		old_caches_drop(s);
		alarms_routes(s);
		lanes_all_dirty(s);
	}
}

/* Queues that have been empty for long, and what nobody counts in, are forgotten; a few buckets at
 * a time. */
static void upkeep(struct sched *s)
{
	for (int i = 0; i < UPKEEP_STEP; i++) {
		struct table_link *l, *next;

		if (s->upkeep >= s->queues.buckets)
			s->upkeep = 0;
		for (l = table_at(&s->queues, s->upkeep++); l; l = next) {
			next = l->next;
			queue_upkeep(s, TABLE_OF(l, struct queue));
		}
		if (s->sweep >= s->counters.buckets)
			s->sweep = 0;
		for (l = table_at(&s->counters, s->sweep++); l; l = next) {
			next = l->next;
			counter_sweep(s, TABLE_OF(l, struct counter));
		}
		if (s->lane_walk >= s->lanes.buckets)
			s->lane_walk = 0;
		for (l = table_at(&s->lanes, s->lane_walk++); l; l = next) {
			next = l->next;
			lane_settle(s, TABLE_OF(l, struct lane));
		}
		if (s->job_walk >= s->jobs.buckets)
			s->job_walk = 0;
		for (l = table_at(&s->jobs, s->job_walk++); l; l = next) {
			next = l->next;
			job_upkeep(s, TABLE_OF(l, struct job));
		}
	}
}

static void each_second(struct sched *s)
{
	struct link *l;

	if (s->now < s->second_at)
		return;
	s->second_at = s->now + US_PER_S / 10;
	while ((l = list_pop(&s->later)))
		flow_ready(s, LIST_OF(l, struct flow, later));
	hosts_second(s);
	traffic_second(s, TRAFFIC_STEP);
	overrides_second(s);
	modes_second(s);
	warm_second(s);
	upkeep(s);
}

/* ---- tick ---- */

static us_t next_call(struct sched *s, us_t reports)
{
	us_t next = s->second_at, t;
	struct heap_node *n = heap_top(&s->gates);

	if (s->budget <= 0 || !list_empty(&s->work) || !list_empty(&s->opened) ||
	    !list_empty(&s->squeeze) || s->rebind || commands_busy(s) || s->walking)
		return s->now;
	if (!list_empty(&s->run) && !s->hold)
		return s->now;
	if (n && n->key < next)
		next = n->key;
	t = wheel_next(&s->timers);
	if (t < next)
		next = t;
	if (reports < next)
		next = reports;
	return next > s->now ? next : s->now;
}

us_t sched_tick(struct sched *s, us_t now)
{
	us_t reports;

	OBJ_CHECK(s, SCHED_MAGIC);
	s->now = now;
	s->budget = TICK_BUDGET;
	gates_tick(s);
	queues_tick(s);
	queues_work(s);
	walk(s);
	commands_work(s);
	if (sessions_rebind(s) && !s->hold)
		sites_run(s);
	gates_tick(s);
	gates_squeeze(s);
	hosts_tick(s);
	bodies_tick(s);
	reports = dsn_tick(s);
	each_second(s);
	return next_call(s, reports);
}

/* Nothing more is handed out: whoever is idle need not wait for its time-out. */
static void close_idle(struct sched *s)
{
	struct link *next;

	for (struct link *l = s->idle.next; l != &s->idle; l = next) {
		next = l->next;
		session_close(s, LIST_OF(l, struct session, idle));
	}
}

void sched_hold(struct sched *s, us_t now, enum sched_hold what, bool on)
{
	unsigned before = s->hold;

	s->now = now;
	if (on)
		s->hold |= what;
	else
		s->hold &= ~(unsigned)what;
	if (s->hold & HOLD_SHUTDOWN)
		close_idle(s);
	if (!on || s->hold != before) /* what is only said again changes no row */
		rows_all_dirty(s);
}

bool sched_held(const struct sched *s, enum sched_hold what)
{
	return (s->hold & what) != 0;
}

/* ---- start and totals ---- */

void sched_start(struct sched *s, us_t now, const struct sched_totals *t, uint64_t loading)
{
	s->now = now;
	s->totals = *t;
	s->totals.loading = loading;
	s->loading = true;
}

void sched_load_done(struct sched *s, us_t now)
{
	s->now = now;
	s->loading = false;
	s->totals.loading = 0;
}

size_t sched_memory(const struct sched *s)
{
	const struct pool *pools[] = { &s->queue_pool, &s->more_pool,	 &s->domain_pool,
				       &s->site_pool,  &s->hosts_pool,	 &s->flow_pool,
				       &s->lane_pool,  &s->bundle_pool,	 &s->band_pool,
				       &s->sub_pool,   &s->counter_pool, &s->rate_pool,
				       &s->job_pool,   &s->session_pool, &s->flight_pool,
				       &s->body_pool,  &s->traffic_pool, &s->tally_pool,
				       &s->gone_pool };
	const struct table *tables[] = { &s->msgs,    &s->queues,  &s->domains,	 &s->sites,
					 &s->hosts,   &s->mxsets,  &s->flows,	 &s->lanes,
					 &s->bundles, &s->bands,   &s->counters, &s->names,
					 &s->jobs,    &s->reports, &s->restored, &s->warms };
	size_t n = sizeof *s + s->other_bytes;

	for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++)
		n += pool_bytes(pools[i]);
	for (size_t i = 0; i < MSG_POOLS; i++)
		n += pool_bytes(&s->msg_pools[i]);
	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
		n += table_bytes(tables[i]);
	return n;
}

void sched_totals(struct sched *s, us_t now, struct sched_totals *out)
{
	s->now = now;
	*out = s->totals;
	out->out_rate = tally_rate(&s->out, now);
	out->in_rate = tally_rate(&s->in, now);
	out->connections = s->nsessions;
	out->connection_limit = s->total->limited ? (uint32_t)s->total->limit : 0;
	out->memory_bytes = sched_memory(s);
	out->draining = s->draining;
}
