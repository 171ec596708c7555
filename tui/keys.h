/* Bytes of a terminal become keys. No curses: the same keys whatever TERM says, for every operator
 * on one thread. An escape sequence may come in pieces; a lone ESC is known only after KEYS_ESC_US
 * without a next byte. Pasted text (bracketed paste) is text and never a command. */
#ifndef STOKER_TUI_KEYS_H
#define STOKER_TUI_KEYS_H

#include "core/base/clock.h"
#include "core/base/str.h"

#define KEYS_ESC_US (25 * US_PER_MS)

/* Code points stand for themselves, ^A to ^Z for 1 to 26; what has no code point is here. */
enum {
	KEY_NONE = 0x200000,
	KEY_UP,
	KEY_DOWN,
	KEY_LEFT,
	KEY_RIGHT,
	KEY_PGUP,
	KEY_PGDN,
	KEY_HOME,
	KEY_END,
	KEY_INSERT,
	KEY_DELETE,
	KEY_BACKTAB,
	KEY_OTHER, /* a sequence that means nothing here */
};
enum { KEY_TAB = 9, KEY_ENTER = 13, KEY_ESC = 27, KEY_BACKSPACE = 127 };
#define KEY_CTRL(c) ((c)&0x1F)

struct key_event {
	uint32_t code;
	bool pasted; /* only text: never a command */
};
struct keys {
	uint8_t pending[32];
	size_t n;
	bool paste;
};
void keys_init(struct keys *k);
void keys_feed(struct keys *k, struct str bytes, void (*fn)(void *arg, struct key_event e),
	       void *arg);
/* True if an unfinished sequence waits: call keys_timeout after KEYS_ESC_US without new bytes. */
bool keys_waiting(const struct keys *k);
void keys_timeout(struct keys *k, void (*fn)(void *arg, struct key_event e), void *arg);
/* "^L", "Enter", "PgDn", "é": how a key is called in help and messages. */
void keys_name(uint32_t code, char out[16]);

#endif
