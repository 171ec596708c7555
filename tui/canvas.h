/* A rectangle of cells: what a frame is before curses sees it. Every text that is put here passes
 * the one sanitiser (core/base/clean.h), is clipped by columns and carries a role (enum style),
 * never a colour: themes give those. Golden tests read canvases. Owned by one operator; console
 * thread. */
#ifndef STOKER_TUI_CANVAS_H
#define STOKER_TUI_CANVAS_H

#include "core/base/buf.h"

enum style { /* roles; theme.c has their names in the same order */
	     STYLE_TEXT,
	     STYLE_DIM,
	     STYLE_STRONG,
	     STYLE_BAR, /* the header's lines */
	     STYLE_HOST,
	     STYLE_LABEL, /* PROD; red, or as [console] label-color says: */
	     STYLE_LABEL_GREEN,
	     STYLE_LABEL_YELLOW,
	     STYLE_LABEL_BLUE,
	     STYLE_LABEL_CYAN,
	     STYLE_LABEL_MAGENTA,
	     STYLE_LABEL_WHITE,
	     STYLE_BAR_DIM, /* words between the numbers of the header */
	     STYLE_BAR_GOOD,
	     STYLE_BAR_WARN,
	     STYLE_BAR_BAD,
	     STYLE_TITLE,   /* where one is */
	     STYLE_HEADING, /* of columns */
	     STYLE_SORTED,  /* the heading that sorts */
	     STYLE_PANE,    /* heading of a pane */
	     STYLE_PANE_ON, /* of the pane that has the keys */
	     STYLE_OK,
	     STYLE_BACK,
	     STYLE_REST,
	     STYLE_PAUSED,
	     STYLE_WARM,
	     STYLE_DISABLED,
	     STYLE_DOWN,
	     STYLE_IDLE,
	     STYLE_TREND,
	     STYLE_ECHO,
	     STYLE_GOOD,
	     STYLE_ERROR,
	     STYLE_KEY,	     /* a key in the key bar */
	     STYLE_KEY_TEXT, /* what it does */
	     STYLE_KEY_ON,   /* the view one is in */
	     STYLE_INPUT,
	     STYLE_BOX,
	     STYLE_BOX_TITLE,
	     STYLE_BOX_DIM,
	     STYLE_BOX_FIELD,
	     STYLE_BOX_HINT, /* in an empty field */
	     STYLE_BOX_BAD,
	     STYLE_MATCH,  /* what a search found */
	     STYLE_CURSOR, /* overlay */
	     STYLE_TAGGED, /* overlay */
	     STYLE_COUNT
};

struct cell {
	uint32_t rune;
	uint32_t mark; /* a combining character on it, or 0 */
	uint8_t style; /* enum style */
	uint8_t over;  /* STYLE_CURSOR, STYLE_TAGGED or 0 */
	uint8_t wide;  /* columns: 1 or 2; 0: the right half of its left neighbour */
	uint8_t pad;
};
struct canvas {
	int rows, cols;
	bool ascii;
	int cursor_y, cursor_x; /* the terminal's cursor; y < 0: hidden */
	struct cell *cells;
};
struct area {
	int y, x, h, w;
};

void canvas_init(struct canvas *c);
void canvas_free(struct canvas *c);
/* False without memory; then the canvas is as before. Contents are blank afterwards. */
bool canvas_resize(struct canvas *c, int rows, int cols);
void canvas_clear(struct canvas *c);
/* Writes at most w columns of `text`; returns the columns used. What lies outside is dropped. */
int canvas_text(struct canvas *c, int y, int x, int w, enum style style, struct str text);
int canvas_z(struct canvas *c, int y, int x, int w, enum style style, const char *text);
int canvas_fmt(struct canvas *c, int y, int x, int w, enum style style, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* The same, aligned to the right end of [x, x + w). */
void canvas_right(struct canvas *c, int y, int x, int w, enum style style, struct str text);
/* One of our own glyphs: `rune`, or `ascii` where the terminal has no UTF-8. */
void canvas_glyph(struct canvas *c, int y, int x, enum style style, uint32_t rune, char ascii);
void canvas_fill(struct canvas *c, struct area a, enum style style);
void canvas_style(struct canvas *c, int y, int x, int w, enum style style);
void canvas_over(struct canvas *c, int y, int x, int w, enum style over);
/* A frame with a blank inside. */
void canvas_frame(struct canvas *c, struct area a, enum style style);
/* A curve of n values, each against the highest (or `top`, if larger). What is not zero shows. */
void canvas_spark(struct canvas *c, int y, int x, enum style style, const float *v, int n,
		  float top);
/* Appends a code point as UTF-8. */
void rune_put(struct buf *out, uint32_t rune);
/* The canvas as text, a line a row, right blanks cut. */
void canvas_dump(const struct canvas *c, struct buf *out);

#endif
