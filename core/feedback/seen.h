/* Which reports were believed lately. Who has had a mail has its token, for ever: said a second
 * time it counts in no rate, holds no job and goes to no list. Bounded: of two reports that fall on
 * the same of SEEN_SLOTS places the newer one is known. Lives in memory alone, so after a restart
 * each may be said once more. One thread. */
#ifndef STOKER_FEEDBACK_SEEN_H
#define STOKER_FEEDBACK_SEEN_H

#include "core/spool/event.h"

enum { SEEN_SLOTS = 65536 };

struct seen;
/* NULL without memory. */
struct seen *seen_new(void);
void seen_free(struct seen *s);
/* Takes note of a report by its type, message and recipient; true if it was known. One that names
 * no message of ours never is. */
bool seen_before(struct seen *s, const struct event *e);

#endif
