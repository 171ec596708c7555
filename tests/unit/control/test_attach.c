/* The attach client on a real pseudo terminal: a small shell of our own starts it as a job, and a
 * scripted server sits at its socket. However it ends, the terminal is as it was before. */
#include "tests/unit/control/world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "core/control/cli.h"

struct client {
	char dir[64], path[96];
	int listener, server, master, report;
	pid_t shell, pid;
	struct termios before;
	struct buf screen, in; /* what the terminal got; what the server got */
	int status;	       /* of the client, as waitpid gave it; -1: runs */
	bool stopped;
	int confirmed; /* frames whose bytes the terminal has taken */
};

/* The session leader: runs the client as a job in the foreground and reports its pid and each
 * change of its state. */
static void shell(const char *path, int report, bool plain)
{
	struct termios before;
	pid_t pid;
	int status;

	tcgetattr(STDIN_FILENO, &before);
	(void)!write(report, &before, sizeof before);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(STDIN_FILENO, getpid());
		signal(SIGTTOU, SIG_DFL);
		_exit(cli_attach(path, false, plain));
	}
	(void)!write(report, &pid, sizeof pid);
	while (waitpid(pid, &status, WUNTRACED) == pid) {
		(void)!write(report, &status, sizeof status);
		if (!WIFSTOPPED(status))
			break;
	}
	/* The terminal lives as long as its session: wait to be killed. */
	for (;;)
		pause();
}

static void client_start(struct client *k, bool plain)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct winsize size = { .ws_row = 30, .ws_col = 100 };
	int report[2];

	memset(k, 0, sizeof *k);
	k->status = -1;
	k->server = -1;
	buf_init(&k->screen);
	buf_init(&k->in);
	snprintf(k->dir, sizeof k->dir, "/tmp/stoker-attach-XXXXXX");
	assert_non_null(mkdtemp(k->dir));
	snprintf(k->path, sizeof k->path, "%s/s", k->dir);
	snprintf(at.sun_path, sizeof at.sun_path, "%s", k->path);
	k->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(k->listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(k->listener, 1), 0);
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	k->shell = forkpty(&k->master, NULL, NULL, &size);
	assert_true(k->shell >= 0);
	if (k->shell == 0) {
		close(report[0]);
		shell(k->path, report[1], plain);
	}
	close(report[1]);
	k->report = report[0];
	assert_int_equal(read(k->report, &k->before, sizeof k->before), sizeof k->before);
	assert_int_equal(read(k->report, &k->pid, sizeof k->pid), sizeof k->pid);
	k->server = accept(k->listener, NULL, NULL);
	assert_true(k->server >= 0);
}

static void client_stop(struct client *k)
{
	char file[128];

	if (k->status == -1)
		kill(k->pid, SIGKILL);
	kill(k->shell, SIGKILL);
	waitpid(k->shell, NULL, 0);
	close(k->master);
	close(k->listener);
	close(k->report);
	if (k->server >= 0)
		close(k->server);
	unlink(k->path);
	snprintf(file, sizeof file, "%s/file", k->dir);
	unlink(file);
	snprintf(file, sizeof file, "%s/edited", k->dir);
	unlink(file);
	rmdir(k->dir);
	buf_free(&k->screen);
	buf_free(&k->in);
}

static void take(int fd, struct buf *to)
{
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof bytes);

	if (n > 0)
		buf_add(to, bytes, (size_t)n);
}

static void take_status(struct client *k)
{
	int status;

	if (read(k->report, &status, sizeof status) != sizeof status)
		return;
	if (WIFSTOPPED(status))
		k->stopped = true;
	else
		k->status = status;
}

/* Moves bytes until the condition holds. */
static void until(struct client *k, bool (*done)(struct client *k))
{
	us_t deadline = clock_now_us() + 20 * US_PER_S;

	while (!done(k)) {
		struct pollfd p[] = { { .fd = k->master, .events = POLLIN },
				      { .fd = k->server, .events = POLLIN },
				      { .fd = k->report, .events = POLLIN } };

		if (clock_now_us() > deadline)
			fail_msg("nothing happened; screen: %s", buf_z(&k->screen));
		if (poll(p, 3, 1000) <= 0)
			continue;
		if (p[0].revents & POLLIN)
			take(k->master, &k->screen);
		if (p[1].revents & POLLIN)
			take(k->server, &k->in);
		if (p[2].revents & POLLIN)
			take_status(k);
	}
}

/* The next frame that the server has got; waits for it. */
static bool has_frame(struct client *k)
{
	struct str payload;
	size_t used;
	char type;

	return frame_get(buf_str(&k->in), &type, &payload, &used) == 1;
}

/* The next but for confirmations, which are counted. */
static char next_frame(struct client *k, char *out, size_t cap)
{
	struct str payload;
	size_t used;
	char type;

	do {
		until(k, has_frame);
		assert_int_equal(frame_get(buf_str(&k->in), &type, &payload, &used), 1);
		snprintf(out, cap, "%.*s", (int)payload.n, payload.p);
		buf_shift(&k->in, used);
		k->confirmed += type == 'K';
	} while (type == 'K');
	return type;
}

static void say(struct client *k, char type, struct str payload)
{
	struct buf b;

	buf_init(&b);
	frame_put(&b, type, payload);
	assert_int_equal(write(k->server, b.p, b.n), b.n);
	buf_free(&b);
}

static void type_keys(struct client *k, const char *keys)
{
	assert_int_equal(write(k->master, keys, strlen(keys)), strlen(keys));
}

static bool ended(struct client *k)
{
	return k->status != -1;
}

static bool was_stopped(struct client *k)
{
	return k->stopped;
}

static bool shows_marker(struct client *k)
{
	return strstr(buf_z(&k->screen), "MARK") != NULL;
}

static bool is_raw(struct client *k)
{
	struct termios t;

	return tcgetattr(k->master, &t) == 0 && !(t.c_lflag & (ICANON | ECHO | ISIG));
}

static void assert_restored(struct client *k)
{
	struct termios t;

	assert_int_equal(tcgetattr(k->master, &t), 0);
	assert_int_equal(t.c_lflag, k->before.c_lflag);
	assert_int_equal(t.c_iflag, k->before.c_iflag);
	assert_int_equal(t.c_oflag, k->before.c_oflag);
}

static bool was_reset(struct client *k)
{
	const char *s = buf_z(&k->screen);

	return strstr(s, "\033[?1049l") && strstr(s, "\033[?25h") && strstr(s, "\033[?2004l");
}

/* Up to the first frame of the server: everything is in motion then. */
static void greet(struct client *k)
{
	char hello[1024];

	assert_int_equal(next_frame(k, hello, sizeof hello), 'A');
	say(k, 'T', STR_LIT("\033[?1049h\033[?25lMARK"));
	until(k, shows_marker);
	assert_true(is_raw(k));
	buf_clear(&k->screen);
}

static void test_bytes_pass_both_ways(void **state)
{
	struct client k;
	char got[1024];

	(void)state;
	setenv("TERM", "tmux-256color", 1);
	setenv("LC_ALL", "C.UTF-8", 1);
	client_start(&k, false);
	assert_int_equal(next_frame(&k, got, sizeof got), 'A');
	assert_non_null(strstr(got, "\"term\":\"tmux-256color\""));
	assert_non_null(strstr(got, "\"rows\":30,\"columns\":100"));
	assert_non_null(strstr(got, "\"utf8\":true"));
	assert_non_null(strstr(got, "\"confirms\":true"));
	say(&k, 'T', STR_LIT("MARK"));
	until(&k, shows_marker);
	type_keys(&k, "jk\x03");
	assert_int_equal(next_frame(&k, got, sizeof got), 'I');
	assert_string_equal(got, "jk\x03");
	assert_int_equal(k.confirmed, 1); /* these keys were read behind MARK */
	struct winsize size = { .ws_row = 8, .ws_col = 40 };

	assert_int_equal(ioctl(k.master, TIOCSWINSZ, &size), 0);
	assert_int_equal(next_frame(&k, got, sizeof got), 'S');
	assert_string_equal(got, "{\"rows\":8,\"columns\":40}");
	say(&k, 'X', STR_LIT("\0detached; mail goes on"));
	until(&k, ended);
	assert_true(WIFEXITED(k.status) && WEXITSTATUS(k.status) == 0);
	assert_restored(&k);
	client_stop(&k);
}

static void test_a_hostile_term_does_not_leave_the_client(void **state)
{
	struct client k;
	char got[1024];

	(void)state;
	setenv("TERM", "../../etc/passwd", 1);
	client_start(&k, false);
	next_frame(&k, got, sizeof got);
	assert_non_null(strstr(got, "\"term\":\"dumb\""));
	client_stop(&k);
	setenv("TERM", "tmux-256color", 1);
}

static bool reset_and_ended(struct client *k)
{
	return was_reset(k) && ended(k);
}

static bool said_lost(struct client *k)
{
	return ended(k) && strstr(buf_z(&k->screen), "stoker: the connection to stoker was lost");
}

static void test_the_terminal_is_restored_when_the_server_dies(void **state)
{
	struct client k;

	(void)state;
	client_start(&k, false);
	greet(&k);
	close(k.server);
	k.server = -1;
	until(&k, said_lost);
	assert_true(was_reset(&k));
	assert_int_equal(WEXITSTATUS(k.status), 1);
	assert_restored(&k);
	client_stop(&k);
}

static void test_the_terminal_is_restored_on_signals(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };

	(void)state;
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
		struct client k;

		client_start(&k, false);
		greet(&k);
		kill(k.pid, signals[i]);
		until(&k, reset_and_ended);
		assert_int_equal(WEXITSTATUS(k.status), 128 + signals[i]);
		assert_restored(&k);
		client_stop(&k);
	}
}

static void test_garbage_from_the_server_ends_in_order(void **state)
{
	struct client k;

	(void)state;
	client_start(&k, false);
	greet(&k);
	assert_int_equal(write(k.server, "\xff\xff\xff\xff\xff\xff", 6), 6);
	until(&k, reset_and_ended);
	assert_restored(&k);
	client_stop(&k);
}

static void test_ctrl_z_suspends_the_client_itself(void **state)
{
	struct client k;
	char got[1024];

	(void)state;
	client_start(&k, false);
	greet(&k);
	type_keys(&k, "a\x1a");
	assert_int_equal(next_frame(&k, got, sizeof got), 'I');
	assert_string_equal(got, "a");
	until(&k, was_stopped);
	until(&k, was_reset);
	assert_restored(&k);
	/* As a shell does on fg. */
	kill(k.pid, SIGCONT);
	assert_int_equal(next_frame(&k, got, sizeof got), 'S');
	assert_int_equal(next_frame(&k, got, sizeof got), 'I');
	assert_string_equal(got, "\x0c");
	assert_true(is_raw(&k));
	type_keys(&k, "b");
	next_frame(&k, got, sizeof got);
	assert_string_equal(got, "b");
	client_stop(&k);
}

static void test_files_and_editor_are_the_operators(void **state)
{
	struct client k;
	char got[1024], json[512], text[64] = "", file[128];
	struct stat st;
	FILE *in;

	(void)state;
	setenv("VISUAL", "sh -c 'echo $0 $1 >$1; test -t 0'", 1);
	client_start(&k, false);
	greet(&k);
	snprintf(file, sizeof file, "%s/file", k.dir);
	snprintf(json, sizeof json, "{\"path\":\"%s\",\"bytes\":\"name,queued\\n\"}", file);
	say(&k, 'W', str_of(json));
	assert_int_equal(next_frame(&k, got, sizeof got), 'F');
	assert_non_null(strstr(got, "\"op\":\"write\""));
	assert_null(strstr(got, "error"));
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 12);
	say(&k, 'W', STR_LIT("{\"path\":\"/nowhere/at/all\",\"bytes\":\"x\"}"));
	next_frame(&k, got, sizeof got);
	assert_non_null(strstr(got, "No such file"));
	snprintf(file, sizeof file, "%s/edited", k.dir);
	snprintf(json, sizeof json, "{\"path\":\"%s\",\"line\":88}", file);
	say(&k, 'D', str_of(json));
	assert_int_equal(next_frame(&k, got, sizeof got), 'S');
	assert_int_equal(next_frame(&k, got, sizeof got), 'I');
	assert_int_equal(next_frame(&k, got, sizeof got), 'F');
	assert_non_null(strstr(got, "\"op\":\"edit\""));
	in = fopen(file, "r");
	assert_non_null(in);
	assert_non_null(fgets(text, sizeof text, in));
	fclose(in);
	assert_int_equal(strncmp(text, "+88 ", 4), 0);
	assert_true(is_raw(&k));
	client_stop(&k);
}

static void test_no_stoker_is_exit_code_3(void **state)
{
	char *argv[] = { (char *)(uintptr_t) "status" };
	int null = open("/dev/null", O_WRONLY), err = dup(STDERR_FILENO);

	(void)state;
	dup2(null, STDERR_FILENO);
	assert_int_equal(cli_command("/nowhere/stoker.sock", 1, argv), 3);
	dup2(err, STDERR_FILENO);
	close(err);
	close(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_pass_both_ways),
		cmocka_unit_test(test_a_hostile_term_does_not_leave_the_client),
		cmocka_unit_test(test_the_terminal_is_restored_when_the_server_dies),
		cmocka_unit_test(test_the_terminal_is_restored_on_signals),
		cmocka_unit_test(test_garbage_from_the_server_ends_in_order),
		cmocka_unit_test(test_ctrl_z_suspends_the_client_itself),
		cmocka_unit_test(test_files_and_editor_are_the_operators),
		cmocka_unit_test(test_no_stoker_is_exit_code_3),
	};

	clock_init();
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
