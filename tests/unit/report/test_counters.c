/* Feedback counters in virtual time: windows that slide, no event counted twice, rates that raise
 * alarms and hold jobs only when they mean something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/report/counters.h"

static const us_t start = 1800000000 * US_PER_S;
static const struct conf_alarm usual = {
	.complaint_warn = 0.001, .complaint_red = 0.003, .bounce_rate = 0.05, .after = US_PER_MIN
};

struct world {
	struct counters *c;
	us_t now;
	uint64_t id;
	struct row rows[400]; /* by id */
	char said[2000];
	int holds;
	char kept_key[50][100];
	struct buf kept[50];
	int nkept;
};

static void happened(struct world *w, enum event_type type, const char *rcpt, const char *category,
		     bool hard)
{
	struct event e = { .id = ++w->id,
			   .at = w->now,
			   .type = type,
			   .recipient = str_of(rcpt),
			   .category = str_of(category),
			   .hard = hard,
			   .reply = STR_LIT("550 5.1.1 no such user x7 here"),
			   .job = STR_LIT("news"),
			   .virtual_mta = STR_LIT("v1"),
			   .site = STR_LIT("google") };

	if (type >= EVENT_REMOTE_BOUNCED)
		e.site = STR_LIT("");
	counters_event(w->c, &e, NULL);
}

static void many(struct world *w, int n, enum event_type type, const char *category, bool hard)
{
	for (int i = 0; i < n; i++)
		happened(w, type, "u@gmail.com", category, hard);
}

static void got_row(void *arg, struct row *r)
{
	struct world *w = arg;

	assert_true(r->id < 400);
	row_release(&w->rows[r->id]);
	w->rows[r->id] = *r;
}

static void show(struct world *w)
{
	while (counters_rows(w->c, w->now, 7, got_row, w) == 7)
		;
}

static const struct row *find(struct world *w, enum row_kind kind, const char *name)
{
	show(w);
	for (int i = 0; i < 400; i++)
		if (w->rows[i].id && !w->rows[i].deleted && w->rows[i].kind == kind &&
		    str_eqz(rstr_str(w->rows[i].name), name))
			return &w->rows[i];
	return NULL;
}

static void word(void *arg, const struct counters_word *k)
{
	static const char *const types[] = { "raise", "end", "hold" };
	struct world *w = arg;
	size_t n = strlen(w->said);

	w->holds += k->type == COUNTERS_HOLD;
	snprintf(w->said + n, sizeof w->said - n, "%s %s %.*s %d %s\n", types[k->type], k->code,
		 (int)k->target.n, k->target.p, k->severity, k->text ? k->text : "");
}

static const char *judged(struct world *w, us_t later, const struct conf_alarm *a)
{
	w->said[0] = '\0';
	w->now += later;
	counters_judge(w->c, w->now, a, word, w);
	return w->said;
}

static void begin(struct world *w)
{
	memset(w, 0, sizeof *w);
	w->c = counters_new();
	w->now = start;
	assert_non_null(w->c);
}

static void end(struct world *w)
{
	for (int i = 0; i < 400; i++)
		row_release(&w->rows[i]);
	for (int i = 0; i < w->nkept; i++)
		buf_free(&w->kept[i]);
	counters_free(w->c);
}

static void hour_and_day_slide(void **state)
{
	struct world w;
	const struct row *r;

	(void)state;
	begin(&w);
	many(&w, 5, EVENT_BOUNCED, "bad-mailbox", true);
	w.now += 59 * US_PER_MIN;
	many(&w, 2, EVENT_BOUNCED, "bad-mailbox", true);
	r = find(&w, ROW_FEEDBACK, "google bad-mailbox");
	assert_non_null(r);
	assert_int_equal(r->feedback.hour, 7);
	assert_int_equal(r->feedback.day, 7);
	w.now += 5 * US_PER_MIN;
	r = find(&w, ROW_FEEDBACK, "google bad-mailbox");
	assert_int_equal(r->feedback.hour, 2);
	assert_int_equal(r->feedback.day, 7);
	w.now += 2 * US_PER_DAY;
	/* With its last event everything goes, rows and all. */
	assert_null(find(&w, ROW_FEEDBACK, "google bad-mailbox"));
	w.now += US_PER_MIN;
	assert_null(find(&w, ROW_REPUTATION, "@google"));
	assert_null(find(&w, ROW_REPUTATION, "job:news"));
	end(&w);
}

static void what_counts_as_what(void **state)
{
	struct world w;
	const struct row_standing *d;

	(void)state;
	begin(&w);
	many(&w, 100, EVENT_DELIVERED, "", false);
	many(&w, 3, EVENT_BOUNCED, "bad-mailbox", true);
	many(&w, 2, EVENT_BOUNCED, "spam-related", false);
	many(&w, 4, EVENT_BOUNCED, "quota-issues", false);
	many(&w, 1, EVENT_EXPIRED, "message-expired", false);
	many(&w, 9, EVENT_DEFERRED, "quota-issues", false);
	many(&w, 6, EVENT_REMOTE_BOUNCED, "bad-mailbox", true);
	many(&w, 2, EVENT_COMPLAINT, "spam-related", true);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "@google", "vmta:v1", "job:news" };

		assert_non_null(find(&w, ROW_REPUTATION, names[i]));
		d = &find(&w, ROW_REPUTATION, names[i])->reputation.day;
		assert_int_equal(d->delivered, 100);
		assert_int_equal(d->failed, 10);
		assert_int_equal(d->harmful, 11);
		assert_int_equal(d->complaints, 2);
	}
	assert_int_equal(find(&w, ROW_FEEDBACK, "google quota-issues")->feedback.day, 4);
	assert_int_equal(find(&w, ROW_FEEDBACK, "google bad-mailbox")->feedback.day, 9);
	assert_int_equal(find(&w, ROW_FEEDBACK, "google complaint")->feedback.day, 2);
	end(&w);
}

/* Replies that differ in a number only are one, with how often. */
static void replies_behind_a_number(void **state)
{
	struct world w;
	struct event e;
	char text[100];

	(void)state;
	begin(&w);
	for (int i = 0; i < 30; i++) {
		snprintf(text, sizeof text, "550 5.1.1 unknown user u%d@x.example", i);
		e = (struct event){ .id = ++w.id,
				    .at = w.now,
				    .type = EVENT_BOUNCED,
				    .recipient = STR_LIT("r@x.example"),
				    .category = STR_LIT("bad-mailbox"),
				    .reply = str_of(i % 10 ? text : "550 5.7.1 go away"),
				    .site = STR_LIT("x") };
		counters_event(w.c, &e, NULL);
	}
	assert_string_equal(find(&w, ROW_FEEDBACK, "x bad-mailbox")->feedback.replies->text,
			    "3x 550 5.7.1 go away (r@x.example)\n"
			    "27x 550 5.1.1 unknown user u29@x.example (r@x.example)");
	end(&w);
}

static void a_rate_needs_a_sample_and_time(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	many(&w, 1, EVENT_DELIVERED, "", false);
	many(&w, 1, EVENT_BOUNCED, "bad-mailbox", true);
	assert_string_equal(judged(&w, 0, &usual), "");
	assert_string_equal(judged(&w, US_PER_HOUR / 2, &usual), "");
	many(&w, 180, EVENT_DELIVERED, "", false);
	many(&w, 18, EVENT_BOUNCED, "bad-mailbox", true);
	assert_string_equal(judged(&w, 0, &usual), "");
	assert_string_equal(judged(&w, 59 * US_PER_S, &usual), "");
	judged(&w, US_PER_S, &usual);
	assert_non_null(strstr(w.said, "raise bounce-rate @google 2 bounce rate 9.50%: 19 of 200 "
				       "recipients in the last hour (limit 5%)\n"));
	assert_non_null(strstr(w.said, "raise bounce-rate vmta:v1 2"));
	assert_non_null(strstr(w.said, "raise bounce-rate job:news 2"));
	assert_null(strstr(w.said, "hold"));
	many(&w, 30, EVENT_BOUNCED, "bad-mailbox", true);
	assert_non_null(strstr(judged(&w, US_PER_S, &usual), "raise bounce-rate @google 1"));
	many(&w, 2000, EVENT_DELIVERED, "", false);
	assert_non_null(strstr(judged(&w, US_PER_S, &usual), "end bounce-rate @google"));
	assert_string_equal(judged(&w, US_PER_S, &usual), "");
	end(&w);
}

static void complaints_warn_and_are_red(void **state)
{
	struct conf_alarm at_once = usual;
	struct world w;

	(void)state;
	begin(&w);
	at_once.after = 0;
	many(&w, 999, EVENT_DELIVERED, "", false);
	many(&w, 5, EVENT_COMPLAINT, "spam-related", true);
	assert_string_equal(judged(&w, 0, &at_once), "");
	many(&w, 1001, EVENT_DELIVERED, "", false);
	assert_non_null(strstr(judged(&w, 0, &at_once), "raise complaint-rate @google 2 complaint "
							"rate 0.25%: 5 of 2000 delivered in a day "
							"(limit 0.1%)"));
	many(&w, 1, EVENT_COMPLAINT, "spam-related", true);
	assert_non_null(strstr(judged(&w, 0, &at_once), "raise complaint-rate @google 1"));
	at_once.complaint_warn = 0;
	assert_non_null(strstr(judged(&w, 0, &at_once), "end complaint-rate @google"));
	end(&w);
}

static void a_held_job_is_judged_by_what_comes_after(void **state)
{
	struct conf_alarm hold = { .hold = { .bounces = 0.08 } };
	struct world w;

	(void)state;
	begin(&w);
	many(&w, 184, EVENT_DELIVERED, "", false);
	many(&w, 15, EVENT_BOUNCED, "bad-mailbox", true);
	judged(&w, 0, &hold);
	assert_int_equal(w.holds, 0);
	many(&w, 1, EVENT_BOUNCED, "bad-mailbox", true);
	assert_string_equal(judged(&w, 0, &hold),
			    "hold bounce-rate news 0 bounce rate 8.00%: 16 of 200 "
			    "recipients in the last hour (limit 8%)\n");
	assert_string_equal(judged(&w, US_PER_S, &hold), "");
	/* Resumed: 39 of 199 more are over 8 %, but no sample yet; 39 of 500 are one, and under it.
	 */
	many(&w, 160, EVENT_DELIVERED, "", false);
	many(&w, 39, EVENT_BOUNCED, "bad-mailbox", true);
	judged(&w, US_PER_S, &hold);
	assert_int_equal(w.holds, 1);
	many(&w, 301, EVENT_DELIVERED, "", false);
	judged(&w, US_PER_S, &hold);
	assert_int_equal(w.holds, 1);
	many(&w, 2, EVENT_BOUNCED, "bad-mailbox", true);
	assert_string_equal(judged(&w, US_PER_S, &hold),
			    "hold bounce-rate news 0 bounce rate 8.17%: 41 of 502 "
			    "recipients since it was held (limit 8%)\n");
	end(&w);
}

static void keep(void *arg, struct str key, struct str value)
{
	struct world *w = arg;
	struct buf *b = &w->kept[w->nkept];

	snprintf(w->kept_key[w->nkept++], 100, "%.*s", (int)key.n, key.p);
	buf_init(b);
	buf_adds(b, value);
}

static void a_restart_counts_nothing_twice(void **state)
{
	struct world w;
	const struct row *r;
	struct counters *was;

	(void)state;
	begin(&w);
	many(&w, 50, EVENT_DELIVERED, "", false);
	many(&w, 5, EVENT_BOUNCED, "bad-mailbox", true);
	assert_int_equal(counters_save(w.c, 100, keep, &w), 3);
	assert_int_equal(counters_save(w.c, 100, keep, &w), 0);
	was = w.c;
	w.c = counters_new();
	for (int i = 0; i < w.nkept; i++)
		assert_true(
		    counters_restore(w.c, w.now, str_of(w.kept_key[i]), buf_str(&w.kept[i])));
	w.id -= 20; /* the reader's position is behind */
	many(&w, 20, EVENT_BOUNCED, "bad-mailbox", true);
	many(&w, 1, EVENT_BOUNCED, "bad-mailbox", true);
	r = find(&w, ROW_REPUTATION, "@google");
	assert_int_equal(r->reputation.hour.delivered, 50);
	assert_int_equal(r->reputation.hour.failed, 6);
	assert_int_equal(find(&w, ROW_FEEDBACK, "google bad-mailbox")->feedback.total, 6);
	/* Damaged rows are said to be, and do no harm. */
	for (size_t n = 0; n < w.kept[0].n; n++)
		counters_restore(w.c, w.now, str_of(w.kept_key[0]), str_mem(w.kept[0].p, n));
	assert_false(counters_restore(w.c, w.now, STR_LIT("x y"), buf_str(&w.kept[0])));
	counters_free(was);
	end(&w);
}

/* Complaints name no receiver: where the domain's mail went says it. */
static void a_domains_receiver_is_learned(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	happened(&w, EVENT_COMPLAINT, "a@corp.example", "spam-related", true);
	assert_non_null(find(&w, ROW_FEEDBACK, "(other) complaint"));
	happened(&w, EVENT_DELIVERED, "b@Corp.Example", "", false);
	happened(&w, EVENT_COMPLAINT, "a@corp.example", "spam-related", true);
	assert_non_null(find(&w, ROW_FEEDBACK, "google complaint"));
	end(&w);
}

static void count(void *arg, struct str key, struct str value)
{
	(void)arg;
	assert_true(key.n && value.n);
}

/* However many names there are, memory is bounded, and what has no place of its own is in one that
 * raises no alarm. */
static void names_are_bounded(void **state)
{
	struct conf_alarm at_once = { .bounce_rate = 0.05, .hold = { .bounces = 0.05 } };
	struct world w;
	char name[40];

	(void)state;
	begin(&w);
	for (int i = 0; i < 20000; i++) {
		struct event e = { .id = ++w.id,
				   .at = w.now,
				   .type = EVENT_BOUNCED,
				   .hard = true,
				   .category = STR_LIT("bad-mailbox") };

		snprintf(name, sizeof name, "n%d", i % 4000);
		e.job = e.site = str_of(name);
		counters_event(w.c, &e, NULL);
	}
	assert_in_range(counters_save(w.c, 20000, count, NULL), 1000, 1100);
	judged(&w, 0, &at_once);
	assert_string_equal(w.said, "");
	counters_free(w.c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hour_and_day_slide),
		cmocka_unit_test(what_counts_as_what),
		cmocka_unit_test(replies_behind_a_number),
		cmocka_unit_test(a_rate_needs_a_sample_and_time),
		cmocka_unit_test(complaints_warn_and_are_red),
		cmocka_unit_test(a_held_job_is_judged_by_what_comes_after),
		cmocka_unit_test(a_restart_counts_nothing_twice),
		cmocka_unit_test(a_domains_receiver_is_learned),
		cmocka_unit_test(names_are_bounded),
	};

	hash_seed(1, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
