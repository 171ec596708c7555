/* From a row to a command line. Console thread. */
#ifndef STOKER_TUI_ACTS_H
#define STOKER_TUI_ACTS_H

#include "tui/operator.h"

/* A word of a command line, in quotes if it needs them. */
void quote_word(struct buf *out, struct str word);
/* The target of a row of a list, as the CLI writes it: "@yahoo", "vmta:vmta1", "job:news". */
void target_of(enum list_id list, struct str name, struct buf *out);
/* The cursor's row, if one may act on it now; else says why not. */
const struct row *act_row(struct oper *op, struct table **table);
/* Opens or fills the disable box's line about what has no other source. */
void act_no_other_source(struct oper *op, struct str vmta);

#endif
