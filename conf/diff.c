/* What a reload would change, as it is written: sections and directives, not effects. */
#include <stdlib.h>

#include "conf/snapshot.h"
#include "core/base/hash.h"

enum { DIFF_ARENA_BYTES = 8 * 1024 };

struct conf_diff_private {
	struct arena arena;
	struct strmap was; /* folded header -> section */
	int cap;
	bool no_memory;
};

static const char *keep(struct conf_diff *d, const char *z)
{
	struct str s = { NULL, 0 };

	if (z)
		s = arena_str(&d->priv->arena, str_of(z));
	d->priv->no_memory = d->priv->no_memory || (z && !s.p);
	return s.p;
}

static void add(struct conf_diff *d, char sign, const char *section, const char *directive,
		const char *was, const char *now)
{
	if (d->n == d->priv->cap) {
		int cap = d->priv->cap ? 2 * d->priv->cap : 64;
		struct conf_change *v = realloc(d->v, (size_t)cap * sizeof *v);

		if (!v) {
			d->priv->no_memory = true;
			return;
		}
		d->v = v;
		d->priv->cap = cap;
	}
	d->v[d->n++] = (struct conf_change){ .sign = sign,
					     .section = keep(d, section),
					     .directive = directive,
					     .was = keep(d, was),
					     .now = keep(d, now) };
}

/* All values of a directive in the section as one text; NULL if it is not there. Lives as long as
 * the arena. */
static const char *text_of(struct arena *a, const struct conf_section *s,
			   const struct directive *dir)
{
	const char *all = NULL;

	for (const struct conf_entry *e = section_entry(s, dir); e; e = e->next)
		if (e->d == dir)
			all = arena_fmt(a, "%s%s%.*s", all ? all : "", all ? ", " : "",
					(int)e->text.n, e->text.p);
	return all;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* A secret that stands in the file itself is not told: the difference goes to screens and logs. */
static const char *hidden(const struct directive *dir, const char *text)
{
	return (dir->type == TYPE_SECRET || dir->type == TYPE_TOKEN) && text && *text &&
		       *text != '@'
		   ? "(hidden)"
		   : text;
}

static void diff_section(struct conf_diff *d, const struct conf_section *was,
			 const struct conf_section *now)
{
	for (size_t i = 0; i < directives_n; i++) {
		const struct directive *dir = &directives[i];
		const char *a, *b;

		if (!directive_allowed(dir, now->kind))
			continue;
		a = was ? text_of(&d->priv->arena, was, dir) : NULL;
		b = text_of(&d->priv->arena, now, dir);
		if (!same_text(a, b))
			add(d,
			    !a	 ? '+'
			    : !b ? '-'
				 : '~',
			    now->shown, dir->name, hidden(dir, a), hidden(dir, b));
	}
}

/* A header as it is compared: names in any case. */
static struct str key_of(struct conf_diff *d, const struct conf_section *s)
{
	struct str copy = arena_str(&d->priv->arena, str_of(s->shown));

	if (copy.p)
		str_lower(copy, (char *)(uintptr_t)copy.p, copy.n + 1);
	else
		d->priv->no_memory = true;
	return copy;
}

static void diff_sections(struct conf_diff *d, const struct conf *was, const struct conf *now)
{
	struct strmap *left = &d->priv->was;

	for (struct conf_section *s = was->priv->first; s; s = s->next)
		if (!strmap_put(left, key_of(d, s), s))
			d->priv->no_memory = true;
	for (const struct conf_section *s = now->priv->first; s && !d->priv->no_memory;
	     s = s->next) {
		const struct conf_section *old = strmap_del(left, key_of(d, s));

		if (!old)
			add(d, '+', s->shown, NULL, NULL, NULL);
		diff_section(d, old, s);
	}
	for (const struct conf_section *s = was->priv->first; s && !d->priv->no_memory; s = s->next)
		if (strmap_get(left, key_of(d, s)))
			add(d, '-', s->shown, NULL, NULL, NULL);
}

void conf_diff_make(const struct conf *was, const struct conf *now, struct conf_diff *out)
{
	*out = (struct conf_diff){ .n = 0 };
	out->priv = calloc(1, sizeof *out->priv);
	if (!out->priv)
		return;
	arena_init(&out->priv->arena, DIFF_ARENA_BYTES);
	strmap_init(&out->priv->was);
	diff_sections(out, was, now);
	if (out->priv->no_memory)
		out->n = 0; /* half a difference would be a lie */
}

void conf_diff_free(struct conf_diff *d)
{
	if (d->priv) {
		strmap_free(&d->priv->was);
		arena_free(&d->priv->arena);
		free(d->priv);
	}
	free(d->v);
	*d = (struct conf_diff){ .n = 0 };
}

void conf_diff_restart(const struct conf *was, const struct conf *now, struct buf *out)
{
	const struct conf_section *a = section_only(was, KIND_MTA),
				  *b = section_only(now, KIND_MTA);
	struct arena arena;

	arena_init(&arena, DIFF_ARENA_BYTES);
	for (size_t i = 0; i < directives_n; i++) {
		const struct directive *d = &directives[i];
		const char *x, *y;

		if (d->kind != KIND_MTA || !(d->flags & RESTART))
			continue;
		x = text_of(&arena, a, d);
		y = text_of(&arena, b, d);
		if (!x || !*x)
			x = d->def;
		if (!y || !*y)
			y = d->def;
		if (!same_text(x, y))
			buf_addf(out,
				 "[mta] %s changes from %s to %s at the next start: it needs a "
				 "restart\n",
				 d->name, x, y);
	}
	arena_free(&arena);
}
