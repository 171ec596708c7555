/* HTTP on [mta] http-mgmt-port (COMMANDS.md, "HTTP"): a page, the lists as JSON, /metrics, and POST
 * /command. libmicrohttpd runs in a thread of its own, driven by that thread's loop; it knows
 * addresses, roles, the token and the form of a request, and asks the control thread for the rest:
 * one http_ask goes there, one http_answer comes back, matched by id. Meanwhile the connection is
 * suspended. */
#ifndef STOKER_CONTROL_HTTP_H
#define STOKER_CONTROL_HTTP_H

#include "core/control/control.h"

struct http_ask { /* http → control; http_ask_free */
	uint64_t id;
	bool metrics; /* else a command */
	bool act;     /* by POST: its words are for a person, and --yes was {"yes": true} */
	enum role role;
	struct rstr *who; /* "http:192.0.2.1" */
	struct arena mem;
	struct str *words; /* in mem */
	int nwords;
};
struct http_answer { /* control → http; http_answer_free */
	uint64_t id;
	int exit;
	bool too_large; /* `out` was cut */
	struct buf out, err;
};
void http_ask_free(struct http_ask *q);
void http_answer_free(struct http_answer *a);

/* ---- the http thread ---- */
struct http_env {
	void *arg;
	void (*ask)(void *arg, struct http_ask *q); /* to the control thread; takes over */
};
struct http;
struct http *http_new(struct loop *l, const struct http_env *env, struct conf *c);
void http_free(struct http *h);
/* What becomes of the port: HTTP_KEEP, HTTP_CLOSE, or a descriptor that listens (taken over) and
 * replaces it. What is being answered is answered still. */
enum { HTTP_KEEP = -1, HTTP_CLOSE = -2 };
void http_listen(struct http *h, int fd);
void http_conf(struct http *h, struct conf *c); /* takes a reference */
/* Takes over; dropped if the connection is gone. */
void http_reply(struct http *h, struct http_answer *a);

/* ---- the control thread ---- */
/* Takes over; answers once by what control_set_http gave. */
void control_http(struct control *c, struct http_ask *q);
void control_set_http(struct control *c, void (*answer)(void *arg, struct http_answer *a),
		      void *arg);

/* ---- the page: core/control/page.html as bytes ---- */
struct str http_page(void);

#endif
