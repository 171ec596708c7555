/* Settings for people and programs: each value with its origin, each limit with what it counts. */
#include "conf/snapshot.h"
#include "conf/value.h"
#include "core/base/clean.h"
#include "core/base/jsonw.h"

const char *limit_scope_words(enum limit_scope s)
{
	static const char *const words[SCOPE_COUNT] = {
		[SCOPE_LANE] = "each lane",
		[SCOPE_DOMAIN] = "each domain's own mail at each virtual MTA",
		[SCOPE_POOL] = "what comes by the pool, at each virtual MTA",
		[SCOPE_PROVIDER] = "all lanes of the provider together",
		[SCOPE_VMTA] = "the virtual MTA over all receivers",
		[SCOPE_TOTAL] = "everything together",
	};

	return s < SCOPE_COUNT ? words[s] : "?";
}

struct line {
	const char *name;
	struct buf value;
	const struct origin *at; /* file NULL: the built-in default */
	struct buf counts;	 /* empty: not a limit */
};
typedef void line_fn(void *arg, const struct line *l);

static void counts(const struct conf *c, const struct settings *s, enum limit_scope scope,
		   bool by_domain, struct buf *out)
{
	const char *pool = s->pool == CONF_NONE ? "" : c->pools[s->pool].name;

	switch (scope) {
	case SCOPE_POOL:
		buf_addf(out, "%s by the pool %s, at each virtual MTA",
			 by_domain ? "each domain's own mail" : "what each lane gets", pool);
		break;
	case SCOPE_PROVIDER:
		buf_addf(out, "all lanes of %s together", c->providers[s->provider].name);
		break;
	case SCOPE_VMTA:
		buf_addf(out, "%s over all receivers", c->vmtas[s->vmta].name);
		break;
	case SCOPE_LANE:
	case SCOPE_DOMAIN:
	case SCOPE_TOTAL:
	case SCOPE_COUNT:
		buf_addz(out, limit_scope_words(scope));
		break;
	}
}

struct out { /* where a limit's line goes, and what it is about */
	const struct conf *c;
	const struct settings *s;
	line_fn *fn;
	void *arg;
};

static void limit_line(const struct out *o, enum limit_kind kind, const char *name,
		       const struct limit *l)
{
	struct line line = { .name = name, .at = &l->origin };
	char z[FMT_SIZE];

	buf_init(&line.value);
	buf_init(&line.counts);
	if (limit_is_connections(kind)) {
		buf_addf(&line.value, "%d", l->n);
	} else {
		fmt_rate(l->rate, z);
		buf_addz(&line.value, z);
	}
	counts(o->c, o->s, l->scope, l->by_domain, &line.counts);
	o->fn(o->arg, &line);
	buf_free(&line.value);
	buf_free(&line.counts);
}

/* Limits of provider, virtual MTA and total, which are not in `limits`. */
static void outer_limits(const struct out *o, enum limit_kind kind)
{
	const struct conf_provider *p =
	    o->s->provider == CONF_NONE ? NULL : &o->c->providers[o->s->provider];
	const struct conf_vmta *v = o->s->vmta == CONF_NONE ? NULL : &o->c->vmtas[o->s->vmta];
	bool out = kind == LIMIT_CONNECTIONS;
	struct limit l;

	if (kind != LIMIT_CONNECTIONS && kind != LIMIT_MSG_RATE)
		return;
	if (p && (out ? p->max_smtp_out > 0 : !rate_unlimited(p->max_msg_rate))) {
		l = (struct limit){ .scope = SCOPE_PROVIDER,
				    .n = p->max_smtp_out,
				    .rate = p->max_msg_rate,
				    .origin =
					out ? p->origin_max_smtp_out : p->origin_max_msg_rate };
		limit_line(o, kind, out ? "provider-max-smtp-out" : "provider-max-msg-rate", &l);
	}
	if (v && (out ? v->max_smtp_out > 0 : !rate_unlimited(v->max_msg_rate))) {
		l = (struct limit){ .scope = SCOPE_VMTA,
				    .n = v->max_smtp_out,
				    .rate = v->max_msg_rate,
				    .origin =
					out ? v->origin_max_smtp_out : v->origin_max_msg_rate };
		limit_line(o, kind, limit_kind_name(kind), &l);
	}
	if (out) {
		l = (struct limit){ .scope = SCOPE_TOTAL,
				    .n = o->c->mta.total_max_smtp_out,
				    .origin = o->c->mta.origin_total_max_smtp_out };
		limit_line(o, kind, "total-max-smtp-out", &l);
	}
}

static void unlimited_line(const struct out *o, enum limit_kind kind, enum setting_id id)
{
	struct line line = { .name = limit_kind_name(kind), .at = &o->s->origin[id] };

	buf_init(&line.value);
	buf_init(&line.counts);
	buf_addz(&line.value, "unlimited");
	o->fn(o->arg, &line);
	buf_free(&line.value);
	buf_free(&line.counts);
}

/* The virtual MTA's [warmup]: a cap besides the limits. */
static void warmup_line(const struct out *o)
{
	const struct conf_vmta *v = o->s->vmta == CONF_NONE ? NULL : &o->c->vmtas[o->s->vmta];
	struct line line = { .name = "warmup" };
	const struct conf_warmup *w;

	if (!v || v->warmup == CONF_NONE)
		return;
	w = &o->c->warmups[v->warmup];
	line.at = &v->origin_warmup;
	buf_init(&line.value);
	buf_init(&line.counts);
	buf_addz(&line.value, w->name);
	buf_addz(&line.counts,
		 w->per == WARMUP_TOTAL
		     ? "all attempts of this virtual MTA"
		     : "each provider's at this virtual MTA, and all others' together");
	o->fn(o->arg, &line);
	buf_free(&line.value);
	buf_free(&line.counts);
}

static void limit_lines(const struct out *o, enum limit_kind kind, enum setting_id id)
{
	int n = 0;

	for (int i = 0; i < o->s->nlimits; i++)
		if (o->s->limits[i].kind == kind) {
			limit_line(o, kind, limit_kind_name(kind), &o->s->limits[i]);
			n++;
		}
	if (!n)
		unlimited_line(o, kind, id);
	outer_limits(o, kind);
}

static void each_line(const struct conf *c, const struct settings *s, line_fn *fn, void *arg)
{
	struct out o = { c, s, fn, arg };

	limit_lines(&o, LIMIT_CONNECTIONS, SET_MAX_SMTP_OUT);
	limit_lines(&o, LIMIT_MSG_RATE, SET_MAX_MSG_RATE);
	warmup_line(&o);
	limit_lines(&o, LIMIT_CONNECT_RATE, SET_MAX_CONNECT_RATE);
	limit_lines(&o, LIMIT_BACKOFF_CONNECTIONS, SET_BACKOFF_MAX_SMTP_OUT);
	limit_lines(&o, LIMIT_BACKOFF_MSG_RATE, SET_BACKOFF_MAX_MSG_RATE);
	for (size_t i = 0; i < directives_n; i++) {
		const struct directive *d = &directives[i];
		struct line line = { .name = d->name };
		struct value v;

		if (d->kind != KIND_DOMAIN || !d->field)
			continue;
		v = field_get(d, s);
		line.at = &s->origin[d->setting];
		buf_init(&line.value);
		value_write(d, &v, &line.value);
		fn(arg, &line);
		buf_free(&line.value);
	}
}

static void print_line(void *arg, const struct line *l)
{
	struct buf *out = arg;

	buf_addf(out, "%s = ", l->name);
	clean_add(out, buf_str(&l->value), false);
	if (l->at->file) {
		buf_addz(out, "   ; ");
		clean_add(out, str_of(l->at->file), false);
		buf_addf(out, ":%d %s", l->at->line, l->at->section ? l->at->section : "");
	} else {
		buf_addz(out, "   ; default");
	}
	if (l->counts.n)
		buf_addf(out, ", counts %.*s", (int)l->counts.n, l->counts.p);
	buf_addc(out, '\n');
}

void settings_print(const struct conf *c, const struct settings *s, struct buf *out)
{
	each_line(c, s, print_line, out);
}

static void json_line(void *arg, const struct line *l)
{
	struct jsonw *w = arg;

	jsonw_object(w, NULL);
	jsonw_z(w, "name", l->name);
	jsonw_str(w, "value", buf_str(&l->value));
	if (l->at->file) {
		jsonw_object(w, "origin");
		jsonw_z(w, "file", l->at->file);
		jsonw_int(w, "line", l->at->line);
		if (l->at->section)
			jsonw_z(w, "section", l->at->section);
		jsonw_end_object(w);
	}
	if (l->counts.n)
		jsonw_str(w, "counts", buf_str(&l->counts));
	jsonw_end_object(w);
}

void settings_json(const struct conf *c, const struct settings *s, struct buf *out)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_array(&w, NULL);
	each_line(c, s, json_line, &w);
	jsonw_end_array(&w);
}
