/* What http.c and http_request.c share. The http thread. */
#ifndef STOKER_CONTROL_HTTP_PRIV_H
#define STOKER_CONTROL_HTTP_PRIV_H

#include <microhttpd.h>

#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/control/http.h"
#include "core/net/io.h"

enum {
	REQUEST_MAX = 16 * 1024,   /* bytes of a request, head and body together */
	ROWS_DEFAULT = 1000,	   /* of a list without limit= */
	ROWS_MAX = 10000,	   /* of any one answer */
	HTTP_CONNECTIONS_MAX = 50, /* at once */
	HTTP_STRANGERS_MAX = 10,   /* of these: whose address may do nothing */
};

struct http_server;
struct exchange { /* one request on its way */
	struct http_server *server;
	struct MHD_Connection *connection;
	uint64_t id; /* of what control was asked; 0: nothing */
	bool post, page;
	bool started; /* its head has been judged */
	bool suspended;
	struct buf body; /* of the request */
	size_t head_bytes, swallowed;
	/* the answer, when it is known */
	unsigned status; /* 0: not yet */
	struct buf text;
	const char *allow;  /* of a 405 */
	bool ask_for_token; /* of a 401 */
	struct http_answer *answer;
};

/* Ends an exchange with a sentence: {"error": "…"}. */
void exchange_refuse(struct exchange *x, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- http_request.c ---- */
enum role http_role(const struct conf *c, struct MHD_Connection *connection);
/* The peer as text, without port. */
void http_peer(struct MHD_Connection *connection, char out[ENDPOINT_SIZE]);
/* What the head says: refused (status is set), the page, or a question for which the body is still
 * to come. */
void request_head(struct exchange *x, const struct conf *c, const char *method, const char *url);
/* With the body: the question for control, or NULL (status is set). */
struct http_ask *request_ask_of(struct exchange *x, const struct conf *c, const char *url);

#endif
