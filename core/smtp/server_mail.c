/* MAIL and RCPT: their grammar, their parameters, and who may send what (RFC 5321 4.1.1.2 and 3,
 * RFC 1870, 3461, 6152, 6531). */
#include <inttypes.h>
#include <stdio.h>

#include "core/base/clean.h"
#include "core/smtp/server_session.h"

enum { RCPTS_FIRST = 4, MAX_RCPT_DEFAULT = 1000, MAX_RCPT_INBOUND = 10, SUPPRESSED_WORDS = 160 };

static const char no_auth[] = "530 5.7.0 Authentication required";

/* ---- parameters ---- */

struct parameter {
	const char *name;
	/* NULL or the reply that refuses. `v.p` is NULL where there is no "=". */
	const char *(*parse)(struct command_args *a, struct str v);
};

static const char *parse_size(struct command_args *a, struct str v)
{
	enum { DIGITS_MAX = 18 }; /* RFC 1870 allows 20; more than 18 is over every limit */

	if (!v.n || v.n > 20)
		return "501 5.5.4 SIZE must be a number";
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return "501 5.5.4 SIZE must be a number";
		a->size = i < DIGITS_MAX ? a->size * 10 + (v.p[i] - '0') : INT64_MAX;
	}
	return NULL;
}

static const char *parse_body(struct command_args *a, struct str v)
{
	(void)a;
	if (v.p && (str_ieqz(v, "7BIT") || str_ieqz(v, "8BITMIME")))
		return NULL;
	return "501 5.5.4 BODY must be 7BIT or 8BITMIME";
}

static const char *parse_smtputf8(struct command_args *a, struct str v)
{
	a->utf8 = true;
	return v.p ? "501 5.5.4 SMTPUTF8 takes no value" : NULL;
}

static const char *parse_ret(struct command_args *a, struct str v)
{
	if (v.p && str_ieqz(v, "FULL"))
		a->ret = RET_FULL;
	else if (v.p && str_ieqz(v, "HDRS"))
		a->ret = RET_HDRS;
	else
		return "501 5.5.4 RET must be FULL or HDRS";
	return NULL;
}

static const char *parse_envid(struct command_args *a, struct str v)
{
	if (!v.n || v.n > ENVID_MAX || !xtext_valid(v))
		return "501 5.5.4 ENVID must be xtext of at most 100 bytes";
	a->envid = v;
	return NULL;
}

static const char *parse_notify(struct command_args *a, struct str v)
{
	static const struct {
		const char *word;
		uint8_t bit;
	} words[] = { { "NEVER", NOTIFY_NEVER },
		      { "SUCCESS", NOTIFY_SUCCESS },
		      { "FAILURE", NOTIFY_FAILURE },
		      { "DELAY", NOTIFY_DELAY } };
	struct str word;
	bool known = v.p != NULL;

	while (known && str_split(&v, ',', &word)) {
		known = false;
		for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
			if (str_ieqz(word, words[i].word)) {
				a->notify |= words[i].bit;
				known = true;
			}
		}
	}
	if (!known || !a->notify || ((a->notify & NOTIFY_NEVER) && a->notify != NOTIFY_NEVER))
		return "501 5.5.4 NOTIFY must be NEVER, or some of SUCCESS, FAILURE, DELAY";
	return NULL;
}

/* utf-8-addr-unitext of RFC 6533 3: what xtext would encode may stand as UTF-8. */
static bool unitext_valid(struct str v)
{
	for (size_t i = 0; i < v.n; i++) {
		if ((unsigned char)v.p[i] <= ' ' || v.p[i] == 0x7F)
			return false;
	}
	return str_utf8_valid(v);
}

static const char *parse_orcpt(struct command_args *a, struct str v)
{
	const char *semicolon = v.n ? memchr(v.p, ';', v.n) : NULL;
	size_t type = semicolon ? (size_t)(semicolon - v.p) : 0;
	struct str text = { semicolon ? semicolon + 1 : "", semicolon ? v.n - type - 1 : 0 };
	bool utf8 = str_istarts(v, "utf-8;") && a->utf8;

	for (size_t i = 0; i < type; i++) {
		char c = v.p[i];

		if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
		      c == '-'))
			type = 0;
	}
	if (!type || !text.n || v.n > ORCPT_MAX ||
	    !(xtext_valid(text) || (utf8 && unitext_valid(text))))
		return "501 5.5.4 ORCPT must be TYPE;ADDRESS in xtext, of at most 500 bytes";
	a->orcpt = v;
	return NULL;
}

static const struct parameter mail_parameters[] = {
	{ "SIZE", parse_size }, { "BODY", parse_body },	  { "SMTPUTF8", parse_smtputf8 },
	{ "RET", parse_ret },	{ "ENVID", parse_envid }, { NULL, NULL },
};
static const struct parameter rcpt_parameters[] = {
	{ "NOTIFY", parse_notify },
	{ "ORCPT", parse_orcpt },
	{ NULL, NULL },
};

static const char *parse_parameter(const struct parameter *table, struct command_args *a,
				   struct str word)
{
	const char *eq = memchr(word.p, '=', word.n);
	struct str name = { word.p, eq ? (size_t)(eq - word.p) : word.n };
	struct str value = { eq ? eq + 1 : NULL, eq ? word.n - name.n - 1 : 0 };

	for (unsigned i = 0; table[i].name; i++) {
		if (!str_ieqz(name, table[i].name))
			continue;
		if (a->seen & (1u << i))
			return "501 5.5.4 A parameter is given twice";
		a->seen |= 1u << i;
		return table[i].parse(a, value);
	}
	return "555 5.5.4 A parameter is not known here";
}

/* What follows the ">": blanks, then parameters. */
static const char *parse_parameters(const struct parameter *table, struct command_args *a,
				    struct str rest)
{
	struct str word;

	if (rest.n && rest.p[0] != ' ')
		return "501 5.5.4 A blank must follow the >";
	while (str_split(&rest, ' ', &word)) {
		const char *no = word.n ? parse_parameter(table, a, word) : NULL;

		if (no)
			return no;
	}
	return NULL;
}

/* "FROM:" or "TO:", and blanks behind it, which RFC 5321 forbids and many clients send. */
static bool skip_keyword(struct str *text, const char *keyword)
{
	size_t n = strlen(keyword);

	if (!str_istarts(*text, keyword))
		return false;
	*text = str_trim(str_mem(text->p + n, text->n - n));
	return true;
}

/* "501 5.1.7 Sender: no @ …": the reason comes from address.c and is constant text. */
static const char *refuse_address(struct session *s, const char *reply, const char *why)
{
	snprintf(s->srv->text, sizeof s->srv->text, "%s: %s", reply, why);
	return s->srv->text;
}

const char *check_mail(struct session *s, struct command_args *a)
{
	struct str rest, text = a->text;
	const char *why;

	if (!skip_keyword(&text, "FROM:"))
		return "501 5.5.4 Say MAIL FROM:<address>";
	why = address_parse_path(text, true, &a->address, &rest);
	if (why)
		return refuse_address(s, "501 5.1.7 Bad sender address", why);
	return parse_parameters(mail_parameters, a, rest);
}

const char *check_rcpt(struct session *s, struct command_args *a)
{
	struct str rest, text = a->text;
	const char *why;

	a->utf8 = s->utf8;
	if (!skip_keyword(&text, "TO:"))
		return "501 5.5.4 Say RCPT TO:<address>";
	why = address_parse_path(text, false, &a->address, &rest);
	if (why)
		return refuse_address(s, "501 5.1.3 Bad recipient address", why);
	return parse_parameters(rcpt_parameters, a, rest);
}

/* ---- MAIL ---- */

/* CONFIG.md, [source]: the source's, the listener's, [mta]'s. */
static int choose_route(const struct session *s)
{
	const struct conf *c = s->conf;

	if (s->source >= 0 && c->sources[s->source].default_route >= 0)
		return c->sources[s->source].default_route;
	if (c->listeners[s->listener].default_route >= 0)
		return c->listeners[s->listener].default_route;
	return c->mta.default_route;
}

const char server_no_route[] = "451 4.3.5 No default-virtual-mta is configured for mail from here";

/* X-Virtual-MTA is yet to come. */
static bool may_name_route(const struct session *s)
{
	return s->source >= 0 && s->conf->sources[s->source].process_x_virtual_mta;
}

/* What holds all new mail back, as a reply; NULL: nothing. */
static const char *held_back(const struct session *s)
{
	unsigned holds = s->srv->holds;

	if (holds & SERVER_HOLD_FAILED)
		return "451 4.3.0 The queue cannot be written now, try again later";
	if (holds & SERVER_HOLD_FLOOR)
		return "452 4.3.1 Insufficient system storage, try again later";
	if (holds & SERVER_HOLD_MEMORY)
		return "452 4.3.1 Out of memory for new mail, try again later";
	return NULL;
}

static bool needs_auth(const struct session *s)
{
	return s->source >= 0 && s->conf->sources[s->source].require_auth && !s->user_name[0];
}

static const char *judge_mail(struct session *s, const struct command_args *a)
{
	const char *no = held_back(s);

	if (no)
		return no;
	if (needs_auth(s) && !s->conf->ninbound)
		return no_auth; /* else RCPT says whether it needs any */
	if (a->size > s->size_limit) {
		snprintf(s->srv->text, sizeof s->srv->text,
			 "552 5.3.4 Message too big: the limit is %" PRId64 " bytes",
			 s->size_limit);
		return s->srv->text;
	}
	if (a->address.utf8 && !a->utf8)
		return "553 5.6.7 This sender address needs SMTPUTF8";
	if (!s->relay || needs_auth(s)) /* then only for what is read here: no route, no rate */
		return NULL;
	if (choose_route(s) < 0 && !may_name_route(s))
		return server_no_route;
	if (!s->srv->env.source_rate(s->srv->env.arg, s->conf, s->source, loop_now(s->srv->loop)))
		return "451 4.4.5 The max-msg-rate of this source is reached, try again later";
	return NULL;
}

/* The job is "source/sender-domain"; the user is the front of the same bytes. */
static bool set_job(struct session *s, struct message *m, const struct address *from)
{
	struct str source = s->source < 0 ? STR_LIT("-") : str_of(s->conf->sources[s->source].name);
	struct str domain = from->normal[0] ? str_of(from->normal) : from->domain;
	char *p;

	if (!from->whole.n)
		domain = STR_LIT("null");
	p = arena_alloc(&m->arena, source.n + domain.n + 2);
	if (!p)
		return false;
	memcpy(p, source.p, source.n);
	p[source.n] = '/';
	memcpy(p + source.n + 1, domain.p, domain.n);
	m->job = str_mem(p, source.n + 1 + domain.n);
	m->user = str_mem(p, s->source < 0 ? 0 : source.n);
	if (s->user_name[0])
		m->user = arena_str(&m->arena, str_of(s->user_name));
	return m->user.p != NULL;
}

static uint8_t priority_of(const struct session *s)
{
	int user = s->user_name[0] ? conf_user_find(s->conf, str_of(s->user_name)) : CONF_NONE;

	if (user >= 0 && s->conf->users[user].priority >= 0)
		return (uint8_t)s->conf->users[user].priority;
	return s->source < 0 ? 50 : (uint8_t)s->conf->sources[s->source].priority;
}

static bool set_envelope(struct session *s, struct message *m, const struct command_args *a)
{
	int route = choose_route(s);

	m->sender = arena_str(&m->arena, a->address.whole);
	m->envid = arena_str(&m->arena, a->envid);
	m->client = arena_str(&m->arena, str_of(s->ip));
	m->route = arena_str(&m->arena, str_of(route < 0 ? "" : s->conf->routes[route].name));
	m->ret = a->ret;
	m->priority = priority_of(s);
	m->smtputf8 = a->address.utf8;
	return m->sender.p && m->envid.p && m->client.p && m->route.p && set_job(s, m, &a->address);
}

void do_mail(struct session *s, struct command_args *a)
{
	const char *no;

	if (!session_conf(s) || s->srv->closing || (s->srv->holds & SERVER_HOLD_DRAIN)) {
		say_and_close(s, "421 4.3.2 No new mail is taken here now, try again later");
		return;
	}
	if (s->srv->holds & SERVER_HOLD_STALL) {
		if (!wait_for(s, WAIT_STALL))
			say(s, "451 4.3.2 The disk is too slow now, try again later");
		return;
	}
	no = judge_mail(s, a);
	if (no) {
		s->srv->stats.refused++;
		tell_rejected(s, a->address.whole, STR_LIT(""), no);
		say(s, no);
		return;
	}
	s->m = message_new();
	if (!s->m || !set_envelope(s, s->m, a)) {
		tx_reset(s);
		say(s, "451 4.3.0 Out of memory, try again later");
		return;
	}
	s->utf8 = a->utf8;
	s->declared_size = (size_t)a->size;
	enter_state(s, SV_MAIL);
	say(s, "250 2.1.0 Sender ok");
}

/* ---- RCPT ---- */

static struct message_rcpt *new_rcpt(struct session *s)
{
	struct message *m = s->m;

	if (m->nrcpts == s->rcpts_cap) {
		uint32_t cap = s->rcpts_cap ? s->rcpts_cap * 2 : RCPTS_FIRST;
		struct message_rcpt *v = arena_alloc(&m->arena, cap * sizeof *v);

		if (!v)
			return NULL;
		if (m->nrcpts)
			memcpy(v, m->rcpts, m->nrcpts * sizeof *v);
		m->rcpts = v;
		s->rcpts_cap = cap;
	}
	return &m->rcpts[m->nrcpts];
}

static bool add_rcpt(struct session *s, const struct address *to, const struct command_args *a)
{
	struct message *m = s->m;
	struct message_rcpt *r = new_rcpt(s);

	if (!r)
		return false;
	r->address = arena_str(&m->arena, to->whole);
	r->domain = arena_str(&m->arena, str_of(to->normal));
	r->orcpt = a->orcpt.n ? arena_str(&m->arena, a->orcpt) : STR_LIT("");
	r->reply = STR_LIT("");
	r->notify = a->notify;
	r->state = RCPT_QUEUED;
	if (!r->address.p || !r->domain.p || !r->orcpt.p)
		return false;
	m->smtputf8 |= to->utf8;
	m->nrcpts++;
	return true;
}

/* <postmaster>, or postmaster at our own name (RFC 5321 4.5.1). */
static bool is_our_postmaster(const struct session *s, const struct address *to)
{
	return str_ieqz(to->local, "postmaster") &&
	       (!to->domain.n || str_ieqz(str_of(to->normal), s->conf->mta.hostname));
}

static bool add_postmasters(struct session *s, const struct command_args *a)
{
	bool ok = true;

	for (int i = 0; i < s->conf->mta.npostmasters && ok; i++) {
		struct address to;

		if (!address_parse(str_of(s->conf->mta.postmasters[i]), &to) && !to.literal)
			ok = add_rcpt(s, &to, a);
	}
	return ok;
}

/* Its mail is read here, whoever sends it. */
static bool is_inbound(const struct session *s, const struct address *to)
{
	return s->conf->ninbound && conf_inbound_for(s->conf, str_of(to->normal)) != CONF_NONE;
}

static uint32_t most_rcpts(const struct session *s, bool inbound)
{
	int max = s->source < 0 ? 0 : s->conf->sources[s->source].max_rcpt_per_message;

	if (inbound)
		return MAX_RCPT_INBOUND;
	return (uint32_t)(max > 0 ? max : MAX_RCPT_DEFAULT);
}

static const char *judge_rcpt(struct session *s, const struct command_args *a, bool postmaster,
			      bool inbound)
{
	if (s->m->nrcpts >= most_rcpts(s, inbound))
		return "452 4.5.3 Too many recipients for one message, send the rest in another";
	if (s->m->nrcpts && inbound != s->inbound)
		return "452 4.5.3 This recipient goes in a transaction without the others";
	if (!inbound && needs_auth(s))
		return no_auth;
	if (inbound)
		return a->address.utf8 && !s->utf8
			   ? "553 5.6.7 This recipient address needs SMTPUTF8"
			   : NULL;
	if (postmaster && s->conf->mta.npostmasters && s->m->route.n)
		return NULL;
	if (!a->address.domain.n)
		return "550 5.1.1 No postmaster address is configured here";
	if (!s->relay)
		return "550 5.7.1 Relaying is not allowed for you";
	if (a->address.literal)
		return "550 5.1.2 Mail to an address literal is not relayed, use a domain name";
	if (a->address.utf8 && !s->utf8)
		return "553 5.6.7 This recipient address needs SMTPUTF8";
	return NULL;
}

/* NULL, or the reply that says since when and why. */
static const char *judge_suppressed(struct session *s, const struct address *to)
{
	const struct server_env *env = &s->srv->env;
	char since[CLOCK_RFC3339_SIZE];
	struct suppression_found f;
	struct buf words;

	if (!env->suppressed || s->conf->suppression.check != CONF_SUPPRESS_AT_RCPT ||
	    !env->suppressed(env->arg, s->m->sender, to->local, str_of(to->normal), &f))
		return NULL;
	clock_rfc3339(f.e.at, since);
	buf_init(&words);
	clean_clip(&words, f.e.words, SUPPRESSED_WORDS, true);
	snprintf(s->srv->text, sizeof s->srv->text,
		 "550 5.1.1 This address is on the suppression list (%s since %.10s)%s%s",
		 suppress_why_name(f.e.why), since, words.n ? ": " : "", buf_z(&words));
	buf_free(&words);
	return s->srv->text;
}

/* The message goes to whoever reads it here, not into a queue. */
static bool set_inbound(struct session *s)
{
	struct message *m = s->m;

	m->route = arena_str(&m->arena, STR_LIT(MESSAGE_INBOUND));
	m->job = arena_str(&m->arena, STR_LIT("stoker/inbound"));
	m->user = arena_str(&m->arena, STR_LIT("stoker"));
	s->inbound = m->route.p && m->job.p && m->user.p;
	return s->inbound;
}

void do_rcpt(struct session *s, struct command_args *a)
{
	bool postmaster = is_our_postmaster(s, &a->address);
	bool expand = postmaster && s->conf->mta.npostmasters && s->m->route.n;
	bool inbound = !expand && is_inbound(s, &a->address);
	const char *no = judge_rcpt(s, a, postmaster, inbound);
	uint32_t before = s->m->nrcpts;

	if (!no && !expand && !inbound)
		no = judge_suppressed(s, &a->address);
	if (no) {
		s->srv->stats.refused++;
		tell_rejected(s, s->m->sender, a->address.whole, no);
		if (s->relay)
			say(s, no); /* a list with bad addresses is no attack */
		else
			say_error(s, no);
		return;
	}
	if (expand && s->postmaster) { /* anybody may say so, a thousand times: once is enough */
		say(s, "250 2.1.5 Recipient ok");
		return;
	}
	if (!(expand ? add_postmasters(s, a) : add_rcpt(s, &a->address, a)) ||
	    (inbound && !s->inbound && !set_inbound(s))) {
		s->m->nrcpts = before;
		say(s, "451 4.3.0 Out of memory, try again later");
		return;
	}
	if (s->m->nrcpts == before) {
		say(s, "550 5.1.1 No postmaster address is configured here");
		return;
	}
	s->postmaster |= expand;
	if (s->state != SV_RCPT)
		enter_state(s, SV_RCPT);
	say(s, "250 2.1.5 Recipient ok");
}
