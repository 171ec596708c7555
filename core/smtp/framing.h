/* How bytes become lines and messages, and back (TRAPS.md, "SMTP"): pure, so that it can be tested
 * on every chunking. Only CRLF ends a line; only CRLF.CRLF ends DATA; bare CR, bare LF and NUL are
 * refused, never normalised. */
#ifndef STOKER_SMTP_FRAMING_H
#define STOKER_SMTP_FRAMING_H

#include "core/base/buf.h"

/* ---- command lines ---- */
enum line_result { LINE_MORE, LINE_OK, LINE_TOO_LONG, LINE_BAD_BYTES };
/* Looks for the next line in `in` (at most `max` bytes with CRLF). LINE_OK: *line without CRLF,
 * *used with it. LINE_BAD_BYTES: bare CR, bare LF or NUL. */
enum line_result framing_line(struct str in, size_t max, struct str *line, size_t *used);

/* ---- message bytes in: scanned in place, in the buffer that the socket reads into ---- */
/* Legitimate mail with lines over RFC 5321's 998 exists; beyond this it is an attack on memory. */
enum { TEXT_LINE_MAX = 1024 * 1024 };
enum data_result {
	DATA_MORE,
	DATA_END,
	DATA_BAD,	   /* bare CR, bare LF or NUL: nothing of the message may be kept */
	DATA_LINE_TOO_LONG /* a line over TEXT_LINE_MAX */
};
struct data_scan {
	size_t clean;	  /* bytes at the front of the buffer that are final (unstuffed, checked) */
	bool chunks;	  /* BDAT: no stuffing, no terminator */
	bool bol;	  /* the next byte to be judged begins a line */
	bool dot_line;	  /* a line of the message begins with a dot */
	bool eightbit;	  /* a byte over 127 was seen */
	bool header_done; /* the empty line behind the header was seen; header_bytes is its place */
	size_t line_bytes;   /* of the unfinished line */
	size_t header_bytes; /* header_done: offset of the empty line; counts from the message's
				start */
	size_t total;	     /* bytes of the message that were final so far, over all buffers */
};
void data_scan_init(struct data_scan *d, bool chunks);
/* Continues over b[d->clean…]: removes stuffing dots in place. What cannot be judged yet (a CR or
 * dot whose next byte has not come: at most two bytes) stays behind `clean`. DATA_END: b->n is cut
 * to the message (CRLF.CRLF's dot removed) and *after holds what followed it (a copy is the
 * caller's to make before touching b). Memory moves only where a dot line exists. The verdict does
 * not depend on how the bytes were cut into calls. */
enum data_result data_scan(struct data_scan *d, struct buf *b, struct str *after);
/* The caller has taken the b[0…clean) away (a chunk went to disk, a refused message is dropped):
 * the rest moves to the front. */
void data_scan_taken(struct data_scan *d, struct buf *b);
/* BDAT's LAST: the message ends here. DATA_END or DATA_BAD (it ends in a CR). A last line without
 * CRLF is given one: needs room for 2 bytes, DATA_MORE without memory. */
enum data_result data_scan_last(struct data_scan *d, struct buf *b);

/* ---- DATA out ---- */
/* Calls emit for slices that together are the dot-stuffed form of `part`; *bol: at the beginning of
 * a line (start true), kept between parts. The caller ends with framing_end. */
void framing_stuff(struct str part, bool *bol, void (*emit)(void *arg, struct str s), void *arg);
/* ".\r\n", or "\r\n.\r\n" if the last byte sent did not end a line. */
struct str framing_end(bool bol);

/* ---- replies ---- */
struct reply_scan { /* collects one reply, several lines; bounded to 8 KB of text: longer ones keep
		       their first and last lines */
	int code;   /* of the first line */
	bool bad;   /* lines disagree in code, or a line is no reply */
	bool done;
	struct buf text; /* lines joined by \n, with codes */
	unsigned lines;
};
void reply_scan_init(struct reply_scan *r);
void reply_scan_clear(struct reply_scan *r);
void reply_scan_free(struct reply_scan *r);
/* Feeds one line (without CRLF; a receiver's bare LF line end is accepted by the caller). */
void reply_scan_line(struct reply_scan *r, struct str line);

#endif
