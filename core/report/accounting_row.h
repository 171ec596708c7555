/* One record of an accounting file: what its columns hold. Report thread only. */
#ifndef STOKER_REPORT_ACCOUNTING_ROW_H
#define STOKER_REPORT_ACCOUNTING_ROW_H

#include "conf/accounting.h"
#include "core/report/accounting.h"

struct acct_row { /* what a record is made of */
	const struct event *e;
	int record; /* one of enum acct_record */
	struct str rcpt, orcpt;
};
/* Appends the column's text; nothing if the record has none. `c` knows what is a pool. */
void acct_row_column(const struct acct_row *r, const struct conf *c, enum acct_column column,
		     struct buf *out);

#endif
