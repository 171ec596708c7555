/* Time zones of operators: each sees times in his own, so the process's TZ is of no use. Reads a
 * zone file once, when he attaches or says :tz. Console thread. */
#ifndef STOKER_TUI_TZ_H
#define STOKER_TUI_TZ_H

#include "core/base/buf.h"
#include "core/base/clock.h"

struct tz; /* NULL is the machine's zone */
/* "utc", "local" (NULL), "Europe/Paris". False with *out untouched if there is none of that name.
 */
bool tz_load(struct str name, struct tz **out);
void tz_free(struct tz *t);
struct tz_time {
	int year, month, day, hour, min, sec, ms; /* month from 1 */
	char zone[8];
};
void tz_split(const struct tz *t, us_t at, struct tz_time *out);
/* "09:12:04", with the date in front when it is not today: "11-23 09:12". US_NEVER: "until ended".
 */
void tz_text(const struct tz *t, us_t at, us_t now, struct buf *out);
/* "09:12" or "11-23 09:12" */
void tz_minute(const struct tz *t, us_t at, us_t now, struct buf *out);

/* RFC 3339 in UTC, as all our JSON has it; 0 if it is not. */
us_t tz_parse(const char *rfc3339);

#endif
