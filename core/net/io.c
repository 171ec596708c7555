/* Events, reading and the life of an io. The output queue is io_out.c, addresses are endpoint.c. */
#include "core/net/io.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/net/io_priv.h"
#include "core/net/tls_priv.h"

enum {
	INPUT_MAX_DEFAULT = 64 * 1024,
	INPUT_KEEP = 4096, /* an empty input buffer larger than this is given back */
	READ_PER_EVENT =
	    256 * 1024, /* then the other ios have their turn; epoll reports the rest again */
	TURN_READ_LEAST =
	    2048, /* so much a read counts for of that, be it a TLS record of 1 byte */
	ROUNDS_PER_FLUSH = 4,
	TLS_STEPS_PER_PASS = 4,		  /* a signature each, half a millisecond */
	LINGER_DISCARD_MAX = 1024 * 1024, /* a peer that keeps sending after our end */
};

static struct ev_loop *ev_of(const struct io *io)
{
	return loop_ev(io->hub->loop);
}

static const us_t READ_WITHIN = 2 * US_PER_MS; /* of a pass: a thousand peers may speak at once */

static void leave(struct io *io)
{
	if (--io->busy > 0 || !io->closed)
		return;
	io->magic = 0;
	free(io);
}

/* The only place that calls the owner. The caller has raised `busy`. */
static void tell(struct io *io, enum io_event ev)
{
	if (io->closed)
		return;
	io->hub->called = true;
	io->fn(io, ev, io->arg);
}

static void die(struct io *io, int error)
{
	if (io->dead || io->closed)
		return;
	io->dead = true;
	io->error = error;
	ev_io_stop(ev_of(io), &io->r);
	ev_io_stop(ev_of(io), &io->w);
	timer_stop(io->hub->loop, &io->deadline);
	io_out_drop(io);
	tell(io, IO_ERROR);
}

void io_fail_later(struct io *io, int error)
{
	if (!io->error)
		io->error = error;
	io_out_drop(io);
	ev_io_stop(ev_of(io), &io->w);
	io_attend(io, ATTEND_ERROR);
}

/* ---- reading ---- */

static size_t in_pending(const struct io *io)
{
	return io->in.n - io->in_off;
}

/* How many bytes somebody has room for now. */
static size_t read_room(const struct io *io)
{
	if (io->linger)
		return SCRATCH_BYTES;
	if (io->sink)
		return !in_pending(io) && io->sink->n < io->sink_max ? io->sink_max - io->sink->n
								     : 0;
	return in_pending(io) < io->in_max ? io->in_max - in_pending(io) : 0;
}

static bool read_wanted(const struct io *io)
{
	return !io->closed && !io->dead && !io->eof && !io->connecting &&
	       (!io->tls || io->tls->phase == TLS_UP) && (!io->paused || io->linger) &&
	       read_room(io) > 0;
}

static void in_compact(struct io *io)
{
	if (io->in_off) {
		buf_shift(&io->in, io->in_off);
		io->in_off = 0;
	}
	if (!io->in.n && io->in.cap > INPUT_KEEP)
		buf_free(&io->in);
}

static ssize_t receive(struct io *io, char *p, size_t n)
{
	ssize_t got;

	if (io->tls && !io->linger)
		return tls_read(io, p, n);
	do
		got = recv(io->fd, p, n, 0);
	while (got < 0 && errno == EINTR);
	return got;
}

/* Straight into the body's buffer. */
static ssize_t receive_sink(struct io *io, size_t *asked)
{
	struct buf *b = io->sink;
	size_t room = read_room(io);
	ssize_t got;

	if (room > SCRATCH_BYTES)
		room = SCRATCH_BYTES;
	/* Memory that is already there is used up before more is taken, unless it is a crumb. */
	if (b->cap - b->n < room && b->cap - b->n < SCRATCH_BYTES / 8 && !buf_reserve(b, room)) {
		errno = ENOMEM;
		return -1;
	}
	*asked = b->cap - b->n < room ? b->cap - b->n : room;
	got = receive(io, b->p + b->n, *asked);
	if (got > 0)
		b->n += (size_t)got;
	return got;
}

/* By way of the loop's scratch, so that an idle session holds no large buffer. */
static ssize_t receive_own(struct io *io, size_t *asked)
{
	size_t room = read_room(io);
	ssize_t got;

	*asked = room < SCRATCH_BYTES ? room : SCRATCH_BYTES;
	got = receive(io, io->hub->scratch, *asked);
	if (got <= 0 || io->linger)
		return got;
	in_compact(io);
	if (!buf_add(&io->in, io->hub->scratch, (size_t)got)) {
		errno = ENOMEM;
		return -1;
	}
	return got;
}

static void read_end(struct io *io, ssize_t got)
{
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		if (io->tls && io->tls->read_wants_write)
			ev_io_start(ev_of(io), &io->w);
		return;
	}
	if (got < 0) {
		die(io, errno);
		return;
	}
	io->eof = true;
	ev_io_stop(ev_of(io), &io->r);
	tell(io, IO_EOF);
}

/* Until the socket is empty, nobody has room, or this io has had its turn. */
static void read_some(struct io *io)
{
	size_t turn = 0, asked;

	while (turn < READ_PER_EVENT && read_wanted(io)) {
		ssize_t got =
		    io->sink && !io->linger ? receive_sink(io, &asked) : receive_own(io, &asked);

		if (got <= 0) {
			read_end(io, got);
			return;
		}
		turn += (size_t)got < TURN_READ_LEAST ? TURN_READ_LEAST : (size_t)got;
		io->bytes_in += (size_t)got;
		if (!io->linger)
			tell(io, IO_DATA);
		else if (io->bytes_in > LINGER_DISCARD_MAX)
			die(io, ECONNABORTED);
		/* The socket is empty: a second try would say so. (TLS gives a record at a time.)
		 */
		if ((size_t)got < asked && !io->tls)
			return;
	}
	if (tls_pending(io) && read_wanted(io))
		io_attend(io, ATTEND_READ);
}

/* ---- the TLS handshake ---- */

static void handshake(struct io *io)
{
	bool write = false;
	int rc;

	/* Signatures of a hundred clients in one pass would hold the others up: poll reports them
	 * again. */
	if (io->hub->tls_steps >= TLS_STEPS_PER_PASS)
		return;
	io->hub->tls_steps++;
	rc = tls_step(io, &write);
	if (rc < 0) {
		die(io, errno);
		return;
	}
	ev_io_start(ev_of(io), &io->r);
	if (write)
		ev_io_start(ev_of(io), &io->w);
	else
		ev_io_stop(ev_of(io), &io->w);
	if (!rc)
		return;
	if (io->out_bytes)
		io_attend(io, ATTEND_FLUSH);
	if (tls_pending(io))
		io_attend(io, ATTEND_READ);
	tell(io, IO_TLS);
}

void io_tls_begin(struct io *io)
{
	ev_io_stop(ev_of(io), &io->r);
	io->tls->plain_left = io->out_bytes;
	io_attend(io, io->out_bytes ? ATTEND_FLUSH : ATTEND_TLS);
}

static void begin_handshake(struct io *io)
{
	if (io->tls->phase != TLS_PLAIN_FIRST)
		return;
	io->tls->phase = TLS_HANDSHAKE;
	handshake(io);
	if (!io->dead && !io->closed) /* if it was not its turn yet */
		ev_io_start(ev_of(io), io->tls->client && io->hub->tls_steps >= TLS_STEPS_PER_PASS
					   ? &io->w
					   : &io->r);
}

static void take_turn(struct io *io)
{
	io->busy++;
	read_some(io);
	if (io->tls && io->tls->write_wants_read && !io->closed)
		io_attend(io, ATTEND_FLUSH);
	leave(io);
}

/* What the poll has reported reads within a while of it; who is in line, at the end of the pass. */
static bool too_late(struct io_hub *h)
{
	if (!h->read_until)
		h->read_until = loop_now(h->loop) + READ_WITHIN;
	return clock_now_us() >= h->read_until;
}

static void on_readable(struct ev_loop *ev, ev_io *w, int revents)
{
	struct io *io = w->data;

	(void)revents;
	if (io->tls && io->tls->phase == TLS_HANDSHAKE) {
		io->busy++;
		handshake(io);
		leave(io);
		return;
	}
	if (!read_wanted(io)) { /* started again by whoever makes room */
		ev_io_stop(ev, w);
		return;
	}
	/* Who waits is served in its order: poll would report the newest first. */
	if (!list_empty(&io->hub->line) || too_late(io->hub)) {
		io_attend(io, ATTEND_READ);
		return;
	}
	take_turn(io);
}

void io_want_read(struct io *io)
{
	if (!read_wanted(io))
		return;
	if (!ev_is_active(&io->r))
		ev_io_start(ev_of(io), &io->r);
	if (tls_pending(io))
		io_attend(io, ATTEND_READ);
}

struct str io_input(const struct io *io)
{
	return (struct str){ io->in.p ? io->in.p + io->in_off : "", in_pending(io) };
}

void io_consume(struct io *io, size_t n)
{
	OBJ_CHECK(io, IO_MAGIC);
	io->in_off += n < in_pending(io) ? n : in_pending(io);
	if (!in_pending(io))
		in_compact(io);
	io_want_read(io);
}

void io_set_input_max(struct io *io, size_t max)
{
	io->in_max = max;
	io_want_read(io);
}

void io_set_sink(struct io *io, struct buf *dst, size_t max)
{
	OBJ_CHECK(io, IO_MAGIC);
	io->sink = dst;
	io->sink_max = max;
	if (dst && in_pending(io) && dst->n < max) {
		size_t n = in_pending(io) < max - dst->n ? in_pending(io) : max - dst->n;

		if (!buf_add(dst, io->in.p + io->in_off, n)) {
			io_fail_later(io, ENOMEM);
			return;
		}
		io_consume(io, n);
	}
	io_want_read(io);
}

void io_pause(struct io *io)
{
	io->paused = true;
}

void io_resume(struct io *io)
{
	io->paused = false;
	io_want_read(io);
}

/* ---- writing and the end of the pass ---- */

static void finish_connect(struct io *io)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error) {
		die(io, error);
		return;
	}
	io->connecting = false;
	ev_io_stop(ev_of(io), &io->w);
	io_want_read(io);
	if (io->out_bytes)
		io_attend(io, ATTEND_FLUSH);
	tell(io, IO_CONNECTED);
}

static void on_writable(struct ev_loop *ev, ev_io *w, int revents)
{
	struct io *io = w->data;

	(void)ev;
	(void)revents;
	io->busy++;
	if (io->connecting) {
		finish_connect(io);
	} else if (io->tls && io->tls->phase == TLS_HANDSHAKE) {
		handshake(io);
	} else {
		io_out_flush(io);
		if (io->tls && io->tls->read_wants_write && !io->closed)
			io_attend(io, ATTEND_READ);
	}
	leave(io);
}

void io_flush(struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	if (!io->connecting && !io->closed && !ev_is_active(&io->w))
		io_out_flush(io);
}

/* A failed write says less than what the peer wrote before it went: that is read first. */
static void attend_error(struct io *io)
{
	int error = io->error;

	if (!io->connecting && error != ENOMEM)
		read_some(io);
	die(io, error);
}

static void attend(struct io *io)
{
	unsigned what = io->attention;

	io_unattend(io);
	io->busy++;
	if (what & ATTEND_CONNECTED) {
		io->connecting = false;
		io_want_read(io);
		tell(io, IO_CONNECTED);
	}
	if (what & ATTEND_ERROR)
		attend_error(io);
	if (what & ATTEND_DRAINED && !io->dead)
		tell(io, IO_DRAINED);
	if (what & ATTEND_TLS && !io->dead && !io->closed)
		begin_handshake(io);
	if (what & ATTEND_FLUSH && !io->dead)
		io_flush(io);
	leave(io);
}

/* In turn, and for a while: who has more to say stands behind the others again. */
static void serve_line(struct io_hub *h)
{
	struct link *l;

	h->read_until = clock_now_us() + READ_WITHIN;
	while (!too_late(h) && (l = list_pop(&h->line))) {
		struct io *io = LIST_OF(l, struct io, in_line);

		if (!io->dead && read_wanted(io))
			take_turn(io);
	}
	h->read_until = 0;
}

static void attend_all(struct io_hub *h)
{
	for (int round = 0; round < ROUNDS_PER_FLUSH && h->attend_first; round++)
		for (size_t n = h->attending; n > 0 && h->attend_first; n--)
			attend(h->attend_first);
}

bool io_hub_flush(struct io_hub *h)
{
	h->called = false;
	attend_all(h);
	if (!list_empty(&h->line)) {
		serve_line(h);
		attend_all(h);
	}
	h->read_until = 0;
	h->tls_steps = 0; /* what has begun goes on before what begins */
	return h->called || h->attend_first || !list_empty(&h->line);
}

/* ---- life ---- */

static void on_deadline(struct timer *t, void *arg)
{
	struct io *io = arg;

	(void)t;
	io->busy++;
	tell(io, IO_TIMEOUT);
	leave(io);
}

static struct io *make(struct loop *l, int fd, io_fn *fn, void *arg)
{
	struct io *io = calloc(1, sizeof *io);

	if (!io)
		return NULL;
	io->magic = IO_MAGIC;
	io->hub = loop_io_hub(l);
	io->fd = fd;
	io->fn = fn;
	io->arg = arg;
	io->in_max = INPUT_MAX_DEFAULT;
	ev_io_init(&io->r, on_readable, fd, EV_READ);
	ev_io_init(&io->w, on_writable, fd, EV_WRITE);
	io->r.data = io->w.data = io;
	timer_init(&io->deadline, on_deadline, io);
	return io;
}

/* Replies and commands go out when they are written; on a UNIX socket the call fails and nothing is
 * lost. */
static void no_delay(int fd)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

struct io *io_new(struct loop *l, int fd, io_fn *fn, void *arg)
{
	struct io *io = make(l, fd, fn, arg);

	if (!io) {
		close(fd);
		return NULL;
	}
	no_delay(fd);
	io_want_read(io);
	return io;
}

/* The port is chosen by connect, so that one source address serves more than 28,000 connections, as
 * long as their remote ends differ. */
static bool bind_local(int fd, const struct endpoint *local)
{
	int on = 1;

	if (!local || local->sa.sa_family == AF_UNSPEC)
		return true;
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	return bind(fd, &local->sa, local->len) == 0;
}

/* 0, EINPROGRESS or what failed. */
static int start_connect(int fd, const struct endpoint *local, const struct endpoint *remote)
{
	no_delay(fd);
	if (!bind_local(fd, local))
		return errno;
	return connect(fd, &remote->sa, remote->len) == 0 ? 0 : errno;
}

struct io *io_connect(struct loop *l, const struct endpoint *local, const struct endpoint *remote,
		      io_fn *fn, void *arg, int *error)
{
	struct io *io;
	int fd = socket(remote->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		*error = errno;
		return NULL;
	}
	*error = start_connect(fd, local, remote);
	io = *error == 0 || *error == EINPROGRESS ? make(l, fd, fn, arg) : NULL;
	if (!io) {
		if (*error == 0 || *error == EINPROGRESS)
			*error = ENOMEM;
		close(fd);
		return NULL;
	}
	io->connecting = true;
	if (*error == EINPROGRESS)
		ev_io_start(ev_of(io), &io->w);
	else
		io_attend(io, ATTEND_CONNECTED | ATTEND_FLUSH);
	*error = 0;
	return io;
}

void io_close(struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	if (io->closed)
		return;
	io->closed = true;
	ev_io_stop(ev_of(io), &io->r);
	ev_io_stop(ev_of(io), &io->w);
	timer_stop(io->hub->loop, &io->deadline);
	io_unattend(io);
	list_del(&io->in_line);
	io_linger_forget(io);
	if (io->tls) {
		if (!io->dead)
			tls_goodbye(io);
		tls_free(io);
	}
	close(io->fd);
	io->fd = -1;
	io_out_drop(io);
	buf_free(&io->in);
	io->in_off = 0;
	io->sink = NULL;
	io->busy++;
	leave(io);
}

void io_set_deadline(struct io *io, us_t at)
{
	OBJ_CHECK(io, IO_MAGIC);
	if (!io->closed && !io->dead && !timer_set(io->hub->loop, &io->deadline, at))
		io_fail_later(io, ENOMEM);
}

int io_errno(const struct io *io)
{
	return io->error;
}

void io_peer(const struct io *io, struct endpoint *out)
{
	*out = (struct endpoint){ .len = sizeof out->any };
	if (getpeername(io->fd, &out->sa, &out->len) != 0)
		*out = (struct endpoint){ 0 };
}

void io_local(const struct io *io, struct endpoint *out)
{
	*out = (struct endpoint){ .len = sizeof out->any };
	if (getsockname(io->fd, &out->sa, &out->len) != 0)
		*out = (struct endpoint){ 0 };
}

uint64_t io_bytes_in(const struct io *io)
{
	return io->bytes_in;
}

uint64_t io_bytes_out(const struct io *io)
{
	return io->bytes_out;
}
