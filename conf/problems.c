#include <stdio.h>
#include <stdlib.h>

#include "conf/reading.h"
#include "core/base/clean.h"

enum { FIRST_PROBLEMS = 32, PROBLEM_ARENA_BYTES = 4096 };

struct conf_problems_private {
	struct arena arena;
	const char **files; /* in the order in which they were read */
	int nfiles, files_cap, cap;
};

void conf_problems_init(struct conf_problems *p)
{
	*p = (struct conf_problems){ .n = 0 };
	p->priv = calloc(1, sizeof *p->priv);
	if (p->priv)
		arena_init(&p->priv->arena, PROBLEM_ARENA_BYTES);
}

void conf_problems_free(struct conf_problems *p)
{
	if (p->priv) {
		arena_free(&p->priv->arena);
		free(p->priv->files);
		free(p->priv);
	}
	free(p->v);
	*p = (struct conf_problems){ .n = 0 };
}

static int file_rank(const struct conf_problems_private *x, const char *file)
{
	int i = 0;

	while (i < x->nfiles && strcmp(x->files[i], file))
		i++;
	return i;
}

void problems_file(struct conf_problems *p, const char *file)
{
	struct conf_problems_private *x = p->priv;

	if (!x || file_rank(x, file) < x->nfiles)
		return;
	if (x->nfiles == x->files_cap) {
		int cap = x->files_cap ? 2 * x->files_cap : FIRST_PROBLEMS;
		const char **v = realloc(x->files, (size_t)cap * sizeof *v);

		if (!v)
			return; /* only their order suffers */
		x->files = v;
		x->files_cap = cap;
	}
	x->files[x->nfiles] = arena_str(&x->arena, str_of(file)).p;
	x->nfiles += x->files[x->nfiles] != NULL;
}

static struct conf_problem *problem_slot(struct conf_problems *p)
{
	if (!p->priv)
		return NULL;
	if (p->n == p->priv->cap) {
		int cap = p->priv->cap ? 2 * p->priv->cap : FIRST_PROBLEMS;
		struct conf_problem *v = realloc(p->v, (size_t)cap * sizeof *v);

		if (!v)
			return NULL;
		p->v = v;
		p->priv->cap = cap;
	}
	return &p->v[p->n++];
}

/* Counted in any case, so that an error for which there is no memory is an error still. */
static void add(struct conf_problems *p, bool error, const char *file, int line, const char *fmt,
		va_list ap)
{
	static const char no_memory[] = "a problem for whose text there is no memory";
	struct conf_problem *at = problem_slot(p);
	char text[2048];

	p->errors += error;
	p->warnings += !error;
	if (!at)
		return;
	if (vsnprintf(text, sizeof text, fmt, ap) >= (int)sizeof text)
		memcpy(text + sizeof text - sizeof "...", "...", sizeof "...");
	*at = (struct conf_problem){ .file = arena_str(&p->priv->arena, str_of(file)).p,
				     .line = line,
				     .error = error,
				     .text = arena_str(&p->priv->arena, str_of(text)).p };
	if (!at->file)
		at->file = "";
	if (!at->text)
		at->text = no_memory;
}

void problem(struct conf_problems *p, bool error, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(p, error, file, line, fmt, ap);
	va_end(ap);
}

void conf_problem_add(struct conf_problems *p, bool error, const struct origin *at, const char *fmt,
		      ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(p, error, at->file ? at->file : "", at->line, fmt, ap);
	va_end(ap);
}

/* What has no place of its own (a default, [mta] that is not written) is the main file's. */
static const char *file_of(const struct reading *r, const struct origin *at)
{
	if (at && at->file)
		return at->file;
	return r->main_shown;
}

void error_at(struct reading *r, const struct origin *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(r->problems, true, file_of(r, at), at ? at->line : 0, fmt, ap);
	va_end(ap);
}

void warn_at(struct reading *r, const struct origin *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(r->problems, false, file_of(r, at), at ? at->line : 0, fmt, ap);
	va_end(ap);
}

struct ranked {
	const struct conf_problem *p;
	int rank, order;
};

static int by_place(const void *va, const void *vb)
{
	const struct ranked *a = va, *b = vb;

	if (a->rank != b->rank)
		return a->rank - b->rank;
	if (a->p->line != b->p->line)
		return a->p->line - b->p->line;
	return a->order - b->order;
}

static void print_one(const struct conf_problem *p, struct buf *out)
{
	clean_add(out, str_of(p->file), false);
	if (p->line)
		buf_addf(out, ":%d", p->line);
	buf_addf(out, ": %s: ", p->error ? "error" : "warning");
	clean_add(out, str_of(p->text), false);
	buf_addc(out, '\n');
}

void conf_problems_print(const struct conf_problems *p, struct buf *out)
{
	struct ranked *v = calloc((size_t)p->n + 1, sizeof *v);

	for (int i = 0; v && i < p->n; i++)
		v[i] = (struct ranked){ &p->v[i], file_rank(p->priv, p->v[i].file), i };
	if (v)
		qsort(v, (size_t)p->n, sizeof *v, by_place);
	for (int i = 0; i < p->n; i++)
		print_one(v ? v[i].p : &p->v[i], out);
	if (p->errors + p->warnings > p->n)
		buf_addf(out, "%d further problems: there is no memory to name them\n",
			 p->errors + p->warnings - p->n);
	free(v);
}
