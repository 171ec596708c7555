/* Thousands of sessions with receivers that misbehave at random, a scheduler that grants, recalls
 * and closes at random, and bodies that come late or not at all. The promise: each transaction
 * comes back exactly once; each recipient has one result or none; a result says the truth; no RCPT
 * is written without a permit; nothing crashes and nothing leaks. */
#include <stdarg.h>
#include <stddef.h>
#include <assert.h>
#include <setjmp.h>

#include "tests/unit/smtp/test_client_world.h"

enum { SESSIONS = 4000, AT_ONCE = 150, IDS = 400000, RCPTS = 400000 };

struct chaos {
	int opened, down;
	int seen_up;
	uint64_t done, delivered, deferred, bounced, untried, maybe_twice;
	struct {
		bool is_txn, limited, returned,
		    late; /* late: reached the client after its session's DOWN */
		uint32_t granted, used, seen;
		int held; /* sessions: transactions not yet back */
		bool over;
		uint64_t txn; /* sessions: the last one given */
	} id[IDS];
	uint32_t next_rcpt;
	uint32_t txn_of[RCPTS];
	uint8_t got[RCPTS];
	struct body *small;
};

static struct chaos *of(struct world *w)
{
	return w->user;
}

static bool one_in(struct world *w, uint64_t n)
{
	return !rng_below(&w->rng, n);
}

/* ---- the receivers ---- */

/* RCPT TO:<n17@x> */
static uint32_t number_of(struct str line)
{
	return line.n > 10 ? (uint32_t)strtoul(line.p + 10, NULL, 10) : 0;
}

static int say(char out[1024], const char *text, int what)
{
	snprintf(out, 1024, "%s", text);
	return what;
}

static int at_end_of_data(struct world *w, const char *usual, char out[1024], bool *took)
{
	/* The worst that can be: it took the message and we are not told. */
	*took = true;
	switch (rng_below(&w->rng, 14)) {
	case 0:
		return say(out, "", DO_CLOSE);
	case 1:
		return say(out, "", DO_RESET);
	case 2:
		return say(out, "what?\r\n", DO_REPLY);
	case 3:
		return say(out, "", DO_HOLD);
	case 4:
		return say(out, "354 even more\r\n", DO_REPLY);
	case 5:
		*took = false;
		return say(out, "451-4.3.0 not\r\n451 4.3.0 now\r\n", DO_REPLY);
	case 6:
		*took = false;
		return say(out, "554 5.7.1 never\r\n", DO_REPLY);
	case 7:
		*took = false;
		return say(out, "421 4.3.2 bye\r\n", DO_CLOSE);
	case 8:
		return say(out, "250 2.0.0 Ok\r\n", DO_CLOSE);
	case 9:
		return say(out, "250 2.0.0 Ok\r\n", DO_RESET);
	case 10:
		return say(out, "250-2.0.0 yes\n250 indeed\n", DO_REPLY);
	default:
		*took = atoi(usual) == 250;
		snprintf(out, 1024, "%s\r\n", usual);
		return DO_REPLY;
	}
}

static int misbehave(struct world *w, const char *usual, char out[1024])
{
	switch (rng_below(&w->rng, 12)) {
	case 0:
		return say(out, "", DO_CLOSE);
	case 1:
		return say(out, "", DO_RESET);
	case 2:
		return say(out, "", DO_HOLD);
	case 3:
		return say(out, "421 4.3.2 enough\r\n", DO_CLOSE);
	case 4:
		return say(out, "421 4.3.2 enough\r\n", DO_REPLY);
	case 5:
		return say(out, "I am a teapot\r\n", DO_REPLY);
	case 6:
		return say(out, "250-one\r\n550 two\r\n", DO_REPLY);
	case 7:
		return say(out, "450", DO_REPLY); /* no line end */
	case 8:
		return say(out, "451 4.3.0 later\r\n", DO_REPLY);
	case 9:
		snprintf(out, 1024, "%s\r\n%s\r\n", usual, usual);
		return DO_REPLY;
	default:
		return say(out, "550 5.7.1 no\r\n", DO_REPLY);
	}
}

static int answer(struct rconn *c, struct str cmd, const char *usual, char out[1024], bool *took)
{
	struct world *w = c->r->w;

	if (str_istarts(cmd, "RCPT")) {
		uint32_t n = number_of(cmd);

		if (n < RCPTS)
			of(w)->id[of(w)->txn_of[n]].seen++;
	}
	if (str_eqz(cmd, "."))
		return at_end_of_data(w, usual, out, took);
	if (str_eqz(cmd, "BODY"))
		return one_in(w, 40)
			   ? say(out, one_in(w, 2) ? "552 5.3.4 too much\r\n" : "", DO_CLOSE)
			   : DO_REPLY;
	if (str_istarts(cmd, "QUIT"))
		return say(out, one_in(w, 2) ? "221 bye\r\n" : "", DO_CLOSE);
	if (one_in(w, 15))
		return misbehave(w, usual, out);
	snprintf(out, 1024, "%s\r\n", usual);
	return DO_REPLY;
}

static void delivered(struct world *w)
{
	for (int i = 0; i < w->nreceivers; i++) {
		struct buf *b = &w->receivers[i]->got;
		struct str rest = buf_str(b), word;

		while (str_split(&rest, ' ', &word)) {
			size_t at = 0;

			while (at < word.n && word.p[at] != 'n')
				at++;
			if (at < word.n)
				of(w)->got[strtoul(word.p + at + 1, NULL, 10)]++;
		}
		buf_clear(b);
		buf_clear(&w->receivers[i]->said);
	}
}

/* ---- the scheduler ---- */

static struct transaction *some_txn(struct world *w)
{
	struct chaos *x = of(w);
	uint32_t n = one_in(w, 4) ? 1 + (uint32_t)rng_below(&w->rng, 12) : 1;
	struct transaction *t = transaction_new(n);

	if (!t || x->next_rcpt + n >= RCPTS || w->next_id + 1 >= IDS)
		fatal("test: out of numbers");
	t->id = ++w->next_id;
	t->sender = arena_str(&t->arena, STR_LIT("from@here.example"));
	x->id[t->id].is_txn = true;
	x->id[t->id].limited = one_in(w, 2);
	t->permit_until = US_NEVER;
	if (x->id[t->id].limited) {
		t->permits = (uint32_t)rng_below(&w->rng, n + 1);
		t->permit_from = clock_now_us() + (us_t)rng_below(&w->rng, 3000);
		t->permit_until = t->permit_from + (us_t)rng_below(&w->rng, 10000);
		x->id[t->id].granted = t->permits;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t number = x->next_rcpt++;
		char *a = arena_fmt(&t->arena, "n%u@x", number);

		x->txn_of[number] = (uint32_t)t->id;
		t->rcpts[i].index = i;
		t->rcpts[i].address = str_of(a);
	}
	if (one_in(w, 10))
		t->body = body_new_file(body_file_new(-1, NULL, NULL), 0, w->file.n, true, false);
	else if (!one_in(w, 5))
		t->body = body_ref(x->small);
	t->smtputf8 = one_in(w, 30);
	return t;
}

static void post(struct world *w, struct to_io m)
{
	world_post(w, (struct job){ .type = JOB_TO_IO, .to_io = m });
}

static void maybe_give(struct world *w, uint64_t session)
{
	struct chaos *x = of(w);

	if (x->id[session].over || x->id[session].held >= 2 || one_in(w, 4))
		return;
	struct transaction *t = some_txn(w);

	t->session = session;
	x->id[session].held++;
	x->id[session].txn = t->id;
	post(w, (struct to_io){ .type = TO_IO_TXN, .session = session, .txn = t });
	if (one_in(w, 20))
		post(w,
		     (struct to_io){ .type = TO_IO_RECALL, .session = session, .number = t->id });
}

static void open_one(struct world *w)
{
	struct chaos *x = of(w);
	struct session_spec *p = spec_new(w);
	us_t wait = (us_t)(40 + rng_below(&w->rng, 100)) * US_PER_MS;
	struct transaction *t = some_txn(w);

	x->opened++;
	p->smtp_pipelining = !one_in(w, 4);
	p->use_rs = !one_in(w, 20);
	p->max_msg_per_connection = 1 + (int)rng_below(&w->rng, 12);
	p->greeting_timeout = p->command_timeout = p->data_done_timeout = wait;
	p->data_timeout = p->idle_timeout = wait / 2;
	t->session = p->session;
	x->id[p->session].held = 1;
	x->id[p->session].txn = t->id;
	post(w, (struct to_io){ .type = TO_IO_OPEN, .session = p->session, .spec = p, .txn = t });
}

static void on_ask(struct world *w, const struct from_io *m)
{
	struct chaos *x = of(w);
	uint32_t n = 1 + (uint32_t)rng_below(&w->rng, m->n);
	us_t until = clock_now_us() + (us_t)rng_below(&w->rng, 20000) - 1000;

	assert(m->n > 0);
	if (one_in(w, 10)) {
		post(w, (struct to_io){
			    .type = TO_IO_RECALL, .session = m->session, .number = m->number });
		return;
	}
	x->id[m->number].granted = x->id[m->number].used + n;
	post(w, (struct to_io){ .type = TO_IO_GRANT,
				.session = m->session,
				.number = m->number,
				.n = n,
				.until = until });
}

static void on_done(struct world *w, const struct from_io *m)
{
	struct chaos *x = of(w);
	struct transaction *t = m->txn;

	assert(t && t->id == m->number && t->session == m->session);
	assert(!x->id[t->id].returned);
	assert(!x->id[m->session].over || x->id[t->id].late);
	x->id[t->id].returned = true;
	x->id[m->session].held--;
	x->done++;
	delivered(w);
	for (uint32_t i = 0; i < t->nrcpts; i++) {
		const struct txn_rcpt *r = &t->rcpts[i];
		int got = x->got[strtoul(r->address.p + 1, NULL, 10)];
		bool ok = r->tried && r->verdict.class == CLASS_OK;

		if ((!ok && got && !r->maybe_twice) || (ok && !got))
			print_error("session %d, %s: got %d, told %s, step %s\n", (int)t->session,
				    r->address.p, got, r->reply ? r->reply->text : "untried",
				    smtp_step_name(r->step));
		assert(got <= 1);
		assert(r->tried == (r->reply != NULL));
		assert(r->tried || !r->maybe_twice);
		assert(!ok || got);
		assert(ok || !got || r->maybe_twice);
		x->delivered += ok;
		x->untried += !r->tried;
		x->bounced += r->verdict.permanent;
		x->deferred += r->tried && !ok && !r->verdict.permanent;
		x->maybe_twice += r->maybe_twice;
	}
	if (x->id[t->id].limited)
		assert(x->id[t->id].seen <= x->id[t->id].used);
	maybe_give(w, m->session);
}

static void on_message(struct world *w, const struct from_io *m)
{
	struct chaos *x = of(w);

	switch (m->type) {
	case FROM_IO_UP:
		x->seen_up++;
		maybe_give(w, m->session);
		break;
	case FROM_IO_ASK:
		on_ask(w, m);
		break;
	case FROM_IO_USED:
		x->id[m->number].used += m->n;
		assert(x->id[m->number].limited &&
		       x->id[m->number].used <= x->id[m->number].granted);
		break;
	case FROM_IO_DONE:
		on_done(w, m);
		break;
	case FROM_IO_DOWN:
		assert(!x->id[m->session].over);
		x->id[m->session].over = true;
		x->down++;
		if (x->opened < SESSIONS)
			open_one(w);
		break;
	case FROM_IO_ADDRESS_FAILED:
		assert(m->reply && m->host);
		break;
	case FROM_IO_SLOTS:
	case FROM_IO_FENCED:
		break;
	}
	log_clear(w);
}

static void before_job(struct world *w, struct job *j)
{
	struct chaos *x = of(w);

	if (j->type == JOB_TO_IO && j->to_io.type == TO_IO_TXN)
		x->id[j->to_io.txn->id].late = x->id[j->to_io.session].over;
}

static bool all_over(struct world *w, const void *arg)
{
	(void)arg;
	/* The scheduler's other whims: a session is closed, a transaction recalled, out of the
	 * blue. */
	uint64_t s = 1 + rng_below(&w->rng, w->next_id);

	if (!of(w)->id[s].is_txn && !of(w)->id[s].over && one_in(w, 3)) {
		if (one_in(w, 2))
			post(w, (struct to_io){ .type = TO_IO_CLOSE, .session = s });
		else
			post(w, (struct to_io){ .type = TO_IO_RECALL,
						.session = s,
						.number = of(w)->id[s].txn });
	}
	return of(w)->down == SESSIONS && !w->njobs;
}

static void whatever_happens_the_ledger_is_right(void **state)
{
	struct world *w = world_new();
	struct chaos *x = calloc(1, sizeof *x);
	static const char *const ehlo[] = { EHLO_ALL, EHLO_NONE,
					    "250-x\r\n250-PIPELINING\r\n250 SMTPUTF8" };

	(void)state;
	assert_non_null(x);
	x->next_rcpt = 1;
	w->user = x;
	/* What the clock does is not in the seed, but most of what goes wrong is. */
	rng_seed(&w->rng, getenv("CHAOS_SEED") ? strtoull(getenv("CHAOS_SEED"), NULL, 10) : 42);
	w->on_message = on_message;
	w->before_job = before_job;
	x->small = body_of(BODY_HEAD, STR_LIT("hello\r\n.\r\n..dots\r\n"));
	w->body = body_of("", STR_LIT("late\r\n"));
	for (int i = 0; i < 3000; i++)
		buf_addz(&w->file, ".a line of a file that is read in pieces: some hundreds of "
				   "kilobytes, with dots in front and inside\r\n");
	for (int i = 0; i < 3; i++) {
		struct receiver *r = receiver_new(w);

		r->answer = answer;
		r->ehlo = ehlo[i];
		r->read_max = i == 1 ? 100 : 0;
	}
	for (int i = 0; i < AT_ONCE; i++)
		open_one(w);
	assert_true(world_wait_quietly(w, all_over, NULL, 200 * US_PER_S));
	print_message("%d sessions (%d up), %d transactions: %d delivered, %d deferred, %d "
		      "bounced, %d untried, %d maybe twice\n",
		      x->down, x->seen_up, (int)x->done, (int)x->delivered, (int)x->deferred,
		      (int)x->bounced, (int)x->untried, (int)x->maybe_twice);
	for (uint64_t i = 1; i <= w->next_id; i++)
		if (x->id[i].is_txn)
			assert_true(x->id[i].returned);
	assert_true(x->delivered > 100 && x->maybe_twice && x->untried && x->bounced);
	body_unref(x->small);
	x->small = NULL;
	world_free(w);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_happens_the_ledger_is_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
