#include "conf/value_list.h"

#include <arpa/inet.h>

#include "conf/lex.h"
#include "core/base/domain.h"

enum { QUOTED_MAX = 80, WEIGHT_MAX = 1000, LOCAL_PART_MAX = 64 /* RFC 5321 4.5.3.1.1 */ };

static int quoted(struct str s)
{
	return s.n < QUOTED_MAX ? (int)s.n : QUOTED_MAX;
}

static int words(struct str list)
{
	struct str w;
	int n = 0;

	while (lex_word(&list, &w))
		n++;
	return n;
}

static const struct err *refuse(struct value_in *in, struct str word, const char *write)
{
	errbuf_set(&in->e, "\"%.*s\"%s", quoted(word), word.p, write);
	return &err_invalid;
}

static const struct err *too_many(struct value_in *in, int n, int most)
{
	errbuf_set(&in->e, "it has %d elements: write at most %d", n, most);
	return &err_invalid;
}

const struct err *value_parse_durations(struct value_in *in, struct value *out)
{
	int n = words(in->text), i = 0;
	us_t *v = mem_array(in->mem, (size_t)n, sizeof *v);
	struct str list = in->text, w;

	if (n > RETRY_STEPS_MAX)
		return too_many(in, n, RETRY_STEPS_MAX);
	while (lex_word(&list, &w)) {
		const struct err *err = fmt_parse_duration(w, &v[i], &in->e);

		if (err)
			return err;
		if (v[i] < in->d->lo || v[i] > in->d->hi)
			return refuse(in, w, " is out of range: write waits of 100ms to 30d");
		i++;
	}
	out->spans.v = v;
	out->spans.n = n;
	return n ? NULL : refuse(in, in->text, ": write waits like 10m, 20m, 1h");
}

static const struct err *parse_member(struct value_in *in, struct str w, struct member_word *m)
{
	struct str name;
	int64_t weight = 1;
	bool weighted = memchr(w.p, ':', w.n) != NULL;
	struct str rest = w;

	if (!str_split(&rest, ':', &name) || !name_ok(name))
		return refuse(in, w,
			      " is not a member: write a virtual MTA's name, or name:weight");
	if (weighted && fmt_parse_int(rest, 1, WEIGHT_MAX, &weight, NULL))
		return refuse(in, w, ": a weight is a whole number from 1 to 1000");
	m->name = mem_z(in->mem, name);
	m->weight = (int)weight;
	return NULL;
}

const struct err *value_parse_members(struct value_in *in, struct value *out)
{
	int n = words(in->text), i = 0;
	struct member_word *v = mem_array(in->mem, (size_t)n, sizeof *v);
	struct str list = in->text, w;

	while (lex_word(&list, &w)) {
		const struct err *err = parse_member(in, w, &v[i++]);

		if (err)
			return err;
	}
	out->members.v = v;
	out->members.n = n;
	return n ? NULL : refuse(in, in->text, ": write names like vmta1:2, vmta2");
}

/* "[1.2.3.4]", "[::1]:2525" */
static bool route_address(struct str w, struct route_host *h)
{
	const char *close = memchr(w.p, ']', w.n);
	size_t n = close ? (size_t)(close - w.p) + 1 : 0;

	if (!n || !parse_ip((struct str){ w.p, n }, &h->ip))
		return false;
	h->type = ROUTE_IP;
	if (n == w.n)
		return true;
	if (w.p[n] != ':' || !parse_port((struct str){ w.p + n + 1, w.n - n - 1 }, &h->port))
		return false;
	if (h->ip.sa.sa_family == AF_INET)
		h->ip.in4.sin_port = htons(h->port);
	else
		h->ip.in6.sin6_port = htons(h->port);
	return true;
}

static bool host_word(struct value_in *in, struct str w, const char **host)
{
	char normal[DOMAIN_SIZE];

	if (!domain_normal(w, normal) || !domain_is_hostname(str_of(normal)))
		return false;
	*host = mem_z(in->mem, str_of(normal));
	return true;
}

static const struct err *parse_route_host(struct value_in *in, struct str w, struct route_host *h)
{
	struct str host, rest = w;
	struct endpoint ip;
	bool ported = memchr(w.p, ':', w.n) != NULL;

	if (str_istarts(w, "mx:")) {
		h->type = ROUTE_MX;
		return host_word(in, (struct str){ w.p + 3, w.n - 3 }, &h->host)
			   ? NULL
			   : refuse(in, w, ": after mx: stands a domain");
	}
	if (w.p[0] == '[')
		return route_address(w, h) ? NULL
					   : refuse(in, w,
						    ": write an address as [192.0.2.1] or "
						    "[2001:db8::1]:2525");
	if (parse_ip(w, &ip) || parse_ip_port(w, &ip))
		return refuse(in, w, ": an address stands in brackets, as [192.0.2.1]:2525");
	h->type = ROUTE_HOST;
	if (!str_split(&rest, ':', &host) || !host_word(in, host, &h->host))
		return refuse(in, w,
			      " is not a host: write host, host:port, [ip]:port or "
			      "mx:domain");
	if (ported && !parse_port(rest, &h->port))
		return refuse(in, w, ": a port is a number from 1 to 65535");
	return NULL;
}

const struct err *value_parse_route(struct value_in *in, struct value *out)
{
	int n = words(in->text), i = 0;
	struct route_host *v;
	struct str list = in->text, w;

	if (n > ROUTE_HOSTS_MAX)
		return too_many(in, n, ROUTE_HOSTS_MAX);
	v = mem_array(in->mem, (size_t)n, sizeof *v);
	while (lex_word(&list, &w)) {
		const struct err *err = parse_route_host(in, w, &v[i++]);

		if (err)
			return err;
	}
	out->hosts.v = v;
	out->hosts.n = n;
	return n ? NULL : refuse(in, in->text, ": write a host, or [ip]:port");
}

/* ---- lists of words: one checker each ---- */

static const struct err *item_address(struct value_in *in, struct str w, const char **out)
{
	char normal[DOMAIN_SIZE];
	size_t at = w.n;

	while (at > 0 && w.p[at - 1] != '@')
		at--;
	if (at < 2 || at - 1 > LOCAL_PART_MAX ||
	    !domain_normal((struct str){ w.p + at, w.n - at }, normal))
		return refuse(in, w,
			      " is not a mail address: write one like postmaster@example.com");
	*out = mem_fmt(in->mem, "%.*s%s", (int)at, w.p, normal);
	return NULL;
}

/* IP, IP:PORT or IP@PORT; kept as IP or IP@PORT, libunbound's form. */
static const struct err *item_name_server(struct value_in *in, struct str w, const char **out)
{
	struct endpoint at;
	struct str rest = w, ip = w;
	uint16_t port = 0;
	char z[ENDPOINT_TEXT];
	bool ok = parse_ip(w, &at);

	if (!ok && memchr(w.p, '@', w.n)) {
		ok = str_split(&rest, '@', &ip) && parse_ip(ip, &at) && parse_port(rest, &port);
	} else if (!ok && parse_ip_port(w, &at)) {
		port = ntohs(at.sa.sa_family == AF_INET ? at.in4.sin_port : at.in6.sin6_port);
		at.in4.sin_port = 0; /* both families have it at the same place */
		ok = true;
	}
	if (!ok)
		return refuse(in, w,
			      " is not a resolver: write its address, as 192.0.2.53 or "
			      "192.0.2.53@5353");
	endpoint_text(&at, z);
	*out = port ? mem_fmt(in->mem, "%s@%u", z, port) : mem_z(in->mem, str_of(z));
	return NULL;
}

static const struct err *item_header(struct value_in *in, struct str w, const char **out)
{
	for (size_t i = 0; i < w.n; i++)
		if (w.p[i] < '!' || w.p[i] > '~' || w.p[i] == ':')
			return refuse(in, w,
				      " is not a header's name: write it without the colon, "
				      "as X-Mailer");
	*out = mem_z(in->mem, w);
	return NULL;
}

static bool has_letter(const char *z)
{
	for (; *z; z++)
		if (*z != '*' && *z != '.')
			return true;
	return false;
}

static const struct err *item_host_pattern(struct value_in *in, struct str w, const char **out)
{
	char z[DOMAIN_SIZE];
	bool ok = domain_pattern(w, z, sizeof z);

	if (!ok && w.n && w.p[w.n - 1] == '.')
		w.n--;
	if (!ok && (ok = str_lower(w, z, sizeof z)))
		for (const char *p = z; *p; p++)
			ok = ok && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
				    *p == '-' || *p == '_' || *p == '.' || *p == '*');
	if (!ok || !has_letter(z))
		return refuse(in, w,
			      " is not a pattern of host names: write one like "
			      "*.google.com");
	*out = mem_z(in->mem, str_of(z));
	return NULL;
}

static const struct err *item_domain(struct value_in *in, struct str w, const char **out)
{
	char z[DOMAIN_SIZE + 2];

	if (str_eqz(w, "*") || !domain_pattern(w, z, sizeof z))
		return refuse(in, w,
			      " is not a domain: write one like example.com or "
			      "*.example.com");
	*out = mem_z(in->mem, str_of(z));
	return NULL;
}

static const struct err *item_user(struct value_in *in, struct str w, const char **out)
{
	struct str name = w;

	if (name.n && name.p[0] == '@')
		name = (struct str){ w.p + 1, w.n - 1 };
	if (!name_ok(name))
		return refuse(in, w, " is not a user: write a UNIX user's name, or @group");
	*out = mem_z(in->mem, w);
	return NULL;
}

typedef const struct err *item_fn(struct value_in *in, struct str w, const char **out);
static item_fn *const items[TYPE_COUNT] = {
	[TYPE_ADDRESSES] = item_address,    [TYPE_NAME_SERVERS] = item_name_server,
	[TYPE_HEADERS] = item_header,	    [TYPE_HOST_PATTERNS] = item_host_pattern,
	[TYPE_DOMAINS] = item_domain,	    [TYPE_USERS] = item_user,
	[TYPE_COLUMNS] = value_item_column, [TYPE_EVENTS] = value_item_event,
};

const struct err *value_parse_names(struct value_in *in, struct value *out)
{
	int n = words(in->text), i = 0;
	const char **v = mem_array(in->mem, (size_t)n, sizeof *v);
	struct str list = in->text, w;

	while (lex_word(&list, &w)) {
		char *z = mem_alloc(in->mem, w.n + 1);
		struct str plain = { z, lex_unquote(w, z) };
		const struct err *err = items[in->d->type](in, plain, &v[i++]);

		if (err)
			return err;
	}
	out->names.v = v;
	out->names.n = n;
	return n ? NULL : refuse(in, in->text, ": the list is empty");
}
