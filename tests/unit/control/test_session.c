/* Commands over the control socket, from the first frame to the exit code. */
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

static json_t *out_json(struct fake *f)
{
	json_t *o = json_loadb(f->out.p, f->out.n, JSON_REJECT_DUPLICATES, NULL);

	if (!o)
		fail_msg("no JSON: %s", fake_out(f));
	return o;
}

static void add_queues(struct fake *f, int n)
{
	for (int i = 1; i <= n; i++) {
		char domain[32];

		snprintf(domain, sizeof domain, "d%d.example", i);
		struct row r = queue_row((uint64_t)i, domain, "pool-a",
					 i == 7 ? STATE_DOWN : STATE_OK, (uint64_t)i);

		control_row(f->c, &r);
	}
}

/* ---- status ---- */

static void test_status_has_the_documented_names(void **state)
{
	static const char *const names[] = { "version",	  "hostname", "uptime",	     "state",
					     "config",	  "in",	      "out",	     "accepted",
					     "delivered", "deferred", "bounced",     "expired",
					     "removed",	  "queued",   "maybe_twice", "spool",
					     "memory",	  "loops",    "operators",   "alarms" };
	struct fake *f = *state;
	struct sched_totals t = { .accepted = 100,
				  .delivered = 60,
				  .bounced = 10,
				  .expired = 5,
				  .removed = 3,
				  .queued = 22,
				  .deferred = 50,
				  .out_rate = 2.5F,
				  .connections = 4,
				  .connection_limit = 4000 };
	json_t *o;

	control_totals(f->c, &t);
	control_alarm(f->c, "disk-floor", STR_LIT("spool"), 1, STR_LIT("the disk is nearly full"));
	assert_int_equal(fake_command(f, ROLE_READ, "status --json"), EXIT_DONE);
	o = out_json(f);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (!json_object_get(o, names[i]))
			fail_msg("status has no %s", names[i]);
	assert_int_equal(json_integer_value(json_object_get(o, "accepted")),
			 json_integer_value(json_object_get(o, "delivered")) +
			     json_integer_value(json_object_get(o, "bounced")) +
			     json_integer_value(json_object_get(o, "expired")) +
			     json_integer_value(json_object_get(o, "removed")) +
			     json_integer_value(json_object_get(o, "queued")));
	json_t *alarm = json_array_get(json_object_get(o, "alarms"), 0);

	assert_string_equal(json_string_value(json_object_get(alarm, "code")), "disk-floor");
	assert_string_equal(json_string_value(json_object_get(alarm, "severity")), "red");
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(o, "config"), "number")), 41);
	assert_true(
	    json_number_value(json_object_get(json_object_get(o, "spool"), "load_progress")) == 1);
	assert_true(json_number_value(json_object_get(json_object_get(o, "out"), "rate")) == 2.5);
	json_decref(o);
	assert_int_equal(fake_command(f, ROLE_READ, "status"), EXIT_DONE);
	assert_has(fake_out(f), "mta1.example.net");
	assert_has(fake_out(f), "nearly full");
}

static void test_status_check_is_for_monitors(void **state)
{
	struct fake *f = *state;

	assert_int_equal(fake_command(f, ROLE_READ, "status --check"), 0);
	assert_has(fake_out(f), "OK: ");
	control_alarm(f->c, "source-down", STR_LIT("vmta4"), 2, STR_LIT("vmta4 has no address"));
	assert_int_equal(fake_command(f, ROLE_READ, "status --check"), 1);
	assert_has(fake_out(f), "YELLOW: vmta4 has no address");
	control_alarm(f->c, "disk-floor", STR_LIT("spool"), 1, STR_LIT("disk full"));
	assert_int_equal(fake_command(f, ROLE_READ, "status --check"), 2);
	assert_has(fake_out(f), "RED: disk full (and 1 more)");
	assert_int_equal(fake_command(f, ROLE_OPERATE, "ack 2 because \"ticket 7\""), EXIT_DONE);
	assert_int_equal(fake_command(f, ROLE_READ, "status --check"), 1);
	assert_has(fake_out(f), "1 acknowledged");
	control_alarm_end(f->c, "source-down", STR_LIT("vmta4"));
	assert_int_equal(fake_command(f, ROLE_READ, "status --check"), 0);
	assert_int_equal(fake_command(f, ROLE_READ, "alarms --json"), 0);
	assert_has(fake_out(f), "op1: ticket 7");
	assert_int_equal(fake_command(f, ROLE_OPERATE, "ack 99"), EXIT_REFUSED);
	assert_has(fake_err(f), "no alarm 99");
}

/* ---- lists ---- */

static void test_a_list_of_any_length_is_one_json(void **state)
{
	struct fake *f = *state;
	json_t *o;

	add_queues(f, 3000);
	assert_int_equal(fake_command(f, ROLE_READ, "queues --json"), EXIT_DONE);
	o = out_json(f);
	assert_int_equal(json_integer_value(json_object_get(o, "total")), 3000);
	assert_int_equal(json_array_size(json_object_get(o, "rows")), 3000);
	json_t *first = json_array_get(json_object_get(o, "rows"), 0);

	assert_string_equal(json_string_value(json_object_get(first, "domain")), "d7.example");
	json_decref(o);
	assert_int_equal(
	    fake_command(f, ROLE_READ,
			 "queues --json --filter d29 --sort -queued --limit 2 --offset 1"),
	    EXIT_DONE);
	o = out_json(f);
	assert_int_equal(json_array_size(json_object_get(o, "rows")), 2);
	assert_int_equal(json_integer_value(json_object_get(o, "total")), 1 + 10 + 100);
	json_decref(o);
	assert_int_equal(fake_command(f, ROLE_READ, "sites --json"), EXIT_DONE);
	o = out_json(f);
	assert_int_equal(json_integer_value(json_object_get(o, "total")), 0);
	json_decref(o);
	assert_int_equal(fake_command(f, ROLE_READ, "queues --filter nofield:x"), EXIT_USAGE);
	assert_has(fake_err(f), "nofield");
}

static void test_a_text_list_is_a_table(void **state)
{
	struct fake *f = *state;

	add_queues(f, 10);
	assert_int_equal(fake_command(f, ROLE_READ, "queues --limit 3"), EXIT_DONE);
	assert_has(fake_out(f), "QUEUE ");
	assert_has(fake_out(f), "d7.example/pool-a");
	assert_has(fake_out(f), "(7 more, 29 recipients;");
	assert_int_equal(fake_command(f, ROLE_READ, "jobs"), EXIT_DONE);
	assert_string_equal(fake_out(f), "no jobs\n");
}

/* ---- acts ---- */

static void test_pause_reaches_the_scheduler_and_the_audit_log(void **state)
{
	struct fake *f = *state;

	f->reply_text = "paused corp.example for 4h (override 18)";
	assert_int_equal(
	    fake_command(f, ROLE_OPERATE, "pause corp.example for 4h because \"MX moves\""),
	    EXIT_DONE);
	assert_string_equal(fake_out(f), "paused corp.example for 4h (override 18)\n");
	assert_string_equal(f->target, "corp.example");
	assert_string_equal(f->who, "op1");
	assert_string_equal(f->reason, "MX moves");
	assert_string_equal(f->session, "cli");
	assert_string_equal(f->audit, "op1 (cli): pause corp.example for 4h because \"MX moves\" "
				      "-> done: paused corp.example for 4h "
				      "(override 18)\n");
}

static void test_a_refusal_is_one_line_with_near_names(void **state)
{
	struct fake *f = *state;

	add_queues(f, 20);
	f->reply_exit = EXIT_REFUSED;
	f->reply_text = "nothing is known of d12.exampel";
	assert_int_equal(fake_command(f, ROLE_OPERATE, "pause d12.exampel"), EXIT_REFUSED);
	assert_has(fake_err(f), "nothing is known of d12.exampel; near to it: d12.example");
	assert_int_equal(strchr(fake_err(f), '\n') - fake_err(f) + 1, (long)strlen(fake_err(f)));
	assert_string_equal(fake_out(f), "");
	assert_has(f->audit, "-> refused: nothing is known");
}

static void test_roles_are_kept(void **state)
{
	struct fake *f = *state;

	assert_int_equal(fake_command(f, ROLE_READ, "pause all"), EXIT_REFUSED);
	assert_has(fake_err(f), "needs the role operate; op1 has read");
	assert_int_equal(fake_command(f, ROLE_OPERATE, "bounce all --yes"), EXIT_REFUSED);
	assert_int_equal(fake_command(f, ROLE_OPERATE, "shutdown --yes"), EXIT_REFUSED);
	assert_int_equal(fake_command(f, ROLE_NONE, "status"), EXIT_REFUSED);
	assert_has(fake_err(f), "[console]");
	assert_int_equal(f->commands, 0);
	assert_int_equal(f->shutdowns, 0);
	assert_int_equal(fake_command(f, ROLE_ADMIN, "frobnicate"), EXIT_USAGE);
	assert_int_equal(fake_command(f, ROLE_ADMIN, "run"), EXIT_USAGE);
	assert_int_equal(fake_command(f, ROLE_READ, "help pause"), EXIT_DONE);
	assert_has(fake_out(f), "hold mail back");
}

static bool asked(struct fake *f)
{
	return f->question[0] || f->closed;
}

static void test_irreversible_without_terminal_needs_yes(void **state)
{
	struct fake *f = *state;

	f->reply_done = 412318;
	assert_int_equal(fake_command(f, ROLE_ADMIN, "delete yahoo.com"), EXIT_REFUSED);
	assert_has(fake_err(f), "412318 recipients of yahoo.com");
	assert_has(fake_err(f), "--yes");
	assert_int_equal(f->commands, 1);
	assert_int_equal(f->dry_runs, 1);
	assert_int_equal(fake_command(f, ROLE_ADMIN, "delete yahoo.com --yes"), EXIT_DONE);
	assert_int_equal(f->commands, 3);
	assert_false(f->last.dry_run);
	assert_int_equal(f->last.expect, 412318);
	assert_true(f->last.shown_at > 0);
}

static void test_irreversible_on_a_terminal_asks_for_the_number(void **state)
{
	struct fake *f = *state;

	f->reply_done = 412318;
	fake_connect(f, ROLE_ADMIN, "op1");
	fake_send_command(f, "bounce yahoo.com", true);
	fake_run(f, asked);
	assert_has(f->question, "\"count\":412318");
	assert_has(f->question, "\"type\":\"412318\"");
	assert_int_equal(f->commands, 1);
	us_t shown = f->last.shown_at;

	fake_send(f, 'Y', STR_LIT("412318"));
	fake_run(f, fake_left);
	fake_disconnect(f);
	assert_int_equal(f->exit, EXIT_DONE);
	assert_int_equal(f->commands, 2);
	assert_int_equal(f->last.expect, 412318);
	/* What was frozen is what was shown. */
	assert_true(f->last.shown_at == shown);
	fake_connect(f, ROLE_ADMIN, "op1");
	fake_send_command(f, "bounce yahoo.com", true);
	fake_run(f, asked);
	fake_send(f, 'Y', STR_LIT("412317"));
	fake_run(f, fake_left);
	fake_disconnect(f);
	assert_int_equal(f->exit, EXIT_REFUSED);
	assert_int_equal(f->commands, 3);
}

static void test_leaving_at_the_question_does_nothing(void **state)
{
	struct fake *f = *state;

	f->reply_done = 5;
	fake_connect(f, ROLE_ADMIN, "op1");
	fake_send_command(f, "delete yahoo.com", true);
	fake_run(f, asked);
	fake_disconnect(f);
	assert_int_equal(fake_command(f, ROLE_READ, "status"), EXIT_DONE);
	assert_int_equal(f->commands, 1);
	assert_int_equal(f->dry_runs, 1);
	assert_null(f->c->sessions);
}

static bool commanded(struct fake *f)
{
	return f->commands > 0;
}

static void test_an_act_whose_client_left_is_still_audited(void **state)
{
	struct fake *f = *state;

	f->hold = true;
	fake_connect(f, ROLE_OPERATE, "op1");
	fake_send_command(f, "pause all", false);
	fake_run(f, commanded);
	fake_disconnect(f);
	assert_int_equal(fake_command(f, ROLE_READ, "sites"), EXIT_DONE);
	fake_answer(f, f->held);
	assert_has(f->audit, "pause all -> done: done as told");
}

static void test_undo_on_a_terminal_shows_what_it_ends(void **state)
{
	struct fake *f = *state;
	struct row mine = override_row(18, "pause", "corp.example", "op1"),
		   other = override_row(19, "pause", "all", "op2");

	control_row(f->c, &mine);
	control_row(f->c, &other);
	fake_connect(f, ROLE_OPERATE, "op1");
	fake_send_command(f, "undo", true);
	fake_run(f, asked);
	assert_has(f->question, "override 18: pause corp.example");
	assert_int_equal(f->commands, 0);
	fake_send(f, 'Y', STR_LIT("yes"));
	fake_run(f, fake_left);
	fake_disconnect(f);
	assert_int_equal(f->last.type, CMD_END);
	assert_int_equal(f->last.number, 18);
	assert_int_equal(fake_command(f, ROLE_OPERATE, "undo"), EXIT_DONE);
	assert_int_equal(f->last.type, CMD_UNDO);
}

static void test_shutdown_wants_the_host_name(void **state)
{
	struct fake *f = *state;

	assert_int_equal(fake_command(f, ROLE_ADMIN, "shutdown"), EXIT_REFUSED);
	fake_connect(f, ROLE_ADMIN, "op1");
	fake_send_command(f, "shutdown", true);
	fake_run(f, asked);
	assert_has(f->question, "\"type\":\"mta1.example.net\"");
	fake_send(f, 'Y', STR_LIT("mta1.example.net"));
	fake_run(f, fake_left);
	fake_disconnect(f);
	assert_int_equal(f->shutdowns, 1);
	assert_int_equal(fake_command(f, ROLE_ADMIN, "shutdown --yes"), EXIT_DONE);
	assert_int_equal(f->shutdowns, 2);
}

static void test_reload_prints_what_the_worker_says(void **state)
{
	struct fake *f = *state;

	f->text = "~ [domain yahoo.com]  max-msg-rate  300/s -> 200/s\n- [domain old.example]\n";
	assert_int_equal(fake_command(f, ROLE_ADMIN, "reload --dry-run"), EXIT_DONE);
	assert_string_equal(fake_out(f), f->text);
	assert_true(f->reload_dry);
	assert_int_equal(fake_command(f, ROLE_ADMIN, "reload --to 40"), EXIT_DONE);
	assert_int_equal(f->reload_to, 40);
	f->text = "stoker.ini:88: error: unknown directive \x1b[31m\n";
	f->text_exit = EXIT_USAGE;
	assert_int_equal(fake_command(f, ROLE_ADMIN, "reload"), EXIT_USAGE);
	assert_has(fake_out(f), "stoker.ini:88: error");
	assert_null(strchr(fake_out(f), '\x1b'));
	assert_has(fake_err(f), "nothing was changed");
	assert_int_equal(fake_command(f, ROLE_OPERATE, "rotate"), EXIT_DONE);
	assert_int_equal(f->rotates, 1);
	assert_has(f->echo, "op1 started new log files");
}

/* ---- one, in full ---- */

static void test_details_as_json_and_for_the_eye(void **state)
{
	struct fake *f = *state;

	f->text = "{\"name\":\"yahoo\",\"mx\":[{\"host\":\"mta5\",\"connections\":6},{\"host\":"
		  "\"mta6\\u001b[31m\",\"connections\":12}],"
		  "\"why\":{\"code\":\"rate\",\"text\":\"rate 10/s\"}}";
	assert_int_equal(fake_command(f, ROLE_READ, "queue @yahoo --json"), EXIT_DONE);
	json_decref(out_json(f));
	assert_string_equal(f->target, "yahoo");
	assert_int_equal(fake_command(f, ROLE_READ, "queue @yahoo"), EXIT_DONE);
	assert_has(fake_out(f), "mta5");
	assert_has(fake_out(f), "conn");
	assert_null(strchr(fake_out(f), '\x1b'));
	assert_int_equal(fake_command(f, ROLE_READ, "message 4f2a77"), EXIT_DONE);
	assert_int_equal(f->message, 0x4f2a77);
	f->text_exit = EXIT_REFUSED;
	f->text = "there is no message 4f2a77";
	assert_int_equal(fake_command(f, ROLE_READ, "message 4f2a77"), EXIT_REFUSED);
	assert_string_equal(fake_err(f), "there is no message 4f2a77\n");
}

static void test_messages_are_paged_and_filtered(void **state)
{
	struct fake *f = *state;
	json_t *o;

	assert_int_equal(fake_command(f, ROLE_READ, "messages yahoo.com --json"), EXIT_DONE);
	o = out_json(f);
	assert_int_equal(json_integer_value(json_object_get(o, "total")), 450);
	assert_int_equal(json_array_size(json_object_get(o, "rows")), 450);
	assert_int_equal(f->pages, 3);
	json_decref(o);
	assert_int_equal(
	    fake_command(f, ROLE_READ, "messages --json --filter \"attempts>1 recipient:us1\""),
	    EXIT_DONE);
	o = out_json(f);
	assert_int_equal(json_integer_value(json_object_get(o, "total")),
			 json_array_size(json_object_get(o, "rows")));
	assert_int_equal(json_array_size(json_object_get(o, "rows")), 36);
	json_decref(o);
	f->pages = 0;
	assert_int_equal(fake_command(f, ROLE_READ, "messages --json --limit 10 --offset 5"),
			 EXIT_DONE);
	o = out_json(f);
	assert_int_equal(json_array_size(json_object_get(o, "rows")), 10);
	assert_string_equal(
	    json_string_value(json_object_get(json_array_get(json_object_get(o, "rows"), 0), "id")),
	    "5");
	assert_int_equal(f->pages, 1);
	json_decref(o);
	assert_int_equal(fake_command(f, ROLE_READ, "messages --limit 2"), EXIT_DONE);
	assert_has(fake_out(f), "us1@yahoo.com");
	assert_has(fake_out(f), "(448 more");
	assert_int_equal(fake_command(f, ROLE_READ, "messages --sort size"), EXIT_USAGE);
}

/* ---- strange clients ---- */

static void send_bytes(struct fake *f, const void *p, size_t n)
{
	/* The session may be closed already: that is an answer, too. */
	(void)!send(f->fd, p, n, MSG_NOSIGNAL);
}

static void test_strangers_are_shown_the_door(void **state)
{
	static const char *const bytes[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
					     "SSH-2.0-OpenSSH\r\n", "C\xff\xff\xff\xff" };
	struct fake *f = *state;

	for (size_t i = 0; i < 3; i++) {
		fake_connect(f, ROLE_ADMIN, "op1");
		send_bytes(f, bytes[i], strlen(bytes[i]));
		fake_run(f, fake_left);
		fake_disconnect(f);
		assert_int_equal(f->exit, EXIT_USAGE);
	}
	static const char *const hellos[] = { "",
					      "x",
					      "{}",
					      "[]",
					      "{\"argv\":1}",
					      "{\"argv\":[1]}",
					      "{\"argv\":[\"status\",null]}" };

	for (size_t i = 0; i < 7; i++) {
		fake_connect(f, ROLE_ADMIN, "op1");
		fake_send(f, 'C', str_of(hellos[i]));
		fake_run(f, fake_left);
		fake_disconnect(f);
		assert_int_equal(f->exit, EXIT_USAGE);
	}
	assert_null(f->c->sessions);
	assert_int_equal(f->c->nsessions, 0);
}

static void test_random_bytes_never_break_the_session(void **state)
{
	struct fake *f = *state;
	struct rng rng;

	rng_seed(&rng, 13);
	for (int i = 0; i < 500; i++) {
		unsigned char bytes[64];
		size_t n = 1 + (size_t)rng_below(&rng, sizeof bytes);

		for (size_t k = 0; k < n; k++)
			bytes[k] = (unsigned char)rng_u64(&rng);
		bytes[0] = (unsigned char)"CAYQ"[rng_below(&rng, 4)];
		if (n > 4 && rng_below(&rng, 2))
			memset(bytes + 2, 0, 3);
		fake_connect(f, ROLE_ADMIN, "op1");
		send_bytes(f, bytes, n);
		shutdown(f->fd, SHUT_WR);
		fake_run(f, fake_left);
		fake_disconnect(f);
	}
	assert_int_equal(f->c->nsessions, 0);
}

static void test_a_first_frame_in_single_bytes(void **state)
{
	struct fake *f = *state;
	struct buf b;

	buf_init(&b);
	frame_put(&b, 'C', STR_LIT("{\"argv\":[\"jobs\"]}"));
	fake_connect(f, ROLE_READ, "op1");
	for (size_t i = 0; i < b.n; i++) {
		struct str pass = { b.p + i, 1 };

		send_bytes(f, pass.p, 1);
		ev_run(loop_ev(f->loop), EVRUN_NOWAIT);
	}
	fake_run(f, fake_left);
	fake_disconnect(f);
	assert_int_equal(f->exit, EXIT_DONE);
	buf_free(&b);
}

/* Its request waits for room. */
static bool stuck(struct fake *f)
{
	return f->c->requests.used == 1 && !f->c->runnable;
}

/* A list of megabytes stops at a bound, everybody else goes on, and when the client reads it gets
 * all. */
static void test_a_client_that_does_not_read_is_bounded(void **state)
{
	struct fake *f = *state;
	json_t *o;

	add_queues(f, 20000);
	f->asleep = true;
	fake_connect(f, ROLE_READ, "op1");
	fake_send_command(f, "queues --json", false);
	fake_run(f, stuck);
	assert_false(f->closed);
	f->asleep = false;
	ev_io_start(loop_ev(f->loop), &f->watcher);
	fake_run(f, fake_left);
	fake_disconnect(f);
	o = out_json(f);
	assert_int_equal(json_array_size(json_object_get(o, "rows")), 20000);
	/* In order over all pieces that were sorted on the way; d7 is down. */
	for (size_t i = 1; i < 20000; i++) {
		json_t *row = json_array_get(json_object_get(o, "rows"), i);
		json_int_t expect = (json_int_t)(20001 - i) - (20001 - i <= 7);

		assert_int_equal(json_integer_value(json_object_get(row, "queued")), expect);
	}
	json_decref(o);
}

static bool one_request(struct fake *f)
{
	return f->c->requests.used == 1;
}

/* Its end would never be seen: nothing is read while the input is full. */
static void test_a_frame_that_never_ends_ends_the_session(void **state)
{
	struct fake *f = *state;
	static const char frame[4096] = { 'Y', 0, 0, 16, 0 };

	fake_connect(f, ROLE_READ, "op1");
	fake_send_command(f, "log -f nothing-like-it", false);
	fake_run(f, one_request);
	send_bytes(f, frame, sizeof frame);
	fake_run(f, fake_left);
	fake_disconnect(f);
	assert_int_equal(f->c->nsessions, 0);
	assert_int_equal(f->c->requests.used, 0);
}

enum { CROWD = 100 };

static bool crowd_is_here(struct fake *f)
{
	return f->commands == CROWD;
}

static bool crowd_is_gone(struct fake *f)
{
	return f->c->nsessions == 0;
}

static void test_many_clients_at_once(void **state)
{
	struct fake *f = *state;
	struct rstr *name = text("op1");
	struct buf b;
	int fds[CROWD];

	buf_init(&b);
	frame_put(&b, 'C', STR_LIT("{\"argv\":[\"retry\",\"gmail.com\"]}"));
	f->hold = true;
	for (int i = 0; i < CROWD; i++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		fds[i] = pair[0];
		session_start(f->c, pair[1], ROLE_OPERATE, name);
		assert_int_equal(write(fds[i], b.p, b.n), b.n);
	}
	fake_run(f, crowd_is_here);
	assert_int_equal(f->c->nsessions, CROWD);
	/* Answers come in any order; the ids say whose they are. */
	for (uint64_t id = f->c->next_id; id > 0; id--)
		fake_answer(f, id);
	fake_run(f, crowd_is_gone);
	for (int i = 0; i < CROWD; i++) {
		char bytes[256];
		ssize_t n = read(fds[i], bytes, sizeof bytes);

		assert_int_equal(n, FRAME_HEADER + 13 + FRAME_HEADER +
					1); /* "done as told\n", exit code */
		assert_int_equal(bytes[n - 1], EXIT_DONE);
		close(fds[i]);
	}
	rstr_unref(name);
	buf_free(&b);
}

/* ---- attach ---- */

static bool was_attached(struct fake *f)
{
	return f->attached > 0;
}

static void test_attach_hands_the_descriptor_on_untouched(void **state)
{
	static const char hello[] =
	    "{\"term\":\"xterm\",\"rows\":30,\"columns\":100,\"read_only\":true}";
	struct fake *f = *state;
	char rest[16] = "";

	fake_connect(f, ROLE_ADMIN, "op1");
	fake_send(f, 'A', STR_LIT(hello));
	send_bytes(f, "behind", 6);
	fake_run(f, was_attached);
	assert_string_equal(f->hello, hello);
	assert_string_equal(f->who, "op1");
	assert_int_equal(f->attached_role, ROLE_READ);
	assert_int_equal(read(f->attached_fd, rest, sizeof rest), 6);
	assert_string_equal(rest, "behind");
	assert_int_equal(f->c->nsessions, 0);
	fake_disconnect(f);
	fake_connect(f, ROLE_NONE, "eve");
	fake_send(f, 'A', STR_LIT(hello));
	fake_run(f, fake_left);
	assert_int_equal(f->attached, 1);
	assert_int_equal(f->exit, EXIT_REFUSED);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_status_has_the_documented_names),
		T(test_status_check_is_for_monitors),
		T(test_a_list_of_any_length_is_one_json),
		T(test_a_text_list_is_a_table),
		T(test_pause_reaches_the_scheduler_and_the_audit_log),
		T(test_a_refusal_is_one_line_with_near_names),
		T(test_roles_are_kept),
		T(test_irreversible_without_terminal_needs_yes),
		T(test_irreversible_on_a_terminal_asks_for_the_number),
		T(test_leaving_at_the_question_does_nothing),
		T(test_an_act_whose_client_left_is_still_audited),
		T(test_undo_on_a_terminal_shows_what_it_ends),
		T(test_shutdown_wants_the_host_name),
		T(test_reload_prints_what_the_worker_says),
		T(test_details_as_json_and_for_the_eye),
		T(test_messages_are_paged_and_filtered),
		T(test_strangers_are_shown_the_door),
		T(test_random_bytes_never_break_the_session),
		T(test_a_first_frame_in_single_bytes),
		T(test_a_client_that_does_not_read_is_bounded),
		T(test_a_frame_that_never_ends_ends_the_session),
		T(test_many_clients_at_once),
		T(test_attach_hands_the_descriptor_on_untouched),
	};

	clock_init();
	hash_seed(1, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
