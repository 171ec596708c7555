/* PowerMTA's language: lines to statements. What can't be one is reported where it stands. */
#include <glob.h>
#include <stdlib.h>

#include "conf/pmta_priv.h"
#include "conf/reading.h"
#include "conf/value.h"

enum { DEPTH_MAX = 8, FILES_MAX = 1000, EXPANDED_MAX = 1024 * 1024 };

struct text {
	const char *shown, *dir;
	struct str rest;
	int line;
};

struct macro {
	struct str value;
	bool busy; /* is being expanded: a loop */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct str trim(struct str s)
{
	while (s.n && is_blank(s.p[0]))
		s = (struct str){ s.p + 1, s.n - 1 };
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Past a quote or a /regex/ that begins here; else 0. A slash begins a regex only if one ends it at
 * a word's end. */
static size_t held(struct str s)
{
	char q = s.p[0];
	size_t i = 1;

	if (q != '"' && q != '/')
		return 0;
	while (i < s.n && s.p[i] != q)
		i += s.p[i] == '\\' && i + 1 < s.n ? 2 : 1;
	if (i >= s.n)
		return 0;
	i++;
	return q == '"' || i == s.n || is_blank(s.p[i]) || s.p[i] == ',' ? i : 0;
}

static bool cut_word(struct str *rest, struct str *word, bool commas)
{
	struct str s = *rest;
	size_t i = 0;

	while (s.n && (is_blank(s.p[0]) || (commas && (s.p[0] == ',' || s.p[0] == ';'))))
		s = (struct str){ s.p + 1, s.n - 1 };
	*rest = s;
	if (!s.n)
		return false;
	while (i < s.n && !is_blank(s.p[i]) && !(commas && (s.p[i] == ',' || s.p[i] == ';'))) {
		size_t n = held((struct str){ s.p + i, s.n - i });

		if (!n)
			n = s.p[i] == '\\' && i + 1 < s.n ? 2 : 1;
		i += n;
	}
	*word = (struct str){ s.p, i };
	*rest = (struct str){ s.p + i, s.n - i };
	return true;
}

bool pmta_word(struct str *rest, struct str *word)
{
	return cut_word(rest, word, false);
}

bool pmta_element(struct str *rest, struct str *word)
{
	return cut_word(rest, word, true);
}

struct str pmta_plain(struct pmta *im, struct str s)
{
	char *out = mem_alloc(&im->mem, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			continue;
		if (s.p[i] == '\\' && i + 1 < s.n && strchr("\"\\ $", s.p[i + 1]))
			i++;
		out[n++] = s.p[i];
	}
	return (struct str){ out, n };
}

unsigned pmta_scope_of(const struct pmta_block *b)
{
	if (!b)
		return IN_GLOBAL;
	return b->tag ? b->tag->is : IN_NOTHING;
}

/* ---- statements ---- */

static struct pmta_stmt *add(struct pmta *im, const struct text *t, struct str name,
			     struct str value)
{
	struct pmta_stmt *s = mem_alloc(&im->mem, sizeof *s);

	*s = (struct pmta_stmt){
		.file = t->shown, .line = t->line, .name = name, .value = value, .in = im->open
	};
	if (im->last)
		im->last->next = s;
	else
		im->first = s;
	im->last = s;
	return s;
}

static struct str copy(struct pmta *im, struct str s)
{
	return (struct str){ mem_z(&im->mem, s), s.n };
}

/* The next line without comment and blanks; *cut: the comment's # stood directly behind a letter.
 */
static bool take_line(struct text *t, struct str *line, bool *cut)
{
	const char *hash;

	if (!str_split(&t->rest, '\n', line))
		return false;
	t->line++;
	hash = line->n ? memchr(line->p, '#', line->n) : NULL;
	*cut = hash && hash > line->p && !is_blank(hash[-1]);
	if (hash)
		line->n = (size_t)(hash - line->p);
	*line = trim(*line);
	return true;
}

static bool known_name(struct str line)
{
	struct str word;

	return pmta_word(&line, &word) && pmta_rule_find(~0u, word);
}

/* A list goes on after a comma at a line's end. */
static struct str joined(struct pmta *im, struct text *t, struct str line, bool *cut)
{
	while (line.n && line.p[line.n - 1] == ',') {
		struct text ahead = *t;
		struct str more = { "", 0 };
		bool more_cut = false, any = true;

		while (!more.n && any)
			any = take_line(&ahead, &more, &more_cut);
		if (!any || more.p[0] == '<' || known_name(more))
			break;
		*t = ahead;
		*cut = more_cut;
		line = str_of(
		    mem_fmt(&im->mem, "%.*s %.*s", (int)line.n, line.p, (int)more.n, more.p));
	}
	return line;
}

static void read_file(struct pmta *im, const char *shown, const char *path, struct pmta_stmt *by);

static void include(struct pmta *im, const struct text *t, struct pmta_stmt *s)
{
	struct str name = pmta_plain(im, s->value);
	const char *z = mem_z(&im->mem, name), *path = path_from(&im->mem, t->dir, name);
	glob_t g = { 0 };
	char **found;
	size_t n;

	if (str_istarts(name, "http:") || str_istarts(name, "https:")) {
		pmta_say(im, s, PMTA_DROPPED,
			 "nothing is fetched: save it as a file and include that");
		return;
	}
	if (im->depth == DEPTH_MAX) {
		pmta_say(im, s, PMTA_DROPPED, "includes are nested more than %d deep", DEPTH_MAX);
		return;
	}
	if (!strpbrk(z, "*?[")) {
		read_file(im, path, path, s);
		return;
	}
	if (glob(path, 0, NULL, &g)) {
		globfree(&g);
		pmta_say(im, s, PMTA_DROPPED, "no file matches");
		return;
	}
	n = g.gl_pathc;
	found = mem_array(&im->mem, n, sizeof *found);
	for (size_t i = 0; i < n; i++)
		found[i] = strdup(g.gl_pathv[i]);
	globfree(&g);
	for (size_t i = 0; i < n; i++) {
		const char *one = found[i] ? mem_z(&im->mem, str_of(found[i])) : NULL;

		free(found[i]);
		if (one)
			read_file(im, one, one, s);
	}
}

static void define_macro(struct pmta *im, struct pmta_stmt *s)
{
	struct macro *m = mem_alloc(&im->mem, sizeof *m);
	struct str rest = s->value, word, key;
	char *folded;

	if (!pmta_word(&rest, &word) || !trim(rest).n) {
		pmta_say(im, s, PMTA_DROPPED, "it has no value");
		return;
	}
	folded = mem_alloc(&im->mem, word.n + 1);
	str_lower(word, folded, word.n + 1);
	key = (struct str){ folded, word.n };
	m->value = trim(rest);
	if (strmap_get(&im->macros, key))
		pmta_say(im, s, PMTA_APPROXIMATED, "the macro is defined again: this one counts");
	else
		pmta_say(im, s, PMTA_TAKEN, "written out where it is used");
	if (!strmap_put(&im->macros, key, m))
		longjmp(im->mem.no_memory, 1);
}

static void statement(struct pmta *im, struct text *t, struct str line, bool cut)
{
	struct str rest = line, name = { line.p, 0 };
	struct pmta_stmt *s;

	if (pmta_scope_of(im->open) == IN_CATEGORIES)
		pmta_word(&rest, &name); /* a regex may hold blanks */
	while (name.n < line.n && !is_blank(line.p[name.n]))
		name.n++;
	rest = trim((struct str){ line.p + name.n, line.n - name.n });
	s = add(im, t, copy(im, name), copy(im, rest));
	s->cut = cut;
	if (str_ieqz(name, "include") && rest.n)
		include(im, t, s);
	else if (str_ieqz(name, "domain-macro"))
		define_macro(im, s);
}

/* ---- sections ---- */

static bool may_stand(const struct pmta_tag *tag, const struct pmta_block *in)
{
	return !tag || !in || (tag->in & pmta_scope_of(in)) || pmta_scope_of(in) == IN_NOTHING;
}

static void open_block(struct pmta *im, struct text *t, struct str inside, struct str whole,
		       bool closed)
{
	struct str word = { inside.p, 0 };
	struct pmta_block *b = mem_alloc(&im->mem, sizeof *b);
	struct pmta_stmt *s;

	while (word.n < inside.n && !is_blank(inside.p[word.n]))
		word.n++;
	b->tag = pmta_tag_find(word);
	b->arg = pmta_plain(im, trim((struct str){ inside.p + word.n, inside.n - word.n }));
	while (im->open && !may_stand(b->tag, im->open)) {
		pmta_say(im, im->open->at, PMTA_APPROXIMATED,
			 "it is not closed: closed before %s:%d", t->shown, t->line);
		im->open = im->open->in;
	}
	b->in = im->open;
	s = add(im, t, copy(im, whole), (struct str){ "", 0 });
	s->opens = b;
	b->at = s;
	im->open = b;
	if (!closed)
		pmta_say(im, s, PMTA_APPROXIMATED, "no > ends the tag");
}

static void close_block(struct pmta *im, struct text *t, struct str word, struct str whole)
{
	struct pmta_block *b = im->open;
	struct str name;

	for (; b; b = b->in) {
		struct str inside = { b->at->name.p + 1, b->at->name.n - 1 };

		if (pmta_word(&inside, &name) && name.n >= word.n &&
		    str_ieq((struct str){ name.p, word.n }, word) &&
		    (name.n == word.n || name.p[word.n] == '>'))
			break;
	}
	if (!b) {
		pmta_say(im, add(im, t, copy(im, whole), (struct str){ "", 0 }), PMTA_DROPPED,
			 "it closes nothing");
		return;
	}
	for (; im->open != b; im->open = im->open->in)
		pmta_say(im, im->open->at, PMTA_APPROXIMATED, "it is not closed: closed at %s:%d",
			 t->shown, t->line);
	im->open = b->in;
}

static bool is_tag(struct str line)
{
	size_t i = line.n > 1 && line.p[1] == '/' ? 2 : 1;

	return line.n > i && line.p[0] == '<' &&
	       ((line.p[i] | 0x20) >= 'a' && (line.p[i] | 0x20) <= 'z');
}

static struct str take_tag(struct pmta *im, struct text *t, struct str line)
{
	size_t end = 1;
	bool quoted = false, closed;
	struct str inside, rest;

	while (end < line.n && (quoted || line.p[end] != '>'))
		quoted ^= line.p[end++] == '"';
	closed = end < line.n;
	inside = trim((struct str){ line.p + 1, end - 1 });
	rest = closed ? trim((struct str){ line.p + end + 1, line.n - end - 1 })
		      : (struct str){ "", 0 };
	line.n = closed ? end + 1 : line.n;
	if (inside.n && inside.p[0] == '/')
		close_block(im, t, trim((struct str){ inside.p + 1, inside.n - 1 }), line);
	else
		open_block(im, t, inside, line, closed);
	return rest;
}

/* Where `</tag>` of an open section begins behind its directives; line.n if it does not. */
static size_t closing_at(const struct pmta *im, struct str line)
{
	for (size_t i = 1; im->open && i + 2 < line.n; i++)
		if (line.p[i] == '<' && line.p[i + 1] == '/' && is_blank(line.p[i - 1]) &&
		    line.p[line.n - 1] == '>')
			return i;
	return line.n;
}

static void one_line(struct pmta *im, struct text *t, struct str line, bool cut)
{
	while (line.n) {
		size_t end;

		if (is_tag(line)) {
			line = take_tag(im, t, line);
			continue;
		}
		end = closing_at(im, line);
		statement(im, t, trim((struct str){ line.p, end }), cut && end == line.n);
		line = trim((struct str){ line.p + end, line.n - end });
	}
}

static bool is_text(struct str s)
{
	return str_utf8_valid(s) && !(s.n && memchr(s.p, '\0', s.n));
}

static void read_text(struct pmta *im, struct text *t)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct str line;
	bool cut;

	if (t->rest.n >= 3 && memcmp(t->rest.p, bom, 3) == 0)
		t->rest = (struct str){ t->rest.p + 3, t->rest.n - 3 };
	while (take_line(t, &line, &cut)) {
		if (!is_text(line)) {
			struct pmta_stmt *s = add(im, t, STR_LIT("(bytes)"), STR_LIT(""));

			pmta_say(im, s, PMTA_DROPPED, "the line is not UTF-8 text");
			continue;
		}
		if (line.n)
			one_line(im, t, joined(im, t, line, &cut), cut);
	}
}

static void read_file(struct pmta *im, const char *shown, const char *path, struct pmta_stmt *by)
{
	struct text t = { .shown = shown, .line = 0 };
	const char *why = file_slurp(&im->mem, &im->loading, path, &t.rest);

	if (!why && ++im->files > FILES_MAX)
		why = "there are too many files: do they include each other?";
	if (why) {
		pmta_say(im, by, PMTA_DROPPED, "%s can't be read: %s", shown, why);
		return;
	}
	pmta_say(im, by, PMTA_TAKEN, "its lines follow");
	t.dir = path_dir(&im->mem, path);
	im->depth++;
	read_text(im, &t);
	im->depth--;
}

bool pmta_read(struct pmta *im, struct errbuf *e)
{
	struct text t = { .shown = im->shown, .dir = im->dir };
	const char *why = file_slurp(&im->mem, &im->loading, im->path, &t.rest);

	if (why) {
		errbuf_set(e, "%s can't be read: %s", im->shown, why);
		return false;
	}
	read_text(im, &t);
	for (; im->open; im->open = im->open->in)
		pmta_say(im, im->open->at, PMTA_APPROXIMATED,
			 "it is not closed: closed at the file's end");
	return true;
}

/* ---- macros ---- */

static bool expand(struct pmta *im, struct pmta_stmt *s, struct str list, struct buf *out,
		   bool *weak);

static bool expand_macro(struct pmta *im, struct pmta_stmt *s, struct str name, struct buf *out)
{
	char *folded = mem_alloc(&im->mem, name.n + 1);
	struct macro *m;
	bool ok, weak = false;

	str_lower(name, folded, name.n + 1);
	m = strmap_get(&im->macros, (struct str){ folded, name.n });
	if (!m || m->busy) {
		pmta_say(im, s, PMTA_DROPPED,
			 m ? "the macro $%.*s holds itself" : "there is no domain-macro %.*s",
			 (int)name.n, name.p);
		return false;
	}
	m->busy = true;
	ok = expand(im, s, m->value, out, &weak);
	m->busy = false;
	return ok;
}

static bool expand(struct pmta *im, struct pmta_stmt *s, struct str list, struct buf *out,
		   bool *weak)
{
	struct str word;

	while (pmta_element(&list, &word)) {
		if (out->n > EXPANDED_MAX) {
			pmta_say(im, s, PMTA_DROPPED, "the macro is too long");
			return false;
		}
		if (word.p[0] != '$') {
			buf_addf(out, "%s%.*s", out->n ? ", " : "", (int)word.n, word.p);
			continue;
		}
		*weak = true;
		if (!expand_macro(im, s, (struct str){ word.p + 1, word.n - 1 }, out))
			return false;
	}
	return true;
}

struct str pmta_expand(struct pmta *im, struct pmta_stmt *s, struct str list, bool *weak)
{
	struct str out;

	*weak = false;
	buf_clear(&im->scratch);
	if (!expand(im, s, list, &im->scratch, weak))
		return (struct str){ "", 0 };
	out = (struct str){ mem_z(&im->mem, buf_str(&im->scratch)), im->scratch.n };
	return out;
}
