/* The spool: what 250 promised, and the memory of what happened since. All functions but those
 * marked "any thread" belong to the spool thread; the engine has no loop and no threads of its own
 * (core/mta_spool.c drives it), so the crash replayer can drive it too. */
#ifndef STOKER_SPOOL_SPOOL_H
#define STOKER_SPOOL_SPOOL_H

/* clang-format off: tables */
/* ON DISK (format 1): every legal state.
 *
 * Files; folders 0700, files 0600, all created with an fsync of the folder that names them before
 * anything relies on them:
 *   DIR/lock            flock: one instance
 *   DIR/format          "stoker-spool 1"; written last when a spool is created, by rename: without
 *                       it nothing was ever promised, and an empty or half-made spool is made anew;
 *                       without it beside segments or large bodies: refused (damaged). A higher
 *                       number: refused (newer)
 *   DIR/seg/NUMBER      segments. The log's (accepted messages) and compaction's (copies) look
 *                       alike; also prepared ones (zeros, or what an earlier life left) and dead
 *                       ones
 *   DIR/seg/X.tmp       a segment in the making; removed at start
 *   DIR/large/ID        large bodies, named by the message in hex
 *   DIR/index/data.mdb  the index (LMDB, MDB_NOMETASYNC). Missing or unreadable beside DIR/format:
 *                       refused
 *   STATE/state.format, STATE/state.lock, STATE/db/data.mdb the state environment; missing beside
 *                       DIR/format: refused, unless the operator made STATE/start-empty
 *
 * A segment is a run of flushes, each from a page border (4096) on; a flush is a run of records,
 * each from a multiple of 8 on; the last is marked. core/spool/record.h has the bytes. A flush is
 * written once and never touched again, so no write can harm what an earlier sync made durable.
 * Both CRCs of a record are seeded with the segment's number; numbers are used once, so whatever a
 * recycled file holds of its earlier lives is no record. Numbers and message ids are handed out
 * below ceilings that are durable in the index; a start goes on at the ceilings.
 *
 * The index has five tables. `msg`: id -> place and envelope, for each unfinished message that is
 * indexed. `rcpt`: (id, recipient) -> state, where it differs from "as accepted"; (id, 0xFFFFFFFF)
 * -> how many are not done, once some are. `events`: number of the first -> some encoded events.
 * `seg`: number -> how many unfinished messages lie in it, their bytes, their lowest and highest
 * id; no row: none. `meta`: one row "core" (position in the log up to which all is indexed, totals,
 * ceilings, next event number) and the positions of the events' readers. Every commit writes all
 * that changed, in one transaction: so position, rows, totals and events always belong together,
 * and accepted = delivered + bounced + expired + removed + queued in every state that can be found
 * on disk. Commit n becomes durable when commit n+1 succeeds or by mdb_env_sync; after a crash the
 * index is the last durable commit, or the one after it.
 *
 * Accept.      (large: 1 write ID, fsync it, fsync DIR/large.) 2 pwritev the flush. 3 fdatasync. 4
 *              answer 250. 5 a commit indexes it, or notes that it is already finished, and moves
 *              the position past it.
 *              Crash before 3: torn or whole records behind the position; a whole one may come to
 *              life though nobody was told, a torn one ends the flush. Before 5: recovery reads the
 *              log from the position on, enters each record as accepted with its EVENT_RECEIVED,
 *              syncs the segment (after a mere death of the process the flush may be in the page
 *              cache alone) and commits, synced, with a position behind every file that exists: a
 *              second recovery finds nothing to do, one that was itself cut short is simply
 *              repeated. New mail always goes to a segment with a new number. A large file without
 *              a record is removed after the next start.
 * Outcome.     1 kept in memory. 2 a commit. 3 durable, at most 50 ms later.
 *              Crash before 3: the recipient is as before, will be tried again, and its event was
 *              shown to no reader.
 * Report.      A DSN's record names the recipients it is about. 1 their RCPT_REPORT is made
 *              durable. 2 the DSN is accepted as above. 3 the commit that indexes it ends their
 *              RCPT_REPORT.
 *              Crash before 2 is durable: RCPT_REPORT stands, a report is made again. After: replay
 *              indexes the DSN and ends RCPT_REPORT in the same commit. So there is never no report
 *              and never two.
 * Finish.      1 a commit deletes the message's rows and lowers its segment's count. 2 that commit
 *              is durable. 3 its large file is unlinked (without fsync: if it comes back the next
 *              start removes it again).
 * Recycle.     1 the segment is closed, and a commit counts nothing unfinished in it; the log's
 *              position is beyond it. 2 that commit is durable, and the last reader's reference is
 *              gone. 3 rename to a new number (or unlink). 4 fsync DIR/seg. 5 it may be written to.
 *              Crash before 4: it has the old name, which no row knows, or the new one, under which
 *              nothing in it is a record. Either way the next start finds a dead segment.
 * Compaction.  1 copies are written to another segment, marked as copies. 2 fdatasync. 3 a commit
 *              changes the places in `msg` and both counts. 4 the old segment is recycled as above,
 *              after 3 is durable.
 *              Crash before 3 is durable: the index speaks of the old places, the old segment is
 *              there; copies are never replayed, and a segment of nothing else is dead.
 * Failure.     A write or sync that failed poisons its segment: its batch is refused, its headers
 *              are blanked as well as can be, the descriptor is closed unsynced, the next flush
 *              takes a new segment; the position moves past it with the next commit. What it held
 *              before stays readable, is moved off by compaction, and the file is then removed, not
 *              recycled. A commit that failed changes nothing in memory and may have had its effect
 *              all the same; the environment is opened anew, its two meta pages written once more
 *              through a new descriptor (the failed sync may have been of the last commit's), and
 *              all is committed again.
 * Close.       All is committed, synced, with a position behind every file, so that the next start
 *              reads no log. */
/* clang-format on */

#include "core/base/err.h"
#include "core/spool/event.h"
#include "core/spool/message.h"

struct spool;

struct spool_opts {
	const char *dir;	/* [mta] spool */
	const char *state_dir;	/* [mta] state */
	uint64_t segment_bytes; /* 0: 64 MB */
	uint64_t min_free;	/* spool-min-free, bytes; hysteresis 1.25 */
	uint64_t events_max;	/* bytes of events kept for slow readers; 0: 1 GB */
	uint64_t map_bytes;	/* LMDB map size; 0: 64 GB (sparse), grown when full */
};

extern const struct err err_spool_locked; /* another instance has it */
extern const struct err err_spool_newer;  /* written by a newer Stoker */
extern const struct err
    err_spool_damaged; /* an environment is missing beside segments, or unreadable */
extern const struct err err_spool_poisoned; /* a write or sync failed: 451 4.3.0 for this batch */
extern const struct err err_spool_floor;    /* below spool-min-free */

/* Locks, checks the format, opens LMDB, finds the records behind the indexed position. Does not
 * load messages. Creates an empty spool where there is nothing at all. Measures the sync time of
 * the disk. */
const struct err *spool_open(const struct spool_opts *o, struct spool **out, struct errbuf *e);
/* Syncs what is buffered, closes. */
void spool_close(struct spool *s);

/* Any thread: a number never used before, over all restarts (a ceiling ahead of it is on disk). 0:
 * no number is reserved any more, because commits have been failing for long; answer 451. */
uint64_t spool_new_id(struct spool *s);

/* ---- accept: add …, then one flush for all ---- */
/* Buffers a record; keeps the message (the caller gets it back from flush). A large body must be
 * synced already (spool_large_*). False: the batch is full (flush first) or there is no memory;
 * false with an empty batch: this message can't be taken (no memory, no id, no recipients, or a
 * file body that is not its own large one). */
bool spool_add(struct spool *s, struct message *m);
/* Writes and syncs the batch. NULL: all are durable; answer 250, then hand them to the scheduler.
 * Otherwise none is (their segment is poisoned and replaced). `done` is called for each message of
 * the batch, in order, and owns it; it must not add to the next batch. EVENT_RECEIVED of each
 * message is made here, so that it is in the commit that indexes it: callers do not make one. A
 * report on recipients whose RCPT_REPORT is not durable yet commits that first. */
const struct err *spool_flush(struct spool *s, us_t now,
			      void (*done)(void *arg, struct message *m, const struct err *err),
			      void *arg, struct errbuf *e);
size_t spool_batch_count(const struct spool *s);

/* ---- large bodies (over BODY_MEMORY_MAX): any thread; a worker's job ---- */
struct spool_large;
struct spool_large *spool_large_create(struct spool *s, uint64_t message_id, struct errbuf *e);
const struct err *spool_large_write(struct spool_large *l, struct str chunk, struct errbuf *e);
/* Syncs file and directory. The body (a file body) is in *out with one reference. */
const struct err *spool_large_finish(struct spool_large *l, bool dot_line, bool eightbit,
				     struct body **out, struct errbuf *e);
void spool_large_abort(struct spool_large *l); /* removes the file */

/* ---- outcomes: buffered, then one LMDB transaction ---- */
struct outcome {
	uint64_t message;
	uint32_t rcpt;
	enum rcpt_state state; /* QUEUED: deferred */
	enum event_type as;    /* what is counted: DELIVERED, BOUNCED, EXPIRED, REMOVED or DEFERRED;
				  RECEIVED: nothing (a state change without event) */
	uint16_t attempts;
	bool maybe_twice;
	us_t due; /* deferred: the next attempt */
	struct str reply;
	const char *enhanced;
};
/* `ev` may be NULL (no event). Copies what it needs. An unknown message or recipient, or one that
 * is not waiting for such an outcome, is a broken invariant of the caller: logged, ignored with its
 * event. False: no memory, nothing is recorded. */
bool spool_outcome(struct spool *s, const struct outcome *o, const struct event *ev);
bool spool_event(struct spool *s, const struct event *ev);
/* The last event that is durable; 0: there was none since the start. */
uint64_t spool_last_event(const struct spool *s);
/* True when something is buffered for LMDB (outcomes, events, index), or the last commit is not
 * durable yet. */
bool spool_dirty(const struct spool *s);
/* How much work the next commit is, in recipients: a message that was in the index counts 16. */
size_t spool_unwritten(const struct spool *s);
/* One commit of index, outcomes, events, totals; `sync`: mdb_env_sync follows. Without it the
 * commit is durable with the next one; so call it every 20 ms while spool_dirty: with nothing
 * buffered it does that sync alone. Events get their numbers here. On failure nothing is lost in
 * memory: call again, the environment is then opened anew (the caller stops new mail and hand-outs
 * meanwhile). */
const struct err *spool_commit(struct spool *s, us_t now, bool sync, struct errbuf *e);

struct spool_totals { /* recipients over the life of the spool; queued = accepted - the rest */
	uint64_t accepted, delivered, deferred, bounced, expired, removed, maybe_twice;
};
void spool_totals(const struct spool *s, struct spool_totals *out);

/* ---- loading at start: each unfinished message once, in steps ---- */
/* Hands up to `max` messages to `fn` (which owns them; body NULL, states filled). False when all
 * are loaded. Messages accepted after spool_open are not among them. */
bool spool_load(struct spool *s, unsigned max, void (*fn)(void *arg, struct message *m), void *arg);
/* Share loaded, 0 to 1, and how many recipients are still to come. */
double spool_load_progress(const struct spool *s, uint64_t *rcpts_left);

/* ---- bodies ---- */
/* A counted descriptor and range for a body; the reference keeps its segment (or large file) from
 * recycling. `w` may be as old as the message: if compaction has moved it since, the index is
 * asked. NULL: gone. */
struct body *spool_body(struct spool *s, uint64_t message, const struct spool_where *w);
/* Any thread: reads a file body of up to BODY_MEMORY_MAX into memory (CRC checked), as a new body;
 * or an error. */
const struct err *spool_body_load(struct body *file_body, struct body **out, struct errbuf *e);
/* Any thread: reads part of a file body. Returns bytes, -1 with errno. */
int64_t spool_body_read(const struct body *file_body, uint64_t offset, void *p, size_t n);
/* Envelope and position of an unfinished message from the index; body NULL. NULL: not there. */
struct message *spool_message(struct spool *s, uint64_t id);

/* ---- upkeep, in steps of at most 2 ms: zero-filling ahead, recycling, compaction, event trimming.
 * True: more to do. ---- */
bool spool_step(struct spool *s, us_t now);
/* What takes long is a worker's: zero-filling a segment (I/O of 64 MB), recycling one, removing
 * dead segments and large bodies. It calls this (any thread), one piece of work a call, while
 * spool_wants_segment() says so. */
bool spool_wants_segment(const struct spool *s);
const struct err *spool_prepare_segment(struct spool *s, struct errbuf *e);

struct spool_stats {
	uint64_t messages, bytes; /* unfinished */
	uint64_t free_bytes, free_inodes;
	bool below_floor; /* refuse at MAIL with 452 4.3.1 */
	bool lmdb_failed; /* last commit failed */
	bool poisoned;	  /* a segment was poisoned since start */
	double sync_ms;	  /* measured at start, then a moving mean of the flushes */
	uint64_t segments, segments_free;
	uint64_t events_bytes, events_dropped; /* dropped: readers were too far behind */
	uint64_t last_event;
};
/* statvfs at most once a second. */
void spool_stats(struct spool *s, us_t now, struct spool_stats *out);

/* ---- readers of events: any thread, each with its own read transactions ---- */
struct event_reader;
/* Starts behind the saved position of that name (first time: at the oldest event there is). NULL:
 * no memory, or the index is not readable now. Close it before the spool. Events are seen once
 * their commit is durable. */
struct event_reader *event_reader_open(struct spool *s, const char *name);
void event_reader_close(struct event_reader *r);
/* Reads up to `max` events after the last one read; returns how many. Slices are valid during the
 * call only. */
int event_reader_next(struct event_reader *r, int max, void (*fn)(void *arg, const struct event *e),
		      void *arg);
uint64_t event_reader_position(const struct event_reader *r); /* id of the last one read */
/* Was there a saved position of its name? */
bool event_reader_known(const struct event_reader *r);
/* Goes on behind that event, an earlier one or a later. */
void event_reader_seek(struct event_reader *r, uint64_t id);
/* The last one that can be read now: from there a reader sees only what is still to come. */
uint64_t event_reader_last(const struct event_reader *r);
uint64_t event_reader_missed(
    const struct event_reader *r); /* events that were trimmed before it read them */
/* Spool thread: saves a reader's position with the next commit; events behind all positions are
 * trimmed. */
void spool_reader_position(struct spool *s, const char *name, uint64_t id);
/* Spool thread: that reader is configured no more; it holds nothing back from now on. */
void spool_reader_forget(struct spool *s, const char *name);
/* Before threads start: forgets those whose name begins so and that are not to be kept. */
void spool_readers_forget(struct spool *s, const char *prefix,
			  bool (*keep)(void *arg, const char *name), void *arg);

/* ---- state environment: small durable tables (overrides, configuration history, histories, lanes)
 * ---- */
/* Buffered until spool_state_commit; a NULL value deletes. False: no memory, or table and key are
 * over 510 bytes. */
bool spool_state_put(struct spool *s, const char *table, struct str key, struct str value);
bool spool_state_del(struct spool *s, const char *table, struct str key);
const struct err *spool_state_commit(struct spool *s,
				     struct errbuf *e); /* durable when it returns */
/* Before threads start, or on the spool thread: all committed rows of a table in key order. */
void spool_state_each(struct spool *s, const char *table,
		      void (*fn)(void *arg, struct str key, struct str value), void *arg);
/* The same threads: adds the committed value of one row to `out`. False: there is none, or no
 * memory for it. */
bool spool_state_get(struct spool *s, const char *table, struct str key, struct buf *out);

#endif
