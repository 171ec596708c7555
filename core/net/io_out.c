/* The output queue of an io: a list of segments, copied or by reference, written with one sendmsg
 * for many. */
#include "core/net/io_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "core/base/log.h"
#include "core/net/tls_priv.h"

enum {
	SEG_BYTES =
	    4096 - sizeof(struct seg), /* one copied segment: replies and commands of a pass */
	SPARE_MAX = 256,	       /* empty segments that a loop keeps */
	IOV_PER_WRITE = 64,
	WRITE_PER_TURN = 512 * 1024,	/* then the other ios have their turn */
	TLS_RECORD = SCRATCH_BYTES / 4, /* 16 KB, the most that one holds */
};

static struct seg *seg_new(struct io_hub *h, size_t n)
{
	size_t cap = n > SEG_BYTES ? n : (size_t)SEG_BYTES;
	struct seg *s = h->spare;

	if (cap == SEG_BYTES && s) {
		h->spare = s->next;
		h->nspare--;
	} else {
		s = malloc(sizeof *s + cap);
		if (!s)
			return NULL;
	}
	*s = (struct seg){ .p = s->bytes, .cap = cap };
	return s;
}

static void seg_done(struct io_hub *h, struct seg *s)
{
	if (s->release)
		s->release(s->owner);
	if (s->cap == SEG_BYTES && h->nspare < SPARE_MAX) {
		s->next = h->spare;
		h->spare = s;
		h->nspare++;
		return;
	}
	free(s);
}

void io_out_free_spare(struct io_hub *h)
{
	while (h->spare) {
		struct seg *s = h->spare;

		h->spare = s->next;
		free(s);
	}
	h->nspare = 0;
}

static void out_append(struct io *io, struct seg *s)
{
	if (io->out_last)
		io->out_last->next = s;
	else
		io->out_first = s;
	io->out_last = s;
}

static void out_grew(struct io *io, size_t n)
{
	io->out_bytes += n;
	if (io->out_bytes > io->low_water)
		io->above_low_water = true;
	io_attend(io, ATTEND_FLUSH);
}

static size_t seg_room(const struct seg *s)
{
	return s && s->cap ? s->cap - (size_t)(s->p + s->n - s->bytes) : 0;
}

static void seg_fill(struct seg *s, const char *p, size_t n)
{
	memcpy(s->bytes + (s->cap - seg_room(s)), p, n);
	s->n += n;
}

bool io_write(struct io *io, struct str s)
{
	size_t head;
	struct seg *more = NULL;

	OBJ_CHECK(io, IO_MAGIC);
	if (io->dead || io->closed || !s.n)
		return true;
	head = seg_room(io->out_last);
	if (head > s.n)
		head = s.n;
	if (head < s.n) {
		more = seg_new(io->hub, s.n - head);
		if (!more)
			return false;
	}
	if (head)
		seg_fill(io->out_last, s.p, head);
	if (more) {
		seg_fill(more, s.p + head, s.n - head);
		out_append(io, more);
	}
	out_grew(io, s.n);
	return true;
}

bool io_writez(struct io *io, const char *z)
{
	return io_write(io, str_of(z));
}

bool io_write_ref(struct io *io, struct str s, void (*release)(void *owner), void *owner)
{
	struct seg *seg;

	OBJ_CHECK(io, IO_MAGIC);
	if (io->dead || io->closed || !s.n) {
		release(owner);
		return true;
	}
	seg = malloc(sizeof *seg);
	if (!seg) {
		release(owner);
		return false;
	}
	*seg = (struct seg){ .p = s.p, .n = s.n, .release = release, .owner = owner };
	out_append(io, seg);
	out_grew(io, s.n);
	return true;
}

size_t io_output_pending(const struct io *io)
{
	return io->out_bytes;
}

void io_set_low_water(struct io *io, size_t bytes)
{
	io->low_water = bytes;
	io->above_low_water = io->out_bytes > bytes;
}

void io_out_drop(struct io *io)
{
	struct seg *s = io->out_first;

	io->out_first = io->out_last = NULL;
	io->out_bytes = 0;
	io->above_low_water = false;
	while (s) {
		struct seg *next = s->next;

		seg_done(io->hub, s);
		s = next;
	}
}

static void out_written(struct io *io, size_t n)
{
	io->out_bytes -= n;
	io->bytes_out += n;
	while (io->out_first && n >= io->out_first->n) {
		struct seg *s = io->out_first;

		n -= s->n;
		io->out_first = s->next;
		if (!io->out_first)
			io->out_last = NULL;
		seg_done(io->hub, s);
	}
	if (io->out_first) {
		io->out_first->p += n;
		io->out_first->n -= n;
	}
}

/* One sendmsg. Bytes written; 0: the socket is full; -1: failed, errno set. `asked` is what it was
 * given. */
static ssize_t send_some(struct io *io, size_t *asked)
{
	struct iovec iov[IOV_PER_WRITE];
	struct msghdr msg = { .msg_iov = iov };
	size_t in_plain = io->tls ? io->tls->plain_left : SIZE_MAX;
	ssize_t n;

	*asked = 0;
	for (struct seg *s = io->out_first;
	     s && msg.msg_iovlen < IOV_PER_WRITE && *asked < in_plain; s = s->next) {
		size_t part = s->n < in_plain - *asked ? s->n : in_plain - *asked;

		iov[msg.msg_iovlen++] =
		    (struct iovec){ .iov_base = (void *)(uintptr_t)s->p, .iov_len = part };
		*asked += part;
	}
	do
		n = sendmsg(io->fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : n;
}

/* One record. A record that could not leave whole is offered again, at least as long and with the
 * same bytes: the queue only grows at its end. */
static ssize_t send_record(struct io *io, size_t *asked)
{
	char *room = io->hub->scratch;
	const struct seg *s = io->out_first;
	size_t n = 0;
	ssize_t sent;

	if (s->n >= TLS_RECORD || !s->next) {
		*asked = s->n < TLS_RECORD ? s->n : TLS_RECORD;
		sent = tls_write(io, s->p, *asked);
		return sent < 0 && errno == EAGAIN ? 0 : sent;
	}
	for (; s && n < TLS_RECORD; s = s->next) {
		size_t part = s->n < TLS_RECORD - n ? s->n : TLS_RECORD - n;

		memcpy(room + n, s->p, part);
		n += part;
	}
	*asked = n;
	sent = tls_write(io, room, n);
	return sent < 0 && errno == EAGAIN ? 0 : sent;
}

/* The last byte in plain has left: TLS can begin. False: nothing may be written now. */
static bool tls_lets_write(struct io *io)
{
	if (!io->tls || io->tls->phase == TLS_UP)
		return true;
	if (io->tls->phase == TLS_PLAIN_FIRST && !io->tls->plain_left)
		io_attend(io, ATTEND_TLS);
	return io->tls->phase == TLS_PLAIN_FIRST && io->tls->plain_left;
}

void io_out_flush(struct io *io)
{
	bool tls = io->tls && io->tls->phase == TLS_UP, may;
	size_t turn = 0, asked;

	if (!tls_lets_write(io))
		return;
	while (io->out_bytes && turn < WRITE_PER_TURN && (tls || tls_lets_write(io))) {
		ssize_t n = tls ? send_record(io, &asked) : send_some(io, &asked);

		if (n < 0) {
			io_fail_later(io, errno);
			return;
		}
		if (io->tls && !tls)
			io->tls->plain_left -= (size_t)n;
		out_written(io, (size_t)n);
		turn += (size_t)n;
		if ((size_t)n < asked) { /* the socket is full: a second try would say so */
			if (!tls || !io->tls->write_wants_read)
				ev_io_start(loop_ev(io->hub->loop), &io->w);
			break;
		}
	}
	may = tls || tls_lets_write(io);
	if (!io->out_bytes || !may)
		ev_io_stop(loop_ev(io->hub->loop), &io->w);
	else if (!ev_is_active(&io->w) && !(tls && io->tls->write_wants_read))
		io_attend(io, ATTEND_FLUSH);
	if (io->above_low_water && io->out_bytes <= io->low_water) {
		io->above_low_water = false;
		io_attend(io, ATTEND_DRAINED);
	}
}
