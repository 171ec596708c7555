/* The delivery log: one clean line an event, JSON beside it, rotation without a lost line, old
 * files go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/report/delivery_log.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/stoker-log.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
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

static struct event sample(uint64_t id)
{
	return (struct event){ .id = id,
			       .at = 1700000000 * US_PER_S + 118 * US_PER_MS,
			       .type = EVENT_DELIVERED,
			       .message = 0x4f2a91,
			       .sender = STR_LIT("a@source.example"),
			       .recipient = STR_LIT("us1@yahoo.com"),
			       .virtual_mta = STR_LIT("vmta2"),
			       .mx = STR_LIT("mta6.am0"),
			       .reply = STR_LIT("250 2.0.0 ok dirdel"),
			       .seconds = 810 * US_PER_MS,
			       .attempt = 1 };
}

static struct delivery_log *open_log(const char *name, enum conf_rotate rotate, int64_t size,
				     us_t keep)
{
	static char path[128];
	static struct conf c;
	struct delivery_log *d = NULL;
	struct errbuf e = { "" };
	snprintf(path, sizeof path, "%s/%s", dir, name);
	c.mta.log_file = path;
	c.mta.log_rotate = rotate;
	c.mta.log_rotate_size = size;
	c.mta.log_keep = keep;
	assert_null(delivery_log_open(&c, &d, &e));
	return d;
}

static int count_files(const char *prefix)
{
	int n = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; (e = readdir(d));)
		n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	return n;
}

static size_t count_lines(const char *name)
{
	char path[256];
	size_t n = 0;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "re");
	for (int c; f && (c = getc(f)) != EOF;)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

static void an_event_is_one_line_that_a_person_reads(void **state)
{
	(void)state;
	struct buf b;
	struct event e = sample(1);
	buf_init(&b);
	event_line(&e, &b);
	assert_non_null(strstr(
	    buf_z(&b), " D 4f2a91 vmta2 us1@yahoo.com mta6.am0 250 2.0.0 ok dirdel 0.81s\n"));
	buf_clear(&b);
	e.reply = STR_LIT("550 \x1b[31mred\r\nsecond \xe2\x80\xae");
	event_line(&e, &b);
	assert_int_equal(b.p[b.n - 1], '\n');
	for (size_t i = 0; i + 1 < b.n; i++)
		assert_true((unsigned char)b.p[i] >= 32);
	assert_non_null(strstr(buf_z(&b), "\\x1b[31mred"));
	buf_clear(&b);
	e.type = EVENT_BOUNCED;
	e.reply = STR_LIT("550 no such user");
	e.category = STR_LIT("bad-mailbox");
	e.hard = true;
	event_line(&e, &b);
	assert_non_null(strstr(buf_z(&b), "550 no such user 0.81s [hard bad-mailbox]\n"));
	buf_clear(&b);
	event_json(&e, &b);
	assert_non_null(strstr(buf_z(&b), "\"category\":\"bad-mailbox\""));
	assert_non_null(strstr(buf_z(&b), "\"hard\":true"));
	buf_free(&b);
}

static void what_came_back_is_told_as_other_events_are(void **state)
{
	struct buf b;
	struct event e = { .type = EVENT_REMOTE_BOUNCED,
			   .message = 0x4f2a91,
			   .recipient = STR_LIT("us1@yahoo.com"),
			   .virtual_mta = STR_LIT("vmta2"),
			   .reporting_mta = STR_LIT("mx.forward.example"),
			   .reply = STR_LIT("550 5.1.1 no such user"),
			   .category = STR_LIT("bad-mailbox"),
			   .hard = true,
			   .matched = STR_LIT("verp") };

	(void)state;
	buf_init(&b);
	event_line(&e, &b);
	assert_non_null(strstr(buf_z(&b),
			       " b 4f2a91 vmta2 us1@yahoo.com mx.forward.example 550 5.1.1 no such "
			       "user [hard bad-mailbox]\n"));
	buf_clear(&b);
	event_json(&e, &b);
	assert_non_null(strstr(buf_z(&b), "\"type\":\"remote-bounced\""));
	assert_non_null(strstr(buf_z(&b), "\"hard\":true"));
	assert_non_null(strstr(buf_z(&b), "\"matched\":\"verp\""));
	buf_clear(&b);
	e = (struct event){ .type = EVENT_COMPLAINT,
			    .recipient = STR_LIT("us1@yahoo.com"),
			    .feedback_type = STR_LIT("abuse"),
			    .user_agent = STR_LIT("Loop/1") };
	event_line(&e, &b);
	assert_non_null(strstr(buf_z(&b), " F 0 - us1@yahoo.com - abuse\n"));
	buf_clear(&b);
	event_json(&e, &b);
	assert_non_null(strstr(buf_z(&b), "\"feedback_type\":\"abuse\""));
	assert_non_null(strstr(buf_z(&b), "\"user_agent\":\"Loop/1\""));
	assert_null(strstr(buf_z(&b), "\"message\""));
	buf_free(&b);
}

static void json_has_the_names_scripts_rely_on(void **state)
{
	(void)state;
	struct buf b;
	struct event e = sample(42);
	buf_init(&b);
	event_json(&e, &b);
	json_t *j = json_loads(buf_z(&b), 0, NULL);
	assert_non_null(j);
	assert_int_equal(json_integer_value(json_object_get(j, "id")), 42);
	assert_string_equal(json_string_value(json_object_get(j, "type")), "delivered");
	assert_string_equal(json_string_value(json_object_get(j, "message")), "4f2a91");
	assert_string_equal(json_string_value(json_object_get(j, "recipient")), "us1@yahoo.com");
	assert_true(json_object_get(j, "seconds") != NULL);
	assert_null(json_object_get(j, "tls")); /* without a value: left out */
	json_decref(j);
	buf_free(&b);
}

static void rotation_by_size_loses_no_line(void **state)
{
	(void)state;
	struct errbuf err = { "" };
	struct delivery_log *d = open_log("size.log", ROTATE_SIZE, 4096, US_NEVER);
	for (uint64_t i = 0; i < 200; i++) {
		struct event e = sample(i);
		delivery_log_event(d, &e);
		assert_null(delivery_log_flush(d, &err));
		assert_null(delivery_log_rotate(d, (us_t)(1700000000 + i) * US_PER_S, false, &err));
	}
	delivery_log_close(d);
	assert_true(count_files("size.log-2") > 2);
	size_t lines = count_lines("size.log");
	DIR *dp = opendir(dir);
	for (struct dirent *e; (e = readdir(dp));)
		if (strncmp(e->d_name, "size.log-", 9) == 0)
			lines += count_lines(e->d_name);
	closedir(dp);
	assert_int_equal(lines, 200);
}

static void a_full_disk_keeps_the_batch_and_tears_no_line(void **state)
{
	(void)state;
	struct errbuf err = { "" };
	struct delivery_log *d = open_log("full.log", ROTATE_NEVER, 0, US_NEVER);
	struct rlimit was, small;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &was);
	for (int i = 0; i < 10; i++) {
		struct event e = sample(1);
		delivery_log_event(d, &e);
	}
	small = (struct rlimit){ 300, was.rlim_max };
	setrlimit(RLIMIT_FSIZE, &small);
	assert_non_null(delivery_log_flush(d, &err));
	assert_int_equal(count_lines("full.log"), 0);
	setrlimit(RLIMIT_FSIZE, &was);
	assert_null(delivery_log_flush(d, &err));
	assert_int_equal(count_lines("full.log"), 10);
	assert_int_equal(count_lines("full.log.json"), 10);
	delivery_log_close(d);
}

static void old_files_go_after_log_keep(void **state)
{
	(void)state;
	struct errbuf err = { "" };
	char old[160];
	us_t now = clock_now_us();
	snprintf(old, sizeof old, "%s/keep.log-20200101T000000", dir);
	close(open(old, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	struct timespec t[2] = { { 1577836800, 0 }, { 1577836800, 0 } };
	utimensat(AT_FDCWD, old, t, 0);
	struct delivery_log *d = open_log("keep.log", ROTATE_DAILY, 0, 14 * US_PER_DAY);
	assert_null(delivery_log_rotate(d, now, false, &err));
	assert_int_not_equal(access(old, F_OK), 0);
	delivery_log_close(d);
}

static void what_a_kill_tore_is_cut_off_at_the_next_start(void **state)
{
	(void)state;
	struct errbuf err = { "" };
	char path[160];
	struct delivery_log *d = open_log("torn.log", ROTATE_NEVER, 0, US_NEVER);
	struct event e = sample(1);
	delivery_log_event(d, &e);
	assert_null(delivery_log_flush(d, &err));
	delivery_log_close(d);
	snprintf(path, sizeof path, "%s/torn.log.json", dir);
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, "{\"id\":2,\"at\":\"2026", 19), 19);
	close(fd);
	d = open_log("torn.log", ROTATE_NEVER, 0, US_NEVER);
	e = sample(2);
	delivery_log_event(d, &e);
	assert_null(delivery_log_flush(d, &err));
	delivery_log_close(d);
	assert_int_equal(count_lines("torn.log"), 2);
	json_error_t bad;
	FILE *f = fopen(path, "re");
	for (int i = 1; i <= 2; i++) {
		json_t *j = json_loadf(f, JSON_DISABLE_EOF_CHECK, &bad);
		assert_non_null(j);
		assert_int_equal(json_integer_value(json_object_get(j, "id")), i);
		json_decref(j);
	}
	fclose(f);
}

int main(void)
{
	clock_init();
	hash_seed(1, 2);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_one_line_that_a_person_reads),
		cmocka_unit_test(what_came_back_is_told_as_other_events_are),
		cmocka_unit_test(json_has_the_names_scripts_rely_on),
		cmocka_unit_test(rotation_by_size_loses_no_line),
		cmocka_unit_test(a_full_disk_keeps_the_batch_and_tears_no_line),
		cmocka_unit_test(old_files_go_after_log_keep),
		cmocka_unit_test(what_a_kill_tore_is_cut_off_at_the_next_start),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
