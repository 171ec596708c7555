#include "core/sign/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/sign/lib.h"

enum {
	KEY_FILE_MAX = 64 * 1024,
	RSA_BITS_MIN = 1024,  /* RFC 8301 3.2 */
	RSA_BITS_GOOD = 2048, /* the same: should */
};

struct loading {
	struct conf_problems *p;
	struct sign_keys *keys;
};

/* ---- one key ---- */

/* The file's text, NUL-terminated, into out[KEY_FILE_MAX + 1]. */
static bool file_read(const char *path, char *out, struct errbuf *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st)) {
		errbuf_set(e, "can't be opened: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	n = S_ISREG(st.st_mode) ? read(fd, out, KEY_FILE_MAX + 1) : -1;
	close(fd);
	if (!S_ISREG(st.st_mode))
		errbuf_set(e, "is not a file");
	else if (st.st_mode & S_IRWXO)
		errbuf_set(e,
			   "can be read or written by others (mode %04o): chmod o= it; if they "
			   "could read it before, make a new key",
			   (unsigned)st.st_mode & 07777);
	else if (n < 0)
		errbuf_set(e, "can't be read");
	else if (n > KEY_FILE_MAX)
		errbuf_set(e, "is longer than any key");
	else
		out[n] = '\0';
	return !e->text[0];
}

/* Nobody is there to be asked for a pass phrase. */
static int no_phrase(char *buf, int size, int rwflag, void *u)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)u;
	return -1;
}

static EVP_PKEY *parse(const char *text, struct errbuf *e)
{
	BIO *b = BIO_new_mem_buf(text, -1);
	EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, no_phrase, NULL) : NULL;

	BIO_free(b);
	ERR_clear_error();
	if (!k)
		errbuf_set(e,
			   strstr(text, "ENCRYPTED")
			       ? "holds an encrypted key: take its pass phrase away (openssl pkey "
				 "-in OLD -out NEW)"
			       : "holds no private key in PEM form");
	return k;
}

/* The key as one PEM block and nothing else: what stands around it in the file is not for
 * libopendkim. */
static char *pem_text(EVP_PKEY *k)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p = NULL, *z = NULL;
	long n;

	if (b && PEM_write_bio_PKCS8PrivateKey(b, k, NULL, NULL, 0, NULL, NULL)) {
		n = BIO_get_mem_data(b, &p);
		z = n > 0 ? str_dup(str_mem(p, (size_t)n)) : NULL;
		OPENSSL_cleanse(p, (size_t)(n > 0 ? n : 0));
	}
	BIO_free(b);
	return z;
}

static bool kind_ok(struct loading *l, struct sign_key *k, const char *path, struct errbuf *e)
{
	int bits = EVP_PKEY_get_bits(k->pkey);

	k->ed25519 = EVP_PKEY_get_base_id(k->pkey) == EVP_PKEY_ED25519;
	if (!k->ed25519 && EVP_PKEY_get_base_id(k->pkey) != EVP_PKEY_RSA)
		errbuf_set(e, "holds a key that is neither RSA nor Ed25519");
	else if (!k->ed25519 && bits < RSA_BITS_MIN)
		errbuf_set(e, "holds an RSA key of %d bits: no receiver takes less than %d", bits,
			   RSA_BITS_MIN);
	else if (!k->ed25519 && bits < RSA_BITS_GOOD)
		conf_problem_add(l->p, false, k->at, "%s holds an RSA key of only %d bits: use %d",
				 path, bits, RSA_BITS_GOOD);
	return !e->text[0];
}

static void key_load(struct loading *l, struct signer *s, const char *selector, const char *path,
		     const struct origin *at)
{
	struct sign_key *k = &s->key[s->nkeys];
	char *text = calloc(1, KEY_FILE_MAX + 2);
	struct errbuf e = { "" };

	*k = (struct sign_key){ .selector = selector, .at = at, .number = l->keys->nkeys };
	if (!text) {
		errbuf_set(&e, "can't be read: no memory");
	} else if (file_read(path, text, &e) && (k->pkey = parse(text, &e))) {
		s->nkeys++;
		l->keys->nkeys++;
		if (kind_ok(l, k, path, &e) && !(k->pem = pem_text(k->pkey)))
			errbuf_set(&e, "can't be used: no memory");
	}
	if (text)
		OPENSSL_cleanse(text, KEY_FILE_MAX + 2);
	free(text);
	if (e.text[0])
		conf_problem_add(l->p, true, at, "the key file %s %s", path, e.text);
}

/* ---- one section ---- */

static void field_add(struct signer *s, const char *name)
{
	for (int i = 0; i < s->nfields; i++)
		if (str_ieqz(str_of(name), s->fields[i]))
			return;
	s->fields[s->nfields++] = name;
}

static bool fields_make(struct signer *s)
{
	const struct conf_dkim *d = s->conf;
	int most = 1 + d->nheaders + d->noversign;

	for (int i = 0; !d->nheaders && sign_lib_recommended()[i]; i++)
		most++;
	s->fields = calloc((size_t)most, sizeof *s->fields);
	if (!s->fields)
		return false;
	field_add(s, "From");
	for (int i = 0; i < d->nheaders; i++)
		field_add(s, d->headers[i]);
	for (int i = 0; !d->nheaders && sign_lib_recommended()[i]; i++)
		field_add(s, sign_lib_recommended()[i]);
	for (int i = 0; i < d->noversign; i++)
		field_add(s, d->oversign[i]);
	return true;
}

static bool same_options(const struct conf_dkim *a, const struct conf_dkim *b)
{
	if (a->expire_after != b->expire_after || a->noversign != b->noversign)
		return false;
	for (int i = 0; i < a->noversign; i++)
		if (strcmp(a->oversign[i], b->oversign[i]) != 0)
			return false;
	return true;
}

static bool signer_make(struct loading *l, struct signer *s, const struct signer *before)
{
	const struct conf_dkim *d = s->conf;

	key_load(l, s, d->selector, d->key_file, &d->origin_key_file);
	if (d->second_key_file)
		key_load(l, s, d->second_selector, d->second_key_file, &d->origin_second_key_file);
	if (before && before->lib && same_options(before->conf, d)) {
		s->lib = before->lib;
	} else {
		s->lib = sign_lib_new(d);
		s->owns_lib = true;
	}
	return s->lib && fields_make(s);
}

/* ---- all ---- */

static void key_free(struct sign_key *k)
{
	EVP_PKEY_free(k->pkey);
	if (k->pem)
		OPENSSL_cleanse(k->pem, strlen(k->pem));
	free(k->pem);
}

static void keys_free(void *p)
{
	struct sign_keys *keys = p;

	for (int i = 0; i < keys->n; i++) {
		struct signer *s = &keys->v[i];

		for (int k = 0; k < s->nkeys; k++)
			key_free(&s->key[k]);
		if (s->owns_lib)
			sign_lib_free(s->lib);
		free(s->fields);
	}
	free(keys->v);
	free(keys);
}

static struct sign_keys *keys_new(int n)
{
	struct sign_keys *keys = calloc(1, sizeof *keys);

	if (keys && n && !(keys->v = calloc((size_t)n, sizeof *keys->v))) {
		free(keys);
		return NULL;
	}
	return keys;
}

bool sign_keys_load(struct conf *c, struct conf_problems *p)
{
	struct loading l = { .p = p, .keys = keys_new(c->ndkim) };
	int errors = p->errors;

	for (int i = 0; l.keys && i < c->ndkim; i++) {
		struct signer *s = &l.keys->v[i];

		s->conf = &c->dkim[i];
		l.keys->n++;
		if (!signer_make(&l, s, i ? s - 1 : NULL))
			conf_problem_add(p, true, &s->conf->origin, "no memory for its keys");
	}
	if (!l.keys)
		conf_problem_add(p, true, &(struct origin){ c->path, 0, NULL },
				 "no memory for the keys");
	if (p->errors != errors) {
		if (l.keys)
			keys_free(l.keys);
		return false;
	}
	c->keys = l.keys;
	c->keys_free = keys_free;
	return true;
}

const struct signer *sign_keys_find(const struct conf *c, struct str domain)
{
	const struct sign_keys *keys = c->keys;
	int i = keys ? conf_dkim_for(c, domain) : CONF_NONE;

	return i == CONF_NONE ? NULL : &keys->v[i];
}
