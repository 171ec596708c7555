/* message/delivery-status (RFC 3464), read with tolerance: fields in any case and order, missing
 * blank lines, missing address types, comments. */
#include "core/feedback/report_inner.h"

enum { GROUPS_MAX = 400 };

struct status_reader {
	struct reading *q;
	struct report_rcpt *p; /* the recipient being read */
	struct str original, final;
	bool blank; /* an empty line came since its last field */
	bool any;
};

static const struct {
	const char *word;
	enum report_action action;
} actions[] = {
	{ "fail", ACTION_FAILED },     { "undeliver", ACTION_FAILED },	{ "reject", ACTION_FAILED },
	{ "delay", ACTION_DELAYED },   { "deliver", ACTION_DELIVERED }, { "relay", ACTION_RELAYED },
	{ "expand", ACTION_EXPANDED }, { "success", ACTION_DELIVERED },
};

static enum report_action action_of(struct str v)
{
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
		if (str_istarts(v, actions[i].word))
			return actions[i].action;
	return ACTION_NONE;
}

/* Without an Action the class of the status says it. */
static enum report_action action_by_status(const struct report_rcpt *p)
{
	switch (p->status[0]) {
	case '5':
		return ACTION_FAILED;
	case '4':
		return ACTION_DELAYED;
	case '2':
		return ACTION_DELIVERED;
	default:
		return report_basic(p->diagnostic) >= 500 ? ACTION_FAILED : ACTION_NONE;
	}
}

/* Original-Recipient is whom we sent to; Final-Recipient is where that led. */
static void end_recipient(struct status_reader *s)
{
	struct report_rcpt *p = s->p;

	if (!p)
		return;
	p->address = s->original.n ? s->original : s->final;
	if (s->original.n && s->final.n && !str_ieq(s->original, s->final))
		p->final = s->final;
	if (p->action == ACTION_NONE)
		p->action = action_by_status(p);
	report_settle_status(p);
	s->p = NULL;
	s->original = s->final = (struct str){ "", 0 };
}

static void begin_recipient(struct status_reader *s)
{
	end_recipient(s);
	s->p = report_add(s->q, (struct str){ "", 0 });
	s->any = true;
}

static struct str behind_type(struct reading *q, struct str v)
{
	const char *semi;

	v = mime_unfold(&q->m, v);
	semi = v.n ? memchr(v.p, ';', v.n) : NULL;
	return semi && semi - v.p < 20 ? str_trim(str_mem(semi + 1, v.n - (size_t)(semi + 1 - v.p)))
				       : v;
}

static void on_original(struct status_reader *s, struct str v)
{
	struct str a = report_address(s->q, v);

	if (!s->p || s->original.n || (s->final.n && s->blank))
		begin_recipient(s);
	if (a.n)
		s->original = a;
}

static void on_final(struct status_reader *s, struct str v)
{
	if (!s->p || s->final.n || (s->p->action != ACTION_NONE && s->blank))
		begin_recipient(s);
	s->final = report_address(s->q, v);
}

static void on_action(struct status_reader *s, struct str v)
{
	if (!s->p || s->p->action != ACTION_NONE) /* Exim's first field of a recipient */
		begin_recipient(s);
	if (s->p)
		s->p->action = action_of(str_trim(v));
}

static void on_status(struct status_reader *s, struct str v)
{
	if (!s->p)
		begin_recipient(s);
	if (s->p && !*s->p->status)
		report_enhanced(v, s->p->status);
}

static void on_diagnostic(struct status_reader *s, struct str v)
{
	struct str d = report_line(s->q, behind_type(s->q, v));

	if (s->p && d.n > s->p->diagnostic.n)
		s->p->diagnostic = d;
}

static void on_remote(struct status_reader *s, struct str v)
{
	if (s->p && !s->p->remote_mta.n)
		s->p->remote_mta = report_line(s->q, behind_type(s->q, v));
}

static void on_reporting(struct status_reader *s, struct str v)
{
	s->any = true;
	if (!s->q->r->reporting_mta.n)
		s->q->r->reporting_mta = report_line(s->q, behind_type(s->q, v));
}

static void on_envid(struct status_reader *s, struct str v)
{
	if (!s->q->r->envid.n)
		s->q->r->envid = report_line(s->q, v);
}

static const struct {
	const char *name;
	void (*take)(struct status_reader *s, struct str v);
} fields[] = {
	{ "Original-Recipient", on_original },
	{ "Final-Recipient", on_final },
	{ "Action", on_action },
	{ "Status", on_status },
	{ "Diagnostic-Code", on_diagnostic },
	{ "Remote-MTA", on_remote },
	{ "Reporting-MTA", on_reporting },
	{ "Original-Envelope-Id", on_envid },
};

static void read_group(struct status_reader *s, const struct mime_head *h)
{
	for (int i = 0; i < h->n; i++)
		for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
			if (str_ieqz(h->fields[i].name, fields[k].name)) {
				fields[k].take(s, h->fields[i].value);
				s->blank = false;
			}
}

/* A report that names nobody in its fields: the header of a server that says it elsewhere, else the
 * mail that came back, if it went to one only. */
static void find_nameless(struct reading *q)
{
	struct report_rcpt *nameless = NULL;
	bool only = false;
	struct str a;

	for (int i = 0; i < q->r->nrcpts; i++)
		if (!q->r->rcpts[i].address.n) {
			if (nameless)
				return;
			nameless = &q->r->rcpts[i];
		}
	if (!nameless)
		return;
	a = report_mailbox(q, mime_field(&q->m, &q->m.parts[0].head, "X-Failed-Recipients"), &only);
	nameless->address = a.n && only ? a : report_returned_to(q);
}

bool report_read_status(struct reading *q)
{
	struct status_reader s = { .q = q };
	struct str rest = q->status ? mime_text(&q->m, q->status) : (struct str){ "", 0 };
	struct mime_head h;

	for (int i = 0; i < GROUPS_MAX && rest.n; i++) {
		while (rest.n && (rest.p[0] == '\n' || rest.p[0] == ' ' || rest.p[0] == '\t'))
			rest = str_mem(rest.p + 1, rest.n - 1);
		mime_head_read(&q->m, rest, true, &h, &rest);
		if (!h.fields)
			break;
		read_group(&s, &h);
		s.blank = true;
	}
	end_recipient(&s);
	find_nameless(q);
	return s.any;
}
