/* Virtual MTAs, pools, and the one name space of both. */
#include <stdio.h>

#include "conf/reading.h"
#include "conf/value.h"

static const struct directive *source_host_of(enum section_kind kind)
{
	return directive_find(kind, STR_LIT("smtp-source-host"));
}

static const struct conf_section *section_named(struct reading *r, enum section_kind kind,
						const char *name)
{
	char key[32 + CONF_NAME_MAX];
	struct str s = { key, 0 };
	int n = snprintf(key, sizeof key, "%s %s", section_infos[kind].word, name);

	if (n < 0 || n >= (int)sizeof key)
		return NULL;
	s.n = (size_t)n;
	str_lower(s, key, sizeof key);
	return strmap_get(&r->sections, s);
}

/* `first` is of the same kind: where it came from, or NULL. */
static void take_address(struct conf_vmta *v, const struct source_host *h)
{
	if (h->ip.sa.sa_family == AF_INET) {
		v->ip4 = h->ip;
		v->host4 = h->host;
	} else {
		v->ip6 = h->ip;
		v->host6 = h->host;
	}
}

static void second_address(struct reading *r, const struct conf_section *s,
			   const struct conf_entry *e, const struct conf_entry *first)
{
	error_at(r, &e->at,
		 "%s has a second %s address (the first is at %s:%d): a virtual MTA has one of a "
		 "kind; make [virtual-mta %s-2] of it, and [virtual-mta-pool NAME] with members = "
		 "%s, %s-2",
		 s->shown, e->v.source_host->ip.sa.sa_family == AF_INET ? "IPv4" : "IPv6",
		 first->at.file, first->at.line, s->name, s->name, s->name);
}

static void vmta_addresses(struct reading *r, const struct conf_section *s, struct conf_vmta *v)
{
	const struct directive *d = source_host_of(KIND_VMTA);
	const struct conf_entry *first4 = NULL, *first6 = NULL;
	bool written = false;

	for (const struct conf_entry *e = s->first; e; e = e->next) {
		const struct conf_entry **first;

		if (e->d != d || e->clear)
			continue;
		written = true;
		if (e->bad)
			continue;
		first = e->v.source_host->ip.sa.sa_family == AF_INET ? &first4 : &first6;
		if (*first)
			second_address(r, s, e, *first);
		else
			take_address(v, e->v.source_host);
		*first = *first ? *first : e;
	}
	if (!written)
		error_at(r, &s->origin,
			 "%s has no address to send from: write smtp-source-host = IP HOSTNAME",
			 s->shown);
}

static struct conf_vmta *vmta_new(struct reading *r, const char *name)
{
	struct conf *c = r->c;
	struct conf_vmta *v = &c->vmtas[c->nvmtas];

	v->name = name;
	v->warmup = CONF_NONE;
	name_index_add(r, &r->priv->vmtas, name, c->nvmtas);
	name_index_add(r, &r->priv->routes, name, c->nroutes);
	c->routes[c->nroutes++] =
	    (struct conf_route){ .name = name, .vmta = c->nvmtas, .pool = CONF_NONE };
	c->nvmtas++;
	return v;
}

static int mta_hosts(struct reading *r)
{
	const struct conf_section *mta = section_only(r->c, KIND_MTA);
	const struct directive *d = source_host_of(KIND_MTA);
	int n = 0;

	for (const struct conf_entry *e = section_entry(mta, d); e; e = e->next)
		n += e->d == d && !e->bad && !e->clear;
	return n;
}

/* default1, default2 ... of [mta] smtp-source-host. */
static void build_default_vmtas(struct reading *r)
{
	const struct conf_section *mta = section_only(r->c, KIND_MTA);
	const struct directive *d = source_host_of(KIND_MTA);
	int n = 0;

	for (const struct conf_entry *e = section_entry(mta, d); e; e = e->next) {
		const char *name;
		const struct conf_section *taken;
		struct conf_vmta *v;

		if (e->d != d || e->bad || e->clear)
			continue;
		name = mem_fmt(&r->mem, "default%d", ++n);
		taken = section_named(r, KIND_VMTA, name);
		if (taken)
			error_at(r, &taken->origin,
				 "%s: that name is taken by [mta] smtp-source-host (%s:%d)",
				 taken->shown, e->at.file, e->at.line);
		v = vmta_new(r, name);
		v->origin = e->at;
		take_address(v, e->v.source_host);
	}
}

static void build_vmtas(struct reading *r)
{
	build_default_vmtas(r);
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		struct conf_vmta *v;

		if (s->kind != KIND_VMTA)
			continue;
		s->index = r->c->nvmtas;
		v = vmta_new(r, s->name);
		v->origin = s->origin;
		build_fields(r, KIND_VMTA, s, v);
		vmta_addresses(r, s, v);
	}
	name_index_sort(&r->priv->vmtas);
}

static struct conf_pool *pool_new(struct reading *r, const char *name, int members)
{
	struct conf *c = r->c;
	struct conf_pool *p = &c->pools[c->npools];

	p->name = name;
	p->members = mem_array(&r->mem, (size_t)members, sizeof *p->members);
	name_index_add(r, &r->priv->pools, name, c->npools);
	name_index_add(r, &r->priv->routes, name, c->nroutes);
	c->routes[c->nroutes++] =
	    (struct conf_route){ .name = name, .vmta = CONF_NONE, .pool = c->npools };
	c->npools++;
	return p;
}

static void pool_member(struct reading *r, struct conf_pool *p, const struct member_word *w,
			const struct conf_entry *e)
{
	int i = name_index_find(&r->priv->vmtas, str_of(w->name));
	struct nearest n;

	for (int k = 0; k < p->nmembers; k++)
		if (p->members[k].vmta == i && i != CONF_NONE) {
			error_at(r, &e->at, "members: %s is named twice", w->name);
			return;
		}
	if (i != CONF_NONE) {
		p->members[p->nmembers++] = (struct conf_member){ i, w->weight };
		return;
	}
	if (r->incomplete)
		return;
	nearest_init(&n, str_of(w->name));
	for (int k = 0; k < r->priv->vmtas.n && r->hints > 0; k++)
		nearest_try(&n, r->priv->vmtas.v[k].key);
	r->hints--;
	if (section_named(r, KIND_POOL, w->name))
		error_at(r, &e->at, "members: %s is a pool: name its virtual MTAs", w->name);
	else
		error_at(r, &e->at, "members: there is no virtual MTA \"%s\"%s", w->name,
			 did_you_mean(r, &n));
}

static void pool_members(struct reading *r, const struct conf_section *s)
{
	const struct conf_entry *e =
	    section_entry(s, directive_find(KIND_POOL, STR_LIT("members")));
	bool written = e && !e->clear;
	struct conf_pool *p = pool_new(r, s->name, e && !e->bad ? e->v.members.n : 0);

	p->origin = s->origin;
	if (!written)
		error_at(r, &s->origin, "%s has no members: write members = vmta1, vmta2",
			 s->shown);
	for (int i = 0; written && !e->bad && i < e->v.members.n; i++)
		pool_member(r, p, &e->v.members.v[i], e);
}

/* The pool `default` of [mta] smtp-source-host; a section of that name adds its settings. */
static void default_pool(struct reading *r, struct conf_section *s, int hosts)
{
	const struct conf_entry *e =
	    section_entry(s, directive_find(KIND_POOL, STR_LIT("members")));
	struct conf_pool *p = pool_new(r, s ? s->name : "default", hosts);

	p->origin = s ? s->origin : r->c->vmtas[0].origin;
	for (int i = 0; i < hosts; i++)
		p->members[p->nmembers++] = (struct conf_member){ i, 1 };
	if (e)
		error_at(r, &e->at,
			 "members: the members of the pool default are the addresses of "
			 "[mta] smtp-source-host");
}

static void build_pools(struct reading *r, int hosts)
{
	bool made = false;

	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		const struct conf_section *same;
		bool is_default = hosts && str_ieqz(str_of(s->name), "default");

		if (s->kind != KIND_POOL)
			continue;
		s->index = r->c->npools;
		if (is_default)
			default_pool(r, s, hosts);
		else
			pool_members(r, s);
		made = made || is_default;
		same = section_named(r, KIND_VMTA, s->name);
		if (same)
			error_at(
			    r, &s->origin,
			    "%s: there is a virtual MTA of that name (%s:%d), and a name means "
			    "one of both",
			    s->shown, same->origin.file, same->origin.line);
	}
	if (hosts && !made)
		default_pool(r, NULL, hosts);
	name_index_sort(&r->priv->pools);
}

/* Pools, and virtual MTAs that are in none: if there is but one way out, it is the default. */
static int only_route(struct reading *r)
{
	const struct conf *c = r->c;
	bool *member = mem_array(&r->mem, (size_t)c->nvmtas, sizeof *member);
	int found = CONF_NONE;

	for (int p = 0; p < c->npools; p++)
		for (int k = 0; k < c->pools[p].nmembers; k++)
			member[c->pools[p].members[k].vmta] = true;
	for (int i = 0; i < c->nroutes; i++) {
		if (c->routes[i].vmta != CONF_NONE && member[c->routes[i].vmta])
			continue;
		if (found != CONF_NONE)
			return CONF_NONE;
		found = i;
	}
	return found;
}

static void index_routes(struct reading *r)
{
	const struct conf *c = r->c;

	r->priv->route_of_vmta = mem_array(&r->mem, (size_t)c->nvmtas, sizeof(int));
	r->priv->route_of_pool = mem_array(&r->mem, (size_t)c->npools, sizeof(int));
	for (int i = 0; i < c->nroutes; i++)
		if (c->routes[i].vmta != CONF_NONE)
			r->priv->route_of_vmta[c->routes[i].vmta] = i;
		else
			r->priv->route_of_pool[c->routes[i].pool] = i;
}

void build_routes(struct reading *r)
{
	struct conf *c = r->c;
	int hosts = mta_hosts(r), vmtas = hosts + sections_of(r, KIND_VMTA);
	int pools = 1 + sections_of(r, KIND_POOL);

	c->vmtas = mem_array(&r->mem, (size_t)vmtas, sizeof *c->vmtas);
	c->pools = mem_array(&r->mem, (size_t)pools, sizeof *c->pools);
	c->routes = mem_array(&r->mem, (size_t)(vmtas + pools), sizeof *c->routes);
	r->priv->vmtas = name_index_make(r, vmtas);
	r->priv->pools = name_index_make(r, pools);
	r->priv->routes = name_index_make(r, vmtas + pools);
	build_vmtas(r);
	build_pools(r, hosts);
	name_index_sort(&r->priv->routes);
	index_routes(r);
	c->mta.default_route =
	    hosts ? name_index_find(&r->priv->routes, STR_LIT("default")) : only_route(r);
}
