/* The wheel fires every timer once, never early, in tick order, whatever the tick and the jumps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/base/wheel.h"

enum { TIMERS = 300 };

/* The model: for each timer the tick at which it must fire. */
struct entry {
	struct wheel_timer timer;
	uint64_t expiry;
	bool armed;
};

static struct wheel wheel;
static struct entry entries[TIMERS];

static uint64_t tick_up(us_t t, us_t tick)
{
	return t > 0 ? (uint64_t)(t / tick) + (t % tick != 0) : 0;
}

static const struct entry *first_of_model(void)
{
	const struct entry *first = NULL;

	for (int i = 0; i < TIMERS; i++)
		if (entries[i].armed && (!first || entries[i].expiry < first->expiry))
			first = &entries[i];
	return first;
}

static size_t armed_in_model(void)
{
	size_t n = 0;

	for (int i = 0; i < TIMERS; i++)
		n += entries[i].armed;
	return n;
}

static void model_set(struct entry *e, us_t due)
{
	wheel_set(&wheel, &e->timer, due);
	e->armed = due != US_NEVER;
	e->expiry = tick_up(due, wheel.tick_us);
	if (e->expiry < wheel.tick)
		e->expiry = wheel.tick;
}

/* All magnitudes alike, below 2^(64 - bits). */
static us_t random_span(struct rng *r, uint64_t bits)
{
	uint64_t v = rng_u64(r);

	return (us_t)(v >> (bits + rng_below(r, 64 - bits)));
}

/* From the past to beyond any horizon. */
static us_t random_due(struct rng *r, us_t now)
{
	us_t span = random_span(r, 1);

	if (rng_below(r, 10) == 0)
		return now - (span < now ? span : now);
	return span < US_NEVER - now ? now + span : US_NEVER - 1;
}

static void pop_all(us_t now)
{
	/* NULL while wheel_next is not after now: the wheel only pauses between moves */
	while (wheel_next(&wheel) <= now) {
		struct wheel_timer *t = wheel_pop(&wheel, now);
		struct entry *e;

		if (!t)
			continue;
		e = WHEEL_OF(t, struct entry, timer);
		assert_true(e->armed);
		assert_true(t->due <= now);
		assert_true(e->expiry == first_of_model()->expiry);
		e->armed = false;
	}
	assert_null(wheel_pop(&wheel, now));
	if (first_of_model())
		assert_true(first_of_model()->expiry > (uint64_t)(now / wheel.tick_us));
}

static void run_against_model(us_t tick, us_t start, uint64_t seed)
{
	struct rng r;
	us_t now = start;

	rng_seed(&r, seed);
	memset(entries, 0, sizeof entries);
	wheel_init(&wheel, tick, now);
	for (int step = 0; step < 4000; step++) {
		struct entry *e = &entries[rng_below(&r, TIMERS)];
		us_t jump = random_span(&r, 4);

		if (rng_below(&r, 4) == 0) {
			wheel_del(&wheel, &e->timer);
			e->armed = false;
		} else {
			model_set(e, random_due(&r, now));
		}
		assert_int_equal(wheel.armed, armed_in_model());
		if (first_of_model())
			assert_true(wheel_next(&wheel) <= first_of_model()->timer.due + tick ||
				    first_of_model()->timer.due < now);
		else
			assert_true(wheel_next(&wheel) == US_NEVER);
		/* mostly small steps, so that the clock does not run out */
		if (rng_below(&r, 200) != 0)
			jump &= 0xFFFFF;
		if (rng_below(&r, 3) == 0 && jump < US_NEVER - 1 - now)
			now += jump;
		pop_all(now);
	}
}

static void timers_fire_as_a_sorted_list_would(void **state)
{
	const us_t ticks[] = { 1, 7, 1000, 10000 };
	/* the last two cross the horizon of 2^48 ticks soon */
	const us_t starts[] = { 0, 1764000000 * US_PER_S, ((us_t)1 << 48) - 1000,
				((us_t)1 << 48) * 7 - 500 };

	(void)state;
	for (size_t t = 0; t < sizeof ticks / sizeof ticks[0]; t++)
		for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++)
			for (uint64_t seed = 1; seed <= 5; seed++)
				run_against_model(ticks[t], starts[s], seed);
}

/* A loop that sleeps until wheel_next and pops must come to every timer, and soon. */
static void following_wheel_next_reaches_every_timer(void **state)
{
	us_t now = 1000;
	struct rng r;
	int wakes = 0;

	(void)state;
	rng_seed(&r, 9);
	memset(entries, 0, sizeof entries);
	wheel_init(&wheel, 1, now);
	for (int i = 0; i < TIMERS; i++)
		model_set(&entries[i], random_due(&r, now));
	while (wheel.armed) {
		us_t next = wheel_next(&wheel);

		assert_true(next != US_NEVER);
		now = next > now ? next : now;
		pop_all(now);
		assert_true(++wakes < TIMERS * (WHEEL_LEVELS + 1) + (1 << 16));
	}
	assert_int_equal(armed_in_model(), 0);
}

static void a_crowded_slot_is_moved_in_steps_and_nothing_is_lost(void **state)
{
	enum { CROWD = 50000 };
	struct wheel_timer *crowd = calloc(CROWD, sizeof *crowd);
	const us_t hour = US_PER_HOUR;
	size_t fired = 0, pauses = 0;

	(void)state;
	assert_non_null(crowd);
	wheel_init(&wheel, 10000, 0);
	for (size_t i = 0; i < CROWD; i++)
		wheel_set(&wheel, &crowd[i], hour);
	while (wheel.armed) {
		if (wheel_pop(&wheel, hour)) {
			fired++;
			continue;
		}
		assert_true(wheel_next(&wheel) <= hour);
		pauses++;
	}
	assert_int_equal(fired, CROWD);
	assert_true(pauses > 4);
	free(crowd);
}

static void rearming_and_never_leave_one_timer_or_none(void **state)
{
	struct wheel_timer t = { 0 };

	(void)state;
	wheel_init(&wheel, 10000, 0);
	wheel_set(&wheel, &t, US_PER_S);
	wheel_set(&wheel, &t, 2 * US_PER_S);
	assert_int_equal(wheel.armed, 1);
	assert_null(wheel_pop(&wheel, US_PER_S));
	wheel_set(&wheel, &t, US_NEVER);
	assert_int_equal(wheel.armed, 0);
	assert_true(wheel_next(&wheel) == US_NEVER);
	wheel_del(&wheel, &t);
	wheel_set(&wheel, &t, -5);
	assert_ptr_equal(wheel_pop(&wheel, US_PER_S), &t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_as_a_sorted_list_would),
		cmocka_unit_test(following_wheel_next_reaches_every_timer),
		cmocka_unit_test(a_crowded_slot_is_moved_in_steps_and_nothing_is_lost),
		cmocka_unit_test(rearming_and_never_leave_one_timer_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
