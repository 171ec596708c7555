/* Buffers, arenas and pools give what was asked, and readers never look past the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/resource.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/pool.h"
#include "core/base/rng.h"

static void appends_are_all_there_in_order(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	assert_string_equal(buf_z(&b), "");
	assert_true(buf_addz(&b, "ab") && buf_addc(&b, 'c') && buf_adds(&b, STR_LIT("de")));
	assert_true(buf_addf(&b, "-%0100d", 7));
	assert_int_equal(b.n, 106);
	buf_shift(&b, 2);
	assert_memory_equal(b.p, "cde-", 4);
	buf_shift(&b, 1000);
	assert_int_equal(b.n, 0);
	for (int i = 0; i < 10000; i++)
		assert_true(buf_addf(&b, "%04d", i));
	assert_int_equal(b.n, 40000);
	assert_memory_equal(b.p + 4 * 1234, "12341235", 8);
	assert_true(buf_add(&b, NULL, 0));
	buf_free(&b);
}

static void a_failed_append_leaves_the_buffer_and_is_remembered(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	assert_true(buf_addz(&b, "kept"));
	assert_false(buf_reserve(&b, SIZE_MAX - 2));
	assert_true(buf_failed(&b));
	assert_string_equal(buf_z(&b), "kept");
	buf_clear(&b);
	assert_false(buf_failed(&b));
	buf_free(&b);
}

static void what_is_put_is_read_back(void **state)
{
	struct buf b;
	struct reader r;
	struct str s;

	(void)state;
	buf_init(&b);
	assert_true(buf_put_u8(&b, 0xFE) && buf_put_u16(&b, 0xFEDC) &&
		    buf_put_u32(&b, 0xFEDCBA98) && buf_put_u64(&b, 0xFEDCBA9876543210) &&
		    buf_put_str(&b, STR_LIT("name")));
	assert_memory_equal(b.p, "\xFE\xDC\xFE\x98\xBA\xDC\xFE\x10\x32", 9);
	r = (struct reader){ (const uint8_t *)b.p, b.n, false };
	assert_int_equal(reader_u8(&r), 0xFE);
	assert_int_equal(reader_u16(&r), 0xFEDC);
	assert_int_equal(reader_u32(&r), 0xFEDCBA98);
	assert_true(reader_u64(&r) == 0xFEDCBA9876543210);
	s = reader_str(&r);
	assert_true(str_eqz(s, "name") && !r.bad && r.n == 0);
	assert_int_equal(reader_u8(&r), 0);
	assert_true(r.bad);
	buf_free(&b);
}

static void lengths_from_disk_are_not_believed(void **state)
{
	static const uint8_t lie[] = { 0xFF, 0xFF, 0xFF, 0xFF, 'a' };
	struct reader r = { lie, sizeof lie, false };

	(void)state;
	assert_int_equal(reader_str(&r).n, 0);
	assert_true(r.bad);
	assert_int_equal(reader_u8(&r), 0); /* bad stays bad */
}

static void arena_memory_is_aligned_zeroed_and_apart(void **state)
{
	enum { PIECES = 2000 };
	static unsigned char *piece[PIECES];
	static size_t size[PIECES];
	struct arena a;
	struct rng r;

	(void)state;
	rng_seed(&r, 5);
	arena_init(&a, 100);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < PIECES; i++) {
			size[i] = rng_below(&r, rng_below(&r, 50) ? 100 : 5000);
			piece[i] = arena_alloc(&a, size[i]);
			assert_non_null(piece[i]);
			assert_int_equal((uintptr_t)piece[i] % 16, 0);
			for (size_t k = 0; k < size[i]; k++)
				assert_int_equal(piece[i][k], 0);
			memset(piece[i], i & 0xFF, size[i]);
		}
		for (int i = 0; i < PIECES; i++)
			for (size_t k = 0; k < size[i]; k++)
				assert_int_equal(piece[i][k], i & 0xFF);
		arena_reset(&a);
		assert_true(a.total_bytes > 0 && a.total_bytes < 1000);
	}
	assert_string_equal(arena_str(&a, STR_LIT("text")).p, "text");
	assert_string_equal(arena_fmt(&a, "%d/%d", 1, 2), "1/2");
	assert_null(arena_alloc(&a, SIZE_MAX - 5));
	arena_free(&a);
	assert_int_equal(a.total_bytes, 0);
}

static void pool_objects_are_zeroed_counted_and_reused(void **state)
{
	enum { OBJECTS = 5000 };
	static unsigned char *object[OBJECTS];
	struct pool p;
	size_t bytes;

	(void)state;
	pool_init(&p, "test", 20);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < OBJECTS; i++) {
			object[i] = pool_get(&p);
			assert_non_null(object[i]);
			assert_int_equal((uintptr_t)object[i] % 8, 0);
			for (int k = 0; k < 20; k++)
				assert_int_equal(object[i][k], 0);
			memset(object[i], 0xAA, 20);
		}
		assert_int_equal(p.used, OBJECTS);
		bytes = pool_bytes(&p);
		for (int i = 0; i < OBJECTS; i++)
			pool_put(&p, object[i]);
		assert_int_equal(p.used, 0);
		assert_int_equal(pool_bytes(&p), bytes);
	}
	assert_true(p.allocated >= OBJECTS && p.allocated < 3 * OBJECTS);
	pool_free(&p);
	assert_int_equal(p.allocated, 0);
}

/* A page of memory that was never used costs a fault, some microseconds each: no single object may
 * touch many. */
static void a_new_chunk_is_not_touched_at_once(void **state)
{
#ifdef __SANITIZE_ADDRESS__
	const long most = 64; /* what the sanitizer notes of it */
#else
	const long most = 8;
#endif
	struct rusage before, after;
	struct pool p;

	(void)state;
	pool_init(&p, "test", 200);
	for (int i = 0; i < 20000; i++) {
		getrusage(RUSAGE_THREAD, &before);
		assert_non_null(pool_get(&p));
		getrusage(RUSAGE_THREAD, &after);
		assert_in_range(after.ru_minflt - before.ru_minflt, 0, most);
	}
	pool_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_are_all_there_in_order),
		cmocka_unit_test(a_failed_append_leaves_the_buffer_and_is_remembered),
		cmocka_unit_test(what_is_put_is_read_back),
		cmocka_unit_test(lengths_from_disk_are_not_believed),
		cmocka_unit_test(arena_memory_is_aligned_zeroed_and_apart),
		cmocka_unit_test(pool_objects_are_zeroed_counted_and_reused),
		cmocka_unit_test(a_new_chunk_is_not_touched_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
