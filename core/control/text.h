/* Text tables of the CLI: columns of the field tables, aligned, at most so many terminal columns
 * wide. Widths come from the tables and not from the rows, so that a list of a million rows can be
 * written in steps. */
#ifndef STOKER_CONTROL_TEXT_H
#define STOKER_CONTROL_TEXT_H

#include "core/control/query.h"

enum { TABLE_COLUMNS_MAX = 24 };
struct table {
	struct {
		const struct field *field;
		int width;
	} column[TABLE_COLUMNS_MAX];
	int n;
	bool clip; /* false: to a file or pipe, nothing is cut */
};
/* Columns 0: unlimited. */
void text_table_init(struct table *t, enum list_id l, int columns);
void text_table_head(const struct table *t, struct buf *out);
void text_table_row(const struct table *t, const struct row *r, us_t now, struct buf *out);
/* "(18,211 more, 9.8k recipients; …)", nothing if rows is 0. */
void text_table_rest(int64_t rows, int64_t recipients, struct buf *out);
/* 18211 as "18,211". */
void add_grouped(int64_t n, struct buf *out);
/* A cell of `width` columns (0: as wide as the text), followed by a blank unless it is the last
 * one. */
void add_cell(struct str text, int width, bool right, bool clip, bool last, struct buf *out);

/* Without blanks and line ends at both ends. */
struct str text_chomp(struct str s);
/* Lines of a text made elsewhere, each cleaned. */
void clean_lines(struct str text, struct buf *out);
/* "2026-11-23T19:03:48.118Z", or less of it: the day alone, no seconds, no Z; always UTC. False if
 * it is none, or anything else follows. */
bool text_time(struct str s, us_t *at);
/* Any JSON for the eye: "name  value" lines, arrays of objects as tables, members of objects
 * indented. Clean. False if it is no JSON. */
bool json_text(struct str json, int columns, struct buf *out);

#endif
