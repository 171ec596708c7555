/* Messages of our own that the spool refused (a disk that can't be written, no memory): a client
 * would hear 451 and come again, a report, a forwarded mail or an alarm has nobody behind it. So
 * they are kept here and tried again, with longer and longer pauses. Spool thread. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/mta.h"

/* Reports and forwarded mail over this wait for the next start: their recipients are still
 * RCPT_REPORT on disk. */
enum { OWN_MOST = 1000, PUT_A_PASS = 32 };
static const us_t WAIT_LEAST = 2 * US_PER_S, WAIT_MOST = US_PER_MIN;

struct own_mail {
	struct message **v; /* of OWN_MOST, a ring */
	size_t first, n;
	size_t left; /* of this try: put in parts */
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
		log_error("spool: message %llx of our own is refused, and %d wait; %s",
			  (unsigned long long)m->id, OWN_MOST,
			  m->nreports_rcpts ? "it is made again after the next start"
					    : "this alarm's mail is not sent");
		message_free(m);
		return;
	}
	/* The first that is refused ends a try, and the next one is later. */
	if (!o->n || now >= o->at) {
		o->left = 0;
		o->wait = o->wait ? o->wait * 2 : WAIT_LEAST;
		if (o->wait > WAIT_MOST)
			o->wait = WAIT_MOST;
		o->at = now + o->wait;
	}
	o->v[(o->first + o->n++) % OWN_MOST] = m;
}

void mta_own_taken(struct own_mail *o)
{
	if (!o->n)
		o->wait = 0;
}

bool mta_own_step(struct own_mail *o, us_t now, void (*put)(void *arg, struct message *m),
		  void *arg)
{
	if (!o->left && o->n && now >= o->at)
		o->left = o->n;
	for (int i = 0; i < PUT_A_PASS && o->left; i++) {
		struct message *m = o->v[o->first];

		o->first = (o->first + 1) % OWN_MOST;
		o->n--;
		o->left--;
		put(arg, m); /* may refuse it at once, which ends the try */
	}
	return o->left > 0;
}

void mta_own_drop(struct own_mail *o)
{
	while (o->n)
		message_free(o->v[(o->first + --o->n) % OWN_MOST]);
}
