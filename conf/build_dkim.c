/* The [dkim] sections. The keys themselves are loaded later, by core/sign/keys.c: with the rights
 * of the user that the server runs as. */
#include "conf/reading.h"

void build_dkim(struct reading *r)
{
	struct conf *c = r->c;
	int n = sections_of(r, KIND_DKIM);

	c->dkim = mem_array(&r->mem, (size_t)n, sizeof *c->dkim);
	r->priv->dkim = name_index_make(r, n);
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		struct conf_dkim *x = &c->dkim[c->ndkim];

		if (s->kind != KIND_DKIM)
			continue;
		x->domain = s->name;
		x->origin = x->origin_must_sign = s->origin;
		build_fields(r, KIND_DKIM, s, x);
		name_index_add(r, &r->priv->dkim, s->name, c->ndkim);
		s->index = c->ndkim++;
	}
	name_index_sort(&r->priv->dkim);
}
