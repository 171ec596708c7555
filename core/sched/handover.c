/* Handing a connection over: mail of one session key may keep a connection of a lane busy for ever,
 * while other mail of the lane (by other hosts, or with other settings) has none and the limit
 * leaves no room. After a while that connection is closed and the next one is promised to the other
 * mail. A connection that falls idle makes room by itself (session_make_room). */
#include "core/sched/inner.h"

/* Long enough that connecting costs little, short enough to wait for. */
#define HAND_OVER_US   (5 * US_PER_S)
#define HAND_OVER_WAIT US_PER_S /* for the other mail to take it */
enum { HAND_OVER_LOOK = 16 };

static us_t promised_until(const struct lane *a)
{
	return a->promised.closing ? US_NEVER : a->promised.until;
}

bool handover_promised(const struct lane *a, uint64_t hosts, uint64_t settings, us_t now,
		       us_t *until)
{
	*until = promised_until(a);
	return now < *until && (a->promised.hosts != hosts || a->promised.settings != settings);
}

/* The path of this lane that waits here; NULL: another's. */
static const struct path *waiting_path(const struct waiter *w, const struct lane *a,
				       struct queue **q)
{
	const struct path *p;

	if (w->type == WAIT_FLOW)
		return NULL;
	if (w->type == WAIT_PATH) {
		p = HEAP_OF(w, const struct path, wait);
		*q = p->flow->ring;
		return p->lane == a ? p : NULL;
	}
	*q = HEAP_OF(w, const struct queue_more, wait)->queue;
	for (uint8_t i = 0; (*q)->flow && i < (*q)->flow->npaths; i++)
		if ((*q)->flow->paths[i].lane == a)
			return &(*q)->flow->paths[i];
	return NULL;
}

/* Mail of the lane that waits at this limit and has no connection at all gets e's. */
static bool give_at(struct sched *s, struct session *e, const struct counter *c)
{
	int look = HAND_OVER_LOOK;
	struct lane *a = e->lane;

	for (struct link *l = c->gate.waiters.next; l != &c->gate.waiters && look--; l = l->next) {
		struct queue *q = NULL;
		const struct path *p = waiting_path(LIST_OF(l, struct waiter, link), a, &q);

		if (!p || !q || !p->set || !q->hosts || !q->hosts->mx ||
		    bundle_find(s, a, q->hosts->mx->key, p->set->session_key))
			continue;
		a->promised.hosts = q->hosts->mx->key;
		a->promised.settings = p->set->session_key;
		a->promised.closing = e->id;
		session_close(s, e);
		return true;
	}
	return false;
}

void handover_done(struct sched *s, struct session *e)
{
	struct counter *v[] = { e->lane->conn, e->lane->source->conn, e->lane->site->conn,
				s->total };

	if (e->state != SESSION_UP || s->now - e->up_at < HAND_OVER_US ||
	    s->now < promised_until(e->lane))
		return;
	for (uint8_t i = 0; i < e->ncharged; i++)
		if (give_at(s, e, e->charged[i]))
			return;
	for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
		if (give_at(s, e, v[i]))
			return;
}

void handover_opened(const struct session *e)
{
	struct lane *a = e->lane;

	if (a->promised.hosts != e->bundle->hosts || a->promised.settings != e->bundle->settings)
		return;
	a->promised.closing = 0;
	a->promised.until = 0;
}

void handover_gone(struct sched *s, const struct session *e)
{
	struct lane *a = e->lane;

	if (a->promised.closing != e->id)
		return;
	a->promised.closing = 0;
	a->promised.until = s->now + HAND_OVER_WAIT;
}
