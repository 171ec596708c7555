/* The client's side of a file that a command names: opened with the operator's rights, sent in
 * pieces as the server asks for them. Some 64 MB at a time are put into the order of the server's
 * list first: ten million addresses in no order would have it write each page of the list hundreds
 * of times. The first line stays the first: it may name columns. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/control/cli_file.h"
#include "core/control/wire.h"

enum { RUN_BYTES = 64 * 1024 * 1024, READ_BYTES = 1024 * 1024 };

struct file_line {
	struct str text;
	uint64_t number;
};

struct cli_file {
	int fd;
	struct buf bytes; /* the run, and behind it the beginning of the next */
	size_t run;	  /* bytes of the run */
	struct file_line *lines;
	size_t n, cap, next;
	uint64_t number;
	bool end;
};

struct cli_file *cli_file_open(const char *path, struct errbuf *e)
{
	struct cli_file *f = calloc(1, sizeof *f);

	if (!f) {
		errbuf_set(e, "no memory");
		return NULL;
	}
	buf_init(&f->bytes);
	f->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (f->fd >= 0)
		return f;
	errbuf_set(e, "%s can't be opened: %s", path, strerror(errno));
	free(f);
	return NULL;
}

void cli_file_close(struct cli_file *f)
{
	if (!f)
		return;
	if (f->fd != STDIN_FILENO)
		close(f->fd);
	buf_free(&f->bytes);
	free(f->lines);
	free(f);
}

static char folded(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static int compare(struct str a, struct str b)
{
	for (size_t i = 0; i < a.n && i < b.n; i++)
		if (folded(a.p[i]) != folded(b.p[i]))
			return (unsigned char)folded(a.p[i]) < (unsigned char)folded(b.p[i]) ? -1
											     : 1;
	return a.n < b.n ? -1 : a.n > b.n;
}

/* What stands before the first comma, cut at its @. */
static void cut(struct str line, struct str *local, struct str *domain)
{
	const char *comma = memchr(line.p, ',', line.n);
	size_t n = comma ? (size_t)(comma - line.p) : line.n, at = n;

	while (at && line.p[at - 1] != '@')
		at--;
	*local = str_mem(line.p, at);
	*domain = str_mem(line.p + at, n - at);
}

static int by_domain(const void *a, const void *b)
{
	struct str la, lb, da, db;
	int d;

	cut(((const struct file_line *)a)->text, &la, &da);
	cut(((const struct file_line *)b)->text, &lb, &db);
	d = compare(da, db);
	return d ? d : compare(la, lb);
}

static bool add_line(struct cli_file *f, struct str text)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 4096;
		struct file_line *v = realloc(f->lines, cap * sizeof *v);

		if (!v)
			return false;
		f->lines = v;
		f->cap = cap;
	}
	f->lines[f->n++] = (struct file_line){ text, ++f->number };
	return true;
}

/* Reads the next run; false with a sentence. */
static bool next_run(struct cli_file *f, struct errbuf *e)
{
	size_t at = 0, first = f->number == 0;

	buf_shift(&f->bytes, f->run);
	f->run = f->n = f->next = 0;
	while (!f->end && f->bytes.n < RUN_BYTES) {
		ssize_t n;

		if (!buf_reserve(&f->bytes, READ_BYTES)) {
			errbuf_set(e, "no memory for the file");
			return false;
		}
		n = read(f->fd, f->bytes.p + f->bytes.n, READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			errbuf_set(e, "the file can't be read: %s", strerror(errno));
			return false;
		}
		f->end = n == 0;
		f->bytes.n += (size_t)n;
	}
	while (at < f->bytes.n) {
		const char *lf = memchr(f->bytes.p + at, '\n', f->bytes.n - at);
		size_t n = lf ? (size_t)(lf - f->bytes.p) - at : f->bytes.n - at;

		if (!lf && !f->end)
			break;
		if (!add_line(f, str_mem(f->bytes.p + at, n))) {
			errbuf_set(e, "no memory for the file");
			return false;
		}
		at += n + (lf ? 1 : 0);
	}
	if (!at && f->bytes.n) {
		errbuf_set(e, "line %llu has no end", (unsigned long long)f->number + 1);
		return false;
	}
	f->run = at;
	if (f->n > first)
		qsort(f->lines + first, f->n - first, sizeof *f->lines, by_domain);
	return true;
}

bool cli_file_piece(struct cli_file *f, struct buf *out, struct errbuf *e)
{
	buf_clear(out);
	while (f->next == f->n && !(f->end && f->run == f->bytes.n))
		if (!next_run(f, e))
			return false;
	while (f->next < f->n) {
		struct str text = f->lines[f->next].text;

		/* The server cuts what it says of a wrong line shorter still. */
		if (text.n > FILE_LINE_MAX)
			text.n = FILE_LINE_MAX;
		if (out->n + text.n + 32 > FILE_PIECE_MAX)
			break;
		buf_addf(out, "%llu\t", (unsigned long long)f->lines[f->next++].number);
		buf_adds(out, text);
		buf_addc(out, '\n');
	}
	return true;
}
