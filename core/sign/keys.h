/* The keys of the [dkim] sections, loaded once: at start (after the user was changed) and by a
 * worker at reload, then attached to the snapshot and immutable. Any thread that holds a reference
 * on the snapshot may use them (but for `published`, which moves). Key files are refused when
 * others can read them. */
#ifndef STOKER_SIGN_KEYS_H
#define STOKER_SIGN_KEYS_H

#include "conf/conf.h"

enum { SIGNER_KEYS = 2 };

struct sign_key {
	const char *selector;
	char *pem;    /* NUL-terminated, as libopendkim wants it; wiped when freed */
	void *pkey;   /* EVP_PKEY: the same, parsed */
	int number;   /* among all keys of the snapshot: threads keep copies by it */
	bool ed25519; /* else RSA */
	/* atomic, enum record_state: what the DNS said of it last (core/sign/probes.h) */
	uint32_t published;
	const struct origin *at;
};

struct signer { /* one [dkim] section */
	const struct conf_dkim *conf;
	struct sign_key key[SIGNER_KEYS];
	int nkeys;
	void *lib; /* DKIM_LIB, with the section's options */
	bool owns_lib;
	/* What is signed: headers, oversign and From. A field that is oversigned must also be
	 * signed where it is there: a verifier would find it. */
	const char **fields;
	int nfields;
};

struct sign_keys {
	struct signer *v; /* one for each of conf->dkim */
	int n;
	int nkeys;
};

/* Loads them and attaches them to `c`, which must not be shared yet. False if a file can't be used:
 * each is in `p` with its line; nothing is attached then. */
bool sign_keys_load(struct conf *c, struct conf_problems *p);
/* The signer of the domain (normal form) or of a parent; NULL. */
const struct signer *sign_keys_find(const struct conf *c, struct str domain);

#endif
