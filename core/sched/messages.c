/* Recipients of a target, page by page: `stoker messages`. A cursor is a place among queues and, in
 * one queue, how many were shown; so a page costs its own length and the skipping, never a walk
 * over all mail. */
#include "core/sched/inner.h"

enum { CURSOR_QUEUE_BITS = 32, LOOK_MAX = 20000 };

struct pager {
	struct sched *s;
	const struct target *t;
	void (*fn)(void *arg, const struct message_row *r);
	void *arg;
	int left, look; /* rows still wanted; recipients still looked at */
	uint32_t skip;	/* of the queue begun, already shown or passed */
};

static bool target_has_queue(const struct target *t, const struct queue *q)
{
	struct str domain = rstr_str(q->domain->name);

	switch (t->kind) {
	case TARGET_DOMAIN:
		return str_glob(t->a, domain);
	case TARGET_QUEUE:
		return str_glob(t->a, domain) && str_glob(t->b, rstr_str(q->route->name));
	case TARGET_SITE:
	case TARGET_LANE: /* mail has no lane before it is handed out: what may use it */
		return q->site && str_glob(t->a, rstr_str(q->site->name));
	case TARGET_POOL:
		return str_glob(t->a, rstr_str(q->route->name));
	case TARGET_VMTA:
	case TARGET_ALL:
	case TARGET_JOB:
	case TARGET_USER:
	case TARGET_MESSAGE:
		break;
	}
	return true;
}

static bool target_has_msg(const struct target *t, const struct msg *m)
{
	if (t->kind == TARGET_MESSAGE)
		return m->id == t->message;
	if (t->kind == TARGET_JOB)
		return str_glob(t->a, rstr_str(m->job->name));
	return t->kind != TARGET_USER || str_glob(t->a, rstr_str(m->job->user));
}

static us_t next_attempt(const struct sched *s, const struct rcpt *r)
{
	if (r->phase == PHASE_WAITING)
		return r->tree.due;
	return r->phase == PHASE_READY || r->phase == PHASE_RELEASED ? s->now : 0;
}

static void why_rcpt(struct sched *s, struct queue *q, const struct rcpt *r, struct why *w)
{
	if (r->phase == PHASE_OUT) {
		*w = (struct why){ .code = WHY_IN_FLIGHT,
				   .counts = SCOPE_COUNT,
				   .text = rstr_new(STR_LIT("in flight")) };
	} else if (r->phase == PHASE_HELD) {
		*w = (struct why){ .code = WHY_PAUSED,
				   .counts = SCOPE_COUNT,
				   .text = rstr_new(STR_LIT("message paused")) };
	} else if (r->phase == PHASE_WAITING && r->tree.due > s->now) {
		*w = (struct why){ .code = WHY_RETRY_WAIT,
				   .counts = SCOPE_COUNT,
				   .until = r->tree.due,
				   .text = rstr_new(STR_LIT("waits for its retry")) };
	} else {
		why_queue(s, q, w);
	}
}

static void show(struct pager *p, struct queue *q, const struct rcpt *r)
{
	struct msg *m = rcpt_msg(r);
	struct arena a;
	struct message_row row = { .id = m->id,
				   .rcpt = r->index,
				   .size = m->size,
				   .received_at = m->received_at,
				   .next_attempt = next_attempt(p->s, r),
				   .expires_at = queue_expiry(q, r),
				   .attempts = r->attempts,
				   .state = q->paused || r->phase == PHASE_HELD ? STATE_PAUSED
										: STATE_OK,
				   .in_flight = r->phase == PHASE_OUT,
				   .sender = name_str(m->sender),
				   .queue = rstr_str(q->name),
				   .job = rstr_str(m->job->name),
				   .user = rstr_str(m->job->user) };

	arena_init(&a, 512);
	row.recipient = rcpt_address_into(&a, r);
	why_rcpt(p->s, q, r, &row.why);
	p->fn(p->arg, &row);
	why_clear(&row.why);
	arena_free(&a);
	p->left--;
}

/* Oldest first, which is due order but for retries. False: the page is full before the queue's end;
 * p->skip says where. */
static bool page_queue(struct pager *p, struct queue *q)
{
	uint32_t n = 0;

	for (struct rcpt *r = q->oldest; r; r = r->newer) {
		if (n++ < p->skip)
			continue;
		if (!p->left || !p->look--) {
			p->skip = n - 1;
			return false;
		}
		if (r->phase != PHASE_DONE && target_has_msg(p->t, rcpt_msg(r)))
			show(p, q, r);
	}
	p->skip = 0;
	return true;
}

/* Buckets of the table of queues; a queue can only move to a later one, so none is shown twice. */
static bool page_queues(struct pager *p, uint64_t *cursor)
{
	for (size_t i = (size_t)(*cursor >> CURSOR_QUEUE_BITS); i < p->s->queues.buckets; i++) {
		uint32_t passed = 0, start = p->skip;

		for (struct table_link *l = table_at(&p->s->queues, i); l; l = l->next) {
			struct queue *q = TABLE_OF(l, struct queue);

			if (!target_has_queue(p->t, q))
				continue;
			p->skip = start > passed ? start - passed : 0;
			if (p->skip >= q->queued + 1 && start > passed + q->queued) {
				passed += q->queued;
				continue;
			}
			if (!page_queue(p, q)) {
				*cursor = (uint64_t)i << CURSOR_QUEUE_BITS | (passed + p->skip);
				return false;
			}
			passed += q->queued;
			start = 0;
		}
		p->skip = 0;
	}
	return true;
}

static int64_t total_of(struct sched *s, const struct target *t)
{
	struct msg *m;
	int64_t n = 0;

	if (t->kind == TARGET_ALL)
		return (int64_t)s->totals.queued;
	if (t->kind == TARGET_MESSAGE)
		return (m = msg_find(s, t->message)) ? m->live : 0;
	if (t->kind != TARGET_DOMAIN && t->kind != TARGET_QUEUE)
		return -1;
	if (memchr(t->a.p, '*', t->a.n))
		return -1;
	struct domain *d = domain_find(s, t->a);

	for (struct queue *q = d ? d->queues : NULL; q; q = q->next_of_domain)
		if (target_has_queue(t, q))
			n += q->queued;
	return n;
}

/* One domain's queues are found by name, one message by its id. */
static bool page_named(struct pager *p, uint64_t *cursor)
{
	struct domain *d = domain_find(p->s, p->t->a);
	uint64_t place = 0, from = *cursor >> CURSOR_QUEUE_BITS;

	for (struct queue *q = d ? d->queues : NULL; q; q = q->next_of_domain, place++) {
		if (place < from || !target_has_queue(p->t, q))
			continue;
		if (!page_queue(p, q)) {
			*cursor = place << CURSOR_QUEUE_BITS | p->skip;
			return false;
		}
	}
	return true;
}

static void page_message(struct pager *p)
{
	struct msg *m = msg_find(p->s, p->t->message);

	for (uint32_t i = p->skip; m && i < m->nrcpts && p->left; i++)
		if (m->rcpts[i].phase != PHASE_DONE && m->rcpts[i].queue)
			show(p, m->rcpts[i].queue, &m->rcpts[i]);
}

int sched_messages(struct sched *s, us_t now, const struct target *t, uint64_t *cursor, int max,
		   int64_t *total, void (*fn)(void *arg, const struct message_row *r), void *arg)
{
	struct pager p = { s, t, fn, arg, max, LOOK_MAX, (uint32_t)*cursor };
	bool all = true, named = (t->kind == TARGET_DOMAIN || t->kind == TARGET_QUEUE) &&
				 !memchr(t->a.p, '*', t->a.n);

	s->now = now;
	*total = total_of(s, t);
	if (t->kind == TARGET_MESSAGE)
		page_message(&p);
	else
		all = named ? page_named(&p, cursor) : page_queues(&p, cursor);
	if (all)
		*cursor = 0;
	return max - p.left;
}
