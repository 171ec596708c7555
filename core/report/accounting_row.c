#include "core/report/accounting_row.h"

#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "core/smtp/address.h"

static void put(struct buf *b, struct str s)
{
	if (s.n)
		buf_add(b, s.p, s.n);
}

struct str accounting_category(const struct event *e)
{
	if (e->category.n)
		return e->category;
	if (e->type == EVENT_DELIVERED)
		return STR_LIT("success");
	return e->type == EVENT_EXPIRED ? STR_LIT("message-expired") : STR_LIT("");
}

/* The words of RFC 3463 behind the class. */
static const char *status_words(struct str s)
{
	static const struct {
		const char *detail, *words;
	} table[] = {
		{ "1.1", "bad destination mailbox address" },
		{ "1.2", "bad destination system address" },
		{ "1.3", "bad destination mailbox address syntax" },
		{ "1.6", "mailbox has moved" },
		{ "1.7", "bad sender's mailbox address syntax" },
		{ "1.8", "bad sender's system address" },
		{ "1.10", "null MX" },
		{ "2.1", "mailbox disabled" },
		{ "2.2", "mailbox full" },
		{ "2.3", "message length exceeds limit" },
		{ "3.1", "mail system full" },
		{ "3.2", "system not accepting network messages" },
		{ "3.4", "message too big" },
		{ "4.1", "no answer from host" },
		{ "4.2", "bad connection" },
		{ "4.3", "directory server failure" },
		{ "4.4", "unable to route" },
		{ "4.5", "system congestion" },
		{ "4.6", "routing loop" },
		{ "4.7", "delivery time expired" },
		{ "5.2", "syntax error" },
		{ "5.3", "too many recipients" },
		{ "6.3", "conversion required but not supported" },
		{ "6.7", "non-ASCII addresses not supported" },
		{ "7.1", "delivery not authorized" },
		{ "7.7", "message integrity failure" },
	};
	static const char *const subjects[] = { "undefined status", "address status",
						"mailbox status",   "mail system status",
						"routing status",   "protocol status",
						"content status",   "security or policy status" };
	struct str detail = { s.p + 2, s.n > 2 ? s.n - 2 : 0 };

	if (s.n && s.p[0] == '2')
		return "success";
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (str_eqz(detail, table[i].detail))
			return table[i].words;
	return detail.n && detail.p[0] >= '0' && detail.p[0] <= '7' ? subjects[detail.p[0] - '0']
								    : subjects[0];
}

static void put_time(struct buf *b, us_t at)
{
	time_t s = (time_t)(at / US_PER_S);
	struct tm tm;
	char z[40];

	if (!at)
		return;
	localtime_r(&s, &tm);
	strftime(z, sizeof z, "%Y-%m-%d %H:%M:%S%z", &tm);
	buf_addz(b, z);
}

static void put_status(struct buf *b, const struct acct_row *r)
{
	struct str s = r->e->enhanced;

	if (!s.n)
		s = r->record == ACCT_D				  ? STR_LIT("2.0.0")
		    : r->record == ACCT_B || r->record == ACCT_RB ? STR_LIT("5.0.0")
								  : STR_LIT("4.0.0");
	buf_addf(b, "%.*s (%s)", (int)s.n, s.p, status_words(s));
}

/* A receiver's words begin with its code; others are our own. */
static void put_diag(struct buf *b, struct str reply)
{
	bool remote = reply.n >= 3;

	for (size_t i = 0; i < 3 && remote; i++)
		remote = reply.p[i] >= '0' && reply.p[i] <= '9';
	if (!reply.n)
		return;
	buf_addz(b, remote ? "smtp;" : "x-stoker;");
	for (size_t i = 0; i < reply.n; i++) /* its lines are one */
		buf_addc(b, reply.p[i] == '\n' ? ' ' : reply.p[i]);
}

static void put_xtext(struct buf *b, struct str s)
{
	size_t n = b->n;

	if (xtext_decode(s, b))
		return;
	b->n = n; /* UTF-8 that stood as it is (RFC 6533) */
	put(b, s);
}

static void put_mta(struct buf *b, const struct event *e)
{
	put(b, e->mx);
	if (e->mx_ip.n)
		buf_addf(b, "%s(%.*s)", e->mx.n ? " " : "", (int)e->mx_ip.n, e->mx_ip.p);
}

/* The part behind the slash of "gmail.com/pool-a", or what a message asked for. */
static struct str route_of(const struct event *e)
{
	const char *slash = e->queue.n ? memrchr(e->queue.p, '/', e->queue.n) : NULL;

	if (e->route.n || !slash)
		return e->route;
	return (struct str){ slash + 1, e->queue.n - (size_t)(slash + 1 - e->queue.p) };
}

static void put_route(const struct conf *c, struct buf *b, const struct event *e, bool pool)
{
	struct str route = route_of(e);
	bool is_pool = conf_pool_find(c, route) != CONF_NONE;

	if (pool == is_pool)
		put(b, route);
}

static struct str source_type(const struct event *e)
{
	if (str_eqz(e->source_ip, "local"))
		return STR_LIT("local"); /* our own report */
	return str_eqz(e->user, "pickup") ? STR_LIT("pickup") : STR_LIT("smtp");
}

static void put_tls(struct buf *b, struct str tls, bool cipher)
{
	struct str protocol;

	if (!tls.n || !str_split(&tls, ' ', &protocol))
		return;
	put(b, cipher ? tls : protocol);
}

static void put_received(struct buf *b, const struct acct_row *r, enum acct_column c)
{
	struct str type = source_type(r->e);

	if (r->record == ACCT_RB) { /* the report, which somebody handed in to us */
		put(b, c == ACCT_SRC_TYPE ? STR_LIT("smtp") : r->e->mx_ip);
		return;
	}
	if (c == ACCT_SRC_TYPE)
		put(b, type);
	else if (str_eqz(type, "smtp"))
		put(b, r->e->source_ip);
}

/* What a column holds when it is more than a text of the event. */
struct put {
	struct buf *b;
	const struct conf *conf;
	const struct acct_row *r;
	enum acct_column c;
};

static void column_type(struct put *p)
{
	buf_addz(p->b, acct_record_name(p->r->record));
}

static void column_time(struct put *p)
{
	const struct event *e = p->r->e;

	put_time(p->b, p->c == ACCT_TIME_LOGGED ? e->at : e->queued_at);
}

static void column_seconds(struct put *p)
{
	const struct event *e = p->r->e;

	buf_addf(p->b, "%lld",
		 e->at > e->queued_at ? (long long)((e->at - e->queued_at) / US_PER_S) : 0);
}

static void column_rcpt(struct put *p)
{
	put(p->b, p->r->rcpt);
}

static void column_xtext(struct put *p)
{
	put_xtext(p->b, p->c == ACCT_ORCPT ? p->r->orcpt : p->r->e->envid);
}

static void column_action(struct put *p)
{
	buf_addz(p->b, p->r->record == ACCT_D	? "relayed"
		       : p->r->record == ACCT_B ? "failed"
						: "delayed");
}

static void column_status(struct put *p)
{
	put_status(p->b, p->r);
}

static void column_diag(struct put *p)
{
	put_diag(p->b, p->r->e->reply);
}

static void column_mta(struct put *p)
{
	if (p->r->record == ACCT_RB) /* its address is not in the report */
		put(p->b, p->r->e->mx);
	else
		put_mta(p->b, p->r->e);
}

static void column_category(struct put *p)
{
	put(p->b, accounting_category(p->r->e));
}

static void column_received(struct put *p)
{
	put_received(p->b, p->r, p->c);
}

static void column_smtp(struct put *p)
{
	buf_addz(p->b, "smtp");
}

static void column_size(struct put *p)
{
	buf_addf(p->b, "%llu", (unsigned long long)p->r->e->size);
}

static void column_vmta(struct put *p)
{
	if (p->r->e->virtual_mta.n)
		put(p->b, p->r->e->virtual_mta);
	else
		put_route(p->conf, p->b, p->r->e, false);
}

static void column_pool(struct put *p)
{
	put_route(p->conf, p->b, p->r->e, true);
}

static void column_tls(struct put *p)
{
	put_tls(p->b, p->r->e->tls, p->c == ACCT_TLS_CIPHER);
}

static void column_id(struct put *p)
{
	buf_addf(p->b, "%llu", (unsigned long long)p->r->e->id);
}

/* PowerMTA's word for the standard's form. */
static void column_format(struct put *p)
{
	struct str f = p->r->e->format;

	put(p->b, str_eqz(f, "rfc3464") ? STR_LIT("dsn") : f);
}

/* That of our mail's sender: it is who the complaint is about, whatever the report calls it. */
static void column_reported(struct put *p)
{
	struct str s = p->r->e->sender;
	const char *at = s.n ? memrchr(s.p, '@', s.n) : NULL;

	if (at)
		put(p->b, (struct str){ at + 1, s.n - (size_t)(at + 1 - s.p) });
}

#define TEXT(field)                                                                                \
	{                                                                                          \
		.text = offsetof(struct event, field)                                              \
	}
static const struct {
	void (*put)(struct put *p);
	size_t text; /* without put: this text of the event */
} columns[ACCT_COLUMNS] = {
	[ACCT_TYPE] = { column_type },
	[ACCT_TIME_LOGGED] = { column_time },
	[ACCT_TIME_QUEUED] = { column_time },
	[ACCT_SECONDS_QUEUED] = { column_seconds },
	[ACCT_ORIG] = TEXT(sender),
	[ACCT_RCPT] = { column_rcpt },
	[ACCT_ORCPT] = { column_xtext },
	[ACCT_DSN_ACTION] = { column_action },
	[ACCT_DSN_STATUS] = { column_status },
	[ACCT_DSN_DIAG] = { column_diag },
	[ACCT_DSN_MTA] = { column_mta },
	[ACCT_DSN_REPORTING_MTA] = TEXT(reporting_mta),
	[ACCT_BOUNCE_CAT] = { column_category },
	[ACCT_SRC_TYPE] = { column_received },
	[ACCT_SRC_MTA] = { column_received },
	[ACCT_RCV_SOURCE_IP] = { column_received },
	[ACCT_DLV_TYPE] = { column_smtp },
	[ACCT_DLV_SOURCE_IP] = TEXT(source_ip),
	[ACCT_DLV_DESTINATION_IP] = TEXT(mx_ip),
	[ACCT_DLV_ESMTP] = TEXT(esmtp),
	[ACCT_DLV_SIZE] = { column_size },
	[ACCT_VMTA] = { column_vmta },
	[ACCT_JOB_ID] = TEXT(job),
	[ACCT_ENV_ID] = { column_xtext },
	[ACCT_QUEUE] = TEXT(queue),
	[ACCT_VMTA_POOL] = { column_pool },
	[ACCT_TLS_PROTOCOL] = { column_tls },
	[ACCT_TLS_CIPHER] = { column_tls },
	[ACCT_RCV_USER] = TEXT(user),
	[ACCT_REP_SOURCE_IP] = TEXT(mx_ip),
	[ACCT_FEEDBACK_TYPE] = TEXT(feedback_type),
	[ACCT_FORMAT] = { column_format },
	[ACCT_USER_AGENT] = TEXT(user_agent),
	[ACCT_REPORTING_MTA] = TEXT(reporting_mta),
	[ACCT_REPORTED_DOMAIN] = { column_reported },
	[ACCT_EVENT_ID] = { column_id },
};
#undef TEXT

void acct_row_column(const struct acct_row *r, const struct conf *c, enum acct_column column,
		     struct buf *out)
{
	struct put p = { out, c, r, column };

	if (columns[column].put)
		columns[column].put(&p);
	else
		put(out, *(const struct str *)((const char *)r->e + columns[column].text));
}
