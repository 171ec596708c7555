/* Domain names: one normal form everywhere (lower-case A-labels, no trailing dot). Any thread. */
#ifndef STOKER_BASE_DOMAIN_H
#define STOKER_BASE_DOMAIN_H

#include "core/base/str.h"

enum { DOMAIN_MAX = 253, DOMAIN_SIZE = 256 };

/* U-labels or A-labels to the normal form by libidn2 (IDNA 2008, non-transitional). False if it is
 * not a domain: empty or long labels, bad characters, over 253 bytes. Address literals are not
 * domains. */
bool domain_normal(struct str in, char out[DOMAIN_SIZE]);
/* Letters, digits, hyphens and dots in legal places (RFC 1123); underscore is allowed in the DNS
 * and refused here. */
bool domain_is_hostname(struct str s);
/* "*.example.com" matches below example.com only; "*" matches all; else equality. All in normal
 * form. */
bool domain_match(struct str pattern, struct str domain);

#endif
