/* Token buckets: the exact law of a rate. A bucket holds at most 20 ms' worth, at least one token;
 * nothing is made up for. (Below 100/s it holds one and what comes in the 10 ms that a token may
 * wait for its turn: less than a second one. Without that each wait of a millisecond in a line
 * would be lost for good, and 50/s would be 47.)
 *
 * What a bucket promises: between any two moments a and b it gives at most cap + rate × (b − a)
 * tokens that are not given back. With a permit's life of PERMIT_LIFE that makes, at 100/s, at most
 * 2 + 100 × 1.01 = 103 RCPTs in a sliding second. A token that comes back must not break the
 * promise: it is worth what the bucket would hold now had it never been taken, so the room between
 * level and cap ("slack") is remembered for the last 32 ms. Without that, a hundred tokens that
 * expired in a stalled receiver's sessions would all be given again in the second after it.
 *
 * Narrow on purpose: nodes that share a rate will do so behind these functions (DESIGN.md, "Past
 * one machine"). */
#ifndef STOKER_SCHED_RATE_H
#define STOKER_SCHED_RATE_H

#include <stdbool.h>

#include "core/base/fmt.h"

#define PERMIT_LIFE_US (10 * US_PER_MS)
#define BUCKET_SPAN_US (20 * US_PER_MS)
#define RATE_SLOW_US                                                                               \
	US_PER_MIN /* one a minute or slower: the last attempt is kept over a restart */

enum { SLACK_SLOTS = 4 };

struct bucket {
	struct rate rate;
	int64_t step_ns;	       /* between two tokens; 0: unlimited */
	int64_t cap_ns;		       /* time to fill it from empty */
	int64_t full_ns;	       /* when it will be full */
	us_t last;		       /* last take; 0: none */
	int64_t slot;		       /* number of the newest slack slot */
	int64_t slack_ns[SLACK_SLOTS]; /* least time-to-full before a take, by slot of 8 ms */
};

/* How long before its time a permit is given. An io thread whose passes take long sees permits when
 * their 10 ms are over: it would ask for ever and write nothing. So a permit is dated: it holds
 * from now + lead for PERMIT_LIFE, and whoever has it sooner waits. The lead follows the thread
 * that is latest, and is one for all, since RCPTs that leave with different delays would meet:
 * after a grant of 30 ms ago one of now, and a sliding second has three more than promised. For the
 * same reason it falls slowly: by 1 ms in a second, which is a tenth of an RCPT at 100/s; that it
 * rises only thins out. */
struct lead {
	us_t us;	/* when it was raised last */
	us_t raised_at; /* 0: never */
};
us_t lead_now(const struct lead *l, us_t now);
/* A permit was seen by so much too late. */
void lead_late(struct lead *l, us_t now, us_t late);

/* A new rate. What was taken under the old one still counts: the first token comes no sooner than
 * the new rate allows. */
void bucket_set(struct bucket *b, struct rate rate, us_t now);
/* Whole tokens there now. */
int64_t bucket_tokens(const struct bucket *b, us_t now);
/* When there will be n tokens (n at most the cap), if nothing is taken. */
us_t bucket_when(const struct bucket *b, us_t now, int64_t n);
/* n must be there. */
void bucket_take(struct bucket *b, us_t now, int64_t n);
/* n tokens taken at `taken` were not used. */
void bucket_give_back(struct bucket *b, us_t now, us_t taken, int64_t n);
/* As if one token had been taken at `last` (restored after a restart). */
void bucket_restore(struct bucket *b, us_t last);
/* As it was: the last take and when it will be full. */
void bucket_refill(struct bucket *b, us_t last, int64_t full_ns);
/* No token before `until`. */
void bucket_hold(struct bucket *b, us_t until);
/* Nothing would change if it were forgotten. */
bool bucket_idle(const struct bucket *b, us_t now);

#endif
