/* What is kept per UNIX user: theme, columns, sort, history of the command line. Console thread. */
#ifndef STOKER_TUI_PREFS_H
#define STOKER_TUI_PREFS_H

#include "tui/operator.h"

void prefs_free(struct console *c);
/* JSON as it was saved; what does not fit is left out. */
void prefs_parse(struct user_prefs *p, struct str json);
void prefs_print(const struct user_prefs *p, struct buf *out);

#endif
