/* One provider or site: what it says and why it is as it is, then panes: lanes, queues, MX hosts,
 * errors, events. The pane that has the keys gets the room; on a small screen it is the only one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clean.h"
#include "tui/acts.h"
#include "tui/operator.h"
#include "tui/text_pane.h"

enum pane { /* the first two are tables, the others lines of text */
	    PANE_LANES,
	    PANE_QUEUES,
	    PANE_TEXTS,
	    PANE_LIMITS = PANE_TEXTS,
	    PANE_HOSTS,
	    PANE_ERRORS,
	    PANE_EVENTS,
	    PANES,
	    TABLES = PANE_TEXTS
};
enum { FACT_LINES = 3, SMALL = 14, LOG_QUEUES = 30, ERRORS_READ = 500, EVENTS_READ = 40 };
enum ask_tag { ASK_ROW = 10, ASK_DETAIL, ASK_ERRORS, ASK_EVENTS };
#define DETAIL_US (2 * US_PER_S)
#define LOG_US	  US_PER_S
#define LATE_US	  (10 * US_PER_S)

struct view_site {
	struct view view;
	uint64_t id;
	char name[TABLE_NAME];
	struct page *row; /* of the site alone */
	struct table tables[TABLES];
	struct text_pane texts[PANES]; /* from PANE_TEXTS on */
	enum pane pane;
	bool gone;
	us_t waiting[TABLES], row_waiting, detail_waiting, detail_at;
	us_t errors_waiting, events_waiting, log_at;
};
static const char *const pane_names[PANES] = { "LANES",	   "QUEUES", "LIMITS",
					       "MX HOSTS", "ERRORS", "EVENTS" };
static const char *const pane_empty[PANES] = {
	"no lane yet: one appears with the first connection",
	"no queue: its domains have no mail waiting",
	"no limit is set for its lanes",
	"no host known: none was looked up yet",
	"no errors in the log",
	"nothing in the log",
};

static struct view_site *site_of(struct view *v)
{
	return (struct view_site *)(void *)v;
}

static void site_free(struct view *v)
{
	struct view_site *s = site_of(v);

	page_free(s->row);
	for (int i = 0; i < TABLES; i++)
		table_free_view(&s->tables[i]);
	for (int i = 0; i < PANES; i++)
		text_pane_free(&s->texts[i]);
	free(s);
}

/* ---- asking ---- */

static bool due(us_t waiting, us_t now)
{
	return !waiting || now - waiting > LATE_US;
}

static void ask_row(struct view_site *s, us_t now)
{
	struct link_request *r = link_request_make(LINK_QUERY, STR_LIT(""));

	if (!r)
		return;
	s->row_waiting = now;
	r->sort = rstr_new(STR_LIT(""));
	r->q.list = LIST_SITES;
	r->q.limit = 1;
	r->q.around = s->id; /* the window moves to this row alone */
	view_ask(&s->view, r, ASK_ROW);
}

static void ask_detail(struct view_site *s, us_t now)
{
	char target[TABLE_NAME + 1];

	s->detail_waiting = now;
	snprintf(target, sizeof target, "@%s", s->name);
	view_ask(&s->view, link_request_make(LINK_DETAIL, str_of(target)), ASK_DETAIL);
}

/* Its mail in the log, by the names of its first queues. */
static void ask_log(struct view_site *s, bool errors, int n, int tag)
{
	const struct page *p = s->tables[PANE_QUEUES].page;
	struct link_request *r;
	struct buf filter;

	if (!p || !p->nrows)
		return;
	buf_init(&filter);
	buf_addz(&filter, "queue:");
	for (int i = 0; i < p->nrows && i < LOG_QUEUES; i++)
		buf_addf(&filter, "%s%s", i ? "|" : "", rstr_str(p->rows[i].name).p);
	r = link_request_make(LINK_LOG, buf_str(&filter));
	buf_free(&filter);
	if (!r)
		return;
	r->backwards = true;
	r->errors_only = errors;
	r->n = n;
	*(errors ? &s->errors_waiting : &s->events_waiting) = console_now(s->view.op->console);
	view_ask(&s->view, r, tag);
}

static void site_poll(struct view *v, us_t now)
{
	struct view_site *s = site_of(v);

	if (due(s->row_waiting, now))
		ask_row(s, now);
	for (int i = 0; i < TABLES; i++) {
		struct link_request *r = due(s->waiting[i], now) ? calloc(1, sizeof *r) : NULL;
		if (!r)
			continue;
		s->waiting[i] = now;
		table_ask(&s->tables[i], r);
		view_ask(v, r, i);
	}
	if (due(s->detail_waiting, now) && now - s->detail_at >= DETAIL_US)
		ask_detail(s, now);
	if (now - s->log_at < LOG_US)
		return;
	if (due(s->errors_waiting, now))
		ask_log(s, true, ERRORS_READ, ASK_ERRORS);
	if (due(s->events_waiting, now))
		ask_log(s, false, EVENTS_READ, ASK_EVENTS);
}

/* ---- answers ---- */

static void take_row(struct view_site *s, struct link_answer *a)
{
	bool here = a->page && a->page->nrows == 1 && a->page->rows[0].id == s->id;

	s->row_waiting = 0;
	s->gone = !here;
	if (!here)
		return;
	page_free(s->row);
	s->row = a->page;
	a->page = NULL;
}

static void site_answer(struct view *v, struct link_answer *a, int tag)
{
	struct view_site *s = site_of(v);

	if (tag == ASK_ROW) {
		take_row(s, a);
	} else if (tag == ASK_DETAIL) {
		s->detail_waiting = 0;
		s->detail_at = console_now(v->op->console);
		text_pane_limits(&s->texts[PANE_LIMITS], rstr_str(a->text));
		text_pane_hosts(&s->texts[PANE_HOSTS], rstr_str(a->text));
	} else if (tag == ASK_ERRORS) {
		s->errors_waiting = 0;
		s->log_at = console_now(v->op->console);
		text_pane_errors(&s->texts[PANE_ERRORS], a, v->op->tz, s->log_at);
	} else if (tag == ASK_EVENTS) {
		s->events_waiting = 0;
		s->log_at = console_now(v->op->console);
		text_pane_events(&s->texts[PANE_EVENTS], a, v->op->tz);
	} else if (tag < TABLES) {
		s->waiting[tag] = 0;
		table_answer(&s->tables[tag], a->page);
		a->page = NULL;
	}
}

/* ---- drawing ---- */

static void fact(struct canvas *c, struct area a, int line, const char *label, enum style style,
		 const char *words)
{
	canvas_z(c, a.y + line, a.x + 1, 7, STYLE_DIM, label);
	canvas_z(c, a.y + line, a.x + 8, a.w - 9, style, words);
}

static void until_text(const struct view_site *s, const struct row *r, us_t now, struct buf *out)
{
	char left[FMT_SIZE];

	if (r->why.origin && r->why.origin->len)
		buf_addf(out, "   by %s", r->why.origin->text);
	if (r->why.until && r->why.until != US_NEVER) {
		buf_addz(out, "   until ");
		tz_minute(s->view.op->tz, r->why.until, now, out);
		fmt_left(r->why.until - now, left);
		buf_addf(out, ", %s left", left);
	} else if (r->state == STATE_PAUSED) {
		buf_addz(out, "   until ended");
	}
}

static void draw_facts(struct view_site *s, struct canvas *c, struct area a, us_t now)
{
	const struct row *r = s->row ? &s->row->rows[0] : NULL;
	char queued[FMT_SIZE], due_n[FMT_SIZE], eta[FMT_SIZE];
	struct buf b;

	if (s->gone)
		canvas_fmt(c, a.y, a.x + 1, a.w - 2, STYLE_ERROR,
			   "%s is gone: nothing of it waits any more.  Esc goes back", s->name);
	if (!r || s->gone)
		return;
	buf_init(&b);
	buf_addz(&b, rstr_str(r->why.text).p);
	until_text(s, r, now, &b);
	fact(c, a, 0, "why", state_style(r->state), buf_z(&b));
	fact(c, a, 1, "reply", STYLE_TEXT,
	     r->site.last_reply && r->site.last_reply->len ? r->site.last_reply->text : "none yet");
	buf_clear(&b);
	fmt_count((int64_t)r->site.queued, queued);
	fmt_count((int64_t)r->site.due, due_n);
	fmt_left(r->site.eta, eta);
	buf_addf(&b, "%s, %s due, %" PRIu64 " in flight", queued, due_n, r->site.in_flight);
	fmt_per_s((double)r->site.t.rate, eta);
	buf_addf(&b, "   out %s/s on %u connections", eta, r->site.t.connections);
	fmt_left(r->site.eta, eta);
	if (r->site.eta_state == ETA_OK && r->site.queued)
		buf_addf(&b, "   empty in %s", eta);
	else if (r->site.eta_state == ETA_NEVER)
		buf_addz(&b, "   never empty");
	fact(c, a, 2, "queue", STYLE_TEXT, buf_z(&b));
	buf_free(&b);
}

static int pane_rows(const struct view_site *s, enum pane p)
{
	if (p < TABLES)
		return s->tables[p].page ? (int)s->tables[p].page->total : 0;
	return s->texts[p].n;
}

static void draw_text_pane(struct view_site *s, enum pane p, struct canvas *c, struct area a)
{
	struct text_pane *t = &s->texts[p];

	if (t->top > t->n - a.h)
		t->top = t->n - a.h;
	if (t->top < 0)
		t->top = 0;
	for (int i = 0; i < a.h && t->top + i < t->n; i++)
		canvas_z(c, a.y + i, a.x + 2, a.w - 3, STYLE_TEXT, t->lines[t->top + i]);
}

static void draw_pane(struct view_site *s, enum pane p, struct canvas *c, struct area a, us_t now)
{
	bool on = p == s->pane;

	if (a.h < 1)
		return;
	canvas_fmt(c, a.y, a.x + 1, a.w - 2, on ? STYLE_PANE_ON : STYLE_PANE, "%s", pane_names[p]);
	canvas_fmt(c, a.y, a.x + 2 + (int)strlen(pane_names[p]), 12, STYLE_DIM, "%d",
		   pane_rows(s, p));
	a.y++;
	a.h--;
	if (!pane_rows(s, p) && a.h > 0)
		canvas_z(c, a.y, a.x + 2, a.w - 3, STYLE_DIM, pane_empty[p]);
	else if (p < TABLES && a.h > 0)
		table_draw(&s->tables[p], c, a, now, s->view.op->tz, on);
	else
		draw_text_pane(s, p, c, a);
}

static void draw_tabs(const struct view_site *s, struct canvas *c, struct area line)
{
	struct segs tabs;

	segs_start(&tabs);
	for (int p = 0; p < PANES; p++) {
		segs_add(&tabs, p == (int)s->pane ? STYLE_PANE_ON : STYLE_PANE,
			 p == (int)s->pane ? 0 : p + 1, "%s", pane_names[p]);
		segs_glue(&tabs, STYLE_DIM, p == (int)s->pane ? 0 : p + 1, " %d",
			  pane_rows(s, (enum pane)p));
	}
	segs_right(&tabs, STYLE_DIM, 9, "Tab");
	segs_draw(&tabs, c, line.y, line.x + 1, line.w - 2, 2);
}

/* Lines that a pane would like: its heading, for tables the columns', its rows. */
static int wish(const struct view_site *s, enum pane p)
{
	int rows = pane_rows(s, p);

	return 1 + (p < TABLES && rows ? 1 : 0) + (rows ? rows : 1);
}

/* Everybody gets his least, then the pane with the keys, then the others in their order. */
static void share(const struct view_site *s, int room, int *heights)
{
	for (int p = 0; p < PANES; p++) {
		int most = wish(s, (enum pane)p);
		heights[p] = most < (p < TABLES ? 3 : 2) ? most : p < TABLES ? 3 : 2;
		room -= heights[p];
	}
	for (int k = -1; k < PANES && room > 0; k++) {
		int p = k < 0 ? (int)s->pane : k;
		int more = wish(s, (enum pane)p) - heights[p];
		more = more > room ? room : more;
		heights[p] += more;
		room -= more;
	}
}

static void site_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	struct view_site *s = site_of(v);
	int facts = a.h > 8 ? FACT_LINES : a.h > 5 ? 1 : 0, heights[PANES];

	for (int i = 0; i < TABLES; i++)
		table_adopt(&s->tables[i], now);
	if (facts || s->gone)
		draw_facts(s, c, (struct area){ a.y, a.x, facts, a.w }, now);
	a.y += facts;
	a.h -= facts;
	if (a.h < SMALL) {
		enum pane p = s->pane;
		draw_tabs(s, c, (struct area){ a.y, a.x, 1, a.w });
		if (!pane_rows(s, p))
			canvas_z(c, a.y + 1, a.x + 2, a.w - 3, STYLE_DIM, pane_empty[p]);
		else if (p < TABLES)
			table_draw(&s->tables[p], c, (struct area){ a.y + 1, a.x, a.h - 1, a.w },
				   now, v->op->tz, true);
		else
			draw_text_pane(s, p, c, (struct area){ a.y + 1, a.x, a.h - 1, a.w });
		return;
	}
	share(s, a.h, heights);
	for (int p = 0; p < PANES && a.h > 0; p++) {
		int h = heights[p] < a.h ? heights[p] : a.h;
		draw_pane(s, (enum pane)p, c, (struct area){ a.y, a.x, h, a.w }, now);
		a.y += h;
		a.h -= h;
	}
}

static void site_title(struct view *v, struct segs *s, us_t now)
{
	struct view_site *t = site_of(v);
	const struct row *r = t->row ? &t->row->rows[0] : NULL;

	segs_add(s, STYLE_DIM, 0, ">");
	segs_add(s, STYLE_STRONG, 0, "%s", t->name);
	if (r)
		segs_add(s, state_style(r->state), 1, "%s",
			 row_state_name((enum row_state)r->state));
	if (r && r->site.stale_mx)
		segs_add(s, STYLE_BACK, 4, "MX from before: the DNS fails");
	if (t->pane < TABLES)
		table_title(&t->tables[t->pane], s, now);
}

/* ---- keys ---- */

static void site_move(struct view *v, enum move m, int n, us_t now)
{
	struct view_site *s = site_of(v);
	struct text_pane *t = &s->texts[s->pane];

	if (s->pane < TABLES)
		table_move_by(&s->tables[s->pane], m, n, now);
	else
		t->top = m == MOVE_HOME	 ? 0
			 : m == MOVE_END ? TEXT_PANE_LINES
					 : t->top + n * (m == MOVE_LINES ? 1 : 5);
}

static void site_tab(struct view *v, int direction)
{
	struct view_site *s = site_of(v);

	if (s->pane < TABLES)
		table_untag(&s->tables[s->pane]);
	s->pane = (enum pane)(((int)s->pane + direction + PANES) % PANES);
}

static struct table *site_table(struct view *v)
{
	struct view_site *s = site_of(v);

	return s->pane < TABLES ? &s->tables[s->pane] : NULL;
}

static void site_enter(struct view *v)
{
	struct view_site *s = site_of(v);
	struct table *t;
	const struct row *r = s->pane < TABLES ? act_row(v->op, &t) : NULL;
	struct buf target;

	if (s->pane >= TABLES) {
		operator_echo(v->op, STYLE_ECHO, "L shows all of it in the log");
		return;
	}
	if (!r)
		return;
	buf_init(&target);
	if (s->pane == PANE_QUEUES) {
		target_of(LIST_QUEUES, rstr_str(r->name), &target);
		operator_push(v->op, view_messages_new(v->op, buf_str(&target)));
	} else {
		buf_addz(&target, "lane ");
		quote_word(&target, rstr_str(r->name));
		operator_push(v->op, view_text_command(v->op, t->cursor_name, buf_str(&target)));
	}
	buf_free(&target);
}

static const char *site_filter(struct view *v)
{
	struct table *t = site_table(v);

	return t ? t->filter : "";
}

static bool site_set_filter(struct view *v, struct str what)
{
	struct view_site *s = site_of(v);
	struct table *t = site_table(v);

	if (!t) {
		operator_echo(v->op, STYLE_ERROR, "only lanes and queues are filtered");
		return false;
	}
	table_set_filter(t, what);
	s->waiting[s->pane] = 0;
	return true;
}

static const struct view_ops site_ops = {
	.kind = IN_SITE,
	.name = "Site",
	.free = site_free,
	.poll = site_poll,
	.answer = site_answer,
	.draw = site_draw,
	.title = site_title,
	.move = site_move,
	.enter = site_enter,
	.tab = site_tab,
	.table = site_table,
	.filter = site_filter,
	.set_filter = site_set_filter,
};

struct view *view_site_new(struct oper *op, const struct row *site)
{
	struct view_site *s = calloc(1, sizeof *s);
	struct str name = rstr_str(site->name);

	if (!s)
		return NULL;
	s->view = (struct view){ .ops = &site_ops, .op = op, .serial = ++op->next_serial };
	s->id = site->id;
	snprintf(s->name, sizeof s->name, "%.*s", (int)name.n, name.p);
	table_init_view(&s->tables[PANE_LANES], LIST_LANES);
	table_init_view(&s->tables[PANE_QUEUES], LIST_QUEUES);
	s->tables[PANE_LANES].site = s->tables[PANE_QUEUES].site = s->id;
	return &s->view;
}
