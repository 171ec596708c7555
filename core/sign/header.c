#include "core/sign/header.h"

enum { LINE_SHOWN = 40 };

/* ---- fields ---- */

/* The next CRLF's end; header.n if there is none. */
static size_t line_end(struct str header)
{
	const char *at = header.p, *end = header.p + header.n;

	while ((at = memchr(at, '\r', (size_t)(end - at)))) {
		if (at + 1 < end && at[1] == '\n')
			return (size_t)(at + 2 - header.p);
		at++;
	}
	return header.n;
}

static bool folded(struct str rest)
{
	return rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t');
}

/* RFC 5322 3.6.8: printable, no colon. Blanks before the colon are the obsolete form. */
static bool name_ok(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ';')
			return false;
	return name.n > 0;
}

bool header_next(struct str *rest, int *line, struct header_field *f, struct errbuf *e)
{
	const char *colon;
	size_t n;

	if (!rest->n)
		return false;
	f->line = ++*line;
	n = line_end(*rest);
	colon = memchr(rest->p, ':', n);
	f->name = colon ? str_trim(str_mem(rest->p, (size_t)(colon - rest->p))) : *rest;
	if (!colon || folded(*rest) || !name_ok(f->name)) {
		bool whole = n >= 2 && rest->p[n - 1] == '\n';
		struct str shown = str_trim(str_mem(rest->p, whole ? n - 2 : n));

		errbuf_set(e, "line %d of its header is no header field: \"%.*s\"", f->line,
			   shown.n < LINE_SHOWN ? (int)shown.n : LINE_SHOWN, shown.p);
		return false;
	}
	while (n < rest->n && folded(str_mem(rest->p + n, rest->n - n))) {
		n += line_end(str_mem(rest->p + n, rest->n - n));
		++*line;
	}
	f->all = str_mem(rest->p, n >= 2 && rest->p[n - 1] == '\n' ? n - 2 : n);
	f->value = str_mem(colon + 1, (size_t)(f->all.p + f->all.n - colon - 1));
	rest->p += n;
	rest->n -= n;
	return true;
}

void header_skip_line(struct str *rest)
{
	size_t n = line_end(*rest);

	rest->p += n;
	rest->n -= n;
}

/* ---- From ---- */

/* Behind a comment (they nest), a quoted string or a domain literal that begins at i. */
static size_t skip(struct str s, size_t i)
{
	char open = s.p[i], close = open == '(' ? ')' : open == '[' ? ']' : '"';
	int depth = 0;

	for (; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == close && (close != '"' || depth) && --depth == 0)
			return i + 1;
		else if (s.p[i] == open)
			depth++;
	}
	return s.n;
}

/* An address with comments and quoted texts taken out, as far as it is read. */
struct address {
	char text[DOMAIN_SIZE * 2];
	size_t n;
	bool at; /* an @ is in it */
	bool angle;
};

static void address_begin(struct address *a)
{
	a->n = 0;
	a->at = false;
}

/* Takes one character; true: the address is whole. */
static bool address_take(struct address *a, char c)
{
	if (c == '<') {
		address_begin(a);
		a->angle = true;
	} else if (c == '>' || ((c == ',' || c == ';') && a->at && !a->angle)) {
		return true;
	} else if (c == ',' || c == ';' || c == ':') {
		address_begin(a); /* "Group:", a source route's hops */
	} else if (c > ' ' || (unsigned char)c > '~') {
		a->at |= c == '@';
		if (c == '@')
			a->n = 0; /* only what follows the last one is wanted */
		else if (a->n < sizeof a->text)
			a->text[a->n++] = c;
	}
	return false;
}

bool header_from_domain(struct str value, char out[DOMAIN_SIZE])
{
	struct address a = { .n = 0 };
	size_t i = 0;

	while (i < value.n) {
		char c = value.p[i];

		if (c == '(' || c == '"' || c == '[')
			i = skip(value, i);
		else if (address_take(&a, value.p[i++]))
			break;
	}
	return a.at && a.n < sizeof a.text && domain_normal(str_mem(a.text, a.n), out);
}
