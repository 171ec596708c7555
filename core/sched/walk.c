/* Commands that go through recipients, in steps: a cursor stands on a recipient of a pinned queue,
 * and steps on when that one leaves. */
#include "core/sched/pend.h"

enum { STEP_RCPTS = 128 };

/* ---- cursors ---- */

static void cursor_set(struct sched *s, struct cursor *c, struct rcpt *r)
{
	if (!list_in(&c->link))
		list_add(&s->cursors, &c->link);
	c->at = r;
	if (r)
		r->flags |= RF_CURSOR;
}

/* A recipient leaves its queue: who stands on it steps on. */
void cursors_leave(struct sched *s, struct rcpt *r)
{
	r->flags &= (uint8_t)~RF_CURSOR;
	for (struct link *l = s->cursors.next; l != &s->cursors; l = l->next) {
		struct cursor *c = LIST_OF(l, struct cursor, link);

		if (c->at == r) {
			c->at = r->newer;
			if (c->at)
				c->at->flags |= RF_CURSOR;
		}
	}
}

/* ---- walking ---- */

void walk_start(struct pend *p, enum pend_walk what)
{
	p->phase = PEND_WALK;
	p->walk = (uint8_t)what;
	p->bucket = 0;
	p->done = 0;
}

/* Does the command concern the queue as a whole, or may it concern some of its recipients? */
static bool concerns(const struct pend *p, const struct queue *q)
{
	if (p->cmd.type == CMD_MOVE && str_ieq(rstr_str(q->route->name), rstr_str(p->route)))
		return false;
	switch (p->target.kind) {
	case TARGET_JOB:
	case TARGET_USER:
	case TARGET_MESSAGE:
		return true;
	case TARGET_VMTA:
		return q->route->vmta != CONF_NONE &&
		       str_glob(p->target.a, rstr_str(q->route->name));
	case TARGET_LANE:
		return q->site && str_glob(p->target.a, rstr_str(q->site->name));
	case TARGET_ALL:
	case TARGET_DOMAIN:
	case TARGET_QUEUE:
	case TARGET_SITE:
	case TARGET_POOL:
		break;
	}
	return target_has_queue(&p->target, q);
}

static bool by_rcpt(const struct pend *p)
{
	return p->target.kind == TARGET_JOB || p->target.kind == TARGET_USER ||
	       p->target.kind == TARGET_MESSAGE;
}

static bool takes(struct pend *p, const struct rcpt *r)
{
	const struct sched_cmd *c = &p->cmd;

	if (by_rcpt(p) && !target_has_rcpt(&p->target, r))
		return false;
	if (c->shown_at && rcpt_msg(r)->received_at > c->shown_at)
		return false;
	return c->expect < 0 || p->done < (uint64_t)c->expect;
}

static void retry_rcpt(struct sched *s, struct rcpt *r)
{
	if (r->phase != PHASE_WAITING)
		return;
	rcpt_unplace(s, r);
	rcpt_ready(s, r, false);
}

static bool share_takes(struct pend *p)
{
	if (p->cmd.type != CMD_MOVE || p->cmd.share >= 1)
		return true;
	p->share += p->cmd.share;
	if (p->share < 1 - 1e-9)
		return false;
	p->share -= 1;
	return true;
}

/* Consecutive recipients of one message go together. Returns how many. */
static uint32_t take_some(struct sched *s, struct pend *p, struct rcpt *r)
{
	struct rcpt *v[STEP_RCPTS];
	const struct msg *m = rcpt_msg(r);
	struct rstr *text;
	uint32_t n = 0;

	for (; r && n < STEP_RCPTS && rcpt_msg(r) == m && r->phase != PHASE_OUT && takes(p, r);
	     r = r->newer) {
		v[n++] = r;
		p->done++;
	}
	if (p->cmd.type == CMD_DELETE) {
		result_make(s, v, n, DECIDE_REMOVED, "2.0.0", NULL);
		return n;
	}
	text = p->cmd.silent	? rstr_ref(p->reason)
	       : p->reason->len ? rstr_newf("returned by the operator: %s", p->reason->text)
				: rstr_newf("returned by the operator");
	result_make(s, v, n, DECIDE_BOUNCED, "5.7.0", text);
	rstr_unref(text);
	return n;
}

static void move_one(struct sched *s, struct pend *p, struct rcpt *r)
{
	struct queue *q =
	    queue_get(s, rstr_str(r->queue->domain->name), route_get(s, rstr_str(p->route)));

	if (!q || q == r->queue)
		return;
	p->done++;
	rcpt_move(s, r, q);
	state_move_save(s, r);
}

/* One recipient at the cursor; steps on. */
static void walk_rcpt(struct sched *s, struct pend *p)
{
	struct rcpt *r = p->cursor.at;

	s->budget--;
	if (p->walk == WALK_TAKE && r->phase != PHASE_OUT && takes(p, r) && share_takes(p) &&
	    !p->cmd.dry_run) {
		if (p->cmd.type == CMD_MOVE)
			move_one(s, p, r);
		else
			take_some(s, p, r);
		if (p->cursor.at != r)
			return;
	} else if (takes(p, r) && p->walk == WALK_COUNT) {
		p->done += r->phase != PHASE_OUT;
	} else if (takes(p, r) && p->walk == WALK_RETRY && r->phase == PHASE_WAITING) {
		p->done++;
		retry_rcpt(s, r);
	}
	r->flags &= (uint8_t)~RF_CURSOR;
	cursor_set(s, &p->cursor, r->newer);
}

/* A queue that is not gone through one by one. True if it is done with. */
static bool whole_queue(struct sched *s, struct pend *p, struct queue *q)
{
	if (by_rcpt(p) || p->walk == WALK_TAKE)
		return !q->queued;
	if (p->walk == WALK_RETRY) {
		p->done += q->nwaiting;
		queue_release(s, q);
		if (q->hosts)
			hosts_retry(s, q->hosts);
		return true;
	}
	if (p->cmd.shown_at && q->newest && rcpt_msg(q->newest)->received_at > p->cmd.shown_at)
		return false;
	p->done += q->queued - q->in_flight;
	return true;
}

static void step_message(struct sched *s, struct pend *p)
{
	struct msg *m = msg_find(s, p->target.message);

	if (!m)
		return;
	m->live++; /* not to be freed on the way */
	for (uint32_t i = 0; i < m->nrcpts; i++) {
		struct rcpt *r = &m->rcpts[i];

		if (r->phase == PHASE_DONE || r->phase == PHASE_OUT || !takes(p, r))
			continue;
		if (p->walk == WALK_COUNT || (p->walk == WALK_RETRY && r->phase == PHASE_WAITING))
			p->done++;
		if (p->walk == WALK_RETRY)
			retry_rcpt(s, r);
		else if (p->walk == WALK_TAKE && p->cmd.type == CMD_MOVE)
			move_one(s, p, r);
		else if (p->walk == WALK_TAKE)
			take_some(s, p, r);
	}
	m->live--;
	msg_settle(s, m);
}

static void walk_queue(struct sched *s, struct pend *p, struct queue *q)
{
	s->budget--;
	if (q->seen == p->serial || !concerns(p, q))
		return;
	q->seen = p->serial;
	if (whole_queue(s, p, q))
		return;
	p->q = q;
	q->pins++;
	cursor_set(s, &p->cursor, q->oldest);
}

/* Goes on in the queue it stands in. */
static void walk_in_queue(struct sched *s, struct pend *p)
{
	while (s->budget > 0 && p->cursor.at)
		walk_rcpt(s, p);
	if (p->cursor.at)
		return;
	p->q->pins--;
	p->q = NULL;
	list_del(&p->cursor.link);
}

static bool enough(const struct pend *p)
{
	return p->cmd.expect >= 0 && p->done >= (uint64_t)p->cmd.expect && p->walk == WALK_TAKE;
}

/* True when all queues have been gone through. An entry of the table only ever moves to a later
 * bucket, and a queue remembers which command took it. */
bool walk_on(struct sched *s, struct pend *p)
{
	if (p->target.kind == TARGET_MESSAGE) {
		step_message(s, p);
		return true;
	}
	if (p->q)
		walk_in_queue(s, p);
	while (s->budget > 0 && !p->q && p->bucket < s->queues.buckets && !enough(p)) {
		struct table_link *l = table_at(&s->queues, p->bucket);

		while (l && !p->q) {
			walk_queue(s, p, TABLE_OF(l, struct queue));
			l = l->next;
		}
		if (!p->q)
			p->bucket++; /* else once more: those behind q have not been seen */
		else
			walk_in_queue(s, p);
	}
	if (p->q && enough(p)) {
		p->cursor.at = NULL;
		walk_in_queue(s, p);
	}
	return !p->q && (p->bucket >= s->queues.buckets || enough(p));
}
