/* A large configuration is read in time, resolved fast, and a lack of memory is an error in words.
 */
#include "tests/unit/conf/fixture.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include "core/base/clock.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { PLAIN = 0 };
#else
enum { PLAIN = 1 };
#endif

enum { SECTIONS = 10000, READ_CPU_US = 300 * 1000 };

static struct world w;

static int open_world(void **state)
{
	(void)state;
	world_open(&w);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static void write_large(void)
{
	FILE *f = fopen("a.ini", "w");

	assert_non_null(f);
	fputs(BASE "[domain *]\nmax-smtp-out = 50\n", f);
	for (int i = 0; i < SECTIONS; i++)
		fprintf(f,
			"[domain %sd%d.example%s]\nmax-smtp-out = %d ; of %d\nmax-msg-rate = %d/s\n"
			"bounce-after = 2d\nretry-recipients-after = 5m, 10m, 1h\n\n",
			i % 10 ? "" : "*.", i, i % 3 ? "" : " via default", 1 + i % 50, i,
			1 + i % 100);
	assert_int_equal(fclose(f), 0);
}

static void ten_thousand_sections_are_read_in_under_300_ms(void **state)
{
	us_t best = US_NEVER;

	(void)state;
	write_large();
	for (int i = 0; i < 3;
	     i++) { /* the machine is shared: one undisturbed reading is asked for */
		us_t before = clock_thread_cpu_us();

		world_read_with(&w, "a.ini", NULL);
		before = clock_thread_cpu_us() - before;
		best = before < best ? before : best;
	}
	expect_clean(&w);
	print_message("%d sections: %lld ms\n", SECTIONS, (long long)(best / US_PER_MS));
	if (PLAIN)
		assert_true(best < READ_CPU_US);
}

static void a_hundred_thousand_domains_are_resolved_from_few_objects(void **state)
{
	struct settings_cache *sc;
	us_t before;
	char name[64];

	(void)state;
	write_large();
	world_read_with(&w, "a.ini", NULL);
	sc = settings_cache_new(w.c);
	before = clock_thread_cpu_us();
	for (int i = 0; i < 100000; i++) {
		int n = snprintf(name, sizeof name, "host%d.other.example", i);

		assert_non_null(settings_get(sc, str_mem(name, (size_t)n), CONF_NONE, 0, 0));
	}
	before = clock_thread_cpu_us() - before;
	print_message("a look-up: %lld ns\n", (long long)(before / 100));
	if (PLAIN)
		assert_true(before < US_PER_S);
	settings_cache_free(sc);
}

/* Errors in every section: all are told, and looking for near names has an end. */
static void ten_thousand_errors_are_all_told(void **state)
{
	FILE *f = fopen("a.ini", "w");
	us_t before = clock_thread_cpu_us();

	(void)state;
	fputs(BASE, f);
	for (int i = 0; i < SECTIONS; i++)
		fprintf(f, "[domain d%d.example via nobody%d]\nmax-smtp-out = 0\n", i, i);
	assert_int_equal(fclose(f), 0);
	world_read_with(&w, "a.ini", NULL);
	assert_int_equal(w.problems.errors, 2 * SECTIONS);
	if (PLAIN)
		assert_true(clock_thread_cpu_us() - before < 2 * US_PER_S);
}

/* In a child with less and less memory: never a crash, and NULL only with an error. */
static int read_with_memory(size_t more)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct conf_problems p;
		struct rlimit l;
		struct conf *c;
		long pages = 0;
		FILE *f = fopen("/proc/self/statm", "r");

		if (!f || fscanf(f, "%ld", &pages) != 1)
			_exit(9);
		fclose(f);
		l.rlim_cur = l.rlim_max = (rlim_t)(pages * sysconf(_SC_PAGESIZE)) + more;
		setrlimit(RLIMIT_AS, &l);
		conf_problems_init(&p);
		c = conf_read("a.ini", NULL, &p);
		_exit(c ? (p.errors ? 8 : 0) : (p.errors ? 1 : 7));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_lack_of_memory_is_an_error_not_a_crash(void **state)
{
	bool failed = false, done = false;

	(void)state;
	write_large();
	for (size_t more = 0; PLAIN && more < 64 << 20; more += 1 << 20) {
		int code = read_with_memory(more);

		assert_in_range(code, 0, 1);
		failed = failed || code == 1;
		done = done || code == 0;
	}
	assert_int_equal(failed, PLAIN);
	assert_int_equal(done, PLAIN);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		T(ten_thousand_sections_are_read_in_under_300_ms),
		T(a_hundred_thousand_domains_are_resolved_from_few_objects),
		T(ten_thousand_errors_are_all_told),
		T(a_lack_of_memory_is_an_error_not_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
