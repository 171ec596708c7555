/* PowerMTA warms an address up by counts a day: of the mail of a warm virtual MTA (or a pool), the
 * first so many messages to each domain go by the cold one. Ours is a member of the same pools,
 * with a [warmup] that caps it at each receiver. */
#include <string.h>

#include "conf/pmta_priv.h"

enum { HOURS = 24 };
#define FACTOR_MOST 10.0

struct law {			    /* N/day[,N/day...] */
	double first, second, last; /* a day; 0: not given */
};

static bool parse_law(struct pmta_stmt *s, struct law *out)
{
	struct str list = s->value, word;
	struct rate rate;

	*out = (struct law){ 0 };
	while (pmta_element(&list, &word)) {
		double n;

		if (fmt_parse_rate(word, &rate, NULL) || rate_unlimited(rate))
			return false;
		n = rate_per_s(rate) * 3600 * HOURS;
		if (!(out->first > 0))
			out->first = n;
		else if (!(out->second > 0))
			out->second = n;
		out->last = n;
	}
	return out->first > 0;
}

static bool is_law(const struct pmta_stmt *s)
{
	return !s->opens && str_ieqz(s->name, "max-cold-virtual-mta-msg");
}

/* The one for all domains, else the first. */
static struct pmta_stmt *choose(struct pmta *im, struct law *law)
{
	struct pmta_stmt *best = NULL;
	bool for_all = false;

	for (struct pmta_stmt *s = im->first; s; s = s->next) {
		bool all = is_law(s) && (!s->in || str_eqz(s->in->arg, "*"));
		struct law one;

		if (!is_law(s) || (best && (for_all || !all)) || !parse_law(s, &one))
			continue;
		best = s;
		for_all = all;
		*law = one;
	}
	return best;
}

static const char *an_hour(struct pmta *im, double a_day)
{
	long long n = (long long)(a_day / HOURS);

	return mem_fmt(&im->mem, "%lld/h", n > 0 ? n : 1);
}

static void write_law(struct pmta *im, struct pmta_stmt *s, const struct law *law, const char *name)
{
	struct pmta_section *x = pmta_section(im, "warmup", name, s);
	double factor = law->second > 0 ? law->second / law->first : 0;

	if (pmta_get(x, "start"))
		return;
	pmta_set(im, s, x, "start", an_hour(im, law->first), false);
	pmta_say(im, s, PMTA_APPROXIMATED,
		 "[warmup] counts by the hour (a 24th of the day) and for each provider, and goes "
		 "on only while few bounce");
	if (!(factor > 1)) {
		pmta_say(im, s, PMTA_APPROXIMATED,
			 "the same number every day would never end: it doubles every 48 hours");
		return;
	}
	if (factor > FACTOR_MOST)
		factor = FACTOR_MOST;
	pmta_set(im, NULL, x, "factor", mem_fmt(&im->mem, "%.2f", factor), false);
	pmta_set(im, NULL, x, "every", "24h", false);
	if (law->last > law->first)
		pmta_set(im, NULL, x, "until", an_hour(im, law->last), false);
}

/* In each pool that holds `warm` (or is it), once. */
static bool join_pools(struct pmta *im, const char *warm, const char *cold)
{
	bool any = false;

	for (struct pmta_section *x = im->first_section; x; x = x->next) {
		struct pmta_entry *e =
		    !x->off && !strcmp(x->word, "virtual-mta-pool") ? pmta_get(x, "members") : NULL;
		struct str list = e ? str_of(e->value) : (struct str){ "", 0 }, word;
		bool holds = e && str_ieqz(str_of(x->name), warm), has = false;

		while (pmta_element(&list, &word)) {
			holds |= str_ieqz(word, warm);
			has |= str_ieqz(word, cold);
		}
		if (!holds)
			continue;
		any = true;
		if (!has)
			e->value = mem_fmt(&im->mem, "%s, %s", e->value, cold);
	}
	return any;
}

static void warm_up(struct pmta *im, struct pmta_stmt *s, struct pmta_stmt *by,
		    const struct law *law)
{
	struct str rest = s->value, word = { "", 0 }, more;
	const char *cold = pmta_word(&rest, &word) ? pmta_name(im, s, word) : NULL;
	struct pmta_section *x = cold ? pmta_section_find(im, "virtual-mta", cold) : NULL;

	if (pmta_word(&rest, &more) || (!x && word.n && memchr(word.p, '/', word.n))) {
		pmta_say(
		    im, s, PMTA_DROPPED,
		    "the form of before 4.5: write a [virtual-mta] for the address, with warmup");
	} else if (!x) {
		pmta_say(im, s, PMTA_DROPPED, "there is no virtual MTA %s", cold ? cold : "");
	} else if (!by) {
		pmta_say(im, s, PMTA_DROPPED,
			 "without max-cold-virtual-mta-msg nothing goes by it in PowerMTA");
	} else {
		write_law(im, by, law, x->name);
		pmta_set(im, s, x, "warmup", x->name, true);
		if (s->in && s->in->route && join_pools(im, s->in->route, x->name))
			pmta_say(
			    im, s, PMTA_APPROXIMATED,
			    "it is a member of the pools of %s: its cap says how much goes by it",
			    s->in->route);
		else
			pmta_say(
			    im, s, PMTA_APPROXIMATED,
			    "mail goes by it from a pool only: write [virtual-mta-pool] members = "
			    "%s, %s and use that",
			    s->in && s->in->route ? s->in->route : "...", x->name);
	}
}

/* Before what pools hold is taken apart. */
void pmta_cold(struct pmta *im)
{
	struct law law = { 0 };
	struct pmta_stmt *by = choose(im, &law), *last = im->last;
	bool any = false;

	for (struct pmta_stmt *s = im->first; s; s = s == last ? NULL : s->next)
		if (!s->opens && str_ieqz(s->name, "cold-virtual-mta") && s->in &&
		    s->verdict != PMTA_DROPPED) {
			any = true;
			warm_up(im, s, by, &law);
		}
	for (struct pmta_stmt *s = im->first; s; s = s == last ? NULL : s->next) {
		if (!is_law(s) || s->nbecame || s->verdict == PMTA_DROPPED)
			continue;
		if (!any || s == by)
			pmta_say(im, s, PMTA_DROPPED,
				 "no cold-virtual-mta stands for it, so nothing happens by it");
		else
			pmta_say(im, s, PMTA_DROPPED,
				 by ? "[warmup] has one law for all receivers: %s:%d counts"
				    : "it says nothing",
				 by ? by->file : "", by ? by->line : 0);
	}
}
