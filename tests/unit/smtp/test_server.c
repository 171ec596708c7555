/* The server keeps its promises in dialogs (*.dlg, one promise a file), however the bytes are cut;
 * and nothing that a peer sends brings it down. */
#include <glob.h>

#include "tests/unit/smtp/server_dialog.h"

enum { DIALOGS_MAX = 120, MODES = 3, BYTEWISE_MAX = 20000 };

static struct world world;

static size_t bytes_sent(const struct world *w)
{
	size_t n = 0;

	for (int i = 0; i < w->nsteps; i++)
		n += w->steps[i].arg.n * (size_t)w->steps[i].times;
	return n;
}

static void run_dialog(const char *path, size_t piece)
{
	struct world *w = &world;

	world_init(w);
	load_dialog(w, path);
	w->piece = bytes_sent(w) > BYTEWISE_MAX ? 0 : piece;
	world_connect(w);
	world_run(w);
	world_end(w);
}

static void dialog(void **state)
{
	static const size_t pieces[MODES] = { 0, 1, 1 << 20 };

	for (int i = 0; i < MODES; i++)
		run_dialog(*state, pieces[i]);
}

/* ---- random streams ---- */

static int rounds_left;

/* Sends commands, half-commands and noise; the server may refuse and close, no more. */
static void babble(struct world *w)
{
	static const char *const lines[] = {
		"EHLO x\r\n",
		"HELO y\r\n",
		"MAIL FROM:<a@b.c>\r\n",
		"MAIL FROM:<> SIZE=10 SMTPUTF8\r\n",
		"MAIL FROM:<a@b.c> SIZE=300000\r\n",
		"RCPT TO:<a@one.example>\r\n",
		"RCPT TO:<postmaster> NOTIFY=NEVER\r\n",
		"DATA\r\n",
		"DATA\r\n",
		"text\r\n",
		".\r\n",
		".\r\n",
		"..\r\n",
		"BDAT 5\r\nab\r\nc",
		"BDAT 0 LAST\r\n",
		"BDAT 4 LAST\r\n1\r\n2",
		"BDAT 300000\r\n",
		"RSET\r\n",
		"NOOP\r\n",
		"VRFY\r\n",
		"A: b\r\n",
		"\r\n",
		"Received: x\r\n",
		"BDAT 12\r\n",
		"QUIT\r\n",
		"\r",
		"\n",
		"MAIL FROM:<\xff@b.c>\r\n",
	};
	size_t n = sizeof lines / sizeof *lines;

	if (w->out.n > 100000)
		return;
	/* Order in the noise, or hardly any message would ever be complete. */
	if (rng_below(&w->rng, 2))
		buf_addz(&w->out, "\r\n.\r\nRSET\r\nEHLO x\r\nMAIL FROM:<a@b.c>\r\n"
				  "RCPT TO:<a@one.example>\r\n");
	if (rng_below(&w->rng, 2))
		buf_addz(&w->out, rng_below(&w->rng, 2) ? "DATA\r\nA: b\r\n\r\ntext\r\n.\r\n"
							: "BDAT 6\r\nA: b\r\nBDAT 3 LAST\r\nabc");
	for (uint64_t i = rng_below(&w->rng, 8); i > 0; i--) {
		/* the last four end most sessions: rarely */
		size_t k = (size_t)rng_below(&w->rng, rng_below(&w->rng, 40) ? n - 4 : n);

		buf_addz(&w->out, lines[k]);
	}
	if (!rng_below(&w->rng, 300)) {
		for (int i = 0; i < 9000; i++)
			buf_addz(&w->out, "a line of text that is repeated\r\n");
	}
}

static void trouble(struct world *w)
{
	switch (rng_below(&w->rng, 60)) {
	case 0:
		w->credits = (int)rng_below(&w->rng, 3);
		break;
	case 1:
		body_budget_set(body_budget_used() + rng_below(&w->rng, 600000));
		break;
	case 2:
		server_hold(w->srv, (unsigned)rng_below(&w->rng, 16));
		break;
	case 3:
		w->manual = true;
		break;
	case 4:
		server_conf(w->srv, rng_below(&w->rng, 2) ? &w->conf.c : &w->conf2.c);
		break;
	case 5:
		world_connect(w);
		buf_clear(&w->out);
		break;
	case 6:
		w->piece = rng_below(&w->rng, 2) ? 0 : 1 << 20;
		break;
	default:
		break;
	}
	if (rng_below(&w->rng, 20))
		return;
	w->manual = false;
	w->credits += 5;
	body_budget_set(UINT64_MAX);
	server_hold(w->srv, 0);
	server_credit(w->srv);
	server_memory(w->srv);
}

static void fuzz_pass(struct world *w)
{
	buf_clear(&w->got);
	if (w->eof || w->fd < 0) {
		buf_clear(&w->out);
		world_connect(w);
	}
	babble(w);
	trouble(w);
	if (w->nanswers > ANSWERS_MAX / 2)
		w->manual = false;
	if (w->nanswers && !rng_below(&w->rng, 10))
		w->answers[0].err = &err_spool_poisoned;
	if (--rounds_left <= 0)
		loop_stop(w->loop);
}

static void random_command_streams_do_no_harm(void **state)
{
	struct world *w = &world;
	struct server_stats st;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	world_init(w);
	w->conf2 = w->conf;
	w->conf2.c.sources = &w->conf2.source;
	w->conf2.c.listeners = &w->conf2.listener;
	w->conf2.refs = 0;
	w->conf.c.mta.max_message_size = 400000;
	w->conf.postmasters[0] = w->conf2.postmasters[0] = "ops@home.example";
	w->conf.c.mta.npostmasters = 1;
	w->on_pass = fuzz_pass;
	rounds_left = getenv("STOKER_FULL") ? 300000 : 30000;
	world_run(w);
	server_stats(w->srv, &st);
	assert_true(st.accepted_messages > 100);
	assert_true(st.smuggling_refused > 10);
	assert_true(st.refused > 10);
	w->nanswers = 0;
	world_end(w);
}

/* ---- without memory ---- */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static bool memory_fails; /* now and then, while the server and not the world runs */
static bool memory_gone;
static uint64_t failures;

static bool fails_now(void)
{
	if (!memory_gone && (!memory_fails || rng_below(&world.rng, 10)))
		return false;
	failures++;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t n)
{
	return fails_now() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails_now() ? NULL : __libc_realloc(p, n);
}

/* libev ends the process without memory; only the server is on trial here. */
static void *for_libev(void *p, long n)
{
	if (n)
		return __libc_realloc(p, (size_t)n);
	free(p);
	return NULL;
}

static void poor_pass(struct world *w)
{
	memory_fails = false;
	fuzz_pass(w);
	memory_fails = rounds_left > 0 && rounds_left % 16; /* a loop may need some to start with */
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void without_memory_sessions_fail_and_the_process_lives(void **state)
{
	struct world *w = &world;
	struct server_stats st;
	int fds = open_descriptors();

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	ev_set_allocator(for_libev);
	world_init(w);
	w->conf2 = w->conf;
	w->conf2.refs = 0;
	w->on_pass = poor_pass;
	rounds_left = 20000;
	world_run(w);
	memory_fails = false;
	server_stats(w->srv, &st);
	assert_true(failures > 500);
	assert_true(st.accepted_messages > 100);
	w->nanswers = 0;
	world_end(w);
	assert_int_equal(open_descriptors(), fds);
}

static void a_connection_that_has_no_memory_is_closed(void **state)
{
	struct world *w = &world;
	int fds = open_descriptors();
	char p[1];

	(void)state;
	world_init(w);
	memory_gone = true;
	world_connect(w);
	memory_gone = false;
	assert_int_equal(recv(w->fd, p, sizeof p, MSG_DONTWAIT), 0);
	assert_int_equal(w->closed, 1);
	w->closed = 0; /* world_end compares with those that were greeted */
	world_end(w);
	assert_int_equal(open_descriptors(), fds);
}

#else

static void without_memory_sessions_fail_and_the_process_lives(void **state)
{
	(void)state;
	skip(); /* the sanitizer has malloc */
}

static void a_connection_that_has_no_memory_is_closed(void **state)
{
	(void)state;
	skip();
}

#endif

/* ---- others ---- */

enum { BAD_ONES = 60 };

static void bad_pass(struct world *w)
{
	buf_clear(&w->got);
	if (w->fd >= 0 && !w->eof)
		return;
	if (w->closed == BAD_ONES) {
		loop_stop(w->loop);
		return;
	}
	world_connect(w);
	buf_clear(&w->out);
	buf_addf(&w->out, "HELO name%d\r\n", w->closed);
	buf_addz(&w->out, "MAIL FROM:<a@b.c>\r\nRCPT TO:<a@one.example>\r\nNOOP\n");
}

static void peers_cannot_fill_the_logs(void **state)
{
	struct world *w = &world;
	char p[32 * 1024];
	int fds[2], lines = 0;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	log_set_level(LOG_LEVEL_WARN);
	log_set_fd(fds[1]);
	world_init(w);
	w->on_pass = bad_pass;
	w->conf.source.always_allow_relaying = false;
	world_run(w);
	assert_true(w->rejected >= 1 && w->rejected <= 25); /* the delivery log likewise */
	world_end(w);
	log_set_fd(STDERR_FILENO);
	log_set_level(LOG_LEVEL_ERROR);
	n = read(fds[0], p, sizeof p);
	for (ssize_t i = 0; i < n; i++)
		lines += p[i] == '\n';
	assert_true(lines >= 1 && lines <= 25); /* ten a second, and the test may see two */
	close(fds[0]);
	close(fds[1]);
}

static void a_connection_over_the_caps_is_told_421(void **state)
{
	int fds[2];
	char p[200];
	ssize_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	server_refuse(fds[0], "4.7.0 too many connections");
	n = recv(fds[1], p, sizeof p, 0);
	assert_int_equal(n, 32);
	assert_memory_equal(p, "421 4.7.0 too many connections\r\n", 32);
	assert_int_equal(recv(fds[1], p, sizeof p, 0), 0);
	close(fds[1]);
}

static void a_listener_is_found_by_name_wherever_a_reload_has_put_it(void **state)
{
	struct world *w = &world;
	struct conf_listener listeners[2];
	char p[64];
	ssize_t n;

	(void)state;
	world_init(w);
	listeners[0] = listeners[1] = w->conf.listener;
	listeners[0].name = "192.0.2.1:25";
	listeners[1].banner = "mx.test the second";
	w->conf.c.listeners = listeners;
	w->conf.c.nlisteners = 2;
	world_connect(w);
	w->on_pass = NULL;
	world_run(w); /* one pass: there are no steps */
	n = w->got.n ? (ssize_t)w->got.n : recv(w->fd, p, sizeof p, MSG_DONTWAIT);
	assert_true(n > 0);
	assert_memory_equal(w->got.n ? w->got.p : p, "220 mx.test the second", 22);
	world_end(w);
}

/* The first line of a dialog says what it promises. */
static char *promise_of(const char *path)
{
	char line[200] = "";
	FILE *f = fopen(path, "r");

	if (!f || !fgets(line, sizeof line, f))
		fatal("test: %s can't be read", path);
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
	return str_dup(str_of(line[0] == '#' ? line + 2 : path));
}

int main(void)
{
	static struct CMUnitTest tests[DIALOGS_MAX + 6];
	size_t n = 0;
	int failed;
	glob_t g;
	const char *only = getenv("DIALOG");

	if (glob(only ? only : "tests/unit/smtp/*.dlg", 0, NULL, &g) != 0 ||
	    g.gl_pathc > DIALOGS_MAX)
		fatal("test: no dialogs here; run it from the top of the tree");
	log_set_level(LOG_LEVEL_ERROR);
	for (size_t i = 0; i < g.gl_pathc; i++)
		tests[n++] = (struct CMUnitTest){ .name = promise_of(g.gl_pathv[i]),
						  .test_func = dialog,
						  .initial_state = g.gl_pathv[i] };
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(random_command_streams_do_no_harm);
	tests[n++] =
	    (struct CMUnitTest)cmocka_unit_test(without_memory_sessions_fail_and_the_process_lives);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_connection_that_has_no_memory_is_closed);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(peers_cannot_fill_the_logs);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(
	    a_listener_is_found_by_name_wherever_a_reload_has_put_it);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_connection_over_the_caps_is_told_421);
	failed = _cmocka_run_group_tests("the server keeps its promises", tests, n, NULL, NULL);
	for (size_t i = 0; i < g.gl_pathc; i++)
		free((void *)(uintptr_t)tests[i].name);
	globfree(&g);
	return failed;
}
