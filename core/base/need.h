/* What a pattern needs: literals of which one must occur in a text that it matches. Hundreds of
 * patterns are tried against a short text by looking at some bits each; only the few whose need is
 * met are matched by PCRE2. Caseless; never wrong about "no", often right about "yes". Pure. */
#ifndef STOKER_BASE_NEED_H
#define STOKER_BASE_NEED_H

#include "core/base/str.h"

/* Which three-letter pieces a text has: bits by the low five bits of each byte, so upper and lower
 * case are one. */
struct pieces {
	uint64_t bits[512];
};
void pieces_of(struct str text, struct pieces *out);

struct need {
	uint16_t *v; /* literals: how many pieces, then these; ended by 0. NULL: nothing known */
};
/* extended: blanks of the pattern don't count. False: no memory. */
bool need_make(struct need *n, const char *regex, bool extended);
void need_free(struct need *n);
bool need_met(const struct need *n, const struct pieces *p);

#endif
