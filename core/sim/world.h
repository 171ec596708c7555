/* The simulated world: which receivers there are, how each behaves, which domains they serve. One
 * table; DNS, receivers and traffic read it. */
#ifndef STOKER_SIM_WORLD_H
#define STOKER_SIM_WORLD_H

#include "core/base/clock.h"
#include "core/base/str.h"

struct temper {		     /* how a receiver behaves; 0 = does not */
	unsigned latency_ms; /* before each reply */
	unsigned rate; /* messages a second from one source IP it tolerates; above: `rate_reply` at
			  MAIL, then it hangs up */
	const char *rate_reply;
	unsigned max_messages;	  /* a connection; then 421 and close */
	unsigned unknown_percent; /* of recipients: `unknown_reply` */
	const char *unknown_reply;
	unsigned full_percent; /* of recipients: 452 mailbox full */
	us_t greylist; /* first try of (source net, sender, recipient): 450 until this has passed */
	const char *refuse_source; /* this source IP gets `refuse_reply` as a greeting */
	const char *refuse_reply;
	unsigned max_connections; /* from one source IP; above: 421 */
	bool no_pipelining;
	bool down; /* nothing listens */
};

struct receiver_def {
	const char *name;  /* for people */
	const char *mx[3]; /* host names; each has the address */
	const char *domains[8];
	struct temper t;
};

const struct receiver_def *world_receivers(int *n);
/* The receiver that serves a domain (or one of whose MX names this is); -1: none. Domains below
 * hosted.example are Google's, all others below .example the last receiver's ("web"). */
int world_receiver_of(struct str domain);
/* Domains whose DNS fails: SERVFAIL. */
bool world_dns_fails(struct str domain);
/* Address of receiver n, "127.0.2.N". */
void world_address(int receiver, char out[16]);
/* A recipient's fate must be the same at each attempt: a number in 0…99 from its address. */
unsigned world_percent_of(struct str address);

#endif
