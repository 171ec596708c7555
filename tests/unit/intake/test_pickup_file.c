/* Pickup files: both ways to say the envelope, the line ends of whoever wrote them, and a reason
 * for each one that is no message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/base/rng.h"
#include "core/intake/pickup_file.h"

static void good(const char *file, const char *sender, const char *rcpts, const char *message)
{
	struct pickup_mail m;
	struct errbuf why = { "" };
	struct buf got;

	buf_init(&got);
	if (!pickup_parse(str_of(file), &m, &why))
		fail_msg("%s: %s", file, why.text);
	for (size_t i = 0; i < m.nrcpts; i++)
		buf_addf(&got, "%s%.*s", i ? " " : "", (int)m.rcpts[i].n, m.rcpts[i].p);
	assert_string_equal(buf_z(&got), rcpts);
	assert_true(str_eqz(m.sender, sender));
	assert_string_equal(buf_z(&m.message), message);
	buf_free(&got);
	pickup_mail_free(&m);
}

static void bad(struct str file, const char *reason)
{
	struct pickup_mail m;
	struct errbuf why = { "" };

	assert_false(pickup_parse(file, &m, &why));
	if (!strstr(why.text, reason))
		fail_msg("\"%s\" does not say \"%s\"", why.text, reason);
	pickup_mail_free(&m);
}

static void leading_lines_are_the_envelope_and_are_cut_off(void **state)
{
	(void)state;
	good("x-sender: a@b.example\nX-Receiver: <c@d.example>\nx-receiver: e@f.example\nSubject: "
	     "s\n\ntext",
	     "a@b.example", "c@d.example e@f.example", "Subject: s\r\n\r\ntext\r\n");
	good("x-sender: <>\r\nx-receiver: c@d.example\r\nx-job: news\r\nTo: "
	     "x@y.example\r\n\r\n.\r\n..\r\n",
	     "", "c@d.example", "X-Job: news\r\nTo: x@y.example\r\n\r\n.\r\n..\r\n");
	struct pickup_mail m;
	struct errbuf why;
	assert_true(pickup_parse(
	    STR_LIT("x-sender:\nx-envid: id 7\nx-receiver: \xc3\xa4@b.example\n\n"), &m, &why));
	assert_true(str_eqz(m.envid, "id 7") && m.utf8 && m.sender.n == 0);
	pickup_mail_free(&m);
}

static void bcc_goes_and_folds_stay(void **state)
{
	(void)state;
	good("From: \"A, (x\" <a@b.example>\nTo: c@d.example,\n \"x y\"@e.example (a (nested) "
	     "one)\nBcc:\n "
	     "hidden@k.example\nCc: List: f@g.example, h <i@j.example>;\nSubject: s\n\nBcc: text\n",
	     "a@b.example",
	     "c@d.example \"x y\"@e.example hidden@k.example f@g.example i@j.example",
	     "From: \"A, (x\" <a@b.example>\r\nTo: c@d.example,\r\n \"x y\"@e.example (a (nested) "
	     "one)\r\n"
	     "Cc: List: f@g.example, h <i@j.example>;\r\nSubject: s\r\n\r\nBcc: text\r\n");
	good("From: a@b.example, z@b.example\nSender: s@b.example\nReturn-Path: <>\nTo: "
	     "c@d.example\n\n",
	     "", "c@d.example",
	     "From: a@b.example, z@b.example\r\nSender: s@b.example\r\nTo: c@d.example\r\n\r\n");
	good("From: a@b.example\nSender: s@b.example\nTo: c@d.example\n", "s@b.example",
	     "c@d.example", "From: a@b.example\r\nSender: s@b.example\r\nTo: c@d.example\r\n");
}

static void what_is_no_message_is_refused_with_its_reason(void **state)
{
	(void)state;
	bad(STR_LIT(""), "empty");
	bad(STR_LIT("From: a@b.example\n\0\n"), "line 2 holds a NUL");
	bad(STR_LIT("From: a@b.example\nTo: b@c.d\r\r\n\n"), "line 2 holds a CR");
	bad(STR_LIT("From: a@b.example\nTo: b@c.d\n\nx\r"), "line 4 holds a CR");
	bad(STR_LIT("Subject: s\nTo: a@b.example\n\n"), "who sends it");
	bad(STR_LIT("From: a@b.example\n\nTo: x@y.example\n"), "names nobody");
	bad(STR_LIT("x-sender: a@b.example\nSubject: s\n\n"), "but not both");
	bad(STR_LIT("x-sender: a@b.example\nx-sender: a@b.example\nx-receiver: c@d.example\n\n"),
	    "twice");
	bad(STR_LIT("From: a@b.example\nTo: a b c\n\n"), "\"a b c\" is not an address");
	bad(STR_LIT("From: a@b.example\nTo: <a@b> RCPT TO:<x@y>\n\n"), "open");
	bad(STR_LIT("From: a@b.example\nTo: \"open\n\n"), "open");
	bad(STR_LIT("x-sender: a@b.example\nx-receiver: c@d>SIZE=1\n\n"), "not an address");
}

/* What goes behind BDAT holds the outbound property (TRAPS.md), whatever the file holds. */
static void random_files_give_clean_messages_or_a_reason(void **state)
{
	static const char *const pieces[] = {
		"\n",	    "\r\n",	   "\r",  "x-sender: ", "x-receiver: ", "From: ", "To: ",
		"Bcc: ",    "a@b.example", "<",	  ">",		"\"",		"(",	  ")",
		",",	    ";",	   ":",	  " ",		"\t",		"\\",	  ".",
		"\xc3\xa4", "\xff",	   "word"
	};
	struct rng rng;
	int parsed = 0;

	(void)state;
	rng_seed(&rng, 20261127);
	for (int i = 0; i < 20000; i++) {
		struct buf file;
		struct pickup_mail m;
		struct errbuf why = { "" };
		size_t n = (size_t)(rng_u64(&rng) % 40);

		buf_init(&file);
		if (i % 2)
			buf_addz(&file, "From: a@b.example\nTo: c@d.example");
		while (n--)
			buf_addz(&file, pieces[rng_u64(&rng) % (sizeof pieces / sizeof *pieces)]);
		bool ok = pickup_parse(buf_str(&file), &m, &why);
		parsed += ok;
		assert_true(ok || why.text[0]);
		for (size_t k = 0; ok && k < m.message.n; k++) {
			char c = m.message.p[k];
			assert_true(c != '\r' ||
				    (k + 1 < m.message.n && m.message.p[k + 1] == '\n'));
			assert_true(c != '\n' || (k && m.message.p[k - 1] == '\r'));
			assert_true(c != 0);
		}
		for (size_t k = 0; ok && k < m.nrcpts; k++)
			for (size_t at = 0; at < m.rcpts[k].n; at++)
				assert_true(!strchr("\r\n<>", m.rcpts[k].p[at]));
		pickup_mail_free(&m);
		buf_free(&file);
	}
	assert_true(parsed > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leading_lines_are_the_envelope_and_are_cut_off),
		cmocka_unit_test(bcc_goes_and_folds_stay),
		cmocka_unit_test(what_is_no_message_is_refused_with_its_reason),
		cmocka_unit_test(random_files_give_clean_messages_or_a_reason),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
