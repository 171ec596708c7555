#include "core/feedback/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "core/base/base64.h"
#include "core/base/secret.h"

/* RFC 2104 5: no less than 80 bits. The header has room for half of the hash, the return path has
 * not. */
enum {
	VERP_MAC_BYTES = 10,
	REF_MAC_BYTES = 20,
	MAC_TEXT_MAX = REF_MAC_BYTES * 8 / 5 + 1,
	LOCAL_MAX = 64,
	SIGNED_MAX = 1100, /* 3 bytes for each of an address of 254, the id and a domain */
	FILE_MAX = 1024,
	ID_DIGITS = 16,
	INDEX_DIGITS = 8,
	IV_BYTES = 16,
	FOLD = 72,	 /* of base64 a line */
	ABOUT_MAX = 640, /* bytes; base64 of it is within what a report's reader keeps of a field */
};
static const char prefix[] = "bounce+";

static bool hmac(const struct token_keys *k, int i, struct str text,
		 unsigned char hash[EVP_MAX_MD_SIZE])
{
	unsigned len = 0;

	return HMAC(EVP_sha256(), k->key[i].bytes, (int)k->key[i].n, (const unsigned char *)text.p,
		    text.n, hash, &len) != NULL;
}

static bool make_cipher_key(struct token_keys *k, int i)
{
	unsigned char hash[EVP_MAX_MD_SIZE];

	if (!hmac(k, i, STR_LIT("cipher:"), hash))
		return false;
	memcpy(k->key[i].cipher, hash, TOKEN_CIPHER_KEY);
	return true;
}

const struct err *token_keys_read(const char *path, struct token_keys *k, struct errbuf *e)
{
	struct buf file;
	struct str rest, line;
	const struct err *err;

	buf_init(&file);
	*k = (struct token_keys){ .n = 0 };
	err = secret_file_read(path, FILE_MAX, &file, e);
	rest = buf_str(&file);
	while (!err && str_split(&rest, '\n', &line)) {
		line = str_trim(line);
		if (!line.n)
			continue;
		if (line.n < TOKEN_KEY_BYTES_MIN || line.n > TOKEN_KEY_BYTES_MAX ||
		    k->n == TOKEN_KEYS_MAX) {
			errbuf_set(e, "%s: write 1 to %d keys, a line each, of %d to %d bytes",
				   path, TOKEN_KEYS_MAX, TOKEN_KEY_BYTES_MIN, TOKEN_KEY_BYTES_MAX);
			err = &err_invalid;
			break;
		}
		memcpy(k->key[k->n].bytes, line.p, line.n);
		k->key[k->n].n = line.n;
		if (!make_cipher_key(k, k->n++)) {
			err = &err_no_memory;
			break;
		}
	}
	if (!err && !k->n) {
		errbuf_set(e, "%s has no key: write one of %d to %d bytes", path,
			   TOKEN_KEY_BYTES_MIN, TOKEN_KEY_BYTES_MAX);
		err = &err_invalid;
	}
	if (err)
		token_keys_wipe(k);
	secret_free(&file);
	return err;
}

void token_keys_wipe(struct token_keys *k)
{
	OPENSSL_cleanse(k, sizeof *k);
}

/* RFC 4648 base32 in lower case: survives a server that folds case. */
static void base32(const unsigned char *p, size_t n, char *out)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned bits = 0, have = 0;

	for (size_t i = 0; i < n; i++) {
		bits = (bits << 8 | p[i]) & 0xFFFF;
		for (have += 8; have >= 5; have -= 5)
			*out++ = digits[bits >> (have - 5) & 31];
	}
	*out = '\0';
}

/* The MAC of key i over what it is for and the text in lower case. */
static bool mac(const struct token_keys *k, int i, const char *use, struct str text, size_t bytes,
		char out[MAC_TEXT_MAX])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char lower[SIGNED_MAX], all[SIGNED_MAX + 8];

	if (!str_lower(text, lower, sizeof lower))
		return false;
	int n = snprintf(all, sizeof all, "%s:%s", use, lower);
	if (!hmac(k, i, str_mem(all, (size_t)n), hash))
		return false;
	base32(hash, bytes, out);
	return true;
}

static bool mac_fits(const struct token_keys *k, const char *use, struct str text, size_t bytes,
		     struct str given)
{
	char want[MAC_TEXT_MAX], have[MAC_TEXT_MAX];
	bool fits = false;

	if (given.n != bytes * 8 / 5 || !str_lower(given, have, sizeof have))
		return false;
	for (int i = 0; i < k->n; i++) /* all of them: the time says nothing */
		if (mac(k, i, use, text, bytes, want))
			fits |= CRYPTO_memcmp(want, have, given.n) == 0;
	return fits;
}

/* Letters, digits, dot, minus and underscore stand for themselves; "@" becomes "=", others ~HH. */
static bool spell(struct str s, struct buf *out)
{
	const char *at = s.n ? memrchr(s.p, '@', s.n) : NULL;
	bool ok = buf_addc(out, '=');

	for (size_t i = 0; ok && i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (s.p + i == at)
			ok = buf_addc(out, '=');
		else if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
			 (c && strchr(".-_", c)))
			ok = buf_addc(out, (char)c);
		else
			ok = buf_addf(out, "~%02x", c);
	}
	return ok;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The address of "=user=their.example". */
static bool unspell(struct str s, struct buf *out)
{
	const char *at = s.n > 1 ? memrchr(s.p + 1, '=', s.n - 1) : NULL;
	bool ok = true;

	for (size_t i = 1; ok && i < s.n; i++) {
		int hi = s.p[i] == '~' && i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
		int lo = hi < 0 ? -1 : hex_digit(s.p[i + 2]);

		if (s.p + i == at) {
			ok = buf_addc(out, '@');
		} else if (lo >= 0) {
			ok = buf_addc(out, (char)(hi << 4 | lo));
			i += 2;
		} else {
			ok = buf_addc(out, s.p[i]);
		}
	}
	return ok && at;
}

/* ID.INDEX, and what is signed with it: the rest of the local part and the domain. */
static bool signed_text(struct str id, struct str tail, struct str domain, struct buf *out)
{
	return buf_adds(out, id) && buf_adds(out, tail) && buf_addc(out, '@') &&
	       buf_adds(out, domain);
}

static int write_id(struct token t, char out[40])
{
	return snprintf(out, 40, "%llx.%x", (unsigned long long)t.message, (unsigned)t.index);
}

bool token_verp(const struct token_keys *k, struct token t, struct str recipient, struct str domain,
		struct buf *out)
{
	char id[40], m[MAC_TEXT_MAX];
	struct str head = str_mem(id, (size_t)write_id(t, id));
	struct buf tail, text;
	bool ok;

	buf_init(&tail);
	buf_init(&text);
	ok = spell(recipient, &tail) && signed_text(head, buf_str(&tail), domain, &text) &&
	     mac(k, 0, "verp", buf_str(&text), VERP_MAC_BYTES, m);
	if (sizeof prefix + head.n + VERP_MAC_BYTES * 8 / 5 + tail.n > LOCAL_MAX)
		buf_clear(&tail);
	ok = ok && buf_addf(out, "%s%s.%s", prefix, id, m) &&
	     (!tail.n || buf_adds(out, buf_str(&tail))) && buf_addc(out, '@') &&
	     buf_adds(out, domain);
	buf_free(&tail);
	buf_free(&text);
	return ok;
}

/* Hexadecimal, no leading zero: one spelling each. */
static bool read_hex(struct str s, size_t digits, uint64_t *v)
{
	*v = 0;
	if (!s.n || s.n > digits || (s.n > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = (char)(s.p[i] | 0x20);
		if (!(s.p[i] >= '0' && s.p[i] <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
		*v = *v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return true;
}

/* "ID.INDEX.MAC": *id is the first two, *given the last. */
static bool cut(struct str s, struct str *id, struct str *given, struct token *t)
{
	struct str rest = s, a, b;
	uint64_t index = 0;

	if (!str_split(&rest, '.', &a) || !str_split(&rest, '.', &b) || !rest.n)
		return false;
	if (!read_hex(a, ID_DIGITS, &t->message) || !read_hex(b, INDEX_DIGITS, &index))
		return false;
	t->index = (uint32_t)index;
	*id = str_mem(s.p, a.n + 1 + b.n);
	*given = rest;
	return true;
}

static bool verify_tail(const struct token_keys *k, struct str id, struct str tail,
			struct str domain, struct str given)
{
	struct buf text;
	bool ok;

	buf_init(&text);
	ok = signed_text(id, tail, domain, &text) &&
	     mac_fits(k, "verp", buf_str(&text), VERP_MAC_BYTES, given);
	buf_free(&text);
	return ok;
}

bool token_verp_verify(const struct token_keys *k, struct str path, struct str domain,
		       struct str named, struct token *t, struct buf *recipient)
{
	const char *at = path.n ? memrchr(path.p, '@', path.n) : NULL;
	struct str local, id, given;
	struct buf tail;
	bool ok;

	if (!at || !str_ieq(str_mem(at + 1, path.n - (size_t)(at + 1 - path.p)), domain) ||
	    !str_istarts(path, prefix))
		return false;
	local = str_mem(path.p + sizeof prefix - 1, (size_t)(at - path.p) - sizeof prefix + 1);
	const char *eq = local.n ? memchr(local.p, '=', local.n) : NULL;
	buf_init(&tail);
	ok = eq ? buf_add(&tail, eq, local.n - (size_t)(eq - local.p))
		: named.n && spell(named, &tail);
	if (eq)
		local.n = (size_t)(eq - local.p);
	ok = ok && cut(local, &id, &given, t) &&
	     verify_tail(k, id, buf_str(&tail), domain, given) &&
	     (eq ? unspell(buf_str(&tail), recipient) : buf_adds(recipient, named));
	buf_free(&tail);
	return ok;
}

/* ---- what stands behind the reference ----
 *
 * IV and cipher text, base64. The IV is a MAC over all of it, so that it is checked as well and the
 * same text is never written twice under another one (as in RFC 5297). */

static bool make_iv(const struct token_keys *k, int i, struct str id, struct str text,
		    unsigned char iv[IV_BYTES])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	struct buf all;
	bool ok;

	buf_init(&all);
	ok = buf_addz(&all, "about:") && buf_adds(&all, id) && buf_addc(&all, ':') &&
	     buf_adds(&all, text) && hmac(k, i, buf_str(&all), hash);
	buf_free(&all);
	if (ok)
		memcpy(iv, hash, IV_BYTES);
	return ok;
}

/* Both ways. */
static bool cipher(const struct token_keys *k, int i, const unsigned char iv[IV_BYTES], char *p,
		   size_t n)
{
	EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
	int out = 0;
	bool ok = x && EVP_EncryptInit_ex(x, EVP_aes_256_ctr(), NULL, k->key[i].cipher, iv) == 1 &&
		  EVP_EncryptUpdate(x, (unsigned char *)p, &out, (unsigned char *)p, (int)n) == 1;

	EVP_CIPHER_CTX_free(x);
	return ok && out == (int)n;
}

enum { ABOUT_FIELDS = 6 };
static struct str *about_field(struct token_about *a, int i)
{
	struct str *const v[ABOUT_FIELDS] = { &a->recipient, &a->sender,      &a->job,
					      &a->user,	     &a->virtual_mta, &a->envid };

	return v[i];
}

/* A field that has no room is left out. */
static bool put_about(struct token_about a, struct buf *out)
{
	for (int i = 0; i < ABOUT_FIELDS; i++) {
		struct str *s = about_field(&a, i);
		bool fits = s->n && s->n <= UINT8_MAX && out->n + s->n + ABOUT_FIELDS <= ABOUT_MAX;

		if (!buf_put_u8(out, (uint8_t)(fits ? s->n : 0)) || (fits && !buf_adds(out, *s)))
			return false;
	}
	return true;
}

static bool get_about(struct str text, struct arena *mem, struct token_about *a)
{
	for (int i = 0; i < ABOUT_FIELDS; i++) {
		size_t n = text.n ? (unsigned char)text.p[0] : 0;

		if (!text.n || n > text.n - 1)
			return false;
		*about_field(a, i) = arena_str(mem, str_mem(text.p + 1, n));
		if (!about_field(a, i)->p)
			return false;
		text = str_mem(text.p + 1 + n, text.n - 1 - n);
	}
	return true;
}

static bool add_folded(struct buf *out, struct str s)
{
	bool ok = true;

	for (size_t i = 0; ok && i < s.n; i += FOLD)
		ok = buf_addz(out, "\r\n\t") &&
		     buf_add(out, s.p + i, s.n - i < FOLD ? s.n - i : FOLD);
	return ok;
}

static bool add_about(const struct token_keys *k, struct str id, const struct token_about *a,
		      struct buf *out)
{
	unsigned char iv[IV_BYTES];
	struct buf text, sealed, coded;
	bool ok;

	buf_init(&text);
	buf_init(&sealed);
	buf_init(&coded);
	ok = put_about(*a, &text) && make_iv(k, 0, id, buf_str(&text), iv) &&
	     cipher(k, 0, iv, text.p, text.n) && buf_add(&sealed, iv, IV_BYTES) &&
	     buf_adds(&sealed, buf_str(&text)) && base64_encode(&coded, buf_str(&sealed)) &&
	     add_folded(out, buf_str(&coded));
	buf_free(&text);
	buf_free(&sealed);
	buf_free(&coded);
	return ok;
}

bool token_ref(const struct token_keys *k, struct token t, const struct token_about *about,
	       struct buf *out)
{
	char id[40], m[MAC_TEXT_MAX];
	struct str head = str_mem(id, (size_t)write_id(t, id));

	return mac(k, 0, "ref", head, REF_MAC_BYTES, m) && buf_addf(out, "%s.%s", id, m) &&
	       (!about || add_about(k, head, about, out));
}

/* The key's own text, or nothing. */
static bool open_about(const struct token_keys *k, int i, struct str id, struct str sealed,
		       struct arena *mem, struct token_about *about)
{
	unsigned char iv[IV_BYTES];
	struct buf text;
	bool ok;

	buf_init(&text);
	ok = buf_add(&text, sealed.p + IV_BYTES, sealed.n - IV_BYTES) &&
	     cipher(k, i, (const unsigned char *)sealed.p, text.p, text.n) &&
	     make_iv(k, i, id, buf_str(&text), iv) && !CRYPTO_memcmp(iv, sealed.p, IV_BYTES) &&
	     get_about(buf_str(&text), mem, about);
	buf_free(&text);
	return ok;
}

static void read_about(const struct token_keys *k, struct token t, struct str rest,
		       struct arena *mem, struct token_about *about)
{
	char id[40];
	struct str head = str_mem(id, (size_t)write_id(t, id));
	struct buf coded, sealed;
	bool ok = false;

	buf_init(&coded);
	buf_init(&sealed);
	for (size_t i = 0; i < rest.n; i++)
		if ((unsigned char)rest.p[i] > ' ')
			buf_addc(&coded, rest.p[i]);
	if (!buf_failed(&coded) && base64_decode(&sealed, buf_str(&coded)) && sealed.n > IV_BYTES)
		for (int i = 0; i < k->n && !ok; i++)
			ok = open_about(k, i, head, buf_str(&sealed), mem, about);
	if (!ok)
		*about = (struct token_about){ .recipient = { "", 0 } };
	buf_free(&coded);
	buf_free(&sealed);
}

bool token_ref_verify(const struct token_keys *k, struct str value, struct token *t,
		      struct arena *mem, struct token_about *about)
{
	struct str id, given, v = str_trim(value);
	size_t n = 0;

	if (about)
		*about = (struct token_about){ .recipient = { "", 0 } };
	while (n < v.n && (unsigned char)v.p[n] > ' ')
		n++;
	if (!cut(str_mem(v.p, n), &id, &given, t) || !mac_fits(k, "ref", id, REF_MAC_BYTES, given))
		return false;
	if (about && n < v.n)
		read_about(k, *t, str_mem(v.p + n, v.n - n), mem, about);
	return true;
}
