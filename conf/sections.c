#include <stdio.h>

#include "conf/reading.h"
#include "conf/value.h"
#include "core/base/domain.h"

enum { SHOWN_MAX = 80 };

static int shown(struct str s)
{
	return s.n < SHOWN_MAX ? (int)s.n : SHOWN_MAX;
}

struct header { /* a section's name in normal form */
	const char *name, *pattern, *via;
};

static bool listener_name(struct reading *r, struct str s, const struct origin *at,
			  struct header *h)
{
	struct endpoint ip;
	char z[ENDPOINT_TEXT];

	if (!parse_ip_port(s, &ip)) {
		error_at(r, at,
			 "[listener %.*s]: write address and port, as 0.0.0.0:25 or "
			 "[2001:db8::1]:25",
			 shown(s), s.p);
		return false;
	}
	endpoint_text(&ip, z);
	h->name = mem_z(&r->mem, str_of(z));
	return true;
}

static bool plain_name(struct reading *r, enum section_kind kind, struct str s,
		       const struct origin *at, struct header *h)
{
	if (!name_ok(s)) {
		error_at(r, at,
			 "[%s %.*s]: a name has letters, digits, \".\", \"_\" and \"-\", at most "
			 "%d",
			 section_infos[kind].word, shown(s), s.p, CONF_NAME_MAX);
		return false;
	}
	h->name = mem_z(&r->mem, s);
	return true;
}

/* As a name, and with the @ of those who log in by their address. */
static bool user_name(struct reading *r, struct str s, const struct origin *at, struct header *h)
{
	char z[CONF_NAME_MAX + 1];
	size_t n = s.n < sizeof z ? s.n : 0;

	for (size_t i = 0; i < n; i++)
		z[i] = s.p[i] == '@' || s.p[i] == '+' ? '-' : s.p[i];
	if (!name_ok(str_mem(z, n))) {
		error_at(
		    r, at,
		    "[smtp-user %.*s]: a user's name has letters, digits, \".\", \"_\", \"-\", "
		    "\"+\" and \"@\", at most %d",
		    shown(s), s.p, CONF_NAME_MAX);
		return false;
	}
	h->name = mem_z(&r->mem, s);
	return true;
}

static bool source_name(struct reading *r, struct str s, const struct origin *at, struct header *h)
{
	struct endpoint net;
	char z[ENDPOINT_TEXT];
	struct errbuf e;
	int prefix = 0;
	bool is_net;

	if (!parse_net(s, &net, &prefix, &is_net, &e)) {
		error_at(r, at, "[source %.*s]: %s", shown(s), s.p, e.text);
		return false;
	}
	if (!is_net)
		return plain_name(r, KIND_SOURCE, s, at, h);
	endpoint_text(&net, z);
	if (prefix == (net.sa.sa_family == AF_INET ? 32 : 128))
		h->name = mem_z(&r->mem, str_of(z));
	else
		h->name = mem_fmt(&r->mem, "%s/%d", z, prefix);
	return true;
}

/* "gmail.com via pool-a": index behind the pattern, or s.n. */
static size_t find_via(struct str s)
{
	for (size_t i = 0; i + 5 <= s.n; i++)
		if ((s.p[i] == ' ' || s.p[i] == '\t') &&
		    str_istarts((struct str){ s.p + i + 1, s.n - i - 1 }, "via") &&
		    (s.p[i + 4] == ' ' || s.p[i + 4] == '\t'))
			return i;
	return s.n;
}

static bool domain_name(struct reading *r, struct str s, const struct origin *at, struct header *h)
{
	size_t split = find_via(s);
	struct str pattern = str_trim((struct str){ s.p, split }), via = { "", 0 };
	char z[DOMAIN_SIZE + 2];

	if (split < s.n)
		via = str_trim((struct str){ s.p + split + 5, s.n - split - 5 });
	if (!domain_pattern(pattern, z, sizeof z)) {
		error_at(r, at,
			 "[domain %.*s]: \"%.*s\" is not a domain: write example.com, "
			 "*.example.com or *",
			 shown(s), s.p, shown(pattern), pattern.p);
		return false;
	}
	if (split < s.n && !name_ok(via)) {
		error_at(r, at, "[domain %.*s]: after via stands one virtual MTA or pool", shown(s),
			 s.p);
		return false;
	}
	h->pattern = mem_z(&r->mem, str_of(z));
	h->via = via.n ? mem_z(&r->mem, via) : NULL;
	h->name = via.n ? mem_fmt(&r->mem, "%s via %s", h->pattern, h->via) : h->pattern;
	return true;
}

/* [dkim] and [inbound] */
static bool plain_domain(struct reading *r, const char *word, const char *what, struct str s,
			 const struct origin *at, struct header *h)
{
	char z[DOMAIN_SIZE];

	if (!domain_normal(s, z)) {
		error_at(r, at, "[%s %.*s]: write the domain %s, as example.com", word, shown(s),
			 s.p, what);
		return false;
	}
	h->name = mem_z(&r->mem, str_of(z));
	return true;
}

/* A path is relative to the file it stands in; the same directory has one name. */
static bool pickup_name(struct reading *r, struct str s, const struct origin *at, struct header *h)
{
	const char *slash = strrchr(at->file, '/');
	struct str dir = { at->file, slash ? (size_t)(slash - at->file) : 0 };
	const char *path = path_from(&r->mem, mem_z(&r->mem, dir.n ? dir : STR_LIT("/")), s);
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n == 1) {
		error_at(r, at, "[pickup %.*s]: mail is not taken from the root directory",
			 shown(s), s.p);
		return false;
	}
	h->name = mem_z(&r->mem, str_mem(path, n));
	return true;
}

static bool header_name(struct reading *r, enum section_kind kind, struct str s,
			const struct origin *at, struct header *h)
{
	const struct section_info *info = &section_infos[kind];

	h->name = "";
	if (!info->form && s.n)
		error_at(r, at, "[%s %.*s]: [%s] has no name", info->word, shown(s), s.p,
			 info->word);
	else if (info->form && !s.n)
		error_at(r, at, "[%s] needs a name: write [%s %s]", info->word, info->word,
			 info->form);
	if ((s.n != 0) != (info->form != NULL))
		return false;
	switch (kind) {
	case KIND_LISTENER:
		return listener_name(r, s, at, h);
	case KIND_SOURCE:
		return source_name(r, s, at, h);
	case KIND_PICKUP:
		return pickup_name(r, s, at, h);
	case KIND_DOMAIN:
		return domain_name(r, s, at, h);
	case KIND_DKIM:
		return plain_domain(r, "dkim", "that signs", s, at, h);
	case KIND_INBOUND:
		return plain_domain(r, "inbound", "whose mail is read here", s, at, h);
	case KIND_SMTP_USER:
		return user_name(r, s, at, h);
	case KIND_VMTA:
	case KIND_WARMUP:
	case KIND_POOL:
	case KIND_PROVIDER:
	case KIND_PATTERN_LIST:
	case KIND_ACCOUNTING:
	case KIND_WEBHOOK:
		return plain_name(r, kind, s, at, h);
	case KIND_MTA:
	case KIND_CATEGORIES:
	case KIND_SUPPRESSION:
	case KIND_ALARM:
	case KIND_CONSOLE:
	case KIND_COUNT:
		break;
	}
	return true;
}

static enum section_kind header_kind(struct reading *r, struct str word, const struct origin *at)
{
	enum section_kind kind = section_kind_find(word);
	struct nearest n;

	if (kind != KIND_COUNT)
		return kind;
	nearest_init(&n, word);
	for (int k = 0; k < KIND_COUNT; k++)
		nearest_try(&n, section_infos[k].word);
	error_at(r, at, "[%.*s]: there is no such section%s", shown(word), word.p,
		 did_you_mean(r, &n));
	return KIND_COUNT;
}

static struct conf_section *section_new(struct reading *r, enum section_kind kind,
					const struct header *h, const struct origin *at)
{
	struct conf_section *s = mem_alloc(&r->mem, sizeof *s);

	s->kind = kind;
	s->name = h->name;
	s->pattern = h->pattern;
	s->via = h->via;
	s->shown =
	    mem_fmt(&r->mem, "[%s%s%s]", section_infos[kind].word, *h->name ? " " : "", h->name);
	s->origin = *at;
	s->origin.section = s->shown;
	s->shipped = r->shipped;
	s->index = CONF_NONE;
	if (section_infos[kind].settings)
		s->set = mem_array(&r->mem, SET_COUNT, sizeof *s->set);
	if (r->priv->last)
		r->priv->last->next = s;
	else
		r->priv->first = s;
	r->priv->last = s;
	r->priv->nsections++;
	return s;
}

struct conf_section *section_open(struct reading *r, struct str inside, const struct origin *at)
{
	struct str word = { inside.p, 0 }, rest, key;
	struct header h = { NULL, NULL, NULL };
	struct conf_section *s;
	enum section_kind kind;
	char *z;

	while (word.n < inside.n && word.p[word.n] != ' ' && word.p[word.n] != '\t')
		word.n++;
	rest = str_trim((struct str){ inside.p + word.n, inside.n - word.n });
	kind = header_kind(r, word, at);
	if (kind == KIND_COUNT || !header_name(r, kind, rest, at, &h))
		return NULL;
	key.n = strlen(section_infos[kind].word) + strlen(h.name) + 1;
	key.p = z = mem_alloc(&r->mem, key.n + 1);
	snprintf(z, key.n + 1, "%s %s", section_infos[kind].word, h.name);
	str_lower(key, z, key.n + 1);
	s = strmap_get(&r->sections, key);
	if (s)
		return s;
	s = section_new(r, kind, &h, at);
	if (!strmap_put(&r->sections, key, s))
		longjmp(r->mem.no_memory, 1);
	return s;
}

/* ---- entries ---- */

const struct conf_entry *section_entry(const struct conf_section *s, const struct directive *d)
{
	const struct conf_entry *e = s ? s->first : NULL;

	while (e && e->d != d)
		e = e->next;
	return e;
}

const struct conf_section *section_only(const struct conf *c, enum section_kind kind)
{
	const struct conf_section *s = c->priv->first;

	while (s && s->kind != kind)
		s = s->next;
	return s;
}

/* `route` given in several lines is one list. */
static const struct conf_entry *joined_route(struct reading *r, const struct conf_entry *a,
					     const struct conf_entry *b)
{
	struct conf_entry *e;
	struct route_host *v;
	int n = a->v.hosts.n + b->v.hosts.n;

	if (n > ROUTE_HOSTS_MAX) {
		error_at(r, &b->at, "%s has %d elements: write at most %d", b->d->name, n,
			 ROUTE_HOSTS_MAX);
		return a;
	}
	e = mem_alloc(&r->mem, sizeof *e);
	v = mem_array(&r->mem, (size_t)n, sizeof *v);
	*e = *a;
	if (a->v.hosts.n)
		memcpy(v, a->v.hosts.v, (size_t)a->v.hosts.n * sizeof *v);
	if (b->v.hosts.n)
		memcpy(v + a->v.hosts.n, b->v.hosts.v, (size_t)b->v.hosts.n * sizeof *v);
	e->v.hosts.v = v;
	e->v.hosts.n = n;
	e->clear = a->clear && b->clear;
	return e;
}

void section_add(struct reading *r, struct conf_section *s, struct conf_entry *e)
{
	const struct directive *d = e->d;
	const struct conf_entry *before = section_entry(s, d);

	if (before && e->shipped && !before->shipped && d->type != TYPE_REPLY &&
	    d->type != TYPE_CATEGORY)
		return; /* yours replaces the shipped one; reply lines come before the shipped ones
			 */
	if (before && !(d->flags & REPEATS)) {
		error_at(r, &e->at, "%s is given twice in %s: first at %s:%d", d->name, s->shown,
			 before->at.file, before->at.line);
		return;
	}
	if (s->last)
		s->last->next = e;
	else
		s->first = e;
	s->last = e;
	if (d->kind != KIND_DOMAIN || e->bad)
		return;
	s->set[d->setting] = s->set[d->setting] && d->type == TYPE_ROUTE_HOSTS
				 ? joined_route(r, s->set[d->setting], e)
				 : e;
}
