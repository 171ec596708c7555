/* A loop's ios: which of them are to be told or to do something at the end of the pass, and which
 * wait for their turn to read. io.c serves them. */
#include <stdlib.h>

#include "core/net/io_priv.h"

struct io_hub *io_hub_new(struct loop *l)
{
	struct io_hub *h = calloc(1, sizeof *h);

	if (h)
		h->loop = l;
	return h;
}

void io_hub_free(struct io_hub *h)
{
	while (h->lingering)
		io_close(h->lingering);
	io_out_free_spare(h);
	free(h);
}

static void line_up(struct io *io)
{
	struct io_hub *h = io->hub;

	if (io->in_line)
		return;
	io->in_line = true;
	io->line_prev = h->line_last;
	io->line_next = NULL;
	if (h->line_last)
		h->line_last->line_next = io;
	else
		h->line_first = io;
	h->line_last = io;
}

void io_leave_line(struct io *io)
{
	struct io_hub *h = io->hub;

	if (!io->in_line)
		return;
	io->in_line = false;
	if (io->line_prev)
		io->line_prev->line_next = io->line_next;
	else
		h->line_first = io->line_next;
	if (io->line_next)
		io->line_next->line_prev = io->line_prev;
	else
		h->line_last = io->line_prev;
}

void io_attend(struct io *io, unsigned what)
{
	struct io_hub *h = io->hub;

	if (io->closed)
		return;
	if (what & ATTEND_READ)
		line_up(io);
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
