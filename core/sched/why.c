/* Why mail does not move: the one limit that binds, from the same tests that hand-out makes. */
#include "core/sched/override.h"
#include "core/sched/warmup.h"

enum { SITE_LOOK = 64, BANDS_LOOK = 16 };

/* ---- the parts of an answer ---- */

static void say(struct why *w, enum why_code code, struct rstr *text)
{
	w->code = (uint8_t)code;
	w->counts = SCOPE_COUNT;
	rstr_unref(w->text);
	w->text = text;
}

/* What rows of 100,000 queues say is not made anew for each copy of them. */
static struct rstr ready_word = RSTR_LIT("ready");
static struct rstr in_flight_word = RSTR_LIT("in-flight");
static struct rstr idle_word = RSTR_LIT("idle");
static struct rstr loading_word = RSTR_LIT("loading");
static struct rstr retry_words = RSTR_LIT("waits for its retry");
static struct rstr mx_words = RSTR_LIT("looking up its MX");
static struct rstr connecting_word = RSTR_LIT("connecting");

static void say_plain(struct why *w, enum why_code code)
{
	static struct rstr *const fixed[WHY_CODES] = {
		[WHY_READY] = &ready_word,
		[WHY_IN_FLIGHT] = &in_flight_word,
		[WHY_IDLE] = &idle_word,
		[WHY_LOADING] = &loading_word,
	};

	say(w, code, fixed[code] ? fixed[code] : rstr_new(str_of(why_code_name(code))));
}

struct rstr *counter_origin(const struct counter *c)
{
	if (c->by)
		return rstr_newf("override %llu", (unsigned long long)c->by);
	return c->origin ? rstr_new(name_str(c->origin)) : rstr_newf("default");
}

/* As people know it: a warm-up's cap is enforced with something to spare. */
struct rate counter_rate(const struct counter *c)
{
	if (c->flavour == COUNT_WARMUP && c->warm->cap)
		return (struct rate){ c->warm->cap, US_PER_HOUR };
	return c->bucket.rate;
}

void why_clear(struct why *w)
{
	rstr_unref(w->origin);
	rstr_unref(w->text);
	*w = (struct why){ 0 };
}

/* What the screen adds to a limit: nothing for a lane's, else what it counts together. */
static const char *scope_text(const struct counter *c)
{
	switch ((enum limit_scope)c->scope) {
	case SCOPE_DOMAIN:
		return " domain";
	case SCOPE_POOL:
		return " pool";
	case SCOPE_PROVIDER:
		return " together";
	case SCOPE_VMTA:
		return " of the IP";
	case SCOPE_TOTAL:
		return " in total";
	case SCOPE_LANE:
	case SCOPE_COUNT:
		break;
	}
	return "";
}

static void say_counter(const struct counter *c, us_t now, struct why *w)
{
	char rate[FMT_SIZE];
	us_t when;

	if (c->kind == LIMIT_CONNECTIONS) {
		say(w, c->scope == SCOPE_TOTAL ? WHY_TOTAL : WHY_CONNECTIONS,
		    rstr_newf("connections %d%s", c->limit, scope_text(c)));
		w->value = (float)c->used;
		w->limit = (float)c->limit;
	} else {
		fmt_rate(c->bucket.rate, rate);
		say(w, WHY_RATE,
		    rstr_newf("%s %s%s", c->kind == LIMIT_CONNECT_RATE ? "connect" : "rate", rate,
			      scope_text(c)));
		w->value = w->limit = (float)rate_per_s(c->bucket.rate);
		when = bucket_when(&c->bucket, now, 1);
		w->until = when > now + US_PER_S ? when : 0;
	}
	w->counts = c->scope;
	w->origin = counter_origin(c);
}

/* In backoff mode a limit says who wants it: the rule with the reply, or the override. */
static void say_backoff(struct sched *s, const struct lane *a, const struct counter *c,
			struct why *w)
{
	const struct override *o = override_backoff(s, a);
	char rate[FMT_SIZE];

	say_counter(c, s->now, w);
	fmt_rate(c->bucket.rate, rate);
	say(w, WHY_BACKOFF,
	    c->kind == LIMIT_CONNECTIONS
		? rstr_newf("backoff connections %d%s", c->limit, scope_text(c))
		: rstr_newf("backoff %s%s", rate, scope_text(c)));
	w->counts = c->scope;
	w->until = 0;
	if (a->mode && a->mode->since) {
		rstr_unref(w->origin);
		w->origin = mode_origin(a->mode);
		w->until = a->mode->until == US_NEVER ? 0 : a->mode->until;
	} else if (o) {
		rstr_unref(w->origin);
		w->origin = rstr_newf("override %llu", (unsigned long long)o->number);
		w->until = o->until == US_NEVER ? 0 : o->until;
	}
}

/* "learned 180/s of 300/s" */
static void say_learned(struct sched *s, const struct lane *a, const struct counter *c,
			struct why *w)
{
	bool conn = c->kind == LIMIT_CONNECTIONS;
	const struct learned *x = conn ? &a->mode->conns : &a->mode->rate;
	int digits = x->value < 10;

	say_counter(c, s->now, w);
	say(w, conn ? WHY_CONNECTIONS : WHY_RATE,
	    x->ceiling > 0
		? rstr_newf("learned %.*f%s of %.*f%s", digits, x->value,
			    conn ? " connections" : "/s", x->ceiling < 10, x->ceiling,
			    conn ? "" : "/s")
		: rstr_newf("learned %.*f%s", digits, x->value, conn ? " connections" : "/s"));
	w->counts = c->scope;
	rstr_unref(w->origin);
	w->origin = rstr_newf("adaptive-throttling");
}

/* "warm-up 400/hour, step 3" */
static void say_warm(const struct counter *c, us_t now, struct why *w)
{
	char rate[FMT_SIZE];

	fmt_rate(counter_rate(c), rate);
	say(w, WHY_WARM_UP, rstr_newf("warm-up %s, step %u", rate, c->warm->step));
	w->value = (float)warm_used(c->warm, now) / 3600;
	w->limit = (float)rate_per_s(counter_rate(c));
	w->until = warm_ends(c->warm, now);
	w->counts = c->scope;
	w->origin = counter_origin(c);
}

static void say_limit(struct sched *s, const struct lane *a, const struct counter *c, struct why *w)
{
	if (c->flavour == COUNT_WARMUP && c->warm->cap) {
		say_warm(c, s->now, w);
		return;
	}
	if (a && (c->flavour == COUNT_BACKOFF || c->flavour == COUNT_BACKOFF_DEFAULT))
		say_backoff(s, a, c, w);
	else if (a && a->mode && c->flavour == COUNT_LEARNED)
		say_learned(s, a, c, w);
	else
		say_counter(c, s->now, w);
}

/* What makes TLS needed: the directive's place. */
static struct rstr *tls_origin(const struct settings *set)
{
	enum setting_id id = set->smtp_starttls >= STARTTLS_REQUIRED ? SET_SMTP_STARTTLS
			     : !set->use_plaintext		     ? SET_USE_PLAINTEXT
								     : SET_AUTH_USER;
	const struct origin *at = &set->origin[id];

	return at->file ? rstr_newf("%s:%d", at->file, at->line) : rstr_newf("default");
}

static void say_kind(uint8_t kind, const struct rstr *why, us_t until, struct why *w)
{
	static const struct {
		enum why_code code;
		const char *words;
	} kinds[] = {
		[REST_NONE] = { WHY_RESTING, "" },
		[REST_CONNECT] = { WHY_CONNECT, "no connection" },
		[REST_REPLIES] = { WHY_RESTING, "deferred in a row" },
		[REST_TLS] = { WHY_TLS, "no TLS" },
	};
	struct str reason = rstr_str(why);

	say(w, kinds[kind].code,
	    reason.n ? rstr_newf("%.*s", (int)reason.n, reason.p)
		     : rstr_newf("%s", kinds[kind].words));
	w->until = until;
}

static void say_rest(const struct lane *a, struct why *w)
{
	say_kind(a->rest_kind, a->rest_reason, a->resting_until, w);
}

/* `set`: of the mail that is asked about; NULL: of none in particular. */
static void say_key_rest(const struct key_rest *r, const struct settings *set, struct why *w)
{
	say_kind(r->kind, r->reason, r->until, w);
	if (r->kind == REST_TLS && set)
		w->origin = tls_origin(set);
}

/* ---- paths ---- */

/* When this path may send, as far as that is known: for choosing among several. */
struct verdict {
	struct why why;
	us_t when;
};

static const struct counter *full_of(const struct limits *l, us_t now, bool for_opening)
{
	const struct counter *c = limits_full(l->rate, l->nrate, now);

	if (!c && for_opening)
		c = limits_full(l->connect, l->nconnect, now);
	if (!c && for_opening)
		c = limits_full(l->conn, l->nconn, now);
	return c;
}

static bool has_session(struct sched *s, const struct path *p, const struct queue *q)
{
	struct bundle *b = NULL;

	if (q && q->hosts && q->hosts->mx)
		b = bundle_find(s, p->lane, q->hosts->mx->key, p->set->session_key);
	return b && session_idle(b);
}

static void judge_shut(struct sched *s, const struct path *p, struct verdict *v)
{
	v->when = US_NEVER;
	if (p->stop) {
		why_paused_by(s, p->stop, &v->why);
		v->when = v->why.until ? v->why.until : US_NEVER;
	} else if (p->shut == WHY_NO_SOURCE) {
		say(&v->why, WHY_NO_SOURCE,
		    rstr_newf("%s has no address here", p->source->name->text));
	} else {
		say_plain(&v->why, WHY_MEMORY);
	}
}

/* The rate for which the probing session waits; NULL: it doesn't. */
static const struct counter *probe_waits(struct sched *s, const struct lane *a)
{
	const struct session *e = idmap_get(&s->by_session, a->probe);
	const struct flight *f = e && e->ask_n ? e->flights[0] : NULL;

	for (uint8_t i = 0; f && i < f->ncharged; i++)
		if (bucket_tokens(&f->charged[i]->bucket, s->now) < 1)
			return f->charged[i];
	return NULL;
}

static void judge_path(struct sched *s, struct path *p, struct queue *q, struct verdict *v)
{
	const struct counter *c;
	const struct lane *a = p->lane;
	const struct key_rest *held;
	bool opening;

	v->when = s->now;
	if (p->shut) {
		judge_shut(s, p, v);
		return;
	}
	if (a->rest_kind != REST_NONE && (s->now < a->resting_until || a->probe)) {
		c = s->now < a->resting_until ? NULL : probe_waits(s, a);
		if (c)
			say_limit(s, a, c, &v->why);
		else
			say_rest(a, &v->why);
		v->when = c ? bucket_when(&c->bucket, s->now, 1) : a->resting_until;
		return;
	}
	held = q ? keyrest_holds(s, a, q, p->set) : NULL;
	if (held) {
		say_key_rest(held, p->set, &v->why);
		v->when = held->until;
		return;
	}
	opening = !has_session(s, p, q);
	c = full_of(&p->limits, s->now, opening);
	if (!c && p->wait.at && p->wait.at->type == GATE_COUNTER)
		c = HEAP_OF(p->wait.at, const struct counter, gate);
	if (c) {
		say_limit(s, a, c, &v->why);
		v->when =
		    c->kind == LIMIT_CONNECTIONS ? s->now : bucket_when(&c->bucket, s->now, 1);
		return;
	}
	if (opening && !slots_free(s)) {
		say_counter(s->total, s->now, &v->why);
		return;
	}
	if (opening && p->connecting) {
		say(&v->why, WHY_CONNECT, &connecting_word);
		return;
	}
	say_plain(&v->why, WHY_READY);
	v->when = -1;
}

static void keep_better(struct verdict *best, struct verdict *v)
{
	if (!best->why.text || v->when < best->when) {
		why_clear(&best->why);
		*best = *v;
	} else {
		why_clear(&v->why);
	}
}

/* Ready mail that prefers a virtual MTA waits for that one, if it can send soon; other mail takes
 * any. */
static void judge_sub(struct sched *s, struct flow *f, struct queue *q, const struct sub *u,
		      struct verdict *best)
{
	for (uint8_t i = 0; u && u->prefer && i < f->npaths; i++) {
		struct path *p = &f->paths[i];
		struct verdict v = { .when = US_NEVER };

		if (p->source != s->sources[u->prefer - 1] || !path_soon(s, p, u->since_s))
			continue;
		judge_path(s, p, q, &v);
		keep_better(best, &v);
		return;
	}
	for (uint8_t i = 0; i < f->npaths; i++) {
		struct verdict v = { .when = US_NEVER };

		judge_path(s, &f->paths[i], q, &v);
		keep_better(best, &v);
	}
}

/* False: every job is stopped. */
static bool judge_bands(struct sched *s, struct flow *f, struct queue *q, struct verdict *best)
{
	int look = BANDS_LOOK;

	for (struct band *level = q->bands; level; level = level->lower) {
		struct band *b = level;

		do {
			for (const struct sub *u = &b->sub; u && look; u = u->next)
				if (u->n && !job_stopped(s, b->job)) {
					judge_sub(s, f, q, u, best);
					look--;
				}
			b = b->next;
		} while (b != level && look);
	}
	return look < BANDS_LOOK;
}

static void judge_flow(struct sched *s, struct flow *f, struct queue *q, struct why *out)
{
	struct verdict best = { .when = US_NEVER };

	if (f->wait.at) {
		say_counter(s->total, s->now, out);
		return;
	}
	if (q && q->bands && f->npaths && !judge_bands(s, f, q, &best)) {
		why_paused_by(s, q->bands->job->paused, out);
		return;
	}
	if (!best.why.text)
		judge_sub(s, f, q, NULL, &best);
	if (best.why.text)
		*out = best.why;
	else if (f->paths || !f->route->nmembers)
		say(out, WHY_NO_SOURCE, rstr_newf("no virtual MTA in %s", f->route->name->text));
	else
		say_plain(out, WHY_READY);
}

/* ---- queues ---- */

static bool say_hold(struct sched *s, struct why *w)
{
	if (s->hold & HOLD_DISK)
		say(w, WHY_DISK, rstr_newf("outcomes can't be recorded"));
	else if (s->hold & HOLD_MEMORY)
		say_plain(w, WHY_MEMORY);
	else if (s->hold & HOLD_SHUTDOWN)
		say(w, WHY_DRAINING, rstr_newf("stopping"));
	else
		return false;
	return true;
}

static void say_dns(const struct hosts *h, struct why *w)
{
	if (!h || h->state != HOSTS_FAILED) {
		say(w, WHY_DNS, &mx_words);
		return;
	}
	say(w, WHY_DNS, h->text ? rstr_ref(h->text) : rstr_newf("DNS fails"));
	w->until = h->expires;
}

/* The settings by which it is held there. */
static const struct settings *held_by(struct sched *s, const struct queue *q,
				      const struct key_rest *r)
{
	for (uint8_t i = 0; q->flow && i < q->flow->npaths; i++) {
		const struct path *p = &q->flow->paths[i];

		if (p->lane && keyrest_holds(s, p->lane, q, p->set) == r)
			return p->set;
	}
	return NULL;
}

/* The limit of the queue's own that it waits for. */
static void say_own(struct sched *s, const struct queue *q, const struct gate *at, struct why *w)
{
	const struct counter *c;
	const struct lane *a = NULL;

	if (at->type == GATE_KEY_REST) {
		const struct key_rest *r = HEAP_OF(at, const struct key_rest, gate);

		say_key_rest(r, held_by(s, q, r), w);
		return;
	}
	c = HEAP_OF(at, const struct counter, gate);
	for (uint8_t i = 0; q->flow && i < q->flow->npaths; i++)
		if (q->flow->paths[i].source->row.id == c->b)
			a = q->flow->paths[i].lane;
	say_limit(s, a, c, w);
}

static void say_stop(struct sched *s, struct queue *q, struct why *w)
{
	switch ((enum queue_stop)q->stop) {
	case STOP_PAUSED:
		why_paused_by(s, q->paused, w);
		return;
	case STOP_NO_ROUTE:
		say(w, WHY_NO_SOURCE, rstr_newf("route %s is gone", q->route->name->text));
		return;
	case STOP_DNS:
		say_dns(q->hosts, w);
		return;
	case STOP_NEGATIVE:
		say(w, WHY_DNS, rstr_newf("bouncing: the DNS says no"));
		return;
	case STOP_LIMIT:
		if (queue_waits_at(q))
			say_own(s, q, queue_waits_at(q), w);
		else
			say_plain(w, WHY_READY);
		return;
	case STOP_JOBS:
		why_paused_by(s, q->bands ? q->bands->job->paused : NULL, w);
		return;
	case STOP_NONE:
	case STOP_EMPTY:
		break;
	}
	if (q->flow)
		judge_flow(s, q->flow, q, w);
	else
		say_plain(w, WHY_READY);
}

static void say_waits(const struct queue *q, const struct rcpt *r, struct why *w)
{
	struct str reply = name_str(r->reply);

	/* The client's own words: a receiver's begin with a code. */
	if (!q->unsigned_by || !str_istarts(reply, HANDOUT_UNSIGNED)) {
		say(w, WHY_RETRY_WAIT, &retry_words);
	} else {
		say(w, WHY_DKIM, rstr_newf("%.*s", (int)reply.n, reply.p));
		w->origin = rstr_ref(q->unsigned_by);
	}
	w->until = r->tree.due;
}

static void say_not_due(struct sched *s, const struct queue *q, struct why *w)
{
	const struct rcpt *r = due_first(q->waiting);

	if (q->in_flight) {
		say_plain(w, WHY_IN_FLIGHT);
	} else if (q->released) {
		say_plain(w, WHY_READY);
	} else if (r) {
		say_waits(q, r, w);
	} else {
		why_paused_by(s, NULL, w); /* its messages are */
	}
}

void why_queue(struct sched *s, struct queue *q, struct why *w)
{
	*w = (struct why){ .counts = SCOPE_COUNT };
	if (!q->queued) {
		if (s->loading)
			say_plain(w, WHY_LOADING);
		else
			say_plain(w, WHY_IDLE);
	} else if (q->paused) {
		why_paused_by(s, q->paused, w);
	} else if (!q->ready) {
		say_not_due(s, q, w);
	} else if (!say_hold(s, w)) {
		say_stop(s, q, w);
	}
}

void why_rcpt(struct sched *s, struct rcpt *r, struct why *w)
{
	const struct msg *m = rcpt_msg(r);

	*w = (struct why){ .counts = SCOPE_COUNT };
	if (r->phase == PHASE_OUT) {
		say_plain(w, WHY_IN_FLIGHT);
	} else if (r->phase == PHASE_HELD) {
		why_paused_by(s, NULL, w);
	} else if (r->queue->paused) {
		why_paused_by(s, r->queue->paused, w);
	} else if (r->phase == PHASE_WAITING) {
		say_waits(r->queue, r, w);
	} else if (job_stopped(s, m->job)) {
		why_paused_by(s, m->job->paused, w);
	} else {
		why_queue(s, r->queue, w);
	}
}

/* ---- sites, lanes, sources ---- */

/* Which of two answers stands for the whole: what moves, before what will, before what can't. */
static int rank(const struct why *w)
{
	static const uint8_t order[WHY_CODES] = {
		[WHY_READY] = 0,     [WHY_RATE] = 1,	   [WHY_CONNECTIONS] = 1, [WHY_TOTAL] = 1,
		[WHY_WARM_UP] = 1,   [WHY_MEMORY] = 2,	   [WHY_BACKOFF] = 2,	  [WHY_RESTING] = 3,
		[WHY_CONNECT] = 3,   [WHY_DNS] = 4,	   [WHY_TLS] = 3,	  [WHY_DKIM] = 3,
		[WHY_DISK] = 2,	     [WHY_DRAINING] = 2,   [WHY_NO_SOURCE] = 5,	  [WHY_PAUSED] = 5,
		[WHY_IN_FLIGHT] = 6, [WHY_RETRY_WAIT] = 7, [WHY_LOADING] = 8,	  [WHY_IDLE] = 9,
	};

	return order[w->code];
}

void why_site(struct sched *s, struct site *t, struct why *w)
{
	int look = SITE_LOOK;

	*w = (struct why){ .counts = SCOPE_COUNT };
	say_plain(w, s->loading && !t->queued ? WHY_LOADING : WHY_IDLE);
	for (struct link *l = t->flows.next; l != &t->flows && look--; l = l->next) {
		struct flow *f = LIST_OF(l, struct flow, on_site);
		struct why one;

		if (!f->ring)
			continue;
		why_queue(s, f->ring, &one);
		if (rank(&one) < rank(w)) {
			why_clear(w);
			*w = one;
		} else {
			why_clear(&one);
		}
	}
	if (w->code != WHY_IDLE || !t->queued)
		return;
	for (struct link *l = t->queues.next; l != &t->queues && look-- > 0; l = l->next) {
		struct why one;

		why_queue(s, LIST_OF(l, struct queue, on_site), &one);
		if (rank(&one) < rank(w)) {
			why_clear(w);
			*w = one;
		} else {
			why_clear(&one);
		}
	}
}

void why_lane(struct sched *s, struct lane *a, struct why *w)
{
	const struct key_rest *held;
	struct verdict v = { .when = US_NEVER };

	*w = (struct why){ .counts = SCOPE_COUNT };
	if (list_empty(&a->paths)) {
		if (a->rest_kind != REST_NONE)
			say_rest(a, w);
		else
			say_plain(w, a->in_flight ? WHY_IN_FLIGHT : WHY_IDLE);
		return;
	}
	for (struct link *l = a->paths.next; l != &a->paths; l = l->next) {
		struct path *p = LIST_OF(l, struct path, on_lane);
		struct verdict one = { .when = US_NEVER };

		if (!p->flow->nring && !p->shut && a->rest_kind == REST_NONE)
			continue;
		judge_path(s, p, p->flow->ring, &one);
		if (v.when == US_NEVER || one.when < v.when) {
			why_clear(&v.why);
			v = one;
		} else {
			why_clear(&one.why);
		}
	}
	*w = v.why;
	if (!w->text && !a->in_flight && (held = keyrest_waiting(a)))
		say_key_rest(held, NULL, w);
	if (!w->text)
		say_plain(w, a->in_flight ? WHY_IN_FLIGHT : WHY_IDLE);
}

void why_source(struct sched *s, struct source *src, struct why *w)
{
	*w = (struct why){ .counts = SCOPE_COUNT };
	if (src->vmta == CONF_NONE)
		say(w, WHY_NO_SOURCE, rstr_newf("not in the configuration any more"));
	else if (!source_usable(src))
		say(w, WHY_NO_SOURCE, rstr_newf("its address is not on this machine"));
	else if (override_disables(s, src))
		why_paused_by(s, override_disabling(s, src), w);
	else if (counter_room(src->conn, s->now) < 1)
		say_counter(src->conn, s->now, w);
	else
		say_plain(w, src->conn->used ? WHY_READY : WHY_IDLE);
}
