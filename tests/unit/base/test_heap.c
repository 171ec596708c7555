/* The heap always gives the least key, and of equal keys the one set first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/heap.h"
#include "core/base/rng.h"

enum { NODES = 500, STEPS = 200000 };

static struct heap heap;
static struct heap_node node[NODES];

static struct heap_node *least_of_model(void)
{
	struct heap_node *least = NULL;

	for (int i = 0; i < NODES; i++) {
		struct heap_node *n = &node[i];

		if (heap_has(n) && (!least || n->key < least->key ||
				    (n->key == least->key && n->order < least->order)))
			least = n;
	}
	return least;
}

static void top_is_the_least_after_any_mix_of_changes(void **state)
{
	size_t in_heap = 0;
	struct rng r;

	(void)state;
	rng_seed(&r, 1);
	heap_init(&heap);
	for (int step = 0; step < STEPS; step++) {
		struct heap_node *n = &node[rng_below(&r, NODES)];
		bool was_in = heap_has(n);

		if (rng_below(&r, 3) == 0) {
			heap_del(&heap, n);
			in_heap -= was_in;
		} else {
			/* few different keys, so that ties are common */
			assert_true(heap_set(&heap, n, (us_t)rng_below(&r, 50)));
			in_heap += !was_in;
		}
		assert_int_equal(heap.n, in_heap);
		if (step % 16 == 0)
			assert_ptr_equal(heap_top(&heap), least_of_model());
	}
	heap_free(&heap);
}

static void equal_keys_leave_in_the_order_they_came(void **state)
{
	(void)state;
	heap_init(&heap);
	for (int i = 0; i < NODES; i++)
		assert_true(heap_set(&heap, &node[i], i % 7));
	for (int k = 0; k < 7; k++)
		for (int i = k; i < NODES; i += 7) {
			assert_ptr_equal(heap_top(&heap), &node[i]);
			heap_del(&heap, &node[i]);
		}
	assert_null(heap_top(&heap));
	heap_free(&heap);
}

static void setting_the_same_key_keeps_the_place(void **state)
{
	(void)state;
	heap_init(&heap);
	assert_true(heap_set(&heap, &node[0], 5) && heap_set(&heap, &node[1], 5));
	assert_true(heap_set(&heap, &node[0], 5));
	assert_ptr_equal(heap_top(&heap), &node[0]);
	heap_free(&heap);
	assert_false(heap_has(&node[0]) || heap_has(&node[1]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(top_is_the_least_after_any_mix_of_changes),
		cmocka_unit_test(equal_keys_leave_in_the_order_they_came),
		cmocka_unit_test(setting_the_same_key_keeps_the_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
