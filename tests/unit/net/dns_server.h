/* A tiny authoritative-looking DNS server on a loopback port, in a thread of its own: what it
 * answers stands in the test's table. Nothing leaves the machine. */
#ifndef STOKER_TEST_DNS_SERVER_H
#define STOKER_TEST_DNS_SERVER_H

#include "tests/unit/net/help.h"

#include <pthread.h>
#include <strings.h>

enum { T_A = 1, T_CNAME = 5, T_SOA = 6, T_MX = 15, T_TXT = 16, T_AAAA = 28 };
enum { DO_SERVFAIL = -2, DO_REFUSED = -5, DO_DROP = -100, DO_GARBAGE = -101 };

/* One record, or (type < 0) what is done with every question about that name. A name without any
 * entry is NXDOMAIN; a type without a record is no data. `data`: "10 mx.example", "192.0.2.1";
 * of a TXT "one|two", its strings; a name of "." is the root. */
struct dns_record {
	const char *name;
	int type;
	const char *data;
	uint32_t ttl; /* 0: 3600 */
};

struct dns_server {
	const struct dns_record *records;
	size_t n;
	int fd;
	uint16_t port;
	pthread_t thread;
	int stop;    /* atomic */
	int queries; /* atomic */
	int watched; /* atomic: questions for watch_name's A */
	const char *watch_name;
};

struct packet {
	uint8_t b[65000];
	size_t n;
};

static inline void put8(struct packet *p, unsigned v)
{
	if (p->n < sizeof p->b)
		p->b[p->n++] = (uint8_t)v;
}

static inline void put16(struct packet *p, unsigned v)
{
	put8(p, v >> 8);
	put8(p, v & 0xff);
}

static inline void put32(struct packet *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p, v & 0xffff);
}

/* "\." is not needed: a label may hold what it likes but a dot, '/' stands for one. */
static inline void put_name(struct packet *p, const char *z)
{
	while (*z && strcmp(z, ".") != 0) {
		size_t n = strcspn(z, ".");

		put8(p, (unsigned)n);
		for (size_t i = 0; i < n; i++)
			put8(p, z[i] == '/' ? '.' : (unsigned char)z[i]);
		z += n;
		z += *z == '.';
	}
	put8(p, 0);
}

static inline void put_data(struct packet *p, const struct dns_record *r)
{
	size_t at = p->n;
	uint8_t ip[16];

	put16(p, 0);
	if (r->type == T_MX) {
		put16(p, (unsigned)atoi(r->data));
		put_name(p, strchr(r->data, ' ') + 1);
	} else if (r->type == T_TXT) {
		for (const char *z = r->data; z; z = strchr(z, '|') ? strchr(z, '|') + 1 : NULL) {
			size_t n = strcspn(z, "|");

			put8(p, (unsigned)n);
			for (size_t i = 0; i < n; i++)
				put8(p, (unsigned char)z[i]);
		}
	} else if (r->type == T_CNAME) {
		put_name(p, r->data);
	} else {
		int family = r->type == T_A ? AF_INET : AF_INET6;

		inet_pton(family, r->data, ip);
		for (size_t i = 0; i < (family == AF_INET ? 4u : 16u); i++)
			put8(p, ip[i]);
	}
	p->b[at] = (uint8_t)((p->n - at - 2) >> 8);
	p->b[at + 1] = (uint8_t)(p->n - at - 2);
}

static inline void put_record(struct packet *p, const struct dns_record *r)
{
	put_name(p, r->name);
	put16(p, (unsigned)r->type);
	put16(p, 1);
	put32(p, r->ttl ? r->ttl : 3600);
	put_data(p, r);
}

static inline void put_soa(struct packet *p)
{
	static const uint32_t numbers[] = { 1, 3600, 600, 86400, 300 };

	put_name(p, "example");
	put16(p, T_SOA);
	put16(p, 1);
	put32(p, 300);
	put16(p, 2 + 20);
	put_name(p, ".");
	put_name(p, ".");
	for (size_t i = 0; i < 5; i++)
		put32(p, numbers[i]);
}

/* The question's name as text; the offset behind the question, 0 if it can't be read. */
static inline size_t question(const uint8_t *b, size_t n, char name[256], int *type)
{
	size_t at = 12, used = 0;

	while (at < n && b[at]) {
		size_t len = b[at++];

		if (len > 63 || at + len >= n || used + len + 2 > 256)
			return 0;
		if (used)
			name[used++] = '.';
		memcpy(name + used, b + at, len);
		used += len;
		at += len;
	}
	name[used] = '\0';
	if (at + 5 > n)
		return 0;
	*type = b[at + 1] << 8 | b[at + 2];
	return at + 5;
}

/* Appends the answer section, along CNAMEs. Returns the number of records, or the DO_ code. */
static inline int answer_section(const struct dns_server *s, const char *name, int type,
				 struct packet *p, bool *exists)
{
	int count = 0;

	for (int hops = 0; hops < 5; hops++) {
		const char *next = NULL;

		for (size_t i = 0; i < s->n; i++) {
			const struct dns_record *r = &s->records[i];

			if (strcasecmp(r->name, name) != 0)
				continue;
			*exists = true;
			if (r->type < 0)
				return r->type;
			if (r->type != type && r->type != T_CNAME)
				continue;
			put_record(p, r);
			count++;
			if (r->type == T_CNAME)
				next = r->data;
		}
		if (!next)
			break;
		*exists = false;
		name = next;
	}
	return count;
}

static inline bool respond(struct dns_server *s, const uint8_t *q, size_t n, struct packet *p)
{
	char name[256];
	int type = 0, count;
	bool exists = false;
	size_t end = question(q, n, name, &type);

	if (!end)
		return false;
	__atomic_fetch_add(&s->queries, 1, __ATOMIC_RELAXED);
	if (s->watch_name && type == T_A && strcasecmp(name, s->watch_name) == 0)
		__atomic_fetch_add(&s->watched, 1, __ATOMIC_RELAXED);
	memcpy(p->b, q, end);
	p->n = end;
	count = answer_section(s, name, type, p, &exists);
	if (count == DO_DROP)
		return false;
	p->b[2] = 0x81; /* a response, recursion desired … */
	p->b[3] = (uint8_t)(0x80 | (count == DO_SERVFAIL || count == DO_REFUSED ? -count
				    : !exists					? 3
										: 0));
	memset(p->b + 4, 0, 8);
	p->b[5] = 1;
	if (count == DO_GARBAGE) {
		p->b[7] = 9; /* nine records that are not there */
		put16(p, 0xc0ff);
		return true;
	}
	p->b[6] = (uint8_t)(count > 0 ? count >> 8 : 0);
	p->b[7] = (uint8_t)(count > 0 ? count : 0);
	if (count == 0) {
		p->b[9] = 1;
		put_soa(p);
	}
	return true;
}

static inline void *dns_serve(void *arg)
{
	struct dns_server *s = arg;
	static struct packet p;
	uint8_t q[4096];

	for (;;) {
		struct endpoint from = { .len = sizeof from.any };
		ssize_t n = recvfrom(s->fd, q, sizeof q, 0, &from.sa, &from.len);

		if (__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST))
			return NULL;
		if (n > 12 && respond(s, q, (size_t)n, &p))
			(void)!sendto(s->fd, p.b, p.n, 0, &from.sa, from.len);
	}
}

static inline void dns_start(struct dns_server *s, const struct dns_record *records, size_t n,
			     const char *watch_name)
{
	struct endpoint at = ep("127.0.0.1");

	*s = (struct dns_server){ .records = records, .n = n, .watch_name = watch_name };
	s->fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(s->fd, &at.sa, at.len), 0);
	at = local_of(s->fd);
	s->port = endpoint_port(&at);
	assert_int_equal(pthread_create(&s->thread, NULL, dns_serve, s), 0);
}

static inline void dns_stop(struct dns_server *s)
{
	struct endpoint at = ep("127.0.0.1");
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	endpoint_set_port(&at, s->port);
	__atomic_store_n(&s->stop, 1, __ATOMIC_SEQ_CST);
	(void)!sendto(fd, "", 0, 0, &at.sa, at.len);
	pthread_join(s->thread, NULL);
	close(fd);
	close(s->fd);
}

#endif
