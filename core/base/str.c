#include "core/base/str.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/clean.h"

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool same_folded(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fold(a[i]) != fold(b[i]))
			return false;
	return true;
}

bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eqz(struct str a, const char *z)
{
	return str_eq(a, str_of(z));
}

bool str_ieq(struct str a, struct str b)
{
	return a.n == b.n && same_folded(a.p, b.p, a.n);
}

bool str_ieqz(struct str a, const char *z)
{
	return str_ieq(a, str_of(z));
}

bool str_istarts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n && same_folded(s.p, prefix, n);
}

int str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n ? memcmp(a.p, b.p, n) : 0;

	if (d)
		return d;
	return (a.n > b.n) - (a.n < b.n);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	while (s.n && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool str_split(struct str *s, char sep, struct str *word)
{
	const char *at;

	if (!s->n)
		return false;
	at = memchr(s->p, sep, s->n);
	if (!at) {
		*word = *s;
		*s = (struct str){ s->p + s->n, 0 };
		return true;
	}
	*word = (struct str){ s->p, (size_t)(at - s->p) };
	s->n -= word->n + 1;
	s->p = at + 1;
	return true;
}

char *str_dup(struct str s)
{
	char *z = malloc(s.n + 1);

	if (!z)
		return NULL;
	if (s.n)
		memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	return z;
}

bool str_lower(struct str s, char *out, size_t cap)
{
	if (s.n >= cap)
		return false;
	for (size_t i = 0; i < s.n; i++)
		out[i] = fold(s.p[i]);
	out[s.n] = '\0';
	return true;
}

enum { DISTANCE_MAX = 99 };

static int min3(int a, int b, int c)
{
	int m = a < b ? a : b;

	return m < c ? m : c;
}

int str_distance(struct str a, struct str b)
{
	int row[3][DISTANCE_MAX + 1];
	int *before = row[0], *last = row[1], *now = row[2];

	if (a.n >= DISTANCE_MAX || b.n >= DISTANCE_MAX)
		return str_eq(a, b) ? 0 : DISTANCE_MAX;
	for (int j = 0; j <= (int)b.n; j++)
		last[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		int *spare = before;

		now[0] = (int)i;
		for (size_t j = 1; j <= b.n; j++) {
			int change = last[j - 1] + (a.p[i - 1] != b.p[j - 1]);

			now[j] = min3(last[j] + 1, now[j - 1] + 1, change);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
				now[j] = min3(now[j], before[j - 2] + 1, now[j]);
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b.n];
}

bool str_utf8_valid(struct str s)
{
	uint32_t rune;

	while (s.n) {
		size_t used = 1;

		if ((unsigned char)s.p[0] >= 0x80) {
			used = clean_rune(s, &rune);
			if (rune == UINT32_MAX)
				return false;
		}
		s.p += used;
		s.n -= used;
	}
	return true;
}

bool str_glob(struct str pattern, struct str s)
{
	size_t p = 0, i = 0;
	size_t star = SIZE_MAX, resume = 0; /* the last `*`, and where its run ends so far */

	while (i < s.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			resume = i;
		} else if (p < pattern.n && fold(pattern.p[p]) == fold(s.p[i])) {
			p++;
			i++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			i = ++resume;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

static struct rstr *rstr_alloc(size_t n)
{
	struct rstr *r;

	if (n >= UINT32_MAX)
		return NULL;
	r = malloc(sizeof *r + n + 1);
	if (!r)
		return NULL;
	r->refs = 1;
	r->len = (uint32_t)n;
	r->text[n] = '\0';
	return r;
}

struct rstr *rstr_new(struct str s)
{
	struct rstr *r = rstr_alloc(s.n);

	if (r && s.n)
		memcpy(r->text, s.p, s.n);
	return r;
}

struct rstr *rstr_newf(const char *fmt, ...)
{
	struct rstr *r;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	r = rstr_alloc((size_t)n);
	if (!r)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(r->text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return r;
}

static bool counted(const struct rstr *r)
{
	return r && __atomic_load_n(&r->refs, __ATOMIC_RELAXED) != RSTR_FIXED;
}

struct rstr *rstr_ref(struct rstr *r)
{
	if (counted(r))
		__atomic_fetch_add(&r->refs, 1, __ATOMIC_RELAXED);
	return r;
}

void rstr_unref(struct rstr *r)
{
	if (counted(r) && __atomic_fetch_sub(&r->refs, 1, __ATOMIC_ACQ_REL) == 1)
		free(r);
}
