#include "core/sign/sign.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/sign/header.h"
#include "core/sign/lib.h"

enum {
	SIGNING_MAGIC = 0x5349474e,
	HEADER_MAX = 1024 * 1024, /* of all fields: more is no mail */
	/* libopendkim gathers a field in a string of at most 64 KB and signs what fits as if it
	 * were all; the names of all signed fields in 4 KB. */
	FIELD_MAX = 65000,
	NAMES_MAX = 4000,
	ARENA_BYTES = 32 * 1024,
	REMEMBERED = 2048, /* signatures of 1 to 2 KB */
};
/* A signature says when it was made, and may expire. */
#define REMEMBERED_FOR (5 * US_PER_MIN)

/* ---- results ---- */

struct signature *signature_ref(struct signature *s)
{
	s->refs++;
	return s;
}

void signature_unref(struct signature *s)
{
	if (!s || --s->refs)
		return;
	rstr_unref(s->domain);
	rstr_unref(s->header);
	rstr_unref(s->reason);
	rstr_unref(s->origin);
	free(s);
}

/* ---- a thread ---- */

struct remembered {
	uint64_t message;
	struct signature *s;
};

struct sign_thread {
	uint64_t conf; /* whose keys these are */
	EVP_PKEY **own;
	int nown;
	struct remembered ring[REMEMBERED];
	size_t next;
	struct idmap by_message;
};

struct sign_thread *sign_thread_new(void)
{
	struct sign_thread *t = calloc(1, sizeof *t);

	if (t)
		idmap_init(&t->by_message);
	return t;
}

static void forget_keys(struct sign_thread *t)
{
	for (int i = 0; i < t->nown; i++)
		EVP_PKEY_free(t->own[i]);
	free(t->own);
	t->own = NULL;
	t->nown = 0;
}

static void forget(struct sign_thread *t, struct remembered *r)
{
	if (!r->s)
		return;
	if (idmap_get(&t->by_message, r->message) == r)
		idmap_del(&t->by_message, r->message);
	signature_unref(r->s);
	r->s = NULL;
}

void sign_thread_free(struct sign_thread *t)
{
	if (!t)
		return;
	forget_keys(t);
	for (size_t i = 0; i < REMEMBERED; i++)
		forget(t, &t->ring[i]);
	idmap_free(&t->by_message);
	free(t);
}

struct signature *sign_recall(struct sign_thread *t, const struct conf *c, uint64_t message,
			      us_t now)
{
	struct remembered *r = idmap_get(&t->by_message, message);

	if (!r || r->s->conf != c->number || now - r->s->made_at > REMEMBERED_FOR)
		return NULL;
	return signature_ref(r->s);
}

void sign_remember(struct sign_thread *t, uint64_t message, struct signature *s)
{
	struct remembered *r = &t->ring[t->next];

	forget(t, r);
	if (!idmap_put(&t->by_message, message, r))
		return; /* no memory: it is made again */
	*r = (struct remembered){ message, signature_ref(s) };
	t->next = (t->next + 1) % REMEMBERED;
}

/* This thread's copy of the key; the shared one if there is none to be had. */
static void *own_key(struct sign_thread *t, const struct conf *c, const struct sign_key *k)
{
	const struct sign_keys *keys = c->keys;

	if (t->conf != c->number || !t->own) {
		forget_keys(t);
		t->own = calloc((size_t)keys->nkeys, sizeof(EVP_PKEY *));
		t->nown = t->own ? keys->nkeys : 0;
		t->conf = c->number;
	}
	if (k->number >= t->nown)
		return k->pkey;
	if (!t->own[k->number])
		t->own[k->number] = EVP_PKEY_dup(k->pkey);
	return t->own[k->number] ? t->own[k->number] : k->pkey;
}

/* ---- one message ---- */

struct signing {
	uint32_t magic;
	struct sign_thread *t;
	struct conf *conf;
	const struct signer *signer; /* NULL: not known yet, or none */
	struct arena arena;
	struct dkim *d[SIGNER_KEYS];
	struct buf head; /* until the header is whole */
	bool in_body, settled;
	struct errbuf error;
};

struct signing *signing_begin(struct sign_thread *t, struct conf *c)
{
	struct signing *g = calloc(1, sizeof *g);

	if (!g)
		return NULL;
	g->magic = SIGNING_MAGIC;
	g->t = t;
	g->conf = conf_ref(c);
	arena_init(&g->arena, ARENA_BYTES);
	buf_init(&g->head);
	return g;
}

void signing_drop(struct signing *g)
{
	if (!g)
		return;
	OBJ_CHECK(g, SIGNING_MAGIC);
	for (int i = 0; i < SIGNER_KEYS; i++)
		sign_lib_drop(g->d[i]);
	arena_free(&g->arena);
	buf_free(&g->head);
	conf_unref(g->conf);
	g->magic = 0;
	free(g);
}

static bool failed(const struct signing *g)
{
	return g->error.text[0];
}

/* ---- the header ---- */

static bool is_signed(const struct signer *s, struct str name)
{
	for (int i = 0; i < s->nfields; i++)
		if (str_ieqz(name, s->fields[i]))
			return true;
	return false;
}

const struct signer *sign_signer_for(const struct conf *c, struct str header,
				     char domain[DOMAIN_SIZE])
{
	struct header_field f;
	struct errbuf ignored = { "" };
	int line = 0;

	domain[0] = '\0';
	while (header.n) {
		if (!header_next(&header, &line, &f, &ignored)) {
			header_skip_line(&header); /* it may be its domain's wish to hear of that */
			continue;
		}
		if (!str_ieqz(f.name, "From"))
			continue;
		if (header_from_domain(f.value, domain))
			return sign_keys_find(c, str_of(domain));
		domain[0] = '\0';
		break;
	}
	return NULL;
}

static void find_signer(struct signing *g)
{
	char domain[DOMAIN_SIZE];

	g->signer = sign_signer_for(g->conf, buf_str(&g->head), domain);
}

/* Bytes that verifiers don't agree on whether they are blanks. */
static bool odd_blank(struct str s)
{
	return memchr(s.p, '\v', s.n) || memchr(s.p, '\f', s.n);
}

static void feed_field(struct signing *g, const struct header_field *f, size_t *names)
{
	*names += f->name.n + 1;
	if (f->all.n > FIELD_MAX)
		errbuf_set(&g->error, "its header field %.*s has %zu bytes, and %d can be signed",
			   (int)f->name.n, f->name.p, f->all.n, FIELD_MAX);
	else if (*names > NAMES_MAX)
		errbuf_set(&g->error, "it has too many header fields to be signed, as %.*s",
			   (int)f->name.n, f->name.p);
	else if (odd_blank(f->all))
		errbuf_set(&g->error, "its header field %.*s holds a control character",
			   (int)f->name.n, f->name.p);
	for (int i = 0; i < g->signer->nkeys && !failed(g); i++)
		sign_lib_field(g->d[i], f->all, &g->error);
}

static void begin_keys(struct signing *g)
{
	for (int i = 0; i < g->signer->nkeys && !failed(g); i++)
		g->d[i] = sign_lib_begin(g->signer, &g->signer->key[i], &g->arena, &g->error);
}

/* Only fields that are signed are shown to libopendkim: it signs all it is shown. */
static void header_whole(struct signing *g)
{
	struct str rest = buf_str(&g->head);
	struct header_field f;
	size_t names = 0;
	int line = 0;

	g->in_body = true;
	find_signer(g);
	if (!g->signer) {
		g->settled = true;
		return;
	}
	begin_keys(g);
	while (!failed(g) && header_next(&rest, &line, &f, &g->error))
		if (is_signed(g->signer, f.name))
			feed_field(g, &f, &names);
	for (int i = 0; i < g->signer->nkeys && !failed(g); i++)
		sign_lib_header_end(g->d[i], &g->error);
	g->settled = failed(g);
	buf_free(&g->head);
	buf_init(&g->head);
}

/* Where the empty line behind the header in `head` begins; bytes before `from` were looked at
 * already. False: the header goes on. */
static bool header_end(struct str head, size_t from, size_t *n)
{
	if (head.n >= 2 && memcmp(head.p, "\r\n", 2) == 0) {
		*n = 0;
		return true;
	}
	for (size_t i = from > 3 ? from - 3 : 0; i + 4 <= head.n; i++) {
		const char *at = memchr(head.p + i, '\r', head.n - i);

		if (!at)
			return false;
		i = (size_t)(at - head.p);
		if (i + 4 <= head.n && memcmp(at, "\r\n\r\n", 4) == 0) {
			*n = i + 2;
			return true;
		}
	}
	return false;
}

/* Takes what belongs to the header from the front of *part. */
static void take_header(struct signing *g, struct str *part)
{
	size_t before = g->head.n, n = 0, used;

	if (!buf_adds(&g->head, *part)) {
		errbuf_set(&g->error, "no memory");
		g->settled = true;
		return;
	}
	if (header_end(buf_str(&g->head), before, &n) && n <= HEADER_MAX) {
		used = n + 2 - before;
		part->p += used;
		part->n -= used;
		g->head.n = n;
		header_whole(g);
	} else {
		part->n = 0;
		if (g->head.n > HEADER_MAX) {
			g->head.n = HEADER_MAX;
			find_signer(g);
			errbuf_set(&g->error, "its header is longer than 1 MB");
			g->settled = true;
		}
	}
}

/* ---- feeding and the end ---- */

bool signing_feed(struct signing *g, struct str part)
{
	OBJ_CHECK(g, SIGNING_MAGIC);
	if (part.n && !g->settled && !g->in_body)
		take_header(g, &part);
	for (int i = 0; !g->settled && g->in_body && i < g->signer->nkeys; i++)
		g->settled = !sign_lib_body(g->d[i], part, &g->error);
	return !g->settled;
}

static struct rstr *sign_all(struct signing *g)
{
	struct buf out;
	struct rstr *header = NULL;

	buf_init(&out);
	for (int i = 0; i < g->signer->nkeys && !failed(g); i++) {
		const struct sign_key *k = &g->signer->key[i];

		sign_lib_end(g->d[i], k, own_key(g->t, g->conf, k), &out, &g->error);
	}
	if (!failed(g) && !(header = rstr_new(buf_str(&out))))
		errbuf_set(&g->error, "no memory");
	buf_free(&out);
	return header;
}

static void tell(struct signing *g, struct signature *s)
{
	const struct conf_dkim *d = g->signer ? g->signer->conf : NULL;

	s->kind = failed(g) ? SIGNATURE_FAILED : d ? SIGNATURE_MADE : SIGNATURE_NONE;
	s->conf = g->conf->number;
	s->must = !d || d->must_sign;
	if (d) {
		s->domain = rstr_new(str_of(d->domain));
		s->origin = rstr_newf("%s:%d", d->origin_must_sign.file, d->origin_must_sign.line);
	}
	if (s->kind == SIGNATURE_FAILED)
		s->reason = rstr_new(str_of(g->error.text));
}

struct signature *signing_end(struct signing *g, us_t now)
{
	struct signature *s = calloc(1, sizeof *s);

	OBJ_CHECK(g, SIGNING_MAGIC);
	if (s && !g->settled && !g->in_body)
		header_whole(g); /* a message that is all header */
	if (s) {
		s->refs = 1;
		s->made_at = now;
		s->header = g->signer && !failed(g) ? sign_all(g) : NULL;
		tell(g, s);
	}
	signing_drop(g);
	return s;
}
