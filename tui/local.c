/* Commands that exist only in the console, by table: run, completed and explained from it. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/jsonw.h"
#include "tui/keymap.h"
#include "tui/operator.h"

struct local {
	const char *name, *args, *help;
	void (*fn)(struct oper *op, struct str args);
};

static void run_theme(struct oper *op, struct str name)
{
	const struct themes *all = op->console->themes;
	const struct theme *t = themes_find(all, name);
	struct user_prefs *p = console_prefs_of(op->console, op->user);
	struct buf b;

	if (!t) {
		buf_init(&b);
		for (int i = 0; themes_at(all, i); i++)
			buf_addf(&b, " %s", themes_at(all, i)->name);
		operator_echo(op, name.n ? STYLE_ERROR : STYLE_ECHO, "themes:%s (now %s)",
			      buf_z(&b), op->theme->name);
		buf_free(&b);
		return;
	}
	op->theme = t;
	if (p) {
		snprintf(p->theme, sizeof p->theme, "%s", t->name);
		console_save_prefs(op->console, p);
	}
	operator_echo(op, STYLE_GOOD, "theme %s", t->name);
}

static void run_tz(struct oper *op, struct str name)
{
	struct tz *t = NULL;

	if (!name.n || !tz_load(name, &t)) {
		operator_echo(op, STYLE_ERROR, "a zone is utc, local, or a name as Europe/Paris");
		return;
	}
	tz_free(op->tz);
	op->tz = t;
	operator_echo(op, STYLE_GOOD, "times are %.*s", (int)name.n, name.p);
}

static struct table *table_here(struct oper *op)
{
	struct view *v = operator_view(op);
	struct table *t = v->ops->table ? v->ops->table(v) : NULL;

	if (!t)
		operator_echo(op, STYLE_ERROR, "there is no list here");
	return t;
}

static void say_columns(struct oper *op, const struct table *t)
{
	const struct list_def *d = list_def(t->list);
	struct buf b;

	buf_init(&b);
	for (int i = 0; i < d->nfields && i < TABLE_COLUMNS; i++)
		if (d->fields[i].heading)
			buf_addf(&b, " %s%s", t->hidden >> i & 1 ? "-" : "", d->fields[i].heading);
	operator_echo(op, STYLE_ECHO, "columns:%s   (:columns -NAME hides, +NAME shows, default)",
		      buf_z(&b));
	buf_free(&b);
}

static void run_columns(struct oper *op, struct str args)
{
	struct table *t = table_here(op);
	struct user_prefs *p = console_prefs_of(op->console, op->user);
	struct str word;

	if (!t)
		return;
	while (str_split(&args, ' ', &word)) {
		bool show = word.n && word.p[0] != '-';
		const struct field *f;
		if (word.n && (word.p[0] == '-' || word.p[0] == '+'))
			word = (struct str){ word.p + 1, word.n - 1 };
		f = word.n ? field_find(t->list, word) : NULL;
		if (str_ieqz(word, "default")) {
			t->hidden = 0;
		} else if (f) {
			uint64_t bit = (uint64_t)1 << (f - list_def(t->list)->fields);
			t->hidden = show ? t->hidden & ~bit : t->hidden | bit;
		} else if (word.n) {
			operator_echo(op, STYLE_ERROR, "there is no column %.*s", (int)word.n,
				      word.p);
			return;
		}
	}
	if (p) {
		p->hidden[t->list] = t->hidden;
		console_save_prefs(op->console, p);
	}
	say_columns(op, t);
}

static void run_sort(struct oper *op, struct str field)
{
	struct table *t = table_here(op);

	if (!t)
		return;
	if (!table_sort_by(t, field))
		operator_echo(op, STYLE_ERROR, "there is no field %.*s to sort by", (int)field.n,
			      field.n ? field.p : "");
	operator_poll(op);
}

static void run_tag(struct oper *op, struct str args)
{
	struct table *t = table_here(op);

	if (!t)
		return;
	if (str_eqz(args, "none"))
		table_untag(t);
	else if (str_eqz(args, "all"))
		table_tag_page(t);
	else
		operator_echo(op, STYLE_ERROR, "tag all, or tag none");
	if (t->ntags && t->page && t->page->total > t->ntags)
		operator_echo(op, STYLE_BACK, "tagged the %d rows that are loaded, of %lld",
			      t->ntags, (long long)t->page->total);
}

static void run_quit(struct oper *op, struct str args)
{
	(void)args;
	operator_leave(op, 0, "detached; mail goes on");
}

static const struct {
	const char *name;
	enum root root;
} views[] = {
	{ "queues", ROOT_QUEUES },	 { "sources", ROOT_SOURCES }, { "log", ROOT_LOG },
	{ "overrides", ROOT_OVERRIDES }, { "jobs", ROOT_JOBS },	      { "alarms", ROOT_ALARMS },
	{ "feedback", ROOT_FEEDBACK },
};

static void run_view(struct oper *op, struct str name)
{
	for (size_t i = 0; i < sizeof views / sizeof views[0]; i++)
		if (str_ieqz(name, views[i].name)) {
			operator_go(op, views[i].root);
			return;
		}
	if (str_ieqz(name, "messages"))
		operator_push(op, view_messages_new(op, STR_LIT("all")));
	else
		operator_echo(
		    op, STYLE_ERROR,
		    "views: queues, sources, log, messages, jobs, overrides, feedback, alarms");
}

static void run_messages(struct oper *op, struct str target)
{
	operator_push(op, view_messages_new(op, target.n ? target : STR_LIT("all")));
}

static void run_alarms(struct oper *op, struct str args)
{
	(void)args;
	operator_go(op, ROOT_ALARMS);
}

static void run_log(struct oper *op, struct str filter)
{
	struct view *v;

	operator_go(op, ROOT_LOG);
	v = operator_view(op);
	v->ops->set_filter(v, filter);
	operator_poll(op);
}

/* The client writes files, with the operator's rights. */
static void write_file(struct oper *op, struct str path, struct str bytes)
{
	struct buf b;
	struct jsonw w;

	buf_init(&b);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "path", path);
	jsonw_str(&w, "bytes", bytes);
	jsonw_end_object(&w);
	operator_frame_out(op, 'W', buf_str(&b));
	buf_free(&b);
}

static void run_dump(struct oper *op, struct str path)
{
	struct buf b;

	buf_init(&b);
	canvas_dump(&op->canvas, &b);
	write_file(op, path.n ? path : STR_LIT("stoker-screen.txt"), buf_str(&b));
	buf_free(&b);
}

static void run_export(struct oper *op, struct str path)
{
	struct view *v = operator_view(op);
	bool json = path.n > 5 && memcmp(path.p + path.n - 5, ".json", 5) == 0;
	bool csv = path.n > 4 && memcmp(path.p + path.n - 4, ".csv", 4) == 0;
	struct table *t = v->ops->table ? v->ops->table(v) : NULL;
	struct link_request *r;

	if (!json && !csv) {
		operator_echo(op, STYLE_ERROR, "export FILE.csv or FILE.json");
		return;
	}
	if (!t || !v->ops->export_rows) {
		operator_echo(op, STYLE_ERROR, "there is no list here to export");
		return;
	}
	r = calloc(1, sizeof *r);
	if (!r)
		return;
	table_ask(t, r);
	r->q.offset = 0;
	r->q.around = 0;
	r->q.limit = 100000; /* all rows of the filter */
	snprintf(op->export_path, sizeof op->export_path, "%.*s", (int)path.n, path.p);
	operator_ask(op, r, 0, ASK_EXPORT);
}

void export_answer(struct oper *op, struct link_answer *a)
{
	size_t n = strlen(op->export_path);
	struct buf b;

	if (!a->page || a->page->error[0]) {
		operator_echo(op, STYLE_ERROR, "nothing to export: %s",
			      a->page ? a->page->error : "no answer");
		return;
	}
	buf_init(&b);
	page_export(a->page, strcmp(op->export_path + n - 5, ".json") == 0, &b);
	if (buf_failed(&b) || b.n > OUT_FRAME_MAX * 2)
		operator_echo(op, STYLE_ERROR,
			      "%zu bytes are too many to export from here; use the command line",
			      b.n);
	else
		write_file(op, str_of(op->export_path), buf_str(&b));
	buf_free(&b);
}

static void run_plain(struct oper *op, struct str args)
{
	(void)args;
	operator_go_plain(op);
}

static bool clock_time(struct str s, int *hour, int *min, int *sec)
{
	char text[16];

	*sec = 0;
	snprintf(text, sizeof text, "%.*s", (int)(s.n < 15 ? s.n : 15), s.n ? s.p : "");
	return sscanf(text, "%2d:%2d:%2d", hour, min, sec) >= 2 && *hour < 24 && *min < 60 &&
	       *sec < 60 && *hour >= 0 && *min >= 0 && *sec >= 0;
}

static void run_at(struct oper *op, struct str when)
{
	us_t now = console_now(op->console), at;
	struct tz_time t;
	int hour, min, sec;

	if (!clock_time(str_trim(when), &hour, &min, &sec)) {
		operator_echo(op, STYLE_ERROR, "a time of day: :at 03:10");
		return;
	}
	tz_split(op->tz, now, &t);
	at = now - ((t.hour - hour) * 3600 + (t.min - min) * 60 + (t.sec - sec)) * US_PER_S -
	     now % US_PER_S;
	if (at > now)
		at -= US_PER_DAY; /* yesterday */
	if (operator_view(op)->ops->kind != IN_LOG)
		operator_go(op, ROOT_LOG);
	view_log_at(operator_view(op), at);
}

static void run_help(struct oper *op, struct str name)
{
	struct buf b;

	buf_init(&b);
	if (name.n)
		command_help(name, &b);
	else
		keymap_help(op, &b);
	operator_push(op, view_text_new(op, "help", buf_str(&b)));
	buf_free(&b);
}

static const struct local locals[] = {
	{ "help", "[COMMAND]", "keys and commands, or one command in full", run_help },
	{ "view", "NAME", "queues, sources, log, messages, jobs, overrides, feedback, alarms",
	  run_view },
	{ "log", "[FILTER]", "the log, filtered", run_log },
	{ "messages", "[T]", "recipients of a target, in due order", run_messages },
	{ "alarms", "", "the list of alarms", run_alarms },
	{ "sort", "FIELD", "sort by a field; the same again inverts; trouble is the default",
	  run_sort },
	{ "columns", "[-NAME] [+NAME] [default]", "hide and show columns", run_columns },
	{ "tag", "all|none", "tag what the filter shows", run_tag },
	{ "theme", "[NAME]", "switch colours", run_theme },
	{ "tz", "ZONE", "show times in utc, local, or a zone as Europe/Paris", run_tz },
	{ "at", "HH:MM[:SS]", "the log at that time", run_at },
	{ "dump", "[FILE]", "write this screen to a file, as text", run_dump },
	{ "export", "FILE.csv|FILE.json", "write all rows of the filter to a file", run_export },
	{ "plain", "", "lines and numbered choices in place of this screen", run_plain },
	{ "quit", "", "detach; mail goes on", run_quit },
};
enum { LOCALS = sizeof locals / sizeof locals[0] };

bool local_command(struct oper *op, struct str line)
{
	struct str word;

	if (!str_split(&line, ' ', &word))
		return false;
	for (size_t i = 0; i < LOCALS; i++)
		if (str_eqz(word, locals[i].name)) {
			locals[i].fn(op, str_trim(line));
			return true;
		}
	return false;
}

static bool starts(const char *name, struct str with)
{
	return strlen(name) >= with.n && (!with.n || memcmp(name, with.p, with.n) == 0);
}

void local_complete(struct str line, void (*fn)(void *arg, struct str word), void *arg)
{
	struct str rest = line, word;
	bool first = !memchr(line.p, ' ', line.n);

	for (size_t i = 0; first && i < LOCALS; i++)
		if (starts(locals[i].name, line) && !command_find(str_of(locals[i].name)))
			fn(arg, str_of(locals[i].name));
	if (first || !str_split(&rest, ' ', &word) || !str_eqz(word, "view"))
		return;
	for (size_t i = 0; i < sizeof views / sizeof views[0]; i++)
		if (starts(views[i].name, rest))
			fn(arg, str_of(views[i].name));
}

void local_help(struct buf *out)
{
	char usage[64];

	for (size_t i = 0; i < LOCALS; i++) {
		snprintf(usage, sizeof usage, "%s %s", locals[i].name, locals[i].args);
		buf_addf(out, "  :%-34s %s\n", usage, locals[i].help);
	}
}
