/* What the files of the log's view share; nobody else includes this. Console thread. */
#ifndef STOKER_TUI_VIEW_LOG_INNER_H
#define STOKER_TUI_VIEW_LOG_INNER_H

#include "tui/log_entry.h"
#include "tui/operator.h"

struct view_log {
	struct view view;
	char filter[VIEW_LOG_FILTER];
	char of[TABLE_NAME]; /* in place of a long filter: "mail of yahoo" */
	struct log_entry *v;
	int n;
	bool follow, wrap, answered;
	uint64_t cursor; /* event id */
	int cursor_line, top, visible;
	uint64_t matched_below, ring_first, ring_last;
	us_t jump_to;	   /* :at */
	uint64_t up;	   /* all above was looked at from the first line up to here; 0: nothing */
	uint64_t asked_up; /* older lines were asked for before this one, */
	uint64_t asked_below; /* and later ones after this */
	bool at_start;	      /* there is nothing above */
	bool hunting;	      /* goes on by itself until something matches */
	int want_error;
	double shown_rate;
	us_t rate_at;
	uint64_t rate_last;
	int field; /* f takes them one after the other */
	char error[200];
};

static inline struct view_log *log_of(struct view *v)
{
	return (struct view_log *)(void *)v;
}

/* ---- view_log_draw.c ---- */
void log_draw(struct view *v, struct canvas *c, struct area a, us_t now);
void log_title(struct view *v, struct segs *s, us_t now);

#endif
