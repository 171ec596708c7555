/* The law of warm-up: caps, steps, and what is known of each; warmup.h says how it works. */
#include "core/sched/warmup.h"

#include <stdlib.h>

#include "core/classify/category.h"
#include "core/sched/pend.h"

/* What the hour is longer than an hour: for permits, and for a second that was not saved before a
 * crash. */
#define SPARE_US	 (2 * US_PER_S)
#define SAVE_EVERY_US	 US_PER_S
#define LOWERED_US	 (WARM_MINUTES * US_PER_MIN)
#define FORGOTTEN_AFTER	 (30 * US_PER_DAY) /* as long as receivers remember an address */
#define DOWN_AT		 5		   /* times max-bounce-rate (CONFIG.md) */
#define LAW_MAX_PER_HOUR 1e12
enum { SAVES_MOST = 200, SHOWN_MINUTES = 60 }; /* saves in one look, ten of which are a second */

static const char kind_letters[WARM_KINDS + 1] = "pot";

/* ---- the law ---- */

static double per_hour(struct rate r)
{
	return rate_per_s(r) * 3600;
}

/* start x factor^step. */
static double raw_cap(const struct conf_warmup *law, uint32_t step)
{
	double cap = per_hour(law->start);

	while (step-- && cap < LAW_MAX_PER_HOUR)
		cap *= law->factor;
	return cap;
}

/* The step whose cap is `until` was passed too. */
static bool is_over(const struct conf_warmup *law, uint32_t step)
{
	return step && raw_cap(law, step - 1) >= per_hour(law->until);
}

/* 0: none. */
static int64_t cap_of(const struct conf_warmup *law, uint32_t step)
{
	double cap, until;

	if (!law || is_over(law, step))
		return 0;
	cap = raw_cap(law, step);
	until = per_hour(law->until);
	return (int64_t)((cap < until ? cap : until) + 1e-6);
}

static struct rate rate_of(int64_t cap)
{
	return (struct rate){ cap, cap ? US_PER_HOUR + SPARE_US : US_PER_S };
}

/* ---- the minutes ---- */

static int64_t minute_of(us_t t)
{
	return t / US_PER_MIN;
}

static uint32_t *minute(struct warm *w, us_t t)
{
	int64_t m = minute_of(t);

	for (; w->minute < m; w->minute++) {
		if (m - w->minute > WARM_MINUTES)
			w->minute = m - WARM_MINUTES;
		w->tries[(w->minute + 1) % WARM_MINUTES] = 0;
	}
	return m + WARM_MINUTES > w->minute ? &w->tries[m % WARM_MINUTES] : NULL;
}

/* Attempts from that minute on. */
static uint64_t tries_from(const struct warm *w, int64_t from)
{
	uint64_t n = 0;

	for (int64_t m = w->minute; m > w->minute - WARM_MINUTES && m >= from; m--)
		n += w->tries[m % WARM_MINUTES];
	return n;
}

uint32_t warm_used(const struct warm *w, us_t now)
{
	return (uint32_t)tries_from(w, minute_of(now) - (SHOWN_MINUTES - 1));
}

static void note_peak(const struct sched *s, struct warm *w)
{
	int64_t from = minute_of(s->now) - (SHOWN_MINUTES - 1), began = minute_of(w->since) + 1;
	uint64_t n = tries_from(w, from > began ? from : began);

	if (n > w->peak)
		w->peak = (uint32_t)n;
}

/* After the cap became lower: no attempt before there is room in the hour. */
static void hold(struct sched *s, struct warm *w)
{
	int64_t m = minute_of(s->now) - (WARM_MINUTES - 1);
	uint64_t n;

	if (s->now >= w->lowered_until || !w->cap)
		return;
	n = tries_from(w, m);
	if (n < (uint64_t)w->cap)
		return;
	for (; n >= (uint64_t)w->cap; m++)
		if (m + WARM_MINUTES > w->minute && m <= w->minute)
			n -= w->tries[m % WARM_MINUTES];
	bucket_hold(&w->counter->bucket, (m - 1 + WARM_MINUTES) * US_PER_MIN);
}

/* ---- kept ---- */

static void save(struct sched *s, struct warm *w)
{
	state_warm_save(s, w);
	w->saved_at = s->now;
	w->unsaved = false;
}

static void changed(struct sched *s, struct warm *w)
{
	w->forgotten = false;
	if (s->now - w->saved_at >= SAVE_EVERY_US)
		save(s, w);
	else
		w->unsaved = true;
}

/* ---- applying ---- */

/* How many each virtual MTA has, and how many of them hold it back. */
static void recount(struct sched *s)
{
	for (uint32_t i = 0; i < s->nsources; i++)
		s->sources[i]->nwarms = s->sources[i]->nwarming = 0;
	for (size_t i = 0; i < s->warms.buckets; i++)
		for (struct table_link *l = table_at(&s->warms, i); l; l = l->next) {
			const struct warm *w = TABLE_OF(l, struct warm);

			if (!w->law || !w->source)
				continue;
			w->source->nwarms++;
			w->source->nwarming += w->cap != 0;
		}
}

/* The counter follows law and step. */
static void apply(struct sched *s, struct warm *w)
{
	int64_t cap = cap_of(w->law, w->step);

	if (cap && cap < w->cap)
		w->lowered_until = s->now + LOWERED_US;
	w->cap = cap;
	counter_limit(s, w->counter, 0, rate_of(cap), w->at ? &w->at->origin_warmup : NULL, 0);
	hold(s, w);
}

static void find_law(struct sched *s, struct warm *w)
{
	int i = conf_vmta_find(s->conf, rstr_str(w->vmta));

	w->source = source_find(s, rstr_str(w->vmta));
	w->at = i == CONF_NONE ? NULL : &s->conf->vmtas[i];
	w->law = w->at && w->at->warmup != CONF_NONE ? &s->conf->warmups[w->at->warmup] : NULL;
	if (w->law && (w->kind == WARM_TOTAL) != (w->law->per == WARMUP_TOTAL))
		w->law = NULL;
	if (w->law || w->cap)
		apply(s, w);
}

/* ---- judging ---- */

static void begin_step(struct sched *s, struct warm *w, uint32_t step)
{
	w->step = step;
	w->since = s->now;
	w->sample = w->bad = 0;
	w->peak = 0;
}

static void tell_step(struct sched *s, const struct warm *w, const char *how)
{
	struct sched_cmd c = { .who = STR_LIT("stoker") };
	struct rstr *text;

	text = w->cap ? rstr_newf("of %s to step %u, %lld/hour", w->name->text, w->step,
				  (long long)w->cap)
		      : rstr_newf("of %s to its end: it is warm", w->name->text);
	echo(s, &c, how, text ? text->text : w->name->text);
	rstr_unref(text);
}

static void step_to(struct sched *s, struct warm *w, uint32_t step)
{
	bool up = step > w->step;

	begin_step(s, w, step);
	apply(s, w);
	if (!w->cap) {
		epoch_raise(s); /* paths let it go */
		recount(s);
	}
	save(s, w);
	s->warm_shown = 0;
	tell_step(s, w, up ? "raised the warm-up" : "lowered the warm-up");
}

static void judge(struct sched *s, struct warm *w)
{
	const struct conf_warmup *law = w->law;
	double bad;

	if (!w->cap || w->sample < (uint64_t)law->min_sample)
		return;
	bad = (double)w->bad / (double)w->sample;
	if (bad > DOWN_AT * law->max_bounce_rate) {
		if (w->step) {
			step_to(s, w, w->step - 1);
		} else {
			begin_step(s, w, 0);
			save(s, w);
		}
		return;
	}
	if (s->now < w->since + law->every || (int64_t)w->peak * 2 < w->cap)
		return;
	if (bad < law->max_bounce_rate) {
		step_to(s, w, w->step + 1);
		return;
	}
	begin_step(s, w, w->step); /* held: judged anew by what comes */
	save(s, w);
}

void warm_result(struct sched *s, struct lane *a, const struct txn_rcpt *tr)
{
	struct warm *w = a->warm;

	if (!w || !w->cap || !tr->tried)
		return;
	w->sample++;
	w->bad += verdict_harms(&tr->verdict);
	changed(s, w);
	judge(s, w);
}

/* ---- attempts ---- */

void warm_took(struct sched *s, struct warm *w, int64_t n)
{
	uint32_t *m = minute(w, s->now);

	if (m)
		*m += (uint32_t)n;
	w->tried_at = s->now;
	if (!w->cap)
		return;
	note_peak(s, w);
	hold(s, w);
	changed(s, w);
}

void warm_gave_back(struct sched *s, struct warm *w, us_t taken, int64_t n)
{
	uint32_t *m = minute(w, taken);

	if (!m)
		return;
	*m -= n < (int64_t)*m ? (uint32_t)n : *m;
	changed(s, w);
}

/* ---- which ---- */

uint64_t warm_hash(const struct table_link *l)
{
	const struct rstr *k = ((const struct warm *)(const void *)l)->key;

	return hash_bytes(k->text, k->len);
}

static struct warm *find(struct sched *s, struct str key)
{
	struct table_link *l = table_bucket(&s->warms, hash_bytes(key.p, key.n));

	while (l && !str_eq(rstr_str(TABLE_OF(l, struct warm)->key), key))
		l = l->next;
	return l ? TABLE_OF(l, struct warm) : NULL;
}

static void warm_free(struct sched *s, struct warm *w)
{
	if (w->counter)
		w->counter->warm = NULL;
	counter_unref(s, w->counter);
	rstr_unref(w->key);
	rstr_unref(w->name);
	rstr_unref(w->vmta);
	rstr_unref(w->provider);
	free(w);
	s->other_bytes -= sizeof *w;
}

static struct warm *warm_new(struct sched *s, enum warm_kind kind, struct str provider,
			     struct str vmta)
{
	static const char *const words[WARM_KINDS] = { NULL, "other receivers", "all receivers" };
	const struct counter_id id = { LIMIT_MSG_RATE,
				       kind == WARM_PROVIDER ? SCOPE_LANE : SCOPE_VMTA,
				       COUNT_WARMUP,
				       ++s->next_id,
				       0,
				       0 };
	struct warm *w = calloc(1, sizeof *w);

	if (!w)
		return NULL;
	s->other_bytes += sizeof *w;
	w->kind = (uint8_t)kind;
	w->vmta = rstr_new(vmta);
	w->provider = rstr_new(provider);
	w->key = rstr_newf("%c %.*s@%.*s", kind_letters[kind], (int)provider.n, provider.p,
			   (int)vmta.n, vmta.p);
	w->name = words[kind] ? rstr_newf("%s@%.*s", words[kind], (int)vmta.n, vmta.p)
			      : rstr_new(str_mem(w->key->text + 2, w->key->len - 2));
	w->counter = counter_get(s, &id);
	w->since = s->now;
	w->minute = minute_of(s->now);
	if (!w->counter || !w->key || !table_add(&s->warms, &w->link)) {
		warm_free(s, w);
		return NULL;
	}
	w->counter->warm = w;
	w->counter->limited = true;
	return w;
}

static struct warm *warm_get(struct sched *s, enum warm_kind kind, struct str provider,
			     struct str vmta)
{
	struct warm *w;
	struct buf key;

	buf_init(&key);
	buf_addf(&key, "%c %.*s@%.*s", kind_letters[kind], (int)provider.n, provider.p, (int)vmta.n,
		 vmta.p);
	w = buf_failed(&key) ? NULL : find(s, buf_str(&key));
	buf_free(&key);
	if (w)
		return w;
	w = warm_new(s, kind, provider, vmta);
	if (w && s->conf) {
		find_law(s, w);
		recount(s);
	}
	return w;
}

bool warm_limit(struct sched *s, struct path *p, struct limits_room *l)
{
	const struct conf_vmta *v = &s->conf->vmtas[p->source->vmta];
	const struct site *t = p->flow->site;
	enum warm_kind kind;
	struct warm *w;

	p->lane->warm = NULL;
	if (v->warmup == CONF_NONE)
		return true;
	kind = s->conf->warmups[v->warmup].per == WARMUP_TOTAL ? WARM_TOTAL
	       : t->is_provider				       ? WARM_PROVIDER
							       : WARM_OTHER;
	w = warm_get(s, kind, kind == WARM_PROVIDER ? rstr_str(t->name) : STR_LIT(""),
		     rstr_str(p->source->name));
	if (!w)
		return false;
	p->lane->warm = w;
	if (!w->cap)
		return true;
	w->counter->refs++;
	limits_add(s, l, w->counter);
	return true;
}

const struct warm *warm_of(struct sched *s, const struct lane *a)
{
	(void)s;
	return a->warm && a->warm->cap ? a->warm : NULL;
}

bool warm_keeps(const struct lane *a)
{
	return a->warm && a->warm->cap && a->warm->kind == WARM_PROVIDER;
}

us_t warm_ends(const struct warm *w, us_t now)
{
	us_t at = w->since + w->law->every;

	return at > now ? at : 0;
}

bool warm_source(struct sched *s, const struct source *src)
{
	const struct conf_vmta *v = src->vmta == CONF_NONE ? NULL : &s->conf->vmtas[src->vmta];

	/* One that has sent nothing yet is as cold as can be. */
	return v && v->warmup != CONF_NONE && (src->nwarming || !src->nwarms);
}

/* ---- now and then ---- */

void warm_conf(struct sched *s)
{
	for (size_t i = 0; i < s->warms.buckets; i++)
		for (struct table_link *l = table_at(&s->warms, i); l; l = l->next) {
			struct warm *w = TABLE_OF(l, struct warm);

			if (w->forgotten)
				begin_step(s, w, 0);
			find_law(s, w);
		}
	recount(s);
}

/* Nothing names it any more, and receivers have forgotten the address. */
static void forget(struct sched *s, struct warm *w)
{
	w->forgotten = true;
	w->unsaved = false;
	state_warm_delete(s, w);
}

static void look_after(struct sched *s, struct warm *w, int *saves)
{
	if (w->cap)
		judge(s, w);
	if (w->unsaved && s->now - w->saved_at >= SAVE_EVERY_US && (*saves)-- > 0)
		save(s, w);
	if (!w->law && !w->forgotten && s->now - w->tried_at >= FORGOTTEN_AFTER)
		forget(s, w);
}

static void show(struct sched *s)
{
	s->warm_shown = s->now;
	for (size_t i = 0; i < s->lanes.buckets; i++)
		for (struct table_link *l = table_at(&s->lanes, i); l; l = l->next) {
			struct lane *a = TABLE_OF(l, struct lane);

			if (!a->warm)
				continue;
			row_dirty(s, &a->row);
			row_dirty(s, &a->site->row);
			row_dirty(s, &a->source->row);
		}
}

void warm_second(struct sched *s)
{
	int saves = SAVES_MOST;

	if (!s->warms.used)
		return;
	for (size_t i = 0; i < s->warms.buckets; i++)
		for (struct table_link *l = table_at(&s->warms, i); l; l = l->next)
			look_after(s, TABLE_OF(l, struct warm), &saves);
	if (s->now - s->warm_shown >= US_PER_MIN)
		show(s);
}

/* ---- after a restart ---- */

static void take_over(struct sched *s, struct warm *w, const struct warm *read, us_t full_ns)
{
	w->cap = read->cap;
	w->step = read->step;
	w->since = read->since;
	w->sample = read->sample;
	w->bad = read->bad;
	w->peak = read->peak;
	w->lowered_until = read->lowered_until;
	w->tried_at = read->tried_at;
	w->minute = read->minute;
	memcpy(w->tries, read->tries, sizeof w->tries);
	counter_limit(s, w->counter, 0, rate_of(w->cap), NULL, 0);
	if (w->tried_at <= s->now)
		bucket_refill(&w->counter->bucket, w->tried_at, full_ns);
}

bool warm_restore(struct sched *s, struct str key, struct str value)
{
	const char *letter = key.n > 2 ? memchr(kind_letters, key.p[0], WARM_KINDS) : NULL;
	struct warm read = { 0 }, *w = NULL;
	us_t full_ns;

	if (letter && state_warm_decode(value, &read, &full_ns))
		w = warm_get(s, (enum warm_kind)(letter - kind_letters), rstr_str(read.provider),
			     rstr_str(read.vmta));
	if (w)
		take_over(s, w, &read, full_ns);
	rstr_unref(read.provider);
	rstr_unref(read.vmta);
	return w != NULL;
}

void warm_free_all(struct sched *s)
{
	for (size_t i = 0; i < s->warms.buckets; i++)
		while (table_at(&s->warms, i)) {
			struct warm *w = TABLE_OF(table_at(&s->warms, i), struct warm);

			table_del(&s->warms, &w->link);
			warm_free(s, w);
		}
}
