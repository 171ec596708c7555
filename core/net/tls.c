/* Contexts: what is read from disk once for a configuration. */
#include "core/net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/secret.h"
#include "core/net/tls_priv.h"

enum { PEM_MAX = 256 * 1024 };

/* Where distributions keep the authorities as one file: Debian, Fedora, SUSE, Alpine. A directory
 * of hashed names would be read while mail flows. */
static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

struct tls_set {
	struct tls_context *listeners;
	struct tls_context any, verify;
};

static void set_free(void *arg)
{
	struct tls_set *t = arg;

	while (t->listeners) {
		struct tls_context *x = t->listeners;

		t->listeners = x->next;
		SSL_CTX_free(x->ctx);
		free(x);
	}
	SSL_CTX_free(t->any.ctx);
	SSL_CTX_free(t->verify.ctx);
	free(t);
}

/* OpenSSL's own words for the last failure. */
static const char *reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	return text ? text : "it can't be used";
}

static SSL_CTX *context_new(const SSL_METHOD *method)
{
	SSL_CTX *x = SSL_CTX_new(method);

	if (!x)
		return NULL;
	SSL_CTX_set_mode(x, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				SSL_MODE_RELEASE_BUFFERS);
	/* SMTP frames its messages itself: an end without close_notify is an end like any other. */
	SSL_CTX_set_options(x, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				   SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_read_ahead(x, 1); /* one recv for header and record */
	return x;
}

/* ---- listeners ---- */

static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return 0; /* and above all: ask nobody on the terminal */
}

static const struct err *load_key(SSL_CTX *x, const char *path, struct errbuf *e)
{
	struct buf pem;
	BIO *in;
	EVP_PKEY *key = NULL;
	const struct err *err;

	buf_init(&pem);
	err = secret_file_read(path, PEM_MAX, &pem, e);
	in = err ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
	if (in)
		key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
	if (!err && !key) {
		errbuf_set(e, "%s holds no private key that can be used (PEM, no passphrase): %s",
			   path, reason());
		err = &err_invalid;
	} else if (!err &&
		   (SSL_CTX_use_PrivateKey(x, key) != 1 || SSL_CTX_check_private_key(x) != 1)) {
		errbuf_set(e, "%s is not the key of the certificate: %s", path, reason());
		err = &err_invalid;
	}
	EVP_PKEY_free(key);
	BIO_free(in);
	secret_free(&pem);
	return err;
}

static SSL_CTX *server_context(void)
{
	static const unsigned char id[] = "stoker";
	SSL_CTX *x = context_new(TLS_server_method());

	if (!x)
		return NULL;
	/* 1.0 and 1.1 are given up (RFC 8996); who hands in passwords must not speak them. */
	SSL_CTX_set_min_proto_version(x, TLS1_2_VERSION);
	SSL_CTX_set_options(x, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_OFF); /* tickets need no memory */
	SSL_CTX_set_session_id_context(x, id, sizeof id - 1);
	return x;
}

static bool listener_context(struct tls_set *t, const struct conf *c, int i,
			     struct conf_problems *problems)
{
	const struct conf_listener *l = &c->listeners[i];
	struct tls_context *x = calloc(1, sizeof *x);
	struct errbuf e = { "" };
	int was = problems->errors;

	if (!x) {
		conf_problem_add(problems, true, &l->origin, "no memory for TLS");
		return false;
	}
	x->listener = i;
	x->next = t->listeners;
	t->listeners = x;
	x->ctx = server_context();
	ERR_clear_error();
	if (!x->ctx)
		conf_problem_add(problems, true, &l->origin, "TLS: %s", reason());
	else if (access(l->tls_certificate, R_OK))
		conf_problem_add(problems, true, &l->origin_tls_certificate,
				 "tls-certificate: %s: %s", l->tls_certificate, strerror(errno));
	else if (SSL_CTX_use_certificate_chain_file(x->ctx, l->tls_certificate) != 1)
		conf_problem_add(
		    problems, true, &l->origin_tls_certificate,
		    "tls-certificate: %s holds no certificate that can be used (PEM): %s",
		    l->tls_certificate, reason());
	else if (load_key(x->ctx, l->tls_key, &e))
		conf_problem_add(problems, true, &l->origin_tls_key, "tls-key: %s", e.text);
	return problems->errors == was;
}

/* ---- clients ---- */

static int keep_session(SSL *ssl, SSL_SESSION *s)
{
	struct io *io = SSL_get_app_data(ssl);
	struct tls *t = io ? io->tls : NULL;

	if (!t || !t->cache)
		return 0;
	tls_cache_put(t->cache, t->cache_key, s);
	return 1; /* the reference is the cache's now */
}

static SSL_CTX *client_context(void)
{
	SSL_CTX *x = context_new(TLS_client_method());

	if (!x)
		return NULL;
	SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(x, keep_session);
	return x;
}

/* Any encryption is better than none: old versions and short keys are as good as plaintext, and
 * that is what the mail would go in otherwise. */
static bool any_context(struct tls_set *t)
{
	t->any.listener = CONF_NONE;
	t->any.ctx = client_context();
	if (!t->any.ctx)
		return false;
	SSL_CTX_set_verify(t->any.ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_min_proto_version(t->any.ctx, TLS1_VERSION);
	SSL_CTX_set_security_level(t->any.ctx, 0);
	return true;
}

static bool load_authorities(SSL_CTX *x)
{
	const char *own = getenv("SSL_CERT_FILE");

	if (own && *own)
		return SSL_CTX_load_verify_locations(x, own, NULL) == 1;
	for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++)
		if (access(bundles[i], R_OK) == 0)
			return SSL_CTX_load_verify_locations(x, bundles[i], NULL) == 1;
	return false;
}

static bool verify_context(struct tls_set *t, const struct conf *c, struct conf_problems *problems)
{
	t->verify.listener = CONF_NONE;
	t->verify.ctx = client_context();
	if (!t->verify.ctx)
		return false;
	SSL_CTX_set_verify(t->verify.ctx, SSL_VERIFY_PEER, NULL);
	if (c->any_verify && !load_authorities(t->verify.ctx))
		conf_problem_add(problems, false, &c->origin_verify,
				 "smtp-starttls = verify: this machine has no bundle of "
				 "authorities, so no certificate will be trusted: install the "
				 "package ca-certificates (or set SSL_CERT_FILE)");
	return true;
}

/* ---- the set ---- */

bool tls_attach(struct conf *c, struct conf_problems *problems)
{
	struct tls_set *t = calloc(1, sizeof *t);
	bool ok = t && any_context(t) && verify_context(t, c, problems);

	if (!ok)
		conf_problem_add(problems, true, &(struct origin){ .file = c->path },
				 "TLS can't be set up: %s", t ? reason() : "no memory");
	for (int i = 0; t && i < c->nlisteners; i++)
		if (c->listeners[i].tls != CONF_TLS_NO)
			ok = listener_context(t, c, i, problems) && ok;
	if (problems->errors || !ok) {
		if (t)
			set_free(t);
		return false;
	}
	c->tls = t;
	c->tls_free = set_free;
	return true;
}

struct tls_context *tls_for_listener(const struct conf *c, int listener)
{
	const struct tls_set *t = c->tls;
	struct tls_context *x = t ? t->listeners : NULL;

	while (x && x->listener != listener)
		x = x->next;
	return x;
}

struct tls_context *tls_for_client(const struct conf *c, bool verify)
{
	struct tls_set *t = c->tls;

	if (!t)
		return NULL;
	return verify ? &t->verify : &t->any;
}
