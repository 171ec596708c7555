#include "core/base/fmt.h"

#include <stdio.h>

double rate_per_s(struct rate r)
{
	return r.per > 0 ? (double)r.n * (double)US_PER_S / (double)r.per : 0;
}

enum {
	RATE_MAX = 1000000000,	   /* events: "1000000000/" leaves room for any span in FMT_SIZE */
	DURATION_MAX_DAYS = 36500, /* a hundred years: longer is a slip of the keyboard */
	QUOTED_MAX = 60		   /* bytes of the input that an error repeats */
};

static int quoted(struct str s)
{
	return s.n < QUOTED_MAX ? (int)s.n : QUOTED_MAX;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* Takes the digits at the front; false if there are none or the number is over INT64_MAX. */
static bool take_number(struct str *s, int64_t *out)
{
	int64_t v = 0;
	size_t i = 0;

	for (; i < s->n && is_digit(s->p[i]); i++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, s->p[i] - '0', &v))
			return false;
	*out = v;
	s->p += i;
	s->n -= i;
	return i > 0;
}

static struct str take_word(struct str *s)
{
	struct str word = { s->p, 0 };

	while (word.n < s->n && is_letter(s->p[word.n]))
		word.n++;
	s->p += word.n;
	s->n -= word.n;
	return word;
}

static const struct unit {
	char word[5];
	us_t us;
} units[] = {
	{ "ms", US_PER_MS },   { "s", US_PER_S },	{ "sec", US_PER_S },
	{ "m", US_PER_MIN },   { "min", US_PER_MIN },	{ "h", US_PER_HOUR },
	{ "hr", US_PER_HOUR }, { "hour", US_PER_HOUR }, { "d", US_PER_DAY },
	{ "day", US_PER_DAY },
};

/* 0 for a word that is no unit. */
static us_t unit_of(struct str word)
{
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (str_ieqz(word, units[i].word))
			return units[i].us;
	return 0;
}

/* "1h30m": numbers with units, from large to small units. */
static bool parse_span(struct str s, us_t *out)
{
	us_t total = 0, last = US_NEVER;

	if (!s.n)
		return false;
	while (s.n) {
		int64_t n;
		us_t unit, part;

		if (!take_number(&s, &n))
			return false;
		unit = unit_of(take_word(&s));
		if (!unit || unit >= last)
			return false;
		if (__builtin_mul_overflow(n, unit, &part) ||
		    __builtin_add_overflow(total, part, &total))
			return false;
		last = unit;
	}
	*out = total;
	return total <= DURATION_MAX_DAYS * US_PER_DAY;
}

static bool is_zero(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '0')
			return false;
	return s.n > 0;
}

const struct err *fmt_parse_duration(struct str s, us_t *out, struct errbuf *e)
{
	int64_t n;
	struct str rest = s = str_trim(s);
	us_t span;

	if (str_ieqz(s, "never")) {
		*out = US_NEVER;
		return NULL;
	}
	if (parse_span(s, &span) && span > 0) {
		*out = span;
		return NULL;
	}
	if (is_zero(s) || (parse_span(s, &span) && span == 0))
		errbuf_set(e, "\"%.*s\" is no time: write one like 30s, or never", quoted(s), s.p);
	else if (take_number(&rest, &n) && !rest.n)
		errbuf_set(e, "\"%.*s\" needs a unit: write %.*ss, %.*sm or %.*sh", quoted(s), s.p,
			   quoted(s), s.p, quoted(s), s.p, quoted(s), s.p);
	else
		errbuf_set(e,
			   "\"%.*s\" is not a time: write it like 250ms, 30s, 10m, 4h, 2d or "
			   "1h30m (at most %d days), or never",
			   quoted(s), s.p, DURATION_MAX_DAYS);
	return &err_invalid;
}

/* What follows the slash: "s", "hour", or a span as in 1/6m. */
static bool parse_per(struct str s, us_t *out)
{
	us_t unit = unit_of(s);

	if (unit) {
		*out = unit;
		return true;
	}
	return parse_span(s, out) && *out > 0;
}

const struct err *fmt_parse_rate(struct str s, struct rate *out, struct errbuf *e)
{
	struct str left = s = str_trim(s);
	int64_t n = 0;
	bool number;
	us_t per;

	if (str_ieqz(s, "unlimited")) {
		*out = (struct rate){ 0, US_PER_S };
		return NULL;
	}
	number = take_number(&left, &n);
	if (number && n > 0 && n <= RATE_MAX && left.n > 1 && left.p[0] == '/' &&
	    parse_per((struct str){ left.p + 1, left.n - 1 }, &per)) {
		*out = (struct rate){ n, per };
		return NULL;
	}
	if (number && n == 0)
		errbuf_set(e,
			   "\"%.*s\" is no rate: write one like 20/s, or unlimited; to send "
			   "nothing, pause",
			   quoted(s), s.p);
	else if (number && !left.n)
		errbuf_set(e, "\"%.*s\" needs a unit: write %.*s/s, %.*s/min or %.*s/h", quoted(s),
			   s.p, quoted(s), s.p, quoted(s), s.p, quoted(s), s.p);
	else
		errbuf_set(e,
			   "\"%.*s\" is not a rate: write it like 20/s, 600/min, 50/hour, 1000/d, "
			   "1/6m (at most %d), or unlimited",
			   quoted(s), s.p, RATE_MAX);
	return &err_invalid;
}

/* Power of 1024, or -1. "k", "kb" and "KB" are the same. */
static int size_power(struct str word)
{
	static const char letters[] = "kmgt";
	const char *at;

	if (!word.n)
		return 0;
	if (word.n > 2 || (word.n == 2 && (word.p[1] | 0x20) != 'b'))
		return -1;
	at = strchr(letters, word.p[0] | 0x20);
	return at ? (int)(at - letters) + 1 : -1;
}

const struct err *fmt_parse_size(struct str s, int64_t *out, struct errbuf *e)
{
	struct str rest = s = str_trim(s);
	int64_t n;

	if (take_number(&rest, &n)) {
		int power = size_power(take_word(&rest));

		if (power >= 0 && !rest.n &&
		    !__builtin_mul_overflow(n, (int64_t)1 << (10 * power), out))
			return NULL;
	}
	errbuf_set(e, "\"%.*s\" is not a size: write it like 64k, 10M or 2G (k is 1024 bytes)",
		   quoted(s), s.p);
	return &err_invalid;
}

const struct err *fmt_parse_int(struct str s, int64_t lo, int64_t hi, int64_t *out,
				struct errbuf *e)
{
	struct str rest = s = str_trim(s);
	bool minus = s.n > 1 && s.p[0] == '-';
	int64_t n;

	if (minus)
		rest = (struct str){ s.p + 1, s.n - 1 };
	if (take_number(&rest, &n) && !rest.n) {
		n = minus ? -n : n;
		if (n >= lo && n <= hi) {
			*out = n;
			return NULL;
		}
	}
	if (hi == INT64_MAX)
		errbuf_set(e, "\"%.*s\": write a whole number from %lld", quoted(s), s.p,
			   (long long)lo);
	else
		errbuf_set(e, "\"%.*s\": write a whole number from %lld to %lld", quoted(s), s.p,
			   (long long)lo, (long long)hi);
	return &err_invalid;
}

const struct err *fmt_parse_bool(struct str s, bool *out, struct errbuf *e)
{
	static const char yes[][6] = { "yes", "true", "on" };
	static const char no[][6] = { "no", "false", "off" };

	s = str_trim(s);
	for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
		bool is_yes = str_ieqz(s, yes[i]);

		if (is_yes || str_ieqz(s, no[i])) {
			*out = is_yes;
			return NULL;
		}
	}
	errbuf_set(e, "\"%.*s\": write yes or no", quoted(s), s.p);
	return &err_invalid;
}

const struct err *fmt_parse_percent(struct str s, double *out, struct errbuf *e)
{
	struct str rest = s = str_trim(s);
	int64_t whole, part = 0;
	double scale = 1;
	bool ok = take_number(&rest, &whole);

	if (ok && rest.n && rest.p[0] == '.') {
		size_t digits;

		rest = (struct str){ rest.p + 1, rest.n - 1 };
		digits = rest.n;
		ok = take_number(&rest, &part);
		for (digits -= rest.n; digits > 0; digits--)
			scale *= 10;
	}
	if (ok && str_eqz(rest, "%")) {
		*out = ((double)whole + (double)part / scale) / 100;
		return NULL;
	}
	errbuf_set(e, "\"%.*s\" is not a percentage: write it like 5%% or 0.1%%", quoted(s), s.p);
	return &err_invalid;
}

void fmt_rate(struct rate r, char out[FMT_SIZE])
{
	char span[FMT_SIZE];
	const char *per = span;

	if (rate_unlimited(r)) {
		snprintf(out, FMT_SIZE, "unlimited");
		return;
	}
	if (r.per == US_PER_S)
		per = "s";
	else if (r.per == US_PER_MIN)
		per = "min";
	else if (r.per == US_PER_HOUR)
		per = "hour";
	else if (r.per == US_PER_DAY)
		per = "d";
	else
		fmt_duration(r.per, span);
	if (snprintf(out, FMT_SIZE, "%lld/%s", (long long)r.n, per) >= FMT_SIZE)
		memcpy(out + FMT_SIZE - sizeof "...", "...", sizeof "...");
}

void fmt_duration(us_t d, char out[FMT_SIZE])
{
	static const struct unit parts[] = { { "d", US_PER_DAY },
					     { "h", US_PER_HOUR },
					     { "m", US_PER_MIN },
					     { "s", US_PER_S },
					     { "ms", US_PER_MS } };
	size_t n = 0;

	if (d == US_NEVER) {
		snprintf(out, FMT_SIZE, "never");
		return;
	}
	if (d < 0) {
		out[n++] = '-';
		d = d == INT64_MIN ? INT64_MAX : -d;
	}
	if (d > 0 && d < US_PER_MS)
		d = US_PER_MS; /* the grammar has nothing smaller, and 0s would be a lie */
	if (d == 0)
		snprintf(out, FMT_SIZE, "0s");
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		us_t count = d / parts[i].us;

		if (count)
			n += (size_t)snprintf(out + n, FMT_SIZE - n, "%lld%s", (long long)count,
					      parts[i].word);
		d %= parts[i].us;
	}
}

/* Age and time left share their long end. */
static bool fmt_many_days(us_t d, char out[FMT_SIZE])
{
	const int64_t most = 9999;
	int64_t days = d / US_PER_DAY;

	if (d == US_NEVER)
		snprintf(out, FMT_SIZE, "never");
	else if (days >= 100)
		snprintf(out, FMT_SIZE, "%lldd", (long long)(days < most ? days : most));
	else
		return false;
	return true;
}

void fmt_age(us_t d, char out[FMT_SIZE])
{
	int s, m, h;

	if (d < 0)
		d = 0;
	if (fmt_many_days(d, out))
		return;
	s = (int)(d / US_PER_S);
	m = s / 60;
	h = m / 60;
	if (h >= 24)
		snprintf(out, FMT_SIZE, "%dd%02d", h / 24, h % 24);
	else if (h > 0)
		snprintf(out, FMT_SIZE, "%dh%02d", h, m % 60);
	else
		snprintf(out, FMT_SIZE, "%dm%02d", m, s % 60);
}

void fmt_left(us_t d, char out[FMT_SIZE])
{
	int s;

	if (d < 0)
		d = 0;
	if (fmt_many_days(d, out))
		return;
	s = (int)(d / US_PER_S);
	if (s < 60)
		snprintf(out, FMT_SIZE, "%ds", s);
	else if (s < 3600)
		snprintf(out, FMT_SIZE, "%dm", s / 60);
	else if (s < 48 * 3600)
		snprintf(out, FMT_SIZE, "%dh", s / 3600);
	else
		snprintf(out, FMT_SIZE, "%dd", s / (24 * 3600));
}

/* n >= 1000, cut (never rounded up) to its thousands' letter with one or two decimals. */
static void fmt_thousands(uint64_t n, char out[FMT_SIZE])
{
	static const char letters[] = "kMGTPE";
	uint64_t unit = 1000;
	int i = 0;

	while (n / unit >= 1000) {
		unit *= 1000;
		i++;
	}
	if (i == 0 || n / unit >= 100)
		snprintf(out, FMT_SIZE, "%llu.%llu%c", (unsigned long long)(n / unit),
			 (unsigned long long)(n % unit / (unit / 10)), letters[i]);
	else
		snprintf(out, FMT_SIZE, "%llu.%02llu%c", (unsigned long long)(n / unit),
			 (unsigned long long)(n % unit / (unit / 100)), letters[i]);
}

void fmt_count(int64_t n, char out[FMT_SIZE])
{
	if (n < 0)
		n = 0;
	if (n < 1000)
		snprintf(out, FMT_SIZE, "%d", (int)n);
	else
		fmt_thousands((uint64_t)n, out);
}

void fmt_per_s(double per_s, char out[FMT_SIZE])
{
	const double most = 1e18;
	int tenths;

	if (!(per_s > 0))
		per_s = 0;
	if (per_s > most)
		per_s = most;
	if (per_s >= 999.95) {
		fmt_thousands((uint64_t)(per_s + 0.05), out);
		return;
	}
	tenths = (int)(per_s * 10 + 0.5);
	if (tenths == 0 && per_s > 0)
		snprintf(out, FMT_SIZE, "<0.1");
	else
		snprintf(out, FMT_SIZE, "%d.%d", tenths / 10, tenths % 10);
}

void fmt_bytes(int64_t n, char out[FMT_SIZE])
{
	static const char letters[] = "kMGTPE";
	uint64_t v = n < 0 ? 0 : (uint64_t)n, unit = 1024;
	int i = 0;

	if (v < 1024) {
		snprintf(out, FMT_SIZE, "%d", (int)v);
		return;
	}
	while (v / unit >= 1024) {
		unit *= 1024;
		i++;
	}
	if (v / unit >= 1000) /* stays in five columns */
		snprintf(out, FMT_SIZE, "%d%c", (int)(v / unit), letters[i]);
	else
		snprintf(out, FMT_SIZE, "%d.%d%c", (int)(v / unit), (int)(v % unit * 10 / unit),
			 letters[i]);
}
