/* Rates against their thresholds: alarms, and jobs that are held. */
#include <stdio.h>
#include <string.h>

#include "core/report/counters_inner.h"

/* Twice the bounce rate that is a warning is red. */
enum { RED_BOUNCES = 2, TEXT_BYTES = 200 };

static const char *const codes[RATES] = { "bounce-rate", "complaint-rate" };

struct rate_seen {
	uint64_t bad, of;
	double rate; /* negative: too few to say */
	const char *over;
};

static void see(enum rate_kind k, const uint64_t n[WHATS], struct rate_seen *out)
{
	bool enough;

	if (k == RATE_BOUNCE) {
		out->bad = n[HARMFUL];
		out->of = n[DELIVERED] + n[FAILED];
		enough = out->of >= COUNTERS_BOUNCE_LEAST;
	} else {
		out->bad = n[COMPLAINTS];
		out->of = n[DELIVERED];
		enough =
		    out->of >= COUNTERS_COMPLAINT_LEAST && out->bad >= COUNTERS_COMPLAINTS_LEAST;
	}
	out->rate = enough ? (double)out->bad / (double)out->of : -1;
}

static void see_window(const struct party *p, enum rate_kind k, struct rate_seen *out)
{
	uint64_t n[WHATS];

	for (int i = 0; i < WHATS; i++)
		n[i] = k == RATE_BOUNCE ? window_hour(&p->w[i]) : window_day(&p->w[i]);
	see(k, n, out);
	out->over = k == RATE_BOUNCE ? "in the last hour" : "in a day";
}

static void see_for_hold(const struct party *p, enum rate_kind k, struct rate_seen *out)
{
	if (!p->held) {
		see_window(p, k, out);
		return;
	}
	see(k, p->fresh, out);
	out->over = "since it was held";
}

static void describe(const struct rate_seen *s, enum rate_kind k, double limit, char *out)
{
	snprintf(out, TEXT_BYTES, "%s %.2f%%: %llu of %llu %s %s (limit %g%%)",
		 k == RATE_BOUNCE ? "bounce rate" : "complaint rate", 100 * s->rate,
		 (unsigned long long)s->bad, (unsigned long long)s->of,
		 k == RATE_BOUNCE ? "recipients" : "delivered", s->over, 100 * limit);
}

struct judging {
	us_t now;
	const struct conf_alarm *a;
	void (*fn)(void *arg, const struct counters_word *w);
	void *arg;
};

/* 0: under all thresholds. */
static int severity_of(const struct conf_alarm *a, enum rate_kind k, double rate, double *limit)
{
	double yellow = k == RATE_BOUNCE ? a->bounce_rate : a->complaint_warn;
	double red = k == RATE_BOUNCE ? a->bounce_rate * RED_BOUNCES : a->complaint_red;

	*limit = yellow;
	if (yellow <= 0 || rate < yellow)
		return 0;
	if (rate < red)
		return 2;
	*limit = red;
	return 1;
}

static void say(const struct judging *j, const struct party *p, struct counters_word w)
{
	struct buf target;

	buf_init(&target);
	party_target(p, &target);
	w.target = w.type == COUNTERS_HOLD ? p->key : buf_str(&target);
	j->fn(j->arg, &w);
	buf_free(&target);
}

static void judge_alarm(const struct judging *j, struct party *p, enum rate_kind k)
{
	struct judged *was = &p->judged[k];
	struct rate_seen s;
	char text[TEXT_BYTES];
	double limit;
	int severity;

	see_window(p, k, &s);
	severity = severity_of(j->a, k, s.rate, &limit);
	if (!severity) {
		was->over_since = 0;
		if (was->raised)
			say(j, p, (struct counters_word){ .type = COUNTERS_END, .code = codes[k] });
		was->raised = 0;
		return;
	}
	if (!was->over_since)
		was->over_since = j->now;
	if (j->now - was->over_since < j->a->after)
		return;
	describe(&s, k, limit, text);
	was->raised = severity;
	say(j, p,
	    (struct counters_word){
		.type = COUNTERS_RAISE, .code = codes[k], .severity = severity, .text = text });
}

/* Our own reports and alarms are nobody's campaign. */
static bool may_be_held(const struct party *p)
{
	return p->kind == REPUTATION_JOB && !str_istarts(p->key, "stoker/") &&
	       strcmp(p->name, OTHER) != 0;
}

static void judge_hold(const struct judging *j, struct party *p, enum rate_kind k)
{
	double limit = k == RATE_BOUNCE ? j->a->hold.bounces : j->a->hold.complaints;
	struct judged *was = &p->judged[k];
	struct rate_seen s;
	char text[TEXT_BYTES];

	see_for_hold(p, k, &s);
	if (limit <= 0 || s.rate < limit) {
		was->hold_since = 0;
		return;
	}
	if (!was->hold_since)
		was->hold_since = j->now;
	if (j->now - was->hold_since < j->a->after)
		return;
	describe(&s, k, limit, text);
	was->hold_since = 0;
	p->held = true;
	memset(p->fresh, 0, sizeof p->fresh);
	p->unsaved = true;
	say(j, p, (struct counters_word){ .type = COUNTERS_HOLD, .code = codes[k], .text = text });
}

void counters_judge(struct counters *c, us_t now, const struct conf_alarm *a,
		    void (*fn)(void *arg, const struct counters_word *w), void *arg)
{
	const struct judging j = { now, a, fn, arg };

	OBJ_CHECK(c, COUNTERS_MAGIC);
	for (int kind = 0; kind < REPUTATION_KINDS; kind++)
		for (struct party *p = c->first[kind]; p; p = p->next) {
			party_advance(p, now / US_PER_MIN);
			for (int k = 0; k < RATES; k++) {
				if (strcmp(p->name, OTHER) != 0)
					judge_alarm(&j, p, (enum rate_kind)k);
				if (may_be_held(p))
					judge_hold(&j, p, (enum rate_kind)k);
			}
		}
}
