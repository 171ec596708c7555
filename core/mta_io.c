/* An io thread: SMTP sessions in (server) and out (client). Io thread 0 also has the doors
 * (core/mta_doors.h) and watches the resolver. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/mta_doors.h"

static const us_t HOT_WITHIN = US_PER_MS; /* of a pass, for each mailbox */
enum { HOT_BUDGET = 512, LOGINS_WAITING = 32, REJECTED_PER_S = 200, CLIENT_SLOTS_MAX = 16384 };
enum { DOOR_NONE = -1 };

static const us_t STALL_US =
    10 * US_PER_S; /* RFC 1047: hold MAIL back when commits take this long */

struct io_thread {
	struct member *me;
	struct server *server;
	struct client *client;
	struct conf *conf;
	struct suppression_reader *suppression;
	size_t credits; /* commits that may still be sent */
	struct submits submits;
	bool credit_news;
	int logins;	      /* that a worker looks at */
	unsigned holds, held; /* bits from others; bits in force with our own stall */
	struct timer second;
	struct strmap unsigned_mail; /* domains with that alarm: rstr, also the key */
	us_t rejected_window;
	unsigned rejected_n;

	/* io thread 0 */
	struct doors *doors;
	struct resolver *resolver;
	struct idmap lookups; /* our id -> struct lookup_request */
	uint64_t next_lookup;
};

static struct io_thread *state(struct member *me)
{
	return me->state;
}

/* ---- server_env ---- */

static uint64_t env_new_id(void *arg)
{
	return spool_new_id(((struct io_thread *)arg)->me->mta->spool);
}

static bool env_credit_take(void *arg)
{
	struct io_thread *t = arg;
	if (!t->credits)
		return false;
	t->credits--;
	return true;
}

static void env_credit_give(void *arg)
{
	struct io_thread *t = arg;
	t->credits++;
	t->credit_news = true;
}

static void env_submit(void *arg, uint64_t session, struct message *message)
{
	struct io_thread *t = arg;
	submits_pass(&t->submits, session, message, loop_now(t->me->loop));
}

static struct large_request *large_new(struct io_thread *t, uint64_t session, enum large_op op)
{
	struct large_request *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->asker = t->me;
	r->session = session;
	r->op = op;
	return r;
}

static void large_send(struct io_thread *t, struct large_request *r)
{
	/* One worker a session keeps its chunks in order. */
	mta_post(t->me, mta_body_worker(t->me->mta, r->session),
		 (struct post){ .fn = worker_post_large, .p = r });
}

static void large_no_memory(struct io_thread *t, uint64_t session)
{
	mta_post(
	    t->me, mta_body_worker(t->me->mta, session),
	    (struct post){
		.fn = worker_post_large, .p = NULL, .a = session, .b = (uint64_t)t->me->index });
}

static void env_large_create(void *arg, uint64_t session, uint64_t message_id)
{
	struct io_thread *t = arg;
	struct large_request *r = large_new(t, session, LARGE_CREATE);
	if (!r) {
		large_no_memory(t, session);
		return;
	}
	r->message = message_id;
	large_send(t, r);
}

static void env_large_write(void *arg, uint64_t session, struct buf *chunk)
{
	struct io_thread *t = arg;
	struct large_request *r = large_new(t, session, LARGE_WRITE);
	if (!r) {
		buf_free(chunk);
		large_no_memory(t, session);
		return;
	}
	r->chunk = *chunk;
	buf_init(chunk);
	large_send(t, r);
}

static void env_large_finish(void *arg, uint64_t session, bool dot_line, bool eightbit)
{
	struct io_thread *t = arg;
	struct large_request *r = large_new(t, session, LARGE_FINISH);
	if (!r) {
		large_no_memory(t, session);
		return;
	}
	r->dot_line = dot_line;
	r->eightbit = eightbit;
	large_send(t, r);
}

static void env_large_abort(void *arg, uint64_t session)
{
	struct io_thread *t = arg;
	struct large_request *r = large_new(t, session, LARGE_ABORT);
	if (r)
		large_send(t, r);
}

static void env_rejected(void *arg, const struct event *e)
{
	struct io_thread *t = arg;
	us_t now = loop_now(t->me->loop);
	if (now - t->rejected_window >= US_PER_S) {
		t->rejected_window = now;
		t->rejected_n = 0;
	}
	if (++t->rejected_n > REJECTED_PER_S)
		return; /* a flood of refusals is counted by the server, not written */
	struct buf *b = calloc(1, sizeof *b);
	if (!b)
		return;
	if (!event_encode(b, e)) {
		buf_free(b);
		free(b);
		return;
	}
	mta_post(t->me, t->me->mta->spooler, (struct post){ .fn = spool_post_rejected, .p = b });
}

/* A [source]'s max-msg-rate over all threads: one atomic "when the next may start" each (GCRA
 * without burst). */
static bool env_source_rate(void *arg, const struct conf *c, int source, us_t now)
{
	struct io_thread *t = arg;
	struct mta *m = t->me->mta;
	if (source < 0 || rate_unlimited(c->sources[source].max_msg_rate) ||
	    (uint32_t)source >= m->source_rates_n)
		return true;
	struct rate r = c->sources[source].max_msg_rate;
	int64_t gap = r.per / r.n;
	int64_t next = __atomic_load_n(&m->source_next_us[source], __ATOMIC_RELAXED);
	for (;;) {
		if (next > now)
			return false;
		/* A little burst is kept (20 ms), so that timer grain does not cost rate. */
		int64_t base = next < now - 20 * US_PER_MS ? now - 20 * US_PER_MS : next;
		if (__atomic_compare_exchange_n(&m->source_next_us[source], &next, base + gap,
						false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
	}
}

static void auth_free(struct auth_request *r)
{
	explicit_bzero(r, sizeof *r);
	free(r);
}

static void env_auth(void *arg, uint64_t session, const struct server_auth_ask *a)
{
	struct io_thread *t = arg;
	struct auth_request *r = NULL;
	/* One who knows no password must not keep the worker from everything else. */
	if (t->logins < LOGINS_WAITING && a->user.n < sizeof r->user &&
	    a->password.n < sizeof r->password && (!a->hash || strlen(a->hash) < sizeof r->hash))
		r = calloc(1, sizeof *r);
	if (!r) {
		server_auth(t->server, session, SERVER_AUTH_BUSY, 0);
		return;
	}
	t->logins++;
	r->asker = t->me;
	r->session = session;
	r->client = *a->client;
	memcpy(r->user, a->user.p, a->user.n);
	memcpy(r->password, a->password.p, a->password.n);
	if (a->hash)
		memcpy(r->hash, a->hash, strlen(a->hash));
	mta_post(t->me, t->me->mta->workers[WORKER_SLOW],
		 (struct post){ .fn = worker_post_auth, .p = r });
}

void io_post_auth(struct member *to, struct post *p)
{
	struct io_thread *t = state(to);
	struct auth_request *r = p->p;
	t->logins--;
	server_auth(t->server, r->session, r->verdict, r->delay);
	auth_free(r);
}

static void env_closed(void *arg, const struct endpoint *peer, int door)
{
	struct io_thread *t = arg;
	if (door == DOOR_NONE)
		return; /* a pickup file: in no cap */
	mta_post(
	    t->me, t->me->mta->io[0],
	    (struct post){ .fn = io_post_closed, .a = doors_client(peer), .b = (uint64_t)door });
}

static bool env_suppressed(void *arg, struct str sender, struct str local, struct str domain,
			   struct suppression_found *out)
{
	struct io_thread *t = arg;
	struct suppression_key k;
	char scope[DOMAIN_SIZE];
	return !suppression_key_parts(local, domain, suppression_scope(sender, scope), &k) &&
	       suppression_find(t->suppression, &k, loop_now(t->me->loop), out);
}

/* ---- client_env ---- */

static bool env_suppressed_rcpt(void *arg, struct str sender, struct str recipient,
				struct suppression_found *out)
{
	struct io_thread *t = arg;
	struct suppression_key k;
	char scope[DOMAIN_SIZE];
	return !suppression_key(recipient, suppression_scope(sender, scope), &k) &&
	       suppression_find(t->suppression, &k, loop_now(t->me->loop), out);
}

static void env_to_sched(void *arg, const struct from_io *msg)
{
	struct io_thread *t = arg;
	if (!mailbox_push(t->me->mta->from_io[t->me->nth], msg))
		fatal("no memory to tell the scheduler of a session");
}

static void env_load_body(void *arg, uint64_t session, uint64_t txn, uint64_t message,
			  const struct handout_where *where)
{
	struct io_thread *t = arg;
	struct body_request *r = calloc(1, sizeof *r);
	if (!r) {
		client_body(t->client, session, txn, NULL, "no memory");
		return;
	}
	r->asker = t->me;
	r->session = session;
	r->txn = txn;
	r->message = message;
	memcpy(&r->where, where, sizeof r->where);
	mta_post(t->me, t->me->mta->spooler, (struct post){ .fn = spool_post_body, .p = r });
}

static void env_read_chunk(void *arg, uint64_t session, uint64_t txn, struct body *body,
			   uint64_t offset, size_t n)
{
	struct io_thread *t = arg;
	struct chunk_request *r = calloc(1, sizeof *r);
	if (!r) {
		body_unref(body);
		client_chunk(t->client, session, txn, NULL, "no memory");
		return;
	}
	r->asker = t->me;
	r->session = session;
	r->txn = txn;
	r->body = body;
	r->offset = offset;
	r->n = n;
	mta_post(t->me, mta_body_worker(t->me->mta, session),
		 (struct post){ .fn = worker_post_chunk, .p = r });
}

/* Mail that goes out unsigned although there is a key for it: an alarm for its domain, until the
 * next message of that domain is signed. */
static void env_signature(void *arg, const struct signature *g)
{
	struct io_thread *t = arg;
	bool on = g->kind == SIGNATURE_FAILED && !g->must;
	struct rstr *was = strmap_get(&t->unsigned_mail, rstr_str(g->domain));

	if (on == (was != NULL) || !g->domain)
		return;
	if (on && !strmap_put(&t->unsigned_mail, rstr_str(g->domain), rstr_ref(g->domain)))
		rstr_unref(g->domain); /* no memory: it is told again */
	mta_alarm(t->me, "unsigned-mail", on, 3, g->domain->text, "mail of %s goes unsigned: %s",
		  g->domain->text, rstr_str(g->reason).p);
	if (!on) {
		strmap_del(&t->unsigned_mail, rstr_str(g->domain));
		rstr_unref(was);
	}
}

static bool env_mark(void *arg, struct transaction *txn, struct str vmta, struct str *path,
		     struct str *header)
{
	const struct io_thread *t = arg;
	return mta_mark(t->conf, txn, vmta, path, header);
}

/* ---- mailboxes ---- */

static int drain_committed(void *arg, struct mailbox *box, int budget)
{
	struct io_thread *t = arg;
	struct commit_answer a;
	us_t stop = clock_now_us() + HOT_WITHIN;
	int n = 0;
	bool more = false;
	while (n < budget && !more && mailbox_pop(box, &a)) {
		n++;
		more = clock_now_us() >= stop;
		t->credits++;
		submits_answered(&t->submits, loop_now(t->me->loop));
		server_committed(t->server, a.session, a.err);
	}
	if (n)
		t->credit_news = true;
	return more ? budget : n;
}

static int drain_to_io(void *arg, struct mailbox *box, int budget)
{
	struct io_thread *t = arg;
	struct to_io m;
	us_t stop = clock_now_us() + HOT_WITHIN;
	int n = 0;
	bool more = false;
	while (n < budget && !more && mailbox_pop(box, &m)) {
		n++;
		client_to_io(t->client, &m);
		more = clock_now_us() >= stop;
	}
	return more ? budget : n;
}

static void apply_holds(struct io_thread *t)
{
	us_t oldest = t->submits.oldest;
	bool stalled = oldest && loop_now(t->me->loop) - oldest > STALL_US;
	unsigned now = t->holds | (stalled ? SERVER_HOLD_STALL : 0u);
	if (now == t->held)
		return;
	t->held = now;
	server_hold(t->server, now);
}

static bool before_sleep(void *arg)
{
	struct io_thread *t = arg;
	uint64_t session;
	for (size_t n = t->submits.nrefused; n && submits_refused(&t->submits, &session); n--) {
		env_credit_give(t);
		server_committed(t->server, session, &err_no_memory);
	}
	if (t->credit_news) {
		t->credit_news = false;
		server_credit(t->server);
	}
	return t->submits.nrefused > 0;
}

static void every_second(struct timer *tm, void *arg)
{
	struct io_thread *t = arg;
	apply_holds(t);
	server_memory(t->server);
	timer_set(t->me->loop, tm, loop_now(t->me->loop) + US_PER_S / 4);
}

/* ---- posts ---- */

void io_post_hold(struct member *to, struct post *p)
{
	struct io_thread *t = state(to);
	t->holds = (t->holds & (SERVER_HOLD_MEMORY | SERVER_HOLD_DRAIN)) | (unsigned)p->a;
	apply_holds(t);
}

static void set_hold(struct io_thread *t, unsigned bit, bool on)
{
	t->holds = on ? t->holds | bit : t->holds & ~bit;
	apply_holds(t);
}

void io_post_memory(struct member *to, struct post *p)
{
	set_hold(state(to), SERVER_HOLD_MEMORY, p->a);
}

void io_post_drain(struct member *to, struct post *p)
{
	set_hold(state(to), SERVER_HOLD_DRAIN, p->a);
}

void io_post_body(struct member *to, struct post *p)
{
	struct body_request *r = p->p;
	if (r->no_room)
		client_no_room(state(to)->client, r->session, r->txn);
	else
		client_body(state(to)->client, r->session, r->txn, r->body, r->error);
	free(r);
}

void io_post_chunk(struct member *to, struct post *p)
{
	struct chunk_request *r = p->p;
	client_chunk(state(to)->client, r->session, r->txn, r->error[0] ? NULL : &r->data,
		     r->error);
	buf_free(&r->data);
	body_unref(r->body);
	free(r);
}

void io_post_large(struct member *to, struct post *p)
{
	server_large(state(to)->server, p->a, (enum server_large_what)p->b, p->p);
}

void io_post_accept(struct member *to, struct post *p)
{
	struct arrival *a = p->p;
	server_accept(state(to)->server, (int)p->a, &a->peer, a->listener, (int)p->b);
	free(a);
}

void io_post_pickup(struct member *to, struct post *p)
{
	struct endpoint local = { .sa.sa_family = AF_UNIX };
	struct rstr *listener = p->p;
	server_accept(state(to)->server, (int)p->a, &local, listener->text, DOOR_NONE);
	rstr_unref(listener);
}

/* ---- configuration and stop ---- */

static void unsigned_mail_forget(struct io_thread *t)
{
	struct str key;
	void *domain;
	size_t pos = 0;

	while (strmap_next(&t->unsigned_mail, &pos, &key, &domain)) {
		mta_alarm(t->me, "unsigned-mail", false, 3, ((struct rstr *)domain)->text, "%s",
			  "");
		rstr_unref(domain);
	}
	strmap_free(&t->unsigned_mail);
	strmap_init(&t->unsigned_mail);
}

void io_post_conf(struct member *to, struct post *p)
{
	struct io_thread *t = state(to);
	struct conf *c = p->p;
	conf_unref(t->conf);
	t->conf = c;
	server_conf(t->server, c);
	client_conf(t->client, c);
	unsigned_mail_forget(t);
	if (to->nth == 0) {
		doors_conf(t->doors, c, p->q);
		free(p->q);
	}
	mta_post(to, to->mta->control,
		 (struct post){ .fn = control_post_conf_held, .a = c->number });
}

void io_post_shutdown(struct member *to, struct post *p)
{
	struct io_thread *t = state(to);
	if (t->doors)
		doors_shut(t->doors);
	server_shutdown(t->server, (us_t)p->a);
}

/* ---- io thread 0: the doors and the resolver ---- */

void io_post_closed(struct member *to, struct post *p)
{
	doors_left(state(to)->doors, p->a, (int)p->b);
}

static void resolved(void *arg, uint64_t id, struct dns_answer *a)
{
	struct io_thread *t = arg;
	struct lookup_request *r = idmap_del(&t->lookups, id);
	struct mta *m = t->me->mta;
	if (!r) {
		dns_answer_free(a);
		return;
	}
	if (r->probe) {
		mta_post(t->me, m->workers[WORKER_SLOW],
			 (struct post){ .fn = worker_post_probe, .p = r->probe, .q = a });
		free(r);
		return;
	}
	if (r->for_control) {
		mta_post(
		    t->me, m->control,
		    (struct post){ .fn = control_post_resolved, .a = r->lookup, .p = a, .q = r });
		return;
	}
	mta_post(t->me, m->sched, (struct post){ .fn = sched_post_dns, .a = r->lookup, .p = a });
	free(r);
}

void io_post_lookup(struct member *to, struct post *p)
{
	struct io_thread *t = state(to);
	struct lookup_request *r = p->p;
	uint64_t id = ++t->next_lookup;
	if (!idmap_put(&t->lookups, id, r))
		fatal("no memory for a DNS look-up");
	resolver_lookup(t->resolver, id, r->kind, str_of(r->name), r->allow_private);
}

static void resolver_start(struct io_thread *t)
{
	struct mta *m = t->me->mta;
	const struct conf *c = t->conf;
	struct endpoint own[LISTENERS_MAX];
	struct resolver_opts o = { .servers = c->mta.name_servers,
				   .nservers = c->mta.nname_servers,
				   .own = own,
				   .allow_private = m->opts.demo };
	const char *demo[1] = { m->opts.name_server };
	if (m->opts.name_server) {
		o.servers = demo;
		o.nservers = 1;
	}
	for (int i = 0; i < c->nlisteners; i++)
		if (endpoint_port(&c->listeners[i].at) == m->opts.smtp_port)
			own[o.nown++] = c->listeners[i].at;
	struct errbuf e = { "" };
	t->resolver = resolver_new(t->me->loop, &o, resolved, t, &e);
	if (!t->resolver)
		fatal("the resolver does not start: %s", e.text);
}

/* ---- wiring ---- */

static void grant_slots(struct io_thread *t)
{
	struct mta *m = t->me->mta;
	int n = m->conf->mta.total_max_smtp_out / m->nio + 1;
	struct from_io slots = { .type = FROM_IO_SLOTS,
				 .io = (uint32_t)t->me->nth,
				 .n = (uint32_t)(n < CLIENT_SLOTS_MAX ? CLIENT_SLOTS_MAX : n) };
	env_to_sched(t, &slots);
}

static void wire_boxes(struct io_thread *t)
{
	struct mta *m = t->me->mta;
	int n = t->me->nth;
	struct loop *l = t->me->loop;
	loop_add_inbox(l, m->to_io[n], 0, HOT_BUDGET, drain_to_io, t);
	loop_add_inbox(l, m->committed[n], 1, HOT_BUDGET, drain_committed, t);
	loop_add_outbox(l, m->from_io[n]);
	loop_add_outbox(l, m->commits[n]);
}

void mta_io_wire(struct member *me)
{
	struct mta *m = me->mta;
	struct io_thread *t = calloc(1, sizeof *t);
	if (!t)
		fatal("no memory for %s", me->name);
	me->state = t;
	t->me = me;
	t->conf = conf_ref(m->conf);
	strmap_init(&t->unsigned_mail);
	t->credits = m->commit_credits;
	if (!submits_init(&t->submits, m->commits[me->nth], t->credits))
		fatal("no memory for %s", me->name);
	struct server_env se = { t,
				 env_new_id,
				 env_credit_take,
				 env_credit_give,
				 env_submit,
				 env_large_create,
				 env_large_write,
				 env_large_finish,
				 env_large_abort,
				 env_rejected,
				 env_source_rate,
				 env_auth,
				 env_closed,
				 env_suppressed };
	struct client_env ce = { t,
				 env_to_sched,
				 env_load_body,
				 env_read_chunk,
				 env_signature,
				 env_suppressed_rcpt,
				 env_mark };
	t->server = server_new(me->loop, &se);
	t->client = client_new(me->loop, (uint32_t)me->nth, &ce, m->classifier);
	t->suppression = suppression_reader_open(m->suppression);
	if (!t->server || !t->client || !t->suppression)
		fatal("no memory for %s", me->name);
	server_conf(t->server, t->conf);
	client_conf(t->client, t->conf);
	wire_boxes(t);
	loop_add_before_sleep(me->loop, before_sleep, t);
	timer_init(&t->second, every_second, t);
	timer_set(me->loop, &t->second, clock_now_us() + US_PER_S / 4);
	grant_slots(t);
	if (me->nth == 0) {
		idmap_init(&t->lookups);
		t->doors = doors_new(me);
		doors_conf(t->doors, t->conf, m->listener_fds);
		resolver_start(t);
	}
}
