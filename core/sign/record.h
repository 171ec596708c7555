/* A key's published record (RFC 6376 3.6.1) against the key itself: would a receiver verify what
 * is signed with it? Pure but for the library's own signing. Any thread. */
#ifndef STOKER_SIGN_RECORD_H
#define STOKER_SIGN_RECORD_H

#include "core/base/domain.h"
#include "core/sign/keys.h"

enum record_state {
	RECORD_UNKNOWN,	  /* not looked up yet, or the DNS does not answer */
	RECORD_GOOD,	  /* a signature verifies with it */
	RECORD_MISSING,	  /* there is none */
	RECORD_REVOKED,	  /* p= is empty */
	RECORD_OTHER_KEY, /* p= is another key */
	RECORD_UNUSABLE,  /* receivers can't use it; the words say why */
	RECORD_STATES
};
/* "unknown", "good", "missing", "revoked", "other-key", "unusable" */
const char *record_state_name(enum record_state s);
/* "selector._domainkey.domain" into out[DOMAIN_SIZE]; false if that is too long for a name. */
bool record_name(const struct signer *s, const struct sign_key *k, char out[DOMAIN_SIZE]);
/* Judges the name's n TXT records, strings joined; with words in `why` unless it is good. First
 * what is written in it, then a probe is signed and verified with it. */
enum record_state record_judge(const struct signer *s, const struct sign_key *k,
			       const struct str *texts, int n, struct errbuf *why);

#endif
