/* Limits that another one makes unreachable: what an operator wrote and will wonder about
 * (CONFIG.md, "Which settings hold, and what a limit counts"). An inner limit is compared with each
 * that counts the same mail and more. */
#include <stdio.h>

#include "conf/reading.h"
#include "conf/value.h"

struct bound { /* a limit, of whichever row */
	bool set;
	double value; /* connections, or recipients a second */
	const char *name;
	const char *section;
	const struct conf_entry *e; /* NULL: not an entry of a [domain] directive */
	char text[FMT_SIZE];
	const struct origin *at;
	const char *counts;
};

static const char *const lane_words = "each lane";

static struct bound of_entry(const struct conf_section *s, enum setting_id id, const char *counts)
{
	const struct conf_entry *e = s ? s->set[id] : NULL;
	struct bound b = { .set = false, .counts = counts };

	if (!e || e->clear || (e->d->type == TYPE_RATE && rate_unlimited(e->v.rate)))
		return b;
	b.set = true;
	b.e = e;
	b.name = e->d->name;
	b.section = s->shown;
	b.at = &e->at;
	if (e->d->type == TYPE_RATE) {
		b.value = rate_per_s(e->v.rate);
		fmt_rate(e->v.rate, b.text);
	} else {
		b.value = (double)e->v.i;
		snprintf(b.text, sizeof b.text, "%lld", (long long)e->v.i);
	}
	return b;
}

static struct bound of_numbers(int n, struct rate rate, bool is_rate, const struct origin *at)
{
	struct bound b = { .set = is_rate ? !rate_unlimited(rate) : n > 0 };

	b.at = at;
	b.section = at->section ? at->section : "[mta]";
	b.value = is_rate ? rate_per_s(rate) : n;
	if (is_rate)
		fmt_rate(rate, b.text);
	else
		snprintf(b.text, sizeof b.text, "%d", n);
	return b;
}

static struct bound of_vmta(const struct conf *c, int i, enum setting_id id)
{
	const struct conf_vmta *v = &c->vmtas[i];
	bool is_rate = id == SET_MAX_MSG_RATE;
	struct bound b = of_numbers(v->max_smtp_out, v->max_msg_rate, is_rate,
				    is_rate ? &v->origin_max_msg_rate : &v->origin_max_smtp_out);

	b.name = setting_name(id);
	b.counts = "the virtual MTA over all receivers";
	return b;
}

static struct bound of_provider(const struct conf *c, int i, enum setting_id id)
{
	const struct conf_provider *p = &c->providers[i];
	bool is_rate = id == SET_MAX_MSG_RATE;
	struct bound b = of_numbers(p->max_smtp_out, p->max_msg_rate, is_rate,
				    is_rate ? &p->origin_max_msg_rate : &p->origin_max_smtp_out);

	b.name = is_rate ? "provider-max-msg-rate" : "provider-max-smtp-out";
	b.counts = "all lanes of the provider together";
	return b;
}

static struct bound of_total(const struct conf *c, enum setting_id id)
{
	const struct conf_mta *m = &c->mta;
	struct bound b = { .set = false };

	if (id != SET_MAX_SMTP_OUT)
		return b;
	b = of_numbers(m->total_max_smtp_out, (struct rate){ 0, 1 }, false,
		       &m->origin_total_max_smtp_out);
	b.name = "total-max-smtp-out";
	b.counts = "everything together";
	return b;
}

/* The virtual MTA that leaves most room, if each of these has a limit: what is over it is over all.
 */
static struct bound widest(const struct conf *c, const struct conf_pool *of, enum setting_id id)
{
	struct bound best = { .set = false };
	int n = of ? of->nmembers : c->nvmtas;

	for (int i = 0; i < n; i++) {
		struct bound b = of_vmta(c, of ? of->members[i].vmta : i, id);

		if (!b.set)
			return (struct bound){ .set = false };
		if (!best.set || b.value > best.value)
			best = b;
	}
	return best;
}

/* True if a warning was given: one is enough for a limit. */
static bool compare(struct reading *r, const struct bound *inner, const struct bound *outer,
		    const char *unless)
{
	if (!inner->set || !outer->set || inner->value <= outer->value)
		return false;
	if (inner->e && inner->e->shipped)
		return false; /* the operator can't mend what he did not write */
	if (outer->at->file)
		warn_at(r, inner->at,
			"%s = %s of %s can't be reached: %s = %s of %s (%s:%d) counts %s and is "
			"smaller%s",
			inner->name, inner->text, inner->section, outer->name, outer->text,
			outer->section, outer->at->file, outer->at->line, outer->counts, unless);
	else
		warn_at(r, inner->at,
			"%s = %s of %s can't be reached: %s = %s (the default) counts %s and is "
			"smaller",
			inner->name, inner->text, inner->section, outer->name, outer->text,
			outer->counts);
	return true;
}

/* The lane row's limit for a domain pattern, as far as the configuration tells: MX hosts decide the
 * rest. */
static struct bound lane_of(const struct reading *r, const char *pattern, int vmta,
			    enum setting_id id, int *provider)
{
	struct bound b = { .set = false };

	*provider = conf_provider_for(r->c, str_of(pattern), NULL, 0);
	if (vmta != CONF_NONE)
		b = of_entry(pattern_find(&r->priv->by_route[1 + r->priv->route_of_vmta[vmta]],
					  STR_LIT("*")),
			     id, lane_words);
	if (!b.set && *provider != CONF_NONE)
		b = of_entry(r->priv->provider_sections[*provider], id, lane_words);
	return b.set ? b : of_entry(r->priv->all, id, lane_words);
}

struct via { /* what a section's mail goes by, and the most that leaves it */
	int vmta;
	const struct conf_pool *pool;
	const struct bound *any; /* `widest` of all virtual MTAs, made once */
};

static struct bound way_out(const struct conf *c, const struct via *via, enum setting_id id)
{
	if (via->vmta != CONF_NONE)
		return of_vmta(c, via->vmta, id);
	return via->pool ? widest(c, via->pool, id) : *via->any;
}

static void check_section(struct reading *r, const struct conf_section *s, enum setting_id id,
			  const char *pattern, const struct via *via)
{
	struct bound inner = of_entry(s, id, NULL), outer;
	bool is_lane = strcmp(pattern, "*") == 0 && !via->pool;
	int provider = s->kind == KIND_PROVIDER ? s->index : CONF_NONE;

	if (!inner.set)
		return;
	outer = way_out(r->c, via, id);
	if (compare(r, &inner, &outer, ""))
		return;
	if (!is_lane) {
		const char *unless;

		outer = lane_of(r, pattern, via->vmta, id, &provider);
		unless = provider == CONF_NONE ? ", unless its MX hosts are those of a [provider] "
						 "with a limit of its own"
					       : "";
		if (compare(r, &inner, &outer, unless))
			return;
	}
	if (provider != CONF_NONE) {
		outer = of_provider(r->c, provider, id);
		if (compare(r, &inner, &outer, ""))
			return;
	}
	outer = of_total(r->c, id);
	compare(r, &inner, &outer, "");
}

static void check_sections(struct reading *r, enum setting_id id)
{
	const struct conf *c = r->c;
	struct bound any = widest(c, NULL, id);

	for (const struct conf_section *s = r->priv->first; s; s = s->next) {
		struct via via = { CONF_NONE, NULL, &any };
		const struct conf_route *route;

		if (!s->set || s->index < 0)
			continue;
		if (s->kind == KIND_POOL)
			via.pool = &c->pools[s->index];
		if (s->via) {
			route = &c->routes[s->index - 1];
			via.vmta = route->vmta;
			via.pool = route->pool == CONF_NONE ? NULL : &c->pools[route->pool];
		}
		check_section(r, s, id, s->pattern ? s->pattern : "*", &via);
	}
}

static void check_outer(struct reading *r, enum setting_id id)
{
	struct bound total = of_total(r->c, id);

	for (int i = 0; i < r->c->nvmtas; i++) {
		struct bound b = of_vmta(r->c, i, id);

		compare(r, &b, &total, "");
	}
	for (int i = 0; i < r->c->nproviders; i++) {
		struct bound b = of_provider(r->c, i, id);

		if (!r->priv->provider_sections[i]->shipped)
			compare(r, &b, &total, "");
	}
}

/* A row that sets max-smtp-out keeps the built-in limit of a lane away. Who writes 500 for a
 * virtual MTA hardly wants them all at one small receiver. */
static void check_lifted(struct reading *r)
{
	const struct conf *c = r->c;
	int built_in = (int)r->priv->defaults[SET_MAX_SMTP_OUT].i;
	bool all = r->priv->all && r->priv->all->set[SET_MAX_SMTP_OUT];

	for (int i = 0; i < c->nvmtas && !all; i++) {
		const struct conf_section *own =
		    pattern_find(&r->priv->by_route[1 + r->priv->route_of_vmta[i]], STR_LIT("*"));

		if (c->vmtas[i].max_smtp_out > built_in && !(own && own->set[SET_MAX_SMTP_OUT]))
			warn_at(
			    r, &c->vmtas[i].origin_max_smtp_out,
			    "max-smtp-out = %d of virtual MTA %s takes the place of the built-in "
			    "limit of %d connections to one receiver: write [domain *] "
			    "max-smtp-out too",
			    c->vmtas[i].max_smtp_out, c->vmtas[i].name, built_in);
	}
	for (int i = 0; i < c->nproviders && !all; i++) {
		const struct conf_section *s = r->priv->provider_sections[i];

		if (c->providers[i].max_smtp_out > built_in && !s->set[SET_MAX_SMTP_OUT])
			warn_at(
			    r, &c->providers[i].origin_max_smtp_out,
			    "provider-max-smtp-out = %d of %s takes the place of the built-in "
			    "limit of %d connections at one virtual MTA: write max-smtp-out too",
			    c->providers[i].max_smtp_out, c->providers[i].name, built_in);
	}
}

void check_limits(struct reading *r)
{
	static const enum setting_id limits[] = { SET_MAX_SMTP_OUT, SET_MAX_MSG_RATE };

	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
		check_sections(r, limits[i]);
		check_outer(r, limits[i]);
	}
	check_lifted(r);
}
