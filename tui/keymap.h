/* The one table of keys: what they do, where, and how help and key bar call it. A key runs a
 * command of core/control in the words of the CLI, or moves about in the console. Console thread.
 */
#ifndef STOKER_TUI_KEYMAP_H
#define STOKER_TUI_KEYMAP_H

#include "tui/operator.h"

struct binding {
	uint32_t code;
	unsigned where;	  /* enum view_kind bits */
	const char *word; /* for the key bar: "pause"; NULL: not there */
	int bar;	  /* higher goes first from a narrow key bar; 0: never shown */
	const char *help; /* one line; NULL: as the line above */
	void (*fn)(struct oper *op, int arg);
	int arg;
};
const struct binding *keymap_find(uint32_t code, unsigned where);
/* NULL behind the last. */
const struct binding *keymap_at(int i);
void keymap_help(struct oper *op, struct buf *out);
void keymap_bar(struct oper *op, struct canvas *c, int y);

/* ---- acts.c: keys that act on rows ---- */
void act_simple(struct oper *op, int which); /* enum simple_act */
enum simple_act { ACT_PAUSE, ACT_RESUME, ACT_RETRY, ACT_BACKOFF, ACT_NORMAL };
void act_rate(struct oper *op, int arg);
void act_undo_key(struct oper *op, int arg);
void act_amend(struct oper *op, int arg);
void act_remove(struct oper *op, int arg); /* D */
void act_move(struct oper *op, int arg);   /* v */
void act_alarm(struct oper *op, int arg);
void act_ack_key(struct oper *op, int arg);
/* ---- looks.c: keys that open and copy ---- */
void look_settings(struct oper *op, int arg);
void look_log(struct oper *op, int arg);
void look_messages(struct oper *op, int arg);
void look_copy(struct oper *op, int arg);
/* Runs the commands one after the other; takes over the array and its strings. */
void act_batch(struct oper *op, char **commands, int n);

#endif
