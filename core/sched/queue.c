/* Queues: one for each destination domain and route. What its mail waits for, and the one timer for
 * its next due recipient or expiry. */
#include "core/sched/inner.h"

/* An empty queue is shown for so long. Longer than a report waits for its fellows (dsn.c), whose
 * recipients refer to it. */
#define QUEUE_KEEP_US (10 * US_PER_MIN)

enum { FIRE_BATCH = 256, WORK_BATCH = 128, EXPIRE_BATCH = 64 };

/* ---- domains ---- */

uint64_t domain_hash(const struct table_link *l)
{
	const struct domain *d = (const struct domain *)(const void *)l;

	return hash_bytes(d->name->text, d->name->len);
}

struct domain *domain_find(struct sched *s, struct str name)
{
	struct table_link *l = table_bucket(&s->domains, hash_bytes(name.p, name.n));

	while (l && !str_eq(rstr_str(TABLE_OF(l, struct domain)->name), name))
		l = l->next;
	return l ? TABLE_OF(l, struct domain) : NULL;
}

static struct domain *domain_get(struct sched *s, struct str name)
{
	struct domain *d = domain_find(s, name);

	if (d)
		return d;
	d = pool_get(&s->domain_pool);
	if (!d)
		return NULL;
	d->id = ++s->next_id;
	d->name = rstr_new(name);
	if (!d->name || !table_add(&s->domains, &d->link)) {
		rstr_unref(d->name);
		pool_put(&s->domain_pool, d);
		return NULL;
	}
	s->other_bytes += sizeof *d->name + name.n + 1;
	return d;
}

static void domain_put(struct sched *s, struct domain *d)
{
	if (d->queues)
		return;
	table_del(&s->domains, &d->link);
	s->other_bytes -= sizeof *d->name + d->name->len + 1;
	rstr_unref(d->name);
	pool_put(&s->domain_pool, d);
}

/* ---- queues ---- */

static uint64_t queue_key(const struct domain *d, const struct route *r)
{
	return table_mix(d->id ^ r->id * 0x9E3779B97F4A7C15u);
}

uint64_t queue_hash(const struct table_link *l)
{
	const struct queue *q = (const struct queue *)(const void *)l;

	return queue_key(q->domain, q->route);
}

struct queue *queue_find(struct sched *s, const struct domain *d, const struct route *r)
{
	struct table_link *l = table_bucket(&s->queues, queue_key(d, r));

	for (; l; l = l->next) {
		struct queue *q = TABLE_OF(l, struct queue);

		if (q->domain == d && q->route == r)
			return q;
	}
	return NULL;
}

/* A reference on its name, made when it is first needed; NULL without memory. */
struct rstr *queue_name(struct sched *s, struct queue *q)
{
	if (!q->name) {
		q->name = rstr_newf("%s/%s", q->domain->name->text, q->route->name->text);
		s->other_bytes += q->name ? sizeof *q->name + q->name->len + 1 : 0;
	}
	return rstr_ref(q->name);
}

static void queue_name_forget(struct sched *s, struct queue *q)
{
	if (q->name)
		s->other_bytes -= sizeof *q->name + q->name->len + 1;
	rstr_unref(q->name);
	q->name = NULL;
}

/* Where it may not be kept. */
struct rstr *queue_name_shown(const struct queue *q)
{
	if (q->name)
		return rstr_ref(q->name);
	return rstr_newf("%s/%s", q->domain->name->text, q->route->name->text);
}

static struct queue *queue_new(struct sched *s, struct domain *d, struct route *r)
{
	struct queue *q = pool_get(&s->queue_pool);

	if (!q)
		return NULL;
	q->domain = d;
	q->route = r;
	if (!table_add(&s->queues, &q->link)) {
		pool_put(&s->queue_pool, q);
		return NULL;
	}
	q->next_of_domain = d->queues;
	d->queues = q;
	q->stop = STOP_EMPTY;
	row_init(s, &q->row, ROW_QUEUE);
	return q;
}

struct queue *queue_get(struct sched *s, struct str domain, struct route *r)
{
	struct domain *d = domain_get(s, domain);
	struct queue *q;

	if (!d)
		return NULL;
	q = queue_find(s, d, r);
	if (!q)
		q = queue_new(s, d, r);
	if (!q)
		domain_put(s, d);
	else if (!q->set)
		queue_resolve(s, q);
	return q;
}

/* What holds a queue is told of its site, too. */
static void rows_dirty(struct sched *s, struct queue *q)
{
	row_dirty(s, &q->row);
	if (q->site)
		row_dirty(s, &q->site->row);
}

static void leave_site(struct sched *s, struct queue *q)
{
	struct site *site = q->site;

	if (!site)
		return;
	list_del(&q->on_site);
	q->site = NULL;
	s->totals.no_site += q->queued;
	site->queued -= q->queued;
	site->due -= q->ready;
	site->in_flight -= q->in_flight;
	site->nqueues--;
	row_dirty(s, &site->row);
	site_settle(s, site);
}

static void enter_site(struct sched *s, struct queue *q, struct site *site)
{
	if (q->site == site)
		return;
	leave_site(s, q);
	if (!site)
		return;
	q->site = site;
	s->totals.no_site -= q->queued;
	list_add(&site->queues, &q->on_site);
	site->queued += q->queued;
	site->due += q->ready;
	site->in_flight += q->in_flight;
	site->nqueues++;
	tally_arrived(s, site->tally, q->queued);
	row_dirty(s, &site->row);
}

static void set_hosts(struct sched *s, struct queue *q, struct hosts *h)
{
	if (q->hosts == h) {
		hosts_put(s, h);
		return;
	}
	list_del(&q->on_hosts);
	hosts_put(s, q->hosts);
	q->hosts = h;
	if (h)
		list_add(&h->queues, &q->on_hosts);
}

void queue_free(struct sched *s, struct queue *q)
{
	struct domain *d = q->domain;
	struct queue **at = &d->queues;

	queue_leave_ring(s, q);
	flow_put(s, q);
	leave_site(s, q);
	set_hosts(s, q, NULL);
	if (q->more)
		gate_leave(&q->more->wait);
	pool_put(&s->more_pool, q->more);
	wheel_del(&s->timers, &q->timer);
	list_del(&q->work);
	while (*at != q)
		at = &(*at)->next_of_domain;
	*at = q->next_of_domain;
	table_del(&s->queues, &q->link);
	row_gone(s, &q->row);
	tally_free(s, q->tally);
	queue_name_forget(s, q);
	rstr_unref(q->unsigned_by);
	pool_put(&s->queue_pool, q);
	domain_put(s, d);
}

/* ---- resolving: settings, hosts, site ---- */

static const struct settings *settings_for(struct sched *s, const struct queue *q, int provider)
{
	const struct route *r = q->route;
	const struct settings *set = NULL;

	if (s->cache)
		set = settings_get(s->cache, rstr_str(q->domain->name), provider, r->pool, r->vmta);
	return set ? set : q->set;
}

/* Which hosts: those of the setting `route`, else the domain's MX. */
static void find_hosts(struct sched *s, struct queue *q)
{
	struct hosts *h;

	if (q->set && q->set->nroute)
		h = hosts_of_route(s, q->set);
	else
		h = hosts_get(s, q->domain->name, HOSTS_MX, q->set && q->set->allow_private_mx);
	if (h)
		set_hosts(s, q, h);
}

void queue_resolve(struct sched *s, struct queue *q)
{
	struct str domain = rstr_str(q->domain->name);
	struct site *site = NULL;
	int provider;

	if (!s->conf)
		return;
	provider = conf_provider_for(s->conf, domain, NULL, 0);
	q->set = settings_for(s, q, provider);
	find_hosts(s, q);
	if (q->hosts && q->hosts->mx) {
		site = site_for(s, q->hosts->mx, domain);
		provider = site ? site->provider : provider;
		q->set = settings_for(s, q, provider);
		if (q->set && q->set->nroute && q->hosts->kind != HOSTS_ROUTE) {
			find_hosts(s, q);
			site = q->hosts && q->hosts->mx ? site_for(s, q->hosts->mx, domain) : NULL;
		}
	}
	enter_site(s, q, site);
	q->paused = override_pause_of_queue(s, q);
	q->epoch = s->epoch;
	rows_dirty(s, q);
}

/* ---- ring ---- */

static void enter_ring(struct queue *q)
{
	struct flow *f = q->flow;

	if (q->ring_next)
		return;
	if (!f->ring) {
		q->ring_next = q->ring_prev = q;
		f->ring = q;
	} else {
		q->ring_next = f->ring;
		q->ring_prev = f->ring->ring_prev;
		q->ring_prev->ring_next = q;
		f->ring->ring_prev = q;
	}
	f->nring++;
}

void queue_leave_ring(struct sched *s, struct queue *q)
{
	struct flow *f = q->flow;

	if (!q->ring_next)
		return;
	if (f->ring == q)
		f->ring = q->ring_next == q ? NULL : q->ring_next;
	q->ring_prev->ring_next = q->ring_next;
	q->ring_next->ring_prev = q->ring_prev;
	q->ring_next = q->ring_prev = NULL;
	if (!--f->nring)
		flow_idle(s, f);
}

void queue_stop(struct sched *s, struct queue *q, enum queue_stop why)
{
	queue_leave_ring(s, q);
	if (q->stop != why)
		rows_dirty(s, q);
	q->stop = (uint8_t)why;
	if (why == STOP_NEGATIVE)
		queue_work(s, q);
}

static enum queue_stop find_stop(struct sched *s, struct queue *q)
{
	if (!q->ready)
		return STOP_EMPTY;
	if (q->paused)
		return STOP_PAUSED;
	if (q->route->vmta == CONF_NONE && q->route->pool == CONF_NONE)
		return STOP_NO_ROUTE;
	if (!q->hosts || !q->set)
		return STOP_DNS;
	hosts_need(s, q->hosts);
	if (q->hosts->state == HOSTS_NEGATIVE && s->now < q->hosts->expires)
		return STOP_NEGATIVE;
	if (!hosts_usable(q->hosts, s->now) || !q->site)
		return STOP_DNS;
	return STOP_NONE;
}

/* Puts a queue with ready mail where it belongs: into its flow's ring, or among those that wait for
 * something else. */
void queue_place(struct sched *s, struct queue *q)
{
	enum queue_stop why;

	if (q->epoch != s->epoch) {
		queue_leave_ring(s, q);
		flow_put(s, q);
		queue_resolve(s, q);
	}
	why = find_stop(s, q);
	if (why == STOP_NONE && !flow_for(s, q))
		why = STOP_DNS;
	if (why != STOP_NONE) {
		queue_stop(s, q, why);
		return;
	}
	if (q->stop != STOP_NONE)
		rows_dirty(s, q);
	q->stop = STOP_NONE;
	enter_ring(q);
	flow_ready(s, q->flow);
}

/* Something has become ready. */
void queue_wake(struct sched *s, struct queue *q)
{
	if (q->stop == STOP_NONE && q->epoch == s->epoch && q->ring_next) {
		flow_ready(s, q->flow);
		return;
	}
	if (q->stop == STOP_LIMIT && q->epoch == s->epoch)
		return;
	queue_place(s, q);
}

void queue_woken(struct sched *s, struct queue *q)
{
	if (q->stop == STOP_LIMIT)
		queue_place(s, q);
}

void queue_empty(struct sched *s, struct queue *q)
{
	if (q->more)
		gate_leave(&q->more->wait);
	queue_stop(s, q, STOP_EMPTY);
}

/* ---- time ---- */

us_t queue_expiry(const struct queue *q, const struct rcpt *r)
{
	us_t age = q->set ? q->set->bounce_after : US_NEVER;

	return age == US_NEVER ? US_NEVER : rcpt_msg(r)->received_at + age;
}

void queue_timer(struct sched *s, struct queue *q, us_t at)
{
	if (at != US_NEVER && (!q->timer.next || at < q->timer.due))
		wheel_set(&s->timers, &q->timer, at);
}

static void fire_due(struct sched *s, struct queue *q)
{
	struct rcpt *r;

	for (int n = 0; n < FIRE_BATCH && (r = due_first(q->waiting)) && r->tree.due <= s->now;
	     n++) {
		rcpt_unplace(s, r);
		rcpt_ready(s, r, false);
		s->budget--;
	}
}

/* The next to expire that is not in a transaction. */
static struct rcpt *next_expiry(const struct queue *q)
{
	struct rcpt *r = q->oldest;

	while (r && r->phase == PHASE_OUT)
		r = r->newer;
	return r;
}

static void fire_expiry(struct sched *s, struct queue *q)
{
	struct rcpt *r = next_expiry(q);

	for (int n = 0; n < EXPIRE_BATCH && r && queue_expiry(q, r) <= s->now; n++) {
		retry_expire(s, r);
		s->budget -= 2;
		r = next_expiry(q);
	}
}

static void rearm(struct sched *s, struct queue *q)
{
	const struct rcpt *r = due_first(q->waiting);
	const struct rcpt *old = next_expiry(q);

	if (r)
		queue_timer(s, q, r->tree.due);
	if (old)
		queue_timer(s, q, queue_expiry(q, old));
	else if (q->oldest)
		queue_timer(s, q, s->now + US_PER_S); /* all that are left are in transactions */
}

void queues_tick(struct sched *s)
{
	struct wheel_timer *t;

	while (s->budget > 0 && (t = wheel_pop(&s->timers, s->now))) {
		struct queue *q = WHEEL_OF(t, struct queue, timer);

		s->budget--;
		fire_due(s, q);
		fire_expiry(s, q);
		rearm(s, q);
	}
}

/* ---- work that is spread over ticks ---- */

void queue_work(struct sched *s, struct queue *q)
{
	if (!list_in(&q->work))
		list_add(&s->work, &q->work);
}

/* A new answer of the DNS: the queue's hosts may be others now. */
void queue_hosts_changed(struct sched *s, struct queue *q)
{
	q->epoch = 0;
	queue_work(s, q);
}

static bool release_some(struct sched *s, struct queue *q)
{
	struct rcpt *r;

	for (int n = 0; n < WORK_BATCH && (r = due_pop(&q->released)); n++) {
		r->phase = PHASE_DONE;
		rcpt_ready(s, r, false);
		s->budget--;
	}
	if (!q->released && q->release_again) {
		q->release_again = false;
		queue_release(s, q);
	}
	return q->released != NULL;
}

/* Ends the waits of all that wait now; later deferrals wait as usual. */
void queue_release(struct sched *s, struct queue *q)
{
	if (q->released) {
		q->release_again = true;
		return;
	}
	q->released = q->waiting;
	q->waiting = NULL;
	q->nwaiting = 0;
	if (q->released)
		queue_work(s, q);
}

static bool bounce_some(struct sched *s, struct queue *q)
{
	for (int n = 0; n < WORK_BATCH && q->bands; n++) {
		hosts_bounce(s, band_head(q->bands));
		s->budget -= 2;
	}
	return q->bands != NULL;
}

static void work_on(struct sched *s, struct queue *q)
{
	bool more = release_some(s, q);

	if (q->epoch != s->epoch)
		queue_place(s, q);
	if (q->stop == STOP_NEGATIVE)
		more |= bounce_some(s, q);
	if (more)
		queue_work(s, q);
}

void queues_work(struct sched *s)
{
	struct link *l;

	while (s->budget > 0 && (l = list_pop(&s->work))) {
		s->budget--;
		work_on(s, LIST_OF(l, struct queue, work));
	}
}

/* ---- limits of its own ---- */

void queue_wait(struct sched *s, struct queue *q, struct gate *g)
{
	if (!q->more) {
		q->more = pool_get(&s->more_pool);
		if (!q->more)
			return;
		q->more->queue = q;
		q->more->wait.type = WAIT_QUEUE;
	}
	queue_stop(s, q, STOP_LIMIT);
	gate_wait(s, g, &q->more->wait);
}

struct gate *queue_waits_at(const struct queue *q)
{
	return q->stop == STOP_LIMIT && q->more ? q->more->wait.at : NULL;
}

void queue_domain_wake(struct sched *s, struct queue *q)
{
	for (struct queue *d = q->domain->queues; d; d = d->next_of_domain)
		if (d->stop == STOP_LIMIT) {
			gate_leave(&d->more->wait);
			queue_place(s, d);
		}
}

bool queue_all_stopped(struct sched *s, const struct queue *q)
{
	int look = 1024;

	for (const struct band *level = q->bands; level; level = level->lower) {
		const struct band *b = level;

		do {
			if (!job_stopped(s, b->job) || !look--)
				return false;
			b = b->next;
		} while (b != level);
	}
	return true;
}

/* ---- upkeep ---- */

void queue_upkeep(struct sched *s, struct queue *q)
{
	alarm_queue(s, q);
	if (q->queued) {
		q->idle_since_s = 0;
		return;
	}
	if (!q->idle_since_s) {
		q->idle_since_s = (uint32_t)(s->now / US_PER_S);
		return;
	}
	if (!q->sessions && !q->pins && s->now - (us_t)q->idle_since_s * US_PER_S > QUEUE_KEEP_US)
		queue_free(s, q);
}
