/* The spool as its own files see it. Private to core/spool; the spool thread's, but `shared`
 * (stock.h) and, behind its gate, the index.
 *
 *   spool.c     open, close, figures, upkeep     ledger.c    what has changed since the last commit
 *   accept.c    batches into the log             commit.c    the ledger into the index
 *   segment.c   segments and their numbers       index.c     rows of the index as bytes
 *   stock.c     new and recycled segment files   recover.c   the log behind the indexed position
 *   outcome.c   outcomes and events              load.c      unfinished messages at start
 *   compact.c   thin segments                    large.c     large bodies
 *   eventlog.c  events into the index            state.c     the state environment
 *   range.c     bodies in file ranges            format.c    lock, format, folders
 *   reader.c    readers of events                env.c       LMDB: open, grow, reopen, reserve */
#ifndef STOKER_SPOOL_ENGINE_H
#define STOKER_SPOOL_ENGINE_H

#include <dirent.h>

#include "core/spool/eventlog.h"
#include "core/spool/large.h"
#include "core/spool/ledger.h"
#include "core/spool/record.h"

struct item { /* of a batch */
	struct message *m;
	struct entry *e;
	size_t at; /* of header and envelope in the batch's bytes */
	uint32_t envelope_bytes;
	struct record rec;
	uint64_t offset; /* in the segment, set by flush */
};
struct batch { /* what the next flush writes */
	struct item *v;
	size_t n, cap;
	struct chunk *chunk; /* headers, envelopes, trailers */
	uint64_t bytes;	     /* in the segment */
	struct iovec *iov;
	size_t niov;
};

void batch_free(struct spool *s);

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

#endif
