/* Which limits bind what: from the settings of a path or domain, and the overrides on them, to the
 * counters that they count in (CONFIG.md, "Which settings hold, and what a limit counts"). Within
 * one row an override comes first; across rows all must have room. */
#include "core/sched/override.h"
#include "core/sched/warmup.h"

/* ---- a limit's value, wherever it comes from ---- */

struct value {
	int n;
	struct rate rate;
	const struct origin *origin;
	uint64_t by;
	bool set;
};

static enum override_kind kind_of(enum limit_kind k)
{
	return k == LIMIT_CONNECTIONS ? OVER_CONNECTIONS : OVER_RATE;
}

static bool smaller(enum limit_kind k, const struct override *o, const struct value *v)
{
	if (!v->by)
		return true;
	return k == LIMIT_CONNECTIONS ? o->connections < v->n
				      : rate_per_s(o->rate) < rate_per_s(v->rate);
}

/* An override takes the row's place; of several on different targets the smallest binds. */
static void take_place(enum limit_kind k, const struct override *o, struct value *v)
{
	if (smaller(k, o, v))
		*v = (struct value){
			.n = o->connections, .rate = o->rate, .by = o->number, .set = true
		};
}

static const struct override *next_limit(struct sched *s, struct link **at, enum limit_kind k)
{
	while ((*at = (*at)->next) != &s->live) {
		const struct override *o = LIST_OF(*at, const struct override, live);

		if (o->rules && o->kind == kind_of(k))
			return o;
	}
	return NULL;
}

/* ---- adding to a set ---- */

static void label(struct sched *s, struct counter *c, const struct path *p, const struct rstr *more)
{
	(void)s;
	c->label = rstr_newf("%d.%d.%d %s@%s%s%s", c->kind, c->scope, c->flavour,
			     c->scope == SCOPE_VMTA ? "*" : p->flow->site->name->text,
			     c->scope == SCOPE_PROVIDER ? "*" : p->source->name->text,
			     more ? " " : "", more ? more->text : "");
}

static bool add(struct sched *s, struct limits_room *l, const struct counter_id *id,
		const struct value *v, const struct path *p, const struct rstr *more)
{
	struct counter *c = counter_get(s, id);

	if (!c)
		return false;
	if (!c->label && id->kind != LIMIT_CONNECTIONS && v->rate.n &&
	    v->rate.per / v->rate.n >= RATE_SLOW_US)
		label(s, c, p, more);
	counter_limit(s, c, v->n, v->rate, v->origin, v->by);
	limits_add(s, l, c);
	return true;
}

/* A counter of an override's own: everything that its target comprises, together. */
static bool add_own(struct sched *s, struct limits_room *l, const struct path *p,
		    const struct override *o, uint64_t each, enum limit_scope scope)
{
	enum limit_kind k = o->kind == OVER_CONNECTIONS ? LIMIT_CONNECTIONS : LIMIT_MSG_RATE;
	const struct counter_id id = { (uint8_t)k, (uint8_t)scope, COUNT_OVERRIDE,
				       o->number,  each,	   0 };
	const struct value v = {
		.n = o->connections, .rate = o->rate, .by = o->number, .set = true
	};

	return add(s, l, &id, &v, p, o->text_target);
}

/* ---- total ---- */

void limits_of_total(struct sched *s)
{
	struct value v = { 0 };
	struct link *at = &s->live;
	const struct override *o;

	if (!s->conf)
		return;
	v.n = s->conf->mta.total_max_smtp_out;
	v.origin = &s->conf->mta.origin_total_max_smtp_out;
	while ((o = next_limit(s, &at, LIMIT_CONNECTIONS)))
		if (o->target.kind == TARGET_ALL && !o->each)
			take_place(LIMIT_CONNECTIONS, o, &v);
	counter_limit(s, s->total, v.n, v.rate, v.origin, v.by);
}

static bool total_limits(struct sched *s, struct path *p, struct limits_room *l)
{
	struct link *at = &s->live;
	const struct override *o;

	s->total->refs++;
	limits_add(s, l, s->total);
	while ((o = next_limit(s, &at, LIMIT_MSG_RATE)))
		if (o->target.kind == TARGET_ALL && !o->each &&
		    !add_own(s, l, p, o, 0, SCOPE_TOTAL))
			return false;
	return true;
}

/* ---- a virtual MTA over all receivers; all lanes of a site together ---- */

static bool row_of(struct sched *s, struct path *p, struct limits_room *l, enum limit_kind k,
		   enum limit_scope scope, struct value v)
{
	enum target_kind kind = scope == SCOPE_VMTA ? TARGET_VMTA : TARGET_SITE;
	uint64_t whose = scope == SCOPE_VMTA ? p->source->row.id : p->flow->site->row.id;
	const struct counter_id id = { (uint8_t)k, (uint8_t)scope, COUNT_ALL, whose, 0, 0 };
	struct link *at = &s->live;
	const struct override *o;

	while ((o = next_limit(s, &at, k))) {
		if (o->each || o->target.kind != kind ||
		    !target_has_lane(&o->target, p->flow->site, p->source))
			continue;
		if (!target_is_glob(&o->target))
			take_place(k, o, &v);
		else if (!add_own(s, l, p, o, 0, scope))
			return false;
	}
	return !v.set || add(s, l, &id, &v, p, NULL);
}

static bool source_limits(struct sched *s, struct path *p, struct limits_room *l)
{
	const struct conf_vmta *v = &s->conf->vmtas[p->source->vmta];

	return row_of(s, p, l, LIMIT_CONNECTIONS, SCOPE_VMTA,
		      (struct value){ .n = v->max_smtp_out,
				      .origin = &v->origin_max_smtp_out,
				      .set = v->max_smtp_out > 0 }) &&
	       row_of(s, p, l, LIMIT_MSG_RATE, SCOPE_VMTA,
		      (struct value){ .rate = v->max_msg_rate,
				      .origin = &v->origin_max_msg_rate,
				      .set = v->max_msg_rate.n > 0 });
}

static bool site_limits(struct sched *s, struct path *p, struct limits_room *l)
{
	static const struct conf_provider none;
	const struct site *t = p->flow->site;
	const struct conf_provider *v =
	    t->provider == CONF_NONE ? &none : &s->conf->providers[t->provider];

	return row_of(s, p, l, LIMIT_CONNECTIONS, SCOPE_PROVIDER,
		      (struct value){ .n = v->max_smtp_out,
				      .origin = &v->origin_max_smtp_out,
				      .set = v->max_smtp_out > 0 }) &&
	       row_of(s, p, l, LIMIT_MSG_RATE, SCOPE_PROVIDER,
		      (struct value){ .rate = v->max_msg_rate,
				      .origin = &v->origin_max_msg_rate,
				      .set = v->max_msg_rate.n > 0 });
}

/* ---- the lane ---- */

/* Overrides that set a limit for this one lane: on it, or "each" on what comprises it. */
static bool sets_lane(const struct override *o, const struct path *p)
{
	if (o->target.kind == TARGET_LANE && (o->each || !target_is_glob(&o->target)))
		return target_has_lane(&o->target, p->flow->site, p->source);
	return o->each && target_has_lane(&o->target, p->flow->site, p->source);
}

static bool lane_limit(struct sched *s, struct path *p, struct limits_room *l, enum limit_kind k,
		       const struct limit *row)
{
	struct counter_id id = { (uint8_t)k,	    SCOPE_LANE, COUNT_ALL, p->flow->site->row.id,
				 p->source->row.id, 0 };
	struct value v = { 0 };
	struct link *at = &s->live;
	const struct override *o;

	if (row) {
		v = (struct value){
			.n = row->n, .rate = row->rate, .origin = &row->origin, .set = true
		};
		if (!row->origin.file)
			id.flavour = COUNT_DEFAULT;
	}
	while (k != LIMIT_CONNECT_RATE && (o = next_limit(s, &at, k))) {
		if (sets_lane(o, p)) {
			take_place(k, o, &v);
			id.flavour = COUNT_ALL;
		} else if (o->target.kind == TARGET_LANE &&
			   target_has_lane(&o->target, p->flow->site, p->source) &&
			   !add_own(s, l, p, o, 0, SCOPE_LANE)) {
			return false;
		}
	}
	return !v.set || add(s, l, &id, &v, p, NULL);
}

static const struct limit *row_in(const struct settings *set, enum limit_kind k,
				  enum limit_scope scope, bool by_domain)
{
	for (int i = 0; i < set->nlimits; i++)
		if (set->limits[i].kind == k && set->limits[i].scope == scope &&
		    (scope != SCOPE_POOL || set->limits[i].by_domain == by_domain))
			return &set->limits[i];
	return NULL;
}

/* ---- adaptive throttling ---- */

static bool learned(struct sched *s, struct path *p, struct limits_room *l, enum limit_kind k)
{
	const struct counter_id id = { (uint8_t)k,	  SCOPE_LANE,
				       COUNT_LEARNED,	  p->flow->site->row.id,
				       p->source->row.id, 0 };
	struct value v = { 0 };

	if (k == LIMIT_CONNECT_RATE || !p->set->adaptive_throttling ||
	    !learned_limit(p->lane, k, &v.n, &v.rate))
		return true;
	return add(s, l, &id, &v, p, NULL);
}

/* ---- backoff mode ---- */

/* The backoff-max- twins of a row, while the lane is in backoff. */
static bool backoff_limit(struct sched *s, struct path *p, struct limits_room *l,
			  struct counter_id id, const struct limit *row, const struct rstr *more)
{
	const struct value v = { .n = row->n, .rate = row->rate, .origin = &row->origin };

	id.flavour = row->origin.file ? COUNT_BACKOFF : COUNT_BACKOFF_DEFAULT;
	return add(s, l, &id, &v, p, more);
}

static bool is_backoff_of(const struct limit *row, enum limit_kind k)
{
	return (k == LIMIT_CONNECTIONS && row->kind == LIMIT_BACKOFF_CONNECTIONS) ||
	       (k == LIMIT_MSG_RATE && row->kind == LIMIT_BACKOFF_MSG_RATE);
}

static bool backoff_limits(struct sched *s, struct path *p, struct limits_room *l)
{
	bool ok = true;

	if (!lane_in_backoff(s, p->lane))
		return true;
	for (int i = 0; i < p->set->nlimits && ok; i++) {
		const struct limit *row = &p->set->limits[i];
		struct counter_id id = {
			.kind =
			    limit_is_connections(row->kind) ? LIMIT_CONNECTIONS : LIMIT_MSG_RATE,
			.scope = (uint8_t)row->scope,
			.a = p->flow->site->row.id,
			.b = p->source->row.id,
		};

		if (row->kind < LIMIT_KINDS)
			continue;
		if (row->scope == SCOPE_DOMAIN || row->by_domain) {
			p->own_limits = true;
			continue;
		}
		if (row->scope == SCOPE_POOL)
			id.c = p->flow->route->id;
		ok = backoff_limit(s, p, l, id, row,
				   row->scope == SCOPE_POOL ? p->flow->route->name : NULL);
	}
	return ok;
}

static void backoff_of_domain(struct sched *s, struct path *p, const struct queue *q,
			      enum limit_kind k, struct limits_room *out)
{
	for (int i = 0; i < p->set->nlimits; i++) {
		const struct limit *row = &p->set->limits[i];
		struct counter_id id = { (uint8_t)k,	(uint8_t)row->scope, 0,
					 q->domain->id, p->source->row.id,   0 };

		if (!is_backoff_of(row, k) || (row->scope != SCOPE_DOMAIN && !row->by_domain))
			continue;
		if (row->scope == SCOPE_POOL)
			id.c = q->route->id;
		backoff_limit(s, p, out, id, row, q->domain->name);
	}
}

/* ---- what comes by a pool, at one virtual MTA ---- */

static bool pool_limit(struct sched *s, struct path *p, struct limits_room *l, enum limit_kind k,
		       const struct limit *row)
{
	const struct route *r = p->flow->route;
	const struct counter_id id = { (uint8_t)k,	  SCOPE_POOL,
				       COUNT_ALL,	  p->flow->site->row.id,
				       p->source->row.id, r->id };
	struct value v = { 0 };
	struct link *at = &s->live;
	const struct override *o;

	if (row)
		v = (struct value){
			.n = row->n, .rate = row->rate, .origin = &row->origin, .set = true
		};
	while (k != LIMIT_CONNECT_RATE && (o = next_limit(s, &at, k))) {
		if (o->target.kind != TARGET_POOL || r->pool == CONF_NONE ||
		    !str_glob(o->target.a, rstr_str(r->name)))
			continue;
		if (o->each)
			take_place(k, o, &v);
		else if (!add_own(s, l, p, o, 0, SCOPE_POOL))
			return false;
	}
	return !v.set || add(s, l, &id, &v, p, r->name);
}

static bool collect(struct sched *s, struct path *p, struct limits_room *l)
{
	bool ok = total_limits(s, p, l) && source_limits(s, p, l) && site_limits(s, p, l) &&
		  backoff_limits(s, p, l) && warm_limit(s, p, l);

	for (int k = 0; k < LIMIT_KINDS && ok; k++) {
		enum limit_kind kind = (enum limit_kind)k;

		ok = learned(s, p, l, kind) &&
		     lane_limit(s, p, l, kind, row_in(p->set, kind, SCOPE_LANE, false)) &&
		     pool_limit(s, p, l, kind, row_in(p->set, kind, SCOPE_POOL, false));
		p->own_limits |= row_in(p->set, kind, SCOPE_DOMAIN, false) ||
				 row_in(p->set, kind, SCOPE_POOL, true);
	}
	return ok;
}

/* False without memory. */
bool path_limits(struct sched *s, struct path *p)
{
	struct limits_room room;
	bool ok;

	limits_begin(&room);
	ok = collect(s, p, &room) && limits_freeze(s, &room, &p->limits);
	if (!ok)
		limits_clear(s, &room.l);
	return ok;
}

/* ---- single queues, domains, jobs ---- */

static void domain_row(struct sched *s, struct path *p, const struct queue *q, enum limit_kind k,
		       struct limits_room *out)
{
	const struct limit *row = row_in(p->set, k, SCOPE_DOMAIN, false);
	const struct limit *pool = row_in(p->set, k, SCOPE_POOL, true);
	struct counter_id id = { (uint8_t)k,	SCOPE_DOMAIN,	   COUNT_ALL,
				 q->domain->id, p->source->row.id, 0 };
	struct value v = { 0 };
	struct link *at = &s->live;
	const struct override *o;

	if (row)
		v = (struct value){
			.n = row->n, .rate = row->rate, .origin = &row->origin, .set = true
		};
	while (s->queue_limits && k != LIMIT_CONNECT_RATE && (o = next_limit(s, &at, k)))
		if (o->each && o->target.kind == TARGET_DOMAIN && target_has_queue(&o->target, q))
			take_place(k, o, &v);
	if (v.set)
		add(s, out, &id, &v, p, q->domain->name);
	if (!pool)
		return;
	v = (struct value){
		.n = pool->n, .rate = pool->rate, .origin = &pool->origin, .set = true
	};
	id.scope = SCOPE_POOL;
	id.c = q->route->id;
	add(s, out, &id, &v, p, q->domain->name);
}

static bool on_queue(const struct override *o)
{
	return o->target.kind == TARGET_QUEUE || o->target.kind == TARGET_DOMAIN;
}

static void by_override(struct sched *s, struct path *p, const struct queue *q, const struct job *j,
			enum limit_kind k, struct limits_room *out)
{
	struct link *at = &s->live;
	const struct override *o;

	while ((o = next_limit(s, &at, k))) {
		bool queue = on_queue(o) && target_has_queue(&o->target, q);

		if (queue && o->each && o->target.kind == TARGET_QUEUE)
			add_own(s, out, p, o, p->source->row.id, SCOPE_DOMAIN);
		else if ((queue && !o->each) || (j && target_has_job(&o->target, j)))
			add_own(s, out, p, o, 0, SCOPE_DOMAIN);
	}
}

void queue_own_limits(struct sched *s, struct path *p, struct queue *q, const struct job *j,
		      struct limits_room *out)
{
	if (!p->own_limits && !s->queue_limits)
		return;
	for (int k = 0; k < LIMIT_KINDS; k++) {
		domain_row(s, p, q, (enum limit_kind)k, out);
		if (lane_in_backoff(s, p->lane))
			backoff_of_domain(s, p, q, (enum limit_kind)k, out);
	}
	if (!s->queue_limits)
		return;
	by_override(s, p, q, j, LIMIT_CONNECTIONS, out);
	by_override(s, p, q, j, LIMIT_MSG_RATE, out);
}

/* Are there overrides on single queues, domains or jobs? Else hand-out need not look. */
void limits_find_own(struct sched *s)
{
	s->queue_limits = false;
	for (struct link *l = s->live.next; l != &s->live; l = l->next) {
		const struct override *o = LIST_OF(l, const struct override, live);

		if (o->kind != OVER_RATE && o->kind != OVER_CONNECTIONS)
			continue;
		s->queue_limits |=
		    on_queue(o) || o->target.kind == TARGET_JOB || o->target.kind == TARGET_USER;
	}
}

/* ---- what an override finds ---- */

static struct rstr *text_of(enum limit_kind k, const struct value *v)
{
	char rate[FMT_SIZE];

	if (!v->set)
		return rstr_newf("unlimited");
	if (k == LIMIT_CONNECTIONS)
		return rstr_newf("%d", v->n);
	fmt_rate(v->rate, rate);
	return rstr_newf("%s", rate);
}

static struct value value_before(struct sched *s, const struct sched_cmd *c, enum limit_kind k)
{
	const struct override *o = override_on(s, kind_of(k), c->each, &c->target, NULL);
	const struct conf *conf = s->conf;
	int i;

	if (o)
		return (struct value){ .n = o->connections, .rate = o->rate, .set = true };
	if (c->target.kind == TARGET_ALL && !c->each && k == LIMIT_CONNECTIONS)
		return (struct value){ .n = conf->mta.total_max_smtp_out, .set = true };
	if (c->target.kind == TARGET_VMTA && !c->each &&
	    (i = conf_vmta_find(conf, c->target.a)) != CONF_NONE)
		return (struct value){ .n = conf->vmtas[i].max_smtp_out,
				       .rate = conf->vmtas[i].max_msg_rate,
				       .set = k == LIMIT_CONNECTIONS
						  ? conf->vmtas[i].max_smtp_out > 0
						  : conf->vmtas[i].max_msg_rate.n > 0 };
	i = c->target.kind == TARGET_SITE ? conf_provider_find(conf, c->target.a) : CONF_NONE;
	if (i != CONF_NONE && !c->each)
		return (struct value){ .n = conf->providers[i].max_smtp_out,
				       .rate = conf->providers[i].max_msg_rate,
				       .set = k == LIMIT_CONNECTIONS
						  ? conf->providers[i].max_smtp_out > 0
						  : conf->providers[i].max_msg_rate.n > 0 };
	return (struct value){ 0 };
}

static const struct settings *settings_for(struct sched *s, const struct sched_cmd *c)
{
	int provider = CONF_NONE, vmta = CONF_NONE;
	struct str domain = STR_LIT("");

	if (c->target.kind == TARGET_SITE || c->target.kind == TARGET_LANE)
		provider = conf_provider_find(s->conf, c->target.a);
	if (c->target.kind == TARGET_LANE)
		vmta = conf_vmta_find(s->conf, c->target.b);
	if (c->target.kind == TARGET_DOMAIN)
		domain = c->target.a;
	return settings_get(s->cache, domain, provider, CONF_NONE, vmta);
}

struct rstr *was_limit(struct sched *s, const struct sched_cmd *c)
{
	enum limit_kind k = c->type == CMD_RATE ? LIMIT_MSG_RATE : LIMIT_CONNECTIONS;
	struct value v = value_before(s, c, k);
	const struct settings *set =
	    !v.set && (c->each || c->target.kind == TARGET_LANE) && s->cache ? settings_for(s, c)
									     : NULL;
	const struct limit *row =
	    set ? row_in(set, k, c->target.kind == TARGET_DOMAIN ? SCOPE_DOMAIN : SCOPE_LANE, false)
		: NULL;

	if (row)
		v = (struct value){ .n = row->n, .rate = row->rate, .set = true };
	return text_of(k, &v);
}
