/* libmicrohttpd on a loop: sockets, connections, time-outs, answers. */
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/jsonw.h"
#include "core/control/http_priv.h"
#include "core/sched/command.h"

enum {
	HTTP_MAGIC = 0x68747470,
	/* Of libmicrohttpd's memory for a connection: a request of 16 KB and the head of an answer.
	 */
	CONNECTION_BYTES = 24 * 1024,
	IDLE_S = 10,
	CSP_SIZE = 400,
};
/* A request is there whole so long after the connection's start or its last answer; an answer is
 * fetched so long after it was begun. */
static const us_t request_within = IDLE_S * US_PER_S, answer_within = 60 * US_PER_S;
static const us_t look_every = US_PER_S / 2;

struct connection {
	struct http_server *server;
	struct connection *next, *prev;
	us_t since;
	bool answering, stranger;
	int fd;
};

/* A listening socket and what came in by it. One that is replaced serves its last connections. */
struct http_server {
	struct http *h;
	struct http_server *next;
	struct MHD_Daemon *daemon;
	ev_io watcher;
	struct timer run;
	struct connection *connections;
	int nconnections, strangers;
	bool closing;
};

struct http {
	uint32_t magic;
	struct loop *loop;
	struct http_env env;
	struct conf *conf;
	struct http_server *servers; /* the first one listens, if any does */
	struct timer look;
	struct idmap waiting; /* id -> struct exchange */
	uint64_t next_id;
	char csp[CSP_SIZE];
};

/* ---- libmicrohttpd's turn ---- */

static void run(struct http_server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;
	us_t now;

	MHD_run(s->daemon);
	now = loop_now_exact(s->h->loop);
	if (MHD_get_timeout(s->daemon, &ms) == MHD_YES)
		timer_set(s->h->loop, &s->run, now + (us_t)ms * US_PER_MS + 1);
	else
		timer_stop(s->h->loop, &s->run);
}

static void on_run(struct timer *t, void *arg)
{
	(void)t;
	run(arg);
}

static void on_ready(struct ev_loop *ev, ev_io *w, int revents)
{
	(void)ev;
	(void)revents;
	run(w->data);
}

/* ---- connections ---- */

static enum MHD_Result accept_peer(void *arg, const struct sockaddr *peer, socklen_t len)
{
	const struct http_server *s = arg;

	(void)len;
	return s->strangers < HTTP_STRANGERS_MAX ||
		       conf_http_role(s->h->conf, peer) > CONF_ROLE_NONE
		   ? MHD_YES
		   : MHD_NO;
}

static void connection_started(struct http_server *s, struct MHD_Connection *connection, void **ctx)
{
	const union MHD_ConnectionInfo *i =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct connection *k = calloc(1, sizeof *k);

	if (!k)
		fatal("no memory for a connection");
	*ctx = k;
	k->server = s;
	k->fd = i ? i->connect_fd : -1;
	k->since = loop_now_exact(s->h->loop);
	k->stranger = http_role(s->h->conf, connection) == ROLE_NONE;
	k->next = s->connections;
	if (k->next)
		k->next->prev = k;
	s->connections = k;
	s->nconnections++;
	s->strangers += k->stranger;
	if (!s->h->look.due)
		timer_set(s->h->loop, &s->h->look, k->since + look_every);
}

static void connection_closed(struct http_server *s, struct connection *k)
{
	if (k->next)
		k->next->prev = k->prev;
	if (k->prev)
		k->prev->next = k->next;
	else
		s->connections = k->next;
	s->nconnections--;
	s->strangers -= k->stranger;
	free(k);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **ctx,
			  enum MHD_ConnectionNotificationCode what)
{
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		connection_started(arg, connection, ctx);
	else if (*ctx)
		connection_closed(arg, *ctx);
}

static struct connection *connection_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *i =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return i ? i->socket_context : NULL;
}

/* libmicrohttpd's own time-out sees silence only, not one byte every five seconds. */
static void look_at(struct http_server *s, us_t now)
{
	for (struct connection *k = s->connections; k; k = k->next)
		if (k->fd >= 0 && now - k->since > (k->answering ? answer_within : request_within))
			shutdown(k->fd, SHUT_RDWR); /* its end is seen by the daemon */
}

static void server_free(struct http_server *s)
{
	ev_io_stop(loop_ev(s->h->loop), &s->watcher);
	timer_stop(s->h->loop, &s->run);
	MHD_stop_daemon(s->daemon);
	free(s);
}

static void on_look(struct timer *t, void *arg)
{
	struct http *h = arg;
	us_t now = loop_now(h->loop);
	bool any = false;

	for (struct http_server **p = &h->servers; *p;) {
		struct http_server *s = *p;

		look_at(s, now);
		if (s->closing && !s->connections) {
			*p = s->next;
			server_free(s);
			continue;
		}
		any = any || s->closing || s->connections;
		p = &s->next;
	}
	if (any)
		timer_set(h->loop, t, now + look_every);
}

/* ---- answers ---- */

void exchange_refuse(struct exchange *x, unsigned status, const char *fmt, ...)
{
	struct buf words;
	struct jsonw w;
	va_list ap;

	buf_init(&words);
	va_start(ap, fmt);
	buf_vaddf(&words, fmt, ap);
	va_end(ap);
	x->status = status;
	buf_clear(&x->text);
	jsonw_init(&w, &x->text);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "error", buf_str(&words));
	jsonw_end_object(&w);
	buf_addc(&x->text, '\n');
	buf_free(&words);
}

/* What every answer says to a browser: no guessing of types, no foreign frame, no cache, and no
 * script but the page's own. */
static void add_headers(struct MHD_Response *r, const struct exchange *x, const char *type)
{
	const struct http *h = x->server->h;
	const char *const headers[][2] = {
		{ "Content-Type", type },
		{ "Content-Security-Policy", h->csp },
		{ "X-Content-Type-Options", "nosniff" },
		{ "X-Frame-Options", "DENY" },
		{ "Referrer-Policy", "no-referrer" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
		{ "Cache-Control", "no-store" },
		{ "Allow", x->allow },
		{ "WWW-Authenticate", x->ask_for_token ? "Bearer" : NULL },
		{ "Connection", x->server->closing ? "close" : NULL },
	};

	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
		if (headers[i][1])
			MHD_add_response_header(r, headers[i][0], headers[i][1]);
}

static enum MHD_Result send_bytes(struct exchange *x, unsigned status, const char *type,
				  struct str bytes, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
	    bytes.n, (void *)(uintptr_t)(bytes.n ? bytes.p : ""), mode);
	struct connection *k = connection_of(x->connection);
	enum MHD_Result done;

	if (!r)
		return MHD_NO;
	add_headers(r, x, type);
	if (k) {
		k->answering = true;
		k->since = loop_now_exact(x->server->h->loop);
	}
	done = MHD_queue_response(x->connection, status, r);
	MHD_destroy_response(r);
	return done;
}

static const char json_type[] = "application/json";

static enum MHD_Result send_text(struct exchange *x)
{
	return send_bytes(x, x->status, json_type, buf_str(&x->text), MHD_RESPMEM_MUST_COPY);
}

static unsigned status_of(int exit, bool post)
{
	switch (exit) {
	case EXIT_DONE:
		return MHD_HTTP_OK;
	case EXIT_USAGE:
		return MHD_HTTP_BAD_REQUEST;
	default:
		return post ? MHD_HTTP_CONFLICT : MHD_HTTP_NOT_FOUND;
	}
}

/* {"exit": 0, "text": "…"}, with "error" where something is wrong. */
static enum MHD_Result send_acted(struct exchange *x, const struct http_answer *a)
{
	struct jsonw w;

	buf_clear(&x->text);
	jsonw_init(&w, &x->text);
	jsonw_object(&w, NULL);
	jsonw_int(&w, "exit", a->exit);
	if (a->out.n)
		jsonw_str(&w, "text", buf_str(&a->out));
	if (a->err.n)
		jsonw_str(&w, "error", buf_str(&a->err));
	jsonw_end_object(&w);
	buf_addc(&x->text, '\n');
	x->status = status_of(a->exit, true);
	return send_text(x);
}

static enum MHD_Result send_answer(struct exchange *x)
{
	struct http_answer *a = x->answer;
	struct str out = buf_str(&a->out);

	if (a->too_large) {
		exchange_refuse(x, MHD_HTTP_CONTENT_TOO_LARGE,
				"the answer is too large: ask for less with limit and filter");
		return send_text(x);
	}
	if (x->post)
		return send_acted(x, a);
	if (a->err.n || (a->exit != EXIT_DONE && !out.n)) {
		exchange_refuse(x, status_of(a->exit, false), "%.*s", (int)a->err.n,
				a->err.n ? a->err.p : "");
		return send_text(x);
	}
	/* libmicrohttpd frees it. */
	buf_init(&a->out);
	return send_bytes(x, MHD_HTTP_OK,
			  out.n && out.p[0] == '{' ? json_type
						   : "text/plain; version=0.0.4; charset=utf-8",
			  out, MHD_RESPMEM_MUST_FREE);
}

/* ---- requests ---- */

static void on_completed(void *arg, struct MHD_Connection *connection, void **ctx,
			 enum MHD_RequestTerminationCode why)
{
	struct exchange *x = *ctx;
	struct connection *k = connection_of(connection);

	(void)arg;
	(void)why;
	if (k) {
		k->answering = false;
		k->since = loop_now_exact(k->server->h->loop);
	}
	if (!x)
		return;
	if (x->id)
		idmap_del(&x->server->h->waiting, x->id);
	http_answer_free(x->answer);
	buf_free(&x->body);
	buf_free(&x->text);
	free(x);
	*ctx = NULL;
}

static struct exchange *exchange_new(struct http_server *s, struct MHD_Connection *connection)
{
	struct exchange *x = calloc(1, sizeof *x);

	if (!x)
		return NULL;
	x->server = s;
	x->connection = connection;
	buf_init(&x->body);
	buf_init(&x->text);
	return x;
}

/* More than a request may have is swallowed for a while, so that the client reads why. */
static enum MHD_Result take_body(struct exchange *x, const char *data, size_t *n)
{
	size_t more = *n;

	*n = 0;
	if (x->status || !x->post || x->head_bytes + x->body.n + more > REQUEST_MAX) {
		x->swallowed += more;
		if (!x->status)
			exchange_refuse(x, MHD_HTTP_CONTENT_TOO_LARGE,
					"a request has at most %d bytes", REQUEST_MAX);
		return x->swallowed > 4 * REQUEST_MAX ? MHD_NO : MHD_YES;
	}
	return buf_add(&x->body, data, more) ? MHD_YES : MHD_NO;
}

static enum MHD_Result ask(struct exchange *x, const char *url)
{
	struct http *h = x->server->h;
	struct http_ask *q = request_ask_of(x, h->conf, url);
	struct connection *k = connection_of(x->connection);

	if (!q)
		return send_text(x);
	x->id = q->id = ++h->next_id;
	if (!idmap_put(&h->waiting, x->id, x)) {
		http_ask_free(q);
		return MHD_NO;
	}
	if (k) {
		k->answering = true; /* control answers within a minute */
		k->since = loop_now_exact(h->loop);
	}
	x->suspended = true;
	MHD_suspend_connection(x->connection);
	h->env.ask(h->env.arg, q);
	return MHD_YES;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *n, void **ctx)
{
	struct http_server *s = arg;
	struct exchange *x = *ctx;

	(void)version;
	if (!x) {
		x = *ctx = exchange_new(s, connection);
		if (!x)
			return MHD_NO;
		request_head(x, s->h->conf, method, url);
		/* A body that is announced as too large is not waited for. */
		return x->status == MHD_HTTP_CONTENT_TOO_LARGE ? send_text(x) : MHD_YES;
	}
	if (*n)
		return take_body(x, data, n);
	if (x->answer)
		return send_answer(x);
	if (x->status)
		return send_text(x);
	if (x->page)
		return send_bytes(x, MHD_HTTP_OK, "text/html; charset=utf-8", http_page(),
				  MHD_RESPMEM_PERSISTENT);
	return ask(x, url);
}

void http_reply(struct http *h, struct http_answer *a)
{
	struct exchange *x = idmap_del(&h->waiting, a->id);

	OBJ_CHECK(h, HTTP_MAGIC);
	if (!x) {
		http_answer_free(a);
		return;
	}
	x->id = 0;
	x->answer = a;
	x->suspended = false;
	MHD_resume_connection(x->connection);
	run(x->server);
}

/* ---- opening and closing ---- */

static struct MHD_Daemon *daemon_start(struct http_server *s, int fd)
{
	return MHD_start_daemon(
	    MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, accept_peer, s, on_request, s,
	    MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd, MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
	    MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
	    on_connection, s, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_STRICT_FOR_CLIENT, 1,
	    MHD_OPTION_END);
}

static void server_open(struct http *h, int fd)
{
	struct http_server *s = calloc(1, sizeof *s);
	const union MHD_DaemonInfo *i;

	if (!s)
		fatal("no memory for HTTP");
	s->h = h;
	s->daemon = daemon_start(s, fd);
	i = s->daemon ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!i) {
		log_error("http: libmicrohttpd does not start: the port stays closed");
		close(fd);
		free(s);
		return;
	}
	timer_init(&s->run, on_run, s);
	ev_io_init(&s->watcher, on_ready, i->epoll_fd, EV_READ);
	s->watcher.data = s;
	ev_io_start(loop_ev(h->loop), &s->watcher);
	s->next = h->servers;
	h->servers = s;
	run(s);
}

static void server_close(struct http_server *s)
{
	int fd = MHD_quiesce_daemon(s->daemon);

	if (fd >= 0)
		close(fd);
	s->closing = true;
	timer_set(s->h->loop, &s->h->look, loop_now_exact(s->h->loop) + look_every);
}

void http_listen(struct http *h, int fd)
{
	OBJ_CHECK(h, HTTP_MAGIC);
	if (fd == HTTP_KEEP)
		return;
	for (struct http_server *s = h->servers; s; s = s->next)
		if (!s->closing)
			server_close(s);
	if (fd != HTTP_CLOSE)
		server_open(h, fd);
}

void http_conf(struct http *h, struct conf *c)
{
	OBJ_CHECK(h, HTTP_MAGIC);
	conf_ref(c);
	conf_unref(h->conf);
	h->conf = c;
}

/* ---- the page's policy: its own script and style, by their digests ---- */

static void digest(struct str page, const char *from, const char *to, char out[64])
{
	const char *a = strstr(page.p, from), *b = a ? strstr(a, to) : NULL;
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	out[0] = '\0';
	if (!a || !b)
		fatal("the page has no %s", from);
	a += strlen(from);
	if (EVP_Digest(a, (size_t)(b - a), sum, &n, EVP_sha256(), NULL) == 1)
		EVP_EncodeBlock((unsigned char *)out, sum, (int)n);
}

static void make_csp(struct http *h)
{
	char script[64], style[64];

	digest(http_page(), "<script>", "</script>", script);
	digest(http_page(), "<style>", "</style>", style);
	snprintf(h->csp, sizeof h->csp,
		 "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; connect-src "
		 "'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors "
		 "'none'",
		 script, style);
}

struct http *http_new(struct loop *l, const struct http_env *env, struct conf *c)
{
	struct http *h = calloc(1, sizeof *h);

	if (!h)
		fatal("no memory for HTTP");
	h->magic = HTTP_MAGIC;
	h->loop = l;
	h->env = *env;
	h->conf = conf_ref(c);
	idmap_init(&h->waiting);
	timer_init(&h->look, on_look, h);
	make_csp(h);
	return h;
}

static void resume_all(struct http *h)
{
	size_t pos = 0;
	uint64_t id;
	void *v;

	while (idmap_next(&h->waiting, &pos, &id, &v)) {
		struct exchange *x = v;

		x->id = 0;
		exchange_refuse(x, MHD_HTTP_SERVICE_UNAVAILABLE, "stoker is stopping");
		MHD_resume_connection(x->connection);
	}
	idmap_free(&h->waiting);
	idmap_init(&h->waiting);
}

void http_free(struct http *h)
{
	if (!h)
		return;
	OBJ_CHECK(h, HTTP_MAGIC);
	resume_all(h);
	while (h->servers) {
		struct http_server *s = h->servers;

		h->servers = s->next;
		MHD_run(s->daemon);
		server_free(s);
	}
	timer_stop(h->loop, &h->look);
	idmap_free(&h->waiting);
	conf_unref(h->conf);
	h->magic = 0;
	free(h);
}
