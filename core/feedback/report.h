/* Reads what comes back for mail that was sent: says whether a message is a bounce, a feedback
 * report or neither, and about whom (RFC 3464, 5965, and the forms of servers that follow neither).
 * Pure, bounded in time and memory whatever it is given (core/feedback/mime.h); any thread. */
#ifndef STOKER_FEEDBACK_REPORT_H
#define STOKER_FEEDBACK_REPORT_H

#include "core/base/arena.h"
#include "core/base/str.h"

enum { REPORT_RCPTS_MAX = 100, REPORT_DIAGNOSTIC_MAX = 1024, REPORT_STATUS_SIZE = 12 };

enum report_kind {
	REPORT_BOUNCE,	 /* it failed for at least one recipient */
	REPORT_DELAYED,	 /* still being tried */
	REPORT_SUCCESS,	 /* delivered, relayed or expanded */
	REPORT_FEEDBACK, /* a recipient's word about the mail (RFC 5965 and JMRP) */
	REPORT_OTHER,	 /* auto-reply, receipt, statistics, ordinary mail */
};
const char *report_kind_name(enum report_kind k); /* "bounce" */

enum report_action {
	ACTION_NONE, /* the report says nothing */
	ACTION_FAILED,
	ACTION_DELAYED,
	ACTION_DELIVERED,
	ACTION_RELAYED,
	ACTION_EXPANDED,
	ACTION_COMPLAINT,
};
const char *report_action_name(enum report_action a); /* "failed"; "" for none */

struct report_rcpt {
	struct str address;    /* as we sent to it; "" if the report hides it */
	struct str final;      /* where it was forwarded to, if that is another */
	struct str diagnostic; /* the receiver's words, one line; may hold any UTF-8 */
	struct str remote_mta;
	enum report_action action;
	char status[REPORT_STATUS_SIZE]; /* "5.1.1"; "" if not said */
};

struct report {
	enum report_kind kind;
	const char *rule; /* which form it was read as: "rfc3464", "qmail", "auto-reply" */
	struct report_rcpt *rcpts;
	int nrcpts;
	struct str envid;	  /* Original-Envelope-Id */
	struct str message_id;	  /* of the mail that it is about, without <> */
	struct str reporting_mta; /* without its type */
	struct str feedback_type; /* lower case: "abuse" */
	struct str user_agent;
	struct str source_ip;	/* as reported */
	struct str return_path; /* of the mail that it is about */
	struct str ref;		/* its X-Stoker-Ref */
	struct str to;		/* where the report was sent to: may be a return path of ours */
	bool complaint;		/* feedback that means: no more of this */
	bool cut;		/* a bound was met: it was not read to the end */
};

/* Everything in *out lives in `mem`. False only without memory. */
bool report_read(struct str message, struct arena *mem, struct report *out);

/* The first enhanced code (RFC 3463) in a text, else none: false. */
bool report_enhanced(struct str text, char out[REPORT_STATUS_SIZE]);
/* The first 4yz or 5yz reply code in a text; 0 if none. */
int report_basic(struct str text);

#endif
