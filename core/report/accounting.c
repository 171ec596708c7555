#include "core/report/accounting.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "conf/accounting.h"
#include "core/base/clean.h"
#include "core/base/jsonw.h"
#include "core/report/log_file.h"
#include "core/smtp/address.h"

struct accounting {
	struct conf *conf;
	const struct conf_accounting *set;
	struct log_file f;
	enum acct_column columns[ACCT_COLUMNS];
	int ncolumns;
	struct buf header, value, clean;
	us_t period_start, cleaned_at;
};

struct row { /* what one record is made of */
	const struct event *e;
	int record;
	struct str rcpt, orcpt;
};

/* ---- columns ---- */

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

static void put_status(struct buf *b, const struct row *r)
{
	struct str s = r->e->enhanced;

	if (!s.n)
		s = r->record == ACCT_D	  ? STR_LIT("2.0.0")
		    : r->record == ACCT_B ? STR_LIT("5.0.0")
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

static void put_route(const struct accounting *a, struct buf *b, const struct event *e, bool pool)
{
	struct str route = route_of(e);
	bool is_pool = conf_pool_find(a->conf, route) != CONF_NONE;

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

static void put_received(struct buf *b, const struct row *r, enum acct_column c)
{
	struct str type = source_type(r->e);

	if (c == ACCT_SRC_TYPE)
		put(b, type);
	else if (str_eqz(type, "smtp"))
		put(b, r->e->source_ip);
}

/* What a column holds when it is more than a text of the event. */
struct put {
	struct buf *b;
	const struct accounting *a;
	const struct row *r;
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
		put_route(p->a, p->b, p->r->e, false);
}

static void column_pool(struct put *p)
{
	put_route(p->a, p->b, p->r->e, true);
}

static void column_tls(struct put *p)
{
	put_tls(p->b, p->r->e->tls, p->c == ACCT_TLS_CIPHER);
}

static void column_id(struct put *p)
{
	buf_addf(p->b, "%llu", (unsigned long long)p->r->e->id);
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
	[ACCT_EVENT_ID] = { column_id },
};
#undef TEXT

static void put_column(const struct accounting *a, struct buf *b, const struct row *r,
		       enum acct_column c)
{
	struct put p = { b, a, r, c };

	if (columns[c].put)
		columns[c].put(&p);
	else
		put(b, *(const struct str *)((const char *)r->e + columns[c].text));
}

/* ---- records ---- */

/* RFC 4180 2: in quotes what has a quote, a comma or a line's end; the latter never gets here. */
static void csv_field(struct accounting *a, struct str v)
{
	struct buf *out = &a->f.out;

	buf_clear(&a->clean);
	clean_add(&a->clean, v, false);
	if (!memchr(a->clean.p ? a->clean.p : "", '"', a->clean.n) &&
	    !memchr(a->clean.p ? a->clean.p : "", ',', a->clean.n)) {
		buf_add(out, a->clean.p ? a->clean.p : "", a->clean.n);
		return;
	}
	buf_addc(out, '"');
	for (size_t i = 0; i < a->clean.n; i++) {
		if (a->clean.p[i] == '"')
			buf_addc(out, '"');
		buf_addc(out, a->clean.p[i]);
	}
	buf_addc(out, '"');
}

static bool is_number(enum acct_column c)
{
	return c == ACCT_SECONDS_QUEUED || c == ACCT_DLV_SIZE || c == ACCT_EVENT_ID;
}

static void csv_row(struct accounting *a, const struct row *r)
{
	if (!a->f.bytes && !a->f.out.n)
		put(&a->f.out, buf_str(&a->header));
	for (int i = 0; i < a->ncolumns; i++) {
		buf_clear(&a->value);
		if (acct_columns[a->columns[i]].records & r->record)
			put_column(a, &a->value, r, a->columns[i]);
		if (i)
			buf_addc(&a->f.out, ',');
		csv_field(a, buf_str(&a->value));
	}
	buf_addz(&a->f.out, "\r\n");
}

static void json_row(struct accounting *a, const struct row *r)
{
	struct jsonw w;

	jsonw_init(&w, &a->f.out);
	jsonw_object(&w, NULL);
	for (int i = 0; i < a->ncolumns; i++) {
		const struct acct_column_info *c = &acct_columns[a->columns[i]];

		buf_clear(&a->value);
		if (c->records & r->record)
			put_column(a, &a->value, r, a->columns[i]);
		if (!a->value.n)
			continue;
		if (is_number(a->columns[i]))
			jsonw_raw(&w, c->name, buf_str(&a->value));
		else
			jsonw_str(&w, c->name, buf_str(&a->value));
	}
	jsonw_end_object(&w);
	buf_addc(&a->f.out, '\n');
}

static void add_row(struct accounting *a, const struct row *r)
{
	if (a->set->format == CONF_ACCT_JSON)
		json_row(a, r);
	else
		csv_row(a, r);
}

void accounting_event(struct accounting *a, const struct event *e)
{
	static const uint8_t records[EVENT_TYPES] = {
		[EVENT_RECEIVED] = ACCT_R, [EVENT_DELIVERED] = ACCT_D, [EVENT_DEFERRED] = ACCT_T,
		[EVENT_BOUNCED] = ACCT_B,  [EVENT_EXPIRED] = ACCT_B,   [EVENT_UNREACHED] = ACCT_TQ,
	};
	struct row r = { e, e->type < EVENT_TYPES ? records[e->type] : 0, e->recipient, e->orcpt };
	struct reader others = { (const uint8_t *)e->others.p, e->others.n, false };

	if (!(r.record & a->set->records))
		return;
	add_row(a, &r);
	while (r.record == ACCT_R && event_others_next(&others, &r.rcpt, &r.orcpt))
		add_row(a, &r);
}

size_t accounting_waiting(const struct accounting *a)
{
	return a->f.out.n;
}

const struct err *accounting_flush(struct accounting *a, struct errbuf *e)
{
	const struct err *err = log_file_flush(&a->f, e);

	if (err)
		buf_free(&a->f.out); /* also what did not fit into memory */
	return err;
}

/* ---- the file ---- */

static void choose_columns(struct accounting *a)
{
	a->columns[a->ncolumns++] = ACCT_TYPE;
	for (int i = 0; i < a->set->nfields; i++) {
		enum acct_column c = acct_column_find(str_of(a->set->fields[i]));

		if (c != ACCT_TYPE && c < ACCT_COLUMNS)
			a->columns[a->ncolumns++] = c;
	}
	for (int c = ACCT_TYPE + 1; c < ACCT_COLUMNS && !a->set->nfields; c++)
		if (acct_columns[c].records & a->set->records)
			a->columns[a->ncolumns++] = (enum acct_column)c;
	for (int i = 0; i < a->ncolumns; i++)
		buf_addf(&a->header, "%s%s", i ? "," : "", acct_columns[a->columns[i]].name);
	buf_addz(&a->header, "\r\n");
}

/* Where the name's end begins: ".csv" of "acct.csv", or its end. */
static size_t stem(const char *path)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');

	return dot && (!slash || dot > slash + 1) ? (size_t)(dot - path) : strlen(path);
}

static const struct err *set_aside(struct accounting *a, us_t now, struct errbuf *e)
{
	us_t of = a->period_start ? a->period_start : now;
	size_t n = stem(a->f.path);
	time_t s = (time_t)(of / US_PER_S);
	char to[LOG_PATH_SIZE + 64], date[16];
	struct tm tm;

	if (!a->f.bytes)
		return NULL;
	localtime_r(&s, &tm);
	strftime(date, sizeof date, "%Y-%m-%d", &tm);
	for (int i = 1;; i++) {
		snprintf(to, sizeof to, "%.*s-%s-%04d%s", (int)n, a->f.path, date, i,
			 a->f.path + n);
		if (access(to, F_OK))
			break;
	}
	return log_file_rotate(&a->f, to, e);
}

static bool begins_otherwise(struct accounting *a)
{
	char *first = malloc(a->header.n);
	size_t n = a->set->format == CONF_ACCT_JSON ? 1 : a->header.n;
	bool other = first && (pread(a->f.fd, first, n, 0) != (ssize_t)n ||
			       (n == 1 ? first[0] != '{' : memcmp(first, a->header.p, n) != 0));

	free(first);
	return other;
}

const struct err *accounting_open(struct conf *c, int i, struct accounting **out, struct errbuf *e)
{
	struct accounting *a = calloc(1, sizeof *a);
	const struct err *err;

	if (!a)
		return &err_no_memory;
	a->conf = conf_ref(c);
	a->set = &c->accounting[i];
	a->f.fd = -1;
	a->f.what = "accounting";
	snprintf(a->f.path, sizeof a->f.path, "%s", a->set->file);
	choose_columns(a);
	err = log_file_open(&a->f, e);
	if (!err) {
		a->period_start = log_file_period(&a->f, a->set->rotate, clock_now_us());
		if (a->f.bytes && begins_otherwise(a))
			err = set_aside(a, clock_now_us(), e);
	}
	if (err) {
		accounting_close(a);
		return err;
	}
	*out = a;
	return NULL;
}

void accounting_close(struct accounting *a)
{
	if (!a)
		return;
	log_file_close(&a->f);
	buf_free(&a->header);
	buf_free(&a->value);
	buf_free(&a->clean);
	conf_unref(a->conf);
	free(a);
}

/* "acct-2026-11-27-0001.csv" of "acct.csv". */
static bool set_aside_name(const char *name, const char *base)
{
	static const char form[] = "-0000-00-00-0";
	size_t n = stem(base);

	if (strncmp(name, base, n) != 0)
		return false;
	name += n;
	for (size_t i = 0; form[i]; i++, name++)
		if (form[i] == '0' ? *name < '0' || *name > '9' : *name != form[i])
			return false;
	while (*name >= '0' && *name <= '9')
		name++;
	return strcmp(name, base + n) == 0;
}

const struct err *accounting_rotate(struct accounting *a, us_t now, bool now_please,
				    struct errbuf *e)
{
	const struct err *err;
	bool due = a->set->rotate == ROTATE_SIZE
		       ? a->f.bytes >= (uint64_t)a->set->rotate_size
		       : log_period(a->set->rotate, now) > a->period_start;

	if (a->set->keep != US_NEVER && now - a->cleaned_at > US_PER_HOUR) {
		a->cleaned_at = now;
		log_clean(a->f.path, now - a->set->keep, set_aside_name);
	}
	if (!due && !now_please)
		return NULL;
	err = set_aside(a, now, e);
	a->period_start = log_period(a->set->rotate, now);
	return err;
}
