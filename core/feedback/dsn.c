#include "core/feedback/dsn.h"

#include <stdlib.h>

#include "core/base/clean.h"
#include "core/smtp/address.h"

enum {
	QUOTED_MAX = 256 * 1024,
	BOUNDARY_SIZE = 64,
	ASCII_COLUMNS = 600,
	/* With escapes of a byte a column, and marks that take no column, below 998 bytes. */
	UTF8_COLUMNS = 240,
	UTF8_BYTES = 700
};

enum kind { KIND_FAILED, KIND_DELAYED, KIND_RELAYED, KINDS };
static const struct kind_words {
	const char *subject, *action, *status;
	const char *text; /* of the first part */
} kind_words[KINDS] = {
	[KIND_FAILED] = { "Undelivered Mail Returned to Sender", "failed", "5.0.0",
			  "Your message could not be delivered to one or more recipients. What "
			  "their\r\n"
			  "mail servers said stands below; nothing further is tried for "
			  "them.\r\n" },
	[KIND_DELAYED] = { "Delayed Mail (still being retried)", "delayed", "4.0.0",
			   "Your message has not been delivered yet. It is still being retried: "
			   "you\r\n"
			   "need not send it again.\r\n" },
	[KIND_RELAYED] = { "Mail Relayed (no further report will follow)", "relayed", "2.0.0",
			   "Your message was handed to the mail servers named below. They accepted "
			   "it\r\n"
			   "but do not report deliveries, so this is the last that you hear of "
			   "it.\r\n" },
};

struct dsn {
	const struct dsn_job *job;
	const struct conf_mta *mta;
	struct str original;
	us_t now;
	bool has[KINDS]; /* what it reports */
	bool utf8;	 /* message/global-* is needed (RFC 6533) */
	char boundary[BOUNDARY_SIZE];
	struct buf *out;
};

static enum kind kind_of(const struct dsn_rcpt *r)
{
	if (r->as == DECIDE_DEFERRED)
		return KIND_DELAYED;
	return r->as == DECIDE_DELIVERED ? KIND_RELAYED : KIND_FAILED;
}

/* One header-safe piece of text: no control bytes, one line, of at most 998 bytes with what stands
 * around it (RFC 5322 2.1.1), and ASCII in a report that is not declared as UTF-8. */
static void add_clean(struct dsn *d, struct str s)
{
	if (d->utf8 && s.n > UTF8_BYTES)
		s.n = UTF8_BYTES;
	clean_clip(d->out, s, d->utf8 ? UTF8_COLUMNS : ASCII_COLUMNS, !d->utf8);
}

/* A reply of several lines as folded header text. */
static void add_folded(struct dsn *d, struct str reply)
{
	struct str line;
	bool first = true;
	while (str_split(&reply, '\n', &line)) {
		if (!first)
			buf_addz(d->out, "\r\n    ");
		add_clean(d, str_trim(line));
		first = false;
	}
}

/* What matters most gives the subject. */
static enum kind first_kind(const struct dsn *d)
{
	enum kind k = KIND_FAILED;
	while (k + 1 < KINDS && !d->has[k])
		k++;
	return k;
}

static void head(struct dsn *d, uint64_t id)
{
	char date[CLOCK_RFC5322_SIZE];
	struct buf *o = d->out;
	clock_rfc5322(d->now, date);
	buf_addf(o, "Date: %s\r\n", date);
	buf_addf(o, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n", d->mta->hostname);
	buf_addz(o, "To: <");
	if (d->job->send_dsn == SEND_DSN_POSTMASTER && d->mta->npostmasters)
		buf_addz(o, d->mta->postmasters[0]);
	else
		buf_adds(o, d->job->sender);
	buf_addz(o, ">\r\n");
	buf_addf(o, "Subject: %s\r\n", kind_words[first_kind(d)].subject);
	buf_addf(o, "Message-ID: <%llx.dsn@%s>\r\n", (unsigned long long)id, d->mta->hostname);
	buf_addz(o, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
	buf_addf(o, "Content-Type: multipart/report; report-type=%s;\r\n\tboundary=\"%s\"\r\n",
		 d->utf8 ? "global-delivery-status" : "delivery-status", d->boundary);
	if (d->utf8)
		buf_addz(o, "Content-Transfer-Encoding: 8bit\r\n");
	buf_addz(o, "\r\nThis is a MIME-encapsulated message.\r\n");
}

static void part(struct dsn *d, const char *type, bool eightbit)
{
	buf_addf(d->out, "\r\n--%s\r\nContent-Type: %s\r\n", d->boundary, type);
	if (eightbit)
		buf_addz(d->out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_addz(d->out, "\r\n");
}

static void text_rcpt(struct dsn *d, const struct dsn_rcpt *r)
{
	struct buf *o = d->out;
	buf_addz(o, "\r\n<");
	buf_adds(o, r->address);
	buf_addz(o, ">:");
	if (r->mx.n) {
		buf_addz(o, " host ");
		add_clean(d, r->mx);
		buf_addz(o, " said:");
	}
	buf_addz(o, "\r\n    ");
	add_folded(d, r->reply.n ? r->reply
				 : STR_LIT("the message expired before it could be delivered"));
	buf_addz(o, "\r\n");
}

static void text(struct dsn *d)
{
	struct buf *o = d->out;
	part(d, d->utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", d->utf8);
	buf_addf(o, "This is the mail system at host %s.\r\n", d->mta->hostname);
	for (enum kind k = KIND_FAILED; k < KINDS; k++) {
		if (!d->has[k])
			continue;
		buf_addf(o, "\r\n%s", kind_words[k].text);
		for (uint32_t i = 0; i < d->job->nrcpts; i++)
			if (kind_of(&d->job->rcpts[i]) == k)
				text_rcpt(d, &d->job->rcpts[i]);
	}
}

/* The value of ORCPT is xtext; RFC 3464 wants it decoded here. */
static void original_recipient(struct dsn *d, struct str orcpt)
{
	struct buf plain;
	struct str type;
	if (!orcpt.n || !str_split(&orcpt, ';', &type))
		return;
	buf_init(&plain);
	if (xtext_decode(orcpt, &plain)) {
		buf_addz(d->out, "Original-Recipient: ");
		add_clean(d, type);
		buf_addz(d->out, ";");
		add_clean(d, buf_str(&plain));
		buf_addz(d->out, "\r\n");
	}
	buf_free(&plain);
}

static void status_rcpt(struct dsn *d, const struct dsn_rcpt *r)
{
	char date[CLOCK_RFC5322_SIZE];
	struct buf *o = d->out;
	enum kind kind = kind_of(r);
	buf_addz(o, "\r\n");
	original_recipient(d, r->orcpt);
	buf_addf(o, "Final-Recipient: %s; ", d->utf8 ? "utf-8" : "rfc822");
	buf_adds(o, r->address);
	buf_addf(o, "\r\nAction: %s\r\nStatus: ", kind_words[kind].action);
	buf_adds(o, r->enhanced.n ? r->enhanced : str_of(kind_words[kind].status));
	buf_addz(o, "\r\n");
	if (r->mx.n) {
		buf_addz(o, "Remote-MTA: dns; ");
		add_clean(d, r->mx);
		buf_addz(o, "\r\n");
	}
	if (r->reply.n) {
		bool code = r->reply.p[0] >= '2' && r->reply.p[0] <= '5';
		buf_addf(o, "Diagnostic-Code: %s; ", code ? "smtp" : "X-Stoker");
		add_folded(d, r->reply);
		buf_addz(o, "\r\n");
	}
	if (r->failed_at) {
		clock_rfc5322(r->failed_at, date);
		buf_addf(o, "Last-Attempt-Date: %s\r\n", date);
	}
	if (kind == KIND_DELAYED && r->expires_at) {
		clock_rfc5322(r->expires_at, date);
		buf_addf(o, "Will-Retry-Until: %s\r\n", date);
	}
}

static void status(struct dsn *d)
{
	char date[CLOCK_RFC5322_SIZE];
	struct buf *o = d->out, envid;
	part(d, d->utf8 ? "message/global-delivery-status" : "message/delivery-status", d->utf8);
	buf_addf(o, "Reporting-MTA: dns; %s\r\n", d->mta->hostname);
	buf_init(&envid);
	if (d->job->envid.n && xtext_decode(d->job->envid, &envid)) {
		buf_addz(o, "Original-Envelope-Id: ");
		add_clean(d, buf_str(&envid));
		buf_addz(o, "\r\n");
	}
	buf_free(&envid);
	buf_addf(o, "X-Stoker-Message: %llx\r\n", (unsigned long long)d->job->message);
	clock_rfc5322(d->job->received_at, date);
	buf_addf(o, "Arrival-Date: %s\r\n", date);
	for (uint32_t i = 0; i < d->job->nrcpts; i++)
		status_rcpt(d, &d->job->rcpts[i]);
}

static bool has_8bit(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 127)
			return true;
	return false;
}

static struct str header_block(struct str m)
{
	const char *end = m.n ? memmem(m.p, m.n, "\r\n\r\n", 4) : NULL;
	if (end)
		return (struct str){ m.p, (size_t)(end - m.p) + 2 };
	/* Cut inside the header: only whole lines are quoted. */
	while (m.n && m.p[m.n - 1] != '\n')
		m.n--;
	return m;
}

/* RFC 3461 4.3: RET decides; without it the setting. Only what failed is quoted with its body. What
 * was only read in part is quoted as headers. */
static void original(struct dsn *d)
{
	bool full = d->job->ret == 1 /* RET_FULL */ ||
		    (d->job->ret == 0 /* RET_NONE */ && d->job->dsn_return == DSN_RETURN_FULL);
	full = full && d->has[KIND_FAILED] && d->original.n && d->original.n == d->job->size &&
	       d->original.n <= QUOTED_MAX;
	struct str quoted = full ? d->original : header_block(d->original);
	const char *type = full ? (d->utf8 ? "message/global" : "message/rfc822")
				: (d->utf8 ? "message/global-headers" : "text/rfc822-headers");
	part(d, type, has_8bit(quoted));
	buf_adds(d->out, quoted);
	if (quoted.n && quoted.p[quoted.n - 1] != '\n')
		buf_addz(d->out, "\r\n");
}

/* A boundary that stands nowhere in the original. */
static void choose_boundary(struct dsn *d, uint64_t id)
{
	unsigned n = 0;
	do {
		snprintf(d->boundary, sizeof d->boundary, "%llx.%u/%llx", (unsigned long long)id,
			 n++, (unsigned long long)d->now);
	} while (d->original.n &&
		 memmem(d->original.p, d->original.n, d->boundary, strlen(d->boundary)));
}

bool dsn_build(const struct dsn_job *job, const struct conf_mta *mta, struct str orig, uint64_t id,
	       us_t now, struct buf *out)
{
	struct dsn d = { .job = job,
			 .mta = mta,
			 .original = orig,
			 .now = now,
			 .utf8 = job->smtputf8,
			 .out = out };
	for (uint32_t i = 0; i < job->nrcpts; i++)
		d.has[kind_of(&job->rcpts[i])] = true;
	choose_boundary(&d, id);
	head(&d, id);
	text(&d);
	status(&d);
	original(&d);
	buf_addf(out, "\r\n--%s--\r\n", d.boundary);
	return !buf_failed(out);
}
