/* conf_read: the order of the steps, and what happens when memory runs out. */
#include <stdlib.h>
#include <unistd.h>

#include "conf/reading.h"
#include "conf/value.h"

enum { ARENA_BYTES = 64 * 1024, HINTS_MAX = 100 };

static bool wants_shipped(const struct reading *r)
{
	const struct conf_section *mta = section_only(r->c, KIND_MTA);
	const struct conf_entry *e =
	    section_entry(mta, directive_find(KIND_MTA, STR_LIT("shipped")));

	return !e || e->clear || e->bad || e->v.b;
}

static void read_shipped_file(struct reading *r, const char *name)
{
	struct source_file f = { .shown = NULL };

	f.path = mem_fmt(&r->mem, "%s/%s", path_absolute(&r->mem, r->opts->shipped_dir), name);
	f.shown = f.path;
	if (!stored_has(r->opts, f.path) && access(f.path, F_OK))
		return; /* an installation may come without */
	for (int i = 0; i < r->c->nfiles; i++)
		if (strcmp(r->c->files[i].path, f.path) == 0)
			return; /* included by hand: it is the operator's then */
	r->shipped = true;
	read_source(r, &f, NULL);
	r->shipped = false;
}

static void read_shipped(struct reading *r)
{
	static const char *const names[] = { "providers.ini", "patterns.ini", "bounces.ini" };

	if (!r->opts || !r->opts->shipped_dir || !wants_shipped(r))
		return;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		read_shipped_file(r, names[i]);
}

static void read_all(struct reading *r, const char *path)
{
	struct conf_mem *m = &r->mem;
	struct source_file f = { .shown = mem_z(m, str_of(path)) };

	r->c = mem_alloc(m, sizeof *r->c);
	r->priv = r->c->priv = mem_alloc(m, sizeof *r->priv);
	r->c->magic = CONF_MAGIC;
	r->c->refs = 1;
	r->main_shown = f.shown;
	f.path = path_absolute(m, path);
	r->c->path = f.path;
	if (!read_source(r, &f, NULL))
		return;
	read_shipped(r);
	build(r);
	check(r);
}

/* Apart from conf_read, so that setjmp sees no variable that changes. */
static bool read_guarded(struct reading *r, const char *path)
{
	if (setjmp(r->mem.no_memory)) {
		problem(r->problems, true, path, 0, "there is no memory to read it");
		return false;
	}
	read_all(r, path);
	return true;
}

struct conf *conf_read(const char *path, const struct conf_read_opts *opts,
		       struct conf_problems *problems)
{
	struct reading *r = calloc(1, sizeof *r);
	struct conf *c = NULL;
	int errors = problems->errors;

	if (!r) {
		problem(problems, true, path, 0, "there is no memory to read it");
		return NULL;
	}
	arena_init(&r->mem.arena, ARENA_BYTES);
	strmap_init(&r->sections);
	buf_init(&r->paths);
	r->problems = problems;
	r->opts = opts;
	r->hints = HINTS_MAX;
	if (read_guarded(r, path) && problems->errors == errors) {
		r->c->priv->arena = r->mem.arena;
		r->c->patterns = patterns_make(r->c->priv);
		c = r->c;
		if (!c->patterns) {
			conf_unref(c);
			c = NULL;
			problem(problems, true, path, 0, "there is no memory to read it");
		}
	} else {
		arena_free(&r->mem.arena);
	}
	strmap_free(&r->sections);
	buf_free(&r->paths);
	free(r->loading);
	free(r);
	return c;
}
