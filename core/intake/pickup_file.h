/* A pickup file: an envelope and a message (RFC 5322). Its lines may end in LF or CRLF; bare CR and
 * NUL are refused. Pure; any thread.
 *
 * The envelope is either in leading lines, which are cut off (PowerMTA's form):
 *   x-sender: a@b        once
 *   x-receiver: c@d      once or more
 *   x-envid: ID          RFC 3461 ENVID, as plain text
 *   x-job: NAME          becomes an X-Job field, which the server takes
 * or in the header: recipients are To, Cc and Bcc; the sender is Return-Path, else Sender, else
 * From. Bcc and Return-Path are removed then. */
#ifndef STOKER_INTAKE_PICKUP_FILE_H
#define STOKER_INTAKE_PICKUP_FILE_H

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"

struct pickup_mail {
	struct arena arena;
	struct str sender; /* without <>; "" for the null reverse-path */
	struct str *rcpts; /* without <>; not judged yet, but free of controls and angles */
	size_t nrcpts, rcpts_cap;
	struct str envid;   /* "" if there is none */
	bool utf8;	    /* an address is not ASCII */
	struct buf message; /* as it goes by SMTP, every line ends in CRLF; not dot-stuffed */
};

/* False with a sentence for the one who made the file. pickup_mail_free is due either way. */
bool pickup_parse(struct str file, struct pickup_mail *out, struct errbuf *why);
void pickup_mail_free(struct pickup_mail *m);

/* Addresses of an RFC 5322 address list (unfolded): comments, quoted strings, groups and display
 * names are understood. Each goes to fn, which returns false to stop. False with a sentence. */
bool address_list_each(struct str list, struct arena *mem,
		       bool (*fn)(void *arg, struct str address), void *arg, struct errbuf *why);

#endif
