/* The console: who is attached, what everybody's header shows, and the way of answers to operators.
 */
#include <stdlib.h>
#include <locale.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/control/cli.h"
#include "tui/operator.h"
#include "tui/prefs.h"

struct console *console_new(struct loop *l, const struct console_env *env, struct conf *c)
{
	struct console *me = calloc(1, sizeof *me);

	if (!me)
		return NULL;
	/* Characters only: numbers and SMTP must not depend on a locale. */
	setlocale(LC_CTYPE, "C.UTF-8");
	me->loop = l;
	me->env = *env;
	me->conf = c ? conf_ref(c) : NULL;
	me->themes = themes_load(env->themes_dir);
	if (!me->themes) {
		console_free(me);
		return NULL;
	}
	return me;
}

void console_free(struct console *c)
{
	if (!c)
		return;
	for (int i = 0; i < c->nops; i++)
		operator_leave(c->ops[i], 0, "Stoker has stopped");
	while (c->nops)
		operator_free(c->ops[--c->nops]);
	prefs_free(c);
	themes_free(c->themes);
	conf_unref(c->conf);
	free(c);
}

us_t console_now(const struct console *c)
{
	return c->fixed_now ? c->fixed_now : loop_now(c->loop);
}

void console_conf(struct console *c, struct conf *conf)
{
	conf_unref(c->conf);
	c->conf = conf ? conf_ref(conf) : NULL;
	console_dirty(c);
}

struct oper *console_operator(struct console *c, uint64_t id)
{
	for (int i = 0; i < c->nops; i++)
		if (c->ops[i]->id == id && !c->ops[i]->dead)
			return c->ops[i];
	return NULL;
}

/* Those who have left are freed here, never inside their own callbacks. */
static void sweep(struct console *c)
{
	int k = 0;

	for (int i = 0; i < c->nops; i++) {
		if (c->ops[i]->dead)
			operator_free(c->ops[i]);
		else
			c->ops[k++] = c->ops[i];
	}
	if (k != c->nops) {
		c->nops = k;
		console_dirty(c);
	}
}

int console_operators(const struct console *c)
{
	int n = 0;

	for (int i = 0; i < c->nops; i++)
		n += !c->ops[i]->leaving && !c->ops[i]->dead;
	return n;
}

/* Control's status says how many are here. */
static void tell_count(struct console *c)
{
	int n = console_operators(c);
	struct link_request *r;

	if (n == c->told || !(r = link_request_make(LINK_COUNT, STR_LIT(""))))
		return;
	c->told = n;
	r->n = n;
	c->env.request(c->env.arg, r);
}

void console_attach(struct console *c, int fd, struct str user, enum role role, struct str hello)
{
	struct oper *op;

	sweep(c);
	if (c->nops >= OPERATORS_MAX) {
		struct buf b;
		buf_init(&b);
		frame_put(&b, 'X', STR_LIT("\1Thirty-two operators are here already"));
		if (write(fd, b.p, b.n) <
		    0) /* a fresh socket has room; if not, the close says it */
			log_debug("console: no goodbye to a thirty-third operator");
		buf_free(&b);
		close(fd);
		return;
	}
	op = operator_new(c, fd, user, role, hello);
	if (!op) {
		log_warn("console: no memory for operator %.*s", (int)user.n, user.p);
		close(fd);
		return;
	}
	c->ops[c->nops++] = op;
	tell_count(c);
	console_dirty(c);
	operator_dirty(op, true);
}

void console_answer(struct console *c, struct link_answer *a)
{
	struct oper *op = console_operator(c, a->operator);

	if (op)
		operator_answer(op, a);
	link_answer_free(a);
}

void console_echo(struct console *c, struct rstr *text)
{
	us_t now = console_now(c);

	for (int i = 0; i < c->nops; i++) {
		struct oper *op = c->ops[i];
		/* His own acts are answered in his own words, with what undoes them. */
		bool own =
		    op->echo.own && now < op->echo.until && strstr(text->text, op->echo.text);
		if (!own && !op->dead)
			operator_echo(op, STYLE_ECHO, "%s", text->text);
	}
	rstr_unref(text);
}

void console_header(struct console *c, const struct sched_totals *t, struct rstr *status_json)
{
	us_t now = console_now(c);

	sweep(c);
	tell_count(c);
	header_totals(&c->header, t, now);
	if (status_json)
		header_status(&c->header, rstr_str(status_json), now);
	rstr_unref(status_json);
	console_dirty(c);
}

void console_dirty(struct console *c)
{
	for (int i = 0; i < c->nops; i++)
		if (!c->ops[i]->frozen)
			operator_dirty(c->ops[i], false);
}

void console_frame_drawn(struct console *c, us_t cpu)
{
	__atomic_fetch_add(&c->stats.frames, 1, __ATOMIC_RELAXED);
	if (cpu > __atomic_load_n(&c->stats.cpu_max_us, __ATOMIC_RELAXED))
		__atomic_store_n(&c->stats.cpu_max_us, cpu, __ATOMIC_RELAXED);
}

void console_stats(const struct console *c, struct console_stats *out)
{
	out->frames = __atomic_load_n(&c->stats.frames, __ATOMIC_RELAXED);
	out->cpu_max_us = __atomic_load_n(&c->stats.cpu_max_us, __ATOMIC_RELAXED);
}
