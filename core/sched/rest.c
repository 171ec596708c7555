/* When a lane fails and rests (CONFIG.md, "Adaptive throttling and rest"). */
#include "core/sched/inner.h"

enum { DEFERRED_IN_ROW = 10, JITTER_PERCENT = 10 };
#define DEFERRING_US (10 * US_PER_S)
#define MIN_REST_US  (30 * US_PER_S)

const struct settings *lane_settings(const struct lane *a)
{
	const struct link *l = a->paths.next;

	return l == &a->paths ? NULL : LIST_OF(l, const struct path, on_lane)->set;
}

us_t rest_span(struct sched *s, const struct lane *a, uint32_t step)
{
	const struct settings *set = lane_settings(a);
	double span = (double)(set ? set->min_backoff : MIN_REST_US);
	double most = (double)(set ? set->max_backoff : US_PER_DAY);
	double factor = set ? set->backoff_scale_factor : 1.5;

	for (uint32_t i = 1; i < step && span < most; i++)
		span *= factor;
	if (span > most)
		span = most;
	return (us_t)(span * (1.0 + JITTER_PERCENT / 100.0 * (2 * rng_unit(&s->rng) - 1)));
}

static void rest(struct sched *s, struct lane *a, enum rest_kind kind, struct rstr *reason)
{
	/* It counts once a rest: only a probe that failed makes the next one longer. */
	if (a->rest_kind != REST_NONE && s->now < a->resting_until)
		return;
	a->rest_step++;
	a->rest_kind = (uint8_t)kind;
	a->resting_since = s->now;
	a->rest_told = false;
	a->resting_until = s->now + rest_span(s, a, a->rest_step);
	a->probe = 0;
	a->deferred_in_row = 0;
	rstr_unref(a->rest_reason);
	a->rest_reason = rstr_ref(reason);
	gate_timer(s, &a->rest, a->resting_until);
	state_lane_save(s, a);
	row_dirty(s, &a->row);
	row_dirty(s, &a->site->row);
}

void lane_connect_failed(struct sched *s, struct lane *a, struct rstr *reason)
{
	rest(s, a, REST_CONNECT, reason);
	if (reason && a->rest_kind == REST_CONNECT && !a->rest_reason)
		a->rest_reason = rstr_ref(reason);
}

/* An attempt gave a session: what made the lane rest is over; only a delivery makes the next rest
 * short again. */
void lane_came_up(struct sched *s, struct lane *a)
{
	if (a->rest_kind != REST_CONNECT)
		return;
	a->rest_kind = REST_NONE;
	a->resting_since = a->resting_until = 0;
	a->probe = 0;
	heap_del(&s->gates, &a->rest.timer);
	gate_open(s, &a->rest);
	state_lane_save(s, a);
	row_dirty(s, &a->row);
	row_dirty(s, &a->site->row);
}

static void recovered(struct sched *s, struct lane *a)
{
	a->deferred_in_row = 0;
	if (!a->rest_step)
		return;
	a->rest_step = 0;
	a->rest_kind = REST_NONE;
	a->resting_since = a->resting_until = 0;
	a->probe = 0;
	heap_del(&s->gates, &a->rest.timer);
	gate_open(s, &a->rest);
	state_lane_save(s, a);
	row_dirty(s, &a->row);
	row_dirty(s, &a->site->row);
}

void lane_result(struct sched *s, struct lane *a, bool delivered, bool failure, struct rstr *reply)
{
	if (delivered) {
		recovered(s, a);
		return;
	}
	if (!failure)
		return;
	if (a->rest_kind != REST_NONE && s->now >= a->resting_until) {
		rest(s, a, REST_REPLIES, reply); /* the probe failed */
		return;
	}
	if (!a->deferred_in_row++)
		a->deferring_since = s->now;
	if (a->deferred_in_row >= DEFERRED_IN_ROW && s->now - a->deferring_since >= DEFERRING_US)
		rest(s, a, REST_REPLIES, reply);
}

/* The time is over: one session may try. */
void lane_rest_over(struct sched *s, struct lane *a)
{
	a->probe = 0;
	row_dirty(s, &a->row);
	row_dirty(s, &a->site->row);
	(void)s;
}

/* The probing session has ended and decided nothing (a reply about one mailbox, greylisting, an
 * idle end): the receiver answers, so the rest is over; the step stays until something is
 * delivered. */
void lane_probe_ended(struct sched *s, struct lane *a)
{
	a->probe = 0;
	if (s->now < a->resting_until)
		return;
	a->rest_kind = REST_NONE;
	gate_open(s, &a->rest);
	row_dirty(s, &a->row);
}

/* A session has become idle, or can hold one more: who waits for a connection in this lane looks
 * again. */
void lane_woken(struct sched *s, struct lane *a)
{
	for (struct link *l = a->paths.next; l != &a->paths; l = l->next) {
		struct path *p = LIST_OF(l, struct path, on_lane);

		if (gate_is_connections(p->wait.at))
			gate_leave(&p->wait);
		p->connecting = false;
		if (!p->wait.at && !p->shut && p->flow->nring)
			flow_ready(s, p->flow);
	}
}
