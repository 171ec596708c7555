/* <bounce-processor> and <feedback-loop-processor>: [inbound] of the domains in their address
 * lists. An address alone becomes nothing: [inbound] reads all mail of a domain, and that of a
 * domain with people in it would no longer leave. */
#include <string.h>

#include "core/base/domain.h"
#include "conf/pmta_value.h"

/* A line `domain D` in an address list directly inside a processor; which one. */
static struct pmta_block *processor_of(const struct pmta_stmt *s)
{
	struct pmta_block *list = s->opens ? NULL : s->in;

	if (!list || pmta_scope_of(list) != IN_ADDRESSES || !str_ieqz(s->name, "domain") ||
	    !list->in || pmta_scope_of(list->in) != IN_REPORTS)
		return NULL;
	return list->in;
}

/* The next domain of the list, in its normal form; false at the end. What is none is said of `s`,
 * if asked to. */
static bool next_domain(struct pmta *im, struct pmta_stmt *s, struct str *list,
			char out[DOMAIN_SIZE], bool say)
{
	struct str word;

	while (pmta_element(list, &word)) {
		if (domain_normal(word, out))
			return true;
		if (say)
			pmta_say(im, s, PMTA_DROPPED, "\"%.*s\" is not a domain to Stoker",
				 word.n < 80 ? (int)word.n : 80, word.p);
	}
	return false;
}

static struct str domains_of(struct pmta *im, struct pmta_stmt *s)
{
	bool weak;

	return pmta_expand(im, s, pmta_plain(im, s->value), &weak);
}

void pmta_open_reports(struct pmta *im, struct pmta_block *b)
{
	char name[DOMAIN_SIZE];

	for (struct pmta_stmt *s = im->first; s; s = s->next) {
		struct str list;

		if (processor_of(s) != b)
			continue;
		list = domains_of(im, s);
		while (next_domain(im, s, &list, name, false)) {
			struct pmta_section *x = pmta_section(im, "inbound", name, s);

			pmta_target(im, b, x);
			pmta_set(im, NULL, x, "verp", "no", true);
		}
	}
	if (!b->nto)
		pmta_say(im, b->at, PMTA_DROPPED,
			 "it names no domain: [inbound DOMAIN] reads all mail of a domain: give "
			 "reports a domain of their own");
	else
		pmta_say(im, b->at, PMTA_APPROXIMATED,
			 "[inbound] reads bounces and feedback alike; write a verp-key in place of "
			 "verp = no: without one no report can be matched");
}

void pmta_open_addresses(struct pmta *im, struct pmta_block *b)
{
	if (!b->in || pmta_scope_of(b->in) != IN_REPORTS)
		pmta_say(im, b->at, PMTA_DROPPED,
			 "addresses that get no mail: `stoker suppress import`");
}

TAKE(pt_report_domain)
{
	char name[DOMAIN_SIZE];
	struct str list = domains_of(im, s);

	(void)r;
	(void)v;
	if (!processor_of(s)) {
		pmta_say(im, s, PMTA_DROPPED, "its section is dropped");
		return;
	}
	while (next_domain(im, s, &list, name, true))
		if (!s->nbecame++)
			s->became = mem_fmt(&im->mem, "[inbound %s]", name);
	if (s->nbecame)
		pmta_say(im, s, PMTA_TAKEN, "all mail of that domain is read here");
	else
		pmta_say(im, s, PMTA_DROPPED, "no domain is left");
}

/* Is this domain's mail read here? */
static bool reads(struct pmta *im, const char *domain)
{
	char name[DOMAIN_SIZE];

	for (struct pmta_stmt *s = im->first; s; s = s->next) {
		struct str list;

		if (!processor_of(s))
			continue;
		list = domains_of(im, s);
		while (next_domain(im, s, &list, name, false))
			if (!strcmp(name, domain))
				return true;
	}
	return false;
}

TAKE(pt_relay_domain)
{
	char name[DOMAIN_SIZE];
	struct str list = domains_of(im, s);
	bool any = false, all = true;

	(void)r;
	(void)v;
	while (next_domain(im, s, &list, name, false)) {
		any = true;
		all = all && reads(im, name);
	}
	if (any && all)
		pmta_say(im, s, PMTA_TAKEN, "[inbound] takes its mail from anybody");
	else
		pmta_say(im, s, PMTA_DROPPED,
			 "who hands in mail decides, not where it goes: [source] "
			 "always-allow-relaying");
}
