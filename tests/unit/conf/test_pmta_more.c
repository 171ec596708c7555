/* `import-pmta`: users, warm-up, bounce categories and accounting columns. */
#include <crypt.h>

#include "tests/unit/conf/pmta_kit.h"

/* The hash that was written behind [smtp-user NAME]. */
static void hash_of(const char *name, char out[200])
{
	char section[80];
	const char *at;

	snprintf(section, sizeof section, "[smtp-user %s]\npassword = ", name);
	at = strstr(ini.p, section);
	assert_non_null(at);
	assert_int_equal(sscanf(at + strlen(section), "%199s", out), 1);
}

static void a_password_becomes_its_hash(void **state)
{
	struct crypt_data d = { 0 };
	char hash[200];

	(void)state;
	import(
	    HOST
	    "smtp-listener 0/0:25\n<source {auth}>\nprocess-x-job yes\n</source>\n"
	    "<smtp-user crm>\npassword \"s3cr et\"\n</smtp-user>\n"
	    "<smtp-user shop>\nsource inject\npassword a\\\"b # c\n</smtp-user>\n"
	    "<smtp-user none>\npassword \"\"\n</smtp-user>\n"
	    "<smtp-user cert>\nauthentication-method certificate\nsource inject\n</smtp-user>\n");
	hash_of("crm", hash);
	assert_string_equal(crypt_r("s3cr et", hash, &d), hash);
	says("p.conf:7: taken: password ***: [smtp-user crm] password = ***: kept as a hash");
	writes("source = auth\n"); /* crm's */
	says("p.conf:6: taken: <smtp-user crm>: [smtp-user crm]: <source {auth}> is its source");
	assert_null(strstr(report.p, hash));
	assert_null(strstr(report.p, "s3cr"));
	writes("[smtp-user shop]\nsource = inject\npassword = $6$");
	assert_non_null(strstr(ini.p, "\nauthenticate = plain login\n"));
	says("p.conf:2: approximated: smtp-listener 0/0:25: [listener 0.0.0.0:25]: there are "
	     "users: ");
	writes_not("[smtp-user none]");
	says("p.conf:14: dropped: password ***: a password has 1 to 255 bytes: write the line that "
	     "`stoker passwd` prints");
	says("p.conf:13: dropped: <smtp-user none>: a user is nothing without a password");
	writes_not("[smtp-user cert]");
	says("p.conf:18: dropped: source inject: a user is nothing without a password");
}

static void without_users_no_login_is_offered(void **state)
{
	(void)state;
	import(HOST "smtp-listener 0/0:25\n");
	writes_not("authenticate");
}

#define COLD                                                                                       \
	"<virtual-mta w>\n" HOST "cold-virtual-mta c\n</virtual-mta>\n"                            \
	"<virtual-mta c>\nsmtp-source-host 192.0.2.2 c.example\n</virtual-mta>\n"                  \
	"<virtual-mta-pool p>\nvirtual-mta w\n</virtual-mta-pool>\n"

static void a_cold_virtual_mta_is_warmed_up_in_its_pools(void **state)
{
	(void)state;
	import(COLD "<domain *>\nmax-cold-virtual-mta-msg 1200/day, 2400/day,9600/d\n</domain>\n"
		    "<domain gmail.com>\nmax-cold-virtual-mta-msg 48/day\n</domain>\n");
	writes("[virtual-mta c]\nsmtp-source-host = 192.0.2.2 c.example\nwarmup = c\n");
	writes("[warmup c]\nstart = 50/h\nfactor = 2.00\nevery = 24h\nuntil = 400/h\n");
	writes("[virtual-mta-pool p]\nmembers = w, c\n");
	says("p.conf:3: approximated: cold-virtual-mta c: [virtual-mta c] warmup = c: it is a "
	     "member of "
	     "the pools of w");
	says("p.conf:12: approximated: max-cold-virtual-mta-msg 1200/day, 2400/day,9600/d: [warmup "
	     "c] "
	     "start = 50/h: [warmup] counts by the hour");
	says("p.conf:15: dropped: max-cold-virtual-mta-msg 48/day: [warmup] has one law for all "
	     "receivers: ");
	assert_non_null(strstr(report.p, "p.conf:12 counts"));
}

static void what_warms_nothing_up_is_dropped(void **state)
{
	(void)state;
	import(COLD);
	says("dropped: cold-virtual-mta c: without max-cold-virtual-mta-msg nothing goes by it");
	writes_not("warmup");
	import(HOST "<domain *>\nmax-cold-virtual-mta-msg 50/day\n</domain>\n");
	says("dropped: max-cold-virtual-mta-msg 50/day: no cold-virtual-mta stands for it");
	import("<virtual-mta w>\n" HOST
	       "cold-virtual-mta gone\ncold-virtual-mta 192.0.2.0/24 h.example\n"
	       "</virtual-mta>\n<domain *>\nmax-cold-virtual-mta-msg 50/day\n</domain>\n");
	says("dropped: cold-virtual-mta gone: there is no virtual MTA gone");
	says("the form of before 4.5");
	/* In no pool; and the same number every day. */
	import("<virtual-mta w>\n" HOST "cold-virtual-mta c\n</virtual-mta>\n<virtual-mta c>\n"
	       "smtp-source-host 192.0.2.2 c.example\n</virtual-mta>\n"
	       "<domain *>\nmax-cold-virtual-mta-msg 48/day\n</domain>\n");
	says("mail goes by it from a pool only: write [virtual-mta-pool] members = w, c");
	writes("[warmup c]\nstart = 2/h\n");
	writes_not("factor");
	says("the same number every day would never end: it doubles every 48 hours");
}

static void bounce_categories_come_over(void **state)
{
	static const struct {
		const char *theirs, *says, *ours;
	} cases[] = {
		{ "/spam|junk mail/ spam-related", "taken: ", "/spam|junk mail/ spam-related" },
		{ "/^[45]\\.1\\.[1346] / bad-mailbox",
		  "approximated: ", "/^\\d\\d\\d[ -][45]\\.1\\.[1346] / bad-mailbox" },
		{ "/^smtp/ other", "approximated: ", "/^smtp/ other" },
		{ "/550;x/ other", "approximated: ", "/550;x/ other" },
		{ "/x/ Our_Own", "approximated: ", "/x/ our-own" },
		{ "/x/ other more", "approximated: ", "/x/ other" },
		{ "// other", "taken: ", "/.*/ other" },
		{ "/^2.\\d+.\\d+;/ success", "dropped: ", NULL },
		{ "/x/ success", "dropped: ", NULL },
		{ "/x/", "dropped: ", NULL },
		{ "/x( other", "dropped: ", NULL },
		{ "x other", "dropped: ", NULL },
		{ "/x(/ other", "dropped: ", NULL },
		{ "/a #b/ other", "dropped: ", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[400], line[300];

		snprintf(text, sizeof text,
			 HOST "<bounce-category-patterns>\n%s\n</bounce-category-patterns>\n",
			 cases[i].theirs);
		import(text);
		snprintf(line, sizeof line, "p.conf:3: %s", cases[i].says);
		says(line);
		snprintf(line, sizeof line, "\npattern = %s\n", cases[i].ours ? cases[i].ours : "");
		if (cases[i].ours)
			writes(line);
		else
			writes_not("pattern = ");
	}
}

static void columns_come_over(void **state)
{
	static const struct {
		const char *theirs, *fields, *says; /* fields NULL: all */
	} cases[] = {
		{ "records d\nrecord-fields d timeLogged,rcpt,queue",
		  "type, timeLogged, rcpt, queue",
		  "p.conf:4: taken: record-fields d timeLogged,rcpt,queue: [accounting a.csv] "
		  "fields = " },
		{ "records d\nrecord-fields d rcpt, header_Subject", "type, rcpt",
		  "p.conf:4: approximated: record-fields d rcpt, header_Subject: [accounting "
		  "a.csv] fields = "
		  "type, rcpt: there is no column header_Subject" },
		{ "record-fields d *\nrecord-fields b *", NULL, "that is so without a word" },
		{ "records d\nrecord-fields d rcpt\nrecord-fields d orig", "type, orig", "" },
		{ "records d,b\nrecord-fields delivery rcpt\nrecord-fields bounce rcpt,dsnDiag",
		  "type, rcpt, dsnDiag",
		  "a column of one record is written for every record that has it" },
		{ "records tq\nrecord-fields tq *,!dsnMta,!vmtaPool,!eventId",
		  "type, timeLogged, dsnStatus, dsnDiag, dlvType, dlvSourceIp, dlvDestinationIp, "
		  "vmta, queue",
		  "taken: " },
		{ "records tq\nrecord-fields tq !dsnMta,!vmtaPool,!eventId,!vmta,!queue,!dlvType",
		  "type, timeLogged, dsnStatus, dsnDiag, dlvSourceIp, dlvDestinationIp",
		  "read as *, !dsnMta" },
		{ "records d\nrecord-fields r *", NULL,
		  "dropped: record-fields r *: the file has no such" },
		{ "record-fields d", NULL,
		  "dropped: record-fields d: write record-fields TYPE LIST" },
		{ "record-fields rs *", NULL,
		  "dropped: record-fields rs *: there are no records of type rs" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[500], line[300];

		snprintf(text, sizeof text, HOST "<acct-file /var/log/a.csv>\n%s\n</acct-file>\n",
			 cases[i].theirs);
		import(text);
		snprintf(line, sizeof line, "\nfields = %s\n",
			 cases[i].fields ? cases[i].fields : "");
		if (cases[i].fields)
			writes(line);
		else
			writes_not("fields = ");
		says(cases[i].says);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
	const struct CMUnitTest tests[] = {
		T(a_password_becomes_its_hash),
		T(without_users_no_login_is_offered),
		T(a_cold_virtual_mta_is_warmed_up_in_its_pools),
		T(what_warms_nothing_up_is_dropped),
		T(bounce_categories_come_over),
		T(columns_come_over),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
