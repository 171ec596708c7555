#include "conf/value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/stat.h>

#include "conf/lex.h"
#include "conf/machine.h"
#include "conf/value_list.h"
#include "core/base/domain.h"
#include "core/base/secret.h"

/* Longest piece of a value that an error repeats. */
enum { QUOTED_MAX = 80 };

static int quoted(struct str s)
{
	return s.n < QUOTED_MAX ? (int)s.n : QUOTED_MAX;
}

/* The text without its quotes. */
static struct str plain(struct value_in *in)
{
	char *z = mem_alloc(in->mem, in->text.n + 1);

	return (struct str){ z, lex_unquote(in->text, z) };
}

static const struct err *out_of_range(struct value_in *in)
{
	struct value lo = { .i = in->d->lo }, hi = { .i = in->d->hi };
	struct buf b;

	buf_init(&b);
	value_write_bound(in->d, &lo, &b);
	buf_addz(&b, " to ");
	value_write_bound(in->d, &hi, &b);
	errbuf_set(&in->e, "\"%.*s\" is out of range: write %s", quoted(in->text), in->text.p,
		   buf_z(&b));
	buf_free(&b);
	return &err_invalid;
}

static const struct err *in_range(struct value_in *in, int64_t v)
{
	return v < in->d->lo || v > in->d->hi ? out_of_range(in) : NULL;
}

static const struct err *parse_bool(struct value_in *in, struct value *out)
{
	return fmt_parse_bool(in->text, &out->b, &in->e);
}

static const struct err *parse_int(struct value_in *in, struct value *out)
{
	return fmt_parse_int(in->text, in->d->lo, in->d->hi, &out->i, &in->e);
}

/* "1.5": digits with at most three behind the point. */
static const struct err *parse_factor(struct value_in *in, struct value *out)
{
	double v = 0, unit = 1;
	bool point = false, ok = in->text.n > 0 && in->text.n < 10;

	for (size_t i = 0; ok && i < in->text.n; i++) {
		char c = in->text.p[i];

		if (c == '.' && !point && i > 0 && i + 1 < in->text.n) {
			point = true;
			continue;
		}
		ok = c >= '0' && c <= '9';
		v = v * 10 + (c - '0');
		unit *= point ? 10 : 1;
	}
	out->f = v / unit;
	if (ok)
		return out->f < (double)in->d->lo || out->f > (double)in->d->hi ? out_of_range(in)
										: NULL;
	errbuf_set(&in->e, "\"%.*s\" is not a factor: write one like 2 or 1.5", quoted(in->text),
		   in->text.p);
	return &err_invalid;
}

static const struct err *parse_percent(struct value_in *in, struct value *out)
{
	const struct err *err = fmt_parse_percent(in->text, &out->f, &in->e);
	double thousandths = out->f * 100 * 1000;

	if (err || (thousandths >= (double)in->d->lo && thousandths <= (double)in->d->hi))
		return err;
	return out_of_range(in);
}

static const struct err *parse_size(struct value_in *in, struct value *out)
{
	const struct err *err = fmt_parse_size(in->text, &out->i, &in->e);

	return err ? err : in_range(in, out->i);
}

static const struct err *parse_memory(struct value_in *in, struct value *out)
{
	double part;

	if (in->text.n && in->text.p[in->text.n - 1] == '%') {
		const struct err *err = fmt_parse_percent(in->text, &part, &in->e);

		if (err)
			return err;
		if (part <= 0 || part > 1) {
			errbuf_set(&in->e, "\"%.*s\": write 1%% to 100%%", quoted(in->text),
				   in->text.p);
			return &err_invalid;
		}
		out->i = (int64_t)(part * (double)machine_memory());
		return NULL;
	}
	return parse_size(in, out);
}

static const struct err *parse_duration(struct value_in *in, struct value *out)
{
	static const char or_never[] = ", or never";
	const struct err *err = fmt_parse_duration(in->text, &out->i, &in->e);
	bool never_ok = in->d->flags & NEVER_OK;
	char *tail;

	if (!err)
		return never_ok && out->i == US_NEVER ? NULL : in_range(in, out->i);
	tail = strstr(in->e.text, or_never);
	if (!never_ok && tail && tail[sizeof or_never - 1] == '\0')
		*tail = '\0'; /* not to propose what would be refused */
	return err;
}

/* PowerMTA's scan-interval counts seconds. */
static const struct err *parse_seconds(struct value_in *in, struct value *out)
{
	enum { DIGITS_MAX = 9 };

	out->i = 0;
	for (size_t i = 0; i < in->text.n; i++) {
		if (in->text.p[i] < '0' || in->text.p[i] > '9' || in->text.n > DIGITS_MAX)
			return parse_duration(in, out);
		out->i = out->i * 10 + (in->text.p[i] - '0') * US_PER_S;
	}
	return in_range(in, out->i);
}

static const struct err *parse_rate(struct value_in *in, struct value *out)
{
	return fmt_parse_rate(in->text, &out->rate, &in->e);
}

static const struct word *word_of(struct value_in *in)
{
	struct nearest n;
	struct buf b;

	nearest_init(&n, in->text);
	for (const struct word *w = in->d->words; w->text; w++) {
		if (str_ieqz(in->text, w->text))
			return w;
		nearest_try(&n, w->text);
	}
	buf_init(&b);
	for (const struct word *w = in->d->words; w->text; w++)
		buf_addf(&b, "%s%s", w == in->d->words ? "" : w[1].text ? ", " : " or ", w->text);
	errbuf_set(&in->e, "\"%.*s\": write %s%s%s%s", quoted(in->text), in->text.p, buf_z(&b),
		   nearest_best(&n) ? " (did you mean " : "", nearest_best(&n) ? n.best : "",
		   nearest_best(&n) ? "?)" : "");
	buf_free(&b);
	return NULL;
}

static const struct err *parse_word(struct value_in *in, struct value *out)
{
	const struct word *w = word_of(in);

	if (w)
		out->i = w->value;
	return w ? NULL : &err_invalid;
}

static const struct err *parse_choice(struct value_in *in, struct value *out)
{
	const struct word *w = word_of(in);

	if (w)
		out->z = w->text;
	return w ? NULL : &err_invalid;
}

static const struct err *parse_rotate(struct value_in *in, struct value *out)
{
	static const char words[][8] = {
		[ROTATE_NEVER] = "never",
		[ROTATE_HOURLY] = "hourly",
		[ROTATE_DAILY] = "daily",
	};

	for (int i = 0; i <= ROTATE_DAILY; i++)
		if (str_ieqz(in->text, words[i])) {
			out->rotate.how = (enum conf_rotate)i;
			return NULL;
		}
	out->rotate.how = ROTATE_SIZE;
	if (!fmt_parse_size(in->text, &out->rotate.size, &in->e))
		return in_range(in, out->rotate.size);
	errbuf_set(&in->e, "\"%.*s\": write hourly, daily, never or a size like 500M",
		   quoted(in->text), in->text.p);
	return &err_invalid;
}

static const struct err *parse_text(struct value_in *in, struct value *out)
{
	struct str s = plain(in);

	out->z = s.p;
	if ((int64_t)s.n <= in->d->hi)
		return NULL;
	errbuf_set(&in->e, "it has %zu bytes: write at most %lld", s.n, (long long)in->d->hi);
	return &err_invalid;
}

static const struct err *parse_name(struct value_in *in, struct value *out)
{
	struct str s = plain(in);

	out->z = s.p;
	if (name_ok(s))
		return NULL;
	errbuf_set(&in->e,
		   "\"%.*s\" is not a name: write letters, digits, \".\", \"_\" and \"-\", "
		   "at most %d",
		   quoted(s), s.p, CONF_NAME_MAX);
	return &err_invalid;
}

const char *path_from(struct conf_mem *m, const char *dir, struct str path)
{
	while (path.n > 2 && path.p[0] == '.' && path.p[1] == '/')
		path = (struct str){ path.p + 2, path.n - 2 };
	if (path.n && path.p[0] == '/')
		return mem_z(m, path);
	return mem_fmt(m, "%s%s%.*s", dir, strcmp(dir, "/") ? "/" : "", (int)path.n, path.p);
}

static const struct err *parse_path(struct value_in *in, struct value *out)
{
	struct str s = plain(in);

	if (in->d->flags & STDERR_OK && str_ieqz(s, "stderr")) {
		out->z = NULL;
		return NULL;
	}
	out->z = path_from(in->mem, in->dir, s);
	if (!in->d->hi || (int64_t)strlen(out->z) <= in->d->hi)
		return NULL;
	errbuf_set(&in->e, "the path has %zu bytes (%.*s...): a socket's may have %lld",
		   strlen(out->z), QUOTED_MAX, out->z, (long long)in->d->hi);
	return &err_invalid;
}

/* The file's first and only line. */
static const struct err *secret_line(struct value_in *in, const char *path, struct buf *b)
{
	const struct err *err = secret_file_read(path, (size_t)in->d->hi + 2, b, &in->e);
	size_t n = b->n;

	if (err)
		return err;
	while (n && (b->p[n - 1] == '\n' || b->p[n - 1] == '\r'))
		n--;
	b->n = n;
	if (n && !memchr(b->p, '\n', n) && !memchr(b->p, '\0', n))
		return NULL;
	errbuf_set(&in->e, "%s must hold one line: the secret", path);
	return &err_invalid;
}

static const struct err *parse_secret(struct value_in *in, struct value *out)
{
	struct str s = plain(in);
	const struct err *err;
	struct buf b;

	if (!s.n || s.p[0] != '@')
		return parse_text(in, out);
	buf_init(&b);
	err = secret_line(in, path_from(in->mem, in->dir, (struct str){ s.p + 1, s.n - 1 }), &b);
	out->z = err ? "" : mem_z(in->mem, buf_str(&b));
	secret_free(&b);
	return err;
}

static const struct err *parse_mechanisms(struct value_in *in, struct value *out)
{
	struct str rest = in->text, word;

	if (str_ieqz(in->text, "no"))
		return NULL;
	while (out->i >= 0 && lex_word(&rest, &word)) {
		if (str_ieqz(word, "plain"))
			out->i |= CONF_AUTH_PLAIN;
		else if (str_ieqz(word, "login"))
			out->i |= CONF_AUTH_LOGIN;
		else
			out->i = -1;
	}
	if (out->i > 0)
		return NULL;
	errbuf_set(&in->e, "\"%.*s\": write no, or plain login", quoted(in->text), in->text.p);
	return &err_invalid;
}

static const struct err *parse_host(struct value_in *in, struct value *out)
{
	char normal[DOMAIN_SIZE];

	if (domain_normal(in->text, normal) && domain_is_hostname(str_of(normal))) {
		out->z = mem_z(in->mem, str_of(normal));
		return NULL;
	}
	errbuf_set(&in->e, "\"%.*s\" is not a host name: write one like mail.example.com",
		   quoted(in->text), in->text.p);
	return &err_invalid;
}

static bool zone_exists(const char *name)
{
	char path[256];
	struct stat st;
	int n = snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);

	if (n < 0 || n >= (int)sizeof path || strstr(name, "..") || name[0] == '/')
		return false;
	if (stat("/usr/share/zoneinfo", &st))
		return true; /* a machine without the table: nothing to compare with */
	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static const struct err *parse_zone(struct value_in *in, struct value *out)
{
	struct str s = plain(in);

	out->z = str_ieqz(s, "local") ? "local" : s.p;
	if (str_ieqz(s, "local") || str_ieqz(s, "UTC") || zone_exists(out->z))
		return NULL;
	errbuf_set(&in->e,
		   "\"%.*s\" is not a time zone of this machine: write local, UTC or one "
		   "like Europe/Berlin",
		   quoted(s), s.p);
	return &err_invalid;
}

static const struct err *parse_include(struct value_in *in, struct value *out)
{
	out->z = plain(in).p;
	return NULL;
}

static bool is_sendable(const struct endpoint *ip)
{
	if (ip->sa.sa_family == AF_INET) {
		uint32_t a = ntohl(ip->in4.sin_addr.s_addr);

		return a && a < 0xe0000000u; /* multicast and above */
	}
	return !IN6_IS_ADDR_UNSPECIFIED(&ip->in6.sin6_addr) &&
	       !IN6_IS_ADDR_MULTICAST(&ip->in6.sin6_addr);
}

static const struct err *parse_source_host(struct value_in *in, struct value *out)
{
	struct source_host *h = mem_alloc(in->mem, sizeof *h);
	struct str rest = in->text, ip = { "", 0 }, host = { "", 0 }, more;
	char normal[DOMAIN_SIZE], z[ENDPOINT_TEXT];

	if (!lex_word(&rest, &ip) || !lex_word(&rest, &host) || lex_word(&rest, &more)) {
		errbuf_set(&in->e,
			   "\"%.*s\": write an address and its host name, as 192.0.2.1 "
			   "mail.example.com",
			   quoted(in->text), in->text.p);
		return &err_invalid;
	}
	if (!parse_ip(ip, &h->ip) || !is_sendable(&h->ip)) {
		errbuf_set(&in->e,
			   "\"%.*s\" is not an address to send from: write one of this "
			   "machine's, as 192.0.2.1",
			   quoted(ip), ip.p);
		return &err_invalid;
	}
	if (!domain_normal(host, normal) || !domain_is_hostname(str_of(normal))) {
		errbuf_set(&in->e,
			   "\"%.*s\" is not a host name: write the one that the address's "
			   "PTR record gives, as mail.example.com",
			   quoted(host), host.p);
		return &err_invalid;
	}
	endpoint_text(&h->ip, z);
	h->address = mem_z(in->mem, str_of(z));
	h->host = mem_z(in->mem, str_of(normal));
	out->source_host = h;
	return NULL;
}

static const struct {
	const char *name;
	const struct err *(*parse)(struct value_in *in, struct value *out);
} types[TYPE_COUNT] = {
	[TYPE_BOOL] = { "yes or no", parse_bool },
	[TYPE_INT] = { "number", parse_int },
	[TYPE_FACTOR] = { "factor", parse_factor },
	[TYPE_PERCENT] = { "percentage", parse_percent },
	[TYPE_THRESHOLDS] = { "percentages or off", value_parse_thresholds },
	[TYPE_HOLD] = { "off, or rates", value_parse_hold },
	[TYPE_SIZE] = { "size", parse_size },
	[TYPE_MEMORY] = { "size or percentage", parse_memory },
	[TYPE_DURATION] = { "duration", parse_duration },
	[TYPE_SECONDS] = { "duration or seconds", parse_seconds },
	[TYPE_DURATIONS] = { "durations", value_parse_durations },
	[TYPE_RATE] = { "rate", parse_rate },
	[TYPE_WORD] = { "word", parse_word },
	[TYPE_CHOICE] = { "word", parse_choice },
	[TYPE_ROTATE] = { "word or size", parse_rotate },
	[TYPE_TEXT] = { "text", parse_text },
	[TYPE_NAME] = { "name", parse_name },
	[TYPE_PATH] = { "path", parse_path },
	[TYPE_HOST] = { "host name", parse_host },
	[TYPE_ZONE] = { "time zone", parse_zone },
	[TYPE_INCLUDE] = { "path, may hold * and ?", parse_include },
	[TYPE_ROUTE_NAME] = { "virtual MTA or pool", parse_name },
	[TYPE_SOURCE_NAME] = { "source", parse_name },
	[TYPE_WARMUP_NAME] = { "warm-up", parse_name },
	[TYPE_SECRET] = { "text or @path", parse_secret },
	[TYPE_MECHANISMS] = { "plain login", parse_mechanisms },
	[TYPE_PROCESS] = { "bounces feedback", value_parse_process },
	[TYPE_RECORDS] = { "records", value_parse_records },
	[TYPE_CAUSES] = { "hard complaint", value_parse_causes },
	[TYPE_SO_MANY_IN] = { "number in duration", value_parse_so_many },
	[TYPE_SOURCE_HOST] = { "IP HOSTNAME", parse_source_host },
	[TYPE_MEMBERS] = { "names with weights", value_parse_members },
	[TYPE_CATEGORY] = { "/regex/ category", value_parse_category },
	[TYPE_REPLY] = { "/regex/ actions", value_parse_reply },
	[TYPE_PORT] = { "port or off", value_parse_port },
	[TYPE_IP] = { "address", value_parse_ip },
	[TYPE_URL] = { "URL", value_parse_url },
	[TYPE_TOKEN] = { "token or @path", value_parse_token },
	[TYPE_ACCESS] = { "CIDR and role", value_parse_access },
	[TYPE_ROUTE_HOSTS] = { "hosts", value_parse_route },
	[TYPE_ADDRESSES] = { "mail addresses", value_parse_names },
	[TYPE_NAME_SERVERS] = { "addresses", value_parse_names },
	[TYPE_HEADERS] = { "header names", value_parse_names },
	[TYPE_HOST_PATTERNS] = { "host patterns", value_parse_names },
	[TYPE_DOMAINS] = { "domains", value_parse_names },
	[TYPE_USERS] = { "users and @groups", value_parse_names },
	[TYPE_COLUMNS] = { "column names", value_parse_names },
	[TYPE_EVENTS] = { "event types", value_parse_names },
};

const struct err *value_parse(struct value_in *in, struct value *out)
{
	*out = (struct value){ .i = 0 };
	in->e.text[0] = '\0';
	return types[in->d->type].parse(in, out);
}

const char *value_type_name(enum value_type t)
{
	return types[t].name;
}
