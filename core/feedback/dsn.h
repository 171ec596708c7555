/* Builds our own delivery status notifications (RFC 3461 to 3464, 6522, 6533): multipart/report
 * with text, delivery-status and the original's headers or whole. Pure: a worker calls it with what
 * the scheduler collected. */
#ifndef STOKER_FEEDBACK_DSN_H
#define STOKER_FEEDBACK_DSN_H

#include "conf/conf.h"
#include "core/sched/sched.h"

/* Appends the message (CRLF lines, complete with From, To, Subject, Date, Message-ID,
 * Auto-Submitted) to `out`. `original` is the original message or its first part, at least its
 * header block when it can be read ("" if not). `now` for Date. False without memory. */
bool dsn_build(const struct dsn_job *job, const struct conf_mta *mta, struct str original,
	       uint64_t id, us_t now, struct buf *out);

#endif
