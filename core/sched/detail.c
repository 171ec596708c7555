/* One queue, site or lane in full, as JSON: why with all stacked limits and their use, hosts,
 * lanes, domains. */
#include "core/sched/inner.h"

enum { LIST_MAX = 200 };

static void put_rstr(struct jsonw *w, const char *key, const struct rstr *r)
{
	if (r)
		jsonw_str(w, key, rstr_str(r));
}

static void put_name(struct jsonw *w, const struct queue *q)
{
	struct rstr *name = queue_name_shown(q);

	put_rstr(w, "name", name);
	rstr_unref(name);
}

static void put_why(struct jsonw *w, const char *key, struct why *y)
{
	jsonw_object(w, key);
	jsonw_z(w, "code", why_code_name((enum why_code)y->code));
	if (y->limit > 0) {
		jsonw_double(w, "value", (double)y->value, 2);
		jsonw_double(w, "limit", (double)y->limit, 4);
	}
	if (y->counts < SCOPE_COUNT)
		jsonw_z(w, "counts", limit_scope_words((enum limit_scope)y->counts));
	put_rstr(w, "origin", y->origin);
	if (y->until)
		jsonw_time(w, "until", y->until);
	put_rstr(w, "text", y->text);
	jsonw_end_object(w);
	why_clear(y);
}

static void put_origin(struct jsonw *w, const struct counter *c)
{
	struct rstr *text = counter_origin(c);

	put_rstr(w, "origin", text);
	rstr_unref(text);
}

/* `lane`: whose own count it is, where several lanes are told of; may be NULL. */
static void put_counter(struct jsonw *w, const struct counter *c, const struct rstr *lane, us_t now)
{
	char rate[FMT_SIZE];

	if (!c->limited)
		return;
	jsonw_object(w, NULL);
	jsonw_z(w, "directive",
		c->flavour == COUNT_WARMUP ? "warmup" : limit_kind_name((enum limit_kind)c->kind));
	jsonw_z(w, "counts", limit_scope_words((enum limit_scope)c->scope));
	if (c->kind == LIMIT_CONNECTIONS) {
		jsonw_int(w, "limit", c->limit);
		jsonw_int(w, "used", c->used);
	} else {
		fmt_rate(counter_rate(c), rate);
		jsonw_z(w, "limit", rate);
		jsonw_bool(w, "room", counter_room(c, now) > 0);
	}
	put_origin(w, c);
	put_rstr(w, "lane", lane);
	jsonw_end_object(w);
}

static void put_limits(struct jsonw *w, const struct limits *l, us_t now)
{
	for (uint8_t i = 0; i < l->nconn; i++)
		put_counter(w, l->conn[i], NULL, now);
	for (uint8_t i = 0; i < l->nrate; i++)
		put_counter(w, l->rate[i], NULL, now);
	for (uint8_t i = 0; i < l->nconnect; i++)
		put_counter(w, l->connect[i], NULL, now);
}

static bool holds(const struct limits *l, const struct counter *c)
{
	for (uint8_t i = 0; i < l->nconn; i++)
		if (l->conn[i] == c)
			return true;
	for (uint8_t i = 0; i < l->nrate; i++)
		if (l->rate[i] == c)
			return true;
	for (uint8_t i = 0; i < l->nconnect; i++)
		if (l->connect[i] == c)
			return true;
	return false;
}

/* A counter of path `at`: nothing if an earlier path told of it, without a lane if others share it.
 */
static void put_counter_of(struct jsonw *w, const struct flow *f, uint8_t at,
			   const struct counter *c, us_t now)
{
	bool shared = false;

	for (uint8_t i = 0; i < at; i++)
		if (holds(&f->paths[i].limits, c))
			return;
	for (uint8_t i = at + 1; i < f->npaths && !shared; i++)
		shared = holds(&f->paths[i].limits, c);
	put_counter(w, c, shared ? NULL : f->paths[at].lane->name, now);
}

/* Those of all the lanes that a flow may take, each once. */
static void put_flow_limits(struct jsonw *w, const struct flow *f, us_t now)
{
	for (uint8_t at = 0; at < f->npaths; at++) {
		const struct limits *l = &f->paths[at].limits;

		for (uint8_t i = 0; i < l->nconn; i++)
			put_counter_of(w, f, at, l->conn[i], now);
		for (uint8_t i = 0; i < l->nrate; i++)
			put_counter_of(w, f, at, l->rate[i], now);
		for (uint8_t i = 0; i < l->nconnect; i++)
			put_counter_of(w, f, at, l->connect[i], now);
	}
}

static void put_tally(struct jsonw *w, const struct tally *y, us_t now)
{
	struct percents p;

	tally_percents(y, now, &p);
	jsonw_double(w, "rate", y ? (double)tally_rate(y, now) : 0, 2);
	if (p.delivered >= 0)
		jsonw_double(w, "delivered_percent", (double)p.delivered, 1);
	jsonw_int(w, "delivered", y ? (int64_t)y->delivered : 0);
	jsonw_int(w, "deferred", y ? (int64_t)y->deferred : 0);
	jsonw_int(w, "bounced", y ? (int64_t)y->bounced : 0);
}

/* ---- hosts ---- */

static void put_host(struct jsonw *w, struct reader *r, const struct mxhost *h)
{
	struct endpoint e;
	struct buf text;

	for (uint8_t i = 0; i < h->naddresses; i++) {
		mxset_address(r, &e);
		buf_init(&text);
		address_text(&e, &text);
		jsonw_object(w, NULL);
		jsonw_int(w, "preference", h->preference);
		jsonw_str(w, "host", h->name);
		jsonw_str(w, "address", buf_str(&text));
		jsonw_end_object(w);
		buf_free(&text);
	}
	if (h->naddresses)
		return;
	jsonw_object(w, NULL);
	jsonw_int(w, "preference", h->preference);
	jsonw_str(w, "host", h->name);
	jsonw_z(w, "state", "down");
	jsonw_z(w, "error", h->failed ? "its address look-up fails" : "no address");
	jsonw_end_object(w);
}

static void put_hosts(struct jsonw *w, const struct hosts *hosts)
{
	struct mxhost h;

	jsonw_array(w, "hosts");
	if (hosts && hosts->mx) {
		struct reader r = mxset_reader(hosts->mx);

		while (mxset_next(&r, &h))
			put_host(w, &r, &h);
	}
	jsonw_end_array(w);
	if (hosts && hosts->text)
		put_rstr(w, "dns_error", hosts->text);
	if (hosts && hosts->stale)
		jsonw_bool(w, "mx_stale", true);
}

/* ---- lanes, sites, queues ---- */

static void put_rest(struct jsonw *w, us_t since, us_t until, uint32_t step,
		     const struct rstr *reason)
{
	jsonw_time(w, "resting_since", since);
	jsonw_time(w, "resting_until", until);
	jsonw_int(w, "rest_step", step);
	put_rstr(w, "rest_reason", reason);
}

static void put_lane_in_full(struct sched *s, struct jsonw *w, struct lane *a)
{
	const struct key_rest *held;
	struct why y = { 0 };

	put_rstr(w, "name", a->name);
	put_rstr(w, "virtual_mta", a->source->name);
	put_rstr(w, "source_ip", a->source->ip_text);
	jsonw_int(w, "connections", a->conn ? a->conn->used : 0);
	put_tally(w, a->tally, s->now);
	if (a->resting_until > s->now)
		put_rest(w, a->resting_since, a->resting_until, a->rest_step, a->rest_reason);
	else if ((held = keyrest_waiting(a)))
		put_rest(w, held->since, held->until, held->step, held->reason);
	why_lane(s, a, &y);
	put_why(w, "why", &y);
	jsonw_array(w, "limits");
	for (struct link *l = a->paths.next; l != &a->paths; l = l->next)
		put_limits(w, &LIST_OF(l, struct path, on_lane)->limits, s->now);
	jsonw_end_array(w);
}

static void put_lane(struct sched *s, struct jsonw *w, struct lane *a)
{
	jsonw_object(w, NULL);
	put_lane_in_full(s, w, a);
	jsonw_end_object(w);
}

static void put_queue_short(struct sched *s, struct jsonw *w, struct queue *q)
{
	struct why y = { 0 };

	jsonw_object(w, NULL);
	put_name(w, q);
	jsonw_int(w, "queued", q->queued);
	jsonw_int(w, "due", q->ready);
	jsonw_int(w, "in_flight", q->in_flight);
	why_queue(s, q, &y);
	put_why(w, "why", &y);
	jsonw_end_object(w);
}

static void put_lanes(struct sched *s, struct jsonw *w, struct site *t)
{
	int n = LIST_MAX;

	jsonw_array(w, "lanes");
	for (struct link *l = t->lanes.next; l != &t->lanes && n--; l = l->next)
		put_lane(s, w, LIST_OF(l, struct lane, on_site));
	jsonw_end_array(w);
}

static void detail_site(struct sched *s, struct jsonw *w, struct site *t)
{
	struct why y = { 0 };
	const struct hosts *hosts = NULL;
	int n = LIST_MAX;

	put_rstr(w, "name", t->name);
	jsonw_int(w, "queued", t->queued);
	jsonw_int(w, "due", t->due);
	jsonw_int(w, "in_flight", t->in_flight);
	jsonw_int(w, "domains", t->nqueues);
	put_tally(w, t->tally, s->now);
	why_site(s, t, &y);
	put_why(w, "why", &y);
	put_lanes(s, w, t);
	jsonw_array(w, "queues");
	for (struct link *l = t->queues.next; l != &t->queues && n--; l = l->next) {
		struct queue *q = LIST_OF(l, struct queue, on_site);

		if (!hosts && q->hosts && q->hosts->mx)
			hosts = q->hosts;
		put_queue_short(s, w, q);
	}
	jsonw_end_array(w);
	put_hosts(w, hosts);
}

static void detail_queue(struct sched *s, struct jsonw *w, struct queue *q)
{
	struct why y = { 0 };

	put_name(w, q);
	put_rstr(w, "domain", q->domain->name);
	put_rstr(w, "route", q->route->name);
	if (q->site)
		put_rstr(w, "site", q->site->name);
	jsonw_int(w, "queued", q->queued);
	jsonw_int(w, "due", q->ready);
	jsonw_int(w, "in_flight", q->in_flight);
	put_tally(w, q->tally, s->now);
	why_queue(s, q, &y);
	put_why(w, "why", &y);
	jsonw_array(w, "limits");
	if (q->flow && q->flow->paths)
		put_flow_limits(w, q->flow, s->now);
	jsonw_end_array(w);
	if (q->site)
		put_lanes(s, w, q->site);
	put_hosts(w, q->hosts);
}

/* ---- finding it ---- */

static struct site *find_site(struct sched *s, struct str name)
{
	struct site *t = site_find(s, name, true);

	return t ? t : site_find(s, name, false);
}

static bool detail_target(struct sched *s, const struct target *t, struct jsonw *w)
{
	struct domain *d;
	struct site *site;

	switch (t->kind) {
	case TARGET_SITE:
		site = find_site(s, t->a);
		if (site)
			detail_site(s, w, site);
		return site != NULL;
	case TARGET_LANE: {
		struct source *src = source_find(s, t->b);
		struct lane *a;

		site = find_site(s, t->a);
		a = site && src ? lane_find(s, site, src) : NULL;
		if (!a)
			return false;
		put_lane_in_full(s, w, a);
		return true;
	}
	case TARGET_DOMAIN:
	case TARGET_QUEUE:
		d = domain_find(s, t->a);
		for (struct queue *q = d ? d->queues : NULL; q; q = q->next_of_domain)
			if (t->kind == TARGET_DOMAIN || str_eq(t->b, rstr_str(q->route->name))) {
				detail_queue(s, w, q);
				return true;
			}
		return false;
	case TARGET_ALL:
	case TARGET_VMTA:
	case TARGET_POOL:
	case TARGET_JOB:
	case TARGET_USER:
	case TARGET_MESSAGE:
		break;
	}
	return false;
}

const struct err *sched_detail(struct sched *s, us_t now, const struct target *t, struct buf *json,
			       struct errbuf *e)
{
	struct jsonw w;
	size_t before = json->n;

	s->now = now;
	jsonw_init(&w, json);
	jsonw_object(&w, NULL);
	if (detail_target(s, t, &w)) {
		jsonw_end_object(&w);
		return NULL;
	}
	json->n = before;
	errbuf_set(e, "there is no such queue, site or lane now (no mail is queued for it)");
	return &err_gone;
}
