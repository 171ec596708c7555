/* The list of overrides: making, ending, finding, keeping. What they bind: stack.c and match.c. */
#include "core/sched/override.h"

#include <stdlib.h>

enum { OVERRIDE_FORMAT = 1 };
#define SHOWN_AFTER_US US_PER_HOUR /* an ended one stays in sight for so long */

static const char table_name[] = "overrides";

/* ---- targets of their own ---- */

static bool keep_target(const struct target *t, struct rstr **text, struct target *out)
{
	struct buf b;
	struct errbuf e;
	bool ok;

	buf_init(&b);
	target_print(t, &b);
	*text = buf_failed(&b) ? NULL : rstr_new(buf_str(&b));
	buf_free(&b);
	ok = *text && !target_parse(rstr_str(*text), out, &e);
	return ok;
}

static void override_free(struct sched *s, struct override *o)
{
	list_del(&o->all);
	list_del(&o->live);
	if (o->row.id && !o->hidden)
		row_gone(s, &o->row);
	rstr_unref(o->text_target);
	rstr_unref(o->text_at);
	rstr_unref(o->what);
	rstr_unref(o->was);
	rstr_unref(o->now);
	rstr_unref(o->who);
	rstr_unref(o->reason);
	rstr_unref(o->session);
	rstr_unref(o->ended_by);
	free(o);
}

/* ---- which one rules ---- */

static bool same_setting(const struct override *a, const struct override *b)
{
	return a->kind == b->kind && a->each == b->each && target_same(&a->target, &b->target) &&
	       target_same(&a->at, &b->at);
}

static void find_ruling(struct sched *s)
{
	for (struct link *l = s->live.next; l != &s->live; l = l->next) {
		struct override *o = LIST_OF(l, struct override, live);

		o->rules = true;
		for (struct link *k = l->next; k != &s->live && o->rules; k = k->next)
			o->rules = o->hidden || !same_setting(o, LIST_OF(k, struct override, live));
	}
}

static void changed(struct sched *s)
{
	find_ruling(s);
	limits_of_total(s);
	limits_find_own(s);
	s->message_pauses = 0;
	for (struct link *l = s->live.next; l != &s->live; l = l->next)
		s->message_pauses +=
		    LIST_OF(l, struct override, live)->target.kind == TARGET_MESSAGE;
	epoch_raise(s);
	sessions_rebind_start(s);
	for (uint32_t i = 0; i < s->nsources; i++) {
		s->sources[i]->conn->limited = false; /* until a path finds a limit */
		row_dirty(s, &s->sources[i]->row);
	}
}

struct override *override_on(struct sched *s, enum override_kind kind, bool each,
			     const struct target *t, const struct target *at)
{
	const struct override like = { .kind = (uint8_t)kind,
				       .each = each,
				       .target = *t,
				       .at = at ? *at : (struct target){ 0 } };

	for (struct link *l = s->live.next; l != &s->live; l = l->next) {
		struct override *o = LIST_OF(l, struct override, live);

		if (o->rules && !o->hidden && same_setting(o, &like))
			return o;
	}
	return NULL;
}

struct override *override_find(struct sched *s, uint64_t number)
{
	for (struct link *l = s->overrides.next; l != &s->overrides; l = l->next) {
		struct override *o = LIST_OF(l, struct override, all);

		if (o->number == number && !o->hidden)
			return o;
	}
	return NULL;
}

/* ---- keeping ---- */

static struct str key_of(uint64_t number, struct buf *b)
{
	buf_addf(b, "%020llu", (unsigned long long)number);
	return buf_str(b);
}

static void save_next(struct sched *s)
{
	struct buf v;

	buf_init(&v);
	buf_put_u8(&v, OVERRIDE_FORMAT);
	buf_put_u64(&v, s->next_override);
	action_state_put(s, table_name, STR_LIT("next"), buf_str(&v));
	buf_free(&v);
}

static void encode(struct buf *b, const struct override *o)
{
	buf_put_u8(b, OVERRIDE_FORMAT);
	buf_put_u8(b, o->kind);
	buf_put_u8(b, o->each);
	buf_put_str(b, rstr_str(o->text_target));
	buf_put_str(b, rstr_str(o->text_at));
	buf_put_u64(b, (uint64_t)o->rate.n);
	buf_put_u64(b, (uint64_t)o->rate.per);
	buf_put_u32(b, (uint32_t)o->connections);
	buf_put_u64(b, (uint64_t)o->made_at);
	buf_put_u64(b, (uint64_t)o->until);
	buf_put_str(b, rstr_str(o->what));
	buf_put_str(b, rstr_str(o->was));
	buf_put_str(b, rstr_str(o->now));
	buf_put_str(b, rstr_str(o->who));
	buf_put_str(b, rstr_str(o->reason));
}

void override_save(struct sched *s, const struct override *o)
{
	struct buf k, v;
	struct str value = { 0 };

	buf_init(&k);
	buf_init(&v);
	if (!o->ended_at) {
		encode(&v, o);
		value = buf_str(&v);
	}
	action_state_put(s, table_name, key_of(o->number, &k), value);
	buf_free(&k);
	buf_free(&v);
}

static struct rstr *read_text(struct reader *r)
{
	return rstr_new(reader_str(r));
}

static bool decode(struct reader *r, struct override *o)
{
	struct errbuf e;

	if (reader_u8(r) != OVERRIDE_FORMAT)
		return false;
	o->kind = reader_u8(r);
	o->each = reader_u8(r) != 0;
	o->text_target = read_text(r);
	o->text_at = read_text(r);
	o->rate.n = (int64_t)reader_u64(r);
	o->rate.per = (us_t)reader_u64(r);
	o->connections = (int)reader_u32(r);
	o->made_at = (us_t)reader_u64(r);
	o->until = (us_t)reader_u64(r);
	o->what = read_text(r);
	o->was = read_text(r);
	o->now = read_text(r);
	o->who = read_text(r);
	o->reason = read_text(r);
	if (r->bad || o->kind >= OVER_ACT || !o->text_target || !o->text_at)
		return false;
	return !target_parse(rstr_str(o->text_target), &o->target, &e) &&
	       (!o->text_at->len || !target_parse(rstr_str(o->text_at), &o->at, &e));
}

bool override_restore_row(struct sched *s, struct str key, struct str value)
{
	struct reader r = { .p = (const uint8_t *)value.p, .n = value.n };
	struct override *o;
	uint64_t next;

	if (str_eqz(key, "next")) {
		if (reader_u8(&r) != OVERRIDE_FORMAT)
			return false;
		next = reader_u64(&r);
		if (!r.bad && next > s->next_override)
			s->next_override = next;
		return !r.bad;
	}
	o = calloc(1, sizeof *o);
	if (!o)
		return false;
	for (size_t i = 0; i < key.n; i++)
		o->number = o->number * 10 + (uint64_t)(key.p[i] - '0');
	if (!decode(&r, o)) {
		override_free(s, o);
		return false;
	}
	if (o->number >= s->next_override)
		s->next_override = o->number + 1;
	row_init(s, &o->row, ROW_OVERRIDE);
	list_add(&s->overrides, &o->all);
	list_add(&s->live, &o->live);
	changed(s);
	return true;
}

/* ---- making ---- */

static const char *const whats[] = { "pause", "rate", "connections", "disable", "backoff", "" };

static struct rstr *now_text(const struct override *o)
{
	char rate[FMT_SIZE];

	switch ((enum override_kind)o->kind) {
	case OVER_PAUSE:
		return rstr_newf("paused");
	case OVER_RATE:
		fmt_rate(o->rate, rate);
		return rstr_newf("%s%s", rate, o->each ? " each" : "");
	case OVER_CONNECTIONS:
		return rstr_newf("%d%s", o->connections, o->each ? " each" : "");
	case OVER_DISABLE:
		return o->text_at->len ? rstr_newf("out at %s", o->text_at->text)
				       : rstr_newf("out");
	case OVER_BACKOFF:
		return rstr_newf("backoff");
	case OVER_ACT:
		break;
	}
	return NULL;
}

static struct override *fresh(struct sched *s, const struct sched_cmd *c, enum override_kind kind)
{
	struct override *o = calloc(1, sizeof *o);

	if (!o)
		return NULL;
	o->kind = (uint8_t)kind;
	o->each = c->each;
	o->rate = c->rate;
	o->connections = c->connections;
	o->made_at = s->now;
	o->who = rstr_new(c->who);
	o->reason = rstr_new(c->reason);
	o->session = rstr_new(c->session);
	if (c->at.kind != TARGET_ALL)
		keep_target(&c->at, &o->text_at, &o->at);
	else
		o->text_at = rstr_new(STR_LIT(""));
	if (keep_target(&c->target, &o->text_target, &o->target) && o->text_at && o->who &&
	    o->reason)
		return o;
	override_free(s, o);
	return NULL;
}

struct override *override_make(struct sched *s, const struct sched_cmd *c, enum override_kind kind,
			       us_t until)
{
	struct override *o = fresh(s, c, kind);

	if (!o)
		return NULL;
	o->until = until;
	o->what = rstr_new(str_of(whats[kind]));
	if (kind == OVER_PAUSE)
		o->was = rstr_newf("running");
	else if (kind == OVER_DISABLE)
		o->was = rstr_newf("in");
	else if (kind == OVER_BACKOFF)
		o->was = rstr_newf("normal");
	else
		o->was = was_limit(s, c);
	o->now = now_text(o);
	o->number = s->next_override++;
	save_next(s);
	row_init(s, &o->row, ROW_OVERRIDE);
	list_add(&s->overrides, &o->all);
	list_add(&s->live, &o->live);
	override_save(s, o);
	changed(s);
	return o;
}

void override_act(struct sched *s, const struct sched_cmd *c, const char *what, const char *now)
{
	struct override *o = fresh(s, c, OVER_ACT);

	if (!o)
		return;
	o->what = rstr_new(str_of(what));
	o->now = rstr_new(str_of(now));
	o->until = o->ended_at = s->now;
	o->number = s->next_override++;
	save_next(s);
	row_init(s, &o->row, ROW_OVERRIDE);
	list_add(&s->overrides, &o->all);
}

struct override *override_hidden(struct sched *s, const struct target *t)
{
	struct sched_cmd c = { .target = *t };
	struct override *o = fresh(s, &c, OVER_PAUSE);

	if (!o)
		return NULL;
	o->hidden = true;
	o->until = US_NEVER;
	list_add(&s->overrides, &o->all);
	list_add(&s->live, &o->live);
	changed(s);
	return o;
}

/* ---- ending ---- */

void override_end(struct sched *s, struct override *o, struct str by)
{
	if (o->hidden) {
		override_free(s, o);
		changed(s);
		return;
	}
	o->ended_at = s->now;
	o->ended_by = rstr_new(by);
	list_del(&o->live);
	override_save(s, o);
	row_dirty(s, &o->row);
	alarm_end(s, "pause-ends", rstr_str(o->text_target));
	changed(s);
	if (o->kind == OVER_PAUSE && o->target.kind == TARGET_MESSAGE)
		message_unpause(s, o->target.message);
}

/* An hour after the end, or at once if it ended by time. */
void overrides_second(struct sched *s)
{
	struct link *next;
	bool ended = false;

	for (struct link *l = s->overrides.next; l != &s->overrides; l = next) {
		struct override *o = LIST_OF(l, struct override, all);

		next = l->next;
		if (!o->ended_at && !o->hidden && o->until <= s->now) {
			override_end(s, o, STR_LIT("time"));
			ended = true;
		} else if (o->ended_at && s->now - o->ended_at > SHOWN_AFTER_US) {
			override_free(s, o);
		}
	}
	if (ended)
		action_add(s, ACT_STATE_SYNC)->a.token = ++s->next_id;
	alarms_second(s);
}

void overrides_free(struct sched *s)
{
	struct link *l;

	while ((l = list_first(&s->overrides)))
		override_free(s, LIST_OF(l, struct override, all));
}

/* ---- rows ---- */

void override_fill(struct sched *s, struct row_head *h, struct row *r)
{
	const struct override *o = HEAP_OF(h, struct override, row);
	struct row_override *x = &r->override;

	(void)s;
	r->name = rstr_newf("%llu", (unsigned long long)o->number);
	r->state = o->ended_at ? STATE_IDLE : STATE_OK;
	x->number = o->number;
	x->made_at = o->made_at;
	x->until = o->until;
	x->ended_at = o->ended_at;
	x->act = o->kind == OVER_ACT;
	x->what = rstr_ref(o->what);
	x->target = rstr_ref(o->text_target);
	x->was = rstr_ref(o->was);
	x->now = rstr_ref(o->now);
	x->who = rstr_ref(o->who);
	x->reason = rstr_ref(o->reason);
	x->ended_by = rstr_ref(o->ended_by);
}

/* ---- what is stopped ---- */

bool message_is_paused(struct sched *s, uint64_t id)
{
	for (struct link *l = s->live.next; s->message_pauses && l != &s->live; l = l->next) {
		const struct override *o = LIST_OF(l, const struct override, live);

		if (o->kind == OVER_PAUSE && !o->hidden && o->target.kind == TARGET_MESSAGE &&
		    o->target.message == id)
			return true;
	}
	return false;
}

struct override *override_pause_of_queue(struct sched *s, const struct queue *q)
{
	for (struct link *l = s->live.next; l != &s->live; l = l->next) {
		struct override *o = LIST_OF(l, struct override, live);

		if (o->kind == OVER_PAUSE && target_has_queue(&o->target, q))
			return o;
	}
	return NULL;
}

static bool stops_lane(const struct override *o, const struct site *site, const struct source *src)
{
	if (o->kind == OVER_PAUSE &&
	    (o->target.kind == TARGET_LANE || o->target.kind == TARGET_VMTA))
		return target_has_lane(&o->target, site, src);
	if (o->kind != OVER_DISABLE || !str_glob(o->target.a, rstr_str(src->name)))
		return false;
	return o->at.kind == TARGET_ALL || (site && target_has_site(&o->at, site));
}

struct override *override_stop_of_path(struct sched *s, const struct path *p)
{
	for (struct link *l = s->live.next; l != &s->live; l = l->next) {
		struct override *o = LIST_OF(l, struct override, live);

		if (stops_lane(o, p->flow->site, p->source))
			return o;
	}
	return NULL;
}

const struct override *override_disabling(struct sched *s, const struct source *src)
{
	for (struct link *l = s->live.next; l != &s->live; l = l->next) {
		const struct override *o = LIST_OF(l, const struct override, live);

		if (o->kind == OVER_DISABLE && o->at.kind == TARGET_ALL &&
		    str_glob(o->target.a, rstr_str(src->name)))
			return o;
	}
	return NULL;
}

bool override_disables(struct sched *s, const struct source *src)
{
	return override_disabling(s, src) != NULL;
}

static void job_resolve(struct sched *s, struct job *j)
{
	j->epoch = s->epoch;
	j->paused = NULL;
	for (struct link *l = s->live.next; l != &s->live && !j->paused; l = l->next) {
		struct override *o = LIST_OF(l, struct override, live);

		if (o->kind == OVER_PAUSE && target_has_job(&o->target, j))
			j->paused = o;
	}
	row_dirty(s, &j->row);
}

bool job_stopped(struct sched *s, struct job *j)
{
	if (j->epoch != s->epoch)
		job_resolve(s, j);
	return j->paused != NULL;
}

void why_paused_by(struct sched *s, const struct override *o, struct why *w)
{
	(void)s;
	why_clear(w);
	w->code = WHY_PAUSED;
	w->counts = SCOPE_COUNT;
	if (!o) {
		w->text = rstr_newf("its messages are paused");
		return;
	}
	w->until = o->until == US_NEVER ? 0 : o->until;
	w->origin = rstr_newf("override %llu", (unsigned long long)o->number);
	if (o->hidden)
		w->text = rstr_newf("held while a command works");
	else
		w->text = rstr_newf("%s by %.*s", o->kind == OVER_DISABLE ? "disabled" : "paused",
				    (int)o->who->len, o->who->text);
}
