#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/spool/engine.h"

#define MB ((uint64_t)1 << 20)
#define GB ((uint64_t)1 << 30)

static const uint64_t SEGMENT_BYTES = 64 * MB;
static const uint64_t EVENTS_MAX = 1 * GB; /* CONFIG.md, events-max */
static const uint64_t MAP_BYTES = 64 * GB;
static const uint64_t STATE_MAP_MAX = 4 * GB;
static const uint64_t INDEX_RESERVE = 64 * MB;
static const uint64_t STATE_RESERVE = 4 * MB;
/* A file system without inodes left is full; one flush needs none, but large bodies and segments
 * do. */
enum { INODES_FLOOR = 1000, SYNC_PROBES = 3 };

const struct err err_spool_locked = { "spool-locked", "another running Stoker uses this spool" };
const struct err err_spool_newer = { "spool-newer", "the spool was written by a newer Stoker" };
const struct err err_spool_damaged = { "spool-damaged",
				       "a part of the spool is missing or unreadable" };
const struct err err_spool_poisoned = { "spool-poisoned", "a write to the spool failed" };
const struct err err_spool_floor = { "spool-floor",
				     "less disk space is free than spool-min-free asks for" };

static const char *const index_tables[] = {
	[TABLE_MSG] = "msg",   [TABLE_RCPT] = "rcpt", [TABLE_EVENTS] = "events",
	[TABLE_META] = "meta", [TABLE_SEG] = "seg",   [TABLES] = NULL
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static struct shared *shared_new(const char *dir, uint64_t segment_bytes)
{
	struct shared *sh = calloc(1, sizeof *sh);

	if (!sh)
		return NULL;
	sh->refs = 1;
	sh->segment_bytes = record_align(segment_bytes, RECORD_PAGE);
	sh->dir = strdup(dir);
	if (sh->dir && !pthread_mutex_init(&sh->lock, NULL))
		return sh;
	free(sh->dir);
	free(sh);
	return NULL;
}

static struct spool *spool_new(const struct spool_opts *o)
{
	struct spool *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->magic = SPOOL_MAGIC;
	s->lock_fd = s->state_lock_fd = -1;
	s->min_free = o->min_free;
	s->events_max = o->events_max ? o->events_max : EVENTS_MAX;
	s->dir = strdup(o->dir);
	s->state_dir = strdup(o->state_dir);
	s->shared = shared_new(o->dir, o->segment_bytes ? o->segment_bytes : SEGMENT_BYTES);
	s->now = clock_now_us();
	s->state_last = &s->state_ops;
	ledger_init(&s->ledger);
	idmap_init(&s->segments);
	return s;
}

static void spool_free(struct spool *s)
{
	if (s->sweep)
		closedir(s->sweep);
	compact_free(s);
	batch_free(s);
	ledger_free(&s->ledger);
	segment_free_all(s);
	eventlog_free_positions(s);
	state_close(s);
	env_close(&s->index);
	format_close(s);
	shared_unref(s->shared);
	u64list_free(&s->fresh_reports);
	free(s->dead);
	free(s->dir);
	free(s->state_dir);
	s->magic = 0;
	free(s);
}

/* ---- open ---- */

static const struct err *open_envs(struct spool *s, const struct spool_opts *o, bool create,
				   bool create_state, struct errbuf *e)
{
	char index[PATH_MAX], state[PATH_MAX];
	uint64_t map = o->map_bytes ? o->map_bytes : MAP_BYTES;
	struct env_opts io = { .dir = index,
			       .tables = index_tables,
			       .flags = MDB_NOMETASYNC,
			       .map_bytes = map,
			       .reserve_bytes = min_u64(INDEX_RESERVE, s->shared->segment_bytes),
			       .create = create };
	struct env_opts so = { .dir = state,
			       .map_bytes = min_u64(map, STATE_MAP_MAX),
			       .reserve_bytes = min_u64(STATE_RESERVE, s->shared->segment_bytes),
			       .create = create_state };
	const struct err *err;

	snprintf(index, sizeof index, "%s/index", s->dir);
	snprintf(state, sizeof state, "%s/db", s->state_dir);
	err = env_open(&s->index, &io, e);
	return err ? err : env_open(&s->state, &so, e);
}

static const struct err *first_core(struct spool *s, struct errbuf *e)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->index.mdb, NULL, 0, &txn);

	s->core =
	    (struct core){ .segment = 1, .id_ceiling = 1, .segment_ceiling = 1, .next_event = 1 };
	if (!rc) {
		rc = index_put_core(&s->index, txn, &s->core);
		if (!rc)
			rc = mdb_txn_commit(txn);
		else
			mdb_txn_abort(txn);
	}
	return rc ? env_fail(&s->index, rc, "cannot write", e) : env_sync(&s->index, e);
}

static const struct err *read_core(struct spool *s, struct errbuf *e)
{
	MDB_txn *txn = env_lookup_begin(&s->index);
	int rc = txn ? index_get_core(&s->index, txn, &s->core) : MDB_PANIC;

	if (txn)
		env_lookup_end(&s->index);
	if (!rc)
		return NULL;
	errbuf_set(e, "the index in %s/index cannot be read (%s); restore it", s->dir,
		   mdb_strerror(rc));
	return &err_spool_damaged;
}

/* Numbers and ids go on where the reservation of the last life ended: nothing of it can have been
 * used beyond. */
static void begin_numbers(struct spool *s)
{
	struct spool_totals *t = &s->core.totals;

	s->shared->next_id = s->shared->id_ceiling = s->core.id_ceiling;
	s->shared->next_segment = s->shared->segment_ceiling = s->core.segment_ceiling;
	s->committed = s->durable = (struct promise){ .commits = s->core.commits };
	s->load.below = s->core.id_ceiling;
	s->load.total = t->accepted - t->delivered - t->bounced - t->expired - t->removed;
}

/* Times a sync of the first segment's first page, as zero as before. */
static void probe_sync(struct spool *s)
{
	static const char zeros[RECORD_PAGE];
	uint64_t number = s->shared->prepared.n ? s->shared->prepared.v[0] : 0;
	char path[PATH_MAX];
	us_t start;
	int fd;

	segment_path(s->dir, number, path);
	fd = number ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	start = clock_now_us();
	for (int i = 0; i < SYNC_PROBES; i++)
		if (pwrite(fd, zeros, sizeof zeros, 0) != sizeof zeros || fdatasync(fd))
			log_warn("spool: cannot write segment %llu: %s", (unsigned long long)number,
				 strerror(errno));
	s->stats.sync_ms = (double)(clock_now_us() - start) / US_PER_MS / SYNC_PROBES;
	close(fd);
}

static const struct err *begin(struct spool *s, struct errbuf *e)
{
	char path[PATH_MAX];
	const struct err *err;
	struct errbuf why;

	begin_numbers(s);
	err = eventlog_load_positions(s, e);
	if (!err)
		err = recover_log(s, e);
	if (!err)
		err = spool_commit(s, s->now, true, e);
	if (err)
		return err;
	/* the replayed ones are among those to be loaded */
	s->load.total = s->core.totals.accepted - s->core.totals.delivered -
			s->core.totals.bounced - s->core.totals.expired - s->core.totals.removed;
	while (segment_bury(s))
		;
	/* Without room for a segment no mail is taken, but what is queued can still go. */
	if (stock_work(s->shared, &why))
		log_error("spool: %s", why.text);
	probe_sync(s);
	snprintf(path, sizeof path, "%s/large", s->dir);
	s->sweep = opendir(path);
	return NULL;
}

const struct err *spool_open(const struct spool_opts *o, struct spool **out, struct errbuf *e)
{
	struct spool *s = spool_new(o);
	bool create = false, create_state = false;
	const struct err *err = NULL;

	*out = NULL;
	if (!s || !s->dir || !s->state_dir || !s->shared)
		err = &err_no_memory;
	if (!err)
		err = format_open(s, &create, &create_state, e);
	if (!err)
		err = open_envs(s, o, create, create_state, e);
	if (!err)
		err = create ? first_core(s, e) : read_core(s, e);
	if (!err)
		err = format_created(s, create, create_state, e);
	if (!err)
		err = begin(s, e);
	if (!err) {
		*out = s;
		return NULL;
	}
	if (err == &err_no_memory)
		errbuf_set(e, "no memory to open the spool");
	if (s)
		spool_free(s);
	return err;
}

/* ---- close ---- */

void spool_close(struct spool *s)
{
	struct errbuf e;

	if (!s)
		return;
	OBJ_CHECK(s, SPOOL_MAGIC);
	if (spool_state_commit(s, &e))
		log_error("spool: closing: %s", e.text);
	segment_close(s, &s->log, s->now);
	segment_close(s, &s->cold, s->now);
	/* Nothing is behind this position, so that the next start need not look. */
	pthread_mutex_lock(&s->shared->lock);
	s->core.segment = s->shared->next_segment;
	pthread_mutex_unlock(&s->shared->lock);
	s->core.offset = 0;
	s->core_dirty = true;
	if (spool_commit(s, s->now, true, &e))
		log_error("spool: closing: %s", e.text);
	spool_free(s);
}

/* ---- ids, figures, upkeep ---- */

uint64_t spool_new_id(struct spool *s)
{
	uint64_t id = __atomic_fetch_add(&s->shared->next_id, 1, __ATOMIC_RELAXED);

	return id < __atomic_load_n(&s->shared->id_ceiling, __ATOMIC_ACQUIRE) ? id : 0;
}

void spool_totals(const struct spool *s, struct spool_totals *out)
{
	OBJ_CHECK(s, SPOOL_MAGIC);
	*out = s->core.totals;
}

static void look_at_disk(struct spool *s)
{
	struct spool_stats *st = &s->stats;
	uint64_t clear_at = s->min_free + s->min_free / 4;
	struct statvfs v;

	if (statvfs(s->dir, &v)) {
		log_warn("cannot examine the disk of %s: %s", s->dir, strerror(errno));
		return;
	}
	st->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	st->free_inodes = v.f_favail;
	bool inodes_low = v.f_files && st->free_inodes < INODES_FLOOR; /* some count none */

	if (st->below_floor)
		st->below_floor = st->free_bytes < clear_at || inodes_low;
	else
		st->below_floor = st->free_bytes < s->min_free || inodes_low;
}

void spool_stats(struct spool *s, us_t now, struct spool_stats *out)
{
	struct spool_stats *st = &s->stats;

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (!s->stats_at || now >= s->stats_at + US_PER_S || now < s->stats_at) {
		look_at_disk(s);
		s->stats_at = now;
	}
	st->messages = s->core.messages;
	st->bytes = s->core.bytes;
	st->poisoned = s->poisoned;
	st->events_bytes = s->core.events_bytes;
	st->events_dropped = s->core.events_dropped;
	st->last_event = s->core.next_event - 1;
	pthread_mutex_lock(&s->shared->lock);
	st->segments_free = s->shared->prepared.n + s->shared->empty.n;
	pthread_mutex_unlock(&s->shared->lock);
	st->segments = s->segments.used + st->segments_free;
	*out = *st;
}

bool spool_step(struct spool *s, us_t now)
{
	OBJ_CHECK(s, SPOOL_MAGIC);
	s->now = now;
	return segment_bury(s) || large_sweep_step(s) || compact_step(s, now);
}

bool spool_wants_segment(const struct spool *s)
{
	return stock_wanted(s->shared);
}

const struct err *spool_prepare_segment(struct spool *s, struct errbuf *e)
{
	return stock_work(s->shared, e);
}
