/* What has changed since the last commit, by message, as the final state of each row: so a commit
 * that failed is simply tried again, and a message that came and went between two commits costs no
 * row at all. Private to core/spool; the spool thread's. */
#ifndef STOKER_SPOOL_LEDGER_H
#define STOKER_SPOOL_LEDGER_H

#include "core/base/hash.h"
#include "core/base/pool.h"
#include "core/spool/index.h"
#include "core/spool/stock.h"

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
	struct buf others; /* for a received event's recipients; has room like events */
	uint64_t nevents;
	size_t nindexed, nchanges; /* entries made from the index, and their changes */
	struct u64list reports;	   /* messages that got RCPT_REPORT since the last commit */
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

#endif
