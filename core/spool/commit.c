/* The ledger into the index: one transaction, then the promises that become durable with it. LMDB
 * syncs the data of a commit, but its meta page only with the next one (MDB_NOMETASYNC): commit n
 * is durable once n+1 has succeeded, or after mdb_env_sync. */
#include <errno.h>

#include "core/base/log.h"
#include "core/spool/engine.h"

enum {
	ID_RESERVE = 1 << 24,
	SEGMENT_RESERVE = 128,
};

/* ---- writing ---- */

static int put_message(struct spool *s, MDB_txn *txn, const struct entry *e)
{
	struct msg_row row = { .where = e->where, .envelope = e->envelope };
	struct buf copy;
	int rc;

	if (e->fresh)
		return index_put_message(&s->index, txn, e->id, &row);
	/* moved: the envelope is in the row that is about to be replaced */
	rc = index_get_message(&s->index, txn, e->id, &row);
	if (rc)
		return rc == MDB_NOTFOUND || rc == INDEX_DAMAGED ? 0 : rc;
	buf_init(&copy);
	if (!buf_adds(&copy, row.envelope))
		return ENOMEM;
	row = (struct msg_row){ .where = e->where, .envelope = buf_str(&copy) };
	rc = index_put_message(&s->index, txn, e->id, &row);
	buf_free(&copy);
	return rc;
}

static int write_entry(struct spool *s, MDB_txn *txn, const struct entry *e)
{
	int rc = 0;

	if (!e->left)
		return e->indexed ? index_del_message(&s->index, txn, e->id, e->nrcpts) : 0;
	if (e->fresh || e->moved)
		rc = put_message(s, txn, e);
	for (const struct change *c = e->changes; c && !rc; c = c->next)
		if (c->dirty)
			rc = index_put_rcpt(&s->index, txn, e->id, c);
	if (!rc && e->left_dirty && e->nrcpts > 1)
		rc = index_put_left(&s->index, txn, e->id, e->left);
	return rc;
}

static int write_segments(struct spool *s, MDB_txn *txn)
{
	uint64_t number;
	size_t pos = 0;
	void *p;
	int rc = 0;

	while (!rc && idmap_next(&s->segments, &pos, &number, &p)) {
		const struct segment *seg = p;

		if (!seg->dirty)
			continue;
		rc = seg->live ? index_put_segment(&s->index, txn, seg)
			       : index_del_segment(&s->index, txn, number);
	}
	return rc;
}

static void reserve_numbers(struct spool *s, struct core *next)
{
	uint64_t id = __atomic_load_n(&s->shared->next_id, __ATOMIC_RELAXED);
	uint64_t segment;

	pthread_mutex_lock(&s->shared->lock);
	segment = s->shared->next_segment;
	pthread_mutex_unlock(&s->shared->lock);
	if (id + ID_RESERVE / 2 > next->id_ceiling)
		next->id_ceiling = id + ID_RESERVE;
	if (segment + SEGMENT_RESERVE / 2 > next->segment_ceiling)
		next->segment_ceiling = segment + SEGMENT_RESERVE;
}

static int write_all(struct spool *s, MDB_txn *txn, struct core *next)
{
	int rc = 0;

	for (const struct entry *e = s->ledger.first; e && !rc; e = e->next)
		rc = write_entry(s, txn, e);
	if (!rc)
		rc = write_segments(s, txn);
	if (!rc)
		rc = eventlog_write(s, txn, next);
	return rc ? rc : index_put_core(&s->index, txn, next);
}

static int try_commit(struct spool *s, struct core *next)
{
	MDB_txn *txn;
	int rc;

	*next = s->core;
	next->commits++;
	reserve_numbers(s, next);
	rc = mdb_txn_begin(s->index.mdb, NULL, 0, &txn);
	if (rc)
		return rc;
	rc = write_all(s, txn, next);
	if (!rc)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

/* ---- afterwards ---- */

static void publish(struct spool *s, const struct promise *p)
{
	struct shared *sh = s->shared;

	s->durable = *p;
	__atomic_store_n(&sh->id_ceiling, p->id_ceiling, __ATOMIC_RELEASE);
	__atomic_store_n(&sh->durable_event, p->last_event, __ATOMIC_RELEASE);
	pthread_mutex_lock(&sh->lock);
	sh->segment_ceiling = p->segment_ceiling;
	pthread_mutex_unlock(&sh->lock);
	large_bury(s);
}

static void segments_committed(struct spool *s)
{
	uint64_t number;
	size_t pos = 0;
	void *p;

	while (idmap_next(&s->segments, &pos, &number, &p)) {
		struct segment *seg = p;

		seg->dirty = false;
		if (!seg->closed || seg->live || seg->dying)
			continue;
		seg->dying = true;
		seg->emptied_in = s->core.commits;
		s->ndying++;
	}
}

static void committed(struct spool *s, const struct core *next)
{
	struct u64list reports = s->fresh_reports;

	s->core = *next;
	for (const struct entry *e = s->ledger.first; e; e = e->next)
		if (!e->left && e->where.large && !large_doom(s, e->id, next->commits))
			log_warn("no memory to remove large body %llx before the next start",
				 (unsigned long long)e->id);
	segments_committed(s);
	for (struct position *p = s->positions; p; p = p->next)
		p->dirty = false;
	s->positions_dirty = s->core_dirty = false;
	s->fresh_reports = s->ledger.reports;
	s->ledger.reports = reports;
	ledger_clear(&s->ledger);
	publish(s, &s->committed);
	s->committed = (struct promise){ .commits = next->commits,
					 .id_ceiling = next->id_ceiling,
					 .segment_ceiling = next->segment_ceiling,
					 .last_event = next->next_event - 1 };
	env_reserve(&s->index);
}

/* It may have had its effect all the same: what it wrote may be there. */
static void not_committed(struct spool *s)
{
	for (struct entry *e = s->ledger.first; e; e = e->next)
		e->indexed = true;
}

static const struct err *write_ledger(struct spool *s, struct errbuf *e)
{
	const struct err *err;
	struct core next;
	int rc;

	while ((rc = try_commit(s, &next)) == MDB_MAP_FULL) {
		err = env_grow(&s->index, e);
		if (err)
			return err;
		log_info("spool: the index's map is now %llu bytes",
			 (unsigned long long)s->index.o.map_bytes);
	}
	if (rc) {
		not_committed(s);
		return env_fail(&s->index, rc, "cannot write the index", e);
	}
	committed(s, &next);
	return NULL;
}

static const struct err *sync_index(struct spool *s, struct errbuf *e)
{
	const struct err *err;

	if (s->durable.commits == s->committed.commits)
		return NULL;
	err = env_sync(&s->index, e);
	if (!err)
		publish(s, &s->committed);
	return err;
}

static bool buffered(const struct spool *s)
{
	return s->ledger.first || s->ledger.nevents || s->ledger.deferred || s->positions_dirty ||
	       s->trim_more || s->core_dirty;
}

bool spool_dirty(const struct spool *s)
{
	return buffered(s) || s->durable.commits < s->committed.commits;
}

size_t spool_unwritten(const struct spool *s)
{
	enum { MESSAGE = 16 }; /* its rows are on pages that nobody else uses now */

	return s->ledger.nindexed * MESSAGE + s->ledger.nchanges;
}

uint64_t spool_last_event(const struct spool *s)
{
	return s->durable.last_event;
}

const struct err *spool_commit(struct spool *s, us_t now, bool sync, struct errbuf *e)
{
	const struct err *err = NULL;
	bool write;

	OBJ_CHECK(s, SPOOL_MAGIC);
	s->now = now;
	if (s->index.failed)
		err = env_reopen(&s->index, e);
	if (!err && !outcomes_resolve(s)) {
		errbuf_set(e, "cannot read the index %s", s->index.dir);
		s->index.failed = true;
		err = &err_io;
	}
	write = buffered(s);
	if (!err && write)
		err = write_ledger(s, e);
	/* nothing followed the last commit: it is synced by itself */
	if (!err && (sync || !write))
		err = sync_index(s, e);
	s->stats.lmdb_failed = err != NULL;
	return err;
}
