/* A recipient's way through its phases, and what is counted of it. */
#include "core/sched/inner.h"

/* ---- the list by age ---- */

static void age_add(struct queue *q, struct rcpt *r)
{
	us_t at = rcpt_msg(r)->received_at;
	struct rcpt *o = q->newest;

	/* Mail comes in order, but for moves and the load at start. */
	while (o && rcpt_msg(o)->received_at > at)
		o = o->older;
	r->older = o;
	r->newer = o ? o->newer : q->oldest;
	if (r->newer)
		r->newer->older = r;
	else
		q->newest = r;
	if (o)
		o->newer = r;
	else
		q->oldest = r;
}

static void age_del(struct sched *s, struct rcpt *r)
{
	struct queue *q = r->queue;

	if (r->flags & RF_CURSOR)
		cursors_leave(s, r);
	if (r->older)
		r->older->newer = r->newer;
	else
		q->oldest = r->newer;
	if (r->newer)
		r->newer->older = r->older;
	else
		q->newest = r->older;
	r->older = r->newer = NULL;
}

/* ---- counts ---- */

static void count_queued(struct sched *s, struct rcpt *r, int n)
{
	struct queue *q = r->queue;
	struct job *j = rcpt_msg(r)->job;

	q->queued += (uint32_t)n;
	q->route->queued += (uint32_t)n;
	j->queued += (uint32_t)n;
	if (q->site) {
		q->site->queued += (uint32_t)n;
		row_dirty(s, &q->site->row);
	} else {
		s->totals.no_site += (uint64_t)(int64_t)n;
	}
	row_dirty(s, &q->row);
	row_dirty(s, &j->row);
}

static void count_ready(struct sched *s, struct queue *q, int n)
{
	q->ready += (uint32_t)n;
	if (q->site)
		q->site->due += (uint32_t)n;
	row_dirty(s, &q->row);
}

static void count_out(struct sched *s, struct rcpt *r, int n)
{
	struct queue *q = r->queue;

	q->in_flight += (uint32_t)n;
	rcpt_msg(r)->job->in_flight += (uint32_t)n;
	if (q->site)
		q->site->in_flight += (uint32_t)n;
	row_dirty(s, &q->row);
}

/* ---- phases ---- */

void rcpt_wait(struct sched *s, struct rcpt *r, us_t due)
{
	struct queue *q = r->queue;

	r->phase = PHASE_WAITING;
	r->tree.due = due;
	due_add(&q->waiting, r);
	q->nwaiting++;
	queue_timer(s, q, due);
}

void rcpt_ready(struct sched *s, struct rcpt *r, bool at_front)
{
	struct queue *q = r->queue;

	if (rcpt_msg(r)->flags & MF_PAUSED) {
		r->phase = PHASE_HELD;
		r->tree.due = s->now;
		return;
	}
	if (!band_add(s, r, at_front)) {
		rcpt_wait(s, r, s->now + US_PER_S); /* no memory for a band */
		return;
	}
	r->phase = PHASE_READY;
	count_ready(s, q, 1);
	queue_wake(s, q);
}

void rcpt_out(struct sched *s, struct rcpt *r, struct flight *f)
{
	rcpt_unplace(s, r);
	r->phase = PHASE_OUT;
	r->out.flight = f;
	r->out.next = NULL;
	count_out(s, r, 1);
}

/* Takes it out of where it stands; it is in no phase then. */
void rcpt_unplace(struct sched *s, struct rcpt *r)
{
	struct queue *q = r->queue;

	switch ((enum rcpt_phase)r->phase) {
	case PHASE_WAITING:
		due_del(&q->waiting, r);
		q->nwaiting--;
		break;
	case PHASE_RELEASED:
		due_del(&q->released, r);
		break;
	case PHASE_READY:
		band_del(s, r);
		count_ready(s, q, -1);
		if (!q->ready)
			queue_empty(s, q);
		break;
	case PHASE_OUT:
		count_out(s, r, -1);
		break;
	case PHASE_HELD:
	case PHASE_DONE:
		break;
	}
	r->phase = PHASE_DONE;
}

static void enter_queue(struct sched *s, struct rcpt *r, us_t due)
{
	struct queue *q = r->queue;

	age_add(q, r);
	count_queued(s, r, 1);
	if (q->oldest == r)
		queue_timer(s, q, queue_expiry(q, r));
	if (due <= s->now)
		rcpt_ready(s, r, false);
	else
		rcpt_wait(s, r, due);
}

/* It adds to what waits here, for the ETA. */
void rcpt_arrived(struct sched *s, const struct rcpt *r)
{
	const struct queue *q = r->queue;

	tally_arrived(s, q->tally, 1);
	tally_arrived(s, rcpt_msg(r)->job->tally, 1);
	if (q->site)
		tally_arrived(s, q->site->tally, 1);
}

void rcpt_enter(struct sched *s, struct rcpt *r, us_t due)
{
	rcpt_msg(r)->live++;
	enter_queue(s, r, due);
}

void rcpt_done(struct sched *s, struct rcpt *r)
{
	rcpt_unplace(s, r);
	age_del(s, r);
	count_queued(s, r, -1);
	rcpt_msg(r)->live--;
	s->totals.queued--;
	if (r->flags & RF_MOVED)
		state_move_forget(s, r);
}

/* ---- pausing one message ---- */

void message_pause(struct sched *s, uint64_t id)
{
	struct msg *m = msg_find(s, id);

	if (!m)
		return;
	m->flags |= MF_PAUSED;
	for (uint32_t i = 0; i < m->nrcpts; i++) {
		struct rcpt *r = &m->rcpts[i];

		if (r->phase != PHASE_READY)
			continue;
		rcpt_unplace(s, r);
		rcpt_ready(s, r, false);
	}
}

void message_unpause(struct sched *s, uint64_t id)
{
	struct msg *m = msg_find(s, id);

	if (!m || message_is_paused(s, id))
		return;
	m->flags &= (uint8_t)~MF_PAUSED;
	for (uint32_t i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i].phase == PHASE_HELD)
			rcpt_ready(s, &m->rcpts[i], false);
}

/* To another queue; keeps its due time. */
void rcpt_move(struct sched *s, struct rcpt *r, struct queue *to)
{
	us_t due = r->phase == PHASE_WAITING || r->phase == PHASE_RELEASED ? r->tree.due : s->now;

	rcpt_unplace(s, r);
	age_del(s, r);
	count_queued(s, r, -1);
	r->queue = to;
	r->prefer = 0;
	enter_queue(s, r, due);
	rcpt_arrived(s, r);
}
