/* The attach client: bytes both ways between the operator's terminal and the console thread, which
 * draws. Only this process may block on the terminal, open files for the operator, or run an
 * editor. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clean.h"
#include "core/base/jsonw.h"
#include "core/control/cli.h"
#include "core/control/tty.h"
#include "core/control/wire.h"
#include "core/control/text.h"
#include "core/sched/command.h"

enum { CTRL_Z = 0x1a, CTRL_L = 0x0c, TERM_MAX = 64 };

struct attached {
	int fd;
	bool tty, plain;
	bool greeted; /* the server has said something: it takes input now */
	bool over;
	int exit;
	struct buf in;
	struct buf goodbye;
};

/* ---- signals ---- */

static volatile sig_atomic_t resized, suspended;

static void on_flag(int sig)
{
	if (sig == SIGWINCH)
		resized = 1;
	else
		suspended = 1;
}

/* Told to go, perhaps while a write to a dead terminal blocks: leave it in order, then go. */
static void on_leave(int sig)
{
	tty_restore();
	_exit(128 + sig);
}

static void handle(int sig, void (*fn)(int sig))
{
	struct sigaction sa = { .sa_handler = fn };

	sigemptyset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
}

static void signals_take(sigset_t *while_polling)
{
	sigset_t block;

	handle(SIGWINCH, on_flag);
	handle(SIGTSTP, on_flag);
	handle(SIGTERM, on_leave);
	handle(SIGHUP, on_leave);
	handle(SIGINT, on_leave);
	handle(SIGQUIT, on_leave);
	handle(SIGPIPE, SIG_IGN);
	sigemptyset(&block);
	sigaddset(&block, SIGWINCH);
	sigaddset(&block, SIGTSTP);
	sigprocmask(SIG_BLOCK, &block, while_polling);
	sigdelset(while_polling, SIGWINCH);
	sigdelset(while_polling, SIGTSTP);
}

/* ---- hello ---- */

/* CONSOLE.md: only a name of these characters reaches the terminal database. */
static const char *terminal_name(void)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789.+_-";
	const char *term = getenv("TERM");

	if (!term || !*term || strlen(term) > TERM_MAX || term[strspn(term, allowed)])
		return "dumb";
	return term;
}

static bool is_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const char *v = getenv(names[i]);

		if (v && *v) /* the first that is set decides */
			return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
	}
	return false;
}

/* $TZ, or the name under zoneinfo/ that /etc/localtime points to. */
static void put_zone(struct jsonw *w)
{
	const char *tz = getenv("TZ");
	char path[256];
	ssize_t n = tz ? 0 : readlink("/etc/localtime", path, sizeof path - 1);
	char *name;

	if (tz && *tz) {
		jsonw_z(w, "tz", tz);
		return;
	}
	path[n > 0 ? n : 0] = '\0';
	name = strstr(path, "zoneinfo/");
	if (name)
		jsonw_z(w, "tz", name + strlen("zoneinfo/"));
}

static bool say_hello(const struct attached *a, bool read_only)
{
	int rows, columns;
	struct buf json;
	struct jsonw w;
	bool ok;

	tty_size(&rows, &columns);
	buf_init(&json);
	jsonw_init(&w, &json);
	jsonw_object(&w, NULL);
	jsonw_z(&w, "term", terminal_name());
	jsonw_int(&w, "rows", rows);
	jsonw_int(&w, "columns", columns);
	jsonw_bool(&w, "utf8", is_utf8());
	jsonw_bool(&w, "no_color", getenv("NO_COLOR") && *getenv("NO_COLOR"));
	jsonw_bool(&w, "plain", a->plain);
	jsonw_bool(&w, "read_only", read_only);
	jsonw_bool(&w, "tty", a->tty);
	jsonw_bool(&w, "confirms", true);
	put_zone(&w);
	jsonw_end_object(&w);
	ok = wire_put(a->fd, 'A', buf_str(&json));
	buf_free(&json);
	return ok;
}

/* ---- to the server ---- */

static void leave(struct attached *a, int exit, const char *why)
{
	if (a->over)
		return;
	a->over = true;
	a->exit = exit;
	if (why) {
		buf_clear(&a->goodbye);
		buf_addz(&a->goodbye, why);
	}
}

static void put(struct attached *a, char type, struct str payload)
{
	if (!a->over && !wire_put(a->fd, type, payload))
		leave(a, EXIT_REFUSED, "the connection to stoker was lost");
}

/* After its last frames the server is gone, and has told why: that is still to be read. */
static void confirm(struct attached *a)
{
	if (!wire_put(a->fd, 'K', str_mem("", 0)))
		a->greeted = false; /* nothing more can be sent */
}

static void put_size(struct attached *a)
{
	int rows, columns;
	char json[64];
	int n;

	tty_size(&rows, &columns);
	n = snprintf(json, sizeof json, "{\"rows\":%d,\"columns\":%d}", rows, columns);
	put(a, 'S', str_mem(json, (size_t)n));
}

/* The terminal is ours again, after an editor or another job had it. */
static void back_on_terminal(struct attached *a)
{
	const char redraw = CTRL_L;

	if (!a->tty || a->plain)
		return;
	tty_raw();
	put_size(a);
	put(a, 'I', str_mem(&redraw, 1));
}

static void suspend(struct attached *a)
{
	sigset_t stop, kept;

	tty_restore();
	handle(SIGTSTP, SIG_DFL);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	raise(SIGTSTP);
	/* It is delivered here, and we go on when the shell says so. */
	sigprocmask(SIG_UNBLOCK, &stop, &kept);
	sigprocmask(SIG_SETMASK, &kept, NULL);
	handle(SIGTSTP, on_flag);
	suspended = 0;
	back_on_terminal(a);
}

static void on_keys(struct attached *a)
{
	char keys[4096];
	ssize_t n = read(STDIN_FILENO, keys, sizeof keys);
	size_t from = 0;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		leave(a, EXIT_DONE, "the terminal was closed");
		return;
	}
	for (size_t i = 0; i < (size_t)n; i++) {
		if (keys[i] != CTRL_Z || a->plain || !a->tty)
			continue;
		if (i > from)
			put(a, 'I', str_mem(keys + from, i - from));
		from = i + 1;
		suspend(a);
	}
	if (from < (size_t)n)
		put(a, 'I', str_mem(keys + from, (size_t)n - from));
}

/* ---- from the server ---- */

static void put_result(struct attached *a, const char *op, const char *path, const char *error)
{
	struct buf json;
	struct jsonw w;

	buf_init(&json);
	jsonw_init(&w, &json);
	jsonw_object(&w, NULL);
	jsonw_z(&w, "op", op);
	jsonw_z(&w, "path", path);
	if (error)
		jsonw_z(&w, "error", error);
	jsonw_end_object(&w);
	put(a, 'F', buf_str(&json));
	buf_free(&json);
}

static void write_file(struct attached *a, json_t *o)
{
	const char *path = json_string_value(json_object_get(o, "path"));
	json_t *bytes = json_object_get(o, "bytes");
	struct str text = str_mem(json_string_value(bytes), json_string_length(bytes));
	const char *error = NULL;
	int fd;

	if (!path || !json_is_string(bytes))
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);
	if (fd < 0 || !write_all(fd, text))
		error = strerror(errno);
	if (fd >= 0 && close(fd) < 0 && !error)
		error = strerror(errno);
	put_result(a, "write", path, error);
}

static void run_editor(const char *path, long long line)
{
	/* As git does it: $VISUAL or $EDITOR is a piece of shell, with arguments and quotes of its
	 * own. */
	const char *visual = getenv("VISUAL"), *editor = getenv("EDITOR");
	char script[1024];
	char at[32];
	sigset_t none;

	if (visual && *visual)
		editor = visual;
	if (!editor || !*editor)
		editor = "vi";
	if (snprintf(script, sizeof script, "%s \"$@\"", editor) >= (int)sizeof script)
		_exit(127);
	snprintf(at, sizeof at, "+%lld", line > 0 ? line : 1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	handle(SIGINT, SIG_DFL);
	handle(SIGQUIT, SIG_DFL);
	handle(SIGTERM, SIG_DFL);
	handle(SIGHUP, SIG_DFL);
	handle(SIGTSTP, SIG_DFL);
	handle(SIGPIPE, SIG_DFL);
	handle(SIGWINCH, SIG_DFL);
	execl("/bin/sh", "sh", "-c", script, "sh", at, path, (char *)NULL);
	_exit(127);
}

static void edit_file(struct attached *a, json_t *o)
{
	const char *path = json_string_value(json_object_get(o, "path")), *error = NULL;
	long long line = json_integer_value(json_object_get(o, "line"));
	int status = 0;
	pid_t pid;

	if (!path || !a->tty)
		return;
	tty_restore();
	/* ^C is the editor's while it runs. */
	handle(SIGINT, SIG_IGN);
	handle(SIGQUIT, SIG_IGN);
	pid = fork();
	if (pid == 0)
		run_editor(path, line);
	if (pid < 0)
		error = strerror(errno);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && (!WIFEXITED(status) || WEXITSTATUS(status)))
		error = "the editor failed";
	handle(SIGINT, on_leave);
	handle(SIGQUIT, on_leave);
	back_on_terminal(a);
	put_result(a, "edit", path, error);
}

static void keep_goodbye(struct attached *a, struct str text)
{
	buf_clear(&a->goodbye);
	clean_add(&a->goodbye, text_chomp(text), false);
}

static void on_frame(struct attached *a, char type, struct str payload)
{
	json_t *o = NULL;

	a->greeted = true;
	if (type == 'W' || type == 'D')
		o = json_loadb(payload.p, payload.n, 0, NULL);
	switch (type) {
	case 'T':
		if (write_all(STDOUT_FILENO, payload))
			confirm(a);
		else
			leave(a, EXIT_DONE, NULL);
		break;
	case 'W':
		write_file(a, o);
		break;
	case 'D':
		edit_file(a, o);
		break;
	case 'E':
		keep_goodbye(a, payload);
		break;
	case 'X':
		if (payload.n > 1)
			keep_goodbye(a, (struct str){ payload.p + 1, payload.n - 1 });
		leave(a, payload.n ? (unsigned char)payload.p[0] : EXIT_REFUSED, NULL);
		break;
	default:
		leave(a, EXIT_REFUSED, "the running stoker is of another version");
		break;
	}
	json_decref(o);
}

static void on_socket(struct attached *a)
{
	struct str payload;
	size_t used;
	char type;
	int got = wire_read(a->fd, &a->in);

	if (got == 0)
		leave(a, EXIT_REFUSED, "the connection to stoker was lost");
	while (!a->over && (got = frame_get(buf_str(&a->in), &type, &payload, &used)) != 0) {
		if (got < 0) {
			leave(a, EXIT_REFUSED, "what answers at the control socket is no stoker");
			return;
		}
		on_frame(a, type, payload);
		buf_shift(&a->in, used);
	}
}

static void run(struct attached *a, const sigset_t *while_polling)
{
	while (!a->over) {
		struct pollfd p[] = { { .fd = a->fd, .events = POLLIN },
				      { .fd = STDIN_FILENO, .events = POLLIN } };
		int n = ppoll(p, a->greeted ? 2 : 1, NULL, while_polling);

		if (n < 0 && errno != EINTR) {
			leave(a, EXIT_REFUSED, strerror(errno));
			return;
		}
		if (resized && a->greeted) {
			resized = 0;
			put_size(a);
		}
		if (suspended)
			suspend(a);
		if (n <= 0)
			continue;
		if (p[0].revents)
			on_socket(a);
		if (!a->over && a->greeted && p[1].revents)
			on_keys(a);
	}
}

int cli_attach(const char *socket_path, bool read_only, bool plain)
{
	struct errbuf e = { "" };
	struct attached a = { .plain = plain, .tty = tty_open() };
	sigset_t while_polling;

	if (!a.tty && !plain) {
		fputs("stoker: the console needs a terminal; stoker status, queues, log work "
		      "without\n",
		      stderr);
		return EXIT_REFUSED;
	}
	a.fd = wire_connect(socket_path, &e);
	if (a.fd < 0) {
		fprintf(stderr, "stoker: %s\n", e.text);
		return EXIT_NO_STOKER;
	}
	buf_init(&a.in);
	buf_init(&a.goodbye);
	signals_take(&while_polling);
	/* Plain is for line mode: the terminal's own editing and echo stay. */
	if (a.tty && !plain)
		tty_raw();
	if (!say_hello(&a, read_only))
		leave(&a, EXIT_REFUSED, "the connection to stoker was lost");
	run(&a, &while_polling);
	tty_restore();
	close(a.fd);
	if (a.goodbye.n)
		fprintf(a.exit == EXIT_DONE ? stdout : stderr, "stoker: %s\n", buf_z(&a.goodbye));
	buf_free(&a.in);
	buf_free(&a.goodbye);
	return a.exit;
}
