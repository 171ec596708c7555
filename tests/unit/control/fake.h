/* A control thread without threads: its loop is run by the test until a condition holds, its
 * environment is a notebook, and a client sits at the other end of a socket pair in the same loop.
 */
#ifndef STOKER_TESTS_CONTROL_FAKE_H
#define STOKER_TESTS_CONTROL_FAKE_H

#include "tests/unit/control/world.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/jsonw.h"
#include "core/control/private.h"

struct fake {
	struct loop *loop;
	struct control *c;
	struct conf *conf;
	/* client */
	int fd;
	ev_io watcher;
	struct buf in, out, err;
	bool closed, asleep; /* asleep: the client reads nothing */
	int exit;	     /* -1: not yet */
	char question[512];
	/* environment */
	struct sched_cmd last;
	char target[64], who[32], reason[64], route[32], session[32];
	int commands, dry_runs;
	bool hold; /* answers wait for fake_answer */
	uint64_t held;
	int reply_exit;
	uint64_t reply_done;
	const char *reply_text, *text;
	int text_exit;
	char audit[4096], echo[1024];
	int rotates, shutdowns, reloads, attached, pages;
	enum role attached_role;
	char hello[512];
	int attached_fd;
	uint64_t message, reload_to;
	bool reload_dry;
	int answers;
	struct link_answer *answer;
	char header[4096];
	us_t deadline;
	bool (*until)(struct fake *f);
};

static inline void fake_copy(char *to, size_t cap, struct str s)
{
	snprintf(to, cap, "%.*s", (int)s.n, s.p ? s.p : "");
}

static inline void fake_answer(struct fake *f, uint64_t id)
{
	struct sched_reply r = {
		.id = id, .exit = f->reply_exit, .done = f->reply_done, .text = text(f->reply_text)
	};

	control_sched_reply(f->c, &r);
}

static inline void fake_sched(void *arg, const struct sched_cmd *c)
{
	struct fake *f = arg;
	struct buf b;

	f->last = *c;
	buf_init(&b);
	buf_adds(&b, c->target.a);
	if (c->target.b.n) {
		buf_addc(&b, ' ');
		buf_adds(&b, c->target.b);
	}
	fake_copy(f->target, sizeof f->target, buf_str(&b));
	buf_free(&b);
	fake_copy(f->who, sizeof f->who, c->who);
	fake_copy(f->reason, sizeof f->reason, c->reason);
	fake_copy(f->route, sizeof f->route, c->route);
	fake_copy(f->session, sizeof f->session, c->session);
	f->commands++;
	f->dry_runs += c->dry_run;
	f->held = c->id;
	if (!f->hold)
		fake_answer(f, c->id);
}

static inline void fake_text(struct fake *f, uint64_t id)
{
	f->held = id;
	if (!f->hold)
		control_text(f->c, id, f->text_exit, text(f->text));
}

static inline void fake_detail(void *arg, uint64_t id, const struct target *t)
{
	fake_copy(((struct fake *)arg)->target, sizeof((struct fake *)arg)->target, t->a);
	fake_text(arg, id);
}

/* 450 recipients. */
static inline void fake_messages(void *arg, uint64_t id, const struct target *t, uint64_t cursor,
				 int max)
{
	struct fake *f = arg;
	struct buf b;
	int n = 0;

	(void)t;
	f->pages++;
	buf_init(&b);
	buf_addf(&b, "{\"total\":450,\"cursor\":\"%d\",\"rows\":[",
		 (int)cursor + max < 450 ? (int)cursor + max : 0);
	for (int i = (int)cursor; i < 450 && n < max; i++, n++)
		buf_addf(&b,
			 "%s{\"id\":\"%x\",\"recipient\":\"us%d@yahoo.com\",\"attempts\":%d,"
			 "\"state\":\"ok\",\"why\":{\"code\":\"rate\","
			 "\"text\":\"rate 10/s\"},\"received_at\":\"2026-11-23T19:03:48.118Z\"}",
			 n ? "," : "", i, i, i % 3);
	buf_addz(&b, "]}");
	control_text(f->c, id, EXIT_DONE, rstr_new(buf_str(&b)));
	buf_free(&b);
}

static inline void fake_message(void *arg, uint64_t id, uint64_t message, bool raw)
{
	(void)raw;
	((struct fake *)arg)->message = message;
	fake_text(arg, id);
}

static inline void fake_resolve(void *arg, uint64_t id, struct str domain)
{
	(void)domain;
	fake_text(arg, id);
}

static inline void fake_reload(void *arg, uint64_t id, bool dry_run, uint64_t to, struct str who)
{
	struct fake *f = arg;

	fake_copy(f->who, sizeof f->who, who);
	f->reloads++;
	f->reload_dry = dry_run;
	f->reload_to = to;
	fake_text(f, id);
}

static inline void fake_settings(void *arg, uint64_t id, struct str domain, struct str via,
				 bool json)
{
	(void)domain;
	(void)via;
	(void)json;
	fake_text(arg, id);
}

static inline void fake_rotate(void *arg)
{
	((struct fake *)arg)->rotates++;
}

static inline void fake_shutdown(void *arg, struct str who)
{
	(void)who;
	((struct fake *)arg)->shutdowns++;
}

static inline void fake_attach(void *arg, int fd, struct str user, enum role role, struct str hello)
{
	struct fake *f = arg;

	f->attached++;
	f->attached_fd = fd;
	f->attached_role = role;
	fake_copy(f->who, sizeof f->who, user);
	fake_copy(f->hello, sizeof f->hello, hello);
}

static inline void fake_status(void *arg, struct buf *out)
{
	(void)arg;
	buf_addz(out, "{\"loops\":[{\"name\":\"io0\",\"cpu_ms\":1.5,\"wall_ms\":2}],\"spool\":{"
		      "\"messages\":7,\"bytes\":1,\"free_bytes\":"
		      "1000000,\"sync_ms\":0.3},\"memory\":{\"anon\":1,\"mapped\":2,\"limit\":3},"
		      "\"in\":{\"connections\":3},\"operators\":1}");
}

static inline void fake_audit(void *arg, struct str line)
{
	struct fake *f = arg;
	size_t n = strlen(f->audit);

	snprintf(f->audit + n, sizeof f->audit - n, "%.*s\n", (int)line.n, line.p);
}

static inline void fake_link_answer(void *arg, struct link_answer *a)
{
	struct fake *f = arg;

	link_answer_free(f->answer);
	f->answer = a;
	f->answers++;
}

static inline void fake_echo(void *arg, struct rstr *line)
{
	struct fake *f = arg;

	fake_copy(f->echo, sizeof f->echo, rstr_str(line));
	rstr_unref(line);
}

static inline void fake_header(void *arg, const struct sched_totals *t, struct rstr *status_json)
{
	struct fake *f = arg;

	(void)t;
	fake_copy(f->header, sizeof f->header, rstr_str(status_json));
	rstr_unref(status_json);
}

/* ---- client ---- */

static inline void fake_frames(struct fake *f)
{
	struct str payload;
	size_t used;
	char type;

	while (frame_get(buf_str(&f->in), &type, &payload, &used) == 1) {
		if (type == 'O')
			buf_adds(&f->out, payload);
		else if (type == 'E')
			buf_adds(&f->err, payload);
		else if (type == 'Q')
			fake_copy(f->question, sizeof f->question, payload);
		else if (type == 'X')
			f->exit = payload.p[0];
		else
			fail_msg("frame %c", type);
		buf_shift(&f->in, used);
	}
}

static inline void fake_readable(struct ev_loop *ev, ev_io *w, int revents)
{
	struct fake *f = w->data;
	char bytes[4096];
	ssize_t n = read(f->fd, bytes, sizeof bytes);

	(void)revents;
	if (n > 0) {
		buf_add(&f->in, bytes, (size_t)n);
		fake_frames(f);
	} else {
		f->closed = true;
		ev_io_stop(ev, w);
	}
}

static inline bool fake_hook(void *arg)
{
	struct fake *f = arg;

	if (f->until && f->until(f))
		loop_stop(f->loop);
	else if (f->deadline && clock_now_us() > f->deadline)
		fail_msg("nothing happened; out: %s err: %s", buf_z(&f->out), buf_z(&f->err));
	return false;
}

static inline void fake_run(struct fake *f, bool (*until)(struct fake *f))
{
	f->until = until;
	f->deadline = clock_now_us() + 60 * US_PER_S;
	loop_run(f->loop);
	f->until = NULL;
}

static inline bool fake_left(struct fake *f)
{
	return f->closed;
}

static inline void fake_connect(struct fake *f, enum role role, const char *user)
{
	struct rstr *name = text(user);
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->fd = pair[0];
	fcntl(f->fd, F_SETFL, O_NONBLOCK);
	f->closed = false;
	f->exit = -1;
	f->question[0] = '\0';
	buf_clear(&f->in);
	buf_clear(&f->out);
	buf_clear(&f->err);
	ev_io_init(&f->watcher, fake_readable, f->fd, EV_READ);
	f->watcher.data = f;
	if (!f->asleep)
		ev_io_start(loop_ev(f->loop), &f->watcher);
	session_start(f->c, pair[1], role, name);
	rstr_unref(name);
}

static inline void fake_disconnect(struct fake *f)
{
	ev_io_stop(loop_ev(f->loop), &f->watcher);
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

static inline void fake_send(struct fake *f, char type, struct str payload)
{
	struct buf b;

	buf_init(&b);
	frame_put(&b, type, payload);
	assert_int_equal(write(f->fd, b.p, b.n), b.n);
	buf_free(&b);
}

static inline void fake_send_command(struct fake *f, const char *line, bool tty)
{
	struct arena mem;
	struct errbuf e;
	struct str *words;
	struct buf json;
	struct jsonw w;
	int n;

	arena_init(&mem, 512);
	assert_true(command_split(str_of(line), &mem, &words, &n, &e));
	buf_init(&json);
	jsonw_init(&w, &json);
	jsonw_object(&w, NULL);
	jsonw_array(&w, "argv");
	for (int i = 0; i < n; i++)
		jsonw_str(&w, NULL, words[i]);
	jsonw_end_array(&w);
	jsonw_bool(&w, "tty", tty);
	jsonw_int(&w, "columns", tty ? 100 : 0);
	jsonw_end_object(&w);
	fake_send(f, 'C', buf_str(&json));
	buf_free(&json);
	arena_free(&mem);
}

/* A whole command on a connection of its own; what it printed is in out and err. */
static inline int fake_command(struct fake *f, enum role role, const char *line)
{
	fake_connect(f, role, "op1");
	fake_send_command(f, line, false);
	fake_run(f, fake_left);
	fake_disconnect(f);
	return f->exit;
}

/* The smallest one that can be read; no file is touched. */
static inline struct conf *fake_conf(const char *socket_path)
{
	static const char name[] = "/etc/stoker/stoker.ini";
	struct conf_problems problems;
	struct conf_file file = { .path = name };
	struct conf_read_opts opts = { .stored = &file, .nstored = 1 };
	struct conf *c;
	struct buf b;

	buf_init(&b);
	buf_addf(&b,
		 "[mta]\nhostname = mta1.example.net\npostmaster = a@example.net\nshipped = no\n"
		 "smtp-source-host = 127.0.0.1 mta1.example.net\ncontrol-socket = %s\n"
		 "[listener 127.0.0.1:2525]\n",
		 socket_path);
	file.text = buf_str(&b);
	conf_problems_init(&problems);
	c = conf_read(name, &opts, &problems);
	buf_free(&b);
	buf_init(&b);
	conf_problems_print(&problems, &b);
	if (!c)
		fail_msg("%s", buf_z(&b));
	buf_free(&b);
	conf_problems_free(&problems);
	conf_set_number(c, 41, world_now);
	return c;
}

static inline void fake_open_at(struct fake *f, const char *socket_path)
{
	struct control_env env = { .arg = f,
				   .version = "1.2.3",
				   .sched_command = fake_sched,
				   .sched_detail = fake_detail,
				   .sched_messages = fake_messages,
				   .message = fake_message,
				   .resolve = fake_resolve,
				   .reload = fake_reload,
				   .settings = fake_settings,
				   .rotate = fake_rotate,
				   .shutdown = fake_shutdown,
				   .attach = fake_attach,
				   .status = fake_status,
				   .audit = fake_audit };

	memset(f, 0, sizeof *f);
	f->fd = f->attached_fd = -1;
	f->reply_text = "done as told";
	f->text = "{}";
	f->conf = fake_conf(socket_path);
	buf_init(&f->in);
	buf_init(&f->out);
	buf_init(&f->err);
	f->loop = loop_new("control");
	f->c = control_new(f->loop, &env, f->conf);
	control_set_link(f->c, fake_link_answer, fake_echo, fake_header, f);
	control_phase(f->c, "running", 1);
	loop_add_before_sleep(f->loop, fake_hook, f);
}

static inline void fake_open(struct fake *f)
{
	fake_open_at(f, "/nowhere/stoker.sock");
}

static inline void fake_close(struct fake *f)
{
	fake_disconnect(f);
	if (f->attached_fd >= 0)
		close(f->attached_fd);
	control_free(f->c);
	conf_unref(f->conf);
	loop_free(f->loop);
	link_answer_free(f->answer);
	buf_free(&f->in);
	buf_free(&f->out);
	buf_free(&f->err);
}

static inline const char *fake_out(struct fake *f)
{
	return buf_z(&f->out);
}

static inline const char *fake_err(struct fake *f)
{
	return buf_z(&f->err);
}

#define assert_has(text, part)                                                                     \
	do {                                                                                       \
		if (!strstr(text, part))                                                           \
			fail_msg("\"%s\" is not in: %s", part, text);                              \
	} while (0)

#endif
