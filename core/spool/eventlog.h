/* Events on their way into the index and out of it again. Private to core/spool; the spool
 * thread's, but parsing. Reading is reader.c. */
#ifndef STOKER_SPOOL_EVENTLOG_H
#define STOKER_SPOOL_EVENTLOG_H

#include "core/spool/index.h"

/* Small enough to lie in a page (two to each): values that need runs of pages make LMDB search,
 * load and write back its whole list of free pages, which is long after a backlog has drained. */
enum { EVENTLOG_BLOB_MAX = 1900 };
struct position { /* of a reader */
	struct position *next;
	char *name;
	uint64_t id;
	bool dirty;
	bool known;	/* has a row, or will have: 0 is a position too */
	bool forgotten; /* its row goes, and it holds nothing back */
};
/* u32 count, then the encoded events. */
bool eventlog_parse_blob(struct str value, uint32_t *count, struct reader *events);
/* Adds to the ledger; false without memory. */
bool eventlog_add(struct spool *s, const struct event *ev);
/* At most what EVENT_RECEIVED of this message takes: with that much reserved eventlog_add_received
 * cannot fail. */
size_t eventlog_received_bytes(const struct message *m);
void eventlog_add_received(struct spool *s, const struct message *m, uint64_t size);
const struct err *eventlog_load_positions(struct spool *s, struct errbuf *e);
void eventlog_free_positions(struct spool *s);
/* Any thread: a reader's saved position; the first time (*known false) the number before the oldest
 * event. */
uint64_t eventlog_position(struct spool *s, MDB_txn *txn, const char *name, bool *known);
/* Within a commit: writes what the ledger has and trims; `next` is the core row to be. */
int eventlog_write(struct spool *s, MDB_txn *txn, struct core *next);

#endif
