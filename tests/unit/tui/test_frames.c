/* Frames: their pace, what is in their bytes, and that nothing piles up for those who do not read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/clean.h"
#include "core/base/rng.h"
#include "tests/unit/tui/drive.h"

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

/* Rows change all the time. */
static void churn(unsigned n)
{
	struct fake_site site = fake_sites[0];

	site.queued += n;
	fake_put_site(&f, &site, 1);
	fake_header(&f);
}

static void at_most_four_frames_a_second_by_themselves(void **state)
{
	uint64_t before = s.op->frames;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		churn(i);
		seat_wait(&s, 20 * US_PER_MS);
	}
	assert_in_range(s.op->frames - before, 20, 41);
}

static void at_most_25_frames_a_second_on_keys(void **state)
{
	uint64_t before = s.op->frames;

	(void)state;
	for (int i = 0; i < 200; i++) {
		seat_type(&s, i % 2 ? "k" : "j");
		seat_wait(&s, 10 * US_PER_MS);
	}
	assert_in_range(s.op->frames - before, 30, 51);
}

static void a_key_is_answered_at_once(void **state)
{
	uint64_t before;

	(void)state;
	seat_wait(&s, 200 * US_PER_MS);
	before = s.op->frames;
	seat_type(&s, "j");
	seat_wait(&s, 20 * US_PER_MS);
	assert_int_equal(s.op->frames, before + 1);
}

static void an_unchanged_screen_sends_nothing(void **state)
{
	size_t before;

	(void)state;
	f.console->fixed_now -= f.console->fixed_now % US_PER_S;
	f.now = f.console->fixed_now;
	fake_clock(&f, 100 * US_PER_MS);
	seat_wait(&s, 300 * US_PER_MS);
	before = s.screen.n;
	operator_dirty(s.op, true);
	seat_wait(&s, 100 * US_PER_MS);
	assert_int_equal(s.screen.n, before);
}

static void nothing_piles_up_for_those_who_do_not_read(void **state)
{
	int small = 4096;
	struct seat slow;
	size_t most = 0;

	(void)state;
	seat_open(&slow, &f, 60, 200, ",\"utf8\":true");
	setsockopt(slow.op->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	for (unsigned i = 0; i < 2000; i++) {
		churn(i * 7919);
		fake_clock(&f, 50 * US_PER_MS);
		seat_spin(&slow);
		if (i % 3 == 0)
			screen_redraw(slow.op->screen);
		operator_dirty(slow.op, true);
		fire(&slow.op->poll_timer, f.now);
		fake_pump(&f);
		fire(&slow.op->frame_timer, f.now);
		most = slow.op->out.n > most ? slow.op->out.n : most;
	}
	assert_true(most < 64 * 1024); /* one frame and no more */
	for (int i = 0; i < 50; i++) {
		seat_read(&slow);
		seat_spin(&slow);
	}
	assert_int_equal(slow.op->out.n, 0);
	seat_close(&slow);
	seat_spin(&s);
}

/* What our own frames use: ESC only as curses sends it; no C1, no bidi, no zero-width. */
static void check_bytes(const struct buf *b)
{
	struct str rest = buf_str(b);
	uint32_t rune;
	size_t n;

	assert_null(memmem(b->p, b->n, "\x1b[31mred", 8));
	assert_null(memmem(b->p, b->n, "owned\x07", 6));
	while ((n = clean_rune(rest, &rune)) > 0) {
		if (rune >= 0x80)
			assert_true(clean_rune_width(rune) >= 0);
		if (rune == 0x1b)
			assert_true(n < rest.n &&
				    strchr("[()]>=78M", rest.p[1])); /* what xterm's terminfo has */
		assert_true(rune != 0x07);
		rest.p += n;
		rest.n -= n;
	}
}

static void no_byte_of_a_peer_commands_the_terminal(void **state)
{
	static const char *const keys[] = { "1jjj", "\r", "\t", "\t\t", "2", "3", "k",
					    "w",    "4",  "\r", "5",	"6", "?", "1/hostile\r" };

	(void)state;
	f.log_reply = "421 \\u001b[31mred\\u001b]0;owned\\u0007 \\u202eevil \\u009b31m "
		      "\\u200bzero\\r\\nforged line";
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		seat_key(&s, keys[i]);
		seat_wait(&s, 400 * US_PER_MS);
	}
	check_bytes(&s.screen);
	assert_true(s.screen.n > 5000);
}

/* The same, with anything in every text that a peer can give us. */
static void random_peer_bytes_never_reach_the_terminal(void **state)
{
	struct rng rng;

	(void)state;
	rng_seed(&rng, 5);
	for (int round = 0; round < 100; round++) {
		char reply[200];
		struct fake_site site = fake_sites[3];
		for (size_t i = 0; i + 1 < sizeof reply; i++)
			reply[i] = (char)(1 + rng_below(&rng, 255));
		reply[sizeof reply - 1] = '\0';
		site.name = site.reply = site.why_text = reply;
		fake_put_site(&f, &site, 4);
		seat_wait(&s, 600 * US_PER_MS);
	}
	check_bytes(&s.screen);
}

static void any_size_is_drawn_within_itself(void **state)
{
	static const char *const keys[] = { "1",	"\r",  "\t",   "2",   "3",
					    "6",	"5",   "4",    "?",   ":pause al",
					    "\x03\x03", "1jr", "\x03", "  p", "\x03" };
	struct rng rng;
	char json[64];

	(void)state;
	rng_seed(&rng, 9);
	for (int round = 0; round < 400; round++) {
		int rows = 1 + (int)rng_below(&rng, 70), cols = 1 + (int)rng_below(&rng, 240);
		snprintf(json, sizeof json, "{\"rows\":%d,\"columns\":%d}", rows, cols);
		seat_send(&s, 'S', str_of(json));
		seat_type(&s, keys[rng_below(&rng, sizeof keys / sizeof keys[0])]);
		seat_wait(&s, 60 * US_PER_MS);
		assert_false(s.left);
		assert_int_equal(s.op->canvas.cols, cols < 10 ? 10 : cols);
		assert_int_equal(s.op->canvas.rows, rows < 2 ? 2 : rows);
	}
}

static void a_resize_storm_ends_in_one_frame(void **state)
{
	uint64_t before = s.op->frames;
	char json[64];

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(json, sizeof json, "{\"rows\":%d,\"columns\":%d}", 20 + i % 30,
			 60 + i % 90);
		seat_send(&s, 'S', str_of(json));
	}
	seat_wait(&s, 100 * US_PER_MS);
	assert_in_range(s.op->frames - before, 1, 4);
}

/* The numbers on the screen are those of the JSON of the same snapshot. */
static void numbers_are_those_of_the_json(void **state)
{
	struct query q = {
		.list = LIST_SITES, .limit = 100, .filter = STR_LIT(""), .sort = STR_LIT("")
	};
	struct page *p = query_run(f.mirror, &q, f.now);
	uint64_t sum = 0;

	(void)state;
	for (int i = 0; i < p->nrows; i++) {
		char n[FMT_SIZE], *row = seat_row(&s, 4 + i);
		fmt_count((int64_t)p->rows[i].site.queued, n);
		assert_non_null(strstr(row, rstr_str(p->rows[i].name).p));
		assert_non_null(strstr(row, n));
		sum += p->rows[i].site.queued;
	}
	assert_true(sum > f.console->header.totals.queued - 10000 &&
		    sum < f.console->header.totals.queued + 10000);
	page_free(p);
}

static void an_unknown_terminal_is_taken_for_a_known_one(void **state)
{
	static const char *const terms[] = { "xterm-kitty",  "ghostty",		 "foot",
					     "no-such-term", "../../etc/passwd", "" };

	(void)state;
	for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++) {
		char hello[128];
		enum depth depth = DEPTH_256;
		struct screen *sc = screen_new(terms[i], &depth);
		(void)hello;
		assert_non_null(sc);
		screen_free(sc);
	}
}

static void a_dumb_terminal_gets_lines(void **state)
{
	struct seat dumb;

	(void)state;
	seat_open(&dumb, &f, 24, 80, ",\"plain\":true");
	seat_key(&dumb, "1\r");
	seat_wait(&dumb, 300 * US_PER_MS);
	assert_non_null(memmem(dumb.screen.p, dumb.screen.n, "1 dead.example", 14));
	seat_key(&dumb, "2\r");
	seat_key(&dumb, "1\r");
	assert_string_equal(last_command(&f), "pause @yahoo");
	for (size_t i = 0; i < dumb.screen.n; i++)
		assert_true(dumb.screen.p[i] == '\r' || dumb.screen.p[i] == '\n' ||
			    (dumb.screen.p[i] >= ' ' && dumb.screen.p[i] < 0x7F));
	seat_key(&dumb, "q\r");
	assert_true(dumb.left);
	seat_close(&dumb);
	seat_spin(&s);
}

static void q_says_goodbye_and_restores_the_terminal(void **state)
{
	(void)state;
	seat_key(&s, "q");
	assert_true(s.left);
	assert_non_null(strstr(s.goodbye, "mail goes on"));
	assert_non_null(memmem(s.screen.p, s.screen.n, "\x1b[?1049l", 8));
}

int main(void)
{
#define SEATED(t) cmocka_unit_test_setup_teardown(t, open_seat, close_seat)
	const struct CMUnitTest tests[] = {
		SEATED(at_most_four_frames_a_second_by_themselves),
		SEATED(at_most_25_frames_a_second_on_keys),
		SEATED(a_key_is_answered_at_once),
		SEATED(an_unchanged_screen_sends_nothing),
		SEATED(nothing_piles_up_for_those_who_do_not_read),
		SEATED(no_byte_of_a_peer_commands_the_terminal),
		SEATED(random_peer_bytes_never_reach_the_terminal),
		SEATED(any_size_is_drawn_within_itself),
		SEATED(a_resize_storm_ends_in_one_frame),
		SEATED(numbers_are_those_of_the_json),
		SEATED(an_unknown_terminal_is_taken_for_a_known_one),
		SEATED(a_dumb_terminal_gets_lines),
		SEATED(q_says_goodbye_and_restores_the_terminal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
