/* The suppression list as its own files see it. Private to core/spool.
 *   suppression.c       open, what is buffered, commits, purge
 *   suppression_row.c   keys and rows as bytes
 *   suppression_find.c  readers */
#ifndef STOKER_SPOOL_SUPPRESSION_INNER_H
#define STOKER_SPOOL_SUPPRESSION_INNER_H

#include "core/base/hash.h"
#include "core/spool/env.h"
#include "core/spool/suppression.h"

enum suppression_table { SUP_LIST, SUP_SOFT, SUP_DUE, SUP_META, SUP_TABLES };
enum {
	SUPPRESSION_FAILURES_MAX = 32, /* that are counted of one address */
	SUPPRESSION_ROW_MAX = 512,     /* bytes of an entry or of counts */
};

struct sup_op { /* a row as it will be */
	struct sup_op *next;
	uint8_t table;
	bool del;
	size_t nkey, nvalue;
	char bytes[]; /* table, key, value */
};

struct suppression {
	uint32_t magic;
	struct env env;
	struct sup_op *first, **last;
	size_t waiting;
	struct strmap newest; /* table and key -> the newest op for it that waits */
	uint64_t marked, commits, synced;
	/* Held for reading by look-ups, for writing where LMDB's map or file changes. */
	pthread_rwlock_t gate;
	struct suppression_reader *readers; /* under the gate */
};
enum { SUPPRESSION_MAGIC = 0x5355504c };

struct suppression_reader {
	struct suppression *l;
	MDB_txn *txn; /* reset between calls; NULL: to be begun */
	MDB_cursor *cursor;
	struct suppression_reader *next;
};
/* Under the gate, writing: nobody is inside a look-up. */
void suppression_readers_drop(struct suppression *l);

/* ---- suppression_row.c ---- */
size_t sup_row_put(const struct suppression_entry *e, char out[SUPPRESSION_ROW_MAX]);
/* False: damaged. Slices of the value. */
bool sup_row_parse(struct str value, struct suppression_entry *e);
void sup_found(const struct suppression_entry *e, bool global, struct suppression_found *out);
bool sup_key_parse(struct str key, struct suppression_row *row);

struct sup_failures {
	uint64_t message; /* the last one */
	us_t until;	  /* nothing of it counts any more from then on */
	unsigned n;
	us_t at[SUPPRESSION_FAILURES_MAX]; /* seconds' precision, rising */
};
size_t sup_failures_put(const struct sup_failures *f, char out[SUPPRESSION_ROW_MAX]);
bool sup_failures_parse(struct str value, struct sup_failures *f);

#endif
