#include "tui/theme.h"

#include <dirent.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/base/log.h"

static const char *const style_names[STYLE_COUNT] = {
	"text",	       "dim",	       "strong",     "bar",	   "host",	    "label",
	"label-green", "label-yellow", "label-blue", "label-cyan", "label-magenta", "label-white",
	"bar-dim",     "bar-good",     "bar-warn",   "bar-bad",	   "title",	    "heading",
	"sorted",      "pane",	       "pane-on",    "ok",	   "backoff",	    "resting",
	"paused",      "warming",      "disabled",   "down",	   "idle",	    "trend",
	"echo",	       "good",	       "error",	     "key",	   "key-text",	    "key-on",
	"input",       "box",	       "box-title",  "box-dim",	   "box-field",	    "box-hint",
	"box-bad",     "match",	       "cursor",     "tagged",
};
static const char *const depth_names[DEPTH_COUNT] = { "mono", "16", "256" };
static const char *const color_names[] = {
	"black",	"red",		 "green",	"yellow",	  "blue",
	"magenta",	"cyan",		 "white",	"bright-black",	  "bright-red",
	"bright-green", "bright-yellow", "bright-blue", "bright-magenta", "bright-cyan",
	"bright-white",
};
static const struct {
	const char *word;
	uint8_t bit;
} attr_names[] = {
	{ "bold", LOOK_BOLD },
	{ "dim", LOOK_DIM },
	{ "underline", LOOK_UNDERLINE },
	{ "reverse", LOOK_REVERSE },
};

struct themes {
	struct theme *v;
	int n;
};

const char *style_name(enum style s)
{
	return s < STYLE_COUNT ? style_names[s] : "?";
}

static bool color(struct str word, int16_t *out)
{
	char text[24];
	char *end;
	long n;

	if (!str_lower(word, text, sizeof text))
		return false;
	if (strcmp(text, "default") == 0) {
		*out = COLOR_DEFAULT_;
		return true;
	}
	for (int i = 0; i < 16; i++)
		if (strcmp(text, color_names[i]) == 0) {
			*out = (int16_t)i;
			return true;
		}
	n = strtol(text, &end, 10);
	if (end == text || *end || n < 0 || n > 255)
		return false;
	*out = (int16_t)n;
	return true;
}

static bool attr(struct str word, uint8_t *attrs)
{
	for (size_t i = 0; i < sizeof attr_names / sizeof attr_names[0]; i++)
		if (str_ieqz(word, attr_names[i].word)) {
			*attrs |= attr_names[i].bit;
			return true;
		}
	return false;
}

/* "245 on 235 bold" */
static bool look_parse(struct str text, struct look *out)
{
	struct str word;
	bool on = false;

	*out = (struct look){ COLOR_UNSET, COLOR_UNSET, 0 };
	while (str_split(&text, ' ', &word)) {
		if (word.n == 0)
			continue;
		if (str_ieqz(word, "on"))
			on = true;
		else if (!attr(word, &out->attrs) && !color(word, on ? &out->bg : &out->fg))
			return false;
	}
	return true;
}

struct parse {
	struct theme *t;
	struct errbuf *e;
};

static int index_of(const char *const *names, int n, const char *word)
{
	for (int i = 0; i < n; i++)
		if (strcasecmp(names[i], word) == 0)
			return i;
	return -1;
}

static int on_line(void *arg, const char *section, const char *name, const char *value)
{
	struct parse *p = arg;
	int depth = index_of(depth_names, DEPTH_COUNT, section);
	int style = index_of(style_names, STYLE_COUNT, name);

	if (depth < 0) {
		errbuf_set(p->e, "[%s] is not one of [256], [16], [mono]", section);
		return 0;
	}
	if (style < 0) {
		errbuf_set(p->e, "there is no role \"%s\"", name);
		return 0;
	}
	if (!look_parse(str_of(value), &p->t->looks[depth][style])) {
		errbuf_set(
		    p->e,
		    "%s = %s: write a colour, on, a colour, and bold, dim, underline or reverse",
		    name, value);
		return 0;
	}
	return 1;
}

bool theme_parse(const char *name, const char *text, struct theme *out, struct errbuf *e)
{
	struct parse p = { out, e };
	int line;

	*out = (struct theme){ 0 };
	snprintf(out->name, sizeof out->name, "%s", name);
	for (int d = 0; d < DEPTH_COUNT; d++)
		for (int s = 0; s < STYLE_COUNT; s++)
			out->looks[d][s] = (struct look){ COLOR_UNSET, COLOR_UNSET, 0 };
	errbuf_set(e, "not an INI file");
	line = ini_parse_string(text, on_line, &p);
	return line == 0;
}

struct look theme_look(const struct theme *t, enum depth d, enum style style, enum style over)
{
	struct look l = t->looks[d][style], base = t->looks[d][STYLE_TEXT];

	if (l.fg == COLOR_UNSET)
		l.fg = base.fg == COLOR_UNSET ? COLOR_DEFAULT_ : base.fg;
	if (l.bg == COLOR_UNSET)
		l.bg = base.bg == COLOR_UNSET ? COLOR_DEFAULT_ : base.bg;
	if (over != STYLE_TEXT) {
		struct look o = t->looks[d][over];
		if (o.fg != COLOR_UNSET)
			l.fg = o.fg;
		if (o.bg != COLOR_UNSET)
			l.bg = o.bg;
		l.attrs |= o.attrs;
	}
	return l;
}

/* ---- the two that need no file ---- */

static const char builtin_dark[] =
    "[256]\n"
    "text = default\ndim = 243\nstrong = 255 bold\n"
    "bar = 252 on 236\nhost = 255 on 236 bold\nlabel = 255 on 160 bold\nlabel-green = 232 on 71 "
    "bold\nlabel-yellow = 232 on 178 bold\nlabel-blue = 255 on 26 bold\nlabel-cyan = 232 on 37 "
    "bold\nlabel-magenta = 255 on 90 bold\nlabel-white = 232 on 254 bold\nbar-dim = 246 on 236\n"
    "bar-good = 114 on 236\nbar-warn = 221 on 236 bold\nbar-bad = 210 on 236 bold\n"
    "title = 117 bold\nheading = 244\nsorted = 117 bold\npane = 110\npane-on = 117 bold underline\n"
    "ok = 114\nbackoff = 221 bold\nresting = 215\npaused = 81 bold\nwarming = 176\ndisabled = "
    "139\ndown = 203 bold\nidle = 242\n"
    "trend = 73\necho = 250\ngood = 114\nerror = 210 bold\n"
    "key = 117 bold\nkey-text = 246\nkey-on = 232 on 117 bold\ninput = 255\n"
    "box = 252 on 237\nbox-title = 117 on 237 bold\nbox-dim = 246 on 237\nbox-field = 255 on "
    "239\nbox-bad = 210 on 237 bold\n"
    "match = 232 on 221\ncursor = on 238 bold\ntagged = on 23\n"
    "[16]\n"
    "text = default\ndim = bright-black\nstrong = bold\n"
    "bar = reverse\nhost = reverse bold\nlabel = bright-white on red bold\nlabel-green = black on "
    "green\nlabel-yellow = black on yellow\nlabel-blue = bright-white on blue bold\nlabel-cyan = "
    "black on cyan\nlabel-magenta = bright-white on magenta bold\nlabel-white = black on "
    "white\nbar-dim = reverse\n"
    "bar-good = reverse\nbar-warn = yellow reverse bold\nbar-bad = red reverse bold\n"
    "title = cyan bold\nheading = bright-black bold\nsorted = cyan bold\npane = cyan\npane-on = "
    "cyan bold underline\n"
    "ok = green\nbackoff = yellow bold\nresting = yellow\npaused = cyan bold\nwarming = "
    "magenta\ndisabled = magenta\ndown = red bold\nidle = bright-black\n"
    "trend = cyan\necho = default\ngood = green\nerror = red bold\n"
    "key = cyan bold\nkey-text = default\nkey-on = cyan reverse bold\ninput = bold\n"
    "box = default\nbox-title = cyan bold\nbox-dim = default\nbox-field = underline\nbox-hint = "
    "underline\nbox-bad = red "
    "bold\n"
    "match = yellow reverse\ncursor = reverse\ntagged = underline\n";
static const char builtin_mono[] =
    "[256]\n"
    "bar = reverse\nhost = reverse bold\nlabel = reverse bold underline\nlabel-green = reverse "
    "bold underline\nlabel-yellow = reverse bold underline\nlabel-blue = reverse bold "
    "underline\nlabel-cyan = reverse bold underline\nlabel-magenta = reverse bold "
    "underline\nlabel-white = reverse bold underline\nbar-dim = "
    "reverse\nbar-good = reverse\nbar-warn = reverse bold\n"
    "bar-bad = reverse bold\nstrong = bold\ntitle = bold\nheading = underline\nsorted = bold "
    "underline\npane = bold\npane-on = bold underline\n"
    "backoff = bold\npaused = bold\ndown = bold underline\nerror = bold\nkey = bold\nkey-on = "
    "reverse bold\ninput = bold\n"
    "box-title = bold\nbox-field = underline\nbox-hint = underline\nbox-bad = bold "
    "underline\nmatch = reverse\ncursor = "
    "reverse\ntagged = underline\n"
    "[16]\n"
    "bar = reverse\nhost = reverse bold\nlabel = reverse bold underline\nlabel-green = reverse "
    "bold underline\nlabel-yellow = reverse bold underline\nlabel-blue = reverse bold "
    "underline\nlabel-cyan = reverse bold underline\nlabel-magenta = reverse bold "
    "underline\nlabel-white = reverse bold underline\nbar-dim = "
    "reverse\nbar-good = reverse\nbar-warn = reverse bold\n"
    "bar-bad = reverse bold\nstrong = bold\ntitle = bold\nheading = underline\nsorted = bold "
    "underline\npane = bold\npane-on = bold underline\n"
    "backoff = bold\npaused = bold\ndown = bold underline\nerror = bold\nkey = bold\nkey-on = "
    "reverse bold\ninput = bold\n"
    "box-title = bold\nbox-field = underline\nbox-hint = underline\nbox-bad = bold "
    "underline\nmatch = reverse\ncursor = "
    "reverse\ntagged = underline\n"
    "[mono]\n"
    "bar = reverse\nhost = reverse bold\nlabel = reverse bold underline\nlabel-green = reverse "
    "bold underline\nlabel-yellow = reverse bold underline\nlabel-blue = reverse bold "
    "underline\nlabel-cyan = reverse bold underline\nlabel-magenta = reverse bold "
    "underline\nlabel-white = reverse bold underline\nbar-dim = "
    "reverse\nbar-good = reverse\nbar-warn = reverse bold\n"
    "bar-bad = reverse bold\nstrong = bold\ntitle = bold\nheading = underline\nsorted = bold "
    "underline\npane = bold\npane-on = bold underline\n"
    "backoff = bold\npaused = bold\ndown = bold underline\nerror = bold\nkey = bold\nkey-on = "
    "reverse bold\ninput = bold\n"
    "box-title = bold\nbox-field = underline\nbox-hint = underline\nbox-bad = bold "
    "underline\nmatch = reverse\ncursor = "
    "reverse\ntagged = underline\n";

static bool store(struct themes *t, const struct theme *new)
{
	struct theme *v;

	for (int i = 0; i < t->n; i++)
		if (strcmp(t->v[i].name, new->name) == 0) {
			t->v[i] = *new; /* a file replaces what is built in */
			return true;
		}
	v = realloc(t->v, (size_t)(t->n + 1) * sizeof *v);
	if (!v)
		return false;
	t->v = v;
	t->v[t->n++] = *new;
	return true;
}

static void no_colors_in_mono(struct theme *t, const struct theme *mono)
{
	/* A theme without [mono] borrows it. */
	for (int s = 0; s < STYLE_COUNT; s++)
		if (t->looks[DEPTH_MONO][s].attrs)
			return;
	memcpy(t->looks[DEPTH_MONO], mono->looks[DEPTH_MONO], sizeof t->looks[DEPTH_MONO]);
}

static void load_file(struct themes *t, const char *dir, const char *file)
{
	char path[512], name[32];
	struct errbuf e;
	struct theme theme;
	struct buf text;
	char chunk[4096];
	size_t n, stem = strlen(file) - 4;
	FILE *f;

	if (stem == 0 || stem >= sizeof name)
		return;
	snprintf(path, sizeof path, "%s/%s", dir, file);
	snprintf(name, sizeof name, "%.*s", (int)stem, file);
	f = fopen(path, "re");
	if (!f)
		return;
	buf_init(&text);
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0 && text.n < 256 * sizeof chunk)
		buf_add(&text, chunk, n);
	fclose(f);
	if (!theme_parse(name, buf_z(&text), &theme, &e))
		log_warn("theme %s: %s; it is left out", path, e.text);
	else {
		no_colors_in_mono(&theme, themes_find(t, STR_LIT("mono")));
		store(t, &theme);
	}
	buf_free(&text);
}

struct themes *themes_load(const char *dir)
{
	struct themes *t = calloc(1, sizeof *t);
	struct theme theme;
	struct errbuf e;
	DIR *d;

	if (!t)
		return NULL;
	if (!theme_parse("mono", builtin_mono, &theme, &e) || !store(t, &theme) ||
	    !theme_parse("dark", builtin_dark, &theme, &e)) {
		themes_free(t);
		return NULL;
	}
	no_colors_in_mono(&theme, &t->v[0]);
	store(t, &theme);
	d = dir ? opendir(dir) : NULL;
	for (struct dirent *f; d && (f = readdir(d));) {
		size_t n = strlen(f->d_name);
		if (n > 4 && strcmp(f->d_name + n - 4, ".ini") == 0)
			load_file(t, dir, f->d_name);
	}
	if (d)
		closedir(d);
	return t;
}

void themes_free(struct themes *t)
{
	if (t)
		free(t->v);
	free(t);
}

const struct theme *themes_find(const struct themes *t, struct str name)
{
	for (int i = 0; i < t->n; i++)
		if (str_ieqz(name, t->v[i].name))
			return &t->v[i];
	return NULL;
}

const struct theme *themes_at(const struct themes *t, int i)
{
	return i < t->n ? &t->v[i] : NULL;
}
