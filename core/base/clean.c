#include "core/base/clean.h"

#include <stdio.h>

#include "core/base/clean_ranges.h"

enum { ILL_FORMED = -1, FIRST_NON_ASCII = 0x80, DEL = 0x7F, SPACE = 0x20 };

static bool is_tail(unsigned char c)
{
	return (c & 0xC0) == 0x80;
}

size_t clean_rune(struct str s, uint32_t *rune)
{
	/* By length: the lowest rune it may encode (a lower one is an overlong form). */
	static const uint32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n;
	uint32_t r;

	*rune = UINT32_MAX;
	if (!s.n)
		return 0;
	if (p[0] < FIRST_NON_ASCII) {
		*rune = p[0];
		return 1;
	}
	n = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
	if (p[0] < 0xC2 || p[0] > 0xF4 || s.n < n)
		return 1;
	r = p[0] & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if (!is_tail(p[i]))
			return 1;
		r = r << 6 | (p[i] & 0x3F);
	}
	if (r < lowest[n] || r > 0x10FFFF || (r >= 0xD800 && r <= 0xDFFF))
		return 1;
	*rune = r;
	return n;
}

static bool within(uint32_t rune, const struct range *r, size_t n)
{
	while (n > 0) {
		size_t half = n / 2;

		if (rune > r[half].last) {
			r += half + 1;
			n -= half + 1;
		} else if (rune < r[half].first) {
			n = half;
		} else {
			return true;
		}
	}
	return false;
}

#define WITHIN(rune, table) within((rune), (table), sizeof(table) / sizeof((table)[0]))

int clean_rune_width(uint32_t rune)
{
	if (rune < FIRST_NON_ASCII)
		return rune >= SPACE && rune != DEL ? 1 : -1;
	if (rune > 0x10FFFF || (rune >= 0xD800 && rune <= 0xDFFF) || WITHIN(rune, escaped))
		return -1;
	if (WITHIN(rune, zero_columns))
		return 0;
	return WITHIN(rune, two_columns) ? 2 : 1;
}

/* What one character of the input becomes: itself, or an escape. */
struct piece {
	size_t used; /* bytes of the input */
	int columns;
	struct str text;
	char escape[16];
};

static void escape(struct piece *p, uint32_t rune, unsigned char byte)
{
	int n = rune >= FIRST_NON_ASCII && rune != UINT32_MAX
		    ? snprintf(p->escape, sizeof p->escape, "<U+%04X>", rune)
		    : snprintf(p->escape, sizeof p->escape, "\\x%02x", byte);

	p->columns = n;
	p->text = str_mem(p->escape, (size_t)n);
}

/* s is not empty. */
static void next_piece(struct str s, bool ascii, struct piece *p)
{
	uint32_t rune;

	p->used = clean_rune(s, &rune);
	p->columns = clean_rune_width(rune);
	p->text = (struct str){ s.p, p->used };
	if (p->columns < 0 || (ascii && rune >= FIRST_NON_ASCII))
		escape(p, rune, (unsigned char)s.p[0]);
}

/* Printable ASCII at the front, at most `most` bytes: nearly all there is, copied in one go. */
static size_t plain_run(struct str s, size_t most)
{
	size_t n = 0;

	while (n < s.n && n < most && s.p[n] >= SPACE && s.p[n] < DEL)
		n++;
	return n;
}

bool clean_add(struct buf *out, struct str text, bool ascii)
{
	while (text.n) {
		struct piece p;
		size_t n = plain_run(text, SIZE_MAX);

		if (n > 0)
			p = (struct piece){ .used = n, .text = { text.p, n } };
		else
			next_piece(text, ascii, &p);
		/* p.text may point into p: no copy of p may stand between. */
		if (!buf_adds(out, p.text))
			return false;
		text.p += p.used;
		text.n -= p.used;
	}
	return true;
}

int clean_clip(struct buf *out, struct str text, int columns, bool ascii)
{
	static const char dots[] = "...";
	const int dot_columns = columns > (int)sizeof dots - 1 ? (int)sizeof dots - 1 : 0;
	size_t cut = out->n; /* where the dots would go, and the columns used up to there */
	int cut_columns = 0, used = 0;

	while (text.n) {
		struct piece p;

		next_piece(text, ascii, &p);
		if (used + p.columns > columns)
			break;
		if (!buf_adds(out, p.text))
			return used;
		used += p.columns;
		text.p += p.used;
		text.n -= p.used;
		if (used <= columns - dot_columns) {
			cut = out->n;
			cut_columns = used;
		}
	}
	if (!text.n || dot_columns == 0)
		return used;
	out->n = cut;
	return buf_addz(out, dots) ? cut_columns + dot_columns : cut_columns;
}

int clean_width(struct str text)
{
	int columns = 0;
	uint32_t rune;

	while (text.n) {
		size_t n = plain_run(text, SIZE_MAX);
		int width = (int)n;

		if (n == 0) {
			n = clean_rune(text, &rune);
			width = clean_rune_width(rune);
		}
		columns += width > 0 ? width : 0;
		text.p += n;
		text.n -= n;
	}
	return columns;
}
