/* What PowerMTA has without a word, and names that are used and not defined: each gets a section
 * that is as empty as ours may be, and is reported. */
#include "conf/pmta_priv.h"
#include "conf/value.h"

struct pmta_stmt *pmta_remark(struct pmta *im, const char *about)
{
	struct pmta_stmt *s = mem_alloc(&im->mem, sizeof *s);

	*s = (struct pmta_stmt){ .file = im->shown, .name = str_of(about), .value = { "", 0 } };
	s->verdict = PMTA_APPROXIMATED;
	if (im->last)
		im->last->next = s;
	else
		im->first = s;
	im->last = s;
	return s;
}

static bool is(const struct pmta_section *x, const char *word)
{
	return !x->off && !strcmp(x->word, word);
}

static bool has(const struct pmta *im, const char *word)
{
	for (const struct pmta_section *x = im->first_section; x; x = x->next)
		if (is(x, word))
			return true;
	return false;
}

static struct pmta_section *mta(struct pmta *im)
{
	return pmta_section(im, "mta", "", NULL);
}

/* ---- sources ---- */

static bool net_of(const struct pmta_section *x, struct endpoint *net, int *prefix)
{
	struct errbuf e;
	bool is_net = false;

	return parse_net(str_of(x->name), net, prefix, &is_net, &e) && is_net;
}

static bool holds(const struct endpoint *wide, int bits, const struct endpoint *net)
{
	const uint8_t *a = wide->sa.sa_family == AF_INET ? (const uint8_t *)&wide->in4.sin_addr
							 : wide->in6.sin6_addr.s6_addr;
	const uint8_t *b = net->sa.sa_family == AF_INET ? (const uint8_t *)&net->in4.sin_addr
							: net->in6.sin6_addr.s6_addr;

	if (wide->sa.sa_family != net->sa.sa_family || memcmp(a, b, (size_t)bits / 8))
		return false;
	return bits % 8 == 0 || !((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8));
}

/* The next wider source that holds x; NULL. */
static struct pmta_section *around(struct pmta *im, const struct pmta_section *x)
{
	struct pmta_section *best = NULL;
	struct endpoint net, wide;
	int prefix, bits, most = -1;

	if (!net_of(x, &net, &prefix))
		return NULL;
	for (struct pmta_section *y = im->first_section; y; y = y->next)
		if (y != x && is(y, "source") && net_of(y, &wide, &bits) && bits < prefix &&
		    bits > most && holds(&wide, bits, &net)) {
			best = y;
			most = bits;
		}
	return best;
}

/* Sources of PowerMTA merge, the narrower over the wider; ours don't. */
static void inherit(struct pmta *im, struct pmta_section *x)
{
	for (struct pmta_section *y = around(im, x); y; y = around(im, y)) {
		struct pmta_entry *last = y->last;

		for (struct pmta_entry *e = y->first; e; e = e == last ? NULL : e->next)
			if (!e->off && !pmta_get(x, e->name))
				pmta_set(im, e->by, x, e->name, e->value, true);
	}
}

/* <source {pickup}> says the route of pickup directories. */
static void pickup_source(struct pmta *im)
{
	struct pmta_section *x = pmta_section_find(im, "source", "pickup");
	struct pmta_entry *route = pmta_get(x, "default-virtual-mta");

	if (!x)
		return;
	for (struct pmta_entry *e = x->first; e; e = e->next)
		if (e->by) {
			e->by->nbecame = 0;
			e->by->became = NULL;
			if (e != route)
				pmta_say(im, e->by, PMTA_DROPPED, "[pickup] has no such directive");
		}
	for (struct pmta_section *y = im->first_section; y && route; y = y->next)
		if (is(y, "pickup"))
			pmta_set(im, route->by, y, "virtual-mta", route->value, true);
	if (route && route->by && !route->by->nbecame)
		pmta_say(im, route->by, PMTA_DROPPED, "there is no pickup directory");
	x->off = true;
}

/* ---- names ---- */

static bool is_route(struct pmta *im, const char *name)
{
	return pmta_section_find(im, "virtual-mta", name) ||
	       pmta_section_find(im, "virtual-mta-pool", name);
}

static const char *all_virtual_mtas(struct pmta *im)
{
	struct pmta_section *m = mta(im);
	const char *all = "";
	int n = 0;

	for (struct pmta_section *x = im->first_section; x; x = x->next)
		if (is(x, "virtual-mta"))
			all = mem_fmt(&im->mem, "%s%s%s", all, *all ? ", " : "", x->name);
	for (struct pmta_entry *e = *all ? NULL : m->first; e; e = e->next)
		if (!e->off && !strcmp(e->name, "smtp-source-host"))
			all = mem_fmt(&im->mem, "%s%sdefault%d", all, n ? ", " : "", n + 1), n++;
	return all;
}

static void need_route(struct pmta *im, struct pmta_stmt *by, const char *name)
{
	struct pmta_section *x;
	const char *all;

	if (is_route(im, name) || str_ieqz(str_of(name), "default"))
		return;
	all = all_virtual_mtas(im);
	x = pmta_section(im, "virtual-mta-pool", name, by);
	pmta_set(im, NULL, x, "members", all, true);
	pmta_say(
	    im, by, PMTA_APPROXIMATED,
	    "nothing defines %s: [virtual-mta-pool %s] is made, of all addresses that there are",
	    name, name);
}

static void need_source(struct pmta *im, struct pmta_stmt *by, const char *name)
{
	if (pmta_section_find(im, "source", name))
		return;
	pmta_section(im, "source", name, by);
	pmta_say(im, by, PMTA_APPROXIMATED,
		 "nothing defines %s: [source %s] is made, which allows nothing", name, name);
}

static void need_patterns(struct pmta *im, struct pmta_stmt *by, const char *name)
{
	struct pmta_section *x = pmta_section_find(im, "pattern-list", name);

	if (str_ieqz(str_of(name), "default") || (x && pmta_get(x, "reply")))
		return;
	x = pmta_section(im, "pattern-list", name, by);
	pmta_set(im, NULL, x, "reply", "include default", true);
	pmta_say(im, by, PMTA_APPROXIMATED,
		 "nothing defines %s: [pattern-list %s] is made, which is the one that comes with "
		 "Stoker",
		 name, name);
}

static void need_names(struct pmta *im)
{
	static const char via[] = " via ";

	for (struct pmta_section *x = im->first_section; x; x = x->next) {
		const char *route =
		    !x->off && !strcmp(x->word, "domain") ? strstr(x->name, via) : NULL;

		if (route)
			need_route(im, x->by, route + sizeof via - 1);
		for (struct pmta_entry *e = x->off ? NULL : x->first; e; e = e->next) {
			if (e->off)
				continue;
			if (!strcmp(e->name, "default-virtual-mta") ||
			    !strcmp(e->name, "virtual-mta"))
				need_route(im, e->by, e->value);
			else if (!strcmp(e->name, "smtp-pattern-list"))
				need_patterns(im, e->by, e->value);
			else if (!strcmp(e->name, "source"))
				need_source(im, e->by, e->value);
		}
	}
}

/* A pool's members as virtual MTAs that there are, each once. */
static const char *flat(struct pmta *im, struct pmta_entry *e, const char *list, const char *so_far,
			int depth)
{
	struct str rest = str_of(list), word;

	while (pmta_element(&rest, &word)) {
		const char *name = mem_z(&im->mem, word);
		struct pmta_entry *inner =
		    pmta_get(pmta_section_find(im, "virtual-mta-pool", name), "members");
		struct str seen = str_of(so_far), one;
		bool twice = false;

		while (pmta_element(&seen, &one))
			twice = twice || str_ieq(one, word);
		if (twice)
			continue;
		if (pmta_section_find(im, "virtual-mta", name)) {
			so_far = mem_fmt(&im->mem, "%s%s%s", so_far, *so_far ? ", " : "", name);
		} else if (inner && depth < 4) {
			pmta_say(im, e->by, PMTA_APPROXIMATED,
				 "%s is a pool: its virtual MTAs stand here", name);
			so_far = flat(im, e, inner->value, so_far, depth + 1);
		} else {
			pmta_say(im, e->by, PMTA_APPROXIMATED,
				 "there is no virtual MTA %s: left out", name);
		}
	}
	return so_far;
}

static void pools(struct pmta *im)
{
	for (struct pmta_section *x = im->first_section; x; x = x->next) {
		struct pmta_entry *e = is(x, "virtual-mta-pool") ? pmta_get(x, "members") : NULL;
		const char *members = e ? flat(im, e, e->value, "", 0) : "";

		if (!is(x, "virtual-mta-pool") || (e && !e->by))
			continue;
		if (*members) {
			e->value = members;
			continue;
		}
		if (e)
			e->off = true;
		pmta_set(im, NULL, x, "members", all_virtual_mtas(im), true);
		pmta_say(im, x->by, PMTA_APPROXIMATED,
			 "no virtual MTA of it is defined: all addresses that there are are its "
			 "members");
	}
}

/* ---- what goes without a word in PowerMTA ---- */

static void addresses(struct pmta *im)
{
	struct pmta_section *m = mta(im);
	struct pmta_entry *hosts = pmta_get(m, "smtp-source-host"), *name = pmta_get(m, "hostname");
	bool any = hosts != NULL;

	for (struct pmta_section *x = im->first_section; x; x = x->next) {
		if (!is(x, "virtual-mta") || pmta_get(x, "smtp-source-host")) {
			any = any || is(x, "virtual-mta");
			continue;
		}
		any = true;
		if (hosts)
			pmta_say(im, x->by, PMTA_APPROXIMATED,
				 "it has no smtp-source-host: it sends from the one outside of all "
				 "sections");
		else
			pmta_say(im, x->by, PMTA_APPROXIMATED,
				 "it has no smtp-source-host, and Stoker lets no system choose: "
				 "127.0.0.1 until you "
				 "write an address of this machine");
		pmta_set(im, NULL, x, "smtp-source-host",
			 hosts ? hosts->value
			       : mem_fmt(&im->mem, "127.0.0.1 %s",
					 name ? name->value : "localhost.localdomain"),
			 true);
	}
	if (any)
		return;
	pmta_set(im, NULL, m, "smtp-source-host",
		 mem_fmt(&im->mem, "127.0.0.1 %s", name ? name->value : "localhost.localdomain"),
		 true);
	pmta_say(im, pmta_remark(im, "smtp-source-host"), PMTA_APPROXIMATED,
		 "there is none, and Stoker lets no system choose: [mta] smtp-source-host is "
		 "127.0.0.1 until you "
		 "write an address of this machine");
}

static void listeners(struct pmta *im)
{
	if (has(im, "listener"))
		return;
	pmta_section(im, "listener", "0.0.0.0:25", NULL);
	pmta_say(im, pmta_remark(im, "smtp-listener"), PMTA_APPROXIMATED,
		 "there is none: PowerMTA then listens at 0.0.0.0:25: [listener 0.0.0.0:25]");
}

/* PowerMTA's {default} is a route of its own; with several of ours one must be named. */
static void default_route(struct pmta *im)
{
	struct pmta_section *m = mta(im), *first = NULL;
	int n = 0;

	if (pmta_get(m, "default-virtual-mta") || pmta_get(m, "smtp-source-host"))
		return;
	for (struct pmta_section *x = im->first_section; x; x = x->next)
		if (is(x, "virtual-mta") || is(x, "virtual-mta-pool")) {
			first = first ? first : x;
			n++;
		}
	if (n < 2)
		return;
	pmta_set(im, NULL, m, "default-virtual-mta", first->name, true);
	pmta_say(im, pmta_remark(im, "default-virtual-mta"), PMTA_APPROXIMATED,
		 "mail for which nothing names one went by {default}: here it goes by %s",
		 first->name);
}

void pmta_names(struct pmta *im)
{
	mta(im);
	pickup_source(im);
	listeners(im);
	addresses(im);
	pmta_users(im);
	pmta_cold(im);
	pools(im);
	need_names(im);
	default_route(im);
	for (struct pmta_section *x = im->first_section; x; x = x->next)
		if (is(x, "source"))
			inherit(im, x);
}
