/* The mirror: the control thread's copy of every row the scheduler publishes. Control thread only;
 * nothing here ever touches the scheduler. 100,000 queues and as many sites must filter and sort
 * within a few ms (bounded top-N selection, no full sort). */
#ifndef STOKER_CONTROL_MIRROR_H
#define STOKER_CONTROL_MIRROR_H

#include "core/sched/rows.h"

struct mirror;
struct mirror *mirror_new(void);
void mirror_free(struct mirror *m);
/* Takes over the row's references. */
void mirror_row(struct mirror *m, struct row *r);
void mirror_totals(struct mirror *m, const struct sched_totals *t, us_t at);
const struct sched_totals *mirror_get_totals(const struct mirror *m, us_t *at);
size_t mirror_count(const struct mirror *m, enum row_kind k);
const struct row *mirror_find(const struct mirror *m, enum row_kind k, uint64_t id);
const struct row *mirror_find_name(const struct mirror *m, enum row_kind k, struct str name);
/* Walks all rows of a kind; *pos = 0 to start; NULL at the end. */
const struct row *mirror_next(const struct mirror *m, enum row_kind k, size_t *pos);

#endif
