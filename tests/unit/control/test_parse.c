/* Command lines: what is taken, what is refused and in which words; help and completion from the
 * one table. */
#include "tests/unit/control/world.h"

#include "core/control/parse.h"

struct line {
	struct arena mem;
	struct invocation inv;
	struct errbuf e;
	bool ok;
};

static void parse_into(struct line *l, const char *text)
{
	struct str *words;
	int n;

	memset(l, 0, sizeof *l);
	arena_init(&l->mem, 512);
	l->ok = command_split(str_of(text), &l->mem, &words, &n, &l->e) &&
		invocation_parse(words, n, &l->mem, world_now, &l->inv, &l->e);
}

static const char *const good[] = {
	"status",
	"status --check",
	"status --json",
	"queues --filter \"yahoo state:down\" --sort -queued --limit 10 --offset 20 --json",
	"sites",
	"lanes --json",
	"messages",
	"messages gmail.com/pool-a --limit 5",
	"queue gmail.com",
	"queue @google",
	"lane google@vmta1 --json",
	"message 4f2a77 --raw",
	"message id:4F2A77",
	"settings gmail.com via pool-a",
	"resolve gmail.com",
	"log -f yahoo !reply:2.0.0",
	"log",
	"pause gmail.com for 4h because \"their MX is being moved\"",
	"pause all for ever",
	"resume all because done",
	"rate @google 10/s",
	"rate google@vmta1 600/min each for 2h",
	"connections yahoo.com 4 each",
	"retry job:news",
	"disable vmta:vmta4 at @yahoo",
	"enable vmta:vmta4",
	"end 18",
	"undo",
	"amend 18 for 2h",
	"amend 18 because \"ticket 4411\"",
	"ack 3 because seen",
	"rotate",
	"reload --dry-run",
	"reload --to 40",
	"drain",
	"shutdown --yes",
	"move gmail.com pool-b share 50%",
	"bounce yahoo.com --yes --expect 412 --shown-at 1700000000000000",
	"delete id:4f2a77",
	"pause -- gmail.com",
	"suppress add u@x.example for news.example for 30d because asked",
	"suppress add u@x.example for 3com.example until 2028-02-29T23:59:59.123Z",
	"suppress add u@x.example until 2027-01-31T09:00",
	"suppress remove u@x.example for intranet",
};

static void test_good_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		struct line l;

		parse_into(&l, good[i]);
		if (!l.ok)
			fail_msg("%s: %s", good[i], l.e.text);
		arena_free(&l.mem);
	}
}

static const struct {
	const char *line, *says;
} bad[] = {
	{ "", "no command" },
	{ "paus gmail.com", "did you mean \"pause\"" },
	{ "frobnicate", "no command \"frobnicate\"" },
	{ "pause", "pause takes T" },
	{ "pause gmail.com yahoo.com", "one word too many: \"yahoo.com\"" },
	{ "pause gmail.com for", "nothing follows \"for\"" },
	{ "pause gmail.com for 4", "or \"for ever\"" },
	{ "pause gmail.com because", "nothing follows \"because\"" },
	{ "pause gmail.com --json", "no option \"--json\"" },
	{ "pause \"gmail.com", "its second one is missing" },
	{ "rate gmail.com", "takes T R" },
	{ "rate gmail.com 10", "rate: " },
	{ "rate gmail.com unlimited", "can't be unlimited" },
	{ "rate gmail.com 10/s every", "expected \"each\"" },
	{ "connections gmail.com 0", "pause" },
	{ "connections gmail.com many", "connections: " },
	{ "disable gmail.com", "takes vmta:NAME" },
	{ "disable vmta:v at gmail.com", "@PROVIDER" },
	{ "disable vmta:v on @google", "expected \"at @PROVIDER\"" },
	{ "lane gmail.com", "google@vmta1" },
	{ "message xyz", "4f2a77" },
	{ "message", "takes ID" },
	{ "settings gmail.com pool-a", "expected \"via NAME\"" },
	{ "end x", "takes a number" },
	{ "end 0", "takes a number" },
	{ "amend 18", "nothing to change" },
	{ "undo 18", "one word too many" },
	{ "move gmail.com", "takes T ROUTE" },
	{ "move gmail.com pool-b share", "expected \"share 50%\"" },
	{ "move gmail.com pool-b share much", "share: " },
	{ "move gmail.com pool-b share 150%", "share" },
	{ "queues --limit many", "--limit: " },
	{ "queues --limit -1", "--limit: " },
	{ "queues --limit", "nothing follows" },
	{ "queues --raw", "no option" },
	{ "queues gmail.com", "one word too many" },
	{ "status --to 4", "no option" },
	{ "reload 41", "one word too many" },
	{ "suppress add u@x.example for 30days",
	  "is written as 30m, 12h, 30d, 1d12h or ever, not \"30days\"" },
	{ "suppress add u@x.example for 2weeks", "not \"2weeks\"" },
	{ "suppress add u@x.example for 1.5h", "not \"1.5h\"" },
	{ "suppress remove u@x.example for 30d", "a sender's domain, not \"30d\"" },
	{ "suppress add u@x.example until 2027-02-29", "a day as 2027-01-31" },
	{ "suppress add u@x.example until 2027-04-31", "a day as" },
	{ "suppress add u@x.example until 2027-13-01", "a day as" },
	{ "suppress add u@x.example until 27-01-31", "a day as" },
	{ "suppress add u@x.example until 2027-01-31T24:00:00Z", "a day as" },
	{ "suppress add u@x.example until 2027-01-31T09:60:00Z", "a day as" },
	{ "suppress add u@x.example until 2027-01-31T09:00:60Z", "a day as" },
	{ "suppress add u@x.example until 2027-01-31T09:00:00+02:00", "a day as" },
	{ "suppress add u@x.example until \"2027-01-31 noon\"", "a day as" },
	{ "suppress add u@x.example until 2027-01-31T09:00:00Zx", "a day as" },
	{ "suppress add u@x.example until 2027-01-31T", "a day as" },
	{ "suppress add u@x.example until 2027-01-31T09:00:00.Z", "a day as" },
};

static void test_bad_lines_say_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct line l;

		parse_into(&l, bad[i].line);
		if (l.ok)
			fail_msg("\"%s\" was taken", bad[i].line);
		if (!strstr(l.e.text, bad[i].says))
			fail_msg("\"%s\": \"%s\" does not say \"%s\"", bad[i].line, l.e.text,
				 bad[i].says);
		if (strchr(l.e.text, '\n'))
			fail_msg("\"%s\": more than one line", bad[i].line);
		arena_free(&l.mem);
	}
}

static void test_what_reaches_the_scheduler(void **state)
{
	struct line l;

	(void)state;
	parse_into(&l, "pause corp.example for 4h because \"their MX is being moved\"");
	assert_int_equal(l.inv.sched.type, CMD_PAUSE);
	assert_int_equal(l.inv.sched.target.kind, TARGET_DOMAIN);
	assert_true(l.inv.sched.until == world_now + 4 * US_PER_HOUR);
	assert_true(str_eqz(l.inv.sched.reason, "their MX is being moved"));
	assert_int_equal(l.inv.sched.expect, -1);
	arena_free(&l.mem);
	parse_into(&l, "pause all");
	assert_true(l.inv.sched.until == 0); /* the command's default */
	arena_free(&l.mem);
	parse_into(&l, "pause all for ever");
	assert_true(l.inv.sched.until == US_NEVER);
	arena_free(&l.mem);
	parse_into(&l, "rate @google 10/min each");
	assert_int_equal(l.inv.sched.type, CMD_RATE);
	assert_int_equal(l.inv.sched.rate.n, 10);
	assert_true(l.inv.sched.rate.per == US_PER_MIN);
	assert_true(l.inv.sched.each);
	arena_free(&l.mem);
	parse_into(&l, "disable vmta:vmta4 at @yahoo");
	assert_int_equal(l.inv.sched.at.kind, TARGET_SITE);
	arena_free(&l.mem);
	parse_into(&l, "disable vmta:vmta4");
	assert_int_equal(l.inv.sched.at.kind, TARGET_ALL);
	arena_free(&l.mem);
	parse_into(&l, "move gmail.com pool-b share 25%");
	assert_true(l.inv.sched.share == 0.25);
	assert_true(str_eqz(l.inv.sched.route, "pool-b"));
	arena_free(&l.mem);
	parse_into(&l, "bounce yahoo.com --yes --expect 412 --shown-at 1700000000000000");
	assert_true(l.inv.yes);
	assert_int_equal(l.inv.sched.expect, 412);
	assert_true(l.inv.sched.shown_at == 1700000000000000);
	arena_free(&l.mem);
	parse_into(&l, "message id:4f2a77");
	assert_int_equal(l.inv.number, 0x4f2a77);
	arena_free(&l.mem);
	parse_into(&l, "log -f yahoo \"user unknown\" --filter type:bounced");
	assert_true(l.inv.follow);
	assert_true(str_eqz(l.inv.filter, "yahoo user unknown type:bounced"));
	arena_free(&l.mem);
	/* A domain may be called like a keyword. */
	parse_into(&l, "pause for for 4h");
	assert_true(l.ok && str_eqz(l.inv.arg, "for"));
	arena_free(&l.mem);
}

static void test_words(void **state)
{
	struct arena mem;
	struct str *w;
	struct errbuf e;
	int n;

	(void)state;
	arena_init(&mem, 512);
	assert_true(command_split(STR_LIT("  a  \"b c\" d\"e f\"g \"\" \"say \\\"x\\\"\" "), &mem,
				  &w, &n, &e));
	assert_int_equal(n, 5);
	assert_true(str_eqz(w[0], "a") && str_eqz(w[1], "b c") && str_eqz(w[2], "de fg"));
	assert_true(w[3].n == 0 && str_eqz(w[4], "say \"x\""));
	assert_true(command_split(STR_LIT(""), &mem, &w, &n, &e) && n == 0);
	arena_free(&mem);
}

static void test_random_lines(void **state)
{
	static const char *const pieces[] = { "pause", "rate",	  "gmail.com", "@google", "for",
					      "4h",    "because", "\"x y\"",   "--yes",	  "--json",
					      "log",   "-f",	  "10/s",      "each",	  "\"",
					      "--",    "all",	  "move",      "share",	  "50%",
					      "18",    "amend",	  "--filter",  "\x1b[2J" };
	struct rng rng;

	(void)state;
	rng_seed(&rng, 5);
	for (int i = 0; i < 20000; i++) {
		char text[200] = "";
		struct line l;
		uint64_t n = rng_below(&rng, 8);

		while (n--) {
			strcat(text, pieces[rng_below(&rng, sizeof pieces / sizeof pieces[0])]);
			strcat(text, " ");
		}
		parse_into(&l, text);
		assert_true(l.ok || l.e.text[0]);
		arena_free(&l.mem);
	}
}

static void test_every_command_has_help(void **state)
{
	struct buf all, one;
	int n;
	const struct command *c = command_table(&n);

	(void)state;
	buf_init(&all);
	assert_true(command_help(STR_LIT(""), &all));
	for (int i = 0; i < n; i++) {
		char start[64];

		snprintf(start, sizeof start, "\n  %s ", c[i].name);
		assert_non_null(strstr(buf_z(&all), start));
		assert_ptr_equal(command_find(str_of(c[i].name)), &c[i]);
		buf_init(&one);
		assert_true(command_help(str_of(c[i].name), &one));
		assert_non_null(strstr(buf_z(&one), c[i].help));
		buf_free(&one);
	}
	buf_clear(&all);
	static const char *const in_order[] = { "suppress list", "messages", "log" };
	for (size_t i = 0; i < sizeof in_order / sizeof *in_order; i++) {
		buf_init(&one);
		command_usage(command_find(str_of(in_order[i])), &one);
		assert_null(strstr(buf_z(&one), "--sort"));
		assert_int_equal(!strstr(buf_z(&one), "--offset"), i == 2);
		buf_free(&one);
	}
	assert_false(command_help(STR_LIT("queus"), &all));
	assert_non_null(strstr(buf_z(&all), "did you mean \"queues\""));
	buf_free(&all);
}

/* COMMANDS.md, "admin adds bounce, delete, move, reload, drain, shutdown". */
static void test_roles(void **state)
{
	static const char *const admin[] = { "bounce", "delete", "move",
					     "reload", "drain",	 "shutdown" };
	int n;
	const struct command *c = command_table(&n);

	(void)state;
	for (int i = 0; i < n; i++) {
		bool is = false;

		for (size_t k = 0; k < sizeof admin / sizeof admin[0]; k++)
			is |= strcmp(admin[k], c[i].name) == 0;
		assert_int_equal(c[i].role == ROLE_ADMIN, is);
		assert_true(!(c[i].flags & COMMAND_ACT) || c[i].role >= ROLE_OPERATE);
		assert_true(!(c[i].flags & (COMMAND_LIST | COMMAND_SHOW)) ||
			    c[i].role == ROLE_READ);
	}
}

/* ---- completion ---- */

struct offered {
	char text[2000];
};

static void offer(void *arg, struct str word)
{
	struct offered *o = arg;
	size_t n = strlen(o->text);

	snprintf(o->text + n, sizeof o->text - n, "%.*s ", (int)word.n, word.p);
}

static void test_completion(void **state)
{
	struct mirror *m = mirror_new();
	struct row rows[] = { queue_row(1, "gmail.com", "pool-a", STATE_OK, 1),
			      queue_row(2, "gmx.net", "pool-a", STATE_OK, 1),
			      site_row(3, "google", STATE_OK, 1),
			      lane_row(4, "google", "vmta1", 3),
			      source_row(5, "vmta1"),
			      override_row(18, "pause", "gmail.com", "op1") };
	static const struct {
		const char *line, *offers;
	} t[] = {
		{ "pau", "pause " },
		{ "pause gm", "gmail.com gmx.net " },
		{ "pause @", "@google " },
		{ "pause google@", "google@vmta1 " },
		{ "pause gmail.com/", "gmail.com/pool-a " },
		{ "pause vmta:", "vmta:vmta1 " },
		{ "pause gmail.com f", "for " },
		{ "pause gmail.com for e", "ever " },
		{ "pause pool:", "pool:pool-a pool:pool-b " },
		{ "end ", "18 " },
		{ "disable vmta:vmta1 at @g", "@google " },
		{ "queues --sort que", "queued " },
		{ "queues --s", "--sort " },
		{ "help dra", "drain " },
		{ "nonsense x", "" },
	};

	(void)state;
	rows[4].source.pools = text("pool-a, pool-b, pool-a");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		mirror_row(m, &rows[i]);
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct offered o = { "" };

		command_complete(m, str_of(t[i].line), offer, &o);
		if (strcmp(o.text, t[i].offers) != 0)
			fail_msg("%s: %s", t[i].line, o.text);
	}
	mirror_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_lines),
		cmocka_unit_test(test_bad_lines_say_why),
		cmocka_unit_test(test_what_reaches_the_scheduler),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_random_lines),
		cmocka_unit_test(test_every_command_has_help),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_completion),
	};

	hash_seed(1, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
