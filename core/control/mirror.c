#include "core/control/mirror_rows.h"

#include <stdlib.h>

#include "core/base/hash.h"
#include "core/base/log.h"

enum { MIRROR_MAGIC = 0x6d697272 };

struct shelf { /* all rows of one kind; a row that goes is replaced by the last one */
	struct shelf_part **parts;
	size_t n, nparts;
	struct idmap by_id;    /* id -> index + 1 */
	struct strmap by_name; /* name -> index + 1; of two rows of one name the newer */
	struct sifts sifts;
	struct row_walk *walks; /* under way */
};
struct mirror {
	uint32_t magic;
	struct shelf shelf[ROW_KINDS];
	struct sched_totals totals;
	us_t totals_at;
	struct hit *spare; /* for the next query; NULL: none, or lent */
	size_t spare_cap;
};

static void *slot_of(size_t index)
{
	return (void *)(uintptr_t)(index + 1);
}

static size_t index_of(const void *slot)
{
	return (size_t)(uintptr_t)slot - 1;
}

static struct row *row_at(struct shelf *s, size_t i)
{
	return &s->parts[i >> PART_BITS]->rows[i & (PART_ROWS - 1)];
}

static struct mark *mark_at(struct shelf *s, size_t i)
{
	return &s->parts[i >> PART_BITS]->marks[i & (PART_ROWS - 1)];
}

struct mirror *mirror_new(void)
{
	struct mirror *m = calloc(1, sizeof *m);

	if (!m)
		fatal("no memory for the mirror");
	m->magic = MIRROR_MAGIC;
	for (int k = 0; k < ROW_KINDS; k++) {
		idmap_init(&m->shelf[k].by_id);
		strmap_init(&m->shelf[k].by_name);
	}
	return m;
}

void mirror_free(struct mirror *m)
{
	if (!m)
		return;
	OBJ_CHECK(m, MIRROR_MAGIC);
	for (int k = 0; k < ROW_KINDS; k++) {
		struct shelf *s = &m->shelf[k];

		for (size_t i = 0; i < s->n; i++)
			row_release(row_at(s, i));
		for (size_t i = 0; i < s->nparts; i++)
			free(s->parts[i]);
		free(s->parts);
		idmap_free(&s->by_id);
		strmap_free(&s->by_name);
		sifts_free(&s->sifts);
	}
	free(m->spare);
	m->magic = 0;
	free(m);
}

/* ---- the default order ---- */

static unsigned state_rank(enum row_state s)
{
	switch (s) {
	case STATE_DOWN:
		return 0;
	case STATE_BACKOFF:
	case STATE_RESTING:
		return 1;
	case STATE_PAUSED:
		return 2;
	case STATE_DISABLED:
		return 3;
	case STATE_OK:
	case STATE_WARMING:
	case STATE_IDLE:
		break;
	}
	return 4;
}

static uint64_t row_queued(const struct row *r)
{
	switch ((enum row_kind)r->kind) {
	case ROW_QUEUE:
		return r->queue.queued;
	case ROW_SITE:
		return r->site.queued;
	case ROW_JOB:
		return r->job.queued;
	case ROW_FEEDBACK:
		return r->feedback.day;
	case ROW_LANE:
	case ROW_SOURCE:
	case ROW_OVERRIDE:
	case ROW_ALARM:
	case ROW_REPUTATION:
	case ROW_KINDS:
		break;
	}
	return 0;
}

/* Live overrides, then ended ones, then acts; red alarms, yellow, notes, acknowledged, gone. */
static unsigned special_rank(const struct row *r)
{
	if (r->kind == ROW_OVERRIDE)
		return r->override.act ? 2 : r->override.ended_at ? 1 : 0;
	if (r->alarm.gone)
		return 6;
	return r->alarm.acked ? 5 : r->alarm.severity;
}

/* CONSOLE.md, "Alarms, ordered by harm". A code that is not here stands in the middle. */
static uint64_t alarm_harm(struct str code)
{
	static const char *const order[] = {
		"no-progress", "spool-poisoned", "spool-commit",   "state-commit",  "disk-floor",
		"memory",      "backoff",	 "source-down",	   "no-source",	    "dns",
		"expiry",      "pause-ends",	 "complaint-rate", "bounce-rate",   NULL,
		"audit-log",   "delivery-log",	 "events-dropped", "events-missed", "webhook",
		"inbound",     "dkim",		 "clock-jump",	   "loop-stall",    "unsigned",
	};
	const size_t n = sizeof order / sizeof order[0];
	size_t other = 0;

	for (size_t i = 0; i < n; i++) {
		if (!order[i])
			other = i;
		else if (str_eqz(code, order[i]))
			return i;
	}
	return other;
}

/* Worst first: a complaint weighs as much as 20 bounces (the default thresholds say so). */
static uint64_t reputation_harm(const struct row_reputation *x)
{
	const uint64_t million = 1000000, complaint_weight = 20, least = 10;
	uint64_t ended = x->day.delivered + x->day.failed;
	uint64_t bad = x->day.harmful + complaint_weight * x->day.complaints;

	return (ended < least ? 0 : bad * million / ended) << 16 |
	       (ended < UINT16_MAX ? ended : UINT16_MAX);
}

uint64_t mirror_trouble(const struct row *r)
{
	const int harm_shift = 48;
	const uint64_t low = (UINT64_C(1) << 61) - 1;
	uint64_t size = row_queued(r), rank = state_rank((enum row_state)r->state);

	if (r->kind == ROW_OVERRIDE || r->kind == ROW_ALARM) {
		rank = special_rank(r);
		/* Newest first. */
		size = r->kind == ROW_OVERRIDE ? r->override.number : r->alarm.number;
		if (r->kind == ROW_ALARM)
			size += (UINT64_C(255) - alarm_harm(rstr_str(r->alarm.code))) << harm_shift;
	} else if (r->kind == ROW_REPUTATION) {
		size = reputation_harm(&r->reputation);
	} else if (r->kind == ROW_LANE || r->kind == ROW_SOURCE) {
		float rate = r->kind == ROW_LANE ? r->lane.t.rate : r->source.t.rate;

		size = rate > 0 ? (uint64_t)((double)rate * 1000) : 0;
	}
	return rank << 61 | (low - (size < low ? size : low));
}

/* ---- rows ---- */

static bool shelf_grow(struct shelf *s)
{
	struct shelf_part **parts, *p;

	if (s->n < s->nparts * PART_ROWS)
		return true;
	parts = realloc(s->parts, (s->nparts + 1) * sizeof(struct shelf_part *));
	if (!parts)
		return false;
	s->parts = parts;
	p = malloc(sizeof *p);
	if (!p)
		return false;
	s->parts[s->nparts++] = p;
	return true;
}

/* The name's bytes belong to the row: they leave the map before the row is released. */
static void unname(struct shelf *s, size_t i)
{
	struct str name = rstr_str(row_at(s, i)->name);

	if (strmap_get(&s->by_name, name) == slot_of(i))
		strmap_del(&s->by_name, name);
}

static void give_name(struct shelf *s, size_t i)
{
	struct str name = rstr_str(row_at(s, i)->name);

	if (name.n && !strmap_put(&s->by_name, name, slot_of(i)))
		log_warn("no memory: a row can't be found by its name");
}

/* The last row goes to place i: who has met it there must not meet it again. */
static void walks_move(struct shelf *s, size_t i, size_t last)
{
	for (struct row_walk *w = s->walks; w; w = w->next) {
		if (last < w->left)
			w->left = last; /* it was the top one, or will be met at its new place */
		else if (i < w->left && !idmap_put(&w->met, row_at(s, last)->id, w))
			w->failed = true;
	}
}

static void shelf_del(struct shelf *s, uint64_t id)
{
	void *slot = idmap_del(&s->by_id, id);
	size_t i, last = s->n - 1;

	if (!slot)
		return;
	i = index_of(slot);
	unname(s, i);
	row_release(row_at(s, i));
	walks_move(s, i, last);
	s->n--;
	sifts_remove(&s->sifts, i, last);
	if (i == last)
		return;
	bool named = strmap_get(&s->by_name, rstr_str(row_at(s, last)->name)) == slot_of(last);

	*row_at(s, i) = *row_at(s, last);
	*mark_at(s, i) = *mark_at(s, last);
	idmap_put(&s->by_id, row_at(s, i)->id, slot_of(i)); /* it is there: no memory is needed */
	if (named)
		give_name(s, i);
}

static void shelf_put(struct shelf *s, struct row *r)
{
	void *slot = idmap_get(&s->by_id, r->id);
	size_t i = slot ? index_of(slot) : s->n;

	if (!slot) {
		if (!shelf_grow(s) || !idmap_put(&s->by_id, r->id, slot_of(i))) {
			log_warn("no memory: a row is missing in the lists");
			row_release(r);
			return;
		}
		s->n++;
		*row_at(s, i) = *r;
		give_name(s, i);
		sifts_append(&s->sifts, s->n);
	} else if (row_at(s, i)->name == r->name) {
		struct row old = *row_at(s, i);

		*row_at(s, i) = *r; /* the same bytes: the map's key stays good */
		row_release(&old);
	} else {
		unname(s, i);
		row_release(row_at(s, i));
		*row_at(s, i) = *r;
		give_name(s, i);
	}
	*mark_at(s, i) = (struct mark){ mirror_trouble(r), row_queued(r), r->id };
	if (slot)
		sifts_dirty(&s->sifts, i);
}

void mirror_row(struct mirror *m, struct row *r)
{
	OBJ_CHECK(m, MIRROR_MAGIC);
	if (r->kind >= ROW_KINDS) {
		row_release(r);
		return;
	}
	if (r->deleted) {
		shelf_del(&m->shelf[r->kind], r->id);
		row_release(r);
		return;
	}
	shelf_put(&m->shelf[r->kind], r);
}

void mirror_totals(struct mirror *m, const struct sched_totals *t, us_t at)
{
	m->totals = *t;
	m->totals_at = at;
}

const struct sched_totals *mirror_get_totals(const struct mirror *m, us_t *at)
{
	if (at)
		*at = m->totals_at;
	return &m->totals;
}

size_t mirror_count(const struct mirror *m, enum row_kind k)
{
	return m->shelf[k].n;
}

static const struct row *row_of(const struct mirror *m, enum row_kind k, size_t i)
{
	struct rows r = mirror_rows(m, k);

	return rows_at(&r, i);
}

const struct row *mirror_find(const struct mirror *m, enum row_kind k, uint64_t id)
{
	void *slot = idmap_get(&m->shelf[k].by_id, id);

	return slot ? row_of(m, k, index_of(slot)) : NULL;
}

const struct row *mirror_find_name(const struct mirror *m, enum row_kind k, struct str name)
{
	void *slot = strmap_get(&m->shelf[k].by_name, name);

	return slot ? row_of(m, k, index_of(slot)) : NULL;
}

const struct row *mirror_next(const struct mirror *m, enum row_kind k, size_t *pos)
{
	return *pos < m->shelf[k].n ? row_of(m, k, (*pos)++) : NULL;
}

struct sifts *mirror_sifts(struct mirror *m, enum row_kind k)
{
	return &m->shelf[k].sifts;
}

struct rows mirror_rows(const struct mirror *m, enum row_kind k)
{
	const struct shelf *s = &m->shelf[k];

	return (struct rows){ s->parts, s->n };
}

struct hit *mirror_lend(struct mirror *m, size_t n)
{
	struct hit *v = m->spare;

	if (v && m->spare_cap < n) {
		free(v);
		v = NULL;
	}
	m->spare = NULL;
	return v ? v : malloc((n ? n : 1) * sizeof *v);
}

void mirror_give_back(struct mirror *m, struct hit *v, size_t n)
{
	if (!v || (m->spare && m->spare_cap >= n)) {
		free(v);
		return;
	}
	free(m->spare);
	m->spare = v;
	m->spare_cap = n;
}

void mirror_walk_begin(struct mirror *m, enum row_kind k, struct row_walk *w)
{
	struct shelf *s = &m->shelf[k];

	*w = (struct row_walk){ .next = s->walks, .at = &s->walks, .left = s->n };
	if (w->next)
		w->next->at = &w->next;
	s->walks = w;
	idmap_init(&w->met);
}

/* From the last to the first: a row moves to a lower place only, so none is missed. */
bool mirror_walk_next(struct mirror *m, enum row_kind k, struct row_walk *w, size_t *i)
{
	while (w->left) {
		*i = --w->left;
		if (!w->met.used || !idmap_get(&w->met, row_of(m, k, *i)->id))
			return true;
	}
	return false;
}

void mirror_walk_end(struct row_walk *w)
{
	if (!w->at)
		return;
	*w->at = w->next;
	if (w->next)
		w->next->at = w->at;
	w->at = NULL;
	idmap_free(&w->met);
}
