/* Rollups and queue-to: domains that are one receiver, which is a [provider] here. */
#include "conf/pmta_value.h"
#include "conf/value.h"
#include "core/base/domain.h"

static const char *provider_name(struct pmta *im, struct pmta_stmt *s, struct str queue)
{
	static const char ending[] = ".rollup";
	size_t n = sizeof ending - 1;

	if (queue.n > n && str_ieqz((struct str){ queue.p + queue.n - n, n }, ending))
		queue.n -= n;
	return pmta_name(im, s, queue);
}

static void put_queue(struct pmta *im, struct str queue, struct pmta_section *x)
{
	char *folded = mem_alloc(&im->mem, queue.n + 1);

	str_lower(queue, folded, queue.n + 1);
	if (!strmap_put(&im->queues, (struct str){ folded, queue.n }, x))
		longjmp(im->mem.no_memory, 1);
}

/* The provider that comes with Stoker and has these hosts, or this domain. */
static const char *shipped_provider(const struct pmta *im, struct str domain, struct str host)
{
	int i =
	    im->shipped ? conf_provider_for(im->shipped, domain, &host, host.n ? 1 : 0) : CONF_NONE;

	return i == CONF_NONE ? NULL : im->shipped->providers[i].name;
}

TAKE(pt_rollup)
{
	struct str pattern, queue = { "", 0 }, host;
	const char *known, *name;

	if (r)
		return; /* pmta_queues was here before */
	if (!pmta_word(&v, &pattern) || !pmta_word(&v, &queue)) {
		pmta_say(im, s, PMTA_DROPPED, "write mx PATTERN NAME.rollup");
		return;
	}
	queue = pmta_plain(im, queue);
	pattern = pmta_plain(im, pattern);
	host = pattern.n && pattern.p[0] == '*' ? (struct str){ pattern.p + 1, pattern.n - 1 }
						: pattern;
	known = shipped_provider(
	    im, STR_LIT("a.invalid"),
	    str_of(mem_fmt(&im->mem, "%s%.*s", pattern.n && pattern.p[0] == '*' ? "x" : "",
			   (int)host.n, host.p)));
	name = known ? known : provider_name(im, s, queue);
	if (!name)
		return;
	put_queue(im, queue, pmta_section(im, "provider", name, s));
	if (!known) {
		pmta_set(im, s, pmta_section(im, "provider", name, s), "mx", pattern.p, false);
		return;
	}
	s->nbecame++;
	s->became = mem_fmt(&im->mem, "[provider %s]", name);
	pmta_say(im, s, PMTA_APPROXIMATED,
		 "it is the provider %s that comes with Stoker, with all its hosts", name);
}

TAKE(pt_queue_to)
{
	(void)r;
	if (!s->why && str_eqz(v, "\"\""))
		pmta_say(im, s, PMTA_TAKEN, "that is so without a word");
}

static void domain_to_queue(struct pmta *im, struct pmta_stmt *s, struct str domain,
			    struct str queue)
{
	const char *known = shipped_provider(im, domain, STR_LIT("")), *name;
	char z[DOMAIN_SIZE];
	struct pmta_section *x;

	known = known ? known : shipped_provider(im, queue, STR_LIT(""));
	if (known) {
		pmta_say(im, s, PMTA_APPROXIMATED,
			 "%.*s and %.*s count by their own sections inside the provider %s that "
			 "comes with Stoker",
			 (int)domain.n, domain.p, (int)queue.n, queue.p, known);
		return;
	}
	name = provider_name(im, s, queue);
	if (!name)
		return;
	x = pmta_section(im, "provider", name, s);
	put_queue(im, queue, x);
	if (!pmta_get(x, "domains") && domain_normal(queue, z) && strchr(z, '.') &&
	    !str_istarts(
		(struct str){ queue.p + (queue.n > 7 ? queue.n - 7 : 0), queue.n > 7 ? 7 : 0 },
		".rollup"))
		pmta_set(im, s, x, "domains", z, false);
	pmta_set(im, s, x, "domains", mem_z(&im->mem, domain), false);
	pmta_say(im, s, PMTA_APPROXIMATED,
		 "the queue is a [provider], whose limits count each virtual MTA");
}

static void queue_to(struct pmta *im, struct pmta_stmt *s)
{
	struct str list, queue, word, rest = s->value;
	bool weak;

	if (!pmta_word(&rest, &queue) || str_eqz(queue, "\"\"") || !s->in || !s->in->arg.n)
		return;
	queue = pmta_plain(im, queue);
	list = pmta_expand(im, s->in->at, s->in->arg, &weak);
	while (pmta_element(&list, &word)) {
		if (word.n == 1 || word.p[0] == '[' || word.p[0] == '{')
			pmta_say(im, s, PMTA_APPROXIMATED, "\"%.*s\" can't be part of a provider",
				 (int)word.n, word.p);
		else
			domain_to_queue(im, s, word, queue);
	}
}

void pmta_queues(struct pmta *im)
{
	for (struct pmta_stmt *s = im->first; s; s = s->next)
		if (!s->opens && pmta_scope_of(s->in) == IN_DOMAIN && str_ieqz(s->name, "queue-to"))
			queue_to(im, s);
		else if (!s->opens && pmta_scope_of(s->in) == IN_ROLLUP && str_ieqz(s->name, "mx"))
			pt_rollup(im, s, NULL, s->value);
}
