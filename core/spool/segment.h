/* Segments as the spool thread sees them: which there are, what lives in them, when they die.
 * Private to core/spool. */
#ifndef STOKER_SPOOL_SEGMENT_H
#define STOKER_SPOOL_SEGMENT_H

#include <sys/uio.h>

#include "core/base/err.h"
#include "core/spool/message.h"

struct spool;

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

#endif
