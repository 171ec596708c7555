/* The CLI's lists: sorted once, then written row by row while the client takes them, so that a list
 * of any length costs no loop pass much. Rows that have gone meanwhile are left out. */
#include <stdlib.h>

#include "core/control/hits.h"
#include "core/control/private.h"
#include "core/control/text.h"

/* On a terminal; `--limit 0` shows all. */
enum { TERMINAL_ROWS = 100, ROWS_A_STEP = 64, SIFTED_A_STEP = 2048, STEPS_MAX = 1000 };

struct list {
	enum list_id id;
	struct table table;
	struct query q;
	int steps;
	bool found, started, any;
	uint64_t *ids;
	size_t n, next;
	int64_t total, rest_rows, rest_recipients;
};

static void list_free(void *state)
{
	struct list *l = state;

	free(l->ids);
	free(l);
}

static enum list_id list_named(const char *name)
{
	enum list_id l = 0;

	while (l < LIST_COUNT && strcmp(list_def(l)->name, name) != 0)
		l++;
	return l;
}

static void head(struct request *r, struct list *l, struct buf *out)
{
	if (r->inv.json)
		buf_addf(out, "{\"total\":%lld,\"rows\":[", (long long)l->total);
	else if (l->n)
		text_table_head(&l->table, out);
	l->started = true;
}

static void one(struct request *r, struct list *l, const struct row *row, struct buf *out)
{
	if (!r->inv.json) {
		text_table_row(&l->table, row, control_now(r->c), out);
		return;
	}
	if (l->any)
		buf_addc(out, ',');
	l->any = true;
	row_json(l->id, row, control_now(r->c), out);
}

static void tail(struct request *r, struct list *l, struct buf *out)
{
	if (r->inv.json)
		buf_addz(out, "]}\n");
	else if (!l->n && l->total)
		buf_addf(out, "no more %s: there are %lld\n", list_def(l->id)->name,
			 (long long)l->total);
	else if (!l->n)
		buf_addf(out, r->inv.filter.n ? "no %s match\n" : "no %s\n", list_def(l->id)->name);
	else
		text_table_rest(l->rest_rows, l->rest_recipients, out);
}

static bool keep_ids(struct list *l, struct hits *h, size_t offset, size_t limit)
{
	size_t lo = offset < h->n ? offset : h->n;
	size_t hi = h->n - lo < limit ? h->n : lo + limit;
	uint64_t recipients = h->recipients;

	hits_select(h->v, h->n, lo, hi, &h->order);
	l->total = (int64_t)h->n;
	l->n = hi - lo;
	l->ids = malloc((l->n ? l->n : 1) * sizeof *l->ids);
	if (!l->ids)
		return false;
	for (size_t i = 0; i < hi; i++) {
		recipients -= h->rows.marks[h->v[i].index].queued;
		if (i >= lo)
			l->ids[i - lo] = h->v[i].id;
	}
	l->rest_rows = (int64_t)(h->n - hi);
	l->rest_recipients = (int64_t)recipients;
	return true;
}

/* The order of the list, when the filter has seen every row. */
static enum pump_result find(struct request *r, struct list *l)
{
	us_t now = control_now(r->c);
	struct errbuf e = { "" };
	struct hits h;

	if (l->steps++ < STEPS_MAX && !query_prepare(r->c->mirror, &l->q, now, SIFTED_A_STEP))
		return PUMP_MORE;
	if (!hits_find(r->c->mirror, &l->q, now, &h, &e)) {
		request_fail(r, EXIT_USAGE, "%s", e.text);
		return PUMP_DONE;
	}
	l->found = keep_ids(l, &h, (size_t)l->q.offset, l->q.limit ? (size_t)l->q.limit : h.n);
	if (l->found)
		return PUMP_MORE;
	request_fail(r, EXIT_REFUSED, "no memory for the list");
	return PUMP_DONE;
}

static enum pump_result pump_list(struct request *r)
{
	struct list *l = r->state;
	size_t end = l->next + ROWS_A_STEP;
	bool over;
	struct buf out;

	if (!l->found)
		return find(r, l);
	buf_init(&out);
	if (!l->started)
		head(r, l, &out);
	for (; l->next < l->n && l->next < end; l->next++) {
		const struct row *row =
		    mirror_find(r->c->mirror, list_def(l->id)->kind, l->ids[l->next]);

		if (row)
			one(r, l, row, &out);
	}
	over = l->next >= l->n;
	if (over)
		tail(r, l, &out);
	request_out(r, buf_str(&out));
	buf_free(&out);
	if (!over)
		return PUMP_MORE;
	request_finish(r, EXIT_DONE);
	return PUMP_DONE;
}

void list_rows(struct request *r)
{
	int most = r->tty && !r->inv.json ? TERMINAL_ROWS : 0;
	struct list *l = calloc(1, sizeof *l);

	if (!l) {
		request_fail(r, EXIT_REFUSED, "no memory for the list");
		return;
	}
	l->id = list_named(r->inv.cmd->name);
	l->q = (struct query){ .list = l->id,
			       .filter = r->inv.filter,
			       .sort = r->inv.sort,
			       .offset = r->inv.offset,
			       .limit = r->inv.limit >= 0 ? r->inv.limit : most };
	text_table_init(&l->table, l->id, r->columns);
	request_stream(r, pump_list, l, list_free);
}
