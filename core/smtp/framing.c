#include "core/smtp/framing.h"

enum { REPLY_TEXT_MAX = 8 * 1024, REPLY_LINE_MAX = 1024 };

/* ---- command lines ---- */

enum line_result framing_line(struct str in, size_t max, struct str *line, size_t *used)
{
	size_t look = in.n < max ? in.n : max;
	const char *lf = look ? memchr(in.p, '\n', look) : NULL;
	size_t n;

	if (!lf)
		return in.n >= max ? LINE_TOO_LONG : LINE_MORE;
	n = (size_t)(lf - in.p);
	if (!n || in.p[n - 1] != '\r')
		return LINE_BAD_BYTES;
	*line = str_mem(in.p, n - 1);
	*used = n + 1;
	if (memchr(line->p, '\r', line->n) || memchr(line->p, '\0', line->n))
		return LINE_BAD_BYTES;
	return LINE_OK;
}

/* ---- message bytes in ---- */

void data_scan_init(struct data_scan *d, bool chunks)
{
	*d = (struct data_scan){ .bol = true, .chunks = chunks };
}

/* One call's walk: bytes are read at r and kept at w, which falls behind when dots are removed. */
struct walk {
	struct data_scan *d;
	char *r, *w, *end;
};

static void keep(struct walk *k, size_t n)
{
	if (k->w != k->r)
		memmove(k->w, k->r, n);
	k->w += n;
	k->r += n;
	k->d->total += n;
}

/* A line that begins with a dot: DATA_END (r is behind the terminator), DATA_BAD, or DATA_MORE with
 * *stuck if the bytes that decide have not come. */
static enum data_result dot_at_line_start(struct walk *k, bool *stuck)
{
	size_t n = (size_t)(k->end - k->r);

	*stuck = n < 2 || (k->r[1] == '\r' && n < 3);
	if (*stuck)
		return DATA_MORE;
	if (k->r[1] == '\r') {
		if (k->r[2] != '\n')
			return DATA_BAD;
		k->r += 3;
		return DATA_END;
	}
	k->r++;
	k->d->dot_line |= *k->r == '.';
	k->d->bol = false;
	return DATA_MORE;
}

/* The rest of the line at r, or as much of it as is here. */
static enum data_result rest_of_line(struct walk *k)
{
	struct data_scan *d = k->d;
	char *lf = memchr(k->r, '\n', (size_t)(k->end - k->r));
	size_t n = (size_t)((lf ? lf + 1 : k->end) - k->r), text;

	if (lf && (n < 2 || lf[-1] != '\r'))
		return DATA_BAD;
	if (!lf && k->r[n - 1] == '\r')
		n--; /* its LF may come with the next read */
	text = lf ? n - 2 : n;
	if (memchr(k->r, '\r', text))
		return DATA_BAD;
	d->line_bytes += n;
	if (d->line_bytes > TEXT_LINE_MAX)
		return DATA_LINE_TOO_LONG;
	if (lf && d->bol && !text && !d->header_done) {
		d->header_done = true;
		d->header_bytes = d->total;
	}
	if (d->chunks && d->bol && n && *k->r == '.')
		d->dot_line = true;
	d->bol = lf || (d->bol && !n);
	if (lf)
		d->line_bytes = 0;
	keep(k, n);
	return DATA_MORE;
}

static enum data_result walk_lines(struct walk *k)
{
	enum data_result res = DATA_MORE;
	bool stuck = false;

	while (k->r < k->end && res == DATA_MORE && !stuck) {
		if (k->d->bol && *k->r == '.' && !k->d->chunks)
			res = dot_at_line_start(k, &stuck);
		else if (k->r + 1 == k->end && *k->r == '\r')
			stuck = true;
		else
			res = rest_of_line(k);
	}
	return res;
}

/* Eight bytes at a time: the compiler does not vectorise a loop with an early end. */
static bool any_eightbit(const char *p, size_t n)
{
	uint64_t word, seen = 0;

	for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
		memcpy(&word, p, sizeof word);
		seen |= word;
	}
	for (; n; n--)
		seen |= (unsigned char)*p++;
	return (seen & UINT64_C(0x8080808080808080)) != 0;
}

enum data_result data_scan(struct data_scan *d, struct buf *b, struct str *after)
{
	struct walk k = { .d = d };
	size_t from = d->clean, tail;
	enum data_result res;

	*after = (struct str){ "", 0 };
	if (from >= b->n)
		return DATA_MORE;
	k.r = k.w = b->p + from;
	k.end = b->p + b->n;
	res = walk_lines(&k);
	d->clean = (size_t)(k.w - b->p);
	if (memchr(b->p + from, '\0', d->clean - from))
		return DATA_BAD;
	d->eightbit |= any_eightbit(b->p + from, d->clean - from);
	tail = (size_t)(k.end - k.r);
	if (res == DATA_END) {
		*after = str_mem(k.r, tail);
		tail = 0;
	} else if (k.w != k.r && tail) {
		memmove(k.w, k.r, tail);
	}
	b->n = d->clean + tail;
	return res;
}

void data_scan_taken(struct data_scan *d, struct buf *b)
{
	buf_shift(b, d->clean);
	d->clean = 0;
}

enum data_result data_scan_last(struct data_scan *d, struct buf *b)
{
	if (b->n > d->clean)
		return DATA_BAD;
	if (d->bol)
		return DATA_END;
	if (!buf_add(b, "\r\n", 2))
		return DATA_MORE;
	d->clean = b->n;
	d->total += 2;
	d->bol = true;
	return DATA_END;
}

/* ---- DATA out ---- */

void framing_stuff(struct str part, bool *bol, void (*emit)(void *arg, struct str s), void *arg)
{
	const char *from = part.p, *p = part.p, *end = part.p + part.n;

	while (p < end) {
		const char *lf;

		if (*bol && *p == '.') {
			/* the dot goes out with what came before it, and once more with its line */
			emit(arg, str_mem(from, (size_t)(p + 1 - from)));
			from = p;
		}
		lf = memchr(p, '\n', (size_t)(end - p));
		*bol = lf != NULL;
		p = lf ? lf + 1 : end;
	}
	if (from < end)
		emit(arg, str_mem(from, (size_t)(end - from)));
}

struct str framing_end(bool bol)
{
	return bol ? STR_LIT(".\r\n") : STR_LIT("\r\n.\r\n");
}

/* ---- replies ---- */

void reply_scan_init(struct reply_scan *r)
{
	*r = (struct reply_scan){ 0 };
	buf_init(&r->text);
}

void reply_scan_clear(struct reply_scan *r)
{
	struct buf text = r->text;

	buf_clear(&text);
	*r = (struct reply_scan){ .text = text };
}

void reply_scan_free(struct reply_scan *r)
{
	buf_free(&r->text);
	reply_scan_init(r);
}

/* The code of a line "250", "250 text" or "250-text" (RFC 5321 4.2); 0 if it is none. */
static int line_code(struct str line, bool *more)
{
	int code = 0;

	if (line.n < 3 || (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
		return 0;
	for (int i = 0; i < 3; i++) {
		if (line.p[i] < '0' || line.p[i] > '9')
			return 0;
		code = code * 10 + (line.p[i] - '0');
	}
	*more = line.n > 3 && line.p[3] == '-';
	return code >= 200 && code <= 599 ? code : 0;
}

/* Drops the last line of a text that is full, so that the newest one still fits. */
static void drop_last_line(struct buf *text)
{
	const char *lf = text->n ? memrchr(text->p, '\n', text->n) : NULL;

	text->n = lf ? (size_t)(lf - text->p) : 0;
}

void reply_scan_line(struct reply_scan *r, struct str line)
{
	bool more = false;
	int code = line_code(line, &more);

	if (!r->lines)
		r->code = code;
	r->bad |= !code || code != r->code;
	r->done = !more || r->bad;
	r->lines++;
	if (line.n > REPLY_LINE_MAX)
		line.n = REPLY_LINE_MAX;
	while (r->text.n && r->text.n + 1 + line.n > REPLY_TEXT_MAX)
		drop_last_line(&r->text);
	if (r->text.n)
		buf_addc(&r->text, '\n');
	buf_adds(&r->text, line);
}
