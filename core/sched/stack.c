/* Which limits bind what: from the settings of a path, a domain, an override to the counters that
 * they count in (CONFIG.md, "Which settings hold, and what a limit counts"). */
#include "core/sched/inner.h"

static struct rate no_rate(void)
{
	return (struct rate){ 0 };
}

/* A limit that counts `id`: its value may have changed with the configuration. */
static bool add_limit(struct sched *s, struct limits *l, const struct counter_id *id, int n,
		      struct rate rate, const struct origin *origin)
{
	struct counter *c = counter_get(s, id);

	if (!c)
		return false;
	counter_limit(s, c, n, rate, origin, 0);
	limits_add(s, l, c);
	return true;
}

static bool source_limits(struct sched *s, struct path *p)
{
	const struct conf_vmta *v = &s->conf->vmtas[p->source->vmta];
	struct counter_id id = {
		LIMIT_CONNECTIONS, SCOPE_VMTA, COUNT_ALL, p->source->row.id, 0, 0
	};
	bool ok = true;

	if (v->max_smtp_out)
		ok = add_limit(s, &p->limits, &id, v->max_smtp_out, no_rate(),
			       &v->origin_max_smtp_out);
	id.kind = LIMIT_MSG_RATE;
	if (v->max_msg_rate.n)
		ok = ok &&
		     add_limit(s, &p->limits, &id, 0, v->max_msg_rate, &v->origin_max_msg_rate);
	return ok;
}

static bool provider_limits(struct sched *s, struct path *p)
{
	const struct site *t = p->flow->site;
	const struct conf_provider *v;
	struct counter_id id = { LIMIT_CONNECTIONS, SCOPE_PROVIDER, COUNT_ALL, t->row.id, 0, 0 };
	bool ok = true;

	if (t->provider == CONF_NONE || t->provider >= s->conf->nproviders)
		return true;
	v = &s->conf->providers[t->provider];
	if (v->max_smtp_out)
		ok = add_limit(s, &p->limits, &id, v->max_smtp_out, no_rate(),
			       &v->origin_max_smtp_out);
	id.kind = LIMIT_MSG_RATE;
	if (v->max_msg_rate.n)
		ok = ok &&
		     add_limit(s, &p->limits, &id, 0, v->max_msg_rate, &v->origin_max_msg_rate);
	return ok;
}

/* Limits that count at the lane, or a pool's mail of the lane. */
static bool lane_limit(struct sched *s, struct path *p, const struct limit *l)
{
	struct counter_id id = { (uint8_t)l->kind,	(uint8_t)l->scope, COUNT_ALL,
				 p->flow->site->row.id, p->source->row.id, 0 };

	if (l->scope == SCOPE_POOL)
		id.c = p->flow->route->id;
	else if (!l->origin.file)
		id.flavour = COUNT_DEFAULT;
	return add_limit(s, &p->limits, &id, l->n, l->rate, &l->origin);
}

bool path_limits(struct sched *s, struct path *p)
{
	bool ok = source_limits(s, p) && provider_limits(s, p);

	s->total->refs++;
	limits_add(s, &p->limits, s->total);
	for (int i = 0; i < p->set->nlimits && ok; i++) {
		const struct limit *l = &p->set->limits[i];

		if (l->scope == SCOPE_DOMAIN || (l->scope == SCOPE_POOL && l->by_domain))
			p->own_limits = true;
		else if (l->scope == SCOPE_LANE || l->scope == SCOPE_POOL)
			ok = lane_limit(s, p, l);
	}
	return ok && override_path_limits(s, p);
}

static void domain_limit(struct sched *s, struct path *p, const struct queue *q,
			 const struct limit *l, struct limits *out)
{
	struct counter_id id = { (uint8_t)l->kind, (uint8_t)l->scope, COUNT_ALL,
				 q->domain->id,	   p->source->row.id, 0 };

	if (l->scope == SCOPE_POOL)
		id.c = q->route->id;
	add_limit(s, out, &id, l->n, l->rate, &l->origin);
}

void queue_own_limits(struct sched *s, struct path *p, struct queue *q, const struct job *j,
		      struct limits *out)
{
	for (int i = 0; p->own_limits && i < p->set->nlimits; i++) {
		const struct limit *l = &p->set->limits[i];

		if (l->scope == SCOPE_DOMAIN || (l->scope == SCOPE_POOL && l->by_domain))
			domain_limit(s, p, q, l, out);
	}
	override_queue_limits(s, p, q, j, out);
}
