/* Filters that stand: the console asks the same question four times a second, and only what changed
 * since needs a new answer. For each of the last filters of a list one byte a row says whether it
 * matches. Control thread. */
#ifndef STOKER_CONTROL_SIFT_H
#define STOKER_CONTROL_SIFT_H

#include "core/control/query.h"

enum { SIFTS_MAX = 32 };
enum verdict { VERDICT_UNKNOWN, VERDICT_YES, VERDICT_NO };

struct sift {
	struct rstr *text;
	struct filter *filter;
	uint8_t *verdict; /* enum verdict, by index of the row */
	size_t n, unknown;
	us_t used, since; /* since: of the oldest verdict, for filters that look at the time */
};
struct sifts { /* of one kind of row */
	struct sift *v[SIFTS_MAX];
	int n;
};
void sifts_free(struct sifts *s);
/* The rows changed: one was appended at index n - 1, one has a new content, the last one took place
 * i and there are n now. */
void sifts_append(struct sifts *s, size_t n);
void sifts_dirty(struct sifts *s, size_t i);
void sifts_remove(struct sifts *s, size_t i, size_t n);

/* The standing filter of that text, made if there is none; NULL with a sentence. */
struct sift *sift_for(struct sifts *s, enum list_id l, struct str text, size_t nrows, us_t now,
		      struct errbuf *e);
/* Does r, row i, match? */
bool sift_one(struct sift *f, const struct row *r, size_t i, us_t now);

#endif
