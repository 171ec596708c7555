/* Numbers, rates, durations and sizes as people write and read them: one grammar for configuration,
 * command line and screen (CONFIG.md, "Language"). Any thread. */
#ifndef STOKER_BASE_FMT_H
#define STOKER_BASE_FMT_H

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/err.h"

/* n events in each `per`; n == 0 is unlimited. "1/6m" is {1, 6 min}. */
struct rate {
	int64_t n;
	us_t per;
};
static inline bool rate_unlimited(struct rate r)
{
	return r.n == 0;
}
double rate_per_s(struct rate r);

/* Each parser returns NULL, or err_invalid with a sentence that says what to write. */
const struct err *fmt_parse_rate(struct str s, struct rate *out, struct errbuf *e);
/* "10m", "1h30m", "250ms", "4d12h", "never" (US_NEVER). A bare number and 0 are errors. */
const struct err *fmt_parse_duration(struct str s, us_t *out, struct errbuf *e);
const struct err *fmt_parse_size(struct str s, int64_t *out, struct errbuf *e);
const struct err *fmt_parse_int(struct str s, int64_t lo, int64_t hi, int64_t *out,
				struct errbuf *e);
const struct err *fmt_parse_bool(struct str s, bool *out, struct errbuf *e);
/* "5%", "0.1%" as a fraction. */
const struct err *fmt_parse_percent(struct str s, double *out, struct errbuf *e);

/* Writers for small fixed buffers. */
enum { FMT_SIZE = 32 };
/* As configuration would be written: "20/s", "1/6m", "unlimited". */
void fmt_rate(struct rate r, char out[FMT_SIZE]);
/* As configuration: "1h30m", "250ms", "never"; cut to milliseconds (1ms if less, 0s if nothing). */
void fmt_duration(us_t d, char out[FMT_SIZE]);
/* How old, for the eye, at most 5 columns: "0m41", "52m07", "3h41", "2d11", "412d", "never". */
void fmt_age(us_t d, char out[FMT_SIZE]);
/* How long still, for the eye, at most 5 columns: "31s", "52m", "13h", "4d", "never". */
void fmt_left(us_t d, char out[FMT_SIZE]);
/* For the eye, at most 6 columns: 987, 12.7k, 402.1k, 1.26M. k and M are 1000; cut, not rounded. */
void fmt_count(int64_t n, char out[FMT_SIZE]);
/* For the eye: "899.0", "1.2k", "0.4"; "<0.1" for what is not quite nothing. */
void fmt_per_s(double per_s, char out[FMT_SIZE]);
void fmt_bytes(int64_t n, char out[FMT_SIZE]); /* "48.1k", "1.0G" (1024) */

#endif
