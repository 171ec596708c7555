/* HTTP's requests on the control thread: a command runs as it does for the command line, and what
 * it says is collected. */
#include <stdlib.h>

#include "core/control/http.h"
#include "core/control/metrics.h"
#include "core/control/private.h"

/* Of one answer. More is thrown away; the client is told to ask for less. */
enum { ANSWER_MAX = 16 * 1024 * 1024 };

void http_ask_free(struct http_ask *q)
{
	if (!q)
		return;
	rstr_unref(q->who);
	arena_free(&q->mem);
	free(q);
}

void http_answer_free(struct http_answer *a)
{
	if (!a)
		return;
	buf_free(&a->out);
	buf_free(&a->err);
	free(a);
}

void control_set_http(struct control *c, void (*answer)(void *arg, struct http_answer *a),
		      void *arg)
{
	c->http_answer = answer;
	c->http_arg = arg;
}

static void add(struct http_answer *a, struct buf *to, struct str text)
{
	if (to->n + text.n > ANSWER_MAX || !buf_adds(to, text))
		a->too_large = true;
}

static void sink_out(struct request *r, struct str text)
{
	struct http_answer *a = r->owner;

	add(a, &a->out, text);
}

static void sink_err(struct request *r, struct str line)
{
	struct http_answer *a = r->owner;

	add(a, &a->err, line);
}

static void send_answer(struct control *c, struct http_answer *a, int exit)
{
	a->exit = exit;
	if (c->http_answer)
		c->http_answer(c->http_arg, a);
	else
		http_answer_free(a);
}

static void sink_done(struct request *r, int exit)
{
	send_answer(r->c, r->owner, exit);
}

static const struct sink http_sink = { sink_out, sink_err, NULL, sink_done, NULL, NULL };

static void run(struct control *c, struct http_ask *q, struct http_answer *a)
{
	struct rstr *session = rstr_new(STR_LIT("http"));
	struct request *r =
	    session ? request_new(c, &http_sink, a, q->who, session, q->role) : NULL;

	rstr_unref(session);
	if (!r) {
		buf_addz(&a->err, "no memory for this command");
		send_answer(c, a, EXIT_REFUSED);
	} else if (q->metrics) {
		metrics_write(r);
	} else {
		request_start(r, q->words, q->nwords);
	}
}

void control_http(struct control *c, struct http_ask *q)
{
	struct http_answer *a = calloc(1, sizeof *a);

	OBJ_CHECK(c, CONTROL_MAGIC);
	if (!a)
		fatal("no memory for an answer");
	a->id = q->id;
	buf_init(&a->out);
	buf_init(&a->err);
	run(c, q, a);
	http_ask_free(q);
}
