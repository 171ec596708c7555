/* The class of a receiver's reply: from the configuration's pattern list, else from a small
 * built-in list of texts, its enhanced code and its basic code. Runs on io threads; the compiled
 * rules are immutable and shared. PCRE2 with JIT and match limits, so hostile text costs bounded
 * time. */
#ifndef STOKER_CLASSIFY_CLASSIFY_H
#define STOKER_CLASSIFY_CLASSIFY_H

#include "conf/patterns.h"
#include "core/base/err.h"
#include "core/base/str.h"

enum reply_class {
	CLASS_OK,	/* 2xx, 3xx */
	CLASS_MAILBOX,	/* 4xx about this one recipient (full, unknown for now, receiving too fast):
			   never slows a lane */
	CLASS_GREYLIST, /* come back soon: never counts as a failure */
	CLASS_THROTTLE, /* slower, please: 421 and the like */
	CLASS_TRANSIENT, /* any other 4xx: counts towards the lane's rest */
	CLASS_PERMANENT, /* 5xx about this recipient or message */
	CLASS_POLICY, /* 5xx about us (blocked, reputation): bounces the recipient; counts as a lane
			 failure */
	CLASS_CONNECTION, /* no reply: refused, reset, time-out, closed */
};
const char *reply_class_name(enum reply_class c);

enum { CATEGORY_SIZE = 32 };
struct reply_verdict {
	enum reply_class class;
	bool permanent; /* the recipient bounces */
	bool hard;	/* see verdict_hard in category.h, which also knows what codes say */
	char category[CATEGORY_SIZE]; /* see verdict_category; empty: no rule said it */
	const char *category_rule;    /* "bounces.ini:40"; NULL: the codes say it */
	char enhanced[12]; /* "5.1.1": from the text, else made from the basic code ("4.0.0");
			    * "4.4.2" for no reply, "4.5.0" for what is no reply line. At RCPT a
			    * 552's 5 becomes 4 */
	const char *rule;  /* why: "patterns.ini:40", "code 4xx", "text greylisting"; lives as long
			    * as  the pattern lists, or for ever */
	const struct pattern *pattern; /* what else the configuration wants done; NULL: nothing */
};

/* Which step of the dialogue got the reply: 421 before MAIL on a used connection is no throttling.
 */
enum smtp_step {
	STEP_CONNECT,
	STEP_GREETING,
	STEP_EHLO,
	STEP_AUTH, /* to a smarthost */
	STEP_TLS,  /* STARTTLS and the handshake; also: TLS is wanted and not offered */
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,
	STEP_BODY, /* after the final dot */
	STEP_RSET,
	STEP_QUIT,
};
const char *smtp_step_name(enum smtp_step s); /* "greeting", "RCPT TO", "end of DATA" */

struct classifier;
/* Compiles the built-in list. NULL with a sentence if a pattern is wrong (start or reload only). */
struct classifier *classifier_new(struct errbuf *e);
void classifier_free(struct classifier *c);
/* reply: all its lines, joined by \n, each with its code ("421-4.7.0 text\n421 4.7.0 more"). An
 * empty reply is CLASS_CONNECTION; one that does not begin with a code is CLASS_TRANSIENT. 552 at
 * RCPT counts as 452 (RFC 5321 4.5.3.1.10). Of a reply over 2 KB the first 1.5 KB and the end are
 * looked at. The pattern list (NULL: none) comes first; where no line of it matches, the basic code
 * alone says whether the recipient bounces, and code, enhanced code, text and step say what it
 * means for the lane. Any number of threads. */
void classify(const struct classifier *c, const struct pattern_list *list, enum smtp_step step,
	      struct str reply, struct reply_verdict *out);
/* receiver: its MX host or provider, for the rules that hold for some only. */
void classify_from(const struct classifier *c, const struct pattern_list *list, enum smtp_step step,
		   struct str receiver, struct str reply, struct reply_verdict *out);
/* What failed here and for good, in words: only the rules of categories look at it. */
void classify_local(const struct classifier *c, const struct pattern_list *list, struct str text,
		    struct reply_verdict *out);
/* Only mode=normal concerns a reply that is no refusal: sets out->pattern if a line says so. */
void classify_success(const struct classifier *c, const struct pattern_list *list, struct str reply,
		      struct reply_verdict *out);

#endif
