/* The control thread: the mirror's home, the control socket, the process's own alarms. Decisions
 * about mail are the scheduler's. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/control/http.h"
#include "core/mta_control.h"
#include "core/notify.h"
#include "core/version.h"

static const us_t SECOND = US_PER_S;
static const us_t SHUTDOWN_LEAST = 500 * US_PER_MS; /* two copies of the totals */
static const us_t SHUTDOWN_WITHIN = 30 * US_PER_S;
static const us_t CLOCK_JUMP = 2 * US_PER_S;
static const us_t TRIM_EVERY = 10 * US_PER_S;
enum { TRIM_WORTH = 16 * 1024 * 1024, TRIM_CALM = 1024 * 1024 };
static const us_t LOOP_STALL = 250 * US_PER_MS;

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

void control_sched_command(void *arg, const struct sched_cmd *c)
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

static void env_mail(void *arg, int n, struct str text)
{
	struct control_thread *t = arg;
	mta_alarm_mail(t->me, t->conf, n, text);
}

static void env_audit(void *arg, struct str line)
{
	struct control_thread *t = arg;
	mta_post(t->me, t->me->mta->report,
		 (struct post){ .fn = report_post_audit, .p = rstr_new(line) });
}

/* ---- posts ---- */

void control_post_row(struct member *to, struct post *p)
{
	struct row *rows = p->p;
	for (uint64_t i = 0; i < p->a; i++)
		control_row(state(to)->c, &rows[i]);
	free(rows);
}

/* The memory goes back: what one thread takes and another gives away costs new pages each time. */
void control_post_rows(struct member *to, struct post *p)
{
	struct mailbox *used = to->mta->used_rows;
	struct row *rows = p->p;
	for (uint64_t i = 0; i < p->a; i++)
		control_row(state(to)->c, &rows[i]);
	if (!mailbox_room(used) || !mailbox_push(used, &rows))
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
		control_reload(t, 0, false, 0, STR_LIT("SIGHUP"));
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
	control_check_differs(t, now);
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

static void env_suppress(void *arg, uint64_t id, struct buf *rows, bool tell, struct str who)
{
	struct control_thread *t = arg;
	struct suppress_job *j = calloc(1, sizeof *j);
	if (!j)
		fatal("no memory for a command");
	j->id = id;
	j->rows = *rows;
	j->tell = tell;
	j->who = rstr_new(who);
	buf_init(rows);
	buf_init(&j->told);
	mta_post(t->me, t->me->mta->spooler, (struct post){ .fn = spool_post_suppress, .p = j });
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
				   .sched_command = control_sched_command,
				   .sched_detail = env_sched_detail,
				   .sched_messages = env_sched_messages,
				   .message = env_message,
				   .resolve = control_resolve,
				   .reload = control_reload,
				   .settings = control_settings,
				   .rotate = env_rotate,
				   .shutdown = env_shutdown,
				   .attach = env_attach,
				   .status = control_status,
				   .audit = env_audit,
				   .mail = env_mail,
				   .suppress = env_suppress,
				   .suppression = me->mta->suppression };
	t->c = control_new(me->loop, &env, t->conf);
	if (!t->c)
		fatal("no memory for the control thread");
	control_set_link(t->c, link_answer_out, link_echo_out, link_header_out, t);
	control_set_http(t->c, http_answer_out, t);
	control_phase(t->c, "starting", 0);
	mta_probes_conf(me, t->conf);
	if (control_listen(t->c, &e))
		fatal("%s", e.text);
	loop_add_outbox(me->loop, me->mta->used_rows);
	timer_init(&t->second, every_second, t);
	timer_set(me->loop, &t->second, clock_now_us() + SECOND);
}

void mta_control_finish(struct member *me)
{
	control_free(state(me)->c); /* removes the socket */
	probes_free(me->mta->probes);
}
