/* `messages`: pages of 200 recipients from the scheduler, filtered here, written as they come; the
 * next page is asked for when the client has taken this one. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/jsonw.h"
#include "core/control/private.h"
#include "core/control/sieve.h"
#include "core/control/text.h"

enum { PAGE = 200, TERMINAL_ROWS = 100 };

enum message_field {
	MF_ID,
	MF_SENDER,
	MF_RECIPIENT,
	MF_QUEUE,
	MF_JOB,
	MF_USER,
	MF_SIZE,
	MF_RECEIVED_AT,
	MF_ATTEMPTS,
	MF_NEXT_ATTEMPT,
	MF_EXPIRES_AT,
	MF_STATE,
	MF_LAST_REPLY,
	MF_WHY_CODE,
	MF_WHY_TEXT,
	MF_COUNT
};
static const struct {
	const char *name, *object, *heading; /* object: the member that holds it */
	enum value_type type;
	int width;
	bool right, word;
} fields[MF_COUNT] = {
	[MF_ID] = { "id", NULL, "ID", V_TEXT, 12, false, true },
	[MF_SENDER] = { "sender", NULL, "SENDER", V_TEXT, 24, false, true },
	[MF_RECIPIENT] = { "recipient", NULL, "RECIPIENT", V_TEXT, 28, false, true },
	[MF_QUEUE] = { "queue", NULL, NULL, V_TEXT, 0, false, true },
	[MF_JOB] = { "job", NULL, NULL, V_TEXT, 0, false, true },
	[MF_USER] = { "user", NULL, NULL, V_TEXT, 0, false, true },
	[MF_SIZE] = { "size", NULL, "SIZE", V_BYTES, 6, true, false },
	[MF_RECEIVED_AT] = { "received_at", NULL, NULL, V_TIME, 11, false, false },
	[MF_ATTEMPTS] = { "attempts", NULL, "TRY", V_INT, 3, true, false },
	[MF_NEXT_ATTEMPT] = { "next_attempt", NULL, "NEXT", V_TIME, 11, false, false },
	[MF_EXPIRES_AT] = { "expires_at", NULL, NULL, V_TIME, 11, false, false },
	[MF_STATE] = { "state", NULL, "STATE", V_TEXT, 9, false, true },
	[MF_LAST_REPLY] = { "last_reply", NULL, NULL, V_TEXT, 0, false, true },
	[MF_WHY_CODE] = { "code", "why", NULL, V_TEXT, 0, false, true },
	[MF_WHY_TEXT] = { "text", "why", "WHY", V_TEXT, 30, false, true },
};

static void json_value(json_t *row, int field, struct value *out)
{
	json_t *o = fields[field].object ? json_object_get(row, fields[field].object) : row;
	json_t *v = json_object_get(o, fields[field].name);
	us_t at;

	out->type = V_NONE;
	if (!v)
		return;
	if (json_is_string(v) && fields[field].type == V_TIME)
		*out = (struct value){ .type = V_TIME,
				       .i = text_time(str_of(json_string_value(v)), &at) ? at : 0 };
	else if (json_is_string(v))
		*out = (struct value){ .type = V_TEXT,
				       .s = str_mem(json_string_value(v), json_string_length(v)) };
	else if (json_is_number(v))
		*out = (struct value){ .type = fields[field].type,
				       .i = (int64_t)json_number_value(v),
				       .d = json_number_value(v) };
}

/* ---- filter ---- */

static int field_number(const void *arg, struct str name)
{
	(void)arg;
	if (str_ieqz(name, "why"))
		return MF_WHY_TEXT;
	if (str_ieqz(name, "why.code"))
		return MF_WHY_CODE;
	for (int i = 0; i < MF_COUNT; i++)
		if (!fields[i].object && str_ieqz(name, fields[i].name))
			return i;
	return -1;
}

static const char *field_name(const void *arg, int i)
{
	(void)arg;
	return i < MF_COUNT ? fields[i].object ? fields[i].object : fields[i].name : NULL;
}

static enum value_type field_type(const void *arg, int field)
{
	(void)arg;
	return fields[field].type;
}

static void item_value(const struct sieve_item *it, int field, struct value *out)
{
	json_value((json_t *)(uintptr_t)it->arg, field, out);
}

static bool item_text(const struct sieve_item *it, int i, struct str *out)
{
	struct value v = { .type = V_NONE };

	if (i >= MF_COUNT)
		return false;
	if (fields[i].word)
		item_value(it, i, &v);
	*out = v.type == V_TEXT ? v.s : STR_LIT("");
	return true;
}

/* ---- pages ---- */

struct pages {
	struct sieve *filter;
	uint64_t cursor;
	int64_t total; /* of the target, -1: unknown */
	int64_t matches, shown;
	int64_t limit; /* 0: none */
	bool started, asked;
	json_t *rows; /* of the page at hand */
};

static void pages_free(void *state)
{
	struct pages *p = state;

	sieve_free(p->filter);
	json_decref(p->rows);
	free(p);
}

static void text_row(struct request *r, json_t *row, struct buf *out)
{
	struct buf cell;

	buf_init(&cell);
	for (int i = 0; i < MF_COUNT; i++) {
		struct value v = { .type = V_NONE };

		if (!fields[i].heading)
			continue;
		buf_clear(&cell);
		if (row) {
			json_value(row, i, &v);
			value_text(&v, control_now(r->c), &cell);
		} else {
			buf_addz(&cell, fields[i].heading);
		}
		add_cell(buf_str(&cell), fields[i].width, fields[i].right, r->columns > 0,
			 i == MF_WHY_TEXT, out);
	}
	buf_addc(out, '\n');
	buf_free(&cell);
}

static void page_head(struct request *r, struct pages *p, struct buf *out)
{
	p->started = true;
	if (!r->inv.json)
		return; /* the table's head comes with its first row */
	/* With a filter the number is known at the end only. */
	if (p->total >= 0 && sieve_empty(p->filter))
		buf_addf(out, "{\"total\":%lld,\"rows\":[", (long long)p->total);
	else
		buf_addz(out, "{\"rows\":[");
}

static void page_row(struct request *r, struct pages *p, json_t *row, struct buf *out)
{
	char *text;

	if (!r->inv.json) {
		if (!p->shown)
			text_row(r, NULL, out);
		text_row(r, row, out);
		return;
	}
	text = json_dumps(row, JSON_COMPACT);
	if (!text)
		return;
	buf_addf(out, "%s", p->shown ? "," : "");
	buf_addz(out, text);
	free(text);
}

static bool limit_reached(const struct pages *p)
{
	return p->limit && p->shown >= p->limit;
}

static void page_tail(struct request *r, struct pages *p, bool walked, struct buf *out)
{
	bool filtered = !sieve_empty(p->filter);

	if (!r->inv.json && !p->shown)
		buf_addz(out, filtered ? "no recipients match\n" : "no recipients wait\n");
	else if (!r->inv.json && !filtered)
		text_table_rest(p->total - r->inv.offset - p->shown, 0, out);
	else if (!r->inv.json)
		buf_addz(out, walked ? "" : "(there may be more; --limit, --offset shows them)\n");
	else if (!filtered && p->total >= 0)
		buf_addz(out, "]}\n");
	else if (walked)
		buf_addf(out, "],\"total\":%lld}\n", (long long)p->matches);
	else
		buf_addz(out, "]}\n");
}

static void page_rows(struct request *r, struct pages *p, struct buf *out)
{
	struct sieve_item it = { .value = item_value, .text = item_text, .now = control_now(r->c) };
	json_t *row;
	size_t i;

	json_array_foreach(p->rows, i, row)
	{
		it.arg = row;
		if (limit_reached(p) || !sieve_match(p->filter, &it))
			continue;
		if (p->matches++ < r->inv.offset)
			continue;
		page_row(r, p, row, out);
		p->shown++;
	}
	json_decref(p->rows);
	p->rows = NULL;
}

static void ask_page(struct request *r);

static enum pump_result pump_page(struct request *r)
{
	struct pages *p = r->state;
	bool over, walked = !p->cursor;
	struct buf out;

	if (!p->rows) {
		if (!p->asked)
			ask_page(r);
		return PUMP_WAIT;
	}
	buf_init(&out);
	if (!p->started)
		page_head(r, p, &out);
	page_rows(r, p, &out);
	over = walked || limit_reached(p);
	if (over)
		page_tail(r, p, walked, &out);
	request_out(r, buf_str(&out));
	buf_free(&out);
	if (!over)
		return PUMP_MORE;
	request_finish(r, EXIT_DONE);
	return PUMP_DONE;
}

static void on_page(struct request *r, int exit, struct rstr *text)
{
	struct pages *p = r->state;
	struct str t = rstr_str(text);
	json_t *o = exit == EXIT_DONE ? json_loadb(t.p, t.n, 0, NULL) : NULL;
	json_t *total = json_object_get(o, "total"), *rows = json_object_get(o, "rows");
	const char *cursor = json_string_value(json_object_get(o, "cursor"));

	p->asked = false;
	if (!json_is_array(rows)) {
		struct buf words;

		buf_init(&words);
		buf_adds(&words, exit == EXIT_DONE ? STR_LIT("the page of recipients can't be read")
						   : text_chomp(t));
		if (r->inv.has_target)
			names_near(r->c->mirror, &r->inv.sched.target, &words);
		request_fail(r, exit == EXIT_DONE ? EXIT_REFUSED : exit, "%s", buf_z(&words));
		buf_free(&words);
	} else {
		p->rows = json_incref(rows);
		p->cursor = cursor ? strtoull(cursor, NULL, 10) : 0;
		if (json_is_integer(total))
			p->total = json_integer_value(total);
		request_wake(r);
	}
	json_decref(o);
	rstr_unref(text);
}

static void ask_page(struct request *r)
{
	struct pages *p = r->state;

	p->asked = true;
	request_wait_text(r, on_page);
	r->c->env.sched_messages(r->c->env.arg, r->id, &r->inv.sched.target, p->cursor, PAGE);
}

void list_messages(struct request *r)
{
	const struct sieve_source src = { NULL, field_number, field_name, field_type };
	struct pages *p = calloc(1, sizeof *p);
	struct errbuf e = { "" };

	if (!p) {
		request_fail(r, EXIT_REFUSED, "no memory for the list");
		return;
	}
	p->filter = sieve_parse(&src, r->inv.filter, &e);
	if (!p->filter || r->inv.sort.n) {
		pages_free(p);
		request_fail(r, EXIT_USAGE, "%s",
			     e.text[0] ? e.text
				       : "messages come in due order; they can't be sorted");
		return;
	}
	p->total = -1;
	p->limit = r->inv.limit >= 0 ? r->inv.limit : r->tty && !r->inv.json ? TERMINAL_ROWS : 0;
	request_stream(r, pump_page, p, pages_free);
}
