#include "core/sched/inner.h"
struct override *override_pause_of_queue(struct sched *s, const struct queue *q)
{
	(void)s;
	(void)q;
	return NULL;
}
struct override *override_stop_of_path(struct sched *s, const struct path *p)
{
	(void)s;
	(void)p;
	return NULL;
}
bool job_stopped(struct sched *s, struct job *j)
{
	(void)s;
	(void)j;
	return false;
}
void overrides_second(struct sched *s)
{
	(void)s;
}
bool override_disables(struct sched *s, const struct source *src)
{
	(void)s;
	(void)src;
	return false;
}
const struct override *override_disabling(struct sched *s, const struct source *src)
{
	(void)s;
	(void)src;
	return NULL;
}
void override_fill(struct sched *s, struct row_head *h, struct row *r)
{
	(void)s;
	(void)h;
	(void)r;
}
void alarm_fill(struct sched *s, struct row_head *h, struct row *r)
{
	(void)s;
	(void)h;
	(void)r;
}
bool override_path_limits(struct sched *s, struct path *p)
{
	(void)s;
	(void)p;
	return true;
}
void override_queue_limits(struct sched *s, struct path *p, struct queue *q, const struct job *j,
			   struct limits *out)
{
	(void)s;
	(void)p;
	(void)q;
	(void)j;
	(void)out;
}
void why_paused_by(struct sched *s, const struct override *o, struct why *w)
{
	(void)s;
	(void)o;
	w->code = WHY_PAUSED;
	w->counts = SCOPE_COUNT;
	rstr_unref(w->text);
	w->text = rstr_newf("paused");
}
void command_fenced(struct sched *s, uint32_t io, uint64_t number)
{
	(void)s;
	(void)io;
	(void)number;
}
void commands_work(struct sched *s)
{
	(void)s;
}
void conf_recall(struct sched *s)
{
	(void)s;
}
void walk_done(struct sched *s)
{
	(void)s;
}
void sched_synced(struct sched *s, us_t now, uint64_t token)
{
	(void)token;
	s->now = now;
}
void sched_command(struct sched *s, us_t now, const struct sched_cmd *c)
{
	struct act *a;
	s->now = now;
	a = action_add(s, ACT_REPLY);
	a->a.reply =
	    (struct sched_reply){ .id = c->id, .exit = EXIT_REFUSED, .text = rstr_newf("not yet") };
}
void state_rate_save(struct sched *s, struct counter *c)
{
	(void)s;
	(void)c;
}
void state_rate_restore(struct sched *s, struct counter *c)
{
	(void)s;
	(void)c;
}
void state_lane_save(struct sched *s, struct lane *a)
{
	(void)s;
	(void)a;
}
bool sched_restore(struct sched *s, us_t now, struct str table, struct str key, struct str value)
{
	(void)s;
	(void)now;
	(void)table;
	(void)key;
	(void)value;
	return true;
}
int sched_messages(struct sched *s, us_t now, const struct target *t, uint64_t *cursor, int max,
		   int64_t *total, void (*fn)(void *arg, const struct message_row *r), void *arg)
{
	(void)s;
	(void)now;
	(void)t;
	(void)max;
	(void)fn;
	(void)arg;
	*cursor = 0;
	*total = 0;
	return 0;
}
const struct err *sched_detail(struct sched *s, us_t now, const struct target *t, struct buf *json,
			       struct errbuf *e)
{
	(void)s;
	(void)now;
	(void)t;
	(void)json;
	errbuf_set(e, "not yet");
	return &err_gone;
}
