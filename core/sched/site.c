/* Sites and lanes: what receivers are, and what they judge. */
#include "core/sched/inner.h"
#include "core/sched/warmup.h"

enum { BEST_HOSTS = 16 };

/* ---- sites ---- */

static uint64_t site_key(struct str name, bool is_provider)
{
	return hash_bytes(name.p, name.n) + is_provider;
}

uint64_t site_hash(const struct table_link *l)
{
	const struct site *t = (const struct site *)(const void *)l;

	return site_key(rstr_str(t->name), t->is_provider);
}

struct site *site_find(struct sched *s, struct str name, bool is_provider)
{
	struct table_link *l = table_bucket(&s->sites, site_key(name, is_provider));

	for (; l; l = l->next) {
		struct site *t = TABLE_OF(l, struct site);

		if (t->is_provider == is_provider && str_eq(rstr_str(t->name), name))
			return t;
	}
	return NULL;
}

static struct site *site_get(struct sched *s, struct str name, int provider)
{
	struct site *t = site_find(s, name, provider != CONF_NONE);

	if (t) {
		t->provider = (int16_t)provider;
		return t;
	}
	t = pool_get(&s->site_pool);
	if (!t)
		return NULL;
	t->is_provider = provider != CONF_NONE;
	t->provider = (int16_t)provider;
	t->name = rstr_new(name);
	list_init(&t->flows);
	list_init(&t->lanes);
	list_init(&t->queues);
	if (!t->name || !table_add(&s->sites, &t->link)) {
		rstr_unref(t->name);
		pool_put(&s->site_pool, t);
		return NULL;
	}
	s->other_bytes += sizeof *t->name + name.n + 1;
	row_init(s, &t->row, ROW_SITE);
	return t;
}

struct site *site_for(struct sched *s, const struct mxset *mx, struct str domain)
{
	struct str best[BEST_HOSTS];
	int n = mxset_best(mx, best, BEST_HOSTS);
	int provider;

	if (!n)
		return NULL;
	provider = conf_provider_for(s->conf, domain, best, n);
	if (provider != CONF_NONE)
		return site_get(s, str_of(s->conf->providers[provider].name), provider);
	return site_get(s, best[0], CONF_NONE);
}

/* Frees a site to which nothing refers any more. */
void site_settle(struct sched *s, struct site *t)
{
	if (t->busy || !list_empty(&t->queues) || !list_empty(&t->flows) || !list_empty(&t->lanes))
		return;
	list_del(&t->run);
	row_gone(s, &t->row);
	table_del(&s->sites, &t->link);
	tally_free(s, t->tally);
	counter_unref(s, t->conn);
	s->other_bytes -= sizeof *t->name + t->name->len + 1;
	rstr_unref(t->name);
	pool_put(&s->site_pool, t);
}

void site_run_later(struct sched *s, struct site *t)
{
	if (!list_in(&t->run))
		list_add(&s->run, &t->run);
}

/* ---- lanes ---- */

static uint64_t lane_key(const struct site *t, const struct source *src)
{
	return table_mix(t->row.id * 0x9E3779B97F4A7C15u + src->row.id);
}

uint64_t lane_hash(const struct table_link *l)
{
	const struct lane *a = (const struct lane *)(const void *)l;

	return lane_key(a->site, a->source);
}

struct lane *lane_find(struct sched *s, const struct site *t, const struct source *src)
{
	struct table_link *l = table_bucket(&s->lanes, lane_key(t, src));

	for (; l; l = l->next) {
		struct lane *a = TABLE_OF(l, struct lane);

		if (a->site == t && a->source == src)
			return a;
	}
	return NULL;
}

static struct counter *site_conn(struct sched *s, struct site *t)
{
	if (!t->conn)
		t->conn = counter_get(s, &(struct counter_id){ LIMIT_CONNECTIONS, SCOPE_PROVIDER,
							       COUNT_ALL, t->row.id, 0, 0 });
	return t->conn;
}

static struct lane *lane_new(struct sched *s, struct site *t, struct source *src)
{
	struct lane *a = pool_get(&s->lane_pool);

	if (!a)
		return NULL;
	a->site = t;
	a->source = src;
	list_init(&a->paths);
	list_init(&a->sessions);
	gate_init(&a->rest, GATE_REST);
	a->name = rstr_newf("%s@%s", t->name->text, src->name->text);
	a->conn = counter_get(s, &(struct counter_id){ LIMIT_CONNECTIONS, SCOPE_LANE, COUNT_ALL,
						       t->row.id, src->row.id, 0 });
	if (!a->name || !a->conn || !site_conn(s, t) || !table_add(&s->lanes, &a->link)) {
		rstr_unref(a->name);
		counter_unref(s, a->conn);
		pool_put(&s->lane_pool, a);
		return NULL;
	}
	list_add(&t->lanes, &a->on_site);
	src->nlanes++;
	row_init(s, &a->row, ROW_LANE);
	state_lane_restore(s, a);
	state_mode_restore(s, a);
	return a;
}

struct lane *lane_get(struct sched *s, struct site *t, struct source *src)
{
	struct lane *a = lane_find(s, t, src);

	return a ? a : lane_new(s, t, src);
}

/* A lane exists while something goes through it or something is known of it. */
void lane_settle(struct sched *s, struct lane *a)
{
	struct site *t = a->site;

	if (!list_empty(&a->paths) || !list_empty(&a->sessions) || a->rest_kind != REST_NONE ||
	    a->mode)
		return;
	if (warm_keeps(a))
		return;
	if (a->tally && (a->tally->window || a->tally->last_reply_at + LANE_KEEP_US > s->now))
		return;
	gate_free(s, &a->rest);
	a->source->nlanes--;
	list_del(&a->on_site);
	row_gone(s, &a->row);
	table_del(&s->lanes, &a->link);
	tally_free(s, a->tally);
	counter_unref(s, a->conn);
	rstr_unref(a->name);
	rstr_unref(a->rest_reason);
	pool_put(&s->lane_pool, a);
	site_settle(s, t);
}
