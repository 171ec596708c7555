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

struct dsn {
	const struct dsn_job *job;
	const struct conf_mta *mta;
	struct str original;
	us_t now;
	bool failed, delayed; /* what it reports */
	bool utf8;	      /* message/global-* is needed (RFC 6533) */
	char boundary[BOUNDARY_SIZE];
	struct buf *out;
};

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
	buf_addf(o, "Subject: %s\r\n",
		 d->failed ? "Undelivered Mail Returned to Sender"
			   : "Delayed Mail (still being retried)");
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

static void text(struct dsn *d)
{
	struct buf *o = d->out;
	part(d, d->utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", d->utf8);
	buf_addf(o, "This is the mail system at host %s.\r\n\r\n", d->mta->hostname);
	if (d->failed)
		buf_addz(
		    o,
		    "Your message could not be delivered to one or more recipients. What their\r\n"
		    "mail servers said stands below; nothing further is tried for them.\r\n");
	else
		buf_addz(
		    o, "Your message has not been delivered yet. It is still being retried: you\r\n"
		       "need not send it again.\r\n");
	for (uint32_t i = 0; i < d->job->nrcpts; i++) {
		const struct dsn_rcpt *r = &d->job->rcpts[i];
		buf_addz(o, "\r\n<");
		buf_adds(o, r->address);
		buf_addz(o, ">:");
		if (r->mx.n) {
			buf_addz(o, " host ");
			add_clean(d, r->mx);
			buf_addz(o, " said:");
		}
		buf_addz(o, "\r\n    ");
		add_folded(d, r->reply.n
				  ? r->reply
				  : STR_LIT("the message expired before it could be delivered"));
		buf_addz(o, "\r\n");
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
	bool delayed = r->as == DECIDE_DEFERRED;
	buf_addz(o, "\r\n");
	original_recipient(d, r->orcpt);
	buf_addf(o, "Final-Recipient: %s; ", d->utf8 ? "utf-8" : "rfc822");
	buf_adds(o, r->address);
	buf_addf(o, "\r\nAction: %s\r\nStatus: ", delayed ? "delayed" : "failed");
	buf_adds(o, r->enhanced.n ? r->enhanced : delayed ? STR_LIT("4.0.0") : STR_LIT("5.0.0"));
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
	if (delayed && r->expires_at) {
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

/* RFC 3461 4.3: RET decides; without it the setting. A delay report never quotes the body. What was
 * only read in part is quoted as headers. */
static void original(struct dsn *d)
{
	bool full = d->job->ret == 1 /* RET_FULL */ ||
		    (d->job->ret == 0 /* RET_NONE */ && d->job->dsn_return == DSN_RETURN_FULL);
	full = full && d->failed && d->original.n && d->original.n == d->job->size &&
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
	for (uint32_t i = 0; i < job->nrcpts; i++) {
		if (job->rcpts[i].as == DECIDE_DEFERRED)
			d.delayed = true;
		else
			d.failed = true;
	}
	choose_boundary(&d, id);
	head(&d, id);
	text(&d);
	status(&d);
	original(&d);
	buf_addf(out, "\r\n--%s--\r\n", d.boundary);
	return !buf_failed(out);
}
