/* Providers, [domain] patterns by what they go via, and the built-in defaults of their directives.
 */
#include <stdlib.h>

#include "conf/reading.h"
#include "conf/value.h"

static void provider_domains(struct reading *r, const struct conf_provider *p, int index)
{
	struct name_index *x = &r->priv->provider_domains;

	for (int i = 0; i < p->ndomains; i++)
		x->v[x->n++] = (struct named){ p->domains[i], index };
}

/* A domain in two providers: which one it belongs to would be a matter of chance. */
static void provider_overlaps(struct reading *r)
{
	struct name_index *x = &r->priv->provider_domains;

	name_index_sort(x);
	for (int i = 1; i < x->n; i++) {
		const struct conf_provider *a = &r->c->providers[x->v[i - 1].i];
		const struct conf_provider *b = &r->c->providers[x->v[i].i];

		if (a != b && strcmp(x->v[i - 1].key, x->v[i].key) == 0)
			error_at(r, &b->origin,
				 "domains: %s is in [provider %s] and in [provider %s]",
				 x->v[i].key, b->name, a->name);
	}
}

static void build_providers(struct reading *r)
{
	struct conf *c = r->c;
	int n = sections_of(r, KIND_PROVIDER), domains = 0;

	c->providers = mem_array(&r->mem, (size_t)n, sizeof *c->providers);
	r->priv->provider_sections = mem_array(&r->mem, (size_t)n, sizeof(struct conf_section *));
	r->priv->providers = name_index_make(r, n);
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		struct conf_provider *p = &c->providers[c->nproviders];

		if (s->kind != KIND_PROVIDER)
			continue;
		p->name = s->name;
		p->origin = s->origin;
		build_fields(r, KIND_PROVIDER, s, p);
		domains += p->ndomains;
		r->priv->provider_sections[c->nproviders] = s;
		name_index_add(r, &r->priv->providers, s->name, c->nproviders);
		s->index = c->nproviders++;
	}
	name_index_sort(&r->priv->providers);
	r->priv->provider_domains = name_index_make(r, domains);
	for (int i = 0; i < c->nproviders; i++)
		provider_domains(r, &c->providers[i], i);
	provider_overlaps(r);
}

/* [domain * via POOL] is the pool's own section by another name. */
static void merge_into(struct reading *r, const struct conf_section *from,
		       const struct conf_section *into)
{
	for (int id = 0; id < SET_COUNT; id++) {
		const struct conf_entry *e = from->set[id], *before = into->set[id];

		if (!e || (before && e->shipped && !before->shipped))
			continue;
		if (before && before->shipped == e->shipped)
			error_at(r, &e->at,
				 "%s is given twice: first in %s at %s:%d, which means "
				 "the same as %s",
				 e->d->name, into->shown, before->at.file, before->at.line,
				 from->shown);
		else
			into->set[id] = e;
	}
}

/* Index of by_route; -1 after an error. */
static int slot_of(struct reading *r, const struct conf_section *s)
{
	int route;

	if (!s->via)
		return 0;
	route = name_index_find(&r->priv->routes, str_of(s->via));
	if (route != CONF_NONE)
		return 1 + route;
	if (!r->incomplete)
		error_at(r, &s->origin, "%s: there is no virtual MTA or pool \"%s\"%s", s->shown,
			 s->via, route_nearest(r, s->via));
	return -1;
}

static int by_pattern(const void *a, const void *b)
{
	return str_cmp(((const struct pattern_at *)a)->pattern,
		       ((const struct pattern_at *)b)->pattern);
}

static void pattern_add(struct pattern_index *x, const char *pattern, const struct conf_section *s)
{
	x->v[x->n++] = (struct pattern_at){ str_of(pattern), s };
}

/* The pool's own section, which stands for [domain * via POOL]; NULL for a virtual MTA or a pool
 * without one. */
static struct conf_section **pool_sections(struct reading *r)
{
	const struct conf *c = r->c;
	struct conf_section **own =
	    mem_array(&r->mem, (size_t)c->nroutes + 1, sizeof(struct conf_section *));

	for (struct conf_section *s = r->priv->first; s; s = s->next)
		if (s->kind == KIND_POOL)
			own[1 + name_index_find(&r->priv->routes, str_of(s->name))] = s;
	return own;
}

static void build_patterns(struct reading *r)
{
	size_t slots = (size_t)r->c->nroutes + 1;
	struct conf_section **own = pool_sections(r);
	struct pattern_index *x = mem_array(&r->mem, slots, sizeof *x);

	r->priv->by_route = x;
	for (struct conf_section *s = r->priv->first; s; s = s->next)
		if (s->kind == KIND_DOMAIN && (s->index = slot_of(r, s)) >= 0)
			x[s->index].n++;
	for (size_t i = 0; i < slots; i++) {
		x[i].v = mem_array(&r->mem, (size_t)x[i].n + 1, sizeof *x[i].v);
		x[i].n = 0;
		if (own[i])
			pattern_add(&x[i], "*", own[i]);
	}
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		if (s->kind != KIND_DOMAIN || s->index < 0)
			continue;
		if (own[s->index] && strcmp(s->pattern, "*") == 0)
			merge_into(r, s, own[s->index]);
		else
			pattern_add(&x[s->index], s->pattern, s);
	}
	for (size_t i = 0; i < slots; i++)
		qsort(x[i].v, (size_t)x[i].n, sizeof *x[i].v, by_pattern);
	r->priv->all = pattern_find(&x[0], STR_LIT("*"));
}

static void build_setting_defaults(struct reading *r)
{
	for (size_t i = 0; i < directives_n; i++) {
		const struct directive *d = &directives[i];
		struct value_in in = { .mem = &r->mem, .d = d, .dir = "/" };

		if (d->kind != KIND_DOMAIN || !d->def)
			continue;
		in.text = str_of(d->def);
		value_parse(&in, &r->priv->defaults[d->setting]);
	}
}

void build_domains(struct reading *r)
{
	build_providers(r);
	build_patterns(r);
	build_setting_defaults(r);
}
