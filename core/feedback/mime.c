#include "core/feedback/mime.h"

#include <stdlib.h>

enum { GUESS_LINES = 400 };

static const struct str nothing = { "", 0 };

void *mime_alloc(struct mime *m, size_t n)
{
	if (n > MIME_MEMORY_MAX || m->mem->total_bytes > MIME_MEMORY_MAX - n) {
		m->cut = true;
		return NULL;
	}
	return arena_alloc(m->mem, n + 1);
}

/* The small letter of a two-byte UTF-8 character that has one of two bytes: Latin, Greek, Cyrillic.
 */
static unsigned small(unsigned c)
{
	if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x391 && c <= 0x3A9) ||
	    (c >= 0x410 && c <= 0x42F))
		return c + 0x20;
	if (c >= 0x400 && c <= 0x40F)
		return c + 0x50;
	if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E))
		return c + (c & 1);
	return c >= 0x100 && c <= 0x177 && c != 0x130 ? c | 1 : c;
}

struct str mime_lower(struct mime *m, struct str s)
{
	char *p = mime_alloc(m, s.n);

	if (!p)
		return nothing;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		p[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : s.p[i];
		if (c < 0xC3 || c > 0xD1 || i + 1 >= s.n ||
		    ((unsigned char)s.p[i + 1] & 0xC0) != 0x80)
			continue;
		unsigned rune = small((c & 0x1Fu) << 6 | ((unsigned char)s.p[i + 1] & 0x3Fu));
		p[i] = (char)(0xC0 | rune >> 6);
		p[++i] = (char)(0x80 | (rune & 0x3F));
	}
	return str_mem(p, s.n);
}

/* LF line ends, and blanks for NUL: what is read below knows one kind of line. */
static struct str one_line_end(struct mime *m, struct str s)
{
	char *p = mime_alloc(m, s.n);
	size_t n = 0;

	if (!p)
		return nothing;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r') {
			p[n++] = '\n';
			i += i + 1 < s.n && s.p[i + 1] == '\n';
		} else {
			p[n++] = s.p[i] ? s.p[i] : ' ';
		}
	}
	return str_mem(p, n);
}

/* ---- header ---- */

static struct str next_line(struct str *s)
{
	const char *lf = s->n ? memchr(s->p, '\n', s->n) : NULL;
	struct str line = { s->p, lf ? (size_t)(lf - s->p) : s->n };
	size_t used = lf ? line.n + 1 : line.n;

	*s = str_mem(s->p + used, s->n - used);
	return line;
}

/* Bytes of the field's name; 0 if the line is no field. */
static size_t name_length(struct str line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 127 && line.p[n] != ':')
		n++;
	size_t colon = n;
	while (colon < line.n && (line.p[colon] == ' ' || line.p[colon] == '\t'))
		colon++;
	return colon < line.n && line.p[colon] == ':' ? n : 0;
}

static void add_field(struct mime_head *h, struct str line, size_t name)
{
	const char *colon = memchr(line.p + name, ':', line.n - name);
	struct str value = str_mem(colon + 1, line.n - (size_t)(colon + 1 - line.p));

	if (value.n > MIME_FIELD_BYTES_MAX)
		value.n = MIME_FIELD_BYTES_MAX;
	if (h->n < MIME_FIELDS_MAX)
		h->fields[h->n++] = (struct mime_field){ str_mem(line.p, name), value };
}

/* A folded line belongs to the field before it: the two stand side by side in the text. */
static void grow_field(struct mime_head *h, struct str line)
{
	struct mime_field *f = &h->fields[h->n - 1];
	size_t n = (size_t)(line.p + line.n - f->value.p);

	if (n <= MIME_FIELD_BYTES_MAX && f->value.n < MIME_FIELD_BYTES_MAX)
		f->value.n = n;
}

void mime_head_read(struct mime *m, struct str text, bool skip_noise, struct mime_head *head,
		    struct str *rest)
{
	struct str line, before;
	size_t name, room = 1;
	bool open = false; /* a folded line continues the last field */

	for (struct str t = text; t.n && room < MIME_FIELDS_MAX; room++) {
		line = next_line(&t);
		if (!line.n)
			break;
	}
	*head = (struct mime_head){ mime_alloc(m, room * sizeof(struct mime_field)), 0 };
	for (*rest = text; head->fields && rest->n;) {
		before = *rest;
		line = next_line(rest);
		if (!line.n)
			return;
		if (line.p[0] == ' ' || line.p[0] == '\t') {
			if (open)
				grow_field(head, line);
			else if (!str_trim(line).n && !skip_noise)
				return;
			continue;
		}
		name = name_length(line);
		open = name && (size_t)head->n < room && head->n < MIME_FIELDS_MAX;
		if (open) {
			add_field(head, line, name);
		} else if (!name && !skip_noise && !str_istarts(line, "From ") &&
			   !str_istarts(line, ">From ")) {
			*rest = before;
			return;
		}
	}
}

bool mime_has_field(const struct mime_head *head, const char *name)
{
	for (int i = 0; i < head->n; i++)
		if (str_ieqz(head->fields[i].name, name))
			return true;
	return false;
}

struct str mime_unfold(struct mime *m, struct str v)
{
	char *p;
	size_t n = 0;

	v = str_trim(v);
	if (!v.n || !memchr(v.p, '\n', v.n))
		return v;
	p = mime_alloc(m, v.n);
	for (size_t i = 0; p && i < v.n; i++) {
		if (v.p[i] != '\n') {
			p[n++] = v.p[i];
			continue;
		}
		while (i + 1 < v.n && (v.p[i + 1] == ' ' || v.p[i + 1] == '\t'))
			i++;
		p[n++] = ' ';
	}
	return p ? str_trim(str_mem(p, n)) : nothing;
}

struct str mime_field(struct mime *m, const struct mime_head *head, const char *name)
{
	for (int i = 0; i < head->n; i++)
		if (str_ieqz(head->fields[i].name, name))
			return mime_unfold(m, head->fields[i].value);
	return nothing;
}

/* ---- parameters ---- */

/* The value of a parameter that begins at s: quoted or a token. *used: its bytes. */
static struct str param_value(struct mime *m, struct str s, size_t *used)
{
	size_t i = 1, n = 0;
	char *p;

	if (!s.n || s.p[0] != '"') {
		for (i = 0; i < s.n && !strchr("; \t", s.p[i]);)
			i++;
		*used = i;
		return str_mem(s.p, i);
	}
	p = mime_alloc(m, s.n);
	for (; p && i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		p[n++] = s.p[i];
	}
	*used = i < s.n ? i + 1 : s.n;
	return p ? str_mem(p, n) : nothing;
}

struct param {
	struct str key, value;
};

/* The next parameter of *s, which begins behind the value's own word or the last parameter. */
static bool next_param(struct mime *m, struct str *s, struct param *p)
{
	size_t used;

	while (s->n) {
		const char *semi = memchr(s->p, ';', s->n), *eq;

		if (!semi)
			return false;
		*s = str_mem(semi + 1, s->n - (size_t)(semi + 1 - s->p));
		eq = s->n ? memchr(s->p, '=', s->n) : NULL;
		semi = s->n ? memchr(s->p, ';', s->n) : NULL;
		if (!eq || (semi && semi < eq))
			continue;
		struct str key = str_mem(s->p, (size_t)(eq - s->p));
		*s = str_trim(str_mem(eq + 1, s->n - key.n - 1));
		p->value = param_value(m, *s, &used);
		p->key = str_trim(key);
		*s = str_mem(s->p + used, s->n - used);
		return true;
	}
	return false;
}

/* A value in pieces, name*0, name*1*, or in one that is encoded, name* (RFC 2231). */
struct pieces {
	struct str values[MIME_PIECES_MAX];
	bool there[MIME_PIECES_MAX], encoded[MIME_PIECES_MAX];
};

/* The piece's number; -1 if `mark`, which follows the name, is no piece's. */
static int piece_number(struct str mark, bool *encoded)
{
	int n = 0;
	size_t i = 1;

	if (!mark.n || mark.p[0] != '*')
		return -1;
	*encoded = mark.n == 1 || mark.p[mark.n - 1] == '*';
	size_t end = mark.n > 1 && *encoded ? mark.n - 1 : mark.n;
	for (; i < end && n < MIME_PIECES_MAX && mark.p[i] >= '0' && mark.p[i] <= '9'; i++)
		n = n * 10 + mark.p[i] - '0';
	if (mark.n > 1 && i == 1)
		return -1; /* no digit */
	return i == end && n < MIME_PIECES_MAX ? n : -1;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t percent_decode(struct str s, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		int hi = s.p[i] == '%' && i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
		int lo = hi >= 0 ? hex_digit(s.p[i + 2]) : -1;

		out[n++] = (char)(lo >= 0 ? hi << 4 | lo : s.p[i]);
		if (lo >= 0)
			i += 2;
	}
	return n;
}

/* Takes charset'language' off the front of an encoded first piece. */
static struct str piece_charset(struct str *first)
{
	const char *one = first->n ? memchr(first->p, '\'', first->n) : NULL;
	const char *end = first->p + first->n;
	const char *two = one ? memchr(one + 1, '\'', (size_t)(end - one - 1)) : NULL;
	struct str charset = { first->p, one ? (size_t)(one - first->p) : 0 };

	if (!two)
		return nothing;
	*first = str_mem(two + 1, (size_t)(end - two - 1));
	return charset;
}

static struct str join_pieces(struct mime *m, struct pieces *p)
{
	struct str charset = p->encoded[0] ? piece_charset(&p->values[0]) : nothing;
	size_t room = 0, n = 0;
	int count = 0;

	for (; count < MIME_PIECES_MAX && p->there[count]; count++)
		room += p->values[count].n;
	char *out = mime_alloc(m, room);
	for (int i = 0; out && i < count; i++) {
		struct str v = p->values[i];

		if (p->encoded[i]) {
			n += percent_decode(v, out + n);
		} else {
			memcpy(out + n, v.p, v.n);
			n += v.n;
		}
	}
	if (!out)
		return nothing;
	return charset.n ? mime_utf8(m, str_mem(out, n), charset) : str_mem(out, n);
}

struct str mime_param(struct mime *m, struct str value, const char *name)
{
	struct str s = mime_unfold(m, value), wanted = str_of(name);
	struct pieces pieces = { 0 };
	struct param p;
	bool encoded;

	while (next_param(m, &s, &p)) {
		if (!str_istarts(p.key, name))
			continue;
		if (p.key.n == wanted.n)
			return str_trim(p.value);
		int i = piece_number(str_mem(p.key.p + wanted.n, p.key.n - wanted.n), &encoded);
		if (i < 0 || pieces.there[i])
			continue;
		pieces.values[i] = p.value;
		pieces.there[i] = true;
		pieces.encoded[i] = encoded;
	}
	return pieces.there[0] ? str_trim(join_pieces(m, &pieces)) : nothing;
}

/* ---- structure ---- */

static const struct {
	const char *name;
	enum mime_encoding encoding;
} encodings[] = { { "base64", MIME_BASE64 }, { "quoted-printable", MIME_QUOTED } };

static void read_type(struct mime *m, struct mime_part *p, const char *otherwise)
{
	struct str v = mime_field(m, &p->head, "Content-Type"), type = v;
	const char *semi = v.n ? memchr(v.p, ';', v.n) : NULL;

	if (semi)
		type.n = (size_t)(semi - v.p);
	type = mime_lower(m, str_trim(type));
	p->type = type.n && memchr(type.p, '/', type.n) ? type : str_of(otherwise);
	p->charset = mime_param(m, v, "charset");
	p->multipart = str_istarts(p->type, "multipart/");
	v = mime_field(m, &p->head, "Content-Transfer-Encoding");
	for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
		if (str_istarts(v, encodings[i].name))
			p->encoding = encodings[i].encoding;
	p->attachment = str_istarts(mime_field(m, &p->head, "Content-Disposition"), "attachment");
}

struct fence {
	struct str boundary;
	bool fold; /* case: some rewrite the header's and not the body's */
};

/* A delimiter line; *last at the closing one. */
static bool is_fence(struct str line, const struct fence *f, bool *last)
{
	struct str b = f->boundary;

	if (line.n < b.n + 2 || line.p[0] != '-' || line.p[1] != '-')
		return false;
	struct str there = str_mem(line.p + 2, b.n);
	if (!(f->fold ? str_ieq(there, b) : str_eq(there, b)))
		return false;
	struct str tail = str_trim(str_mem(line.p + 2 + b.n, line.n - 2 - b.n));
	*last = str_eqz(tail, "--");
	return !tail.n || *last;
}

static bool read_entity(struct mime *m, struct str text, int parent, int depth, const char *type);

/* How many parts were found between the fences. */
static int read_children(struct mime *m, struct str body, int self, int depth,
			 const struct fence *f)
{
	const char *type =
	    str_eqz(m->parts[self].type, "multipart/digest") ? "message/rfc822" : "text/plain";
	const char *from = NULL;
	bool last = false;
	int found = 0;

	while (body.n && !last) {
		struct str line = next_line(&body);

		if (!is_fence(line, f, &last))
			continue;
		if (from) {
			size_t n = line.p > from ? (size_t)(line.p - 1 - from) : 0;
			found += read_entity(m, str_mem(from, n), self, depth + 1, type);
		}
		from = body.p;
	}
	if (from && !last) /* the end is missing */
		found += read_entity(m, str_mem(from, body.n + (size_t)(body.p - from)), self,
				     depth + 1, type);
	return found;
}

/* The header names no boundary that is there: the first line of the body that looks like one and
 * has a Content-Type below it. */
static struct str guess_boundary(struct str body)
{
	for (int i = 0; i < GUESS_LINES && body.n; i++) {
		struct str line = str_trim(next_line(&body));

		if (line.n > 4 && line.p[0] == '-' && line.p[1] == '-' &&
		    !memchr(line.p, ' ', line.n) && str_istarts(body, "Content-"))
			return str_mem(line.p + 2, line.n - 2);
	}
	return nothing;
}

static void read_multipart(struct mime *m, int self, int depth)
{
	struct mime_part *p = &m->parts[self];
	struct fence f = { mime_param(m, mime_field(m, &p->head, "Content-Type"), "boundary"),
			   false };
	struct str body = p->body;

	if (f.boundary.n && read_children(m, body, self, depth, &f))
		return;
	f.fold = true;
	if (f.boundary.n && read_children(m, body, self, depth, &f))
		return;
	f = (struct fence){ guess_boundary(body), false };
	if (!f.boundary.n || !read_children(m, body, self, depth, &f))
		p->multipart = false; /* a text after all */
}

static bool read_entity(struct mime *m, struct str text, int parent, int depth, const char *type)
{
	int self = m->n;
	struct mime_part *p;

	if (self >= MIME_PARTS_MAX) {
		m->cut = true;
		return false;
	}
	m->n++;
	p = &m->parts[self];
	*p = (struct mime_part){ .parent = parent };
	mime_head_read(m, text, false, &p->head, &p->body);
	read_type(m, p, type);
	if (p->multipart && depth < MIME_DEPTH_MAX)
		read_multipart(m, self, depth);
	else
		m->cut = m->cut || p->multipart;
	return true;
}

bool mime_read(struct str message, struct arena *mem, struct mime *m)
{
	struct str text;

	m->mem = mem;
	m->n = 0;
	m->cut = message.n > MIME_BYTES_MAX;
	if (m->cut)
		message.n = MIME_BYTES_MAX;
	text = one_line_end(m, message);
	if (!text.n && message.n)
		return false;
	while (text.n && text.p[0] == '\n')
		text = str_mem(text.p + 1, text.n - 1);
	return read_entity(m, text, -1, 0, "text/plain");
}
