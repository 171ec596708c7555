/* Backoff mode of a lane, and the other actions of a pattern (CONFIG.md, [pattern-list]). A rule
 * puts a lane into backoff, or an operator's override. In it the backoff-max- limits hold besides
 * the usual ones, until it ends: by time, by a delivery if the configuration says so, by a pattern
 * with mode=normal, or by the command. */
#include "core/sched/pend.h"

#include <arpa/inet.h>
#include <stdlib.h>

/* How often it happened is remembered for so long after the last time. */
#define STEP_KEPT_US US_PER_DAY
/* An MX host that a pattern skips is tried after the others for this long. */
#define SKIP_MX_US (5 * US_PER_MIN)
enum { REPLY_SHOWN = 160 };

/* ---- what is known of a lane ---- */

struct mode *mode_get(struct sched *s, struct lane *a)
{
	if (a->mode)
		return a->mode;
	a->mode = calloc(1, sizeof *a->mode);
	if (!a->mode)
		return NULL;
	a->mode->lane = a;
	list_add(&s->modes, &a->mode->link);
	s->other_bytes += sizeof *a->mode;
	return a->mode;
}

void mode_free(struct sched *s, struct lane *a)
{
	struct mode *m = a->mode;

	if (!m)
		return;
	a->mode = NULL;
	list_del(&m->link);
	rstr_unref(m->rule);
	rstr_unref(m->reply);
	free(m);
	s->other_bytes -= sizeof *m;
}

/* ---- is it in backoff, and by whom ---- */

const struct override *override_backoff(struct sched *s, const struct lane *a)
{
	for (struct link *l = s->live.prev; l != &s->live; l = l->prev) {
		const struct override *o = LIST_OF(l, const struct override, live);

		if (o->kind == OVER_BACKOFF && target_has_lane(&o->target, a->site, a->source))
			return o;
	}
	return NULL;
}

bool lane_in_backoff(struct sched *s, const struct lane *a)
{
	return (a->mode && a->mode->since) || override_backoff(s, a);
}

struct rstr *mode_origin(const struct mode *m)
{
	struct str reply = rstr_str(m->reply);
	int n = reply.n < REPLY_SHOWN ? (int)reply.n : REPLY_SHOWN;

	return rstr_newf("%s%s%.*s", m->rule ? m->rule->text : "rule", n ? ": " : "", n, reply.p);
}

/* ---- in and out ---- */

/* The limits of everything that goes through the lane are found anew, and sessions that are too
 * many now end. */
void lane_relimit(struct sched *s, struct lane *a)
{
	for (struct link *l = a->paths.next; l != &a->paths; l = l->next) {
		struct path *p = LIST_OF(l, struct path, on_lane);

		if (!p->set)
			continue;
		gate_leave(&p->wait);
		limits_clear(s, &p->limits);
		limits_thaw(s, &p->limits);
		p->connecting = false;
		if (!path_limits(s, p))
			p->shut = WHY_MEMORY;
		if (p->flow->nring)
			flow_ready(s, p->flow);
	}
	sessions_rebind_lane(s, a);
	row_dirty(s, &a->row);
	row_dirty(s, &a->site->row);
	row_dirty(s, &a->source->row);
}

static void recall_lane(struct sched *s, const struct lane *a)
{
	recall(s,
	       &(struct target){ .kind = TARGET_LANE,
				 .a = rstr_str(a->site->name),
				 .b = rstr_str(a->source->name) },
	       NULL);
}

static void raise_alarm(struct sched *s, const struct lane *a, const struct mode *m)
{
	if (!a->site->is_provider)
		return;
	alarm_raise(s, "backoff", rstr_str(a->name), ALARM_YELLOW,
		    rstr_newf("%s is in backoff mode: %s", a->name->text,
			      m->reply ? m->reply->text : "a rule says so"));
}

static us_t span_of(const struct lane *a, const struct pattern *p)
{
	const struct settings *set = lane_settings(a);

	if (p->does.backoff_for)
		return p->does.backoff_for;
	return set ? set->backoff_to_normal_after : US_PER_HOUR;
}

/* Once in backoff, further replies change nothing: its end stands. */
static void enter(struct sched *s, struct lane *a, const struct pattern *p, struct rstr *reply)
{
	struct mode *m = mode_get(s, a);
	us_t span = span_of(a, p);

	if (!m || m->since)
		return;
	m->step = m->last && s->now - m->last < STEP_KEPT_US ? m->step + 1 : 1;
	m->since = m->last = s->now;
	m->until = span == US_NEVER ? US_NEVER : s->now + span;
	rstr_unref(m->rule);
	rstr_unref(m->reply);
	m->rule = rstr_new(str_of(p->rule));
	m->reply = rstr_ref(reply);
	state_mode_save(s, a);
	raise_alarm(s, a, m);
	lane_relimit(s, a);
	recall_lane(s, a);
}

bool mode_end(struct sched *s, struct lane *a)
{
	struct mode *m = a->mode;

	if (!m || !m->since)
		return false;
	m->since = m->until = 0;
	alarm_end(s, "backoff", rstr_str(a->name));
	state_mode_save(s, a);
	lane_relimit(s, a);
	return true;
}

void modes_second(struct sched *s)
{
	struct link *next;

	for (struct link *l = s->modes.next; l != &s->modes; l = next) {
		struct mode *m = LIST_OF(l, struct mode, link);
		struct lane *a = m->lane;

		next = l->next;
		if (m->since && m->until <= s->now)
			mode_end(s, a);
		learn_second(s, a);
		if (!m->since && !learn_knows(m) && s->now - m->last >= STEP_KEPT_US) {
			mode_free(s, a);
			state_mode_save(s, a);
		}
	}
}

/* After a restart: what it was when it was saved. */
void mode_restored(struct sched *s, struct lane *a)
{
	if (a->mode->since && a->mode->until <= s->now)
		a->mode->since = a->mode->until = 0;
	a->mode->clean_at = s->now;
	if (a->mode->since)
		raise_alarm(s, a, a->mode);
}

/* ---- the other actions ---- */

static struct rstr *because(const struct pattern *p, const struct rstr *reply)
{
	struct str r = rstr_str(reply);
	int n = r.n < REPLY_SHOWN ? (int)r.n : REPLY_SHOWN;

	return rstr_newf("%s: %.*s", p->rule, n, r.p);
}

static void disable_source(struct sched *s, struct lane *a, const struct pattern *p,
			   struct rstr *reply)
{
	struct rstr *why = because(p, reply);
	struct sched_cmd c = {
		.type = CMD_DISABLE,
		.target = { .kind = TARGET_VMTA, .a = rstr_str(a->source->name) },
		.at = { .kind = TARGET_SITE, .a = rstr_str(a->site->name) },
		.who = STR_LIT("stoker"),
		.reason = rstr_str(why),
	};
	us_t span = p->does.disable_for ? p->does.disable_for : PATTERN_DISABLE;

	if (!override_on(s, OVER_DISABLE, false, &c.target, &c.at) &&
	    override_make(s, &c, OVER_DISABLE, s->now + span)) {
		echo(s, &c, "disabled", a->name->text);
		action_add(s, ACT_STATE_SYNC)->a.token = ++s->next_id;
		recall(s, &c.target, &c.at);
	}
	rstr_unref(why);
}

static void bounce_queue(struct sched *s, struct queue *q, struct rstr *reply)
{
	struct sched_cmd c = {
		.type = CMD_BOUNCE,
		.target = { .kind = TARGET_QUEUE,
			    .a = rstr_str(q->domain->name),
			    .b = rstr_str(q->route->name) },
		.who = STR_LIT("stoker"),
		.reason = rstr_str(reply),
		.expect = -1,
		.silent = true,
	};

	/* What came in before; once is enough while it works. */
	if (!command_bounces(s, &c.target))
		sched_command(s, s->now, &c);
}

static bool endpoint_of(const struct rstr *ip, struct endpoint *e)
{
	*e = (struct endpoint){ .len = 0 };
	if (!ip)
		return false;
	e->sa.sa_family = strchr(ip->text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(e->sa.sa_family, ip->text,
			 e->sa.sa_family == AF_INET ? (void *)&e->in4.sin_addr
						    : (void *)&e->in6.sin6_addr) == 1;
}

/* The host, not only the address that spoke: another address of it would say the same. */
void mode_skip_host(struct sched *s, const struct queue *q, const struct rstr *host,
		    const struct endpoint *at)
{
	const struct mxset *mx = q && q->hosts ? q->hosts->mx : NULL;
	us_t until = s->now + SKIP_MX_US;

	if (at)
		address_failed(s, at, until);
	if (mx && host)
		host_failed(s, mx, rstr_str(host), until);
}

/* This MX host is not wanted for a while; the recipient may go to another at once. */
void mode_skip_mx(struct sched *s, struct session *e, const struct queue *q,
		  const struct transaction *t)
{
	struct endpoint at;

	mode_skip_host(s, q, t->mx, endpoint_of(t->mx_ip, &at) ? &at : NULL);
	if (e && e->state != SESSION_CLOSING)
		session_close(s, e);
}

/* What the reply's rule asks for besides its class. q: whose mail it was about; NULL: nobody's. */
void mode_reply(struct sched *s, struct lane *a, struct queue *q, const struct reply_verdict *v,
		struct rstr *reply)
{
	const struct pattern *p = v->pattern;
	unsigned acts = p ? p->does.acts : 0;

	learn_reply(s, a, v, reply);
	if (acts & DO_BACKOFF)
		enter(s, a, p, reply);
	if (acts & DO_NORMAL)
		mode_end(s, a);
	if (acts & DO_DISABLE_SOURCE)
		disable_source(s, a, p, reply);
	if (q && (acts & DO_BOUNCE_QUEUE))
		bounce_queue(s, q, reply);
}

/* ---- a recipient that was accepted ---- */

void mode_delivered(struct sched *s, struct lane *a)
{
	const struct settings *set = a->mode && a->mode->since ? lane_settings(a) : NULL;

	if (set && set->backoff_to_normal_after_delivery)
		mode_end(s, a);
}
