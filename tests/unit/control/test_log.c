/* The log ring: by the CLI, followed, and by the console's door. */
#include "tests/unit/control/fake.h"

static int setup(void **state)
{
	struct fake *f = calloc(1, sizeof *f);

	fake_open(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fake_close(*state);
	free(*state);
	return 0;
}

/* Event id: every tenth is bounced, recipient us<id>@… of yahoo.com (odd) or gmail.com (even). */
static void add_events(struct fake *f, uint64_t first, int n)
{
	struct buf b;

	buf_init(&b);
	for (uint64_t id = first; id < first + (uint64_t)n; id++) {
		char recipient[64];
		struct event e = { .at = world_now, .message = 0x4f2a00 + id, .attempt = 1 };

		snprintf(recipient, sizeof recipient, "us%llu@%s.com", (unsigned long long)id,
			 id % 2 ? "yahoo" : "gmail");
		e.type = id % 10 ? EVENT_DELIVERED : EVENT_BOUNCED;
		e.recipient = str_of(recipient);
		e.sender = STR_LIT("news@shop.example");
		e.virtual_mta = STR_LIT("vmta1");
		e.mx = STR_LIT("mx1.example");
		e.reply = id % 10 ? STR_LIT("250 2.0.0 ok") : STR_LIT("554 5.7.1 no \x1b[31m");
		e.seconds = 810 * US_PER_MS;
		event_encode(&b, &e);
	}
	control_events(f->c, first, rstr_new(buf_str(&b)), n);
	buf_free(&b);
}

static int count_lines(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

static void test_log_shows_the_last_ones(void **state)
{
	struct fake *f = *state;

	add_events(f, 5000, 3000);
	assert_int_equal(fake_command(f, ROLE_READ, "log"), EXIT_DONE);
	assert_int_equal(count_lines(fake_out(f)), 1000);
	assert_has(fake_out(f), "us7999@yahoo.com");
	assert_null(strstr(fake_out(f), "us6999@"));
	assert_null(strchr(fake_out(f), '\x1b'));
	assert_int_equal(fake_command(f, ROLE_READ, "log --limit 0"), EXIT_DONE);
	assert_int_equal(count_lines(fake_out(f)), 3000);
	assert_int_equal(fake_command(f, ROLE_READ, "log --limit 3 type:bounced --json"),
			 EXIT_DONE);
	assert_int_equal(count_lines(fake_out(f)), 3);
	assert_has(fake_out(f), "us7990@gmail.com");
	assert_has(fake_out(f), "us7970@gmail.com");
}

static void test_log_filters(void **state)
{
	static const struct {
		const char *filter;
		int lines;
	} t[] = {
		{ "yahoo", 50 },
		{ "!yahoo", 50 },
		{ "type:bounced", 10 },
		{ "recipient:us100@", 1 },
		{ "4f2a64", 1 },
		{ "message:4f2a64", 1 },
		{ "reply:2.0.0", 90 },
		{ "!reply:2.0.0", 10 },
		{ "seconds>0.8", 100 },
		{ "seconds>0.9", 0 },
		{ "attempt>=1 mx:mx1", 100 },
		{ "virtual_mta:vmta2|vmta1", 100 },
		{ "/us1[0-9]{2}@gmail/", 50 },
		{ "bounced|us101@", 11 },
		{ "id>150", 49 },
	};
	struct fake *f = *state;

	add_events(f, 100, 100);
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		char line[128];

		snprintf(line, sizeof line, "log %s", t[i].filter);
		assert_int_equal(fake_command(f, ROLE_READ, line), EXIT_DONE);
		if (count_lines(fake_out(f)) != t[i].lines)
			fail_msg("%s: %d lines", t[i].filter, count_lines(fake_out(f)));
	}
	assert_int_equal(fake_command(f, ROLE_READ, "log recipent:x"), EXIT_USAGE);
	assert_has(fake_err(f), "did you mean \"recipient\"");
	assert_int_equal(fake_command(f, ROLE_READ, "log --sort at"), EXIT_USAGE);
}

static bool follows(struct fake *f)
{
	return f->c->requests.used == 1 && !f->c->runnable;
}

static bool has_201(struct fake *f)
{
	return strstr(fake_out(f), "us201@") != NULL;
}

static void test_follow_writes_what_comes(void **state)
{
	struct fake *f = *state;

	add_events(f, 100, 100);
	fake_connect(f, ROLE_READ, "op1");
	fake_send_command(f, "log -f yahoo", false);
	fake_run(f, follows);
	assert_string_equal(fake_out(f), "");
	add_events(f, 200, 2);
	fake_run(f, has_201);
	assert_null(strstr(fake_out(f), "us200@"));
	fake_disconnect(f);
}

static bool has_tail(struct fake *f)
{
	return strstr(fake_out(f), "us250199@") && strstr(fake_err(f), "too slow");
}

static void test_a_slow_follower_loses_the_oldest_and_is_told(void **state)
{
	struct fake *f = *state;

	add_events(f, 100, 100);
	f->asleep = true;
	fake_connect(f, ROLE_READ, "op1");
	fake_send_command(f, "log -f", false);
	fake_run(f, follows);
	for (uint64_t id = 200; id < 250200; id += 1000) {
		add_events(f, id, 1000);
		requests_pump(f->c, US_PER_S);
	}
	f->asleep = false;
	ev_io_start(loop_ev(f->loop), &f->watcher);
	fake_run(f, has_tail);
	fake_disconnect(f);
}

/* ---- the console's door ---- */

static bool answered(struct fake *f)
{
	return f->answer != NULL;
}

static struct link_answer *ask(struct fake *f, struct link_request r)
{
	struct link_request *own = malloc(sizeof *own);

	*own = r;
	own->operator= 3;
	own->id = 77;
	own->user = text("op1");
	link_answer_free(f->answer);
	f->answer = NULL;
	control_link(f->c, own);
	if (!f->answer)
		fake_run(f, answered);
	assert_int_equal(f->answer->id, 77);
	assert_int_equal(f->answer->operator, 3);
	return f->answer;
}

static void test_lines_for_the_console(void **state)
{
	struct fake *f = *state;
	struct link_answer *a;

	a = ask(f, (struct link_request){ .op = LINK_LOG, .n = 10 });
	assert_int_equal(a->nlines, 0);
	add_events(f, 1000, 5000);
	/* The newest. */
	a = ask(f, (struct link_request){ .op = LINK_LOG, .n = 10 });
	assert_int_equal(a->nlines, 10);
	assert_int_equal(a->lines[0].id, 5990);
	assert_int_equal(a->lines[9].id, 5999);
	assert_int_equal(a->matched, 0);
	assert_int_equal(a->log_first, 1000);
	assert_int_equal(a->log_last, 5999);
	assert_has(a->lines[9].text->text, "\"recipient\":\"us5999@yahoo.com\"");
	/* After a line: the next ones, and how many more. */
	a = ask(f, (struct link_request){ .op = LINK_LOG, .n = 10, .from_event = 5900 });
	assert_int_equal(a->nlines, 10);
	assert_int_equal(a->lines[0].id, 5901);
	assert_int_equal(a->matched, 89);
	/* Before a line, errors only: [ jumps there. */
	a = ask(f, (struct link_request){ .op = LINK_LOG,
					  .n = 2,
					  .from_event = 5905,
					  .backwards = true,
					  .errors_only = true });
	assert_int_equal(a->nlines, 2);
	assert_int_equal(a->lines[0].id, 5890);
	assert_int_equal(a->lines[1].id, 5900);
	assert_int_equal(a->matched, 9);
	/* With a filter, from the end to the beginning of the ring. */
	a = ask(f, (struct link_request){ .op = LINK_LOG,
					  .n = 5,
					  .text = text("us1001@"),
					  .from_event = 5999,
					  .backwards = true });
	assert_int_equal(a->nlines, 1);
	assert_int_equal(a->lines[0].id, 1001);
	/* Only counting: what is new below. */
	a = ask(f, (struct link_request){
		       .op = LINK_LOG, .n = 0, .from_event = 5000, .text = text("yahoo") });
	assert_int_equal(a->nlines, 0);
	assert_int_equal(a->matched, 500);
	a = ask(f, (struct link_request){ .op = LINK_LOG, .n = 5, .text = text("nofield:x") });
	assert_int_equal(a->exit, EXIT_USAGE);
	assert_has(a->text->text, "nofield");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_log_shows_the_last_ones),
		T(test_log_filters),
		T(test_follow_writes_what_comes),
		T(test_a_slow_follower_loses_the_oldest_and_is_told),
		T(test_lines_for_the_console),
	};

	clock_init();
	hash_seed(1, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
