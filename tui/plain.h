/* --plain: lines and numbered choices, for screen readers and dumb terminals. The same acts, no
 * curses, nothing is ever drawn over. Console thread. */
#ifndef STOKER_TUI_PLAIN_H
#define STOKER_TUI_PLAIN_H

#include "core/control/control.h"
#include "tui/keys.h"

struct oper;
struct plain;
struct plain *plain_new(struct oper *op);
void plain_free(struct plain *p);
void plain_start(struct plain *p);
void plain_key(struct plain *p, struct key_event k);
void plain_answer(struct plain *p, struct link_answer *a, int tag);
void plain_say(struct plain *p, const char *text); /* an echo of others */

#endif
