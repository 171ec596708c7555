/* The delivery log: a reader of the events. A human line and, beside it, JSON lines; rotated daily,
 * hourly, by size or on demand; old files go after log-keep. A full disk stops the log with an
 * alarm, never mail: the events wait (events-max), then the oldest go, counted. Report thread only.
 */
#ifndef STOKER_REPORT_DELIVERY_LOG_H
#define STOKER_REPORT_DELIVERY_LOG_H

#include "conf/conf.h"
#include "core/spool/event.h"

/* "09:09:02.118 D 4f2a91 vmta2 us1@yahoo.com mta6.am0 250 2.0.0 ok dirdel 0.81s" with date and
 * zone; clean, one line with \n. */
void event_line(const struct event *e, struct buf *out);
/* COMMANDS.md "log events" as one JSON object, no \n. */
void event_json(const struct event *e, struct buf *out);

struct delivery_log;
/* log-file FILE (human) and FILE.json beside it. Opened at start and at each reload; an error names
 * the path. */
const struct err *delivery_log_open(const struct conf *c, struct delivery_log **out,
				    struct errbuf *e);
void delivery_log_close(struct delivery_log *d);
void delivery_log_event(struct delivery_log *d, const struct event *e);
/* Writes what is buffered. Not NULL: the disk is full or worse, and what is not in the files waits
 * still; err_no_memory: nothing was written and nothing waits any more (the reader goes back). */
const struct err *delivery_log_flush(struct delivery_log *d, struct errbuf *e);
/* What waits in `old`, which is closed, waits in `d` now. */
void delivery_log_replace(struct delivery_log *d, struct delivery_log *old);
/* Rotates if the time or size has come, or `now_please`. Deletes what is older than log-keep. */
const struct err *delivery_log_rotate(struct delivery_log *d, us_t now, bool now_please,
				      struct errbuf *e);

#endif
