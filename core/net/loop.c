#include "core/net/loop.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/net/loop_priv.h"

enum { LOOP_MAGIC = 0x4c4f4f50, TIMERS_PER_PASS = 10000 };
static const us_t TIMERS_WITHIN = 2 * US_PER_MS; /* of a pass; those left are due in the next */
/* No single sleep is longer: a bound on the harm of a clock that stood still in suspend. */
static const us_t LONGEST_SLEEP = 30 * US_PER_S;
/* An inbox whose drain is blocked is looked at again this soon; nobody pokes us for room elsewhere.
 */
static const us_t BLOCKED_SLEEP = 500;

struct inbox {
	struct mailbox *m;
	int priority, budget;
	int (*drain)(void *arg, struct mailbox *m, int budget);
	void *arg;
	bool blocked; /* its drain said LOOP_BLOCKED in this pass */
};

struct hook {
	bool (*fn)(void *arg);
	void *arg;
};

struct loop {
	uint32_t magic;
	const char *name;
	struct ev_loop *ev;
	ev_async async;	  /* other threads wake us by it */
	ev_timer sleeper; /* ends the sleep when the next timer or tick is due */
	struct waker waker;
	uint32_t stopping; /* atomic */

	us_t now;	/* what loop_now says */
	us_t polled_at; /* when the last poll returned: the base of ev_timer's times */
	struct heap timers;

	struct inbox *inboxes;
	size_t ninboxes;
	struct mailbox **outboxes;
	size_t noutboxes;
	struct hook *hooks;
	size_t nhooks;
	us_t (*tick)(void *arg, us_t now);
	void *tick_arg;
	struct io_hub *ios;

	us_t cpu_last;		 /* the thread's CPU time when the last pass ended */
	us_t tell_from;		 /* passes of so much CPU are logged; 0: none */
	struct loop_stats stats; /* atomics */
};

static void wake(void *arg)
{
	struct loop *l = arg;

	ev_async_send(l->ev, &l->async);
}

static void on_async(struct ev_loop *ev, ev_async *w, int revents)
{
	/* Being awake is all: the next pass looks at every inbox. */
	(void)ev;
	(void)w;
	(void)revents;
}

static void on_sleeper(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void)ev;
	(void)w;
	(void)revents;
}

static void count_max(us_t *max, us_t v)
{
	if (v > __atomic_load_n(max, __ATOMIC_RELAXED))
		__atomic_store_n(max, v, __ATOMIC_RELAXED);
}

/* libev calls this just before it polls: a pass ends here. */
static void before_poll(struct ev_loop *ev)
{
	struct loop *l = ev_userdata(ev);
	us_t cpu = clock_thread_cpu_us(), now = clock_now_us();
	us_t took = cpu - l->cpu_last, wall = now - l->polled_at;
	us_t pass = took < wall ? took : wall; /* the rest was the poll's */

	count_max(&l->stats.cpu_max_us, pass);
	count_max(&l->stats.wall_max_us, wall);
	__atomic_fetch_add(&l->stats.cpu_total_us, took, __ATOMIC_RELAXED);
	__atomic_fetch_add(&l->stats.passes, 1, __ATOMIC_RELAXED);
	l->cpu_last = cpu;
	if (l->tell_from && pass >= l->tell_from)
		log_info("loop %s: a pass of %lld us of CPU, %lld us in all, until %lld", l->name,
			 (long long)pass, (long long)wall, (long long)now);
}

static void after_poll(struct ev_loop *ev)
{
	struct loop *l = ev_userdata(ev);

	waker_awake(&l->waker);
	l->now = l->polled_at = clock_now_us();
}

struct loop *loop_new(const char *name)
{
	struct loop *l = calloc(1, sizeof *l);

	if (!l)
		fatal("no memory for the loop of %s", name);
	l->magic = LOOP_MAGIC;
	l->name = name;
	/* epoll by name: AUTO may pick experimental backends on some kernels. */
	l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	l->ios = io_hub_new(l);
	if (!l->ev || !l->ios)
		fatal("can't make the loop of %s (descriptors or memory are exhausted)", name);
	ev_set_userdata(l->ev, l);
	ev_set_loop_release_cb(l->ev, before_poll, after_poll);
	ev_async_init(&l->async, on_async);
	ev_async_start(l->ev, &l->async);
	ev_init(&l->sleeper, on_sleeper);
	l->waker.wake = wake;
	l->waker.arg = l;
	heap_init(&l->timers);
	l->now = l->polled_at = clock_now_us();
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	OBJ_CHECK(l, LOOP_MAGIC);
	io_hub_free(l->ios);
	ev_timer_stop(l->ev, &l->sleeper);
	ev_async_stop(l->ev, &l->async);
	ev_set_loop_release_cb(l->ev, NULL, NULL);
	ev_loop_destroy(l->ev);
	heap_free(&l->timers);
	free(l->inboxes);
	free(l->outboxes);
	free(l->hooks);
	l->magic = 0;
	free(l);
}

const char *loop_name(const struct loop *l)
{
	return l->name;
}

struct ev_loop *loop_ev(struct loop *l)
{
	return l->ev;
}

struct waker *loop_waker(struct loop *l)
{
	return &l->waker;
}

struct io_hub *loop_io_hub(struct loop *l)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	return l->ios;
}

/* One more element of `size` bytes at the end of an array that only grows at start. */
static void *one_more(const struct loop *l, void *array, size_t n, size_t size)
{
	void *p = reallocarray(array, n + 1, size);

	if (!p)
		fatal("no memory for the loop of %s", l->name);
	return p;
}

void loop_add_inbox(struct loop *l, struct mailbox *m, int priority, int budget,
		    int (*drain)(void *arg, struct mailbox *m, int budget), void *arg)
{
	size_t i;

	l->inboxes = one_more(l, l->inboxes, l->ninboxes, sizeof *l->inboxes);
	for (i = l->ninboxes++; i > 0 && l->inboxes[i - 1].priority > priority; i--)
		l->inboxes[i] = l->inboxes[i - 1];
	l->inboxes[i] = (struct inbox){ m, priority, budget, drain, arg, false };
}

void loop_add_outbox(struct loop *l, struct mailbox *m)
{
	l->outboxes = one_more(l, l->outboxes, l->noutboxes, sizeof *l->outboxes);
	l->outboxes[l->noutboxes++] = m;
}

void loop_set_tick(struct loop *l, us_t (*tick)(void *arg, us_t now), void *arg)
{
	l->tick = tick;
	l->tick_arg = arg;
}

void loop_add_before_sleep(struct loop *l, bool (*fn)(void *arg), void *arg)
{
	l->hooks = one_more(l, l->hooks, l->nhooks, sizeof *l->hooks);
	l->hooks[l->nhooks++] = (struct hook){ fn, arg };
}

static bool drain_inboxes(struct loop *l)
{
	bool more = false;

	for (size_t i = 0; i < l->ninboxes; i++) {
		struct inbox *in = &l->inboxes[i];
		int taken = in->drain(in->arg, in->m, in->budget);

		in->blocked = taken == LOOP_BLOCKED;
		if (taken >= in->budget)
			more = true;
		mailbox_release(in->m);
	}
	return more;
}

/* Timers that a callback arms for a time already past fire in the same pass, up to a bound. */
static void fire_timers(struct loop *l)
{
	us_t stop = clock_now_us() + TIMERS_WITHIN;

	for (int i = 0; i < TIMERS_PER_PASS; i++) {
		struct heap_node *top = heap_top(&l->timers);
		struct timer *t;

		if (!top || top->key > l->now || clock_now_us() >= stop)
			return;
		t = HEAP_OF(top, struct timer, node);
		if (t->due >
		    top->key) { /* was moved to later in the meantime; in a late pass it may be
				 * due, but behind others that the heap holds after it */
			heap_set(&l->timers, top, t->due);
			continue;
		}
		heap_del(&l->timers, top);
		t->due = 0;
		t->fn(t, t->arg);
	}
}

static bool end_of_pass(struct loop *l)
{
	bool more = false;

	for (size_t i = 0; i < l->nhooks; i++)
		if (l->hooks[i].fn(l->hooks[i].arg))
			more = true;
	if (io_hub_flush(l->ios))
		more = true;
	for (size_t i = 0; i < l->noutboxes; i++)
		mailbox_flush(l->outboxes[i]);
	return more;
}

/* Called with `asleep` set: whoever pushes or makes room from now on pokes us, so what was not
 * there at this look can't be missed. */
static bool something_waits(struct loop *l)
{
	if (loop_stopping(l))
		return true;
	for (size_t i = 0; i < l->noutboxes; i++) {
		if (mailbox_has_spill(l->outboxes[i]))
			mailbox_flush(l->outboxes[i]);
		if (mailbox_has_wanted(l->outboxes[i]))
			return true;
	}
	for (size_t i = 0; i < l->ninboxes; i++)
		if (!l->inboxes[i].blocked && !mailbox_empty(l->inboxes[i].m))
			return true;
	return false;
}

static bool any_blocked(const struct loop *l)
{
	for (size_t i = 0; i < l->ninboxes; i++)
		if (l->inboxes[i].blocked)
			return true;
	return false;
}

static void set_sleeper(struct loop *l, us_t until)
{
	us_t longest = l->polled_at + (any_blocked(l) ? BLOCKED_SLEEP : LONGEST_SLEEP);

	ev_timer_stop(l->ev, &l->sleeper);
	if (until > longest)
		until = longest;
	/* libev counts from the time of its last poll, and so do we. */
	ev_timer_set(&l->sleeper, (double)(until - l->polled_at) / (double)US_PER_S, 0.);
	ev_timer_start(l->ev, &l->sleeper);
}

/* Polls: without waiting if there is more to do, else until the next timer or tick, a ready
 * descriptor or a poke. */
static void poll_once(struct loop *l, bool more, us_t wanted)
{
	struct heap_node *top = heap_top(&l->timers);

	if (top && top->key < wanted)
		wanted = top->key;
	if (!more && wanted > l->now) {
		waker_sleep(&l->waker);
		if (!something_waits(l)) {
			set_sleeper(l, wanted);
			ev_run(l->ev, EVRUN_ONCE);
			return;
		}
		waker_awake(&l->waker);
	}
	ev_run(l->ev, EVRUN_NOWAIT);
}

void loop_run(struct loop *l)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	l->cpu_last = clock_thread_cpu_us();
	ev_now_update(l->ev);
	l->now = l->polled_at = clock_now_us();
	while (!loop_stopping(l)) {
		us_t wanted = US_NEVER;
		bool more = drain_inboxes(l);

		fire_timers(l);
		if (l->tick)
			wanted = l->tick(l->tick_arg, l->now);
		if (end_of_pass(l))
			more = true;
		poll_once(l, more, wanted);
	}
	end_of_pass(l);
	__atomic_store_n(&l->stopping, 0, __ATOMIC_SEQ_CST);
}

void loop_stop(struct loop *l)
{
	__atomic_store_n(&l->stopping, 1, __ATOMIC_SEQ_CST);
	ev_async_send(l->ev, &l->async);
}

bool loop_stopping(const struct loop *l)
{
	return __atomic_load_n(&l->stopping, __ATOMIC_SEQ_CST) != 0;
}

us_t loop_now(const struct loop *l)
{
	return l->now;
}

us_t loop_now_exact(struct loop *l)
{
	l->now = clock_now_us();
	return l->now;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t, void *arg), void *arg)
{
	*t = (struct timer){ .fn = fn, .arg = arg };
}

bool timer_set(struct loop *l, struct timer *t, us_t due)
{
	if (due <= 0 || due == US_NEVER) {
		timer_stop(l, t);
		return true;
	}
	t->due = due;
	/* Later than what the heap believes: fire_timers finds out when the earlier time comes. */
	if (heap_has(&t->node) && due >= t->node.key)
		return true;
	if (heap_set(&l->timers, &t->node, due))
		return true;
	t->due = 0;
	return false;
}

void timer_stop(struct loop *l, struct timer *t)
{
	heap_del(&l->timers, &t->node);
	t->due = 0;
}

void loop_stats(const struct loop *l, struct loop_stats *out)
{
	out->passes = __atomic_load_n(&l->stats.passes, __ATOMIC_RELAXED);
	out->cpu_max_us = __atomic_load_n(&l->stats.cpu_max_us, __ATOMIC_RELAXED);
	out->wall_max_us = __atomic_load_n(&l->stats.wall_max_us, __ATOMIC_RELAXED);
	out->cpu_total_us = __atomic_load_n(&l->stats.cpu_total_us, __ATOMIC_RELAXED);
}

void loop_stats_reset(struct loop *l)
{
	__atomic_store_n(&l->stats.cpu_max_us, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&l->stats.wall_max_us, 0, __ATOMIC_RELAXED);
}

void loop_tell_passes(struct loop *l, us_t of)
{
	l->tell_from = of;
}
