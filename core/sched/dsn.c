/* Reports to senders: who gets one, and what is to be told of one message collected for a
 * minute: recipients that failed, wait for long, or went to a host that reports no delivery. */
#include "core/sched/inner.h"

#include <stdlib.h>

#define COLLECT_US US_PER_MIN

/* RFC 3461's NOTIFY, as core/spool/message.h has it (a sibling folder). */
enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

struct report_rcpt {
	struct report_rcpt *next;
	struct rcpt *rcpt; /* the message outlives its report */
	struct rstr *reply, *mx;
	char enhanced[12];
	uint8_t as;
	us_t at;
};
struct report {
	struct table_link link;
	struct link all; /* in sched.reports, first due first */
	struct msg *msg;
	struct queue *queue;
	struct report_rcpt *first, **last;
	uint32_t n;
	us_t due;
};

uint64_t report_hash(const struct table_link *l)
{
	return table_mix(((const struct report *)(const void *)l)->msg->id);
}

static enum send_dsn send_dsn(const struct rcpt *r)
{
	return r->queue->set ? r->queue->set->send_dsn : SEND_DSN_YES;
}

bool dsn_wanted(const struct rcpt *r, uint8_t as)
{
	const struct msg *m = rcpt_msg(r);
	uint8_t bit = as == DECIDE_DEFERRED ? NOTIFY_DELAY : NOTIFY_FAILURE;

	/* RFC 3461 4.1: only who asks hears of success; postmasters never asked. */
	if (as == DECIDE_DELIVERED)
		return r->notify & NOTIFY_SUCCESS && !(m->flags & MF_DSN) &&
		       send_dsn(r) == SEND_DSN_YES && m->sender->len > 0;
	if (m->flags & MF_DSN || r->notify & NOTIFY_NEVER || send_dsn(r) == SEND_DSN_NO)
		return false;
	if (r->notify && !(r->notify & bit))
		return false;
	return m->sender->len > 0 || send_dsn(r) == SEND_DSN_POSTMASTER;
}

static struct report *report_find(struct sched *s, const struct msg *m)
{
	struct table_link *l = table_bucket(&s->reports, table_mix(m->id));

	while (l && TABLE_OF(l, struct report)->msg != m)
		l = l->next;
	return l ? TABLE_OF(l, struct report) : NULL;
}

static struct report *report_get(struct sched *s, struct rcpt *r)
{
	struct msg *m = rcpt_msg(r);
	struct report *p = m->flags & MF_REPORTING ? report_find(s, m) : NULL;

	if (p)
		return p;
	p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->msg = m;
	p->queue = r->queue;
	p->last = &p->first;
	p->due = s->now + COLLECT_US;
	if (!table_add(&s->reports, &p->link)) {
		free(p);
		return NULL;
	}
	m->flags |= MF_REPORTING;
	list_add(&s->report_line, &p->all);
	return p;
}

/* False: no memory. */
static bool report_add(struct sched *s, struct rcpt *r, const struct report_rcpt *what)
{
	struct report *p = report_get(s, r);
	struct report_rcpt *x = p ? malloc(sizeof *x) : NULL;

	if (!x) {
		rstr_unref(what->reply);
		rstr_unref(what->mx);
		return false; /* it stays RCPT_REPORT in the spool: made after the next start */
	}
	*x = *what;
	x->next = NULL;
	x->rcpt = r;
	*p->last = x;
	p->last = &x->next;
	p->n++;
	return true;
}

void dsn_ended(struct sched *s, struct rcpt *r, const struct txn_rcpt *tr, const char *mx)
{
	struct report_rcpt x = { .reply = rstr_ref(tr->reply),
				 .mx = rstr_new(str_of(mx)),
				 .as = tr->decision,
				 .at = s->now };

	memcpy(x.enhanced, tr->verdict.enhanced, sizeof x.enhanced);
	rcpt_msg(r)->reports++;
	r->flags |= RF_REPORT;
	report_add(s, r, &x);
}

/* The sender hears once that a recipient waits for long. The spool learns that from the report's
 * own record: if a crash comes before it, the next deferral is reported. */
void dsn_delayed(struct sched *s, struct rcpt *r, const struct txn_rcpt *tr)
{
	const struct settings *set = r->queue->set;
	struct report_rcpt x = { .as = DECIDE_DEFERRED, .at = s->now };

	if (!set || set->delay_dsn_after == US_NEVER || r->flags & RF_DELAY_SENT ||
	    s->now - rcpt_msg(r)->received_at < set->delay_dsn_after ||
	    !dsn_wanted(r, DECIDE_DEFERRED))
		return;
	x.reply = rstr_ref(tr->reply);
	memcpy(x.enhanced, tr->verdict.enhanced, sizeof x.enhanced);
	if (report_add(s, r, &x))
		r->flags |= RF_DELAY_SENT;
}

/* Its report was not durable when Stoker stopped. */
void dsn_again(struct sched *s, struct rcpt *r, const struct sched_rcpt *in)
{
	struct report_rcpt x = { .reply = rstr_new(in->reply),
				 .as = DECIDE_BOUNCED,
				 .at = in->failed_at };
	size_t n = in->enhanced.n < sizeof x.enhanced - 1 ? in->enhanced.n : sizeof x.enhanced - 1;

	memcpy(x.enhanced, in->enhanced.p, n);
	if (str_eqz(in->enhanced, "4.4.7"))
		x.as = DECIDE_EXPIRED;
	else if (n && in->enhanced.p[0] == '2')
		x.as = DECIDE_DELIVERED;
	rcpt_msg(r)->reports++;
	r->flags |= RF_REPORT;
	report_add(s, r, &x);
}

static void fill_rcpt(struct arena *a, struct dsn_rcpt *out, const struct report_rcpt *x)
{
	const struct rcpt *r = x->rcpt;

	out->index = r->index;
	out->notify = r->notify;
	out->address = rcpt_address_into(a, r);
	if (r->flags & RF_ORCPT)
		out->orcpt = arena_str(a, rcpt_orcpt(r));
	out->reply = arena_str(a, rstr_str(x->reply));
	out->enhanced = arena_str(a, str_of(x->enhanced));
	out->mx = arena_str(a, rstr_str(x->mx));
	out->as = x->as;
	out->failed_at = x->at;
	out->expires_at = queue_expiry(r->queue, r);
}

static struct dsn_job *job_make(const struct report *p)
{
	const struct msg *m = p->msg;
	const struct settings *set = p->queue->set;
	struct arena arena;
	struct dsn_job *j;
	uint32_t i = 0;

	arena_init(&arena, sizeof *j + p->n * (sizeof *j->rcpts + 256));
	j = arena_alloc(&arena, sizeof *j);
	if (j)
		j->rcpts = arena_alloc(&arena, p->n * sizeof *j->rcpts);
	if (!j || !j->rcpts) {
		arena_free(&arena);
		return NULL;
	}
	j->message = m->id;
	j->sender = arena_str(&arena, name_str(m->sender));
	j->job = arena_str(&arena, rstr_str(m->job->name));
	j->user = arena_str(&arena, rstr_str(m->job->user));
	j->route = arena_str(&arena, rstr_str(p->queue->route->name));
	if (m->flags & MF_ENVID)
		j->envid = arena_str(&arena, msg_envid(m));
	j->ret = m->ret;
	j->dsn_return = set ? set->dsn_return : DSN_RETURN_HEADERS;
	j->send_dsn = set ? set->send_dsn : SEND_DSN_YES;
	j->smtputf8 = (m->flags & MF_SMTPUTF8) != 0;
	j->received_at = m->received_at;
	j->size = m->size;
	j->where = m->where;
	for (const struct report_rcpt *x = p->first; x; x = x->next)
		fill_rcpt(&arena, &j->rcpts[i++], x);
	j->nrcpts = i;
	j->arena = arena;
	return j;
}

static void report_free(struct sched *s, struct report *p)
{
	struct report_rcpt *x;

	while ((x = p->first)) {
		p->first = x->next;
		rstr_unref(x->reply);
		rstr_unref(x->mx);
		free(x);
	}
	p->msg->flags &= (uint8_t)~MF_REPORTING;
	table_del(&s->reports, &p->link);
	list_del(&p->all);
	free(p);
}

static void report_send(struct sched *s, struct report *p)
{
	struct dsn_job *j = job_make(p);
	struct msg *m = p->msg;

	if (!j) {
		p->due = s->now + COLLECT_US;
		list_del(&p->all);
		list_add(&s->report_line, &p->all);
		return;
	}
	action_add(s, ACT_DSN)->a.dsn = j;
	s->budget -= 2;
	report_free(s, p);
	msg_settle(s, m);
}

/* Nothing of the message is left to try: it is reported now. Else failures of the same minute go
 * together. */
void dsn_message_over(struct sched *s, struct msg *m)
{
	struct report *p = report_find(s, m);

	if (!p)
		return;
	p->due = s->now;
	list_del(&p->all);
	p->all.prev = &s->report_line;
	p->all.next = s->report_line.next;
	p->all.next->prev = &p->all;
	s->report_line.next = &p->all;
}

/* The line is in the order of time. */
us_t dsn_tick(struct sched *s)
{
	struct link *l;

	while (s->budget > 0 && (l = list_first(&s->report_line))) {
		struct report *p = LIST_OF(l, struct report, all);

		if (p->due > s->now)
			return p->due;
		report_send(s, p);
	}
	return list_empty(&s->report_line) ? US_NEVER : s->now;
}

void sched_reported(struct sched *s, us_t now, uint64_t message, const uint32_t *rcpts, uint32_t n)
{
	struct msg *m = msg_find(s, message);

	s->now = now;
	if (!m)
		return;
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < m->nrcpts; k++) {
			struct rcpt *r = &m->rcpts[k];

			if (r->index != rcpts[i] || !(r->flags & RF_REPORT))
				continue;
			r->flags &= (uint8_t)~RF_REPORT;
			m->reports--;
		}
	msg_settle(s, m);
}

void reports_free(struct sched *s)
{
	struct link *l;

	while ((l = list_first(&s->report_line)))
		report_free(s, LIST_OF(l, struct report, all));
}
