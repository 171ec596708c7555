/* A message's MIME structure (RFC 2045 to 2047, 2231), read with hard bounds: bytes, depth, parts,
 * fields and memory. What goes beyond a bound is left alone and `cut` says so. Nothing that is
 * attached is opened: a message/rfc822 part is a leaf. Pure; any thread. */
#ifndef STOKER_FEEDBACK_MIME_H
#define STOKER_FEEDBACK_MIME_H

#include "core/base/arena.h"
#include "core/base/str.h"

enum {
	MIME_BYTES_MAX = 1024 * 1024, /* of a message; what follows is not looked at */
	MIME_DEPTH_MAX = 8,
	MIME_PARTS_MAX = 64,
	MIME_FIELDS_MAX = 256,		  /* of one header */
	MIME_FIELD_BYTES_MAX = 16 * 1024, /* of one field's value */
	MIME_PIECES_MAX = 32,		  /* of one parameter (RFC 2231) */
	MIME_MEMORY_MAX = 12 * 1024 * 1024,
};

struct mime_field {
	struct str name;
	struct str value; /* as it stands: folded, encoded; without the final line end */
};

struct mime_head {
	struct mime_field *fields;
	int n;
};

enum mime_encoding { MIME_PLAIN, MIME_BASE64, MIME_QUOTED };

struct mime_part {
	struct mime_head head;
	struct str type; /* lower case: "text/plain" */
	struct str charset;
	enum mime_encoding encoding;
	struct str body; /* as it stands, with LF line ends */
	int parent;	 /* index of the multipart around it; -1: the message itself */
	bool multipart;
	bool attachment; /* by its Content-Disposition */
};

struct mime {
	struct arena *mem;
	struct mime_part parts[MIME_PARTS_MAX];
	int n; /* parts[0] is the message */
	bool cut;
};

/* Line ends may be CRLF, LF or CR. False without memory. */
bool mime_read(struct str message, struct arena *mem, struct mime *m);

/* The part's text, decoded, as UTF-8 with LF line ends. Empty without memory. */
struct str mime_text(struct mime *m, const struct mime_part *p);
/* The part's bytes, decoded. */
struct str mime_bytes(struct mime *m, const struct mime_part *p);
/* HTML as the lines that a person would read, and the addresses of its mailto links; of a long one
 * the beginning. */
struct str mime_html_text(struct mime *m, struct str html);
/* Bytes of `charset` as UTF-8; a charset that is not known counts as ISO 8859-1. */
struct str mime_utf8(struct mime *m, struct str bytes, struct str charset);

/* Reads a header from the front of `text`; *rest is what follows the empty line behind it. A line
 * that is no field ends the header, or is skipped if `skip_noise`. */
void mime_head_read(struct mime *m, struct str text, bool skip_noise, struct mime_head *head,
		    struct str *rest);
/* The first field of that name, unfolded and trimmed; {"", 0} if there is none. */
struct str mime_field(struct mime *m, const struct mime_head *head, const char *name);
bool mime_has_field(const struct mime_head *head, const char *name);
/* A value on one line: folds become one blank. */
struct str mime_unfold(struct mime *m, struct str value);
/* Encoded words (RFC 2047) decoded. */
struct str mime_decode_words(struct mime *m, struct str value);
/* A parameter of a Content-Type or Content-Disposition value, its pieces joined and decoded (RFC
 * 2231). {"", 0} if there is none. */
struct str mime_param(struct mime *m, struct str value, const char *name);

/* Arena memory within MIME_MEMORY_MAX; NULL beyond it. */
void *mime_alloc(struct mime *m, size_t n);
/* A lower-case copy of the same length: ASCII, and the Latin, Greek and Cyrillic of two bytes. */
struct str mime_lower(struct mime *m, struct str s);

#endif
