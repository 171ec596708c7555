#include "core/net/resolver.h"

#include <dlfcn.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/net/io.h"
#include "core/net/resolver_priv.h"

enum {
	RESOLVER_MAGIC = 0x52534c56,
	/* Given to libunbound at once. Its pipe takes questions with blocking writes: this many
	 * always fit (64 KB, about 40 bytes each), so that the loop never waits for its thread. And
	 * so many answers at most come by one ub_process, some 10 us each. */
	IN_FLIGHT_MAX = 192,
	KEY_SIZE = DOMAIN_SIZE + 8,
	CLASS_IN = 1,
	RCODE_NXDOMAIN = 3,
};
static const us_t DELIVER_WITHIN = US_PER_MS; /* of a pass */
static const us_t DEFAULT_TIMEOUT = 20 * US_PER_S, FAR_AWAY = 10000 * US_PER_DAY;

struct waiter {
	struct waiter *next;
	struct job *job;
	int slot;
};

/* One name and type, asked once for everybody who wants to know. */
struct question {
	struct resolver *r;
	struct question *next; /* while queued; and while its result waits */
	struct waiter *waiters;
	struct timer timer;
	int type, async_id;
	bool asked;
	int error; /* what came, until it is its turn */
	struct ub_result *result;
	char key[KEY_SIZE]; /* "15 example.com" */
	const char *name;   /* in key */
};

static struct str key_of(const struct question *q)
{
	return str_of(q->key);
}

static void question_free(struct question *q)
{
	timer_stop(q->r->loop, &q->timer);
	while (q->waiters) {
		struct waiter *w = q->waiters;

		q->waiters = w->next;
		free(w);
	}
	ub_resolve_free(q->result);
	free(q);
}

static void send_queued(struct resolver *r);

/* Tells all who wait. A job may ask further questions meanwhile, even this one again. */
static void question_done(struct question *q, const struct reply *reply)
{
	struct resolver *r = q->r;

	strmap_del(&r->asking, key_of(q));
	if (q->asked)
		r->in_flight--;
	for (const struct waiter *w = q->waiters; w; w = w->next)
		job_reply(w->job, w->slot, reply);
	question_free(q);
	send_queued(r);
}

static void question_failed(struct question *q, const char *why)
{
	question_done(q, &(struct reply){ .fact = FACT_FAILED, .why = why });
}

static const char *rcode_name(int rcode)
{
	static const char *const names[] = {
		"an answer without data", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"
	};

	if (rcode >= 0 && (size_t)rcode < sizeof names / sizeof *names)
		return names[rcode];
	return "an unknown error code";
}

static struct reply reply_of(int error, const struct ub_result *res)
{
	struct reply reply = { .fact = FACT_FAILED };

	if (error || !res) {
		reply.why = error ? ub_strerror(error) : "no result";
		return reply;
	}
	if (res->bogus) {
		reply.why = "bogus (DNSSEC)";
		return reply;
	}
	reply.ttl = (us_t)res->ttl * US_PER_S;
	reply.secure = res->secure;
	if (res->nxdomain || res->rcode == RCODE_NXDOMAIN) {
		reply.fact = FACT_NXDOMAIN;
	} else if (res->rcode != 0) {
		reply.why = rcode_name(res->rcode);
	} else if (res->havedata && res->data && res->data[0]) {
		reply.fact = FACT_DATA;
		reply.result = res;
	} else {
		reply.fact = FACT_NO_DATA;
	}
	return reply;
}

/* From ub_process, on the loop's thread: it gives all that has come, and would give what is asked
 * from here as well, for 20 ms and more. So results only line up. */
static void on_result(void *arg, int error, struct ub_result *res)
{
	struct question *q = arg;
	struct resolver *r = q->r;

	timer_stop(r->loop, &q->timer);
	q->error = error;
	q->result = res;
	q->next = NULL;
	if (r->last_come)
		r->last_come->next = q;
	else
		r->first_come = q;
	r->last_come = q;
	resolver_deliver_soon(r);
}

static bool take_result(struct resolver *r)
{
	struct question *q = r->first_come;
	struct reply reply;

	if (!q)
		return false;
	r->first_come = q->next;
	if (!r->first_come)
		r->last_come = NULL;
	reply = reply_of(q->error, q->result);
	question_done(q, &reply);
	return true;
}

static void on_timeout(struct timer *t, void *arg)
{
	struct question *q = arg;

	(void)t;
	if (q->asked) { /* else it failed to be asked: the timer only brought that out of the call
			 */
		ub_cancel(q->r->ub, q->async_id);
		q->r->stats.timeouts++;
		question_failed(q, "time-out");
		return;
	}
	question_failed(q, "the resolver takes no question");
}

static void question_send(struct question *q)
{
	struct resolver *r = q->r;
	us_t now = loop_now(r->loop);
	int error = ub_resolve_async(r->ub, q->name, q->type, CLASS_IN, q, on_result, &q->async_id);

	q->asked = error == 0;
	if (q->asked) {
		r->in_flight++;
		r->stats.questions++;
	}
	/* The timer is in the heap since resolver_ask: this moves it and can't fail. */
	timer_set(r->loop, &q->timer, q->asked ? now + r->timeout : now);
}

static void send_queued(struct resolver *r)
{
	while (r->first_queued && r->in_flight < IN_FLIGHT_MAX) {
		struct question *q = r->first_queued;

		r->first_queued = q->next;
		if (!r->first_queued)
			r->last_queued = NULL;
		question_send(q);
	}
}

static struct question *question_new(struct resolver *r, const char *name, int type)
{
	struct question *q = calloc(1, sizeof *q);

	if (!q)
		return NULL;
	q->r = r;
	q->type = type;
	snprintf(q->key, sizeof q->key, "%d %s", type, name);
	q->name = strchr(q->key, ' ') + 1;
	timer_init(&q->timer, on_timeout, q);
	if (!timer_set(r->loop, &q->timer, loop_now(r->loop) + FAR_AWAY)) /* until it is sent */
		goto no_memory;
	if (!strmap_put(&r->asking, key_of(q), q))
		goto no_memory;
	if (r->last_queued)
		r->last_queued->next = q;
	else
		r->first_queued = q;
	r->last_queued = q;
	return q;
no_memory:
	question_free(q);
	return NULL;
}

/* Never answers from inside: a result comes by ub_fd, a failure by a timer. */
bool resolver_ask(struct resolver *r, const char *name, int type, struct job *job, int slot)
{
	char key[KEY_SIZE];
	struct waiter *w = malloc(sizeof *w);
	struct question *q;

	if (!w)
		return false;
	snprintf(key, sizeof key, "%d %s", type, name);
	q = strmap_get(&r->asking, str_of(key));
	if (q)
		r->stats.shared++;
	else
		q = question_new(r, name, type);
	if (!q) {
		free(w);
		return false;
	}
	*w = (struct waiter){ .next = q->waiters, .job = job, .slot = slot };
	q->waiters = w;
	send_queued(r);
	return true;
}

static void on_ub(struct ev_loop *ev, ev_io *w, int revents)
{
	struct resolver *r = w->data;
	int error;

	(void)ev;
	(void)revents;
	error = ub_process(r->ub);
	if (error)
		log_error("resolver: %s", ub_strerror(error));
}

/* Answers are given from a timer that is due at once, so never from inside resolver_lookup. It is
 * always armed, if only for a far day: moving an armed timer needs no memory. */
static void on_deliver(struct timer *t, void *arg)
{
	struct resolver *r = arg;
	us_t stop = clock_now_us() + DELIVER_WITHIN;
	bool more = true;

	timer_set(r->loop, t, loop_now(r->loop) + FAR_AWAY);
	while (more && clock_now_us() < stop)
		more = job_deliver(r) || take_result(r);
	if (more) /* the clock has gone on since the pass began: in the next one */
		timer_set(r->loop, t, clock_now_us());
}

void resolver_deliver_soon(struct resolver *r)
{
	timer_set(r->loop, &r->deliver, loop_now(r->loop));
}

/* ---- setting up ---- */

static bool set_option(struct ub_ctx *ub, const char *name, const char *value, struct errbuf *e)
{
	int error = ub_ctx_set_option(ub, name, value);

	if (error)
		errbuf_set(e, "libunbound does not take %s %s: %s", name, value,
			   ub_strerror(error));
	return error == 0;
}

static bool set_options(struct ub_ctx *ub, struct errbuf *e)
{
	static const char *const options[][2] = {
		/* A resolver on this machine is the usual case. */
		{ "do-not-query-localhost:", "no" },
		/* The library's defaults (16 ports, 1 MB) are made for a web browser. */
		{ "outgoing-range:", "512" },
		{ "num-queries-per-thread:", "4096" },
		{ "msg-cache-size:", "16m" },
		{ "rrset-cache-size:", "32m" },
		{ "cache-max-negative-ttl:", "900" },
	};

	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		if (!set_option(ub, options[i][0], options[i][1], e))
			return false;
	return true;
}

/* "192.0.2.53" or "192.0.2.53@5353" */
static bool server_valid(const char *server)
{
	struct str s = str_of(server), ip;
	struct endpoint at;
	char port[ENDPOINT_SIZE];

	/* A port read from here would be one written with a colon. */
	if (!str_split(&s, '@', &ip) || !ip.n || ip.p[0] == '[' || !endpoint_parse(ip, 0, &at) ||
	    endpoint_port(&at) != 0)
		return false;
	if (ip.n == strlen(server))
		return true;
	snprintf(port, sizeof port, "127.0.0.1:%.*s", (int)(s.n < 6 ? s.n : 6), s.p);
	return endpoint_parse(str_of(port), 0, &at);
}

static bool set_server(struct ub_ctx *ub, const char *server, struct errbuf *e)
{
	int error;

	if (!server_valid(server)) {
		errbuf_set(e, "name server %s: write an IP address, or IP@PORT", server);
		return false;
	}
	error = ub_ctx_set_fwd(ub, server);
	if (error)
		errbuf_set(e, "name server %s: %s", server, ub_strerror(error));
	return error == 0;
}

/* Read by ourselves, so that a file without a server is an error: libunbound would ask the root
 * servers. */
static bool set_from_resolv_conf(struct ub_ctx *ub, const char *path, struct errbuf *e)
{
	char line[512], server[64];
	int servers = 0;
	FILE *f = fopen(path, "re");

	if (!f) {
		errbuf_set(e, "can't read %s: %s (no name server is configured either)", path,
			   strerror(errno));
		return false;
	}
	while (fgets(line, sizeof line, f)) {
		/* A link-local server (with a scope) is left out: libunbound can't use it. */
		if (sscanf(line, " nameserver %63s", server) != 1 || strchr(server, '%'))
			continue;
		if (!set_server(ub, server, e)) {
			fclose(f);
			return false;
		}
		servers++;
	}
	fclose(f);
	if (!servers)
		errbuf_set(e, "%s names no name server, and none is configured", path);
	return servers > 0;
}

static bool set_servers(struct ub_ctx *ub, const struct resolver_opts *o, struct errbuf *e)
{
	if (!o->nservers)
		return set_from_resolv_conf(
		    ub, o->resolv_conf ? o->resolv_conf : "/etc/resolv.conf", e);
	for (int i = 0; i < o->nservers; i++)
		if (!set_server(ub, o->servers[i], e))
			return false;
	return true;
}

/* libunbound answers these by itself; here the servers decide, as for every other name. */
static bool open_zones(struct ub_ctx *ub, struct errbuf *e)
{
	static const char *const zones[] = { "test.", "invalid.", "localhost.", "example.",
					     "home.arpa." };

	for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
		int error = ub_ctx_zone_add(ub, zones[i], "transparent");

		if (error) {
			errbuf_set(e, "libunbound does not open the zone %s: %s", zones[i],
				   ub_strerror(error));
			return false;
		}
	}
	return true;
}

/* The order matters: servers set after the first zone_add are silently not used, and the root
 * servers are. */
static bool configure(struct ub_ctx *ub, const struct resolver_opts *o, struct errbuf *e)
{
	int error = ub_ctx_debugout(ub, NULL); /* stderr may be an operator's screen */

	if (!error)
		error = ub_ctx_async(ub, 1); /* a thread, not a fork */
	if (error) {
		errbuf_set(e, "libunbound: %s", ub_strerror(error));
		return false;
	}
	if (!set_options(ub, e) || !set_servers(ub, o, e))
		return false;
	if (o->trust_anchors) {
		error = ub_ctx_add_ta_file(ub, o->trust_anchors);
		if (error) {
			errbuf_set(e, "trust anchors in %s: %s", o->trust_anchors,
				   ub_strerror(error));
			return false;
		}
	}
	return open_zones(ub, e);
}

/* libev.so brings functions named like libevent's, for other structs. If the program is linked so
 * that libunbound finds those first, it writes over the heap: better not to start. */
static bool libevent_is_whole(struct errbuf *e)
{
	void *both = dlsym(RTLD_DEFAULT, "event_set"), *own = dlsym(RTLD_DEFAULT, "event_new");
	Dl_info of_both, of_own;

	if (!both || !own || !dladdr(both, &of_both) || !dladdr(own, &of_own) ||
	    of_both.dli_fbase == of_own.dli_fbase)
		return true;
	errbuf_set(e,
		   "this program is linked wrongly: libunbound would use event_set of %s with %s; "
		   "link libev.a, "
		   "before all other libraries",
		   of_both.dli_fname, of_own.dli_fname);
	return false;
}

static bool is_any(const struct endpoint *e)
{
	static const struct in6_addr any = IN6ADDR_ANY_INIT;

	if (e->sa.sa_family == AF_INET)
		return e->in4.sin_addr.s_addr == INADDR_ANY;
	return e->sa.sa_family == AF_INET6 && memcmp(&e->in6.sin6_addr, &any, sizeof any) == 0;
}

static bool own_add(struct resolver *r, const struct sockaddr *sa, socklen_t len)
{
	struct endpoint *own = reallocarray(r->own, (size_t)r->nown + 1, sizeof *own);

	if (!own)
		return false;
	r->own = own;
	own[r->nown] = (struct endpoint){ .len = len };
	memcpy(&own[r->nown].any, sa, len);
	r->nown++;
	return true;
}

/* A listener on 0.0.0.0 or :: listens on every address of its family. */
static bool own_add_all(struct resolver *r, int family)
{
	struct ifaddrs *list = NULL;
	bool ok = getifaddrs(&list) == 0;

	for (const struct ifaddrs *i = list; ok && i; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == family)
			ok = own_add(r, i->ifa_addr,
				     family == AF_INET ? sizeof(struct sockaddr_in)
						       : sizeof(struct sockaddr_in6));
	if (list)
		freeifaddrs(list);
	return ok;
}

static bool set_own(struct resolver *r, const struct resolver_opts *o, struct errbuf *e)
{
	for (int i = 0; i < o->nown; i++) {
		const struct endpoint *own = &o->own[i];

		if (!own_add(r, &own->sa, own->len) ||
		    (is_any(own) && !own_add_all(r, own->sa.sa_family))) {
			errbuf_set(e, "can't list this machine's addresses: %s", strerror(errno));
			return false;
		}
	}
	return true;
}

static bool start(struct resolver *r, const struct resolver_opts *o, struct errbuf *e)
{
	if (!timer_set(r->loop, &r->deliver, loop_now(r->loop) + FAR_AWAY)) {
		errbuf_set(e, "no memory for the resolver");
		return false;
	}
	return configure(r->ub, o, e) && set_own(r, o, e);
}

static void destroy(struct resolver *r)
{
	timer_stop(r->loop, &r->deliver);
	if (r->ub)
		ub_ctx_delete(r->ub);
	free(r->own);
	r->magic = 0;
	free(r);
}

static void on_first(void *arg, int error, struct ub_result *res)
{
	(void)arg;
	(void)error;
	ub_resolve_free(res);
}

/* libunbound reads its settings and starts its thread with the first question, which takes
 * milliseconds: better now than in a loop pass. It answers this one itself. */
static void ask_first(struct resolver *r)
{
	int error = ub_resolve_async(r->ub, "localhost.", RR_A, CLASS_IN, NULL, on_first, NULL);

	if (error)
		log_warn("resolver: %s", ub_strerror(error));
}

struct resolver *resolver_new(struct loop *l, const struct resolver_opts *o,
			      void (*answer)(void *arg, uint64_t id, struct dns_answer *a),
			      void *arg, struct errbuf *e)
{
	struct resolver *r = calloc(1, sizeof *r);

	if (!r) {
		errbuf_set(e, "no memory for the resolver");
		return NULL;
	}
	r->magic = RESOLVER_MAGIC;
	r->loop = l;
	r->timeout = o->timeout ? o->timeout : DEFAULT_TIMEOUT;
	r->allow_private = o->allow_private;
	r->answer = answer;
	r->arg = arg;
	strmap_init(&r->asking);
	timer_init(&r->deliver, on_deliver, r);
	if (libevent_is_whole(e)) {
		r->ub = ub_ctx_create();
		if (!r->ub)
			errbuf_set(e, "libunbound does not start (no memory, or no randomness)");
	}
	if (!r->ub || !start(r, o, e)) {
		destroy(r);
		return NULL;
	}
	ev_io_init(&r->w, on_ub, ub_fd(r->ub), EV_READ);
	r->w.data = r;
	ev_io_start(loop_ev(l), &r->w);
	ask_first(r);
	return r;
}

void resolver_free(struct resolver *r)
{
	size_t pos = 0;
	struct str key;
	void *q;

	if (!r)
		return;
	OBJ_CHECK(r, RESOLVER_MAGIC);
	ev_io_stop(loop_ev(r->loop), &r->w);
	ub_ctx_delete(r->ub); /* its thread ends; no callback comes any more */
	r->ub = NULL;
	while (strmap_next(&r->asking, &pos, &key, &q))
		question_free(q);
	strmap_free(&r->asking);
	jobs_free(r);
	destroy(r);
}

void resolver_lookup(struct resolver *r, uint64_t id, enum resolver_kind kind, struct str name,
		     bool allow_private)
{
	OBJ_CHECK(r, RESOLVER_MAGIC);
	r->stats.lookups++;
	if (!job_new(r, id, kind, name, allow_private))
		r->answer(r->arg, id, NULL);
}

int resolver_outstanding(const struct resolver *r)
{
	return r->outstanding;
}

void resolver_stats(const struct resolver *r, struct resolver_stats *out)
{
	*out = r->stats;
}
