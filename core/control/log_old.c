#include "core/control/log_old.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/control/logring.h"
#include "core/control/text.h"

enum {
	CHUNK = 256 * 1024,   /* read at once; a longer line is passed over */
	LOOK_MOST = 32 << 20, /* bytes a request may look at: some tenths of a second */
	KEY_MOST = 96,	      /* a line's number and time stand at its start */
	LINES_MOST = 2000,
};

struct file {
	char path[PATH_MAX];
	int fd; /* negative: not open */
	uint64_t size, first_id;
	us_t first_at;
};

struct search {
	const struct link_request *r;
	struct link_answer *a;
	struct sieve *filter;
	us_t now;
	struct file *files; /* oldest first */
	int nfiles, want;
	uint64_t looked; /* bytes */
	uint64_t last;	 /* number of the last line looked at; 0: none yet */
	char chunk[CHUNK];
};

/* ---- a line ---- */

/* {"id":7537,"at":"2026-11-27T13:08:00.347Z",… (event_json) */
static bool line_key(struct str line, uint64_t *id, us_t *at)
{
	static const char begin[] = "{\"id\":", then[] = ",\"at\":\"";
	char head[KEY_MOST], *p, *end;

	snprintf(head, sizeof head, "%.*s", (int)(line.n < KEY_MOST ? line.n : KEY_MOST - 1),
		 line.p);
	if (strncmp(head, begin, sizeof begin - 1) != 0)
		return false;
	*id = strtoull(head + sizeof begin - 1, &p, 10);
	if (!*id || strncmp(p, then, sizeof then - 1) != 0)
		return false;
	p += sizeof then - 1;
	end = strchr(p, '"');
	return end && text_time(str_mem(p, (size_t)(end - p)), at);
}

static struct str text_member(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	return json_is_string(v) ? str_mem(json_string_value(v), json_string_length(v))
				 : STR_LIT("");
}

static us_t time_member(const json_t *o, const char *name)
{
	us_t at;

	return text_time(text_member(o, name), &at) ? at : 0;
}

static enum event_type type_member(const json_t *o)
{
	struct str name = text_member(o, "type");

	for (int t = 1; t < EVENT_TYPES; t++)
		if (str_eqz(name, event_type_name((enum event_type)t)))
			return (enum event_type)t;
	return (enum event_type)0;
}

/* What event_json wrote; texts are the object's. */
static void event_of_json(const json_t *o, struct event *e)
{
	static const struct {
		const char *name;
		size_t at;
	} texts[] = {
		{ "sender", offsetof(struct event, sender) },
		{ "recipient", offsetof(struct event, recipient) },
		{ "queue", offsetof(struct event, queue) },
		{ "site", offsetof(struct event, site) },
		{ "virtual_mta", offsetof(struct event, virtual_mta) },
		{ "source_ip", offsetof(struct event, source_ip) },
		{ "mx", offsetof(struct event, mx) },
		{ "mx_ip", offsetof(struct event, mx_ip) },
		{ "reply", offsetof(struct event, reply) },
		{ "enhanced", offsetof(struct event, enhanced) },
		{ "category", offsetof(struct event, category) },
		{ "tls", offsetof(struct event, tls) },
		{ "job", offsetof(struct event, job) },
		{ "user", offsetof(struct event, user) },
		{ "envid", offsetof(struct event, envid) },
		{ "reporting_mta", offsetof(struct event, reporting_mta) },
		{ "feedback_type", offsetof(struct event, feedback_type) },
		{ "matched", offsetof(struct event, matched) },
		{ "scope", offsetof(struct event, scope) },
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		*(struct str *)(void *)((char *)e + texts[i].at) = text_member(o, texts[i].name);
	e->type = type_member(o);
	e->message = strtoull(json_string_value(json_object_get(o, "message"))
				  ? json_string_value(json_object_get(o, "message"))
				  : "0",
			      NULL, 16);
	e->count = (uint32_t)json_integer_value(json_object_get(o, "recipients"));
	e->attempt = (uint32_t)json_integer_value(json_object_get(o, "attempt"));
	e->size = (uint64_t)json_integer_value(json_object_get(o, "size"));
	e->seconds = (us_t)(json_number_value(json_object_get(o, "seconds")) * (double)US_PER_S);
	e->queued_at = time_member(o, "queued_at");
	e->next_attempt = time_member(o, "next_attempt");
	e->hard = json_is_true(json_object_get(o, "hard"));
	e->maybe_twice = json_is_true(json_object_get(o, "maybe_twice"));
}

/* What a crash repeated is there twice: the numbers go one way only. */
static void take(struct search *s, struct str line)
{
	struct event e = { .id = 0 };
	bool back = s->r->backwards;
	json_t *o;

	s->looked += line.n + 1;
	if (!line_key(line, &e.id, &e.at) ||
	    (s->last && (back ? e.id >= s->last : e.id <= s->last)))
		return;
	s->last = e.id;
	o = json_loadb(line.p, line.n, 0, NULL);
	if (!o)
		return;
	event_of_json(o, &e);
	if ((!s->r->errors_only || event_is_error(&e)) && event_filter_match(s->filter, &e, s->now))
		s->a->lines[s->a->nlines++] =
		    (struct log_line){ e.id, e.at, (uint8_t)e.type, rstr_new(line) };
	json_decref(o);
}

static bool enough(const struct search *s)
{
	return s->a->nlines >= s->want || s->looked >= LOOK_MOST;
}

/* ---- a file ---- */

static size_t read_at(struct search *s, struct file *f, uint64_t at, size_t n)
{
	ssize_t got;

	if (f->fd < 0)
		f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
	got = f->fd < 0 ? -1 : pread(f->fd, s->chunk, n < CHUNK ? n : CHUNK, (off_t)at);
	return got > 0 ? (size_t)got : 0;
}

/* The first whole line that begins at `at` or behind; where it begins. */
static bool line_behind(struct search *s, struct file *f, uint64_t at, uint64_t *start,
			struct str *line)
{
	uint64_t from = at ? at - 1 : 0;
	size_t n = read_at(s, f, from, CHUNK);
	const char *p = s->chunk, *end;

	if (at) {
		p = memchr(s->chunk, '\n', n);
		if (!p)
			return false;
		p++;
	}
	end = memchr(p, '\n', n - (size_t)(p - s->chunk));
	*start = from + (uint64_t)(p - s->chunk);
	*line = str_mem(p, end ? (size_t)(end - p) : 0);
	return end != NULL;
}

/* Does it stand before what is asked for? */
static bool before(const struct link_request *r, uint64_t id, us_t at)
{
	if (r->at)
		return at < r->at;
	return r->backwards ? id < r->from_event : id <= r->from_event;
}

/* Where the first line begins that does not. */
static uint64_t find(struct search *s, struct file *f)
{
	uint64_t lo = 0, hi = f->size, start, id;
	struct str line;
	us_t at;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (line_behind(s, f, mid, &start, &line) && start < hi &&
		    line_key(line, &id, &at) && before(s->r, id, at))
			lo = start + line.n + 1;
		else
			hi = mid;
	}
	return lo;
}

static void read_on(struct search *s, struct file *f, uint64_t at)
{
	while (at < f->size && !enough(s)) {
		size_t n = read_at(s, f, at, CHUNK), from = 0;
		const char *end;

		while (!enough(s) && (end = memchr(s->chunk + from, '\n', n - from))) {
			take(s, str_mem(s->chunk + from, (size_t)(end - s->chunk) - from));
			from = (size_t)(end - s->chunk) + 1;
		}
		if (!from && n < CHUNK)
			return; /* being written, or gone */
		at += from ? from : n;
	}
}

static void read_back(struct search *s, struct file *f, uint64_t end)
{
	while (end && !enough(s)) {
		uint64_t start = end > CHUNK ? end - CHUNK : 0;
		size_t n = read_at(s, f, start, (size_t)(end - start)), first = 0;
		const char *p = start ? memchr(s->chunk, '\n', n) : NULL;

		if (start)
			first = p ? (size_t)(p - s->chunk) + 1 : n;
		for (size_t to = n; to > first && !enough(s);) {
			p = to > first + 1 ? memrchr(s->chunk + first, '\n', to - 1 - first) : NULL;
			size_t from = p ? (size_t)(p - s->chunk) + 1 : first;

			take(s, str_mem(s->chunk + from, to - 1 - from));
			to = from;
		}
		/* a line that fills the chunk is passed over */
		end = first < n ? start + first : start;
	}
}

/* ---- all files ---- */

static bool file_look(struct search *s, struct file *f)
{
	struct stat st;
	size_t n = read_at(s, f, 0, KEY_MOST);
	bool ok = n && !fstat(f->fd, &st) && S_ISREG(st.st_mode) &&
		  line_key(str_mem(s->chunk, n), &f->first_id, &f->first_at);

	if (ok)
		f->size = (uint64_t)st.st_size;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	return ok;
}

static int by_id(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	return x->first_id < y->first_id ? -1 : x->first_id > y->first_id;
}

static bool file_add(struct search *s, const char *dir, const char *name)
{
	struct file *p = realloc(s->files, ((size_t)s->nfiles + 1) * sizeof *p), *f;

	if (!p)
		return false;
	s->files = p;
	f = &p[s->nfiles];
	f->fd = -1;
	if (snprintf(f->path, sizeof f->path, "%s/%s", dir, name) < (int)sizeof f->path)
		s->nfiles += file_look(s, f);
	return true;
}

/* FILE.json and FILE.json-2026…, by their first lines' numbers. */
static bool list_files(struct search *s, const char *log_file)
{
	char dir[PATH_MAX], base[PATH_MAX], json[NAME_MAX + 1];
	const char *in, *name;
	struct dirent *e;
	bool ok = true;
	size_t n;
	DIR *d;

	snprintf(dir, sizeof dir, "%s", log_file);
	snprintf(base, sizeof base, "%s", log_file);
	in = dirname(dir);
	name = basename(base);
	n = (size_t)snprintf(json, sizeof json, "%.200s.json", name);
	d = opendir(in);
	while (d && ok && (e = readdir(d)))
		if (strncmp(e->d_name, json, n) == 0 &&
		    (!e->d_name[n] || strncmp(e->d_name + n, "-2", 2) == 0))
			ok = file_add(s, in, e->d_name);
	if (d)
		closedir(d);
	if (s->nfiles)
		qsort(s->files, (size_t)s->nfiles, sizeof *s->files, by_id);
	return ok;
}

static void read_files(struct search *s)
{
	uint64_t at;
	int i = s->nfiles - 1;

	while (i > 0 && !before(s->r, s->files[i].first_id, s->files[i].first_at))
		i--;
	at = find(s, &s->files[i]);
	if (s->r->backwards)
		for (; i >= 0 && !enough(s); at = --i >= 0 ? s->files[i].size : 0)
			read_back(s, &s->files[i], at);
	else
		for (; i < s->nfiles && !enough(s); i++, at = 0)
			read_on(s, &s->files[i], at);
	if (s->a->nlines < s->want && s->looked >= LOOK_MOST)
		s->a->log_looked = s->last;
}

static void reverse(struct link_answer *a)
{
	for (int i = 0; i < a->nlines / 2; i++) {
		struct log_line t = a->lines[i];

		a->lines[i] = a->lines[a->nlines - 1 - i];
		a->lines[a->nlines - 1 - i] = t;
	}
}

static void search(struct search *s, const char *log_file)
{
	struct errbuf e = { "" };

	s->filter = event_filter_parse(rstr_str(s->r->text), &e);
	if (!s->filter || !list_files(s, log_file)) {
		s->a->exit = EXIT_USAGE;
		s->a->text = rstr_new(str_of(e.text[0] ? e.text : "no memory for the old log"));
	} else if (s->nfiles) {
		s->a->log_first = s->files[0].first_id;
		read_files(s);
	}
	if (s->r->backwards)
		reverse(s->a);
	for (int i = 0; i < s->nfiles; i++)
		if (s->files[i].fd >= 0)
			close(s->files[i].fd);
	sieve_free(s->filter);
	free(s->files);
}

struct link_answer *log_old_read(const struct link_request *r, const char *log_file, us_t now)
{
	struct search *s = calloc(1, sizeof *s);
	struct link_answer *a = calloc(1, sizeof *a);
	int want = r->n < 0 ? 0 : r->n < LINES_MOST ? r->n : LINES_MOST;

	if (a)
		a->lines = calloc((size_t)want + 1, sizeof *a->lines);
	if (!s || !a || !a->lines) {
		free(s);
		link_answer_free(a);
		return NULL;
	}
	a->id = r->id;
	a->operator= r->operator;
	a->op = r->op;
	a->confirm = -1;
	s->r = r;
	s->a = a;
	s->now = now;
	s->want = want;
	search(s, log_file);
	free(s);
	return a;
}
