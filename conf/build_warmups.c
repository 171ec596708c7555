/* The [warmup] sections, and what is wrong with them. */
#include "conf/reading.h"

void build_warmups(struct reading *r)
{
	struct conf *c = r->c;
	int n = sections_of(r, KIND_WARMUP);

	c->warmups = mem_array(&r->mem, (size_t)n, sizeof *c->warmups);
	r->priv->warmups = name_index_make(r, n);
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		struct conf_warmup *x = &c->warmups[c->nwarmups];

		if (s->kind != KIND_WARMUP)
			continue;
		x->name = s->name;
		x->origin = s->origin;
		build_fields(r, KIND_WARMUP, s, x);
		name_index_add(r, &r->priv->warmups, s->name, c->nwarmups);
		s->index = c->nwarmups++;
	}
	name_index_sort(&r->priv->warmups);
}

static const struct origin *place(const struct conf_warmup *w, const struct origin *at)
{
	return at->file ? at : &w->origin;
}

static bool under_one_an_hour(struct rate x)
{
	return rate_unlimited(x) || rate_per_s(x) * 3600 < 1;
}

static void check_one(struct reading *r, const struct conf_warmup *w)
{
	if (under_one_an_hour(w->start))
		error_at(r, place(w, &w->origin_start),
			 "start: the cap of [warmup %s] is that of an hour: write at least 1/h",
			 w->name);
	if (rate_unlimited(w->until))
		error_at(
		    r, place(w, &w->origin_until),
		    "until: the last cap of [warmup %s] is that of an hour: write one, as 100000/h",
		    w->name);
	else if (!under_one_an_hour(w->start) && rate_per_s(w->until) < rate_per_s(w->start))
		error_at(r, place(w, w->origin_until.file ? &w->origin_until : &w->origin_start),
			 "until: the last cap of [warmup %s] is less than start", w->name);
	if (!(w->factor > 1))
		error_at(r, place(w, &w->origin_factor),
			 "factor: with 1 [warmup %s] would never end: write one like 2 or 1.5",
			 w->name);
}

void check_warmups(struct reading *r)
{
	const struct conf *c = r->c;
	bool *used = mem_array(&r->mem, (size_t)c->nwarmups, sizeof *used);

	for (int i = 0; i < c->nvmtas; i++)
		if (c->vmtas[i].warmup != CONF_NONE)
			used[c->vmtas[i].warmup] = true;
	for (int i = 0; i < c->nwarmups; i++) {
		check_one(r, &c->warmups[i]);
		if (!used[i] && !r->incomplete)
			warn_at(r, &c->warmups[i].origin,
				"[warmup %s] is used by no virtual MTA: write warmup = %s in one",
				c->warmups[i].name, c->warmups[i].name);
	}
}
