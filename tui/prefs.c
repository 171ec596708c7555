#include "tui/prefs.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/jsonw.h"

static void free_history(struct user_prefs *p)
{
	for (int i = 0; i < p->nhistory; i++)
		free(p->history[i]);
	p->nhistory = 0;
}

void prefs_free(struct console *c)
{
	for (int i = 0; i < c->nprefs; i++)
		free_history(&c->prefs[i]);
	free(c->prefs);
	c->prefs = NULL;
	c->nprefs = 0;
}

struct user_prefs *console_prefs_of(struct console *c, const char *user)
{
	struct user_prefs *v;

	for (int i = 0; i < c->nprefs; i++)
		if (strcmp(c->prefs[i].user, user) == 0)
			return &c->prefs[i];
	v = realloc(c->prefs, (size_t)(c->nprefs + 1) * sizeof *v);
	if (!v)
		return NULL;
	c->prefs = v;
	v = &c->prefs[c->nprefs++];
	*v = (struct user_prefs){ 0 };
	snprintf(v->user, sizeof v->user, "%s", user);
	return v;
}

void console_save_prefs(struct console *c, struct user_prefs *p)
{
	struct buf b;

	if (!c->env.save_prefs || !p)
		return;
	buf_init(&b);
	prefs_print(p, &b);
	if (!buf_failed(&b))
		c->env.save_prefs(c->env.arg, str_of(p->user), buf_str(&b));
	buf_free(&b);
}

void console_prefs(struct console *c, struct str user, struct str json)
{
	char name[64];
	struct user_prefs *p;

	snprintf(name, sizeof name, "%.*s", (int)user.n, user.p);
	p = console_prefs_of(c, name);
	if (p)
		prefs_parse(p, json);
}

/* The names of hidden columns: numbers of fields would not outlive a version. */
static uint64_t hidden_parse(enum list_id l, const json_t *names)
{
	const struct list_def *d = list_def(l);
	uint64_t hidden = 0;
	size_t i;
	const json_t *v;

	json_array_foreach(names, i, v)
	{
		const char *name = json_string_value(v);
		const struct field *f = name ? field_find(l, str_of(name)) : NULL;
		if (f)
			hidden |= (uint64_t)1 << (f - d->fields);
	}
	return hidden;
}

void prefs_parse(struct user_prefs *p, struct str text)
{
	json_t *o = json_loadb(text.p, text.n, 0, NULL);
	const char *theme = json_string_value(json_object_get(o, "theme"));
	const json_t *history = json_object_get(o, "history"), *v;
	size_t i;

	if (theme)
		snprintf(p->theme, sizeof p->theme, "%s", theme);
	for (int l = 0; l < LIST_COUNT; l++) {
		const char *name = list_def((enum list_id)l)->name;
		const char *sort =
		    json_string_value(json_object_get(json_object_get(o, "sort"), name));
		const json_t *hidden = json_object_get(json_object_get(o, "hidden"), name);
		if (sort)
			snprintf(p->sort[l], sizeof p->sort[l], "%s", sort);
		if (hidden)
			p->hidden[l] = hidden_parse((enum list_id)l, hidden);
	}
	free_history(p);
	json_array_foreach(history, i, v)
	{
		const char *line = json_string_value(v);
		char *copy = line && p->nhistory < PROMPT_HISTORY ? str_dup(str_of(line)) : NULL;
		if (copy)
			p->history[p->nhistory++] = copy;
	}
	json_decref(o);
}

static void hidden_print(struct jsonw *w, enum list_id l, uint64_t hidden)
{
	const struct list_def *d = list_def(l);

	jsonw_array(w, d->name);
	for (int i = 0; i < d->nfields && i < TABLE_COLUMNS; i++)
		if (hidden >> i & 1)
			jsonw_z(w, NULL, d->fields[i].json);
	jsonw_end_array(w);
}

void prefs_print(const struct user_prefs *p, struct buf *out)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_object(&w, NULL);
	if (p->theme[0])
		jsonw_z(&w, "theme", p->theme);
	jsonw_object(&w, "sort");
	for (int l = 0; l < LIST_COUNT; l++)
		if (p->sort[l][0])
			jsonw_z(&w, list_def((enum list_id)l)->name, p->sort[l]);
	jsonw_end_object(&w);
	jsonw_object(&w, "hidden");
	for (int l = 0; l < LIST_COUNT; l++)
		if (p->hidden[l])
			hidden_print(&w, (enum list_id)l, p->hidden[l]);
	jsonw_end_object(&w);
	jsonw_array(&w, "history");
	for (int i = 0; i < p->nhistory; i++)
		jsonw_z(&w, NULL, p->history[i]);
	jsonw_end_array(&w);
	jsonw_end_object(&w);
}
