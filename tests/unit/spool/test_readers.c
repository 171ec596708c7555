/* Readers see every event once, in order, under a number that means the same for ever; only what
 * all have goes. */
#include "tests/unit/spool/kit.h"

struct read {
	uint64_t ids[20000];
	enum event_type types[20000];
	size_t n;
	bool gaps; /* allowed */
};

static void take(void *arg, const struct event *e)
{
	struct read *r = arg;

	assert_true(r->n < sizeof r->ids / sizeof r->ids[0]);
	if (r->n && !r->gaps)
		assert_int_equal(e->id, r->ids[r->n - 1] + 1);
	r->types[r->n] = e->type;
	r->ids[r->n++] = e->id;
}

static void read_all(struct event_reader *e, struct read *r, int step)
{
	r->n = 0;
	while (event_reader_next(e, step, take, r))
		;
}

static void rejected(struct kit *k, int n, size_t reply_bytes)
{
	static char text[100000];
	struct event e = { .at = k->now, .type = EVENT_REJECTED, .reply = { text, reply_bytes } };

	memset(text, 'x', sizeof text);
	for (int i = 0; i < n; i++)
		assert_true(spool_event(k->s, &e));
}

static void each_event_is_read_once_in_order_whatever_the_step(void **state)
{
	static const int steps[] = { 1, 2, 3, 7, 100, 100000 };
	static struct read r;
	struct kit k;

	(void)state;
	kit_init(&k);
	k.o.events_max = 0;
	kit_open(&k);
	for (int i = 0; i < 60; i++) {
		kit_outcome(&k, kit_accept(&k, 1, 10), 0, RCPT_DONE, EVENT_DELIVERED);
		rejected(&k, i, (size_t)i * 37);
		kit_commit(&k, i % 3 == 0);
	}
	kit_commit(&k, true);
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		struct event_reader *e = event_reader_open(k.s, "r");

		read_all(e, &r, steps[i]);
		assert_int_equal(r.n, 60 * 2 + 59 * 60 / 2);
		assert_int_equal(r.ids[0], 1);
		assert_int_equal(event_reader_position(e), r.n);
		assert_int_equal(event_reader_missed(e), 0);
		event_reader_close(e);
	}
	kit_done(&k);
}

static void an_event_is_shown_once_a_crash_cannot_take_it_back(void **state)
{
	static struct read r;
	struct event_reader *e;
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	e = event_reader_open(k.s, "r");
	rejected(&k, 3, 10);
	read_all(e, &r, 10);
	assert_int_equal(r.n, 0); /* not committed */
	kit_commit(&k, false);
	read_all(e, &r, 10);
	assert_int_equal(r.n, 0); /* not durable */
	assert_true(spool_dirty(k.s));
	kit_commit(&k, false); /* nothing is new: a sync alone */
	assert_false(spool_dirty(k.s));
	read_all(e, &r, 10);
	assert_int_equal(r.n, 3);
	rejected(&k, 2, 10);
	kit_commit(&k, false);
	rejected(&k, 2, 10);
	kit_commit(&k, false);
	read_all(e, &r, 10);
	assert_int_equal(r.n, 2);
	event_reader_close(e);
	kit_done(&k);
}

static void a_reader_goes_on_behind_its_saved_position(void **state)
{
	static struct read r;
	struct event_reader *e;
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	rejected(&k, 100, 30);
	kit_commit(&k, true);
	spool_reader_position(k.s, "log", 42);
	kit_reopen(&k);
	e = event_reader_open(k.s, "log");
	assert_int_equal(event_reader_position(e), 42);
	read_all(e, &r, 9);
	assert_int_equal(r.ids[0], 43);
	assert_int_equal(r.n, 58);
	assert_int_equal(event_reader_missed(e), 0);
	event_reader_close(e);
	kit_done(&k);
}

static void a_reader_that_has_nothing_yet_is_known_all_the_same(void **state)
{
	struct event_reader *e;
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	spool_reader_position(k.s, "webhook", 0);
	rejected(&k, 10, 30);
	kit_commit(&k, true);
	kit_reopen(&k);
	e = event_reader_open(k.s, "webhook");
	assert_true(event_reader_known(e));
	assert_int_equal(event_reader_position(e), 0);
	event_reader_close(e);
	e = event_reader_open(k.s, "other");
	assert_false(event_reader_known(e));
	event_reader_close(e);
	kit_done(&k);
}

static void events_go_when_every_reader_has_them(void **state)
{
	static struct read r;
	struct event_reader *e;
	struct spool_stats st;
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	rejected(&k, 1000, 100);
	kit_commit(&k, true);
	spool_reader_position(k.s, "log", 900);
	spool_reader_position(k.s, "webhook", 300);
	kit_settle(&k);
	e = event_reader_open(k.s, "webhook");
	read_all(e, &r, 50);
	assert_int_equal(r.ids[0], 301);
	assert_int_equal(r.n, 700);
	assert_int_equal(event_reader_missed(e), 0);
	event_reader_close(e);
	spool_reader_forget(k.s, "webhook");
	kit_settle(&k);
	e = event_reader_open(k.s, "other"); /* the first time: from the oldest on */
	read_all(e, &r, 50);
	assert_true(r.ids[0] > 880 && r.ids[0] <= 901);
	assert_int_equal(event_reader_missed(e), 0);
	event_reader_close(e);
	spool_reader_position(k.s, "log", 1000);
	kit_settle(&k);
	spool_stats(k.s, k.now, &st);
	assert_int_equal(st.events_bytes, 0);
	assert_int_equal(st.events_dropped, 0);
	assert_int_equal(st.last_event, 1000);
	kit_reopen(&k);
	e = event_reader_open(k.s, "new"); /* to a table that is empty */
	rejected(&k, 1, 1);
	kit_commit(&k, true);
	read_all(e, &r, 50);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.ids[0], 1001);
	assert_int_equal(event_reader_missed(e), 0);
	event_reader_close(e);
	kit_done(&k);
}

static void behind_events_max_the_oldest_go_and_are_counted(void **state)
{
	static struct read r = { .gaps = true };
	struct event_reader *e;
	struct spool_stats st;
	struct kit k;

	(void)state;
	kit_init(&k);
	k.o.events_max = 100000;
	kit_open(&k);
	e = event_reader_open(k.s, "slow");
	rejected(&k, 10, 10);
	kit_commit(&k, true);
	read_all(e, &r, 10);
	spool_reader_position(k.s, "slow", 10);
	for (int i = 0; i < 40; i++) {
		rejected(&k, 100, 100);
		kit_commit(&k, true);
	}
	kit_settle(&k);
	spool_stats(k.s, k.now, &st);
	assert_true(st.events_bytes <= 100000 && st.events_bytes > 80000);
	read_all(e, &r, 1000);
	assert_int_equal(r.n + st.events_dropped, 4000);
	assert_int_equal(event_reader_missed(e), st.events_dropped);
	assert_int_equal(r.ids[r.n - 1], 4010);
	event_reader_close(e);
	kit_done(&k);
}

static void an_event_of_any_length_is_kept(void **state)
{
	static struct read r;
	struct event_reader *e;
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (size_t n = 1; n < 100000; n *= 3)
		rejected(&k, 1, n);
	kit_commit(&k, true);
	e = event_reader_open(k.s, "r");
	read_all(e, &r, 4);
	assert_int_equal(r.n, 11);
	event_reader_close(e);
	kit_done(&k);
}

static void a_received_event_is_made_for_each_message_once(void **state)
{
	static struct read r;
	struct event_reader *e;
	struct kit k, dead;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_accept(&k, 3, 10);
	kit_commit(&k, true);
	kit_accept(&k, 1, 10);
	kit_copy(&k, &dead);
	kit_open(&dead);
	kit_reopen(&dead);
	e = event_reader_open(dead.s, "r");
	read_all(e, &r, 4);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.types[0], EVENT_RECEIVED);
	assert_int_equal(r.types[1], EVENT_RECEIVED);
	event_reader_close(e);
	kit_done(&dead);
	kit_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_event_is_read_once_in_order_whatever_the_step),
		cmocka_unit_test(an_event_is_shown_once_a_crash_cannot_take_it_back),
		cmocka_unit_test(a_reader_goes_on_behind_its_saved_position),
		cmocka_unit_test(a_reader_that_has_nothing_yet_is_known_all_the_same),
		cmocka_unit_test(events_go_when_every_reader_has_them),
		cmocka_unit_test(behind_events_max_the_oldest_go_and_are_counted),
		cmocka_unit_test(an_event_of_any_length_is_kept),
		cmocka_unit_test(a_received_event_is_made_for_each_message_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
