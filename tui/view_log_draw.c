/* The log's lines on the screen: columns by what stands in them, or wrapped; the title. */
#include <stdio.h>
#include <string.h>

#include "core/base/clean.h"
#include "tui/view_log_inner.h"

enum { WRAP_AT = 18 };

static void clock_text(const struct view_log *l, const struct log_entry *e, bool ms, char out[40])
{
	struct tz_time t;

	tz_split(l->view.op->tz, e->at, &t);
	snprintf(out, 40, "%02d:%02d:%02d", t.hour, t.min, t.sec);
	if (ms)
		snprintf(out + strlen(out), 40 - strlen(out), ".%03d", t.ms);
}

/* Cleaned before it is cut into lines: an escape is longer than what it stands for. */
static void line_text(const struct view_log *l, const struct log_entry *e, struct buf *out)
{
	struct buf raw;

	buf_init(&raw);
	buf_addf(&raw, "%s  %s  %s", e->who, e->mx, e->reply);
	clean_add(out, buf_str(&raw), !l->view.op->utf8);
	buf_free(&raw);
}

/* Lines that an entry takes: more than one only when wrapped. */
static int entry_height(const struct view_log *l, const struct log_entry *e, int w)
{
	struct buf b;
	int n;

	if (!l->wrap || w < 20)
		return 1;
	buf_init(&b);
	line_text(l, e, &b);
	n = clean_width(buf_str(&b));
	buf_free(&b);
	return 1 + (n > w - WRAP_AT ? (n - (w - WRAP_AT) + w - WRAP_AT - 1) / (w - WRAP_AT) : 0);
}

static void draw_wrapped(struct canvas *c, struct area a, struct str s)
{
	for (int y = a.y; y < a.y + a.h && s.n; y++) {
		size_t n = 0;
		int w = 0;
		while (n < s.n) {
			uint32_t rune;
			size_t k = clean_rune((struct str){ s.p + n, s.n - n }, &rune);
			int rw = clean_rune_width(rune);
			if (w + (rw > 0 ? rw : 0) > a.w)
				break;
			w += rw > 0 ? rw : 0;
			n += k;
		}
		canvas_text(c, y, a.x, a.w, STYLE_TEXT, (struct str){ s.p, n });
		s.p += n;
		s.n -= n;
	}
}

/* Columns of the line, by what stands in it now: the reply is what one reads, so it gets the rest.
 */
struct log_widths {
	int who, mx, vmta;
};
static struct log_widths widths_of(const struct view_log *l, int from, int w)
{
	enum { WHO_MAX = 28, MX_MAX = 18, VMTA_MAX = 10, REPLY_ENOUGH = 36, CLOCK = 18 };
	struct log_widths c = { 12, 0, 0 };

	for (int i = from; i < l->n && i < from + l->visible; i++) {
		int who = clean_width(str_of(l->v[i].who)), mx = clean_width(str_of(l->v[i].mx));
		int vmta = clean_width(str_of(l->v[i].vmta));
		c.who = who > c.who ? who : c.who;
		c.mx = mx > c.mx ? mx : c.mx;
		c.vmta = vmta > c.vmta ? vmta : c.vmta;
	}
	c.who = c.who > WHO_MAX ? WHO_MAX : c.who;
	c.mx = c.mx > MX_MAX ? MX_MAX : c.mx;
	c.vmta = c.vmta > VMTA_MAX ? VMTA_MAX : c.vmta;
	if (w < CLOCK + c.vmta + c.who + c.mx + REPLY_ENOUGH)
		c.mx = 0;
	if (w < CLOCK + c.vmta + c.who + REPLY_ENOUGH)
		c.vmta = 0;
	if (c.who > w / 3)
		c.who = w / 3;
	return c;
}

static void draw_entry(const struct view_log *l, struct canvas *c, struct area a,
		       const struct log_entry *e, const struct log_widths *w)
{
	int x = a.x + 2, end = a.x + a.w - 1;
	bool wide = a.w >= 60;
	struct buf b;
	char at[40];

	clock_text(l, e, wide, at);
	x += canvas_z(c, a.y, x, wide ? 12 : 8, STYLE_DIM, at) + 1;
	canvas_fmt(c, a.y, x, 1, log_entry_style(e->type), "%c", e->type);
	x += 2;
	if (l->wrap) {
		buf_init(&b);
		line_text(l, e, &b);
		draw_wrapped(c, (struct area){ a.y, x, a.h, end - x }, buf_str(&b));
		buf_free(&b);
		return;
	}
	canvas_z(c, a.y, x, w->vmta, STYLE_DIM, e->vmta);
	x += w->vmta ? w->vmta + 1 : 0;
	canvas_z(c, a.y, x, w->who, STYLE_TEXT, e->who);
	x += w->who + 1;
	canvas_z(c, a.y, x, w->mx, STYLE_DIM, e->mx);
	x += w->mx ? w->mx + 1 : 0;
	if (w->mx) {
		canvas_right(c, a.y, end - 6, 6, STYLE_DIM, str_of(e->seconds));
		end -= 7;
	}
	canvas_z(c, a.y, x, end - x, e->type == 'D' || e->type == 'R' ? STYLE_DIM : STYLE_TEXT,
		 e->reply);
}

static void place(struct view_log *l, struct area a)
{
	int lines = 0, first = l->cursor_line;

	l->visible = a.h;
	if (l->follow || l->cursor_line >= l->top) {
		/* How far up may the top be so that the cursor's entry is still whole? */
		while (first >= 0 && lines + entry_height(l, &l->v[first], a.w) <= a.h)
			lines += entry_height(l, &l->v[first--], a.w);
		if (l->top <= first || l->follow)
			l->top = first + 1;
	} else {
		l->top = l->cursor_line;
	}
}

void log_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	struct view_log *l = log_of(v);
	struct log_widths widths;
	int y = a.y;

	(void)now;
	if (l->error[0])
		canvas_z(c, a.y + 1, a.x + 2, a.w - 4, STYLE_ERROR, l->error);
	else if (!l->n)
		canvas_z(c, a.y + 1, a.x + 2, a.w - 4, STYLE_DIM,
			 !l->answered ? "asking ..."
			 : l->filter[0]
			     ? "Nothing in the log matches this filter; Esc takes it off."
			     : "Nothing yet: every message that comes, goes or is refused makes a "
			       "line here.");
	if (!l->n || l->error[0])
		return;
	place(l, a);
	widths = widths_of(l, l->top, a.w);
	for (int i = l->top; i < l->n && y < a.y + a.h; i++) {
		int h = entry_height(l, &l->v[i], a.w);
		h = h > a.y + a.h - y ? a.y + a.h - y : h;
		draw_entry(l, c, (struct area){ y, a.x, h, a.w }, &l->v[i], &widths);
		if (i == l->cursor_line && !l->follow) {
			canvas_z(c, y, a.x, 1, STYLE_STRONG, ">");
			canvas_over(c, y, a.x, a.w, STYLE_CURSOR);
		}
		y += h;
	}
}

void log_title(struct view *v, struct segs *s, us_t now)
{
	struct view_log *l = log_of(v);
	char rate[FMT_SIZE], n[FMT_SIZE];

	(void)now;
	segs_add(s, STYLE_DIM, 5, v->op->depth_n > 1 ? "> log" : "> delivery");
	if (l->of[0]) {
		segs_add(s, STYLE_DIM, 1, "mail of");
		segs_add(s, STYLE_STRONG, 0, "%s", l->of);
	} else if (l->filter[0]) {
		segs_add(s, STYLE_DIM, 1, "filter");
		segs_add(s, STYLE_STRONG, 0, "%s", l->filter);
	}
	fmt_count((int64_t)l->matched_below, n);
	if (l->follow)
		segs_right(s, STYLE_GOOD, 0, "FOLLOW");
	else if (l->matched_below)
		segs_right(s, STYLE_BACK, 0, "%s new below, End follows", n);
	else
		segs_right(s, STYLE_BACK, 0, "scrolled, End follows");
	fmt_per_s(l->shown_rate, rate);
	segs_right(s, STYLE_DIM, 3, "%s/s", rate);
	fmt_count((int64_t)(l->ring_last >= l->ring_first && l->ring_last
				? l->ring_last - l->ring_first + 1
				: 0),
		  n);
	segs_right(s, STYLE_DIM, 4, "buffer %s", n);
}
