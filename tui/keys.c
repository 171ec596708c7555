#include "tui/keys.h"

#include <stdio.h>

#include "core/base/clean.h"

enum { BYTE_ESC = 0x1B, PASTE_START = 200, PASTE_END = 201 };

struct sequence { /* behind ESC [ or ESC O */
	const char *text;
	uint32_t code;
};
/* What xterm, rxvt, the Linux console, screen, tmux and PuTTY send. */
static const struct sequence sequences[] = {
	{ "A", KEY_UP },      { "B", KEY_DOWN },    { "C", KEY_RIGHT },	  { "D", KEY_LEFT },
	{ "H", KEY_HOME },    { "F", KEY_END },	    { "Z", KEY_BACKTAB }, { "1~", KEY_HOME },
	{ "2~", KEY_INSERT }, { "3~", KEY_DELETE }, { "4~", KEY_END },	  { "5~", KEY_PGUP },
	{ "6~", KEY_PGDN },   { "7~", KEY_HOME },   { "8~", KEY_END },	  { "M", KEY_ENTER },
	{ "a", KEY_UP },      { "b", KEY_DOWN },    { "c", KEY_RIGHT },	  { "d", KEY_LEFT },
};

void keys_init(struct keys *k)
{
	*k = (struct keys){ 0 };
}

bool keys_waiting(const struct keys *k)
{
	return k->n > 0;
}

/* "1;5A" (with modifiers) is "A", "5;2~" is "5~". */
static uint32_t sequence_code(const char *params, size_t n, char final)
{
	char text[8];
	size_t i = 0;

	if (final == '~')
		while (i < n && i < sizeof text - 2 && params[i] != ';') {
			text[i] = params[i];
			i++;
		}
	text[i] = final;
	text[i + 1] = '\0';
	for (size_t s = 0; s < sizeof sequences / sizeof sequences[0]; s++)
		if (strcmp(sequences[s].text, text) == 0)
			return sequences[s].code;
	return KEY_OTHER;
}

static int number_of(const uint8_t *p, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n && p[i] >= '0' && p[i] <= '9' && v < 1000; i++)
		v = v * 10 + (p[i] - '0');
	return v;
}

/* ESC [ … : bytes used, 0 if more are needed. */
static size_t take_csi(struct keys *k, uint32_t *code)
{
	size_t i = 2;

	while (i < k->n && k->pending[i] >= 0x20 && k->pending[i] <= 0x3F)
		i++;
	if (i == k->n)
		return i < sizeof k->pending ? 0 : i; /* no terminal sends that: away with it */
	if (k->pending[i] < 0x40 || k->pending[i] > 0x7E) {
		*code = KEY_OTHER;
		return i; /* broken off; the byte is a key of its own */
	}
	*code = sequence_code((const char *)k->pending + 2, i - 2, (char)k->pending[i]);
	if (k->pending[i] == '~' && number_of(k->pending + 2, i - 2) == PASTE_START) {
		k->paste = true;
		*code = KEY_NONE;
	}
	if (k->pending[i] == '~' && number_of(k->pending + 2, i - 2) == PASTE_END) {
		k->paste = false;
		*code = KEY_NONE;
	}
	return i + 1;
}

/* ESC and what follows it. */
static size_t take_escape(struct keys *k, uint32_t *code)
{
	if (k->n < 2)
		return 0;
	if (k->pending[1] == '[')
		return take_csi(k, code);
	if (k->pending[1] == 'O') {
		if (k->n < 3)
			return 0;
		*code = sequence_code(NULL, 0, (char)k->pending[2]);
		return 3;
	}
	if (k->pending[1] == BYTE_ESC) {
		*code = KEY_ESC;
		return 1;
	}
	*code = KEY_OTHER; /* Alt and a key: nothing is bound to these */
	return 2;
}

static size_t utf8_length(uint8_t first)
{
	return first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
}

static size_t take_rune(struct keys *k, uint32_t *code)
{
	struct str s = { (const char *)k->pending, k->n };
	size_t need = utf8_length(k->pending[0]);
	size_t used;

	for (size_t i = 1; i < k->n && i < need; i++)
		if ((k->pending[i] & 0xC0) != 0x80)
			need = k->n; /* ill-formed: no use in waiting */
	if (k->n < need)
		return 0;
	used = clean_rune(s, code);
	if (*code > 0x10FFFF || (*code >= 0x80 && clean_rune_width(*code) < 0))
		*code = KEY_OTHER;
	return used;
}

/* Bytes used for the first key of what is pending; 0: more bytes are needed. */
static size_t take(struct keys *k, uint32_t *code)
{
	uint8_t b = k->pending[0];

	*code = KEY_OTHER;
	if (b == BYTE_ESC)
		return take_escape(k, code);
	if (b >= 0x80)
		return take_rune(k, code);
	*code = b == 8 ? KEY_BACKSPACE : b == '\n' && !k->paste ? KEY_ENTER : b;
	return 1;
}

static void drop(struct keys *k, size_t n)
{
	memmove(k->pending, k->pending + n, k->n - n);
	k->n -= n;
}

static void emit(const struct keys *k, uint32_t code, void (*fn)(void *arg, struct key_event e),
		 void *arg)
{
	if (code == KEY_NONE || (k->paste && code >= KEY_NONE))
		return;
	fn(arg, (struct key_event){ .code = code, .pasted = k->paste });
}

void keys_feed(struct keys *k, struct str bytes, void (*fn)(void *arg, struct key_event e),
	       void *arg)
{
	for (size_t i = 0; i < bytes.n; i++) {
		k->pending[k->n++] = (uint8_t)bytes.p[i];
		while (k->n) {
			uint32_t code;
			size_t used = take(k, &code);
			if (used == 0 && k->n < sizeof k->pending)
				break;
			emit(k, code, fn, arg);
			drop(k, used ? used : k->n);
		}
	}
}

void keys_timeout(struct keys *k, void (*fn)(void *arg, struct key_event e), void *arg)
{
	bool lone = k->n == 1 && k->pending[0] == BYTE_ESC;

	if (!k->n)
		return;
	k->n = 0;
	/* Inside a paste an ESC is text, and not one we'd show. */
	emit(k, lone && !k->paste ? KEY_ESC : KEY_OTHER, fn, arg);
}

void keys_name(uint32_t code, char out[16])
{
	static const char *const names[] = { "?",    "Up",	"Down", "Left", "Right",
					     "PgUp", "PgDn",	"Home", "End",	"Ins",
					     "Del",  "BackTab", "?" };

	if (code >= KEY_NONE && code <= KEY_OTHER)
		snprintf(out, 16, "%s", names[code - KEY_NONE]);
	else if (code == KEY_TAB || code == KEY_ENTER || code == KEY_ESC || code == ' ' ||
		 code == KEY_BACKSPACE)
		snprintf(out, 16, "%s",
			 code == KEY_TAB     ? "Tab"
			 : code == KEY_ENTER ? "Enter"
			 : code == ' '	     ? "Space"
			 : code == KEY_ESC   ? "Esc"
					     : "Backspace");
	else if (code < ' ')
		snprintf(out, 16, "^%c", (char)(code + 'A' - 1));
	else if (code < 0x7F)
		snprintf(out, 16, "%c", (char)code);
	else
		snprintf(out, 16, "U+%04X", (unsigned)code);
}
