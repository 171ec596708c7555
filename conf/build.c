/* From sections to the arrays of struct conf. Every error of reading is reported already: what
 * could not be read is left at its default here, and no further error is made of it. */
#include <stdlib.h>
#include <unistd.h>

#include "conf/machine.h"
#include "conf/reading.h"
#include "conf/value.h"
#include "core/base/domain.h"

int sections_of(const struct reading *r, enum section_kind kind)
{
	int n = 0;

	for (const struct conf_section *s = r->priv->first; s; s = s->next)
		n += s->kind == kind;
	return n;
}

struct name_index name_index_make(struct reading *r, int n)
{
	return (struct name_index){ mem_array(&r->mem, (size_t)n, sizeof(struct named)), 0 };
}

void name_index_add(struct reading *r, struct name_index *x, const char *name, int i)
{
	struct str s = str_of(name);
	char *key = mem_alloc(&r->mem, s.n + 1);

	str_lower(s, key, s.n + 1);
	x->v[x->n++] = (struct named){ key, i };
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->key, ((const struct named *)b)->key);
}

void name_index_sort(struct name_index *x)
{
	qsort(x->v, (size_t)x->n, sizeof *x->v, by_key);
}

static const char **default_names(struct reading *r, const struct directive *d, int *n)
{
	struct value_in in = { .mem = &r->mem, .d = d, .text = str_of(d->def), .dir = "/" };
	struct value v = { .names = { NULL, 0 } };

	if (value_parse(&in, &v))
		v.names.n = 0;
	*n = v.names.n;
	return v.names.v;
}

/* All values of a list, over its lines. */
static void collect_names(struct reading *r, const struct directive *d,
			  const struct conf_section *s, void *base)
{
	const char **v;
	int n = 0, *count = (int *)(void *)((char *)base + d->count - 1);

	if (d->def && !(d->flags & COMPUTED) && !section_entry(s, d)) {
		v = default_names(r, d, count);
		*(const char ***)(void *)((char *)base + d->field - 1) = v;
		return;
	}
	for (const struct conf_entry *e = section_entry(s, d); e; e = e->next)
		n += e->d == d ? e->v.names.n : 0;
	v = mem_array(&r->mem, (size_t)n, sizeof *v);
	*(const char ***)(void *)((char *)base + d->field - 1) = v;
	*count = 0;
	if (section_entry(s, d))
		field_set_origin(d, base, &section_entry(s, d)->at);
	for (const struct conf_entry *e = section_entry(s, d); e; e = e->next)
		for (int i = 0; e->d == d && !e->bad && i < e->v.names.n; i++)
			v[(*count)++] = e->v.names.v[i];
}

/* The default holds only where nothing is written. */
static void collect_access(struct reading *r, const struct directive *d,
			   const struct conf_section *s, struct conf_mta *m)
{
	struct value_in in = { .mem = &r->mem, .d = d, .text = str_of(d->def), .dir = "/" };
	struct conf_access *v;
	struct value def;
	int n = 0;

	if (!section_entry(s, d) && !value_parse(&in, &def)) {
		m->http_access = def.access.v;
		m->nhttp_access = def.access.n;
		return;
	}
	for (const struct conf_entry *e = section_entry(s, d); e; e = e->next)
		n += e->d == d && !e->bad ? e->v.access.n : 0;
	v = mem_array(&r->mem, (size_t)n, sizeof *v);
	m->http_access = v;
	for (const struct conf_entry *e = section_entry(s, d); e; e = e->next)
		for (int i = 0; e->d == d && !e->bad && i < e->v.access.n; i++) {
			v[m->nhttp_access] = e->v.access.v[i];
			v[m->nhttp_access++].origin = e->at;
		}
}

static void set_default(struct reading *r, const struct directive *d, void *base)
{
	struct value_in in = { .mem = &r->mem, .d = d, .text = str_of(d->def), .dir = "/" };
	struct value v;

	if (!value_parse(&in, &v))
		field_set(d, base, &v);
}

void build_fields(struct reading *r, enum section_kind kind, const struct conf_section *s,
		  void *base)
{
	for (size_t i = 0; i < directives_n; i++) {
		const struct directive *d = &directives[i];
		const struct conf_entry *e;

		if (d->kind != kind || !d->field)
			continue;
		if (type_is_names(d->type)) {
			collect_names(r, d, s, base);
			continue;
		}
		if (d->type == TYPE_ACCESS) {
			collect_access(r, d, s, base);
			continue;
		}
		e = section_entry(s, d);
		if (e && !e->clear && !e->bad) {
			field_set(d, base, &e->v);
			field_set_origin(d, base, &e->at);
		} else if (d->def && !(d->flags & COMPUTED)) {
			set_default(r, d, base);
		}
	}
}

const char *did_you_mean(struct reading *r, const struct nearest *n)
{
	const char *best = nearest_best(n);

	return best ? mem_fmt(&r->mem, ": did you mean \"%s\"?", best) : "";
}

static const char *nearest_in(struct reading *r, const struct name_index *x, const char *name)
{
	struct nearest n;

	if (r->hints-- <= 0)
		return "";
	nearest_init(&n, str_of(name));
	for (int i = 0; i < x->n; i++)
		nearest_try(&n, x->v[i].key);
	return did_you_mean(r, &n);
}

const char *route_nearest(struct reading *r, const char *name)
{
	return nearest_in(r, &r->priv->routes, name);
}

static int look_up(struct reading *r, const struct conf_entry *e)
{
	const struct {
		const struct name_index *x;
		const char *words;
	} kinds[TYPE_COUNT] = {
		[TYPE_ROUTE_NAME] = { &r->priv->routes, "virtual MTA or pool" },
		[TYPE_SOURCE_NAME] = { &r->priv->sources, "[source]" },
		[TYPE_WARMUP_NAME] = { &r->priv->warmups, "[warmup]" },
	};
	const struct name_index *x = kinds[e->d->type].x;
	int i = name_index_find(x, str_of(e->v.z));

	if (i == CONF_NONE && !r->incomplete)
		error_at(r, &e->at, "%s: there is no %s \"%s\"%s", e->d->name,
			 kinds[e->d->type].words, e->v.z, nearest_in(r, x, e->v.z));
	return i;
}

void build_references(struct reading *r, const struct conf_section *s, void *base)
{
	for (const struct conf_entry *e = s->first; e; e = e->next) {
		bool reference = e->d->type == TYPE_ROUTE_NAME || e->d->type == TYPE_SOURCE_NAME ||
				 e->d->type == TYPE_WARMUP_NAME;

		if (reference && !e->bad && !e->clear)
			*(int *)(void *)((char *)base + e->d->field - 1) = look_up(r, e);
	}
}

static void machine_name(struct reading *r, struct conf_mta *m)
{
	char z[DOMAIN_SIZE] = "", normal[DOMAIN_SIZE];

	if (m->hostname)
		return;
	if (gethostname(z, sizeof z - 1) == 0 && domain_normal(str_of(z), normal)) {
		m->hostname = mem_z(&r->mem, str_of(normal));
		return;
	}
	m->hostname = "localhost";
	error_at(r, NULL, "the machine's own name \"%s\" is not a host name: write [mta] hostname",
		 z);
}

static void build_mta(struct reading *r)
{
	struct conf_mta *m = &r->c->mta;
	const struct conf_section *s = section_only(r->c, KIND_MTA);

	m->default_route = CONF_NONE;
	build_fields(r, KIND_MTA, s, m);
	machine_name(r, m);
	if (!m->state)
		m->state = mem_fmt(&r->mem, "%s/state", m->spool);
	if (!m->threads)
		m->threads = machine_cores();
	build_fields(r, KIND_CONSOLE, section_only(r->c, KIND_CONSOLE), &r->c->console);
	build_fields(r, KIND_SUPPRESSION, section_only(r->c, KIND_SUPPRESSION), &r->c->suppression);
}

static void build_sources(struct reading *r)
{
	struct conf *c = r->c;
	int n = sections_of(r, KIND_SOURCE);
	struct errbuf e;

	c->sources =
	    mem_array(&r->mem, (size_t)(n + sections_of(r, KIND_PICKUP)), sizeof *c->sources);
	r->priv->sources = name_index_make(r, n);
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		struct conf_source *x = &c->sources[c->nsources];

		if (s->kind != KIND_SOURCE)
			continue;
		x->name = s->name;
		x->origin = s->origin;
		x->default_route = CONF_NONE;
		parse_net(str_of(s->name), &x->net, &x->prefix, &x->is_cidr, &e);
		build_fields(r, KIND_SOURCE, s, x);
		name_index_add(r, &r->priv->sources, s->name, c->nsources);
		s->index = c->nsources++;
	}
	name_index_sort(&r->priv->sources);
}

static void build_listeners(struct reading *r)
{
	struct conf *c = r->c;
	int n = sections_of(r, KIND_LISTENER);

	c->listeners =
	    mem_array(&r->mem, (size_t)(n + sections_of(r, KIND_PICKUP)), sizeof *c->listeners);
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		struct conf_listener *x = &c->listeners[c->nlisteners];

		if (s->kind != KIND_LISTENER)
			continue;
		x->name = s->name;
		x->origin = s->origin;
		x->source = x->default_route = CONF_NONE;
		parse_ip_port(str_of(s->name), &x->at);
		build_fields(r, KIND_LISTENER, s, x);
		s->index = c->nlisteners++;
	}
}

static void build_users(struct reading *r)
{
	struct conf *c = r->c;
	int n = sections_of(r, KIND_SMTP_USER);

	c->users = mem_array(&r->mem, (size_t)n, sizeof *c->users);
	r->priv->users = name_index_make(r, n);
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		struct conf_user *x = &c->users[c->nusers];

		if (s->kind != KIND_SMTP_USER)
			continue;
		x->name = s->name;
		x->origin = s->origin;
		x->source = x->priority = CONF_NONE;
		build_fields(r, KIND_SMTP_USER, s, x);
		name_index_add(r, &r->priv->users, s->name, c->nusers);
		s->index = c->nusers++;
	}
	name_index_sort(&r->priv->users);
}

static void build_pickup_door(struct reading *r, struct conf_pickup *x, int named, int i)
{
	struct conf *c = r->c;
	struct conf_source *src = &c->sources[c->nsources + i];
	struct conf_listener *l = &c->listeners[c->nlisteners + i];

	if (named >= 0)
		*src = c->sources[named];
	else
		build_fields(r, KIND_SOURCE, NULL, src);
	src->name = "pickup";
	src->always_allow_relaying = src->process_x_job = true;
	src->priority = x->priority;
	build_fields(r, KIND_LISTENER, NULL, l);
	l->name = mem_fmt(&r->mem, "pickup %s", x->dir);
	l->default_route = CONF_NONE;
	l->origin = src->origin = x->origin;
	x->listener = c->nlisteners + i;
	l->source = x->source = c->nsources + i;
}

static void build_pickups(struct reading *r)
{
	struct conf *c = r->c;
	int n = sections_of(r, KIND_PICKUP);

	int named = name_index_find(&r->priv->sources, STR_LIT("pickup"));

	c->pickups = mem_array(&r->mem, (size_t)n, sizeof *c->pickups);
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		struct conf_pickup *x = &c->pickups[c->npickups];

		if (s->kind != KIND_PICKUP)
			continue;
		x->dir = s->name;
		x->origin = s->origin;
		x->route = CONF_NONE;
		build_fields(r, KIND_PICKUP, s, x);
		if (!x->bad_directory)
			x->bad_directory = mem_fmt(&r->mem, "%s/bad", x->dir);
		build_pickup_door(r, x, named, c->npickups);
		s->index = c->npickups++;
	}
}

static void resolve(struct reading *r)
{
	struct conf *c = r->c;

	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		if (s->kind == KIND_MTA)
			build_references(r, s, &c->mta);
		else if (s->kind == KIND_SOURCE)
			build_references(r, s, &c->sources[s->index]);
		else if (s->kind == KIND_VMTA)
			build_references(r, s, &c->vmtas[s->index]);
		else if (s->kind == KIND_LISTENER)
			build_references(r, s, &c->listeners[s->index]);
		else if (s->kind == KIND_SMTP_USER)
			build_references(r, s, &c->users[s->index]);
		else if (s->kind == KIND_PICKUP)
			build_references(r, s, &c->pickups[s->index]);
	}
	for (int i = 0; i < c->npickups; i++) {
		const struct conf_pickup *x = &c->pickups[i];
		int named = name_index_find(&r->priv->sources, STR_LIT("pickup"));

		c->listeners[x->listener].default_route = x->route;
		c->sources[x->source].default_route =
		    named >= 0 ? c->sources[named].default_route : CONF_NONE;
	}
}

void build(struct reading *r)
{
	build_mta(r);
	build_patterns_lists(r);
	build_warmups(r);
	build_routes(r);
	build_sources(r);
	build_listeners(r);
	build_users(r);
	build_pickups(r);
	resolve(r);
	build_domains(r);
	build_dkim(r);
	build_accounting(r);
	build_webhooks(r);
	build_alarm(r);
	build_inbound(r);
}
