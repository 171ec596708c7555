/* Bounces that are only words: qmail's form, Exim, older Exchange, Gmail, and any other, in many
 * languages. First it is weighed whether this is a bounce at all; then the addresses in it are
 * ranked by where they stand. */
#include "core/feedback/report_inner.h"

enum {
	OPENING_WITHIN = 3000, /* bytes from the start in which a server says who it is */
	CANDIDATES_MAX = 200,
	NOTE_LINES = 8,
	BEGINNING_BYTES = 400,
	/* weights */
	W_DAEMON = 2,
	W_NULL_PATH = 1,
	W_SUBJECT = 2,
	W_FAILED_HEADER = 3,
	W_OPENING = 3,
	W_WORDS = 2,
	W_AUTO = -3,
	W_ANSWERED = -4,
	W_BULK = -4,
	W_ENOUGH = 4,
	/* ranks */
	RANK_SENTENCE = 1,
	RANK_LINE = 2,
	RANK_LABEL = 3,
};

struct candidate {
	struct str address;
	struct str note; /* what follows it */
	int rank;
};

struct text_reader {
	struct reading *q;
	struct candidate c[CANDIDATES_MAX];
	int n;
};

/* ---- is it a bounce? ---- */

static const char *judge(struct reading *q, struct str start, enum report_kind *kind)
{
	const struct report_hints *h = &q->hints;
	const struct report_opening *o = report_opening(start);
	bool header = mime_has_field(&q->m.parts[0].head, "X-Failed-Recipients");
	bool words = report_words(WORDS_FAILED, start), late = report_words(WORDS_DELAYED, start);
	bool done = !words && report_words(WORDS_SUCCESS, start);
	int weight = (h->daemon ? W_DAEMON : 0) + (h->null_path ? W_NULL_PATH : 0) +
		     (h->bounce_subject ? W_SUBJECT : 0) + (header ? W_FAILED_HEADER : 0) +
		     (o ? W_OPENING : 0) + (words || late || done ? W_WORDS : 0) +
		     (h->auto_subject || h->auto_headers ? W_AUTO : 0) +
		     (h->answered ? W_ANSWERED : 0) + (h->bulk ? W_BULK : 0);

	if (weight < W_ENOUGH || !(h->daemon || h->null_path || header || o) ||
	    !(o || words || late || done || header || h->bounce_subject))
		return NULL;
	*kind = late && !(words &&
			  report_words(WORDS_FAILED, start) < report_words(WORDS_DELAYED, start) &&
			  h->bounce_subject && !report_words(WORDS_DELAYED, h->subject))
		    ? REPORT_DELAYED
		: done ? REPORT_SUCCESS
		       : REPORT_BOUNCE;
	return o ? o->rule : words ? "text" : "subject";
}

/* ---- who? ---- */

static const char *const labels[] = { "recipient address:",
				      "failed recipient:",
				      "recipient:",
				      "to address:",
				      "rcpt to:",
				      "final-recipient:",
				      "empf\xc3\xa4nger:",
				      "destinataire:",
				      "destinatario:",
				      "收件人",
				      "宛先",
				      "получатель:",
				      "user:",
				      "address:",
				      "original recipient:",
				      "failed address:",
				      "adresse:",
				      "odbiorca:",
				      "ontvanger:" };
/* A line that speaks of somebody else. */
static const char *const others[] = { "from:",	       "sender:",	"mail from", "message-id",
				      "return-path",   "contact ",	"reply-to:", "abuse@",
				      "postmaster@",   "help",		"support@",  "cc:",
				      "reporting-mta", "envelope-from", "absender:", "subject:",
				      "hostmaster@",   "sent from",	"from <",    "webmaster@" };

static bool is_address_char(char c)
{
	return (unsigned char)c > ' ' && !strchr("<>()[]{},;:\"'`|*\\", c);
}

/* The address around the "@" at i. */
static struct str around(struct str line, size_t i)
{
	size_t a = i, b = i + 1;

	while (a && is_address_char(line.p[a - 1]))
		a--;
	if (a && line.p[a - 1] == '"') { /* a quoted local part */
		const char *q = a > 1 ? memrchr(line.p, '"', a - 1) : NULL;
		a = q && a == i ? (size_t)(q - line.p) : a;
	}
	while (b < line.n && is_address_char(line.p[b]) && line.p[b] != '@')
		b++;
	while (b > i && strchr(".!?", line.p[b - 1]))
		b--;
	return str_mem(line.p + a, b - a);
}

static bool ours(struct reading *q, struct str a)
{
	bool only;

	return report_is_daemon(a) || str_ieq(a, q->hints.from) || str_ieq(a, q->r->to) ||
	       str_ieq(a, q->r->return_path) ||
	       str_ieq(a, report_mailbox(q, mime_field(&q->m, &q->returned, "From"), &only));
}

static int rank_of(struct str lower, size_t at)
{
	size_t lead = 0;

	for (size_t k = 0; k < sizeof labels / sizeof *labels; k++) {
		const char *l = memmem(lower.p, at, labels[k], strlen(labels[k]));
		if (l && (size_t)(l - lower.p) < 24)
			return RANK_LABEL;
	}
	while (lead < at && strchr(" \t<([*-\"'>", lower.p[lead]))
		lead++;
	return lead == at ? RANK_LINE : RANK_SENTENCE;
}

static void look_at_line(struct text_reader *t, struct str line, struct str rest)
{
	struct str lower = mime_lower(&t->q->m, line), a;

	for (size_t k = 0; lower.n && k < sizeof others / sizeof *others; k++)
		if (memmem(lower.p, lower.n, others[k], strlen(others[k])) &&
		    rank_of(lower, lower.n) != RANK_LABEL)
			return;
	for (size_t i = 0; i < lower.n && t->n < CANDIDATES_MAX; i++) {
		if (line.p[i] != '@')
			continue;
		struct str raw = around(line, i);

		a = report_address(t->q, raw);
		if (!a.n || ours(t->q, a))
			continue;
		const char *behind = raw.p + raw.n;
		t->c[t->n++] =
		    (struct candidate){ a, str_mem(behind, (size_t)(rest.p + rest.n - behind)),
					rank_of(lower, (size_t)(raw.p - line.p)) };
	}
}

static void collect(struct text_reader *t)
{
	struct str rest = t->q->text, line;

	while (t->n < CANDIDATES_MAX && str_split(&rest, '\n', &line))
		if (line.n < 2000 && memchr(line.p, '@', line.n))
			look_at_line(t, line, rest.n ? rest : str_mem(line.p + line.n, 0));
}

/* The line begins with an address that is another one. */
static bool begins_other(struct reading *q, struct str line, struct str address)
{
	const char *blank = line.n ? memchr(line.p, ' ', line.n) : NULL;
	struct str word = str_mem(line.p, blank ? (size_t)(blank - line.p) : line.n), a;

	if (!word.n || !memchr(word.p, '@', word.n) || (word.p[word.n - 1] != ':' && blank))
		return false;
	a = report_address(q, word);
	return a.n && !str_ieq(a, address);
}

/* The receiver's words: from behind the address to the next empty line that follows some, or the
 * next address. */
static struct str note_of(struct reading *q, const struct candidate *c)
{
	struct str s = c->note;
	struct str rest = s, line;
	size_t n = 0;
	bool some = false;

	for (int i = 0; i < NOTE_LINES && n < s.n; i++) {
		const char *from = rest.p;
		if (!str_split(&rest, '\n', &line))
			break;
		line = str_trim(line);
		while (!some && line.n && strchr(" >)]:;,.\"'", line.p[0]))
			line = str_mem(line.p + 1, line.n - 1);
		if ((some && !line.n) || (i && begins_other(q, line, c->address)))
			break;
		some = some || (line.n && line.p[line.n - 1] != ':'); /* "because:" */
		n = (size_t)(from - s.p) + (size_t)(line.p + line.n - from);
	}
	while (n && s.n && strchr(" >)]:;,.\n\t", s.p[0])) {
		s = str_mem(s.p + 1, s.n - 1);
		n--;
	}
	return report_line(q, str_mem(s.p, n < s.n ? n : s.n));
}

static bool has_code(struct str s)
{
	char status[REPORT_STATUS_SIZE];

	return report_enhanced(s, status) || report_basic(s);
}

/* The first line with a code, for forms that write their reasons at another place. */
static struct str any_coded_line(struct reading *q)
{
	struct str rest = q->text, line;

	while (str_split(&rest, '\n', &line))
		if (line.n < 2000 && has_code(line))
			return report_line(q, line);
	return (struct str){ "", 0 };
}

/* What is said of nobody by name is said of the one that it must be. */
static struct str beginning(struct reading *q)
{
	struct str s = q->text;

	s.n = s.n < BEGINNING_BYTES ? s.n : BEGINNING_BYTES;
	return report_line(q, s);
}

static void take(struct reading *q, struct str address, struct str note, enum report_kind kind)
{
	int before = q->r->nrcpts;
	struct report_rcpt *p = report_add(q, address);

	if (!p || q->r->nrcpts == before)
		return;
	p->action = kind == REPORT_BOUNCE    ? ACTION_FAILED
		    : kind == REPORT_DELAYED ? ACTION_DELAYED
					     : ACTION_DELIVERED;
	p->diagnostic = note;
	if (!has_code(note)) {
		struct str coded = any_coded_line(q);
		p->diagnostic = coded.n ? coded : note.n ? note : beginning(q);
	}
	report_settle_status(p);
}

/* Exim names all that failed in a header. */
static void by_header(struct text_reader *t, enum report_kind kind)
{
	struct reading *q = t->q;
	struct str v = mime_field(&q->m, &q->m.parts[0].head, "X-Failed-Recipients"), word, a;

	for (int i = 0; i < REPORT_RCPTS_MAX && str_split(&v, ',', &word); i++) {
		struct str note = { "", 0 };

		a = report_address(q, word);
		for (int k = 0; k < t->n && a.n && !note.n; k++)
			if (str_ieq(t->c[k].address, a))
				note = note_of(q, &t->c[k]);
		if (a.n)
			take(q, a, note, kind);
	}
}

static void by_text(struct text_reader *t, enum report_kind kind)
{
	struct str sent = report_returned_to(t->q);
	int best = 0;
	bool known = false;

	for (int i = 0; i < t->n; i++) {
		best = t->c[i].rank > best ? t->c[i].rank : best;
		known = known || (sent.n && str_ieq(t->c[i].address, sent));
	}
	for (int i = 0; i < t->n; i++) {
		struct candidate *c = &t->c[i];

		if (best == RANK_SENTENCE ? known && !str_ieq(c->address, sent) : c->rank < best)
			continue;
		take(t->q, c->address, note_of(t->q, c), kind);
		if (best == RANK_SENTENCE)
			break;
	}
	if (!t->q->r->nrcpts && sent.n)
		take(t->q, sent, (struct str){ "", 0 }, kind);
}

bool report_read_text(struct reading *q)
{
	struct text_reader t = { .q = q };
	struct str start = q->lower;
	enum report_kind kind = REPORT_OTHER;

	start.n = start.n < OPENING_WITHIN ? start.n : OPENING_WITHIN;
	q->r->rule = judge(q, start, &kind);
	if (!q->r->rule)
		return false;
	q->r->kind = kind;
	collect(&t);
	by_header(&t, kind);
	if (!q->r->nrcpts)
		by_text(&t, kind);
	return true;
}

/* OpenSMTPD and others put the receiver's reply into the text only. */
void report_words_of_status(struct reading *q)
{
	struct text_reader *t = NULL;

	for (int i = 0; i < q->r->nrcpts; i++) {
		struct report_rcpt *p = &q->r->rcpts[i];

		if (p->diagnostic.n || p->action == ACTION_NONE || !p->address.n)
			continue;
		if (!t) {
			t = mime_alloc(&q->m, sizeof *t);
			if (!t)
				return;
			t->q = q;
			collect(t);
		}
		for (int k = 0; k < t->n && !p->diagnostic.n; k++)
			if (str_ieq(t->c[k].address, p->address) ||
			    str_ieq(t->c[k].address, p->final))
				p->diagnostic = note_of(q, &t->c[k]);
		report_settle_status(p);
	}
}
