/* MX patterns of providers that hardly mean what was written: a dot too many, one that another
 * provider has as well. */
#include "conf/lex.h"
#include "conf/reading.h"

static void trailing_dots(struct reading *r, const struct conf_section *s,
			  const struct directive *mx)
{
	for (const struct conf_entry *e = section_entry(s, mx); e; e = e->next) {
		struct str list = e->text, word;

		while (e->d == mx && !e->bad && lex_word(&list, &word))
			if (word.n > 1 && word.p[word.n - 1] == '.')
				warn_at(r, &e->at,
					"mx: %.*s is read without the dot at its end: hosts are "
					"known without it",
					(int)word.n, word.p);
	}
}

static const struct conf_provider *other_with(const struct conf *c, int self, const char *pattern)
{
	for (int i = 0; i < c->nproviders; i++)
		for (int k = 0; i != self && k < c->providers[i].nmx; k++)
			if (strcmp(c->providers[i].mx[k], pattern) == 0)
				return &c->providers[i];
	return NULL;
}

/* Of two providers with the same pattern the first gets the sites. Between yours and a shipped one
 * that is yours, but domains that the shipped one names stay there. */
static void twice(struct reading *r, const struct conf_section *s)
{
	const struct conf *c = r->c;
	const struct conf_provider *p = &c->providers[s->index];

	for (int k = 0; k < p->nmx; k++) {
		const struct conf_provider *q = other_with(c, s->index, p->mx[k]);
		bool shipped = q && r->priv->provider_sections[q - c->providers]->shipped;

		if (!q || (!shipped && q > p))
			continue;
		if (!shipped)
			warn_at(r, &p->origin,
				"provider %s: mx %s is in provider %s too (%s:%d), and that one "
				"gets its sites",
				p->name, p->mx[k], q->name, q->origin.file, q->origin.line);
		else if (q->ndomains)
			warn_at(
			    r, &p->origin,
			    "provider %s: mx %s is the pattern of provider %s that comes with "
			    "Stoker, which keeps "
			    "%s and its other domains: write your directives into [provider %s]",
			    p->name, p->mx[k], q->name, q->domains[0], q->name);
	}
}

void check_mx(struct reading *r)
{
	const struct directive *mx = directive_find(KIND_PROVIDER, STR_LIT("mx"));

	for (const struct conf_section *s = r->priv->first; s; s = s->next) {
		if (s->kind != KIND_PROVIDER || s->shipped || s->index == CONF_NONE)
			continue;
		trailing_dots(r, s, mx);
		twice(r, s);
	}
}
