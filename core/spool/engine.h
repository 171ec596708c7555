/* What the files of core/spool share. Private to core/spool; everything is the spool thread's but
 * `struct shared`, which carries its own lock, and what is marked atomic.
 *
 *   spool.c     open, close, figures, upkeep     ledger.c    what has changed since the last commit
 *   accept.c    batches into the log             commit.c    the ledger into the index
 *   segment.c   segments and their numbers       index.c     rows of the index as bytes
 *   stock.c     new and recycled segment files   recover.c   the log behind the indexed position
 *   outcome.c   outcomes and events              load.c      unfinished messages at start
 *   compact.c   thin segments                    large.c     large bodies
 *   reader.c    readers of events                state.c     the state environment
 *   range.c     bodies in file ranges            format.c    lock, format, folders */
#ifndef STOKER_SPOOL_ENGINE_H
#define STOKER_SPOOL_ENGINE_H

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <sys/uio.h>

#include "core/base/hash.h"
#include "core/base/pool.h"
#include "core/spool/env.h"
#include "core/spool/record.h"
#include "core/spool/spool.h"

enum { SPOOL_FORMAT = 1, ENHANCED_SIZE = 12, REPLY_MAX = 512 };
enum table { TABLE_MSG, TABLE_RCPT, TABLE_EVENTS, TABLE_META, TABLE_SEG, TABLES };

struct u64list {
	uint64_t *v;
	size_t n, cap;
};
bool u64list_add(struct u64list *l, uint64_t v);
bool u64list_has(const struct u64list *l, uint64_t v);
/* Takes the first out, keeping order; 0 if empty. */
uint64_t u64list_shift(struct u64list *l);
void u64list_free(struct u64list *l);

/* ---- what any thread touches ---- */
struct shared {
	uint32_t refs; /* atomic: the spool, and each large body's file */
	char *dir;
	uint64_t segment_bytes;
	uint64_t next_id, id_ceiling; /* atomic; ids below the ceiling are durably reserved */
	uint64_t durable_event;	      /* atomic: readers see events up to this one */
	pthread_mutex_t lock;	      /* for what follows; never held over I/O */
	uint64_t next_segment, segment_ceiling;
	struct u64list prepared; /* segments ready for use, rising */
	struct u64list empty;	 /* dead segments: to be recycled or removed */
	struct u64list unwanted; /* segments to be removed in any case (poisoned) */
	struct u64list trash;	 /* large bodies to be removed, by message */
	bool preparing;		 /* a thread works on the stock */
	us_t prepare_at;	 /* after a failure: not before */
};
struct shared *shared_ref(struct shared *sh);
void shared_unref(struct shared *sh);

/* ---- segments ---- */
struct segment_hold {  /* outlives the segment while somebody reads from it */
	uint32_t refs; /* atomic: the segment and each open descriptor */
	uint64_t number;
};
struct segment {
	uint64_t number;
	uint64_t live, live_bytes; /* records of unfinished messages, by the ledger */
	uint64_t min_id, max_id;   /* that were ever written to it */
	bool closed;		   /* nothing is appended any more */
	bool poisoned;		   /* a write or sync failed: never used again */
	bool stuck;		   /* compaction could not read all of it */
	bool dirty;		   /* its row is to be written */
	bool has_row;
	bool dying;	     /* empty, waits for `emptied_in` to be durable and for its readers */
	uint64_t emptied_in; /* commit */
	us_t closed_at;
	struct body_file *file; /* a cached descriptor for readers; NULL: none */
	struct segment_hold *hold;
};
struct appender {	     /* the open end of a segment */
	struct segment *seg; /* NULL: none is open */
	int fd;
	uint64_t end;
};

struct segment *segment_new(struct spool *s, uint64_t number);
struct segment *segment_get(struct spool *s, uint64_t number);
void segment_free_all(struct spool *s);
/* One record more or less in its segment; large bodies don't count: once indexed nothing of them is
 * needed there. */
void segment_count(struct spool *s, uint64_t id, const struct spool_where *w, int by);
uint64_t segment_record_bytes(const struct spool_where *w);
void segment_path(const char *dir, uint64_t number, char out[PATH_MAX]);
/* Opens the next segment for appending, prepared if there is one. */
const struct err *segment_take(struct spool *s, struct appender *a, struct errbuf *e);
void segment_close(struct spool *s, struct appender *a, us_t now);
/* A descriptor for readers, with a reference for the caller; NULL with errno. */
struct body_file *segment_file(struct spool *s, struct segment *seg);
/* False: not a segment's descriptor. */
bool segment_number_of(const struct body_file *f, uint64_t *number);
/* After a commit: what has become empty starts dying; what died durably goes back to the stock.
 * True: something moved. */
bool segment_bury(struct spool *s);
/* Writes all vectors at `at`; the vectors are used up. errno on false. */
bool write_vectors(int fd, struct iovec *v, size_t n, uint64_t at);

/* ---- stock (any thread) ---- */
/* A ready segment's number, 0: none can be had (*e says why). */
uint64_t stock_take(struct shared *sh, uint64_t above, struct errbuf *e);
bool stock_wanted(struct shared *sh);
/* More is ready than the log's next one. */
bool stock_spare(struct shared *sh);
const struct err *stock_work(struct shared *sh, struct errbuf *e);
const struct err *sync_dir(const char *path, struct errbuf *e);

/* ---- the ledger: what has changed since the last commit ---- */
struct change { /* a recipient's state, as it will be */
	struct change *next;
	uint32_t rcpt;
	uint16_t attempts;
	uint8_t state; /* enum rcpt_state */
	bool delayed_dsn_sent;
	bool dirty;   /* differs from the index */
	bool written; /* may have a row in the index */
	us_t due, failed_at;
	char enhanced[ENHANCED_SIZE];
	struct str reply; /* malloc'd */
};
struct entry { /* a message that was accepted, or whose recipients changed */
	struct entry *next;
	uint64_t id;
	struct spool_where where;
	uint32_t nrcpts, left; /* left: not yet done */
	bool fresh;	       /* not in the index as far as we know */
	bool indexed;	       /* may be in the index: also after a failed commit */
	bool moved;	       /* `where` differs from the index */
	bool left_dirty;
	bool linked;	     /* in the list of what the next commit writes */
	struct str envelope; /* fresh: in a chunk */
	struct change *changes;
	struct change **by_rcpt; /* of messages with many recipients */
};
struct chunk { /* envelopes of fresh entries */
	struct chunk *next;
	struct buf bytes;
};
struct deferred { /* an outcome that came while the index could not be read */
	struct deferred *next;
	struct outcome o;
	us_t at;
	char *reply;
	char enhanced[ENHANCED_SIZE];
};
struct ledger {
	struct idmap entries;
	struct entry *first, **last;
	struct pool entry_pool, change_pool;
	struct chunk *chunks, *spare;
	struct deferred *deferred, **deferred_last;
	struct buf events; /* encoded, one after the other */
	uint64_t nevents;
	struct u64list reports; /* messages that got RCPT_REPORT since the last commit */
};
enum found { FOUND, FOUND_NOT, FOUND_UNREADABLE, FOUND_NO_MEMORY };

void ledger_init(struct ledger *l);
void ledger_free(struct ledger *l);
/* After a commit: everything is in the index. */
void ledger_clear(struct ledger *l);
/* A new, unlinked entry for a message that is being accepted; NULL without memory or if the id is
 * in use. */
struct entry *ledger_new(struct ledger *l, uint64_t id, uint32_t nrcpts);
void ledger_drop(struct ledger *l, struct entry *e); /* an unlinked one */
void ledger_link(struct ledger *l, struct entry *e);
/* The entry of a message, made from the index if it is not in the ledger. */
enum found ledger_entry(struct spool *s, uint64_t id, struct entry **out);
/* The state of one recipient, made from the index if need be. */
enum found ledger_change(struct spool *s, struct entry *e, uint32_t rcpt, struct change **out);
/* One recipient more is done; the last frees the message. */
void ledger_done(struct spool *s, struct entry *e);
/* Accepted: counts the message, tells it, links its entry; if it is a report ends RCPT_REPORT of
 * those it is about. */
void ledger_accept(struct spool *s, struct entry *e, const struct message *m);
/* Loads what that will need of another message, so that it cannot fail. */
enum found ledger_reserve_reports(struct spool *s, const struct message *m);

/* ---- the index ---- */
struct core { /* one row: what every commit writes */
	uint64_t commits;
	uint64_t segment, offset; /* the log is indexed up to here */
	uint64_t id_ceiling, segment_ceiling;
	uint64_t next_event, events_bytes, events_dropped;
	uint64_t messages, bytes; /* unfinished */
	struct spool_totals totals;
};
struct msg_row {
	struct spool_where where;
	struct str envelope;
};
/* Readers return 0, MDB_NOTFOUND, INDEX_DAMAGED (this row is not what was written) or another LMDB
 * code. */
#define INDEX_DAMAGED MDB_BAD_VALSIZE
int index_get_core(struct env *v, MDB_txn *txn, struct core *out);
int index_put_core(struct env *v, MDB_txn *txn, const struct core *c);
bool index_parse_message(struct str value, struct msg_row *out);
int index_get_message(struct env *v, MDB_txn *txn, uint64_t id, struct msg_row *out);
int index_put_message(struct env *v, MDB_txn *txn, uint64_t id, const struct msg_row *row);
int index_del_message(struct env *v, MDB_txn *txn, uint64_t id, uint32_t nrcpts);
bool index_parse_rcpt(struct str value, struct change *out); /* reply: slice of value */
bool index_parse_rcpt_key(struct str key, uint64_t *id, uint32_t *rcpt);
void index_rcpt_key(uint64_t id, uint32_t rcpt, char out[12]);
int index_get_rcpt(struct env *v, MDB_txn *txn, uint64_t id, uint32_t rcpt, struct change *out);
int index_put_rcpt(struct env *v, MDB_txn *txn, uint64_t id, const struct change *c);
/* Recipients of a message that are not done; kept only once some are. */
enum { RCPT_LEFT = UINT32_MAX }; /* in the recipient's place of the key */
int index_get_left(struct env *v, MDB_txn *txn, uint64_t id, uint32_t *left);
int index_put_left(struct env *v, MDB_txn *txn, uint64_t id, uint32_t left);
int index_put_segment(struct env *v, MDB_txn *txn, const struct segment *seg);
int index_del_segment(struct env *v, MDB_txn *txn, uint64_t number);
bool index_parse_segment(struct str key, struct str value, struct segment *out);
void index_u64_key(uint64_t v, char out[8]); /* big-endian: key order is number order */
bool index_parse_u64_key(struct str key, uint64_t *out);

/* ---- events ---- */
/* Small enough to lie in a page (two to each): values that need runs of pages make LMDB search,
 * load and write back its whole list of free pages, which is long after a backlog has drained. */
enum { EVENTS_BLOB_MAX = 1900 };
struct position { /* of a reader */
	struct position *next;
	char *name;
	uint64_t id;
	bool dirty;
	bool forgotten; /* its row goes, and it holds nothing back */
};
/* u32 count, then the encoded events. */
bool events_parse_blob(struct str value, uint32_t *count, struct reader *events);
/* Adds to the ledger; false without memory. */
bool events_add(struct spool *s, const struct event *ev);
/* At most what EVENT_RECEIVED of this message takes: with that much reserved events_add_received
 * cannot fail. */
size_t events_received_bytes(const struct message *m);
void events_add_received(struct spool *s, const struct message *m, uint64_t size);
const struct err *positions_load(struct spool *s, struct errbuf *e);
void positions_free(struct spool *s);
/* Within a commit: writes what the ledger has and trims; `next` is the core row to be. */
int events_write(struct spool *s, MDB_txn *txn, struct core *next);

/* ---- accepting ---- */
struct item {
	struct message *m;
	struct entry *e;
	size_t at; /* of header and envelope in the batch's bytes */
	uint32_t envelope_bytes;
	struct record rec;
	uint64_t offset; /* in the segment, set by flush */
};
struct batch {
	struct item *v;
	size_t n, cap;
	struct chunk *chunk; /* headers, envelopes, trailers */
	uint64_t bytes;	     /* in the segment */
	struct iovec *iov;
	size_t niov, capiov;
};

void batch_free(struct spool *s);

/* ---- durability of commits ---- */
struct promise { /* what a commit has written that may be relied on once it is durable */
	uint64_t commits, id_ceiling, segment_ceiling, last_event;
};

struct dead_large {
	uint64_t id, commit;
};
struct state_op {
	struct state_op *next;
	bool del;
	size_t nkey, nvalue;
	char bytes[]; /* key, then value */
};
struct loading {
	bool done;
	uint64_t after;		/* the last id handed out */
	uint64_t below;		/* ids from here on were given after spool_open */
	uint64_t total, loaded; /* recipients */
};

struct spool {
	uint32_t magic;
	char *dir, *state_dir;
	uint64_t min_free, events_max;
	struct shared *shared;
	int lock_fd, state_lock_fd;
	struct env index, state;
	struct core core; /* as the ledger makes it; written by each commit */
	struct promise committed, durable;
	struct u64list
	    fresh_reports; /* messages whose RCPT_REPORT the last commit wrote: not durable yet */
	struct ledger ledger;
	struct batch batch;
	uint64_t last_log;	   /* number of the log's last segment; 0: none since the start */
	struct appender log, cold; /* cold: where compaction copies to */
	struct idmap segments;	   /* number -> struct segment */
	unsigned open_files;
	unsigned ndying; /* segments */
	struct position *positions;
	bool positions_dirty, trim_more;
	struct dead_large *dead;
	size_t ndead, capdead;
	DIR *sweep; /* start-up collection of large bodies that nobody knows; NULL: done */
	struct loading load;
	struct compaction *compaction;
	struct state_op *state_ops, **state_last;
	struct spool_stats stats;
	us_t stats_at;
	us_t now; /* of the last call that said it */
	bool poisoned;
	bool core_dirty; /* the core row is to be written even if nothing else is */
};

#define SPOOL_MAGIC 0x73706F6Fu

/* Outcomes that came while the index could not be read. False: it still cannot. */
bool outcomes_resolve(struct spool *s);

/* ---- recovery, upkeep ---- */
const struct err *recover_log(struct spool *s, struct errbuf *e);
bool compact_step(struct spool *s, us_t now);
void compact_free(struct spool *s);
/* Folders, locks, versions. *create, *create_state: there is nothing yet. */
const struct err *format_open(struct spool *s, bool *create, bool *create_state, struct errbuf *e);
/* Once the environments are durable: the last step of creation. */
const struct err *format_created(struct spool *s, bool create, bool create_state, struct errbuf *e);
void format_close(struct spool *s);
void state_close(struct spool *s);

/* ---- large bodies ---- */
void large_path(const char *dir, uint64_t id, char out[PATH_MAX]);
/* True if the body is that message's large file; its CRC. */
bool large_of(const struct body *b, uint64_t id, uint32_t *crc);
void large_keep(const struct body *b); /* its record is durable */
/* The message is finished: the file goes once the commit is durable and the last reader is gone. */
bool large_doom(struct spool *s, uint64_t id, uint64_t commit);
void large_bury(struct spool *s);
bool large_sweep_step(struct spool *s);
struct body *large_body(struct spool *s, uint64_t id, const struct spool_where *w);
/* The file is there, whole, and what was written. */
bool large_intact(struct spool *s, uint64_t id, uint64_t bytes, uint32_t crc);

#endif
