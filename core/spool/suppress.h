/* What events put on the suppression list, by [suppression] and by what the category says of the
 * address (never spam, policy, content, relaying, protocol or connection). The spool thread's,
 * right behind spool_event or spool_outcome: what enters is an EVENT_SUPPRESSED of the same commit,
 * and buffered in the list until that is durable. */
#ifndef STOKER_SPOOL_SUPPRESS_H
#define STOKER_SPOOL_SUPPRESS_H

#include "conf/conf.h"
#include "core/spool/spool.h"
#include "core/spool/suppression.h"

/* bounced, remote-bounced, expired, complaint; others change nothing. True: its recipient is on the
 * list now and was not before. Mail without a sender puts nobody on the list of a sender's domain.
 */
bool suppress_event(struct suppression *l, struct spool *s, const struct conf_suppression *c,
		    const struct event *ev);
/* At start: an EVENT_SUPPRESSED that the list may not have yet. False: no memory. */
bool suppress_again(struct suppression *l, const struct conf_suppression *c,
		    const struct event *ev);

#endif
