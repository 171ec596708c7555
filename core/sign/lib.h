/* Inside core/sign only: libopendkim behind a few functions (TRAPS: it parses the key for each
 * signature, leaks Ed25519 state, and asserts on what it does not like). */
#ifndef STOKER_SIGN_LIB_H
#define STOKER_SIGN_LIB_H

#include "core/base/arena.h"
#include "core/sign/keys.h"

/* A DKIM_LIB whose allocations come from the arena that each signature is made with; NULL without
 * memory. Its options never change afterwards, so any thread may use it. */
void *sign_lib_new(const struct conf_dkim *d);
void sign_lib_free(void *lib);
/* Names of the header fields that RFC 6376 5.4.1 recommends to sign; ends with NULL. */
const char *const *sign_lib_recommended(void);

/* One signature in the making. All its memory lies in the arena and goes with it, also what
 * libopendkim would leak. NULL with words. */
struct dkim *sign_lib_begin(const struct signer *s, const struct sign_key *k, struct arena *a,
			    struct errbuf *e);
/* `field`: name to last byte before the final CRLF. */
bool sign_lib_field(struct dkim *d, struct str field, struct errbuf *e);
bool sign_lib_header_end(struct dkim *d, struct errbuf *e);
bool sign_lib_body(struct dkim *d, struct str part, struct errbuf *e);
/* Signs with `pkey` (an EVP_PKEY of the key's, perhaps a thread's own copy). The whole header field
 * with its CRLF into `out`. */
bool sign_lib_end(struct dkim *d, const struct sign_key *k, void *pkey, struct buf *out,
		  struct errbuf *e);
void sign_lib_drop(struct dkim *d); /* NULL allowed; before its arena */

/* Verifies a message that this process signed against the text of a published record. */
bool sign_lib_verify(struct str header, struct str body, const char *record, struct errbuf *e);

/* pem.c: what PEM_read_bio_PrivateKey answers on this thread for exactly this text. NULL: nothing
 * any more. borrow: the reader never frees what it gets. */
void sign_pem_offer(const char *pem, void *pkey, bool borrow);

#endif
