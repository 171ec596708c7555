#include "core/sched/rate.h"

#include <string.h>

enum { NS_PER_US = 1000, SLOT_US = 8000 };

/* One stall makes many permits late at once, and is no reason to be early for long: the lead rises
 * by no more than LEAD_STEP in LEAD_RAISE, which is longer than it takes to see what that did. */
#define LEAD_STEP_US  (5 * US_PER_MS)
#define LEAD_SPARE_US US_PER_MS
#define LEAD_MOST_US  (500 * US_PER_MS)
#define LEAD_RAISE_US (100 * US_PER_MS)
#define LEAD_HOLD_US  (30 * US_PER_S)
enum { LEAD_FALL = 1000 }; /* 1 us in so many */

static int64_t ns(us_t t)
{
	return t * NS_PER_US;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* How long until full; 0: full. */
static int64_t to_full(const struct bucket *b, us_t now)
{
	return larger(0, b->full_ns - ns(now));
}

static void forget_slack(struct bucket *b, us_t now)
{
	b->slot = now / SLOT_US;
	for (int i = 0; i < SLACK_SLOTS; i++)
		b->slack_ns[i] = INT64_MAX;
}

void bucket_set(struct bucket *b, struct rate rate, us_t now)
{
	int64_t missing_ns = to_full(b, now), old_step = b->step_ns;

	if (rate.n == b->rate.n && rate.per == b->rate.per)
		return;
	b->rate = rate;
	forget_slack(b, now);
	b->step_ns = rate.n ? (ns(rate.per) + rate.n - 1) / rate.n : 0;
	b->cap_ns = larger(b->step_ns + ns(PERMIT_LIFE_US), ns(BUCKET_SPAN_US));
	if (!b->step_ns)
		return;
	/* Rounded down to whole tokens, so that a slow rate never starts with a longer wait than
	 * its own. */
	if (old_step)
		b->full_ns = ns(now) + smaller(b->cap_ns, missing_ns / old_step * b->step_ns);
	if (b->last)
		b->full_ns = larger(b->full_ns, ns(b->last) + b->cap_ns);
}

int64_t bucket_tokens(const struct bucket *b, us_t now)
{
	if (!b->step_ns)
		return INT64_MAX;
	return larger(0, (b->cap_ns - to_full(b, now)) / b->step_ns);
}

us_t bucket_when(const struct bucket *b, us_t now, int64_t n)
{
	int64_t at;

	if (!b->step_ns)
		return now;
	at = b->full_ns - b->cap_ns + n * b->step_ns;
	return larger(now, (at + NS_PER_US - 1) / NS_PER_US);
}

static void note_slack(struct bucket *b, us_t now, int64_t slack)
{
	int64_t slot = now / SLOT_US;

	if (slot - b->slot >= SLACK_SLOTS)
		forget_slack(b, now);
	while (b->slot < slot)
		b->slack_ns[++b->slot % SLACK_SLOTS] = INT64_MAX;
	b->slack_ns[slot % SLACK_SLOTS] = smaller(b->slack_ns[slot % SLACK_SLOTS], slack);
}

void bucket_take(struct bucket *b, us_t now, int64_t n)
{
	if (!b->step_ns || n <= 0)
		return;
	note_slack(b, now, to_full(b, now));
	b->full_ns = larger(b->full_ns, ns(now)) + n * b->step_ns;
	b->last = now;
}

/* The least slack since `taken`: what the bucket could have held more in all that time. */
static int64_t least_slack(const struct bucket *b, us_t now, us_t taken)
{
	int64_t from = taken / SLOT_US, least = to_full(b, now);

	if (taken == b->last)
		return least;
	if (now / SLOT_US - from >= SLACK_SLOTS || b->slot - from >= SLACK_SLOTS)
		return 0;
	for (int64_t i = from; i <= b->slot; i++)
		least = smaller(least, b->slack_ns[i % SLACK_SLOTS]);
	return least;
}

void bucket_give_back(struct bucket *b, us_t now, us_t taken, int64_t n)
{
	int64_t back;

	if (!b->step_ns || n <= 0)
		return;
	back = smaller(n * b->step_ns, least_slack(b, now, taken));
	if (back <= 0)
		return;
	b->full_ns -= back;
	for (int64_t i = taken / SLOT_US; i <= b->slot; i++)
		if (b->slot - i < SLACK_SLOTS && b->slack_ns[i % SLACK_SLOTS] != INT64_MAX)
			b->slack_ns[i % SLACK_SLOTS] -= back;
}

void bucket_restore(struct bucket *b, us_t last)
{
	if (!b->step_ns || last <= b->last)
		return;
	b->last = last;
	b->full_ns = larger(b->full_ns, ns(last) + b->cap_ns);
}

void bucket_refill(struct bucket *b, us_t last, int64_t full_ns)
{
	if (!b->step_ns)
		return;
	b->last = last;
	b->full_ns = larger(b->full_ns, full_ns);
}

void bucket_hold(struct bucket *b, us_t until)
{
	if (b->step_ns)
		b->full_ns = larger(b->full_ns, ns(until) + b->cap_ns - b->step_ns);
}

bool bucket_idle(const struct bucket *b, us_t now)
{
	return !b->step_ns || to_full(b, now) == 0;
}

us_t lead_now(const struct lead *l, us_t now)
{
	us_t fallen = larger(0, now - l->raised_at - LEAD_HOLD_US) / LEAD_FALL;

	return larger(0, l->us - fallen);
}

void lead_late(struct lead *l, us_t now, us_t late)
{
	if (late <= 0 || (l->raised_at && now < l->raised_at + LEAD_RAISE_US))
		return;
	l->us =
	    smaller(LEAD_MOST_US, lead_now(l, now) + smaller(late, LEAD_STEP_US) + LEAD_SPARE_US);
	l->raised_at = now;
}
