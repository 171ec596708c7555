#include <inttypes.h>

#include "core/smtp/server_session.h"

const char server_no_memory[] = "451 4.3.0 Out of memory, try again later";

struct header_facts {
	int received; /* trace lines, also those that are removed */
	bool date, message_id;
	bool utf8;	/* a byte over 127 */
	bool no_header; /* the message begins with something else */
	bool open;	/* its end was not met */
	unsigned fed;	/* bits of the feeding headers that were met */
	const char *refusal;
	size_t kept; /* bytes of the block that stay */
};

/* The name of the field that begins at `line`; n == 0 if the line begins no field (RFC 5322 2.2).
 */
static struct str field_name(struct str line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7F && line.p[n] != ':')
		n++;
	for (size_t i = n; i < line.n; i++) {
		if (line.p[i] == ':')
			return str_mem(line.p, n);
		if (line.p[i] != ' ' && line.p[i] != '\t')
			break;
	}
	return str_mem(line.p, 0);
}

static bool is_removed(const struct session *s, struct str name)
{
	const struct conf_source *src = s->source < 0 ? NULL : &s->conf->sources[s->source];

	for (int i = 0; src && i < src->nremove_headers; i++) {
		if (str_ieqz(name, src->remove_headers[i]))
			return true;
	}
	return false;
}

static void note_field(struct header_facts *f, struct str name, bool removed)
{
	if (name.n == 8 && str_ieqz(name, "Received"))
		f->received++;
	else if (name.n == 4 && !removed && str_ieqz(name, "Date"))
		f->date = true;
	else if (name.n == 10 && !removed && str_ieqz(name, "Message-ID"))
		f->message_id = true;
}

/* The end of the field that begins at `at`: behind its folded lines. */
static size_t field_end(const char *p, size_t n, size_t at)
{
	do {
		const char *lf = memchr(p + at, '\n', n - at);
		at = lf ? (size_t)(lf + 1 - p) : n;
	} while (at < n && (p[at] == ' ' || p[at] == '\t'));
	return at;
}

/* The first field of a name counts; all of them go. */
static bool feed_field(struct session *s, struct header_facts *f, struct str name, struct str field)
{
	int feed = feed_find(s, name);

	if (feed < 0)
		return false;
	if (!(f->fed & 1u << feed) && !f->refusal) {
		const char *colon = memchr(field.p, ':', field.n);
		size_t skip = (size_t)(colon + 1 - field.p);

		f->refusal = feed_take(s, feed, str_mem(colon + 1, field.n - skip));
	}
	f->fed |= 1u << feed;
	return true;
}

/* Walks the fields in p[0…n) and moves those that stay together. Returns the bytes that were looked
 * at: up to the empty line, or to the first line that belongs to no field. */
static size_t walk_header(struct session *s, char *p, size_t n, struct header_facts *f)
{
	size_t at = 0;
	bool removed = false, any = false;

	while (at < n) {
		const char *lf = memchr(p + at, '\n', n - at);
		size_t len = lf ? (size_t)(lf + 1 - (p + at)) : n - at;
		bool folded = any && (p[at] == ' ' || p[at] == '\t');

		if (!folded) {
			struct str name = field_name(str_mem(p + at, len));

			if (!name.n)
				break;
			removed =
			    feed_field(s, f, name, str_mem(p + at, field_end(p, n, at) - at)) ||
			    is_removed(s, name);
			note_field(f, name, removed);
			any = true;
		}
		if (!removed) {
			if (f->kept != at)
				memmove(p + f->kept, p + at, len);
			f->kept += len;
		}
		at += len;
	}
	return at;
}

static bool has_eightbit(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] > 0x7F)
			return true;
	}
	return false;
}

static void judge_header(struct session *s, struct header_facts *f)
{
	struct buf *b = &s->data;
	size_t n = s->scan.header_done ? s->scan.header_bytes : b->n;
	size_t looked = walk_header(s, b->p, n, f), gone = looked - f->kept;

	f->no_header = !looked && b->n && !(s->scan.header_done && !n);
	f->open = !s->scan.header_done && looked == b->n;
	if (s->utf8)
		f->utf8 = has_eightbit(str_mem(b->p, n));
	if (!gone)
		return;
	memmove(b->p + f->kept, b->p + looked, b->n - looked);
	b->n -= gone;
	s->scan.clean -= gone;
	s->judged -= gone;
}

/* RFC 5321 4.4; the protocol's name from RFC 3848 and RFC 6531 4.3. */
static void add_received(struct session *s, struct buf *head, bool hide_source, const char *date)
{
	const char *with = s->utf8 ? "UTF8SMTP" : s->esmtp ? "ESMTP" : "SMTP";
	bool tls = io_tls(s->io);

	buf_addz(head, "Received: ");
	if (!hide_source && s->peer.sa.sa_family != AF_UNIX) {
		buf_addz(head, "from ");
		buf_addz(head, s->helo);
		buf_addz(head, s->peer.sa.sa_family == AF_INET6 ? " ([IPv6:" : " ([");
		buf_addz(head, s->ip);
		buf_addz(head, "])\r\n\t");
	}
	buf_addf(head, "by %s with %s%s%s", s->conf->mta.hostname, with, tls && s->esmtp ? "S" : "",
		 s->user_name[0] ? "A" : "");
	if (tls)
		buf_addf(head, " (%s %s)", io_tls_version(s->io), io_tls_cipher(s->io));
	buf_addf(head, " id %" PRIx64 ";\r\n\t%s\r\n", s->m->id, date);
}

static bool add_head(struct session *s, const struct header_facts *f, struct buf *head)
{
	const struct conf_source *src = s->source < 0 ? NULL : &s->conf->sources[s->source];
	char date[CLOCK_RFC5322_SIZE];

	clock_rfc5322(s->m->received_at, date);
	if (!buf_reserve(head, 512))
		return false;
	add_received(s, head, src && src->hide_source, date);
	if (!f->date && (!src || src->add_date))
		buf_addf(head, "Date: %s\r\n", date);
	if (!f->message_id && (!src || src->add_message_id))
		buf_addf(head, "Message-ID: <%" PRIx64 ".%" PRId64 "@%s>\r\n", s->m->id,
			 s->m->received_at / US_PER_S, s->conf->mta.hostname);
	if (f->no_header)
		buf_addz(head, "\r\n"); /* or the text would be taken for fields */
	return !buf_failed(head);
}

const char *header_finish(struct session *s, struct buf *head, bool all)
{
	struct header_facts f = { 0 };

	judge_header(s, &f);
	if (!all && f.open)
		return "554 5.6.0 The header is too big";
	if (f.refusal)
		return f.refusal;
	if (!s->m->route.n && s->relay)
		return server_no_route;
	if (f.received >= s->conf->mta.max_hops)
		return "554 5.4.6 Too many hops (Received fields): this looks like a mail loop";
	/* A client that declares SMTPUTF8 always must not make plain mail undeliverable. */
	s->m->smtputf8 |= f.utf8;
	return add_head(s, &f, head) ? NULL : server_no_memory;
}
