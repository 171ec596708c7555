/* A fake control for the console's tests: a mirror of rows that stand still until the test moves
 * them, a log ring, canned details. Answers wait in a queue until the test lets them go, so every
 * order of answers, frames and keys can be tried. */
#ifndef STOKER_TESTS_TUI_FAKE_H
#define STOKER_TESTS_TUI_FAKE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/control/cli.h"
#include "core/control/control.h"
#include "core/spool/event.h"
#include "tui/operator.h"

enum { FAKE_LOG = 400, FAKE_LOG_LAST = 5000, FAKE_WAITING = 256, FAKE_COMMANDS = 4096 };
#define FAKE_LOG_EVERY (13 * US_PER_MS)
#define FAKE_NOW       ((us_t)1795424948 * US_PER_S + 118 * US_PER_MS) /* 2026-11-23 09:09:08.118 UTC */

struct fake {
	struct loop *loop;
	struct console *console;
	struct mirror *mirror;
	us_t now;
	uint64_t next_id, overrides;
	struct link_answer *waiting[FAKE_WAITING];
	int nwaiting;
	char *commands[FAKE_COMMANDS]; /* all that were sent */
	int ncommands;
	bool at_once; /* answers go in fake_pump */
	uint64_t log_last;
	int requests, operators;
	char *log_reply; /* of every event; NULL: as they are */
};

static inline struct rstr *fake_text(const char *z)
{
	return z && *z ? rstr_new(str_of(z)) : NULL;
}

struct fake_site {
	const char *name;
	int state;
	uint64_t queued;
	int why;
	const char *why_text, *origin;
	float rate;
	uint32_t connections;
	float percent;
	us_t oldest;
	us_t eta;
	int eta_state;
	uint32_t domains, lanes;
	const char *reply;
};
/* clang-format off */
static const struct fake_site fake_sites[] = {
	{ "yahoo", STATE_BACKOFF, 402112, WHY_RATE, "rate 10/s together, 52m", "override 17", 8.3f, 12, 61, 3 * US_PER_HOUR + 41 * US_PER_MIN, 13 * US_PER_HOUR, ETA_OK, 7, 3, "421 4.7.0 [TSS04] Messages from 192.0.2.14 temporarily deferred due to user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes" },
	{ "dead.example", STATE_DOWN, 2211, WHY_CONNECT, "connect refused, next 14:30", "", 0, 0, 0, 2 * US_PER_DAY + 11 * US_PER_HOUR, 0, ETA_NEVER, 1, 1, "connect to mx.dead.example[203.0.113.9]:25: connection refused" },
	{ "corp.example", STATE_PAUSED, 18044, WHY_PAUSED, "paused by op1, 4h00 left", "override 18", 0, 0, -1, US_PER_HOUR + 2 * US_PER_MIN, 0, ETA_IDLE, 1, 2, "250 2.0.0 ok" },
	{ "hostile.example", STATE_RESTING, 1200, WHY_RESTING, "resting, next 09:12", "default", 0.1f, 1, 12, 20 * US_PER_MIN, 0, ETA_NEVER, 1, 1, "421 4.7.0 \x1b[31mred\x1b]0;owned\x07 \xe2\x80\xae" "evil \xc2\x9b" "31m zero\xe2\x80\x8bwidth" },
	{ "web.example", STATE_WARMING, 12711, WHY_WARM_UP, "warm-up 22/s, step 3", "stoker.ini:41 [virtual-mta vmta3]", 22.1f, 16, 97, 2 * US_PER_MIN + 40 * US_PER_S, 10 * US_PER_MIN, ETA_OK, 2, 1, "250 2.0.0 OK  1700000000 af79cd13be357" },
	{ "google", STATE_OK, 612443, WHY_RATE, "rate 900/s together", "/etc/stoker/stoker.ini:12 [domain gmail.com]", 899.0f, 240, 98, 4 * US_PER_MIN + 12 * US_PER_S, 11 * US_PER_MIN, ETA_OK, 212, 4, "250 2.0.0 OK  1700000000 d2e1a72fcca58-2c2ab3dd41esi2 - gsmtp" },
	{ "microsoft", STATE_OK, 201911, WHY_CONNECTIONS, "connections 120", "stoker.ini:31 [domain outlook.com]", 299.8f, 120, 99, 6 * US_PER_MIN + 2 * US_PER_S, 11 * US_PER_MIN, ETA_OK, 4, 4, "250 2.6.0 <4f2a77@mail.example> [InternalId=21474836480] Queued mail for delivery" },
	{ "apple", STATE_OK, 1922, WHY_READY, "ready", "", 61.2f, 30, 99, 41 * US_PER_S, 31 * US_PER_S, ETA_OK, 3, 4, "250 2.0.0 Ok: queued as 4RZ5jW3W0Nz" },
	{ "gmx", STATE_OK, 871, WHY_READY, "ready", "", 12.0f, 4, 100, 12 * US_PER_S, 72 * US_PER_S, ETA_OK, 2, 4, "250 Requested mail action okay, completed" },
	{ "orange", STATE_IDLE, 0, WHY_IDLE, "idle", "", 0, 0, -1, 0, 0, ETA_IDLE, 2, 1, "250 2.0.0 ok" },
};
/* clang-format on */
enum { FAKE_SITES = sizeof fake_sites / sizeof fake_sites[0] };

static inline void fake_queue_row(struct fake *f, struct row *r, const struct fake_site *s,
				  uint64_t id)
{
	*r = (struct row){ .id = id, .kind = ROW_SITE, .state = (uint8_t)s->state };
	r->name = fake_text(s->name);
	r->why = (struct why){ .code = (uint8_t)s->why,
			       .counts = SCOPE_COUNT,
			       .text = fake_text(s->why_text),
			       .origin = fake_text(s->origin) };
	if (s->why == WHY_RATE)
		r->why.limit = s->state == STATE_BACKOFF ? 10 : 900;
	r->site.queued = s->queued;
	r->site.due = s->queued / 2;
	r->site.in_flight = s->connections;
	r->site.t = (struct row_traffic){ .delivered = s->queued * 2,
					  .deferred = s->queued / 10,
					  .bounced = s->queued / 100,
					  .rate = s->rate,
					  .delivered_percent = s->percent,
					  .connections = s->connections };
	r->site.oldest = s->oldest ? f->now - s->oldest : 0;
	r->site.eta = s->eta;
	r->site.eta_state = (uint8_t)s->eta_state;
	r->site.domains = s->domains;
	r->site.lanes = s->lanes;
	r->site.last_reply = fake_text(s->reply);
	r->site.last_reply_at = f->now - US_PER_S;
	for (int i = 0; i < TREND_STEPS; i++)
		r->site.trend[i] =
		    (uint16_t)(s->rate * (float)(10 + (i * 7 + (int)id * 3) % 11 - 5) / 2);
}

static inline void fake_put_site(struct fake *f, const struct fake_site *s, uint64_t id)
{
	struct row r;

	fake_queue_row(f, &r, s, id);
	mirror_row(f->mirror, &r);
}

static inline void fake_put_domain(struct fake *f, const char *name, const char *domain,
				   const char *route, uint64_t queued, uint64_t site, uint64_t id)
{
	struct fake_site s = fake_sites[site - 1];
	struct row r;

	s.name = name;
	s.queued = queued;
	fake_queue_row(f, &r, &s, id);
	r.kind = ROW_QUEUE;
	r.queue.domain = fake_text(domain);
	r.queue.route = fake_text(route);
	r.queue.site = site;
	r.queue.site_name = fake_text(fake_sites[site - 1].name);
	mirror_row(f->mirror, &r);
}

static inline void fake_put_lane(struct fake *f, int site, int vmta, uint64_t id)
{
	const struct fake_site *s = &fake_sites[site - 1];
	struct row r = { .id = id,
			 .kind = ROW_LANE,
			 .state = (uint8_t)(vmta == 2 ? STATE_OK : s->state) };
	char name[64], ip[32], v[16];

	snprintf(name, sizeof name, "%s@vmta%d", s->name, vmta);
	snprintf(ip, sizeof ip, "192.0.2.%d", 13 + vmta);
	snprintf(v, sizeof v, "vmta%d", vmta);
	r.name = fake_text(name);
	r.why.text = fake_text(vmta == 2 ? "rate 6.2/s" : s->why_text);
	r.why.code = (uint8_t)s->why;
	r.lane.t = (struct row_traffic){ .rate = s->rate / 4,
					 .connections = s->connections / 4,
					 .delivered_percent = 40 + (float)vmta * 10,
					 .delivered = 1000 };
	r.lane.rate_limit = 10;
	r.lane.connection_limit = 20;
	r.lane.site = (uint64_t)site;
	r.lane.site_name = fake_text(s->name);
	r.lane.vmta = fake_text(v);
	r.lane.source_ip = fake_text(ip);
	r.lane.last_reply = fake_text(s->reply);
	mirror_row(f->mirror, &r);
}

static inline void fake_put_source(struct fake *f, int n)
{
	static const int states[] = { STATE_BACKOFF, STATE_OK, STATE_WARMING, STATE_DOWN };
	struct row r = { .id = 300 + (uint64_t)n,
			 .kind = ROW_SOURCE,
			 .state = (uint8_t)states[n - 1] };
	char text[64];

	snprintf(text, sizeof text, "vmta%d", n);
	r.name = fake_text(text);
	snprintf(text, sizeof text, "192.0.2.%d", 13 + n);
	r.source.source_ip = fake_text(text);
	snprintf(text, sizeof text, "m%d.example.net", 13 + n);
	r.source.hostname = fake_text(text);
	r.source.pools = fake_text(n < 3 ? "pool-a" : "pool-b");
	r.source.last_reply =
	    fake_text(n == 4   ? ""
		      : n == 1 ? "421 4.7.0 [TSS04] Messages from 192.0.2.14 temporarily deferred"
			       : "250 2.0.0 ok dirdel");
	r.why.text = fake_text(n == 4 ? "no address" : "");
	r.source.t = (struct row_traffic){ .rate = n == 4 ? 0 : 301.2f / (float)n,
					   .connections = n == 4 ? 0 : 240u / (unsigned)n,
					   .delivered_percent = n == 4 ? -1 : 81 };
	r.source.transient_percent = n == 4 ? -1 : 17;
	r.source.permanent_percent = n == 4 ? -1 : 2;
	r.source.bytes_rate = n == 4 ? 0 : 9.1e6f;
	r.source.provider_count = n == 4 ? 0 : 41;
	mirror_row(f->mirror, &r);
}

static inline uint64_t fake_put_override(struct fake *f, const char *what, const char *target,
					 const char *was, const char *now, us_t until)
{
	struct row r = { .id = 400 + ++f->overrides, .kind = ROW_OVERRIDE };
	char name[16];

	snprintf(name, sizeof name, "%llu", (unsigned long long)f->overrides);
	r.name = fake_text(name);
	r.override = (struct row_override){ .number = f->overrides,
					    .made_at = f->now - 20 * US_PER_MIN,
					    .until = until,
					    .what = fake_text(what),
					    .target = fake_text(target),
					    .was = fake_text(was),
					    .now = fake_text(now),
					    .who = fake_text("op1"),
					    .reason = fake_text("their MX is being moved") };
	mirror_row(f->mirror, &r);
	return f->overrides;
}

static inline void fake_put_alarm(struct fake *f, uint64_t n, const char *target, const char *text,
				  uint8_t severity)
{
	struct row r = { .id = 500 + n, .kind = ROW_ALARM };
	char name[16];

	snprintf(name, sizeof name, "%llu", (unsigned long long)n);
	r.name = fake_text(name);
	r.alarm = (struct row_alarm){ .number = n,
				      .since = f->now - US_PER_HOUR,
				      .severity = severity,
				      .code = fake_text("backoff"),
				      .target = fake_text(target),
				      .text = fake_text(text) };
	mirror_row(f->mirror, &r);
}

static inline void fake_put_job(struct fake *f, uint64_t id, const char *name, uint64_t queued)
{
	struct row r = { .id = id, .kind = ROW_JOB };

	r.name = fake_text(name);
	r.job.queued = queued;
	r.job.t = (struct row_traffic){ .delivered = queued * 3,
					.deferred = 77,
					.bounced = 12,
					.rate = 101.5f,
					.delivered_percent = 97 };
	r.job.complaint_percent = queued > 100 ? 0.38f : -1;
	r.job.first_at = f->now - 2 * US_PER_HOUR;
	r.job.eta = 11 * US_PER_MIN;
	r.job.user = fake_text("shop-7");
	mirror_row(f->mirror, &r);
}

static inline void fake_put_feedback(struct fake *f, uint64_t id, const char *provider,
				     const char *category, uint64_t hour, uint64_t day,
				     const char *replies)
{
	struct row r = { .id = id, .kind = ROW_FEEDBACK };
	char name[80];

	snprintf(name, sizeof name, "%s %s", provider, category);
	r.name = fake_text(name);
	r.feedback = (struct row_feedback){ .hour = hour,
					    .day = day,
					    .total = day * 3,
					    .last_at = f->now - 3 * US_PER_MIN,
					    .provider = fake_text(provider),
					    .category = fake_text(category),
					    .replies = replies ? fake_text(replies) : NULL };
	mirror_row(f->mirror, &r);
}

static inline void fake_put_reputation(struct fake *f, uint64_t id, enum reputation_kind what,
				       const char *target, const char *of, uint64_t bad,
				       uint64_t complaints)
{
	struct row r = { .id = id, .kind = ROW_REPUTATION };

	r.name = fake_text(target);
	r.reputation = (struct row_reputation){ .hour = { .delivered = 9100,
							  .failed = bad / 4,
							  .harmful = bad / 5,
							  .complaints = 0 },
						.day = { .delivered = 182000,
							 .failed = bad + bad / 3,
							 .harmful = bad,
							 .complaints = complaints },
						.what = (uint8_t)what,
						.of = fake_text(of) };
	mirror_row(f->mirror, &r);
}

static inline void fake_put_all_feedback(struct fake *f)
{
	fake_put_feedback(
	    f, 700, "yahoo", "spam-related", 812, 18204,
	    "17,990x 554 5.7.9 Message not accepted for policy reasons (us3@yahoo.com)\n"
	    "214x 554 5.7.1 \033[31mspam\342\200\256 found (us7@yahoo.com)");
	fake_put_feedback(f, 701, "yahoo", "complaint", 3, 95, NULL);
	fake_put_feedback(f, 702, "google", "bad-mailbox", 211, 4020,
			  "4020x 550-5.1.1 The email account that you tried to reach does not "
			  "exist (u@gmail.com)");
	fake_put_feedback(f, 703, "mx1.a-hoster-with-a-long-name.example", "quota-issues", 0, 12,
			  NULL);
	fake_put_reputation(f, 710, REPUTATION_PROVIDER, "@yahoo", "yahoo", 18204, 95);
	fake_put_reputation(f, 711, REPUTATION_PROVIDER, "@google", "google", 4020, 0);
	fake_put_reputation(f, 712, REPUTATION_SOURCE, "vmta:vmta1", "vmta1", 9000, 80);
	fake_put_reputation(f, 713, REPUTATION_JOB, "job:news-1123", "news-1123", 16000, 700);
}

static inline void fake_fill(struct fake *f)
{
	for (int i = 0; i < (int)FAKE_SITES; i++)
		fake_put_site(f, &fake_sites[i], (uint64_t)i + 1);
	fake_put_domain(f, "yahoo.com/pool-a", "yahoo.com", "pool-a", 300112, 1, 101);
	fake_put_domain(f, "aol.com/pool-a", "aol.com", "pool-a", 62000, 1, 102);
	fake_put_domain(f, "ymail.com/pool-b", "ymail.com", "pool-b", 40000, 1, 103);
	fake_put_domain(f, "gmail.com/pool-a", "gmail.com", "pool-a", 600000, 6, 104);
	for (int v = 1; v <= 4; v++) {
		fake_put_source(f, v);
		if (v < 4)
			fake_put_lane(f, 1, v, 200 + (uint64_t)v);
		fake_put_lane(f, 6, v, 210 + (uint64_t)v);
	}
	fake_put_override(f, "disable", "vmta:vmta4", "in", "out", US_NEVER);
	fake_put_override(f, "rate", "@yahoo", "300/s", "10/s", f->now + 52 * US_PER_MIN);
	fake_put_override(f, "pause", "corp.example", "running", "paused",
			  f->now + 4 * US_PER_HOUR);
	fake_put_alarm(f, 1, "@yahoo", "backoff since 08:31, 402.1k recipients wait", 1);
	fake_put_alarm(f, 2, "vmta:vmta4", "its address is not on this machine", 2);
	fake_put_job(f, 600, "news-1123", 812000);
	fake_put_job(f, 601, "password resets", 12);
	fake_put_all_feedback(f);
}

/* ---- answers ---- */

static const char fake_detail[] =
    "{\"name\":\"yahoo\",\"hosts\":[{\"preference\":10,\"host\":\"mta5.am0.example\",\"address\":"
    "\"203.0.113.7\"},"
    "{\"preference\":10,\"host\":\"mta6.am0.example\",\"address\":\"203.0.113.9\"},"
    "{\"preference\":20,\"host\":\"mta9.am0.example\",\"state\":\"down\",\"error\":\"its address "
    "look-up fails\"}],"
    "\"lanes\":[{\"name\":\"yahoo@vmta1\",\"limits\":[{\"directive\":\"max-smtp-out\",\"counts\":"
    "\"together\",\"limit\":20,\"used\":20,"
    "\"origin\":{\"file\":\"/etc/stoker/stoker.ini\",\"line\":12,\"section\":\"[domain "
    "yahoo.com]\"}},"
    "{\"directive\":\"max-msg-rate\",\"counts\":\"together\",\"limit\":\"10/"
    "s\",\"room\":false,\"origin\":\"override 17\"}]},"
    "{\"name\":\"yahoo@vmta2\",\"limits\":[{\"directive\":\"max-msg-rate\",\"counts\":\"together\","
    "\"limit\":\"10/s\",\"room\":false,\"origin\":\"override 17\"},"
    "{\"directive\":\"max-smtp-out\",\"counts\":\"each\",\"limit\":50,\"used\":3,\"origin\":{"
    "\"section\":\"default\"}}]}]}";
static const char fake_messages[] =
    "{\"total\":3,\"rows\":[{\"id\":\"4f2a77\",\"sender\":\"bounce+77@mail.example\",\"recipient\":"
    "\"us2@yahoo.com\",\"queue\":\"yahoo.com/pool-a\",\"job\":\"news-1123\","
    "\"size\":48100,\"attempts\":2,\"next_attempt\":\"2026-11-23T09:11:12.000Z\",\"state\":"
    "\"paused\",\"why\":{\"code\":\"paused\",\"text\":\"paused by op1\"}},"
    "{\"id\":\"4f2a78\",\"recipient\":\"us3@yahoo.com\",\"size\":481,\"attempts\":0,\"state\":"
    "\"queued\"},"
    "{\"id\":\"4f2a79\",\"recipient\":\"j\xc3\xb6rg@yahoo.com\",\"size\":1048576,\"attempts\":1,"
    "\"next_attempt\":\"2026-11-23T09:15:00.000Z\",\"state\":\"queued\",\"why\":{\"text\":"
    "\"451 4.7.1 try \\u001b[2J\\u202elater\"}}]}";

static inline struct log_line fake_event(const struct fake *f, uint64_t id)
{
	static const char *const types[] = { "delivered", "deferred",  "delivered",
					     "bounced",	  "delivered", "received" };
	static const uint8_t codes[] = { EVENT_DELIVERED, EVENT_DEFERRED,  EVENT_DELIVERED,
					 EVENT_BOUNCED,	  EVENT_DELIVERED, EVENT_RECEIVED };
	static const char *const replies[] = {
		"250 2.0.0 ok dirdel",
		"421 4.7.0 [TSS04] Mess\\u001b[31mages from 192.0.2.14 temporarily deferred due to "
		"user complaints",
		"250 2.0.0 OK",
		"554 5.7.9 Message not accepted for policy reasons",
		"250 ok",
		""
	};
	us_t at = FAKE_NOW - ((us_t)FAKE_LOG_LAST - (us_t)id) * FAKE_LOG_EVERY;
	char json[1024];

	snprintf(json, sizeof json,
		 "{\"id\":%llu,\"type\":\"%s\",\"message\":\"4f2a%02x\",\"sender\":\"bounce@mail."
		 "example\",\"recipient\":\"us%llu@yahoo.com\",\"virtual_mta\":\"vmta%llu\","
		 "\"mx\":\"mta%llu.am0.example\",\"reply\":\"%s\",\"seconds\":0.%02llu}",
		 (unsigned long long)id, types[id % 6], (unsigned)(id & 0xff),
		 (unsigned long long)id, (unsigned long long)(id % 2 + 1),
		 (unsigned long long)(5 + id % 2), f->log_reply ? f->log_reply : replies[id % 6],
		 (unsigned long long)(id % 90 + 10));
	return (struct log_line){ id, at, codes[id % 6], rstr_new(str_of(json)) };
}

static inline bool fake_log_wanted(const struct link_request *r, const struct log_line *line)
{
	bool error = line->type == EVENT_DEFERRED || line->type == EVENT_BOUNCED;
	struct str filter = rstr_str(r->text);

	return (!r->errors_only || error) &&
	       (!filter.n || str_istarts(filter, "queue:") ||
		memmem(line->text->text, line->text->len, filter.p, filter.n));
}

/* The number of the last event before `at`. */
static inline uint64_t fake_before(us_t at)
{
	us_t n = FAKE_LOG_LAST - (FAKE_NOW - at) / FAKE_LOG_EVERY - 1;

	return n > 0 ? (uint64_t)n : 0;
}

/* What view 7 asks for: two that were suppressed, minutes ago. */
static inline void fake_suppressed(const struct link_request *r, struct link_answer *a)
{
	static const char *const json[] = {
		"{\"id\":4000,\"type\":\"suppressed\",\"message\":\"4f2a01\",\"recipient\":"
		"\"gone@yahoo.com\",\"virtual_mta\":\"vmta1\",\"reply\":\"554 30 Sorry, your "
		"message "
		"to gone@yahoo.com cannot be delivered\"}",
		"{\"id\":4100,\"type\":\"suppressed\",\"recipient\":\"angry\\u202e@aol.com\","
		"\"reply\":\"complaint\"}",
	};

	a->lines = calloc((size_t)r->n, sizeof *a->lines);
	for (int i = 0; i < 2 && i < r->n; i++)
		a->lines[a->nlines++] =
		    (struct log_line){ 4000 + (uint64_t)i * 100, FAKE_NOW - (3 - i) * US_PER_MIN,
				       EVENT_SUPPRESSED, rstr_new(str_of(json[i])) };
}

/* The ring holds the last of them, the files all. */
static inline void fake_log(struct fake *f, const struct link_request *r, struct link_answer *a)
{
	bool old = r->op == LINK_OLD_LOG;
	bool back = r->backwards || (!r->from_event && !old);
	uint64_t from = r->from_event ? r->from_event : old ? fake_before(r->at) : f->log_last + 1;

	if (str_eq(rstr_str(r->text), STR_LIT("type:suppressed"))) {
		fake_suppressed(r, a);
		return;
	}
	a->lines = calloc((size_t)r->n + 1, sizeof *a->lines);
	a->log_first = f->log_last > FAKE_LOG && !old ? f->log_last - FAKE_LOG + 1 : 1;
	a->log_last = old ? 0 : f->log_last;
	for (uint64_t id = back ? from - 1 : from + 1; id >= a->log_first && id <= f->log_last;
	     id = back ? id - 1 : id + 1) {
		if (old && a->nlines == r->n)
			break;
		struct log_line line = fake_event(f, id);
		if (fake_log_wanted(r, &line) && a->nlines < r->n)
			a->lines[a->nlines++] = line;
		else {
			a->matched += !back && fake_log_wanted(r, &line);
			rstr_unref(line.text);
		}
	}
	for (int i = 0; back && i < a->nlines / 2; i++) {
		struct log_line t = a->lines[i];
		a->lines[i] = a->lines[a->nlines - 1 - i];
		a->lines[a->nlines - 1 - i] = t;
	}
}

static inline void fake_command(struct fake *f, const struct link_request *r, struct link_answer *a)
{
	struct str line = rstr_str(r->text);

	if (f->ncommands < FAKE_COMMANDS)
		f->commands[f->ncommands++] = str_dup(line);
	if (str_istarts(line, "messages ")) {
		a->text = rstr_new(STR_LIT(fake_messages));
	} else if (str_istarts(line, "settings ") || str_istarts(line, "message ") ||
		   str_istarts(line, "lane ")) {
		a->text = rstr_newf(
		    "max-msg-rate        900/s     stoker.ini:12 [domain gmail.com]\nmax-smtp-out  "
		    "      240       default\nretry-after         10m, 30m  default\n");
	} else if (str_istarts(line, "reload --dry-run")) {
		a->text = rstr_new(STR_LIT("~ [domain yahoo.com]  max-msg-rate  300/s -> 200/s\n+ "
					   "[virtual-mta vmta5]\n- [domain old.example]\n"));
	} else if ((str_istarts(line, "delete ") || str_istarts(line, "bounce ") ||
		    str_istarts(line, "move ")) &&
		   !strstr(line.p, "--yes")) {
		a->exit = 1;
		a->confirm = 402112;
		a->text = rstr_new(STR_LIT("delete 402112 recipients; this can't be undone"));
	} else if ((str_istarts(line, "pause all") || str_istarts(line, "retry all")) &&
		   !strstr(line.p, "--yes")) {
		a->exit = 1;
		a->confirm = 0;
		a->risk = true;
		a->risk_expiry = str_istarts(line, "pause") ? "until ended; or 2h, 30m" : NULL;
		a->text = rstr_new(STR_LIT("Everything: 10 sites, 1.3M recipients\n  google\n  "
					   "yahoo\n  and 8 more"));
	} else if (str_istarts(line, "nonsense")) {
		a->exit = 1;
		a->text = rstr_new(STR_LIT("there is no command \"nonsense\""));
	} else if (str_istarts(line, "pause ") || str_istarts(line, "rate ") ||
		   str_istarts(line, "disable ")) {
		uint64_t n = fake_put_override(f, "pause", line.p + 6, "running", "paused",
					       f->now + 4 * US_PER_HOUR);
		a->text =
		    rstr_newf("%s: done for 4h (override %llu)", line.p, (unsigned long long)n);
	} else {
		a->text = rstr_newf("%s: done", line.p);
	}
}

static inline void fake_add_word(void *arg, struct str word)
{
	buf_adds(arg, word);
	buf_addc(arg, '\n');
}

static inline void fake_request(void *arg, struct link_request *r)
{
	struct fake *f = arg;
	struct link_answer *a = calloc(1, sizeof *a);
	struct query q = r->q;
	struct buf b;

	if (r->op == LINK_COUNT) { /* it is told, not asked */
		f->operators = r->n;
		link_request_free(r);
		free(a);
		return;
	}
	f->requests++;
	*a =
	    (struct link_answer){ .id = r->id, .operator= r->operator, .op = r->op, .confirm = -1 };
	buf_init(&b);
	if (r->op == LINK_QUERY) {
		q.filter = rstr_str(r->text);
		q.sort = rstr_str(r->sort);
		a->page = query_run(f->mirror, &q, f->now);
	} else if (r->op == LINK_LOG || r->op == LINK_OLD_LOG) {
		fake_log(f, r, a);
	} else if (r->op == LINK_COMMAND) {
		fake_command(f, r, a);
	} else if (r->op == LINK_DETAIL) {
		a->text = rstr_new(STR_LIT(fake_detail));
	} else if (r->op == LINK_COMPLETE) {
		command_complete(f->mirror, rstr_str(r->text), fake_add_word, &b);
		a->text = rstr_new(buf_str(&b));
	}
	buf_free(&b);
	link_request_free(r);
	if (f->nwaiting < FAKE_WAITING)
		f->waiting[f->nwaiting++] = a;
	else
		link_answer_free(a);
}

/* Lets the answers go that wait now. */
static inline void fake_pump(struct fake *f)
{
	for (int rounds = 0; f->nwaiting && rounds < 8; rounds++) {
		struct link_answer *all[FAKE_WAITING];
		int n = f->nwaiting;
		memcpy(all, f->waiting, sizeof all);
		f->nwaiting = 0;
		for (int i = 0; i < n; i++)
			console_answer(f->console, all[i]);
	}
}

static inline void fake_header(struct fake *f)
{
	struct sched_totals t = { .accepted = 100000000,
				  .delivered = 90000000,
				  .deferred = 2400000,
				  .bounced = 500000,
				  .queued = 1253485,
				  .out_rate = 2903.4f,
				  .in_rate = 3104.1f,
				  .connections = 423,
				  .connection_limit = 4000 };

	t.delivered += (uint64_t)((f->now - FAKE_NOW) / US_PER_MS * 3);
	t.deferred += (uint64_t)((f->now - FAKE_NOW) / US_PER_MS / 10);
	console_header(
	    f->console, &t,
	    rstr_new(
		STR_LIT("{\"version\":\"1\",\"hostname\":\"mta1.example.net\",\"uptime\":1051440,"
			"\"state\":\"running\",\"config\":{\"number\":41,\"differs\":false},"
			"\"queue_limit\":{\"value\":6000000},\"out\":{\"connection_limit\":4000},"
			"\"in\":{\"connections\":12},"
			"\"alarms\":[{\"id\":1,\"severity\":\"red\"},{\"id\":2,\"severity\":"
			"\"yellow\"}]}")));
}

static inline void fake_open(struct fake *f, const char *themes)
{
	struct console_env env = { .arg = f, .request = fake_request, .themes_dir = themes };

	*f = (struct fake){ .loop = loop_new("console"),
			    .now = FAKE_NOW,
			    .log_last = FAKE_LOG_LAST };
	f->mirror = mirror_new();
	f->console = console_new(f->loop, &env, NULL);
	f->console->fixed_now = f->now;
	fake_fill(f);
	for (int i = 0; i < 30; i++) { /* a curve, and shares of the last minutes */
		f->now = f->console->fixed_now = FAKE_NOW - (30 - i) * 5 * US_PER_S;
		fake_header(f);
		f->console->header.totals.out_rate = 2000 + (float)(i * 37 % 900);
		f->console->header.curve[i % HEADER_CURVE] = 2000 + (float)(i * 137 % 900);
	}
	f->now = f->console->fixed_now = FAKE_NOW;
	fake_header(f);
}

static inline void fake_close(struct fake *f)
{
	fake_pump(f);
	console_free(f->console);
	for (int i = 0; i < f->nwaiting; i++)
		link_answer_free(f->waiting[i]);
	for (int i = 0; i < f->ncommands; i++)
		free(f->commands[i]);
	mirror_free(f->mirror);
	loop_free(f->loop);
}

static inline void fake_clock(struct fake *f, us_t by)
{
	f->now += by;
	f->console->fixed_now = f->now;
}

#endif
