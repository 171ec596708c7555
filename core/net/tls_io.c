/* TLS on one connection. ERR_clear_error before each call: the queue of errors is the thread's, and
 * an old one would be taken for this connection's. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/net/tls_priv.h"

/* ---- what failed ---- */

static void words_of_library(struct tls *t)
{
	unsigned long code = ERR_peek_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	snprintf(t->error, sizeof t->error, "TLS: %s", text ? text : "protocol error");
}

static void describe(struct tls *t)
{
	long v = SSL_get_verify_result(t->ssl);

	if (t->error[0])
		return;
	if (t->verify && v != X509_V_OK &&
	    ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		snprintf(t->error, sizeof t->error, "TLS: the certificate is not trusted: %s",
			 X509_verify_cert_error_string(v));
	else
		words_of_library(t);
}

/* After a call that gave rc <= 0: -1 with errno EAGAIN or what failed, 0 at the peer's end. */
static int outcome(struct tls *t, int rc, bool *read, bool *write)
{
	int error = errno;

	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		*read = true;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_WANT_WRITE:
		*write = true;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		t->failed = true;
		errno = error ? error : ECONNRESET;
		return -1;
	default:
		describe(t);
		t->failed = true;
		errno = EPROTO;
		return -1;
	}
}

static int clamp(size_t n)
{
	return n > INT32_MAX ? INT32_MAX : (int)n;
}

/* ---- calls ---- */

ssize_t tls_read(struct io *io, char *p, size_t n)
{
	struct tls *t = io->tls;
	bool read = false;
	int rc;

	t->read_wants_write = false;
	ERR_clear_error();
	errno = 0;
	rc = SSL_read(t->ssl, p, clamp(n));
	return rc > 0 ? rc : outcome(t, rc, &read, &t->read_wants_write);
}

ssize_t tls_write(struct io *io, const char *p, size_t n)
{
	struct tls *t = io->tls;
	bool write = false;
	int rc;

	t->write_wants_read = false;
	ERR_clear_error();
	errno = 0;
	rc = SSL_write(t->ssl, p, clamp(n));
	t->write_begun = rc <= 0;
	if (rc > 0)
		return rc;
	if (outcome(t, rc, &t->write_wants_read, &write) == 0) {
		t->failed = true;
		errno = EPIPE;
	}
	return -1;
}

int tls_step(struct io *io, bool *write)
{
	struct tls *t = io->tls;
	bool read = false;
	int rc;

	*write = false;
	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(t->ssl);
	if (rc == 1) {
		t->phase = TLS_UP;
		return 1;
	}
	if (outcome(t, rc, &read, write) == 0) {
		t->failed = true;
		errno = ECONNRESET;
	}
	return errno == EAGAIN ? 0 : -1;
}

bool tls_pending(const struct io *io)
{
	return io->tls && io->tls->phase == TLS_UP && SSL_has_pending(io->tls->ssl);
}

void tls_goodbye(struct io *io)
{
	struct tls *t = io->tls;

	if (t->phase != TLS_UP || t->failed || t->write_begun)
		return;
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl);
}

void tls_free(struct io *io)
{
	struct tls *t = io->tls;

	/* Without it the library takes the connection for a broken one, and its session for of no
	 * use. */
	if (t->phase == TLS_UP && !t->failed)
		SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	ERR_clear_error();
	free(t);
	io->tls = NULL;
}

/* ---- beginning ---- */

static int version_of(enum tls_min min)
{
	static const int versions[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION,
					TLS1_3_VERSION };

	return versions[min];
}

static bool set_name(struct tls *t, const struct tls_client_opts *o)
{
	struct endpoint ip;

	if (endpoint_parse(str_of(o->name), 0, &ip)) /* no SNI (RFC 6066 3) */
		return !o->verify ||
		       X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), o->name) == 1;
	if (SSL_set_tlsext_host_name(t->ssl, o->name) != 1)
		return false;
	if (!o->verify)
		return true;
	SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(t->ssl, o->name) == 1;
}

static bool prepare_client(struct tls *t, const struct tls_client_opts *o)
{
	SSL_SESSION *s = o->cache ? tls_cache_take(o->cache, o->cache_key) : NULL;

	t->client = true;
	t->verify = o->verify;
	t->cache = o->cache;
	t->cache_key = o->cache_key;
	if (s) {
		SSL_set_session(t->ssl, s);
		SSL_SESSION_free(s);
	}
	SSL_set_connect_state(t->ssl);
	if (o->min < TLS_MIN_1_2)
		SSL_set_security_level(t->ssl, 0);
	return SSL_set_min_proto_version(t->ssl, version_of(o->min)) == 1 && set_name(t, o);
}

/* NULL: no memory, or bytes lie about that came in plain. */
static struct tls *attach(struct io *io, struct tls_context *ctx)
{
	struct tls *t;

	OBJ_CHECK(io, IO_MAGIC);
	if (io->tls || io->in.n > io->in_off)
		return NULL;
	t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	ERR_clear_error();
	t->ssl = SSL_new(ctx->ctx);
	if (!t->ssl || SSL_set_fd(t->ssl, io->fd) != 1) {
		SSL_free(t->ssl);
		free(t);
		return NULL;
	}
	SSL_set_app_data(t->ssl, io);
	io->tls = t;
	return t;
}

bool io_start_tls_server(struct io *io, struct tls_context *ctx)
{
	struct tls *t = attach(io, ctx);

	if (!t)
		return false;
	SSL_set_accept_state(t->ssl);
	io_tls_begin(io);
	return true;
}

bool io_start_tls_client(struct io *io, struct tls_context *ctx, const struct tls_client_opts *o)
{
	struct tls *t = attach(io, ctx);

	if (!t)
		return false;
	if (!prepare_client(t, o)) {
		tls_free(io);
		return false;
	}
	io_tls_begin(io);
	return true;
}

/* ---- what is known of it ---- */

bool io_tls(const struct io *io)
{
	return io->tls && io->tls->phase == TLS_UP;
}

const char *io_tls_version(const struct io *io)
{
	return io_tls(io) ? SSL_get_version(io->tls->ssl) : "";
}

const char *io_tls_cipher(const struct io *io)
{
	return io_tls(io) ? SSL_get_cipher_name(io->tls->ssl) : "";
}

bool io_tls_resumed(const struct io *io)
{
	return io_tls(io) && SSL_session_reused(io->tls->ssl) == 1;
}

bool io_tls_failed(const struct io *io)
{
	return io->tls && io->tls->failed;
}

bool io_tls_untrusted(const struct io *io)
{
	return io->tls && io->tls->verify && io->tls->failed &&
	       SSL_get_verify_result(io->tls->ssl) != X509_V_OK;
}
