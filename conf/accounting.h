/* The records and columns of accounting files, by the names that PowerMTA gave them and in its
 * order. The reader checks [accounting] fields against this table, core/report/accounting.c fills
 * the columns in. Constant data; any thread. */
#ifndef STOKER_CONF_ACCOUNTING_H
#define STOKER_CONF_ACCOUNTING_H

#include "core/base/str.h"

enum acct_record { /* bits */
		   ACCT_D = 1,
		   ACCT_B = 2,
		   ACCT_T = 4,
		   ACCT_TQ = 8,
		   ACCT_R = 16,
		   ACCT_RB = 32,
		   ACCT_F = 64,
};

enum acct_column {
	ACCT_TYPE,
	ACCT_TIME_LOGGED,
	ACCT_TIME_QUEUED,
	ACCT_SECONDS_QUEUED,
	ACCT_ORIG,
	ACCT_RCPT,
	ACCT_ORCPT,
	ACCT_DSN_ACTION,
	ACCT_DSN_STATUS,
	ACCT_DSN_DIAG,
	ACCT_DSN_MTA,
	ACCT_DSN_REPORTING_MTA,
	ACCT_BOUNCE_CAT,
	ACCT_SRC_TYPE,
	ACCT_SRC_MTA,
	ACCT_RCV_SOURCE_IP,
	ACCT_DLV_TYPE,
	ACCT_DLV_SOURCE_IP,
	ACCT_DLV_DESTINATION_IP,
	ACCT_DLV_ESMTP,
	ACCT_DLV_SIZE,
	ACCT_VMTA,
	ACCT_JOB_ID,
	ACCT_ENV_ID,
	ACCT_QUEUE,
	ACCT_VMTA_POOL,
	ACCT_TLS_PROTOCOL,
	ACCT_TLS_CIPHER,
	ACCT_RCV_USER,
	ACCT_REP_SOURCE_IP,
	ACCT_FEEDBACK_TYPE,
	ACCT_FORMAT,
	ACCT_USER_AGENT,
	ACCT_REPORTING_MTA,
	ACCT_REPORTED_DOMAIN,
	ACCT_EVENT_ID, /* ours: what is written twice after a crash has the same */
	ACCT_COLUMNS
};

struct acct_column_info {
	const char *name;
	int records; /* those that fill it */
};
extern const struct acct_column_info acct_columns[ACCT_COLUMNS];

/* ACCT_COLUMNS if there is none; case folded. */
enum acct_column acct_column_find(struct str name);
/* A record's bit for "tq", 0 if there is none. */
int acct_record_find(struct str name);
const char *acct_record_name(int record);

#endif
