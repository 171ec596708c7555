#include "core/classify/classify.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/base/log.h"
#include "core/classify/rules.h"

enum {
	CLASSIFIER_MAGIC = 0x434c5346,
	/* Steps of one match; a usual reply takes some hundreds. */
	MATCH_LIMIT = 20000,
	DEPTH_LIMIT = 1000,
	HEAP_LIMIT_KB = 256,
	LOOK_AT = 2048, /* bytes of a reply, the last LOOK_AT_END of them from its end */
	LOOK_AT_END = 512,
};

struct classifier {
	uint32_t magic;
	pcre2_code **codes; /* one for each of text_rules */
	struct need *needs;
	pcre2_match_context *limits;
};

/* A reply as the rules see it. */
struct view {
	int code;	     /* 552 at RCPT: 452 */
	unsigned when;	     /* one bit of enum rule_when */
	bool no_rcpt;	     /* before RCPT no reply can be about a mailbox */
	int subject, detail; /* of the enhanced code; -1: none */
	struct str text;
	struct pieces pieces; /* of the text */
	pcre2_match_data *data;
};

const char *reply_class_name(enum reply_class c)
{
	static const char *const names[] = {
		[CLASS_OK] = "ok",
		[CLASS_MAILBOX] = "mailbox",
		[CLASS_GREYLIST] = "greylist",
		[CLASS_THROTTLE] = "throttle",
		[CLASS_TRANSIENT] = "transient",
		[CLASS_PERMANENT] = "permanent",
		[CLASS_POLICY] = "policy",
		[CLASS_CONNECTION] = "connection",
	};

	return (size_t)c < sizeof names / sizeof *names ? names[c] : "unknown";
}

const char *smtp_step_name(enum smtp_step s)
{
	static const char *const names[] = {
		[STEP_CONNECT] = "connect",  [STEP_GREETING] = "greeting",
		[STEP_EHLO] = "EHLO",	     [STEP_TLS] = "STARTTLS",
		[STEP_AUTH] = "AUTH",	     [STEP_MAIL] = "MAIL FROM",
		[STEP_RCPT] = "RCPT TO",     [STEP_DATA] = "DATA",
		[STEP_BODY] = "end of DATA", [STEP_RSET] = "RSET",
		[STEP_QUIT] = "QUIT",
	};

	return (size_t)s < sizeof names / sizeof *names ? names[s] : "unknown";
}

/* ---- the classifier ---- */

static pcre2_code *compile(const struct text_rule *rule, struct errbuf *e)
{
	PCRE2_UCHAR text[256];
	PCRE2_SIZE at = 0;
	int error = 0;
	pcre2_code *code =
	    pcre2_compile((PCRE2_SPTR)rule->pattern, PCRE2_ZERO_TERMINATED,
			  PCRE2_CASELESS | PCRE2_EXTENDED | PCRE2_MULTILINE, &error, &at, NULL);

	if (!code) {
		pcre2_get_error_message(error, text, sizeof text);
		errbuf_set(e, "the pattern of \"%s\" is wrong at byte %zu: %s", rule->name,
			   (size_t)at, (const char *)text);
		return NULL;
	}
	/* Where the processor or a policy forbids JIT, the interpreter gives the same answers. */
	(void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	return code;
}

static bool compile_all(struct classifier *c, struct errbuf *e)
{
	c->limits = pcre2_match_context_create(NULL);
	c->codes = calloc((size_t)ntext_rules, sizeof *c->codes);
	c->needs = calloc((size_t)ntext_rules, sizeof *c->needs);
	if (!c->limits || !c->codes || !c->needs) {
		errbuf_set(e, "no memory for the reply patterns");
		return false;
	}
	pcre2_set_match_limit(c->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(c->limits, DEPTH_LIMIT);
	pcre2_set_heap_limit(c->limits, HEAP_LIMIT_KB);
	for (int i = 0; i < ntext_rules; i++) {
		c->codes[i] = compile(&text_rules[i], e);
		if (!c->codes[i] || !need_make(&c->needs[i], text_rules[i].pattern, true))
			return false;
	}
	return true;
}

struct classifier *classifier_new(struct errbuf *e)
{
	struct classifier *c = calloc(1, sizeof *c);

	if (!c) {
		errbuf_set(e, "no memory for the reply patterns");
		return NULL;
	}
	c->magic = CLASSIFIER_MAGIC;
	if (!compile_all(c, e)) {
		classifier_free(c);
		return NULL;
	}
	return c;
}

void classifier_free(struct classifier *c)
{
	if (!c)
		return;
	OBJ_CHECK(c, CLASSIFIER_MAGIC);
	for (int i = 0; c->codes && i < ntext_rules; i++)
		pcre2_code_free(c->codes[i]);
	for (int i = 0; c->needs && i < ntext_rules; i++)
		need_free(&c->needs[i]);
	free(c->needs);
	free(c->codes);
	pcre2_match_context_free(c->limits);
	c->magic = 0;
	free(c);
}

/* ---- codes ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The basic code, or 0 for what is no reply line. */
static int basic_code(struct str s)
{
	if (s.n < 3 || s.p[0] < '2' || s.p[0] > '5' || !is_digit(s.p[1]) || !is_digit(s.p[2]))
		return 0;
	if (s.n > 3 && s.p[3] != ' ' && s.p[3] != '-' && s.p[3] != '\n')
		return 0;
	return (s.p[0] - '0') * 100 + (s.p[1] - '0') * 10 + (s.p[2] - '0');
}

/* One to three digits at *at; -1: none or more. */
static int number(struct str s, size_t *at)
{
	int v = 0, digits = 0;

	for (; *at < s.n && is_digit(s.p[*at]) && digits < 4; ++*at, digits++)
		v = v * 10 + (s.p[*at] - '0');
	return digits >= 1 && digits <= 3 ? v : -1;
}

/* An enhanced code at s.p[at] that is not part of a longer number, an address or a version. Its
 * length; 0: none. */
static size_t enhanced_at(struct str s, size_t at, int *subject, int *detail)
{
	size_t i = at;

	if (s.p[i] != '2' && s.p[i] != '4' && s.p[i] != '5')
		return 0;
	if (at > 0 && (is_digit(s.p[at - 1]) || s.p[at - 1] == '.'))
		return 0;
	if (++i >= s.n || s.p[i++] != '.')
		return 0;
	*subject = number(s, &i);
	if (*subject < 0 || i >= s.n || s.p[i++] != '.')
		return 0;
	*detail = number(s, &i);
	if (*detail < 0 || (i + 1 < s.n && s.p[i] == '.' && is_digit(s.p[i + 1])))
		return 0;
	return i - at;
}

/* Where RFC 2034 puts it, behind the code of a line; else anywhere in the text, as "(#5.1.1)",
 * where it must agree with the basic code's class. */
static bool find_enhanced(struct view *v, char out[12])
{
	struct str s = v->text;
	size_t n = 0;

	for (size_t i = 4; i < s.n; i++) {
		bool proper = i == 4 || (i >= 5 && s.p[i - 5] == '\n');

		if (!proper)
			continue;
		n = enhanced_at(s, i, &v->subject, &v->detail);
		if (n) {
			memcpy(out, s.p + i, n);
			out[n] = '\0';
			return true;
		}
	}
	for (size_t i = 4; i < s.n; i++) {
		if (s.p[i] != s.p[0] || !(n = enhanced_at(s, i, &v->subject, &v->detail)))
			continue;
		memcpy(out, s.p + i, n);
		out[n] = '\0';
		return true;
	}
	v->subject = v->detail = -1;
	return false;
}

/* ---- the verdict ---- */

static void conclude(struct reply_verdict *out, enum reply_class class, const char *rule)
{
	out->class = class;
	out->rule = rule;
}

static bool applies(const struct view *v, unsigned when, enum reply_class class)
{
	return (when & v->when) && !(class == CLASS_MAILBOX && v->no_rcpt);
}

/* What a peer wrote is matched as bytes, so no text is ill-formed; a match that hits a limit is no
 * match. */
static bool matches(const struct classifier *c, const struct view *v, const pcre2_code *code,
		    struct str text)
{
	return v->data &&
	       pcre2_match(code, (PCRE2_SPTR)text.p, text.n, 0, 0, v->data, c->limits) >= 0;
}

static bool by_text(const struct classifier *c, const struct view *v, struct reply_verdict *out)
{
	for (int i = 0; i < ntext_rules; i++) {
		if (!applies(v, text_rules[i].when, text_rules[i].class) ||
		    !need_met(&c->needs[i], &v->pieces) || !matches(c, v, c->codes[i], v->text))
			continue;
		conclude(out, text_rules[i].class, text_rules[i].name);
		return true;
	}
	return false;
}

static bool by_enhanced(const struct view *v, struct reply_verdict *out)
{
	for (int i = 0; i < nenhanced_rules; i++) {
		const struct enhanced_rule *r = &enhanced_rules[i];

		if (!applies(v, r->when, r->class) || r->subject != v->subject ||
		    v->detail < r->first || v->detail > r->last)
			continue;
		conclude(out, r->class, r->name);
		return true;
	}
	return false;
}

static void by_code(const struct view *v, enum smtp_step step, struct reply_verdict *out)
{
	if (v->when == WHEN_421)
		conclude(out, CLASS_THROTTLE, "code 421");
	else if (v->when == WHEN_4XX)
		conclude(out, CLASS_TRANSIENT, "code 4xx");
	else if (v->code == 521)
		conclude(out, CLASS_POLICY, "code 521"); /* RFC 7504; AOL's "not from you" */
	else if (step <= STEP_EHLO)
		conclude(out, CLASS_POLICY,
			 "code 5xx before MAIL"); /* nothing but us is known yet */
	else
		conclude(out, CLASS_PERMANENT, "code 5xx");
}

static void judge(const struct classifier *c, enum smtp_step step, const struct view *v,
		  struct reply_verdict *out)
{
	/* A goodbye: a connection that has done its work is over. */
	if (v->when == WHEN_421 && (step == STEP_RSET || step == STEP_QUIT))
		conclude(out, CLASS_TRANSIENT, "code 421 between messages");
	else if (!by_text(c, v, out) && !by_enhanced(v, out))
		by_code(v, step, out);
}

/* The reply itself, or its two ends put together in mem. */
static struct str look_at(struct str reply, char mem[LOOK_AT])
{
	if (reply.n <= LOOK_AT)
		return reply;
	memcpy(mem, reply.p, LOOK_AT - LOOK_AT_END);
	memcpy(mem + LOOK_AT - LOOK_AT_END, reply.p + reply.n - LOOK_AT_END, LOOK_AT_END);
	return str_mem(mem, LOOK_AT);
}

/* ---- the configuration's patterns ---- */

static const struct pattern *first_match(const struct classifier *c,
					 const struct pattern_list *list, int n,
					 const struct view *v)
{
	for (int i = 0; i < n; i++)
		if (need_met(&list->v[i]->need, &v->pieces) &&
		    matches(c, v, list->v[i]->code, v->text))
			return list->v[i];
	return NULL;
}

static void set_permanent(struct reply_verdict *out, bool permanent)
{
	out->permanent = permanent;
	out->enhanced[0] = permanent ? '5' : '4';
}

/* What the actions make of the class. The scheduler does the rest of them. */
static void apply(const struct pattern *p, struct reply_verdict *out)
{
	unsigned acts = p->does.acts;

	out->pattern = p;
	out->rule = p->rule;
	if (acts & (DO_BOUNCE_RCPT | DO_BOUNCE_QUEUE))
		set_permanent(out, true);
	else if (acts & (DO_GREYLIST | DO_RETRY_IN | DO_SKIP_MX))
		set_permanent(out, false);
	if (acts & DO_GREYLIST)
		out->class = CLASS_GREYLIST;
	else if (acts & (DO_SLOWER | DO_BACKOFF))
		out->class = out->permanent ? CLASS_POLICY : CLASS_THROTTLE;
	else if (acts & DO_IGNORE)
		out->class = out->permanent ? CLASS_PERMANENT : CLASS_MAILBOX;
	else if (out->permanent && out->class != CLASS_POLICY)
		out->class = CLASS_PERMANENT;
	else if (!out->permanent && (out->class == CLASS_PERMANENT || out->class == CLASS_POLICY))
		out->class = CLASS_TRANSIENT;
}

/* ---- categories ---- */

/* The reply's lines as one: the first code, then all texts, without the codes in between. */
static struct str unfold(struct str s, char mem[LOOK_AT])
{
	size_t n = 0;

	for (size_t i = 0; i < s.n && n < LOOK_AT; i++) {
		int subject, detail;
		struct str rest = { s.p + i + 1, s.n - i - 1 };

		if (s.p[i] != '\n') {
			mem[n++] = i == 3 && s.p[i] == '-' ? ' ' : s.p[i];
			continue;
		}
		mem[n++] = ' ';
		if (basic_code(rest))
			i += rest.n > 3 && rest.p[3] != '\n' ? 4 : 3;
		if (i + 1 < s.n) {
			size_t code = enhanced_at(s, i + 1, &subject, &detail);

			i += code + (code && i + 1 + code < s.n && s.p[i + 1 + code] == ' ');
		}
	}
	return str_mem(mem, n);
}

/* "421|45x|local" */
static bool code_fits(const char *codes, struct str reply, bool local)
{
	for (const char *p = codes; p && *p; p++) {
		if (local ? strncmp(p, "local", 5) == 0
			  : p[0] == reply.p[0] && (p[1] == 'x' || p[1] == reply.p[1]) &&
				(p[2] == 'x' || p[2] == reply.p[2]))
			return true;
		p = strchr(p, '|');
		if (!p)
			return false;
	}
	return !codes;
}

/* A word of "gmail|google" is the receiver's name or a label of its host. */
static bool receiver_fits(const char *from, struct str receiver)
{
	for (const char *p = from; p && *p;) {
		size_t n = strcspn(p, "|");
		const char *end = receiver.p + receiver.n;

		for (const char *at = receiver.p; at < end;) {
			const char *dot = memchr(at, '.', (size_t)(end - at));
			size_t label = (size_t)((dot ? dot : end) - at);

			if ((label == n && strncasecmp(at, p, n) == 0) ||
			    (at == receiver.p && receiver.n == n && strncasecmp(at, p, n) == 0))
				return true;
			at += label + 1;
		}
		p += n + (p[n] == '|');
	}
	return !from;
}

/* What the rule of the category says of the lane, where no reply line did. */
static void category_lane(const struct category_rule *r, struct reply_verdict *out)
{
	bool mailbox = strcmp(r->category, "bad-mailbox") == 0 ||
		       strcmp(r->category, "inactive-mailbox") == 0 ||
		       strcmp(r->category, "quota-issues") == 0;

	if (r->pattern.does.acts) {
		apply(&r->pattern, out);
	} else if (r->lane == CATEGORY_LANE_NONE && out->class != CLASS_GREYLIST) {
		if (out->permanent)
			out->class = CLASS_PERMANENT;
		else if (mailbox)
			out->class = CLASS_MAILBOX;
		else if (out->class == CLASS_THROTTLE)
			out->class = CLASS_TRANSIENT;
	}
}

/* text: unfolded. The pieces are the folded text's, and a pattern may need one that lies across a
 * line's end, so they are made anew for several lines. */
static const struct category_rule *category_find(const struct classifier *c,
						 const struct category_rules *rules,
						 struct str receiver, const struct view *v,
						 struct str text, bool local)
{
	for (int i = 0; i < rules->n; i++) {
		const struct category_rule *r = &rules->v[i];

		if (need_met(&r->pattern.need, &v->pieces) && code_fits(r->codes, text, local) &&
		    receiver_fits(r->from, receiver) && matches(c, v, r->pattern.code, text))
			return r;
	}
	return NULL;
}

static void categorise(const struct classifier *c, const struct pattern_list *list,
		       struct str receiver, struct view *v, bool local, struct reply_verdict *out)
{
	char mem[LOOK_AT];
	struct str text = v->text;
	const struct category_rule *r;

	if (!list || !list->categories->n)
		return;
	if (!local && (text.n < 4 || text.p[3] == '-' || memchr(text.p, '\n', text.n))) {
		text = unfold(text, mem);
		pieces_of(text, &v->pieces);
	}
	r = category_find(c, list->categories, receiver, v, text, local);
	if (!r)
		return;
	snprintf(out->category, sizeof out->category, "%s", r->category);
	out->hard = r->hard;
	out->category_rule = r->pattern.rule;
	if (!out->pattern && !local)
		category_lane(r, out);
}

static bool look(struct view *v, struct str reply, char mem[LOOK_AT])
{
	v->text = look_at(reply, mem);
	v->data = pcre2_match_data_create(1, NULL);
	pieces_of(v->text, &v->pieces);
	return v->data;
}

void classify_success(const struct classifier *c, const struct pattern_list *list, struct str reply,
		      struct reply_verdict *out)
{
	char mem[LOOK_AT];
	const struct pattern *p;
	struct view v;

	if (!list || !list->n_success || !look(&v, reply, mem))
		return;
	p = first_match(c, list, list->n_success, &v);
	if (p && (p->does.acts & DO_NORMAL))
		out->pattern = p;
	pcre2_match_data_free(v.data);
}

void classify_local(const struct classifier *c, const struct pattern_list *list, struct str text,
		    struct reply_verdict *out)
{
	char mem[LOOK_AT];
	struct view v;

	*out =
	    (struct reply_verdict){ .class = CLASS_PERMANENT, .permanent = true, .rule = "local" };
	memcpy(out->enhanced, "5.0.0", sizeof "5.0.0");
	if (text.n && look(&v, text, mem)) {
		categorise(c, list, STR_LIT(""), &v, true, out);
		pcre2_match_data_free(v.data);
	}
}

static void judge_refusal(const struct classifier *c, const struct pattern_list *list,
			  enum smtp_step step, struct str receiver, struct view *v,
			  struct reply_verdict *out)
{
	const struct pattern *p;

	if (v->code == 552 && step == STEP_RCPT) {
		v->code = 452;
		out->enhanced[0] = '4';
	}
	v->no_rcpt = step < STEP_RCPT;
	v->when = v->code == 421 ? WHEN_421 : v->code < 500 ? WHEN_4XX : WHEN_5XX;
	out->permanent = v->code >= 500;
	judge(c, step, v, out);
	p = list ? first_match(c, list, list->n, v) : NULL;
	if (p)
		apply(p, out);
	categorise(c, list, receiver, v, false, out);
}

void classify_from(const struct classifier *c, const struct pattern_list *list, enum smtp_step step,
		   struct str receiver, struct str reply, struct reply_verdict *out)
{
	struct view v = { .code = basic_code(reply), .subject = -1, .detail = -1 };
	char mem[LOOK_AT];

	OBJ_CHECK(c, CLASSIFIER_MAGIC);
	*out = (struct reply_verdict){ .class = CLASS_CONNECTION, .rule = "no reply" };
	memcpy(out->enhanced, "4.4.2", sizeof "4.4.2");
	if (!reply.n)
		return;
	if (!v.code) {
		conclude(out, CLASS_TRANSIENT, "no reply code");
		memcpy(out->enhanced, "4.5.0", sizeof "4.5.0");
		return;
	}
	(void)look(&v, reply, mem); /* without memory the codes still speak */
	if (!find_enhanced(&v, out->enhanced)) {
		memcpy(out->enhanced, "2.0.0", sizeof "2.0.0");
		if (v.code >= 400)
			out->enhanced[0] = reply.p[0];
	}
	if (v.code >= 400) {
		judge_refusal(c, list, step, receiver, &v, out);
	} else {
		conclude(out, CLASS_OK, v.code < 300 ? "code 2xx" : "code 3xx");
		classify_success(c, list, reply, out);
	}
	pcre2_match_data_free(v.data);
}

void classify(const struct classifier *c, const struct pattern_list *list, enum smtp_step step,
	      struct str reply, struct reply_verdict *out)
{
	classify_from(c, list, step, STR_LIT(""), reply, out);
}
