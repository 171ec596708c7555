/* What the readers of the different forms share; core/feedback/report.c puts them in order. */
#ifndef STOKER_FEEDBACK_REPORT_INNER_H
#define STOKER_FEEDBACK_REPORT_INNER_H

#include "core/feedback/mime.h"
#include "core/feedback/report.h"

/* What the sender's and the subject's words say before the text is read. */
struct report_hints {
	struct str from;    /* address, lower case */
	struct str subject; /* decoded, lower case */
	bool daemon;	    /* a mail system's own address */
	bool null_path;	    /* Return-Path: <> */
	bool bounce_subject;
	bool auto_subject; /* an absence */
	bool auto_headers; /* X-Autoreply and the like */
	bool answered;	   /* Re:, Fwd: */
	bool bulk;	   /* a list's or campaign's mail */
};

struct reading {
	struct mime m;
	struct report *r;
	struct report_hints hints;
	const struct mime_part *status, *feedback, *receipt, *tlsrpt; /* by their types, or NULL */
	struct mime_head returned; /* header of the mail that it is about; n is 0 without one */
	struct str text;	   /* what the report says in words, up to the returned mail */
	struct str lower;	   /* the same, lower case, each run of blanks one blank */
};

/* Out of "rfc822; <a@b> (c)": an address, or "". */
struct str report_address(struct reading *q, struct str value);
/* The first address of a From, To or Cc value. *only: it is the only one. */
struct str report_mailbox(struct reading *q, struct str value, bool *only);
/* The new recipient, or the one that has this address; NULL beyond the bounds. */
struct report_rcpt *report_add(struct reading *q, struct str address);
/* The recipient by the returned mail's own header, if it has one only; "" else. */
struct str report_returned_to(struct reading *q);
/* "" if the local part or the domain says that it was hidden. */
bool report_redacted(struct str address);
bool report_is_daemon(struct str address);
/* One line, within REPORT_DIAGNOSTIC_MAX. */
struct str report_line(struct reading *q, struct str text);
/* Fills what the status leaves open from the diagnostic. */
void report_settle_status(struct report_rcpt *p);

bool report_read_status(struct reading *q);   /* RFC 3464; false: nothing in it */
bool report_read_feedback(struct reading *q); /* RFC 5965, JMRP; false: it is none */
bool report_read_text(struct reading *q);     /* by words; false: no bounce */
/* For the recipients of a status part that has no diagnostic for them: what the text says. */
void report_words_of_status(struct reading *q);

/* Tables of words, lower case UTF-8. */
enum words {
	WORDS_FAILED, /* somebody says that mail was not delivered */
	WORDS_DELAYED,
	WORDS_SUCCESS,
	WORDS_SUBJECT_FAILED,
	WORDS_SUBJECT_AUTO,
};
/* Where the first of them stands in `lower`; NULL: nowhere. */
const char *report_words(enum words which, struct str lower);

/* How a server's bounce begins. */
struct report_opening {
	const char *words;
	const char *rule;
};
const struct report_opening *report_opening(struct str lower);

#endif
