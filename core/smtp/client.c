/* Sessions come and go here, and the scheduler's words are taken: see client_session.h for the
 * other files' parts. */
#include "core/smtp/client_session.h"

#include <stdlib.h>

#include "core/base/log.h"

static void session_free(struct session *s)
{
	session_spec_free(s->spec);
	rstr_unref(s->vmta);
	rstr_unref(s->source_ip);
	rstr_unref(s->mx);
	rstr_unref(s->mx_ip);
	rstr_unref(s->failed_reply);
	rstr_unref(s->tls);
	rstr_unref(s->esmtp);
	reply_scan_free(&s->scan);
	s->magic = 0;
	free(s);
}

void client_enter_call(struct client *c)
{
	OBJ_CHECK(c, CLIENT_MAGIC);
	c->depth++;
}

void client_leave_call(struct client *c)
{
	if (--c->depth)
		return;
	while (c->gone) {
		struct session *s = c->gone;

		c->gone = s->next;
		session_free(s);
	}
}

void client_tell(struct session *s, struct from_io *m)
{
	m->io = s->c->io_index;
	m->session = s->id;
	s->c->env.to_sched(s->c->env.arg, m);
}

/* A transaction that no session can take. */
static void give_back(struct client *c, uint64_t session, struct transaction *t)
{
	struct from_io m = { .type = FROM_IO_DONE,
			     .io = c->io_index,
			     .session = session,
			     .number = t->id,
			     .txn = t };

	c->env.to_sched(c->env.arg, &m);
}

/* ---- the end of a session ---- */

static void unlink_session(struct session *s)
{
	struct client *c = s->c;

	timer_stop(c->loop, &s->permit);
	idmap_del(&c->sessions, s->id);
	if (s->prev)
		s->prev->next = s->next;
	else
		c->all = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->prev = NULL;
	s->next = c->gone;
	c->gone = s;
	c->stats.sessions--;
}

void client_end(struct session *s, struct session_end *e)
{
	struct from_io down = { .type = FROM_IO_DOWN,
				.established = s->up,
				.planned = e->planned,
				.step = (uint8_t)e->step,
				.verdict = e->verdict,
				.reply = e->reply };

	if (!s->up && s->tried) { /* where it was tried last */
		down.address = s->remote;
		down.host = rstr_ref(s->mx);
	}
	for (int i = 0; i < 2; i++) {
		struct slot *k = &s->slot[i ? !s->cur : s->cur];

		if (!k->t)
			continue;
		client_txn_lost(s, k, i == 0, e);
		client_txn_done(s, k);
	}
	if (s->io)
		io_close(s->io);
	s->io = NULL;
	client_enter_state(s, STATE_GONE);
	client_tell(s, &down);
	unlink_session(s);
}

void client_fail(struct session *s, bool planned, const char *error)
{
	enum state where = client_where(s);
	struct session_end e = { .planned = planned,
				 .step = client_state_words[where].step,
				 .verdict = client_verdict_lost("4.4.2"),
				 .reply = client_words_lost(s, error) };

	client_end(s, &e);
}

void client_quit(struct session *s)
{
	client_enter_state(s, STATE_QUIT);
	client_expect(s, EXPECT_QUIT, NULL, 1, s->queued + 6);
	(void)client_send(
	    s, STR_LIT("QUIT\r\n")); /* if it does not go, the time for it ends the session */
}

/* Also when the connection ends or stalls instead: goodbye was said. */
void client_on_quit(struct session *s, struct slot *k, const struct reply *r)
{
	struct session_end e = { .planned = true, .step = STEP_QUIT };

	(void)k;
	(void)r;
	client_end(s, &e);
}

/* ---- what a session does next ---- */

bool client_used_up(const struct session *s)
{
	int max = s->spec->max_msg_per_connection;

	return (!s->spec->use_rs && s->started) || (max > 0 && s->started >= max);
}

static void work_once(struct session *s)
{
	while (s->state != STATE_GONE && s->state != STATE_QUIT) {
		struct slot *k = &s->slot[s->cur];

		if (!k->t && s->slot[!s->cur].t) {
			s->cur = !s->cur;
			continue;
		}
		if (!k->t) {
			if (!s->expect_n && (s->closing || client_used_up(s)))
				client_quit(s);
			return;
		}
		if (k->phase == PHASE_HELD && client_used_up(s))
			client_txn_done(s, k);
		else if (!client_txn_advance(s, k))
			return;
	}
}

/* Answers may come from inside a call that asks for something (no memory): they only leave word. */
void client_work(struct session *s)
{
	if (s->working) {
		s->again = true;
		return;
	}
	if (!s->up)
		return;
	s->working = true;
	do {
		s->again = false;
		work_once(s);
	} while (s->again && s->state != STATE_GONE);
	s->working = false;
	client_rest(s);
}

/* ---- from the scheduler ---- */

static void permits_hold(struct timer *t, void *arg)
{
	struct session *s = arg;
	struct client *c = s->c;

	(void)t;
	client_enter_call(c);
	client_permits_seen(s, &s->slot[0]);
	client_permits_seen(s, &s->slot[1]);
	client_work(s);
	client_leave_call(c);
}

static struct session *session_new(struct client *c, struct session_spec *spec)
{
	struct session *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	*s = (struct session){ .magic = SESSION_MAGIC, .c = c, .id = spec->session, .spec = spec };
	reply_scan_init(&s->scan);
	timer_init(&s->permit, permits_hold, s);
	if (!idmap_put(&c->sessions, s->id, s)) {
		free(s);
		return NULL;
	}
	s->vmta = rstr_ref(spec->vmta);
	s->next = c->all;
	if (c->all)
		c->all->prev = s;
	c->all = s;
	c->stats.sessions++;
	return s;
}

static void open_failed(struct client *c, struct to_io *m)
{
	struct from_io down = { .type = FROM_IO_DOWN,
				.io = c->io_index,
				.session = m->session,
				.step = STEP_CONNECT,
				.planned = true, /* nobody's fault but ours */
				.verdict = client_verdict_lost("4.3.0"),
				.reply = rstr_new(STR_LIT("no memory for a session")) };

	if (m->txn)
		give_back(c, m->session, m->txn);
	session_spec_free(m->spec);
	c->env.to_sched(c->env.arg, &down);
}

static void to_io_open(struct client *c, struct to_io *m)
{
	struct session *s = session_new(c, m->spec);

	if (!s) {
		open_failed(c, m);
		return;
	}
	if (m->txn)
		client_txn_hold(s, &s->slot[0], m->txn);
	client_connect_next(s);
}

static void to_io_txn(struct session *s, struct transaction *t)
{
	struct slot *k = &s->slot[s->cur];

	if (k->t)
		k = &s->slot[!s->cur];
	if (k->t || s->closing) {
		give_back(s->c, s->id, t);
		return;
	}
	if (s->state == STATE_QUIT) {
		/* Goes back when the session is down: at once, it would be handed to us again at
		 * once. */
		*k = (struct slot){ .t = t };
		return;
	}
	client_txn_hold(s, k, t);
	client_work(s);
}

/* Grants cross with recalls: one that names another transaction is void (the scheduler took it back
 * with that one). */
static void to_io_grant(struct session *s, const struct to_io *m)
{
	struct slot *k = &s->slot[s->cur];

	if (!k->t || !k->asking || !m->n || (m->number && m->number != k->t->id))
		return;
	k->asking = false;
	k->t->permits = m->n;
	k->t->permit_from = m->from;
	k->t->permit_until = m->until;
	client_permits_seen(s, k);
	client_work(s);
}

static void to_io_recall(struct session *s, uint64_t txn)
{
	for (int i = 0; i < 2; i++) {
		struct slot *k = &s->slot[i];

		if (!k->t || k->t->id != txn)
			continue;
		if (k->phase != PHASE_HELD) {
			/* Finished; but no more is begun than what is out. */
			k->stop |= k->asking;
			client_work(s);
			return;
		}
		client_txn_done(s, k);
		if (!s->up && !s->slot[0].t && !s->slot[1].t)
			client_fail(s, true, "given up"); /* nobody needs this connection */
		else
			client_work(s);
		return;
	}
}

static void to_io_close(struct session *s)
{
	s->closing = true;
	if (!s->up && !s->slot[0].t && !s->slot[1].t)
		client_fail(s, true, "given up");
	else
		client_work(s);
}

void client_to_io(struct client *c, struct to_io *m)
{
	struct session *s = idmap_get(&c->sessions, m->session);
	struct from_io fenced = { .type = FROM_IO_FENCED, .io = c->io_index, .number = m->number };

	client_enter_call(c);
	if (m->type == TO_IO_OPEN)
		to_io_open(c, m);
	else if (m->type == TO_IO_FENCE)
		c->env.to_sched(c->env.arg, &fenced);
	else if (!s && m->type == TO_IO_TXN)
		give_back(c, m->session, m->txn);
	else if (s && m->type == TO_IO_TXN)
		to_io_txn(s, m->txn);
	else if (s && m->type == TO_IO_GRANT)
		to_io_grant(s, m);
	else if (s && m->type == TO_IO_RECALL)
		to_io_recall(s, m->number);
	else if (s && m->type == TO_IO_CLOSE)
		to_io_close(s);
	client_leave_call(c);
}

/* ---- bodies ---- */

static struct session *find_txn(struct client *c, uint64_t session, uint64_t txn, struct slot **k)
{
	struct session *s = idmap_get(&c->sessions, session);

	for (int i = 0; s && i < 2; i++) {
		*k = &s->slot[i];
		if ((*k)->t && (*k)->t->id == txn)
			return s;
	}
	return NULL;
}

void client_body(struct client *c, uint64_t session, uint64_t txn, struct body *body,
		 const char *error)
{
	struct slot *k = NULL;
	struct session *s;

	client_enter_call(c);
	s = find_txn(c, session, txn, &k);
	if (!s || !k->loading || k->t->body) {
		body_unref(body);
	} else {
		k->loading = false;
		k->t->body = body;
		if (!body)
			client_body_failed(s, k, error);
		client_work(s);
	}
	client_leave_call(c);
}

void client_no_room(struct client *c, uint64_t session, uint64_t txn)
{
	struct slot *k = NULL;
	struct session *s;

	client_enter_call(c);
	s = find_txn(c, session, txn, &k);
	if (s && k->loading && !k->t->body && k->phase == PHASE_HELD) {
		k->loading = false;
		k->t->no_room = true;
		k->phase = PHASE_OVER;
		client_work(s);
	}
	client_leave_call(c);
}

void client_chunk(struct client *c, uint64_t session, uint64_t txn, struct buf *chunk,
		  const char *error)
{
	struct slot *k = NULL;
	struct session *s;

	client_enter_call(c);
	s = find_txn(c, session, txn, &k);
	if (!s || !k->reading) {
		if (chunk)
			buf_free(chunk);
	} else {
		k->reading = false;
		if (chunk && client_sign_reads(k))
			client_sign_chunk(s, k, chunk);
		else if (chunk)
			client_body_chunk(s, k, chunk);
		else
			client_body_failed(s, k, error);
		if (s->state != STATE_GONE)
			client_work(s);
	}
	client_leave_call(c);
}

/* ---- the client ---- */

struct client *client_new(struct loop *l, uint32_t io_index, const struct client_env *env,
			  const struct classifier *classifier)
{
	struct client *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	*c = (struct client){ .magic = CLIENT_MAGIC,
			      .loop = l,
			      .io_index = io_index,
			      .env = *env,
			      .classifier = classifier };
	idmap_init(&c->sessions);
	idmap_init(&c->signing);
	buf_init(&c->out);
	c->sign = sign_thread_new();
	if (!c->sign) {
		free(c);
		return NULL;
	}
	loop_add_before_sleep(l, client_sign_pass, c);
	loop_add_before_sleep(l, client_late, c);
	return c;
}

void client_conf(struct client *c, struct conf *conf)
{
	struct conf *was = c->conf;

	OBJ_CHECK(c, CLIENT_MAGIC);
	c->conf = conf_ref(conf);
	conf_unref(was);
	if (!c->tls_cache)
		c->tls_cache = tls_cache_new(); /* without it: no resumption */
	else
		tls_cache_clear(c->tls_cache);
}

static void slot_free(struct slot *k)
{
	if (!k->t)
		return;
	client_body_clear(k);
	body_unref(k->t->body);
	k->t->body = NULL;
	transaction_free(k->t);
}

void client_free(struct client *c)
{
	if (!c)
		return;
	OBJ_CHECK(c, CLIENT_MAGIC);
	while (c->all) {
		struct session *s = c->all;

		c->all = s->next;
		timer_stop(c->loop, &s->permit);
		if (s->io)
			io_close(s->io);
		slot_free(&s->slot[0]);
		slot_free(&s->slot[1]);
		session_free(s);
	}
	idmap_free(&c->sessions);
	idmap_free(&c->signing);
	sign_thread_free(c->sign);
	free(c->late);
	buf_free(&c->out);
	tls_cache_free(c->tls_cache);
	conf_unref(c->conf);
	c->magic = 0;
	free(c);
}

void client_stats(const struct client *c, struct client_stats *out)
{
	*out = c->stats;
}
