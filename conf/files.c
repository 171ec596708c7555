#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/reading.h"
#include "conf/value.h"

enum { FILE_BYTES_MAX = 64 * 1024 * 1024, PATH_BYTES_MAX = 4096 };

const char *path_absolute(struct conf_mem *m, const char *path)
{
	char cwd[PATH_BYTES_MAX];

	if (path[0] == '/' || !getcwd(cwd, sizeof cwd))
		return mem_z(m, str_of(path));
	return path_from(m, cwd, str_of(path));
}

const char *path_dir(struct conf_mem *m, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return ".";
	return slash == path ? "/" : mem_z(m, (struct str){ path, (size_t)(slash - path) });
}

static const struct conf_file *stored_find(const struct conf_read_opts *o, const char *path)
{
	for (int i = 0; o && o->stored && i < o->nstored; i++)
		if (strcmp(o->stored[i].path, path) == 0)
			return &o->stored[i];
	return NULL;
}

bool stored_has(const struct conf_read_opts *o, const char *path)
{
	return stored_find(o, path) != NULL;
}

/* Reads all of fd into out, which has room for n + 1 bytes; -1 with errno. */
static ssize_t read_all(int fd, char *out, size_t n)
{
	size_t have = 0;

	while (have <= n) {
		ssize_t got = read(fd, out + have, n + 1 - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

/* NULL, or words for what kept the file from being opened. A FIFO is not waited for. */
static const char *open_regular(const char *path, int *fd, size_t *size)
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return strerror(errno);
	if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_BYTES_MAX) {
		*size = (size_t)st.st_size;
		return NULL;
	}
	close(*fd);
	return S_ISDIR(st.st_mode)    ? "it is a directory"
	       : !S_ISREG(st.st_mode) ? "it is not a file"
				      : "it is larger than 64 MB: it can't be a configuration";
}

const char *file_slurp(struct conf_mem *m, char **loading, const char *path, struct str *text)
{
	const char *why;
	size_t size = 0;
	ssize_t n;
	int fd;

	why = open_regular(path, &fd, &size);
	if (why)
		return why;
	*loading = malloc(size + 1);
	n = *loading ? read_all(fd, *loading, size) : -1;
	why = *loading ? strerror(errno) : "there is no memory";
	close(fd);
	if (n >= 0 && (size_t)n <= size) {
		*text = (struct str){ mem_z(m, (struct str){ *loading, (size_t)n }), (size_t)n };
		why = NULL;
	} else if (n >= 0) {
		why = "it grows while it is read";
	}
	free(*loading);
	*loading = NULL;
	return why;
}

static void remember(struct reading *r, const struct source_file *f)
{
	struct conf *c = r->c;

	if (c->nfiles == r->files_cap) {
		int cap = r->files_cap ? 2 * r->files_cap : 8;
		struct conf_file *v = mem_array(&r->mem, (size_t)cap, sizeof *v);

		if (c->nfiles)
			memcpy(v, c->files, (size_t)c->nfiles * sizeof *v);
		c->files = v;
		r->files_cap = cap;
	}
	c->files[c->nfiles++] = (struct conf_file){ f->path, f->text };
}

static bool is_blank_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!strchr(" \t\r\n", s.p[i]) || !s.p[i])
			return false;
	return true;
}

bool file_load(struct reading *r, struct source_file *f, const struct origin *at)
{
	const struct conf_file *stored = stored_find(r->opts, f->path);
	const char *why = NULL;

	problems_file(r->problems, f->shown);
	if (stored)
		f->text = (struct str){ mem_z(&r->mem, stored->text), stored->text.n };
	else if (r->opts && r->opts->stored && !r->shipped)
		why = "it is not part of the stored configuration";
	else
		why = file_slurp(&r->mem, &r->loading, f->path, &f->text);
	if (!why && is_blank_text(f->text))
		why = "it is empty";
	if (why) {
		r->incomplete = true;
		if (at)
			error_at(r, at, "%s can't be read: %s", f->shown, why);
		else
			problem(r->problems, true, f->shown, 0, "can't be read: %s", why);
		return false;
	}
	f->dir = path_dir(&r->mem, f->path);
	remember(r, f);
	return true;
}

/* ---- includes ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_sorted(const char **v, int n, struct buf *out)
{
	qsort(v, (size_t)n, sizeof *v, by_text);
	for (int i = 0; i < n; i++) {
		buf_addz(out, v[i]);
		buf_addc(out, '\n');
	}
	return n;
}

static int glob_stored(const struct conf_read_opts *o, const char *glob_text, struct buf *out)
{
	const char **v = calloc((size_t)o->nstored + 1, sizeof *v);
	int n = 0;

	for (int i = 0; v && i < o->nstored; i++)
		if (fnmatch(glob_text, o->stored[i].path, FNM_PATHNAME | FNM_PERIOD) == 0)
			v[n++] = o->stored[i].path;
	if (v)
		add_sorted(v, n, out);
	free(v);
	return n;
}

int glob_files(const struct conf_read_opts *o, const char *glob_text, struct buf *out)
{
	glob_t g = { 0 };
	int n = 0;

	if (o && o->stored)
		return glob_stored(o, glob_text, out);
	if (glob(glob_text, GLOB_NOSORT, NULL, &g) == 0)
		n = add_sorted((const char **)g.gl_pathv, (int)g.gl_pathc, out);
	globfree(&g);
	return n;
}

/* The include as the operator would write the path of this file: a file of conf.d/ is shown as
 * conf.d/x.ini beside a stoker.ini that is shown so. */
static const char *shown_as(struct reading *r, const struct source_file *by, const char *path)
{
	size_t n = strlen(by->dir);
	const char *dir = path_dir(&r->mem, by->shown);

	if (strncmp(path, by->dir, n) || path[n] != '/')
		return path;
	return strcmp(dir, ".") ? mem_fmt(&r->mem, "%s/%s", dir, path + n + 1) : path + n + 1;
}

static void see_include(struct reading *r, const char *glob_text, int matched)
{
	struct include_seen *seen = mem_alloc(&r->mem, sizeof *seen);

	*seen = (struct include_seen){ glob_text, matched, r->priv->includes };
	r->priv->includes = seen;
}

static void expand(struct reading *r, const struct source_file *by, const struct conf_entry *e,
		   const char *path, struct include_list *out)
{
	struct str rest, line, all;
	int n;

	buf_clear(&r->paths);
	n = glob_files(r->opts, path, &r->paths);
	see_include(r, path, n);
	if (!n)
		warn_at(r, &e->at, "include = %.*s: no file matches", (int)e->text.n, e->text.p);
	all = (struct str){ mem_z(&r->mem, buf_str(&r->paths)), r->paths.n };
	out->v = mem_array(&r->mem, (size_t)n, sizeof *out->v);
	for (rest = all; out->n < n && str_split(&rest, '\n', &line); out->n++) {
		const char *z = mem_z(&r->mem, line);

		out->v[out->n] = (struct source_file){ .shown = shown_as(r, by, z), .path = z };
	}
}

void include_list(struct reading *r, const struct source_file *by, const struct conf_entry *e,
		  struct include_list *out)
{
	const char *path = path_from(&r->mem, by->dir, str_of(e->v.z));

	*out = (struct include_list){ .n = 0 };
	if (strpbrk(e->v.z, "*?[")) {
		expand(r, by, e, path, out);
		return;
	}
	out->v = mem_alloc(&r->mem, sizeof *out->v);
	out->v[0] = (struct source_file){ .shown = shown_as(r, by, path), .path = path };
	out->n = 1;
}

/* ---- is the disk as it was? ---- */

static bool file_differs(const struct conf_file *f)
{
	char *now = NULL;
	size_t size = 0;
	bool differs = true;
	int fd;

	if (open_regular(f->path, &fd, &size))
		return true;
	if (size == f->text.n)
		now = malloc(size + 1);
	if (now && read_all(fd, now, size) == (ssize_t)size)
		differs = memcmp(now, f->text.p, size) != 0;
	close(fd);
	free(now);
	return differs;
}

bool conf_differs_from_disk(const struct conf *c)
{
	struct buf paths;
	bool differs = false;

	for (int i = 0; i < c->nfiles && !differs; i++)
		differs = file_differs(&c->files[i]);
	buf_init(&paths);
	for (const struct include_seen *s = c->priv->includes; s && !differs; s = s->next) {
		buf_clear(&paths);
		differs = glob_files(NULL, s->glob, &paths) != s->matched;
	}
	buf_free(&paths);
	return differs;
}
