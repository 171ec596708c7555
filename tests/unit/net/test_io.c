/* The one socket type: every byte once and in order whatever the chunks, back-pressure, deadlines,
 * and closing anywhere. */
#include "tests/unit/net/help.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "core/base/rng.h"
#include "core/net/io_priv.h"
#include "core/net/listener.h"

static struct loop *l;

/* One end under test: what it was told and got. */
struct end {
	struct io *io;
	int events[IO_ERROR + 1];
	char order[64]; /* the first events: C D L T E S X */
	struct buf got;
	bool keep;		/* don't consume */
	enum io_event close_at; /* with `closes` */
	bool closes;
	struct io **close_other;
	int error;
};

static void on_event(struct io *io, enum io_event ev, void *arg)
{
	static const char letters[] = "CDLTESX";
	struct end *e = arg;
	size_t n = strlen(e->order);

	assert_ptr_equal(e->io, io);
	e->events[ev]++;
	if (n + 1 < sizeof e->order)
		e->order[n] = letters[ev];
	if (ev == IO_DATA && !e->keep) {
		struct str s = io_input(io);

		assert_true(buf_adds(&e->got, s));
		io_consume(io, s.n);
	}
	if (ev == IO_ERROR)
		e->error = io_errno(io);
	if (e->close_other && *e->close_other) {
		io_close(*e->close_other);
		*e->close_other = NULL;
	}
	if (e->closes && e->close_at == ev) {
		io_close(io);
		io_close(io); /* twice is once */
		e->io = NULL;
	}
}

static void end_free(struct end *e)
{
	if (e->io)
		io_close(e->io);
	buf_free(&e->got);
}

static int setup(void **state)
{
	(void)state;
	l = loop_new("test");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(l);
	return 0;
}

/* An io and the plain descriptor of its peer. */
static int pair(struct end *e)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	e->io = io_new(l, fds[0], on_event, e);
	assert_non_null(e->io);
	return fds[1];
}

static void tcp_pair(int fds[2])
{
	struct endpoint at = ep("127.0.0.1");
	struct errbuf err = { "" };
	int lfd = listener_bind(&at, &err);

	assert_true(lfd >= 0);
	at = local_of(lfd);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[0], &at.sa, at.len), 0);
	do
		fds[1] = accept(lfd, NULL, NULL);
	while (fds[1] < 0 && errno == EAGAIN);
	assert_true(fds[1] >= 0);
	nonblocking(fds[0]);
	nonblocking(fds[1]);
	close(lfd);
}

static void put(int fd, const char *z)
{
	assert_int_equal(write(fd, z, strlen(z)), (ssize_t)strlen(z));
}

static bool any(void *counter)
{
	return *(int *)counter > 0;
}

/* ---- chunks ---- */

enum { CHUNK_RUNS = 1000, MOST_BYTES = 20000 };

struct stream {
	struct rng rng;
	struct end out, in;
	char bytes[MOST_BYTES];
	size_t n, sent;
	int released, refs;
	struct buf sink;
};

static void released(void *owner)
{
	++*(int *)owner;
}

/* Writes the next random piece, by copy or by reference, and sometimes disturbs the reader. */
static us_t feed(void *arg, us_t now)
{
	struct stream *s = arg;
	size_t n = 1 + rng_below(&s->rng, rng_below(&s->rng, 4) ? 200 : 6000);

	if (s->in.got.n + s->sink.n == s->n) {
		loop_stop(l);
		return US_NEVER;
	}
	if (n > s->n - s->sent)
		n = s->n - s->sent;
	if (n && rng_below(&s->rng, 2)) {
		s->refs++;
		assert_true(io_write_ref(s->out.io, str_mem(s->bytes + s->sent, n), released,
					 &s->released));
	} else if (n) {
		assert_true(io_write(s->out.io, str_mem(s->bytes + s->sent, n)));
	}
	s->sent += n;
	if (rng_below(&s->rng, 5) == 0)
		io_flush(s->out.io);
	if (rng_below(&s->rng, 8) == 0)
		io_pause(s->in.io);
	else
		io_resume(s->in.io);
	return now;
}

static void stream_run(struct stream *s, uint64_t seed, bool sink)
{
	int fds[2], tiny = 1;

	memset(s, 0, sizeof *s);
	rng_seed(&s->rng, seed);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny), 0);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &tiny, sizeof tiny), 0);
	s->out.io = io_new(l, fds[0], on_event, &s->out);
	s->in.io = io_new(l, fds[1], on_event, &s->in);
	s->in.keep = sink;
	io_set_input_max(s->in.io, 1 + rng_below(&s->rng, 5000));
	s->n = 1 + rng_below(&s->rng, MOST_BYTES);
	for (size_t i = 0; i < s->n; i++)
		s->bytes[i] = (char)rng_u64(&s->rng);
	if (sink)
		io_set_sink(s->in.io, &s->sink, MOST_BYTES);
	loop_set_tick(l, feed, s);
	loop_run(l);
	loop_set_tick(l, NULL, NULL);
	if (sink)
		assert_memory_equal(s->sink.p, s->bytes, s->n);
	else
		assert_memory_equal(s->in.got.p, s->bytes, s->n);
	assert_int_equal(io_bytes_out(s->out.io), s->n);
	assert_int_equal(io_bytes_in(s->in.io), s->n);
	assert_int_equal(io_output_pending(s->out.io), 0);
	assert_int_equal(s->refs, s->released);
	end_free(&s->out);
	end_free(&s->in);
	buf_free(&s->sink);
}

static void bytes_arrive_once_and_in_order_in_any_chunks(void **state)
{
	static struct stream s;

	(void)state;
	for (uint64_t i = 0; i < CHUNK_RUNS; i++)
		stream_run(&s, i, i % 2);
}

/* ---- output ---- */

struct reading {
	int fd;
	size_t n;
	struct end *e;
};

static bool read_until_drained(void *arg)
{
	struct reading *r = arg;
	char b[4096];
	ssize_t n;

	while ((n = read(r->fd, b, sizeof b)) > 0)
		r->n += (size_t)n;
	return r->e->events[IO_DRAINED] > 0 && !io_output_pending(r->e->io);
}

static void drained_comes_once_for_each_rise_above_the_low_water_mark(void **state)
{
	static char block[300000];
	struct end e = { 0 };
	struct reading r = { pair(&e), 0, &e };
	int freed = 0;

	(void)state;
	io_set_low_water(e.io, 1000);
	assert_true(io_write(e.io, str_mem(block, 1000))); /* not above */
	io_flush(e.io);
	assert_int_equal(e.events[IO_DRAINED], 0);
	assert_true(io_write_ref(e.io, str_mem(block, sizeof block), released, &freed));
	io_flush(e.io); /* the socket is full now */
	assert_true(io_output_pending(e.io) > 1000);
	assert_int_equal(freed, 0);
	run_until(l, read_until_drained, &r);
	while (r.n < sizeof block + 1000)
		read_until_drained(&r);
	assert_int_equal(e.events[IO_DRAINED], 1);
	assert_int_equal(freed, 1);
	end_free(&e);
	close(r.fd);
}

static void closing_releases_what_was_not_written(void **state)
{
	static char block[4000000];
	struct end e = { 0 };
	int fd = pair(&e), freed = 0;

	(void)state;
	io_write_ref(e.io, str_mem(block, sizeof block), released, &freed);
	io_write_ref(e.io, str_mem(block, 10), released, &freed);
	io_write_ref(e.io, str_mem(block, 0), released, &freed); /* nothing to write */
	assert_int_equal(freed, 1);
	io_flush(e.io);
	assert_int_equal(freed, 1);
	io_close(e.io);
	assert_int_equal(freed, 3);
	e.io = NULL;
	end_free(&e);
	close(fd);
}

/* A receiver says why, then resets: its words are read before the broken pipe is told. */
static void last_words_come_before_the_error_of_a_write(void **state)
{
	struct linger hard = { 1, 0 };
	struct end e = { 0 };
	int fds[2];

	(void)state;
	tcp_pair(fds);
	e.io = io_new(l, fds[0], on_event, &e);
	put(fds[1], "421 too many\r\n");
	setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fds[1]);
	/* what a pass would do without having looked at the socket first */
	assert_true(io_writez(e.io, "MAIL FROM:<a@example.net>\r\n"));
	io_flush(e.io);
	assert_int_equal(e.events[IO_ERROR], 0); /* not from inside a call */
	run_until(l, any, &e.events[IO_ERROR]);
	assert_string_equal(e.order, "DX");
	assert_memory_equal(e.got.p, "421 too many\r\n", 14);
	assert_true(e.error == ECONNRESET || e.error == EPIPE);
	assert_non_null(strstr(io_error(e.io), "by peer"));
	assert_true(io_writez(e.io, "more")); /* dropped, without harm */
	assert_int_equal(io_output_pending(e.io), 0);
	end_free(&e);
}

/* ---- input ---- */

static bool order_is(void *arg)
{
	struct end **e = arg;

	return strlen((*e)->order) >= 2;
}

static void eof_comes_after_the_data(void **state)
{
	struct end e = { .keep = true }, *p = &e;
	int fd = pair(&e);

	(void)state;
	put(fd, "bye");
	shutdown(fd, SHUT_WR);
	run_until(l, order_is, &p);
	assert_string_equal(e.order, "DE");
	assert_true(str_eqz(io_input(e.io), "bye"));
	io_consume(e.io, 1);
	assert_true(str_eqz(io_input(e.io), "ye"));
	assert_true(io_writez(e.io, "still")); /* only the peer's side is closed */
	io_flush(e.io);
	assert_int_equal(io_output_pending(e.io), 0);
	end_free(&e);
	close(fd);
}

static void on_flag(struct timer *t, void *arg)
{
	(void)t;
	*(bool *)arg = true;
}

/* Several passes go by. */
static void pass_some(void)
{
	bool flag = false;
	struct timer t;

	timer_init(&t, on_flag, &flag);
	timer_set(l, &t, clock_now_us() + 5 * US_PER_MS);
	run_until(l, is_set, &flag);
}

static void a_paused_io_reads_nothing(void **state)
{
	struct end e = { 0 };
	int fd = pair(&e);
	struct loop_stats st;

	(void)state;
	io_pause(e.io);
	put(fd, "data");
	pass_some();
	assert_int_equal(e.events[IO_DATA], 0);
	loop_stats(l, &st);
	assert_true(st.passes < 20); /* and does not spin on it */
	io_resume(e.io);
	run_until(l, any, &e.events[IO_DATA]);
	assert_int_equal(e.got.n, 4);
	end_free(&e);
	close(fd);
}

static void the_input_buffer_is_bounded(void **state)
{
	struct end e = { .keep = true };
	int fd = pair(&e);

	(void)state;
	io_set_input_max(e.io, 10);
	put(fd, "0123456789abcdefghij");
	pass_some();
	assert_true(str_eqz(io_input(e.io), "0123456789"));
	io_consume(e.io, 4);
	pass_some();
	assert_true(str_eqz(io_input(e.io), "456789abcd"));
	io_set_input_max(e.io, 100);
	io_consume(e.io, 100); /* more than there is: all */
	assert_int_equal(io_input(e.io).n, 0);
	pass_some();
	assert_true(str_eqz(io_input(e.io), "efghij"));
	end_free(&e);
	close(fd);
}

static void a_sink_takes_the_body_and_no_more(void **state)
{
	struct end e = { .keep = true };
	struct buf body = { 0 };
	int fd = pair(&e);

	(void)state;
	put(fd, "own");
	run_until(l, any, &e.events[IO_DATA]);
	io_set_sink(e.io, &body, 8);
	assert_true(str_eqz(buf_str(&body), "own")); /* what was there is moved */
	assert_int_equal(io_input(e.io).n, 0);
	put(fd, "-body-and-more");
	pass_some();
	assert_true(str_eqz(buf_str(&body), "own-body"));
	buf_clear(&body);
	io_set_sink(e.io, &body, 8); /* room again */
	pass_some();
	assert_true(str_eqz(buf_str(&body), "-and-mor"));
	io_set_sink(e.io, NULL, 0);
	pass_some();
	assert_true(str_eqz(io_input(e.io), "e"));
	/* more than fits: the rest stays, and nothing overtakes it */
	put(fd, "123456");
	pass_some();
	buf_clear(&body);
	io_set_sink(e.io, &body, 3);
	assert_true(str_eqz(buf_str(&body), "e12"));
	assert_true(str_eqz(io_input(e.io), "3456"));
	put(fd, "7");
	pass_some();
	io_set_sink(e.io, &body, 5);
	io_set_sink(e.io, &body, 100);
	pass_some();
	assert_true(str_eqz(buf_str(&body), "e1234567"));
	end_free(&e);
	buf_free(&body);
	close(fd);
}

/* ---- deadlines ---- */

static void a_deadline_is_told_once(void **state)
{
	struct end e = { 0 };
	int fd = pair(&e);
	us_t due = clock_now_us() + 10 * US_PER_MS;

	(void)state;
	io_set_deadline(e.io, clock_now_us() + 2 * US_PER_MS);
	io_set_deadline(e.io, due);
	run_until(l, any, &e.events[IO_TIMEOUT]);
	assert_true(clock_now_us() >= due);
	pass_some();
	assert_int_equal(e.events[IO_TIMEOUT], 1);
	io_set_deadline(e.io, clock_now_us() + US_PER_MS);
	io_set_deadline(e.io, 0);
	pass_some();
	assert_int_equal(e.events[IO_TIMEOUT], 1);
	end_free(&e);
	close(fd);
}

/* ---- connecting ---- */

static void connecting_says_so_and_binds_the_source(void **state)
{
	struct endpoint at = ep("127.0.0.1"), from = ep("127.0.0.9"), seen;
	struct errbuf err = { "" };
	int lfd = listener_bind(&at, &err), error = -1, fd;
	struct end e = { 0 };
	char text[ENDPOINT_SIZE];

	(void)state;
	assert_true(lfd >= 0);
	at = local_of(lfd);
	e.io = io_connect(l, &from, &at, on_event, &e, &error);
	assert_non_null(e.io);
	assert_int_equal(error, 0);
	assert_true(io_writez(e.io, "early")); /* written once it is connected */
	assert_int_equal(e.events[IO_CONNECTED], 0);
	run_until(l, any, &e.events[IO_CONNECTED]);
	io_local(e.io, &seen);
	endpoint_print(&seen, text);
	assert_string_equal(text, "127.0.0.9");
	io_peer(e.io, &seen);
	assert_true(endpoint_same_ip(&seen, &at) && endpoint_port(&seen) == endpoint_port(&at));
	fd = accept(lfd, NULL, NULL);
	put(fd, "hello");
	run_until(l, any, &e.events[IO_DATA]);
	assert_int_equal(read(fd, text, sizeof text), 5);
	end_free(&e);
	close(fd);
	close(lfd);
}

static void a_refused_connection_has_words(void **state)
{
	struct endpoint at = ep("127.0.0.1"), elsewhere = ep("203.0.113.99");
	struct errbuf err = { "" };
	int lfd = listener_bind(&at, &err), error = 0;
	struct end e = { 0 };

	(void)state;
	at = local_of(lfd);
	close(lfd);
	e.io = io_connect(l, NULL, &at, on_event, &e, &error);
	if (e.io) {
		run_until(l, any, &e.events[IO_ERROR]);
		error = io_errno(e.io);
	}
	assert_int_equal(error, ECONNREFUSED);
	assert_string_equal(io_error_words(error), "connection refused");
	end_free(&e);
	/* a source that this machine does not have */
	assert_null(io_connect(l, &elsewhere, &at, on_event, &e, &error));
	assert_int_equal(error, EADDRNOTAVAIL);
}

static void a_connection_that_is_not_answered_meets_its_deadline(void **state)
{
	struct endpoint at = ep("127.0.0.1");
	int lfd = socket(AF_INET, SOCK_STREAM, 0), error = 0;
	struct end fill[4] = { 0 }, *stuck = NULL;

	(void)state;
	/* a full accept queue of one lets the next SYN wait */
	assert_int_equal(bind(lfd, &at.sa, at.len), 0);
	at = local_of(lfd);
	assert_int_equal(listen(lfd, 0), 0);
	for (int i = 0; i < 4; i++) {
		fill[i].io = io_connect(l, NULL, &at, on_event, &fill[i], &error);
		assert_non_null(fill[i].io);
	}
	stuck = &fill[3];
	io_set_deadline(stuck->io, clock_now_us() + 20 * US_PER_MS);
	run_until(l, any, &stuck->events[IO_TIMEOUT]);
	assert_string_equal(stuck->order, "T");
	for (int i = 0; i < 4; i++)
		end_free(&fill[i]);
	close(lfd);
}

/* ---- closing ---- */

static void an_io_may_be_closed_in_any_of_its_events(void **state)
{
	static const enum io_event events[] = { IO_DATA, IO_DRAINED, IO_TIMEOUT, IO_EOF };

	(void)state;
	for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
		struct end e = { .closes = true, .close_at = events[i] };
		int fd = pair(&e);
		char b;

		io_set_deadline(e.io, clock_now_us() + US_PER_MS);
		if (events[i] == IO_DATA)
			put(fd, "data");
		if (events[i] == IO_DRAINED)
			io_writez(e.io, "data");
		if (events[i] == IO_EOF)
			shutdown(fd, SHUT_WR);
		run_until(l, any, &e.events[events[i]]);
		pass_some();
		assert_null(e.io);
		while (read(fd, &b, 1) == 1)
			;
		assert_int_equal(read(fd, &b, 1), 0); /* really closed */
		end_free(&e);
		close(fd);
	}
}

static void an_io_may_close_another(void **state)
{
	struct end a = { 0 }, b = { 0 };
	int fa = pair(&a), fb = pair(&b);

	(void)state;
	/* both have an event in the same pass; whichever is first closes the other */
	a.close_other = &b.io;
	b.close_other = &a.io;
	put(fa, "x");
	put(fb, "x");
	run_until(l, any, a.events[IO_DATA] ? &a.events[IO_DATA] : &b.events[IO_DATA]);
	pass_some();
	assert_int_equal(a.events[IO_DATA] + b.events[IO_DATA], 1);
	end_free(&a);
	end_free(&b);
	close(fa);
	close(fb);
}

struct tail {
	int fd;
	size_t n;
	bool eof, chatty;
};

static bool read_to_eof(void *arg)
{
	struct tail *t = arg;
	char b[65536];
	ssize_t n;

	if (t->chatty) /* a peer that never stops talking */
		(void)!send(t->fd, "x", 1, MSG_NOSIGNAL);
	while ((n = read(t->fd, b, sizeof b)) > 0)
		t->n += (size_t)n;
	t->eof = n == 0;
	return t->eof;
}

static void closing_after_flush_delivers_everything(void **state)
{
	static char block[3000000];

	(void)state;
	for (int chatty = 0; chatty < 2; chatty++) {
		struct end e = { 0 };
		struct tail t = { .chatty = chatty };
		int fds[2];

		tcp_pair(fds);
		e.io = io_new(l, fds[0], on_event, &e);
		t.fd = fds[1];
		if (chatty)
			put(t.fd, "unread bytes that would make close() a reset");
		assert_true(io_write(e.io, str_mem(block, sizeof block)));
		io_close_after_flush(e.io, 10 * US_PER_S);
		run_until(l, read_to_eof, &t);
		assert_int_equal(t.n, sizeof block);
		assert_string_equal(e.order, "");
		buf_free(&e.got);
		close(t.fd);
	}
}

static void closing_after_flush_ends_in_time(void **state)
{
	static char block[10000000];
	struct end e = { 0 };
	struct pollfd p = { .events = POLLOUT };
	bool over = false;
	struct timer t;

	(void)state;
	p.fd = pair(&e);
	assert_true(io_write(e.io, str_mem(block, sizeof block))); /* nobody reads it */
	io_close_after_flush(e.io, 10 * US_PER_MS);
	timer_init(&t, on_flag, &over);
	timer_set(l, &t, clock_now_us() + 30 * US_PER_MS);
	run_until(l, is_set, &over);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(p.revents & POLLHUP);
	close(p.fd);
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 1 << 14; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Who comes, is told goodbye and never closes must not use up the descriptors: his connections are
 * in no count any more. */
static void few_linger_and_the_oldest_goes_first(void **state)
{
	enum { PEERS = 1200, LINGER_AT_MOST = 512 };
	static int peers[PEERS];
	struct loop *mine = loop_new("test");
	int before = open_descriptors(), fds[2];
	bool yes = true;
	char p[64];

	(void)state;
	for (int i = 0; i < PEERS; i++) {
		struct io *io;

		assert_int_equal(
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
		peers[i] = fds[1];
		io = io_new(mine, fds[0], on_event, NULL);
		assert_non_null(io);
		assert_true(io_writez(io, "421 bye\r\n"));
		io_close_after_flush(io, US_PER_HOUR);
	}
	assert_true(open_descriptors() - before <= PEERS + LINGER_AT_MOST);
	run_until(mine, is_set, &yes);
	for (int i = 0; i < PEERS; i++) {
		assert_int_equal(recv(peers[i], p, sizeof p, 0), 9); /* all were told */
		close(peers[i]);
	}
	loop_free(mine);
	assert_true(open_descriptors() < before);
}

static void a_loop_that_ends_closes_what_lingers(void **state)
{
	static char block[10000000];
	struct end e = { 0 };
	int fd = pair(&e), freed = 0;

	(void)state;
	io_write_ref(e.io, str_mem(block, sizeof block), released, &freed);
	io_close_after_flush(e.io, US_PER_HOUR);
	loop_free(l);
	assert_int_equal(freed, 1);
	close(fd);
	l = loop_new("test");
}

/* ---- many ---- */

static us_t flood(void *arg, us_t now)
{
	static char block[65536];
	struct tail *t = arg;

	while (write(t->fd, block, sizeof block) > 0)
		;
	return now;
}

static void stop_at(struct timer *t, void *arg)
{
	(void)t;
	(void)arg;
	loop_stop(l);
}

static void a_flood_does_not_starve_the_loop(void **state)
{
	struct end e = { .keep = true };
	struct tail t = { .fd = pair(&e) };
	struct buf sink = { 0 };
	struct timer timer;
	us_t due = clock_now_us() + 20 * US_PER_MS;

	(void)state;
	io_set_sink(e.io, &sink, 1 << 30);
	timer_init(&timer, stop_at, NULL);
	timer_set(l, &timer, due);
	loop_set_tick(l, flood, &t);
	loop_run(l);
	loop_set_tick(l, NULL, NULL);
	assert_true(clock_now_us() - due < 5 * US_PER_S);
	assert_true(sink.n > 0);
	end_free(&e);
	buf_free(&sink);
	close(t.fd);
}

#if !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__
static int epoll_ctls;

/* In front of libc's: libev calls this one. */
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	epoll_ctls++;
	return (int)syscall(SYS_epoll_ctl, epfd, op, fd, ev);
}

enum { VOLLEYS = 2000 };

static void on_volley(struct io *io, enum io_event ev, void *arg)
{
	int *left = arg;

	if (ev != IO_DATA)
		return;
	io_consume(io, io_input(io).n);
	io_writez(io, "over to you\r\n");
	if (--*left == 0)
		loop_stop(l);
}

static void a_message_costs_no_epoll_ctl(void **state)
{
	int fds[2], left = VOLLEYS;
	struct io *a, *b;

	(void)state;
	tcp_pair(fds);
	a = io_new(l, fds[0], on_volley, &left);
	b = io_new(l, fds[1], on_volley, &left);
	epoll_ctls = 0;
	io_writez(a, "you begin\r\n");
	loop_run(l);
	assert_true(epoll_ctls <= 4); /* one for each descriptor, and the wake-up's */
	assert_true(epoll_ctls >= 2);
	io_close(a);
	io_close(b);
}
#endif

/* ---- turns ---- */

enum {
	SPEAKERS = 120,
	GREEDY = 15,
	WORK_US = 200,
	TURNS_A_PASS = 2 * (2000 / WORK_US) + 2,
	PASSES_MOST = 60
};

static struct speaker {
	struct io *io;
	int peer, heard;
} speakers[SPEAKERS];
static int turns, most_turns, passes;

/* Each takes its time, and has more to say at once. */
static void on_speaker(struct io *io, enum io_event ev, void *arg)
{
	struct speaker *s = arg;
	us_t until = clock_now_us() + WORK_US;

	assert_int_equal(ev, IO_DATA);
	io_consume(io, io_input(io).n);
	s->heard++;
	turns++;
	while (clock_now_us() < until)
		;
	put(s->peer, "x");
	if (s < speakers + GREEDY) /* as TLS does that holds more */
		io_attend(io, ATTEND_READ);
}

static bool count_pass(void *arg)
{
	bool all = true;

	(void)arg;
	/* What a pass reads: in its events, before this, and at the end of the last one, after. */
	if (turns > most_turns)
		most_turns = turns;
	turns = 0;
	for (int i = 0; i < SPEAKERS; i++)
		all = all && speakers[i].heard;
	if (all || ++passes > PASSES_MOST)
		loop_stop(l);
	return false;
}

static void many_who_speak_at_once_take_turns(void **state)
{
	int least = 1000, most = 0;

	(void)state;
	turns = most_turns = passes = 0;
	loop_add_before_sleep(l, count_pass, NULL);
	for (int i = 0; i < SPEAKERS; i++) {
		struct speaker *s = &speakers[i];
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		*s = (struct speaker){ .io = io_new(l, fds[0], on_speaker, s), .peer = fds[1] };
		assert_non_null(s->io);
		put(s->peer, "x");
	}
	loop_run(l);
	for (int i = 0; i < SPEAKERS; i++) {
		least = speakers[i].heard < least ? speakers[i].heard : least;
		most = speakers[i].heard > most ? speakers[i].heard : most;
		io_close(speakers[i].io);
		close(speakers[i].peer);
	}
	assert_in_range(most_turns, 1, TURNS_A_PASS);
	assert_in_range(least, 1, most);
	assert_in_range(most, 1, 4); /* nobody speaks again and again while others wait */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		TEST(bytes_arrive_once_and_in_order_in_any_chunks),
		TEST(drained_comes_once_for_each_rise_above_the_low_water_mark),
		TEST(closing_releases_what_was_not_written),
		TEST(last_words_come_before_the_error_of_a_write),
		TEST(eof_comes_after_the_data),
		TEST(a_paused_io_reads_nothing),
		TEST(the_input_buffer_is_bounded),
		TEST(a_sink_takes_the_body_and_no_more),
		TEST(a_deadline_is_told_once),
		TEST(connecting_says_so_and_binds_the_source),
		TEST(a_refused_connection_has_words),
		TEST(a_connection_that_is_not_answered_meets_its_deadline),
		TEST(an_io_may_be_closed_in_any_of_its_events),
		TEST(an_io_may_close_another),
		TEST(closing_after_flush_delivers_everything),
		TEST(closing_after_flush_ends_in_time),
		TEST(few_linger_and_the_oldest_goes_first),
		TEST(a_loop_that_ends_closes_what_lingers),
		TEST(a_flood_does_not_starve_the_loop),
		TEST(many_who_speak_at_once_take_turns),
#if !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__
		TEST(a_message_costs_no_epoll_ctl),
#endif
	};

	clock_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
