/* An operator at a terminal, for tests: types, takes frames off the socket, moves the clock. The
 * loop's timers do not run: time is the test's. */
#ifndef STOKER_TESTS_TUI_DRIVE_H
#define STOKER_TESTS_TUI_DRIVE_H

#include <fcntl.h>
#include <poll.h>

#include "tests/unit/tui/fake.h"

struct seat {
	struct fake *f;
	struct oper *op;
	int fd;		       /* the client's end */
	struct buf in, screen; /* frames; bytes for the terminal */
	int frames;	       /* of type T */
	bool left;
	bool confirms; /* says of each frame that the terminal has taken it */
	char goodbye[200];
};

static inline void seat_spin(struct seat *s)
{
	for (int i = 0; i < 4; i++)
		ev_run(loop_ev(s->f->loop), EVRUN_NOWAIT);
}

static inline void seat_read(struct seat *s)
{
	char chunk[65536], type;
	struct str payload;
	size_t used;
	ssize_t n;

	while ((n = recv(s->fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0)
		buf_add(&s->in, chunk, (size_t)n);
	while (frame_get(buf_str(&s->in), &type, &payload, &used) > 0) {
		if (type == 'T') {
			s->frames++;
			buf_adds(&s->screen, payload);
		}
		if (type == 'X') {
			s->left = true;
			snprintf(s->goodbye, sizeof s->goodbye, "%.*s", (int)payload.n - 1,
				 payload.p + 1);
		}
		buf_shift(&s->in, used);
		if (type == 'T' && s->confirms && write(s->fd, "K\0\0\0\0", FRAME_HEADER) < 0)
			abort();
	}
}

static inline void fire(struct timer *t, us_t now)
{
	if (t->due && t->due <= now) {
		t->due = 0;
		t->fn(t, t->arg);
	}
}

/* Lets time pass in small steps: timers, answers, frames. */
static inline void seat_wait(struct seat *s, us_t span)
{
	for (us_t t = 0; t < span; t += 10 * US_PER_MS) {
		fake_clock(s->f, 10 * US_PER_MS);
		seat_spin(s);
		if (s->op->dead)
			break;
		fire(&s->op->key_timer, s->f->now);
		fire(&s->op->poll_timer, s->f->now);
		fake_pump(s->f);
		fire(&s->op->frame_timer, s->f->now);
		seat_spin(s);
		if (s->confirms)
			seat_read(s);
	}
	seat_read(s);
}

static inline void seat_send(struct seat *s, char type, struct str text)
{
	struct buf b;

	buf_init(&b);
	frame_put(&b, type, text);
	if (write(s->fd, b.p, b.n) != (ssize_t)b.n)
		abort();
	buf_free(&b);
	seat_spin(s);
}

/* Types at once: no frame between these keys and what is on the screen now. */
static inline void seat_type(struct seat *s, const char *keys)
{
	seat_send(s, 'I', str_of(keys));
	fake_pump(s->f);
}

/* Types and waits for the answer's frame. */
static inline void seat_key(struct seat *s, const char *keys)
{
	seat_type(s, keys);
	seat_wait(s, 100 * US_PER_MS);
}

static inline void seat_open(struct seat *s, struct fake *f, int rows, int cols, const char *more)
{
	char hello[256];
	int pair[2];

	*s = (struct seat){ .f = f };
	buf_init(&s->in);
	buf_init(&s->screen);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
		abort();
	s->fd = pair[1];
	snprintf(hello, sizeof hello,
		 "{\"term\":\"xterm-256color\",\"rows\":%d,\"columns\":%d,\"tz\":\"utc\"%s}", rows,
		 cols, more);
	console_attach(f->console, pair[0], STR_LIT("op1"), ROLE_ADMIN, str_of(hello));
	s->op = f->console->ops[f->console->nops - 1];
	fake_pump(f);
	seat_wait(s, 600 * US_PER_MS);
}

static inline void seat_close(struct seat *s)
{
	close(s->fd);
	buf_free(&s->in);
	buf_free(&s->screen);
}

/* Row y as text. */
static inline char *seat_row(struct seat *s, int y)
{
	static char text[4096];
	struct buf b;
	struct str rest, line = { "", 0 };

	buf_init(&b);
	canvas_dump(&s->op->canvas, &b);
	rest = buf_str(&b);
	for (int i = 0; i <= y; i++)
		str_split(&rest, '\n', &line);
	snprintf(text, sizeof text, "%.*s", (int)line.n, line.p);
	buf_free(&b);
	return text;
}

static inline bool seat_shows(struct seat *s, const char *what)
{
	struct buf b;
	bool found;

	buf_init(&b);
	canvas_dump(&s->op->canvas, &b);
	found = strstr(buf_z(&b), what) != NULL;
	buf_free(&b);
	return found;
}

static inline const char *last_command(struct fake *f)
{
	return f->ncommands ? f->commands[f->ncommands - 1] : "";
}

#endif
