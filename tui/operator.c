/* An operator's session: bytes in, frames out, at the pace that he and his line can take. */
#include "tui/operator.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/control/cli.h"

enum {
	OPERATOR_MAGIC = 0x6f706572,
	READ_CHUNK = 4096,
	ROWS_MAX = 500,
	COLS_MAX = 1000,
	IN_MAX = 256 * 1024
};
/* Pasted text arrives between brackets, so it is never taken for keys. */
#define PASTE_BRACKETS "\x1b[?2004h"
enum { SMALL_ROWS = 2, SMALL_COLS = 10 };

static void schedule(struct oper *op);
static void start(struct oper *op);

/* ---- the socket ---- */

static void hang_up(struct oper *op)
{
	struct console *c = op->console;

	if (op->dead)
		return;
	op->dead = true;
	if (op->fd >= 0) {
		ev_io_stop(loop_ev(c->loop), &op->reader);
		ev_io_stop(loop_ev(c->loop), &op->writer);
		close(op->fd);
		op->fd = -1;
	}
	timer_stop(c->loop, &op->key_timer);
	timer_stop(c->loop, &op->frame_timer);
	timer_stop(c->loop, &op->poll_timer);
}

/* The terminal has it all: from now on a key may be meant for what the last frame shows. */
static void frame_left(struct oper *op)
{
	struct view *v = operator_view(op);
	struct table *t = v->ops->table ? v->ops->table(v) : NULL;
	us_t now = console_now(op->console);

	box_frame_left(op, now);
	if (t && v->serial == op->drawn_view)
		table_frame_left(t, now);
	schedule(op);
}

static void all_written(struct oper *op)
{
	buf_clear(&op->out);
	op->out_sent = 0;
	ev_io_stop(loop_ev(op->console->loop), &op->writer);
	if (op->leaving)
		hang_up(op);
	else if (!op->untaken)
		frame_left(op);
}

static void flush(struct oper *op)
{
	while (!op->dead && op->out_sent < op->out.n) {
		ssize_t n = send(op->fd, op->out.p + op->out_sent, op->out.n - op->out_sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			op->out_sent += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			if (op->leaving) /* it does not read: no goodbye then */
				hang_up(op);
			else
				ev_io_start(loop_ev(op->console->loop), &op->writer);
			return;
		}
		hang_up(op);
		return;
	}
	if (!op->dead && op->out.n)
		all_written(op);
}

static void on_writable(struct ev_loop *l, ev_io *w, int events)
{
	(void)l;
	(void)events;
	flush(w->data);
}

void operator_frame_out(struct oper *op, char type, struct str bytes)
{
	if (op->dead)
		return;
	frame_put(&op->out, type, bytes);
	op->untaken += type == 'T' && op->confirms;
	if (buf_failed(&op->out)) {
		log_warn("console: no memory for a frame of %s; the session ends", op->user);
		hang_up(op);
		return;
	}
	flush(op);
}

/* In our buffer, in the socket's or in the client's hands: the operator can't have seen it. */
static bool frame_waits(const struct oper *op)
{
	return op->out_sent < op->out.n || op->untaken > 0;
}

/* ---- frames ---- */

static void draw(struct oper *op, us_t now)
{
	struct buf bytes;

	op->dirty = op->urgent = false;
	op->last_frame = now;
	op->frames++;
	op->drawn_view = operator_view(op)->serial;
	operator_draw(op, now);
	buf_init(&bytes);
	if (op->copy[0]) {
		buf_adds(&bytes, str_of(op->copy));
		op->copy[0] = '\0';
	}
	if (!screen_draw(op->screen, &op->canvas, op->theme, op->depth, &bytes)) {
		buf_free(&bytes);
		operator_leave(op, 1, "no memory to draw");
		return;
	}
	if (bytes.n)
		operator_frame_out(op, 'T', buf_str(&bytes));
	else
		frame_left(op);
	buf_free(&bytes);
}

static void in_next_pass(struct oper *op)
{
	struct loop *l = op->console->loop;

	timer_set(l, &op->frame_timer, loop_now(l) + 1);
}

/* Arms the next frame. Frames are drawn by this timer alone, never in the middle of a key or an
 * answer: what a key works on is then what the last frame showed. None while the last one is on its
 * way to the terminal: frame_left comes back here. */
static void schedule(struct oper *op)
{
	us_t now = console_now(op->console), due;

	if (op->dead || op->leaving || op->plain || !op->screen || !op->dirty || frame_waits(op))
		return;
	if (!op->frames) {
		in_next_pass(op);
		return;
	}
	due = op->last_frame + (op->urgent ? FRAME_ON_KEY_US : FRAME_BY_ITSELF_US);
	timer_set(op->console->loop, &op->frame_timer, due < now ? now : due);
}

static void on_frame_timer(struct timer *t, void *arg)
{
	struct oper *op = arg;
	struct console *c = op->console;
	us_t cpu;

	(void)t;
	if (op->dead || op->leaving)
		return;
	if (!op->started) {
		start(op);
		return;
	}
	if (op->plain || !op->dirty || frame_waits(op))
		return;
	cpu = clock_thread_cpu_us();
	draw(op, console_now(c));
	console_frame_drawn(c, clock_thread_cpu_us() - cpu);
}

void operator_dirty(struct oper *op, bool key)
{
	op->dirty = true;
	op->urgent = op->urgent || key;
	schedule(op);
}

static us_t refresh(const struct oper *op)
{
	const struct conf *conf = op->console->conf;

	return conf && conf->console.refresh > FRAME_BY_ITSELF_US ? conf->console.refresh
								  : FRAME_BY_ITSELF_US;
}

static void on_poll_timer(struct timer *t, void *arg)
{
	struct oper *op = arg;

	if (!op->frozen && !op->leaving && !frame_waits(op))
		operator_poll(op);
	if (!op->dead)
		timer_set(op->console->loop, t, console_now(op->console) + refresh(op));
}

/* ---- input ---- */

static void on_key(void *arg, struct key_event e)
{
	struct oper *op = arg;

	if (op->dead || op->leaving)
		return;
	op->key_at = console_now(op->console);
	if (op->plain)
		plain_key(op->lines, e);
	else
		operator_key(op, e);
}

static void on_key_timer(struct timer *t, void *arg)
{
	struct oper *op = arg;

	(void)t;
	keys_timeout(&op->keys, on_key, op);
}

static void input(struct oper *op, struct str bytes)
{
	struct console *c = op->console;

	keys_feed(&op->keys, bytes, on_key, op);
	if (op->dead)
		return;
	if (keys_waiting(&op->keys))
		timer_set(c->loop, &op->key_timer, console_now(c) + KEYS_ESC_US);
	else
		timer_stop(c->loop, &op->key_timer);
}

static int clamp(json_int_t v, int lo, int hi)
{
	return v < lo ? lo : v > hi ? hi : (int)v;
}

void operator_resize(struct oper *op, int rows, int cols)
{
	if (op->plain || (rows == op->rows && cols == op->cols)) {
		op->rows = rows;
		op->cols = cols;
		return;
	}
	if (!canvas_resize(&op->canvas, rows, cols) || !screen_resize(op->screen, rows, cols))
		return; /* the old size goes on; the next change may do */
	op->rows = rows;
	op->cols = cols;
	operator_dirty(op, true);
}

static void on_size(struct oper *op, struct str text)
{
	json_t *o = json_loadb(text.p, text.n, 0, NULL);
	json_int_t rows = json_integer_value(json_object_get(o, "rows"));
	json_int_t cols = json_integer_value(json_object_get(o, "columns"));

	json_decref(o);
	if (rows > 0 && cols > 0)
		operator_resize(op, clamp(rows, SMALL_ROWS, ROWS_MAX),
				clamp(cols, SMALL_COLS, COLS_MAX));
}

/* The client's word on a file that it wrote. */
static void on_file(struct oper *op, struct str text)
{
	json_t *o = json_loadb(text.p, text.n, 0, NULL);
	const char *path = json_string_value(json_object_get(o, "path"));
	const char *error = json_string_value(json_object_get(o, "error"));

	if (path && error)
		operator_echo(op, STYLE_ERROR, "%s: %s", path, error);
	else if (path)
		operator_echo(op, STYLE_GOOD, "wrote %s", path);
	json_decref(o);
}

static bool take_frames(struct oper *op)
{
	struct str in = buf_str(&op->in), payload;
	size_t used, taken = 0;
	int got = 0;
	char type;

	while (!op->dead && (got = frame_get(in, &type, &payload, &used)) > 0) {
		if (type == 'I')
			input(op, payload);
		else if (type == 'S')
			on_size(op, payload);
		else if (type == 'F')
			on_file(op, payload);
		else if (type == 'K' && op->untaken && --op->untaken == 0 && !frame_waits(op))
			frame_left(op);
		in.p += used;
		in.n -= used;
		taken += used;
	}
	buf_shift(&op->in, taken);
	return got >= 0 && op->in.n < IN_MAX;
}

static void on_readable(struct ev_loop *l, ev_io *w, int events)
{
	struct oper *op = w->data;
	char chunk[READ_CHUNK];
	ssize_t n = recv(op->fd, chunk, sizeof chunk, MSG_DONTWAIT);

	(void)l;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0 || !buf_add(&op->in, chunk, (size_t)n) || !take_frames(op))
		hang_up(op);
}

/* ---- coming and going ---- */

static void copy_str(const json_t *o, const char *key, char *out, size_t cap)
{
	const char *s = json_string_value(json_object_get(o, key));

	snprintf(out, cap, "%s", s ? s : "");
}

static void take_hello(struct oper *op, struct str hello)
{
	json_t *o = json_loadb(hello.p, hello.n, 0, NULL);
	const char *zone = json_string_value(json_object_get(o, "tz"));
	const struct conf *conf = op->console->conf;

	copy_str(o, "term", op->term, sizeof op->term);
	copy_str(o, "tty", op->tty, sizeof op->tty);
	op->rows = clamp(json_integer_value(json_object_get(o, "rows")), 0, ROWS_MAX);
	op->cols = clamp(json_integer_value(json_object_get(o, "columns")), 0, COLS_MAX);
	if (op->rows < SMALL_ROWS || op->cols < SMALL_COLS) {
		op->rows = 24;
		op->cols = 80;
	}
	op->utf8 = json_is_true(json_object_get(o, "utf8"));
	op->confirms = json_is_true(json_object_get(o, "confirms"));
	op->plain = op->cooked = json_is_true(json_object_get(o, "plain"));
	op->mono = json_is_true(json_object_get(o, "no_color"));
	if (json_is_true(json_object_get(o, "read_only")) && op->role > ROLE_READ)
		op->role = ROLE_READ;
	if (conf && conf->console.time_zone && strcmp(conf->console.time_zone, "local") != 0)
		zone = conf->console.time_zone;
	if (zone)
		tz_load(str_of(zone), &op->tz); /* unknown here: the machine's */
	json_decref(o);
}

static void choose_theme(struct oper *op)
{
	const struct console *c = op->console;
	const struct user_prefs *p = console_prefs_of(op->console, op->user);
	const char *name = p && p->theme[0]		       ? p->theme
			   : c->conf && c->conf->console.theme ? c->conf->console.theme
							       : "dark";

	op->theme = themes_find(c->themes, str_of(name));
	if (!op->theme)
		op->theme = themes_find(c->themes, STR_LIT("dark"));
	op->depth = op->mono ? DEPTH_MONO : DEPTH_256;
}

static void start_lines(struct oper *op)
{
	op->plain = true;
	op->lines = plain_new(op);
	if (op->lines)
		plain_start(op->lines);
}

/* Views, ncurses' terminal, its size and the first frame are a pass each: all their pages are new,
 * and together they were 7 ms of CPU. */
static void start(struct oper *op)
{
	op->canvas.ascii = !op->utf8;
	if (!op->plain && !op->screen) {
		op->screen = screen_new(op->term, &op->depth);
		if (op->screen) {
			in_next_pass(op);
			return;
		}
	}
	op->started = true;
	if (op->screen && screen_resize(op->screen, op->rows, op->cols) &&
	    canvas_resize(&op->canvas, op->rows, op->cols))
		operator_frame_out(op, 'T', STR_LIT(PASTE_BRACKETS));
	else
		start_lines(op);
	if (op->dead)
		return;
	ev_io_start(loop_ev(op->console->loop), &op->reader);
	if (!op->plain)
		in_next_pass(op);
}

/* After a break the terminal may have been anybody's: all that was ever set is set again. */
void operator_redraw(struct oper *op)
{
	if (op->plain)
		return;
	screen_redraw(op->screen);
	operator_frame_out(op, 'T', STR_LIT(PASTE_BRACKETS));
	operator_dirty(op, true);
}

void operator_go_plain(struct oper *op)
{
	struct buf b;

	if (op->plain)
		return;
	op->lines = plain_new(op);
	if (!op->lines) {
		operator_echo(op, STYLE_ERROR, "no memory for lines");
		return;
	}
	buf_init(&b);
	buf_addz(&b, "\x1b[?2004l");
	screen_end(op->screen, &b);
	operator_frame_out(op, 'T', buf_str(&b));
	buf_free(&b);
	op->plain = true;
	plain_start(op->lines);
}

struct oper *operator_new(struct console *c, int fd, struct str user, enum role role,
			  struct str hello)
{
	struct oper *op = calloc(1, sizeof *op);

	if (!op)
		return NULL;
	op->magic = OPERATOR_MAGIC;
	op->id = ++c->next_operator;
	op->console = c;
	op->fd = fd;
	op->role = role;
	snprintf(op->user, sizeof op->user, "%.*s", (int)user.n, user.p);
	buf_init(&op->in);
	buf_init(&op->out);
	canvas_init(&op->canvas);
	keys_init(&op->keys);
	timer_init(&op->key_timer, on_key_timer, op);
	timer_init(&op->frame_timer, on_frame_timer, op);
	timer_init(&op->poll_timer, on_poll_timer, op);
	ev_io_init(&op->reader, on_readable, fd, EV_READ);
	ev_io_init(&op->writer, on_writable, fd, EV_WRITE);
	op->reader.data = op->writer.data = op;
	take_hello(op, hello);
	choose_theme(op);
	operator_go(op, ROOT_QUEUES);
	if (op->plain)
		start(op);
	else
		in_next_pass(op);
	timer_set(c->loop, &op->poll_timer, console_now(c) + refresh(op));
	return op;
}

void operator_leave(struct oper *op, int exit, const char *why)
{
	struct buf b;

	if (op->dead || op->leaving)
		return;
	op->leaving = true;
	buf_init(&b);
	if (op->screen) {
		buf_addz(&b, "\x1b[?2004l");
		screen_end(op->screen, &b);
		frame_put(&op->out, 'T', buf_str(&b));
	}
	buf_clear(&b);
	buf_addc(&b, (char)exit);
	buf_addz(&b, why);
	operator_frame_out(op, 'X', buf_str(&b));
	buf_free(&b);
}

void operator_free(struct oper *op)
{
	OBJ_CHECK(op, OPERATOR_MAGIC);
	hang_up(op);
	op->magic = 0;
	operator_free_views(op);
	prompt_close(op);
	box_close(op);
	plain_free(op->lines);
	screen_free(op->screen);
	canvas_free(&op->canvas);
	tz_free(op->tz);
	buf_free(&op->in);
	buf_free(&op->out);
	free(op);
}

void operator_echo(struct oper *op, enum style style, const char *fmt, ...)
{
	us_t now = console_now(op->console);
	va_list ap;

	op->echo = (struct echo){ .style = style, .since = now, .until = now + ECHO_US };
	va_start(ap, fmt);
	vsnprintf(op->echo.text, sizeof op->echo.text, fmt, ap);
	va_end(ap);
	if (op->plain && op->lines)
		plain_say(op->lines, op->echo.text);
	operator_dirty(op, true);
}

bool operator_may_act(struct oper *op)
{
	if (op->role >= ROLE_OPERATE)
		return true;
	operator_echo(op, STYLE_ERROR,
		      "read only: %s may look, not act here (attach --read-only, or [console] "
		      "operate, admin)",
		      op->user);
	return false;
}
