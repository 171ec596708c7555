#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/control/getters.h"
#include "core/control/private.h"

static const char default_group[] = "stoker"; /* conf/schema.c */
enum { RING_EVENTS = 100000 };
/* Of a loop pass, for lists and logs that are being written. */
static const us_t pump_budget = US_PER_MS;
static const us_t header_every = 250 * US_PER_MS, upkeep_every = US_PER_S;

us_t control_now(const struct control *c)
{
	return loop_now(c->loop);
}

static bool before_sleep(void *arg)
{
	return requests_pump(arg, pump_budget);
}

static void on_header(struct timer *t, void *arg)
{
	struct control *c = arg;

	link_header(c);
	timer_set(c->loop, t, control_now(c) + header_every);
}

static void on_upkeep(struct timer *t, void *arg)
{
	struct control *c = arg;

	requests_expire(c, control_now(c));
	alarms_upkeep(c, control_now(c));
	alarm_mail(c, control_now(c));
	timer_set(c->loop, t, control_now(c) + upkeep_every);
}

struct control *control_new(struct loop *l, const struct control_env *env, struct conf *conf)
{
	struct control *c = calloc(1, sizeof *c);

	if (!c)
		fatal("no memory for control");
	c->magic = CONTROL_MAGIC;
	c->loop = l;
	c->env = *env;
	c->conf = conf_ref(conf);
	c->mirror = mirror_new();
	c->ring = logring_new(RING_EVENTS);
	c->started = loop_now(l);
	c->runnable_tail = &c->runnable;
	snprintf(c->phase, sizeof c->phase, "starting");
	idmap_init(&c->requests);
	idmap_init(&c->notes);
	strmap_init(&c->told);
	timer_init(&c->header_timer, on_header, c);
	timer_init(&c->upkeep_timer, on_upkeep, c);
	timer_set(l, &c->header_timer, c->started + header_every);
	timer_set(l, &c->upkeep_timer, c->started + upkeep_every);
	loop_add_before_sleep(l, before_sleep, c);
	return c;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	OBJ_CHECK(c, CONTROL_MAGIC);
	timer_stop(c->loop, &c->header_timer);
	timer_stop(c->loop, &c->upkeep_timer);
	if (c->listener) {
		listener_stop(c->listener);
		/* A directory that is not ours keeps it; the next start replaces it. */
		(void)unlink(c->socket_path);
	}
	free(c->socket_path);
	sessions_free(c);
	c->answer = NULL; /* the console may be gone */
	c->echo = NULL;
	c->http_answer = NULL;
	requests_free(c);
	alarms_forget(c);
	alarm_mail_forget(c);
	logring_free(c->ring);
	mirror_free(c->mirror);
	conf_unref(c->conf);
	c->magic = 0;
	suppression_reader_close(c->suppressed);
	free(c);
}

/* The default group is made by the installation; without it the socket is its owner's alone. A
 * group that was written must exist. */
static const char *socket_group(const struct conf *c)
{
	const char *group = c->mta.control_group;

	if (!group || strcmp(group, default_group) != 0 || getgrnam(group))
		return group;
	log_info("there is no group %s: the control socket is for root and Stoker's own user",
		 group);
	return NULL;
}

const struct err *control_listen(struct control *c, struct errbuf *e)
{
	int fd = listener_bind_unix(c->conf->mta.control_socket, socket_group(c->conf), e);

	if (fd < 0)
		return &err_io;
	c->socket_path = str_dup(str_of(c->conf->mta.control_socket));
	c->listener = listener_start(c->loop, fd, session_accepted, c);
	if (c->listener && c->socket_path)
		return NULL;
	errbuf_set(e, "no memory for the control socket");
	return &err_no_memory;
}

/* ---- what the rest of the process tells ---- */

void control_say(struct control *c, const char *fmt, ...)
{
	struct buf text;
	va_list ap;

	buf_init(&text);
	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	if (c->echo) {
		struct rstr *line = rstr_new(buf_str(&text));

		if (line)
			c->echo(c->link_arg, line);
	}
	buf_free(&text);
}

void control_conf(struct control *c, struct conf *conf, bool differs)
{
	OBJ_CHECK(c, CONTROL_MAGIC);
	conf_ref(conf);
	conf_unref(c->conf);
	c->conf = conf;
	c->differs = differs;
}

struct mirror *control_mirror(struct control *c)
{
	return c->mirror;
}

void control_phase(struct control *c, const char *state, double load_progress)
{
	snprintf(c->phase, sizeof c->phase, "%s", state);
	c->load_progress = load_progress;
}

/* Jobs are the scheduler's rows, their complaints the report thread's: whichever comes last, the
 * job shows both. */
static void job_complaints(struct control *c, struct row *job)
{
	const struct row *known;
	struct value v = { .type = V_NONE };
	struct buf name;

	buf_init(&name);
	buf_addf(&name, "job:%.*s", (int)rstr_str(job->name).n, rstr_str(job->name).p);
	known = mirror_find_name(c->mirror, ROW_REPUTATION, buf_str(&name));
	buf_free(&name);
	if (known)
		get_day_complaint_percent(known, 0, &v);
	job->job.complaint_percent = v.type == V_NONE ? -1 : (float)v.d;
}

static void job_again(struct control *c, const struct rstr *name)
{
	const struct row *job = mirror_find_name(c->mirror, ROW_JOB, rstr_str(name));
	struct row copy;

	if (!job)
		return;
	copy = *job;
	row_retain(&copy);
	job_complaints(c, &copy);
	mirror_row(c->mirror, &copy);
}

void control_row(struct control *c, struct row *r)
{
	bool of_job =
	    r->kind == ROW_REPUTATION && !r->deleted && r->reputation.what == REPUTATION_JOB;
	struct rstr *name = of_job ? rstr_ref(r->reputation.of) : NULL;

	if (r->kind == ROW_ALARM)
		alarms_row(c, r);
	if (r->kind == ROW_JOB && !r->deleted)
		job_complaints(c, r);
	mirror_row(c->mirror, r);
	if (name)
		job_again(c, name);
	rstr_unref(name);
}

void control_totals(struct control *c, const struct sched_totals *t)
{
	mirror_totals(c->mirror, t, control_now(c));
}

void control_sched_reply(struct control *c, const struct sched_reply *reply)
{
	struct request *r = request_by_id(c, reply->id);

	if (r && r->on_reply) {
		r->asked_at = 0;
		r->on_reply(r, reply);
	}
	rstr_unref(reply->text);
}

void control_text(struct control *c, uint64_t id, int exit, struct rstr *text)
{
	struct request *r = request_by_id(c, id);

	if (!r || !r->on_text) {
		rstr_unref(text);
		return;
	}
	r->asked_at = 0;
	r->on_text(r, exit, text);
}

void control_echo(struct control *c, struct rstr *text)
{
	c->env.audit(c->env.arg, rstr_str(text));
	if (c->echo)
		c->echo(c->link_arg, text);
	else
		rstr_unref(text);
}

void control_events(struct control *c, uint64_t first_id, struct rstr *encoded, int n)
{
	logring_add(c->ring, first_id, encoded, n);
	log_wake(c);
}

void control_set_link(struct control *c, void (*answer)(void *arg, struct link_answer *a),
		      void (*echo)(void *arg, struct rstr *text),
		      void (*header)(void *arg, const struct sched_totals *t,
				     struct rstr *status_json),
		      void *arg)
{
	c->answer = answer;
	c->echo = echo;
	c->header = header;
	c->link_arg = arg;
}
