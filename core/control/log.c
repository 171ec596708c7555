/* `log`: lines of the ring, then what comes. The ring is the buffer: who reads too slowly loses the
 * oldest, counted. */
#include <stdlib.h>

#include "core/control/private.h"
#include "core/report/delivery_log.h"

enum { DEFAULT_LINES = 1000, EVENTS_A_STEP = 512, OUT_A_STEP = 32 * 1024 };

struct tail {
	struct sieve *filter;
	uint64_t next; /* event to be looked at */
	int limit;     /* 0: none */
	bool counting; /* backwards: finding where the last `limit` matches begin */
	uint64_t back; /* next event to be looked at while counting */
	int found;
	uint64_t missed;
};

static void tail_free(void *state)
{
	struct tail *t = state;

	sieve_free(t->filter);
	free(t);
}

/* A step backwards; true when the beginning is found. */
static bool count_back(struct request *r, struct tail *t)
{
	uint64_t first = logring_first(r->c->ring);
	struct event e;

	for (int i = 0; i < EVENTS_A_STEP; i++) {
		if (t->found >= t->limit || t->back < first || !t->back) {
			t->next = t->back + 1;
			return true;
		}
		if (logring_get(r->c->ring, t->back, &e) &&
		    event_filter_match(t->filter, &e, control_now(r->c)))
			t->found++;
		t->back--;
	}
	return false;
}

static void one(struct request *r, const struct event *e, struct buf *out)
{
	if (r->inv.json) {
		event_json(e, out);
		buf_addc(out, '\n');
	} else {
		event_line(e, out);
	}
}

/* Events that were overwritten before this client took them. */
static void skip_missed(struct request *r, struct tail *t)
{
	uint64_t first = logring_first(r->c->ring);
	struct buf line;

	if (t->next >= first)
		return;
	t->missed += first - t->next;
	t->next = first;
	if (!r->owner || request_full(r))
		return;
	buf_init(&line);
	buf_addf(&line, "(%llu events were not looked at: this terminal is too slow)",
		 (unsigned long long)t->missed);
	r->sink->err(r, buf_str(&line));
	buf_free(&line);
	t->missed = 0;
}

/* True when the newest has been looked at. */
static bool step(struct request *r, struct tail *t, struct buf *out)
{
	uint64_t last = logring_last(r->c->ring);
	struct event e;

	for (int i = 0; i < EVENTS_A_STEP && t->next <= last && out->n < OUT_A_STEP; i++) {
		if (logring_get(r->c->ring, t->next++, &e) &&
		    event_filter_match(t->filter, &e, control_now(r->c)))
			one(r, &e, out);
	}
	return t->next > last;
}

static enum pump_result pump_log(struct request *r)
{
	struct tail *t = r->state;
	struct buf out;
	bool over;

	if (t->counting) {
		t->counting = !count_back(r, t);
		return PUMP_MORE;
	}
	skip_missed(r, t);
	buf_init(&out);
	over = step(r, t, &out);
	request_out(r, buf_str(&out));
	buf_free(&out);
	if (!over)
		return PUMP_MORE;
	if (r->inv.follow)
		return PUMP_WAIT;
	request_finish(r, EXIT_DONE);
	return PUMP_DONE;
}

void show_log(struct request *r)
{
	struct tail *t = calloc(1, sizeof *t);
	struct errbuf e = { "" };

	if (!t) {
		request_fail(r, EXIT_REFUSED, "no memory for the log");
		return;
	}
	t->filter = event_filter_parse(r->inv.filter, &e);
	if (!t->filter || r->inv.sort.n || r->inv.offset) {
		tail_free(t);
		request_fail(
		    r, EXIT_USAGE, "%s",
		    e.text[0] ? e.text
			      : "log comes in the order of time; it takes no --sort or --offset");
		return;
	}
	/* -f begins with the next event, unless --limit asks for some before it. */
	t->limit = r->inv.limit >= 0 ? r->inv.limit : r->inv.follow ? 0 : DEFAULT_LINES;
	t->next = logring_last(r->c->ring) + 1;
	t->back = t->next - 1;
	t->counting = t->limit > 0;
	if (!t->limit && !r->inv.follow)
		t->next = logring_first(r->c->ring);
	request_stream(r, pump_log, t, tail_free);
}

void log_wake(struct control *c)
{
	size_t pos = 0;
	uint64_t id;
	void *p;

	while (idmap_next(&c->requests, &pos, &id, &p)) {
		struct request *r = p;

		if (r->pump == pump_log && !request_full(r))
			request_wake(r);
	}
}
