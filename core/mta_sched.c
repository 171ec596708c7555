/* The scheduler's thread: it feeds events to the pure core/sched and carries its actions out to the
 * other threads. No decision is made here. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/mta.h"

/* Bodies that are kept for mail that waits: some seconds of flowing mail. What waits longer is as
 * well read from the disk again, and a million recipients behind a slow receiver cost their queue
 * entries only. */
#define BODY_CACHE_MOST ((uint64_t)96 * 1024 * 1024)

enum { HOT_BUDGET = 1024, FRESH_BUDGET = 256, FRESH_RCPTS = 512, ROW_POSTS_A_PASS = 12 };

static const us_t HOT_WITHIN = US_PER_MS;   /* of a pass, for what the io threads say, together */
static const us_t FRESH_WITHIN = US_PER_MS; /* of a pass, for new mail */
static const us_t ROWS_WITHIN = US_PER_MS;  /* of a pass, for the mirror: rows may be cold */
static const us_t PASS_WITHIN = 3 * US_PER_MS; /* then new mail and rows have a quarter of theirs */
static const us_t ROWS_EVERY = 250 * US_PER_MS;
static const us_t OUTCOME_WAIT =
    20 * US_PER_MS; /* then the spool thread is woken for them (DESIGN.md: synced within 50 ms) */

/* Hand-outs that stopped for want of memory begin again when there is room for some bodies, which
 * is looked at so often. */
static const us_t MEMORY_EVERY = 100 * US_PER_MS;
enum { MEMORY_BODIES = 8 };

struct sched_thread {
	struct member *me;
	struct sched *s;
	us_t rows_at;	     /* when the next copy of the mirror is due */
	bool rows_going;     /* a copy is under way */
	us_t memory_at;	     /* when to look for room next; 0: nothing waits for it */
	us_t outcomes_since; /* the oldest outcome that the spool has not been woken for; 0: none */
	struct row *rows;    /* the batch being filled */
	int nrows;
};

static struct sched_thread *state(struct member *me)
{
	return me->state;
}

/* Until when a stage may go on that takes `most` at its turn: not for long in a pass that is long
 * already. */
static us_t within(const struct sched_thread *t, us_t most)
{
	us_t now = clock_now_us(), pass = loop_now(t->me->loop) + PASS_WITHIN;
	us_t least = now + most / 4;
	return pass < least ? least : now + most < pass ? now + most : pass;
}

/* ---- the mirror's copy ---- */

static void rows_send(struct sched_thread *t)
{
	if (!t->nrows)
		return;
	mta_post(t->me, t->me->mta->control,
		 (struct post){ .fn = control_post_rows, .p = t->rows, .a = (uint64_t)t->nrows });
	t->rows = NULL;
	t->nrows = 0;
}

static void rows_take(void *arg, struct row *r)
{
	struct sched_thread *t = arg;
	t->rows[t->nrows++] = *r;
}

static void totals_send(struct sched_thread *t, us_t now)
{
	struct sched_totals *x = malloc(sizeof *x);
	if (!x)
		return;
	sched_totals(t->s, now, x);
	mta_post(t->me, t->me->mta->control, (struct post){ .fn = control_post_totals, .p = x });
}

/* Control stops between posts when its pass gets long: a row of a list that grows may cost it ten
 * pages of new memory, as the tables by id and by name move four entries each. */
static int rows_batch(struct sched_thread *t, us_t now)
{
	if (!t->rows && !mailbox_pop(t->me->mta->used_rows, &t->rows))
		t->rows = malloc(ROWS_A_POST * sizeof *t->rows);
	if (!t->rows)
		return 0;
	int n = sched_rows(t->s, now, ROWS_A_POST, rows_take, t);
	rows_send(t);
	return n;
}

/* At most ROW_POSTS_A_PASS a pass, and until `stop`, until none is left, then the totals. */
static bool rows_step(struct sched_thread *t, us_t now, us_t stop)
{
	int n;
	if (now < t->rows_at && !t->rows_going)
		return false;
	us_t cpu = clock_thread_cpu_us();
	int left = ROW_POSTS_A_PASS;
	do
		n = rows_batch(t, now);
	while (--left && n == ROWS_A_POST && clock_now_us() < stop);
	t->rows_going = n == ROWS_A_POST;
	if (!t->rows_going) {
		totals_send(t, now);
		t->rows_at = now + ROWS_EVERY;
	}
	__atomic_fetch_add(&t->me->mta->copy_cpu_us, clock_thread_cpu_us() - cpu, __ATOMIC_RELAXED);
	return t->rows_going;
}

/* ---- actions ---- */

static void act_outcomes(struct sched_thread *t, struct transaction *txn)
{
	if (!mailbox_push(t->me->mta->outcomes, &txn))
		fatal("no memory to pass outcomes to the spool");
	if (!t->outcomes_since)
		t->outcomes_since = loop_now(t->me->loop);
}

static void act_lookup(struct sched_thread *t, const struct action *a)
{
	struct lookup_request *r = calloc(1, sizeof *r);
	if (!r)
		fatal("no memory for a DNS look-up");
	r->lookup = a->lookup;
	r->kind = a->host ? RESOLVE_HOST : RESOLVE_DOMAIN;
	r->allow_private = a->allow_private;
	memcpy(r->name, a->name.p, a->name.n < DOMAIN_MAX ? a->name.n : DOMAIN_MAX);
	mta_post(t->me, t->me->mta->io[0], (struct post){ .fn = io_post_lookup, .p = r });
}

static void act_state_put(struct sched_thread *t, const struct action *a)
{
	struct state_put *s = calloc(1, sizeof *s);
	if (!s)
		fatal("no memory to record an override");
	s->table = a->table;
	s->key = rstr_new(a->key);
	s->value = a->value.p ? rstr_new(a->value) : NULL;
	mta_post(t->me, t->me->mta->spooler, (struct post){ .fn = spool_post_state, .p = s });
}

static void act_reply(struct sched_thread *t, const struct action *a)
{
	struct sched_reply *r = malloc(sizeof *r);
	if (!r)
		fatal("no memory for a command's answer");
	*r = a->reply;
	/* Whoever acts and then looks sees what they did: the changed rows go first. */
	t->rows_at = 0;
	rows_step(t, loop_now(t->me->loop), US_NEVER);
	mta_post(t->me, t->me->mta->control, (struct post){ .fn = control_post_reply, .p = r });
}

static void act(struct sched_thread *t, const struct action *a)
{
	struct mta *m = t->me->mta;
	switch (a->type) {
	case ACT_TO_IO:
		if (!mailbox_push(m->to_io[a->io], &a->to_io))
			fatal("no memory to hand mail out");
		break;
	case ACT_OUTCOMES:
		act_outcomes(t, a->txn);
		break;
	case ACT_LOOKUP:
		act_lookup(t, a);
		break;
	case ACT_DSN:
		mta_post(t->me, m->spooler, (struct post){ .fn = spool_post_dsn, .p = a->dsn });
		break;
	case ACT_BODY_DROP:
		body_unref(a->body);
		break;
	case ACT_STATE_PUT:
		act_state_put(t, a);
		break;
	case ACT_STATE_SYNC:
		mta_post(t->me, m->spooler, (struct post){ .fn = spool_post_sync, .a = a->token });
		break;
	case ACT_REPLY:
		act_reply(t, a);
		break;
	case ACT_DRAIN:
		for (int i = 0; i < m->nio; i++)
			mta_post(t->me, m->io[i], (struct post){ .fn = io_post_drain, .a = a->on });
		break;
	case ACT_ECHO:
		mta_post(t->me, m->control, (struct post){ .fn = control_post_echo, .p = a->text });
		break;
	}
}

static void act_all(struct sched_thread *t)
{
	struct action a;
	while (sched_action(t->s, &a))
		act(t, &a);
}

/* ---- the loop's hooks ---- */

/* When to look again; US_NEVER: nothing waits for memory. */
static us_t memory_step(struct sched_thread *t, us_t now)
{
	if (!sched_held(t->s, HOLD_MEMORY)) {
		t->memory_at = 0;
		return US_NEVER;
	}
	if (!t->memory_at)
		t->memory_at = now + MEMORY_EVERY;
	if (now < t->memory_at)
		return t->memory_at;
	t->memory_at = now + MEMORY_EVERY;
	if (body_budget_has((uint64_t)MEMORY_BODIES * BODY_MEMORY_MAX))
		sched_hold(t->s, now, HOLD_MEMORY, false);
	return t->memory_at;
}

static us_t tick(void *arg, us_t now)
{
	struct sched_thread *t = arg;
	struct mta *m = t->me->mta;
	act_all(t);
	us_t memory = memory_step(t, now);
	us_t next = sched_tick(t->s, now);
	if (memory > now && memory < next)
		next = memory;
	act_all(t);
	if (rows_step(t, now, within(t, ROWS_WITHIN)))
		return now;
	if (t->rows_at < next)
		next = t->rows_at;
	if (t->outcomes_since) {
		if (mailbox_drained(m->outcomes)) {
			t->outcomes_since = 0;
		} else if (now - t->outcomes_since >= OUTCOME_WAIT) {
			waker_poke(loop_waker(m->spooler->loop));
			t->outcomes_since = now;
		}
		if (t->outcomes_since && t->outcomes_since + OUTCOME_WAIT < next)
			next = t->outcomes_since + OUTCOME_WAIT;
	}
	return next;
}

static int drain_from_io(void *arg, struct mailbox *box, int budget)
{
	struct sched_thread *t = arg;
	struct from_io m;
	us_t stop = clock_now_us() + HOT_WITHIN / t->me->mta->nio;
	int n = 0;
	bool more = false;
	while (n < budget && !more && mailbox_pop(box, &m)) {
		n++;
		sched_from_io(t->s, loop_now(t->me->loop), &m);
		more = clock_now_us() >= stop;
	}
	act_all(t);
	return more ? budget : n;
}

/* The scheduler copies what it needs; the message ends here. */
static bool take_message(struct sched_thread *t, struct message *msg, bool loaded)
{
	struct sched_rcpt few[8], *rcpts = few;
	if (msg->nrcpts > 8)
		rcpts = arena_alloc(&msg->arena, msg->nrcpts * sizeof *rcpts);
	if (!rcpts)
		return false;
	uint32_t n = 0;
	for (uint32_t i = 0; i < msg->nrcpts; i++) {
		const struct message_rcpt *r = &msg->rcpts[i];
		if (r->state == RCPT_DONE)
			continue;
		rcpts[n++] = (struct sched_rcpt){ .index = i,
						  .notify = r->notify,
						  .report = r->state == RCPT_REPORT,
						  .delayed_dsn_sent = r->delayed_dsn_sent,
						  .attempts = r->attempts,
						  .due = r->due,
						  .failed_at = r->failed_at,
						  .address = r->address,
						  .domain = r->domain,
						  .orcpt = r->orcpt,
						  .reply = r->reply,
						  .enhanced = str_of(r->enhanced) };
	}
	struct sched_message in = { .id = msg->id,
				    .received_at = msg->received_at,
				    .sender = msg->sender,
				    .job = msg->job,
				    .user = msg->user,
				    .route = msg->route,
				    .envid = msg->envid,
				    .ret = msg->ret,
				    .priority = msg->priority,
				    .smtputf8 = msg->smtputf8,
				    .eightbit = msg->eightbit,
				    .dsn = msg->dsn,
				    .loaded = loaded,
				    .size = msg->where.body_bytes,
				    .body = msg->body,
				    .rcpts = rcpts,
				    .nrcpts = n };
	_Static_assert(sizeof in.where == sizeof msg->where,
		       "a message's place passes through the scheduler whole");
	memcpy(&in.where, &msg->where, sizeof in.where);
	if (!sched_message(t->s, loop_now(t->me->loop), &in))
		return false;
	msg->body = NULL;
	message_free(msg);
	return true;
}

static int drain_fresh(void *arg, struct mailbox *box, int budget)
{
	struct sched_thread *t = arg;
	struct new_message f;
	uint32_t rcpts = 0;
	us_t stop = within(t, FRESH_WITHIN);
	bool more = false;
	int n = 0;
	/* What it costs is recipients, and new queues above all. */
	while (n < budget && !more && mailbox_pop(box, &f)) {
		n++;
		rcpts += f.message->nrcpts;
		/* Durable mail that does not fit in memory would be silent until the next start:
		 * better a restart now. */
		if (!take_message(t, f.message, f.loaded))
			fatal("no memory for queued mail; everything accepted is on disk and is "
			      "loaded at the next start");
		more = rcpts >= FRESH_RCPTS || clock_now_us() >= stop;
	}
	act_all(t);
	return more ? budget : n;
}

/* ---- posts ---- */

void sched_post_conf(struct member *to, struct post *p)
{
	struct conf *c = p->p;
	sched_conf(state(to)->s, loop_now(to->loop), c);
	mta_post(to, to->mta->control,
		 (struct post){ .fn = control_post_conf_held, .a = c->number });
	conf_unref(c);
}

void sched_post_source(struct member *to, struct post *p)
{
	sched_source_up(state(to)->s, loop_now(to->loop), (int)p->a, p->b & 1, p->b & 2,
			(int)p->c - 1);
}

void sched_post_dns(struct member *to, struct post *p)
{
	sched_dns(state(to)->s, loop_now(to->loop), p->a, p->p);
}

void sched_post_command(struct member *to, struct post *p)
{
	struct sched_cmd_box *b = p->p;
	sched_command(state(to)->s, loop_now(to->loop), &b->cmd);
	arena_free(&b->arena);
	free(b);
}

void sched_post_reported(struct member *to, struct post *p)
{
	struct message *m = p->p;
	sched_reported(state(to)->s, loop_now(to->loop), m->reports_on, m->reports_rcpts,
		       m->nreports_rcpts);
	message_free(m);
}

void sched_post_synced(struct member *to, struct post *p)
{
	sched_synced(state(to)->s, loop_now(to->loop), p->a);
}

void sched_post_load_done(struct member *to, struct post *p)
{
	(void)p;
	sched_load_done(state(to)->s, loop_now(to->loop));
}

void sched_post_hold(struct member *to, struct post *p)
{
	sched_hold(state(to)->s, loop_now(to->loop), (enum sched_hold)p->a, p->b != 0);
}

void sched_post_aside(struct member *to, struct post *p)
{
	sched_aside(state(to)->s, loop_now(to->loop), p->a, p->b, p->c);
}

void sched_post_moved(struct member *to, struct post *p)
{
	struct handout_where w;
	memcpy(&w, p->p, sizeof w);
	sched_moved(state(to)->s, p->a, &w);
	free(p->p);
}

static void text_reply(struct member *to, uint64_t id, int code, struct str text)
{
	struct rstr *r = rstr_new(text);
	mta_post(to, to->mta->control,
		 (struct post){ .fn = control_post_text, .a = id, .b = (uint64_t)code, .p = r });
}

void sched_post_detail(struct member *to, struct post *p)
{
	struct target target;
	struct errbuf e = { "" };
	struct buf json;
	buf_init(&json);
	const struct err *err = target_parse(rstr_str(p->p), &target, &e);
	if (!err)
		err = sched_detail(state(to)->s, loop_now(to->loop), &target, &json, &e);
	text_reply(to, p->a, err ? EXIT_REFUSED : EXIT_DONE, err ? str_of(e.text) : buf_str(&json));
	buf_free(&json);
	rstr_unref(p->p);
}

static void row_keep(void *arg, const struct message_row *r)
{
	struct message_rows *rows = arg;
	struct message_row *k = &rows->rows[rows->n++];
	*k = *r;
	k->sender = arena_str(&rows->arena, r->sender);
	k->recipient = arena_str(&rows->arena, r->recipient);
	k->queue = arena_str(&rows->arena, r->queue);
	k->job = arena_str(&rows->arena, r->job);
	k->user = arena_str(&rows->arena, r->user);
	k->why.origin = rstr_ref(r->why.origin);
	k->why.text = rstr_ref(r->why.text);
}

/* The page of recipients goes on to the spool thread, which knows each one's last reply. */
void sched_post_messages(struct member *to, struct post *p)
{
	struct target target;
	struct errbuf e = { "" };
	const struct err *err = target_parse(rstr_str(p->p), &target, &e);
	struct message_rows *rows = err ? NULL : calloc(1, sizeof *rows);
	if (rows) {
		arena_init(&rows->arena, 16 * 1024);
		rows->rows = arena_alloc(&rows->arena, (size_t)p->c * sizeof *rows->rows);
		rows->id = p->a;
		rows->cursor = p->b;
	}
	if (!rows || !rows->rows) {
		text_reply(to, p->a, EXIT_REFUSED, str_of(err ? e.text : "no memory"));
		free(rows);
	} else {
		sched_messages(state(to)->s, loop_now(to->loop), &target, &rows->cursor, (int)p->c,
			       &rows->total, row_keep, rows);
		mta_post(to, to->mta->spooler, (struct post){ .fn = spool_post_rows, .p = rows });
	}
	rstr_unref(p->p);
}

/* What io threads have said before they ended: outcomes, above all. */
void mta_sched_finish(struct member *me)
{
	struct mta *m = me->mta;
	for (int i = 0; i < m->nio; i++)
		do {
			mailbox_flush(m->from_io[i]);
			drain_from_io(state(me), m->from_io[i], INT_MAX);
			mailbox_release(m->from_io[i]);
		} while (!mailbox_drained(m->from_io[i]));
	act_all(state(me));
	mta_posts_flush(me);
}

/* ---- wiring ---- */

struct restore {
	struct sched_thread *t;
	const char *table;
};

static void restore_row(void *arg, struct str key, struct str value)
{
	struct restore *r = arg;
	if (!sched_restore(r->t->s, clock_now_us(), str_of(r->table), key, value))
		log_warn("state: a row of table %s can't be read and is left out", r->table);
}

static void restore_all(struct sched_thread *t)
{
	static const char *const tables[] = { "overrides", "lanes", "moves" };
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		struct restore r = { t, tables[i] };
		spool_state_each(t->me->mta->spool, tables[i], restore_row, &r);
	}
}

static void start_totals(struct sched_thread *t)
{
	struct spool_totals x;
	uint64_t left = 0;
	spool_totals(t->me->mta->spool, &x);
	spool_load_progress(t->me->mta->spool, &left);
	struct sched_totals s = { .accepted = x.accepted,
				  .delivered = x.delivered,
				  .deferred = x.deferred,
				  .bounced = x.bounced,
				  .expired = x.expired,
				  .removed = x.removed,
				  .maybe_twice = x.maybe_twice };
	s.queued = s.accepted - s.delivered - s.bounced - s.expired - s.removed;
	sched_start(t->s, clock_now_us(), &s, left);
}

void mta_sched_wire(struct member *me)
{
	struct mta *m = me->mta;
	struct sched_thread *t = calloc(1, sizeof *t);
	if (!t)
		fatal("no memory for the scheduler");
	me->state = t;
	t->me = me;
	uint64_t cache = (uint64_t)m->conf->mta.memory_limit / 4;
	struct sched_opts o = { .seed = (uint64_t)m->started_at,
				.io_threads = m->nio,
				.smtp_port = m->opts.smtp_port,
				.body_cache_bytes =
				    cache < BODY_CACHE_MOST ? cache : BODY_CACHE_MOST };
	t->s = sched_new(&o, clock_now_us());
	if (!t->s)
		fatal("no memory for the scheduler");
	start_totals(t);
	restore_all(t);
	sched_conf(t->s, clock_now_us(), m->conf);
	for (int i = 0; i < m->nio; i++) {
		loop_add_inbox(me->loop, m->from_io[i], 0, HOT_BUDGET, drain_from_io, t);
		loop_add_outbox(me->loop, m->to_io[i]);
	}
	loop_add_inbox(me->loop, m->fresh, 20, FRESH_BUDGET, drain_fresh, t);
	loop_add_outbox(me->loop, m->outcomes);
	loop_set_tick(me->loop, tick, t);
}
