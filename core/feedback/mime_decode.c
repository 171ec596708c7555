/* Content: transfer encodings, character sets, encoded words, HTML. Each output is bounded by its
 * input's size. */
#include "core/feedback/mime.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>

enum {
	CHARSET_MAX = 40,
	UTF8_WORST = 4,
	TAG_MAX = 4096,
	ENTITY_MAX = 9,
	BAD_BYTES_MAX = 200,   /* more of them: it is not in that character set */
	HTML_MAX = 256 * 1024, /* more than a person would read of it */
};

static const struct str nothing = { "", 0 };

/* ---- transfer encodings ---- */

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 2045 6.8: what is not of the alphabet is skipped; several padded pieces may follow each
 * other. */
static struct str base64_loose(struct mime *m, struct str s)
{
	char *p = mime_alloc(m, s.n);
	size_t n = 0;
	uint32_t bits = 0;
	int have = 0;

	for (size_t i = 0; p && i < s.n; i++) {
		int v = base64_value(s.p[i]);

		if (s.p[i] == '=')
			have = 0;
		if (v < 0)
			continue;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		p[n++] = (char)(bits >> have & 0xFF);
	}
	return p ? str_mem(p, n) : nothing;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `word`: the Q encoding of RFC 2047, where _ is a blank. */
static struct str quoted_loose(struct mime *m, struct str s, bool word)
{
	char *p = mime_alloc(m, s.n);
	size_t n = 0;

	for (size_t i = 0; p && i < s.n; i++) {
		char c = s.p[i];
		size_t j = i + 1;

		if (word && c == '_')
			c = ' ';
		if (c != '=') {
			p[n++] = c;
			continue;
		}
		while (j < s.n && (s.p[j] == ' ' || s.p[j] == '\t'))
			j++;
		if (j >= s.n || s.p[j] == '\n') { /* a soft line end */
			i = j;
		} else if (i + 2 < s.n && hex_value(s.p[i + 1]) >= 0 &&
			   hex_value(s.p[i + 2]) >= 0) {
			p[n++] = (char)(hex_value(s.p[i + 1]) * 16 + hex_value(s.p[i + 2]));
			i += 2;
		} else {
			p[n++] = c;
		}
	}
	return p ? str_mem(p, n) : nothing;
}

struct str mime_bytes(struct mime *m, const struct mime_part *p)
{
	if (p->encoding == MIME_BASE64)
		return base64_loose(m, p->body);
	return p->encoding == MIME_QUOTED ? quoted_loose(m, p->body, false) : p->body;
}

/* ---- character sets ---- */

/* Those that reports are met in; iconv is asked for no other, so that no peer chooses what code of
 * the C library runs. */
static const char *const charsets[] = {
	"iso-8859-2",	"iso-8859-5", "iso-8859-7",  "iso-8859-9",   "iso-8859-15",  "windows-1250",
	"windows-1251", "koi8-r",     "koi8-u",	     "windows-1253", "windows-1254", "gb2312",
	"gbk",		"gb18030",    "big5",	     "iso-2022-jp",  "shift_jis",    "euc-jp",
	"euc-kr",	"utf-7",      "windows-1252"
};

static struct str latin1(struct mime *m, struct str s)
{
	char *p = mime_alloc(m, 2 * s.n);
	size_t n = 0;

	for (size_t i = 0; p && i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x80) {
			p[n++] = (char)c;
			continue;
		}
		p[n++] = (char)(0xC0 | c >> 6);
		p[n++] = (char)(0x80 | (c & 0x3F));
	}
	return p ? str_mem(p, n) : nothing;
}

static struct str convert(struct mime *m, struct str s, const char *charset)
{
	size_t left = UTF8_WORST * s.n, cap = left;
	char *p = mime_alloc(m, cap), *in = (char *)(uintptr_t)s.p, *out = p;
	struct str whole = s;
	int bad = 0;
	iconv_t cd = p ? iconv_open("UTF-8", charset) : (iconv_t)-1;

	if (!p)
		return nothing;
	if (cd == (iconv_t)-1)
		return latin1(m, s);
	while (s.n && left) {
		if (iconv(cd, &in, &s.n, &out, &left) != (size_t)-1 || errno == E2BIG)
			break;
		if (!s.n || !left || ++bad > BAD_BYTES_MAX)
			break;
		in++; /* a byte that has no meaning there */
		s.n--;
		*out++ = '?';
		left--;
	}
	iconv_close(cd);
	return bad > BAD_BYTES_MAX ? latin1(m, whole) : str_mem(p, cap - left);
}

struct str mime_utf8(struct mime *m, struct str s, struct str charset)
{
	char name[CHARSET_MAX];
	bool utf8 = !charset.n || str_ieqz(charset, "utf-8") || str_ieqz(charset, "us-ascii") ||
		    str_ieqz(charset, "utf8");

	if ((utf8 && str_utf8_valid(s)) || !s.n)
		return s;
	if (!utf8 && str_lower(charset, name, sizeof name))
		for (size_t i = 0; i < sizeof charsets / sizeof *charsets; i++)
			if (!strcmp(charsets[i], name))
				return convert(m, s, name);
	return str_utf8_valid(s) ? s : latin1(m, s);
}

/* What was encoded may have its own CRLF. */
static struct str lf_only(struct mime *m, struct str s)
{
	char *p;
	size_t n = 0;

	if (!s.n || (!memchr(s.p, '\r', s.n) && !memchr(s.p, 0, s.n)))
		return s;
	p = mime_alloc(m, s.n);
	for (size_t i = 0; p && i < s.n; i++) {
		if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n')
			continue;
		p[n++] = s.p[i] == '\r' ? '\n' : s.p[i] ? s.p[i] : ' ';
	}
	return p ? str_mem(p, n) : nothing;
}

struct str mime_text(struct mime *m, const struct mime_part *p)
{
	return lf_only(m, mime_utf8(m, mime_bytes(m, p), p->charset));
}

/* ---- encoded words ---- */

struct word {
	struct str charset, text;
	char encoding; /* b or q */
	size_t bytes;
};

/* "=?charset?b?text?=" at the front of s. */
static bool cut_word(struct str s, struct word *w)
{
	const char *end = s.p + s.n, *a, *b, *c;

	if (s.n < 8 || s.p[0] != '=' || s.p[1] != '?')
		return false;
	a = memchr(s.p + 2, '?', s.n - 2);
	if (!a || a + 3 >= end || a[2] != '?')
		return false;
	b = a + 3;
	c = memmem(b, (size_t)(end - b), "?=", 2);
	if (!c)
		return false;
	w->charset = str_mem(s.p + 2, (size_t)(a - s.p) - 2);
	const char *language = w->charset.n ? memchr(w->charset.p, '*', w->charset.n) : NULL;
	if (language) /* RFC 2231 5 */
		w->charset.n = (size_t)(language - w->charset.p);
	w->encoding = (char)(a[1] | 0x20);
	w->text = str_mem(b, (size_t)(c - b));
	w->bytes = (size_t)(c + 2 - s.p);
	return w->encoding == 'b' || w->encoding == 'q';
}

static struct str word_text(struct mime *m, const struct word *w)
{
	struct str t =
	    w->encoding == 'b' ? base64_loose(m, w->text) : quoted_loose(m, w->text, true);
	return mime_utf8(m, t, w->charset);
}

struct str mime_decode_words(struct mime *m, struct str v)
{
	char *p;
	size_t n = 0, cap = UTF8_WORST * v.n;
	bool after_word = false;
	struct word w;

	if (v.n < 8 || v.n > MIME_FIELD_BYTES_MAX || !memmem(v.p, v.n, "=?", 2))
		return v;
	p = mime_alloc(m, cap);
	for (size_t i = 0; p && i < v.n;) {
		struct str rest = str_mem(v.p + i, v.n - i);

		if (cut_word(rest, &w)) {
			struct str t = word_text(m, &w);

			while (after_word && n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
				n--;
			t.n = t.n < cap - n ? t.n : cap - n;
			memcpy(p + n, t.p, t.n);
			n += t.n;
			i += w.bytes;
			after_word = true;
			continue;
		}
		if (v.p[i] != ' ' && v.p[i] != '\t')
			after_word = false;
		if (n < cap)
			p[n++] = v.p[i];
		i++;
	}
	return p ? str_mem(p, n) : v;
}

/* ---- HTML ---- */

static const struct {
	const char *name;
	const char *text;
} entities[] = { { "lt;", "<" },
		 { "gt;", ">" },
		 { "amp;", "&" },
		 { "quot;", "\"" },
		 { "nbsp;", " " },
		 { "#64;", "@" },
		 { "#x40;", "@" },
		 { "#39;", "'" },
		 { "apos;", "'" },
		 { "#43;", "+" },
		 { "#46;", "." },
		 { "#60;", "<" },
		 { "#62;", ">" },
		 { "#160;", " " },
		 { "rsquo;", "'" },
		 { "auml;", "\xc3\xa4" },
		 { "ouml;", "\xc3\xb6" },
		 { "uuml;", "\xc3\xbc" },
		 { "eacute;", "\xc3\xa9" },
		 { "egrave;", "\xc3\xa8" },
		 { "ecirc;", "\xc3\xaa" } };

/* Tags that begin a new line. */
static const char *const breaking[] = { "br",	 "p",	   "/p",  "div", "/div", "tr",
					"/tr",	 "li",	   "/li", "td",	 "h1",	 "/h1",
					"h2",	 "/h2",	   "h3",  "/h3", "pre",	 "/pre",
					"table", "/table", "ul",  "hr" };

struct html {
	struct str in;
	char *out;
	size_t n;
};

/* Never more than there was: an entity is longer than its text, a tag than a line end. */
static void html_add(struct html *h, const char *z, size_t n)
{
	memcpy(h->out + h->n, z, n);
	h->n += n;
}

static struct str tag_name(struct str tag)
{
	size_t n = 0;

	while (n < tag.n && (!strchr(" \t\n/>", tag.p[n]) || (n == 0 && tag.p[0] == '/')))
		n++;
	return str_mem(tag.p, n);
}

static void html_link(struct html *h, struct str tag)
{
	static const char mailto[] = "mailto:";
	size_t n = 0;
	const char *at = NULL;

	for (size_t i = 0; i + sizeof mailto <= tag.n && !at; i++)
		if (str_istarts(str_mem(tag.p + i, tag.n - i), mailto))
			at = tag.p + i + sizeof mailto - 1;
	if (!at)
		return;
	while (at + n < tag.p + tag.n && !strchr("\"'?> \t\n", at[n]))
		n++;
	html_add(h, "\n", 1);
	html_add(h, at, n);
	html_add(h, "\n", 1);
}

/* From "<" on; how many bytes of the input it takes. */
static size_t html_tag(struct html *h, struct str s)
{
	const char *end = memchr(s.p, '>', s.n < TAG_MAX ? s.n : TAG_MAX);
	struct str name, tag;

	if (!end || (s.n > 1 && (s.p[1] == ' ' || s.p[1] == '\n'))) {
		html_add(h, "<", 1);
		return 1;
	}
	tag = str_mem(s.p + 1, (size_t)(end - s.p) - 1);
	name = tag_name(tag);
	for (size_t i = 0; i < sizeof breaking / sizeof *breaking; i++)
		if (str_ieqz(name, breaking[i])) {
			html_add(h, "\n", 1);
			break;
		}
	if (str_ieqz(name, "a"))
		html_link(h, tag);
	return (size_t)(end + 1 - s.p);
}

/* What stands between style or script tags is for no reader: the offset behind it, else 0. */
static size_t html_hidden(struct str s, struct str *until)
{
	const char *const hidden[] = { "style", "script", "head" };

	if (s.n > 3 && !memcmp(s.p, "<!--", 4)) {
		*until = STR_LIT("--");
		return 4;
	}
	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
		size_t n = strlen(hidden[i]);

		if (s.n < n + 2 || !str_ieqz(str_mem(s.p + 1, n), hidden[i]) ||
		    !strchr(" >\t\n", s.p[n + 1]))
			continue;
		*until = str_of(hidden[i]);
		return n + 1;
	}
	return 0;
}

static bool closes(struct str s, struct str name)
{
	if (name.p[0] == '-')
		return s.n > 2 && !memcmp(s.p, "-->", 3);
	return s.n > name.n + 2 && s.p[1] == '/' && str_ieq(str_mem(s.p + 2, name.n), name);
}

static size_t html_entity(struct html *h, struct str s)
{
	bool ends = memchr(s.p, ';', s.n < ENTITY_MAX ? s.n : ENTITY_MAX);

	for (size_t i = 0; ends && i < sizeof entities / sizeof *entities; i++) {
		if (!str_istarts(str_mem(s.p + 1, s.n - 1), entities[i].name))
			continue;
		html_add(h, entities[i].text, strlen(entities[i].text));
		return 1 + strlen(entities[i].name);
	}
	html_add(h, "&", 1);
	return 1;
}

struct str mime_html_text(struct mime *m, struct str html)
{
	if (html.n > HTML_MAX)
		html.n = HTML_MAX;
	struct html h = { html, mime_alloc(m, html.n), 0 };
	struct str until = nothing;

	for (size_t i = 0; h.out && i < html.n;) {
		struct str s = str_mem(html.p + i, html.n - i);

		if (until.n) { /* each byte is looked at once, however often a tag opens */
			i += closes(s, until) ? until.n : 1;
			if (closes(s, until))
				until = nothing;
			continue;
		}
		if (s.p[0] == '<') {
			size_t n = html_hidden(s, &until);
			i += n ? n : html_tag(&h, s);
		} else if (s.p[0] == '&') {
			i += html_entity(&h, s);
		} else {
			html_add(&h, s.p, 1);
			i++;
		}
	}
	return h.out ? str_mem(h.out, h.n) : nothing;
}
