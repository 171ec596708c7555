/* A command under way: what of its target has not begun is recalled, then io threads and the disk
 * confirm, then it is answered. */
#include "core/sched/pend.h"

#include <stdlib.h>

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

struct pend *pend_new(struct sched *s, const struct sched_cmd *c)
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

/* ---- recall ---- */

static void recall_one(struct sched *s, struct session *e, struct flight *f)
{
	if (f->recalled)
		return;
	f->recalled = true;
	action_to_io(s, e->io,
		     &(struct to_io){ .type = TO_IO_RECALL, .session = e->id, .number = f->id });
}

void recall(struct sched *s, const struct target *t, const struct target *at)
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

void ask_confirmation(struct sched *s, struct pend *p, bool sync)
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

/* ---- steps ---- */

static void answer(struct sched *s, struct pend *p)
{
	struct act *a;

	if (p->census) {
		alarm_pause_ends(s, p->override, p->done);
		pend_free(p);
		return;
	}
	p->in_flight = count_out(s, &p->target, p->cmd.type == CMD_DISABLE ? &p->cmd.at : NULL);
	if (p->cmd.silent) {
		pend_free(p);
		return;
	}
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

bool command_bounces(const struct sched *s, const struct target *t)
{
	for (const struct link *l = s->commands.next; l != &s->commands; l = l->next) {
		const struct pend *p = LIST_OF(l, const struct pend, all);

		if (p->cmd.type == CMD_BOUNCE && target_same(&p->target, t))
			return true;
	}
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
