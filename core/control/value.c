/* Values as cells for the eye and as JSON. */
#include "core/control/query.h"

#include <stdio.h>
#include <time.h>

#include "core/base/clean.h"
#include "core/base/jsonw.h"

enum { PERCENT_DECIMALS = 1, SHARE_DECIMALS = 4, RATE_DECIMALS = 3 };

/* The time of day, with the date when it is not today. */
static void time_text(us_t at, us_t now, struct buf *out)
{
	time_t t = (time_t)(at / US_PER_S), n = (time_t)(now / US_PER_S);
	struct tm then, today;

	if (at == US_NEVER) {
		buf_addz(out, "until ended");
		return;
	}
	if (!localtime_r(&t, &then) || !localtime_r(&n, &today)) {
		buf_addc(out, '-');
		return;
	}
	if (then.tm_yday != today.tm_yday || then.tm_year != today.tm_year)
		buf_addf(out, "%02d-%02d %02d:%02d", then.tm_mon + 1, then.tm_mday, then.tm_hour,
			 then.tm_min);
	else
		buf_addf(out, "%02d:%02d:%02d", then.tm_hour, then.tm_min, then.tm_sec);
}

/* Twelve steps as a curve, each against the highest of them. */
static void trend_text(const uint16_t *trend, struct buf *out)
{
	static const char ramp[] = " .:-=+*#";
	unsigned top = 0;

	for (int i = 0; i < TREND_STEPS; i++)
		if (trend[i] > top)
			top = trend[i];
	for (int i = 0; i < TREND_STEPS; i++)
		/* What is not zero shows. */
		buf_addc(out, ramp[top ? (trend[i] * (sizeof ramp - 2) + top - 1) / top : 0]);
}

static void number_text(const struct value *v, struct buf *out)
{
	char text[FMT_SIZE];

	if (v->type == V_INT)
		fmt_count(v->i, text);
	else if (v->type == V_BYTES)
		fmt_bytes(v->i, text);
	else if (v->type == V_SPAN)
		fmt_age(v->i, text);
	else
		fmt_per_s(v->d, text);
	buf_addz(out, text);
}

void value_text(const struct value *v, us_t now, struct buf *out)
{
	switch (v->type) {
	case V_NONE:
		buf_addc(out, '-');
		return;
	case V_SPAN:
		if (v->i == US_NEVER)
			buf_addz(out, "never");
		else
			number_text(v, out);
		return;
	case V_INT:
	case V_REAL:
	case V_PER_S:
	case V_BYTES:
		number_text(v, out);
		return;
	case V_PERCENT:
		buf_addf(out, "%d", (int)(v->d + 0.5));
		return;
	case V_SHARE:
		buf_addf(out, "%.2f", v->d);
		return;
	case V_TIME:
		time_text(v->i, now, out);
		return;
	case V_BOOL:
		buf_addz(out, v->i ? "yes" : "no");
		return;
	case V_TEXT:
		clean_add(out, v->s, false);
		if (v->i > now) {
			us_t left = v->i - now;
			char text[FMT_SIZE];

			fmt_left(left, text);
			if (left >= US_PER_HOUR && left < 24 * US_PER_HOUR)
				snprintf(text, sizeof text, "%dh%02d", (int)(left / US_PER_HOUR),
					 (int)(left % US_PER_HOUR / US_PER_MIN));
			buf_addf(out, ", %s left", text);
		}
		return;
	case V_TREND:
		trend_text(v->trend, out);
		return;
	}
}

static void trend_json(struct jsonw *w, const char *key, const uint16_t *trend)
{
	jsonw_array(w, key);
	for (int i = 0; i < TREND_STEPS; i++)
		jsonw_double(w, NULL, trend[i] / 10.0, 1);
	jsonw_end_array(w);
}

static void value_json(struct jsonw *w, const char *key, const struct value *v)
{
	switch (v->type) {
	case V_NONE:
		return;
	case V_INT:
	case V_BYTES:
		jsonw_int(w, key, v->i);
		return;
	case V_REAL:
	case V_PER_S:
		jsonw_double(w, key, v->d, RATE_DECIMALS);
		return;
	case V_PERCENT:
		jsonw_double(w, key, v->d, PERCENT_DECIMALS);
		return;
	case V_SHARE:
		jsonw_double(w, key, v->d, SHARE_DECIMALS);
		return;
	case V_TIME:
		jsonw_time(w, key, v->i); /* US_NEVER is left out */
		return;
	case V_SPAN:
		jsonw_seconds(w, key, v->i); /* likewise */
		return;
	case V_BOOL:
		jsonw_bool(w, key, v->i != 0);
		return;
	case V_TEXT:
		jsonw_str(w, key, v->s);
		return;
	case V_TREND:
		trend_json(w, key, v->trend);
		return;
	}
}

/* "why.text" is the member `text` of the object `why`; such fields stand together in the tables,
 * and an object without members is left out. */
struct group {
	char name[24];
	bool open;
};

static void group_leave(struct group *g, struct jsonw *w)
{
	if (g->open)
		jsonw_end_object(w);
	g->open = false;
	g->name[0] = '\0';
}

/* The key inside its object; opens and closes objects as needed. */
static const char *group_key(struct group *g, struct jsonw *w, const char *json)
{
	const char *dot = strchr(json, '.');
	size_t n = dot ? (size_t)(dot - json) : 0;

	if (n != strlen(g->name) || memcmp(json, g->name, n) != 0)
		group_leave(g, w);
	if (!dot || n >= sizeof g->name)
		return json;
	if (!g->open) {
		memcpy(g->name, json, n);
		g->name[n] = '\0';
		jsonw_object(w, g->name);
		g->open = true;
	}
	return dot + 1;
}

static void fields_json(struct jsonw *w, const struct list_def *d, const struct row *r, us_t now)
{
	struct group group = { "", false };

	jsonw_object(w, NULL);
	for (int i = 0; i < d->nfields; i++) {
		const struct field *f = &d->fields[i];
		struct value v = { .type = V_NONE };

		if (!f->in_json)
			continue;
		f->get(r, now, &v);
		if (v.type == V_NONE || (v.type == V_TIME && v.i == US_NEVER) ||
		    (v.type == V_SPAN && v.i == US_NEVER))
			continue;
		value_json(w, group_key(&group, w, f->json), &v);
	}
	group_leave(&group, w);
	jsonw_end_object(w);
}

void row_json(enum list_id l, const struct row *r, us_t now, struct buf *out)
{
	struct jsonw w;

	jsonw_init(&w, out);
	fields_json(&w, list_def(l), r, now);
}

void page_json(const struct page *p, us_t now, struct buf *out)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_object(&w, NULL);
	jsonw_int(&w, "total", p->total);
	jsonw_array(&w, "rows");
	for (int i = 0; i < p->nrows; i++)
		fields_json(&w, list_def(p->list), &p->rows[i], now);
	jsonw_end_array(&w);
	jsonw_end_object(&w);
}
