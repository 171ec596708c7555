/* Messages of our own that the spool refused (a disk that can't be written, no memory): a client
 * would hear 451 and come again, a report, a forwarded mail or an alarm has nobody behind it. So
 * they are kept here and tried again, with longer and longer pauses. Spool thread. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/mta.h"

/* What is over this waits for the next start: its recipients are still RCPT_REPORT on disk. */
enum { OWN_MOST = 1000 };
static const us_t WAIT_LEAST = 2 * US_PER_S, WAIT_MOST = US_PER_MIN;

struct own_mail {
	struct message **v; /* of OWN_MOST */
	size_t n;
	us_t wait, at;
};

struct own_mail *mta_own_new(void)
{
	struct own_mail *o = calloc(1, sizeof *o);

	if (!o || !(o->v = calloc(OWN_MOST, sizeof *o->v)))
		fatal("no memory for mail of our own");
	return o;
}

void mta_own_refused(struct own_mail *o, us_t now, struct message *m)
{
	if (o->n == OWN_MOST) {
		log_error("spool: message %llx of our own is refused, and %d wait; it is made "
			  "again after the next start",
			  (unsigned long long)m->id, OWN_MOST);
		message_free(m);
		return;
	}
	if (!o->n) {
		o->wait = o->wait ? o->wait * 2 : WAIT_LEAST;
		if (o->wait > WAIT_MOST)
			o->wait = WAIT_MOST;
		o->at = now + o->wait;
	}
	o->v[o->n++] = m;
}

void mta_own_taken(struct own_mail *o)
{
	if (!o->n)
		o->wait = 0;
}

void mta_own_step(struct own_mail *o, us_t now, void (*put)(void *arg, struct message *m),
		  void *arg)
{
	size_t n = o->n;
	struct message *again[OWN_MOST];

	if (!n || now < o->at)
		return;
	for (size_t i = 0; i < n; i++)
		again[i] = o->v[i];
	o->n = 0;
	for (size_t i = 0; i < n; i++)
		put(arg, again[i]);
}

void mta_own_drop(struct own_mail *o)
{
	while (o->n)
		message_free(o->v[--o->n]);
}
