/* Each statement by its row of the table, and what it says in the report. */
#include <stdio.h>

#include "conf/pmta_value.h"
#include "conf/value.h"

enum { SHOWN_MAX = 160 };

void pmta_say(struct pmta *im, struct pmta_stmt *s, enum pmta_verdict v, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	if (!s)
		return;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof text, fmt, ap) >= (int)sizeof text)
		memcpy(text + sizeof text - 4, "...", 4);
	va_end(ap);
	/* Of several lines that one statement became, one that failed leaves the others. */
	if (v == PMTA_DROPPED && s->nbecame)
		v = PMTA_APPROXIMATED;
	s->verdict = v > s->verdict ? v : s->verdict;
	if (!s->why)
		s->why = mem_z(&im->mem, str_of(text));
	else if (!strstr(s->why, text) && strlen(s->why) < sizeof text)
		s->why = mem_fmt(&im->mem, "%s; %s", s->why, text);
}

/* ---- sections and lines of ours ---- */

static struct str section_key(struct pmta *im, const char *word, const char *name)
{
	struct str key = str_of(mem_fmt(&im->mem, "%s %s", word, name));
	char *z = mem_alloc(&im->mem, key.n + 1);

	str_lower(key, z, key.n + 1);
	return (struct str){ z, key.n };
}

struct pmta_section *pmta_section_find(struct pmta *im, const char *word, const char *name)
{
	return strmap_get(&im->sections, section_key(im, word, name));
}

struct pmta_section *pmta_section(struct pmta *im, const char *word, const char *name,
				  struct pmta_stmt *by)
{
	struct str key = section_key(im, word, name);
	struct pmta_section *x = strmap_get(&im->sections, key);

	if (x)
		return x;
	x = mem_alloc(&im->mem, sizeof *x);
	*x = (struct pmta_section){ .word = word, .name = mem_z(&im->mem, str_of(name)), .by = by };
	if (im->last_section)
		im->last_section->next = x;
	else
		im->first_section = x;
	im->last_section = x;
	if (!strmap_put(&im->sections, key, x))
		longjmp(im->mem.no_memory, 1);
	return x;
}

struct pmta_entry *pmta_get(const struct pmta_section *s, const char *name)
{
	struct pmta_entry *e = s ? s->first : NULL;

	while (e && (e->off || strcmp(e->name, name)))
		e = e->next;
	return e;
}

static const struct directive *directive_for(struct pmta *im, struct pmta_stmt *s,
					     const struct pmta_section *to, const char *name)
{
	enum section_kind kind = section_kind_find(str_of(to->word));
	const struct directive *d = NULL;

	if (kind != KIND_COUNT)
		d = directive_find(kind, str_of(name));
	if (!d && kind == KIND_COUNT)
		pmta_say(im, s, PMTA_DROPPED, "this Stoker has no [%s]", to->word);
	else if (!d)
		pmta_say(im, s, PMTA_DROPPED, "this Stoker has no %s in [%s]", name, to->word);
	return d;
}

/* A word in front of the value that would begin a comment, or blanks at its ends: in quotes. */
static const char *quoted(struct pmta *im, const struct directive *d, const char *value)
{
	struct buf *b = &im->scratch;

	if (d->type != TYPE_TEXT && d->type != TYPE_PATH)
		return value;
	if (!strpbrk(value, "\";#") && str_trim(str_of(value)).n == strlen(value))
		return value;
	buf_clear(b);
	buf_addc(b, '"');
	for (const char *p = value; *p; p++)
		buf_addf(b, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
	buf_addc(b, '"');
	return mem_z(&im->mem, buf_str(b));
}

/* False if another line of the section stands in its place. */
static bool replaces(struct pmta *im, struct pmta_stmt *s, struct pmta_entry *before, bool weak)
{
	if (weak && !before->weak) {
		pmta_say(im, s, PMTA_APPROXIMATED, "not for what is named by itself");
		return false;
	}
	before->off = true;
	if (!before->by || before->by == s || (before->weak && !weak))
		return true;
	before->by->nbecame--;
	pmta_say(im, before->by, PMTA_DROPPED, "%s:%d says it again: the last one counts",
		 s ? s->file : "", s ? s->line : 0);
	return true;
}

bool pmta_is_secret(struct str name)
{
	static const char *const words[] = { "password", "token", "api-key", "access-token" };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		size_t n = strlen(words[i]);

		if (name.n >= n && str_ieqz((struct str){ name.p + name.n - n, n }, words[i]))
			return true;
	}
	return false;
}

static void became(struct pmta *im, struct pmta_stmt *s, const struct pmta_section *to,
		   const char *name, const char *value)
{
	if (!s)
		return;
	if (!s->nbecame++)
		s->became = mem_fmt(&im->mem, "[%s%s%s] %s = %.*s", to->word, *to->name ? " " : "",
				    to->name, name, SHOWN_MAX,
				    pmta_is_secret(str_of(name)) ? "***" : value);
}

bool pmta_set(struct pmta *im, struct pmta_stmt *s, struct pmta_section *to, const char *name,
	      const char *value, bool weak)
{
	const struct directive *d = directive_for(im, s, to, name);
	struct value_in in = { .mem = &im->mem, .d = d, .dir = "/" };
	struct pmta_entry *e, *before = pmta_get(to, name);
	struct value parsed;

	if (!d)
		return false;
	value = mem_z(&im->mem, str_of(quoted(im, d, value)));
	in.text = str_of(value);
	if (!in.text.n || value_parse(&in, &parsed)) {
		pmta_say(im, s, PMTA_DROPPED, "%s: %s", name,
			 in.text.n ? in.e.text : "it has no value");
		return false;
	}
	if (before && !(d->flags & REPEATS) && !replaces(im, s, before, weak))
		return false;
	e = mem_alloc(&im->mem, sizeof *e);
	*e = (struct pmta_entry){ .name = d->name, .value = value, .by = s, .weak = weak };
	if (to->last)
		to->last->next = e;
	else
		to->first = e;
	to->last = e;
	became(im, s, to, d->name, value);
	return true;
}

/* ---- statements ---- */

static void cut_note(struct pmta *im, struct pmta_stmt *s)
{
	if (s->cut)
		pmta_say(im, s, s->verdict > PMTA_APPROXIMATED ? s->verdict : PMTA_APPROXIMATED,
			 "# begins a comment in PowerMTA, so the value ends before it");
}

static void convert(struct pmta *im, struct pmta_stmt *s, const struct pmta_rule *r, struct str v,
		    bool weak)
{
	const char *ours = r->conv(im, s, r, v);
	struct pmta_section *all;

	if (!ours)
		return;
	if (r->note)
		pmta_say(im, s, PMTA_APPROXIMATED, "%s", r->note);
	if (r->kind) {
		all = pmta_section(im, r->kind, strcmp(r->kind, "domain") ? "" : "*", s);
		pmta_set(im, s, all, r->to, ours, weak);
		return;
	}
	for (int i = 0; s->in && i < s->in->nto; i++)
		pmta_set(im, s, s->in->to[i], r->to, ours, weak || s->in->weak);
	if (s->in && !s->in->nto)
		pmta_say(im, s, PMTA_DROPPED, "its section is dropped");
}

static void apply(struct pmta *im, struct pmta_stmt *s, const struct pmta_rule *r, struct str v)
{
	if (!v.n && r->conv)
		pmta_say(im, s, PMTA_DROPPED, "it has no value");
	else if (r->conv && str_eqz(v, "\"\""))
		pmta_say(im, s, PMTA_DROPPED,
			 "it is cleared: where nothing is written, nothing is inherited");
	else if (r->conv)
		convert(im, s, r, v, false);
	else if (r->take)
		r->take(im, s, r, v);
	else
		pmta_say(im, s, PMTA_DROPPED, "%s", r->note);
	cut_note(im, s);
}

/* [domain *] for what stands outside of <domain>. */
static bool misplaced(struct pmta *im, struct pmta_stmt *s, const struct pmta_rule *r, struct str v)
{
	struct pmta_block around = { .in = s->in }, *in = s->in;
	struct pmta_section *to;
	unsigned scope = pmta_scope_of(s->in);

	if (!(r->in & IN_DOMAIN) || !(scope & (IN_GLOBAL | IN_VMTA | IN_POOL)) ||
	    !(r->conv || r->take))
		return false;
	to = pmta_section(im, "domain",
			  in && in->route ? mem_fmt(&im->mem, "* via %s", in->route) : "*", s);
	around.to = &to;
	around.nto = 1;
	around.tag = pmta_tag_find(STR_LIT("domain"));
	around.weak = true;
	around.route = in ? in->route : NULL;
	s->in = &around;
	apply(im, s, r, v);
	s->in = in;
	if (s->verdict != PMTA_DROPPED)
		pmta_say(im, s, PMTA_APPROXIMATED,
			 "it stands outside of <domain>: taken as in <domain *>");
	return true;
}

static const char *scope_words(const struct pmta_rule *r)
{
	static const struct {
		unsigned in;
		const char *words;
	} scopes[] = {
		{ IN_GLOBAL, "outside of all sections" },
		{ IN_SOURCE, "in <source>" },
		{ IN_DOMAIN, "in <domain>" },
		{ IN_VMTA, "in <virtual-mta>" },
		{ IN_POOL, "in <virtual-mta-pool>" },
		{ IN_USER, "in <smtp-user>" },
		{ IN_LISTENER, "in <smtp-listener>" },
		{ IN_PICKUP, "in <pickup-directory>" },
		{ IN_REPLIES, "in <smtp-pattern-list>" },
		{ IN_ROLLUP, "in <mx-rollup-list>" },
		{ IN_REPORTS, "in <bounce-processor> or <feedback-loop-processor>" },
		{ IN_ADDRESSES, "in <address-list>" },
	};

	for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++)
		if (r->in & scopes[i].in)
			return scopes[i].words;
	return "in <acct-file>";
}

static bool is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'z') &&
		    !(s.p[i] >= '0' && s.p[i] <= '9') && !strchr("-._", s.p[i]))
			return false;
	return s.n > 0;
}

static void unknown(struct pmta *im, struct pmta_stmt *s)
{
	const struct pmta_rule *r = pmta_rule_find(IN_DOMAIN, s->name);
	struct nearest n;

	r = r ? r : pmta_rule_find(~0u, s->name);
	if (r && misplaced(im, s, r, s->value))
		return;
	if (r) {
		pmta_say(im, s, PMTA_DROPPED, "it does not belong here: it stands %s",
			 scope_words(r));
		return;
	}
	if (!is_word(s->name)) {
		pmta_say(im, s, PMTA_DROPPED, "it is no directive (a template, or stray text)");
		return;
	}
	nearest_init(&n, s->name);
	for (size_t i = 0; i < pmta_rules_n; i++)
		if (pmta_rules[i].in & pmta_scope_of(s->in))
			nearest_try(&n, pmta_rules[i].name);
	pmta_say(im, s, PMTA_DROPPED, "PowerMTA has no such directive%s%s%s",
		 nearest_best(&n) ? ": did you mean " : "", nearest_best(&n) ? n.best : "",
		 nearest_best(&n) ? "?" : "");
}

/* Several directives in one line, as the one-line sections have them: what follows a value of one
 * word. */
static void further(struct pmta *im, struct pmta_stmt *s, struct str rest)
{
	struct str word, ahead = rest;
	struct pmta_stmt *more;

	if (!pmta_word(&ahead, &word))
		return;
	if (!pmta_rule_find(pmta_scope_of(s->in), word) && !pmta_rule_find(IN_DOMAIN, word)) {
		pmta_say(im, s, PMTA_APPROXIMATED, "\"%.*s\" behind the value is left out",
			 rest.n < 80 ? (int)rest.n : 80, rest.p);
		return;
	}
	more = mem_alloc(&im->mem, sizeof *more);
	*more = (struct pmta_stmt){ .file = s->file, .line = s->line, .in = s->in, .cut = s->cut };
	more->name = word;
	more->value = str_trim(ahead);
	more->next = s->next;
	s->next = more;
	s->cut = false;
	im->last = im->last == s ? more : im->last;
}

static void directive(struct pmta *im, struct pmta_stmt *s)
{
	const struct pmta_block *b = s->in;
	const struct pmta_rule *r = pmta_rule_find(pmta_scope_of(b), s->name);
	const struct pmta_rule *any = r ? r : pmta_rule_find(IN_DOMAIN, s->name);
	struct str rest = s->value, word = { "", 0 };

	if (pmta_scope_of(b) == IN_NOTHING) {
		pmta_say(im, s, PMTA_DROPPED, "%s",
			 b->tag ? b->tag->note : "it is in a section that PowerMTA does not have");
		return;
	}
	if (pmta_scope_of(b) == IN_CATEGORIES) {
		pmta_category(im, s);
		return;
	}
	if (any && !any->rest && pmta_word(&rest, &word)) {
		s->value = word;
		further(im, s, rest);
	}
	if (r)
		apply(im, s, r, s->value);
	else
		unknown(im, s);
}

static void opened(struct pmta *im, struct pmta_stmt *s)
{
	struct pmta_block *b = s->opens;

	if (b->in)
		b->route = b->in->route;
	if (!b->tag)
		pmta_say(im, s, PMTA_DROPPED, "PowerMTA has no such section");
	else if (b->tag->is == IN_NOTHING)
		pmta_say(im, s, PMTA_DROPPED, "%s", b->tag->note);
	else if (b->tag->open)
		b->tag->open(im, b);
	for (int i = 0; i < b->nto; i++)
		if (!s->nbecame++)
			s->became = mem_fmt(&im->mem, "[%s%s%s]", b->to[i]->word,
					    *b->to[i]->name ? " " : "", b->to[i]->name);
}

/* What goes into every listener waits until all are known. */
static bool is_late(const struct pmta_stmt *s)
{
	const struct pmta_rule *r = pmta_rule_find(pmta_scope_of(s->in), s->name);

	return r && (r->take == pt_all || (r->take == pt_certificate && !s->in));
}

void pmta_walk(struct pmta *im)
{
	for (struct pmta_stmt *s = im->first; s; s = s->next) {
		if (s->opens)
			opened(im, s);
		else if (s->verdict != PMTA_DROPPED && !is_late(s)) /* not dropped by the reader */
			directive(im, s);
	}
	pmta_names(im);
	for (struct pmta_stmt *s = im->first; s; s = s->next)
		if (!s->opens && is_late(s))
			directive(im, s);
}
