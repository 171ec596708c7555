/* Keys that look elsewhere: settings, log and messages of a row, alarms, copy. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tui/acts.h"
#include "tui/keymap.h"

enum { LOG_QUEUES = 30 };

/* A site is no domain: its settings are those of one of its queues; that is said. */
void look_settings(struct oper *op, int arg)
{
	struct table *t;
	const struct row *r = act_row(op, &t);
	struct buf line;
	char title[TABLE_NAME + 16];

	(void)arg;
	if (!r)
		return;
	buf_init(&line);
	if (r->kind == ROW_QUEUE) {
		buf_addz(&line, "settings ");
		quote_word(&line, rstr_str(r->queue.domain));
		if (r->queue.route && r->queue.route->len) {
			buf_addz(&line, " via ");
			quote_word(&line, rstr_str(r->queue.route));
		}
	} else if (r->kind == ROW_SITE) {
		operator_echo(op, STYLE_ECHO,
			      "settings belong to domains: Enter, then e on one of its queues");
	} else if (r->kind == ROW_LANE) {
		operator_echo(op, STYLE_ECHO,
			      "a lane takes its settings from its domains: Tab, then e on a queue");
	} else {
		operator_echo(op, STYLE_ECHO, "settings belong to domains; :settings DOMAIN via %s",
			      t->cursor_name);
	}
	if (line.n) {
		snprintf(title, sizeof title, "settings of %s", t->cursor_name);
		operator_push(op, view_text_command(op, title, buf_str(&line)));
	}
	buf_free(&line);
}

/* The rest of the receivers together is no site's name. */
static void site_term(struct str provider, struct buf *out)
{
	if (str_eqz(provider, "(other)"))
		return;
	buf_addz(out, "site:");
	quote_word(out, provider);
	buf_addc(out, ' ');
}

/* A complaint names no receiver. */
static void feedback_filter(const struct row *r, struct buf *out)
{
	if (str_eqz(rstr_str(r->feedback.category), "complaint")) {
		buf_addz(out, "type:complaint");
		return;
	}
	site_term(rstr_str(r->feedback.provider), out);
	buf_addz(out, "category:");
	quote_word(out, rstr_str(r->feedback.category));
}

static void reputation_filter(const struct row *r, struct buf *out)
{
	static const char *const fields[REPUTATION_KINDS] = { "site:", "virtual_mta:", "job:" };

	if (str_eqz(rstr_str(r->reputation.of), "(other)")) {
		buf_addz(out, "type:bounced");
		return;
	}
	buf_addz(out, fields[r->reputation.what]);
	quote_word(out, rstr_str(r->reputation.of));
}

/* The filter that finds a row's mail in the log. */
static void log_filter(const struct table *t, const struct row *r, struct buf *out)
{
	if (t->list == LIST_SOURCES)
		buf_addf(out, "virtual_mta:%s", t->cursor_name);
	else if (t->list == LIST_LANES)
		buf_addf(out, "virtual_mta:%s", rstr_str(r->lane.vmta).p);
	else if (t->list == LIST_QUEUES)
		buf_addf(out, "queue:%s", t->cursor_name);
	else if (t->list == LIST_JOBS)
		buf_addz(out, "job:");
	if (t->list == LIST_JOBS)
		quote_word(out, rstr_str(r->name));
	if (t->list == LIST_FEEDBACK)
		feedback_filter(r, out);
	if (t->list == LIST_REPUTATION)
		reputation_filter(r, out);
}

static void ask_queues(struct oper *op, uint64_t site)
{
	struct link_request *q = link_request_make(LINK_QUERY, STR_LIT(""));

	if (!q)
		return;
	q->sort = rstr_new(STR_LIT(""));
	q->q.list = LIST_QUEUES;
	q->q.site = site;
	q->q.limit = LOG_QUEUES;
	operator_ask(op, q, 0, ASK_LOG);
}

void look_log(struct oper *op, int arg)
{
	struct table *t;
	const struct row *r = act_row(op, &t);
	struct buf filter;
	struct view *v;

	(void)arg;
	if (!r)
		return;
	/* An event that began before its site was known has only its queue: first the queues. */
	if (t->list == LIST_SITES || t->list == LIST_LANES) {
		struct str name = rstr_str(t->list == LIST_LANES ? r->lane.site_name : r->name);
		snprintf(op->log_of, sizeof op->log_of, "%.*s", (int)name.n, name.p);
		snprintf(op->log_vmta, sizeof op->log_vmta, "%s",
			 t->list == LIST_LANES ? rstr_str(r->lane.vmta).p : "");
		ask_queues(op, t->list == LIST_LANES ? r->lane.site : r->id);
		return;
	}
	v = view_log_new(op);
	buf_init(&filter);
	log_filter(t, r, &filter);
	if (operator_push(op, v)) {
		v->ops->set_filter(v, buf_str(&filter));
		operator_poll(op);
	}
	buf_free(&filter);
}

/* The queues of a site are known: its log. */
void log_answer_queues(struct oper *op, struct link_answer *a)
{
	const struct page *p = a->page;
	char name[TABLE_NAME + 64];
	struct buf filter;
	struct view *v;

	if (!p || !p->nrows) {
		operator_echo(op, STYLE_ECHO, "%s has no queue now; 3 and / search the whole log",
			      op->log_of);
		return;
	}
	buf_init(&filter);
	if (op->log_vmta[0])
		buf_addf(&filter, "virtual_mta:%s ", op->log_vmta);
	buf_addz(&filter, "queue:");
	for (int i = 0; i < p->nrows; i++)
		buf_addf(&filter, "%s%s", i ? "|" : "", rstr_str(p->rows[i].name).p);
	if (p->total > p->nrows)
		snprintf(name, sizeof name, "%s (%d of its %lld queues)", op->log_of, p->nrows,
			 (long long)p->total);
	else
		snprintf(name, sizeof name, "%s%s%s", op->log_of, op->log_vmta[0] ? "@" : "",
			 op->log_vmta);
	v = view_log_new(op);
	if (operator_push(op, v)) {
		view_log_of(v, name, buf_str(&filter));
		operator_poll(op);
	}
	buf_free(&filter);
}

void look_messages(struct oper *op, int arg)
{
	struct table *t;
	const struct row *r = act_row(op, &t);
	struct buf target;

	(void)arg;
	if (!r)
		return;
	if (t->list == LIST_LANES) {
		operator_echo(op, STYLE_ECHO,
			      "messages wait in queues, not in lanes: Tab, then m on a queue");
		return;
	}
	buf_init(&target);
	target_of(t->list, rstr_str(r->name), &target);
	operator_push(op, view_messages_new(op, buf_str(&target)));
	buf_free(&target);
}

static void base64(struct str s, struct buf *out)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t v = 0;
		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (i + k < s.n ? (uint8_t)s.p[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			buf_addc(out, k <= s.n - i ? digits[v >> (18 - 6 * k) & 63] : '=');
	}
}

void look_copy(struct oper *op, int arg)
{
	struct view *v = operator_view(op);
	struct table *t = v->ops->table ? v->ops->table(v) : NULL;
	struct buf b;

	(void)arg;
	if (!t || !t->cursor_name[0]) {
		operator_echo(op, STYLE_ERROR, "nothing stands under the cursor");
		return;
	}
	buf_init(&b);
	buf_addz(&b, "\x1b]52;c;");
	base64(str_of(t->cursor_name), &b);
	buf_addz(&b, "\a");
	if (b.n < sizeof op->copy)
		snprintf(op->copy, sizeof op->copy, "%s", buf_z(&b));
	buf_free(&b);
	operator_echo(op, STYLE_GOOD, "copied %s", t->cursor_name);
}

/* ---- alarms ---- */

void act_alarm(struct oper *op, int arg)
{
	struct link_request *r = link_request_make(LINK_QUERY, STR_LIT(""));

	(void)arg;
	if (!r)
		return;
	r->q.list = LIST_ALARMS;
	r->q.limit = 100;
	r->sort = rstr_new(STR_LIT(""));
	operator_ask(op, r, 0, ASK_ALARM);
}

/* Where an alarm's target is looked at. */
static void go_there(struct oper *op, struct str target)
{
	enum root root = ROOT_QUEUES;
	struct view *v;

	if (str_istarts(target, "vmta:")) {
		root = ROOT_SOURCES;
		target = (struct str){ target.p + 5, target.n - 5 };
	} else if (str_istarts(target, "job:")) {
		root = ROOT_JOBS;
		target = (struct str){ target.p + 4, target.n - 4 };
	} else if (target.n && target.p[0] == '@') {
		target = (struct str){ target.p + 1, target.n - 1 };
	} else if (!target.n || memchr(target.p, '/', target.n) ||
		   !memchr(target.p, '.', target.n)) {
		operator_go(
		    op, ROOT_ALARMS); /* of the machine or the whole: the list says all there is */
		return;
	}
	operator_go(op, root);
	v = operator_view(op);
	v->ops->set_filter(v, target);
	operator_poll(op);
}

/* The alarms that are not over, in the list's order: the one behind the last that was shown. */
static const struct row *next_alarm(const struct page *p, uint64_t shown, int *nth, int *all)
{
	const struct row *first = NULL, *next = NULL;
	bool behind = false;

	*all = *nth = 0;
	for (int i = 0; p && i < p->nrows; i++) {
		const struct row *r = &p->rows[i];
		if (r->alarm.gone)
			continue;
		++*all;
		first = first ? first : r;
		if (behind && !next) {
			next = r;
			*nth = *all;
		}
		behind = behind || r->alarm.number == shown;
	}
	if (!next)
		*nth = 1;
	return next ? next : first;
}

void alarm_answer(struct oper *op, struct link_answer *a)
{
	int nth, all;
	const struct row *r = next_alarm(a->page, op->alarm_shown, &nth, &all);

	if (!r) {
		operator_echo(op, STYLE_GOOD, "no alarms");
		return;
	}
	op->alarm_shown = r->alarm.number;
	go_there(op, rstr_str(r->alarm.target));
	operator_echo(
	    op, r->alarm.severity <= 1 ? STYLE_ERROR : STYLE_BACK, "alarm %d of %d%s: %s%s%s", nth,
	    all, r->alarm.acked ? " (acknowledged)" : " (A acknowledges)",
	    rstr_str(r->alarm.target).p, r->alarm.target && r->alarm.target->len ? ": " : "",
	    rstr_str(r->alarm.text).p);
}

void act_ack_key(struct oper *op, int arg)
{
	struct view *v = operator_view(op);
	const struct row *r = v->ops->kind == IN_ALARMS ? table_row(v->ops->table(v)) : NULL;
	uint64_t number = r ? r->alarm.number : op->alarm_shown;

	(void)arg;
	if (!operator_may_act(op))
		return;
	if (!number) {
		operator_echo(op, STYLE_ERROR, "! shows an alarm first, then A acknowledges it");
		return;
	}
	snprintf(op->prompt.note_command, sizeof op->prompt.note_command, "ack %" PRIu64, number);
	prompt_open(op, PROMPT_NOTE, "");
}
