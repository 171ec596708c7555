#include "core/report/counters_inner.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"

static int64_t minute_of(us_t t)
{
	return t / US_PER_MIN;
}

/* ---- windows ---- */

static uint64_t sum(const uint32_t *v, int n)
{
	uint64_t all = 0;

	for (int i = 0; i < n; i++)
		all += v[i];
	return all;
}

uint64_t window_hour(const struct window *w)
{
	return sum(w->minute, MINUTES);
}

uint64_t window_day(const struct window *w)
{
	return sum(w->hour, HOURS);
}

/* Empties the places of those that begin: from < t <= to. */
static void clear(uint32_t *v, int64_t n, int64_t from, int64_t to)
{
	if (to - from > n)
		from = to - n;
	for (int64_t t = from + 1; t <= to; t++)
		v[t % n] = 0;
}

static void window_advance(struct window *w, int64_t from, int64_t to)
{
	clear(w->minute, MINUTES, from, to);
	clear(w->hour, HOURS, from / 60, to / 60);
}

void party_advance(struct party *p, int64_t minute)
{
	if (minute <= p->minute_at)
		return;
	for (int i = 0; i < WHATS; i++)
		window_advance(&p->w[i], p->minute_at, minute);
	for (struct category *k = p->categories; k; k = k->next)
		window_advance(&k->w, p->minute_at, minute);
	p->minute_at = minute;
}

static void window_add(struct window *w, int64_t newest, int64_t minute)
{
	w->total++;
	if (newest - minute < MINUTES)
		w->minute[minute % MINUTES]++;
	if (newest / 60 - minute / 60 < HOURS)
		w->hour[minute / 60 % HOURS]++;
}

/* ---- parties ---- */

void item_dirty(struct counters *c, struct item *i)
{
	if (i->dirty)
		return;
	i->dirty = true;
	i->next_dirty = NULL;
	*c->dirty_tail = i;
	c->dirty_tail = &i->next_dirty;
}

static void category_free(struct category *k)
{
	free(k->name);
	free(k->said);
	free(k);
}

void party_free(struct party *p)
{
	struct category *k;

	while ((k = p->categories)) {
		p->categories = k->next;
		category_free(k);
	}
	free(p->name);
	free(p);
}

static struct party *party_new(struct counters *c, enum reputation_kind k, struct str name)
{
	struct party *p = calloc(1, sizeof *p);

	if (!p || !(p->name = str_dup(name)) || !strmap_put(&c->by_name[k], str_of(p->name), p)) {
		if (p)
			party_free(p);
		return NULL;
	}
	p->kind = k;
	p->key = str_of(p->name);
	p->item = (struct item){ .id = ++c->next_id, .kind = ROW_REPUTATION };
	p->next = c->first[k];
	c->first[k] = p;
	c->n[k]++;
	return p;
}

struct party *party_get(struct counters *c, enum reputation_kind k, struct str name)
{
	struct party *p = strmap_get(&c->by_name[k], name);

	if (!p && c->n[k] >= PARTIES_MAX) {
		name = str_of(OTHER);
		p = strmap_get(&c->by_name[k], name);
	}
	return p ? p : party_new(c, k, name);
}

struct category *category_get(struct counters *c, struct party *p, struct str name)
{
	struct category **at = &p->categories, *k;

	while (*at && !str_eqz(name, (*at)->name))
		at = &(*at)->next;
	if (*at)
		return *at;
	if (p->ncategories == CATEGORIES_MAX - 1 && !str_eqz(name, OTHER))
		return category_get(c, p, str_of(OTHER));
	k = calloc(1, sizeof *k);
	if (!k || !(k->name = str_dup(name))) {
		free(k);
		return NULL;
	}
	k->item = (struct item){ .id = ++c->next_id, .kind = ROW_FEEDBACK };
	k->of = p;
	p->ncategories++;
	return *at = k;
}

void party_key(const struct party *p, struct buf *out)
{
	static const char letters[REPUTATION_KINDS] = { 'p', 's', 'j' };

	buf_addf(out, "%c %s", letters[p->kind], p->name);
}

void party_target(const struct party *p, struct buf *out)
{
	static const char *const prefix[REPUTATION_KINDS] = { "@", "vmta:", "job:" };

	buf_addf(out, "%s%s", prefix[p->kind], p->name);
}

/* ---- whose domain's mail goes where ---- */

static void known_free(struct known *k)
{
	free(k->domain);
	free(k->site);
	free(k);
}

static void domains_free(struct strmap *m)
{
	size_t pos = 0;
	struct str key;
	void *k;

	while (strmap_next(m, &pos, &key, &k))
		known_free(k);
	strmap_free(m);
}

static const struct known *domain_find(const struct counters *c, struct str domain)
{
	const struct known *k = strmap_get(&c->domains, domain);

	return k ? k : strmap_get(&c->domains_before, domain);
}

static void domain_learn(struct counters *c, struct str domain, struct str site)
{
	struct known *k = strmap_get(&c->domains, domain);

	if (k && str_eqz(site, k->site))
		return;
	if (k) {
		strmap_del(&c->domains, domain);
		known_free(k);
	}
	if (c->domains.used >= DOMAINS_MAX) {
		domains_free(&c->domains_before);
		c->domains_before = c->domains;
		strmap_init(&c->domains);
	}
	k = calloc(1, sizeof *k);
	if (k && (k->domain = str_dup(domain)) && (k->site = str_dup(site)) &&
	    strmap_put(&c->domains, str_of(k->domain), k))
		return;
	if (k)
		known_free(k);
}

enum { DOMAIN_BYTES = 256 };

/* Of the address, in lower case; empty: none. */
static struct str domain_of(struct str address, char z[DOMAIN_BYTES])
{
	const char *at = address.n ? memrchr(address.p, '@', address.n) : NULL;
	struct str d = { "", 0 };

	if (!at)
		return d;
	d = (struct str){ at + 1, address.n - (size_t)(at + 1 - address.p) };
	if (d.n >= DOMAIN_BYTES)
		return (struct str){ "", 0 };
	str_lower(d, z, DOMAIN_BYTES);
	return (struct str){ z, d.n };
}

static struct str site_of(struct counters *c, const struct event *e, const struct conf *conf)
{
	char z[DOMAIN_BYTES];
	struct str domain = domain_of(e->recipient, z);
	const struct known *k;
	int provider;

	if (e->site.n) {
		if (domain.n)
			domain_learn(c, domain, e->site);
		return e->site;
	}
	k = domain.n ? domain_find(c, domain) : NULL;
	if (k)
		return str_of(k->site);
	provider = domain.n && conf ? conf_provider_for(conf, domain, NULL, 0) : CONF_NONE;
	return str_of(provider == CONF_NONE ? OTHER : conf->providers[provider].name);
}

/* ---- replies that say the same ---- */

/* What is different each time (numbers, queue ids, addresses) is left out; codes in front stay. */
static void said_key(struct str reply, char key[REPLY_BYTES])
{
	size_t n = 0, word = 0;

	for (size_t i = 0; i < reply.n && n + 2 < REPLY_BYTES; word++) {
		size_t from = i;
		bool varies = false;

		while (i < reply.n && reply.p[i] != ' ') {
			char ch = reply.p[i++];

			varies |= (ch >= '0' && ch <= '9') || ch == '@';
		}
		if (varies && word > 1) {
			key[n++] = '#';
		} else {
			size_t m = i - from;

			m = m < REPLY_BYTES - 2 - n ? m : REPLY_BYTES - 2 - n;
			memcpy(key + n, reply.p + from, m);
			n += m;
		}
		key[n++] = ' ';
		while (i < reply.n && reply.p[i] == ' ')
			i++;
	}
	key[n] = '\0';
}

static void keep(struct str s, char *to, size_t cap)
{
	size_t n = s.n < cap - 1 ? s.n : cap - 1;

	if (n)
		memcpy(to, s.p, n);
	to[n] = '\0';
}

static void category_said(struct category *k, const struct event *e)
{
	char key[REPLY_BYTES];
	struct said *s = NULL;

	k->last = e->at;
	if (!k->said)
		k->said = calloc(REPLIES_MAX, sizeof *k->said);
	if (!k->said)
		return;
	said_key(e->reply, key);
	for (int i = 0; i < k->nsaid && !s; i++)
		if (strcmp(k->said[i].key, key) == 0)
			s = &k->said[i];
	if (!s && k->nsaid < REPLIES_MAX)
		s = &k->said[k->nsaid++];
	for (int i = 0; i < REPLIES_MAX && !s; i++) /* the one not heard for longest goes */
		if (i == REPLIES_MAX - 1 || k->said[i].last <= k->said[i + 1].last)
			s = &k->said[i];
	if (strcmp(s->key, key) != 0)
		*s = (struct said){ 0 };
	memcpy(s->key, key, sizeof key);
	keep(e->reply, s->text, sizeof s->text);
	keep(e->recipient, s->recipient, sizeof s->recipient);
	s->n++;
	s->last = e->at;
}

/* ---- events ---- */

struct counted { /* what an event counts as */
	bool what[WHATS];
	struct str category; /* of the receiver's feedback; empty: none */
};

static bool read_event(const struct event *e, struct counted *out)
{
	bool spam = str_eqz(e->category, "spam-related");

	*out = (struct counted){ .category = e->category };
	switch (e->type) {
	case EVENT_DELIVERED:
		out->what[DELIVERED] = true;
		out->category = (struct str){ "", 0 };
		return true;
	case EVENT_BOUNCED:
	case EVENT_EXPIRED:
		out->what[FAILED] = true;
		out->what[HARMFUL] = e->type == EVENT_BOUNCED && (e->hard || spam);
		break;
	case EVENT_REMOTE_BOUNCED: /* it was counted as delivered */
		out->what[HARMFUL] = e->hard || spam;
		break;
	case EVENT_COMPLAINT:
		out->what[COMPLAINTS] = true;
		out->category = str_of(COUNTERS_COMPLAINT);
		return true;
	case EVENT_RECEIVED:
	case EVENT_REJECTED:
	case EVENT_DEFERRED:
	case EVENT_REMOVED:
	case EVENT_UNREACHED:
	case EVENT_SUPPRESSED:
	case EVENT_TYPES:
		return false;
	}
	if (!out->category.n)
		out->category = STR_LIT("other");
	return true;
}

static bool party_count(struct counters *c, struct party *p, const struct event *e,
			const struct counted *n)
{
	int64_t minute = minute_of(e->at);

	if (!p || e->id <= p->through)
		return false;
	party_advance(p, minute);
	p->through = e->id;
	for (int i = 0; i < WHATS; i++)
		if (n->what[i]) {
			window_add(&p->w[i], p->minute_at, minute);
			p->fresh[i]++;
		}
	p->unsaved = true;
	item_dirty(c, &p->item);
	return true;
}

void counters_event(struct counters *c, const struct event *e, const struct conf *conf)
{
	struct counted n;
	struct category *k;
	struct party *p;

	OBJ_CHECK(c, COUNTERS_MAGIC);
	if (!read_event(e, &n))
		return;
	if (e->virtual_mta.n)
		party_count(c, party_get(c, REPUTATION_SOURCE, e->virtual_mta), e, &n);
	if (e->job.n)
		party_count(c, party_get(c, REPUTATION_JOB, e->job), e, &n);
	p = party_get(c, REPUTATION_PROVIDER, site_of(c, e, conf));
	if (!party_count(c, p, e, &n) || !n.category.n)
		return;
	k = category_get(c, p, n.category);
	if (!k)
		return;
	window_add(&k->w, p->minute_at, minute_of(e->at));
	category_said(k, e);
	item_dirty(c, &k->item);
}

/* ---- life ---- */

struct counters *counters_new(void)
{
	struct counters *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->magic = COUNTERS_MAGIC;
	c->dirty_tail = &c->dirty;
	for (int k = 0; k < REPUTATION_KINDS; k++)
		strmap_init(&c->by_name[k]);
	strmap_init(&c->domains);
	strmap_init(&c->domains_before);
	return c;
}

void counters_free(struct counters *c)
{
	struct party *p;
	struct forgotten *f;

	if (!c)
		return;
	for (int k = 0; k < REPUTATION_KINDS; k++) {
		while ((p = c->first[k])) {
			c->first[k] = p->next;
			party_free(p);
		}
		strmap_free(&c->by_name[k]);
	}
	while ((f = c->forgotten)) {
		c->forgotten = f->next;
		free(f);
	}
	domains_free(&c->domains);
	domains_free(&c->domains_before);
	free(c);
}
