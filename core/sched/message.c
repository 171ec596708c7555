/* Messages: one block each (header, recipients, their text), found by id. */
#include "core/sched/inner.h"

#include <stdlib.h>

uint64_t msg_hash(const struct table_link *l)
{
	return table_mix(((const struct msg *)(const void *)l)->id);
}

struct msg *msg_find(struct sched *s, uint64_t id)
{
	struct table_link *l = table_bucket(&s->msgs, table_mix(id));

	while (l && TABLE_OF(l, struct msg)->id != id)
		l = l->next;
	return l ? TABLE_OF(l, struct msg) : NULL;
}

/* ---- text behind the recipients: u16 length, bytes. ---- */

struct text_at {
	struct msg *m;
	uint32_t at;
};

static uint32_t text_put(struct text_at *t, struct str v)
{
	uint32_t at = t->at;
	uint16_t n = (uint16_t)v.n;
	char *p = (char *)t->m + at;

	memcpy(p, &n, sizeof n);
	if (v.n)
		memcpy(p + sizeof n, v.p, v.n);
	t->at += (uint32_t)(sizeof n + v.n);
	return at;
}

struct str msg_text(const struct msg *m, uint32_t at)
{
	const char *p = (const char *)m + at;
	uint16_t n;

	memcpy(&n, p, sizeof n);
	return str_mem(p + sizeof n, n);
}

static struct str local_part(const struct sched_rcpt *r, bool *whole)
{
	struct str a = r->address;

	/* Kept whole where the domain is not as the queue writes it: it goes on the wire as it was
	 * given. */
	*whole = a.n <= r->domain.n || a.p[a.n - r->domain.n - 1] != '@' ||
		 memcmp(a.p + a.n - r->domain.n, r->domain.p, r->domain.n) != 0;
	if (!*whole)
		a.n -= r->domain.n + 1;
	return a;
}

void rcpt_address(const struct rcpt *r, struct str *local, struct str *domain)
{
	*local = msg_text(rcpt_msg(r), r->text);
	*domain = r->flags & RF_WHOLE ? (struct str){ "", 0 } : rstr_str(r->queue->domain->name);
}

struct str rcpt_orcpt(const struct rcpt *r)
{
	struct str a = msg_text(rcpt_msg(r), r->text);

	if (!(r->flags & RF_ORCPT))
		return (struct str){ "", 0 };
	return msg_text(rcpt_msg(r), r->text + (uint32_t)(sizeof(uint16_t) + a.n));
}

static size_t bytes_needed(const struct sched_message *in)
{
	size_t n = sizeof(struct msg) + in->nrcpts * sizeof(struct rcpt);

	if (in->envid.n)
		n += sizeof(uint16_t) + in->envid.n;
	for (uint32_t i = 0; i < in->nrcpts; i++) {
		bool whole;

		n += sizeof(uint16_t) + local_part(&in->rcpts[i], &whole).n;
		if (in->rcpts[i].orcpt.n)
			n += sizeof(uint16_t) + in->rcpts[i].orcpt.n;
	}
	return n;
}

/* A block that is too large for the pools says its size behind its recipients. */
static size_t *large_bytes(struct msg *m, uint32_t nrcpts)
{
	return (size_t *)(void *)&m->rcpts[nrcpts];
}

/* Where its text begins. */
static uint32_t text_start(const struct msg *m)
{
	return (uint32_t)(sizeof *m + m->nrcpts * sizeof(struct rcpt) +
			  (m->size_class ? 0 : sizeof(size_t)));
}

struct str msg_envid(const struct msg *m)
{
	return msg_text(m, text_start(m));
}

static struct msg *msg_alloc(struct sched *s, const struct sched_message *in)
{
	size_t bytes = bytes_needed(in);
	size_t class = (bytes + MSG_POOL_STEP - 1) / MSG_POOL_STEP;
	struct msg *m;

	if (class < MSG_POOLS) {
		m = pool_get(&s->msg_pools[class]);
		if (m)
			m->size_class = (uint8_t) class;
		return m;
	}
	bytes += sizeof(size_t);
	m = calloc(1, bytes);
	if (m)
		*large_bytes(m, in->nrcpts) = bytes;
	if (m)
		s->other_bytes += bytes;
	return m;
}

static void msg_release(struct sched *s, struct msg *m)
{
	if (m->size_class) {
		pool_put(&s->msg_pools[m->size_class], m);
		return;
	}
	s->other_bytes -= *large_bytes(m, m->nrcpts);
	free(m);
}

static void fill_rcpt(struct text_at *t, const struct sched_rcpt *in, struct rcpt *r)
{
	bool whole;
	struct str local = local_part(in, &whole);

	r->text = text_put(t, local);
	r->index = in->index;
	r->notify = in->notify;
	r->attempts = in->attempts;
	r->phase = PHASE_DONE;
	if (whole)
		r->flags |= RF_WHOLE;
	if (in->delayed_dsn_sent)
		r->flags |= RF_DELAY_SENT;
	if (in->orcpt.n) {
		r->flags |= RF_ORCPT;
		text_put(t, in->orcpt);
	}
}

static void fill_msg(struct msg *m, const struct sched_message *in)
{
	struct text_at t = { m, 0 };

	m->id = in->id;
	m->received_at = in->received_at;
	m->size = in->size;
	m->where = in->where;
	m->ret = in->ret;
	m->priority = in->priority;
	m->flags = (uint8_t)((in->smtputf8 ? MF_SMTPUTF8 : 0) | (in->eightbit ? MF_EIGHTBIT : 0) |
			     (in->dsn ? MF_DSN : 0));
	m->nrcpts = in->nrcpts;
	t.at = text_start(m);
	if (in->envid.n)
		text_put(&t, in->envid);
	if (in->envid.n)
		m->flags |= MF_ENVID;
	for (uint32_t i = 0; i < in->nrcpts; i++) {
		m->rcpts[i].pos = i;
		fill_rcpt(&t, &in->rcpts[i], &m->rcpts[i]);
	}
}

static bool rcpts_enter(struct sched *s, struct msg *m, const struct sched_message *in)
{
	struct route *route = route_get(s, in->route);

	if (!route)
		return false;
	/* First every queue, so that running out of memory leaves nothing half done. */
	for (uint32_t i = 0; i < in->nrcpts; i++) {
		m->rcpts[i].queue = queue_get(s, in->rcpts[i].domain, route);
		if (!m->rcpts[i].queue)
			return false;
	}
	for (uint32_t i = 0; i < in->nrcpts; i++) {
		const struct sched_rcpt *ri = &in->rcpts[i];
		struct rcpt *r = &m->rcpts[i];

		if (ri->reply.n)
			r->reply = name_get(s, ri->reply);
		if (in->loaded) {
			struct route *moved = state_moved_to(s, r);
			struct queue *q = moved ? queue_get(s, ri->domain, moved) : NULL;

			if (q) {
				r->queue = q;
				r->flags |= RF_MOVED;
			}
		}
		if (ri->report)
			dsn_again(s, r, ri);
		else
			rcpt_enter(s, r, ri->due);
		if (!ri->report && !in->loaded)
			rcpt_arrived(s, r);
	}
	return true;
}

static void count_in(struct sched *s, const struct sched_message *in)
{
	uint32_t live = 0;

	for (uint32_t i = 0; i < in->nrcpts; i++)
		live += !in->rcpts[i].report;
	if (in->loaded) {
		s->totals.loading -= live < s->totals.loading ? live : s->totals.loading;
		return;
	}
	s->totals.accepted += live;
	s->totals.queued += live;
	tally_count(s, &s->in, &(struct counts){ .delivered = live });
}

bool sched_message(struct sched *s, us_t now, const struct sched_message *in)
{
	struct msg *m;

	OBJ_CHECK(s, SCHED_MAGIC);
	s->now = now;
	m = msg_alloc(s, in);
	if (!m)
		return false;
	fill_msg(m, in);
	m->sender = name_get(s, in->sender);
	m->job = job_get(s, in->job, in->user, in->received_at);
	if (!m->sender || !m->job || !table_add(&s->msgs, &m->link)) {
		name_put(s, m->sender);
		msg_release(s, m);
		return false;
	}
	m->job->messages++;
	if (message_is_paused(s, m->id))
		m->flags |= MF_PAUSED;
	if (!rcpts_enter(s, m, in)) {
		table_del(&s->msgs, &m->link);
		m->job->messages--;
		name_put(s, m->sender);
		msg_release(s, m);
		return false;
	}
	count_in(s, in);
	body_hold(s, m, in->body);
	msg_settle(s, m);
	return true;
}

void sched_aside(struct sched *s, us_t now, uint64_t in, uint64_t loaded, uint64_t removed)
{
	s->now = now;
	s->totals.accepted += in;
	s->totals.queued += in;
	s->totals.loading -= loaded < s->totals.loading ? loaded : s->totals.loading;
	s->totals.removed += removed;
	s->totals.queued -= removed;
	if (in)
		tally_count(s, &s->in, &(struct counts){ .delivered = (uint32_t)in });
}

/* Frees a message of which nothing is left to do. */
void msg_settle(struct sched *s, struct msg *m)
{
	struct job *j = m->job;

	if (m->live)
		return;
	if (m->flags & MF_REPORTING)
		dsn_message_over(s, m);
	if (m->reports || m->flags & MF_REPORTING)
		return;
	action_body_drop(s, body_take(s, m));
	for (uint32_t i = 0; i < m->nrcpts; i++)
		name_put(s, m->rcpts[i].reply);
	table_del(&s->msgs, &m->link);
	name_put(s, m->sender);
	msg_release(s, m);
	j->messages--;
}

void sched_moved(struct sched *s, uint64_t message, const struct handout_where *where)
{
	struct msg *m = msg_find(s, message);

	if (m)
		m->where = *where;
}

/* ---- bodies ---- */

/* What a small body costs beside its bytes: its struct, its head, and what malloc adds to three
 * pieces. */
enum { BODY_OVERHEAD = 512 };

/* Keeps a body with its message, within the budget: the oldest are dropped, and come from the spool
 * when they are sent. */
void body_hold(struct sched *s, struct msg *m, void *body)
{
	struct held_body *h;
	struct link *l;

	if (!body)
		return;
	h = m->held || !m->live ? NULL : pool_get(&s->body_pool);
	if (!h) {
		action_body_drop(s, body);
		return;
	}
	h->msg = m;
	h->body = body;
	h->since = s->now;
	m->held = h;
	list_add(&s->bodies, &h->link);
	s->body_bytes += m->size + BODY_OVERHEAD;
	while (s->body_bytes > s->opts.body_cache_bytes && (l = list_first(&s->bodies)))
		action_body_drop(s, body_take(s, LIST_OF(l, struct held_body, link)->msg));
}

/* Mail that has not left for so long waits for something: its body costs memory for nothing. */
static const us_t HELD_FOR = 10 * US_PER_S;
enum { DROPPED_A_TICK = 2000 };

void bodies_tick(struct sched *s)
{
	struct link *l;

	for (int n = 0; n < DROPPED_A_TICK && (l = list_first(&s->bodies)); n++) {
		struct held_body *h = LIST_OF(l, struct held_body, link);

		if (s->now - h->since < HELD_FOR)
			return;
		action_body_drop(s, body_take(s, h->msg));
	}
}

void *body_take(struct sched *s, struct msg *m)
{
	struct held_body *h = m->held;
	void *body;

	if (!h)
		return NULL;
	body = h->body;
	m->held = NULL;
	list_del(&h->link);
	s->body_bytes -= m->size + BODY_OVERHEAD;
	pool_put(&s->body_pool, h);
	return body;
}

/* A body for one more transaction: shared if that is possible, so that others of the same message
 * have it too. */
void *body_for_txn(struct sched *s, struct msg *m, bool last)
{
	if (!m->held)
		return NULL;
	if (last || !s->opts.body_ref)
		return body_take(s, m);
	return s->opts.body_ref(m->held->body);
}
