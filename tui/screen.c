#include "tui/screen.h"

#include <curses.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <term.h>
#include <unistd.h>

#undef lines
#undef columns

enum { PAIRS_MAX = 255 }; /* COLOR_PAIR(300) silently becomes 44 */

struct screen {
	struct screen *next; /* in all_screens */
	SCREEN *sp;
	FILE *file;
	int fd;
	int rows, cols;
	bool colors;
	bool fresh; /* nothing of `last` counts */
	struct canvas last;
	const struct theme *theme;
	struct {
		int16_t fg, bg;
	} pairs[PAIRS_MAX + 1];
	int npairs;
};
/* Every operator's; the console thread's. */
static struct screen *all_screens;

static const int caught[] = { SIGINT, SIGTERM, SIGTSTP, SIGWINCH };
enum { CAUGHT = sizeof caught / sizeof caught[0] };

/* newterm installs handlers where signals are at their default, and that of TERM calls _exit: put
 * them back. */
static SCREEN *newterm_quietly(const char *term, FILE *f)
{
	struct sigaction was[CAUGHT];
	SCREEN *sp;

	for (int i = 0; i < CAUGHT; i++)
		sigaction(caught[i], NULL, &was[i]);
	sp = newterm(term, f, f);
	for (int i = 0; i < CAUGHT; i++)
		sigaction(caught[i], &was[i], NULL);
	return sp;
}

/* Can it place the cursor and clear? */
static bool usable(SCREEN *sp)
{
	char cup[] = "cup", clear_name[] = "clear";
	const char *a, *b;

	set_term(sp);
	a = tigetstr(cup);
	b = tigetstr(clear_name);
	return a && a != (const char *)-1 && b && b != (const char *)-1;
}

static bool term_ok(const char *term)
{
	size_t n = strlen(term);

	return n > 0 && n <= 64 &&
	       strspn(term, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+_-") ==
		   n &&
	       term[0] != '.';
}

/* newterm leaks when it fails, and TERM comes from outside: look before. */
static bool term_known(const char *term)
{
	static const char *const dirs[] = { "/etc/terminfo", "/lib/terminfo", "/usr/lib/terminfo",
					    "/usr/share/terminfo" };
	char path[128];

	for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
		snprintf(path, sizeof path, "%s/%c/%s", dirs[i], term[0], term);
		if (access(path, R_OK) == 0)
			return true;
	}
	return false;
}

static SCREEN *open_term(const char *term, FILE *f)
{
	static const char *const fallbacks[] = { "xterm-256color", "xterm", "vt100" };
	/* These say themselves that they can't: no fallback makes them a screen. */
	static const char *const lines_only[] = { "dumb", "unknown", "emacs" };
	SCREEN *sp;

	if (!term_ok(term))
		term = "xterm";
	for (size_t i = 0; i < sizeof lines_only / sizeof lines_only[0]; i++)
		if (strcmp(term, lines_only[i]) == 0)
			return NULL;
	sp = term_known(term) ? newterm_quietly(term, f) : NULL;
	if (sp && usable(sp))
		return sp;
	if (sp)
		delscreen(sp);
	else
		for (size_t i = 0; i < sizeof fallbacks / sizeof fallbacks[0]; i++) {
			sp = term_known(fallbacks[i]) ? newterm_quietly(fallbacks[i], f) : NULL;
			if (sp)
				return sp;
		}
	return NULL;
}

static void start_colors(struct screen *s, enum depth *depth)
{
	s->colors = false;
	if (*depth == DEPTH_MONO)
		return;
	if (!has_colors() || start_color() == ERR || COLORS < 8) {
		*depth = DEPTH_MONO;
		return;
	}
	use_default_colors();
	s->colors = true;
	if (COLORS < 256)
		*depth = DEPTH_16;
}

static bool take_bytes(struct screen *s, struct buf *out)
{
	char chunk[8192];
	off_t at = 0;
	ssize_t n;

	fflush(s->file);
	while ((n = pread(s->fd, chunk, sizeof chunk, at)) > 0) {
		buf_add(out, chunk, (size_t)n);
		at += n;
	}
	if (n < 0 || ftruncate(s->fd, 0) < 0 || lseek(s->fd, 0, SEEK_SET) < 0)
		return false;
	return !buf_failed(out);
}

struct screen *screen_new(const char *term, enum depth *depth)
{
	struct screen *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->fresh = true;
	canvas_init(&s->last);
	s->fd = memfd_create("stoker-screen", MFD_CLOEXEC);
	s->file = s->fd >= 0 ? fdopen(s->fd, "w+") : NULL;
	if (!s->file) {
		if (s->fd >= 0)
			close(s->fd);
		free(s);
		return NULL;
	}
	use_env(FALSE);
	s->sp = open_term(term, s->file);
	if (!s->sp) {
		fclose(s->file);
		free(s);
		return NULL;
	}
	set_term(s->sp);
	start_colors(s, depth);
	nonl();
	scrollok(stdscr, FALSE);
	idlok(stdscr, FALSE);
	curs_set(0);
	s->rows = LINES;
	s->cols = COLS;
	s->next = all_screens;
	all_screens = s;
	return s;
}

void screen_free(struct screen *s)
{
	if (!s)
		return;
	for (struct screen **at = &all_screens; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	set_term(s->sp);
	endwin();
	delscreen(s->sp);
	fclose(s->file);
	canvas_free(&s->last);
	free(s);
}

/* resizeterm walks one list of windows, which all SCREENs share, so it has just given the others'
 * windows this size as well; a refresh would then read lines that they no longer have. Each gets
 * its own size back. */
static void restore_others(const struct screen *resized)
{
	for (struct screen *o = all_screens; o; o = o->next) {
		if (o == resized)
			continue;
		set_term(o->sp);
		if (getmaxy(stdscr) == o->rows && getmaxx(stdscr) == o->cols &&
		    getmaxy(curscr) == o->rows && getmaxx(curscr) == o->cols &&
		    getmaxy(newscr) == o->rows && getmaxx(newscr) == o->cols)
			continue;
		wresize(curscr, o->rows, o->cols);
		wresize(newscr, o->rows, o->cols);
		wresize(stdscr, o->rows, o->cols);
		clearok(curscr, TRUE);
		o->fresh = true;
	}
}

bool screen_resize(struct screen *s, int rows, int cols)
{
	bool ok;

	set_term(s->sp);
	ok = resizeterm(rows, cols) != ERR;
	if (ok) {
		s->rows = rows;
		s->cols = cols;
		s->fresh = true;
		clearok(curscr, TRUE);
	}
	restore_others(s);
	set_term(s->sp);
	return ok;
}

void screen_redraw(struct screen *s)
{
	struct buf dropped;

	set_term(s->sp);
	s->fresh = true;
	/* As after a break: the next refresh enters the screen again. What leaves it is not sent.
	 */
	buf_init(&dropped);
	endwin();
	take_bytes(s, &dropped);
	buf_free(&dropped);
	clearok(curscr, TRUE);
}

/* Colours above what this terminal has; the bright eight of a terminal with eight become bold. */
static int16_t color_here(int16_t color, attr_t *attrs)
{
	if (color < COLORS || color < 0)
		return color < 0 ? -1 : color;
	if (color < 16) {
		*attrs |= A_BOLD;
		return (int16_t)(color - 8);
	}
	return -1;
}

static short pair_of(struct screen *s, int16_t fg, int16_t bg)
{
	if (!s->colors || (fg < 0 && bg < 0))
		return 0;
	for (int i = 1; i <= s->npairs; i++)
		if (s->pairs[i].fg == fg && s->pairs[i].bg == bg)
			return (short)i;
	if (s->npairs >= PAIRS_MAX || s->npairs + 1 >= COLOR_PAIRS)
		return 0;
	s->npairs++;
	s->pairs[s->npairs].fg = fg;
	s->pairs[s->npairs].bg = bg;
	init_pair((short)s->npairs, fg, bg);
	return (short)s->npairs;
}

static void put_cell(struct screen *s, const struct cell *p, int y, int x, const struct theme *t,
		     enum depth depth)
{
	struct look l = theme_look(t, depth, (enum style)p->style, (enum style)p->over);
	wchar_t text[3] = { (wchar_t)p->rune, (wchar_t)p->mark, 0 };
	attr_t attrs = A_NORMAL;
	int16_t fg, bg;
	cchar_t cc;

	attrs |= (l.attrs & LOOK_BOLD) ? A_BOLD : 0;
	attrs |= (l.attrs & LOOK_DIM) ? A_DIM : 0;
	attrs |= (l.attrs & LOOK_UNDERLINE) ? A_UNDERLINE : 0;
	attrs |= (l.attrs & LOOK_REVERSE) ? A_REVERSE : 0;
	fg = s->colors ? color_here(l.fg, &attrs) : -1;
	bg = s->colors ? color_here(l.bg, &attrs) : -1;
	setcchar(&cc, text, attrs, pair_of(s, fg, bg), NULL);
	mvadd_wch(y, x, &cc);
}

/* Rows that are as they were are not given to curses again: most of a frame. */
static void put_rows(struct screen *s, const struct canvas *c, const struct theme *t,
		     enum depth depth)
{
	bool all = s->fresh || s->theme != t || s->last.rows != c->rows || s->last.cols != c->cols;
	size_t row_bytes = (size_t)c->cols * sizeof(struct cell);

	for (int y = 0; y < c->rows && y < s->rows; y++) {
		const struct cell *row = &c->cells[y * c->cols];
		if (!all && memcmp(row, &s->last.cells[y * c->cols], row_bytes) == 0)
			continue;
		for (int x = 0; x < c->cols && x < s->cols; x++)
			if (row[x].wide)
				put_cell(s, &row[x], y, x, t, depth);
	}
	if (canvas_resize(&s->last, c->rows, c->cols))
		memcpy(s->last.cells, c->cells, row_bytes * (size_t)c->rows);
	s->fresh = false;
	s->theme = t;
}

bool screen_draw(struct screen *s, const struct canvas *c, const struct theme *t, enum depth depth,
		 struct buf *out)
{
	set_term(s->sp);
	put_rows(s, c, t, depth);
	if (c->cursor_y >= 0) {
		curs_set(1);
		move(c->cursor_y, c->cursor_x);
	} else {
		curs_set(0);
		move(s->rows - 1, s->cols - 1); /* where it would stand anyway */
	}
	refresh();
	return take_bytes(s, out);
}

void screen_end(struct screen *s, struct buf *out)
{
	set_term(s->sp);
	curs_set(1);
	endwin();
	take_bytes(s, out);
}
