/* A line made of pieces that goes on making sense when the terminal is narrow: pieces with the
 * highest drop number go first. Header, title, echo and key bar are such lines. Console thread. */
#ifndef STOKER_TUI_SEGS_H
#define STOKER_TUI_SEGS_H

#include "tui/canvas.h"

enum { SEGS_MAX = 40, SEG_TEXT = 256 };
struct seg {
	enum style style;
	int drop;   /* 0: never; then it is clipped */
	bool right; /* stands at the right end */
	bool glued; /* no gap before it */
	char text[SEG_TEXT];
};
struct segs {
	int n;
	struct seg v[SEGS_MAX];
};
void segs_start(struct segs *s);
void segs_add(struct segs *s, enum style style, int drop, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Without a gap before it; it shares the fate of the piece that it is glued to if `drop` is the
 * same. */
void segs_glue(struct segs *s, enum style style, int drop, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void segs_right(struct segs *s, enum style style, int drop, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Draws into [x, x + w) of row y with `gap` blanks between pieces. */
void segs_draw(const struct segs *s, struct canvas *c, int y, int x, int w, int gap);

#endif
