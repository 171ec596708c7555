/* Panes of a site that are lines of text: limits and MX hosts from its JSON, errors and events from
 * the log. Console thread. */
#ifndef STOKER_TUI_TEXT_PANE_H
#define STOKER_TUI_TEXT_PANE_H

#include "core/control/control.h"
#include "tui/tz.h"

enum { TEXT_PANE_LINES = 64, TEXT_PANE_LINE = 400 };
struct text_pane {
	char (*lines)[TEXT_PANE_LINE];
	int n, top;
};
void text_pane_free(struct text_pane *p);
/* "/etc/stoker/stoker.ini:12 [domain gmail.com]" without the folders: line and section are what one
 * looks for, and the end of a line is what is cut. Inside `origin`. */
const char *origin_name(const char *origin);
/* Every limit that counts for its lanes, with what is used of it and the line that set it; each
 * once. */
void text_pane_limits(struct text_pane *p, struct str detail);
void text_pane_hosts(struct text_pane *p, struct str detail);
/* Replies that mean the same but for numbers and names in them are one line, counted. */
void text_pane_errors(struct text_pane *p, const struct link_answer *a, const struct tz *tz,
		      us_t now);
/* The newest first. */
void text_pane_events(struct text_pane *p, const struct link_answer *a, const struct tz *tz);

#endif
