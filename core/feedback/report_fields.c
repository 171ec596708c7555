/* The small things that every form has: addresses, codes, one-line texts. */
#include "core/feedback/report_inner.h"

#include <stdio.h>

#include "core/smtp/address.h"

enum { CODE_FROM = 400, CODE_TO = 599, SUBJECT_MAX = 9, DETAIL_MAX = 999 };

static const struct str nothing = { "", 0 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---- codes ---- */

/* Digits from i on; -1 if none or too many. */
static int number(struct str s, size_t *i, int max)
{
	int v = 0;
	size_t from = *i;

	while (*i < s.n && is_digit(s.p[*i])) {
		v = v * 10 + (s.p[(*i)++] - '0');
		if (v > max)
			return -1;
	}
	return *i > from ? v : -1;
}

/* "5.1.1" at i that is no piece of an IP address, a version or a name. */
static bool enhanced_at(struct str s, size_t i, char out[REPORT_STATUS_SIZE])
{
	char class = s.p[i++];
	int subject, detail;

	if (i + 3 > s.n || s.p[i++] != '.')
		return false;
	subject = number(s, &i, SUBJECT_MAX);
	if (subject < 0 || i >= s.n || s.p[i++] != '.')
		return false;
	detail = number(s, &i, DETAIL_MAX);
	if (detail < 0)
		return false;
	if (i < s.n && (is_alnum(s.p[i]) || s.p[i] == '_'))
		return false;
	if (i + 1 < s.n && s.p[i] == '.' && is_digit(s.p[i + 1]))
		return false;
	snprintf(out, REPORT_STATUS_SIZE, "%c.%d.%d", class, subject, detail);
	return true;
}

bool report_enhanced(struct str s, char out[REPORT_STATUS_SIZE])
{
	for (size_t i = 0; i < s.n; i++) {
		char before = i ? s.p[i - 1] : ' ';

		if ((s.p[i] != '2' && s.p[i] != '4' && s.p[i] != '5') || is_alnum(before) ||
		    before == '.' || (before == '-' && !(i > 3 && is_digit(s.p[i - 2]))))
			continue;
		if (enhanced_at(s, i, out))
			return true;
	}
	return false;
}

int report_basic(struct str s)
{
	for (size_t i = 0; i + 3 <= s.n; i++) {
		char before = i ? s.p[i - 1] : ' ', behind = i + 3 < s.n ? s.p[i + 3] : ' ';
		int v;

		if ((s.p[i] != '4' && s.p[i] != '5') || !is_digit(s.p[i + 1]) ||
		    !is_digit(s.p[i + 2]))
			continue;
		if (is_alnum(before) || strchr("./:@_+", before) || is_alnum(behind) ||
		    strchr("/@_%", behind) ||
		    (behind == '.' && i + 4 < s.n && is_digit(s.p[i + 4])) ||
		    (before == '-' && i > 1 && is_alnum(s.p[i - 2])) ||
		    (behind == ':' && i + 4 < s.n && is_digit(s.p[i + 4])))
			continue;
		v = (s.p[i] - '0') * 100 + (s.p[i + 1] - '0') * 10 + s.p[i + 2] - '0';
		if (v >= CODE_FROM && v <= CODE_TO && s.p[i + 1] <= '7')
			return v;
	}
	return 0;
}

static bool unspecific(const char *status)
{
	return !*status || strcmp(status + 1, ".0.0") == 0;
}

/* Diagnostic-Code outranks a Status that says no more than its class; a Status without a word from
 * the receiver stays. */
void report_settle_status(struct report_rcpt *p)
{
	char found[REPORT_STATUS_SIZE];
	int basic = report_basic(p->diagnostic);

	if (!unspecific(p->status))
		return;
	if (report_enhanced(p->diagnostic, found) && (!*p->status || strcmp(found + 1, ".0.0"))) {
		memcpy(p->status, found, sizeof found);
		return;
	}
	if (*p->status)
		return;
	if (basic)
		snprintf(p->status, sizeof p->status, "%c.0.0", basic >= 500 ? '5' : '4');
	else if (p->action == ACTION_FAILED)
		memcpy(p->status, "5.0.0", sizeof "5.0.0");
	else if (p->action == ACTION_DELAYED)
		memcpy(p->status, "4.0.0", sizeof "4.0.0");
}

/* ---- text ---- */

struct str report_line(struct reading *q, struct str s)
{
	size_t n = 0;
	char *p;

	s = str_trim(s);
	if (s.n > REPORT_DIAGNOSTIC_MAX) {
		s.n = REPORT_DIAGNOSTIC_MAX;
		while (s.n && ((unsigned char)s.p[s.n - 1] & 0xC0) == 0x80)
			s.n--;
		s.n -= s.n && (unsigned char)s.p[s.n - 1] >= 0xC0;
	}
	p = mime_alloc(&q->m, s.n);
	for (size_t i = 0; p && i < s.n; i++) {
		bool blank = (unsigned char)s.p[i] <= ' ';

		if (!blank)
			p[n++] = s.p[i];
		else if (n && p[n - 1] != ' ')
			p[n++] = ' ';
	}
	return p ? str_trim(str_mem(p, n)) : nothing;
}

/* ---- addresses ---- */

static struct str without(struct str s, char open, char close)
{
	const char *a = s.n ? memchr(s.p, open, s.n) : NULL, *b;

	if (!a)
		return s;
	b = memchr(a, close, s.n - (size_t)(a - s.p));
	return str_mem(a + 1, (b ? (size_t)(b - a) : s.n - (size_t)(a - s.p)) - 1);
}

static struct str strip(struct str s)
{
	while (s.n && strchr(" \t\n<([{\"',;:*`", s.p[0]))
		s = str_mem(s.p + 1, s.n - 1);
	while (s.n && strchr(" \t\n>)]}\"',;:.!?*`", s.p[s.n - 1]))
		s.n--;
	if (str_istarts(s, "mailto:"))
		s = str_mem(s.p + 7, s.n - 7);
	if (str_istarts(s, "smtp:"))
		s = str_mem(s.p + 5, s.n - 5);
	return s;
}

static struct str checked(struct str s)
{
	struct address a;

	return !address_parse(s, &a) && (a.literal || memchr(a.domain.p, '.', a.domain.n))
		   ? s
		   : nothing;
}

/* RFC 6533 3: \x{20AC} in a utf-8 address. */
static struct str unescape(struct reading *q, struct str s)
{
	char *p;
	size_t n = 0;

	if (!s.n || !memmem(s.p, s.n, "\\x{", 3))
		return s;
	p = mime_alloc(&q->m, s.n);
	for (size_t i = 0; p && i < s.n; i++) {
		unsigned rune = 0;
		size_t j = i + 3;

		if (i + 4 >= s.n || memcmp(s.p + i, "\\x{", 3) != 0) {
			p[n++] = s.p[i];
			continue;
		}
		for (; j < s.n && s.p[j] != '}' && rune < 0x110000; j++) {
			char c = (char)(s.p[j] | 0x20);
			rune = rune * 16 + (unsigned)(is_digit(c)	     ? c - '0'
						      : c >= 'a' && c <= 'f' ? c - 'a' + 10
									     : 0);
		}
		if (rune < 0x80) {
			p[n++] = (char)rune;
		} else if (rune < 0x800) {
			p[n++] = (char)(0xC0 | rune >> 6);
			p[n++] = (char)(0x80 | (rune & 0x3F));
		} else if (rune < 0x10000) {
			p[n++] = (char)(0xE0 | rune >> 12);
			p[n++] = (char)(0x80 | (rune >> 6 & 0x3F));
			p[n++] = (char)(0x80 | (rune & 0x3F));
		}
		i = j;
	}
	return p ? str_mem(p, n) : nothing;
}

/* Some write Original-Recipient as they got it: in xtext (RFC 3461 4). */
static struct str plain_xtext(struct reading *q, struct str s)
{
	struct buf out;
	char *p;
	size_t n;

	if (!s.n || memchr(s.p, '@', s.n) || !memmem(s.p, s.n, "+40", 3))
		return s;
	buf_init(&out);
	n = xtext_decode(s, &out) ? out.n : 0;
	p = n ? mime_alloc(&q->m, n) : NULL;
	if (p)
		memcpy(p, out.p, n);
	buf_free(&out);
	return p ? str_mem(p, n) : s;
}

struct str report_address(struct reading *q, struct str v)
{
	const char *semi;
	struct str s = mime_unfold(&q->m, v), found;

	semi = s.n ? memchr(s.p, ';', s.n) : NULL;
	if (semi && !memchr(s.p, '@', (size_t)(semi - s.p)))
		s = str_mem(semi + 1, s.n - (size_t)(semi + 1 - s.p));
	s = plain_xtext(q, unescape(q, str_trim(s)));
	if (s.n && s.p[0] == '"') { /* a quoted local part is one word with what follows */
		found = checked(s);
		if (found.n)
			return found;
	}
	s = strip(without(s, '<', '>'));
	for (size_t i = 0; i < s.n; i++)
		if (strchr(" \t\n(", s.p[i]))
			s.n = i;
	return checked(strip(s));
}

struct str report_mailbox(struct reading *q, struct str v, bool *only)
{
	struct str s = mime_unfold(&q->m, v), first = nothing, a, word;
	int n = 0;

	for (int i = 0; i < REPORT_RCPTS_MAX && str_split(&s, ',', &word); i++) {
		a = report_address(q, word);
		if (!a.n || (first.n && str_ieq(a, first)))
			continue;
		if (!n++)
			first = a;
	}
	*only = n == 1;
	return first;
}

static const char *const hidden_locals[] = { "redacted",  "undisclosed", "removed",   "hidden",
					     "anonymous", "xxx",	 "suppressed" };
static const char *const hidden_domains[] = { "redacted", ".invalid", "removed" };

bool report_redacted(struct str a)
{
	const char *at = a.n ? memrchr(a.p, '@', a.n) : NULL;
	struct str local, domain;

	if (!at)
		return true;
	local = str_mem(a.p, (size_t)(at - a.p));
	domain = str_mem(at + 1, a.n - local.n - 1);
	for (size_t i = 0; i < sizeof hidden_locals / sizeof *hidden_locals; i++)
		if (str_istarts(local, hidden_locals[i]))
			return true;
	for (size_t i = 0; i < sizeof hidden_domains / sizeof *hidden_domains; i++) {
		struct str h = str_of(hidden_domains[i]);
		if (str_istarts(domain, h.p) ||
		    (domain.n >= h.n && str_ieq(str_mem(domain.p + domain.n - h.n, h.n), h)))
			return true;
	}
	return false;
}

static const char *const daemons[] = {
	"mailer-daemon", "mailerdaemon",      "mailer_daemon", "mail-daemon",
	"maildaemon",	 "postmaster",	      "mdaemon",       "mail-delivery",
	"mail_delivery", "maildelivery",      "mailsystem",    "mail-system",
	"mail.system",	 "microsoftexchange", "mail.delivery", "mailadmin",
	"mmdf",		 "internet-delivery", "mailer",	       "bounce-notification",
	"undeliverable", "mail-noreply",      "double-bounce"
};

bool report_is_daemon(struct str a)
{
	for (size_t i = 0; i < sizeof daemons / sizeof *daemons; i++)
		if (str_istarts(a, daemons[i]))
			return true;
	return false;
}

struct str report_returned_to(struct reading *q)
{
	static const char *const names[] = { "X-HmXmrOriginalRecipient", "Delivered-To", "To" };
	bool only = false;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct str a = report_mailbox(q, mime_field(&q->m, &q->returned, names[i]), &only);

		if (a.n && only && !report_redacted(a))
			return a;
	}
	return nothing;
}

struct report_rcpt *report_add(struct reading *q, struct str address)
{
	struct report *r = q->r;

	if (!r->rcpts)
		r->rcpts = mime_alloc(&q->m, REPORT_RCPTS_MAX * sizeof *r->rcpts);
	if (!r->rcpts)
		return NULL;
	for (int i = 0; address.n && i < r->nrcpts; i++)
		if (str_ieq(r->rcpts[i].address, address))
			return &r->rcpts[i];
	if (r->nrcpts >= REPORT_RCPTS_MAX) {
		r->cut = true;
		return NULL;
	}
	r->rcpts[r->nrcpts] = (struct report_rcpt){
		.address = address, .final = nothing, .diagnostic = nothing, .remote_mta = nothing
	};
	return &r->rcpts[r->nrcpts++];
}
