/* The rest of a session key: a connection came about, but not the TLS or the login that this mail
 * needs. Only such mail waits, by the same law as a lane's rest (rest.c); other mail of the lane
 * goes on. A key here is an MX set with what the settings want of TLS and login, the same in every
 * run of the process, so that the rest outlives a restart. */
#include "core/sched/inner.h"

#include <stdlib.h>

enum { WAKE_MOST = 1000, LOOK = 64 };
/* A step is remembered for so long after the last failure. */
#define KEPT_US US_PER_DAY

/* ---- keys ---- */

#define FNV_BASIS 1469598103934665603u
#define FNV_PRIME 1099511628211u

static uint64_t fnv(uint64_t h, const void *p, size_t n)
{
	for (const unsigned char *c = p; n--; c++)
		h = (h ^ *c) * FNV_PRIME;
	return h;
}

static uint64_t fnv_text(uint64_t h, const char *z)
{
	return z ? fnv(h, z, strlen(z) + 1) : fnv(h, "\xFF", 1);
}

uint64_t keyrest_key(const struct mxset *mx, const struct settings *set)
{
	struct reader r = mxset_reader(mx);
	const uint8_t want[] = { (uint8_t)set->smtp_starttls, set->use_plaintext,
				 (uint8_t)set->tls_min_version };
	struct mxhost h;
	uint64_t key = fnv(FNV_BASIS, want, sizeof want);

	key = fnv_text(key, set->auth_user);
	while (mxset_next(&r, &h)) {
		mxset_skip_addresses(&r, &h);
		key = fnv(key, h.name.p, h.name.n);
		key = fnv(key, &h.preference, sizeof h.preference);
		key = fnv(key, &h.port, sizeof h.port);
	}
	return key;
}

static uint64_t table_key(struct str lane, uint64_t key)
{
	return table_mix(hash_bytes(lane.p, lane.n) ^ key);
}

uint64_t keyrest_hash(const struct table_link *l)
{
	const struct key_rest *r = (const struct key_rest *)(const void *)l;

	return table_key(rstr_str(r->lane), r->key);
}

static struct key_rest *find(const struct sched *s, const struct lane *a, uint64_t key)
{
	struct table_link *l;

	if (!s->keyrests.used)
		return NULL;
	l = table_bucket(&s->keyrests, table_key(rstr_str(a->name), key));
	for (; l; l = l->next) {
		struct key_rest *r = TABLE_OF(l, struct key_rest);

		if (r->key == key && str_eq(rstr_str(r->lane), rstr_str(a->name)))
			return r;
	}
	return NULL;
}

static struct key_rest *make(struct sched *s, struct rstr *lane, uint64_t key)
{
	struct key_rest *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->lane = rstr_ref(lane);
	r->key = key;
	gate_init(&r->gate, GATE_KEY_REST);
	if (table_add(&s->keyrests, &r->link)) {
		s->other_bytes += sizeof *r;
		return r;
	}
	rstr_unref(r->lane);
	free(r);
	return NULL;
}

static void drop(struct sched *s, struct key_rest *r)
{
	table_del(&s->keyrests, &r->link);
	r->kind = REST_NONE;
	gate_free(s, &r->gate);
	rstr_unref(r->lane);
	rstr_unref(r->reason);
	free(r);
	s->other_bytes -= sizeof *r;
}

void keyrests_free(struct sched *s)
{
	for (size_t i = 0; i < s->keyrests.buckets; i++)
		while (table_at(&s->keyrests, i))
			drop(s, TABLE_OF(table_at(&s->keyrests, i), struct key_rest));
}

/* ---- who is held ---- */

static bool allows(const struct key_rest *r, us_t now)
{
	return r->kind == REST_NONE || (now >= r->until && !r->probe);
}

struct key_rest *keyrest_holds(const struct sched *s, const struct lane *a, const struct queue *q,
			       const struct settings *set)
{
	struct key_rest *r;

	if (!s->keyrests.used || !q->hosts || !q->hosts->mx || !set)
		return NULL;
	r = find(s, a, keyrest_key(q->hosts->mx, set));
	return r && !allows(r, s->now) ? r : NULL;
}

/* After the rest one session tries; once it is up, all who wait may go, in portions. */
int64_t keyrest_room(const struct key_rest *r, us_t now)
{
	if (r->kind == REST_NONE)
		return WAKE_MOST;
	return allows(r, now) ? 1 : 0;
}

struct key_rest *keyrest_of(const struct sched *s, const struct session *e)
{
	return find(s, e->lane, e->rest_key);
}

/* Some mail waits for it in this lane: which. NULL: none does. */
struct key_rest *keyrest_waiting(const struct lane *a)
{
	const struct link *head = &a->site->queues;
	int look = LOOK;

	for (const struct link *l = head->next; l != head && look--; l = l->next) {
		struct gate *g = queue_waits_at(LIST_OF(l, const struct queue, on_site));
		struct key_rest *r;

		if (!g || g->type != GATE_KEY_REST)
			continue;
		r = HEAP_OF(g, struct key_rest, gate);
		if (str_eq(rstr_str(r->lane), rstr_str(a->name)))
			return r;
	}
	return NULL;
}

/* ---- what happens ---- */

/* True: it rests from now on (or did already). */
bool keyrest_failed(struct sched *s, const struct session *e, enum rest_kind kind,
		    struct rstr *reason)
{
	struct lane *a = e->lane;
	struct key_rest *r = find(s, a, e->rest_key);

	if (!r)
		r = make(s, a->name, e->rest_key);
	if (!r)
		return false;
	if (r->kind != REST_NONE && s->now < r->until)
		return true;
	r->step++;
	r->kind = (uint8_t)kind;
	r->since = s->now;
	r->until = s->now + rest_span(s, a, r->step);
	r->told = false;
	r->probe = 0;
	rstr_unref(r->reason);
	r->reason = rstr_ref(reason);
	gate_timer(s, &r->gate, r->until);
	state_keyrest_save(s, r);
	row_dirty(s, &a->row);
	row_dirty(s, &a->site->row);
	return true;
}

void keyrest_opened(struct sched *s, const struct session *e)
{
	struct key_rest *r = find(s, e->lane, e->rest_key);

	if (r && r->kind != REST_NONE)
		r->probe = e->id;
}

void keyrest_came_up(struct sched *s, const struct session *e)
{
	struct key_rest *r = find(s, e->lane, e->rest_key);

	if (!r || r->kind == REST_NONE)
		return;
	r->kind = REST_NONE;
	r->probe = 0;
	gate_open(s, &r->gate);
	state_keyrest_save(s, r);
	row_dirty(s, &e->lane->row);
}

void keyrest_delivered(struct sched *s, const struct session *e)
{
	struct key_rest *r = find(s, e->lane, e->rest_key);

	if (!r)
		return;
	r->step = 0;
	state_keyrest_save(s, r);
	drop(s, r);
}

/* A probe that decided nothing: the next one may try. */
void keyrest_gone(struct sched *s, const struct session *e)
{
	struct key_rest *r = find(s, e->lane, e->rest_key);

	if (!r || r->probe != e->id)
		return;
	r->probe = 0;
	gate_open(s, &r->gate);
}

/* Its timer: the rest is over, or nobody has needed it for a day. False: it is no more. */
bool keyrest_over(struct sched *s, struct key_rest *r)
{
	if (s->now < r->until + KEPT_US) {
		gate_timer(s, &r->gate, s->now < r->until ? r->until : r->until + KEPT_US);
		return true;
	}
	if (!list_empty(&r->gate.waiters) || r->probe) {
		gate_timer(s, &r->gate, s->now + KEPT_US);
		return true;
	}
	r->step = 0;
	state_keyrest_save(s, r);
	drop(s, r);
	return false;
}

bool keyrest_restore(struct sched *s, struct str lane, uint64_t key, const struct key_rest *was)
{
	struct rstr *name = rstr_new(lane);
	struct key_rest *r = name ? make(s, name, key) : NULL;

	rstr_unref(name);
	if (!r)
		return false;
	r->kind = was->kind;
	r->step = was->step;
	r->since = was->since;
	r->until = was->until;
	r->reason = rstr_ref(was->reason);
	gate_timer(s, &r->gate, r->until);
	return true;
}
