/* Webhooks in virtual time, over the real event log, with a far end that answers as it is told:
 * what is lost, what comes twice, in which order, and when. With STOKER_FULL: an hour without the
 * far end and a million events. */
#include "tests/unit/spool/kit.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <signal.h>
#include <sys/wait.h>

#include "core/base/hash.h"
#include "core/report/delivery_log.h"
#include "core/report/webhook.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define READER "webhook:h"

static const char *bounced_only[] = { "bounced" };
static const char *both[] = { "bounced", "delivered" };
static struct conf_webhook set;
static struct conf *conf;

static void set_defaults(void)
{
	set = (struct conf_webhook){ .name = "h",
				     .url = "http://127.0.0.1/",
				     .secret = SECRET,
				     .events = bounced_only,
				     .nevents = 1,
				     .batch = 100,
				     .max_delay = US_PER_S };
	conf->webhooks = &set;
	conf->nwebhooks = 1;
}

/* ---- a far end ---- */

struct far {
	struct webhook_request r;
	char body[64 * 1024];
	int posts, drops;
	bool running;
};

static bool far_post(void *arg, struct webhook *w, const struct webhook_request *r)
{
	struct far *f = arg;

	(void)w;
	assert_false(f->running); /* one at a time */
	f->r = *r;
	assert_true(r->body.n < sizeof f->body);
	memcpy(f->body, r->body.p, r->body.n);
	f->body[r->body.n] = '\0';
	f->posts++;
	f->running = true;
	return true;
}

static void far_drop(void *arg, struct webhook *w)
{
	struct far *f = arg;

	(void)w;
	f->running = false;
	f->drops++;
}

static void answer(struct far *f, struct webhook *w, us_t now, int status, us_t retry_after)
{
	assert_true(f->running);
	f->running = false;
	webhook_answered(w, now, &(struct webhook_answer){ status, retry_after, "nobody listens" });
}

static int count(const char *text, const char *word)
{
	int n = 0;

	for (const char *p = text; (p = strstr(p, word)); p++)
		n++;
	return n;
}

static const char *header(const struct far *f, const char *name)
{
	for (int i = 0; i < f->r.nheaders; i++)
		if (strncmp(f->r.headers[i], name, strlen(name)) == 0)
			return f->r.headers[i] + strlen(name);
	fail_msg("no header %s", name);
	return "";
}

static void events(struct kit *k, enum event_type type, int n)
{
	struct event e = { .at = k->now, .type = type, .recipient = STR_LIT("r@example.net") };

	for (int i = 0; i < n; i++)
		assert_true(spool_event(k->s, &e));
	kit_commit(k, true);
}

struct scene {
	struct kit k;
	struct far f;
	struct webhook *w;
};
static struct scene sc;

static int open_scene(void **state)
{
	(void)state;
	set_defaults();
	kit_init(&sc.k);
	sc.f = (struct far){ .posts = 0 };
	kit_open(&sc.k);
	sc.w = webhook_new(
	    conf, 0, event_reader_open(sc.k.s, READER),
	    &(struct webhook_carrier){ .arg = &sc.f, .post = far_post, .drop = far_drop });
	assert_non_null(sc.w);
	return 0;
}

static int close_scene(void **state)
{
	(void)state;
	webhook_free(sc.w);
	kit_done(&sc.k);
	return 0;
}

static us_t step(us_t now)
{
	us_t next;

	webhook_wake(sc.w);
	do
		next = webhook_step(sc.w, now);
	while (next <= now);
	return next;
}

/* ---- what is sent, and when ---- */

static void the_first_goes_at_once_and_more_wait_for_max_delay_or_a_full_batch(void **state)
{
	us_t t = sc.k.now;

	(void)state;
	assert_true(step(t) == US_NEVER);
	events(&sc.k, EVENT_BOUNCED, 1);
	step(t);
	assert_int_equal(sc.f.posts, 1);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "1-1");
	events(&sc.k, EVENT_BOUNCED, 3);
	step(t); /* one runs: nothing else may */
	answer(&sc.f, sc.w, t + 10 * US_PER_MS, 200, 0);
	assert_true(step(t + 10 * US_PER_MS) == t + US_PER_S);
	step(t + US_PER_S - 1);
	assert_int_equal(sc.f.posts, 1);
	step(t + US_PER_S);
	assert_int_equal(sc.f.posts, 2);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "2-4");
	assert_int_equal(count(sc.f.body, "\"type\":\"bounced\""), 3);
	answer(&sc.f, sc.w, t + US_PER_S, 204, 0);
	events(&sc.k, EVENT_BOUNCED, 250);
	step(t + US_PER_S);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "5-104");
	answer(&sc.f, sc.w, t + US_PER_S, 200, 0);
	step(t + US_PER_S);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "105-204");
	answer(&sc.f, sc.w, t + US_PER_S, 200, 0);
	step(t + US_PER_S);
	assert_int_equal(sc.f.posts, 4);
	assert_int_equal(webhook_position(sc.w), 204);
	step(t + 2 * US_PER_S);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "205-254");
	assert_int_equal(webhook_position(sc.w), 204);
}

static void other_events_are_passed_over(void **state)
{
	(void)state;
	events(&sc.k, EVENT_DELIVERED, 5000);
	step(sc.k.now);
	assert_int_equal(sc.f.posts, 0);
	assert_int_equal(webhook_position(sc.w), 5000);
	events(&sc.k, EVENT_BOUNCED, 1);
	events(&sc.k, EVENT_DELIVERED, 5000);
	step(sc.k.now);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "5001-5001");
	answer(&sc.f, sc.w, sc.k.now, 200, 0);
	step(sc.k.now);
	assert_int_equal(webhook_position(sc.w), 10001);
}

static void the_body_is_the_log_s_json_and_signed_with_its_time(void **state)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	char text[sizeof sc.f.body + 32], hex[80] = "sha256=";
	unsigned n = 0;

	(void)state;
	events(&sc.k, EVENT_BOUNCED, 2);
	step(sc.k.now);
	assert_string_equal(header(&sc.f, "Content-Type: "), "application/json");
	assert_string_equal(header(&sc.f, "X-Stoker-Webhook: "), "h");
	assert_string_equal(header(&sc.f, "X-Stoker-Timestamp: "), "1700000000");
	assert_string_equal(
	    sc.f.body,
	    "[{\"id\":1,\"at\":\"2023-11-14T22:13:20.000Z\",\"type\":\"bounced\",\"recipient\":"
	    "\"r@example.net\"},\n"
	    "{\"id\":2,\"at\":\"2023-11-14T22:13:20.000Z\",\"type\":\"bounced\",\"recipient\":"
	    "\"r@example.net\"}]\n");
	snprintf(text, sizeof text, "1700000000.%s", sc.f.body);
	HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET), (const unsigned char *)text, strlen(text),
	     mac, &n);
	for (unsigned i = 0; i < n; i++)
		snprintf(hex + 7 + 2 * i, 3, "%02x", mac[i]);
	assert_string_equal(header(&sc.f, "X-Stoker-Signature: "), hex);
}

static void a_failure_is_repeated_whole_with_growing_pauses(void **state)
{
	static const int pauses[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300 };
	static const int answers[] = { 500, 0, 302, 404, 429, 100 };
	us_t t = sc.k.now;

	(void)state;
	events(&sc.k, EVENT_BOUNCED, 2);
	step(t);
	assert_null(webhook_trouble(sc.w));
	for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
		events(&sc.k, EVENT_BOUNCED, 1); /* waits */
		answer(&sc.f, sc.w, t, answers[i % 6], 0);
		assert_non_null(webhook_trouble(sc.w));
		assert_true(step(t) == t + pauses[i] * US_PER_S);
		t += pauses[i] * US_PER_S;
		step(t);
		assert_int_equal(sc.f.posts, i + 2);
		assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "1-2");
		assert_int_equal(count(sc.f.body, "]"), 1);
	}
	answer(&sc.f, sc.w, t, 302, 0);
	assert_non_null(strstr(webhook_trouble(sc.w), "302"));
	step(t + US_PER_HOUR);
	answer(&sc.f, sc.w, t, 201, 0);
	assert_null(webhook_trouble(sc.w));
	assert_int_equal(webhook_position(sc.w), 2);
	step(t + 2 * US_PER_HOUR);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "3-13");
	answer(&sc.f, sc.w, t, 503, 0); /* from the beginning again */
	assert_true(step(t) == t + US_PER_S);
}

static void retry_after_is_honoured_within_reason(void **state)
{
	us_t t = sc.k.now;

	(void)state;
	events(&sc.k, EVENT_BOUNCED, 1);
	step(t);
	answer(&sc.f, sc.w, t, 503, 40 * US_PER_S);
	assert_true(step(t) == t + 40 * US_PER_S);
	step(t + 40 * US_PER_S);
	answer(&sc.f, sc.w, t, 429, 1); /* never sooner than the pause */
	assert_true(step(t) == t + 2 * US_PER_S);
	step(t + 2 * US_PER_S);
	answer(&sc.f, sc.w, t, 429, 30 * US_PER_DAY);
	assert_true(step(t) == t + US_PER_HOUR);
}

/* A batch that is never taken must not stand in the way for good. */
static void a_body_that_is_too_large_is_halved_until_it_is_taken(void **state)
{
	us_t t = sc.k.now;

	(void)state;
	events(&sc.k, EVENT_BOUNCED, 7);
	step(t);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "1-7");
	answer(&sc.f, sc.w, t, 413, 0);
	step(t);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "1-4");
	answer(&sc.f, sc.w, t, 413, 0);
	step(t);
	answer(&sc.f, sc.w, t, 413, 0); /* 1-2 */
	assert_null(webhook_trouble(sc.w));
	step(t);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "1-1");
	answer(&sc.f, sc.w, t, 413, 0);
	assert_non_null(strstr(webhook_trouble(sc.w), "one event alone"));
	assert_true(step(t) == t + US_PER_S);
	t += US_PER_S;
	for (int i = 1; i <= 7; i++) {
		char batch[16];

		step(t);
		snprintf(batch, sizeof batch, "%d-%d", i, i);
		assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), batch);
		answer(&sc.f, sc.w, t, 200, 0);
		assert_null(webhook_trouble(sc.w));
	}
	assert_int_equal(webhook_position(sc.w), 7);
	webhook_conf(sc.w, conf, 0); /* an operator who changed the far end reloads */
	events(&sc.k, EVENT_BOUNCED, 5);
	step(t + US_PER_MIN);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "8-12");
	answer(&sc.f, sc.w, t, 200, 0);
}

static void a_reload_goes_on_behind_the_last_answer(void **state)
{
	us_t t = sc.k.now;

	(void)state;
	events(&sc.k, EVENT_BOUNCED, 1);
	events(&sc.k, EVENT_DELIVERED, 1);
	events(&sc.k, EVENT_BOUNCED, 1);
	step(t);
	answer(&sc.f, sc.w, t, 500, 0);
	webhook_conf(sc.w, conf, 0); /* nothing new but the wait is over */
	step(t);
	assert_int_equal(sc.f.posts, 2);
	struct conf_webhook was = set, wants_both = set;
	wants_both.events = both;
	wants_both.nevents = 2;
	struct conf_webhook two[2] = { was, wants_both };
	conf->webhooks = two;
	webhook_conf(sc.w, conf, 1);
	conf->webhooks = &set;
	assert_int_equal(sc.f.drops, 1);
	step(t + US_PER_S);
	assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "1-3");
	assert_int_equal(count(sc.f.body, "\"type\""), 3);
	webhook_conf(sc.w, conf, 0);
}

static void behind_events_max_the_oldest_go_counted_and_the_batch_that_runs_stays(void **state)
{
	us_t t = sc.k.now;
	int arrived = 0, total = 100;

	(void)state;
	spool_reader_position(sc.k.s, READER, 0);
	events(&sc.k, EVENT_BOUNCED, 100);
	step(t);
	answer(&sc.f, sc.w, t, 0, 0);
	while (total < 60000) {
		events(&sc.k, EVENT_BOUNCED, 500);
		total += 500;
	}
	kit_settle(&sc.k);
	assert_int_equal(webhook_missed(sc.w), 0);
	for (t += US_PER_MIN; arrived == 0 || sc.f.running; t += US_PER_MIN) {
		step(t);
		if (!sc.f.running)
			break;
		if (!arrived)
			assert_string_equal(header(&sc.f, "X-Stoker-Batch: "), "1-100");
		arrived += count(sc.f.body, "\"type\"");
		answer(&sc.f, sc.w, t, 200, 0);
		step(t);
	}
	assert_true(webhook_missed(sc.w) > 10000);
	assert_int_equal(arrived + (int)webhook_missed(sc.w), total);
	assert_int_equal(webhook_position(sc.w), total);
}

static void each_type_of_event_can_be_asked_for(void **state)
{
	const char ini[] = "/tmp/stoker-webhook-unit.ini";

	(void)state;
	for (unsigned t = EVENT_RECEIVED; t < EVENT_TYPES; t++) {
		char text[300];
		struct conf_file file = { ini, { text, 0 } };
		struct conf_read_opts o = { .stored = &file, .nstored = 1 };
		struct conf_problems p;
		struct conf *c;

		snprintf(text, sizeof text,
			 "[mta]\nhostname = a.example\nsmtp-source-host = 127.0.0.1 a.example\n"
			 "[webhook h]\nurl = http://127.0.0.1/\nevents = %s\n",
			 event_type_name((enum event_type)t));
		file.text.n = strlen(text);
		conf_problems_init(&p);
		c = conf_read(ini, &o, &p);
		assert_non_null(c);
		assert_string_equal(c->webhooks[0].events[0], event_type_name((enum event_type)t));
		conf_unref(c);
		conf_problems_free(&p);
	}
}

/* ---- an hour without the far end ---- */

enum { RECIPIENTS = 5000 };
static const us_t ANSWER_TIME = 2 * US_PER_MS, COMMIT_EVERY = 20 * US_PER_MS,
		  POSITION_EVERY = 200 * US_PER_MS; /* core/mta_webhook.c */

struct arrival { /* what the far end keeps of each event, in a file that outlives us */
	us_t at;
	uint64_t id;
	uint64_t hash; /* of its text; 0: a process was killed here */
};

struct hour {
	struct kit k;
	struct webhook *w;
	us_t now, up_at, answer_at, position_at, commit_at;
	uint64_t total, made, seen, kill_at; /* events */
	us_t made_every;
	uint64_t made_at_once;
	int fd;
	bool accepted; /* the request that runs */
};

/* The far end takes the whole request, and only later says so. */
static bool hour_post(void *arg, struct webhook *w, const struct webhook_request *r)
{
	struct hour *h = arg;
	static struct arrival kept[1000];
	struct str rest = r->body, line;
	size_t n = 0;

	(void)w;
	h->answer_at = h->now + ANSWER_TIME;
	h->accepted = h->now >= h->up_at;
	while (h->accepted && str_split(&rest, '\n', &line) && line.n > 2) {
		kept[n].at = h->answer_at;
		kept[n].id = strtoull(strstr(line.p, "\"id\":") + 5, NULL, 10);
		while (line.n && line.p[line.n - 1] != '}')
			line.n--;
		line = line.p[0] == '[' ? (struct str){ line.p + 1, line.n - 1 } : line;
		kept[n++].hash = hash_bytes(line.p, line.n) | 1;
	}
	assert_true(write(h->fd, kept, n * sizeof kept[0]) == (ssize_t)(n * sizeof kept[0]));
	h->seen += n;
	if (h->kill_at && h->seen >= h->kill_at)
		kill(getpid(), SIGKILL); /* it was taken, and we shall not have heard it */
	return true;
}

static void hour_drop(void *arg, struct webhook *w)
{
	(void)w;
	((struct hour *)arg)->answer_at = 0;
}

static void make_events(struct hour *h)
{
	for (uint64_t i = 0; i < h->made_at_once && h->made < h->total; i++) {
		char rcpt[64];
		struct event e = { .at = h->now,
				   .type = EVENT_BOUNCED,
				   .message = ++h->made,
				   .sender = STR_LIT("news@example.org"),
				   .queue = STR_LIT("example.net/pool"),
				   .reply = STR_LIT("550 5.1.1 user unknown"),
				   .enhanced = STR_LIT("5.1.1"),
				   .category = STR_LIT("bad-mailbox"),
				   .hard = true };

		snprintf(rcpt, sizeof rcpt, "r%llu@example.net",
			 (unsigned long long)(h->made % RECIPIENTS));
		e.recipient = str_of(rcpt);
		assert_true(spool_event(h->k.s, &e));
	}
}

static us_t earlier(us_t a, us_t b)
{
	return a < b ? a : b;
}

/* What the threads do, on a clock of its own. When something is next to do. */
static us_t hour_step(struct hour *h)
{
	us_t next = US_NEVER, due;

	if (h->answer_at && h->now >= h->answer_at) {
		struct webhook_answer a = { h->accepted ? 200 : 0, 0, "nobody listens" };

		h->answer_at = 0;
		webhook_answered(h->w, h->now, &a);
	}
	if (h->made < h->total && h->now % h->made_every == 0)
		make_events(h);
	if (h->now >= h->position_at) {
		spool_reader_position(h->k.s, READER, webhook_position(h->w));
		h->position_at = h->now + POSITION_EVERY;
	}
	if (h->now >= h->commit_at && spool_dirty(h->k.s)) {
		h->k.now = h->now;
		kit_commit(&h->k, true);
		webhook_wake(h->w);
		h->commit_at = h->now + COMMIT_EVERY;
	}
	if (h->made < h->total)
		next = h->now - h->now % h->made_every + h->made_every;
	due = webhook_step(h->w, h->now);
	next = earlier(next, due > h->now ? due : h->now + 1);
	next = earlier(next, h->position_at);
	if (h->answer_at)
		next = earlier(next, h->answer_at);
	if (spool_dirty(h->k.s))
		next = earlier(next, h->commit_at > h->now ? h->commit_at : h->now + 1);
	return next;
}

/* One life of the process; ends when all has arrived, or with SIGKILL. */
static void life(struct hour *h)
{
	struct webhook_carrier carrier = { .arg = h, .post = hour_post, .drop = hour_drop };
	struct spool_stats st;

	kit_open(&h->k);
	spool_stats(h->k.s, h->now, &st);
	h->made = st.last_event;
	h->w = webhook_new(conf, 0, event_reader_open(h->k.s, READER), &carrier);
	assert_non_null(h->w);
	while (h->made < h->total || webhook_position(h->w) < h->total) {
		if (h->now < h->up_at && h->now >= h->up_at - US_PER_MIN)
			assert_non_null(webhook_trouble(h->w));
		h->now = hour_step(h);
	}
	assert_int_equal(webhook_missed(h->w), 0);
	webhook_free(h->w);
	kit_close(&h->k);
}

struct account {
	uint64_t arrived, repeated, most_repeated, repeats_now;
	us_t killed_at, last_at;
	struct arrival *v; /* by id */
};

static void judge(struct account *a, const struct arrival *g)
{
	if (!g->hash) {
		a->killed_at = a->last_at;
		a->repeats_now = 0;
		return;
	}
	a->last_at = g->at;
	if (g->id == a->arrived + 1) { /* none is missing, none comes before its turn */
		a->v[++a->arrived] = *g;
		return;
	}
	assert_true(g->id > 0 && g->id <= a->arrived);
	assert_true(a->killed_at != 0);
	assert_true(a->v[g->id].hash == g->hash); /* the same event by the same id */
	/* Its first arrival was less than a second before the end. */
	assert_true(a->v[g->id].at > a->killed_at - US_PER_S);
	a->repeated++;
	if (++a->repeats_now > a->most_repeated)
		a->most_repeated = a->repeats_now;
}

static void account_for(struct account *a, int fd)
{
	static struct arrival some[4096];
	ssize_t n;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	while ((n = read(fd, some, sizeof some)) > 0)
		for (size_t i = 0; i < (size_t)n / sizeof some[0]; i++)
			judge(a, &some[i]);
}

static void a_far_end_that_is_down_for_an_hour_loses_nothing_over_kills(void **state)
{
	bool is_full = getenv("STOKER_FULL");
	struct hour h = { .total = is_full ? 1000000 : 20000, .made_every = US_PER_S };
	struct account a = { .v = calloc((size_t)h.total + 1, sizeof *a.v) };
	uint64_t kills[] = { h.total / 7, h.total / 3, h.total / 2 + 1, 0 };
	char path[192];

	(void)state;
	set_defaults();
	kit_init(&h.k);
	h.k.o.events_max = h.k.o.map_bytes = h.k.o.segment_bytes = 0; /* as shipped */
	snprintf(path, sizeof path, "%s/arrived", h.k.dir);
	h.fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(h.fd >= 0);
	us_t start = h.k.now;
	h.made_at_once = h.total / 3600 + 1;
	for (int i = 0; i < 4; i++) {
		struct arrival killed = { .at = 0 }, last;
		off_t end = lseek(h.fd, 0, SEEK_END);
		int status;
		pid_t child;

		h.now = start;
		if (end >= (off_t)sizeof last &&
		    pread(h.fd, &last, sizeof last, end - 2 * (off_t)sizeof last) > 0)
			h.now = last.at;
		h.up_at = start + US_PER_HOUR;
		h.seen = (uint64_t)end / sizeof last;
		h.kill_at = kills[i];
		h.position_at = h.commit_at = 0;
		child = fork();
		assert_true(child >= 0);
		if (!child) {
			life(&h);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (kills[i])
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		else
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		if (kills[i])
			assert_int_equal(write(h.fd, &killed, sizeof killed), sizeof killed);
	}
	account_for(&a, h.fd);
	assert_int_equal(a.arrived, h.total);
	assert_true(a.last_at >= start + US_PER_HOUR);
	print_message(
	    "# %llu events over a virtual hour without the far end: each arrived, in "
	    "order; three kills in the middle repeated %llu, at most %llu at once, all of "
	    "the last second, same ids\n",
	    (unsigned long long)a.arrived, (unsigned long long)a.repeated,
	    (unsigned long long)a.most_repeated);
	close(h.fd);
	free(a.v);
	kit_remove(h.k.dir);
}

int main(void)
{
	clock_init();
	hash_seed(1, 2);
	const char ini[] = "/tmp/stoker-webhook-unit.ini";
	struct conf_file file = { ini, STR_LIT("[mta]\nhostname = a.example\nsmtp-source-host = "
					       "127.0.0.1 a.example\n") };
	struct conf_read_opts o = { .stored = &file, .nstored = 1 };
	struct conf_problems p;
	conf_problems_init(&p);
	conf = conf_read(ini, &o, &p);
	conf_problems_free(&p);
#define IN_SCENE(f) cmocka_unit_test_setup_teardown(f, open_scene, close_scene)
	const struct CMUnitTest tests[] = {
		IN_SCENE(the_first_goes_at_once_and_more_wait_for_max_delay_or_a_full_batch),
		IN_SCENE(other_events_are_passed_over),
		IN_SCENE(the_body_is_the_log_s_json_and_signed_with_its_time),
		IN_SCENE(a_failure_is_repeated_whole_with_growing_pauses),
		IN_SCENE(retry_after_is_honoured_within_reason),
		IN_SCENE(a_body_that_is_too_large_is_halved_until_it_is_taken),
		IN_SCENE(a_reload_goes_on_behind_the_last_answer),
		IN_SCENE(behind_events_max_the_oldest_go_counted_and_the_batch_that_runs_stays),
		cmocka_unit_test(each_type_of_event_can_be_asked_for),
		cmocka_unit_test(a_far_end_that_is_down_for_an_hour_loses_nothing_over_kills),
	};
	int rc = conf ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	conf_unref(conf);
	return rc;
}
