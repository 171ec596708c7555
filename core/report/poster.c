#include "core/report/poster.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

const struct poster_limits poster_limits = { 10 * US_PER_S, 30 * US_PER_S };

enum {
	ANSWER_MOST = 64 * 1024,   /* of a body that nobody reads */
	RETRY_AFTER_MAX_S = 86400, /* what is longer would not fit once it is counted finer */
};

struct poster {
	struct loop *loop;
	struct poster_limits limits;
	CURLM *multi;
	struct timer timer;
};

struct poster_job {
	struct poster *p;
	CURL *easy;
	struct curl_slist *headers;
	size_t got;
	void (*done)(void *arg, const struct poster_answer *a);
	void *arg;
	char why[CURL_ERROR_SIZE];
};

struct watch { /* one of curl's sockets */
	ev_io io;
	struct poster *p;
};

/* ---- the loop ---- */

static void job_free(struct poster_job *j)
{
	if (j->easy) {
		curl_multi_remove_handle(j->p->multi, j->easy);
		curl_easy_cleanup(j->easy);
	}
	curl_slist_free_all(j->headers);
	free(j);
}

static bool reached(struct poster_job *j, CURLINFO what)
{
	curl_off_t us = 0;

	return !curl_easy_getinfo(j->easy, what, &us) && us;
}

/* Where it hung. curl counts TLS as part of connecting. */
static void late(struct poster_job *j)
{
	const struct poster_limits *l = &j->p->limits;
	const char *url = "", *what = NULL;

	curl_easy_getinfo(j->easy, CURLINFO_EFFECTIVE_URL, &url);
	if (!reached(j, CURLINFO_NAMELOOKUP_TIME_T))
		what = "the DNS does not answer for its name";
	else if (!reached(j, CURLINFO_PRETRANSFER_TIME_T))
		what = strncasecmp(url, "https:", 6) == 0
			   ? "it can't be connected to, or TLS is not agreed on,"
			   : "it can't be connected to";
	if (what)
		snprintf(j->why, sizeof j->why, "%s within %g s", what,
			 (double)l->connect / US_PER_S);
	else
		snprintf(j->why, sizeof j->why,
			 "it is connected to, but does not answer within %g s",
			 (double)l->answer / US_PER_S);
}

/* The same words for the same trouble: curl's hold milliseconds, and an alarm that says something
 * new at each try is no alarm. */
static const char *words(struct poster_job *j, CURLcode rc)
{
	char said[CURL_ERROR_SIZE];
	long error = 0;

	snprintf(said, sizeof said, "%s", j->why[0] ? j->why : curl_easy_strerror(rc));
	if (rc == CURLE_OPERATION_TIMEDOUT)
		late(j);
	else if (rc == CURLE_COULDNT_CONNECT &&
		 !curl_easy_getinfo(j->easy, CURLINFO_OS_ERRNO, &error) && error)
		snprintf(j->why, sizeof j->why, "it can't be connected to: %s",
			 strerror((int)error));
	else if (rc == CURLE_COULDNT_RESOLVE_HOST)
		snprintf(j->why, sizeof j->why, "its name can't be looked up: %.200s", said);
	else if (rc == CURLE_SSL_CACERT_BADFILE)
		snprintf(
		    j->why, sizeof j->why,
		    "there is no bundle of authorities to verify its certificate with: install "
		    "the package ca-certificates (or set SSL_CERT_FILE)");
	else if (rc == CURLE_PEER_FAILED_VERIFICATION)
		snprintf(j->why, sizeof j->why, "its certificate can't be verified: %.200s", said);
	else
		snprintf(j->why, sizeof j->why, "%s", said);
	return j->why;
}

static void finish(struct poster_job *j, CURLcode rc)
{
	struct poster_answer a = { .why = words(j, rc) };
	curl_off_t wait = 0;
	long status = 0;

	curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(j->easy, CURLINFO_RETRY_AFTER, &wait);
	/* An answer whose body was too long is one all the same. */
	if (rc == CURLE_OK || (rc == CURLE_WRITE_ERROR && j->got > ANSWER_MOST))
		a.status = (int)status;
	if (wait > RETRY_AFTER_MAX_S)
		wait = RETRY_AFTER_MAX_S;
	a.retry_after = (us_t)wait * US_PER_S;
	j->done(j->arg, &a);
	job_free(j);
}

static void finish_all(struct poster *p)
{
	struct poster_job *j = NULL;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(p->multi, &left)))
		if (m->msg == CURLMSG_DONE &&
		    !curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &j))
			finish(j, m->data.result);
}

static void act(struct poster *p, curl_socket_t fd, int events)
{
	int running;

	curl_multi_socket_action(p->multi, fd, events, &running);
	finish_all(p);
}

static void on_io(struct ev_loop *ev, ev_io *io, int revents)
{
	struct watch *w = (struct watch *)io;

	(void)ev;
	act(w->p, io->fd,
	    (revents & EV_READ ? CURL_CSELECT_IN : 0) |
		(revents & EV_WRITE ? CURL_CSELECT_OUT : 0)); /* `w` may be gone */
}

static void on_timer(struct timer *t, void *arg)
{
	(void)t;
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
	struct poster *p = arg;

	(void)multi;
	return timer_set(p->loop, &p->timer,
			 ms < 0 ? US_NEVER : loop_now(p->loop) + (us_t)ms * US_PER_MS)
		   ? 0
		   : -1;
}

/* Always stopped before curl closes the socket: libev can't bear another order. */
static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *mine)
{
	struct poster *p = arg;
	struct watch *w = mine;

	(void)easy;
	if (w)
		ev_io_stop(loop_ev(p->loop), &w->io);
	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(p->multi, fd, NULL);
		free(w);
		return 0;
	}
	if (!w) {
		w = calloc(1, sizeof *w);
		if (!w || curl_multi_assign(p->multi, fd, w)) {
			free(w);
			return -1;
		}
		w->p = p;
		ev_init(&w->io, on_io);
	}
	ev_io_set(&w->io, fd,
		  (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
	ev_io_start(loop_ev(p->loop), &w->io);
	return 0;
}

struct poster *poster_new(struct loop *l, const struct poster_limits *limits)
{
	struct poster *p = calloc(1, sizeof *p);

	if (!p || curl_global_init(CURL_GLOBAL_DEFAULT)) {
		free(p);
		return NULL;
	}
	p->loop = l;
	p->limits = *limits;
	timer_init(&p->timer, on_timer, p);
	p->multi = curl_multi_init();
	if (!p->multi || curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, want_socket) ||
	    curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p) ||
	    curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, want_timer) ||
	    curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p)) {
		poster_free(p);
		return NULL;
	}
	return p;
}

void poster_free(struct poster *p)
{
	if (!p)
		return;
	curl_multi_cleanup(p->multi);
	timer_stop(p->loop, &p->timer);
	curl_global_cleanup();
	free(p);
}

/* ---- a request ---- */

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct poster_job *j = arg;

	(void)bytes;
	j->got += size * n;
	return j->got > ANSWER_MOST ? 0 : size * n;
}

static bool add_header(struct poster_job *j, const char *text)
{
	struct curl_slist *longer = curl_slist_append(j->headers, text);

	if (longer)
		j->headers = longer;
	return longer != NULL;
}

static bool set_up(struct poster_job *j, const char *url, struct str body)
{
	const char *own = getenv("SSL_CERT_FILE"); /* as for mail: core/net/tls.c */
	const struct poster_limits *l = &j->p->limits;
	CURL *c = j->easy;

	return !curl_easy_setopt(c, CURLOPT_PRIVATE, j) && !curl_easy_setopt(c, CURLOPT_URL, url) &&
	       !curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") &&
	       !curl_easy_setopt(c, CURLOPT_PROXY, "") &&
	       !curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) &&
	       !curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) &&
	       /* Else dropping a job whose name is still looked up waits for the resolver. */
	       !curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L) &&
	       !curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       !curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
	       !curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) &&
	       !curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) &&
	       !(own && curl_easy_setopt(c, CURLOPT_CAINFO, own)) &&
	       !curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(l->connect / US_PER_MS)) &&
	       !curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(l->answer / US_PER_MS)) &&
	       !curl_easy_setopt(c, CURLOPT_USERAGENT, "Stoker") &&
	       !curl_easy_setopt(c, CURLOPT_HTTPHEADER, j->headers) &&
	       !curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n) &&
	       !curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.p) &&
	       !curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) &&
	       !curl_easy_setopt(c, CURLOPT_WRITEDATA, j) &&
	       !curl_easy_setopt(c, CURLOPT_ERRORBUFFER, j->why);
}

struct poster_job *poster_start(struct poster *p, const char *url, const char *const *headers,
				int nheaders, struct str body,
				void (*done)(void *arg, const struct poster_answer *a), void *arg)
{
	struct poster_job *j = calloc(1, sizeof *j);
	bool ok = j != NULL;

	if (!j)
		return NULL;
	*j = (struct poster_job){ .p = p, .easy = curl_easy_init(), .done = done, .arg = arg };
	for (int i = 0; i < nheaders && ok; i++)
		ok = add_header(j, headers[i]);
	/* No asking whether a body may come: it is small, and the answer costs a round trip. */
	if (ok && j->easy && add_header(j, "Expect:") && set_up(j, url, body) &&
	    !curl_multi_add_handle(p->multi, j->easy))
		return j;
	job_free(j);
	return NULL;
}

void poster_drop(struct poster_job *j)
{
	job_free(j);
}
