/* One message is signed: its bytes go in as they will go on the wire (before dot-stuffing), in
 * steps that the caller chooses, and a signature comes out. Which keys sign is found on the way,
 * from the From field. A signing belongs to one thread; nothing here blocks.
 *
 * Relaxed canonicalization for header and body. The header fields come before the message, so the
 * message's own bytes are never copied. */
#ifndef STOKER_SIGN_SIGN_H
#define STOKER_SIGN_SIGN_H

#include "core/base/domain.h"
#include "core/sign/keys.h"

enum { SIGN_STEP = 64 * 1024 }; /* how much of a body is fed in one loop pass */

enum signature_kind {
	SIGNATURE_NONE,	  /* no [dkim] section is for it */
	SIGNATURE_MADE,	  /* header holds one field a key */
	SIGNATURE_FAILED, /* reason says why; must: then it may not go out */
};
/* Of one message by one snapshot; counted, of one thread. */
struct signature {
	unsigned refs;
	enum signature_kind kind;
	bool must;
	us_t made_at;
	uint64_t conf; /* number of the snapshot */
	struct rstr *domain, *header, *reason;
	struct rstr *origin; /* of must-sign, "stoker.ini:12" */
};
struct signature *signature_ref(struct signature *s);
void signature_unref(struct signature *s); /* NULL allowed */

/* A thread's own copies of the keys (a shared one would be locked at each use), and what it signed
 * last. */
struct sign_thread;
struct sign_thread *sign_thread_new(void);
void sign_thread_free(struct sign_thread *t); /* NULL allowed */
/* The message's signature by this snapshot, if it was made here in the last minutes; one reference,
 * or NULL. */
struct signature *sign_recall(struct sign_thread *t, const struct conf *c, uint64_t message,
			      us_t now);
void sign_remember(struct sign_thread *t, uint64_t message, struct signature *s);

/* The signer for a message with this header (CRLF lines), NULL: none. `domain`: that of its From,
 * "" if it names none. */
const struct signer *sign_signer_for(const struct conf *c, struct str header,
				     char domain[DOMAIN_SIZE]);

struct signing;
/* `c` stays referenced until the end. NULL without memory. */
struct signing *signing_begin(struct sign_thread *t, struct conf *c);
/* False: it is settled what comes of it (no section, an error): the rest need not be fed. */
bool signing_feed(struct signing *g, struct str part);
/* The result, one reference; frees g. NULL without memory. */
struct signature *signing_end(struct signing *g, us_t now);
void signing_drop(struct signing *g); /* NULL allowed */

#endif
