/* One file through inih. inih has a buffer of 200 bytes, cuts what is longer in silence, takes what
 * follows for a new line, stops at NUL and tells its handler no line number. So it is given, line
 * by line, a text of our own: the number of a section instead of its header, and a line's number
 * instead of a value; it never sees a comment. What stands behind the numbers is kept here. */
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/lex.h"
#include "conf/reading.h"
#include "conf/value.h"

enum { LINE_BYTES_MAX = 8192, NAME_BYTES_MAX = 60, INCLUDE_DEPTH_MAX = 8, SHOWN_MAX = 80 };

struct stream {
	struct reading *r;
	struct source_file *f;
	struct str rest; /* lines not read yet */
	int line;
	struct str value;    /* of `line` */
	bool in_section;     /* a header was seen, also a bad one */
	struct origin at;    /* `line` */
	int section;	     /* alias of the last header; 0: a bad one */
	unsigned sections_n; /* headers of this file, bad ones too */
};

static int shown(struct str s)
{
	return s.n < SHOWN_MAX ? (int)s.n : SHOWN_MAX;
}

static bool take_line(struct stream *st, struct str *line)
{
	if (!str_split(&st->rest, '\n', line))
		return false;
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	st->line++;
	st->at = (struct origin){ st->f->shown, st->line, NULL };
	return true;
}

static bool has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
			return true;
	return false;
}

static bool is_blank(struct str s)
{
	return str_trim(s).n == 0;
}

/* What no line may be, whatever stands in it. */
static bool line_ok(struct stream *st, struct str line)
{
	const char *wrong = NULL;

	if (line.n > LINE_BYTES_MAX)
		wrong = "the line has more than 8192 bytes: repeat the directive, or make it "
			"shorter";
	else if (memchr(line.p, '\0', line.n))
		wrong = "a NUL byte: this is not a text file, or it was damaged";
	else if (!str_utf8_valid(line))
		wrong = "the line is not UTF-8: save the file as UTF-8";
	else if (memchr(line.p, '\r', line.n))
		wrong = "a carriage return inside the line: lines end in LF or CR LF";
	else if (has_control(line))
		wrong = "a control character: only tabs may stand in a line";
	else if (line.n && (line.p[0] == ' ' || line.p[0] == '\t') && !is_blank(line))
		wrong = "the line begins with a blank: there are no continuation lines; write the "
			"directive at the line's start, and again for a further value";
	if (wrong)
		error_at(st->r, &st->at, "%s", wrong);
	if (memchr(line.p, '\0', line.n))
		st->rest.n = 0; /* one such error a file is enough */
	return !wrong;
}

static int alias_of(struct reading *r, struct conf_section *s)
{
	if (r->naliases == r->aliases_cap) {
		int cap = r->aliases_cap ? 2 * r->aliases_cap : 256;
		struct conf_section **v =
		    mem_array(&r->mem, (size_t)cap, sizeof(struct conf_section *));

		if (r->naliases)
			memcpy(v, r->by_alias, (size_t)r->naliases * sizeof *v);
		r->by_alias = v;
		r->aliases_cap = cap;
	}
	r->by_alias[r->naliases++] = s;
	return r->naliases; /* 0 is for bad headers */
}

static void read_header(struct stream *st, struct str line)
{
	struct str s = lex_header(line);
	struct conf_section *section = NULL;
	struct str inside;

	st->in_section = true;
	st->sections_n++;
	if (s.p[s.n - 1] != ']') {
		error_at(st->r, &st->at,
			 "the section's name ends in \"]\", and nothing follows it");
	} else {
		inside = str_trim((struct str){ s.p + 1, s.n - 2 });
		section = section_open(st->r, inside, &st->at);
	}
	st->section = section ? alias_of(st->r, section) : 0;
}

/* The words for a line that is no directive; PowerMTA's forms are named. */
static void bad_line(struct stream *st, struct str line)
{
	struct str word = { line.p, 0 };

	while (word.n < line.n && !strchr(" \t=", word.p[word.n]))
		word.n++;
	if (line.p[0] == '<') {
		error_at(st->r, &st->at,
			 "\"%.*s\" is PowerMTA's form of a section: write [domain "
			 "example.com], and nothing at its end",
			 shown(line), line.p);
		return;
	}
	for (int k = 0; k < KIND_COUNT; k++)
		if (directive_find((enum section_kind)k, word)) {
			error_at(st->r, &st->at, "there is no \"=\": write %.*s = VALUE",
				 shown(word), word.p);
			return;
		}
	error_at(st->r, &st->at, "\"%.*s\" is neither [section] nor directive = value", shown(line),
		 line.p);
}

/* Splits the line, keeps its value, and writes what inih is told. False if there is nothing to
 * tell. */
static bool read_directive(struct stream *st, struct str line, char *out, int cap)
{
	struct str name, value = line;
	struct errbuf e;

	if (!memchr(line.p, '=', line.n)) {
		bad_line(st, line);
		return false;
	}
	str_split(&value, '=', &name);
	name = str_trim(name);
	if (!lex_value(value, &st->value, &e)) {
		error_at(st->r, &st->at, "%.*s: %s", shown(name), name.p, e.text);
		return false;
	}
	if (!st->in_section) {
		error_at(st->r, &st->at,
			 "a directive before the first section: write [mta] above it");
		return false;
	}
	if (!name_ok(name) || name.n > NAME_BYTES_MAX) {
		bad_line(st, line);
		return false;
	}
	snprintf(out, (size_t)cap, "%.*s=%d\n", (int)name.n, name.p, st->line);
	return true;
}

/* inih's fgets. */
static char *next_line(char *out, int cap, void *arg)
{
	struct stream *st = arg;
	struct str line;

	while (take_line(st, &line)) {
		if (!line_ok(st, line) || is_blank(line) || line.p[0] == ';' || line.p[0] == '#')
			continue;
		if (line.p[0] == '[') {
			read_header(st, line);
			snprintf(out, (size_t)cap, "[%d]\n", st->section);
			return out;
		}
		if (read_directive(st, line, out, cap))
			return out;
	}
	return NULL;
}

static void unknown_directive(struct stream *st, const struct conf_section *s, struct str name)
{
	const char *word = section_infos[s->kind].word;
	struct nearest n;
	struct buf b;

	nearest_init(&n, name);
	buf_init(&b);
	for (size_t i = 0; i < directives_n; i++) {
		const struct directive *d = &directives[i];

		if (directive_allowed(d, s->kind))
			nearest_try(&n, d->name);
		else if (str_ieqz(name, d->name))
			buf_addf(&b, "%s[%s]", b.n ? ", " : "", section_infos[d->kind].word);
	}
	if (b.n)
		error_at(st->r, &st->at, "[%s] has no directive %.*s: it stands in %s", word,
			 (int)name.n, name.p, buf_z(&b));
	else
		error_at(st->r, &st->at, "[%s] has no directive %.*s%s", word, (int)name.n, name.p,
			 did_you_mean(st->r, &n));
	buf_free(&b);
}

static void follow_include(struct stream *st, const struct conf_entry *e)
{
	struct reading *r = st->r;
	struct include_list files;

	if (r->depth == INCLUDE_DEPTH_MAX) {
		error_at(r, &e->at, "includes are nested more than %d deep", INCLUDE_DEPTH_MAX);
		return;
	}
	include_list(r, st->f, e, &files);
	r->depth++;
	for (int i = 0; i < files.n; i++)
		read_source(r, &files.v[i], &e->at);
	r->depth--;
}

static void read_value(struct stream *st, struct conf_entry *e)
{
	struct value_in in = { .mem = &st->r->mem, .d = e->d, .text = e->text, .dir = st->f->dir };

	e->clear = !e->text.n || str_eqz(e->text, "\"\"");
	if (e->clear || !value_parse(&in, &e->v))
		return;
	e->bad = true;
	error_at(st->r, &e->at, "%s: %s", e->d->name, in.e.text);
}

/* Called by inih for the line that next_line gave it last. */
static int on_directive(void *arg, const char *section, const char *name, const char *value)
{
	struct stream *st = arg;
	struct reading *r = st->r;
	int alias = atoi(section);
	struct conf_section *s;
	const struct directive *d;
	struct conf_entry *e;

	if (atoi(value) != st->line || alias != st->section)
		return 0;
	if (!alias)
		return 1; /* its header is reported */
	s = r->by_alias[alias - 1];
	d = directive_find(s->kind, str_of(name));
	if (!d) {
		unknown_directive(st, s, str_of(name));
		return 1;
	}
	e = mem_alloc(&r->mem, sizeof *e);
	*e = (struct conf_entry){ .d = d, .text = st->value, .at = st->at, .shipped = r->shipped };
	e->at.section = s->shown;
	read_value(st, e);
	section_add(r, s, e);
	if (d->type == TYPE_INCLUDE && !e->bad && !e->clear)
		follow_include(st, e);
	return 1;
}

/* A file that includes itself, or that two include: its directives would all be given twice. */
static bool included_before(struct reading *r, const struct source_file *f, const struct origin *at)
{
	for (int i = 0; i < r->c->nfiles; i++)
		if (strcmp(r->c->files[i].path, f->path) == 0) {
			error_at(r, at, "include: %s is read already", f->shown);
			return true;
		}
	return false;
}

bool read_source(struct reading *r, struct source_file *f, const struct origin *at)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct stream st = { .r = r, .f = f };
	int bad;

	if (at && included_before(r, f, at))
		return false;
	if (!file_load(r, f, at))
		return false;
	st.rest = f->text;
	if (st.rest.n >= 3 && memcmp(st.rest.p, bom, 3) == 0)
		st.rest = (struct str){ st.rest.p + 3, st.rest.n - 3 };
	bad = ini_parse_stream(next_line, &st, on_directive, &st);
	if (bad)
		problem(r->problems, true, f->shown, 0,
			"inih refused what was made of a line (its code is %d): please report this",
			bad);
	if (!at && !st.sections_n)
		problem(r->problems, true, f->shown, 0,
			"there is no section in it: a configuration begins with [mta]");
	return true;
}
