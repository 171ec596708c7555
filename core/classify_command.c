/* stoker classify: what Stoker makes of replies, without a running one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/jsonw.h"
#include "core/base/log.h"
#include "core/classify/category.h"
#include "core/classify_command.h"

enum { ROUNDS = 200 };

struct row {
	char *reply; /* as it was given */
	struct str text;
	struct reply_verdict v;
	us_t spent; /* for ROUNDS */
};

/* A literal \n becomes a line's end. */
static struct str unescape(const char *line)
{
	char *text = strdup(line), *to = text;

	if (!text)
		fatal("no memory");
	for (const char *p = line; *p; p++) {
		bool end = p[0] == '\\' && p[1] == 'n';

		*to++ = end ? '\n' : *p;
		p += end;
	}
	return str_mem(text, (size_t)(to - text));
}

static bool has_code(struct str s)
{
	return s.n >= 3 && s.p[0] >= '2' && s.p[0] <= '5' && s.p[1] >= '0' && s.p[1] <= '9' &&
	       s.p[2] >= '0' && s.p[2] <= '9' &&
	       (s.n == 3 || s.p[3] == ' ' || s.p[3] == '-' || s.p[3] == '\n');
}

static void judge(const struct classifier *c, const struct classify_job *j, struct row *r)
{
	if (has_code(r->text))
		classify_from(c, j->list, STEP_BODY, str_of(j->receiver ? j->receiver : ""),
			      r->text, &r->v);
	else
		classify_local(c, j->list, r->text, &r->v);
}

static void put_json(const struct row *v, int n)
{
	struct jsonw w;
	struct buf out;

	buf_init(&out);
	jsonw_init(&w, &out);
	jsonw_object(&w, NULL);
	jsonw_int(&w, "total", n);
	jsonw_array(&w, "rows");
	for (int i = 0; i < n; i++) {
		jsonw_object(&w, NULL);
		jsonw_z(&w, "reply", v[i].reply);
		if (*verdict_category(&v[i].v))
			jsonw_z(&w, "category", verdict_category(&v[i].v));
		jsonw_bool(&w, "hard", verdict_hard(&v[i].v));
		jsonw_z(&w, "lane", verdict_lane(&v[i].v));
		jsonw_z(&w, "rule", v[i].v.category_rule ? v[i].v.category_rule : v[i].v.rule);
		jsonw_end_object(&w);
	}
	jsonw_end_array(&w);
	jsonw_end_object(&w);
	puts(buf_z(&out));
	buf_free(&out);
}

static void put_lines(const struct row *v, int n)
{
	for (int i = 0; i < n; i++) {
		const char *category = verdict_category(&v[i].v);

		printf("%-19s %-4s %-7s %-16s %s\n", *category ? category : "-",
		       verdict_hard(&v[i].v) ? "hard" : "soft", verdict_lane(&v[i].v),
		       v[i].v.category_rule ? v[i].v.category_rule : v[i].v.rule, v[i].reply);
	}
}

static int by_time(const void *a, const void *b)
{
	us_t x = ((const struct row *)a)->spent, y = ((const struct row *)b)->spent;

	return x < y ? -1 : x > y;
}

static void put_time(const struct classifier *c, const struct classify_job *j, struct row *v, int n)
{
	for (int i = 0; i < n; i++) {
		us_t from = clock_now_us();

		for (int k = 0; k < ROUNDS; k++)
			judge(c, j, &v[i]);
		v[i].spent = clock_now_us() - from;
	}
	qsort(v, (size_t)n, sizeof *v, by_time);
	if (n)
		fprintf(stderr, "median %.2f us a reply, longest %.2f us\n",
			(double)v[n / 2].spent / ROUNDS, (double)v[n - 1].spent / ROUNDS);
}

bool classify_command(const struct classify_job *j, FILE *in)
{
	struct errbuf e = { "" };
	struct classifier *c = classifier_new(&e);
	struct row *v = NULL;
	char *line = NULL;
	size_t size = 0;
	int n = 0, cap = 0;

	if (!c)
		fatal("%s", e.text);
	while (getline(&line, &size, in) >= 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (!*line)
			continue;
		if (n == cap) {
			cap = 2 * cap + 64;
			v = realloc(v, (size_t)cap * sizeof *v);
		}
		if (!v)
			fatal("no memory");
		v[n] = (struct row){ .reply = strdup(line), .text = unescape(line) };
		if (!v[n].reply)
			fatal("no memory");
		judge(c, j, &v[n++]);
	}
	if (j->json)
		put_json(v, n);
	else
		put_lines(v, n);
	if (j->time)
		put_time(c, j, v, n);
	for (int i = 0; i < n; i++) {
		free(v[i].reply);
		free((char *)(uintptr_t)v[i].text.p);
	}
	free(v);
	free(line);
	classifier_free(c);
	return !ferror(in);
}
