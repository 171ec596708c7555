/* The end of an io whose owner has gone: what is left is written, our side is shut down, and the
 * peer's own end is awaited for a moment. */
#include <sys/socket.h>

#include "core/base/log.h"
#include "core/net/io_priv.h"
#include "core/net/tls_priv.h"

static const us_t LINGER_MAX = US_PER_S;
/* Nobody counts these connections any more: more of them than this, and the oldest goes. All but
 * the slowest peers have heard us by then. */
enum { LINGERING_AT_MOST = 512 };

void io_linger_forget(struct io *io)
{
	if (!io->linger)
		return;
	if (io->linger_prev)
		io->linger_prev->linger_next = io->linger_next;
	else
		io->hub->lingering = io->linger_next;
	if (io->linger_next)
		io->linger_next->linger_prev = io->linger_prev;
	else
		io->hub->lingering_last = io->linger_prev;
	io->hub->nlingering--;
	io->linger = false;
}

/* All is written: say so to the peer and wait, briefly, for its end. */
static void linger_written(struct io *io)
{
	us_t at_most = loop_now(io->hub->loop) + LINGER_MAX;

	if (io->tls)
		tls_goodbye(io);
	if (io->eof || shutdown(io->fd, SHUT_WR) != 0) {
		io_close(io);
		return;
	}
	if (at_most < io->deadline.due && !timer_set(io->hub->loop, &io->deadline, at_most))
		io_close(io);
}

static void linger_event(struct io *io, enum io_event ev, void *arg)
{
	(void)arg;
	switch (ev) {
	case IO_DRAINED: /* it may have been on its way since the owner's own low water */
		if (!io->out_bytes)
			linger_written(io);
		break;
	case IO_EOF:
		if (!io->out_bytes)
			io_close(io);
		break;
	case IO_TIMEOUT:
	case IO_ERROR:
		io_close(io);
		break;
	case IO_CONNECTED:
	case IO_DATA:
	case IO_TLS:
		break;
	}
}

static void end_oldest(struct io_hub *h)
{
	struct io *io = h->lingering_last;

	io_flush(io); /* it may have come in this very pass */
	io_close(io);
}

void io_close_after_flush(struct io *io, us_t within)
{
	struct io_hub *h = io->hub;

	OBJ_CHECK(io, IO_MAGIC);
	if (io->closed)
		return;
	if (io->dead || io->error || io->connecting || (io->tls && io->tls->phase != TLS_UP) ||
	    !timer_set(h->loop, &io->deadline, loop_now(h->loop) + within)) {
		io_close(io);
		return;
	}
	io->fn = linger_event;
	io->arg = NULL;
	io->linger = true;
	io->linger_prev = NULL;
	io->linger_next = h->lingering;
	if (h->lingering)
		h->lingering->linger_prev = io;
	else
		h->lingering_last = io;
	h->lingering = io;
	if (++h->nlingering > LINGERING_AT_MOST)
		end_oldest(h);
	io->sink = NULL;
	io->bytes_in = 0;
	buf_free(&io->in);
	io->in_off = 0;
	io_set_low_water(io, 0);
	io_want_read(io);
	/* At the end of the pass: what is left is written, and then, or at once, linger_written. */
	io_attend(io, io->out_bytes ? ATTEND_FLUSH : ATTEND_DRAINED);
}
