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

bool mta_http_bind(const struct conf *was, const struct conf *now, int *fd, struct errbuf *e)
{
	struct endpoint at = now->mta.http_address;
	bool had = was && was->mta.http_port;

	*fd = HTTP_KEEP;
	if (!now->mta.http_port) {
		*fd = had ? HTTP_CLOSE : HTTP_KEEP;
		return true;
	}
	if (had && was->mta.http_port == now->mta.http_port &&
	    endpoint_same_ip(&was->mta.http_address, &at))
		return true;
	endpoint_set_port(&at, (uint16_t)now->mta.http_port);
	*fd = listener_bind(&at, e);
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
