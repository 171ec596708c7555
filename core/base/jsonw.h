/* Writes JSON straight into a buffer: the lists have up to a million rows and the log thousands of
 * lines a second, so no tree is built (jansson reads; this writes). Strings are escaped, ill-formed
 * UTF-8 becomes U+FFFD. null is never written: leave the field out. Any thread. */
#ifndef STOKER_BASE_JSONW_H
#define STOKER_BASE_JSONW_H

#include "core/base/buf.h"
#include "core/base/clock.h"

struct jsonw {
	struct buf *out;
	int depth;
	bool comma[16]; /* the level needs a comma before its next item */
};
void jsonw_init(struct jsonw *w, struct buf *out);
/* key is NULL inside an array or at the top. */
void jsonw_object(struct jsonw *w, const char *key);
void jsonw_array(struct jsonw *w, const char *key);
void jsonw_end_object(struct jsonw *w);
void jsonw_end_array(struct jsonw *w);
void jsonw_str(struct jsonw *w, const char *key, struct str v);
void jsonw_z(struct jsonw *w, const char *key, const char *v);
void jsonw_int(struct jsonw *w, const char *key, int64_t v);
void jsonw_double(struct jsonw *w, const char *key, double v, int decimals);
void jsonw_bool(struct jsonw *w, const char *key, bool v);
/* A point in time, RFC 3339 UTC. */
void jsonw_time(struct jsonw *w, const char *key, us_t at);
/* A span as seconds with up to 3 decimals. */
void jsonw_seconds(struct jsonw *w, const char *key, us_t span);
void jsonw_raw(struct jsonw *w, const char *key, struct str json);

#endif
