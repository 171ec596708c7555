/* COMMANDS.md, "JSON: names that scripts may rely on": every name is there, under that name, and
 * nothing is null. */
#include "tests/unit/control/world.h"

#include <jansson.h>

static const char why[] = "why.code why.value why.limit why.counts why.origin why.until why.text ";
static const char queue_names[] =
    "domain route site provider state queued due in_flight rate connections delivered deferred "
    "bounced "
    "delivered_percent oldest_age next_attempt eta eta_state trend last_reply last_reply_at name";

/* Sites have neither domain nor route. */
static const struct {
	enum list_id list;
	const char *names;
	bool with_why;
} documented[] = {
	{ LIST_QUEUES, queue_names, true },
	{ LIST_SITES,
	  "site provider state queued due in_flight rate connections delivered deferred bounced "
	  "delivered_percent oldest_age "
	  "next_attempt eta eta_state trend last_reply last_reply_at name domains lanes",
	  true },
	{ LIST_LANES,
	  "name site provider virtual_mta source_ip state rate rate_limit connections "
	  "connection_limit delivered deferred bounced "
	  "delivered_percent last_reply backoff.since backoff.until backoff.reason backoff.reply "
	  "backoff.step learned.rate learned.ceiling warmup.step warmup.cap warmup.used "
	  "warmup.sample warmup.bounce_rate warmup.next_step_at",
	  true },
	{ LIST_SOURCES,
	  "virtual_mta source_ip hostname pools state connections rate bytes_rate "
	  "delivered_percent transient_percent "
	  "permanent_percent provider_count last_reply ptr_ok",
	  false },
	{ LIST_JOBS,
	  "name user state queued delivered deferred bounced complaint_percent rate eta eta_state "
	  "first_at",
	  false },
	{ LIST_OVERRIDES, "id what target was now who reason made_at until", false },
	{ LIST_FEEDBACK, "provider category hour day", false },
	{ LIST_ALARMS, "id code target since severity text ack", false },
};

static void check_names(enum list_id l, const char *names)
{
	struct str rest = str_of(names), name;

	while (str_split(&rest, ' ', &name)) {
		const struct field *f = name.n ? field_find(l, name) : NULL;

		if (!name.n)
			continue;
		if (!f || !f->in_json || !str_eqz(name, f->json))
			fail_msg("%s has no field %.*s", list_def(l)->name, (int)name.n, name.p);
	}
}

static void test_documented_names_exist(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof documented / sizeof documented[0]; i++) {
		check_names(documented[i].list, documented[i].names);
		if (documented[i].with_why)
			check_names(documented[i].list, why);
	}
}

static void test_every_column_is_a_field(void **state)
{
	(void)state;
	for (int l = 0; l < LIST_COUNT; l++) {
		const struct list_def *d = list_def((enum list_id)l);
		int flexible = 0;

		for (int i = 0; i < d->nfields; i++) {
			const struct field *f = &d->fields[i];

			assert_non_null(f->json);
			assert_non_null(f->help);
			assert_true(f->type != V_NONE);
			assert_ptr_equal(field_find((enum list_id)l, str_of(f->json)), f);
			if (!f->heading)
				continue;
			flexible += !f->width;
			/* A heading finds the column, or the field of that name in JSON. */
			assert_non_null(field_find((enum list_id)l, str_of(f->heading)));
		}
		assert_int_equal(flexible, 1);
	}
}

static json_t *json_of(enum list_id l, const struct row *r)
{
	struct buf out;
	json_t *o;

	buf_init(&out);
	row_json(l, r, world_now, &out);
	o = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
	if (!o)
		fail_msg("no JSON: %s", buf_z(&out));
	buf_free(&out);
	return o;
}

static void test_a_field_without_value_is_left_out(void **state)
{
	struct row r = queue_row(1, "gmail.com", "pool-a", STATE_OK, 3);
	json_t *o = json_of(LIST_QUEUES, &r);
	const char *key;
	json_t *v;

	(void)state;
	json_object_foreach(o, key, v) assert_false(json_is_null(v));
	assert_null(json_object_get(o, "delivered_percent"));
	assert_null(json_object_get(o, "oldest_age"));
	assert_null(json_object_get(o, "next_attempt"));
	assert_null(json_object_get(o, "last_reply"));
	assert_null(json_object_get(o, "site"));
	assert_null(json_object_get(json_object_get(o, "why"), "limit"));
	assert_int_equal(json_integer_value(json_object_get(o, "queued")), 3);
	assert_string_equal(json_string_value(json_object_get(o, "name")), "gmail.com/pool-a");
	assert_int_equal(json_array_size(json_object_get(o, "trend")), TREND_STEPS);
	json_decref(o);
	row_release(&r);
}

static void test_units_are_those_of_the_document(void **state)
{
	struct row r = queue_row(1, "gmail.com", "pool-a", STATE_BACKOFF, 3);
	json_t *o, *w;

	(void)state;
	r.queue.oldest = world_now - 90 * US_PER_S;
	r.queue.eta = 2 * US_PER_MIN;
	r.queue.next_attempt = world_now;
	r.queue.t.rate = 8.25F;
	r.queue.trend[0] = 15;
	r.why = (struct why){ WHY_RATE,
			      SCOPE_PROVIDER,
			      8,
			      10,
			      world_now,
			      text("override 17"),
			      text("rate 10/s together") };
	o = json_of(LIST_QUEUES, &r);
	w = json_object_get(o, "why");
	assert_true(json_number_value(json_object_get(o, "oldest_age")) == 90);
	assert_true(json_number_value(json_object_get(o, "eta")) == 120);
	assert_true(json_number_value(json_object_get(o, "rate")) == 8.25);
	assert_true(json_number_value(json_array_get(json_object_get(o, "trend"), 0)) == 1.5);
	assert_string_equal(json_string_value(json_object_get(o, "state")), "backoff");
	assert_string_equal(json_string_value(json_object_get(o, "next_attempt")),
			    "2026-11-23T19:03:48.000Z");
	assert_string_equal(json_string_value(json_object_get(w, "code")), "rate");
	assert_true(json_number_value(json_object_get(w, "limit")) == 10);
	assert_non_null(json_object_get(w, "counts"));
	assert_string_equal(json_string_value(json_object_get(w, "origin")), "override 17");
	assert_string_equal(json_string_value(json_object_get(w, "until")),
			    "2026-11-23T19:03:48.000Z");
	json_decref(o);
	row_release(&r);
}

static void test_never_is_left_out_of_json_and_written_out_for_the_eye(void **state)
{
	struct row r = override_row(18, "pause", "corp.example", "op1");
	struct value v;
	struct buf out;
	json_t *o = json_of(LIST_OVERRIDES, &r);

	(void)state;
	assert_null(json_object_get(o, "until"));
	json_decref(o);
	buf_init(&out);
	field_find(LIST_OVERRIDES, STR_LIT("until"))->get(&r, world_now, &v);
	value_text(&v, world_now, &out);
	assert_string_equal(buf_z(&out), "until ended");
	buf_free(&out);
	row_release(&r);
}

static void test_an_ended_override_shows_when_it_ended(void **state)
{
	struct row r = override_row(18, "pause", "corp.example", "op1");
	struct value v;

	(void)state;
	r.override.until = world_now + US_PER_HOUR;
	r.override.ended_at = world_now - US_PER_MIN;
	field_find(LIST_OVERRIDES, STR_LIT("until"))->get(&r, world_now, &v);
	assert_int_equal(v.i, world_now - US_PER_MIN);
	row_release(&r);
}

static void test_hostile_text_is_escaped_in_tables_and_json(void **state)
{
	struct row r = site_row(1, "evil\x1b[31m\xe2\x80\xae.example", STATE_DOWN, 1);
	struct page *p = calloc(1, sizeof *p + sizeof p->rows[0]);
	struct buf out;

	(void)state;
	p->list = LIST_SITES;
	p->nrows = 1;
	p->rows[0] = r;
	buf_init(&out);
	page_text(p, world_now, 200, &out);
	page_text(p, world_now, 0, &out);
	assert_null(memchr(out.p, 0x1b, out.n));
	assert_null(strstr(buf_z(&out), "\xe2\x80\xae"));
	buf_clear(&out);
	page_json(p, world_now, &out);
	assert_null(memchr(out.p, 0x1b, out.n));
	buf_free(&out);
	page_free(p);
}

static void test_no_text_row_is_wider_than_the_terminal(void **state)
{
	struct page *p = calloc(1, sizeof *p + 2 * sizeof p->rows[0]);
	struct buf out;

	(void)state;
	p->list = LIST_SITES;
	p->nrows = 2;
	p->rows[0] =
	    site_row(1, "a-rather-long-name-of-a-host.mail.example.net", STATE_DOWN, 412318);
	p->rows[1] = site_row(2, "google", STATE_OK, 1);
	p->rows[0].why.text = text("connect refused, next attempt at half past two in the morning");
	buf_init(&out);
	for (int columns = 40; columns < 200; columns++) {
		struct str rest, line;

		buf_clear(&out);
		page_text(p, world_now, columns, &out);
		rest = buf_str(&out);
		while (str_split(&rest, '\n', &line))
			if ((int)line.n > columns)
				fail_msg("%d columns: %.*s", columns, (int)line.n, line.p);
	}
	buf_free(&out);
	page_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documented_names_exist),
		cmocka_unit_test(test_every_column_is_a_field),
		cmocka_unit_test(test_a_field_without_value_is_left_out),
		cmocka_unit_test(test_units_are_those_of_the_document),
		cmocka_unit_test(test_never_is_left_out_of_json_and_written_out_for_the_eye),
		cmocka_unit_test(test_an_ended_override_shows_when_it_ended),
		cmocka_unit_test(test_hostile_text_is_escaped_in_tables_and_json),
		cmocka_unit_test(test_no_text_row_is_wider_than_the_terminal),
	};

	hash_seed(1, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
