/* [alarm]: thresholds of rates, and when a job is held. */
#include "conf/lex.h"
#include "conf/reading.h"
#include "conf/value_list.h"

static const struct err *percent_word(struct value_in *in, struct str word, double *out)
{
	const struct err *err = fmt_parse_percent(word, out, &in->e);

	if (err || (*out > 0 && *out <= 1))
		return err;
	errbuf_set(&in->e, "\"%.*s\": write 0.001%% to 100%%", (int)word.n, word.p);
	return &err_invalid;
}

/* `off`, one percentage, or where there are two (`count`), both. */
const struct err *value_parse_thresholds(struct value_in *in, struct value *out)
{
	struct str rest = in->text, word = { "", 0 };
	double v[2] = { 0, 0 };
	int n = 0, want = in->d->count ? 2 : 1;
	const struct err *err;

	if (str_ieqz(in->text, "off"))
		return NULL;
	while (lex_word(&rest, &word)) {
		if (n == want) {
			n++;
			break;
		}
		err = percent_word(in, word, &v[n++]);
		if (err)
			return err;
	}
	if (n != want || (want == 2 && v[0] > v[1])) {
		errbuf_set(&in->e, "\"%.*s\": write %s, or off", (int)in->text.n, in->text.p,
			   want == 2 ? "two percentages, the smaller first, as 0.1% 0.3%"
				     : "one percentage, as 5%");
		return &err_invalid;
	}
	out->thresholds.a = v[0];
	out->thresholds.b = v[1];
	return NULL;
}

/* `off`, or bounce-rate, complaint-rate, each with a percentage of its own or with the alarm's. */
const struct err *value_parse_hold(struct value_in *in, struct value *out)
{
	struct str rest = in->text, word = { "", 0 };
	double *last = NULL;
	const struct err *err;

	if (str_ieqz(in->text, "off"))
		return NULL;
	while (lex_word(&rest, &word)) {
		if (str_ieqz(word, "bounce-rate")) {
			last = &out->thresholds.a;
		} else if (str_ieqz(word, "complaint-rate")) {
			last = &out->thresholds.b;
		} else if (last && *last < 0) {
			err = percent_word(in, word, last);
			if (err)
				return err;
			continue;
		} else {
			errbuf_set(
			    &in->e,
			    "\"%.*s\": write off, or bounce-rate or complaint-rate or both, each "
			    "with a percentage or without, as bounce-rate 8%%",
			    (int)word.n, word.p);
			return &err_invalid;
		}
		*last = CONF_HOLD_AT_ALARM;
	}
	return NULL;
}

static void hold_at_alarm(struct reading *r, double *at, const char *rate, double alarm)
{
	const struct conf_section *s = section_only(r->c, KIND_ALARM);

	if (*at >= 0)
		return;
	*at = alarm;
	if (alarm <= 0)
		error_at(
		    r, &r->c->alarm.origin_hold,
		    "hold-job-at: %s has no percentage here, and %s in %s is off: write one of "
		    "the two",
		    rate, rate, s ? s->shown : "[alarm]");
}

void build_alarm(struct reading *r)
{
	struct conf_alarm *a = &r->c->alarm;
	const struct conf_section *s = section_only(r->c, KIND_ALARM);

	if (s)
		a->origin_hold = s->origin;
	build_fields(r, KIND_ALARM, s, a);
	if (a->nmail_to && r->c->mta.default_route == CONF_NONE)
		error_at(r, &a->origin_mail_to,
			 "mail-to: alarms have no route: write default-virtual-mta in [mta]");
	hold_at_alarm(r, &a->hold.bounces, "bounce-rate", a->bounce_rate);
	hold_at_alarm(r, &a->hold.complaints, "complaint-rate", a->complaint_red);
}
