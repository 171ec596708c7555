#include "core/feedback/unmatched.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clean.h"
#include "core/base/log.h"

enum { PIECE = 64 * 1024, NAME_SIZE = 40 };

struct unmatched {
	char dir[4096];
	uint64_t bytes, max;
	bool counted;
};

struct unmatched *unmatched_new(const char *spool_dir, uint64_t bytes_max)
{
	struct unmatched *u = calloc(1, sizeof *u);

	if (!u)
		return NULL;
	u->max = bytes_max;
	snprintf(u->dir, sizeof u->dir, "%.4000s/unmatched", spool_dir);
	return u;
}

void unmatched_free(struct unmatched *u)
{
	free(u);
}

/* Names have one length, so that their order is that of age. */
static void name_of(uint64_t id, char out[NAME_SIZE])
{
	snprintf(out, NAME_SIZE, "%016" PRIx64 ".eml", id);
}

static int is_kept(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n == 20 && strcmp(d->d_name + 16, ".eml") == 0;
}

static uint64_t size_at(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	uint64_t blocks =
	    (uint64_t)st.st_blocks * 512; /* many small ones take more than they hold */
	return blocks > (uint64_t)st.st_size ? blocks : (uint64_t)st.st_size;
}

/* The oldest go until `room` more bytes fit, and an eighth of all: the folder is not read for each
 * message once it is full. */
static void make_room(struct unmatched *u, int dir, uint64_t room)
{
	struct dirent **names = NULL;
	int n = u->counted && u->bytes + room <= u->max
		    ? 0
		    : scandir(u->dir, &names, is_kept, alphasort);
	unsigned gone = 0;
	uint64_t least;

	if (!u->counted && n >= 0) {
		u->bytes = 0;
		for (int i = 0; i < n; i++)
			u->bytes += size_at(dir, names[i]->d_name);
		u->counted = true;
	}
	least = u->bytes + room > u->max ? u->max / 8 * 7 : UINT64_MAX;
	for (int i = 0; i < n; i++) {
		uint64_t size = u->bytes + room > least ? size_at(dir, names[i]->d_name) : 0;

		if (u->bytes + room > least && !unlinkat(dir, names[i]->d_name, 0)) {
			u->bytes -= size < u->bytes ? size : u->bytes;
			gone++;
		}
		free(names[i]);
	}
	free(names);
	if (gone)
		log_warn("%s is full: its %u oldest messages are gone", u->dir, gone);
}

static int open_dir(const struct unmatched *u)
{
	int dir = open(u->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 && errno == ENOENT && !mkdir(u->dir, 0700))
		dir = open(u->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir;
}

static bool write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t got = write(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static void put_head(const struct message *m, struct str words, struct buf *out)
{
	buf_addz(out, "Return-Path: <");
	clean_add(out, m->sender, false);
	buf_addz(out, ">\r\n");
	for (uint32_t i = 0; i < m->nrcpts; i++) {
		buf_addz(out, "Delivered-To: ");
		clean_add(out, m->rcpts[i].address, false);
		buf_addz(out, "\r\n");
	}
	buf_addz(out, "X-Stoker-Unmatched: ");
	clean_add(out, words, false);
	buf_addz(out, "\r\n");
}

static bool write_file(int fd, const struct message *m, const struct body *body, struct str words,
		       int64_t (*read)(const struct body *, uint64_t, void *, size_t))
{
	struct buf b;
	uint64_t at = 0;
	bool ok;

	buf_init(&b);
	put_head(m, words, &b);
	ok = !buf_failed(&b) && write_all(fd, b.p, b.n) && buf_reserve(&b, PIECE);
	while (ok && at < body->size) {
		int64_t n = read(body, at, b.p, body->size - at < PIECE ? body->size - at : PIECE);

		ok = n > 0 && write_all(fd, b.p, (size_t)n);
		at += n > 0 ? (uint64_t)n : 0;
	}
	buf_free(&b);
	return ok && !fsync(fd);
}

static bool keep(struct unmatched *u, int dir, const struct message *m, const struct body *body,
		 struct str words, int64_t (*read)(const struct body *, uint64_t, void *, size_t))
{
	static const char tmp[] = ".new";
	char name[NAME_SIZE];
	bool ok;
	int fd;

	name_of(m->id, name);
	make_room(u, dir, body->size);
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	ok = fd >= 0 && write_file(fd, m, body, words, read);
	if (fd >= 0)
		close(fd);
	if (!ok || renameat(dir, tmp, dir, name) || fsync(dir))
		return false;
	u->bytes += size_at(dir, name);
	return true;
}

const struct err *unmatched_keep(
    struct unmatched *u, const struct message *m, const struct body *body, struct str words,
    int64_t (*read)(const struct body *b, uint64_t at, void *p, size_t n), struct errbuf *e)
{
	int dir = open_dir(u);
	bool ok = dir >= 0 && keep(u, dir, m, body, words, read);

	if (!ok)
		errbuf_set(e, "%s can't be written: %s", u->dir, strerror(errno));
	if (dir >= 0)
		close(dir);
	return ok ? NULL : &err_io;
}
