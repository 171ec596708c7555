/* What io threads tell of their sessions: that they are up or gone, ask for permits, have done what
 * they were given. */
#include "core/sched/inner.h"

/* An address that gave no session is tried after the others for this long. */
#define BAD_ADDRESS_US (5 * US_PER_MIN)

/* ---- asking ---- */

bool session_serve(struct sched *s, struct session *e)
{
	struct flight *f = e->flights[0];
	us_t from = s->now + lead_now(&s->lead, s->now);
	uint32_t n;

	if (!f || !e->ask_n)
		return true;
	n = flight_grant(s, f, e->ask_n, false);
	if (!n) {
		for (uint8_t i = 0; i < f->ncharged; i++)
			if (bucket_tokens(&f->charged[i]->bucket, s->now) < 1) {
				gate_ask(s, &f->charged[i]->gate, e);
				break;
			}
		return false;
	}
	flight_pending(s, f, -(int64_t)n);
	e->ask_n = 0;
	s->budget--;
	action_to_io(s, e->io,
		     &(struct to_io){ .type = TO_IO_GRANT,
				      .session = e->id,
				      .number = f->id,
				      .n = n,
				      .from = from,
				      .until = from + PERMIT_LIFE_US });
	return true;
}

static void on_ask(struct sched *s, struct session *e, const struct from_io *m)
{
	struct flight *f = e->flights[0];
	uint32_t unused;

	if (f && f->id != m->number)
		f = e->flights[1] && e->flights[1]->id == m->number ? e->flights[1] : NULL;
	if (!f)
		return;
	lead_late(&s->lead, s->now, m->late);
	if (f != e->flights[0]) { /* its first one came back out of order */
		e->flights[1] = e->flights[0];
		e->flights[0] = f;
	}
	if (!f->ncharged) {
		action_to_io(s, e->io,
			     &(struct to_io){ .type = TO_IO_GRANT,
					      .session = e->id,
					      .number = f->id,
					      .n = m->n,
					      .until = US_NEVER });
		return;
	}
	unused = f->granted - f->used;
	flight_void(s, f);
	flight_pending(s, f, unused);
	e->ask_n = m->n;
	/* Others that ask came first: it stands behind them at the rate that holds it up. */
	for (uint8_t i = 0; i < f->ncharged; i++)
		if (!list_empty(&f->charged[i]->gate.asks)) {
			gate_ask(s, &f->charged[i]->gate, e);
			return;
		}
	session_serve(s, e);
}

static void on_used(struct session *e, const struct from_io *m)
{
	struct flight *f = e->flights[0];

	if (m->number && f && f->id != m->number)
		f = e->flights[1];
	if (f && f->used + m->n <= f->granted)
		f->used += m->n;
}

/* ---- what else io threads tell ---- */

static void on_up(struct sched *s, struct session *e, const struct from_io *m)
{
	if (e->state == SESSION_OPENING)
		e->state = SESSION_UP;
	if (!e->was_up) {
		e->was_up = true;
		e->up_at = s->now;
		e->lane->opening--;
		if (e->flights[0])
			flight_up(s, e->flights[0]);
	}
	e->pipelining = m->pipelining;
	lane_came_up(s, e->lane);
	keyrest_came_up(s, e);
	session_sort(s, e);
	lane_woken(s, e->lane);
}

bool needs_more(uint8_t step)
{
	return step == STEP_TLS || step == STEP_AUTH;
}

void session_failed(struct sched *s, struct session *e, uint8_t step, struct rstr *reason)
{
	enum rest_kind kind = step == STEP_TLS ? REST_TLS : REST_CONNECT;

	if (!needs_more(step) || !keyrest_failed(s, e, kind, reason))
		lane_connect_failed(s, e->lane, reason);
}

struct transaction *unreached_new(struct sched *s, struct queue *q, const char *enhanced,
				  struct rstr *reply)
{
	struct transaction *t = transaction_new(1);

	if (!t)
		return NULL;
	t->id = ++s->next_id;
	t->unreached = true;
	t->queue = queue_name(s, q);
	t->started_at = t->ended_at = s->now;
	t->rcpts[0].reply = rstr_ref(reply);
	t->rcpts[0].verdict.enhanced[0] = '\0';
	strncat(t->rcpts[0].verdict.enhanced, enhanced, sizeof t->rcpts[0].verdict.enhanced - 1);
	return t;
}

static struct rstr *address_rstr(const struct endpoint *e)
{
	struct buf b;
	struct rstr *text;

	buf_init(&b);
	address_text(e, &b);
	text = buf_failed(&b) ? NULL : rstr_new(buf_str(&b));
	buf_free(&b);
	return text;
}

/* Its mail comes back untried, so no recipient's event says why nothing is sent: the queue's does,
 * once a rest. */
static void tell_unreached(struct sched *s, const struct session *e, const struct from_io *m)
{
	struct lane *a = e->lane;
	struct key_rest *r = needs_more(m->step) ? keyrest_of(s, e) : NULL;
	bool *told = r ? &r->told : &a->rest_told, v6 = m->address.sa.sa_family == AF_INET6;
	struct transaction *t;

	if (*told || !e->queue || !m->reply)
		return;
	t = unreached_new(s, e->queue, m->verdict.enhanced, m->reply);
	if (!t)
		return;
	*told = true;
	t->vmta = rstr_ref(a->source->name);
	t->mx = rstr_ref(m->host);
	if (m->address.len) {
		t->mx_ip = address_rstr(&m->address);
		t->source_ip = address_rstr(v6 ? &a->source->ip6 : &a->source->ip4);
	}
	action_add(s, ACT_OUTCOMES)->a.txn = t;
}

/* What the session was with may go elsewhere now, and a place is free. */
static void on_down(struct sched *s, struct session *e, const struct from_io *m)
{
	struct lane *a = e->lane;
	struct queue *q = e->own_limits ? e->queue : NULL;

	/* e->failed: the lane rests already, but only DOWN says why. */
	if (!m->established && !m->planned)
		session_failed(s, e, m->step, m->reply);
	else
		mode_reply(s, a, NULL, &m->verdict, m->reply);
	if (!m->established && !m->planned)
		tell_unreached(s, e, m);
	s->io[e->io].slots++;
	lane_woken(s, a);
	session_free(s, e);
	if (q)
		queue_domain_wake(s, q);
	gate_open(s, &s->slots);
}

static void on_address_failed(struct sched *s, struct session *e, const struct from_io *m)
{
	const struct pattern *p = m->verdict.pattern;

	address_failed(s, &m->address, s->now + BAD_ADDRESS_US);
	if (e && p && (p->does.acts & DO_SKIP_MX))
		mode_skip_host(s, e->queue, m->host, NULL);
	if (e)
		mode_reply(s, e->lane, NULL, &m->verdict, m->reply);
}

static void on_done(struct sched *s, struct session *e, struct transaction *t)
{
	struct flight *f = idmap_get(&s->by_flight, t->id);

	if (!f) {
		action_body_drop(s, t->body);
		t->body = NULL;
		transaction_free(t);
		return;
	}
	if (e) {
		if (e->flights[0] == f)
			e->flights[0] = e->flights[1];
		e->flights[1] = NULL;
		e->ask_n = 0;
		list_del(&e->ask);
		e->lane->in_flight -= f->n;
		session_sort(s, e);
		handover_done(s, e);
		lane_woken(s, e->lane);
	}
	result_take(s, e, f, t);
}

static void on_slots(struct sched *s, const struct from_io *m)
{
	if (m->io >= (uint32_t)s->opts.io_threads)
		return;
	s->io[m->io].slots += m->n;
	gate_open(s, &s->slots);
}

static void dispatch(struct sched *s, struct session *e, struct from_io *m)
{
	switch (m->type) {
	case FROM_IO_UP:
		on_up(s, e, m);
		break;
	case FROM_IO_ASK:
		on_ask(s, e, m);
		break;
	case FROM_IO_USED:
		on_used(e, m);
		break;
	case FROM_IO_DOWN:
		on_down(s, e, m);
		break;
	case FROM_IO_SLOTS:
	case FROM_IO_ADDRESS_FAILED:
	case FROM_IO_DONE:
	case FROM_IO_FENCED:
		break;
	}
}

void sched_from_io(struct sched *s, us_t now, struct from_io *m)
{
	struct session *e = idmap_get(&s->by_session, m->session);

	OBJ_CHECK(s, SCHED_MAGIC);
	s->now = now;
	if (m->type == FROM_IO_SLOTS)
		on_slots(s, m);
	else if (m->type == FROM_IO_DONE)
		on_done(s, e, m->txn);
	else if (m->type == FROM_IO_FENCED)
		command_fenced(s, m->io, m->number);
	else if (m->type == FROM_IO_ADDRESS_FAILED)
		on_address_failed(s, e, m);
	else if (e)
		dispatch(s, e, m);
	rstr_unref(m->host);
	rstr_unref(m->reply);
	m->host = m->reply = NULL;
}
