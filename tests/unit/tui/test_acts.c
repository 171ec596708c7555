/* What an act hits, what a box lets through, and what is never a command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "tests/unit/tui/drive.h"
#include "tui/keymap.h"

static struct fake f;
static struct seat s;

static int open_seat(void **state)
{
	(void)state;
	fake_open(&f, NULL);
	seat_open(&s, &f, 30, 100, ",\"utf8\":true");
	return 0;
}

static int close_seat(void **state)
{
	(void)state;
	fake_close(&f);
	seat_close(&s);
	return 0;
}

/* The name in the row that the frame marks with ">". */
static bool marked_name(char out[64])
{
	for (int y = 4; y < s.op->canvas.rows - 2; y++) {
		const char *row = seat_row(&s, y);
		if (row[0] == '>') {
			sscanf(row, "> %63s", out);
			return strstr(row, "   gone") == NULL;
		}
	}
	out[0] = '\0';
	return false;
}

static void p_pauses_the_marked_row(void **state)
{
	char name[64], expect[80];

	(void)state;
	seat_key(&s, "j");
	assert_true(marked_name(name));
	seat_key(&s, "p");
	snprintf(expect, sizeof expect, "pause @%s", name);
	assert_string_equal(last_command(&f), expect);
	assert_true(seat_shows(&s, "u undo"));
	seat_key(&s, "u");
	assert_string_equal(last_command(&f), "end 4");
}

static void fill_again(unsigned round, struct rng *rng)
{
	for (uint64_t i = 0; i < FAKE_SITES; i++) {
		struct fake_site site = fake_sites[i];
		struct row dead = { .id = 1000 + i, .kind = ROW_SITE, .deleted = true };
		(void)round;
		site.queued = rng_below(rng, 1000000);
		site.state = (int)rng_below(rng, STATE_IDLE);
		site.domains = 1;
		if (rng_below(rng, 5) == 0) {
			dead.id = i + 1;
			mirror_row(f.mirror, &dead);
		} else {
			fake_put_site(&f, &site, i + 1);
		}
	}
}

/* Rows reorder and vanish between frame and key: the act hits what the frame marked, or nothing. */
static void an_act_never_hits_another_row(void **state)
{
	struct rng rng;
	int acts = 0;

	(void)state;
	rng_seed(&rng, 3);
	for (unsigned round = 0; round < 1000; round++) {
		char name[64], expect[80];
		int before;
		bool here;
		seat_key(&s, rng_below(&rng, 2) ? "j" : "k");
		seat_wait(&s, (us_t)rng_below(&rng, 40) * 100 * US_PER_MS);
		here = marked_name(name);
		before = f.ncommands;
		/* Between that frame and the key the world changes, and its news may already be
		 * here. */
		fill_again(round, &rng);
		operator_poll(s.op);
		if (rng_below(&rng, 2))
			fake_pump(&f);
		seat_type(&s, "p");
		if (!here) {
			assert_int_equal(f.ncommands, before);
		} else if (f.ncommands > before) {
			snprintf(expect, sizeof expect, "pause @%s", name);
			assert_string_equal(last_command(&f), expect);
			acts++;
		}
		for (int i = 0; i < f.ncommands; i++)
			free(f.commands[i]);
		f.ncommands = 0;
		seat_wait(&s, 300 * US_PER_MS);
	}
	assert_true(acts > 500);
}

static void a_vanished_row_is_gone(void **state)
{
	struct row dead = { .id = 1, .kind = ROW_SITE, .deleted = true };

	(void)state;
	seat_key(&s, "/yahoo\r");
	seat_key(&s, "j");
	mirror_row(f.mirror, &dead);
	seat_wait(&s, 800 * US_PER_MS);
	assert_true(seat_shows(&s, "yahoo   gone"));
	seat_key(&s, "p");
	assert_int_equal(f.ncommands, 0);
	assert_true(seat_shows(&s, "gone: yahoo"));
}

static void a_row_that_just_came_under_the_cursor_is_not_hit(void **state)
{
	struct fake_site site = fake_sites[8];

	(void)state;
	seat_wait(&s, 400 * US_PER_MS);
	site.state = STATE_DOWN; /* to the top */
	site.queued = 9000000;
	fake_put_site(&f, &site, 9);
	while (!strstr(seat_row(&s, 4), "gmx"))
		seat_wait(&s, 10 * US_PER_MS);
	seat_type(&s, "p");
	assert_int_equal(f.ncommands, 0);
	seat_wait(&s, 500 * US_PER_MS);
	seat_key(&s, "p");
	assert_string_equal(last_command(&f), "pause @gmx");
}

/* A frame is drawn, but the terminal has not taken it: a key was typed on the one before. */
static void a_key_that_crosses_a_frame_is_not_for_that_frame(void **state)
{
	static const char *const keys[] = { "p", "jp", "gp", "Gp", "kp" };
	struct fake_site site = fake_sites[8];

	(void)state;
	s.op->confirms = s.confirms = true;
	seat_wait(&s, 400 * US_PER_MS);
	site.state = STATE_DOWN; /* to the top */
	site.queued = 9000000;
	fake_put_site(&f, &site, 9);
	s.confirms = false;
	while (!strstr(seat_row(&s, 4), "gmx")) {
		if (s.op->untaken)
			seat_send(&s, 'K', STR_LIT(""));
		seat_wait(&s, 10 * US_PER_MS);
	}
	seat_wait(&s, 3000 * US_PER_MS); /* the terminal is stuck */
	assert_non_null(strstr(seat_row(&s, 4), "gmx"));
	assert_int_equal(s.op->untaken, 1); /* and no other is drawn */
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		seat_type(&s, keys[i]);
		assert_int_equal(f.ncommands, 0);
	}
	seat_type(&s, "g ");
	assert_false(strstr(s.op->echo.text, "rows moved just now") == NULL);
	seat_send(&s, 'K', STR_LIT(""));
	s.confirms = true;
	seat_wait(&s, 500 * US_PER_MS);
	seat_key(&s, "p");
	assert_string_equal(last_command(&f), "pause @gmx");
}

/* Keys for rows of a filter that are not there yet. */
static void keys_typed_ahead_of_a_filter_act_on_nothing(void **state)
{
	(void)state;
	seat_wait(&s, 400 * US_PER_MS);
	seat_type(&s, "/gmx\rp");
	seat_type(&s, "jp");
	assert_int_equal(f.ncommands, 0);
	seat_wait(&s, 500 * US_PER_MS);
	seat_key(&s, "p");
	assert_string_equal(last_command(&f), "pause @gmx");
}

static void the_order_is_held_while_one_moves(void **state)
{
	struct fake_site site = fake_sites[8];
	char before[4096];

	(void)state;
	seat_key(&s, "j");
	snprintf(before, sizeof before, "%.14s", seat_row(&s, 4));
	site.state = STATE_DOWN;
	site.queued = 9000000;
	fake_put_site(&f, &site, 9);
	seat_wait(&s, US_PER_S);
	assert_memory_equal(seat_row(&s, 4), before, 14);
	assert_true(seat_shows(&s, "order held 3s"));
	seat_wait(&s, 4 * US_PER_S);
	assert_non_null(strstr(seat_row(&s, 4), "gmx"));
}

static void open_tagged_box(void)
{
	seat_key(&s, "  ");
	seat_type(&s, "p");
}

static void tagged_rows_ask_first_and_name_all(void **state)
{
	(void)state;
	open_tagged_box();
	seat_wait(&s, 500 * US_PER_MS);
	assert_true(seat_shows(&s, "pause 2 tagged"));
	assert_true(seat_shows(&s, "is not among them"));
	assert_int_equal(f.ncommands, 0);
	seat_key(&s, "y");
	seat_wait(&s, 200 * US_PER_MS);
	assert_int_equal(f.ncommands, 2);
	assert_true(seat_shows(&s, "2 done"));
	assert_false(seat_shows(&s, "tagged"));
}

static void with_tags_it_does_not_matter_that_the_cursors_row_has_gone(void **state)
{
	struct row dead = { .id = 1, .kind = ROW_SITE, .deleted = true };

	(void)state;
	seat_key(&s, "  ");
	seat_key(&s, "/yahoo\r");
	seat_key(&s, "j");
	mirror_row(f.mirror, &dead);
	seat_wait(&s, 800 * US_PER_MS);
	assert_true(seat_shows(&s, "yahoo   gone"));
	seat_type(&s, "p");
	seat_wait(&s, 500 * US_PER_MS);
	assert_true(seat_shows(&s, "pause 2 tagged"));
	assert_false(seat_shows(&s, "gone: yahoo"));
}

static void keys_right_behind_a_box_are_dropped(void **state)
{
	(void)state;
	open_tagged_box();
	seat_type(&s, "y");
	seat_wait(&s, 100 * US_PER_MS);
	seat_type(&s, "y");
	seat_wait(&s, 50 * US_PER_MS);
	assert_int_equal(f.ncommands, 0);
	assert_true(seat_shows(&s, "too fast"));
	seat_wait(&s, 400 * US_PER_MS);
	seat_key(&s, "y");
	assert_int_equal(f.ncommands, 1 + 1);
}

static void enter_means_no(void **state)
{
	(void)state;
	open_tagged_box();
	seat_wait(&s, 500 * US_PER_MS);
	seat_key(&s, "\r");
	assert_int_equal(f.ncommands, 0);
	assert_true(seat_shows(&s, "nothing was done"));
}

static void expiry_and_reason_are_fields(void **state)
{
	(void)state;
	open_tagged_box();
	seat_wait(&s, 500 * US_PER_MS);
	seat_key(&s, "\t2h\tits \"MX\" moves\ty");
	assert_int_equal(f.ncommands, 2);
	assert_non_null(strstr(last_command(&f), " for 2h because \"its \\\"MX\\\" moves\""));
}

/* The ladder is for what is typed as well. */
static void a_typed_act_on_everything_asks(void **state)
{
	(void)state;
	seat_key(&s, ":pause all because x\r");
	seat_wait(&s, 500 * US_PER_MS);
	assert_int_equal(f.ncommands, 1);
	assert_true(seat_shows(&s, "Everything: 10 sites, 1.3M recipients"));
	assert_true(seat_shows(&s, "and 8 more"));
	seat_key(&s, "\r");
	assert_true(seat_shows(&s, "nothing was done"));
	assert_int_equal(f.ncommands, 1);
	seat_key(&s, ":pause all because x\r");
	seat_wait(&s, 500 * US_PER_MS);
	seat_key(&s, "\t2h\t\ty");
	assert_string_equal(last_command(&f), "pause --yes all because x for 2h");
	seat_wait(&s, 500 * US_PER_MS);
	seat_key(&s, ":retry all\r");
	seat_wait(&s, 500 * US_PER_MS);
	seat_key(&s, "y");
	assert_string_equal(last_command(&f), "retry --yes all");
}

static void a_bare_rate_is_refused(void **state)
{
	(void)state;
	seat_key(&s, "j");
	seat_key(&s, "r");
	seat_wait(&s, 400 * US_PER_MS);
	seat_key(&s, "10\r");
	assert_int_equal(f.ncommands, 0);
	assert_true(seat_shows(&s, "10/s, 10/min or 10/h?"));
	seat_key(&s, "/s\t\r");
	assert_non_null(strstr(last_command(&f), " 10/s each --yes"));
}

static void what_cant_be_undone_wants_its_number(void **state)
{
	(void)state;
	seat_key(&s, "j");
	seat_key(&s, "D");
	seat_wait(&s, 400 * US_PER_MS);
	seat_key(&s, "d");
	assert_non_null(strstr(last_command(&f), "delete @"));
	assert_non_null(strstr(last_command(&f), "--shown-at"));
	assert_null(strstr(last_command(&f), "--yes"));
	seat_wait(&s, 500 * US_PER_MS);
	assert_true(seat_shows(&s, "type 402112"));
	seat_key(&s, "402\r");
	assert_int_equal(f.ncommands, 1);
	assert_true(seat_shows(&s, "that is not it"));
	seat_key(&s, "112\r");
	assert_int_equal(f.ncommands, 2);
	assert_non_null(strstr(last_command(&f), "--yes --expect 402112"));
}

static void pasted_keys_do_nothing(void **state)
{
	(void)state;
	seat_key(&s, "j");
	seat_key(&s, "\x1b[200~pPRDq:pause all\r\x1b[201~");
	assert_int_equal(f.ncommands, 0);
	assert_false(s.left);
	seat_key(&s, ":");
	seat_key(&s, "\x1b[200~pause all\r\x1b[201~");
	assert_int_equal(f.ncommands, 0); /* a line, still to be looked at */
	assert_true(seat_shows(&s, ":pause all"));
}

static void read_only_looks_but_does_not_act(void **state)
{
	struct seat guest;

	(void)state;
	seat_open(&guest, &f, 24, 80, ",\"utf8\":true,\"read_only\":true");
	seat_key(&guest, "jp");
	assert_int_equal(f.ncommands, 0);
	assert_true(seat_shows(&guest, "read only"));
	seat_close(&guest);
	seat_spin(&s);
}

static void reload_shows_its_difference_first(void **state)
{
	(void)state;
	seat_key(&s, ":reload\r");
	seat_wait(&s, 500 * US_PER_MS);
	assert_string_equal(last_command(&f), "reload --dry-run");
	assert_true(seat_shows(&s, "300/s -> 200/s"));
	seat_key(&s, "y");
	assert_string_equal(last_command(&f), "reload");
}

/* Every listed key changes the screen or says why not; an unlisted one changes nothing. */
static void keys_keep_their_promise(void **state)
{
	(void)state;
	for (int i = 0; keymap_at(i); i++) {
		const struct binding *b = keymap_at(i);
		if (!(b->where & IN_QUEUES) || b->code >= 0x80 || b->code == 'q' ||
		    b->code == KEY_CTRL('L') || b->code == 'g' || b->code == 'k')
			continue;
		char key[2] = { (char)b->code, 0 };
		struct buf before, after;
		seat_key(&s, "1g");
		seat_key(&s, "j");
		s.op->echo.text[0] = '\0';
		operator_dirty(s.op, true);
		seat_wait(&s, 5 * US_PER_S);
		buf_init(&before);
		buf_init(&after);
		canvas_dump(&s.op->canvas, &before);
		seat_key(&s, key);
		canvas_dump(&s.op->canvas, &after);
		if (b->code != '1' && b->code != KEY_CTRL('U') &&
		    strcmp(strchr(buf_z(&before), '\n'), strchr(buf_z(&after), '\n')) == 0)
			fail_msg("key %s changed nothing", key);
		buf_free(&before);
		buf_free(&after);
		box_close(s.op);
		prompt_close(s.op);
		s.op->frozen = false;
	}
}

static void wait_shown(const char *text)
{
	for (int i = 0; i < 50 && !seat_shows(&s, text); i++)
		seat_wait(&s, US_PER_S / 10);
	if (!seat_shows(&s, text)) {
		struct buf b;
		buf_init(&b);
		canvas_dump(&s.op->canvas, &b);
		fail_msg("\"%s\" is not shown:\n%s", text, buf_z(&b));
	}
}

static void the_log_at_a_time_says_where_it_begins(void **state)
{
	(void)state;
	seat_key(&s, "3");
	seat_key(&s, ":at 03:10\r");
	wait_shown("the log begins at 09:0");
	seat_wait(&s, US_PER_S); /* what is not yet now was yesterday */
	seat_key(&s, ":at 09:09:09\r");
	wait_shown("the log has nothing that late");
}

/* The ring of the fake begins at 09:09:02.931 with event 4601, its files a minute earlier. */
static void the_log_goes_on_in_its_files(void **state)
{
	(void)state;
	seat_key(&s, "3");
	seat_key(&s, ":at 09:08:20\r");
	wait_shown("> 09:08:20.005 B");
	seat_key(&s, "[");
	wait_shown("> 09:08:19.979 T");
	wait_shown("  09:08:19.9"); /* and what stands around it */
	seat_key(&s, "]");
	wait_shown("> 09:08:20.005 B");
	for (int i = 0; i < 1000 && !seat_shows(&s, "> 09:08:15."); i++)
		seat_key(&s, "k");
	wait_shown("> 09:08:15.");
	/* down over the border between files and ring, without a gap */
	seat_key(&s, ":at 09:09:01\r");
	wait_shown("> 09:09:01.007");
	for (int i = 0; i < 400 && !seat_shows(&s, "us4604@"); i++)
		seat_key(&s, "j");
	for (int id = 4598; id <= 4604; id++) {
		char who[16];
		snprintf(who, sizeof who, "us%d@", id);
		wait_shown(who);
	}
	seat_key(&s, "G");
	wait_shown("FOLLOW");
}

int main(void)
{
#define SEATED(t) cmocka_unit_test_setup_teardown(t, open_seat, close_seat)
	const struct CMUnitTest tests[] = {
		SEATED(p_pauses_the_marked_row),
		SEATED(an_act_never_hits_another_row),
		SEATED(a_vanished_row_is_gone),
		SEATED(a_row_that_just_came_under_the_cursor_is_not_hit),
		SEATED(a_key_that_crosses_a_frame_is_not_for_that_frame),
		SEATED(keys_typed_ahead_of_a_filter_act_on_nothing),
		SEATED(the_order_is_held_while_one_moves),
		SEATED(tagged_rows_ask_first_and_name_all),
		SEATED(with_tags_it_does_not_matter_that_the_cursors_row_has_gone),
		SEATED(keys_right_behind_a_box_are_dropped),
		SEATED(enter_means_no),
		SEATED(expiry_and_reason_are_fields),
		SEATED(a_typed_act_on_everything_asks),
		SEATED(a_bare_rate_is_refused),
		SEATED(what_cant_be_undone_wants_its_number),
		SEATED(pasted_keys_do_nothing),
		SEATED(read_only_looks_but_does_not_act),
		SEATED(reload_shows_its_difference_first),
		SEATED(keys_keep_their_promise),
		SEATED(the_log_goes_on_in_its_files),
		SEATED(the_log_at_a_time_says_where_it_begins),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
