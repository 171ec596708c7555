/* Themes: INI files that give each role a look for 256 colours, 16 colours and none. `dark` and
 *`mono` are also built in, so that a console without files still has colours. All are read once, at
 *start. Console thread.
 *
 *	[256]
 *	heading = 245 on 235 bold
 * A colour is default, 0 to 255, or one of the sixteen names; behind it may stand bold, dim,
 *underline, reverse. What a theme leaves out looks like `text`. */
#ifndef STOKER_TUI_THEME_H
#define STOKER_TUI_THEME_H

#include "core/base/err.h"
#include "tui/canvas.h"

enum look_attrs { LOOK_BOLD = 1, LOOK_DIM = 2, LOOK_UNDERLINE = 4, LOOK_REVERSE = 8 };
enum depth { DEPTH_MONO, DEPTH_16, DEPTH_256, DEPTH_COUNT };
enum { COLOR_UNSET = -2, COLOR_DEFAULT_ = -1 };

struct look {
	int16_t fg, bg; /* COLOR_UNSET: that of what lies below */
	uint8_t attrs;
};
struct theme {
	char name[32];
	struct look looks[DEPTH_COUNT][STYLE_COUNT];
};
struct themes;
struct themes *themes_load(const char *dir); /* NULL without memory; problems go to the error log */
void themes_free(struct themes *t);
/* NULL if there is none of that name. */
const struct theme *themes_find(const struct themes *t, struct str name);
const struct theme *themes_at(const struct themes *t, int i); /* NULL behind the last */
/* Reads one theme's text. False with a sentence. */
bool theme_parse(const char *name, const char *text, struct theme *out, struct errbuf *e);
/* A cell's look: its role, with an overlay on it. */
struct look theme_look(const struct theme *t, enum depth d, enum style style, enum style over);
const char *style_name(enum style s);

#endif
