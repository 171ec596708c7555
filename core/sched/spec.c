/* What a session is told: where to connect from and to, and how to behave. */
#include "core/sched/inner.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum { BAD_SLOTS = 256 }; /* a power of two; a collision forgets the older one */

struct bad_address {
	uint64_t key;
	us_t until;
};

/* The address without its port. */
void address_text(const struct endpoint *e, struct buf *out)
{
	char text[INET6_ADDRSTRLEN];

	if (e->sa.sa_family == AF_INET && inet_ntop(AF_INET, &e->in4.sin_addr, text, sizeof text))
		buf_addz(out, text);
	else if (e->sa.sa_family == AF_INET6 &&
		 inet_ntop(AF_INET6, &e->in6.sin6_addr, text, sizeof text))
		buf_addz(out, text);
}

static uint64_t address_key(const struct endpoint *e)
{
	if (e->sa.sa_family == AF_INET)
		return hash_bytes(&e->in4.sin_addr, sizeof e->in4.sin_addr);
	return hash_bytes(&e->in6.sin6_addr, sizeof e->in6.sin6_addr);
}

void address_failed(struct sched *s, const struct endpoint *e, us_t until)
{
	uint64_t key = address_key(e);

	if (!s->bad)
		s->bad = calloc(BAD_SLOTS, sizeof *s->bad);
	if (s->bad)
		s->bad[key % BAD_SLOTS] = (struct bad_address){ key, until };
}

static bool address_bad(const struct sched *s, const struct endpoint *e)
{
	uint64_t key = address_key(e);

	return s->bad && s->bad[key % BAD_SLOTS].key == key &&
	       s->bad[key % BAD_SLOTS].until > s->now;
}

/* All addresses of the host of this name. False: the set has no such host. */
bool host_failed(struct sched *s, const struct mxset *mx, struct str name, us_t until)
{
	struct reader r = mxset_reader(mx);
	struct mxhost h;
	bool found = false;

	while (mxset_next(&r, &h)) {
		bool same = str_ieq(h.name, name);

		found |= same;
		for (int i = 0; i < h.naddresses; i++) {
			struct endpoint e;

			mxset_address(&r, &e);
			if (same)
				address_failed(s, &e, until);
		}
	}
	return found;
}

bool hosts_has_other(struct sched *s, const struct mxset *mx)
{
	struct reader r = mxset_reader(mx);
	struct mxhost h;

	while (mxset_next(&r, &h))
		for (int i = 0; i < h.naddresses; i++) {
			struct endpoint e;

			mxset_address(&r, &e);
			if (!address_bad(s, &e))
				return true;
		}
	return false;
}

/* Those that failed lately stand last. */
static void sort_addresses(const struct sched *s, struct dns_host *h)
{
	int good = 0;

	for (int i = 0; i < h->naddresses; i++)
		if (!address_bad(s, &h->address[i])) {
			struct endpoint e = h->address[good];

			h->address[good++] = h->address[i];
			h->address[i] = e;
		}
}

static bool host_copy(struct reader *r, const struct mxhost *from, struct dns_host *to)
{
	to->preference = from->preference;
	to->failed = from->failed;
	to->name = str_dup(from->name);
	to->address = calloc(from->naddresses ? (size_t)from->naddresses : 1, sizeof *to->address);
	if (!to->name || !to->address)
		return false;
	to->naddresses = from->naddresses;
	for (int i = 0; i < from->naddresses; i++) {
		mxset_address(r, &to->address[i]);
		if (from->port && to->address[i].sa.sa_family == AF_INET)
			to->address[i].in4.sin_port = htons(from->port);
		else if (from->port)
			to->address[i].in6.sin6_port = htons(from->port);
	}
	return true;
}

/* RFC 5321 5.1: hosts of one preference are tried in random order. */
static void shuffle(struct sched *s, struct dns_host *v, int n)
{
	for (int from = 0; from < n;) {
		int to = from + 1;

		while (to < n && v[to].preference == v[from].preference)
			to++;
		for (int i = to - 1; i > from; i--) {
			int k = from + (int)rng_below(&s->rng, (uint64_t)(i - from + 1));
			struct dns_host h = v[i];

			v[i] = v[k];
			v[k] = h;
		}
		from = to;
	}
}

static bool host_bad(const struct sched *s, const struct dns_host *h)
{
	return h->naddresses > 0 && address_bad(s, &h->address[0]);
}

/* A host whose every address failed lately is tried after the others. */
static void bad_last(const struct sched *s, struct dns_host *v, int n)
{
	int end = n;

	for (int i = 0; i < end;) {
		struct dns_host h = v[i];

		if (!host_bad(s, &h)) {
			i++;
			continue;
		}
		memmove(&v[i], &v[i + 1], (size_t)(n - i - 1) * sizeof *v);
		v[n - 1] = h;
		end--;
	}
}

static bool copy_hosts(struct sched *s, const struct mxset *mx, struct session_spec *spec)
{
	struct reader r = mxset_reader(mx);
	struct mxhost h;

	spec->hosts = calloc(mx->nhosts ? mx->nhosts : 1, sizeof *spec->hosts);
	if (!spec->hosts)
		return false;
	while (mxset_next(&r, &h)) {
		struct dns_host *to = &spec->hosts[spec->nhosts++];

		if (!host_copy(&r, &h, to))
			return false;
		sort_addresses(s, to);
	}
	shuffle(s, spec->hosts, spec->nhosts);
	bad_last(s, spec->hosts, spec->nhosts);
	return true;
}

static void copy_settings(const struct settings *set, struct session_spec *spec)
{
	spec->smtp_pipelining = set->smtp_pipelining;
	spec->use_rs = set->use_rs;
	spec->ip_versions = set->ip_versions;
	spec->eightbit = set->eightbit;
	if (set->auth_user && set->auth_password) {
		spec->auth_user = rstr_new(str_of(set->auth_user));
		spec->auth_password = rstr_new(str_of(set->auth_password));
	}
	spec->starttls = set->smtp_starttls;
	spec->tls_needed =
	    starttls_needed(set->smtp_starttls, set->use_plaintext) || set->auth_user != NULL;
	spec->tls_min =
	    set->smtp_starttls >= STARTTLS_REQUIRED ? set->tls_min_version : TLS_MIN_1_0;
	spec->max_msg_per_connection = set->max_msg_per_connection;
	spec->connect_timeout = set->connect_timeout;
	spec->greeting_timeout = set->greeting_timeout;
	spec->command_timeout = set->command_timeout;
	spec->data_timeout = set->data_timeout;
	spec->data_done_timeout = set->data_done_timeout;
	spec->idle_timeout = set->idle_timeout;
}

/* NULL without memory. */
struct session_spec *spec_make(struct sched *s, const struct session *e, const struct path *p,
			       const struct queue *q)
{
	struct session_spec *spec = calloc(1, sizeof *spec);
	const struct source *src = p->source;

	if (!spec)
		return NULL;
	spec->session = e->id;
	spec->lane = rstr_ref(p->lane->name);
	spec->site = rstr_ref(p->lane->site->name);
	spec->vmta = rstr_ref(src->name);
	if (!src->known || src->up4)
		spec->local4 = src->ip4;
	if (!src->known || src->up6)
		spec->local6 = src->ip6;
	spec->ehlo4 = rstr_ref(src->host4);
	spec->ehlo6 = rstr_ref(src->host6);
	spec->port = s->opts.smtp_port;
	copy_settings(p->set, spec);
	spec->patterns = patterns_ref(s->conf->patterns);
	spec->patterns_list = patterns_find(spec->patterns, p->set->smtp_pattern_list);
	if (copy_hosts(s, q->hosts->mx, spec))
		return spec;
	session_spec_free(spec);
	return NULL;
}
