/* Accounting files: records of the events for other programs, CSV as PowerMTA writes it (RFC 4180,
 * CRLF, header line, its columns) or the same columns as a JSON object a line. A finished file
 * acct.csv becomes acct-2026-11-27-0001.csv beside it. Whoever drives it reads the events: what a
 * flush did not write is thrown away here and read again. Report thread only. */
#ifndef STOKER_REPORT_ACCOUNTING_H
#define STOKER_REPORT_ACCOUNTING_H

#include "conf/conf.h"
#include "core/spool/event.h"

struct accounting;
/* [accounting] number i of the configuration, of which a reference is kept. A file with another
 * header or format is set aside first. An error names the path. */
const struct err *accounting_open(struct conf *c, int i, struct accounting **out, struct errbuf *e);
void accounting_close(struct accounting *a); /* what waits is gone; NULL allowed */
/* Its records; none for an event that makes none here. */
void accounting_event(struct accounting *a, const struct event *e);
size_t accounting_waiting(const struct accounting *a); /* bytes */
/* All of it or nothing is in the file afterwards, and nothing waits. */
const struct err *accounting_flush(struct accounting *a, struct errbuf *e);
/* If its time or size has come, or `now_please`; and deletes what is older than keep. Nothing may
 * wait. */
const struct err *accounting_rotate(struct accounting *a, us_t now, bool now_please,
				    struct errbuf *e);
/* The column bounceCat: what the event's category says, and what needs no reply to be known. Empty:
 * nobody sorted it. */
struct str accounting_category(const struct event *e);

#endif
