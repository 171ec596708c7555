/* The console's door: pages, commands, details, completion, header. */
#include "tests/unit/control/fake.h"

#include <jansson.h>

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

static bool answered(struct fake *f)
{
	return f->answer != NULL;
}

static struct link_answer *ask(struct fake *f, enum link_op op, enum role role, const char *words)
{
	struct link_request *r = calloc(1, sizeof *r);

	r->op = op;
	r->role = role;
	r->operator= 3;
	r->id = 77;
	r->user = text("op1");
	r->text = text(words);
	r->q = (struct query){ .list = LIST_SITES, .limit = 50 };
	link_answer_free(f->answer);
	f->answer = NULL;
	control_link(f->c, r);
	if (!f->answer)
		fake_run(f, answered);
	assert_int_equal(f->answer->id, 77);
	assert_int_equal(f->answer->operator, 3);
	assert_int_equal(f->answer->op, op);
	return f->answer;
}

static void test_a_page(void **state)
{
	struct fake *f = *state;
	struct row rows[] = { site_row(1, "google", STATE_OK, 10),
			      site_row(2, "yahoo", STATE_DOWN, 5) };
	struct link_answer *a;

	control_row(f->c, &rows[0]);
	control_row(f->c, &rows[1]);
	a = ask(f, LINK_QUERY, ROLE_READ, "");
	assert_int_equal(a->page->nrows, 2);
	assert_int_equal(a->page->rows[0].id, 2);
	/* The page stands when the mirror goes on. */
	struct row gone = { .id = 2, .kind = ROW_SITE, .deleted = true };

	control_row(f->c, &gone);
	assert_string_equal(a->page->rows[0].name->text, "yahoo");
	a = ask(f, LINK_QUERY, ROLE_READ, "goo");
	assert_int_equal(a->page->total, 1);
	a = ask(f, LINK_QUERY, ROLE_READ, "nofield:x");
	assert_has(a->page->error, "nofield");
}

static void test_a_command_line(void **state)
{
	struct fake *f = *state;
	struct link_answer *a;

	f->reply_text = "paused gmail.com for 4h (override 18)";
	a = ask(f, LINK_COMMAND, ROLE_OPERATE, "pause gmail.com because \"a b\"");
	assert_int_equal(a->exit, EXIT_DONE);
	assert_string_equal(a->text->text, "paused gmail.com for 4h (override 18)");
	assert_string_equal(f->session, "console 3");
	assert_string_equal(f->reason, "a b");
	assert_int_equal(a->confirm, -1);
	a = ask(f, LINK_COMMAND, ROLE_READ, "pause gmail.com");
	assert_int_equal(a->exit, EXIT_REFUSED);
	assert_has(a->text->text, "needs the role operate");
	a = ask(f, LINK_COMMAND, ROLE_OPERATE, "pause \"gmail.com");
	assert_int_equal(a->exit, EXIT_USAGE);
	a = ask(f, LINK_COMMAND, ROLE_OPERATE, "");
	assert_int_equal(a->exit, EXIT_USAGE);
	a = ask(f, LINK_COMMAND, ROLE_OPERATE, "sites");
	assert_string_equal(a->text->text, "no sites");
	a = ask(f, LINK_COMMAND, ROLE_OPERATE, "log -f");
	assert_int_equal(a->exit, EXIT_USAGE);
	/* undo is this session's own: no question, no search. */
	struct row mine = override_row(18, "pause", "gmail.com", "op1");

	control_row(f->c, &mine);
	a = ask(f, LINK_COMMAND, ROLE_OPERATE, "undo");
	assert_int_equal(f->last.type, CMD_UNDO);
}

static void test_an_irreversible_one_comes_back_with_its_count(void **state)
{
	struct fake *f = *state;
	struct link_answer *a;

	f->reply_done = 412318;
	a = ask(f, LINK_COMMAND, ROLE_ADMIN, "delete yahoo.com --shown-at 1700000000000001");
	assert_int_equal(a->confirm, 412318);
	assert_int_equal(f->commands, 1);
	assert_true(f->last.dry_run && f->last.shown_at == 1700000000000001);
	a = ask(f, LINK_COMMAND, ROLE_ADMIN,
		"delete yahoo.com --yes --expect 412318 --shown-at 1700000000000001");
	assert_int_equal(a->confirm, -1);
	assert_int_equal(a->exit, EXIT_DONE);
	assert_int_equal(f->commands, 2);
	assert_false(f->last.dry_run);
	assert_int_equal(f->last.expect, 412318);
	assert_true(f->last.shown_at == 1700000000000001);
}

/* CONSOLE.md, "Risk ladder": a command that was typed asks as a key does. */
static void test_much_at_once_asks(void **state)
{
	struct fake *f = *state;
	struct row big = site_row(1, "google", STATE_OK, 5000),
		   small = site_row(2, "tiny", STATE_OK, 9),
		   queue = queue_row(3, "gmail.com", "pool-a", STATE_OK, 5000);
	static const struct {
		const char *line, *says; /* NULL: at once */
	} cases[] = {
		{ "pause all", "Everything: 2 sites, " },
		{ "drain", "Everything" },
		{ "resume all", "Everything" },
		{ "pause job:x", "0 jobs" },
		{ "pause @google", "212 domains, 5.0k recipients\n  google" },
		{ "rate @goo* 5/s", "212 domains" },
		{ "retry gmail.com", "1 queue, 5.0k recipients" },
		{ "disable vmta:v1", "0 lanes" },
		{ "pause gmail.com", NULL },
		{ "pause @tiny", NULL },
		{ "retry @tiny", NULL },
		{ "enable vmta:v1", NULL },
		{ "pause --yes all", NULL },
		{ "pause id:77", NULL },
	};
	struct link_answer *a;
	int done = 0;

	big.site.domains = 212;
	small.site.domains = 1;
	control_row(f->c, &big);
	control_row(f->c, &small);
	control_row(f->c, &queue);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		a = ask(f, LINK_COMMAND, ROLE_ADMIN, cases[i].line);
		done += !cases[i].says;
		assert_int_equal(f->commands, done);
		assert_int_equal(a->risk, cases[i].says != NULL);
		if (cases[i].says)
			assert_has(a->text->text, cases[i].says);
	}
	assert_string_equal(ask(f, LINK_COMMAND, ROLE_ADMIN, "pause all")->risk_expiry,
			    "until ended; or 2h, 30m");
	assert_null(ask(f, LINK_COMMAND, ROLE_ADMIN, "retry all")->risk_expiry);
}

static void test_shutdown_wants_the_host_name(void **state)
{
	struct fake *f = *state;
	struct link_answer *a = ask(f, LINK_COMMAND, ROLE_ADMIN, "shutdown");

	assert_true(a->confirm >= 0);
	assert_string_equal(a->confirm_word->text, "mta1.example.net");
	assert_int_equal(f->shutdowns, 0);
	ask(f, LINK_COMMAND, ROLE_ADMIN, "shutdown --yes");
	assert_int_equal(f->shutdowns, 1);
}

static void test_details_and_completion(void **state)
{
	struct fake *f = *state;
	struct row r = queue_row(1, "gmail.com", "pool-a", STATE_OK, 1);
	struct link_answer *a;

	f->text = "{\"name\":\"gmail.com/pool-a\"}";
	a = ask(f, LINK_DETAIL, ROLE_READ, "gmail.com/pool-a");
	assert_string_equal(a->text->text, f->text);
	control_row(f->c, &r);
	a = ask(f, LINK_COMPLETE, ROLE_READ, "pause gm");
	assert_string_equal(a->text->text, "gmail.com\n");
}

static bool has_header(struct fake *f)
{
	return f->header[0] != '\0';
}

static void test_the_header_comes_by_itself(void **state)
{
	struct fake *f = *state;
	json_t *o;

	fake_run(f, has_header);
	o = json_loads(f->header, 0, NULL);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "hostname")), "mta1.example.net");
	json_decref(o);
}

static void test_alarms_of_both_kinds_have_numbers_of_one_row(void **state)
{
	struct fake *f = *state;
	struct row r = { .id = 500, .kind = ROW_ALARM };
	const struct row *seen;

	r.alarm.number = 7;
	r.alarm.severity = 2;
	r.alarm.code = text("backoff");
	r.alarm.target = text("@yahoo");
	control_alarm(f->c, "disk-floor", STR_LIT("spool"), 1, STR_LIT("disk full"));
	control_row(f->c, &r);
	seen = mirror_find(f->c->mirror, ROW_ALARM, 500);
	assert_int_equal(seen->alarm.number, 2);
	assert_int_equal(ask(f, LINK_COMMAND, ROLE_OPERATE, "ack 2 because seen")->exit, EXIT_DONE);
	/* The scheduler's next word about it does not know of the acknowledgement. */
	r = (struct row){ .id = 500, .kind = ROW_ALARM };
	r.alarm.severity = 1;
	r.alarm.code = text("backoff");
	control_row(f->c, &r);
	seen = mirror_find(f->c->mirror, ROW_ALARM, 500);
	assert_true(seen->alarm.acked && seen->alarm.number == 2);
	assert_string_equal(seen->alarm.ack->text, "op1: seen");
	/* Said again, an alarm is the same one; ended and raised, a new one. */
	control_alarm(f->c, "disk-floor", STR_LIT("spool"), 1, STR_LIT("disk fuller"));
	assert_int_equal(mirror_count(f->c->mirror, ROW_ALARM), 2);
	control_alarm_end(f->c, "disk-floor", STR_LIT("spool"));
	control_alarm(f->c, "disk-floor", STR_LIT("spool"), 1, STR_LIT("disk full"));
	assert_int_equal(mirror_count(f->c->mirror, ROW_ALARM), 3);
	/* What is over goes from the list after a while. */
	alarms_upkeep(f->c, clock_now_us());
	assert_int_equal(mirror_count(f->c->mirror, ROW_ALARM), 3);
	alarms_upkeep(f->c, clock_now_us() + US_PER_HOUR);
	assert_int_equal(mirror_count(f->c->mirror, ROW_ALARM), 2);
}

static void test_alarms_are_ordered_by_harm(void **state)
{
	static const struct {
		const char *code;
		int severity;
	} raised[] = { { "loop-stall", 1 }, { "source-down", 2 },    { "disk-floor", 1 },
		       { "made-up", 1 },    { "spool-poisoned", 1 }, { "clock-jump", 3 },
		       { "no-progress", 1 } };
	static const char *const expect[] = { "no-progress", "spool-poisoned", "disk-floor",
					      "made-up",     "loop-stall",     "source-down",
					      "clock-jump" };
	struct fake *f = *state;
	struct query q = { .list = LIST_ALARMS };
	struct page *p;

	for (size_t i = 0; i < sizeof raised / sizeof raised[0]; i++)
		control_alarm(f->c, raised[i].code, STR_LIT("x"), raised[i].severity,
			      STR_LIT("words"));
	p = query_run(f->c->mirror, &q, clock_now_us());
	assert_int_equal(p->nrows, 7);
	for (int i = 0; i < 7; i++)
		assert_string_equal(p->rows[i].alarm.code->text, expect[i]);
	page_free(p);
}

static void test_no_answer_within_a_minute_is_an_answer(void **state)
{
	struct fake *f = *state;
	struct link_request *r = calloc(1, sizeof *r);

	f->hold = true;
	r->op = LINK_COMMAND;
	r->role = ROLE_OPERATE;
	r->user = text("op1");
	r->text = text("pause --yes all");
	control_link(f->c, r);
	assert_null(f->answer);
	requests_expire(f->c, clock_now_us() + 30 * US_PER_S);
	assert_null(f->answer);
	requests_expire(f->c, clock_now_us() + 61 * US_PER_S);
	assert_has(f->answer->text->text, "no answer");
	fake_answer(f, f->held); /* too late: dropped */
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_page),
		T(test_a_command_line),
		T(test_an_irreversible_one_comes_back_with_its_count),
		T(test_much_at_once_asks),
		T(test_shutdown_wants_the_host_name),
		T(test_details_and_completion),
		T(test_the_header_comes_by_itself),
		T(test_alarms_of_both_kinds_have_numbers_of_one_row),
		T(test_alarms_are_ordered_by_harm),
		T(test_no_answer_within_a_minute_is_an_answer),
	};

	clock_init();
	hash_seed(1, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
