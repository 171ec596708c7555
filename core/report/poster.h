/* HTTP POSTs from a loop: libcurl's multi interface, its sockets watched and its timer armed by the
 * loop. Names are looked up by threads of libcurl's own. Certificates are verified by the system's
 * (or SSL_CERT_FILE's) authorities, redirects are not followed, no proxy of the environment is
 * used, an answer's body is thrown away. Everything on the loop's thread, but poster_new. */
#ifndef STOKER_REPORT_POSTER_H
#define STOKER_REPORT_POSTER_H

#include "core/base/str.h"
#include "core/net/loop.h"

struct poster;
struct poster_job;
struct poster_answer {
	int status;	  /* 0: none came */
	us_t retry_after; /* a span, 0: not said */
	const char *why;  /* words if there is no status */
};

/* Before threads start; NULL without memory. Its connections are kept and used again. */
struct poster *poster_new(struct loop *l);
void poster_free(struct poster *p); /* all its jobs are done or dropped; NULL allowed */
/* `headers` ("Name: value") are copied, `body` stays the caller's until the answer. `done` comes
 * from the loop, once, never from inside. NULL without memory. */
struct poster_job *poster_start(struct poster *p, const char *url, const char *const *headers,
				int nheaders, struct str body,
				void (*done)(void *arg, const struct poster_answer *a), void *arg);
void poster_drop(struct poster_job *j); /* before its answer */

#endif
