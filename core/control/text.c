#include "core/control/text.h"

#include <stdio.h>

#include "core/base/clean.h"

enum { FLEX_MIN = 16, FLEX_UNLIMITED = 30 };

static int table_width(const struct table *t)
{
	int sum = -1;

	for (int i = 0; i < t->n; i++)
		sum += 1 + (t->column[i].field->width ? t->column[i].field->width : FLEX_MIN);
	return sum;
}

/* Drops the column that matters least; false if none may go. */
static bool drop_one(struct table *t)
{
	int worst = -1;

	for (int i = 0; i < t->n; i++)
		if (t->column[i].field->drop &&
		    (worst < 0 || t->column[i].field->drop > t->column[worst].field->drop))
			worst = i;
	if (worst < 0)
		return false;
	t->n--;
	for (int i = worst; i < t->n; i++)
		t->column[i] = t->column[i + 1];
	return true;
}

void text_table_init(struct table *t, enum list_id l, int columns)
{
	const struct list_def *d = list_def(l);
	int left;

	*t = (struct table){ .clip = columns > 0 };
	for (int i = 0; i < d->nfields && t->n < TABLE_COLUMNS_MAX; i++)
		if (d->fields[i].heading)
			t->column[t->n++].field = &d->fields[i];
	while (t->clip && table_width(t) > columns && drop_one(t))
		;
	left = t->clip ? columns - table_width(t) : 0;
	for (int i = 0; i < t->n; i++) {
		int width = t->column[i].field->width;

		if (!width)
			width = !t->clip ? FLEX_UNLIMITED : FLEX_MIN + (left > 0 ? left : 0);
		t->column[i].width = width;
	}
}

void add_cell(struct str text, int width, bool right, bool clip, bool last, struct buf *out)
{
	struct buf cell;
	int used, pad;

	buf_init(&cell);
	if (clip && width)
		used = clean_clip(&cell, text, width, false);
	else {
		clean_add(&cell, text, false);
		used = clean_width(buf_str(&cell));
	}
	pad = width > used ? width - used : 0;
	if (right)
		buf_addf(out, "%*s", pad, "");
	buf_adds(out, buf_str(&cell));
	if (!right && !last)
		buf_addf(out, "%*s", pad, "");
	if (!last)
		buf_addc(out, ' ');
	buf_free(&cell);
}

void text_table_head(const struct table *t, struct buf *out)
{
	for (int i = 0; i < t->n; i++) {
		const struct field *f = t->column[i].field;

		add_cell(str_of(f->heading), t->column[i].width, f->right, t->clip, i + 1 == t->n,
			 out);
	}
	buf_addc(out, '\n');
}

void text_table_row(const struct table *t, const struct row *r, us_t now, struct buf *out)
{
	struct buf cell;

	buf_init(&cell);
	for (int i = 0; i < t->n; i++) {
		const struct field *f = t->column[i].field;
		struct value v = { .type = V_NONE };

		buf_clear(&cell);
		f->get(r, now, &v);
		value_text(&v, now, &cell);
		add_cell(buf_str(&cell), t->column[i].width, f->right, t->clip, i + 1 == t->n, out);
	}
	while (out->n && out->p[out->n - 1] == ' ')
		out->n--;
	buf_addc(out, '\n');
	buf_free(&cell);
}

void add_grouped(int64_t n, struct buf *out)
{
	char digits[24];
	int len = 0;

	for (uint64_t v = n < 0 ? 0 : (uint64_t)n; v || !len; v /= 10)
		digits[len++] = (char)('0' + v % 10);
	while (len) {
		buf_addc(out, digits[--len]);
		if (len && len % 3 == 0)
			buf_addc(out, ',');
	}
}

void text_table_rest(int64_t rows, int64_t recipients, struct buf *out)
{
	char count[FMT_SIZE];

	if (rows <= 0)
		return;
	buf_addc(out, '(');
	add_grouped(rows, out);
	buf_addz(out, " more");
	fmt_count(recipients, count);
	if (recipients > 0)
		buf_addf(out, ", %s recipients", count);
	buf_addz(out, "; --limit, --offset or --filter shows them)\n");
}

void page_text(const struct page *p, us_t now, int columns, struct buf *out)
{
	struct table t;

	text_table_init(&t, p->list, columns);
	text_table_head(&t, out);
	for (int i = 0; i < p->nrows; i++)
		text_table_row(&t, &p->rows[i], now, out);
	text_table_rest(p->rest_rows, p->rest_recipients, out);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct str text_chomp(struct str s)
{
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	for (; s.n && is_space(s.p[0]); s.n--)
		s.p++;
	return s;
}

void clean_lines(struct str text, struct buf *out)
{
	struct str line;

	while (text.n) {
		const char *end = memchr(text.p, '\n', text.n);

		line = (struct str){ text.p, end ? (size_t)(end - text.p) : text.n };
		clean_add(out, line, false);
		buf_addc(out, '\n');
		text.p += line.n + (end ? 1 : 0);
		text.n -= line.n + (end ? 1 : 0);
	}
}

/* Exactly n digits, behind `before` if that is not NUL. */
static bool take_digits(struct str *s, char before, int n, int *out)
{
	int skip = before ? 1 : 0, v = 0;

	if (s->n < (size_t)(n + skip) || (before && s->p[0] != before))
		return false;
	for (int i = skip; i < n + skip; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = v * 10 + s->p[i] - '0';
	}
	s->p += n + skip;
	s->n -= (size_t)(n + skip);
	*out = v;
	return true;
}

/* Days since 1970 by Howard Hinnant's civil calendar algorithm; timegm would do, but is no standard
 * C. */
static int64_t days_of(int y, int mo, int d)
{
	int64_t era, yoe, doe;

	y -= mo <= 2;
	era = (y < 0 ? y - 399 : y) / 400;
	yoe = y - era * 400;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + (153 * (mo + (mo > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + doe - 719468;
}

static bool take_day(struct str *s, int64_t *days)
{
	int y, mo, d;

	if (!take_digits(s, '\0', 4, &y) || !take_digits(s, '-', 2, &mo) ||
	    !take_digits(s, '-', 2, &d) || mo < 1 || mo > 12 || d < 1 || d > 31)
		return false;
	*days = days_of(y, mo, d);
	/* the 31st of a month without one would be a day of the next */
	return *days < (mo == 12 ? days_of(y + 1, 1, 1) : days_of(y, mo + 1, 1));
}

bool text_time(struct str s, us_t *at)
{
	int h = 0, mi = 0, se = 0, digit;
	us_t part = 0, unit = US_PER_S / 10;
	int64_t days;

	if (!take_day(&s, &days))
		return false;
	if (s.n) {
		if (!take_digits(&s, 'T', 2, &h) || !take_digits(&s, ':', 2, &mi) || h > 23 ||
		    mi > 59)
			return false;
		if (s.n && s.p[0] == ':' && (!take_digits(&s, ':', 2, &se) || se > 59))
			return false;
		if (take_digits(&s, '.', 1, &digit))
			do
				part += digit * unit;
			while ((unit /= 10) >= 0 && take_digits(&s, '\0', 1, &digit));
		if (s.n && (s.n != 1 || s.p[0] != 'Z'))
			return false;
	}
	*at = days * US_PER_DAY + h * US_PER_HOUR + mi * US_PER_MIN + se * US_PER_S + part;
	return true;
}
