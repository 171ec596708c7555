/* libopendkim parses the private key again for every signature, by PEM_read_bio_PrivateKey of
 * libcrypto: with RSA-2048 that makes 900 signatures a second out of 3,900. An executable's own
 * definition of a function is found before a library's, so this one answers libopendkim's call with
 * the key that was parsed when it was loaded, and everybody else's with libcrypto's own function.
 *
 * It answers only for the text that was offered by this thread, compared whole, so a key can never
 * be taken for another. Of Ed25519 keys libopendkim frees nothing: those are lent, without a
 * reference of their own. */
#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "core/sign/lib.h"

typedef EVP_PKEY *pem_read_fn(BIO *bp, EVP_PKEY **x, pem_password_cb *cb, void *u);

static _Thread_local struct {
	const char *pem;
	EVP_PKEY *pkey;
	bool borrow;
} offer;

void sign_pem_offer(const char *pem, void *pkey, bool borrow)
{
	offer.pem = pem;
	offer.pkey = pkey;
	offer.borrow = borrow;
}

static bool asks_for_offer(BIO *bp)
{
	char *text = NULL;
	long n;

	if (!offer.pem || BIO_method_type(bp) != BIO_TYPE_MEM)
		return false;
	n = BIO_get_mem_data(bp, &text);
	return n > 0 && (size_t)n == strlen(offer.pem) && memcmp(text, offer.pem, (size_t)n) == 0;
}

EVP_PKEY *PEM_read_bio_PrivateKey(BIO *bp, EVP_PKEY **x, pem_password_cb *cb, void *u)
{
	union { /* dlsym's answer is a data pointer */
		void *p;
		pem_read_fn *fn;
	} next;

	if (bp && !x && asks_for_offer(bp)) {
		if (!offer.borrow && !EVP_PKEY_up_ref(offer.pkey))
			return NULL;
		return offer.pkey;
	}
	next.p = dlsym(RTLD_NEXT, "PEM_read_bio_PrivateKey");
	return next.p ? next.fn(bp, x, cb, u) : NULL;
}
