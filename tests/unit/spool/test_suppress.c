/* Which events put an address on the suppression list, and that both are in one commit. */
#include "tests/unit/spool/kit.h"

#include "core/base/hash.h"
#include "core/spool/suppress.h"

struct world {
	struct kit k;
	char dir[200];
	struct suppression *l;
	struct suppression_reader *r;
	struct conf_suppression c;
	uint64_t message;
};

static void begin(struct world *w)
{
	*w = (struct world){ .c = { .on = CONF_SUPPRESS_HARD | CONF_SUPPRESS_COMPLAINT,
				    .soft_limit = 3,
				    .soft_within = 14 * US_PER_DAY,
				    .expire_after = US_NEVER } };
	kit_init(&w->k);
	kit_open(&w->k);
	snprintf(w->dir, sizeof w->dir, "%s/suppression", w->k.state);
	struct suppression_opts o = { .dir = w->dir, .create = true };
	assert_null(suppression_open(&o, &w->l, &w->k.e));
	w->r = suppression_reader_open(w->l);
}

static void done(struct world *w)
{
	suppression_reader_close(w->r);
	suppression_close(w->l);
	kit_done(&w->k);
}

static struct event failure(struct world *w, const char *address, const char *category, bool hard)
{
	return (struct event){ .type = EVENT_BOUNCED,
			       .at = w->k.now,
			       .message = ++w->message,
			       .sender = STR_LIT("a@news.example"),
			       .recipient = str_of(address),
			       .category = str_of(category),
			       .reply = STR_LIT("550 words"),
			       .hard = hard };
}

/* Told to the spool and judged, as the spool's thread does it. */
static bool happens(struct world *w, struct event ev)
{
	assert_true(spool_event(w->k.s, &ev));
	return suppress_event(w->l, w->k.s, &w->c, &ev);
}

static bool holds(struct world *w, const char *address, const char *scope)
{
	struct suppression_key k;

	assert_null(spool_commit(w->k.s, w->k.now, true, &w->k.e));
	assert_null(suppression_commit(w->l, 1000, false, &w->k.e));
	assert_null(suppression_key(str_of(address), str_of(scope), &k));
	return suppression_find(w->r, &k, w->k.now, NULL);
}

static void only_what_is_about_the_address(void **state)
{
	static const char *const never[] = { "spam-related",	"policy-related",
					     "content-related", "relaying-issues",
					     "protocol-errors", "bad-connection",
					     "routing-errors",	"other" };
	struct event ev;
	struct world w;

	(void)state;
	begin(&w);
	assert_true(happens(&w, failure(&w, "dead@x.example", "bad-mailbox", true)));
	assert_false(
	    happens(&w, failure(&w, "DEAD@x.example", "bad-mailbox", true))); /* is there */
	assert_true(holds(&w, "dead@x.example", "news.example"));
	assert_false(holds(&w, "dead@x.example", "other.example"));
	for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
		for (int n = 0; n < 5; n++)
			assert_false(happens(&w, failure(&w, "alive@x.example", never[i], false)));
	assert_false(holds(&w, "alive@x.example", "news.example"));
	ev = failure(&w, "wants@x.example", "spam-related", true);
	ev.type = EVENT_COMPLAINT;
	assert_true(happens(&w, ev));
	ev = failure(&w, "later@x.example", "bad-mailbox", true);
	ev.type = EVENT_REMOTE_BOUNCED;
	assert_true(happens(&w, ev));
	ev = failure(&w, "report@x.example", "bad-mailbox", true);
	ev.sender = STR_LIT("");
	assert_false(happens(&w, ev)); /* nobody's list */
	w.c.scope = CONF_SUPPRESS_FOR_ALL;
	assert_true(happens(&w, ev));
	assert_true(holds(&w, "report@x.example", "any.example"));
	w.c.on = 0;
	assert_false(happens(&w, failure(&w, "new@x.example", "bad-mailbox", true)));
	ev.type = EVENT_DEFERRED;
	w.c.on = CONF_SUPPRESS_HARD;
	ev.recipient = STR_LIT("waits@x.example");
	assert_false(happens(&w, ev));
	done(&w);
}

static void a_domain_is_dead_the_second_day(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	assert_false(happens(&w, failure(&w, "u@gone.example", "bad-domain", true)));
	w.k.now += US_PER_HOUR;
	for (int i = 0; i < 3; i++)
		assert_false(happens(&w, failure(&w, "u@gone.example", "bad-domain", true)));
	assert_false(holds(&w, "u@gone.example", "news.example"));
	w.k.now += US_PER_DAY;
	assert_true(happens(&w, failure(&w, "u@gone.example", "bad-domain", true)));
	assert_true(holds(&w, "u@gone.example", "news.example"));
	done(&w);
}

static void so_many_soft_failures_in_a_time(void **state)
{
	struct event ev;
	struct world w;

	(void)state;
	begin(&w);
	for (int day = 0; day < 10; day++) { /* never three in fourteen days */
		assert_false(happens(&w, failure(&w, "slow@x.example", "quota-issues", false)));
		w.k.now += 8 * US_PER_DAY;
	}
	for (int i = 0; i < 2; i++) {
		ev = failure(&w, "full@x.example", "message-expired", false);
		ev.type = EVENT_EXPIRED;
		ev.reply =
		    STR_LIT("not delivered within 4d12h; the last answer was: 452 4.2.2 full");
		assert_false(happens(&w, ev));
		assert_false(happens(&w, ev)); /* the same message */
		ev.reply = STR_LIT("not delivered within 4d12h; the last answer was: 451 4.7.1 x");
		ev.message = ++w.message;
		assert_false(happens(&w, ev));
	}
	assert_true(happens(&w, failure(&w, "full@x.example", "inactive-mailbox", false)));
	assert_true(holds(&w, "full@x.example", "news.example"));
	w.c.soft_limit = 0;
	for (int i = 0; i < 5; i++)
		assert_false(happens(&w, failure(&w, "other@x.example", "quota-issues", false)));
	done(&w);
}

static void it_ends_when_it_is_said_to(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.c.expire_after = US_PER_DAY;
	assert_true(happens(&w, failure(&w, "dead@x.example", "bad-mailbox", true)));
	assert_true(holds(&w, "dead@x.example", "news.example"));
	w.k.now += US_PER_DAY;
	assert_false(holds(&w, "dead@x.example", "news.example"));
	assert_true(happens(&w, failure(&w, "dead@x.example", "bad-mailbox", true)));
	assert_true(holds(&w, "dead@x.example", "news.example"));
	done(&w);
}

struct told {
	struct world *w;
	int suppressed, bounced;
};

static void read_one(void *arg, const struct event *ev)
{
	struct told *t = arg;

	t->bounced += ev->type == EVENT_BOUNCED;
	if (ev->type != EVENT_SUPPRESSED)
		return;
	t->suppressed++;
	assert_true(str_eqz(ev->scope, "news.example") && str_eqz(ev->reply, "550 words"));
	assert_true(suppress_again(t->w->l, &t->w->c, ev));
}

/* What was told and was not on the list when the process died is put there again, and nothing told
 * twice. */
static void what_was_told_comes_onto_the_list(void **state)
{
	struct suppression_opts o = { .create = false };
	struct event_reader *r;
	struct told t = { 0 };
	struct world w;

	(void)state;
	begin(&w);
	t.w = &w;
	assert_true(happens(&w, failure(&w, "one@x.example", "bad-mailbox", true)));
	assert_true(happens(&w, failure(&w, "two@x.example", "bad-mailbox", true)));
	assert_false(happens(&w, failure(&w, "two@x.example", "bad-mailbox", true)));
	assert_null(spool_commit(w.k.s, w.k.now, true, &w.k.e));
	suppression_reader_close(w.r); /* the list's own commit never came */
	suppression_close(w.l);
	kit_reopen(&w.k);
	o.dir = w.dir;
	assert_null(suppression_open(&o, &w.l, &w.k.e));
	w.r = suppression_reader_open(w.l);
	assert_false(holds(&w, "one@x.example", "news.example"));
	r = event_reader_open(w.k.s, "suppression");
	assert_non_null(r);
	while (event_reader_next(r, 100, read_one, &t) > 0)
		;
	event_reader_close(r);
	assert_int_equal(t.suppressed, 2);
	assert_int_equal(t.bounced, 3);
	assert_true(holds(&w, "one@x.example", "news.example"));
	assert_true(holds(&w, "two@x.example", "news.example"));
	done(&w);
}

int main(void)
{
	hash_seed(1, 2);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_about_the_address),
		cmocka_unit_test(a_domain_is_dead_the_second_day),
		cmocka_unit_test(so_many_soft_failures_in_a_time),
		cmocka_unit_test(it_ends_when_it_is_said_to),
		cmocka_unit_test(what_was_told_comes_onto_the_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
