/* The console thread: every attached operator's screen (CONSOLE.md). It never writes to a terminal:
 * each operator's SCREEN is drawn into a memfd and the bytes go over the operator's socket without
 * blocking; while bytes of the last frame wait, no new frame is drawn.
 *
 * Rows, pages, command results come from the control thread as link answers. Everything here runs
 * on the console's loop. Only tui/screen.c includes curses. */
#ifndef STOKER_TUI_CONSOLE_H
#define STOKER_TUI_CONSOLE_H

#include "conf/conf.h"
#include "core/control/control.h"
#include "core/net/loop.h"

struct console_env {
	void *arg;
	void (*request)(void *arg,
			struct link_request *r); /* takes over; answered by console_answer */
	/* Per-user preferences (theme, columns, sort, history), stored in the state environment.
	 * Both optional. */
	void (*save_prefs)(void *arg, struct str user, struct str json);
	const char *themes_dir;
};
struct console;
struct console *console_new(struct loop *l, const struct console_env *env, struct conf *c);
void console_free(struct console *c); /* says goodbye to all operators */
void console_conf(struct console *c, struct conf *conf);
/* A client's socket after its hello (JSON: term, rows, columns, utf8, plain, read_only, no_color,
 * tty). Owns fd. */
void console_attach(struct console *c, int fd, struct str user, enum role role, struct str hello);
void console_answer(struct console *c, struct link_answer *a); /* takes over */
void console_echo(struct console *c, struct rstr *text);       /* takes over */
/* The header's facts, four times a second. Takes over the reference on status. */
void console_header(struct console *c, const struct sched_totals *t, struct rstr *status_json);
/* Preferences as env.save_prefs was once given them; before that user attaches. */
void console_prefs(struct console *c, struct str user, struct str json);
int console_operators(const struct console *c);
/* Frames drawn since the start, and the CPU time of the costliest. Any thread (atomics). */
struct console_stats {
	uint64_t frames;
	us_t cpu_max_us;
};
void console_stats(const struct console *c, struct console_stats *out);

#endif
