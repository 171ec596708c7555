#include "tui/text_pane.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/log_entry.h"

void text_pane_free(struct text_pane *p)
{
	free(p->lines);
	*p = (struct text_pane){ 0 };
}

static char *add_line(struct text_pane *p)
{
	if (!p->lines)
		p->lines = calloc(TEXT_PANE_LINES, sizeof *p->lines);
	return p->lines && p->n < TEXT_PANE_LINES ? p->lines[p->n++] : NULL;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* ---- limits ---- */

const char *origin_name(const char *origin)
{
	size_t path = strcspn(origin, ": ");

	while (path && origin[path - 1] != '/')
		path--;
	return origin + path;
}

static void origin_text(const json_t *o, char *out, size_t cap)
{
	const json_t *origin = json_object_get(o, "origin");

	if (json_is_string(origin))
		snprintf(out, cap, "%s", origin_name(json_string_value(origin)));
	else if (json_object_get(origin, "file"))
		snprintf(out, cap, "%s:%d %s", origin_name(text(origin, "file")),
			 (int)json_integer_value(json_object_get(origin, "line")),
			 text(origin, "section"));
	else
		snprintf(out, cap, "%s", text(origin, "section"));
}

static void limit_text(const json_t *o, char out[TEXT_PANE_LINE])
{
	const json_t *limit = json_object_get(o, "limit");
	const char *at = strrchr(text(o, "lane"), '@');
	char value[40], counts[40], origin[200];
	bool full;

	if (json_is_integer(limit)) {
		json_int_t used = json_integer_value(json_object_get(o, "used")),
			   n = json_integer_value(limit);
		snprintf(value, sizeof value, "%d of %d", (int)used, (int)n);
		full = used >= n;
	} else {
		snprintf(value, sizeof value, "%s",
			 json_string_value(limit) ? json_string_value(limit) : "-");
		full = json_is_false(json_object_get(o, "room"));
	}
	origin_text(o, origin, sizeof origin);
	if (at)
		snprintf(counts, sizeof counts, "lane %s", at + 1);
	else
		snprintf(counts, sizeof counts, "%s", text(o, "counts"));
	snprintf(out, TEXT_PANE_LINE, "%-20s %-19s %-16s %-4s  %s", text(o, "directive"), counts,
		 value, full ? "full" : "", origin);
}

static void add_limit(struct text_pane *p, const json_t *o)
{
	char line[TEXT_PANE_LINE], *to;

	limit_text(o, line);
	for (int i = 0; i < p->n; i++)
		if (strcmp(p->lines[i], line) == 0)
			return;
	to = add_line(p);
	if (to)
		memcpy(to, line, sizeof line);
}

static void add_limits(struct text_pane *p, const json_t *list)
{
	const json_t *o;
	size_t i;

	json_array_foreach(list, i, o) add_limit(p, o);
}

void text_pane_limits(struct text_pane *p, struct str detail)
{
	json_t *o = json_loadb(detail.p, detail.n, 0, NULL);
	const json_t *lanes = json_object_get(o, "lanes"), *lane;
	size_t i;

	p->n = 0;
	add_limits(p, json_object_get(o, "limits"));
	json_array_foreach(lanes, i, lane) add_limits(p, json_object_get(lane, "limits"));
	json_decref(o);
}

/* ---- hosts ---- */

static void add_host(struct text_pane *p, const json_t *h)
{
	char *line = add_line(p);

	if (line)
		snprintf(line, TEXT_PANE_LINE, "%5d  %-34s %-24s %s %s",
			 (int)json_integer_value(json_object_get(h, "preference")), text(h, "host"),
			 text(h, "address"), text(h, "state"), text(h, "error"));
}

void text_pane_hosts(struct text_pane *p, struct str detail)
{
	json_t *o = json_loadb(detail.p, detail.n, 0, NULL);
	const json_t *hosts = json_object_get(o, "hosts"), *h;
	const char *error = text(o, "dns_error");
	char *line;
	size_t i;

	p->n = 0;
	if (error[0] && (line = add_line(p)))
		snprintf(line, TEXT_PANE_LINE, "DNS: %s", error);
	json_array_foreach(hosts, i, h) add_host(p, h);
	json_decref(o);
}

/* ---- the log ---- */

/* Words with a digit in them are queue ids, addresses, times: "#". The codes in front stay. */
static void shape_of(const char *reply, char out[LOG_REPLY])
{
	struct str rest = str_of(reply), word;
	size_t n = 0;
	int nth = 0;

	out[0] = '\0';
	while (str_split(&rest, ' ', &word) && n + 2 < LOG_REPLY) {
		bool code = nth++ < 2, digit = false;
		for (size_t i = 0; i < word.n; i++)
			digit = digit || (word.p[i] >= '0' && word.p[i] <= '9');
		if (digit && !code && word.p[0] != '[')
			n += (size_t)snprintf(out + n, LOG_REPLY - n, "%s#", nth > 1 ? " " : "");
		else
			n += (size_t)snprintf(out + n, LOG_REPLY - n, "%s%.*s", nth > 1 ? " " : "",
					      (int)word.n, word.p);
	}
}

struct group {
	char shape[LOG_REPLY];
	uint64_t count;
	us_t first, last;
};

static struct group *group_of(struct group *v, int *n, const char *shape)
{
	for (int i = 0; i < *n; i++)
		if (strcmp(v[i].shape, shape) == 0)
			return &v[i];
	if (*n == TEXT_PANE_LINES)
		return NULL;
	snprintf(v[*n].shape, sizeof v[*n].shape, "%s", shape);
	return &v[(*n)++];
}

static int more_often(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

static void group_line(const struct group *g, const struct tz *tz, us_t now, char *out)
{
	char count[FMT_SIZE];
	struct buf when;

	buf_init(&when);
	tz_text(tz, g->first, now, &when);
	buf_addz(&when, " to ");
	tz_text(tz, g->last, now, &when);
	fmt_count((int64_t)g->count, count);
	snprintf(out, TEXT_PANE_LINE, "%6sx  %-22s %.300s", count, buf_z(&when), g->shape);
	buf_free(&when);
}

void text_pane_errors(struct text_pane *p, const struct link_answer *a, const struct tz *tz,
		      us_t now)
{
	struct group *v = calloc(TEXT_PANE_LINES, sizeof *v), *g;
	char shape[LOG_REPLY], *line;
	struct log_entry e;
	int n = 0;

	for (int i = 0; v && i < a->nlines; i++) {
		log_entry_read(&e, &a->lines[i]);
		shape_of(e.reply, shape);
		g = group_of(v, &n, shape);
		if (!g)
			continue;
		g->first = g->count++ ? g->first : e.at;
		g->last = e.at;
	}
	if (v)
		qsort(v, (size_t)n, sizeof *v, more_often);
	p->n = 0;
	for (int i = 0; i < n && (line = add_line(p)); i++)
		group_line(&v[i], tz, now, line);
	free(v);
}

void text_pane_events(struct text_pane *p, const struct link_answer *a, const struct tz *tz)
{
	struct log_entry e;
	struct tz_time t;
	char *line;

	p->n = 0;
	for (int i = a->nlines - 1; i >= 0 && (line = add_line(p)); i--) {
		log_entry_read(&e, &a->lines[i]);
		tz_split(tz, e.at, &t);
		snprintf(line, TEXT_PANE_LINE, "%02d:%02d:%02d.%03d %c %-8s %s  %.200s", t.hour,
			 t.min, t.sec, t.ms, e.type, e.vmta, e.who, e.reply);
	}
}
