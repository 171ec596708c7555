/* MX sets, packed: an answer of the DNS kept once for all domains that have the same. Layout of
 * data: for each host u16 preference, u16 port, u8 addresses, u8 failed, u8 length of the name,
 * name, and for each address u8 family (4, 6), u16 port, 4 or 16 bytes. */
#include "core/sched/inner.h"

#include <stdlib.h>

enum { BYTES_V4 = 4, BYTES_V6 = 16 };

uint64_t mxset_hash(const struct table_link *l)
{
	return ((const struct mxset *)(const void *)l)->content;
}

static void put_address(struct buf *b, const struct endpoint *e)
{
	if (e->sa.sa_family == AF_INET) {
		buf_put_u8(b, BYTES_V4);
		buf_put_u16(b, e->in4.sin_port);
		buf_add(b, &e->in4.sin_addr, BYTES_V4);
	} else {
		buf_put_u8(b, BYTES_V6);
		buf_put_u16(b, e->in6.sin6_port);
		buf_add(b, &e->in6.sin6_addr, BYTES_V6);
	}
}

void mxset_put_host(struct buf *b, const struct dns_host *h, int preference, uint16_t port)
{
	size_t n = strlen(h->name);
	int naddresses = h->naddresses > UINT8_MAX ? UINT8_MAX : h->naddresses;

	if (n > UINT8_MAX)
		return;
	buf_put_u16(b, (uint16_t)preference);
	buf_put_u16(b, port);
	buf_put_u8(b, (uint8_t)naddresses);
	buf_put_u8(b, h->failed);
	buf_put_u8(b, (uint8_t)n);
	buf_add(b, h->name, n);
	for (int i = 0; i < naddresses; i++)
		put_address(b, &h->address[i]);
}

bool mxset_next(struct reader *r, struct mxhost *h)
{
	if (!r->n)
		return false;
	h->preference = reader_u16(r);
	h->port = reader_u16(r);
	h->naddresses = reader_u8(r);
	h->failed = reader_u8(r) != 0;
	h->name.n = reader_u8(r);
	h->name.p = (const char *)r->p;
	r->p += h->name.n;
	r->n -= h->name.n;
	return true;
}

void mxset_address(struct reader *r, struct endpoint *e)
{
	uint8_t bytes = reader_u8(r);
	uint16_t port = reader_u16(r);

	memset(e, 0, sizeof *e);
	if (bytes == BYTES_V4) {
		e->in4.sin_family = AF_INET;
		e->in4.sin_port = port;
		memcpy(&e->in4.sin_addr, r->p, BYTES_V4);
		e->len = sizeof e->in4;
	} else {
		e->in6.sin6_family = AF_INET6;
		e->in6.sin6_port = port;
		memcpy(&e->in6.sin6_addr, r->p, BYTES_V6);
		e->len = sizeof e->in6;
	}
	r->p += bytes;
	r->n -= bytes;
}

struct reader mxset_reader(const struct mxset *m)
{
	return (struct reader){ .p = m->data, .n = m->bytes };
}

void mxset_skip_addresses(struct reader *r, const struct mxhost *h)
{
	struct endpoint e;

	for (int i = 0; i < h->naddresses; i++)
		mxset_address(r, &e);
}

/* Counts hosts, finds those of the best preference, and hashes names and preferences. */
static void measure(struct mxset *m)
{
	struct reader r = mxset_reader(m);
	struct mxhost h;
	uint16_t best = UINT16_MAX;

	m->key = 0;
	while (mxset_next(&r, &h)) {
		mxset_skip_addresses(&r, &h);
		if (m->nhosts == 0)
			best = h.preference;
		m->nhosts++;
		if (h.preference == best)
			m->nbest++;
		m->key = table_mix(m->key ^ hash_bytes(h.name.p, h.name.n) ^ h.preference ^
				   (uint64_t)h.port << 32);
	}
}

struct mxset *mxset_get(struct sched *s, struct str packed)
{
	uint64_t content = hash_bytes(packed.p, packed.n);
	struct mxset *m;

	for (struct table_link *l = table_bucket(&s->mxsets, content); l; l = l->next) {
		m = TABLE_OF(l, struct mxset);
		if (m->content == content && str_eq(str_mem(m->data, m->bytes), packed)) {
			m->refs++;
			return m;
		}
	}
	m = malloc(sizeof *m + packed.n);
	if (!m)
		return NULL;
	*m = (struct mxset){ .content = content, .refs = 1, .bytes = (uint32_t)packed.n };
	memcpy(m->data, packed.p, packed.n);
	if (!table_add(&s->mxsets, &m->link)) {
		free(m);
		return NULL;
	}
	s->other_bytes += sizeof *m + packed.n;
	measure(m);
	return m;
}

void mxset_put(struct sched *s, struct mxset *m)
{
	if (!m || --m->refs)
		return;
	table_del(&s->mxsets, &m->link);
	s->other_bytes -= sizeof *m + m->bytes;
	free(m);
}

/* The best hosts' names in name order (as answers are sorted); at most `max`. */
int mxset_best(const struct mxset *m, struct str *names, int max)
{
	struct reader r = mxset_reader(m);
	struct mxhost h;
	int n = 0;

	while (n < max && n < m->nbest && mxset_next(&r, &h)) {
		mxset_skip_addresses(&r, &h);
		names[n++] = h.name;
	}
	return n;
}
