/* A domain's answer, made of the replies to several questions: MX, then A and AAAA of its best
 * hosts at once. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/net/dns_wire.h"
#include "core/net/io.h"
#include "core/net/resolver_priv.h"

enum {
	HOSTS_MAX = 8,
	ADDRESSES_MAX = 8, /* of each family */
	/* Records of one reply that are looked at. A reply of 64 KB holds at most some thousands.
	 */
	RECORDS_MAX = 4096,
	SLOT_MX = -1, /* other slots: 2 × host, + 1 for AAAA */
	SLOT_TEXT = -2,
	/* More is no record that anybody could mean. */
	TEXTS_MAX = 16,
};
static const us_t TTL_MIN = US_PER_MIN, TTL_MAX = US_PER_DAY;
/* An answer in which a host is missing for now is asked for again sooner. */
static const us_t TTL_INCOMPLETE = 5 * US_PER_MIN;

struct job {
	struct resolver *r;
	struct job *prev, *next; /* in r->jobs; next also in the list of done ones */
	uint64_t id;
	enum resolver_kind kind;
	bool allow_private;
	int waiting;		/* replies that are to come */
	us_t ttl, ttl_negative; /* the smallest so far; US_NEVER: none */
	bool all_secure;
	bool nxdomain; /* A or AAAA said so */
	bool incomplete, dropped_private;
	bool hidden[HOSTS_MAX];				/* had private addresses */
	char why[sizeof((struct dns_answer *)0)->text]; /* the first temporary failure */
	struct dns_answer *answer;
	char name[DOMAIN_SIZE];
};

/* A text that is cut says so. */
static void set_text(char *out, size_t cap, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void set_text(char *out, size_t cap, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, cap, fmt, ap);
	va_end(ap);
	if (n < 0)
		out[0] = '\0';
	else if ((size_t)n >= cap)
		memcpy(out + cap - 4, "...", 4);
}

#define ANSWER_TEXT(j, ...) set_text((j)->answer->text, sizeof(j)->answer->text, __VA_ARGS__)

/* ---- life ---- */

static void job_free(struct job *j)
{
	dns_answer_free(j->answer);
	free(j);
}

static void job_done(struct job *j)
{
	struct resolver *r = j->r;

	if (j->prev)
		j->prev->next = j->next;
	else
		r->jobs = j->next;
	if (j->next)
		j->next->prev = j->prev;
	j->next = NULL;
	if (r->last_done)
		r->last_done->next = j;
	else
		r->first_done = j;
	r->last_done = j;
	resolver_deliver_soon(r);
}

bool job_deliver(struct resolver *r)
{
	struct job *j = r->first_done;
	struct dns_answer *a;

	if (!j)
		return false;
	a = j->answer;
	r->first_done = j->next;
	if (!r->first_done)
		r->last_done = NULL;
	j->answer = NULL;
	r->outstanding--;
	r->answer(r->arg, j->id, a);
	job_free(j);
	return true;
}

void jobs_free(struct resolver *r)
{
	struct job *lists[] = { r->jobs, r->first_done };

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		while (lists[i]) {
			struct job *j = lists[i];

			lists[i] = j->next;
			job_free(j);
		}
	}
	r->jobs = r->first_done = r->last_done = NULL;
	r->outstanding = 0;
}

/* ---- the verdict ---- */

static us_t expiry(const struct job *j)
{
	us_t ttl = j->ttl;

	if (j->answer->status != DNS_OK && j->ttl_negative < ttl)
		ttl = j->ttl_negative;
	if (j->answer->status == DNS_TEMPFAIL || ttl < TTL_MIN)
		ttl = TTL_MIN;
	if (j->incomplete && ttl > TTL_INCOMPLETE)
		ttl = TTL_INCOMPLETE;
	if (ttl > TTL_MAX)
		ttl = TTL_MAX;
	return loop_now(j->r->loop) + ttl;
}

static void drop_hosts(struct dns_answer *a, int from)
{
	for (int i = from; i < a->nhosts; i++) {
		free(a->hosts[i].name);
		free(a->hosts[i].address);
	}
	a->nhosts = from;
}

static void finish(struct job *j, enum dns_status status)
{
	j->answer->status = status;
	j->answer->authentic = j->all_secure && (j->ttl != US_NEVER || j->ttl_negative != US_NEVER);
	j->answer->expires = expiry(j);
	if (status != DNS_OK)
		drop_hosts(j->answer, 0);
	job_done(j);
}

static void fail(struct job *j, const char *why, const char *name, const char *type)
{
	if (!j->why[0])
		set_text(j->why, sizeof j->why, "%s for %s%s%s", why, name, type ? " " : "",
			 type ? type : "");
}

static void finish_failed(struct job *j)
{
	ANSWER_TEXT(j, "%s", j->why);
	finish(j, DNS_TEMPFAIL);
}

static bool is_own(const struct resolver *r, const struct dns_host *h)
{
	for (int i = 0; i < h->naddresses; i++)
		for (int k = 0; k < r->nown; k++)
			if (endpoint_same_ip(&h->address[i], &r->own[k]))
				return true;
	return false;
}

/* RFC 5321 5.1: if we are among the hosts, those at our preference and beyond don't count, or mail
 * would go round. True: none is left. */
static bool loops(struct job *j)
{
	struct dns_answer *a = j->answer;

	for (int i = 0; i < a->nhosts; i++) {
		int first = i;

		if (!is_own(j->r, &a->hosts[i]))
			continue;
		while (first > 0 && a->hosts[first - 1].preference == a->hosts[i].preference)
			first--;
		if (first == 0)
			ANSWER_TEXT(j, "the best MX of %s, %s, is this server", j->name,
				    a->hosts[i].name);
		drop_hosts(a, first);
		return first == 0;
	}
	return false;
}

/* A host that showed private addresses and nothing else is no host. */
static void drop_hidden(struct job *j)
{
	struct dns_answer *a = j->answer;
	int kept = 0;

	for (int i = 0; i < a->nhosts; i++) {
		struct dns_host *h = &a->hosts[i];

		if (!j->hidden[i] || h->naddresses || h->failed) {
			a->hosts[kept++] = *h;
			continue;
		}
		free(h->name);
		free(h->address);
	}
	a->nhosts = kept;
}

static void finish_no_host(struct job *j)
{
	if (j->kind == RESOLVE_HOST && j->nxdomain) {
		ANSWER_TEXT(j, "%s does not exist (NXDOMAIN)", j->name);
		finish(j, DNS_NXDOMAIN);
		return;
	}
	if (j->dropped_private)
		ANSWER_TEXT(j, "no %s of %s has a public address",
			    j->answer->implicit || j->kind == RESOLVE_HOST ? "host" : "MX host",
			    j->name);
	else if (j->kind == RESOLVE_HOST)
		ANSWER_TEXT(j, "%s has no address", j->name);
	else if (j->answer->implicit)
		ANSWER_TEXT(j, "%s has neither MX nor address", j->name);
	else
		ANSWER_TEXT(j, "no MX host of %s has an address", j->name);
	finish(j, DNS_NO_HOST);
}

/* All A and AAAA replies are here. */
static void conclude(struct job *j)
{
	struct dns_answer *a = j->answer;
	int with_address = 0;

	drop_hidden(j);
	if (j->kind == RESOLVE_DOMAIN && loops(j)) {
		finish(j, DNS_LOOP);
		return;
	}
	for (int i = 0; i < a->nhosts; i++) {
		struct dns_host *h = &a->hosts[i];

		h->failed = h->failed && !h->naddresses;
		with_address += h->naddresses > 0;
	}
	if (with_address)
		finish(j, DNS_OK);
	else if (j->why[0])
		finish_failed(j);
	else
		finish_no_host(j);
}

/* ---- addresses ---- */

static int address_cmp(const struct endpoint *a, const struct endpoint *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return a->sa.sa_family == AF_INET ? -1 : 1;
	if (a->sa.sa_family == AF_INET)
		return memcmp(&a->in4.sin_addr, &b->in4.sin_addr, sizeof a->in4.sin_addr);
	return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr);
}

/* Keeps the list sorted and without doubles. */
static void address_add(struct dns_host *h, const struct endpoint *e)
{
	int i = h->naddresses;

	while (i > 0 && address_cmp(e, &h->address[i - 1]) < 0)
		i--;
	if (i > 0 && address_cmp(e, &h->address[i - 1]) == 0)
		return;
	memmove(&h->address[i + 1], &h->address[i],
		(size_t)(h->naddresses - i) * sizeof *h->address);
	h->address[i] = *e;
	h->naddresses++;
}

static int of_family(const struct dns_host *h, int family)
{
	int n = 0;

	for (int i = 0; i < h->naddresses; i++)
		n += h->address[i].sa.sa_family == family;
	return n;
}

/* The first ADDRESSES_MAX in order, whatever order the records came in. */
static void addresses_cut(struct dns_host *h, int family)
{
	while (of_family(h, family) > ADDRESSES_MAX) {
		int last = h->naddresses - 1;

		while (h->address[last].sa.sa_family != family)
			last--;
		memmove(&h->address[last], &h->address[last + 1],
			(size_t)(h->naddresses - last - 1) * sizeof *h->address);
		h->naddresses--;
	}
}

static int records(const struct ub_result *res)
{
	int n = 0;

	while (n < RECORDS_MAX && res->data[n])
		n++;
	return n;
}

static void take_addresses(struct job *j, int host, int family, const struct ub_result *res)
{
	struct dns_host *h = &j->answer->hosts[host];
	struct endpoint e;
	int dropped = 0;

	for (int i = 0; i < records(res); i++) {
		if (res->len[i] < 0 ||
		    !dns_wire_address((const uint8_t *)res->data[i], (size_t)res->len[i], &e) ||
		    e.sa.sa_family != family)
			continue;
		if (!j->allow_private && endpoint_is_private(&e)) {
			dropped++;
			continue;
		}
		address_add(h, &e);
		addresses_cut(h, family);
	}
	if (dropped)
		j->dropped_private = j->hidden[host] = true;
}

static void address_reply(struct job *j, int slot, const struct reply *reply)
{
	int host = slot / 2, family = slot % 2 ? AF_INET6 : AF_INET;
	struct dns_host *h = &j->answer->hosts[host];

	switch (reply->fact) {
	case FACT_DATA:
		j->ttl = reply->ttl < j->ttl ? reply->ttl : j->ttl;
		take_addresses(j, host, family, reply->result);
		break;
	case FACT_NXDOMAIN:
		j->nxdomain = true;
		j->ttl_negative = reply->ttl < j->ttl_negative ? reply->ttl : j->ttl_negative;
		break;
	case FACT_NO_DATA:
		j->ttl_negative = reply->ttl < j->ttl_negative ? reply->ttl : j->ttl_negative;
		break;
	case FACT_FAILED:
		h->failed = j->incomplete = true;
		fail(j, reply->why, h->name, slot % 2 ? "AAAA" : "A");
		break;
	}
}

static void ask_addresses(struct job *j)
{
	static const int types[] = { RR_A, RR_AAAA };
	struct dns_answer *a = j->answer;

	for (int slot = 0; slot < 2 * a->nhosts; slot++) {
		struct dns_host *h = &a->hosts[slot / 2];

		if (resolver_ask(j->r, h->name, types[slot % 2], j, slot)) {
			j->waiting++;
			continue;
		}
		h->failed = j->incomplete = true;
		fail(j, "no memory", h->name, NULL);
	}
	if (!j->waiting)
		conclude(j);
}

/* Room for one address more than is kept, so that cutting comes after adding. */
static bool host_add(struct job *j, int preference, const char *name)
{
	struct dns_answer *a = j->answer;
	struct dns_host *h = &a->hosts[a->nhosts];

	*h = (struct dns_host){ .preference = preference, .name = strdup(name) };
	h->address = calloc(2 * ADDRESSES_MAX + 1, sizeof *h->address);
	if (!h->name || !h->address) {
		free(h->name);
		free(h->address);
		return false;
	}
	a->nhosts++;
	return true;
}

static void ask_one_host(struct job *j)
{
	if (host_add(j, 0, j->name)) {
		ask_addresses(j);
		return;
	}
	fail(j, "no memory", j->name, NULL);
	finish_failed(j);
}

/* ---- MX ---- */

struct mx {
	int preference;
	char name[DOMAIN_SIZE];
};
struct mx_list {
	struct mx v[HOSTS_MAX + 1];
	int n;
	bool null; /* a record of RFC 7505 */
};

static bool mx_before(const struct mx *a, const struct mx *b)
{
	return a->preference != b->preference ? a->preference < b->preference
					      : strcmp(a->name, b->name) < 0;
}

/* Keeps the best HOSTS_MAX, each name once with its best preference. Names are checked: no NUL in
 * them. */
static void mx_add(struct mx_list *l, const struct mx *mx)
{
	int i;

	for (i = 0; i < l->n; i++) {
		if (strcmp(l->v[i].name, mx->name) != 0)
			continue;
		if (l->v[i].preference <= mx->preference)
			return;
		memmove(&l->v[i], &l->v[i + 1], (size_t)(l->n - i - 1) * sizeof *l->v);
		l->n--;
		break;
	}
	for (i = l->n; i > 0 && mx_before(mx, &l->v[i - 1]); i--)
		l->v[i] = l->v[i - 1];
	l->v[i] = *mx;
	if (l->n < HOSTS_MAX)
		l->n++;
}

static void mx_read(struct mx_list *l, const struct ub_result *res)
{
	struct mx mx;

	for (int i = 0; i < records(res); i++) {
		if (res->len[i] < 0 || !dns_wire_mx((const uint8_t *)res->data[i],
						    (size_t)res->len[i], &mx.preference, mx.name))
			continue;
		if (!mx.name[0])
			l->null = true;
		else if (domain_is_hostname(str_of(mx.name)))
			mx_add(l, &mx);
	}
}

static void take_mx(struct job *j, const struct ub_result *res)
{
	struct mx_list list = { .n = 0 };

	mx_read(&list, res);
	if (!list.n) {
		if (list.null)
			ANSWER_TEXT(j, "%s takes no mail (null MX)", j->name);
		else
			ANSWER_TEXT(j, "no MX of %s is a host name", j->name);
		finish(j, list.null ? DNS_NULL_MX : DNS_NO_HOST);
		return;
	}
	for (int i = 0; i < list.n; i++)
		if (!host_add(j, list.v[i].preference, list.v[i].name)) {
			fail(j, "no memory", j->name, NULL);
			finish_failed(j);
			return;
		}
	ask_addresses(j);
}

static void mx_reply(struct job *j, const struct reply *reply)
{
	if (reply->fact != FACT_FAILED)
		j->ttl = reply->ttl;
	switch (reply->fact) {
	case FACT_DATA:
		take_mx(j, reply->result);
		break;
	case FACT_NO_DATA:
		j->answer->implicit = true;
		ask_one_host(j);
		break;
	case FACT_NXDOMAIN:
		ANSWER_TEXT(j, "%s does not exist (NXDOMAIN)", j->name);
		finish(j, DNS_NXDOMAIN);
		break;
	case FACT_FAILED: /* never the domain's own address then: its MX may exist */
		fail(j, reply->why, j->name, "MX");
		finish_failed(j);
		break;
	}
}

/* ---- TXT ---- */

static bool text_add(struct dns_answer *a, struct str s)
{
	char *p = str_dup(s);

	if (p)
		a->texts[a->ntexts++] = (struct str){ p, s.n };
	return p != NULL;
}

static void take_texts(struct job *j, const struct ub_result *res)
{
	struct buf text;
	bool ok = (j->answer->texts = calloc(TEXTS_MAX, sizeof *j->answer->texts)) != NULL;

	buf_init(&text);
	for (int i = 0; ok && i < records(res) && j->answer->ntexts < TEXTS_MAX; i++) {
		buf_clear(&text);
		if (res->len[i] >= 0 &&
		    dns_wire_text((const uint8_t *)res->data[i], (size_t)res->len[i], &text))
			ok = text_add(j->answer, buf_str(&text));
	}
	buf_free(&text);
	if (!ok) {
		fail(j, "no memory", j->name, NULL);
		finish_failed(j);
		return;
	}
	if (!j->answer->ntexts)
		ANSWER_TEXT(j, "no TXT record of %s is well-formed", j->name);
	finish(j, j->answer->ntexts ? DNS_OK : DNS_NO_HOST);
}

static void text_reply(struct job *j, const struct reply *reply)
{
	if (reply->fact != FACT_FAILED)
		j->ttl = reply->ttl;
	switch (reply->fact) {
	case FACT_DATA:
		take_texts(j, reply->result);
		break;
	case FACT_NO_DATA:
		ANSWER_TEXT(j, "%s has no TXT record", j->name);
		finish(j, DNS_NO_HOST);
		break;
	case FACT_NXDOMAIN:
		ANSWER_TEXT(j, "%s does not exist (NXDOMAIN)", j->name);
		finish(j, DNS_NXDOMAIN);
		break;
	case FACT_FAILED:
		fail(j, reply->why, j->name, "TXT");
		finish_failed(j);
		break;
	}
}

void job_reply(struct job *j, int slot, const struct reply *reply)
{
	j->waiting--;
	j->all_secure = j->all_secure && reply->fact != FACT_FAILED && reply->secure;
	if (slot == SLOT_MX) {
		mx_reply(j, reply);
		return;
	}
	if (slot == SLOT_TEXT) {
		text_reply(j, reply);
		return;
	}
	address_reply(j, slot, reply);
	if (!j->waiting)
		conclude(j);
}

/* ---- start ---- */

static void job_start(struct job *j, struct str name)
{
	if (!domain_normal(name, j->name)) {
		ANSWER_TEXT(j, "%.*s is no domain name", (int)(name.n < 64 ? name.n : 64), name.p);
		finish(j, DNS_NXDOMAIN);
		return;
	}
	if (j->kind == RESOLVE_HOST) {
		ask_one_host(j);
		return;
	}
	if (j->kind == RESOLVE_TEXT ? resolver_ask(j->r, j->name, RR_TXT, j, SLOT_TEXT)
				    : resolver_ask(j->r, j->name, RR_MX, j, SLOT_MX)) {
		j->waiting++;
		return;
	}
	fail(j, "no memory", j->name, NULL);
	finish_failed(j);
}

struct job *job_new(struct resolver *r, uint64_t id, enum resolver_kind kind, struct str name,
		    bool allow_private)
{
	struct job *j = calloc(1, sizeof *j);
	struct dns_answer *a = calloc(1, sizeof *a);

	if (j && a)
		a->hosts = calloc(HOSTS_MAX, sizeof *a->hosts);
	if (!j || !a || !a->hosts) {
		free(j);
		free(a);
		return NULL;
	}
	*j = (struct job){ .r = r, .id = id, .kind = kind, .answer = a, .all_secure = true };
	j->allow_private = allow_private || r->allow_private;
	j->ttl = j->ttl_negative = US_NEVER;
	j->next = r->jobs;
	if (r->jobs)
		r->jobs->prev = j;
	r->jobs = j;
	r->outstanding++;
	job_start(j, name);
	return j;
}
