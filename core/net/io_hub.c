/* A loop's ios: which of them are to be told or to do something at the end of the pass, and which
 * wait for their turn to read. io.c serves them. */
#include <stdlib.h>

#include "core/net/io_priv.h"

struct io_hub *io_hub_new(struct loop *l)
{
	struct io_hub *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->loop = l;
	list_init(&h->line);
	return h;
}

void io_hub_free(struct io_hub *h)
{
	while (h->lingering)
		io_close(h->lingering);
	io_out_free_spare(h);
	free(h);
}

void io_attend(struct io *io, unsigned what)
{
	struct io_hub *h = io->hub;

	if (io->closed)
		return;
	if (what & ATTEND_READ && !list_in(&io->in_line))
		list_add(&h->line, &io->in_line);
	what &= ~(unsigned)ATTEND_READ;
	if (what && !io->attention) {
		io->attend_prev = h->attend_last;
		io->attend_next = NULL;
		if (h->attend_last)
			h->attend_last->attend_next = io;
		else
			h->attend_first = io;
		h->attend_last = io;
		h->attending++;
	}
	io->attention |= what;
}

void io_unattend(struct io *io)
{
	struct io_hub *h = io->hub;

	if (!io->attention)
		return;
	io->attention = 0;
	h->attending--;
	if (io->attend_prev)
		io->attend_prev->attend_next = io->attend_next;
	else
		h->attend_first = io->attend_next;
	if (io->attend_next)
		io->attend_next->attend_prev = io->attend_prev;
	else
		h->attend_last = io->attend_prev;
}
