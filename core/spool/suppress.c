#include "core/spool/suppress.h"

#include "core/base/log.h"

static const us_t DOMAIN_APART = US_PER_DAY; /* the DNS may be ill for a day */
static const us_t DOMAIN_KEPT = 90 * US_PER_DAY;
#define FORMAT_SOFT   "soft" /* `format` of an EVENT_SUPPRESSED that no single failure led to */
#define FORMAT_MANUAL "manual"

/* ---- what is it? ---- */

/* "4.2.2" or "5.2.2" as a word: the mailbox is full, whatever made the last attempt the last. */
static bool says_full(struct str reply)
{
	for (size_t i = 0; i + 5 <= reply.n; i++) {
		const char *p = reply.p + i;

		if ((p[0] == '4' || p[0] == '5') && !memcmp(p + 1, ".2.2", 4) &&
		    (i == 0 || p[-1] == ' ' || p[-1] == '-') &&
		    (i + 5 == reply.n || p[5] == ' ' || p[5] == '\n'))
			return true;
	}
	return false;
}

static bool counts_as_soft(const struct event *ev)
{
	static const char *const categories[] = { "quota-issues", "inactive-mailbox",
						  "bad-mailbox" };

	if (ev->type == EVENT_EXPIRED)
		return says_full(ev->reply);
	for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++)
		if (str_eqz(ev->category, categories[i]))
			return true;
	return false;
}

/* 0: nothing. */
static enum suppress_why why_of(const struct conf_suppression *c, const struct event *ev)
{
	bool failed = ev->type == EVENT_BOUNCED || ev->type == EVENT_REMOTE_BOUNCED;

	if (ev->type == EVENT_COMPLAINT)
		return c->on & CONF_SUPPRESS_COMPLAINT ? SUPPRESS_COMPLAINT : 0;
	if (failed && ev->hard)
		return c->on & CONF_SUPPRESS_HARD ? SUPPRESS_HARD : 0;
	if ((failed || ev->type == EVENT_EXPIRED) && c->soft_limit && counts_as_soft(ev))
		return SUPPRESS_SOFT;
	return 0;
}

/* ---- often enough? ---- */

static bool counted(struct suppression *l, const struct suppression_key *k, const struct event *ev,
		    us_t within, us_t keep, unsigned *n, us_t *first)
{
	/* a recipient twice in one message is two recipients of one failure */
	if (suppression_count_failure(l, k, ev->message, ev->at, ev->at - within, keep, n, first))
		return true;
	log_error("suppression: no memory to count a failure");
	return false;
}

static bool often_enough(struct suppression *l, const struct conf_suppression *c,
			 const struct suppression_key *k, const struct event *ev,
			 enum suppress_why why)
{
	unsigned n = 0;
	us_t first = ev->at;

	if (why == SUPPRESS_SOFT)
		return counted(l, k, ev, c->soft_within, c->soft_within, &n, &first) &&
		       n >= (unsigned)c->soft_limit;
	if (why == SUPPRESS_HARD && str_eqz(ev->category, "bad-domain"))
		return counted(l, k, ev, DOMAIN_KEPT, DOMAIN_KEPT, &n, &first) && n >= 2 &&
		       ev->at - first >= DOMAIN_APART;
	return true;
}

/* ---- onto the list ---- */

static us_t until_of(const struct conf_suppression *c, us_t at)
{
	return c->expire_after == US_NEVER ? US_NEVER : at + c->expire_after;
}

static bool there_already(struct suppression *l, const struct suppression_key *k, us_t now,
			  us_t until)
{
	struct suppression_key all = *k;
	struct suppression_found f;

	if (suppression_get(l, k, &f) && f.e.until > now && f.e.until >= until)
		return true;
	all.n = all.base;
	return suppression_get(l, &all, &f) && f.e.until > now && f.e.until >= until;
}

static struct suppression_entry entry_of(const struct conf_suppression *c, const struct event *ev,
					 enum suppress_why why)
{
	return (struct suppression_entry){ .why = why,
					   .at = ev->at,
					   .until = until_of(c, ev->at),
					   .message = ev->message,
					   .category = ev->category,
					   .words = ev->reply };
}

bool suppress_event(struct suppression *l, struct spool *s, const struct conf_suppression *c,
		    const struct event *ev)
{
	enum suppress_why why = why_of(c, ev);
	struct suppression_entry e;
	struct suppression_key k;
	struct event told = *ev;
	char domain[DOMAIN_SIZE];
	struct str scope = STR_LIT("");

	if (!why)
		return false;
	if (c->scope == CONF_SUPPRESS_FOR_SENDER) {
		scope = suppression_scope(ev->sender, domain);
		if (!scope.n)
			return false;
	}
	e = entry_of(c, ev, why);
	if (suppression_key(ev->recipient, scope, &k) || there_already(l, &k, ev->at, e.until) ||
	    !often_enough(l, c, &k, ev, why))
		return false;
	told.type = EVENT_SUPPRESSED;
	told.scope = scope;
	told.next_attempt = 0;
	if (why == SUPPRESS_SOFT)
		told.format = STR_LIT(FORMAT_SOFT);
	if (suppression_put(l, &k, &e) && spool_event(s, &told))
		return true;
	log_error("suppression: no memory to put %.*s on the list", (int)ev->recipient.n,
		  ev->recipient.p);
	return false;
}

static enum suppress_why why_again(const struct event *ev)
{
	if (str_eqz(ev->format, FORMAT_SOFT))
		return SUPPRESS_SOFT;
	if (ev->feedback_type.n || (ev->hard && str_eqz(ev->category, "spam-related")))
		return SUPPRESS_COMPLAINT;
	return SUPPRESS_HARD;
}

bool suppress_again(struct suppression *l, const struct conf_suppression *c, const struct event *ev)
{
	struct suppression_key k;
	struct suppression_entry e;

	if (ev->type != EVENT_SUPPRESSED || str_eqz(ev->format, FORMAT_MANUAL) ||
	    suppression_key(ev->recipient, ev->scope, &k))
		return true; /* by hand: it was on the list before it was told */
	e = entry_of(c, ev, why_again(ev));
	return suppression_put(l, &k, &e);
}
