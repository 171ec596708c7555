/* Questions that control answers from configuration, mirror and DNS, without the scheduler:
 * resolve, settings, whether a message will be signed, the process's own part of `status`. Control
 * thread. */
#include <stdlib.h>

#include "core/base/jsonw.h"
#include "core/mta_control.h"

static struct control_thread *state(struct member *me)
{
	return me->state;
}

void control_text_now(struct control_thread *t, uint64_t id, int code, const char *text)
{
	control_text(t->c, id, code, rstr_new(str_of(text)));
}

void control_resolve(void *arg, uint64_t id, struct str domain)
{
	struct control_thread *t = arg;
	struct lookup_request *r = calloc(1, sizeof *r);
	if (!r || !domain_normal(domain, r->name)) {
		free(r);
		control_text_now(t, id, EXIT_REFUSED, "that is not a domain");
		return;
	}
	r->lookup = id;
	r->for_control = true;
	r->allow_private = true;
	mta_post(t->me, t->me->mta->io[0], (struct post){ .fn = io_post_lookup, .p = r });
}

static void resolved_host(struct jsonw *w, const struct dns_host *h)
{
	char ip[ENDPOINT_SIZE];
	jsonw_object(w, NULL);
	jsonw_int(w, "preference", h->preference);
	jsonw_z(w, "host", h->name);
	jsonw_array(w, "addresses");
	for (int i = 0; i < h->naddresses; i++) {
		endpoint_print(&h->address[i], ip);
		jsonw_z(w, NULL, ip);
	}
	jsonw_end_array(w);
	if (h->failed)
		jsonw_bool(w, "failed", true);
	jsonw_end_object(w);
}

void control_post_resolved(struct member *to, struct post *p)
{
	static const char *const status[] = { "ok",	 "nxdomain", "no-host",
					      "null-mx", "tempfail", "loop" };
	struct control_thread *t = state(to);
	struct dns_answer *a = p->p;
	struct lookup_request *r = p->q;
	struct buf out;
	struct jsonw w;
	if (!a) {
		control_text_now(t, r->lookup, EXIT_REFUSED, "no memory for the answer");
		free(r);
		return;
	}
	buf_init(&out);
	jsonw_init(&w, &out);
	jsonw_object(&w, NULL);
	jsonw_z(&w, "domain", r->name);
	jsonw_z(&w, "status", status[a->status]);
	if (a->text[0])
		jsonw_z(&w, "text", a->text);
	jsonw_bool(&w, "implicit", a->implicit);
	jsonw_bool(&w, "authentic", a->authentic);
	jsonw_array(&w, "hosts");
	for (int i = 0; i < a->nhosts; i++)
		resolved_host(&w, &a->hosts[i]);
	jsonw_end_array(&w);
	jsonw_end_object(&w);
	control_text(t->c, r->lookup, a->status == DNS_OK ? EXIT_DONE : EXIT_REFUSED,
		     rstr_new(buf_str(&out)));
	buf_free(&out);
	dns_answer_free(a);
	free(r);
}

/* `provider`: what the DNS made of it, NULL: unknown. */
static const struct settings *settings_of(struct control_thread *t, struct str domain,
					  const struct rstr *provider, int pool, int vmta)
{
	int p = conf_provider_for(t->conf, domain, NULL, 0);
	if (p == CONF_NONE && provider)
		p = conf_provider_find(t->conf, rstr_str(provider));
	if (!t->settings)
		t->settings = settings_cache_new(t->conf);
	return t->settings ? settings_get(t->settings, domain, p, pool, vmta) : NULL;
}

void control_settings(void *arg, uint64_t id, struct str domain, struct str via, bool json)
{
	struct control_thread *t = arg;
	char normal[DOMAIN_SIZE];
	int route = via.n ? conf_route_find(t->conf, via) : CONF_NONE;
	if (!str_eqz(domain, "*") && !domain_normal(domain, normal)) {
		control_text_now(t, id, EXIT_REFUSED, "that is not a domain");
		return;
	}
	if (via.n && route == CONF_NONE) {
		control_text_now(t, id, EXIT_REFUSED,
				 "there is no virtual MTA or pool of that name");
		return;
	}
	struct str d = str_eqz(domain, "*") ? STR_LIT("*") : str_of(normal);
	int pool = route == CONF_NONE ? CONF_NONE : t->conf->routes[route].pool;
	int vmta = route == CONF_NONE ? CONF_NONE : t->conf->routes[route].vmta;
	const struct row *known = mirror_find_name(control_mirror(t->c), ROW_SITE, d);
	const struct settings *s =
	    settings_of(t, d, known ? known->site.provider : NULL, pool, vmta);
	struct buf out;
	buf_init(&out);
	if (s && json)
		settings_json(t->conf, s, &out);
	else if (s)
		settings_print(t->conf, s, &out);
	control_text(t->c, id, s ? EXIT_DONE : EXIT_REFUSED, rstr_new(buf_str(&out)));
	buf_free(&out);
}

/* ---- message: will it be signed? ---- */

/* At how many of the route's virtual MTAs the settings of the domain sign; *of: how many there are.
 */
static int signing_vmtas(struct control_thread *t, struct str domain, struct str route, int *of)
{
	int r = conf_route_find(t->conf, route), n = 0;
	int pool = r == CONF_NONE ? CONF_NONE : t->conf->routes[r].pool;
	int members = pool == CONF_NONE ? 1 : t->conf->pools[pool].nmembers;
	struct rstr *name = rstr_newf("%.*s/%.*s", (int)domain.n, domain.p, (int)route.n, route.p);
	const struct row *q = mirror_find_name(control_mirror(t->c), ROW_QUEUE, rstr_str(name));
	*of = r == CONF_NONE ? 0 : members;
	for (int i = 0; i < *of; i++) {
		int vmta = pool == CONF_NONE ? t->conf->routes[r].vmta
					     : t->conf->pools[pool].members[i].vmta;
		const struct settings *s =
		    settings_of(t, domain, q ? q->queue.provider : NULL, pool, vmta);
		n += s && s->dkim_sign;
	}
	rstr_unref(name);
	return n;
}

void control_post_show(struct member *to, struct post *p)
{
	struct show_request *r = p->p;
	const struct message *m = r->envelope;
	struct str last = { "", 0 };
	int n = 0, of = 0;
	for (uint32_t i = 0; m && !r->raw && i < m->nrcpts; i++) {
		const struct message_rcpt *x = &m->rcpts[i];
		if (x->state != RCPT_QUEUED)
			continue;
		if (!str_eq(x->domain, last))
			n = signing_vmtas(state(to), x->domain, m->route, &of);
		last = x->domain;
		r->waiting++;
		r->sign += n && n == of;
		r->sign_partly += n && n < of;
	}
	mta_post(to, mta_body_worker(to->mta, r->message),
		 (struct post){ .fn = worker_post_show, .p = r });
}

/* ---- status ---- */

static void status_loops(struct mta *m, struct jsonw *w)
{
	jsonw_array(w, "loops");
	for (int i = 0; i < m->nmembers; i++) {
		struct loop_stats s;
		if (!m->members[i].loop)
			continue;
		loop_stats(m->members[i].loop, &s);
		jsonw_object(w, NULL);
		jsonw_z(w, "name", m->members[i].name);
		jsonw_double(w, "cpu_ms", (double)s.cpu_max_us / 1000.0, 3);
		jsonw_double(w, "wall_ms", (double)s.wall_max_us / 1000.0, 3);
		jsonw_double(w, "cpu_total_ms", (double)s.cpu_total_us / 1000.0, 1);
		jsonw_int(w, "passes", (int64_t)s.passes);
		jsonw_end_object(w);
	}
	jsonw_end_array(w);
}

static void status_spool(const struct control_thread *t, struct jsonw *w)
{
	jsonw_object(w, "spool");
	jsonw_int(w, "messages", (int64_t)t->spool.messages);
	jsonw_int(w, "bytes", (int64_t)t->spool.bytes);
	jsonw_int(w, "free_bytes", (int64_t)t->spool.free_bytes);
	jsonw_double(w, "load_progress", t->load_progress, 3);
	jsonw_double(w, "sync_ms", t->spool.sync_ms, 3);
	jsonw_int(w, "last_event", (int64_t)t->spool.last_event);
	jsonw_end_object(w);
}

void control_status(void *arg, struct buf *out)
{
	struct control_thread *t = arg;
	struct mta *m = t->me->mta;
	struct jsonw w;
	jsonw_init(&w, out);
	jsonw_object(&w, NULL);
	status_loops(m, &w);
	status_spool(t, &w);
	mta_console_status(m, &w);
	jsonw_object(&w, "mirror");
	jsonw_double(&w, "copy_cpu_ms",
		     (double)__atomic_load_n(&m->copy_cpu_us, __ATOMIC_RELAXED) / 1000.0, 1);
	jsonw_end_object(&w);
	mta_probes_status(t->me, &w);
	inbound_status(m, t->conf->ninbound > 0, &w);
	hooks_status(m, t->conf->nwebhooks > 0, &w);
	jsonw_object(&w, "memory");
	jsonw_int(&w, "anon", (int64_t)t->anon_bytes);
	jsonw_int(&w, "mapped", (int64_t)t->mapped_bytes);
	jsonw_int(&w, "limit", t->conf->mta.memory_limit);
	jsonw_end_object(&w);
	jsonw_object(&w, "in");
	jsonw_int(&w, "connections", __atomic_load_n(&m->connections_in, __ATOMIC_RELAXED));
	jsonw_int(&w, "total", (int64_t)t->totals.accepted);
	jsonw_end_object(&w);
	jsonw_int(&w, "operators", t->operators);
	jsonw_end_object(&w);
}
