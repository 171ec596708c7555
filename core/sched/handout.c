/* What is handed out: making and freeing transactions, session specs and reports. Any thread (plain
 * data). */
#include "core/sched/handout.h"
#include "core/sched/sched.h"

#include <stdlib.h>

enum { TXN_STRINGS = 160, RCPT_STRINGS = 64 };

struct transaction *transaction_new(uint32_t nrcpts)
{
	struct arena arena;
	struct transaction *t;

	/* The transaction lies in its own arena: one block from malloc does for most. */
	arena_init(&arena, sizeof *t + TXN_STRINGS + nrcpts * (sizeof *t->rcpts + RCPT_STRINGS));
	t = arena_alloc(&arena, sizeof *t);
	if (!t)
		return NULL;
	t->rcpts = arena_alloc(&arena, nrcpts * sizeof *t->rcpts);
	if (!t->rcpts) {
		arena_free(&arena);
		return NULL;
	}
	t->nrcpts = nrcpts;
	t->arena = arena;
	return t;
}

void transaction_free(struct transaction *t)
{
	struct arena arena;

	if (!t)
		return;
	for (uint32_t i = 0; i < t->nrcpts; i++)
		rstr_unref(t->rcpts[i].reply);
	rstr_unref(t->queue);
	rstr_unref(t->place);
	rstr_unref(t->vmta);
	rstr_unref(t->source_ip);
	rstr_unref(t->mx);
	rstr_unref(t->mx_ip);
	rstr_unref(t->tls);
	rstr_unref(t->esmtp);
	patterns_unref(t->patterns);
	rstr_unref(t->unsigned_by);
	arena = t->arena;
	arena_free(&arena);
}

void session_spec_free(struct session_spec *s)
{
	if (!s)
		return;
	for (int i = 0; i < s->nhosts; i++) {
		free(s->hosts[i].name);
		free(s->hosts[i].address);
	}
	free(s->hosts);
	rstr_unref(s->lane);
	rstr_unref(s->site);
	rstr_unref(s->vmta);
	rstr_unref(s->ehlo4);
	rstr_unref(s->ehlo6);
	patterns_unref(s->patterns);
	rstr_unref(s->auth_user);
	rstr_unref(s->auth_password);
	free(s);
}

void dsn_job_free(struct dsn_job *j)
{
	struct arena arena;

	if (!j)
		return;
	arena = j->arena;
	arena_free(&arena);
}
