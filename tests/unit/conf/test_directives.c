/* Every directive of the table is read, means something, keeps its range, and can be written wrong.
 */
#include "tests/unit/conf/dump.h"

#include "conf/accounting.h"
#include "conf/schema.h"

#define HASH "$6$saltsalt$BBBBBBBBBBBBBBBBBBBBBBBBBB"

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

/* The section of each kind that the samples are written into, and all that they name. */
static const char ground[] = "[mta]\n"
			     "[listener 127.0.0.1:2525]\n"
			     "[source 127.0.0.1]\nalways-allow-relaying = yes\n"
			     "[source other]\n"
			     "[source s]\n"
			     "[virtual-mta v]\nsmtp-source-host = 192.0.2.1 m1.example.com\n"
			     "[virtual-mta u]\nsmtp-source-host = 192.0.2.2 m2.example.com\n"
			     "[provider p]\nmx = *.p.example\n"
			     "[domain d.example]\n"
			     "[pickup /p]\n"
			     "[warmup k]\n"
			     "[console]\n"
			     "[alarm]\n"
			     "[pattern-list l]\nreply = /x/ ignore\n"
			     "[virtual-mta-pool q]\n";

static const char *const headers[KIND_COUNT] = {
	[KIND_MTA] = "[mta]",
	[KIND_LISTENER] = "[listener 127.0.0.1:2525]",
	[KIND_SOURCE] = "[source s]",
	[KIND_VMTA] = "[virtual-mta v]",
	[KIND_WARMUP] = "[warmup k]",
	[KIND_POOL] = "[virtual-mta-pool q]",
	[KIND_PROVIDER] = "[provider p]",
	[KIND_DOMAIN] = "[domain d.example]",
	[KIND_DKIM] = "[dkim d.example]",
	[KIND_SMTP_USER] = "[smtp-user w]",
	[KIND_PICKUP] = "[pickup /p]",
	[KIND_ACCOUNTING] = "[accounting a]",
	[KIND_SUPPRESSION] = "[suppression]",
	[KIND_WEBHOOK] = "[webhook h]",
	[KIND_ALARM] = "[alarm]",
	[KIND_CONSOLE] = "[console]",
	[KIND_INBOUND] = "[inbound b.example]",
	[KIND_CATEGORIES] = "[bounce-category-patterns]",
	[KIND_PATTERN_LIST] = "[pattern-list l]",
};

/* A value that is not the default, and one that is refused. */
static const struct sample {
	enum section_kind kind;
	const char *name, *good, *bad;
} samples[] = {
	{ KIND_MTA, "hostname", "other.example.com", "-x-.example" },
	{ KIND_MTA, "postmaster", "a@example.com", "nobody" },
	{ KIND_MTA, "spool", "/q", NULL },
	{ KIND_MTA, "state", "/r", NULL },
	{ KIND_MTA, "run-as-user", "mail", "a b" },
	{ KIND_MTA, "control-socket", "/s.sock",
	  "/01234567890123456789012345678901234567890123456789012345678901234567890123456789"
	  "0123456789012345678901234567890" },
	{ KIND_MTA, "control-group", "ops", "a/b" },
	{ KIND_MTA, "threads", "97", "257" },
	{ KIND_MTA, "total-max-smtp-out", "41", "0" },
	{ KIND_MTA, "total-max-smtp-in", "42", "-1" },
	{ KIND_MTA, "max-message-size", "43k", "1000" },
	{ KIND_MTA, "spool-min-free", "44M", "1k" },
	{ KIND_MTA, "events-max", "45M", "much" },
	{ KIND_MTA, "max-hops", "46", "1001" },
	{ KIND_MTA, "memory-limit", "100M", "101%" },
	{ KIND_MTA, "smtp-source-host", "192.0.2.77 x.example.com", "1.2.3.4 ://example.com" },
	{ KIND_MTA, "default-virtual-mta", "u", "w" },
	{ KIND_MTA, "name-server", "192.0.2.53, [2001:db8::53]:5353", "ns.example.com" },
	{ KIND_MTA, "http-mgmt-port", "8080", "0" },
	{ KIND_MTA, "http-mgmt-address", "::1", "localhost" },
	{ KIND_MTA, "http-access", "10.0.0.0/8 read, ::1 none", "10.0.0.0/8 write" },
	{ KIND_MTA, "http-token", "0123456789abcdef", "secret" },
	{ KIND_MTA, "log-file", "/l", NULL },
	{ KIND_MTA, "log-file-rotate", "100M", "weekly" },
	{ KIND_MTA, "log-keep", "never", "14" },
	{ KIND_MTA, "audit-log", "/a", NULL },
	{ KIND_MTA, "error-log", "/e", NULL },
	{ KIND_MTA, "shipped", "no", "perhaps" },
	{ KIND_MTA, "include", "more.ini", "none.ini" },
	{ KIND_LISTENER, "source", "other", "othr" },
	{ KIND_LISTENER, "default-virtual-mta", "u", "x" },
	{ KIND_LISTENER, "max-connections", "47", "1/s" },
	{ KIND_LISTENER, "max-connections-per-ip", "48", "1000001" },
	{ KIND_LISTENER, "banner", "hello", NULL },
	{ KIND_LISTENER, "tls", "implicit", "always" },
	{ KIND_LISTENER, "authenticate", "plain, login", "cram-md5" },
	{ KIND_LISTENER, "allow-unencrypted-auth", "yes", "plain" },
	{ KIND_LISTENER, "tls-certificate", "/c.pem", NULL },
	{ KIND_LISTENER, "tls-key", "/k.pem", NULL },
	{ KIND_SOURCE, "always-allow-relaying", "yes", "ja" },
	{ KIND_SOURCE, "require-auth", "yes", "plain" },
	{ KIND_SOURCE, "default-virtual-mta", "q", "qq" },
	{ KIND_SOURCE, "max-message-size", "49k", "3G" },
	{ KIND_SOURCE, "max-rcpt-per-message", "51", "many" },
	{ KIND_SOURCE, "max-msg-rate", "52/s", "52" },
	{ KIND_SOURCE, "priority", "0", "101" },
	{ KIND_SOURCE, "process-x-virtual-mta", "yes", "1" },
	{ KIND_SOURCE, "process-x-job", "yes", "1" },
	{ KIND_SOURCE, "process-x-envid", "yes", "1" },
	{ KIND_SOURCE, "process-x-queue-priority", "yes", "1" },
	{ KIND_SOURCE, "add-date", "no", "0" },
	{ KIND_SOURCE, "add-message-id", "off", "1" },
	{ KIND_SOURCE, "hide-source", "true", "y" },
	{ KIND_SOURCE, "remove-header", "X-A, X-B", "X-A:" },
	{ KIND_VMTA, "smtp-source-host", "2001:db8::1 m6.example.com", "0.0.0.0 m.example.com" },
	{ KIND_VMTA, "max-smtp-out", "7", "unlimited" },
	{ KIND_VMTA, "max-msg-rate", "7/min", "0/s" },
	{ KIND_VMTA, "cold", "yes", "very" },
	{ KIND_VMTA, "warmup", "k", "kk" },
	{ KIND_WARMUP, "start", "20/h", "1/d" },
	{ KIND_WARMUP, "factor", "1.5", "1" },
	{ KIND_WARMUP, "every", "24h", "1s" },
	{ KIND_WARMUP, "max-bounce-rate", "0.5%", "0%" },
	{ KIND_WARMUP, "min-sample", "100", "0" },
	{ KIND_WARMUP, "until", "1000/h", "10/h" },
	{ KIND_WARMUP, "per", "total", "receiver" },
	{ KIND_ALARM, "complaint-rate", "0.2% 0.4%", "0.4% 0.2%" },
	{ KIND_ALARM, "bounce-rate", "4%", "4% 8%" },
	{ KIND_ALARM, "hold-job-at", "bounce-rate 9%, complaint-rate", "9%" },
	{ KIND_ALARM, "after", "2s", "1ms" },
	{ KIND_ALARM, "mail-to", "ops@example.com, b@example.com", "ops" },
	{ KIND_ALARM, "repeat", "2h", "1s" },
	{ KIND_POOL, "members", "v:3, u", "v:0" },
	{ KIND_PROVIDER, "mx", "*.example.net", "*" },
	{ KIND_PROVIDER, "domains", "p.example *.p.example", "*" },
	{ KIND_PROVIDER, "provider-max-smtp-out", "8", "0" },
	{ KIND_PROVIDER, "provider-max-msg-rate", "8/h", "8/w" },
	{ KIND_DOMAIN, "max-smtp-out", "9", "0" },
	{ KIND_DOMAIN, "max-msg-rate", "1/6m", "0" },
	{ KIND_DOMAIN, "max-connect-rate", "9/min", "x/min" },
	{ KIND_DOMAIN, "max-msg-per-connection", "9", "0" },
	{ KIND_DOMAIN, "max-rcpt-per-message", "9", "10001" },
	{ KIND_DOMAIN, "smtp-pipelining", "no", "2" },
	{ KIND_DOMAIN, "use-rs", "no", "often" },
	{ KIND_DOMAIN, "ip-versions", "prefer-6", "5" },
	{ KIND_DOMAIN, "retry-recipients-after", "5m, 1h", "5m, 60" },
	{ KIND_DOMAIN, "bounce-after", "2d", "never" },
	{ KIND_DOMAIN, "min-backoff", "31s", "0" },
	{ KIND_DOMAIN, "max-backoff", "23h", "31d" },
	{ KIND_DOMAIN, "backoff-scale-factor", "2.25", "0.5" },
	{ KIND_DOMAIN, "adaptive-throttling", "no", "perhaps" },
	{ KIND_DOMAIN, "backoff-max-smtp-out", "3", "0" },
	{ KIND_DOMAIN, "backoff-max-msg-rate", "2/min", "2" },
	{ KIND_DOMAIN, "backoff-to-normal-after", "never", "31d" },
	{ KIND_DOMAIN, "backoff-to-normal-after-delivery", "yes", "perhaps" },
	{ KIND_DOMAIN, "smtp-pattern-list", "l", "a b" },
	{ KIND_CATEGORIES, "pattern", "/y/ bad-mailbox soft lane=slower code=5xx",
	  "/y/ Bad Mailbox" },
	{ KIND_PATTERN_LIST, "reply", "/y/ slower", "/y/ slow" },
	{ KIND_DOMAIN, "route", "[192.0.2.8]:2525, mx:r.example", "192.0.2.8" },
	{ KIND_DOMAIN, "connect-timeout", "31s", "30" },
	{ KIND_DOMAIN, "smtp-greeting-timeout", "6m", "never" },
	{ KIND_DOMAIN, "command-timeout", "7m", "2d" },
	{ KIND_DOMAIN, "data-timeout", "8m", "1ms" },
	{ KIND_DOMAIN, "data-done-timeout", "9m", "-9m" },
	{ KIND_DOMAIN, "idle-timeout", "9s", "" },
	{ KIND_DOMAIN, "queue-priority", "51", "101" },
	{ KIND_DOMAIN, "send-dsn", "postmaster", "maybe" },
	{ KIND_DOMAIN, "dsn-return", "full", "none" },
	{ KIND_DOMAIN, "delay-dsn-after", "4h", "4" },
	{ KIND_DOMAIN, "eightbit", "bounce", "7bit" },
	{ KIND_DOMAIN, "allow-private-mx", "yes", "10.0.0.0/8" },
	{ KIND_DOMAIN, "smtp-starttls", "verify", "requred" },
	{ KIND_DOMAIN, "use-plaintext", "no", "never" },
	{ KIND_DOMAIN, "tls-min-version", "1.3", "1.4" },
	{ KIND_DOMAIN, "dkim-sign", "yes", "always" },
	{ KIND_DKIM, "selector", "t1", "a b" },
	{ KIND_DKIM, "key-file", "/k1", NULL },
	{ KIND_DKIM, "second-selector", "t2", "a/b" },
	{ KIND_DKIM, "second-key-file", "/k2", NULL },
	{ KIND_DKIM, "headers", "From, X-A", "From:" },
	{ KIND_DKIM, "oversign", "From, X-B", "X B:" },
	{ KIND_DKIM, "expire-after", "10d", "1s" },
	{ KIND_DKIM, "must-sign", "no", "never" },
	{ KIND_DOMAIN, "auth-user", "me\nauth-password = pw", NULL },
	{ KIND_DOMAIN, "auth-password", "pw\nauth-user = me", NULL },
	{ KIND_SMTP_USER, "password", "$6$saltsalt$AAAAAAAAAAAAAAAAAAAAAAAAAA", "secret" },
	{ KIND_SMTP_USER, "source", "other", "othr" },
	{ KIND_SMTP_USER, "priority", "51", "101" },
	{ KIND_ACCOUNTING, "file", "/acct.csv", NULL },
	{ KIND_ACCOUNTING, "format", "json", "xml" },
	{ KIND_ACCOUNTING, "records", "d b t tq r rb f", "d x" },
	{ KIND_ACCOUNTING, "fields", "rcpt, dsnstatus", "recipient" },
	{ KIND_ACCOUNTING, "rotate", "100M", "weekly" },
	{ KIND_ACCOUNTING, "keep", "never", "30" },
	{ KIND_SUPPRESSION, "on", "complaint", "hard soft" },
	{ KIND_SUPPRESSION, "check", "sending", "data" },
	{ KIND_SUPPRESSION, "scope", "global", "all" },
	{ KIND_SUPPRESSION, "soft-limit", "3 in 7d", "3 of 7d" },
	{ KIND_SUPPRESSION, "expire-after", "90d", "90" },
	{ KIND_WEBHOOK, "url", "https://hooks.example.com/in?a=b", "ftp://hooks.example.com/" },
	{ KIND_WEBHOOK, "secret", "0123456789abcdef", "@none" },
	{ KIND_WEBHOOK, "events", "delivered, deferred", "bounced spam" },
	{ KIND_WEBHOOK, "batch", "7", "many" },
	{ KIND_WEBHOOK, "max-delay", "20ms", "2h" },
	{ KIND_PICKUP, "virtual-mta", "q", "qq" },
	{ KIND_PICKUP, "scan-interval", "7", "0" },
	{ KIND_PICKUP, "settle", "3s", "3" },
	{ KIND_PICKUP, "delete-after-read", "no", "0" },
	{ KIND_PICKUP, "bad-directory", "/elsewhere", NULL },
	{ KIND_PICKUP, "priority", "9", "101" },
	{ KIND_INBOUND, "process", "feedback", "bounces, all" },
	{ KIND_INBOUND, "verp", "no", "0" },
	{ KIND_INBOUND, "verp-key", "/k1", NULL },
	{ KIND_INBOUND, "trust-unsigned", "yes", "maybe" },
	{ KIND_INBOUND, "forward-unmatched", "a@example.com", "a@b.example" },
	{ KIND_CONSOLE, "theme", "light", "../x" },
	{ KIND_CONSOLE, "label", "\"PROD ; one\"", "0123456789012345678901234567890123456789x" },
	{ KIND_CONSOLE, "label-color", "red", "rde" },
	{ KIND_CONSOLE, "refresh", "1s", "1ms" },
	{ KIND_CONSOLE, "time-zone", "UTC", "../../etc/passwd" },
	{ KIND_CONSOLE, "read", "ann, @ops", "@" },
	{ KIND_CONSOLE, "operate", "bob", "b:b" },
	{ KIND_CONSOLE, "admin", "eve", "*" },
};
enum { SAMPLES = sizeof samples / sizeof samples[0] };

static const struct sample *sample_of(const struct directive *d)
{
	for (int i = 0; i < SAMPLES; i++)
		if (samples[i].kind == d->kind && strcmp(samples[i].name, d->name) == 0)
			return &samples[i];
	fail_msg("no sample for [%s] %s", section_infos[d->kind].word, d->name);
	return &samples[0];
}

/* The ground with lines added to one section; the first lines of all are those that everything
 * needs. */
static void ground_with(enum section_kind kind, const char *line, char out[4096])
{
	bool members = kind == KIND_POOL && strncmp(line, "members", 7) == 0;
	bool hostname = kind == KIND_MTA && strncmp(line, "hostname", 8) == 0;
	bool route = kind == KIND_MTA && strncmp(line, "default-virtual-mta", 19) == 0;
	bool user = kind == KIND_SMTP_USER && strncmp(line, "password", 8) != 0;
	bool tls = kind == KIND_LISTENER && strncmp(line, "tls =", 5) == 0;

	static const char *const key[] = { "selector", "key-file", "second-selector",
					   "second-key-file" };
	char needs[200] = "";

	if (kind == KIND_ACCOUNTING && strncmp(line, "file = /", 8) != 0)
		snprintf(needs, sizeof needs, "\nfile = /a.csv");
	if (kind == KIND_WEBHOOK && strncmp(line, "url = ", 6) != 0)
		snprintf(needs, sizeof needs, "\nurl = http://127.0.0.1/");

	if (kind == KIND_INBOUND && strncmp(line, "verp-key", 8) != 0)
		snprintf(needs, sizeof needs, "\nverp-key = /k");

	for (int i = 0; i < 4 && kind == KIND_DKIM; i++)
		if (strncmp(line, key[i], strlen(key[i])) != 0)
			snprintf(needs + strlen(needs), sizeof needs - strlen(needs), "\n%s = x%d",
				 key[i], i);
	snprintf(out, 4096, "%s%s%s%s%s%s%s\n%s\n", ground, members ? "" : "members = v\n",
		 hostname ? "[mta]\n" : "[mta]\nhostname = mx.example.com\n",
		 route ? "" : "default-virtual-mta = v\n",
		 tls	? "[listener 127.0.0.1:2525]\ntls-certificate = /c\ntls-key = /k\n"
		 : user ? "[smtp-user w]\npassword = " HASH "\n"
			: "",
		 headers[kind], needs, line);
}

static bool reads(enum section_kind kind, const char *line, struct buf *out)
{
	struct conf_read_opts o = { .shipped_dir = "shipped" };
	char text[4096];

	ground_with(kind, line, text);
	world_file("a.ini", text);
	buf_clear(out);
	if (!world_read_with(&w, "a.ini", &o))
		return false;
	dump(out, w.c);
	return true;
}

static void files_around(void)
{
	assert_int_equal(mkdir("shipped", 0700), 0);
	world_file("shipped/providers.ini", "[provider shipped]\nmx = *.s.example\n");
	world_file("more.ini", "[provider more]\nmx = *.more.example\n");
}

static void every_directive_changes_the_snapshot(void **state)
{
	struct buf without, with;
	char line[256];

	(void)state;
	files_around();
	buf_init(&without);
	buf_init(&with);
	for (size_t i = 0; i < directives_n; i++) {
		const struct directive *d = &directives[i];
		const struct sample *s = sample_of(d);
		bool same;

		snprintf(line, sizeof line, "%s =", d->name);
		if (d->kind == KIND_ACCOUNTING && !strcmp(d->name, "file"))
			snprintf(line, sizeof line, "%s = /a.csv", d->name);
		if (d->type == TYPE_URL)
			snprintf(line, sizeof line, "%s = http://127.0.0.1/", d->name);
		if (!strcmp(d->name, "members") || strstr(d->name, "selector") ||
		    strstr(d->name, "key-file") || !strcmp(d->name, "verp-key") ||
		    (d->kind == KIND_MTA && d->type == TYPE_ROUTE_NAME))
			snprintf(line, sizeof line, "%s = v", d->name); /* needed */
		if (d->kind == KIND_SMTP_USER && d->type == TYPE_SECRET)
			snprintf(line, sizeof line, "%s = " HASH, d->name);
		if (!reads(d->kind, line, &without))
			print_error("%s", buf_z(&w.text));
		assert_non_null(w.c);
		snprintf(line, sizeof line, "%s = %s", d->name, s->good);
		if (!reads(d->kind, line, &with))
			print_error("%s", buf_z(&w.text));
		assert_non_null(w.c);
		same = without.n == with.n && memcmp(without.p, with.p, with.n) == 0;
		if (same)
			print_error("[%s] %s is ignored\n", section_infos[d->kind].word, d->name);
		assert_false(same);
		print_message("directive: %s %s\n", section_infos[d->kind].word, d->name);
	}
	assert_int_equal(SAMPLES, directives_n);
	buf_free(&without);
	buf_free(&with);
}

static void domain_directives_also_stand_in_pools_and_providers(void **state)
{
	static const enum section_kind kinds[] = { KIND_POOL, KIND_PROVIDER };
	struct buf without, with;
	char line[256];

	(void)state;
	files_around();
	buf_init(&without);
	buf_init(&with);
	for (size_t i = 0; i < directives_n; i++)
		for (int k = 0; k < 2 && directives[i].kind == KIND_DOMAIN; k++) {
			assert_true(reads(kinds[k], "", &without));
			snprintf(line, sizeof line, "%s = %s", directives[i].name,
				 sample_of(&directives[i])->good);
			assert_true(reads(kinds[k], line, &with));
			assert_false(without.n == with.n && memcmp(without.p, with.p, with.n) == 0);
		}
	buf_free(&without);
	buf_free(&with);
}

static void every_wrong_value_is_refused_at_its_line_by_name(void **state)
{
	struct buf out;
	char line[256], expect[300];

	(void)state;
	files_around();
	buf_init(&out);
	for (int i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];
		bool include = strcmp(s->name, "include") == 0;
		char text[4096];
		int lines = 1;

		if (!s->bad || !s->bad[0])
			continue;
		snprintf(line, sizeof line, "%s = %s", s->name, s->bad);
		if (reads(s->kind, line, &out))
			print_error("accepted: [%s] %s\n", section_infos[s->kind].word, line);
		assert_null(w.c);
		ground_with(s->kind, line, text);
		for (const char *p = text; p + strlen(line) + 1 < text + strlen(text); p++)
			lines += *p == '\n'; /* it is the last line */
		snprintf(expect, sizeof expect, "a.ini:%d: error: %s", lines,
			 include ? s->bad : s->name);
		expect_text(&w, expect);
		assert_int_equal(w.problems.errors, 1);
	}
	buf_free(&out);
}

static void the_ends_of_each_range_are_in_it_and_what_is_beyond_is_not(void **state)
{
	static const enum value_type whole[] = { TYPE_INT, TYPE_SIZE };
	struct buf out;
	char line[128];

	(void)state;
	files_around();
	buf_init(&out);
	for (size_t i = 0; i < directives_n; i++) {
		const struct directive *d = &directives[i];

		if (d->type != whole[0] && d->type != whole[1])
			continue;
		for (int end = 0; end < 4; end++) {
			long long v = (long long)(end < 2 ? d->lo : d->hi) + (end == 0	 ? -1
									      : end == 3 ? 1
											 : 0);

			snprintf(line, sizeof line, "%s = %lld", d->name, v);
			if (reads(d->kind, line, &out) != (end == 1 || end == 2))
				print_error("[%s] %s\n", section_infos[d->kind].word, line);
			assert_int_equal(w.c != NULL, end == 1 || end == 2);
		}
	}
	buf_free(&out);
}

static void the_defaults_are_those_of_the_manual(void **state)
{
	const struct conf_mta *m;
	const struct settings *s;
	struct settings_cache *sc;

	(void)state;
	world_read(&w, BASE);
	m = &w.c->mta;
	assert_string_equal(m->spool, "/var/spool/stoker");
	assert_string_equal(m->state, "/var/spool/stoker/state");
	assert_null(m->run_as_user);
	assert_string_equal(m->control_socket, "/run/stoker/stoker.sock");
	assert_string_equal(m->control_group, "stoker");
	assert_true(m->threads >= 1);
	assert_int_equal(m->total_max_smtp_out, 4000);
	assert_int_equal(m->total_max_smtp_in, 1000);
	assert_int_equal(m->max_message_size, 50 << 20);
	assert_int_equal(m->spool_min_free, 1 << 30);
	assert_int_equal(m->events_max, 1 << 30);
	assert_int_equal(m->max_hops, 100);
	assert_true(m->memory_limit > 64 << 20);
	assert_string_equal(w.c->routes[m->default_route].name, "default");
	assert_string_equal(m->log_file, "/var/log/stoker/delivery.log");
	assert_int_equal(m->log_rotate, ROTATE_DAILY);
	assert_true(m->log_keep == 14 * US_PER_DAY);
	assert_string_equal(m->audit_log, "/var/log/stoker/audit.log");
	assert_null(m->error_log);
	assert_int_equal(m->http_port, 0);
	assert_int_equal(m->http_address.in4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	assert_int_equal(m->nhttp_access, 2);
	assert_int_equal(m->http_access[0].role, CONF_ROLE_READ);
	assert_null(m->http_token);
	assert_int_equal(w.c->listeners[0].max_connections, 1000);
	assert_int_equal(w.c->listeners[0].max_connections_per_ip, 100);
	assert_int_equal(w.c->sources[0].max_rcpt_per_message, 1000);
	assert_int_equal(w.c->sources[0].priority, 50);
	assert_true(w.c->sources[0].add_date && w.c->sources[0].add_message_id);
	assert_false(w.c->sources[0].hide_source);
	assert_string_equal(w.c->console.theme, "dark");
	assert_true(w.c->console.refresh == 250 * US_PER_MS);
	assert_string_equal(w.c->console.time_zone, "local");
	assert_true(w.c->alarm.complaint_warn == 0.001 && w.c->alarm.complaint_red == 0.003);
	assert_true(w.c->alarm.bounce_rate == 0.05 && w.c->alarm.after == US_PER_MIN);
	assert_true(w.c->alarm.repeat == US_PER_HOUR && !w.c->alarm.nmail_to);
	assert_true(w.c->alarm.hold.bounces == 0 && w.c->alarm.hold.complaints == 0);
	sc = settings_cache_new(w.c);
	s = settings_get(sc, STR_LIT("x.example"), CONF_NONE, CONF_NONE, CONF_NONE);
	assert_int_equal(s->nlimits, 3);
	assert_int_equal(s->limits[0].n, 20);
	assert_int_equal(s->limits[0].scope, SCOPE_LANE);
	assert_null(s->limits[0].origin.file);
	assert_int_equal(s->nretry, 6);
	assert_true(s->retry[5] == 4 * US_PER_HOUR);
	assert_true(s->bounce_after == 108 * US_PER_HOUR);
	assert_true(s->delay_dsn_after == US_NEVER);
	assert_false(s->dkim_sign);
	settings_cache_free(sc);
	assert_int_equal(w.c->suppression.on, CONF_SUPPRESS_HARD | CONF_SUPPRESS_COMPLAINT);
	assert_int_equal(w.c->suppression.check, CONF_SUPPRESS_AT_RCPT);
	assert_int_equal(w.c->suppression.scope, CONF_SUPPRESS_FOR_SENDER);
	assert_int_equal(w.c->suppression.soft_limit, 5);
	assert_true(w.c->suppression.soft_within == 14 * US_PER_DAY);
	assert_true(w.c->suppression.expire_after == US_NEVER);
	world_read(&w, BASE "[suppression]\non = none\nsoft-limit = never\n");
	assert_int_equal(w.c->suppression.on, 0);
	assert_int_equal(w.c->suppression.soft_limit, 0);
	world_read(&w, BASE "[accounting a]\nfile = a.csv\n");
	assert_int_equal(w.c->naccounting, 1);
	assert_int_equal(w.c->accounting[0].records, ACCT_D | ACCT_B);
	assert_int_equal(w.c->accounting[0].format, CONF_ACCT_CSV);
	assert_int_equal(w.c->accounting[0].rotate, ROTATE_DAILY);
	assert_true(w.c->accounting[0].keep == 30 * US_PER_DAY);
	assert_int_equal(w.c->accounting[0].nfields, 0);
	world_read(&w, BASE "[webhook h]\nurl = http://127.0.0.1/\n");
	assert_int_equal(w.c->nwebhooks, 1);
	assert_int_equal(w.c->webhooks[0].nevents, 4);
	assert_string_equal(w.c->webhooks[0].events[3], "suppressed");
	assert_int_equal(w.c->webhooks[0].batch, 100);
	assert_true(w.c->webhooks[0].max_delay == US_PER_S);
	world_read(&w, BASE "[dkim d.example]\nselector = s\nkey-file = k\n");
	assert_int_equal(w.c->ndkim, 1);
	assert_true(w.c->dkim[0].must_sign);
	assert_true(w.c->dkim[0].expire_after == US_NEVER);
	assert_int_equal(w.c->dkim[0].nheaders, 0);
	assert_int_equal(w.c->dkim[0].noversign, 10);
	assert_string_equal(w.c->dkim[0].oversign[9], "List-Unsubscribe-Post");
}

static void unknown_words_are_refused_with_the_nearest_one(void **state)
{
	static const struct {
		const char *text, *expect;
	} cases[] = {
		{ "[doman x.example]\n",
		  "a.ini:7: error: [doman]: there is no such section: did you "
		  "mean \"domain\"?" },
		{ "[mta]\nhost-name = x\n",
		  "a.ini:8: error: [mta] has no directive host-name: did you mean \"hostname\"?" },
		{ "[domain x.example]\nmax-smtp-uot = 1\n",
		  "a.ini:8: error: [domain] has no directive max-smtp-uot: did you mean "
		  "\"max-smtp-out\"?" },
		{ "[listener 127.0.0.1:26]\nmax-smtp-out = 1\n",
		  "[listener] has no directive max-smtp-out: it stands in [virtual-mta], "
		  "[domain]" },
		{ "[domain x.example]\nsend-dsn = postmster\n", "did you mean postmaster?" },
		{ "[domain x.example via defalt]\n",
		  "a.ini:7: error: [domain x.example via defalt]: there is no virtual MTA or pool "
		  "\"defalt\": did you mean \"default\"?" },
		{ "[listener 127.0.0.1:26]\nsource = 127.0.0.2\n",
		  "a.ini:8: error: source: there is no [source] \"127.0.0.2\": did you mean "
		  "\"127.0.0.1\"?" },
		{ "[mta]\ndefault-virtual-mta = deflaut\n",
		  "there is no virtual MTA or pool \"deflaut\": did you mean \"default\"?" },
		{ "[dkmi example.com]\nselector = s\n",
		  "a.ini:7: error: [dkmi]: there is no such section: did you mean \"dkim\"?" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(text, sizeof text, BASE "%s", cases[i].text);
		world_read(&w, text);
		expect_text(&w, cases[i].expect);
		assert_int_equal(w.problems.errors, 1);
	}
}

static void bare_numbers_are_refused_with_what_to_write(void **state)
{
	static const struct {
		const char *line, *expect;
	} cases[] = {
		{ "max-msg-rate = 20",
		  "a.ini:8: error: max-msg-rate: \"20\" needs a unit: write 20/s" },
		{ "bounce-after = 4", "bounce-after: \"4\" needs a unit: write 4s, 4m or 4h" },
		{ "bounce-after = 0", "bounce-after: \"0\" is no time: write one like 30s\n" },
		{ "max-msg-rate = 0",
		  "max-msg-rate: \"0\" is no rate: write one like 20/s, or unlimited" },
		{ "connect-timeout = 5w", "write it like 250ms, 30s" },
		{ "connect-timeout = 2d", "is out of range: write 100ms to 1d" },
		{ "backoff-scale-factor = 11", "is out of range: write 1 to 10" },
		{ "max-smtp-out = 0", "write a whole number from 1 to 1000000" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(text, sizeof text, BASE "[domain x.example]\n%s\n", cases[i].line);
		world_read(&w, text);
		expect_text(&w, cases[i].expect);
	}
}

static void the_printed_table_names_every_directive(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	conf_schema_print(f);
	fclose(f);
	for (size_t i = 0; i < directives_n; i++) {
		assert_non_null(strstr(text, directives[i].name));
		assert_non_null(strstr(text, directives[i].help));
	}
	assert_non_null(strstr(text, "max-smtp-out = number, 1 to 1000000 [20]"));
	assert_non_null(strstr(text, "eightbit = word: as-is, bounce [as-is]"));
	free(text);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		T(every_directive_changes_the_snapshot),
		T(domain_directives_also_stand_in_pools_and_providers),
		T(every_wrong_value_is_refused_at_its_line_by_name),
		T(the_ends_of_each_range_are_in_it_and_what_is_beyond_is_not),
		T(the_defaults_are_those_of_the_manual),
		T(unknown_words_are_refused_with_the_nearest_one),
		T(bare_numbers_are_refused_with_what_to_write),
		T(the_printed_table_names_every_directive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
