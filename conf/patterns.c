#include "conf/patterns.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "conf/reading.h"
#include "conf/value.h"

struct patterns {
	uint32_t magic, refs; /* refs: atomic */
	struct pattern_list *lists;
	struct pattern *all;
	struct category_rules categories;
	int nlists, nall;
};
enum { PATTERNS_MAGIC = 0x50415454, RULE_BYTES = 300 };

/* ---- counted ---- */

struct patterns *patterns_ref(struct patterns *p)
{
	if (p)
		__atomic_fetch_add(&p->refs, 1, __ATOMIC_RELAXED);
	return p;
}

static void clear(struct pattern *p)
{
	pcre2_code_free(p->code);
	free((char *)(uintptr_t)p->rule);
	need_free(&p->need);
}

void patterns_unref(struct patterns *p)
{
	if (!p)
		return;
	OBJ_CHECK(p, PATTERNS_MAGIC);
	if (__atomic_fetch_sub(&p->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	p->magic = 0;
	for (int i = 0; i < p->nall; i++)
		clear(&p->all[i]);
	for (int i = 0; i < p->categories.n; i++) {
		clear(&p->categories.v[i].pattern);
		free((char *)(uintptr_t)p->categories.v[i].category);
		free((char *)(uintptr_t)p->categories.v[i].codes);
		free((char *)(uintptr_t)p->categories.v[i].from);
	}
	free(p->categories.v);
	for (int i = 0; i < p->nlists; i++) {
		free(p->lists[i].v);
		free((char *)(uintptr_t)p->lists[i].name);
	}
	free(p->lists);
	free(p->all);
	free(p);
}

const struct pattern_list *patterns_find(const struct patterns *p, const char *name)
{
	for (int i = 0; p && name && i < p->nlists; i++)
		if (str_ieqz(str_of(name), p->lists[i].name))
			return &p->lists[i];
	return NULL;
}

/* ---- compiling ---- */

static pcre2_code *compile(const char *regex, struct errbuf *e)
{
	PCRE2_UCHAR text[200];
	PCRE2_SIZE at = 0;
	int error = 0;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED,
					 PCRE2_CASELESS | PCRE2_MULTILINE, &error, &at, NULL);

	if (!code && e) {
		pcre2_get_error_message(error, text, sizeof text);
		errbuf_set(e, "/%.60s/ is wrong at byte %zu: %s", regex, (size_t)at,
			   (const char *)text);
	}
	return code;
}

const struct err *pattern_check(const char *regex, struct errbuf *e)
{
	pcre2_code *code = compile(regex, e);

	pcre2_code_free(code);
	return code ? NULL : &err_invalid;
}

static char *rule_name(const struct origin *at)
{
	char name[RULE_BYTES], file[RULE_BYTES];

	snprintf(file, sizeof file, "%.250s", at->file);
	snprintf(name, sizeof name, "%.250s:%d", basename(file), at->line);
	return str_dup(str_of(name));
}

static bool compile_one(struct pattern *to, const struct conf_entry *e, const char *regex)
{
	to->code = compile(regex, NULL);
	to->rule = rule_name(&e->at);
	if (!to->code || !to->rule || !need_make(&to->need, regex, false))
		return false;
	/* Where the processor or a policy forbids JIT, the interpreter gives the same answers. */
	(void)pcre2_jit_compile(to->code, PCRE2_JIT_COMPLETE);
	return true;
}

static bool copy(const char **to, const char *from)
{
	*to = from ? str_dup(str_of(from)) : NULL;
	return !from || *to;
}

static bool compile_category(struct category_rule *to, const struct conf_entry *e)
{
	static const unsigned acts[] = {
		[CATEGORY_LANE_SLOWER] = DO_SLOWER, [CATEGORY_LANE_BACKOFF] = DO_BACKOFF
	};
	const struct category_line *l = e->v.category;

	to->pattern.does.acts = acts[l->lane];
	to->lane = l->lane;
	to->hard = l->hard;
	return compile_one(&to->pattern, e, l->regex) && copy(&to->category, l->category) &&
	       copy(&to->codes, l->codes) && copy(&to->from, l->from);
}

static bool compile_categories(struct patterns *p, const struct conf_private *c)
{
	const struct conf_section *s = c->first;
	int n = 0;

	while (s && s->kind != KIND_CATEGORIES)
		s = s->next;
	if (!s)
		return true;
	for (const struct conf_entry *e = s->first; e; e = e->next)
		n++;
	p->categories.v = calloc((size_t)n + 1, sizeof *p->categories.v);
	if (!p->categories.v)
		return false;
	for (const struct conf_entry *e = s->first; e; e = e->next)
		if (!e->bad && !e->clear &&
		    !compile_category(&p->categories.v[p->categories.n++], e))
			return false;
	return true;
}

/* Without any [pattern-list default] it is empty, so that categories are found by it. */
static bool add_default(struct patterns *p)
{
	struct pattern_list *l = &p->lists[p->nlists];

	if (patterns_find(p, "default"))
		return true;
	p->nlists++;
	l->categories = &p->categories;
	l->name = str_dup(STR_LIT("default"));
	l->v = calloc(1, sizeof *l->v);
	return l->name && l->v;
}

static bool fill_list(struct patterns *p, struct pattern_list *to, const struct conf_patterns *from)
{
	to->categories = &p->categories;
	to->name = str_dup(str_of(from->name));
	to->v = calloc((size_t)from->n + 1, sizeof *to->v);
	if (!to->name || !to->v)
		return false;
	for (int i = 0; i < from->n; i++) {
		const struct pattern *one = &p->all[from->v[i]->v.reply->index];

		to->v[to->n++] = one;
		if (one->does.acts & DO_NORMAL)
			to->n_success = to->n;
	}
	return true;
}

static bool compile_reply(struct pattern *to, const struct conf_entry *e)
{
	to->does = e->v.reply->does;
	return compile_one(to, e, e->v.reply->regex);
}

struct patterns *patterns_make(const struct conf_private *c)
{
	struct patterns *p = calloc(1, sizeof *p);
	bool ok = p != NULL;

	if (!ok)
		return NULL;
	p->magic = PATTERNS_MAGIC;
	p->refs = 1;
	p->all = calloc((size_t)c->nreplies + 1, sizeof *p->all);
	p->lists = calloc((size_t)c->npatterns + 1, sizeof *p->lists); /* and default */
	p->nall = p->all ? c->nreplies : 0;
	for (int i = 0; i < p->nall && ok; i++)
		ok = compile_reply(&p->all[i], c->replies[i]);
	for (int i = 0; p->lists && i < c->npatterns && ok; i++)
		ok = fill_list(p, &p->lists[p->nlists++], &c->patterns[i]);
	if (ok && p->all && p->lists && add_default(p) && compile_categories(p, c))
		return p;
	patterns_unref(p);
	return NULL;
}

/* ---- from sections ---- */

static struct conf_patterns *list_find(struct reading *r, const char *name)
{
	for (int i = 0; i < r->priv->npatterns; i++)
		if (str_ieqz(str_of(name), r->priv->patterns[i].name))
			return &r->priv->patterns[i];
	return NULL;
}

static const char *list_nearest(struct reading *r, const char *name)
{
	struct nearest n;

	nearest_init(&n, str_of(name));
	for (int i = 0; i < r->priv->npatterns; i++)
		nearest_try(&n, r->priv->patterns[i].name);
	return did_you_mean(r, &n);
}

static void expand(struct reading *r, struct conf_patterns *l);

static void push(struct reading *r, struct conf_patterns *l, const struct conf_entry *e)
{
	const struct conf_entry **v;

	if (l->n == l->cap) {
		v = mem_array(&r->mem, (size_t)(2 * l->cap + 16), sizeof *v);
		if (l->n)
			memcpy(v, l->v, (size_t)l->n * sizeof *v);
		l->cap = 2 * l->cap + 16;
		l->v = v;
	}
	l->v[l->n++] = e;
}

static void include(struct reading *r, struct conf_patterns *l, const struct conf_entry *e)
{
	struct conf_patterns *from = list_find(r, e->v.reply->include);

	if (!from) {
		/* The list that ships with Stoker may be left out: then there is nothing in it. */
		if (!r->incomplete && !str_ieqz(str_of(e->v.reply->include), "default"))
			error_at(r, &e->at, "reply: there is no [pattern-list %s]%s",
				 e->v.reply->include, list_nearest(r, e->v.reply->include));
		return;
	}
	if (from->expanding) {
		error_at(r, &e->at, "reply: [pattern-list %s] includes itself", from->name);
		return;
	}
	expand(r, from);
	from->used = true;
	for (int i = 0; i < from->n; i++)
		push(r, l, from->v[i]);
}

static void expand(struct reading *r, struct conf_patterns *l)
{
	if (l->done)
		return;
	l->expanding = true;
	for (const struct conf_entry *e = l->section->first; e; e = e->next) {
		if (e->bad || e->clear)
			continue;
		if (e->v.reply->include)
			include(r, l, e);
		else
			push(r, l, e);
	}
	l->expanding = false;
	l->done = true;
}

static void count_replies(struct reading *r, const struct conf_section *s)
{
	for (struct conf_entry *e = s->first; e; e = e->next)
		if (!e->bad && !e->clear && !e->v.reply->include) {
			e->v.reply->index = r->priv->nreplies;
			r->priv->replies[r->priv->nreplies++] = e;
		}
}

void build_patterns_lists(struct reading *r)
{
	int n = sections_of(r, KIND_PATTERN_LIST), replies = 0;

	r->priv->patterns = mem_array(&r->mem, (size_t)n, sizeof *r->priv->patterns);
	for (const struct conf_section *s = r->priv->first; s; s = s->next)
		for (const struct conf_entry *e = s->first; e; e = e->next)
			replies += s->kind == KIND_PATTERN_LIST;
	r->priv->replies = mem_array(&r->mem, (size_t)replies, sizeof(struct conf_entry *));
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		if (s->kind != KIND_PATTERN_LIST)
			continue;
		s->index = r->priv->npatterns;
		r->priv->patterns[r->priv->npatterns++] =
		    (struct conf_patterns){ .name = s->name, .section = s };
		count_replies(r, s);
	}
	for (int i = 0; i < r->priv->npatterns; i++)
		expand(r, &r->priv->patterns[i]);
}

/* ---- checking ---- */

static bool matches_all(const char *regex)
{
	static const char *const any[] = { "", ".*", ".", ".+", "^", "^.*", "^.*$", ".*$" };

	for (size_t i = 0; i < sizeof any / sizeof any[0]; i++)
		if (strcmp(regex, any[i]) == 0)
			return true;
	return false;
}

static const struct conf_entry *hides(const struct conf_patterns *l, int i)
{
	const char *regex = l->v[i]->v.reply->regex;

	for (int k = 0; k < i; k++) {
		const char *before = l->v[k]->v.reply->regex;

		if (matches_all(before) || str_ieqz(str_of(regex), before))
			return l->v[k];
	}
	return NULL;
}

static void check_hidden(struct reading *r, const struct conf_patterns *l)
{
	for (int i = 1; i < l->n; i++) {
		const struct conf_entry *e = l->v[i], *before;

		if (e->shipped || !(before = hides(l, i)))
			continue; /* the operator can't mend what he did not write */
		warn_at(
		    r, &e->at,
		    "[pattern-list %s]: /%s/ is never reached: /%s/ (%s:%d) stands before it and "
		    "matches the same",
		    l->name, e->v.reply->regex, before->v.reply->regex, before->at.file,
		    before->at.line);
	}
}

void check_patterns(struct reading *r)
{
	for (const struct conf_section *s = r->priv->first; s; s = s->next) {
		const struct conf_entry *e = s->set ? s->set[SET_SMTP_PATTERN_LIST] : NULL;
		struct conf_patterns *l;

		if (!e || e->clear)
			continue;
		l = list_find(r, e->v.z);
		if (l)
			l->used = true;
		else if (!r->incomplete)
			error_at(r, &e->at, "smtp-pattern-list: there is no [pattern-list %s]%s",
				 e->v.z, list_nearest(r, e->v.z));
	}
	for (int i = 0; i < r->priv->npatterns; i++) {
		const struct conf_patterns *l = &r->priv->patterns[i];

		check_hidden(r, l);
		if (!l->used && !l->section->shipped && !str_ieqz(str_of(l->name), "default"))
			warn_at(r, &l->section->origin,
				"[pattern-list %s] is used by no smtp-pattern-list: it changes "
				"nothing",
				l->name);
		if (!l->n && !r->incomplete)
			warn_at(r, &l->section->origin, "[pattern-list %s] has no reply line",
				l->name);
	}
}
