#include "core/feedback/report_inner.h"

#include <stdlib.h>

enum { TEXT_BYTES = 64 * 1024, TEXT_PARTS = 4 };

static const struct str nothing = { "", 0 };

static const char *const kinds[] = {
	[REPORT_BOUNCE] = "bounce",	[REPORT_DELAYED] = "delayed", [REPORT_SUCCESS] = "success",
	[REPORT_FEEDBACK] = "feedback", [REPORT_OTHER] = "other",
};
const char *report_kind_name(enum report_kind k)
{
	return kinds[k];
}

static const char *const action_names[] = {
	[ACTION_NONE] = "",
	[ACTION_FAILED] = "failed",
	[ACTION_DELAYED] = "delayed",
	[ACTION_DELIVERED] = "delivered",
	[ACTION_RELAYED] = "relayed",
	[ACTION_EXPANDED] = "expanded",
	[ACTION_COMPLAINT] = "complaint",
};
const char *report_action_name(enum report_action a)
{
	return action_names[a];
}

/* ---- what the header says ---- */

static bool is_answer(struct str subject)
{
	static const char *const marks[] = { "re:", "fw:", "fwd:", "aw:",  "wg:",   "tr:", "antw:",
					     "sv:", "rv:", "r:",   "odp:", "回复:", "re[" };

	for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
		if (str_istarts(subject, marks[i]))
			return true;
	return false;
}

static void read_hints(struct reading *q)
{
	const struct mime_head *h = &q->m.parts[0].head;
	struct report_hints *x = &q->hints;
	struct str from = mime_lower(&q->m, mime_decode_words(&q->m, mime_field(&q->m, h, "From")));
	struct str path = mime_field(&q->m, h, "Return-Path");
	bool only;

	x->from = report_mailbox(q, from, &only);
	x->daemon = report_is_daemon(x->from) || str_istarts(from, "mailer-daemon") ||
		    (from.n && (memmem(from.p, from.n, "mail delivery s", 15) ||
				memmem(from.p, from.n, "system administrator", 20) ||
				memmem(from.p, from.n, "mailer-daemon", 13)));
	x->null_path = str_eqz(path, "<>");
	x->subject = mime_lower(&q->m, mime_decode_words(&q->m, mime_field(&q->m, h, "Subject")));
	x->bounce_subject = report_words(WORDS_SUBJECT_FAILED, x->subject) != NULL;
	x->auto_subject = report_words(WORDS_SUBJECT_AUTO, x->subject);
	x->auto_headers = mime_has_field(h, "X-Autoreply") || mime_has_field(h, "X-Autorespond") ||
			  mime_has_field(h, "X-Autoresponse") ||
			  str_istarts(mime_field(&q->m, h, "Precedence"), "auto");
	x->answered = is_answer(x->subject);
	x->bulk = mime_has_field(h, "List-Id") || mime_has_field(h, "List-Unsubscribe") ||
		  mime_has_field(h, "List-Post");
	q->r->to = report_mailbox(q, mime_field(&q->m, h, "To"), &only);
}

/* ---- what the parts are ---- */

static const struct {
	const char *type;
	size_t slot;
} by_type[] = {
	{ "message/delivery-status", offsetof(struct reading, status) },
	{ "message/global-delivery-status", offsetof(struct reading, status) },
	{ "message/feedback-report", offsetof(struct reading, feedback) },
	{ "message/disposition-notification", offsetof(struct reading, receipt) },
	{ "message/global-disposition-notification", offsetof(struct reading, receipt) },
	{ "application/tlsrpt", offsetof(struct reading, tlsrpt) },
};
/* In a multipart/report a part may be called text/plain and be one of them. */
static const struct {
	const char *start;
	size_t slot;
} by_start[] = {
	{ "Reporting-MTA:", offsetof(struct reading, status) },
	{ "Final-Recipient:", offsetof(struct reading, status) },
	{ "Original-Recipient:", offsetof(struct reading, status) },
	{ "Feedback-Type:", offsetof(struct reading, feedback) },
};

static void set_slot(struct reading *q, size_t slot, const struct mime_part *p)
{
	const struct mime_part **to = (const struct mime_part **)(void *)((char *)q + slot);

	if (!*to)
		*to = p;
}

static void find_parts(struct reading *q)
{
	for (int i = 0; i < q->m.n; i++) {
		const struct mime_part *p = &q->m.parts[i];
		bool report = i && str_eqz(q->m.parts[p->parent].type, "multipart/report");

		if (p->multipart)
			continue;
		for (size_t k = 0; k < sizeof by_type / sizeof *by_type; k++)
			if (str_istarts(p->type, by_type[k].type))
				set_slot(q, by_type[k].slot, p);
		for (size_t k = 0; report && k < sizeof by_start / sizeof *by_start; k++)
			if (str_istarts(mime_bytes(&q->m, p), by_start[k].start))
				set_slot(q, by_start[k].slot, p);
	}
}

/* ---- the mail that it is about ---- */

static const char *const returned_types[] = { "message/rfc822", "text/rfc822-headers",
					      "message/rfc822-headers", "message/global" };

static void set_returned(struct reading *q, struct str text)
{
	const struct mime_head *h = &q->returned;
	struct report *r = q->r;
	struct str rest, id;

	while (text.n && (text.p[0] == '\n' || text.p[0] == ' '))
		text = str_mem(text.p + 1, text.n - 1);
	mime_head_read(&q->m, text, false, &q->returned, &rest);
	id = mime_field(&q->m, h, "Message-ID");
	if (id.n > 2 && id.p[0] == '<' && id.p[id.n - 1] == '>')
		id = str_mem(id.p + 1, id.n - 2);
	r->message_id = report_line(q, id);
	r->return_path = report_address(q, mime_field(&q->m, h, "Return-Path"));
	r->ref = report_line(q, mime_field(&q->m, h, "X-Stoker-Ref"));
}

static void find_returned(struct reading *q)
{
	for (int i = 1; i < q->m.n && !q->returned.n; i++)
		for (size_t k = 0; k < sizeof returned_types / sizeof *returned_types; k++)
			if (str_istarts(q->m.parts[i].type, returned_types[k]) &&
			    !memmem(q->m.parts[i].type.p, q->m.parts[i].type.n, "status", 6)) {
				set_returned(q, mime_text(&q->m, &q->m.parts[i]));
				break;
			}
}

/* ---- its words ---- */

static const char *const copy_marks[] = { "--- below this line is a copy",
					  "--- below the next line is a copy",
					  "------ this is a copy of",
					  "------ this is a copy",
					  "----- original message",
					  "-----original message",
					  "--- original message",
					  "--- enclosed is a copy",
					  "----- message header",
					  "--- message header follows",
					  "--- unsent message follows",
					  "----- unsent message",
					  "--- the header of the original",
					  "--- returned message",
					  "|------------------------- message text follows",
					  "--- begin message",
					  "begin original message",
					  "original message headers",
					  "original message header",
					  "---------- forwarded message",
					  "message headers follow",
					  "-----ursprungliche",
					  "------ copy of the message",
					  "------ dies ist eine kopie",
					  "----- message d'origine",
					  "--- here is a copy",
					  "____________________________original",
					  "-----urspr\xc3\xbcngliche nachricht",
					  "----- transcript of message follows" };
static const char *const header_names[] = {
	"Received:",	 "Return-Path:",    "From:",	    "To:",
	"Subject:",	 "Message-ID:",	    "Date:",	    "MIME-Version:",
	"Delivered-To:", "DKIM-Signature:", "X-Stoker-Ref:"
};

static bool is_copy_mark(struct str line)
{
	struct str s = str_trim(line);

	for (size_t i = 0; i < sizeof copy_marks / sizeof *copy_marks; i++)
		if (str_istarts(s, copy_marks[i]))
			return true;
	return false;
}

static bool is_header_line(struct str line)
{
	for (size_t i = 0; i < sizeof header_names / sizeof *header_names; i++)
		if (str_istarts(line, header_names[i]))
			return true;
	return false;
}

/* Cuts the text where the returned mail begins, at a mark or at two header lines in a row that
 * begin with Received or Return-Path; its header is kept if no part of its own had one. */
static struct str up_to_copy(struct reading *q, struct str text)
{
	struct str rest = text, line;
	size_t end = text.n;
	bool marked = false;

	while (rest.n) {
		const char *from = rest.p;
		str_split(&rest, '\n', &line);
		bool header = is_header_line(line);

		if (!marked && is_copy_mark(line)) {
			marked = true;
			end = (size_t)(from - text.p);
		} else if (header &&
			   (marked || str_istarts(line, "Received:") ||
			    str_istarts(line, "Return-Path:")) &&
			   rest.n &&
			   (is_header_line(rest) || rest.p[0] == ' ' || rest.p[0] == '\t')) {
			if (!q->returned.n)
				set_returned(q, str_mem(from, text.n - (size_t)(from - text.p)));
			end = marked ? end : (size_t)(from - text.p);
			break;
		}
	}
	return str_mem(text.p, end);
}

static struct str words_of(struct reading *q, bool html)
{
	struct str text;
	char *p = mime_alloc(&q->m, TEXT_BYTES);
	size_t n = 0;
	int found = 0;

	for (int i = 0; p && i < q->m.n && found < TEXT_PARTS; i++) {
		const struct mime_part *part = &q->m.parts[i];

		if (part->multipart || part->attachment ||
		    !str_eqz(part->type, html ? "text/html" : "text/plain") || part == q->status ||
		    part == q->feedback)
			continue;
		text = mime_text(&q->m, part);
		text = html ? mime_html_text(&q->m, text) : text;
		text.n = text.n < TEXT_BYTES - 1 - n ? text.n : TEXT_BYTES - 1 - n;
		memcpy(p + n, text.p, text.n);
		n += text.n;
		p[n++] = '\n';
		found++;
		if (n >= TEXT_BYTES)
			break;
	}
	return p ? str_mem(p, n) : nothing;
}

static void find_words(struct reading *q)
{
	struct str text = words_of(q, false);

	if (str_trim(text).n < 3 || !memchr(text.p, ' ', text.n))
		text = words_of(q, true);
	q->text = up_to_copy(q, text);
	q->lower = mime_lower(&q->m, q->text);
	size_t n = 0;
	char *p = (char *)(uintptr_t)q->lower.p; /* our own copy */
	for (size_t i = 0; i < q->lower.n; i++) {
		bool blank = (unsigned char)p[i] <= ' ';
		if (!blank || (n && p[n - 1] != ' '))
			p[n++] = blank ? ' ' : p[i];
	}
	q->lower.n = n;
}

/* ---- the decision ---- */

static bool says(struct str s, const char *words)
{
	return s.n && memmem(s.p, s.n, words, strlen(words));
}

/* RFC 7489 7.2.1.1: the subject, and a file named receiver!domain!from!to. */
static bool is_dmarc(struct reading *q)
{
	if (says(q->hints.subject, "report domain:"))
		return true;
	for (int i = 0; i < q->m.n; i++) {
		struct str v = mime_field(&q->m, &q->m.parts[i].head, "Content-Disposition");
		struct str name = mime_param(&q->m, v, "filename"), word;
		int marks = 0;

		while (str_split(&name, '!', &word))
			marks++;
		if (marks >= 4)
			return true;
	}
	return false;
}

static enum report_kind by_actions(const struct report *r)
{
	bool late = false, done = false;

	for (int i = 0; i < r->nrcpts; i++) {
		if (r->rcpts[i].action == ACTION_FAILED)
			return REPORT_BOUNCE;
		late = late || r->rcpts[i].action == ACTION_DELAYED;
		done = done || (r->rcpts[i].action >= ACTION_DELIVERED);
	}
	return late ? REPORT_DELAYED : done ? REPORT_SUCCESS : REPORT_OTHER;
}

static void decide(struct reading *q)
{
	struct report *r = q->r;

	r->kind = REPORT_OTHER;
	if (report_read_feedback(q)) {
		r->kind = REPORT_FEEDBACK;
		return;
	}
	if (q->status && report_read_status(q)) {
		r->rule = "rfc3464";
		report_words_of_status(q);
		r->kind = by_actions(r);
		if (r->kind != REPORT_OTHER)
			return;
		r->nrcpts = 0;
	}
	if (q->receipt)
		r->rule = "receipt";
	else if (q->tlsrpt || says(q->m.parts[0].type, "tlsrpt"))
		r->rule = "tls-report";
	else if (is_dmarc(q))
		r->rule = "dmarc-report";
	else if (!report_read_text(q))
		r->rule = q->hints.auto_subject || q->hints.auto_headers ? "auto-reply" : "mail";
}

/* The status part is read before the words: a feedback report may have none. */
bool report_read(struct str message, struct arena *mem, struct report *out)
{
	struct reading *q = arena_alloc(mem, sizeof *q);

	*out = (struct report){ .kind = REPORT_OTHER,
				.rule = "mail",
				.envid = nothing,
				.message_id = nothing,
				.reporting_mta = nothing,
				.feedback_type = nothing,
				.user_agent = nothing,
				.source_ip = nothing,
				.return_path = nothing,
				.ref = nothing,
				.to = nothing };
	if (!q)
		return false;
	q->r = out;
	if (!mime_read(message, mem, &q->m))
		return false;
	read_hints(q);
	find_parts(q);
	find_returned(q);
	find_words(q);
	decide(q);
	out->cut = out->cut || q->m.cut;
	return true;
}
