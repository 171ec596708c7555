/* An io thread's messages on their way to the spool, and those that could not go: without memory to
 * pass one on, its session hears 451 4.3.0. The refusal waits for the end of the loop's pass, since
 * the server is in the midst of that session when it submits. On the io thread. */
#ifndef STOKER_SMTP_SUBMITS_H
#define STOKER_SMTP_SUBMITS_H

#include "core/base/clock.h"
#include "core/base/mailbox.h"
#include "core/spool/spool.h"

/* io → spool: a message to be made durable. */
struct commit_request {
	uint64_t session;
	struct message *message;
	us_t asked_at;
};

struct submits {
	struct mailbox *box;
	size_t waiting; /* that the spool owes an answer for */
	us_t oldest;	/* since when; 0: it owes none */
	uint64_t *refused;
	size_t nrefused;
};
/* `credits`: the most that are ever under way. False without memory. */
bool submits_init(struct submits *s, struct mailbox *box, size_t credits);
void submits_free(struct submits *s);
/* Takes the message over. */
void submits_pass(struct submits *s, uint64_t session, struct message *m, us_t now);
void submits_answered(struct submits *s, us_t now);
/* A session whose message was refused; false: no more. */
bool submits_refused(struct submits *s, uint64_t *session);

#endif
