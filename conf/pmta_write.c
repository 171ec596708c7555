/* Our text. conf_read itself judges it: a line that it refuses is taken out and reported, until it
 * refuses nothing. */
#include <stdlib.h>

#include "conf/pmta_priv.h"
#include "conf/reading.h"
#include "core/base/clean.h"

enum { ROUNDS_MAX = 200, LINE_MAX_BYTES = 8192 };

static void write_entry(const struct pmta_section *x, struct pmta_entry *e, struct buf *out,
			int *line)
{
	if (strlen(e->name) + strlen(e->value) + 3 > LINE_MAX_BYTES) {
		e->out_line = 0;
		return;
	}
	e->out_line = ++*line;
	buf_addf(out, "%s = %s\n", e->name, e->value);
	(void)x;
}

static bool is_empty(const struct pmta_section *x)
{
	for (const struct pmta_entry *e = x->first; e; e = e->next)
		if (!e->off)
			return false;
	return true;
}

/* A section that says nothing is needed only where its name does. */
static bool is_written(const struct pmta_section *x)
{
	static const char *const by_name[] = { "source", "listener", "pickup" };

	if (x->off || section_kind_find(str_of(x->word)) == KIND_COUNT)
		return false;
	if (!is_empty(x))
		return true;
	for (size_t i = 0; i < sizeof by_name / sizeof by_name[0]; i++)
		if (!strcmp(x->word, by_name[i]))
			return true;
	return false;
}

static void write_section(struct pmta_section *x, struct buf *out, int *line)
{
	x->out_line = 0;
	if (!is_written(x))
		return;
	buf_addf(out, "\n[%s%s%s]\n", x->word, *x->name ? " " : "", x->name);
	*line += 2;
	x->out_line = *line;
	for (struct pmta_entry *e = x->first; e; e = e->next)
		if (!e->off)
			write_entry(x, e, out, line);
}

/* Sections in the order of the schema, each kind as it was read. */
static void write_all(struct pmta *im, struct buf *out)
{
	int line = 2;

	buf_clear(out);
	buf_addz(out, "# Made by `stoker import-pmta` of ");
	clean_add(out, str_of(im->shown), false);
	buf_addz(out, "; what became of each of its lines is in\n# the report. `stoker check -c` "
		      "this file before it is used.\n");
	for (int kind = 0; kind < KIND_COUNT; kind++)
		for (struct pmta_section *x = im->first_section; x; x = x->next)
			if (section_kind_find(str_of(x->word)) == (enum section_kind)kind)
				write_section(x, out, &line);
}

static void take_out(struct pmta *im, struct pmta_entry *e, struct pmta_stmt *by, const char *why)
{
	if (e)
		e->off = true;
	if (!by)
		return;
	by->nbecame = by->nbecame > 1 ? by->nbecame - 1 : 0;
	pmta_say(im, by, PMTA_DROPPED, "check: %s", why);
}

/* False if nothing stands at this line. */
static bool refuse(struct pmta *im, int line, const char *why)
{
	for (struct pmta_section *x = im->first_section; x; x = x->next) {
		if (x->off)
			continue;
		if (x->out_line == line) {
			x->off = true;
			for (struct pmta_entry *e = x->first; e; e = e->next)
				if (!e->off)
					take_out(im, e, e->by, why);
			take_out(im, NULL, x->by, why);
			return true;
		}
		for (struct pmta_entry *e = x->first; e; e = e->next)
			if (!e->off && e->out_line == line) {
				take_out(im, e, e->by, why);
				return true;
			}
	}
	return false;
}

/* True if something was taken out. */
static bool judge(struct pmta *im, struct buf *ini)
{
	struct conf_file text = { "/stoker.ini", { buf_z(ini), ini->n } };
	struct conf_read_opts o = { im->shipped_dir, &text, 1 };
	struct conf_problems p;
	struct conf *c;
	bool changed = false;

	conf_problems_init(&p);
	c = conf_read(text.path, &o, &p);
	for (int i = 0; i < p.n && !changed; i++) /* one at a time: others may follow from it */
		if (p.v[i].error && p.v[i].line && !strcmp(p.v[i].file, text.path))
			changed = refuse(im, p.v[i].line, p.v[i].text);
	conf_unref(c);
	conf_problems_free(&p);
	return changed;
}

static void report_one(const struct pmta_stmt *s, struct buf *out)
{
	static const char *const words[] = { "taken", "approximated", "dropped" };
	struct str value = s->value.n < 200 ? s->value : (struct str){ s->value.p, 200 };

	clean_add(out, str_of(s->file), false);
	if (s->line)
		buf_addf(out, ":%d", s->line);
	buf_addf(out, ": %s: ", words[s->verdict]);
	clean_add(out, s->name.n < 200 ? s->name : (struct str){ s->name.p, 200 }, false);
	if (pmta_is_secret(s->name))
		value = STR_LIT("***");
	if (value.n)
		buf_addc(out, ' ');
	clean_add(out, value, false);
	if (s->became && s->nbecame && s->verdict != PMTA_DROPPED) {
		buf_addz(out, ": ");
		clean_add(out, str_of(s->became), false);
		if (s->nbecame > 1)
			buf_addf(out, " (and %d more)", s->nbecame - 1);
	}
	if (s->why) {
		buf_addz(out, ": ");
		clean_add(out, str_of(s->why), false);
	}
	buf_addc(out, '\n');
}

static void report_all(struct pmta *im, struct buf *out, struct pmta_count *count)
{
	int *n[] = { &count->taken, &count->approximated, &count->dropped };

	for (const struct pmta_stmt *s = im->first; s; s = s->next) {
		report_one(s, out);
		++*n[s->verdict];
	}
}

/* Lines that are longer than ours may be. */
static void cut_long(struct pmta *im)
{
	for (struct pmta_section *x = im->first_section; x; x = x->next)
		for (struct pmta_entry *e = x->first; e; e = e->next)
			if (!e->off && strlen(e->name) + strlen(e->value) + 3 > LINE_MAX_BYTES)
				take_out(im, e, e->by,
					 "a line has at most 8192 bytes: write it in several");
}

void pmta_write(struct pmta *im, struct buf *ini, struct buf *report, struct pmta_count *count)
{
	int round = 0;

	cut_long(im);
	write_all(im, ini);
	while (judge(im, ini) && round++ < ROUNDS_MAX)
		write_all(im, ini);
	report_all(im, report, count);
}

/* ---- the whole ---- */

/* The providers that come with Stoker, to tell which of them a rollup means. */
static void load_shipped(struct pmta *im)
{
	static const char text[] =
	    "[mta]\nhostname = mta.invalid\nsmtp-source-host = 192.0.2.1 mta.invalid\n";
	struct conf_file file = { "/stoker.ini", { text, sizeof text - 1 } };
	struct conf_read_opts o = { im->shipped_dir, &file, 1 };
	struct conf_problems p;

	if (!im->shipped_dir)
		return;
	conf_problems_init(&p);
	im->shipped = conf_read(file.path, &o, &p);
	conf_problems_free(&p);
}

static bool import(struct pmta *im, const char *path, struct buf *ini, struct buf *report,
		   struct pmta_count *count, struct errbuf *e)
{
	im->shown = mem_z(&im->mem, str_of(path));
	im->path = path_absolute(&im->mem, path);
	im->dir = path_dir(&im->mem, im->path);
	if (!pmta_read(im, e))
		return false;
	pmta_queues(im);
	pmta_walk(im);
	pmta_hosts(im);
	pmta_write(im, ini, report, count);
	return true;
}

/* Apart, so that setjmp sees no variable that changes. */
static bool import_guarded(struct pmta *im, const char *path, struct buf *ini, struct buf *report,
			   struct pmta_count *count, struct errbuf *e)
{
	if (setjmp(im->mem.no_memory)) {
		errbuf_set(e, "there is no memory to read %s", path);
		return false;
	}
	return import(im, path, ini, report, count, e);
}

bool pmta_import(const char *path, const char *shipped_dir, struct buf *ini, struct buf *report,
		 struct pmta_count *count, struct errbuf *e)
{
	struct pmta *im = calloc(1, sizeof *im);
	bool ok;

	*count = (struct pmta_count){ 0, 0, 0 };
	if (!im) {
		errbuf_set(e, "there is no memory to read %s", path);
		return false;
	}
	arena_init(&im->mem.arena, 64 * 1024);
	strmap_init(&im->macros);
	strmap_init(&im->sections);
	strmap_init(&im->queues);
	buf_init(&im->scratch);
	im->shipped_dir = shipped_dir;
	load_shipped(im);
	ok = import_guarded(im, path, ini, report, count, e);
	conf_unref(im->shipped);
	strmap_free(&im->macros);
	strmap_free(&im->sections);
	strmap_free(&im->queues);
	buf_free(&im->scratch);
	free(im->loading);
	arena_free(&im->mem.arena);
	free(im);
	return ok;
}
