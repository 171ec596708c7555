/* Subcommands. What needs a running Stoker goes over the control socket (core/control/cli.h); the
 * rest is here. */
#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "conf/pmta.h"
#include "core/attach.h"
#include "core/base/log.h"
#include "core/classify_command.h"
#include "core/control/cli.h"
#include "core/feedback/inbound.h"
#include "core/manual.h"
#include "core/mta.h"
#include "core/net/tls.h"
#include "core/read_report.h"
#include "core/sim/demo.h"
#include "core/version.h"

#define DEFAULT_CONF "/etc/stoker/stoker.ini"
#ifndef STOKER_SHARE
#define STOKER_SHARE "/usr/local/share/stoker"
#endif

struct args {
	const char *conf, *socket, *output;
	char **words;	  /* after the subcommand, for those that take several; ended by NULL */
	const char *file; /* the word after the subcommand, for those that take one */
	bool conf_given, headless, read_only, plain;
	int rest; /* index of the first word that is no global option */
};

/* Where conf/ and themes/ of this installation are: beside the source tree when run from it, else
 * below STOKER_SHARE. */
static char *share_dir(const char *what)
{
	char exe[4096];
	char *dir = NULL;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	if (n > 0) {
		exe[n] = 0;
		char *build = strstr(exe, "/build/");
		if (build) {
			*build = 0;
			if (asprintf(&dir, "%s/%s", exe, what) >= 0 && access(dir, R_OK) == 0)
				return dir;
			free(dir);
		}
	}
	if (asprintf(&dir, "%s/%s", STOKER_SHARE, what) < 0)
		fatal("no memory");
	return dir;
}

/* `keys`: also what it names is looked at, as this user (the server does so as its own). */
static struct conf *read_conf(const char *path, bool quiet, bool keys, int *code)
{
	struct conf_problems problems;
	char *shipped = share_dir("conf");
	struct conf_read_opts o = { .shipped_dir = access(shipped, R_OK) == 0 ? shipped : NULL };
	struct buf out;
	buf_init(&out);
	conf_problems_init(&problems);
	struct conf *c = conf_read(path, &o, &problems);
	if (c && keys && !attach_files(c, &problems)) {
		conf_unref(c);
		c = NULL;
	}
	conf_problems_print(&problems, &out);
	if (out.n && !quiet)
		fprintf(stderr, "%s", buf_z(&out));
	*code = c ? EXIT_DONE : EXIT_USAGE;
	if (!quiet && (problems.errors || problems.warnings))
		fprintf(stderr, "%d error%s, %d warning%s\n", problems.errors,
			problems.errors == 1 ? "" : "s", problems.warnings,
			problems.warnings == 1 ? "" : "s");
	conf_problems_free(&problems);
	buf_free(&out);
	return c;
}

static int cmd_check(const struct args *a)
{
	int code = 0;
	struct conf *c = read_conf(a->conf, false, true, &code);
	if (c)
		printf("%s: ok: %d listeners, %d virtual MTAs, %d pools, %d providers\n", a->conf,
		       c->nlisteners, c->nvmtas, c->npools, c->nproviders);
	conf_unref(c);
	return code;
}

static bool write_output(const char *path, struct str text)
{
	/* Passwords may stand in it. */
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	FILE *f = !path ? stdout : fd >= 0 ? fdopen(fd, "w") : NULL;
	bool ok;
	if (!f) {
		fprintf(stderr, "stoker: %s can't be made: %s\n", path, strerror(errno));
		return false;
	}
	ok = fwrite(text.p, 1, text.n, f) == text.n;
	ok = (path ? fclose(f) : fflush(f)) == 0 && ok;
	if (!ok)
		fprintf(stderr, "stoker: %s can't be written: %s\n", path ? path : "the output",
			strerror(errno));
	return ok;
}

/* The configuration goes to -o FILE or standard output, the report to standard error. */
static int cmd_import_pmta(const struct args *a)
{
	struct pmta_count n;
	struct errbuf e = { "" };
	struct buf ini, report;
	char *shipped = share_dir("conf");
	if (!a->file) {
		fprintf(stderr, "stoker import-pmta: which file?\n");
		return EXIT_USAGE;
	}
	buf_init(&ini);
	buf_init(&report);
	bool ok = pmta_import(a->file, access(shipped, R_OK) == 0 ? shipped : NULL, &ini, &report,
			      &n, &e);
	if (!ok)
		fprintf(stderr, "stoker: %s\n", e.text);
	else
		fprintf(stderr, "%s%d taken, %d approximated, %d dropped\n", buf_z(&report),
			n.taken, n.approximated, n.dropped);
	int code = !ok					    ? EXIT_USAGE
		   : write_output(a->output, buf_str(&ini)) ? EXIT_DONE
							    : EXIT_REFUSED;
	buf_free(&ini);
	buf_free(&report);
	free(shipped);
	return code;
}

static const char *socket_path(const struct args *a)
{
	const char *env = getenv("STOKER_SOCKET");
	int code = 0;
	if (a->socket)
		return a->socket;
	if (env && *env)
		return env;
	struct conf *c = access(a->conf, R_OK) == 0 ? read_conf(a->conf, true, false, &code) : NULL;
	return c ? c->mta.control_socket : "/run/stoker/stoker.sock"; /* lives until exit */
}

/* Where the error log goes: error-log, else stderr; behind a console, whose terminal stderr is,
 * error.log beside log-file. */
static void error_log(const struct conf *c, bool behind_console)
{
	char path[4096];
	const char *name = c->mta.error_log;
	if (!name && behind_console) {
		snprintf(path, sizeof path, "%s", c->mta.log_file);
		char *slash = strrchr(path, '/');
		snprintf(slash ? slash + 1 : path,
			 sizeof path - (slash ? (size_t)(slash + 1 - path) : 0), "error.log");
		name = path;
	}
	if (!name)
		return;
	int fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		fatal("the error log %s can't be opened: %s", name, strerror(errno));
	log_set_fd(fd);
}

static int run_headless(const struct args *a, int ready_fd)
{
	int code = 0;
	struct conf *c = read_conf(a->conf, false, false, &code);
	if (!c)
		return code;
	error_log(c, ready_fd >= 0);
	struct mta_opts o = { .conf_path = a->conf,
			      .shipped_dir = share_dir("conf"),
			      .themes_dir = share_dir("themes"),
			      .smtp_port = 25 };
	return mta_run(&o, c, ready_fd);
}

/* On a terminal: the child calls setsid and is the MTA; the parent is an ordinary attach client, so
 * the terminal's signals never reach the MTA. */
static int run_with_console(const struct args *a)
{
	int code = 0, ready[2];
	struct conf *c = read_conf(a->conf, false, false, &code);
	if (!c)
		return code;
	if (pipe2(ready, O_CLOEXEC))
		fatal("no pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		fatal("no process for the MTA: %s", strerror(errno));
	if (pid == 0) {
		close(ready[0]);
		setsid();
		int null = open("/dev/null", O_RDWR);
		if (null >= 0 && c->mta.error_log) {
			dup2(null, 1);
			dup2(null, 2);
		}
		if (null >= 0)
			dup2(null, 0);
		exit(run_headless(a, ready[1]));
	}
	close(ready[1]);
	char byte;
	if (read(ready[0], &byte, 1) != 1) {
		int status = 0;
		waitpid(pid, &status, 0);
		return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_REFUSED;
	}
	fprintf(stderr, "stoker runs as process %d; q detaches, `stoker attach` comes back\n",
		(int)pid);
	return cli_attach(c->mta.control_socket, a->read_only, a->plain);
}

static int cmd_run(const struct args *a)
{
	if (a->headless || !isatty(0) || !isatty(1))
		return run_headless(a, -1);
	return run_with_console(a);
}

static int cmd_attach(const struct args *a)
{
	return cli_attach(socket_path(a), a->read_only, a->plain);
}

static int demo_mta(const char *conf_path, uint16_t smtp_port, const char *name_server,
		    int ready_fd)
{
	int code = 0;
	struct conf *c = read_conf(conf_path, false, false, &code);
	if (!c)
		return code;
	error_log(c, true);
	struct mta_opts o = { .conf_path = conf_path,
			      .shipped_dir = share_dir("conf"),
			      .themes_dir = share_dir("themes"),
			      .smtp_port = smtp_port,
			      .name_server = name_server,
			      .demo = true };
	return mta_run(&o, c, ready_fd);
}

static int demo_attach(const char *socket)
{
	return cli_attach(socket, false, false);
}

static int cmd_demo(const struct args *a)
{
	const struct demo_env env = { demo_mta, demo_attach };
	return demo_run(&env, a->headless || !isatty(0) || !isatty(1));
}

static int cmd_sim(const struct args *a)
{
	if (a->conf_given) {
		fputs("sim: its receivers are those of `demo`; -c FILE says nothing to it\n",
		      stderr);
		return EXIT_USAGE;
	}
	return sim_run();
}

/* One line, without echo on a terminal. False at the end of input. */
static bool ask_password(const char *prompt, char *line, int size)
{
	struct termios was, quiet;
	bool tty = isatty(0) && tcgetattr(0, &was) == 0;
	if (tty) {
		quiet = was;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(0, TCSAFLUSH, &quiet);
		fputs(prompt, stderr);
	}
	bool ok = fgets(line, size, stdin) != NULL;
	if (tty) {
		tcsetattr(0, TCSAFLUSH, &was);
		fputc('\n', stderr);
	}
	if (ok)
		line[strcspn(line, "\r\n")] = '\0';
	return ok;
}

/* Prints the line for [smtp-user]. */
static int cmd_passwd(const struct args *a)
{
	enum { PASSWORD_MAX = 255 };
	char one[PASSWORD_MAX + 3], two[PASSWORD_MAX + 3], salt[CRYPT_GENSALT_OUTPUT_SIZE];
	(void)a;
	if (!ask_password("Password: ", one, sizeof one) || !one[0] || strlen(one) > PASSWORD_MAX) {
		fprintf(stderr, "a password has 1 to %d bytes\n", PASSWORD_MAX);
		return EXIT_USAGE;
	}
	if (isatty(0) && (!ask_password("Once more: ", two, sizeof two) || strcmp(one, two) != 0)) {
		fputs("the two are not the same\n", stderr);
		return EXIT_USAGE;
	}
	struct crypt_data *d = calloc(1, sizeof *d);
	bool ok = d && crypt_gensalt_rn("$6$", 0, NULL, 0, salt, sizeof salt);
	const char *hash = ok ? crypt_r(one, salt, d) : NULL;
	if (!hash || hash[0] == '*')
		fatal("no hash can be made: %s", strerror(errno));
	printf("password = %s\n", hash);
	explicit_bzero(one, sizeof one);
	explicit_bzero(two, sizeof two);
	explicit_bzero(d, sizeof *d);
	free(d);
	return EXIT_DONE;
}

/* Without a configuration: by the rules that come with Stoker. */
static struct conf *shipped_conf(void)
{
	static const char text[] =
	    "[mta]\nhostname = mta.invalid\nsmtp-source-host = 192.0.2.1 mta.invalid\n";
	struct conf_file file = { "/stoker.ini", { text, sizeof text - 1 } };
	struct conf_read_opts o = { share_dir("conf"), &file, 1 };
	struct conf_problems p;
	conf_problems_init(&p);
	struct conf *c = conf_read(file.path, &o, &p);
	conf_problems_free(&p);
	return c;
}

/* Whose rules judge replies: the configuration's if there is one. */
static struct conf *rules_conf(const struct args *a)
{
	bool named = strcmp(a->conf, DEFAULT_CONF) != 0;
	int code = 0;
	return named || access(a->conf, R_OK) == 0 ? read_conf(a->conf, !named, false, &code)
						   : shipped_conf();
}

static int cmd_read_report(const struct args *a, int n, char **words)
{
	struct conf *c = rules_conf(a);
	if (!c)
		return EXIT_USAGE;
	int code = read_report(patterns_find(c->patterns, "default"), n, words);
	conf_unref(c);
	return code;
}

static int cmd_classify(const struct args *a)
{
	struct classify_job j = { .receiver = NULL };
	for (char **w = a->words; *w; w++) {
		if (strcmp(*w, "--receiver") == 0 && w[1]) {
			j.receiver = *++w;
		} else if (strcmp(*w, "--json") == 0) {
			j.json = true;
		} else if (strcmp(*w, "--time") == 0) {
			j.time = true;
		} else {
			fprintf(stderr,
				"stoker classify takes no \"%s\"; see stoker help classify\n", *w);
			return EXIT_USAGE;
		}
	}
	struct conf *c = rules_conf(a);
	if (!c)
		return EXIT_USAGE;
	j.list = patterns_find(c->patterns, "default");
	bool ok = classify_command(&j, stdin);
	conf_unref(c);
	return ok ? EXIT_DONE : EXIT_REFUSED;
}

static const struct {
	const char *name;
	int (*run)(const struct args *a);
	int words; /* that it takes */
} locals[] = {
	{ "run", cmd_run, 0 },		 { "attach", cmd_attach, 0 },
	{ "demo", cmd_demo, 0 },	 { "sim", cmd_sim, 0 },
	{ "check", cmd_check, 0 },	 { "passwd", cmd_passwd, 0 },
	{ "classify", cmd_classify, 4 }, { "import-pmta", cmd_import_pmta, 1 },
};

static int help_page(const char *name)
{
	struct buf out;
	buf_init(&out);
	bool ok = name && manual_page(str_of(name), &out);
	if (ok)
		fputs(buf_z(&out), stdout);
	else
		fprintf(stderr, "stoker help --page NAME writes one of: %s\n", manual_names);
	buf_free(&out);
	return ok ? EXIT_DONE : EXIT_USAGE;
}

static int help(int n, char **names)
{
	struct str words[2] = { { "", 0 } };
	struct buf out;
	buf_init(&out);
	for (int i = 0; i < n && i < 2; i++)
		words[i] = str_of(names[i]);
	bool ok = command_help_words(words, n < 2 ? n : 2, &out);
	fputs(buf_z(&out), ok ? stdout : stderr);
	buf_free(&out);
	return ok ? EXIT_DONE : EXIT_USAGE;
}

/* Options that stand before or behind the subcommand: -c FILE, --socket PATH, and those of run and
 * attach. */
static bool take_option(struct args *a, int argc, char **argv, int *i)
{
	const struct {
		const char *name;
		const char **to;
	} valued[] = { { "-c", &a->conf }, { "--socket", &a->socket }, { "-o", &a->output } };
	const struct {
		const char *name;
		bool *to;
	} flags[] = { { "--headless", &a->headless },
		      { "--read-only", &a->read_only },
		      { "--plain", &a->plain } };
	for (size_t k = 0; k < sizeof valued / sizeof *valued; k++) {
		if (strcmp(argv[*i], valued[k].name) != 0)
			continue;
		if (*i + 1 >= argc)
			fatal("%s needs a value", argv[*i]);
		*valued[k].to = argv[++*i];
		a->conf_given |= valued[k].to == &a->conf;
		return true;
	}
	for (size_t k = 0; k < sizeof flags / sizeof *flags; k++) {
		if (strcmp(argv[*i], flags[k].name) != 0)
			continue;
		*flags[k].to = true;
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct args a = { .conf = DEFAULT_CONF };
	char **words = calloc((size_t)argc + 1, sizeof *words);
	int n = 0;
	if (!words)
		fatal("no memory");
	clock_init();
	for (int i = 1; i < argc; i++)
		if (!take_option(&a, argc, argv, &i))
			words[n++] = argv[i];
	if (n == 0 || strcmp(words[0], "help") == 0 || strcmp(words[0], "--help") == 0 ||
	    strcmp(words[0], "-h") == 0) {
		if (n > 1 && strcmp(words[1], "--page") == 0)
			return help_page(n > 2 ? words[2] : NULL);
		return help(n ? n - 1 : 0, words + 1);
	}
	if (strcmp(words[0], "--version") == 0 || strcmp(words[0], "version") == 0) {
		printf("stoker %s\n", STOKER_VERSION);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < sizeof locals / sizeof *locals; i++) {
		if (strcmp(words[0], locals[i].name) != 0)
			continue;
		if (n > 1 + locals[i].words) {
			fprintf(stderr, "stoker %s takes no \"%s\"; see stoker help %s\n", words[0],
				words[1 + locals[i].words], words[0]);
			return EXIT_USAGE;
		}
		a.file = locals[i].words ? words[1] : NULL;
		a.words = words + 1;
		return locals[i].run(&a);
	}
	if (strcmp(words[0], "read-report") == 0)
		return cmd_read_report(&a, n - 1, words + 1);
	if (!command_find(str_of(words[0])))
		return help(1, words);
	return cli_command(socket_path(&a), n, words);
}
