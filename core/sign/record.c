#include "core/sign/record.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/base64.h"
#include "core/sign/lib.h"

enum {
	ED25519_BYTES = 32,
	ARENA_BYTES = 16 * 1024,
	LIBRARY_TAKES = 1000, /* libopendkim has 1 KB for a record */
};

/* The tags that decide. NULL in `p`: not there. */
struct tags {
	struct str v, k, h, s, p;
	bool v_first;
};

const char *record_state_name(enum record_state s)
{
	static const char *const names[RECORD_STATES] = {
		[RECORD_UNKNOWN] = "unknown",	  [RECORD_GOOD] = "good",
		[RECORD_MISSING] = "missing",	  [RECORD_REVOKED] = "revoked",
		[RECORD_OTHER_KEY] = "other-key", [RECORD_UNUSABLE] = "unusable",
	};

	return names[s];
}

bool record_name(const struct signer *s, const struct sign_key *k, char out[DOMAIN_SIZE])
{
	int n = snprintf(out, DOMAIN_SIZE, "%s._domainkey.%s", k->selector, s->conf->domain);

	return n > 0 && n <= DOMAIN_MAX;
}

/* ---- reading it ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str trim(struct str s)
{
	for (; s.n && is_blank(s.p[0]); s.n--)
		s.p++;
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* One "name = value"; unknown names don't matter (RFC 6376 3.2), known ones twice do. */
static bool take_tag(struct str tag, int number, struct tags *t, struct errbuf *why)
{
	static const char known[] = "vkhsp";
	struct str *const place[] = { &t->v, &t->k, &t->h, &t->s, &t->p };
	struct str value = tag, name;
	const char *at;

	if (!memchr(tag.p, '=', tag.n)) {
		errbuf_set(why,
			   "is no list of tags: \"%.*s\" has no =", (int)(tag.n < 40 ? tag.n : 40),
			   tag.p);
		return false;
	}
	str_split(&value, '=', &name);
	name = trim(name);
	at = name.n == 1 ? strchr(known, name.p[0]) : NULL;
	if (!at || !*at)
		return true;
	if (place[at - known]->p) {
		errbuf_set(why, "has the tag %c= twice", *at);
		return false;
	}
	*place[at - known] = trim(value);
	t->v_first = t->v_first || (*at == 'v' && number == 0);
	return true;
}

static bool read_tags(struct str record, struct tags *t, struct errbuf *why)
{
	struct str tag;

	for (int i = 0; str_split(&record, ';', &tag); i++) {
		tag = trim(tag);
		if (!tag.n && !trim(record).n)
			return true;
		if (!take_tag(tag, i, t, why))
			return false;
	}
	return true;
}

/* Is one of the two words in the colon-separated list? A tag that is not there allows all. */
static bool allows(struct str list, const char *a, const char *b)
{
	struct str word;

	if (!list.p)
		return true;
	while (str_split(&list, ':', &word)) {
		word = trim(word);
		if (str_eqz(word, a) || str_eqz(word, b))
			return true;
	}
	return false;
}

#define SHOW(s) (int)((s).n < 60 ? (s).n : 60), (s).p

static bool tags_fit(const struct tags *t, const struct sign_key *k, struct errbuf *why)
{
	const char *kind = k->ed25519 ? "ed25519" : "rsa";
	struct str said = t->k.p ? t->k : STR_LIT("rsa");

	if (t->v.p && (!t->v_first || !str_eqz(t->v, "DKIM1")))
		errbuf_set(why, "must begin with v=DKIM1, or have no v=");
	else if (!t->p.p)
		errbuf_set(why, "has no p=");
	else if (!str_eqz(said, kind))
		errbuf_set(why, "says k=%.*s%s, and the key is k=%s", SHOW(said),
			   t->k.p ? "" : " (by having no k=)", kind);
	else if (!allows(t->h, "sha256", "sha256"))
		errbuf_set(why, "says h=%.*s, and mail is signed with sha256", SHOW(t->h));
	else if (!allows(t->s, "*", "email"))
		errbuf_set(why, "says s=%.*s, so it is not for mail", SHOW(t->s));
	return !why->text[0];
}

/* ---- its key ---- */

/* Base64 may be folded anywhere (RFC 6376 3.2). */
static bool decode(struct str p, struct buf *out)
{
	struct buf text;
	bool ok;

	buf_init(&text);
	for (size_t i = 0; i < p.n; i++)
		if (!is_blank(p.p[i]))
			buf_addc(&text, p.p[i]);
	ok = !buf_failed(&text) && base64_decode(out, buf_str(&text));
	buf_free(&text);
	return ok;
}

static enum record_state same_ed25519(EVP_PKEY *k, const struct buf *p, struct errbuf *why)
{
	unsigned char own[ED25519_BYTES];
	size_t n = sizeof own;

	if (!EVP_PKEY_get_raw_public_key(k, own, &n))
		return RECORD_UNKNOWN;
	if (p->n == n && memcmp(p->p, own, n) == 0)
		return RECORD_GOOD;
	if (p->n > n && memcmp(p->p + p->n - n, own, n) == 0) {
		errbuf_set(why, "has the key in p= as openssl writes it: of an Ed25519 key only "
				"the last 32 bytes belong there (RFC 8463 4)");
		return RECORD_UNUSABLE;
	}
	errbuf_set(why, "has another key in p=");
	return RECORD_OTHER_KEY;
}

static enum record_state same_rsa(EVP_PKEY *k, const struct buf *p, struct errbuf *why)
{
	const unsigned char *at = (const unsigned char *)p->p, *again = at;
	EVP_PKEY *said = d2i_PUBKEY(NULL, &at, (long)p->n), *bare = NULL;
	enum record_state state = RECORD_OTHER_KEY;

	if (!said)
		bare = d2i_PublicKey(EVP_PKEY_RSA, NULL, &again, (long)p->n);
	if (said && EVP_PKEY_eq(said, k) == 1) {
		state = RECORD_GOOD;
	} else if (bare && EVP_PKEY_eq(bare, k) == 1) {
		errbuf_set(why, "has the key in p= without the frame that says that it is RSA "
				"(openssl pkey -pubout writes it)");
		state = RECORD_UNUSABLE;
	} else if (!said && !bare) {
		errbuf_set(why, "has no RSA key in p= (is it cut?)");
		state = RECORD_UNUSABLE;
	} else {
		errbuf_set(why, "has another key in p=");
	}
	EVP_PKEY_free(said);
	EVP_PKEY_free(bare);
	ERR_clear_error();
	return state;
}

static enum record_state same_key(const struct sign_key *k, struct str p, struct errbuf *why)
{
	enum record_state state = RECORD_UNUSABLE;
	struct buf der;

	buf_init(&der);
	if (!decode(p, &der))
		errbuf_set(why, "has no base64 in p=");
	else
		state =
		    k->ed25519 ? same_ed25519(k->pkey, &der, why) : same_rsa(k->pkey, &der, why);
	buf_free(&der);
	return state;
}

/* ---- the probe ---- */

static const char probe_field[] = "From: probe@stoker.invalid", probe_body[] = "A probe.\r\n";

static bool sign_probe(const struct signer *s, const struct sign_key *k, struct arena *a,
		       struct buf *out, struct errbuf *why)
{
	struct dkim *d = sign_lib_begin(s, k, a, why);
	bool ok = d && sign_lib_field(d, str_of(probe_field), why) && sign_lib_header_end(d, why) &&
		  sign_lib_body(d, str_of(probe_body), why) &&
		  sign_lib_end(d, k, k->pkey, out, why);

	sign_lib_drop(d);
	return ok && buf_addz(out, probe_field) && buf_addz(out, "\r\n");
}

static enum record_state probe(const struct signer *s, const struct sign_key *k, struct str record,
			       struct errbuf *why)
{
	char *text = str_dup(record);
	struct errbuf e = { "" };
	struct arena a;
	struct buf head;
	bool ok;

	arena_init(&a, ARENA_BYTES);
	buf_init(&head);
	ok = text && sign_probe(s, k, &a, &head, &e) &&
	     sign_lib_verify(buf_str(&head), str_of(probe_body), text, &e);
	if (!ok)
		errbuf_set(why, "does not verify a probe: %s", e.text[0] ? e.text : "no memory");
	arena_free(&a);
	buf_free(&head);
	free(text);
	return ok ? RECORD_GOOD : RECORD_UNUSABLE;
}

enum record_state record_judge(const struct signer *s, const struct sign_key *k,
			       const struct str *texts, int n, struct errbuf *why)
{
	struct tags t = { .v_first = false };
	enum record_state state;

	if (n == 0) {
		errbuf_set(why, "does not exist");
		return RECORD_MISSING;
	}
	if (n > 1) {
		errbuf_set(why, "is %d TXT records, and a receiver may take any: leave one", n);
		return RECORD_UNUSABLE;
	}
	if (memchr(texts[0].p, '\0', texts[0].n)) {
		errbuf_set(why, "holds a NUL");
		return RECORD_UNUSABLE;
	}
	if (!read_tags(texts[0], &t, why))
		return RECORD_UNUSABLE;
	if (t.p.p && !t.p.n) {
		errbuf_set(why, "says that the key is revoked (p= is empty)");
		return RECORD_REVOKED;
	}
	if (!tags_fit(&t, k, why))
		return RECORD_UNUSABLE;
	state = same_key(k, t.p, why);
	if (state == RECORD_GOOD && texts[0].n < LIBRARY_TAKES)
		state = probe(s, k, texts[0], why);
	return state;
}
