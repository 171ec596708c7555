/* The http thread: only the wiring; what it does is in core/control/http.c. The socket is bound
 * before the user is changed, and by the control thread at a reload. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/control/http.h"
#include "core/mta.h"

static struct http *http(struct member *me)
{
	return me->state;
}

static void env_ask(void *arg, struct http_ask *q)
{
	struct member *me = arg;
	mta_post(me, me->mta->control, (struct post){ .fn = control_post_http, .p = q });
}

void http_post_answer(struct member *to, struct post *p)
{
	http_reply(http(to), p->p);
}

void http_post_conf(struct member *to, struct post *p)
{
	http_conf(http(to), p->p);
	conf_unref(p->p);
	http_listen(http(to), (int)p->a);
}

bool mta_http_at(const struct conf *c, struct endpoint *at)
{
	if (!c || !c->mta.http_port)
		return false;
	*at = c->mta.http_address;
	endpoint_set_port(at, (uint16_t)c->mta.http_port);
	return true;
}

bool mta_http_bind(const struct conf *was, const struct conf *now, struct listener_move *move,
		   int *fd, struct errbuf *e)
{
	struct endpoint from, at;
	bool had = mta_http_at(was, &from);

	*fd = HTTP_KEEP;
	if (!mta_http_at(now, &at)) {
		*fd = had ? HTTP_CLOSE : HTTP_KEEP;
		return true;
	}
	if (had && endpoint_port(&from) == endpoint_port(&at) && endpoint_same_ip(&from, &at))
		return true;
	*fd = listener_move_bind(move, &at, e);
	return *fd >= 0;
}

void mta_http_wire(struct member *me)
{
	struct http_env env = { .arg = me, .ask = env_ask };
	me->state = http_new(me->loop, &env, me->mta->conf);
	http_listen(http(me), me->mta->http_fd);
}

void mta_http_finish(struct member *me)
{
	http_free(http(me));
}
