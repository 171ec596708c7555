/* What ties a report to a message of ours: an id, a recipient's index and an HMAC (RFC 2104,
 * SHA-256) over them, in the return path (VERP) and in an X-Stoker-Ref header, so that nobody who
 * has not seen one can make one. Pure but for the key's file; any thread. */
#ifndef STOKER_FEEDBACK_TOKEN_H
#define STOKER_FEEDBACK_TOKEN_H

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"

enum {
	TOKEN_KEYS_MAX = 4,
	TOKEN_KEY_BYTES_MAX = 128,
	TOKEN_KEY_BYTES_MIN = 16,
	TOKEN_CIPHER_KEY = 32
};

struct token_keys {
	struct {
		unsigned char bytes[TOKEN_KEY_BYTES_MAX];
		size_t n;
		unsigned char cipher[TOKEN_CIPHER_KEY]; /* made of it */
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
 * a local part (RFC 5321 4.5.3.1.1) the recipient is left out, but signed all the same. False
 * without memory. */
bool token_verp(const struct token_keys *k, struct token t, struct str recipient, struct str domain,
		struct buf *out);
/* The return path's token, if it is one of ours at that domain; whom it was made for is appended to
 * `recipient`. Where the path leaves that out, `named` is tried: so a report can't be turned
 * against another address. Case is folded: some servers do so to what they return. */
bool token_verp_verify(const struct token_keys *k, struct str path, struct str domain,
		       struct str named, struct token *t, struct buf *recipient);

/* What is to be known again when the message itself is long gone; "" each. */
struct token_about {
	struct str recipient, sender, job, user, virtual_mta, envid;
};
/* The value of X-Stoker-Ref: "ID.INDEX.MAC", and in folded lines `about`, which only who has the
 * key can read or make. `about` NULL: none. False without memory. */
bool token_ref(const struct token_keys *k, struct token t, const struct token_about *about,
	       struct buf *out);
/* `value` may be folded still. What does not come back whole leaves `about` empty; its strings are
 * in `mem`. Both may be NULL. */
bool token_ref_verify(const struct token_keys *k, struct str value, struct token *t,
		      struct arena *mem, struct token_about *about);

#endif
