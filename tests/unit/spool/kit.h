/* What the spool's tests share: a throw-away folder, messages, and a spool that is opened and
 * closed in a line. Each test is a program of its own, so this is a header of static functions. */
#ifndef STOKER_TEST_SPOOL_KIT_H
#define STOKER_TEST_SPOOL_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <ftw.h>

#include "core/base/log.h"
#include "core/spool/spool.h"

#define UNUSED __attribute__((unused))

struct kit {
	char dir[128], state[160];
	struct spool_opts o;
	struct spool *s;
	struct errbuf e;
	us_t now;
};

struct got { /* what flush and load hand out */
	struct message *v[4096];
	const struct err *err[4096];
	size_t n;
};

UNUSED static void kit_init(struct kit *k)
{
	*k = (struct kit){ .now = 1700000000 * US_PER_S };
	snprintf(k->dir, sizeof k->dir, "%s/stoker-spool-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(k->dir));
	snprintf(k->state, sizeof k->state, "%s/state", k->dir);
	k->o = (struct spool_opts){ .dir = k->dir,
				    .state_dir = k->state,
				    .segment_bytes = 256 * 1024,
				    .events_max = 1 << 20,
				    .map_bytes = 64 << 20 };
	log_set_level(LOG_LEVEL_ERROR);
}

UNUSED static void kit_open(struct kit *k)
{
	const struct err *err = spool_open(&k->o, &k->s, &k->e);

	if (err)
		fail_msg("spool_open: %s: %s", err->name, k->e.text);
}

UNUSED static void kit_close(struct kit *k)
{
	spool_close(k->s);
	k->s = NULL;
}

UNUSED static void kit_reopen(struct kit *k)
{
	kit_close(k);
	kit_open(k);
}

/* Without programs of their own for it: test_crash does this thousands of times. */
UNUSED static int kit_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

UNUSED static void kit_remove(const char *dir)
{
	if (access(dir, F_OK) == 0)
		assert_int_equal(nftw(dir, kit_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

UNUSED static void kit_done(struct kit *k)
{
	if (k->s)
		kit_close(k);
	kit_remove(k->dir);
}

/* The same spool in a folder beside it. */
UNUSED static void kit_beside(const struct kit *from, struct kit *to, const char *suffix)
{
	*to = *from;
	to->s = NULL;
	assert_true(snprintf(to->dir, sizeof to->dir, "%s%s", from->dir, suffix) <
		    (int)sizeof to->dir);
	snprintf(to->state, sizeof to->state, "%s/state", to->dir);
	to->o.dir = to->dir;
	to->o.state_dir = to->state;
}

static struct {
	size_t from_n;
	const char *to;
} kit_copying;

UNUSED static int kit_copy_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char to[512], bytes[65536];
	FILE *in, *out;
	size_t n;

	(void)ftw;
	assert_true(snprintf(to, sizeof to, "%s%s", kit_copying.to, path + kit_copying.from_n) <
		    (int)sizeof to);
	if (type == FTW_D)
		return mkdir(to, st->st_mode & 0777);
	in = fopen(path, "r"); /* not open and write: a test may watch those */
	out = fopen(to, "w");
	assert_true(in && out);
	while ((n = fread(bytes, 1, sizeof bytes, in)))
		assert_int_equal(fwrite(bytes, 1, n, out), n);
	assert_int_equal(ferror(in), 0);
	fclose(in);
	return fclose(out);
}

/* A copy of the files as a process that dies now leaves them. */
UNUSED static void kit_copy(const struct kit *from, struct kit *to)
{
	kit_beside(from, to, "-copy");
	kit_remove(to->dir);
	kit_copying.from_n = strlen(from->dir);
	kit_copying.to = to->dir;
	assert_int_equal(nftw(from->dir, kit_copy_one, 16, FTW_PHYS), 0);
}

UNUSED static struct body *kit_body(const char *fill, size_t n)
{
	struct buf head, data;
	struct body *b;

	buf_init(&head);
	buf_init(&data);
	buf_addz(&head, "Received: by test\r\n");
	while (data.n < n)
		buf_addz(&data, fill);
	buf_addz(&data, "\r\n");
	assert_true(body_budget_take(head.n + data.n));
	b = body_new_memory(&head, &data, head.n + data.n, false, false);
	assert_non_null(b);
	return b;
}

UNUSED static struct message *kit_message(struct kit *k, uint32_t nrcpts, size_t body_bytes)
{
	struct message *m = message_new();

	assert_non_null(m);
	m->id = spool_new_id(k->s);
	assert_true(m->id > 0);
	m->received_at = k->now;
	m->sender = STR_LIT("sender@example.org");
	m->job = STR_LIT("job-1");
	m->user = STR_LIT("local");
	m->route = STR_LIT("pool-a");
	m->client = STR_LIT("127.0.0.1");
	m->rcpts = arena_alloc(&m->arena, nrcpts * sizeof *m->rcpts);
	m->nrcpts = nrcpts;
	for (uint32_t i = 0; i < nrcpts; i++) {
		m->rcpts[i].address = str_of(
		    arena_fmt(&m->arena, "r%u.%llu@example.net", i, (unsigned long long)m->id));
		m->rcpts[i].domain = STR_LIT("example.net");
	}
	m->body = kit_body("body line\r\n", body_bytes);
	return m;
}

UNUSED static void kit_take(void *arg, struct message *m, const struct err *err)
{
	struct got *g = arg;

	assert_true(g->n < sizeof g->v / sizeof g->v[0]);
	g->v[g->n] = m;
	g->err[g->n++] = err;
}

UNUSED static void kit_took(void *arg, struct message *m)
{
	kit_take(arg, m, NULL);
}

UNUSED static void got_free(struct got *g)
{
	for (size_t i = 0; i < g->n; i++)
		message_free(g->v[i]);
	g->n = 0;
}

/* Accepts one message; returns its id. */
UNUSED static uint64_t kit_accept_message(struct kit *k, struct message *m)
{
	static struct got g;
	uint64_t id = m->id;

	assert_true(spool_add(k->s, m));
	if (spool_flush(k->s, k->now, kit_take, &g, &k->e))
		fail_msg("spool_flush: %s", k->e.text);
	got_free(&g);
	return id;
}

UNUSED static uint64_t kit_accept(struct kit *k, uint32_t nrcpts, size_t body_bytes)
{
	return kit_accept_message(k, kit_message(k, nrcpts, body_bytes));
}

UNUSED static void kit_commit(struct kit *k, bool sync)
{
	if (spool_commit(k->s, k->now, sync, &k->e))
		fail_msg("spool_commit: %s", k->e.text);
}

UNUSED static void kit_outcome(struct kit *k, uint64_t id, uint32_t rcpt, enum rcpt_state state,
			       enum event_type as)
{
	struct outcome o = { .message = id,
			     .rcpt = rcpt,
			     .state = state,
			     .as = as,
			     .attempts = 1,
			     .due = state == RCPT_QUEUED ? k->now + US_PER_MIN : 0,
			     .reply = STR_LIT("250 2.0.0 words of the remote"),
			     .enhanced = "2.0.0" };
	struct event e = { .at = k->now,
			   .type = as,
			   .message = id,
			   .rcpt = rcpt,
			   .recipient = STR_LIT("r@example.net"),
			   .reply = o.reply };

	assert_true(spool_outcome(k->s, &o, as == EVENT_RECEIVED ? NULL : &e));
}

UNUSED static void kit_load(struct kit *k, struct got *g)
{
	g->n = 0;
	while (spool_load(k->s, 100, kit_took, g))
		;
}

UNUSED static void kit_check_invariant(struct kit *k, uint64_t queued)
{
	struct spool_totals t;

	spool_totals(k->s, &t);
	assert_int_equal(t.accepted, t.delivered + t.bounced + t.expired + t.removed + queued);
}

/* Upkeep until nothing moves any more. */
UNUSED static void kit_settle(struct kit *k)
{
	for (int i = 0; i < 1000; i++) {
		bool more = spool_step(k->s, k->now);

		if (spool_wants_segment(k->s) && !spool_prepare_segment(k->s, &k->e))
			more = true;
		if (spool_dirty(k->s)) {
			kit_commit(k, true);
			more = true;
		}
		if (!more)
			return;
	}
	fail_msg("the spool does not come to rest");
}

#endif
