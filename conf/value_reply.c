/* reply = /regex/ action, action … of [pattern-list]. */
#include "conf/lex.h"
#include "conf/value_list.h"

enum { QUOTED_MAX = 80 };
#define FOR_LEAST US_PER_S
#define FOR_MOST  (30 * US_PER_DAY)

static const struct act_word {
	const char *text;
	unsigned act;
} act_words[] = {
	{ "mode=backoff", DO_BACKOFF },	   { "mode=normal", DO_NORMAL },
	{ "skip-mx", DO_SKIP_MX },	   { "bounce-queue", DO_BOUNCE_QUEUE },
	{ "bounce-rcpt", DO_BOUNCE_RCPT }, { "disable-source-ip", DO_DISABLE_SOURCE },
	{ "slower", DO_SLOWER },	   { "greylist", DO_GREYLIST },
	{ "ignore", DO_IGNORE },
};
enum { ACT_WORDS = sizeof act_words / sizeof act_words[0] };

/* What can't both be meant. */
static const struct {
	unsigned a, b;
	const char *text;
} contradictions[] = {
	{ DO_BACKOFF, DO_NORMAL, "mode=backoff and mode=normal" },
	{ DO_SKIP_MX, DO_BOUNCE_QUEUE, "skip-mx and bounce-queue" },
	{ DO_SKIP_MX, DO_BOUNCE_RCPT, "skip-mx and bounce-rcpt" },
	{ DO_GREYLIST, DO_BOUNCE_QUEUE | DO_BOUNCE_RCPT, "greylist and a bounce" },
	{ DO_GREYLIST, DO_BACKOFF | DO_SLOWER, "greylist and slower or mode=backoff" },
	{ DO_GREYLIST, DO_RETRY_IN, "greylist, which is retry-in=6m, and retry-in" },
	{ DO_RETRY_IN, DO_BOUNCE_QUEUE | DO_BOUNCE_RCPT, "retry-in and a bounce" },
	{ DO_IGNORE, ~(unsigned)DO_IGNORE, "ignore and another action" },
};

static int quoted(struct str s)
{
	return s.n < QUOTED_MAX ? (int)s.n : QUOTED_MAX;
}

static const struct err *refuse(struct value_in *in, struct str word, const char *write)
{
	errbuf_set(&in->e, "\"%.*s\"%s", quoted(word), word.p, write);
	return &err_invalid;
}

static const struct err *parse_span(struct value_in *in, struct str word, struct str text,
				    us_t *out)
{
	const struct err *err = fmt_parse_duration(text, out, &in->e);

	if (!err && (*out < FOR_LEAST || *out > FOR_MOST))
		return refuse(in, word, " is out of range: write 1s to 30d");
	return err;
}

/* `for=` belongs to the action before it. */
static const struct err *parse_for(struct value_in *in, struct str word, unsigned last,
				   struct pattern_acts *does)
{
	struct str text = { word.p + 4, word.n - 4 };

	if (last == DO_BACKOFF)
		return parse_span(in, word, text, &does->backoff_for);
	if (last == DO_DISABLE_SOURCE)
		return parse_span(in, word, text, &does->disable_for);
	return refuse(in, word, ": for= stands behind mode=backoff or disable-source-ip");
}

static const struct err *parse_act(struct value_in *in, struct str word, unsigned *last,
				   struct pattern_acts *does)
{
	struct nearest n;

	if (str_istarts(word, "for="))
		return parse_for(in, word, *last, does);
	if (str_istarts(word, "retry-in=")) {
		does->acts |= *last = DO_RETRY_IN;
		return parse_span(in, word, (struct str){ word.p + 9, word.n - 9 },
				  &does->retry_in);
	}
	nearest_init(&n, word);
	for (int i = 0; i < ACT_WORDS; i++) {
		if (str_ieqz(word, act_words[i].text)) {
			does->acts |= *last = act_words[i].act;
			return NULL;
		}
		nearest_try(&n, act_words[i].text);
	}
	errbuf_set(&in->e, "\"%.*s\" is no action%s%s%s", quoted(word), word.p,
		   nearest_best(&n) ? ": did you mean \"" : "",
		   nearest_best(&n) ? nearest_best(&n)
				    : ": write mode=backoff, mode=normal, skip-mx, bounce-queue, "
				      "bounce-rcpt, disable-source-ip, slower, greylist, "
				      "retry-in=15m or ignore",
		   nearest_best(&n) ? "\"?" : "");
	return &err_invalid;
}

static const struct err *parse_acts(struct value_in *in, struct str list, struct pattern_acts *does)
{
	unsigned last = 0;
	struct str w;

	while (lex_word(&list, &w)) {
		const struct err *err = parse_act(in, w, &last, does);

		if (err)
			return err;
	}
	if (!does->acts)
		return refuse(in, in->text, ": behind the pattern stands what to do, as slower");
	for (size_t i = 0; i < sizeof contradictions / sizeof contradictions[0]; i++)
		if ((does->acts & contradictions[i].a) && (does->acts & contradictions[i].b)) {
			errbuf_set(&in->e, "%s contradict each other", contradictions[i].text);
			return &err_invalid;
		}
	return NULL;
}

const struct err *value_parse_reply(struct value_in *in, struct value *out)
{
	struct reply_line *l = mem_alloc(in->mem, sizeof *l);
	struct str rest = in->text, w = { "", 0 }, name, more;
	const struct err *err;

	out->reply = l;
	lex_word(&rest, &w);
	if (str_ieqz(w, "include")) {
		if (!lex_word(&rest, &name) || lex_word(&rest, &more) || !name_ok(name))
			return refuse(in, in->text, ": behind include stands one list's name");
		l->include = mem_z(in->mem, name);
		return NULL;
	}
	if (w.n < 2 || w.p[0] != '/' || w.p[w.n - 1] != '/')
		return refuse(in, in->text,
			      ": write /pattern/ action, as /too many/ slower; a blank or the "
			      "line's end stands behind the second slash");
	l->regex = mem_z(in->mem, (struct str){ w.p + 1, w.n - 2 });
	err = pattern_check(l->regex, &in->e);
	return err ? err : parse_acts(in, rest, &l->does);
}
