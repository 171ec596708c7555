/* The console's thread: only the wiring; everything it does is in tui/. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/control/log_old.h"
#include "core/mta.h"

struct console_thread {
	struct member *me;
	struct console *c;
};

static struct console *console(struct member *me)
{
	return ((struct console_thread *)me->state)->c;
}

static void env_request(void *arg, struct link_request *r)
{
	struct console_thread *t = arg;
	if (r->op == LINK_OLD_LOG)
		mta_post(t->me, t->me->mta->workers[WORKER_SLOW],
			 (struct post){ .fn = worker_post_log, .p = r });
	else
		mta_post(t->me, t->me->mta->control,
			 (struct post){ .fn = control_post_request, .p = r });
}

/* On a worker: files are read. */
void worker_post_log(struct member *to, struct post *p)
{
	struct link_request *r = p->p;
	struct conf *c = conf_ref(__atomic_load_n(&to->mta->conf, __ATOMIC_ACQUIRE));
	struct link_answer *a = log_old_read(r, c->mta.log_file, loop_now(to->loop));
	if (a)
		mta_post(to, to->mta->console, (struct post){ .fn = console_post_answer, .p = a });
	else
		log_warn("no memory to read the log's files");
	link_request_free(r);
	conf_unref(c);
}

static void env_save_prefs(void *arg, struct str user, struct str json)
{
	struct console_thread *t = arg;
	struct state_put *s = calloc(1, sizeof *s);
	if (!s)
		return; /* a preference is lost, nothing else */
	s->table = "preferences";
	s->key = rstr_new(user);
	s->value = rstr_new(json);
	mta_post(t->me, t->me->mta->spooler, (struct post){ .fn = spool_post_state, .p = s });
}

void console_post_answer(struct member *to, struct post *p)
{
	console_answer(console(to), p->p);
}

void console_post_echo(struct member *to, struct post *p)
{
	console_echo(console(to), p->p);
}

void console_post_header(struct member *to, struct post *p)
{
	console_header(console(to), p->p, p->q);
	free(p->p);
}

void console_post_attach(struct member *to, struct post *p)
{
	struct attach_note *a = p->p;
	console_attach(console(to), a->fd, rstr_str(a->user), a->role, rstr_str(a->hello));
	rstr_unref(a->user);
	rstr_unref(a->hello);
	free(a);
}

void console_post_conf(struct member *to, struct post *p)
{
	console_conf(console(to), p->p);
	conf_unref(p->p);
}

void mta_console_status(const struct mta *m, struct jsonw *w)
{
	struct console_stats s;
	console_stats(console(m->console), &s);
	jsonw_object(w, "console");
	jsonw_int(w, "frames", (int64_t)s.frames);
	jsonw_double(w, "frame_cpu_ms", (double)s.cpu_max_us / 1000.0, 3);
	jsonw_end_object(w);
}

static void one_pref(void *arg, struct str key, struct str value)
{
	console_prefs(arg, key, value);
}

void mta_console_wire(struct member *me)
{
	struct console_thread *t = calloc(1, sizeof *t);
	if (!t)
		fatal("no memory for the console");
	me->state = t;
	t->me = me;
	struct console_env env = { .arg = t,
				   .request = env_request,
				   .save_prefs = env_save_prefs,
				   .themes_dir = me->mta->opts.themes_dir };
	t->c = console_new(me->loop, &env, me->mta->conf);
	if (!t->c)
		fatal("no memory for the console");
	spool_state_each(me->mta->spool, "preferences", one_pref, t->c);
}

void mta_console_finish(struct member *me)
{
	console_free(console(me));
}
