/* A reload's difference names each section and directive that changes, as written, and what needs a
 * restart. */
#include "tests/unit/conf/fixture.h"

static struct world w;

static int open_world(void **state)
{
	(void)state;
	world_open(&w);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

/* "+ [domain x] max-smtp-out: was -> now" a line. */
static void diff_text(const char *was, const char *now, struct buf *out)
{
	struct conf_diff d;
	struct conf *old;

	world_read(&w, was);
	assert_non_null(w.c);
	old = conf_ref(w.c);
	world_read(&w, now);
	assert_non_null(w.c);
	conf_diff_make(old, w.c, &d);
	buf_clear(out);
	for (int i = 0; i < d.n; i++)
		buf_addf(out, "%c %s %s: %s -> %s\n", d.v[i].sign, d.v[i].section,
			 d.v[i].directive ? d.v[i].directive : "*", d.v[i].was ? d.v[i].was : "-",
			 d.v[i].now ? d.v[i].now : "-");
	conf_diff_free(&d);
	conf_diff_restart(old, w.c, out);
	conf_unref(old);
	buf_z(out);
}

static void each_change_is_named_once(void **state)
{
	static const struct {
		const char *was, *now, *expect;
	} cases[] = {
		{ "", "", "" },
		{ "[domain x.example]\nmax-smtp-out = 5\n",
		  "# said\n[DOMAIN X.example]\nmax-smtp-out=5", "" },
		{ "[domain x.example]\nmax-smtp-out = 5\n",
		  "[domain x.example]\nmax-smtp-out = 6 ; !\n",
		  "~ [domain x.example] max-smtp-out: 5 -> 6\n" },
		{ "", "[domain x.example]\nmax-smtp-out = 6\n",
		  "+ [domain x.example] *: - -> -\n+ [domain x.example] max-smtp-out: - -> 6\n" },
		{ "[domain x.example via default]\nmax-smtp-out = 6\n", "",
		  "- [domain x.example via default] *: - -> -\n" },
		{ "[domain x.example]\nmax-smtp-out = 5\n", "[domain x.example]\nuse-rs = no\n",
		  "- [domain x.example] max-smtp-out: 5 -> -\n+ [domain x.example] use-rs: - -> "
		  "no\n" },
		{ "[console]\nread = a\n", "[console]\nread = a\nread = b\n",
		  "~ [console] read: a -> a, b\n" },
		{ "", "[mta]\nthreads = 3\n",
		  "+ [mta] threads: - -> 3\n[mta] threads changes from one for each core to 3 at "
		  "the "
		  "next start: it needs a restart\n" },
		{ "[mta]\nspool = /q\n", "[mta]\nspool = /r\n",
		  "~ [mta] spool: /q -> /r\n[mta] spool changes from /q to /r at the next start: "
		  "it "
		  "needs a restart\n" },
		{ "[mta]\nspool = /var/spool/stoker\n", "",
		  "- [mta] spool: /var/spool/stoker -> -\n" },
	};
	char was[1024], now[1024];
	struct buf b;

	(void)state;
	buf_init(&b);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(was, sizeof was, BASE "%s", cases[i].was);
		snprintf(now, sizeof now, BASE "%s", cases[i].now);
		diff_text(was, now, &b);
		assert_string_equal(buf_z(&b), cases[i].expect);
	}
	buf_free(&b);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		T(each_change_is_named_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
