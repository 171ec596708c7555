/* The SMTP client and the scheduler: permits, recalls, fences, and bodies that come late or in
 * pieces. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>

#include "tests/unit/smtp/test_client_world.h"

static const size_t ONE = 1, TWO = 2;

static void grant(struct world *w, uint64_t session, uint64_t txn, uint32_t n, us_t until)
{
	send_to_io(
	    w,
	    (struct to_io){
		.type = TO_IO_GRANT, .session = session, .number = txn, .n = n, .until = until });
}

static void recall(struct world *w, uint64_t session, uint64_t txn)
{
	send_to_io(w, (struct to_io){ .type = TO_IO_RECALL, .session = session, .number = txn });
}

static struct transaction *limited(struct world *w, const char *rcpts, uint32_t permits, us_t until)
{
	struct transaction *t = txn_new(w, rcpts);

	t->permits = permits;
	t->permit_until = until;
	return t;
}

static us_t soon(void)
{
	return clock_now_us() + 5 * US_PER_S;
}

static size_t index_of(struct world *w, enum from_io_type type, size_t nth)
{
	for (size_t i = 0; i < w->nlog; i++)
		if (w->log[i].type == type && !nth--)
			return i;
	fail_msg("no message of type %d", (int)type);
	return 0;
}

static uint64_t used(struct world *w)
{
	uint64_t n = 0;

	for (size_t i = 0; i < w->nlog; i++)
		if (w->log[i].type == FROM_IO_USED)
			n += w->log[i].n;
	return n;
}

static void rcpts_beyond_the_permits_are_asked_for(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = limited(w, "a@x b@x c@x", 2, soon());
	uint64_t id = t->id, session = open_session(w, spec_new(w), t);

	(void)state;
	world_wait(w, has_asked, &ONE);
	world_wait(w, was_said, "RCPT TO:<b@x>\n|");
	assert_null(strstr(said_all(r), "c@x"));
	assert_null(strstr(said_all(r), "DATA"));
	assert_int_equal(used(w), 2);
	assert_true(index_of(w, FROM_IO_UP, 0) < index_of(w, FROM_IO_USED, 0));
	assert_true(index_of(w, FROM_IO_USED, 0) < index_of(w, FROM_IO_ASK, 0));
	assert_int_equal(the_msg(w, FROM_IO_ASK, id)->n, 1);
	grant(w, session, id, 1, soon());
	t = wait_done(w, id);
	assert_int_equal(used(w), 3);
	assert_non_null(
	    strstr(said_all(r), "RCPT TO:<a@x>\nRCPT TO:<b@x>\n|RCPT TO:<c@x>\nDATA\n"));
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(t->rcpts[i].verdict.class, CLASS_OK);
	check_ledger(w);
	world_free(w);
}

static void expired_permits_write_nothing(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = limited(w, "a@x b@x", 2, clock_now_us() - 1);
	uint64_t id = t->id, session = open_session(w, spec_new(w), t);

	(void)state;
	world_wait(w, has_asked, &ONE);
	assert_true(index_of(w, FROM_IO_UP, 0) < index_of(w, FROM_IO_ASK, 0));
	assert_string_equal(said_all(r), "EHLO four.example\n|");
	/* a grant that comes too late is asked for anew */
	grant(w, session, id, 2, clock_now_us() - 1);
	world_wait(w, has_asked, &TWO);
	assert_string_equal(said_all(r), "EHLO four.example\n|");
	/* one that was meant for another transaction is void */
	grant(w, session, id + 1, 2, soon());
	assert_string_equal(said_all(r), "EHLO four.example\n|");
	grant(w, session, id, 2, soon());
	assert_int_equal(wait_done(w, id)->rcpts[1].verdict.class, CLASS_OK);
	assert_int_equal(count_msgs(w, FROM_IO_ASK), 2);
	assert_int_equal(used(w), 2);
	world_free(w);
}

static void permits_wait_for_their_time(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = limited(w, "a@x b@x", 1, soon());
	uint64_t id = t->id, session;
	us_t from = clock_now_us() + 30 * US_PER_MS;

	(void)state;
	t->permit_from = from;
	session = open_session(w, spec_new(w), t);
	world_wait(w, was_said, "RCPT TO:<a@x>\n|");
	assert_true(clock_now_us() >= from);
	assert_int_equal(count_msgs(w, FROM_IO_ASK), 1); /* for b */
	from = clock_now_us() + 30 * US_PER_MS;
	send_to_io(w, (struct to_io){ .type = TO_IO_GRANT,
				      .session = session,
				      .number = id,
				      .n = 1,
				      .from = from,
				      .until = soon() });
	assert_null(strstr(said_all(r), "b@x"));
	assert_int_equal(wait_done(w, id)->rcpts[1].verdict.class, CLASS_OK);
	assert_true(clock_now_us() >= from);
	assert_int_equal(used(w), 2);
	check_ledger(w);
	world_free(w);
}

/* The scheduler hears how late its permits come; those that only waited behind another transaction
 * are not late. */
static void permits_that_come_late_are_told(void **state)
{
	struct world *w = world_new();
	struct transaction *t;
	uint64_t id, session;

	(void)state;
	receiver_new(w);
	t = limited(w, "a@x", 0, 0);
	id = t->id;
	session = open_session(w, spec_new(w), t);
	world_wait(w, has_asked, &ONE);
	assert_int_equal(w->log[index_of(w, FROM_IO_ASK, 0)].late, 0);
	grant(w, session, id, 1, clock_now_us() - 7000);
	world_wait(w, has_asked, &TWO);
	assert_in_range(w->log[index_of(w, FROM_IO_ASK, 1)].late, 7000, US_PER_S);
	grant(w, session, id, 1, soon());
	wait_done(w, id);
	world_free(w);
}

static void what_was_used_is_exactly_what_was_written(void **state)
{
	(void)state;
	for (uint32_t slice = 1; slice <= 4; slice++) {
		struct world *w = world_new();
		struct receiver *r = receiver_new(w);
		struct transaction *t =
		    limited(w, "a@x b@x bad1@x c@x d@x bad2@x e@x f@x g@x", 0, 0);
		uint64_t id = t->id;

		w->grant = slice;
		w->grant_for = US_PER_S;
		r->ehlo = slice % 2 ? EHLO_ALL : EHLO_NONE;
		receiver_rule(r, (struct rule){ "RCPT TO:<bad", "550 5.1.1 no", 0, 0, 0 });
		open_session(w, spec_new(w), t);
		wait_done(w, id);
		assert_int_equal(used(w), 9);
		assert_int_equal(r->rcpts, 7);
		check_ledger(w);
		world_free(w);
	}
}

static void a_session_without_permits_for_the_next_does_not_write_ahead(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *a = txn_new(w, "a@x"), *b = limited(w, "b@x", 1, clock_now_us() - 1);
	uint64_t a_id = a->id, b_id = b->id, session = open_session(w, spec_new(w), a);

	(void)state;
	give(w, session, b);
	wait_done(w, a_id);
	world_wait(w, has_asked, &ONE);
	assert_null(strstr(said_all(r), "b@x"));
	grant(w, session, b_id, 1, soon());
	wait_done(w, b_id);
	check_ledger(w);
	world_free(w);
}

static void permits_that_do_not_come_do_not_hold_up_those_who_have_theirs(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct session_spec *p = spec_new(w);
	struct transaction *t = limited(w, "a@x b@x c@x", 1, soon()), *next = txn_new(w, "d@x");
	uint64_t id = t->id, next_id = next->id, session;

	(void)state;
	p->command_timeout = 100 * US_PER_MS;
	session = open_session(w, p, t);
	give(w, session, next);
	t = wait_done(w, id);
	assert_int_equal(t->rcpts[0].verdict.class, CLASS_OK);
	assert_false(t->rcpts[1].tried || t->rcpts[2].tried);
	wait_done(w, next_id);
	assert_string_equal(got_all(r), "a@x ;d@x ;");
	/* and with nobody accepted, everything goes back */
	receiver_rule(r, (struct rule){ "RCPT TO:<e", "550 5.1.1 no", 0, 0, 0 });
	t = limited(w, "e@x f@x", 1, soon());
	id = t->id;
	give(w, session, t);
	t = wait_done(w, id);
	assert_true(t->rcpts[0].verdict.permanent);
	assert_false(t->rcpts[1].tried);
	check_ledger(w);
	world_free(w);
}

/* ---- recall ---- */

static void check_recall(struct world *w, uint64_t session, uint64_t id)
{
	size_t before = w->nlog;
	struct from_io *done;

	recall(w, session, id);
	send_to_io(w, (struct to_io){ .type = TO_IO_FENCE, .number = 99 });
	done = the_msg(w, FROM_IO_DONE, id);
	assert_true(done >= &w->log[before]);
	assert_true(done < the_msg(w, FROM_IO_FENCED, 99));
	for (uint32_t i = 0; i < done->txn->nrcpts; i++)
		assert_false(done->txn->rcpts[i].tried);
}

static void a_recall_while_connecting_ends_the_session(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x");
	uint64_t id = t->id, session;

	(void)state;
	receiver_rule(r, (struct rule){ "CONNECT", NULL, DO_HOLD, 0, 0 });
	session = open_session(w, spec_new(w), t);
	check_recall(w, session, id);
	assert_true(wait_down(w, session)->planned);
	assert_false(wait_down(w, session)->established);
	check_ledger(w);
	world_free(w);
}

static void a_recall_while_waiting_for_permits_gives_back_untried(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = limited(w, "a@x", 0, 0), *next = txn_new(w, "b@x");
	uint64_t id = t->id, next_id = next->id, session = open_session(w, spec_new(w), t);

	(void)state;
	world_wait(w, has_asked, &ONE);
	check_recall(w, session, id);
	/* the grant was under way: nobody uses it */
	grant(w, session, id, 1, soon());
	give(w, session, next);
	assert_int_equal(wait_done(w, next_id)->rcpts[0].verdict.class, CLASS_OK);
	assert_string_equal(got_all(r), "b@x ;");
	assert_int_equal(used(w), 0);
	check_ledger(w);
	world_free(w);
}

static void a_recall_while_the_body_is_loaded_gives_back_untried(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x");
	uint64_t id = t->id, session;

	(void)state;
	body_unref(t->body);
	t->body = NULL;
	w->body = body_of("", STR_LIT("hello\r\n"));
	w->hold_bodies = true;
	session = open_session(w, spec_new(w), t);
	world_wait(w, is_up, &ONE);
	check_recall(w, session, id);
	w->hold_bodies = false;
	close_session(w, session);
	wait_down(w, session);
	assert_string_equal(said_all(r), "EHLO four.example\n|QUIT\n");
	check_ledger(w);
	world_free(w);
}

static void a_recall_of_the_one_behind_leaves_the_current_alone(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *a = txn_new(w, "a@x"), *b = txn_new(w, "b@x");
	uint64_t a_id = a->id, b_id = b->id, session;

	(void)state;
	receiver_rule(r, (struct rule){ "DATA", NULL, DO_HOLD, 0, 0 });
	session = open_session(w, spec_new(w), a);
	give(w, session, b);
	world_wait(w, was_said, "DATA\n|");
	check_recall(w, session, b_id);
	/* a's MAIL is out: it is finished */
	recall(w, session, a_id);
	assert_null(find_msg(w, FROM_IO_DONE, a_id));
	rconn_say(r->conns, "354 go\r\n", 8);
	r->conns->data = true;
	assert_int_equal(wait_done(w, a_id)->rcpts[0].verdict.class, CLASS_OK);
	assert_string_equal(got_all(r), "a@x ;");
	check_ledger(w);
	world_free(w);
}

static void what_is_written_ahead_counts_as_begun(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *a = txn_new(w, "a@x"), *b = txn_new(w, "b@x");
	uint64_t b_id = b->id, session;

	(void)state;
	receiver_rule(r, (struct rule){ ".", NULL, DO_HOLD, 0, 0 });
	session = open_session(w, spec_new(w), a);
	give(w, session, b);
	world_wait(w, was_said, "RCPT TO:<b@x>\nDATA\n");
	recall(w, session, b_id);
	assert_null(find_msg(w, FROM_IO_DONE, b_id));
	world_free(w);
}

static void a_recall_inside_a_transaction_delivers_what_was_accepted(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = limited(w, "a@x b@x c@x", 1, soon());
	uint64_t id = t->id, session = open_session(w, spec_new(w), t);

	(void)state;
	world_wait(w, has_asked, &ONE);
	world_wait(w, was_said, "RCPT TO:<a@x>\n|");
	recall(w, session, id);
	t = wait_done(w, id);
	assert_int_equal(t->rcpts[0].verdict.class, CLASS_OK);
	assert_false(t->rcpts[1].tried || t->rcpts[2].tried);
	assert_string_equal(got_all(r), "a@x ;");
	check_ledger(w);
	world_free(w);
}

static void nothing_recalled_before_a_fence_is_begun_after_it(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *a = limited(w, "a@x", 0, 0), *b = txn_new(w, "b@x");
	uint64_t a_id = a->id, b_id = b->id, session = open_session(w, spec_new(w), a);

	(void)state;
	give(w, session, b);
	world_wait(w, has_asked, &ONE);
	recall(w, session, a_id);
	/* b became current and is begun by that: not recalled, so it may be */
	wait_done(w, b_id);
	send_to_io(w, (struct to_io){ .type = TO_IO_FENCE, .number = 5 });
	assert_non_null(find_msg(w, FROM_IO_FENCED, 5));
	grant(w, session, 0, 5, soon());
	close_session(w, session);
	wait_down(w, session);
	assert_string_equal(got_all(r), "b@x ;");
	check_ledger(w);
	world_free(w);
}

/* ---- close, and sessions that are over ---- */

static void close_finishes_what_is_held(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *a = txn_new(w, "a@x"), *b = txn_new(w, "b@x"),
			   *late = txn_new(w, "c@x");
	uint64_t late_id = late->id, session = open_session(w, spec_new(w), a);

	(void)state;
	give(w, session, b);
	close_session(w, session);
	give(w, session, late);
	assert_true(wait_down(w, session)->planned);
	assert_false(the_txn(w, late_id)->rcpts[0].tried);
	assert_string_equal(got_all(r), "a@x ;b@x ;");
	/* and for a session that is no more */
	late = txn_new(w, "d@x");
	late_id = late->id;
	give(w, session, late);
	assert_false(the_txn(w, late_id)->rcpts[0].tried);
	check_ledger(w);
	world_free(w);
}

static void a_transaction_for_a_session_that_says_goodbye_waits_for_its_end(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *a = txn_new(w, "a@x"), *b = txn_new(w, "b@x");
	uint64_t a_id = a->id, b_id = b->id, session = open_session(w, spec_new(w), a);

	(void)state;
	receiver_rule(r, (struct rule){ "QUIT", NULL, DO_HOLD, 0, 0 });
	wait_done(w, a_id);
	close_session(w, session);
	world_wait(w, was_said, "QUIT");
	/* as the scheduler does that has not heard of it yet: here it even asked for the end itself
	 */
	give(w, session, b);
	assert_non_null(find_msg(w, FROM_IO_DONE, b_id));
	wait_down(w, session);
	w->receivers[0]->nrules = 0;
	check_ledger(w);
	world_free(w);

	w = world_new();
	r = receiver_new(w);
	receiver_rule(r, (struct rule){ "QUIT", NULL, DO_HOLD, 0, 0 });
	struct session_spec *p = spec_new(w);
	p->max_msg_per_connection = 1;
	session = open_session(w, p, txn_new(w, "a@x"));
	world_wait(w, was_said, "QUIT");
	b = txn_new(w, "b@x");
	b_id = b->id;
	give(w, session, b);
	assert_null(find_msg(w, FROM_IO_DONE, b_id));
	rconn_drop(r->conns, false);
	assert_true(wait_down(w, session)->planned);
	check_ledger(w);
	world_free(w);
}

static void a_receiver_that_closes_an_idle_session_is_no_failure(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x");
	uint64_t id = t->id, session = open_session(w, spec_new(w), t);

	(void)state;
	wait_done(w, id);
	rconn_say(r->conns, "421 4.4.2 idle\r\n", 16);
	assert_true(wait_down(w, session)->planned);
	world_free(w);
	w = world_new();
	r = receiver_new(w);
	session = open_session(w, spec_new(w), NULL);
	world_wait(w, is_up, &ONE);
	rconn_say(r->conns, "451 timeout (#4.4.2)\r\n", 22);
	assert_true(wait_down(w, session)->planned);
	world_free(w);
	w = world_new();
	r = receiver_new(w);
	session = open_session(w, spec_new(w), NULL);
	world_wait(w, is_up, &ONE);
	rconn_drop(r->conns, false);
	assert_true(wait_down(w, session)->planned);
	world_free(w);
}

static void three_transactions_are_one_too_many(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t[3] = { limited(w, "a@x", 0, 0), txn_new(w, "b@x"),
				     txn_new(w, "c@x") };
	uint64_t third = t[2]->id, first = t[0]->id, session = open_session(w, spec_new(w), t[0]);

	(void)state;
	give(w, session, t[1]);
	give(w, session, t[2]);
	assert_false(the_txn(w, third)->rcpts[0].tried);
	world_wait(w, has_asked, &ONE);
	grant(w, session, first, 1, soon());
	close_session(w, session);
	wait_down(w, session);
	assert_string_equal(got_all(r), "a@x ;b@x ;");
	world_free(w);
}

/* ---- bodies that are not at hand ---- */

static struct transaction *without_body(struct world *w, const char *rcpts)
{
	struct transaction *t = txn_new(w, rcpts);

	body_unref(t->body);
	t->body = NULL;
	return t;
}

static void a_body_is_loaded_before_mail(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = without_body(w, "a@x"), *b = without_body(w, "b@x");
	uint64_t id = t->id, b_id = b->id, session;

	(void)state;
	w->body = body_of("", STR_LIT("from disk\r\n"));
	w->hold_bodies = true;
	session = open_session(w, spec_new(w), t);
	give(w, session, b);
	world_wait(w, is_up, &ONE);
	assert_null(strstr(said_all(r), "MAIL"));
	w->hold_bodies = false;
	t = wait_done(w, id);
	assert_ptr_equal(t->body, w->body);
	assert_int_equal(t->rcpts[0].verdict.class, CLASS_OK);
	assert_string_equal(buf_z(&r->body), "from disk\r\n");
	wait_done(w, b_id);
	world_free(w);
}

static void a_body_that_cannot_be_read_is_nobodys_fault_but_ours(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = without_body(w, "a@x"), *b = txn_new(w, "b@x");
	uint64_t id = t->id, b_id = b->id, session;

	(void)state;
	session = open_session(w, spec_new(w), t);
	give(w, session, b);
	t = wait_done(w, id);
	assert_true(t->rcpts[0].tried);
	assert_false(t->rcpts[0].verdict.permanent);
	assert_int_equal(t->rcpts[0].verdict.class, CLASS_MAILBOX);
	assert_string_equal(reply_of(t, 0), "the message can't be read: no such record");
	wait_done(w, b_id);
	assert_string_equal(got_all(r), "b@x ;");
	world_free(w);
}

static void fill_file(struct world *w, size_t n)
{
	rng_seed(&w->rng, n);
	while (w->file.n < n) {
		switch (rng_below(&w->rng, 4)) {
		case 0:
			buf_addz(&w->file, ".dot\r\n");
			break;
		case 1:
			buf_addz(&w->file, "\r\n");
			break;
		default:
			for (uint64_t i = rng_below(&w->rng, 700); i; i--)
				buf_addc(&w->file, 'x');
			buf_addz(&w->file, "\r\n");
		}
	}
}

static void stuffed(const struct buf *in, struct buf *out)
{
	for (size_t i = 0; i < in->n; i++) {
		if (in->p[i] == '.' && (!i || in->p[i - 1] == '\n'))
			buf_addc(out, '.');
		buf_addc(out, in->p[i]);
	}
}

static void a_large_message_is_read_in_chunks_while_it_is_sent(void **state)
{
	static const size_t sizes[] = { 1, BODY_CHUNK - 3, BODY_CHUNK + 5, 900000 };

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct world *w = world_new();
		struct receiver *r = receiver_new(w);
		struct transaction *t = without_body(w, "a@x"), *b = txn_new(w, "b@x");
		uint64_t id = t->id, b_id = b->id, session;
		struct buf want;

		buf_init(&want);
		fill_file(w, sizes[i]);
		stuffed(&w->file, &want);
		t->body = body_new_file(body_file_new(-1, NULL, NULL), 0, w->file.n, true, false);
		r->ehlo = "250-fake\r\n250 PIPELINING";
		r->read_max = 5000;
		session = open_session(w, spec_new(w), t);
		give(w, session, b);
		t = wait_done(w, id);
		assert_int_equal(t->rcpts[0].verdict.class, CLASS_OK);
		assert_int_equal(w->chunks_max, 1);
		wait_done(w, b_id);
		close_session(w, session);
		wait_down(w, session);
		/* the small one came last; the large one is checked by its size and the ledger, and
		 * alone below */
		assert_int_equal(r->messages, 2);
		buf_free(&want);
		check_ledger(w);
		world_free(w);
	}
}

static void a_large_message_arrives_as_it_is(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = without_body(w, "a@x");
	uint64_t id = t->id;
	struct buf want;

	(void)state;
	buf_init(&want);
	fill_file(w, 3000000);
	stuffed(&w->file, &want);
	t->body = body_new_file(body_file_new(-1, NULL, NULL), 0, w->file.n, true, false);
	r->ehlo = "250-fake\r\n250 PIPELINING";
	open_session(w, spec_new(w), t);
	wait_done(w, id);
	assert_int_equal(r->body.n, want.n);
	assert_memory_equal(r->body.p, want.p, want.n);
	buf_free(&want);
	world_free(w);
}

static bool some_were_read(struct world *w, const void *arg)
{
	(void)arg;
	return w->chunks_asked >= 4;
}

static void a_file_that_fails_half_way_ends_the_connection_without_a_dot(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = without_body(w, "a@x");
	uint64_t id = t->id, session;

	(void)state;
	fill_file(w, 3000000);
	t->body = body_new_file(body_file_new(-1, NULL, NULL), 0, w->file.n, true, false);
	r->ehlo = "250-fake\r\n250 PIPELINING";
	session = open_session(w, spec_new(w), t);
	world_wait(w, some_were_read, NULL);
	buf_clear(&w->file);
	assert_true(wait_down(w, session)->planned);
	t = the_txn(w, id);
	assert_int_equal(t->rcpts[0].verdict.class, CLASS_MAILBOX);
	assert_false(t->rcpts[0].maybe_twice);
	assert_int_equal(r->messages, 0);
	world_free(w);
}

static void a_file_that_fails_at_once_keeps_the_session(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = without_body(w, "a@x"), *b = txn_new(w, "b@x");
	uint64_t id = t->id, b_id = b->id, session;

	(void)state;
	t->body = body_new_file(body_file_new(-1, NULL, NULL), 0, 5000, true, false);
	session = open_session(w, spec_new(w), t);
	give(w, session, b);
	assert_int_equal(wait_done(w, id)->rcpts[0].verdict.class, CLASS_MAILBOX);
	assert_int_equal(wait_done(w, b_id)->rcpts[0].verdict.class, CLASS_OK);
	assert_string_equal(got_all(r), "b@x ;");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rcpts_beyond_the_permits_are_asked_for),
		cmocka_unit_test(expired_permits_write_nothing),
		cmocka_unit_test(permits_wait_for_their_time),
		cmocka_unit_test(permits_that_come_late_are_told),
		cmocka_unit_test(what_was_used_is_exactly_what_was_written),
		cmocka_unit_test(a_session_without_permits_for_the_next_does_not_write_ahead),
		cmocka_unit_test(permits_that_do_not_come_do_not_hold_up_those_who_have_theirs),
		cmocka_unit_test(a_recall_while_connecting_ends_the_session),
		cmocka_unit_test(a_recall_while_waiting_for_permits_gives_back_untried),
		cmocka_unit_test(a_recall_while_the_body_is_loaded_gives_back_untried),
		cmocka_unit_test(a_recall_of_the_one_behind_leaves_the_current_alone),
		cmocka_unit_test(what_is_written_ahead_counts_as_begun),
		cmocka_unit_test(a_recall_inside_a_transaction_delivers_what_was_accepted),
		cmocka_unit_test(nothing_recalled_before_a_fence_is_begun_after_it),
		cmocka_unit_test(close_finishes_what_is_held),
		cmocka_unit_test(a_transaction_for_a_session_that_says_goodbye_waits_for_its_end),
		cmocka_unit_test(a_receiver_that_closes_an_idle_session_is_no_failure),
		cmocka_unit_test(three_transactions_are_one_too_many),
		cmocka_unit_test(a_body_is_loaded_before_mail),
		cmocka_unit_test(a_body_that_cannot_be_read_is_nobodys_fault_but_ours),
		cmocka_unit_test(a_large_message_is_read_in_chunks_while_it_is_sent),
		cmocka_unit_test(a_large_message_arrives_as_it_is),
		cmocka_unit_test(a_file_that_fails_half_way_ends_the_connection_without_a_dot),
		cmocka_unit_test(a_file_that_fails_at_once_keeps_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
