#include "core/base/clean.h"
#include "core/control/private.h"

enum { NEAR = 3, SHOWN = 3 };

struct near {
	struct str want;
	struct {
		struct str name;
		int distance;
	} best[SHOWN];
	int n;
	bool exact;
};

static void consider(struct near *s, struct str name)
{
	size_t longer = name.n > s->want.n ? name.n - s->want.n : s->want.n - name.n;
	int d, i;

	if (!name.n || longer >= NEAR)
		return;
	if (str_ieq(name, s->want)) {
		s->exact = true;
		return;
	}
	/* The distance is dear: one of both ends must agree. */
	if (name.p[0] != s->want.p[0] && name.p[name.n - 1] != s->want.p[s->want.n - 1])
		return;
	d = str_distance(name, s->want);
	if (d >= NEAR)
		return;
	for (i = 0; i < s->n; i++)
		if (str_eq(s->best[i].name, name))
			return;
	for (i = s->n; i > 0 && s->best[i - 1].distance > d; i--)
		if (i < SHOWN)
			s->best[i] = s->best[i - 1];
	if (i >= SHOWN)
		return;
	s->best[i].name = name;
	s->best[i].distance = d;
	if (s->n < SHOWN)
		s->n++;
}

static struct str row_key(const struct row *r, enum target_kind k)
{
	switch (k) {
	case TARGET_DOMAIN:
		return rstr_str(r->queue.domain);
	case TARGET_USER:
		return rstr_str(r->job.user);
	case TARGET_ALL:
	case TARGET_QUEUE:
	case TARGET_SITE:
	case TARGET_LANE:
	case TARGET_VMTA:
	case TARGET_POOL:
	case TARGET_JOB:
	case TARGET_MESSAGE:
		break;
	}
	return rstr_str(r->name);
}

/* The rows that a kind of target names; ROW_KINDS: none. */
static enum row_kind rows_of(enum target_kind k)
{
	switch (k) {
	case TARGET_DOMAIN:
	case TARGET_QUEUE:
		return ROW_QUEUE;
	case TARGET_SITE:
		return ROW_SITE;
	case TARGET_LANE:
		return ROW_LANE;
	case TARGET_VMTA:
		return ROW_SOURCE;
	case TARGET_JOB:
	case TARGET_USER:
		return ROW_JOB;
	case TARGET_ALL:
	case TARGET_POOL:
	case TARGET_MESSAGE:
		break;
	}
	return ROW_KINDS;
}

void names_near(struct mirror *m, const struct target *t, struct buf *out)
{
	enum row_kind k = rows_of(t->kind);
	struct near s = { .n = 0 };
	struct buf whole;
	const struct row *r;
	size_t pos = 0;

	if (k == ROW_KINDS || (t->a.n && memchr(t->a.p, '*', t->a.n)))
		return;
	buf_init(&whole);
	buf_adds(&whole, t->a);
	if (t->kind == TARGET_QUEUE || t->kind == TARGET_LANE) {
		buf_addc(&whole, t->kind == TARGET_QUEUE ? '/' : '@');
		buf_adds(&whole, t->b);
	}
	s.want = buf_str(&whole);
	while (s.want.n && !s.exact && (r = mirror_next(m, k, &pos)) != NULL)
		consider(&s, row_key(r, t->kind));
	for (int i = 0; i < s.n && !s.exact; i++) {
		buf_addz(out, i ? ", " : "; near to it: ");
		clean_add(out, s.best[i].name, false);
	}
	buf_free(&whole);
}
