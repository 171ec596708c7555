#define PCRE2_CODE_UNIT_WIDTH 8
#include "core/control/sieve.h"

#include <ctype.h>
#include <pcre2.h>
#include <stdlib.h>

#include "core/base/arena.h"

/* Hostile text against an operator's pattern: some 100 us at most for one text. So there are few of
 * them, or one row would take longer than a loop pass may. */
enum {
	MATCH_LIMIT = 20000,
	DEPTH_LIMIT = 2000,
	TERMS_MAX = 64,
	ATOMS_MAX = 256,
	REGEX_MAX = 8,
	NEAR = 3
};

enum op { OP_HAS, OP_REGEX, OP_GT, OP_LT, OP_GE, OP_LE };

struct atom {
	enum op op;
	int field; /* -1: any text */
	struct str lower;
	double number; /* a span in microseconds, a rate a second, else as written */
	pcre2_code *code;
	struct atom *either;
};
struct term {
	bool negated;
	struct atom *first;
	struct term *next;
};
struct sieve {
	struct arena mem;
	struct term *terms;
	int nterms, natoms, nregex;
	bool timed;
	pcre2_match_context *context;
	pcre2_match_data *data;
};
struct parsing {
	const struct sieve_source *src;
	struct sieve *s;
	struct str rest;
	struct errbuf *e;
};

/* ---- texts ---- */

static char lower_of(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool equal_folded(const char *p, struct str lower)
{
	for (size_t i = 0; i < lower.n; i++)
		if (lower_of(p[i]) != lower.p[i])
			return false;
	return true;
}

bool text_contains(struct str text, struct str lower)
{
	size_t last;
	char first, upper;

	if (!lower.n)
		return true;
	if (text.n < lower.n)
		return false;
	first = lower.p[0];
	upper = first >= 'a' && first <= 'z' ? (char)(first & ~0x20) : first;
	last = text.n - lower.n;
	for (size_t i = 0; i <= last; i++)
		if ((text.p[i] == first || text.p[i] == upper) && equal_folded(text.p + i, lower))
			return true;
	return false;
}

static struct str fold_copy(struct arena *a, struct str s)
{
	struct str out = arena_str(a, s);

	for (size_t i = 0; out.p && i < out.n; i++)
		((char *)out.p)[i] = lower_of(s.p[i]);
	return out;
}

/* ---- parsing ---- */

static bool regex_compile(struct parsing *p, struct atom *a, struct str text)
{
	int code;
	size_t at;
	PCRE2_UCHAR words[120];

	a->op = OP_REGEX;
	if (++p->s->nregex > REGEX_MAX) {
		errbuf_set(p->e, "a filter has at most %d regular expressions", REGEX_MAX);
		return false;
	}
	a->code = pcre2_compile((PCRE2_SPTR)text.p, text.n, PCRE2_CASELESS, &code, &at, NULL);
	if (!a->code) {
		pcre2_get_error_message(code, words, sizeof words);
		errbuf_set(p->e, "/%.*s/ is no regular expression: %s, at character %zu",
			   (int)text.n, text.p, (const char *)words, at + 1);
		return false;
	}
	/* Without JIT it works too. */
	(void)pcre2_jit_compile(a->code, PCRE2_JIT_COMPLETE);
	return true;
}

/* Cuts "…" or /…/ whose opening sign is at the front of the rest; `\/` is a slash. */
static bool cut_quoted(struct parsing *p, struct str *out)
{
	char close = p->rest.p[0];
	size_t i = 1;

	while (i < p->rest.n && p->rest.p[i] != close)
		i += close == '/' && p->rest.p[i] == '\\' ? 2 : 1;
	if (i >= p->rest.n) {
		errbuf_set(p->e, "%.*s is not closed: a second %c is missing", (int)p->rest.n,
			   p->rest.p, close);
		return false;
	}
	*out = (struct str){ p->rest.p + 1, i - 1 };
	p->rest.p += i + 1;
	p->rest.n -= i + 1;
	return true;
}

static struct str cut_word(struct parsing *p)
{
	size_t n = 0;

	while (n < p->rest.n && p->rest.p[n] != ' ' && p->rest.p[n] != '\t' && p->rest.p[n] != '|')
		n++;
	struct str word = { p->rest.p, n };

	p->rest.p += n;
	p->rest.n -= n;
	return word;
}

/* A number for a field of that type. */
static bool number_parse(struct str s, enum value_type type, double *out)
{
	double scale = 1;
	char text[40], *end;
	us_t span;
	struct rate rate;

	if ((type == V_SPAN || type == V_TIME) && !fmt_parse_duration(s, &span, NULL)) {
		*out = (double)span;
		return true;
	}
	if (type == V_PER_S && !fmt_parse_rate(s, &rate, NULL)) {
		*out = rate_per_s(rate);
		return true;
	}
	if (s.n && (s.p[s.n - 1] == 'k' || s.p[s.n - 1] == 'K'))
		scale = 1e3;
	else if (s.n && s.p[s.n - 1] == 'M')
		scale = 1e6;
	else if (!s.n || s.p[s.n - 1] != '%')
		s.n++; /* nothing to cut */
	s.n--;
	if (!s.n || s.n >= sizeof text ||
	    !(isdigit((unsigned char)s.p[0]) || s.p[0] == '.' || s.p[0] == '-'))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	*out = strtod(text, &end) * scale;
	if (*end)
		return false;
	/* A bare number of a span is seconds, as in JSON. */
	if (type == V_SPAN || type == V_TIME)
		*out *= (double)US_PER_S;
	return true;
}

const char *sieve_nearest(const struct sieve_source *src, struct str word)
{
	const char *best = NULL, *name;
	int least = NEAR;

	for (int i = 0; (name = src->name(src->arg, i)) != NULL; i++) {
		int d = str_distance(str_of(name), word);

		if (d < least) {
			least = d;
			best = name;
		}
	}
	return best;
}

/* "field" in front of one of `:<>`; 0 if the rest does not begin so. */
static size_t field_length(struct str s)
{
	size_t n = 0;

	if (!s.n || !(isalpha((unsigned char)s.p[0]) || isdigit((unsigned char)s.p[0])))
		return 0;
	while (n < s.n && (isalnum((unsigned char)s.p[n]) || strchr("_.%/", s.p[n])))
		n++;
	return n < s.n && strchr(":<>", s.p[n]) ? n : 0;
}

static bool unknown_field(struct parsing *p, struct str name)
{
	const char *near = sieve_nearest(p->src, name);

	errbuf_set(
	    p->e,
	    "there is no field \"%.*s\" here%s%s%s; to look for such a word put it in \"quotes\"",
	    (int)name.n, name.p, near ? ", did you mean \"" : "", near ? near : "",
	    near ? "\"?" : "");
	return false;
}

static bool compare_parse(struct parsing *p, struct atom *a, struct str name)
{
	bool greater = p->rest.p[0] == '>';
	enum value_type type = p->src->type(p->src->arg, a->field);
	struct str word;

	p->rest.p++;
	p->rest.n--;
	a->op = greater ? OP_GT : OP_LT;
	if (p->rest.n && p->rest.p[0] == '=') {
		a->op = greater ? OP_GE : OP_LE;
		p->rest.p++;
		p->rest.n--;
	}
	word = cut_word(p);
	if (type == V_TEXT || type == V_TREND || !number_parse(word, type, &a->number)) {
		errbuf_set(p->e, "%.*s %s: write a number (300, 10k, 1.5M, 90%%%s)", (int)name.n,
			   name.p,
			   type == V_TEXT || type == V_TREND ? "is no number"
							     : "is compared with a number",
			   type == V_SPAN || type == V_TIME ? ", 10m, 4h"
			   : type == V_PER_S		    ? ", 10/min"
							    : "");
		return false;
	}
	return true;
}

/* `field`: of the atom before, in a|b. */
static bool atom_parse(struct parsing *p, struct atom *a, int field)
{
	size_t n = field_length(p->rest);
	struct str name = { p->rest.p, n }, text;

	a->field = field;
	if (n) {
		int found = p->src->find(p->src->arg, name);
		enum value_type type = found < 0 ? V_NONE : p->src->type(p->src->arg, found);

		p->s->timed |= type == V_TIME || type == V_SPAN;
		/* An IPv6 address or host:port is a word; a name with letters in front of < or >
		 * can only be a field. */
		if (found >= 0) {
			a->field = found;
			p->rest.p += n;
			p->rest.n -= n;
			if (p->rest.p[0] != ':')
				return compare_parse(p, a, name);
			p->rest.p++;
			p->rest.n--;
		} else if (isalpha((unsigned char)name.p[0]) && !memchr(name.p, '.', n) &&
			   !(n + 1 < p->rest.n && p->rest.p[n + 1] == ':')) {
			return unknown_field(p, name);
		}
	}
	if (p->rest.n && p->rest.p[0] == '/')
		return cut_quoted(p, &text) && regex_compile(p, a, text);
	if (p->rest.n && p->rest.p[0] == '"') {
		if (!cut_quoted(p, &text))
			return false;
	} else {
		text = cut_word(p);
	}
	a->op = OP_HAS;
	a->lower = fold_copy(&p->s->mem, text);
	if (!text.n)
		errbuf_set(p->e, n ? "after \"%.*s\" a text is missing" : "a word is missing%.*s",
			   (int)n, name.p);
	return a->lower.p && text.n;
}

static bool term_parse(struct parsing *p, struct term *t)
{
	struct atom **link = &t->first;
	int field = -1;

	if (p->rest.p[0] == '!') {
		t->negated = true;
		p->rest.p++;
		p->rest.n--;
	}
	for (;;) {
		struct atom *a = arena_alloc(&p->s->mem, sizeof *a);

		if (!a) {
			errbuf_set(p->e, "no memory for the filter");
			return false;
		}
		if (++p->s->natoms > ATOMS_MAX) {
			errbuf_set(p->e, "a filter has at most %d words and alternatives",
				   ATOMS_MAX);
			return false;
		}
		*link = a;
		link = &a->either;
		if (!atom_parse(p, a, field))
			return false;
		field = a->field;
		if (!p->rest.n || p->rest.p[0] != '|')
			return true;
		p->rest.p++;
		p->rest.n--;
	}
}

static void skip_blanks(struct str *s)
{
	while (s->n && (s->p[0] == ' ' || s->p[0] == '\t')) {
		s->p++;
		s->n--;
	}
}

static bool terms_parse(struct parsing *p)
{
	struct term **link = &p->s->terms;

	for (skip_blanks(&p->rest); p->rest.n; skip_blanks(&p->rest)) {
		struct term *t = arena_alloc(&p->s->mem, sizeof *t);

		if (!t || p->s->nterms >= TERMS_MAX) {
			errbuf_set(p->e, "a filter has at most %d words", TERMS_MAX);
			return false;
		}
		*link = t;
		link = &t->next;
		p->s->nterms++;
		if (!term_parse(p, t))
			return false;
	}
	return true;
}

static bool regex_room(struct sieve *s)
{
	s->context = pcre2_match_context_create(NULL);
	s->data = pcre2_match_data_create(1, NULL);
	if (!s->context || !s->data)
		return false;
	pcre2_set_match_limit(s->context, MATCH_LIMIT);
	pcre2_set_depth_limit(s->context, DEPTH_LIMIT);
	return true;
}

struct sieve *sieve_parse(const struct sieve_source *src, struct str text, struct errbuf *e)
{
	enum { FIRST_BLOCK = 1024 };
	struct sieve *s = calloc(1, sizeof *s);
	struct parsing p = { .src = src, .s = s, .rest = str_trim(text), .e = e };

	if (!s) {
		errbuf_set(e, "no memory for the filter");
		return NULL;
	}
	arena_init(&s->mem, FIRST_BLOCK);
	if (!regex_room(s)) {
		errbuf_set(e, "no memory for the filter");
		sieve_free(s);
		return NULL;
	}
	if (!terms_parse(&p)) {
		sieve_free(s);
		return NULL;
	}
	return s;
}

void sieve_free(struct sieve *s)
{
	if (!s)
		return;
	for (struct term *t = s->terms; t; t = t->next)
		for (struct atom *a = t->first; a; a = a->either)
			pcre2_code_free(a->code);
	pcre2_match_context_free(s->context);
	pcre2_match_data_free(s->data);
	arena_free(&s->mem);
	free(s);
}

bool sieve_empty(const struct sieve *s)
{
	return !s->nterms;
}

bool sieve_timed(const struct sieve *s)
{
	return s->timed;
}

/* ---- matching ---- */

static bool text_match(const struct sieve *s, const struct atom *a, struct str text)
{
	if (a->op == OP_HAS)
		return text_contains(text, a->lower);
	return pcre2_match(a->code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, 0, 0, s->data,
			   s->context) >= 0;
}

/* field:text on what is no text compares what the screen shows. */
static bool field_match(const struct sieve *s, const struct atom *a, const struct value *v,
			us_t now)
{
	struct buf shown;
	bool yes;

	if (v->type == V_NONE)
		return false;
	if (v->type == V_TEXT)
		return text_match(s, a, v->s);
	buf_init(&shown);
	if (v->type == V_INT)
		buf_addf(&shown, "%lld", (long long)v->i);
	else
		value_text(v, now, &shown);
	yes = text_match(s, a, buf_str(&shown));
	buf_free(&shown);
	return yes;
}

static bool number_of(const struct value *v, us_t now, double *out)
{
	switch (v->type) {
	case V_INT:
	case V_SPAN:
	case V_BYTES:
	case V_BOOL:
		*out = (double)v->i;
		return true;
	case V_TIME:
		*out = v->i > now ? (double)(v->i - now) : (double)(now - v->i);
		return true;
	case V_REAL:
	case V_PER_S:
	case V_PERCENT:
	case V_SHARE:
		*out = v->d;
		return true;
	case V_NONE:
	case V_TEXT:
	case V_TREND:
		break;
	}
	return false;
}

static bool atom_match(const struct sieve *s, const struct atom *a, const struct sieve_item *it)
{
	struct value v = { .type = V_NONE };
	struct str text;
	double n;

	if (a->field < 0) {
		for (int i = 0; it->text(it, i, &text); i++)
			if (text_match(s, a, text))
				return true;
		return false;
	}
	it->value(it, a->field, &v);
	if (a->op == OP_HAS || a->op == OP_REGEX)
		return field_match(s, a, &v, it->now);
	if (!number_of(&v, it->now, &n))
		return false;
	return a->op == OP_GT	? n > a->number
	       : a->op == OP_LT ? n < a->number
	       : a->op == OP_GE ? n >= a->number
				: n <= a->number;
}

bool sieve_match(const struct sieve *s, const struct sieve_item *it)
{
	for (const struct term *t = s->terms; t; t = t->next) {
		bool yes = false;

		for (const struct atom *a = t->first; a && !yes; a = a->either)
			yes = atom_match(s, a, it);
		if (yes == t->negated)
			return false;
	}
	return true;
}
