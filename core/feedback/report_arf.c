/* Feedback reports: message/feedback-report (RFC 5965) and Hotmail's older form without it. */
#include "core/feedback/report_inner.h"

/* What a person meant by it: no more of this. not-spam, auth-failure (RFC 6591), virus and other
 * don't say so. */
static const char *const complaints[] = { "abuse",	  "fraud",     "opt-out",
					  "opt-out-list", "complaint", "unsubscribe" };

static void set_type(struct reading *q, struct str type)
{
	q->r->feedback_type = mime_lower(&q->m, report_line(q, type));
	for (size_t i = 0; i < sizeof complaints / sizeof *complaints; i++)
		if (str_eqz(q->r->feedback_type, complaints[i]))
			q->r->complaint = true;
}

static void add(struct reading *q, struct str address)
{
	struct report_rcpt *p;

	if (!address.n || report_redacted(address))
		return;
	p = report_add(q, address);
	if (p)
		p->action = q->r->complaint ? ACTION_COMPLAINT : ACTION_NONE;
}

/* "user=example.net" out of a return path such as bounce+1.abc=user=example.net@sender.example:
 * what stands before the last "=" back to the nearest separator. */
static struct str by_return_path(struct reading *q, struct str path)
{
	const char *at = path.n ? memrchr(path.p, '@', path.n) : NULL;
	size_t n = at ? (size_t)(at - path.p) : 0, i = 0;
	const char *eq = n ? memrchr(path.p, '=', n) : NULL;
	char *p;

	if (!eq)
		return (struct str){ "", 0 };
	for (size_t k = 0; k < (size_t)(eq - path.p); k++)
		if (strchr("=+-", path.p[k]))
			i = k + 1;
	p = mime_alloc(&q->m, n - i);
	if (!p)
		return (struct str){ "", 0 };
	memcpy(p, path.p + i, n - i);
	p[(size_t)(eq - path.p) - i] = '@';
	return report_address(q, str_mem(p, n - i));
}

static void find_recipient(struct reading *q)
{
	struct str a = report_returned_to(q);

	if (!q->r->nrcpts)
		add(q, mime_field(&q->m, &q->returned, "X-HmXmrOriginalRecipient").n
			   ? a
			   : by_return_path(q, q->r->return_path));
	if (!q->r->nrcpts)
		add(q, a);
}

static void read_fields(struct reading *q, const struct mime_head *h)
{
	static const char *const rcpts[] = { "Original-Rcpt-To", "Removal-Recipient" };
	struct report *r = q->r;
	struct str mta = mime_field(&q->m, h, "Reporting-MTA"), path;
	const char *semi = mta.n ? memchr(mta.p, ';', mta.n) : NULL;

	set_type(q, mime_field(&q->m, h, "Feedback-Type"));
	r->user_agent = report_line(q, mime_field(&q->m, h, "User-Agent"));
	r->source_ip = report_line(q, mime_field(&q->m, h, "Source-IP"));
	r->envid = report_line(q, mime_field(&q->m, h, "Original-Envelope-Id"));
	r->reporting_mta =
	    report_line(q, semi ? str_mem(semi + 1, mta.n - (size_t)(semi + 1 - mta.p)) : mta);
	path = report_address(q, mime_field(&q->m, h, "Original-Mail-From"));
	if (path.n)
		r->return_path = path;
	for (size_t k = 0; k < sizeof rcpts / sizeof *rcpts; k++)
		for (int i = 0; i < h->n; i++)
			if (str_ieqz(h->fields[i].name, rcpts[k]))
				add(q, report_address(q, h->fields[i].value));
}

/* staff@hotmail.com sends the mail itself with a header of theirs in it. */
static bool read_jmrp(struct reading *q)
{
	const struct report_hints *h = &q->hints;
	bool theirs = mime_has_field(&q->returned, "X-HmXmrOriginalRecipient");
	bool says =
	    h->subject.n && memmem(h->subject.p, h->subject.n, "complaint about message from", 28);

	if (!theirs && !(says && q->returned.n && str_istarts(h->from, "staff@")))
		return false;
	q->r->rule = "jmrp";
	set_type(q, STR_LIT("abuse"));
	find_recipient(q);
	return true;
}

bool report_read_feedback(struct reading *q)
{
	struct mime_head h;
	struct str rest;

	if (!q->feedback)
		return read_jmrp(q);
	rest = mime_text(&q->m, q->feedback);
	while (rest.n && rest.p[0] == '\n')
		rest = str_mem(rest.p + 1, rest.n - 1);
	mime_head_read(&q->m, rest, true, &h, &rest);
	if (!mime_has_field(&h, "Feedback-Type"))
		return false;
	q->r->rule = "arf";
	read_fields(q, &h);
	find_recipient(q);
	return true;
}
