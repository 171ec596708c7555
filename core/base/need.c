#include "core/base/need.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MAX = 40, LITERALS_MAX = 48, PIECE = 3, DEEP_MAX = 8 };

struct literal {
	char text[RUN_MAX];
	size_t n;
};

struct literals {
	struct literal v[LITERALS_MAX];
	int n;
};

struct parse {
	const char *p;
	bool extended, gave_up; /* gave_up: something that is not understood here */
	int deep;
};

/* Of one alternative: the longest literal, or the group of which one alternative must occur. */
struct sequence {
	struct literal run, best;
	struct literals group;
	bool has_group;
};

static unsigned piece(const char *p)
{
	return ((unsigned)p[0] & 31) << 10 | ((unsigned)p[1] & 31) << 5 | ((unsigned)p[2] & 31);
}

void pieces_of(struct str text, struct pieces *out)
{
	memset(out, 0, sizeof *out);
	for (size_t i = 0; i + PIECE <= text.n; i++) {
		unsigned b = piece(text.p + i);

		out->bits[b >> 6] |= 1ull << (b & 63);
	}
}

/* ---- reading a pattern ---- */

static void end_run(struct sequence *s)
{
	if (s->run.n > s->best.n)
		s->best = s->run;
	s->run.n = 0;
}

static void skip_blanks(struct parse *p)
{
	while (p->extended && *p->p && isspace((unsigned char)*p->p))
		p->p++;
}

enum { ONCE, REPEATED, OPTIONAL };

static int quantifier(struct parse *p)
{
	int q = ONCE;

	skip_blanks(p);
	if (*p->p == '?' || *p->p == '*') {
		q = OPTIONAL;
		p->p++;
	} else if (*p->p == '+') {
		q = REPEATED;
		p->p++;
	} else if (*p->p == '{') {
		const char *end = strchr(p->p, '}');

		if (!end || !isdigit((unsigned char)p->p[1])) {
			p->gave_up = true;
			return ONCE;
		}
		q = p->p[1] == '0' ? OPTIONAL : REPEATED;
		p->p = end + 1;
	}
	if (q != ONCE && (*p->p == '?' || *p->p == '+'))
		p->p++;
	return q;
}

static void literal(struct parse *p, struct sequence *s, char c)
{
	int q = quantifier(p);

	if (s->run.n == RUN_MAX)
		end_run(s);
	if (q != OPTIONAL)
		s->run.text[s->run.n++] = c;
	if (q != ONCE)
		end_run(s);
}

/* Behind `[`. */
static void skip_class(struct parse *p)
{
	if (*p->p == '^')
		p->p++;
	if (*p->p == ']')
		p->p++;
	for (; *p->p && *p->p != ']'; p->p++) {
		if (*p->p == '[')
			p->gave_up = true; /* [:alpha:] */
		if (*p->p == '\\' && p->p[1])
			p->p++;
	}
	if (*p->p)
		p->p++;
	else
		p->gave_up = true;
}

static void escape(struct parse *p, struct sequence *s)
{
	char c = *p->p;

	if (!c) {
		p->gave_up = true;
		return;
	}
	p->p++;
	if (!isalnum((unsigned char)c)) {
		literal(p, s, c);
	} else if (strchr("dDwWsSnrthHvVRN", c)) {
		quantifier(p);
		end_run(s);
	} else if (!strchr("bBAzZ", c)) {
		p->gave_up = true;
	}
}

static bool alternatives(struct parse *p, struct literals *out);

/* Behind `(`. A look-around needs nothing that could be used. */
static void group(struct parse *p, struct sequence *s)
{
	struct literals inner = { .n = 0 };
	bool looks = false, all;

	end_run(s);
	if (*p->p == '*' || p->deep >= DEEP_MAX) {
		p->gave_up = true;
		return;
	}
	if (*p->p == '?') {
		looks = p->p[1] == '=' || p->p[1] == '!' || p->p[1] == '<';
		if (!looks && p->p[1] != ':') {
			p->gave_up = true;
			return;
		}
		p->p += looks && p->p[1] == '<' ? 3 : 2;
	}
	p->deep++;
	all = alternatives(p, &inner);
	p->deep--;
	if (*p->p != ')') {
		p->gave_up = true;
		return;
	}
	p->p++;
	if (quantifier(p) != OPTIONAL && !looks && all && !s->has_group) {
		s->group = inner;
		s->has_group = true;
	}
}

static void atom(struct parse *p, struct sequence *s)
{
	char c = *p->p++;

	if (p->extended && isspace((unsigned char)c))
		return;
	switch (c) {
	case '\\':
		escape(p, s);
		return;
	case '[':
		skip_class(p);
		quantifier(p);
		end_run(s);
		return;
	case '(':
		group(p, s);
		return;
	case '.':
		quantifier(p);
		end_run(s);
		return;
	case '^':
	case '$':
		return;
	case '?':
	case '*':
	case '+':
	case '{':
		p->gave_up = true;
		return;
	default:
		p->gave_up |= p->extended && c == '#';
		literal(p, s, c);
	}
}

static bool add(struct literals *out, const struct literal *l)
{
	if (out->n == LITERALS_MAX)
		return false;
	out->v[out->n++] = *l;
	return true;
}

/* One alternative; false: it needs nothing that is known. */
static bool sequence(struct parse *p, struct literals *out)
{
	struct sequence s = { .has_group = false };
	bool ok = true;

	while (*p->p && *p->p != '|' && *p->p != ')' && !p->gave_up)
		atom(p, &s);
	end_run(&s);
	if (s.best.n >= PIECE + 2 || (s.best.n >= PIECE && !s.has_group))
		return add(out, &s.best);
	for (int i = 0; s.has_group && i < s.group.n; i++)
		ok = add(out, &s.group.v[i]) && ok;
	return s.has_group && ok;
}

static bool alternatives(struct parse *p, struct literals *out)
{
	bool all = true;

	for (;;) {
		all = sequence(p, out) && all;
		if (*p->p != '|' || p->gave_up)
			return all && !p->gave_up;
		p->p++;
	}
}

/* ---- the need ---- */

bool need_make(struct need *n, const char *regex, bool extended)
{
	struct parse p = { .p = regex, .extended = extended };
	struct literals all = { .n = 0 };
	size_t cells = 1, at = 0;

	n->v = NULL;
	if (!alternatives(&p, &all) || *p.p)
		return true;
	for (int i = 0; i < all.n; i++)
		cells += all.v[i].n - PIECE + 2;
	n->v = calloc(cells, sizeof *n->v);
	if (!n->v)
		return false;
	for (int i = 0; i < all.n; i++) {
		n->v[at++] = (uint16_t)(all.v[i].n - PIECE + 1);
		for (size_t k = 0; k + PIECE <= all.v[i].n; k++)
			n->v[at++] = (uint16_t)piece(all.v[i].text + k);
	}
	return true;
}

void need_free(struct need *n)
{
	free(n->v);
	n->v = NULL;
}

bool need_met(const struct need *n, const struct pieces *p)
{
	for (const uint16_t *v = n->v; v && *v; v += *v + 1) {
		int i = 1;

		while (i <= *v && (p->bits[v[i] >> 6] >> (v[i] & 63) & 1))
			i++;
		if (i > *v)
			return true;
	}
	return !n->v;
}
