/* What a target comprises. */
#include "core/sched/override.h"

static bool fits(struct str pattern, const struct rstr *name)
{
	return str_glob(pattern, rstr_str(name));
}

static bool same_name(struct str a, struct str b)
{
	return str_ieq(a, b);
}

bool target_same(const struct target *a, const struct target *b)
{
	return a->kind == b->kind && same_name(a->a, b->a) && same_name(a->b, b->b) &&
	       a->message == b->message;
}

static bool has_star(struct str v)
{
	return v.n && memchr(v.p, '*', v.n);
}

bool target_is_glob(const struct target *t)
{
	return t->kind == TARGET_ALL || has_star(t->a) || has_star(t->b);
}

bool target_has_site(const struct target *t, const struct site *site)
{
	return t->kind == TARGET_ALL || (t->kind == TARGET_SITE && site && fits(t->a, site->name));
}

/* Targets that comprise whole queues. */
bool target_has_queue(const struct target *t, const struct queue *q)
{
	switch (t->kind) {
	case TARGET_ALL:
		return true;
	case TARGET_DOMAIN:
		return fits(t->a, q->domain->name);
	case TARGET_QUEUE:
		return fits(t->a, q->domain->name) && fits(t->b, q->route->name);
	case TARGET_SITE:
		return q->site && fits(t->a, q->site->name);
	case TARGET_POOL:
		return q->route->pool != CONF_NONE && fits(t->a, q->route->name);
	case TARGET_LANE:
	case TARGET_VMTA:
	case TARGET_JOB:
	case TARGET_USER:
	case TARGET_MESSAGE:
		break;
	}
	return false;
}

/* Targets that comprise a site's mail at one virtual MTA. */
bool target_has_lane(const struct target *t, const struct site *site, const struct source *src)
{
	switch (t->kind) {
	case TARGET_ALL:
		return true;
	case TARGET_SITE:
		return fits(t->a, site->name);
	case TARGET_LANE:
		return fits(t->a, site->name) && fits(t->b, src->name);
	case TARGET_VMTA:
		return fits(t->a, src->name);
	case TARGET_DOMAIN:
	case TARGET_QUEUE:
	case TARGET_POOL:
	case TARGET_JOB:
	case TARGET_USER:
	case TARGET_MESSAGE:
		break;
	}
	return false;
}

bool target_has_job(const struct target *t, const struct job *j)
{
	if (t->kind == TARGET_JOB)
		return fits(t->a, j->name);
	return t->kind == TARGET_USER && fits(t->a, j->user);
}

bool target_has_rcpt(const struct target *t, const struct rcpt *r)
{
	const struct msg *m = rcpt_msg(r);

	if (t->kind == TARGET_MESSAGE)
		return m->id == t->message;
	if (t->kind == TARGET_JOB || t->kind == TARGET_USER)
		return target_has_job(t, m->job);
	if (t->kind == TARGET_VMTA)
		return r->queue->route->vmta != CONF_NONE && fits(t->a, r->queue->route->name);
	return target_has_queue(t, r->queue);
}

bool target_has_flight(const struct target *t, const struct flight *f)
{
	const struct session *e = f->session;

	if (t->kind == TARGET_MESSAGE)
		return f->msg->id == t->message;
	return target_has_queue(t, f->queue) || target_has_job(t, f->msg->job) ||
	       (e && target_has_lane(t, e->lane->site, e->lane->source));
}

/* ---- known or not ---- */

enum { NEAREST = 3, LOOK_AT = 4000, NEAR_ENOUGH = 3 };

struct nearest {
	struct str want;
	struct {
		struct str name;
		int distance;
	} best[NEAREST];
	int n, looked;
	bool found;
};

static void consider(struct nearest *x, struct str name)
{
	int d, at;

	if (x->found || x->looked >= LOOK_AT)
		return;
	if (str_glob(x->want, name)) {
		x->found = true;
		return;
	}
	if (name.n > x->want.n + NEAR_ENOUGH || name.n + NEAR_ENOUGH < x->want.n)
		return;
	x->looked++;
	d = str_distance(x->want, name);
	if (d > NEAR_ENOUGH)
		return;
	for (int i = 0; i < x->n; i++)
		if (str_ieq(x->best[i].name, name))
			return;
	at = x->n < NEAREST ? x->n++ : NEAREST - 1;
	if (at == NEAREST - 1 && x->best[at].name.p && x->best[at].distance <= d)
		return;
	for (; at > 0 && x->best[at - 1].distance > d; at--)
		x->best[at] = x->best[at - 1];
	x->best[at].name = name;
	x->best[at].distance = d;
}

static void look_domains(struct sched *s, struct nearest *x)
{
	if (domain_find(s, x->want)) {
		x->found = true;
		return;
	}
	for (size_t i = 0; i < s->domains.buckets && !x->found && x->looked < LOOK_AT; i++)
		for (const struct table_link *l = table_at(&s->domains, i); l; l = l->next)
			consider(x, rstr_str(TABLE_OF(l, const struct domain)->name));
}

static void look_sites(struct sched *s, struct nearest *x)
{
	for (int i = 0; s->conf && i < s->conf->nproviders; i++)
		consider(x, str_of(s->conf->providers[i].name));
	if (site_find(s, x->want, false))
		x->found = true;
	for (size_t i = 0; i < s->sites.buckets && !x->found && x->looked < LOOK_AT; i++)
		for (const struct table_link *l = table_at(&s->sites, i); l; l = l->next)
			consider(x, rstr_str(TABLE_OF(l, const struct site)->name));
}

static void look_sources(struct sched *s, struct nearest *x)
{
	for (uint32_t i = 0; i < s->nsources; i++)
		consider(x, rstr_str(s->sources[i]->name));
}

static void look_routes(struct sched *s, struct nearest *x, bool pools_only)
{
	for (int i = 0; s->conf && i < s->conf->nroutes; i++)
		if (!pools_only || s->conf->routes[i].pool != CONF_NONE)
			consider(x, str_of(s->conf->routes[i].name));
	for (uint32_t i = 0; i < s->nroutes && !pools_only; i++)
		consider(x, rstr_str(s->routes[i]->name));
}

static void look_jobs(struct sched *s, struct nearest *x, bool users)
{
	for (size_t i = 0; i < s->jobs.buckets && !x->found && x->looked < LOOK_AT; i++)
		for (const struct table_link *l = table_at(&s->jobs, i); l; l = l->next) {
			const struct job *j = TABLE_OF(l, const struct job);

			consider(x, rstr_str(users ? j->user : j->name));
		}
	for (int i = 0; users && s->conf && i < s->conf->nsources; i++)
		consider(x, str_of(s->conf->sources[i].name));
}

static const struct err *answer(const struct nearest *x, const char *what, struct errbuf *e)
{
	struct buf b;

	if (x->found || has_star(x->want))
		return NULL;
	buf_init(&b);
	for (int i = 0; i < x->n; i++)
		buf_addf(&b, "%s%.*s", i ? ", " : "; nearest: ", (int)x->best[i].name.n,
			 x->best[i].name.p);
	errbuf_set(e, "no %s %.*s%s", what, (int)x->want.n, x->want.p, buf_z(&b));
	buf_free(&b);
	return &err_gone;
}

static const struct err *known_message(struct sched *s, const struct target *t, struct errbuf *e)
{
	if (msg_find(s, t->message))
		return NULL;
	errbuf_set(e, "no message %llx is queued", (unsigned long long)t->message);
	return &err_gone;
}

/* A name with a `*` is always known: it meets what comes later too. */
const struct err *target_known(struct sched *s, const struct target *t, struct errbuf *e)
{
	struct nearest x = { .want = t->a }, y = { .want = t->b };
	const struct err *err;

	switch (t->kind) {
	case TARGET_ALL:
		return NULL;
	case TARGET_DOMAIN:
		look_domains(s, &x);
		return answer(&x, "mail for", e);
	case TARGET_QUEUE:
		look_domains(s, &x);
		look_routes(s, &y, false);
		err = answer(&x, "mail for", e);
		return err ? err : answer(&y, "route", e);
	case TARGET_SITE:
		look_sites(s, &x);
		return answer(&x, "site or provider", e);
	case TARGET_LANE:
		look_sites(s, &x);
		look_sources(s, &y);
		err = answer(&x, "site or provider", e);
		return err ? err : answer(&y, "virtual MTA", e);
	case TARGET_VMTA:
		look_sources(s, &x);
		return answer(&x, "virtual MTA", e);
	case TARGET_POOL:
		look_routes(s, &x, true);
		return answer(&x, "pool", e);
	case TARGET_JOB:
	case TARGET_USER:
		look_jobs(s, &x, t->kind == TARGET_USER);
		return answer(&x, t->kind == TARGET_USER ? "user" : "job", e);
	case TARGET_MESSAGE:
		return known_message(s, t, e);
	}
	return NULL;
}
