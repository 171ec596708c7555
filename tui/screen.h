/* The one file that knows curses. A screen is an ncurses SCREEN on a memory file: a canvas goes in,
 * the bytes that bring the operator's terminal up to date come out. Nothing here reads or writes a
 * terminal. Console thread only (one SCREEN is current at a time). */
#ifndef STOKER_TUI_SCREEN_H
#define STOKER_TUI_SCREEN_H

#include "tui/theme.h"

struct screen;
/* TERM by name, else a fallback by name; NULL: this terminal can't place a cursor (then plain lines
 * are the way). The depth is lowered to what the terminal can. As large as its terminfo entry says:
 * screen_resize is next, and costs as much again. */
struct screen *screen_new(const char *term, enum depth *depth);
void screen_free(struct screen *s);
bool screen_resize(struct screen *s, int rows, int cols);
/* The next frame draws everything anew. */
void screen_redraw(struct screen *s);
/* Appends the bytes of one frame; none if nothing changed. False if the memory file failed. */
bool screen_draw(struct screen *s, const struct canvas *c, const struct theme *t, enum depth depth,
		 struct buf *out);
/* Appends what puts the terminal back. */
void screen_end(struct screen *s, struct buf *out);

#endif
