/* Webhooks: a reader of the events that sends them on as JSON arrays, one request at a time so that
 * their order is kept, each until it is answered with 2xx. Only then does its position move: after
 * a crash the events behind the last saved position come once more, with the same ids. What waits
 * is in the spool (events-max), here is one batch.
 *
 * It has no clock and no sockets: whoever drives it gives the time and carries the requests
 * (core/report/poster.h, or a test). Report thread only. */
#ifndef STOKER_REPORT_WEBHOOK_H
#define STOKER_REPORT_WEBHOOK_H

#include "conf/conf.h"
#include "core/spool/spool.h"

enum { WEBHOOK_HEADERS = 6, WEBHOOK_HEADER_SIZE = 160, WEBHOOK_WHY_SIZE = 256 };

struct webhook;
struct webhook_request { /* valid until its answer, or until it is dropped */
	const char *url;
	char headers[WEBHOOK_HEADERS][WEBHOOK_HEADER_SIZE]; /* "Name: value" */
	int nheaders;
	struct str body;
};
struct webhook_answer {
	int status;	  /* HTTP's; 0: none came */
	us_t retry_after; /* a span; 0: not said */
	const char *why;  /* words where there is no status */
};
struct webhook_carrier {
	void *arg;
	/* Starts it. webhook_answered is called later, never from inside. False: no memory. */
	bool (*post)(void *arg, struct webhook *w, const struct webhook_request *r);
	/* Forgets the one that runs; it has no answer any more. */
	void (*drop)(void *arg, struct webhook *w);
};

/* [webhook] number i of the configuration, of which a reference is kept; takes the reader over.
 * NULL without memory (the reader is closed). */
struct webhook *webhook_new(struct conf *c, int i, struct event_reader *r,
			    const struct webhook_carrier *carrier);
void webhook_free(struct webhook *w); /* drops what runs; NULL allowed */
/* Another configuration. What changed goes on from the last answer, and a wait is over: an operator
 * who reloads wants to see it work. */
void webhook_conf(struct webhook *w, struct conf *c, int i);
void webhook_wake(struct webhook *w); /* events were committed */
/* Reads, and starts a request if it is time. When to be called next at the latest; `now`: more
 * waits. */
us_t webhook_step(struct webhook *w, us_t now);
void webhook_answered(struct webhook *w, us_t now, const struct webhook_answer *a);

/* All events up to this one have arrived or are not for it: the position to save. */
uint64_t webhook_position(const struct webhook *w);
uint64_t webhook_sent(const struct webhook *w);	  /* events that were answered with 2xx */
uint64_t webhook_behind(const struct webhook *w); /* events that it has not sent or passed over */
uint64_t webhook_missed(const struct webhook *w); /* dropped by the spool before it had them */
/* Why the last request failed; NULL: it did not. */
const char *webhook_trouble(const struct webhook *w);

#endif
