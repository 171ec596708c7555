/* An LMDB environment: opening, checking, growing, giving it up after a failure and taking it anew,
 * keeping space in reserve. Private to core/spool. Written by the spool thread alone; other threads
 * may read between env_read_begin and env_read_end. */
#ifndef STOKER_SPOOL_ENV_H
#define STOKER_SPOOL_ENV_H

#include <lmdb.h>
#include <pthread.h>

#include "core/base/err.h"
#include "core/base/str.h"

enum { ENV_TABLES_MAX = 5 };

struct env_opts {
	const char *dir;
	const char *const *tables; /* names, NULL-terminated; none: the main table alone */
	unsigned flags;		   /* MDB_NOMETASYNC or 0 */
	uint64_t map_bytes;
	uint64_t reserve_bytes; /* disk space kept allocated ahead of what is used */
	bool create;
};

struct env {
	MDB_env *mdb; /* NULL while it is given up */
	MDB_dbi dbi[ENV_TABLES_MAX];
	struct env_opts o;
	char *dir;
	pthread_rwlock_t gate; /* held for reading by readers, for writing to grow and reopen */
	MDB_txn *lookup;       /* the spool thread's own read transaction, kept between look-ups */
	unsigned lookups;      /* how many use it now, one inside the other */
	bool failed;	       /* the last write failed: reopen before the next */
	uint64_t reserved;     /* bytes of the file that have disk space */
};

/* err_spool_damaged if it is missing (and not to be created) or unreadable. */
const struct err *env_open(struct env *v, const struct env_opts *o, struct errbuf *e);
void env_close(struct env *v);
/* After a failed write. The kernel has marked the pages of a failed sync as clean, and the last
 * commit's meta page may have been among them: it is written once more, through a new descriptor.
 */
const struct err *env_reopen(struct env *v, struct errbuf *e);
/* Doubles the map (MDB_MAP_FULL). No transaction of the caller may be open. */
const struct err *env_grow(struct env *v, struct errbuf *e);
/* Makes all commits durable. */
const struct err *env_sync(struct env *v, struct errbuf *e);
/* Keeps the reserve ahead of what is used; a failure is only logged. */
void env_reserve(struct env *v);

/* Spool thread: a snapshot for look-ups; NULL: not readable now. No write transaction in between.
 */
MDB_txn *env_lookup_begin(struct env *v);
void env_lookup_end(struct env *v);
/* Other threads. */
MDB_txn *env_read_begin(struct env *v);
void env_read_end(struct env *v, MDB_txn *txn);

/* Fills the sentence, marks the environment as failed, returns err_io. */
const struct err *env_fail(struct env *v, int rc, const char *what, struct errbuf *e);

static inline MDB_val env_val(const void *p, size_t n)
{
	return (MDB_val){ .mv_size = n, .mv_data = (void *)(uintptr_t)p };
}
static inline struct str env_str(const MDB_val *v)
{
	return str_mem(v->mv_data, v->mv_size);
}

#endif
