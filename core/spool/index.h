/* The rows of the index as bytes (spool.h, "ON DISK"). Private to core/spool; the spool thread's,
 * but parsing and getting, which readers of events do too. Nothing read is trusted as a size. */
#ifndef STOKER_SPOOL_INDEX_H
#define STOKER_SPOOL_INDEX_H

#include "core/spool/env.h"
#include "core/spool/segment.h"
#include "core/spool/spool.h"

enum table { TABLE_MSG, TABLE_RCPT, TABLE_EVENTS, TABLE_META, TABLE_SEG, TABLES };
enum { ENHANCED_SIZE = 12, REPLY_MAX = 512 }; /* bytes; message.h */

struct change { /* a recipient's state; in the ledger: as it will be */
	struct change *next;
	uint32_t rcpt;
	uint16_t attempts;
	uint8_t state; /* enum rcpt_state */
	bool delayed_dsn_sent;
	bool dirty; /* differs from the index */
	us_t due, failed_at;
	char enhanced[ENHANCED_SIZE];
	struct str reply; /* malloc'd */
};
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
#define RCPT_LEFT UINT32_MAX /* in the recipient's place of the key */
int index_get_left(struct env *v, MDB_txn *txn, uint64_t id, uint32_t *left);
int index_put_left(struct env *v, MDB_txn *txn, uint64_t id, uint32_t left);
int index_put_segment(struct env *v, MDB_txn *txn, const struct segment *seg);
int index_del_segment(struct env *v, MDB_txn *txn, uint64_t number);
bool index_parse_segment(struct str key, struct str value, struct segment *out);
void index_u64_key(uint64_t v, char out[8]); /* big-endian: key order is number order */
bool index_parse_u64_key(struct str key, uint64_t *out);

#endif
