/* `suppress list` and `export`: a walk over the list in its order, some entries a step and only
 * while the client takes them, so that ten million cost no pass much and no memory. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/jsonw.h"
#include "core/control/private.h"
#include "core/control/sieve.h"
#include "core/control/suppress.h"
#include "core/control/text.h"

enum { ROWS_A_STEP = 256, TERMINAL_ROWS = 100 };

/* ---- an entry's fields ---- */

enum suppress_field {
	SF_ADDRESS,
	SF_DOMAIN,
	SF_SENDER_DOMAIN,
	SF_WHY,
	SF_CATEGORY,
	SF_REASON,
	SF_BY,
	SF_AT,
	SF_UNTIL,
	SF_MESSAGE,
	SF_COUNT
};
static const struct {
	const char *name, *heading;
	enum value_type type;
	int width;
	bool word;
} fields[SF_COUNT] = {
	[SF_ADDRESS] = { "address", "ADDRESS", V_TEXT, 34, true },
	[SF_DOMAIN] = { "domain", NULL, V_TEXT, 0, false },
	[SF_SENDER_DOMAIN] = { "sender_domain", "FOR MAIL OF", V_TEXT, 22, true },
	[SF_WHY] = { "why", "WHY", V_TEXT, 9, true },
	[SF_CATEGORY] = { "category", NULL, V_TEXT, 0, true },
	[SF_REASON] = { "reason", "REASON", V_TEXT, 0, true },
	[SF_BY] = { "by", "BY", V_TEXT, 10, true },
	[SF_AT] = { "at", "SINCE", V_TIME, 11, false },
	[SF_UNTIL] = { "until", "UNTIL", V_TIME, 11, false },
	[SF_MESSAGE] = { "message", NULL, V_TEXT, 0, false },
};
/* The screen's order, and the file's. */
static const enum suppress_field columns[] = { SF_ADDRESS, SF_SENDER_DOMAIN, SF_WHY,
					       SF_AT,	   SF_UNTIL,	     SF_BY,
					       SF_REASON };
static const enum suppress_field csv[] = { SF_ADDRESS, SF_SENDER_DOMAIN, SF_WHY,   SF_AT,
					   SF_UNTIL,   SF_CATEGORY,	 SF_REASON };
enum { COLUMNS = sizeof columns / sizeof columns[0], CSV = sizeof csv / sizeof csv[0] };

struct entry { /* at hand */
	const struct suppression_row *row;
	char address[SUPPRESSION_KEY_MAX + 1], message[24];
	size_t n;
};

static void entry_set(struct entry *e, const struct suppression_row *row)
{
	int n = snprintf(e->address, sizeof e->address, "%.*s@%.*s", (int)row->local.n,
			 row->local.p, (int)row->domain.n, row->domain.p);

	e->row = row;
	e->n = n > 0 ? (size_t)n : 0;
	snprintf(e->message, sizeof e->message, "%llx", (unsigned long long)row->e.message);
}

static struct str text_of(const struct entry *x, enum suppress_field f)
{
	const struct suppression_entry *e = &x->row->e;
	const struct str texts[SF_COUNT] = {
		[SF_ADDRESS] = str_mem(x->address, x->n),
		[SF_DOMAIN] = x->row->domain,
		[SF_SENDER_DOMAIN] = x->row->scope,
		[SF_WHY] = str_of(suppress_why_name(e->why)),
		[SF_CATEGORY] = e->category,
		[SF_REASON] = e->words,
		[SF_BY] = e->by,
		[SF_MESSAGE] = str_of(e->message ? x->message : ""),
	};

	return texts[f];
}

static us_t time_of(const struct entry *x, enum suppress_field f)
{
	us_t at = f == SF_AT ? x->row->e.at : x->row->e.until;

	return at == US_NEVER ? 0 : at;
}

static void value_of(const struct entry *x, enum suppress_field f, struct value *out)
{
	*out = (struct value){ .type = V_NONE };
	if (fields[f].type == V_TIME)
		out->i = time_of(x, f);
	else
		out->s = text_of(x, f);
	if (out->i || out->s.n)
		out->type = fields[f].type;
}

/* ---- filter ---- */

static int field_number(const void *arg, struct str name)
{
	(void)arg;
	for (int i = 0; i < SF_COUNT; i++)
		if (str_ieqz(name, fields[i].name))
			return i;
	return -1;
}

static const char *field_name(const void *arg, int i)
{
	(void)arg;
	return i < SF_COUNT ? fields[i].name : NULL;
}

static enum value_type field_type(const void *arg, int field)
{
	(void)arg;
	return fields[field].type;
}

static void item_value(const struct sieve_item *it, int field, struct value *out)
{
	value_of(it->arg, (enum suppress_field)field, out);
}

static bool item_text(const struct sieve_item *it, int i, struct str *out)
{
	if (i >= SF_COUNT)
		return false;
	*out = fields[i].word ? text_of(it->arg, (enum suppress_field)i) : STR_LIT("");
	return true;
}

/* ---- the walk ---- */

struct walk {
	struct suppression_reader *reader;
	struct sieve *filter;
	bool csv, started, limited;
	struct suppression_key after, prefix; /* prefix.n 0: all */
	uint64_t matches, shown, limit;	      /* limit 0: none */
	struct request *r;
	struct buf *out; /* while a page is gone through */
};

static void walk_free(void *state)
{
	struct walk *w = state;

	sieve_free(w->filter);
	free(w);
}

static void csv_field(struct str s, struct buf *out)
{
	bool quote = false;

	for (size_t i = 0; i < s.n; i++)
		quote |= s.p[i] == '"' || s.p[i] == ',' || s.p[i] == '\n' || s.p[i] == '\r';
	if (!quote) {
		buf_adds(out, s);
		return;
	}
	buf_addc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			buf_addc(out, '"');
		buf_addc(out, s.p[i] == '\n' || s.p[i] == '\r' ? ' ' : s.p[i]);
	}
	buf_addc(out, '"');
}

static void csv_row(const struct entry *x, struct buf *out)
{
	char at[CLOCK_RFC3339_SIZE];

	for (int i = 0; i < CSV; i++) {
		buf_addz(out, i ? "," : "");
		if (fields[csv[i]].type != V_TIME) {
			csv_field(text_of(x, csv[i]), out);
		} else if (time_of(x, csv[i])) {
			clock_rfc3339(time_of(x, csv[i]), at);
			buf_addz(out, at);
		}
	}
	buf_addc(out, '\n');
}

static void json_row(const struct entry *x, struct buf *out)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_object(&w, NULL);
	for (int i = 0; i < SF_COUNT; i++) {
		enum suppress_field f = (enum suppress_field)i;

		if (fields[f].type == V_TIME && time_of(x, f))
			jsonw_time(&w, fields[f].name, time_of(x, f));
		else if (fields[f].type != V_TIME && text_of(x, f).n)
			jsonw_str(&w, fields[f].name, text_of(x, f));
	}
	jsonw_end_object(&w);
}

/* x NULL: the headings. */
static void text_row(struct request *r, const struct entry *x, struct buf *out)
{
	struct buf cell;

	buf_init(&cell);
	for (int i = 0; i < COLUMNS; i++) {
		struct value v = { .type = V_NONE };

		buf_clear(&cell);
		if (x) {
			value_of(x, columns[i], &v);
			value_text(&v, control_now(r->c), &cell);
		} else {
			buf_addz(&cell, fields[columns[i]].heading);
		}
		add_cell(buf_str(&cell), fields[columns[i]].width, false, r->columns > 0,
			 i == COLUMNS - 1, out);
	}
	buf_addc(out, '\n');
	buf_free(&cell);
}

static void show(struct walk *w, const struct entry *x)
{
	if (w->csv) {
		csv_row(x, w->out);
	} else if (w->r->inv.json) {
		buf_addz(w->out, w->shown ? "," : "");
		json_row(x, w->out);
	} else {
		if (!w->shown)
			text_row(w->r, NULL, w->out);
		text_row(w->r, x, w->out);
	}
	w->shown++;
}

static bool visit(void *arg, const struct suppression_row *row)
{
	struct walk *w = arg;
	struct sieve_item it = { .value = item_value,
				 .text = item_text,
				 .now = control_now(w->r->c) };
	struct entry x;

	if (row->e.until <= it.now)
		return true;
	entry_set(&x, row);
	it.arg = &x;
	if (!sieve_match(w->filter, &it))
		return true;
	if (w->matches++ < (uint64_t)w->r->inv.offset || (w->limit && w->shown >= w->limit))
		return true;
	show(w, &x);
	/* without a filter the number of all is known, and no more needs to be looked at */
	w->limited = w->limit && w->shown >= w->limit && sieve_empty(w->filter) && !w->prefix.n;
	return !w->limited;
}

static void head(struct walk *w)
{
	w->started = true;
	if (w->csv)
		for (int i = 0; i < CSV; i++)
			buf_addf(w->out, "%s%s%s", i ? "," : "", fields[csv[i]].name,
				 i == CSV - 1 ? "\n" : "");
	else if (w->r->inv.json)
		buf_addz(w->out, "{\"rows\":[");
}

static void tail(struct walk *w)
{
	uint64_t total =
	    w->limited ? suppression_reader_entries(w->reader, control_now(w->r->c)) : w->matches;
	uint64_t before = w->shown + (uint64_t)w->r->inv.offset;

	if (w->csv)
		return;
	if (w->r->inv.json)
		buf_addf(w->out, "],\"total\":%llu}\n", (unsigned long long)total);
	else if (!total)
		buf_addz(w->out, w->r->inv.filter.n ? "no addresses match\n"
						    : "the suppression list is empty\n");
	else if (total > before)
		buf_addf(w->out, "(%llu more; --limit, --offset show them)\n",
			 (unsigned long long)(total - before));
}

static enum pump_result pump_walk(struct request *r)
{
	struct walk *w = r->state;
	struct buf out;
	bool end;
	int n;

	buf_init(&out);
	w->out = &out;
	if (!w->started)
		head(w);
	n = suppression_page(w->reader, &w->after, str_mem(w->prefix.bytes, w->prefix.n),
			     ROWS_A_STEP, visit, w);
	end = n < ROWS_A_STEP || w->limited;
	if (n >= 0) { /* else nobody shall take what is there for all of it */
		if (end)
			tail(w);
		request_out(r, buf_str(&out));
	}
	buf_free(&out);
	if (n < 0)
		request_fail(r, EXIT_REFUSED, SUPPRESS_UNREADABLE);
	else if (end)
		request_finish(r, EXIT_DONE);
	else
		return PUMP_MORE;
	return PUMP_DONE;
}

/* An address, or @domain, is a range of the keys. */
static bool is_range(struct str filter, struct suppression_key *k)
{
	char normal[DOMAIN_SIZE];

	if (!filter.n || memchr(filter.p, ' ', filter.n) || strchr("!/\"", filter.p[0]))
		return false;
	if (filter.p[0] == '@' && domain_normal(str_mem(filter.p + 1, filter.n - 1), normal)) {
		k->n = (size_t)snprintf(k->bytes, sizeof k->bytes, "%s", normal) + 1;
		return true;
	}
	if (suppression_key(filter, STR_LIT(""), k))
		return false;
	k->n = k->base;
	return true;
}

static void walk_begin(struct request *r, bool as_csv)
{
	const struct sieve_source src = { NULL, field_number, field_name, field_type };
	struct suppression_reader *reader = suppress_reader(r);
	struct errbuf e = { "" };
	struct walk *w;

	if (!reader)
		return;
	w = calloc(1, sizeof *w);
	if (!w) {
		request_fail(r, EXIT_REFUSED, "no memory for the list");
		return;
	}
	w->r = r;
	w->reader = reader;
	w->csv = as_csv;
	w->filter = sieve_parse(
	    &src, is_range(r->inv.filter, &w->prefix) ? STR_LIT("") : r->inv.filter, &e);
	if (!w->filter || r->inv.sort.n) {
		walk_free(w);
		request_fail(r, EXIT_USAGE, "%s",
			     e.text[0]
				 ? e.text
				 : "the suppression list comes in the order of its domains and "
				   "local parts; it can't be sorted");
		return;
	}
	if (!as_csv)
		w->limit = r->inv.limit >= 0	    ? (uint64_t)r->inv.limit
			   : r->tty && !r->inv.json ? TERMINAL_ROWS
						    : 0;
	request_stream(r, pump_walk, w, walk_free);
}

void suppress_list(struct request *r)
{
	walk_begin(r, false);
}

void suppress_export(struct request *r)
{
	walk_begin(r, true);
}
