/* Accounting files: RFC 4180 whatever a peer says, rotation in virtual time, another header is
 * never mixed in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
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
	char p[256], got[4096];
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

/* ---- rotation in virtual time ---- */

/* Files set aside, "acct-2026-11-27-0001.csv"; their lines besides the headers in *rows. */
static int set_aside_files(int *rows)
{
	DIR *d = opendir(dir);
	int n = 0;

	*rows = 0;
	for (struct dirent *e; d && (e = readdir(d));) {
		char p[400], line[400];
		FILE *f;

		if (strncmp(e->d_name, "acct-", 5) != 0)
			continue;
		n++;
		snprintf(p, sizeof p, "%s/%s", dir, e->d_name);
		f = fopen(p, "re");
		assert_non_null(f);
		assert_non_null(fgets(line, sizeof line, f));
		assert_string_equal(line, HEADER);
		while (fgets(line, sizeof line, f))
			(*rows)++;
		fclose(f);
	}
	closedir(d);
	return n;
}

static void an_hour_is_a_file_where_that_is_written(void **state)
{
	(void)state;
	struct errbuf e = { "" };
	int rows;
	us_t hour;

	set.rotate = ROTATE_HOURLY;
	struct accounting *a = open_it();
	hour = clock_now_us() / US_PER_HOUR * US_PER_HOUR;
	for (int h = 0; h < 30; h++) { /* over a day's end */
		write_one(a, reply);
		assert_null(
		    accounting_rotate(a, hour + h * US_PER_HOUR + 59 * US_PER_MIN, false, &e));
		assert_int_equal(set_aside_files(&rows), h);
		write_one(a, reply);
		assert_null(accounting_rotate(a, hour + (h + 1) * US_PER_HOUR, false, &e));
		assert_int_equal(set_aside_files(&rows), h + 1);
		assert_int_equal(rows, 2 * (h + 1));
	}
	/* Nothing was written: no file is set aside for it. */
	assert_null(accounting_rotate(a, hour + 50 * US_PER_HOUR, false, &e));
	assert_int_equal(set_aside_files(&rows), 30);
	accounting_close(a);
}

static void a_size_is_a_file_where_that_is_written(void **state)
{
	(void)state;
	struct errbuf e = { "" };
	int rows;

	set.rotate = ROTATE_SIZE;
	set.rotate_size = (int64_t)(strlen(HEADER) + 3 * strlen(ROW));
	struct accounting *a = open_it();
	for (int i = 0; i < 10; i++) {
		write_one(a, reply);
		/* Days change nothing. */
		assert_null(accounting_rotate(a, clock_now_us() + i * US_PER_DAY, false, &e));
		assert_int_equal(set_aside_files(&rows), (i + 1) / 3);
		assert_int_equal(rows, (i + 1) / 3 * 3);
	}
	accounting_close(a);
	a = open_it(); /* what the file has counts after a restart too */
	for (int i = 0; i < 2; i++) {
		write_one(a, reply);
		assert_null(accounting_rotate(a, clock_now_us(), false, &e));
	}
	assert_int_equal(set_aside_files(&rows), 4);
	accounting_close(a);
	expect_file("acct.csv", "");
}

static void make_file(const char *name, us_t written)
{
	struct timespec at[2] = { { .tv_sec = written / US_PER_S },
				  { .tv_sec = written / US_PER_S } };
	char p[256];
	FILE *f;

	snprintf(p, sizeof p, "%s/%s", dir, name);
	f = fopen(p, "we");
	assert_non_null(f);
	fputs(HEADER, f);
	fclose(f);
	assert_int_equal(utimensat(AT_FDCWD, p, at, 0), 0);
}

static bool there(const char *name)
{
	char p[256];

	snprintf(p, sizeof p, "%s/%s", dir, name);
	return access(p, F_OK) == 0;
}

static void files_older_than_keep_go(void **state)
{
	static const char *const others[] = { "acct-notes.csv", "other-2026-01-01-0001.csv",
					      "acct-2026-01-01-0001.txt", "acct-2026-01-01.csv" };
	(void)state;
	struct errbuf e = { "" };
	us_t now = clock_now_us();

	set.keep = 3 * US_PER_DAY;
	make_file("acct-2026-01-01-0001.csv", now - 3 * US_PER_DAY - US_PER_MIN);
	make_file("acct-2026-01-02-0001.csv", now - 3 * US_PER_DAY + US_PER_MIN);
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		make_file(others[i], now - 100 * US_PER_DAY);
	struct accounting *a = open_it();
	assert_null(accounting_rotate(a, now, false, &e));
	assert_false(there("acct-2026-01-01-0001.csv"));
	assert_true(there("acct-2026-01-02-0001.csv"));
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		assert_true(there(others[i]));
	/* It is looked at once an hour, and goes in its time. */
	assert_null(accounting_rotate(a, now + 10 * US_PER_MIN, false, &e));
	assert_true(there("acct-2026-01-02-0001.csv"));
	assert_null(accounting_rotate(a, now + 2 * US_PER_HOUR, false, &e));
	assert_false(there("acct-2026-01-02-0001.csv"));
	accounting_close(a);
	/* never */
	set.keep = US_NEVER;
	make_file("acct-2026-01-01-0001.csv", now - 1000 * US_PER_DAY);
	a = open_it();
	assert_null(accounting_rotate(a, now, false, &e));
	assert_true(there("acct-2026-01-01-0001.csv"));
	accounting_close(a);
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

static const struct event reported[] = {
	{ .id = 8,
	  .at = US_PER_S,
	  .type = EVENT_REMOTE_BOUNCED,
	  .sender = STR_LIT("news+8@s.example"),
	  .recipient = STR_LIT("gone@x.example"),
	  .orcpt = STR_LIT("rfc822;gone+2Bold@x.example"),
	  .envid = STR_LIT("e+2B1"),
	  .reply = STR_LIT("550 5.1.1 no such user"),
	  .enhanced = STR_LIT("5.1.1"),
	  .category = STR_LIT("bad-mailbox"),
	  .hard = true,
	  .mx = STR_LIT("mx2.x.example"),
	  .mx_ip = STR_LIT("192.0.2.7"),
	  .reporting_mta = STR_LIT("mx1.x.example"),
	  .format = STR_LIT("rfc3464"),
	  .matched = STR_LIT("verp"),
	  .virtual_mta = STR_LIT("v1"),
	  .job = STR_LIT("job-1") },
	{ .id = 9,
	  .at = US_PER_S,
	  .type = EVENT_COMPLAINT,
	  .sender = STR_LIT("news@s.example"),
	  .recipient = STR_LIT("angry@x.example"),
	  .envid = STR_LIT("e+2B2"),
	  .category = STR_LIT("spam-related"),
	  .source_ip = STR_LIT("192.0.2.1"),
	  .mx_ip = STR_LIT("192.0.2.8"),
	  .reporting_mta = STR_LIT("fbl.x.example"),
	  .feedback_type = STR_LIT("abuse"),
	  .user_agent = STR_LIT("X, Complaints 1.0"),
	  .format = STR_LIT("arf"),
	  .virtual_mta = STR_LIT("v1"),
	  .job = STR_LIT("job-1"),
	  .user = STR_LIT("u") },
};

static void write_reported(void)
{
	struct errbuf e = { "" };
	struct accounting *a = open_it();
	for (size_t i = 0; i < sizeof reported / sizeof reported[0]; i++)
		accounting_event(a, &reported[i]);
	assert_null(accounting_flush(a, &e));
	accounting_close(a);
}

static void a_bounce_that_came_back_is_a_record_in_powermta_s_columns(void **state)
{
	(void)state;
	set.records = ACCT_RB;
	set.nfields = 0;
	write_reported();
	expect_file(
	    "acct.csv",
	    "type,timeLogged,orig,rcpt,orcpt,dsnStatus,dsnDiag,dsnMta,dsnReportingMta,"
	    "bounceCat,srcType,srcMta,vmta,jobId,envId,vmtaPool,rcvSmtpUser,format,eventId\r\n"
	    "rb,1970-01-01 00:00:01+0000,news+8@s.example,gone@x.example,"
	    "rfc822;gone+old@x.example,5.1.1 (bad destination mailbox address),"
	    "smtp;550 5.1.1 no such user,mx2.x.example,mx1.x.example,bad-mailbox,smtp,"
	    "192.0.2.7,v1,job-1,e+1,,,dsn,8\r\n");
}

static void a_complaint_is_a_record_in_powermta_s_columns_and_order(void **state)
{
	(void)state;
	set.records = ACCT_F;
	set.nfields = 0;
	write_reported();
	expect_file(
	    "acct.csv",
	    "type,timeLogged,repSourceIp,feedbackType,format,userAgent,envId,orig,rcpt,"
	    "reportingMta,dlvSourceIp,reportedDomain,vmta,jobId,vmtaPool,rcvSmtpUser,eventId\r\n"
	    "f,1970-01-01 00:00:01+0000,192.0.2.8,abuse,arf,\"X, Complaints 1.0\",e+2,"
	    "news@s.example,angry@x.example,fbl.x.example,192.0.2.1,s.example,v1,job-1,,u,9"
	    "\r\n");
}

static void both_as_json_have_what_they_have(void **state)
{
	(void)state;
	set.records = ACCT_RB | ACCT_F;
	set.format = CONF_ACCT_JSON;
	set.nfields = 0;
	write_reported();
	expect_file(
	    "acct.csv",
	    "{\"type\":\"rb\",\"timeLogged\":\"1970-01-01 "
	    "00:00:01+0000\",\"orig\":\"news+8@s.example\","
	    "\"rcpt\":\"gone@x.example\",\"orcpt\":\"rfc822;gone+old@x.example\",\"dsnStatus\":\"5."
	    "1.1 "
	    "(bad destination mailbox address)\",\"dsnDiag\":\"smtp;550 5.1.1 no such user\","
	    "\"dsnMta\":\"mx2.x.example\",\"dsnReportingMta\":\"mx1.x.example\",\"bounceCat\":"
	    "\"bad-mailbox\",\"srcType\":\"smtp\",\"srcMta\":\"192.0.2.7\",\"vmta\":\"v1\","
	    "\"jobId\":"
	    "\"job-1\",\"envId\":\"e+1\",\"format\":\"dsn\",\"eventId\":8}\n"
	    "{\"type\":\"f\",\"timeLogged\":\"1970-01-01 "
	    "00:00:01+0000\",\"orig\":\"news@s.example\","
	    "\"rcpt\":\"angry@x.example\",\"dlvSourceIp\":\"192.0.2.1\",\"vmta\":\"v1\",\"jobId\":"
	    "\"job-1\",\"envId\":\"e+2\",\"rcvSmtpUser\":\"u\",\"repSourceIp\":\"192.0.2.8\","
	    "\"feedbackType\":\"abuse\",\"format\":\"arf\",\"userAgent\":\"X, Complaints 1.0\","
	    "\"reportingMta\":\"fbl.x.example\",\"reportedDomain\":\"s.example\",\"eventId\":9}\n");
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
		cmocka_unit_test_setup_teardown(an_hour_is_a_file_where_that_is_written, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_size_is_a_file_where_that_is_written, setup,
						teardown),
		cmocka_unit_test_setup_teardown(files_older_than_keep_go, setup, teardown),
		cmocka_unit_test_setup_teardown(another_header_sets_the_old_file_aside, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
		    a_bounce_that_came_back_is_a_record_in_powermta_s_columns, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_complaint_is_a_record_in_powermta_s_columns_and_order, setup, teardown),
		cmocka_unit_test_setup_teardown(both_as_json_have_what_they_have, setup, teardown),
	};
	int rc = conf ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	conf_unref(conf);
	return rc;
}
