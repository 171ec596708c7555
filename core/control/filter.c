/* Filters over rows of the mirror. */
#include <stdlib.h>

#include "core/control/sieve.h"

enum { WORDS_MAX = 16 };

struct filter {
	enum list_id list;
	struct sieve *sieve;
	int words[WORDS_MAX + 1]; /* fields that bare words look at; ends with -1 */
};

static int row_find(const void *arg, struct str name)
{
	enum list_id l = *(const enum list_id *)arg;
	const struct field *f = field_find(l, name);

	return f ? (int)(f - list_def(l)->fields) : -1;
}

static const char *row_name(const void *arg, int i)
{
	const struct list_def *d = list_def(*(const enum list_id *)arg);

	return i < d->nfields ? d->fields[i].json : NULL;
}

static enum value_type row_type(const void *arg, int field)
{
	return list_def(*(const enum list_id *)arg)->fields[field].type;
}

struct filter *filter_parse(enum list_id l, struct str text, struct errbuf *e)
{
	const struct list_def *d = list_def(l);
	struct sieve_source src = { &l, row_find, row_name, row_type };
	struct filter *f = calloc(1, sizeof *f);
	int n = 0;

	if (!f) {
		errbuf_set(e, "no memory for the filter");
		return NULL;
	}
	f->list = l;
	f->sieve = sieve_parse(&src, text, e);
	if (!f->sieve) {
		free(f);
		return NULL;
	}
	for (int i = 0; i < d->nfields && n < WORDS_MAX; i++)
		if (d->fields[i].word)
			f->words[n++] = i;
	f->words[n] = -1;
	return f;
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	sieve_free(f->sieve);
	free(f);
}

bool filter_timed(const struct filter *f)
{
	return sieve_timed(f->sieve);
}

struct row_item {
	struct sieve_item item;
	const struct filter *f;
	const struct row *r;
};

static void row_value(const struct sieve_item *it, int field, struct value *out)
{
	const struct row_item *ri = it->arg;

	list_def(ri->f->list)->fields[field].get(ri->r, it->now, out);
}

static bool row_text(const struct sieve_item *it, int i, struct str *out)
{
	const struct row_item *ri = it->arg;
	struct value v = { .type = V_NONE };

	if (ri->f->words[i] < 0)
		return false;
	row_value(it, ri->f->words[i], &v);
	*out = v.type == V_TEXT ? v.s : STR_LIT("");
	return true;
}

bool filter_match(const struct filter *f, const struct row *r, us_t now)
{
	struct row_item ri = { .item = { .value = row_value, .text = row_text, .now = now },
			       .f = f,
			       .r = r };

	ri.item.arg = &ri;
	return sieve_match(f->sieve, &ri.item);
}
