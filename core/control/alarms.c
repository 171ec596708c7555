/* Alarms: rows of the scheduler and those that the rest of the process raises lie in one list.
 * Numbers and acknowledgements are control's, so that `ack 3` means the same whoever raised it. */
#include <stdlib.h>

#include "core/control/private.h"

/* Row ids of the process's own alarms; the scheduler's count from 1. */
static const uint64_t own_rows = UINT64_C(1) << 62;
static const us_t gone_shown = 10 * US_PER_MIN;

struct note { /* what control knows of an alarm's row */
	uint64_t number;
	us_t gone_at;
	bool acked;
	struct rstr *ack;
};

static struct note *note_of(struct control *c, uint64_t row)
{
	struct note *n = idmap_get(&c->notes, row);

	if (n)
		return n;
	n = calloc(1, sizeof *n);
	if (!n || !idmap_put(&c->notes, row, n)) {
		free(n);
		return NULL;
	}
	n->number = ++c->alarm_number;
	return n;
}

static void note_free(struct note *n)
{
	if (n)
		rstr_unref(n->ack);
	free(n);
}

void alarms_forget(struct control *c)
{
	size_t pos = 0;
	uint64_t row;
	void *n;

	while (idmap_next(&c->notes, &pos, &row, &n))
		note_free(n);
	idmap_free(&c->notes);
}

void alarms_row(struct control *c, struct row *r)
{
	struct note *n;

	if (r->deleted) {
		note_free(idmap_del(&c->notes, r->id));
		return;
	}
	n = note_of(c, r->id);
	if (!n)
		return;
	r->alarm.number = n->number;
	r->alarm.acked = n->acked;
	rstr_unref(r->alarm.ack);
	r->alarm.ack = rstr_ref(n->ack);
	if (!r->alarm.gone)
		n->gone_at = 0;
	else if (!n->gone_at)
		n->gone_at = control_now(c);
}

/* A copy that may be changed and given back by control_row. */
static struct row copy_of(const struct row *r)
{
	struct row copy = *r;

	row_retain(&copy);
	return copy;
}

static const struct row *find_own(struct control *c, struct str code, struct str target)
{
	const struct row *r;
	size_t pos = 0;

	while ((r = mirror_next(c->mirror, ROW_ALARM, &pos)) != NULL)
		if (r->id >= own_rows && !r->alarm.gone && str_eq(rstr_str(r->alarm.code), code) &&
		    str_eq(rstr_str(r->alarm.target), target))
			return r;
	return NULL;
}

void control_alarm(struct control *c, const char *code, struct str target, int severity,
		   struct str text)
{
	const struct row *old = find_own(c, str_of(code), target);
	struct row r;

	/* Many an alarm is said again each second. */
	if (old && old->alarm.severity == severity && str_eq(rstr_str(old->alarm.text), text))
		return;
	if (old) {
		r = copy_of(old);
		rstr_unref(r.alarm.text);
	} else {
		r = (struct row){ .id = own_rows + ++c->alarm_row, .kind = ROW_ALARM };
		r.name = rstr_new(target);
		r.alarm.code = rstr_new(str_of(code));
		r.alarm.target = rstr_new(target);
		r.alarm.since = control_now(c);
	}
	r.alarm.text = rstr_new(text);
	r.alarm.severity = (uint8_t)severity;
	control_row(c, &r);
}

void control_alarm_end(struct control *c, const char *code, struct str target)
{
	const struct row *old = find_own(c, str_of(code), target);
	struct row r;

	if (!old)
		return;
	r = copy_of(old);
	r.alarm.gone = true;
	control_row(c, &r);
}

bool alarms_ack(struct control *c, uint64_t number, struct str who, struct str note,
		struct errbuf *e)
{
	const struct row *r;
	size_t pos = 0;
	struct row copy;
	struct note *n;

	while ((r = mirror_next(c->mirror, ROW_ALARM, &pos)) != NULL)
		if (r->alarm.number == number)
			break;
	n = r ? idmap_get(&c->notes, r->id) : NULL;
	if (!n || r->alarm.gone) {
		errbuf_set(e, "there is no alarm %llu%s", (unsigned long long)number,
			   r ? " any more" : "");
		return false;
	}
	rstr_unref(n->ack);
	n->acked = true;
	n->ack = rstr_newf("%.*s%s%.*s", (int)who.n, who.p, note.n ? ": " : "", (int)note.n,
			   note.n ? note.p : "");
	copy = copy_of(r);
	control_row(c, &copy);
	return true;
}

void alarms_upkeep(struct control *c, us_t now)
{
	const struct row *r;
	size_t pos = 0;

	while ((r = mirror_next(c->mirror, ROW_ALARM, &pos)) != NULL) {
		const struct note *n = idmap_get(&c->notes, r->id);

		if (r->id < own_rows || !n || !n->gone_at || now - n->gone_at < gone_shown)
			continue;
		struct row gone = { .id = r->id, .kind = ROW_ALARM, .deleted = true };

		control_row(c, &gone);
		pos = 0; /* the last row took its place */
	}
}

struct alarm_count alarms_count(const struct control *c)
{
	struct alarm_count n = { .worst = NULL };
	const struct row *r;
	size_t pos = 0;

	while ((r = mirror_next(c->mirror, ROW_ALARM, &pos)) != NULL) {
		if (r->alarm.gone)
			continue;
		if (r->alarm.acked) {
			n.acked++;
			continue;
		}
		if (r->alarm.severity > 2)
			continue;
		n.red += r->alarm.severity <= 1;
		n.yellow += r->alarm.severity == 2;
		if (!n.worst || mirror_trouble(r) < mirror_trouble(n.worst))
			n.worst = r;
	}
	return n;
}
