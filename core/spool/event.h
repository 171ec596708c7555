/* Events: what happened to a message or recipient, numbered, committed together with the outcome;
 * the delivery log, accounting and webhooks are readers of them (COMMANDS.md, "log events"). */
#ifndef STOKER_SPOOL_EVENT_H
#define STOKER_SPOOL_EVENT_H

#include "core/base/buf.h"
#include "core/base/clock.h"

enum event_type {
	EVENT_RECEIVED = 1, /* one a message; recipient is the first, `count` how many */
	EVENT_REJECTED,	    /* a RCPT or message refused at our door; message is 0 */
	EVENT_DELIVERED,
	EVENT_DEFERRED,
	EVENT_BOUNCED,
	EVENT_EXPIRED,
	EVENT_REMOVED,
	EVENT_UNREACHED, /* a queue's mail found no session and its lane rests: no recipient, none
			    is counted */
	EVENT_REMOTE_BOUNCED, /* a report came back for mail that had been delivered */
	EVENT_COMPLAINT,      /* a recipient wants no more of it (RFC 5965) */
	EVENT_SUPPRESSED,     /* an address was put on the suppression list */
	EVENT_TYPES
};
/* The last three speak of a message that has mostly left the spool: message, rcpt, sender, job,
 * user, virtual_mta and envid are the ORIGINAL's as far as they are known (0, "" else), `recipient`
 * is always there, `at` is when it became known here. What else they carry:
 *   reply        the diagnostic, in the words of the receiver, one line; a complaint: ""
 *   enhanced, category, hard   as judged; a complaint's category is "spam-related", and it is hard
 *   mx           the MTA that refused (Remote-MTA)
 *   mx_ip        who handed the report in to us
 *   source_ip    a complaint: the address that our mail came from, as the reporter says
 *   queue        where the original went; seldom known
 *   reporting_mta, feedback_type, user_agent, format, matched   below; EVENT_SUPPRESSED has those
 *                of the report that led to it; put on the list by hand: user is who did it,
 * `format` "manual" */
const char *event_type_name(enum event_type t); /* "delivered" */

/* Text fields are slices: of the caller's memory when encoding, of the encoded bytes when decoded.
 * Empty = left out. */
struct event {
	uint64_t id; /* given by the spool at commit */
	us_t at;
	enum event_type type;
	uint64_t message;
	uint32_t rcpt;	/* index in the message */
	uint32_t count; /* EVENT_RECEIVED: recipients */
	struct str sender, recipient, queue, virtual_mta, source_ip, mx, mx_ip, reply, enhanced,
	    category, tls, job, user; /* category: PowerMTA's word, of what failed */
	struct str orcpt, envid;      /* RFC 3461, as given: xtext */
	struct str route;	      /* EVENT_RECEIVED: name of a virtual MTA or pool */
	struct str others; /* EVENT_RECEIVED: all recipients but the first, event_others_* */
	struct str esmtp;  /* what the receiver offers, "SIZE,PIPELINING" */
	/* remote-bounced, complaint, suppressed */
	struct str reporting_mta; /* who wrote the report */
	struct str feedback_type; /* "abuse" */
	struct str user_agent;	  /* of a complaint */
	struct str format;	  /* how the report was read: "rfc3464", "qmail", "arf" */
	struct str
	    matched;	 /* what ties it to our mail: "verp", "ref"; "message-id": its word alone */
	struct str site; /* the provider, or else the site, that the queue's mail goes to */
	struct str scope;  /* suppressed: for mail of this sender's domain; "": for all */
	us_t seconds;	   /* how long the attempt took (a span in microseconds) */
	us_t queued_at;	   /* when the message was received */
	us_t next_attempt; /* EVENT_DEFERRED */
	uint64_t size;
	uint32_t attempt; /* 1 for the first */
	bool hard; /* bounced, remote-bounced: the address takes no mail and won't (category.h) */
	bool maybe_twice; /* the connection died between final dot and answer */
};
/* Appends a self-delimiting encoding (without id: ids are consecutive in a batch). */
bool event_encode(struct buf *out, const struct event *e);
/* False at the end or if the bytes are damaged (r->bad). e->id is left alone. */
bool event_decode(struct reader *r, struct event *e);

/* `others`: appends one, and reads them one by one from a reader over the text. */
bool event_others_add(struct buf *out, struct str address, struct str orcpt);
bool event_others_next(struct reader *r, struct str *address, struct str *orcpt);

#endif
