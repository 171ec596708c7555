#include "core/spool/message.h"

#include <stdlib.h>

#include "core/base/log.h"

#define MESSAGE_MAGIC	    0x6D657373u
#define MESSAGE_ARENA_BYTES 1024 /* an envelope with one recipient and its texts fits */

struct message *message_new(void)
{
	struct message *m = calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->magic = MESSAGE_MAGIC;
	arena_init(&m->arena, MESSAGE_ARENA_BYTES);
	m->sender = m->job = m->user = m->route = m->envid = m->client = STR_LIT("");
	return m;
}

void message_free(struct message *m)
{
	if (!m)
		return;
	OBJ_CHECK(m, MESSAGE_MAGIC);
	m->magic = 0;
	body_unref(m->body);
	arena_free(&m->arena);
	free(m);
}
