/* The stock of segment files: ready ones, dead ones, and what is to be removed. Private to
 * core/spool. Any thread; `struct shared` is all of a spool that other threads touch besides the
 * index, and lives until the last body that refers to it is gone. */
#ifndef STOKER_SPOOL_STOCK_H
#define STOKER_SPOOL_STOCK_H

#include <limits.h>
#include <pthread.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/str.h"

struct u64list {
	uint64_t *v;
	size_t n, cap;
};
bool u64list_add(struct u64list *l, uint64_t v);
bool u64list_has(const struct u64list *l, uint64_t v);
/* Takes the first out, keeping order; 0 if empty. */
uint64_t u64list_shift(struct u64list *l);
void u64list_free(struct u64list *l);

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

void segment_path(const char *dir, uint64_t number, char out[PATH_MAX]);
void large_path(const char *dir, uint64_t id, char out[PATH_MAX]);
/* A ready segment's number, 0: none can be had (*e says why). */
uint64_t stock_take(struct shared *sh, uint64_t above, struct errbuf *e);
bool stock_wanted(struct shared *sh);
/* More is ready than the log's next one. */
bool stock_spare(struct shared *sh);
const struct err *stock_work(struct shared *sh, struct errbuf *e);
const struct err *sync_dir(const char *path, struct errbuf *e);

#endif
