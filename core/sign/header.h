/* A message's header as DKIM sees it: its fields, and the domain of its From. Pure. */
#ifndef STOKER_SIGN_HEADER_H
#define STOKER_SIGN_HEADER_H

#include "core/base/domain.h"
#include "core/base/err.h"

struct header_field {
	struct str name; /* without blanks before the colon */
	struct str all;	 /* from the name on, folded lines too, without the final CRLF */
	struct str value;
	int line; /* of the header, from 1 */
};
/* Cuts the next field off *rest (CRLF lines, without the empty line behind the header). False at
 * the end, and with words in `e` at a line that is no field. */
bool header_next(struct str *rest, int *line, struct header_field *f, struct errbuf *e);
/* Over a line that header_next did not take. */
void header_skip_line(struct str *rest);
/* The domain, in normal form, of the first address in a From field's value (RFC 5322 3.4). False if
 * there is none. */
bool header_from_domain(struct str value, char out[DOMAIN_SIZE]);

#endif
