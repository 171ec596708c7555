#include "core/feedback/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "core/base/secret.h"

/* RFC 2104 5: no less than 80 bits. The header has room for half of the hash, the return path has
 * not. */
enum {
	VERP_MAC_BYTES = 10,
	REF_MAC_BYTES = 20,
	MAC_TEXT_MAX = REF_MAC_BYTES * 8 / 5 + 1,
	LOCAL_MAX = 64,
	SIGNED_MAX = 512,
	FILE_MAX = 1024,
	ID_DIGITS = 16,
	INDEX_DIGITS = 8,
};
static const char prefix[] = "bounce+";

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
		k->key[k->n++].n = line.n;
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
	unsigned len = 0;

	if (!str_lower(text, lower, sizeof lower))
		return false;
	int n = snprintf(all, sizeof all, "%s:%s", use, lower);
	if (!HMAC(EVP_sha256(), k->key[i].bytes, (int)k->key[i].n, (unsigned char *)all, (size_t)n,
		  hash, &len))
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
	ok = spell(recipient, &tail);
	if (sizeof prefix + head.n + VERP_MAC_BYTES * 8 / 5 + tail.n > LOCAL_MAX)
		buf_clear(&tail);
	ok = ok && signed_text(head, buf_str(&tail), domain, &text) &&
	     mac(k, 0, "verp", buf_str(&text), VERP_MAC_BYTES, m) &&
	     buf_addf(out, "%s%s.%s", prefix, id, m) &&
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

bool token_verp_verify(const struct token_keys *k, struct str path, struct str domain,
		       struct token *t)
{
	const char *at = path.n ? memrchr(path.p, '@', path.n) : NULL;
	struct str local, tail = { "", 0 }, id, given;
	struct buf text;
	bool ok;

	if (!at || !str_ieq(str_mem(at + 1, path.n - (size_t)(at + 1 - path.p)), domain) ||
	    !str_istarts(path, prefix))
		return false;
	local = str_mem(path.p + sizeof prefix - 1, (size_t)(at - path.p) - sizeof prefix + 1);
	const char *eq = local.n ? memchr(local.p, '=', local.n) : NULL;
	if (eq) {
		tail = str_mem(eq, local.n - (size_t)(eq - local.p));
		local.n = (size_t)(eq - local.p);
	}
	if (!cut(local, &id, &given, t))
		return false;
	buf_init(&text);
	ok = signed_text(id, tail, domain, &text) &&
	     mac_fits(k, "verp", buf_str(&text), VERP_MAC_BYTES, given);
	buf_free(&text);
	return ok;
}

bool token_ref(const struct token_keys *k, struct token t, struct buf *out)
{
	char id[40], m[MAC_TEXT_MAX];
	struct str head = str_mem(id, (size_t)write_id(t, id));

	return mac(k, 0, "ref", head, REF_MAC_BYTES, m) && buf_addf(out, "%s.%s", id, m);
}

bool token_ref_verify(const struct token_keys *k, struct str value, struct token *t)
{
	struct str id, given;

	return cut(str_trim(value), &id, &given, t) && mac_fits(k, "ref", id, REF_MAC_BYTES, given);
}
