/* A list on the screen: a page of rows, a cursor that is a row's identity and never a line number,
 * tags, sort and filter. What an act hits is what the last frame showed: a newer page waits in
 * `next` until a frame is drawn from it, and no frame is drawn while the terminal has not taken the
 * last one. A row that came under the cursor in a way that the operator may not have seen (rows
 * moved while his key was on its way; by itself, since he stays at the top; from beyond the screen)
 * is not acted on until a frame has marked it for a moment. Columns, widths and drop order are
 * core/control's tables of fields. Console thread. */
#ifndef STOKER_TUI_TABLE_H
#define STOKER_TUI_TABLE_H

#include "core/control/control.h"
#include "tui/canvas.h"
#include "tui/tz.h"

#define TABLE_HOLD_US  (3 * US_PER_S)	 /* the order is held after the cursor moved */
#define TABLE_FRESH_US (300 * US_PER_MS) /* what the terminal shows for less was not read yet */

enum {
	TABLE_MARK = 2, /* columns for > and * */
	TABLE_NAME = 320,
	TABLE_COLUMNS = 64,
	TABLE_SORT = 48,
	TABLE_FILTER = 256,
	TABLE_TAGS_MAX = 1000,
	TABLE_LIMIT_MAX = 400
};

struct tag {
	uint64_t id;
	char *name;
};
struct table {
	enum list_id list;
	uint64_t site, vmta; /* only rows of these */
	struct page *page;   /* what frames are drawn from */
	struct page *next;   /* newer */
	uint64_t cursor;     /* row id; 0: none yet */
	char cursor_name[TABLE_NAME];
	int cursor_at;	   /* its place in the whole list when last seen */
	bool gone;	   /* the cursor's row is no longer there */
	bool moved;	   /* by the operator; else the cursor stays on the first row */
	bool unseen;	   /* the row came under it unseen: not to be acted on before it is read */
	us_t marked_since; /* the terminal shows this row marked; 0: no frame did yet */
	us_t order_since;  /* and the lines in this order; 0: no frame did yet */
	bool away;	   /* another view stood here; no frame shows this one again yet */
	uint64_t drawn;	   /* the row that the last frame marks */
	uint32_t serial;   /* of the question: a page of another sort or filter is dropped */
	int top;	   /* place of the first line */
	int visible;	   /* lines of the last frame */
	bool to_end;	   /* the cursor goes to the last row of the next page */
	us_t held_until;
	uint64_t hidden; /* bit i: field i is not shown */
	char sort[TABLE_SORT], filter[TABLE_FILTER];
	struct tag *tags;
	int ntags;
};
/* What an act hits. The row belongs to the page and lives until the next frame. */
struct hit_row {
	uint64_t id;
	struct str name;
	const struct row *row; /* NULL: tagged, but not on this page */
};

void table_init_view(struct table *t, enum list_id list);
void table_free_view(struct table *t);
/* Fills in the question for the rows that the next frames need. */
void table_ask(struct table *t, struct link_request *r);
/* Takes over the answer's page; true if a frame should follow. */
void table_answer(struct table *t, struct page *p);
/* Brings the newest page to the screen: only while a frame is drawn, since acts hit what it shows.
 */
void table_adopt(struct table *t, us_t now);
/* Adopts, then draws heading and rows. */
void table_draw(struct table *t, struct canvas *c, struct area a, us_t now, const struct tz *tz,
		bool focused);
/* Moves the cursor by rows, within what the last frame showed and its margins. */
void table_move(struct table *t, int rows, us_t now);
void table_home(struct table *t, us_t now);
void table_end(struct table *t, us_t now);
bool table_held(const struct table *t, us_t now);
/* The terminal has taken the frame that was drawn last. */
void table_frame_left(struct table *t, us_t now);
/* Another view stood here meanwhile. */
void table_left(struct table *t);
/* May the cursor's row be acted on: has the operator had time to see it marked? */
bool table_seen(const struct table *t, us_t now);
/* The cursor's row; NULL if there is none or it is gone. */
const struct row *table_row(const struct table *t);
bool table_find(const struct table *t, uint64_t id, int *index);

void table_tag(struct table *t);
void table_tag_page(struct table *t); /* what the filter shows, up to what is loaded */
void table_untag(struct table *t);
bool table_tagged(const struct table *t, uint64_t id);
/* Sort by the column to the left (-1) or right (1); at the end it inverts. */
void table_sort_step(struct table *t, int direction, int width);
/* By name; the same again inverts. False if there is no such field. */
bool table_sort_by(struct table *t, struct str field);
void table_set_filter(struct table *t, struct str filter);
/* A row as a line: the cursor's first column for those who can't see columns. */
void table_cell(const struct field *f, const struct row *r, us_t now, const struct tz *tz,
		struct buf *out);
enum style state_style(int state);

/* Which columns fit: widths by index of field, 0 for those left out. The first column is the name:
 * it takes no more than `longest` (0: its full width). Returns the columns used. */
int table_layout(const struct field *f, int n, uint64_t hidden, int width, int longest,
		 int *widths);

#endif
