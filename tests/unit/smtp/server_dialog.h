/* Dialogs with the server, and the loop that runs them.
 *
 * tests/unit/smtp/NAME.dlg; a step a line; texts may hold \r \n \t \0 \\ \xHH:
 *
 *   # words        a comment; the first one is the promise
 *   conf: WORD V   before the connection; see conf_step
 *   C: text        the client sends the text and CRLF
 *   R: text        it sends the text alone
 *   R*: N text     it sends it N times
 *   S: prefix      the next line from the server begins so
 *   S*: N prefix   the next N lines do
 *   CLOSED         the server has closed, and said nothing more
 *   QUIET          the server says nothing now
 *   STUCK          nor does it read all that the client sends; the next step does not wait
 *   TRICKLE text   it sends the text every 5 ms; 250 answers it, anything else is the next step's
 *   MESSAGES n     so many were handed to the spool
 *   CREDITS n      so many credits are with the program
 *   ABORTS n       so many large bodies were aborted
 *   E: text        the last one's envelope, as envelope() words it, holds the text
 *   M: text        its bytes hold the text
 *   M!: text       they do not
 *   M$: text       they end in it
 *   LAST: text     the last refusal that the delivery log was told of holds the text
 *   do: WORD V     something happens in the program; see do_step
 */
#ifndef STOKER_TEST_SERVER_DIALOG_H
#define STOKER_TEST_SERVER_DIALOG_H

#include "tests/unit/smtp/server_world.h"

enum { QUIET_PASSES = 12, WORLD_DEADLINE_S = 20 };

/* ---- dialogs ---- */

static inline void unescape(const char *z, struct buf *out)
{
	for (; *z; z++) {
		char hex[3] = { 0 };

		if (*z != '\\') {
			buf_addc(out, *z);
			continue;
		}
		switch (*++z) {
		case 'r':
			buf_addc(out, '\r');
			break;
		case 'n':
			buf_addc(out, '\n');
			break;
		case 't':
			buf_addc(out, '\t');
			break;
		case '0':
			buf_addc(out, '\0');
			break;
		case 'x':
			memcpy(hex, z + 1, 2);
			buf_addc(out, (char)strtol(hex, NULL, 16));
			z += 2;
			break;
		default:
			buf_addc(out, *z);
		}
	}
}

static inline void conf_step(struct world *w, const char *word)
{
	struct conf_source *s = &w->conf.source;
	const char *value = strchr(word, ' ') ? strchr(word, ' ') + 1 : "";
	size_t n = strcspn(word, " ");
	struct str k = { word, n };

	if (str_eqz(k, "relay"))
		s->always_allow_relaying = strcmp(value, "no") != 0;
	else if (str_eqz(k, "source-none"))
		w->conf.no_source = true;
	else if (str_eqz(k, "size"))
		w->conf.c.mta.max_message_size = atol(value);
	else if (str_eqz(k, "source-size"))
		s->max_message_size = atol(value);
	else if (str_eqz(k, "max-rcpt"))
		s->max_rcpt_per_message = atoi(value);
	else if (str_eqz(k, "max-hops"))
		w->conf.c.mta.max_hops = atoi(value);
	else if (str_eqz(k, "postmaster"))
		w->conf.postmasters[w->conf.c.mta.npostmasters++] = value;
	else if (str_eqz(k, "feed"))
		s->process_x_virtual_mta = s->process_x_job = s->process_x_envid =
		    s->process_x_queue_priority = true;
	else if (str_eqz(k, "auth"))
		w->conf.listener.authenticate = CONF_AUTH_PLAIN | CONF_AUTH_LOGIN;
	else if (str_eqz(k, "clear"))
		w->conf.listener.allow_unencrypted_auth = true;
	else if (str_eqz(k, "require-auth"))
		s->require_auth = true;
	else if (str_eqz(k, "hide-source"))
		s->hide_source = true;
	else if (str_eqz(k, "add-nothing"))
		s->add_date = s->add_message_id = false;
	else if (str_eqz(k, "remove-header"))
		w->conf.remove[s->nremove_headers++] = value;
	else if (str_eqz(k, "banner"))
		w->conf.listener.banner = value;
	else if (str_eqz(k, "route-source"))
		s->default_route = atoi(value);
	else if (str_eqz(k, "route-listener"))
		w->conf.listener.default_route = atoi(value);
	else if (str_eqz(k, "route-mta"))
		w->conf.c.mta.default_route = atoi(value);
	else if (str_eqz(k, "credits"))
		w->credits = atoi(value);
	else
		fail_msg("%s: conf: %s?", w->name, word);
}

static inline void do_step(struct world *w, const char *word)
{
	static const struct {
		const char *name;
		unsigned bits;
	} holds[] = { { "none", 0 },
		      { "stall", SERVER_HOLD_STALL },
		      { "floor", SERVER_HOLD_FLOOR },
		      { "memory", SERVER_HOLD_MEMORY },
		      { "failed", SERVER_HOLD_FAILED },
		      { "drain", SERVER_HOLD_DRAIN } };
	const char *value = strchr(word, ' ') ? strchr(word, ' ') + 1 : "";
	struct str k = { word, strcspn(word, " ") };

	if (str_eqz(k, "hold")) {
		for (size_t i = 0; i < sizeof holds / sizeof *holds; i++)
			if (!strcmp(value, holds[i].name))
				server_hold(w->srv, holds[i].bits);
	} else if (str_eqz(k, "manual")) {
		w->manual = true;
	} else if (str_eqz(k, "automatic")) {
		w->manual = false;
	} else if (str_eqz(k, "commit")) {
		assert_true(w->nanswers > 0);
		give_answer(w);
	} else if (str_eqz(k, "commit-fails")) {
		assert_true(w->nanswers > 0);
		w->answers[0].err =
		    !strcmp(value, "floor") ? &err_spool_floor : &err_spool_poisoned;
		give_answer(w);
	} else if (str_eqz(k, "large-fails")) {
		assert_true(w->nanswers > 0);
		w->answers[0].what = SERVER_LARGE_FAILED;
		w->large_open = false;
		w->large_out = 0;
		w->nanswers = 1;
		give_answer(w);
	} else if (str_eqz(k, "credits")) {
		w->credits = atoi(value);
		server_credit(w->srv);
	} else if (str_eqz(k, "budget")) {
		body_budget_set(*value ? body_budget_used() + (uint64_t)atol(value) : UINT64_MAX);
	} else if (str_eqz(k, "memory")) {
		server_memory(w->srv);
	} else if (str_eqz(k, "rate-reached")) {
		w->no_rate = true;
	} else if (str_eqz(k, "new-conf")) {
		w->conf2 = w->conf;
		w->conf2.refs = 0;
		w->conf2.c.sources = &w->conf2.source;
		w->conf2.source.name = "other";
		server_conf(w->srv, &w->conf2.c);
	} else if (str_eqz(k, "listener-gone")) {
		w->conf2 = w->conf;
		w->conf2.refs = 0;
		w->conf2.c.nlisteners = 0;
		server_conf(w->srv, &w->conf2.c);
	} else if (str_eqz(k, "shutdown")) {
		server_shutdown(w->srv, (*value ? atol(value) : 5000) * US_PER_MS);
	} else if (str_eqz(k, "impatient")) {
		w->srv->times = (struct server_times){ 40000, 40000, 40000, 40000, 40000, 40000 };
	} else if (str_eqz(k, "half-close")) {
		assert_int_equal(shutdown(w->fd, SHUT_WR), 0);
	} else if (str_eqz(k, "deaf")) {
		w->deaf = true;
	} else if (str_eqz(k, "hears")) {
		w->deaf = false;
	} else if (str_eqz(k, "reconnect")) {
		world_connect(w);
	} else {
		fail_msg("%s: do: %s?", w->name, word);
	}
}

static inline void fail_step(const struct world *w, const struct step *s, struct str got)
{
	struct str line = got;

	str_split(&got, '\n', &line);
	fail_msg("%s:%d: %s%.*s, but got \"%.*s\"", w->name, s->line, s->word, (int)s->arg.n,
		 s->arg.p, (int)(line.n > 300 ? 300 : line.n), line.p);
}

static inline bool holds_text(const struct buf *b, const struct buf *text)
{
	return !text->n || (b->n && memmem(b->p, b->n, text->p, text->n));
}

/* One reply line, if it is here. */
static inline bool expect_line(struct world *w, const struct step *s)
{
	char *lf = w->got.n ? memchr(w->got.p, '\n', w->got.n) : NULL;
	size_t n = lf ? (size_t)(lf + 1 - w->got.p) : 0;

	if (!lf) {
		if (w->eof)
			fail_step(w, s, STR_LIT("the server has closed"));
		return false;
	}
	if (n < 2 || w->got.p[n - 2] != '\r' || n > 514)
		fail_step(w, s, buf_str(&w->got));
	if (n < s->arg.n || memcmp(w->got.p, s->arg.p, s->arg.n) != 0)
		fail_step(w, s, buf_str(&w->got));
	buf_shift(&w->got, n);
	return true;
}

static inline bool trickle(struct world *w, struct step *s)
{
	static us_t next;
	us_t now = clock_now_us();
	char *lf = w->got.n ? memchr(w->got.p, '\n', w->got.n) : NULL;

	if (lf && memcmp(w->got.p, "250", 3) != 0)
		return true;
	if (lf)
		buf_shift(&w->got, (size_t)(lf + 1 - w->got.p));
	if (now - next < 5 * US_PER_MS)
		return false;
	next = now;
	buf_adds(&w->out, buf_str(&s->arg));
	return false;
}

/* True when the step is done. */
static inline bool run_step(struct world *w, struct step *s)
{
	const char *z = s->word;

	if (!strcmp(z, "C: ") || !strcmp(z, "R: ") || !strcmp(z, "R*: ")) {
		for (long i = 0; i < s->times; i++)
			buf_adds(&w->out, buf_str(&s->arg));
		if (z[0] == 'C')
			buf_addz(&w->out, "\r\n");
		return true;
	}
	if (w->out.n && z[0] != 'S' && strcmp(z, "CLOSED") != 0 &&
	    !(w->at && !strcmp(w->steps[w->at - 1].word, "STUCK")))
		return false; /* what happens next happens after what was sent */
	if (!strcmp(z, "S: ") || !strcmp(z, "S*: ")) {
		while (s->times > 0 && expect_line(w, s))
			s->times--;
		return !s->times;
	}
	if (!strcmp(z, "STUCK")) {
		if (w->got.n || w->eof)
			fail_step(w, s, buf_str(&w->got));
		if (++w->quiet % QUIET_PASSES)
			return false;
		if (!w->out.n)
			fail_step(w, s, STR_LIT("all is sent"));
		return true;
	}
	if (!strcmp(z, "CLOSED")) {
		if (w->got.n)
			fail_step(w, s, buf_str(&w->got));
		return w->eof;
	}
	if (!strcmp(z, "QUIET")) {
		if (w->got.n || w->eof)
			fail_step(w, s, buf_str(&w->got));
		return ++w->quiet % QUIET_PASSES == 0;
	}
	if (!strcmp(z, "TRICKLE "))
		return trickle(w, s);
	if (!strcmp(z, "do: "))
		do_step(w, buf_z(&s->arg));
	else if (!strcmp(z, "ABORTS ") && w->aborted != atoi(buf_z(&s->arg)))
		fail_msg("%s:%d: %d aborts", w->name, s->line, w->aborted);
	else if (!strcmp(z, "CREDITS ") && w->credits != atoi(buf_z(&s->arg)))
		fail_msg("%s:%d: %d credits", w->name, s->line, w->credits);
	else if (!strcmp(z, "MESSAGES ") && w->messages != atoi(buf_z(&s->arg)))
		fail_msg("%s:%d: %d messages", w->name, s->line, w->messages);
	else if (!strcmp(z, "E: ") && !holds_text(&w->envelope, &s->arg))
		fail_step(w, s, buf_str(&w->envelope));
	else if (!strcmp(z, "LAST: ") && !holds_text(&w->rejection, &s->arg))
		fail_step(w, s, buf_str(&w->rejection));
	else if (!strcmp(z, "M: ") && !holds_text(&w->wire, &s->arg))
		fail_step(w, s, buf_str(&w->wire));
	else if (!strcmp(z, "M!: ") && holds_text(&w->wire, &s->arg))
		fail_step(w, s, buf_str(&w->wire));
	else if (!strcmp(z, "M$: ") &&
		 (w->wire.n < s->arg.n ||
		  memcmp(w->wire.p + w->wire.n - s->arg.n, s->arg.p, s->arg.n) != 0))
		fail_step(w, s, buf_str(&w->wire));
	return true;
}

static inline void load_step(struct world *w, char *line, int number)
{
	static const char *const words[] = { "conf: ",	  "C: ",      "R: ",	  "R*: ",   "S: ",
					     "S*: ",	  "do: ",     "E: ",	  "M: ",    "M!: ",
					     "M$: ",	  "LAST: ",   "CLOSED",	  "QUIET",  "STUCK",
					     "MESSAGES ", "CREDITS ", "TRICKLE ", "ABORTS " };
	struct step *s = &w->steps[w->nsteps];
	size_t i = 0;

	line[strcspn(line, "\n")] = '\0';
	if (!line[0] || line[0] == '#')
		return;
	while (i < sizeof words / sizeof *words && strncmp(line, words[i], strlen(words[i])) != 0)
		i++;
	if (i == sizeof words / sizeof *words || w->nsteps == STEPS_MAX)
		fail_msg("%s:%d: what is \"%s\"?", w->name, number, line);
	line += strlen(words[i]);
	*s = (struct step){ .times = 1, .line = number };
	assert_non_null(s->word = str_dup(str_of(words[i])));
	if (!strcmp(s->word, "R*: ") || !strcmp(s->word, "S*: "))
		s->times = strtol(line, &line, 10), line++;
	unescape(line, &s->arg);
	if (!strcmp(s->word, "conf: "))
		conf_step(w, buf_z(&s->arg)); /* the text stays where it is */
	w->nsteps++;
}

static inline void load_dialog(struct world *w, const char *path)
{
	char *line = NULL;
	size_t cap = 0;
	int number = 0;
	FILE *f = fopen(path, "r");

	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	w->name = path;
	while (getline(&line, &cap, f) > 0)
		load_step(w, line, ++number);
	free(line);
	fclose(f);
}

/* ---- running ---- */

static inline bool world_pass(void *arg)
{
	struct world *w = arg;

	peer_receive(w);
	if (w->on_pass) {
		w->on_pass(w);
		peer_send(w);
		if (!w->manual && w->nanswers)
			give_answer(w);
		return true;
	}
	while (w->at < w->nsteps &&
	       (!strcmp(w->steps[w->at].word, "conf: ") || run_step(w, &w->steps[w->at])))
		w->at++;
	peer_send(w);
	if (!w->manual && w->nanswers)
		give_answer(w);
	if (w->at == w->nsteps)
		loop_stop(w->loop);
	return w->out.n || w->nanswers ||
	       (w->at < w->nsteps &&
		(!strcmp(w->steps[w->at].word, "QUIET") || !strcmp(w->steps[w->at].word, "STUCK")));
}

static inline void world_late(struct timer *t, void *arg)
{
	struct world *w = arg;

	(void)t;
	if (w->at < w->nsteps)
		fail_step(w, &w->steps[w->at], buf_str(&w->got));
	fail_msg("%s: the world stands still", w->name);
}

/* The loop sleeps until something happens: the peer's end must wake it too. */
static inline void world_watch(struct ev_loop *ev, ev_timer *t, int revents)
{
	(void)ev;
	(void)t;
	(void)revents;
}

static inline void world_init(struct world *w)
{
	struct server_env env = { .arg = w,
				  .new_id = env_new_id,
				  .credit_take = env_credit_take,
				  .credit_give = env_credit_give,
				  .submit = env_submit,
				  .large_create = env_large_create,
				  .large_write = env_large_write,
				  .large_finish = env_large_finish,
				  .large_abort = env_large_abort,
				  .rejected = env_rejected,
				  .source_rate = env_source_rate,
				  .auth = env_auth,
				  .closed = env_closed };

	memset(w, 0, sizeof *w);
	w->fd = -1;
	w->credits = 1000;
	w->last_id = 0xabc0;
	w->name = "world";
	rng_seed(&w->rng, 1);
	test_conf_init(&w->conf);
	body_budget_set(UINT64_MAX);
	body_budget_give(body_budget_used()); /* a test that failed may have left some */
	w->loop = loop_new("test");
	w->srv = server_new(w->loop, &env);
	assert_non_null(w->srv);
	server_conf(w->srv, &w->conf.c);
	loop_add_before_sleep(w->loop, world_pass, w);
	timer_init(&w->limit, world_late, w);
}

static inline void world_run(struct world *w)
{
	ev_timer tick;

	ev_timer_init(&tick, world_watch, 0.001, 0.001);
	ev_timer_start(loop_ev(w->loop), &tick);
	timer_set(w->loop, &w->limit, loop_now_exact(w->loop) + WORLD_DEADLINE_S * US_PER_S);
	loop_run(w->loop);
	ev_timer_stop(loop_ev(w->loop), &tick);
	timer_stop(w->loop, &w->limit);
}

/* Ends the world, and checks that nothing is left behind: no session, no credit, no memory, no
 * reference. */
static inline void world_end(struct world *w)
{
	struct server_stats st;

	server_stats(w->srv, &st);
	server_free(w->srv);
	if (w->fd >= 0)
		close(w->fd);
	assert_int_equal((uint64_t)w->closed, st.connections);
	assert_int_equal(body_budget_used(), 0);
	assert_int_equal(w->conf.refs, 0);
	assert_int_equal(w->conf2.refs, 0);
	assert_true(w->on_pass || w->large_out_max <= LARGE_OUTSTANDING);
	for (int i = 0; i < w->nsteps; i++) {
		free(w->steps[i].word);
		buf_free(&w->steps[i].arg);
	}
	buf_free(&w->out);
	buf_free(&w->got);
	buf_free(&w->envelope);
	buf_free(&w->wire);
	buf_free(&w->large);
	buf_free(&w->rejection);
	loop_free(w->loop);
}

#endif
