/* Limits: exact rates, connections, and how they stack. */
#include "sim.h"

static void check_rate(struct sim *m, us_t from, int least, int most, int per_second)
{
	int n = sim_count_between(m, from, from + 60 * US_PER_S);

	printf("  %d attempts in 60 s, at most %d in a second\n", n,
	       sim_most_in(m, US_PER_S, NULL, NULL));
	assert_in_range(n, least, most);
	assert_true(sim_most_in(m, US_PER_S, NULL, NULL) <= per_second);
}

static void a_lane_keeps_100_a_second_for_a_minute(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-msg-rate = 100/s\n", 1);

	(void)state;
	sim_send_many(m, 8000, "gmail.test", "a", "vmta1");
	sim_run(m, 60 * US_PER_S);
	check_rate(m, SIM_START, 5880, 6010, 103);
	sim_check_totals(m);
	sim_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lane_keeps_100_a_second_for_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
