/* What a line, a file and a set of files mean, and what is refused rather than guessed. */
#include "tests/unit/conf/fixture.h"

#include <fcntl.h>

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

static void base_is_clean(void **state)
{
	(void)state;
	world_read(&w, BASE);
	expect_clean(&w);
}

static void comments_end_values_but_not_inside_quotes_or_a_regex(void **state)
{
	static const struct {
		const char *value, *label;
	} cases[] = {
		{ "plain", "plain" },
		{ "plain ; said", "plain" },
		{ "plain\t# said", "plain" },
		{ "a;b#c", "a;b#c" },
		{ "\"a ; b # c\"", "a ; b # c" },
		{ "\"a ; b\" ; said \"", "a ; b" },
		{ "\"a \\\" ; b\"", "a \" ; b" },
		{ "\"back\\\\slash\"", "back\\slash" },
		{ "/a ; b/", "/a ; b/" },
		{ "/a \\/ ; b/ ; said", "/a \\/ ; b/" },
		{ "/var/x ; said", "/var/x" },
		{ "it\"s ; said", "it\"s" },
		{ "a = b", "a = b" },
		{ "\xc3\xa4 \xe2\x82\xac", "\xc3\xa4 \xe2\x82\xac" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(text, sizeof text, BASE "[console]\nlabel = %s\n", cases[i].value);
		world_read(&w, text);
		expect_clean(&w);
		assert_string_equal(w.c->console.label, cases[i].label);
	}
}

static void blank_lines_comment_lines_crlf_and_bom_are_fine(void **state)
{
	(void)state;
	world_read(&w,
		   "\xef\xbb\xbf; first\r\n# second\r\n\r\n   \r\n[MTA] ; third [x]\r\n"
		   "HostName=mx.example.com\r\nsmtp-source-host =\t192.0.2.1   mx.example.com\r\n"
		   "[Listener [::1]:2525] # said\r\n[source ::1]\r\n"
		   "always-allow-relaying = on");
	expect_clean(&w);
	assert_string_equal(w.c->mta.hostname, "mx.example.com");
	assert_string_equal(w.c->listeners[0].name, "[::1]:2525");
}

static void what_is_no_line_of_the_language_is_refused_with_its_number(void **state)
{
	static const struct {
		const char *line, *expect;
	} cases[] = {
		{ " label = x", "a.ini:7: error: the line begins with a blank" },
		{ "\tlabel = x", "a.ini:7: error: the line begins with a blank" },
		{ " ; a comment", "a.ini:7: error: the line begins with a blank" },
		{ "label = \xff", "a.ini:7: error: the line is not UTF-8" },
		{ "label = \xed\xa0\x80", "a.ini:7: error: the line is not UTF-8" },
		{ "# \xc0\xaf", "a.ini:7: error: the line is not UTF-8" },
		{ "label = a\rb", "a.ini:7: error: a carriage return inside the line" },
		{ "label = a\x1b[2J", "a.ini:7: error: a control character" },
		{ "label = \"open", "a.ini:7: error: label: a quote \" is not closed" },
		{ "label x", "a.ini:7: error: there is no \"=\": write label = VALUE" },
		{ "nonsense", "a.ini:7: error: \"nonsense\" is neither [section] nor" },
		{ "<domain gmail.com>", "a.ini:7: error: \"<domain gmail.com>\" is PowerMTA's" },
		{ "[console", "a.ini:7: error: the section's name ends in \"]\"" },
		{ "[console] label = x", "a.ini:7: error: the section's name ends in \"]\"" },
		{ "[]", "a.ini:7: error: []: there is no such section" },
		{ "[console x]", "a.ini:7: error: [console x]: [console] has no name" },
		{ "[domain]", "a.ini:7: error: [domain] needs a name" },
		{ "= x", "a.ini:7: error: \"= x\" is neither" },
		{ "la bel = x", "a.ini:7: error: \"la bel = x\" is neither" },
		{ "label:x = y", "a.ini:7: error: \"label:x = y\" is neither" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(text, sizeof text, BASE "%s\n", cases[i].line);
		world_read(&w, text);
		expect_text(&w, cases[i].expect);
		assert_int_equal(w.problems.errors, 1);
	}
}

static void a_nul_byte_is_one_error_and_the_rest_is_not_guessed(void **state)
{
	static const char text[] = BASE "label\0 = x\nbad\nbad\n";

	(void)state;
	world_bytes("a.ini", text, sizeof text - 1);
	world_read_with(&w, "a.ini", NULL);
	expect_text(&w, "a.ini:7: error: a NUL byte");
	assert_int_equal(w.problems.errors, 1);
}

static char *long_line(char *out, size_t n)
{
	static const char head[] = BASE "# ";
	size_t at = sizeof head - 1;

	memcpy(out, head, at);
	memset(out + at, 'x', n - 2);
	strcpy(out + at + n - 2, "\n");
	return out;
}

static void lines_have_up_to_8192_bytes(void **state)
{
	static char text[16384];

	(void)state;
	world_read(&w, long_line(text, 8192));
	expect_clean(&w);
	world_read(&w, long_line(text, 8193));
	expect_text(&w, "a.ini:7: error: the line has more than 8192 bytes");
	assert_int_equal(w.problems.errors, 1);
}

/* inih's own buffers hold 200, 50 and 50 bytes. */
static void long_values_names_and_headers_are_read_whole(void **state)
{
	static char text[32768];
	size_t n = (size_t)snprintf(text, sizeof text, BASE "[source long]\nremove-header = X-0");

	(void)state;
	for (int i = 1; i < 500; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, ", X-%d", i);
	n +=
	    (size_t)snprintf(text + n, sizeof text - n, "\n[listener 127.0.0.1:26]\nsource=long\n");
	snprintf(text + n, sizeof text - n,
		 "[domain a.very.long.domain.name.that.has.more.than.fifty.bytes.example.com]\n"
		 "max-smtp-out = 7\n"
		 "[domain a.very.long.domain.name.that.has.more.than.fifty.bytes.example.org]\n"
		 "max-smtp-out = 8\n");
	world_read(&w, text);
	expect_clean(&w);
	assert_int_equal(w.c->sources[1].nremove_headers, 500);
	assert_string_equal(w.c->sources[1].remove_headers[499], "X-499");

	n = (size_t)snprintf(text, sizeof text, BASE);
	memset(text + n, 'a', 300);
	strcpy(text + n + 300, " = x\n");
	world_read(&w, text);
	expect_text(&w, "a.ini:7: error: \"aaaa");
}

static void every_error_is_reported_and_in_order(void **state)
{
	const char *second;

	(void)state;
	world_file("b.ini", "[mta]\nmax-hops = 0\nfoo = 1\n");
	world_read(&w,
		   "[mta]\nthreads = many\ninclude = b.ini\n[domain x]\nroute = [\nsend-dsn = y\n");
	assert_int_equal(w.problems.errors, 6);
	expect_text(&w, "a.ini:2: error: threads");
	expect_text(&w, "a.ini:5: error: route");
	expect_text(&w, "a.ini:6: error: send-dsn");
	expect_text(&w, "a.ini: error: there is no virtual MTA");
	second = strstr(buf_z(&w.text), "b.ini:2");
	assert_non_null(second);
	assert_true(second > strstr(buf_z(&w.text), "a.ini:6"));
	assert_true(strstr(buf_z(&w.text), "b.ini:3") > second);
}

static void an_unreadable_or_empty_file_is_an_error_not_an_empty_configuration(void **state)
{
	(void)state;
	world_read_with(&w, "missing.ini", NULL);
	expect_text(&w, "missing.ini: error: can't be read: No such file");
	assert_int_equal(w.problems.errors, 1);
	world_read(&w, "");
	expect_text(&w, "a.ini: error: can't be read: it is empty");
	world_read(&w, "\n \n\r\n");
	expect_text(&w, "a.ini: error: can't be read: it is empty");
	world_read(&w, "# only words\n");
	expect_text(&w, "a.ini: error: there is no section in it");
	assert_int_equal(mkdir("d.ini", 0700), 0);
	world_read_with(&w, "d.ini", NULL);
	expect_text(&w, "d.ini: error: can't be read: it is a directory");
	assert_int_equal(mkfifo("f.ini", 0600), 0);
	world_read_with(&w, "f.ini", NULL);
	expect_text(&w, "f.ini: error: can't be read: it is not a file");
}

static void directives_before_a_section_are_refused(void **state)
{
	(void)state;
	world_read(&w, "hostname = x.example.com\n" BASE);
	expect_text(&w, "a.ini:1: error: a directive before the first section: write [mta]");
}

static void includes_are_read_in_name_order_relative_to_their_file(void **state)
{
	(void)state;
	assert_int_equal(mkdir("conf.d", 0700), 0);
	world_file("conf.d/2.ini", "[provider p]\ndomains = two.example\n");
	world_file("conf.d/10.ini", "[provider p]\ndomains = ten.example\n[mta]\n"
				    "log-file = logs/x.log\ninclude = sub/more.ini\n");
	assert_int_equal(mkdir("conf.d/sub", 0700), 0);
	world_file("conf.d/sub/more.ini", "[PROVIDER P]\nmax-smtp-out = 3\n");
	world_file("conf.d/not.txt", "nonsense");
	world_read(&w, BASE "[mta]\ninclude = conf.d/*.ini\n");
	expect_clean(&w);
	assert_int_equal(w.c->nproviders, 1);
	assert_int_equal(w.c->providers[0].ndomains, 2);
	assert_string_equal(w.c->providers[0].domains[0], "ten.example");
	assert_int_equal(w.c->nfiles, 4);
	assert_string_equal(w.c->mta.log_file + strlen(w.dir), "/conf.d/logs/x.log");
}

static void errors_in_included_files_name_them(void **state)
{
	(void)state;
	assert_int_equal(mkdir("conf.d", 0700), 0);
	world_file("conf.d/x.ini", "[domain a.example]\nmax-smtp-out = 5\nmax-smtp-out = 6\n");
	world_file("conf.d/y.ini", "[domain A.example]\nmax-smtp-out = 7\n");
	world_read(&w, BASE "[mta]\ninclude = conf.d/*.ini\n");
	expect_text(&w, "conf.d/x.ini:3: error: max-smtp-out is given twice in [domain a.example]: "
			"first at conf.d/x.ini:2");
	expect_text(&w, "conf.d/y.ini:2: error: max-smtp-out is given twice in [domain a.example]: "
			"first at conf.d/x.ini:2");
}

static void includes_that_lead_nowhere_or_in_a_circle_are_reported(void **state)
{
	char name[32], text[64];

	(void)state;
	world_read(&w, BASE "[mta]\ninclude = nothing/*.ini\n");
	expect_text(&w, "a.ini:8: warning: include = nothing/*.ini: no file matches");
	assert_non_null(w.c);
	world_read(&w, BASE "[mta]\ninclude = nothing.ini\n");
	expect_text(&w, "a.ini:8: error: nothing.ini can't be read: No such file");
	world_read(&w, BASE "[mta]\ninclude = a.ini\n");
	expect_text(&w, "a.ini:8: error: include: a.ini is read already");
	world_file("e.ini", "");
	world_read(&w, BASE "[mta]\ninclude = e.ini\n");
	expect_text(&w, "a.ini:8: error: e.ini can't be read: it is empty");
	for (int i = 1; i <= 9; i++) {
		snprintf(name, sizeof name, "n%d.ini", i);
		snprintf(text, sizeof text, "[mta]\ninclude = n%d.ini\n", i + 1);
		world_file(name, i == 9 ? "# the end\n" : text);
	}
	world_read(&w, BASE "[mta]\ninclude = n2.ini\n");
	expect_clean(&w);
	world_read(&w, BASE "[mta]\ninclude = n1.ini\n");
	expect_text(&w, "n8.ini:2: error: includes are nested more than 8 deep");
}

static void an_empty_value_clears_and_a_repeated_one_adds(void **state)
{
	(void)state;
	world_read(&w, BASE "[console]\nread = a\nread = b, @c\nlabel =\nlabel-color = \"\"\n"
			    "theme = ; the usual\n");
	expect_clean(&w);
	assert_int_equal(w.c->console.nread, 3);
	assert_string_equal(w.c->console.read[2], "@c");
	assert_null(w.c->console.label);
	assert_null(w.c->console.label_color);
	assert_string_equal(w.c->console.theme, "dark");
}

static void paths_are_absolute_and_state_follows_the_spool(void **state)
{
	char expect[128];

	(void)state;
	world_read(&w, BASE "[mta]\nspool = ./q\n");
	expect_clean(&w);
	snprintf(expect, sizeof expect, "%s/q", w.dir);
	assert_string_equal(w.c->mta.spool, expect);
	snprintf(expect, sizeof expect, "%s/q/state", w.dir);
	assert_string_equal(w.c->mta.state, expect);
	snprintf(expect, sizeof expect, "%s/a.ini", w.dir);
	assert_string_equal(w.c->path, expect);
	assert_string_equal(w.c->files[0].path, expect);
}

static void a_stored_configuration_is_read_without_the_disk(void **state)
{
	struct conf_read_opts o = { .stored = NULL };
	struct conf_problems p;
	struct conf *again;

	(void)state;
	assert_int_equal(mkdir("conf.d", 0700), 0);
	world_file("conf.d/x.ini", "[domain a.example]\nmax-smtp-out = 5\n");
	world_read(&w, BASE "[mta]\ninclude = conf.d/*.ini\n");
	expect_clean(&w);
	assert_false(conf_differs_from_disk(w.c));
	world_file("conf.d/x.ini", "[domain a.example]\nmax-smtp-out = 6\n");
	assert_true(conf_differs_from_disk(w.c));
	world_file("conf.d/x.ini", "[domain a.example]\nmax-smtp-out = 5\n");
	world_file("conf.d/y.ini", "nonsense");
	assert_true(conf_differs_from_disk(w.c));
	world_file("a.ini", "nonsense");
	o.stored = w.c->files;
	o.nstored = w.c->nfiles;
	conf_problems_init(&p);
	again = conf_read(w.c->path, &o, &p);
	assert_non_null(again);
	assert_int_equal(p.errors, 0);
	assert_int_equal(again->nfiles, 2);
	assert_true(conf_differs_from_disk(again));
	conf_unref(again);
	conf_problems_free(&p);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		T(base_is_clean),
		T(comments_end_values_but_not_inside_quotes_or_a_regex),
		T(blank_lines_comment_lines_crlf_and_bom_are_fine),
		T(what_is_no_line_of_the_language_is_refused_with_its_number),
		T(a_nul_byte_is_one_error_and_the_rest_is_not_guessed),
		T(lines_have_up_to_8192_bytes),
		T(long_values_names_and_headers_are_read_whole),
		T(every_error_is_reported_and_in_order),
		T(an_unreadable_or_empty_file_is_an_error_not_an_empty_configuration),
		T(directives_before_a_section_are_refused),
		T(includes_are_read_in_name_order_relative_to_their_file),
		T(errors_in_included_files_name_them),
		T(includes_that_lead_nowhere_or_in_a_circle_are_reported),
		T(an_empty_value_clears_and_a_repeated_one_adds),
		T(paths_are_absolute_and_state_follows_the_spool),
		T(a_stored_configuration_is_read_without_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
