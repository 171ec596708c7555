/* Who fails to log in is slowed down, and for a time not even asked: by client address and by user.
 * Tables of fixed size (whoever failed longest ago makes room), owned by the one worker that checks
 * passwords; time is the caller's. */
#ifndef STOKER_SMTP_GUARD_H
#define STOKER_SMTP_GUARD_H

#include "conf/conf.h"

struct guard;
struct guard *guard_new(void); /* NULL without memory */
void guard_free(struct guard *g);

/* May this client try a password for this user now? False: banned, without a look at it. Whoever
 * has logged in from there as that user within a day is banned ten times as late: a stranger who
 * guesses must not lock an application out. */
bool guard_allows(struct guard *g, const struct endpoint *client, struct str user, us_t now);
/* Returns how long the answer is to wait. *banned: this failure was one too many. */
us_t guard_failed(struct guard *g, const struct endpoint *client, struct str user, us_t now,
		  bool *banned);
void guard_passed(struct guard *g, const struct endpoint *client, struct str user, us_t now);

#endif
