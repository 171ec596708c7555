/* TLS behind the one socket type: every byte once and in order whatever the chunks, nothing that
 * came in plain is taken for encrypted, certificates are judged, sessions resumed. */
#include "tests/unit/net/help.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "core/base/rng.h"
#include "core/net/tls.h"

static struct loop *l;
static char dir[] = "/tmp/stoker-tls-XXXXXX";
static struct conf *conf;

struct end {
	struct io *io;
	int events[IO_ERROR + 1];
	struct buf got;
	char error[200];
	bool failed, untrusted;
};

static void on_event(struct io *io, enum io_event ev, void *arg)
{
	struct end *e = arg;

	e->events[ev]++;
	if (ev == IO_DATA) {
		struct str s = io_input(io);

		assert_true(buf_adds(&e->got, s));
		io_consume(io, s.n);
	}
	if (ev == IO_ERROR) {
		snprintf(e->error, sizeof e->error, "%s", io_error(io));
		e->failed = io_tls_failed(io);
		e->untrusted = io_tls_untrusted(io);
	}
}

static void end_free(struct end *e)
{
	if (e->io)
		io_close(e->io);
	e->io = NULL;
	buf_free(&e->got);
}

/* ---- certificates and a configuration that names them ---- */

static void file(const char *name, char out[128])
{
	snprintf(out, 128, "%s/%s", dir, name);
}

static struct conf *read_text(const char *text, struct conf_problems *problems)
{
	struct conf_read_opts o = { .shipped_dir = NULL };
	char path[128];
	FILE *f;

	file("a.ini", path);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
		"[mta]\nhostname = mx.example.com\nsmtp-source-host = 192.0.2.1 mx.example.com\n"
		"[source 127.0.0.1]\nalways-allow-relaying = yes\n[domain *]\nsmtp-starttls = "
		"verify\n[listener 127.0.0.1:2525]\n%s",
		text);
	assert_int_equal(fclose(f), 0);
	return conf_read(path, &o, problems);
}

static int make_world(void **state)
{
	struct conf_problems problems;
	char command[512], trusted[128];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(dir));
	snprintf(
	    command, sizeof command,
	    "cd %s && umask 077 && openssl req -x509 -newkey ec -pkeyopt "
	    "ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 30 -subj "
	    "/CN=mx.test -addext subjectAltName=DNS:mx.test,IP:127.0.0.9 2>/dev/null && openssl "
	    "genpkey -algorithm ed25519 -out other.pem && echo rubbish >rubbish.pem",
	    dir);
	assert_int_equal(system(command), 0);
	file("cert.pem", trusted);
	setenv("SSL_CERT_FILE", trusted, 1);
	conf_problems_init(&problems);
	conf =
	    read_text("tls = starttls\ntls-certificate = cert.pem\ntls-key = key.pem\n", &problems);
	assert_non_null(conf);
	assert_true(tls_attach(conf, &problems));
	assert_int_equal(problems.n, 0);
	conf_problems_free(&problems);
	return 0;
}

static int end_world(void **state)
{
	char command[64];

	(void)state;
	conf_unref(conf);
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
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

/* ---- two ends, and between them a wire that cuts ---- */

enum { WIRE_BYTES = 4096 };

struct wire {
	int from, to;
	char bytes[WIRE_BYTES];
	size_t n, at;
};

struct line {
	struct rng rng;
	struct end client, server;
	struct wire wires[2];
	bool (*done)(struct line *x);
	void (*each_pass)(struct line *x);
	us_t deadline;
	bool ok;
};

static void small_buffers(int fd)
{
	int n = 4096;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof n);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof n);
}

static void line_open(struct line *x, uint64_t seed)
{
	int a[2], b[2];

	memset(x, 0, sizeof *x);
	rng_seed(&x->rng, seed);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
	for (int i = 0; i < 2; i++) {
		small_buffers(a[i]);
		small_buffers(b[i]);
	}
	x->wires[0] = (struct wire){ .from = a[1], .to = b[1] };
	x->wires[1] = (struct wire){ .from = b[1], .to = a[1] };
	x->client.io = io_new(l, a[0], on_event, &x->client);
	x->server.io = io_new(l, b[0], on_event, &x->server);
	assert_true(x->client.io && x->server.io);
}

static void line_close(struct line *x)
{
	end_free(&x->client);
	end_free(&x->server);
	close(x->wires[0].from);
	close(x->wires[0].to);
}

static void carry(struct wire *w, size_t most)
{
	ssize_t n;

	if (w->n == w->at) {
		w->n = w->at = 0;
		n = recv(w->from, w->bytes, most < WIRE_BYTES ? most : WIRE_BYTES, MSG_DONTWAIT);
		if (n > 0)
			w->n = (size_t)n;
		else if (n == 0)
			(void)shutdown(w->to, SHUT_WR);
	}
	if (w->n > w->at) {
		n = send(w->to, w->bytes + w->at, w->n - w->at, MSG_DONTWAIT | MSG_NOSIGNAL);
		w->at += n > 0 ? (size_t)n : 0;
	}
}

static us_t tick(void *arg, us_t now)
{
	struct line *x = arg;

	for (int i = 0; i < 2; i++)
		carry(&x->wires[i], 1 + rng_below(&x->rng, rng_below(&x->rng, 3) ? 4096 : 40));
	if (x->each_pass)
		x->each_pass(x);
	x->ok = x->done(x);
	if (x->ok || now > x->deadline)
		loop_stop(l);
	return now;
}

static void line_run(struct line *x, bool (*done)(struct line *x))
{
	x->done = done;
	x->deadline = clock_now_us() + HELP_DEADLINE;
	loop_set_tick(l, tick, x);
	loop_run(l);
	loop_set_tick(l, NULL, NULL);
	if (!x->ok)
		fail_msg("not within %d s", (int)(HELP_DEADLINE / US_PER_S));
}

static bool both_up(struct line *x)
{
	return x->client.events[IO_TLS] && x->server.events[IO_TLS];
}

static bool client_ended(struct line *x)
{
	return x->client.events[IO_ERROR] > 0;
}

static bool server_ended(struct line *x)
{
	return x->server.events[IO_ERROR] > 0;
}

static const struct tls_client_opts any_certificate = { .name = "mx.test" };

static void start_both(struct line *x, const struct tls_client_opts *o)
{
	assert_true(io_start_tls_server(x->server.io, tls_for_listener(conf, 0)));
	assert_true(io_start_tls_client(x->client.io, tls_for_client(conf, o->verify), o));
}

/* ---- bytes ---- */

enum { RUNS = 60, BYTES = 150000 };

static char bytes[2][BYTES];
static size_t sent[2];
static int refs, released_n;
static struct buf sink;

static void released(void *owner)
{
	++*(int *)owner;
}

static void feed_one(struct line *x, struct io *io, int i)
{
	size_t n = 1 + rng_below(&x->rng, rng_below(&x->rng, 3) ? 300 : 40000);
	struct str s;

	if (sent[i] == BYTES || io_output_pending(io) > 60000 || !io_tls(io))
		return;
	n = n < BYTES - sent[i] ? n : BYTES - sent[i];
	s = str_mem(bytes[i] + sent[i], n);
	if (rng_below(&x->rng, 2)) {
		assert_true(io_write(io, s));
	} else {
		refs++;
		assert_true(io_write_ref(io, s, released, &released_n));
	}
	sent[i] += n;
	if (rng_below(&x->rng, 3) == 0)
		io_flush(io);
}

/* Both write, and the server's reader is disturbed. */
static void feed(struct line *x)
{
	feed_one(x, x->client.io, 0);
	feed_one(x, x->server.io, 1);
	switch (rng_below(&x->rng, 8)) {
	case 0:
		io_pause(x->server.io);
		break;
	case 1:
		io_set_sink(x->server.io, NULL, 0);
		if (sink.n)
			assert_true(buf_adds(&x->server.got, buf_str(&sink)));
		buf_clear(&sink);
		break;
	case 2: /* a sink that fills and is emptied */
		if (sink.n)
			assert_true(buf_adds(&x->server.got, buf_str(&sink)));
		buf_clear(&sink);
		io_set_sink(x->server.io, &sink, 1 + rng_below(&x->rng, 30000));
		break;
	default:
		io_resume(x->server.io);
		break;
	}
}

static bool all_there(struct line *x)
{
	return x->client.got.n == BYTES && x->server.got.n + sink.n == BYTES;
}

static void bytes_arrive_once_and_in_order_in_any_chunks(void **state)
{
	static struct line x;

	(void)state;
	for (uint64_t run = 0; run < RUNS; run++) {
		line_open(&x, run);
		for (int i = 0; i < 2; i++) {
			sent[i] = 0;
			for (int k = 0; k < BYTES; k++)
				bytes[i][k] = (char)rng_u64(&x.rng);
		}
		refs = released_n = 0;
		buf_init(&sink);
		start_both(&x, &any_certificate);
		x.each_pass = feed;
		line_run(&x, all_there);
		assert_true(buf_adds(&x.server.got, buf_str(&sink)));
		assert_memory_equal(x.server.got.p, bytes[0], BYTES);
		assert_memory_equal(x.client.got.p, bytes[1], BYTES);
		assert_int_equal(refs, released_n);
		assert_true(io_bytes_out(x.client.io) == BYTES);
		assert_true(io_bytes_in(x.client.io) == BYTES);
		assert_int_equal(x.client.events[IO_TLS], 1);
		assert_int_equal(x.client.events[IO_ERROR] + x.server.events[IO_ERROR], 0);
		line_close(&x);
		buf_free(&sink);
	}
}

/* ---- the switch ---- */

static bool line_there(struct line *x)
{
	return x->client.got.n >= 5;
}

static bool answer_there(struct line *x)
{
	return x->server.got.n >= 6;
}

static void plain_then_tls(struct line *x, bool more)
{
	line_open(x, 1);
	io_writez(x->server.io, "220\r\n");
	assert_true(io_start_tls_server(x->server.io, tls_for_listener(conf, 0)));
	if (more)
		io_writez(x->server.io, "secret");
	line_run(x, line_there);
	assert_int_equal(x->client.got.n, 5);
	assert_memory_equal(x->client.got.p, "220\r\n", 5);
	assert_true(
	    io_start_tls_client(x->client.io, tls_for_client(conf, false), &any_certificate));
	io_writez(x->client.io, "EHLO\r\n"); /* waits for the handshake */
	line_run(x, answer_there);
	assert_memory_equal(x->server.got.p, "EHLO\r\n", 6);
	assert_string_equal(io_tls_version(x->client.io), "TLSv1.3");
	assert_true(io_tls_cipher(x->server.io)[0] != '\0');
	line_close(x);
}

static void what_was_written_before_the_switch_leaves_in_plain(void **state)
{
	static struct line x;

	(void)state;
	for (int more = 0; more < 2; more++)
		plain_then_tls(&x, more);
}

static void keep_input(struct io *io, enum io_event ev, void *arg)
{
	(void)io;
	(void)ev;
	*(bool *)arg = true;
}

static void bytes_that_came_in_plain_keep_tls_from_beginning(void **state)
{
	bool there = false;
	int fds[2];
	struct io *io;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	io = io_new(l, fds[0], keep_input, &there);
	assert_int_equal(write(fds[1], "x", 1), 1);
	run_until(l, is_set, &there);
	assert_false(io_start_tls_server(io, tls_for_listener(conf, 0)));
	assert_false(io_tls(io));
	io_consume(io, 1);
	assert_true(io_start_tls_server(io, tls_for_listener(conf, 0)));
	io_close(io);
	close(fds[1]);
}

static void a_peer_that_speaks_no_tls_is_an_error_with_words(void **state)
{
	static struct line x;

	(void)state;
	line_open(&x, 2);
	assert_true(io_start_tls_server(x.server.io, tls_for_listener(conf, 0)));
	io_writez(x.client.io, "EHLO injected.example\r\n");
	line_run(&x, server_ended);
	assert_true(x.server.failed);
	assert_int_equal(strncmp(x.server.error, "TLS: ", 5), 0);
	assert_int_equal(x.server.got.n, 0);
	line_close(&x);
}

static bool end_there(struct line *x)
{
	return x->client.events[IO_EOF] > 0;
}

static void closing_after_flush_delivers_everything(void **state)
{
	static struct line x;

	(void)state;
	line_open(&x, 3);
	start_both(&x, &any_certificate);
	line_run(&x, both_up);
	memset(bytes[0], 'x', BYTES);
	assert_true(io_write(x.server.io, str_mem(bytes[0], BYTES)));
	io_close_after_flush(x.server.io, HELP_DEADLINE);
	x.server.io = NULL;
	line_run(&x, end_there);
	assert_int_equal(x.client.got.n, BYTES);
	assert_int_equal(x.client.events[IO_ERROR], 0);
	line_close(&x);
}

/* ---- certificates ---- */

static void verify_wants_a_trusted_certificate_of_that_name(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} cases[] = { { "mx.test", true },
		      { "127.0.0.9", true },
		      { "mx.test.example", false },
		      { "127.0.0.8", false } };
	static struct line x;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct tls_client_opts o = { .name = cases[i].name,
					     .verify = true,
					     .min = TLS_MIN_1_2 };

		line_open(&x, i);
		start_both(&x, &o);
		line_run(&x, cases[i].good ? both_up : client_ended);
		assert_int_equal(x.client.untrusted, !cases[i].good);
		if (!cases[i].good)
			assert_non_null(strstr(x.client.error, "mismatch"));
		line_close(&x);
	}
}

static void sessions_are_resumed_and_a_ticket_is_used_once(void **state)
{
	struct tls_cache *cache = tls_cache_new();
	struct tls_client_opts o = { .name = "mx.test", .cache = cache, .cache_key = 7 };
	static struct line x;

	(void)state;
	for (int i = 0; i < 4; i++) {
		line_open(&x, (uint64_t)i);
		if (i == 3)
			o.cache_key = 8; /* another address or policy */
		start_both(&x, &o);
		line_run(&x, both_up);
		io_writez(x.server.io, "250 \r\n"); /* tickets come before it */
		line_run(&x, line_there);
		assert_int_equal(io_tls_resumed(x.client.io), i == 1 || i == 2);
		line_close(&x);
	}
	tls_cache_free(cache);
}

/* ---- files ---- */

static void refuse(const char *text, const char *expect, int mode)
{
	struct conf_problems problems;
	struct buf out;
	char key[128];
	struct conf *c;

	file("key.pem", key);
	assert_int_equal(chmod(key, (mode_t)mode), 0);
	conf_problems_init(&problems);
	buf_init(&out);
	c = read_text(text, &problems);
	assert_non_null(c);
	assert_false(tls_attach(c, &problems));
	assert_int_equal(problems.errors, 1);
	conf_problems_print(&problems, &out);
	if (!strstr(buf_z(&out), expect))
		fail_msg("%s lacks %s", buf_z(&out), expect);
	buf_free(&out);
	conf_problems_free(&problems);
	conf_unref(c);
	assert_int_equal(chmod(key, 0600), 0);
}

static void keys_and_certificates_that_cannot_be_used_are_errors_at_their_line(void **state)
{
	(void)state;
	refuse("tls = required\ntls-certificate = none.pem\ntls-key = key.pem\n",
	       "a.ini:10: error: tls-certificate: ", 0600);
	refuse("tls = required\ntls-certificate = rubbish.pem\ntls-key = key.pem\n",
	       "rubbish.pem holds no certificate", 0600);
	refuse("tls = required\ntls-certificate = cert.pem\ntls-key = none.pem\n",
	       "a.ini:11: error: tls-key: ", 0600);
	refuse("tls = required\ntls-certificate = cert.pem\ntls-key = other.pem\n",
	       "is not the key of the certificate", 0600);
	refuse("tls = required\ntls-certificate = cert.pem\ntls-key = rubbish.pem\n",
	       "holds no private key", 0600);
	refuse("tls = required\ntls-certificate = cert.pem\ntls-key = key.pem\n",
	       "key.pem can be read by everybody: chmod o-rw", 0604);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_arrive_once_and_in_order_in_any_chunks),
		TEST(what_was_written_before_the_switch_leaves_in_plain),
		TEST(bytes_that_came_in_plain_keep_tls_from_beginning),
		TEST(a_peer_that_speaks_no_tls_is_an_error_with_words),
		TEST(closing_after_flush_delivers_everything),
		TEST(verify_wants_a_trusted_certificate_of_that_name),
		TEST(sessions_are_resumed_and_a_ticket_is_used_once),
		TEST(keys_and_certificates_that_cannot_be_used_are_errors_at_their_line),
	};

	clock_init();
	return cmocka_run_group_tests(tests, make_world, end_world);
}
