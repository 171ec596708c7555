#include <jansson.h>
#include <time.h>

#include "core/base/clean.h"
#include "core/control/private.h"
#include "core/control/text.h"

static void put_time(json_t *o, const char *key, us_t at)
{
	char text[CLOCK_RFC3339_SIZE];

	if (!at)
		return;
	clock_rfc3339(at, text);
	json_object_set_new(o, key, json_string(text));
}

static void put_int(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new(o, key, json_integer((json_int_t)n));
}

/* A member that is there already stays. */
static void put_missing(json_t *o, const char *key, json_t *v)
{
	if (json_object_get(o, key))
		json_decref(v);
	else
		json_object_set_new(o, key, v);
}

/* What lives elsewhere in the process. */
static json_t *facts(struct control *c)
{
	struct buf text;
	json_t *o = NULL;

	buf_init(&text);
	if (c->env.status)
		c->env.status(c->env.arg, &text);
	if (text.n)
		o = json_loadb(text.p, text.n, 0, NULL);
	if (text.n && !o)
		log_error("status: the facts of other threads are no JSON");
	buf_free(&text);
	return o ? o : json_object();
}

static json_t *member_object(json_t *o, const char *key)
{
	json_t *m = json_object_get(o, key);

	if (!json_is_object(m)) {
		m = json_object();
		json_object_set_new(o, key, m);
	}
	return json_incref(m);
}

static void put_config(struct control *c, json_t *o)
{
	json_t *conf = json_object();

	put_int(conf, "number", c->conf->number);
	put_time(conf, "loaded_at", c->conf->loaded_at);
	if (c->conf->path)
		json_object_set_new(conf, "file", json_string(c->conf->path));
	json_object_set_new(conf, "differs", json_boolean(c->differs));
	json_object_set_new(o, "config", conf);
}

/* in, out, and the six numbers of the invariant with what goes with them: all of one snapshot. */
static void put_totals(struct control *c, json_t *o, json_t *from)
{
	const struct sched_totals *t = mirror_get_totals(c->mirror, NULL);
	json_t *in = member_object(from, "in"), *out = json_object();

	json_object_set_new(in, "rate", json_real((double)t->in_rate));
	put_missing(in, "total", json_integer((json_int_t)t->accepted));
	json_object_set_new(o, "in", in);
	json_object_set_new(out, "rate", json_real((double)t->out_rate));
	put_int(out, "total", t->delivered + t->deferred + t->bounced);
	put_int(out, "connections", t->connections);
	put_int(out, "connection_limit", t->connection_limit);
	json_object_set_new(o, "out", out);
	put_int(o, "accepted", t->accepted);
	put_int(o, "delivered", t->delivered);
	put_int(o, "deferred", t->deferred);
	put_int(o, "bounced", t->bounced);
	put_int(o, "expired", t->expired);
	put_int(o, "removed", t->removed);
	put_int(o, "queued", t->queued);
	put_int(o, "maybe_twice", t->maybe_twice);
}

static json_t *alarms_json(struct control *c)
{
	struct query q = { .list = LIST_ALARMS, .filter = STR_LIT("!gone:yes") };
	struct page *p = query_run(c->mirror, &q, control_now(c));
	json_t *array = json_array();
	struct buf row;

	buf_init(&row);
	for (int i = 0; p && i < p->nrows; i++) {
		buf_clear(&row);
		row_json(LIST_ALARMS, &p->rows[i], control_now(c), &row);
		json_array_append_new(array, json_loadb(row.p, row.n, 0, NULL));
	}
	buf_free(&row);
	page_free(p);
	return array;
}

/* Its frames are the console thread's, the pages in them are found here. */
static void put_console(struct control *c, json_t *from)
{
	const double us_per_ms = 1000.0;
	json_t *o = member_object(from, "console");

	json_object_set_new(o, "page_cpu_ms", json_real((double)c->page_cpu_max_us / us_per_ms));
	json_decref(o);
}

static json_t *status_object(struct control *c)
{
	const struct sched_totals *t = mirror_get_totals(c->mirror, NULL);
	json_t *o = json_object(), *from = facts(c), *spool, *v;
	const char *key;
	bool draining = t->draining && strcmp(c->phase, "running") == 0;

	json_object_set_new(o, "version", json_string(c->env.version ? c->env.version : "unknown"));
	json_object_set_new(o, "hostname", json_string(c->conf->mta.hostname));
	put_int(o, "uptime", (uint64_t)((control_now(c) - c->started) / US_PER_S));
	json_object_set_new(o, "state", json_string(draining ? "draining" : c->phase));
	put_config(c, o);
	put_totals(c, o, from);
	spool = member_object(from, "spool");
	put_missing(spool, "load_progress", json_real(c->load_progress));
	json_decref(spool);
	put_console(c, from);
	json_object_foreach(from, key, v) if (!json_object_get(o, key)) json_object_set(o, key, v);
	put_missing(o, "operators", json_integer(c->operators));
	json_object_set_new(o, "alarms", alarms_json(c));
	json_decref(from);
	return o;
}

bool status_json(struct control *c, struct buf *out)
{
	const size_t digits = 6;
	json_t *o = status_object(c);
	char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(digits));
	bool ok = text && buf_addz(out, text);

	free(text);
	json_decref(o);
	return ok;
}

/* ---- for people ---- */

static int64_t number_at(json_t *o, const char *a, const char *b)
{
	json_t *v = json_object_get(o, a);

	return (int64_t)json_number_value(b ? json_object_get(v, b) : v);
}

static double real_at(json_t *o, const char *a, const char *b)
{
	return json_number_value(json_object_get(json_object_get(o, a), b));
}

static const char *text_at(json_t *o, const char *a, const char *b)
{
	json_t *v = json_object_get(o, a);
	const char *text = json_string_value(b ? json_object_get(v, b) : v);

	return text ? text : "-";
}

static void text_head(struct control *c, json_t *o, struct buf *out)
{
	struct value loaded = { .type = V_TIME, .i = c->conf->loaded_at };
	char up[FMT_SIZE];

	fmt_age(number_at(o, "uptime", NULL) * US_PER_S, up);
	buf_addf(out, "stoker %s on %s, %s, up %s\n", text_at(o, "version", NULL),
		 text_at(o, "hostname", NULL), text_at(o, "state", NULL), up);
	if (strcmp(c->phase, "starting") == 0)
		buf_addf(out, "loading     %d%% of the spool\n",
			 (int)(real_at(o, "spool", "load_progress") * 100));
	buf_addf(out, "config      #%lld of ", (long long)c->conf->number);
	value_text(&loaded, control_now(c), out);
	buf_addf(out, ", %s%s\n", text_at(o, "config", "file"),
		 c->differs ? "; THE FILE DIFFERS" : "");
}

static void text_rate(json_t *o, const char *key, struct buf *out)
{
	char rate[FMT_SIZE];

	fmt_per_s(real_at(o, key, "rate"), rate);
	buf_addf(out, "%-11s %s/s, %lld connections", key, rate,
		 (long long)number_at(o, key, "connections"));
	if (number_at(o, key, "connection_limit"))
		buf_addf(out, " of %lld", (long long)number_at(o, key, "connection_limit"));
	buf_addc(out, '\n');
}

static void text_totals(json_t *o, struct buf *out)
{
	static const char *const names[] = { "accepted", "delivered", "bounced",  "expired",
					     "removed",	 "queued",    "deferred", "maybe_twice" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		buf_addf(out, "%-11s ",
			 strcmp(names[i], "maybe_twice") == 0 ? "maybe twice" : names[i]);
		add_grouped(number_at(o, names[i], NULL), out);
		buf_addc(out, '\n');
	}
}

static void text_room(json_t *o, struct buf *out)
{
	char a[FMT_SIZE], b[FMT_SIZE];

	fmt_bytes(number_at(o, "spool", "bytes"), a);
	fmt_bytes(number_at(o, "spool", "free_bytes"), b);
	buf_addz(out, "spool       ");
	add_grouped(number_at(o, "spool", "messages"), out);
	buf_addf(out, " messages, %s, %s free, sync %.1f ms\n", a, b,
		 real_at(o, "spool", "sync_ms"));
	fmt_bytes(number_at(o, "memory", "anon"), a);
	fmt_bytes(number_at(o, "memory", "limit"), b);
	buf_addf(out, "memory      %s of %s\n", a, b);
}

/* How the keys' published records are; nothing without keys. */
static void text_dkim(json_t *o, struct buf *out)
{
	json_t *d = json_object_get(o, "dkim"), *v;
	const char *key;

	if (!d)
		return;
	buf_addf(out, "dkim        %lld keys:", (long long)number_at(o, "dkim", "keys"));
	json_object_foreach(d, key, v) if (strcmp(key, "keys") != 0 && json_integer_value(v))
	    buf_addf(out, " %lld %s", (long long)json_integer_value(v), key);
	buf_addc(out, '\n');
}

/* What came back; nothing without an [inbound] section. */
static void text_inbound(json_t *o, struct buf *out)
{
	json_t *d = json_object_get(o, "inbound"), *v;
	const char *key, *between = "";

	if (!d)
		return;
	buf_addz(out, "inbound     ");
	json_object_foreach(d, key, v)
	{
		buf_addf(out, "%s%lld %s", between, (long long)json_integer_value(v), key);
		between = ", ";
	}
	buf_addc(out, '\n');
}

static void text_alarms(struct control *c, int columns, struct buf *out)
{
	struct query q = { .list = LIST_ALARMS, .filter = STR_LIT("!gone:yes") };
	struct page *p = query_run(c->mirror, &q, control_now(c));

	if (p && p->nrows) {
		buf_addc(out, '\n');
		page_text(p, control_now(c), columns, out);
	} else {
		buf_addz(out, "alarms      none\n");
	}
	page_free(p);
}

static void status_text(struct control *c, int columns, struct buf *out)
{
	json_t *o = status_object(c);

	text_head(c, o, out);
	text_rate(o, "in", out);
	text_rate(o, "out", out);
	text_totals(o, out);
	text_room(o, out);
	text_dkim(o, out);
	text_inbound(o, out);
	text_alarms(c, columns, out);
	json_decref(o);
}

/* One line and an exit code for a monitor. */
static void show_check(struct request *r)
{
	struct alarm_count n = alarms_count(r->c);
	const struct sched_totals *t = mirror_get_totals(r->c->mirror, NULL);
	struct buf line;
	char queued[FMT_SIZE], rate[FMT_SIZE];

	fmt_count((int64_t)t->queued, queued);
	fmt_per_s((double)t->out_rate, rate);
	buf_init(&line);
	buf_addz(&line, n.red ? "RED: " : n.yellow ? "YELLOW: " : "OK: ");
	if (n.worst) {
		clean_add(&line, rstr_str(n.worst->alarm.text), false);
		if (n.red + n.yellow > 1)
			buf_addf(&line, " (and %d more)", n.red + n.yellow - 1);
	} else {
		buf_addf(&line, "%s, queued %s, out %s/s", r->c->phase, queued, rate);
	}
	if (n.acked)
		buf_addf(&line, "; %d acknowledged", n.acked);
	buf_addc(&line, '\n');
	request_out(r, buf_str(&line));
	buf_free(&line);
	request_finish(r, n.red ? 2 : n.yellow ? 1 : 0);
}

void show_status(struct request *r)
{
	struct buf out;

	if (r->inv.check && !r->inv.json) {
		show_check(r);
		return;
	}
	buf_init(&out);
	if (r->inv.json && status_json(r->c, &out))
		buf_addc(&out, '\n');
	else if (!r->inv.json)
		status_text(r->c, r->columns, &out);
	request_out(r, buf_str(&out));
	buf_free(&out);
	if (r->inv.check) {
		struct alarm_count n = alarms_count(r->c);

		request_finish(r, n.red ? 2 : n.yellow ? 1 : 0);
		return;
	}
	request_finish(r, EXIT_DONE);
}
