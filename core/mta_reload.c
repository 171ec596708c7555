/* Reloads: a worker reads and compares, control puts in force; answered when every loop works by
 * the new snapshot. Control thread. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/control/http.h"
#include "core/mta_control.h"

static const us_t DIFFERS_EVERY = 5 * US_PER_S;

static struct control_thread *state(struct member *me)
{
	return me->state;
}

struct history_find {
	uint64_t number;
	struct reload_request *r;
};

void control_reload(void *arg, uint64_t id, bool dry_run, uint64_t to, struct str who)
{
	struct control_thread *t = arg;
	struct reload_request *r = calloc(1, sizeof *r);
	if (!r) {
		control_text_now(t, id, EXIT_REFUSED, "no memory");
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

static bool has_listener(const struct conf *c, const char *name)
{
	for (int i = 0; i < c->nlisteners; i++)
		if (strcmp(c->listeners[i].name, name) == 0)
			return true;
	return false;
}

_Static_assert(LISTENERS_MAX + 1 <= LISTENER_MOVES_MAX, "all listeners and http");

static void list_going(const struct conf *was, const struct conf *now, struct listener_move *move)
{
	struct endpoint at, then;
	for (int i = 0; i < was->nlisteners; i++)
		if (!has_listener(now, was->listeners[i].name))
			move->going[move->ngoing++] = was->listeners[i].at;
	if (mta_http_at(was, &at) &&
	    (!mta_http_at(now, &then) || endpoint_port(&at) != endpoint_port(&then) ||
	     !endpoint_same_ip(&at, &then)))
		move->going[move->ngoing++] = at;
}

/* Binds what is new among the listeners. False: one can't be bound (text says which), and nothing
 * stays open. */
static bool bind_new(const struct conf *was, const struct conf *now, struct listener_move *move,
		     int *fds, struct errbuf *e)
{
	for (int i = 0; i < now->nlisteners; i++) {
		bool had = has_listener(was, now->listeners[i].name);
		fds[i] = had ? -1 : listener_move_bind(move, &now->listeners[i].at, e);
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
	conf_send(t, m->spooler, spool_post_rules, NULL);
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
	buf_free(&r->packed);
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
	control_sched_command(t, &c);
}

static void reload_apply(struct control_thread *t, struct reload_request *r)
{
	struct errbuf e = { "" };
	int *fds = calloc(LISTENERS_MAX, sizeof *fds);
	int http_fd = HTTP_KEEP;
	struct listener_move move = { .ngoing = 0 };
	list_going(t->conf, r->now, &move);
	bool bound = fds && r->now->nlisteners <= LISTENERS_MAX &&
		     mta_http_bind(t->conf, r->now, &move, &http_fd, &e);
	if (!bound || !bind_new(t->conf, r->now, &move, fds, &e)) {
		if (bound && http_fd >= 0)
			close(http_fd);
		listener_move_end(&move, true);
		free(fds);
		reload_done(t, r, EXIT_REFUSED,
			    rstr_newf("%s: nothing was changed\n",
				      e.text[0] ? e.text : "too many listeners"));
		return;
	}
	listener_move_end(&move, false);
	conf_apply(t, r->now, fds, http_fd);
	r->now = NULL; /* kept by mta->conf */
	audit_reload(t, r);
	r->number = t->conf->number;
	r->waits = t->me->mta->nio + 2;
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

void control_check_differs(struct control_thread *t, us_t now)
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
