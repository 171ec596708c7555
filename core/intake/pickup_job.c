#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/intake/pickup_inner.h"
#include "core/smtp/address.h"

enum { REASON_SIZE = 400, SLACK_BYTES = 64 * 1024 };
static const us_t JOB_WITHIN = 15 * US_PER_MIN;

enum job_step { STEP_HELLO, STEP_NAME, STEP_ENVELOPE, STEP_MESSAGE };

struct job {
	struct job *next, *prev;
	struct dir *dir;
	struct entry *entry;
	struct io *io;
	struct pickup_mail mail;
	enum job_step at;
	size_t replies; /* that this step still waits for */
	size_t got;	/* of STEP_ENVELOPE: 0 is MAIL's, then the recipients' */
	bool refused, for_now;
	char reason[REASON_SIZE];
};

static void job_end(struct job *j)
{
	struct pickup *p = j->dir->pickup;

	if (j->io)
		io_close(j->io); /* lets go of the message's bytes */
	if (j->prev)
		j->prev->next = j->next;
	else
		p->jobs = j->next;
	if (j->next)
		j->next->prev = j->prev;
	p->njobs--;
	p->bytes -= j->mail.message.cap;
	j->dir->jobs--;
	pickup_mail_free(&j->mail);
	free(j);
}

enum verdict { TAKEN, BAD, AGAIN };

static void job_finish(struct job *j, enum verdict v, const char *why)
{
	struct dir *d = j->dir;
	struct pickup *p = d->pickup;
	struct entry *e = j->entry;
	char reason[REASON_SIZE];

	snprintf(reason, sizeof reason, "%s", why);
	job_end(j);
	if (v == TAKEN)
		dir_taken(d, e);
	else if (v == BAD)
		dir_bad(d, e, reason);
	else
		dir_again(d, e, reason);
	pickup_pump(p);
}

/* ---- the dialogue ---- */

static bool say_envelope(struct job *j)
{
	const struct pickup_mail *m = &j->mail;
	struct buf out, xtext;

	buf_init(&out);
	buf_init(&xtext);
	buf_addf(&out, "MAIL FROM:<%.*s> SIZE=%zu", (int)m->sender.n, m->sender.p, m->message.n);
	if (m->utf8)
		buf_addz(&out, " SMTPUTF8");
	if (m->envid.n && xtext_encode(m->envid, &xtext))
		buf_addf(&out, " ENVID=%.*s", (int)xtext.n, xtext.p);
	buf_addz(&out, "\r\n");
	for (size_t i = 0; i < m->nrcpts; i++)
		buf_addf(&out, "RCPT TO:<%.*s>\r\n", (int)m->rcpts[i].n, m->rcpts[i].p);
	j->replies = 1 + m->nrcpts;
	bool ok = !buf_failed(&out) && io_write(j->io, buf_str(&out));
	buf_free(&out);
	buf_free(&xtext);
	return ok;
}

static void nothing(void *owner)
{
	(void)owner;
}

static bool say_message(struct job *j)
{
	char line[64];

	snprintf(line, sizeof line, "BDAT %zu LAST\r\n", j->mail.message.n);
	j->replies = 1;
	return io_writez(j->io, line) &&
	       io_write_ref(j->io, buf_str(&j->mail.message), nothing, NULL);
}

/* Everything is asked before anything is sent, so a file is taken for all its recipients or none.
 * False: the job is over. */
static bool next_step(struct job *j)
{
	bool ok = true;

	switch (j->at) {
	case STEP_MESSAGE:
		job_finish(j, TAKEN, "");
		return false;
	case STEP_HELLO:
		j->at = STEP_NAME;
		j->replies = 1;
		ok = io_writez(j->io, "EHLO pickup\r\n");
		break;
	case STEP_NAME:
		j->at = STEP_ENVELOPE;
		ok = say_envelope(j);
		break;
	case STEP_ENVELOPE:
		j->at = STEP_MESSAGE;
		ok = say_message(j);
		break;
	}
	j->got = 0;
	if (!ok)
		job_finish(j, AGAIN, "no memory");
	return ok;
}

static void note_refusal(struct job *j, struct str reply)
{
	struct str who = { "", 0 };

	if (j->at == STEP_ENVELOPE)
		who = j->got == 0 ? j->mail.sender : j->mail.rcpts[j->got - 1];
	/* What is wrong for good says more than what is wrong for now. */
	if (j->refused && !(j->for_now && reply.p[0] == '5'))
		return;
	j->refused = true;
	j->for_now = reply.p[0] != '5';
	snprintf(j->reason, sizeof j->reason, "%s%.*s%s%.*s", j->at == STEP_ENVELOPE ? "<" : "",
		 who.n > 200 ? 200 : (int)who.n, who.p, j->at == STEP_ENVELOPE ? ">: " : "",
		 reply.n > 150 ? 150 : (int)reply.n, reply.p);
}

/* False: the job is over. */
static bool take_reply(struct job *j, struct str reply)
{
	if (reply.n < 3 || (reply.p[0] != '2' && reply.p[0] != '3'))
		note_refusal(j, reply);
	j->got++;
	j->replies--;
	if (j->refused && (!j->replies || j->at != STEP_ENVELOPE)) {
		char reason[REASON_SIZE];
		snprintf(reason, sizeof reason, "%s", j->reason);
		job_finish(j, j->for_now ? AGAIN : BAD, reason);
		return false;
	}
	return true;
}

static void take_input(struct job *j)
{
	for (;;) {
		struct str in = io_input(j->io);
		const char *lf = in.n ? memchr(in.p, '\n', in.n) : NULL;
		char line[REASON_SIZE];

		if (!lf)
			return;
		size_t n = (size_t)(lf - in.p), kept = n && lf[-1] == '\r' ? n - 1 : n;
		bool last = kept < 4 || in.p[3] != '-';
		snprintf(line, sizeof line, "%.*s",
			 kept < sizeof line ? (int)kept : (int)sizeof line - 1, in.p);
		io_consume(j->io, n + 1);
		if (!last)
			continue;
		if (!take_reply(j, str_of(line)))
			return;
		if (!j->replies && !next_step(j))
			return;
	}
}

static void job_event(struct io *io, enum io_event ev, void *arg)
{
	struct job *j = arg;

	(void)io;
	switch (ev) {
	case IO_CONNECTED:
	case IO_DRAINED:
	case IO_TLS:
		break;
	case IO_DATA:
		take_input(j);
		break;
	case IO_TIMEOUT:
	case IO_EOF:
	case IO_ERROR:
		job_finish(j, AGAIN, "the server went away");
		break;
	}
}

/* ---- the file ---- */

/* NULL, or why it is no message. *again: it may be one later. */
static const char *read_file(struct dir *d, const struct entry *e, struct buf *out, bool *gone)
{
	char path[4096];
	struct stat st;
	int n = snprintf(path, sizeof path, "%s/%s", d->path, e->name);
	int fd = n < (int)sizeof path
		     ? open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
		     : -1;
	const char *why = NULL;

	*gone = fd < 0 && errno == ENOENT;
	if (fd < 0)
		return errno == ELOOP ? "it is a symbolic link" : strerror(errno);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		why = "it is no ordinary file";
	else if (st.st_size > d->pickup->conf->mta.max_message_size + SLACK_BYTES)
		why = "it is larger than [mta] max-message-size";
	else if (!buf_reserve(out, (size_t)st.st_size + 1))
		why = "there is no memory for it";
	while (!why && out->n < (size_t)st.st_size) {
		ssize_t got = read(fd, out->p + out->n, (size_t)st.st_size - out->n);
		if (got < 0)
			why = strerror(errno);
		else if (got == 0)
			break;
		else
			out->n += (size_t)got;
	}
	close(fd);
	return why;
}

static void job_begin(struct job *j)
{
	struct pickup *p = j->dir->pickup;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds)) {
		job_finish(j, AGAIN, strerror(errno));
		return;
	}
	j->io = io_new(p->loop, fds[0], job_event, j);
	if (!j->io) {
		close(fds[1]);
		job_finish(j, AGAIN, "no memory");
		return;
	}
	io_set_deadline(j->io, loop_now(p->loop) + JOB_WITHIN);
	j->at = STEP_HELLO;
	j->replies = 1;
	p->env.connect(p->env.arg, p->conf->listeners[j->dir->c->listener].name, fds[1]);
}

void job_start(struct dir *d, struct entry *e)
{
	struct pickup *p = d->pickup;
	struct job *j = calloc(1, sizeof *j);
	struct errbuf why = { "" };
	struct buf file;
	bool gone = false;

	if (!j) {
		dir_again(d, e, "no memory");
		return;
	}
	buf_init(&file);
	j->dir = d;
	j->entry = e;
	j->next = p->jobs;
	if (p->jobs)
		p->jobs->prev = j;
	p->jobs = j;
	p->njobs++;
	d->jobs++;
	e->state = ENTRY_BUSY;
	const char *no = read_file(d, e, &file, &gone);
	if (!no && !pickup_parse(buf_str(&file), &j->mail, &why))
		no = why.text;
	p->bytes += j->mail.message.cap;
	buf_free(&file);
	if (gone)
		job_finish(j, TAKEN, "");
	else if (no)
		job_finish(j, BAD, no);
	else
		job_begin(j);
}

void jobs_end(struct pickup *p)
{
	while (p->jobs)
		job_end(p->jobs);
}

void jobs_of_gone_end(struct pickup *p)
{
	for (struct job *j = p->jobs, *next; j; j = next) {
		next = j->next;
		if (j->dir->gone)
			job_end(j);
	}
}
