/* Accounting files: RFC 4180 whatever a peer says, rotation in virtual time, another header is
 * never mixed in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "conf/accounting.h"
#include "core/base/hash.h"
#include "core/report/accounting.h"

static char dir[64], path[128];
static struct conf_accounting set;
static struct conf *conf;
static const char *fields[] = { "rcpt", "dsnDiag" };

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/stoker-acct.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/acct.csv", dir);
	set = (struct conf_accounting){ .name = "a",
					.file = path,
					.records = ACCT_D | ACCT_B,
					.fields = fields,
					.nfields = 2,
					.rotate = ROTATE_DAILY,
					.keep = US_NEVER };
	conf->accounting = &set;
	conf->naccounting = 1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	return rmdir(dir);
}

static struct accounting *open_it(void)
{
	struct accounting *a = NULL;
	struct errbuf e = { "" };
	assert_null(accounting_open(conf, 0, &a, &e));
	return a;
}

static void write_one(struct accounting *a, struct str reply)
{
	struct errbuf e = { "" };
	struct event ev = { .id = 7,
			    .at = US_PER_S,
			    .type = EVENT_BOUNCED,
			    .recipient = STR_LIT("\"a,b\"@x.example"),
			    .reply = reply };
	accounting_event(a, &ev);
	assert_null(accounting_flush(a, &e));
}

static void expect_file(const char *name, const char *text)
{
	char p[256], got[2048];
	snprintf(p, sizeof p, "%s/%s", dir, name);
	FILE *f = fopen(p, "re");
	assert_non_null(f);
	got[fread(got, 1, sizeof got - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(got, text);
}

#define HEADER "type,rcpt,dsnDiag\r\n"
#define ROW    "b,\"\"\"a,b\"\"@x.example\",\"smtp;550 \"\"no\"\", never\\x0d\"\r\n"
static const struct str reply = STR_LIT("550 \"no\", never\r");

static void a_field_is_quoted_and_cannot_end_a_line(void **state)
{
	(void)state;
	struct accounting *a = open_it();
	write_one(a, reply);
	accounting_close(a);
	expect_file("acct.csv", HEADER ROW);
}

static void a_day_is_a_file_with_its_own_header(void **state)
{
	(void)state;
	struct errbuf e = { "" };
	struct accounting *a = open_it();
	us_t now = clock_now_us();
	char name[64];
	time_t s = (time_t)(now / US_PER_S);
	struct tm tm;
	localtime_r(&s, &tm);
	for (int i = 0; i < 3; i++) {
		write_one(a, reply);
		assert_null(accounting_rotate(a, now, i == 1, &e));
		if (i == 1)
			continue;
		assert_null(accounting_rotate(a, now + (i + 1) * US_PER_DAY, false, &e));
	}
	accounting_close(a);
	expect_file("acct.csv", "");
	strftime(name, sizeof name, "acct-%Y-%m-%d-0001.csv", &tm);
	expect_file(name, HEADER ROW);
}

static void another_header_sets_the_old_file_aside(void **state)
{
	(void)state;
	struct accounting *a = open_it();
	write_one(a, reply);
	accounting_close(a);
	accounting_close(open_it()); /* the same: goes on in it */
	expect_file("acct.csv", HEADER ROW);
	set.nfields = 1;
	a = open_it();
	write_one(a, reply);
	accounting_close(a);
	expect_file("acct.csv", "type,rcpt\r\nb,\"\"\"a,b\"\"@x.example\"\r\n");
}

int main(void)
{
	clock_init();
	hash_seed(1, 2);
	setenv("TZ", "UTC", 1);
	const char ini[] = "/tmp/stoker-acct-unit.ini";
	struct conf_file file = { ini, STR_LIT("[mta]\nhostname = a.example\nsmtp-source-host = "
					       "127.0.0.1 a.example\n") };
	struct conf_read_opts o = { .stored = &file, .nstored = 1 };
	struct conf_problems p;
	conf_problems_init(&p);
	conf = conf_read(ini, &o, &p);
	conf_problems_free(&p);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_field_is_quoted_and_cannot_end_a_line, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_day_is_a_file_with_its_own_header, setup,
						teardown),
		cmocka_unit_test_setup_teardown(another_header_sets_the_old_file_aside, setup,
						teardown),
	};
	int rc = conf ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	conf_unref(conf);
	return rc;
}
