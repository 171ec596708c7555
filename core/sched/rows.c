/* The mirror's rows: filled when they are taken, from what is true then. */
#include "core/sched/override.h"
#include "core/sched/warmup.h"

#define ROW_ID_MASK (((uint64_t)1 << 56) - 1)

void row_init(struct sched *s, struct row_head *h, enum row_kind kind)
{
	h->id = ++s->next_id & ROW_ID_MASK;
	h->kind = (uint8_t)kind;
	row_dirty(s, h);
}

void row_dirty(struct sched *s, struct row_head *h)
{
	if (!list_in(&h->dirty))
		list_add(&s->dirty, &h->dirty);
}

void row_gone(struct sched *s, struct row_head *h)
{
	struct gone_row *g;

	list_del(&h->dirty);
	g = pool_get(&s->gone_pool);
	if (!g)
		return;
	g->id = h->id;
	g->kind = h->kind;
	list_add(&s->gone, &g->link);
}

/* ---- names ---- */

static const char *const why_names[WHY_CODES] = {
	[WHY_READY] = "ready",
	[WHY_IN_FLIGHT] = "in-flight",
	[WHY_IDLE] = "idle",
	[WHY_RATE] = "rate",
	[WHY_CONNECTIONS] = "connections",
	[WHY_TOTAL] = "total",
	[WHY_MEMORY] = "memory",
	[WHY_WARM_UP] = "warm-up",
	[WHY_BACKOFF] = "backoff",
	[WHY_RESTING] = "resting",
	[WHY_RETRY_WAIT] = "retry-wait",
	[WHY_PAUSED] = "paused",
	[WHY_NO_SOURCE] = "no-source",
	[WHY_DNS] = "dns",
	[WHY_CONNECT] = "connect",
	[WHY_TLS] = "tls",
	[WHY_DKIM] = "dkim",
	[WHY_LOADING] = "loading",
	[WHY_DRAINING] = "draining",
	[WHY_DISK] = "disk",
};

const char *why_code_name(enum why_code c)
{
	return (unsigned)c < WHY_CODES ? why_names[c] : "?";
}

static const char *const state_names[] = { "ok",      "backoff",  "resting", "paused",
					   "warming", "disabled", "down",    "idle" };
static const char *const state_shorts[] = { "ok",   "BACK", "REST", "PAUS",
					    "WARM", "DISA", "DOWN", "IDLE" };

const char *row_state_name(enum row_state s)
{
	return state_names[s];
}

const char *row_state_short(enum row_state s)
{
	return state_shorts[s];
}

/* ---- references ---- */

enum { ROW_REFS = 12 };

/* Every reference that a row of this kind holds. */
static int refs_of(struct row *r, struct rstr **out[ROW_REFS])
{
	int n = 0;

	out[n++] = &r->name;
	out[n++] = &r->why.origin;
	out[n++] = &r->why.text;
	switch ((enum row_kind)r->kind) {
	case ROW_QUEUE:
	case ROW_SITE:
		out[n++] = &r->queue.domain;
		out[n++] = &r->queue.route;
		out[n++] = &r->queue.site_name;
		out[n++] = &r->queue.provider;
		out[n++] = &r->queue.last_reply;
		break;
	case ROW_LANE:
		out[n++] = &r->lane.site_name;
		out[n++] = &r->lane.provider;
		out[n++] = &r->lane.vmta;
		out[n++] = &r->lane.source_ip;
		out[n++] = &r->lane.last_reply;
		out[n++] = &r->lane.rest_reason;
		out[n++] = &r->lane.backoff_rule;
		out[n++] = &r->lane.backoff_reply;
		out[n++] = &r->lane.warmup;
		break;
	case ROW_SOURCE:
		out[n++] = &r->source.source_ip;
		out[n++] = &r->source.hostname;
		out[n++] = &r->source.pools;
		out[n++] = &r->source.last_reply;
		break;
	case ROW_JOB:
		out[n++] = &r->job.user;
		break;
	case ROW_OVERRIDE:
		out[n++] = &r->override.what;
		out[n++] = &r->override.target;
		out[n++] = &r->override.was;
		out[n++] = &r->override.now;
		out[n++] = &r->override.who;
		out[n++] = &r->override.reason;
		out[n++] = &r->override.ended_by;
		break;
	case ROW_ALARM:
		out[n++] = &r->alarm.code;
		out[n++] = &r->alarm.target;
		out[n++] = &r->alarm.text;
		out[n++] = &r->alarm.ack;
		break;
	case ROW_FEEDBACK:
		out[n++] = &r->feedback.provider;
		out[n++] = &r->feedback.category;
		out[n++] = &r->feedback.replies;
		break;
	case ROW_REPUTATION:
		out[n++] = &r->reputation.of;
		break;
	case ROW_KINDS:
		break;
	}
	return n;
}

void row_release(struct row *r)
{
	struct rstr **v[ROW_REFS];
	int n = r->deleted ? 0 : refs_of(r, v);

	for (int i = 0; i < n; i++) {
		rstr_unref(*v[i]);
		*v[i] = NULL;
	}
}

void row_retain(struct row *r)
{
	struct rstr **v[ROW_REFS];
	int n = r->deleted ? 0 : refs_of(r, v);

	for (int i = 0; i < n; i++)
		rstr_ref(*v[i]);
}

/* ---- filling ---- */

static void fill_traffic(const struct tally *y, us_t now, struct row_traffic *t)
{
	struct percents p;

	tally_percents(y, now, &p);
	t->delivered_percent = p.delivered;
	if (!y)
		return;
	t->delivered = y->delivered;
	t->deferred = y->deferred;
	t->bounced = y->bounced;
	t->rate = tally_rate(y, now);
	tally_shown(y);
}

static uint32_t count_links(const struct link *head)
{
	uint32_t n = 0;

	for (const struct link *l = head->next; l != head; l = l->next)
		n++;
	return n;
}

/* What went out is no measure for a limit that is lower now. A limit of each lane or domain counts
 * as often as there are some. */
static float capped(float out, const struct why *w, const struct site *t, uint32_t domains)
{
	float limit = w->limit;

	if ((w->code != WHY_RATE && w->code != WHY_WARM_UP) || !(limit > 0) ||
	    str_istarts(rstr_str(w->text), "connect"))
		return out; /* a rate of connections: each may carry many */
	switch ((enum limit_scope)w->counts) {
	case SCOPE_LANE:
	case SCOPE_VMTA:
		limit *= t ? (float)count_links(&t->lanes) : 0;
		break;
	case SCOPE_DOMAIN:
	case SCOPE_POOL:
		limit *= (float)domains;
		break;
	case SCOPE_PROVIDER:
	case SCOPE_TOTAL:
	case SCOPE_COUNT:
		break;
	}
	return limit > 0 && limit < out ? limit : out;
}

/* Less than leaves in so many seconds is no backlog: it is on its way through, however much
 * follows it. */
enum { ETA_TRANSIT_S = 10 };

struct eta_of {
	uint64_t queued, due;
	const struct tally *tally;
	const struct site *site; /* NULL: not known, or several */
	uint32_t domains;
};

/* Queued / (out - in); COMMANDS.md, "ETA". */
static void fill_eta(const struct eta_of *x, us_t now, const struct why *w, us_t *eta,
		     uint8_t *state)
{
	struct means mean;
	float out, net;

	*eta = 0;
	*state = ETA_IDLE;
	if (!x->queued || w->code == WHY_PAUSED)
		return; /* what left before a pause says nothing */
	tally_means(x->tally, now, &mean);
	out = capped(mean.out, w, x->site, x->domains);
	if (w->code == WHY_NO_SOURCE) {
		*state = ETA_NEVER; /* what went out before says nothing now */
		return;
	}
	if (!(out > 0)) {
		if (w->code != WHY_RETRY_WAIT && w->code != WHY_IN_FLIGHT &&
		    (w->code != WHY_READY || !x->due))
			*state = ETA_NEVER;
		return;
	}
	net = (float)x->queued < out * ETA_TRANSIT_S ? out : out - mean.in;
	*state = net > 0.001F ? ETA_OK : ETA_NEVER;
	if (*state == ETA_OK)
		*eta = (us_t)((double)x->queued / (double)net * (double)US_PER_S);
}

static uint8_t state_of_why(const struct why *w, uint64_t queued)
{
	switch ((enum why_code)w->code) {
	case WHY_CONNECT:
	case WHY_DNS: /* without an end: it just connects, or looks up */
		return w->until ? STATE_DOWN : STATE_OK;
	case WHY_NO_SOURCE:
	case WHY_TLS:
		return STATE_DOWN;
	case WHY_PAUSED:
		return STATE_PAUSED;
	case WHY_BACKOFF:
		return STATE_BACKOFF;
	case WHY_RESTING:
		return STATE_RESTING;
	case WHY_WARM_UP:
		return STATE_WARMING;
	case WHY_READY:
	case WHY_IN_FLIGHT:
	case WHY_IDLE:
	case WHY_RATE:
	case WHY_CONNECTIONS:
	case WHY_TOTAL:
	case WHY_MEMORY:
	case WHY_RETRY_WAIT:
	case WHY_DKIM:
	case WHY_LOADING:
	case WHY_DRAINING:
	case WHY_DISK:
	case WHY_CODES:
		break;
	}
	return queued ? STATE_OK : STATE_IDLE;
}

static uint32_t connections_of(const struct queue *q)
{
	return q->sessions;
}

static void fill_queue(struct sched *s, struct queue *q, struct row *r)
{
	struct row_queue *x = &r->queue;
	const struct rcpt *first = due_first(q->waiting);

	r->name = queue_name(s, q); /* the mirror keeps it as long: one for both */
	why_queue(s, q, &r->why);
	r->state = state_of_why(&r->why, q->queued);
	x->queued = q->queued;
	x->due = q->ready;
	x->in_flight = q->in_flight;
	fill_traffic(q->tally, s->now, &x->t);
	x->t.connections = connections_of(q);
	x->oldest = q->oldest ? rcpt_msg(q->oldest)->received_at : 0;
	x->next_attempt = first ? first->tree.due : 0;
	fill_eta(&(struct eta_of){ q->queued, q->ready, q->tally, q->site, 1 }, s->now, &r->why,
		 &x->eta, &x->eta_state);
	tally_trend(q->tally, s->now, x->trend);
	x->site = q->site ? q->site->row.id : 0;
	x->stale_mx = q->hosts && q->hosts->stale;
	x->domain = rstr_ref(q->domain->name);
	x->route = rstr_ref(q->route->name);
	x->site_name = q->site ? rstr_ref(q->site->name) : NULL;
	x->provider = q->site && q->site->is_provider ? rstr_ref(q->site->name) : NULL;
	if (q->tally) {
		x->last_reply = rstr_ref(q->tally->last_reply);
		x->last_reply_at = q->tally->last_reply_at;
	}
}

enum { SITE_LOOK = 512 }; /* queues of a site that are looked at for its oldest mail */

static void fill_ages(const struct site *t, struct row_queue *x)
{
	int look = SITE_LOOK;

	for (const struct link *l = t->queues.next; l != &t->queues && look--; l = l->next) {
		const struct queue *q = LIST_OF(l, const struct queue, on_site);
		const struct rcpt *first = due_first(q->waiting);

		if (q->oldest && (!x->oldest || rcpt_msg(q->oldest)->received_at < x->oldest))
			x->oldest = rcpt_msg(q->oldest)->received_at;
		if (first && (!x->next_attempt || first->tree.due < x->next_attempt))
			x->next_attempt = first->tree.due;
		x->stale_mx |= q->hosts && q->hosts->stale;
	}
}

/* What holds besides the answer to "why": the first of down, paused, disabled, backoff, resting. */
static uint8_t with_backoff(uint8_t state)
{
	return state == STATE_DOWN || state == STATE_PAUSED || state == STATE_DISABLED
		   ? state
		   : STATE_BACKOFF;
}

/* Is one of a site's lanes in backoff? */
static bool in_backoff(struct sched *s, const struct link *lanes)
{
	if (list_empty(&s->modes) && list_empty(&s->live))
		return false;
	for (const struct link *l = lanes->next; l != lanes; l = l->next)
		if (lane_in_backoff(s, LIST_OF(l, const struct lane, on_site)))
			return true;
	return false;
}

/* The last that holds before ok and idle. */
static uint8_t with_warming(uint8_t state)
{
	return state == STATE_OK || state == STATE_IDLE ? STATE_WARMING : state;
}

/* Is everything that goes there held back by a warm-up? */
static bool all_warming(struct sched *s, const struct link *lanes)
{
	for (const struct link *l = lanes->next; l != lanes; l = l->next)
		if (!warm_of(s, LIST_OF(l, const struct lane, on_site)))
			return false;
	return !list_empty(lanes);
}

static void fill_site(struct sched *s, struct site *t, struct row *r)
{
	struct row_queue *x = &r->site;

	r->name = rstr_ref(t->name);
	why_site(s, t, &r->why);
	r->state = state_of_why(&r->why, t->queued);
	if (in_backoff(s, &t->lanes))
		r->state = with_backoff(r->state);
	else if (r->state == STATE_OK && all_warming(s, &t->lanes))
		r->state = STATE_WARMING;
	x->queued = t->queued;
	x->due = t->due;
	x->in_flight = t->in_flight;
	fill_traffic(t->tally, s->now, &x->t);
	x->t.connections = t->conn ? (uint32_t)t->conn->used : 0;
	fill_ages(t, x);
	fill_eta(&(struct eta_of){ t->queued, t->due, t->tally, t, t->nqueues }, s->now, &r->why,
		 &x->eta, &x->eta_state);
	tally_trend(t->tally, s->now, x->trend);
	x->domains = t->nqueues;
	x->lanes = count_links(&t->lanes);
	x->site_name = rstr_ref(t->name);
	x->provider = t->is_provider ? rstr_ref(t->name) : NULL;
	if (t->tally) {
		x->last_reply = rstr_ref(t->tally->last_reply);
		x->last_reply_at = t->tally->last_reply_at;
	}
}

static void lane_limits(const struct lane *a, struct row_lane *x)
{
	for (const struct link *l = a->paths.next; l != &a->paths; l = l->next) {
		const struct path *p = LIST_OF(l, const struct path, on_lane);

		for (uint8_t i = 0; i < p->limits.nrate; i++) {
			float per_s = (float)rate_per_s(counter_rate(p->limits.rate[i]));

			if (p->limits.rate[i]->scope == SCOPE_LANE &&
			    (!(x->rate_limit > 0) || per_s < x->rate_limit))
				x->rate_limit = per_s;
		}
		for (uint8_t i = 0; i < p->limits.nconn; i++)
			if (p->limits.conn[i]->scope == SCOPE_LANE &&
			    (!x->connection_limit ||
			     (uint32_t)p->limits.conn[i]->limit < x->connection_limit))
				x->connection_limit = (uint32_t)p->limits.conn[i]->limit;
	}
}

static void fill_mode(struct sched *s, const struct lane *a, struct row_lane *x)
{
	const struct override *o = override_backoff(s, a);
	const struct mode *m = a->mode;

	if (m) {
		x->learned_rate = (float)m->rate.value;
		x->learned_ceiling = (float)m->rate.ceiling;
	}
	if (m && m->since) {
		x->backoff_since = m->since;
		x->backoff_until = m->until;
		x->backoff_step = m->step;
		x->backoff_rule = rstr_ref(m->rule);
		x->backoff_reply = rstr_ref(m->reply);
	} else if (o) {
		x->backoff_since = o->made_at;
		x->backoff_until = o->until;
		x->backoff_rule = rstr_newf("override %llu", (unsigned long long)o->number);
	}
}

static void fill_warmup(const struct warm *w, us_t now, struct row_lane *x)
{
	const struct row_warmup y = {
		.step = w->step,
		.cap = w->cap,
		.used = warm_used(w, now),
		.sample = w->sample,
		.bounce_percent =
		    w->sample ? (float)(100.0 * (double)w->bad / (double)w->sample) : -1,
		.next_step_at = warm_ends(w, now),
	};

	x->warmup = rstr_new(str_mem((const char *)&y, sizeof y));
}

bool row_warmup(const struct row_lane *x, struct row_warmup *out)
{
	if (!x->warmup)
		return false;
	memcpy(out, x->warmup->text, sizeof *out);
	return true;
}

static void fill_lane(struct sched *s, struct lane *a, struct row *r)
{
	struct row_lane *x = &r->lane;
	const struct key_rest *held = NULL;

	r->name = rstr_ref(a->name);
	why_lane(s, a, &r->why);
	r->state = state_of_why(&r->why, a->conn->used > 0 || a->site->due);
	fill_traffic(a->tally, s->now, &x->t);
	x->t.connections = (uint32_t)a->conn->used;
	lane_limits(a, x);
	fill_mode(s, a, x);
	if (warm_of(s, a)) {
		fill_warmup(a->warm, s->now, x);
		r->state = with_warming(r->state);
	}
	if (x->backoff_since)
		r->state = with_backoff(r->state);
	if (a->rest_kind == REST_NONE && (held = keyrest_waiting(a))) {
		x->resting_since = held->since;
		x->resting_until = held->until;
		x->rest_reason = rstr_ref(held->reason);
	} else if (a->rest_kind != REST_NONE) {
		x->resting_since = a->resting_since;
		x->resting_until = a->resting_until;
		x->rest_reason = rstr_ref(a->rest_reason);
	}
	x->rest_step = held ? held->step : a->rest_step;
	x->site = a->site->row.id;
	x->site_name = rstr_ref(a->site->name);
	x->provider = a->site->is_provider ? rstr_ref(a->site->name) : NULL;
	x->vmta = rstr_ref(a->source->name);
	x->source_ip = rstr_ref(a->source->ip_text);
	if (a->tally) {
		x->last_reply = rstr_ref(a->tally->last_reply);
		x->last_reply_at = a->tally->last_reply_at;
	}
}

static uint8_t state_of_source(struct sched *s, const struct source *src)
{
	if (src->vmta == CONF_NONE || !source_usable(src))
		return STATE_DOWN;
	if (override_disables(s, src))
		return STATE_DISABLED;
	for (const struct link *l = s->modes.next; l != &s->modes; l = l->next) {
		const struct mode *m = LIST_OF(l, const struct mode, link);

		if (m->since && m->lane->source == src)
			return STATE_BACKOFF;
	}
	if (warm_source(s, src))
		return STATE_WARMING;
	return src->conn->used || (src->tally && tally_rate(src->tally, s->now) > 0) ? STATE_OK
										     : STATE_IDLE;
}

static void fill_source(struct sched *s, struct source *src, struct row *r)
{
	struct row_source *x = &r->source;
	struct percents p;

	r->name = rstr_ref(src->name);
	r->state = state_of_source(s, src);
	why_source(s, src, &r->why);
	fill_traffic(src->tally, s->now, &x->t);
	tally_percents(src->tally, s->now, &p);
	x->t.connections = (uint32_t)src->conn->used;
	x->transient_percent = p.transient;
	x->permanent_percent = p.permanent;
	x->provider_count = src->nlanes;
	x->ptr_ok = src->ptr_ok;
	x->source_ip = rstr_ref(src->ip_text);
	x->hostname = rstr_ref(src->host4 ? src->host4 : src->host6);
	x->pools = rstr_ref(src->pools);
	x->bytes_rate = source_bytes_rate(src, s->now);
	if (src->tally) {
		x->last_reply = rstr_ref(src->tally->last_reply);
		x->last_reply_at = src->tally->last_reply_at;
	}
}

static void fill_job(struct sched *s, struct job *j, struct row *r)
{
	struct row_job *x = &r->job;

	r->name = rstr_ref(j->name);
	r->why.code = j->queued ? WHY_READY : WHY_IDLE;
	if (job_stopped(s, j))
		why_paused_by(s, j->paused, &r->why);
	r->state = state_of_why(&r->why, j->queued);
	x->queued = j->queued;
	fill_traffic(j->tally, s->now, &x->t);
	x->first_at = j->first_at;
	x->complaint_percent = -1;
	fill_eta(&(struct eta_of){ j->queued, j->queued, j->tally, NULL, 1 }, s->now, &r->why,
		 &x->eta, &x->eta_state);
	x->user = rstr_ref(j->user);
}

static void fill(struct sched *s, struct row_head *h, struct row *r)
{
	*r = (struct row){ .id = h->id, .kind = h->kind };
	switch ((enum row_kind)h->kind) {
	case ROW_QUEUE:
		fill_queue(s, HEAP_OF(h, struct queue, row), r);
		break;
	case ROW_SITE:
		fill_site(s, HEAP_OF(h, struct site, row), r);
		break;
	case ROW_LANE:
		fill_lane(s, HEAP_OF(h, struct lane, row), r);
		break;
	case ROW_SOURCE:
		fill_source(s, HEAP_OF(h, struct source, row), r);
		break;
	case ROW_JOB:
		fill_job(s, HEAP_OF(h, struct job, row), r);
		break;
	case ROW_OVERRIDE:
		override_fill(s, h, r);
		break;
	case ROW_ALARM:
		alarm_fill(s, h, r);
		break;
	case ROW_FEEDBACK:
	case ROW_REPUTATION:
	case ROW_KINDS:
		break;
	}
}

static int take_gone(struct sched *s, int max, void (*fn)(void *arg, struct row *r), void *arg)
{
	struct link *l;
	int n = 0;

	while (n < max && (l = list_pop(&s->gone))) {
		struct gone_row *g = LIST_OF(l, struct gone_row, link);
		struct row r = { .id = g->id, .kind = g->kind, .deleted = true };

		pool_put(&s->gone_pool, g);
		fn(arg, &r);
		n++;
	}
	return n;
}

int sched_rows(struct sched *s, us_t now, int max, void (*fn)(void *arg, struct row *r), void *arg)
{
	struct link *l;
	int n;

	OBJ_CHECK(s, SCHED_MAGIC);
	s->now = now;
	n = take_gone(s, max, fn, arg);
	while (n < max && (l = list_pop(&s->dirty))) {
		struct row r;

		fill(s, LIST_OF(l, struct row_head, dirty), &r);
		fn(arg, &r);
		n++;
	}
	return n;
}

/* Something that every row shows has changed. The walk does the queues. */
void rows_all_dirty(struct sched *s)
{
	for (uint32_t i = 0; i < s->nsources; i++)
		row_dirty(s, &s->sources[i]->row);
	epoch_raise(s);
}
