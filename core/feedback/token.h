/* What ties a report to a message of ours: an id, a recipient's index and an HMAC (RFC 2104,
 * SHA-256) over them, in the return path (VERP) and in an X-Stoker-Ref header, so that nobody who
 * has not seen one can make one. Pure but for the key's file; any thread. */
#ifndef STOKER_FEEDBACK_TOKEN_H
#define STOKER_FEEDBACK_TOKEN_H

#include "core/base/buf.h"
#include "core/base/err.h"

enum { TOKEN_KEYS_MAX = 4, TOKEN_KEY_BYTES_MAX = 128, TOKEN_KEY_BYTES_MIN = 16 };

struct token_keys {
	struct {
		unsigned char bytes[TOKEN_KEY_BYTES_MAX];
		size_t n;
	} key[TOKEN_KEYS_MAX]; /* the first one signs, all verify: so a key can be changed */
	int n;
};
/* A key a line, 16 to 128 bytes each, in a file that not everybody can read. */
const struct err *token_keys_read(const char *path, struct token_keys *k, struct errbuf *e);
void token_keys_wipe(struct token_keys *k);

struct token {
	uint64_t message;
	uint32_t index; /* of the recipient in it */
};
/* Appends "bounce+ID.INDEX.MAC=user=their.example@DOMAIN"; where that would be over the 64 bytes of
 * a local part (RFC 5321 4.5.3.1.1) the recipient is left out. False without memory. */
bool token_verp(const struct token_keys *k, struct token t, struct str recipient, struct str domain,
		struct buf *out);
/* The return path's token, if it is one of ours at that domain. Case is folded: some servers do so
 * to what they return. */
bool token_verp_verify(const struct token_keys *k, struct str path, struct str domain,
		       struct token *t);
/* The value of X-Stoker-Ref: "ID.INDEX.MAC". */
bool token_ref(const struct token_keys *k, struct token t, struct buf *out);
bool token_ref_verify(const struct token_keys *k, struct str value, struct token *t);

#endif
