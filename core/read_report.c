#include "core/read_report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clean.h"
#include "core/base/jsonw.h"
#include "core/control/commands.h"
#include "core/control/cli.h"
#include "core/feedback/mime.h"
#include "core/feedback/report_verdict.h"
#include "core/feedback/token.h"

enum { FIRST_BLOCK = 64 * 1024 };

struct show {
	bool json;
	struct token_keys keys; /* n is 0 without --key */
	struct classifier *classifier;
	const struct pattern_list *list;
	struct buf out;
	struct jsonw w;
	int files;
};

/* The path leaves its recipient out, or not. */
static bool path_matches(const struct show *s, const struct report *r, struct str path)
{
	const char *at = path.n ? memrchr(path.p, '@', path.n) : NULL;
	size_t n = at ? (size_t)(at + 1 - path.p) : 0;
	struct buf who;
	struct token t;
	bool ok = false;

	buf_init(&who);
	for (int i = -1; n && !ok && i < r->nrcpts; i++)
		ok = token_verp_verify(&s->keys, path, str_mem(at + 1, path.n - n),
				       i < 0 ? STR_LIT("") : r->rcpts[i].address, &t, &who);
	buf_free(&who);
	return ok;
}

/* What ties it to one of our messages: a token that the key verifies, else only its say-so. "" if
 * nothing does. */
static const char *matched(const struct show *s, const struct report *r)
{
	struct token t;

	if (path_matches(s, r, r->to) || path_matches(s, r, r->return_path))
		return "verp";
	if (token_ref_verify(&s->keys, r->ref, &t, NULL, NULL))
		return "ref";
	return r->kind != REPORT_OTHER && (r->ref.n || r->message_id.n) ? "unverified" : "";
}

/* ---- for people ---- */

static void line(struct show *s, const char *name, struct str v)
{
	if (!v.n)
		return;
	buf_addf(&s->out, "  %-14s ", name);
	clean_add(&s->out, v, false);
	buf_addc(&s->out, '\n');
}

static void text_rcpt(struct show *s, const struct report *r, const struct report_rcpt *p)
{
	struct report_verdict v;

	report_judge(s->classifier, s->list, r, p, &v);
	buf_addz(&s->out, "  recipient      ");
	clean_add(&s->out, p->address.n ? p->address : STR_LIT("(not named)"), false);
	if (p->action != ACTION_NONE)
		buf_addf(&s->out, " %s", report_action_name(p->action));
	if (*p->status)
		buf_addf(&s->out, " %s", p->status);
	if (*v.category)
		buf_addf(&s->out, " %s", v.category);
	if (p->action == ACTION_FAILED)
		buf_addz(&s->out, v.hard ? " hard" : " soft");
	buf_addz(&s->out, v.suppress ? ", would be suppressed\n" : "\n");
	line(s, "  forwarded to", p->final);
	line(s, "  said by", p->remote_mta);
	line(s, "  words", p->diagnostic);
}

static void text(struct show *s, const char *file, const struct report *r)
{
	clean_add(&s->out, str_of(file), false);
	buf_addf(&s->out, ": %s (%s)\n", report_kind_name(r->kind), r->rule);
	for (int i = 0; i < r->nrcpts; i++)
		text_rcpt(s, r, &r->rcpts[i]);
	line(s, "feedback", r->feedback_type);
	line(s, "user agent", r->user_agent);
	line(s, "source", r->source_ip);
	line(s, "reported by", r->reporting_mta);
	line(s, "envelope id", r->envid);
	line(s, "message id", r->message_id);
	line(s, "return path", r->return_path);
	line(s, "reference", r->ref);
	line(s, "matched", str_of(matched(s, r)));
	if (r->cut)
		buf_addz(&s->out, "  it is larger than what is read of a report\n");
}

/* ---- JSON ---- */

static void field(struct show *s, const char *name, struct str v)
{
	if (v.n)
		jsonw_str(&s->w, name, v);
}

static void json_rcpt(struct show *s, const struct report *r, const struct report_rcpt *p)
{
	struct report_verdict v;

	report_judge(s->classifier, s->list, r, p, &v);
	jsonw_object(&s->w, NULL);
	field(s, "recipient", p->address);
	field(s, "status", str_of(p->status));
	field(s, "action", str_of(report_action_name(p->action)));
	field(s, "category", str_of(v.category));
	jsonw_bool(&s->w, "hard", v.hard);
	jsonw_bool(&s->w, "suppress", v.suppress);
	field(s, "final_recipient", p->final);
	field(s, "diagnostic", p->diagnostic);
	field(s, "remote_mta", p->remote_mta);
	jsonw_end_object(&s->w);
}

static void json(struct show *s, const char *file, const struct report *r)
{
	jsonw_object(&s->w, NULL);
	jsonw_z(&s->w, "file", file);
	jsonw_z(&s->w, "kind", report_kind_name(r->kind));
	jsonw_z(&s->w, "rule", r->rule);
	jsonw_array(&s->w, "recipients");
	for (int i = 0; i < r->nrcpts; i++)
		json_rcpt(s, r, &r->rcpts[i]);
	jsonw_end_array(&s->w);
	field(s, "message_id", r->message_id);
	field(s, "envelope_id", r->envid);
	field(s, "feedback_type", r->feedback_type);
	field(s, "user_agent", r->user_agent);
	field(s, "source_ip", r->source_ip);
	field(s, "reporting_mta", r->reporting_mta);
	field(s, "return_path", r->return_path);
	field(s, "reference", r->ref);
	field(s, "matched", str_of(matched(s, r)));
	if (r->cut)
		jsonw_bool(&s->w, "cut", true);
	jsonw_end_object(&s->w);
}

/* ---- files ---- */

/* No more of it than is looked at. */
static bool read_file(const char *path, struct buf *to)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 1;

	while (n > 0 && to->n <= MIME_BYTES_MAX && buf_reserve(to, FIRST_BLOCK)) {
		n = read(fd, to->p + to->n, FIRST_BLOCK);
		to->n += n > 0 ? (size_t)n : 0;
	}
	if (n < 0)
		fprintf(stderr, "stoker: %s can't be read: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return n >= 0 && !buf_failed(to);
}

static bool show_file(struct show *s, const char *path)
{
	struct buf bytes;
	struct arena mem;
	struct report r;
	bool ok;

	buf_init(&bytes);
	arena_init(&mem, FIRST_BLOCK);
	ok = read_file(path, &bytes) && report_read(buf_str(&bytes), &mem, &r);
	if (ok && s->json)
		json(s, path, &r);
	else if (ok)
		text(s, path, &r);
	s->files += ok;
	arena_free(&mem);
	buf_free(&bytes);
	return ok;
}

static int show_all(struct show *s, int n, char **words)
{
	int code = EXIT_DONE;

	jsonw_init(&s->w, &s->out);
	if (s->json) {
		jsonw_object(&s->w, NULL);
		jsonw_array(&s->w, "rows");
	}
	for (int i = 0; i < n; i++)
		if (words[i] && !show_file(s, words[i]))
			code = EXIT_REFUSED;
	if (s->json) {
		jsonw_end_array(&s->w);
		jsonw_int(&s->w, "total", s->files);
		jsonw_end_object(&s->w);
		buf_addc(&s->out, '\n');
	}
	if (fwrite(s->out.p ? s->out.p : "", 1, s->out.n, stdout) != s->out.n || fflush(stdout))
		code = EXIT_REFUSED;
	return code;
}

static bool take_options(struct show *s, int n, char **words, int *files)
{
	struct errbuf e = { "" };

	for (int i = 0; i < n; i++) {
		bool key = !strcmp(words[i], "--key");

		if (!key && strcmp(words[i], "--json") != 0) {
			*files += 1;
			continue;
		}
		s->json = s->json || !key;
		words[i] = NULL;
		if (!key)
			continue;
		if (++i >= n || token_keys_read(words[i], &s->keys, &e)) {
			fprintf(stderr, "stoker read-report: %s\n",
				i < n ? e.text : "--key needs a file");
			return false;
		}
		words[i] = NULL;
	}
	if (!*files)
		fprintf(stderr, "stoker read-report: which file?\n");
	return *files > 0;
}

int read_report(const struct pattern_list *list, int n, char **words)
{
	struct show s = { .list = list };
	struct errbuf e = { "" };
	int files = 0, code = EXIT_USAGE;

	buf_init(&s.out);
	if (take_options(&s, n, words, &files)) {
		s.classifier = classifier_new(&e);
		if (!s.classifier)
			fprintf(stderr, "stoker: %s\n", e.text);
		code = s.classifier ? show_all(&s, n, words) : EXIT_REFUSED;
		classifier_free(s.classifier);
	}
	token_keys_wipe(&s.keys);
	buf_free(&s.out);
	return code;
}
