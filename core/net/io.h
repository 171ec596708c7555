/* The one socket type. Typed events; protocol code never sees descriptors, partial writes or TLS
 * (core/net/tls.h begins it; the same functions go on). Nothing else calls read, write or SSL_*. An
 * io belongs to its loop's thread.
 *
 * Writes are tried at once at the end of the pass (or by io_flush) and a write watcher is armed
 * only on EAGAIN, so a message costs no epoll_ctl. One close helper stops the watchers, then
 * closes.
 *
 * Events come from the loop only, never from inside an io_ function: io_write, io_flush and the
 * rest may be called anywhere without being re-entered. After IO_ERROR nothing comes any more; the
 * owner calls io_close. */
#ifndef STOKER_NET_IO_H
#define STOKER_NET_IO_H

#include "conf/conf.h"
#include "core/base/buf.h"
#include "core/net/loop.h"

enum io_event {
	IO_CONNECTED, /* io_connect succeeded; nothing else comes before it but IO_TIMEOUT and
			 IO_ERROR */
	IO_DATA,      /* bytes were read into the input buffer or the sink */
	IO_DRAINED, /* the output fell to or below the low-water mark after having been above it */
	IO_TIMEOUT, /* the deadline passed; it is cleared */
	IO_EOF,	    /* the peer closed its side; input may still hold bytes */
	IO_TLS,	    /* TLS is established (io_start_tls); reads and writes go through it */
	IO_ERROR, /* the connection is dead; io_error says why. What could still be read came before
		   * it, as IO_DATA: a receiver's last words are not lost to a broken pipe */
};

struct io;
/* The callback may call io_close on its own io; it is freed after the callback returns. */
typedef void io_fn(struct io *io, enum io_event ev, void *arg);

/* Takes over a connected, non-blocking socket (TCP_NODELAY is set on TCP). NULL without memory (the
 * descriptor is closed). */
struct io *io_new(struct loop *l, int fd, io_fn *fn, void *arg);
/* Starts a connection from `local` (NULL: any; its port 0) to `remote`. NULL on immediate failure
 * with errno kept in *error. TCP_NODELAY is set, and IP_BIND_ADDRESS_NO_PORT where there is a local
 * address. */
struct io *io_connect(struct loop *l, const struct endpoint *local, const struct endpoint *remote,
		      io_fn *fn, void *arg, int *error);
/* Closes now; pending output is dropped. The callback is not called any more. */
void io_close(struct io *io);
/* Closes when the output is written or `within` has passed, whatever the peer does; reads are
 * discarded. The owner forgets the io at once. Written means: our side is shut down at once, and
 * the descriptor is kept for the peer's own end for at most a second more (never beyond `within`),
 * since closing on unread bytes would send a reset that overtakes the last reply. Beyond 512 that
 * linger on a loop the oldest goes at once: nobody counts them any more. */
void io_close_after_flush(struct io *io, us_t within);

/* What was read and not consumed; valid until the loop reads again or io_consume. io_consume
 * removes from the front. The buffer is bounded by io_set_input_max (default 64 KB): reading stops
 * while it is full. */
struct str io_input(const struct io *io);
void io_consume(struct io *io, size_t n);
void io_set_input_max(struct io *io, size_t max);
/* From now on reads append to `dst` (at most up to dst->n == max), so that a body is read straight
 * into its buffer; NULL: back to the own buffer. What the own buffer holds is moved to dst first,
 * as far as it fits (the caller looks at dst afterwards; no IO_DATA for that). IO_DATA is called as
 * usual for what is read. While dst is full reading stops: who has made room in dst calls
 * io_set_sink again. Reserving dst's memory beforehand saves copies. */
void io_set_sink(struct io *io, struct buf *dst, size_t max);
/* Stops and resumes reading (back-pressure). Costs no system call unless bytes arrive in between.
 * What the buffer already holds is not announced again. */
void io_pause(struct io *io);
void io_resume(struct io *io);

/* Output: copied … */
bool io_write(struct io *io, struct str s);
bool io_writez(struct io *io, const char *z);
/* … or by reference: `release(owner)` is called once when the bytes are written or the io is closed
 * or dead, perhaps within the call; it must not call io_ functions. False without memory (release
 * is called). On a dead io both succeed and drop the bytes. */
bool io_write_ref(struct io *io, struct str s, void (*release)(void *owner), void *owner);
/* Bytes not yet given to the kernel. */
size_t io_output_pending(const struct io *io);
void io_set_low_water(struct io *io, size_t bytes);
/* Tries to write now; otherwise it happens at the end of the pass. */
void io_flush(struct io *io);

/* One deadline for the whole step, absolute process time; 0 or US_NEVER clears it. Moving it later
 * is O(1). */
void io_set_deadline(struct io *io, us_t at);
/* Words for IO_ERROR: "connection refused", "connection reset by peer". */
const char *io_error(const struct io *io);
int io_errno(const struct io *io);
/* The same words for an errno, as io_connect gives it. */
const char *io_error_words(int error);
void io_peer(const struct io *io, struct endpoint *out);
void io_local(const struct io *io, struct endpoint *out);
/* Counters since the start of this io. */
uint64_t io_bytes_in(const struct io *io);
uint64_t io_bytes_out(const struct io *io);

/* "192.0.2.1" or "2001:db8::1", without port. */
enum { ENDPOINT_SIZE = 64 };
void endpoint_print(const struct endpoint *e, char out[ENDPOINT_SIZE]);
/* "192.0.2.1:25", "[2001:db8::1]:25". */
void endpoint_print_port(const struct endpoint *e, char out[ENDPOINT_SIZE]);
bool endpoint_parse(struct str s, uint16_t default_port, struct endpoint *out);
uint16_t endpoint_port(const struct endpoint *e);
void endpoint_set_port(struct endpoint *e, uint16_t port);
bool endpoint_same_ip(const struct endpoint *a, const struct endpoint *b);
bool endpoint_is_loopback(const struct endpoint *e);
/* Where an MX should not point: loopback, private, shared (100.64/10), link-local, unspecified,
 * benchmark (198.18/15), multicast and reserved addresses, also as IPv4 inside IPv6 (mapped, NAT64,
 * 6to4). Documentation addresses count as public. */
bool endpoint_is_private(const struct endpoint *e);

#endif
