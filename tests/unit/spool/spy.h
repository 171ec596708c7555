/* The calls that change files, interposed: symbols of the executable come before libc's, also for
 * liblmdb. They can be made to fail, and while a disk records (disk.h) every change below one
 * folder goes into its list of operations. Include it in one file only, which begins with #undef
 * _FORTIFY_SOURCE. */
#ifndef STOKER_TEST_SPOOL_SPY_H
#define STOKER_TEST_SPOOL_SPY_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/buf.h"
#include "core/base/rng.h"

enum { DISK_FDS = 1024, DISK_SECTOR = 512, DISK_NAME = 64 };
enum disk_kind {
	DISK_CREATE, /* a name in a folder */
	DISK_RENAME,
	DISK_UNLINK,
	DISK_SYNC_DIR,
	DISK_WRITE,
	DISK_SIZE, /* truncation or allocation: the size is now `offset` */
	DISK_SYNC,
	DISK_SYNC_FAILED, /* what was pending may or may not arrive, and no later sync changes that
			   */
};

struct disk_op {
	enum disk_kind kind;
	int node;  /* the folder or file that it changes */
	int child; /* CREATE: the node that gets the name */
	char name[DISK_NAME], to[DISK_NAME];
	uint64_t offset;
	size_t n;
	char *data;
	bool dsync; /* written through a descriptor that syncs by itself */
};
struct disk_entry {
	char name[DISK_NAME];
	int node;
};
struct disk_node {
	bool folder;
	struct buf durable;	    /* a file's bytes that are surely there */
	struct disk_entry *entries; /* a folder's names that are surely there */
	size_t nentries;
	size_t *pending; /* operations since the last sync */
	size_t npending, cappending;
	size_t ndoubtful; /* the first of them were in a sync that failed */
};
struct disk {
	struct disk_node *nodes; /* 0 is the root */
	int nnodes;
	struct disk_op *ops;
	size_t nops, capops;
	size_t at;	 /* operations that disk_advance has gone through */
	struct rng luck; /* of writes whose sync failed */
};

/* ---- what the interposed calls know ---- */
static struct {
	struct disk *disk; /* NULL: not recording */
	char root[PATH_MAX];
	size_t nroot;
	struct {
		int node;
		bool dsync, known;
	} fd[DISK_FDS];
	struct { /* names as the program sees them now */
		char path[PATH_MAX];
		int node;
	} live[512];
	size_t nlive;
	/* Called before each call; an errno makes it fail. */
	int (*refuse)(enum disk_kind kind, const char *path);
} spy;

static int disk_new_node(struct disk *d, bool folder)
{
	d->nodes = realloc(d->nodes, (size_t)(d->nnodes + 1) * sizeof *d->nodes);
	assert_non_null(d->nodes);
	d->nodes[d->nnodes] = (struct disk_node){ .folder = folder };
	return d->nnodes++;
}

static struct disk_op *disk_add(enum disk_kind kind, int node)
{
	struct disk *d = spy.disk;

	if (d->nops == d->capops) {
		d->capops = d->capops ? d->capops * 2 : 1024;
		d->ops = realloc(d->ops, d->capops * sizeof *d->ops);
		assert_non_null(d->ops);
	}
	d->ops[d->nops] = (struct disk_op){ .kind = kind, .node = node };
	return &d->ops[d->nops++];
}

/* "seg/0001" of a path below the root; NULL: none of ours. Locks are worth nothing after a crash.
 */
static const char *spy_below(const char *path)
{
	size_t n = strlen(path);

	if (!spy.disk || strncmp(path, spy.root, spy.nroot) ||
	    (path[spy.nroot] && path[spy.nroot] != '/'))
		return NULL;
	if (n >= 4 &&
	    (!strcmp(path + n - 4, "lock") || (n >= 8 && !strcmp(path + n - 8, "lock.mdb"))))
		return NULL;
	return path[spy.nroot] ? path + spy.nroot + 1 : "";
}

static int spy_find(const char *below)
{
	for (size_t i = 0; i < spy.nlive; i++)
		if (!strcmp(spy.live[i].path, below))
			return (int)i;
	return -1;
}

static void spy_bind(const char *below, int node)
{
	int i = spy_find(below);

	if (i < 0) {
		assert_true(spy.nlive < sizeof spy.live / sizeof spy.live[0]);
		i = (int)spy.nlive++;
	}
	snprintf(spy.live[i].path, sizeof spy.live[i].path, "%s", below);
	spy.live[i].node = node;
}

static void spy_unbind(const char *below)
{
	int i = spy_find(below);

	if (i >= 0)
		spy.live[i] = spy.live[--spy.nlive];
}

static const char *disk_base(const char *below)
{
	const char *slash = strrchr(below, '/');

	return slash ? slash + 1 : below;
}

/* The node of the folder that holds a path. */
static int spy_folder(const char *below)
{
	char dir[PATH_MAX] = "";
	const char *base = disk_base(below);
	int i;

	if (base > below)
		memcpy(dir, below, (size_t)(base - below) - 1);
	i = spy_find(dir);
	assert_true(i >= 0);
	return spy.live[i].node;
}

static int spy_create(const char *below, bool folder)
{
	int parent = spy_folder(below), node = disk_new_node(spy.disk, folder);
	struct disk_op *op = disk_add(DISK_CREATE, parent);

	op->child = node;
	snprintf(op->name, sizeof op->name, "%s", disk_base(below));
	spy_bind(below, node);
	return node;
}

static int spy_node(int fd)
{
	return spy.disk && fd >= 0 && fd < DISK_FDS && spy.fd[fd].known ? spy.fd[fd].node : -1;
}

static bool spy_fails(enum disk_kind kind, int fd, const char *path)
{
	char buffer[PATH_MAX] = "", link[64];
	int why;

	if (!spy.refuse)
		return false;
	if (!path) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		if (readlink(link, buffer, sizeof buffer - 1) < 0)
			return false;
		path = buffer;
	}
	why = spy.refuse(kind, path);
	errno = why;
	return why != 0;
}

static struct disk_op *spy_write_op(int node, const void *p, size_t n)
{
	struct disk_op *op = disk_add(DISK_WRITE, node);

	op->n = n;
	op->data = malloc(n ? n : 1);
	assert_non_null(op->data);
	memcpy(op->data, p, n);
	return op;
}

static void spy_write(int fd, const void *p, size_t n, uint64_t at)
{
	struct disk_op *op;

	if (spy_node(fd) < 0 || !n)
		return;
	op = spy_write_op(spy_node(fd), p, n);
	op->offset = at;
	op->dsync = spy.fd[fd].dsync;
}

/* ---- the interposed calls ---- */

int open(const char *path, int flags, ...)
{
	struct stat st;
	va_list ap;
	mode_t mode;
	bool there;
	const char *below;
	int fd;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if ((flags & O_CREAT) && spy_fails(DISK_CREATE, -1, path))
		return -1;
	there = !stat(path, &st);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	below = fd >= 0 && fd < DISK_FDS ? spy_below(path) : NULL;
	if (fd >= 0 && fd < DISK_FDS)
		spy.fd[fd].known = false;
	if (!below)
		return fd;
	if (!there)
		spy_create(below, false);
	spy.fd[fd].node = spy.live[spy_find(below)].node;
	spy.fd[fd].dsync = flags & O_DSYNC;
	spy.fd[fd].known = true;
	if (there && (flags & O_TRUNC))
		disk_add(DISK_SIZE, spy.fd[fd].node)->offset = 0;
	return fd;
}

int close(int fd)
{
	if (fd >= 0 && fd < DISK_FDS)
		spy.fd[fd].known = false;
	return (int)syscall(SYS_close, fd);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t done;

	if (spy_fails(DISK_WRITE, fd, NULL))
		return -1;
	done = syscall(SYS_pwrite64, fd, p, n, at);
	if (done > 0)
		spy_write(fd, p, (size_t)done, (uint64_t)at);
	return done;
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	struct buf all;
	ssize_t done;

	if (spy_fails(DISK_WRITE, fd, NULL))
		return -1;
	done = syscall(SYS_pwritev, fd, v, n, at, 0);
	if (done <= 0 || spy_node(fd) < 0)
		return done;
	buf_init(&all);
	for (int i = 0; i < n; i++)
		assert_true(buf_add(&all, v[i].iov_base, v[i].iov_len));
	spy_write(fd, all.p, (size_t)done, (uint64_t)at);
	buf_free(&all);
	return done;
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	off_t at = spy_node(fd) < 0 && !spy.refuse ? 0 : lseek(fd, 0, SEEK_CUR);
	ssize_t done;

	if (spy_node(fd) < 0 && !spy.refuse)
		return syscall(SYS_writev, fd, v, n);
	done = pwritev(fd, v, n, at);
	if (done > 0)
		lseek(fd, at + done, SEEK_SET);
	return done;
}

ssize_t write(int fd, const void *p, size_t n)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };

	return spy_node(fd) < 0 ? syscall(SYS_write, fd, p, n) : writev(fd, &v, 1);
}

static int spy_sync(int fd, long call)
{
	int node = spy_node(fd), rc;

	if (spy_fails(DISK_SYNC, fd, NULL)) {
		if (node >= 0)
			disk_add(DISK_SYNC_FAILED, node);
		return -1;
	}
	rc = (int)syscall(call, fd);
	if (!rc && node >= 0)
		disk_add(spy.disk->nodes[node].folder ? DISK_SYNC_DIR : DISK_SYNC, node);
	return rc;
}

int fsync(int fd)
{
	return spy_sync(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return spy_sync(fd, SYS_fdatasync);
}

int ftruncate(int fd, off_t size)
{
	int rc = (int)syscall(SYS_ftruncate, fd, size);

	if (!rc && spy_node(fd) >= 0)
		disk_add(DISK_SIZE, spy_node(fd))->offset = (uint64_t)size;
	return rc;
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
	int rc;

	if (spy_fails(DISK_SIZE, fd, NULL))
		return -1;
	rc = (int)syscall(SYS_fallocate, fd, mode, at, n);
	if (!rc && spy_node(fd) >= 0 && !(mode & FALLOC_FL_KEEP_SIZE)) {
		struct stat st;

		assert_int_equal(fstat(fd, &st), 0);
		disk_add(DISK_SIZE, spy_node(fd))->offset = (uint64_t)st.st_size;
	}
	return rc;
}

int rename(const char *from, const char *to)
{
	const char *a = spy_below(from), *b = spy_below(to);
	int rc, node;
	struct disk_op *op;

	if (spy_fails(DISK_RENAME, -1, from))
		return -1;
	rc = (int)syscall(SYS_rename, from, to);
	if (rc || !a)
		return rc;
	node = spy.live[spy_find(a)].node;
	op = disk_add(DISK_RENAME, spy_folder(a));
	assert_int_equal(op->node, spy_folder(b)); /* all renames stay in their folder */
	snprintf(op->name, sizeof op->name, "%s", disk_base(a));
	snprintf(op->to, sizeof op->to, "%s", disk_base(b));
	spy_unbind(a);
	spy_bind(b, node);
	return 0;
}

int unlink(const char *path)
{
	const char *below = spy_below(path);
	int rc = (int)syscall(SYS_unlink, path);

	if (rc || !below)
		return rc;
	snprintf(disk_add(DISK_UNLINK, spy_folder(below))->name, DISK_NAME, "%s", disk_base(below));
	spy_unbind(below);
	return 0;
}

int mkdir(const char *path, mode_t mode)
{
	int rc = (int)syscall(SYS_mkdir, path, mode);

	if (!rc && spy_below(path))
		spy_create(spy_below(path), true);
	return rc;
}

#endif
