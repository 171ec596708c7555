/* The CLI's lists: found once, then sorted and written piece by piece while the client takes them,
 * so that a list of any length costs no loop pass much. Rows that have gone meanwhile are left out.
 */
#include <stdlib.h>

#include "core/control/hits.h"
#include "core/control/private.h"
#include "core/control/text.h"

/* On a terminal; `--limit 0` shows all. */
enum {
	TERMINAL_ROWS = 100,
	ROWS_A_STEP = 64,
	SORTED_AT_ONCE = 4096,
};

struct list {
	enum list_id id;
	struct table table;
	struct query q;
	struct hits hits;
	bool searching, found, sorting, started, any;
	size_t total, next, end; /* next to be written, and where the list ends */
	size_t sorted;		 /* matches before this one are in their places */
	size_t sorted_from;	 /* the selection's first */
	struct selection selection;
};

static void list_free(void *state)
{
	struct list *l = state;

	if (l->searching)
		hits_end(&l->hits);
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
		buf_addf(out, "{\"total\":%zu,\"rows\":[", l->total);
	else if (l->next < l->end)
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

static void rest(const struct list *l, struct buf *out)
{
	uint64_t recipients = 0;

	for (size_t i = l->end; i < l->total; i++)
		recipients += l->hits.v[i].queued;
	text_table_rest((int64_t)(l->total - l->end), (int64_t)recipients, out);
}

static void tail(struct request *r, struct list *l, struct buf *out)
{
	const char *name = list_def(l->id)->name;

	if (r->inv.json)
		buf_addz(out, "]}\n");
	else if (!l->total)
		buf_addf(out, r->inv.filter.n ? "no %s match\n" : "no %s\n", name);
	else if ((size_t)l->q.offset >= l->total)
		buf_addf(out, "no more %s: there are %zu\n", name, l->total);
	else
		rest(l, out);
}

/* Puts the next matches into their places; what lies before them is there already. */
static void sort_more(struct list *l)
{
	struct hits *h = &l->hits;
	size_t hi = l->end - l->next < SORTED_AT_ONCE ? l->end : l->next + SORTED_AT_ONCE;

	if (!l->sorting) {
		l->sorted_from = l->sorted;
		selection_begin(&l->selection, h->n - l->sorted, l->next - l->sorted,
				hi - l->sorted);
	}
	l->sorting = !selection_step(&l->selection, h->v + l->sorted_from, &h->order);
	if (!l->sorting)
		l->sorted = hi;
}

static void found(struct list *l)
{
	size_t n = l->hits.n, offset = (size_t)l->q.offset;
	size_t limit = l->q.limit ? (size_t)l->q.limit : n;

	l->found = true;
	l->total = n;
	l->next = offset < n ? offset : n;
	l->end = n - l->next < limit ? n : l->next + limit;
}

static enum pump_result find(struct request *r, struct list *l)
{
	enum hits_result got = HITS_FAILED;
	struct errbuf e = { "" };

	if (!l->searching)
		l->searching = hits_begin(r->c->mirror, &l->q, control_now(r->c), &l->hits, &e);
	if (l->searching)
		got = hits_step(&l->hits, &e);
	if (got == HITS_FAILED) {
		request_fail(r, EXIT_USAGE, "%s", e.text);
		return PUMP_DONE;
	}
	if (got == HITS_FOUND)
		found(l);
	return PUMP_MORE;
}

static enum pump_result pump_list(struct request *r)
{
	struct list *l = r->state;
	size_t stop = l->next + ROWS_A_STEP;
	bool over;
	struct buf out;

	if (!l->found)
		return find(r, l);
	if (l->next >= l->sorted && l->next < l->end) {
		sort_more(l);
		return PUMP_MORE;
	}
	buf_init(&out);
	if (!l->started)
		head(r, l, &out);
	for (; l->next < l->sorted && l->next < stop; l->next++) {
		const struct row *row =
		    mirror_find(r->c->mirror, list_def(l->id)->kind, l->hits.v[l->next].id);

		if (row)
			one(r, l, row, &out);
	}
	over = l->next >= l->end;
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
