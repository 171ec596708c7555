/* Where mail goes: MX answers of domains, and the hosts of a `route`. At most LOOKUPS_MAX look-ups
 * are outstanding; what has due mail stands in the line, nothing else. The last good answer is used
 * for a day while the DNS fails. */
#include "core/sched/inner.h"

#include <stdlib.h>

enum { KEPT_MOST = 50000 };
enum { LOOKUPS_MAX = 500, FAILED_MAX = 6, FAILED_A_SECOND = 4000 };
#define FAILED_FIRST_US (60 * US_PER_S)
#define FAILED_MOST_US	(30 * US_PER_MIN)
#define KEEP_US		US_PER_DAY
/* A definite no is believed this long even if its TTL is shorter: a queue of a thousand recipients
 * asks once. */
#define NEGATIVE_LEAST_US (60 * US_PER_S)

static uint64_t hosts_key(struct str name, uint8_t kind)
{
	return hash_bytes(name.p, name.n) + kind;
}

uint64_t hosts_hash(const struct table_link *l)
{
	const struct hosts *h = (const struct hosts *)(const void *)l;

	return hosts_key(rstr_str(h->name), h->kind);
}

static void hosts_unkeep(struct sched *s, struct hosts *h)
{
	if (h->users || !list_in(&h->line))
		return;
	list_del(&h->line);
	s->nkept--;
}

/* A reference; the name is shared with whoever has it already. NULL without memory. */
struct hosts *hosts_get(struct sched *s, struct rstr *name, enum hosts_kind kind,
			bool allow_private)
{
	struct table_link *l;
	struct hosts *h;

	if (!name)
		return NULL;
	l = table_bucket(&s->hosts, hosts_key(rstr_str(name), (uint8_t)kind));
	for (; l; l = l->next) {
		h = TABLE_OF(l, struct hosts);
		if (h->kind == kind && h->allow_private == allow_private &&
		    str_eq(rstr_str(h->name), rstr_str(name))) {
			hosts_unkeep(s, h);
			h->users++;
			return h;
		}
	}
	h = pool_get(&s->hosts_pool);
	if (!h)
		return NULL;
	h->name = rstr_ref(name);
	h->kind = (uint8_t)kind;
	h->allow_private = allow_private;
	h->users = 1;
	list_init(&h->queues);
	if (table_add(&s->hosts, &h->link))
		return h;
	rstr_unref(name);
	pool_put(&s->hosts_pool, h);
	return NULL;
}

static struct hosts *hosts_named(struct sched *s, struct str name, enum hosts_kind kind,
				 bool allow_private)
{
	struct rstr *text = rstr_new(name);
	struct hosts *h = hosts_get(s, text, kind, allow_private);

	rstr_unref(text);
	return h;
}

static void hosts_free(struct sched *s, struct hosts *h);

/* What nothing refers to any more is kept while its answer may still be needed: mail that comes
 * tomorrow, while the DNS fails. */
static void keep(struct sched *s, struct hosts *h)
{
	struct link *l;

	list_add(&s->kept, &h->line);
	s->nkept++;
	while ((l = list_first(&s->kept))) {
		struct hosts *oldest = LIST_OF(l, struct hosts, line);

		if (s->nkept <= KEPT_MOST && s->now < oldest->known_until)
			return;
		hosts_unkeep(s, oldest);
		hosts_free(s, oldest);
	}
}

void hosts_put(struct sched *s, struct hosts *h)
{
	if (!h || --h->users)
		return;
	list_del(&h->line);
	if (h->kind != HOSTS_MX || !hosts_usable(h, s->now) || s->ending) {
		hosts_free(s, h);
		return;
	}
	if (h->state == HOSTS_WAITING) { /* asked when mail needs it again */
		h->state = HOSTS_KNOWN;
		h->expires = s->now;
	}
	keep(s, h);
}

void hosts_free_kept(struct sched *s)
{
	struct link *l;

	while ((l = list_pop(&s->kept)))
		hosts_free(s, LIST_OF(l, struct hosts, line));
}

static void hosts_free(struct sched *s, struct hosts *h)
{
	for (uint8_t i = 0; i < h->nparts; i++)
		hosts_put(s, h->parts[i].hosts);
	free(h->parts);
	if (h->state == HOSTS_ASKED) {
		idmap_del(&s->by_lookup, h->lookup);
		s->nasked--;
	}
	list_del(&h->line);
	table_del(&s->hosts, &h->link);
	mxset_put(s, h->mx);
	rstr_unref(h->name);
	rstr_unref(h->text);
	pool_put(&s->hosts_pool, h);
}

/* ---- routes: `route = host, [ip]:port, mx:dom` ---- */

static void put_ip_host(struct buf *b, const struct endpoint *ip, struct str name, int preference,
			uint16_t port)
{
	char text[DOMAIN_SIZE];
	struct endpoint copy = *ip;
	struct dns_host h = { .name = text, .address = &copy, .naddresses = 1 };

	if (name.n >= sizeof text)
		return;
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	mxset_put_host(b, &h, preference, port);
}

/* Adds the hosts of one part behind those before it. A host keeps its own preference inside the
 * part. */
static void put_part(struct buf *b, const struct hosts_part *part, int *preference)
{
	struct reader r = mxset_reader(part->hosts->mx);
	struct mxhost h;
	int base = *preference, first = -1;

	while (mxset_next(&r, &h)) {
		struct dns_host copy = { .naddresses = h.naddresses, .failed = h.failed };
		struct endpoint addresses[UINT8_MAX];
		char name[DOMAIN_SIZE] = { 0 };

		memcpy(name, h.name.p, h.name.n);
		copy.name = name;
		copy.address = addresses;
		for (int i = 0; i < h.naddresses; i++)
			mxset_address(&r, &addresses[i]);
		if (first < 0)
			first = h.preference;
		*preference = base + (h.preference - first);
		mxset_put_host(b, &copy, *preference, part->port);
	}
	(*preference)++;
}

static void hosts_changed(struct sched *s, struct hosts *h);

/* A route is known as soon as one of its parts is; parts that fail are left out. */
static void route_compose(struct sched *s, struct hosts *h)
{
	struct buf b;
	int preference = 0;
	bool waiting = false, failed = false;
	struct mxset *mx = NULL;

	buf_init(&b);
	for (uint8_t i = 0; i < h->nparts; i++) {
		const struct hosts *p = h->parts[i].hosts;

		if (hosts_usable(p, s->now))
			put_part(&b, &h->parts[i], &preference);
		waiting |=
		    p->state == HOSTS_NEW || p->state == HOSTS_WAITING || p->state == HOSTS_ASKED;
		failed |= p->state == HOSTS_FAILED;
	}
	if (b.n && !buf_failed(&b))
		mx = mxset_get(s, buf_str(&b));
	buf_free(&b);
	mxset_put(s, h->mx);
	h->mx = mx;
	h->known_until = US_NEVER;
	h->expires = US_NEVER;
	rstr_unref(h->text);
	h->text = NULL;
	if (mx) {
		h->state = HOSTS_KNOWN;
	} else if (waiting) {
		h->state = HOSTS_ASKED;
	} else {
		h->state = failed ? HOSTS_FAILED : HOSTS_NEGATIVE;
		h->status = failed ? DNS_TEMPFAIL : DNS_NO_HOST;
		h->text = rstr_newf("no host of route %s resolves", h->name->text);
		h->expires = s->now + FAILED_FIRST_US;
	}
	hosts_changed(s, h);
}

static struct hosts *ip_hosts(struct sched *s, const struct endpoint *ip)
{
	struct buf name, packed;
	struct hosts *h;

	buf_init(&name);
	buf_init(&packed);
	address_text(ip, &name);
	put_ip_host(&packed, ip, buf_str(&name), 0, 0);
	h = buf_failed(&name) ? NULL : hosts_named(s, buf_str(&name), HOSTS_IP, true);
	if (h && !h->mx && packed.n)
		h->mx = mxset_get(s, buf_str(&packed));
	if (h) {
		h->state = HOSTS_KNOWN;
		h->expires = h->known_until = US_NEVER;
	}
	buf_free(&name);
	buf_free(&packed);
	return h;
}

static struct hosts *route_part(struct sched *s, const struct route_host *rh, bool allow_private)
{
	if (rh->type == ROUTE_IP)
		return ip_hosts(s, &rh->ip);
	if (rh->type == ROUTE_HOST)
		return hosts_named(s, str_of(rh->host), HOSTS_HOST, true);
	return hosts_named(s, str_of(rh->host), HOSTS_MX, allow_private);
}

static uint16_t route_port(const struct route_host *rh)
{
	if (rh->type != ROUTE_IP)
		return rh->port;
	return ntohs(rh->ip.sa.sa_family == AF_INET ? rh->ip.in4.sin_port : rh->ip.in6.sin6_port);
}

/* The name under which a list of hosts is known. */
static void route_text(const struct settings *set, struct buf *b)
{
	for (int i = 0; i < set->nroute; i++) {
		const struct route_host *rh = &set->route[i];

		if (i)
			buf_addc(b, ',');
		if (rh->type == ROUTE_MX)
			buf_addz(b, "mx:");
		if (rh->type == ROUTE_IP)
			address_text(&rh->ip, b);
		else
			buf_addz(b, rh->host);
		if (route_port(rh))
			buf_addf(b, ":%u", route_port(rh));
	}
}

struct hosts *hosts_of_route(struct sched *s, const struct settings *set)
{
	struct buf b;
	struct hosts *h;

	buf_init(&b);
	route_text(set, &b);
	h = buf_failed(&b) ? NULL : hosts_named(s, buf_str(&b), HOSTS_ROUTE, set->allow_private_mx);
	buf_free(&b);
	if (!h || h->parts)
		return h;
	h->parts = calloc((size_t)set->nroute, sizeof *h->parts);
	if (!h->parts) {
		hosts_put(s, h);
		return NULL;
	}
	list_add(&s->host_routes, &h->line);
	for (int i = 0; i < set->nroute; i++) {
		struct hosts *p = route_part(s, &set->route[i], set->allow_private_mx);

		if (p)
			h->parts[h->nparts++] =
			    (struct hosts_part){ p, route_port(&set->route[i]) };
	}
	route_compose(s, h);
	return h;
}

/* ---- asking ---- */

/* Does mail wait for an answer? */
static bool hosts_wanted(const struct hosts *h)
{
	for (const struct link *l = h->queues.next; l != &h->queues; l = l->next)
		if (LIST_OF(l, const struct queue, on_hosts)->ready)
			return true;
	return h->users > 0 && list_empty(&h->queues);
}

static void enter_line(struct sched *s, struct hosts *h)
{
	if (h->state == HOSTS_WAITING || h->state == HOSTS_ASKED)
		return;
	list_del(&h->line);
	h->state = HOSTS_WAITING;
	list_add(&s->line, &h->line);
}

bool hosts_usable(const struct hosts *h, us_t now)
{
	return h->mx && (h->state != HOSTS_NEGATIVE) && now < h->known_until;
}

/* Mail is due for these hosts: ask if what is known is not known any more. */
void hosts_need(struct sched *s, struct hosts *h)
{
	if (h->kind == HOSTS_ROUTE) {
		for (uint8_t i = 0; i < h->nparts; i++)
			hosts_need(s, h->parts[i].hosts);
		return;
	}
	if (h->state == HOSTS_NEW || s->now >= h->expires)
		enter_line(s, h);
}

/* An operator says: now. */
void hosts_retry(struct sched *s, struct hosts *h)
{
	for (uint8_t i = 0; i < h->nparts; i++)
		hosts_retry(s, h->parts[i].hosts);
	if (h->kind != HOSTS_ROUTE && (h->state == HOSTS_FAILED || h->state == HOSTS_NEGATIVE))
		enter_line(s, h);
}

void hosts_tick(struct sched *s)
{
	struct link *l;

	while (s->nasked < LOOKUPS_MAX && (l = list_pop(&s->line))) {
		struct hosts *h = LIST_OF(l, struct hosts, line);
		struct act *a;

		h->lookup = ++s->next_id;
		if (!idmap_put(&s->by_lookup, h->lookup, h)) {
			list_add(&s->line, l);
			return;
		}
		h->state = HOSTS_ASKED;
		s->nasked++;
		s->budget--;
		a = action_add(s, ACT_LOOKUP);
		a->a.lookup = h->lookup;
		a->a.host = h->kind == HOSTS_HOST;
		a->a.allow_private = h->allow_private;
		action_keep_name(a, rstr_str(h->name));
	}
}

/* ---- answers ---- */

static void tell_whole(struct sched *s, struct hosts *part)
{
	struct link *head = &s->host_routes;

	for (struct link *l = head->next; l != head; l = l->next) {
		struct hosts *h = LIST_OF(l, struct hosts, line);

		for (uint8_t i = 0; i < h->nparts; i++)
			if (h->parts[i].hosts == part) {
				route_compose(s, h);
				break;
			}
	}
}

/* The look-up failed, and nothing is known to go by instead: the events of its queues say so. */
static void tell_unreached(struct sched *s, const struct hosts *h)
{
	struct rstr *text = rstr_newf("its MX can't be looked up: %s", rstr_str(h->text).p);

	for (struct link *l = h->queues.next; text && l != &h->queues; l = l->next) {
		struct queue *q = LIST_OF(l, struct queue, on_hosts);
		struct transaction *t = q->ready ? unreached_new(s, q, "4.4.3", text) : NULL;

		if (t)
			action_add(s, ACT_OUTCOMES)->a.txn = t;
	}
	rstr_unref(text);
}

static void hosts_changed(struct sched *s, struct hosts *h)
{
	if (h->state == HOSTS_FAILED && !hosts_usable(h, s->now))
		tell_unreached(s, h);
	for (struct link *l = h->queues.next; l != &h->queues; l = l->next)
		queue_hosts_changed(s, LIST_OF(l, struct queue, on_hosts));
	if (h->kind != HOSTS_ROUTE)
		tell_whole(s, h);
}

static struct mxset *pack(struct sched *s, const struct dns_answer *a)
{
	struct buf b;
	struct mxset *m = NULL;

	buf_init(&b);
	for (int i = 0; i < a->nhosts; i++)
		mxset_put_host(&b, &a->hosts[i], a->hosts[i].preference, 0);
	if (b.n && !buf_failed(&b))
		m = mxset_get(s, buf_str(&b));
	buf_free(&b);
	return m;
}

static bool any_address(const struct dns_answer *a)
{
	for (int i = 0; i < a->nhosts; i++)
		if (a->hosts[i].naddresses)
			return true;
	return false;
}

static void answer_failed(struct sched *s, struct hosts *h, const char *text)
{
	us_t wait = FAILED_FIRST_US << (h->failures < FAILED_MAX ? h->failures : FAILED_MAX);

	if (h->failures < FAILED_MAX)
		h->failures++;
	h->state = HOSTS_FAILED;
	h->status = DNS_TEMPFAIL;
	h->stale = h->mx != NULL;
	h->expires = s->now + (wait < FAILED_MOST_US ? wait : FAILED_MOST_US);
	rstr_unref(h->text);
	h->text = rstr_new(str_of(text));
}

static void answer_good(struct sched *s, struct hosts *h, const struct dns_answer *a)
{
	struct mxset *m = pack(s, a);

	if (!m) {
		answer_failed(s, h, "no memory for the answer");
		return;
	}
	mxset_put(s, h->mx);
	h->mx = m;
	h->state = HOSTS_KNOWN;
	h->status = DNS_OK;
	h->expires = a->expires > s->now ? a->expires : s->now + NEGATIVE_LEAST_US;
	h->known_until = s->now + KEEP_US;
	h->failures = 0;
	h->stale = false;
	rstr_unref(h->text);
	h->text = NULL;
}

static void answer_no(struct sched *s, struct hosts *h, const struct dns_answer *a)
{
	us_t least = s->now + NEGATIVE_LEAST_US;

	h->state = HOSTS_NEGATIVE;
	h->status = (uint8_t)a->status;
	h->stale = false;
	h->failures = 0;
	h->expires = a->expires > least ? a->expires : least;
}

void sched_dns(struct sched *s, us_t now, uint64_t lookup, struct dns_answer *a)
{
	struct hosts *h = idmap_del(&s->by_lookup, lookup);

	s->now = now;
	if (!h) {
		dns_answer_free(a);
		return;
	}
	s->nasked--;
	if (!a)
		answer_failed(s, h, "no answer");
	else if (a->status == DNS_TEMPFAIL)
		answer_failed(s, h, a->text);
	else if (a->status == DNS_OK && !any_address(a))
		answer_failed(s, h, "none of its MX hosts has an address");
	else if (a->status == DNS_OK)
		answer_good(s, h, a);
	else
		answer_no(s, h, a);
	dns_answer_free(a);
	if (h->state == HOSTS_FAILED && h->users)
		list_add(&s->failed, &h->line);
	hosts_changed(s, h);
}

/* Once a second: what failed is asked again when its wait is over and mail still needs it. */
void hosts_second(struct sched *s)
{
	struct link *l;

	for (int i = 0; i < FAILED_A_SECOND && (l = list_pop(&s->failed)); i++) {
		struct hosts *h = LIST_OF(l, struct hosts, line);

		if (s->now < h->expires)
			list_add(&s->failed, l);
		else if (hosts_wanted(h))
			enter_line(s, h);
	}
}
