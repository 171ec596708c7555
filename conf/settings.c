/* Which settings hold (CONFIG.md). The sections that match are put in one order, narrowest first:
 *
 *   via the virtual MTA   exact domain, longest *.x ..., *
 *   via the pool          exact domain, longest *.x ..., * (the pool's own section)
 *   without via           exact domain, longest *.x ..., provider, *
 *
 * The first that sets a directive wins. A limit is looked for once in each of three rows instead,
 * as it counts where it is written: lane (*, provider), domain (patterns, without via or via a
 * virtual MTA), pool (via a pool). The rows of provider, virtual MTA and total are structs of their
 * own in the snapshot.
 *
 * Settings are interned by that list of sections: 100,000 domains without sections of their own
 * share one object. */
#include <assert.h>
#include <stdlib.h>

#include "conf/snapshot.h"
#include "conf/value.h"
#include "core/base/domain.h"
#include "core/base/hash.h"

enum { CACHE_MAGIC = 0x53434143, CACHE_ARENA_BYTES = 16 * 1024, LABELS_MAX = 128 };
/* exact, each *.x and * for two vias; without via also the provider */
enum { CHAIN_MAX = 3 * (LABELS_MAX + 2) + 1 };

static_assert(sizeof(enum ip_versions) == sizeof(int) && sizeof(enum send_dsn) == sizeof(int) &&
		  sizeof(enum dsn_return) == sizeof(int) && sizeof(enum eightbit) == sizeof(int) &&
		  sizeof(enum starttls) == sizeof(int) && sizeof(enum tls_min) == sizeof(int) &&
		  sizeof(enum conf_tls) == sizeof(int),
	      "field_set stores TYPE_WORD as int");

struct link { /* a section that matches, and the row that its limits stand in */
	const struct conf_section *section;
	enum limit_scope scope;
	bool by_domain;
};

struct chain {
	struct link v[CHAIN_MAX];
	int n;
};

struct settings_cache {
	uint32_t magic;
	struct conf *conf;
	struct arena arena;
	struct strmap known; /* key -> struct settings */
};

struct settings_cache *settings_cache_new(struct conf *c)
{
	struct settings_cache *sc = calloc(1, sizeof *sc);

	if (!sc)
		return NULL;
	sc->magic = CACHE_MAGIC;
	sc->conf = conf_ref(c);
	arena_init(&sc->arena, CACHE_ARENA_BYTES);
	strmap_init(&sc->known);
	return sc;
}

void settings_cache_free(struct settings_cache *sc)
{
	if (!sc)
		return;
	OBJ_CHECK(sc, CACHE_MAGIC);
	sc->magic = 0;
	strmap_free(&sc->known);
	arena_free(&sc->arena);
	conf_unref(sc->conf);
	free(sc);
}

/* ---- the chain ---- */

static void link_add(struct chain *ch, const struct conf_section *s, enum limit_scope scope,
		     bool by_domain)
{
	if (s && ch->n < CHAIN_MAX)
		ch->v[ch->n++] = (struct link){ s, scope, by_domain };
}

/* The exact domain's section, then each *.x that it is below, longest first. */
static void link_patterns(struct chain *ch, const struct pattern_index *x, struct str domain,
			  enum limit_scope scope)
{
	char wild[DOMAIN_SIZE + 2] = "*";
	struct str rest = domain, label;

	if (!x->n || str_eqz(domain, "*") || domain.n > DOMAIN_MAX)
		return;
	link_add(ch, pattern_find(x, domain), scope, true);
	while (str_split(&rest, '.', &label) && rest.n) {
		wild[1] = '.';
		memcpy(wild + 2, rest.p, rest.n);
		link_add(ch, pattern_find(x, (struct str){ wild, rest.n + 2 }), scope, true);
	}
}

static void link_via(struct chain *ch, const struct conf *c, struct str domain, int route,
		     bool pool)
{
	const struct pattern_index *x = &c->priv->by_route[1 + route];

	link_patterns(ch, x, domain, pool ? SCOPE_POOL : SCOPE_DOMAIN);
	link_add(ch, pattern_find(x, STR_LIT("*")), pool ? SCOPE_POOL : SCOPE_LANE, false);
}

static void chain_make(struct chain *ch, const struct conf *c, struct str domain, int provider,
		       int pool, int vmta)
{
	ch->n = 0;
	if (vmta != CONF_NONE)
		link_via(ch, c, domain, c->priv->route_of_vmta[vmta], false);
	if (pool != CONF_NONE)
		link_via(ch, c, domain, c->priv->route_of_pool[pool], true);
	link_patterns(ch, &c->priv->by_route[0], domain, SCOPE_DOMAIN);
	if (provider != CONF_NONE)
		link_add(ch, c->priv->provider_sections[provider], SCOPE_LANE, false);
	link_add(ch, c->priv->all, SCOPE_LANE, false);
}

static const struct conf_entry *first_that_sets(const struct chain *ch, enum setting_id id)
{
	for (int i = 0; i < ch->n; i++)
		if (ch->v[i].section->set[id])
			return ch->v[i].section->set[id];
	return NULL;
}

/* ---- limits ---- */

static const enum setting_id limit_ids[LIMIT_DIRECTIVES] = {
	[LIMIT_CONNECTIONS] = SET_MAX_SMTP_OUT,
	[LIMIT_MSG_RATE] = SET_MAX_MSG_RATE,
	[LIMIT_CONNECT_RATE] = SET_MAX_CONNECT_RATE,
	[LIMIT_BACKOFF_CONNECTIONS] = SET_BACKOFF_MAX_SMTP_OUT,
	[LIMIT_BACKOFF_MSG_RATE] = SET_BACKOFF_MAX_MSG_RATE,
};

static void limit_add(struct settings *s, enum limit_kind kind, enum limit_scope scope,
		      bool by_domain, const struct value *v, const struct origin *at)
{
	struct limit l = {
		.kind = kind, .scope = scope, .by_domain = by_domain, .pool = CONF_NONE
	};

	if (limit_is_connections(kind))
		l.n = (int)v->i;
	else
		l.rate = v->rate;
	if (!limit_is_connections(kind) && rate_unlimited(l.rate))
		return;
	if (scope == SCOPE_POOL)
		l.pool = s->pool;
	if (at)
		l.origin = *at;
	s->limits[s->nlimits++] = l;
}

/* True if the row sets this limit, also to "unlimited". */
static bool limit_of_row(struct settings *s, const struct chain *ch, enum limit_kind kind,
			 enum limit_scope scope)
{
	for (int i = 0; i < ch->n; i++) {
		const struct conf_entry *e = ch->v[i].section->set[limit_ids[kind]];

		if (ch->v[i].scope != scope || !e)
			continue;
		if (!e->clear)
			limit_add(s, kind, scope, ch->v[i].by_domain, &e->v, &e->at);
		return !e->clear;
	}
	return false;
}

/* The rows that are not in `limits`: do they set it for this mail? */
static bool outer_row_sets(const struct conf *c, const struct settings *s, enum limit_kind kind)
{
	const struct conf_vmta *v = s->vmta == CONF_NONE ? NULL : &c->vmtas[s->vmta];
	const struct conf_provider *p =
	    s->provider == CONF_NONE ? NULL : &c->providers[s->provider];

	if (kind == LIMIT_CONNECTIONS)
		return (v && v->max_smtp_out) || (p && p->max_smtp_out);
	return false; /* the built-in rates are unlimited: there is no default to keep away */
}

static void resolve_limits(const struct conf *c, struct settings *s, const struct chain *ch)
{
	for (int k = 0; k < LIMIT_DIRECTIVES; k++) {
		enum limit_kind kind = (enum limit_kind)k;
		const struct conf_entry *e = first_that_sets(ch, limit_ids[k]);
		bool set = outer_row_sets(c, s, kind);

		for (int scope = SCOPE_LANE; scope <= SCOPE_POOL; scope++)
			set = limit_of_row(s, ch, kind, (enum limit_scope)scope) || set;
		if (!set)
			limit_add(s, kind, SCOPE_LANE, false, &c->priv->defaults[limit_ids[k]],
				  NULL);
		if (e)
			s->origin[limit_ids[k]] = e->at;
	}
}

/* ---- one object ---- */

static void hash_value(struct buf *b, const struct directive *d, const struct settings *s)
{
	struct value v = field_get(d, s);

	if (d->type == TYPE_SECRET)
		buf_addz(b, v.z ? v.z : "");
	else
		value_write(d, &v, b);
	buf_addc(b, '\n');
}

/* Everything that a session of the client reads at its start: what differs here can't share one. */
static uint64_t session_key(const struct settings *s)
{
	static const enum setting_id of_session[] = {
		SET_MAX_MSG_PER_CONNECTION,
		SET_SMTP_PIPELINING,
		SET_USE_RS,
		SET_IP_VERSIONS,
		SET_ROUTE,
		SET_CONNECT_TIMEOUT,
		SET_SMTP_GREETING_TIMEOUT,
		SET_COMMAND_TIMEOUT,
		SET_DATA_TIMEOUT,
		SET_DATA_DONE_TIMEOUT,
		SET_IDLE_TIMEOUT,
		SET_ALLOW_PRIVATE_MX,
		SET_SMTP_STARTTLS,
		SET_USE_PLAINTEXT,
		SET_TLS_MIN_VERSION,
		SET_SMTP_PATTERN_LIST,
		SET_AUTH_USER,
		SET_AUTH_PASSWORD,
	};
	struct buf b;
	uint64_t key;

	buf_init(&b);
	for (size_t i = 0; i < sizeof of_session / sizeof of_session[0]; i++)
		hash_value(&b, directive_of_setting(of_session[i]), s);
	/* Without memory the key is of no use to anybody: a session of its own is always right. */
	key = buf_failed(&b) ? (uint64_t)(uintptr_t)s : hash_bytes(b.p, b.n);
	buf_free(&b);
	return key;
}

static struct settings *settings_make(struct settings_cache *sc, const struct chain *ch,
				      int provider, int pool, int vmta)
{
	const struct conf *c = sc->conf;
	struct settings *s = arena_alloc(&sc->arena, sizeof *s);

	if (!s)
		return NULL;
	s->provider = provider;
	s->pool = pool;
	s->vmta = vmta;
	for (size_t i = 0; i < directives_n; i++) {
		const struct directive *d = &directives[i];
		const struct conf_entry *e;

		if (d->kind != KIND_DOMAIN || !d->field)
			continue;
		e = first_that_sets(ch, d->setting);
		field_set(d, s, e && !e->clear ? &e->v : &c->priv->defaults[d->setting]);
		if (e)
			s->origin[d->setting] = e->at;
	}
	resolve_limits(c, s, ch);
	s->session_key = session_key(s);
	return s;
}

/* What tells one object from another: indexes, then the sections. */
static size_t cache_key(const struct chain *ch, int provider, int pool, int vmta,
			uintptr_t out[CHAIN_MAX + 3])
{
	size_t n = 0;

	out[n++] = (uintptr_t)(intptr_t)provider;
	out[n++] = (uintptr_t)(intptr_t)pool;
	out[n++] = (uintptr_t)(intptr_t)vmta;
	for (int i = 0; i < ch->n; i++)
		out[n++] = (uintptr_t)ch->v[i].section;
	return n * sizeof *out;
}

const struct settings *settings_get(struct settings_cache *sc, struct str domain, int provider,
				    int pool, int vmta)
{
	uintptr_t words[CHAIN_MAX + 3];
	struct settings *s;
	struct chain ch;
	struct str key;

	OBJ_CHECK(sc, CACHE_MAGIC);
	chain_make(&ch, sc->conf, domain, provider, pool, vmta);
	key = str_mem(words, cache_key(&ch, provider, pool, vmta, words));
	s = strmap_get(&sc->known, key);
	if (s)
		return s;
	s = settings_make(sc, &ch, provider, pool, vmta);
	key = arena_str(&sc->arena, key);
	if (!s || !key.p || !strmap_put(&sc->known, key, s))
		return NULL;
	return s;
}

const char *setting_name(enum setting_id id)
{
	const struct directive *d = directive_of_setting(id);

	return d ? d->name : "?";
}

const char *limit_kind_name(enum limit_kind k)
{
	return setting_name(limit_ids[k]);
}
