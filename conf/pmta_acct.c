/* <acct-file>: an [accounting] section, and which columns it has. */
#include <string.h>

#include "conf/accounting.h"
#include "conf/pmta_value.h"

enum { RECORD_BITS = 7 };

/* [accounting NAME] of the file's name. */
void pmta_open_acct(struct pmta *im, struct pmta_block *b)
{
	const char *slash = b->arg.n ? memrchr(b->arg.p, '/', b->arg.n) : NULL, *name;
	struct str base =
	    slash ? (struct str){ slash + 1, b->arg.n - (size_t)(slash + 1 - b->arg.p) } : b->arg;

	if (b->arg.n && b->arg.p[0] == '|') {
		pmta_say(im, b->at, PMTA_DROPPED,
			 "Stoker starts no programs: read the file that [accounting] writes");
		return;
	}
	name = base.n ? pmta_name(im, b->at, base) : NULL;
	if (!name)
		return;
	pmta_target(im, b, pmta_section(im, "accounting", name, b->at));
	pmta_set(im, b->at, b->to[0], "file", pmta_path(im, b->arg), false);
}

/* 0: there is no such record here. */
static int record_of(struct str word)
{
	static const struct {
		const char *theirs;
		int bit;
	} names[] = {
		{ "delivery", ACCT_D },	      { "bounce", ACCT_B },
		{ "transient", ACCT_T },      { "transient-queue", ACCT_TQ },
		{ "receipt", ACCT_R },	      { "received", ACCT_R },
		{ "remote-bounce", ACCT_RB }, { "feedback-loop", ACCT_F },
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (str_ieqz(word, names[i].theirs))
			return names[i].bit;
	return acct_record_find(word);
}

CONV(pv_records)
{
	struct str list = pmta_plain(im, v), word;
	const char *all = "";

	(void)r;
	while (pmta_element(&list, &word)) {
		int bit = record_of(word);

		if (!bit)
			pmta_say(im, s, PMTA_APPROXIMATED, "there are no records of type %.*s",
				 (int)word.n, word.p);
		else
			all = mem_fmt(&im->mem, "%s%s%s", all, *all ? ", " : "",
				      acct_record_name(bit));
	}
	return all;
}

/* ---- columns: record-fields TYPE LIST ---- */

static int types_of(struct pmta *im, struct pmta_stmt *s, struct str types, bool say)
{
	struct str one;
	int bits = 0;

	while (pmta_element(&types, &one)) {
		int bit = record_of(one);

		if (!bit && say)
			pmta_say(im, s, PMTA_APPROXIMATED, "there are no records of type %.*s",
				 (int)one.n, one.p);
		bits |= bit;
	}
	return bits;
}

/* Sets or clears in `on` what the list says of one record; says what there is not, if asked to. */
static void choose(struct pmta *im, struct pmta_stmt *s, struct str list, int record,
		   bool on[ACCT_COLUMNS], bool say)
{
	struct str word;
	bool first = true;

	while (pmta_element(&list, &word)) {
		bool no = word.p[0] == '!';
		struct str name = no ? (struct str){ word.p + 1, word.n - 1 } : word;
		enum acct_column c = acct_column_find(name);

		for (int i = 0; i < ACCT_COLUMNS; i++)
			if (str_eqz(word, "*") || (no && first))
				on[i] = (acct_columns[i].records & record) != 0;
		if (no && first && say)
			pmta_say(im, s, PMTA_APPROXIMATED, "read as *, %.*s", (int)word.n, word.p);
		first = false;
		if (c < ACCT_COLUMNS && (acct_columns[c].records & record))
			on[c] = !no;
		else if (say && !no && !str_eqz(word, "*"))
			pmta_say(im, s, PMTA_APPROXIMATED, "there is no column %.*s", (int)name.n,
				 name.p);
	}
}

static bool beside(const struct pmta_stmt *t, const struct pmta_stmt *s, const char *name)
{
	return t->in == s->in && !t->opens && str_ieqz(t->name, name);
}

/* The records of the file, wherever that stands in it. */
static int records_of(struct pmta *im, const struct pmta_stmt *s)
{
	int bits = 0;

	for (struct pmta_stmt *t = im->first; t; t = t->next)
		if (beside(t, s, "records"))
			bits = types_of(im, t, pmta_plain(im, t->value), false);
	return bits ? bits : ACCT_D | ACCT_B;
}

/* The last line that says it for this record; NULL: none does. */
static struct pmta_stmt *line_for(struct pmta *im, const struct pmta_stmt *s, int record,
				  struct str *list)
{
	struct pmta_stmt *found = NULL;

	for (struct pmta_stmt *t = im->first; t; t = t->next) {
		struct str rest = t->value, types;

		if (!beside(t, s, "record-fields") || !pmta_word(&rest, &types) ||
		    !(types_of(im, t, types, false) & record))
			continue;
		found = t;
		*list = rest;
	}
	return found;
}

static bool is_last(struct pmta *im, const struct pmta_stmt *s)
{
	for (const struct pmta_stmt *t = im->first, *seen = NULL; t; t = t->next) {
		if (t == s)
			seen = t;
		else if (seen && beside(t, s, "record-fields"))
			return false;
	}
	return true;
}

static void columns(struct pmta *im, struct pmta_stmt *s)
{
	bool any[ACCT_COLUMNS] = { false };
	int records = records_of(im, s);
	const char *all = acct_columns[ACCT_TYPE].name;
	bool complete = true, uneven = false;
	bool on[RECORD_BITS][ACCT_COLUMNS] = { { false } };

	for (int k = 0; k < RECORD_BITS; k++) {
		struct str list = STR_LIT("*");
		struct pmta_stmt *t;

		if (!(records & 1 << k))
			continue;
		t = line_for(im, s, 1 << k, &list);
		choose(im, t ? t : s, list, 1 << k, on[k], t != NULL);
		for (int c = 0; c < ACCT_COLUMNS; c++)
			any[c] |= on[k][c];
	}
	for (int c = ACCT_TYPE + 1; c < ACCT_COLUMNS; c++) {
		complete = complete && (any[c] || !(acct_columns[c].records & records));
		for (int k = 0; k < RECORD_BITS; k++)
			uneven |=
			    any[c] && (records & acct_columns[c].records & 1 << k) && !on[k][c];
		if (any[c])
			all = mem_fmt(&im->mem, "%s, %s", all, acct_columns[c].name);
	}
	if (uneven)
		pmta_say(im, s, PMTA_APPROXIMATED,
			 "a column of one record is written for every record that has it");
	if (complete)
		pmta_say(im, s, PMTA_TAKEN, "that is so without a word");
	else
		pmta_set(im, s, s->in->to[0], "fields", all, false);
}

TAKE(pt_record_fields)
{
	struct str types;

	(void)r;
	if (!s->in->nto) {
		pmta_say(im, s, PMTA_DROPPED, "its section is dropped");
	} else if (!pmta_word(&v, &types) || !v.n) {
		pmta_say(im, s, PMTA_DROPPED, "write record-fields TYPE LIST");
	} else if (!types_of(im, s, types, true)) {
		pmta_say(im, s, PMTA_DROPPED, "no record of it is left");
	} else if (!(types_of(im, s, types, false) & records_of(im, s))) {
		pmta_say(im, s, PMTA_DROPPED, "the file has no such records");
	} else if (!is_last(im, s)) {
		pmta_say(im, s, PMTA_TAKEN, "it is in [accounting %s] fields", s->in->to[0]->name);
	}
	if (s->in->nto && is_last(im, s))
		columns(im, s);
}
