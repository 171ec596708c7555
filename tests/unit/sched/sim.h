/* The world around the scheduler in virtual time, for its tests: io threads with SMTP sessions and
 * receivers behind them, the DNS, the spool's answers. Everything that happens is an event in one
 * queue, so a run depends on nothing but its seed. */
#ifndef STOKER_TEST_SCHED_SIM_H
#define STOKER_TEST_SCHED_SIM_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/hash.h"
#include "core/base/heap.h"
#include "core/base/rng.h"
#include "core/sched/sched.h"

#define SIM_START (1700000000 * US_PER_S)

struct sim;

/* ---- what a test decides ---- */

struct sim_verdict { /* of one recipient */
	enum reply_class class;
	bool permanent;
	const char *reply, *enhanced;
};
struct sim_connect { /* of one connection */
	bool fails;
	us_t after;
	const char *reply; /* why it failed */
	bool no_tls;	   /* what needs TLS finds none */
};
struct sim_world {
	void *arg;
	/* NULL: everything is accepted. */
	struct sim_verdict (*rcpt)(struct sim *m, const char *vmta, struct str address,
				   uint32_t attempt);
	struct sim_connect (*connect)(struct sim *m, const char *vmta, const char *host);
	/* NULL: each domain has the MX mx.DOMAIN. Fills status and hosts. */
	struct dns_answer *(*dns)(struct sim *m, struct str name, bool host);
	us_t io_delay;	    /* mailbox and loop, each way */
	us_t io_jitter;	    /* up to so much more, on the way there */
	us_t io_late[2];    /* more on the way to one thread, and its timers are as late */
	us_t late_turns;    /* the two threads change places so often; 0: never */
	us_t connect_delay; /* to a session that is up */
	us_t round_trip;    /* RCPT written to the final answer */
	us_t dns_delay;
	us_t coarse; /* the scheduler ticks so seldom when nothing happens; 0: as it asks */
	us_t stall_from, stall_to;	     /* io threads do nothing in between */
	bool pipelining, dsn;		     /* receivers offer them */
	const struct classifier *classifier; /* judges replies, with the pattern lists; NULL: rcpt()
						does */
};

/* ---- what happened ---- */

struct sim_rcpt_event { /* an RCPT that was written */
	us_t at;
	uint64_t message, session;
	char vmta[24], queue[64];
	uint32_t attempt;
};

enum sim_event_type {
	EV_TO_IO,
	EV_UP,
	EV_FAIL,
	EV_NO_TLS,
	EV_ANSWER,
	EV_DNS,
	EV_IDLE,
	EV_PERMIT,
	EV_FROM_IO,
	EV_SYNCED,
	EV_CALL
};
struct sim_event {
	struct heap_node node;
	enum sim_event_type type;
	uint32_t io;
	uint64_t a, b;
	struct to_io to;
	struct from_io from;
	struct dns_answer *dns;
	void (*call)(struct sim *m, void *arg);
	void *arg;
};

struct sim_session {
	uint64_t id;
	uint32_t io;
	struct session_spec *spec;
	struct transaction *txn[4]; /* [0] current */
	int ntxn;
	uint32_t next_rcpt; /* to be written */
	uint32_t granted;   /* permits left */
	us_t from, until;
	us_t late; /* when the permits came */
	uint32_t used_said;
	bool up, asking, closing, started;
	int messages;
	uint64_t idle_token;
};

struct sim_state_row {
	char *table;
	struct rstr *key, *value;
};

struct sim {
	struct sched *s;
	struct conf *conf;
	us_t now, tick_at;
	struct sim_world w;
	struct heap events;
	struct rng rng;
	struct idmap sessions;
	uint64_t next_message, next_token;
	struct sim_rcpt_event *rcpts;
	size_t nrcpts, cap_rcpts;
	struct sim_state_row *rows;
	size_t nrows;
	/* counted */
	uint64_t delivered, deferred, bounced, expired, removed, untried, unreached, opens, dsns,
	    dsn_rcpts, body_drops, lookups, ticks;
	uint64_t last_dsn_message;
	char last_dsn_reply[600], last_dsn_enhanced[16];
	char last_unreached[600]; /* "queue vmta mx mx_ip source_ip enhanced reply" */
	int now_sessions, max_sessions;
	struct sched_reply reply; /* the last */
	char reply_text[400], echo[400];
	us_t echo_at;
	int echoes;
	bool draining;
	int replies;
	us_t reply_at;
	uint64_t hash; /* of all actions, for replays */
	bool quiet;    /* keep no list of RCPTs */
	us_t io_free[2];
};

/* ---- configuration ---- */

static inline struct conf *sim_conf_read(const char *text)
{
	char path[] = "/tmp/stoker-sched-XXXXXX";
	int fd = mkstemp(path);
	struct conf_problems problems;
	struct conf_read_opts opts = { 0 };
	struct conf *c;
	struct buf out;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	conf_problems_init(&problems);
	c = conf_read(path, &opts, &problems);
	if (!c) {
		buf_init(&out);
		conf_problems_print(&problems, &out);
		fprintf(stderr, "%s\n", buf_z(&out));
		buf_free(&out);
	}
	conf_problems_free(&problems);
	unlink(path);
	assert_non_null(c);
	return c;
}

/* ---- events ---- */

static inline struct sim_event *sim_event(struct sim *m, us_t at, enum sim_event_type type)
{
	struct sim_event *e = calloc(1, sizeof *e);

	assert_non_null(e);
	e->type = type;
	heap_set(&m->events, &e->node, at);
	return e;
}

static inline void sim_call_at(struct sim *m, us_t at, void (*call)(struct sim *m, void *arg),
			       void *arg)
{
	struct sim_event *e = sim_event(m, at, EV_CALL);

	e->call = call;
	e->arg = arg;
}

/* io threads stand still during a stall: what they would do happens at its end. */
static inline us_t sim_io_time(const struct sim *m, us_t at)
{
	return at >= m->w.stall_from && at < m->w.stall_to ? m->w.stall_to : at;
}

static inline us_t sim_loop_late(const struct sim *m, uint32_t io)
{
	bool turned = m->w.late_turns && m->now / m->w.late_turns % 2;

	return m->w.io_late[turned ? !io : io];
}

/* Mailboxes keep their order, however late a pass is. */
static inline us_t sim_late(struct sim *m, uint32_t io)
{
	us_t at = m->now + m->w.io_delay + sim_loop_late(m, io);

	if (m->w.io_jitter)
		at += (us_t)rng_below(&m->rng, (uint64_t)m->w.io_jitter);
	if (at < m->io_free[io])
		at = m->io_free[io];
	return m->io_free[io] = at;
}

static inline void sim_tell(struct sim *m, uint32_t io, const struct from_io *f)
{
	struct sim_event *e = sim_event(m, m->now + m->w.io_delay, EV_FROM_IO);

	e->from = *f;
	e->from.io = io;
}

/* ---- the SMTP client ---- */

static inline void sim_note_rcpt(struct sim *m, const struct sim_session *e,
				 const struct transaction *t, uint32_t i)
{
	struct sim_rcpt_event *r;

	if (m->quiet) {
		m->nrcpts++;
		return;
	}
	if (m->nrcpts == m->cap_rcpts) {
		m->cap_rcpts = m->cap_rcpts ? m->cap_rcpts * 2 : 1024;
		m->rcpts = realloc(m->rcpts, m->cap_rcpts * sizeof *m->rcpts);
		assert_non_null(m->rcpts);
	}
	r = &m->rcpts[m->nrcpts++];
	*r = (struct sim_rcpt_event){ .at = m->now,
				      .message = t->message,
				      .session = e->id,
				      .attempt = t->rcpts[i].attempt };
	snprintf(r->vmta, sizeof r->vmta, "%s", e->spec->vmta->text);
	snprintf(r->queue, sizeof r->queue, "%s", t->queue->text);
}

static inline struct rstr *sim_reply(const char *text)
{
	return rstr_new(str_of(text));
}

static inline void sim_judge(struct sim *m, const struct sim_session *e, struct txn_rcpt *r)
{
	struct sim_verdict v = { CLASS_OK, false, "250 2.0.0 ok", "2.0.0" };

	if (m->w.rcpt)
		v = m->w.rcpt(m, e->spec->vmta->text, r->address, r->attempt);
	r->tried = true;
	r->step = STEP_RCPT;
	r->verdict.class = v.class;
	r->verdict.permanent = v.permanent;
	r->verdict.rule = "sim";
	snprintf(r->verdict.enhanced, sizeof r->verdict.enhanced, "%s",
		 v.enhanced ? v.enhanced : "4.0.0");
	r->reply = sim_reply(v.reply ? v.reply : "451 4.3.0 later");
	if (m->w.classifier)
		classify(m->w.classifier, e->spec->patterns_list, STEP_RCPT, rstr_str(r->reply),
			 &r->verdict);
}

static inline void sim_start(struct sim *m, struct sim_session *e);

static inline void sim_give_back(struct sim *m, struct sim_session *e, int at)
{
	struct transaction *t = e->txn[at];

	for (int i = at; i + 1 < e->ntxn; i++)
		e->txn[i] = e->txn[i + 1];
	e->ntxn--;
	sim_tell(m, e->io, &(struct from_io){ .type = FROM_IO_DONE, .session = e->id, .txn = t });
}

static inline void sim_down(struct sim *m, struct sim_session *e, enum smtp_step step,
			    bool established, bool planned, const char *reply)
{
	while (e->ntxn)
		sim_give_back(m, e, e->ntxn - 1);
	sim_tell(m, e->io,
		 &(struct from_io){ .type = FROM_IO_DOWN,
				    .host = established ? NULL
							: rstr_new(str_of(e->spec->hosts[0].name)),
				    .address = e->spec->hosts[0].address[0],
				    .session = e->id,
				    .established = established,
				    .planned = planned,
				    .step = (uint8_t)step,
				    .reply = reply ? sim_reply(reply) : NULL });
	idmap_del(&m->sessions, e->id);
	session_spec_free(e->spec);
	m->now_sessions--;
	free(e);
}

static inline void sim_next(struct sim *m, struct sim_session *e)
{
	if (e->ntxn) {
		sim_start(m, e);
		return;
	}
	if (e->closing ||
	    (e->spec->max_msg_per_connection && e->messages >= e->spec->max_msg_per_connection)) {
		sim_down(m, e, STEP_QUIT, true, true, NULL);
		return;
	}
	{
		struct sim_event *v = sim_event(m, m->now + e->spec->idle_timeout, EV_IDLE);

		e->idle_token = ++m->next_token;
		v->a = e->id;
		v->b = e->idle_token;
	}
}

/* Writes what it has permits for; asks for the rest. */
static inline void sim_write_rcpts(struct sim *m, struct sim_session *e)
{
	struct transaction *t = e->txn[0];

	while (e->next_rcpt < t->nrcpts) {
		if (e->until != US_NEVER && e->granted && m->now < e->from) {
			struct sim_event *v = sim_event(
			    m, sim_io_time(m, e->from + sim_loop_late(m, e->io)), EV_PERMIT);

			v->a = e->id;
			v->b = t->id;
			return;
		}
		if (e->until != US_NEVER && (!e->granted || m->now > e->until)) {
			e->granted = 0;
			e->asking = true;
			sim_tell(m, e->io,
				 &(struct from_io){ .type = FROM_IO_USED,
						    .session = e->id,
						    .number = t->id,
						    .n = e->next_rcpt - e->used_said });
			e->used_said = e->next_rcpt;
			sim_tell(m, e->io,
				 &(struct from_io){ .type = FROM_IO_ASK,
						    .session = e->id,
						    .number = t->id,
						    .n = t->nrcpts - e->next_rcpt,
						    .late = e->late });
			e->late = 0;
			return;
		}
		if (e->until != US_NEVER)
			e->granted--;
		sim_note_rcpt(m, e, t, e->next_rcpt++);
	}
	{
		struct sim_event *v = sim_event(m, m->now + m->w.round_trip, EV_ANSWER);

		v->a = e->id;
		v->b = t->id;
	}
}

static inline void sim_start(struct sim *m, struct sim_session *e)
{
	struct transaction *t = e->txn[0];

	e->started = true;
	e->next_rcpt = 0;
	e->used_said = 0;
	e->granted = t->permits;
	e->from = t->permit_from;
	e->until = t->permit_until;
	e->asking = false;
	sim_write_rcpts(m, e);
}

static inline struct rstr *sim_ip(const struct endpoint *e)
{
	char z[64];

	inet_ntop(AF_INET, &e->in4.sin_addr, z, sizeof z);
	return rstr_new(str_of(z));
}

static inline void sim_answer(struct sim *m, struct sim_session *e)
{
	struct transaction *t = e->txn[0];

	for (uint32_t i = 0; i < t->nrcpts; i++)
		sim_judge(m, e, &t->rcpts[i]);
	t->vmta = rstr_ref(e->spec->vmta);
	t->mx = rstr_new(str_of(e->spec->hosts[0].name));
	t->mx_ip = sim_ip(&e->spec->hosts[0].address[0]);
	t->ended_at = m->now;
	t->dsn_passed = m->w.dsn;
	e->messages++;
	e->started = false;
	sim_give_back(m, e, 0);
	sim_next(m, e);
}

static inline void sim_permits_came(struct sim *m, struct sim_session *e, uint32_t n, us_t until)
{
	e->late = n && until != US_NEVER && m->now > until ? m->now - until : 0;
}

static inline void sim_take(struct sim *m, struct sim_session *e, struct transaction *t)
{
	assert_true(e->ntxn < 2);
	e->txn[e->ntxn++] = t;
	sim_permits_came(m, e, t->permits, t->permit_until);
	e->idle_token = ++m->next_token;
	if (e->up && e->ntxn == 1)
		sim_start(m, e);
}

static inline void sim_open(struct sim *m, uint32_t io, struct to_io *to)
{
	struct sim_session *e = calloc(1, sizeof *e);
	struct sim_connect c = { .after = m->w.connect_delay };
	struct sim_event *v;

	assert_non_null(e);
	e->id = to->session;
	e->io = io;
	e->spec = to->spec;
	e->txn[e->ntxn++] = to->txn;
	idmap_put(&m->sessions, e->id, e);
	m->opens++;
	if (++m->now_sessions > m->max_sessions)
		m->max_sessions = m->now_sessions;
	assert_true(e->spec->nhosts > 0);
	if (m->w.connect)
		c = m->w.connect(m, e->spec->vmta->text, e->spec->hosts[0].name);
	v = sim_event(m, m->now + c.after,
		      c.fails				? EV_FAIL
		      : c.no_tls && e->spec->tls_needed ? EV_NO_TLS
							: EV_UP);
	v->a = e->id;
	v->arg = (void *)(uintptr_t)c.reply;
}

static inline void sim_recall(struct sim *m, struct sim_session *e, uint64_t txn)
{
	for (int i = 0; e && i < e->ntxn; i++)
		if (e->txn[i]->id == txn && !(i == 0 && e->started && e->next_rcpt > 0)) {
			e->started = i == 0 ? false : e->started;
			sim_give_back(m, e, i);
			if (i == 0 && e->up)
				sim_next(m, e);
			return;
		}
}

static inline void sim_to_io(struct sim *m, uint32_t io, struct to_io *to)
{
	struct sim_session *e = idmap_get(&m->sessions, to->session);

	switch (to->type) {
	case TO_IO_OPEN:
		sim_open(m, io, to);
		break;
	case TO_IO_TXN:
		if (e)
			sim_take(m, e, to->txn);
		else
			sim_tell(m, io,
				 &(struct from_io){ .type = FROM_IO_DONE,
						    .session = to->session,
						    .txn = to->txn });
		break;
	case TO_IO_GRANT:
		if (e && e->asking && e->ntxn && (!to->number || e->txn[0]->id == to->number)) {
			e->asking = false;
			e->granted = to->n;
			e->from = to->from;
			e->until = to->until;
			sim_permits_came(m, e, to->n, to->until);
			sim_write_rcpts(m, e);
		}
		break;
	case TO_IO_RECALL:
		sim_recall(m, e, to->number);
		break;
	case TO_IO_FENCE:
		sim_tell(m, io, &(struct from_io){ .type = FROM_IO_FENCED, .number = to->number });
		break;
	case TO_IO_CLOSE:
		if (!e)
			break;
		e->closing = true;
		if (e->up && !e->ntxn)
			sim_down(m, e, STEP_QUIT, true, true, NULL);
		break;
	}
}

/* ---- DNS ---- */

static inline struct dns_answer *sim_dns_none(enum dns_status status, us_t expires)
{
	struct dns_answer *a = calloc(1, sizeof *a);

	assert_non_null(a);
	a->status = status;
	a->expires = expires;
	if (status == DNS_TEMPFAIL)
		snprintf(a->text, sizeof a->text, "SERVFAIL");
	return a;
}

/* `hosts`: names separated by blanks, all of one preference; each gets an address of 192.0.2.0/24.
 */
static inline struct dns_answer *sim_dns_hosts(const char *hosts, us_t expires)
{
	struct dns_answer *a = sim_dns_none(DNS_OK, expires);
	struct str rest = str_of(hosts), word;

	a->hosts = calloc(16, sizeof *a->hosts);
	assert_non_null(a->hosts);
	while (str_split(&rest, ' ', &word)) {
		struct dns_host *h = &a->hosts[a->nhosts++];

		h->preference = 10;
		h->name = str_dup(word);
		h->address = calloc(1, sizeof *h->address);
		assert_non_null(h->address);
		h->naddresses = 1;
		h->address->in4.sin_family = AF_INET;
		h->address->in4.sin_addr.s_addr = (uint32_t)hash_bytes(word.p, word.n);
		h->address->len = sizeof h->address->in4;
	}
	return a;
}

static inline void sim_lookup(struct sim *m, const struct action *a)
{
	struct sim_event *e = sim_event(m, m->now + m->w.dns_delay, EV_DNS);
	char mx[300];

	m->lookups++;
	e->a = a->lookup;
	if (m->w.dns) {
		e->dns = m->w.dns(m, a->name, a->host);
		return;
	}
	snprintf(mx, sizeof mx, a->host ? "%.*s" : "mx.%.*s", (int)a->name.n, a->name.p);
	e->dns = sim_dns_hosts(mx, m->now + US_PER_HOUR);
}

/* ---- spool and control ---- */

static inline void sim_outcomes(struct sim *m, struct transaction *t)
{
	assert_null(t->body);
	if (t->unreached) {
		m->unreached++;
		snprintf(m->last_unreached, sizeof m->last_unreached, "%s %s %s %s %s %s %s",
			 rstr_str(t->queue).p, rstr_str(t->vmta).p, rstr_str(t->mx).p,
			 rstr_str(t->mx_ip).p, rstr_str(t->source_ip).p,
			 t->rcpts[0].verdict.enhanced, rstr_str(t->rcpts[0].reply).p);
		transaction_free(t);
		return;
	}
	for (uint32_t i = 0; i < t->nrcpts; i++) {
		switch ((enum decision)t->rcpts[i].decision) {
		case DECIDE_NONE:
			m->untried++;
			break;
		case DECIDE_DELIVERED:
			m->delivered++;
			break;
		case DECIDE_DEFERRED:
			m->deferred++;
			break;
		case DECIDE_BOUNCED:
			m->bounced++;
			break;
		case DECIDE_EXPIRED:
			m->expired++;
			break;
		case DECIDE_REMOVED:
			m->removed++;
			break;
		}
	}
	transaction_free(t);
}

static inline void sim_dsn(struct sim *m, struct dsn_job *j)
{
	uint32_t rcpts[1000];

	m->dsns++;
	m->dsn_rcpts += j->nrcpts;
	m->last_dsn_message = j->message;
	snprintf(m->last_dsn_reply, sizeof m->last_dsn_reply, "%.*s", (int)j->rcpts[0].reply.n,
		 j->rcpts[0].reply.p);
	snprintf(m->last_dsn_enhanced, sizeof m->last_dsn_enhanced, "%.*s",
		 (int)j->rcpts[0].enhanced.n, j->rcpts[0].enhanced.p);
	for (uint32_t i = 0; i < j->nrcpts && i < 1000; i++)
		rcpts[i] = j->rcpts[i].index;
	sched_reported(m->s, m->now, j->message, rcpts, j->nrcpts);
	dsn_job_free(j);
}

static inline void sim_state_put(struct sim *m, const struct action *a)
{
	size_t i = 0;

	while (i < m->nrows && (strcmp(m->rows[i].table, a->table) != 0 ||
				!str_eq(rstr_str(m->rows[i].key), a->key)))
		i++;
	if (i == m->nrows) {
		m->rows = realloc(m->rows, (m->nrows + 1) * sizeof *m->rows);
		assert_non_null(m->rows);
		m->rows[m->nrows++] =
		    (struct sim_state_row){ str_dup(str_of(a->table)), rstr_new(a->key), NULL };
	}
	rstr_unref(m->rows[i].value);
	m->rows[i].value = a->value.p ? rstr_new(a->value) : NULL;
}

static inline void sim_mix(struct sim *m, uint64_t v)
{
	m->hash = (m->hash ^ v) * 0x9E3779B97F4A7C15u;
	m->hash ^= m->hash >> 29;
}

static inline void sim_act(struct sim *m, const struct action *a)
{
	struct sim_event *e;

	sim_mix(m, (uint64_t)a->type ^ (uint64_t)m->now << 8);
	switch (a->type) {
	case ACT_TO_IO:
		sim_mix(m, a->to_io.session ^ (uint64_t)a->to_io.type << 56 ^ a->to_io.number);
		e = sim_event(m, sim_io_time(m, sim_late(m, a->io)), EV_TO_IO);
		e->io = a->io;
		e->to = a->to_io;
		break;
	case ACT_OUTCOMES:
		sim_mix(m, a->txn->message);
		sim_outcomes(m, a->txn);
		break;
	case ACT_LOOKUP:
		sim_lookup(m, a);
		break;
	case ACT_DSN:
		sim_dsn(m, a->dsn);
		break;
	case ACT_BODY_DROP:
		m->body_drops++;
		break;
	case ACT_STATE_PUT:
		sim_state_put(m, a);
		break;
	case ACT_STATE_SYNC:
		sim_event(m, m->now + US_PER_MS, EV_SYNCED)->a = a->token;
		break;
	case ACT_REPLY:
		m->reply = a->reply;
		m->reply_at = m->now;
		m->replies++;
		snprintf(m->reply_text, sizeof m->reply_text, "%s",
			 a->reply.text ? a->reply.text->text : "");
		rstr_unref(a->reply.text);
		break;
	case ACT_DRAIN:
		m->draining = a->on;
		break;
	case ACT_ECHO:
		m->echo_at = m->now;
		m->echoes++;
		snprintf(m->echo, sizeof m->echo, "%s", a->text ? a->text->text : "");
		rstr_unref(a->text);
		break;
	}
}

static inline void sim_drain(struct sim *m)
{
	struct action a;

	while (sched_action(m->s, &a))
		sim_act(m, &a);
}

/* The connection stood, and no TLS came of it: its mail has that as its reply. */
static inline void sim_no_tls(struct sim *m, struct sim_session *e)
{
	const char *text = "TLS is required, and it does not offer STARTTLS";

	for (int k = 0; k < e->ntxn; k++)
		for (uint32_t i = 0; i < e->txn[k]->nrcpts; i++) {
			struct txn_rcpt *r = &e->txn[k]->rcpts[i];

			r->step = STEP_TLS;
			r->verdict.class = CLASS_CONNECTION;
			r->reply = sim_reply(text);
		}
	sim_down(m, e, STEP_TLS, false, false, text);
}

/* ---- running ---- */

static inline void sim_happen(struct sim *m, struct sim_event *v)
{
	struct sim_session *e;

	switch (v->type) {
	case EV_TO_IO:
		sim_to_io(m, v->io, &v->to);
		break;
	case EV_UP:
		e = idmap_get(&m->sessions, v->a);
		e->up = true;
		sim_tell(m, e->io,
			 &(struct from_io){
			     .type = FROM_IO_UP, .session = e->id, .pipelining = m->w.pipelining });
		sim_next(m, e);
		break;
	case EV_FAIL:
		sim_down(m, idmap_get(&m->sessions, v->a), STEP_CONNECT, false, false, v->arg);
		break;
	case EV_NO_TLS:
		sim_no_tls(m, idmap_get(&m->sessions, v->a));
		break;
	case EV_ANSWER:
		e = idmap_get(&m->sessions, v->a);
		if (e && e->ntxn && e->txn[0]->id == v->b)
			sim_answer(m, e);
		break;
	case EV_PERMIT:
		e = idmap_get(&m->sessions, v->a);
		if (e && e->ntxn && e->txn[0]->id == v->b && e->started && !e->asking) {
			sim_permits_came(m, e, e->granted, e->until);
			sim_write_rcpts(m, e);
		}
		break;
	case EV_DNS:
		sched_dns(m->s, m->now, v->a, v->dns);
		break;
	case EV_IDLE:
		e = idmap_get(&m->sessions, v->a);
		if (e && !e->ntxn && e->idle_token == v->b)
			sim_down(m, e, STEP_QUIT, true, true, NULL);
		break;
	case EV_FROM_IO:
		sched_from_io(m->s, m->now, &v->from);
		break;
	case EV_SYNCED:
		sched_synced(m->s, m->now, v->a);
		break;
	case EV_CALL:
		v->call(m, v->arg);
		break;
	}
}

static inline void sim_tick(struct sim *m)
{
	m->tick_at = sched_tick(m->s, m->now);
	if (m->tick_at > m->now && m->tick_at < m->now + m->w.coarse)
		m->tick_at = m->now + m->w.coarse;
	m->ticks++;
	sim_drain(m);
}

/* Runs until `until`; the scheduler ticks after each batch of events and when it asked to. */
static inline void sim_run_to(struct sim *m, us_t until)
{
	for (;;) {
		struct heap_node *n = heap_top(&m->events);
		us_t at = n && n->key < m->tick_at ? n->key : m->tick_at;

		if (at > until) {
			m->now = until;
			return;
		}
		if (at > m->now)
			m->now = at;
		while ((n = heap_top(&m->events)) && n->key <= m->now) {
			struct sim_event *v = HEAP_OF(n, struct sim_event, node);

			heap_del(&m->events, n);
			sim_happen(m, v);
			free(v);
		}
		sim_drain(m);
		sim_tick(m);
	}
}

static inline void sim_run(struct sim *m, us_t span)
{
	sim_run_to(m, m->now + span);
}

/* ---- making and ending ---- */

static inline void sim_slots(struct sim *m, uint32_t io, uint32_t n)
{
	struct from_io f = { .type = FROM_IO_SLOTS, .io = io, .n = n };

	sched_from_io(m->s, m->now, &f);
}

static inline void *sim_body_ref(void *body)
{
	return body;
}

static inline void sim_init_sched(struct sim *m, uint64_t seed)
{
	m->s = sched_new(&(struct sched_opts){ .seed = seed,
					       .io_threads = 2,
					       .smtp_port = 25,
					       .body_cache_bytes = 1 << 30,
					       .body_ref = sim_body_ref },
			 m->now);
	assert_non_null(m->s);
}

static inline void sim_begin(struct sim *m, const char *text)
{
	m->conf = sim_conf_read(text);
	sched_conf(m->s, m->now, m->conf);
	for (int i = 0; i < m->conf->nvmtas; i++)
		sched_source_up(m->s, m->now, i, true, true, 1);
	sim_slots(m, 0, 10000);
	sim_slots(m, 1, 10000);
	m->tick_at = m->now;
}

static inline struct sim *sim_new(const char *text, uint64_t seed)
{
	struct sim *m = calloc(1, sizeof *m);

	assert_non_null(m);
	hash_seed(1, 2);
	m->now = SIM_START;
	m->w = (struct sim_world){ .io_delay = 100,
				   .connect_delay = 5 * US_PER_MS,
				   .round_trip = 10 * US_PER_MS,
				   .dns_delay = US_PER_MS };
	heap_init(&m->events);
	idmap_init(&m->sessions);
	rng_seed(&m->rng, seed);
	sim_init_sched(m, seed);
	sim_begin(m, text);
	return m;
}

static inline void sim_drop_events(struct sim *m)
{
	struct heap_node *n;

	while ((n = heap_top(&m->events))) {
		struct sim_event *v = HEAP_OF(n, struct sim_event, node);

		heap_del(&m->events, n);
		if (v->type == EV_TO_IO && v->to.spec)
			session_spec_free(v->to.spec);
		if (v->type == EV_TO_IO && v->to.txn)
			transaction_free(v->to.txn);
		if (v->type == EV_FROM_IO) {
			transaction_free(v->from.txn);
			rstr_unref(v->from.reply);
			rstr_unref(v->from.host);
		}
		dns_answer_free(v->dns);
		free(v);
	}
}

static inline void sim_drop_world(struct sim *m)
{
	size_t pos = 0;
	uint64_t key;
	void *value;

	sim_drop_events(m);
	while (idmap_next(&m->sessions, &pos, &key, &value)) {
		struct sim_session *e = value;

		for (int i = 0; i < e->ntxn; i++)
			transaction_free(e->txn[i]);
		session_spec_free(e->spec);
		free(e);
	}
	idmap_free(&m->sessions);
	idmap_init(&m->sessions);
	m->now_sessions = 0;
}

static inline void sim_free(struct sim *m)
{
	sim_drop_world(m);
	sched_free(m->s);
	conf_unref(m->conf);
	heap_free(&m->events);
	idmap_free(&m->sessions);
	for (size_t i = 0; i < m->nrows; i++) {
		free(m->rows[i].table);
		rstr_unref(m->rows[i].key);
		rstr_unref(m->rows[i].value);
	}
	free(m->rows);
	free(m->rcpts);
	free(m);
}

/* Stops and starts again: only what was put into the state tables is left. */
static inline void sim_restart(struct sim *m, const char *text)
{
	sim_drop_world(m);
	sched_free(m->s);
	conf_unref(m->conf);
	sim_init_sched(m, 7);
	for (size_t i = 0; i < m->nrows; i++)
		if (m->rows[i].value)
			assert_true(sched_restore(m->s, m->now, str_of(m->rows[i].table),
						  rstr_str(m->rows[i].key),
						  rstr_str(m->rows[i].value)));
	sim_begin(m, text);
}

/* ---- mail ---- */

struct sim_mail {
	const char *to; /* addresses, separated by commas */
	const char *sender, *job, *user, *route;
	uint8_t priority, notify;
	us_t received_at; /* 0: now */
	bool dsn;
	uint64_t id; /* 0: the next */
};

enum { SIM_RCPTS = 2000 };

static inline uint64_t sim_send(struct sim *m, const struct sim_mail *mail)
{
	static struct sched_rcpt rcpts[SIM_RCPTS];
	struct sched_message x = { 0 };
	struct str rest = str_of(mail->to), word;

	while (str_split(&rest, ',', &word)) {
		const char *at = memrchr(word.p, '@', word.n);
		struct sched_rcpt *r = &rcpts[x.nrcpts];

		*r = (struct sched_rcpt){ .index = x.nrcpts,
					  .address = word,
					  .notify = mail->notify };
		r->domain = str_mem(at + 1, word.n - (size_t)(at + 1 - word.p));
		r->due = m->now;
		x.nrcpts++;
		assert_true(x.nrcpts < SIM_RCPTS);
	}
	x.id = mail->id ? mail->id : ++m->next_message;
	x.received_at = mail->received_at ? mail->received_at : m->now;
	x.sender = str_of(mail->sender ? mail->sender : "news@shop.example");
	x.job = str_of(mail->job ? mail->job : "job1");
	x.user = str_of(mail->user ? mail->user : "shop");
	x.route = str_of(mail->route ? mail->route : "vmta1");
	x.priority = mail->priority ? mail->priority : 50;
	x.size = 1000;
	x.dsn = mail->dsn;
	x.rcpts = rcpts;
	assert_true(sched_message(m->s, m->now, &x));
	m->tick_at = m->now;
	sim_drain(m);
	return x.id;
}

static inline void sim_send_many(struct sim *m, int n, const char *domain, const char *job,
				 const char *route)
{
	char to[200];

	for (int i = 0; i < n; i++) {
		snprintf(to, sizeof to, "u%d@%s", i, domain);
		sim_send(m, &(struct sim_mail){ .to = to, .job = job, .route = route });
	}
}

/* The most RCPTs written in any window of `span`; vmta or queue NULL: any. */
static inline int sim_most_in(const struct sim *m, us_t span, const char *vmta, const char *queue)
{
	int most = 0, n = 0;
	size_t tail = 0;
	us_t *at = calloc(m->nrcpts + 1, sizeof *at);
	size_t k = 0;

	assert_non_null(at);
	for (size_t i = 0; i < m->nrcpts; i++)
		if ((!vmta || strcmp(vmta, m->rcpts[i].vmta) == 0) &&
		    (!queue || strcmp(queue, m->rcpts[i].queue) == 0))
			at[k++] = m->rcpts[i].at;
	for (size_t i = 0; i < k; i++) {
		n++;
		while (at[tail] + span <= at[i]) {
			tail++;
			n--;
		}
		if (n > most)
			most = n;
	}
	free(at);
	return most;
}

static inline int sim_count_between(const struct sim *m, us_t from, us_t to)
{
	int n = 0;

	for (size_t i = 0; i < m->nrcpts; i++)
		n += m->rcpts[i].at >= from && m->rcpts[i].at < to;
	return n;
}

static inline void sim_check_totals(struct sim *m)
{
	struct sched_totals t;

	sched_totals(m->s, m->now, &t);
	assert_int_equal(t.accepted, t.delivered + t.bounced + t.expired + t.removed + t.queued);
}

#define SIM_CONF_REST                                                                              \
	"hostname = mx.test\nspool = /tmp/none\n"                                                  \
	"[virtual-mta vmta1]\nsmtp-source-host = 127.0.1.1 m1.test\n"                              \
	"[virtual-mta vmta2]\nsmtp-source-host = 127.0.1.2 m2.test\n"                              \
	"[virtual-mta vmta3]\nsmtp-source-host = 127.0.1.3 m3.test\n"                              \
	"[virtual-mta vmta4]\nsmtp-source-host = 127.0.1.4 m4.test\n"                              \
	"[virtual-mta-pool pool-a]\nmembers = vmta1, vmta2, vmta3, vmta4\n"
#define SIM_CONF "[mta]\n" SIM_CONF_REST

#endif
