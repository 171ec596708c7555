/* PowerMTA's bounce categories, and what they mean for an address and for a reputation. A verdict
 * has one from the rules of [bounce-category-patterns]; without a rule that matched, its enhanced
 * and basic codes say it. Pure; any thread. */
#ifndef STOKER_CLASSIFY_CATEGORY_H
#define STOKER_CLASSIFY_CATEGORY_H

#include "core/classify/classify.h"

/* Stoker's own words, ended by NULL; a configuration may add others. */
extern const char *const category_names[];

/* "bad-mailbox" … "other"; "" for a success. Lives as long as the verdict, or for ever. */
const char *verdict_category(const struct reply_verdict *v);
/* The address takes no mail and won't: to be suppressed. Never for what is not permanent. */
bool verdict_hard(const struct reply_verdict *v);
/* A bounce that costs reputation: hard or spam-related ([warmup], adaptive throttling). */
bool verdict_harms(const struct reply_verdict *v);
/* What it does to the lane: "none", "slower" or "backoff". */
const char *verdict_lane(const struct reply_verdict *v);

#endif
