#include "tui/canvas.h"

#include <stdlib.h>

#include "core/base/clean.h"

void canvas_init(struct canvas *c)
{
	*c = (struct canvas){ .cursor_y = -1 };
}

void canvas_free(struct canvas *c)
{
	free(c->cells);
	canvas_init(c);
}

bool canvas_resize(struct canvas *c, int rows, int cols)
{
	struct cell *cells;

	if (rows == c->rows && cols == c->cols) {
		canvas_clear(c);
		return true;
	}
	cells = calloc((size_t)rows * (size_t)cols, sizeof *cells);
	if (!cells)
		return false;
	free(c->cells);
	c->cells = cells;
	c->rows = rows;
	c->cols = cols;
	canvas_clear(c);
	return true;
}

static const struct cell blank = { .rune = ' ', .style = STYLE_TEXT, .wide = 1 };

void canvas_clear(struct canvas *c)
{
	for (int i = 0; i < c->rows * c->cols; i++)
		c->cells[i] = blank;
	c->cursor_y = -1;
}

static struct cell *at(struct canvas *c, int y, int x)
{
	if (y < 0 || y >= c->rows || x < 0 || x >= c->cols)
		return NULL;
	return &c->cells[y * c->cols + x];
}

/* A wide character that loses one half loses both. */
static void split_wide(struct canvas *c, int y, int x)
{
	struct cell *here = at(c, y, x), *right = at(c, y, x + 1);

	if (here && here->wide == 0 && x > 0) {
		struct cell *left = at(c, y, x - 1);
		if (left) {
			left->rune = ' ';
			left->wide = 1;
		}
		here->wide = 1;
		here->rune = ' ';
	}
	if (here && here->wide == 2 && right) {
		right->rune = ' ';
		right->wide = 1;
	}
}

static void put(struct canvas *c, int y, int x, enum style style, uint32_t rune, int width)
{
	struct cell *p = at(c, y, x);

	if (!p)
		return;
	if (width == 2 && x + 1 >= c->cols) {
		rune = ' ';
		width = 1;
	}
	split_wide(c, y, x);
	if (width == 2)
		split_wide(c, y, x + 1);
	*p = (struct cell){ .rune = rune, .style = (uint8_t)style, .wide = (uint8_t)width };
	if (width == 2)
		p[1] = (struct cell){ .style = (uint8_t)style };
}

/* Clean text from here on. */
static int put_clean(struct canvas *c, int y, int x, enum style style, struct str text)
{
	int used = 0;
	uint32_t rune;
	size_t n;

	while ((n = clean_rune(text, &rune)) > 0) {
		int w = clean_rune_width(rune);
		text.p += n;
		text.n -= n;
		if (w < 0)
			continue; /* can't be: it was cleaned */
		if (w == 0) {
			struct cell *left = used ? at(c, y, x + used - 1) : NULL;
			if (left && left->wide == 0)
				left = at(c, y, x + used - 2);
			if (left)
				left->mark = rune;
			continue;
		}
		put(c, y, x + used, style, rune, w);
		used += w;
	}
	return used;
}

int canvas_text(struct canvas *c, int y, int x, int w, enum style style, struct str text)
{
	struct buf b;
	int used;

	if (x + w > c->cols)
		w = c->cols - x;
	if (w <= 0 || y < 0 || y >= c->rows || x < 0)
		return 0;
	buf_init(&b);
	clean_clip(&b, text, w, c->ascii);
	used = put_clean(c, y, x, style, buf_str(&b));
	buf_free(&b);
	return used;
}

int canvas_z(struct canvas *c, int y, int x, int w, enum style style, const char *text)
{
	return canvas_text(c, y, x, w, style, str_of(text));
}

int canvas_fmt(struct canvas *c, int y, int x, int w, enum style style, const char *fmt, ...)
{
	struct buf b;
	va_list ap;
	int used;

	buf_init(&b);
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	used = canvas_text(c, y, x, w, style, buf_str(&b));
	buf_free(&b);
	return used;
}

void canvas_right(struct canvas *c, int y, int x, int w, enum style style, struct str text)
{
	struct buf b;
	int used;

	if (w <= 0)
		return;
	buf_init(&b);
	used = clean_clip(&b, text, w, c->ascii);
	if (x + w <= c->cols)
		put_clean(c, y, x + w - used, style, buf_str(&b));
	buf_free(&b);
}

void canvas_glyph(struct canvas *c, int y, int x, enum style style, uint32_t rune, char ascii)
{
	put(c, y, x, style, c->ascii ? (uint32_t)(unsigned char)ascii : rune, 1);
}

void canvas_fill(struct canvas *c, struct area a, enum style style)
{
	for (int y = a.y; y < a.y + a.h; y++)
		for (int x = a.x; x < a.x + a.w; x++)
			put(c, y, x, style, ' ', 1);
}

void canvas_style(struct canvas *c, int y, int x, int w, enum style style)
{
	for (int i = x; i < x + w; i++) {
		struct cell *p = at(c, y, i);
		if (p)
			p->style = (uint8_t)style;
	}
}

void canvas_over(struct canvas *c, int y, int x, int w, enum style over)
{
	for (int i = x; i < x + w; i++) {
		struct cell *p = at(c, y, i);
		if (p)
			p->over = (uint8_t)over;
	}
}

enum {
	BOX_H = 0x2500,
	BOX_V = 0x2502,
	BOX_TL = 0x250C,
	BOX_TR = 0x2510,
	BOX_BL = 0x2514,
	BOX_BR = 0x2518
};

void canvas_frame(struct canvas *c, struct area a, enum style style)
{
	int bottom = a.y + a.h - 1, right = a.x + a.w - 1;

	canvas_fill(c, a, style);
	for (int x = a.x + 1; x < right; x++) {
		canvas_glyph(c, a.y, x, style, BOX_H, '-');
		canvas_glyph(c, bottom, x, style, BOX_H, '-');
	}
	for (int y = a.y + 1; y < bottom; y++) {
		canvas_glyph(c, y, a.x, style, BOX_V, '|');
		canvas_glyph(c, y, right, style, BOX_V, '|');
	}
	canvas_glyph(c, a.y, a.x, style, BOX_TL, '+');
	canvas_glyph(c, a.y, right, style, BOX_TR, '+');
	canvas_glyph(c, bottom, a.x, style, BOX_BL, '+');
	canvas_glyph(c, bottom, right, style, BOX_BR, '+');
}

void canvas_spark(struct canvas *c, int y, int x, enum style style, const float *v, int n,
		  float top)
{
	static const char ramp[] = " .:-=+*#";
	enum {
		STEPS = 7,
		LOWEST_BLOCK = 0x2581
	}; /* U+2581 to U+2587: a full block would touch the line above */

	for (int i = 0; i < n; i++)
		if (v[i] > top)
			top = v[i];
	for (int i = 0; i < n; i++) {
		int step = top > 0 ? (int)(v[i] / top * (float)STEPS + 0.999f) : 0;
		step = step < 0 ? 0 : step > STEPS ? STEPS : step;
		if (step == 0)
			put(c, y, x + i, style, ' ', 1);
		else
			canvas_glyph(c, y, x + i, style, (uint32_t)(LOWEST_BLOCK + step - 1),
				     ramp[step]);
	}
}

void rune_put(struct buf *out, uint32_t r)
{
	if (r < 0x80) {
		buf_addc(out, (char)r);
		return;
	}
	if (r < 0x800) {
		buf_addc(out, (char)(0xC0 | (r >> 6)));
	} else if (r < 0x10000) {
		buf_addc(out, (char)(0xE0 | (r >> 12)));
		buf_addc(out, (char)(0x80 | ((r >> 6) & 0x3F)));
	} else {
		buf_addc(out, (char)(0xF0 | (r >> 18)));
		buf_addc(out, (char)(0x80 | ((r >> 12) & 0x3F)));
		buf_addc(out, (char)(0x80 | ((r >> 6) & 0x3F)));
	}
	buf_addc(out, (char)(0x80 | (r & 0x3F)));
}

void canvas_dump(const struct canvas *c, struct buf *out)
{
	for (int y = 0; y < c->rows; y++) {
		size_t blanks = 0;
		for (int x = 0; x < c->cols; x++) {
			const struct cell *p = &c->cells[y * c->cols + x];
			if (p->wide == 0)
				continue;
			if (p->rune == ' ') {
				blanks++;
				continue;
			}
			for (; blanks; blanks--)
				buf_addc(out, ' ');
			rune_put(out, p->rune);
			if (p->mark)
				rune_put(out, p->mark);
		}
		buf_addc(out, '\n');
	}
}
