/* Message bodies: sealed, then shared by reference, freed by the last (DESIGN.md, "Threads"). The
 * bytes are exactly what goes on the wire before dot-stuffing: CRLF lines, Received and every other
 * header in place, final CRLF.
 *
 * A body is in memory (up to BODY_MEMORY_MAX) as two vectors, `head` (what we added in front) and
 * `data`; or it lies in a file range, behind a counted descriptor, and is read in steps by workers.
 * All bodies in memory count against one budget; without room a session stops reading. Any thread
 * may hold a sealed body. */
#ifndef STOKER_SPOOL_BODY_H
#define STOKER_SPOOL_BODY_H

#include "core/base/buf.h"

enum { BODY_MEMORY_MAX = 256 * 1024, BODY_CHUNK = 256 * 1024 };

/* A descriptor that several readers share; closing (and for a doomed large body unlinking) happens
 * with the last reference. */
struct body_file {
	uint32_t refs; /* atomic */
	int fd;
	void (*last)(
	    struct body_file *f,
	    void *arg); /* called before close by whoever drops the last reference; NULL allowed */
	void *arg;
};
struct body_file *body_file_new(int fd, void (*last)(struct body_file *f, void *arg), void *arg);
struct body_file *body_file_ref(struct body_file *f);
void body_file_unref(struct body_file *f);

struct body {
	uint32_t magic;
	uint32_t refs;		/* atomic */
	uint64_t size;		/* head + data, or the file range */
	struct str head, data;	/* in memory: malloc'd, both may be empty; else p NULL */
	struct body_file *file; /* not in memory: the bytes are [offset, offset + size) of it */
	uint64_t offset;
	uint64_t charged; /* bytes counted against the budget */
	bool dot_line;	  /* some line begins with a dot (unknown counts as yes) */
	bool eightbit;	  /* some byte is over 127 */
};
/* Seals: takes over both buffers' memory (they are emptied). NULL without memory (buffers
 * unchanged). The bytes must have been charged with body_budget_take before; freeing gives them
 * back. */
struct body *body_new_memory(struct buf *head, struct buf *data, uint64_t charged, bool dot_line,
			     bool eightbit);
/* Takes over one reference of `file`. */
struct body *body_new_file(struct body_file *file, uint64_t offset, uint64_t size, bool dot_line,
			   bool eightbit);
struct body *body_ref(struct body *b);
void body_unref(struct body *b); /* NULL allowed */
static inline bool body_in_memory(const struct body *b)
{
	return !b->file;
}

/* The budget of all bodies in memory, process-wide atomics. take is false when there is no room. */
void body_budget_set(uint64_t bytes);
bool body_budget_take(uint64_t bytes);
bool body_budget_has(uint64_t bytes); /* without taking it */
void body_budget_give(uint64_t bytes);
uint64_t body_budget_used(void);

#endif
