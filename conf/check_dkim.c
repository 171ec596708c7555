/* What the [dkim] sections and dkim-sign say only together. */
#include "conf/reading.h"

static const struct conf_entry *dkim_entry(const struct conf_section *s, const char *name)
{
	return section_entry(s, directive_find(KIND_DKIM, str_of(name)));
}

/* Both or neither; the first pair is needed. */
static void check_pair(struct reading *r, const struct conf_section *s, const char *selector,
		       const char *key_file, bool needed)
{
	const struct conf_entry *a = dkim_entry(s, selector), *b = dkim_entry(s, key_file);
	bool has_a = a && !a->clear, has_b = b && !b->clear;

	if (!has_a && (has_b || needed))
		error_at(r, has_b ? &b->at : &s->origin, "%s needs %s, the key's name in the DNS",
			 s->shown, selector);
	if (!has_b && (has_a || needed))
		error_at(r, has_a ? &a->at : &s->origin,
			 "%s needs %s, the file of the private key (stoker does not make keys: "
			 "openssl genrsa -out FILE 2048)",
			 s->shown, key_file);
}

static void check_section(struct reading *r, const struct conf_section *s)
{
	const struct conf_dkim *d = &r->c->dkim[s->index];
	const struct conf_entry *second = dkim_entry(s, "second-selector");

	check_pair(r, s, "selector", "key-file", true);
	check_pair(r, s, "second-selector", "second-key-file", false);
	if (d->selector && d->second_selector &&
	    str_ieq(str_of(d->selector), str_of(d->second_selector)))
		error_at(r, &second->at,
			 "second-selector is the same as selector: the two keys need names of "
			 "their own in the DNS");
}

static const struct conf_entry *first_sign(const struct reading *r)
{
	for (const struct conf_section *s = r->priv->first; s; s = s->next) {
		const struct conf_entry *e = s->set ? s->set[SET_DKIM_SIGN] : NULL;

		if (e && !e->clear && e->v.b)
			return e;
	}
	return NULL;
}

void check_dkim(struct reading *r)
{
	const struct conf_entry *sign = first_sign(r);
	const struct conf_section *first = NULL;

	for (const struct conf_section *s = r->priv->first; s; s = s->next) {
		if (s->kind != KIND_DKIM)
			continue;
		first = first ? first : s;
		check_section(r, s);
	}
	if (sign && !first && !r->incomplete)
		warn_at(r, &sign->at,
			"dkim-sign = yes, but there is no [dkim] section: mail goes unsigned");
	if (first && !sign && !r->incomplete)
		warn_at(r, &first->origin,
			"%s signs nothing: dkim-sign = yes stands nowhere (write it in [domain *])",
			first->shown);
}
