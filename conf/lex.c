#include "conf/lex.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* A quote or regex begins only where a word begins: an apostrophe-like `"` inside a word is a
 * letter. */
static bool word_begins(struct str s, size_t i)
{
	return i == 0 || is_blank(s.p[i - 1]) || s.p[i - 1] == ',';
}

static bool word_ends(struct str s, size_t i)
{
	return i >= s.n || is_blank(s.p[i]) || s.p[i] == ',';
}

/* Index of the unescaped `q` that closes what begins at i; s.n if there is none. */
static size_t closing(struct str s, size_t i, char q)
{
	for (i++; i < s.n && s.p[i] != q; i++)
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
	return i < s.n ? i : s.n;
}

/* Past the quoted piece that begins at i; i itself if none does; s.n + 1 if it is not closed. A
 * slash begins a regex only if its end is a word's end: so that /var/spool is a path. */
static size_t skip_quoted(struct str s, size_t i)
{
	size_t end;

	if ((s.p[i] != '"' && s.p[i] != '/') || !word_begins(s, i))
		return i;
	end = closing(s, i, s.p[i]);
	if (s.p[i] == '"')
		return end + 1;
	return end < s.n && word_ends(s, end + 1) ? end + 1 : i;
}

static bool comment_begins(struct str s, size_t i)
{
	return (s.p[i] == ';' || s.p[i] == '#') && i > 0 && is_blank(s.p[i - 1]);
}

bool lex_value(struct str s, struct str *value, struct errbuf *e)
{
	size_t i = 0;

	while (i < s.n && !comment_begins(s, i)) {
		size_t next = skip_quoted(s, i);

		if (next > s.n) {
			errbuf_set(e, "a quote \" is not closed: write \"...\", and \\\" for a "
				      "quote inside");
			return false;
		}
		i = next > i ? next : i + 1;
	}
	*value = str_trim((struct str){ s.p, i });
	return true;
}

struct str lex_header(struct str line)
{
	size_t i = 0;

	while (i < line.n && !comment_begins(line, i))
		i++;
	return str_trim((struct str){ line.p, i });
}

bool lex_word(struct str *list, struct str *word)
{
	size_t i = 0;

	while (i < list->n && (is_blank(list->p[i]) || list->p[i] == ','))
		i++;
	*list = (struct str){ list->p + i, list->n - i };
	if (!list->n)
		return false;
	for (i = 0; !word_ends(*list, i);) {
		size_t next = skip_quoted(*list, i);

		i = next > i && next <= list->n ? next : i + 1;
	}
	*word = (struct str){ list->p, i };
	*list = (struct str){ list->p + i, list->n - i };
	return true;
}

size_t lex_unquote(struct str s, char *out)
{
	size_t n = 0;
	bool quoted = s.n >= 2 && s.p[0] == '"' && closing(s, 0, '"') == s.n - 1;

	if (quoted)
		s = (struct str){ s.p + 1, s.n - 2 };
	for (size_t i = 0; i < s.n; i++) {
		if (quoted && s.p[i] == '\\' && i + 1 < s.n &&
		    (s.p[i + 1] == '"' || s.p[i + 1] == '\\'))
			i++;
		out[n++] = s.p[i];
	}
	out[n] = '\0';
	return n;
}
