#include "conf/value_list.h"

/* ---- as text ---- */

/* The largest unit that is exact: 50M, 1536k, 1000. */
static void write_size(int64_t n, struct buf *out)
{
	static const char units[] = "TGMk";

	for (int i = 0; units[i]; i++) {
		int64_t unit = (int64_t)1 << (10 * (4 - i));

		if (n >= unit && n % unit == 0) {
			buf_addf(out, "%lld%c", (long long)(n / unit), units[i]);
			return;
		}
	}
	buf_addf(out, "%lld", (long long)n);
}

static void write_duration(us_t d, struct buf *out)
{
	char z[FMT_SIZE];

	fmt_duration(d, z);
	buf_addz(out, z);
}

static void write_route_host(const struct route_host *h, struct buf *out)
{
	struct endpoint bare = h->ip;
	char z[ENDPOINT_TEXT];

	switch (h->type) {
	case ROUTE_IP:
		bare.in4.sin_port = 0; /* both families have it at the same place */
		endpoint_text(&bare, z);
		buf_addf(out, "[%s]", z);
		break;
	case ROUTE_MX:
		buf_addf(out, "mx:%s", h->host);
		break;
	case ROUTE_HOST:
		buf_addz(out, h->host);
		break;
	}
	if (h->port)
		buf_addf(out, ":%u", h->port);
}

static void write_list(const struct value *v, enum value_type type, struct buf *out)
{
	int n = type == TYPE_DURATIONS	   ? v->spans.n
		: type == TYPE_ROUTE_HOSTS ? v->hosts.n
					   : v->names.n;

	for (int i = 0; i < n; i++) {
		buf_addz(out, i ? ", " : "");
		if (type == TYPE_DURATIONS)
			write_duration(v->spans.v[i], out);
		else if (type == TYPE_ROUTE_HOSTS)
			write_route_host(&v->hosts.v[i], out);
		else
			buf_addz(out, v->names.v[i]);
	}
}

static const char *word_for(const struct directive *d, int64_t value)
{
	const struct word *w = d->words;

	while (w->text && w->value != value)
		w++;
	return w->text ? w->text : "?";
}

void value_write(const struct directive *d, const struct value *v, struct buf *out)
{
	char z[FMT_SIZE];

	switch (
	    (int)d->type) { /* the types that [domain] has; others are only written as they stand */
	case TYPE_BOOL:
		buf_addz(out, v->b ? "yes" : "no");
		break;
	case TYPE_INT:
		buf_addf(out, "%lld", (long long)v->i);
		break;
	case TYPE_FACTOR:
		buf_addf(out, "%g", v->f);
		break;
	case TYPE_PERCENT:
		buf_addf(out, "%g%%", v->f * 100);
		break;
	case TYPE_SIZE:
	case TYPE_MEMORY:
		write_size(v->i, out);
		break;
	case TYPE_DURATION:
	case TYPE_SECONDS:
		write_duration(v->i, out);
		break;
	case TYPE_RATE:
		fmt_rate(v->rate, z);
		buf_addz(out, z);
		break;
	case TYPE_WORD:
		buf_addz(out, word_for(d, v->i));
		break;
	case TYPE_PROCESS:
		value_write_process(v->i, out);
		break;
	case TYPE_RECORDS:
		value_write_records(v->i, out);
		break;
	case TYPE_CAUSES:
		value_write_causes(v->i, out);
		break;
	case TYPE_SO_MANY_IN:
		value_write_so_many(v, out);
		break;
	case TYPE_SECRET:
		buf_addz(out, v->z ? "(hidden)" : "");
		break;
	case TYPE_DURATIONS:
	case TYPE_ROUTE_HOSTS:
		write_list(v, d->type, out);
		break;
	default:
		if (type_is_names(d->type))
			write_list(v, d->type, out);
		else if (v->z)
			buf_addz(out, v->z);
		break;
	}
}

void value_write_bound(const struct directive *d, const struct value *v, struct buf *out)
{
	if (d->type == TYPE_DURATION || d->type == TYPE_SECONDS || d->type == TYPE_DURATIONS)
		write_duration(v->i, out);
	else if (d->type == TYPE_INT || d->type == TYPE_FACTOR)
		buf_addf(out, "%lld", (long long)v->i);
	else if (d->type == TYPE_PERCENT)
		buf_addf(out, "%g%%", (double)v->i / 1000);
	else
		write_size(v->i, out);
}

/* ---- in the structs ---- */

static void *at(void *base, size_t offset_plus_one)
{
	return (char *)base + offset_plus_one - 1;
}

/* Values of two parts, each with a field. False: of one part. */
static bool set_pair(const struct directive *d, void *p, void *second, const struct value *v)
{
	switch ((int)d->type) {
	case TYPE_THRESHOLDS:
		*(double *)p = v->thresholds.a;
		*(double *)second = v->thresholds.b;
		return true;
	case TYPE_ROTATE:
		*(enum conf_rotate *)p = v->rotate.how;
		*(int64_t *)second = v->rotate.size;
		return true;
	case TYPE_SO_MANY_IN:
		*(int *)p = (int)v->so_many.n;
		*(us_t *)second = v->so_many.within;
		return true;
	case TYPE_DURATIONS:
		*(const us_t **)p = v->spans.v;
		*(int *)second = v->spans.n;
		return true;
	case TYPE_ROUTE_HOSTS:
		*(const struct route_host **)p = v->hosts.v;
		*(int *)second = v->hosts.n;
		return true;
	}
	return false;
}

void field_set(const struct directive *d, void *base, const struct value *v)
{
	void *p;

	if (!d->field)
		return;
	p = at(base, d->field);
	if (d->count && set_pair(d, p, at(base, d->count), v))
		return;
	switch (
	    (int)d->type) { /* lists of names are collected, names of routes looked up: build.c */
	case TYPE_BOOL:
		*(bool *)p = v->b;
		break;
	case TYPE_INT:
	case TYPE_MECHANISMS:
	case TYPE_PROCESS:
	case TYPE_RECORDS:
	case TYPE_CAUSES:
	case TYPE_PORT:
	case TYPE_WORD: /* enums of C have int's size here; settings.c asserts it */
		*(int *)p = (int)v->i;
		break;
	case TYPE_FACTOR:
	case TYPE_PERCENT:
		*(double *)p = v->f;
		break;
	case TYPE_THRESHOLDS: /* without a field for the second */
		*(double *)p = v->thresholds.a;
		break;
	case TYPE_HOLD:
		*(struct conf_hold *)p = (struct conf_hold){ v->thresholds.a, v->thresholds.b };
		break;
	case TYPE_SIZE:
	case TYPE_MEMORY:
	case TYPE_DURATION:
	case TYPE_SECONDS:
		*(int64_t *)p = v->i;
		break;
	case TYPE_RATE:
		*(struct rate *)p = v->rate;
		break;
	case TYPE_IP:
		*(struct endpoint *)p = v->ip;
		break;
	case TYPE_CHOICE:
	case TYPE_TEXT:
	case TYPE_SECRET:
	case TYPE_URL:
	case TYPE_TOKEN:
	case TYPE_NAME:
	case TYPE_PATH:
	case TYPE_HOST:
	case TYPE_ZONE:
		*(const char **)p = v->z;
		break;
	}
}

struct value field_get(const struct directive *d, const void *base)
{
	const void *p = (const char *)base + d->field - 1;
	const void *second = (const char *)base + d->count - 1;
	struct value v = { .i = 0 };

	switch ((int)d->type) { /* the types that [domain] has */
	case TYPE_BOOL:
		v.b = *(const bool *)p;
		break;
	case TYPE_INT:
	case TYPE_WORD:
		v.i = *(const int *)p;
		break;
	case TYPE_TEXT:
	case TYPE_SECRET:
		v.z = *(const char *const *)p;
		break;
	case TYPE_FACTOR:
		v.f = *(const double *)p;
		break;
	case TYPE_DURATION:
	case TYPE_SECONDS:
		v.i = *(const int64_t *)p;
		break;
	case TYPE_DURATIONS:
		v.spans.v = *(const us_t *const *)p;
		v.spans.n = *(const int *)second;
		break;
	case TYPE_NAME:
		v.z = *(const char *const *)p;
		break;
	case TYPE_ROUTE_HOSTS:
		v.hosts.v = *(const struct route_host *const *)p;
		v.hosts.n = *(const int *)second;
		break;
	}
	return v;
}

void field_set_origin(const struct directive *d, void *base, const struct origin *from)
{
	if (d->from)
		*(struct origin *)at(base, d->from) = *from;
}
