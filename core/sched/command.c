/* Commands: checked, done, and answered when what they did is durable and every io thread has
 * confirmed that it has seen the recalls. What concerns many queues is done in steps; an
 * irreversible one holds its mail while it works. */
#include "core/sched/override.h"

#include <stdlib.h>

enum { STEP_QUEUES = 400, STEP_RCPTS = 128 };
#define DEFAULT_LIMIT_US (1 * US_PER_HOUR) /* COMMANDS.md */
#define DEFAULT_PAUSE_US (4 * US_PER_HOUR)

enum pend_phase {
	PEND_CONFIRM, /* waits for io threads and disk */
	PEND_WALK,    /* goes through queues */
	PEND_ANSWER,
};
enum pend_walk { WALK_NONE, WALK_COUNT, WALK_RETRY, WALK_TAKE };

struct cursor {
	struct link link; /* in sched.cursors */
	struct rcpt *at;
};

struct pend { /* a command being carried out */
	struct link all;
	struct sched_cmd cmd;
	struct target target; /* slices into text_target */
	struct rstr *text_target, *text_at, *who, *reason, *route, *session, *text;
	uint8_t phase, walk;
	bool census, fenced, synced, walk_first;
	uint32_t serial;
	uint64_t fence, token;
	uint32_t fences;
	uint64_t done, in_flight, override;
	us_t until;
	int exit;
	struct override *hold;
	/* the walk */
	size_t bucket;
	struct queue *q; /* the one being gone through, pinned */
	struct cursor cursor;
	double share; /* collected of the next recipient to move */
};

/* ---- cursors ---- */

static void cursor_set(struct sched *s, struct cursor *c, struct rcpt *r)
{
	if (!list_in(&c->link))
		list_add(&s->cursors, &c->link);
	c->at = r;
	if (r)
		r->flags |= RF_CURSOR;
}

/* A recipient leaves its queue: who stands on it steps on. */
void cursors_leave(struct sched *s, struct rcpt *r)
{
	r->flags &= (uint8_t)~RF_CURSOR;
	for (struct link *l = s->cursors.next; l != &s->cursors; l = l->next) {
		struct cursor *c = LIST_OF(l, struct cursor, link);

		if (c->at == r) {
			c->at = r->newer;
			if (c->at)
				c->at->flags |= RF_CURSOR;
		}
	}
}

/* ---- a pending command ---- */

static void pend_free(struct pend *p)
{
	list_del(&p->all);
	list_del(&p->cursor.link);
	if (p->q)
		p->q->pins--;
	rstr_unref(p->text_target);
	rstr_unref(p->who);
	rstr_unref(p->reason);
	rstr_unref(p->route);
	rstr_unref(p->session);
	rstr_unref(p->text_at);
	rstr_unref(p->text);
	free(p);
}

static struct pend *pend_new(struct sched *s, const struct sched_cmd *c)
{
	struct pend *p = calloc(1, sizeof *p);
	struct errbuf e;
	struct buf b;

	if (!p)
		return NULL;
	p->cmd = *c;
	p->serial = (uint32_t)++s->next_id;
	buf_init(&b);
	target_print(&c->target, &b);
	p->text_target = rstr_new(buf_str(&b));
	buf_free(&b);
	p->who = rstr_new(c->who);
	p->reason = rstr_new(c->reason);
	p->route = rstr_new(c->route);
	p->session = rstr_new(c->session);
	buf_init(&b);
	target_print(&c->at, &b);
	p->text_at = rstr_new(buf_str(&b));
	buf_free(&b);
	if (!p->text_target || !p->text_at || !p->who || !p->reason || !p->route || !p->session) {
		pend_free(p);
		return NULL;
	}
	/* Some commands have no target. */
	if (target_parse(rstr_str(p->text_target), &p->target, &e))
		p->target = (struct target){ 0 };
	p->cmd.who = rstr_str(p->who);
	p->cmd.reason = rstr_str(p->reason);
	p->cmd.route = rstr_str(p->route);
	p->cmd.session = rstr_str(p->session);
	p->cmd.target = p->target;
	if (target_parse(rstr_str(p->text_at), &p->cmd.at, &e))
		p->cmd.at = (struct target){ .kind = TARGET_ALL };
	list_add(&s->commands, &p->all);
	return p;
}

static void reply_text(struct sched *s, uint64_t id, int exit, struct rstr *text)
{
	struct act *a = action_add(s, ACT_REPLY);

	a->a.reply = (struct sched_reply){ .id = id, .exit = exit, .text = text };
}

static void refuse(struct sched *s, const struct sched_cmd *c, struct rstr *text)
{
	reply_text(s, c->id, EXIT_REFUSED, text);
}

static void for_text(us_t from, us_t until, char out[64])
{
	char span[FMT_SIZE];
	struct buf b;

	buf_init(&b);
	if (until == US_NEVER) {
		buf_addz(&b, "until ended");
	} else {
		us_t d = until - from;

		/* Whole minutes: "for 3h59m59s999ms" helps nobody. */
		if (d > US_PER_MIN)
			d = (d + US_PER_MIN / 2) / US_PER_MIN * US_PER_MIN;
		fmt_duration(d, span);
		buf_addf(&b, "for %s", span);
	}
	str_lower(buf_str(&b), out, 64);
	buf_free(&b);
}

static void echo(struct sched *s, const struct sched_cmd *c, const char *what, const char *more)
{
	struct act *a = action_add(s, ACT_ECHO);

	a->a.text = rstr_newf("%.*s %s%s%s%s%.*s%s", (int)c->who.n, c->who.p, what,
			      *more ? " " : "", more, c->reason.n ? " because \"" : "",
			      (int)c->reason.n, c->reason.p, c->reason.n ? "\"" : "");
}

/* ---- recall ---- */

static void recall_one(struct sched *s, struct session *e, struct flight *f)
{
	if (f->recalled)
		return;
	f->recalled = true;
	action_to_io(s, e->io,
		     &(struct to_io){ .type = TO_IO_RECALL, .session = e->id, .number = f->id });
}

static void recall(struct sched *s, const struct target *t, const struct target *at)
{
	for (struct link *l = s->sessions.next; l != &s->sessions; l = l->next) {
		struct session *e = LIST_OF(l, struct session, all);

		for (int i = 0; i < SESSION_FLIGHTS; i++) {
			struct flight *f = e->flights[i];

			if (f && target_has_flight(t, f) &&
			    (!at || at->kind == TARGET_ALL || target_has_site(at, e->lane->site)))
				recall_one(s, e, f);
		}
	}
}

static uint64_t count_out(struct sched *s, const struct target *t, const struct target *at)
{
	uint64_t n = 0;

	for (struct link *l = s->sessions.next; l != &s->sessions; l = l->next) {
		const struct session *e = LIST_OF(l, const struct session, all);

		for (int i = 0; i < SESSION_FLIGHTS; i++)
			if (e->flights[i] && target_has_flight(t, e->flights[i]) &&
			    (!at || at->kind == TARGET_ALL || target_has_site(at, e->lane->site)))
				n++;
	}
	return n;
}

/* Limits may be lower now, settings others: what has not begun is handed out anew. */
void conf_recall(struct sched *s)
{
	recall(s, &(struct target){ .kind = TARGET_ALL }, NULL);
}

/* ---- confirmation ---- */

static void ask_confirmation(struct sched *s, struct pend *p, bool sync)
{
	p->phase = PEND_CONFIRM;
	p->fence = ++s->next_id;
	p->fences = (uint32_t)s->opts.io_threads;
	p->fenced = false;
	p->synced = !sync;
	for (uint32_t i = 0; i < p->fences; i++)
		action_to_io(s, i, &(struct to_io){ .type = TO_IO_FENCE, .number = p->fence });
	if (sync) {
		p->token = ++s->next_id;
		action_add(s, ACT_STATE_SYNC)->a.token = p->token;
	}
}

void command_fenced(struct sched *s, uint32_t io, uint64_t number)
{
	(void)io;
	for (struct link *l = s->commands.next; l != &s->commands; l = l->next) {
		struct pend *p = LIST_OF(l, struct pend, all);

		if (p->fence == number && p->fences && !--p->fences)
			p->fenced = true;
	}
}

void sched_synced(struct sched *s, us_t now, uint64_t token)
{
	s->now = now;
	for (struct link *l = s->commands.next; l != &s->commands; l = l->next) {
		struct pend *p = LIST_OF(l, struct pend, all);

		if (p->token == token)
			p->synced = true;
	}
}

/* ---- walking ---- */

static void walk_start(struct pend *p, enum pend_walk what)
{
	p->phase = PEND_WALK;
	p->walk = (uint8_t)what;
	p->bucket = 0;
	p->done = 0;
}

/* Does the command concern the queue as a whole, or may it concern some of its recipients? */
static bool concerns(const struct pend *p, const struct queue *q)
{
	if (p->cmd.type == CMD_MOVE && str_ieq(rstr_str(q->route->name), rstr_str(p->route)))
		return false;
	switch (p->target.kind) {
	case TARGET_JOB:
	case TARGET_USER:
	case TARGET_MESSAGE:
		return true;
	case TARGET_VMTA:
		return q->route->vmta != CONF_NONE &&
		       str_glob(p->target.a, rstr_str(q->route->name));
	case TARGET_LANE:
		return q->site && str_glob(p->target.a, rstr_str(q->site->name));
	case TARGET_ALL:
	case TARGET_DOMAIN:
	case TARGET_QUEUE:
	case TARGET_SITE:
	case TARGET_POOL:
		break;
	}
	return target_has_queue(&p->target, q);
}

static bool by_rcpt(const struct pend *p)
{
	return p->target.kind == TARGET_JOB || p->target.kind == TARGET_USER ||
	       p->target.kind == TARGET_MESSAGE;
}

static bool takes(struct pend *p, const struct rcpt *r)
{
	const struct sched_cmd *c = &p->cmd;

	if (by_rcpt(p) && !target_has_rcpt(&p->target, r))
		return false;
	if (c->shown_at && rcpt_msg(r)->received_at > c->shown_at)
		return false;
	return c->expect < 0 || p->done < (uint64_t)c->expect;
}

static void retry_rcpt(struct sched *s, struct rcpt *r)
{
	if (r->phase != PHASE_WAITING)
		return;
	rcpt_unplace(s, r);
	rcpt_ready(s, r, false);
}

static bool share_takes(struct pend *p)
{
	if (p->cmd.type != CMD_MOVE || p->cmd.share >= 1)
		return true;
	p->share += p->cmd.share;
	if (p->share < 1 - 1e-9)
		return false;
	p->share -= 1;
	return true;
}

/* Consecutive recipients of one message go together. Returns how many. */
static uint32_t take_some(struct sched *s, struct pend *p, struct rcpt *r)
{
	struct rcpt *v[STEP_RCPTS];
	const struct msg *m = rcpt_msg(r);
	struct rstr *text;
	uint32_t n = 0;

	for (; r && n < STEP_RCPTS && rcpt_msg(r) == m && r->phase != PHASE_OUT && takes(p, r);
	     r = r->newer) {
		v[n++] = r;
		p->done++;
	}
	if (p->cmd.type == CMD_DELETE) {
		result_make(s, v, n, DECIDE_REMOVED, "2.0.0", NULL);
		return n;
	}
	text = p->reason->len ? rstr_newf("returned by the operator: %s", p->reason->text)
			      : rstr_newf("returned by the operator");
	result_make(s, v, n, DECIDE_BOUNCED, "5.7.0", text);
	rstr_unref(text);
	return n;
}

static void move_one(struct sched *s, struct pend *p, struct rcpt *r)
{
	struct queue *q =
	    queue_get(s, rstr_str(r->queue->domain->name), route_get(s, rstr_str(p->route)));

	if (!q || q == r->queue)
		return;
	p->done++;
	rcpt_move(s, r, q);
	state_move_save(s, r);
}

/* One recipient at the cursor; steps on. */
static void walk_rcpt(struct sched *s, struct pend *p)
{
	struct rcpt *r = p->cursor.at;

	s->budget--;
	if (p->walk == WALK_TAKE && r->phase != PHASE_OUT && takes(p, r) && share_takes(p) &&
	    !p->cmd.dry_run) {
		if (p->cmd.type == CMD_MOVE)
			move_one(s, p, r);
		else
			take_some(s, p, r);
		if (p->cursor.at != r)
			return;
	} else if (takes(p, r) && p->walk == WALK_COUNT) {
		p->done += r->phase != PHASE_OUT;
	} else if (takes(p, r) && p->walk == WALK_RETRY && r->phase == PHASE_WAITING) {
		p->done++;
		retry_rcpt(s, r);
	}
	r->flags &= (uint8_t)~RF_CURSOR;
	cursor_set(s, &p->cursor, r->newer);
}

/* A queue that is not gone through one by one. True if it is done with. */
static bool whole_queue(struct sched *s, struct pend *p, struct queue *q)
{
	if (by_rcpt(p) || p->walk == WALK_TAKE)
		return !q->queued;
	if (p->walk == WALK_RETRY) {
		p->done += q->nwaiting;
		queue_release(s, q);
		if (q->hosts)
			hosts_retry(s, q->hosts);
		return true;
	}
	if (p->cmd.shown_at && q->newest && rcpt_msg(q->newest)->received_at > p->cmd.shown_at)
		return false;
	p->done += q->queued - q->in_flight;
	return true;
}

static void step_message(struct sched *s, struct pend *p)
{
	struct msg *m = msg_find(s, p->target.message);

	if (!m)
		return;
	m->live++; /* not to be freed on the way */
	for (uint32_t i = 0; i < m->nrcpts; i++) {
		struct rcpt *r = &m->rcpts[i];

		if (r->phase == PHASE_DONE || r->phase == PHASE_OUT || !takes(p, r))
			continue;
		if (p->walk == WALK_COUNT || (p->walk == WALK_RETRY && r->phase == PHASE_WAITING))
			p->done++;
		if (p->walk == WALK_RETRY)
			retry_rcpt(s, r);
		else if (p->walk == WALK_TAKE && p->cmd.type == CMD_MOVE)
			move_one(s, p, r);
		else if (p->walk == WALK_TAKE)
			take_some(s, p, r);
	}
	m->live--;
	msg_settle(s, m);
}

static void walk_queue(struct sched *s, struct pend *p, struct queue *q)
{
	s->budget--;
	if (q->seen == p->serial || !concerns(p, q))
		return;
	q->seen = p->serial;
	if (whole_queue(s, p, q))
		return;
	p->q = q;
	q->pins++;
	cursor_set(s, &p->cursor, q->oldest);
}

/* Goes on in the queue it stands in. */
static void walk_in_queue(struct sched *s, struct pend *p)
{
	while (s->budget > 0 && p->cursor.at)
		walk_rcpt(s, p);
	if (p->cursor.at)
		return;
	p->q->pins--;
	p->q = NULL;
	list_del(&p->cursor.link);
}

static bool enough(const struct pend *p)
{
	return p->cmd.expect >= 0 && p->done >= (uint64_t)p->cmd.expect && p->walk == WALK_TAKE;
}

/* True when all queues have been gone through. An entry of the table only ever moves to a later
 * bucket, and a queue remembers which command took it. */
static bool walk_on(struct sched *s, struct pend *p)
{
	if (p->target.kind == TARGET_MESSAGE) {
		step_message(s, p);
		return true;
	}
	if (p->q)
		walk_in_queue(s, p);
	while (s->budget > 0 && !p->q && p->bucket < s->queues.buckets && !enough(p)) {
		struct table_link *l = table_at(&s->queues, p->bucket);

		while (l && !p->q) {
			walk_queue(s, p, TABLE_OF(l, struct queue));
			l = l->next;
		}
		if (!p->q)
			p->bucket++; /* else once more: those behind q have not been seen */
		else
			walk_in_queue(s, p);
	}
	if (p->q && enough(p)) {
		p->cursor.at = NULL;
		walk_in_queue(s, p);
	}
	return !p->q && (p->bucket >= s->queues.buckets || enough(p));
}

/* ---- answers ---- */

static const char *done_words(enum sched_cmd_type type)
{
	switch (type) {
	case CMD_PAUSE:
		return "paused";
	case CMD_RETRY:
		return "retrying";
	case CMD_BOUNCE:
		return "bounced";
	case CMD_DELETE:
		return "deleted";
	case CMD_MOVE:
		return "moved";
	case CMD_RESUME:
	case CMD_RATE:
	case CMD_CONNECTIONS:
	case CMD_DISABLE:
	case CMD_ENABLE:
	case CMD_END:
	case CMD_UNDO:
	case CMD_AMEND:
	case CMD_DRAIN:
	case CMD_CONF:
	case CMD_TYPES:
		break;
	}
	return "done";
}

static struct rstr *answer_text(const struct pend *p)
{
	char n[FMT_SIZE];
	struct buf b;
	struct rstr *text;

	buf_init(&b);
	fmt_count((int64_t)p->done, n);
	if (p->text)
		buf_addf(&b, "%s: %s recipients", p->text->text, n);
	else if (p->cmd.dry_run)
		buf_addf(&b, "%s: %llu recipients", p->text_target->text,
			 (unsigned long long)p->done);
	else
		buf_addf(&b, "%s %s%s%s: %llu recipients", done_words(p->cmd.type),
			 p->text_target->text, p->route->len ? " to " : "", p->route->text,
			 (unsigned long long)p->done);
	if (!p->cmd.dry_run)
		buf_addf(&b, ", %llu in flight", (unsigned long long)p->in_flight);
	text = rstr_new(buf_str(&b));
	buf_free(&b);
	return text;
}

static void answer(struct sched *s, struct pend *p)
{
	struct act *a;

	if (p->census) {
		alarm_pause_ends(s, p->override, p->done);
		pend_free(p);
		return;
	}
	p->in_flight = count_out(s, &p->target, p->cmd.type == CMD_DISABLE ? &p->cmd.at : NULL);
	a = action_add(s, ACT_REPLY);
	a->a.reply = (struct sched_reply){ .id = p->cmd.id,
					   .exit = EXIT_DONE,
					   .done = p->done,
					   .in_flight = p->in_flight,
					   .override = p->override,
					   .until = p->until,
					   .text = answer_text(p) };
	pend_free(p);
}

static void audit(struct sched *s, struct pend *p)
{
	char n[64];
	struct buf b;

	buf_init(&b);
	buf_addf(&b, "%llu recipients", (unsigned long long)p->done);
	str_lower(buf_str(&b), n, sizeof n);
	override_act(s, &p->cmd, done_words(p->cmd.type), n);
	buf_clear(&b);
	buf_addf(&b, "%s%s%s", p->text_target->text, p->route->len ? " to " : "", p->route->text);
	echo(s, &p->cmd, done_words(p->cmd.type), buf_z(&b));
	buf_free(&b);
}

static void walked(struct sched *s, struct pend *p)
{
	if (p->walk == WALK_COUNT) {
		p->phase = PEND_ANSWER;
		return;
	}
	if (p->hold)
		override_end(s, p->hold, STR_LIT(""));
	p->hold = NULL;
	audit(s, p);
	if (p->walk == WALK_RETRY) { /* changes nothing on disk */
		p->walk = WALK_NONE;
		p->phase = PEND_ANSWER;
		return;
	}
	p->walk = WALK_NONE;
	/* What was moved, bounced or deleted must be on disk before it is answered. */
	p->synced = false;
	p->token = ++s->next_id;
	action_add(s, ACT_STATE_SYNC)->a.token = p->token;
	p->phase = PEND_CONFIRM;
}

static void pend_step(struct sched *s, struct pend *p)
{
	if (p->phase == PEND_WALK && walk_on(s, p))
		walked(s, p);
	if (p->phase == PEND_CONFIRM && p->fenced && p->synced) {
		if (p->walk != WALK_NONE)
			p->phase = PEND_WALK;
		else
			p->phase = PEND_ANSWER;
	}
	if (p->phase == PEND_ANSWER)
		answer(s, p);
}

void commands_work(struct sched *s)
{
	struct link *next;

	for (struct link *l = s->commands.next; l != &s->commands && s->budget > 0; l = next) {
		next = l->next;
		pend_step(s, LIST_OF(l, struct pend, all));
	}
}

bool commands_busy(const struct sched *s)
{
	for (const struct link *l = s->commands.next; l != &s->commands; l = l->next)
		if (LIST_OF(l, const struct pend, all)->phase != PEND_CONFIRM)
			return true;
	return false;
}

void census_start(struct sched *s, const struct override *o)
{
	struct sched_cmd c = { .target = o->target, .expect = -1 };
	struct pend *p = pend_new(s, &c);

	if (!p)
		return;
	p->census = true;
	p->override = o->number;
	walk_start(p, WALK_COUNT);
}

void commands_free(struct sched *s)
{
	struct link *l;

	while ((l = list_first(&s->commands)))
		pend_free(LIST_OF(l, struct pend, all));
}

/* ---- overrides ---- */

static us_t default_until(const struct sched *s, const struct sched_cmd *c)
{
	if (c->until)
		return c->until;
	if (c->type == CMD_RATE || c->type == CMD_CONNECTIONS)
		return s->now + DEFAULT_LIMIT_US;
	switch (c->target.kind) {
	case TARGET_DOMAIN:
	case TARGET_QUEUE:
	case TARGET_SITE:
	case TARGET_LANE:
	case TARGET_POOL:
		return c->type == CMD_DISABLE ? US_NEVER : s->now + DEFAULT_PAUSE_US;
	case TARGET_VMTA:
		return c->type == CMD_DISABLE ? US_NEVER : s->now + DEFAULT_PAUSE_US;
	case TARGET_ALL:
	case TARGET_JOB:
	case TARGET_USER:
	case TARGET_MESSAGE:
		break;
	}
	return US_NEVER;
}

/* The override is made: recall, confirm, count, answer. */
static void finish_override(struct sched *s, const struct sched_cmd *c, struct override *o,
			    struct rstr *text)
{
	struct pend *p = pend_new(s, c);

	recall(s, &c->target, c->type == CMD_DISABLE ? &c->at : NULL);
	if (!p) {
		refuse(s, c, rstr_newf("done, but there is no memory for the answer"));
		rstr_unref(text);
		return;
	}
	p->override = o ? o->number : 0;
	p->until = o ? o->until : 0;
	p->text = text;
	p->cmd.expect = -1;
	p->cmd.shown_at = 0;
	ask_confirmation(s, p, true);
	p->walk = WALK_COUNT;
	p->bucket = 0;
}

static bool refuse_unknown(struct sched *s, const struct sched_cmd *c)
{
	struct errbuf e;

	if (!target_known(s, &c->target, &e))
		return false;
	refuse(s, c, rstr_newf("%s", e.text));
	return true;
}

static bool refuse_same(struct sched *s, const struct sched_cmd *c, enum override_kind kind,
			const char *word)
{
	const struct override *o = override_on(s, kind, false, &c->target, &c->at);
	char span[64];

	if (!o)
		return false;
	for_text(s->now, o->until, span);
	refuse(s, c,
	       rstr_newf("already %s by %s (override %llu, %s)", word, o->who->text,
			 (unsigned long long)o->number, span));
	return true;
}

static void do_pause(struct sched *s, const struct sched_cmd *c)
{
	struct override *o;
	char span[64];

	if (refuse_unknown(s, c) || refuse_same(s, c, OVER_PAUSE, "paused"))
		return;
	o = override_make(s, c, OVER_PAUSE, default_until(s, c));
	if (!o) {
		refuse(s, c, rstr_newf("no memory"));
		return;
	}
	if (c->target.kind == TARGET_MESSAGE)
		message_pause(s, c->target.message);
	for_text(s->now, o->until, span);
	echo(s, c, "paused", o->text_target->text);
	finish_override(s, c, o,
			rstr_newf("paused %s %s (override %llu)", o->text_target->text, span,
				  (unsigned long long)o->number));
}

static void do_disable(struct sched *s, const struct sched_cmd *c)
{
	struct override *o;
	char span[64];

	if (c->target.kind != TARGET_VMTA) {
		refuse(s, c, rstr_newf("disable takes vmta:NAME; pause stops anything else"));
		return;
	}
	if (refuse_unknown(s, c) || refuse_same(s, c, OVER_DISABLE, "disabled"))
		return;
	o = override_make(s, c, OVER_DISABLE, default_until(s, c));
	if (!o) {
		refuse(s, c, rstr_newf("no memory"));
		return;
	}
	for_text(s->now, o->until, span);
	echo(s, c, "disabled", o->text_target->text);
	finish_override(s, c, o,
			rstr_newf("disabled %s%s%s %s (override %llu)", o->text_target->text,
				  o->text_at->len ? " at " : "", o->text_at->text, span,
				  (unsigned long long)o->number));
}

static const char *limit_refusal(const struct sched_cmd *c)
{
	bool job = c->target.kind == TARGET_JOB || c->target.kind == TARGET_USER;

	if (c->target.kind == TARGET_MESSAGE)
		return "a message has no limits of its own; pause holds it";
	if (job && c->type == CMD_CONNECTIONS)
		return "a connection carries mail of any job: jobs and users have rates, not "
		       "connections";
	if (job && c->each)
		return "a job or user has no lanes: leave `each` out";
	if (c->type == CMD_RATE && rate_unlimited(c->rate))
		return "an unlimited rate would lift nothing: end the override that limits it";
	if (c->type == CMD_CONNECTIONS && c->connections < 1)
		return "connections are 1 or more; pause stops them";
	return NULL;
}

static void do_limit(struct sched *s, const struct sched_cmd *c)
{
	const char *no = limit_refusal(c);
	struct override *o;
	char span[64];

	if (no) {
		refuse(s, c, rstr_newf("%s", no));
		return;
	}
	if (refuse_unknown(s, c))
		return;
	o = override_make(s, c, c->type == CMD_RATE ? OVER_RATE : OVER_CONNECTIONS,
			  default_until(s, c));
	if (!o) {
		refuse(s, c, rstr_newf("no memory"));
		return;
	}
	for_text(s->now, o->until, span);
	echo(s, c, c->type == CMD_RATE ? "set the rate of" : "set the connections of",
	     o->text_target->text);
	finish_override(s, c, o,
			rstr_newf("%s: %s %s %s (override %llu)", o->text_target->text,
				  o->what->text, o->now->text, span,
				  (unsigned long long)o->number));
}

/* A wider pause, or one on something else, that still holds a target's mail. */
/* Does what `wide` stops hold mail of `t` too? */
static bool target_covers(struct sched *s, const struct target *wide, const struct target *t)
{
	const struct domain *d;

	if (wide->kind == TARGET_ALL)
		return true;
	if (wide->kind == t->kind)
		return str_glob(wide->a, t->a) && (!t->b.n || str_glob(wide->b, t->b));
	d = t->kind == TARGET_DOMAIN || t->kind == TARGET_QUEUE ? domain_find(s, t->a) : NULL;
	for (const struct queue *q = d ? d->queues : NULL; q; q = q->next_of_domain)
		if ((t->kind == TARGET_DOMAIN || str_ieq(t->b, rstr_str(q->route->name))) &&
		    target_has_queue(wide, q))
			return true;
	return false;
}

static const struct override *wider(struct sched *s, const struct sched_cmd *c)
{
	for (struct link *l = s->live.next; l != &s->live; l = l->next) {
		const struct override *o = LIST_OF(l, const struct override, live);
		bool stop = c->type == CMD_ENABLE ? o->kind == OVER_DISABLE : o->kind == OVER_PAUSE;

		if (stop && !o->hidden && target_covers(s, &o->target, &c->target))
			return o;
	}
	return NULL;
}

static int end_all_on(struct sched *s, const struct sched_cmd *c, enum override_kind kind,
		      uint64_t *last)
{
	struct link *next;
	int n = 0;

	for (struct link *l = s->live.next; l != &s->live; l = next) {
		struct override *o = LIST_OF(l, struct override, live);

		next = l->next;
		if (o->kind != kind || o->hidden || !target_same(&o->target, &c->target) ||
		    (kind == OVER_DISABLE && !target_same(&o->at, &c->at)))
			continue;
		*last = o->number;
		override_end(s, o, c->who);
		n++;
	}
	return n;
}

static void do_resume(struct sched *s, const struct sched_cmd *c)
{
	enum override_kind kind = c->type == CMD_ENABLE ? OVER_DISABLE : OVER_PAUSE;
	const char *word = kind == OVER_DISABLE ? "disabled" : "paused";
	const char *done = kind == OVER_DISABLE ? "enabled" : "resumed";
	const struct override *w;
	struct buf name, b;
	uint64_t number = 0;
	bool drained = c->type == CMD_RESUME && c->target.kind == TARGET_ALL && s->draining;
	int n = end_all_on(s, c, kind, &number);

	buf_init(&name);
	buf_init(&b);
	target_print(&c->target, &name);
	w = wider(s, c);
	if (!n && !drained) {
		buf_addf(&b, "%s is not %s", buf_z(&name), word);
		if (w)
			buf_addf(&b, " by itself: %s is (override %llu, by %s)",
				 w->text_target->text, (unsigned long long)w->number, w->who->text);
		refuse(s, c, rstr_new(buf_str(&b)));
	} else {
		if (drained)
			s->draining = false;
		buf_addf(&b, "%s %s", done, buf_z(&name));
		if (number)
			buf_addf(&b, " (override %llu ended)", (unsigned long long)number);
		if (w)
			buf_addf(&b, "; still %s: %s%s%s (override %llu, by %s)", word,
				 w->text_target->text, w->text_at->len ? " at " : "",
				 w->text_at->text, (unsigned long long)w->number, w->who->text);
		echo(s, c, done, buf_z(&name));
		finish_override(s, c, NULL, rstr_new(buf_str(&b)));
	}
	buf_free(&name);
	buf_free(&b);
}

/* ---- ending and amending ---- */

static void end_one(struct sched *s, const struct sched_cmd *c, struct override *o)
{
	struct sched_cmd as = *c;
	struct buf b;
	struct rstr *target = rstr_ref(o->text_target);

	as.target = o->target;
	buf_init(&b);
	buf_addf(&b, "override %llu (%s %s)", (unsigned long long)o->number, o->what->text,
		 o->text_target->text);
	override_end(s, o, c->who);
	echo(s, c, "ended", buf_z(&b));
	finish_override(s, &as, NULL, rstr_newf("ended %s", buf_z(&b)));
	buf_free(&b);
	rstr_unref(target);
}

static void do_end(struct sched *s, const struct sched_cmd *c)
{
	struct override *o = override_find(s, c->number);

	if (!o || o->kind == OVER_ACT)
		refuse(s, c, rstr_newf("no override %llu", (unsigned long long)c->number));
	else if (o->ended_at)
		refuse(s, c,
		       rstr_newf("override %llu was ended by %s already",
				 (unsigned long long)c->number,
				 o->ended_by ? o->ended_by->text : "?"));
	else
		end_one(s, c, o);
}

static void do_undo(struct sched *s, const struct sched_cmd *c)
{
	for (struct link *l = s->live.prev; l != &s->live; l = l->prev) {
		struct override *o = LIST_OF(l, struct override, live);

		if (!o->hidden && o->session && c->session.n &&
		    str_eq(rstr_str(o->session), c->session)) {
			end_one(s, c, o);
			return;
		}
	}
	refuse(s, c, rstr_newf("nothing of this session to undo"));
}

static void do_amend(struct sched *s, const struct sched_cmd *c)
{
	struct override *o = override_find(s, c->number);
	struct sched_cmd as = *c;
	char span[64];

	if (!o || o->kind == OVER_ACT || o->ended_at) {
		refuse(s, c, rstr_newf("no live override %llu", (unsigned long long)c->number));
		return;
	}
	if (c->until)
		o->until = c->until;
	if (c->reason.n) {
		rstr_unref(o->reason);
		o->reason = rstr_new(c->reason);
	}
	o->warned = false;
	alarm_end(s, "pause-ends", rstr_str(o->text_target));
	override_save(s, o);
	row_dirty(s, &o->row);
	epoch_raise(s);
	as.target = o->target;
	for_text(s->now, o->until, span);
	echo(s, c, "amended", o->text_target->text);
	finish_override(s, &as, o,
			rstr_newf("override %llu: %s %s, %s", (unsigned long long)o->number,
				  o->what->text, o->text_target->text, span));
}

/* ---- acts ---- */

static void do_retry(struct sched *s, const struct sched_cmd *c)
{
	struct pend *p;

	if (refuse_unknown(s, c))
		return;
	p = pend_new(s, c);
	if (!p) {
		refuse(s, c, rstr_newf("no memory"));
		return;
	}
	p->cmd.expect = -1;
	p->cmd.shown_at = 0;
	walk_start(p, WALK_RETRY);
}

static bool refuse_taking(struct sched *s, const struct sched_cmd *c)
{
	if (c->target.kind == TARGET_LANE) {
		refuse(s, c,
		       rstr_newf("mail belongs to queues, not to lanes: name a domain, queue, "
				 "@site, pool, job, user or message"));
		return true;
	}
	if (refuse_unknown(s, c))
		return true;
	if (c->type != CMD_MOVE)
		return false;
	if (!s->conf || conf_route_find(s->conf, c->route) == CONF_NONE) {
		refuse(s, c, rstr_newf("no virtual MTA or pool %.*s", (int)c->route.n, c->route.p));
		return true;
	}
	if (c->share <= 0 || c->share > 1) {
		refuse(s, c, rstr_newf("a share is more than 0 and at most 100%%"));
		return true;
	}
	return false;
}

static void do_take(struct sched *s, const struct sched_cmd *c)
{
	struct pend *p;

	if (refuse_taking(s, c))
		return;
	p = pend_new(s, c);
	if (!p) {
		refuse(s, c, rstr_newf("no memory"));
		return;
	}
	if (!p->cmd.shown_at)
		p->cmd.shown_at = s->now;
	if (c->dry_run) {
		walk_start(p, WALK_COUNT);
		return;
	}
	p->hold = override_hidden(s, &p->target);
	recall(s, &p->target, NULL);
	ask_confirmation(s, p, true);
	p->walk = WALK_TAKE;
}

static void do_drain(struct sched *s, const struct sched_cmd *c)
{
	if (s->draining) {
		refuse(s, c, rstr_newf("already draining"));
		return;
	}
	s->draining = true;
	override_act(s, c, "drain", "new mail is refused");
	echo(s, c, "drains", "");
	finish_override(s, c, NULL, rstr_newf("draining: new mail is refused until `resume all`"));
}

static void do_conf(struct sched *s, const struct sched_cmd *c)
{
	struct buf b;

	buf_init(&b);
	buf_adds(&b, c->reason);
	override_act(s, c, "reload", buf_z(&b));
	echo(s, c, "applied a configuration", "");
	buf_free(&b);
	reply_text(s, c->id, EXIT_DONE, rstr_newf("noted"));
}

void sched_command(struct sched *s, us_t now, const struct sched_cmd *c)
{
	OBJ_CHECK(s, SCHED_MAGIC);
	s->now = now;
	switch (c->type) {
	case CMD_PAUSE:
		do_pause(s, c);
		return;
	case CMD_RESUME:
	case CMD_ENABLE:
		do_resume(s, c);
		return;
	case CMD_RATE:
	case CMD_CONNECTIONS:
		do_limit(s, c);
		return;
	case CMD_DISABLE:
		do_disable(s, c);
		return;
	case CMD_RETRY:
		do_retry(s, c);
		return;
	case CMD_MOVE:
	case CMD_BOUNCE:
	case CMD_DELETE:
		do_take(s, c);
		return;
	case CMD_END:
		do_end(s, c);
		return;
	case CMD_UNDO:
		do_undo(s, c);
		return;
	case CMD_AMEND:
		do_amend(s, c);
		return;
	case CMD_DRAIN:
		do_drain(s, c);
		return;
	case CMD_CONF:
		do_conf(s, c);
		return;
	case CMD_TYPES:
		break;
	}
	refuse(s, c, rstr_newf("unknown command"));
}
