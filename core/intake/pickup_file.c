#include "core/intake/pickup_file.h"

#include <string.h>

enum { FIRST_BLOCK = 2048, RCPTS_FIRST = 8 };

/* ---- lines ---- */

struct lines {
	struct str rest;
	size_t number; /* of the line that was given last */
};

/* The next line without its end; false when there is none. */
static bool next_line(struct lines *l, struct str *line)
{
	const char *lf;

	if (!l->rest.n)
		return false;
	lf = memchr(l->rest.p, '\n', l->rest.n);
	*line = str_mem(l->rest.p, lf ? (size_t)(lf - l->rest.p) : l->rest.n);
	l->rest = lf ? str_mem(lf + 1, l->rest.n - line->n - 1) : str_mem("", 0);
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	l->number++;
	return true;
}

/* What no message may hold. A CR at the very end of the file is bare, too. */
static bool clean_bytes(struct str file, struct errbuf *why)
{
	struct lines l = { file, 0 };
	struct str line;

	while (next_line(&l, &line)) {
		const char *end = line.p + line.n;
		bool at_end = !l.rest.n && end < file.p + file.n && *end == '\r' &&
			      end + 1 == file.p + file.n;

		if (memchr(line.p, 0, line.n)) {
			errbuf_set(why, "line %zu holds a NUL byte: this is not a message",
				   l.number);
			return false;
		}
		if (at_end || memchr(line.p, '\r', line.n)) {
			errbuf_set(why, "line %zu holds a CR that no LF follows", l.number);
			return false;
		}
	}
	return true;
}

/* ---- the envelope ---- */

static bool add_rcpt(void *arg, struct str address)
{
	struct pickup_mail *m = arg;

	if (m->nrcpts == m->rcpts_cap) {
		size_t cap = m->rcpts_cap ? m->rcpts_cap * 2 : RCPTS_FIRST;
		struct str *v = arena_alloc(&m->arena, cap * sizeof *v);

		if (!v)
			return false;
		if (m->nrcpts)
			memcpy(v, m->rcpts, m->nrcpts * sizeof *v);
		m->rcpts = v;
		m->rcpts_cap = cap;
	}
	m->rcpts[m->nrcpts++] = address;
	return true;
}

static bool first_only(void *arg, struct str address)
{
	struct str *to = arg;

	if (!to->p)
		*to = address;
	return true;
}

enum lead { LEAD_SENDER, LEAD_RECEIVER, LEAD_ENVID, LEAD_JOB, LEADS };
static const char *const lead_words[LEADS] = { "x-sender:", "x-receiver:", "x-envid:", "x-job:" };

struct leads {
	bool seen[LEADS];
	struct str job;
};

static bool lead_address(struct pickup_mail *m, enum lead lead, struct str v, struct errbuf *why)
{
	size_t before = m->nrcpts;
	struct str sender = { NULL, 0 };

	if (lead == LEAD_SENDER && (!v.n || str_eqz(v, "<>"))) {
		m->sender = str_mem("", 0);
		return true;
	}
	if (lead == LEAD_SENDER) {
		if (!address_list_each(v, &m->arena, first_only, &sender, why))
			return false;
		m->sender = sender;
		return true;
	}
	if (!address_list_each(v, &m->arena, add_rcpt, m, why))
		return false;
	if (m->nrcpts == before)
		errbuf_set(why, "an x-receiver: line names nobody");
	return m->nrcpts > before;
}

static bool take_lead(struct pickup_mail *m, struct leads *x, enum lead lead, struct str v,
		      struct errbuf *why)
{
	if (x->seen[lead] && lead != LEAD_RECEIVER) {
		errbuf_set(why, "%s stands twice", lead_words[lead]);
		return false;
	}
	x->seen[lead] = true;
	if (lead == LEAD_ENVID)
		m->envid = v;
	else if (lead == LEAD_JOB)
		x->job = v;
	else
		return lead_address(m, lead, v, why);
	return true;
}

static int lead_of(struct str line)
{
	for (int i = 0; i < LEADS; i++)
		if (str_istarts(line, lead_words[i]))
			return i;
	return -1;
}

/* Takes the leading lines off. */
static bool take_leads(struct pickup_mail *m, struct lines *l, struct leads *x, struct errbuf *why)
{
	struct lines ahead = *l;
	struct str line;

	while (next_line(&ahead, &line)) {
		int lead = lead_of(line);

		if (lead < 0)
			break;
		size_t word = strlen(lead_words[lead]);
		if (!take_lead(m, x, (enum lead)lead,
			       str_trim(str_mem(line.p + word, line.n - word)), why))
			return false;
		*l = ahead;
	}
	if (x->seen[LEAD_SENDER] != x->seen[LEAD_RECEIVER]) {
		errbuf_set(why, "it has x-sender: or x-receiver: lines, but not both");
		return false;
	}
	return true;
}

/* ---- the header ---- */

struct header {
	struct str return_path, sender, from;
};

static bool field_is(struct str field, const char *name)
{
	const char *colon = memchr(field.p, ':', field.n);

	return colon && str_ieqz(str_trim(str_mem(field.p, (size_t)(colon - field.p))), name);
}

/* A field's value, unfolded: its line ends are dropped. */
static struct str unfolded(struct pickup_mail *m, struct str field)
{
	const char *colon = memchr(field.p, ':', field.n);
	struct lines l = { str_mem(colon + 1, field.n - (size_t)(colon + 1 - field.p)), 0 };
	char *to = arena_alloc(&m->arena, field.n + 1);
	struct str line;
	size_t n = 0;

	while (to && next_line(&l, &line)) {
		memcpy(to + n, line.p, line.n);
		n += line.n;
	}
	return to ? str_trim(str_mem(to, n)) : str_mem("", 0);
}

/* One field of the header; *keep false: it does not go with the message. */
static bool header_field(struct pickup_mail *m, struct header *h, struct str field, bool *keep,
			 struct errbuf *why)
{
	static const char *const recipients[] = { "To", "Cc", "Bcc" };
	struct {
		const char *name;
		struct str *to;
	} senders[] = { { "Return-Path", &h->return_path },
			{ "Sender", &h->sender },
			{ "From", &h->from } };

	*keep = !field_is(field, "Bcc") && !field_is(field, "Return-Path");
	for (size_t i = 0; i < sizeof recipients / sizeof *recipients; i++)
		if (field_is(field, recipients[i]))
			return address_list_each(unfolded(m, field), &m->arena, add_rcpt, m, why);
	for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
		if (!field_is(field, senders[i].name) || senders[i].to->p)
			continue;
		struct str v = unfolded(m, field);
		if (str_eqz(v, "<>"))
			*senders[i].to = str_mem("", 0);
		else
			return address_list_each(v, &m->arena, first_only, senders[i].to, why);
	}
	return true;
}

static bool put_lines(struct buf *out, struct str text)
{
	struct lines l = { text, 0 };
	struct str line;

	while (next_line(&l, &line)) {
		buf_adds(out, line);
		buf_addz(out, "\r\n");
	}
	return !buf_failed(out);
}

/* The bytes of the field that begins at `rest`: its line and those that are folded. */
static size_t field_bytes(struct str rest)
{
	struct lines l = { rest, 0 };
	struct str line;

	do
		next_line(&l, &line);
	while (l.rest.n && (*l.rest.p == ' ' || *l.rest.p == '\t'));
	return rest.n - l.rest.n;
}

static bool header_to_envelope(struct pickup_mail *m, struct lines *l, struct errbuf *why)
{
	struct header h = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };

	while (l->rest.n && *l->rest.p != '\n' && *l->rest.p != '\r') {
		struct str field = str_mem(l->rest.p, field_bytes(l->rest));
		bool keep;

		if (!memchr(field.p, ':', field.n))
			break; /* the text begins without an empty line */
		if (!header_field(m, &h, field, &keep, why))
			return false;
		if (keep)
			put_lines(&m->message, field);
		l->rest = str_mem(field.p + field.n, l->rest.n - field.n);
	}
	m->sender = h.return_path.p ? h.return_path : h.sender.p ? h.sender : h.from;
	if (!m->sender.p)
		errbuf_set(why, "it has neither x-sender: lines nor a From field: who sends it?");
	else if (!m->nrcpts)
		errbuf_set(
		    why, "it names nobody to send to: neither x-receiver: lines nor To, Cc or Bcc");
	return m->sender.p && m->nrcpts;
}

static bool has_utf8(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 0x7F)
			return true;
	return false;
}

bool pickup_parse(struct str file, struct pickup_mail *out, struct errbuf *why)
{
	struct lines l = { file, 0 };
	struct leads x = { .job = { "", 0 } };

	*out = (struct pickup_mail){ .envid = { "", 0 } };
	arena_init(&out->arena, FIRST_BLOCK);
	buf_init(&out->message);
	why->text[0] = 0;
	if (!file.n) {
		errbuf_set(why, "it is empty");
		return false;
	}
	if (!clean_bytes(file, why) || !take_leads(out, &l, &x, why))
		return false;
	if (!buf_reserve(&out->message, l.rest.n + l.rest.n / 32 + 256)) {
		errbuf_set(why, "no memory");
		return false;
	}
	if (x.job.n)
		buf_addf(&out->message, "X-Job: %.*s\r\n", (int)x.job.n, x.job.p);
	if (!x.seen[LEAD_SENDER] && !header_to_envelope(out, &l, why))
		return false;
	if (!put_lines(&out->message, l.rest)) {
		errbuf_set(why, "no memory");
		return false;
	}
	out->utf8 = has_utf8(out->sender);
	for (size_t i = 0; i < out->nrcpts && !out->utf8; i++)
		out->utf8 = has_utf8(out->rcpts[i]);
	return true;
}

void pickup_mail_free(struct pickup_mail *m)
{
	arena_free(&m->arena);
	buf_free(&m->message);
}
