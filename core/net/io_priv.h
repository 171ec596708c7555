/* The inside of an io, shared by io.c (events, reading, life) and io_out.c (the output queue). */
#ifndef STOKER_NET_IO_PRIV_H
#define STOKER_NET_IO_PRIV_H

#include "core/base/list.h"
#include "core/net/io.h"
#include "core/net/loop_priv.h"

/* One piece of output: bytes of its own behind the struct (cap > 0), or somebody's by reference. */
struct seg {
	struct seg *next;
	const char *p; /* what is not yet written */
	size_t n;
	size_t cap; /* of bytes[] */
	void (*release)(void *owner);
	void *owner;
	char bytes[];
};

/* What an io waits to be told or to do at the end of the pass. */
enum attention {
	ATTEND_CONNECTED = 1,
	ATTEND_FLUSH = 2,
	ATTEND_DRAINED = 4,
	ATTEND_ERROR = 8,
	ATTEND_READ = 16, /* TLS holds bytes that no poll announces, or it was too late for them:
			     in the hub's line, not in its list */
	ATTEND_TLS = 32,  /* the handshake can begin */
};

struct io {
	uint32_t magic;
	struct io_hub *hub;
	int fd;	    /* -1: closed */
	ev_io r, w; /* r stays armed; w only while connecting or after EAGAIN */
	struct timer deadline;
	io_fn *fn;
	void *arg;
	int busy; /* callbacks of this io on the stack: io_close frees later */
	bool connecting, paused, eof, dead, closed, linger;
	bool above_low_water;
	int error; /* errno of what killed it */

	struct buf in;
	size_t in_off; /* consumed bytes at the front of `in` */
	size_t in_max;
	struct buf *sink;
	size_t sink_max;

	struct seg *out_first, *out_last;
	size_t out_bytes; /* not yet written */
	size_t low_water;

	struct tls *tls;	      /* NULL: plain */
	uint64_t bytes_in, bytes_out; /* of what the protocol reads and writes */

	unsigned attention; /* bits of enum attention but ATTEND_READ; 0: not in the hub's list */
	struct io *attend_prev, *attend_next;
	struct link in_line; /* ATTEND_READ */
	struct io *linger_prev, *linger_next;
};

enum { IO_MAGIC = 0x494f494f, SCRATCH_BYTES = 64 * 1024 };

struct io_hub {
	struct loop *loop;
	struct io *attend_first, *attend_last;
	size_t attending;
	struct link line;		       /* those with ATTEND_READ, who waits longest first */
	struct io *lingering, *lingering_last; /* the newest first */
	size_t nlingering;
	int tls_steps;	   /* handshake steps of this pass */
	us_t read_until;   /* who is polled later goes to the line. 0: nobody was polled yet */
	bool called;	   /* a callback ran since io_hub_flush began */
	struct seg *spare; /* empty segments of SEG_BYTES, for reuse */
	size_t nspare;
	char scratch[SCRATCH_BYTES]; /* reads for small buffers land here first */
};

void io_attend(struct io *io, unsigned what); /* io_hub.c */
void io_unattend(struct io *io);
/* The connection is broken: no more output; IO_ERROR follows at the end of the pass. */
void io_fail_later(struct io *io, int error);

/* Starts the read watcher again if it had to be stopped and somebody has room. */
void io_want_read(struct io *io);
/* TLS was attached: begins as soon as what was written in plain has left. */
void io_tls_begin(struct io *io);
/* io_linger.c */
void io_linger_forget(struct io *io);
/* io_out.c: writes what it can; arms w on EAGAIN. */
void io_out_flush(struct io *io);
void io_out_drop(struct io *io);
void io_out_free_spare(struct io_hub *h);

#endif
