/* An accepted message as it travels: server → spool → scheduler. One owner at a time; one arena,
 * freed by message_free. Envelope text is as the client gave it, checked by smtp/address. */
#ifndef STOKER_SPOOL_MESSAGE_H
#define STOKER_SPOOL_MESSAGE_H

#include "core/base/arena.h"
#include "core/base/clock.h"
#include "core/spool/body.h"

/* NOTIFY of RFC 3461; 0 = not given. */
enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };
enum dsn_ret { RET_NONE, RET_FULL, RET_HDRS };

/* The route of mail to an [inbound] domain: no name of a virtual MTA or pool can be so. It is read
 * here (core/mta_inbound.c) and never reaches the scheduler. */
#define MESSAGE_INBOUND "{inbound}"

#define REPORTS_DELAY 0x80000000u /* beside the recipient's number in reports_rcpts */

/* What the spool remembers of a recipient: every legal state. */
enum rcpt_state {
	RCPT_QUEUED, /* to be sent when due */
	RCPT_REPORT, /* at its end, and counted as bounced, expired or delivered (relayed); its DSN
			is still to be made */
	RCPT_DONE,   /* delivered, bounced, expired or removed: nothing left to do */
};

struct message_rcpt {
	struct str address; /* local@domain as given */
	struct str domain;  /* normal form; points into the arena */
	struct str orcpt;   /* RFC 3461, with its type, still xtext; "" if none */
	uint8_t notify;
	/* state; as accepted: queued, 0 attempts, due at once */
	uint8_t state; /* enum rcpt_state */
	uint16_t attempts;
	bool delayed_dsn_sent;
	us_t due;	  /* next attempt */
	struct str reply; /* the last reply (bounded to 512 bytes); for RCPT_REPORT what the DSN
			     will quote */
	char enhanced[12];
	us_t failed_at;
};

/* Where the record lies; given by the spool, opaque to everybody else. */
struct spool_where {
	uint64_t segment;     /* 0: nowhere */
	uint64_t offset;      /* of the record */
	uint64_t body_offset; /* of the body in the segment; or 0 with `large` */
	uint64_t body_bytes;
	bool large;		 /* the body is in a file of its own, named by the message id */
	bool dot_line, eightbit; /* of the body, for when it is read again */
};

struct message {
	uint32_t magic;
	struct arena arena;
	uint64_t id; /* spool_new_id */
	us_t received_at;
	struct str sender;    /* reverse-path; "" for <> */
	struct str job, user; /* job as counted; user = source or smtp-user name */
	struct str
	    route; /* name of a virtual MTA or pool (a later configuration may not know it) */
	struct str envid;  /* RFC 3461 ENVID, still xtext; "" */
	struct str client; /* who handed it in: "127.0.0.1" */
	uint8_t ret;	   /* enum dsn_ret */
	uint8_t priority;  /* 0 to 100 */
	bool smtputf8, eightbit;
	bool dsn; /* one of our own reports: never reported on again */
	/* If dsn: the recipients of another message that it reports on. Their RCPT_REPORT ends with
	 * this record, also when it is replayed after a crash, so no report is made twice. With
	 * REPORTS_DELAY: it still waits, and delayed_dsn_sent holds from then on. */
	uint64_t reports_on;
	const uint32_t *reports_rcpts;
	uint32_t nreports_rcpts;
	struct body *body; /* one reference; NULL when loaded at start */
	struct spool_where where;
	struct message_rcpt *rcpts;
	uint32_t nrcpts;
};

/* An empty message with its arena; NULL without memory. */
struct message *message_new(void);
void message_free(struct message *m); /* NULL allowed; drops the body reference */

#endif
