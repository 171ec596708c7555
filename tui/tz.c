#include "tui/tz.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/log.h"

/* A zone file (RFC 8536) holds a table of moments from which an offset holds. Zones without summer
 * time have none: then the first type counts. Behind the last moment the file's footer would rule;
 * the tables that Debian ships ("fat") reach to 2037, and behind that the last offset goes on. */
enum { TZ_BYTES_MAX = 64 * 1024, TZ_NAME_MAX = 64, TZ_HEADER = 44 };

struct tz_type {
	int32_t offset; /* seconds east */
	char zone[8];
};
struct tz {
	int n, ntypes;
	int64_t *from; /* seconds since the epoch */
	uint8_t *type;
	struct tz_type *types;
};

static int64_t big_endian(const uint8_t *p, int bytes)
{
	uint64_t v = (p[0] & 0x80) ? UINT64_MAX : 0;

	for (int i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

static bool name_ok(struct str name)
{
	if (name.n == 0 || name.n > TZ_NAME_MAX || name.p[0] == '/')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool word =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!word && c != '_' && c != '-' && c != '+' && c != '/')
			return false; /* no dot: no way up */
	}
	return true;
}

struct counts {
	int64_t isut, isstd, leap, time, type, chars;
};

static bool counts_read(const uint8_t *p, size_t n, struct counts *c)
{
	if (n < TZ_HEADER || memcmp(p, "TZif", 4) != 0)
		return false;
	c->isut = big_endian(p + 20, 4);
	c->isstd = big_endian(p + 24, 4);
	c->leap = big_endian(p + 28, 4);
	c->time = big_endian(p + 32, 4);
	c->type = big_endian(p + 36, 4);
	c->chars = big_endian(p + 40, 4);
	return c->time >= 0 && c->time < 4096 && c->type > 0 && c->type <= 256 && c->chars >= 0 &&
	       c->chars < 4096 && c->leap >= 0 && c->leap < 1024 && c->isut >= 0 &&
	       c->isut <= 256 && c->isstd >= 0 && c->isstd <= 256;
}

static void types_read(struct tz *t, const uint8_t *p, const struct counts *c)
{
	const uint8_t *names = p + c->type * 6;

	for (int i = 0; i < t->ntypes; i++) {
		int at = p[i * 6 + 5];
		t->types[i].offset = (int32_t)big_endian(p + i * 6, 4);
		for (size_t k = 0; k < sizeof t->types[i].zone - 1 && at + (int)k < c->chars &&
				   names[at + (int)k];
		     k++)
			t->types[i].zone[k] = (char)names[at + (int)k];
	}
}

static struct tz *table_read(const uint8_t *p, size_t n, const struct counts *c)
{
	size_t need = (size_t)(c->time * 9 + c->type * 6 + c->chars);
	struct tz *t = n >= need ? calloc(1, sizeof *t) : NULL;

	if (!t)
		return NULL;
	t->n = (int)c->time;
	t->ntypes = (int)c->type;
	t->from = calloc((size_t)t->n + 1, sizeof *t->from);
	t->type = calloc((size_t)t->n + 1, 1);
	t->types = calloc((size_t)t->ntypes, sizeof *t->types);
	if (!t->from || !t->type || !t->types) {
		tz_free(t);
		return NULL;
	}
	for (int i = 0; i < t->n; i++) {
		t->from[i] = big_endian(p + i * 8, 8);
		t->type[i] = p[c->time * 8 + i];
		if (t->type[i] >= t->ntypes)
			t->type[i] = 0;
	}
	types_read(t, p + c->time * 9, c);
	return t;
}

static struct tz *parse(const uint8_t *p, size_t n)
{
	struct counts c;
	size_t first;

	if (!counts_read(p, n, &c) || p[4] < '2')
		return NULL;
	/* The 32-bit block comes first; the 64-bit one behind it is what we read. */
	first =
	    (size_t)(TZ_HEADER + c.time * 5 + c.type * 6 + c.chars + c.leap * 8 + c.isstd + c.isut);
	if (first > n || !counts_read(p + first, n - first, &c))
		return NULL;
	return table_read(p + first + TZ_HEADER, n - first - TZ_HEADER, &c);
}

bool tz_load(struct str name, struct tz **out)
{
	char path[128];
	uint8_t *bytes;
	struct tz *t;
	size_t n;
	FILE *f;

	if (name.n == 0 || str_ieqz(name, "local")) {
		*out = NULL;
		return true;
	}
	if (str_ieqz(name, "utc"))
		name = STR_LIT("UTC");
	if (!name_ok(name))
		return false;
	snprintf(path, sizeof path, "/usr/share/zoneinfo/%.*s", (int)name.n, name.p);
	f = fopen(path, "re");
	bytes = f ? malloc(TZ_BYTES_MAX) : NULL;
	n = bytes ? fread(bytes, 1, TZ_BYTES_MAX, f) : 0;
	if (f)
		fclose(f);
	t = bytes ? parse(bytes, n) : NULL;
	free(bytes);
	if (t)
		*out = t;
	return t != NULL;
}

void tz_free(struct tz *t)
{
	if (!t)
		return;
	free(t->from);
	free(t->type);
	free(t->types);
	free(t);
}

static const struct tz_type *type_at(const struct tz *t, int64_t s)
{
	int lo = 0, hi = t->n;

	while (lo < hi) {
		int mid = (lo + hi) / 2;
		if (t->from[mid] <= s)
			lo = mid + 1;
		else
			hi = mid;
	}
	return &t->types[lo ? t->type[lo - 1] : 0];
}

void tz_split(const struct tz *t, us_t at, struct tz_time *out)
{
	time_t s = (time_t)(at / US_PER_S);
	struct tm tm = { 0 };

	*out = (struct tz_time){ 0 };
	if (t) {
		const struct tz_type *type = type_at(t, s);
		s += type->offset;
		gmtime_r(&s, &tm);
		snprintf(out->zone, sizeof out->zone, "%s", type->zone);
	} else {
		localtime_r(&s, &tm);
		snprintf(out->zone, sizeof out->zone, "%.7s", tm.tm_zone ? tm.tm_zone : "");
	}
	out->year = tm.tm_year + 1900;
	out->month = tm.tm_mon + 1;
	out->day = tm.tm_mday;
	out->hour = tm.tm_hour;
	out->min = tm.tm_min;
	out->sec = tm.tm_sec;
	out->ms = (int)(at / US_PER_MS % 1000);
}

static bool same_day(const struct tz_time *a, const struct tz_time *b)
{
	return a->year == b->year && a->month == b->month && a->day == b->day;
}

static void text(const struct tz *t, us_t at, us_t now, bool seconds, struct buf *out)
{
	struct tz_time a, b;

	if (at == US_NEVER) {
		buf_addz(out, "until ended");
		return;
	}
	tz_split(t, at, &a);
	tz_split(t, now, &b);
	if (!same_day(&a, &b))
		buf_addf(out, "%02d-%02d %02d:%02d", a.month, a.day, a.hour, a.min);
	else if (seconds)
		buf_addf(out, "%02d:%02d:%02d", a.hour, a.min, a.sec);
	else
		buf_addf(out, "%02d:%02d", a.hour, a.min);
}

void tz_text(const struct tz *t, us_t at, us_t now, struct buf *out)
{
	text(t, at, now, true, out);
}

void tz_minute(const struct tz *t, us_t at, us_t now, struct buf *out)
{
	text(t, at, now, false, out);
}

us_t tz_parse(const char *s)
{
	struct tm tm = { 0 };
	int ms = 0;

	if (sscanf(s, "%4d-%2d-%2dT%2d:%2d:%2d.%3d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms) < 6)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return (us_t)timegm(&tm) * US_PER_S + ms * US_PER_MS;
}
