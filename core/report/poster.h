/* HTTP POSTs from a loop: libcurl's multi interface, its sockets watched and its timer armed by the
 * loop. Names are looked up by threads of libcurl's own. Certificates are verified by the system's
 * (or SSL_CERT_FILE's) authorities, redirects are not followed, no proxy of the environment is
 * used, an answer's body is thrown away. A far end that hangs, wherever it does, costs one request
 * its limits and holds nothing else; a drop waits for nobody. Everything on the loop's thread, but
 * poster_new. */
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

struct poster_limits {
	us_t connect; /* until its name is known, it is connected to and TLS is agreed on */
	us_t answer;  /* until all of the answer is there */
};
extern const struct poster_limits poster_limits; /* 10 s, 30 s */

/* Before threads start; NULL without memory. Its connections are kept and used again. */
struct poster *poster_new(struct loop *l, const struct poster_limits *limits);
void poster_free(struct poster *p); /* all its jobs are done or dropped; NULL allowed */
/* `headers` ("Name: value") are copied, `body` stays the caller's until the answer. `done` comes
 * from the loop, once, never from inside. NULL without memory. */
struct poster_job *poster_start(struct poster *p, const char *url, const char *const *headers,
				int nheaders, struct str body,
				void (*done)(void *arg, const struct poster_answer *a), void *arg);
void poster_drop(struct poster_job *j); /* before its answer */

#endif
