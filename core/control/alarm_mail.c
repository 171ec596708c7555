/* [alarm] mail-to: what needs a person is told by mail. An alarm is mailed when it has held for
 * `after` (rates have before they are raised), again each `repeat` while nobody acknowledged it,
 * and not more often however often it ends and begins. Notes are not mailed. One mail, with all
 * that is due, in a minute: whatever happens, a mailbox gets 60 an hour at most. The mail has no
 * reverse-path (core/mta_control.c), so nothing comes back that could raise an alarm. */
#include <stdlib.h>

#include "core/base/clean.h"
#include "core/control/private.h"

static const us_t mail_every = US_PER_MIN;
enum { NOTE_SEVERITY = 3, LINES_MAX = 50, TOLD_MAX = 1000 };

struct told { /* "bounce-rate @google" */
	char *name;
	us_t at;
};

static void told_free(struct told *t)
{
	free(t->name);
	free(t);
}

void alarm_mail_forget(struct control *c)
{
	size_t pos = 0;
	struct str key;
	void *t;

	while (strmap_next(&c->told, &pos, &key, &t))
		told_free(t);
	strmap_free(&c->told);
	strmap_init(&c->told);
}

/* False without memory: then it is told the next time. */
static bool remember(struct control *c, struct str name, us_t now)
{
	struct told *t = strmap_get(&c->told, name);

	if (!t) {
		if (c->told.used >= TOLD_MAX) /* more than fit into any mail: begin anew */
			alarm_mail_forget(c);
		t = calloc(1, sizeof *t);
		if (!t || !(t->name = str_dup(name)) || !strmap_put(&c->told, str_of(t->name), t)) {
			if (t)
				told_free(t);
			return false;
		}
	}
	t->at = now;
	return true;
}

static bool has_waited(const struct row_alarm *a)
{
	struct str code = rstr_str(a->code);

	return str_eqz(code, "bounce-rate") || str_eqz(code, "complaint-rate");
}

static bool is_due(struct control *c, const struct row_alarm *a, struct str name, us_t now)
{
	const struct told *t = strmap_get(&c->told, name);

	if (a->gone || a->acked || a->severity >= NOTE_SEVERITY)
		return false;
	if (!has_waited(a) && now - a->since < c->conf->alarm.after)
		return false;
	return !t || now - t->at >= c->conf->alarm.repeat;
}

static void add_line(struct control *c, const struct row_alarm *a, struct buf *text)
{
	char at[CLOCK_RFC3339_SIZE];

	(void)c;
	clock_rfc3339(a->since, at);
	buf_addf(text, "%s %llu, %s, since %s\r\n  ", a->severity <= 1 ? "RED" : "yellow",
		 (unsigned long long)a->number, rstr_str(a->code).p, at);
	clean_add(text, rstr_str(a->target), true);
	buf_addz(text, ": ");
	clean_add(text, rstr_str(a->text), true);
	buf_addz(text, "\r\n");
}

void alarm_mail(struct control *c, us_t now)
{
	const struct row *r;
	struct buf text, name;
	size_t pos = 0;
	int n = 0;

	if (!c->conf->alarm.nmail_to || !c->env.mail ||
	    (c->mailed_at && now - c->mailed_at < mail_every))
		return;
	buf_init(&text);
	buf_init(&name);
	while (n < LINES_MAX && (r = mirror_next(c->mirror, ROW_ALARM, &pos)) != NULL) {
		buf_clear(&name);
		buf_addf(&name, "%s %s", rstr_str(r->alarm.code).p, rstr_str(r->alarm.target).p);
		if (!is_due(c, &r->alarm, buf_str(&name), now) || !remember(c, buf_str(&name), now))
			continue;
		add_line(c, &r->alarm, &text);
		n++;
	}
	if (n) {
		c->mailed_at = now;
		c->env.mail(c->env.arg, n, buf_str(&text));
	}
	buf_free(&text);
	buf_free(&name);
}
