/* The mail that tells of alarms, on the control thread: handed to the spool like any other, without
 * a reverse-path, and counted as the job stoker/alarms. */
#include <string.h>

#include "core/base/log.h"
#include "core/mta.h"

static bool recipient(struct message *m, struct str address)
{
	struct message_rcpt *r = &m->rcpts[m->nrcpts];
	const char *at = memrchr(address.p, '@', address.n);
	char normal[DOMAIN_SIZE];

	if (!at || !domain_normal((struct str){ at + 1, address.n - (size_t)(at + 1 - address.p) },
				  normal))
		return false;
	r->address = arena_str(&m->arena, address);
	r->domain = arena_str(&m->arena, str_of(normal));
	r->notify = NOTIFY_NEVER;
	m->nrcpts++;
	return r->address.p && r->domain.p;
}

static bool recipients(struct message *m, const struct conf_alarm *a)
{
	m->rcpts = arena_alloc(&m->arena, (size_t)a->nmail_to * sizeof *m->rcpts);
	for (int i = 0; m->rcpts && i < a->nmail_to; i++)
		if (!recipient(m, str_of(a->mail_to[i])))
			return false;
	return m->rcpts != NULL;
}

static void write_body(const struct conf *c, const struct message *m, int n, struct str text,
		       struct buf *out)
{
	char date[CLOCK_RFC5322_SIZE];

	clock_rfc5322(m->received_at, date);
	buf_addf(out, "From: Stoker <postmaster@%s>\r\nTo: ", c->mta.hostname);
	for (int i = 0; i < c->alarm.nmail_to; i++)
		buf_addf(out, "%s<%s>", i ? ",\r\n " : "", c->alarm.mail_to[i]);
	buf_addf(out,
		 "\r\nSubject: %d alarm%s at %s\r\nDate: %s\r\nMessage-ID: <%llx.alarm@%s>\r\n"
		 "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
		 "Content-Type: text/plain; charset=us-ascii\r\n\r\n",
		 n, n == 1 ? "" : "s", c->mta.hostname, date, (unsigned long long)m->id,
		 c->mta.hostname);
	buf_adds(out, text);
	buf_addz(out, "\r\n`stoker alarms` lists them; `stoker ack NUMBER` ends these mails about "
		      "one.\r\n");
}

static struct message *make(struct mta *mta, const struct conf *c, int n, struct str text)
{
	struct message *m = message_new();
	struct buf head, body;
	uint64_t charged;

	if (!m)
		return NULL;
	buf_init(&head);
	buf_init(&body);
	m->id = spool_new_id(mta->spool);
	m->received_at = clock_now_us();
	m->dsn = true; /* never reported on */
	m->job = arena_str(&m->arena, STR_LIT("stoker/alarms"));
	m->user = arena_str(&m->arena, STR_LIT("stoker"));
	m->client = arena_str(&m->arena, STR_LIT("local"));
	m->route = arena_str(&m->arena, str_of(c->routes[c->mta.default_route].name));
	m->priority = 100;
	write_body(c, m, n, text, &body);
	charged = !buf_failed(&body) && body_budget_take(body.n) ? body.n : 0;
	if (recipients(m, &c->alarm) && !buf_failed(&body))
		m->body = body_new_memory(&head, &body, charged, true, false);
	buf_free(&body);
	if (m->body)
		return m;
	message_free(m);
	return NULL;
}

void mta_alarm_mail(struct member *control, const struct conf *c, int n, struct str text)
{
	struct message *m =
	    c->mta.default_route == CONF_NONE ? NULL : make(control->mta, c, n, text);

	if (!m) {
		log_error("a mail about %d alarms could not be made", n);
		return;
	}
	mta_post(control, control->mta->spooler, (struct post){ .fn = spool_post_message, .p = m });
}
