/* `suppress import`: pieces of the client's file become rows for the spool thread; the next piece
 * is asked for when these are on the list. So a file of any length takes the memory of one piece.
 */
#include <stdlib.h>

#include "core/base/clean.h"
#include "core/control/private.h"
#include "core/control/suppress.h"
#include "core/control/text.h"

enum { NAMED_MOST = 20, FIELDS_MAX = 16 };

enum column { COL_ADDRESS, COL_SCOPE, COL_WHY, COL_AT, COL_UNTIL, COL_CATEGORY, COL_REASON, COLS };
static const char *const column_names[COLS] = { "address", "sender_domain", "why",   "at",
						"until",   "category",	    "reason" };

struct import {
	struct request *r;
	bool begun, over;
	int columns[FIELDS_MAX]; /* by place in the line: enum column, -1: not looked at */
	int ncolumns;
	uint64_t lines, put, already, wrong;
	struct buf rows, scratch;
};

static void import_free(void *state)
{
	struct import *x = state;
	struct buf line;

	if (!x->over && x->put) { /* what is done is done */
		buf_init(&line);
		clean_add(&line, rstr_str(x->r->who), false);
		buf_addf(&line,
			 " (cli): suppress import was cut short: %llu addresses are on the list",
			 (unsigned long long)x->put);
		x->r->c->env.audit(x->r->c->env.arg, buf_str(&line));
		buf_free(&line);
	}
	buf_free(&x->rows);
	buf_free(&x->scratch);
	free(x);
}

static void wrong(struct import *x, uint64_t number, struct str line, const char *why)
{
	struct buf out;

	if (x->wrong++ >= NAMED_MOST || !x->r->owner)
		return;
	buf_init(&out);
	buf_addf(&out, "line %llu: %s: ", (unsigned long long)number, why);
	clean_clip(&out, line, 100, false);
	x->r->sink->err(x->r, buf_str(&out));
	buf_free(&out);
}

/* The next field of a line of CSV (RFC 4180); its quotes are undone in `scratch`, which has room.
 */
static bool next_field(struct import *x, struct str *rest, struct str *field)
{
	const char *comma;
	size_t i = 1;

	if (!rest->p)
		return false;
	if (rest->n && rest->p[0] == '"') {
		size_t from = x->scratch.n;

		for (; i < rest->n; i++) {
			if (rest->p[i] == '"' && (i + 1 == rest->n || rest->p[++i] != '"'))
				break;
			buf_addc(&x->scratch, rest->p[i]);
		}
		*field = str_mem(x->scratch.p + from, x->scratch.n - from);
		comma = i < rest->n && rest->p[i] == ',' ? rest->p + i : NULL;
	} else {
		comma = rest->n ? memchr(rest->p, ',', rest->n) : NULL;
		*field = str_trim(str_mem(rest->p, comma ? (size_t)(comma - rest->p) : rest->n));
	}
	*rest = comma ? str_mem(comma + 1, (size_t)(rest->p + rest->n - comma) - 1)
		      : (struct str){ NULL, 0 };
	return true;
}

/* The first line may name the columns; without: address, sender_domain. */
static bool take_header(struct import *x, struct str line)
{
	struct str rest = line, field;
	bool address = false;

	x->ncolumns = 0;
	while (x->ncolumns < FIELDS_MAX && next_field(x, &rest, &field)) {
		int c = COLS - 1;

		while (c >= 0 && !str_ieqz(field, column_names[c]))
			c--;
		x->columns[x->ncolumns++] = c;
		address |= c == COL_ADDRESS;
	}
	if (address)
		return true;
	x->columns[0] = COL_ADDRESS;
	x->columns[1] = COL_SCOPE;
	x->ncolumns = 2;
	return false;
}

static const char *take_entry(struct import *x, struct str v[COLS], struct suppression_key *k,
			      struct suppression_entry *e)
{
	char scope[DOMAIN_SIZE] = "";

	*e = (struct suppression_entry){ .why = SUPPRESS_MANUAL,
					 .at = control_now(x->r->c),
					 .until = US_NEVER,
					 .category = v[COL_CATEGORY],
					 .words = v[COL_REASON].n ? v[COL_REASON]
								  : x->r->inv.sched.reason,
					 .by = rstr_str(x->r->who) };
	if (v[COL_SCOPE].n && !domain_normal(v[COL_SCOPE], scope))
		return "the sender's domain is none";
	if (v[COL_WHY].n)
		e->why = suppress_why_find(v[COL_WHY]);
	if (e->why == SUPPRESS_WHYS)
		return "why is one of hard, complaint, soft, manual";
	if ((v[COL_AT].n && !text_time(v[COL_AT], &e->at)) ||
	    (v[COL_UNTIL].n && !text_time(v[COL_UNTIL], &e->until)))
		return "a time is written as 2027-01-31 or 2027-01-31T09:00:00Z, in UTC";
	if (e->until <= control_now(x->r->c))
		return "its time is over already";
	return suppression_key(v[COL_ADDRESS], str_of(scope), k);
}

static void take_line(struct import *x, uint64_t number, struct str line)
{
	struct str v[COLS] = { { NULL, 0 } }, rest = line, field;
	struct suppression_entry e;
	struct suppression_key k;
	const char *why;

	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	if (!x->begun && line.n >= 3 && memcmp(line.p, "\xef\xbb\xbf", 3) == 0)
		line = str_mem(line.p + 3, line.n - 3); /* what spreadsheets begin a file with */
	rest = line;
	buf_clear(&x->scratch);
	/* slices of it must not move */
	if (!str_trim(line).n || !buf_reserve(&x->scratch, line.n + 1))
		return;
	if (!x->begun) {
		x->begun = true;
		if (take_header(x, line))
			return;
	}
	x->lines++;
	for (int i = 0; next_field(x, &rest, &field); i++) {
		if (i < x->ncolumns && x->columns[i] >= 0)
			v[x->columns[i]] = field;
		else if (i >= x->ncolumns && field.n) {
			wrong(x, number, line, "there are more fields than columns");
			return;
		}
	}
	why = take_entry(x, v, &k, &e);
	if (why)
		wrong(x, number, line, why);
	else if (!suppression_batch_add(&x->rows, false, &k, &e))
		wrong(x, number, line, "no memory");
}

/* "17\tuser@example.com\n…" */
static void take_piece(struct import *x, struct str piece)
{
	struct str line;

	while (str_split(&piece, '\n', &line)) {
		uint64_t number = 0;
		size_t i = 0;

		for (; i < line.n && line.p[i] >= '0' && line.p[i] <= '9'; i++)
			number = number * 10 + (uint64_t)(line.p[i] - '0');
		if (i < line.n && line.p[i] == '\t')
			take_line(x, number, str_mem(line.p + i + 1, line.n - i - 1));
	}
}

static void on_piece(struct request *r, struct str piece);

static void ask(struct request *r)
{
	r->on_file = on_piece;
	if (r->owner)
		r->sink->file(r);
	else
		request_finish(r,
			       EXIT_REFUSED); /* the client left while its last piece was written */
}

static void on_written(struct request *r, int exit, struct rstr *text)
{
	struct import *x = r->state;
	uint64_t put = 0, already = 0;

	if (exit != EXIT_DONE || !suppress_counts(text, &put, &already)) {
		request_fail(r, EXIT_REFUSED, "%s; %llu addresses are on the list",
			     text ? text->text : "no memory for the answer",
			     (unsigned long long)x->put);
		rstr_unref(text);
		return;
	}
	rstr_unref(text);
	x->put += put;
	x->already += already;
	ask(r);
}

static void finish(struct request *r)
{
	struct import *x = r->state;
	struct buf out;

	x->over = true;
	buf_init(&out);
	add_grouped((int64_t)x->put, &out);
	buf_addz(&out, " addresses are on the list now, ");
	add_grouped((int64_t)x->already, &out);
	buf_addz(&out, " were there already, ");
	add_grouped((int64_t)x->wrong, &out);
	buf_addz(&out, " lines are wrong\n");
	if (x->put)
		control_say(r->c, "%s put %llu addresses on the suppression list", r->who->text,
			    (unsigned long long)x->put);
	request_out(r, buf_str(&out));
	buf_free(&out);
	request_finish(r, x->wrong ? EXIT_REFUSED : EXIT_DONE);
}

static void on_piece(struct request *r, struct str piece)
{
	struct import *x = r->state;
	struct buf rows;

	take_piece(x, piece);
	if (!piece.n) {
		finish(r);
	} else if (x->rows.n) {
		rows = x->rows;
		buf_init(&x->rows);
		suppress_send(r, &rows, false, on_written);
	} else {
		ask(r);
	}
}

void suppress_import(struct request *r)
{
	struct import *x;

	if (!r->sink->file) {
		request_fail(r, EXIT_USAGE,
			     "a file is read by the shell's command: stoker suppress import FILE");
		return;
	}
	x = calloc(1, sizeof *x);
	if (!x) {
		request_fail(r, EXIT_REFUSED, "no memory for the import");
		return;
	}
	x->r = r;
	buf_init(&x->rows);
	buf_init(&x->scratch);
	r->state = x;
	r->free_state = import_free;
	ask(r);
}
