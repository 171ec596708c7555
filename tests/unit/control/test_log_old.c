/* The log's files as the console looks back into them: by time and by number, over rotated ones,
 * with the ring's filters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/control/log_old.h"
#include "core/control/logring.h"
#include "core/report/delivery_log.h"

enum { A_FILE = 1500 }; /* events; more than what is read at once */
#define BEGIN ((us_t)1700000000 * US_PER_S)

static char dir[64], path[128];
static struct link_answer *got;

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/stoker-old-log.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/delivery.log", dir);
	return 0;
}

static int teardown(void **state)
{
	DIR *d = opendir(dir);

	(void)state;
	link_answer_free(got);
	got = NULL;
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	return rmdir(dir);
}

/* One a second from BEGIN on; every hundredth is bounced. */
static struct event sample(uint64_t id)
{
	return (struct event){ .id = id,
			       .at = BEGIN + (us_t)id * US_PER_S,
			       .type = id % 100 ? EVENT_DELIVERED : EVENT_BOUNCED,
			       .message = 0x4f2a00 + id,
			       .rcpt = 0,
			       .sender = STR_LIT("a@source.example"),
			       .recipient =
				   id % 2 ? STR_LIT("us1@yahoo.com") : STR_LIT("us2@gmail.com"),
			       .queue = STR_LIT("yahoo.com/pool-a"),
			       .site = STR_LIT("yahoo"),
			       .virtual_mta = STR_LIT("vmta2"),
			       .source_ip = STR_LIT("192.0.2.15"),
			       .mx = STR_LIT("mta6.am0"),
			       .mx_ip = STR_LIT("198.51.100.6"),
			       .reply = STR_LIT("550 5.1.1 no \x1b[31muser \"x\" \xc3\xb6"),
			       .enhanced = STR_LIT("5.1.1"),
			       .category = id % 100 ? STR_LIT("") : STR_LIT("bad-mailbox"),
			       .hard = id % 100 == 0,
			       .job = STR_LIT("news-1123"),
			       .user = STR_LIT("shop-7"),
			       .seconds = 810 * US_PER_MS,
			       .queued_at = BEGIN,
			       .size = 48100,
			       .attempt = 2 };
}

static void write_log(uint64_t first, uint64_t last, bool rotate)
{
	struct delivery_log *d = NULL;
	struct errbuf e = { "" };
	struct conf c = { .mta.log_file = path,
			  .mta.log_rotate = ROTATE_NEVER,
			  .mta.log_keep = US_NEVER };

	assert_null(delivery_log_open(&c, &d, &e));
	for (uint64_t id = first; id <= last; id++) {
		struct event ev = sample(id);
		delivery_log_event(d, &ev);
	}
	assert_null(delivery_log_flush(d, &e));
	if (rotate)
		assert_null(delivery_log_rotate(d, BEGIN + (us_t)last * US_PER_S, true, &e));
	delivery_log_close(d);
}

/* Two rotated files and one that is written: events 1 to 4500. */
static void write_three(void)
{
	write_log(1, A_FILE, true);
	write_log(A_FILE + 1, 2 * A_FILE, true);
	write_log(2 * A_FILE + 1, 3 * A_FILE, false);
}

static void look(struct link_request r, const char *filter)
{
	r.op = LINK_OLD_LOG;
	r.text = rstr_new(str_of(filter));
	link_answer_free(got);
	got = log_old_read(&r, path, BEGIN + US_PER_DAY);
	assert_non_null(got);
	rstr_unref(r.text);
}

static void expect_lines(uint64_t first, uint64_t last, uint64_t step)
{
	assert_int_equal(got->exit, 0);
	assert_int_equal(got->nlines, (last - first) / step + 1);
	for (int i = 0; i < got->nlines; i++) {
		struct event e = sample(first + (uint64_t)i * step);
		assert_int_equal(got->lines[i].id, e.id);
		assert_int_equal(got->lines[i].at, e.at);
		assert_int_equal(got->lines[i].type, e.type);
	}
}

static void a_time_is_found_in_each_file(void **state)
{
	(void)state;
	write_three();
	for (uint64_t id = 1; id <= 3 * A_FILE - 10; id += 7) {
		look((struct link_request){ .at = sample(id).at, .n = 10 }, "");
		expect_lines(id, id + 9, 1);
	}
	assert_int_equal(got->log_first, 1);
	look((struct link_request){ .at = sample(2000).at - US_PER_S / 2, .n = 1 }, "");
	expect_lines(2000, 2000, 1);
	look((struct link_request){ .at = BEGIN - US_PER_DAY, .n = 3 }, "");
	expect_lines(1, 3, 1);
	look((struct link_request){ .at = sample(3 * A_FILE).at + 1, .n = 3 }, "");
	assert_int_equal(got->nlines, 0);
	assert_int_equal(got->log_looked, 0);
}

static void lines_before_and_after_a_number_go_over_files(void **state)
{
	(void)state;
	write_three();
	look((struct link_request){ .from_event = A_FILE + 5, .backwards = true, .n = 10 }, "");
	expect_lines(A_FILE - 5, A_FILE + 4, 1);
	look((struct link_request){ .from_event = 2 * A_FILE - 5, .n = 10 }, "");
	expect_lines(2 * A_FILE - 4, 2 * A_FILE + 5, 1);
	look((struct link_request){ .from_event = 4, .backwards = true, .n = 10 }, "");
	expect_lines(1, 3, 1);
	look((struct link_request){ .from_event = 1, .backwards = true, .n = 10 }, "");
	assert_int_equal(got->nlines, 0);
	look((struct link_request){ .from_event = 3 * A_FILE, .n = 10 }, "");
	assert_int_equal(got->nlines, 0);
	look(
	    (struct link_request){
		.from_event = 4000, .backwards = true, .errors_only = true, .n = 30 },
	    "");
	expect_lines(1000, 3900, 100);
	look((struct link_request){ .from_event = 90, .errors_only = true, .n = 1 }, "");
	expect_lines(100, 100, 1);
	look((struct link_request){ .from_event = 4001, .backwards = true, .n = 3 },
	     "recipient:gmail");
	expect_lines(3996, 4000, 2);
}

/* A filter means the same here as in the ring, whichever field it asks for. */
static void filters_mean_what_they_mean_in_the_ring(void **state)
{
	static const char *const filters[] = {
		"type:bounced",
		"type:deferred",
		"message:4f2a64",
		"sender:source",
		"queue:pool-a",
		"virtual_mta:vmta2",
		"source_ip:192.0.2.15",
		"mx:mta6",
		"mx_ip:198.51",
		"reply:550",
		"enhanced:5.1.1",
		"category:bad-mailbox",
		"hard:yes",
		"seconds>0.5",
		"seconds>2",
		"size>48k",
		"size>1M",
		"job:news",
		"user:shop",
		"attempt:2",
		"attempt>2",
		"maybe_twice:yes",
		"site:yahoo",
		"site:google",
		"id>100",
		"id>99",
		"!reply:550",
		"at>10m",
		"at<10m",
	};
	struct event e = sample(100);
	struct errbuf err = { "" };
	int matched = 0;

	(void)state;
	write_log(100, 100, false);
	for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
		struct sieve *s = event_filter_parse(str_of(filters[i]), &err);
		if (!s)
			fail_msg("%s: %s", filters[i], err.text);
		bool ring = event_filter_match(s, &e, BEGIN + US_PER_DAY);
		look((struct link_request){ .at = BEGIN, .n = 1 }, filters[i]);
		if (got->nlines != ring)
			fail_msg("%s: %d in the ring, %d in the file", filters[i], ring,
				 got->nlines);
		matched += ring;
		sieve_free(s);
	}
	assert_in_range(matched, 10, 25);
	look((struct link_request){ .at = BEGIN, .n = 1 }, "nonsense>3");
	assert_int_not_equal(got->exit, 0);
	assert_non_null(got->text);
}

static void append(const char *name, const char *text)
{
	char file[256];
	FILE *f;

	snprintf(file, sizeof file, "%s/%s", dir, name);
	f = fopen(file, "ae");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* What a kill repeated, what it tore, and what is no log of ours. */
static void odd_files_and_lines_are_passed_over(void **state)
{
	(void)state;
	write_log(1, 1000, false);
	write_log(950, 1010, false);
	append("delivery.log.json", "{\"id\":1011,\"at\":\"2023-11-14T22:3");
	append("delivery.log.json-20231114T223000.gz", "\x1f\x8b\x08 no text");
	append("delivery.log.json-20231114T223001", "");
	append("delivery.log.jsonl", "{\"id\":1,\"at\":\"2023-11-14T22:30:00.000Z\"}\n");
	look((struct link_request){ .from_event = 940, .n = 100 }, "");
	expect_lines(941, 1010, 1);
	look((struct link_request){ .from_event = 1012, .backwards = true, .n = 100 }, "");
	expect_lines(911, 1010, 1);
	strcat(path, ".none");
	look((struct link_request){ .at = BEGIN, .n = 10 }, "");
	assert_int_equal(got->nlines, 0);
	assert_int_equal(got->log_first, 0);
}

/* A rare filter in a large log: as much as holds no worker up, and where to go on. */
static void a_long_look_comes_in_pieces(void **state)
{
	enum { MANY = 140000 };
	int pieces = 1;

	(void)state;
	write_log(1, MANY, false);
	look((struct link_request){ .at = BEGIN, .n = 1 }, "id:140000");
	for (; got->log_looked; pieces++) {
		assert_int_equal(got->nlines, 0);
		look((struct link_request){ .from_event = got->log_looked, .n = 1 }, "id:140000");
	}
	assert_in_range(pieces, 2, 3);
	expect_lines(MANY, MANY, 1);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_time_is_found_in_each_file),
		T(lines_before_and_after_a_number_go_over_files),
		T(filters_mean_what_they_mean_in_the_ring),
		T(odd_files_and_lines_are_passed_over),
		T(a_long_look_comes_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
