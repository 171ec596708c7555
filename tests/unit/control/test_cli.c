/* The command line's client against a control thread with a real socket: output, questions, exit
 * codes, pipes that close. */
#include "tests/unit/control/fake.h"

#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>

static char dir[64], path[96];

/* Runs `stoker WORDS…` as a process of its own with its standard streams on `fd`. */
static pid_t start(char **argv, int argc, int in, int out, int err)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	closefrom(STDERR_FILENO + 1); /* above all the other ends of these pipes */
	_exit(cli_command(path, argc, argv));
}

/* Threads of control end the test by closing; here only one that runs the loop. */
struct server {
	struct fake f;
	pthread_t thread;
};

static void *serve(void *arg)
{
	struct server *s = arg;

	loop_run(s->f.loop);
	return NULL;
}

static void server_start(struct server *s)
{
	struct errbuf e = { "" };

	snprintf(dir, sizeof dir, "/tmp/stoker-cli-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	fake_open_at(&s->f, path);
	if (control_listen(s->f.c, &e))
		fail_msg("%s", e.text);
	for (int i = 1; i <= 20000; i++) {
		char domain[32];

		snprintf(domain, sizeof domain, "d%d.example", i);
		struct row r = queue_row((uint64_t)i, domain, "pool-a", STATE_OK, (uint64_t)i);

		control_row(s->f.c, &r);
	}
	s->f.reply_done = 4711;
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
	loop_stop(s->f.loop);
	pthread_join(s->thread, NULL);
	fake_close(&s->f);
	unlink(path);
	rmdir(dir);
}

static void read_all(int fd, struct buf *to)
{
	char bytes[4096];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof bytes)) > 0)
		buf_add(to, bytes, (size_t)n);
}

static int run(struct buf *out, struct buf *err, int argc, ...)
{
	char *argv[8];
	int o[2], e[2], null = open("/dev/null", O_RDWR), status;
	va_list ap;
	pid_t pid;

	va_start(ap, argc);
	for (int i = 0; i < argc; i++)
		argv[i] = va_arg(ap, char *);
	va_end(ap);
	assert_int_equal(pipe2(o, O_CLOEXEC), 0);
	assert_int_equal(pipe2(e, O_CLOEXEC), 0);
	pid = start(argv, argc, null, o[1], e[1]);
	close(o[1]);
	close(e[1]);
	close(null);
	buf_clear(out);
	buf_clear(err);
	read_all(o[0], out);
	read_all(e[0], err);
	close(o[0]);
	close(e[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_output_and_exit_codes(void **state)
{
	struct server s;
	struct buf out, err;

	(void)state;
	buf_init(&out);
	buf_init(&err);
	server_start(&s);
	assert_int_equal(run(&out, &err, 2, "status", "--json"), EXIT_DONE);
	assert_has(buf_z(&out), "\"hostname\":\"mta1.example.net\"");
	assert_int_equal(err.n, 0);
	assert_int_equal(run(&out, &err, 2, "pause", "gmail.com"), EXIT_DONE);
	assert_string_equal(buf_z(&out), "done as told\n");
	assert_int_equal(run(&out, &err, 1, "pause"), EXIT_USAGE);
	assert_int_equal(out.n, 0);
	assert_has(buf_z(&err), "pause takes T");
	assert_int_equal(run(&out, &err, 2, "delete", "gmail.com"), EXIT_REFUSED);
	assert_has(buf_z(&err), "--yes");
	assert_int_equal(run(&out, &err, 2, "queues", "--json"), EXIT_DONE);
	assert_true(out.n > 2000000);
	server_stop(&s);
	buf_free(&out);
	buf_free(&err);
}

/* `stoker queues --json | head -c 100`: no words, no hanging. */
static void test_a_closed_pipe_is_quiet(void **state)
{
	char *argv[] = { (char *)(uintptr_t) "queues", (char *)(uintptr_t) "--json" };
	struct server s;
	struct buf err;
	char bytes[100];
	int o[2], e[2], null = open("/dev/null", O_RDONLY), status;
	pid_t pid;

	(void)state;
	buf_init(&err);
	server_start(&s);
	assert_int_equal(pipe2(o, O_CLOEXEC), 0);
	assert_int_equal(pipe2(e, O_CLOEXEC), 0);
	pid = start(argv, 2, null, o[1], e[1]);
	close(null);
	close(o[1]);
	close(e[1]);
	assert_int_equal(read(o[0], bytes, sizeof bytes), sizeof bytes);
	close(o[0]);
	read_all(e[0], &err);
	close(e[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(err.n, 0);
	server_stop(&s);
	buf_free(&err);
}

/* On a terminal the number is typed. */
static int typed(const char *answer, struct buf *screen)
{
	char *argv[] = { (char *)(uintptr_t) "delete", (char *)(uintptr_t) "gmail.com" };
	int master, status;
	bool answered = false;
	pid_t pid = forkpty(&master, NULL, NULL, NULL);

	if (pid == 0)
		_exit(cli_command(path, 2, argv));
	buf_clear(screen);
	for (;;) {
		char bytes[512];
		ssize_t n = read(master, bytes, sizeof bytes);

		if (n <= 0)
			break; /* EIO: it is gone */
		buf_add(screen, bytes, (size_t)n);
		if (!answered && strstr(buf_z(screen), "to do it: ")) {
			assert_int_equal(write(master, answer, strlen(answer)), strlen(answer));
			answered = true;
		}
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(master);
	return WEXITSTATUS(status);
}

static void test_a_question_on_a_terminal(void **state)
{
	struct server s;
	struct buf screen;

	(void)state;
	buf_init(&screen);
	server_start(&s);
	assert_int_equal(typed("4711\n", &screen), EXIT_DONE);
	assert_has(buf_z(&screen), "delete 4711 recipients of gmail.com");
	assert_has(buf_z(&screen), "done as told");
	assert_int_equal(typed("4712\n", &screen), EXIT_REFUSED);
	assert_has(buf_z(&screen), "nothing was done");
	assert_int_equal(typed("\n", &screen), EXIT_REFUSED);
	assert_int_equal(typed("\x04", &screen), EXIT_REFUSED);
	server_stop(&s);
	buf_free(&screen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_exit_codes),
		cmocka_unit_test(test_a_closed_pipe_is_quiet),
		cmocka_unit_test(test_a_question_on_a_terminal),
	};

	clock_init();
	hash_seed(1, 2);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
