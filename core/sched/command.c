/* Commands: checked, done, and answered when what they did is durable and every io thread has
 * confirmed that it has seen the recalls. What concerns many queues is done in steps; an
 * irreversible one holds its mail while it works. */
#include "core/sched/pend.h"

#define DEFAULT_LIMIT_US (1 * US_PER_HOUR) /* COMMANDS.md */
#define DEFAULT_PAUSE_US (4 * US_PER_HOUR)

/* ---- overrides ---- */

static us_t default_until(const struct sched *s, const struct sched_cmd *c)
{
	if (c->until)
		return c->until;
	if (c->type == CMD_RATE || c->type == CMD_CONNECTIONS || c->type == CMD_BACKOFF)
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

/* The doors hear it before the fence that the answer waits for. */
static void set_draining(struct sched *s, bool on)
{
	struct act *a = action_add(s, ACT_DRAIN);

	s->draining = on;
	if (a)
		a->a.on = on;
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
			set_draining(s, false);
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

/* ---- backoff mode ---- */

static bool refuse_mode(struct sched *s, const struct sched_cmd *c)
{
	switch (c->target.kind) {
	case TARGET_ALL:
	case TARGET_SITE:
	case TARGET_LANE:
	case TARGET_VMTA:
		return refuse_unknown(s, c);
	case TARGET_DOMAIN:
	case TARGET_QUEUE:
	case TARGET_POOL:
	case TARGET_JOB:
	case TARGET_USER:
	case TARGET_MESSAGE:
		break;
	}
	refuse(s, c,
	       rstr_newf("a lane is in backoff mode, with all mail that goes through it: name "
			 "@SITE, SITE@VMTA, vmta:NAME or all"));
	return true;
}

static void do_backoff(struct sched *s, const struct sched_cmd *c)
{
	struct override *o;
	char span[64];

	if (refuse_mode(s, c) || refuse_same(s, c, OVER_BACKOFF, "in backoff"))
		return;
	o = override_make(s, c, OVER_BACKOFF, default_until(s, c));
	if (!o) {
		refuse(s, c, rstr_newf("no memory"));
		return;
	}
	for_text(s->now, o->until, span);
	echo(s, c, "put into backoff", o->text_target->text);
	finish_override(s, c, o,
			rstr_newf("backoff %s %s (override %llu)", o->text_target->text, span,
				  (unsigned long long)o->number));
}

/* Lanes that rules put into backoff. */
static int end_modes(struct sched *s, const struct target *t)
{
	struct link *next;
	int n = 0;

	for (struct link *l = s->modes.next; l != &s->modes; l = next) {
		struct lane *a = LIST_OF(l, struct mode, link)->lane;

		next = l->next;
		if (target_has_lane(t, a->site, a->source))
			n += mode_end(s, a);
	}
	return n;
}

static bool covers_lane(const struct target *wide, const struct target *t)
{
	if (t->kind != TARGET_LANE)
		return false;
	return (wide->kind == TARGET_SITE && str_glob(wide->a, t->a)) ||
	       (wide->kind == TARGET_VMTA && str_glob(wide->a, t->b));
}

static const struct override *wider_backoff(struct sched *s, const struct target *t)
{
	for (struct link *l = s->live.next; l != &s->live; l = l->next) {
		const struct override *o = LIST_OF(l, const struct override, live);

		if (o->kind == OVER_BACKOFF &&
		    (target_covers(s, &o->target, t) || covers_lane(&o->target, t)))
			return o;
	}
	return NULL;
}

static void do_normal(struct sched *s, const struct sched_cmd *c)
{
	const struct override *w;
	struct buf name, b;
	uint64_t number = 0;
	int lanes, ended;

	if (refuse_mode(s, c))
		return;
	buf_init(&name);
	buf_init(&b);
	target_print(&c->target, &name);
	ended = end_all_on(s, c, OVER_BACKOFF, &number);
	lanes = end_modes(s, &c->target);
	w = wider_backoff(s, &c->target);
	if (!ended && !lanes)
		buf_addf(&b, "%s is not in backoff%s", buf_z(&name), w ? " by itself" : "");
	else if (ended)
		buf_addf(&b, "normal %s (override %llu ended)", buf_z(&name),
			 (unsigned long long)number);
	else
		buf_addf(&b, "normal %s: %d lanes", buf_z(&name), lanes);
	if (w)
		buf_addf(&b, "; %s is (override %llu, by %s)", w->text_target->text,
			 (unsigned long long)w->number, w->who->text);
	if (!ended && !lanes) {
		refuse(s, c, rstr_new(buf_str(&b)));
	} else {
		override_act(s, c, "normal", "backoff ended");
		echo(s, c, "back to normal:", buf_z(&name));
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
	set_draining(s, true);
	override_act(s, c, "drain", "new mail is refused");
	echo(s, c, "drains", "");
	finish_override(s, c, NULL, rstr_newf("draining: new mail is refused until `resume all`"));
}

static void do_conf(struct sched *s, const struct sched_cmd *c)
{
	struct sched_cmd said = *c;
	struct buf b;

	buf_init(&b);
	buf_adds(&b, c->reason); /* "#2" */
	override_act(s, c, "reload", buf_z(&b));
	said.reason = STR_LIT("");
	echo(s, &said, "applied configuration", buf_z(&b));
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
	case CMD_BACKOFF:
		do_backoff(s, c);
		return;
	case CMD_NORMAL:
		do_normal(s, c);
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
