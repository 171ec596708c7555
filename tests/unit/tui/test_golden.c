/* Screens as text: a script of keys over a fixed clock and snapshot, compared with
 * tests/unit/tui/golden. After a wanted change: STOKER_GOLDEN=write make unit T=tui/test_golden,
 * then look at the difference before it is committed. Text first, then the roles in each row
 * (from:to role), then how the theme shows these roles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/tui/drive.h"

static const char dir[] = "tests/unit/tui/golden";

static const struct {
	const char *name, *keys[6];
} scripts[] = {
	{ "queues", { "" } },
	{ "queues-cursor", { "jj" } },
	{ "queues-tagged", { "  ", "p" } },
	{ "queues-filter", { "/goo\r" } },
	{ "queues-none", { "/nosuch\r" } },
	{ "site", { "/yahoo\r", "\r" } },
	{ "site-errors", { "/yahoo\r", "\r", "\t\t\t" } },
	{ "sources", { "2" } },
	{ "log", { "3", "kk" } },
	{ "log-wrap", { "3", "kw" } },
	{ "overrides", { "6" } },
	{ "jobs", { "5" } },
	{ "feedback", { "7", "j" } },
	{ "feedback-rates", { "7", "\t" } },
	{ "feedback-replies", { "7", "\r" } },
	{ "messages", { "4" } },
	{ "rate-box", { "/yahoo\r", "jr", "", "10/s" } },
	{ "typed-box", { "/yahoo\r", "jD", "", "d", "" } },
	{ "command", { ":pau\t" } },
	{ "help", { "?" } },
};
static const struct {
	const char *name, *hello;
	int rows, cols;
} seats[] = {
	{ "100x30-utf8-256", ",\"utf8\":true", 30, 100 },
	{ "80x24-ascii-mono", ",\"utf8\":false,\"no_color\":true", 24, 80 },
	{ "40x8-utf8-256", ",\"utf8\":true", 8, 40 },
};

static void roles(const struct canvas *c, int y, bool used[STYLE_COUNT], struct buf *out)
{
	const struct cell *row = &c->cells[y * c->cols];
	int from = 0;

	buf_addf(out, "%2d", y);
	for (int x = 1; x <= c->cols; x++) {
		if (x < c->cols && row[x].style == row[from].style && row[x].over == row[from].over)
			continue;
		used[row[from].style] = true;
		used[row[from].over] = true;
		if (row[from].style || row[from].over)
			buf_addf(out, " %d:%d %s%s%s", from, x, style_name(row[from].style),
				 row[from].over ? "+" : "",
				 row[from].over ? style_name(row[from].over) : "");
		from = x;
	}
	buf_addc(out, '\n');
}

static void picture(struct seat *s, struct buf *out)
{
	const struct canvas *c = &s->op->canvas;
	bool used[STYLE_COUNT] = { false };

	canvas_dump(c, out);
	buf_addf(out, "cursor %d %d\n", c->cursor_y, c->cursor_y < 0 ? -1 : c->cursor_x);
	for (int y = 0; y < c->rows; y++)
		roles(c, y, used, out);
	for (int i = 0; i < STYLE_COUNT; i++)
		if (used[i]) {
			struct look l =
			    theme_look(s->op->theme, s->op->depth, (enum style)i, STYLE_TEXT);
			buf_addf(out, "%s %d on %d %x\n", style_name((enum style)i), l.fg, l.bg,
				 l.attrs);
		}
}

static bool read_all(const char *path, struct buf *out)
{
	char chunk[8192];
	size_t n;
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		buf_add(out, chunk, n);
	fclose(f);
	return true;
}

static void compare(const char *path, struct buf *got)
{
	struct buf want;
	FILE *f;

	if (getenv("STOKER_GOLDEN")) {
		f = fopen(path, "we");
		assert_non_null(f);
		fwrite(got->p, 1, got->n, f);
		fclose(f);
		return;
	}
	buf_init(&want);
	if (!read_all(path, &want))
		fail_msg("%s is missing: STOKER_GOLDEN=write makes it", path);
	if (!str_eq(buf_str(&want), buf_str(got))) {
		print_message("%s is not what is drawn now:\n%s", path, buf_z(got));
		fail();
	}
	buf_free(&want);
}

static void play(size_t script, size_t seat)
{
	struct fake f;
	struct seat s;
	struct buf got;
	char path[256];

	fake_open(&f, NULL);
	seat_open(&s, &f, seats[seat].rows, seats[seat].cols, seats[seat].hello);
	for (int i = 0; i < 6 && scripts[script].keys[i]; i++) {
		seat_key(&s, scripts[script].keys[i]);
		seat_wait(&s, 500 * US_PER_MS);
	}
	buf_init(&got);
	picture(&s, &got);
	snprintf(path, sizeof path, "%s/%s-%s.txt", dir, scripts[script].name, seats[seat].name);
	compare(path, &got);
	buf_free(&got);
	fake_close(&f);
	seat_close(&s);
}

static void screens_are_as_they_were(void **state)
{
	(void)state;
	for (size_t seat = 0; seat < sizeof seats / sizeof seats[0]; seat++)
		for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
			play(i, seat);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(screens_are_as_they_were) };

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
