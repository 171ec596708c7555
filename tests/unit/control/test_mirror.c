/* The mirror's lists grow without a step that is much dearer than others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "core/control/mirror.h"

/* A post of rows; pages of new memory that it may cost: two a row, where a name and an id go. What
 * doubles by copying costs 380 at row 65,536, and 30 us each on a virtual machine. */
enum { ROWS = 70000, A_POST = 16, PAGES_MOST = 100 };

static long new_pages(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_minflt;
}

static struct row row_of(uint64_t i)
{
	return (struct row){ .id = i + 1,
			     .kind = ROW_QUEUE,
			     .name = rstr_newf("d%llu.test.example/v1", (unsigned long long)i) };
}

/* On a thread and with malloc as in the server: big arrays have mappings of their own, unless the
 * arena has room. */
static void *fill(void *arg)
{
	struct mirror *m = mirror_new();
	struct row *rows = calloc(A_POST, sizeof *rows);
	long *worst = arg;

	for (uint64_t i = 0; i < ROWS; i += A_POST) {
		long before;

		for (uint64_t k = 0; k < A_POST; k++)
			rows[k] = row_of(i + k);
		before = new_pages();
		for (uint64_t k = 0; k < A_POST; k++)
			mirror_row(m, &rows[k]);
		if (new_pages() - before > *worst)
			*worst = new_pages() - before;
	}
	free(rows);
	mirror_free(m);
	return NULL;
}

static void no_row_of_a_growing_list_costs_many_pages(void **state)
{
	long worst = 0;
	pthread_t t;

	(void)state;
	mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
	assert_int_equal(pthread_create(&t, NULL, fill, &worst), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	print_message("# worst of %d rows: %ld pages\n", A_POST, worst);
	assert_in_range(worst, 1, PAGES_MOST);
}

static void rows_are_found_wherever_they_lie(void **state)
{
	enum { MANY = 2000 };
	struct mirror *m = mirror_new();

	(void)state;
	for (uint64_t i = 0; i < MANY; i++) {
		struct row r = row_of(i);

		mirror_row(m, &r);
	}
	for (uint64_t i = 0; i < MANY; i += 2) { /* the last row takes the place of one that goes */
		struct row gone = { .id = i + 1, .kind = ROW_QUEUE, .deleted = true };

		mirror_row(m, &gone);
	}
	assert_int_equal(mirror_count(m, ROW_QUEUE), MANY / 2);
	for (uint64_t i = 0; i < MANY; i++) {
		struct row r = row_of(i);
		const struct row *by_id = mirror_find(m, ROW_QUEUE, i + 1);
		const struct row *by_name = mirror_find_name(m, ROW_QUEUE, rstr_str(r.name));

		assert_ptr_equal(by_id, by_name);
		assert_int_equal(by_id != NULL, i % 2);
		if (by_id)
			assert_true(str_eq(rstr_str(by_id->name), rstr_str(r.name)));
		row_release(&r);
	}
	mirror_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_row_of_a_growing_list_costs_many_pages),
		cmocka_unit_test(rows_are_found_wherever_they_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
