/* The spool's thread: group commit for what comes in, one LMDB transaction for what became of it.
 * It reads everything that waits, syncs once, then answers (DESIGN.md, "The way of a message"). */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/classify/category.h"
#include "core/mta.h"

enum { COMMIT_BUDGET = 256, OUTCOME_BUDGET = 1024, LOAD_BATCH = 64, COMMIT_WORK = 896 };

static const us_t OUTCOMES_WITHIN = US_PER_MS; /* of a pass; INT_MAX as the budget: all there are */
static const us_t COMMIT_EVERY = 20 * US_PER_MS; /* LMDB follows at most this far behind */
static const us_t STATE_WAIT = US_PER_S;
static const us_t STATS_EVERY = 250 * US_PER_MS;
static const us_t RETRY_FAILED = 10 * US_PER_S; /* after a failed LMDB commit */

struct waiting {	   /* who gets the answer for a message of the running batch */
	struct member *io; /* NULL: our own report, from a worker */
	uint64_t session;
};

struct spool_thread {
	struct member *me;
	struct spool *s;
	struct waiting *batch; /* in the order of spool_add */
	size_t nbatch, cap, answered;
	us_t commit_at; /* the next LMDB commit; 0: nothing is buffered */
	us_t failed_at; /* the last LMDB commit failed then; 0: fine */
	us_t stats_at;
	us_t state_at; /* what the state environment has buffered is committed then; 0: nothing */
	size_t work_most; /* of a commit, in what spool_unwritten counts */
	bool rested;	  /* the last pass did nothing after its commit */
	bool loading;
	size_t load_credit; /* with load_slowly: messages until the next figures */
	bool preparing;	    /* a worker zero-fills a segment */
	bool flush_failed;
	uint64_t last_event;
	struct spool_stats told; /* what alarms were last raised for */
	unsigned holds;
	struct own_mail *own; /* refused, to be tried again */
	struct suppress_thread *suppress;
	struct conf_history *history;
};

static struct spool_thread *state(struct member *me)
{
	return me->state;
}

/* ---- accept ---- */

static void answer(struct spool_thread *t, const struct waiting *w, const struct err *err)
{
	struct commit_answer a = { w->session, err };
	if (w->io && !mailbox_push(t->me->mta->committed[w->io->nth], &a))
		fatal("no memory to answer an SMTP session");
}

static void refused(struct spool_thread *t, const struct waiting *w, struct message *m)
{
	if (w->io)
		message_free(m);
	else
		mta_own_refused(t->own, loop_now(t->me->loop), m);
}

static void committed(void *arg, struct message *m, const struct err *err)
{
	struct spool_thread *t = arg;
	struct mta *mta = t->me->mta;
	struct waiting *w = &t->batch[t->answered++];
	answer(t, w, err);
	if (err) {
		refused(t, w, m);
		return;
	}
	if (!w->io)
		mta_own_taken(t->own);
	if (m->nreports_rcpts) { /* our own report: the recipients it is about are settled now */
		struct message *about = message_new();
		if (!about)
			fatal("no memory to settle a bounce report");
		about->reports_on = m->reports_on;
		about->nreports_rcpts = m->nreports_rcpts;
		uint32_t *copy = arena_alloc(&about->arena, m->nreports_rcpts * sizeof *copy);
		if (!copy)
			fatal("no memory to settle a bounce report");
		memcpy(copy, m->reports_rcpts, m->nreports_rcpts * sizeof *copy);
		about->reports_rcpts = copy;
		mta_post(t->me, mta->sched, (struct post){ .fn = sched_post_reported, .p = about });
	}
	if (inbound_is(m)) {
		inbound_enter(t->me, m, false);
		return;
	}
	struct new_message f = { m, false };
	if (!mailbox_push(mta->fresh, &f))
		fatal("no memory to pass a message to the scheduler");
}

static void flush(struct spool_thread *t)
{
	struct errbuf e = { "" };
	if (!t->nbatch)
		return;
	t->answered = 0;
	const struct err *err = spool_flush(t->s, loop_now_exact(t->me->loop), committed, t, &e);
	t->nbatch = 0;
	if (err) {
		log_error("spool: a batch was refused with 451: %s", e.text);
		mta_alarm(t->me, "spool-poisoned", true, 1, "spool", "%s", e.text);
	}
	if (!t->commit_at)
		t->commit_at = loop_now(t->me->loop) + COMMIT_EVERY;
}

/* False: the batch is full or has no memory. */
static bool batch_add(struct spool_thread *t, struct message *m, struct member *io,
		      uint64_t session)
{
	if (t->nbatch == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 256;
		struct waiting *p = realloc(t->batch, cap * sizeof *p);
		if (!p)
			return false;
		t->batch = p;
		t->cap = cap;
	}
	if (!spool_add(t->s, m))
		return false;
	t->batch[t->nbatch++] = (struct waiting){ io, session };
	return true;
}

/* Adds, after making room once; a message that does not even fit an empty batch is refused. */
static void batch_put(struct spool_thread *t, struct message *m, struct member *io,
		      uint64_t session)
{
	if (batch_add(t, m, io, session))
		return;
	flush(t);
	if (batch_add(t, m, io, session))
		return;
	struct waiting w = { io, session };
	answer(t, &w, &err_no_memory);
	refused(t, &w, m);
}

static void put_own(void *arg, struct message *m)
{
	batch_put(arg, m, NULL, 0);
}

/* The scheduler's credit: a message is taken only when its place in the scheduler's mailbox is
 * sure. */
static size_t room(const struct spool_thread *t)
{
	size_t r = mailbox_room(t->me->mta->fresh);
	return r > t->nbatch ? r - t->nbatch : 0;
}

struct commit_box {
	struct spool_thread *t;
	struct member *io;
};

static int drain_commits(void *arg, struct mailbox *box, int budget)
{
	struct commit_box *c = arg;
	struct commit_request r;
	int n = 0;
	if (!room(c->t))
		return LOOP_BLOCKED;
	while (n < budget && room(c->t) && mailbox_pop(box, &r)) {
		n++;
		if (c->t->failed_at) { /* nothing new while outcomes can't be recorded */
			struct waiting w = { c->io, r.session };
			answer(c->t, &w, &err_io);
			message_free(r.message);
			continue;
		}
		batch_put(c->t, r.message, c->io, r.session);
	}
	return n;
}

/* ---- outcomes ---- */

static enum event_type event_of(enum decision d)
{
	static const enum event_type types[] = { [DECIDE_DELIVERED] = EVENT_DELIVERED,
						 [DECIDE_DEFERRED] = EVENT_DEFERRED,
						 [DECIDE_BOUNCED] = EVENT_BOUNCED,
						 [DECIDE_EXPIRED] = EVENT_EXPIRED,
						 [DECIDE_REMOVED] = EVENT_REMOVED };
	return types[d];
}

static const char *category_of(const struct txn_rcpt *r)
{
	if (r->decision == DECIDE_EXPIRED)
		return "message-expired";
	return r->decision == DECIDE_REMOVED ? "" : verdict_category(&r->verdict);
}

static void record(struct spool_thread *t, const struct transaction *x, const struct txn_rcpt *r,
		   us_t now)
{
	struct str reply = rstr_str(r->reply);
	struct outcome o = { .message = x->message,
			     .rcpt = r->index,
			     .state = r->decision == DECIDE_DEFERRED ? RCPT_QUEUED
				      : r->report		     ? RCPT_REPORT
								     : RCPT_DONE,
			     .as = event_of(r->decision),
			     .attempts = (uint16_t)r->attempt,
			     .maybe_twice = r->maybe_twice,
			     .due = r->due,
			     .reply = reply,
			     .enhanced = r->verdict.enhanced };
	struct event e = { .at = x->ended_at ? x->ended_at : now,
			   .type = o.as,
			   .message = x->message,
			   .rcpt = r->index,
			   .sender = x->sender,
			   .recipient = r->address,
			   .queue = rstr_str(x->queue),
			   .site = rstr_str(x->place),
			   .virtual_mta = rstr_str(x->vmta),
			   .source_ip = rstr_str(x->source_ip),
			   .mx = rstr_str(x->mx),
			   .mx_ip = rstr_str(x->mx_ip),
			   .tls = rstr_str(x->tls),
			   .reply = reply,
			   .enhanced = str_of(r->verdict.enhanced),
			   .category = str_of(category_of(r)),
			   .hard = o.as == EVENT_BOUNCED && verdict_hard(&r->verdict),
			   .esmtp = rstr_str(x->esmtp),
			   .orcpt = r->orcpt,
			   .envid = x->envid,
			   .job = x->job,
			   .user = x->user,
			   .seconds = x->ended_at > x->started_at && x->started_at
					  ? x->ended_at - x->started_at
					  : 0,
			   .queued_at = x->received_at,
			   .next_attempt = r->decision == DECIDE_DEFERRED ? r->due : 0,
			   .size = x->size,
			   .attempt = r->attempt,
			   .maybe_twice = r->maybe_twice };
	if (!spool_outcome(t->s, &o, &e))
		fatal("no memory to record an outcome; it would be sent again");
	mta_suppress_event(t->suppress, &e);
}

static void record_unreached(struct spool_thread *t, const struct transaction *x)
{
	const struct txn_rcpt *why = &x->rcpts[0];
	struct event e = { .at = x->ended_at,
			   .type = EVENT_UNREACHED,
			   .queue = rstr_str(x->queue),
			   .site = rstr_str(x->place),
			   .virtual_mta = rstr_str(x->vmta),
			   .source_ip = rstr_str(x->source_ip),
			   .mx = rstr_str(x->mx),
			   .mx_ip = rstr_str(x->mx_ip),
			   .reply = rstr_str(why->reply),
			   .enhanced = str_of(why->verdict.enhanced) };
	if (!spool_event(t->s, &e))
		log_error("no memory to record that %.*s found no session", (int)e.queue.n,
			  e.queue.p);
}

static bool commit_due(const struct spool_thread *t, us_t now)
{
	return t->commit_at && now >= t->commit_at;
}

/* A commit takes 40 us for each message that was in the index, and two syncs: over 2 ms are not put
 * together, unless more and more wait (then 30 ms at most: what waits is not yet safe). */
static bool enough(const struct spool_thread *t)
{
	return !t->failed_at && spool_unwritten(t->s) >= t->work_most;
}

static void enough_next(struct spool_thread *t, bool more)
{
	size_t most = more ? t->work_most * 2 : COMMIT_WORK;
	t->work_most = most < COMMIT_WORK * 16 ? most : COMMIT_WORK * 16;
}

static int drain_outcomes(void *arg, struct mailbox *box, int budget)
{
	struct spool_thread *t = arg;
	struct transaction *x;
	us_t now = loop_now(t->me->loop), stop = clock_now_us() + OUTCOMES_WITHIN;
	int n = 0;
	bool more = false;
	if (budget < INT_MAX && commit_due(t, now))
		return LOOP_BLOCKED; /* the commit is enough for this pass */
	while (n < budget && !more && mailbox_pop(box, &x)) {
		n++;
		if (x->unreached)
			record_unreached(t, x);
		for (uint32_t i = 0; i < x->nrcpts; i++)
			if (x->rcpts[i].decision != DECIDE_NONE)
				record(t, x, &x->rcpts[i], now);
		transaction_free(x);
		more = budget < INT_MAX && (clock_now_us() >= stop || enough(t));
	}
	if (n && enough(t)) {
		t->commit_at = now;
		enough_next(t, !mailbox_empty(box));
	} else if (mailbox_empty(box)) {
		enough_next(t, false);
	}
	if (n && !t->commit_at)
		t->commit_at = now + COMMIT_EVERY;
	return more ? budget : n;
}

static void hold(struct spool_thread *t, unsigned holds)
{
	struct mta *m = t->me->mta;
	if (holds == t->holds)
		return;
	t->holds = holds;
	for (int i = 0; i < m->nio; i++)
		mta_post(t->me, m->io[i], (struct post){ .fn = io_post_hold, .a = holds });
}

static void commit_failed(struct spool_thread *t, const char *why)
{
	if (!t->failed_at) {
		log_error("spool: outcomes can't be recorded, deliveries stop: %s", why);
		mta_alarm(t->me, "spool-commit", true, 1, "spool",
			  "outcomes can't be recorded, deliveries stop: %s", why);
		mta_post(t->me, t->me->mta->sched,
			 (struct post){ .fn = sched_post_hold, .a = HOLD_DISK, .b = 1 });
		hold(t, t->holds | SERVER_HOLD_FAILED);
	}
	t->failed_at = loop_now(t->me->loop);
	t->commit_at = t->failed_at + RETRY_FAILED;
}

static void commit_works(struct spool_thread *t)
{
	if (!t->failed_at)
		return;
	t->failed_at = 0;
	log_info("spool: outcomes are recorded again");
	mta_alarm(t->me, "spool-commit", false, 1, "spool", "%s", "");
	mta_post(t->me, t->me->mta->sched,
		 (struct post){ .fn = sched_post_hold, .a = HOLD_DISK, .b = 0 });
	hold(t, t->holds & ~(unsigned)SERVER_HOLD_FAILED);
}

static bool commit(struct spool_thread *t, bool sync)
{
	struct errbuf e = { "" };
	t->commit_at = 0;
	if (spool_commit(t->s, loop_now_exact(t->me->loop), sync, &e)) {
		commit_failed(t, e.text);
		return false;
	}
	commit_works(t);
	mta_suppress_committed(t->suppress);
	mta_post(t->me, t->me->mta->report, (struct post){ .fn = report_post_wake });
	return true;
}

/* ---- loading ---- */

static void loaded(void *arg, struct message *m)
{
	struct spool_thread *t = arg;
	if (inbound_is(m)) {
		inbound_enter(t->me, m, true);
		return;
	}
	struct new_message f = { m, true };
	if (!mailbox_push(t->me->mta->fresh, &f))
		fatal("no memory to load queued mail");
}

static bool load_step(struct spool_thread *t)
{
	size_t r = room(t);
	if (!t->loading)
		return false;
	if (r < 2) {
		mailbox_want_room(t->me->mta->fresh, 2); /* the scheduler wakes us */
		return false;
	}
	size_t n = r / 2 < LOAD_BATCH ? r / 2 : LOAD_BATCH;
	if (t->me->mta->load_slowly && n > t->load_credit)
		n = t->load_credit; /* the next tick brings more */
	t->load_credit -= n < t->load_credit ? n : t->load_credit;
	if (!n)
		return false;
	if (spool_load(t->s, (unsigned)n, loaded, t))
		return true;
	t->loading = false;
	mta_post(t->me, t->me->mta->sched, (struct post){ .fn = sched_post_load_done });
	return false;
}

/* ---- figures and alarms ---- */

static void alarms(struct spool_thread *t, const struct spool_stats *s)
{
	if (s->below_floor != t->told.below_floor) {
		mta_alarm(t->me, "disk-floor", s->below_floor, 1, "spool",
			  "below spool-min-free: new mail is refused with 452, deliveries go on");
		hold(t, s->below_floor ? t->holds | SERVER_HOLD_FLOOR
				       : t->holds & ~(unsigned)SERVER_HOLD_FLOOR);
	}
	if (s->events_dropped != t->told.events_dropped)
		mta_alarm(t->me, "events-dropped", true, 2, "log",
			  "a reader of the events is too far behind: %llu dropped",
			  (unsigned long long)s->events_dropped);
	t->told = *s;
}

static void stats(struct spool_thread *t, us_t now)
{
	struct spool_stats *s = malloc(sizeof *s);
	t->stats_at = now + STATS_EVERY;
	t->load_credit = t->me->mta->load_slowly;
	if (!s)
		return;
	spool_stats(t->s, now, s);
	alarms(t, s);
	double progress = t->loading ? spool_load_progress(t->s, NULL) : 1.0;
	mta_post(
	    t->me, t->me->mta->control,
	    (struct post){ .fn = control_post_spool, .p = s, .a = (uint64_t)(progress * 1e6) });
}

static void prepare(struct spool_thread *t)
{
	if (t->preparing || !spool_wants_segment(t->s))
		return;
	t->preparing = true;
	mta_post(t->me, t->me->mta->workers[WORKER_SLOW],
		 (struct post){ .fn = worker_post_segment });
}

void spool_post_prepared(struct member *to, struct post *p)
{
	(void)p;
	state(to)->preparing = false;
}

/* ---- the loop's hooks ---- */

static bool before_sleep(void *arg)
{
	struct spool_thread *t = arg;
	us_t now = loop_now(t->me->loop);
	bool own_left = false;
	flush(t);
	bool wrote =
	    commit_due(t, now) || (mta_suppress_wants_commit(t->suppress) && !t->failed_at);
	if (wrote)
		commit(t, true);
	if (!t->failed_at) {
		inbound_step(t->me);
		own_left = mta_own_step(t->own, now, put_own, t);
		flush(t);
	}
	if (load_step(t))
		return true;
	prepare(t);
	if (own_left || (wrote && !t->rested)) { /* that was enough for one pass */
		t->rested = true;
		return true;
	}
	t->rested = false;
	bool more = mta_history_step(t->history);
	more |= mta_suppress_step(t->suppress, now);
	return spool_step(t->s, now) || more;
}

/* What nobody waits for: preferences, what lanes have learned. */
static void state_commit(struct spool_thread *t)
{
	struct errbuf e = { "" };
	t->state_at = 0;
	if (spool_state_commit(t->s, &e))
		log_error("state: not recorded: %s", e.text);
}

static us_t tick(void *arg, us_t now)
{
	struct spool_thread *t = arg;
	if (now >= t->stats_at)
		stats(t, now);
	if (spool_dirty(t->s) && !t->commit_at)
		t->commit_at = now + COMMIT_EVERY;
	if (t->state_at && now >= t->state_at)
		state_commit(t);
	us_t next = t->stats_at; /* at most 250 ms away: state_at needs no closer look */
	if (t->commit_at && t->commit_at < next)
		next = t->commit_at;
	if (mta_suppress_next(t->suppress) < next)
		next = mta_suppress_next(t->suppress);
	return next;
}

/* ---- posts ---- */

void spool_post_state(struct member *to, struct post *p)
{
	struct state_put *s = p->p;
	bool ok =
	    s->value ? spool_state_put(state(to)->s, s->table, rstr_str(s->key), rstr_str(s->value))
		     : spool_state_del(state(to)->s, s->table, rstr_str(s->key));
	if (!ok)
		log_error("state: no memory to record a row of %s", s->table);
	if (!state(to)->state_at)
		state(to)->state_at = loop_now(to->loop) + STATE_WAIT;
	rstr_unref(s->key);
	rstr_unref(s->value);
	free(s);
}

void spool_post_sync(struct member *to, struct post *p)
{
	struct errbuf e = { "" };
	/* Outcomes of the same command (bounce, delete) were sent before this, by a mailbox of
	 * their own. */
	drain_outcomes(state(to), to->mta->outcomes, INT_MAX);
	if (spool_dirty(state(to)->s) && !state(to)->failed_at)
		commit(state(to), true);
	state(to)->state_at = 0;
	if (spool_state_commit(state(to)->s, &e)) {
		log_error("state: not recorded: %s", e.text);
		mta_alarm(to, "state-commit", true, 1, "state",
			  "an override could not be recorded: %s", e.text);
	}
	mta_post(to, to->mta->sched, (struct post){ .fn = sched_post_synced, .a = p->a });
}

void spool_post_suppress(struct member *to, struct post *p)
{
	mta_suppress_job(state(to)->suppress, p->p);
}

void spool_post_rules(struct member *to, struct post *p)
{
	struct conf *c = p->p;
	mta_suppress_conf(state(to)->suppress, c);
	mta_post(to, to->mta->control,
		 (struct post){ .fn = control_post_conf_held, .a = c->number });
	conf_unref(c);
}

void mta_spool_reported(struct member *me, const struct event *e)
{
	if (!spool_event(state(me)->s, e))
		fatal("no memory to record a report; it is read again at the next start");
	mta_suppress_event(state(me)->suppress, e);
}

void spool_post_message(struct member *to, struct post *p)
{
	put_own(state(to), p->p);
}

void spool_post_settle(struct member *to, struct post *p)
{
	struct message *m = p->p;
	for (uint32_t i = 0; i < m->nreports_rcpts; i++) {
		if (m->reports_rcpts[i] & REPORTS_DELAY)
			continue;
		struct outcome o = { .message = m->reports_on,
				     .rcpt = m->reports_rcpts[i],
				     .state = RCPT_DONE,
				     .as = EVENT_RECEIVED };
		spool_outcome(state(to)->s, &o, NULL);
	}
	mta_post(to, to->mta->sched, (struct post){ .fn = sched_post_reported, .p = m });
}

void spool_post_rejected(struct member *to, struct post *p)
{
	struct buf *b = p->p;
	struct reader r = { (const uint8_t *)b->p, b->n, false };
	struct event e;
	memset(&e, 0, sizeof e);
	if (event_decode(&r, &e))
		spool_event(state(to)->s, &e);
	buf_free(b);
	free(b);
}

void spool_post_position(struct member *to, struct post *p)
{
	spool_reader_position(state(to)->s, rstr_str(p->p).p, p->a);
	rstr_unref(p->p);
}

void spool_post_forget(struct member *to, struct post *p)
{
	spool_reader_forget(state(to)->s, rstr_str(p->p).p);
	rstr_unref(p->p);
}

void spool_post_conf(struct member *to, struct post *p)
{
	mta_history_add(state(to)->history, p->p);
}

void spool_post_history(struct member *to, struct post *p)
{
	mta_history_fetch(state(to)->history, p->p);
}

/* ---- wiring ---- */

void mta_spool_wire(struct member *me)
{
	struct mta *m = me->mta;
	struct spool_thread *t = calloc(1, sizeof *t);
	if (!t)
		fatal("no memory for the spool");
	me->state = t;
	t->me = me;
	t->s = m->spool;
	t->loading = true;
	t->work_most = COMMIT_WORK;
	t->commit_at = clock_now_us();
	t->own = mta_own_new();
	t->suppress = mta_suppress_wire(me);
	t->history = mta_history_wire(me);
	loop_add_inbox(me->loop, m->outcomes, 0, OUTCOME_BUDGET, drain_outcomes, t);
	for (int i = 0; i < m->nio; i++) {
		struct commit_box *c = calloc(1, sizeof *c);
		if (!c)
			fatal("no memory for the spool");
		c->t = t;
		c->io = m->io[i];
		loop_add_inbox(me->loop, m->commits[i], 5, COMMIT_BUDGET, drain_commits, c);
		loop_add_outbox(me->loop, m->committed[i]);
	}
	loop_add_outbox(me->loop, m->fresh);
	loop_set_tick(me->loop, tick, t);
	loop_add_before_sleep(me->loop, before_sleep, t);
}

void mta_spool_finish(struct member *me)
{
	struct spool_thread *t = state(me);
	struct errbuf e = { "" };
	flush(t);
	/* What the scheduler, which has ended, has said of mail that receivers took. */
	do {
		mailbox_flush(me->mta->outcomes);
		drain_outcomes(t, me->mta->outcomes, INT_MAX);
		mailbox_release(me->mta->outcomes);
	} while (!mailbox_drained(me->mta->outcomes));
	commit(t, true);
	mta_own_drop(t->own);
	mta_suppress_finish(t->suppress);
	mta_history_finish(t->history);
	if (spool_state_commit(t->s, &e))
		log_error("state: not recorded: %s", e.text);
}
