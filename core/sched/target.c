/* Targets of commands (COMMANDS.md): one grammar for command line, console and JSON. */
#include "core/sched/inner.h"

static const struct {
	const char *prefix;
	enum target_kind kind;
} prefixes[] = {
	{ "vmta:", TARGET_VMTA }, { "pool:", TARGET_POOL },  { "job:", TARGET_JOB },
	{ "user:", TARGET_USER }, { "id:", TARGET_MESSAGE },
};

static const struct err *wrong(struct errbuf *e, const char *what, struct str text)
{
	errbuf_set(e,
		   "%s: '%.*s'; a target is DOMAIN, DOMAIN/ROUTE, @SITE, SITE@VMTA, vmta:, pool:, "
		   "job:, user:, id: or all",
		   what, (int)(text.n < 80 ? text.n : 80), text.p);
	return &err_invalid;
}

static const struct err *parse_id(struct str v, struct target *out, struct errbuf *e,
				  struct str whole)
{
	uint64_t id = 0;

	if (!v.n || v.n > 16)
		return wrong(e, "a message's number is up to 16 hexadecimal digits", whole);
	for (size_t i = 0; i < v.n; i++) {
		char c = v.p[i];
		int d = c >= '0' && c <= '9'		     ? c - '0'
			: (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
							     : -1;

		if (d < 0)
			return wrong(e, "a message's number is hexadecimal", whole);
		id = id << 4 | (uint64_t)d;
	}
	out->message = id;
	return NULL;
}

static bool parse_prefix(struct str text, struct target *out, struct errbuf *e,
			 const struct err **err)
{
	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
		size_t n = strlen(prefixes[i].prefix);

		if (!str_istarts(text, prefixes[i].prefix))
			continue;
		out->kind = prefixes[i].kind;
		out->a = str_mem(text.p + n, text.n - n);
		*err = NULL;
		if (!out->a.n)
			*err = wrong(e, "a name is missing", text);
		else if (out->kind == TARGET_MESSAGE)
			*err = parse_id(out->a, out, e, text);
		return true;
	}
	return false;
}

/* Splits at the first `sep`; both parts must have something in them. */
static bool split(struct str text, char sep, struct target *out)
{
	const char *at = memchr(text.p, sep, text.n);

	if (!at)
		return false;
	out->a = str_mem(text.p, (size_t)(at - text.p));
	out->b = str_mem(at + 1, text.n - out->a.n - 1);
	return true;
}

const struct err *target_parse(struct str text, struct target *out, struct errbuf *e)
{
	const struct err *err;

	*out = (struct target){ 0 };
	text = str_trim(text);
	if (!text.n)
		return wrong(e, "a target is missing", text);
	if (memchr(text.p, ' ', text.n) && !str_istarts(text, "job:"))
		return wrong(e, "a target has no blanks", text);
	if (str_ieqz(text, "all")) {
		out->kind = TARGET_ALL;
		return NULL;
	}
	if (parse_prefix(text, out, e, &err))
		return err;
	if (text.p[0] == '@') {
		out->kind = TARGET_SITE;
		out->a = str_mem(text.p + 1, text.n - 1);
		return out->a.n ? NULL : wrong(e, "a site is missing", text);
	}
	out->kind = split(text, '/', out)   ? TARGET_QUEUE
		    : split(text, '@', out) ? TARGET_LANE
					    : TARGET_DOMAIN;
	if (out->kind == TARGET_DOMAIN)
		out->a = text;
	if (out->a.n && (out->kind == TARGET_DOMAIN || out->b.n))
		return NULL;
	return wrong(e, "a part is missing", text);
}

void target_print(const struct target *t, struct buf *out)
{
	switch (t->kind) {
	case TARGET_ALL:
		buf_addz(out, "all");
		return;
	case TARGET_DOMAIN:
		break;
	case TARGET_QUEUE:
		buf_adds(out, t->a);
		buf_addc(out, '/');
		buf_adds(out, t->b);
		return;
	case TARGET_SITE:
		buf_addc(out, '@');
		break;
	case TARGET_LANE:
		buf_adds(out, t->a);
		buf_addc(out, '@');
		buf_adds(out, t->b);
		return;
	case TARGET_MESSAGE:
		buf_addf(out, "id:%llx", (unsigned long long)t->message);
		return;
	case TARGET_VMTA:
	case TARGET_POOL:
	case TARGET_JOB:
	case TARGET_USER:
		for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
			if (prefixes[i].kind == t->kind)
				buf_addz(out, prefixes[i].prefix);
		break;
	}
	buf_adds(out, t->a);
}
