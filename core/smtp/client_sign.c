/* DKIM, before MAIL: a transaction whose settings say so waits until its message is signed. One
 * step a session and loop pass, and together no more than a part of a pass; a message that several
 * transactions of this thread carry is signed once, the others wait behind the first. */
#include "core/smtp/client_session.h"

#include <stdlib.h>

#include "core/base/log.h"

#define PASS_US (2 * US_PER_MS) /* of signing in one loop pass, besides one step */

enum job_state {
	JOB_RUNS,    /* in client.jobs */
	JOB_STEPS,   /* taken from there for its step */
	JOB_READS,   /* a piece of its file is on the way */
	JOB_FOLLOWS, /* another job signs its message: in that one's followers */
};

struct sign_job {
	struct session *s;
	struct slot *k;
	enum job_state state;
	struct signing *signing; /* NULL: not begun */
	uint64_t fed;
	struct buf chunk; /* of a file body, from chunk_at on not yet fed */
	size_t chunk_at;
	struct sign_job *leader, *followers;
	struct sign_job *next;
};

static void append(struct client *c, struct sign_job *j)
{
	struct sign_job **end = &c->jobs;

	j->state = JOB_RUNS;
	j->next = NULL;
	if (c->last_job)
		end = &c->last_job->next;
	*end = j;
	c->last_job = j;
}

static void unlink_from(struct sign_job **list, struct sign_job *j)
{
	while (*list && *list != j)
		list = &(*list)->next;
	if (*list)
		*list = j->next;
	j->next = NULL;
}

static struct sign_job *take_first(struct client *c)
{
	struct sign_job *j = c->jobs;

	c->jobs = j->next;
	if (!c->jobs)
		c->last_job = NULL;
	j->next = NULL;
	j->state = JOB_STEPS;
	return j;
}

static void unlink_running(struct client *c, struct sign_job *j)
{
	unlink_from(&c->jobs, j);
	c->last_job = c->jobs;
	while (c->last_job && c->last_job->next)
		c->last_job = c->last_job->next;
}

/* Those that waited for this one look for themselves: what was signed is remembered by now. */
static void let_followers_go(struct client *c, struct sign_job *j)
{
	while (j->followers) {
		struct sign_job *f = j->followers;

		j->followers = f->next;
		f->leader = NULL;
		append(c, f);
	}
}

static void job_free(struct sign_job *j)
{
	struct client *c = j->s->c;

	if (j->state == JOB_RUNS)
		unlink_running(c, j);
	if (j->leader)
		unlink_from(&j->leader->followers, j);
	if (idmap_get(&c->signing, j->k->t->message) == j)
		idmap_del(&c->signing, j->k->t->message);
	let_followers_go(c, j);
	signing_drop(j->signing);
	buf_free(&j->chunk);
	j->k->job = NULL;
	free(j);
}

void client_sign_clear(struct slot *k)
{
	if (k->job)
		job_free(k->job);
	signature_unref(k->signature);
	k->signature = NULL;
}

/* ---- what came of it ---- */

/* No receiver's fault: it counts like a reply about one recipient. */
static void cannot(struct slot *k, const struct signature *g)
{
	struct reply_verdict v = client_verdict_own(CLASS_MAILBOX, "4.7.0", "dkim");
	struct rstr *words = rstr_newf(HANDOUT_UNSIGNED "%s: %s", rstr_str(g->domain).p,
				       g->reason ? g->reason->text : "no memory");

	k->t->unsigned_by = rstr_ref(g->origin);
	client_txn_settle(k, 0, k->t->nrcpts, STEP_DATA, &v, words);
	rstr_unref(words);
	k->phase = PHASE_OVER;
}

/* Takes over the reference. */
static void result(struct session *s, struct slot *k, struct signature *g)
{
	static struct signature no_memory = { .refs = 1, .kind = SIGNATURE_FAILED, .must = true };

	if (!g) {
		cannot(k, &no_memory);
		return;
	}
	k->signature = g;
	if (g->kind != SIGNATURE_NONE)
		s->c->env.signature(s->c->env.arg, g);
	if (g->kind == SIGNATURE_FAILED && g->must)
		cannot(k, g);
}

/* ---- steps ---- */

/* What can be fed now, at most a step of it; n 0: nothing is at hand. */
static struct str next_part(const struct sign_job *j)
{
	const struct body *b = j->k->t->body;
	struct str all = { NULL, 0 };
	uint64_t at = j->fed;

	if (!body_in_memory(b)) {
		all = buf_str(&j->chunk);
		at = j->chunk_at;
	} else if (at < b->head.n) {
		all = b->head;
	} else {
		all = b->data;
		at -= b->head.n;
	}
	all.p = all.n ? all.p + at : all.p;
	all.n -= (size_t)at;
	if (all.n > SIGN_STEP)
		all.n = SIGN_STEP;
	return all;
}

static void read_on(struct session *s, struct sign_job *j)
{
	struct body *b = j->k->t->body;
	uint64_t left = b->size - j->fed;

	j->state = JOB_READS;
	j->k->reading = true;
	s->c->env.read_chunk(s->c->env.arg, s->id, j->k->t->id, body_ref(b), j->fed,
			     left < BODY_CHUNK ? (size_t)left : BODY_CHUNK);
}

void client_sign_chunk(struct session *s, struct slot *k, struct buf *chunk)
{
	struct sign_job *j = k->job;
	uint64_t left = k->t->body ? ((struct body *)k->t->body)->size - j->fed : 0;

	if (chunk->n != (left < BODY_CHUNK ? left : BODY_CHUNK)) {
		buf_free(chunk);
		client_body_failed(s, k, "its file is shorter than it was");
		return;
	}
	buf_free(&j->chunk);
	j->chunk = *chunk;
	j->chunk_at = 0;
	buf_init(chunk);
	append(s->c, j);
}

bool client_sign_reads(const struct slot *k)
{
	return k->job && k->job->state == JOB_READS;
}

/* True: it has begun, or has its result already, or waits behind another. */
static bool begin(struct client *c, struct sign_job *j, struct signature **done)
{
	uint64_t message = j->k->t->message;
	struct sign_job *leader = idmap_get(&c->signing, message);

	*done = sign_recall(c->sign, c->conf, message, loop_now(c->loop));
	if (*done)
		return true;
	if (leader) {
		j->state = JOB_FOLLOWS;
		j->leader = leader;
		j->next = leader->followers;
		leader->followers = j;
		return true;
	}
	j->signing = signing_begin(c->sign, c->conf);
	if (j->signing && idmap_put(&c->signing, message, j))
		return true;
	return false;
}

static void end(struct session *s, struct sign_job *j, struct signature *g)
{
	struct slot *k = j->k;

	job_free(j);
	result(s, k, g);
	client_work(s);
}

/* The job was taken off the list, and is put back there if more of it is to be done. */
static void step(struct client *c, struct sign_job *j)
{
	struct session *s = j->s;
	struct body *b = j->k->t->body;
	struct signature *g = NULL;
	struct str part;
	bool more;

	if (!j->signing && (!begin(c, j, &g) || g)) {
		end(s, j, g);
		return;
	}
	if (j->state == JOB_FOLLOWS)
		return;
	part = next_part(j);
	if (!part.n && j->fed < b->size) {
		read_on(s, j);
		return;
	}
	more = signing_feed(j->signing, part);
	j->fed += part.n;
	j->chunk_at += part.n;
	if (more && j->fed < b->size) {
		append(c, j);
		return;
	}
	g = signing_end(j->signing, loop_now(c->loop));
	j->signing = NULL;
	if (g)
		sign_remember(c->sign, j->k->t->message, g);
	end(s, j, g);
}

bool client_sign_pass(void *arg)
{
	struct client *c = arg;
	struct sign_job *last = c->last_job;
	us_t until;

	if (!c->jobs)
		return false;
	until = loop_now_exact(c->loop) + PASS_US;
	client_enter_call(c);
	while (c->jobs) {
		struct sign_job *j = take_first(c);
		bool was_last = j == last;

		step(c, j);
		if (was_last || loop_now_exact(c->loop) >= until)
			break;
	}
	client_leave_call(c);
	return c->jobs != NULL;
}

/* ---- for the others ---- */

bool client_sign_ready(struct session *s, struct slot *k)
{
	struct client *c = s->c;
	struct sign_job *j;

	if (!k->t->dkim_sign || k->signature || !c->conf || !c->conf->ndkim)
		return true;
	if (k->job || (!body_in_memory(k->t->body) && k != &s->slot[s->cur]))
		return false;
	j = calloc(1, sizeof *j);
	if (!j) {
		result(s, k, NULL);
		return false;
	}
	*j = (struct sign_job){ .s = s, .k = k };
	buf_init(&j->chunk);
	k->job = j;
	append(c, j);
	return false;
}

struct str client_sign_header(const struct slot *k)
{
	return k->signature ? rstr_str(k->signature->header) : (struct str){ "", 0 };
}
