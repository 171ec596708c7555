/* Start, threads, signals, stop. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/attach.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/mta.h"
#include "core/notify.h"
#include "core/net/tls.h"

enum {
	TO_IO_CAPACITY = 4096,
	FROM_IO_CAPACITY = 8192,
	COMMIT_CAPACITY = 2048,
	FRESH_CAPACITY = 8192,
	OUTCOME_CAPACITY = 16384,
	USED_ROWS = 64,
	FILES_BESIDE_SOCKETS = 256,
};

bool mta_address_here(const struct endpoint *e)
{
	int fd = socket(e->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	bool here = bind(fd, &e->sa, e->len) == 0;
	close(fd);
	return here;
}

static struct member *member_add(struct mta *m, enum member_kind role, int nth, const char *name)
{
	struct member *me = &m->members[m->nmembers];
	me->mta = m;
	me->role = role;
	me->index = m->nmembers++;
	me->nth = nth;
	snprintf(me->name, sizeof me->name, "%s", name);
	me->loop = role == MEMBER_MAIN ? NULL : loop_new(me->name);
	return me;
}

/* Tests: passes of so many ms of CPU or more are told in the log. */
static void passes_tell(struct mta *m)
{
	const char *ms = getenv("STOKER_TEST_PASSES");
	for (int i = 0; ms && i < m->nmembers; i++)
		if (m->members[i].loop)
			loop_tell_passes(m->members[i].loop, atoi(ms) * US_PER_MS);
}

static void members_make(struct mta *m)
{
	char name[24];
	m->nio = m->conf->mta.threads < 1 ? 1 : m->conf->mta.threads;
	if (m->nio > IO_THREADS_MAX)
		m->nio = IO_THREADS_MAX;
	m->main = member_add(m, MEMBER_MAIN, 0, "main");
	m->sched = member_add(m, MEMBER_SCHED, 0, "scheduler");
	m->spooler = member_add(m, MEMBER_SPOOL, 0, "spool");
	m->report = member_add(m, MEMBER_REPORT, 0, "report");
	m->control = member_add(m, MEMBER_CONTROL, 0, "control");
	m->console = member_add(m, MEMBER_CONSOLE, 0, "console");
	m->pickup = member_add(m, MEMBER_PICKUP, 0, "pickup");
	m->http = member_add(m, MEMBER_HTTP, 0, "http");
	for (int i = 0; i < WORKERS; i++) {
		snprintf(name, sizeof name, "worker%d", i);
		m->workers[i] = member_add(m, MEMBER_WORKER, i, name);
	}
	for (int i = 0; i < m->nio; i++) {
		snprintf(name, sizeof name, "io%d", i);
		m->io[i] = member_add(m, MEMBER_IO, i, name);
	}
}

static struct mailbox *box(const char *name, size_t bytes, size_t capacity, struct member *from,
			   struct member *to)
{
	struct mailbox *b = mailbox_new(name, bytes, capacity, loop_waker(from->loop),
					to ? loop_waker(to->loop) : NULL);
	if (!b)
		fatal("no memory for the mailbox %s", name);
	return b;
}

static void boxes_make(struct mta *m)
{
	const char *forced =
	    getenv("STOKER_TEST_MAILBOX"); /* tests: every mailbox at this capacity */
	if (forced)
		mailbox_force_capacity((size_t)atoi(forced));
	const char *slowly = getenv("STOKER_TEST_LOAD"); /* tests: see load_slowly */
	m->load_slowly = slowly ? (size_t)atoi(slowly) : 0;
	for (int i = 0; i < m->nio; i++) {
		m->to_io[i] =
		    box("to-io", sizeof(struct to_io), TO_IO_CAPACITY, m->sched, m->io[i]);
		m->from_io[i] =
		    box("from-io", sizeof(struct from_io), FROM_IO_CAPACITY, m->io[i], m->sched);
		m->commits[i] = box("commits", sizeof(struct commit_request), COMMIT_CAPACITY,
				    m->io[i], m->spooler);
		m->committed[i] = box("committed", sizeof(struct commit_answer), COMMIT_CAPACITY,
				      m->spooler, m->io[i]);
	}
	m->fresh = box("fresh", sizeof(struct new_message), FRESH_CAPACITY, m->spooler, m->sched);
	/* No consumer to wake: the scheduler's thread wakes the spool when outcomes have waited 20
	 * ms. */
	m->outcomes =
	    box("outcomes", sizeof(struct transaction *), OUTCOME_CAPACITY, m->sched, NULL);
	m->used_rows = box("used-rows", sizeof(struct row *), USED_ROWS, m->control, NULL);
	m->commit_credits = forced ? (size_t)atoi(forced) : COMMIT_CAPACITY;
	mta_posts_make(m);
}

static void wire_all(struct mta *m)
{
	static void (*const wire[])(struct member *) = {
		[MEMBER_SCHED] = mta_sched_wire,     [MEMBER_SPOOL] = mta_spool_wire,
		[MEMBER_REPORT] = mta_report_wire,   [MEMBER_CONTROL] = mta_control_wire,
		[MEMBER_CONSOLE] = mta_console_wire, [MEMBER_PICKUP] = mta_pickup_wire,
		[MEMBER_WORKER] = mta_worker_wire,   [MEMBER_IO] = mta_io_wire,
		[MEMBER_HTTP] = mta_http_wire,
	};
	for (int i = 0; i < m->nmembers; i++) {
		struct member *me = &m->members[i];
		if (!me->loop)
			continue;
		wire[me->role](me);
		mta_posts_wire(me);
	}
}

static void *member_main(void *arg)
{
	struct member *me = arg;
	char name[16];
	snprintf(name, sizeof name, "%s", me->name);
	pthread_setname_np(pthread_self(), name);
	loop_run(me->loop);
	return NULL;
}

static void threads_start(struct mta *m)
{
	for (int i = 0; i < m->nmembers; i++) {
		struct member *me = &m->members[i];
		if (!me->loop)
			continue;
		int rc = pthread_create(&me->thread, NULL, member_main, me);
		if (rc)
			fatal("thread %s does not start: %s", me->name, strerror(rc));
		me->started = true;
	}
}

void mta_stop(struct mta *m)
{
	if (__atomic_exchange_n(&m->stopping, 1, __ATOMIC_SEQ_CST))
		return;
	/* The main thread sits in sigwait. */
	pthread_kill(m->main->thread, SIGUSR2);
}

static void stop_one(struct member *me)
{
	loop_stop(me->loop);
	pthread_join(me->thread, NULL);
	me->started = false;
}

/* First those who make work, then the spool, which has the last word, then the report's position.
 */
static void threads_stop(struct mta *m)
{
	stop_one(m->pickup);
	for (int i = 0; i < m->nio; i++)
		stop_one(m->io[i]);
	stop_one(m->sched);
	mta_sched_finish(m->sched);
	for (int i = 0; i < WORKERS; i++)
		stop_one(m->workers[i]);
	stop_one(m->report);
	stop_one(m->console);
	stop_one(m->http);
	stop_one(m->control);
	stop_one(m->spooler);
	mta_spool_finish(m->spooler);
	mta_report_finish(m->report);
	mta_spool_finish(m->spooler);
	mta_pickup_finish(m->pickup);
	mta_console_finish(m->console);
	mta_http_finish(m->http);
	mta_control_finish(m->control);
	inbound_finish(m);
	suppression_close(m->suppression);
	spool_close(m->spool);
}

static void open_files_limit(const struct conf *c)
{
	struct rlimit l;
	rlim_t need = (rlim_t)c->mta.total_max_smtp_out + (rlim_t)c->mta.total_max_smtp_in +
		      FILES_BESIDE_SOCKETS;
	if (getrlimit(RLIMIT_NOFILE, &l))
		fatal("the open-file limit can't be read: %s", strerror(errno));
	if (l.rlim_cur < need && l.rlim_max != RLIM_INFINITY && l.rlim_max < need) {
		l.rlim_max = need; /* root may */
		if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){ need, need }))
			fatal("total-max-smtp-out and total-max-smtp-in need %llu open files; the "
			      "limit is %llu: lower them or raise "
			      "it (LimitNOFILE=)",
			      (unsigned long long)need, (unsigned long long)l.rlim_cur);
		return;
	}
	if (l.rlim_cur < need) {
		l.rlim_cur = need;
		if (setrlimit(RLIMIT_NOFILE, &l))
			fatal("the open-file limit can't be raised to %llu: %s",
			      (unsigned long long)need, strerror(errno));
	}
}

static void bind_all(struct mta *m)
{
	const struct conf *c = m->conf;
	if (c->nlisteners > LISTENERS_MAX)
		fatal("more than %d listeners", LISTENERS_MAX);
	struct errbuf e = { "" };
	struct listener_move none = { .ngoing = 0 };
	if (!mta_http_bind(NULL, c, &none, &m->http_fd, &e))
		fatal("%s:%d: http-mgmt-port: %s", c->mta.origin_http_port.file,
		      c->mta.origin_http_port.line, e.text);
	for (int i = 0; i < c->nlisteners; i++) {
		m->listener_fds[i] = listener_bind(&c->listeners[i].at, &e);
		if (m->listener_fds[i] < 0)
			fatal("%s:%d: listener %s: %s", c->listeners[i].origin.file,
			      c->listeners[i].origin.line, c->listeners[i].name, e.text);
	}
}

static void become_user(const struct mta *m)
{
	const char *user = m->conf->mta.run_as_user;
	struct errbuf e = { "" };
	if (m->opts.demo || geteuid() != 0) {
		privileges_harden();
		return;
	}
	if (user && strcmp(user, "root") == 0) {
		log_warn("run-as-user root: Stoker keeps root's rights; a system user is safer");
		privileges_harden();
		return;
	}
	if (privileges_drop(user ? user : "stoker", &e))
		fatal("%s", e.text);
}

/* Keys and certificates, as the user that Stoker has become: what that one can't read at the next
 * reload fails now. */
static void tls_start(struct mta *m)
{
	struct conf_problems problems;
	struct buf out;

	buf_init(&out);
	conf_problems_init(&problems);
	if (!attach_files(m->conf, &problems)) {
		conf_problems_print(&problems, &out);
		fatal("the configuration can't be used:\n%s", buf_z(&out));
	}
	for (int i = 0; i < problems.n; i++)
		log_warn("%s:%d: %s", problems.v[i].file, problems.v[i].line, problems.v[i].text);
	conf_problems_free(&problems);
	buf_free(&out);
}

static void spool_start(struct mta *m)
{
	struct errbuf e = { "" };
	struct spool_opts o = { .dir = m->conf->mta.spool,
				.state_dir = m->conf->mta.state,
				.min_free = (uint64_t)m->conf->mta.spool_min_free,
				.events_max = (uint64_t)m->conf->mta.events_max };
	const struct err *err = spool_open(&o, &m->spool, &e);
	if (err)
		fatal("%s", e.text[0] ? e.text : err->text);
	body_budget_set((uint64_t)m->conf->mta.memory_limit / 2);
}

static void last_number(void *arg, struct str key, struct str value)
{
	struct mta *m = arg;
	(void)value;
	char z[24];
	snprintf(z, sizeof z, "%.*s", (int)key.n, key.p);
	uint64_t n = strtoull(z, NULL, 10);
	if (n > m->conf_number)
		m->conf_number = n;
}

static void classifier_start(struct mta *m)
{
	struct errbuf e = { "" };
	m->classifier = classifier_new(&e);
	if (!m->classifier)
		fatal("the reply patterns can't be compiled: %s", e.text);
}

/* What the scheduler and the history must know before the first message. */
static void first_posts(struct mta *m)
{
	mta_post(m->main, m->workers[WORKER_SLOW],
		 (struct post){ .fn = worker_post_conf, .p = conf_ref(m->conf) });
	mta_sources_check(m->main, m->conf);
	mta_post(m->main, m->control, (struct post){ .fn = control_post_probe });
}

static int wait_for_signals(struct mta *m, const sigset_t *set)
{
	us_t every = watchdog_every_us();
	const struct timespec wait = { .tv_sec = every / US_PER_S,
				       .tv_nsec = every % US_PER_S * 1000 };
	for (;;) {
		int sig = every ? sigtimedwait(set, NULL, &wait) : sigwaitinfo(set, NULL);
		if (every)
			watchdog_step(m);
		if (__atomic_load_n(&m->stopping, __ATOMIC_SEQ_CST))
			return 0;
		if (sig < 0 || sig == SIGUSR2)
			continue;
		mta_post(m->main, m->control,
			 (struct post){ .fn = control_post_signal, .a = (uint64_t)sig });
	}
}

static void block_signals(sigset_t *set)
{
	static const int caught[] = { SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2 };
	sigemptyset(set);
	for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
		sigaddset(set, caught[i]);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ,
	       SIG_IGN); /* a file at its size limit: the write fails, and that is handled */
}

static void seed_hashes(void)
{
	uint64_t k[2];
	if (getrandom(k, sizeof k, 0) != sizeof k)
		fatal("no random numbers: %s", strerror(errno));
	hash_seed(k[0], k[1]);
}

/* The big arrays (rows, heaps, tables) lie in mappings of their own, which grow without being
 * copied: by itself glibc learns to put them among small things, and then a growing array costs a
 * pass of 30 ms, and an arena keeps up to 64 MB that nobody uses. A body fits below. */
static void memory_tune(void)
{
	enum { MAPPED_FROM = 1024 * 1024, KEPT_AT_TOP = 8 * 1024 * 1024 };
	mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
	mallopt(M_TRIM_THRESHOLD, KEPT_AT_TOP);
}

int mta_run(const struct mta_opts *o, struct conf *conf, int ready_fd)
{
	static struct mta m; /* one a process */
	sigset_t set;
	memory_tune();
	block_signals(&set);
	seed_hashes();
	m.opts = *o;
	m.conf = conf;
	m.started_at = clock_now_us();
	notify_init();
	open_files_limit(conf);
	bind_all(&m);
	become_user(&m);
	tls_start(&m);
	classifier_start(&m);
	spool_start(&m);
	mta_suppression_open(&m);
	inbound_start(&m);
	spool_state_each(m.spool, "configurations", last_number, &m);
	conf_set_number(conf, ++m.conf_number, m.started_at);
	m.source_rates_n = (uint32_t)conf->nsources + 256; /* room for what reloads add */
	m.source_next_us = calloc(m.source_rates_n, sizeof *m.source_next_us);
	members_make(&m);
	passes_tell(&m);
	m.main->thread = pthread_self();
	boxes_make(&m);
	wire_all(&m);
	first_posts(&m);
	threads_start(&m);
	if (ready_fd >= 0 && write(ready_fd, "1", 1) == 1)
		close(ready_fd);
	log_info("stoker is running, configuration #%llu from %s", (unsigned long long)conf->number,
		 conf->path);
	notify_send("READY=1\nSTATUS=running, configuration %s", conf->path);
	wait_for_signals(&m, &set);
	notify_send("STOPPING=1\nSTATUS=writing what is buffered");
	threads_stop(&m);
	log_info("stoker has stopped; everything accepted is on disk");
	return 0;
}
