/* RFC 5322 3.4, as far as one needs the addresses of it. */
#include "core/intake/pickup_file.h"

struct mailbox_words {
	char *p; /* what stands outside of angles and comments */
	size_t n;
	struct str angle; /* between < and > */
	bool has_angle;
};

/* Behind a comment that begins at *i; comments nest. */
static bool skip_comment(struct str s, size_t *i)
{
	int depth = 0;

	for (; *i < s.n; (*i)++) {
		char c = s.p[*i];

		if (c == '\\')
			(*i)++;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0)
			return true;
	}
	return false;
}

/* Copies a quoted string, quotes and all. */
static bool take_quoted(struct str s, size_t *i, struct mailbox_words *m)
{
	m->p[m->n++] = s.p[(*i)++];
	for (; *i < s.n; (*i)++) {
		char c = s.p[*i];

		m->p[m->n++] = c;
		if (c == '"')
			return true;
		if (c == '\\' && *i + 1 < s.n)
			m->p[m->n++] = s.p[++*i];
	}
	return false;
}

static bool take_angle(struct str s, size_t *i, struct mailbox_words *m)
{
	size_t from = ++*i;
	bool quoted = false;

	for (; *i < s.n; (*i)++) {
		char c = s.p[*i];

		if (c == '\\' && quoted)
			(*i)++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == '>' && !quoted)
			break;
	}
	if (*i >= s.n || m->has_angle)
		return false;
	m->angle = str_trim(str_mem(s.p + from, *i - from));
	m->has_angle = true;
	return true;
}

/* Nothing that could end or begin anything in an SMTP command. */
static bool plain_address(struct str a)
{
	bool quoted = false;

	for (size_t i = 0; i < a.n; i++) {
		unsigned char c = (unsigned char)a.p[i];

		if (c == '"')
			quoted = !quoted;
		if (c < ' ' || c == 0x7F || c == '<' || c == '>' || (c == ' ' && !quoted))
			return false;
	}
	return a.n > 0 && str_utf8_valid(a);
}

static bool end_mailbox(struct mailbox_words *m, struct arena *mem,
			bool (*fn)(void *arg, struct str address), void *arg, struct errbuf *why)
{
	struct str a = m->has_angle ? m->angle : str_trim(str_mem(m->p, m->n));
	bool empty = !m->has_angle && !a.n;

	if (!empty && !plain_address(a)) {
		errbuf_set(why, "\"%.*s\" is not an address", a.n > 80 ? 80 : (int)a.n, a.p);
		return false;
	}
	if (!empty) {
		a = arena_str(mem, a);
		if (!a.p || !fn(arg, a)) {
			errbuf_set(why, "no memory");
			return false;
		}
	}
	m->n = 0;
	m->has_angle = false;
	return true;
}

bool address_list_each(struct str list, struct arena *mem,
		       bool (*fn)(void *arg, struct str address), void *arg, struct errbuf *why)
{
	struct mailbox_words m = { .p = arena_alloc(mem, list.n + 1) };
	bool ok = m.p != NULL;

	for (size_t i = 0; ok && i < list.n; i++) {
		char c = list.p[i];

		if (c == '(')
			ok = skip_comment(list, &i);
		else if (c == '"')
			ok = take_quoted(list, &i, &m);
		else if (c == '<')
			ok = take_angle(list, &i, &m);
		else if (c == ':' && !m.has_angle)
			m.n = 0; /* what stood before was a group's name */
		else if (c == ',' || c == ';')
			ok = end_mailbox(&m, mem, fn, arg, why);
		else
			m.p[m.n++] = c == '\t' ? ' ' : c;
		if (!ok && !why->text[0])
			errbuf_set(why, "a list of addresses has an open ( , \" or <");
	}
	return ok && end_mailbox(&m, mem, fn, arg, why);
}
