#include "core/base/jsonw.h"

#include <assert.h>
#include <math.h>

#include "core/base/clean.h"

enum { LEVELS = sizeof((struct jsonw){ 0 }.comma) / sizeof(bool), MAX_DECIMALS = 9 };

void jsonw_init(struct jsonw *w, struct buf *out)
{
	*w = (struct jsonw){ .out = out };
}

static void add_char(struct buf *out, unsigned char c)
{
	static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	static const char hex[] = "0123456789abcdef";
	char text[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

	for (size_t i = 0; i + 1 < sizeof shorts; i += 2)
		if ((unsigned char)shorts[i] == c) {
			text[1] = shorts[i + 1];
			buf_add(out, text, 2);
			return;
		}
	buf_add(out, text, sizeof text);
}

/* What a terminal must not get (C1, bidi, zero-width …) goes as \u escapes: people look at JSON
 * too. */
static size_t add_rune(struct buf *out, struct str s)
{
	uint32_t rune;
	size_t used = clean_rune(s, &rune);

	if (rune == UINT32_MAX)
		buf_addz(out, "\xEF\xBF\xBD"); /* U+FFFD */
	else if (rune < 0x10000)
		buf_addf(out, "\\u%04x", (unsigned)rune);
	else
		buf_addf(out, "\\u%04x\\u%04x", 0xD800 + (unsigned)((rune - 0x10000) >> 10),
			 0xDC00 + (unsigned)((rune - 0x10000) & 0x3FF));
	return used;
}

static bool passes(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* Bytes at the front that need no change. */
static size_t run_length(struct str s)
{
	size_t n = 0;
	uint32_t rune;

	while (n < s.n) {
		if (passes((unsigned char)s.p[n])) {
			n++;
			continue;
		}
		if ((unsigned char)s.p[n] < 0x80)
			break;
		size_t used = clean_rune((struct str){ s.p + n, s.n - n }, &rune);

		if (clean_rune_width(rune) < 0)
			break;
		n += used;
	}
	return n;
}

static void add_string(struct buf *out, struct str s)
{
	buf_addc(out, '"');
	while (s.n) {
		size_t n = run_length(s);

		buf_add(out, s.p, n);
		s.p += n;
		s.n -= n;
		if (!s.n)
			break;
		n = 1;
		if ((unsigned char)s.p[0] < 0x80)
			add_char(out, (unsigned char)s.p[0]);
		else
			n = add_rune(out, s);
		s.p += n;
		s.n -= n;
	}
	buf_addc(out, '"');
}

/* What stands before any value: comma and key. */
static void lead(struct jsonw *w, const char *key)
{
	if (w->comma[w->depth])
		buf_addc(w->out, ',');
	w->comma[w->depth] = true;
	if (key) {
		add_string(w->out, str_of(key));
		buf_addc(w->out, ':');
	}
}

static void open_level(struct jsonw *w, const char *key, char bracket)
{
	lead(w, key);
	buf_addc(w->out, bracket);
	assert(w->depth + 1 < LEVELS);
	w->comma[++w->depth] = false;
}

static void close_level(struct jsonw *w, char bracket)
{
	assert(w->depth > 0);
	w->depth--;
	buf_addc(w->out, bracket);
}

void jsonw_object(struct jsonw *w, const char *key)
{
	open_level(w, key, '{');
}

void jsonw_array(struct jsonw *w, const char *key)
{
	open_level(w, key, '[');
}

void jsonw_end_object(struct jsonw *w)
{
	close_level(w, '}');
}

void jsonw_end_array(struct jsonw *w)
{
	close_level(w, ']');
}

void jsonw_str(struct jsonw *w, const char *key, struct str v)
{
	lead(w, key);
	add_string(w->out, v);
}

void jsonw_z(struct jsonw *w, const char *key, const char *v)
{
	jsonw_str(w, key, str_of(v));
}

void jsonw_int(struct jsonw *w, const char *key, int64_t v)
{
	lead(w, key);
	buf_addf(w->out, "%lld", (long long)v);
}

/* v as a whole number of 10^-decimals. By integers: printf's %f writes a comma in some locales. */
static void add_fixed(struct buf *out, int64_t v, int64_t scale, int decimals)
{
	uint64_t abs = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	buf_addf(out, "%s%llu", v < 0 ? "-" : "", (unsigned long long)(abs / (uint64_t)scale));
	if (decimals > 0)
		buf_addf(out, ".%0*llu", decimals, (unsigned long long)(abs % (uint64_t)scale));
}

void jsonw_double(struct jsonw *w, const char *key, double v, int decimals)
{
	const double exact = 9e15; /* below 2^53: each step is a different double */
	int64_t scale = 1;

	if (!isfinite(v)) {
		if (key)
			return;
		v = 0; /* an array's places count */
	}
	if (decimals > MAX_DECIMALS)
		decimals = MAX_DECIMALS;
	for (int i = 0; i < decimals; i++)
		scale *= 10;
	lead(w, key);
	if (fabs(v) * (double)scale < exact)
		add_fixed(w->out, (int64_t)(v * (double)scale + (v < 0 ? -0.5 : 0.5)), scale,
			  decimals);
	else
		buf_addf(w->out, "%.0f", v);
}

void jsonw_bool(struct jsonw *w, const char *key, bool v)
{
	lead(w, key);
	buf_addz(w->out, v ? "true" : "false");
}

void jsonw_time(struct jsonw *w, const char *key, us_t at)
{
	char text[CLOCK_RFC3339_SIZE];

	if (at == US_NEVER)
		return;
	clock_rfc3339(at, text);
	jsonw_z(w, key, text);
}

void jsonw_seconds(struct jsonw *w, const char *key, us_t span)
{
	int64_t ms = span / US_PER_MS, scale = 1000;
	int decimals = 3;

	if (span == US_NEVER)
		return;
	while (decimals > 0 && ms % 10 == 0) {
		ms /= 10;
		scale /= 10;
		decimals--;
	}
	lead(w, key);
	add_fixed(w->out, ms, scale, decimals);
}

void jsonw_raw(struct jsonw *w, const char *key, struct str json)
{
	lead(w, key);
	buf_adds(w->out, json);
}
