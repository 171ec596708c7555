/* What came of a transaction: a decision for each recipient, counted where it belongs, and on to
 * the spool. */
#include "core/sched/inner.h"
#include "core/sched/warmup.h"

enum { STEP_RANK_MAIL = STEP_MAIL };

/* ---- one decision ---- */

static void count_outcome(struct sched *s, const struct txn_rcpt *tr, struct counts *c)
{
	switch ((enum decision)tr->decision) {
	case DECIDE_DELIVERED:
		s->totals.delivered++;
		c->delivered++;
		break;
	case DECIDE_DEFERRED:
		s->totals.deferred++;
		c->deferred++;
		break;
	case DECIDE_BOUNCED:
		s->totals.bounced++;
		c->bounced++;
		break;
	case DECIDE_EXPIRED:
		s->totals.expired++;
		break;
	case DECIDE_REMOVED:
		s->totals.removed++;
		break;
	case DECIDE_NONE:
		break;
	}
	if (tr->maybe_twice)
		s->totals.maybe_twice++;
}

static void count_everywhere(struct sched *s, struct queue *q, struct lane *a, struct job *j,
			     const struct counts *c)
{
	struct tally *v[6];
	int n = 0;

	v[n++] = tally_get(s, &q->tally, &q->row);
	v[n++] = tally_get(s, &j->tally, &j->row);
	if (q->site)
		v[n++] = tally_get(s, &q->site->tally, &q->site->row);
	if (a)
		v[n++] = tally_get(s, &a->tally, &a->row);
	if (a)
		v[n++] = tally_get(s, &a->source->tally, &a->source->row);
	v[n++] = &s->out;
	for (int i = 0; i < n; i++)
		if (v[i])
			tally_count(s, v[i], c);
}

static void remember_reply(struct sched *s, struct rcpt *r, const struct rstr *reply)
{
	name_put(s, r->reply);
	r->reply = reply ? name_get(s, rstr_str(reply)) : NULL;
}

/* The recipient is finished, in its queue's and message's books too. */
static void settle(struct sched *s, struct rcpt *r, const struct transaction *t,
		   struct txn_rcpt *tr)
{
	/* RFC 3461 5.2: where DSN is offered, the next host answers for its success. */
	bool passed = tr->decision == DECIDE_DELIVERED && t->dsn_passed;

	tr->report = tr->decision != DECIDE_REMOVED && !passed && dsn_wanted(r, tr->decision);
	if (tr->report)
		dsn_ended(s, r, tr, t->mx ? t->mx->text : "");
	rcpt_done(s, r);
}

/* ---- recipients that failed without a session ---- */

/* v: recipients of one message and queue. They are in no flight. */
void result_make(struct sched *s, struct rcpt **v, uint32_t n, enum decision decision,
		 const char *enhanced, struct rstr *reply)
{
	struct msg *m = rcpt_msg(v[0]);
	struct queue *q = v[0]->queue;
	struct transaction *t = txn_make(s, m, q, v, n);
	struct counts c = { 0 };

	if (!t) {
		for (uint32_t i = 0; i < n; i++) {
			rcpt_unplace(s, v[i]);
			rcpt_wait(s, v[i], s->now + US_PER_S);
		}
		return;
	}
	m->live++; /* not to be freed on the way */
	for (uint32_t i = 0; i < n; i++) {
		struct txn_rcpt *tr = &t->rcpts[i];

		tr->attempt--;
		tr->decision = (uint8_t)decision;
		tr->verdict.class = CLASS_PERMANENT;
		tr->verdict.permanent = true;
		tr->verdict.rule = "stoker";
		memcpy(tr->verdict.enhanced, enhanced, strlen(enhanced) + 1);
		tr->reply = rstr_ref(reply);
		count_outcome(s, tr, &c);
		settle(s, v[i], t, tr);
	}
	t->started_at = t->ended_at = s->now;
	if (c.bounced) {
		c.reply = reply;
		count_everywhere(s, q, NULL, m->job, &c);
	}
	action_add(s, ACT_OUTCOMES)->a.txn = t;
	m->live--;
	msg_settle(s, m);
}

/* ---- results of a session ---- */

/* The receiver had its say on this recipient: its RCPT, or the MAIL before it, was answered, or it
 * can't be sent at all. */
static bool judged(const struct txn_rcpt *tr)
{
	return tr->tried || tr->verdict.permanent ||
	       (tr->reply && (tr->step >= STEP_RANK_MAIL || needs_more(tr->step)));
}

static bool is_failure(const struct txn_rcpt *tr)
{
	switch (tr->verdict.class) {
	case CLASS_THROTTLE:
	case CLASS_TRANSIENT:
	case CLASS_POLICY:
	case CLASS_CONNECTION:
		return true;
	case CLASS_OK:
	case CLASS_MAILBOX:
	case CLASS_GREYLIST:
	case CLASS_PERMANENT:
		return false;
	}
	return false;
}

/* For want of TLS or of a login: it stays in its place, and its session key's rest says when the
 * next try is. NULL: that is not so. */
static const struct key_rest *waits_for(struct sched *s, const struct txn_rcpt *tr,
					const struct session *e)
{
	const struct key_rest *r = e && needs_more(tr->step) ? keyrest_of(s, e) : NULL;

	return r && r->kind != REST_NONE ? r : NULL;
}

static bool skips_mx(const struct txn_rcpt *tr)
{
	return tr->verdict.pattern && (tr->verdict.pattern->does.acts & DO_SKIP_MX);
}

static void decide(struct sched *s, struct rcpt *r, struct txn_rcpt *tr, const struct session *e)
{
	const struct key_rest *rest = waits_for(s, tr, e);

	if (tr->verdict.class == CLASS_OK)
		tr->decision = DECIDE_DELIVERED;
	else if (tr->verdict.permanent)
		tr->decision = DECIDE_BOUNCED;
	else
		tr->decision = (uint8_t)retry_decide(s, r, tr);
	if (tr->decision == DECIDE_DEFERRED && rest)
		tr->due = rest->until;
}

static void defer(struct sched *s, struct rcpt *r, struct txn_rcpt *tr, const struct session *e)
{
	const struct lane *a = e ? e->lane : NULL;
	bool waits = waits_for(s, tr, e) != NULL;

	rcpt_unplace(s, r);
	if (r->attempts < UINT16_MAX)
		r->attempts++;
	r->flags &= (uint8_t)~RF_UNTRIED;
	/* Nobody has judged it by its address yet where it waits for TLS: any other will do. */
	r->prefer = a && !waits ? (uint16_t)(a->source->slot + 1) : 0;
	remember_reply(s, r, tr->reply);
	dsn_delayed(s, r, tr);
	if (waits)
		rcpt_ready(s, r, true);
	else
		rcpt_wait(s, r, tr->due);
}

/* Untried: due again at once, in its old place; one that keeps coming back waits a moment, so that
 * nothing spins. */
static void back(struct sched *s, struct rcpt *r, bool recalled)
{
	unsigned times = ((unsigned)r->flags & RF_UNTRIED) / RF_UNTRIED_ONE;

	rcpt_unplace(s, r);
	if (recalled || times < UNTRIED_MOST) {
		if (!recalled)
			r->flags = (uint8_t)(r->flags + RF_UNTRIED_ONE);
		rcpt_ready(s, r, true);
		return;
	}
	rcpt_wait(s, r, s->now + US_PER_S);
}

struct taking { /* one transaction's results, while they are gone through */
	struct session *e;
	struct lane *lane;
	struct transaction *t;
	struct counts counts;
	bool any, failure, recalled;
};

static void tell_lane(struct sched *s, struct taking *k, struct queue *q, const struct txn_rcpt *tr)
{
	lane_result(s, k->lane, tr->decision == DECIDE_DELIVERED, is_failure(tr), tr->reply);
	learn_attempt(s, k->lane);
	warm_result(s, k->lane, tr);
	if (tr->decision != DECIDE_DELIVERED || tr->verdict.pattern)
		mode_reply(s, k->lane, q, &tr->verdict, tr->reply);
	if (tr->decision != DECIDE_DELIVERED)
		return;
	mode_delivered(s, k->lane);
	keyrest_delivered(s, k->e);
}

static void note_unsigned(struct queue *q, const struct transaction *t)
{
	if (!t->unsigned_by)
		return;
	rstr_unref(q->unsigned_by);
	q->unsigned_by = rstr_ref(t->unsigned_by);
}

static void take_one(struct sched *s, struct taking *k, struct rcpt *r, struct txn_rcpt *tr)
{
	if (!judged(tr)) {
		tr->decision = DECIDE_NONE;
		back(s, r, k->recalled);
		return;
	}
	if (skips_mx(tr))
		mode_skip_mx(s, k->e, r->queue, k->t);
	decide(s, r, tr, k->e);
	note_unsigned(r->queue, k->t);
	count_outcome(s, tr, &k->counts);
	k->any = true;
	if (tr->reply)
		k->counts.reply = tr->reply;
	if (k->lane && !needs_more(tr->step) && !tr->suppressed)
		tell_lane(s, k, r->queue, tr);
	if (tr->decision == DECIDE_DEFERRED)
		defer(s, r, tr, k->e);
	else
		settle(s, r, k->t, tr);
}

static void take_body(struct sched *s, struct msg *m, struct transaction *t)
{
	void *body = t->body;

	t->body = NULL;
	if (m->live > 1) /* besides the hold on it */
		body_hold(s, m, body);
	else
		action_body_drop(s, body);
}

/* DOWN is still to come, and what comes back now must not run into the same lane again. */
static void failed_opening(struct sched *s, struct session *e, const struct transaction *t)
{
	for (uint32_t i = 0; e && e->state == SESSION_OPENING && i < t->nrcpts; i++)
		if (needs_more(t->rcpts[i].step) && t->rcpts[i].reply) {
			e->failed = true;
			session_failed(s, e, t->rcpts[i].step, t->rcpts[i].reply);
			return;
		}
}

static void untried_opening(struct sched *s, struct session *e)
{
	/* The session never came up: what it held must not run into the same lane again before DOWN
	 * is here. */
	e->failed = true;
	lane_connect_failed(s, e->lane, NULL);
}

void result_take(struct sched *s, struct session *e, struct flight *f, struct transaction *t)
{
	struct taking k = {
		.e = e, .lane = e ? e->lane : NULL, .t = t, .recalled = f->recalled || t->no_room
	};
	struct msg *m = f->msg;
	struct queue *q = f->queue;
	struct rcpt *r = f->first, *next;
	uint32_t tried = 0;

	failed_opening(s, e, t);
	if (t->no_room && !sched_held(s, HOLD_MEMORY))
		sched_hold(s, s->now, HOLD_MEMORY, true);
	m->live++; /* not to be freed on the way */
	for (uint32_t i = 0; i < t->nrcpts; i++)
		tried += t->rcpts[i].tried && !t->rcpts[i].suppressed;
	if (f->ncharged && tried > f->used)
		f->used = tried < f->granted ? tried : f->granted;
	flight_free(s, f);
	for (uint32_t i = 0; r && i < t->nrcpts; i++, r = next) {
		next = r->out.next;
		take_one(s, &k, r, &t->rcpts[i]);
	}
	if (k.counts.delivered && k.lane)
		source_count_bytes(s, k.lane->source, m->size);
	if (k.any)
		count_everywhere(s, q, k.lane, m->job, &k.counts);
	else if (e && e->state == SESSION_OPENING && !k.recalled)
		untried_opening(s, e);
	take_body(s, m, t);
	if (k.any)
		action_add(s, ACT_OUTCOMES)->a.txn = t;
	else
		transaction_free(t);
	m->live--;
	msg_settle(s, m);
}
