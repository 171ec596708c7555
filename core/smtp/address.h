/* SMTP's grammar (RFC 5321 4.1, RFC 6531 for UTF-8): pure functions over slices, the same for
 * server, client, pickup and reports. Any thread. */
#ifndef STOKER_SMTP_ADDRESS_H
#define STOKER_SMTP_ADDRESS_H

#include "core/base/buf.h"
#include "core/base/domain.h"

enum { LOCAL_PART_MAX = 64, PATH_MAX_BYTES = 254, ENVID_MAX = 100, ORCPT_MAX = 500 };

struct address {
	struct str whole;	  /* local@domain as given, without <> and source route */
	struct str local;	  /* as given, quotes kept */
	struct str domain;	  /* as given; "[192.0.2.1]" for a literal */
	char normal[DOMAIN_SIZE]; /* domain in normal form; "" for a literal */
	bool literal;
	bool utf8; /* needs SMTPUTF8: a byte over 127 in the local part or domain */
};
/* A mailbox: dot-string or quoted-string @ domain or literal. NULL or the reason in words ("local
 * part over 64 bytes"). */
const char *address_parse(struct str s, struct address *out);
/* "<…>" of MAIL or RCPT, with an obsolete source route dropped; "<>" gives an empty `whole` if
 * `null_ok`, "<postmaster>" is allowed for RCPT with domain "". *rest is what follows the ">". */
const char *address_parse_path(struct str s, bool null_ok, struct address *out, struct str *rest);
/* xtext of RFC 3461: well-formed? */
bool xtext_valid(struct str s);
bool xtext_encode(struct str s, struct buf *out);
bool xtext_decode(struct str s, struct buf *out);

#endif
