/* TLS contexts: certificates, keys and authorities, read once for a configuration and shared by all
 * sessions that hold it. Made by a worker or before threads start (it reads files, and the
 * authorities alone take 50 ms); afterwards immutable, any thread. What a connection does with them
 * is io's (io_start_tls). */
#ifndef STOKER_NET_TLS_H
#define STOKER_NET_TLS_H

#include "conf/settings.h"
#include "core/net/io.h"

/* Reads what the snapshot names and hangs it into it (conf->tls), before it is shared: the
 * certificate and key of each listener with tls, and the two client contexts, of which one knows
 * the machine's authorities if smtp-starttls = verify stands anywhere. False with every error, at
 * its file and line, in `problems`. */
bool tls_attach(struct conf *c, struct conf_problems *problems);

/* NULL: this listener has none. */
struct tls_context *tls_for_listener(const struct conf *c, int listener);
/* The one that checks certificates, or the one that takes any. */
struct tls_context *tls_for_client(const struct conf *c, bool verify);

/* Sessions of one loop's client that can be resumed: 2.4 times cheaper for both sides. Bounded; the
 * least used goes. */
struct tls_cache;
struct tls_cache *tls_cache_new(void); /* NULL without memory */
void tls_cache_free(struct tls_cache *c);
/* Forgets all: the authorities may have changed. */
void tls_cache_clear(struct tls_cache *c);

struct tls_client_opts {
	const char *name;	 /* of the host: sent as SNI, and what the certificate must name */
	bool verify;		 /* with the context that checks */
	enum tls_min min;	 /* TLS_MIN_1_0: any */
	struct tls_cache *cache; /* NULL: no resumption */
	uint64_t cache_key;	 /* of host, address and policy: never shared between two of them */
};

/* Begins TLS on a connection whose plain part has come to its end: what was written before leaves
 * first, in plain; everything after goes encrypted, once IO_TLS is told (or IO_ERROR, with words).
 * False if bytes have been read and not consumed: they came before the switch and belong to nobody,
 * so the caller closes. Also false without memory. */
bool io_start_tls_server(struct io *io, struct tls_context *ctx);
bool io_start_tls_client(struct io *io, struct tls_context *ctx, const struct tls_client_opts *o);
/* Established? */
bool io_tls(const struct io *io);
/* "TLSv1.3" and "TLS_AES_256_GCM_SHA384"; "" before it is established. */
const char *io_tls_version(const struct io *io);
const char *io_tls_cipher(const struct io *io);
/* The handshake continued a session of before. */
bool io_tls_resumed(const struct io *io);
/* After IO_ERROR: the handshake, or what followed it, failed as TLS (not the connection below it).
 */
bool io_tls_failed(const struct io *io);
/* … because the certificate is not what `verify` wants. */
bool io_tls_untrusted(const struct io *io);

#endif
