#include <limits.h>

#include "conf/schema.h"
#include "conf/value.h"

bool directive_allowed(const struct directive *d, enum section_kind kind)
{
	return d->kind == kind || (d->kind == KIND_DOMAIN && section_infos[kind].settings);
}

const struct directive *directive_find(enum section_kind kind, struct str name)
{
	for (size_t i = 0; i < directives_n; i++)
		if (directive_allowed(&directives[i], kind) && str_ieqz(name, directives[i].name))
			return &directives[i];
	return NULL;
}

const struct directive *directive_of_setting(enum setting_id id)
{
	for (size_t i = 0; i < directives_n; i++)
		if (directives[i].kind == KIND_DOMAIN && directives[i].setting == id)
			return &directives[i];
	return NULL;
}

enum section_kind section_kind_find(struct str word)
{
	for (int k = 0; k < KIND_COUNT; k++)
		if (str_ieqz(word, section_infos[k].word))
			return (enum section_kind)k;
	return KIND_COUNT;
}

void nearest_init(struct nearest *n, struct str word)
{
	*n = (struct nearest){ .distance = INT_MAX };
	if (!str_lower(word, n->word, sizeof n->word))
		n->word[0] = '\0';
}

void nearest_try(struct nearest *n, const char *name)
{
	char folded[sizeof n->word];
	int d;

	if (!n->word[0] || !str_lower(str_of(name), folded, sizeof folded))
		return;
	d = str_distance(str_of(n->word), str_of(folded));
	if (d < n->distance) {
		n->distance = d;
		n->best = name;
	}
}

const char *nearest_best(const struct nearest *n)
{
	int len = (int)strlen(n->word);

	/* A third of the letters may be wrong: more is another word. */
	return n->best && n->distance <= len / 3 + 1 && n->distance < len ? n->best : NULL;
}

static void range_print(const struct directive *d, FILE *out)
{
	struct value lo = { .i = d->lo }, hi = { .i = d->hi };
	struct buf b;

	if (!d->hi || d->type == TYPE_TEXT || d->type == TYPE_PATH)
		return;
	buf_init(&b);
	value_write_bound(d, &lo, &b);
	buf_addz(&b, " to ");
	value_write_bound(d, &hi, &b);
	fprintf(out, ", %s", buf_z(&b));
	buf_free(&b);
}

static void directive_print(const struct directive *d, FILE *out)
{
	fprintf(out, "  %s%s = %s", d->name, d->flags & REPEATS ? "*" : "",
		value_type_name(d->type));
	for (const struct word *w = d->words; w && w->text; w++)
		fprintf(out, "%s%s", w == d->words ? ": " : ", ", w->text);
	range_print(d, out);
	if (d->def)
		fprintf(out, " [%s]", d->def);
	fprintf(out, "\n      %s.%s\n", d->help, d->flags & RESTART ? " Needs a restart." : "");
}

void conf_schema_print(FILE *out)
{
	for (int k = 0; k < KIND_COUNT; k++) {
		const struct section_info *s = &section_infos[k];

		fprintf(out, "[%s%s%s]\n    %s.%s\n", s->word, s->form ? " " : "",
			s->form ? s->form : "", s->help,
			s->settings && k != KIND_DOMAIN ? " Takes the [domain] directives too."
							: "");
		for (size_t i = 0; i < directives_n; i++) {
			const struct directive *d = &directives[i];

			if ((int)d->kind == k)
				directive_print(d, out);
		}
		fputc('\n', out);
	}
}
