/* Everything that a snapshot says to others, as text: two snapshots that others can't tell apart
 * give the same. */
#ifndef STOKER_TEST_CONF_DUMP_H
#define STOKER_TEST_CONF_DUMP_H

#include <arpa/inet.h>

#include "conf/patterns.h"
#include "tests/unit/conf/fixture.h"

static inline void dump_z(struct buf *b, const char *name, const char *z)
{
	buf_addf(b, "%s=%s\n", name, z ? z : "(none)");
}

static inline void dump_list(struct buf *b, const char *name, const char **v, int n)
{
	buf_addf(b, "%s:", name);
	for (int i = 0; i < n; i++)
		buf_addf(b, " %s", v[i]);
	buf_addc(b, '\n');
}

static inline void dump_rate(struct buf *b, const char *name, struct rate r)
{
	buf_addf(b, "%s=%lld/%lld\n", name, (long long)r.n, (long long)(r.n ? r.per : 0));
}

static inline void dump_ip(struct buf *b, const struct endpoint *e)
{
	char z[64] = "";

	if (e->len && e->sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &e->in4.sin_addr, z, sizeof z);
	else if (e->len)
		inet_ntop(AF_INET6, &e->in6.sin6_addr, z, sizeof z);
	buf_addf(b, "ip=%s %u\n", z, e->len ? ntohs(e->in4.sin_port) : 0);
}

static inline void dump_mta(struct buf *b, const struct conf_mta *m)
{
	dump_z(b, "hostname", m->hostname);
	dump_list(b, "postmaster", m->postmasters, m->npostmasters);
	dump_z(b, "spool", m->spool);
	dump_z(b, "state", m->state);
	dump_z(b, "user", m->run_as_user);
	dump_z(b, "socket", m->control_socket);
	dump_z(b, "group", m->control_group);
	buf_addf(b, "%d %d %d %lld %lld %lld %lld %d %d\n", m->threads, m->total_max_smtp_out,
		 m->total_max_smtp_in, (long long)m->max_message_size, (long long)m->spool_min_free,
		 (long long)m->events_max, (long long)m->memory_limit, m->max_hops,
		 m->default_route);
	dump_z(b, "log", m->log_file);
	buf_addf(b, "%d %lld %lld\n", (int)m->log_rotate, (long long)m->log_rotate_size,
		 (long long)m->log_keep);
	dump_z(b, "audit", m->audit_log);
	dump_z(b, "error", m->error_log);
	buf_addf(b, "http %d %s", m->http_port, m->http_token ? m->http_token : "-");
	dump_ip(b, &m->http_address);
	for (int i = 0; i < m->nhttp_access; i++) {
		buf_addf(b, "/%d %d ", m->http_access[i].prefix, (int)m->http_access[i].role);
		dump_ip(b, &m->http_access[i].net);
	}
	dump_list(b, "name-servers", m->name_servers, m->nname_servers);
}

static inline void dump_ways(struct buf *b, const struct conf *c)
{
	for (int i = 0; i < c->nwarmups; i++) {
		const struct conf_warmup *w = &c->warmups[i];

		buf_addf(b, "warmup %s %g %lld %g %d %d\n", w->name, w->factor, (long long)w->every,
			 w->max_bounce_rate, w->min_sample, (int)w->per);
		dump_rate(b, "start", w->start);
		dump_rate(b, "until", w->until);
	}
	for (int i = 0; i < c->nvmtas; i++)
		buf_addf(b, "warms up by %d\n", c->vmtas[i].warmup);
	for (int i = 0; i < c->nusers; i++)
		buf_addf(b, "user %s %s %d %d\n", c->users[i].name, c->users[i].password,
			 c->users[i].source, c->users[i].priority);
	for (int i = 0; i < c->nlisteners; i++)
		buf_addf(b, "auth %d %d\n", c->listeners[i].authenticate,
			 c->listeners[i].allow_unencrypted_auth);
	for (int i = 0; i < c->nsources; i++)
		buf_addf(b, "require %d\n", c->sources[i].require_auth);
	for (int i = 0; i < c->nlisteners; i++) {
		const struct conf_listener *l = &c->listeners[i];

		buf_addf(b, "listener %s %d %d %d %d %s %d %s %s\n", l->name, l->source,
			 l->default_route, l->max_connections, l->max_connections_per_ip,
			 l->banner ? l->banner : "", (int)l->tls,
			 l->tls_certificate ? l->tls_certificate : "",
			 l->tls_key ? l->tls_key : "");
		dump_ip(b, &l->at);
	}
	for (int i = 0; i < c->nsources; i++) {
		const struct conf_source *s = &c->sources[i];

		buf_addf(b, "source %s %d/%d %d %d %lld %d %d %d %d %d %d%d%d%d\n", s->name,
			 s->is_cidr, s->prefix, s->always_allow_relaying, s->default_route,
			 (long long)s->max_message_size, s->max_rcpt_per_message, s->priority,
			 s->add_date, s->add_message_id, s->hide_source, s->process_x_virtual_mta,
			 s->process_x_job, s->process_x_envid, s->process_x_queue_priority);
		dump_rate(b, "rate", s->max_msg_rate);
		dump_list(b, "remove", s->remove_headers, s->nremove_headers);
	}
	for (int i = 0; i < c->npickups; i++) {
		const struct conf_pickup *p = &c->pickups[i];

		buf_addf(b, "pickup %s %d %lld %lld %d %s %d\n", p->dir, p->route,
			 (long long)p->scan_interval, (long long)p->settle, p->delete_after_read,
			 p->bad_directory, p->priority);
	}
	buf_addf(b, "suppression %d %d %d %d %lld %lld\n", c->suppression.on,
		 (int)c->suppression.check, (int)c->suppression.scope, c->suppression.soft_limit,
		 (long long)c->suppression.soft_within, (long long)c->suppression.expire_after);
	for (int i = 0; i < c->ninbound; i++) {
		const struct conf_inbound *x = &c->inbound[i];

		buf_addf(b, "inbound %s %d %d %d %s", x->domain, x->process, x->verp,
			 x->trust_unsigned, x->verp_key ? x->verp_key : "-");
		for (int k = 0; k < x->nforward; k++)
			buf_addf(b, " %s", x->forward[k]);
		buf_addc(b, '\n');
	}
	for (int i = 0; i < c->naccounting; i++) {
		const struct conf_accounting *a = &c->accounting[i];

		buf_addf(b, "accounting %s %s %d %d %d %lld %lld\n", a->name, a->file,
			 (int)a->format, a->records, (int)a->rotate, (long long)a->rotate_size,
			 (long long)a->keep);
		dump_list(b, "fields", a->fields, a->nfields);
	}
	for (int i = 0; i < c->nwebhooks; i++) {
		const struct conf_webhook *h = &c->webhooks[i];

		buf_addf(b, "webhook %s %s %s %d %lld\n", h->name, h->url,
			 h->secret ? h->secret : "-", h->batch, (long long)h->max_delay);
		dump_list(b, "events", h->events, h->nevents);
	}
	for (int i = 0; i < c->nvmtas; i++) {
		const struct conf_vmta *v = &c->vmtas[i];

		buf_addf(b, "vmta %s %s %s %d %d\n", v->name, v->host4 ? v->host4 : "-",
			 v->host6 ? v->host6 : "-", v->max_smtp_out, v->cold);
		dump_ip(b, &v->ip4);
		dump_ip(b, &v->ip6);
		dump_rate(b, "rate", v->max_msg_rate);
	}
	for (int i = 0; i < c->npools; i++)
		for (int k = 0; k < c->pools[i].nmembers; k++)
			buf_addf(b, "pool %s %d:%d\n", c->pools[i].name,
				 c->pools[i].members[k].vmta, c->pools[i].members[k].weight);
	for (int i = 0; i < c->nproviders; i++) {
		const struct conf_provider *p = &c->providers[i];

		buf_addf(b, "provider %s %d\n", p->name, p->max_smtp_out);
		dump_rate(b, "rate", p->max_msg_rate);
		dump_list(b, "mx", p->mx, p->nmx);
		dump_list(b, "domains", p->domains, p->ndomains);
	}
}

static inline void dump_dkim(struct buf *b, const struct conf *c)
{
	for (int i = 0; i < c->ndkim; i++) {
		const struct conf_dkim *d = &c->dkim[i];

		buf_addf(b, "dkim %s %lld %d\n", d->domain, (long long)d->expire_after,
			 d->must_sign);
		dump_z(b, "selector", d->selector);
		dump_z(b, "key", d->key_file);
		dump_z(b, "selector2", d->second_selector);
		dump_z(b, "key2", d->second_key_file);
		dump_list(b, "headers", d->headers, d->nheaders);
		dump_list(b, "oversign", d->oversign, d->noversign);
	}
}

/* Without origins: those differ by line already. */
static inline void dump_settings(struct buf *b, struct conf *c, const char *domain, int provider,
				 int pool, int vmta)
{
	struct settings_cache *sc = settings_cache_new(c);
	const struct settings *s = settings_get(sc, str_of(domain), provider, pool, vmta);

	buf_addf(b, "%s %s\n", s->auth_user ? s->auth_user : "",
		 s->auth_password ? s->auth_password : "");
	buf_addf(b, "%d %d %d %d %d %d %lld %lld %lld %g %d %d %d %lld %d %d %d %d %d\n",
		 s->max_msg_per_connection, s->max_rcpt_per_message, s->smtp_pipelining, s->use_rs,
		 s->allow_private_mx, (int)s->ip_versions, (long long)s->bounce_after,
		 (long long)s->min_backoff, (long long)s->max_backoff, s->backoff_scale_factor,
		 s->queue_priority, (int)s->send_dsn, (int)s->dsn_return,
		 (long long)s->delay_dsn_after, (int)s->eightbit, (int)s->smtp_starttls,
		 s->use_plaintext, (int)s->tls_min_version, s->dkim_sign);
	buf_addf(b, "%lld %lld %lld %lld %lld %lld\n", (long long)s->connect_timeout,
		 (long long)s->greeting_timeout, (long long)s->command_timeout,
		 (long long)s->data_timeout, (long long)s->data_done_timeout,
		 (long long)s->idle_timeout);
	buf_addf(b, "%d %lld %d %s\n", s->adaptive_throttling,
		 (long long)s->backoff_to_normal_after, s->backoff_to_normal_after_delivery,
		 s->smtp_pattern_list);
	for (int i = 0; i < s->nretry; i++)
		buf_addf(b, "retry %lld\n", (long long)s->retry[i]);
	for (int i = 0; i < s->nroute; i++) {
		buf_addf(b, "route %d %s %u\n", (int)s->route[i].type,
			 s->route[i].host ? s->route[i].host : "", s->route[i].port);
		dump_ip(b, &s->route[i].ip);
	}
	for (int i = 0; i < s->nlimits; i++) {
		buf_addf(b, "limit %d %d %d ", (int)s->limits[i].kind, (int)s->limits[i].scope,
			 s->limits[i].n);
		dump_rate(b, "rate", s->limits[i].rate);
	}
	settings_cache_free(sc);
}

static inline void dump_categories(struct buf *b, struct conf *c)
{
	const struct category_rules *r = patterns_find(c->patterns, "default")->categories;

	for (int i = 0; i < r->n; i++)
		buf_addf(b, "category %s %d %d %s %s\n", r->v[i].category, r->v[i].hard,
			 r->v[i].lane, r->v[i].codes ? r->v[i].codes : "-",
			 r->v[i].from ? r->v[i].from : "-");
}

static inline void dump_patterns(struct buf *b, struct conf *c)
{
	const struct pattern_list *l = patterns_find(c->patterns, "l");

	for (int i = 0; l && i < l->n; i++)
		buf_addf(b, "pattern %x %lld %lld %lld\n", l->v[i]->does.acts,
			 (long long)l->v[i]->does.backoff_for, (long long)l->v[i]->does.disable_for,
			 (long long)l->v[i]->does.retry_in);
}

static inline void dump(struct buf *b, struct conf *c)
{
	const struct conf_console *k = &c->console;

	dump_mta(b, &c->mta);
	dump_ways(b, c);
	dump_patterns(b, c);
	dump_categories(b, c);
	dump_dkim(b, c);
	dump_z(b, "theme", k->theme);
	dump_z(b, "label", k->label);
	dump_z(b, "color", k->label_color);
	buf_addf(b, "%lld\n", (long long)k->refresh);
	dump_z(b, "zone", k->time_zone);
	dump_list(b, "read", k->read, k->nread);
	dump_list(b, "operate", k->operate, k->noperate);
	dump_list(b, "admin", k->admin, k->nadmin);
	buf_addf(b, "alarm %g %g %g %g %g %lld\n", c->alarm.complaint_warn, c->alarm.complaint_red,
		 c->alarm.bounce_rate, c->alarm.hold.bounces, c->alarm.hold.complaints,
		 (long long)c->alarm.after);
	buf_addf(b, "repeat %lld\n", (long long)c->alarm.repeat);
	dump_list(b, "mail-to", c->alarm.mail_to, c->alarm.nmail_to);
	dump_settings(b, c, "x.example", CONF_NONE, CONF_NONE, CONF_NONE);
	for (int p = -1; p < c->npools; p++)
		for (int v = -1; v < c->nvmtas; v++)
			dump_settings(b, c, "d.example", c->nproviders ? 0 : CONF_NONE, p, v);
}

#endif
