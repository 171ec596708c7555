/* Boxes: confirm, rate, typed number. A box is state, drawn over the view; keys within 300 ms after
 * its first frame has left are dropped, so that nobody confirms what he has not seen. Enter means
 * No unless the box says otherwise. Console thread. */
#ifndef STOKER_TUI_BOX_H
#define STOKER_TUI_BOX_H

#include "tui/prompt.h"

enum box_kind {
	BOX_NONE,
	BOX_CONFIRM, /* y or N; with expiry and reason as fields */
	BOX_TYPED,   /* a number or name must be typed */
	BOX_RATE,    /* rate and connections; Tab: together or each lane */
	BOX_AMEND,   /* expiry and reason of an override */
	BOX_CHOICE,  /* D: d delete, b bounce */
	BOX_ROUTE,   /* v: where to */
	BOX_SHOW,    /* words to read; any of y, N */
};
enum { BOX_LINES = 16, BOX_LINE = 160, BOX_FIELDS = 3, BOX_TARGETS_MAX = 1000 };

struct box_field {
	const char *label;
	const char *hint; /* behind it, while it is empty */
	struct edit edit;
};
struct box {
	enum box_kind kind;
	char title[160];
	char lines[BOX_LINES][BOX_LINE];
	bool line_bad[BOX_LINES];
	int nlines;
	struct box_field fields[BOX_FIELDS];
	int nfields, field; /* field = nfields: the y/N line */
	char note[200];	    /* below: what is wrong with what was typed */
	bool note_bad;
	char verb[32];	/* "pause" */
	char rest[256]; /* behind the target */
	char **targets;
	int ntargets;
	bool each;		  /* BOX_RATE */
	bool lane;		  /* BOX_RATE on a lane: no together */
	double queued, lane_rate; /* BOX_RATE: for the ETA; recipients, and lanes that share */
	int lanes;
	double limit; /* BOX_RATE: a second, what binds now by rate; 0: nothing does */
	char limit_text[128];
	char expect[64];	   /* BOX_TYPED: what must be typed */
	char command[PROMPT_TEXT]; /* what then runs; BOX_CONFIRM: as it was typed */
	uint64_t frame;		   /* the operator's frame that showed it first; 0: none yet */
	us_t left_at;		   /* when that frame had left; 0: not yet */
};
struct oper;
struct box *box_open(struct oper *op, enum box_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void box_line(struct box *b, bool bad, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void box_field(struct box *b, const char *label, const char *hint, const char *text);
/* Copies a target for the act that follows. */
void box_target(struct box *b, const char *target);
void box_close(struct oper *op);
void box_key(struct oper *op, struct key_event k);
void box_draw(struct oper *op, struct canvas *c, struct area room);
/* Called when a frame's last byte was written. */
void box_frame_left(struct oper *op, us_t now);

#endif
