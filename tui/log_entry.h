/* An event of the log as the Log view keeps it: its JSON is read once. Console thread. */
#ifndef STOKER_TUI_LOG_ENTRY_H
#define STOKER_TUI_LOG_ENTRY_H

#include "core/control/control.h"
#include "tui/canvas.h"

enum { LOG_TEXT = 120, LOG_REPLY = 400 };
struct log_entry { /* an event, read once */
	uint64_t id;
	us_t at;
	char type;
	char vmta[32], who[LOG_TEXT], mx[LOG_TEXT], reply[LOG_REPLY], seconds[16], message[24];
};
void log_entry_read(struct log_entry *e, const struct log_line *line);
/* Does any of its texts hold this one (in lower case)? */
bool log_entry_holds(const struct log_entry *e, const char *low);
enum style log_entry_style(char type);

#endif
