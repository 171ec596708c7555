/* The control thread: the mirror's home, the control socket, reloads, the process's own alarms.
 * Decisions about mail are the scheduler's. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/jsonw.h"
#include "core/base/log.h"
#include "core/control/http.h"
#include "core/mta.h"
#include "core/notify.h"
#include "core/version.h"

static const us_t SECOND = US_PER_S;
static const us_t DIFFERS_EVERY = 5 * US_PER_S;
static const us_t SHUTDOWN_LEAST = 500 * US_PER_MS; /* two copies of the totals */
static const us_t SHUTDOWN_WITHIN = 30 * US_PER_S;
static const us_t CLOCK_JUMP = 2 * US_PER_S;
static const us_t TRIM_EVERY = 10 * US_PER_S;
enum { TRIM_WORTH = 16 * 1024 * 1024, TRIM_CALM = 1024 * 1024 };
static const us_t LOOP_STALL = 250 * US_PER_MS;

struct control_thread {
	struct member *me;
	struct control *c;
	struct conf *conf;
	struct settings_cache *settings;
	struct spool_stats spool;
	double load_progress;
	bool loaded, differs, checking;
	us_t differs_at, shutdown_at, stopped_at;
	unsigned signals; /* how often we were told to stop */
	struct sched_totals totals;
	uint64_t queued_in_flight;
	struct timer second;
	uint64_t anon_bytes, mapped_bytes;
	bool memory_held;
	us_t trim_at;
	uint64_t anon_last;  /* a second ago */
	uint64_t anon_least; /* bytes after the last trim, or fewer */
	bool trimmed;
	unsigned operators;
	struct reload_request *settling; /* answered when every loop has the snapshot */
};

static struct control_thread *state(struct member *me)
{
	return me->state;
}

/* ---- control_env ---- */

static struct str keep(struct arena *a, struct str s)
{
	struct str k = arena_str(a, s);
	if (s.n && !k.p)
		fatal("no memory for a command");
	return k;
}

static void env_sched_command(void *arg, const struct sched_cmd *c)
{
	struct control_thread *t = arg;
	struct sched_cmd_box *b = calloc(1, sizeof *b);
	if (!b)
		fatal("no memory for a command");
	arena_init(&b->arena, 512);
	b->cmd = *c;
	struct str *strings[] = {
		&b->cmd.target.a, &b->cmd.target.b, &b->cmd.at.a,    &b->cmd.at.b,
		&b->cmd.who,	  &b->cmd.reason,   &b->cmd.session, &b->cmd.route
	};
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
		*strings[i] = keep(&b->arena, *strings[i]);
	mta_post(t->me, t->me->mta->sched, (struct post){ .fn = sched_post_command, .p = b });
}

static struct rstr *target_text(const struct target *target)
{
	struct buf b;
	buf_init(&b);
	target_print(target, &b);
	struct rstr *r = rstr_new(buf_str(&b));
	buf_free(&b);
	return r;
}

static void env_sched_detail(void *arg, uint64_t id, const struct target *target)
{
	struct control_thread *t = arg;
	mta_post(t->me, t->me->mta->sched,
		 (struct post){ .fn = sched_post_detail, .a = id, .p = target_text(target) });
}

static void env_sched_messages(void *arg, uint64_t id, const struct target *target, uint64_t cursor,
			       int max)
{
	struct control_thread *t = arg;
	mta_post(t->me, t->me->mta->sched,
		 (struct post){ .fn = sched_post_messages,
				.a = id,
				.b = cursor,
				.c = (uint64_t)max,
				.p = target_text(target) });
}

static void env_message(void *arg, uint64_t id, uint64_t message, bool raw)
{
	struct control_thread *t = arg;
	mta_post(t->me, t->me->mta->spooler,
		 (struct post){ .fn = spool_post_show, .a = id, .b = message, .c = raw ? 1 : 0 });
}

static void text_now(struct control_thread *t, uint64_t id, int code, const char *text)
{
	control_text(t->c, id, code, rstr_new(str_of(text)));
}

static void env_resolve(void *arg, uint64_t id, struct str domain)
{
	struct control_thread *t = arg;
	struct lookup_request *r = calloc(1, sizeof *r);
	if (!r || !domain_normal(domain, r->name)) {
		free(r);
		text_now(t, id, EXIT_REFUSED, "that is not a domain");
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
		text_now(t, r->lookup, EXIT_REFUSED, "no memory for the answer");
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

static void env_settings(void *arg, uint64_t id, struct str domain, struct str via, bool json)
{
	struct control_thread *t = arg;
	char normal[DOMAIN_SIZE];
	int route = via.n ? conf_route_find(t->conf, via) : CONF_NONE;
	if (!str_eqz(domain, "*") && !domain_normal(domain, normal)) {
		text_now(t, id, EXIT_REFUSED, "that is not a domain");
		return;
	}
	if (via.n && route == CONF_NONE) {
		text_now(t, id, EXIT_REFUSED, "there is no virtual MTA or pool of that name");
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

/* ---- reload ---- */

struct history_find {
	uint64_t number;
	struct reload_request *r;
};

static void env_reload(void *arg, uint64_t id, bool dry_run, uint64_t to, struct str who)
{
	struct control_thread *t = arg;
	struct reload_request *r = calloc(1, sizeof *r);
	if (!r) {
		text_now(t, id, EXIT_REFUSED, "no memory");
		return;
	}
	r->id = id;
	r->dry_run = dry_run;
	r->to = to;
	r->who = rstr_new(who);
	r->was = conf_ref(t->conf);
	r->expected = t->me->mta->conf_number + 1;
	struct member *next = to ? t->me->mta->spooler : t->me->mta->workers[WORKER_SLOW];
	mta_post(t->me, next,
		 (struct post){ .fn = to ? spool_post_history : worker_post_reload, .p = r });
}

/* Binds what is new among the listeners. False: one can't be bound (text says which), and nothing
 * stays open. */
static bool bind_new(const struct conf *was, const struct conf *now, int *fds, struct errbuf *e)
{
	for (int i = 0; i < now->nlisteners; i++) {
		bool had = false;
		for (int k = 0; k < was->nlisteners; k++)
			had |= strcmp(was->listeners[k].name, now->listeners[i].name) == 0;
		fds[i] = had ? -1 : listener_bind(&now->listeners[i].at, e);
		if (had || fds[i] >= 0)
			continue;
		while (i-- > 0)
			if (fds[i] >= 0)
				close(fds[i]);
		return false;
	}
	return true;
}

static void conf_send(struct control_thread *t, struct member *to,
		      void (*fn)(struct member *, struct post *), int *fds)
{
	mta_post(t->me, to, (struct post){ .fn = fn, .p = conf_ref(t->conf), .q = fds });
}

void mta_sources_check(struct member *from, const struct conf *c)
{
	for (int i = 0; i < c->nvmtas; i++) {
		const struct conf_vmta *v = &c->vmtas[i];
		bool up4 = v->ip4.len && mta_address_here(&v->ip4);
		bool up6 = v->ip6.len && mta_address_here(&v->ip6);
		mta_post(from, from->mta->sched,
			 (struct post){ .fn = sched_post_source,
					.a = (uint64_t)i,
					.b = (up4 ? 1u : 0u) | (up6 ? 2u : 0u),
					.c = 0 });
		mta_alarm(from, "source-down", !up4 && !up6, 2, v->name,
			  "virtual MTA %s: its address is not on this machine", v->name);
	}
}

static void conf_apply(struct control_thread *t, struct conf *now, int *fds, int http_fd)
{
	struct mta *m = t->me->mta;
	conf_set_number(now, ++m->conf_number, clock_now_us());
	/* Letting go of 10,000 sections takes milliseconds: a worker's job. */
	mta_post(t->me, m->workers[WORKER_SLOW],
		 (struct post){ .fn = worker_post_forget, .p = t->settings, .q = t->conf });
	t->settings = NULL; /* made when somebody asks for settings */
	t->conf = conf_ref(now);
	/* A worker that has just read the old pointer takes its reference before its next post. */
	struct conf *old = __atomic_exchange_n(&m->conf, now, __ATOMIC_ACQ_REL);
	mta_post(t->me, m->workers[0], (struct post){ .fn = worker_post_replaced, .p = old });
	for (int i = 0; i < m->nio; i++)
		conf_send(t, m->io[i], io_post_conf, i ? NULL : fds);
	conf_send(t, m->sched, sched_post_conf, NULL);
	conf_send(t, m->report, report_post_conf, NULL);
	conf_send(t, m->pickup, pickup_post_conf, NULL);
	conf_send(t, m->console, console_post_conf, NULL);
	conf_send(t, m->workers[WORKER_SLOW], worker_post_conf, NULL);
	mta_post(t->me, m->http,
		 (struct post){ .fn = http_post_conf,
				.p = conf_ref(t->conf),
				.a = (uint64_t)(int64_t)http_fd });
	mta_sources_check(t->me, now);
	mta_probes_conf(t->me, now);
	mta_probes_step(t->me);
	t->differs = false;
	control_conf(t->c, t->conf, false);
}

static void reload_done(struct control_thread *t, struct reload_request *r, int code,
			struct rstr *text)
{
	if (r->id)
		control_text(t->c, r->id, code, text);
	else
		rstr_unref(text);
	rstr_unref(r->who);
	if (r->text != text)
		rstr_unref(r->text);
	conf_unref(r->was);
	conf_unref(r->now);
	for (int i = 0; i < r->nstored; i++) {
		free((void *)(uintptr_t)r->stored[i].path);
		free((void *)(uintptr_t)r->stored[i].text.p);
	}
	free(r->stored);
	free(r->stored_path);
	free(r);
}

static void audit_reload(struct control_thread *t, const struct reload_request *r)
{
	struct sched_cmd c = { .type = CMD_CONF, .who = rstr_str(r->who), .expect = -1 };
	char text[64];
	if (r->to)
		snprintf(text, sizeof text, "#%llu (#%llu again)",
			 (unsigned long long)t->conf->number, (unsigned long long)r->to);
	else
		snprintf(text, sizeof text, "#%llu", (unsigned long long)t->conf->number);
	c.reason = str_of(text);
	env_sched_command(t, &c);
}

static void reload_apply(struct control_thread *t, struct reload_request *r)
{
	struct errbuf e = { "" };
	int *fds = calloc(LISTENERS_MAX, sizeof *fds);
	int http_fd = HTTP_KEEP;
	bool bound = fds && r->now->nlisteners <= LISTENERS_MAX &&
		     mta_http_bind(t->conf, r->now, &http_fd, &e);
	if (!bound || !bind_new(t->conf, r->now, fds, &e)) {
		if (bound && http_fd >= 0)
			close(http_fd);
		free(fds);
		reload_done(t, r, EXIT_REFUSED,
			    rstr_newf("%s: nothing was changed\n",
				      e.text[0] ? e.text : "too many listeners"));
		return;
	}
	conf_apply(t, r->now, fds, http_fd);
	r->now = NULL; /* kept by mta->conf */
	audit_reload(t, r);
	r->number = t->conf->number;
	r->waits = t->me->mta->nio + 1;
	r->next = t->settling;
	t->settling = r;
}

/* The answer says "in force": it goes out when the scheduler and every io thread have the snapshot
 * (a client that connected right after it was still judged by the one before). */
void control_post_conf_held(struct member *to, struct post *p)
{
	struct control_thread *t = state(to);
	struct reload_request **at = &t->settling;
	while (*at && (*at)->number != p->a)
		at = &(*at)->next;
	struct reload_request *r = *at;
	if (!r || --r->waits)
		return;
	*at = r->next;
	log_info("configuration #%llu is in force (%.*s), read in %lld ms",
		 (unsigned long long)r->number, (int)rstr_str(r->who).n, rstr_str(r->who).p,
		 (long long)(r->took / US_PER_MS));
	struct rstr *text = r->text;
	if (!text || r->expected != r->number) /* another reload came between */
		text = rstr_newf("%.*sconfiguration #%llu is in force\n",
				 text ? (int)r->difference : 0, text ? text->text : "",
				 (unsigned long long)r->number);
	reload_done(t, r, EXIT_DONE, text);
}

void control_post_loaded(struct member *to, struct post *p)
{
	struct control_thread *t = state(to);
	struct reload_request *r = p->p;
	if (r->at_start_check) {
		t->checking = false;
		if (r->was == t->conf && t->differs != r->differs) {
			t->differs = r->differs;
			control_conf(t->c, t->conf, t->differs);
		}
		reload_done(t, r, 0, NULL);
	} else if (!r->now) {
		if (!r->id && r->text)
			log_error("reload: %s", r->text->text);
		reload_done(t, r, EXIT_USAGE, r->text);
	} else if (r->dry_run) {
		reload_done(t, r, EXIT_DONE, r->text);
	} else {
		reload_apply(t, r);
	}
}

static void check_differs(struct control_thread *t, us_t now)
{
	struct reload_request *r;
	if (t->checking || now < t->differs_at || !(r = calloc(1, sizeof *r)))
		return;
	t->differs_at = now + DIFFERS_EVERY;
	t->checking = true;
	r->at_start_check = true;
	r->was = conf_ref(t->conf);
	mta_post(t->me, t->me->mta->workers[WORKER_SLOW],
		 (struct post){ .fn = worker_post_reload, .p = r });
}

/* ---- the rest of control_env ---- */

static void env_rotate(void *arg)
{
	struct control_thread *t = arg;
	mta_post(t->me, t->me->mta->report, (struct post){ .fn = report_post_rotate });
}

static void begin_shutdown(struct control_thread *t, const char *who)
{
	struct mta *m = t->me->mta;
	if (t->shutdown_at)
		return;
	log_info("stopping (%s): what is in flight is finished within 30 s", who);
	t->shutdown_at = clock_now_us();
	notify_send("STOPPING=1\nSTATUS=finishing what is in flight");
	control_phase(t->c, "stopping", 1.0);
	for (int i = 0; i < m->nio; i++)
		mta_post(t->me, m->io[i],
			 (struct post){ .fn = io_post_shutdown, .a = 5 * US_PER_S });
	mta_post(t->me, m->sched,
		 (struct post){ .fn = sched_post_hold, .a = HOLD_SHUTDOWN, .b = 1 });
}

static void env_shutdown(void *arg, struct str who)
{
	char name[64];
	snprintf(name, sizeof name, "%.*s", (int)who.n, who.p);
	begin_shutdown(arg, name);
}

static void env_attach(void *arg, int fd, struct str user, enum role role, struct str hello)
{
	struct control_thread *t = arg;
	struct attach_note *a = calloc(1, sizeof *a);
	if (!a) {
		close(fd);
		return;
	}
	a->fd = fd;
	a->role = role;
	a->user = rstr_new(user);
	a->hello = rstr_new(hello);
	mta_post(t->me, t->me->mta->console, (struct post){ .fn = console_post_attach, .p = a });
}

static void env_audit(void *arg, struct str line)
{
	struct control_thread *t = arg;
	mta_post(t->me, t->me->mta->report,
		 (struct post){ .fn = report_post_audit, .p = rstr_new(line) });
}

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

static void env_status(void *arg, struct buf *out)
{
	struct control_thread *t = arg;
	struct mta *m = t->me->mta;
	struct jsonw w;
	jsonw_init(&w, out);
	jsonw_object(&w, NULL);
	status_loops(m, &w);
	status_spool(t, &w);
	mta_probes_status(t->me, &w);
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

/* ---- posts ---- */

void control_post_row(struct member *to, struct post *p)
{
	struct row *rows = p->p;
	for (uint64_t i = 0; i < p->a; i++)
		control_row(state(to)->c, &rows[i]);
	free(rows);
}

void control_post_totals(struct member *to, struct post *p)
{
	struct control_thread *t = state(to);
	t->totals = *(struct sched_totals *)p->p;
	control_totals(t->c, p->p);
	free(p->p);
}

void control_post_reply(struct member *to, struct post *p)
{
	control_sched_reply(state(to)->c, p->p);
	free(p->p);
}

void control_post_text(struct member *to, struct post *p)
{
	control_text(state(to)->c, p->a, (int)p->b, p->p);
}

void control_post_echo(struct member *to, struct post *p)
{
	control_echo(state(to)->c, p->p);
}

void control_post_events(struct member *to, struct post *p)
{
	control_events(state(to)->c, p->a, p->p, (int)p->b);
}

void control_post_spool(struct member *to, struct post *p)
{
	struct control_thread *t = state(to);
	t->spool = *(struct spool_stats *)p->p;
	t->load_progress = (double)p->a / 1e6;
	bool loaded_now = p->a >= 1000000;
	if (!t->shutdown_at && (!loaded_now || !t->loaded))
		control_phase(t->c, loaded_now ? "running" : "starting", t->load_progress);
	t->loaded = loaded_now;
	free(p->p);
}

void control_post_alarm(struct member *to, struct post *p)
{
	struct alarm_note *a = p->p;
	if (a->on)
		control_alarm(state(to)->c, a->code, rstr_str(a->target), a->severity,
			      rstr_str(a->text));
	else
		control_alarm_end(state(to)->c, a->code, rstr_str(a->target));
	rstr_unref(a->target);
	rstr_unref(a->text);
	free(a);
}

void control_post_request(struct member *to, struct post *p)
{
	struct link_request *r = p->p;
	if (r->op == LINK_COUNT)
		state(to)->operators = (unsigned)r->n;
	control_link(state(to)->c, r);
}

void control_post_signal(struct member *to, struct post *p)
{
	struct control_thread *t = state(to);
	switch ((int)p->a) {
	case SIGHUP:
		env_reload(t, 0, false, 0, STR_LIT("SIGHUP"));
		break;
	case SIGUSR1:
		env_rotate(t);
		break;
	default:
		if (t->signals++)
			t->stopped_at = 1; /* again: at once */
		begin_shutdown(t, "signal");
		break;
	}
}

void control_post_http(struct member *to, struct post *p)
{
	control_http(state(to)->c, p->p);
}

/* ---- once a second ---- */

/* After a flood of mail malloc keeps what it no longer uses, spread over its arenas: a look every
 * ten seconds, if there is more than after the last. */
static void trim(struct control_thread *t)
{
	us_t now = loop_now(t->me->loop);
	bool growing = t->anon_bytes > t->anon_last + TRIM_CALM;
	t->anon_last = t->anon_bytes;
	if (growing || now < t->trim_at)
		return; /* a trim holds the arenas for some ms: not in the flood */
	t->trim_at = now + TRIM_EVERY;
	if (t->trimmed) /* what the last trim left */
		t->anon_least = t->anon_bytes;
	t->trimmed = t->anon_bytes > t->anon_least + t->anon_least / 8 + TRIM_WORTH;
	if (t->trimmed)
		mta_post(t->me, t->me->mta->workers[WORKER_SLOW],
			 (struct post){ .fn = worker_post_trim });
	else if (t->anon_bytes < t->anon_least)
		t->anon_least = t->anon_bytes;
}

static void memory_look(struct control_thread *t)
{
	struct mta *m = t->me->mta;
	char line[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	line[n] = 0;
	const char *anon = strstr(line, "RssAnon:"), *file = strstr(line, "RssFile:");
	t->anon_bytes = anon ? strtoull(anon + 8, NULL, 10) * 1024 : 0;
	t->mapped_bytes = file ? strtoull(file + 8, NULL, 10) * 1024 : 0;
	trim(t);
	uint64_t limit = (uint64_t)t->conf->mta.memory_limit;
	bool over = t->anon_bytes > (t->memory_held ? limit - limit / 10 : limit);
	if (over == t->memory_held)
		return;
	t->memory_held = over;
	for (int i = 0; i < m->nio; i++)
		mta_post(t->me, m->io[i], (struct post){ .fn = io_post_memory, .a = over });
	mta_alarm(t->me, "memory", over, 1, "memory",
		  "over memory-limit: new mail is refused with 452, deliveries go on");
}

/* A pause of everything has no end of its own and is easily forgotten: it stands among the alarms.
 */
static const struct row *pause_of_all(struct control_thread *t)
{
	size_t pos = 0;
	for (const struct row *r; (r = mirror_next(control_mirror(t->c), ROW_OVERRIDE, &pos));) {
		const struct row_override *o = &r->override;
		if (!o->act && !o->ended_at && str_eqz(rstr_str(o->what), "pause") &&
		    str_eqz(rstr_str(o->target), "all"))
			return r;
	}
	return NULL;
}

static void look_for_trouble(struct control_thread *t)
{
	const struct row *paused = pause_of_all(t);
	mta_alarm(t->me, "all-paused", paused != NULL, 2, "all",
		  "everything is paused (override %llu): nothing leaves until resume all",
		  paused ? (unsigned long long)paused->override.number : 0ull);
	struct mta *m = t->me->mta;
	us_t skew = clock_skew_us();
	mta_alarm(t->me, "clock-jump", skew > CLOCK_JUMP || skew < -CLOCK_JUMP, 3, "clock",
		  "the wall clock moved by %lld s since start", (long long)(skew / US_PER_S));
	for (int i = 0; i < m->nmembers; i++) {
		struct loop_stats s;
		struct member *x = &m->members[i];
		if (!x->loop || x->role == MEMBER_WORKER || x->role == MEMBER_PICKUP)
			continue;
		loop_stats(x->loop, &s);
		if (s.cpu_max_us > LOOP_STALL)
			mta_alarm(t->me, "loop-stall", true, 3, x->name,
				  "a loop pass of %s took %lld ms of CPU", x->name,
				  (long long)(s.cpu_max_us / US_PER_MS));
	}
}

static void stop_step(struct control_thread *t, us_t now)
{
	if (!t->shutdown_at)
		return;
	bool idle = t->totals.connections == 0 && now - t->shutdown_at > SHUTDOWN_LEAST;
	/* Said again, for sessions that have become idle since. */
	mta_post(t->me, t->me->mta->sched,
		 (struct post){ .fn = sched_post_hold, .a = HOLD_SHUTDOWN, .b = 1 });
	if (t->stopped_at || idle || now - t->shutdown_at > SHUTDOWN_WITHIN)
		mta_stop(t->me->mta);
}

static void every_second(struct timer *tm, void *arg)
{
	struct control_thread *t = arg;
	us_t now = loop_now(t->me->loop);
	memory_look(t);
	look_for_trouble(t);
	mta_probes_step(t->me);
	check_differs(t, now);
	stop_step(t, now);
	timer_set(t->me->loop, tm, now + SECOND / (t->shutdown_at ? 10 : 1));
}

/* ---- the console's side of the link ---- */

static void link_answer_out(void *arg, struct link_answer *a)
{
	struct control_thread *t = arg;
	mta_post(t->me, t->me->mta->console, (struct post){ .fn = console_post_answer, .p = a });
}

static void link_echo_out(void *arg, struct rstr *text)
{
	struct control_thread *t = arg;
	mta_post(t->me, t->me->mta->console, (struct post){ .fn = console_post_echo, .p = text });
}

static void link_header_out(void *arg, const struct sched_totals *totals, struct rstr *status)
{
	struct control_thread *t = arg;
	struct sched_totals *copy = malloc(sizeof *copy);
	if (!copy) {
		rstr_unref(status);
		return;
	}
	*copy = *totals;
	mta_post(t->me, t->me->mta->console,
		 (struct post){ .fn = console_post_header, .p = copy, .q = status });
}

static void http_answer_out(void *arg, struct http_answer *a)
{
	struct control_thread *t = arg;
	mta_post(t->me, t->me->mta->http, (struct post){ .fn = http_post_answer, .p = a });
}

void mta_control_wire(struct member *me)
{
	struct control_thread *t = calloc(1, sizeof *t);
	struct errbuf e = { "" };
	if (!t)
		fatal("no memory for the control thread");
	me->state = t;
	t->me = me;
	t->conf = conf_ref(me->mta->conf);
	struct control_env env = { .arg = t,
				   .version = STOKER_VERSION,
				   .sched_command = env_sched_command,
				   .sched_detail = env_sched_detail,
				   .sched_messages = env_sched_messages,
				   .message = env_message,
				   .resolve = env_resolve,
				   .reload = env_reload,
				   .settings = env_settings,
				   .rotate = env_rotate,
				   .shutdown = env_shutdown,
				   .attach = env_attach,
				   .status = env_status,
				   .audit = env_audit };
	t->c = control_new(me->loop, &env, t->conf);
	if (!t->c)
		fatal("no memory for the control thread");
	control_set_link(t->c, link_answer_out, link_echo_out, link_header_out, t);
	control_set_http(t->c, http_answer_out, t);
	control_phase(t->c, "starting", 0);
	mta_probes_conf(me, t->conf);
	if (control_listen(t->c, &e))
		fatal("%s", e.text);
	timer_init(&t->second, every_second, t);
	timer_set(me->loop, &t->second, clock_now_us() + SECOND);
}

void mta_control_finish(struct member *me)
{
	control_free(state(me)->c); /* removes the socket */
	probes_free(me->mta->probes);
}
