/* Holds a recovered spool against what the world (world.h) was promised, for a crash after `at`
 * operations. */
#ifndef STOKER_TEST_SPOOL_ORACLE_H
#define STOKER_TEST_SPOOL_ORACLE_H

#include "tests/unit/spool/world.h"

struct seen {
	const struct world *w;
	size_t at;
	struct message **loaded; /* in the order of msgs; NULL: finished or never there */
	uint64_t queued, accepted, counted[EVENT_TYPES], told[EVENT_TYPES];
	uint64_t first_event, last_event;
	size_t put;
};

static size_t w_index(const struct world *w, uint64_t id)
{
	for (size_t i = 0; i < w->nmsgs; i++)
		if (w->msgs[i].id == id)
			return i;
	fail_msg("message %llu is none of ours", (unsigned long long)id);
	return 0;
}

static void take_loaded(void *arg, struct message *m)
{
	struct seen *x = arg;
	size_t i = w_index(x->w, m->id);

	if (x->loaded[i])
		fail_msg("message %llu is loaded twice", (unsigned long long)m->id);
	x->loaded[i] = m;
}

static void check_body(struct kit *k, const struct w_msg *o, const struct message *m)
{
	struct body *file = spool_body(k->s, m->id, &m->where), *b;
	char bytes[16384];

	assert_non_null(file);
	assert_int_equal(file->size, o->size);
	if (m->where.large) {
		assert_int_equal(spool_body_read(file, 0, bytes, sizeof bytes), o->size);
		assert_int_equal(crc32c(0, bytes, (size_t)o->size), o->crc);
	} else {
		if (spool_body_load(file, &b, &k->e))
			fail_msg("body of %llu: %s", (unsigned long long)m->id, k->e.text);
		assert_int_equal(body_crc(b), o->crc);
		body_unref(b);
	}
	body_unref(file);
}

/* Which of its states is this recipient in? It must be one that it may be in; adds what it was
 * counted as on the way. */
static void check_rcpt(struct seen *x, const struct w_msg *o, uint32_t i, const struct message *m)
{
	const struct w_rcpt *r = &o->r[i];
	const struct message_rcpt *is = m ? &m->rcpts[i] : NULL;
	unsigned found = STATES_MAX;

	for (unsigned j = 0; j < r->n; j++) {
		const struct w_state *s = &r->v[j];
		bool here = is ? s->state == (enum rcpt_state)is->state &&
				     (s->state == RCPT_DONE ||
				      (s->attempts == is->attempts && s->due == is->due))
			       : s->state == RCPT_DONE;

		if (j && s->may > x->at)
			break;
		if (j && s->must <= x->at)
			found = STATES_MAX; /* not an earlier one */
		if (here)
			found = j;
	}
	for (unsigned j = 0; found == STATES_MAX && j < r->n; j++)
		print_message("state %d after %u attempts, from operation %zu, surely from %zu\n",
			      r->v[j].state, r->v[j].attempts, r->v[j].may, r->v[j].must);
	if (found == STATES_MAX)
		fail_msg(
		    "after %zu operations: message %llu recipient %u is %s %d, and must not be",
		    x->at, (unsigned long long)o->id, i, is ? "in state" : "finished",
		    is ? is->state : 0);
	for (unsigned j = 1; j <= found; j++)
		if (r->v[j].as != EVENT_RECEIVED) /* a report: told by its own message */
			x->counted[r->v[j].as]++;
	x->queued += r->v[found].state == RCPT_QUEUED;
}

static void check_messages(struct kit *k, struct seen *x)
{
	const struct world *w = x->w;

	for (size_t i = 0; i < w->nmsgs; i++) {
		const struct w_msg *o = &w->msgs[i];
		struct message *m = x->loaded[i];

		if (o->may > x->at || (!m && o->must > x->at)) {
			if (m)
				fail_msg("message %llu is there before it was written",
					 (unsigned long long)o->id);
			continue;
		}
		x->accepted += o->nrcpts;
		x->counted[EVENT_RECEIVED]++;
		for (uint32_t r = 0; r < o->nrcpts; r++)
			check_rcpt(x, o, r, m);
		if (m) {
			assert_int_equal(m->nrcpts, o->nrcpts);
			assert_int_equal(m->dsn, o->dsn);
			check_body(k, o, m);
		}
	}
}

static void check_event(void *arg, const struct event *e)
{
	struct seen *x = arg;
	const struct world *w = x->w;

	if (!x->first_event)
		x->first_event = e->id;
	x->last_event = e->id;
	x->told[e->type]++;
	if (e->id < EVENTS_MAX && w->events[e->id].seen && w->events[e->id].seen <= x->at &&
	    w->events[e->id].hash != event_hash(e))
		fail_msg("event %llu is another one than a reader was shown",
			 (unsigned long long)e->id);
}

static void check_events(struct kit *k, struct seen *x)
{
	struct event_reader *r = event_reader_open(k->s, "checker");
	struct spool_stats st;

	assert_non_null(r);
	while (event_reader_next(r, 1000, check_event, x))
		;
	event_reader_close(r);
	spool_stats(k->s, k->now, &st);
	for (uint64_t id = x->w->last_seen; id; id--) {
		if (x->w->events[id].seen > x->at)
			continue;
		if (id > (x->w->trims ? st.last_event : x->last_event))
			fail_msg("event %llu was shown to a reader, and is gone",
				 (unsigned long long)id);
		break;
	}
	if (x->first_event != 1) /* some were trimmed */
		return;
	for (int t = EVENT_RECEIVED; t < EVENT_TYPES; t++)
		assert_int_equal(x->told[t], x->counted[t]);
}

static void check_totals(struct kit *k, struct seen *x)
{
	struct spool_totals t;

	spool_totals(k->s, &t);
	assert_int_equal(t.accepted, x->accepted);
	assert_int_equal(t.delivered, x->counted[EVENT_DELIVERED]);
	assert_int_equal(t.deferred, x->counted[EVENT_DEFERRED]);
	assert_int_equal(t.bounced, x->counted[EVENT_BOUNCED]);
	assert_int_equal(t.expired, x->counted[EVENT_EXPIRED]);
	assert_int_equal(t.removed, x->counted[EVENT_REMOVED]);
	assert_int_equal(t.accepted, t.delivered + t.bounced + t.expired + t.removed + x->queued);
}

static void read_put(void *arg, struct str key, struct str value)
{
	char text[32];

	(void)key;
	snprintf(text, sizeof text, "%.*s", (int)value.n, value.p);
	*(size_t *)arg = strtoul(text, NULL, 10);
}

static void check_puts(struct kit *k, struct seen *x)
{
	const struct world *w = x->w;

	spool_state_each(k->s, "test", read_put, &x->put);
	assert_true(x->put <= w->nputs && (!x->put || w->puts[x->put].may <= x->at));
	if (x->put < w->nputs)
		assert_true(w->puts[x->put + 1].must > x->at);
}

static void check_ids(struct kit *k, const struct seen *x)
{
	uint64_t id = spool_new_id(k->s);

	for (size_t i = 0; i < x->w->nids && x->w->ids[i].at <= x->at; i++)
		assert_true(x->w->ids[i].id < id);
}

static uint32_t seen_sum(const struct seen *x)
{
	uint32_t crc = 0;

	for (size_t i = 0; i < x->w->nmsgs; i++) {
		const struct message *m = x->loaded[i];

		crc = crc32c(crc, &i, m ? sizeof i : 1);
		for (uint32_t r = 0; m && r < m->nrcpts; r++)
			crc = crc32c(crc, &m->rcpts[r].state, 1);
	}
	crc = crc32c(crc, x->counted, sizeof x->counted);
	return crc32c(crc, &x->put, sizeof x->put);
}

/* Loads and checks all; returns a sum of what is there. The spool is open. */
static uint32_t world_check(const struct world *w, struct kit *k, size_t at)
{
	struct seen x = { .w = w, .at = at, .loaded = calloc(MSGS_MAX, sizeof(struct message *)) };
	uint32_t sum;

	assert_non_null(x.loaded);
	while (spool_load(k->s, 7, take_loaded, &x))
		;
	check_messages(k, &x);
	check_totals(k, &x);
	check_events(k, &x);
	check_puts(k, &x);
	check_ids(k, &x);
	sum = seen_sum(&x);
	for (size_t i = 0; i < w->nmsgs; i++)
		message_free(x.loaded[i]);
	free(x.loaded);
	return sum;
}

#endif
