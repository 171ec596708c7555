/* TLS inside an io: what io.c and io_out.c ask of it. Only tls*.c call OpenSSL. */
#ifndef STOKER_NET_TLS_PRIV_H
#define STOKER_NET_TLS_PRIV_H

#include <openssl/ssl.h>

#include "core/net/io_priv.h"
#include "core/net/tls.h"

enum tls_phase {
	TLS_PLAIN_FIRST, /* what was written in plain has not all left */
	TLS_HANDSHAKE,
	TLS_UP,
};

struct tls {
	SSL *ssl;
	enum tls_phase phase;
	size_t plain_left; /* TLS_PLAIN_FIRST: bytes of the output that go in plain */
	bool client, verify, failed;
	bool read_wants_write, write_wants_read; /* rare: key updates */
	bool write_begun; /* a record is partly written: it must be offered again */
	struct tls_cache *cache;
	uint64_t cache_key;
	char error[200]; /* "" or words */
};

struct tls_context {
	SSL_CTX *ctx;
	struct tls_context *next; /* of its set */
	int listener;		  /* CONF_NONE: a client's */
};

/* As recv and send: bytes, 0 at the peer's end (read), -1 with errno: EAGAIN, or EPROTO when TLS
 * itself failed (words in tls->error). */
ssize_t tls_read(struct io *io, char *p, size_t n);
ssize_t tls_write(struct io *io, const char *p, size_t n);
/* One step. 1: established, 0: wants more, -1: failed (errno as above). *write: it waits to write.
 */
int tls_step(struct io *io, bool *write);
/* Decrypted or read-ahead bytes that no poll will announce. */
bool tls_pending(const struct io *io);
/* Says goodbye once, if nothing failed. */
void tls_goodbye(struct io *io);
void tls_free(struct io *io);

/* tls_cache.c */
void tls_cache_put(struct tls_cache *c, uint64_t key,
		   SSL_SESSION *s); /* takes over the reference */
/* One to try, or NULL. The caller owns the reference; of TLS 1.3 it is given out once. */
SSL_SESSION *tls_cache_take(struct tls_cache *c, uint64_t key);

#endif
