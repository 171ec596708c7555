#include "core/smtp/submits.h"

#include <stdlib.h>

bool submits_init(struct submits *s, struct mailbox *box, size_t credits)
{
	*s = (struct submits){ .box = box };
	s->refused = calloc(credits ? credits : 1, sizeof *s->refused);
	return s->refused != NULL;
}

void submits_free(struct submits *s)
{
	free(s->refused);
}

void submits_pass(struct submits *s, uint64_t session, struct message *m, us_t now)
{
	struct commit_request r = { session, m, now };

	if (!mailbox_push(s->box, &r)) {
		message_free(m);
		s->refused[s->nrefused++] = session; /* has room: each of them holds a credit */
		return;
	}
	if (!s->waiting++)
		s->oldest = now;
}

void submits_answered(struct submits *s, us_t now)
{
	s->waiting--;
	s->oldest = s->waiting ? now : 0;
}

bool submits_refused(struct submits *s, uint64_t *session)
{
	if (!s->nrefused)
		return false;
	*session = s->refused[--s->nrefused];
	return true;
}
