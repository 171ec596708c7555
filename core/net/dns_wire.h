/* Record data from the DNS, which anybody may have written: read with every length checked. No
 * state. */
#ifndef STOKER_NET_DNS_WIRE_H
#define STOKER_NET_DNS_WIRE_H

#include "conf/conf.h"
#include "core/base/buf.h"
#include "core/base/domain.h"

/* An uncompressed wire name of exactly n bytes, as lower-case text without the last dot ("" for the
 * root). False if it is malformed, or holds a byte that can't be in text form unescaped (controls,
 * blanks, dots, backslash, 8-bit). */
bool dns_wire_name(const uint8_t *p, size_t n, char out[DOMAIN_SIZE]);
/* MX: preference and exchange (RFC 1035 3.3.9). The exchange may be "" (RFC 7505) and is otherwise
 * not yet known to be a host name. */
bool dns_wire_mx(const uint8_t *p, size_t n, int *preference, char exchange[DOMAIN_SIZE]);
/* A (4 bytes) or AAAA (16 bytes) as an endpoint with port 0. */
bool dns_wire_address(const uint8_t *p, size_t n, struct endpoint *out);
/* TXT: its character strings, joined (RFC 1035 3.3.14, RFC 6376 3.6.2.2). */
bool dns_wire_text(const uint8_t *p, size_t n, struct buf *out);

#endif
