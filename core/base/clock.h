/* One type for time: microseconds. As a point in time it counts from the Unix epoch, as a span it
 * is just a number of microseconds. The process clock is CLOCK_MONOTONIC plus an offset taken once
 * from CLOCK_REALTIME, so it never steps; clock_skew_us() says how far wall time has moved away.
 * Any thread. core/sched never includes this file's functions: it is given `now`. */
#ifndef STOKER_BASE_CLOCK_H
#define STOKER_BASE_CLOCK_H

#include <stdint.h>

typedef int64_t us_t;

#define US_PER_MS   ((us_t)1000)
#define US_PER_S    ((us_t)1000000)
#define US_PER_MIN  (60 * US_PER_S)
#define US_PER_HOUR (60 * US_PER_MIN)
#define US_PER_DAY  (24 * US_PER_HOUR)
#define US_NEVER    INT64_MAX

/* Takes the offset between the two clocks. Call once, before any thread starts. */
void clock_init(void);
/* Now, microseconds since the epoch; never goes back. */
us_t clock_now_us(void);
/* CPU time of the calling thread, microseconds. */
us_t clock_thread_cpu_us(void);
/* Wall clock minus process clock, microseconds: not zero after NTP or an operator stepped the time.
 */
us_t clock_skew_us(void);

/* RFC 3339 in UTC with milliseconds, "2026-11-23T19:03:48.118Z" (24 bytes + NUL). */
enum { CLOCK_RFC3339_SIZE = 32 };
void clock_rfc3339(us_t at, char out[CLOCK_RFC3339_SIZE]);
/* RFC 5322 date with the local offset, "Mon, 23 Nov 2026 19:03:48 +0000". */
enum { CLOCK_RFC5322_SIZE = 40 };
void clock_rfc5322(us_t at, char out[CLOCK_RFC5322_SIZE]);

#endif
