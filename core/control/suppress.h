/* What the suppress commands share. Private to core/control; control thread only. */
#ifndef STOKER_CONTROL_SUPPRESS_H
#define STOKER_CONTROL_SUPPRESS_H

#include "core/control/request.h"
#include "core/spool/suppression.h"

#define SUPPRESS_UNREADABLE "the suppression list can't be read now"

/* NULL: the request has failed. */
struct suppression_reader *suppress_reader(struct request *r);
/* Rows to the spool thread, which takes over their memory; `tell`: by events, too. */
void suppress_send(struct request *r, struct buf *rows, bool tell,
		   void (*on_done)(struct request *r, int exit, struct rstr *text));
/* Of its answer: how many changed, and how many were so already. */
bool suppress_counts(struct rstr *text, uint64_t *done, uint64_t *already);

#endif
