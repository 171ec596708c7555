/* What `import-pmta` makes of PowerMTA's language, line by line; and whatever it reads, it writes
 * what conf_read accepts. */
#include "tests/unit/conf/pmta_kit.h"

#include "core/base/rng.h"

/* Each flavour goes other ways; with STOKER_FULL ten times as many. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 120, SEED = 20261127 };
#else
enum { ROUNDS = 250, SEED = 20261128 };
#endif

static void each_value_becomes_ours_or_says_why_not(void **state)
{
	static const struct {
		const char *theirs, *says, *ours; /* of a <domain d.example> */
	} cases[] = {
		{ "max-smtp-out 7", "taken: max-smtp-out 7", "max-smtp-out = 7\n" },
		{ "MAX-SMTP-OUT 7", "taken: MAX-SMTP-OUT 7", "max-smtp-out = 7\n" },
		{ "max-smtp-out unlimited", "approximated: ", "max-smtp-out = 1000000\n" },
		{ "max-smtp-out many", "dropped: max-smtp-out many: max-smtp-out: \"many\"", NULL },
		{ "max-smtp-out", "dropped: max-smtp-out: it has no value", NULL },
		{ "max-smtp-out # 5", "dropped: max-smtp-out: it has no value", NULL },
		{ "max-smtp-out 5# five", "approximated: max-smtp-out 5", "max-smtp-out = 5\n" },
		{ "max-msg-rate 83/5s", "taken: ", "max-msg-rate = 83/5s\n" },
		{ "max-msg-rate 1/6m", "taken: ", "max-msg-rate = 1/6m\n" },
		{ "max-msg-rate 50/hr", "taken: ", "max-msg-rate = 50/hr\n" },
		{ "max-msg-rate 0", "approximated: ", "max-msg-rate = unlimited\n" },
		{ "max-msg-rate 20", "dropped: max-msg-rate 20: max-msg-rate: \"20\" needs a unit",
		  NULL },
		{ "max-msg-per-hour 600", "taken: ", "max-msg-rate = 600/h\n" },
		{ "max-msg-per-connection 0",
		  "approximated: ", "max-msg-per-connection = 1000000\n" },
		{ "max-rcpt-per-transaction 0",
		  "approximated: ", "max-rcpt-per-message = 10000\n" },
		{ "bounce-after 1w2d12h", "taken: ", "bounce-after = 9d12h\n" },
		{ "bounce-after 2w", "taken: ", "bounce-after = 14d\n" },
		{ "retry-after 5m,20m,1h",
		  "approximated: ", "min-backoff = 5m\nmax-backoff = 1h\n" },
		{ "retry-recipients-after 10m, 1w",
		  "taken: ", "retry-recipients-after = 10m, 7d\n" },
		{ "ignore-pipelining yes", "taken: ", "smtp-pipelining = no\n" },
		{ "ignore-pipelining perhaps", "dropped: ", NULL },
		{ "smtp-hosts \"[IPv6:2001:db8::5]:25;lookup-mx:x.example\"",
		  "taken: ", "route = [2001:db8::5]:25, mx:x.example\n" },
		{ "smtp-hosts 10.0.0.1", "taken: ", "route = [10.0.0.1]\n" },
		{ "smtp-hosts a.example,b.example",
		  "approximated: ", "route = a.example, b.example\n" },
		{ "queue-to \"\"", "taken: ", NULL },
		{ "notify-of-delay-every 4h", "approximated: ", "delay-dsn-after = 4h\n" },
		{ "type smtp", "taken: type smtp: that is so without a word", NULL },
		{ "type discard", "dropped: type discard: Stoker sends by SMTP only", NULL },
		{ "log-data false", "taken: ", NULL },
		{ "max-data-volume-rate 12M/m",
		  "dropped: max-data-volume-rate 12M/m: Stoker limits", NULL },
		{ "http-mgmt-port 80",
		  "dropped: http-mgmt-port 80: it does not belong here: it stands outside", NULL },
		{ "max-smpt-out 5",
		  "dropped: max-smpt-out 5: PowerMTA has no such directive: did you mean "
		  "max-smtp-out?",
		  NULL },
		{ "{{ limit }}", "dropped: {{ limit }}: it is no directive", NULL },
		{ "\"max-smtp-out\" 5", "dropped: ", NULL },
		{ "max-smtp-out \"6\"", "taken: ", "max-smtp-out = 6\n" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char at[200];

		snprintf(text, sizeof text, HOST "<domain d.example>\n\t%s\n</domain>\n",
			 cases[i].theirs);
		import(text);
		snprintf(at, sizeof at, "p.conf:3: %s", cases[i].says);
		says(at);
		if (cases[i].ours) {
			snprintf(text, sizeof text, "[domain d.example]\n%s", cases[i].ours);
			writes(text);
		} else {
			writes_not("[domain d.example]");
		}
	}
}

static void outside_of_sections(void **state)
{
	static const struct {
		const char *theirs, *says, *ours;
	} cases[] = {
		{ "postmaster a@x.example, b@x.example",
		  "taken: ", "postmaster = a@x.example, b@x.example\n" },
		{ "host-name mx1.example.com", "taken: ", "hostname = mx1.example.com\n" },
		{ "log-file-rotate daily", "taken: ", "log-file-rotate = daily\n" },
		{ "log-auto-rotation no", "taken: ", "log-file-rotate = never\n" },
		{ "log-rotate 8", "approximated: ", "log-keep = 8d\n" },
		{ "max-smtp-out 8", "approximated: ", "[domain *]\nmax-smtp-out = 8\n" },
		{ "min-backoff 40s max-backoff 2h", "p.conf:2: approximated: max-backoff 2h",
		  "[domain *]\nmin-backoff = 40s\nmax-backoff = 2h\n" },
		{ "smtp-listener 0/0:2525", "taken: ", "[listener 0.0.0.0:2525]\n" },
		{ "smtp-listener 127.0.0.1/32:26 source=s",
		  "approximated: ", "[listener 127.0.0.1:26]\nsource = s\n\n[source s]\n" },
		{ "smtp-listener [::1]:26", "taken: ", "[listener [::1]:26]\n" },
		{ "smtp-listener here", "dropped: ", NULL },
		{ "smtp-source-host 192.0.2.2 ://x.example",
		  "approximated: ", "smtp-source-host = 192.0.2.2 x.example\n" },
		{ "smtp-source-host 192.0.2.2/30 x.example",
		  "approximated: ", "smtp-source-host = 192.0.2.2 x.example\n" },
		{ "smtp-source-host nowhere x.example", "dropped: ", NULL },
		{ "spool /var/spool/pmta", "dropped: ", NULL },
		{ "always-allow-relaying yes",
		  "dropped: always-allow-relaying yes: everybody could relay", NULL },
		{ "include nowhere.conf", "dropped: include nowhere.conf: ", NULL },
		{ "include none-*.conf", "dropped: include none-*.conf: no file matches", NULL },
		{ "run-as-root yes", "dropped: ", NULL },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(text, sizeof text, HOST "%s\n", cases[i].theirs);
		import(text);
		says("p.conf:2: ");
		says(cases[i].says);
		if (cases[i].ours)
			writes(cases[i].ours);
	}
}

static void the_language_as_it_is_found(void **state)
{
	char line[11000];

	(void)state;
	/* BOM, CRLF, tags in any case, a comment that eats, a quoted name */
	import("\xef\xbb\xbf" HOST "<DOMAIN \"d.example\"> # x\r\nmax-smtp-out 4\r\n</Domain>\r\n");
	writes("[domain d.example]\nmax-smtp-out = 4\n");
	/* in one line */
	import(HOST "<domain d.example> max-smtp-out 4 max-msg-rate 5/s use-rs no "
		    "</domain>\n<domain e.example> max-smtp-out 3 </domain>\n");
	writes("[domain d.example]\nmax-smtp-out = 4\nmax-msg-rate = 5/s\nuse-rs = no\n");
	writes("[domain e.example]\nmax-smtp-out = 3\n");
	says("p.conf:2: taken: max-msg-rate 5/s");
	/* macros over several lines, macros in macros, a word of the list that is named by itself
	 */
	import(HOST "domain-macro a a.example,\n\n b.example, # two\n\tc.example\ndomain-macro all "
		    "$a, *.d.example\n"
		    "<domain $all>\nmax-smtp-out 4\n</domain>\n<domain b.example>\nmax-smtp-out "
		    "9\n</domain>\n");
	writes("[domain a.example]\nmax-smtp-out = 4\n");
	writes("[domain b.example]\nmax-smtp-out = 9\n");
	writes("[domain *.d.example]\nmax-smtp-out = 4\n");
	/* loops and unknown macros */
	import(HOST "domain-macro a $b\ndomain-macro b $a\n<domain $a>\nmax-smtp-out "
		    "4\n</domain>\n<domain $c>\n</domain>\n");
	says("p.conf:4: dropped: <domain $a>: the macro $a holds itself");
	says("p.conf:5: dropped: max-smtp-out 4: its section is dropped");
	says("p.conf:7: dropped: <domain $c>: there is no domain-macro c");
	/* a section that is not closed, and one too many closed */
	import(HOST "<domain d.example>\nmax-smtp-out 4\n<domain e.example>\nmax-smtp-out "
		    "5\n</domain>\n</domain>\n");
	says("p.conf:2: approximated: <domain d.example>: [domain d.example]: it is not closed: "
	     "closed before p.conf:4");
	says("p.conf:7: dropped: </domain>: it closes nothing");
	writes("[domain e.example]\nmax-smtp-out = 5\n");
	/* what is said twice */
	import(HOST "<domain d.example>\nmax-smtp-out 4\n</domain>\n<domain "
		    "d.example>\nmax-smtp-out 6\n</domain>\n");
	says("p.conf:3: dropped: max-smtp-out 4: p.conf:6 says it again: the last one counts");
	writes("[domain d.example]\nmax-smtp-out = 6\n");
	/* a line of 10,000 letters, and one that is not text */
	memset(line, 'x', 10000);
	snprintf(line + 10000, sizeof line - 10000, "\n" HOST "\xff\xfe\nmax-smtp-out 3\n");
	import(line);
	says("p.conf:1: dropped: xxx");
	says("p.conf:3: dropped: (bytes): the line is not UTF-8 text");
	says("p.conf:4: approximated: max-smtp-out 3");
}

static void a_list_longer_than_a_line_may_be_is_not_cut_in_silence(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text);
	buf_addz(&text, HOST "domain-macro many x.example");
	for (int i = 0; i < 900; i++)
		buf_addf(&text, ",d%d.example.com", i);
	buf_addz(&text, "\n<domain $many>\nmax-smtp-out 3\n</domain>\npostmaster a@x.example");
	for (int i = 0; i < 900; i++)
		buf_addf(&text, ",a%d@x.example", i);
	import_bytes(text.p, text.n);
	writes("[domain d899.example.com]\nmax-smtp-out = 3\n");
	says("p.conf:6: dropped: postmaster a@x.example");
	says("a line has at most 8192 bytes");
	buf_free(&text);
}

static void several_addresses_are_a_pool_and_its_limits_are_divided(void **state)
{
	(void)state;
	import("<virtual-mta v>\nsmtp-source-host 192.0.2.1 m1.x.example\nsmtp-source-host "
	       "192.0.2.2 m2.x.example\n"
	       "smtp-source-host 2001:db8::1 m1.x.example\nmax-smtp-out 9\nmax-smtp-msg-rate 7/s\n"
	       "<domain a.example>\nmax-msg-rate 10/s\nbounce-after 2d\n</domain>\n</virtual-mta>\n"
	       "<virtual-mta-pool p>\nvirtual-mta v\nvirtual-mta w\n</virtual-mta-pool>\n"
	       "<domain b.example>\nmax-smtp-out 1\nmax-connect-rate 3/min\n</domain>\n"
	       "<domain *>\nmax-smtp-out 30\n</domain>\n");
	says("p.conf:1: approximated: <virtual-mta v>: [virtual-mta-pool v] members = v-1, v-2: a "
	     "virtual MTA of several addresses");
	says("p.conf:5: approximated: max-smtp-out 9");
	says("p.conf:14: approximated: virtual-mta w");
	writes("[virtual-mta v-1]\nsmtp-source-host = 192.0.2.1 m1.x.example\nsmtp-source-host = "
	       "2001:db8::1 m1.x.example\n"
	       "max-smtp-out = 4\nmax-msg-rate = 7/2s\n");
	writes("[virtual-mta v-2]\nsmtp-source-host = 192.0.2.2 m2.x.example\nmax-smtp-out = 4\n");
	writes("[virtual-mta-pool p]\nmembers = v-1, v-2\n");
	writes("[domain a.example via v-2]\nmax-msg-rate = 5/s\nbounce-after = 2d\n");
	writes("[domain b.example via v-1]\nmax-smtp-out = 1\nmax-connect-rate = 3/2m\n");
	says("p.conf:21: approximated: max-smtp-out 30: [domain *] max-smtp-out = 30: it counts at "
	     "each of the 2 addresses");
	writes_not("[domain * via v");
}

static void names_that_nothing_defines_get_a_section_and_are_reported(void **state)
{
	(void)state;
	import(HOST "smtp-source-host 192.0.2.2 m2.example.com\nsmtp-listener 127.0.0.1:25 "
		    "default-virtual-mta pool-1 source feed\n");
	says("p.conf:3: approximated: smtp-listener");
	says("nothing defines pool-1: [virtual-mta-pool pool-1] is made, of all addresses that "
	     "there are");
	says("nothing defines feed: [source feed] is made, which allows nothing");
	writes("[virtual-mta-pool pool-1]\nmembers = default1, default2\n");
	writes("[listener 127.0.0.1:25]\ndefault-virtual-mta = pool-1\nsource = feed\n");
	import("postmaster a@x.example\n");
	says("p.conf: approximated: smtp-listener: there is none: PowerMTA then listens at "
	     "0.0.0.0:25");
	says("p.conf: approximated: smtp-source-host: there is none");
	writes("[listener 0.0.0.0:25]\n");
	import("<virtual-mta a>\n" HOST "</virtual-mta>\n<virtual-mta b>\n</virtual-mta>\n<source "
	       "10.0.0.0/8>\nalways-allow-relaying yes\n</source>\n");
	says(
	    "p.conf:4: approximated: <virtual-mta b>: [virtual-mta b]: it has no smtp-source-host");
	says("p.conf: approximated: default-virtual-mta: mail for which nothing names one");
	writes("default-virtual-mta = a\n");
	import(
	    "<virtual-mta x>\nhost-name m.x.example\nsmtp-source-host 192.0.2.9\n</virtual-mta>\n");
	writes("smtp-source-host = 192.0.2.9 m.x.example\n");
}

static void pattern_lists_keep_their_order_and_lose_what_is_not_there(void **state)
{
	(void)state;
	import(HOST "<smtp-pattern-list l>\nreply /too many, or/ "
		    "mode=backoff,backoff-to-normal-after=1w\nreply // bounce-queue\n"
		    "reply /x/ disable-source-ip,reenable-after=2h,defer-queue\nreply /y/ "
		    "defer-queue\nreply /z#/ skip-mx\n"
		    "reply z skip-mx\nreply /a(/ skip-mx\n</smtp-pattern-list>\n<domain "
		    "d.example>\nsmtp-pattern-list l\n</domain>\n"
		    "<domain e.example>\nsmtp-pattern-list none\n</domain>\n");
	writes("[pattern-list l]\nreply = /too many, or/ mode=backoff for=7d\nreply = /.*/ "
	       "bounce-queue\n"
	       "reply = /x/ disable-source-ip for=2h\n\n");
	says("p.conf:5: approximated: reply /x/");
	says("p.conf:6: dropped: reply /y/ defer-queue: defer-queue is left out");
	says("p.conf:7: dropped: reply /z: ");
	says("# begins a comment");
	says("p.conf:8: dropped: reply z skip-mx: write reply /REGEX/ ACTION");
	says("p.conf:9: dropped: reply /a(/ skip-mx: ");
	says("p.conf:15: approximated: smtp-pattern-list none");
	writes("[pattern-list none]\nreply = include default\n");
}

static void wider_sources_are_written_into_narrower_ones(void **state)
{
	(void)state;
	import(HOST "<source 0/0>\nmax-message-size 10M\nadd-date-header no\n</source>\n<source "
		    "10.0.0.0/8>\nalways-allow-relaying yes\n"
		    "</source>\n<source 10.1.2.3>\nmax-message-size 20M\n</source>\n");
	writes("[source 10.0.0.0/8]\nalways-allow-relaying = yes\nmax-message-size = 10M\nadd-date "
	       "= no\n");
	writes("[source 10.1.2.3]\nmax-message-size = 20M\nalways-allow-relaying = yes\nadd-date = "
	       "no\n");
	says("p.conf:4: taken: add-date-header no: [source 0.0.0.0/0] add-date = no (and 2 more)");
}

static void rollups_and_queue_to_are_providers(void **state)
{
	(void)state;
	import(HOST "<mx-rollup-list>\nmx *.google.com g.rollup\nmx mx.h.example "
		    "h.rollup\n</mx-rollup-list>\n"
		    "<domain g.rollup>\nmax-smtp-out 3\n</domain>\n<domain h.rollup>\nmax-smtp-out "
		    "4\n</domain>\n"
		    "<domain a.example>\nqueue-to q.example\n</domain>\n<domain "
		    "q.example>\nmax-smtp-out 5\n</domain>\n"
		    "<domain hotmail.com>\nqueue-to outlook.com\n</domain>\n");
	writes("[provider google]\nmax-smtp-out = 3\n");
	says("p.conf:3: approximated: mx *.google.com g.rollup: [provider google]");
	writes("[provider h]\nmx = mx.h.example\nmax-smtp-out = 4\n");
	writes(
	    "[provider q.example]\ndomains = q.example\ndomains = a.example\nmax-smtp-out = 5\n");
	says("inside the provider microsoft that comes with Stoker");
}

static void report_domains_are_inbound_and_single_addresses_are_not(void **state)
{
	(void)state;
	import(HOST "domain-macro own b.example.com,\nf.example.com\nrelay-domain b.example.com\n"
		    "relay-domain other.example.com\n<bounce-processor>\nforward-unmatched-to "
		    "p@example.com\ndeliver-matched-email no\n<address-list>\ndomain $own\naddress "
		    "bounce@example.com\n</address-list>\n</bounce-processor>\n"
		    "<feedback-loop-processor>\n<address-list>\naddress fbl@example.com\n"
		    "</address-list>\n</feedback-loop-processor>\n<address-list gone>\ndomain "
		    "x.example\n</address-list>\n");
	writes("[inbound b.example.com]\nverp = no\nforward-unmatched = p@example.com\n");
	writes("[inbound f.example.com]\nverp = no\nforward-unmatched = p@example.com\n");
	says("taken: relay-domain b.example.com: [inbound] takes its mail from anybody");
	says("dropped: relay-domain other.example.com: ");
	says("approximated: <bounce-processor>: [inbound b.example.com]");
	says("without one no report can be matched");
	says("dropped: address bounce@example.com: [inbound DOMAIN] reads all mail of its domain");
	says("dropped: <feedback-loop-processor>: it names no domain");
	says("dropped: <address-list gone>: ");
	says("dropped: domain x.example: its section is dropped");
	writes_not("[inbound x.example]");
	import(HOST "<bounce-processor>\n<address-list>\ndomain *.b.example\n</address-list>\n"
		    "</bounce-processor>\n");
	says("dropped: domain *.b.example: \"*.b.example\" is not a domain to Stoker; no domain is "
	     "left");
}

static void a_source_in_braces_is_the_same_wherever_it_is_named(void **state)
{
	(void)state;
	import(HOST "<source {pmta-auth}>\nalways-allow-relaying yes\n</source>\n<smtp-user "
		    "u>\npassword x\nsource {pmta-auth}\n</smtp-user>\n");
	writes("[source pmta-auth]\nalways-allow-relaying = yes\n");
	writes("source = pmta-auth\n");
	says("taken: source {pmta-auth}: [smtp-user u] source = pmta-auth");
}

static void includes_are_read_where_they_stand(void **state)
{
	(void)state;
	assert_int_equal(mkdir("d", 0700), 0);
	world_file("d/2.conf", "max-smtp-out 2\n");
	world_file("d/1.conf", "max-msg-rate 1/s\ninclude 1.conf\n");
	import(HOST "<domain d.example>\ninclude d/*.conf\n</domain>\n");
	writes("[domain d.example]\nmax-msg-rate = 1/s\nmax-smtp-out = 2\n");
	says("/d/1.conf:1: ");
	says("includes are nested more than 8 deep");
	import(HOST "include http://x.example/conf\n");
	says("p.conf:2: dropped: include http://x.example/conf: nothing is fetched");
}

static void load(const char *name, struct buf *out)
{
	char path[4300];
	FILE *f;
	int c;

	snprintf(path, sizeof path, "%s/tests/fixtures/pmta/%s", w.home, name);
	f = fopen(path, "r");
	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		buf_addc(out, (char)c);
	fclose(f);
}

static const char *const fixtures[] = { "hot.conf", "bulk.conf", "panel.conf", "warm.conf" };
enum { FIXTURES = sizeof fixtures / sizeof fixtures[0] };

/* Every line that is neither empty nor a comment nor the end of a section is in the report. */
static void every_line_of_real_configurations_is_reported(void **state)
{
	(void)state;
	for (int i = 0; i < FIXTURES; i++) {
		struct buf text;
		struct str rest, line;
		bool joined = false;
		int n = 0;

		buf_init(&text);
		load(fixtures[i], &text);
		import_bytes(text.p, text.n);
		rest = buf_str(&text);
		while (str_split(&rest, '\n', &line)) {
			char at[32];
			bool before = joined;

			n++;
			line = str_trim(line);
			joined = line.n && line.p[line.n - 1] == ',';
			if (before || !line.n || line.p[0] == '#' || str_istarts(line, "</"))
				continue;
			snprintf(at, sizeof at, "p.conf:%d: ", joined ? n + 1 : n);
			if (!joined)
				says(at);
		}
		buf_free(&text);
	}
}

/* ---- no text crashes it, and what it writes is accepted ---- */

static struct rng rng;

static const char *const pieces[] = {
	"<",
	">",
	"</",
	"<domain ",
	"</domain>",
	"<virtual-mta ",
	"<source ",
	"#",
	"\"",
	"\\",
	"$",
	"$big",
	",",
	";",
	"\n",
	"\r",
	"/x/",
	"//",
	"*",
	"*.",
	"[*.]",
	"0/0",
	"::1",
	"://",
	"=",
	"{pickup}",
	"{auth}",
	"domain-macro x $x\n",
	"include p.conf\n",
	"include *\n",
	"smtp-source-host 192.0.2.9 a.b\n",
	"default",
	"default1",
	"default-virtual-mta mta9\n",
	"max-smtp-out 0\n",
	"retry-after 9w\n",
	"\xff",
	"\xef\xbb\xbf",
	"<mx-rollup-list>\nmx * x.rollup\n",
	"queue-to gmail.com\n",
	"smtp-hosts ",
	"1w",
	"18446744073709551616",
	"virtual-mta ",
	"<virtual-mta-pool mta1>\n",
	"min-backoff 30d max-backoff 1s\n",
};
enum { PIECES = sizeof pieces / sizeof pieces[0] };

static size_t below(size_t n)
{
	return n ? (size_t)(rng_u64(&rng) % n) : 0;
}

static void mutate(struct buf *text, const struct buf *seed)
{
	const char *piece = pieces[below(PIECES)];
	size_t at = below(text->n + 1), n = strlen(piece), len;
	struct buf tail;

	switch (below(4)) {
	case 0:
		len = below(text->n - at + 1) % 200;
		memmove(text->p + at, text->p + at + len, text->n - at - len);
		text->n -= len;
		return;
	case 1:
		if (seed->n) {
			len = below(seed->n);
			piece = seed->p + len;
			n = below(seed->n - len) % 400;
		}
		break;
	default:
		break;
	}
	buf_init(&tail);
	buf_add(&tail, text->p + at, text->n - at);
	text->n = at;
	buf_add(text, piece, n);
	buf_adds(text, buf_str(&tail));
	buf_free(&tail);
}

static void whatever_it_reads_it_writes_what_is_accepted(void **state)
{
	struct buf seeds[FIXTURES], text;
	int rounds = getenv("STOKER_FULL") ? 10 * ROUNDS : ROUNDS;

	(void)state;
	rng_seed(&rng, SEED);
	buf_init(&text);
	for (int i = 0; i < FIXTURES; i++) {
		buf_init(&seeds[i]);
		load(fixtures[i], &seeds[i]);
	}
	for (int i = 0; i < rounds; i++) {
		size_t changes = 1 + below(i % 2 ? 4 : 40);

		buf_clear(&text);
		buf_adds(&text, buf_str(&seeds[i % FIXTURES]));
		while (changes--)
			mutate(&text, &seeds[below(FIXTURES)]);
		import_bytes(text.p, text.n);
	}
	for (int i = 0; i < FIXTURES; i++)
		buf_free(&seeds[i]);
	buf_free(&text);
}

/* A row whose directive the schema does not have is dead: said always, and refused by `make
 * accept`. */
static void no_row_of_the_table_is_dead(void **state)
{
	static const struct {
		unsigned in;
		const char *kind;
	} kinds[] = {
		{ IN_SOURCE, "source" },    { IN_DOMAIN, "domain" },
		{ IN_VMTA, "virtual-mta" }, { IN_POOL, "virtual-mta-pool" },
		{ IN_USER, "smtp-user" },   { IN_LISTENER, "listener" },
		{ IN_PICKUP, "pickup" },    { IN_REPLIES, "pattern-list" },
		{ IN_ACCT, "accounting" },  { IN_REPORTS, "inbound" },
	};
	int dead = 0;

	(void)state;
	for (size_t i = 0; i < pmta_rules_n; i++) {
		const struct pmta_rule *r = &pmta_rules[i];
		const char *kind = r->kind;

		for (size_t k = 0; !kind && k < sizeof kinds / sizeof kinds[0]; k++)
			if (r->in & kinds[k].in)
				kind = kinds[k].kind;
		if (!r->to || !kind)
			continue;
		enum section_kind found = section_kind_find(str_of(kind));

		if (found != KIND_COUNT && directive_find(found, str_of(r->to)))
			continue;
		print_message("# this schema has no [%s] %s\n", kind, r->to);
		dead++;
	}
	if (getenv("STOKER_FULL"))
		assert_int_equal(dead, 0);
}

static void the_report_shows_no_passwords(void **state)
{
	(void)state;
	import(
	    HOST
	    "<smtp-user u>\npassword hunter2\n</smtp-user>\n<domain d.example>\nauth-username u\n"
	    "auth-password hunter2\n</domain>\n<domain e.example> auth-password hunter2 "
	    "</domain>\nhttp-api-key hunter2\n"
	    "password hunter2\n");
	says("p.conf:3: taken: password ***");
	assert_null(strstr(report.p, "hunter2"));
}

static void what_can_t_be_read_is_one_sentence(void **state)
{
	struct errbuf e = { "" };

	(void)state;
	assert_false(pmta_import("none.conf", shipped, &ini, &report, &count, &e));
	assert_string_equal(e.text, "none.conf can't be read: No such file or directory");
	assert_false(pmta_import(".", shipped, &ini, &report, &count, &e));
	assert_string_equal(e.text, ". can't be read: it is a directory");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		T(each_value_becomes_ours_or_says_why_not),
		T(outside_of_sections),
		T(the_language_as_it_is_found),
		T(a_list_longer_than_a_line_may_be_is_not_cut_in_silence),
		T(several_addresses_are_a_pool_and_its_limits_are_divided),
		T(names_that_nothing_defines_get_a_section_and_are_reported),
		T(pattern_lists_keep_their_order_and_lose_what_is_not_there),
		T(wider_sources_are_written_into_narrower_ones),
		T(rollups_and_queue_to_are_providers),
		T(report_domains_are_inbound_and_single_addresses_are_not),
		T(a_source_in_braces_is_the_same_wherever_it_is_named),
		T(includes_are_read_where_they_stand),
		T(every_line_of_real_configurations_is_reported),
		T(whatever_it_reads_it_writes_what_is_accepted),
		T(no_row_of_the_table_is_dead),
		T(the_report_shows_no_passwords),
		T(what_can_t_be_read_is_one_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
