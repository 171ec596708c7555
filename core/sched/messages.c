/* Lists of recipients for the console: page by page, a queue's in due order, without walking what
 * was shown before. */
#include "core/sched/override.h"

#include <stdlib.h>

/* A call looks at so many recipients at most, whether they fit or not: the next call goes on from
 * there. */
enum { LISTINGS = 64, LOOK_MOST = 4000, SKIP_MOST = 20000, BUCKETS_MOST = 4000 };

enum stage { STAGE_READY, STAGE_WAITING, STAGE_REST };

struct listing { /* where a reader stands */
	uint64_t id;
	us_t used_at;
	struct rstr *text;
	struct target target;
	size_t bucket;
	struct queue *q; /* pinned; NULL: before the first */
	uint8_t stage;	 /* enum stage */
	bool any;	 /* the following is set */
	uint64_t msg;
	uint32_t pos;
	us_t due;
	uint32_t shown; /* of the ready ones */
};

struct page { /* one call */
	struct sched *s;
	struct listing *l;
	int max, n, look;
	void (*fn)(void *arg, const struct message_row *r);
	void *arg;
};

/* ---- readers ---- */

static void leave_queue(struct listing *l)
{
	if (l->q)
		l->q->pins--;
	l->q = NULL;
}

static void enter_queue(struct listing *l, struct queue *q)
{
	leave_queue(l);
	l->q = q;
	l->stage = STAGE_READY;
	l->any = false;
	l->shown = 0;
	if (q)
		q->pins++;
}

static void listing_end(struct listing *l)
{
	leave_queue(l);
	rstr_unref(l->text);
	*l = (struct listing){ 0 };
}

void listings_free(struct sched *s)
{
	for (int i = 0; s->listings && i < LISTINGS; i++)
		listing_end(&s->listings[i]);
	free(s->listings);
	s->listings = NULL;
}

static struct listing *listing_new(struct sched *s, const struct target *t)
{
	struct listing *oldest;
	struct errbuf e;
	struct buf b;

	if (!s->listings)
		s->listings = calloc(LISTINGS, sizeof *s->listings);
	if (!s->listings)
		return NULL;
	oldest = &s->listings[0];
	for (int i = 1; i < LISTINGS; i++)
		if (s->listings[i].used_at < oldest->used_at)
			oldest = &s->listings[i];
	listing_end(oldest);
	buf_init(&b);
	target_print(t, &b);
	oldest->text = rstr_new(buf_str(&b));
	buf_free(&b);
	if (!oldest->text || target_parse(rstr_str(oldest->text), &oldest->target, &e))
		return NULL;
	oldest->id = ++s->next_id;
	return oldest;
}

static struct listing *listing_find(struct sched *s, uint64_t id)
{
	for (int i = 0; s->listings && i < LISTINGS; i++)
		if (s->listings[i].id == id)
			return &s->listings[i];
	return NULL;
}

/* ---- rows ---- */

static uint8_t state_of(const struct rcpt *r)
{
	return r->phase == PHASE_HELD || r->queue->paused || rcpt_msg(r)->job->paused ? STATE_PAUSED
										      : STATE_OK;
}

static struct str address_of(const struct rcpt *r, char *text, size_t cap)
{
	struct str local, domain;
	size_t n;

	rcpt_address(r, &local, &domain);
	if (!domain.n)
		return local;
	n = local.n + 1 + domain.n;
	if (n > cap)
		return local;
	memcpy(text, local.p, local.n);
	text[local.n] = '@';
	memcpy(text + local.n + 1, domain.p, domain.n);
	return str_mem(text, n);
}

static us_t due_of(const struct page *p, const struct rcpt *r)
{
	return r->phase == PHASE_WAITING || r->phase == PHASE_RELEASED ? r->tree.due : p->s->now;
}

static void show(struct page *p, struct rcpt *r)
{
	const struct msg *m = rcpt_msg(r);
	struct rstr *name = queue_name_shown(r->queue);
	char text[2 * DOMAIN_SIZE];
	struct message_row x = { .id = m->id,
				 .rcpt = r->index,
				 .size = m->size,
				 .received_at = m->received_at,
				 .next_attempt = due_of(p, r),
				 .expires_at = queue_expiry(r->queue, r),
				 .attempts = r->attempts,
				 .state = state_of(r),
				 .in_flight = r->phase == PHASE_OUT,
				 .sender = name_str(m->sender),
				 .job = rstr_str(m->job->name),
				 .user = rstr_str(m->job->user) };

	x.recipient = address_of(r, text, sizeof text);
	x.queue = rstr_str(name);
	why_rcpt(p->s, r, &x.why);
	p->fn(p->arg, &x);
	why_clear(&x.why);
	rstr_unref(name);
	p->n++;
}

static bool room(const struct page *p)
{
	return p->n < p->max && p->look > 0;
}

static void visit(struct page *p, struct rcpt *r)
{
	struct listing *l = p->l;

	p->look--;
	l->any = true;
	l->msg = rcpt_msg(r)->id;
	l->pos = r->pos;
	l->due = r->phase == PHASE_WAITING ? r->tree.due : 0;
	if (l->target.kind != TARGET_JOB && l->target.kind != TARGET_USER)
		show(p, r);
	else if (target_has_job(&l->target, rcpt_msg(r)->job))
		show(p, r);
}

/* ---- a queue ---- */

static struct rcpt *first_of(struct band *b)
{
	return b ? band_head(b) : NULL;
}

static struct band *next_band(const struct queue *q, struct band *b)
{
	struct band *level = q->bands;

	while (level && level->priority != b->priority)
		level = level->lower;
	if (level && b->next != level)
		return b->next;
	return level ? level->lower : NULL;
}

static struct rcpt *next_ready(const struct queue *q, const struct rcpt *r)
{
	struct sub *u = r->ready.sub;

	if (r->ready.next != u->head)
		return r->ready.next;
	for (struct sub *v = u->next; v; v = v->next)
		if (v->n)
			return v->head;
	return first_of(next_band(q, u->band));
}

static struct rcpt *last_shown(const struct page *p)
{
	struct msg *m = msg_find(p->s, p->l->msg);
	struct rcpt *r = m && p->l->pos < m->nrcpts ? &m->rcpts[p->l->pos] : NULL;

	return r && r->queue == p->l->q ? r : NULL;
}

/* Where the ready ones go on: behind the last shown, or if that is gone, as many as were shown from
 * the front. */
static struct rcpt *resume_ready(const struct page *p)
{
	const struct queue *q = p->l->q;
	struct rcpt *r = p->l->any ? last_shown(p) : NULL;

	if (r && r->phase == PHASE_READY)
		return next_ready(q, r);
	r = first_of(q->bands);
	for (uint32_t i = 0; r && i < p->l->shown && i < SKIP_MOST; i++)
		r = next_ready(q, r);
	return r;
}

static void page_ready(struct page *p)
{
	struct rcpt *r = resume_ready(p);

	for (; r && room(p); r = next_ready(p->l->q, r)) {
		visit(p, r);
		p->l->shown++;
	}
	if (r)
		return;
	p->l->stage = STAGE_WAITING;
	p->l->any = false;
}

static void page_waiting(struct page *p)
{
	struct listing *l = p->l;
	struct rcpt *r =
	    l->any ? due_behind(l->q->waiting, l->due, l->msg, l->pos) : due_first(l->q->waiting);

	for (; r && room(p); r = due_after(l->q->waiting, r))
		visit(p, r);
	if (r)
		return;
	l->stage = STAGE_REST;
	l->any = false;
}

/* In transactions, held, or on their way: by age. */
static void page_rest(struct page *p)
{
	struct rcpt *r = p->l->any ? last_shown(p) : NULL;

	r = r && r->phase != PHASE_DONE ? r->newer : p->l->q->oldest;
	for (; r && room(p); r = r->newer) {
		p->look--;
		if (r->phase == PHASE_OUT || r->phase == PHASE_HELD || r->phase == PHASE_RELEASED)
			visit(p, r);
		p->l->any = true;
		p->l->msg = rcpt_msg(r)->id;
		p->l->pos = r->pos;
	}
	if (!r)
		p->l->stage = STAGE_REST + 1;
}

/* True when the queue has been shown. */
static bool page_queue(struct page *p)
{
	while (room(p) && p->l->stage <= STAGE_REST) {
		if (p->l->stage == STAGE_READY)
			page_ready(p);
		else if (p->l->stage == STAGE_WAITING)
			page_waiting(p);
		else
			page_rest(p);
	}
	return p->l->stage > STAGE_REST;
}

/* ---- which queues ---- */

static bool wanted(const struct listing *l, const struct queue *q)
{
	if (!q->queued)
		return false;
	if (l->target.kind == TARGET_JOB || l->target.kind == TARGET_USER)
		return true;
	if (l->target.kind == TARGET_LANE)
		return q->site && str_glob(l->target.a, rstr_str(q->site->name));
	if (l->target.kind == TARGET_VMTA)
		return str_glob(l->target.a, rstr_str(q->route->name));
	return target_has_queue(&l->target, q);
}

static struct queue *next_of_domain(struct sched *s, const struct listing *l)
{
	const struct domain *d = domain_find(s, l->target.a);
	struct queue *q = l->q ? l->q->next_of_domain : d ? d->queues : NULL;

	while (q && !wanted(l, q))
		q = q->next_of_domain;
	return q;
}

static struct site *site_named(struct sched *s, struct str name)
{
	struct site *t = site_find(s, name, true);

	return t ? t : site_find(s, name, false);
}

static struct queue *next_of_site(struct sched *s, const struct listing *l)
{
	struct site *t = site_named(s, l->target.a);
	struct link *at;

	if (!t || (l->q && l->q->site != t))
		return NULL;
	at = l->q ? l->q->on_site.next : t->queues.next;
	while (at != &t->queues && !LIST_OF(at, struct queue, on_site)->queued)
		at = at->next;
	return at == &t->queues ? NULL : LIST_OF(at, struct queue, on_site);
}

/* By the table: the rest of the queue's own bucket, then those behind it. */
static struct queue *next_of_table(struct sched *s, struct listing *l)
{
	struct table_link *at = l->q ? l->q->link.next : table_at(&s->queues, l->bucket);

	for (int n = 0; n < BUCKETS_MOST; n++) {
		for (; at; at = at->next)
			if (wanted(l, TABLE_OF(at, struct queue)))
				return TABLE_OF(at, struct queue);
		if (++l->bucket >= s->queues.buckets)
			return NULL;
		at = table_at(&s->queues, l->bucket);
	}
	return NULL;
}

static struct queue *next_queue(struct page *p)
{
	struct listing *l = p->l;

	if ((l->target.kind == TARGET_DOMAIN || l->target.kind == TARGET_QUEUE) &&
	    !target_is_glob(&l->target))
		return next_of_domain(p->s, l);
	if ((l->target.kind == TARGET_SITE || l->target.kind == TARGET_LANE) &&
	    !target_is_glob(&l->target))
		return next_of_site(p->s, l);
	return next_of_table(p->s, l);
}

static bool all_shown(const struct page *p)
{
	const struct listing *l = p->l;
	bool by_table = l->target.kind != TARGET_DOMAIN && l->target.kind != TARGET_QUEUE &&
			l->target.kind != TARGET_SITE && l->target.kind != TARGET_LANE;

	return !(by_table || target_is_glob(&l->target)) || l->bucket >= p->s->queues.buckets;
}

static bool page_queues(struct page *p)
{
	while (room(p)) {
		struct queue *q;

		if (p->l->q && !page_queue(p))
			return false;
		if (!room(p))
			return false;
		q = next_queue(p);
		p->look -= 8;
		if (!q && !all_shown(p)) {
			leave_queue(p->l);
			return false;
		}
		enter_queue(p->l, q);
		if (!q)
			return true;
	}
	return false;
}

static int64_t total_of(struct sched *s, const struct target *t)
{
	const struct domain *d;
	const struct site *site;
	int64_t n = 0;

	if (t->kind == TARGET_ALL)
		return (int64_t)s->totals.queued;
	if (target_is_glob(t))
		return -1;
	if (t->kind == TARGET_SITE) {
		site = site_named(s, t->a);
		return site ? site->queued : 0;
	}
	if (t->kind == TARGET_DOMAIN || t->kind == TARGET_QUEUE) {
		d = domain_find(s, t->a);
		for (const struct queue *q = d ? d->queues : NULL; q; q = q->next_of_domain)
			n += target_has_queue(t, q) ? q->queued : 0;
		return n;
	}
	if (t->kind != TARGET_JOB)
		return -1;
	for (size_t i = 0; i < s->jobs.buckets; i++)
		for (const struct table_link *l = table_at(&s->jobs, i); l; l = l->next)
			n += target_has_job(t, TABLE_OF(l, const struct job))
				 ? TABLE_OF(l, const struct job)->queued
				 : 0;
	return n;
}

static int one_message(struct sched *s, const struct target *t, uint64_t *cursor, int max,
		       int64_t *total, void (*fn)(void *arg, const struct message_row *r),
		       void *arg)
{
	struct msg *m = msg_find(s, t->message);
	struct page p = { .s = s, .max = max, .fn = fn, .arg = arg };
	uint64_t at = *cursor;

	*total = m ? m->live : 0;
	*cursor = 0;
	for (; m && at < m->nrcpts && p.n < max; at++)
		if (m->rcpts[at].phase != PHASE_DONE)
			show(&p, &m->rcpts[at]);
	if (m && at < m->nrcpts)
		*cursor = at;
	return p.n;
}

int sched_messages(struct sched *s, us_t now, const struct target *t, uint64_t *cursor, int max,
		   int64_t *total, void (*fn)(void *arg, const struct message_row *r), void *arg)
{
	struct page p = { .s = s, .max = max, .look = LOOK_MOST, .fn = fn, .arg = arg };
	bool end;

	OBJ_CHECK(s, SCHED_MAGIC);
	s->now = now;
	if (t->kind == TARGET_MESSAGE)
		return one_message(s, t, cursor, max, total, fn, arg);
	*total = total_of(s, t);
	p.l = *cursor ? listing_find(s, *cursor) : listing_new(s, t);
	*cursor = 0;
	if (!p.l)
		return 0;
	p.l->used_at = now;
	end = page_queues(&p);
	if (end)
		listing_end(p.l);
	else
		*cursor = p.l->id;
	return p.n;
}
