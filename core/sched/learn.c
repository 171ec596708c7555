/* Adaptive throttling (CONFIG.md, "Adaptive throttling and rest"): how fast a receiver lets a lane
 * go, and over how many connections. Refused, both fall at once; clean minutes let them grow again,
 * quickly up to near what was refused, then slowly. */
#include "core/sched/override.h"

#define LOWER_EVERY_US (10 * US_PER_S)
#define MEASURE_US     (10 * US_PER_S)
#define IDLE_US	       US_PER_S	       /* after so long without an attempt a burst begins */
#define BURST_LEAST_US (US_PER_S / 10) /* a burst that is shorter says little of its rate */
#define CLEAN_US       US_PER_MIN
#define CEILING_US     US_PER_DAY
#define RATE_LEAST     (1.0 / 60)

static const double near_ceiling = 0.9, far_below = 0.75;

/* ---- what is being done ---- */

/* An attempt has been answered. */
void learn_attempt(struct sched *s, struct lane *a)
{
	if (s->now - a->tried_at >= IDLE_US) {
		a->burst_at = s->now;
		a->burst_n = 0;
	}
	a->tried_at = s->now;
	a->burst_n++;
	if (a->mode)
		a->mode->tries++;
}

static double measured(const struct sched *s, const struct lane *a)
{
	us_t span = s->now - a->burst_at;

	if (span >= MEASURE_US)
		return tally_rate(a->tally, s->now);
	if (span < BURST_LEAST_US)
		span = BURST_LEAST_US;
	return (double)a->burst_n * (double)US_PER_S / (double)span;
}

/* The lane's own limit as it is written; 0: none. */
static double written(const struct lane *a, enum limit_kind k)
{
	double least = 0;

	for (const struct link *l = a->paths.next; l != &a->paths; l = l->next) {
		const struct path *p = LIST_OF(l, const struct path, on_lane);
		struct counter *const *v = k == LIMIT_CONNECTIONS ? p->limits.conn : p->limits.rate;
		uint8_t n = k == LIMIT_CONNECTIONS ? p->limits.nconn : p->limits.nrate;

		for (uint8_t i = 0; i < n; i++) {
			double x =
			    k == LIMIT_CONNECTIONS ? v[i]->limit : rate_per_s(v[i]->bucket.rate);

			if (v[i]->scope == SCOPE_LANE && v[i]->flavour < COUNT_OVERRIDE &&
			    (!(least > 0) || x < least))
				least = x;
		}
	}
	return least;
}

/* ---- the law, the same for rate and connections ---- */

static double smaller(double a, double b)
{
	return !(a > 0) || (b > 0 && b < a) ? b : a;
}

static void lower(struct learned *x, double limit, double now_used, double least, us_t now)
{
	double refused = smaller(smaller(limit, x->value), now_used);
	bool half = !(x->ceiling > 0) || refused < far_below * x->ceiling;

	x->value = refused * (half ? 0.5 : 0.8);
	if (x->value < least)
		x->value = least;
	x->ceiling = refused;
	x->ceiling_at = now;
}

static void grow(struct learned *x, double most)
{
	double near = near_ceiling * x->ceiling;

	if (!(x->ceiling > 0) || x->value < near) {
		x->value *= 1.1;
		if (x->ceiling > 0 && x->value > near)
			x->value = near;
	} else {
		x->value *= 1.01;
	}
	if (most > 0 && x->value >= most)
		*x = (struct learned){ .ceiling = x->ceiling, .ceiling_at = x->ceiling_at };
}

/* ---- as limits ---- */

static struct rate rate_of(double per_s)
{
	struct rate r = { .n = (int64_t)(per_s * 3600 + 0.5), .per = US_PER_HOUR };

	return r.n < 60 ? (struct rate){ 1, US_PER_MIN } : r;
}

static int connections_of(double n)
{
	return n < 1 ? 1 : (int)n;
}

/* What learn.c has to say of this kind for the lane: false: nothing. */
bool learned_limit(const struct lane *a, enum limit_kind k, int *n, struct rate *rate)
{
	const struct mode *m = a->mode;

	*n = 0;
	*rate = (struct rate){ 0, US_PER_S };
	if (!m || !(k == LIMIT_CONNECTIONS ? m->conns.value > 0 : m->rate.value > 0))
		return false;
	if (k == LIMIT_CONNECTIONS)
		*n = connections_of(m->conns.value);
	else
		*rate = rate_of(m->rate.value);
	return true;
}

static bool adjust(struct sched *s, struct lane *a, enum limit_kind k)
{
	const struct counter_id id = { (uint8_t)k,	SCOPE_LANE,	   COUNT_LEARNED,
				       a->site->row.id, a->source->row.id, 0 };
	struct counter *c = counter_find(s, &id);
	struct rate rate;
	int n;

	if (!learned_limit(a, k, &n, &rate))
		return !c || !c->refs;
	if (!c || !c->refs)
		return false;
	counter_limit(s, c, n, rate, NULL, 0);
	return true;
}

/* The limits follow what was learned; they are made or dropped where they are new or gone. */
static void publish(struct sched *s, struct lane *a)
{
	bool rate = adjust(s, a, LIMIT_MSG_RATE), conns = adjust(s, a, LIMIT_CONNECTIONS);

	if (rate && conns)
		sessions_rebind_lane(s, a);
	else
		lane_relimit(s, a);
	state_mode_save(s, a);
	row_dirty(s, &a->row);
}

/* ---- what happens ---- */

static bool throttles(const struct reply_verdict *v, const struct rstr *reply)
{
	unsigned acts = v->pattern ? v->pattern->does.acts : 0;

	if (acts & (DO_SLOWER | DO_BACKOFF))
		return true;
	return v->class == CLASS_THROTTLE && reply && reply->len >= 3 &&
	       memcmp(reply->text, "421", 3) == 0;
}

void learn_reply(struct sched *s, struct lane *a, const struct reply_verdict *v,
		 const struct rstr *reply)
{
	const struct settings *set = lane_settings(a);
	struct mode *m;

	if (!throttles(v, reply) || !set || !set->adaptive_throttling || lane_in_backoff(s, a))
		return;
	m = mode_get(s, a);
	if (!m)
		return;
	m->clean_at = s->now;
	m->tries = 0;
	m->most_conns = 0;
	if (m->lowered_at && s->now - m->lowered_at < LOWER_EVERY_US)
		return;
	m->lowered_at = s->now;
	lower(&m->rate, written(a, LIMIT_MSG_RATE), measured(s, a), RATE_LEAST, s->now);
	lower(&m->conns, written(a, LIMIT_CONNECTIONS), a->conn->used, 1, s->now);
	publish(s, a);
}

static void forget_ceiling(const struct sched *s, struct learned *x)
{
	if (x->ceiling > 0 && s->now - x->ceiling_at >= CEILING_US)
		x->ceiling = 0;
}

static void clean_minute(struct sched *s, struct lane *a)
{
	struct mode *m = a->mode;
	double span = (double)(s->now - m->clean_at) / (double)US_PER_S;
	bool rate = m->rate.value > 0 && m->tries >= m->rate.value / 2 * span;
	bool conns = m->conns.value > 0 && m->most_conns >= m->conns.value / 2;

	m->clean_at = s->now;
	m->tries = 0;
	m->most_conns = 0;
	if (rate)
		grow(&m->rate, written(a, LIMIT_MSG_RATE));
	if (conns)
		grow(&m->conns, written(a, LIMIT_CONNECTIONS));
	if (rate || conns)
		publish(s, a);
}

/* A lane that has learned something, ten times a second. */
void learn_second(struct sched *s, struct lane *a)
{
	const struct settings *set = lane_settings(a);
	struct mode *m = a->mode;

	if (a->conn->used > m->most_conns)
		m->most_conns = a->conn->used;
	forget_ceiling(s, &m->rate);
	forget_ceiling(s, &m->conns);
	if (!(m->rate.value > 0) && !(m->conns.value > 0))
		return;
	if (set && !set->adaptive_throttling) {
		m->rate = m->conns = (struct learned){ 0 };
		publish(s, a);
	} else if (lane_in_backoff(s, a)) {
		m->clean_at = s->now;
		m->tries = 0;
	} else if (s->now - m->clean_at >= CLEAN_US) {
		clean_minute(s, a);
	}
}

bool learn_knows(const struct mode *m)
{
	return m->rate.value > 0 || m->conns.value > 0 || m->rate.ceiling > 0 ||
	       m->conns.ceiling > 0;
}
