#include "tui/segs.h"

#include <stdio.h>

#include "core/base/clean.h"

void segs_start(struct segs *s)
{
	s->n = 0;
}

static struct seg *add(struct segs *s, enum style style, int drop, const char *fmt, va_list ap)
{
	static struct seg none; /* of the console thread: what no longer fits in the table */
	struct seg *g = s->n < SEGS_MAX ? &s->v[s->n++] : &none;

	*g = (struct seg){ .style = style, .drop = drop };
	vsnprintf(g->text, sizeof g->text, fmt, ap);
	return g;
}

void segs_add(struct segs *s, enum style style, int drop, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(s, style, drop, fmt, ap);
	va_end(ap);
}

void segs_glue(struct segs *s, enum style style, int drop, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(s, style, drop, fmt, ap)->glued = true;
	va_end(ap);
}

void segs_right(struct segs *s, enum style style, int drop, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(s, style, drop, fmt, ap)->right = true;
	va_end(ap);
}

/* Columns of a text once it is cleaned. */
static int columns(const char *text, bool ascii)
{
	struct buf b;
	int n;

	buf_init(&b);
	clean_add(&b, str_of(text), ascii);
	n = clean_width(buf_str(&b));
	buf_free(&b);
	return n;
}

struct fit {
	int width[SEGS_MAX];
	bool out[SEGS_MAX];
};

static int total(const struct segs *s, const struct fit *f, int gap, bool right)
{
	int sum = 0;
	bool any = false;

	for (int i = 0; i < s->n; i++) {
		if (f->out[i] || s->v[i].right != right)
			continue;
		sum += f->width[i] + (any && !s->v[i].glued ? gap : 0);
		any = true;
	}
	return sum;
}

/* The highest drop number that is still in; 0: nothing may go. */
static int highest(const struct segs *s, const struct fit *f)
{
	int top = 0;

	for (int i = 0; i < s->n; i++)
		if (!f->out[i] && s->v[i].drop > top)
			top = s->v[i].drop;
	return top;
}

static void choose(const struct segs *s, struct fit *f, int w, int gap)
{
	for (;;) {
		int right = total(s, f, gap, true), left = total(s, f, gap, false);
		int top = highest(s, f);
		if (left + right + (left && right ? gap : 0) <= w || top == 0)
			return;
		for (int i = 0; i < s->n; i++)
			if (s->v[i].drop == top)
				f->out[i] = true;
	}
}

static void draw_side(const struct segs *s, const struct fit *f, struct canvas *c, struct area a,
		      int gap, bool right)
{
	int x = a.x, end = a.x + a.w;
	bool any = false;

	for (int i = 0; i < s->n; i++) {
		if (f->out[i] || s->v[i].right != right)
			continue;
		if (any && !s->v[i].glued)
			x += gap;
		any = true;
		x += canvas_z(c, a.y, x, end - x, s->v[i].style, s->v[i].text);
	}
}

void segs_draw(const struct segs *s, struct canvas *c, int y, int x, int w, int gap)
{
	struct fit f = { 0 };
	int right;

	for (int i = 0; i < s->n; i++)
		f.width[i] = columns(s->v[i].text, c->ascii);
	choose(s, &f, w, gap);
	right = total(s, &f, gap, true);
	if (right > w)
		right = w;
	draw_side(s, &f, c, (struct area){ y, x, 1, w - right - (right ? gap : 0) }, gap, false);
	draw_side(s, &f, c, (struct area){ y, x + w - right, 1, right }, gap, true);
}
