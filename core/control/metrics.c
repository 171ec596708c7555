#include "core/control/metrics.h"

#include <jansson.h>
#include <stdlib.h>

#include "core/control/private.h"

/* So many series a metric; a scrape must stay small whatever is queued. */
enum { TOP = 200, ROWS_A_STEP = 4096 };

struct sum { /* of a site, or of many */
	double value[8];
};
struct site_top {
	uint64_t id;
	uint64_t rank;
	struct sum sum;
};
struct walk {
	size_t pos;
	struct site_top top[TOP];
	int n, least; /* index of the lowest rank, once all places are taken */
	struct sum all;
	uint64_t sites;
};

struct metric {
	const char *name, *type, *help;
};

/* ---- writing ---- */

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP stoker_%s %s\n# TYPE stoker_%s %s\n", name, help, name, type);
}

/* Inside quotes: backslash, quote and line end are written with a backslash. What is no UTF-8 has
 * no place in the format. */
static void label(struct buf *out, struct str s)
{
	bool utf8 = str_utf8_valid(s);

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\\' || c == '"')
			buf_addf(out, "\\%c", c);
		else if (c == '\n')
			buf_addz(out, "\\n");
		else
			buf_addc(out, c < ' ' || (c >= 0x80 && !utf8) ? '?' : (char)c);
	}
}

static void number(struct buf *out, double v)
{
	if (v == (double)(int64_t)v)
		buf_addf(out, " %lld\n", (long long)v);
	else
		buf_addf(out, " %.9g\n", v);
}

static void one(struct buf *out, const struct metric *m, double v)
{
	head(out, m->name, m->type, m->help);
	buf_addf(out, "stoker_%s", m->name);
	number(out, v);
}

static void labelled(struct buf *out, const char *name, const char *key, struct str value, double v)
{
	buf_addf(out, "stoker_%s{%s=\"", name, key);
	label(out, value);
	buf_addz(out, "\"}");
	number(out, v);
}

/* ---- totals ---- */

static const struct metric total_metrics[] = {
	{ "accepted_recipients_total", "counter",
	  "Recipients accepted over the life of the spool" },
	{ "delivered_recipients_total", "counter", "Recipients delivered" },
	{ "bounced_recipients_total", "counter", "Recipients bounced" },
	{ "expired_recipients_total", "counter", "Recipients given up after bounce-after" },
	{ "removed_recipients_total", "counter", "Recipients deleted by operators" },
	{ "deferred_attempts_total", "counter", "Attempts that will be repeated" },
	{ "maybe_twice_recipients_total", "counter",
	  "Recipients that a crash may have made receive a message twice" },
	{ "queued_recipients", "gauge", "Recipients that wait or are in flight" },
	{ "in_rate", "gauge", "Recipients accepted a second, over 10 s" },
	{ "out_rate", "gauge", "Recipients attempted a second, over 10 s" },
	{ "out_connections", "gauge", "Outbound connections now" },
	{ "out_connections_limit", "gauge", "total-max-smtp-out" },
	{ "scheduler_memory_bytes", "gauge", "Memory of the scheduler's objects" },
	{ "draining", "gauge", "1 while new mail is refused by drain" },
};

static void totals(struct control *c, struct buf *out)
{
	const struct sched_totals *t = mirror_get_totals(c->mirror, NULL);
	const double v[] = {
		(double)t->accepted,	 (double)t->delivered, (double)t->bounced,
		(double)t->expired,	 (double)t->removed,   (double)t->deferred,
		(double)t->maybe_twice,	 (double)t->queued,    (double)t->in_rate,
		(double)t->out_rate,	 t->connections,       t->connection_limit,
		(double)t->memory_bytes, t->draining,
	};

	_Static_assert(sizeof v / sizeof *v == sizeof total_metrics / sizeof *total_metrics,
		       "a value each");
	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		one(out, &total_metrics[i], v[i]);
}

/* ---- what `status` knows of other threads ---- */

static const struct {
	const char *object, *member;
	struct metric m;
} fact_metrics[] = {
	{ "in", "connections", { "in_connections", "gauge", "Inbound connections now" } },
	{ "spool", "messages", { "spool_messages", "gauge", "Messages in the spool" } },
	{ "spool", "bytes", { "spool_bytes", "gauge", "Bytes of the spool" } },
	{ "spool", "free_bytes", { "spool_free_bytes", "gauge", "Free bytes of its file system" } },
	{ "spool", "load_progress", { "spool_load_progress", "gauge", "1 when all is loaded" } },
	{ "spool", "sync_ms", { "spool_sync_milliseconds", "gauge", "What a sync takes" } },
	{ "memory", "anon", { "memory_anonymous_bytes", "gauge", "Memory of the process" } },
	{ "memory", "mapped", { "memory_mapped_bytes", "gauge", "Mapped files in memory" } },
	{ "memory", "limit", { "memory_limit_bytes", "gauge", "memory-limit" } },
	{ "inbound",
	  "received",
	  { "inbound_messages_total", "counter", "Messages that came to [inbound] domains" } },
	{ "inbound",
	  "bounces",
	  { "inbound_bounces_total", "counter", "Of these: proven bounces of our mail" } },
	{ "inbound",
	  "complaints",
	  { "inbound_complaints_total", "counter", "Of these: proven complaints about our mail" } },
	{ "inbound",
	  "ignored",
	  { "inbound_ignored_total", "counter", "Of these: automatic mail that changes nothing" } },
	{ "inbound",
	  "unverified",
	  { "inbound_unverified_total", "counter", "Of these: reports that nothing proves" } },
	{ "inbound", "other", { "inbound_other_total", "counter", "Of these: no reports" } },
	{ "inbound",
	  "repeated",
	  { "inbound_repeated_total", "counter", "Of these: reports that had come before" } },
	{ "inbound",
	  "forwarded",
	  { "inbound_forwarded_total", "counter", "Of these: passed on to forward-unmatched" } },
	{ "inbound", "kept", { "inbound_kept_total", "counter", "Of these: kept in unmatched/" } },
	{ "inbound", "waiting", { "inbound_waiting", "gauge", "Of these: not yet read" } },
	{ "webhooks", "requests", { "webhook_requests_total", "counter", "Requests of webhooks" } },
	{ "webhooks",
	  "failed",
	  { "webhook_failed_requests_total", "counter", "Of these: not answered with 2xx" } },
	{ "webhooks",
	  "events",
	  { "webhook_events_total", "counter", "Events that webhooks took" } },
	{ "webhooks",
	  "behind",
	  { "webhook_events_behind", "gauge",
	    "Events the webhook furthest behind has to look at" } },
	{ NULL, "operators", { "operators", "gauge", "Consoles that are attached" } },
	{ NULL, "uptime", { "uptime_seconds", "gauge", "Seconds since the start" } },
};

static const struct {
	const char *member;
	double unit;
	struct metric m;
} loop_metrics[] = {
	{ "passes", 1, { "loop_passes_total", "counter", "Passes of a thread's loop" } },
	{ "cpu_total_ms",
	  0.001,
	  { "loop_cpu_seconds_total", "counter", "CPU time of a thread's loop" } },
	{ "cpu_ms", 0.001, { "loop_pass_cpu_max_seconds", "gauge", "CPU of its longest pass" } },
	{ "wall_ms", 0.001, { "loop_pass_wall_max_seconds", "gauge", "Time of its longest pass" } },
};

static void loops(const json_t *array, struct buf *out)
{
	for (size_t k = 0; k < sizeof loop_metrics / sizeof *loop_metrics; k++) {
		const struct metric *m = &loop_metrics[k].m;
		const json_t *l;
		size_t i;

		head(out, m->name, m->type, m->help);
		json_array_foreach(array, i, l)
		{
			const char *name = json_string_value(json_object_get(l, "name"));
			double v = json_number_value(json_object_get(l, loop_metrics[k].member));

			if (name)
				labelled(out, m->name, "loop", str_of(name),
					 v * loop_metrics[k].unit);
		}
	}
}

static void facts(struct control *c, struct buf *out)
{
	struct buf text;
	json_t *o;
	const char *version, *state;

	buf_init(&text);
	o = status_json(c, &text) ? json_loadb(text.p, text.n, 0, NULL) : NULL;
	buf_free(&text);
	for (size_t i = 0; i < sizeof fact_metrics / sizeof *fact_metrics; i++) {
		const json_t *at =
		    fact_metrics[i].object ? json_object_get(o, fact_metrics[i].object) : o;
		const json_t *v = json_object_get(at, fact_metrics[i].member);

		if (json_is_number(v))
			one(out, &fact_metrics[i].m, json_number_value(v));
	}
	version = json_string_value(json_object_get(o, "version"));
	state = json_string_value(json_object_get(o, "state"));
	head(out, "info", "gauge", "Always 1; version and state are labels");
	buf_addz(out, "stoker_info{version=\"");
	label(out, str_of(version ? version : ""));
	buf_addz(out, "\",state=\"");
	label(out, str_of(state ? state : ""));
	buf_addz(out, "\"} 1\n");
	loops(json_object_get(o, "loops"), out);
	json_decref(o);
}

static void suppression(struct control *c, struct buf *out)
{
	static const struct metric entries = { "suppression_entries", "gauge",
					       "Entries of the suppression list that hold" };

	if (!c->suppressed && c->env.suppression)
		c->suppressed = suppression_reader_open(c->env.suppression);
	if (c->suppressed)
		one(out, &entries,
		    (double)suppression_reader_entries(c->suppressed, control_now(c)));
}

/* ---- alarms ---- */

static void alarms(struct control *c, struct buf *out)
{
	struct alarm_count n = alarms_count(c);

	head(out, "alarms", "gauge", "Alarms that nobody has acknowledged, by harm");
	labelled(out, "alarms", "severity", STR_LIT("red"), n.red);
	labelled(out, "alarms", "severity", STR_LIT("yellow"), n.yellow);
	head(out, "alarms_acknowledged", "gauge", "Alarms that somebody has acknowledged");
	buf_addf(out, "stoker_alarms_acknowledged %d\n", n.acked);
}

/* ---- sources ---- */

static const struct metric source_metrics[] = {
	{ "source_connections", "gauge", "Connections of a virtual MTA" },
	{ "source_rate", "gauge", "Recipients attempted a second by a virtual MTA" },
	{ "source_up", "gauge", "1 if its address is on this machine" },
	{ "source_delivered_recipients_total", "counter",
	  "Recipients that a virtual MTA delivered" },
	{ "source_deferred_attempts_total", "counter",
	  "Attempts of a virtual MTA that failed for now" },
	{ "source_bounced_recipients_total", "counter", "Recipients that a virtual MTA bounced" },
};

static double source_value(const struct row *r, size_t i)
{
	const struct row_traffic *t = &r->source.t;
	const double v[] = { t->connections,	   (double)t->rate,	r->state != STATE_DOWN,
			     (double)t->delivered, (double)t->deferred, (double)t->bounced };

	return v[i];
}

/* Virtual MTAs are few: those of the configuration. */
static void sources(struct control *c, struct buf *out)
{
	for (size_t i = 0; i < sizeof source_metrics / sizeof *source_metrics; i++) {
		const struct metric *m = &source_metrics[i];
		const struct row *r;
		size_t pos = 0;

		head(out, m->name, m->type, m->help);
		while ((r = mirror_next(c->mirror, ROW_SOURCE, &pos)))
			labelled(out, m->name, "virtual_mta", rstr_str(r->name),
				 source_value(r, i));
	}
}

/* ---- sites ---- */

static const struct metric site_metrics[] = {
	{ "site_queued_recipients", "gauge", "Recipients that wait for a provider or site" },
	{ "site_due_recipients", "gauge", "Of these: their time has come" },
	{ "site_in_flight_recipients", "gauge", "Of these: in a transaction" },
	{ "site_connections", "gauge", "Connections to a provider or site" },
	{ "site_rate", "gauge", "Recipients attempted a second there" },
	{ "site_delivered_recipients_total", "counter", "Recipients delivered there" },
	{ "site_deferred_attempts_total", "counter", "Attempts there that failed for now" },
	{ "site_bounced_recipients_total", "counter", "Recipients bounced there" },
};
enum { SITE_METRICS = sizeof site_metrics / sizeof *site_metrics };

static struct sum sum_of(const struct row *r)
{
	const struct row_queue *q = &r->site;

	return (struct sum){ { (double)q->queued, (double)q->due, (double)q->in_flight,
			       q->t.connections, (double)q->t.rate, (double)q->t.delivered,
			       (double)q->t.deferred, (double)q->t.bounced } };
}

static void find_least(struct walk *w)
{
	w->least = 0;
	for (int i = 1; i < w->n; i++)
		if (w->top[i].rank < w->top[w->least].rank)
			w->least = i;
}

/* Ranked by what only grows, mostly, so that a series does not come and go. */
static void take_site(struct walk *w, const struct row *r)
{
	const struct row_queue *q = &r->site;
	struct site_top t = { .id = r->id,
			      .rank = q->t.delivered + q->t.deferred + q->t.bounced + q->queued,
			      .sum = sum_of(r) };

	w->sites++;
	for (int i = 0; i < SITE_METRICS; i++)
		w->all.value[i] += t.sum.value[i];
	if (w->n < TOP) {
		w->top[w->n++] = t;
		if (w->n == TOP)
			find_least(w);
	} else if (t.rank > w->top[w->least].rank) {
		w->top[w->least] = t;
		find_least(w);
	}
}

static void sites(struct control *c, const struct walk *w, struct buf *out)
{
	for (int i = 0; i < SITE_METRICS; i++) {
		const struct metric *m = &site_metrics[i];
		double rest = w->all.value[i];

		head(out, m->name, m->type, m->help);
		for (int k = 0; k < w->n; k++) {
			const struct row *r = mirror_find(c->mirror, ROW_SITE, w->top[k].id);

			rest -= w->top[k].sum.value[i];
			if (r)
				labelled(out, m->name, "site", rstr_str(r->name),
					 w->top[k].sum.value[i]);
		}
		if (w->sites > TOP)
			labelled(out, m->name, "site", STR_LIT("(other)"), rest > 0 ? rest : 0);
	}
	one(out, &(struct metric){ "sites", "gauge", "Providers and sites that are known" },
	    (double)w->sites);
	one(out, &(struct metric){ "queues", "gauge", "Queues: domain and route" },
	    (double)mirror_count(c->mirror, ROW_QUEUE));
}

/* ---- feedback: receivers and categories are few (core/report/counters.h) ---- */

static void feedback(struct control *c, struct buf *out)
{
	const struct row *r;
	size_t pos = 0;

	head(out, "feedback_recipients_total", "counter",
	     "Bounces of a receiver by category, also reported ones, and complaints");
	while ((r = mirror_next(c->mirror, ROW_FEEDBACK, &pos))) {
		buf_addz(out, "stoker_feedback_recipients_total{provider=\"");
		label(out, rstr_str(r->feedback.provider));
		buf_addz(out, "\",category=\"");
		label(out, rstr_str(r->feedback.category));
		buf_addz(out, "\"}");
		number(out, (double)r->feedback.total);
	}
}

static enum pump_result pump(struct request *r)
{
	struct walk *w = r->state;
	const struct row *row;
	struct buf out;

	for (int i = 0; i < ROWS_A_STEP; i++) {
		row = mirror_next(r->c->mirror, ROW_SITE, &w->pos);
		if (!row)
			break;
		take_site(w, row);
		if (i + 1 == ROWS_A_STEP)
			return PUMP_MORE;
	}
	buf_init(&out);
	facts(r->c, &out);
	totals(r->c, &out);
	suppression(r->c, &out);
	alarms(r->c, &out);
	sources(r->c, &out);
	feedback(r->c, &out);
	sites(r->c, w, &out);
	if (buf_failed(&out)) {
		buf_free(&out);
		request_fail(r, EXIT_REFUSED, "no memory for the metrics");
		return PUMP_DONE;
	}
	request_out(r, buf_str(&out));
	buf_free(&out);
	request_finish(r, EXIT_DONE);
	return PUMP_DONE;
}

void metrics_write(struct request *r)
{
	struct walk *w = calloc(1, sizeof *w);

	if (w)
		request_stream(r, pump, w, free);
	else
		request_fail(r, EXIT_REFUSED, "no memory for the metrics");
}
