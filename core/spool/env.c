#include "core/spool/env.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/spool/engine.h"

enum {
	FILE_MODE = 0600,
	META_BYTES_MAX = 2 * 65536, /* two meta pages of LMDB's largest page size */
	ZERO_STEP = 1 << 20,
	/* LMDB does not write a page that it took and gave back in one transaction: at the file's
	 * end such pages may be missing, and are never read. */
	MISSING_PAGES_MAX = 256,
};

static void data_path(const struct env *v, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/data.mdb", v->dir);
}

const struct err *env_fail(struct env *v, int rc, const char *what, struct errbuf *e)
{
	errbuf_set(e, "%s %s: %s", what, v->dir, mdb_strerror(rc));
	v->failed = true;
	return &err_io;
}

static const struct err *damaged(struct env *v, const char *why, struct errbuf *e)
{
	errbuf_set(e, "%s/data.mdb %s; restore it (with the rest of the spool) before starting",
		   v->dir, why);
	return &err_spool_damaged;
}

/* Bytes up to the last page that any commit has used, by the newest meta. False: not to be had. */
static bool used_bytes(struct env *v, uint64_t *bytes)
{
	MDB_envinfo info;
	MDB_stat st;

	if (mdb_env_info(v->mdb, &info) || mdb_env_stat(v->mdb, &st))
		return false;
	*bytes = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
	return true;
}

/* The pages that the newest meta speaks of must be there: LMDB maps the file, and a page missing
 * from it would be a SIGBUS. */
static const struct err *check_size(struct env *v, struct errbuf *e)
{
	struct stat file;
	uint64_t used;
	int fd;

	if (!used_bytes(v, &used) || mdb_env_get_fd(v->mdb, &fd) || fstat(fd, &file))
		return damaged(v, "cannot be examined", e);
	if ((uint64_t)file.st_size >= used)
		return NULL;
	if (used - (uint64_t)file.st_size > MISSING_PAGES_MAX * (uint64_t)RECORD_PAGE)
		return damaged(v, "is shorter than its own index says", e);
	if (ftruncate(fd, (off_t)used))
		return env_fail(v, errno, "cannot extend", e);
	return NULL;
}

/* Not what LMDB has written. */
static bool unreadable(int rc)
{
	return rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH || rc == MDB_CORRUPTED ||
	       rc == MDB_PAGE_NOTFOUND || rc == MDB_INCOMPATIBLE || rc == MDB_PANIC;
}

static const struct err *open_tables(struct env *v, struct errbuf *e)
{
	unsigned flags = v->o.create ? MDB_CREATE : 0;
	MDB_txn *txn;
	int rc = mdb_txn_begin(v->mdb, NULL, v->o.create ? 0 : MDB_RDONLY, &txn);

	if (rc)
		return env_fail(v, rc, "cannot read", e);
	if (!v->o.tables)
		rc = mdb_dbi_open(txn, NULL, 0, &v->dbi[0]);
	for (unsigned i = 0; v->o.tables && v->o.tables[i] && !rc; i++)
		rc = mdb_dbi_open(txn, v->o.tables[i], flags, &v->dbi[i]);
	if (rc) {
		mdb_txn_abort(txn);
		if (unreadable(rc))
			return damaged(v, "is not readable as a database", e);
		return rc == MDB_NOTFOUND ? damaged(v, "has no tables in it", e)
					  : env_fail(v, rc, "cannot open the tables of", e);
	}
	rc = mdb_txn_commit(txn);
	return rc ? env_fail(v, rc, "cannot write", e) : NULL;
}

static const struct err *open_mdb(struct env *v, struct errbuf *e)
{
	int rc = mdb_env_create(&v->mdb);

	if (rc)
		return &err_no_memory;
	mdb_env_set_maxdbs(v->mdb, ENV_TABLES_MAX);
	mdb_env_set_mapsize(v->mdb, v->o.map_bytes);
	rc = mdb_env_open(v->mdb, v->dir, v->o.flags | MDB_NOTLS, FILE_MODE);
	if (rc) {
		/* after a failed open only close is allowed */
		mdb_env_close(v->mdb);
		v->mdb = NULL;
		if (unreadable(rc))
			return damaged(v, "is not readable as a database", e);
		return env_fail(v, rc, "cannot open", e);
	}
	return NULL;
}

static const struct err *open_checked(struct env *v, struct errbuf *e)
{
	const struct err *err = open_mdb(v, e);
	MDB_envinfo info;

	if (err)
		return err;
	err = check_size(v, e);
	if (!err)
		err = open_tables(v, e);
	if (err) {
		mdb_env_close(v->mdb);
		v->mdb = NULL;
		return err;
	}
	/* the map may have been larger in an earlier life */
	if (!mdb_env_info(v->mdb, &info) && info.me_mapsize > v->o.map_bytes)
		v->o.map_bytes = info.me_mapsize;
	v->failed = false;
	return NULL;
}

/* Space ahead: real zeros while nobody else is near, since a sync into pre-written space is twice
 * as fast (TRAPS.md). */
static void write_ahead(struct env *v)
{
	static const char zeros[ZERO_STEP];
	struct stat st;
	uint64_t used, want;
	int fd;

	if (!used_bytes(v, &used) || mdb_env_get_fd(v->mdb, &fd) || fstat(fd, &st))
		return;
	v->reserved = (uint64_t)st.st_size;
	want = used + v->o.reserve_bytes;
	if (v->reserved + v->o.reserve_bytes / 2 >= want)
		return;
	while (v->reserved < want) {
		uint64_t left = want - v->reserved;
		size_t n = left < ZERO_STEP ? (size_t)left : ZERO_STEP;

		if (pwrite(fd, zeros, n, (off_t)v->reserved) != (ssize_t)n) {
			log_warn("cannot keep %llu bytes in reserve for %s: %s",
				 (unsigned long long)v->o.reserve_bytes, v->dir, strerror(errno));
			return;
		}
		v->reserved += n;
	}
	/* fsync: the size, too, is to be on disk before commits rely on it */
	if (fsync(fd))
		v->failed = true;
}

const struct err *env_open(struct env *v, const struct env_opts *o, struct errbuf *e)
{
	const struct err *err;
	char path[PATH_MAX];
	struct stat st;

	*v = (struct env){ .o = *o, .dir = strdup(o->dir) };
	if (!v->dir || pthread_rwlock_init(&v->gate, NULL)) {
		free(v->dir);
		v->dir = NULL;
		return &err_no_memory;
	}
	data_path(v, path);
	if (!o->create && (stat(path, &st) || !st.st_size))
		err = damaged(v, "is missing", e);
	else
		err = open_checked(v, e);
	if (err) {
		env_close(v);
		return err;
	}
	v->o.create = false;
	write_ahead(v);
	return NULL;
}

static void drop_lookup(struct env *v)
{
	if (v->lookup)
		mdb_txn_abort(v->lookup);
	v->lookup = NULL;
	v->lookups = 0;
}

void env_close(struct env *v)
{
	if (!v->dir)
		return;
	drop_lookup(v);
	if (v->mdb)
		mdb_env_close(v->mdb);
	pthread_rwlock_destroy(&v->gate);
	free(v->dir);
	*v = (struct env){ .mdb = NULL };
}

static const struct err *rewrite_metas(struct env *v, struct errbuf *e)
{
	static char metas[META_BYTES_MAX];
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	data_path(v, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		errbuf_set(e, "cannot open %s: %s", path, strerror(errno));
		return &err_io;
	}
	/* Two pages of the page size in use: more would touch data pages, which need no repair. */
	n = pread(fd, metas, 2 * (size_t)sysconf(_SC_PAGESIZE), 0);
	if (n <= 0 || pwrite(fd, metas, (size_t)n, 0) != n || fdatasync(fd)) {
		errbuf_set(e, "cannot write %s: %s", path, strerror(errno));
		close(fd);
		return &err_io;
	}
	close(fd);
	return NULL;
}

const struct err *env_reopen(struct env *v, struct errbuf *e)
{
	const struct err *err;

	pthread_rwlock_wrlock(&v->gate);
	drop_lookup(v);
	if (v->mdb)
		mdb_env_close(v->mdb);
	v->mdb = NULL;
	err = rewrite_metas(v, e);
	if (!err)
		err = open_checked(v, e);
	pthread_rwlock_unlock(&v->gate);
	return err;
}

const struct err *env_grow(struct env *v, struct errbuf *e)
{
	int rc;

	pthread_rwlock_wrlock(&v->gate);
	drop_lookup(v);
	rc = mdb_env_set_mapsize(v->mdb, v->o.map_bytes * 2);
	if (!rc)
		v->o.map_bytes *= 2;
	pthread_rwlock_unlock(&v->gate);
	return rc ? env_fail(v, rc, "cannot enlarge the map of", e) : NULL;
}

const struct err *env_sync(struct env *v, struct errbuf *e)
{
	int rc = v->mdb ? mdb_env_sync(v->mdb, 1) : EIO;

	return rc ? env_fail(v, rc, "cannot sync", e) : NULL;
}

void env_reserve(struct env *v)
{
	uint64_t used;
	int fd;

	if (!used_bytes(v, &used) || used + v->o.reserve_bytes / 2 <= v->reserved)
		return;
	if (mdb_env_get_fd(v->mdb, &fd) ||
	    fallocate(fd, 0, (off_t)v->reserved, (off_t)v->o.reserve_bytes))
		log_warn("cannot keep space in reserve for %s: %s", v->dir, strerror(errno));
	v->reserved += v->o.reserve_bytes;
}

MDB_txn *env_lookup_begin(struct env *v)
{
	if (!v->mdb)
		return NULL;
	if (!v->lookups && (v->lookup ? mdb_txn_renew(v->lookup)
				      : mdb_txn_begin(v->mdb, NULL, MDB_RDONLY, &v->lookup))) {
		drop_lookup(v);
		return NULL;
	}
	v->lookups++;
	return v->lookup;
}

void env_lookup_end(struct env *v)
{
	if (v->lookups && --v->lookups == 0)
		mdb_txn_reset(v->lookup);
}

MDB_txn *env_read_begin(struct env *v)
{
	MDB_txn *txn;

	pthread_rwlock_rdlock(&v->gate);
	if (!v->mdb || mdb_txn_begin(v->mdb, NULL, MDB_RDONLY, &txn)) {
		pthread_rwlock_unlock(&v->gate);
		return NULL;
	}
	return txn;
}

void env_read_end(struct env *v, MDB_txn *txn)
{
	mdb_txn_abort(txn);
	pthread_rwlock_unlock(&v->gate);
}
