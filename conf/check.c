/* What no single line shows: combinations that can't work (errors), and that an operator would
 * hardly mean (warnings). */
#include <arpa/inet.h>
#include <stdio.h>

#include "conf/reading.h"
#include "conf/value.h"

static const struct conf_entry *mta_entry(const struct reading *r, const char *name)
{
	return section_entry(section_only(r->c, KIND_MTA), directive_find(KIND_MTA, str_of(name)));
}

static const struct origin *entry_origin(const struct conf_entry *e)
{
	return e ? &e->at : NULL;
}

/* ---- names and addresses ---- */

static void check_hostnames(struct reading *r)
{
	const struct conf *c = r->c;
	const struct conf_entry *e = mta_entry(r, "hostname");

	if (!strchr(c->mta.hostname, '.') && !(e && e->bad))
		warn_at(r, entry_origin(e),
			"hostname %s has no domain: receivers want a full name, as "
			"mail.example.com; write it in [mta] hostname",
			c->mta.hostname);
	for (int i = 0; i < c->nvmtas; i++) {
		const struct conf_vmta *v = &c->vmtas[i];
		const char *short4 = v->host4 && !strchr(v->host4, '.') ? v->host4 : NULL;
		const char *short6 = v->host6 && !strchr(v->host6, '.') ? v->host6 : NULL;

		if (short4 || short6)
			warn_at(r, &v->origin,
				"virtual MTA %s: host name %s has no domain: receivers refuse "
				"such an EHLO",
				v->name, short4 ? short4 : short6);
	}
}

static void check_same_address(struct reading *r)
{
	const struct conf *c = r->c;
	struct name_index x = name_index_make(r, 2 * c->nvmtas);
	char z[ENDPOINT_TEXT];

	for (int i = 0; i < c->nvmtas; i++)
		for (int k = 0; k < 2; k++) {
			const struct endpoint *ip = k ? &c->vmtas[i].ip6 : &c->vmtas[i].ip4;

			if (!ip->len)
				continue;
			endpoint_text(ip, z);
			name_index_add(r, &x, z, i);
		}
	name_index_sort(&x);
	for (int i = 1; i < x.n; i++)
		if (strcmp(x.v[i - 1].key, x.v[i].key) == 0 && x.v[i - 1].i != x.v[i].i)
			warn_at(r, &c->vmtas[x.v[i].i].origin,
				"virtual MTAs %s and %s send from the same address %s: a receiver "
				"sees one sender, and their limits add up",
				c->vmtas[x.v[i - 1].i].name, c->vmtas[x.v[i].i].name, x.v[i].key);
}

static void check_paths(struct reading *r)
{
	const struct conf_mta *m = &r->c->mta;
	const char *paths[] = { m->log_file, m->audit_log, m->error_log, m->control_socket };
	static const char *const names[] = { "log-file", "audit-log", "error-log",
					     "control-socket" };
	const size_t n = sizeof paths / sizeof paths[0];

	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			if (paths[i] && paths[k] && strcmp(paths[i], paths[k]) == 0)
				error_at(r, entry_origin(mta_entry(r, names[k])),
					 "%s and %s are the same file %s", names[i], names[k],
					 paths[i]);
	if (strcmp(m->spool, m->state) == 0)
		error_at(r, entry_origin(mta_entry(r, "state")),
			 "spool and state are the same directory %s: leave state out, and it is "
			 "one inside the spool",
			 m->spool);
}

/* ---- ways out ---- */

static void check_any_vmta(struct reading *r)
{
	if (r->c->nvmtas || r->incomplete || mta_entry(r, "smtp-source-host"))
		return;
	error_at(r, NULL,
		 "there is no virtual MTA, so nothing can be sent: write [mta] smtp-source-host = "
		 "IP HOSTNAME, with an address of this machine");
}

static bool same_value(const struct directive *d, const struct value *a, const struct value *b)
{
	if (d->type == TYPE_RATE)
		return a->rate.n * b->rate.per == b->rate.n * a->rate.per;
	if (d->type == TYPE_FACTOR)
		return !(a->f < b->f) && !(a->f > b->f);
	return a->i == b->i;
}

/* One lane has one limit and one rest, by whichever pool its mail comes. */
static const enum setting_id of_lane[] = {
	SET_MAX_SMTP_OUT,
	SET_MAX_MSG_RATE,
	SET_MAX_CONNECT_RATE,
	SET_BACKOFF_MAX_SMTP_OUT,
	SET_BACKOFF_MAX_MSG_RATE,
	SET_MIN_BACKOFF,
	SET_MAX_BACKOFF,
	SET_BACKOFF_SCALE_FACTOR,
	SET_ADAPTIVE_THROTTLING,
	SET_BACKOFF_TO_NORMAL_AFTER,
	SET_BACKOFF_TO_NORMAL_AFTER_DELIVERY,
};
enum { OF_LANE = sizeof of_lane / sizeof of_lane[0] };

struct said { /* which pool said it first of this virtual MTA */
	const struct conf_entry *e[OF_LANE];
	const struct conf_pool *pool[OF_LANE];
};

static void pool_says(struct reading *r, const struct conf_pool *p, const struct conf_section *own,
		      int vmta, struct said *said)
{
	for (int k = 0; k < OF_LANE; k++) {
		const struct conf_entry *e = own->set[of_lane[k]], *before = said->e[k];

		if (!e || e->clear)
			continue;
		if (before && !same_value(e->d, &before->v, &e->v))
			error_at(r, &e->at,
				 "%s = %.*s: virtual MTA %s is in the pools %s and %s, and %s says "
				 "%.*s (%s:%d): a lane has one limit",
				 e->d->name, (int)e->text.n, e->text.p, r->c->vmtas[vmta].name,
				 said->pool[k]->name, p->name, said->pool[k]->name,
				 (int)before->text.n, before->text.p, before->at.file,
				 before->at.line);
		said->e[k] = before ? before : e;
		said->pool[k] = before ? said->pool[k] : p;
	}
}

static void check_pools(struct reading *r)
{
	const struct conf *c = r->c;
	struct said *said = mem_array(&r->mem, (size_t)c->nvmtas, sizeof *said);

	for (int i = 0; i < c->npools; i++) {
		const struct conf_pool *p = &c->pools[i];
		const struct conf_section *own =
		    pattern_find(&r->priv->by_route[1 + r->priv->route_of_pool[i]], STR_LIT("*"));
		bool warm = !p->nmembers;

		for (int k = 0; k < p->nmembers; k++) {
			warm = warm || !c->vmtas[p->members[k].vmta].cold;
			if (own)
				pool_says(r, p, own, p->members[k].vmta, &said[p->members[k].vmta]);
		}
		if (!warm)
			warn_at(r, &p->origin,
				"pool %s: all its members are cold: `cold` then changes nothing",
				p->name);
	}
}

static void check_providers(struct reading *r)
{
	const struct conf *c = r->c;

	for (int i = 0; i < c->nproviders; i++) {
		const struct conf_provider *p = &c->providers[i];
		struct nearest n;

		if (p->nmx || p->ndomains || r->incomplete)
			continue;
		nearest_init(&n, str_of(p->name));
		for (int k = 0; k < c->nproviders; k++)
			if (k != i)
				nearest_try(&n, c->providers[k].name);
		warn_at(r, &p->origin,
			"provider %s has neither mx nor domains: no site belongs to it%s", p->name,
			did_you_mean(r, &n));
	}
}

/* ---- settings that contradict each other ---- */

static const struct value *effective(const struct reading *r, const struct conf_section *s,
				     enum setting_id id)
{
	const struct conf_section *all = r->priv->all;
	const struct conf_entry *e = s->set[id] ? s->set[id] : all ? all->set[id] : NULL;

	return e && !e->clear ? &e->v : &r->priv->defaults[id];
}

static const struct conf_entry *either(const struct conf_section *s, enum setting_id a,
				       enum setting_id b)
{
	return s->set[a] ? s->set[a] : s->set[b];
}

static void check_times(struct reading *r, const struct conf_section *s)
{
	const struct conf_entry *backoff = either(s, SET_MIN_BACKOFF, SET_MAX_BACKOFF);
	const struct conf_entry *expiry = either(s, SET_BOUNCE_AFTER, SET_RETRY_RECIPIENTS_AFTER);
	const struct conf_entry *report = either(s, SET_DELAY_DSN_AFTER, SET_BOUNCE_AFTER);
	us_t bounce = effective(r, s, SET_BOUNCE_AFTER)->i;
	us_t delay = effective(r, s, SET_DELAY_DSN_AFTER)->i;
	const struct value *retry = effective(r, s, SET_RETRY_RECIPIENTS_AFTER);

	if (backoff && effective(r, s, SET_MIN_BACKOFF)->i > effective(r, s, SET_MAX_BACKOFF)->i)
		error_at(r, &backoff->at, "%s: min-backoff is longer than max-backoff", s->shown);
	if (expiry && retry->spans.n && retry->spans.v[0] >= bounce)
		warn_at(r, &expiry->at,
			"%s: bounce-after comes before the first retry: a deferred recipient is "
			"never tried again",
			s->shown);
	if (report && delay != US_NEVER && delay >= bounce)
		warn_at(r, &report->at,
			"%s: delay-dsn-after is not before bounce-after: the report is never sent",
			s->shown);
}

static bool is_any(const struct endpoint *at)
{
	if (at->sa.sa_family == AF_INET)
		return at->in4.sin_addr.s_addr == INADDR_ANY;
	return IN6_IS_ADDR_UNSPECIFIED(&at->in6.sin6_addr);
}

static uint16_t port_of(const struct endpoint *at)
{
	return ntohs(at->sa.sa_family == AF_INET ? at->in4.sin_port : at->in6.sin6_port);
}

static bool same_ip(const struct endpoint *a, const struct endpoint *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
}

/* A smarthost that is this server would send the mail round until max-hops ends it. */
static void check_route_loop(struct reading *r, const struct conf_section *s)
{
	const struct conf_entry *e = s->set[SET_ROUTE];

	for (int i = 0; e && i < e->v.hosts.n; i++) {
		const struct route_host *h = &e->v.hosts.v[i];
		uint16_t port = h->port ? h->port : 25;

		for (int k = 0; h->type == ROUTE_IP && k < r->c->nlisteners; k++) {
			const struct conf_listener *l = &r->c->listeners[k];
			bool same =
			    same_ip(&l->at, &h->ip) || (is_any(&l->at) && ip_is_loopback(&h->ip) &&
							l->at.sa.sa_family == h->ip.sa.sa_family);

			if (same && port_of(&l->at) == port)
				warn_at(r, &e->at,
					"%s: route leads back to [listener %s]: the mail would go "
					"round",
					s->shown, l->name);
		}
	}
}

/* In backoff mode both hold: a twin that is not smaller changes nothing. */
static void check_twins(struct reading *r, const struct conf_section *s)
{
	const struct conf_entry *out = s->set[SET_BACKOFF_MAX_SMTP_OUT];
	const struct conf_entry *rate = s->set[SET_BACKOFF_MAX_MSG_RATE];
	const struct value *most = effective(r, s, SET_MAX_MSG_RATE);

	if (out && !out->clear && !out->shipped && out->v.i > effective(r, s, SET_MAX_SMTP_OUT)->i)
		warn_at(
		    r, &out->at,
		    "%s: backoff-max-smtp-out = %lld is more than max-smtp-out: in backoff mode "
		    "there would be as many connections as before",
		    s->shown, (long long)out->v.i);
	if (rate && !rate->clear && !rate->shipped && !rate_unlimited(most->rate) &&
	    (rate_unlimited(rate->v.rate) || rate_per_s(rate->v.rate) > rate_per_s(most->rate)))
		warn_at(r, &rate->at,
			"%s: backoff-max-msg-rate = %.*s is more than max-msg-rate: backoff mode "
			"would not be slower",
			s->shown, (int)rate->text.n, rate->text.p);
}

static void check_sections(struct reading *r)
{
	for (const struct conf_section *s = r->priv->first; s; s = s->next) {
		if (!s->set)
			continue;
		check_times(r, s);
		check_twins(r, s);
		check_route_loop(r, s);
	}
}

/* ---- ways in ---- */

static void check_bind(struct reading *r, const struct conf_listener *l)
{
	for (int i = 0; i < r->c->nlisteners; i++) {
		const struct conf_listener *any = &r->c->listeners[i];

		if (any != l && is_any(&any->at) && any->at.sa.sa_family == l->at.sa.sa_family &&
		    port_of(&any->at) == port_of(&l->at))
			error_at(
			    r, &l->origin,
			    "[listener %s] can't be opened beside [listener %s] (%s:%d), which "
			    "takes the port at every address",
			    l->name, any->name, any->origin.file, any->origin.line);
	}
}

static bool may_meet(const struct conf *c, const struct conf_listener *l, int source)
{
	return c->sources[source].is_cidr || l->source == source;
}

static void check_listener_route(struct reading *r, const struct conf_listener *l)
{
	const struct conf *c = r->c;
	const struct conf_entry *e = mta_entry(r, "default-virtual-mta");

	if (l->default_route != CONF_NONE || c->mta.default_route != CONF_NONE || !c->nroutes)
		return;
	if ((e && !e->clear) || r->incomplete)
		return; /* reported */
	for (int i = 0; i < c->nsources; i++) {
		const struct conf_source *s = &c->sources[i];

		if (!s->always_allow_relaying || s->default_route != CONF_NONE ||
		    !may_meet(c, l, i))
			continue;
		error_at(r, &l->origin,
			 "[listener %s]: mail of [source %s] has no route, for there are several: "
			 "write default-virtual-mta here, in the source or in [mta]",
			 l->name, s->name);
		return;
	}
}

static void check_listener_limits(struct reading *r, const struct conf_section *s,
				  const struct conf_listener *l)
{
	const struct conf_entry *max =
	    section_entry(s, directive_find(KIND_LISTENER, STR_LIT("max-connections")));
	const struct conf_entry *per_ip =
	    section_entry(s, directive_find(KIND_LISTENER, STR_LIT("max-connections-per-ip")));
	const struct conf_entry *total = mta_entry(r, "total-max-smtp-in");

	if (max && l->max_connections > r->c->mta.total_max_smtp_in)
		warn_at(
		    r, &max->at,
		    "max-connections = %d can't be reached: [mta] total-max-smtp-in = %d (%s:%d) "
		    "is smaller",
		    l->max_connections, r->c->mta.total_max_smtp_in,
		    total ? total->at.file : "default", total ? total->at.line : 0);
	if (per_ip && l->max_connections_per_ip > l->max_connections)
		warn_at(r, &per_ip->at,
			"max-connections-per-ip = %d can't be reached: max-connections = %d is "
			"smaller",
			l->max_connections_per_ip, l->max_connections);
}

static void check_listeners(struct reading *r)
{
	if (!r->c->nlisteners && !r->incomplete)
		warn_at(r, NULL,
			"there is no [listener]: no mail can come in; write [listener "
			"127.0.0.1:25]");
	for (const struct conf_section *s = r->priv->first; s; s = s->next) {
		const struct conf_listener *l;

		if (s->kind != KIND_LISTENER)
			continue;
		l = &r->c->listeners[s->index];
		check_bind(r, l);
		check_listener_route(r, l);
		check_listener_limits(r, s, l);
	}
}

void check(struct reading *r)
{
	check_hostnames(r);
	check_same_address(r);
	check_paths(r);
	check_any_vmta(r);
	check_pools(r);
	check_providers(r);
	check_sections(r);
	check_listeners(r);
	check_mx(r);
	check_relay(r);
	check_limits(r);
	check_tls(r);
	check_patterns(r);
	check_dkim(r);
	check_auth(r);
	check_http(r);
	check_warmups(r);
	check_accounting(r);
	check_webhooks(r);
	check_inbound(r);
}
