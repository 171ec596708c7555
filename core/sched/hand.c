/* Handing out: a transaction of one message and queue, the permits it starts with, and its way to a
 * session. */
#include "core/sched/inner.h"

/* A transaction under a rate holds at most so much of it: another message waits no longer for its
 * turn. */
#define HALF_SECOND_US (US_PER_S / 2)

/* ---- building transactions ---- */

struct str rcpt_address_into(struct arena *a, const struct rcpt *r)
{
	struct str local, domain;
	char *p;

	rcpt_address(r, &local, &domain);
	if (r->flags & RF_WHOLE)
		return arena_str(a, local);
	p = arena_alloc(a, local.n + 1 + domain.n + 1);
	if (!p)
		return (struct str){ 0 };
	memcpy(p, local.p, local.n);
	p[local.n] = '@';
	memcpy(p + local.n + 1, domain.p, domain.n);
	return str_mem(p, local.n + 1 + domain.n);
}

static bool fill_rcpt(struct arena *a, const struct rcpt *r, struct txn_rcpt *out)
{
	out->index = r->index;
	out->attempt = (uint32_t)r->attempts + 1;
	out->notify = r->notify;
	out->address = rcpt_address_into(a, r);
	if (r->flags & RF_ORCPT)
		out->orcpt = arena_str(a, rcpt_orcpt(r));
	return out->address.p != NULL;
}

/* `next` gives the recipients after the first. NULL without memory. */
struct transaction *txn_make(struct sched *s, struct msg *m, struct queue *q,
			     struct rcpt *const *rcpts, uint32_t n)
{
	struct transaction *t = transaction_new(n);
	bool ok = t != NULL;

	if (!t)
		return NULL;
	t->id = ++s->next_id;
	t->message = m->id;
	t->sender = arena_str(&t->arena, name_str(m->sender));
	t->job = arena_str(&t->arena, rstr_str(m->job->name));
	t->user = arena_str(&t->arena, rstr_str(m->job->user));
	if (m->flags & MF_ENVID)
		t->envid = arena_str(&t->arena, msg_envid(m));
	t->queue = queue_name(s, q);
	t->place = q->site ? rstr_ref(q->site->name) : NULL;
	t->ret = m->ret;
	t->smtputf8 = (m->flags & MF_SMTPUTF8) != 0;
	t->eightbit = (m->flags & MF_EIGHTBIT) != 0;
	t->dsn = (m->flags & MF_DSN) != 0;
	t->size = m->size;
	t->received_at = m->received_at;
	t->where = m->where;
	for (uint32_t i = 0; i < n && ok; i++)
		ok = fill_rcpt(&t->arena, rcpts[i], &t->rcpts[i]);
	if (ok && t->sender.p && t->job.p && t->user.p)
		return t;
	transaction_free(t);
	return NULL;
}

/* ---- which recipients ---- */

/* The head of the line and those behind it that are of the same message. */
static uint32_t gather(const struct sub *u, struct rcpt **v, uint32_t most)
{
	struct rcpt *r = u->head;
	const struct msg *m = rcpt_msg(r);
	uint32_t n = 0;

	while (n < most && n < u->n && rcpt_msg(r) == m) {
		v[n++] = r;
		r = r->ready.next;
	}
	return n;
}

/* Mail whose sender is in an [inbound] domain has a return path and a reference of its own for each
 * recipient. */
static bool goes_alone(const struct sched *s, const struct msg *m)
{
	return s->conf && s->conf->ninbound &&
	       conf_inbound_of(s->conf, name_str(m->sender)) != CONF_NONE;
}

static uint32_t most_rcpts(const struct sched *s, const struct msg *m, const struct path *p,
			   const struct limits *all)
{
	int64_t most = goes_alone(s, m) ? 1 : p->set->max_rcpt_per_message;

	for (uint8_t i = 0; i < all->nrate; i++) {
		int64_t half = all->rate[i]->bucket.step_ns
				   ? HALF_SECOND_US * 1000 / all->rate[i]->bucket.step_ns
				   : most;

		if (half < most)
			most = half;
	}
	return most < 1 ? 1 : most > TXN_RCPTS_MAX ? TXN_RCPTS_MAX : (uint32_t)most;
}

/* ---- permits ---- */

/* Every rate that the path, the queue or the job has; references are the caller's to clear. */
static void all_limits(struct sched *s, const struct choice *c, struct queue *q,
		       const struct job *j, struct limits_room *all)
{
	limits_begin(all);
	limits_copy(all, &c->path->limits);
	queue_own_limits(s, c->path, q, j, all);
}

static void charge_rates(struct flight *f, const struct limits *all)
{
	for (uint8_t i = 0; i < all->nrate; i++) {
		f->charged[f->ncharged++] = all->rate[i];
		all->rate[i]->refs++;
	}
}

void flight_pending(struct sched *s, struct flight *f, int64_t n)
{
	f->pending += n;
	for (uint8_t i = 0; i < f->ncharged; i++)
		counter_pending(s, f->charged[i], n);
}

/* Takes up to `want` tokens that are there in every rate; asks come before everything else, so what
 * others were promised (pending) only counts for new hand-outs. */
uint32_t flight_grant(struct sched *s, struct flight *f, uint32_t want, bool is_new)
{
	int64_t n = want;

	for (uint8_t i = 0; i < f->ncharged; i++) {
		int64_t there = bucket_tokens(&f->charged[i]->bucket, s->now);

		if (is_new)
			there -= f->charged[i]->pending;
		if (there < n)
			n = there;
	}
	if (n <= 0)
		return 0;
	for (uint8_t i = 0; i < f->ncharged; i++)
		counter_take(s, f->charged[i], n);
	f->granted += (uint32_t)n;
	f->granted_at = s->now;
	return (uint32_t)n;
}

/* Permits that were not used in time are void. */
void flight_void(struct sched *s, struct flight *f)
{
	uint32_t unused = f->granted - f->used;

	if (!unused)
		return;
	for (uint8_t i = 0; i < f->ncharged; i++)
		counter_give_back(s, f->charged[i], f->granted_at, unused);
	f->granted = f->used;
	for (uint8_t i = 0; i < f->ncharged; i++)
		gate_open(s, &f->charged[i]->gate);
}

static void set_permits(struct sched *s, struct flight *f, struct transaction *t, bool opening)
{
	if (!f->ncharged) {
		t->permits = f->n;
		t->permit_until = US_NEVER;
		return;
	}
	if (!opening) {
		t->permits = flight_grant(s, f, f->n, true);
		t->permit_from = s->now + lead_now(&s->lead, s->now);
		t->permit_until = t->permit_from + PERMIT_LIFE_US;
		flight_pending(s, f, (int64_t)f->n - t->permits);
	}
}

/* Its session is up and will ask: from now on new hand-outs stand behind it. */
void flight_up(struct sched *s, struct flight *f)
{
	if (f->ncharged)
		flight_pending(s, f, f->n);
}

/* ---- flights ---- */

static struct flight *flight_new(struct sched *s, struct transaction *t, struct msg *m,
				 struct queue *q, struct rcpt **v, uint32_t n)
{
	struct flight *f = pool_get(&s->flight_pool);
	struct rcpt **at;

	if (!f)
		return NULL;
	f->id = t->id;
	f->msg = m;
	f->queue = q;
	f->n = n;
	if (!idmap_put(&s->by_flight, f->id, f)) {
		pool_put(&s->flight_pool, f);
		return NULL;
	}
	at = &f->first;
	for (uint32_t i = 0; i < n; i++) {
		rcpt_out(s, v[i], f);
		*at = v[i];
		at = &v[i]->out.next;
	}
	return f;
}

void flight_free(struct sched *s, struct flight *f)
{
	flight_void(s, f);
	flight_pending(s, f, -f->pending);
	for (uint8_t i = 0; i < f->ncharged; i++)
		counter_unref(s, f->charged[i]);
	idmap_del(&s->by_flight, f->id);
	pool_put(&s->flight_pool, f);
}

/* ---- handing out ---- */

static void send_txn(struct sched *s, struct session *session, struct session_spec *spec,
		     struct transaction *t)
{
	action_to_io(s, session->io,
		     &(struct to_io){ .type = spec ? TO_IO_OPEN : TO_IO_TXN,
				      .session = session->id,
				      .spec = spec,
				      .txn = t });
}

static void hand_out_later(struct sched *s, struct queue *q, struct transaction *t)
{
	transaction_free(t);
	flow_look_again(s, q->flow);
	q->flow->runnable = false;
}

void hand_out(struct sched *s, struct queue *q, struct choice *c)
{
	struct rcpt *v[TXN_RCPTS_MAX];
	struct session *session = c->session;
	struct session_spec *spec = NULL;
	struct limits_room all;
	struct msg *m = rcpt_msg(c->sub->head);
	struct transaction *t;
	struct flight *f = NULL;
	uint32_t n;

	all_limits(s, c, q, m->job, &all);
	n = gather(c->sub, v, most_rcpts(s, m, c->path, &all.l));
	c->sub->since_s = (uint32_t)(s->now / US_PER_S);
	t = txn_make(s, m, q, v, n);
	if (t && !session)
		session = session_open(s, c->path, q, &spec);
	if (t && session)
		f = flight_new(s, t, m, q, v, n);
	if (!f) {
		if (spec)
			session_unopen(s, session, spec);
		hand_out_later(s, q, t);
		limits_clear(s, &all.l);
		return;
	}
	charge_rates(f, &all.l);
	session_take(s, session, f, c->path, q, &all.l);
	limits_clear(s, &all.l);
	t->session = session->id;
	t->patterns = patterns_ref(session->patterns);
	t->dkim_sign = c->path->set->dkim_sign;
	t->body = body_for_txn(s, m, m->live == n);
	set_permits(s, f, t, spec != NULL);
	send_txn(s, session, spec, t);
	s->budget -= 1 + (int)(n / 16);
}
