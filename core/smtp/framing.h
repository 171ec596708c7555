/* How bytes become lines and messages, and back (TRAPS.md, "SMTP"): pure, so that it can be tested on every chunking. Only CRLF
 * ends a line; only CRLF.CRLF ends DATA; bare CR, bare LF and NUL are refused, never normalised. */
#ifndef STOKER_SMTP_FRAMING_H
#define STOKER_SMTP_FRAMING_H

#include "core/base/buf.h"

/* ---- command lines ---- */
enum line_result { LINE_MORE, LINE_OK, LINE_TOO_LONG, LINE_BAD_BYTES };
/* Looks for the next line in `in` (at most `max` bytes with CRLF). LINE_OK: *line without CRLF, *used with it. LINE_BAD_BYTES: bare CR, bare LF or NUL. */
enum line_result framing_line(struct str in, size_t max, struct str *line, size_t *used);

/* ---- DATA in: scanned in place, in the buffer that the socket reads into ---- */
enum data_result { DATA_MORE, DATA_END, DATA_BAD /* bare CR, bare LF, NUL */, DATA_LINE_TOO_LONG };
struct data_scan {
	size_t clean;      /* bytes at the front of the buffer that are final (unstuffed, checked) */
	int state;
	size_t line_bytes;
	bool dot_line;  /* a (stuffed) dot line was seen */
	bool eightbit;
	/* facts of the header block, gathered on the way */
	bool header_done;
};
void data_scan_init(struct data_scan *d);
/* Continues over b[d->clean…]: removes stuffing dots in place. DATA_END: b->n is cut to the message (CRLF.CRLF's dot removed) and *after holds what
 * followed it (a copy is the caller's to make before touching b). Memory moves only where a dot line exists. */
enum data_result data_scan(struct data_scan *d, struct buf *b, struct str *after);

/* ---- DATA out ---- */
/* Calls emit for slices that together are the dot-stuffed form of `part`; *bol: at the beginning of a line (start true), kept between parts.
 * The caller ends with framing_end. */
void framing_stuff(struct str part, bool *bol, void (*emit)(void *arg, struct str s), void *arg);
/* ".\r\n", or "\r\n.\r\n" if the last byte sent did not end a line. */
struct str framing_end(bool bol);

/* ---- replies ---- */
struct reply_scan { /* collects one reply, several lines; bounded to 8 KB of text: longer ones keep their first and last lines */
	int code;          /* of the first line */
	bool bad;          /* lines disagree in code, or a line is no reply */
	bool done;
	struct buf text;   /* lines joined by \n, with codes */
	unsigned lines;
};
void reply_scan_init(struct reply_scan *r);
void reply_scan_clear(struct reply_scan *r);
void reply_scan_free(struct reply_scan *r);
/* Feeds one line (without CRLF; a receiver's bare LF line end is accepted by the caller). */
void reply_scan_line(struct reply_scan *r, struct str line);

#endif
