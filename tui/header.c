#include "tui/header.h"

#include <jansson.h>
#include <stdio.h>

#include "tui/operator.h"

enum { SHARES_MIN = 10 };
#define SHARES_US (5 * US_PER_MIN)

static void sample(struct header *h, const struct sched_totals *t, us_t now)
{
	int last = (h->next_sample + HEADER_SAMPLES - 1) % HEADER_SAMPLES;

	if (h->nsamples && now - h->samples[last].at < HEADER_SAMPLE_US)
		return;
	h->samples[h->next_sample] =
	    (struct header_sample){ now, t->delivered, t->deferred, t->bounced };
	h->next_sample = (h->next_sample + 1) % HEADER_SAMPLES;
	if (h->nsamples < HEADER_SAMPLES)
		h->nsamples++;
}

/* The curve's steps are means over 5 seconds. */
static void bend(struct header *h, float rate, us_t now)
{
	if (!h->curve_at)
		h->curve_at = now;
	h->curve_sum += (double)rate;
	h->curve_n++;
	if (now - h->curve_at < HEADER_CURVE_US)
		return;
	memmove(h->curve, h->curve + 1, sizeof h->curve - sizeof h->curve[0]);
	h->curve[HEADER_CURVE - 1] = (float)(h->curve_sum / h->curve_n);
	h->curve_sum = 0;
	h->curve_n = 0;
	h->curve_at = now;
}

void header_totals(struct header *h, const struct sched_totals *t, us_t now)
{
	h->totals = *t;
	h->at = now;
	sample(h, t, now);
	bend(h, t->out_rate, now);
}

static void copy_text(const json_t *o, const char *key, char *out, size_t cap)
{
	const char *s = json_string_value(json_object_get(o, key));

	if (s)
		snprintf(out, cap, "%s", s);
}

static void take_alarms(struct header *h, const json_t *alarms)
{
	size_t i;
	const json_t *a;

	h->nalarms = 0;
	h->worst = 9;
	json_array_foreach(alarms, i, a)
	{
		int severity = (int)json_integer_value(json_object_get(a, "severity"));
		const char *word = json_string_value(json_object_get(a, "severity"));
		if (json_object_get(a, "ack") || json_is_true(json_object_get(a, "gone")))
			continue;
		if (word)
			severity = strcmp(word, "red") == 0	 ? 1
				   : strcmp(word, "yellow") == 0 ? 2
								 : 3;
		h->nalarms++;
		if (severity < h->worst)
			h->worst = severity;
	}
}

static void take_config(struct header *h, const json_t *config)
{
	if (!config)
		return;
	h->config = (uint64_t)json_integer_value(json_object_get(config, "number"));
	h->differs = json_is_true(json_object_get(config, "differs"));
}

static double number(const json_t *o, const char *a, const char *b)
{
	const json_t *v = json_object_get(o, a);

	return json_number_value(b ? json_object_get(v, b) : v);
}

void header_status(struct header *h, struct str text, us_t now)
{
	json_t *o = json_loadb(text.p, text.n, 0, NULL);

	if (!json_is_object(o)) {
		json_decref(o);
		return;
	}
	h->known = true;
	h->at = now;
	copy_text(o, "hostname", h->hostname, sizeof h->hostname);
	copy_text(o, "state", h->state, sizeof h->state);
	copy_text(o, "version", h->version, sizeof h->version);
	h->uptime = (us_t)(number(o, "uptime", NULL) * (double)US_PER_S);
	h->queue_limit = (int64_t)number(o, "queue_limit", "value");
	h->in_connections = (int64_t)number(o, "in", "connections");
	h->connection_limit = (int64_t)number(o, "out", "connection_limit");
	h->load_progress = number(o, "spool", "load_progress");
	take_config(h, json_object_get(o, "config"));
	take_alarms(h, json_object_get(o, "alarms"));
	json_decref(o);
}

bool header_shares(const struct header *h, double *ok, double *deferred, double *bounced)
{
	const struct header_sample *from = NULL;
	double a, b, c, all;

	for (int i = 0; i < h->nsamples; i++) { /* the oldest within five minutes */
		const struct header_sample *s =
		    &h->samples[(h->next_sample + HEADER_SAMPLES - h->nsamples + i) %
				HEADER_SAMPLES];
		if (h->at - s->at <= SHARES_US) {
			from = s;
			break;
		}
	}
	if (!from)
		return false;
	a = (double)(h->totals.delivered - from->delivered);
	b = (double)(h->totals.deferred - from->deferred);
	c = (double)(h->totals.bounced - from->bounced);
	all = a + b + c;
	if (all < SHARES_MIN)
		return false;
	*ok = a * 100 / all;
	*deferred = b * 100 / all;
	*bounced = c * 100 / all;
	return true;
}

/* ---- drawing ---- */

static void uptime_text(us_t up, char out[FMT_SIZE])
{
	if (up >= US_PER_DAY)
		snprintf(out, FMT_SIZE, "%dd%02dh", (int)(up / US_PER_DAY),
			 (int)(up % US_PER_DAY / US_PER_HOUR));
	else if (up >= US_PER_HOUR)
		snprintf(out, FMT_SIZE, "%dh%02dm", (int)(up / US_PER_HOUR),
			 (int)(up % US_PER_HOUR / US_PER_MIN));
	else
		snprintf(out, FMT_SIZE, "%dm%02ds", (int)(up / US_PER_MIN),
			 (int)(up % US_PER_MIN / US_PER_S));
}

static void add_state(struct segs *s, const struct header *h)
{
	if (strcmp(h->state, "starting") == 0)
		segs_add(s, STYLE_BAR_WARN, 1, "starting: %d%% of the spool loaded",
			 (int)(h->load_progress * 100));
	else if (h->state[0] && strcmp(h->state, "running") != 0)
		segs_add(s, STYLE_BAR_BAD, 1, "%s",
			 strcmp(h->state, "draining") == 0 ? "DRAINING, new mail is refused"
							   : h->state);
}

static void add_queue(struct segs *s, const struct header *h)
{
	char n[FMT_SIZE];

	fmt_count((int64_t)h->totals.queued, n);
	segs_right(s, STYLE_BAR_DIM, 0, "queue");
	segs_right(s, STYLE_HOST, 0, "%s", n);
	if (h->queue_limit > 0) {
		int percent = (int)((double)h->totals.queued * 100 / (double)h->queue_limit);
		segs_right(s, percent >= 80 ? STYLE_BAR_BAD : STYLE_BAR_DIM, 6, "%d%%", percent);
	}
}

static enum style label_style(const char *color)
{
	static const struct {
		const char *color;
		enum style style;
	} styles[] = {
		{ "green", STYLE_LABEL_GREEN },	    { "yellow", STYLE_LABEL_YELLOW },
		{ "blue", STYLE_LABEL_BLUE },	    { "cyan", STYLE_LABEL_CYAN },
		{ "magenta", STYLE_LABEL_MAGENTA }, { "white", STYLE_LABEL_WHITE },
	};

	for (size_t i = 0; color && i < sizeof styles / sizeof styles[0]; i++)
		if (strcmp(color, styles[i].color) == 0)
			return styles[i].style;
	return STYLE_LABEL;
}

static void first_line(struct oper *op, struct segs *s, us_t now)
{
	const struct header *h = &op->console->header;
	const struct conf *conf = op->console->conf;
	char up[FMT_SIZE], in[FMT_SIZE], out[FMT_SIZE];
	struct tz_time t;

	uptime_text(h->uptime, up);
	fmt_per_s((double)h->totals.in_rate, in);
	fmt_per_s((double)h->totals.out_rate, out);
	tz_split(op->tz, now, &t);
	segs_start(s);
	segs_add(s, STYLE_HOST, 0, "%s", h->hostname[0] ? h->hostname : "stoker");
	if (conf && conf->console.label && conf->console.label[0])
		segs_add(s, label_style(conf->console.label_color), 4, " %s ", conf->console.label);
	add_state(s, h);
	segs_add(s, STYLE_BAR_DIM, 8, "up");
	segs_add(s, STYLE_BAR, 8, "%s", up);
	segs_add(s, STYLE_BAR_DIM, 9, "%02d:%02d:%02d %s", t.hour, t.min, t.sec, t.zone);
	if (h->config)
		segs_add(s, STYLE_BAR_DIM, 7, "config #%llu", (unsigned long long)h->config);
	if (h->differs)
		segs_add(s, STYLE_BAR_WARN, 3, "FILE DIFFERS");
	segs_right(s, STYLE_BAR_DIM, 2, "in");
	segs_right(s, STYLE_HOST, 2, "%s/s", in);
	segs_right(s, STYLE_BAR_DIM, 1, "out");
	segs_right(s, STYLE_HOST, 1, "%s/s", out);
	add_queue(s, h);
}

static void add_operators(struct segs *s, const struct oper *op)
{
	const struct console *c = op->console;
	struct buf b;

	buf_init(&b);
	for (int i = 0; i < c->nops; i++)
		if (!c->ops[i]->leaving)
			buf_addf(&b, "%s%s", b.n ? " " : "", c->ops[i]->user);
	segs_right(s, STYLE_BAR, 5, "%s", buf_z(&b));
	buf_free(&b);
}

static void second_line(struct oper *op, struct segs *s)
{
	const struct header *h = &op->console->header;
	int64_t limit = h->connection_limit ? h->connection_limit : h->totals.connection_limit;
	double ok, deferred, bounced;

	segs_start(s);
	if (header_shares(h, &ok, &deferred, &bounced)) {
		segs_add(s, STYLE_BAR_DIM, 4, "ok");
		segs_add(s, ok < 80 ? STYLE_BAR_WARN : STYLE_BAR_GOOD, 4, "%.1f%%", ok);
		segs_add(s, STYLE_BAR_DIM, 4, "4xx");
		segs_add(s, deferred > 20 ? STYLE_BAR_WARN : STYLE_BAR, 4, "%.1f%%", deferred);
		segs_add(s, STYLE_BAR_DIM, 4, "5xx");
		segs_add(s, bounced > 5 ? STYLE_BAR_BAD : STYLE_BAR, 4, "%.1f%%", bounced);
	} else {
		segs_add(s, STYLE_BAR_DIM, 6, "ok -  4xx -  5xx -");
	}
	segs_add(s, STYLE_BAR_DIM, 3, "conns");
	segs_add(s, STYLE_BAR, 3, limit ? "%u/%lld" : "%u", h->totals.connections,
		 (long long)limit);
	if (h->nalarms)
		segs_right(s, h->worst <= 1 ? STYLE_BAR_BAD : STYLE_BAR_WARN, 0, "! %d alarm%s",
			   h->nalarms, h->nalarms == 1 ? "" : "s");
	else
		segs_right(s, STYLE_BAR_DIM, 2, "no alarms");
	add_operators(s, op);
}

/* Below 40x8: one line that still says how it goes. */
static int draw_summary(struct oper *op, struct canvas *c)
{
	const struct header *h = &op->console->header;
	char in[FMT_SIZE], out[FMT_SIZE], queued[FMT_SIZE];
	struct segs s;

	fmt_per_s((double)h->totals.in_rate, in);
	fmt_per_s((double)h->totals.out_rate, out);
	fmt_count((int64_t)h->totals.queued, queued);
	segs_start(&s);
	segs_add(&s, STYLE_BAR, 0, "q %s", queued);
	segs_add(&s, STYLE_BAR, 1, "out %s/s", out);
	if (h->nalarms)
		segs_add(&s, STYLE_BAR_BAD, 2, "!%d", h->nalarms);
	segs_add(&s, STYLE_BAR, 3, "in %s/s", in);
	canvas_fill(c, (struct area){ 0, 0, 1, c->cols }, STYLE_BAR);
	segs_draw(&s, c, 0, 0, c->cols, 1);
	return 1;
}

int header_draw(struct oper *op, struct canvas *c, us_t now, bool compact)
{
	const struct header *h = &op->console->header;
	struct segs s;
	int curve = c->cols >= 96 ? HEADER_CURVE : c->cols >= 60 ? HEADER_CURVE / 2 : 0;

	if (compact)
		return draw_summary(op, c);
	canvas_fill(c, (struct area){ 0, 0, HEADER_LINES, c->cols }, STYLE_BAR);
	first_line(op, &s, now);
	segs_draw(&s, c, 0, 1, c->cols - 2, 1);
	if (curve) {
		canvas_z(c, 1, 1, 3, STYLE_BAR_DIM, "out");
		canvas_spark(c, 1, 5, STYLE_BAR_GOOD, h->curve + HEADER_CURVE - curve, curve, 1);
		curve += 6;
	}
	second_line(op, &s);
	segs_draw(&s, c, 1, 1 + curve, c->cols - 2 - curve, 1);
	return HEADER_LINES;
}

void header_sentence(struct oper *op, struct buf *out)
{
	const struct header *h = &op->console->header;
	char in[FMT_SIZE], rate[FMT_SIZE], queued[FMT_SIZE];

	fmt_per_s((double)h->totals.in_rate, in);
	fmt_per_s((double)h->totals.out_rate, rate);
	fmt_count((int64_t)h->totals.queued, queued);
	buf_addf(out,
		 "%s: %s, in %s a second, out %s a second, %s queued, %u connections, %d alarm%s",
		 h->hostname[0] ? h->hostname : "stoker", h->state[0] ? h->state : "starting", in,
		 rate, queued, h->totals.connections, h->nalarms, h->nalarms == 1 ? "" : "s");
	if (h->differs)
		buf_addz(out, ", configuration file differs from what runs");
}
