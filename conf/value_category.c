/* pattern = /regex/ category, and what else may stand behind it, of [bounce-category-patterns]. */
#include "conf/lex.h"
#include "conf/value_list.h"

enum { QUOTED_MAX = 80 };

static const struct {
	const char *name;
	bool hard;
	bool lane_unsaid; /* its lane is what patterns and codes say; else none */
} known[] = {
	{ "bad-mailbox", true, false },
	{ "bad-domain", true, false },
	{ "inactive-mailbox", true, false },
	{ "quota-issues", false, false },
	{ "routing-errors", false, false },
	{ "spam-related", false, true },
	{ "policy-related", false, true },
	{ "content-related", false, false },
	{ "relaying-issues", false, false },
	{ "virus-related", false, false },
	{ "no-answer-from-host", false, true },
	{ "protocol-errors", false, false },
	{ "message-expired", false, false },
	{ "bad-connection", false, true },
	{ "invalid-sender", false, false },
	{ "bad-configuration", false, true },
	{ "other", false, true },
};

static const struct {
	const char *text;
	enum category_lane lane;
} lanes[] = {
	{ "lane=none", CATEGORY_LANE_NONE },
	{ "lane=slower", CATEGORY_LANE_SLOWER },
	{ "lane=backoff", CATEGORY_LANE_BACKOFF },
};

static const struct err *refuse(struct value_in *in, struct str word, const char *write)
{
	errbuf_set(&in->e, "\"%.*s\"%s", word.n < QUOTED_MAX ? (int)word.n : QUOTED_MAX, word.p,
		   write);
	return &err_invalid;
}

/* "421|45x|5xx": three letters each, digits or x; or `local`. */
static bool codes_ok(struct str s)
{
	while (s.n) {
		const char *end = memchr(s.p, '|', s.n);
		struct str one = { s.p, end ? (size_t)(end - s.p) : s.n };
		bool code = one.n == 3 && (one.p[0] == '4' || one.p[0] == '5');

		for (size_t i = 1; code && i < 3; i++)
			code = one.p[i] == 'x' || (one.p[i] >= '0' && one.p[i] <= '9');
		if (!code && !str_eqz(one, "local"))
			return false;
		s.p += one.n + (end != NULL);
		s.n -= one.n + (end != NULL);
		if (end && !s.n)
			return false;
	}
	return true;
}

static const struct err *option(struct value_in *in, struct str w, struct category_line *l)
{
	if (str_ieqz(w, "hard") || str_ieqz(w, "soft")) {
		l->hard = str_ieqz(w, "hard");
		return NULL;
	}
	for (size_t i = 0; i < sizeof lanes / sizeof lanes[0]; i++)
		if (str_ieqz(w, lanes[i].text)) {
			l->lane = lanes[i].lane;
			return NULL;
		}
	if (str_istarts(w, "from=") && w.n > 5) {
		l->from = mem_z(in->mem, (struct str){ w.p + 5, w.n - 5 });
		return NULL;
	}
	if (str_istarts(w, "code=") && w.n > 5 && codes_ok((struct str){ w.p + 5, w.n - 5 })) {
		l->codes = mem_z(in->mem, (struct str){ w.p + 5, w.n - 5 });
		return NULL;
	}
	return refuse(in, w,
		      ": behind the category may stand hard or soft, lane=none, lane=slower or "
		      "lane=backoff, code=421|45x|5xx, from=receiver|receiver");
}

static const struct err *category(struct value_in *in, struct str w, struct category_line *l)
{
	bool ok = w.n > 0 && w.n < CATEGORY_NAME_MAX;

	for (size_t i = 0; ok && i < w.n; i++)
		ok = (w.p[i] >= 'a' && w.p[i] <= 'z') || (w.p[i] >= '0' && w.p[i] <= '9') ||
		     w.p[i] == '-';
	if (!ok)
		return refuse(in, w,
			      ": write a category, as bad-mailbox or a name of your own: up to 31 "
			      "small letters, digits and -");
	l->category = mem_z(in->mem, w);
	l->lane = CATEGORY_LANE_UNSAID;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (str_eqz(w, known[i].name)) {
			l->hard = known[i].hard;
			l->lane = known[i].lane_unsaid ? CATEGORY_LANE_UNSAID : CATEGORY_LANE_NONE;
		}
	return NULL;
}

const struct err *value_parse_category(struct value_in *in, struct value *out)
{
	struct category_line *l = mem_alloc(in->mem, sizeof *l);
	struct str rest = in->text, w = { "", 0 };
	const struct err *err;

	out->category = l;
	lex_word(&rest, &w);
	if (w.n < 3 || w.p[0] != '/' || w.p[w.n - 1] != '/')
		return refuse(in, in->text,
			      ": write /pattern/ category, as /no such user/ bad-mailbox; a blank "
			      "or the line's end stands behind the second slash");
	l->regex = mem_z(in->mem, (struct str){ w.p + 1, w.n - 2 });
	err = pattern_check(l->regex, &in->e);
	w = STR_LIT("");
	if (!err && !lex_word(&rest, &w))
		return refuse(in, in->text, ": behind the pattern stands a category");
	if (!err)
		err = category(in, w, l);
	while (!err && lex_word(&rest, &w))
		err = option(in, w, l);
	return err;
}
