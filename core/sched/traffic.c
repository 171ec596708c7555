/* What moved in the last five minutes, for rates, percents and trends. A window exists only where
 * something moved, and is given back when it has become empty. */
#include "core/sched/inner.h"

enum { SECONDS = 11, STEP_S = 10, STEPS = 30, RATE_S = 10, LAST = 50, PERCENT_LEAST = 10 };

/* What is seen of a window; the trend is that of the time step. */
struct look {
	uint32_t rate, attempts; /* of RATE_S, of all steps */
	uint32_t step;
};

struct traffic {
	struct link active;	  /* in sched.active */
	struct tally *tally;	  /* whose */
	uint32_t second, visited; /* newest second counted; last one looked at */
	uint32_t since;		  /* the second in which it began */
	struct look shown;	  /* in its row, as that was filled last */
	uint32_t by_second[SECONDS];
	struct {
		uint32_t attempts, delivered, deferred, arrived;
	} step[STEPS];
};

static uint32_t seconds(us_t t)
{
	return (uint32_t)(t / US_PER_S);
}

/* Empties the slots between the newest second and now. */
static void advance(struct traffic *t, us_t now)
{
	uint32_t to = seconds(now), from = t->second;

	if (to <= from)
		return;
	if (to - from >= STEP_S * STEPS) {
		memset(t->by_second, 0, sizeof t->by_second);
		memset(t->step, 0, sizeof t->step);
		t->second = to;
		return;
	}
	for (uint32_t i = from + 1; i <= to && i <= from + SECONDS; i++)
		t->by_second[i % SECONDS] = 0;
	for (uint32_t i = from / STEP_S + 1; i <= to / STEP_S; i++)
		memset(&t->step[i % STEPS], 0, sizeof t->step[0]);
	t->second = to;
}

static uint32_t last_count(const struct tally *y)
{
	return (uint32_t)(y->last >> LAST);
}

static void shift_last(struct tally *y, bool delivered, uint32_t n)
{
	const uint64_t mask = (1ULL << LAST) - 1;
	uint64_t bits = y->last & mask;
	uint32_t count = last_count(y);

	for (uint32_t i = 0; i < n && i < LAST; i++)
		bits = (bits << 1 | delivered) & mask;
	count = n > LAST - count ? LAST : count + n;
	y->last = bits | (uint64_t)count << LAST;
}

static struct traffic *window_get(struct sched *s, struct tally *y)
{
	if (!y->window) {
		y->window = pool_get(&s->traffic_pool);
		if (!y->window)
			return NULL;
		y->window->tally = y;
		y->window->second = y->window->since = seconds(s->now);
		list_add(&s->active, &y->window->active);
	}
	advance(y->window, s->now);
	return y->window;
}

struct tally *tally_get(struct sched *s, struct tally **at, struct row_head *row)
{
	if (!*at) {
		*at = pool_get(&s->tally_pool);
		if (*at)
			(*at)->row = row;
	}
	return *at;
}

static void window_free(struct sched *s, struct traffic *t)
{
	t->tally->window = NULL;
	list_del(&t->active);
	pool_put(&s->traffic_pool, t);
}

void tally_release(struct sched *s, struct tally *y)
{
	if (y->window)
		window_free(s, y->window);
	rstr_unref(y->last_reply);
	y->last_reply = NULL;
}

void tally_free(struct sched *s, struct tally *y)
{
	if (!y)
		return;
	tally_release(s, y);
	pool_put(&s->tally_pool, y);
}

void tally_count(struct sched *s, struct tally *y, const struct counts *c)
{
	struct traffic *t = window_get(s, y);
	uint32_t n = c->delivered + c->deferred + c->bounced;

	if (y->row)
		row_dirty(s, y->row);
	y->delivered += c->delivered;
	y->deferred += c->deferred;
	y->bounced += c->bounced;
	shift_last(y, false, c->deferred + c->bounced);
	shift_last(y, true, c->delivered);
	if (c->reply) {
		rstr_unref(y->last_reply);
		y->last_reply = rstr_ref(c->reply);
		y->last_reply_at = s->now;
	}
	if (!t)
		return;
	t->by_second[t->second % SECONDS] += n;
	t->step[t->second / STEP_S % STEPS].attempts += n;
	t->step[t->second / STEP_S % STEPS].delivered += c->delivered;
	t->step[t->second / STEP_S % STEPS].deferred += c->deferred;
}

static uint32_t rate_sum(const struct traffic *t)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i <= RATE_S; i++)
		n += t->by_second[(t->second + SECONDS - i) % SECONDS];
	return n;
}

/* Over the last ten whole seconds. */
float tally_rate(const struct tally *y, us_t now)
{
	struct traffic *t = y ? y->window : NULL;

	if (!t)
		return 0;
	advance(t, now);
	return (float)rate_sum(t) / RATE_S;
}

/* Where nothing moves there is no window, and no ETA that would need the inflow: none is made for
 * it. */
void tally_arrived(struct sched *s, struct tally *y, uint32_t n)
{
	struct traffic *t = y ? y->window : NULL;

	if (!t)
		return;
	advance(t, s->now);
	t->step[t->second / STEP_S % STEPS].arrived += n;
}

void tally_means(const struct tally *y, us_t now, struct means *out)
{
	struct traffic *t = y ? y->window : NULL;
	uint64_t left = 0, arrived = 0;
	uint32_t steps;

	*out = (struct means){ 0 };
	if (!t)
		return;
	advance(t, now);
	steps = t->second / STEP_S - t->since / STEP_S;
	if (steps > TREND_STEPS)
		steps = TREND_STEPS;
	for (uint32_t i = 1; i <= steps; i++) {
		uint32_t k = (t->second / STEP_S + STEPS - i) % STEPS;

		left += t->step[k].attempts - t->step[k].deferred;
		arrived += t->step[k].arrived;
	}
	if (!steps)
		return;
	out->out = (float)left / (float)(steps * STEP_S);
	out->in = (float)arrived / (float)(steps * STEP_S);
}

static float of_last(const struct tally *y)
{
	return 100.0F * (float)__builtin_popcountll(y->last & ((1ULL << LAST) - 1)) /
	       (float)last_count(y);
}

void tally_percents(const struct tally *y, us_t now, struct percents *out)
{
	struct traffic *t = y ? y->window : NULL;
	uint64_t attempts = 0, delivered = 0, deferred = 0;

	*out = (struct percents){ -1, -1, -1 };
	if (!y)
		return;
	if (t)
		advance(t, now);
	for (int i = 0; t && i < STEPS; i++) {
		attempts += t->step[i].attempts;
		delivered += t->step[i].delivered;
		deferred += t->step[i].deferred;
	}
	if (attempts >= PERCENT_LEAST) {
		out->transient = 100.0F * (float)deferred / (float)attempts;
		out->permanent =
		    100.0F * (float)(attempts - delivered - deferred) / (float)attempts;
	}
	if (attempts >= LAST)
		out->delivered = 100.0F * (float)delivered / (float)attempts;
	else if (last_count(y) >= PERCENT_LEAST)
		out->delivered = of_last(y);
}

void tally_trend(const struct tally *y, us_t now, uint16_t out[TREND_STEPS])
{
	struct traffic *t = y ? y->window : NULL;

	memset(out, 0, TREND_STEPS * sizeof *out);
	if (!t)
		return;
	advance(t, now);
	for (uint32_t i = 0; i < TREND_STEPS; i++) {
		uint32_t step = (t->second / STEP_S + STEPS - TREND_STEPS + i) % STEPS;
		uint32_t n = t->step[step].attempts; /* × 10 / 10 s */

		out[i] = n > UINT16_MAX ? UINT16_MAX : (uint16_t)n;
	}
}

static bool passed(const struct traffic *t)
{
	for (int i = 0; i < STEPS; i++)
		if (t->step[i].attempts)
			return false;
	return true;
}

static struct look look_at(const struct traffic *t)
{
	struct look x = { .rate = rate_sum(t), .step = t->second / STEP_S };

	for (int i = 0; i < STEPS; i++)
		x.attempts += t->step[i].attempts;
	return x;
}

void tally_shown(const struct tally *y)
{
	if (y && y->window)
		y->window->shown = look_at(y->window);
}

/* Was anything in the trend then, or is now? */
static bool trend_moves(const struct traffic *t)
{
	uint32_t now = t->second / STEP_S, steps = now - t->shown.step;

	if (!steps)
		return false;
	for (uint32_t i = 0; i < TREND_STEPS + steps && i < STEPS; i++)
		if (t->step[(now + STEPS - i) % STEPS].attempts)
			return true;
	return false;
}

/* Of 100,000 queues that got one message each most are empty soon, and their rows change now and
 * then only. What waits or moves is told anew for its other columns, too. */
static bool looks_other(const struct traffic *t)
{
	const struct row_head *row = t->tally->row;
	struct look x = look_at(t);

	if (row->kind != ROW_QUEUE || HEAP_OF(row, const struct queue, row)->queued)
		return true;
	return x.rate != t->shown.rate || x.attempts != t->shown.attempts || trend_moves(t);
}

/* Once a second, a share of all windows: rates of what stopped go down on the screen, and empty
 * windows go away. */
void traffic_second(struct sched *s, int most)
{
	struct link *l;

	for (; most > 0 && (l = list_first(&s->active)); most--) {
		struct traffic *t = LIST_OF(l, struct traffic, active);

		if (t->visited == seconds(s->now))
			return;
		t->visited = seconds(s->now);
		list_del(l);
		list_add(&s->active, l);
		advance(t, s->now);
		if (t->tally->row && looks_other(t))
			row_dirty(s, t->tally->row);
		if (passed(t))
			window_free(s, t);
	}
}

size_t traffic_bytes(void)
{
	return sizeof(struct traffic);
}
