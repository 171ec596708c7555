/* A virtual MTA of PowerMTA may have several addresses in turn; ours has one of a kind. It becomes
 * a pool, and every limit that counted all of its addresses is divided, so that together they do
 * what one did. */
#include <stdio.h>

#include "conf/pmta_priv.h"
#include "conf/value.h"

enum { MADE_MAX = 2000 };

static const char *const numbers[] = { "max-smtp-out", "backoff-max-smtp-out" };
static const char *const rates[] = { "max-msg-rate", "max-connect-rate", "backoff-max-msg-rate" };

static bool in_list(const char *const *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i], name))
			return true;
	return false;
}

static bool is_number(const char *name)
{
	return in_list(numbers, sizeof numbers / sizeof numbers[0], name);
}

static bool is_limit(const char *name)
{
	return is_number(name) || in_list(rates, sizeof rates / sizeof rates[0], name);
}

/* A number's n-th part, at least 1; a rate's exactly: 20/s by 3 is 20/3s. */
static const char *part(struct pmta *im, const struct pmta_entry *e, int n)
{
	struct rate rate;
	int64_t i;
	char text[FMT_SIZE];

	if (is_number(e->name)) {
		if (fmt_parse_int(str_of(e->value), 1, INT32_MAX, &i, NULL))
			return e->value;
		return mem_fmt(&im->mem, "%lld", (long long)(i / n > 0 ? i / n : 1));
	}
	if (fmt_parse_rate(str_of(e->value), &rate, NULL) || rate_unlimited(rate))
		return e->value;
	if (rate.n % n == 0)
		rate.n /= n;
	else
		rate.per *= n;
	fmt_rate(rate, text);
	return mem_z(&im->mem, str_of(text));
}

static int family_of(const struct pmta_entry *e)
{
	return strchr(e->value, ':') && strchr(e->value, ':') < strchr(e->value, ' ') ? 6 : 4;
}

static bool is_host(const struct pmta_entry *e)
{
	return !e->off && !strcmp(e->name, "smtp-source-host");
}

static int hosts_of(const struct pmta_section *x, int family)
{
	int n = 0;

	for (const struct pmta_entry *e = x->first; e; e = e->next)
		n += is_host(e) && family_of(e) == family;
	return n;
}

static bool written(const struct pmta_section *x, const char *name)
{
	const struct pmta_entry *e = pmta_get(x, name);

	return e && e->by;
}

/* What the virtual MTA became: each address is one of ours. */
struct parts {
	const char *whole; /* its name there */
	const char **names;
	int n;
	int made; /* lines, to stop at a bound */
};

static struct pmta_section *narrowed(struct pmta *im, const char *domain, const char *via)
{
	return pmta_section_find(im, "domain", mem_fmt(&im->mem, "%s via %s", domain, via));
}

/* Limits of a domain that stand outside of the virtual MTA, unless it has them in its own words. */
static void narrow(struct pmta *im, const struct pmta_section *domain, struct parts *p)
{
	const struct pmta_section *own = narrowed(im, domain->name, p->whole);
	const struct pmta_section *all = narrowed(im, "*", p->whole);
	/* `* via V` would go before what the providers say. */
	bool everywhere = !strcmp(domain->name, "*");

	for (struct pmta_entry *e = domain->first; e; e = e->next) {
		if (e->off || !is_limit(e->name) || written(own, e->name) || written(all, e->name))
			continue;
		if (everywhere || (p->made += p->n) > MADE_MAX) {
			pmta_say(im, e->by, PMTA_APPROXIMATED,
				 "it counts at each of the %d addresses of %s", p->n, p->whole);
			continue;
		}
		for (int k = 0; k < p->n; k++)
			pmta_set(
			    im, NULL,
			    pmta_section(im, "domain",
					 mem_fmt(&im->mem, "%s via %s", domain->name, p->names[k]),
					 domain->by),
			    e->name, part(im, e, p->n), true);
		pmta_say(im, e->by, PMTA_APPROXIMATED,
			 "divided by the %d addresses of %s in [domain ... via %s] and so on: %s",
			 p->n, p->whole, p->names[0], part(im, e, p->n));
	}
}

/* `X via V` becomes one section for each address. */
static void spread(struct pmta *im, struct pmta_section *x, const char *domain,
		   const struct parts *p)
{
	for (struct pmta_entry *e = x->first; e; e = e->next) {
		const char *value = is_limit(e->name) ? part(im, e, p->n) : e->value;

		if (e->off)
			continue;
		if (e->by)
			e->by->nbecame--;
		for (int k = 0; k < p->n; k++)
			pmta_set(im, e->by,
				 pmta_section(im, "domain",
					      mem_fmt(&im->mem, "%s via %s", domain, p->names[k]),
					      x->by),
				 e->name, value, e->weak);
		if (is_limit(e->name))
			pmta_say(im, e->by, PMTA_APPROXIMATED, "divided by the %d addresses of %s",
				 p->n, p->whole);
	}
	if (x->by)
		x->by->became =
		    mem_fmt(&im->mem, "[domain %s via %s] and so on", domain, p->names[0]);
	x->off = true;
}

/* Limits of domains that counted the virtual MTA as a whole. */
static void divide_domains(struct pmta *im, struct parts *p)
{
	const char *ending = mem_fmt(&im->mem, " via %s", p->whole);
	struct pmta_section *last = im->last_section;

	for (struct pmta_section *x = im->first_section; x; x = x == last ? NULL : x->next)
		if (!strcmp(x->word, "domain") && !x->off && !strstr(x->name, " via "))
			narrow(im, x, p);
	for (struct pmta_section *x = im->first_section; x; x = x == last ? NULL : x->next) {
		const char *via = strstr(x->name, " via ");

		if (strcmp(x->word, "domain") || x->off || !via || !str_ieqz(str_of(via), ending))
			continue;
		spread(im, x, mem_z(&im->mem, (struct str){ x->name, (size_t)(via - x->name) }), p);
	}
}

static const char *free_name(struct pmta *im, const char *base, int k)
{
	const char *name = mem_fmt(&im->mem, "%.*s-%d", CONF_NAME_MAX - 8, base, k);

	while (pmta_section_find(im, "virtual-mta", name) ||
	       pmta_section_find(im, "virtual-mta-pool", name))
		name = mem_fmt(&im->mem, "%.*s-%dx", CONF_NAME_MAX - 10, base, k), k += 1000;
	return name;
}

static void move_host(struct pmta *im, struct pmta_section *from, struct pmta_section *to,
		      int family, int k)
{
	for (struct pmta_entry *e = from->first; e; e = e->next)
		if (is_host(e) && family_of(e) == family && k-- == 0) {
			if (e->by)
				e->by->nbecame = 0; /* where it stands now is said */
			pmta_set(im, e->by, to, e->name, e->value, false);
			return;
		}
}

static void copy_rest(struct pmta *im, struct pmta_section *from, struct pmta_section *to, int n)
{
	for (struct pmta_entry *e = from->first; e; e = e->next) {
		if (e->off || is_host(e))
			continue;
		pmta_set(im, NULL, to, e->name, is_limit(e->name) ? part(im, e, n) : e->value,
			 false);
		if (is_limit(e->name))
			pmta_say(im, e->by, PMTA_APPROXIMATED, "divided by its %d addresses: %s", n,
				 part(im, e, n));
	}
}

/* Members of pools that name it. */
static void rename_member(struct pmta *im, const char *name, const char *list)
{
	for (struct pmta_section *x = im->first_section; x; x = x->next) {
		struct pmta_entry *e =
		    strcmp(x->word, "virtual-mta-pool") ? NULL : pmta_get(x, "members");
		struct str rest = e ? str_of(e->value) : (struct str){ "", 0 }, word;
		const char *all = "";

		while (pmta_element(&rest, &word))
			all = mem_fmt(&im->mem, "%s%s%.*s", all, *all ? ", " : "",
				      str_ieqz(word, name) ? (int)strlen(list) : (int)word.n,
				      str_ieqz(word, name) ? list : word.p);
		if (e)
			e->value = all;
	}
}

static void split(struct pmta *im, struct pmta_section *x)
{
	int n4 = hosts_of(x, 4), n6 = hosts_of(x, 6), n = n4 > n6 ? n4 : n6;
	struct parts p = { x->name, mem_array(&im->mem, (size_t)n, sizeof *p.names), n, 0 };
	struct pmta_section *pool;
	const char *list = "";

	for (int k = 0; k < n; k++) {
		struct pmta_section *one;

		p.names[k] = free_name(im, x->name, k + 1);
		one = pmta_section(im, "virtual-mta", p.names[k], x->by);
		if (k < n4)
			move_host(im, x, one, 4, k);
		if (k < n6)
			move_host(im, x, one, 6, k);
		copy_rest(im, x, one, n);
		list = mem_fmt(&im->mem, "%s%s%s", list, *list ? ", " : "", p.names[k]);
	}
	x->off = true;
	rename_member(im, x->name, list);
	pool = pmta_section(im, "virtual-mta-pool", x->name, x->by);
	pmta_set(im, NULL, pool, "members", list, true);
	if (x->by) {
		x->by->nbecame = 1;
		x->by->became =
		    mem_fmt(&im->mem, "[virtual-mta-pool %s] members = %s", x->name, list);
	}
	pmta_say(im, x->by, PMTA_APPROXIMATED, "a virtual MTA of several addresses is a pool here");
	divide_domains(im, &p);
}

/* Each smtp-source-host of [mta] is a virtual MTA of the pool default: default1, default2 ... */
static void split_default(struct pmta *im)
{
	const struct pmta_section *m = pmta_section_find(im, "mta", "");
	int n = m ? hosts_of(m, 4) + hosts_of(m, 6) : 0;
	struct parts p = { "default", mem_array(&im->mem, (size_t)n, sizeof *p.names), n, 0 };

	for (int k = 0; k < n; k++)
		p.names[k] = mem_fmt(&im->mem, "default%d", k + 1);
	if (n > 1)
		divide_domains(im, &p);
}

void pmta_hosts(struct pmta *im)
{
	struct pmta_section *last = im->last_section;

	for (struct pmta_section *x = im->first_section; x; x = x == last ? NULL : x->next)
		if (!x->off && !strcmp(x->word, "virtual-mta") &&
		    (hosts_of(x, 4) > 1 || hosts_of(x, 6) > 1))
			split(im, x);
	split_default(im);
}
