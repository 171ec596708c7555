/* The line at the bottom in which one types: filter, command, search, note. State of the one input
 * loop. Console thread. */
#ifndef STOKER_TUI_PROMPT_H
#define STOKER_TUI_PROMPT_H

#include "tui/canvas.h"
#include "tui/keys.h"

enum { PROMPT_TEXT = 512, PROMPT_HISTORY = 100, PROMPT_WORDS = 64 };
enum prompt_kind { PROMPT_NONE, PROMPT_FILTER, PROMPT_COMMAND, PROMPT_SEARCH, PROMPT_NOTE };

/* A line of text that is being edited; fields of boxes are such lines too. */
struct edit {
	char text[PROMPT_TEXT]; /* UTF-8, NUL-terminated */
	size_t n, at;		/* bytes; the cursor */
};
void edit_set(struct edit *e, struct str text);
/* False: the key means nothing to a line. */
bool edit_key(struct edit *e, struct key_event k);
/* Draws with the cursor in sight; places the terminal's cursor if `on`. */
void edit_draw(const struct edit *e, struct canvas *c, int y, int x, int w, enum style style,
	       bool on);

struct prompt {
	enum prompt_kind kind;
	struct edit line;
	char saved[PROMPT_TEXT];   /* filter: what Esc brings back; command: what history hides */
	int history;		   /* steps back; 0: the line itself */
	char *words[PROMPT_WORDS]; /* completions of the last word */
	int nwords, word;
	bool completing;	/* an answer is awaited, or words are shown */
	char note_command[256]; /* PROMPT_NOTE: what its text completes */
};
struct oper;
void prompt_open(struct oper *op, enum prompt_kind kind, const char *text);
void prompt_close(struct oper *op);
void prompt_key(struct oper *op, struct key_event k);
void prompt_draw(struct oper *op, struct canvas *c, int y);
void prompt_completions(struct oper *op, struct str lines); /* control's answer, one a line */
void prompt_history_add(struct oper *op, struct str line);

#endif
