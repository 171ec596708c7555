#include "core/report/accounting.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clean.h"
#include "core/base/jsonw.h"
#include "core/report/accounting_row.h"
#include "core/report/log_file.h"

struct accounting {
	struct conf *conf;
	const struct conf_accounting *set;
	struct log_file f;
	enum acct_column columns[ACCT_COLUMNS];
	int ncolumns;
	struct buf header, value, clean;
	us_t period_start, cleaned_at;
};

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

static void csv_row(struct accounting *a, const struct acct_row *r)
{
	if (!a->f.bytes && !a->f.out.n)
		buf_add(&a->f.out, a->header.p, a->header.n);
	for (int i = 0; i < a->ncolumns; i++) {
		buf_clear(&a->value);
		if (acct_columns[a->columns[i]].records & r->record)
			acct_row_column(r, a->conf, a->columns[i], &a->value);
		if (i)
			buf_addc(&a->f.out, ',');
		csv_field(a, buf_str(&a->value));
	}
	buf_addz(&a->f.out, "\r\n");
}

static void json_row(struct accounting *a, const struct acct_row *r)
{
	struct jsonw w;

	jsonw_init(&w, &a->f.out);
	jsonw_object(&w, NULL);
	for (int i = 0; i < a->ncolumns; i++) {
		const struct acct_column_info *c = &acct_columns[a->columns[i]];

		buf_clear(&a->value);
		if (c->records & r->record)
			acct_row_column(r, a->conf, a->columns[i], &a->value);
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

static void add_row(struct accounting *a, const struct acct_row *r)
{
	if (a->set->format == CONF_ACCT_JSON)
		json_row(a, r);
	else
		csv_row(a, r);
}

void accounting_event(struct accounting *a, const struct event *e)
{
	static const uint8_t records[EVENT_TYPES] = {
		[EVENT_RECEIVED] = ACCT_R,	  [EVENT_DELIVERED] = ACCT_D,
		[EVENT_DEFERRED] = ACCT_T,	  [EVENT_BOUNCED] = ACCT_B,
		[EVENT_EXPIRED] = ACCT_B,	  [EVENT_UNREACHED] = ACCT_TQ,
		[EVENT_REMOTE_BOUNCED] = ACCT_RB, [EVENT_COMPLAINT] = ACCT_F,
	};
	struct acct_row r = { e, e->type < EVENT_TYPES ? records[e->type] : 0, e->recipient,
			      e->orcpt };
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

/* PowerMTA writes a file of complaints alone in this order; what it has not comes behind. */
static const enum acct_column complaint_order[] = {
	ACCT_TIME_LOGGED,
	ACCT_REP_SOURCE_IP,
	ACCT_FEEDBACK_TYPE,
	ACCT_FORMAT,
	ACCT_USER_AGENT,
	ACCT_ENV_ID,
	ACCT_ORIG,
	ACCT_RCPT,
	ACCT_REPORTING_MTA,
	ACCT_DLV_SOURCE_IP,
	ACCT_REPORTED_DOMAIN,
};

static void add_column(struct accounting *a, enum acct_column c)
{
	for (int i = 0; i < a->ncolumns; i++)
		if (a->columns[i] == c)
			return;
	a->columns[a->ncolumns++] = c;
}

static void all_columns(struct accounting *a)
{
	size_t n = sizeof complaint_order / sizeof complaint_order[0];

	for (size_t i = 0; i < n && a->set->records == ACCT_F; i++)
		add_column(a, complaint_order[i]);
	for (int c = ACCT_TYPE + 1; c < ACCT_COLUMNS; c++)
		if (acct_columns[c].records & a->set->records)
			add_column(a, (enum acct_column)c);
}

static void choose_columns(struct accounting *a)
{
	a->columns[a->ncolumns++] = ACCT_TYPE;
	for (int i = 0; i < a->set->nfields; i++) {
		enum acct_column c = acct_column_find(str_of(a->set->fields[i]));

		if (c != ACCT_TYPE && c < ACCT_COLUMNS)
			a->columns[a->ncolumns++] = c;
	}
	if (!a->set->nfields)
		all_columns(a);
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
