/* [accounting]: the table of records and columns, the values that name them, and the sections. */
#include <stdio.h>

#include "conf/accounting.h"
#include "conf/lex.h"
#include "conf/reading.h"
#include "conf/value_list.h"

#define OUTCOMES (ACCT_D | ACCT_B | ACCT_T)
#define REPORTS	 (ACCT_RB | ACCT_F)
#define ALL	 (OUTCOMES | ACCT_TQ | ACCT_R | REPORTS)

const struct acct_column_info acct_columns[ACCT_COLUMNS] = {
	[ACCT_TYPE] = { "type", ALL },
	[ACCT_TIME_LOGGED] = { "timeLogged", ALL },
	[ACCT_TIME_QUEUED] = { "timeQueued", OUTCOMES },
	[ACCT_SECONDS_QUEUED] = { "totalSecondsQueued", OUTCOMES },
	[ACCT_ORIG] = { "orig", OUTCOMES | ACCT_R | REPORTS },
	[ACCT_RCPT] = { "rcpt", OUTCOMES | ACCT_R | REPORTS },
	[ACCT_ORCPT] = { "orcpt", OUTCOMES | ACCT_R | ACCT_RB },
	[ACCT_DSN_ACTION] = { "dsnAction", OUTCOMES },
	[ACCT_DSN_STATUS] = { "dsnStatus", OUTCOMES | ACCT_TQ | ACCT_RB },
	[ACCT_DSN_DIAG] = { "dsnDiag", OUTCOMES | ACCT_TQ | ACCT_RB },
	[ACCT_DSN_MTA] = { "dsnMta", OUTCOMES | ACCT_TQ | ACCT_RB },
	[ACCT_DSN_REPORTING_MTA] = { "dsnReportingMta", ACCT_RB },
	[ACCT_BOUNCE_CAT] = { "bounceCat", OUTCOMES | ACCT_RB },
	[ACCT_SRC_TYPE] = { "srcType", ACCT_R | ACCT_RB },
	[ACCT_SRC_MTA] = { "srcMta", ACCT_R | ACCT_RB },
	[ACCT_RCV_SOURCE_IP] = { "rcvSourceIp", ACCT_R },
	[ACCT_DLV_TYPE] = { "dlvType", OUTCOMES | ACCT_TQ },
	[ACCT_DLV_SOURCE_IP] = { "dlvSourceIp", OUTCOMES | ACCT_TQ | ACCT_F },
	[ACCT_DLV_DESTINATION_IP] = { "dlvDestinationIp", OUTCOMES | ACCT_TQ },
	[ACCT_DLV_ESMTP] = { "dlvEsmtpAvailable", OUTCOMES },
	[ACCT_DLV_SIZE] = { "dlvSize", OUTCOMES },
	[ACCT_VMTA] = { "vmta", ALL },
	[ACCT_JOB_ID] = { "jobId", OUTCOMES | ACCT_R | REPORTS },
	[ACCT_ENV_ID] = { "envId", OUTCOMES | ACCT_R | REPORTS },
	[ACCT_QUEUE] = { "queue", OUTCOMES | ACCT_TQ },
	[ACCT_VMTA_POOL] = { "vmtaPool", ALL },
	[ACCT_TLS_PROTOCOL] = { "dlvTlsProtocol", OUTCOMES },
	[ACCT_TLS_CIPHER] = { "dlvTlsCipher", OUTCOMES },
	[ACCT_RCV_USER] = { "rcvSmtpUser", OUTCOMES | ACCT_R | REPORTS },
	[ACCT_REP_SOURCE_IP] = { "repSourceIp", ACCT_F },
	[ACCT_FEEDBACK_TYPE] = { "feedbackType", ACCT_F },
	[ACCT_FORMAT] = { "format", REPORTS },
	[ACCT_USER_AGENT] = { "userAgent", ACCT_F },
	[ACCT_REPORTING_MTA] = { "reportingMta", ACCT_F },
	[ACCT_REPORTED_DOMAIN] = { "reportedDomain", ACCT_F },
	[ACCT_EVENT_ID] = { "eventId", ALL },
};

static const struct {
	const char *name;
	int bit;
} records[] = { { "d", ACCT_D }, { "b", ACCT_B },   { "t", ACCT_T }, { "tq", ACCT_TQ },
		{ "r", ACCT_R }, { "rb", ACCT_RB }, { "f", ACCT_F } };
enum { RECORDS = sizeof records / sizeof records[0], SHOWN = 60 };

enum acct_column acct_column_find(struct str name)
{
	int i = 0;

	while (i < ACCT_COLUMNS && !str_ieqz(name, acct_columns[i].name))
		i++;
	return (enum acct_column)i;
}

int acct_record_find(struct str name)
{
	for (int i = 0; i < RECORDS; i++)
		if (str_ieqz(name, records[i].name))
			return records[i].bit;
	return 0;
}

const char *acct_record_name(int record)
{
	for (int i = 0; i < RECORDS; i++)
		if (records[i].bit == record)
			return records[i].name;
	return "";
}

static int shown(struct str s)
{
	return s.n < SHOWN ? (int)s.n : SHOWN;
}

const struct err *value_parse_records(struct value_in *in, struct value *out)
{
	struct str rest = in->text, word = { "", 0 };

	while (lex_word(&rest, &word)) {
		int bit = acct_record_find(word);

		if (!bit) {
			errbuf_set(&in->e,
				   "\"%.*s\" is no record: write some of d, b, t, tq, r, rb, f",
				   shown(word), word.p);
			return &err_invalid;
		}
		out->i |= bit;
	}
	if (out->i)
		return NULL;
	errbuf_set(&in->e, "the list is empty: write some of d, b, t, tq, r, rb, f");
	return &err_invalid;
}

void value_write_records(int64_t bits, struct buf *out)
{
	const char *between = "";

	for (int i = 0; i < RECORDS; i++)
		if (bits & records[i].bit) {
			buf_addf(out, "%s%s", between, records[i].name);
			between = " ";
		}
}

const struct err *value_item_column(struct value_in *in, struct str w, const char **out)
{
	enum acct_column c = acct_column_find(w);
	struct nearest n;

	if (c < ACCT_COLUMNS) {
		*out = acct_columns[c].name;
		return NULL;
	}
	nearest_init(&n, w);
	for (int i = 0; i < ACCT_COLUMNS; i++)
		nearest_try(&n, acct_columns[i].name);
	if (nearest_best(&n))
		errbuf_set(&in->e, "there is no column \"%.*s\": did you mean %s?", shown(w), w.p,
			   nearest_best(&n));
	else
		errbuf_set(&in->e, "there is no column \"%.*s\": write names as timeLogged, rcpt",
			   shown(w), w.p);
	return &err_invalid;
}

/* ---- sections ---- */

void build_accounting(struct reading *r)
{
	struct conf *c = r->c;

	c->accounting =
	    mem_array(&r->mem, (size_t)sections_of(r, KIND_ACCOUNTING), sizeof *c->accounting);
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		struct conf_accounting *x = &c->accounting[c->naccounting];

		if (s->kind != KIND_ACCOUNTING)
			continue;
		x->name = s->name;
		x->origin = x->origin_file = x->origin_fields = s->origin;
		build_fields(r, KIND_ACCOUNTING, s, x);
		s->index = c->naccounting++;
	}
}

static void check_fields(struct reading *r, const struct conf_accounting *x)
{
	for (int i = 0; i < x->nfields; i++) {
		enum acct_column c = acct_column_find(str_of(x->fields[i]));

		if (c < ACCT_COLUMNS && !(acct_columns[c].records & x->records))
			warn_at(r, &x->origin_fields,
				"[accounting %s] fields: %s stays empty, no record of this file "
				"has it",
				x->name, x->fields[i]);
		for (int k = 0; k < i; k++)
			if (strcmp(x->fields[i], x->fields[k]) == 0)
				error_at(r, &x->origin_fields, "fields: %s is there twice",
					 x->fields[i]);
	}
}

/* Two writers of one file would cut each other's lines. */
static void check_files(struct reading *r, int i)
{
	const struct conf *c = r->c;
	const struct conf_accounting *x = &c->accounting[i];
	const char *json = mem_fmt(&r->mem, "%s.json", c->mta.log_file);
	const struct {
		const char *what, *path;
	} others[] = { { "[mta] log-file", c->mta.log_file },
		       { "[mta] log-file's JSON lines", json },
		       { "[mta] audit-log", c->mta.audit_log },
		       { "[mta] error-log", c->mta.error_log } };

	for (size_t k = 0; k < sizeof others / sizeof others[0]; k++)
		if (others[k].path && strcmp(others[k].path, x->file) == 0)
			error_at(r, &x->origin_file, "file: %s is the same file %s", others[k].what,
				 x->file);
	for (int k = 0; k < i; k++)
		if (c->accounting[k].file && strcmp(c->accounting[k].file, x->file) == 0)
			error_at(r, &x->origin_file,
				 "file: [accounting %s] writes the same file %s: give each its own",
				 c->accounting[k].name, x->file);
}

void check_accounting(struct reading *r)
{
	const struct directive *file = directive_find(KIND_ACCOUNTING, STR_LIT("file"));

	for (const struct conf_section *s = r->priv->first; s; s = s->next) {
		const struct conf_accounting *x;

		if (s->kind != KIND_ACCOUNTING)
			continue;
		x = &r->c->accounting[s->index];
		check_fields(r, x);
		if (x->file)
			check_files(r, s->index);
		else if (!section_entry(s, file) || !section_entry(s, file)->bad)
			error_at(r, &s->origin,
				 "[accounting %s] has no file: write file = "
				 "/var/log/stoker/%s.csv",
				 x->name, x->name);
	}
}
