/* The suppression list: what is equal, what holds, against a model; killed in the middle; looked up
 * while it is written; and how long a look-up takes. */
#include "tests/unit/spool/kit.h"

#include <dlfcn.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "core/base/hash.h"
#include "core/base/rng.h"
#include "core/spool/suppression.h"

static const us_t T0 = 1700000000 * US_PER_S;

struct world {
	char dir[128];
	struct suppression_opts o;
	struct suppression *l;
	struct suppression_reader *r;
	struct errbuf e;
};

static void open_list(struct world *w)
{
	const struct err *err = suppression_open(&w->o, &w->l, &w->e);

	if (err)
		fail_msg("%s: %s", err->name, w->e.text);
	w->r = suppression_reader_open(w->l);
	assert_non_null(w->r);
}

static void close_list(struct world *w)
{
	suppression_reader_close(w->r);
	suppression_close(w->l);
}

static void begin(struct world *w, uint64_t map)
{
	*w = (struct world){ .l = NULL };
	snprintf(w->dir, sizeof w->dir, "%s/stoker-suppression-XXXXXX",
		 getenv("STOKER_FULL") || access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(w->dir));
	log_set_level(LOG_LEVEL_ERROR);
	w->o = (struct suppression_opts){ .dir = w->dir, .map_bytes = map, .create = true };
	open_list(w);
}

static void done(struct world *w)
{
	close_list(w);
	kit_remove(w->dir);
}

static struct suppression_key key(const char *address, const char *scope)
{
	struct suppression_key k;
	const char *why = suppression_key(str_of(address), str_of(scope), &k);

	if (why)
		fail_msg("%s: %s", address, why);
	return k;
}

static void put(struct world *w, const char *address, const char *scope, us_t until)
{
	struct suppression_key k = key(address, scope);
	struct suppression_entry e = { .why = SUPPRESS_HARD,
				       .at = T0,
				       .until = until,
				       .message = 0x4f2a,
				       .category = STR_LIT("bad-mailbox"),
				       .words = STR_LIT("550 5.1.1 no such user") };

	assert_true(suppression_put(w->l, &k, &e));
}

static void commit(struct world *w, bool sync)
{
	const struct err *err = suppression_commit(w->l, 1000, sync, &w->e);

	if (err)
		fail_msg("%s", w->e.text);
}

static bool finds(struct world *w, const char *address, const char *scope, us_t now)
{
	struct suppression_key k = key(address, scope);

	return suppression_find(w->r, &k, now, NULL);
}

/* ---- addresses ---- */

static void two_ways_to_write_a_mailbox_are_one(void **state)
{
	static const char *const same[][2] = {
		{ "User@Example.COM", "user@example.com" },
		{ "\"user\"@example.com", "user@example.com" },
		{ "\"a.b\"@example.com", "A.B@example.com." },
		{ "u@b\xc3\xbc"
		  "cher.example",
		  "u@xn--bcher-kva.example" },
		{ "u@[192.0.2.1]", "U@[192.0.2.1]" },
	};
	static const char *const other[][2] = {
		{ "user@example.com", "user@example.org" },
		{ "user@example.com", "user+tag@example.com" },
		{ "\"a b\"@example.com", "ab@example.com" },
		{ "x@y.example", "x@y.example.com" },
	};
	static const char *const none[] = {
		"", "@", "user", "user@", "@example.com", "u@a..b", "u\x01@example.com", "u@[", NULL
	};
	struct suppression_key a, b;
	char out[DOMAIN_SIZE], z[400];

	(void)state;
	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
		a = key(same[i][0], "s.example");
		b = key(same[i][1], "s.example");
		if (a.n != b.n || memcmp(a.bytes, b.bytes, a.n))
			fail_msg("%s is not %s", same[i][0], same[i][1]);
	}
	for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
		a = key(other[i][0], "");
		b = key(other[i][1], "");
		assert_false(a.n == b.n && !memcmp(a.bytes, b.bytes, a.n));
	}
	for (int i = 0; none[i]; i++)
		assert_non_null(suppression_key(str_of(none[i]), STR_LIT(""), &a));
	memset(z, 'a', sizeof z);
	z[240] = '@';
	snprintf(z + 241, sizeof z - 241, "%s", "b.example.example");
	assert_non_null(suppression_key(str_of(z), STR_LIT(""), &a));
	assert_true(str_eqz(suppression_scope(STR_LIT("b@News.Example"), out), "news.example"));
	assert_true(str_eqz(suppression_scope(STR_LIT(""), out), ""));
	assert_true(str_eqz(suppression_scope(STR_LIT("postmaster"), out), ""));
}

/* ---- what holds ---- */

static void an_entry_holds_for_its_sender_or_for_all(void **state)
{
	struct suppression_found f;
	struct suppression_key k;
	struct world w;

	(void)state;
	begin(&w, 0);
	put(&w, "one@example.com", "s.example", US_NEVER);
	put(&w, "two@example.com", "", US_NEVER);
	put(&w, "three@example.com", "s.example", T0 + US_PER_HOUR);
	assert_false(finds(&w, "one@example.com", "s.example", T0));
	k = key("one@example.com", "s.example");
	assert_true(suppression_get(w.l, &k, &f)); /* the writer sees what waits */
	commit(&w, true);
	assert_true(suppression_synced(w.l));
	assert_int_equal(suppression_entries(w.l), 3);
	assert_true(finds(&w, "ONE@example.com", "s.example", T0));
	assert_false(finds(&w, "one@example.com", "r.example", T0));
	assert_false(finds(&w, "one@example.com", "", T0));
	assert_true(finds(&w, "two@example.com", "s.example", T0));
	assert_true(finds(&w, "two@example.com", "", T0));
	assert_false(finds(&w, "tw@example.com", "", T0));
	assert_false(finds(&w, "two@example.co", "", T0));
	assert_true(finds(&w, "three@example.com", "s.example", T0 + US_PER_HOUR - 1));
	assert_false(finds(&w, "three@example.com", "s.example", T0 + US_PER_HOUR));
	assert_true(suppression_find(w.r, &k, T0, &f));
	assert_int_equal(f.e.why, SUPPRESS_HARD);
	assert_string_equal(f.category, "bad-mailbox");
	assert_string_equal(f.words, "550 5.1.1 no such user");
	assert_true(f.e.message == 0x4f2a && f.e.at == T0 && f.e.until == US_NEVER && !f.global);
	assert_true(suppression_del(w.l, &k));
	commit(&w, false);
	assert_false(finds(&w, "one@example.com", "s.example", T0));
	done(&w);
}

static void what_has_ended_goes(void **state)
{
	struct suppression_found f;
	struct suppression_key k;
	struct world w;
	unsigned n;
	us_t first;

	(void)state;
	begin(&w, 0);
	for (int i = 0; i < 50; i++) {
		char z[40];

		snprintf(z, sizeof z, "u%d@example.com", i);
		put(&w, z, "", i < 30 ? T0 + (i + 1) * US_PER_S : US_NEVER);
	}
	put(&w, "u3@example.com", "", US_NEVER); /* put anew, for ever */
	k = key("soft@example.com", "");
	assert_true(suppression_count_failure(w.l, &k, 7, T0, 0, US_PER_DAY, &n, &first));
	commit(&w, false);
	assert_int_equal(suppression_reader_entries(w.r, T0), 50);
	assert_int_equal(suppression_reader_entries(w.r, T0 + 2 * US_PER_S), 48);
	assert_int_equal(suppression_reader_entries(w.r, T0 + US_PER_HOUR), 21);
	assert_false(suppression_purge(w.l, T0 - US_PER_S, 100));
	assert_int_equal(suppression_waiting(w.l), 0);
	for (int i = 0; i < 20 && suppression_purge(w.l, T0 + US_PER_HOUR, 7); i++)
		commit(&w, false);
	commit(&w, false);
	assert_int_equal(suppression_entries(w.l), 21);
	assert_true(finds(&w, "u3@example.com", "", T0 + US_PER_DAY));
	k = key("u0@example.com", "");
	assert_false(suppression_get(w.l, &k, &f));
	/* counts go when nothing of them counts any more */
	k = key("soft@example.com", "");
	assert_true(
	    suppression_count_failure(w.l, &k, 8, T0 + US_PER_HOUR, 0, US_PER_DAY, &n, &first));
	assert_int_equal(n, 2);
	commit(&w, false);
	suppression_purge(w.l, T0 + US_PER_DAY + US_PER_S, 100);
	commit(&w, false);
	assert_true(
	    suppression_count_failure(w.l, &k, 8, T0 + US_PER_HOUR, 0, US_PER_DAY, &n, &first));
	assert_int_equal(n, 2); /* the first one's due row leaves the second's count alone */
	suppression_purge(w.l, T0 + 2 * US_PER_DAY, 100);
	commit(&w, false);
	assert_true(
	    suppression_count_failure(w.l, &k, 9, T0 + 3 * US_PER_DAY, 0, US_PER_DAY, &n, &first));
	assert_int_equal(n, 1);
	done(&w);
}

static void failures_are_counted_once_a_message(void **state)
{
	struct suppression_key k = key("full@example.com", "s.example");
	struct world w;
	unsigned n = 0;
	us_t first = 0;

	(void)state;
	begin(&w, 0);
	for (unsigned day = 0; day < 40; day++) {
		us_t at = T0 + day * US_PER_DAY, since = at - 14 * US_PER_DAY;

		for (int twice = 0; twice < 2; twice++) {
			assert_true(suppression_count_failure(w.l, &k, day + 1, at, since,
							      90 * US_PER_DAY, &n, &first));
			assert_int_equal(n, day < 14 ? day + 1 : 15);
			assert_true(first == (day < 14 ? T0 : since));
			if (day % 3 == 0)
				commit(&w, false);
		}
		if (day % 7 == 0) {
			commit(&w, false);
			close_list(&w);
			open_list(&w);
		}
	}
	done(&w);
}

/* ---- against a model ---- */

enum { ADDRESSES = 60, SCOPES = 3, STEPS = 6000 };

struct model {
	us_t until[ADDRESSES][SCOPES]; /* 0: none */
};

static const char *const scopes[SCOPES] = { "", "a.example", "b.example" };

static void name(int i, char out[64])
{
	snprintf(out, 64, "%c%d@%c.example", "xy"[i % 2], i / 4, "pq"[i / 2 % 2]);
}

static void check(struct world *w, const struct model *m, struct rng *g, us_t now)
{
	int i = (int)rng_below(g, ADDRESSES), s = (int)rng_below(g, SCOPES);
	bool want = m->until[i][0] > now || m->until[i][s] > now;
	char z[64];

	name(i, z);
	if (finds(w, z, scopes[s], now) != want)
		fail_msg("%s for \"%s\": the list says %d", z, scopes[s], !want);
}

static void the_list_is_what_was_put_and_removed(void **state)
{
	struct model now = { .until = { { 0 } } }, committed = now;
	struct world w;
	struct rng g;
	us_t at = T0;

	(void)state;
	rng_seed(&g, 4711);
	begin(&w, 1 << 20); /* it has to grow */
	for (int step = 0; step < STEPS; step++) {
		int i = (int)rng_below(&g, ADDRESSES), s = (int)rng_below(&g, SCOPES);
		unsigned what = (unsigned)rng_below(&g, 20);
		struct suppression_key k;
		char z[64];

		at += (us_t)rng_below(&g, 3) * US_PER_S;
		name(i, z);
		k = key(z, scopes[s]);
		if (what < 9) {
			us_t until =
			    what < 4 ? US_NEVER : at + (us_t)(1 + rng_below(&g, 60)) * US_PER_S;

			put(&w, z, scopes[s], until);
			now.until[i][s] = until;
		} else if (what < 14) {
			assert_true(suppression_del(w.l, &k));
			now.until[i][s] = 0;
		} else if (what < 18) {
			commit(&w, what == 17);
			if (!suppression_waiting(w.l))
				committed = now;
		} else if (what == 18) {
			suppression_purge(w.l, at, 10);
			commit(&w, false);
			committed = now;
		} else { /* what waits is gone, as by a crash */
			close_list(&w);
			open_list(&w);
			now = committed;
		}
		check(&w, &committed, &g, at);
		check(&w, &committed, &g, at);
	}
	done(&w);
}

static bool in_order(void *arg, const struct suppression_row *row)
{
	struct buf *b = arg;

	buf_adds(b, row->local);
	buf_addc(b, '@');
	buf_adds(b, row->domain);
	buf_addc(b, '/');
	buf_adds(b, row->scope);
	return buf_addc(b, ' ');
}

static void pages_come_in_order(void **state)
{
	struct suppression_key after = { .n = 0 };
	struct world w;
	struct buf b;

	(void)state;
	begin(&w, 0);
	buf_init(&b);
	put(&w, "b@q.example", "s", US_NEVER);
	put(&w, "b@q.example", "", US_NEVER);
	put(&w, "a@q.example", "", US_NEVER);
	put(&w, "z@p.example", "", US_NEVER);
	commit(&w, false);
	for (int i = 0; i < 4; i++)
		assert_int_equal(suppression_page(w.r, &after, STR_LIT(""), 1, in_order, &b), 1);
	assert_int_equal(suppression_page(w.r, &after, STR_LIT(""), 1, in_order, &b), 0);
	assert_string_equal(buf_z(&b), "z@p.example/ a@q.example/ b@q.example/ b@q.example/s ");
	buf_clear(&b);
	after.n = 0;
	assert_int_equal(suppression_page(w.r, &after, STR_LIT("q.example"), 9, in_order, &b), 3);
	assert_int_equal(suppression_page(w.r, &after, STR_LIT("q.example"), 9, in_order, &b), 0);
	assert_string_equal(buf_z(&b), "a@q.example/ b@q.example/ b@q.example/s ");
	assert_int_equal(suppression_reader_entries(w.r, T0), 4);
	buf_free(&b);
	done(&w);
}

/* In place of the library's: one of its next calls fails, if it is asked to. */
static int cursor_fails_in;

int mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *data, MDB_cursor_op op)
{
	static int (*real)(MDB_cursor *, MDB_val *, MDB_val *, MDB_cursor_op);

	if (!real) {
		void *found = dlsym(RTLD_NEXT, "mdb_cursor_get");

		memcpy(&real, &found, sizeof real);
	}
	if (cursor_fails_in && !--cursor_fails_in)
		return MDB_CORRUPTED;
	return real(cursor, key, data, op);
}

static void an_error_is_no_end(void **state)
{
	struct suppression_key after = { .n = 0 };
	struct world w;
	struct buf b;

	(void)state;
	begin(&w, 0);
	buf_init(&b);
	put(&w, "a@q.example", "", US_NEVER);
	put(&w, "b@q.example", "", US_NEVER);
	put(&w, "c@q.example", "", US_NEVER);
	commit(&w, false);
	for (int at = 1; at <= 3; at++) {
		after.n = 0;
		cursor_fails_in = at;
		assert_int_equal(suppression_page(w.r, &after, STR_LIT(""), 9, in_order, &b), -1);
	}
	after.n = 0;
	buf_clear(&b);
	assert_int_equal(suppression_page(w.r, &after, STR_LIT(""), 9, in_order, &b), 3);
	assert_string_equal(buf_z(&b), "a@q.example/ b@q.example/ c@q.example/ ");
	buf_free(&b);
	done(&w);
}

/* ---- killed ---- */

static void numbered(uint64_t i, char out[40])
{
	snprintf(out, 40, "n%llu@example.com", (unsigned long long)(i * 2654435761u % 1000003));
}

/* Puts, marks and commits until it is killed; a byte goes out when it has got somewhere. */
static void writer(struct world *w, uint64_t from, int to)
{
	for (uint64_t i = from;; i++) {
		char z[40];

		numbered(i, z);
		put(w, z, "", US_NEVER);
		if (i % 5 == 0)
			assert_true(suppression_mark(w->l, i));
		if (i % 7 == 0)
			suppression_commit(w->l, 4, i % 70 == 0, &w->e);
		if (i == from + 200)
			assert_int_equal(write(to, "", 1), 1);
	}
}

static void killed_it_has_all_up_to_its_mark(void **state)
{
	struct world w;
	struct rng g;
	uint64_t last = 0;

	(void)state;
	rng_seed(&g, 99);
	begin(&w, 1 << 20);
	for (int round = 0; round < 8; round++) {
		struct timespec nap = { .tv_nsec = (long)rng_below(&g, 5000000) };
		int ends[2];
		pid_t pid;
		char z[40];

		close_list(&w);
		assert_int_equal(pipe(ends), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			open_list(&w);
			writer(&w, suppression_marked(w.l) + 1, ends[1]);
		}
		assert_int_equal(read(ends[0], z, 1), 1);
		close(ends[0]);
		close(ends[1]);
		nanosleep(&nap, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		open_list(&w);
		for (uint64_t i = last + 1; i <= suppression_marked(w.l); i++) {
			numbered(i, z);
			if (!finds(&w, z, "", T0))
				fail_msg("number %llu is missing below the mark",
					 (unsigned long long)i);
		}
		assert_true(suppression_marked(w.l) > last);
		last = suppression_marked(w.l);
	}
	done(&w);
}

/* ---- threads ---- */

struct looker {
	struct world *w;
	bool stop, wrong;
};

static void *look(void *arg)
{
	struct looker *x = arg;
	struct suppression_reader *r = suppression_reader_open(x->w->l);
	struct suppression_key kept = key("kept@example.com", "s.example");
	struct suppression_key never = key("never@example.com", "s.example");

	while (r && !__atomic_load_n(&x->stop, __ATOMIC_RELAXED)) {
		struct suppression_found f;

		if (!suppression_find(r, &kept, T0, &f) || strcmp(f.category, "bad-mailbox") ||
		    suppression_find(r, &never, T0, NULL))
			__atomic_store_n(&x->wrong, true, __ATOMIC_RELAXED);
	}
	suppression_reader_close(r);
	return NULL;
}

static void looked_up_while_it_is_written_and_grows(void **state)
{
	struct world w;
	struct looker x = { .w = &w };
	pthread_t t[2];

	(void)state;
	begin(&w, 1 << 20);
	put(&w, "kept@example.com", "s.example", US_NEVER);
	commit(&w, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, look, &x), 0);
	for (uint64_t i = 0; i < 30000; i++) {
		char z[40];

		numbered(i, z);
		put(&w, z, "", US_NEVER);
		if (i % 500 == 499)
			commit(&w, false);
	}
	__atomic_store_n(&x.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_false(x.wrong);
	done(&w);
}

/* ---- speed ---- */

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int64_t ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

struct person {
	uint64_t n; /* each once, in no order */
	int domain;
};

static struct person person(uint64_t i)
{
	i *= 0x9E3779B97F4A7C15u;
	return (struct person){ i, (int)(i >> 32 & 7) };
}

static void person_name(struct person p, char out[64])
{
	static const char *const domains[] = {
		"example.com", "gmail.com", "gmx.de",	 "mail.ru",
		"orange.fr",   "qq.com",    "yahoo.com", "zoho.com"
	};

	snprintf(out, 64, "%016llx.smith@%s", (unsigned long long)p.n, domains[p.domain]);
}

static int by_key(const void *a, const void *b)
{
	const struct person *x = a, *y = b;

	if (x->domain != y->domain)
		return x->domain - y->domain;
	return x->n < y->n ? -1 : x->n > y->n;
}

/* In key order, so that each page is written once. */
static void fill(struct world *w, uint64_t n)
{
	struct person *v = calloc(n, sizeof *v);

	assert_non_null(v);
	for (uint64_t i = 0; i < n; i++)
		v[i] = person(i);
	qsort(v, n, sizeof *v, by_key);
	for (uint64_t i = 0; i < n; i++) {
		struct suppression_entry e = { .why = SUPPRESS_MANUAL,
					       .at = T0,
					       .until = US_NEVER };
		struct suppression_key k;
		char z[64];

		person_name(v[i], z);
		k = key(z, v[i].n % 4 ? "" : "news.example");
		assert_true(suppression_put(w->l, &k, &e));
		if (suppression_waiting(w->l) >= 20000)
			assert_null(suppression_commit(w->l, 20000, false, &w->e));
	}
	free(v);
	assert_null(suppression_commit(w->l, 20000, true, &w->e));
}

/* Half of them are on the list. Prints nanoseconds. */
static int64_t measure(struct world *w, uint64_t n, bool hits)
{
	enum { LOOKS = 200000 };
	int64_t *v = calloc(LOOKS, sizeof *v);
	struct rng g;
	int64_t median;

	assert_non_null(v);
	rng_seed(&g, hits);
	for (int warm = 1; warm >= 0; warm--)
		for (int i = 0; i < LOOKS; i++) {
			uint64_t who = rng_below(&g, n);
			struct suppression_key k;
			int64_t start;
			char z[64];
			bool found;

			person_name(person(hits ? who : who + n), z);
			start = ns();
			suppression_key(str_of(z), STR_LIT("news.example"), &k);
			found = suppression_find(w->r, &k, T0, NULL);
			v[i] = ns() - start;
			assert_true(found == hits);
		}
	qsort(v, LOOKS, sizeof *v, by_time);
	median = v[LOOKS / 2];
	printf("# %s among %llu addresses: median %.2f us, p99 %.2f us, p99.9 %.2f us\n",
	       hits ? "hits" : "misses", (unsigned long long)n, (double)median / 1000,
	       (double)v[LOOKS * 99 / 100] / 1000, (double)v[(size_t)LOOKS * 999 / 1000] / 1000);
	free(v);
	return median;
}

static void a_look_up_takes_microseconds(void **state)
{
	bool full = getenv("STOKER_FULL") != NULL;
	uint64_t n = full ? 10000000 : 20000;
	int64_t hit, miss;
	struct world w;

	(void)state;
	begin(&w, 0);
	fill(&w, n);
	assert_int_equal(suppression_entries(w.l), n);
	hit = measure(&w, n, true);
	miss = measure(&w, n, false);
	if (full) {
		assert_true(hit < 5000);
		assert_true(miss < 5000);
	}
	done(&w);
}

int main(void)
{
	hash_seed(1, 2);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_ways_to_write_a_mailbox_are_one),
		cmocka_unit_test(an_entry_holds_for_its_sender_or_for_all),
		cmocka_unit_test(what_has_ended_goes),
		cmocka_unit_test(failures_are_counted_once_a_message),
		cmocka_unit_test(pages_come_in_order),
		cmocka_unit_test(an_error_is_no_end),
		cmocka_unit_test(the_list_is_what_was_put_and_removed),
		cmocka_unit_test(killed_it_has_all_up_to_its_mark),
		cmocka_unit_test(looked_up_while_it_is_written_and_grows),
		cmocka_unit_test(a_look_up_takes_microseconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
