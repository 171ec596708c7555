/* When a recipient is tried again, and when it is given up. */
#include "core/sched/inner.h"

enum { JITTER_PERCENT = 10, GREYLIST_TIMES = 5 };

/* ±10 %, the same for all recipients of a message at the same attempt, so that they stay in one
 * transaction. */
static us_t jitter(const struct sched *s, const struct rcpt *r, us_t wait)
{
	uint64_t h = table_mix(rcpt_msg(r)->id ^ s->opts.seed ^ (uint64_t)r->attempts << 48);
	us_t span = wait / 100 * JITTER_PERCENT;

	return span > 0 ? wait - span + (us_t)(h % (uint64_t)(2 * span + 1)) : wait;
}

static us_t step(const struct settings *set, uint32_t n)
{
	uint32_t last = (uint32_t)set->nretry;

	if (!last)
		return US_PER_HOUR;
	return set->retry[n < last ? n : last - 1];
}

static us_t wait_of(struct sched *s, const struct rcpt *r, const struct txn_rcpt *tr)
{
	const struct settings *set = r->queue->set;
	const struct pattern *p = tr->verdict.pattern;
	us_t wait = set ? step(set, r->attempts) : US_PER_HOUR;

	if (p && (p->does.acts & DO_RETRY_IN))
		return p->does.retry_in;
	if (p && (p->does.acts & DO_SKIP_MX) && r->queue->hosts && r->queue->hosts->mx &&
	    hosts_has_other(s, r->queue->hosts->mx))
		return 0; /* at another MX, at once */

	if (tr->verdict.class != CLASS_GREYLIST || r->attempts >= GREYLIST_TIMES)
		return jitter(s, r, wait);
	/* A greylist opens at a fixed time: six minutes are past the usual five, and jitter would
	 * only be early or late. */
	return wait < PATTERN_GREYLIST ? jitter(s, r, wait) : PATTERN_GREYLIST;
}

/* Deferred with a time, or expired because no further attempt lies before its end. */
enum decision retry_decide(struct sched *s, struct rcpt *r, struct txn_rcpt *tr)
{
	if (queue_expiry(r->queue, r) <= s->now)
		return DECIDE_EXPIRED;
	tr->due = s->now + wait_of(s, r, tr);
	return DECIDE_DEFERRED;
}

/* The others of its message in this queue that are as old: one report, one commit. */
static uint32_t same_message(struct rcpt *r, struct rcpt **v, uint32_t most)
{
	const struct msg *m = rcpt_msg(r);
	uint32_t n = 0;

	for (; r && n < most && rcpt_msg(r) == m; r = r->newer)
		if (r->phase != PHASE_OUT)
			v[n++] = r;
	return n;
}

static struct rstr *expired_text(const struct rcpt *r)
{
	char age[FMT_SIZE];
	us_t limit = r->queue->set ? r->queue->set->bounce_after : 0;

	fmt_duration(limit, age);
	if (r->reply)
		return rstr_newf("not delivered within %s; the last answer was: %.*s", age,
				 (int)r->reply->len, r->reply->text);
	return rstr_newf("not delivered within %s", age);
}

void retry_expire(struct sched *s, struct rcpt *r)
{
	struct rcpt *v[TXN_RCPTS_MAX];
	struct rstr *text = expired_text(r);
	uint32_t n = same_message(r, v, TXN_RCPTS_MAX);

	result_make(s, v, n, DECIDE_EXPIRED, "4.4.7", text);
	rstr_unref(text);
}

/* ---- the DNS says no ---- */

static const struct {
	enum dns_status status;
	const char *enhanced, *text;
} negatives[] = {
	{ DNS_NXDOMAIN, "5.1.2", "the domain does not exist" },
	{ DNS_NO_HOST, "5.1.2", "the domain has neither an MX nor an address" },
	{ DNS_NULL_MX, "5.1.10", "the domain says that it takes no mail (null MX)" },
	{ DNS_LOOP, "5.4.6", "the domain's best MX is this server itself" },
};

void hosts_bounce(struct sched *s, struct rcpt *r)
{
	const struct hosts *h = r->queue->hosts;
	struct rcpt *v[TXN_RCPTS_MAX];
	struct rstr *text;
	uint32_t n = 0;
	size_t i = 0;
	struct rcpt *first = r;

	while (i + 1 < sizeof negatives / sizeof negatives[0] && negatives[i].status != h->status)
		i++;
	do {
		v[n++] = r;
		r = r->ready.next;
	} while (n < TXN_RCPTS_MAX && r != first && rcpt_msg(r) == rcpt_msg(first));
	text = rstr_newf("%s: %s", rstr_str(r->queue->domain->name).p, negatives[i].text);
	result_make(s, v, n, DECIDE_BOUNCED, negatives[i].enhanced, text);
	rstr_unref(text);
}
