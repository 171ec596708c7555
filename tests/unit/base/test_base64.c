/* Base64 both ways, and nothing that is not base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/base64.h"
#include "core/base/rng.h"
#include "core/base/secret.h"

static void what_is_encoded_is_decoded(void **state)
{
	struct buf text, back;
	struct rng rng;
	char bytes[64];

	(void)state;
	rng_seed(&rng, 1);
	buf_init(&text);
	buf_init(&back);
	for (int i = 0; i < 5000; i++) {
		size_t n = (size_t)rng_below(&rng, sizeof bytes);

		for (size_t k = 0; k < n; k++)
			bytes[k] = (char)rng_u64(&rng);
		buf_clear(&text);
		buf_clear(&back);
		assert_true(base64_encode(&text, str_mem(bytes, n)));
		assert_true(base64_decode(&back, buf_str(&text)));
		assert_int_equal(back.n, n);
		assert_memory_equal(back.p ? back.p : "", bytes, n);
	}
	buf_clear(&text);
	base64_encode(&text, STR_LIT("Password:"));
	assert_string_equal(buf_z(&text), "UGFzc3dvcmQ6");
	buf_free(&text);
	buf_free(&back);
}

static void what_is_no_base64_is_refused(void **state)
{
	static const char *const bad[] = { "A",	   "AAA",  "AAAAA", "=AAA", "A=AA", "A===",
					   "AA=A", "AA A", "AAA\n", "====", "AA-_", "AAAA=AAA" };
	struct buf out;

	(void)state;
	buf_init(&out);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_false(base64_decode(&out, str_of(bad[i])));
		assert_int_equal(out.n, 0);
	}
	assert_false(base64_decode(&out, str_mem("AA\0A", 4)));
	buf_free(&out);
}

static void a_secret_that_others_can_read_is_refused(void **state)
{
	char path[] = "/tmp/stoker-secret-XXXXXX";
	struct errbuf e;
	struct buf b;
	int fd = mkstemp(path);

	(void)state;
	buf_init(&b);
	assert_true(fd >= 0);
	assert_non_null(secret_file_read(path, 10, &b, &e)); /* empty */
	assert_int_equal(write(fd, "secret", 6), 6);
	assert_null(secret_file_read(path, 10, &b, &e));
	assert_int_equal(b.n, 6);
	assert_non_null(secret_file_read(path, 5, &b, &e));
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_non_null(secret_file_read(path, 10, &b, &e));
	assert_non_null(strstr(e.text, "can be read by everybody"));
	assert_non_null(secret_file_read("/tmp", 10, &b, &e));
	assert_non_null(secret_file_read("/nonexistent", 10, &b, &e));
	secret_free(&b);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_is_decoded),
		cmocka_unit_test(what_is_no_base64_is_refused),
		cmocka_unit_test(a_secret_that_others_can_read_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
