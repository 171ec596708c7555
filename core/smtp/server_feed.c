/* Feeding headers: what a source may say of a message in its header (PowerMTA's names). A field
 * that its [source] processes is read once and does not leave with the message; one that it does
 * not process is a field like any other. */
#include "core/smtp/server_session.h"

enum { VALUE_MAX = 1000, JOB_MAX = 100 };

/* Each gets the unfolded, trimmed, non-empty value, and returns NULL or the reply that refuses the
 * message. */

static const char *feed_route(struct session *s, struct str v)
{
	int route = conf_route_find(s->conf, v);

	if (route < 0)
		return "550 5.5.0 X-Virtual-MTA names no virtual MTA or pool that is known here";
	s->m->route = arena_str(&s->m->arena, str_of(s->conf->routes[route].name));
	return s->m->route.p ? NULL : server_no_memory;
}

static bool printable(struct str v)
{
	for (size_t i = 0; i < v.n; i++)
		if ((unsigned char)v.p[i] < ' ' || v.p[i] == 0x7F)
			return false;
	return str_utf8_valid(v);
}

static const char *feed_job(struct session *s, struct str v)
{
	if (v.n > JOB_MAX || !printable(v))
		return "550 5.5.0 X-Job must be text of at most 100 bytes";
	s->m->job = arena_str(&s->m->arena, v);
	return s->m->job.p ? NULL : server_no_memory;
}

/* What MAIL said stands: it is the envelope's own word (RFC 3461 4.4). */
static const char *feed_envid(struct session *s, struct str v)
{
	const char *no = NULL;
	struct buf xtext;

	if (s->m->envid.n)
		return NULL;
	buf_init(&xtext);
	if (!xtext_encode(v, &xtext))
		no = server_no_memory;
	else if (xtext.n > ENVID_MAX || !xtext_valid(buf_str(&xtext)))
		no = "550 5.5.0 X-Envid must be printable and at most 100 bytes as xtext";
	else
		s->m->envid = arena_str(&s->m->arena, buf_str(&xtext));
	buf_free(&xtext);
	return no || s->m->envid.p ? no : server_no_memory;
}

static const char *feed_priority(struct session *s, struct str v)
{
	unsigned n = 0;

	for (size_t i = 0; i < v.n; i++)
		n = v.p[i] < '0' || v.p[i] > '9' || n > 100 ? 101
							    : n * 10 + (unsigned)(v.p[i] - '0');
	if (n > 100)
		return "550 5.5.0 X-Queue-Priority must be a number from 0 to 100";
	s->m->priority = (uint8_t)n;
	return NULL;
}

static const struct {
	const char *name;
	size_t process; /* offset of the source's bool */
	const char *(*take)(struct session *s, struct str v);
} feeds[] = {
	{ "X-Virtual-MTA", offsetof(struct conf_source, process_x_virtual_mta), feed_route },
	{ "X-Job", offsetof(struct conf_source, process_x_job), feed_job },
	{ "X-Envid", offsetof(struct conf_source, process_x_envid), feed_envid },
	{ "X-Queue-Priority", offsetof(struct conf_source, process_x_queue_priority),
	  feed_priority },
};

int feed_find(const struct session *s, struct str name)
{
	const struct conf_source *src = s->source < 0 ? NULL : &s->conf->sources[s->source];

	if (!src || s->inbound || name.n < 5 || (name.p[0] | 0x20) != 'x')
		return -1;
	for (size_t i = 0; i < sizeof feeds / sizeof *feeds; i++) {
		if (!str_ieqz(name, feeds[i].name))
			continue;
		return *(const bool *)((const char *)src + feeds[i].process) ? (int)i : -1;
	}
	return -1;
}

/* RFC 5322 2.2.3: a fold is a CRLF before a blank, and goes; a tab is a blank. */
static size_t unfold(struct str raw, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] == '\r' || raw.p[i] == '\n')
			continue;
		if (n == cap)
			return cap + 1;
		out[n++] = raw.p[i] == '\t' ? ' ' : raw.p[i];
	}
	return n;
}

const char *feed_take(struct session *s, int feed, struct str raw)
{
	char value[VALUE_MAX];
	size_t n = unfold(raw, value, sizeof value);

	if (n > sizeof value)
		return "550 5.5.0 A feeding header (X-Virtual-MTA, X-Job, X-Envid, "
		       "X-Queue-Priority) is "
		       "too long";
	struct str v = str_trim(str_mem(value, n));
	return v.n ? feeds[feed].take(s, v) : NULL;
}
