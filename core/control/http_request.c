/* Who asks, for what, and may they: everything that is decided from a request alone. */
#include <arpa/inet.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/control/http_priv.h"

enum { FIRST_BLOCK = 1024, ARGUMENTS = 6, WORDS_OF_GET = 24, HOST_MAX = 260 };

_Static_assert((int)CONF_ROLE_NONE == ROLE_NONE && (int)CONF_ROLE_READ == ROLE_READ &&
		   (int)CONF_ROLE_OPERATE == ROLE_OPERATE && (int)CONF_ROLE_ADMIN == ROLE_ADMIN,
	       "http-access has the roles of the commands");

static const char *const role_words[] = { "none", "read", "operate", "admin" };

/* ---- who ---- */

static const struct sockaddr *peer_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *i =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	return i ? i->client_addr : NULL;
}

enum role http_role(const struct conf *c, struct MHD_Connection *connection)
{
	const struct sockaddr *peer = peer_of(connection);

	return peer ? (enum role)conf_http_role(c, peer) : ROLE_NONE;
}

void http_peer(struct MHD_Connection *connection, char out[ENDPOINT_SIZE])
{
	const struct sockaddr *peer = peer_of(connection);
	struct endpoint e = { .len = 0 };

	if (peer && peer->sa_family == AF_INET)
		memcpy(&e.in4, peer, sizeof e.in4);
	else if (peer && peer->sa_family == AF_INET6)
		memcpy(&e.in6, peer, sizeof e.in6);
	endpoint_print(&e, out);
}

/* ---- Host ---- */

struct hosts {
	int n;
	struct str value;
};

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *key, size_t nkey,
				 const char *value, size_t nvalue)
{
	struct hosts *h = arg;

	(void)kind;
	if (str_ieqz(str_mem(key, nkey), "host")) {
		h->n++;
		h->value = str_mem(value ? value : "", value ? nvalue : 0);
	}
	return MHD_YES;
}

static bool is_ip(struct str s, int family)
{
	char z[INET6_ADDRSTRLEN];
	unsigned char bytes[16];

	if (!s.n || s.n >= sizeof z || memchr(s.p, '\0', s.n))
		return false;
	memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	return inet_pton(family, z, bytes) == 1;
}

/* ":8080" or nothing. */
static bool is_port(struct str s)
{
	if (s.n && s.p[0] != ':')
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n <= 6;
}

/* A name that somebody else's DNS can point at this machine makes a browser our client without its
 * user's knowing (DNS rebinding): only what no foreign DNS answers for is served. */
static bool host_ok(struct str host, const char *own)
{
	const char *end;
	struct str name = host, port = { "", 0 };

	if (host.n && host.p[0] == '[') {
		end = memchr(host.p, ']', host.n);
		return end && is_ip(str_mem(host.p + 1, (size_t)(end - host.p) - 1), AF_INET6) &&
		       is_port(str_mem(end + 1, host.n - (size_t)(end - host.p) - 1));
	}
	end = memchr(host.p, ':', host.n);
	if (end) {
		name = str_mem(host.p, (size_t)(end - host.p));
		port = str_mem(end, host.n - name.n);
	}
	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	return is_port(port) && (is_ip(name, AF_INET) || str_ieqz(name, own));
}

static bool check_host(struct exchange *x, const struct conf *c)
{
	struct hosts h = { 0, { "", 0 } };

	MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, on_header, &h);
	if (h.n == 1 && host_ok(h.value, c->mta.hostname))
		return true;
	exchange_refuse(x, MHD_HTTP_MISDIRECTED_REQUEST,
			"the Host must be an address, as 127.0.0.1:%d, or %s", c->mta.http_port,
			c->mta.hostname);
	return false;
}

/* ---- the token ---- */

static bool same_secret(struct str a, struct str b)
{
	unsigned char x[EVP_MAX_MD_SIZE], y[EVP_MAX_MD_SIZE];
	unsigned nx = 0, ny = 0;

	/* Of digests, so that neither bytes nor length decide how long it takes. */
	return EVP_Digest(a.p, a.n, x, &nx, EVP_sha256(), NULL) == 1 &&
	       EVP_Digest(b.p, b.n, y, &ny, EVP_sha256(), NULL) == 1 && nx == ny &&
	       CRYPTO_memcmp(x, y, nx) == 0;
}

static struct str header(struct exchange *x, const char *name)
{
	const char *z = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);

	return str_of(z ? z : "");
}

static bool check_token(struct exchange *x, const struct conf *c)
{
	struct str given = header(x, "Authorization");
	char peer[ENDPOINT_SIZE];

	if (!c->http_token) {
		exchange_refuse(x, MHD_HTTP_FORBIDDEN,
				"no command is taken over HTTP: [mta] http-token is not set");
		return false;
	}
	if (str_istarts(given, "bearer ") &&
	    same_secret(str_trim(str_mem(given.p + 7, given.n - 7)), str_of(c->http_token)))
		return true;
	if (given.n) {
		http_peer(x->connection, peer);
		log_warn("http: a command with a wrong token from %s was refused", peer);
	}
	x->ask_for_token = true;
	exchange_refuse(x, MHD_HTTP_UNAUTHORIZED,
			given.n ? "this is not the token of [mta] http-token"
				: "a command needs Authorization: Bearer and the token of [mta] "
				  "http-token");
	return false;
}

/* ---- what ---- */

/* A command that shows something is a path of its name. */
static const struct command *shown_by(const char *url)
{
	const struct command *c = url[0] == '/' ? command_find(str_of(url + 1)) : NULL;

	return c && !strchr(c->name, ' ') && c->role == ROLE_READ &&
		       (c->flags & (COMMAND_LIST | COMMAND_SHOW))
		   ? c
		   : NULL;
}

static void no_such_path(struct exchange *x)
{
	struct buf list;
	int n;
	const struct command *c = command_table(&n);

	buf_init(&list);
	for (int i = 0; i < n; i++)
		if (c[i].role == ROLE_READ && !strchr(c[i].name, ' ') &&
		    (c[i].flags & (COMMAND_LIST | COMMAND_SHOW)))
			buf_addf(&list, "/%s ", c[i].name);
	exchange_refuse(x, MHD_HTTP_NOT_FOUND, "there is / %s/metrics, and POST /command",
			buf_z(&list));
	buf_free(&list);
}

static bool check_method(struct exchange *x, const char *method, const char *url)
{
	bool command = strcmp(url, "/command") == 0;
	bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

	x->page = strcmp(url, "/") == 0;
	x->post = command;
	if (!command && !x->page && strcmp(url, "/metrics") != 0 && !shown_by(url)) {
		no_such_path(x);
		return false;
	}
	if (command ? strcmp(method, "POST") == 0 : get)
		return true;
	x->allow = command ? "POST" : "GET, HEAD";
	exchange_refuse(x, MHD_HTTP_METHOD_NOT_ALLOWED, "%s takes %s", url, x->allow);
	return false;
}

/* application/json, also with parameters: no form of a browser can send it without asking first. */
static bool check_type(struct exchange *x)
{
	struct str type = header(x, "Content-Type"), word;

	if (str_split(&type, ';', &word) && str_ieqz(str_trim(word), "application/json"))
		return true;
	exchange_refuse(x, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
			"a command is JSON: Content-Type: application/json");
	return false;
}

static bool check_size(struct exchange *x)
{
	const union MHD_ConnectionInfo *i =
	    MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	struct str length = header(x, "Content-Length");
	int64_t n = 0;

	x->head_bytes = i ? i->header_size : 0;
	if (x->head_bytes > REQUEST_MAX) {
		exchange_refuse(x, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
				"a request has at most %d bytes", REQUEST_MAX);
		return false;
	}
	if (!length.n || (!fmt_parse_int(length, 0, INT64_MAX, &n, NULL) &&
			  n + (int64_t)x->head_bytes <= REQUEST_MAX))
		return true;
	exchange_refuse(x, MHD_HTTP_CONTENT_TOO_LARGE, "a request has at most %d bytes",
			REQUEST_MAX);
	return false;
}

void request_head(struct exchange *x, const struct conf *c, const char *method, const char *url)
{
	char peer[ENDPOINT_SIZE];

	if (!check_size(x) || !check_host(x, c))
		return;
	if (http_role(c, x->connection) < ROLE_READ) {
		http_peer(x->connection, peer);
		exchange_refuse(x, MHD_HTTP_FORBIDDEN,
				"%s may not look: [mta] http-access says who may", peer);
		return;
	}
	if (check_method(x, method, url) && x->post && check_type(x))
		check_token(x, c);
}

/* ---- GET: arguments become options ---- */

struct arguments {
	struct exchange *x;
	const struct command *command;
	struct str value[ARGUMENTS];
};

static const struct {
	const char *name, *option; /* option NULL: a word of its own */
	unsigned flags;
} arguments[ARGUMENTS] = {
	{ "filter", "--filter", COMMAND_LIST },		 { "sort", "--sort", COMMAND_LIST },
	{ "offset", "--offset", COMMAND_LIST },		 { "limit", "--limit", COMMAND_LIST },
	{ "target", NULL, COMMAND_LIST | COMMAND_SHOW }, { "via", "via", COMMAND_SHOW },
};
enum { ARGUMENT_LIMIT = 3, ARGUMENT_TARGET = 4, ARGUMENT_VIA = 5 };

static bool takes(const struct command *c, int argument)
{
	if (argument == ARGUMENT_TARGET)
		return c && c->args[0] && !(c->flags & COMMAND_FOLLOW);
	if (argument == ARGUMENT_VIA)
		return c && strstr(c->args, "via") != NULL;
	return c && (c->flags & arguments[argument].flags);
}

static enum MHD_Result on_argument(void *arg, enum MHD_ValueKind kind, const char *key, size_t nkey,
				   const char *value, size_t nvalue)
{
	struct arguments *a = arg;

	(void)kind;
	for (int i = 0; i < ARGUMENTS; i++)
		if (str_eqz(str_mem(key, nkey), arguments[i].name) && takes(a->command, i)) {
			a->value[i] = str_mem(value ? value : "", value ? nvalue : 0);
			return MHD_YES;
		}
	exchange_refuse(a->x, MHD_HTTP_BAD_REQUEST, "there is no argument \"%.*s\" here",
			nkey < 40 ? (int)nkey : 40, key);
	return MHD_NO;
}

static struct str limit_of(struct exchange *x, struct arena *mem, struct str given)
{
	int64_t n = ROWS_DEFAULT;
	struct errbuf e = { "" };

	if (given.n && fmt_parse_int(given, 1, ROWS_MAX, &n, &e))
		exchange_refuse(x, MHD_HTTP_BAD_REQUEST, "limit: %s; page through more with offset",
				e.text);
	return str_of(arena_fmt(mem, "%lld", (long long)n));
}

static void put(struct http_ask *q, struct str word)
{
	if (q->nwords < WORDS_OF_GET)
		q->words[q->nwords++] = arena_str(&q->mem, word);
}

static bool words_of_get(struct exchange *x, struct http_ask *q, const char *url)
{
	struct arguments a = { .x = x, .command = shown_by(url) };

	MHD_get_connection_values_n(x->connection, MHD_GET_ARGUMENT_KIND, on_argument, &a);
	q->metrics = !a.command;
	if (q->metrics || x->status)
		return !x->status;
	q->words = arena_alloc(&q->mem, WORDS_OF_GET * sizeof *q->words);
	put(q, str_of(a.command->name));
	put(q, STR_LIT("--json"));
	if (a.command->flags & COMMAND_LIST)
		a.value[ARGUMENT_LIMIT] = limit_of(x, &q->mem, a.value[ARGUMENT_LIMIT]);
	for (int i = 0; i < ARGUMENT_TARGET; i++)
		if (a.value[i].n) {
			put(q, str_of(arguments[i].option));
			put(q, a.value[i]);
		}
	if (a.value[ARGUMENT_TARGET].n) {
		put(q, STR_LIT("--")); /* whatever it is, it is no option */
		put(q, a.value[ARGUMENT_TARGET]);
	}
	if (a.value[ARGUMENT_VIA].n) {
		put(q, STR_LIT("via"));
		put(q, a.value[ARGUMENT_VIA]);
	}
	return !x->status;
}

/* ---- POST ---- */

static bool has_word(const struct http_ask *q, const char *word)
{
	for (int i = 1; i < q->nwords; i++)
		if (str_eqz(q->words[i], word))
			return true;
	return false;
}

/* What HTTP asks for beyond the command line's rules. */
static bool check_command(struct exchange *x, struct http_ask *q, bool yes)
{
	int used;
	const struct command *c = command_find_words(q->words, q->nwords, &used);

	if (!c)
		return true; /* refused with the nearest name */
	if (q->role < c->role) {
		exchange_refuse(x, MHD_HTTP_FORBIDDEN,
				"%s needs the role %s; %s has %s: [mta] http-access says who has "
				"which",
				c->name, role_words[c->role], q->who->text, role_words[q->role]);
		return false;
	}
	if (c->flags & COMMAND_FOLLOW && (has_word(q, "-f") || has_word(q, "--follow"))) {
		exchange_refuse(x, MHD_HTTP_BAD_REQUEST, "an answer over HTTP has an end: not -f");
		return false;
	}
	if (!(c->flags & COMMAND_IRREVERSIBLE) || has_word(q, "--dry-run"))
		return true;
	if (q->role < ROLE_ADMIN || !yes) {
		exchange_refuse(x, MHD_HTTP_FORBIDDEN,
				"%s can't be undone: it needs the role admin and {\"yes\": true}",
				c->name);
		return false;
	}
	if (!has_word(q, "--yes"))
		q->words[q->nwords++] = STR_LIT("--yes"); /* there is room for one more */
	return true;
}

static const char *read_command(json_t *o, const char **line, bool *yes)
{
	const char *key;
	json_t *v;

	if (!json_is_object(o))
		return "the body is no JSON object";
	json_object_foreach(o, key, v)
	{
		if (strcmp(key, "command") == 0 && json_is_string(v))
			*line = json_string_value(v);
		else if (strcmp(key, "yes") == 0 && json_is_boolean(v))
			*yes = json_is_true(v);
		else
			return "only \"command\", a string, and \"yes\", true or false, may be "
			       "said";
	}
	return *line ? NULL : "it has no \"command\"";
}

static bool words_of_post(struct exchange *x, struct http_ask *q)
{
	json_t *o = json_loadb(x->body.n ? x->body.p : "", x->body.n, JSON_REJECT_DUPLICATES, NULL);
	const char *line = NULL, *wrong;
	struct errbuf e = { "" };
	bool yes = false, ok = false;
	struct str *words;

	q->act = true;
	wrong = read_command(o, &line, &yes);
	if (wrong) {
		exchange_refuse(x, MHD_HTTP_BAD_REQUEST,
				"%s: write {\"command\": \"pause example.com for 1h\"}", wrong);
	} else if (!command_split(str_of(line), &q->mem, &words, &q->nwords, &e)) {
		exchange_refuse(x, MHD_HTTP_BAD_REQUEST, "%s", e.text);
	} else {
		q->words = arena_alloc(&q->mem, ((size_t)q->nwords + 1) * sizeof *words);
		if (q->nwords)
			memcpy(q->words, words, (size_t)q->nwords * sizeof *words);
		ok = check_command(x, q, yes);
	}
	json_decref(o);
	return ok;
}

struct http_ask *request_ask_of(struct exchange *x, const struct conf *c, const char *url)
{
	struct http_ask *q = calloc(1, sizeof *q);
	char peer[ENDPOINT_SIZE];

	if (!q)
		fatal("no memory for a request");
	arena_init(&q->mem, FIRST_BLOCK);
	http_peer(x->connection, peer);
	q->role = http_role(c, x->connection);
	q->who = rstr_newf("http:%s", peer);
	if (x->post ? words_of_post(x, q) : words_of_get(x, q, url))
		return q;
	http_ask_free(q);
	return NULL;
}
