/* The two halves of the resolver. resolver.c asks questions (one name, one type) of libunbound and
 * shares them; resolver_job.c makes a domain's answer out of several. */
#ifndef STOKER_NET_RESOLVER_PRIV_H
#define STOKER_NET_RESOLVER_PRIV_H

#include <unbound.h>

#include "core/base/domain.h"
#include "core/base/hash.h"
#include "core/net/resolver.h"

enum { RR_A = 1, RR_MX = 15, RR_TXT = 16, RR_AAAA = 28 };

/* What came of a question. NXDOMAIN, no data and failure are separate facts with separate fates. */
enum fact { FACT_DATA, FACT_NO_DATA, FACT_NXDOMAIN, FACT_FAILED };

struct reply {
	enum fact fact;
	const struct ub_result *result; /* FACT_DATA: during the call */
	us_t ttl;
	bool secure;
	const char *why; /* FACT_FAILED: "SERVFAIL", "time-out" */
};

struct job; /* one resolver_lookup */

struct resolver {
	uint32_t magic;
	struct loop *loop;
	struct ub_ctx *ub;
	ev_io w;
	us_t timeout;
	struct endpoint *own;
	int nown;
	bool allow_private;
	void (*answer)(void *arg, uint64_t id, struct dns_answer *a);
	void *arg;

	struct strmap asking;			     /* questions by type and name */
	struct question *first_queued, *last_queued; /* beyond what libunbound is given at once */
	struct question *first_come, *last_come;     /* with results that wait for their turn */
	int in_flight;

	struct job *jobs;		    /* all that are not answered */
	struct job *first_done, *last_done; /* to be answered when `deliver` fires */
	struct timer deliver;
	int outstanding;
	struct resolver_stats stats;
};

/* Fires `deliver` at once. */
void resolver_deliver_soon(struct resolver *r);
/* job_reply(job, slot, …) is called once, never from inside. False without memory. */
bool resolver_ask(struct resolver *r, const char *name, int type, struct job *job, int slot);

/* resolver_job.c. job_new: NULL without memory, else it is in r->jobs and asks. */
struct job *job_new(struct resolver *r, uint64_t id, enum resolver_kind kind, struct str name,
		    bool allow_private);
void job_reply(struct job *j, int slot, const struct reply *reply);
/* Frees everything, answered or not. */
void jobs_free(struct resolver *r);
/* Gives out a finished answer; false: there is none. */
bool job_deliver(struct resolver *r);

#endif
