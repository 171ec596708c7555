/* Posts: the matrix of small mailboxes between all members. A post carries the function that runs
 * on the receiving thread. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/mta.h"

enum { POST_CAPACITY = 512, POST_BUDGET = 256, POST_PRIORITY = 10 };

/* Of one pass; a post is some tenths of a ms at most. */
static const us_t POSTS_WITHIN = US_PER_MS;

static struct mailbox **post_slot(struct mta *m, int from, int to)
{
	return &m->posts[(size_t)from * (size_t)m->nmembers + (size_t)to];
}

static struct waker *member_waker(struct member *me)
{
	return me->loop ? loop_waker(me->loop) : NULL;
}

void mta_posts_make(struct mta *m)
{
	m->posts = calloc((size_t)m->nmembers * (size_t)m->nmembers, sizeof(struct mailbox *));
	if (!m->posts)
		fatal("no memory for the mailboxes between %d threads", m->nmembers);
	for (int from = 0; from < m->nmembers; from++) {
		for (int to = 0; to < m->nmembers; to++) {
			struct member *a = &m->members[from], *b = &m->members[to];
			if (from == to || !b->loop)
				continue;
			struct mailbox *box =
			    mailbox_new("posts", sizeof(struct post), POST_CAPACITY,
					member_waker(a), member_waker(b));
			if (!box)
				fatal("no memory for a mailbox from %s to %s", a->name, b->name);
			*post_slot(m, from, to) = box;
		}
	}
}

static int posts_drain(void *arg, struct mailbox *box, int budget)
{
	struct member *me = arg;
	struct post p;
	us_t stop = clock_now_us() + POSTS_WITHIN;
	int n = 0;
	while (n < budget && mailbox_pop(box, &p)) {
		p.fn(me, &p);
		n++;
		if (clock_now_us() >= stop)
			return budget; /* more may wait: in the next pass */
	}
	return n;
}

void mta_posts_wire(struct member *me)
{
	struct mta *m = me->mta;
	for (int i = 0; i < m->nmembers; i++) {
		struct mailbox *in = *post_slot(m, i, me->index),
			       *out = *post_slot(m, me->index, i);
		if (in)
			loop_add_inbox(me->loop, in, POST_PRIORITY, POST_BUDGET, posts_drain, me);
		if (out)
			loop_add_outbox(me->loop, out);
	}
}

void mta_post(struct member *from, struct member *to, struct post p)
{
	if (from == to) { /* already there: run it now, in order with what the caller does */
		p.fn(to, &p);
		return;
	}
	struct mailbox *box = *post_slot(from->mta, from->index, to->index);
	if (!mailbox_push(box, &p))
		fatal("no memory to pass a message from %s to %s", from->name, to->name);
	if (!from->loop)
		mailbox_flush(box);
}

void mta_posts_flush(struct member *from)
{
	struct mta *m = from->mta;
	for (int to = 0; to < m->nmembers; to++) {
		struct mailbox *box = *post_slot(m, from->index, to);
		if (box)
			mailbox_flush(box);
	}
}

struct member *mta_body_worker(struct mta *m, uint64_t key)
{
	return m->workers[key % WORKER_SLOW];
}

void mta_alarm(struct member *from, const char *code, bool on, int severity, const char *target,
	       const char *fmt, ...)
{
	struct alarm_note *a = calloc(1, sizeof *a);
	if (!a)
		return; /* the next occurrence tries again */
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	snprintf(a->code, sizeof a->code, "%s", code);
	a->on = on;
	a->severity = severity;
	a->target = rstr_new(str_of(target));
	a->text = rstr_new(str_of(text));
	mta_post(from, from->mta->control, (struct post){ .fn = control_post_alarm, .p = a });
}
