#include "core/sign/lib.h"

#include <stdlib.h>
#include <sys/types.h>

#include <opendkim/dkim.h>
#include <openssl/err.h>

static const char field_name[] = "DKIM-Signature: ";

/* ---- memory: everything a signature allocates goes with its arena ---- */

static void *from_arena(void *closure, size_t n)
{
	return arena_alloc(closure, n ? n : 1);
}

static void to_arena(void *closure, void *p)
{
	(void)closure;
	(void)p;
}

/* ---- the library's handle ---- */

static bool set_oversign(DKIM_LIB *lib, const struct conf_dkim *d)
{
	const char **list = calloc((size_t)d->noversign + 1, sizeof *list);
	DKIM_STAT st;

	if (!list)
		return false;
	for (int i = 0; i < d->noversign; i++)
		list[i] = d->oversign[i];
	st = dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_OVERSIGNHDRS, list, sizeof list);
	free(list);
	return st == DKIM_STAT_OK;
}

void *sign_lib_new(const struct conf_dkim *d)
{
	DKIM_LIB *lib = dkim_init(from_arena, to_arena);
	uint64_t ttl = d->expire_after == US_NEVER ? 0 : (uint64_t)(d->expire_after / US_PER_S);

	if (!lib)
		return NULL;
	if ((d->noversign && !set_oversign(lib, d)) ||
	    dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_SIGNATURETTL, &ttl, sizeof ttl) !=
		DKIM_STAT_OK) {
		dkim_close(lib);
		return NULL;
	}
	return lib;
}

void sign_lib_free(void *lib)
{
	if (lib)
		dkim_close(lib);
}

const char *const *sign_lib_recommended(void)
{
	return (const char *const *)(const void *)dkim_should_signhdrs;
}

/* ---- a signature ---- */

/* dkim_geterror knows nothing of some errors. */
static bool ok(DKIM *d, DKIM_STAT st, struct errbuf *e)
{
	const char *words = d ? dkim_geterror(d) : NULL;

	if (st == DKIM_STAT_OK)
		return true;
	errbuf_set(e, "%s", words && *words ? words : dkim_getresultstr(st));
	return false;
}

static u_char *bytes(struct str s)
{
	return (u_char *)(uintptr_t)s.p; /* libopendkim takes no const, and changes nothing */
}

static const u_char *text(const char *z)
{
	return (const u_char *)z;
}

DKIM *sign_lib_begin(const struct signer *s, const struct sign_key *k, struct arena *a,
		     struct errbuf *e)
{
	DKIM_STAT st = DKIM_STAT_OK;
	DKIM *d = dkim_sign(s->lib, text("-"), a, (dkim_sigkey_t)k->pem, text(k->selector),
			    text(s->conf->domain), DKIM_CANON_RELAXED, DKIM_CANON_RELAXED,
			    k->ed25519 ? DKIM_SIGN_ED25519SHA256 : DKIM_SIGN_RSASHA256, -1, &st);

	if (!d)
		ok(NULL, st == DKIM_STAT_OK ? DKIM_STAT_NORESOURCE : st, e);
	return d;
}

bool sign_lib_field(DKIM *d, struct str field, struct errbuf *e)
{
	return ok(d, field.n ? dkim_header(d, bytes(field), field.n) : DKIM_STAT_SYNTAX, e);
}

bool sign_lib_header_end(DKIM *d, struct errbuf *e)
{
	return ok(d, dkim_eoh(d), e);
}

bool sign_lib_body(DKIM *d, struct str part, struct errbuf *e)
{
	return !part.n || ok(d, dkim_body(d, bytes(part), part.n), e);
}

bool sign_lib_end(DKIM *d, const struct sign_key *k, void *pkey, struct buf *out, struct errbuf *e)
{
	u_char *value = NULL;
	size_t n = 0;
	DKIM_STAT st;

	sign_pem_offer(k->pem, pkey, k->ed25519);
	st = dkim_eom(d, NULL);
	sign_pem_offer(NULL, NULL, false);
	ERR_clear_error();
	if (st == DKIM_STAT_OK)
		st = dkim_getsighdr_d(d, sizeof field_name - 1, &value, &n);
	if (!ok(d, st, e))
		return false;
	buf_adds(out, STR_LIT("DKIM-Signature: "));
	buf_adds(out, str_mem(value, n));
	buf_adds(out, STR_LIT("\r\n"));
	if (buf_failed(out))
		errbuf_set(e, "no memory");
	return !buf_failed(out);
}

void sign_lib_drop(DKIM *d)
{
	if (d)
		dkim_free(d);
}

/* ---- verifying a probe ---- */

static DKIM_CBSTAT give_record(DKIM *d, DKIM_SIGINFO *sig, u_char *buf, size_t n)
{
	const char *record = dkim_get_user_context(d);
	size_t len = strlen(record);

	(void)sig;
	if (len >= n)
		return DKIM_CBSTAT_ERROR;
	memcpy(buf, record, len + 1);
	return DKIM_CBSTAT_CONTINUE;
}

static bool feed(DKIM *d, struct str header, struct str body, DKIM_STAT *st)
{
	struct str rest = header;

	while (rest.n && *st == DKIM_STAT_OK) {
		size_t n = 0;

		while (n + 2 < rest.n &&
		       !(rest.p[n] == '\r' && rest.p[n + 2] != '\t' && rest.p[n + 2] != ' '))
			n++;
		n = n + 2 < rest.n ? n : rest.n - 2;
		*st = dkim_header(d, bytes(rest), n);
		rest.p += n + 2;
		rest.n -= n + 2;
	}
	if (*st == DKIM_STAT_OK)
		*st = dkim_eoh(d);
	if (*st == DKIM_STAT_OK)
		*st = dkim_body(d, bytes(body), body.n);
	return *st == DKIM_STAT_OK;
}

static void say_why(DKIM *d, DKIM_STAT st, struct errbuf *e)
{
	DKIM_SIGINFO *sig = dkim_getsignature(d);
	DKIM_SIGERROR code = sig ? dkim_sig_geterror(sig) : DKIM_SIGERROR_UNKNOWN;
	const char *words = sig && code > 0 ? dkim_sig_geterrorstr(code) : NULL;

	if (st == DKIM_STAT_BADSIG)
		words = "the published key is another one";
	errbuf_set(e, "%s", words ? words : dkim_getresultstr(st));
}

bool sign_lib_verify(struct str header, struct str body, const char *record, struct errbuf *e)
{
	DKIM_LIB *lib = dkim_init(NULL, NULL);
	DKIM_STAT st = DKIM_STAT_NORESOURCE;
	DKIM *d = lib ? dkim_verify(lib, text("-"), NULL, &st) : NULL;

	if (d && dkim_set_key_lookup(lib, give_record) == DKIM_STAT_OK &&
	    dkim_set_user_context(d, (void *)(uintptr_t)record) == DKIM_STAT_OK &&
	    feed(d, header, body, &st))
		st = dkim_eom(d, NULL);
	if (st != DKIM_STAT_OK) {
		if (d)
			say_why(d, st, e);
		else
			errbuf_set(e, "no memory");
	}
	if (d)
		dkim_free(d);
	if (lib)
		dkim_close(lib);
	ERR_clear_error();
	return st == DKIM_STAT_OK;
}
